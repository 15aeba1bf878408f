"""The head-to-head: both paths on the same wells, and what the difference can bear.

What each path is worth is said at every level: of fields, of wells, which are what is compared,
and of treatments. The test between the paths is paired and at the unit that is independent
(`statistics.difference`); with fewer than six groups no p-value is given, and counts speak.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .cascade import Cascade, cascade
from .errors import DataError
from .evaluate import Evaluation, evaluate
from .statistics.difference import Difference, compare_calls
from .vocabulary import (
    CALL,
    COMPOUND,
    CONCENTRATION,
    FOLD,
    GROUP,
    LEVEL,
    LEVELS,
    PATH,
    PATHS,
    PLATE,
    PROBA,
    TARGET,
    WELL,
    columns_with,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SCHEMA", "Comparison", "compare", "scored_wells"]

SCHEMA: Final = 1
"""Counts up when what `comparison.json` says is said otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Each path's evaluation over the same wells, and the difference between them."""

    paths: dict[str, Evaluation]
    """Of wells."""
    levels: dict[str, dict[str, Evaluation]]
    """Of fields, wells and treatments, by path; a level that has no rows is left out, and so are
    treatments where some have wells in several groups or folds."""
    difference: Difference
    cascade: Cascade | None
    """TAS first, and the CNN where it is unsure; None without calibrated probabilities."""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON types, rates written out beside the counts."""
        return {
            "schema": SCHEMA,
            "paths": {path: result.as_json() for path, result in self.paths.items()},
            "levels": {
                level: {path: result.as_json() for path, result in paths.items()}
                for level, paths in self.levels.items()
            },
            "difference": asdict(self.difference),
            "cascade": asdict(self.cascade) if self.cascade else None,
        }


def scored_wells(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the wells that were tested in a fold: one row a well, each path's call a column.

    Parameters
    ----------
    predictions : DataFrame
        `predictions.parquet` of a run, or a table with its columns.

    Raises
    ------
    DataError
        When the paths were not tested on the same wells.
    """
    absent = {LEVEL, FOLD, PLATE, WELL, TARGET, GROUP, PATH, CALL} - set(predictions)
    if absent:
        raise DataError(
            f"no column {', '.join(sorted(absent))}",
            where="predictions",
            remedy="give a run's predictions.parquet",
        )
    part = predictions[(predictions[LEVEL] == "well") & (predictions[FOLD] >= 0)]
    keys = [PLATE, WELL, TARGET, GROUP, FOLD]
    wells = part.pivot(index=keys, columns=PATH, values=CALL).reset_index()
    lone = [path for path in PATHS if path not in wells or wells[path].isna().any()]
    if lone:
        raise DataError(
            f"path {lone[0]} was not tested on every scored well",
            where="predictions",
            remedy="run again, so that both paths finish",
        )
    return wells


def compare(predictions: pd.DataFrame) -> Comparison:
    """Hold the two paths against each other, over the wells that both were tested on.

    Parameters
    ----------
    predictions : DataFrame
        `predictions.parquet` of a run: rows of both paths at every level. With `Proba_` columns
        it is said what these are worth, and what a cascade would do.

    Returns
    -------
    Comparison

    Raises
    ------
    DataError
        When the paths were not tested on the same wells.

    Examples
    --------
    >>> import pandas as pd
    >>> calls = {"tas_svm": "aabb", "cnn": "aabc"}
    >>> rows = [
    ...     {"Metadata_Plate": "P", "Metadata_Well": f"A0{i + 1}", "Target": "aabb"[i],
    ...      "Group": i, "Fold": i % 2, "Level": "well", "Path": path, "Class": call[i]}
    ...     for path, call in calls.items() for i in range(4)
    ... ]
    >>> result = compare(pd.DataFrame(rows))
    >>> result.paths["cnn"].correct, result.difference.first_only
    (3, 1)
    """
    wells = scored_wells(predictions)
    levels = {
        level: {path: _evaluated(predictions, level, path) for path in PATHS}
        for level in LEVELS
        if len(_scored(predictions, level, PATHS[0]))
        and (level != "treatment" or _are_whole(predictions))
    }
    first, second = ((wells[path] == wells[TARGET]).to_numpy(bool) for path in PATHS)
    return Comparison(
        paths=levels["well"],
        levels=levels,
        difference=compare_calls(first, second, list(wells[GROUP])),
        cascade=_cascade(predictions),
    )


def _scored(predictions: pd.DataFrame, level: str, path: str) -> pd.DataFrame:
    """Return one path's rows of a level whose class is known and that were tested in a fold.

    A treatment whose wells were tested in several folds has a row for each.
    """
    part = predictions[
        (predictions[LEVEL] == level) & (predictions[PATH] == path) & (predictions[FOLD] >= 0)
    ]
    return part[part[TARGET].notna() & part[GROUP].notna()]


def _are_whole(predictions: pd.DataFrame) -> bool:
    """Tell whether every treatment was tested as a whole: in one fold, its wells in one group."""
    part = predictions[
        (predictions[LEVEL] == "treatment") & (predictions[FOLD] >= 0) & predictions[TARGET].notna()
    ]
    unit = [name for name in (PATH, COMPOUND, CONCENTRATION) if name in part]
    return bool(part[GROUP].notna().all()) and not part.duplicated(unit).any()


def _evaluated(predictions: pd.DataFrame, level: str, path: str) -> Evaluation:
    part, names = _scored(predictions, level, path), columns_with(PROBA, predictions)
    known = predictions.loc[predictions[FOLD] >= 0, [TARGET, CALL]]
    classes = [name.removeprefix(PROBA) for name in names] or sorted(
        {*known[TARGET].dropna(), *known[CALL]}
    )
    return evaluate(
        list(part[TARGET]),
        list(part[CALL]),
        groups=list(part[GROUP]),
        classes=classes,
        proba=part[names].to_numpy(np.float64) if names else None,
    )


def _cascade(predictions: pd.DataFrame) -> Cascade | None:
    names = columns_with(PROBA, predictions)
    first, second = (
        _scored(predictions, "well", path).sort_values([PLATE, WELL], kind="stable")
        for path in PATHS
    )
    if not names:
        return None
    likely = [np.nan_to_num(part[names].to_numpy(np.float64)) for part in (first, second)]
    columns = {name.removeprefix(PROBA): k for k, name in enumerate(names)}
    truth = np.asarray([columns[name] for name in first[TARGET]], np.intp)
    return cascade(likely[0], likely[1], truth, np.asarray(first[FOLD], np.intp))
