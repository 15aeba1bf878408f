from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr

from hts_classify import RunSettings, View, open_plate, pftas, predict, run
from hts_classify.errors import DesignError, HTSError
from hts_classify.models import load
from hts_classify.models.protocol import Classifier
from hts_classify.predict import PredictSettings
from hts_classify.progress import Progress
from hts_classify.synthetic import Recipe, write_plate
from hts_classify.vocabulary import (
    CALL,
    FOLD,
    LEVEL,
    PATH,
    PATHS,
    PLATE,
    ROLE,
    SITE,
    TARGET,
    WELL,
    feature_columns,
)


def hashes(folder: Path) -> dict[str, str]:
    """Return every file of a folder with its content's hash."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


PROMISED = ("features", "tiles.zarr", "folds.csv", "predictions", "models/cnn", "comparison.json")
"""What is the same bytes however often a run was stopped."""


def promised(folder: Path) -> dict[str, str]:
    return {name: h for name, h in hashes(folder).items() if name.startswith(PROMISED)}


def results(folder: Path) -> dict[str, str]:
    """Return what is the same bytes of a copy of a plate: its files' times are in the shards."""
    return {name: h for name, h in promised(folder).items() if "features/" not in name}


def test_a_run_leaves_what_the_readme_says(tiny_run: Path) -> None:
    held = {path.name for path in tiny_run.iterdir()}
    assert held == {
        "comparison.json",
        "explanations.csv",
        "explanations.parquet",
        "failures.csv",
        "features",
        "features.parquet",
        "figures",
        "folds.csv",
        "models",
        "predictions",
        "predictions.csv",
        "predictions.parquet",
        "report.html",
        "quality.parquet",
        "run.json",
        "tiles.zarr",
        "timings.json",
    }
    models = {path.suffix for path in (tiny_run / "models").iterdir()}
    assert models == {".json", ".md", ".parquet", ".safetensors", ".skops"}


def test_both_paths_call_the_same_wells_in_the_same_folds(tiny_run: Path) -> None:
    table = pd.read_parquet(tiny_run / "predictions.parquet")
    columns = [WELL, SITE, LEVEL, FOLD, TARGET]
    one, other = (
        table[table[PATH] == path][columns].sort_values(columns).reset_index(drop=True)
        for path in PATHS
    )
    pd.testing.assert_frame_equal(one, other)
    counts = table.groupby([PATH, LEVEL]).size().unstack()
    assert (counts[["field", "well", "treatment"]] == [24, 12, 12]).all().all()


def test_a_wells_scores_are_the_mean_of_its_fields(tiny_run: Path) -> None:
    table = pd.read_parquet(tiny_run / "predictions.parquet")
    scores = [column for column in table if column.startswith("Score_")]
    fields = table[table[LEVEL] == "field"].groupby([PATH, WELL])[scores].mean()
    wells = table[table[LEVEL] == "well"].set_index([PATH, WELL])[scores]
    np.testing.assert_allclose(fields.sort_index(), wells.sort_index())
    best = wells.idxmax(axis=1).str.removeprefix("Score_")
    calls = table[table[LEVEL] == "well"].set_index([PATH, WELL])[CALL]
    assert (best == calls).all()


