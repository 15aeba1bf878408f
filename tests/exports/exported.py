"""Small screens to measure and export, and an independent reader of Analyst's properties."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from hts_classify import PassSettings, extract, open_plate
from hts_classify.plate import Field, Plate
from hts_classify.synthetic import Recipe, write_plate
from hts_classify.writers import Outline, open_writer


def image_list(folder: Path, recipe: Recipe) -> tuple[Path, Path]:
    """Write a simulated plate as TIFFs; return its LoadData table and its plate map."""
    plate = open_plate(write_plate(folder / "p.zarr", recipe))
    (folder / "tif").mkdir()
    rows = []
    for field in plate.fields:
        row = {
            "Metadata_Plate": plate.name,
            "Metadata_Well": field.well,
            "Metadata_Site": field.site,
        }
        for channel, pixels in zip(plate.channels, plate.read(field), strict=True):
            name = f"{field.well} f{field.site}_{channel}.tif"
            Image.fromarray(pixels).save(folder / "tif" / name)
            row |= {f"FileName_{channel}": name, f"PathName_{channel}": "tif"}
        rows.append(row)
    table = folder / "load_data.csv"
    pd.DataFrame(rows).to_csv(table, index=False)
    return table, folder / "p.platemap.csv"


LABELS = np.zeros((64, 64), np.uint16)
LABELS[5:20, 5:20], LABELS[30:50, 8:30], LABELS[40:60, 40:62] = 1, 2, 7
CENTRES = {1: (12.0, 12.0), 2: (18.5, 39.5), 7: (50.5, 49.5)}
"""x and y of the middle of each object, by hand."""


def labelled(
    path: Path,
    wells: tuple[str, ...] = ("A01", "A02", "B01", "B02"),
    *,
    more: tuple[str, ...] = (),
    labels: np.ndarray = LABELS,
) -> Plate:
    """Write a plate of three cells a field, which no other plate's numbers fit."""
    rows = ("A", "B", "Z", "AA", "AF") if more else ("A", "B")
    columns = ("1", "2", "48") if more else ("1", "2")
    outline = Outline(name=path.stem, rows=rows, columns=columns, channels=("DNA", "GFP"))
    rng = np.random.default_rng(5)
    fields = [Field(well, site, "") for well in (*wells, *more) for site in (1, 2)]
    with open_writer(path, outline, levels=1) as writer:
        for field in fields:
            pixels = rng.poisson(100, (2, 64, 64)).astype(np.uint16)
            pixels += np.uint16(rng.integers(200, 900)) * (LABELS > 0)
            writer.write(field, [pixels], labels={"cells": [labels]})
        writer.finish(fields)
    return open_plate(path)


def measured_objects(folder: Path, *, objects: str = "Cells") -> Path:
    """Do a pass over a labelled plate."""
    asked = PassSettings(tile_sizes=(32,), labels="cells", objects=objects)
    extract(labelled(folder / "plate.zarr"), folder / "out", asked)
    return folder / "out"


LISTS = {
    *("image_path_cols", "image_file_cols", "image_names", "image_channel_colors"),
    *("channels_per_image", "object_name", "classifier_ignore_columns"),
}
WORDS = {
    *("db_type", "db_sqlite_file", "image_table", "object_table", "image_id", "object_id"),
    *("plate_id", "well_id", "well_format", "plate_type", "cell_x_loc", "cell_y_loc"),
    *("cell_z_loc", "image_width", "image_height", "image_tile_size", "check_tables"),
    *("classification_type", "process_3D"),
}
"""Keys that Analyst 3.0.5 knows of those that may be met here."""


def read_properties(file: Path) -> dict[str, str | list[str]]:
    """Read properties as Analyst's documentation says: `key = value` lines, lists by commas."""
    found: dict[str, str | list[str]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        assert equals, line
        assert key not in found, key
        assert key in LISTS | WORDS or re.fullmatch(r"group_SQL_\w+", key), key
        found[key] = [v.strip() for v in value.split(",") if v.strip()] if key in LISTS else value
    return found
