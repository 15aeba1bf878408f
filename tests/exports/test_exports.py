"""What is refused, and the command."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from exported import LABELS, labelled

from hts_classify import PassSettings, View, export, extract, open_plate
from hts_classify.commands import main
from hts_classify.errors import DataError, PlatemapError, UsageError
from hts_classify.exports.held import read_measured
from hts_classify.plate import Field
from hts_classify.writers import Outline, open_writer


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    extract(labelled(tmp_path / "p.zarr"), tmp_path / "out", PassSettings(tile_sizes=(32,)))
    return tmp_path / "out"


def test_the_command_writes_beside_the_run_and_names_the_files(
    measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(measured)]) == 0
    names = ["Image.csv", "analyst.db", "analyst.properties", "fields.parquet", "wells.parquet"]
    assert capsys.readouterr().out.splitlines() == [str(measured / "export" / n) for n in names]
    assert sorted(path.name for path in (measured / "export").iterdir()) == sorted(names)


def test_the_command_writes_what_is_asked_for(
    measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    platemap = tmp_path / "map.csv"
    platemap.write_text("well,compound\nA01,taxol\n")
    asked = ["-o", str(tmp_path / "x"), "--as", "profiles, profiles", "--platemap", str(platemap)]
    assert main(["export", str(measured), *asked]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    wells = pd.read_parquet(tmp_path / "x" / "wells.parquet")
    assert wells["Metadata_Compound"].fillna("").tolist() == ["taxol", "", "", ""]


@pytest.mark.parametrize("kinds", ["xlsx", "csv,xlsx", ","])
def test_an_unknown_word_is_refused_with_the_list(
    kinds: str, measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(measured), "--as", kinds]) == 2
    said = capsys.readouterr().err
    assert "choose from csv, sqlite, profiles, anndata" in said
    assert kinds.rpartition(",")[2] in said
    assert not (measured / "export").exists()


def test_a_string_is_no_list_of_kinds(measured: Path) -> None:
    with pytest.raises(UsageError, match="choose from csv"):
        export(measured, kinds="csv")


def test_a_file_in_the_place_of_the_folder(measured: Path, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(UsageError, match=r"x: is not a folder; name another with -o"):
        export(measured, tmp_path / "x")
    assert (tmp_path / "x").read_text() == "mine"


def empty(folder: Path) -> None:
    """Make it a part of which no field could be read."""
    for name in ("features.parquet", "quality.parquet"):
        pd.read_parquet(folder / name).iloc[:0].to_parquet(folder / name)


def lose(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (shutil.rmtree, "does not exist; check the path"),
        (lambda f: (shutil.rmtree(f), f.write_text("")), "is not a folder; name a run directory"),
        (lose("features.parquet"), "no finished pass: features.parquet is absent; name a run"),
        (lose("features/pass.json"), "no finished pass: features/pass.json is absent"),
        (
            lambda f: (f / "run.json").write_text("{}"),
            "a run that is not finished: predictions.parquet is absent; the command that began",
        ),
        (
            lambda f: (f / "features.parquet").write_bytes(b"PAR1 no"),
            "features.parquet: cannot be read",
        ),
        (empty, "holds no field that could be used; failures.csv says why"),
        (
            lambda f: (f / "features.parquet").write_bytes(
                (f / "features.parquet").read_bytes().replace(b"Metadata_Well", b"\xb2etadata_Well")
            ),
            "features.parquet: cannot be read",
        ),
    ],
)
def test_a_folder_that_is_no_run(damage: Callable[[Path], None], said: str, measured: Path) -> None:
    damage(measured)
    with pytest.raises(DataError) as refused:
        export(measured)
    assert said in str(refused.value)


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads of the process")
def test_a_table_leaves_no_thread_behind_that_would_abort_the_program_at_its_end(
    measured: Path,
) -> None:
    count = (
        "import os, sys, pathlib, pandas, pyarrow.parquet\n"
        "from hts_classify.exports.held import read_measured\n"
        "threads = lambda: len(os.listdir('/proc/self/task'))\n"
        "before = threads()\n"
        "read_measured(pathlib.Path(sys.argv[1]))\n"
        "print(threads() - before)\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", count, str(measured)], capture_output=True)
    assert (done.stdout, done.stderr) == (b"0\n", b"")


def test_a_folder_that_has_lost_where_its_plates_are(measured: Path) -> None:
    (measured / "timings.json").unlink()
    with pytest.raises(DataError, match=r"does not say where its plates are .*--as profiles"):
        export(measured)
    assert len(export(measured, kinds=["profiles"])) == 2


def test_a_map_of_another_plate_is_refused(measured: Path, tmp_path: Path) -> None:
    platemap = tmp_path / "map.csv"
    platemap.write_text("plate,well,compound\nanother,A01,x\n")
    with pytest.raises(PlatemapError, match="no row is of plate p"):
        export(measured, platemap=platemap)


def test_what_the_pass_says_of_wells_goes_with_them(measured: Path, tmp_path: Path) -> None:
    """Columns that a pass has kept of an image list: those of wells, and those of fields."""
    table = pd.read_parquet(measured / "features.parquet")
    table["Metadata_Compound"] = [f"c{well}" for well in table["Metadata_Well"]]
    table["Metadata_Stage"] = [str(site) for site in table["Metadata_Site"]]
    table.to_parquet(measured / "features.parquet")
    found = read_measured(measured)
    assert found.wells["Metadata_Compound"].tolist() == ["cA01", "cA02", "cB01", "cB02"]
    assert "Metadata_Stage" not in found.wells
    fields = pd.read_parquet(export(measured, kinds=["profiles"])[0])
    assert fields["Metadata_Stage"].tolist() == ["1", "2"] * 4
    assert fields["Metadata_Compound"].tolist() == table["Metadata_Compound"].tolist()
    platemap = tmp_path / "map.csv"
    platemap.write_text("well,compound\nA01,taxol\n")
    wells = pd.read_parquet(export(measured, kinds=["profiles"], platemap=platemap)[1])
    assert wells["Metadata_Compound"].fillna("").tolist() == ["taxol", "", "", ""]


def test_fields_without_numbers_are_left_out(measured: Path) -> None:
    """Flagged fields that a pass was asked to leave out are in its quality table alone."""
    table = pd.read_parquet(measured / "features.parquet")
    table.iloc[2:].to_parquet(measured / "features.parquet")
    images = pd.read_csv(export(measured, kinds=["csv"])[0])
    assert images["ImageNumber"].tolist() == list(range(3, 9))
    assert json.loads((measured / "features" / "pass.json").read_text())["plates"].keys() == {"p"}


def test_a_plate_without_a_single_object(tmp_path: Path) -> None:
    plate = labelled(tmp_path / "p.zarr", labels=np.zeros((64, 64), np.uint16))
    asked = PassSettings(tile_sizes=(32,), labels="cells")
    extract(plate, tmp_path / "out", asked)
    files = export(tmp_path / "out")
    assert "Cells.csv" not in [file.name for file in files]
    assert pd.read_csv(files[0])["Count_Cells"].tolist() == [0] * 8
    assert "classification_type = image" in files[2].read_text()
    assert pd.read_parquet(files[-1]).empty


def test_time_points_are_fields_of_their_own(tmp_path: Path) -> None:
    """And where only the first has objects, the others have none."""
    outline = Outline(name="t", rows=("A",), columns=("1",), channels=("DNA",))
    rng = np.random.default_rng(0)
    frames = [rng.poisson(100, (1, 64, 64)).astype(np.uint16) for _ in range(2)]
    later = np.zeros((64, 64), np.uint16)
    with open_writer(tmp_path / "t.zarr", outline, levels=1) as writer:
        field = Field("A01", 1, "")
        writer.write(field, frames, times=2, labels={"cells": [LABELS, later]})
        writer.finish([field])
    asked = PassSettings(tile_sizes=(32,), labels="cells")
    extract(open_plate(tmp_path / "t.zarr", view=View(time="all")), tmp_path / "out", asked)
    files = {file.name: file for file in export(tmp_path / "out")}
    images = pd.read_csv(files["Image.csv"])
    assert images["Metadata_Timepoint"].tolist() == [0, 1]
    assert images["Count_Cells"].tolist() == [3, 0]
    assert pd.read_csv(files["Cells.csv"])["ImageNumber"].tolist() == [1] * 3


def test_a_map_with_words_of_ours(tiny_run: Path, tmp_path: Path) -> None:
    """Of a run, fold and role are its own, whatever else the plate map calls so."""
    copy = shutil.copytree(tiny_run, tmp_path / "run")
    calls = pd.read_parquet(copy / "predictions.parquet").assign(Metadata_Fold="mine")
    calls.to_parquet(copy / "predictions.parquet")
    wells = pd.read_parquet(export(copy, kinds=["profiles"])[1])
    assert set(wells["Metadata_Fold"]) == set(calls["Fold"])
