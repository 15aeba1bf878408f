"""What OME-NGFF metadata say, from JSON that is already decoded. No I/O here.

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
    "Multiscale",
    "Well",
    "WellImage",
    "choose_acquisition",
    "inside",
    "make_wells",
    "plate_order",
    "read_head",
    "read_images",
    "read_labels",
    "read_multiscale",
]

VERSIONS: Final = {2: "0.4", 3: "0.5"}
"""The OME-NGFF version that goes with each version of zarr."""

_ANCIENT_AXES: Final = ("t", "c", "z", "y", "x")
_MICROMETRES: Final = {
    "angstrom": 1e-4,
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
}
_MOST_AXES: Final = 16
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


@dataclass(frozen=True, slots=True)
class Multiscale:
    """What an image's metadata say."""

    path: str
    """Path of the chosen level's array inside the image's group."""
    axes: tuple[str, ...]
    stains: tuple[str, ...]
    """Channel names; empty where the writer gave none."""
    levels: int
    pixel_size: tuple[float, ...]
    """Micrometres along y and x at this level; empty where unknown."""


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
    version = _text(ome.get("version")) or _text(plate.get("version")) or expected
    if version != expected:
        raise PlateError(
            f"OME-NGFF version {version!r} in zarr v{zarr_format}",
            where=where,
            remedy="hts_classify reads 0.4 (zarr v2) and 0.5 (zarr v3): convert the plate",
        )
    rows, columns = _names(plate.get("rows")), _names(plate.get("columns"))
    wells = make_wells((entry.get("path") for entry in _dicts(plate.get("wells"))), where=where)
    listed = (
        Acquisition(_text(entry.get("id")), _text(entry.get("name")))
        for entry in _dicts(plate.get("acquisitions"))
    )
    acquisitions = tuple(dict.fromkeys(found for found in listed if found.id))
    return Head(_text(plate.get("name")) or name, rows, columns, wells, acquisitions)


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
    entries = [entry for entry in _dicts(well.get("images")) if "path" in entry]
    if not entries:
        raise FieldError("its metadata list no images")
    if len(entries) > _MOST_IMAGES:
        raise FieldError(f"its metadata list {len(entries)} images")
    images = [WellImage(inside(e["path"]), _text(e.get("acquisition"))) for e in entries]
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


def read_labels(ome: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of an image's label images, from the metadata of their group."""
    names = ome.get("labels")
    listed = names if isinstance(names, list) else []
    return tuple(dict.fromkeys(name for name in listed if isinstance(name, str) and name))


def read_multiscale(ome: Mapping[str, Any], level: int = 0) -> Multiscale:
    """Read an image's metadata: the first multiscale, one of its levels, its channels.

    Raises
    ------
    FieldError
        When the group is no image, or has no such level.
    """
    scales = _dicts(ome.get("multiscales"))
    datasets = _dicts(scales[0].get("datasets")) if scales else ()
    if not datasets or not isinstance(datasets[0].get("path"), str):
        raise FieldError("its group holds no multiscales metadata")
    if not 0 <= level < len(datasets):
        raise FieldError(
            f"no level {level}: it has {len(datasets)}, counted from 0", remedy="choose another one"
        )
    axes = scales[0].get("axes") or _ANCIENT_AXES
    if not isinstance(axes, (list, tuple)) or len(axes) > _MOST_AXES:
        raise FieldError(f"its axes are {reprlib.repr(axes)}")
    names = tuple(_text(a.get("name") if isinstance(a, Mapping) else a).lower() for a in axes)
    omero = ome.get("omero")
    channels = _dicts(omero.get("channels")) if isinstance(omero, Mapping) else ()
    stains = tuple(_text(channel.get("label")) for channel in channels)
    return Multiscale(
        inside(datasets[level].get("path")),
        names,
        stains if any(stains) else (),
        len(datasets),
        _pixel_size(axes, names, datasets[level], scales[0]),
    )


def _pixel_size(
    axes: Sequence[Any], names: Sequence[str], *transformed: Mapping[str, Any]
) -> tuple[float, ...]:
    """Multiply the scales of a level and of its multiscale; nothing where one is odd."""
    steps = [1.0] * len(names)
    known = False
    for level in transformed:
        for transform in _dicts(level.get("coordinateTransformations")):
            scale = transform.get("scale")
            if transform.get("type") != "scale":
                continue
            if not isinstance(scale, list) or len(scale) != len(names):
                return ()
            if not all(type(step) in (int, float) and 0 < step < 1e12 for step in scale):
                return ()
            steps = [old * step for old, step in zip(steps, scale, strict=True)]
            known = True
    sizes = []
    for name in "yx":
        axis = axes[names.index(name)] if name in names else None
        unit = axis.get("unit") if isinstance(axis, Mapping) else None
        factor = _MICROMETRES.get(unit) if isinstance(unit, str) else None
        if not known or factor is None:
            return ()
        sizes.append(steps[names.index(name)] * factor)
    return tuple(sizes)


def _what_it_is(ome: Mapping[str, Any]) -> str:
    if "multiscales" in ome:
        return "this is a single image, not a plate"
    if "well" in ome:
        return "this is one well, not a plate"
    if "bioformats2raw.layout" in ome:
        return "this is a collection of images (bioformats2raw layout), not a plate"
    return "a zarr group without OME-NGFF plate metadata"


def _dicts(entries: Any) -> Sequence[Mapping[str, Any]]:
    if not isinstance(entries, list):
        return ()
    return [entry for entry in entries if isinstance(entry, Mapping)]


def _names(entries: Any) -> tuple[str, ...]:
    return tuple(_text(entry.get("name")) for entry in _dicts(entries))


def _text(content: Any) -> str:
    """Return a name or an id as text; empty for what is neither."""
    if isinstance(content, str):
        return content
    return str(content) if type(content) in (int, float) else ""
