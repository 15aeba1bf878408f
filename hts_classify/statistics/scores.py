"""How good scores are: ranking, and what they deem probable beside what is so.

A figure that is not defined is None, as in `metrics`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError, UsageError
from .metrics import macro

__all__ = ["Bin", "Calibration", "Ranking", "auc", "brier", "calibration", "log_loss"]

_SUM_TOLERANCE: Final = 1e-4
"""Softmax in float32 and tables rounded to five decimals stay inside; raw scores do not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """How well a class's scores tell its wells from all others."""

    auc: tuple[float | None, ...]
    """Area under the ROC curve of each class against the rest; None where nothing compares."""
    macro: float | None
    """Mean over the classes that some well is; None where one of those has no area."""
    pairs: tuple[int, ...]
    """Pairs of a well of the class and a well of another that each area is the share of."""
    undefined: tuple[tuple[int, ...], ...]
    """For each class, the folds that give no such pair; empty where folds were not told apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """The wells whose calls were about equally confident."""

    low: float
    """Confidence is above this."""
    high: float
    """Confidence is this or less."""
    count: int
    """Wells in the bin, one at least."""
    confidence: float
    """Mean probability of the class that was called."""
    correct: int
    """Wells that were called right."""

    @property
    def accuracy(self) -> float:
        """Share of the bin's wells called right."""
        return self.correct / self.count

    @property
    def gap(self) -> float:
        """What confidence promises beyond what is right; below 0 where it promises too little."""
        return self.confidence - self.accuracy


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Whether calls are right as often as their probabilities say."""

    bins: tuple[Bin, ...]
    """The reliability curve; bins without wells are left out."""
    ece: float
    """Expected calibration error: the mean absolute gap, over wells."""
    largest_gap: float
    """The largest absolute gap of any bin, however few wells are in it."""


def auc(
    truth: Sequence[str],
    log_odds: ArrayLike,
    classes: Sequence[str],
    folds: Sequence[int] | None = None,
) -> Ranking:
    """Return the area under the ROC curve of each class against the rest; ties count half.

    It is the share of pairs, a well of the class and a well of another, in which the first has
    the higher score (Hanley and McNeil, Radiology 1982, 143:29): Mann and Whitney's U.

    Parameters
    ----------
    truth : sequence of str, length wells
        What each well is.
    log_odds : array_like of float, shape (wells, classes)
        Out-of-fold scores, higher for likelier; infinite ones are allowed. Without `folds`, wells
        that different models scored are compared, and only calibrated scores bear that: it is the
        caller's duty to calibrate them, and nothing here can check it.
    classes : sequence of str
        The column of each class.
    folds : sequence of int, length wells, optional
        The fold that scored each well: only wells of one fold are then compared, which asks
        nothing of the calibration. A fold of a single class gives no pairs, and is named.

    Raises
    ------
    UsageError
        When lengths, columns or classes do not fit each other.
    DataError
        When a well is none of the classes, or a score is NaN.

    Examples
    --------
    >>> found = auc("aabb", [[2, -2], [0, 0], [0, 0], [-1, 1]], "ab")
    >>> found.auc, found.macro, found.pairs
    ((0.875, 0.875), 0.875, (4, 4))
    >>> auc("aabb", [[2, -2], [0, 0], [0, 0], [-1, 1]], "ab", folds=[0, 1, 1, 1]).undefined
    ((0,), (0,))
    """
    numbers, scores = _rows(truth, log_odds, classes)
    if np.isnan(scores).any():
        place = int(np.isnan(scores).any(axis=1).argmax())
        raise DataError("NaN for a score", where=f"row {place}", remedy="leave the well out")
    if folds is not None and len(folds) != len(numbers):
        raise UsageError(
            f"folds of {len(folds)} wells for {len(numbers)}", remedy="give every well its fold"
        )
    areas, pairs, undefined = [], [], []
    for k in range(len(classes)):
        wins, count, lacking = _compare(scores[:, k], numbers == k, folds)
        areas.append(wins / count if count else None)
        pairs.append(count)
        undefined.append(lacking)
    actual = np.bincount(numbers, minlength=len(classes)).tolist()
    return Ranking(
        auc=tuple(areas),
        macro=macro(areas, actual),
        pairs=tuple(pairs),
        undefined=tuple(undefined),
    )


def log_loss(truth: Sequence[str], proba: ArrayLike, classes: Sequence[str]) -> float:
    """Return the mean of -ln(probability of what a well is): 0 at best (Good, JRSS B 1952, 14:107).

    Parameters
    ----------
    truth : sequence of str, length wells
        What each well is.
    proba : array_like of float, shape (wells, classes)
        Calibrated probabilities. Those under 2.2e-16, the spacing of floats at 1, count as that:
        one well that was ruled out costs 36, not infinity.
    classes : sequence of str
        The column of each class.

    Raises
    ------
    UsageError
        When lengths, columns or classes do not fit each other.
    DataError
        When a well is none of the classes, or its row does not hold probabilities.

    Examples
    --------
    >>> round(log_loss("ab", [[0.5, 0.5], [0.75, 0.25]], "ab"), 4)  # (ln 2 + ln 4) / 2
    1.0397
    """
    numbers, found = _probabilities(truth, proba, classes)
    own = found[np.arange(len(numbers)), numbers]
    # max, since minus the logarithm of a 1 that is a hair above it would be less than nothing
    return max(0.0, float(-np.log(np.maximum(own, np.finfo(np.float64).eps)).mean()))


def brier(truth: Sequence[str], proba: ArrayLike, classes: Sequence[str]) -> float:
    """Return Brier's score, from 0 at best to 2 (Monthly Weather Review 1950, 78:1).

    The mean over wells of the squared distance, summed over all classes, between probabilities
    and a 1 for what the well is. The score for two classes that others halve is from 0 to 1.

    Parameters
    ----------
    truth, proba, classes
        As for `log_loss`.

    Raises
    ------
    UsageError, DataError
        As for `log_loss`.

    Examples
    --------
    >>> brier("ab", [[0.5, 0.5], [0.75, 0.25]], "ab")  # (2 * 0.25 + 2 * 0.5625) / 2
    0.8125
    """
    numbers, found = _probabilities(truth, proba, classes)
    return float(((found - np.eye(len(classes))[numbers]) ** 2).sum(axis=1).mean())


def calibration(
    truth: Sequence[str], proba: ArrayLike, classes: Sequence[str], bins: int = 15
) -> Calibration:
    """Return how often calls of each confidence are right (Guo et al., ICML 2017, section 2).

    The class called is the most probable, the first of equals; its probability is the confidence.

    Parameters
    ----------
    truth, proba, classes
        As for `log_loss`.
    bins : int, optional
        Bins of equal width over [0, 1], each without its lower and with its upper edge.

    Raises
    ------
    UsageError, DataError
        As for `log_loss`; also for less than one bin.

    Examples
    --------
    >>> found = calibration("aab", [[0.9, 0.1], [0.3, 0.7], [0.3, 0.7]], "ab", bins=5)
    >>> [(b.count, b.correct, round(b.confidence, 3)) for b in found.bins]
    [(2, 1, 0.7), (1, 1, 0.9)]
    >>> round(found.ece, 4), round(found.largest_gap, 4)  # (2 * 0.2 + 1 * 0.1) / 3
    (0.1667, 0.2)
    """
    if bins < 1:
        raise UsageError(f"bins={bins}", remedy="ask for one bin or more")
    numbers, found = _probabilities(truth, proba, classes)
    confidence, right = found.max(axis=1), found.argmax(axis=1) == numbers
    # k / bins, and not k times a rounded width: 0.6 of 15 bins is then the edge that it looks like
    edges = np.arange(bins + 1) / bins
    own = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    curve = tuple(
        Bin(
            low=float(edges[k]),
            high=float(edges[k + 1]),
            count=int((own == k).sum()),
            confidence=float(confidence[own == k].mean()),
            correct=int(right[own == k].sum()),
        )
        for k in np.unique(own)
    )
    gaps = [abs(b.gap) for b in curve]
    ece = math.fsum(b.count * gap for b, gap in zip(curve, gaps, strict=True)) / len(numbers)
    return Calibration(bins=curve, ece=ece, largest_gap=max(gaps))


def _rows(
    truth: Sequence[str], values: ArrayLike, classes: Sequence[str]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Check that rows, columns and names fit; return the column of each well's class."""
    table = np.asarray(values, np.float64)
    column = {name: k for k, name in enumerate(classes)}
    if len(column) != len(classes):
        raise UsageError(f"classes {', '.join(classes)}", remedy="name each class once")
    if table.shape != (len(truth), len(classes)):
        raise UsageError(
            f"scores of shape {table.shape} for {len(truth)} wells and {len(classes)} classes",
            remedy="give a row a well and a column a class",
        )
    if not len(truth):
        raise DataError("no wells", remedy="score at least one well")
    for place, name in enumerate(truth):
        if name not in column:
            raise DataError(
                f"class {name!r} is not among {', '.join(classes)}",
                where=f"row {place}",
                remedy="leave out wells that no class is known of",
            )
    return np.array([column[name] for name in truth], np.intp), table


