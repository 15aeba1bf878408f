"""From the names that other software gives to wells and fields to ours. No I/O here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import PlateError
from ..vocabulary import row_letters, split_well, well_name
from .layout import Field
from .ome import Head, Well, plate_order

__all__ = [
    "choose_plate",
    "make_head",
    "natural",
    "number_sites",
    "place_well",
    "split_choice",
]


def natural(text: str) -> tuple[Any, ...]:
    """Return a key that sorts numbers in names by their value.

    Examples
    --------
    >>> sorted(["f10", "f9"], key=natural)
    ['f9', 'f10']
    """
    parts = re.split(r"(\d+)", text)
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in parts)


def number_sites(names: Iterable[str]) -> dict[str, int]:
    """Give a well's fields numbers: their names if all are numbers from 1, else their order.

    Examples
    --------
    >>> number_sites(["02", "7"]), number_sites(["0", "1"])
    ({'02': 2, '7': 7}, {'0': 1, '1': 2})
    """
    ordered = sorted(set(names), key=natural)
    if all(re.fullmatch("[0-9]{1,9}", name) for name in ordered):
        numbers = [int(name) for name in ordered]
        if numbers[0] >= 1 and len(set(numbers)) == len(numbers):
            return dict(zip(ordered, numbers, strict=True))
    return {name: site for site, name in enumerate(ordered, start=1)}


def place_well(words: Mapping[str, str]) -> str:
    """Name a well by its `well`, or its `row` (letters, or a number from 1) and `column`.

    Examples
    --------
    >>> place_well({"well": "b3"}), place_well({"row": "2", "column": "03"})
    ('B03', 'B03')
    """
    if "well" in words:
        row, column = split_well(words["well"])
        return well_name(row, column)
    row = words["row"].strip()
    if row.isdigit() and 1 <= int(row) <= 52:
        row = row_letters(int(row))
    return well_name(row, words["column"].strip())


def choose_plate(names: Sequence[str], chosen: str, *, where: str) -> str:
    """Return the plate that was chosen, or the only one.

    Raises
    ------
    PlateError
        When there are several and none was chosen, or another; it lists them.
    """
    if chosen in names:
        return chosen
    if len(names) == 1 and not chosen:
        return names[0]
    shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
    raise PlateError(
        f"no plate {chosen!r}: it holds {shown}"
        if chosen
        else f"holds {len(names)} plates: {shown}",
        where=where,
        remedy=f"choose one, as {where}#{names[0]}",
    )


def make_head(name: str, fields: Iterable[Field]) -> Head:
    """Describe a plate by the fields that were found on it."""
    wells = sorted({field.well for field in fields}, key=plate_order)
    places = [split_well(well) for well in wells]
    rows = dict.fromkeys(row for row, _ in places)
    columns = sorted({column for _, column in places})
    return Head(name, tuple(rows), tuple(map(str, columns)), tuple(Well(w, w) for w in wells))


def split_choice(path: str | Path) -> tuple[Path, str]:
    """Take `file#plate` apart, where there is no file of the whole name.

    Examples
    --------
    >>> file, plate = split_choice("load_data.csv#BR00117")
    >>> str(file), plate
    ('load_data.csv', 'BR00117')
    """
    whole = Path(path)
    file, mark, plate = str(path).rpartition("#")
    return (Path(file), plate) if mark and not whole.exists() else (whole, "")
