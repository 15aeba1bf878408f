"""What a well was called like: its nearest training wells, and the statistic that tells.

Near as the model sees it. TAS wells are points in standardised features, where the kernel of the
support vector machine measures Euclidean distances; of the CNN's pooled features the direction
counts, so that theirs are cosine distances, 1 - cos.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from .vocabulary import CALL, PLATE, PROFILE, TRAINED, WELL, columns_with

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["METRICS", "NEAREST", "distances", "in_parts", "nearest_wells", "telling"]

METRICS: Final = {"tas_svm": "euclidean", "cnn": "cosine"}
"""How far apart wells are for each path."""

NEAREST: Final = 3
"""Training wells that are named."""

_TELLING: Final = ("Statistic", "Statistic_Value", "Statistic_Class", "Statistic_Rival")
_AT_ONCE: Final = 2**22
"""Distances that are held at once."""


def distances(
    points: NDArray[np.float64], others: NDArray[np.float64], metric: str
) -> NDArray[np.float64]:
    """Return how far points are from others.

    Parameters
    ----------
    points, others : ndarray, shapes (n, features) and (m, features)
    metric : {"euclidean", "cosine"}

    Returns
    -------
    ndarray of float64, shape (n, m)
        Infinite where it is not defined: the cosine of a point at the origin.

    Examples
    --------
    >>> distances(np.array([[0.0, 2.0]]), np.array([[0.0, 5.0], [3.0, 0.0]]), "cosine").tolist()
    [[0.0, 1.0]]
    """
    if metric == "cosine":
        lengths = [np.linalg.norm(some, axis=1) for some in (points, others)]
        with np.errstate(divide="ignore", invalid="ignore"):
            cosines = points @ others.T / lengths[0][:, None] / lengths[1][None]
        return np.where(np.isnan(cosines), np.inf, np.clip(1 - cosines, 0, 2))
    squares = (points**2).sum(axis=1)[:, None] + (others**2).sum(axis=1)[None]
    return np.asarray(np.sqrt(np.maximum(squares - 2 * points @ others.T, 0)))


def in_parts(
    points: NDArray[np.float64], others: NDArray[np.float64], metric: str
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Yield `distances` of all points, so many points at a time as are held at once."""
    together = max(1, _AT_ONCE // max(1, len(others)))
    for start in range(0, len(points), together):
        part = slice(start, start + together)
        yield part, distances(points[part], others, metric)


def nearest_wells(profiles: pd.DataFrame, path: str, targets: Mapping[Any, str]) -> pd.DataFrame:
    """Name the training wells that a model sees as most like each well that it called.

    Parameters
    ----------
    profiles : DataFrame
        How the model sees each well (`fits.Fits.profiles`).
    path : str
        Whose model it is.
    targets : mapping
        Class of each training well, by plate and well.

    Returns
    -------
    DataFrame
        A row a called well: plate, well, and of each of the `NEAREST` its plate, well, class and
        distance. Missing where there are fewer, or a distance is not defined.
    """
    import pandas as pd

    trained = profiles[TRAINED].to_numpy(bool)
    points = profiles[columns_with(PROFILE, profiles)].to_numpy(np.float64)
    places = profiles[[PLATE, WELL]].to_numpy(object)
    known, called = places[trained], np.flatnonzero(~trained)
    rows: list[dict[str, Any]] = []
    for part, apart in in_parts(points[called], points[trained], METRICS[path]):
        orders = np.argsort(apart, kind="stable")
        for well, row, order in zip(called[part], apart, orders, strict=True):
            close = [k for k in order[:NEAREST] if np.isfinite(row[k])]
            rows.append(dict(zip((PLATE, WELL), places[well], strict=True)))
            for place in range(NEAREST):
                k = close[place] if place < len(close) else None
                plate, name = (None, None) if k is None else known[k]
                rows[-1] |= {
                    f"Nearest_Plate_{place + 1}": plate,
                    f"Nearest_Well_{place + 1}": name,
                    f"Nearest_Class_{place + 1}": None if k is None else targets[plate, name],
                    f"Nearest_Distance_{place + 1}": None if k is None else float(row[k]),
                }
    return pd.DataFrame(rows)


def telling(
    profiles: pd.DataFrame,
    calls: pd.DataFrame,
    features: pd.DataFrame,
    strongest: Mapping[str, int],
    targets: Mapping[Any, str],
) -> pd.DataFrame:
    """Name of each well the strong statistic that speaks most for its call against the rival's.

    That is the one in which the well is nearer to the mean of the class that it was called than to
    the mean of the rival class by the most, in standard deviations, over the training wells.

    Parameters
    ----------
    profiles : DataFrame
        Standardised features of each well, as the model sees them.
    calls : DataFrame
        A row a well: plate, well, `Class`, and `Rival`.
    features : DataFrame
        Mean statistics of every well, indexed by plate and well.
    strongest : mapping
        Statistics that the models go by, with their places in the profiles.
    targets : mapping
        Class of each training well, by plate and well.

    Returns
    -------
    DataFrame
        Plate, well, `Statistic`, its `Statistic_Value` in the well, and the mean over the training
        wells of the class that was called, and of the rival's. Missing where none speaks for it.
    """
    import pandas as pd

    names = list(strongest)
    wells = pd.MultiIndex.from_frame(profiles[[PLATE, WELL]])
    points = profiles[[f"{PROFILE}{strongest[name]}" for name in names]].to_numpy(np.float64)
    values = features.reindex(wells)[names].to_numpy(np.float64)
    trained = profiles[TRAINED].to_numpy(bool)
    own = np.asarray([targets[well] if t else "" for well, t in zip(wells, trained, strict=True)])
    place = {well: k for k, well in enumerate(wells) if not trained[k]}
    means = {
        name: (points[own == name].mean(axis=0), values[own == name].mean(axis=0))
        for name in sorted(set(own[trained]))
    }
    rows = []
    for plate, well, call, rival in calls[[PLATE, WELL, CALL, "Rival"]].itertuples(index=False):
        k, row = place[plate, well], dict.fromkeys(_TELLING)
        if names and call in means and rival in means:
            sides = [means[name] for name in (call, rival)]
            to_call, to_rival = (np.abs(points[k] - point) for point, _ in sides)
            best = int(np.argmax(to_rival - to_call))
            if to_rival[best] > to_call[best]:
                found = (values[k, best], *(value[best] for _, value in sides))
                row = dict(zip(_TELLING, (names[best], *map(float, found)), strict=True))
        rows.append({PLATE: plate, WELL: well, **row})
    return pd.DataFrame(rows, columns=[PLATE, WELL, *_TELLING])
