"""The smaller levels of an image."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["average", "level_count", "thin"]

_SMALLEST: Final = 256
"""Longest side of a level that needs no smaller one."""


def level_count(shape: tuple[int, ...], wanted: int | None) -> int:
    """Return how many levels an image has: those wanted, while there are pixels for them.

    Examples
    --------
    >>> level_count((1080, 1080), None), level_count((64, 64), None), level_count((64, 64), 2)
    (4, 1, 2)
    """
    height, width = shape[-2:]
    count = 1
    while min(height, width) > 1 and (
        count < wanted if wanted is not None else max(height, width) > _SMALLEST
    ):
        height, width, count = height // 2, width // 2, count + 1
    return count


def average(pixels: NDArray[Any]) -> NDArray[Any]:
    """Average blocks of 2×2 pixels, ties to even; an odd last row or column is left out.

    Examples
    --------
    >>> average(np.array([[0, 3, 9], [3, 5, 9]], np.uint8))
    array([[3]], dtype=uint8)
    """
    height, width = (n // 2 * 2 for n in pixels.shape[-2:])
    even = pixels[..., :height, :width]
    pairs = even[..., ::2, :].astype(np.uint32)
    pairs += even[..., 1::2, :]
    sums = pairs[..., ::2] + pairs[..., 1::2]
    # Half to even in integers: a quarter of the time that floats take.
    halves = (sums + 1 + ((sums >> 2) & 1)) >> 2
    return np.asarray(halves, pixels.dtype)


def thin(labels: NDArray[Any]) -> NDArray[Any]:
    """Take every second pixel of a label image, whose values are names and have no average."""
    height, width = (n // 2 * 2 for n in labels.shape[-2:])
    return labels[..., :height:2, :width:2]
