"""A plate in a store: what is usual on it, what is odd, and how a field is read.

The same for every file format; a format brings a `Store`, which finds chunks and decodes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import FieldError, PlateError, UsageError
from .channels import check_names, name_channels
from .layout import Field, Missing, PlateInfo
from .ome import Head

__all__ = ["Broken", "Gap", "Image", "Store", "StoredPlate", "make_plate", "sample"]

_WHOLE: Final = 256 * 1024  # bytes up to which a chunk is looked at as a whole
_BLOCK, _BLOCKS = 4096, 16  # of a larger one: so many bytes at so many places


def sample(file: BinaryIO, offset: int, size: int) -> bytes:
    """Return what stands for a chunk in a stamp: its size and its bytes, or blocks of them."""
    apart = (size - _BLOCK) // (_BLOCKS - 1)
    starts = [0] if size <= _WHOLE else [k * apart for k in range(_BLOCKS)]
    length = size if size <= _WHOLE else _BLOCK
    content = size.to_bytes(8, "little")
    for start in starts:
        file.seek(offset + start)
        content += file.read(length)
    return content


_DTYPES: Final = ("uint8", "uint16")


@dataclass(frozen=True, slots=True)
class Image:
    """What the metadata say of one field's full-resolution array."""

    path: str
    """Path of the array inside the store."""
    axes: tuple[str, ...]
    lengths: tuple[int, ...]
    """Length of each axis."""
    dtype: str
    """NumPy's name, without the byte order."""
    labels: tuple[str, ...]
    """Channel names; empty where the store has none."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of pixels."""
        length = dict(zip(self.axes, self.lengths, strict=True))
        return length.get("c", 1), length["y"], length["x"]

    def check(self) -> None:
        """Refuse an array that is no stack of 2-D channels."""
        if len(self.axes) != len(self.lengths) or len(set(self.axes)) != len(self.axes):
            raise FieldError(f"axes {''.join(self.axes)} for an array of shape {self.lengths}")
        if not {"y", "x"} <= set(self.axes):
            raise FieldError(f"axes {''.join(self.axes)} without y and x")
        for axis, length in zip(self.axes, self.lengths, strict=True):
            if axis not in "cyx" and length > 1:
                raise FieldError(
                    f"axis {axis} has {length} planes",
                    remedy="write a plate of single planes or of projections along it",
                )
        if min(self.lengths) < 1:
            raise FieldError(f"no pixels: shape {self.lengths}")


@dataclass(frozen=True, slots=True)
class Broken:
    """A field whose metadata are absent or make no sense."""

    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Gap:
    """A chunk that an array's metadata promise and that is not there."""

    chunk: str
    """Its path inside the store."""
    start: tuple[int, ...]
    """Where it would begin in the array."""
    size: tuple[int, ...]


