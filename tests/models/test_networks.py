from __future__ import annotations

import sys
from itertools import product

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hts_classify.errors import DataError, UsageError
from hts_classify.models.cnn.networks import (
    PARTS,
    check_tile,
    folded,
    learned,
    make_network,
    train_mode,
)
from hts_classify.models.settings import NETWORKS, CnnSettings

SMALL = ("compact", "jackal", "mobilenet_v2")


def made(name, channels=1, classes=4, seed=0, **options):
    if name == "inception_resnet_v2":
        pytest.importorskip("timm")
    settings = CnnSettings(network=name, **options)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make_network(settings, channels=channels, classes=classes, say=pytest.fail)


def as_if_from_weights(name, tune):
    """Settings of a network that began with weights, for one that did not: none is at hand."""
    return CnnSettings(network=name, weights="there", tune=tune)


def tiles(net, channels, *shape):
    drawn = torch.randn(2, channels, *shape, generator=torch.Generator().manual_seed(1))
    return drawn[:, :, : net.crop or None, : net.crop or None]


@pytest.mark.parametrize("channels", [1, 5])
@pytest.mark.parametrize("name", NETWORKS)
def test_two_of_the_least_tiles_and_oblong_ones_can_be_learned_from(name, channels):
    net, least = made(name, channels), NETWORKS[name].least
    nn.init.ones_(net.head.weight)  # it starts at zero, and hands nothing back
    loss = torch.zeros(())
    for shape in ((least, least), (least, least + 17)):
        logits = net.train()(tiles(net, channels, *shape))
        assert logits.shape == (2, 4)
        loss = loss + logits.square().sum()
    loss.backward()
    grads = {key: value.grad for key, value in net.named_parameters()}
    assert not [key for key, grad in grads.items() if grad is None or not grad.isfinite().all()]
    assert net.body.get_submodule(PARTS[name].first).weight.grad.any()


@pytest.mark.parametrize("name", SMALL)
def test_a_fresh_network_has_no_opinion_and_follows_from_the_seed(name):
    net, again, other = made(name), made(name), made(name, seed=1)
    assert not net.eval()(tiles(net, 1, 64, 64)).any()
    first = PARTS[name].first + ".weight"
    weights = [each.body.get_parameter(first) for each in (net, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("name", NETWORKS)
def test_folded_it_says_the_same_and_stays_as_it_was(name):
    net, side = made(name, 3), NETWORKS[name].least + 11
    nn.init.normal_(net.head.weight, generator=torch.Generator().manual_seed(2))
    batch = tiles(net, 3, side, side)
    with torch.no_grad():
        for part in net.modules():
            if isinstance(part, nn.BatchNorm2d):
                nn.init.uniform_(part.weight, 0.5, 1.5)
                nn.init.normal_(part.bias, std=0.1)
        net.train()(batch)  # gives batch norms means and deviations
        before = {key: value.clone() for key, value in net.state_dict().items()}
        expected = net.eval()(batch)
        found = folded(net)(batch)
    assert expected.std() > 0
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.std()))
    after = net.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


@pytest.mark.parametrize(
    ("name", "left"),
    [("compact", 0), ("inception_v3", 0), ("mobilenet_v2", 0), ("densenet121", 62)],
)
def test_batch_norms_that_follow_a_convolution_are_folded(name, left):
    parts = folded(made(name)).modules()
    assert sum(isinstance(part, nn.BatchNorm2d) for part in parts) == left


@pytest.mark.parametrize("name", NETWORKS)
def test_the_widest_layer_is_as_its_network_says(name):
    net, side = made(name, 3).eval(), NETWORKS[name].tile or NETWORKS[name].least
    most = 0

    def look(_module, _inputs, found):
        nonlocal most
        most = max(most, found.numel())

    for module in net.modules():
        module.register_forward_hook(look)
    with torch.inference_mode():
        net(tiles(net, 3, side, side)[:1])
    assert round(most / side**2) == pytest.approx(NETWORKS[name].widest, abs=1)


def test_where_a_pattern_lies_hardly_matters_to_compact():
    """Pooling over all positions: a shift by the network's whole stride changes nothing."""
    net = made("compact").eval()
    nn.init.normal_(net.head.weight, generator=torch.Generator().manual_seed(0))
    # a residual pair begins as nothing: look at what it will be
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    tile = torch.zeros(1, 1, 256, 256)
    tile[:, :, 112:128, 112:128] = torch.rand(16, 16, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(net(tile), net(torch.roll(tile, (16, 16), dims=(2, 3))))
    assert not torch.allclose(net(tile), net(torch.zeros_like(tile)))


def test_compact_stays_cheap_enough_for_two_cores():
    net = made("compact", channels=2).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, 2, 128, 128))
    assert counter.get_total_flops() / 2 < 25e6
    assert sum(value.numel() for value in net.parameters()) < 0.3e6


def test_jackal_says_which_crops_it_takes():
    assert made("jackal").crop == 64
    assert made("compact").crop == 0


def test_response_norm_of_jackal_is_that_of_alexnet():
    found = torch.rand(2, 64, 3, 5, generator=torch.Generator().manual_seed(0)) * 100
    expected = nn.functional.local_response_norm(found, 9, alpha=0.001, beta=0.75, k=1.0)
    torch.testing.assert_close(made("jackal").body.norm(found), expected)


