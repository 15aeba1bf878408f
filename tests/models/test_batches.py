"""Batches of tiles: kept or read ahead, enlarged, and refused by number."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from hts_classify.errors import DataError
from hts_classify.models.cnn.device import room
from hts_classify.models.cnn.tiles import Tiles

CPU = torch.device("cpu")


def plain(tiles, index):
    return tiles


def made(raw, **options):
    return Tiles(raw, prepare=plain, device=CPU, **options)


class Slow:
    """Inputs that remember in which threads they were read."""

    def __init__(self, tiles):
        self.tiles, self.threads = tiles, set()

    def __len__(self):
        return len(self.tiles)

    def __getitem__(self, index):
        self.threads.add(threading.get_ident())
        return self.tiles[index]


def test_kept_tiles_are_the_tiles_read():
    raw = np.random.default_rng(0).integers(0, 65535, (70, 2, 16, 20)).astype(np.uint16)
    kept, read = made(raw), made(raw)
    kept.keep(10)
    before, raw[:] = raw.copy(), 0
    some = np.array([69, 1])
    assert torch.equal(kept[some], made(before)[some])
    assert not read[some].any()


def test_tiles_above_the_bound_are_not_kept():
    raw = np.ones((300, 4, 16, 64), dtype=np.float32)
    tiles = made(raw)
    tiles.keep(4)
    raw[0, :, 0] = 5
    assert tiles[np.array([0])].max() == 5


@pytest.mark.parametrize("keep", [0, 10])
def test_batches_come_in_order_whether_kept_or_read(keep):
    raw = np.arange(40, dtype=np.float32).reshape(40, 1, 1, 1) * np.ones((1, 1, 4, 4), np.float32)
    tiles = made(raw)
    tiles.keep(keep)
    asked = [np.array([3, 1]), np.array([39]), *(np.array([k]) for k in range(9))]
    got = list(tiles.batches(iter(asked)))
    assert [index.tolist() for index, _ in got] == [index.tolist() for index in asked]
    for index, batch in got:
        assert batch[:, 0, 0, 0].tolist() == index.tolist()


def test_batches_are_read_by_another_thread():
    store = Slow(np.ones((8, 1, 4, 4), np.float32))
    tiles = made(store)
    store.threads.clear()
    list(tiles.batches(iter([np.arange(4), np.arange(4, 8)])))
    assert threading.get_ident() not in store.threads


def test_a_reader_that_is_left_early_does_not_go_on():
    store = Slow(np.ones((900, 1, 4, 4), np.float32))
    before = threading.active_count()
    batches = made(store).batches(np.arange(900).reshape(-1, 1)[:, :1])
    next(batches)
    batches.close()
    assert threading.active_count() == before


def test_tiles_are_enlarged_to_the_longer_side_and_never_shrunk():
    raw = np.ones((2, 1, 10, 20), np.float32)
    assert made(raw, enlarge=40).shape == (1, 20, 40)
    assert made(raw, enlarge=40)[np.arange(2)].shape == (2, 1, 20, 40)
    assert made(raw, enlarge=12).shape == (1, 10, 20)


@pytest.mark.parametrize("shape", [(4, 16, 16), (4, 0, 16, 16)])
def test_what_is_no_tile_is_refused(shape):
    with pytest.raises(DataError, match=r"give \(channels, y, x\)"):
        made(np.zeros(shape, dtype=np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_tile_that_is_not_finite_is_refused_by_number(value):
    raw = np.zeros((70, 1, 16, 16), dtype=np.float32)
    raw[66, 0, 3, 3] = value
    with pytest.raises(DataError, match="example 66: the tile holds values that are not finite"):
        made(raw).keep(100)


class Watched(np.ndarray):
    """An array that remembers in which threads it was read."""

    threads: set = set()  # noqa: RUF012  (shared on purpose)

    def __getitem__(self, index):
        self.threads.add(threading.current_thread())
        return super().__getitem__(index)


def test_tiles_in_memory_are_read_by_the_thread_that_wants_them():
    raw = np.random.default_rng(0).normal(size=(5, 1, 8, 8)).astype(np.float32)
    parts = [np.arange(3), np.arange(3, 5)]
    found = [batch.numpy() for _, batch in made(raw.view(Watched)).batches(parts)]
    np.testing.assert_array_equal(np.concatenate(found), raw)
    assert Watched.threads == {threading.current_thread()}


def test_a_gpu_keeps_tiles_in_half_of_its_free_memory(monkeypatch):
    gib = 2**30
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10 * gib, 80 * gib))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 7 * gib)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: gib)
    assert room(torch.device("cuda", 0)) == 8 * gib  # an earlier fit's six are free, too
    assert room(CPU) == 2 * 2**30


def test_as_many_go_together_as_the_largest_layer_allows():
    tiles = np.zeros((4, 2, 256, 256), np.float32)
    for widest, side, count in ((4, 0, 16), (16, 0, 4), (64, 0, 1), (64, 64, 16), (1, 8, 64)):
        assert Tiles(tiles, device=CPU, widest=widest).together(side) == count
