"""A plate seen through some of its channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ..errors import UsageError
from .layout import Field, Missing, Plate, PlateInfo

__all__ = ["SelectedPlate", "select_channels"]


def select_channels(plate: Plate, names: Sequence[str]) -> Plate:
    """Return a plate that shows these channels, in this order.

    Raises
    ------
    UsageError
        When the plate has no such channel, or one is named twice.
    """
    for name in names:
        if name not in plate.channels:
            raise UsageError(
                f"no channel {name!r}",
                where=plate.path,
                remedy=f"the plate has {', '.join(plate.channels)}; --channels names them anew",
            )
    if len(set(names)) < len(names):
        raise UsageError(f"channels {', '.join(names)}", remedy="name each channel once")
    return plate if tuple(names) == plate.channels else SelectedPlate(plate, tuple(names))


@dataclass(frozen=True, slots=True, eq=False)
class SelectedPlate:
    """A plate with fewer channels; see `hts_classify.plate.Plate` for what each part means."""

    plate: Plate
    channels: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the plate."""
        return self.plate.name

    @property
    def path(self) -> str:
        """The path it was opened from."""
        return self.plate.path

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

    def read(self, field: Field) -> NDArray[Any]:
        """Read one field's pixels in these channels: shape (channels, y, x)."""
        index = [self.plate.channels.index(name) for name in self.channels]
        pixels: NDArray[Any] = self.plate.read(field)[index]
        return pixels

    def stamp(self, field: Field) -> str:
        """Return what changes when a field's pixels are replaced."""
        return self.plate.stamp(field)

    def info(self) -> PlateInfo:
        """Describe the plate, with all of its channels."""
        return self.plate.info()
