"""Profiles as Cytomining's tools take them: Parquet, `Metadata_` columns, then the features.

`fields.parquet` has a row a field, `wells.parquet` the median of each well's fields (level 3 of
the profiling recipe: pycytominer's `aggregate` of the former gives the same), and where objects
were measured `objects.parquet` a row an object (level 2). Features of fields are called `Image_…`,
which pycytominer takes where it is told `image_features=True`; those of objects called Cells,
Nuclei or Cytoplasm it takes of itself. Quality figures are not among the features.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..shards import OBJECT, write_table
from ..vocabulary import METADATA, PLATE, WELL, columns_with
from .held import Measured

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FIELDS", "field_profiles", "object_profiles", "well_profiles", "write_profiles"]

FIELDS: Final = f"{METADATA}Fields"
"""Fields that a well's profile is the median of."""


def field_profiles(measured: Measured) -> pd.DataFrame:
    """Return a row a field: where it is, its flags, what the map says of its well, features."""
    fields = measured.fields
    about = fields[columns_with(METADATA, fields)].merge(
        measured.wells, on=[PLATE, WELL], how="left"
    )
    return about.join(fields[measured.features])


def well_profiles(measured: Measured) -> pd.DataFrame:
    """Return a row a well: what the map says of it, and the median of each feature.

    Returns
    -------
    DataFrame
        By plate and well, as pycytominer's `aggregate` sorts them.
    """
    groups = measured.fields.groupby([PLATE, WELL], sort=True)
    counts = groups.size().rename(FIELDS).reset_index()
    about = counts[[PLATE, WELL]].merge(measured.wells, on=[PLATE, WELL], how="left")
    about[FIELDS] = counts[FIELDS]
    return about.join(groups[measured.features].median().reset_index(drop=True))


def object_profiles(measured: Measured) -> pd.DataFrame:
    """Return a row an object: where it is, its number, what the map says of its well, features."""
    objects = measured.objects
    assert objects is not None
    about = objects[[*measured.places, OBJECT]].rename(columns={OBJECT: f"{METADATA}{OBJECT}"})
    about = about.merge(measured.wells, on=[PLATE, WELL], how="left")
    return about.join(objects[columns_with(f"{measured.object_name}_", objects)])


def write_profiles(folder: Path, measured: Measured) -> list[Path]:
    """Write the tables; return their files."""
    import pyarrow as pa

    tables = {"fields": field_profiles(measured), "wells": well_profiles(measured)}
    if measured.objects is not None:
        tables["objects"] = object_profiles(measured)
    files = []
    for name, table in tables.items():
        files.append(folder / f"{name}.parquet")
        write_table(files[-1], pa.Table.from_pandas(table, preserve_index=False))
    return files
