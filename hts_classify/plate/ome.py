"""What OME-NGFF metadata say, from JSON that is already decoded. No I/O here.

Reads what is needed and forgives the rest: writers differ in what they leave out. The
specification: https://ngff.openmicroscopy.org/0.4/ and https://ngff.openmicroscopy.org/0.5/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..errors import DataError, FieldError, PlateError
from ..vocabulary import split_well, well_name

__all__ = ["VERSIONS", "Head", "Multiscale", "Well", "read_head", "read_images", "read_multiscale"]

VERSIONS: Final = {2: "0.4", 3: "0.5"}
"""The OME-NGFF version that goes with each version of zarr."""

_ANCIENT_AXES: Final = ("t", "c", "z", "y", "x")


@dataclass(frozen=True, slots=True)
class Well:
    """A well that the plate's metadata promise."""

    name: str
    """`B03`."""
    path: str
    """Path of its group inside the store: `B/3`, or `B/03`."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a plate's own metadata say, before any well is opened."""

    name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    wells: tuple[Well, ...]
    """In plate order."""


@dataclass(frozen=True, slots=True)
class Multiscale:
    """What an image's metadata say."""

    level: str
    """Path of the full-resolution array inside the image's group."""
    axes: tuple[str, ...]
    labels: tuple[str, ...]
    """Channel names; empty where the writer gave none."""


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
    version = str(ome.get("version") or plate.get("version") or expected)
    if version != expected:
        raise PlateError(
            f"OME-NGFF version {version!r} in zarr v{zarr_format}",
            where=where,
            remedy="hts_classify reads 0.4 (zarr v2) and 0.5 (zarr v3): convert the plate",
        )
    rows, columns = _names(plate.get("rows")), _names(plate.get("columns"))
    wells = make_wells((entry.get("path") for entry in _dicts(plate.get("wells"))), where=where)
    return Head(str(plate.get("name") or name), rows, columns, wells)


def make_wells(paths: Any, *, where: str) -> tuple[Well, ...]:
    """Name wells by the last two parts of their paths, and sort them by row and column.

    Raises
    ------
    PlateError
        When there are none, when a path is no row and column, or when two are the same well.
    """
    wells: dict[str, Well] = {}
    for path in paths:
        parts = str(path).strip("/").split("/")
        try:
            well = Well(well_name(*parts[-2:]), "/".join(parts))
        except (DataError, TypeError):
            raise PlateError(
                f"well path {path!r}", where=where, remedy="well paths are row/column: A/1"
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


def read_images(ome: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the paths of a well's images, in the order in which its metadata list them.

    Raises
    ------
    FieldError
        When the group is no well.
    """
    well = ome.get("well")
    if not isinstance(well, Mapping):
        raise FieldError("its group holds no well metadata")
    paths = tuple(str(entry["path"]) for entry in _dicts(well.get("images")) if "path" in entry)
    if not paths:
        raise FieldError("its metadata list no images")
    return paths


def read_multiscale(ome: Mapping[str, Any]) -> Multiscale:
    """Read an image's metadata: the first multiscale, its full resolution, its channels.

    Raises
    ------
    FieldError
        When the group is no image.
    """
    scales = _dicts(ome.get("multiscales"))
    levels = _dicts(scales[0].get("datasets")) if scales else ()
    if not levels or not isinstance(levels[0].get("path"), str):
        raise FieldError("its group holds no multiscales metadata")
    axes = scales[0].get("axes") or _ANCIENT_AXES
    if not isinstance(axes, Sequence):
        raise FieldError(f"its axes are {axes!r}")
    names = tuple(str(a.get("name") if isinstance(a, Mapping) else a).lower() for a in axes)
    omero = ome.get("omero")
    channels = _dicts(omero.get("channels")) if isinstance(omero, Mapping) else ()
    labels = tuple(str(channel.get("label") or "") for channel in channels)
    return Multiscale(levels[0]["path"], names, labels if any(labels) else ())


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
    return tuple(str(entry.get("name", "")) for entry in _dicts(entries))
