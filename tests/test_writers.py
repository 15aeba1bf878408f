"""What is written: valid for others, whole or absent, the same bytes, and damage is seen."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tensorstore
import yaozarrs
from numpy.typing import NDArray
from yaozarrs import v04, v05

from hts_classify.errors import FieldError, UsageError
from hts_classify.plate import Field, View, open_plate
from hts_classify.writers import Format, Outline, open_writer
from hts_classify.writers.pyramid import average, level_count, thin

Pixels = NDArray[Any]

OUTLINE = Outline(
    name="Trial",
    rows=("A", "B", "C"),
    columns=("1", "2", "3"),
    channels=("DNA", "GFP"),
    pixel_size=(0.5, 0.25),
)
FIELDS = (Field("A01", 1, ""), Field("A01", 2, ""), Field("C03", 1, ""))
WAYS: tuple[tuple[Format, bool], ...] = (
    ("ome-zarr-0.5", False),
    ("ome-zarr-0.5", True),
    ("ome-zarr-0.4", False),
    ("hdf5", False),
)
ZARR = WAYS[:3]


def pixels(index: int, shape: tuple[int, ...] = (2, 70, 61)) -> Pixels:
    return np.random.default_rng(index).poisson(500, shape).astype(np.uint16)


def objects(shape: tuple[int, ...] = (70, 61)) -> Pixels:
    labels = np.zeros(shape, np.int32)
    labels[..., 10:30, 10:30], labels[..., 40:50, 20:60] = 1, 70000
    return labels


def write(
    path: Path, format: Format = "ome-zarr-0.5", *, shards: bool = False, back: bool = False
) -> Path:
    """Write three fields of random pixels, the first with a label image."""
    with open_writer(path, OUTLINE, format=format, shards=shards) as writer:
        for index in reversed(range(3)) if back else range(3):
            labels = {"cells": [objects()]} if index == 0 else {}
            assert writer.write(FIELDS[index], [pixels(index)], labels=labels) == []
        writer.finish(FIELDS)
    return path


def level(image: Path, name: str = "0") -> Pixels:
    """Decode an array with somebody else's library."""
    driver = "zarr" if (image / name / ".zarray").is_file() else "zarr3"
    spec = {"driver": driver, "kvstore": {"driver": "file", "path": str(image / name)}}
    return np.asarray(tensorstore.open(spec).result().read().result())


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize(("format", "shards"), ZARR)
def test_another_library_reads_every_pixel(tmp_path: Path, format: Format, shards: bool) -> None:
    path = write(tmp_path / "plate.zarr", format, shards=shards)
    for index, place in enumerate(("A/1/0", "A/1/1", "C/3/0")):
        np.testing.assert_array_equal(level(path / place), pixels(index))
    np.testing.assert_array_equal(level(path / "A/1/0/labels/cells"), objects())


@pytest.mark.parametrize(("format", "shards"), ZARR)
def test_every_group_is_valid(tmp_path: Path, format: Format, shards: bool) -> None:
    path = write(tmp_path / "plate.zarr", format, shards=shards)
    kinds = {
        "": ("Plate", "plate"),
        "A/1": ("Well", "well"),
        "C/3": ("Well", "well"),
        "A/1/0": ("Image", "multiscales"),
        "A/1/1": ("Image", "multiscales"),
        "A/1/0/labels": ("LabelsGroup", "labels"),
        "A/1/0/labels/cells": ("LabelImage", "image-label"),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yaozarrs.validate_zarr_store(str(path))
        for place, (model, key) in kinds.items():
            group = path / place
            if format == "ome-zarr-0.4":
                attributes = json.loads((group / ".zattrs").read_text())
                assert json.loads((group / ".zgroup").read_text()) == {"zarr_format": 2}
                getattr(v04, model).model_validate(attributes)
            else:
                attributes = json.loads((group / "zarr.json").read_text())["attributes"]["ome"]
                getattr(v05, model).model_validate(attributes)
            assert key in attributes


def test_the_metadata_tell_size_colour_range_and_place(tmp_path: Path) -> None:
    path = write(tmp_path / "plate.zarr")
    plate = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]["plate"]
    assert plate["name"] == "Trial"
    assert plate["field_count"] == 2
    assert [row["name"] for row in plate["rows"]] == ["A", "B", "C"]
    assert plate["wells"][1] == {"path": "C/3", "rowIndex": 2, "columnIndex": 2}
    assert plate["acquisitions"] == [{"id": 0, "maximumfieldcount": 2}]
    image = json.loads((path / "C/3/0/zarr.json").read_text())["attributes"]["ome"]
    (scale,) = image["multiscales"]
    assert scale["axes"] == [
        {"name": "c", "type": "channel"},
        {"name": "y", "type": "space", "unit": "micrometer"},
        {"name": "x", "type": "space", "unit": "micrometer"},
    ]
    (transform,) = scale["datasets"][0]["coordinateTransformations"]
    assert transform == {"type": "scale", "scale": [1.0, 0.5, 0.25]}
    dna = image["omero"]["channels"][0]
    assert (dna["label"], dna["color"], dna["active"]) == ("DNA", "0000FF", True)
    low, high = int(pixels(2)[0].min()), int(pixels(2)[0].max())
    assert dna["window"] == {"min": 0, "max": 65535, "start": low, "end": high}


