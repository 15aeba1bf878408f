from __future__ import annotations

import json
import random
import shutil
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import hts_classify.stream
from hts_classify import RunSettings, predict, run
from hts_classify.errors import DataError, HTSError, ModelError, UsageError
from hts_classify.files import read_json
from hts_classify.models import load
from hts_classify.models.calibrate import proba
from hts_classify.models.protocol import Origin
from hts_classify.plate import View
from hts_classify.predict import PredictSettings
from hts_classify.progress import Progress
from hts_classify.vocabulary import PATH


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Score four fields at a time, so that a plate of 24 has several blocks."""
    monkeypatch.setattr(hts_classify.stream, "_BLOCK", 4)
    monkeypatch.setattr(hts_classify.stream, "_BLOCK_ON_GPU", 4)


class Paced(Progress):
    """A listener that takes its time over a well, or is interrupted at one."""

    def __init__(self, delay: Callable[[], float] = lambda: 0.0, stop_after: int = 0) -> None:
        self.delay, self.left = delay, stop_after

    def stage(self, name: str, total: int, unit: str = ""):  # type: ignore[no-untyped-def]
        def advance(steps: int, size: int = 0) -> None:
            time.sleep(self.delay())
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt

        return nullcontext(advance)


def tables(folder: Path) -> tuple[bytes, bytes]:
    stem = folder / "predictions"
    return stem.with_suffix(".parquet").read_bytes(), stem.with_suffix(".csv").read_bytes()


def test_what_came_first_does_not_change_a_byte(
    tiny_plate: Path, tiny_run: Path, tmp_path: Path
) -> None:
    chance = random.Random(0)
    settings = PredictSettings(proba=True)
    for name, delay in (("even", lambda: 0.0), ("odd", lambda: chance.uniform(0, 0.05))):
        predict(
            tiny_run / "models", tiny_plate, settings, out=tmp_path / name, progress=Paced(delay)
        )
    assert tables(tmp_path / "even") == tables(tmp_path / "odd")


def test_a_stopped_prediction_goes_on_to_the_same_bytes(
    tiny_plate: Path, tiny_run: Path, tmp_path: Path
) -> None:
    models = tiny_run / "models"
    with pytest.raises(KeyboardInterrupt):
        predict(models, tiny_plate, out=tmp_path / "one", progress=Paced(stop_after=5))
    assert not (tmp_path / "one" / "predictions.csv").exists()
    predict(models, tiny_plate, out=tmp_path / "one")
    predict(models, tiny_plate, out=tmp_path / "whole")
    assert tables(tmp_path / "one") == tables(tmp_path / "whole")
    predict(models, tiny_plate, out=tmp_path / "whole")  # all is kept: nothing is streamed
    assert tables(tmp_path / "one") == tables(tmp_path / "whole")


def test_it_calls_as_the_run_did_on_wells_that_its_models_know(
    tiny_plate: Path, tiny_run: Path, tmp_path: Path
) -> None:
    extraction = predict(tiny_run / "models", tiny_plate, out=tmp_path / "calls")
    table = pd.read_parquet(tmp_path / "calls" / "predictions.parquet")
    assert (table.groupby([PATH, "Level"]).size().unstack() == [24, 12]).all().all()
    held = table[(table["Level"] == "field") & (table[PATH] == "cnn")].reset_index()
    for column in ("Metadata_Well", "Metadata_Site"):
        assert (held[column] == extraction.features[column]).all()


class Slow:
    """A model that says when and where it was asked, and takes a moment."""

    classes = ("a", "b")
    temperature = 1.0
    needs_controls = False

    def __init__(self, name: str, fail: bool = False) -> None:
        self.name, self.fail = name, fail
        self.asked: list[tuple[str, int]] = []

    def embedded(self, inputs: Any, *, origin: Origin) -> np.ndarray:
        self.asked.append((threading.current_thread().name, len(inputs)))
        if self.fail:
            raise DataError("the tile is haunted")
        return np.asarray(inputs[np.arange(len(inputs))]).reshape(len(inputs), -1)[:, :1]

    def scores_of(self, points: Any) -> np.ndarray:
        return np.hstack([points, -points])


def streaming(monkeypatch: pytest.MonkeyPatch, **options: Any) -> dict[str, Slow]:
    models = {name: Slow(name, **options) for name in ("tas_svm", "cnn")}
    monkeypatch.setattr(
        sys.modules["hts_classify.saved"], "load", lambda name, *_a, **_k: models[name]
    )
    unchanged = lambda table, *_others: table.assign(Unlike=False)  # noqa: E731
    monkeypatch.setattr(sys.modules["hts_classify.predict"], "_judged", unchanged)
    monkeypatch.setattr(sys.modules["hts_classify.saved"], "_familiar", lambda *_some: {})
    return models


def test_fields_are_scored_while_others_are_read(
    tiny_plate: Path, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = streaming(monkeypatch)
    seen: list[int] = []

    def look() -> float:
        seen.append(len(models["cnn"].asked))
        return 0.1

    predict(tiny_run / "models", tiny_plate, out=tmp_path / "calls", progress=Paced(look))
    for model in models.values():
        assert all(where.startswith("calling") for where, _ in model.asked)
        assert [count for _, count in model.asked] == [4] * 6
    assert seen[-1] >= 1  # before the last well was told of


def test_what_goes_wrong_in_scoring_ends_the_pass_with_its_reason(
    tiny_plate: Path, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streaming(monkeypatch, fail=True)
    with pytest.raises(DataError, match="the tile is haunted"):
        predict(tiny_run / "models", tiny_plate, out=tmp_path / "calls")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("calling")]


def test_a_lost_field_changes_nothing_of_the_others(
    tiny_plate: Path, tiny_run: Path, tmp_path: Path
) -> None:
    plate = tmp_path / "tiny.zarr"
    shutil.copytree(tiny_plate, plate)
    next(iter(sorted(plate.glob("*/*/0/0/c/0/0/0")))).unlink()
    models = tiny_run / "models"
    assert len(predict(models, plate, out=tmp_path / "holed").failures) == 1
    predict(models, tiny_plate, out=tmp_path / "whole")
    keys = ["Level", PATH, "Metadata_Well", "Metadata_Site"]
    one, other = (
        pd.read_parquet(tmp_path / name / "predictions.parquet") for name in ("holed", "whole")
    )
    both = one.merge(other, on=keys)
    assert len(both) == len(one) == 2 * (23 + 12)
    apart = both[~np.isclose(both["Score_fine_x"], both["Score_fine_y"], rtol=1e-4, atol=1e-5)]
    assert set(apart["Metadata_Well"]) <= {one["Metadata_Well"].iloc[0]}


def test_models_of_other_channels_than_their_folder_says_are_refused(
    tiny_plate: Path, tiny_run: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    shutil.copytree(tiny_run / "models", models)
    card = models / "cnn.json"
    card.write_text(json.dumps(read_json(card) | {"channels": ["GFP", "DNA"]}))
    with pytest.raises(ModelError, match=r"cnn was trained on GFP, DNA, inputs\.json says"):
        predict(models, tiny_plate, out=tmp_path / "calls")
    assert not (tmp_path / "calls").exists()


def test_other_ways_to_call_do_not_go_into_the_same_folder(
    tiny_plate: Path, tiny_run: Path, tmp_path: Path
) -> None:
    predict(tiny_run / "models", tiny_plate, out=tmp_path / "calls")
    for settings in (PredictSettings(aggregate="median"), PredictSettings(proba=True)):
        with pytest.raises(HTSError, match="holds another run"):
            predict(tiny_run / "models", tiny_plate, settings, out=tmp_path / "calls")


def with_controls(plate: Path, file: Path) -> pd.DataFrame:
    """Write a map in which the first well of each class is a control without a class."""
    platemap = pd.read_csv(plate.with_name("tiny.platemap.csv"), dtype=str)
    first = platemap.groupby("phenotype").head(1).index
    platemap["control_type"] = "treatment"
    platemap.loc[first, ["control_type", "phenotype"]] = ["negcon", None]
    platemap.to_csv(file, index=False)
    return platemap


def test_a_plate_is_scaled_by_its_own_controls(
    tiny_plate: Path, quick: RunSettings, tmp_path: Path
) -> None:
    platemap = with_controls(tiny_plate, tmp_path / "map.csv")
    cnn = replace(quick.cnn, scaling="controls")
    settings = replace(quick, cnn=cnn, platemap=tmp_path / "map.csv")
    out = run(tiny_plate, settings, out=tmp_path / "out")
    plate = tmp_path / "other.zarr"
    shutil.copytree(tiny_plate, plate)
    with pytest.raises(HTSError, match=r"no plate map; name one with --platemap"):
        predict(out / "models", plate, out=tmp_path / "calls")
    (tmp_path / "bare.csv").write_text(platemap.drop(columns="control_type").to_csv(index=False))
    asked = PredictSettings(platemap=tmp_path / "bare.csv")
    with pytest.raises(HTSError, match=r"none is there .there is no column of control types"):
        predict(out / "models", plate, asked, out=tmp_path / "calls")
    assert not (tmp_path / "calls").exists()
    asked = PredictSettings(platemap=tmp_path / "map.csv")
    predict(out / "models", plate, asked, out=tmp_path / "calls")
    own, again = (
        pd.read_parquet(folder / "predictions.parquet") for folder in (out, tmp_path / "calls")
    )
    keys = ["Level", PATH, "Metadata_Well", "Metadata_Site"]
    both = own[own["Role"] == "unlabelled"].merge(again, on=keys)
    assert (both[PATH] == "cnn").any()
    np.testing.assert_allclose(both["Score_fine_x"], both["Score_fine_y"], rtol=1e-4, atol=1e-6)
    # by cascade: controls set the scale although the CNN is not shown them
    wells = again[(again["Level"] == "well") & (again[PATH] == "tas_svm")]
    tas = load("tas_svm", out / "models")
    names = [name for name in again if name.startswith("Score_")]
    sure = proba(wells[names].to_numpy(), tas.temperature).max(axis=1)
    models = cascaded(out / "models", tmp_path / "models", float(np.median(sure)))
    predict(models, plate, replace(asked, cascade=True), out=tmp_path / "turns")
    sent, every = wells_of(tmp_path / "turns", "cnn"), wells_of(tmp_path / "calls", "cnn")
    assert 0 < len(sent) < len(every)
    np.testing.assert_allclose(sent[names], every.loc[sent.index, names], rtol=1e-4, atol=1e-6)
    platemap["control_type"] = "negcon"
    platemap.to_csv(tmp_path / "map.csv", index=False)
    with pytest.raises(UsageError, match="platemap"):
        predict(out / "models", plate, asked, out=tmp_path / "calls")


def test_a_plate_that_is_read_in_another_way_is_said(
    tiny_plate: Path, tiny_run: Path, tmp_path: Path
) -> None:
    class Listening(Progress):
        def note(self, text: str) -> None:
            said.append(text)

    said: list[str] = []
    settings = PredictSettings(view=View(z=0))
    predict(tiny_run / "models", tiny_plate, settings, out=tmp_path / "a", progress=Listening())
    assert "tiny is read with z 0, the models learned max" in said
    said.clear()
    predict(tiny_run / "models", tiny_plate, out=tmp_path / "b", progress=Listening())
    assert not [text for text in said if "the models learned" in text]


def cascaded(models: Path, folder: Path, threshold: float) -> Path:
    """Copy models, with another threshold."""
    shutil.copytree(models, folder)
    (folder / "cascade.json").write_text(json.dumps({"threshold": threshold, "aggregate": "mean"}))
    return folder


def wells_of(folder: Path, path: str) -> pd.DataFrame:
    table = pd.read_parquet(folder / "predictions.parquet")
    return table[(table[PATH] == path) & (table["Level"] == "well")].set_index("Metadata_Well")


def test_a_cascade_shows_the_cnn_the_unsure_wells_alone(
    tiny_plate: Path, tiny_run: Path, tmp_path: Path
) -> None:
    plain = PredictSettings(proba=True, device="cpu")
    predict(tiny_run / "models", tiny_plate, plain, out=tmp_path / "both")
    names = [name for name in wells_of(tmp_path / "both", "cnn") if name.startswith("Proba_")]
    first, second = (wells_of(tmp_path / "both", path) for path in ("tas_svm", "cnn"))
    sure = first[names].max(axis=1)
    threshold = float(sure.median())
    models = cascaded(tiny_run / "models", tmp_path / "models", threshold)
    settings = replace(plain, cascade=True)
    said: list[str] = []
    listener = Paced()
    listener.note = said.append  # type: ignore[method-assign]
    predict(models, tiny_plate, settings, out=tmp_path / "turns", progress=listener)
    sent = wells_of(tmp_path / "turns", "cnn")
    assert 0 < len(sent) < len(first)
    assert set(sent.index) == set(sure.index[sure < threshold])
    assert said[-1].startswith(f"{len(sent)} of {len(first)} wells went to the CNN")
    np.testing.assert_allclose(sent[names], second.loc[sent.index, names], rtol=1e-4, atol=1e-6)
    called = wells_of(tmp_path / "turns", "cascade")
    assert len(called) == len(first)
    for well, row in called.iterrows():
        source = second if well in sent.index else first
        assert row["Class"] == source.loc[well, "Class"]
        np.testing.assert_allclose(
            row[names].astype(float), source.loc[well, names].astype(float), rtol=1e-4
        )
        scores = np.sort(row[[n for n in called if n.startswith("Score_")]].astype(float))
        assert row["Margin"] == pytest.approx(scores[-1] - scores[-2])
    # all is kept from the pass: nothing is streamed, and nothing changes
    before = tables(tmp_path / "turns")
    predict(models, tiny_plate, settings, out=tmp_path / "turns")
    assert tables(tmp_path / "turns") == before


@pytest.mark.parametrize(("threshold", "share"), [(0.0, 0), (1.1, 1)])
def test_a_cascade_may_send_none_or_all(
    tiny_plate: Path, tiny_run: Path, tmp_path: Path, threshold: float, share: int
) -> None:
    models = cascaded(tiny_run / "models", tmp_path / "models", threshold)
    predict(models, tiny_plate, PredictSettings(cascade=True), out=tmp_path / "out")
    wells = wells_of(tmp_path / "out", "tas_svm")
    assert len(wells_of(tmp_path / "out", "cnn")) == share * len(wells)
    called = wells_of(tmp_path / "out", "cascade")
    source = wells_of(tmp_path / "out", "cnn" if share else "tas_svm")
    assert (called["Class"] == source.loc[called.index, "Class"]).all()
    assert not [name for name in called if name.startswith("Proba_")]


def test_a_cascade_joins_fields_as_its_threshold_was_chosen(
    tiny_plate: Path, tiny_run: Path, tmp_path: Path
) -> None:
    models = cascaded(tiny_run / "models", tmp_path / "models", 0.5)
    settings = PredictSettings(cascade=True, aggregate="median")
    with pytest.raises(UsageError, match="its threshold is for mean; leave --aggregate out"):
        predict(models, tiny_plate, settings, out=tmp_path / "out")


def test_a_cascade_without_a_threshold_is_refused(
    tiny_plate: Path, tiny_run: Path, tmp_path: Path
) -> None:
    assert "threshold" in json.loads((tiny_run / "models" / "cascade.json").read_text())
    shutil.copytree(tiny_run / "models", tmp_path / "models")
    (tmp_path / "models" / "cascade.json").unlink()
    with pytest.raises(ModelError, match=r"cascade\.json is absent"):
        predict(
            tmp_path / "models", tiny_plate, PredictSettings(cascade=True), out=tmp_path / "out"
        )
    assert not (tmp_path / "out").exists()


def test_normalised_features_need_controls_of_the_plate_that_is_called(
    tiny_plate: Path, quick: RunSettings, tmp_path: Path
) -> None:
    platemap = with_controls(tiny_plate, tmp_path / "map.csv")
    asked = replace(quick, normalise="robust", platemap=tmp_path / "map.csv")
    out = run(tiny_plate, asked, out=tmp_path / "out")
    report = (out / "report.html").read_text()
    assert "TAS features by each plate&#39;s negative controls: robust" in report
    other = tmp_path / "other.zarr"
    shutil.copytree(tiny_plate, other)
    with pytest.raises(HTSError, match=r"no plate map; name one with --platemap"):
        predict(out / "models", other, out=tmp_path / "calls")
    fewer = platemap.copy()
    fewer.loc[fewer.index[fewer["control_type"] == "negcon"][0], "control_type"] = "treatment"
    fewer.to_csv(tmp_path / "fewer.csv", index=False)
    settings = PredictSettings(platemap=tmp_path / "fewer.csv")
    with pytest.raises(HTSError, match=r"3 or more wells of negative controls, and 2 are there"):
        predict(out / "models", other, settings, out=tmp_path / "calls")
    settings = PredictSettings(platemap=tmp_path / "map.csv")
    predict(out / "models", other, settings, out=tmp_path / "calls")
    own, again = wells_of(out, "tas_svm"), wells_of(tmp_path / "calls", "tas_svm")
    own = own[own["Role"] == "unlabelled"]
    names = [name for name in own if name.startswith("Score_")]
    np.testing.assert_allclose(own[names], again.loc[own.index, names], rtol=1e-9)
    # TAS waits for the controls, and the CNN for TAS
    models = cascaded(out / "models", tmp_path / "models", 0.9)
    predict(models, other, replace(settings, cascade=True), out=tmp_path / "turns")
    turns = wells_of(tmp_path / "turns", "tas_svm")
    np.testing.assert_allclose(turns.loc[again.index, names], again[names], rtol=1e-9)
    assert len(wells_of(tmp_path / "turns", "cascade")) == len(again)


@pytest.mark.parametrize("name", ["unlike.json", "known-tas_svm.parquet", "known-cnn.parquet"])
def test_models_without_what_tells_unknown_wells_are_refused_before_the_plate_is_read(
    tiny_plate: Path, tiny_run: Path, tmp_path: Path, name: str
) -> None:
    models = tmp_path / "models"
    shutil.copytree(tiny_run / "models", models)
    (models / name).unlink()
    with pytest.raises(ModelError, match=rf"{name} is absent.*finished run"):
        predict(models, tiny_plate, out=tmp_path / "calls")
    assert not (tmp_path / "calls").exists()
    if name.startswith("known"):
        other = "known-cnn" if "tas" in name else "known-tas_svm"
        shutil.copy(tiny_run / "models" / f"{other}.parquet", models / name)
        with pytest.raises(ModelError, match="is of another model than"):
            predict(models, tiny_plate, out=tmp_path / "calls")


def test_a_card_that_is_written_anew_is_no_other_model(
    tiny_plate: Path, tiny_run: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    shutil.copytree(tiny_run / "models", models)
    predict(models, tiny_plate, out=tmp_path / "calls")
    (models / "card-cnn.md").write_text("Over 3 seeds …")
    predict(models, tiny_plate, out=tmp_path / "calls")
