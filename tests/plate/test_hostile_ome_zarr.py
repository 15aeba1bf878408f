"""OME-Zarr metadata made to hurt: refused or recorded, in little time and memory."""

from __future__ import annotations

import json
import os
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stores import add_label, edit, edit_ome, noise

from hts_classify.errors import DataError, FieldError, PlateError
from hts_classify.plate import open_plate

Make = Callable[..., Path]
VERSIONS = pytest.mark.parametrize("version", ["0.4", "0.5"])
METADATA = {"0.4": (".zattrs", ".zarray"), "0.5": ("zarr.json", "zarr.json")}
DEEP = "[" * 100_000 + "]" * 100_000
MEBIBYTE = 1 << 20


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    """Whatever the metadata say, memory stays that of a small plate."""
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * MEBIBYTE


def survives(path: Path) -> list[str]:
    """Use a plate as a pass does; return the wells that it could not read."""
    plate = open_plate(path)
    info = plate.info()
    lost = {m.well for m in info.missing}
    for field in plate.fields:
        assert plate.stamp(field)
        if field.well in lost:
            with pytest.raises(FieldError):
                plate.read(field)
        else:
            assert plate.read(field).shape == (2, 16, 20)
    return sorted(lost)


# Paths that leave the store ---------------------------------------------------------------

OUTSIDE = [
    "..",
    "../0",
    "../../B/10/0",
    "0/../../0",
    "./0",
    "/etc/passwd",
    "//host/0",
    "C:/0",
    "C:\\0",
    "..\\0",
    "s3://bucket/0",
    "http://127.0.0.1/0",
    "0\0",
    "0?x",
    "0#x",
    "%2e%2e/0",
    "\ud800",
    "",
    "   ".strip(),
    None,
    3,
    ["0"],
    {"0": 1},
]


@VERSIONS
@pytest.mark.parametrize("where", OUTSIDE, ids=repr)
def test_paths_that_leave_the_plate_are_not_followed(make: Make, where: Any, version: str) -> None:
    path = make(version=version)
    shutil.copytree(path / "B/10/0", path.parent / "0")  # what is outside could be read
    shutil.copytree(path / "B/10/0/0", path.parent / "0" / "x")
    edit_ome(path / "A/3", well={"images": [{"path": where}]})
    assert survives(path) == ["A03"]
    edit_ome(path / "A/3", well={"images": [{"path": "0"}]})
    scales = [{"axes": [{"name": n} for n in "cyx"], "datasets": [{"path": where}]}]
    edit_ome(path / "A/3/0", multiscales=scales)
    assert survives(path) == ["A03"]


@pytest.mark.parametrize("where", ["../A/3", "/A/3", "..", "A/../../A/3", "A\\3", 3, None, "", []])
def test_wells_outside_the_plate_are_refused(make: Make, where: Any) -> None:
    path = make()
    wells = [{"path": where, "rowIndex": 0, "columnIndex": 0}]
    edit_ome(path, plate={"rows": [{"name": "A"}], "columns": [{"name": "3"}], "wells": wells})
    with pytest.raises(PlateError, match=r"well path .*; well paths are row/column inside"):
        open_plate(path)


@pytest.mark.parametrize("name", ["../../0", "/etc", "..", "a\\b"])
def test_label_images_outside_the_plate_are_not_read(make: Make, name: str) -> None:
    path = make()
    add_label(path / "A/3/0", "nuclei", [np.ones((16, 20), "uint8")])
    edit_ome(path / "A/3/0/labels", labels=[name])
    plate = open_plate(path)
    with pytest.raises(FieldError, match="leaves the plate"):
        plate.read_label(plate.fields[0], name)


def test_a_link_may_lead_to_another_disk(make: Make, tmp_path: Path) -> None:
    path = make()
    (path / "A").rename(tmp_path / "elsewhere")
    (path / "A").symlink_to(tmp_path / "elsewhere")
    assert survives(path) == []


# Files that are none ----------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
@pytest.mark.parametrize(
    "name", ["A/3/.zattrs", "A/3/0/.zattrs", "A/3/0/0/.zarray", "A/3/0/0/0/0/0"]
)
def test_a_pipe_or_a_device_does_not_hang(make: Make, name: str) -> None:
    path = make()
    (path / name).unlink()
    os.mkfifo(path / name)
    assert survives_or_misses(path) == ["A03"]
    (path / name).unlink()
    (path / name).symlink_to("/dev/zero")
    assert survives_or_misses(path) == ["A03"]