class Store(Protocol):
    """What a plate asks of a file format. Picklable, safe in many threads."""

    @property
    def format(self) -> str:
        """Name and version, as `PlateInfo` shows it."""
        ...

    def listing(self) -> Mapping[str, int]:
        """Sizes in bytes of all that is stored, by path inside the store."""
        ...

    def gaps(self, image: Image, has: Callable[[str], bool] | None = None) -> Sequence[Gap]:
        """Find the chunks that are not there; `has` answers from a listing, if one was made."""
        ...

    def stamp(self, image: Image) -> str:
        """Hash the array's metadata and a `sample` of each of its chunks (`Plate.stamp`)."""
        ...

    def pixels(self, image: Image, index: tuple[Any, ...]) -> NDArray[Any]:
        """Decode a part of an array; any exception means that it cannot be."""
        ...


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class StoredPlate:
    """A plate of fields in a store; see `hts_classify.plate.Plate` for what each part means."""

    path: str
    head: Head
    store: Store
    images: Mapping[Field, Image | Broken]
    """Every field, ordered by row, column and site."""
    missing: tuple[Missing, ...]
    channels: tuple[str, ...]
    labels: tuple[str, ...]
    """Channel labels that every labelled field must have; empty when the user names channels."""
    shape: tuple[int, int, int]
    """Channels, rows and columns of pixels of most fields."""
    dtype: str

    @property
    def name(self) -> str:
        """Name of the plate."""
        return self.head.name

    @property
    def fields(self) -> tuple[Field, ...]:
        """Every field that the metadata name."""
        return tuple(self.images)

    @property
    def wells(self) -> tuple[str, ...]:
        """Every well that has at least one field."""
        return tuple(dict.fromkeys(field.well for field in self.images))

    @property
    def field_shape(self) -> tuple[int, int]:
        """Rows and columns of pixels of most fields."""
        return self.shape[1:]

    def read(self, field: Field) -> NDArray[Any]:
        """Read one field's pixels: shape (channels, y, x), native byte order."""
        image = self._usable(field)
        gaps = self._gaps(field, image)
        if gaps:
            names = ", ".join(self._channels_of(image, gaps))
            raise FieldError(
                _tell(gaps),
                where=str(field),
                channel=names,
                remedy="copy it again; if its writer leaves out chunks of zeros, tell it not to",
            )
        index = tuple(slice(None) if axis in "cyx" else 0 for axis in image.axes)
        try:
            pixels = self.store.pixels(image, index)
        except MemoryError:
            raise
        except Exception as error:  # whatever a codec or a disk throws, the field is unreadable
            raise self._undecodable(field, image, error) from error
        return _as_cyx(pixels, image)

    def stamp(self, field: Field) -> str:
        """Return what changes when a field's pixels are replaced; a broken field has one too."""
        image = self.images[field]
        if isinstance(image, Broken):
            return image.reason
        try:
            return self.store.stamp(image)
        except MemoryError:
            raise
        except Exception as error:  # `read` will say what is wrong with it
            return f"{type(error).__name__}: {error}"

    def info(self) -> PlateInfo:
        """Describe the plate from its metadata and file sizes."""
        listing = self.store.listing()
        counts = Counter(field.well for field in self.images).values()
        return PlateInfo(
            name=self.name,
            path=self.path,
            format=self.store.format,
            rows=self.head.rows,
            columns=self.head.columns,
            wells=len(self.wells),
            fields=len(self.images),
            fields_per_well=(min(counts), max(counts)),
            channels=self.channels,
            dtype=self.dtype,
            field_shape=self.field_shape,
            bytes_on_disk=sum(listing.values()),
            missing=(*self.missing, *self._faults(listing)),
        )

    def _usable(self, field: Field) -> Image:
        """Return a field's image if it is one that this plate can use."""
        image = self.images.get(field)
        if image is None:
            raise UsageError(f"{field} is not on plate {self.name}", remedy="use plate.fields")
        if isinstance(image, Broken):
            raise FieldError(image.reason, where=str(field), remedy=image.remedy)
        oddity = self._oddity(image)
        if oddity:
            raise FieldError(
                oddity, where=str(field), remedy="leave the field out, or acquire it like the rest"
            )
        return image

    def _oddity(self, image: Image) -> str:
        """Say how an image differs from the plate's usual one; empty when it does not."""
        if image.dtype != self.dtype:
            return f"pixels are {image.dtype}, the plate's are {self.dtype}"
        if image.shape[0] != self.shape[0]:
            return f"{image.shape[0]} channels, the plate has {self.shape[0]}"
        if image.shape != self.shape:
            return f"{_by(image.shape)} pixels, the plate's fields have {_by(self.shape)}"
        if self.labels and image.labels and image.labels != self.labels:
            return f"channels {', '.join(image.labels)}, the plate's are {', '.join(self.labels)}"
        return ""

    def _gaps(
        self, field: Field, image: Image, has: Callable[[str], bool] | None = None
    ) -> Sequence[Gap]:
        """Find the chunks that are not there; FieldError where nonsense hides which there are."""
        try:
            return self.store.gaps(image, has)
        except MemoryError:
            raise
        except FieldError as error:
            remedy = error.remedy or "copy it again"
            raise FieldError(error.what, where=str(field), remedy=remedy) from error
        except Exception as error:  # metadata from anywhere, or a damaged index
            raise FieldError(
                f"the chunks of {image.path} make no sense ({type(error).__name__}: {error})",
                where=str(field),
                remedy="copy it again",
            ) from error

    def _channels_of(self, image: Image, gaps: Sequence[Gap]) -> list[str]:
        """Name the channels that chunks belong to."""
        if "c" not in image.axes:
            return [self.channels[0]]
        axis = image.axes.index("c")
        hit = {c for gap in gaps for c in range(gap.start[axis], gap.start[axis] + gap.size[axis])}
        return [name for index, name in enumerate(self.channels) if index in hit]

    def _undecodable(self, field: Field, image: Image, error: Exception) -> FieldError:
        """Find the channels to blame by decoding each one alone."""
        blamed = []
        for channel, name in enumerate(self.channels):
            chosen = {"c": channel, "y": slice(None), "x": slice(None)}
            try:
                self.store.pixels(image, tuple(chosen.get(axis, 0) for axis in image.axes))
            except Exception as channel_error:
                blamed.append(name)
                error = channel_error
        return FieldError(
            f"{image.path} does not decode ({type(error).__name__}: {error})",
            where=str(field),
            channel=", ".join(blamed),
            remedy="copy it again",
        )

    def _faults(self, listing: Mapping[str, int]) -> list[Missing]:
        faults = []
        for field, image in self.images.items():
            if isinstance(image, Broken):
                reason = image.reason
            else:
                reason = self._oddity(image) or self._hole(field, image, listing)
            if reason:
                faults.append(Missing(field.well, field.site, reason))
        return faults

    def _hole(self, field: Field, image: Image, listing: Mapping[str, int]) -> str:
        """Say which chunks a field lacks; empty when it lacks none."""
        try:
            gaps = self._gaps(field, image, listing.__contains__)
        except FieldError as error:
            return error.what
        names = ", ".join(self._channels_of(image, gaps))
        return f"{_tell(gaps)} (channel {names})" if gaps else ""


