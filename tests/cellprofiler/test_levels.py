"""CellProfiler's intensities back to grey levels, against its reader's own arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hts_classify.cellprofiler.levels import file_levels, rounded_levels


def as_loaded(raw: NDArray[Any], scale: int) -> NDArray[np.float32]:
    """Do what python-bioformats does with `rescale=True`."""
    return raw.astype(np.float32) / float(scale)


def as_converted(raw: NDArray[Any]) -> NDArray[np.float32]:
    """Do what `cellprofiler_core.image.Image.set_image` does with integers."""
    img = raw.astype(np.float32)
    img -= 0.0
    img /= 2.0 ** (8 * raw.itemsize) - 1
    return img


@pytest.mark.parametrize("scale", [255, 1023, 4095, 16383, 65535])
def test_every_grey_level_of_every_depth_comes_back(scale: int) -> None:
    raw = np.arange(scale + 1, dtype=np.uint8 if scale == 255 else np.uint16)[None]
    found = file_levels(as_loaded(raw, scale), scale)
    assert found is not None
    assert (found.values.dtype, found.scale) == (raw.dtype, scale)
    np.testing.assert_array_equal(found.values, raw)


def test_pixels_above_the_scale_of_the_metadata_come_back_too() -> None:
    raw = np.array([[0, 4095, 5000, 65535]], np.uint16)
    found = file_levels(as_loaded(raw, 4095), 4095)
    assert found is not None
    assert found.values.tolist() == raw.tolist()


@pytest.mark.parametrize(("dtype", "scale"), [(np.uint8, 127), (np.uint16, 4095)])
def test_a_file_read_without_rescaling_has_the_scale_of_its_type(dtype: type, scale: int) -> None:
    raw = np.random.default_rng(0).integers(0, scale, (9, 9)).astype(dtype)
    found = file_levels(as_converted(raw), scale)
    assert found is not None
    assert found.values.dtype == dtype
    np.testing.assert_array_equal(found.values, raw)


def test_a_volume_comes_back_as_one() -> None:
    raw = np.random.default_rng(1).integers(0, 65536, (3, 4, 5)).astype(np.uint16)
    found = file_levels(as_converted(raw), 65535)
    assert found is not None
    np.testing.assert_array_equal(found.values, raw)


@pytest.mark.parametrize("scale", [255, 65535])
def test_a_smoothed_image_has_no_grey_levels(scale: int) -> None:
    raw = np.random.default_rng(2).integers(0, scale + 1, (16, 16))
    image = as_loaded(raw, scale)
    smoothed = (image + np.roll(image, 1, axis=0) + np.roll(image, 1, axis=1)) / 3
    assert file_levels(smoothed, scale, is_derived=True) is None
    assert file_levels(smoothed, scale) is None


@pytest.mark.parametrize("scale", [None, 1, 1.0, 0.5, 2**32])
def test_what_has_no_scale_of_grey_levels_has_none(scale: float | None) -> None:
    assert file_levels(np.zeros((2, 2), np.float32), scale) is None
    assert rounded_levels(np.zeros((2, 2), np.float32), scale) is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.25])
def test_one_pixel_that_is_no_level_is_enough(bad: float) -> None:
    image = as_loaded(np.arange(16).reshape(4, 4), 255)
    image[2, 1] = bad
    assert file_levels(image, 255) is None


def test_rounding_goes_to_the_nearest_level_and_clips() -> None:
    found = rounded_levels(np.array([[-0.1, 0.2 / 255, 0.7 / 255, 1.7]]), 255)
    assert found is not None
    assert found.values.tolist() == [[0, 0, 1, 255]]
    assert rounded_levels(np.array([[np.nan]]), 255) is None


def test_a_derived_image_is_not_taken_for_one_read_without_rescaling() -> None:
    image = as_converted(np.random.default_rng(3).integers(0, 4096, (8, 8)).astype(np.uint16))
    assert file_levels(image, 4095, is_derived=True) is None
