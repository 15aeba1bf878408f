"""The table of calls: a row for each field, each well and each treatment, for each path.

Tiles make a field, fields a well, wells a treatment (a compound at a concentration): by the mean
of scores, or by their median (Kensert et al., SLAS Discovery 2019: the median of medians).

What the mean is taken of are a path's own scores. It calls what the mean of log-probabilities
would, by the same margin: log-softmax takes one number from all classes of a field alike. The
median of a class is another matter, so it is taken of temperature × log-probability, which has the
scores' scale and margins. At every level softmax(score / temperature) is what the model deems
probable, and `Proba_` columns say it. Without them the margin between the first and the second
class orders the wells of one model by how sure it is, and says no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from .errors import UsageError
from .files import whole
from .models.calibrate import log_proba, proba
from .vocabulary import (
    CALL,
    COMPOUND,
    CONCENTRATION,
    FOLD,
    LEVEL,
    MARGIN,
    PATH,
    PLATE,
    PROBA,
    SCORE,
    SITE,
    TIMEPOINT,
    WELL,
    columns_with,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "UNFOLDED",
    "Aggregate",
    "calls",
    "check_aggregate",
    "tile_scores",
    "treatments",
    "with_calls",
    "with_proba",
    "with_wells",
    "write_table",
]

Aggregate = Literal["mean", "median"]

UNFOLDED: Final = -1
"""Fold of a call by a model that was trained on every labelled well."""


def check_aggregate(name: str) -> None:
    """Refuse what is no way to join scores.

    Raises
    ------
    UsageError
    """
    if name not in get_args(Aggregate):
        raise UsageError(f"aggregate {name!r}", remedy="use mean or median")


def tile_scores(
    scores: NDArray[np.float64], *, aggregate: Aggregate = "mean", temperature: float = 1.0
) -> NDArray[np.float64]:
    """Return what scores of fields are the mean or the median of.

    Parameters
    ----------
    scores : ndarray of float64, shape (tiles, classes)
        A model's own.
    aggregate : {"mean", "median"}, optional
        How scores are joined.
    temperature : float, optional
        The model's, for the median.

    Returns
    -------
    ndarray of float64, shape (tiles, classes)

    Examples
    --------
    >>> tile_scores(np.array([[1.0, 1.0]]), aggregate="median", temperature=2.0).round(3).tolist()
    [[-1.386, -1.386]]
    """
    return scores if aggregate == "mean" else temperature * log_proba(scores, temperature)


def calls(
    fields: pd.DataFrame,
    scores: NDArray[np.float64],
    *,
    classes: Sequence[str],
    path: str,
    fold: int = UNFOLDED,
    aggregate: Aggregate = "mean",
    temperature: float = 1.0,
) -> pd.DataFrame:
    """Make field and well calls from a model's scores of tiles.

    Parameters
    ----------
    fields : DataFrame
        One row a tile: the plate, well and site that it shows. A field may have several.
    scores : ndarray, shape (tiles, classes)
        Higher is likelier.
    classes : sequence of str
        Class of each column.
    path : str
        One of `vocabulary.PATHS`.
    fold : int, optional
        The fold that the fields were tested in.
    aggregate : {"mean", "median"}, optional
        How scores are joined.
    temperature : float, optional
        The model's, for the median.

    Returns
    -------
    DataFrame
        Field rows, then well rows (without a site), each with its call, margin and scores.

    Examples
    --------
    >>> import pandas as pd
    >>> fields = pd.DataFrame({PLATE: "P", WELL: ["B03", "B03"], SITE: [1, 2]})
    >>> table = calls(fields, np.array([[1.0, 0.0], [0.0, 3.0]]), classes=["a", "b"], path="cnn")
    >>> table[["Level", "Class", "Margin"]].to_numpy().tolist()
    [['field', 'a', 1.0], ['field', 'b', 3.0], ['well', 'b', 1.0]]
    """
    import pandas as pd

    names = [f"{SCORE}{name}" for name in classes]
    where = [PLATE, WELL, SITE, *([TIMEPOINT] if TIMEPOINT in fields else [])]
    tiles = fields[where].reset_index(drop=True).astype(dict.fromkeys(where[2:], "Int64"))
    tiles[names] = tile_scores(scores, aggregate=aggregate, temperature=temperature)
    by_field = _joined(tiles, where, names, aggregate)
    by_well = _joined(by_field, [PLATE, WELL], names, aggregate)
    by_well[where[2:]] = pd.NA
    by_well = by_well.astype(dict.fromkeys(where[2:], "Int64"))[list(by_field)]
    parts = []
    for level, part in (("field", by_field), ("well", by_well)):
        part[LEVEL], part[PATH], part[FOLD] = level, path, fold
        parts.append(with_calls(part, names))
    return pd.concat(parts, ignore_index=True)


def treatments(table: pd.DataFrame, *, aggregate: Aggregate = "mean") -> pd.DataFrame:
    """Call each treatment from its wells: those of one path and one fold, over all plates.

    Scores of models from different folds have no common scale, so a treatment whose wells were
    tested in several folds has a row for each.

    Parameters
    ----------
    table : DataFrame
        Calls with the plate map's columns.
    aggregate : {"mean", "median"}, optional
        How scores are joined.

    Returns
    -------
    DataFrame
        A row a treatment with the columns of `table`; what its wells do not agree on is missing.
        No rows without compounds.
    """
    wells = table[table[LEVEL] == "well"]
    if COMPOUND not in wells:
        return wells.iloc[:0]
    names = columns_with(SCORE, table)
    unit = [name for name in (PATH, FOLD, COMPOUND, CONCENTRATION) if name in wells]
    wells = wells[wells[COMPOUND].notna()]
    others = list(wells.columns.difference([*unit, *names, LEVEL, CALL, MARGIN]))
    groups = wells.groupby(unit, sort=False, dropna=False)[others]
    about = groups.first().where(groups.nunique() == 1).reset_index(drop=True)
    found = _joined(wells, unit, names, aggregate).join(about)
    found = with_calls(found.assign(**{LEVEL: "treatment", WELL: None}), names)
    return found[list(table)].astype(table.dtypes.to_dict())


def with_proba(table: pd.DataFrame, temperatures: Mapping[tuple[str, int], float]) -> pd.DataFrame:
    """Add what each row's model deems probable.

    Parameters
    ----------
    table : DataFrame
        Calls.
    temperatures : mapping
        The temperature of each path's model of each fold.

    Returns
    -------
    DataFrame
        With `Proba_` columns; missing for a class that the model was not trained on.
    """
    names = columns_with(SCORE, table)
    warmth = [temperatures[path, fold] for path, fold in zip(table[PATH], table[FOLD], strict=True)]
    scores = table[names].to_numpy(np.float64)
    unseen = np.isnan(scores)  # a model that never saw a class cannot call it
    found = proba(np.where(unseen, -np.inf, scores), np.reshape(warmth, (-1, 1)))
    found[unseen] = np.nan
    columns = {f"{PROBA}{name.removeprefix(SCORE)}": found[:, k] for k, name in enumerate(names)}
    return table.assign(**columns)


def with_wells(table: pd.DataFrame, wells: pd.DataFrame) -> pd.DataFrame:
    """Add to calls what the plate map and the folds say of their wells; scores stand last.

    Parameters
    ----------
    table : DataFrame
        Calls.
    wells : DataFrame
        One row a well. Of columns that both have, those of `table` stand.
    """
    columns, scores = [str(column) for column in table], sorted(columns_with(SCORE, table))
    about = wells[[c for c in wells if c in (PLATE, WELL) or c not in columns]]
    table = table.merge(about, on=[PLATE, WELL], how="left")
    return table[[*(column for column in table if column not in scores), *scores]]


def write_table(stem: Path, table: pd.DataFrame) -> None:
    """Write one table twice, as `<stem>.parquet` for programs and `<stem>.csv` for eyes."""
    with whole(stem.with_suffix(".parquet")) as part:
        table.to_parquet(part, index=False)
    with whole(stem.with_suffix(".csv")) as part:
        table.to_csv(part, index=False, float_format="%.6g")


def _joined(
    part: pd.DataFrame, unit: list[str], names: list[str], aggregate: Aggregate
) -> pd.DataFrame:
    found: pd.DataFrame = part.groupby(unit, sort=False, dropna=False)[names].agg(aggregate)
    return found.reset_index()


def with_calls(part: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Add the call and its margin, before the scores."""
    values: NDArray[Any] = part[names].to_numpy(np.float64)
    known = np.where(np.isnan(values), -np.inf, values)
    ordered = np.sort(known, axis=1)
    classes = np.asarray([name.removeprefix(SCORE) for name in names], object)
    return part.drop(columns=names).assign(
        **{CALL: classes[known.argmax(axis=1)], MARGIN: ordered[:, -1] - ordered[:, -2]},
        **{name: values[:, k] for k, name in enumerate(names)},
    )
