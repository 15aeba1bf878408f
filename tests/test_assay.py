from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from hts_classify.assay import dose_responses, separations
from hts_classify.statistics.dose import NO_DEPENDENCE
from hts_classify.vocabulary import (
    CALL,
    COMPOUND,
    CONCENTRATION,
    CONTROL,
    FOLD,
    LEVEL,
    PATH,
    PLATE,
    ROLE,
    TARGET,
)


def predictions(log_odds: np.ndarray, **columns: Any) -> pd.DataFrame:
    """Return well rows of one path, whose log-odds of class `nuc` against `cyt` are these."""
    proba = 1 / (1 + np.exp(-log_odds))
    usual = {PATH: "cnn", LEVEL: "well", PLATE: "P1", FOLD: -1, ROLE: "unlabelled"}
    table = pd.DataFrame({**usual, "Proba_cyt": 1 - proba, "Proba_nuc": proba})
    table[CALL] = np.where(proba > 0.5, "nuc", "cyt")
    return table.assign(**columns)


def dosed(wells: int = 4, ec50: float = 10.0, spread: float = 0.2) -> pd.DataFrame:
    doses = np.repeat([0.1, 1.0, 3.0, 10.0, 30.0, 100.0, 1000.0], wells)
    odds = -4 + 8 / (1 + (ec50 / doses) ** 1.5)
    odds += np.random.default_rng(0).normal(0, spread, len(odds))
    return predictions(odds, **{COMPOUND: "wortmannin", CONCENTRATION: doses})


def test_the_second_of_two_classes_is_followed_to_its_ec50() -> None:
    (found,) = dose_responses(dosed())
    assert (found.path, found.compound, found.target) == ("cnn", "wortmannin", "nuc")
    assert found.doses[0] == (0.1, 0, 4)
    assert found.doses[-1] == (1000.0, 4, 4)
    assert found.rho is not None
    assert found.rho > 0.9
    assert found.fit is not None
    assert found.fit.ec50 == pytest.approx(10, rel=0.2)
    low, high = found.fit.interval
    assert low is not None
    assert high is not None
    assert low < found.fit.ec50 < high
    assert found.said.startswith("EC50 ")


def test_wells_that_a_model_has_seen_do_not_count() -> None:
    table = dosed()
    known = table.assign(**{ROLE: "scored"})
    assert dose_responses(known) == []
    (found,) = dose_responses(pd.concat([table, known]))
    assert found.doses[0] == (0.1, 0, 4)


def test_few_doses_give_counts_and_say_why_there_is_no_ec50() -> None:
    table = dosed()
    (found,) = dose_responses(table[table[CONCENTRATION] <= 3])
    assert found.fit is None
    assert "3" in found.said
    assert dose_responses(table[table[CONCENTRATION] <= 1]) == []
    assert dose_responses(table.drop(columns=COMPOUND)) == []


def test_a_compound_without_effect_has_no_ec50() -> None:
    rng = np.random.default_rng(3)
    table = dosed()
    flat = predictions(rng.normal(0, 1, len(table)), **{COMPOUND: "x"})
    flat[CONCENTRATION] = table[CONCENTRATION]
    (found,) = dose_responses(flat)
    assert found.said == NO_DEPENDENCE
    assert found.fit is not None
    assert found.fit.ec50 is None


def controls(**columns: Any) -> pd.DataFrame:
    kinds = ["negcon", "poscon"] * 4 + ["treatment"]
    odds = np.array([-3.0, 3.0, -3.1, 3.1, -2.9, 2.9, -3.0, 3.0, 0.0])
    targets = ["cyt", "nuc"] * 4 + ["nuc"]
    usual = {CONTROL: kinds, TARGET: targets, FOLD: 0, ROLE: "scored"}
    return predictions(odds, **{**usual, **columns})


def test_controls_that_were_tested_say_how_far_apart_they_are() -> None:
    table = pd.concat([controls(), controls(**{PLATE: "P2", PATH: "tas_svm"})])
    first, second = separations(table)
    assert (first.path, first.plate, first.target) == ("cnn", "P1", "nuc")
    assert (second.path, second.plate) == ("tas_svm", "P2")
    assert first.found.quality is not None
    assert (first.found.quality.negative, first.found.quality.positive) == (4, 4)
    spread = np.std([3.0, 3.1, 2.9, 3.0], ddof=1)
    assert first.found.quality.z_prime == pytest.approx(1 - 3 * 2 * spread / 6)


def test_controls_that_a_model_has_seen_say_nothing() -> None:
    assert separations(controls(**{FOLD: -1})) == []
    assert separations(controls().drop(columns=CONTROL)) == []
    assert separations(controls(**{CONTROL: "negcon"})) == []


def test_a_plate_without_one_kind_says_so() -> None:
    other = controls(**{PLATE: "P2"})
    found = separations(pd.concat([controls(), other[other[CONTROL] != "poscon"]]))
    assert [one.plate for one in found] == ["P1", "P2"]
    assert found[1].found.quality is None
    assert "poscon" in found[1].found.reason
