from __future__ import annotations

import json
import random
import shutil
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import hts_classify.stream
from hts_classify import RunSettings, predict, run
from hts_classify.commands import main
from hts_classify.errors import DataError, UsageError
from hts_classify.models import CnnSettings, load
from hts_classify.models.cnn import inference
from hts_classify.models.cnn.model import Cnn
from hts_classify.models.protocol import Classifier
from hts_classify.plate import Field
from hts_classify.predict import PredictSettings
from hts_classify.progress import Progress
from hts_classify.report import load_record
from hts_classify.report.explained import Pictures
from hts_classify.report.pictures import album
from hts_classify.seen import FieldCrops
from hts_classify.shards import CROP, TILE_ROW
from hts_classify.tiles import CropStore
from hts_classify.vocabulary import LEVEL, PATH, PATHS, PLATE, SITE, TARGET, TIMEPOINT, WELL
from hts_classify.writers import Outline, open_writer

PROMISED = (
    "crop",
    "features",
    "tiles.zarr",
    "folds.csv",
    "predictions",
    "models/cnn",
    "compar",
)


def promised(folder: Path) -> dict[str, bytes]:
    """Return what is the same bytes however often a run was stopped."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    held = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
    return {name: content for name, content in held.items() if name.startswith(PROMISED)}


@pytest.fixture(scope="module")
def grid(quick: RunSettings) -> RunSettings:
    return replace(quick, folds=2, crops="grid", crop_size=32, crops_per_field=4)


@pytest.fixture(scope="module")
def grid_run(tiny_plate: Path, grid: RunSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tiny_plate, grid, out=tmp_path_factory.mktemp("grid") / "grid-hts")


def written(path: Path, *, bare: tuple[tuple[str, int], ...]) -> Path:
    """Write eight wells of two classes, two fields each; these fields have no cells."""
    outline = Outline(name=path.stem, rows=("A", "B"), columns=tuple("1234"), channels=("DNA",))
    fields = [
        Field(f"{row}0{n}", site, "") for row in "AB" for n in (1, 2, 3, 4) for site in (1, 2)
    ]
    rng = np.random.default_rng(0)
    with open_writer(path, outline, levels=1) as writer:
        for number, field in enumerate(fields):
            labels = np.zeros((48, 48), np.uint16)
            if (field.well, field.site) not in bare:
                labels[4:14, 4:14] = 3
                labels[25:40, 28 : 40 + number % 3] = 5
            light = 3000 if field.well[0] == "A" else 300
            pixels = rng.poisson(100 + light * (labels > 0), (1, 48, 48)).astype(np.uint16)
            writer.write(field, [pixels], labels={"cells": [labels]})
        writer.finish(fields)
    rows = [
        f"{well},{'ab'['AB'.index(well[0])]}\n" for well in dict.fromkeys(f.well for f in fields)
    ]
    path.with_suffix(".platemap.csv").write_text("well,phenotype\n" + "".join(rows))
    return path


@pytest.fixture(scope="module")
def objects(quick: RunSettings) -> RunSettings:
    return replace(quick, folds=2, crops="objects", crop_size=16, crops_per_field=2, labels="cells")


@pytest.fixture(scope="module")
def bare_run(
    objects: RunSettings, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str]]:
    """A run over a plate of which one field has no object, and one well has none."""
    folder = tmp_path_factory.mktemp("cells")
    plate = written(folder / "cells.zarr", bare=(("A01", 2), ("B02", 1), ("B02", 2)))
    said: list[str] = []

    class Listening(Progress):
        def note(self, text: str) -> None:
            said.append(text)

    return run(plate, objects, out=folder / "cells-hts", progress=Listening()), said


def test_every_well_is_called_from_its_crops(grid_run: Path) -> None:
    table = pd.read_parquet(grid_run / "predictions.parquet")
    counts = table.groupby([PATH, LEVEL]).size().unstack()
    assert (counts[["field", "well"]] == [24, 12]).all().all()
    assert len(pd.read_parquet(grid_run / "crops.parquet")) == 24 * 4
    comparison = json.loads((grid_run / "comparison.json").read_text())
    assert sum(comparison["training"]["cnn-all"]["training"]["classes"].values()) == 24 * 4
    cost = json.loads((grid_run / "timings.json").read_text())["fits"]["cnn-all"]
    assert cost["trained_fields"] == 24
    page = (grid_run / "report.html").read_text()
    assert "4 crops of 32 pixels a field at full resolution" in page


def test_each_crop_is_judged_by_itself(grid_run: Path) -> None:
    table = pd.read_parquet(grid_run / "crop_predictions.parquet")
    held = pd.read_parquet(grid_run / "crops.parquet")
    assert len(table) == 24 * 4
    places = [PLATE, WELL, SITE, CROP, "Metadata_CropY", "Metadata_CropX"]
    ordered = table[places].sort_values([WELL, CROP], ignore_index=True)
    pd.testing.assert_frame_equal(
        ordered, held[places].sort_values([WELL, CROP], ignore_index=True)
    )
    folds = pd.read_csv(grid_run / "folds.csv").set_index(WELL)
    np.testing.assert_array_equal(table["Fold"], folds.loc[table[WELL], "Fold"])
    right = folds.loc[table[WELL], TARGET].to_numpy() == table["Class"].to_numpy()
    comparison = json.loads((grid_run / "comparison.json").read_text())
    judged = comparison["levels"]["tile"]
    assert judged["tas_svm"] is None
    assert "takes whole fields and calls no crop" in comparison["tiles"]["note"]
    assert (judged["cnn"]["correct"], judged["cnn"]["total"]) == (right.sum(), 24 * 4)
    assert judged["cnn"]["groups"] == judged["cnn"]["interval"]["groups"] == 12  # compounds
    assert judged["cnn"]["probable"]["calibration"]["ece"] is not None
    names = [name for name in table if name.startswith("Score_")]
    fields = pd.read_parquet(grid_run / "predictions.parquet")
    fields = fields[(fields[PATH] == "cnn") & (fields[LEVEL] == "field")]
    fields = fields.set_index([WELL, SITE])[names]
    means = table.groupby([WELL, SITE])[names].mean().loc[fields.index]
    np.testing.assert_allclose(means, fields, rtol=1e-13)
    said = f"<td>{right.sum()}/96</td>"
    page = (grid_run / "report.html").read_text()
    assert f'<tr><th scope="row">tiles</th><td>CNN</td>{said}' in page
    assert page.count('<th scope="row">tiles</th>') == 1
    assert f"| tiles | {right.sum()}/96 |" in (grid_run / "models" / "card-cnn.md").read_text()
    assert "tiles |" not in (grid_run / "models" / "card-tas_svm.md").read_text()


def test_the_calls_of_crops_are_those_of_the_models_of_each_fold(grid_run: Path) -> None:
    """The model of all wells scored none of them: its own shard is empty."""
    shards = {
        name: pd.read_parquet(next((grid_run / "predictions").glob(f"crops-cnn-{name}-*.parquet")))
        for name in ("fold0", "fold1", "all")
    }
    assert not len(shards["all"])
    folds = pd.read_csv(grid_run / "folds.csv")
    for fold in (0, 1):
        own = set(folds.loc[folds["Fold"] == fold, WELL])
        assert set(shards[f"fold{fold}"][WELL]) == own


def test_calls_of_crops_that_were_lost_are_made_again(
    tiny_plate: Path, grid: RunSettings, grid_run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(grid_run, out)
    next((out / "predictions").glob("crops-cnn-fold1-*.parquet")).unlink()
    (out / "crop_predictions.parquet").unlink()
    run(tiny_plate, grid, out=out)
    assert promised(out) == promised(grid_run)


def test_without_crops_the_level_of_fields_is_that_of_tiles(tiny_run: Path) -> None:
    comparison = json.loads((tiny_run / "comparison.json").read_text())
    assert "tile" not in comparison["levels"]
    assert comparison["tiles"]["level"] == "field"
    assert not list(tiny_run.rglob("crop*"))
    page = (tiny_run / "report.html").read_text()
    assert "The CNN sees each field as one tile" in page
    assert '<th scope="row">tiles</th>' not in page


def test_a_call_is_explained_by_the_first_crop_of_the_first_field(grid_run: Path) -> None:
    (file,) = (grid_run / "predictions").glob("explained-cnn-fold0-*.parquet")
    held = pd.read_parquet(file)
    folds = pd.read_csv(grid_run / "folds.csv")
    assert not held.duplicated([PLATE, WELL, "Class"]).any()
    assert set(held[WELL]) == set(folds.loc[folds["Fold"] == 0, WELL])
    assert "in the first crop of the first field" in (grid_run / "report.html").read_text()
    features, crops = (pd.read_parquet(grid_run / f"{n}.parquet") for n in ("features", "crops"))
    tiles = FieldCrops(CropStore(grid_run / "crops.zarr"), crops, features, shape=(2, 32, 32))
    well = ("tiny", str(features[WELL].iloc[-1]))
    first = features.loc[features[WELL] == well[1], TILE_ROW].iloc[:1].to_numpy()
    record = load_record(grid_run)
    shown = Pictures(record, album(record).brush, [well], {})
    np.testing.assert_array_equal(shown.crops[well], tiles.view(first)[np.array([0])][0])


def test_a_frozen_body_sees_every_crop(
    tiny_plate: Path, grid: RunSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Cnn(CnnSettings(learning=grid.cnn.learning), device="cpu")
    rng = np.random.default_rng(0)
    tiles = rng.normal(100, 9, (8, 2, 32, 32)).astype(np.float32)
    halves = [(np.array([0, 1, 4, 5]), np.array([2, 3, 6, 7]))]
    source.fit(tiles, ["a"] * 4 + ["b"] * 4, inner=halves, seed=0)
    source.save(tmp_path)
    sizes: list[int] = []
    body = inference.FrozenFeatures.__init__

    def counted(self: Any, *given: Any, **named: Any) -> None:
        sizes.append(named["count"])
        body(self, *given, **named)

    monkeypatch.setattr(inference.FrozenFeatures, "__init__", counted)
    cnn = replace(grid.cnn, weights=str(tmp_path / "cnn.safetensors"), tune="head")
    out = run(tiny_plate, replace(grid, cnn=cnn), out=tmp_path / "head-hts")
    table = pd.read_parquet(out / "predictions.parquet")
    counts = table[table[PATH] == "cnn"].groupby(LEVEL).size()
    assert (counts["field"], counts["well"]) == (24, 12)
    assert max(sizes) == 24 * 4  # the model of all wells
    training = json.loads((out / "comparison.json").read_text())["training"]
    facts = training["cnn-all"]["training"]
    assert facts["crops"]
    assert facts["tune"] == "head"
    assert facts["learned_parameters"] < facts["parameters"] / 10


def test_a_cascade_cuts_crops_for_the_wells_that_are_sent(
    tiny_plate: Path, grid_run: Path, tmp_path: Path
) -> None:
    shutil.copytree(grid_run / "models", tmp_path / "models")
    held = PredictSettings(device="cpu", proba=True)
    predict(tmp_path / "models", tiny_plate, held, out=tmp_path / "both")
    table = pd.read_parquet(tmp_path / "both" / "predictions.parquet")
    wells = table[(table[LEVEL] == "well") & (table[PATH] == "tas_svm")].set_index(WELL)
    sure = wells[[name for name in table if name.startswith("Proba_")]].max(axis=1)
    chosen = {"threshold": float(sure.median()), "aggregate": "mean"}
    (tmp_path / "models" / "cascade.json").write_text(json.dumps(chosen))
    predict(tmp_path / "models", tiny_plate, replace(held, cascade=True), out=tmp_path / "turns")
    turns = pd.read_parquet(tmp_path / "turns" / "predictions.parquet")
    cnn = turns[(turns[LEVEL] == "well") & (turns[PATH] == "cnn")].set_index(WELL)
    assert set(cnn.index) == set(sure.index[sure < sure.median()])
    both = table[(table[LEVEL] == "well") & (table[PATH] == "cnn")].set_index(WELL)
    names = [name for name in table if name.startswith("Score_")]
    np.testing.assert_allclose(cnn[names], both.loc[cnn.index, names], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("aggregate", ["mean", "median"])
def test_a_fields_score_is_that_of_its_own_crops(
    tiny_plate: Path, grid_run: Path, tmp_path: Path, aggregate: Any
) -> None:
    predict(
        grid_run / "models", tiny_plate, PredictSettings(aggregate=aggregate), out=tmp_path / "out"
    )
    crops = pd.read_parquet(tmp_path / "out" / "crops.parquet")
    store = CropStore(tmp_path / "out" / "crops.zarr")
    model: Classifier = load("cnn", grid_run / "models", device="cpu")
    view = store.view(list(crops[PLATE]), list(crops[WELL]), list(crops[CROP]))
    names = [f"Score_{name}" for name in model.classes]
    scores = model.scores(view)
    if aggregate == "median":
        chances = np.exp(scores / model.temperature)
        scores = model.temperature * np.log(chances / chances.sum(axis=1, keepdims=True))
    crops[names] = scores
    expected = crops.groupby([WELL, SITE])[names].agg(aggregate)
    table = pd.read_parquet(tmp_path / "out" / "predictions.parquet")
    found = table[(table[PATH] == "cnn") & (table[LEVEL] == "field")].set_index([WELL, SITE])
    np.testing.assert_allclose(found[names], expected.loc[found.index], rtol=1e-4, atol=1e-5)
    assert len(found) == 24


class Stop(Progress):
    """A listener that is interrupted when this stage begins."""

    def stage(self, name: str, total: int, unit: str = ""):  # type: ignore[no-untyped-def]
        if name == "CNN, fold 2":
            raise KeyboardInterrupt
        return super().stage(name, total, unit)


def test_a_stopped_run_with_crops_ends_in_the_same_bytes(
    tiny_plate: Path, grid: RunSettings, grid_run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(tiny_plate, grid, out=out, progress=Stop())
    well = next(path for path in (out / "crops.zarr" / "tiny").iterdir() if path.is_dir())
    shutil.rmtree(well)  # lost meanwhile: they are cut again
    run(tiny_plate, grid, out=out)
    assert promised(out) == promised(grid_run)


def test_other_crops_are_another_run(tiny_plate: Path, grid: RunSettings, grid_run: Path) -> None:
    for change, said in (
        ({"crops_per_field": 9}, r"settings\.crops_per_field was 4 and is now 9"),
        (
            {"crops": "none", "crop_size": 64, "crops_per_field": 16},
            r"settings\.crop_size was 32 and is now 64",
        ),
    ):
        with pytest.raises(UsageError, match=said):
            run(tiny_plate, replace(grid, **change), out=grid_run)  # type: ignore[arg-type]


class Recorder:
    """A classifier that learns nothing and remembers what it was given."""

    fits: list[dict[str, Any]] = []  # noqa: RUF012
    temperature = 1.0

    def __init__(self, name: str) -> None:
        self.name, self.classes = name, ("coarse", "fine", "medium")

    def fit(
        self, inputs: Any, targets: list[str], *, inner: Any, seed: int, origin: Any
    ) -> dict[str, Any]:
        if self.name == "cnn":
            self.fits.append(
                {"keys": inputs.keys, "targets": targets, "inner": inner, "origin": origin}
            )
        return {"temperature": 1.0}

    def embedded(self, inputs: Any, *, origin: Any, briefly: bool = False) -> np.ndarray:
        assert len(origin.plates) == len(inputs)
        return np.ones((len(inputs), 1))

    def scores_of(self, points: np.ndarray) -> np.ndarray:
        return np.zeros((len(points), 3))

    def save(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        for suffix in ("a", "b"):
            (folder / f"{self.name}.{suffix}").touch()


def test_crops_of_one_field_are_on_one_side_of_each_split(
    tiny_plate: Path, grid: RunSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So are those of one well; and controls are seen by their crops as well."""
    fits = sys.modules["hts_classify.fits"]
    monkeypatch.setattr(fits, "make", lambda path, **_options: Recorder(path))
    monkeypatch.setattr(Recorder, "fits", [])
    platemap = pd.read_csv(tiny_plate.with_name("tiny.platemap.csv"), dtype=str)
    platemap["control_type"] = "treatment"
    platemap.loc[0, ["control_type", "phenotype"]] = ["negcon", None]
    platemap.to_csv(tmp_path / "map.csv", index=False)
    settings = replace(grid, platemap=tmp_path / "map.csv", cnn=CnnSettings(scaling="controls"))
    out = run(tiny_plate, settings, out=tmp_path / "out")
    crops = pd.read_parquet(out / "crops.parquet")  # in the order of fields, so of keys
    classes = platemap.set_index("well")["phenotype"]
    folds = pd.read_csv(out / "folds.csv").set_index(WELL)["Fold"]
    assert len(Recorder.fits) == folds[folds >= 0].nunique() + 1
    for fold, fit in enumerate(Recorder.fits):
        shown = crops.iloc[fit["keys"]]
        assert len(shown) == 4 * len(shown[[WELL, SITE]].drop_duplicates())
        assert list(shown[WELL].map(classes)) == fit["targets"]
        assert (folds[shown[WELL]] != fold).all()
        assert len(fit["origin"].plates) == len(shown)
        assert len(fit["origin"].controls["tiny"]) == 2 * 4
        for learn, judge in fit["inner"]:
            assert sorted([*learn, *judge]) == list(range(len(shown)))
            assert not set(shown[WELL].iloc[learn]) & set(shown[WELL].iloc[judge])


