from __future__ import annotations

import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from hts_classify.raters import with_raters
from hts_classify.vocabulary import CALL, FOLD, LEVEL, PATH, PLATE, ROLE, WELL


def predictions() -> pd.DataFrame:
    """Eight wells; the first rater leaves one out, both agree on five."""
    calls = {"tas_svm": "aabbaabb", "cnn": "aabbbbaa"}
    table = pd.concat(
        pd.DataFrame(
            {
                PLATE: "P",
                WELL: [f"A{k + 1:02d}" for k in range(8)],
                PATH: path,
                CALL: list(call),
                LEVEL: "well",
                FOLD: 0,
                ROLE: "scored",
                "Metadata_Ann": [*"aabbaab", None],
                "Metadata_Bob": list("aabbbbbb"),
            }
        )
        for path, call in calls.items()
    )
    return table.sample(frac=1, random_state=0)


RATERS = ("Metadata_Ann", "Metadata_Bob")


def test_each_path_and_each_rater_has_its_kappa() -> None:
    found = with_raters(predictions(), RATERS)
    assert found is not None
    assert [(pair.first, pair.second) for pair in found.pairs] == [
        ("tas_svm", "Metadata_Ann"),
        ("tas_svm", "Metadata_Bob"),
        ("cnn", "Metadata_Ann"),
        ("cnn", "Metadata_Bob"),
        ("Metadata_Ann", "Metadata_Bob"),
    ]
    by_pair = {(pair.first, pair.second): pair.found for pair in found.pairs}
    first = by_pair["tas_svm", "Metadata_Ann"]
    assert (first.kappa, first.agreed, first.n) == (1.0, 7, 7)
    expected = cohen_kappa_score(list("aabbbbaa"), list("aabbbbbb"))
    assert by_pair["cnn", "Metadata_Bob"].kappa == pytest.approx(expected)
    people = by_pair["Metadata_Ann", "Metadata_Bob"]
    assert (people.agreed, people.n) == (5, 7)


def test_where_raters_agree_each_path_is_counted() -> None:
    found = with_raters(predictions(), RATERS)
    assert found is not None
    assert [(one.path, one.correct, one.total) for one in found.consensus] == [
        ("tas_svm", 5, 5),
        ("cnn", 4, 5),
    ]


def test_a_single_rater_has_no_consensus_and_none_has_nothing() -> None:
    found = with_raters(predictions(), RATERS[:1])
    assert found is not None
    assert found.consensus == ()
    assert with_raters(predictions(), ()) is None


def test_wells_that_a_model_was_trained_on_do_not_count() -> None:
    table = predictions()
    seen = table[WELL] == "A01"
    table.loc[seen, FOLD] = -1
    table.loc[seen, ROLE] = "unscored"
    found = with_raters(table, RATERS)
    assert found is not None
    assert found.pairs[0].found.n == 6
    table.loc[seen, ROLE] = "unlabelled"  # nobody was trained on those
    found = with_raters(table, RATERS)
    assert found is not None
    assert found.pairs[0].found.n == 7
