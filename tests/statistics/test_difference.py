from __future__ import annotations

from itertools import product
from math import comb, factorial

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as other_mcnemar

from hts_classify.errors import DataError, UsageError
from hts_classify.statistics.difference import (
    compare_calls,
    mcnemar,
    sign_flip,
    smallest_detectable,
)


@pytest.mark.parametrize(("first", "second"), [*product(range(0, 13, 2), (0, 1, 2, 7, 12))])
def test_mcnemar_is_what_others_compute(first: int, second: int) -> None:
    exact, midp = mcnemar(first, second)
    assert exact == pytest.approx(
        min(1.0, other_mcnemar([[5, first], [second, 5]], exact=True).pvalue), abs=1e-9
    )
    if first + second:
        wells, far = first + second, abs(2 * first - (first + second))
        chance = {k: comb(wells, k) / 2**wells for k in range(wells + 1)}
        further = sum(p for k, p in chance.items() if abs(2 * k - wells) > far)
        as_far = sum(p for k, p in chance.items() if abs(2 * k - wells) == far)
        assert midp == pytest.approx(further + as_far / 2, abs=1e-9)
    assert mcnemar(second, first) == (exact, midp)


def test_paths_that_never_disagree_are_no_evidence() -> None:
    assert mcnemar(0, 0) == (1.0, 1.0)
    with pytest.raises(DataError, match="-1 and 3 wells"):
        mcnemar(-1, 3)


def test_neither_test_rejects_equal_paths_too_often() -> None:
    """And the mid-p one not too rarely, where there are twenty discordant pairs or more."""
    rng, rejected, trials = np.random.default_rng(0), np.zeros(2), 0
    while trials < 200:
        first, second = rng.random((2, 100)) < 0.7
        result = compare_calls(first, second, range(100))
        if result.first_only + result.second_only < 20:
            continue
        assert result.p is not None
        assert result.p_midp is not None
        rejected += (result.p < 0.05, result.p_midp < 0.05)
        trials += 1
    exact, midp = rejected / trials
    assert exact <= 0.08
    assert 0.02 <= midp <= 0.08


@pytest.mark.parametrize("groups", [6, 7, 9])
def test_the_sign_flip_test_goes_through_every_pattern(groups: int) -> None:
    for seed in range(10):
        net = np.random.default_rng(seed).integers(-4, 6, groups)
        far = [
            abs(sum(s * n for s, n in zip(signs, net, strict=True))) >= abs(net.sum())
            for signs in product((-1, 1), repeat=groups)
        ]
        assert sign_flip(net) == pytest.approx(np.mean(far), abs=1e-12)
        if seed < 3:
            other = stats.permutation_test(
                (net,), np.sum, permutation_type="samples", n_resamples=10_000
            )
            # theirs doubles the smaller tail, which is the same but where the sum is zero
            assert sign_flip(net) == pytest.approx(other.pvalue, abs=1e-9)


def test_groups_of_one_net_well_each_are_mcnemars_pairs() -> None:
    net = np.array([1] * 40 + [-1] * 22 + [0] * 200)
    assert sign_flip(net) == pytest.approx(mcnemar(40, 22)[0], abs=1e-9)


def test_many_groups_agree_with_drawn_patterns() -> None:
    net = np.random.default_rng(1).integers(-5, 7, 60)
    signs = np.random.default_rng(2).choice([-1, 1], (40_000, 60))
    drawn = np.mean(np.abs(signs @ net) >= abs(net.sum()))
    assert sign_flip(net) == pytest.approx(drawn, abs=0.01)


def test_fewer_than_six_groups_have_no_sign_flip_test() -> None:
    assert sign_flip([3, 3, 3, 3, 3]) is None
    assert sign_flip([3, 3, 3, 3, 3, 3]) == 2 / 2**6
    assert sign_flip([0] * 6) == 1.0
    with pytest.raises(DataError, match="whole numbers"):
        sign_flip(np.full(8, 0.5))


def power(wells: int, discordance: float, difference: float) -> float:
    """Add up the chance of every table whose exact test says that the first path is better."""
    first, second = (discordance + difference) / 2, (discordance - difference) / 2
    total = 0.0
    for b in range(wells + 1):
        for c in range(wells + 1 - b):
            if b > c and stats.binomtest(b, b + c).pvalue < 0.05:
                rest = wells - b - c
                ways = factorial(wells) // (factorial(b) * factorial(c) * factorial(rest))
                total += ways * first**b * second**c * (1 - first - second) ** rest
    return total


