"""CellH5: one HDF5 file of a time-lapse screen, as CellCognition writes it.

    /definition/image/channel     a table: channel_name, …, voxel_size
    /definition/image/region      a table: region_name, channel_idx
    /sample/0/plate/<plate>/experiment/<well>/position/<position>/
        image/channel             pixels (c, t, z, y, x)
        image/region              label images (region, t, z, y, x)

`_all_positions.ch5` links to a file a position; links are followed inside its folder. Sommer et
al., Bioinformatics 2013, 29:1580; https://www.cellh5.org.
"""

from __future__ import annotations

from typing import Any, Final

from ..errors import DataError, FieldError, PlateError
from .fields import choose_plate, make_head, number_sites, place_well
from .hdf5_tree import Tree, texts
from .layout import Field, Missing, View
from .ome import plate_order
from .stored import Broken, Image, StoredPlate, make_plate

__all__ = ["is_cellh5", "open_cellh5"]

_PLATES: Final = "sample/0/plate"
_MOST_ROWS: Final = 1000
_AXES: Final = ("c", "t", "z", "y", "x")


def is_cellh5(tree: Tree) -> bool:
    """Tell whether a file has CellH5's tree."""
    return hasattr(tree.get(_PLATES), "keys")


def open_cellh5(tree: Tree, *, name: str, view: View, plate: str) -> StoredPlate:
    """Open a plate of a CellH5 file.

    Raises
    ------
    PlateError
        When it holds several plates and none was chosen, or its experiments are not named by
        wells.
    """
    where = tree.where
    names = tree.names(tree.get(_PLATES))
    if not names:
        raise PlateError(f"{_PLATES} is empty", where=where, remedy="check how it was written")
    chosen = choose_plate(names, plate, where=str(tree.path))
    stains = _definition(tree, "channel", "channel_name")
    regions = tuple(
        region.removeprefix("region___") for region in _definition(tree, "region", "region_name")
    )
    pixel_size = _pixel_size(tree)
    root = f"{_PLATES}/{chosen}/experiment"
    images: dict[Field, Image | Broken] = {}
    missing: list[Missing] = []
    for well, experiment in _wells(tree, root, where=where).items():
        try:
            positions = number_sites(tree.names(tree.get(f"{root}/{experiment}/position")))
        except FieldError as error:
            missing.append(Missing(well, None, error.what))
            continue
        if not positions:
            missing.append(Missing(well, None, f"{experiment} has no positions"))
        for position, site in positions.items():
            at = Field(well, site, f"{root}/{experiment}/position/{position}/image/channel")
            try:
                images[at] = _image(tree, at.path, stains, regions, pixel_size)
            except FieldError as error:
                images[at] = Broken(error.what, error.remedy or "copy it again")
    return make_plate(
        where,
        head=make_head(chosen, images),
        store=tree.store("CellH5"),
        images=images,
        missing=tuple(missing),
        view=view,
    )


def _definition(tree: Tree, table: str, column: str) -> tuple[str, ...]:
    """Read a column of names; empty where the file has none."""
    found = _table(tree, table)
    return texts(found[column]) if found is not None and column in found.dtype.names else ()


def _table(tree: Tree, name: str) -> Any:
    """Read a table of definitions; `None` where the file has none."""
    path = f"definition/image/{name}"
    if tree.get(path) is None:
        return None
    found = tree.dataset(path)
    if len(found.shape) != 1 or found.shape[0] > _MOST_ROWS or not found.dataset.dtype.names:
        raise FieldError(f"{path} is no table of names")
    return found.dataset[()]


def _wells(tree: Tree, root: str, *, where: str) -> dict[str, str]:
    """Name the wells of the experiments, in plate order."""
    wells: dict[str, str] = {}
    for experiment in tree.names(tree.get(root)):
        try:
            well = place_well({"well": experiment})
        except DataError as error:
            raise PlateError(
                f"experiment {experiment!r} is no well", where=where, remedy=error.remedy
            ) from error
        if well in wells:
            raise PlateError(
                f"well {well} is both {wells[well]} and {experiment}",
                where=where,
                remedy="keep one of them",
            )
        wells[well] = experiment
    return {well: wells[well] for well in sorted(wells, key=plate_order)}


def _image(
    tree: Tree,
    path: str,
    stains: tuple[str, ...],
    regions: tuple[str, ...],
    pixel_size: tuple[float, ...],
) -> Image:
    found = tree.dataset(path)
    tree.keep(path, found.part())
    labels = _labels(tree, path.replace("image/channel", "image/region"), regions)
    if labels:
        tree.labels[path] = labels
    image = Image(
        path, _AXES, found.shape, found.dtype, stains, tuple(labels), pixel_size=pixel_size
    )
    image.check()
    return image


def _labels(tree: Tree, path: str, regions: tuple[str, ...]) -> dict[str, Image | Broken]:
    """Find a position's segmentations: each is one index along the first axis."""
    if tree.get(path) is None:
        return {}
    found = tree.dataset(path)
    labels: dict[str, Image | Broken] = {}
    for index, name in enumerate(regions[: found.shape[0]]):
        own = f"{path}#{name}"
        tree.keep(own, found.part(index))
        labels[name] = Image(own, _AXES[1:], found.shape[1:], found.dtype)
    return labels


def _pixel_size(tree: Tree) -> tuple[float, ...]:
    """Return micrometres along y and x; empty where the file does not say."""
    channels = _table(tree, "channel")
    if channels is None or "voxel_size" not in channels.dtype.names or not len(channels):
        return ()
    *_, y, x = channels["voxel_size"][0]
    return (float(y), float(x)) if y > 0 and x > 0 else ()
