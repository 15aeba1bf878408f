"""What an image list says besides: its `Metadata_` columns, of fields and as a plate map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ..errors import DataError, PlatemapError
from ..vocabulary import METADATA, PLATE, SITE, TIMEPOINT, WELL
from .fields import place_well
from .list_table import ListTable

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["has_treatments", "metadata_of", "well_rows"]

_OURS: Final = {name.lower() for name in (PLATE, WELL, SITE, TIMEPOINT)}
"""Columns that every table here has by itself."""
_PLACES: Final = ("row", "column", "site", "t", "z")


def metadata_of(
    table: ListTable, said: Mapping[str, Sequence[Mapping[str, str]]]
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return what a list says of its fields, and a note of the columns that cannot be a field's.

    Parameters
    ----------
    table : ListTable
    said : mapping
        Rows of each field, by its path. A column in which the rows of one field differ, as those
        of its planes or time points may, is left out.
    """
    columns = {n: t for n, t in table.metadata.items() if n.lower() not in _OURS}
    mixed = [
        name
        for name, title in columns.items()
        if any(len({row[title] for row in rows}) > 1 for rows in said.values())
    ]
    kept = {name: title for name, title in columns.items() if name not in mixed}
    metadata = {
        path: {name: rows[0][title] for name, title in kept.items()} for path, rows in said.items()
    }
    expected = {table.words[word] for word in ("t", "z") if word in table.words}
    told = [name for name in mixed if columns[name] not in expected]
    notes = [f"left out, for rows of one field differ in them: {', '.join(told)}"] if told else []
    return (metadata if kept else {}), notes


def has_treatments(table: ListTable) -> bool:
    """Tell whether a list says more of wells than where they are."""
    return bool(_columns(table))


def well_rows(table: ListTable) -> pd.DataFrame:
    """Return a list's rows as those of a plate map: cells as text, the index is the line.

    Columns that differ from field to field of a well say nothing of the well, and are marked in
    `attrs["varying"]`.

    Raises
    ------
    PlatemapError
        When a row names no well.
    """
    import pandas as pd

    wells: list[str] = []
    for line, row in table.rows:
        try:
            wells.append(place_well({word: row[title] for word, title in table.words.items()}))
        except DataError as error:
            raise PlatemapError(
                error.what, where=f"{table.path} line {line}", remedy=error.remedy
            ) from error
    plate, columns = table.words.get("plate"), _columns(table)
    titles = ({PLATE: plate} if plate else {}) | columns
    cells = {name: [row[title] for _, row in table.rows] for name, title in titles.items()}
    lines = [line for line, _ in table.rows]
    frame = pd.DataFrame({WELL: wells, **cells}, index=lines, dtype=str)
    unit = [PLATE, WELL] if plate else [WELL]
    counts = frame.groupby(unit, sort=False)[list(columns)].nunique()
    frame.attrs["varying"] = [name for name in columns if (counts[name] > 1).any()]
    return frame


def _columns(table: ListTable) -> dict[str, str]:
    """Return the titles of columns that may say something of wells, by their names."""
    places = {table.words[word] for word in _PLACES if word in table.words}
    places |= {table.words[word] for word in ("plate", "well") if word in table.words}
    return {
        name: title
        for name, title in table.metadata.items()
        if title not in places and name.lower() not in _OURS and name != METADATA
    }
