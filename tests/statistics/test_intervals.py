from __future__ import annotations

from math import comb

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from hts_classify.errors import DataError
from hts_classify.statistics.intervals import Interval, accuracy_interval, stated_coverage


def interval(correct: NDArray[np.bool_], groups: object, seed: int = 0) -> Interval:
    found = accuracy_interval(correct, list(groups), seed=seed)  # type: ignore[call-overload]
    assert found is not None
    return found


def clusters(
    rng: np.random.Generator, sizes: NDArray[np.int64], accuracy: float
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Wells in groups whose shares differ, with an intra-class correlation of 0.3."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    shares = rng.beta(accuracy * 7 / 3, (1 - accuracy) * 7 / 3, len(sizes))
    return rng.random(len(groups)) < shares[groups], groups


@pytest.mark.parametrize(("right", "wells"), [(24, 24), (20, 24), (0, 24), (1, 2), (37, 39)])
def test_few_wells_that_are_their_own_groups_get_clopper_and_pearson(
    right: int, wells: int
) -> None:
    found = interval(np.arange(wells) < right, range(wells))
    assert (found.low, found.high) == pytest.approx(
        proportion_confint(right, wells, method="beta"), abs=1e-9
    )
    assert (found.groups, found.effective) == (wells, wells)


@pytest.mark.parametrize(("right", "wells"), [(40, 40), (31, 40), (97, 100), (3, 100), (200, 384)])
def test_from_40_wells_up_half_of_what_was_seen_counts(right: int, wells: int) -> None:
    found = interval(np.arange(wells) < right, range(wells))

    def chance(count: int, share: float) -> float:
        return comb(wells, count) * share**count * (1 - share) ** (wells - count)

    if right == wells:
        assert (found.low, found.high) == (pytest.approx(0.025 ** (1 / wells)), 1.0)
        return
    more = sum(chance(k, found.low) for k in range(right + 1, wells + 1))
    fewer = sum(chance(k, found.high) for k in range(right))
    assert more + chance(right, found.low) / 2 == pytest.approx(0.025, abs=1e-9)
    assert fewer + chance(right, found.high) / 2 == pytest.approx(0.025, abs=1e-9)


@pytest.mark.parametrize("sizes", [[4] * 12, [1, 2, 3, 4, 8, 16, 5, 5], [3] * 39])
def test_few_groups_get_a_score_interval_at_an_effective_number_of_wells(sizes: list[int]) -> None:
    correct, groups = clusters(np.random.default_rng(1), np.array(sizes), 0.6)
    found = interval(correct, groups)
    # A regression on nothing but a constant gives the same variance over clusters.
    fit = sm.OLS(correct.astype(float), np.ones(len(correct))).fit(
        cov_type="cluster", cov_kwds={"groups": groups}
    )
    share, kish = correct.mean(), sum(sizes) ** 2 / sum(size**2 for size in sizes)
    # never worth less than one well a group, nor more than the wells that there are
    effective = np.clip(share * (1 - share) / fit.bse[0] ** 2, kish, len(correct))
    assert found.effective == pytest.approx(effective, rel=1e-9)
    alpha = 2 * stats.norm.sf(stats.t.ppf(0.975, kish - 1))
    expected = proportion_confint(share * effective, effective, alpha=alpha, method="wilson")
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-9)


def test_many_groups_get_the_bca_bootstrap_over_groups() -> None:
    sizes = np.random.default_rng(2).integers(2, 7, 80)
    correct, groups = clusters(np.random.default_rng(3), sizes, 0.75)
    found = interval(correct, groups)
    assert found.method == "BCa bootstrap over groups"

    def share(right: NDArray[np.float64], size: NDArray[np.float64], axis: int) -> object:
        return right.sum(axis=axis) / size.sum(axis=axis)

    other = stats.bootstrap(
        (np.bincount(groups, weights=correct), sizes.astype(float)),
        share,
        paired=True,
        vectorized=True,
        method="BCa",
        n_resamples=20_000,
        rng=np.random.default_rng(4),
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((other.low, other.high), abs=0.005)


@pytest.mark.parametrize("wells", [1, 5])
@pytest.mark.parametrize("groups", [2, 3, 8, 40, 100])
@pytest.mark.parametrize("right", [True, False])
def test_an_interval_is_never_one_to_one(groups: int, wells: int, right: bool) -> None:
    found = interval(np.full(groups * wells, right), np.repeat(range(groups), wells))
    exact = stats.binomtest(groups * right, groups).proportion_ci()
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-9)
    assert found.effective == groups


