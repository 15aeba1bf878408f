"""An image list as a table: its rows by line, and what each of its columns is for.

A channel's columns are CellProfiler's: `FileName_<Channel>` with `PathName_<Channel>`, or
`URL_<Channel>`, and `Frame_<Channel>`; `Image_` may stand in front. Columns of a name with `Illum`
that list `.npy` files are the illumination function of the channel that the rest of the name is:
`IllumDNA` goes with `OrigDNA` or `DNA`, as the Broad's tables have it.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from ..errors import DataError, PlateError
from ..vocabulary import ALIASES, METADATA, PLATE, WELL
from .fields import natural, place_well

__all__ = ["ListTable", "RowPlace", "is_image_list", "plate_names", "read_list", "row_places"]

_SUFFIXES: Final = (".csv", ".tsv", ".txt")
_WORDS: Final = {
    "plate": ("plate", *ALIASES[PLATE]),
    "well": ("well", *ALIASES[WELL]),
    "row": ("row", "well_row", "wellrow"),
    "column": ("column", "col", "well_column", "wellcolumn"),
    "site": ("site", "field", "fov", "field_of_view"),
    "t": ("t", "timepoint", "time_point", "time"),
    "z": ("z", "plane", "zplane", "z_plane"),
}
"""What `Metadata_` columns are called; case does not count."""
_FILE: Final = re.compile(r"(?:Image_)?(FileName|PathName|URL|Frame|Series)_(.+)")
_METADATA: Final = re.compile(r"(?:image_)?metadata_(.+)", re.IGNORECASE)
_ILLUM: Final = re.compile(r"_?illum(?:ination)?_?", re.IGNORECASE)
_FUNCTIONS: Final = (".npy", ".mat")
"""Files that CellProfiler keeps illumination functions in."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ListTable:
    """The rows of an image list."""

    path: Path
    titles: tuple[str, ...]
    rows: Sequence[tuple[int, Mapping[str, str]]]
    """Each row's line in the file, from 1, and its cells by title."""
    words: Mapping[str, str]
    """Titles of the columns that say where a file belongs: plate, well, row, column, site, t, z."""
    files: Mapping[str, Mapping[str, str]]
    """By channel or function: titles by FileName, PathName, URL, Frame and Series."""
    channels: tuple[str, ...]
    """Those of `files` that are images, in their order."""
    functions: Mapping[str, str]
    """By channel: which of `files` is its illumination function."""
    unused: tuple[str, ...]
    """Illumination functions without a file, or of channels that the table has not."""

    @property
    def plates(self) -> tuple[str, ...]:
        """Names of its plates; empty where it names none."""
        title = self.words.get("plate")
        return tuple(sorted({row[title] for _, row in self.rows}, key=natural)) if title else ()

    @property
    def metadata(self) -> dict[str, str]:
        """Titles of all `Metadata_` columns by their names without `Image_`."""
        found: dict[str, str] = {}
        for title in self.titles:
            if match := _METADATA.fullmatch(title):
                found.setdefault(METADATA + match[1], title)
        return found

    def cells(self, row: Mapping[str, str], name: str) -> dict[str, str]:
        """Return what a row says of a channel's or function's file, without what is empty."""
        return {kind: row[title] for kind, title in self.files[name].items() if row[title]}


class RowPlace(NamedTuple):
    """Where a row of an image list belongs."""

    number: int
    """From 1, the first below the header; empty lines do not count."""
    plate: str
    well: str
    """`B03`; nothing where the row names no well."""
    site: str
    time: str
    metadata: dict[str, str]
    """Its `Metadata_` columns."""


