"""How good a path's calls are: counts first, then rates with what the design lets them say.

Intervals are at the unit that is independent, the split group. Wells of one compound are not
independent looks at a class, so the interval for a proportion shrinks the number of wells to
an effective one (Korn and Graubard, Survey Methodology 1998, 24:193) and then is the exact one
of Clopper and Pearson (Biometrika 1934, 26:404). It is never [1, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .vocabulary import (
    BATCH,
    CALL,
    COMPOUND,
    CONCENTRATION,
    PATH,
    PLATE,
    SCORE,
    WELL,
    split_well,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "DoseResponse",
    "Evaluation",
    "Interval",
    "Position",
    "dose_responses",
    "evaluate",
    "positions",
    "proportion_interval",
]

_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95% interval for a proportion."""

    low: float
    high: float
    effective: float
    """Number of independent observations that the wells are worth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One path's calls against what the wells are."""

    classes: tuple[str, ...]
    correct: int
    total: int
    groups: int
    """Split groups among the wells."""
    interval: Interval | None
    """Of the accuracy; none for a single group."""
    confusion: tuple[tuple[int, ...], ...]
    """Rows are what a well is, columns what it was called."""

    @property
    def accuracy(self) -> float:
        """Share of wells called right."""
        return self.correct / self.total

    @property
    def recalls(self) -> tuple[float | None, ...]:
        """Share called right of each class; None for a class that no well has."""
        return tuple(
            row[k] / sum(row) if sum(row) else None for k, row in enumerate(self.confusion)
        )

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that are scored."""
        return float(np.mean([recall for recall in self.recalls if recall is not None]))


def proportion_interval(correct: NDArray[np.bool_], groups: Sequence[Any]) -> Interval | None:
    """Return a 95% interval for the share of right calls among wells that come in groups.

    Parameters
    ----------
    correct : ndarray of bool, shape (wells,)
        Whether each well was called right.
    groups : sequence, length wells
        Its split group.

    Returns
    -------
    Interval or None
        None for fewer than two groups. Where all wells are right, or all wrong, nothing is known
        of how groups differ, and each counts as one observation.

    Examples
    --------
    >>> wells = np.ones(24, bool)
    >>> interval = proportion_interval(wells, ["wortmannin"] * 12 + ["LY294002"] * 12)
    >>> round(interval.low, 2), interval.high, interval.effective
    (0.16, 1.0, 2.0)
    >>> round(proportion_interval(wells, range(24)).low, 2)
    0.86
    """
    from scipy import stats

    _, members = np.unique(np.asarray(groups, str), return_inverse=True)
    sizes = np.bincount(members)
    count, total = len(sizes), len(correct)
    if count < 2:
        return None
    share = float(np.mean(correct))
    # Variance of a ratio over groups; the residuals sum to zero by construction.
    residuals = np.bincount(members, weights=correct.astype(float)) - share * sizes
    variance = count / (count - 1) * float(np.sum(residuals**2)) / total**2
    if count == total:
        effective = float(total)
    elif share in (0.0, 1.0):
        effective = float(count)
    else:
        half = (1 + _LEVEL) / 2
        shrink = (stats.t.ppf(half, total - 1) / stats.t.ppf(half, count - 1)) ** 2
        # Wells that agree wholly within their groups are still worth one each a group.
        effective = float(
            np.clip(share * (1 - share) / max(variance, 1e-12) * shrink, count, total)
        )
    right, tail = share * effective, (1 - _LEVEL) / 2
    wrong = effective - right
    low = stats.beta.ppf(tail, right, wrong + 1) if right > 1e-9 else 0.0
    high = stats.beta.ppf(1 - tail, right + 1, wrong) if wrong > 1e-9 else 1.0
    # No pattern of wells says more for a path than all groups right, nor more against it than
    # all wrong; and there nothing is known of how groups differ.
    bound = float(stats.beta.ppf(tail, count, 1))
    return Interval(min(float(low), bound), max(float(high), 1 - bound), effective)


def evaluate(
    truth: Sequence[str], called: Sequence[str], *, groups: Sequence[Any], classes: Sequence[str]
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
    return Evaluation(
        classes=tuple(classes),
        correct=int(correct.sum()),
        total=len(correct),
        groups=len(set(groups)),
        interval=proportion_interval(correct, groups),
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class DoseResponse:
    """What one path says of one compound's wells that have no class, dose by dose."""

    path: str
    compound: str
    target: str
    """The class whose calls and scores are followed."""
    doses: tuple[tuple[float, int, int], ...]
    """Concentration, wells called `target`, wells."""
    rho: float | None
    """Spearman's rank correlation of the class's score with concentration, over wells."""


def dose_responses(wells: pd.DataFrame, classes: Sequence[str]) -> list[DoseResponse]:
    """Follow each class over each compound's concentrations.

    Parameters
    ----------
    wells : DataFrame
        Well-level predictions of wells without a class, with path, class, a score for each
        class and the plate map's compound and concentration.
    classes : sequence of str
        Classes to follow; of two, the second says it all.

    Returns
    -------
    list of DoseResponse
        Empty without compounds or concentrations; compounds with fewer than three different
        concentrations are left out.
    """
    from scipy import stats

    if COMPOUND not in wells or CONCENTRATION not in wells:
        return []
    found = []
    for (path, compound), part in wells.groupby([PATH, COMPOUND], sort=True):
        part = part[part[CONCENTRATION].notna()]
        if part[CONCENTRATION].nunique() < 3:
            continue
        for name in list(classes)[1:] if len(classes) == 2 else classes:
            score, hit = part[f"{SCORE}{name}"], part[CALL] == name
            by_dose = hit.groupby(part[CONCENTRATION]).agg(["sum", "size"])
            rho = (
                float(stats.spearmanr(score, part[CONCENTRATION]).statistic)
                if score.nunique() > 1
                else None
            )
            doses = tuple(
                (float(dose), int(n), int(of))
                for dose, n, of in by_dose.itertuples(index=True, name=None)
            )
            found.append(
                DoseResponse(
                    path=str(path), compound=str(compound), target=name, doses=doses, rho=rho
                )
            )
    return found