def test_probabilities_are_the_same_calls_made_comparable(
    tiny_plate: Path, quick: RunSettings, tmp_path: Path
) -> None:
    """At every level softmax(score / temperature), and treatments are the median of medians."""
    settings = replace(quick, aggregate="median", proba=True)
    out = run(tiny_plate, settings, out=tmp_path / "out")
    table = pd.read_parquet(out / "predictions.parquet")
    scores = [column for column in table if column.startswith("Score_")]
    chances = [column for column in table if column.startswith("Proba_")]
    assert [c.removeprefix("Proba_") for c in chances] == [c.removeprefix("Score_") for c in scores]
    np.testing.assert_allclose(table[chances].sum(axis=1), 1)
    assert (table[chances].idxmax(axis=1).str.removeprefix("Proba_") == table[CALL]).all()
    fields = table[table[LEVEL] == "field"].groupby([PATH, WELL])[scores].median()
    wells = table[table[LEVEL] == "well"].set_index([PATH, WELL])[scores]
    np.testing.assert_allclose(fields.sort_index(), wells.sort_index())
    # that TAS calls nothing with certainty on twelve wells is what calibration is for
    assert table.loc[table[PATH] == "tas_svm", chances].to_numpy().max() < 0.95
    comparison = json.loads((out / "comparison.json").read_text())
    assert comparison["paths"]["cnn"]["total"] == 12
    again = predict(out / "models", tiny_plate, PredictSettings(proba=True), out=tmp_path / "calls")
    assert len(again.features) == 24
    calls = pd.read_parquet(tmp_path / "calls" / "predictions.parquet")
    held = calls[(calls[PATH] == "cnn") & (calls[LEVEL] == "field")].groupby(WELL)[scores].median()
    wells = calls[(calls[PATH] == "cnn") & (calls[LEVEL] == "well")].set_index(WELL)[scores]
    np.testing.assert_allclose(held.sort_index(), wells.sort_index())


