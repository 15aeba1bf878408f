"""Plates in one HDF5 file."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from stores import noise

from hts_classify.errors import FieldError, PlateError
from hts_classify.plate.hdf5 import open_hdf5
from hts_classify.plate.layout import View
from hts_classify.plate.stored import StoredPlate


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


def open_plate(path: Path, **how: Any) -> StoredPlate:
    return open_hdf5(path, name=path.stem, view=View(**how))


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
        (
            lambda p: _attribute(p, "hts_classify_layout", None),
            "without the attribute.*--hdf5-path '/{row}/{column}/{field}'",
        ),
        (lambda p: _attribute(p, "hts_classify_layout", 2), "layout version 2; this"),
        (lambda p: _attribute(p, "wells", None), "lists no wells"),
        (lambda p: p.write_bytes(p.read_bytes()[:700]), "is truncated: 700 bytes are left; copy"),
        (lambda p: p.write_bytes(b"\0" * 700), "does not open"),
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


def test_a_stamp_follows_the_file_and_tells_fields_apart(path: Path) -> None:
    plate = open_plate(path)
    before = [plate.stamp(field) for field in plate.fields]
    assert len(set(before)) == 3
    assert [open_plate(path).stamp(field) for field in plate.fields] == before
    with h5py.File(path, "r+") as file:
        file["B/2/1"][1, 8, 10] += 1
    assert not set(before) & {plate.stamp(field) for field in plate.fields}


def test_planes_times_labels_and_pixel_sizes_are_read(path: Path) -> None:
    pixels, nuclei = noise(2, 2, 3, 16, 20, seed=5), noise(16, 20, seed=6)
    with h5py.File(path, "a") as file:
        file["B"].attrs["name"] = "B"
        file.attrs["wells"] = ["A/1"]
        del file["A/1/0"]
        dataset = file.create_dataset("A/1/0", data=pixels)
        dataset.attrs["axes"], dataset.attrs["pixel_size"] = "tczyx", [0.65, 0.325]
        file["A/1/labels/0/nuclei"] = nuclei
        file["A/1/labels/0/cells"] = h5py.SoftLink("/gone")
    plate = open_plate(path, time="all")
    late = plate.fields[1]
    assert (late.timepoint, plate.info().pixel_size) == (1, (0.65, 0.325))
    assert plate.info().label_names == ("cells", "nuclei")
    np.testing.assert_array_equal(plate.read(late), pixels[1].max(axis=1))
    np.testing.assert_array_equal(plate.read_label(late, "nuclei"), nuclei)
    with pytest.raises(FieldError, match=r"label image 'golgi'.*it has cells, nuclei"):
        plate.read_label(late, "golgi")
    with pytest.raises(FieldError, match=r"label image 'cells'.*link to /gone, which is not there"):
        plate.read_label(late, "cells")
    volumes = open_plate(path, z="all")
    np.testing.assert_array_equal(volumes.read(volumes.fields[0]), pixels[0])


_WRITER = """
    import h5py, os, sys
    file = h5py.File(sys.argv[1], "r+", libver="latest")
    {how}
    file.flush()
    print("open", flush=True)
    {end}
