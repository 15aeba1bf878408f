"""What OME-NGFF metadata say of plates and wells, from JSON that is decoded. No I/O here.

Reads what is needed and forgives the rest: writers differ in what they leave out. The
specification: https://ngff.openmicroscopy.org/0.4/ and https://ngff.openmicroscopy.org/0.5/.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..errors import DataError, FieldError, PlateError, UsageError
from ..vocabulary import split_well, well_name

__all__ = [
    "VERSIONS",
    "Acquisition",
    "Head",
    "Well",
    "WellImage",
    "choose_acquisition",
    "dicts",
    "inside",
    "make_wells",
    "plate_order",
    "read_head",
    "read_images",
    "text_of",
]

VERSIONS: Final = {2: "0.4", 3: "0.5"}
"""The OME-NGFF version that goes with each version of zarr."""

_MOST_IMAGES: Final = 10_000
_OUTSIDE: Final = re.compile(r"[\\?#%\x00-\x1f\ud800-\udfff]|^[A-Za-z]:|:/")


@dataclass(frozen=True, slots=True)
class Well:
    """A well that the plate's metadata promise."""

    name: str
    """`B03`."""
    path: str
    """Path of its group inside the store: `B/3`, or `B/03`."""


@dataclass(frozen=True, slots=True)
class Acquisition:
    """A run of the microscope over the plate."""

    id: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.id} ({self.name})" if self.name else self.id


@dataclass(frozen=True, slots=True)
class Head:
    """What a plate's own metadata say, before any well is opened."""

    name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    wells: tuple[Well, ...]
    """In plate order."""
    acquisitions: tuple[Acquisition, ...] = ()


@dataclass(frozen=True, slots=True)
class WellImage:
    """An image that a well's metadata list."""

    path: str
    acquisition: str
    """Its id; empty where the writer gave none."""


def read_head(ome: Mapping[str, Any], *, zarr_format: int, where: str, name: str) -> Head:
    """Read the metadata of a plate's root group.

    Parameters
    ----------
    ome : mapping
        `.zattrs` of zarr v2, or the `ome` attribute of zarr v3.
    zarr_format : {2, 3}
        The version of zarr, which goes with the version of OME-NGFF.
    where : str
        The store, for errors.
    name : str
        The plate's name where the metadata have none.

    Raises
    ------
    PlateError
        When this is no plate, of another version, or without wells.
    """
    plate = ome.get("plate")
    if not isinstance(plate, Mapping):
        raise PlateError(_what_it_is(ome), where=where, remedy="give the path of an HCS plate")
    expected = VERSIONS[zarr_format]
    version = text_of(ome.get("version")) or text_of(plate.get("version")) or expected
    if version != expected:
        raise PlateError(
            f"OME-NGFF version {version!r} in zarr v{zarr_format}",
            where=where,
            remedy="hts_classify reads 0.4 (zarr v2) and 0.5 (zarr v3): convert the plate",
        )
    rows, columns = _names(plate.get("rows")), _names(plate.get("columns"))
    promised = plate.get("wells")
    paths = (
        entry.get("path") if isinstance(entry, Mapping) else None
        for entry in (promised if isinstance(promised, list) else ())
    )
    wells = make_wells(paths, where=where)
    listed = (
        Acquisition(text_of(entry.get("id")), text_of(entry.get("name")))
        for entry in dicts(plate.get("acquisitions"))
    )
    acquisitions = tuple(dict.fromkeys(found for found in listed if found.id))
    return Head(text_of(plate.get("name")) or name, rows, columns, wells, acquisitions)


def make_wells(paths: Any, *, where: str) -> tuple[Well, ...]:
    """Name wells by the last two parts of their paths, and sort them by row and column.

    Raises
    ------
    PlateError
        When there are none, when a path is no row and column, or when two are the same well.
    """
    wells: dict[str, Well] = {}
    for path in paths:
        try:
            parts = inside(path).split("/")
            well = Well(well_name(*parts[-2:]), "/".join(parts))
        except (DataError, TypeError):
            raise PlateError(
                f"well path {reprlib.repr(path)}",
                where=where,
                remedy="well paths are row/column inside the plate: A/1",
            ) from None
        if well.name in wells:
            raise PlateError(
                f"well {well.name} is listed as {wells[well.name].path} and {well.path}",
                where=where,
                remedy="list each well once",
            )
        wells[well.name] = well
    if not wells:
        raise PlateError("the plate lists no wells", where=where, remedy="check how it was written")
    return tuple(sorted(wells.values(), key=lambda well: plate_order(well.name)))