def test_what_came_first_does_not_change_a_byte_of_calls_from_crops(
    tiny_plate: Path, grid_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hts_classify.stream, "_BLOCK", 4)
    monkeypatch.setattr(hts_classify.stream, "_BLOCK_ON_GPU", 4)
    chance = random.Random(0)

    class Paced(Progress):
        left = 0

        def stage(self, name: str, total: int, unit: str = ""):  # type: ignore[no-untyped-def]
            def advance(steps: int, size: int = 0) -> None:
                time.sleep(chance.uniform(0, 0.03))
                self.left -= 1
                if self.left == 0:
                    raise KeyboardInterrupt

            return nullcontext(advance)

    stopping = Paced()
    stopping.left = 5
    with pytest.raises(KeyboardInterrupt):
        predict(grid_run / "models", tiny_plate, out=tmp_path / "odd", progress=stopping)
    predict(grid_run / "models", tiny_plate, out=tmp_path / "odd", progress=Paced())
    predict(grid_run / "models", tiny_plate, out=tmp_path / "even")
    one, other = (tmp_path / name / "predictions.parquet" for name in ("odd", "even"))
    assert one.read_bytes() == other.read_bytes()


def test_the_command_takes_crops(
    tiny_plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["run", str(tiny_plate), "--target", "phenotype", "-o", str(tmp_path / "out")]
    assert main([*call, "--crops", "grid", "--crop-size", "99", "--crops-per-field", "4"]) == 1
    assert "64 × 64 pixels is smaller than a crop of 99 × 99" in capsys.readouterr().err
    assert main([*call, "--crops", "objects", "--labels", "nuclei"]) == 1
    assert "no field has a label image 'nuclei'; they have none" in capsys.readouterr().err


def test_a_plate_with_smaller_fields_than_a_crop_is_not_called(
    grid_run: Path, tmp_path: Path
) -> None:
    outline = Outline(name="small", rows=("A",), columns=("1",), channels=("DNA", "GFP"))
    field = Field("A01", 1, "")
    with open_writer(tmp_path / "small.zarr", outline, levels=1) as writer:
        writer.write(field, [np.ones((2, 24, 40), np.uint16)])
        writer.finish([field])
    with pytest.raises(
        DataError, match=r"24 × 40 pixels is smaller than a crop of 32 × 32; the models"
    ):
        predict(grid_run / "models", tmp_path / "small.zarr", out=tmp_path / "calls")
    assert not (tmp_path / "calls").exists()


def test_fields_without_objects_are_left_out_of_both_paths_and_named(
    bare_run: tuple[Path, list[str]],
) -> None:
    out, said = bare_run
    table = pd.read_parquet(out / "predictions.parquet")
    for path in PATHS:
        fields = table[(table[PATH] == path) & (table[LEVEL] == "field")]
        called = set(zip(fields[WELL], fields[SITE], strict=True))
        assert len(called) == len(fields) == 16 - 3
        assert not called & {("A01", 2), ("B02", 1), ("B02", 2)}
        wells = table[(table[PATH] == path) & (table[LEVEL] == "well")]
        assert set(wells[WELL]) == {"A01", "A02", "A03", "A04", "B01", "B03", "B04"}
    failures = pd.read_csv(out / "failures.csv")
    assert list(zip(failures[WELL], failures[SITE], strict=True)) == [
        ("A01", 2),
        ("B02", 1),
        ("B02", 2),
    ]
    assert (
        failures["Reason"] == "no object in label image 'cells', hence no crop for the CNN"
    ).all()
    assert "fields without an object, left out of both paths: 3 (failures.csv)" in said
    comparison = json.loads((out / "comparison.json").read_text())
    assert comparison["lost"] == [["cells", "B02", "b"]]
    page = (out / "report.html").read_text()
    assert "3 fields were left out" in page
    assert "crops of 16 pixels, one an object of cells and at most 2 a field" in page
    assert set(table[TARGET].dropna()) == {"a", "b"}


def test_calls_of_crops_name_their_objects(bare_run: tuple[Path, list[str]]) -> None:
    table = pd.read_parquet(bare_run[0] / "crop_predictions.parquet")
    assert len(table) == 2 * (16 - 3)
    for _, own in table.groupby([WELL, SITE]):
        assert own["ObjectNumber"].tolist() == [3, 5]
    shown = set(zip(table[WELL], table[SITE], strict=True))
    assert not shown & {("A01", 2), ("B02", 1), ("B02", 2)}


def test_models_of_objects_crop_objects_of_another_plate(
    bare_run: tuple[Path, list[str]], tmp_path: Path
) -> None:
    out, _ = bare_run
    plate = written(tmp_path / "more.zarr", bare=(("A03", 1),))
    extraction = predict(out / "models", plate, out=tmp_path / "calls")
    assert len(extraction.features) == 15
    assert list(extraction.failures[WELL]) == ["A03"]
    table = pd.read_parquet(tmp_path / "calls" / "predictions.parquet")
    assert (table.groupby([PATH, LEVEL]).size().unstack() == [15, 8]).all().all()
    nothing = written(
        tmp_path / "nothing.zarr",
        bare=tuple((f"{row}0{n}", site) for row in "AB" for n in (1, 2, 3, 4) for site in (1, 2)),
    )
    with pytest.raises(DataError, match="no field has an object in label image 'cells'"):
        predict(out / "models", nothing, out=tmp_path / "none")


def test_a_finished_run_without_some_fields_is_left_as_it_is(
    bare_run: tuple[Path, list[str]], objects: RunSettings, tmp_path: Path
) -> None:
    out, _ = bare_run
    shutil.copytree(out, tmp_path / "again")
    run(out.with_name("cells.zarr"), objects, out=tmp_path / "again")
    assert promised(tmp_path / "again") == promised(out)
    failures = (out / "failures.csv").read_text()
    assert (
        (tmp_path / "again" / "failures.csv").read_text().count("\n") == failures.count("\n") == 4
    )


def test_crops_go_with_their_field_at_its_time(tmp_path: Path) -> None:
    """Time points that are all 0 have no column, in either table."""
    store = CropStore(tmp_path / "crops.zarr")
    crops = np.arange(5, dtype=np.uint16).repeat(64).reshape(5, 1, 8, 8)
    store.write("P", "A01", crops)
    places = {PLATE: "P", WELL: "A01", SITE: [1, 1, 2, 2, 2], CROP: [0, 1, 2, 3, 4]}
    table = pd.DataFrame(places).sample(frac=1, random_state=0)
    fields = pd.DataFrame({PLATE: "P", WELL: "A01", SITE: [1, 2, 3], TILE_ROW: [4, 7, 9]})
    tiles = FieldCrops(store, table, fields, shape=(1, 8, 8))
    assert tiles.shape == (5, 1, 8, 8)
    assert tiles.counts([9, 4, 7]).tolist() == [0, 2, 3]
    view = tiles.view([7, 9, 4])
    assert view[np.arange(len(view))][:, 0, 0, 0].tolist() == [2, 3, 4, 0, 1]
    assert len(tiles.view([9])) == len(tiles.view([])) == 0
    timed = pd.concat([fields.assign(**{TIMEPOINT: 0}), fields.assign(**{TIMEPOINT: 1})])
    timed[TILE_ROW] = range(6)
    assert FieldCrops(store, table, timed, shape=(1, 8, 8)).counts(range(6)).tolist() == [
        2,
        3,
        0,
        0,
        0,
        0,
    ]
