"""Figures of a channel, from the same look at its pixels as its statistics.

The histogram that Otsu's threshold needs says the rest: levels, ranks, shares. Only sharpness
looks at the pixels once more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, UsageError
from . import _field, _tas
from .inputs import Axes, checked_image
from .measure import TasResult, refuse_stack, result_of, values_of, write
from .thresholds import Rule

__all__ = ["Figures", "examine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What the pixels of one channel of a field are like, in grey levels."""

    mean: float
    std: float
    """The standard deviation, with the number of pixels as divisor."""
    median: float
    """Of an even number of pixels the mean of the middle two."""
    mad: float
    """The median distance of the pixels from their median."""
    minimum: float
    maximum: float
    p01: float
    """The smallest grey level that 1% of the pixels, or more, do not exceed."""
    p99: float
    saturated: float
    """The share of the pixels that are at the full scale, or above."""
    foreground: float
    """The share of the pixels above the threshold that the statistics were taken at."""
    focus: float
    """The variance of the Laplacian, 4 x - left - right - above - below, over the pixels that have
    all four; of a volume the mean over its planes. NaN where no pixel has four."""

    @property
    def values(self) -> tuple[float, ...]:
        """The figures in the order of `vocabulary.figure_columns`, shares as percentages."""
        return (
            self.mean,
            self.std,
            self.median,
            self.mad,
            self.minimum,
            self.maximum,
            self.p01,
            self.p99,
            100 * self.saturated,
            100 * self.foreground,
            self.focus,
        )


def examine(
    image: NDArray[Any],
    rule: Rule = Rule(),  # noqa: B008  (frozen)
    *,
    axes: Axes | None = None,
    full_scale: int | None = None,
) -> tuple[TasResult, Figures]:
    """Compute threshold adjacency statistics and the figures of the same pixels.

    Parameters
    ----------
    image : ndarray of uint8 or uint16, shape (y, x) or (z, y, x)
        One channel, as for `tas`; not a stack.
    rule : Rule, optional
        Which statistics, as for `measure`.
    axes : {"yx", "zyx"}, optional
        As for `tas`.
    full_scale : int, optional
        The level from which a pixel counts as saturated: the rule's, or the type's largest,
        unless given.

    Returns
    -------
    TasResult
        What `measure(image, rule)` returns, to the last bit.
    Figures
        Levels and their spread, saturation, foreground, sharpness; from exact sums, so that they
        depend on no order, thread or kernel.

    Raises
    ------
    ImageError, KernelError, UsageError
        As from `tas`; floats are refused, as they have no histogram.

    References
    ----------
    Pech-Pacheco et al., ICPR 2000, 3:314: the variance of the Laplacian.

    Examples
    --------
    >>> image = np.zeros((4, 4), dtype=np.uint8)
    >>> image[1:3, 1] = 200, 255
    >>> found, figures = examine(image)
    >>> found.threshold, figures.foreground, figures.saturated, figures.maximum
    (0.0, 0.125, 0.0625, 255.0)
    """
    pixels = checked_image(image, axes)
    if pixels.dtype.kind != "u":
        raise ImageError(
            f"image of dtype {pixels.dtype}", remedy="convert its pixels to uint8 or uint16"
        )
    refuse_stack("examine", axes)
    histogram = _tas.Histogram(pixels)
    values, at = np.empty(values_of(axes)), np.empty(4)
    write(pixels, None, values, at, rule, axes=axes, histogram=histogram)
    figures = Figures(
        **histogram.figures(_full_scale(pixels, rule, full_scale)),
        foreground=at[3].item() / pixels.size,
        focus=_focus(pixels if pixels.ndim == 3 else pixels[None]),
    )
    return result_of(values, at), figures


def _full_scale(pixels: NDArray[Any], rule: Rule, given: int | None) -> int:
    maximum = int(np.iinfo(pixels.dtype).max)
    if given is None:
        return maximum if rule.full_scale is None else rule.full_scale
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= maximum:
        raise UsageError(
            f"full_scale={given!r} for pixels up to {maximum}",
            remedy="give the camera's brightest value, a whole number from 1 to that",
        )
    return given


def _focus(planes: NDArray[Any]) -> float:
    if planes.strides[2] != planes.itemsize:
        planes = np.ascontiguousarray(planes)
    return sum(map(_field.focus, planes)) / len(planes)