@pytest.mark.parametrize("name", NETWORKS)
def test_last_block_begins_after_the_last_downsampling(name):
    net, seen = made(name).eval(), {}

    def note(path):
        def hook(module, given, found):
            seen[path] = found.shape[2:].numel()

        return hook

    for path, module in net.body.named_modules():
        module.register_forward_hook(note(path))
    side = max(2 * NETWORKS[name].least, 160)
    with torch.inference_mode():
        net(tiles(net, 1, side, side))
    last = PARTS[name].last
    convs = [p for p, module in net.body.named_modules() if isinstance(module, nn.Conv2d)]
    before = [path for path in convs if not path.startswith(tuple(f"{part}." for part in last))]
    sizes = [seen[path] for path in before if seen[path] > 1]  # 1: squeeze-and-excitation
    assert min(sizes) > seen[last[0]]
    assert max(seen[part] for part in last) == seen[last[0]]


@pytest.mark.parametrize("name", NETWORKS)
def test_tune_chooses_what_learns_and_the_rest_asks_for_no_gradient(name):
    net = made(name)
    counts = {}
    for tune in ("head", "last", "all"):
        settings = as_if_from_weights(name, tune)
        chosen = learned(net, settings)
        names = {key for key, value in net.named_parameters() if value.requires_grad}
        assert len(chosen) == len(names)
        starts = {
            "head": ("head.",),
            "last": ("head.", *(f"body.{part}." for part in PARTS[name].last)),
            "all": ("",),
        }[tune]
        assert names == {key for key, _ in net.named_parameters() if key.startswith(starts)}
        counts[tune] = len(chosen)
    assert counts["head"] == 2 < counts["last"] < counts["all"]


@pytest.mark.parametrize(
    ("name", "tune"),
    [
        *product(["compact", "mobilenet_v2"], ["head", "last", "all"]),
        ("inception_resnet_v2", "last"),  # timm's batch norms
    ],
)
def test_fine_tuning_moves_what_learns_and_nothing_else(name, tune):
    """Nor do the batch norms' means and deviations, which came with the weights."""
    net, settings = made(name), as_if_from_weights(name, tune)
    nn.init.ones_(net.head.weight)
    chosen = {id(value) for value in learned(net, settings)}
    before = {key: value.clone() for key, value in net.state_dict(keep_vars=True).items()}
    train_mode(net, settings)
    net(3 + tiles(net, 1, 75, 75)).square().sum().backward()
    with torch.no_grad():
        for value in net.parameters():
            if value.grad is not None:
                value += value.grad.sign()
    for key, value in net.state_dict(keep_vars=True).items():
        if id(value) not in chosen:
            assert torch.equal(value, before[key]), key
    moved = [key for key, value in net.state_dict().items() if not torch.equal(value, before[key])]
    assert "head.weight" in moved
    assert any(key.startswith("body.") for key in moved) == (tune != "head")


def test_batch_norms_learn_where_a_network_starts_from_nothing():
    net = made("compact")
    train_mode(net, CnnSettings())
    net(3 + tiles(net, 1, 64, 64))
    assert net.body.stem[1].running_mean.any()


@pytest.mark.parametrize("tune", ["head", "last", "all"])
def test_dropout_is_there_whatever_is_tuned(tune):
    net, settings = made("compact"), as_if_from_weights("compact", tune)
    nn.init.ones_(net.head.weight)
    train_mode(net, settings)
    same = tiles(net, 1, 64, 64)
    assert not torch.equal(net(same), net(same))
    torch.testing.assert_close(net.eval()(same), net(same))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_tile_that_is_too_small_names_the_network_and_what_it_takes(name):
    least = NETWORKS[name].least
    check_tile(name, (1, least, least))
    match = f"{least + 9} × {least - 1} pixels are too small for {name}; give at least {least} "
    with pytest.raises(DataError, match=match):
        check_tile(name, (1, least + 9, least - 1))


@pytest.mark.parametrize("shape", [(64, 64), (0, 64, 64), (3, 1, 64, 64)])
def test_what_is_no_tile_is_refused(shape):
    with pytest.raises(DataError, match=r"give \(channels, y, x\)"):
        check_tile("compact", shape)


def test_without_timm_its_network_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    settings = CnnSettings(network="inception_resnet_v2")
    with pytest.raises(UsageError, match=r"pip install 'hts_classify\[timm\]'"):
        make_network(settings, channels=1, classes=2, say=pytest.fail)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_repeats_itself_on_cuda(name):
    """Under PyTorch's flag an operation without a deterministic backward raises."""
    net = made(name).cuda().train()
    nn.init.ones_(net.head.weight)
    batch = tiles(net, 1, NETWORKS[name].least, NETWORKS[name].least).cuda()
    found = []
    strict = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        for _ in range(2):
            torch.manual_seed(0)
            net.zero_grad()
            net(batch).square().sum().backward()
            found.append(net.body.get_submodule(PARTS[name].first).weight.grad.clone())
    finally:
        torch.use_deterministic_algorithms(strict)
    assert torch.equal(*found)
