"""TAS first, and the CNN for the wells of which TAS is unsure; and the two of them together.

How sure TAS is, is the probability of its call, calibrated on training folds. Wells below a
threshold go to the CNN, whose call then counts. The threshold is the one that sends the fewest
wells for nine tenths of what the CNN gains over TAS; where it gains nothing, none are sent. A
fold's wells are counted under the threshold that the other folds chose, so that the count is
honest; `predict --cascade` uses the threshold that all folds chose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .errors import DataError

__all__ = ["CASCADE", "Cascade", "Point", "cascade"]

CASCADE: Final = "cascade.json"
"""File beside a run's models with the threshold that all folds chose."""

GAIN: Final = 0.9
"""Share of what the second path gains over the first that a threshold has to reach."""

_POINTS: Final = 101
"""Points of a curve that are kept at the most."""


@dataclass(frozen=True, slots=True)
class Point:
    """One threshold."""

    sent: int
    """Wells that go to the second path."""
    correct: int
    """Wells then called right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascade:
    """What calling in turn would have come to, over the wells that were scored."""

    total: int
    """Wells."""
    curve: tuple[Point, ...]
    """From no well sent to all of them, each time those that the first path is least sure of."""
    threshold: float
    """Wells whose first call is less probable than this are sent: what all folds chose."""
    sent: int | None
    correct: int | None
    """Wells sent, and called right, each fold under the threshold that the others chose; None
    where there is one fold, and no others."""
    together: int
    """Wells called right by the mean of both paths' log-probabilities."""


def cascade(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    truth: NDArray[np.intp],
    folds: NDArray[np.intp],
) -> Cascade:
    """Call wells by a fast path, and by a slow one where the fast one is unsure.

    Parameters
    ----------
    first, second : ndarray of float64, shape (wells, classes)
        What each path deems probable, from models that did not see the well.
    truth : ndarray of int, shape (wells,)
        What each well is: a column of these.
    folds : ndarray of int, shape (wells,)
        Which fold tested it.

    Returns
    -------
    Cascade

    Raises
    ------
    DataError
        For probabilities that are not finite, or no wells.

    Examples
    --------
    >>> sure, unsure, right = [0.9, 0.1], [0.6, 0.4], [0.1, 0.9]
    >>> found = cascade(
    ...     np.array([sure, sure, unsure, unsure]), np.array([sure, sure, right, right]),
    ...     np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]))
    >>> found.curve
    (Point(sent=0, correct=2), Point(sent=2, correct=4), Point(sent=4, correct=4))
    >>> found.sent, found.correct, round(found.threshold, 2)
    (2, 4, 0.75)
    """
    if not len(truth) or not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise DataError(
            f"{len(truth)} wells, with probabilities that are not all finite"
            if len(truth)
            else "no wells",
            remedy="give what both paths deem probable of wells that were scored",
        )
    sure = first.max(axis=1)
    right = first.argmax(axis=1) == truth, second.argmax(axis=1) == truth
    sent = np.zeros(len(truth), bool)
    several = len(np.unique(folds)) > 1
    for fold in np.unique(folds) if several else ():
        own, others = folds == fold, folds != fold
        sent[own] = sure[own] < _choose(sure[others], right[0][others], right[1][others])
    tiny = np.finfo(np.float64).tiny
    both = np.log(np.maximum(first, tiny)) + np.log(np.maximum(second, tiny))
    return Cascade(
        total=len(truth),
        curve=_thinned(_curve(sure, *right)),
        threshold=_choose(sure, *right),
        sent=int(sent.sum()) if several else None,
        correct=int(np.where(sent, right[1], right[0]).sum()) if several else None,
        together=int((both.argmax(axis=1) == truth).sum()),
    )


def _curve(
    sure: NDArray[np.float64], first: NDArray[np.bool_], second: NDArray[np.bool_]
) -> list[Point]:
    """Return a point for each threshold that parts the wells: equally sure ones go together."""
    order = np.argsort(sure, kind="stable")
    won = np.cumsum(second[order].astype(int) - first[order].astype(int))
    ends = np.flatnonzero(np.diff(sure[order], append=np.inf) > 0)
    base = int(first.sum())
    return [Point(0, base), *(Point(int(end) + 1, base + int(won[end])) for end in ends)]


def _choose(
    sure: NDArray[np.float64], first: NDArray[np.bool_], second: NDArray[np.bool_]
) -> float:
    """Return the threshold that sends the fewest wells for most of what the second path gains."""
    gain = int(second.sum()) - int(first.sum())
    if gain <= 0:
        return 0.0
    goal = int(first.sum()) + GAIN * gain
    sent = next(point.sent for point in _curve(sure, first, second) if point.correct >= goal)
    held = np.sort(sure)
    above = held[sent] if sent < len(held) else 1.0
    return float((held[sent - 1] + above) / 2) if sent < len(held) else float(np.nextafter(1.0, 2))


def _thinned(curve: list[Point]) -> tuple[Point, ...]:
    if len(curve) <= _POINTS:
        return tuple(curve)
    kept = np.unique(np.linspace(0, len(curve) - 1, _POINTS).round().astype(int))
    return tuple(curve[k] for k in kept)