@pytest.mark.parametrize("format", ["ome-zarr-0.5", "ome-zarr-0.4"])
def test_levels_are_averages_and_of_labels_a_choice(tmp_path: Path, format: Format) -> None:
    field, large, cells = FIELDS[0], pixels(7, (2, 603, 520)), objects((603, 520))
    with open_writer(tmp_path / "p", OUTLINE, format=format) as writer:
        writer.write(field, [large], labels={"cells": [cells]})
        writer.finish([field])
    image = tmp_path / "p" / "A" / "1" / "0"
    half = np.rint(large[:, :602].reshape(2, 301, 2, 260, 2).mean(axis=(2, 4)))
    np.testing.assert_array_equal(level(image, "1"), half)
    assert level(image, "2").shape == (2, 150, 130)
    assert not (image / "3").exists()
    np.testing.assert_array_equal(level(image / "labels" / "cells", "1"), cells[:602:2, ::2])
    name = "zarr.json" if format == "ome-zarr-0.5" else ".zattrs"
    attributes = json.loads((image / name).read_text())
    ome = attributes["attributes"]["ome"] if format == "ome-zarr-0.5" else attributes
    sizes = [d["coordinateTransformations"][0]["scale"] for d in ome["multiscales"][0]["datasets"]]
    assert sizes == [[1.0, 0.5, 0.25], [1.0, 1.0, 0.5], [1.0, 2.0, 1.0]]


def test_averages_are_rounded_to_even_and_never_overflow() -> None:
    for dtype in (np.uint8, np.uint16):
        top = np.iinfo(dtype).max
        image = np.random.default_rng(1).integers(top - 5, top, (3, 41, 40), dtype, endpoint=True)
        expected = np.rint(image[:, :40].reshape(3, 20, 2, 20, 2).mean(axis=(2, 4)))
        np.testing.assert_array_equal(average(image), expected)
        assert average(image).dtype == dtype
    assert thin(np.array([[1, 2, 3], [4, 5, 6]])).tolist() == [[1]]
    assert [level_count((3, 1, 900), None), level_count((1080, 1080), 9)] == [1, 9]


@pytest.mark.parametrize(("format", "shards"), WAYS)
def test_the_package_reads_back_what_it_wrote(tmp_path: Path, format: Format, shards: bool) -> None:
    plate = open_plate(write(tmp_path / "p.store", format, shards=shards))
    info = plate.info()
    assert (info.name, info.channels, info.missing) == ("Trial", ("DNA", "GFP"), ())
    assert (info.rows, info.columns) == (OUTLINE.rows, OUTLINE.columns)
    assert info.pixel_size == (0.5, 0.25)
    assert info.label_names == ("cells",)
    for index, field in enumerate(plate.fields):
        np.testing.assert_array_equal(plate.read(field), pixels(index))
    np.testing.assert_array_equal(plate.read_label(plate.fields[0], "cells"), objects())


@pytest.mark.parametrize(("format", "shards"), WAYS)
def test_volumes_and_time_series_keep_their_axes(
    tmp_path: Path, format: Format, shards: bool
) -> None:
    frames = [pixels(time, (2, 3, 20, 30)) for time in range(4)]
    labels = [objects((3, 70, 61))[:, :20, :30] + time for time in range(4)]
    with open_writer(tmp_path / "p", OUTLINE, format=format, shards=shards) as writer:
        writer.write(FIELDS[0], frames, times=4, labels={"cells": labels})
        writer.finish(FIELDS[:1])
    plate = open_plate(tmp_path / "p", view=View(z="all", time="all"))
    assert [field.timepoint for field in plate.fields] == [0, 1, 2, 3]
    for field in plate.fields:
        np.testing.assert_array_equal(plate.read(field), frames[field.timepoint])
        np.testing.assert_array_equal(plate.read_label(field, "cells"), labels[field.timepoint])
    if format != "hdf5":
        np.testing.assert_array_equal(level(tmp_path / "p/A/1/0"), np.stack(frames))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yaozarrs.validate_zarr_store(str(tmp_path / "p"))


