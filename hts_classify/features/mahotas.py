"""What `definition="mahotas"` takes from NumPy, as mahotas 1.4.19 does, to the last bit.

The rest of it is the compiled core's: a border that reflects, the mean's 1e-8, its Otsu, and its
order, the off half first and the on half backwards.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["deviation", "mean_of_floats"]

THRESHOLD = 30
"""T and m of `mahotas.features.tas`, whatever the depth of the pixels."""


def deviation(pixels: NDArray[Any], threshold: float) -> float:
    """Return the standard deviation of the pixels > `threshold` as NumPy rounds it.

    NumPy sums up in the order of the pixels; the compiled core, which rounds once, asks for this
    where the last digits decide whether a pixel is in an interval.

    Examples
    --------
    >>> deviation(np.array([[1, 5], [6, 9]], dtype=np.uint8), 4)
    1.699673171197595
    """
    bright = pixels[pixels > threshold]
    return float(bright.std()) if len(bright) else 0.0


def mean_of_floats(pixels: NDArray[np.floating[Any]], threshold: float) -> tuple[float, int]:
    """Return mahotas's mean of the pixels > `threshold`, rounded in their own type; and how many.

    Examples
    --------
    >>> mean_of_floats(np.array([[1.0, 5.0], [6.0, 7.0]]), 4)
    (5.99999998, 3)
    """
    is_bright = pixels > threshold
    above = np.sum(is_bright)  # NumPy's own integer: the quotient is then a float64
    return float((is_bright * pixels).sum() / (above + 1e-8)), int(above)
