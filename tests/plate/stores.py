"""Small plates written by zarr alone, so that nothing of ours vouches for itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr


@dataclass(frozen=True, kw_only=True)
class Written:
    """How `write` is to write an OME-Zarr plate."""

    version: str = "0.4"
    axes: str = "cyx"
    labels: Sequence[str] | None = None
    chunks: tuple[int, ...] | None = None
    shards: tuple[int, ...] | None = None
    level: str = "0"
    keys: str = "default"
    """Encoding of chunk keys in zarr v3."""


def _attach(group: zarr.Group, key: str, metadata: Any, version: str) -> None:
    if version == "0.4":
        group.attrs[key] = metadata
    else:
        group.attrs["ome"] = {**group.attrs.get("ome", {}), "version": version, key: metadata}


def write(path: Path, wells: Mapping[str, Sequence[np.ndarray]], how: Written) -> Path:
    """Write wells (`A/1`: their fields' pixels) as a plate."""
    root = zarr.open_group(path, mode="w", zarr_format=2 if how.version == "0.4" else 3)
    rows = sorted({well.split("/")[0] for well in wells})
    columns = sorted({well.split("/")[1] for well in wells})
    plate = {
        "rows": [{"name": row} for row in rows],
        "columns": [{"name": column} for column in columns],
        "wells": [
            {
                "path": well,
                "rowIndex": rows.index(well.split("/")[0]),
                "columnIndex": columns.index(well.split("/")[1]),
            }
            for well in wells
        ],
    }
    _attach(root, "plate", plate, how.version)
    for well, fields in wells.items():
        group = root.create_group(well)
        images = [{"path": str(index)} for index in range(len(fields))]
        _attach(group, "well", {"images": images}, how.version)
        for index, pixels in enumerate(fields):
            _write_image(group.create_group(str(index)), pixels, how)
    return path


def _write_image(group: zarr.Group, pixels: np.ndarray, how: Written) -> None:
    axes = [{"name": axis} for axis in how.axes]
    _attach(group, "multiscales", [{"axes": axes, "datasets": [{"path": how.level}]}], how.version)
    if how.labels is not None:
        channels = [{"label": label} for label in how.labels]
        _attach(group, "omero", {"channels": channels}, how.version)
    group.create_array(
        how.level,
        data=pixels,
        chunks=how.chunks or (*(1,) * (pixels.ndim - 2), *pixels.shape[-2:]),
        shards=how.shards,
        chunk_key_encoding={
            "name": "v2" if how.version == "0.4" else how.keys,
            "separator": "." if how.keys == "v2" else "/",
        },
        config={"write_empty_chunks": True},
    )


def edit(file: Path, **changes: Any) -> None:
    """Set keys of a JSON file; `...` takes one out."""
    content = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({k: v for k, v in content.items() if v is not ...}))


def edit_ome(folder: Path, **changes: Any) -> None:
    """Set keys of a group's OME metadata, of either version."""
    if (folder / ".zattrs").is_file():
        edit(folder / ".zattrs", **changes)
    else:
        attributes = json.loads((folder / "zarr.json").read_text()).get("attributes", {})
        edit(folder / "zarr.json", attributes={"ome": {**attributes.get("ome", {}), **changes}})


def add_level(image: Path, name: str, pixels: np.ndarray) -> None:
    """Write one more array of an image; `edit_ome` says what it is."""
    zarr.open_group(image, mode="r+").create_array(
        name, data=pixels, chunks=pixels.shape, config={"write_empty_chunks": True}
    )


def add_label(image: Path, name: str, pixels: Sequence[np.ndarray], axes: str = "yx") -> None:
    """Write a label image of one level or more."""
    labels = zarr.open_group(image, mode="r+").require_group("labels")
    label = labels.create_group(name)
    edit_ome(image / "labels", labels=sorted(key for key, _ in labels.groups()))
    datasets = [{"path": f"s{index}"} for index in range(len(pixels))]
    for dataset, array in zip(datasets, pixels, strict=True):
        add_level(image / "labels" / name, dataset["path"], array)
    scales = [{"axes": [{"name": axis} for axis in axes], "datasets": datasets}]
    edit_ome(image / "labels" / name, multiscales=scales)
    assert label.name.endswith(name)


def noise(*shape: int, dtype: str = "uint16", seed: int = 0) -> np.ndarray:
    """Draw pixels that are nowhere 0."""
    return np.random.default_rng(seed).integers(1, 250, shape).astype(dtype)
