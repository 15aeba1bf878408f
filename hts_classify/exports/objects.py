"""The table of objects, in CellProfiler's columns: a row an object of an image set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..files import whole
from ..plate import Plate
from ..plate.image_sets import number_image_sets
from ..shards import OBJECT
from ..vocabulary import columns_with
from .held import Measured
from .image_sets import IMAGE_NUMBER

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["location_columns", "object_table", "write_object_csv"]

_AXES: Final = ("X", "Y", "Z")


def location_columns(objects: str, *, volumes: bool = False) -> list[str]:
    """Name the columns of where objects are, as CellProfiler does.

    Examples
    --------
    >>> location_columns("Cells")
    ['Cells_Location_Center_X', 'Cells_Location_Center_Y']
    """
    return [f"{objects}_Location_Center_{axis}" for axis in _AXES[: 3 if volumes else 2]]


def object_table(measured: Measured, plates: Sequence[Plate]) -> pd.DataFrame:
    """Make the table of objects.

    Where an object is, the pass has not kept: the label images are read again for it.

    Parameters
    ----------
    measured : Measured
        With objects, at least one.
    plates : sequence of Plate
        Those that it was measured on.

    Returns
    -------
    DataFrame
        A row an object, by `ImageNumber` and `ObjectNumber`, which is its value in the label
        image: its centre of mass in pixels from 0, its area and its features.

    Raises
    ------
    DataError
        When a label image has other objects than were measured.
    FieldError
        When one cannot be read.
    """
    import pandas as pd

    held = measured.objects
    assert held is not None
    names = location_columns(measured.object_name, volumes=plates[0].volumes)
    groups = dict(iter(held.groupby(measured.places, sort=False)))
    label = str(measured.asked["labels"])
    parts = []
    by_name = {plate.name: plate for plate in plates}
    for (name, field), number in number_image_sets(plates).items():
        key = (name, field.well, field.site, field.timepoint)[: len(measured.places)]
        if key not in groups:
            continue
        own = groups[key].sort_values(OBJECT, ignore_index=True)
        labels, centres = centres_of(by_name[name].read_label(field, label))
        if labels.tolist() != own[OBJECT].tolist():
            raise DataError(
                f"label image {label!r} holds {len(labels)} objects, {len(own)} were measured",
                where=f"{name} {field}",
                remedy="put the plate back as it was, or measure it again",
            )
        places = pd.DataFrame(centres, columns=names)
        places.insert(0, IMAGE_NUMBER, number)
        measures = own[columns_with(f"{measured.object_name}_", own)]
        parts.append(
            pd.concat([places[[IMAGE_NUMBER]], own[[OBJECT]], places[names], measures], axis=1)
        )
    table: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return table.sort_values([IMAGE_NUMBER, OBJECT], ignore_index=True)


def centres_of(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return the objects of a label image and where each one's centre of mass is.

    Parameters
    ----------
    labels : ndarray of integers, shape (y, x) or (z, y, x)
        0 is background.

    Returns
    -------
    values : ndarray, shape (objects,)
        Ascending.
    centres : ndarray of float64, shape (objects, 2 or 3)
        x, y and of a volume z, in pixels from 0.

    Examples
    --------
    >>> values, centres = centres_of(np.array([[0, 7, 7], [0, 0, 3]]))
    >>> values.tolist(), centres.tolist()
    ([3, 7], [[2.0, 1.0], [1.5, 0.0]])
    """
    inside = np.nonzero(labels)
    values, which = np.unique(labels[inside], return_inverse=True)
    sizes = np.bincount(which, minlength=len(values))
    sums = [np.bincount(which, weights=axis, minlength=len(values)) for axis in inside[::-1]]
    return values, np.stack([total / np.maximum(sizes, 1) for total in sums], axis=1)


def write_object_csv(path: Path, objects: pd.DataFrame, *, name: str) -> None:
    """Write the table as CellProfiler's ExportToSpreadsheet would, without the objects' name."""
    bare = objects.rename(columns=lambda column: str(column).removeprefix(f"{name}_"))
    keys = [IMAGE_NUMBER, OBJECT]
    with whole(path) as part:
        bare[[*keys, *sorted(set(map(str, bare)) - set(keys))]].to_csv(part, index=False)
