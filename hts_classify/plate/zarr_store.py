"""Arrays of OME-Zarr below one root, and the small files that describe them.

Most of those files are the same to the byte, and are understood once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeVar

from numpy.typing import NDArray

from ..errors import FieldError
from .ome import VERSIONS, inside
from .ome_image import Multiscale, read_multiscale
from .storage import Storage, spread
from .stored import TRANSIENT, Gap, Image
from .zarr_chunks import Array, load_json, read_array, read_shape
from .zarr_pixels import absent_inner, read_pixels

__all__ = [
    "MOST_JSON",
    "Kept",
    "ZarrStore",
    "array_file",
    "content_of",
    "describe",
    "group_file",
    "multiscale",
    "parsed",
    "read_ome",
]

MOST_JSON: Final = 1 << 25
"""Bytes of a metadata file."""
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
        content.update(repr((image.path, image.axes, image.lengths)).encode())
        for found in self.storage.stats(image.path, read_array(metadata).files):
            content.update(b"absent;" if found is None else f"{found.size} {found.tag};".encode())
        return content.hexdigest()[:16]

    def label(self, image: Image, name: str) -> Image:
        """Read what the metadata say of a label image, at the level of the field."""
        if name not in image.label_names:
            known = ", ".join(image.label_names) or "no label images"
            raise FieldError("there is none of that name", remedy=f"it has {known}")
        group = f"{self.arrays[image.path].group}/labels/{inside(name)}"
        file = f"{group}/{group_file(self.zarr_format)}"
        scale = parsed(file, multiscale, self._read(file), self.zarr_format, self.level)
        path = f"{group}/{scale.path}"
        return describe(path, scale, self._metadata(path))

    def pixels(self, image: Image, index: tuple[Any, ...]) -> NDArray[Any]:
        """Decode a part of an array."""
        return read_pixels(self.storage, image.path, self._array(image.path), index)

    def _metadata(self, path: str) -> bytes:
        kept = self.arrays.get(path)
        return kept.metadata if kept else self._read(f"{path}/{array_file(self.zarr_format)}")

    def _array(self, path: str) -> Array:
        try:
            return read_array(self._metadata(path))
        except FieldError as error:
            raise FieldError(
                f"the chunks of {path} make no sense: {error.what}", remedy=error.remedy
            ) from error

    def _read(self, path: str) -> bytes:
        return content_of(self.storage.read_each([path], most=MOST_JSON)[0], path)


def group_file(zarr_format: int) -> str:
    """Name the file that describes a group."""
    return ".zattrs" if zarr_format == 2 else "zarr.json"


def array_file(zarr_format: int) -> str:
    """Name the file that describes an array."""
    return ".zarray" if zarr_format == 2 else "zarr.json"


def content_of(found: bytes | Exception, path: str) -> bytes:
    """Return what a metadata file holds."""
    if isinstance(found, bytes):
        return found
    if isinstance(found, TRANSIENT):
        raise found
    if isinstance(found, (FileNotFoundError, NotADirectoryError)):
        raise FieldError(f"{path} is missing")
    raise FieldError(f"{path} cannot be read ({found})")


def parsed(path: str, parse: Callable[..., _T], *what: Any) -> _T:
    """Understand a metadata file; what is wrong with it is said with its path."""
    try:
        return parse(*what)
    except FieldError as error:
        raise FieldError(f"{path}: {error.what}", remedy=error.remedy) from error


def read_ome(raw: bytes, zarr_format: int) -> dict[str, Any]:
    """Find a group's OME metadata."""
    content = load_json(raw)
    if zarr_format == 2:
        return content
    attributes = content.get("attributes")
    ome = attributes.get("ome") if isinstance(attributes, dict) else None
    return ome if isinstance(ome, dict) else {}


@lru_cache(maxsize=256)
def multiscale(raw: bytes, zarr_format: int, level: int) -> Multiscale:
    """Read an image's metadata, once where they are the same to the byte."""
    return read_multiscale(read_ome(raw, zarr_format), level)


def describe(
    path: str, scale: Multiscale, metadata: bytes, label_names: tuple[str, ...] = ()
) -> Image:
    """Describe an array."""
    shape, dtype = parsed(path, read_shape, metadata)
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
