"""Where thresholds come from: a rule, and what it found in an image.

The sums are exact integers (for floats, exact sums of floats), so that the mean and the
deviation are rounded once, and no order of the pixels changes them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
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
    kind, definition, border, threshold, margin, full_scale
        The attributes.

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
        if self.full_scale is None:
            return
        if (self.kind, self.definition) != ("tas", "standard"):
            raise UsageError(
                f"full_scale={self.full_scale} with kind={self.kind!r} and "
                f"definition={self.definition!r}",
                remedy="leave it out: it scales Hamilton's threshold, in tas and standard alone",
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
            return hamilton(maximum)
        if self.full_scale > maximum:
            raise UsageError(
                f"full_scale={self.full_scale} for pixels up to {maximum}",
                remedy=f"give the camera's brightest value, a whole number from 1 to {maximum}",
            )
        return hamilton(self.full_scale)


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


@lru_cache
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
    histogram : ndarray of uint64, shape (levels,), at most 65536
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
    return int(_tas.from_histogram(np.ascontiguousarray(histogram))[0])


def _one_of(value: Any, allowed: tuple[str, ...], what: str) -> None:
    if value not in allowed:
        raise UsageError(f"{value!r} is no {what}", remedy=f"use one of {', '.join(allowed)}")


def _finite(name: str, value: float | None) -> None:
    if value is not None and (not math.isfinite(value) or (name == "margin" and value < 0)):
        raise UsageError(
            f"{name}={value}", remedy="give a finite number of grey levels, the margin >= 0"
        )
