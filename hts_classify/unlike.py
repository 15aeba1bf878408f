"""Wells unlike everything that a model learned from: none of the classes.

A classifier answers with one of its classes whatever it is shown: a toxic dose, a phenotype that
nobody named, a well out of focus. How far a well lies from the nearest training well, among the
points in which its model sees wells, tells them apart (Sun et al., ICML 2022: distances to nearest
neighbours, without a model of what is unknown). How far is too far, known wells say that were held
out: for those of a fold the wells of the other folds, for wells without a class all of them.

A network learns to forget what does not tell its classes apart, so that it can see a well that is
none of them as one of them; statistics that were taken for no purpose forget nothing. Of twenty
wells that are one of the classes, one is expected to be flagged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from .nearest import METRICS, in_parts
from .vocabulary import (
    CALL,
    DISTANCE,
    FOLD,
    LEVEL,
    PATH,
    PLATE,
    PROFILE,
    TARGET,
    TRAINED,
    UNLIKE,
    WELL,
    columns_with,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "SHARE",
    "UNLIKE_CARD",
    "Flagged",
    "flagged",
    "joined",
    "judged",
    "known_wells",
    "limit",
    "measured",
    "relative",
    "typical",
    "with_unlike",
]

SHARE: Final = 0.05
"""Of wells that are one of the classes, how many are flagged."""

UNLIKE_CARD: Final = "unlike.json"
"""File in the folder of models with each path's limit."""

_Points = NDArray[np.float64]

_FAR: Final = 10.0
"""Deviations of the training wells' that a feature is away at the most."""
_SAME: Final = 1e-9
"""Distances below are rounding: a typical one like that is no unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flagged:
    """How one path's flags fall."""

    path: str
    limit: float | None
    """Distance beyond which a well without a class is flagged; None where too few wells were held
    out to say."""
    known: int
    known_flagged: int
    """Wells that were tested, and flagged among them."""
    correct: int
    correct_flagged: int
    """Of these how many were called right; of the flagged ones."""
    unlabelled: int
    unlabelled_flagged: int
    """The same of wells without a class."""


def known_wells(models: Path, path: str) -> Path:
    """Return the file in a folder of models that says how a path's sees what it learned from."""
    return models / f"known-{path}.parquet"


def typical(points: _Points, metric: str) -> float:
    """Return how far a training well is from its nearest, the median: the unit of distances.

    1 where that says nothing: for a single well, or wells that all look the same.

    Examples
    --------
    >>> typical(np.array([[0.0], [2.0], [3.0], [9.0]]), "euclidean")
    1.5
    """
    nearest = _nearest(points, points, metric, itself=True)
    some = nearest[np.isfinite(nearest)]
    unit = float(np.median(some)) if len(some) else 1.0
    return unit if unit > _SAME else 1.0


def relative(points: _Points, known: _Points, metric: str) -> _Points:
    """Return how far each well is from the nearest training well, in the unit of `typical`.

    A single feature that hardly varied among the training wells could be hundreds of their
    deviations away in any other: each counts for 10 at the most.

    Parameters
    ----------
    points : ndarray of float64, shape (wells, features)
        How a model sees the wells that it calls.
    known : ndarray of float64, shape (training wells, features)
        How it sees those that it learned from, at least one.
    metric : {"euclidean", "cosine"}
        See `nearest.METRICS`.

    Examples
    --------
    >>> relative(np.array([[3.0]]), np.array([[0.0], [2.0]]), "euclidean").tolist()
    [0.5]
    """
    centre, spread = known.mean(axis=0), known.std(axis=0)
    points = np.clip(points, centre - _FAR * spread, centre + _FAR * spread)
    return _nearest(points, known, metric) / typical(known, metric)


def _nearest(points: _Points, others: _Points, metric: str, *, itself: bool = False) -> _Points:
    """Return how far each point is from the nearest of others, a part of them at a time."""
    found = np.full(len(points), np.inf)
    for part, apart in in_parts(points, others, metric):
        if itself:
            np.fill_diagonal(apart[:, part.start :], np.inf)
        found[part] = apart.min(axis=1)
    return found


