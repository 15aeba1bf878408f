from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from hts_classify.errors import DataError, DesignError
from hts_classify.statistics.dose import NO_DEPENDENCE, NOT_BOUNDED, fit_dose_response

DOSES = np.array([0.0, *2.0 ** np.arange(9)])
"""Vehicle, then 1 to 256."""


def logistic(x, bottom, top, ec50, hill):
    """The curve, spelt out well by well."""
    return np.array(
        [bottom + (top - bottom) / (1 + (ec50 / d) ** hill) if d else bottom for d in x]
    )


def noisy(seed, *, replicates=2, sd=0.05, bottom=0.0, top=1.0, ec50=16.0, hill=1.5, doses=DOSES):
    x = np.repeat(doses, replicates)
    rng = np.random.default_rng(seed)
    return x, logistic(x, bottom, top, ec50, hill) + rng.normal(0, sd, len(x))


CURVES = [
    (0, 1, 16, 1.5),
    (5, -3, 7, 0.7),
    (-100, 1e4, 3, 4),
    (1, 0.9, 40, 2),
    (0, 1, 16, 12),
    (0, 1, 1.3, 0.4),
]


@pytest.mark.parametrize("known", CURVES)
@pytest.mark.parametrize("doses", [DOSES, DOSES[1:]], ids=["vehicle", "no vehicle"])
def test_a_known_curve_without_noise_is_recovered(known, doses):
    bottom, top, ec50, hill = known
    fit = fit_dose_response(doses, logistic(doses, *known))
    assert fit.ec50 == pytest.approx(ec50, rel=1e-6)
    assert fit.interval == pytest.approx((ec50, ec50), rel=1e-4)
    assert fit.interval[0] <= fit.ec50 <= fit.interval[1]
    assert (fit.curve.bottom, fit.curve.top) == pytest.approx(
        (bottom, top), abs=1e-6 * abs(top - bottom)
    )
    assert fit.curve.hill == pytest.approx(hill, rel=1e-4)
    assert fit.curve.at(doses) == pytest.approx(logistic(doses, *known), abs=1e-9 * abs(top) + 1e-9)
    assert fit.p < 1e-9


@pytest.mark.parametrize("seed", range(4))
def test_curve_and_errors_equal_scipys_curve_fit(seed):
    x, y = noisy(seed, sd=0.1, top=-2.0)
    fit = fit_dose_response(x, y)

    def curve(x, bottom, top, log_ec50, hill):
        return logistic(x, bottom, top, 10**log_ec50, hill)

    values, covariance = optimize.curve_fit(
        curve, x, y, p0=[0, -2, 1.2, 1.5], xtol=1e-14, ftol=1e-14, gtol=1e-14
    )
    found = [fit.curve.bottom, fit.curve.top, np.log10(fit.curve.ec50), fit.curve.hill]
    assert found == pytest.approx(values, rel=1e-5, abs=1e-6)
    errors = [fit.errors.bottom, fit.errors.top, fit.errors.log10_ec50, fit.errors.hill]
    assert errors == pytest.approx(np.sqrt(np.diag(covariance)), rel=1e-3)
    left = y - curve(x, *values)
    assert fit.residual == pytest.approx(np.sqrt(left @ left / (len(x) - 4)), rel=1e-9)
    assert (fit.wells, fit.doses) == (20, 9)


def least_squares_at(ec50, x, y):
    """Brute force: the best of a dense row of slopes, asymptotes by lstsq."""
    best = np.inf
    for hill in np.geomspace(0.3, 12, 3000):
        share = np.array([1 / (1 + (ec50 / d) ** hill) if d else 0.0 for d in x])
        design = np.column_stack([np.ones(len(x)), share])
        left = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
        best = min(best, left @ left)
    return best


def test_each_end_of_the_interval_is_where_the_f_test_begins_to_refuse():
    x, y = noisy(5, replicates=1, sd=0.08)
    fit = fit_dose_response(x, y)
    spare = len(x) - 4
    rss = fit.residual**2 * spare
    for end in fit.interval:
        ratio = (least_squares_at(end, x, y) - rss) / (rss / spare)
        assert stats.f.sf(ratio, 1, spare) == pytest.approx(0.05, abs=1e-4)