@pytest.mark.parametrize(("wells", "discordance"), [(12, 0.8), (24, 0.5), (30, 0.3), (10, 1.0)])
def test_the_smallest_detectable_difference_has_the_power_that_it_says(
    wells: int, discordance: float
) -> None:
    found = smallest_detectable(wells, discordance)
    assert found is not None
    assert found <= discordance
    assert power(wells, discordance, found) == pytest.approx(0.8, abs=1e-7)


def test_a_simulation_finds_the_smallest_detectable_difference_four_times_in_five() -> None:
    rng, wells, discordance = np.random.default_rng(3), 80, 0.25
    found = smallest_detectable(wells, discordance)
    assert found is not None
    first, second = (discordance + found) / 2, (discordance - found) / 2
    tables = rng.multinomial(wells, [first, second, 1 - discordance], 20_000)
    kinds, times = np.unique(tables[:, :2], axis=0, return_counts=True)
    shown = [b > c and mcnemar(b, c)[0] < 0.05 for b, c in kinds.tolist()]
    assert times @ shown / 20_000 == pytest.approx(0.8, abs=0.012)


def test_what_few_wells_cannot_show_is_none() -> None:
    assert smallest_detectable(5, 1.0) is None  # five of five is a p-value of 0.06
    assert smallest_detectable(6, 1.0) is not None
    assert smallest_detectable(100, 0.0) is None
    assert smallest_detectable(0, 0.5) is None
    assert smallest_detectable(24, 0.2) is None
    assert power(24, 0.2, 0.2) < 0.8


def test_more_wells_show_less_and_more_power_asks_for_more() -> None:
    found = [smallest_detectable(wells, 0.3) for wells in (40, 80, 200, 1_000)]
    assert None not in found
    assert found == sorted(found, key=lambda share: -(share or 0))
    strict = smallest_detectable(40, 0.3, power=0.9)
    assert strict is not None
    assert found[0] is not None
    assert strict > found[0]
    with pytest.raises(UsageError, match="discordance 20"):
        smallest_detectable(24, 20)


def test_wells_as_groups_get_mcnemars_test() -> None:
    first = np.array([True] * 18 + [False] * 6)
    second = np.array([True] * 8 + [False] * 15 + [True])
    result = compare_calls(first, second, range(24))
    assert (result.both, result.first_only, result.second_only, result.neither) == (8, 10, 1, 5)
    assert (result.wells, result.groups, result.difference) == (24, 24, 9 / 24)
    assert (result.p, result.p_midp) == mcnemar(10, 1)
    assert result.discordance == 11 / 24
    assert result.detectable == smallest_detectable(24, 11 / 24)
    assert result.verdict == (
        "of 24 wells, 10 were called right only by TAS + SVM and 1 only by the CNN:"
        " TAS + SVM is better here than the CNN"
    )


def test_the_verdict_turns_with_the_paths_and_takes_their_names() -> None:
    weak, strong = np.arange(20) >= 10, np.ones(20, bool)
    one = compare_calls(weak, strong, range(20), names=("run a", "run b"))
    other = compare_calls(strong, weak, range(20), names=("run b", "run a"))
    assert one.verdict.endswith("run b is better here than run a")
    assert other.verdict.endswith("run b is better here than run a")
    assert one.difference == -other.difference == -0.5
    assert one.p == other.p
    assert one.interval is not None
    assert other.interval is not None
    assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]))


def test_a_difference_must_leave_both_its_interval_and_its_test() -> None:
    result = compare_calls(np.ones(24, bool), np.arange(24) >= 5, range(24))
    assert result.interval is not None
    assert result.interval[0] > 0
    assert result.p == 0.0625
    assert result.verdict.endswith("no difference that this plate can show")


@pytest.mark.parametrize("shares", [(0.1, 0.1), (0.3, 0.1), (0.05, 0.0), (0.2, 0.05)])
def test_the_interval_of_paired_wells_covers(shares: tuple[float, float]) -> None:
    """Every table of 24 wells, weighed by its chance."""
    wells, covered = 24, 0.0
    for b in range(wells + 1):
        for c in range(wells + 1 - b):
            chance = stats.multinomial.pmf([b, c, wells - b - c], wells, [*shares, 1 - sum(shares)])
            if chance > 1e-6:
                first, second = np.arange(wells) < b, (np.arange(wells) >= b)
                second &= np.arange(wells) < b + c
                found = compare_calls(first, second, range(wells)).interval
                assert found is not None
                covered += chance * (found[0] <= shares[0] - shares[1] <= found[1])
    assert covered >= 0.93


