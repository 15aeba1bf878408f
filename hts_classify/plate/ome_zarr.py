"""Plates as OME-Zarr: OME-NGFF 0.4 (zarr v2) and 0.5 (zarr v3), from any writer.

The small JSON files are read directly, all of one kind together: opening thousands of groups
through zarr takes a hundred times as long.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from ..errors import FieldError, HTSWarning, PlateError
from .layout import Field, Missing, View
from .ome import (
    VERSIONS,
    Well,
    WellImage,
    choose_acquisition,
    plate_order,
    read_head,
    read_images,
)
from .ome_image import read_labels
from .remote import open_storage
from .storage import Storage
from .stored import TRANSIENT, Broken, Image, StoredPlate, make_plate
from .zarr_store import (
    MOST_JSON,
    Kept,
    ZarrStore,
    array_file,
    content_of,
    describe,
    group_file,
    multiscale,
    parsed,
    read_ome,
)

__all__ = ["is_zarr_group", "open_ome_zarr", "store_stem"]

_METADATA: Final = ("zarr.json", ".zgroup", ".zattrs", ".zarray")
_SUFFIXES: Final = (".zarr", ".ome", ".h5", ".hdf5")


def is_zarr_group(path: Path) -> bool:
    """Tell whether a folder holds a zarr group or array, of any version."""
    return any((path / name).is_file() for name in _METADATA)


def open_ome_zarr(path: str | Path, *, view: View) -> StoredPlate:
    """Open an OME-Zarr plate in a folder or behind a URL; see `hts_classify.plate.open_plate`."""
    where = str(path)
    try:
        return _open(open_storage(where), where, view)
    except TRANSIENT as error:
        raise PlateError(
            f"got no answer ({error})", where=where, remedy="check the address, and try again"
        ) from error


def store_stem(path: str | Path) -> str:
    """Return a store's name without the suffixes of its format.

    Examples
    --------
    >>> store_stem("screens/BR00117.ome.zarr"), store_stem("s3://screens/BR00117.zarr/")
    ('BR00117', 'BR00117')
    """
    text = str(path).rstrip("/")
    stem = text.rsplit("/", 1)[-1] if "://" in text else Path(text).absolute().name
    while (suffix := Path(stem).suffix.lower()) in _SUFFIXES:
        stem = stem[: -len(suffix)]
    return stem


def _open(storage: Storage, where: str, view: View) -> StoredPlate:
    zarr_format, attributes = _read_root(storage, where)
    head = read_head(attributes, zarr_format=zarr_format, where=where, name=store_stem(where))
    _validate(attributes, zarr_format, where)
    listed, missing = _read_wells(storage, head.wells, zarr_format)
    used = sorted({image.acquisition for images in listed.values() for image in images})
    chosen, note = choose_acquisition(head.acquisitions, used, view.acquisition, where=where)
    fields = []
    for well, images in listed.items():
        shown = [image for image in images if image.acquisition in ("", chosen)]
        if not shown:
            missing.append(Missing(well.name, None, f"no images of acquisition {chosen}"))
        fields += [
            Field(well.name, site, f"{well.path}/{image.path}")
            for site, image in enumerate(shown, start=1)
        ]
    found, arrays = _read_fields(storage, fields, zarr_format, view.level)
    return make_plate(
        where,
        head=head,
        store=ZarrStore(storage, zarr_format, view.level, arrays),
        images=found,
        missing=tuple(sorted(missing, key=lambda one: plate_order(one.well))),
        view=view,
        notes=[note] if note else [],
    )


def _read_root(storage: Storage, where: str) -> tuple[int, dict[str, Any]]:
    """Read the plate's own metadata, and tell by their name which version of zarr this is."""
    new, old = storage.read_each(["zarr.json", ".zattrs"], most=MOST_JSON)
    zarr_format = 2 if isinstance(new, FileNotFoundError) else 3
    file = group_file(zarr_format)
    try:
        content = content_of(old if zarr_format == 2 else new, file)
        return zarr_format, parsed(file, read_ome, content, zarr_format)
    except FieldError as error:
        remedy = "give the path or URL of a plate"
        raise PlateError(error.what, where=where, remedy=remedy) from error


