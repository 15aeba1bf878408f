from __future__ import annotations

import numpy as np
import pytest
import torch
from test_networks import made, tiles
from torch import nn

from hts_classify.errors import ModelError
from hts_classify.models.cnn.cam import class_maps, last_map
from hts_classify.models.cnn.model import Cnn
from hts_classify.models.cnn.networks import PARTS, folded
from hts_classify.models.protocol import Pictorial, Tabular
from hts_classify.models.settings import NETWORKS, Augmentation, CnnSettings, Learning


def opinionated(name: str, channels: int = 2) -> nn.Module:
    """A network with a head, as if it had learned."""
    net = made(name, channels, classes=3)
    nn.init.normal_(net.head.weight, generator=torch.Generator().manual_seed(0))
    return net.eval()


def by_hand(net: nn.Module, batch: torch.Tensor, layer: nn.Module, number: int) -> torch.Tensor:
    """Grad-CAM as it is usually written: a whole backward pass, hooks on one layer."""
    kept: dict[str, torch.Tensor] = {}

    def forward(_module, _inputs, output):
        output.retain_grad()
        kept["map"] = output
        return output.clone()

    hook = layer.register_forward_hook(forward)
    batch = batch.clone().requires_grad_()
    net.zero_grad()
    net(batch)[:, number].sum().backward()
    hook.remove()
    net.zero_grad()
    alpha = kept["map"].grad.mean(dim=(2, 3))
    return torch.einsum("nf,nfyx->nyx", alpha, kept["map"]).relu().detach()


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_gives_a_map_a_class_where_its_last_layer_has_places(name):
    net, side = opinionated(name), NETWORKS[name].least + 33
    batch = tiles(net, 2, side, side)
    maps = class_maps(net, batch)
    assert maps.shape[:2] == (2, 3)
    assert min(maps.shape[2:]) > 1
    assert maps.shape[2] < side
    assert maps.dtype == torch.float32
    assert maps.min() >= 0
    peaks = maps.amax(dim=(2, 3))
    assert ((peaks == 1) | (peaks == 0)).all()
    assert peaks.any()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_least_tile_that_a_network_takes_has_a_map_too(name):
    net, side = opinionated(name), NETWORKS[name].least
    assert class_maps(net, tiles(net, 2, side, side)).shape[2:].numel() > 1


@pytest.mark.parametrize(
    ("name", "layer"), [("compact", "last"), ("resnet50", "layer4"), ("densenet121", "features")]
)
def test_a_map_is_what_a_whole_backward_pass_gives(name, layer):
    net = opinionated(name)
    batch = tiles(net, 2, 96, 96)
    maps = class_maps(net, batch)
    for number in range(3):
        expected = by_hand(net, batch, net.body.get_submodule(layer), number)
        peaks = expected.amax(dim=(1, 2), keepdim=True)
        expected = expected / torch.where(peaks > 0, peaks, 1.0)
        torch.testing.assert_close(maps[:, number], expected, rtol=1e-4, atol=1e-5)


def test_a_layer_that_is_called_twice_is_looked_at_when_it_is_called_last():
    net = opinionated("jackal")
    place = last_map(net, tiles(net, 2, 64, 64))
    assert place.module is net.body.pool
    assert place.call == 1
    assert class_maps(net, tiles(net, 2, 64, 64)).shape[2:] == (16, 16)


@pytest.mark.parametrize("name", ["compact", "mobilenet_v2"])
def test_frozen_and_folded_networks_have_maps_and_stay_as_they_were(name):
    net = opinionated(name)
    for module in net.modules():  # a residual pair begins as nothing: look at what it will be
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    batch = tiles(net, 2, 96, 96)
    maps = class_maps(net, batch)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    net.requires_grad_(False)
    net.body.get_submodule(PARTS[name].last[0]).requires_grad_(True)
    wanted = [value.requires_grad for value in net.parameters()]
    generator = torch.get_rng_state()
    assert torch.equal(class_maps(net, batch), maps)
    assert torch.equal(torch.get_rng_state(), generator)
    assert [value.requires_grad for value in net.parameters()] == wanted
    assert all(value.grad is None for value in net.parameters())
    assert torch.is_grad_enabled()
    assert not any(module._forward_hooks for module in net.modules())
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    flat = class_maps(folded(net), batch)
    assert flat.shape[:2] == (2, 3)
    assert flat.any()
    with torch.no_grad():
        assert torch.equal(class_maps(net, batch), maps)
        assert not torch.is_grad_enabled()


