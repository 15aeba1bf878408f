"""Other people's HDF5: a pattern says where the fields are.

`/{well}/{field}` finds `/A01/3`; `/{row}/{column}/field{field}/{channel}:zyx` finds a dataset a
channel and says that each is a stack of planes. What is not in braces must be there literally.
Axes that the pattern leaves out are taken where they can only be one thing: two are `yx`; the
first of three is the channels if it is short, the others are not, and no `{channel}` is named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ..errors import DataError, FieldError, PlateError, UsageError
from ..vocabulary import split_well
from .fields import choose_plate, make_head, natural, number_sites, place_well
from .hdf5_tree import Found, Tree
from .layout import Field, View
from .ome import plate_order
from .stored import Broken, Image, StoredPlate, make_plate

__all__ = ["open_foreign", "suggest"]

_WORDS: Final = {
    "plate": r"[^/]+?",
    "well": r"[A-Za-z]{1,2}[0-9]{1,3}",
    "row": r"[A-Za-z]{1,2}|[0-9]{1,2}",
    "column": r"[0-9]{1,3}",
    "field": r"[^/]+?",
    "channel": r"[^/]+?",
}
"""What each word of a pattern stands for."""
_FEW: Final = 8
"""Most channels that an axis is taken to hold without being told."""


def open_foreign(tree: Tree, *, name: str, view: View, plate: str) -> StoredPlate:
    """Open a plate by the pattern in `view.hdf5_path`.

    Raises
    ------
    UsageError
        When the pattern makes no sense; it lists the words that it may use.
    PlateError
        When nothing fits it; the message lists what there is.
    """
    where = tree.where
    parts, axes = _parse(view.hdf5_path)
    seen: list[str] = []
    found = list(_walk(tree, tree.root, parts, {}, "", seen))
    if not found:
        raise PlateError(
            f"nothing fits {view.hdf5_path}: {seen[0]}",
            where=where,
            remedy=f"try --hdf5-path {suggest(tree) or '/{well}/{field}'!r}",
        )
    plates = sorted({words.get("plate", name) for words, _ in found}, key=natural)
    chosen = choose_plate(plates, plate, where=str(tree.path))
    paths = [(words, path) for words, path in found if words.get("plate", name) == chosen]
    images = _images(tree, paths, axes, where=where)
    return make_plate(
        where,
        head=make_head(chosen, images),
        store=tree.store("HDF5"),
        images=images,
        missing=(),
        view=view,
        notes=[f"fields are at {view.hdf5_path}"],
    )


def suggest(tree: Tree) -> str:
    """Make a pattern from the first dataset below what looks like a well; empty without one."""
    names = _first_dataset(tree, tree.root, "").strip("/").split("/")
    for index, name in enumerate(names):
        if _is_well(name):
            words, rest = ["{well}"], names[index + 1 :]
        elif name.isalpha() and "".join(names[index + 1 : index + 2]).isdigit():
            words, rest = ["{row}", "{column}"], names[index + 2 :]
        else:
            continue
        last = ["{channel}"] if len(rest) == 2 else rest[1:]
        return "/" + "/".join([*names[:index], *words, *(["{field}"] if rest else []), *last])
    return ""


def _parse(pattern: str) -> tuple[list[str], str]:
    """Take a pattern apart into its path's parts and its axes."""
    path, _, axes = pattern.partition(":")
    words = re.findall(r"\{(.*?)\}", path)
    unknown = [word for word in words if word not in _WORDS]
    placed = "well" in words or {"row", "column"} <= set(words)
    if unknown or not placed or len(set(words)) < len(words) or set(axes) - set("tczyx"):
        raise UsageError(
            f"--hdf5-path {pattern!r}",
            remedy="use {well}, or {row} and {column}, and {plate}, {field} and {channel} once "
            "each, then axes if you like: '/{well}/{field}:cyx'",
        )
    return path.strip("/").split("/"), axes


def _walk(
    tree: Tree, group: Any, parts: list[str], words: Mapping[str, str], at: str, seen: list[str]
) -> Iterator[tuple[dict[str, str], str]]:
    """Find the datasets that fit, with what each word stands for; `seen` is told what did not."""
    if not parts:
        if hasattr(group, "shape"):
            yield dict(words), at
        else:
            seen.append(f"{at} is a group of {_some(tree, group)}")
        return
    if not hasattr(group, "keys"):
        seen.append(f"{at} is a dataset")
        return
    regex = _regex(parts[0])
    fits = [(name, match) for name in tree.names(group) if (match := regex.fullmatch(name))]
    if not fits:
        seen.append(f"{at or '/'} holds {_some(tree, group)}")
    for name, match in fits:
        more, path = {**words, **match.groupdict()}, f"{at}/{name}"
        try:
            child = tree.get(name, group)
        except FieldError as error:
            seen.append(error.what)
            if len(parts) == 1:  # `_image` will say what is wrong with it
                yield more, path
            continue
        yield from _walk(tree, child, parts[1:], more, path, seen)


