"""Where a field's pixels lie, in the words of CellProfiler's tables: folder, file, URL, frame.

A channel of an image list has a file of its own. In a plate store a field is one array with all of
its channels: its place stands in the words of a file, and the channel's place in it is the frame.
CellProfiler's and others' readers of files open the former, and not the latter.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from .fields import split_choice
from .image_files import ImageFiles, Page
from .layout import Field, Plate
from .stored import Broken, Image, StoredPlate
from .wrapped import WrappedPlate

__all__ = ["Location", "locate"]


@dataclass(frozen=True, slots=True)
class Location:
    """Where one channel of a field is; all empty where the plate names no place for it."""

    folder: str = ""
    """`PathName`."""
    file: str = ""
    """`FileName`."""
    url: str = ""
    frame: int | None = None
    """Page of the file or channel of the array, from 0; None where several pages are shown."""


def locate(plate: Plate, field: Field) -> dict[str, Location]:
    """Say where the channels of a field are.

    Parameters
    ----------
    plate : Plate
    field : Field
        One of its fields.

    Returns
    -------
    dict of Location
        By channel, for those that the plate shows. `file:///screen/list/B03.tif` and its page; of
        an OME-Zarr plate the array, `file:///screen/plate.zarr/B/3/0/0`; of an HDF5 file the array
        behind `#`. Of several planes or pages of one channel, the first that is shown.
    """
    shown, stored = plate.channels, plate
    while isinstance(stored, WrappedPlate):
        stored = stored.plate
    stored = cast(StoredPlate, stored)  # every format makes one
    image = stored.images[field]
    if isinstance(image, Broken):
        return dict.fromkeys(shown, Location())
    if isinstance(stored.store, ImageFiles):
        pages = stored.store.pages[image.path]
        return {
            name: _of_file(pages, image, field.timepoint, stored.channels.index(name), stored)
            for name in shown
        }
    return {name: _of_array(stored.path, image.path, stored.channels.index(name)) for name in shown}


def _of_file(
    pages: tuple[Page, ...], image: Image, time: int, channel: int, plate: StoredPlate
) -> Location:
    """Locate a channel of an image list: the axes of its pages are t, c and z."""
    places = np.arange(len(pages)).reshape(image.lengths[:-2])[time, channel]
    chosen = places[plate.view.z : plate.view.z + 1] if isinstance(plate.view.z, int) else places
    found = [pages[place] for place in chosen]
    first = found[0]
    if not first.file:
        return Location()
    frame = first.frame if len(found) == 1 else None
    if "://" in first.file:
        folder, _, name = first.file.rpartition("/")
        return Location(folder, name, first.file, frame)
    file = Path(first.file).absolute()
    return Location(str(file.parent), file.name, file.as_uri(), frame)


def _of_array(path: str, inside: str, channel: int) -> Location:
    """Locate a channel of an array in a store: an OME-Zarr folder or URL, or an HDF5 file."""
    inside = inside.strip("/")
    if "://" in path:
        url = f"{path.rstrip('/')}/{inside}"
        folder, _, name = url.rpartition("/")
        return Location(folder, name, url, channel)
    store = split_choice(path)[0].absolute()
    if store.is_file():
        return Location(str(store.parent), store.name, f"{store.as_uri()}#/{inside}", channel)
    array = store / inside
    return Location(str(array.parent), array.name, array.as_uri(), channel)
