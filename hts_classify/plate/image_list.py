"""Plates as a table of image files, in the columns of CellProfiler's LoadData.

    Metadata_Plate, Metadata_Well (or _Row and _Column), Metadata_Site, Metadata_T, Metadata_Z
    Image_FileName_<Channel>, Image_PathName_<Channel> (or Image_URL_<Channel>), Frame_<Channel>

The `Image_` in front may be absent, and `Metadata_` names are known in any case. A row is a field,
or one of its time points or planes where the table counts those. Relative paths begin at the
table's folder, or at `View.folder`. Pages of a file that `Frame_` does not choose from are planes,
or what OME-TIFF or ImageJ say they are. A file that is missing is missed when its channel is read.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from ..errors import DataError, FieldError, PlateError
from ..vocabulary import ALIASES, METADATA, PLATE, WELL
from .fields import choose_plate, make_head, natural, number_sites, place_well, split_choice
from .image_files import Header, ImageFiles, Page, read_headers
from .layout import Field, View
from .ome import plate_order
from .stored import Broken, Image, StoredPlate, make_plate

__all__ = ["RowPlace", "is_image_list", "open_image_list", "plate_names", "row_places"]

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

_Cells = dict[tuple[str, str], dict[str, Page | str]]
"""By time point and plane: each channel's page, or its file where no frame is chosen."""


@dataclass(slots=True)
class _Table:
    """The rows of one plate."""

    channels: list[str]
    wells: dict[str, dict[str, _Cells]] = field(default_factory=dict)
    """By well and site."""


def is_image_list(path: Path) -> bool:
    """Tell whether a file is a table that names image files."""
    if path.suffix.lower() not in (".csv", ".tsv", ".txt"):
        return False
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return bool(_channels(next(csv.reader(file, delimiter=_delimiter(path)), [])))
    except (UnicodeDecodeError, csv.Error):
        return False


def plate_names(path: str | Path) -> tuple[str, ...]:
    """Return the plates that an image list names; empty where it names none."""
    rows, words = _rows(Path(path))
    names = {row[words["plate"]] for _, row in rows} if "plate" in words else set()
    return tuple(sorted(names, key=natural))


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


def row_places(path: Path) -> tuple[RowPlace, ...]:
    """Say of every row of an image list which plate, well, site and time point it is of."""
    rows, words = _rows(path)
    places: list[RowPlace] = []
    held: dict[tuple[str, str], int] = {}
    for number, (_, row) in enumerate(rows, start=1):
        said = {word: row[title] for word, title in words.items()}
        plate = said.get("plate", "")
        try:
            well = place_well(said)
        except DataError:  # said when the plate is opened that it is on
            well = ""
        held[plate, well] = held.get((plate, well), 0) + 1
        alone = "1" if {"t", "z"} & set(said) else str(held[plate, well])
        metadata = {
            bare: value
            for title, value in row.items()
            if (bare := title.strip().removeprefix("Image_")).startswith(METADATA)
        }
        site, time = said.get("site", alone), said.get("t", "")
        places.append(RowPlace(number, plate, well, site, time, metadata))
    return tuple(places)


def open_image_list(path: str | Path, *, name: str, view: View) -> StoredPlate:
    """Open a plate of TIFF or PNG files, from a CellProfiler LoadData table.

    Parameters
    ----------
    path : str or Path
        The table; `load_data.csv#BR00117` is one plate of a table of several.
    name : str
        The plate's name where the table gives none.

    Raises
    ------
    PlateError
        When the table names no wells or files, names one twice, or names several plates and
        none was chosen.
    """
    file, chosen = split_choice(path)
    where = str(path)
    rows, words = _rows(file)
    if "plate" in words:
        name = choose_plate(plate_names(file), chosen, where=str(file))
        rows = [(line, row) for line, row in rows if row[words["plate"]] == name]
    table = _gather(rows, words, where=where, folder=Path(view.folder or file.parent))
    headers = read_headers(
        page.file if isinstance(page, Page) else page
        for sites in table.wells.values()
        for cells in sites.values()
        for cell in cells.values()
        for page in cell.values()
    )
    images: dict[Field, Image | Broken] = {}
    pages: dict[str, tuple[Page, ...]] = {}
    for well in sorted(table.wells, key=plate_order):
        for site, number in number_sites(table.wells[well]).items():
            at = Field(well, number, f"{well}/{number}")
            try:
                images[at], pages[at.path] = _image(
                    at.path, table.wells[well][site], table.channels, headers
                )
            except FieldError as error:
                images[at] = Broken(error.what, error.remedy)
    return make_plate(
        where,
        head=make_head(name, images),
        store=ImageFiles(pages),
        images=images,
        missing=(),
        view=view,
    )


def _delimiter(path: Path) -> str:
    return "\t" if path.suffix.lower() == ".tsv" else ","


