"""OME-NGFF metadata of what is written, as JSON. No I/O here.

The specification: https://ngff.openmicroscopy.org/0.4/ and https://ngff.openmicroscopy.org/0.5/.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

from ..plate import Field
from .outline import Outline, image_name, parts

__all__ = ["image_metadata", "label_metadata", "plate_metadata", "well_metadata"]

_COLOURS: Final = ("0000FF", "00FF00", "FF0000", "FF00FF", "FFFF00", "00FFFF", "FFFFFF")
"""Blue first, for the first channel is the nuclei on most plates; then they come again."""
_ACQUISITION: Final = 0


def plate_metadata(outline: Outline, fields: Sequence[Field], version: str) -> dict[str, Any]:
    """Describe a plate of these fields."""
    counts = Counter(field.well for field in fields)
    wells = {well: parts(well) for well in counts}
    rows, columns = list(outline.rows), list(outline.columns)
    acquisition: dict[str, Any] = {
        "id": _ACQUISITION,
        "maximumfieldcount": max(counts.values()),
    }
    if outline.acquisition:
        acquisition["name"] = outline.acquisition
    return {
        "version": version,
        "name": outline.name,
        "field_count": max(counts.values()),
        "acquisitions": [acquisition],
        "rows": [{"name": row} for row in rows],
        "columns": [{"name": column} for column in columns],
        "wells": [
            {
                "path": f"{row}/{column}",
                "rowIndex": rows.index(row),
                "columnIndex": columns.index(column),
            }
            for row, column in wells.values()
        ],
    }


def well_metadata(fields: Iterable[Field], version: str) -> dict[str, Any]:
    """Describe a well of these fields."""
    images = [{"path": image_name(field), "acquisition": _ACQUISITION} for field in fields]
    return {"version": version, "images": images}


def image_metadata(
    outline: Outline,
    axes: str,
    *,
    name: str,
    levels: int,
    dtype: np.dtype[Any],
    windows: Sequence[tuple[int, int]],
) -> dict[str, Any]:
    """Describe an image: its levels, and its channels with the least and largest pixel of each."""
    top = int(np.iinfo(dtype).max)
    channels = [
        {
            "label": channel,
            "color": _COLOURS[index % len(_COLOURS)],
            "active": True,
            "window": {"min": 0, "max": top, "start": start, "end": end},
        }
        for index, (channel, (start, end)) in enumerate(zip(outline.channels, windows, strict=True))
    ]
    return {
        "multiscales": [_multiscale(outline, axes, name=name, levels=levels)],
        "omero": {"channels": channels},
    }


def label_metadata(outline: Outline, axes: str, *, name: str, levels: int) -> dict[str, Any]:
    """Describe a label image, which lies two folders below its image."""
    return {
        "multiscales": [_multiscale(outline, axes, name=name, levels=levels)],
        "image-label": {"source": {"image": "../../"}},
    }


def _multiscale(outline: Outline, axes: str, *, name: str, levels: int) -> dict[str, Any]:
    size = dict(zip("yx", outline.pixel_size or (1.0, 1.0), strict=True))
    datasets = []
    for level in range(levels):
        scale = [size.get(axis, 1.0) * (2.0**level if axis in size else 1.0) for axis in axes]
        transform = {"type": "scale", "scale": scale}
        datasets.append({"path": str(level), "coordinateTransformations": [transform]})
    return {
        "name": name,
        "type": "mean" if "c" in axes else "nearest",
        "axes": [_axis(axis, bool(outline.pixel_size)) for axis in axes],
        "datasets": datasets,
    }


def _axis(axis: str, sized: bool) -> dict[str, str]:
    """Describe an axis; planes and time points are at distances that nobody told."""
    if axis == "t":
        return {"name": axis, "type": "time"}
    if axis == "c":
        return {"name": axis, "type": "channel"}
    unit = {"unit": "micrometer"} if sized and axis in "yx" else {}
    return {"name": axis, "type": "space", **unit}
