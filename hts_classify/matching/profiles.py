"""What wells are compared by: one vector a well, on a scale that some of the wells set.

Features are averaged over a well's fields and standardised by median and median absolute
deviation of the negative controls of each plate (mad_robustize of the profiling recipe: Caicedo et
al., Nat Methods 2017, 14:849), or of all its wells where some plate has few of them. Features that
do not vary there are left out, and so are those that somewhere are more than 500 deviations off
(pycytominer's `drop_outliers`): a single one would be all that a cosine sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..plate import control_kinds
from ..shards import feature_matrix, read_table
from ..vocabulary import FOLD, PLATE, PROFILE, ROLE, SCORED, TRAINED, WELL, columns_with

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "FEWEST_CONTROLS",
    "Profiles",
    "Seen",
    "directed",
    "feature_profiles",
    "read_seen",
    "standardised",
    "unseen_profiles",
]

FEWEST_CONTROLS: Final = 32
"""Negative controls that a plate needs for them to set its scale. Their median's error is in every
other profile alike: against 8 or 16 of them, replicates of nothing but noise find each other (mean
average precisions of 0.53 and 0.38 where chance is 0.42 and 0.28, by simulation)."""
FEWEST_RANKED: Final = 8
"""Negative controls that a plate needs for replicates to be ranked among them."""
_NORMAL: Final = 1.4826
"""Standard deviations of a normal distribution in its median absolute deviation."""
_MOST_DEVIATIONS: Final = 500.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiles:
    """Wells that may be compared, and by what."""

    wells: pd.DataFrame
    """A row a well, with the plate map's columns, from row 0."""
    values: NDArray[np.float64]
    """Shape (wells, features). No row is constant: such a well has no direction."""
    fold: NDArray[np.intp]
    """Shape (wells,): wells are comparable within a fold only; all 0 where all are."""
    controls: NDArray[np.bool_]
    """Shape (wells,): negative controls."""
    among_controls: bool
    """Whether each plate has enough of these for replicates to be ranked among them."""
    scale: str
    """What has, in words."""


class Seen(NamedTuple):
    """How one fold's model sees wells."""

    wells: NDArray[np.intp]
    """Shape (seen,): rows of the table of wells, ascending."""
    trained: NDArray[np.bool_]
    """Shape (seen,): whether the model was trained on each."""
    values: NDArray[np.float64]
    """Shape (seen, features)."""

    def part(self, which: NDArray[np.bool_]) -> Seen:
        """Return some of the wells."""
        return Seen(self.wells[which], self.trained[which], self.values[which])


def read_seen(file: Path, wells: pd.DataFrame) -> Seen:
    """Read how a fold's model sees wells.

    Parameters
    ----------
    file : Path
        As `fits.Fits.profiles` names it.
    wells : DataFrame
        The joined plate map; wells that are not in it are left out.

    Returns
    -------
    Seen
    """
    import pandas as pd

    # Not by way of pandas: hundreds of columns cost it more than the numbers in them.
    table = read_table(file)
    names = [table[name].to_numpy() for name in (PLATE, WELL)]
    known = pd.MultiIndex.from_frame(wells[[PLATE, WELL]])
    rows = np.asarray(known.get_indexer(pd.MultiIndex.from_arrays(names)), np.intp)
    columns = [table[name].to_numpy() for name in columns_with(PROFILE, table.column_names)]
    values = np.stack(columns, axis=1).astype(np.float64)
    order = np.argsort(rows, kind="stable")
    order = order[rows[order] >= 0]
    return Seen(rows[order], table[TRAINED].to_numpy()[order], values[order])


def standardised(
    values: NDArray[np.float64], plates: NDArray[np.intp], setting: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Centre and scale features on each plate by some of its wells.

    Parameters
    ----------
    values : ndarray of float64, shape (wells, features)
    plates : ndarray of int, shape (wells,)
        Plate of each well.
    setting : ndarray of bool, shape (wells,)
        Wells whose median and median absolute deviation set the scale.

    Returns
    -------
    ndarray of float64, shape (wells, features that are left)

    Examples
    --------
    >>> values = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0], [10.0, 5.0]])
    >>> setting = np.array([True, True, True, False])
    >>> standardised(values, np.zeros(4, int), setting).round(2).tolist()
    [[-0.67], [0.0], [0.67], [5.4]]
    """
    # Wells that do not set the scale have no say in what is kept: they may be under test.
    found, kept = np.zeros_like(values), np.isfinite(values[setting]).all(axis=0)
    for plate in np.unique(plates):
        own = plates == plate
        some = values[own & setting]
        if not len(some):
            return values[:, :0]
        centre = np.median(some, axis=0)
        spread = np.median(np.abs(some - centre), axis=0)
        # What is left of a constant after an average over fields is rounding, not spread.
        kept &= spread > 1e-12 * np.maximum(np.abs(centre), np.abs(some).max(axis=0))
        found[own] = (values[own] - centre) / (_NORMAL * np.where(spread > 0, spread, 1))
    kept &= (np.abs(found[setting]) <= _MOST_DEVIATIONS).all(axis=0)
    return np.clip(found[:, kept], -_MOST_DEVIATIONS, _MOST_DEVIATIONS)


def directed(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the rows that are not constant: what points nowhere is like nothing.

    Examples
    --------
    >>> directed(np.array([[0.0, 0.0], [0.0, 1.0]])).tolist()
    [False, True]
    """
    if not values.shape[1]:
        return np.zeros(len(values), bool)
    return np.asarray(np.ptp(values, axis=1) > 0, bool)


