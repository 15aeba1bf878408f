"""What batch scripts give: plates, image sets, a done file, a log level; and what they get."""

from __future__ import annotations

import shutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hts_classify import open_plate
from hts_classify.commands import main


def test_the_done_file_says_how_it_ended(holed: Path, tmp_path: Path) -> None:
    done = tmp_path / "done" / "1"

    def ends(*words: str, plate: Path = holed) -> tuple[int, str]:
        code = main(["extract", str(plate), "-o", str(tmp_path / "out"), "-d", str(done), *words])
        return code, done.read_text()

    assert ends() == (3, "Failure\n")
    assert ends("--always-continue") == (0, "Complete\n")
    assert ends(plate=tmp_path / "no.zarr") == (1, "Failure\n")
    assert ends("-f", "3") == (2, "Failure\n")


def test_the_done_file_of_before_is_gone_while_it_works_and_tells_of_an_interruption(
    tiny_plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = tmp_path / "done"
    done.write_text("Complete\n")

    def interrupted(*_: object, **__: object) -> None:
        assert not done.exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(import_module("hts_classify.extract"), "extract", interrupted)
    out = str(tmp_path / "out")
    assert main(["extract", str(tiny_plate), "-o", out, "--done-file", str(done)]) == 130
    assert done.read_text() == "Failure\n"


@pytest.mark.parametrize(
    ("level", "said"),
    [
        ([], {"reading:", "left out"}),
        (["-L", "20"], {"reading:", "left out"}),
        (["-L", "warning"], {"left out"}),
        (["--log-level", "ERROR"], set()),
    ],
)
def test_the_log_level_says_what_standard_error_is_told(
    holed: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    level: list[str],
    said: set[str],
) -> None:
    assert main(["extract", str(holed), "-o", str(tmp_path / "out"), *level]) == 3
    told = capsys.readouterr()
    assert {word for word in ("reading:", "left out") if word in told.err} == said
    assert told.out.startswith("23 fields of 1 plate")


def test_an_error_is_told_at_every_level_and_its_place_when_debugging(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["extract", "no.zarr", "-o", str(tmp_path), "-L", "CRITICAL"]) == 1
    assert capsys.readouterr().err == "hts-classify: no.zarr: does not exist; check the path\n"
    assert main(["extract", "no.zarr", "-o", str(tmp_path), "-L", "10"]) == 1
    assert "Traceback" in capsys.readouterr().err
    assert main(["extract", "no.zarr", "-L", "LOUD"]) == 2
    assert "'LOUD': use DEBUG, INFO" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        (["-f", "3", "-l", "4"], [2, 3]),
        (["--first-image-set", "23"], [22, 23]),
        (["-g", "Metadata_Well=a2"], [0, 1]),
        (["--groups", "Metadata_Plate=tiny,Metadata_Site=2", "-l", "4"], [1, 3]),
    ],
)
def test_image_sets_are_read_and_no_others(
    tiny_plate: Path, tmp_path: Path, words: list[str], rows: list[int]
) -> None:
    out = tmp_path / "out"
    assert main(["extract", "-i", str(tiny_plate), "-o", str(out), *words]) == 0
    assert pd.read_parquet(out / "features.parquet")["Metadata_Tile"].tolist() == rows
    assert len(list((out / "tiles.zarr" / "128").glob("c.*"))) == len(rows)


def test_a_part_without_a_folder_goes_where_merge_looks(tiny_plate: Path, tmp_path: Path) -> None:
    plate = tmp_path / "tiny.zarr"
    shutil.copytree(tiny_plate, plate)
    assert main(["extract", str(plate), "-f", "1", "-l", "9"]) == 0
    assert main(["extract", str(plate), "-f", "10"]) == 0
    assert main(["merge", str(tmp_path / "tiny-hts")]) == 0
    assert len(pd.read_parquet(tmp_path / "tiny-hts" / "features.parquet")) == 24