def test_a_finished_run_is_left_as_it_is(
    tiny_plate: Path, quick: RunSettings, tiny_run: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    shutil.copytree(tiny_run, again)
    run(tiny_plate, quick, out=again)
    assert hashes(again) == hashes(tiny_run)


class Stop(Progress):
    """A listener that is interrupted when a stage of this name begins."""

    def __init__(self, at: str) -> None:
        self.at = at

    def stage(self, name: str, total: int, unit: str = ""):  # type: ignore[no-untyped-def]
        if name.startswith(self.at):
            raise KeyboardInterrupt
        return super().stage(name, total, unit)


class Late(Progress):
    """A listener that is interrupted by a signal after some rounds of a stage of this name."""

    def __init__(self, at: str) -> None:
        self.at = at

    @contextmanager
    def stage(self, name: str, total: int, unit: str = ""):  # type: ignore[no-untyped-def]
        told = 0

        def advance(steps: int, size: int = 0) -> None:
            nonlocal told
            told += 1
            if name == self.at and told == 2:
                signal.raise_signal(signal.SIGINT)

        yield advance


def test_ctrl_c_inside_a_fit_ends_in_the_same_bytes(
    tiny_plate: Path, quick: RunSettings, tiny_run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(tiny_plate, quick, out=out, progress=Late("CNN, fold 2"))
    (checkpoint,) = (out / "checkpoints").rglob("*.safetensors")
    assert checkpoint.parent.name.startswith("cnn-fold1-")
    run(tiny_plate, quick, out=out)
    assert promised(out) == promised(tiny_run)
    assert not (out / "checkpoints").exists()


def test_two_devices_share_the_fits_and_leave_the_same_bytes(
    tiny_plate: Path,
    quick: RunSettings,
    tiny_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # what a Dask cluster of the caller's leaves behind
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    environment = dict(os.environ)
    out = run(tiny_plate, replace(quick, device="cpu,cpu"), out=tmp_path / "out")
    assert promised(out) == promised(tiny_run)
    assert json.loads((out / "run.json").read_text()) == json.loads(
        (tiny_run / "run.json").read_text()
    )
    assert len(json.loads((out / "timings.json").read_text())["fits"]) == 2 * 5
    assert dict(os.environ) == environment


@pytest.mark.parametrize("at", ["TAS + SVM, fold 2", "CNN, fold 2", "CNN, all"])
def test_a_stopped_run_ends_in_the_same_bytes(
    tiny_plate: Path, quick: RunSettings, tiny_run: Path, tmp_path: Path, at: str
) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(tiny_plate, quick, out=out, progress=Stop(at))
    before = hashes(out)
    run(tiny_plate, quick, out=out)
    assert promised(out) == promised(tiny_run)
    kept = {name for name in before if name.startswith("predictions/")}
    assert kept
    assert all(hashes(out)[name] == before[name] for name in kept)


def test_timings_alone_tell_two_runs_apart(
    tiny_plate: Path, quick: RunSettings, tiny_run: Path, tmp_path: Path
) -> None:
    run(tiny_plate, quick, out=tmp_path / "other")
    one, other = hashes(tiny_run), hashes(tmp_path / "other")
    differing = {name for name in one | other if one.get(name) != other.get(name)}
    costs = {
        f"figures/{name}.{kind}"
        for name in ("accuracy-against-throughput", "cost")
        for kind in ("svg", "png")
    }
    assert differing <= {"timings.json", "report.html", "models/tas_svm.skops"} | costs


def test_wells_without_a_class_are_called_by_models_of_all_others(
    tiny_plate: Path, quick: RunSettings, tmp_path: Path
) -> None:
    platemap = pd.read_csv(tiny_plate.with_name("tiny.platemap.csv"), dtype=str)
    hidden = platemap.groupby("phenotype").head(1).index
    platemap.loc[hidden, "phenotype"] = None
    platemap.to_csv(tmp_path / "map.csv", index=False)
    out = run(tiny_plate, replace(quick, platemap=tmp_path / "map.csv"), out=tmp_path / "out")
    table = pd.read_parquet(out / "predictions.parquet")
    idle = table[table[ROLE] == "unlabelled"]
    assert set(idle[WELL].dropna()) == set(platemap.loc[hidden, "well"])
    assert (idle[FOLD] == -1).all()
    assert idle[TARGET].isna().all()
    calls = predict(out / "models", tiny_plate, out=tmp_path / "calls")
    assert len(calls.features) == 24
    again = pd.read_parquet(tmp_path / "calls" / "predictions.parquet")
    keys = [PATH, LEVEL, WELL, SITE]
    scores = [column for column in again if column.startswith("Score_")]
    both = idle.merge(again, on=keys, suffixes=("", "_again"))
    assert len(both) == (idle[LEVEL] != "treatment").sum()
    np.testing.assert_allclose(both[scores], both[[f"{s}_again" for s in scores]], rtol=1e-5)


def test_an_unscored_class_is_learnt_and_not_counted(
    tiny_plate: Path, quick: RunSettings, tmp_path: Path
) -> None:
    platemap = pd.read_csv(tiny_plate.with_name("tiny.platemap.csv"), dtype=str)
    platemap.loc[platemap["phenotype"] == "fine", "compound"] = "CPD-X"
    platemap.to_csv(tmp_path / "map.csv", index=False)
    settings = replace(quick, platemap=tmp_path / "map.csv", unscored=("fine",))
    out = run(tiny_plate, settings, out=tmp_path / "out")
    comparison = json.loads((out / "comparison.json").read_text())
    assert comparison["paths"]["cnn"]["total"] == 8
    model: Classifier = load("tas_svm", out / "models")
    assert "fine" in model.classes
    report = (out / "report.html").read_text()
    assert "8 wells with a known class" in report


def test_a_field_left_out_is_in_the_report(
    tiny_plate: Path, quick: RunSettings, tmp_path: Path
) -> None:
    plate = tmp_path / "tiny.zarr"
    shutil.copytree(tiny_plate, plate)
    shutil.copy(tiny_plate.with_name("tiny.platemap.csv"), tmp_path)
    next(iter(sorted(plate.glob("*/*/0/0/c/0/0/0")))).write_bytes(b"no zstd")
    out = run(plate, quick)
    assert out == tmp_path / "tiny-hts"
    failures = pd.read_csv(out / "failures.csv")
    assert len(failures) == 1
    assert "1 field was left out" in (out / "report.html").read_text()


def test_a_mended_plate_gives_what_it_would_have_given_whole(
    tiny_plate: Path, quick: RunSettings, tiny_run: Path, tmp_path: Path
) -> None:
    plate = tmp_path / "tiny.zarr"
    shutil.copytree(tiny_plate, plate)
    shutil.copy(tiny_plate.with_name("tiny.platemap.csv"), tmp_path)
    next(iter(sorted(plate.glob("*/*/0/0/c/0/0/0")))).unlink()
    out = run(plate, quick)
    assert promised(out) != promised(tiny_run)
    shutil.copytree(tiny_plate, plate, dirs_exist_ok=True)
    assert results(run(plate, quick)) == results(tiny_run)


def test_a_field_that_was_mirrored_is_learnt_anew(
    tiny_plate: Path, quick: RunSettings, tmp_path: Path
) -> None:
    """TAS does not see a mirrored field, the CNN does."""
    plate = tmp_path / "tiny.zarr"
    shutil.copytree(tiny_plate, plate)
    shutil.copy(tiny_plate.with_name("tiny.platemap.csv"), tmp_path)
    out = run(plate, quick)
    features = (out / "features.parquet").read_bytes()
    before = {path.name for path in (out / "predictions").iterdir()}
    (array,) = sorted(plate.glob("*/*/0/0"))[:1]
    opened = zarr.open_array(array, mode="r+")
    opened[:] = opened[:][..., ::-1]
    run(plate, quick)
    assert (out / "features.parquet").read_bytes() == features
    assert not before & {path.name for path in (out / "predictions").iterdir()}


def test_a_well_and_a_class_that_are_lost_are_named(
    tiny_plate: Path, quick: RunSettings, tmp_path: Path
) -> None:
    plate = tmp_path / "tiny.zarr"
    shutil.copytree(tiny_plate, plate)
    platemap = pd.read_csv(tiny_plate.with_name("tiny.platemap.csv"), dtype=str)
    fine = platemap.loc[platemap["phenotype"] == "fine", "well"]
    idle = platemap.loc[platemap["phenotype"] == "coarse", "well"].iloc[0]
    platemap.loc[platemap["well"] == idle, "phenotype"] = None
    platemap.to_csv(tmp_path / "tiny.platemap.csv", index=False)
    for well in [*fine, idle]:
        shutil.rmtree(plate / well[0] / str(int(well[1:])) / "0/0/c")
        shutil.rmtree(plate / well[0] / str(int(well[1:])) / "1/0/c")
    out = run(plate, replace(quick, unscored=("fine",)))
    comparison = json.loads((out / "comparison.json").read_text())
    assert ["tiny", idle, None] in comparison["lost"]
    page = (out / "report.html").read_text()
    assert f"No field is left of {len(fine) + 1} wells" in page
    assert "Class fine is not among the results" in page
    assert "nan" not in re.sub("base64,[A-Za-z0-9+/=]+", "", page)


def test_a_design_that_lost_fields_have_spoilt_says_where_they_are_listed(
    tiny_plate: Path, quick: RunSettings, tmp_path: Path
) -> None:
    plate = tmp_path / "tiny.zarr"
    shutil.copytree(tiny_plate, plate)
    shutil.copy(tiny_plate.with_name("tiny.platemap.csv"), tmp_path)
    platemap = pd.read_csv(tmp_path / "tiny.platemap.csv", dtype=str)
    fine = platemap.loc[platemap["phenotype"] == "fine", "well"]
    for well in fine[1:]:
        for field in "01":
            shutil.rmtree(plate / well[0] / str(int(well[1:])) / field / "0/c")
    match = r"class 'fine' .* single compound.*failures\.csv says why \d+ fields were left out"
    with pytest.raises(DesignError, match=match):
        run(plate, quick)


def test_another_plate_of_the_same_name_and_layout_is_read_anew(
    tiny_plate: Path, quick: RunSettings, tiny_run: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_plate, tmp_path / "tiny.zarr")
    chunks = sorted((tmp_path / "tiny.zarr").glob("*/*/*/0/c/*/0/0"))
    contents = [chunk.read_bytes() for chunk in chunks]
    for chunk, content in zip(chunks, contents[2:] + contents[:2], strict=True):  # 2 channels
        chunk.write_bytes(content)
    shutil.copy(tiny_plate.with_name("tiny.platemap.csv"), tmp_path)
    shutil.copytree(tiny_run, tmp_path / "out")
    run(tmp_path / "tiny.zarr", quick, out=tmp_path / "out")
    run(tmp_path / "tiny.zarr", quick, out=tmp_path / "fresh")
    assert promised(tmp_path / "out") == promised(tmp_path / "fresh")
    assert results(tmp_path / "out") != results(tiny_run)


@pytest.mark.parametrize(
    "damage",
    [
        "features/tiny/{well}.parquet",
        "predictions/cnn-fold0-*.parquet",
        "predictions/tas_svm-all-*.json",
        "models/cnn.safetensors",
        "models/inputs.json",
    ],
)
def test_what_was_damaged_or_lost_is_made_again(
    tiny_plate: Path, quick: RunSettings, tiny_run: Path, tmp_path: Path, damage: str
) -> None:
    out = tmp_path / "out"
    shutil.copytree(tiny_run, out)
    (hit,) = out.glob(damage.format(well=open_plate(tiny_plate).wells[0]))
    if damage.startswith("models"):
        hit.unlink()
    else:
        hit.write_bytes(hit.read_bytes()[:20])
    run(tiny_plate, quick, out=out)
    assert promised(out) == promised(tiny_run)
    assert (out / "models" / "inputs.json").exists()


def test_a_damaged_tile_is_named(
    tiny_plate: Path, quick: RunSettings, tiny_run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(tiny_run, out)
    shutil.rmtree(out / "predictions")
    tile = out / "tiles.zarr" / "256" / "c.3.0.0.0"
    tile.write_bytes(b"junk" + tile.read_bytes()[4:])  # only reading all of it shows that
    with pytest.raises(HTSError, match=r"tiles\.zarr/256: tile 3 does not decode"):
        run(tiny_plate, quick, out=out)
    tile.write_bytes(b"junk")
    run(tiny_plate, quick, out=out)
    assert promised(out) == promised(tiny_run)


@pytest.mark.parametrize("content", ["[]", "{", ""])
def test_a_damaged_run_json_is_one_line(
    tiny_plate: Path, quick: RunSettings, tiny_run: Path, tmp_path: Path, content: str
) -> None:
    out = tmp_path / "out"
    shutil.copytree(tiny_run, out)
    (out / "run.json").write_text(content)
    with pytest.raises(HTSError, match=r"name another folder|delete the folder"):
        run(tiny_plate, quick, out=out)


def test_a_plate_maps_own_site_column_is_no_site_of_ours(
    tiny_plate: Path, quick: RunSettings, tmp_path: Path
) -> None:
    platemap = pd.read_csv(tiny_plate.with_name("tiny.platemap.csv"), dtype=str)
    platemap.assign(Site="9", Level="high").to_csv(tmp_path / "map.csv", index=False)
    out = run(tiny_plate, replace(quick, platemap=tmp_path / "map.csv"), out=tmp_path / "out")
    table = pd.read_parquet(out / "predictions.parquet")
    assert not [column for column in table if column.endswith(("_x", "_y"))]
    assert set(table[SITE].dropna()) == {1, 2}


def test_numbers_can_be_classes(tiny_plate: Path, quick: RunSettings, tmp_path: Path) -> None:
    platemap = pd.read_csv(tiny_plate.with_name("tiny.platemap.csv"), dtype=str)
    dose = {"coarse": "0.5", "fine": "1", "medium": "10"}
    platemap["concentration"] = platemap["phenotype"].map(dose)
    platemap.to_csv(tmp_path / "map.csv", index=False)
    settings = replace(quick, platemap=tmp_path / "map.csv", target="concentration")
    out = run(tiny_plate, settings, out=tmp_path / "out")
    assert set(pd.read_parquet(out / "predictions.parquet")[TARGET]) == {"0.5", "1.0", "10.0"}


def test_predicting_measures_as_the_models_were_trained(
    tiny_plate: Path, quick: RunSettings, tmp_path: Path
) -> None:
    settings = replace(quick, features="tas", full_scale=60000, tile_size=32)
    out = run(tiny_plate, settings, out=tmp_path / "out")
    calls = predict(out / "models", tiny_plate, out=tmp_path / "calls")
    names = [name for name in calls.features if name.startswith("Image_TAS_DNA")]
    trained_on = pd.read_parquet(out / "features.parquet")
    np.testing.assert_array_equal(calls.features[names], trained_on[names])
    assert calls.tiles.shape[2:] == (32, 32)
    larger = Recipe(setting="texture", shape=(128, 96), compounds=3, replicates=1, fields=1)
    plate = write_plate(tmp_path / "larger.zarr", larger)
    calls = predict(out / "models", plate, out=tmp_path / "larger")
    assert calls.tiles.shape[2:] == (64, 48)


def test_channels_are_used_and_found_again_by_name(
    tiny_plate: Path, quick: RunSettings, tmp_path: Path
) -> None:
    out = run(tiny_plate, replace(quick, view=View(use=("GFP",))), out=tmp_path / "out")
    features = pd.read_parquet(out / "features.parquet")
    assert [name for name in features if name.startswith("Image_")] == feature_columns(
        "pftas", "GFP"
    )
    plate = open_plate(tiny_plate)
    image = plate.read(plate.fields[3])[plate.channels.index("GFP")]
    values = features.iloc[3][feature_columns("pftas", "GFP")].to_numpy(float)
    np.testing.assert_array_equal(values, pftas(image))
    calls = predict(out / "models", tiny_plate, out=tmp_path / "calls")
    assert calls.tiles.shape[1] == 1
    pd.testing.assert_frame_equal(calls.features, features)


def test_predicting_needs_a_plate_like_the_one_that_was_learnt(
    tiny_plate: Path, tiny_run: Path, tmp_path: Path
) -> None:
    settings = PredictSettings(view=View(channels=("A", "B")))
    with pytest.raises(HTSError, match=r"channels are A, B, the models in .* DNA, GFP"):
        predict(tiny_run / "models", tiny_plate, settings, out=tmp_path)
    with pytest.raises(HTSError, match=r"holds no models \(inputs.json is absent\)"):
        predict(tmp_path, tiny_plate, out=tmp_path / "calls")


def test_several_plates_are_one_run(tiny_plate: Path, quick: RunSettings, tmp_path: Path) -> None:
    plates = []
    for name in ("p1", "p2"):
        plates.append(tmp_path / f"{name}.zarr")
        shutil.copytree(tiny_plate, plates[-1])
        metadata = plates[-1] / "zarr.json"
        metadata.write_text(metadata.read_text().replace('"tiny"', f'"{name}"'))
        platemap = pd.read_csv(tiny_plate.with_name("tiny.platemap.csv"))
        platemap.to_csv(tmp_path / f"{name}.platemap.csv", index=False)
    out = run(plates, quick)
    assert out == tmp_path / "p1-hts"
    table = pd.read_parquet(out / "predictions.parquet")
    wells = table[table[LEVEL] == "well"]
    assert wells.groupby([PATH, PLATE]).size().tolist() == [12] * 4
    # A compound is in one fold on both plates.
    assert (wells.groupby("Group")[FOLD].nunique() == 1).all()
    page = (out / "report.html").read_text()
    assert "p1 and 1 more" in page
    assert "TAS + SVM, <bdi>p2</bdi>" in page
    assert str(plates[1]) in page
