from __future__ import annotations

import numpy as np
import pytest

from hts_classify.features import _tas, hamilton, otsu, reference
from hts_classify.features.thresholds import Thresholds, above, thresholds_of


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
    assert _tas.otsu_mahotas(histogram(image)) == 0


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
            assert _tas.otsu_mahotas(histogram(image)) == mahotas.otsu(image)


@pytest.mark.parametrize("threshold", [-5, -0.5, 0, 3, 3.5, 19.999, 20, 1e300])
def test_sums_above_a_threshold_are_those_of_the_pixels(threshold):
    image = np.random.default_rng(1).integers(0, 20, (30, 30), dtype=np.uint16, endpoint=True)
    bright = image[image > threshold].astype(np.int64)
    found = above(histogram(image), threshold)
    assert found == (len(bright), bright.sum(), (bright**2).sum())
    if len(bright):
        assert found.mean == bright.mean()
        assert found.deviation == pytest.approx(bright.std(), rel=1e-14)
    else:
        assert (found.mean, found.deviation) == (0.0, 0.0)


def test_the_deviation_of_bright_nearly_equal_pixels_keeps_its_digits():
    """Where the difference of two large sums in floating point would be noise."""
    counts = np.zeros(65536, dtype=np.uint64)
    counts[[65534, 65535]] = 10**9
    assert above(counts, 0).deviation == 0.5


def test_given_threshold_and_margin_are_kept():
    image = np.array([[1, 5, 9]], dtype=np.uint8)
    at = thresholds_of(histogram(image), threshold=4.5, margin=2.0)
    assert at == Thresholds(threshold=4.5, margin=2.0, mu=7.0, empty=False)


def test_no_pixel_above_the_threshold_gives_mean_zero_and_the_flag():
    at = thresholds_of(histogram(np.array([[1, 5, 9]], dtype=np.uint8)), threshold=9, margin=None)
    assert at == Thresholds(threshold=9, margin=0.0, mu=0.0, empty=True)


@pytest.mark.parametrize("mu", [0.0, 0.3, 1.0, 7.0, 7.5, 254.0, 255.0, np.nextafter(7.0, 8)])
@pytest.mark.parametrize("margin", [0.0, 0.5, 1.0, 7.0, 30.0, 1e300, np.nextafter(1.0, 0)])
def test_integer_intervals_hold_the_pixels_that_the_real_bounds_hold(mu, margin):
    at = Thresholds(threshold=0, margin=margin, mu=mu, empty=False)
    x = np.arange(256)
    real = [(x > mu - margin) & (x < mu + margin), x > mu - margin, x > mu]
    for on, (low, high) in zip(real, at.intervals(255), strict=True):
        np.testing.assert_array_equal((x >= low) & (x <= high), on)
