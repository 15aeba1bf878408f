from __future__ import annotations

import json
import pickle
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from hts_classify.errors import DataError, FieldError, UsageError
from hts_classify.files import place
from hts_classify.tiles import CropStore, cut, grid_crops, object_crops


def a_store(folder: Path) -> tuple[CropStore, dict[str, NDArray[np.uint16]]]:
    """Two wells with crops and one without."""
    rng = np.random.default_rng(0)
    store = CropStore(folder / "crops.zarr")
    wells = {
        well: rng.integers(0, 4096, (n, 2, 8, 8), np.uint16)
        for well, n in (("B02", 5), ("B03", 3), ("C02", 0))
    }
    for well, crops in wells.items():
        store.write("plate 1", well, crops)
    return store, wells


def test_crops_of_real_nuclei_have_a_nucleus_in_the_middle(shared_data: Path) -> None:
    from scipy import ndimage

    path = sorted((shared_data / "jump_16bit").glob("*.tiff"))[-1]
    image = np.asarray(Image.open(path))
    blurred = ndimage.gaussian_filter(image.astype(np.float32), 3)
    labels, _ = ndimage.label(blurred > blurred.mean() + blurred.std())
    for label in np.flatnonzero(np.bincount(labels.ravel()) < 200):
        labels[labels == label] = 0
    found, corners = object_crops(labels, 64, at_most=1000)
    assert len(found) == len(np.unique(labels)) - 1 > 20
    crops, masks = cut(image[None], corners, 64), cut(labels[None], corners, 64)
    for label, corner, crop, mask in zip(found, corners, crops, masks, strict=True):
        centre = np.array(ndimage.center_of_mass(labels == label)) - corner
        inside = (corner > 0) & (corner < 1080 - 64)
        assert (np.abs(centre - 31.5) <= 0.5)[inside].all()
        # The crop's own pixels, and brighter in its object than around.
        y, x = corner
        np.testing.assert_array_equal(crop[0], image[y : y + 64, x : x + 64])
        assert crop[0][mask[0] == label].mean() > crop[0][mask[0] == 0].mean()


@given(
    length=st.integers(1, 120),
    size=st.integers(1, 40),
    count=st.integers(1, 8),
)
def test_a_grid_is_inside_and_overlaps_only_where_it_must(
    length: int, size: int, count: int
) -> None:
    if length < size:
        with pytest.raises(FieldError, match="is smaller than a crop of"):
            grid_crops((200, length), size, count)
        return
    if count > length - size + 1:
        with pytest.raises(UsageError, match=f"ask for 1 to {length - size + 1}"):
            grid_crops((length, 200), size, (count, 1))
        return
    starts = [y for y, _ in grid_crops((length, 200), size, (count, 1))]
    assert starts == [x for _, x in grid_crops((200, length), size, (1, count))]
    assert 0 <= starts[0] <= starts[-1] <= length - size
    steps = [after - before for before, after in pairwise(starts)]
    assert not steps or max(steps) - min(steps) <= 1
    if count * size <= length:
        assert all(step >= size for step in steps)
    else:
        assert (starts[0], starts[-1]) == (0, length - size)
        assert min(steps) >= 1


def test_a_grid_is_the_same_from_both_ends() -> None:
    corners = grid_crops((1080, 1280), 200, (3, 4))
    assert len(corners) == 12
    mirrored = {(1080 - 200 - y, 1280 - 200 - x) for y, x in corners}
    assert mirrored == set(corners)
    for (y, x), (v, u) in combinations(corners, 2):
        assert abs(y - v) >= 200 or abs(x - u) >= 200


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int32", "uint32", "int64"])
def test_an_objects_crop_is_around_its_centroid(kind: str) -> None:
    from scipy import ndimage

    rng = np.random.default_rng(0)
    labels = np.zeros((90, 120), kind)
    for label in rng.permutation(60)[:20] + 1:
        y, x = rng.integers(0, (80, 105))
        labels[y : y + rng.integers(1, 10), x : x + rng.integers(1, 15)] = label
    labels[rng.random(labels.shape) < 0.1] = 0
    found, corners = object_crops(labels, 1, at_most=100)
    assert found.tolist() == np.unique(labels[labels > 0]).tolist()
    centroids = np.array(ndimage.center_of_mass(labels > 0, labels, found))
    np.testing.assert_array_equal(corners, np.floor(centroids + 0.5))
    found, corners = object_crops(labels, 20, at_most=100)
    expected = np.clip(np.floor(centroids + 1 - 10), 0, (70, 100))
    np.testing.assert_array_equal(corners, expected)


def test_a_crop_at_the_edge_is_shifted_inside_the_field() -> None:
    labels = np.zeros((30, 40), np.uint16)
    labels[0, 0], labels[29, 39], labels[15, 0] = 1, 2, 3
    found, corners = object_crops(labels, 11, at_most=9)
    assert dict(zip(found.tolist(), corners.tolist(), strict=True)) == {
        1: [0, 0],
        2: [19, 29],
        3: [10, 0],
    }
    assert cut(labels[None], corners, 11).shape == (3, 1, 11, 11)