def limit(held: Iterable[float], share: float = SHARE) -> float | None:
    """Return the distance that a share of wells like these goes beyond at the most.

    Parameters
    ----------
    held : iterable of float
        Distances of wells that are one of the classes and were not learned from.
    share : float, optional
        Of wells that are exchangeable with these, so many lie beyond, on average over samples
        (split conformal prediction: Vovk et al., Algorithmic Learning in a Random World, 2005).

    Returns
    -------
    float or None
        None where they are too few to say, fewer than 19 for a share of 0.05, or so many have
        no distance.

    Examples
    --------
    >>> limit(range(1, 20)), limit(range(1, 19))
    (19.0, None)
    """
    ordered = sorted(value if math.isfinite(value) else math.inf for value in held)
    place = math.ceil(round((len(ordered) + 1) * (1 - share), 9))
    if place > len(ordered) or not math.isfinite(ordered[place - 1]):
        return None
    return float(ordered[place - 1])


def with_unlike(
    table: pd.DataFrame, sights: Mapping[tuple[str, int], pd.DataFrame]
) -> tuple[pd.DataFrame, dict[str, float | None]]:
    """Add to the wells of a table how far each is from what was learned, and whether too far.

    Parameters
    ----------
    table : DataFrame
        Calls.
    sights : mapping
        For each path and fold (−1 for the model of all labelled wells) how the model sees wells:
        plate, well, `Trained`, `Profile_0`, ….

    Returns
    -------
    table : DataFrame
        With `Distance` and `Unlike`; missing in rows of fields and treatments, `Unlike` also where
        too few other wells were held out.
    limits : dict
        For each path that of the model of all labelled wells.
    """
    import pandas as pd

    parts = {
        (path, fold): measured(seen[~seen[TRAINED]], seen[seen[TRAINED]], path=path, fold=fold)
        for (path, fold), seen in sights.items()
    }
    found, limits = [], {}
    for (path, fold), part in parts.items():
        others = [
            other[DISTANCE]
            for (theirs, held), other in parts.items()
            if theirs == path and held >= 0 and held != fold
        ]
        most = limit(value for other in others for value in other)
        found.append(judged(part, most))
        if fold < 0:
            limits[path] = most
    return joined(table, pd.concat(found, ignore_index=True)), limits


def measured(seen: pd.DataFrame, known: pd.DataFrame, *, path: str, fold: int = -1) -> pd.DataFrame:
    """Return how far wells are from those that a model learned from, a row a well.

    Parameters
    ----------
    seen, known : DataFrame
        How the model sees wells that it calls, and those that it learned from.
    path : str
    fold : int, optional
        Whose model it is.
    """
    points, others = (
        part[columns_with(PROFILE, part)].to_numpy(np.float64) for part in (seen, known)
    )
    wells = seen[[PLATE, WELL]].reset_index(drop=True)
    wells[PATH], wells[FOLD], wells[DISTANCE] = path, fold, relative(points, others, METRICS[path])
    return wells


def judged(wells: pd.DataFrame, most: float | None) -> pd.DataFrame:
    """Say of measured wells which are too far; of none where nobody knows how far that is."""
    import pandas as pd

    far: Any = pd.NA if most is None else wells[DISTANCE] > most
    found = wells.copy()
    found[UNLIKE] = far
    return found.astype({UNLIKE: "boolean"})


def joined(table: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Add `Distance` and `Unlike` to the wells of a table, before the scores' columns."""
    keys = [PATH, FOLD, PLATE, WELL]
    wells = table[LEVEL] == "well"
    about = table.loc[wells, keys].merge(found, on=keys, how="left", validate="one_to_one")
    place = list(table).index(CALL) + 2  # after the call's margin
    table = table.copy()
    for k, column in enumerate((DISTANCE, UNLIKE)):
        table.insert(place + k, column, about[column].set_axis(table.index[wells]))
    return table


def flagged(table: pd.DataFrame, limits: Mapping[str, float | None]) -> list[Flagged]:
    """Count each path's flags.

    Parameters
    ----------
    table : DataFrame
        Calls, as `with_unlike` returns them.
    limits : mapping
        As it returns them.
    """
    return [
        _counted(path, most, table[(table[LEVEL] == "well") & (table[PATH] == path)])
        for path, most in limits.items()
    ]


def _counted(path: str, most: float | None, wells: pd.DataFrame) -> Flagged:
    known = (wells[FOLD] >= 0).to_numpy(bool)
    far = wells[UNLIKE].fillna(False).to_numpy(bool)
    right = known & (wells[CALL] == wells[TARGET]).to_numpy(bool)
    return Flagged(
        path=path,
        limit=most,
        known=int(known.sum()),
        known_flagged=int((known & far).sum()),
        correct=int(right.sum()),
        correct_flagged=int((right & far).sum()),
        unlabelled=int((~known).sum()),
        unlabelled_flagged=int((~known & far).sum()),
    )
