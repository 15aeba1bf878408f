"""What a pass is asked for, and the key that its results carry."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from math import sqrt
from typing import Any, Final, Literal

from ..errors import UsageError
from ..features import Rule
from ..files import digest
from ..plate import Plate, View
from ..tiles import Scale, tile_scale, tile_shape
from ..vocabulary import FeatureKind

__all__ = [
    "CROPS_PER_FIELD",
    "CROP_SIZE",
    "TILE_SIZE",
    "Crops",
    "PassSettings",
    "Shapes",
    "folder_name",
    "key_of",
    "pixel_rule",
    "plan",
]

TILE_SIZE: Final = 128
"""Longest side of a tile in pixels, unless asked otherwise."""

CROP_SIZE: Final = 64
CROPS_PER_FIELD: Final = 16
"""Side of a crop in pixels, and how many a field has, unless asked otherwise."""

Crops = Literal["none", "grid", "objects"]


_VERSION: Final = 1  # counts up when the same settings give other numbers
_LARGEST: Final = {"uint8": 255, "uint16": 65535}


@dataclass(frozen=True, slots=True, kw_only=True)
class PassSettings:
    """What a pass is asked for. All that it leaves follows from this and the plates."""

    features: FeatureKind = "pftas"
    """Otsu's threshold and the foreground's standard deviation as margin (`pftas`), or
    Hamilton's fixed threshold and margin (`tas`)."""
    full_scale: int | None = None
    """The brightest value that the camera writes: 4095 for 12 bits; by default the type's. It
    scales Hamilton's threshold, and a pixel that has it is saturated."""
    tile_sizes: tuple[int, ...] = (TILE_SIZE,)
    """Longest side of a tile in pixels; a tile of each size is kept."""
    scale: Scale | None = None
    """Instead of sizes, a tile's pixels over a field's: what a trained model was given."""
    labels: str = ""
    """Label image whose objects get statistics of their own."""
    objects: str = "Cells"
    """What its objects are called in the columns."""
    crops: Crops = "none"
    """Full-resolution crops: none, on a grid, or one an object of the label image."""
    crop_size: int = CROP_SIZE
    """Side of a crop in pixels."""
    crops_per_field: int = CROPS_PER_FIELD
    """Crops of a field: exactly (grid; a square number) or at the most (objects)."""
    exclude_flagged: bool = False
    """Leave flagged fields out of the tables; `failures.csv` lists them."""

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        if not self.tile_sizes or len(set(self.tile_sizes)) < len(self.tile_sizes):
            raise UsageError(
                f"tile sizes {', '.join(map(str, self.tile_sizes)) or 'none'}",
                remedy="name one size or more, each once",
            )
        if self.crops == "objects" and not self.labels:
            raise UsageError(
                "crops of objects without a label image", remedy="name one with --labels"
            )
        if self.crops not in ("none", "grid", "objects"):
            raise UsageError(f"crops {self.crops!r}", remedy="use none, grid or objects")
        usual = (CROP_SIZE, CROPS_PER_FIELD)
        if self.crops == "none" and (self.crop_size, self.crops_per_field) != usual:
            raise UsageError(
                f"{self.crops_per_field} crops of {self.crop_size} pixels are described, and none"
                " asked for",
                remedy="ask for --crops grid or objects",
            )
        if self.crops != "none" and not (self.crop_size >= 8 and self.crops_per_field >= 1):
            raise UsageError(
                f"{self.crops_per_field} crops of {self.crop_size} pixels",
                remedy="ask for at least one, of at least 8 pixels",
            )
        if self.crops == "grid" and sqrt(self.crops_per_field) % 1:
            raise UsageError(
                f"a grid of {self.crops_per_field} crops", remedy="ask for a square number"
            )

    @property
    def is_together(self) -> bool:
        """A well is done as a whole: its objects or crops stand in one file."""
        return bool(self.labels) or self.crops != "none"

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> PassSettings:
        """Make settings of what `asdict` and JSON made of them."""
        known = {field.name for field in fields(cls)}
        held = {name: value for name, value in content.items() if name in known}
        for name in ("tile_sizes", "scale"):
            if held.get(name) is not None:
                held[name] = tuple(held[name])
        return cls(**held)


