from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hts_classify import compare
from hts_classify.compare import SCHEMA, Comparison
from hts_classify.errors import DataError
from hts_classify.vocabulary import (
    CALL,
    COMPOUND,
    FOLD,
    GROUP,
    LEVEL,
    PATH,
    PATHS,
    PLATE,
    TARGET,
    WELL,
)


def table(right: dict[str, Sequence[bool]], groups: Sequence[object]) -> pd.DataFrame:
    """Predictions of wells of class `yes`, each path right where it is said to be."""
    rows = [
        {
            PLATE: "P",
            WELL: f"{chr(65 + k // 12)}{k % 12 + 1:02d}",
            TARGET: "yes",
            GROUP: group,
            FOLD: 0,
            LEVEL: "well",
            PATH: path,
            CALL: "yes" if calls[k] else "no",
        }
        for path, calls in right.items()
        for k, group in enumerate(groups)
    ]
    return pd.DataFrame(rows)


def contest(first: Sequence[bool], second: Sequence[bool], groups: Sequence[object]) -> Comparison:
    return compare(table(dict(zip(PATHS, (first, second), strict=True)), groups))


def test_wells_as_groups_get_mcnemars_exact_test() -> None:
    first = [True] * 18 + [False] * 6
    second = [True] * 8 + [False] * 15 + [True]
    result = contest(first, second, range(24)).difference
    assert (result.both, result.first_only, result.second_only, result.neither) == (8, 10, 1, 5)
    assert result.p == pytest.approx(stats.binomtest(1, 11).pvalue)
    assert result.interval is not None
    assert result.interval[0] > 0
    assert "TAS + SVM is better here than the CNN" in result.verdict


def test_the_verdict_turns_with_the_paths() -> None:
    first = [False] * 10 + [True] * 10
    result = contest(first, [True] * 20, range(20)).difference
    assert "the CNN is better here than TAS + SVM" in result.verdict
    assert result.difference == -0.5


def test_a_difference_inside_its_interval_is_none() -> None:
    first = [True] * 12 + [False] * 2
    result = contest(first, first[::-1], range(14)).difference
    assert result.p == 1.0
    assert "no difference that this plate can show" in result.verdict


def test_fewer_than_six_groups_give_counts_and_no_p() -> None:
    groups = np.repeat(["a", "b", "c", "d", "e"], 8)
    result = contest([True] * 40, [False] * 40, groups).difference
    assert (result.first_only, result.groups, result.p, result.interval) == (40, 5, None, None)
    assert "too few for a test" in result.verdict


def test_wells_in_groups_get_an_exact_sign_flip_test_over_groups() -> None:
    groups = np.repeat(range(8), 5)
    first = [True] * 40
    second = [False] * 10 + [True] * 30  # two of eight compounds tell the paths apart
    result = contest(first, second, groups).difference
    assert result.test == "sign-flip over groups"
    assert result.p == pytest.approx(0.5)  # of 4 sign patterns of two groups, 2 are as far out
    assert "no difference" in result.verdict


def test_identical_paths_leave_an_open_interval() -> None:
    groups = np.repeat(range(8), 5)
    result = contest([True] * 40, [True] * 40, groups).difference
    assert result.interval is not None
    assert result.interval[0] < 0 < result.interval[1]
    assert "right on the same of 40 wells" in result.verdict


def test_wells_that_only_one_path_was_tested_on_are_refused() -> None:
    predictions = table({"tas_svm": [True] * 6, "cnn": [True] * 6}, range(6))
    with pytest.raises(DataError, match="path cnn was not tested on every scored well"):
        compare(predictions.iloc[:-1])


def test_a_table_that_is_none_of_ours_is_refused() -> None:
    with pytest.raises(DataError, match="no column Class, Fold"):
        compare(pd.DataFrame({"well": ["A01"]}))


def test_calls_of_unlabelled_wells_do_not_count() -> None:
    predictions = table({"tas_svm": [True] * 6, "cnn": [True] * 6}, range(6))
    idle = predictions.assign(**{FOLD: -1, TARGET: None, WELL: "H12"})
    assert compare(pd.concat([predictions, idle])).paths["cnn"].total == 6


def with_odds(predictions: pd.DataFrame, sure: dict[str, float]) -> pd.DataFrame:
    """Add what each path deems its call probable."""
    own = predictions[PATH].map(sure)
    likely = np.where(predictions[CALL] == "yes", own, 1 - own)
    return predictions.assign(Proba_no=1 - likely, Proba_yes=likely)


def test_without_probabilities_there_is_no_cascade_and_no_ranking() -> None:
    result = contest([True] * 6, [True] * 6, range(6))
    assert result.cascade is None
    assert result.paths["cnn"].probable is None


def test_with_probabilities_it_is_said_what_they_are_worth() -> None:
    plain = table({"tas_svm": [True, False] * 6, "cnn": [True] * 12}, range(12))
    result = compare(with_odds(plain, {"tas_svm": 0.6, "cnn": 0.9}))
    assert result.cascade is not None
    assert (result.cascade.curve[0].correct, result.cascade.curve[-1].correct) == (6, 12)
    assert result.cascade.together == 12
    cnn = result.paths["cnn"].probable
    assert cnn is not None
    assert cnn.log_loss == pytest.approx(-np.log(0.9))
    assert cnn.calibration.ece == pytest.approx(0.1)
    assert cnn.ranking.macro is None  # one class alone ranks nothing


def test_fields_and_treatments_are_judged_as_well() -> None:
    wells = table({"tas_svm": [True] * 6, "cnn": [True] * 5 + [False]}, range(6))
    fields = pd.concat([wells.assign(**{LEVEL: "field"})] * 2)
    half = wells[PATH].eq("cnn") & wells[GROUP].isin([4, 5])
    treatments = wells.assign(**{LEVEL: "treatment", COMPOUND: wells[GROUP]})
    treatments.loc[half, TARGET] = None  # wells of one treatment that differ in their class
    result = compare(pd.concat([wells, fields, treatments]))
    assert list(result.levels) == ["field", "well", "treatment"]
    assert result.levels["field"]["cnn"].total == 12
    assert result.levels["field"]["cnn"].groups == 6
    assert result.levels["treatment"]["cnn"].total == 4
    apart = treatments.assign(**{GROUP: treatments[GROUP].where(treatments[GROUP] != 1)})
    assert "treatment" not in compare(pd.concat([wells, fields, apart])).levels
    again = pd.concat([treatments, treatments.assign(**{FOLD: 1})])
    assert "treatment" not in compare(pd.concat([wells, fields, again])).levels
    assert result.paths is result.levels["well"]
    assert result.paths["cnn"].correct == 5


def test_a_comparison_is_json_with_a_version() -> None:
    plain = table({"tas_svm": [True, False] * 6, "cnn": [True] * 12}, range(12))
    told = compare(with_odds(plain, {"tas_svm": 0.6, "cnn": 0.9})).as_json()
    again = json.loads(json.dumps(told))
    assert again["schema"] == SCHEMA
    assert again["levels"]["well"] == again["paths"]
    assert again["paths"]["cnn"]["rates"]["kappa"] is None or isinstance(
        again["paths"]["cnn"]["rates"]["kappa"], float
    )
    assert again["difference"]["resolution"]
