"""Plates: from a path to wells, fields and pixels.

    path ─► open_plate ─► Plate ─► read(field) ─► pixels (channels, y, x)
                            ▲
    ome_zarr, hdf5 ─► stored┘        platemap ─► one row of treatments a well

`layout` says what a plate is, `ome` reads OME-NGFF metadata, `channels` names the channels,
`columns` those of a plate map, `stored` is the plate that every format shares, `zarr_chunks`
finds what zarr would not miss, `selection` shows some of the channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import PlateError
from .columns import Columns, resolve_column
from .hdf5 import is_hdf5, open_hdf5
from .layout import Field, Missing, Plate, PlateInfo
from .ome_zarr import is_zarr_group, open_ome_zarr, store_stem
from .platemap import find_platemap, platemap_path, read_platemap
from .selection import select_channels

__all__ = [
    "Columns",
    "Field",
    "Missing",
    "Plate",
    "PlateInfo",
    "find_platemap",
    "open_plate",
    "platemap_path",
    "read_platemap",
    "resolve_column",
    "select_channels",
    "store_stem",
]


def open_plate(path: str | Path, *, channels: Sequence[str] | None = None) -> Plate:
    """Open a plate for reading: OME-Zarr 0.4 or 0.5 from any writer, or HDF5.

    Parameters
    ----------
    path : str or Path
        A folder (OME-Zarr) or a file (HDF5, in the layout of `hts_classify.plate.hdf5`).
    channels : sequence of str, optional
        Names for the channels, in their order in the pixels. By default the store's labels,
        and where it has none `Channel0`, `Channel1`, …

    Returns
    -------
    Plate
        Its metadata are read, its pixels are not. It can be pickled.

    Raises
    ------
    PlateError
        When the path holds no plate, or one that cannot be read as a whole.
    UsageError
        When `channels` does not fit the pixels.

    Examples
    --------
    >>> open_plate("no/such/plate.zarr")
    Traceback (most recent call last):
      ...
    hts_classify.errors.PlateError: no/such/plate.zarr: does not exist; check the path
    """
    path = Path(path)
    if not path.exists():
        raise PlateError("does not exist", where=str(path), remedy="check the path")
    if path.is_file():
        if not is_hdf5(path):
            raise PlateError(
                "a file that is not HDF5",
                where=str(path),
                remedy="give an OME-Zarr folder or an HDF5 plate; unpack a zipped store first",
            )
        return open_hdf5(path, name=store_stem(path), channels=channels)
    if not is_zarr_group(path):
        raise PlateError("a folder without zarr metadata", where=str(path), remedy=_inside(path))
    return open_ome_zarr(path, channels=channels)


def _inside(folder: Path) -> str:
    """Point to the plates that a folder holds, which is what was meant more often than not."""
    within = sorted(p.name for p in folder.iterdir() if p.is_dir() and is_zarr_group(p))
    return f"give one plate's path, such as {within[0]}" if within else "give a plate's path"
