from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from hts_classify.errors import DataError, UsageError
from hts_classify.models.optimise import (
    Examples,
    Tiles,
    class_weights,
    judged_loss,
    learn,
    logits,
    planned,
    search,
    steps_in_a_pass,
)
from hts_classify.models.settings import CnnSettings

CPU = torch.device("cpu")


class Watcher(nn.Module):
    """A one-weight network that keeps the batches it has seen in training."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2, 1))
        self.bias = nn.Parameter(torch.zeros(2))
        self.seen = []

    def forward(self, tiles):
        if self.training:
            self.seen.append(tiles.clone())
        return tiles.square().mean(dim=(1, 2, 3)).unsqueeze(1) @ self.weight.T + self.bias


def examples(count: int, side: int = 16) -> Examples:
    raw = np.random.default_rng(0).uniform(0, 255, (count, 1, side, side)).astype(np.float32)
    tiles = Tiles(raw, device=CPU)
    return Examples(tiles, np.arange(count) % 2, np.arange(count), 2)


def test_each_image_of_a_batch_is_turned_in_its_own_way():
    tile = np.random.default_rng(0).uniform(0, 255, (1, 1, 16, 16)).astype(np.float32)
    same = Tiles(np.repeat(tile, 64, axis=0), device=CPU)
    net = Watcher()
    for _ in learn(
        net,
        Examples(same, np.arange(64) % 2, np.arange(64), 2),
        steps=1,
        settings=CnnSettings(batch=64),
        seed=0,
    ):
        pass
    (batch,) = net.seen
    assert len({image.numpy().tobytes() for image in batch}) == 8


def test_a_pass_shows_every_tile_once_and_never_one_alone():
    net, some = Watcher(), examples(13)
    settings = CnnSettings(batch=4)
    for _ in learn(net, some, steps=steps_in_a_pass(13, 4), settings=settings, seed=0):
        pass
    assert [len(batch) for batch in net.seen] == [4, 3, 3, 3]
    # flips and turns reorder a tile's pixels: sorted, they tell the tiles apart
    shown = {np.sort(image.numpy(), axis=None).tobytes() for batch in net.seen for image in batch}
    held = some.tiles[np.arange(13)]
    assert shown == {np.sort(image.numpy(), axis=None).tobytes() for image in held}


@pytest.mark.parametrize("count", range(2, 40))
@pytest.mark.parametrize("batch", [2, 3, 8])
def test_no_batch_is_a_single_tile(count, batch):
    parts = np.array_split(np.arange(count), steps_in_a_pass(count, batch))
    assert min(map(len, parts)) >= 2
    assert max(map(len, parts)) <= batch + 1


def test_a_dozen_tiles_get_the_least_steps_and_ten_thousand_the_least_passes():
    settings = CnnSettings()
    assert planned(12, settings) == settings.steps
    assert planned(10_000, settings) == settings.epochs * math.ceil(10_000 / settings.batch)


def test_every_class_weighs_the_same_and_an_absent_one_nothing():
    weights = class_weights(np.array([0] * 30 + [2] * 10), 3)
    assert weights.tolist() == pytest.approx([2 / 3, 0, 2])


def test_classes_count_alike_whatever_their_sizes():
    """Tiles that say nothing: unweighted, the common class would win by log 9 = 2.2."""
    blank = Tiles(np.zeros((40, 1, 16, 16), dtype=np.float32), device=CPU)
    net = Watcher()
    rare = (np.arange(40) % 10 == 0).astype(np.intp)
    settings = CnnSettings(learning_rate=0.05, batch=40)
    some = Examples(blank, rare, np.arange(40), 2)
    for _ in learn(net, some, steps=200, settings=settings, seed=0):
        pass
    common, uncommon = net.bias.tolist()
    assert abs(common - uncommon) < 0.3


def test_biases_are_not_decayed():
    """With a rate near 0 only the decay moves the weights, and it must spare the bias."""
    net = Watcher()
    nn.init.ones_(net.weight)
    nn.init.ones_(net.bias)
    settings = CnnSettings(learning_rate=1e-6, weight_decay=1e5)
    for _ in learn(net, examples(8), steps=20, settings=settings, seed=0):
        pass
    assert net.weight.abs().max() < 0.5
    assert net.bias.min() > 0.99


def test_the_rate_rises_and_falls_to_next_to_nothing():
    net, some = Watcher(), examples(8)
    moves, before = [], net.bias.detach().clone()
    for _ in learn(net, some, steps=50, settings=CnnSettings(weight_decay=0.0), seed=0):
        moves.append(float((net.bias.detach() - before).abs().max()))
        before = net.bias.detach().clone()
    assert moves[0] < max(moves[4:10])
    assert moves[-1] < max(moves) / 20


def test_a_search_keeps_the_best_state_and_stops_after_its_patience():
    """Judged on the opposite answers, learning only makes it worse: the first look is best."""
    some = examples(16)
    brighter = some.tiles[np.arange(16)]
    raw = brighter.numpy() * 10
    raw[::2, :, :8] *= 0.1
    tiles = Tiles(raw - raw.min(), device=CPU, prepare=lambda batch: batch / batch.std())
    learning = Examples(tiles, np.arange(16) % 2, np.arange(16), 2)
    judged = Examples(tiles, 1 - np.arange(16) % 2, np.arange(16), 2)
    net, rounds = Watcher(), []
    found = search(
        net,
        learning,
        judged,
        settings=CnnSettings(steps=200, patience=3),
        seed=0,
        on_round=lambda done, total: rounds.append((done, total)),
    )
    assert found.steps == 10
    assert found.taken == 40
    assert rounds == [(1, 20), (2, 20), (3, 20), (4, 20)]
    assert not torch.equal(found.weights["bias"], net.bias)
    net.load_state_dict(found.weights)
    assert judged_loss(net, judged) == found.loss


def test_a_loss_that_is_never_finite_is_an_error_that_names_the_rate():
    some, net = examples(8), Watcher()
    nn.init.constant_(net.bias, math.inf)
    with pytest.raises(UsageError, match="never finite; lower the learning rate"):
        search(net, some, some, settings=CnnSettings(), seed=0, on_round=lambda done, total: None)


def test_kept_tiles_are_the_tiles_read():
    raw = np.random.default_rng(0).integers(0, 65535, (5, 2, 16, 20)).astype(np.uint16)
    kept, read = Tiles(raw, device=CPU), Tiles(raw, device=CPU)
    kept.keep(1)
    raw_copy, raw[:] = raw.copy(), 0
    assert torch.equal(kept[np.array([3, 1])], Tiles(raw_copy, device=CPU)[np.array([3, 1])])
    assert not read[np.array([3, 1])].any()


def test_tiles_above_the_bound_are_not_kept():
    raw = np.ones((300, 4, 16, 64), dtype=np.float32)
    tiles = Tiles(raw, device=CPU)
    tiles.keep(4)
    raw[0, :, 0] = 5
    assert tiles[np.array([0])].any()


def test_logits_do_not_depend_on_a_tiles_orientation():
    class Corner(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, tiles):
            return self.scale * tiles[:, 0, 0, :2]

    tile = np.random.default_rng(0).uniform(0, 255, (1, 1, 16, 16)).astype(np.float32)
    both = np.concatenate([tile, tile[:, :, ::-1].swapaxes(2, 3)])
    first, second = logits(Corner(), Tiles(both, device=CPU), np.arange(2))
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize("shape", [(4, 16, 16), (4, 1, 15, 16), (4, 0, 16, 16)])
def test_tiles_of_a_wrong_shape_are_refused(shape):
    with pytest.raises(DataError, match="at least 16 pixels"):
        Tiles(np.zeros(shape, dtype=np.float32), device=CPU)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_tile_that_is_not_finite_is_refused_by_number(value):
    raw = np.zeros((70, 1, 16, 16), dtype=np.float32)
    raw[66, 0, 3, 3] = value
    with pytest.raises(DataError, match="example 66: the tile holds values that are not finite"):
        Tiles(raw, device=CPU).keep(100)
