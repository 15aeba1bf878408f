from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hts_classify import RunSettings, run
from hts_classify.models import CnnSettings
from hts_classify.report import load_record, summary
from hts_classify.vocabulary import COMPOUND, PATHS, PLATE, WELL


class Recorder:
    """A classifier that learns nothing and remembers which fields it was given for what."""

    fits: list[dict[str, Any]] = []  # noqa: RUF012
    interrupted_at: int = -1

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        self.name, self.classes = name, ("coarse", "fine", "medium")
        self.options = options

    def fit(
        self, inputs: Any, targets: list[str], *, inner: Any, seed: int, origin: Any
    ) -> dict[str, Any]:
        rows = inputs[np.arange(len(inputs))][:, 0]
        self.now = {"path": self.name, "learn": rows, "targets": targets, "scored": []}
        self.now["inner"] = [(rows[learn], rows[judge]) for learn, judge in inner]
        self.now |= {"origin": origin, "options": self.options, "seed": seed}
        state = self.options["checkpoint"] / "state"
        self.now["went_on"] = state.exists()
        Recorder.fits.append(self.now)
        if self.name == "cnn":
            state.parent.mkdir(parents=True, exist_ok=True)
            state.touch()
            if len(Recorder.fits) == Recorder.interrupted_at:
                raise KeyboardInterrupt
        return {"temperature": 1.0, "normalise": "none"}

    def embedded(self, inputs: Any, *, origin: Any, briefly: bool = False) -> np.ndarray:
        assert len(origin.plates) == len(inputs)
        if not briefly:
            self.now["scored"] += inputs[:, 0].tolist()
            self.now["score_controls"] = origin.controls
        return np.asarray(inputs, np.float64)[:, :1]

    def scores_of(self, points: np.ndarray) -> np.ndarray:
        return np.zeros((len(points), 3))

    def save(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        for suffix in ("a", "b"):
            (folder / f"{self.name}.{suffix}").touch()


def _rows(_path: str, _features: Any, _tiles: Any, rows: Any) -> tuple[Any, Any]:
    return rows[:, None], rows


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> type[Recorder]:
    """Put recorders in the place of both classifiers; a field's only feature is its row."""
    fits = sys.modules["hts_classify.fits"]
    monkeypatch.setattr(fits, "make", lambda path, **options: Recorder(path, options))
    for module in ("fits", "controls", "scoring"):
        monkeypatch.setattr(sys.modules[f"hts_classify.{module}"], "seen", _rows)
    monkeypatch.setattr(Recorder, "fits", [])
    monkeypatch.setattr(Recorder, "interrupted_at", -1)
    return Recorder


def about_fields(out: Path) -> pd.DataFrame:
    """Return each field's place, compound and class, in the order of the features."""
    features = pd.read_parquet(out / "features.parquet")[[PLATE, WELL]]
    table = pd.read_parquet(out / "predictions.parquet")
    table = table[table["Level"] == "well"].drop_duplicates([PLATE, WELL])
    columns = [c for c in table if c in (PLATE, WELL, COMPOUND, "Target", "Metadata_ControlType")]
    return features.merge(table[columns], on=[PLATE, WELL])


@pytest.fixture
def fits(
    tiny_plate: Path, quick: RunSettings, recording: type[Recorder], tmp_path: Path
) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """Run the job; return the fits and each field's compound."""
    out = run(tiny_plate, quick, out=tmp_path / "run")
    return recording.fits, about_fields(out)


Fits = tuple[list[dict[str, Any]], pd.DataFrame]


def test_no_model_learns_from_a_compound_that_it_is_tested_on(fits: Fits) -> None:
    recorded, fields = fits
    folds = [fit for fit in recorded if fit["scored"]]
    assert len(folds) == 2 * 4
    for fit in folds:
        learnt = set(fields[COMPOUND].iloc[fit["learn"]])
        tested = set(fields[COMPOUND].iloc[fit["scored"]])
        assert not learnt & tested
        assert learnt | tested == set(fields[COMPOUND])
        assert list(fields["Target"].iloc[fit["learn"]]) == fit["targets"]


def test_each_fit_keeps_how_it_sees_every_well_and_which_it_learned_from(
    tiny_plate: Path, quick: RunSettings, recording: type[Recorder], tmp_path: Path
) -> None:
    out = run(tiny_plate, quick, out=tmp_path / "run")
    folds = pd.read_csv(out / "folds.csv").set_index([PLATE, WELL])["Fold"]
    rows = about_fields(out).reset_index().groupby([PLATE, WELL])["index"].mean()
    for path in PATHS:
        for fold in range(4):
            (file,) = (out / "predictions").glob(f"profiles-{path}-fold{fold}-*.parquet")
            seen = pd.read_parquet(file).set_index([PLATE, WELL])
            assert not seen.index.has_duplicates
            assert set(seen.index) == set(folds.index[folds >= 0])
            assert (seen["Trained"] == (folds[seen.index] != fold)).all()
            # a field's only feature is its row
            np.testing.assert_allclose(seen["Profile_0"], rows[seen.index])


def test_every_field_is_tested_once_by_each_path(fits: Fits) -> None:
    recorded, fields = fits
    for path in PATHS:
        tested = [row for fit in recorded if fit["path"] == path for row in fit["scored"]]
        assert sorted(tested) == list(range(len(fields)))


def test_what_judges_a_choice_is_of_the_training_fields_and_of_other_groups(fits: Fits) -> None:
    recorded, fields = fits
    for fit in recorded:
        assert fit["inner"]
        for learn, judge in fit["inner"]:
            assert set(learn) | set(judge) == set(fit["learn"])
            assert len(judge) < len(learn)
            wells = fields[WELL]
            assert not set(wells.iloc[learn]) & set(wells.iloc[judge])


def test_both_paths_learn_from_the_same_fields_in_the_same_order(fits: Fits) -> None:
    one, other = ([f["learn"].tolist() for f in fits[0] if f["path"] == path] for path in PATHS)
    assert one == other


def test_the_cnns_fits_share_one_cache_and_know_their_channels(fits: Fits) -> None:
    options = [fit["options"] for fit in fits[0] if fit["path"] == "cnn"]
    assert len({id(option["cache"]) for option in options}) == 1
    assert all(option["channels"] == ["DNA", "GFP"] for option in options)
    assert len({option["checkpoint"] for option in options}) == len(options)


def with_controls(plate: Path, file: Path) -> tuple[set[str], str]:
    """Write a map whose controls are scored (class coarse), but for one without a class.

    Return all of these wells, and the one, which may set the plate's scale always.
    """
    platemap = pd.read_csv(plate.with_name("tiny.platemap.csv"), dtype=str)
    coarse = platemap["phenotype"] == "coarse"
    platemap["control_type"] = np.where(coarse, "negcon", "treatment")
    idle = platemap.index[platemap["phenotype"] == "fine"][0]
    platemap.loc[idle, ["control_type", "phenotype"]] = ["NegCon ", None]
    platemap.to_csv(file, index=False)
    controls = platemap["control_type"] != "treatment"
    return set(platemap.loc[controls, "well"]), platemap.loc[idle, "well"]


def test_a_plates_scale_is_never_set_by_controls_that_the_fold_tests(
    tiny_plate: Path, quick: RunSettings, recording: type[Recorder], tmp_path: Path
) -> None:
    every, idle = with_controls(tiny_plate, tmp_path / "map.csv")
    settings = replace(quick, platemap=tmp_path / "map.csv", cnn=CnnSettings(scaling="controls"))
    out = run(tiny_plate, settings, out=tmp_path / "run")
    fields = about_fields(out)
    for fit in (fit for fit in recording.fits if fit["path"] == "cnn"):
        (rows,) = fit["origin"].controls.values()
        controls = set(fields[WELL].iloc[rows[:, 0]])
        tested = set(fields[WELL].iloc[fit["scored"]])
        assert list(fit["origin"].controls) == ["tiny"]
        assert set(fit["origin"].plates) == {"tiny"}
        assert idle in controls
        if idle in tested:  # the model of all wells: it scores no class
            assert controls == every
        else:
            assert controls == every - tested
        assert fit["score_controls"].keys() == {"tiny"}


def test_tas_is_normalised_by_controls_that_neither_the_fold_nor_an_inner_split_tests(
    tiny_plate: Path, quick: RunSettings, recording: type[Recorder], tmp_path: Path
) -> None:
    _, idle = with_controls(tiny_plate, tmp_path / "map.csv")
    settings = replace(quick, platemap=tmp_path / "map.csv", normalise="auto", split="well")
    out = run(tiny_plate, settings, out=tmp_path / "run")
    wells = about_fields(out)[WELL]
    offered = set()
    for fit in (fit for fit in recording.fits if fit["path"] == "tas_svm"):
        origin = fit["origin"]
        controls, named = origin.controls["tiny"], origin.control_fields["tiny"]
        assert not set(wells.iloc[named]) & set(wells.iloc[fit["scored"]]) - {idle}
        # what tells fields apart is the same for controls as for what is learned from
        np.testing.assert_array_equal(controls[:, 0], named)
        np.testing.assert_array_equal(fit["learn"], origin.fields)
        assert set(fit["learn"]) & set(named)
        offered.add(fit["options"]["normalise"])
    assert offered == {("none",)}  # five control wells at most, of one plate
    others = [fit["options"]["normalise"] for fit in recording.fits if fit["path"] == "cnn"]
    assert set(others) == {("none",)}


def test_repeats_learn_by_their_own_seeds_and_folds_and_save_nothing(
    tiny_plate: Path, quick: RunSettings, recording: type[Recorder], tmp_path: Path
) -> None:
    out = run(tiny_plate, replace(quick, seed=3, repeats=3), out=tmp_path / "run")
    fields = about_fields(out)
    once, later = recording.fits[: 2 * 5], recording.fits[2 * 5 :]
    assert {fit["seed"] for fit in once} == {3}
    assert [fit["seed"] for fit in later] == [4] * 8 + [5] * 8
    assert not any(len(fit["learn"]) == len(fields) for fit in later)
    folds = pd.read_csv(out / "repeat_folds.csv")
    for number, seed in ((2, 4), (3, 5)):
        own = folds[folds["Repeat"] == number]
        parts = {frozenset(part) for _, part in own.groupby("Fold")[WELL]}
        fits = [fit for fit in later if fit["seed"] == seed]
        for path in PATHS:
            tested = [fit["scored"] for fit in fits if fit["path"] == path]
            assert {frozenset(fields[WELL].iloc[rows]) for rows in tested} == parts
            assert sorted(np.concatenate(tested)) == list(range(len(fields)))
    for fit in later:
        learnt, tested = (set(fields[COMPOUND].iloc[fit[key]]) for key in ("learn", "scored"))
        assert not learnt & tested
        for learn, judge in fit["inner"]:
            assert set(learn) | set(judge) == set(fit["learn"])
    assert len(list((out / "predictions").glob("profiles-*"))) == 2 * 5


def test_where_chance_deals_no_folds_repeats_say_that_training_alone_differs(
    tiny_plate: Path, quick: RunSettings, recording: type[Recorder], tmp_path: Path
) -> None:
    settings = replace(quick, split="nsc", repeats=2)
    out = run(tiny_plate, settings, out=tmp_path / "run")
    assert [fit["seed"] for fit in recording.fits] == [0] * 2 * 13 + [1] * 2 * 12
    record = load_record(out)
    (note,) = record.comparison["fold_notes"]
    assert note.startswith("all 2 repeats have the same folds (leave-one-compound-out")
    assert note in record.warnings()
    assert record.comparison["repeats"]["same_folds"]
    assert "Over 2 seeds of training, with the folds the same, " in "\n".join(summary(record))
    assert "trains anew on the same folds" in (out / "report.html").read_text()


def test_ctrl_c_leaves_a_checkpoint_from_which_the_same_command_goes_on(
    tiny_plate: Path,
    quick: RunSettings,
    recording: type[Recorder],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    out = tmp_path / "run"
    monkeypatch.setattr(recording, "interrupted_at", 7)  # five of TAS, then the CNN's second
    with pytest.raises(KeyboardInterrupt):
        run(tiny_plate, quick, out=out)
    (left,) = (out / "checkpoints").iterdir()
    assert left.name.startswith("cnn-fold1-")
    (out / "checkpoints" / "cnn-fold0-of_another_run").mkdir()
    recording.fits.clear()
    run(tiny_plate, quick, out=out)
    assert [(fit["path"], fit["went_on"]) for fit in recording.fits] == [
        ("cnn", True),
        *[("cnn", False)] * 3,
    ]
    assert not (out / "checkpoints").exists()


def test_a_checkpoint_is_kept_until_the_calls_are_written(
    tiny_plate: Path,
    quick: RunSettings,
    recording: type[Recorder],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    monkeypatch.setattr(sys.modules["hts_classify.trial"], "PATHS", ("cnn",))
    with pytest.raises(OSError, match="No space left"):
        run(tiny_plate, quick, out=tmp_path / "run")
    (left,) = (tmp_path / "run" / "checkpoints").iterdir()
    assert left.name.startswith("cnn-fold0-")
