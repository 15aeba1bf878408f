"""Plates as OME-Zarr: OME-NGFF 0.4 (zarr v2) and 0.5 (zarr v3), from any writer.

The small JSON files are read directly, all of one kind together: opening thousands of groups
through zarr takes a hundred times as long. Most of them are the same to the byte, and those are
understood once.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from numpy.typing import NDArray

from ..errors import FieldError, HTSWarning, PlateError
from .layout import Field, Missing, View
from .ome import (
    VERSIONS,
    Multiscale,
    Well,
    WellImage,
    choose_acquisition,
    inside,
    read_head,
    read_images,
    read_labels,
    read_multiscale,
)
from .storage import Storage, open_storage, spread
from .stored import TRANSIENT, Broken, Gap, Image, StoredPlate, make_plate
from .zarr_chunks import Array, load_json, read_array, read_shape
from .zarr_pixels import absent_inner, read_pixels

__all__ = ["ZarrStore", "is_zarr_group", "open_ome_zarr", "store_stem"]

_METADATA: Final = ("zarr.json", ".zgroup", ".zattrs", ".zarray")
_MOST_JSON: Final = 1 << 25
"""Bytes of a metadata file."""
_SUFFIXES: Final = (".zarr", ".ome", ".h5", ".hdf5")
_T = TypeVar("_T")


class Kept(NamedTuple):
    """What a plate remembers of a field's array."""

    group: str
    """Path of the image's group."""
    metadata: bytes
    """Of the array, as they were when the plate was opened."""


@dataclass(frozen=True, slots=True)
class ZarrStore:
    """Arrays below a root."""

    storage: Storage
    zarr_format: int
    level: int
    arrays: Mapping[str, Kept]

    @property
    def format(self) -> str:
        """`OME-Zarr 0.4` or `OME-Zarr 0.5`."""
        return f"OME-Zarr {VERSIONS[self.zarr_format]}"

    def size(self, images: Sequence[Image]) -> int:
        """Bytes of the arrays' files; of those whose metadata make no sense, none."""

        def one(path: str) -> int:
            try:
                array = self._array(path)
            except FieldError:
                return 0
            stats = self.storage.stats(path, array.files)
            return sum(found.size for found in stats if found is not None)

        return sum(spread(one, dict.fromkeys(image.path for image in images)))

    def gaps(self, image: Image) -> Sequence[Gap]:
        """Find missing chunks, and shards that leave chunks out."""
        array = self._array(image.path)
        gaps: list[Gap] = []
        there = []
        most = array.most_stored
        stats = self.storage.stats(image.path, array.files)
        for found, name, start in zip(stats, array.files, array.starts, strict=True):
            if found is None:
                gaps.append(Gap(f"{image.path}/{name}", start, array.parts))
            elif found.size > most:
                raise FieldError(
                    f"{image.path}/{name} has {found.size} bytes, more than its pixels can take"
                )
            else:
                there.append((name, start))
        if array.shard is not None:
            for name, start in absent_inner(self.storage, image.path, array, there):
                gaps.append(Gap(f"{image.path}/{name} at {start}", start, array.chunks))
        return gaps

    def stamp(self, image: Image) -> str:
        """Hash the array's metadata, and the size and the time of change of each of its files."""
        metadata = self.arrays[image.path].metadata
        content = hashlib.sha256(metadata)
        content.update(repr((image.axes, image.lengths)).encode())
        for found in self.storage.stats(image.path, read_array(metadata).files):
            content.update(b"absent;" if found is None else f"{found.size} {found.tag};".encode())
        return content.hexdigest()[:16]

    def label(self, image: Image, name: str) -> Image:
        """Read what the metadata say of a label image, at the level of the field."""
        if name not in image.label_names:
            known = ", ".join(image.label_names) or "no label images"
            raise FieldError("there is none of that name", remedy=f"it has {known}")
        group = f"{self.arrays[image.path].group}/labels/{inside(name)}"
        file = f"{group}/{_group_file(self.zarr_format)}"
        scale = _at(file, _multiscale, self._read(file), self.zarr_format, self.level)
        path = f"{group}/{scale.path}"
        return _image(path, scale, self._metadata(path))

    def pixels(self, image: Image, index: tuple[Any, ...]) -> NDArray[Any]:
        """Decode a part of an array."""
        return read_pixels(self.storage, image.path, self._array(image.path), index)

    def _metadata(self, path: str) -> bytes:
        kept = self.arrays.get(path)
        return kept.metadata if kept else self._read(f"{path}/{_array_file(self.zarr_format)}")

    def _array(self, path: str) -> Array:
        try:
            return read_array(self._metadata(path))
        except FieldError as error:
            raise FieldError(
                f"the chunks of {path} make no sense: {error.what}", remedy=error.remedy
            ) from error

    def _read(self, path: str) -> bytes:
        return _content(self.storage.read_each([path], most=_MOST_JSON)[0], path)


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


def _group_file(zarr_format: int) -> str:
    return ".zattrs" if zarr_format == 2 else "zarr.json"


def _array_file(zarr_format: int) -> str:
    return ".zarray" if zarr_format == 2 else "zarr.json"


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
        missing=tuple(missing),
        view=view,
        notes=[note] if note else [],
    )