def test_p_is_the_f_test_against_a_constant():
    x, y = noisy(6, sd=0.6)
    fit = fit_dose_response(x, y)
    spare = len(x) - 4
    full, constant = fit.residual**2 * spare, np.var(y) * len(x)
    expected = stats.f.sf((constant - full) / 3 / (full / spare), 3, spare)
    assert fit.p == pytest.approx(expected, rel=1e-9)


def test_the_interval_holds_the_true_ec50_in_about_95_of_100_plates():
    held = 0
    for seed in range(200):
        x, y = noisy(seed)
        low, high = fit_dose_response(x, y).interval
        assert low is not None
        assert high is not None
        held += low <= 16 <= high
    assert 0.88 <= held / 200 <= 0.995


def test_wells_that_do_not_depend_on_dose_seldom_look_as_if_they_did():
    fits = [fit_dose_response(*noisy(seed, top=0.0)) for seed in range(120)]
    silent = [fit for fit in fits if fit.said == NO_DEPENDENCE]
    assert len(silent) >= 0.9 * len(fits)
    assert all(fit.ec50 is None and fit.interval == (None, None) for fit in silent)
    assert all(fit.p >= 0.05 for fit in silent)


@pytest.mark.parametrize("sd", [0, 0.05])
def test_an_ec50_beyond_the_last_dose_is_not_bounded(sd):
    fit = fit_dose_response(*noisy(8, ec50=2000.0, hill=2.0, sd=sd, top=50.0))
    assert (fit.ec50, fit.said) == (None, NOT_BOUNDED)
    low, high = fit.interval
    assert high is None
    assert 64 < low <= 256


def test_an_ec50_within_the_doses_whose_upper_end_is_not_keeps_its_lower_end():
    fit = fit_dose_response(*noisy(8, ec50=100.0))
    assert fit.said == NOT_BOUNDED
    assert fit.interval[1] is None
    assert 16 < fit.interval[0] < 100 < fit.ec50 < 256


def test_an_ec50_below_the_first_dose_is_not_bounded():
    fit = fit_dose_response(*noisy(9, ec50=0.1))
    assert (fit.ec50, fit.said) == (None, NOT_BOUNDED)
    assert fit.interval[0] is None
    assert 1 <= fit.interval[1] < 4


def test_a_straight_line_over_the_doses_bounds_nothing():
    x = np.repeat(DOSES[1:], 3)
    fit = fit_dose_response(x, np.log2(x) + np.random.default_rng(1).normal(0, 0.5, len(x)))
    assert fit.said == NOT_BOUNDED
    assert None in fit.interval
    assert fit.p < 1e-6


def test_a_jump_between_two_doses_bounds_the_ec50_by_them_and_pins_no_slope():
    x = np.repeat(DOSES, 2)
    fit = fit_dose_response(x, np.where(x > 16, 1.0, 0.0))
    assert 16 < fit.ec50 < 32
    assert fit.interval == pytest.approx((16, 32), rel=1e-4)
    assert fit.errors is None


def test_a_jump_at_the_last_dose_alone_is_not_bounded_above():
    fit = fit_dose_response(np.repeat(DOSES, 2), np.repeat(np.where(DOSES > 200, 1.0, 0.0), 2))
    assert fit.said == NOT_BOUNDED
    assert fit.interval == (pytest.approx(128, rel=1e-4), None)


def test_vehicle_pulls_the_bottom_and_stands_exactly_on_it():
    x, y = noisy(10, replicates=1, ec50=2.0, hill=1.0, sd=0.02)
    without = fit_dose_response(x[1:], y[1:])
    many = np.concatenate([np.zeros(400), x[1:]])
    fit = fit_dose_response(many, np.concatenate([np.full(400, 0.3), y[1:]]))
    assert fit.curve.bottom == pytest.approx(0.3, abs=0.01)
    assert abs(without.curve.bottom - 0.3) > 0.05
    assert fit.curve.at(0) == pytest.approx(fit.curve.bottom, rel=1e-12)


def test_replicates_count_as_single_wells():
    # Averaged first, the spread within a dose would be gone and the interval with it.
    x, y = noisy(11, replicates=4, sd=0.2)
    single = fit_dose_response(x, y)
    averaged = fit_dose_response(DOSES, y.reshape(-1, 4).mean(axis=1))
    assert single.ec50 == pytest.approx(averaged.ec50, rel=1e-6)
    assert (single.wells, averaged.wells) == (40, 10)
    assert single.residual > 1.5 * averaged.residual


