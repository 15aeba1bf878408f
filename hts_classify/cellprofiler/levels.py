"""CellProfiler's images from 0 to 1 back to the grey levels of the file that they were read from.

CellProfiler divides what it reads by the brightest value that the file's type or its metadata
allow, in float32, and keeps that value as the image's `scale`; images made of others inherit it.
So a multiple of 1 / scale is a grey level, and what is none is another module's arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Levels", "file_levels", "rounded_levels"]

_DEPTHS: Final = (255, 65535)
_SLACK: Final = 2.0**-22
"""What two roundings of float32, a quotient and a product, can move a pixel by; twice that."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Levels:
    """An image in the grey levels of its file."""

    values: NDArray[Any]
    """uint8 where the scale is 255 or less, else uint16; the shape of CellProfiler's image."""
    scale: int
    """How many grey levels CellProfiler's intensity of 1 is."""


def file_levels(
    pixels: NDArray[Any], scale: float | None, *, is_derived: bool = False
) -> Levels | None:
    """Return an image in the grey levels of its file, if it holds nothing else.

    Parameters
    ----------
    pixels : ndarray of float32 or float64, any shape
        CellProfiler's image.
    scale : float or None
        The image's `scale`; None for one that has none.
    is_derived : bool, optional
        Another image is its parent. One that has none and does not fit its scale was read without
        rescaling, which CellProfiler divides by what the file's type holds.

    Returns
    -------
    Levels or None
        None for pixels that are no whole grey levels from 0 to 65535.

    Examples
    --------
    >>> raw = np.array([[0, 7], [200, 255]], dtype=np.uint8)
    >>> found = file_levels(raw.astype(np.float32) / 255, 255)
    >>> found.values.tolist(), found.values.dtype.name
    ([[0, 7], [200, 255]], 'uint8')
    >>> file_levels(np.array([[0.1234]]), 255) is None
    True
    """
    if pixels.dtype.kind != "f":
        return None
    own = _usable(scale)
    if own is None:
        return None
    for depth in dict.fromkeys([own] if is_derived else [own, *_DEPTHS]):
        found = _whole(pixels, depth)
        if found is not None:
            return Levels(values=found, scale=depth)
    return None


def rounded_levels(pixels: NDArray[Any], scale: float | None) -> Levels | None:
    """Return a derived image in the grey levels of the file that it was made from, rounded.

    Halves go to even; what is below 0 or above what the type holds is clipped, as the pass does
    where it corrects for illumination.

    Parameters
    ----------
    pixels, scale
        As for `file_levels`.

    Returns
    -------
    Levels or None
        None without a scale, and for pixels that are infinite or not a number.

    Examples
    --------
    >>> rounded_levels(np.array([[0.1, 1.2]]), 255).values.tolist()
    [[26, 255]]
    """
    own = _usable(scale)
    if own is None or pixels.dtype.kind != "f" or not np.isfinite(pixels).all():
        return None
    dtype = _type(own)
    values = np.clip(np.rint(pixels * float(own)), 0, np.iinfo(dtype).max).astype(dtype)
    return Levels(values=values, scale=own)


def _usable(scale: float | None) -> int | None:
    """Return a scale that can be one of grey levels; 1 is that of floats, 2³² too deep."""
    is_whole = scale is not None and scale % 1 == 0 and 1 < scale <= _DEPTHS[-1]
    return int(scale) if is_whole and scale is not None else None


def _type(scale: int) -> type[np.unsignedinteger[Any]]:
    return np.uint8 if scale <= _DEPTHS[0] else np.uint16


def _whole(pixels: NDArray[Any], scale: int) -> NDArray[Any] | None:
    levels = pixels * pixels.dtype.type(scale)
    found = np.rint(levels)
    dtype = _type(scale)
    # Written so that NaN fails each. Files may hold more than their metadata say is the most.
    highest = float(found.max(initial=scale))
    if not (found.min(initial=0) >= 0 and highest <= np.iinfo(dtype).max):
        return None
    np.subtract(levels, found, out=levels)
    np.abs(levels, out=levels)
    if not levels.max(initial=0) <= highest * _SLACK:
        return None
    return np.asarray(found.astype(dtype))
