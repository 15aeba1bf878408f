"""Plates as a table of image files, in the columns of CellProfiler's LoadData.

    Metadata_Plate, Metadata_Well (or _Row and _Column), Metadata_Site, Metadata_T, Metadata_Z
    Image_FileName_<Channel>, Image_PathName_<Channel> (or Image_URL_<Channel>), Frame_<Channel>
    FileName_Illum<Channel>, PathName_Illum<Channel> (illumination functions)

The `Image_` in front may be absent, and `Metadata_` names are known in any case. A row is a field,
or one of its time points or planes where the table counts those. Relative paths begin at the
table's folder, or at `View.folder`. URLs are read by fsspec. Pages of a file that `Frame_` does not
choose from are planes, or what OME-TIFF or ImageJ say they are. A file that is missing is missed
when its channel is read. `list_table` reads the table, `list_places` and `list_bytes` find and get
its files, `list_illumination` applies its functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import DataError, FieldError, PlateError, UsageError
from .fields import choose_plate, make_head, natural, number_sites, place_well, split_choice
from .image_files import Header, ImageFiles, Page, read_headers
from .layout import Field, View
from .list_bytes import check_storages
from .list_metadata import metadata_of
from .list_places import locate
from .list_table import ListTable, read_list
from .ome import plate_order
from .stored import TRANSIENT, Broken, Image, StoredPlate, make_plate

__all__ = ["open_image_list"]


@dataclass(slots=True)
class _Cell:
    """What one row says of a field."""

    line: int
    row: Mapping[str, str]
    pages: dict[str, Page]
    """By channel; without those that the row names no file of."""
    functions: tuple[Page, ...]
    """Illumination functions, a channel each; empty where the row names none."""


_Cells = dict[tuple[str, str], _Cell]
"""By time point and plane."""


@dataclass(slots=True)
class _Listed:
    """The rows of one plate."""

    wells: dict[str, dict[str, _Cells]] = field(default_factory=dict)
    """By well and site."""

    def pages(self) -> Iterator[Page]:
        """Go through every page that is named."""
        for sites in self.wells.values():
            for cells in sites.values():
                for cell in cells.values():
                    yield from cell.pages.values()


def open_image_list(path: str | Path, *, name: str, view: View) -> StoredPlate:
    """Open a plate of TIFF or PNG files, from a CellProfiler LoadData table.

    Parameters
    ----------
    path : str or Path
        The table; `load_data.csv#BR00117` is one plate of a table of several.
    name : str
        The plate's name where the table gives none.
    view : View
        Which part of it is looked at; `view.folder` is where its relative paths begin.

    Raises
    ------
    PlateError
        When the table names no wells or files, names one twice, or names several plates and
        none was chosen.
    UsageError
        When no installed package reads its URLs.
    """
    file, chosen = split_choice(path)
    where = str(path)
    if view.level:
        raise UsageError(
            f"no level {view.level}",
            where=where,
            remedy="images of a list have full resolution alone, --level 0",
        )
    table = read_list(file)
    rows = table.rows
    if "plate" in table.words:
        title = table.words["plate"]
        name = choose_plate(table.plates, chosen, where=str(file))
        rows = [(line, row) for line, row in rows if row[title] == name]
    listed = _gather(table, rows, folder=view.folder or str(file.parent), where=where)
    lines: dict[str, str] = {}
    for page in listed.pages():
        lines.setdefault(page.file, f"{where} {page.row}")
    check_storages(lines)
    try:
        headers = read_headers(page.file for page in listed.pages())
    except TRANSIENT as error:
        raise PlateError(
            f"its files got no answer ({error})",
            where=where,
            remedy="check the addresses, and try again",
        ) from error
    images: dict[Field, Image | Broken] = {}
    pages: dict[str, tuple[Page, ...]] = {}
    functions: dict[str, tuple[tuple[Page, ...], ...]] = {}
    said: dict[str, list[Mapping[str, str]]] = {}
    for well in sorted(listed.wells, key=plate_order):
        for site, number in number_sites(listed.wells[well]).items():
            cells = listed.wells[well][site]
            at = Field(well, number, f"{well}/{number}")
            said[at.path] = [cell.row for cell in cells.values()]
            functions[at.path] = tuple(dict.fromkeys(cell.functions for cell in cells.values()))
            try:
                images[at], pages[at.path] = _image(at.path, cells, table.channels, headers)
            except FieldError as error:
                images[at] = Broken(error.what, error.remedy)
    metadata, notes = metadata_of(table, said)
    if table.unused:
        notes.append(
            f"illumination functions without a file or a channel: {', '.join(table.unused)}"
        )
    if table.functions and (view.illumination is None or any(f for _, f in view.illumination)):
        notes.append("the image list's own illumination functions are not applied")
    return make_plate(
        where,
        head=make_head(name, images),
        store=ImageFiles(pages, table.channels, functions if table.functions else {}),
        images=images,
        missing=(),
        view=view,
        notes=notes,
        metadata=metadata,
    )


def _gather(
    table: ListTable, rows: Sequence[tuple[int, Mapping[str, str]]], *, folder: str, where: str
) -> _Listed:
    """Put the files of a plate in order by well, site, time point, plane and channel."""
    listed = _Listed()
    for line, row in rows:
        said = {word: row[title] for word, title in table.words.items()}
        try:
            well = place_well(said)
            pages = {
                channel: _page(table, row, channel, folder, line) for channel in table.channels
            }
            functions = tuple(
                _page(table, row, table.functions[channel], folder, line)
                if channel in table.functions
                else Page("")
                for channel in table.channels
            )
        except DataError as error:
            raise PlateError(
                f"line {line}: {error.what}", where=where, remedy=error.remedy
            ) from error
        sites = listed.wells.setdefault(well, {})
        alone = "1" if {"t", "z"} & set(said) else str(len(sites) + 1)
        cells = sites.setdefault(said.get("site", alone), {})
        place = said.get("t", ""), said.get("z", "")
        if place in cells:
            raise PlateError(
                f"line {line}: a second row for well {well} site {said.get('site', '')} of the"
                f" same time point and plane; line {cells[place].line} is the first",
                where=where,
                remedy="number them in Metadata_Site, Metadata_T or Metadata_Z",
            )
        cells[place] = _Cell(
            line, row, {name: page for name, page in pages.items() if page.file}, functions
        )
    return listed


def _page(table: ListTable, row: Mapping[str, str], name: str, folder: str, line: int) -> Page:
    """Return a channel's or function's file, with the page where the row says which."""
    said = table.cells(row, name)
    if _count(said.get("Series", "0"), f"Series_{name}"):
        raise DataError(
            f"Series_{name} {said['Series']}", remedy="write each series as a file of its own"
        )
    if not said.keys() & {"FileName", "URL"}:
        return Page("", line=line)
    try:
        file = locate(said, folder)
    except DataError as error:
        raise DataError(f"channel {name}: {error.what}", remedy=error.remedy) from error
    return Page(file, _count(said["Frame"], f"Frame_{name}") if "Frame" in said else None, line)


def _count(text: str, column: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}(\.0*)?", text):
        raise DataError(f"{column} {text!r}", remedy="write whole numbers from 0")
    return int(float(text))


def _image(
    path: str,
    cells: _Cells,
    channels: Sequence[str],
    headers: Mapping[str, Header | Exception],
) -> tuple[Image, tuple[Page, ...]]:
    """Describe a field and list its pages, by time point, channel and plane."""
    header = _common(cells, headers)
    times = sorted({time for time, _ in cells}, key=natural)
    planes = sorted({plane for _, plane in cells}, key=natural)
    inner = header.times, header.planes
    if (len(times) > 1 and inner[0] > 1) or (len(planes) > 1 and inner[1] > 1):
        raise FieldError(
            f"files of {inner[0]} time points and {inner[1]} planes, which the table counts too",
            remedy="say which page each row means in a column Frame_<channel>",
        )
    pages = [
        _pick(cells.get((time, plane)), channel, header, t, z)
        for time in times
        for t in range(inner[0])
        for channel in channels
        for plane in planes
        for z in range(inner[1])
    ]
    lengths = len(times) * inner[0], len(channels), len(planes) * inner[1]
    image = Image(
        path, tuple("tczyx"), (*lengths, *header.shape), header.dtype, stains=tuple(channels)
    )
    return image, tuple(pages)


def _pick(cell: _Cell | None, channel: str, header: Header, time: int, plane: int) -> Page:
    page = cell.pages.get(channel) if cell else None
    if page is None:
        return Page("", line=cell.line if cell else 0)
    return page if page.frame is not None else replace(page, frame=header.frame(time, plane))


def _common(cells: _Cells, headers: Mapping[str, Header | Exception]) -> Header:
    """Return what a field's files have in common; FieldError if they differ, or none is there."""
    common: Header | None = None
    lacking = ""
    pages = [item for cell in cells.values() for item in cell.pages.items()]
    for channel, page in pages:
        header, place = headers[page.file], f"{page.row}: channel {channel}: {page.file}"
        if isinstance(header, FileNotFoundError):
            lacking = lacking or f"{place} is missing"
            continue
        if isinstance(header, Exception):
            raise _unusable(place, header)
        if page.frame is not None:
            header = header.one(page.frame, place)
        common = common or header
        if header != common:
            raise FieldError(f"{place} has {header}, others of the field {common}")
    if common is None:
        lines = ", ".join(str(cell.line) for cell in cells.values())
        raise FieldError(
            lacking or f"line {lines}: names no files", remedy="copy it, or drop its rows"
        )
    return common


def _unusable(place: str, error: Exception) -> FieldError:
    """Say why a file has no header."""
    if isinstance(error, DataError):
        return FieldError(f"{place} {error.what}", remedy=error.remedy)
    if isinstance(error, TRANSIENT):
        return FieldError(
            f"{place} got no answer ({error})", remedy="check the address, and try again"
        )
    if isinstance(error, PermissionError):
        return FieldError(
            f"{place} may not be read ({error})",
            remedy="check its permissions and your credentials",
        )
    return FieldError(f"{place} does not open ({error})", remedy="copy it again")
