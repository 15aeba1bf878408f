from __future__ import annotations

import dataclasses
import statistics

import numpy as np
import pytest
from scipy import stats

from hts_classify.errors import DataError
from hts_classify.statistics.screening import assay_quality, by_plate

FIGURES = ("z_prime", "robust_z_prime", "ssmd", "robust_ssmd", "signal_window")


def figures(quality):
    return [getattr(quality, name) for name in FIGURES]


def controls(seed, negatives=17, positives=12):
    rng = np.random.default_rng(seed)
    return rng.normal(-2, 0.7, negatives), rng.standard_t(3, positives) + 4


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_published_formulas_in_other_peoples_code(seed):
    low, high = controls(seed)
    quality = assay_quality(low, high)
    m_n, m_p = statistics.fmean(low), statistics.fmean(high)
    s_n, s_p = statistics.stdev(low), statistics.stdev(high)
    d_n, d_p = statistics.median(low), statistics.median(high)
    r_n, r_p = (stats.median_abs_deviation(scores, scale="normal") for scores in (low, high))
    expected = [
        1 - 3 * (s_p + s_n) / abs(m_p - m_n),
        1 - 3 * (r_p + r_n) / abs(d_p - d_n),
        (m_p - m_n) / (s_p**2 + s_n**2) ** 0.5,
        (d_p - d_n) / (r_p**2 + r_n**2) ** 0.5,
        (abs(m_p - m_n) - 3 * (s_p + s_n)) / s_p,
    ]
    assert figures(quality) == pytest.approx(expected, rel=1e-9)
    assert (quality.negative, quality.positive) == (17, 12)


def test_ssmd_is_the_mean_over_the_spread_of_all_differences():
    # Zhang's definition: the difference of a random positive and a random negative well. Over all
    # pairs its variance is the sum of the two variances over n, which n - 1 makes larger.
    low, high = controls(1, 15, 15)
    pairs = np.subtract.outer(high, low)
    expected = pairs.mean() / (pairs.std() * np.sqrt(15 / 14))
    assert assay_quality(low, high).ssmd == pytest.approx(expected, rel=1e-9)


def test_scale_and_offset_do_not_matter_and_a_falling_score_turns_only_the_sign_of_ssmd():
    low, high = controls(2)
    plain = assay_quality(low, high)
    assert figures(assay_quality(10 * low + 3, 10 * high + 3)) == pytest.approx(
        figures(plain), rel=1e-9
    )
    fallen = assay_quality(-low, -high)
    turned = dataclasses.replace(plain, ssmd=-plain.ssmd, robust_ssmd=-plain.robust_ssmd)
    assert figures(fallen) == pytest.approx(figures(turned), rel=1e-9)


def test_one_wild_well_moves_the_plain_figures_and_hardly_the_robust_ones():
    low, high = controls(3, 30, 30)
    wild = high.copy()
    wild[np.argmax(high)] += 1000
    before, after = assay_quality(low, high), assay_quality(low, wild)
    assert after.z_prime < before.z_prime - 5
    assert after.robust_z_prime == before.robust_z_prime


@pytest.mark.parametrize(
    ("low", "high"), [([], [1, 2]), ([0], [1, 2]), ([0, 1], []), ([0, 1], [4]), ([], [])]
)
def test_fewer_than_two_wells_of_a_kind_leave_every_figure_undefined(low, high):
    quality = assay_quality(low, high)
    assert figures(quality) == [None] * 5
    assert (quality.negative, quality.positive) == (len(low), len(high))


def test_equal_means_have_no_z_prime():
    # Two orders of the same scores, whose means differ in the last bit.
    low, high = [0.1, 0.2, 0.3, 1e-3], [0.3, 1e-3, 0.2, 0.1]
    quality = assay_quality(low, high)
    assert quality.z_prime is quality.robust_z_prime is None
    assert quality.ssmd == pytest.approx(0, abs=1e-12)
    assert quality.signal_window == pytest.approx(-6, abs=1e-9)


def test_without_spread_only_what_does_not_divide_by_it_is_defined():
    # 0.1 three times has a mean that is not 0.1, and so a standard deviation that is not 0.
    quality = assay_quality([0.1] * 3, [0.9] * 3)
    assert figures(quality) == [1.0, 1.0, None, None, None]
    half = assay_quality([0, 0, 0, 1], [5, 5, 5, 7])
    assert half.robust_ssmd is None
    assert half.ssmd == pytest.approx((5.5 - 0.25) / (0.25 + 1) ** 0.5, rel=1e-9)
    assert assay_quality([0, 1], [3, 3]).signal_window is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_refused_with_its_place(bad):
    with pytest.raises(DataError, match=r"positive controls: score .* at position 1; leave out"):
        assay_quality([0, 1], [3, bad])


def test_a_table_of_scores_is_refused():
    with pytest.raises(DataError, match=r"negative controls: scores of shape \(2, 2\)"):
        assay_quality([[0, 1], [2, 3]], [4, 5])


def test_each_plate_is_judged_by_its_own_controls():
    low, high = controls(4)
    scores = np.concatenate([low, high, high + 5, low, [np.nan, 9.0]])
    kinds = ["negcon"] * 17 + ["poscon"] * 12 + ["poscon"] * 12 + ["negcon"] * 17
    plates = ["P2"] * 29 + ["P1"] * 29
    order = np.random.default_rng(0).permutation(58)
    order = [*order, 58, 59]
    found = by_plate(
        scores[order],
        [[*plates, "P1", "P2"][k] for k in order],
        [[*kinds, "treatment", None][k] for k in order],
    )
    assert list(found) == ["P1", "P2"]
    for plate, shift in (("P1", 5), ("P2", 0)):
        expected = figures(assay_quality(low, high + shift))
        assert figures(found[plate].quality) == pytest.approx(expected, rel=1e-9)
        assert found[plate].reason == ""


def test_a_plate_without_a_kind_says_so():
    kinds = ["negcon", "negcon", "poscon", "treatment", "NEG", "POS"]
    found = by_plate(range(6), ["a", "a", "b", "c", "d", "d"], kinds)
    assert {plate: result.reason for plate, result in found.items()} == {
        "a": "no positive control (poscon)",
        "b": "no negative control (negcon)",
        "c": "no negative control (negcon) and no positive control (poscon)",
        "d": "no negative control (negcon) and no positive control (poscon)",
    }
    assert all(result.quality is None for result in found.values())
    named = by_plate(range(6), [1] * 6, kinds, negative="NEG", positive="POS")
    assert (named["1"].quality.negative, named["1"].quality.positive) == (1, 1)


def test_a_plate_is_named_where_its_control_has_no_score():
    with pytest.raises(DataError, match="plate b, positive controls: score nan at position 0"):
        by_plate([1, 2, 3, np.nan], list("aabb"), ["negcon", "poscon"] * 2)


def test_lengths_that_differ_are_refused():
    with pytest.raises(DataError, match="3 plates and 2 kinds"):
        by_plate([1, 2], ["a"] * 3, ["negcon"] * 2)
