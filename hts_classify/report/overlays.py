"""Tiles made small, thresholded, or lit by a map."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..features import Rule, measure

__all__ = ["marked", "small", "thresholded"]

_LIT: Final = np.array([255, 190, 0], np.float32)
"""What a map is drawn in: told from grey with every kind of colour vision, and in print."""
_INTERVALS: Final = {
    "Band": lambda x, mu, m: (x > mu - m) & (x < mu + m),
    "Lower": lambda x, mu, m: x > mu - m,
    "Mean": lambda x, mu, m: x > mu,
}


def small(tile: NDArray[Any], most: int) -> NDArray[np.float32]:
    """Return planes of at most so many pixels along a side, averaged over areas.

    Examples
    --------
    >>> small(np.array([[[1, 3, 0, 0], [3, 1, 0, 8]]]), 2).tolist()
    [[[2.0, 2.0]]]
    """
    from PIL import Image

    scale = most / max(tile.shape[1:])
    if scale >= 1:
        return tile.astype(np.float32)
    y, x = (max(1, round(side * scale)) for side in tile.shape[1:])
    return np.stack(
        [
            np.asarray(
                Image.fromarray(plane.astype(np.float32)).resize((x, y), Image.Resampling.BOX)
            )
            for plane in tile
        ]
    )


def marked(
    rgb: NDArray[np.float32], values: NDArray[np.uint8], covered: tuple[float, float]
) -> NDArray[np.float32]:
    """Return a grey picture, lit where a map of it is high.

    Parameters
    ----------
    rgb : ndarray, shape (y, x, 3)
        The picture, from 0 to 1.
    values : ndarray of uint8, shape (rows, columns)
        The map.
    covered : tuple of float
        Shares of height and width around the centre that it is of.
    """
    from PIL import Image

    y, x = rgb.shape[:2]
    inner = max(1, round(y * covered[0])), max(1, round(x * covered[1]))
    top, left = (y - inner[0]) // 2, (x - inner[1]) // 2
    fine = Image.fromarray(values).resize(inner[::-1], Image.Resampling.BILINEAR)
    lit = np.zeros((y, x, 1), np.float32)
    lit[top : top + inner[0], left : left + inner[1], 0] = np.asarray(fine, np.float32) / 255
    grey = rgb.max(axis=2, keepdims=True).repeat(3, axis=2)
    return np.asarray(grey * (1 - 0.6 * lit) + 0.6 * lit * _LIT / 255, np.float32)


def thresholded(plane: NDArray[Any], interval: str, rule: Rule) -> NDArray[np.bool_]:
    """Return the binary image whose pixels TAS counts, with thresholds of this plane.

    Parameters
    ----------
    plane : ndarray of uint8 or uint16, shape (y, x)
        One channel.
    interval : {"Band", "Lower", "Mean"}
    rule : Rule
        How T and m are set.

    Examples
    --------
    >>> plane = np.array([[0, 0, 80], [0, 90, 100]], np.uint8)
    >>> thresholded(plane, "Mean", Rule()).astype(int).tolist()
    [[0, 0, 0], [0, 0, 1]]
    """
    at = measure(plane, rule)
    found = _INTERVALS[interval](plane.astype(np.float64), at.mu, at.margin)
    return np.asarray(found, np.bool_)
