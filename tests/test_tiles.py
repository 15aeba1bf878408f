from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hts_classify.errors import DataError, UsageError
from hts_classify.tiles import TileStore, downscale, tile_factor, tile_shape


def test_a_tile_is_the_mean_of_its_blocks_even_at_full_scale() -> None:
    field = np.full((2, 9, 13), 65535, np.uint16)
    field[1] = np.random.default_rng(0).integers(0, 65536, (9, 13))
    tile = downscale(field, 4)
    assert tile.shape == (2, 2, 3)
    assert (tile[0] == 65535).all()
    assert tile[1, 1, 2] == np.float32(field[1, 4:8, 8:12].mean())


def test_a_cell_keeps_its_size_on_a_larger_field() -> None:
    small, large = np.zeros((1, 640, 640), np.uint8), np.zeros((1, 1280, 960), np.uint8)
    factor = tile_factor((640, 640), 128)
    assert downscale(small, factor).shape == (1, 128, 128)
    assert downscale(large, factor).shape == (1, 256, 192)


def test_a_tile_too_small_for_a_cnn_is_refused() -> None:
    with pytest.raises(DataError, match="gives a tile of 14 × 14; a CNN needs 16"):
        tile_shape((100, 100), tile_factor((100, 100), 16))


def test_a_field_smaller_than_a_block_is_refused() -> None:
    with pytest.raises(DataError, match="3 × 9 pixels has no block of 4 × 4"):
        downscale(np.zeros((1, 3, 9), np.uint8), 4)


def test_a_store_gives_back_what_it_was_given_in_any_order(tmp_path: Path) -> None:
    store = TileStore.create(tmp_path / "tiles.zarr", (3, 2, 4, 4))
    tiles = np.random.default_rng(0).random((3, 2, 4, 4)).astype(np.float32)
    for row in (2, 0, 1):
        store.write(row, tiles[row])
    view = TileStore(tmp_path / "tiles.zarr").view([2, 0])
    assert len(view) == 2
    np.testing.assert_array_equal(view[np.array([1, 0])], tiles[[0, 2]])


def test_a_tile_that_nobody_wrote_is_not_a_black_one(tmp_path: Path) -> None:
    store = TileStore.create(tmp_path / "tiles.zarr", (2, 1, 4, 4))
    store.write(0, np.zeros((1, 4, 4), np.float32))
    assert (store.view([0])[np.array([0])] == 0).all()
    with pytest.raises(DataError, match="tile 1 is absent"):
        store.view([1])[np.array([0])]


def test_a_store_of_another_shape_is_refused(tmp_path: Path) -> None:
    TileStore.create(tmp_path / "tiles.zarr", (2, 1, 4, 4))
    with pytest.raises(UsageError, match="holds tiles of shape"):
        TileStore.create(tmp_path / "tiles.zarr", (2, 1, 8, 8))
    with pytest.raises(DataError, match="no tiles"):
        TileStore(tmp_path / "nothing.zarr")
