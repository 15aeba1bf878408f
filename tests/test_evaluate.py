from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics

from hts_classify.evaluate import evaluate, log_odds, positions
from hts_classify.statistics.intervals import accuracy_interval
from hts_classify.vocabulary import BATCH, PLATE, WELL


def test_counts_and_rates_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth, called = rng.choice(list("abc"), 200), rng.choice(list("abc"), 200)
    result = evaluate(list(truth), list(called), groups=range(200), classes="abc")
    assert result.accuracy == metrics.accuracy_score(truth, called)
    assert result.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(truth, called))
    assert np.array_equal(result.confusion, metrics.confusion_matrix(truth, called))


def test_a_class_that_no_well_has_does_not_count_in_the_balance() -> None:
    result = evaluate("aab", "acb", groups=range(3), classes="abc")
    assert result.recalls == (0.5, 1.0, None)
    assert result.balanced_accuracy == 0.75


@pytest.mark.parametrize(("right", "wells"), [(24, 24), (20, 24), (0, 24), (1, 2)])
def test_wells_that_are_their_own_groups_get_clopper_and_pearson(right: int, wells: int) -> None:
    interval = accuracy_interval(np.arange(wells) < right, range(wells))
    exact = stats.binomtest(right, wells).proportion_ci()
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((exact.low, exact.high))


@pytest.mark.parametrize("groups", [2, 3, 8, 40])
def test_an_interval_is_never_one_to_one(groups: int) -> None:
    interval = accuracy_interval(np.ones(groups * 5, bool), np.repeat(range(groups), 5))
    assert interval is not None
    assert interval.low < 1 == interval.high
    assert interval.effective == groups


@pytest.mark.parametrize("groups", [2, 6, 12])
def test_a_path_that_is_never_wrong_is_never_worse_off_than_one_that_is(groups: int) -> None:
    member = np.repeat(range(groups), 4)
    lows, highs = [], []
    for wrong in range(groups * 4 + 1):
        # errors spread over the groups as evenly as they can be
        order = np.argsort(np.argsort(np.arange(groups * 4) % 4, kind="stable"))
        interval = accuracy_interval(order >= wrong, member)
        assert interval is not None
        assert interval.effective >= groups
        lows.append(interval.low)
        highs.append(interval.high)
    assert lows[0] == pytest.approx(max(lows))
    assert highs[-1] == pytest.approx(min(highs))
    assert lows[-1] == 0 < lows[0] < 1 == highs[0]


def test_a_single_group_has_no_interval() -> None:
    assert accuracy_interval(np.ones(5, bool), ["x"] * 5) is None


def test_the_interval_covers_where_groups_differ() -> None:
    """Compounds that are easy or hard: 95% intervals must hold the true share about as often."""
    rng = np.random.default_rng(0)
    covered, trials, share = 0, 400, 0.7
    for _ in range(trials):
        easy = rng.beta(4 * share, 4 * (1 - share), 12)
        correct = rng.random((12, 6)) < easy[:, None]
        interval = accuracy_interval(correct.ravel(), np.repeat(range(12), 6))
        assert interval is not None
        covered += interval.low <= share <= interval.high
    assert 0.93 <= covered / trials <= 0.999


def two_columns(treated: str) -> pd.DataFrame:
    """Twelve wells: column 1 is class a; class b fills column 2 of every row, or of some."""
    wells = [f"{row}{column:02d}" for row in "ABCDEF" for column in (1, 2)]
    moa = ["a", "b"] * 6 if treated == "column 2" else list("ababbababbaa")
    return pd.DataFrame({PLATE: "P", WELL: wells, "moa": moa})


def halves(wells: pd.DataFrame) -> list[tuple[np.ndarray, np.ndarray]]:
    first = np.arange(len(wells)) < len(wells) // 2
    return [(first, ~first), (~first, first)]


def test_a_column_that_gives_the_class_away_is_found() -> None:
    wells = two_columns("column 2")
    found = {place.place: place for place in positions(wells, "moa", halves(wells))}
    assert (found["column"].correct, found["column"].total) == (12, 12)
    assert found["column"].separates
    assert not found["row"].separates


def test_a_randomised_plate_is_not_suspected() -> None:
    wells = two_columns("at random")
    found = positions(wells, "moa", halves(wells))
    assert not any(place.separates for place in found)


def test_a_batch_of_one_class_is_found_and_a_lone_plate_is_no_place() -> None:
    wells = two_columns("at random")
    wells[BATCH] = wells["moa"].map({"a": "monday", "b": "tuesday"})
    found = {place.place: place for place in positions(wells, "moa", halves(wells))}
    assert list(found) == ["anywhere", "row", "column", "batch"]
    assert not found["anywhere"].separates
    assert found["batch"].separates
    assert found["batch"].correct == 12


def test_probabilities_are_judged_where_every_class_has_one() -> None:
    rng = np.random.default_rng(1)
    proba = rng.dirichlet(np.ones(3), 60)
    truth = rng.choice(list("abc"), 60)
    called = np.array(list("abc"))[proba.argmax(axis=1)]
    result = evaluate(list(truth), list(called), groups=range(60), classes=list("abc"), proba=proba)
    assert result.probable is not None
    assert result.probable.log_loss == pytest.approx(metrics.log_loss(truth, proba))
    areas = metrics.roc_auc_score(truth, proba, multi_class="ovr")
    assert result.probable.ranking.macro == pytest.approx(areas)
    assert sum(one.count for one in result.probable.calibration.bins) == 60
    proba[3, 1] = np.nan
    proba[3] /= np.nansum(proba[3])
    lacking = evaluate(
        list(truth), list(called), groups=range(60), classes=list("abc"), proba=proba
    )
    assert lacking.probable is not None
    assert lacking.probable.ranking.auc[1] is None
    assert lacking.probable.ranking.auc[0] is not None
    assert lacking.probable.ranking.macro is None
    assert np.isfinite(lacking.probable.log_loss)


def test_log_odds_keep_apart_what_is_nearly_certain() -> None:
    proba = np.array([[1.0, 1e-20], [1.0, 1e-30], [0.5, 0.5], [1.0, 0.0]])
    found = log_odds(proba)
    assert np.isfinite(found).all()
    assert found[2].tolist() == [0.0, 0.0]
    assert found[0, 0] == pytest.approx(20 * np.log(10))
    assert found[0, 0] < found[1, 0] < found[3, 0]
