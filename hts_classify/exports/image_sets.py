"""The table of image sets, in the columns of CellProfiler's database: a row a field.

`Per_Image` calls a measurement of an image `Image_<name>`, ExportToSpreadsheet's `Image.csv` calls
it `<name>`; both have `ImageNumber`. What a run called is named as the module `ClassifyImagesHTS`
names it: `HTS_Class_<path>`, `HTS_Score_<path>_<class>`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..errors import DataError
from ..files import whole
from ..plate import Plate
from ..plate.image_sets import number_image_sets
from ..plate.layout import Field
from ..plate.locations import Location, locate
from ..vocabulary import (
    CALL,
    LEVEL,
    MARGIN,
    METADATA,
    PATH,
    PLATE,
    PROBA,
    SCORE,
    TIMEPOINT,
    WELL,
    channel_word,
    columns_with,
)
from .held import Measured

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["IMAGE_NUMBER", "image_table", "sql_names", "unused", "write_image_csv"]

IMAGE_NUMBER: Final = "ImageNumber"
_CALLED: Final = "HTS"
"""Category of measurements that are calls."""


def image_table(measured: Measured, plates: Sequence[Plate]) -> pd.DataFrame:
    """Make the table of image sets.

    Parameters
    ----------
    measured : Measured
    plates : sequence of Plate
        Those that it was measured on.

    Returns
    -------
    DataFrame
        A row a field, by `ImageNumber`: `Image_Metadata_…`; for each channel `Image_FileName_…`,
        `Image_PathName_…`, `Image_URL_…` and `Image_Frame_…`; quality and features; the number of
        objects, where they were measured; and of a run each path's call of the field.

    Raises
    ------
    DataError
        When a field that was measured is no longer on its plate.
    """
    import pandas as pd

    fields = measured.fields
    found = _find(measured, plates)
    numbers = number_image_sets(plates)
    metadata = fields[columns_with(METADATA, fields)].merge(
        measured.wells, on=[PLATE, WELL], how="left"
    )
    parts = [
        pd.DataFrame({IMAGE_NUMBER: [numbers[plate.name, field] for plate, field in found]}),
        metadata,
        _located(found),
        fields[columns_with("Image_", fields)],
        *([_counted(measured)] if measured.objects is not None else []),
        *([_called(measured)] if measured.calls is not None else []),
    ]
    table: pd.DataFrame = pd.concat(parts, axis=1)
    flags = table.select_dtypes("bool").columns
    table = table.astype(dict.fromkeys(flags, "int64")).rename(columns=sql_names(table))
    return table.sort_values(IMAGE_NUMBER, ignore_index=True)


def write_image_csv(path: Path, images: pd.DataFrame) -> None:
    """Write the table as CellProfiler's ExportToSpreadsheet would: columns by name, no prefix."""
    bare = images.rename(columns=lambda name: str(name).removeprefix("Image_"))
    with whole(path) as part:
        bare[sorted(map(str, bare))].to_csv(part, index=False)