def _read_root(storage: Storage, where: str) -> tuple[int, dict[str, Any]]:
    """Read the plate's own metadata, and tell by their name which version of zarr this is."""
    new, old = storage.read_each(["zarr.json", ".zattrs"], most=_MOST_JSON)
    zarr_format = 2 if isinstance(new, FileNotFoundError) else 3
    file = _group_file(zarr_format)
    try:
        content = _content(old if zarr_format == 2 else new, file)
        return zarr_format, _at(file, _ome, content, zarr_format)
    except FieldError as error:
        remedy = "give the path or URL of a plate"
        raise PlateError(error.what, where=where, remedy=remedy) from error


def _read_wells(
    storage: Storage, wells: Sequence[Well], zarr_format: int
) -> tuple[dict[Well, tuple[WellImage, ...]], list[Missing]]:
    """Read which images each well lists."""
    paths = [f"{well.path}/{_group_file(zarr_format)}" for well in wells]
    contents = storage.read_each(paths, most=_MOST_JSON)
    listed, missing = {}, []
    for well, path, content in zip(wells, paths, contents, strict=True):
        try:
            listed[well] = _at(path, _images, _content(content, path), zarr_format)
        except FieldError as error:
            missing.append(Missing(well.name, None, error.what))
    return listed, missing


def _read_fields(
    storage: Storage, fields: Sequence[Field], zarr_format: int, level: int
) -> tuple[dict[Field, Image | Broken], dict[str, Kept]]:
    """Read what the metadata say of each field, of its array and of its label images."""
    file = _group_file(zarr_format)
    groups = [f"{field.path}/{file}" for field in fields]
    contents = storage.read_each(groups, most=_MOST_JSON)
    labels = storage.read_each([f"{f.path}/labels/{file}" for f in fields], most=_MOST_JSON)
    found: dict[Field, Image | Broken] = {}
    known = []
    for field, group, content, own in zip(fields, groups, contents, labels, strict=True):
        try:
            scale = _at(group, _multiscale, _content(content, group), zarr_format, level)
            known.append((field, scale, _label_names(own, zarr_format)))
        except FieldError as error:
            found[field] = Broken(error.what, error.remedy or "copy the plate again")
    file = _array_file(zarr_format)
    paths = [f"{field.path}/{scale.path}" for field, scale, _ in known]
    contents = storage.read_each([f"{path}/{file}" for path in paths], most=_MOST_JSON)
    arrays: dict[str, Kept] = {}
    same: dict[bytes, bytes] = {}
    for (field, scale, names), path, content in zip(known, paths, contents, strict=True):
        try:
            metadata = _content(content, f"{path}/{file}")
            found[field] = _image(path, scale, metadata, names)
        except FieldError as error:
            found[field] = Broken(error.what, error.remedy or "copy the plate again")
        else:
            arrays[path] = Kept(field.path, same.setdefault(metadata, metadata))
    return {field: found[field] for field in fields}, arrays


def _content(found: bytes | Exception, path: str) -> bytes:
    """Return what a metadata file holds."""
    if isinstance(found, bytes):
        return found
    if isinstance(found, TRANSIENT):
        raise found
    if isinstance(found, (FileNotFoundError, NotADirectoryError)):
        raise FieldError(f"{path} is missing")
    raise FieldError(f"{path} cannot be read ({found})")


def _at(path: str, parse: Callable[..., _T], *what: Any) -> _T:
    """Understand a metadata file; what is wrong with it is said with its path."""
    try:
        return parse(*what)
    except FieldError as error:
        raise FieldError(f"{path}: {error.what}", remedy=error.remedy) from error


def _ome(raw: bytes, zarr_format: int) -> dict[str, Any]:
    """Find a group's OME metadata."""
    content = load_json(raw)
    if zarr_format == 2:
        return content
    attributes = content.get("attributes")
    ome = attributes.get("ome") if isinstance(attributes, dict) else None
    return ome if isinstance(ome, dict) else {}


@lru_cache(maxsize=256)
def _images(raw: bytes, zarr_format: int) -> tuple[WellImage, ...]:
    return read_images(_ome(raw, zarr_format))


@lru_cache(maxsize=256)
def _multiscale(raw: bytes, zarr_format: int, level: int) -> Multiscale:
    return read_multiscale(_ome(raw, zarr_format), level)


@lru_cache(maxsize=256)
def _labels(raw: bytes, zarr_format: int) -> tuple[str, ...]:
    return read_labels(_ome(raw, zarr_format))


def _label_names(found: bytes | Exception, zarr_format: int) -> tuple[str, ...]:
    """Return the names of a field's label images, of which most fields have none."""
    if isinstance(found, TRANSIENT):
        raise found
    try:
        return _labels(found, zarr_format) if isinstance(found, bytes) else ()
    except FieldError:
        return ()


def _image(
    path: str, scale: Multiscale, metadata: bytes, label_names: tuple[str, ...] = ()
) -> Image:
    """Describe an array."""
    shape, dtype = _at(path, read_shape, metadata)
    image = Image(
        path,
        scale.axes,
        shape,
        dtype,
        scale.stains,
        label_names,
        scale.levels,
        scale.pixel_size,
    )
    image.check()
    return image


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