def test_a_tile_without_places_is_refused():
    with pytest.raises(LookupError, match="more than one place"):
        last_map(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), torch.zeros(1, 2, 8, 8))


@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 1)])
def test_the_map_lies_where_the_class_is(corner):
    """The class is a bright patch in a corner of a net that was made to see brightness."""
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(256, 2)
    )
    with torch.no_grad():
        net[0].weight.fill_(1 / 9)
        net[0].bias.fill_(-0.5)
        net[4].weight[0].fill_(-1)
        net[4].weight[1].fill_(1)
    tile = torch.zeros(1, 1, 32, 32)
    y, x = (20 * one for one in corner)
    tile[..., y : y + 10, x : x + 10] = 1
    maps = class_maps(net, tile)[0]
    assert not maps[0].any()  # darkness speaks for no class: nothing has a slope for it
    halves = maps[1][4 * corner[0] :][:4], maps[1][:, 4 * corner[1] :][:, :4]
    assert all(half.sum() > 0.95 * maps[1].sum() for half in halves)


def patched(count, *, left, seed=0, side=80):
    """Tiles of noise with a patch in one half: a chequer that is fine, or coarse, by turns.

    Both cover as much, so that nothing outside of the patch tells them apart.
    """
    rng = np.random.default_rng(seed)
    found = rng.normal(100, 9, (count, 1, side, side))
    y, x = np.mgrid[:24, :24]
    for number in range(count):
        period = (2, 8)[number % 2]
        top, edge = rng.integers(0, side - 24), rng.integers(0, 12) + (0 if left else side - 36)
        chequer = (x // period + y // period) % 2
        found[number, 0, top : top + 24, edge : edge + 24] += 60 * chequer
    return found.astype(np.float32)


@pytest.fixture(scope="module")
def trained():
    tiles = np.concatenate([patched(16, left=True), patched(16, left=False, seed=5)])
    settings = CnnSettings(augmentation=Augmentation(crop=0), learning=Learning(steps=30, epochs=1))
    model, fold = Cnn(settings, device="cpu"), np.arange(32) // 2 % 4
    halves = [(np.flatnonzero(fold), np.flatnonzero(fold == 0))]
    model.fit(tiles, ["fine", "coarse"] * 16, inner=halves, seed=0)
    return model


@pytest.mark.parametrize("left", [True, False])
def test_a_trained_network_shows_where_the_class_is(trained, left):
    assert isinstance(trained, Pictorial)
    assert not isinstance(trained, Tabular)
    tiles = patched(20, left=left, seed=1)[::2]
    fine = trained.classes.index("fine")
    assert (trained.scores(tiles).argmax(axis=1) == fine).all()
    values, covered = trained.maps(tiles)
    assert covered == (1.0, 1.0)
    assert values.shape == (10, 2, 5, 5)
    maps = values[:, fine]
    halves = maps[:, :, :2], maps[:, :, 3:]
    own, other = halves if left else halves[::-1]
    assert (own.sum(axis=(1, 2)) > 3 * other.sum(axis=(1, 2))).all()


def test_maps_change_neither_scores_nor_generators_nor_gradients(trained):
    tiles = patched(6, left=True)
    before, state = trained.scores(tiles), torch.get_rng_state()
    again = trained.maps(tiles).values
    np.testing.assert_array_equal(trained.maps(tiles).values, again)
    np.testing.assert_array_equal(trained.scores(tiles), before)
    assert torch.equal(torch.get_rng_state(), state)
    assert trained.maps(tiles[:0]).values.shape[:2] == (0, 2)
    with pytest.raises(ModelError, match="2 channels for a model of 1"):
        trained.maps(tiles.repeat(2, axis=1))


def test_a_network_that_takes_a_crop_says_what_its_map_is_of():
    tiles = patched(12, left=True, side=64)
    tiles = np.pad(tiles, ((0, 0), (0, 0), (32, 32), (0, 0)), mode="reflect")
    settings = CnnSettings(network="jackal", learning=Learning(steps=2, epochs=1))
    model = Cnn(settings, device="cpu")
    model.fit(tiles, ["fine", "coarse"] * 6, inner=[(np.arange(8), np.arange(8, 12))], seed=0)
    values, covered = model.maps(tiles[:3])
    assert covered == (0.5, 1.0)
    assert values.shape == (3, 2, 16, 16)
