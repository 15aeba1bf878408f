"""Smaller images: each pixel the average of the area that it covers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, UsageError
from . import _field
from .inputs import checked_image, checked_out

__all__ = ["shrink"]


def shrink(
    image: NDArray[Any], scale: tuple[int, int], out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Average an image over areas: each pixel of the result covers den / num pixels a side.

    Areas follow each other from the top left corner without a gap, and need not begin and end
    between two pixels: a pixel that two areas share counts in each by what is in it.

    Parameters
    ----------
    image : ndarray of uint8 or uint16, shape (y, x)
        One channel, as for `tas`.
    scale : (int, int)
        num and den, num <= den: the sides of the result are num / den of the image's.
    out : ndarray of float32, C-contiguous, the result's shape, optional
        Where the result is written.

    Returns
    -------
    ndarray of float32, shape (y * num // den, x * num // den)
        Means in grey levels: an exact sum, divided once in float64. What is left over beyond the
        last whole area is left out.

    Raises
    ------
    ImageError
        When the image is not as above, or smaller than one area.
    UsageError
        When the scale enlarges or is none, or when den, in lowest terms, is above 65536; when
        `out` is of another kind or shape.

    Examples
    --------
    >>> image = np.array([[0, 0, 6], [0, 0, 6], [3, 3, 9]], dtype=np.uint8)
    >>> shrink(image, (2, 3))  # areas of 1.5 pixels a side
    array([[0., 4.],
           [2., 6.]], dtype=float32)
    """
    num, den = _lowest(scale)
    pixels = checked_image(image, None)
    if pixels.dtype.kind != "u":
        raise ImageError(
            f"image of dtype {pixels.dtype}", remedy="convert its pixels to uint8 or uint16"
        )
    rows, columns = (length * num // den for length in pixels.shape)
    if not rows or not columns:
        raise ImageError(
            f"image of shape {pixels.shape} at the scale {num} / {den}",
            remedy="use a larger scale: not one pixel would be left",
        )
    out = checked_out(out, (rows, columns), np.float32, pixels)
    if pixels.strides[1] != pixels.itemsize:
        pixels = np.ascontiguousarray(pixels)
    _field.shrink(pixels, out, num, den)
    return out


def _lowest(scale: tuple[int, int]) -> tuple[int, int]:
    is_pair = isinstance(scale, tuple) and [type(part) for part in scale] == [int, int]
    if not is_pair or not 0 < scale[0] <= scale[1]:
        raise UsageError(
            f"scale={scale!r}", remedy="give two whole numbers, the first at most the second"
        )
    common = math.gcd(*scale)
    num, den = scale[0] // common, scale[1] // common
    if den > _field.LARGEST_DEN:
        raise UsageError(
            f"scale={scale!r}", remedy=f"use a divisor of at most {_field.LARGEST_DEN}"
        )
    return num, den