def _probabilities(
    truth: Sequence[str], proba: ArrayLike, classes: Sequence[str]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Check rows as `_rows`, and that each adds up to 1."""
    numbers, found = _rows(truth, proba, classes)
    fits = np.abs(np.where(found >= 0, found, np.inf).sum(axis=1) - 1) <= _SUM_TOLERANCE
    if not fits.all():
        place = int((~fits).argmax())
        raise DataError(
            f"{found[place].tolist()} are not probabilities",
            where=f"row {place}",
            remedy="calibrate the scores first, so that each row adds up to 1",
        )
    return numbers, found


def _compare(
    scores: NDArray[np.float64], positive: NDArray[np.bool_], folds: Sequence[int] | None
) -> tuple[float, int, tuple[int, ...]]:
    """Return the pairs that a class's wells win, the pairs, and the folds without any."""
    from scipy import stats

    if folds is None:
        parts = {-1: np.ones(len(scores), bool)}
    else:
        parts = {int(fold): np.asarray(folds) == fold for fold in np.unique(np.asarray(folds))}
    wins, pairs, lacking = 0.0, 0, []
    for fold, part in parts.items():
        own = positive[part]
        count, others = int(own.sum()), int((~own).sum())
        if not count * others:
            lacking.append(fold)
            continue
        # Ranks are halves of whole numbers: these sums are exact.
        wins += float(stats.rankdata(scores[part])[own].sum()) - count * (count + 1) / 2
        pairs += count * others
    return wins, pairs, tuple(lacking) if folds is not None else ()