def make_plate(
    path: str,
    *,
    head: Head,
    store: Store,
    images: Mapping[Field, Image | Broken],
    missing: tuple[Missing, ...],
    channels: Sequence[str] | None,
) -> StoredPlate:
    """Find out what is usual on a plate, and name its channels.

    Raises
    ------
    PlateError
        When no field can be opened, or when the usual pixels are neither uint8 nor uint16.
    UsageError
        When `channels` does not fit the pixels.
    """
    good = [image for image in images.values() if isinstance(image, Image)]
    if not good:
        broken = [image for image in images.values() if isinstance(image, Broken)]
        reason = broken[0].reason if broken else missing[0].reason
        raise PlateError(
            f"none of its fields can be opened, the first because {reason}",
            where=path,
            remedy=broken[0].remedy if broken else "copy the plate again",
        )
    # Ties go to the first in plate order: Counter keeps the order of insertion.
    (shape, dtype), _ = Counter((image.shape, image.dtype) for image in good).most_common(1)[0]
    if dtype not in _DTYPES:
        raise PlateError(
            f"pixels are {dtype}", where=path, remedy="write raw intensities as uint8 or uint16"
        )
    labels: tuple[str, ...] = ()
    if channels is None:
        seen = Counter(image.labels for image in good if image.labels and image.shape == shape)
        labels = seen.most_common(1)[0][0] if seen else ()
        names = name_channels(labels, shape[0], where=path)
    else:
        names = check_names(channels, shape[0], where=path)
    return StoredPlate(
        path=path,
        head=head,
        store=store,
        images=images,
        missing=missing,
        channels=names,
        labels=labels,
        shape=shape,
        dtype=dtype,
    )


def _as_cyx(pixels: NDArray[Any], image: Image) -> NDArray[Any]:
    """Put the axes that are left in order, and the bytes in this machine's."""
    kept = [axis for axis in image.axes if axis in "cyx"]
    if "c" not in kept:
        kept, pixels = ["c", *kept], pixels[np.newaxis]
    pixels = pixels.transpose([kept.index(axis) for axis in "cyx"])
    return np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))


def _tell(gaps: Sequence[Gap]) -> str:
    first = gaps[0].chunk
    if len(gaps) == 1:
        return f"chunk {first} is missing"
    return f"{len(gaps)} chunks are missing, {first} the first"


def _by(shape: tuple[int, int, int]) -> str:
    return f"{shape[1]}×{shape[2]}"