def test_of_too_many_objects_evenly_many_are_taken() -> None:
    labels = np.arange(1, 101, dtype=np.uint16).repeat(16).reshape(100, 16)
    found, corners = object_crops(labels, 1, at_most=4)
    assert found.tolist() == [13, 38, 63, 88]
    assert corners[:, 0].tolist() == [12, 37, 62, 87]
    everyone, _ = object_crops(labels, 1, at_most=100)
    assert everyone.tolist() == list(range(1, 101))


def test_labels_may_be_huge_and_a_field_may_have_none() -> None:
    labels = np.zeros((20, 20), np.uint32)
    found, corners = object_crops(labels, 8, at_most=5)
    assert (found.shape, corners.shape) == ((0,), (0, 2))
    assert cut(labels[None], corners, 8).shape == (0, 1, 8, 8)
    labels[10, 10] = 2**32 - 1
    assert object_crops(labels, 8, at_most=5)[0].tolist() == [2**32 - 1]


def test_an_object_of_a_volume_is_cut_from_the_projection() -> None:
    labels = np.zeros((3, 30, 30), np.uint16)
    labels[0, 4:7, 20:23] = labels[2, 8:11, 20:23] = 5
    found, corners = object_crops(labels, 9, at_most=5)
    assert (found.tolist(), corners.tolist()) == ([5], [[3, 17]])
    field = np.random.default_rng(0).integers(0, 255, (2, 3, 30, 30), np.uint8)
    np.testing.assert_array_equal(cut(field, corners, 9)[0], field.max(axis=1)[:, 3:12, 17:26])


def test_bad_crops_are_refused() -> None:
    labels = np.ones((20, 20), np.uint8)
    with pytest.raises(FieldError, match="20 × 20 pixels is smaller than a crop of 21 × 21"):
        object_crops(labels, 21, at_most=5)
    with pytest.raises(UsageError, match="at most 0 crops"):
        object_crops(labels, 8, at_most=0)
    with pytest.raises(UsageError, match="crops of 0 pixels"):
        grid_crops((20, 20), 0, 2)
    with pytest.raises(UsageError, match="0 crops of 8"):
        grid_crops((20, 20), 8, 0)
    for corner in [(-1, 0), (0, -1), (13, 0), (0, 13)]:
        with pytest.raises(FieldError, match="is not inside 20 × 20"):
            cut(labels[None], [corner], 8)


def test_crops_come_back_as_they_are(tmp_path: Path) -> None:
    store, wells = a_store(tmp_path)
    assert not store.has("plate 1", "D02")
    for well, crops in wells.items():
        assert store.has("plate 1", well)
        held = store.read("plate 1", well)
        assert held.dtype == np.uint16
        np.testing.assert_array_equal(held, crops)


def test_a_view_reads_the_crops_of_a_table_in_its_order(tmp_path: Path) -> None:
    store, wells = a_store(tmp_path)
    store.write("plate 2", "B02", wells["B03"][::-1])
    plates = ["plate 1", "plate 2", "plate 1", "plate 1"]
    view = store.view(plates, ["B03", "B02", "B02", "B03"], [0, 0, 4, 2])
    expected = np.stack([wells["B03"][0], wells["B03"][2], wells["B02"][4], wells["B03"][2]])
    assert len(view) == 4
    order = np.array([3, 0, 2, 1, 2])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(view))[order], expected[order])
    assert view[np.array([], np.intp)].shape == (0, 2, 8, 8)


def test_zarr_reads_the_crops(tmp_path: Path) -> None:
    import zarr

    _, wells = a_store(tmp_path)
    group = zarr.open_group(tmp_path / "crops.zarr", mode="r")
    for well, crops in wells.items():
        array: Any = group[f"plate 1/{well}"]
        np.testing.assert_array_equal(array[:], crops)
        assert array.chunks == (1, 2, 8, 8)
        assert array.metadata.dimension_names == ("crop", "channel", "y", "x")
    plate: Any = group["plate 1"]
    assert sorted(plate) == sorted(wells)


def test_a_flipped_bit_is_seen_by_us_and_by_zarr(tmp_path: Path) -> None:
    import zarr

    store, wells = a_store(tmp_path)
    file = tmp_path / "crops.zarr" / "plate 1" / "B02" / "c.0.0.0.0"
    data = bytearray(file.read_bytes())
    data[2 * (2 * 8 * 8 * 2 + 4) + 77] ^= 16
    file.write_bytes(data)
    with pytest.raises(DataError, match=r"B02: crop 2 does not decode .*; delete .*B02 and run"):
        store.read("plate 1", "B02")
    array: Any = zarr.open_array(file.parent, mode="r")
    with pytest.raises(ValueError, match="checksum"):
        array[2]
    others = store.view(["plate 1"] * 4, ["B02"] * 4, [0, 1, 3, 4])
    np.testing.assert_array_equal(others[np.arange(4)], wells["B02"][[0, 1, 3, 4]])


