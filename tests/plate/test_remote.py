"""Plates behind URLs: a plain web server, an S3-compatible one, and what fsspec has in memory."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from servers import Handler, serve
from stores import add_label

from hts_classify.errors import FieldError, PlateError, UsageError
from hts_classify.plate import Plate, open_plate, remote, store_stem

Make = Callable[..., Path]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_PAUSE", 0.01)


def in_memory(folder: Path) -> str:
    system = fsspec.filesystem("memory")
    system.rm("/", recursive=True)
    system.put(f"{folder}/", f"/{folder.name}", recursive=True)
    return f"memory://{folder.name}"


def check(plate: Plate, path: Path) -> None:
    """Hold everything that a plate says against the same plate in a folder."""
    local = open_plate(path)
    assert plate.fields == local.fields
    ours, theirs = plate.info(), local.info()
    assert (ours.missing, ours.bytes_on_disk) == (theirs.missing, theirs.bytes_on_disk)
    for field in plate.fields:
        np.testing.assert_array_equal(plate.read(field), local.read(field))
        np.testing.assert_array_equal(plate.read(field, plate.channels[1:]), local.read(field)[1:])
        assert plate.label_names(field) == local.label_names(field)
        for name in plate.label_names(field):
            np.testing.assert_array_equal(
                plate.read_label(field, name), local.read_label(field, name)
            )


WAYS: dict[str, dict[str, Any]] = {
    "0.4": {"version": "0.4"},
    "0.5": {"version": "0.5"},
    "0.5 in shards": {"version": "0.5", "chunks": (1, 8, 8), "shards": (2, 16, 24)},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_plain_web_server(make: Make, way: str) -> None:
    path = make(**WAYS[way])
    add_label(path / "A/3/0", "nuclei", [np.ones((16, 20), "int32")])
    with serve(path.parent) as url:
        plate = open_plate(f"{url}/{path.name}")
        assert (plate.name, plate.path) == ("plate", f"{url}/{path.name}")
        check(pickle.loads(pickle.dumps(plate)), path)


@pytest.mark.parametrize("way", WAYS)
def test_s3(make: Make, s3: Callable[[Path], str], way: str) -> None:
    path = make(**WAYS[way])
    add_label(path / "A/3/0", "nuclei", [np.ones((16, 20), "int32")])
    check(pickle.loads(pickle.dumps(open_plate(s3(path)))), path)


@pytest.mark.parametrize("way", WAYS)
def test_any_file_system_of_fsspec(make: Make, way: str) -> None:
    path = make(**WAYS[way])
    check(open_plate(in_memory(path)), path)


def test_a_file_url_is_a_folder(make: Make) -> None:
    path = make()
    check(open_plate(f"file://{path}"), path)


def test_a_real_plate_over_http_and_s3(shared_data: Path, s3: Callable[[Path], str]) -> None:
    path = shared_data / "ome2024_hcs/hcs.zarr"
    check(open_plate(s3(path)), path)
    with serve(path.parent) as url:
        check(open_plate(f"{url}/{path.name}/"), path)


def test_many_threads_read_at_once(make: Make, s3: Callable[[Path], str]) -> None:
    path = make()
    local, plate = open_plate(path), open_plate(s3(path))
    with ThreadPoolExecutor(8) as threads:
        read = list(threads.map(plate.read, list(plate.fields) * 5))
    for index, pixels in enumerate(read):
        np.testing.assert_array_equal(pixels, local.read(local.fields[index % 4]))


def test_a_stamp_follows_the_object(make: Make, s3: Callable[[Path], str]) -> None:
    path = make()
    url = s3(path)
    before = [open_plate(url).stamp(field) for field in open_plate(url).fields]
    assert len(set(before)) == len(before)
    assert [open_plate(url).stamp(field) for field in open_plate(url).fields] == before
    chunk = f"{url}/A/3/0/0/0/0/0"
    system = fsspec.filesystem("s3")
    content = system.cat_file(chunk)
    system.pipe_file(chunk, content[:-1] + bytes([content[-1] ^ 1]))
    plate = open_plate(url)
    assert [plate.stamp(f) == old for f, old in zip(plate.fields, before, strict=True)] == [
        False,
        True,
        True,
        True,
    ]


def test_missing_objects_are_found_by_one_listing_an_array(
    make: Make, s3: Callable[[Path], str]
) -> None:
    path = make()
    (path / "A/3/0/0/1/0/0").unlink()
    plate = open_plate(s3(path))
    assert [m.reason for m in plate.info().missing] == [
        "chunk A/3/0/0/1/0/0 is missing (channel Channel1)"
    ]
    with pytest.raises(FieldError, match="channel Channel1: chunk A/3/0/0/1/0/0 is missing"):
        plate.read(plate.fields[0])


def test_a_server_that_stumbles_is_asked_again(make: Make) -> None:
    path = make()
    with serve(path.parent) as url:
        Handler.failing.update({"B/2/.zattrs": 1, "A/3/0/.zattrs": 2})
        plate = open_plate(f"{url}/{path.name}")
        Handler.failing.update({"A/3/0/0/0/0/0": 3})  # HEAD, then the GET that fsspec tries
        check(plate, path)


def test_a_server_that_stays_down_is_no_fault_of_the_plate(make: Make) -> None:
    path = make()
    with serve(path.parent) as url:
        Handler.failing.update({"A/3/0/.zattrs": 100})
        with pytest.raises(
            PlateError, match=r"got no answer \(ClientResponseError: 503.*try again"
        ):
            open_plate(f"{url}/{path.name}")
        Handler.failing.clear()
        plate = open_plate(f"{url}/{path.name}")
        Handler.failing.update({"A/3/0/0/0/0/0": 100})
        with pytest.raises((OSError, FieldError)) as raised:
            plate.read(plate.fields[0])
        assert isinstance(raised.value, ConnectionError) or raised.value.transient
    with pytest.raises((OSError, FieldError)) as raised:
        plate.read(plate.fields[1])
    assert isinstance(raised.value, ConnectionError) or raised.value.transient
    begin = time.perf_counter()
    with pytest.raises(PlateError, match="got no answer"):
        open_plate(f"{url}/{path.name}")
    assert time.perf_counter() - begin < 10


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memory://nothing/here.zarr", "zattrs is missing; give the path or URL of a plate"),
        ("nosuch://a/b.zarr", "is no URL that opens"),
        ("s3://screens/plate.h5", "a file behind a URL; copy it to a disk"),
        ("s3://", "zattrs|URL|answer"),
    ],
)
def test_what_is_no_plate_is_refused(url: str, message: str) -> None:
    with pytest.raises((PlateError, UsageError), match=message):
        open_plate(url)


def test_nothing_beside_the_plate_is_asked_for(make: Make) -> None:
    path = make()
    with serve(path.parent) as url:
        plate = open_plate(f"{url}/{path.name}")
        plate.read(plate.fields[0])
        assert Handler.asked
        assert all(f" /{path.name}/" in line for line in Handler.asked)


def test_a_url_has_a_stem() -> None:
    assert store_stem("https://host:8000/a/BR1.ome.zarr/") == "BR1"