def test_a_data_file_with_a_folder_of_its_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for folder in ("beside", "elsewhere"):
        (tmp_path / folder / "raw").mkdir(parents=True)
        pixels = rng.integers(0, 4096, (32, 32), np.uint16)
        Image.fromarray(pixels).save(tmp_path / folder / "raw" / "a.png")
    table = tmp_path / "beside" / "load_data.csv"
    table.write_text(
        "Metadata_Plate,Metadata_Well,Image_PathName_DNA,Image_FileName_DNA\n"
        "P1,A1,raw,a.png\nP2,A1,raw,a.png\n"
    )

    def features(out: str, *words: str) -> list[float]:
        arguments = ["extract", "--data-file", str(table), "-o", str(tmp_path / out)]
        assert main([*arguments, *words, "--tile-size", "16"]) == 0
        held = pd.read_parquet(tmp_path / out / "features.parquet")
        assert held["Metadata_Plate"].tolist() == ["P1", "P2"]
        return list(held.filter(like="PFTAS").iloc[0])

    own = features("own")
    assert features("named", "-i", str(tmp_path / "beside")) == own
    assert features("other", "-i", str(tmp_path / "elsewhere")) != own
    arguments = ["extract", "-o", str(tmp_path / "P2"), "-g", "Metadata_Plate=P2"]
    assert main([*arguments, "--data-file", str(table), "--tile-size", "16"]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{plate}", "-i", "{plate}"], "name plates one way or the other"),
        (["{plate}", "--data-file", "x.csv"], "name the folder of its images alone, with -i"),
        (["-i", "no-folder", "--data-file", "x.csv"], "-i no-folder is no folder"),
        (["{plate}", "-f", "30"], "-f 30 is past the last image set, which is 24"),
        (["{plate}", "-f", "3", "-l", "2"], "-f 3 is past -l 2"),
        (["{plate}", "-f", "x"], "-f/--first-image-set"),
        (["{plate}", "-g", "Well"], "write KEY=VALUE"),
        (["{plate}", "-g", "Well=A1,Well=A2"], "name each key once"),
        (["{plate}", "-g", "Well=H12"], "no image set is in the group; there are Metadata_Well:"),
        (["--retry-failed", "-f", "2"], "--retry-failed with -f 2"),
        (["--data-file", "{plate}"], "is no table that names images; give a CSV in LoadData's"),
        (["{plate}", "-d", "{plate}"], "is a folder; name a file"),
        (["{plate}", "-g", ""], "an empty word; a variable of the shell may not be set"),
        (["{plate}", "--tile-size", "x"], "'x': write whole numbers, as 128,224"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_written(
    tiny_plate: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    filled = [word.format(plate=tiny_plate) for word in words]
    assert main(["extract", *filled, "-o", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_failed_fields_of_a_part_are_retried_alone(holed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "parts" / "1"
    chunk = sorted(holed.glob("*/*/1/0/c/0/0/0"))[0].parents[2] / "1" / "0" / "0"
    assert main(["extract", str(holed), "-o", str(out), "-l", "4"]) == 3
    retry = pd.read_csv(out / "failures.csv")["Retry"][0].split()
    shutil.copy(chunk.parents[2] / "0" / "0" / "0", chunk)
    assert main(retry[1:]) == 0
    assert len(pd.read_parquet(out / "features.parquet")) == 4


def test_predict_calls_the_wells_that_are_meant(
    tiny_plate: Path, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, done = tmp_path / "out", tmp_path / "done"
    arguments = ["predict", str(tiny_run / "models"), "-i", str(tiny_plate), "-o", str(out)]
    assert main([*arguments, "-f", "5", "-l", "8", "-d", str(done), "--device", "cpu"]) == 0
    assert done.read_text() == "Complete\n"
    assert "2 wells called two ways" in capsys.readouterr().out
    calls = pd.read_csv(out / "predictions.csv")
    fields = pd.read_parquet(out / "features.parquet")
    assert fields["Metadata_Tile"].tolist() == [4, 5, 6, 7]
    assert set(calls["Metadata_Well"].dropna()) == set(fields["Metadata_Well"])
    assert main([*arguments, "--device", "cpu"]) == 2  # the folder is that part's
    assert main([*arguments[:2], "-o", str(out)]) == 2
    late = tmp_path / "late"
    assert main([*arguments[:4], "-o", str(late), "-f", "99", "--device", "cpu"]) == 2
    assert not late.exists()


def test_predict_goes_on_from_what_was_read_for_its_models(
    tiny_plate: Path, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, out = str(tiny_run / "models"), str(tmp_path / "out")
    assert main(["batch", str(tiny_plate), "--models", models, "-o", out]) == 0
    part = ["-l", "64", "-o", f"{out}/parts/1"]
    assert main(["extract", str(tiny_plate), "--models", models, *part]) == 0
    assert main(["merge", out]) == 0

    def refuse(*_: object) -> None:
        raise AssertionError("a field is read")

    monkeypatch.setattr(type(open_plate(tiny_plate)), "read", refuse)
    assert main(["predict", models, str(tiny_plate), "-o", out, "--device", "cpu"]) == 0
    assert (tmp_path / "out" / "predictions.csv").exists()