def _read_wells(
    storage: Storage, wells: Sequence[Well], zarr_format: int
) -> tuple[dict[Well, tuple[WellImage, ...]], list[Missing]]:
    """Read which images each well lists."""
    paths = [f"{well.path}/{group_file(zarr_format)}" for well in wells]
    contents = storage.read_each(paths, most=MOST_JSON)
    listed, missing = {}, []
    for well, path, content in zip(wells, paths, contents, strict=True):
        try:
            listed[well] = parsed(path, _images, content_of(content, path), zarr_format)
        except FieldError as error:
            missing.append(Missing(well.name, None, error.what))
    return listed, missing


def _read_fields(
    storage: Storage, fields: Sequence[Field], zarr_format: int, level: int
) -> tuple[dict[Field, Image | Broken], dict[str, Kept]]:
    """Read what the metadata say of each field, of its array and of its label images."""
    file = group_file(zarr_format)
    groups = [f"{field.path}/{file}" for field in fields]
    contents = storage.read_each(groups, most=MOST_JSON)
    labels = storage.read_each([f"{f.path}/labels/{file}" for f in fields], most=MOST_JSON)
    found: dict[Field, Image | Broken] = {}
    known = []
    for field, group, content, own in zip(fields, groups, contents, labels, strict=True):
        try:
            scale = parsed(group, multiscale, content_of(content, group), zarr_format, level)
            known.append((field, scale, _label_names(own, zarr_format)))
        except FieldError as error:
            found[field] = Broken(error.what, error.remedy or "copy the plate again")
    file = array_file(zarr_format)
    paths = [f"{field.path}/{scale.path}" for field, scale, _ in known]
    contents = storage.read_each([f"{path}/{file}" for path in paths], most=MOST_JSON)
    arrays: dict[str, Kept] = {}
    same: dict[bytes, bytes] = {}
    for (field, scale, names), path, content in zip(known, paths, contents, strict=True):
        try:
            metadata = content_of(content, f"{path}/{file}")
            found[field] = describe(path, scale, metadata, names)
        except FieldError as error:
            found[field] = Broken(error.what, error.remedy or "copy the plate again")
        else:
            arrays[path] = Kept(field.path, same.setdefault(metadata, metadata))
    return {field: found[field] for field in fields}, arrays


@lru_cache(maxsize=256)
def _images(raw: bytes, zarr_format: int) -> tuple[WellImage, ...]:
    return read_images(read_ome(raw, zarr_format))


@lru_cache(maxsize=256)
def _labels(raw: bytes, zarr_format: int) -> tuple[str, ...]:
    return read_labels(read_ome(raw, zarr_format))


def _label_names(found: bytes | Exception, zarr_format: int) -> tuple[str, ...]:
    """Return the names of a field's label images, of which most fields have none."""
    if isinstance(found, TRANSIENT):
        raise found
    try:
        return _labels(found, zarr_format) if isinstance(found, bytes) else ()
    except FieldError:
        return ()


def _validate(attributes: Mapping[str, Any], zarr_format: int, where: str) -> None:
    """Say where a writer leaves the specification; what could be read is used all the same."""
    from pydantic import ValidationError
    from yaozarrs import v04, v05

    model = v05.Plate if zarr_format == 3 else v04.Plate
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # yaozarrs warns of each SHOULD
            model.model_validate(dict(attributes))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        warnings.warn(
            f"{where}: not valid OME-NGFF {VERSIONS[zarr_format]} ({place}: {first['msg']});"
            " what is needed could be read",
            HTSWarning,
            stacklevel=6,
        )