def feature_profiles(features: pd.DataFrame, wells: pd.DataFrame) -> Profiles:
    """Make profiles of the features, which no model has seen.

    Parameters
    ----------
    features : DataFrame
        A row a field.
    wells : DataFrame
        The joined plate map.

    Returns
    -------
    Profiles
        Of the wells that have a field, by plate and well.
    """
    import pandas as pd

    values = feature_matrix(features)
    fields = features[[PLATE, WELL]].reset_index(drop=True).join(pd.DataFrame(values))
    means = fields.groupby([PLATE, WELL], sort=True).mean().reset_index()
    table = means[[PLATE, WELL]].merge(wells, on=[PLATE, WELL], how="inner")
    means = table[[PLATE, WELL]].merge(means, on=[PLATE, WELL])
    controls = (control_kinds(table) == "negcon").to_numpy(bool)
    plates = np.asarray(pd.factorize(table[PLATE])[0], np.intp)
    fewest = int(np.bincount(plates[controls], minlength=plates.max(initial=0) + 1).min())
    by_controls = fewest >= FEWEST_CONTROLS
    setting = controls if by_controls else np.ones(len(table), bool)
    found = standardised(means.drop(columns=[PLATE, WELL]).to_numpy(np.float64), plates, setting)
    few = f" (some have fewer than {FEWEST_CONTROLS} negative controls)" if controls.any() else ""
    scale = (
        "the negative controls of each plate" if by_controls else f"all wells of each plate{few}"
    )
    return _comparable(
        table,
        found,
        np.zeros(len(table), np.intp),
        controls,
        fewest >= FEWEST_RANKED,
        f"median and MAD of {scale}",
    )


def unseen_profiles(files: Mapping[int, Path], wells: pd.DataFrame) -> Profiles:
    """Make profiles of each fold's scored wells, as the model sees them that was not shown them.

    Parameters
    ----------
    files : mapping
        By fold, how its model sees each well.
    wells : DataFrame
        The joined plate map with `Fold` and `Role`.

    Returns
    -------
    Profiles
        Comparable within a fold only: each fold has a model, and so a space, of its own. The
        wells that it was trained on set its scale.
    """
    rows, points = [np.empty(0, np.intp)], [np.empty((0, 0))]
    for fold in sorted(files):
        seen = read_seen(files[fold], wells)
        scaled = standardised(seen.values, np.zeros(len(seen.wells), np.intp), seen.trained)
        tested = (wells[FOLD] == fold) & (wells[ROLE] == SCORED)
        own = ~seen.trained & tested.to_numpy(bool)[seen.wells]
        rows.append(seen.wells[own])
        points.append(scaled[own])
    # Spaces differ in width; what is padded is 0, which adds nothing to a cosine.
    widest = max(part.shape[1] for part in points)
    wide = [np.pad(part, ((0, 0), (0, widest - part.shape[1]))) for part in points]
    table = wells.iloc[np.concatenate(rows)]
    return _comparable(
        table,
        np.concatenate(wide),
        table[FOLD].to_numpy(np.intp),
        (control_kinds(table) == "negcon").to_numpy(bool),
        False,
        "median and MAD of the wells that the fold's model was trained on",
    )


def _comparable(
    table: pd.DataFrame,
    values: NDArray[np.float64],
    fold: NDArray[np.intp],
    controls: NDArray[np.bool_],
    among_controls: bool,
    scale: str,
) -> Profiles:
    """Leave out the wells that have no direction."""
    some = directed(values)
    return Profiles(
        wells=table[some].reset_index(drop=True),
        values=values[some],
        fold=fold[some],
        controls=controls[some],
        among_controls=among_controls,
        scale=scale,
    )
