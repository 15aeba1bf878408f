"""Simulated plates as stores, with their plate maps.

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
from typing import Final

from ..errors import UsageError
from ..plate import Field, platemap_path, store_stem
from ..writers import FORMATS, Format, Outline, open_writer
from .design import Treated, grid_of, lay_out, row_name
from .recipe import Recipe
from .render import render_field

__all__ = ["Format", "write_plate"]

_PIXEL: Final = 0.65  # µm
_LEVELS: Final = 2


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
        OME-Zarr is written with two levels, all as `hts_classify.writers.open_writer` says.

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
    if format not in FORMATS:
        raise UsageError(f"format {format!r}", remedy=f"use one of {', '.join(FORMATS)}")
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
        _write(part, store_stem(path), design, recipe=recipe, format=format)
        part.rename(path)
    finally:
        _remove(part)
    _write_map(written, design)
    return path


def _write(
    path: Path, name: str, design: tuple[Treated, ...], *, recipe: Recipe, format: Format
) -> None:
    rows, columns = grid_of(len(design))
    outline = Outline(
        name=name,
        rows=tuple(row_name(row) for row in range(rows)),
        columns=tuple(str(column + 1) for column in range(columns)),
        channels=recipe.channels,
        pixel_size=(_PIXEL, _PIXEL),
    )
    sites = range(1, recipe.fields + 1)
    levels = None if format == "hdf5" else _LEVELS
    with open_writer(path, outline, format=format, levels=levels) as writer:

        def write_well(well: Treated) -> None:
            for site in sites:
                pixels = render_field(recipe, well, site)
                writer.write(Field(well.well, site, ""), [pixels])

        with ThreadPoolExecutor(writer.workers) as writers:
            list(writers.map(write_well, design))
        writer.finish([Field(well.well, site, "") for well in design for site in sites])


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
