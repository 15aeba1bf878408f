"""How good a path's calls are: counts first, then rates with what the design lets them say.

Intervals are at the unit that is independent, the split group: wells of one compound are not
independent looks at a class. What rests on probabilities (ranking, log-loss, calibration) needs
them calibrated on training folds, and on one scale over all folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .statistics.intervals import Interval, accuracy_interval, stated_coverage
from .statistics.metrics import ClassRates, rates
from .statistics.scores import Calibration, Ranking, auc, brier, calibration, log_loss
from .vocabulary import BATCH, PLATE, WELL, split_well

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Evaluation",
    "Position",
    "Probable",
    "evaluate",
    "log_odds",
    "positions",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probable:
    """How good the probabilities are that a path gives its calls."""

    log_loss: float
    brier: float
    ranking: Ranking
    """Area under the ROC curve of each class, over all folds."""
    calibration: Calibration
    """Of the called class, in 15 bins of equal width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One path's calls against what the wells, fields or treatments are."""

    classes: tuple[str, ...]
    correct: int
    total: int
    groups: int
    """Split groups among them."""
    interval: Interval | None
    """95%, of the accuracy; none for a single group."""
    coverage: float | None
    """How often such an interval held the truth in simulation, in the nearest design."""
    confusion: tuple[tuple[int, ...], ...]
    """Rows are what a well is, columns what it was called."""
    rates: ClassRates
    """By class and over all of them."""
    probable: Probable | None
    """None without probabilities."""

    @property
    def accuracy(self) -> float:
        """Share called right."""
        return self.correct / self.total

    @property
    def recalls(self) -> tuple[float | None, ...]:
        """Share called right of each class; None for a class that none is."""
        return self.rates.recall

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that are scored."""
        return self.rates.balanced_accuracy

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON types, rates beside the counts."""
        return asdict(self) | {
            "accuracy": self.accuracy,
            "balanced_accuracy": self.balanced_accuracy,
            "recalls": self.recalls,
        }


def evaluate(
    truth: Sequence[str],
    called: Sequence[str],
    *,
    groups: Sequence[Any],
    classes: Sequence[str],
    proba: NDArray[np.float64] | None = None,
) -> Evaluation:
    """Judge calls, one a well.

    Parameters
    ----------
    truth, called : sequence of str, length wells
        What each well is, and what it was called.
    groups : sequence, length wells
        The unit that was left out together.
    classes : sequence of str
        Every class that a call can name.
    proba : ndarray of float64, shape (wells, classes), optional
        What each class was deemed probable, calibrated on training folds; NaN for a class that a
        fold's model was not trained on, which then has no area under its ROC curve.

    Examples
    --------
    >>> result = evaluate("aabb", "aabc", groups=range(4), classes="abc")
    >>> f"{result.correct}/{result.total}", result.balanced_accuracy, result.confusion[1]
    ('3/4', 0.75, (0, 1, 1))
    """
    index = {name: k for k, name in enumerate(classes)}
    confusion = np.zeros((len(index), len(index)), int)
    for true, call in zip(truth, called, strict=True):
        confusion[index[true], index[call]] += 1
    correct = np.asarray([t == c for t, c in zip(truth, called, strict=True)], bool)
    count = len({str(group) for group in groups})
    share = float(correct.mean())
    return Evaluation(
        classes=tuple(classes),
        correct=int(correct.sum()),
        total=len(correct),
        groups=count,
        interval=accuracy_interval(correct, groups),
        coverage=stated_coverage(count, share, clustered=count < len(correct))
        if count > 1
        else None,
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
        rates=rates(confusion),
        probable=None if proba is None else _probable(truth, proba, classes),
    )


def log_odds(proba: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithm of each class's probability over that of all others together.

    Examples
    --------
    >>> log_odds(np.array([[0.5, 0.25, 0.25]])).round(3).tolist()
    [[0.0, -1.099, -1.099]]
    """
    # the others are added up: 1 - p has no digits left where p is nearly 1
    tiny, others = np.finfo(np.float64).tiny, proba @ (1 - np.eye(proba.shape[1]))
    found = np.log(np.maximum(proba, tiny)) - np.log(np.maximum(others, tiny))
    return np.asarray(found, np.float64)


def _probable(truth: Sequence[str], proba: NDArray[np.float64], classes: Sequence[str]) -> Probable:
    lacking = np.atleast_1d(np.isnan(proba).any(axis=0))
    proba = np.nan_to_num(proba)
    ranking = auc(truth, log_odds(proba), classes)
    if lacking.any():
        known = [None if lacking[k] else area for k, area in enumerate(ranking.auc)]
        ranking = replace(ranking, auc=tuple(known), macro=None)
    return Probable(
        log_loss=log_loss(truth, proba, classes),
        brier=brier(truth, proba, classes),
        ranking=ranking,
        calibration=calibration(truth, proba, classes),
    )


@dataclass(frozen=True, slots=True)
class Position:
    """How many wells their place alone would have called right, under the same folds."""

    place: str
    """`row`, `column`, `plate` or `batch`; or `anywhere`, where the commonest class is called."""
    correct: int
    total: int
    separates: bool
    """Whether in some training fold no two classes share a place that several wells share: what
    is learnt there can be the place instead of the phenotype, whatever the count above."""


def positions(
    wells: pd.DataFrame, target: str, folds: Sequence[tuple[NDArray[Any], NDArray[Any]]]
) -> list[Position]:
    """Call each well by where it is: the commonest class of its place in the training folds.

    A place that tells the classes apart as well as a path does means that the path may have
    learnt the place. A plate or batch column with a single value is left out. The first is
    `anywhere`: what is right without knowing even the place.

    Parameters
    ----------
    wells : DataFrame
        The joined plate map, one row a well.
    target : str
        Column of the classes.
    folds : sequence of (training, tested)
        Masks over the wells, as the paths see them.
    """
    names = wells[WELL].map(split_well)
    places = {
        "anywhere": wells[PLATE].map(lambda _plate: ""),
        "row": wells[PLATE] + "/" + names.str[0],
        "column": wells[PLATE] + "/" + names.str[1].astype(str),
    }
    places |= {
        place: wells[column].fillna("")
        for place, column in (("plate", PLATE), ("batch", BATCH))
        if column in wells and wells[column].nunique() > 1
    }
    return [_position(place, value, wells[target], folds) for place, value in places.items()]


def _position(
    place: str,
    value: pd.Series[Any],
    truth: pd.Series[Any],
    folds: Sequence[tuple[NDArray[Any], NDArray[Any]]],
) -> Position:
    correct = total = 0
    separates = False
    for training, tested in folds:
        seen = truth[training]
        held = seen.groupby(value[training]).nunique()
        separates |= bool((held == 1).all()) and 2 * len(held) <= len(seen)
        usual = seen.groupby(value[training]).agg(lambda classes: classes.mode().iloc[0])
        calls = value[tested].map(usual).fillna(seen.mode().iloc[0])
        correct += int((calls == truth[tested]).sum())
        total += len(calls)
    return Position(place, correct, total, separates)