"""


@pytest.mark.parametrize(
    ("how", "end", "message"),
    [
        ("", "sys.stdin.read()", "is open for writing in another program; wait"),
        ("", "os._exit(0)", "its writer died before closing it; .*h5clear"),
    ],
)
def test_a_file_that_is_being_written_is_named(
    path: Path, how: str, end: str, message: str
) -> None:
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs["hts_classify_layout"] = 1
    script = textwrap.dedent(_WRITER).format(how=how, end=end)
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"open\n"
        if "_exit" in end:
            writer.wait()
        with pytest.raises(PlateError, match=message):
            open_plate(path)
        writer.communicate(b"")


def _elsewhere(path: Path, link: object) -> None:
    with h5py.File(path, "a") as file:
        del file["A/1/0"]
        file["A/1/0"] = link


def _virtual(path: Path) -> None:
    layout = h5py.VirtualLayout((2, 16, 20), "uint16")
    layout[:] = h5py.VirtualSource("gone.h5", "pixels", (2, 16, 20))
    with h5py.File(path, "a") as file:
        del file["A/1/0"]
        file["A/1"].create_virtual_dataset("0", layout)


def _external(path: Path) -> None:
    outside = path.with_name("raw.bin")
    outside.write_bytes(noise(2, 16, 20).tobytes())
    with h5py.File(path, "a") as file:
        del file["A/1/0"]
        file["A/1"].create_dataset(
            "0", (2, 16, 20), "uint16", external=[(str(outside), 0, h5py.h5f.UNLIMITED)]
        )


def _absurd(path: Path, **settings: Any) -> None:
    with h5py.File(path, "a") as file:
        del file["A/1/0"]
        file["A/1"].create_dataset("0", dtype="uint16", **settings)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: _elsewhere(p, h5py.ExternalLink("../x.h5", "/0")), "outside the plate's folder"),
        (lambda p: _elsewhere(p, h5py.ExternalLink("/etc/x.h5", "/0")), "outside the plate's"),
        (lambda p: _elsewhere(p, h5py.ExternalLink("x.h5", "/0")), "x.h5, which is missing"),
        (lambda p: _elsewhere(p, h5py.SoftLink("/A/1/0")), "a circle of links"),
        (_virtual, "virtual dataset of gone.h5.*zeros"),
        (_external, "keeps its pixels in .*raw.bin"),
        (
            lambda p: _absurd(p, shape=(1, 1 << 20, 1 << 20), chunks=(1, 1 << 10, 1 << 10)),
            "claims 2199023255552 bytes of pixels and stores 0",
        ),
        (
            lambda p: _absurd(p, shape=(2, 1 << 14, 1 << 14), chunks=(1, 4, 4)),
            "33554432 chunks",
        ),
    ],
)
def test_pixels_from_elsewhere_or_nowhere_are_refused(
    path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(path)
    plate = open_plate(path)
    with pytest.raises(FieldError, match=f"well A01 field 1.*{message}"):
        plate.read(plate.fields[0])
    assert plate.read(plate.fields[1]).any()


def test_a_link_within_the_folder_is_followed(path: Path) -> None:
    pixels = noise(2, 16, 20, seed=7)
    (path.parent / "wells").mkdir()
    other = path.parent / "wells" / "a01.h5"
    with h5py.File(other, "w") as file:
        file["pixels"] = pixels
        file["pixels"].attrs["axes"] = "cyx"
    _elsewhere(path, h5py.ExternalLink("wells/a01.h5", "/pixels"))
    plate = pickle.loads(pickle.dumps(open_plate(path)))
    np.testing.assert_array_equal(plate.read(plate.fields[0]), pixels)
    before = [plate.stamp(field) for field in plate.fields]
    with h5py.File(other, "a") as file:
        file["pixels"][0, 0, 0] += 1
    assert [plate.stamp(f) == b for f, b in zip(plate.fields, before, strict=True)] == [
        False,
        True,
        True,
    ]


def test_a_file_that_changes_under_an_open_plate_is_not_read_as_it_was(path: Path) -> None:
    plate = open_plate(path)
    _elsewhere(path, noise(2, 16, 24))
    with pytest.raises(FieldError, match=r"shape \(2, 16, 24\), and had \(2, 16, 20\)"):
        plate.read(plate.fields[0])


def test_a_chunk_with_a_wrong_checksum_is_seen(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["A/1/0"]
        file["A/1"].create_dataset("0", data=noise(2, 16, 20), chunks=(1, 16, 20), fletcher32=True)
    with h5py.File(path) as file:
        place = file["A/1/0"].id.get_chunk_info(1).byte_offset
    content = bytearray(path.read_bytes())
    content[place + 100] ^= 1
    path.write_bytes(content)
    plate = open_plate(path)
    with pytest.raises(FieldError, match="channel GFP: A/1/0 does not decode"):
        plate.read(plate.fields[0])