def survives_or_misses(path: Path) -> list[str]:
    plate = open_plate(path)
    return sorted({m.well for m in plate.missing} | set(survives(path)))


@pytest.mark.parametrize(
    "name", ["A/3/.zattrs", "A/3/0/.zattrs", "A/3/0/0/.zarray", "A/3/0/0/0/0/0"]
)
def test_a_huge_file_is_not_read(make: Make, name: str) -> None:
    path = make()
    with (path / name).open("wb") as file:
        file.truncate(1 << 40)
    assert survives_or_misses(path) == ["A03"]


def test_a_huge_plate_metadata_file_is_refused(make: Make) -> None:
    path = make()
    with (path / ".zattrs").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(PlateError, match="holds 1099511627776 bytes"):
        open_plate(path)


# JSON -------------------------------------------------------------------------------------

NO_JSON = [
    b"",
    b"\xff\xfe\x00",
    b"\x80abc",
    b"{",
    b"[]",
    b"null",
    b"3",
    b"NaN",
    b'"text"',
    DEEP.encode(),
    b'{"a":' + DEEP.encode() + b"}",
    b'{"a": ' + b"9" * 5000 + b"}",
    b'{"a": "\\ud800"}',
    b"\0" * 100,
]


@VERSIONS
@pytest.mark.parametrize("content", NO_JSON, ids=lambda raw: repr(raw[:12]))
def test_what_is_no_json_object_is_recorded(make: Make, content: bytes, version: str) -> None:
    path = make(version=version)
    group, array = METADATA[version]
    for place in (f"A/3/{group}", f"A/3/0/{group}", f"A/3/0/0/{array}"):
        whole = (path / place).read_bytes()
        (path / place).write_bytes(content)
        assert survives_or_misses(path) == ["A03"]
        (path / place).write_bytes(whole)
    (path / group).write_bytes(content)
    with pytest.raises(PlateError):
        open_plate(path)


NONSENSE = [None, True, 3, -1, 1e308, float("nan"), "x", "\\u0000", [], [[]], [None], {}, {"a": {}}]


@VERSIONS
@pytest.mark.parametrize("value", NONSENSE, ids=repr)
@pytest.mark.filterwarnings("ignore:.*not valid OME-NGFF")
@pytest.mark.filterwarnings("ignore:.*name them with channels=")
def test_nonsense_in_any_place_of_the_metadata_is_survived(
    make: Make, value: Any, version: str
) -> None:
    path = make({"A/3": [noise(2, 16, 20)], "B/2": [noise(2, 16, 20)]}, version=version)
    group, array = METADATA[version]
    for name in (group, f"A/3/{group}", f"A/3/0/{group}", f"A/3/0/0/{array}"):
        file = path / name
        whole = file.read_text()
        for spoilt in spoil(json.loads(whole), value):
            file.write_text(json.dumps(spoilt))
            assert len(complaint(path)) < 1000
        file.write_text(whole)


def complaint(path: Path) -> str:
    """Use a plate, and return the first thing that it refuses."""
    try:
        plate = open_plate(path)
        plate.info()
        for field in plate.fields:
            plate.stamp(field)
            plate.read(field)
    except DataError as error:
        return str(error)
    return ""


def spoil(content: Any, value: Any) -> Iterator[Any]:
    """Put a value in every place of a JSON document, one after the other."""
    if isinstance(content, dict):
        for key in content:
            yield {**content, key: value}
            for inner in spoil(content[key], value):
                yield {**content, key: inner}
    elif isinstance(content, list):
        for index, entry in enumerate(content):
            yield [*content[:index], value, *content[index + 1 :]]
            for inner in spoil(entry, value):
                yield [*content[:index], inner, *content[index + 1 :]]


def test_a_well_that_lists_a_million_images(make: Make) -> None:
    path = make()
    images = ",".join(f'{{"path":"{n}"}}' for n in range(100_000))
    (path / "A/3/.zattrs").write_text(f'{{"well":{{"images":[{images}]}}}}')
    assert [(m.well, m.reason) for m in open_plate(path).missing] == [
        ("A03", "A/3/.zattrs: its metadata list 100000 images")
    ]


