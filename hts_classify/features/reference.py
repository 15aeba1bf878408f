"""The specification of what the compiled core computes, in NumPy, as slow as it is plain.

Real bounds are compared with pixels as they stand; nothing here is shared with the compiled
core or with `thresholds.py`, which the tests hold to it.
"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["counts", "deviation", "focus", "neighbours", "otsu", "pftas", "shrink", "tas"]


def otsu(image: NDArray[Any]) -> int:
    """Return the smallest T whose variance between pixels <= T and > T is the largest.

    Examples
    --------
    >>> otsu(np.array([[10, 11, 12], [90, 91, 91]], dtype=np.uint8))
    12
    """
    pixels = [int(x) for x in image.ravel()]
    best, threshold = Fraction(0), 0
    for level in sorted(set(pixels))[:-1]:
        below = [x for x in pixels if x <= level]
        above = [x for x in pixels if x > level]
        apart = Fraction(sum(above), len(above)) - Fraction(sum(below), len(below))
        between = len(below) * len(above) * apart**2
        if between > best:
            best, threshold = between, level
    return threshold


def neighbours(on: NDArray[np.bool_], *, reflect: bool = False) -> NDArray[np.int64]:
    """Count the neighbours of every pixel that are on: 8 in an image, 26 in a volume.

    Parameters
    ----------
    on : ndarray of bool, shape (y, x) or (z, y, x)
        A binary image.
    reflect : bool, optional
        Outside the image is the edge once more, instead of off.

    Returns
    -------
    ndarray of int64, the shape of `on`
        0 to 8 (26), for on and off pixels alike.

    Examples
    --------
    >>> neighbours(np.ones((2, 3), dtype=bool)).tolist()
    [[3, 5, 3], [3, 5, 3]]
    """
    padded = np.pad(on, 1, mode="symmetric" if reflect else "constant").astype(np.int64)
    total = np.zeros(on.shape, dtype=np.int64)
    for shift in product((0, 1, 2), repeat=on.ndim):
        window = zip(shift, on.shape, strict=True)
        total += padded[tuple(slice(first, first + length) for first, length in window)]
    return total - on


def counts(
    image: NDArray[Any],
    *,
    mu: float,
    margin: float,
    reflect: bool = False,
    inside: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """Count pixels by interval, centre and neighbours.

    Parameters
    ----------
    image : ndarray, shape (y, x) or (z, y, x)
        Pixels.
    mu, margin : float
        The intervals are mu-margin < x < mu+margin, x > mu-margin and x > mu.
    reflect : bool, optional
        What is outside the image; see `neighbours`.
    inside : ndarray of bool, the image's shape, optional
        The pixels that are counted; the others are off neighbours.

    Returns
    -------
    ndarray of int64, shape (3, 2, 9) or (3, 2, 27)
        Intervals Band, Lower, Mean; centres on, off; on neighbours 0 to 8 (26).
    """
    x = image.astype(np.float64)
    inside = np.ones(x.shape, dtype=bool) if inside is None else inside
    binary = [(x > mu - margin) & (x < mu + margin), x > mu - margin, x > mu]
    result = np.zeros((3, 2, 3**x.ndim), dtype=np.int64)
    for interval, on in enumerate(binary):
        n = neighbours(on & inside, reflect=reflect)
        for centre, chosen in enumerate((on & inside, ~on & inside)):
            result[interval, centre] = np.bincount(n[chosen], minlength=3**x.ndim)
    return result


def tas(
    image: NDArray[Any],
    *,
    threshold: float,
    margin: float,
    reflect: bool = False,
    inside: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Compute the 54 (162) statistics at a threshold and a margin: `definition="standard"`.

    Examples
    --------
    >>> tas(np.array([[0, 0, 0], [0, 99, 0]], dtype=np.uint8), threshold=30, margin=30)[:10]
    array([1., 0., 0., 0., 0., 0., 0., 0., 0., 0.])
    """
    pixels = image if inside is None else image[inside]
    bright = pixels[pixels > np.float64(threshold)].tolist()
    mu = float(sum(map(Fraction, bright)) / len(bright)) if bright else 0.0
    found = counts(image, mu=mu, margin=margin, reflect=reflect, inside=inside)
    halves = [half / max(half.sum(), 1) for interval in found for half in interval]
    return np.concatenate(halves)


def pftas(
    image: NDArray[Any], *, reflect: bool = False, inside: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Compute the 54 (162) statistics at Otsu's threshold, the standard deviation as margin.

    Examples
    --------
    >>> pftas(np.array([[0, 0, 0], [0, 99, 0]], dtype=np.uint8))[45:48]  # Mean: none is on
    array([1., 0., 0.])
    """
    pixels = image if inside is None else image[inside]
    threshold = otsu(pixels)
    margin = deviation(pixels, threshold)
    return tas(image, threshold=threshold, margin=margin, reflect=reflect, inside=inside)


def deviation(pixels: NDArray[Any], threshold: float) -> float:
    """Return the standard deviation of the pixels > `threshold`; 0 of none.

    Examples
    --------
    >>> deviation(np.array([1, 5, 7], dtype=np.uint8), 2)
    1.0
    """
    bright = [int(x) for x in pixels[pixels > threshold]]
    if not bright:
        return 0.0
    mean = Fraction(sum(bright), len(bright))
    return math.sqrt(sum((x - mean) ** 2 for x in bright) / len(bright))


def shrink(image: NDArray[Any], num: int, den: int) -> NDArray[np.float32]:
    """Average an image over areas of den / num pixels a side.

    Examples
    --------
    >>> shrink(np.array([[0, 0, 6], [0, 0, 6], [3, 3, 9]], dtype=np.uint8), 2, 3)
    array([[0., 4.],
           [2., 6.]], dtype=float32)
    """
    by_row, by_column = (_overlaps(length, num, den) for length in image.shape)
    sums = by_row @ image.astype(np.int64) @ by_column.T
    return (sums / den**2).astype(np.float32)


def _overlaps(length: int, num: int, den: int) -> NDArray[np.int64]:
    """Return what area j and pixel i share along an axis, in units of 1 / num of a pixel."""
    area, pixel = np.ogrid[: length * num // den, :length]
    shared: NDArray[np.int64] = np.minimum((area + 1) * den, (pixel + 1) * num) - np.maximum(
        area * den, pixel * num
    )
    return shared.clip(0)


def focus(plane: NDArray[Any]) -> float:
    """Return the variance of the Laplacian over the pixels that have four neighbours.

    Examples
    --------
    >>> focus(np.array([[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]], dtype=np.uint8))  # 4 and -1
    6.25
    """
    x = plane.astype(np.int64)
    sides = x[1:-1, :-2] + x[1:-1, 2:] + x[:-2, 1:-1] + x[2:, 1:-1]
    sharp = 4 * x[1:-1, 1:-1] - sides
    if not sharp.size:
        return math.nan
    mean = Fraction(int(sharp.sum()), sharp.size)
    return float(Fraction(int((sharp**2).sum()), sharp.size) - mean**2)
