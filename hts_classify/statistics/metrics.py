"""How good calls are: rates by class, and agreement beyond chance.

Counts are kept whole until the one division that makes a figure of them. What is not defined is
None, and so is a mean over it: a figure that the wells do not give is seen to be missing, and is
never a mean of what happens to be left. Levels (tile, field, well, treatment) are the caller's
choice: a row here is whatever was called once, and is named a well.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DataError, UsageError

__all__ = ["Agreement", "ClassRates", "kappa", "macro", "rates"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRates:
    """What a confusion matrix says, class by class and on the whole.

    Macro means are over the classes that some well is, alike however many wells they have.
    """

    precision: tuple[float | None, ...]
    """Share right of what was called so; None for a class that was never called."""
    recall: tuple[float | None, ...]
    """Share called so of what is so; None for a class that no well is."""
    f1: tuple[float | None, ...]
    """Harmonic mean of the two; None only for a class that no well is and none was called."""
    jaccard: tuple[float | None, ...]
    """Share right of what is so or was called so; None as for `f1`."""
    macro_precision: float | None
    """None where a class that occurs was never called."""
    macro_f1: float
    """A class that occurs and was never called counts as 0."""
    macro_jaccard: float
    """As `macro_f1`."""
    balanced_accuracy: float
    """The macro mean of recall."""
    accuracy: float
    """Share of wells called right."""
    kappa: float | None
    """Cohen's, unweighted; None where every well is one class and was called it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far two raters agree on the wells that both named."""

    kappa: float | None
    """Cohen's, unweighted; None for no wells, or where both name one same class throughout."""
    agreed: int
    """Wells that both gave the same name."""
    n: int
    """Wells that both named."""


def rates(confusion: ArrayLike) -> ClassRates:
    """Return the rates of a confusion matrix (Sokolova and Lapalme, Inf. Process. Manag. 2009).

    Parameters
    ----------
    confusion : array_like of int, shape (classes, classes)
        Wells; rows are what a well is, columns what it was called.

    Raises
    ------
    DataError
        When the matrix is not square, holds anything but counts, or holds no wells.

    Examples
    --------
    >>> found = rates([[3, 1, 0], [0, 4, 0], [1, 1, 0]])
    >>> found.precision, found.recall
    ((0.75, 0.6666666666666666, None), (0.75, 1.0, 0.0))
    >>> found.macro_precision, round(found.macro_f1, 3), found.kappa
    (None, 0.517, 0.5)
    """
    counts = np.asarray(confusion)
    where = f"confusion matrix of shape {counts.shape}"
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise DataError("is not square", where=where, remedy="give a row and a column a class")
    if counts.dtype.kind not in "iu" or counts.min(initial=0) < 0:
        raise DataError(
            "holds what are not counts", where=where, remedy="give whole numbers of 0 up"
        )
    if not counts.any():
        raise DataError("holds no wells", where=where, remedy="score at least one well")
    right = [int(n) for n in counts.diagonal()]
    actual, called = counts.sum(axis=1).tolist(), counts.sum(axis=0).tolist()
    either = [a + c for a, c in zip(actual, called, strict=True)]
    precision = tuple(map(_share, right, called))
    recall = tuple(map(_share, right, actual))
    f1 = tuple(_share(2 * r, e) for r, e in zip(right, either, strict=True))
    jaccard = tuple(_share(r, e - r) for r, e in zip(right, either, strict=True))
    return ClassRates(
        precision=precision,
        recall=recall,
        f1=f1,
        jaccard=jaccard,
        macro_precision=macro(precision, actual),
        macro_f1=_defined(macro(f1, actual)),
        macro_jaccard=_defined(macro(jaccard, actual)),
        balanced_accuracy=_defined(macro(recall, actual)),
        accuracy=sum(right) / sum(actual),
        kappa=_kappa(sum(right), actual, called),
    )


def kappa(first: Sequence[str | None], second: Sequence[str | None]) -> Agreement:
    """Return Cohen's kappa of two raters (Educ. Psychol. Meas. 1960, 20:37), unweighted.

    Parameters
    ----------
    first, second : sequence of str or None, length wells
        The name that each rater gave each well; None (or NaN, as empty cells of a table are
        read) where a rater gave none, and the well is then left out.

    Raises
    ------
    UsageError
        When the raters differ in length.
    DataError
        When a name is not text: 1, 1.0 and "1" would be three classes.

    Examples
    --------
    >>> kappa(["up", "up", "down", "down", None], ["up", "up", "down", "up", "up"])
    Agreement(kappa=0.5, agreed=3, n=4)
    """
    if len(first) != len(second):
        raise UsageError(
            f"raters of {len(first)} and {len(second)} wells", remedy="give each rater every well"
        )
    named = [
        (one, other)
        for one, other in zip(_names(first), _names(second), strict=True)
        if one is not None and other is not None
    ]
    agreed = sum(one == other for one, other in named)
    by_first, by_second = (Counter(pair[rater] for pair in named) for rater in (0, 1))
    found = _kappa(agreed, list(by_first.values()), [by_second[name] for name in by_first])
    return Agreement(kappa=found, agreed=agreed, n=len(named))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def macro(values: Sequence[float | None], actual: Sequence[int]) -> float | None:
    """Mean over the classes that occur, None where one of them has no value."""
    occurring = [value for value, wells in zip(values, actual, strict=True) if wells]
    defined = [value for value in occurring if value is not None]
    return float(np.mean(defined)) if len(defined) == len(occurring) else None


def _defined(value: float | None) -> float:
    """Narrow what a class that occurs always has."""
    assert value is not None
    return value


def _kappa(agreed: int, first: Sequence[int], second: Sequence[int]) -> float | None:
    """Kappa from whole numbers, so that an expected agreement of 1 is found exactly."""
    total = sum(first)
    expected = sum(one * other for one, other in zip(first, second, strict=True))
    return _share(agreed * total - expected, total * total - expected)


def _names(rater: Sequence[Any]) -> list[str | None]:
    """Return a rater's names, None for none; anything but text or nothing is refused."""
    names = [None if isinstance(k, float) and math.isnan(k) else k for k in rater]
    for place, name in enumerate(names):
        if name is not None and not isinstance(name, str):
            raise DataError(
                f"a rater's {name!r}", where=f"row {place}", remedy="write text, or None for none"
            )
    return names
