"""The specification of threshold adjacency statistics, in NumPy, as slow as it is plain.

Real bounds are compared with pixels as they stand; nothing here is shared with the compiled
core or with `thresholds.py`, which the tests hold to it.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["counts", "neighbours", "otsu", "pftas", "tas"]


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
    """Count the 8 neighbours of every pixel that are on.

    Parameters
    ----------
    on : ndarray of bool, shape (y, x)
        A binary image.
    reflect : bool, optional
        Outside the image is the edge once more, instead of off.

    Returns
    -------
    ndarray of int64, shape (y, x)
        0 to 8, for on and off pixels alike.

    Examples
    --------
    >>> neighbours(np.ones((2, 3), dtype=bool)).tolist()
    [[3, 5, 3], [3, 5, 3]]
    """
    padded = np.pad(on, 1, mode="symmetric" if reflect else "constant").astype(np.int64)
    rows, columns = on.shape
    return sum(
        (
            padded[1 + dy : 1 + dy + rows, 1 + dx : 1 + dx + columns]
            for dy in (-1, 0, 1)
            for dx in (-1, 0, 1)
            if (dy, dx) != (0, 0)
        ),
        start=np.zeros(on.shape, dtype=np.int64),
    )


def counts(
    image: NDArray[Any], *, mu: float, margin: float, reflect: bool = False
) -> NDArray[np.int64]:
    """Count pixels by interval, centre and neighbours.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        Pixels.
    mu, margin : float
        The intervals are mu-margin < x < mu+margin, x > mu-margin and x > mu.
    reflect : bool, optional
        What is outside the image; see `neighbours`.

    Returns
    -------
    ndarray of int64, shape (3, 2, 9)
        Intervals Band, Lower, Mean; centres on, off; on neighbours 0 to 8.
    """
    x = image.astype(np.float64)
    binary = [(x > mu - margin) & (x < mu + margin), x > mu - margin, x > mu]
    result = np.zeros((3, 2, 9), dtype=np.int64)
    for interval, on in enumerate(binary):
        n = neighbours(on, reflect=reflect)
        for centre, chosen in enumerate((on, ~on)):
            result[interval, centre] = np.bincount(n[chosen], minlength=9)
    return result


def tas(image: NDArray[Any], *, threshold: float, margin: float) -> NDArray[np.float64]:
    """Compute the 54 statistics at a threshold and a margin: `definition="standard"`.

    Examples
    --------
    >>> tas(np.array([[0, 0, 0], [0, 99, 0]], dtype=np.uint8), threshold=30, margin=30)[:10]
    array([1., 0., 0., 0., 0., 0., 0., 0., 0., 0.])
    """
    bright = [int(x) for x in image[image > threshold]]
    mu = sum(bright) / len(bright) if bright else 0.0
    found = counts(image, mu=mu, margin=margin)
    halves = [half / max(half.sum(), 1) for interval in found for half in interval]
    return np.concatenate(halves)


def pftas(image: NDArray[Any]) -> NDArray[np.float64]:
    """Compute the 54 statistics at Otsu's threshold, with the standard deviation as margin.

    Examples
    --------
    >>> pftas(np.array([[0, 0, 0], [0, 99, 0]], dtype=np.uint8))[45:48]  # Mean: none is on
    array([1., 0., 0.])
    """
    threshold = otsu(image)
    bright = [int(x) for x in image[image > threshold]]
    margin = 0.0
    if bright:
        mean = Fraction(sum(bright), len(bright))
        margin = math.sqrt(sum((x - mean) ** 2 for x in bright) / len(bright))
    return tas(image, threshold=threshold, margin=margin)
