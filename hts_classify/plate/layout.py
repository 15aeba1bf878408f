"""What a plate is, whatever file it lives in: wells, fields, channels. No I/O here.

A store (`ome_zarr`, `hdf5`) reads its own metadata once, returns a `Plate` and after that
only reads pixels, one field at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

__all__ = ["Field", "Missing", "Plate", "PlateInfo"]


@dataclass(frozen=True, slots=True, order=True)
class Field:
    """One field of view: where it is on the plate and in the store."""

    well: str
    """`B03`."""
    site: int
    """Position among the well's fields, from 1 (`Metadata_Site`)."""
    path: str
    """Path of the image inside the store."""

    def __str__(self) -> str:
        return f"well {self.well} field {self.site}"


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
    """`OME-Zarr 0.4`, `OME-Zarr 0.5` or `HDF5`."""
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
    bytes_on_disk: int
    missing: tuple[Missing, ...]
    """What is promised and absent (wells, fields, chunks), and fields of another shape or type."""


class Plate(Protocol):
    """A plate of fields, open for reading; it can be pickled, and many threads may read at once."""

    @property
    def name(self) -> str:
        """Name of the plate (`Metadata_Plate`)."""
        ...

    @property
    def path(self) -> str:
        """The path it was opened from."""
        ...

    @property
    def channels(self) -> tuple[str, ...]:
        """Channels by stain name, in the order of the pixels' first axis."""
        ...

    @property
    def fields(self) -> tuple[Field, ...]:
        """Every field that the metadata name, ordered by row, column and site."""
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

    def read(self, field: Field) -> NDArray[Any]:
        """Read one field's pixels at full resolution.

        Returns
        -------
        ndarray, shape (channels, y, x)
            The raw pixels in native byte order.

        Raises
        ------
        FieldError
            When a chunk is missing or does not decode, or the field has another shape, another
            number of channels or another type than the plate; the channel is named where one is
            to blame.
        """
        ...

    def stamp(self, field: Field) -> str:
        """Return what changes when a field's pixels are replaced, without decoding them.

        Chunks of up to 256 KiB as they are stored, sixteen blocks of larger ones: enough to see
        that another plate has come to the same place, or that a field was written anew.
        """
        ...

    def info(self) -> PlateInfo:
        """Describe the plate; reads metadata and file sizes, no pixels."""
        ...
