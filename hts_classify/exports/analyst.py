"""What CellProfiler Analyst opens: an SQLite file, and the properties that describe it.

The tables are those of CellProfiler's ExportToDatabase: `Per_Image`, and where objects were
measured `Per_Object`. Without objects Analyst is told to classify images. The keys of the
properties are those that its `properties.py` (3.0.5) reads.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from math import ceil, pi, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..errors import DataError
from ..files import whole
from ..plate import Plate
from ..shards import OBJECT
from ..vocabulary import COMPOUND, CONCENTRATION, PLATE, WELL, channel_word, row_number, split_well
from .image_sets import IMAGE_NUMBER
from .objects import location_columns

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PER_IMAGE", "PER_OBJECT", "plate_type", "properties", "write_analyst"]

PER_IMAGE: Final = "Per_Image"
PER_OBJECT: Final = "Per_Object"

_PLATES: Final = {"96": (8, 12), "384": (16, 24), "1536": (32, 48)}
"""Rows and columns of the plates that Analyst draws; those of 6 and 24 wells fit on the first."""
_NUMBER: Final = "Image_Metadata_WellNumber"
"""Wells counted row by row: Analyst knows rows of one letter, and of 1536 wells six have two."""
_COLOURS: Final = ("red", "green", "blue", "cyan", "magenta", "yellow", "gray")
"""Of channels, in CellProfiler's order; further ones are not drawn."""
_MOST_COLUMNS: Final = 2000
"""Columns that a table of SQLite has, as it is usually built."""
_AT_ONCE: Final = 2000
"""Rows that are made ready for SQLite at a time."""
_DIAMETER: Final = 50
_TOLD: Final = (
    *("Metadata_.*", "FileName_.*", "PathName_.*", "URL_.*", "Frame_.*", "Count_.*"),
    *("HTS_.*", "x_loc", "y_loc", "z_loc"),
)
"""What a classifier of images is not to learn from: where they are, and what others said."""


def write_analyst(
    database: Path,
    images: pd.DataFrame,
    objects: pd.DataFrame | None,
    plates: Sequence[Plate],
    *,
    name: str,
) -> Path:
    """Write the database, and beside it the properties; return where these are.

    Parameters
    ----------
    database : Path
    images, objects : DataFrame
        As from `image_table` and `object_table`.
    plates : sequence of Plate
    name : str
        What objects are called.

    Raises
    ------
    DataError
        When a table has more columns than SQLite takes.
    """
    images = _numbered(images, plates)
    tables = {PER_IMAGE: (images, [IMAGE_NUMBER])}
    if objects is not None:
        tables[PER_OBJECT] = objects, [IMAGE_NUMBER, OBJECT]
    for title, (table, _) in tables.items():
        if table.shape[1] > _MOST_COLUMNS:
            raise DataError(
                f"{title} has {table.shape[1]} columns, SQLite takes {_MOST_COLUMNS}",
                where=str(database),
                remedy="export csv and profiles, or measure fewer channels (--use-channels)",
            )
    with whole(database) as part, closing(sqlite3.connect(part)) as connection:
        # Whole or absent by its name already: a journal beside it would outlive a kill.
        connection.execute("PRAGMA journal_mode=OFF")
        connection.execute("PRAGMA synchronous=OFF")
        for title, (table, keys) in tables.items():
            _insert(connection, title, table, keys)
        connection.commit()
    described = database.with_suffix(".properties")
    lines = properties(images, objects, plates, database=database.name, name=name)
    with whole(described) as part:
        part.write_text(lines, encoding="utf-8")
    return described


def _insert(
    connection: sqlite3.Connection, title: str, table: pd.DataFrame, keys: Sequence[str]
) -> None:
    columns = ", ".join(f'"{name}" {_sql_type(table[name])}' for name in table)
    connection.execute(f"CREATE TABLE {title} ({columns}, PRIMARY KEY ({', '.join(keys)}))")
    marks = ", ".join("?" * table.shape[1])
    connection.executemany(f"INSERT INTO {title} VALUES ({marks})", _rows(table))


def _sql_type(column: pd.Series[Any]) -> str:
    """Name a column's type by one of the words that Analyst knows."""
    return {"i": "INTEGER", "u": "INTEGER", "f": "FLOAT"}.get(column.dtype.kind, "TEXT")