def plate_order(well: str) -> tuple[int, str, int]:
    """Return a key that sorts wells by row (`Z` before `AA`), then by column.

    Examples
    --------
    >>> sorted(["AA01", "B10", "B2"], key=plate_order)
    ['B2', 'B10', 'AA01']
    """
    row, column = split_well(well)
    return len(row), row, column


def inside(path: Any) -> str:
    """Return a path that leads to something below where it begins.

    Raises
    ------
    FieldError
        When it is absolute, goes up, or is a URL.

    Examples
    --------
    >>> inside("A/1/"), inside("s0")
    ('A/1', 's0')
    >>> inside("../../etc")
    Traceback (most recent call last):
      ...
    hts_classify.errors.FieldError: path '../../etc' leaves the plate
    """
    text = path.rstrip("/") if isinstance(path, str) else ""
    if not text or _OUTSIDE.search(text) or {"", ".", ".."} & set(text.split("/")):
        raise FieldError(f"path {reprlib.repr(path)} leaves the plate")
    return text


def read_images(ome: Mapping[str, Any]) -> tuple[WellImage, ...]:
    """Return a well's images, in the order in which its metadata list them.

    Raises
    ------
    FieldError
        When the group is no well, or what it lists makes no sense.
    """
    well = ome.get("well")
    if not isinstance(well, Mapping):
        raise FieldError("its group holds no well metadata")
    entries = dicts(well.get("images"))
    if not entries:
        raise FieldError("its metadata list no images")
    if len(entries) < len(well["images"]) or not all("path" in entry for entry in entries):
        raise FieldError("its metadata list an image without a path")
    if len(entries) > _MOST_IMAGES:
        raise FieldError(f"its metadata list {len(entries)} images")
    images = [WellImage(inside(e["path"]), text_of(e.get("acquisition"))) for e in entries]
    if len(set(images)) < len(images):
        raise FieldError("its metadata list an image twice")
    return tuple(images)


def choose_acquisition(
    listed: Sequence[Acquisition], used: Sequence[str], asked: str, *, where: str
) -> tuple[str, str]:
    """Return the id of the acquisition that is shown, and what is to be said of the choice.

    Parameters
    ----------
    listed : sequence of Acquisition
        Those in the plate's metadata.
    used : sequence of str
        Ids that the wells' images carry.
    asked : str
        An id or a name; empty for the first.

    Raises
    ------
    UsageError
        When there is none of that id or name; it lists those that there are.

    Examples
    --------
    >>> days = [Acquisition("0", "day 1"), Acquisition("1")]
    >>> choose_acquisition(days, ["1", "0"], "", where="p.zarr")
    ('0', 'acquisitions 0 (day 1), 1: the first')
    """
    ids = {acquisition.id for acquisition in listed}
    others = sorted({one for one in used if one} - ids, key=lambda text: (len(text), text))
    known = [*listed, *(Acquisition(one) for one in others)]
    if asked:
        for acquisition in known:
            if asked in (acquisition.id, acquisition.name):
                return acquisition.id, ""
        shown = ", ".join(map(str, known[:20]))
        raise UsageError(
            f"no acquisition {asked!r}",
            where=where,
            remedy=f"the plate has {shown}" if known else "the plate tells of none",
        )
    if len(known) < 2:
        return (known[0].id if known else ""), ""
    # What is listed and was never used is not chosen.
    first = next((found for found in known if found.id in set(used)), known[0])
    place = "the first" if first is known[0] else f"{first}, the first with images"
    return first.id, f"acquisitions {', '.join(map(str, known[:20]))}: {place}"


def _what_it_is(ome: Mapping[str, Any]) -> str:
    if "multiscales" in ome:
        return "this is a single image, not a plate"
    if "well" in ome:
        return "this is one well, not a plate"
    if "bioformats2raw.layout" in ome:
        return "this is a collection of images (bioformats2raw layout), not a plate"
    return "a zarr group without OME-NGFF plate metadata"


def dicts(entries: Any) -> Sequence[Mapping[str, Any]]:
    """Return the objects of a list; none of what is no list."""
    if not isinstance(entries, list):
        return ()
    return [entry for entry in entries if isinstance(entry, Mapping)]


def _names(entries: Any) -> tuple[str, ...]:
    return tuple(text_of(entry.get("name")) for entry in dicts(entries))


def text_of(content: Any) -> str:
    """Return a name or an id as text; empty for what is neither."""
    if isinstance(content, str):
        return content
    return str(content) if type(content) in (int, float) else ""
