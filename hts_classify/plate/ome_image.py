"""What OME-NGFF metadata say of images and label images, from JSON that is decoded. No I/O here."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..errors import FieldError
from .ome import dicts, inside, text_of

__all__ = ["Multiscale", "read_labels", "read_multiscale"]

_ANCIENT_AXES: Final = ("t", "c", "z", "y", "x")
_MICROMETRES: Final = {
    "angstrom": 1e-4,
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
}
_MOST_AXES: Final = 16


@dataclass(frozen=True, slots=True)
class Multiscale:
    """What an image's metadata say."""

    path: str
    """Path of the chosen level's array inside the image's group."""
    axes: tuple[str, ...]
    stains: tuple[str, ...]
    """Channel names; empty where the writer gave none."""
    levels: int
    pixel_size: tuple[float, ...]
    """Micrometres along y and x at this level; empty where unknown."""


def read_labels(ome: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of an image's label images, from the metadata of their group."""
    names = ome.get("labels")
    listed = names if isinstance(names, list) else []
    return tuple(dict.fromkeys(name for name in listed if isinstance(name, str) and name))


def read_multiscale(ome: Mapping[str, Any], level: int = 0) -> Multiscale:
    """Read an image's metadata: the first multiscale, one of its levels, its channels.

    Raises
    ------
    FieldError
        When the group is no image, or has no such level.
    """
    scales = dicts(ome.get("multiscales"))
    datasets = dicts(scales[0].get("datasets")) if scales else ()
    if not datasets or not isinstance(datasets[0].get("path"), str):
        raise FieldError("its group holds no multiscales metadata")
    if not 0 <= level < len(datasets):
        raise FieldError(
            f"no level {level}: it has {len(datasets)}, counted from 0", remedy="choose another one"
        )
    axes = scales[0].get("axes") or _ANCIENT_AXES
    if not isinstance(axes, (list, tuple)) or len(axes) > _MOST_AXES:
        raise FieldError(f"its axes are {reprlib.repr(axes)}")
    names = tuple(text_of(a.get("name") if isinstance(a, Mapping) else a).lower() for a in axes)
    omero = ome.get("omero")
    channels = dicts(omero.get("channels")) if isinstance(omero, Mapping) else ()
    stains = tuple(text_of(channel.get("label")) for channel in channels)
    return Multiscale(
        inside(datasets[level].get("path")),
        names,
        stains if any(stains) else (),
        len(datasets),
        _pixel_size(axes, names, datasets[level], scales[0]),
    )


def _pixel_size(
    axes: Sequence[Any], names: Sequence[str], *transformed: Mapping[str, Any]
) -> tuple[float, ...]:
    """Multiply the scales of a level and of its multiscale; nothing where one is odd."""
    steps = [1.0] * len(names)
    known = False
    for level in transformed:
        for transform in dicts(level.get("coordinateTransformations")):
            scale = transform.get("scale")
            if transform.get("type") != "scale":
                continue
            if not isinstance(scale, list) or len(scale) != len(names):
                return ()
            if not all(type(step) in (int, float) and 0 < step < 1e12 for step in scale):
                return ()
            steps = [old * step for old, step in zip(steps, scale, strict=True)]
            known = True
    sizes = []
    for name in "yx":
        axis = axes[names.index(name)] if name in names else None
        unit = axis.get("unit") if isinstance(axis, Mapping) else None
        factor = _MICROMETRES.get(unit) if isinstance(unit, str) else None
        if not known or factor is None:
            return ()
        sizes.append(steps[names.index(name)] * factor)
    return tuple(sizes)
