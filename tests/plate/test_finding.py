from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hts_classify.errors import PlateError
from hts_classify.plate import find_plates


@pytest.fixture
def screen(make: Callable[..., Path], tmp_path: Path) -> Path:
    """A folder with two plates, a run beside them and a plate map."""
    folder = tmp_path / "screen"
    folder.mkdir()
    plate = make()
    for name in ("b.zarr", "a.zarr"):
        (folder / name).symlink_to(plate)
    (folder / "a-hts").mkdir()
    (folder / "a.platemap.csv").write_text("well,moa\nA03,x\n")
    return folder


def test_one_plate_is_itself(screen: Path) -> None:
    assert find_plates([screen / "b.zarr"]) == (str(screen / "b.zarr"),)


def test_a_folder_gives_its_plates_by_name_and_nothing_else(screen: Path) -> None:
    both = (str(screen / "a.zarr"), str(screen / "b.zarr"))
    assert find_plates([screen]) == both
    assert find_plates([f"{screen}/*"]) == both
    assert find_plates([screen / "b.zarr", screen]) == (both[1], both[0])  # each once


def test_a_list_is_relative_to_its_file(screen: Path) -> None:
    listed = screen / "plates.txt"
    listed.write_text("# two of many\nb.zarr\n\ns3://bucket/c.zarr\na.zarr\n")
    assert find_plates([listed]) == (
        str(screen / "b.zarr"),
        "s3://bucket/c.zarr",
        str(screen / "a.zarr"),
    )


def test_an_image_list_of_two_plates_is_two_plates(tmp_path: Path) -> None:
    table = tmp_path / "load_data.csv"
    table.write_text(
        "FileName_DNA,Metadata_Plate,Metadata_Well\na.tif,P2,A01\nb.tif,P1,A01\nc.tif,P2,A02\n"
    )
    assert set(find_plates([table])) == {f"{table}#P1", f"{table}#P2"}


@pytest.mark.parametrize(
    ("where", "what"),
    [("*.h5", "no file or folder matches"), ("*-hts", "matches 1 paths and no plate")],
)
def test_a_pattern_without_plates_is_an_error(screen: Path, where: str, what: str) -> None:
    with pytest.raises(PlateError, match=what):
        find_plates([f"{screen}/{where}"])


def test_an_empty_list_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "plates.txt").write_text("# none\n")
    with pytest.raises(PlateError, match="lists no plate; write one path a line"):
        find_plates([tmp_path / "plates.txt"])
