"""Plates: from a path or URL to wells, fields and pixels.

    path ─► open_plate ─► Plate ─► read(field) ─► pixels (channels, y, x)
                            ▲
    ome_zarr ─┐             │        platemap ─► one row of treatments a well
    hdf5      ├─► stored ───┤
    image_list┘             └── illumination, selection: a plate seen through another

`layout` says what a plate is and `stored` is the plate that every format shares; `finding` goes
from what a user names to plates, `channels` names channels and `columns` those of a plate map.
OME-Zarr: `ome` and `ome_image` understand the metadata, `storage` and `remote` get bytes from a
folder or a URL, `zarr_chunks` says which files an array has, `zarr_codecs` and `zarr_pixels` decode
them for `zarr_store`. HDF5: `hdf5_tree` and `hdf5_chunks` for `hdf5_store`, with `cellh5` and
`hdf5_foreign` for others' files. Image lists: `list_table` reads the table and `list_metadata` what
it says of treatments, `list_places` and `list_bytes` find and get the files that `image_files`
decodes, `list_illumination` corrects by the functions that it names. `fields` makes wells and sites
of names, `image_sets` numbers fields as CellProfiler does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from ..errors import PlateError
from .columns import Columns, control_kinds, resolve_column
from .fields import split_choice
from .finding import find_plates
from .hdf5 import is_hdf5, open_hdf5
from .illumination import correct_illumination
from .image_list import open_image_list
from .image_sets import ImageSets, choose_image_sets, number_image_sets
from .layout import Field, Missing, Plate, PlateInfo, View
from .list_illumination import correct_as_listed
from .list_table import is_image_list
from .many import distinct
from .ome_zarr import is_zarr_group, open_ome_zarr, store_stem
from .platemap import (
    contradictions,
    find_platemap,
    listed_wells,
    platemap_path,
    read_platemap,
)
from .remote import open_storage
from .selection import select_channels
from .storage import Folder
from .stored import StoredPlate

__all__ = [
    "Columns",
    "Field",
    "ImageSets",
    "Missing",
    "Plate",
    "PlateInfo",
    "View",
    "choose_image_sets",
    "contradictions",
    "control_kinds",
    "correct_illumination",
    "find_platemap",
    "find_plates",
    "listed_wells",
    "number_image_sets",
    "open_plate",
    "open_plates",
    "platemap_path",
    "read_platemap",
    "resolve_column",
    "select_channels",
    "split_choice",
    "store_stem",
]

_ALL: Final = View()
_FILES: Final = (".h5", ".hdf5", ".ch5", ".csv", ".tsv", ".zip")


def open_plate(
    path: str | Path, *, channels: Sequence[str] | None = None, view: View = _ALL
) -> Plate:
    """Open a plate for reading: OME-Zarr 0.4 or 0.5 from any writer, HDF5, or an image list.

    Parameters
    ----------
    path : str or Path
        A folder (OME-Zarr), a file (HDF5, or a CSV table in CellProfiler's LoadData columns), or
        the URL of an OME-Zarr plate in any file system that fsspec has (`s3://`, `https://`).
        `load_data.csv#BR00117` is one plate of a file of several. Credentials are fsspec's: see
        `hts_classify.plate.storage`.
    channels : sequence of str, optional
        Names for the channels, in their order in the pixels, instead of `view.channels`. By
        default the store's labels, and where it has none `Channel0`, `Channel1`, …
    view : View, optional
        Which part of the plate is looked at, and how.

    Returns
    -------
    Plate
        Its metadata are read, its pixels are not. It can be pickled.

    Raises
    ------
    PlateError
        When the path holds no plate, or one that cannot be read as a whole.
    UsageError
        When the view does not fit the plate: names, planes, time points, acquisitions.

    Examples
    --------
    >>> open_plate("no/such/plate.zarr")
    Traceback (most recent call last):
      ...
    hts_classify.errors.PlateError: no/such/plate.zarr: does not exist; check the path
    """
    if channels is not None:
        # A str is refused where the names are checked.
        names = channels if isinstance(channels, str) else tuple(channels)
        view = replace(view, channels=names)  # type: ignore[arg-type]
    plate: Plate = _open(path, view)
    if view.illumination and any(file for _, file in view.illumination):
        plate = correct_illumination(plate, dict(view.illumination))
    elif view.illumination is not None:
        plate = correct_as_listed(plate, view.use)
    return select_channels(plate, view.use) if view.use else plate


def open_plates(paths: Sequence[str | Path], *, view: View = View()) -> tuple[Plate, ...]:  # noqa: B008
    """Open several plates alike; those that share a name are called after their paths."""
    return distinct(lambda path: open_plate(path, view=view), paths)


def _open(path: str | Path, view: View) -> StoredPlate:
    """Tell formats apart."""
    where = str(path)
    if isinstance(path, str) and "://" in path:
        storage = open_storage(path)
        if not isinstance(storage, Folder):
            if Path(path).suffix.lower() in _FILES:
                raise PlateError("a file behind a URL", where=path, remedy="copy it to a disk")
            return open_ome_zarr(path, view=view)
        where = storage.root
    file, chosen = split_choice(where)
    if not file.exists():
        raise PlateError("does not exist", where=where, remedy="check the path")
    if file.is_dir():
        if chosen or not is_zarr_group(file):
            raise PlateError("a folder without zarr metadata", where=where, remedy=_inside(file))
        return open_ome_zarr(where, view=view)
    if not file.is_file():
        raise PlateError("is neither a file nor a folder", where=where, remedy="check the path")
    name = chosen or store_stem(file)
    if is_hdf5(file):
        return open_hdf5(where, name=name, view=view)
    if is_image_list(file):
        return open_image_list(where, name=name, view=view)
    raise PlateError(
        "a file that is neither HDF5 nor an image list",
        where=where,
        remedy="give an OME-Zarr folder, an HDF5 plate or a CSV table with the columns of"
        " CellProfiler's LoadData; unpack a zipped store first",
    )


def _inside(folder: Path) -> str:
    """Point to the plates that a folder holds, which is what was meant more often than not."""
    within = sorted(p.name for p in folder.iterdir() if p.is_dir() and is_zarr_group(p))
    return f"give one plate's path, such as {within[0]}" if within else "give a plate's path"
