"""Image lists of files behind URLs: a plain web server, S3, this machine."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from lists import save, table
from servers import Handler, serve
from stores import noise

from hts_classify.errors import FieldError, PlateError, UsageError
from hts_classify.plate import Plate, open_plate, remote

HEAD = "Metadata_Well,Metadata_Site,Image_URL_DNA,Image_URL_GFP"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_PAUSE", 0.01)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two fields of two channels: front and end directories, LZW, PNG, 40 KB each."""
    folder = tmp_path / "img 1"
    save(folder / "a_d.tif", noise(140, 150))
    save(folder / "a_g.tif", noise(140, 150, seed=1), compression="tiff_lzw")
    save(folder / "b_d.png", noise(140, 150, seed=2))
    save(folder / "b_g.tif", noise(140, 150, seed=3), noise(140, 150, seed=4))
    return folder


def lists(tmp_path: Path, url: str) -> tuple[Plate, Plate]:
    """Open the same images by URLs and by paths."""
    head = "Metadata_Well,{0}_DNA,{0}_GFP,Frame_GFP"
    names = ["A1,{0}a_d.tif,{0}a_g.tif,0", "A2,{0}b_d.png,{0}b_g.tif,1"]
    there = table(
        tmp_path, *(r.format(f"{url}/") for r in names), head=head.format("URL"), name="there.csv"
    )
    here = table(
        tmp_path,
        *(row.format("img 1/") for row in names),
        head=head.format("FileName"),
        name="here.csv",
    )
    return pickle.loads(pickle.dumps(open_plate(there))), open_plate(here)


def check(theirs: Plate, ours: Plate) -> None:
    assert theirs.fields == ours.fields
    mine, other = ours.info(), theirs.info()
    assert (other.missing, other.bytes_on_disk) == ((), mine.bytes_on_disk)
    for field in ours.fields:
        np.testing.assert_array_equal(theirs.read(field), ours.read(field))
        np.testing.assert_array_equal(theirs.read(field, ["GFP"]), ours.read(field)[1:])
    assert len({theirs.stamp(field) for field in theirs.fields}) == 2


def test_a_plain_web_server(tmp_path: Path, images: Path) -> None:
    with serve(tmp_path) as url:
        check(*lists(tmp_path, f"{url}/img%201"))


def test_s3(tmp_path: Path, images: Path, s3: Callable[[Path], str]) -> None:
    check(*lists(tmp_path, s3(images)))


def test_file_urls(tmp_path: Path, images: Path) -> None:
    check(*lists(tmp_path, images.as_uri()))
    check(*lists(tmp_path, images.as_uri().replace("file://", "FILE:")))


def test_a_path_name_may_be_a_url(tmp_path: Path, images: Path, s3: Callable[[Path], str]) -> None:
    head = "Metadata_Well,PathName_DNA,FileName_DNA"
    for path in (s3(images), f"{s3(images)}/", images.as_uri()):
        plate = open_plate(table(tmp_path, f"A1,{path},a_d.tif", head=head))
        np.testing.assert_array_equal(plate.read(plate.fields[0])[0], noise(140, 150))


def test_a_header_takes_little_and_pixels_are_fetched_once(
    tmp_path: Path, images: Path, s3: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[int] = []
    real = remote.Remote._get

    def counted(self: remote.Remote, parts: Any) -> Any:
        found = real(self, parts)
        fetched.extend(len(content) for content in found if isinstance(content, bytes))
        return found

    monkeypatch.setattr(remote.Remote, "_get", counted)
    theirs, ours = lists(tmp_path, s3(images))
    assert 0 < sum(fetched) < ours.info().bytes_on_disk / 2
    fetched.clear()
    theirs.read(theirs.fields[0])
    assert sorted(fetched) == sorted((images / f"a_{c}.tif").stat().st_size for c in "dg")


def test_a_stamp_follows_the_object(
    tmp_path: Path, images: Path, s3: Callable[[Path], str]
) -> None:
    url = s3(images)
    plate, _ = lists(tmp_path, url)
    before = [plate.stamp(field) for field in plate.fields]
    system = fsspec.filesystem("s3")
    content = system.cat_file(f"{url}/a_g.tif")
    system.pipe_file(f"{url}/a_g.tif", content[:-1] + bytes([content[-1] ^ 1]))
    after = [lists(tmp_path, url)[0].stamp(field) for field in plate.fields]
    assert [a == b for a, b in zip(after, before, strict=True)] == [False, True]


def test_what_is_absent_is_named_with_its_line(
    tmp_path: Path, images: Path, s3: Callable[[Path], str]
) -> None:
    url = s3(images)
    plate, _ = lists(tmp_path, url)
    fsspec.filesystem("s3").rm(f"{url}/b_g.tif")
    with pytest.raises(FieldError, match=r"A02 field 1 channel GFP: line 3: file s3:.*b_g.tif is"):
        plate.read(plate.fields[1])
    again, _ = lists(tmp_path, url)
    assert plate.read(plate.fields[0]).any()
    assert [m.reason for m in again.info().missing] == [
        f"line 3: file {url}/b_g.tif is missing (channel GFP)"
    ]


def test_a_server_that_stumbles_is_asked_again(tmp_path: Path, images: Path) -> None:
    with serve(tmp_path) as url:
        Handler.failing.update({"a_d.tif": 1, "b_g.tif": 2})
        theirs, ours = lists(tmp_path, f"{url}/img%201")
        Handler.failing.update({"a_g.tif": 3})
        check(theirs, ours)


def test_a_server_that_stays_down_is_no_fault_of_the_fields(tmp_path: Path, images: Path) -> None:
    with serve(tmp_path) as url:
        plate, _ = lists(tmp_path, f"{url}/img%201")
        Handler.failing.update({"a_d.tif": 1000})
        with pytest.raises((OSError, FieldError)) as raised:
            plate.read(plate.fields[0])
        assert isinstance(raised.value, ConnectionError) or raised.value.transient
        with pytest.raises(PlateError, match=r"there.csv: its files got no answer .*503"):
            lists(tmp_path, f"{url}/img%201")


def test_an_absent_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(url: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(remote, "_system", absent)
    path = table(tmp_path, "A1,1,s3://b/x.tif,s3://b/y.tif", head=HEAD)
    with pytest.raises(
        UsageError,
        match=r"load_data.csv line 2: s3://b/x.tif needs another package \(Install s3fs.*"
        r"pip install 'hts_classify\[s3\]'",
    ):
        open_plate(path)
