"""Plates as one HDF5 file: ours here, somebody else's in `hdf5_foreign` and `cellh5`.

The layout, version 1, carries the words of OME-NGFF in native attributes::

    /            hts_classify_layout = 1
                 name                 "BR00117"
                 rows, columns        ["A", "B", …], ["1", "2", …]
                 wells                ["A/1", "A/2", …]: paths of the wells' groups
                 channels             ["DNA", "GFP"]          (may be absent)
    /A/1         images               ["0", "1", …]: names of the well's datasets, in order
    /A/1/0       axes                 "cyx", or any of yx … tczyx
                 pixel_size           [0.65, 0.65]: micrometres along y and x (may be absent)
    /A/1/labels/0/nuclei              a label image of field 0 (may be absent)
                 axes                 "yx" by default, "zyx" where it has three dimensions

Each dataset holds one field, uint8 or uint16, best in chunks of one plane of one channel,
(1, y, x), with HDF5's own checksum (Fletcher-32), without which damage to pixels cannot be seen.
Texts are best of fixed length: HDF5 keeps others in a heap, and may never return from a damaged
one.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

from ..errors import FieldError, PlateError
from .cellh5 import is_cellh5, open_cellh5
from .fields import split_choice
from .hdf5_foreign import open_foreign, suggest
from .hdf5_tree import Tree, attribute, texts
from .layout import Field, Missing, View
from .ome import Head, Well, make_wells
from .stored import Broken, Image, StoredPlate, make_plate

__all__ = ["LAYOUT", "LAYOUT_KEY", "is_hdf5", "open_hdf5"]

LAYOUT: Final = 1
LAYOUT_KEY: Final = "hts_classify_layout"
_SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"


def is_hdf5(path: Path) -> bool:
    """Tell whether a file begins like HDF5."""
    with path.open("rb") as file:
        return file.read(len(_SIGNATURE)) == _SIGNATURE


def open_hdf5(path: str | Path, *, name: str, view: View) -> StoredPlate:
    """Open a plate in an HDF5 file: in our layout, CellH5's, or by the view's `hdf5_path`.

    Parameters
    ----------
    path : str or Path
        The file; `screen.ch5#BR00117` is one plate of a file of several.

    Raises
    ------
    PlateError
        When the file is truncated, being written, or holds no plate; the remedy says which
        `--hdf5-path` may fit.
    """
    file, plate = split_choice(path)
    with Tree(file, str(path)) as tree:
        try:
            return _open(tree, name=name, view=view, plate=plate)
        except FieldError as error:
            remedy = error.remedy or "copy it again"
            raise PlateError(error.what, where=str(path), remedy=remedy) from error


def _open(tree: Tree, *, name: str, view: View, plate: str) -> StoredPlate:
    if view.hdf5_path:
        return open_foreign(tree, name=name, view=view, plate=plate)
    if attribute(tree.root, LAYOUT_KEY, None) is not None:
        return _open_own(tree, name=name, view=view)
    if is_cellh5(tree):
        return open_cellh5(tree, name=name, view=view, plate=plate)
    pattern = suggest(tree)
    raise PlateError(
        f"an HDF5 file without the attribute {LAYOUT_KEY}",
        where=tree.where,
        remedy=f"say where its fields are, as --hdf5-path {pattern!r}"
        if pattern
        else "write it in the layout that hts_classify.plate.hdf5 describes",
    )


def _open_own(tree: Tree, *, name: str, view: View) -> StoredPlate:
    head = _read_head(tree.root, where=tree.where, name=name)
    stains = texts(attribute(tree.root, "channels", ()))
    images: dict[Field, Image | Broken] = {}
    missing: list[Missing] = []
    for well in head.wells:
        try:
            group, names = _images_of(tree, well)
            labels = tree.get("labels", group)
        except FieldError as error:
            missing.append(Missing(well.name, None, error.what))
            continue
        for site, image in enumerate(names, start=1):
            at = Field(well.name, site, f"{well.path}/{image}")
            try:
                own = _read_labels(tree, labels, f"{well.path}/labels", image)
                images[at] = _image(tree, group, at.path, image, stains, own)
            except FieldError as error:
                images[at] = Broken(error.what, error.remedy or "write the plate again")
    return make_plate(
        tree.where,
        head=head,
        store=tree.store("HDF5"),
        images=images,
        missing=tuple(missing),
        view=view,
    )


def _read_head(root: Any, *, where: str, name: str) -> Head:
    version = attribute(root, LAYOUT_KEY, None)
    if str(version) != str(LAYOUT):
        raise PlateError(
            f"HDF5 layout version {version}",
            where=where,
            remedy=f"this hts_classify reads version {LAYOUT}",
        )
    rows, columns, wells = (texts(attribute(root, key, ())) for key in ("rows", "columns", "wells"))
    own = "".join(texts([attribute(root, "name", "")]))
    return Head(own or name, rows, columns, make_wells(wells, where=where))


def _images_of(tree: Tree, well: Well) -> tuple[Any, tuple[str, ...]]:
    group = tree.get(well.path)
    if group is None:
        raise FieldError(f"group {well.path} is missing")
    names = texts(attribute(group, "images", ()))
    if not names:
        raise FieldError(f"group {well.path} lists no images")
    return group, names


def _image(
    tree: Tree,
    group: Any,
    path: str,
    name: str,
    stains: tuple[str, ...],
    labels: dict[str, Image | Broken],
) -> Image:
    found = tree.dataset(name, group)
    tree.keep(path, found.part())
    if labels:
        tree.labels[path] = labels
    image = Image(
        path,
        found.axes("cyx"),
        found.shape,
        found.dtype,
        stains,
        label_names=tuple(labels),
        pixel_size=_pixel_size(attribute(found.dataset, "pixel_size", ())),
    )
    image.check()
    return image


def _pixel_size(steps: Any) -> tuple[float, ...]:
    """Return micrometres along y and x; nothing where they are odd."""
    try:
        sizes = tuple(float(step) for step in steps)
    except (TypeError, ValueError):
        return ()
    return sizes if len(sizes) == 2 and all(0 < size < math.inf for size in sizes) else ()


def _read_labels(tree: Tree, labels: Any, at: str, name: str) -> dict[str, Image | Broken]:
    """Find the label images of a field."""
    group = None if labels is None else tree.get(name, labels)
    found: dict[str, Image | Broken] = {}
    for own in tree.names(group):
        path = f"{at}/{name}/{own}"
        try:
            dataset = tree.dataset(own, group)
            axes = dataset.axes("zyx" if len(dataset.shape) == 3 else "yx")
            label = Image(path, axes, dataset.shape, dataset.dtype)
            label.check()
        except FieldError as error:
            found[own] = Broken(error.what, error.remedy)
            continue
        tree.keep(path, dataset.part())
        found[own] = label
    return found
