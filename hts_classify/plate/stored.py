"""A plate in a store: what is usual on it, what is odd, and how a field is read.

The same for every file format; a format brings a `Store`, which finds chunks and decodes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import FieldError, PlateError, UsageError
from .channels import check_names, name_channels
from .layout import Field, Missing, PlateInfo, View
from .ome import Head
from .storage import spread

__all__ = ["TRANSIENT", "Broken", "Gap", "Image", "Store", "StoredPlate", "make_plate"]

TRANSIENT: Final = (ConnectionError, TimeoutError, BlockingIOError, InterruptedError)
"""What a storage raises that may be over in a moment; reading again can help."""

_DTYPES: Final = ("uint8", "uint16")


@dataclass(frozen=True, slots=True)
class Image:
    """What the metadata say of one field's array, at the level that is shown."""

    path: str
    """Path of the array inside the store."""
    axes: tuple[str, ...]
    lengths: tuple[int, ...]
    """Length of each axis."""
    dtype: str
    """NumPy's name, without the byte order."""
    stains: tuple[str, ...] = ()
    """Channel names; empty where the store has none."""
    label_names: tuple[str, ...] = ()
    """Label images that the field has."""
    levels: int = 1
    pixel_size: tuple[float, ...] = ()
    """Micrometres along y and x; empty where unknown."""

    def length(self, axis: str) -> int:
        """Return the length of an axis, 1 where the array has none of that name."""
        return self.lengths[self.axes.index(axis)] if axis in self.axes else 1

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of pixels."""
        return self.length("y"), self.length("x")

    def check(self) -> None:
        """Refuse an array that is no field."""
        if len(self.axes) != len(self.lengths) or len(set(self.axes)) != len(self.axes):
            raise FieldError(f"axes {''.join(self.axes)} for an array of shape {self.lengths}")
        if not {"y", "x"} <= set(self.axes):
            raise FieldError(f"axes {''.join(self.axes)} without y and x")
        for axis, length in zip(self.axes, self.lengths, strict=True):
            if axis not in "tczyx" and length > 1:
                raise FieldError(
                    f"axis {axis} has {length} planes",
                    remedy="write a plate whose axes are among t, c, z, y and x",
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
    what: str = "chunk"
    """What it is, where it is no chunk."""
    row: str = ""
    """What of an image list names it: `line 17`."""


class Store(Protocol):
    """What a plate asks of a file format. Picklable, safe in many threads."""

    @property
    def format(self) -> str:
        """Name and version, as `PlateInfo` shows it."""
        ...

    def size(self, images: Sequence[Image]) -> int:
        """Bytes that these arrays take where they are stored."""
        ...

    def gaps(self, image: Image) -> Sequence[Gap]:
        """Find the chunks of an array that are not there."""
        ...

    def stamp(self, image: Image) -> str:
        """Hash what changes when the array does, without reading its pixels (`Plate.stamp`)."""
        ...

    def label(self, image: Image, name: str) -> Image:
        """Read what the metadata say of a field's label image, at the level of the field.

        Raises
        ------
        FieldError
            When the field has none of that name; it lists those that it has.
        """
        ...

    def pixels(self, image: Image, index: tuple[Any, ...]) -> NDArray[Any]:
        """Decode a part of an array; any exception means that it cannot be."""
        ...


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class StoredPlate:
    """A plate of fields in a store; see `hts_classify.plate.Plate` for what each part means."""

    path: str
    head: Head
    view: View
    store: Store
    images: Mapping[Field, Image | Broken]
    """Every field, ordered by row, column, site and time point."""
    missing: tuple[Missing, ...]
    channels: tuple[str, ...]
    stains: tuple[str, ...]
    """Channel names that every field with names must have; empty when the user names them."""
    usual: Image
    """What most fields are like."""
    notes: tuple[str, ...]
    metadata: Mapping[str, Mapping[str, str]]
    """What an image list says of its fields besides, by their paths."""

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
    def dtype(self) -> str:
        """Type of most fields' pixels."""
        return self.usual.dtype

    @property
    def field_shape(self) -> tuple[int, int]:
        """Rows and columns of pixels of most fields."""
        return self.usual.shape

    @property
    def volumes(self) -> bool:
        """Fields are volumes."""
        return self.view.z == "all" and self.usual.length("z") > 1

    def read(self, field: Field, channels: Sequence[str] | None = None) -> NDArray[Any]:
        """Read one field's pixels: shape (channels, y, x) or (channels, z, y, x)."""
        image = self._usable(field)
        chosen = self._indices(channels)
        gaps = self._gaps(field, image, chosen)
        if gaps:
            names = ", ".join(self._channels_of(image, gaps))
            raise FieldError(
                _tell(gaps),
                where=str(field),
                channel=names,
                remedy="copy it again; if its writer leaves out chunks of zeros, tell it not to",
            )
        parts = (
            [chosen]
            if _contiguous(chosen) and not self._projects(image)
            else [[index] for index in chosen]
        )
        read = [self._part(field, image, part) for part in parts]
        return read[0] if len(read) == 1 else np.concatenate(read)

    def read_label(self, field: Field, name: str) -> NDArray[Any]:
        """Read a field's label image: shape (y, x) or (z, y, x)."""
        image = self._usable(field)
        try:
            label = self.store.label(image, name)
            gaps = self._shown_gaps(label, field, [0])
            if gaps:
                raise FieldError(_tell(gaps))
            if label.shape != image.shape:
                raise FieldError(f"has {_by(label.shape)} pixels, the field {_by(image.shape)}")
            if np.dtype(label.dtype).kind not in "ui":
                raise FieldError(f"holds {label.dtype}, not whole numbers")
            pixels = self._cut(label, self.store.pixels(label, self._index(label, field, [0])))
        except (MemoryError, *TRANSIENT):
            raise
        except FieldError as error:
            raise FieldError(
                f"label image {name!r}: {error.what}",
                where=str(field),
                remedy=error.remedy or "leave it out, or write it again",
            ) from error
        except Exception as error:  # whatever a codec or a disk throws
            raise FieldError(
                f"label image {name!r} does not decode ({type(error).__name__}: {error})",
                where=str(field),
                remedy="copy it again",
            ) from error
        only: NDArray[Any] = pixels[0]
        return only

    def stamp(self, field: Field, label: str = "") -> str:
        """Return what changes when a field's pixels are replaced; a broken field has one too."""
        image = self.images[field]
        if isinstance(image, Broken):
            return image.reason
        try:
            own = self.store.stamp(image)
            return f"{own}-{self.store.stamp(self.store.label(image, label))}" if label else own
        except (MemoryError, *TRANSIENT):
            raise
        except Exception as error:  # `read` will say what is wrong with it
            return f"{type(error).__name__}: {error}"

    def label_names(self, field: Field) -> tuple[str, ...]:
        """Return the label images that a field's metadata name."""
        image = self.images[field]
        return () if isinstance(image, Broken) else image.label_names

    def info(self, *, check: bool = True) -> PlateInfo:
        """Describe the plate from its metadata and, if they are checked, its chunks."""
        counts = Counter(well for well, _ in {(f.well, f.site) for f in self.images}).values()
        good = [image for image in self.images.values() if isinstance(image, Image)]
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
            other_shapes=tuple(sorted({image.shape for image in good} - {self.field_shape})),
            levels=self.usual.levels,
            planes=self.usual.length("z"),
            timepoints=self.usual.length("t"),
            pixel_size=self.usual.pixel_size,
            label_names=tuple(sorted({name for image in good for name in image.label_names})),
            bytes_on_disk=self.store.size(good) if check else None,
            notes=self.notes,
            missing=(*self.missing, *self._faults(check)),
            uneven=self._uneven(),
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
        """Say how an image differs from what the plate can use; empty when it does not."""
        if image.dtype != self.dtype:
            return f"pixels are {image.dtype}, the plate's are {self.dtype}"
        if image.length("c") != len(self.channels):
            return f"{image.length('c')} channels, the plate has {len(self.channels)}"
        if self.stains and image.stains and image.stains != self.stains:
            return f"channels {', '.join(image.stains)}, the plate's are {', '.join(self.stains)}"
        if isinstance(self.view.z, int) and self.view.z >= image.length("z"):
            return f"no plane {self.view.z}: it has {image.length('z')}, counted from 0"
        if self.volumes and image.length("z") == 1:
            return "a single plane, the plate's fields are volumes"
        return ""

    def _indices(self, channels: Sequence[str] | None) -> list[int]:
        """Find channels by name."""
        if channels is None:
            return list(range(len(self.channels)))
        for name in channels:
            if name not in self.channels:
                raise UsageError(
                    f"no channel {name!r}",
                    where=self.path,
                    remedy=f"the plate has {', '.join(self.channels)}",
                )
        return [self.channels.index(name) for name in channels]

    def _projects(self, image: Image) -> bool:
        return self.view.z == "max" and image.length("z") > 1

    def _index(self, image: Image, field: Field, channels: Sequence[int]) -> tuple[Any, ...]:
        """Return what to read of an array: one time point, the view's planes, some channels."""
        z = slice(None) if isinstance(self.view.z, str) else self.view.z
        parts = {
            "t": field.timepoint,
            "c": slice(channels[0], channels[-1] + 1),
            "z": z,
            "y": slice(None),
            "x": slice(None),
        }
        return tuple(parts.get(axis, 0) for axis in image.axes)

    def _part(self, field: Field, image: Image, channels: Sequence[int]) -> NDArray[Any]:
        """Read channels that lie side by side."""
        try:
            return self._cut(image, self.store.pixels(image, self._index(image, field, channels)))
        except MemoryError:
            raise
        except Exception as error:  # whatever a codec or a disk throws, the field is unreadable
            raise self._undecodable(field, image, channels, error) from error

    def _cut(self, image: Image, pixels: NDArray[Any]) -> NDArray[Any]:
        """Put the axes that are left in order, the planes together, the bytes in this machine's."""
        whole = "cyx" if isinstance(self.view.z, int) else "czyx"
        kept = [axis for axis in image.axes if axis in whole]
        for axis in whole:
            if axis not in kept:
                kept, pixels = [axis, *kept], pixels[np.newaxis]
        pixels = pixels.transpose([kept.index(axis) for axis in whole])
        if "z" in whole and not self.volumes:
            pixels = pixels[:, 0] if pixels.shape[1] == 1 else pixels.max(axis=1)
        return np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))

    def _gaps(self, field: Field, image: Image, channels: Sequence[int]) -> Sequence[Gap]:
        """Find the chunks that are not there; FieldError where nonsense hides which there are."""
        try:
            return self._shown_gaps(image, field, channels)
        except (MemoryError, *TRANSIENT):
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

    def _shown_gaps(self, image: Image, field: Field, channels: Sequence[int]) -> list[Gap]:
        """Find the chunks that are not there and that hold something of what is shown."""
        wanted = self._index(image, field, channels)
        return [
            gap
            for gap in self.store.gaps(image)
            if all(
                _meets(part, begin, begin + size)
                for part, begin, size in zip(wanted, gap.start, gap.size, strict=True)
            )
        ]

    def _channels_of(self, image: Image, gaps: Sequence[Gap]) -> list[str]:
        """Name the channels that chunks belong to."""
        if "c" not in image.axes:
            return [self.channels[0]]
        axis = image.axes.index("c")
        hit = {c for gap in gaps for c in range(gap.start[axis], gap.start[axis] + gap.size[axis])}
        return [name for index, name in enumerate(self.channels) if index in hit]

    def _undecodable(
        self, field: Field, image: Image, channels: Sequence[int], error: Exception
    ) -> FieldError:
        """Find the channels to blame by decoding each one alone."""
        blamed = []
        for channel in channels:
            try:
                self.store.pixels(image, self._index(image, field, [channel]))
            except Exception as channel_error:
                blamed.append(self.channels[channel])
                error = channel_error
        return FieldError(
            f"{image.path} does not decode ({type(error).__name__}: {error})",
            where=str(field),
            channel=", ".join(blamed),
            remedy="copy it again",
            transient=isinstance(error, TRANSIENT),
        )

    def _uneven(self) -> tuple[Missing, ...]:
        """Find the fields that are unlike the usual one in what does not keep them from use."""
        names = {name for field in self.images for name in self.label_names(field)}
        usual = self.usual
        found = []
        for field, image in self.images.items():
            if isinstance(image, Broken):
                continue
            same = (image.axes, image.lengths) == (usual.axes, usual.lengths)
            if (same and names == {*image.label_names}) or self._oddity(image):
                continue
            unlike = [f"{_by(image.shape)} pixels"] if image.shape != self.field_shape else []
            for axis, word in (("z", "planes"), ("t", "time points")):
                if image.length(axis) != usual.length(axis):
                    unlike.append(f"{image.length(axis)} {word}, not {usual.length(axis)}")
            unlike += [f"no label image {name!r}" for name in sorted(names - {*image.label_names})]
            if unlike and field.timepoint in (0, self.view.time):
                found.append(Missing(field.well, field.site, "; ".join(unlike)))
        return tuple(found)

    def _faults(self, check: bool) -> list[Missing]:
        def reason(item: tuple[Field, Image | Broken]) -> str:
            field, image = item
            if isinstance(image, Broken):
                return image.reason
            return self._oddity(image) or (self._hole(field, image) if check else "")

        found = zip(self.images, spread(reason, self.images.items()), strict=True)
        return [Missing(field.well, field.site, why) for field, why in found if why]

    def _hole(self, field: Field, image: Image) -> str:
        """Say which chunks a field lacks; empty when it lacks none."""
        try:
            gaps = self._gaps(field, image, range(len(self.channels)))
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
    view: View,
    notes: Sequence[str] = (),
    metadata: Mapping[str, Mapping[str, str]] | None = None,
) -> StoredPlate:
    """Find out what is usual on a plate, name its channels, and spread its time points.

    Parameters
    ----------
    images : mapping
        Every field once, at time point 0, in plate order.
    notes : sequence of str
        What the store chose where nobody asked.
    metadata : mapping, optional
        What an image list says of its fields besides.

    Raises
    ------
    PlateError
        When no field can be opened, or when the usual pixels are neither uint8 nor uint16.
    UsageError
        When the view does not fit the pixels: names of channels, planes, time points.
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
    kinds = Counter((i.length("c"), i.dtype, i.shape, i.length("z"), i.length("t")) for i in good)
    ((count, dtype, *rest), _) = kinds.most_common(1)[0]
    usual = next(
        i
        for i in good
        if [i.length("c"), i.dtype, i.shape, i.length("z"), i.length("t")] == [count, dtype, *rest]
    )
    if dtype not in _DTYPES:
        raise PlateError(
            f"pixels are {dtype}", where=path, remedy="write raw intensities as uint8 or uint16"
        )
    _check_view(view, usual, path)
    stains: tuple[str, ...] = ()
    if view.channels:
        names = check_names(view.channels, count, where=path)
    else:
        seen = Counter(i.stains for i in good if i.stains and i.length("c") == count)
        stains = seen.most_common(1)[0][0] if seen else ()
        names = name_channels(stains, count, where=path)
    return StoredPlate(
        path=path,
        head=head,
        view=view,
        store=store,
        images=_spread(images, view),
        missing=missing,
        channels=names,
        stains=stains,
        usual=usual,
        notes=(*notes, *_choices(view, usual)),
        metadata=metadata or {},
    )


def _check_view(view: View, usual: Image, path: str) -> None:
    """Refuse planes and time points that no field has."""
    for axis, word, chosen in (("z", "plane", view.z), ("t", "time point", view.time)):
        if isinstance(chosen, int) and not 0 <= chosen < usual.length(axis):
            raise UsageError(
                f"no {word} {chosen}",
                where=path,
                remedy=f"its fields have {usual.length(axis)}, counted from 0",
            )


def _choices(view: View, usual: Image) -> list[str]:
    """Say what the view's defaults leave out."""
    planes, times = usual.length("z"), usual.length("t")
    said = []
    if planes > 1 and view.z == "max":
        said.append(f"{planes} planes: their maximum projection")
    if times > 1 and view.time == 0:
        said.append(f"{times} time points: the first")
    return said