def test_a_well_that_lists_an_image_twice(make: Make) -> None:
    path = make()
    edit_ome(path / "B/2", well={"images": [{"path": "0"}, {"path": "0/"}]})
    assert [m.well for m in open_plate(path).missing] == ["B02"]


# Shapes -----------------------------------------------------------------------------------

SHAPES: list[tuple[str, dict[str, Any]]] = [
    ("0.4", {"shape": [2, 10**8, 10**8]}),
    ("0.4", {"shape": [2, 10**8, 10**8], "chunks": [2, 10**8, 10**8]}),
    ("0.4", {"shape": [2, 10**30, 20]}),
    ("0.4", {"shape": [10**9, 16, 20]}),
    ("0.4", {"shape": [2, 16, 2.5]}),
    ("0.4", {"shape": [2, 16, True]}),
    ("0.4", {"shape": [2, 16, "20"]}),
    ("0.4", {"shape": [2] * 1000, "chunks": [1] * 1000}),
    ("0.4", {"chunks": [1, 16, 10**12]}),
    ("0.4", {"chunks": [1, -16, 20]}),
    ("0.4", {"chunks": [1, True, 20]}),
    ("0.4", {"dtype": [["a", "<u2", [10**6, 10**6]]]}),
    ("0.4", {"dtype": "V999999999"}),
    ("0.4", {"dtype": "|O"}),
    ("0.4", {"order": "A"}),
    ("0.4", {"dimension_separator": "/../"}),
    ("0.4", {"filters": [{"id": "delta", "dtype": "<U99999999"}]}),
    ("0.4", {"compressor": {"id": "nosuch"}}),
    ("0.4", {"compressor": {"id": ["zstd"]}}),
    ("0.5", {"shape": [2, 10**15, 10]}),
    ("0.5", {"chunk_key_encoding": {"name": "default", "configuration": {"separator": "/../"}}}),
    ("0.5", {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 10**9, 9]}}}),
    ("0.5", {"data_type": "r99999999"}),
    ("0.5", {"codecs": [{"name": "bytes"}] + [{"name": "gzip", "configuration": {}}] * 2}),
    ("0.5", {"codecs": [{"name": "transpose", "configuration": {"order": [0, 0, 1]}}, "bytes"]}),
    ("0.5", {"codecs": []}),
]


@pytest.mark.parametrize(("version", "changes"), SHAPES, ids=lambda part: str(part)[:60])
def test_absurd_arrays_are_recorded(make: Make, version: str, changes: dict[str, Any]) -> None:
    path = make(version=version)
    edit(path / "A/3/0/0" / METADATA[version][1], **changes)
    assert survives(path) == ["A03"]


@pytest.mark.parametrize(
    ("outer", "inner"),
    [([2, 10**6, 10**6], [1, 1, 1]), ([2, 17, 20], [1, 4, 4]), ([2, 16, 20], [0, 4, 4])],
)
def test_absurd_shards_are_recorded(make: Make, outer: list[int], inner: list[int]) -> None:
    path = make(version="0.5")
    shard = {
        "chunk_shape": inner,
        "codecs": [{"name": "bytes"}],
        "index_codecs": [{"name": "bytes"}, {"name": "crc32c"}],
    }
    edit(
        path / "A/3/0/0/zarr.json",
        chunk_grid={"name": "regular", "configuration": {"chunk_shape": outer}},
        codecs=[{"name": "sharding_indexed", "configuration": shard}],
    )
    assert survives(path) == ["A03"]


def test_a_plate_that_declares_too_much_for_one_read_says_so(make: Make) -> None:
    path = make({"A/3": [noise(1, 16, 20)]})
    array = path / "A/3/0/0"
    edit(array / ".zarray", shape=[1, 1 << 16, 1 << 16], chunks=[1, 1 << 15, 1 << 15])
    for name in ("0/0/0", "0/0/1", "0/1/0", "0/1/1"):
        (array / name).parent.mkdir(exist_ok=True)
        (array / name).write_bytes(b"x")
    plate = open_plate(path)
    with pytest.raises(FieldError, match=r"8589934592 bytes .* to read at once.*a smaller level"):
        plate.read(plate.fields[0])
