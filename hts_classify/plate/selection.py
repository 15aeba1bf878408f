"""A plate seen through some of its channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from ..errors import UsageError
from .layout import Field, Plate, View
from .wrapped import WrappedPlate

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
class SelectedPlate(WrappedPlate):
    """A plate with fewer channels; the others are not read."""

    names: tuple[str, ...]

    @property
    def view(self) -> View:
        """Which part of the plate is shown: these channels of it."""
        return replace(self.plate.view, use=self.names)

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that were chosen."""
        return self.names

    def read(self, field: Field, channels: Sequence[str] | None = None) -> NDArray[Any]:
        """Read one field's pixels in these channels: shape (channels, y, x)."""
        return self.plate.read(field, self.names if channels is None else channels)
