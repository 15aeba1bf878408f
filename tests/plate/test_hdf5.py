"""Plates in one HDF5 file."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
from stores import noise

from hts_classify.errors import FieldError, PlateError
from hts_classify.plate import open_plate
from hts_classify.plate.stored import sample


def write(path: Path) -> Path:
    """Write two wells as the documentation of the layout says, with h5py alone."""
    with h5py.File(path, "w") as file:
        file.attrs["hts_classify_layout"] = 1
        file.attrs["name"] = "BR00117"
        file.attrs["rows"], file.attrs["columns"] = ["A", "B"], ["1", "2"]
        file.attrs["wells"] = ["B/2", "A/1"]
        file.attrs["channels"] = ["DNA", "GFP"]
        for seed, (well, sites) in enumerate({"A/1": ["0"], "B/2": ["0", "1"]}.items()):
            group = file.create_group(well)
            group.attrs["images"] = sites
            for site in sites:
                pixels = noise(2, 16, 20, seed=10 * seed + int(site))
                group.create_dataset(site, data=pixels, chunks=(1, 16, 20), compression="gzip")
                group[site].attrs["axes"] = "cyx"
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "plate.h5")


def test_a_plate_is_read_back(path: Path) -> None:
    plate = open_plate(path)
    assert (plate.name, plate.channels) == ("BR00117", ("DNA", "GFP"))
    assert [str(field) for field in plate.fields] == [
        "well A01 field 1",
        "well B02 field 1",
        "well B02 field 2",
    ]
    np.testing.assert_array_equal(plate.read(plate.fields[2]), noise(2, 16, 20, seed=11))
    info = plate.info()
    assert (info.format, info.bytes_on_disk) == ("HDF5", path.stat().st_size)
    assert (info.rows, info.columns, info.missing) == (("A", "B"), ("1", "2"), ())


def test_a_plate_is_pickled_and_read_from_many_threads(path: Path) -> None:
    plate = pickle.loads(pickle.dumps(open_plate(path)))
    with ThreadPoolExecutor(4) as threads:
        read = list(threads.map(plate.read, list(plate.fields) * 10))
    for index, pixels in enumerate(read):
        np.testing.assert_array_equal(pixels, read[index % 3])


def _rewrite(path: Path, **settings: object) -> None:
    """Replace A01's field by one in which only the first channel is ever written."""
    with h5py.File(path, "a") as file:
        del file["A/1/0"]
        dataset = file.create_dataset("A/1/0", (2, 16, 20), "uint16", **settings)
        if settings:
            dataset[0] = noise(16, 20)


def _drop_field(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["A/1/0"]


def _corrupt(path: Path) -> None:
    with h5py.File(path) as file:
        chunk = file["A/1/0"].id.get_chunk_info(1)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = b"\0" * chunk.size
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: _rewrite(p, chunks=(1, 16, 20)), "channel GFP: chunk .* is missing"),
        (lambda p: _rewrite(p), "channel DNA, GFP: chunk A/1/0 is missing"),
        (_drop_field, "dataset A/1/0 is missing"),
        (_corrupt, "channel GFP: A/1/0 does not decode"),
    ],
)
def test_a_damaged_field_fails_alone(
    path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(path)
    plate = open_plate(path)
    with pytest.raises(FieldError, match=f"well A01 field 1.*{message}"):
        plate.read(plate.fields[0])
    assert plate.read(plate.fields[1]).any()


def test_a_promised_well_that_is_absent_is_reported(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["B/2"]
    plate = open_plate(path)
    assert plate.wells == ("A01",)
    assert [m.well for m in plate.info().missing] == ["B02"]


def _attribute(path: Path, name: str, value: object) -> None:
    with h5py.File(path, "a") as file:
        if value is None:
            del file.attrs[name]
        else:
            file.attrs[name] = value


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: _attribute(p, "hts_classify_layout", None), "without the attribute"),
        (lambda p: _attribute(p, "hts_classify_layout", 2), "layout version 2; this"),
        (lambda p: _attribute(p, "wells", None), "lists no wells"),
        (lambda p: p.write_bytes(p.read_bytes()[:700]), "does not open"),
    ],
)
def test_other_files_are_refused(path: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(path)
    with pytest.raises(PlateError, match=message):
        open_plate(path)


@pytest.mark.parametrize(
    ("axes", "order"),
    [
        ("cyx", lambda p: p),
        ("yxc", lambda p: p.transpose(1, 2, 0)),
        ("xcy", lambda p: p.transpose(2, 0, 1)),
        ("tczyx", lambda p: p[np.newaxis, :, np.newaxis]),
    ],
)
def test_every_order_of_axes_is_read_as_channel_y_x(
    path: Path, axes: str, order: Callable[[np.ndarray], np.ndarray]
) -> None:
    pixels = noise(2, 16, 20, seed=5)
    with h5py.File(path, "a") as file:
        del file["A/1/0"]
        file["A/1"].create_dataset("0", data=order(pixels)).attrs["axes"] = axes
    plate = open_plate(path)
    np.testing.assert_array_equal(plate.read(plate.fields[0]), pixels)


def test_a_damaged_index_of_chunks_fails_alone(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["A/1/0"]
        dataset = file["A/1"].create_dataset("0", (2, 16, 20), "uint16", chunks=(1, 4, 4))
        dataset[:] = noise(2, 16, 20)
        dataset.attrs["axes"] = "cyx"
    content = path.read_bytes()
    assert b"TREE\x01" in content
    path.write_bytes(content.replace(b"TREE\x01", b"EERT\x01"))
    plate = open_plate(path)
    with pytest.raises(FieldError, match="well A01 field 1: the chunks of A/1/0 make no sense"):
        plate.read(plate.fields[0])
    assert plate.stamp(plate.fields[0])
    assert "A01" in [m.well for m in plate.info().missing]


@pytest.mark.parametrize("chunked", [True, False])
def test_a_stamp_follows_its_own_fields_bytes(path: Path, tmp_path: Path, chunked: bool) -> None:
    if not chunked:
        with h5py.File(path, "r+") as file:
            del file["B/2/1"]
            file["B/2"].create_dataset("1", data=noise(2, 16, 20, seed=11))
    plate = open_plate(path)
    before = [plate.stamp(field) for field in plate.fields]
    assert len(set(before)) == 3
    copy = tmp_path / "copy.h5"
    copy.write_bytes(path.read_bytes())
    assert [open_plate(copy).stamp(field) for field in plate.fields] == before
    with h5py.File(path, "r+") as file:
        file["B/2/1"][1, 8, 10] += 1
    after = [plate.stamp(field) for field in plate.fields]
    assert after[:2] == before[:2]
    assert after[2] != before[2]


def test_a_large_chunk_is_sampled_throughout() -> None:
    content = np.zeros(1 << 20, np.uint8)
    seen = sample(io.BytesIO(content), 0, len(content))
    assert len(seen) < 1 << 17
    for place in (0, 1 << 19, (1 << 20) - 1):
        changed = content.copy()
        changed[max(0, place - 40_000) : place + 40_000] = 1
        assert sample(io.BytesIO(changed), 0, len(content)) != seen