@pytest.mark.parametrize("groups", [2, 6, 12, 45])
@pytest.mark.parametrize("wells", [1, 4])
def test_a_path_that_is_never_wrong_is_never_worse_off_than_one_that_is(
    groups: int, wells: int
) -> None:
    member = np.repeat(range(groups), wells)
    order = np.argsort(np.argsort(np.arange(groups * wells) % wells, kind="stable"))
    found = [interval(order >= wrong, member) for wrong in range(groups * wells + 1)]
    shares = 1 - np.arange(groups * wells + 1) / (groups * wells)
    assert found[0].low == max(one.low for one in found)
    assert found[-1].high == min(one.high for one in found)
    for one, share in zip(found, shares, strict=True):
        assert 0 <= one.low <= share <= one.high <= 1
        assert one.low < one.high


def test_a_single_wrong_group_of_a_hundred_does_not_collapse_the_interval() -> None:
    correct = np.arange(400) >= 4
    found = interval(correct, np.arange(400) // 4)
    assert found.method == "score cluster-t over groups"
    exact = stats.binomtest(99, 100).proportion_ci()  # one group more or less is all that is known
    assert found.low == pytest.approx(exact.low, abs=0.01)
    assert 0.99 < found.high < 1


def test_one_group_that_holds_most_wells_counts_as_few_groups() -> None:
    """Sixty small compounds and one that makes up half of the wells: no case for a bootstrap."""
    rng, sizes, trials, held = np.random.default_rng(5), np.array([240, *[4] * 60]), 300, 0
    for _ in range(trials):
        found = interval(*clusters(rng, sizes, 0.7))
        assert found.method == "score cluster-t over groups"
        held += found.low <= 0.7 <= found.high
    assert held / trials >= 0.9


def test_groups_that_are_all_alike_are_worth_no_more_than_their_wells() -> None:
    found = interval(np.arange(200) % 4 > 0, np.arange(200) // 4)  # three of four in each
    expected = proportion_confint(
        150, 200, alpha=2 * stats.norm.sf(stats.t.ppf(0.975, 49)), method="wilson"
    )
    assert found.effective == 200
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-9)


def test_the_order_of_wells_and_the_names_of_groups_change_nothing() -> None:
    correct, groups = clusters(np.random.default_rng(6), np.full(50, 4), 0.7)
    order = np.random.default_rng(7).permutation(len(correct))
    named = [f"compound {k * 7 % 50}" for k in groups[order]]
    assert interval(correct, groups) == interval(correct[order], named)
    assert interval(correct, groups) != interval(correct, groups, seed=1)


@pytest.mark.parametrize(("groups", "wells"), [(20, 1), (60, 1), (20, 4)])
def test_right_and_wrong_are_mirror_images(groups: int, wells: int) -> None:
    correct = np.random.default_rng(8).random(groups * wells) < 0.8
    one, other = (interval(c, np.repeat(range(groups), wells)) for c in (correct, ~correct))
    assert (one.low, one.high) == pytest.approx((1 - other.high, 1 - other.low), abs=1e-9)


@pytest.mark.parametrize(("groups", "accuracy"), [(12, 0.9), (40, 0.7), (100, 0.9)])
def test_the_stated_coverage_is_what_simulation_gives(groups: int, accuracy: float) -> None:
    rng, trials, held = np.random.default_rng(9), 400, 0
    for _ in range(trials):
        found = interval(*clusters(rng, np.full(groups, 4), accuracy))
        held += found.low <= accuracy <= found.high
    stated = stated_coverage(groups, accuracy, clustered=True)
    assert abs(held / trials - stated) < 4 * np.sqrt(stated * (1 - stated) / trials)


def test_stated_coverage_is_of_the_nearest_design() -> None:
    for clustered in (False, True):
        assert stated_coverage(20, 0.88, clustered=clustered) == stated_coverage(
            24, 0.9, clustered=clustered
        )
        assert stated_coverage(5_000, 0.3, clustered=clustered) == stated_coverage(
            384, 0.7, clustered=clustered
        )
        assert stated_coverage(2, 1.0, clustered=clustered) == stated_coverage(
            3, 0.97, clustered=clustered
        )
    assert stated_coverage(24, 0.9, clustered=False) != stated_coverage(24, 0.9, clustered=True)


@pytest.mark.parametrize("clustered", [False, True])
def test_stated_coverage_is_what_was_asked_for(clustered: bool) -> None:
    for groups in (3, 6, 12, 24, 38, 40, 100, 384):
        for accuracy in (0.5, 0.7, 0.9, 0.97):
            stated = stated_coverage(groups, accuracy, clustered=clustered)
            low, high = (0.93, 0.97) if groups >= 40 and accuracy <= 0.9 else (0.9, 1.0)
            assert low <= stated <= high


def test_a_single_group_has_no_interval() -> None:
    assert accuracy_interval(np.ones(5, bool), ["x"] * 5) is None
    assert accuracy_interval(np.zeros(0, bool), []) is None


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(DataError, match="5 calls, but 4 groups"):
        accuracy_interval(np.ones(5, bool), "abcd")
    with pytest.raises(DataError, match="at least two groups"):
        stated_coverage(1, 0.9, clustered=True)
    with pytest.raises(DataError, match="accuracy 90"):
        stated_coverage(12, 90, clustered=True)
