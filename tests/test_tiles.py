from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from hts_classify.errors import DataError, FieldError, UsageError
from hts_classify.files import place
from hts_classify.tiles import Scale, TileStore, downscale, tile_scale, tile_shape


def overlaps(length: int, scale: Scale) -> list[list[tuple[int, int]]]:
    """For each pixel of a tile along one side: the field's pixels and how much of them."""
    num, den = scale
    return [
        [
            (pixel, min((pixel + 1) * num, (to + 1) * den) - max(pixel * num, to * den))
            for pixel in range(to * den // num, -(-(to + 1) * den // num))
        ]
        for to in range(length * num // den)
    ]


def averaged(image: NDArray[Any], scale: Scale) -> NDArray[np.float32]:
    """What `downscale` says, in Python's whole numbers, pixel by pixel."""
    rows, columns = (overlaps(length, scale) for length in image.shape)
    sums = [
        [sum(int(image[y, x]) * h * w for y, h in row for x, w in column) for column in columns]
        for row in rows
    ]
    return np.array([[total / scale[1] ** 2 for total in row] for row in sums], np.float32)


def a_store(folder: Path, *, fields: int = 3) -> tuple[TileStore, NDArray[np.float32]]:
    tiles = np.random.default_rng(0).normal(900, 99, (fields, 2, 16, 20)).astype(np.float32)
    store = TileStore.create(folder / "tiles.zarr", 20, (fields, 2, 16, 20))
    for row, tile in enumerate(tiles):
        store.write(row, tile)
    return store, tiles


def test_a_real_fields_tile_keeps_its_light_and_its_bright_spots_where_they_are(
    shared_data: Path,
) -> None:
    paths = sorted((shared_data / "jump_16bit").glob("*.tiff"))
    field = np.stack([np.asarray(Image.open(path)) for path in paths])
    scale = tile_scale((1080, 1080), 224)
    tile = downscale(field, scale)
    assert tile.shape == (3, *tile_shape((1080, 1080), scale)) == (3, 224, 224)
    np.testing.assert_allclose(tile.mean(axis=(1, 2)), field.mean(axis=(1, 2)), rtol=1e-6)
    for channel, small in zip(field, tile, strict=True):
        np.testing.assert_array_equal(small[:5, :5], averaged(channel[:25, :25], scale)[:5, :5])
        assert channel.min() <= small.min() < small.max() <= channel.max()


@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    num=st.integers(1, 9),
    more=st.integers(0, 9),
    kind=st.sampled_from(["uint8", "uint16"]),
)
def test_a_tiles_pixel_is_the_mean_of_what_it_covers(
    height: int, width: int, num: int, more: int, kind: str
) -> None:
    scale = Fraction(num, num + more).as_integer_ratio()
    seed = height * 31 + width
    image = np.random.default_rng(seed).integers(0, np.iinfo(kind).max, (height, width), kind, True)
    expected = averaged(image, scale)
    if not expected.size:
        with pytest.raises(FieldError, match="less than a pixel of a tile"):
            downscale(image[None], scale)
        return
    np.testing.assert_array_equal(downscale(image[None], scale)[0], expected)


def test_a_tile_is_exact_at_full_scale() -> None:
    field = np.full((2, 1080, 1080), 65535, np.uint16)
    assert (downscale(field, tile_scale((1080, 1080), 224)) == 65535).all()


@pytest.mark.parametrize(
    ("shape", "size", "scale", "tile"),
    [
        ((1080, 1080), 128, (16, 135), (128, 128)),
        ((1080, 1080), 224, (28, 135), (224, 224)),
        ((2160, 2560), 224, (7, 80), (189, 224)),
        ((640, 640), 128, (1, 5), (128, 128)),
        ((64, 48), 128, (1, 1), (64, 48)),
    ],
)
def test_the_longer_side_is_exactly_as_long_as_asked(
    shape: tuple[int, int], size: int, scale: Scale, tile: tuple[int, int]
) -> None:
    assert tile_scale(shape, size) == scale
    assert tile_shape(shape, scale) == tile
    assert downscale(np.zeros((1, *shape), np.uint8), scale).shape[1:] == tile


def test_a_cell_keeps_its_size_on_a_larger_field() -> None:
    scale = tile_scale((640, 640), 128)
    assert downscale(np.zeros((1, 1280, 960), np.uint8), scale).shape == (1, 256, 192)


def test_a_larger_fields_tile_is_the_middle_of_it() -> None:
    field = np.random.default_rng(0).integers(0, 4096, (2, 80, 96), np.uint16)
    tile = downscale(field, (1, 2), (32, 33))
    np.testing.assert_array_equal(tile, downscale(field, (1, 2))[:, 4:36, 7:40])
    assert tile.flags.c_contiguous


def test_a_smaller_fields_tile_is_continued_by_its_mirror_image() -> None:
    field = np.random.default_rng(0).integers(0, 4096, (2, 40, 80), np.uint16)
    small, tile = downscale(field, (1, 2)), downscale(field, (1, 2), (27, 30))
    assert tile.shape == (2, 27, 30)
    np.testing.assert_array_equal(tile[:, 3:23], small[:, :, 5:35])
    np.testing.assert_array_equal(tile[:, :3], small[:, 2::-1, 5:35])
    np.testing.assert_array_equal(tile[:, 23:], small[:, :15:-1, 5:35])


def test_a_field_that_would_be_mostly_mirror_image_is_left_out() -> None:
    downscale(np.zeros((1, 32, 32), np.uint8), (1, 2), (32, 16))
    with pytest.raises(FieldError, match="31 × 32 pixels fills less than half of a tile of 32"):
        downscale(np.zeros((1, 31, 32), np.uint8), (1, 2), (32, 16))


def test_a_volumes_tile_is_that_of_its_maximum_projection() -> None:
    volume = np.random.default_rng(0).integers(0, 4096, (2, 3, 32, 32), np.uint16)
    np.testing.assert_array_equal(downscale(volume, (1, 2)), downscale(volume.max(axis=1), (1, 2)))


def test_a_tile_too_small_for_a_cnn_is_refused() -> None:
    with pytest.raises(DataError, match="gives a tile of 12 × 16; a CNN needs 16"):
        tile_shape((75, 100), tile_scale((75, 100), 16))
    with pytest.raises(UsageError, match="tile size 15"):
        tile_scale((100, 100), 15)


def test_a_store_gives_back_what_it_was_given_in_any_order(tmp_path: Path) -> None:
    _, tiles = a_store(tmp_path)
    view = TileStore(tmp_path / "tiles.zarr", 20).view([2, 0])
    assert len(view) == 2
    np.testing.assert_array_equal(view[np.array([1, 0])], tiles[[0, 2]])
    assert view[np.array([], np.intp)].shape == (0, 2, 16, 20)


def test_zarr_reads_the_tiles_of_every_size(tmp_path: Path) -> None:
    import zarr

    _, tiles = a_store(tmp_path)
    TileStore.create(tmp_path / "tiles.zarr", 16, (3, 2, 16, 16))
    group = zarr.open_group(tmp_path / "tiles.zarr", mode="r")
    assert sorted(group) == ["16", "20"]
    array: Any = group["20"]
    np.testing.assert_array_equal(array[:], tiles)
    assert array.metadata.dimension_names == ("field", "channel", "y", "x")
    unwritten: Any = group["16"]
    assert np.isnan(unwritten[:]).all()


def test_zarr_writes_the_same_bytes(tmp_path: Path) -> None:
    import zarr

    store, tiles = a_store(tmp_path)
    files = sorted(store.path.glob("c.*"))
    written = [file.read_bytes() for file in files]
    array: Any = zarr.open_array(store.path, mode="r+")
    array[:] = 0
    array[:] = tiles
    assert len(written) == len(tiles)
    assert [file.read_bytes() for file in sorted(store.path.glob("c.*"))] == written


def test_a_flipped_bit_is_seen_by_us_and_by_zarr(tmp_path: Path) -> None:
    import zarr

    store, tiles = a_store(tmp_path)
    file = store.path / "c.1.0.0.0"
    whole = file.read_bytes()
    for at in (0, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with pytest.raises(
            DataError, match=r"tiles\.zarr/20: tile 1 does not decode.*delete .*c\.1"
        ):
            store.read(np.array([1]))
        array: Any = zarr.open_array(store.path, mode="r")
        with pytest.raises(ValueError, match="checksum"):
            array[1]
    np.testing.assert_array_equal(store.read(np.array([0, 2])), tiles[[0, 2]])


@pytest.mark.parametrize("spoil", [lambda b: b"", lambda b: b[:-9], lambda b: b + b"0"])
def test_a_tile_of_another_length_is_named(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    store, _ = a_store(tmp_path)
    file = store.path / "c.2.0.0.0"
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(DataError, match=r"tile 2 does not decode \(its file (ends|goes on)"):
        store.read(np.array([2]))


def test_a_disk_that_fails_is_no_reason_to_delete_a_tile(tmp_path: Path) -> None:
    store, _ = a_store(tmp_path)
    (store.path / "c.2.0.0.0").unlink()
    (store.path / "c.2.0.0.0").mkdir()
    with pytest.raises(DataError, match=r"tile 2 cannot be read \(.*directory.*\); run again$"):
        store.read(np.array([2]))


def test_a_tile_that_nobody_wrote_is_not_a_black_one(tmp_path: Path) -> None:
    store = TileStore.create(tmp_path / "tiles.zarr", 16, (2, 1, 16, 16))
    assert not store.has(0)
    store.write(0, np.zeros((1, 16, 16), np.float32))
    assert store.has(0)
    assert (store.view([0])[np.array([0])] == 0).all()
    with pytest.raises(DataError, match="tile 1 is absent; run again"):
        store.view([1])[np.array([0])]


def test_a_tile_of_another_shape_or_type_is_not_written(tmp_path: Path) -> None:
    store = TileStore.create(tmp_path / "tiles.zarr", 16, (2, 1, 16, 20))
    fitting = np.zeros((1, 16, 20), np.float32)
    turned: Any = fitting.transpose(0, 2, 1)
    doubles: Any = fitting.astype(np.float64)
    for tile in (turned, doubles):
        with pytest.raises(DataError, match=r"not float32 \(1, 16, 20\)"):
            store.write(0, tile)
    for row in (2, -1):
        with pytest.raises(DataError, match=f"row {row} of 2"):
            store.write(row, fitting)
    assert [file.name for file in store.path.iterdir()] == ["zarr.json"]


def test_a_tile_in_another_order_of_axes_or_bytes_is_written_right(tmp_path: Path) -> None:
    store = TileStore.create(tmp_path / "tiles.zarr", 16, (2, 1, 16, 20))
    turned = np.random.default_rng(0).random((20, 16, 1)).astype(np.float32).T
    store.write(0, turned)
    store.write(1, turned[..., ::-1])
    np.testing.assert_array_equal(store.read(np.array([0, 1])), [turned, turned[..., ::-1]])


def test_a_write_that_is_cut_off_leaves_the_tile_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, tiles = a_store(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("hts_classify.tiles.store.seal", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.write(0, tiles[1])
    np.testing.assert_array_equal(store.read(np.array([0])), tiles[:1])
    assert sorted(file.name for file in store.path.iterdir()) == [
        "c.0.0.0.0",
        "c.1.0.0.0",
        "c.2.0.0.0",
        "zarr.json",
    ]


def test_a_worker_that_seemed_lost_may_write_the_same_tile(tmp_path: Path) -> None:
    store, tiles = a_store(tmp_path)
    copy = pickle.loads(pickle.dumps(store))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: (store, copy)[n % 2].write(0, tiles[0]), range(200)))
    np.testing.assert_array_equal(copy.read(np.array([0])), tiles[:1])
    assert not list(store.path.glob("*.part"))


def test_tiles_of_16_bit_plates_are_kept_to_the_nearest_grey_level(tmp_path: Path) -> None:
    store = TileStore.create(tmp_path / "tiles.zarr", 16, (1, 1, 16, 16), kind="uint16")
    tile = np.linspace(0, 65535, 256, dtype=np.float32).reshape(1, 16, 16)
    store.write(0, tile)
    read = store.read(np.array([0]))
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read[0], np.rint(tile))
    array = zarr.open_array(tmp_path / "tiles.zarr" / "16", mode="r")
    np.testing.assert_array_equal(array[0], np.rint(tile).astype(np.uint16))


def test_a_store_grows_with_the_plates_and_keeps_its_tiles(tmp_path: Path) -> None:
    path = tmp_path / "tiles.zarr"
    store = TileStore.create(path, 16, (2, 1, 16, 16))
    store.write(1, np.ones((1, 16, 16), np.float32))
    grown = TileStore.create(path, 16, (5, 1, 16, 16))
    assert (grown.shape, grown.has(1), grown.has(4)) == ((5, 1, 16, 16), True, False)
    assert grown.read(np.array([1])).all()
    (path / "16" / "zarr.json").write_text("damaged")
    assert TileStore.create(path, 16, (5, 1, 16, 16)).has(1)
    with pytest.raises(DataError, match="no tiles"):
        TileStore(path, 32)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"shape": 3}',
        '{"shape": ["a", 1, 16, 16]}',
        '{"shape": [2, 1, 16, 16], "zarr_format": 3}',
        "",
    ],
)
def test_metadata_that_are_not_ours_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tiles.zarr"
    TileStore.create(path, 16, (2, 1, 16, 16))
    (path / "16" / "zarr.json").write_text(content)
    with pytest.raises(DataError, match=r"tiles\.zarr/16: .*delete"):
        TileStore(path, 16)


def test_tiles_can_be_kept_away_from_the_disk() -> None:
    path = place("memory://tiles-test/tiles.zarr")
    store = TileStore.create(path, 16, (2, 1, 16, 16))
    tile = np.random.default_rng(0).random((1, 16, 16)).astype(np.float32)
    store.write(1, tile)
    assert (store.has(0), store.has(1)) == (False, True)
    np.testing.assert_array_equal(TileStore(path, 16).read(np.array([1])), tile[None])
    with pytest.raises(DataError, match="tile 0 is absent"):
        store.read(np.array([0]))
