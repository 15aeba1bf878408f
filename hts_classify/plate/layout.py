"""What a plate is, whatever file it lives in: wells, fields, channels. No I/O here.

A store (`ome_zarr`, `hdf5`, `image_list`) reads its own metadata once, returns a `Plate` and
after that only reads pixels, one field at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

__all__ = ["Field", "Missing", "Plate", "PlateInfo", "View"]


@dataclass(frozen=True, slots=True, order=True)
class Field:
    """One field of view at one time: where it is on the plate and in the store."""

    well: str
    """`B03`."""
    site: int
    """Position among the well's fields, from 1 (`Metadata_Site`)."""
    path: str
    """Path of the image inside the store."""
    timepoint: int = 0
    """Index along the time axis (`Metadata_Timepoint`)."""

    def __str__(self) -> str:
        time = f" timepoint {self.timepoint}" if self.timepoint else ""
        return f"well {self.well} field {self.site}{time}"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Which part of a plate is looked at, and how; the same for every store."""

    channels: tuple[str, ...] = ()
    """Names for the channels, in their order in the pixels; by default the store's labels."""
    use: tuple[str, ...] = ()
    """The channels to show, by name and in this order; all by default."""
    illumination: tuple[tuple[str, str], ...] | None = ()
    """Channels and the `.npy` files of the illumination functions that they are divided by; a
    file's name is empty where an image list names it. By default those that an image list names;
    `None` for none at all."""
    acquisition: str = ""
    """Acquisition by id or name; by default the first that the metadata list."""
    level: int = 0
    """Level of the image pyramid; 0 is full resolution."""
    z: Literal["max", "all"] | int = "max"
    """Planes: their maximum projection, all of them as a volume, or one by its index."""
    time: Literal["all"] | int = 0
    """Time points: one by its index, or all, each as a field of its own."""
    hdf5_path: str = ""
    """Where somebody else's HDF5 keeps a field, as `/{well}/{field}`."""
    folder: str = ""
    """Where relative paths of an image list begin; by default at its own folder."""

    def summary(self) -> dict[str, Any]:
        """Return what changes the pixels themselves (JSON): a model learned from them as they were.

        Examples
        --------
        >>> View(level=1, illumination=(("DNA", "dna.npy"),)).summary()
        {'level': 1, 'z': 'max', 'illumination': ['DNA']}
        """
        corrected = sorted(channel for channel, _ in self.illumination or ())
        return {"level": self.level, "z": self.z, "illumination": corrected}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> View:
        """Make a view of what `asdict` and JSON made of one; other keys are left alone."""
        held = {name: content[name] for name in (f.name for f in fields(cls)) if name in content}
        for name in ("channels", "use", "illumination"):
            parts = held.get(name, ())
            if parts is not None:
                parts = tuple(tuple(part) if isinstance(part, list) else part for part in parts)
            held[name] = parts
        return cls(**held)


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that the plate's metadata promise and the store does not hold."""

    well: str
    site: int | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlateInfo:
    """What `hts-classify info` says of a plate, from its metadata and file sizes alone."""

    name: str
    path: str
    format: str
    """`OME-Zarr 0.4`, `OME-Zarr 0.5`, `HDF5`, …"""
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    wells: int
    fields: int
    fields_per_well: tuple[int, int]
    """Fewest and most fields in a well."""
    channels: tuple[str, ...]
    dtype: str
    field_shape: tuple[int, int]
    """Rows and columns of pixels of the plate's usual field."""
    other_shapes: tuple[tuple[int, int], ...]
    """Shapes of fields that are not the usual one."""
    levels: int
    """Levels of the usual field's pyramid."""
    planes: int
    """Planes of the usual field, as stored."""
    timepoints: int
    """Time points of the usual field, as stored."""
    pixel_size: tuple[float, ...]
    """Micrometres of a pixel along y and x, at the level that is shown; empty where unknown."""
    label_names: tuple[str, ...]
    """Label images that some field has."""
    bytes_on_disk: int | None
    """Size of the files that are shown; None where they were not looked at."""
    notes: tuple[str, ...]
    """What was chosen where nobody asked: the acquisition, planes, the time point."""
    missing: tuple[Missing, ...]
    """What is promised and absent (wells, fields, chunks), and fields of another type."""
    uneven: tuple[Missing, ...]
    """Fields that can be read and are unlike the usual one: size, planes, time points, labels."""


class Plate(Protocol):
    """A plate of fields, open for reading; it can be pickled, and many threads may read at once."""

    @property
    def name(self) -> str:
        """Name of the plate (`Metadata_Plate`)."""
        ...

    @property
    def path(self) -> str:
        """The path or URL that it was opened from."""
        ...

    @property
    def view(self) -> View:
        """Which part of it is shown."""
        ...

    @property
    def channels(self) -> tuple[str, ...]:
        """Channels by stain name, in the order of the pixels' first axis."""
        ...

    @property
    def fields(self) -> tuple[Field, ...]:
        """Every field that the metadata name, ordered by row, column, site and time point."""
        ...

    @property
    def wells(self) -> tuple[str, ...]:
        """Every well that has at least one field, ordered by row and column."""
        ...

    @property
    def missing(self) -> tuple[Missing, ...]:
        """Wells that the metadata promise and that cannot be opened."""
        ...

    @property
    def dtype(self) -> str:
        """Type of most fields' pixels: `uint8` or `uint16`."""
        ...

    @property
    def field_shape(self) -> tuple[int, int]:
        """Rows and columns of pixels that most fields have."""
        ...

    @property
    def volumes(self) -> bool:
        """Fields are volumes: `view.z` is `"all"` and most fields have several planes."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What was chosen where nobody asked: the acquisition, planes, the time point."""
        ...

    @property
    def metadata(self) -> Mapping[str, Mapping[str, str]]:
        """What an image list says of each field besides: its `Metadata_` columns, as text.

        By the field's path; every field has the same columns. Empty for other stores.
        """
        ...

    def read(self, field: Field, channels: Sequence[str] | None = None) -> NDArray[Any]:
        """Read one field's pixels.

        Parameters
        ----------
        field : Field
            One of `fields`.
        channels : sequence of str, optional
            The channels to read, in this order; the others are not touched. All by default.

        Returns
        -------
        ndarray, shape (channels, y, x), of volumes (channels, z, y, x)
            The raw pixels in native byte order.

        Raises
        ------
        FieldError
            When a chunk is missing or does not decode, or the field has another number of
            channels or another type than the plate; the channel is named where one is to blame.
        OSError
            When the storage does not answer, which may be over in a moment.
        """
        ...

    def read_label(self, field: Field, name: str) -> NDArray[Any]:
        """Read a field's label image: 0 is background, every other value is an object.

        Returns
        -------
        ndarray of integers, shape (y, x), of volumes (z, y, x)
            As many pixels as the field has.

        Raises
        ------
        FieldError
            When the field has no such label image, or it cannot be read or has another shape.
        """
        ...

    def stamp(self, field: Field, label: str = "") -> str:
        """Return what changes when a field's pixels are replaced, without reading them.

        A hash of the array's metadata and of each of its files' size and time of change, or
        ETag; of a label image too, where one is named.
        """
        ...

    def label_names(self, field: Field) -> tuple[str, ...]:
        """Return the label images that a field's metadata name."""
        ...

    def info(self, *, check: bool = True) -> PlateInfo:
        """Describe the plate; reads no pixels.

        Parameters
        ----------
        check : bool, optional
            Look for every chunk that the metadata promise, and at the sizes of the files.
        """
        ...