@dataclass(frozen=True, slots=True)
class Shapes:
    """What the tiles of a pass are like, one entry a size."""

    names: tuple[int, ...]
    """Their names in the store: the sizes that were asked for."""
    scales: tuple[Scale, ...]
    tiles: tuple[tuple[int, int], ...]
    """Rows and columns of pixels."""


def plan(plates: Sequence[Plate], settings: PassSettings) -> tuple[Rule, Shapes, dict[str, Any]]:
    """Check that plates go into one pass, and say how; before any pixel is read.

    Returns
    -------
    rule : Rule
        For thresholds.
    shapes : Shapes
        Of tiles; those of all plates have the shape that the first one's usual field gives.
    description : dict
        All that results follow from, but for the pixels (JSON).

    Raises
    ------
    UsageError
        When two plates have one name, other channels or another type of pixels; for a full
        scale that the pixels do not hold.
    DataError
        When a tile would be too small for a CNN.
    """
    first = plates[0]
    names = [folder_name(plate.name).lower() for plate in plates]
    for plate in plates:
        if names.count(folder_name(plate.name).lower()) > 1:
            raise UsageError(
                f"two plates are called {plate.name}",
                where=plate.path,
                remedy="give each plate once, under a name of its own",
            )
        for what in ("channels", "dtype", "volumes"):
            own, usual = getattr(plate, what), getattr(first, what)
            if own != usual:
                raise UsageError(
                    f"{what} {_show(own)}; {first.name} has {_show(usual)}",
                    where=plate.path,
                    remedy="run plates of one kind together; --use-channels takes those in common",
                )
    rule = pixel_rule(first, settings.features, settings.full_scale)
    if settings.scale:
        shape = tile_shape(first.field_shape, settings.scale)
        shapes = Shapes((max(shape),), (settings.scale,), (shape,))
    else:
        scales = tuple(tile_scale(first.field_shape, size) for size in settings.tile_sizes)
        tiles = tuple(tile_shape(first.field_shape, scale) for scale in scales)
        shapes = Shapes(settings.tile_sizes, scales, tiles)
    description = {
        "version": _VERSION,
        "settings": asdict(settings),
        "channels": list(first.channels),
        "dtype": first.dtype,
        "tiles": asdict(shapes),
        "plates": {plate.name: _said(plate.view) for plate in plates},
    }
    return rule, shapes, description


def _said(view: View) -> dict[str, Any]:
    """Return a view as JSON; what only image lists have is left out where nobody asked for it."""
    return {name: value for name, value in asdict(view).items() if name != "folder" or value}


def key_of(description: Mapping[str, Any], plate: str) -> str:
    """Return the key that one plate's shards carry: what they follow from, but for the pixels."""
    settings = {**description["settings"], "exclude_flagged": None}
    view = description["plates"][plate]
    return digest({**description, "settings": settings, "plates": {plate: view}})


def folder_name(plate: str) -> str:
    """Return a plate's name as a folder's, which stays where it is put.

    Examples
    --------
    >>> folder_name("BR00117 (2)"), folder_name("../../etc")
    ('BR00117_2', 'etc')
    """
    return re.sub(r"[^\w.-]+", "_", plate).strip("._-") or "plate"


def pixel_rule(plate: Plate, features: FeatureKind, full_scale: int | None) -> Rule:
    """Return the rule for a plate's thresholds; Otsu's needs no full scale.

    Raises
    ------
    UsageError
        For a full scale that the pixels do not hold.
    """
    scaled = Rule("tas", full_scale=full_scale)
    scaled.fixed(_LARGEST[plate.dtype])
    return scaled if features == "tas" else Rule(features)


def _show(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
