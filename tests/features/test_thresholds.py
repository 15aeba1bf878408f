from __future__ import annotations

import numpy as np
import pytest

from hts_classify.errors import UsageError
from hts_classify.features import Rule, _tas, hamilton, measure, otsu, reference


def histogram(image, levels=None):
    return np.bincount(image.ravel(), minlength=levels or np.iinfo(image.dtype).max + 1).astype(
        np.uint64
    )


@pytest.mark.parametrize(
    ("full_scale", "expected"), [(255, 30), (1023, 120), (4095, 482), (65535, 7710), (1, 0)]
)
def test_hamiltons_thirty_scales_with_the_camera(full_scale, expected):
    assert hamilton(full_scale) == expected


@pytest.mark.parametrize("seed", range(20))
def test_otsu_equals_the_reference(seed):
    rng = np.random.default_rng(seed)
    dtype = (np.uint8, np.uint16)[seed % 2]
    top = rng.choice([3, 20, np.iinfo(dtype).max])
    image = rng.integers(0, top, (6, 17), dtype=dtype, endpoint=True)
    assert otsu(histogram(image)) == reference.otsu(image)


def test_otsu_takes_the_smallest_of_equally_good_thresholds():
    """A histogram that reads the same backwards: each threshold has a twin, exactly as good."""
    for levels in ([0, 1, 2, 3], [10, 20, 30], [7, 7, 8, 9, 9], [100, 101, 103, 104]):
        image = np.array([levels] * 3, dtype=np.uint8)
        found = otsu(histogram(image))
        assert found == reference.otsu(image)
        assert found < sum(levels) / len(levels)


@pytest.mark.parametrize("value", [0, 1, 200, 65535])
def test_a_constant_image_has_threshold_zero(value):
    image = np.full((5, 5), value, dtype=np.uint16)
    assert otsu(histogram(image)) == 0
    assert _tas.from_histogram(histogram(image), as_mahotas=True)[0] == 0


def test_otsu_does_not_overflow_on_an_image_of_sixteen_gigapixels():
    counts = np.zeros(65536, dtype=np.uint64)
    counts[[60000, 60001, 65534, 65535]] = 2**32
    assert otsu(counts) == 60001


@pytest.mark.parametrize("seed", range(30))
def test_mahotas_otsu_is_found_to_the_last_tie(seed):
    mahotas = pytest.importorskip("mahotas")
    rng = np.random.default_rng(seed)
    for top in (1, 2, 5, 60, 255):
        half = rng.integers(0, top, (5, 8), dtype=np.uint8, endpoint=True)
        both = np.concatenate([half, top - half])  # symmetric: rounding decides
        for image in (half, both, both.astype(np.uint16) * 257):
            found = _tas.from_histogram(histogram(image), as_mahotas=True)[0]
            assert found == mahotas.otsu(image)


def test_mahotas_otsu_is_found_across_gaps_between_the_levels_in_use():
    """In a gap mahotas multiplies and divides by the same numbers, level after level."""
    mahotas = pytest.importorskip("mahotas")
    for seed in range(60):
        rng = np.random.default_rng(seed)
        levels = rng.integers(0, 65536, rng.integers(2, 9), dtype=np.uint16)
        image = rng.choice(levels, (9, 13))
        found = _tas.from_histogram(histogram(image), as_mahotas=True)[0]
        assert found == mahotas.otsu(image)


@pytest.mark.parametrize("scale", [1, 2**20, 2**33])
def test_ties_are_decided_exactly_at_every_size(scale):
    """Beyond 63 bits the core compares whole numbers of 256: a tie there is still a tie."""
    counts = np.zeros(65536, dtype=np.uint64)
    counts[[100, 30000, 35535, 65435]] = np.array([5, 2, 2, 5], dtype=np.uint64) * scale
    assert otsu(counts) == 100  # exactly as good as 35535, which mirrors it


def test_the_histogram_of_a_view_is_that_of_its_pixels():
    image = np.random.default_rng(2).integers(0, 65535, (33, 101), dtype=np.uint16)
    for view in (image, image[::-2, ::3], image.T, image[:1], np.tile(image, (7, 7))):
        bright = view[view > otsu(histogram(view))].astype(float)
        found = measure(view)
        assert found.threshold == otsu(histogram(view))
        assert found.mu == bright.sum() / len(bright)


