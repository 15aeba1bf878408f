"""What repeats with other seeds come to, on calls whose counts are known."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hts_classify.errors import DataError
from hts_classify.repeats import Repeats, compare_repeats
from hts_classify.vocabulary import CALL, FOLD, GROUP, LEVEL, PATH, PATHS, PLATE, TARGET, WELL


def calls(
    tas: Sequence[bool],
    cnn: Sequence[bool],
    *,
    folds: Sequence[int] | None = None,
    groups: Sequence[int] | None = None,
) -> pd.DataFrame:
    """Calls of wells of class `yes` by one seed, each path right where it is said to be."""
    rows = [
        {
            PLATE: "P",
            WELL: f"{chr(65 + k // 12)}{k % 12 + 1:02d}",
            TARGET: "yes",
            GROUP: k if groups is None else groups[k],
            FOLD: k % 3 if folds is None else folds[k],
            LEVEL: "well",
            PATH: path,
            CALL: "yes" if right[k] else "no",
        }
        for path, right in zip(PATHS, (tas, cnn), strict=True)
        for k in range(len(right))
    ]
    return pd.DataFrame(rows)


def first(count: int, wells: int = 24) -> list[bool]:
    """Return that the first so many wells are called right."""
    return [k < count for k in range(wells)]


def by(*counts: tuple[int, int], **how: Sequence[int]) -> Repeats:
    tables = [calls(first(tas), first(cnn), **how) for tas, cnn in counts]
    return compare_repeats(tables, range(5, 5 + len(tables)))


def test_each_repeat_has_its_counts_and_its_own_test() -> None:
    found = by((12, 20), (20, 12), (18, 18))
    assert [one.seed for one in found.repeats] == [5, 6, 7]
    assert [one.paths["cnn"].correct for one in found.repeats] == [20, 12, 18]
    assert found.repeats[1].paths["tas_svm"].accuracy == 20 / 24
    assert found.repeats[0].difference.second_only == 8
    assert found.repeats[0].difference.p == pytest.approx(stats.binomtest(0, 8).pvalue)
    assert found.repeats[2].difference.p == 1
    assert found.ahead == {"tas_svm": 1, "cnn": 1}
    assert found.low_p == {"tas_svm": 1, "cnn": 1}


def test_the_range_is_of_accuracies_and_of_their_differences() -> None:
    found = by((12, 20), (20, 12), (19, 18))
    assert (found.accuracy["tas_svm"].least, found.accuracy["tas_svm"].most) == (0.5, 20 / 24)
    assert found.accuracy["cnn"].mean == pytest.approx(np.mean([20, 12, 18]) / 24)
    assert found.difference.least == pytest.approx(-8 / 24)
    assert found.difference.most == pytest.approx(8 / 24)
    assert found.difference.mean == pytest.approx(1 / 72)


def test_more_repeats_of_the_same_are_no_more_evidence() -> None:
    """Nothing is pooled: neither intervals nor p-values move with the number of repeats."""
    two, many = by(*[(12, 18)] * 2), by(*[(12, 18)] * 20)
    assert {one.difference for one in many.repeats} == {two.repeats[0].difference}
    assert many.low_p == {"tas_svm": 0, "cnn": 20}
    assert many.difference == two.difference
    assert json.loads(json.dumps(many.as_json()))["repeats"][19]["seed"] == 24


def test_wells_whose_call_the_seed_decides_are_not_steady() -> None:
    swapped = [k >= 22 or k < 18 for k in range(24)]
    tables = [calls(first(20), first(24)), calls(swapped, first(24))]
    found = compare_repeats(tables, [0, 1])
    assert found.steady == {"tas_svm": 20, "cnn": 24}
    assert found.difference.least == found.difference.most


@pytest.mark.parametrize(
    ("folds", "same"),
    [
        ([k % 3 for k in range(24)], True),
        ([(k + 1) % 3 for k in range(24)], True),  # the same parts by other numbers
        ([k % 2 for k in range(24)], False),
    ],
)
def test_folds_are_the_same_where_the_same_wells_go_out_together(
    folds: list[int], same: bool
) -> None:
    tables = [calls(first(20), first(18)), calls(first(19), first(18), folds=folds)]
    found = compare_repeats(tables, [0, 1])
    assert [one.same_folds for one in found.repeats] == [True, same]
    assert found.same_folds is same
    assert ("of training, with the folds the same" in found.said) is same


def test_wells_may_come_in_another_order() -> None:
    table = calls(first(20), first(18))
    found = compare_repeats([table, table[::-1]], [0, 1])
    assert found.repeats[0].difference == found.repeats[1].difference
    assert found.steady == {"tas_svm": 24, "cnn": 24}


def dealt(count: int) -> dict[str, list[int]]:
    """Return folds that are the same in no two calls with different counts."""
    return {"folds": [k % count for k in range(24)]}


def test_the_sentence_says_who_was_ahead_and_holds_the_range_against_the_interval() -> None:
    tables = [
        calls(first(18), first(tas), **dealt(3 + k)) for k, tas in enumerate((19, 20, 17, 19, 18))
    ]
    found = compare_repeats(tables, range(5))
    low, high = found.repeats[0].difference.interval or (0, 0)
    assert found.said == (
        "Over 5 seeds the CNN was ahead in 3 and TAS + SVM in 1, with 1 level (p below 0.05 in 0"
        " of 5); the difference (TAS + SVM less the CNN) went from -8.3 to +4.2 points: the seed"
        f" alone moves it by 12.5 points, not more than the 95% interval of the first is wide"
        f" ({100 * (high - low):.1f})"
    )


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (((12, 20), (13, 20)), "the CNN was ahead in all (p below 0.05 in 2 of 2)"),
        (((18, 18), (18, 18)), "the paths called as many wells right by each (p below"),
        (((18, 18), (18, 18)), "was +0.0 points by each of them"),
        (((24, 0), (0, 24)), "moves it by 200.0 points, more than the 95% interval"),
    ],
)
def test_the_sentence_fits_what_was_seen(counts: tuple[tuple[int, int], ...], said: str) -> None:
    assert said in by(*counts).said


def test_too_few_groups_give_no_p_to_count() -> None:
    found = by((12, 20), (20, 12), groups=[k % 5 for k in range(24)])
    assert found.low_p is None
    assert "p below" not in found.said
    assert found.said.endswith("there are too few groups for an interval to hold that against")


def test_what_cannot_be_held_side_by_side_is_refused() -> None:
    table = calls(first(20), first(18))
    with pytest.raises(DataError, match="the repeat by seed 1 scores other wells"):
        compare_repeats([table, calls(first(20, 23), first(18, 23))], [0, 1])
    with pytest.raises(DataError, match="1 tables of 1 seeds"):
        compare_repeats([table], [0])
