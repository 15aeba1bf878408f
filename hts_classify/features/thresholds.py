"""Thresholds and margins, all of them from one histogram; and the intervals that they make.

Sums over the histogram are exact integers, so every figure here is rounded once, at its end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Above", "Thresholds", "above", "hamilton", "otsu", "thresholds_of"]

_TIE = 1e-9  # floats this close to the best, relatively, are compared again as fractions


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """What an image's pixels are compared with."""

    threshold: float
    """T: pixels > T make the mean."""
    margin: float
    """m: half the width of the interval `Band`."""
    mu: float
    """The mean of the pixels > T; 0 where there are none."""
    empty: bool
    """No pixel is > T."""

    def intervals(self, maximum: int) -> NDArray[np.uint16]:
        """Turn the real bounds into bounds on integers, exactly.

        Parameters
        ----------
        maximum : int
            The largest pixel that the type can hold.

        Returns
        -------
        ndarray of uint16, shape (3, 2)
            The smallest and the largest pixel in `Band` (mu-m < x < mu+m), `Lower` (x > mu-m)
            and `Mean` (x > mu). An interval with nothing in it is (1, 0).

        Examples
        --------
        >>> at = Thresholds(threshold=30, margin=30, mu=100.0, empty=False)
        >>> at.intervals(255).tolist()
        [[71, 129], [71, 255], [101, 255]]
        """
        lower = math.floor(self.mu - self.margin) + 1
        bounds = [
            (lower, math.ceil(self.mu + self.margin) - 1),
            (lower, maximum),
            (math.floor(self.mu) + 1, maximum),
        ]
        clipped = [(max(low, 0), min(high, maximum)) for low, high in bounds]
        return np.array([b if b[0] <= b[1] else (1, 0) for b in clipped], dtype=np.uint16)


class Above(NamedTuple):
    """The pixels above a threshold: exact sums."""

    pixels: int
    total: int
    squares: int

    @property
    def mean(self) -> float:
        """The mean; 0 of no pixels."""
        return self.total / self.pixels if self.pixels else 0.0

    @property
    def deviation(self) -> float:
        """The standard deviation, with n as divisor; 0 of no pixels."""
        n = self.pixels
        return math.sqrt((n * self.squares - self.total**2) / n**2) if n else 0.0


def above(histogram: NDArray[np.uint64], threshold: float) -> Above:
    """Sum up the pixels > `threshold`.

    Parameters
    ----------
    histogram : ndarray of uint64
        How many pixels have the values 0, 1, 2, …
    threshold : float
        T, a finite number.

    Returns
    -------
    Above
        Their number, their sum and their sum of squares.

    Examples
    --------
    >>> histogram = np.array([5, 0, 3, 1], dtype=np.uint64)
    >>> above(histogram, 1.5), above(histogram, 1.5).mean
    (Above(pixels=4, total=9, squares=21), 2.25)
    """
    first = min(max(math.floor(threshold) + 1, 0), len(histogram))
    levels = np.flatnonzero(histogram[first:]).astype(np.uint64) + np.uint64(first)
    n = histogram[levels]
    # 65535² · n stays below 2⁶⁴ for up to 2³² pixels.
    total, squares = (n * levels).sum(), (n * levels**2).sum()
    return Above(int(n.sum()), int(total), int(squares))


def hamilton(full_scale: int) -> int:
    """Return the fixed threshold, and margin, of Hamilton et al.: 30 on a scale up to 255.

    Parameters
    ----------
    full_scale : int
        The brightest value that the camera writes: 255, 4095, 65535.

    Returns
    -------
    int
        round(30 · full_scale / 255).

    References
    ----------
    Hamilton et al., BMC Bioinformatics 2007, 8:110.

    Examples
    --------
    >>> hamilton(255), hamilton(4095), hamilton(65535)
    (30, 482, 7710)
    """
    return round(Fraction(30 * int(full_scale), 255))


def otsu(histogram: NDArray[np.uint64]) -> int:
    """Return the threshold that separates two classes best; the smallest of equally good ones.

    Parameters
    ----------
    histogram : ndarray of uint64
        How many pixels have the values 0, 1, 2, …

    Returns
    -------
    int
        The T that maximises the variance between pixels <= T and pixels > T, ties decided
        exactly. A constant image has no two classes: 0.

    References
    ----------
    Otsu, IEEE Trans. Syst. Man Cybern. 1979, 9(1):62.

    Examples
    --------
    >>> otsu(np.bincount([10, 11, 12, 90, 91], minlength=256).astype(np.uint64))
    12
    """
    levels = np.flatnonzero(histogram)
    if len(levels) < 2:
        return 0
    n = histogram[levels].astype(np.int64)
    below, sum_below = np.cumsum(n), np.cumsum(n * levels)
    pixels, total = int(below[-1]), int(sum_below[-1])
    # No pixel is above the last level; between levels in use, T makes no difference.
    below, sum_below = below[:-1], sum_below[:-1]
    apart = (total - sum_below) / (pixels - below) - sum_below / below
    between = below.astype(float) * (pixels - below) * apart**2

    def exactly(i: Any) -> Fraction:
        b, s = int(below[i]), int(sum_below[i])
        return Fraction((pixels * s - b * total) ** 2, b * (pixels - b))

    close = np.flatnonzero(between >= between.max() * (1 - _TIE))
    return int(levels[max(close, key=exactly)])


def thresholds_of(
    histogram: NDArray[np.uint64], *, threshold: float | None, margin: float | None
) -> Thresholds:
    """Find an image's thresholds: what is given, else Otsu's and the standard deviation.

    Parameters
    ----------
    histogram : ndarray of uint64
        How many pixels have the values 0, 1, 2, …
    threshold, margin : float or None
        T and m; None is Otsu's, and the standard deviation of the pixels > T.

    Examples
    --------
    >>> histogram = np.bincount([1, 1, 2, 80, 90], minlength=256).astype(np.uint64)
    >>> thresholds_of(histogram, threshold=None, margin=None)
    Thresholds(threshold=2.0, margin=5.0, mu=85.0, empty=False)
    """
    T = float(otsu(histogram)) if threshold is None else threshold
    bright = above(histogram, T)
    return Thresholds(
        threshold=T,
        margin=bright.deviation if margin is None else margin,
        mu=bright.mean,
        empty=bright.pixels == 0,
    )