def test_units_change_what_they_must_and_no_more():
    x, y = noisy(12)
    plain = fit_dose_response(x, y)
    scored, dosed = fit_dose_response(x, 10 * y - 4), fit_dose_response(x / 1000, y)
    assert (dosed.ec50, *dosed.interval) == pytest.approx(
        [value / 1000 for value in (plain.ec50, *plain.interval)], rel=1e-6
    )
    assert (scored.ec50, *scored.interval) == pytest.approx((plain.ec50, *plain.interval), rel=1e-6)
    assert (scored.curve.bottom, scored.curve.top, scored.residual) == pytest.approx(
        (10 * plain.curve.bottom - 4, 10 * plain.curve.top - 4, 10 * plain.residual), rel=1e-6
    )
    assert (dosed.curve.bottom, dosed.curve.top, dosed.residual) == pytest.approx(
        (plain.curve.bottom, plain.curve.top, plain.residual), rel=1e-6
    )
    for fit in (scored, dosed):
        assert (fit.p, fit.curve.hill) == pytest.approx((plain.p, plain.curve.hill), rel=1e-6)
        assert fit.errors.log10_ec50 == pytest.approx(plain.errors.log10_ec50, rel=1e-6)


def test_a_score_turned_over_only_swaps_the_asymptotes():
    x, y = noisy(13)
    up, down = fit_dose_response(x, y), fit_dose_response(x, 1 - y)
    assert (down.ec50, *down.interval) == pytest.approx((up.ec50, *up.interval), rel=1e-6)
    assert (down.curve.bottom, down.curve.top) == pytest.approx(
        (1 - up.curve.bottom, 1 - up.curve.top), rel=1e-6
    )
    assert down.curve.top < down.curve.bottom
    assert down.curve.hill == pytest.approx(up.curve.hill, rel=1e-6)


def test_the_order_of_wells_does_not_matter_and_the_same_call_gives_the_same_bytes():
    x, y = noisy(14)
    fit = fit_dose_response(x, y)
    assert repr(fit_dose_response(x, y)) == repr(fit)
    order = np.random.default_rng(0).permutation(len(x))
    other = fit_dose_response(x[order], y[order])
    assert (other.ec50, *other.interval) == pytest.approx((fit.ec50, *fit.interval), rel=1e-6)


def test_wells_that_all_score_the_same_have_no_curve():
    fit = fit_dose_response(DOSES, np.full(len(DOSES), 0.1))
    assert (fit.curve, fit.errors, fit.p, fit.ec50) == (None, None, None, None)
    assert fit.said == NO_DEPENDENCE
    assert fit.residual == 0


@pytest.mark.parametrize(
    "dose", [[0, 0, 1, 1, 2, 2, 4, 4], [1, 2, 4, 8], [0, 1, 2, 4], [], [5, 5, 5, 5, 5]]
)
def test_too_few_doses_or_wells_are_refused(dose):
    with pytest.raises(DesignError, match="four parameters need 4 doses and 5 wells"):
        fit_dose_response(dose, np.arange(len(dose)))


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_a_concentration_that_is_none_is_refused_with_its_place(bad):
    dose = DOSES.copy()
    dose[4] = bad
    with pytest.raises(DataError, match=f"concentration {bad} at position 4; 0 is vehicle"):
        fit_dose_response(dose, DOSES)


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_a_score_that_is_not_finite_is_refused_with_its_place(bad):
    score = DOSES.copy()
    score[2] = bad
    with pytest.raises(DataError, match=f"score {bad} at position 2; leave out"):
        fit_dose_response(DOSES, score)


def test_lengths_that_differ_are_refused():
    with pytest.raises(DataError, match=r"shape \(10,\) and scores of shape \(9,\)"):
        fit_dose_response(DOSES, DOSES[1:])


@pytest.mark.parametrize("seed", range(8))
def test_the_drawn_curve_is_the_fitted_one_also_where_its_asymptotes_run_away(seed):
    # Of wells that only jump at one end, an asymptote lies so far off that digits could be lost.
    x = np.repeat(DOSES[1:], 2)
    jump = x <= 1 if seed % 2 else x >= 256
    y = 100.0 * jump + np.random.default_rng(seed).normal(0, 1, len(x))
    fit = fit_dose_response(x, y)
    left = y - fit.curve.at(x)
    assert fit.residual == pytest.approx(np.sqrt(left @ left / (len(x) - 4)), rel=1e-6)
    assert fit.said == NOT_BOUNDED
