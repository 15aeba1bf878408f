"""Where thresholds come from: a rule, and what it found in an image.

The sums are exact integers (for floats, exact sums of floats), so that the mean and the
deviation are rounded once, and no order of the pixels changes them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from numbers import Real
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..vocabulary import FeatureKind
from . import _tas, mahotas

__all__ = ["Border", "Definition", "Rule", "Thresholds", "hamilton", "otsu"]

Definition = Literal["standard", "mahotas"]
Border = Literal["constant", "reflect"]


@dataclass(frozen=True, slots=True)
class Rule:
    """How statistics are taken: the rule for T and m, and the definition.

    Parameters
    ----------
    kind : {"pftas", "tas"}, optional
        T is Otsu's and m the standard deviation of the pixels > T; or both are fixed.
    definition : {"standard", "mahotas"}, optional
        `"mahotas"` equals mahotas 1.4.19 to the last bit, in its order.
    border : {"constant", "reflect"}, optional
        What is outside the image: off, unless given; or the edge pixel once more.
    threshold, margin : float, optional
        T and m in grey levels, in place of the kind's.
    full_scale : int, optional
        The brightest value that the camera writes, which scales a fixed T and m.

    Raises
    ------
    UsageError
        When a parameter has no such value, or no meaning beside another.

    Examples
    --------
    >>> Rule("tas", full_scale=4095).fixed(65535)
    482
    """

    kind: FeatureKind = "pftas"
    """`"pftas"`: T is Otsu's and m the standard deviation; `"tas"`: both are fixed."""
    definition: Definition = "standard"
    """`"mahotas"` equals mahotas 1.4.19 to the last bit, in its order."""
    border: Border | None = None
    """What is outside the image: off (`"constant"`, unless given), or the edge pixel once more
    (`"reflect"`, which mahotas's definition has always)."""
    threshold: float | None = None
    """T in grey levels, in place of the rule's."""
    margin: float | None = None
    """m in grey levels, in place of the rule's."""
    full_scale: int | None = None
    """The brightest value that the camera writes: scales the fixed T and m; the type's largest
    unless given."""

    def __post_init__(self) -> None:
        _one_of(self.kind, get_args(FeatureKind), "kind of feature")
        _one_of(self.definition, get_args(Definition), "definition")
        if self.border is not None:
            _one_of(self.border, get_args(Border), "border")
        if self.border == "constant" and self.definition == "mahotas":
            raise UsageError(
                "border='constant' with definition='mahotas'",
                remedy="leave it out: mahotas reflects",
            )
        _finite("threshold", self.threshold)
        _finite("margin", self.margin)
        _finite("full_scale", self.full_scale)
        if self.full_scale is None:
            return
        is_scaled = (self.kind, self.definition) == ("tas", "standard")
        if not is_scaled or None not in (self.threshold, self.margin):
            raise UsageError(
                f"full_scale={self.full_scale} with {self.kind}, {self.definition} definition,"
                f" threshold={self.threshold}, margin={self.margin}",
                remedy="leave it out: it scales Hamilton's threshold and margin, of tas in the"
                " standard definition, where they are not given",
            )
        if not 1 <= self.full_scale <= 65535 or self.full_scale % 1:
            raise UsageError(
                f"full_scale={self.full_scale}",
                remedy="give the camera's brightest value, a whole number from 1 to 65535",
            )

    def fixed(self, maximum: int) -> int | None:
        """Return the T and m that are fixed for pixels up to `maximum`; None where found.

        Raises
        ------
        UsageError
            When `full_scale` is more than the pixels hold.

        Examples
        --------
        >>> Rule("tas").fixed(255), Rule("tas").fixed(65535), Rule("pftas").fixed(255)
        (30, 7710, None)
        """
        if self.kind != "tas":
            return None
        if self.definition == "mahotas":
            return mahotas.THRESHOLD
        if self.full_scale is None:
            return _scaled(maximum)
        if self.full_scale > maximum:
            raise UsageError(
                f"full_scale={self.full_scale} for pixels up to {maximum}",
                remedy=f"give the camera's brightest value, a whole number from 1 to {maximum}",
            )
        return hamilton(self.full_scale)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
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


def hamilton(full_scale: int) -> int:
    """Return the fixed threshold, and margin, of Hamilton et al.: 30 on a scale up to 255.

    Parameters
    ----------
    full_scale : int
        The brightest value that the camera writes: 255, 4095, 65535.

    Returns
    -------
    int
        round(30 · full_scale / 255), halves to even.

    Raises
    ------
    UsageError
        When it is no whole number from 1.

    References
    ----------
    Hamilton et al., BMC Bioinformatics 2007, 8:110.

    Examples
    --------
    >>> hamilton(255), hamilton(4095), hamilton(65535)
    (30, 482, 7710)
    """
    _finite("full_scale", full_scale)
    if full_scale < 1 or full_scale % 1:
        raise UsageError(f"full_scale={full_scale}", remedy="give a whole number from 1")
    return _scaled(int(full_scale))


@lru_cache
def _scaled(full_scale: int) -> int:
    return round(Fraction(30 * full_scale, 255))


def otsu(histogram: NDArray[np.integer[Any]]) -> int:
    """Return the threshold that separates two classes best; the smallest of equally good ones.

    Parameters
    ----------
    histogram : ndarray of integers, shape (levels,), at most 65536
        How many pixels have the values 0, 1, 2, …

    Returns
    -------
    int
        The T that maximises the variance between pixels <= T and pixels > T, ties decided
        exactly. A constant image has no two classes: 0.

    Raises
    ------
    UsageError
        When the histogram is none.

    References
    ----------
    Otsu, IEEE Trans. Syst. Man Cybern. 1979, 9(1):62.

    Examples
    --------
    >>> otsu(np.bincount([10, 11, 12, 90, 91]))
    12
    """
    counts = np.asarray(histogram)
    is_one = counts.dtype.kind in "iu" and counts.ndim == 1 and 0 < len(counts) <= 65536
    if not is_one or counts.min() < 0 or counts.sum(dtype=float) > 2**38:
        raise UsageError(
            f"histogram of dtype {counts.dtype} and shape {counts.shape}",
            remedy="pass 1 to 65536 counts, of up to 2³⁸ pixels, as np.bincount returns them",
        )
    return int(_tas.from_histogram(np.ascontiguousarray(counts, dtype=np.uint64))[0])


def _one_of(value: Any, allowed: tuple[str, ...], what: str) -> None:
    if not isinstance(value, str) or value not in allowed:
        raise UsageError(f"{value!r} is no {what}", remedy=f"use one of {', '.join(allowed)}")


def _finite(name: str, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, Real) or isinstance(value, bool):
        raise UsageError(f"{name}={value!r}", remedy="give a number of grey levels")
    try:
        is_fine = math.isfinite(value) and (name != "margin" or float(value) >= 0)
    except OverflowError:
        is_fine = False
    if not is_fine:
        raise UsageError(
            f"{name}={value}", remedy="give a finite number of grey levels, the margin >= 0"
        )
