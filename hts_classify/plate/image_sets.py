"""Image sets: the numbers by which batch scripts call fields, and choosing some of them.

The meaning is that of CellProfiler 4.2.8 (`Pipeline.run`, `Pipeline.group`): `-f` and `-l` count
from 1 over the whole table and include both ends, `-g` takes what equals all of its keys, and
together they take what both take; `-l` may lie past the end. Where nothing is left CellProfiler
ends with an `IndexError`; here the error says what there is. A pipeline that groups image sets
numbers them group after group; the numbers here are the table's rows, as without grouping, and
are the same where the table stands in the order of its groups. `-g` needs no such pipeline.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import DataError, UsageError
from ..vocabulary import METADATA, PLATE, SITE, TIMEPOINT, WELL, split_well, well_name
from .fields import natural, number_sites, split_choice
from .layout import Field, Plate
from .list_table import RowPlace, is_image_list, row_places

__all__ = ["ImageSets", "choose_image_sets", "number_image_sets", "ranges"]

_SHOWN: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSets:
    """Which image sets of some plates are meant; all, unless something is said."""

    first: int | None = None
    """The first one's number, from 1."""
    last: int | None = None
    """The last one's number, which is among them; it may be past the end."""
    groups: tuple[tuple[str, str], ...] = ()
    """Metadata columns and the values that are meant: `("Metadata_Well", "A01")`."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        for flag, number in (("-f", self.first), ("-l", self.last)):
            if number is not None and number < 1:
                raise UsageError(f"{flag} {number}", remedy="image sets are counted from 1")
        if self.first and self.last and self.first > self.last:
            raise UsageError(
                f"-f {self.first} is past -l {self.last}", remedy="name the first and the last"
            )

    def __bool__(self) -> bool:
        """Tell whether only some are meant."""
        return self.first is not None or self.last is not None or bool(self.groups)

    def __str__(self) -> str:
        """Spell the flags."""
        pairs = ",".join(f"{key}={value}" for key, value in self.groups)
        flags = (("-f", self.first), ("-l", self.last), ("-g", pairs))
        return " ".join(f"{flag} {value}" for flag, value in flags if value)


def number_image_sets(plates: Sequence[Plate]) -> dict[tuple[str, Field], int]:
    """Give every field of some plates its number among the image sets, from 1.

    In an image list that is the row on which the field first stands, counted over the whole
    table as CellProfiler's LoadData counts, so that plates of one table share its numbers; where
    a row holds several time points of a file, and in any other store, it is the field's place
    among the plate's. Several stores follow on one another.

    Parameters
    ----------
    plates : sequence of Plate

    Returns
    -------
    dict
        Numbers by plate's name and field, plate by plate in the order of its fields.

    Examples
    --------
    >>> import tempfile
    >>> from hts_classify import open_plate
    >>> from hts_classify.synthetic import Recipe, write_plate
    >>> store = Path(tempfile.mkdtemp()) / "plate.zarr"
    >>> plate = open_plate(write_plate(store, Recipe(setting="texture", shape=(64, 64))))
    >>> numbers = number_image_sets([plate])
    >>> list(numbers.values()) == list(range(1, len(plate.fields) + 1))
    True
    """
    sources: dict[tuple[str, str], list[Plate]] = {}
    for plate in plates:
        table = _table_of(plate)
        sources.setdefault((table, table or plate.path), []).append(plate)
    numbers: dict[tuple[str, Field], int] = {}
    before = 0
    for (table, _), own in sources.items():
        rows = row_places(Path(table)) if table else ()
        found = [_rows_of(plate, rows) for plate in own]
        if all(found):
            places = [(at, row.number) for at_rows in found for at, row in at_rows.items()]
        else:
            places = [(at, k) for k, at in enumerate((f for p in own for f in p.fields), start=1)]
        names = [plate.name for plate in own for _ in plate.fields]
        for name, (field, number) in zip(names, places, strict=True):
            numbers[name, field] = before + number
        before += len(rows) if all(found) else len(places)
    return {(plate.name, at): numbers[plate.name, at] for plate in plates for at in plate.fields}


def choose_image_sets(plates: Sequence[Plate], wanted: ImageSets) -> dict[tuple[str, Field], int]:
    """Return the numbers of the image sets that are meant, by plate's name and field.

    Parameters
    ----------
    plates : sequence of Plate
    wanted : ImageSets

    Raises
    ------
    UsageError
        When there is none; it says how many there are, or which keys and values.
    """
    numbers = number_image_sets(plates)
    held = sorted(set(numbers.values()))
    first, last = wanted.first or 1, wanted.last or held[-1]
    if first > held[-1]:
        raise UsageError(
            f"-f {first} is past the last image set, which is {held[-1]}",
            where=plates[0].path,
            remedy=f"there are {len(held)}, from {held[0]} to {held[-1]}",
        )
    chosen = {at: number for at, number in numbers.items() if first <= number <= last}
    if wanted.groups:
        inside = _in_group(plates, wanted.groups)
        if not inside:
            raise _empty_group(plates, wanted.groups)
        chosen = {at: number for at, number in chosen.items() if at in inside}
    if not chosen:
        own = sorted(numbers[at] for at in inside) if wanted.groups else held
        raise UsageError(
            f"{wanted}: no image set is meant",
            where=plates[0].path,
            remedy=f"those of the group are {spelt(own)}"
            if wanted.groups
            else f"the fields stand first in rows {spelt(own)}",
        )
    return chosen


def group_values(plates: Sequence[Plate]) -> dict[tuple[str, Field], dict[str, str]]:
    """Return what `-g` can ask for of every field: its metadata columns and their values.

    Of an image list these are the `Metadata_` columns of the row on which the field first
    stands; of every store its plate, well, site and, where there are several, time point.
    """
    values: dict[tuple[str, Field], dict[str, str]] = {}
    for plate in plates:
        table, fields = _table_of(plate), plate.fields
        rows = _rows_of(plate, row_places(Path(table)) if table else (), every=True)
        timed = any(field.timepoint for field in fields[:_SHOWN])
        for field in fields:
            own = {SITE: str(field.site)} | ({TIMEPOINT: str(field.timepoint)} if timed else {})
            own |= rows[field].metadata if field in rows else {}
            values[plate.name, field] = own | {PLATE: plate.name, WELL: field.well}
    return values


def ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Write numbers as runs, from the first to the last of each.

    Examples
    --------
    >>> ranges([3, 1, 2, 7])
    [(1, 3), (7, 7)]
    """
    runs: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if runs and runs[-1][1] == number - 1:
            runs[-1] = runs[-1][0], number
        else:
            runs.append((number, number))
    return runs


