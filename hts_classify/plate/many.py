"""Several plates at a time: opened alike, each under a name of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .layout import Plate
from .ome_zarr import store_stem
from .wrapped import WrappedPlate

__all__ = ["distinct"]


@dataclass(frozen=True, slots=True, eq=False)
class _Renamed(WrappedPlate):
    """A plate that is called after its path."""

    own: str

    @property
    def name(self) -> str:
        """Name of the plate."""
        return self.own


def distinct(open_one: Callable[[str], Plate], paths: Sequence[str | Path]) -> tuple[Plate, ...]:
    """Open plates; those whose metadata give them one name are called after their paths."""
    plates = [open_one(str(path)) for path in paths]
    counts = Counter(plate.name for plate in plates)
    return tuple(
        _Renamed(plate, store_stem(plate.path)) if counts[plate.name] > 1 else plate
        for plate in plates
    )