def is_image_list(path: Path) -> bool:
    """Tell whether a file is a table that names image files."""
    if path.suffix.lower() not in _SUFFIXES:
        return False
    try:
        with path.open("rb") as file:
            head = file.readline(1 << 20)
            head += file.read(1) if head.startswith(b"\xff\xfe") else b""  # half of its newline
        if not head.startswith((b"\xff\xfe", b"\xfe\xff")) and b"\0" in head:
            return False
        line = _decode(head, errors="replace").splitlines()[:1]
        titles = next(csv.reader(line, delimiter=_delimiter("".join(line))), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    return any((match := _FILE.fullmatch(t.strip())) and match[1] in _NAMING for t in titles)


def plate_names(path: str | Path) -> tuple[str, ...]:
    """Return the plates that an image list names; empty where it names none."""
    return read_list(Path(path)).plates


def read_list(path: Path) -> ListTable:
    """Read an image list, and find what its columns are for.

    Raises
    ------
    PlateError
        When it is no table, has no rows, names no images or wells, or lacks a column that goes
        with another.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise PlateError(
            f"cannot be read ({error})", where=str(path), remedy="check the path"
        ) from error
    return _parsed(path, status.st_mtime_ns, status.st_size)


def row_places(path: Path) -> tuple[RowPlace, ...]:
    """Say of every row of an image list which plate, well, site and time point it is of."""
    return _placed(read_list(path))


@lru_cache(maxsize=1)  # to choose image sets asks for it several times
def _placed(table: ListTable) -> tuple[RowPlace, ...]:
    places: list[RowPlace] = []
    held: dict[tuple[str, str], int] = {}
    for number, (_, row) in enumerate(table.rows, start=1):
        said = {word: row[title] for word, title in table.words.items()}
        plate = said.get("plate", "")
        try:
            well = place_well(said)
        except DataError:  # said when the plate is opened that it is on
            well = ""
        held[plate, well] = held.get((plate, well), 0) + 1
        alone = "1" if {"t", "z"} & set(said) else str(held[plate, well])
        metadata = {name: row[title] for name, title in table.metadata.items()}
        site, time = said.get("site", alone), said.get("t", "")
        places.append(RowPlace(number, plate, well, site, time, metadata))
    return tuple(places)


@lru_cache(maxsize=1)  # a table of twenty plates is opened twenty times
def _parsed(path: Path, _changed: int, _size: int) -> ListTable:
    where = str(path)
    titles, rows = _read(path)
    files: dict[str, dict[str, str]] = {}
    for title in titles:
        if match := _FILE.fullmatch(title):
            files.setdefault(match[2], {}).setdefault(match[1], title)
    if not any(kind in _NAMING for kinds in files.values() for kind in kinds):
        raise PlateError("names no image files", where=where, remedy=_COLUMNS)
    for name, kinds in files.items():
        if not set(_NAMING) & set(kinds):
            raise PlateError(
                f"a column {next(iter(kinds.values()))} without FileName_{name}",
                where=where,
                remedy=f"add FileName_{name} or URL_{name}, or take the column out",
            )
    if not rows:
        raise PlateError(
            "names no image files: below its header are no rows",
            where=where,
            remedy="write a row for each field",
        )
    words = _words(titles)
    if "well" not in words and not {"row", "column"} <= set(words):
        raise PlateError(
            f"no column of wells among {', '.join(titles)}",
            where=where,
            remedy="give a column Metadata_Well, or Metadata_Row and Metadata_Column",
        )
    named = [name for name, kinds in files.items() if _names_functions(rows, name, kinds)]
    channels = tuple(name for name in files if name not in named)
    for name in channels:
        others = tuple(channel for channel in channels if channel != name)
        if _ILLUM.search(name) and (channel := _channel_of(name, others)) is not None:
            raise PlateError(
                f"{name}, by its name an illumination function of {channel}, lists"
                f" {_first_file(rows, files[name])}, which is no .npy file",
                where=where,
                remedy="save it as one (numpy.save), or rename its columns if it is a channel",
            )
    functions: dict[str, str] = {}
    for name in named:
        if (channel := _channel_of(name, channels)) is not None and _first_file(rows, files[name]):
            functions.setdefault(channel, name)
    return ListTable(
        path=path,
        titles=tuple(titles),
        rows=rows,
        words=words,
        files=files,
        channels=channels,
        functions=functions,
        unused=tuple(name for name in named if name not in functions.values()),
    )


_NAMING: Final = ("FileName", "URL")
_COLUMNS: Final = (
    "give columns FileName_<channel> and PathName_<channel>, or URL_<channel>, as for LoadData"
)


def _read(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Read a table's header, and its rows that say something, by line."""
    where = str(path)
    try:
        text = _decode(path.read_bytes())
        reader = csv.reader(
            io.StringIO(text, newline=""), delimiter=_delimiter(text[: text.find("\n")])
        )
        titles = [title.strip() for title in next(reader, [])]
        lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise PlateError(
            f"line {line} is no text in UTF-8 (byte 0x{error.object[error.start]:02x})",
            where=where,
            remedy="save it as CSV in UTF-8",
        ) from error
    except (OSError, csv.Error) as error:
        raise PlateError(
            f"is no table ({error})", where=where, remedy="save it as CSV in UTF-8"
        ) from error
    twice = [title for title in dict.fromkeys(titles) if title and titles.count(title) > 1]
    if twice:
        raise PlateError(
            f"two columns are called {twice[0]}", where=where, remedy="take one of them out"
        )
    rows = []
    for line, cells in lines:
        if any(cells[len(titles) :]):
            raise PlateError(
                f"line {line} has {len(cells)} cells, the header {len(titles)}",
                where=where,
                remedy='put cells that hold the separator in quotes: "a,b"',
            )
        if any(cells):
            whole = map(sys.intern, cells + [""] * (len(titles) - len(cells)))
            rows.append((line, dict(zip(titles, whole, strict=False))))
    return titles, rows


def _decode(content: bytes, *, errors: str = "strict") -> str:
    """Decode UTF-8, or what says itself that it is UTF-16, as Excel's "Unicode text" does."""
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    return content.decode("utf-16" if wide else "utf-8-sig", errors)


def _delimiter(header: str) -> str:
    """Return what stands between a header's columns; Excel writes semicolons in half of Europe."""
    return max(",\t;", key=header.count)


def _words(titles: Sequence[str]) -> dict[str, str]:
    """Find the columns that say where a file belongs."""
    bare = {re.sub("^(image_)?metadata_", "", t.lower()): t for t in reversed(titles)}
    return {
        word: bare[next(name for name in names if name in bare)]
        for word, names in _WORDS.items()
        if any(name in bare for name in names)
    }


def _names_functions(
    rows: Sequence[tuple[int, Mapping[str, str]]], name: str, kinds: Mapping[str, str]
) -> bool:
    """Tell illumination functions from images that are called after them, by their files."""
    if not _ILLUM.search(name):
        return False
    first = _first_file(rows, kinds)
    return not first or PurePosixPath(first.lower()).suffix in _FUNCTIONS


def _first_file(rows: Sequence[tuple[int, Mapping[str, str]]], kinds: Mapping[str, str]) -> str:
    """Return the first file that a channel's columns list; nothing where they are empty."""
    listed = (row[kinds[kind]] for _, row in rows for kind in _NAMING if kind in kinds)
    return next((text for text in listed if text), "")


def _channel_of(name: str, channels: Sequence[str]) -> str | None:
    """Return the channel that an illumination function is of; `IllumDNA` is OrigDNA's or DNA's."""
    begin, end = _ILLUM.split(name, maxsplit=1)
    known = {channel.lower().replace("_", ""): channel for channel in reversed(channels)}
    for middle in ("", "orig"):
        wanted = f"{begin}{middle}{end}".lower().replace("_", "")
        if wanted in known:
            return known[wanted]
    return None
