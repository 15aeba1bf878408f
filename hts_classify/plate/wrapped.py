"""A plate seen through another: everything is the other's, but for what a subclass changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from .layout import Field, Missing, Plate, PlateInfo, View

__all__ = ["WrappedPlate"]


@dataclass(frozen=True, slots=True, eq=False)
class WrappedPlate:
    """A plate that shows another; see `hts_classify.plate.Plate` for what each part means."""

    plate: Plate

    @property
    def name(self) -> str:
        """Name of the plate."""
        return self.plate.name

    @property
    def path(self) -> str:
        """The path or URL that it was opened from."""
        return self.plate.path

    @property
    def view(self) -> View:
        """Which part of it is shown."""
        return self.plate.view

    @property
    def channels(self) -> tuple[str, ...]:
        """Channels by stain name."""
        return self.plate.channels

    @property
    def fields(self) -> tuple[Field, ...]:
        """Every field that the metadata name."""
        return self.plate.fields

    @property
    def wells(self) -> tuple[str, ...]:
        """Every well that has at least one field."""
        return self.plate.wells

    @property
    def missing(self) -> tuple[Missing, ...]:
        """Wells that cannot be opened."""
        return self.plate.missing

    @property
    def dtype(self) -> str:
        """Type of most fields' pixels."""
        return self.plate.dtype

    @property
    def field_shape(self) -> tuple[int, int]:
        """Rows and columns of pixels of most fields."""
        return self.plate.field_shape

    @property
    def volumes(self) -> bool:
        """Fields are volumes."""
        return self.plate.volumes

    @property
    def notes(self) -> tuple[str, ...]:
        """What was chosen where nobody asked."""
        return self.plate.notes

    @property
    def metadata(self) -> Mapping[str, Mapping[str, str]]:
        """What an image list says of its fields besides."""
        return self.plate.metadata

    def read(self, field: Field, channels: Sequence[str] | None = None) -> NDArray[Any]:
        """Read one field's pixels: shape (channels, y, x) or (channels, z, y, x)."""
        return self.plate.read(field, channels)

    def read_label(self, field: Field, name: str) -> NDArray[Any]:
        """Read a field's label image: shape (y, x) or (z, y, x)."""
        return self.plate.read_label(field, name)

    def stamp(self, field: Field, label: str = "") -> str:
        """Return what changes when a field's pixels, or its label image, are replaced."""
        return self.plate.stamp(field, label)

    def label_names(self, field: Field) -> tuple[str, ...]:
        """Return the label images that a field's metadata name."""
        return self.plate.label_names(field)

    def info(self, *, check: bool = True) -> PlateInfo:
        """Describe the plate, with all of its channels."""
        return self.plate.info(check=check)