@pytest.mark.parametrize("threshold", [-5, -0.5, 0, 3, 3.5, 19.999, 20, 1e300])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_mean_and_deviation_are_those_of_the_pixels_above_a_threshold(threshold, dtype):
    image = np.random.default_rng(1).integers(0, 20, (30, 30), dtype=dtype, endpoint=True)
    bright = image[image > threshold].astype(np.int64)
    mean = bright.sum() / max(len(bright), 1)
    for rule in (Rule(threshold=threshold), Rule(threshold=threshold, margin=1.0)):
        found = measure(image, rule)  # from a histogram; without one
        assert (found.threshold, found.mu) == (threshold, mean)
        assert found.empty == (len(bright) == 0)
    assert measure(image, Rule(threshold=threshold)).margin == reference.deviation(image, threshold)


@pytest.mark.parametrize("seed", range(12))
def test_the_deviation_of_many_bright_pixels_is_rounded_once(seed):
    """Beyond what doubles hold exactly, where the core divides integers of 256 bits."""
    rng = np.random.default_rng(seed)
    image = rng.integers(40000, 65535, (300, 400), dtype=np.uint16)
    image[rng.random(image.shape) < 0.5] //= 7
    found = measure(image)
    assert found.margin == reference.deviation(image, found.threshold)


def test_the_deviation_of_bright_nearly_equal_pixels_keeps_its_digits():
    """Where the difference of two large sums in floating point would be noise."""
    counts = np.zeros(65536, dtype=np.uint64)
    counts[[65534, 65535]] = 10**9
    assert _tas.from_histogram(counts, threshold=0.0) == (0, 2 * 10**9, 131069 * 10**9, 0.5)


def test_no_pixel_above_the_threshold_gives_mean_zero_and_the_flag():
    at = measure(np.array([[1, 5, 9]], dtype=np.uint8), Rule(threshold=9))
    assert (at.threshold, at.margin, at.mu, at.empty) == (9, 0.0, 0.0, True)


def test_the_mean_of_floats_does_not_depend_on_their_order():
    """Added up one after the other, these give 0 or 1e-3 or anything between."""
    pixels = np.array([1e16, 1e-3, -1e16, 1e-3, 7.25, -7.25, 3e-310, 1e300, -1e300, 2.5])
    for seed in range(10):
        image = np.random.default_rng(seed).permutation(pixels)[None]
        found = measure(image, Rule("tas", threshold=-1e308, margin=1.0))
        assert found.mu == (2e-3 + 2.5) / 10


def test_fixed_thresholds_are_those_of_the_type_or_the_camera():
    assert Rule("tas").fixed(255) == 30
    assert Rule("tas", full_scale=4095).fixed(65535) == 482
    assert Rule("tas", "mahotas").fixed(65535) == 30
    assert Rule("pftas").fixed(255) is None
    with pytest.raises(UsageError, match=r"full_scale=4095 for pixels up to 255; .* 1 to 255"):
        Rule("tas", full_scale=4095).fixed(255)


def test_half_a_grey_level_goes_to_the_even_one():
    assert [hamilton(n) for n in (4, 13, 21, 30)] == [0, 2, 2, 4]  # of 0.47, 1.53, 2.47, 3.53
    halves = [n for n in range(1, 65536) if (60 * n) % (2 * 255) == 255]
    assert all(hamilton(n) % 2 == 0 for n in halves)


@pytest.mark.parametrize("wrong", ["a", float("nan"), [1], 0, -5, 99.9, True])
def test_a_full_scale_that_is_none_is_refused(wrong):
    with pytest.raises(UsageError, match="full_scale="):
        hamilton(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        np.array([1.0]),
        np.ones((2, 2), int),
        np.array([], int),
        np.ones(65537, int),
        [-1, 2],
        [2**38, 2**38],
    ],
)
def test_a_histogram_that_is_none_is_refused(wrong):
    with pytest.raises(UsageError, match="histogram of dtype"):
        otsu(wrong)


@pytest.mark.parametrize("power", [0, 4, 10, 17])
def test_otsu_does_not_depend_on_how_often_the_pixels_are_counted(power):
    for seed in range(20):
        counts = np.random.default_rng(seed).integers(0, 40, 65536)
        assert otsu(counts << power) == otsu(counts)


def test_any_counts_are_a_histogram():
    counts = np.array([5, 9, 1, 9, 0, 9, 7, 9])
    assert otsu(counts[::2]) == otsu(counts[::2].astype(np.uint64)) == otsu([5, 1, 0, 7]) == 1
