"""Simulated plates as stores: OME-Zarr 0.5 and 0.4, and HDF5.

A plate is written under another name and renamed when it is whole; what carries the plate's
name is never half of one. Its map comes last: a plate without one is whole, and was broken off.
The same recipe gives the same bytes.
"""

from __future__ import annotations

import csv
import io
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..plate import platemap_path, store_stem
from ..plate.hdf5 import LAYOUT, LAYOUT_KEY
from .design import Treated, grid_of, lay_out, row_name
from .recipe import Recipe
from .render import render_field

__all__ = ["Format", "write_plate"]

Format = Literal["ome-zarr-0.5", "ome-zarr-0.4", "hdf5"]

_PIXEL: Final = 0.65  # µm
_COLOURS: Final = ("0000FF", "00FF00", "FF0000", "FF00FF", "FFFF00")
_WRITERS: Final = 2  # threads: NumPy and the codec let each other run
_LEVEL: Final = 1  # of compression: noise does not get smaller with more


def write_plate(path: str | Path, recipe: Recipe, *, format: Format = "ome-zarr-0.5") -> Path:
    """Write a simulated plate, and its plate map beside it.

    Parameters
    ----------
    path : str or Path
        The store to make; neither it nor its map may exist. `x/demo.ome.zarr` gets
        `x/demo.platemap.csv`, which is written last.
    recipe : Recipe
        What the plate is to be.
    format : {"ome-zarr-0.5", "ome-zarr-0.4", "hdf5"}, optional
        OME-Zarr is written with two levels, one chunk a channel, zstd; HDF5 in the layout of
        `hts_classify.plate.hdf5`.

    Returns
    -------
    Path
        The store. The plate map has columns well, compound, concentration (µM), batch,
        control_type and phenotype, which is empty where it is to be predicted.

    Raises
    ------
    UsageError
        When the path or its map exists, the format is unknown, or no plate has as many wells.

    Examples
    --------
    >>> import tempfile
    >>> from hts_classify.plate import open_plate
    >>> recipe = Recipe(setting="texture", shape=(64, 64), fields=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     plate = open_plate(write_plate(f"{folder}/demo.ome.zarr", recipe))
    >>> len(plate.fields), plate.channels
    (18, ('DNA', 'GFP'))
    """
    path = Path(path)
    if format not in get_args(Format):
        raise UsageError(f"format {format!r}", remedy=f"use one of {', '.join(get_args(Format))}")
    written = platemap_path(path)
    for taken in (path, written):
        if taken.exists():
            raise UsageError(
                "exists already", where=str(taken), remedy="remove it, or give a new name"
            )
    design = lay_out(recipe)  # refuses what no plate can hold, before anything is written
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    _remove(part)
    try:
        if format == "hdf5":
            _write_hdf5(part, store_stem(path), design, recipe=recipe)
        else:
            version = format.removeprefix("ome-zarr-")
            _write_zarr(part, store_stem(path), design, recipe=recipe, version=version)
        part.rename(path)
    finally:
        _remove(part)
    _write_map(written, design)
    return path


def _write_zarr(
    path: Path, name: str, design: tuple[Treated, ...], *, recipe: Recipe, version: str
) -> None:
    import zarr
    from zarr.storage import LocalStore

    root = zarr.open_group(LocalStore(path), mode="w", zarr_format=2 if version == "0.4" else 3)
    _describe(root, "plate", _plate_metadata(name, recipe, design), version)
    rows = {row: root.create_group(row_name(row)) for row in sorted({w.row for w in design})}
    sites = [{"path": str(site)} for site in range(recipe.fields)]

    def write_well(well: Treated) -> None:
        group = rows[well.row].create_group(str(well.column + 1))
        _describe(group, "well", {"images": sites}, version)
        for site in range(recipe.fields):
            pixels = render_field(recipe, well, site + 1)
            _write_image(group.create_group(str(site)), pixels, recipe, version)

    with ThreadPoolExecutor(_WRITERS) as writers:
        list(writers.map(write_well, design))


def _describe(group: Any, key: str, metadata: dict[str, Any], version: str) -> None:
    """Attach OME metadata to a group, where each version has them."""
    if version == "0.4":
        group.attrs.put({key: {**metadata, "version": version}})
    else:
        group.attrs.put({"ome": {"version": version, key: metadata}})


def _plate_metadata(name: str, recipe: Recipe, design: tuple[Treated, ...]) -> dict[str, Any]:
    rows, columns = grid_of(len(design))
    return {
        "name": name,
        "field_count": recipe.fields,
        "rows": [{"name": row_name(row)} for row in range(rows)],
        "columns": [{"name": str(column + 1)} for column in range(columns)],
        "wells": [
            {
                "path": f"{row_name(well.row)}/{well.column + 1}",
                "rowIndex": well.row,
                "columnIndex": well.column,
            }
            for well in design
        ],
    }


