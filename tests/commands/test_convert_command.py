"""`hts-classify convert`: what a user types, sees and finds."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from hts_classify.commands import main
from hts_classify.plate import open_plate


def test_a_plate_is_converted_as_it_is_shown(
    tiny_plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    illumination = np.full((64, 64), 2.0)
    np.save(tmp_path / "dna.npy", illumination)
    new = tmp_path / "new.zarr"
    options = ["--format", "ome-zarr-0.4", "--use-channels", "DNA", "--levels", "3"]
    corrected = ["--illumination", f"DNA={tmp_path / 'dna.npy'}"]
    assert main(["convert", str(tiny_plate), str(new), *options, *corrected]) == 0
    assert capsys.readouterr().out.strip() == f"24 fields in {new}"
    plate, old = open_plate(new), open_plate(tiny_plate)
    assert (plate.channels, plate.info().levels) == (("DNA",), 3)
    assert plate.info().format == "OME-Zarr 0.4"
    raw, field = old.read(old.fields[0], ["DNA"]), plate.read(plate.fields[0])
    np.testing.assert_array_equal(field, np.rint(raw / 2))


def test_exit_3_says_what_was_left_out(
    tiny_plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, new = tmp_path / "holed.zarr", tmp_path / "new.zarr"
    shutil.copytree(tiny_plate, path)
    next(iter(sorted(path.glob("*/*/0/0/c/0/0/0")))).unlink()
    assert main(["convert", str(path), str(new), "--shards"]) == 3
    captured = capsys.readouterr()
    assert f"23 fields in {new}" in captured.out
    assert f"1 left out; {new}.failures.csv says what and why" in captured.err
    assert "DNA" in Path(f"{new}.failures.csv").read_text()
    assert main(["info", "--check", str(new)]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{plate}"], "NEW"),
        (["{plate}", "{plate}"], "exists already"),
        (["{plate}", "{new}", "--format", "png"], "png"),
        (["{plate}", "{new}", "--format", "hdf5", "--shards"], "only ome-zarr-0.5 has shards"),
        (["{plate}", "{new}", "--levels", "0"], "use 1 or more"),
        (["{plate}", "{new}", "--z", "top"], "use max, all or a number"),
        (["{plate}", "{new}", "--z", "1"], "no plane 1"),
        (["{plate}", "{new}", "--illumination", "DNA"], "CHANNEL=FILE"),
        (["{plate}", "{new}", "--use-channels", "Actin"], "no channel 'Actin'"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_2(
    tiny_plate: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    places = {"plate": tiny_plate, "new": tmp_path / "new.zarr"}
    assert main(["convert", *(argument.format(**places) for argument in arguments)]) == 2
    captured = capsys.readouterr().err
    assert said in captured
    assert "Traceback" not in captured
    assert not list(tmp_path.iterdir())