def test_a_truncated_or_lost_file_is_named(tmp_path: Path) -> None:
    store, _ = a_store(tmp_path)
    file = tmp_path / "crops.zarr" / "plate 1" / "B03" / "c.0.0.0.0"
    file.write_bytes(file.read_bytes()[:700])
    view = store.view(["plate 1"], ["B03"], [2])
    with pytest.raises(DataError, match=r"B03: crop 2 does not decode \(its file ends too early"):
        view[np.array([0])]
    file.unlink()
    with pytest.raises(DataError, match=r"B03: its crops are absent; delete"):
        store.read("plate 1", "B03")
    file.mkdir()
    with pytest.raises(DataError, match=r"B03: its crops cannot be read \(.*directory"):
        store.read("plate 1", "B03")


def test_a_well_written_again_keeps_nothing_of_what_it_had(tmp_path: Path) -> None:
    store, wells = a_store(tmp_path)
    store.write("plate 1", "B02", wells["B03"].astype(np.uint8))
    held = store.read("plate 1", "B02")
    assert held.dtype == np.uint8
    np.testing.assert_array_equal(held, wells["B03"].astype(np.uint8))
    store.write("plate 1", "B02", wells["C02"])
    names = [path.name for path in (tmp_path / "crops.zarr" / "plate 1" / "B02").iterdir()]
    assert names == ["zarr.json"]


def test_a_write_that_is_cut_off_leaves_the_crops_that_were_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, wells = a_store(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("hts_classify.tiles.crop_store.seal", lambda _: 1 / 0)
        for well in ("B02", "D02"):
            with pytest.raises(ZeroDivisionError):
                store.write("plate 1", well, wells["B03"])
    np.testing.assert_array_equal(store.read("plate 1", "B02"), wells["B02"])
    assert not store.has("plate 1", "D02")
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".part")]


@pytest.mark.parametrize("change", [{"shape": ["a", 2, 8, 8]}, {"data_type": "float32"}, {"x": 1}])
def test_metadata_that_are_not_ours_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    store, _ = a_store(tmp_path)
    file = tmp_path / "crops.zarr" / "plate 1" / "B02" / "zarr.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(DataError, match=r"B02: zarr\.json is not that of a run's crops; delete"):
        store.read("plate 1", "B02")


def test_crops_that_no_plate_has_are_not_written(tmp_path: Path) -> None:
    store = CropStore(tmp_path / "crops.zarr")
    for crops in (np.zeros((2, 1, 8, 8), np.float32), np.zeros((2, 8, 8), np.uint8)):
        with pytest.raises(DataError, match=r"crops of (float32|uint8) \(2"):
            store.write("plate 1", "B02", crops)
    assert not (tmp_path / "crops.zarr").exists()


def test_the_same_crops_are_the_same_bytes(tmp_path: Path) -> None:
    stored = []
    for run in (tmp_path / "one", tmp_path / "two"):
        a_store(run)
        files = [path for path in run.rglob("*") if path.is_file()]
        stored.append({path.relative_to(run): path.read_bytes() for path in files})
    assert stored[0] == stored[1]
    assert len(stored[0]) == 7


def test_a_table_that_does_not_fit_the_store_is_refused(tmp_path: Path) -> None:
    store, wells = a_store(tmp_path)
    for index in (5, -1):
        with pytest.raises(DataError, match=f"B02: no crop {index} of 5"):
            store.view(["plate 1"] * 2, ["B03", "B02"], [0, index])
    with pytest.raises(DataError, match="D02: no crops"):
        store.view(["plate 1"], ["D02"], [0])
    with pytest.raises(DataError, match="no crops to look at"):
        store.view([], [], [])
    store.write("plate 1", "D02", wells["B02"].astype(np.uint8))
    with pytest.raises(DataError, match=r"D02: crops of \('uint8'"):
        store.view(["plate 1"] * 2, ["B02", "D02"], [0, 0])


@pytest.mark.parametrize("name", ["..", "../plate", "/etc", "", ".hidden", "__x", "a\\b", "a\0"])
def test_a_name_that_leaves_the_store_is_refused(tmp_path: Path, name: str) -> None:
    store, wells = a_store(tmp_path)
    for plate, well in ((name, "B02"), ("plate 1", name)):
        with pytest.raises(UsageError, match="names no folder"):
            store.write(plate, well, wells["B02"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["crops.zarr"]


def test_crops_can_be_kept_away_from_the_disk() -> None:
    store = CropStore(place("memory://crops-test/crops.zarr"))
    crops = np.random.default_rng(0).integers(0, 256, (4, 1, 8, 8), np.uint8)
    store.write("plate", "B02", crops)
    store.write("plate", "B02", crops)
    view = store.view(["plate"] * 2, ["B02"] * 2, [3, 1])
    np.testing.assert_array_equal(view[np.array([0, 1])], crops[[3, 1]])