def _rows(path: Path) -> tuple[list[tuple[int, dict[str, str]]], dict[str, str]]:
    """Read a table's lines by number, and find which columns say where a file belongs."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter=_delimiter(path), restval="")
            rows = [
                (reader.line_num, {k: v.strip() for k, v in row.items() if isinstance(v, str)})
                for row in reader
            ]
            titles = list(reader.fieldnames or ())
    except (UnicodeDecodeError, csv.Error) as error:
        raise PlateError(
            f"is no table ({error})", where=str(path), remedy="save it as CSV in UTF-8"
        ) from error
    bare = {re.sub("^(image_)?metadata_", "", t.strip().lower()): t for t in reversed(titles)}
    words = {
        word: bare[next(name for name in names if name in bare)]
        for word, names in _WORDS.items()
        if any(name in bare for name in names)
    }
    if not rows or not _channels(titles):
        raise PlateError(
            "names no image files",
            where=str(path),
            remedy="give columns FileName_<channel> and PathName_<channel>, as for LoadData",
        )
    if "well" not in words and not {"row", "column"} <= set(words):
        raise PlateError(
            f"no column of wells among {', '.join(titles)}",
            where=str(path),
            remedy="give a column Metadata_Well, or Metadata_Row and Metadata_Column",
        )
    return rows, words


def _channels(titles: Sequence[str]) -> list[str]:
    """Return the channels that columns name, in their order."""
    found = [match for title in titles if (match := _FILE.fullmatch(title.strip()))]
    return list(dict.fromkeys(m[2] for m in found if m[1] in ("FileName", "URL")))


def _gather(
    rows: Sequence[tuple[int, dict[str, str]]],
    words: Mapping[str, str],
    *,
    where: str,
    folder: Path,
) -> _Table:
    """Put the files of a plate in order by well, site, time point, plane and channel."""
    table = _Table(_channels(list(rows[0][1])))
    for line, row in rows:
        said = {word: row[title] for word, title in words.items()}
        try:
            sites = table.wells.setdefault(place_well(said), {})
            cell = {channel: _page(row, channel, folder) for channel in table.channels}
        except DataError as error:
            raise PlateError(
                f"line {line}: {error.what}", where=where, remedy=error.remedy
            ) from error
        alone = "1" if {"t", "z"} & set(said) else str(len(sites) + 1)
        cells = sites.setdefault(said.get("site", alone), {})
        place = said.get("t", ""), said.get("z", "")
        if place in cells:
            raise PlateError(
                f"line {line}: a second row for well {place_well(said)} site "
                f"{said.get('site', '')} of the same time point and plane",
                where=where,
                remedy="number them in Metadata_Site, Metadata_T or Metadata_Z",
            )
        cells[place] = {channel: page for channel, page in cell.items() if page is not None}
    return table


def _page(row: Mapping[str, str], channel: str, folder: Path) -> Page | str | None:
    """Return a channel's file, with the page where the row says which; `None` without a file."""
    said = {
        match[1]: value
        for title, value in row.items()
        if (match := _FILE.fullmatch(title)) and match[2] == channel and value
    }
    if _count(said.get("Series", "0"), f"Series_{channel}"):
        raise DataError(
            f"Series_{channel} {said['Series']}", remedy="write each series as a file of its own"
        )
    if "FileName" in said:
        place = PureWindowsPath(said.get("PathName", ""), said["FileName"]).as_posix()
    elif "URL" in said:
        url = urlsplit(said["URL"])
        if url.scheme not in ("", "file"):
            raise DataError(f"URL {said['URL']}", remedy="copy the files here, and name the copies")
        place = unquote(url.path)
    else:
        return None
    file = str(folder / place)
    return Page(file, _count(said["Frame"], f"Frame_{channel}")) if "Frame" in said else file


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
        _pick(cells.get((time, plane), {}).get(channel, ""), header, t, z)
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


def _pick(page: Page | str, header: Header, time: int, plane: int) -> Page:
    if isinstance(page, Page):
        return page
    return Page(page, header.frame(time, plane) if page else 0)


def _common(cells: _Cells, headers: Mapping[str, Header | Exception]) -> Header:
    """Return what a field's files have in common; FieldError if they differ, or none is there."""
    common: Header | None = None
    lacking = ""
    pages = [(channel, page) for cell in cells.values() for channel, page in cell.items()]
    for channel, page in pages:
        file = page.file if isinstance(page, Page) else page
        header = headers[file]
        if isinstance(header, FileNotFoundError):
            lacking = lacking or f"channel {channel}: {file} is missing"
            continue
        if isinstance(header, Exception):
            what = header.what if isinstance(header, DataError) else f"does not open ({header})"
            remedy = header.remedy if isinstance(header, DataError) else "copy it again"
            raise FieldError(f"channel {channel}: {file} {what}", remedy=remedy)
        if isinstance(page, Page):
            header = header.one(page.frame, f"channel {channel}: {file}")
        common = common or header
        if header != common:
            raise FieldError(
                f"channel {channel}: {file} has {header}, others of the field {common}"
            )
    if common is None:
        raise FieldError(lacking or "its rows name no files", remedy="copy it, or drop its rows")
    return common