def _write_image(group: Any, pixels: NDArray[Any], recipe: Recipe, version: str) -> None:
    """Write one field with a second level at half its size."""
    import numcodecs  # type: ignore[import-untyped]
    from zarr.codecs import ZstdCodec

    levels = (pixels, _halve(pixels))
    for level, values in enumerate(levels):
        array = group.create_array(
            str(level),
            shape=values.shape,
            dtype=values.dtype,
            chunks=(1, *values.shape[1:]),
            compressors=numcodecs.Zstd(_LEVEL) if version == "0.4" else ZstdCodec(level=_LEVEL),
            fill_value=0,
            chunk_key_encoding={
                "name": "v2" if version == "0.4" else "default",
                "separator": "/",
            },
            dimension_names=None if version == "0.4" else ("c", "y", "x"),
            config={"write_empty_chunks": True},
        )
        array[:] = values
    space = {"type": "space", "unit": "micrometer"}
    scale: dict[str, Any] = {
        "name": group.basename,
        "axes": [{"name": "c", "type": "channel"}, {"name": "y", **space}, {"name": "x", **space}],
        "datasets": [
            {
                "path": str(level),
                "coordinateTransformations": [
                    {"type": "scale", "scale": [1.0, _PIXEL * 2**level, _PIXEL * 2**level]}
                ],
            }
            for level in range(len(levels))
        ],
    }
    omero = {"channels": _omero_channels(pixels, recipe)}
    if version == "0.4":
        group.attrs.put({"multiscales": [{**scale, "version": version}], "omero": omero})
    else:
        group.attrs.put({"ome": {"version": version, "multiscales": [scale], "omero": omero}})


def _omero_channels(pixels: NDArray[Any], recipe: Recipe) -> list[dict[str, Any]]:
    top = int(np.iinfo(pixels.dtype).max)
    return [
        {
            "label": name,
            "color": colour,
            "active": True,
            "window": {"min": 0, "max": top, "start": int(own.min()), "end": int(own.max())},
        }
        for name, colour, own in zip(recipe.channels, _COLOURS, pixels, strict=False)
    ]


def _halve(pixels: NDArray[Any]) -> NDArray[Any]:
    """Average blocks of 2×2 pixels; an odd last row or column is left out."""
    channels, height, width = pixels.shape
    even = pixels[:, : height // 2 * 2, : width // 2 * 2]
    blocks = even.reshape(channels, height // 2, 2, width // 2, 2)
    return np.asarray(np.rint(blocks.mean(axis=(2, 4))), pixels.dtype)


def _write_hdf5(path: Path, name: str, design: tuple[Treated, ...], *, recipe: Recipe) -> None:
    import h5py

    rows, columns = grid_of(len(design))
    text = h5py.string_dtype()
    with h5py.File(path, "w") as file:
        file.attrs[LAYOUT_KEY] = LAYOUT
        file.attrs["name"] = name
        for key, values in (
            ("rows", [row_name(row) for row in range(rows)]),
            ("columns", [str(column + 1) for column in range(columns)]),
            ("wells", [f"{row_name(well.row)}/{well.column + 1}" for well in design]),
            ("channels", list(recipe.channels)),
        ):
            file.attrs.create(key, values, dtype=text)
        for well in design:
            group = file.create_group(f"{row_name(well.row)}/{well.column + 1}")
            sites = [str(site) for site in range(recipe.fields)]
            group.attrs.create("images", sites, dtype=text)
            for site in sites:
                pixels = render_field(recipe, well, int(site) + 1)
                dataset = group.create_dataset(
                    site,
                    data=pixels,
                    chunks=(1, *pixels.shape[1:]),
                    compression="gzip",
                    compression_opts=_LEVEL,
                    shuffle=True,
                    fletcher32=True,
                )
                dataset.attrs["axes"] = "cyx"


def _write_map(path: Path, design: tuple[Treated, ...]) -> None:
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    writer.writerow(["well", "compound", "concentration", "batch", "control_type", "phenotype"])
    for well in design:
        phenotype = well.phenotype if well.labelled else ""
        batch = f"batch{well.batch + 1}"
        writer.writerow(
            [well.well, well.compound, well.concentration, batch, well.control, phenotype]
        )
    part = path.with_name(f"{path.name}.part")
    part.write_text(rows.getvalue(), encoding="utf-8", newline="\n")
    part.replace(path)


def _remove(path: Path) -> None:
    """Remove what a broken run left."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