@pytest.mark.parametrize(("format", "shards"), ZARR)
def test_the_order_of_writing_leaves_no_trace(tmp_path: Path, format: Format, shards: bool) -> None:
    forth = write(tmp_path / "forth", format, shards=shards)
    back = write(tmp_path / "back", format, shards=shards, back=True)
    assert bytes_of(forth) == bytes_of(back)


def chunks_of(path: Path) -> list[tuple[Path, int, int]]:
    """Return where the chunks of full resolution are: file, offset, length."""
    if path.is_dir():
        files = [f for f in path.glob("*/*/*/0/**/*") if f.is_file() and f.suffix != ".json"]
        return [(f, 0, f.stat().st_size) for f in sorted(files) if f.name != ".zarray"]
    places: list[tuple[Path, int, int]] = []
    with h5py.File(path) as file:
        for field in ("A/1/0", "A/1/1", "C/3/0"):
            file[field].id.chunk_iter(lambda c: places.append((path, c.byte_offset, c.size)))
    return places


@pytest.mark.parametrize(("format", "shards"), WAYS)
def test_a_flipped_byte_in_any_chunk_is_noticed(
    tmp_path: Path, format: Format, shards: bool
) -> None:
    path = write(tmp_path / "p.store", format, shards=shards)
    expected = {field: open_plate(path).read(field) for field in open_plate(path).fields}
    chunks = chunks_of(path)
    rng = np.random.default_rng(5)
    silent = 0
    for _ in range(30):
        file, start, size = chunks[rng.integers(len(chunks))]
        content = file.read_bytes()
        damaged = bytearray(content)
        damaged[start + rng.integers(size)] ^= int(rng.integers(1, 256))
        file.write_bytes(damaged)
        plate = open_plate(path)
        refused = 0
        for field in plate.fields:
            try:
                found = plate.read(field)
            except FieldError:
                refused += 1
                continue
            np.testing.assert_array_equal(found, expected[field])
        silent += not refused
        file.write_bytes(content)
    # A zstd frame has a bit or two that mean nothing: then the pixels are as they were.
    assert silent == 0 or format == "ome-zarr-0.4"


@pytest.mark.parametrize(("format", "shards"), WAYS)
def test_what_cannot_be_read_leaves_nothing_half_written(
    tmp_path: Path, format: Format, shards: bool
) -> None:
    def breaking(first: Pixels) -> Iterator[Pixels]:
        yield first
        raise FieldError("broken", channel="GFP")

    with open_writer(tmp_path / "p", OUTLINE, format=format, shards=shards) as writer:
        with pytest.raises(FieldError, match="broken"):
            writer.write(FIELDS[0], breaking(pixels(0)), times=2)
        assert not writer.has(FIELDS[0])
        frames, cells = [pixels(1), pixels(2)], {"cells": breaking(objects())}
        (fault,) = writer.write(FIELDS[1], frames, times=2, labels=cells)
        assert fault.what == "broken"
        bad: dict[str, Any] = {name: [objects()] for name in ("../up", ".hid", "", "a\\b")}
        assert len(writer.write(FIELDS[2], [pixels(3)], labels=bad)) == 4
        writer.finish(FIELDS[1:])
    plate = open_plate(tmp_path / "p")
    assert plate.info().label_names == ()
    assert plate.info().missing == ()
    np.testing.assert_array_equal(plate.read(plate.fields[0]), pixels(1))
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "tiff"}, "format 'tiff'; use one of ome-zarr-0.5"),
        ({"levels": 0}, "use 1 or more"),
        ({"format": "hdf5", "levels": 2}, "a single one"),
        ({"format": "ome-zarr-0.4", "shards": True}, r"only ome-zarr-0\.5"),
    ],
)
def test_what_a_format_cannot_do_is_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        open_writer(tmp_path / "p", OUTLINE, **options)