def sql_names(columns: Iterable[Any]) -> dict[str, str]:
    """Name columns of image sets so that SQL takes them unquoted, as CellProfiler Analyst writes.

    Names that differ in nothing but case or marks get numbers.

    Examples
    --------
    >>> sql_names(["ImageNumber", "Metadata_dose (uM)", "Metadata_Dose_uM_", "Image_Count_Cells"])
    ... # doctest: +NORMALIZE_WHITESPACE
    {'ImageNumber': 'ImageNumber', 'Metadata_dose (uM)': 'Image_Metadata_dose__uM_',
     'Metadata_Dose_uM_': 'Image_Metadata_Dose_uM_', 'Image_Count_Cells': 'Image_Count_Cells'}
    >>> sql_names(["Metadata_A+", "Metadata_a-"])
    {'Metadata_A+': 'Image_Metadata_A_', 'Metadata_a-': 'Image_Metadata_a__2'}
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for column in map(str, columns):
        stem = column if column.startswith(("Image_", IMAGE_NUMBER)) else f"Image_{column}"
        name = unused(re.sub(r"[^0-9A-Za-z_]", "_", stem), taken, alike=str.lower)
        taken.add(name.lower())
        names[column] = name
    return names


def unused(stem: str, taken: Container[str], *, alike: Callable[[str], str] = str) -> str:
    """Return a name, with a number behind it where one that is `alike` is taken.

    Examples
    --------
    >>> unused("dose", {"dose", "dose_2"})
    'dose_3'
    """
    names = chain([stem], (f"{stem}_{number}" for number in count(2)))
    return next(name for name in names if alike(name) not in taken)


def _find(measured: Measured, plates: Sequence[Plate]) -> list[tuple[Plate, Field]]:
    """Find the field of each row."""
    known = {
        (plate.name, field.well, field.site, field.timepoint): (plate, field)
        for plate in plates
        for field in plate.fields
    }
    table = measured.fields
    times = table[TIMEPOINT] if TIMEPOINT in table else [0] * len(table)
    keys = [(*place, time) for place, time in zip(_rows(table, measured), times, strict=True)]
    for plate, well, site, time in keys:
        if (plate, well, site, time) not in known:
            raise DataError(
                f"field {site} of well {well} was measured, and is no longer on the plate",
                where=str(plate),
                remedy="put the plate back as it was, or measure it again",
            )
    return [known[key] for key in keys]


def _rows(table: pd.DataFrame, measured: Measured) -> Iterable[tuple[Any, ...]]:
    places = [name for name in measured.places if name != TIMEPOINT]
    return zip(*(table[name].tolist() for name in places), strict=True)


def _located(found: Sequence[tuple[Plate, Field]]) -> pd.DataFrame:
    """Say where each channel of each field is."""
    import pandas as pd

    located = [locate(plate, field) for plate, field in found]
    columns: dict[str, Any] = {}
    for channel in found[0][0].channels:
        word = channel_word(channel)
        of_channel = [at[channel] for at in located]
        columns |= {
            f"Image_FileName_{word}": [at.file for at in of_channel],
            f"Image_PathName_{word}": [at.folder for at in of_channel],
            f"Image_URL_{word}": [at.url for at in of_channel],
            f"Image_Frame_{word}": _frames(of_channel),
        }
    return pd.DataFrame(columns)


def _frames(located: Sequence[Location]) -> Any:
    import pandas as pd

    return pd.array([at.frame for at in located], dtype="Int64")


def _counted(measured: Measured) -> pd.DataFrame:
    """Count the objects of each field."""
    assert measured.objects is not None
    counts = measured.objects.groupby(measured.places).size().rename("count")
    fields = measured.fields[measured.places].join(counts, on=measured.places)
    name = f"Image_Count_{measured.object_name}"
    return fields[["count"]].fillna(0).astype("int64").rename(columns={"count": name})


def _called(measured: Measured) -> pd.DataFrame:
    """Return each path's call of each field."""
    import pandas as pd

    calls = measured.calls
    assert calls is not None
    places = measured.places
    parts = []
    for path in calls[PATH].drop_duplicates():
        own = calls[(calls[LEVEL] == "field") & (calls[PATH] == path)]
        names = _call_names(own, str(path))
        aligned = measured.fields[places].merge(own[[*places, *names]], on=places, how="left")
        parts.append(aligned[list(names)].rename(columns=dict(names)))
    return pd.concat(parts, axis=1)


def _call_names(calls: pd.DataFrame, path: str) -> Mapping[str, str]:
    """Name a path's calls as CellProfiler's module ClassifyImagesHTS names its own."""
    names = {name: f"{_CALLED}_{name}_{path}" for name in (CALL, MARGIN)}
    for kind in (SCORE, PROBA):
        for name in columns_with(kind, calls):
            names[name] = f"{_CALLED}_{kind}{path}_{name.removeprefix(kind)}"
    return names
