"""`hts-classify extract`: the pass alone, from the command line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from hts_classify.commands import main


@pytest.fixture
def holed(tiny_plate: Path, tmp_path: Path) -> Path:
    """A copy of the tiny plate without one chunk; the chunk lies beside it."""
    plate = tmp_path / "holed.zarr"
    shutil.copytree(tiny_plate, plate)
    chunk = sorted(plate.glob("*/*/1/0/c/1/0/0"))[0]
    shutil.move(chunk, tmp_path / "chunk")
    (tmp_path / "where").write_text(str(chunk))
    return plate


def test_the_pass_says_what_it_left(
    tiny_plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["extract", str(tiny_plate), "-o", str(out), "--tile-size", "32,64"]) == 0
    assert capsys.readouterr().out == f"24 fields of 1 plate in {out}\n"
    assert {path.name for path in (out / "tiles.zarr").iterdir()} == {"zarr.json", "32", "64"}


def test_what_failed_is_retried_by_the_command_that_is_named(
    holed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["extract", str(holed), "-o", str(out), "--features", "tas"]) == 3
    assert "1 field was left out" in capsys.readouterr().err
    retry = pd.read_csv(out / "failures.csv")["Retry"][0].split()
    assert retry == ["hts-classify", "extract", "--retry-failed", "-o", str(out)]
    assert main(retry[1:]) == 3  # it is still missing
    shutil.move(tmp_path / "chunk", (tmp_path / "where").read_text())
    assert main(retry[1:]) == 0
    assert "24 fields of 1 plate" in capsys.readouterr().out
    assert len(pd.read_parquet(out / "features.parquet").filter(like="Image_TAS").columns) == 108


def test_plates_by_folder_with_some_channels(
    tiny_plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = tmp_path / "screen"
    for name in ("p1", "p2"):
        shutil.copytree(tiny_plate, screen / f"{name}.zarr")
        metadata = screen / f"{name}.zarr" / "zarr.json"
        metadata.write_text(metadata.read_text().replace('"tiny"', f'"{name}"'))
    arguments = ["extract", str(screen), "-o", str(tmp_path / "out"), "--use-channels", "GFP"]
    assert main(arguments) == 0
    assert "48 fields of 2 plates" in capsys.readouterr().out
    table = pd.read_parquet(tmp_path / "out" / "features.parquet")
    assert table["Metadata_Plate"].value_counts().to_dict() == {"p1": 24, "p2": 24}
    assert not table.filter(like="DNA").columns.size


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--retry-failed"], 2, "--retry-failed without -o"),
        (["--retry-failed", "-o", "{tmp}"], 2, "holds no pass"),
        (["-o", "{tmp}"], 2, "no plates; name one or more"),
        (["{plate}", "--crops", "objects", "-o", "{tmp}"], 2, "crops of objects without"),
        (["{plate}", "--scheduler", "tcp", "-o", "{tmp}"], 2, "scheduler 'tcp'"),
        (["{plate}", "--z", "7", "-o", "{tmp}"], 2, "no plane 7"),
        (["{plate}", "--tile-size", "small", "-o", "{tmp}"], 2, "--tile-size"),
        (["no.zarr", "-o", "{tmp}"], 1, "does not exist"),
    ],
)
def test_bad_calls_are_one_line(
    tiny_plate: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    filled = [a.format(plate=tiny_plate, tmp=tmp_path / "out") for a in arguments]
    assert main(["extract", *filled]) == code
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
