"""Figures of a channel: what they are, and that the statistics beside them stay what they were."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from hts_classify.errors import ImageError, UsageError
from hts_classify.features import Figures, Rule, _field, _tas, examine, kernels, measure, reference
from hts_classify.vocabulary import FIGURES, figure_columns

RULES = {
    "pftas": Rule(),
    "pftas, mahotas": Rule(definition="mahotas"),
    "pftas at a threshold": Rule(threshold=12.5),
    "tas": Rule("tas"),
    "tas, mahotas": Rule("tas", "mahotas"),
    "tas, reflected": Rule("tas", border="reflect"),
    "tas at a threshold and a margin": Rule("tas", threshold=3, margin=2.5),
    "tas at a threshold": Rule("tas", threshold=-1),
}
LAYOUTS = {
    "C": lambda x: x,
    "every second column": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "backwards": lambda x: np.flip(np.flip(x).copy()),
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "crop": lambda x: np.pad(x, 3, constant_values=9)[(slice(3, -3),) * x.ndim],
    "one row": lambda x: np.broadcast_to(x[..., :1, :], x.shape),
    "read-only": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
    "foreign": lambda x: x.astype(x.dtype.newbyteorder(">")),
}


@st.composite
def images(draw: st.DrawFn):
    """Images and volumes of few or many levels, constant ones too, laid out in every way."""
    dtype = draw(st.sampled_from([np.uint8, np.uint16]))
    shape = draw(
        st.tuples(st.integers(1, 9), st.integers(1, 150))
        | st.tuples(st.integers(1, 150), st.integers(1, 4))
        | st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 20))
    )
    top = np.iinfo(dtype).max
    low = draw(st.integers(0, top))
    high = draw(st.integers(low, top) | st.just(low))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    image = rng.integers(low, high, shape, dtype, endpoint=True)
    if draw(st.booleans()):
        image[image > np.median(image)] = high
    return LAYOUTS[draw(st.sampled_from(sorted(LAYOUTS)))](image)


def axes_of(image):
    return "zyx" if image.ndim == 3 else None


@settings(deadline=None, derandomize=True, max_examples=200)
@given(images(), st.sampled_from(sorted(RULES)))
def test_statistics_are_those_of_measure_to_the_last_bit(image, rule):
    alone = measure(image, RULES[rule], axes=axes_of(image))
    found, _ = examine(image, RULES[rule], axes=axes_of(image))
    np.testing.assert_array_equal(found.values, alone.values)
    for name in ("threshold", "margin", "mu", "empty"):
        assert getattr(found, name) == getattr(alone, name)


def assert_figures_are_those_of(image):
    found, figures = examine(image, axes=axes_of(image))
    pixels = np.sort(image.ravel()).astype(np.int64)
    n, top = pixels.size, np.iinfo(image.dtype).max
    assert figures.minimum == pixels[0]
    assert figures.maximum == pixels[-1]
    assert figures.mean == float(Fraction(int(pixels.sum()), n))
    assert figures.std == reference.deviation(pixels, -1)
    assert figures.median == np.median(pixels)
    assert figures.mad == np.median(np.abs(pixels - np.median(pixels)))
    assert figures.p01 == pixels[-(-n // 100) - 1]
    assert figures.p99 == pixels[-(-99 * n // 100) - 1]
    assert figures.saturated == (pixels == top).sum() / n
    assert figures.foreground == (pixels > found.threshold).sum() / n
    planes = image if image.ndim == 3 else image[None]
    sharp = sum(map(reference.focus, planes)) / len(planes)
    assert figures.focus == pytest.approx(sharp, rel=0, abs=0, nan_ok=True)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(images())
def test_figures_are_what_they_say(image):
    assert_figures_are_those_of(image)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("side", [127, 128, 131])
def test_figures_of_many_pixels_are_what_they_say(dtype, side):
    # From 2^14 pixels on, levels are counted in another way.
    rng = np.random.default_rng(side)
    image = rng.poisson(70, (side, 129)).astype(dtype)
    image[rng.random(image.shape) < 0.1] = np.iinfo(dtype).max
    assert_figures_are_those_of(image)
    assert_figures_are_those_of(np.full_like(image, 7))


@pytest.mark.parametrize("kernel", kernels())
def test_no_kernel_changes_a_figure(kernel, monkeypatch):
    image = np.random.default_rng(0).poisson(40, (70, 131)).astype(np.uint16)
    found, figures = examine(image)
    monkeypatch.setenv("HTS_CLASSIFY_KERNEL", kernel)
    again, same = examine(image)
    assert figures == same
    np.testing.assert_array_equal(found.values, again.values)


@pytest.mark.parametrize("instructions", _field.loops())
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("width", [3, 4, 18, 33, 66, 131, 2049, 2050, 4097, 4098, 4099, 9000])
def test_sharpness_is_exact_with_all_instruction_sets(instructions, dtype, width):
    rng = np.random.default_rng(width)
    top = np.iinfo(dtype).max
    noise = rng.integers(0, top, (5, width), dtype, endpoint=True)
    sharpest = (np.indices((5, width)).sum(axis=0) % 2 * top).astype(dtype)
    for image in (noise, sharpest, sharpest[:, 1:-1] if width > 4 else sharpest):
        image = np.ascontiguousarray(image)
        assert _field.focus(image, instructions=instructions) == reference.focus(image)


def test_squares_of_a_huge_plane_do_not_overflow():
    # More than 2^28 Laplacians of ±2^18: the sum of their squares needs 65 bits.
    line = np.resize(np.array([0, 65535], np.uint16), 40_000)
    checks = np.lib.stride_tricks.as_strided(line, (15_002, 20_000), (2, 2), writeable=False)
    assert _field.focus(checks) == (4 * 65535) ** 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (2, 300), (300, 2)])
def test_sharpness_without_inner_pixels_is_no_number(shape):
    _, figures = examine(np.arange(np.prod(shape), dtype=np.uint16).reshape(shape))
    assert math.isnan(figures.focus)
    assert figures.minimum == 0


def test_sharpness_of_real_pixels_falls_with_blur(shared_data: Path) -> None:
    with Image.open(sorted((shared_data / "jump_16bit").glob("*.tiff"))[0]) as file:
        image = np.asarray(file).astype(np.uint16)
    _, figures = examine(image)
    laplacian = ndimage.laplace(image.astype(float))[1:-1, 1:-1]
    assert figures.focus == pytest.approx(laplacian.var(), rel=1e-12)
    blurred = [examine(ndimage.gaussian_filter(image, sigma))[1].focus for sigma in (1, 3)]
    assert figures.focus > 2 * blurred[0] > 4 * blurred[1]


def test_a_camera_of_12_bits_saturates_at_its_own_full_scale() -> None:
    image = np.array([[0, 100, 4094], [4095, 4095, 4095]], np.uint16)
    assert examine(image)[1].saturated == 0
    assert examine(image, full_scale=4095)[1].saturated == 0.5
    assert examine(image, Rule("tas", full_scale=4095))[1].saturated == 0.5


def test_columns_and_values_are_in_one_order() -> None:
    image = np.array([[0, 10, 20, 255], [0, 10, 20, 255]], np.uint8)
    _, figures = examine(image)
    row = dict(zip(figure_columns("DNA"), figures.values, strict=True))
    assert row == {
        "Image_ImageQuality_MeanIntensity_DNA": 71.25,
        "Image_ImageQuality_StdIntensity_DNA": np.std(image),
        "Image_ImageQuality_MedianIntensity_DNA": 15,
        "Image_ImageQuality_MADIntensity_DNA": 10,
        "Image_ImageQuality_MinIntensity_DNA": 0,
        "Image_ImageQuality_MaxIntensity_DNA": 255,
        "Image_ImageQuality_Percentile01_DNA": 0,
        "Image_ImageQuality_Percentile99_DNA": 255,
        "Image_ImageQuality_PercentSaturated_DNA": 25,
        "Image_ImageQuality_PercentForeground_DNA": 25,
        "Image_ImageQuality_LaplacianVariance_DNA": pytest.approx(math.nan, nan_ok=True),
    }
    assert len(Figures.__slots__) == len(FIGURES)


def test_threads_do_not_disturb_each_other() -> None:
    rng = np.random.default_rng(0)
    fields = [rng.poisson(lam, (200, 300)).astype(np.uint16) for lam in range(1, 33)]
    with ThreadPoolExecutor(4) as threads:
        at_once = list(threads.map(examine, fields))
    for image, (found, figures) in zip(fields, at_once, strict=True):
        alone, same = examine(image)
        assert figures == same
        np.testing.assert_array_equal(found.values, alone.values)


FIELD = np.arange(24, dtype=np.uint8).reshape(4, 6)


@pytest.mark.parametrize(
    ("image", "options", "error", "says"),
    [
        (FIELD.astype(np.float32), {}, ImageError, "dtype float32"),
        (FIELD.astype(np.int16), {}, ImageError, "dtype int16"),
        (FIELD[:0], {}, ImageError, "no pixels"),
        (FIELD[None], {}, ImageError, "say what it is"),
        (FIELD[None], {"axes": "nyx"}, UsageError, "one image of the stack"),
        (FIELD, {"rule": "tas"}, UsageError, "pass a Rule"),
        (FIELD, {"rule": Rule("tas", full_scale=9)}, ImageError, "above full_scale=9"),
        (FIELD, {"full_scale": 256}, UsageError, "full_scale=256"),
        (FIELD, {"full_scale": 0}, UsageError, "full_scale=0"),
        (FIELD, {"full_scale": 9.5}, UsageError, "full_scale=9.5"),
        (FIELD, {"full_scale": True}, UsageError, "full_scale=True"),
    ],
)
def test_what_has_no_figures_is_refused(image, options, error, says) -> None:
    with pytest.raises(error, match=says):
        examine(image, **options)


def test_the_core_takes_no_histogram_of_other_pixels() -> None:
    other = _tas.Histogram(FIELD[1:])
    with pytest.raises(ValueError, match="other pixels"):
        _tas.measure(FIELD, None, None, np.empty(4), histogram=other)
    objects = _tas.find_objects(np.ones_like(FIELD))
    with pytest.raises(ValueError, match="other pixels"):
        _tas.measure(FIELD, objects, None, np.empty(4), histogram=_tas.Histogram(FIELD))