def _regex(part: str) -> re.Pattern[str]:
    pieces = re.split(r"\{(.*?)\}", part)
    return re.compile(
        "".join(
            f"(?P<{piece}>{_WORDS[piece]})" if index % 2 else re.escape(piece)
            for index, piece in enumerate(pieces)
        )
    )


def _images(
    tree: Tree, found: list[tuple[dict[str, str], str]], axes: str, *, where: str
) -> dict[Field, Image | Broken]:
    """Gather datasets by field, and their channels."""
    wells: dict[str, dict[str, dict[str, str]]] = {}
    for words, path in found:
        try:
            well = place_well(words)
        except DataError as error:
            raise PlateError(f"{path}: {error.what}", where=where, remedy=error.remedy) from error
        field = wells.setdefault(well, {}).setdefault(words.get("field", "1"), {})
        channel = words.get("channel", "")
        if channel in field:
            raise PlateError(
                f"{field[channel]} and {path} are the same field of well {well}",
                where=where,
                remedy="make the pattern say more",
            )
        field[channel] = path
    channels = sorted({words["channel"] for words, _ in found if "channel" in words}, key=natural)
    images: dict[Field, Image | Broken] = {}
    for well in sorted(wells, key=plate_order):
        sites = number_sites(wells[well])
        for name, site in sites.items():
            paths = wells[well][name]
            first = next(iter(paths.values()))
            at = Field(well, site, first if not channels else first.rpartition("/")[0] + f"#{name}")
            try:
                images[at] = _image(tree, at.path, paths, channels, axes)
            except FieldError as error:
                images[at] = Broken(error.what, error.remedy or "copy it again")
    return images


def _image(
    tree: Tree, path: str, paths: Mapping[str, str], channels: list[str], axes: str
) -> Image:
    """Describe a field: one dataset, or one a channel."""
    for channel in channels:
        if channel not in paths:
            raise FieldError(f"channel {channel} is missing", remedy="leave the field out")
    datasets = [tree.dataset(paths[channel]) for channel in channels or paths]
    kinds = {(found.shape, found.dtype) for found in datasets}
    if len(kinds) > 1:
        raise FieldError(f"its channels differ in shape or type: {sorted(kinds)}")
    tree.keep(path, *(found.part() for found in datasets))
    names = axes or _guess(datasets[0], bool(channels))
    stacked = len(datasets) > 1
    if stacked and "c" in names:
        raise FieldError(f"axes {names} have channels, and so has the pattern")
    shape = (len(datasets), *datasets[0].shape) if stacked else datasets[0].shape
    image = Image(
        path, tuple("c" + names if stacked else names), shape, datasets[0].dtype, tuple(channels)
    )
    image.check()
    return image


def _guess(found: Found, channel_known: bool) -> str:
    shape = found.shape
    if len(shape) == 2:
        return "yx"
    if len(shape) == 3 and not channel_known and shape[0] <= _FEW < min(shape[1:]):
        return "cyx"
    raise FieldError(
        f"dataset {found.dataset.name} of shape {shape} can be read in several ways",
        remedy="end the pattern in its axes, as ':zyx'",
    )


def _first_dataset(tree: Tree, group: Any, at: str, depth: int = 8) -> str:
    """Return the path of a dataset of at least two axes; empty where there is none."""
    for name in tree.names(group)[:100]:
        try:
            child = tree.get(name, group)
        except FieldError:
            continue
        if hasattr(child, "keys") and depth:
            path = _first_dataset(tree, child, f"{at}/{name}", depth - 1)
            if path:
                return path
        elif len(getattr(child, "shape", None) or ()) >= 2:
            return f"{at}/{name}"
    return ""


def _is_well(name: str) -> bool:
    try:
        split_well(name)
    except DataError:
        return False
    return True


def _some(tree: Tree, group: Any) -> str:
    names = tree.names(group)
    return (", ".join(names[:6]) + (", …" if len(names) > 6 else "")) or "nothing"