def test_the_interval_over_groups_is_a_regressions_with_one_more_group() -> None:
    rng = np.random.default_rng(4)
    groups = np.repeat(range(15), rng.integers(2, 9, 15))
    first, second = rng.random((2, len(groups))) < [[0.8], [0.6]]
    result = compare_calls(first, second, groups)
    fit = sm.OLS(first.astype(float) - second, np.ones(len(groups))).fit(
        cov_type="cluster", cov_kwds={"groups": groups}
    )
    half = stats.t.ppf(0.975, 14) * np.sqrt(fit.bse[0] ** 2 + 1 / 15**2)
    assert result.interval == pytest.approx((fit.params[0] - half, fit.params[0] + half), abs=1e-9)


@pytest.mark.parametrize(("groups", "wells", "lost"), [(8, 40, 0.1), (12, 20, 0.05), (20, 12, 0.1)])
def test_the_interval_covers_where_a_path_loses_whole_compounds(
    groups: int, wells: int, lost: float
) -> None:
    rng = np.random.default_rng(0)
    member, trials, covered = np.repeat(range(groups), wells), 200, 0
    for _ in range(trials):
        second = np.repeat(rng.random(groups) >= lost, wells)
        found = compare_calls(np.ones(groups * wells, bool), second, member).interval
        assert found is not None
        covered += found[0] <= lost <= found[1]
    assert covered / trials >= 0.93


def test_the_sign_flip_test_holds_its_level_where_mcnemar_over_wells_would_not() -> None:
    """Paths that are equal on average, with wells of a compound right or wrong together."""
    rng = np.random.default_rng(0)
    trials, groups = 300, np.repeat(range(10), 8)
    flips, wells = 0, 0
    for _ in range(trials):
        better = np.repeat(rng.random(10) < 0.5, 8)
        result = compare_calls(better, ~better, groups)
        assert result.p is not None
        flips += result.p < 0.05
        wells += mcnemar(int(better.sum()), int(80 - better.sum()))[0] < 0.05
    assert flips / trials <= 0.06
    assert wells / trials > 0.3


def test_wells_in_groups_are_counted_by_group() -> None:
    groups = np.repeat(range(8), 5)
    second = np.arange(40) >= 10  # two of eight compounds tell the paths apart
    result = compare_calls(np.ones(40, bool), second, groups)
    assert result.test == "sign-flip over groups"
    assert (result.p, result.p_midp) == (0.5, None)
    assert result.discordance == 0.25
    assert result.detectable is None
    assert result.resolution == (
        "with 8 groups of which 25% favour one path, even a lead in all of these would be"
        " missed more often than one time in five"
    )


def test_fewer_than_six_groups_give_counts_and_no_p() -> None:
    result = compare_calls(np.ones(40, bool), np.zeros(40, bool), np.repeat(list("abcde"), 8))
    assert (result.first_only, result.groups) == (40, 5)
    assert (result.p, result.p_midp, result.interval, result.detectable) == (None,) * 4
    assert "5 groups are too few for a test" in result.verdict
    assert result.resolution == "with 5 groups no difference could be shown, however large"


def test_what_could_be_shown_is_said_in_points() -> None:
    wells = np.arange(60)
    result = compare_calls(wells % 10 < 8, wells % 10 > 0, range(60))
    assert result.discordance == 0.3
    assert result.detectable is not None
    assert power(60, 0.3, result.detectable) == pytest.approx(0.8, abs=1e-6)
    points = f"{100 * result.detectable:.0f}"
    assert result.resolution == (
        "with 60 wells of which 30% are called right by one path alone, a difference below"
        f" {points} points would be missed more often than one time in five"
    )


@pytest.mark.parametrize("wells", [1, 5])
def test_identical_paths_leave_an_open_interval_and_nothing_to_test(wells: int) -> None:
    right: NDArray[np.bool_] = np.arange(8 * wells) % 3 > 0
    result = compare_calls(right, right, np.repeat(range(8), wells))
    assert result.interval is not None
    assert result.interval[0] < 0 < result.interval[1]
    assert result.p == 1.0
    assert f"right on the same of {8 * wells} wells: no difference" in result.verdict
    assert "there is nothing to test" in result.resolution


def test_calls_of_other_wells_are_refused() -> None:
    with pytest.raises(DataError, match="6 and 5 calls of 6 wells"):
        compare_calls(np.ones(6, bool), np.ones(5, bool), range(6))
    with pytest.raises(DataError, match="at least one"):
        compare_calls(np.ones(0, bool), np.ones(0, bool), [])
