from __future__ import annotations

import numpy as np
import pytest

from hts_classify.cascade import Cascade, Point, cascade
from hts_classify.errors import DataError


def proba(sure: list[float], calls: list[int], classes: int = 2) -> np.ndarray:
    """Return probabilities of calls, so sure each; the rest is shared by the other classes."""
    found = np.repeat((1 - np.asarray(sure))[:, None] / (classes - 1), classes, axis=1)
    found[np.arange(len(calls)), calls] = sure
    return found


def drawn(seed: int, wells: int = 200, first: float = 0.6, second: float = 0.9) -> Cascade:
    """Two paths, right with these chances; the first is the surer the righter."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, wells)
    right = rng.random(wells) < first, rng.random(wells) < second
    sure = np.where(right[0], rng.uniform(0.7, 1, wells), rng.uniform(0.5, 0.8, wells))
    calls = [np.where(ok, truth, 1 - truth) for ok in right]
    return cascade(
        proba(list(sure), list(calls[0])),
        proba([0.9] * wells, list(calls[1])),
        truth,
        rng.integers(0, 5, wells),
    )


def test_the_curve_begins_with_the_first_path_and_ends_with_the_second() -> None:
    found = drawn(0)
    assert found.curve[0].sent == 0
    assert found.curve[-1].sent == found.total == 200
    assert 100 < found.curve[0].correct < 140
    assert 165 < found.curve[-1].correct <= 200
    assert len(found.curve) <= 101


def test_most_of_the_gain_comes_from_few_wells_where_the_first_knows_what_it_does_not() -> None:
    found = drawn(1)
    alone, other = found.curve[0].correct, found.curve[-1].correct
    assert found.sent < 0.7 * found.total
    assert found.correct >= alone + 0.75 * (other - alone)
    assert 0.5 < found.threshold < 1


def test_nothing_is_sent_where_the_second_gains_nothing() -> None:
    found = drawn(2, first=0.9, second=0.6)
    assert (found.threshold, found.sent) == (0.0, 0)
    assert found.correct == found.curve[0].correct


def test_a_fold_does_not_choose_its_own_threshold() -> None:
    """What the wells of fold 1 are changes the count there, and not what is sent there."""
    first = proba([0.6, 0.9, 0.6, 0.9], [0, 0, 0, 0])
    second = proba([0.9] * 4, [1, 0, 1, 0])
    folds = np.array([0, 0, 1, 1])
    usual = cascade(first, second, np.array([1, 0, 1, 0]), folds)
    other = cascade(first, second, np.array([1, 0, 0, 0]), folds)
    assert (usual.sent, usual.correct) == (2, 4)
    # fold 0 sees no gain in fold 1 and sends nothing; fold 1 goes by fold 0 as before
    assert (other.sent, other.correct) == (1, 2)


def test_wells_that_are_equally_sure_are_sent_together() -> None:
    first = proba([0.6, 0.6, 0.6, 0.8], [0, 0, 0, 0])
    second = proba([0.9] * 4, [1, 1, 0, 0])
    found = cascade(first, second, np.array([1, 1, 0, 0]), np.arange(4))
    assert found.curve == (Point(0, 2), Point(3, 4), Point(4, 4))


def test_all_are_sent_where_all_are_needed() -> None:
    first, second = proba([0.6, 1.0], [0, 0]), proba([0.9, 0.9], [1, 1])
    found = cascade(first, second, np.array([1, 1]), np.array([0, 1]))
    assert (found.sent, found.correct) == (2, 2)
    assert found.threshold > 1


def test_together_weighs_both_by_how_sure_they_are() -> None:
    first, second = proba([0.55, 0.9], [0, 0]), proba([0.9, 0.55], [1, 1])
    found = cascade(first, second, np.array([1, 0]), np.array([0, 1]))
    assert found.together == 2
    zero = cascade(proba([1.0], [0]), proba([0.9], [1]), np.array([0]), np.array([0]))
    assert zero.together == 1


@pytest.mark.parametrize(("wells", "value"), [(0, 0.5), (2, np.nan)])
def test_no_wells_or_no_numbers_are_refused(wells: int, value: float) -> None:
    held = np.full((wells, 2), value)
    with pytest.raises(DataError, match="wells"):
        cascade(held, held, np.zeros(wells, int), np.zeros(wells, int))