def spelt(numbers: Iterable[int]) -> str:
    """Spell numbers as runs: `1-3, 7`.

    Examples
    --------
    >>> spelt([3, 1, 2, 7])
    '1-3, 7'
    """
    runs = [str(a) if a == b else f"{a}-{b}" for a, b in ranges(numbers)]
    return ", ".join(runs[:_SHOWN]) + (", …" if len(runs) > _SHOWN else "")


def _table_of(plate: Plate) -> str:
    """Return the image list that a plate is from; nothing for another store."""
    if "://" in plate.path:
        return ""
    file = split_choice(plate.path)[0]
    return str(file) if file.is_file() and is_image_list(file) else ""


def _rows_of(
    plate: Plate, rows: Sequence[RowPlace], *, every: bool = False
) -> dict[Field, RowPlace]:
    """Find the row on which each field first stands; nothing where two share one.

    `every` gives the rows also where some are shared.
    """
    chosen = split_choice(plate.path)[1] if rows else ""
    wells: dict[str, dict[str, dict[str, RowPlace]]] = {}
    for row in rows:
        if row.well and (not chosen or row.plate == chosen):
            sites = wells.setdefault(row.well, {})
            sites.setdefault(row.site, {}).setdefault(row.time, row)
    found: dict[tuple[str, int], list[RowPlace]] = {}
    for well, sites in wells.items():
        for site, number in number_sites(sites).items():
            by_time = sites[site]
            found[well, number] = [by_time[time] for time in sorted(by_time, key=natural)]
    at = {
        field: times[field.timepoint if field.timepoint < len(times) else 0]
        for field in plate.fields
        if (times := found.get((field.well, field.site)))
    }
    alone = len({row.number for row in at.values()}) == len(plate.fields)
    return at if alone or every else {}


def _in_group(plates: Sequence[Plate], groups: Sequence[tuple[str, str]]) -> set[tuple[str, Field]]:
    values = group_values(plates)
    known = list(dict.fromkeys(key for own in values.values() for key in own))
    asked = []
    for key, value in groups:
        name = key if key in known else f"{METADATA}{key}"
        if name not in known:
            raise UsageError(
                f"-g {key}={value}: image sets have no {key}",
                where=plates[0].path,
                remedy=f"they have {', '.join(sorted(known))}",
            )
        asked.append((name, alike(name, value)))
    return {
        at
        for at, own in values.items()
        if all(key in own and alike(key, own[key]) == value for key, value in asked)
    }


def alike(key: str, value: str) -> str:
    """Bring the spellings of one well, or of one site's number, together, as `-g` compares them."""
    value = value.strip()
    if key == WELL:
        try:
            return well_name(*split_well(value))
        except DataError:
            return value
    return str(int(value)) if key == SITE and value.isdecimal() else value


def _empty_group(plates: Sequence[Plate], groups: Sequence[tuple[str, str]]) -> UsageError:
    """Say which values there are of the keys that were asked for."""
    values = group_values(plates).values()

    def there(name: str) -> str:
        own = sorted({own[name] for own in values if name in own}, key=natural)
        more = f", … ({len(own)})" if len(own) > _SHOWN else ""
        return f"{name}: {', '.join(own[:_SHOWN])}{more}"

    known: Mapping[str, str] = next(iter(values))
    names = [key if key in known else f"{METADATA}{key}" for key, _ in groups]
    return UsageError(
        f"-g {','.join(f'{key}={value}' for key, value in groups)}: no image set is in the group",
        where=plates[0].path,
        remedy=f"there are {'; '.join(there(name) for name in names)}",
    )
