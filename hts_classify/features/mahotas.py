"""What `definition="mahotas"` does differently, as in mahotas 1.4.19: rounding and order.

Its third difference, a border that reflects instead of being off, is the compiled core's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _tas
from .thresholds import Thresholds, above

__all__ = ["in_order", "thresholds_of"]

THRESHOLD = 30
"""T and m of `mahotas.features.tas`, whatever the depth of the pixels."""


def thresholds_of(
    pixels: NDArray[Any],
    histogram: NDArray[np.uint64],
    *,
    threshold: float | None,
    margin: float | None,
) -> Thresholds:
    """Find an image's thresholds with mahotas's rounding, to the last bit.

    Parameters
    ----------
    pixels : ndarray, shape (y, x)
        The image.
    histogram : ndarray of uint64
        How many pixels have the values 0, 1, 2, …
    threshold, margin : float or None
        T and m; None is Otsu's, and the standard deviation of the pixels > T.

    Examples
    --------
    >>> pixels = np.full((2, 2), 7, dtype=np.uint8)
    >>> histogram = np.bincount(pixels.ravel(), minlength=256).astype(np.uint64)
    >>> thresholds_of(pixels, histogram, threshold=None, margin=None).mu
    6.9999999825
    """
    T = float(_tas.otsu_mahotas(histogram)) if threshold is None else threshold
    bright = above(histogram, T)
    if margin is None:
        # NumPy's own sum over the pixels in their order: one over the histogram rounds otherwise.
        margin = float(pixels[pixels > T].std()) if bright.pixels else 0.0
    # The 1e-8 keeps mahotas from dividing by zero. On a constant image it also puts the mean
    # below every pixel, so that all of them are in the interval Mean.
    mu = bright.total / (bright.pixels + 1e-8)
    return Thresholds(threshold=T, margin=margin, mu=mu, empty=bright.pixels == 0)


def in_order(counts: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Put counts in mahotas's order.

    Parameters
    ----------
    counts : ndarray of uint64, shape (3, 2, 9)
        Intervals; centres on, off; on neighbours.

    Returns
    -------
    ndarray of uint64, shape (2, 3, 9)
        The off pixels of the three intervals; then those of the negated images, which are the on
        pixels, by their *off* neighbours: the on half backwards.

    Examples
    --------
    >>> in_order(np.arange(54, dtype=np.uint64).reshape(3, 2, 9))[:, 0].tolist()
    [[9, 10, 11, 12, 13, 14, 15, 16, 17], [8, 7, 6, 5, 4, 3, 2, 1, 0]]
    """
    on, off = counts[:, 0], counts[:, 1]
    return np.stack([off, on[:, ::-1]])