def _spread(images: Mapping[Field, Image | Broken], view: View) -> dict[Field, Image | Broken]:
    """Make a field of each time point that is shown."""
    spread: dict[Field, Image | Broken] = {}
    for field, image in images.items():
        count = image.length("t") if isinstance(image, Image) else 1
        for time in range(count) if view.time == "all" else [view.time]:
            at = field if time == field.timepoint else replace(field, timepoint=time)
            known = isinstance(image, Broken) or time < count
            spread[at] = image if known else Broken(f"no time point {time}: it has {count}", "")
    return spread


def _contiguous(indices: Sequence[int]) -> bool:
    return list(indices) == list(range(indices[0], indices[0] + len(indices)))


def _meets(part: int | slice, begin: int, end: int) -> bool:
    """Tell whether a part of an axis and a stretch of it have something in common."""
    if isinstance(part, slice):
        return part.start is None or (part.start < end and begin < part.stop)
    return begin <= part < end


def _tell(gaps: Sequence[Gap]) -> str:
    first, what = gaps[0].chunk, gaps[0].what
    row = f"{gaps[0].row}: " if gaps[0].row else ""
    count = len({gap.chunk for gap in gaps})  # one file may hold several planes
    if count == 1:
        return f"{row}{what} {first} is missing"
    return f"{count} {what}s are missing, {row}{first} the first"


def _by(shape: tuple[int, int]) -> str:
    return f"{shape[0]}×{shape[1]}"
