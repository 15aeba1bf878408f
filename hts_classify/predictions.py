"""The table of calls: one row for each field and each well, for each path.

A field's call is its highest score; a well's scores are the mean of its fields'. Scores are a
path's own and not calibrated: the margin between the first and the second class orders the
wells of one model by how sure it is, and says no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .files import whole
from .vocabulary import CALL, FOLD, LEVEL, MARGIN, PATH, PLATE, SCORE, SITE, TIMEPOINT, WELL

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["UNFOLDED", "calls", "write_table"]

UNFOLDED = -1
"""Fold of a call by a model that was trained on every labelled well."""


def calls(
    fields: pd.DataFrame,
    scores: NDArray[np.float64],
    *,
    classes: Sequence[str],
    path: str,
    fold: int = UNFOLDED,
) -> pd.DataFrame:
    """Make field and well calls from a model's scores of fields.

    Parameters
    ----------
    fields : DataFrame
        One row a field: plate, well, site.
    scores : ndarray, shape (fields, classes)
        Higher is likelier.
    classes : sequence of str
        Class of each column.
    path : str
        One of `vocabulary.PATHS`.
    fold : int, optional
        The fold that the fields were tested in.

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
    by_field = fields[where].reset_index(drop=True).astype(dict.fromkeys(where[2:], "Int64"))
    by_field[names] = scores
    by_well = by_field.groupby([PLATE, WELL], sort=False)[names].mean().reset_index()
    by_well[where[2:]] = pd.NA
    by_well = by_well.astype(dict.fromkeys(where[2:], "Int64"))
    parts = {"field": by_field, "well": by_well}
    return pd.concat(
        [_called(part, names, classes, (level, path, fold)) for level, part in parts.items()],
        ignore_index=True,
    )


def write_table(stem: Path, table: pd.DataFrame) -> None:
    """Write one table twice, as `<stem>.parquet` for programs and `<stem>.csv` for eyes."""
    with whole(stem.with_suffix(".parquet")) as part:
        table.to_parquet(part, index=False)
    with whole(stem.with_suffix(".csv")) as part:
        table.to_csv(part, index=False, float_format="%.6g")


def _called(
    part: pd.DataFrame, names: list[str], classes: Sequence[str], where: tuple[str, str, int]
) -> pd.DataFrame:
    values: NDArray[Any] = part[names].to_numpy(np.float64)
    ordered = np.sort(values, axis=1)
    level, path, fold = where
    return part.drop(columns=names).assign(
        **{
            LEVEL: level,
            PATH: path,
            FOLD: fold,
            CALL: np.asarray(classes, object)[values.argmax(axis=1)],
            MARGIN: ordered[:, -1] - ordered[:, -2],
        },
        **{name: values[:, k] for k, name in enumerate(names)},
    )