def _rows(table: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """Give rows of Python's own types; what is missing is None."""
    for start in range(0, len(table), _AT_ONCE):
        part = table.iloc[start : start + _AT_ONCE]
        held = [part[name].astype(object) for name in part]
        yield from zip(*(one.where(one.notna(), None).tolist() for one in held), strict=True)


def properties(
    images: pd.DataFrame,
    objects: pd.DataFrame | None,
    plates: Sequence[Plate],
    *,
    database: str,
    name: str,
) -> str:
    """Return the text of the properties file that goes with a database."""
    words = [channel_word(channel) for channel in plates[0].channels]
    colours = list(_COLOURS if len(words) > 1 else ("gray",))
    colours += ["none"] * (len(words) - len(colours))
    height, width = plates[0].field_shape
    entries: dict[str, object] = {
        "db_type": "sqlite",
        "db_sqlite_file": database,
        "image_table": PER_IMAGE,
        "image_id": IMAGE_NUMBER,
        "plate_id": f"Image_{PLATE}",
        "well_id": _NUMBER if _NUMBER in images else f"Image_{WELL}",
        "well_format": "123" if _NUMBER in images else "A01",
        "plate_type": _type_of(plates),
        "image_path_cols": ", ".join(f"Image_PathName_{word}" for word in words),
        "image_file_cols": ", ".join(f"Image_FileName_{word}" for word in words),
        "image_names": ", ".join(words),
        "image_channel_colors": ", ".join(colours[: len(words)]),
        "channels_per_image": ", ".join("1" for _ in words),
        "image_width": width,
        "image_height": height,
        "check_tables": "no",
    }
    entries |= _of_images(height, width) if objects is None else _of_objects(objects, name)
    entries |= _groups(images)
    lines = "".join(f"{key} = {value}\n" for key, value in entries.items())
    return f"# CellProfiler Analyst 3.0 properties file\n{lines}"


def _of_images(height: int, width: int) -> dict[str, object]:
    """Say that images are what is classified."""
    return {
        "classification_type": "image",
        "object_name": "image, images",
        "image_tile_size": min(height, width),
        "classifier_ignore_columns": ", ".join((IMAGE_NUMBER, *(f"Image_{one}" for one in _TOLD))),
    }


def _of_objects(objects: pd.DataFrame, name: str) -> dict[str, object]:
    """Say which objects there are, and where."""
    volumes = f"{name}_Location_Center_Z" in objects
    locations = location_columns(name, volumes=volumes)
    word = name.lower()
    area = f"{name}_AreaShape_Area"
    across = 2 * sqrt(float(objects[area].median()) / pi) if not volumes else _DIAMETER
    return {
        "classification_type": "object",
        "object_table": PER_OBJECT,
        "object_id": OBJECT,
        "object_name": f"{word.removesuffix('s') or word}, {word}",
        **{f"cell_{column[-1].lower()}_loc": column for column in locations},
        "process_3D": "yes" if volumes else "no",
        "image_tile_size": ceil(1.5 * across),  # with some of what is around it
        "classifier_ignore_columns": f"{IMAGE_NUMBER}, {OBJECT}, .*_Location_Center_.*",
    }


def _groups(images: pd.DataFrame) -> dict[str, object]:
    """Let scores be summed up by plate, well, compound and treatment."""
    units = {
        "Plate": [PLATE],
        "Well": [PLATE, WELL],
        "Compound": [COMPOUND],
        "Treatment": [COMPOUND, CONCENTRATION],
    }
    found: dict[str, object] = {}
    for title, names in units.items():
        columns = [f"Image_{name}" for name in names]
        if set(columns) <= set(images):
            listed = ", ".join(f"{PER_IMAGE}.{one}" for one in (IMAGE_NUMBER, *columns))
            found[f"group_SQL_{title}"] = f"SELECT {listed} FROM {PER_IMAGE}"
    return found


def _type_of(plates: Sequence[Plate]) -> str:
    return plate_type([well for plate in plates for well in plate.wells])


def _numbered(images: pd.DataFrame, plates: Sequence[Plate]) -> pd.DataFrame:
    """Add numbers of the wells where a plate has a row beyond Z."""
    kind, wells = _type_of(plates), [_place(well) for well in images[f"Image_{WELL}"]]
    if not kind or max(row for row, _ in wells) <= 26:
        return images
    across = _PLATES[kind][1]
    # A copy, for pandas warns of a column more on a table of hundreds put together.
    return images.copy().assign(**{_NUMBER: [(row - 1) * across + column for row, column in wells]})


def plate_type(wells: Sequence[str]) -> str:
    """Return the smallest plate that has all of some wells; empty where none is large enough.

    Examples
    --------
    >>> plate_type(["A01", "H12"]), plate_type(["A13"]), plate_type(["AF48"]), plate_type(["AG01"])
    ('96', '384', '1536', '')
    """
    places = [_place(well) for well in wells]
    rows, columns = (max(numbers) for numbers in zip(*places, strict=True))
    fitting = (name for name, (r, c) in _PLATES.items() if rows <= r and columns <= c)
    return next(fitting, "")


def _place(well: str) -> tuple[int, int]:
    """Return a well's row and column, from 1.

    Examples
    --------
    >>> _place("B03"), _place("AA01")
    ((2, 3), (27, 1))
    """
    row, column = split_well(well)
    return row_number(row), column
