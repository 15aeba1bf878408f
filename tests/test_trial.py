from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hts_classify import RunSettings, run
from hts_classify.vocabulary import COMPOUND, PATHS, PLATE, WELL


class Recorder:
    """A classifier that learns nothing and remembers which fields it was given for what."""

    fits: list[dict[str, Any]] = []  # noqa: RUF012

    def __init__(self, name: str) -> None:
        self.name, self.classes = name, ("coarse", "fine", "medium")

    def fit(self, inputs: Any, targets: list[str], *, inner: Any, seed: int) -> dict[str, Any]:
        rows = inputs[np.arange(len(inputs))][:, 0]
        self.now = {"path": self.name, "learn": rows, "targets": targets, "scored": []}
        self.now["inner"] = [(rows[learn], rows[judge]) for learn, judge in inner]
        Recorder.fits.append(self.now)
        return {}

    def scores(self, inputs: Any) -> np.ndarray:
        self.now["scored"] += inputs[:, 0].tolist()
        return np.zeros((len(inputs), 3))

    def save(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        for suffix in ("a", "b"):
            (folder / f"{self.name}.{suffix}").touch()


@pytest.fixture(scope="module")
def fits(
    tiny_plate: Path, quick: RunSettings, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """Run the job with recorders for classifiers; return the fits and each field's compound."""
    trial = sys.modules["hts_classify.trial"]
    out = tmp_path_factory.mktemp("recorded") / "run"
    Recorder.fits = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "make", lambda path, **_options: Recorder(path))
        patch.setattr(trial, "inputs_of", lambda _path, _extraction, rows: rows[:, None])
        run(tiny_plate, quick, out=out)
    features = pd.read_parquet(out / "features.parquet")[[PLATE, WELL]]
    table = pd.read_parquet(out / "predictions.parquet")
    about = table.drop_duplicates([PLATE, WELL])[[PLATE, WELL, COMPOUND, "Target"]]
    return Recorder.fits, features.merge(about, on=[PLATE, WELL])


def test_no_model_learns_from_a_compound_that_it_is_tested_on(
    fits: tuple[list[dict[str, Any]], pd.DataFrame],
) -> None:
    recorded, fields = fits
    folds = [fit for fit in recorded if fit["scored"]]
    assert len(folds) == 2 * 4
    for fit in folds:
        learnt = set(fields[COMPOUND].iloc[fit["learn"]])
        tested = set(fields[COMPOUND].iloc[fit["scored"]])
        assert not learnt & tested
        assert learnt | tested == set(fields[COMPOUND])
        assert list(fields["Target"].iloc[fit["learn"]]) == fit["targets"]


def test_every_field_is_tested_once_by_each_path(
    fits: tuple[list[dict[str, Any]], pd.DataFrame],
) -> None:
    recorded, fields = fits
    for path in PATHS:
        tested = [row for fit in recorded if fit["path"] == path for row in fit["scored"]]
        assert sorted(tested) == list(range(len(fields)))


def test_what_judges_a_choice_is_of_the_training_fields_and_of_other_groups(
    fits: tuple[list[dict[str, Any]], pd.DataFrame],
) -> None:
    recorded, fields = fits
    for fit in recorded:
        assert fit["inner"]
        for learn, judge in fit["inner"]:
            assert set(learn) | set(judge) == set(fit["learn"])
            assert len(judge) < len(learn)
            wells = fields[WELL]
            assert not set(wells.iloc[learn]) & set(wells.iloc[judge])


def test_both_paths_learn_from_the_same_fields_in_the_same_order(
    fits: tuple[list[dict[str, Any]], pd.DataFrame],
) -> None:
    one, other = ([f["learn"].tolist() for f in fits[0] if f["path"] == path] for path in PATHS)
    assert one == other
