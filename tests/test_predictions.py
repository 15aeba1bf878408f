from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hts_classify.models.calibrate import log_proba, proba
from hts_classify.predictions import UNFOLDED, Aggregate, calls, treatments, with_proba
from hts_classify.vocabulary import (
    CALL,
    COMPOUND,
    CONCENTRATION,
    FOLD,
    LEVEL,
    MARGIN,
    PATH,
    PLATE,
    SITE,
    TARGET,
    WELL,
)

CLASSES = ["a", "b", "c"]
SCORES = ["Score_a", "Score_b", "Score_c"]


def fields(wells: int, sites: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            PLATE: "P",
            WELL: np.repeat([f"B{k + 2:02d}" for k in range(wells)], sites),
            SITE: np.tile(np.arange(1, sites + 1), wells),
        }
    )


def made(aggregate: Aggregate = "mean", temperature: float = 1.0) -> pd.DataFrame:
    scores = np.random.default_rng(0).normal(0, 3, (12, 3))
    return calls(
        fields(4, 3),
        scores,
        classes=CLASSES,
        path="cnn",
        fold=0,
        aggregate=aggregate,
        temperature=temperature,
    )


def test_the_mean_of_scores_calls_as_the_mean_of_log_probabilities_by_the_same_margin() -> None:
    table = made()
    logs = log_proba(table.loc[table[LEVEL] == "field", SCORES].to_numpy(), 1.0)
    means = np.sort(logs.reshape(4, 3, 3).mean(axis=1), axis=1)
    wells = table[table[LEVEL] == "well"]
    np.testing.assert_allclose(wells[MARGIN], means[:, -1] - means[:, -2])


@pytest.mark.parametrize("temperature", [0.5, 4.0])
def test_the_median_is_of_calibrated_log_probabilities(temperature: float) -> None:
    table = made("median", temperature)
    raw = np.random.default_rng(0).normal(0, 3, (12, 3))
    medians = np.median(log_proba(raw, temperature).reshape(4, 3, 3), axis=1)
    wells = with_proba(table, {("cnn", 0): temperature}).query(f"{LEVEL} == 'well'")
    found = wells[["Proba_a", "Proba_b", "Proba_c"]].to_numpy()
    np.testing.assert_allclose(found, proba(medians, 1.0))
    field_rows = table[table[LEVEL] == "field"]
    np.testing.assert_allclose(field_rows[MARGIN], np.diff(np.sort(raw)[:, 1:])[:, 0])


def test_one_bad_field_does_not_turn_a_median() -> None:
    scores = np.array([[2.0, 0.0], [2.0, 0.0], [0.0, 90.0]])
    called = {
        how: calls(fields(1, 3), scores, classes=["a", "b"], path="cnn", aggregate=how)[CALL].iloc[
            3
        ]
        for how in ("mean", "median")
    }
    assert called == {"mean": "b", "median": "a"}


def test_a_field_of_several_tiles_is_one_row() -> None:
    tiles = pd.concat([fields(2, 2)] * 3, ignore_index=True)
    scores = np.arange(24.0).reshape(12, 2)
    table = calls(tiles, scores, classes=["a", "b"], path="cnn")
    assert list(table[LEVEL]) == ["field"] * 4 + ["well"] * 2
    assert table["Score_a"].iloc[0] == np.mean([0.0, 8.0, 16.0])


def mapped() -> pd.DataFrame:
    """Calls of two folds and a plate map: X at two doses, Y without one, one well without any."""
    parts = [made(), made().assign(**{FOLD: UNFOLDED, PLATE: "Q"})]
    table = pd.concat(parts, ignore_index=True)
    about = pd.DataFrame(
        {
            WELL: ["B02", "B03", "B04", "B05"],
            COMPOUND: ["X", "X", "Y", None],
            CONCENTRATION: [1.0, 1.0, np.nan, 3.0],
            TARGET: ["a", "b", "c", "c"],
        }
    )
    return table.merge(about, on=WELL)


def test_a_treatment_is_joined_within_its_path_and_fold() -> None:
    table = mapped()
    found = treatments(table)
    assert list(found) == list(table)
    assert list(found[LEVEL].unique()) == ["treatment"]
    assert found[[COMPOUND, FOLD]].to_numpy().tolist() == [["X", 0], ["Y", 0], ["X", -1], ["Y", -1]]
    wells = table[(table[LEVEL] == "well") & (table[FOLD] == 0) & (table[COMPOUND] == "X")]
    np.testing.assert_allclose(found[SCORES].iloc[0], wells[SCORES].mean())
    assert found[CALL].iloc[0] == CLASSES[wells[SCORES].mean().to_numpy().argmax()]


def test_what_the_wells_of_a_treatment_do_not_agree_on_is_missing() -> None:
    found = treatments(mapped())
    assert found[WELL].isna().all()
    assert found[SITE].isna().all()
    assert found[TARGET].fillna("-").tolist() == ["-", "c", "-", "c"]
    assert found[PLATE].tolist() == ["P", "P", "Q", "Q"]


def test_doses_are_treatments_of_their_own() -> None:
    table = mapped()
    table.loc[table[WELL] == "B03", CONCENTRATION] = 2.0
    assert len(treatments(table)) == 6


def test_without_compounds_there_are_no_treatments() -> None:
    assert treatments(mapped().drop(columns=COMPOUND)).empty
    assert treatments(mapped().assign(**{COMPOUND: None})).empty


def test_each_row_is_calibrated_by_its_own_model() -> None:
    table = pd.concat([made(), made().assign(**{PATH: "tas_svm"})], ignore_index=True)
    found = with_proba(table, {("cnn", 0): 1.0, ("tas_svm", 0): 1000.0})
    chances = found.groupby(PATH)[["Proba_a", "Proba_b", "Proba_c"]].max().max(axis=1)
    assert chances["tas_svm"] < 0.34 < 0.9 < chances["cnn"]
