"""Percent replicating and percent matching: correlations between kin, and what chance comes to.

The share of treatments (classes) whose median correlation between kin is above the 95th percentile
of that among as many profiles drawn at random, between profiles that are no kin (Way et al., Cell
Syst 2022, 13:911). copairs draws as many pairs as there are profiles instead, which for two
replicates is too narrow a null.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["drawn"]

_DRAWS: Final = 1_000
_PERCENTILE: Final = 95
_MOST_DRAWN: Final = 50
"""Profiles of one draw, however many replicates there are."""


def drawn(
    values: NDArray[np.float64], table: pd.DataFrame, *, seed: int
) -> dict[int, tuple[float, float | None]]:
    """Return the median correlation between kin, and its threshold by chance.

    Parameters
    ----------
    values : ndarray of float64, shape (profiles, features)
    table : DataFrame
        Whole numbers: `kin`, `own` (kin count that differ in it), `fold`, within which profiles
        are comparable, and `control`, -1 for a profile that is drawn.
    seed : int

    Returns
    -------
    dict
        By `kin`, where some of it differ in `own`; no threshold where a fold has no others.

    Examples
    --------
    >>> import pandas as pd
    >>> values = np.array([[1.0, 2, 3], [2, 4, 6], [3, 1, 2], [3, 1, 2]])
    >>> table = pd.DataFrame({"kin": [0, 0, 1, 1], "own": range(4), "fold": 0, "control": -1})
    >>> found = drawn(values, table, seed=0)
    >>> round(found[0][0], 6), round(found[0][1], 6)
    (1.0, -0.5)
    """
    found = dict[int, tuple[float, float | None]]()
    for fold in np.unique(table["fold"]):
        rows = np.flatnonzero((table["fold"] == fold) & (table["control"] == -1))
        points = values[rows]
        points = points[:, points.any(axis=0)]  # of another fold's features there is nothing
        if not points.size:
            continue
        points = points - points.mean(axis=1, keepdims=True)
        length = np.linalg.norm(points, axis=1, keepdims=True)
        points = points / np.where(length > 0, length, 1)
        kin, own = (table[name].to_numpy()[rows] for name in ("kin", "own"))
        thresholds: dict[int, float | None] = {}
        for k in np.unique(kin):
            some = np.flatnonzero(kin == k)
            one, other = np.triu_indices(len(some), 1)
            differ = own[some][one] != own[some][other]
            if not differ.any():
                continue
            alike = (points[some] @ points[some].T)[one, other][differ]
            size = min(len(some), _MOST_DRAWN)
            if size not in thresholds:
                rng = np.random.default_rng([seed, int(fold), size])
                thresholds[size] = _threshold(points, kin, size, rng)
            found[int(k)] = (float(np.median(alike)), thresholds[size])
    return found


def _threshold(
    points: NDArray[np.float64], kin: NDArray[Any], size: int, rng: np.random.Generator
) -> float | None:
    """Return the 95th percentile of medians over pairs that are no kin, among random profiles.

    None where no draw has such a pair.
    """
    if len(np.unique(kin)) < 2:
        return None
    one, other = np.triu_indices(size, 1)
    medians = []
    for _ in range(_DRAWS):
        some = rng.choice(len(points), size, replace=False)
        strangers = kin[some][one] != kin[some][other]
        if strangers.any():
            alike = (points[some] @ points[some].T)[one, other][strangers]
            medians.append(float(np.median(alike)))
    return float(np.percentile(medians, _PERCENTILE)) if medians else None
