"""Damage to a copy of a plate, seeded: what disks, networks and hasty hands do to files.

seed ─► a kind and a place ─► the copy is damaged ─► Damage: what was done, and to which fields
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

__all__ = ["Damage", "Place", "damage_folder", "damage_hdf5"]

Place = tuple[str, int]
"""A well and a site."""

_METADATA: Final = ("zarr.json", ".zarray", ".zattrs", ".zgroup")
_NUMBERS: Final = (-1, 0, 1, 63, 65, 3, 1 << 20, 1 << 40, 1 << 62, 1 << 70, 0.5)
_THINGS: Final = (None, -1, 0, 1e300, float("nan"), True, [], {}, [[]], [0])
_WORDS: Final = ("", "../../..", "/", "c", "\ud800", "a\0b", "a\nb", "x" * 9999, ".", "1")
_DEPTHS: Final = (0, 2, 3, 4)
"""Folders above the metadata of a plate, a well, an image and an array; rows have none."""
_DEEP: Final = "deep"
_TYPES: Final = ("int16", "uint32", "float32", "uint8", "<i2", ">u2", "|u1", "<u4", "|O", "_")


@dataclass(frozen=True, slots=True)
class Damage:
    """What was done."""

    kind: str
    where: str
    fields: frozenset[Place]
    """The fields that it may show in; all where it may show in any."""
    pixels: bool
    """Stored pixels were hit, not what describes them."""


def damage_folder(root: Path, seed: int, fields: frozenset[Place]) -> Damage:
    """Damage an OME-Zarr plate of these fields, whose images are called 0, 1, …"""
    rng = np.random.default_rng(seed)
    kind = (*_OF_CHUNKS, *_OF_METADATA)[seed % (len(_OF_CHUNKS) + len(_OF_METADATA))]
    files = sorted(path for path in root.rglob("*") if path.is_file())
    if kind in _OF_CHUNKS:
        chunks = [path for path in files if path.name not in _METADATA]
        hit = [chunks[k] for k in rng.choice(len(chunks), 2, replace=False)]
    else:
        folders = rng.choice(_DEPTHS)
        described = [
            path
            for path in files
            if path.name in _METADATA
            and len(path.relative_to(root).parts) == folders + 1
            and path.read_bytes().strip() != b"{}"
        ]
        hit = [described[rng.integers(len(described))]]
    if kind == "swap":
        one, other = (path.read_bytes() for path in hit)
        hit[0].write_bytes(other)
        hit[1].write_bytes(one)
    else:
        del hit[1:]
        _damage_file(hit[0], kind.removeprefix("metadata "), rng)
    paths = [path.relative_to(root) for path in hit]
    reached = frozenset[Place]().union(*(_reached(path, fields) for path in paths))
    return Damage(kind, " and ".join(map(str, paths)), reached, kind in _OF_CHUNKS)


def damage_hdf5(file: Path, seed: int, fields: frozenset[Place]) -> Damage:
    """Damage an HDF5 plate of these fields, in the layout of `hts_classify.plate.hdf5`."""
    rng = np.random.default_rng(seed)
    kinds = (*_OF_HDF5, *_EDITS_OF_HDF5)
    kind = kinds[seed % len(kinds)]
    with h5py.File(file, "r") as opened:
        chunks = {
            (info.byte_offset, info.size): dataset.name
            for dataset in _datasets(opened)
            for info in map(dataset.id.get_chunk_info, range(dataset.id.get_num_chunks()))
        }
    content = bytearray(file.read_bytes())
    if kind in _EDITS_OF_HDF5:
        with h5py.File(file, "r+") as opened:
            datasets = _datasets(opened)
            chosen = [datasets[k] for k in rng.choice(len(datasets), 2, replace=False)]
            paths = _EDITS_OF_HDF5[kind](opened, chosen, rng)
        reached = [_reached(Path(path), fields) for path in paths]
        return Damage(kind, " ".join(paths), frozenset[Place]().union(*reached), kind == "swap")
    if kind.startswith("pixel"):
        place = list(chunks)[rng.integers(len(chunks))]
        begin, end = place[0], sum(place)
        content[begin:end] = _CONTENT[kind.removeprefix("pixel ")](bytes(content[begin:end]), rng)
        file.write_bytes(content)
        return Damage(kind, chunks[place], _reached(Path(chunks[place][1:]), fields), True)
    if kind == "flip elsewhere":
        stored = np.zeros(len(content), bool)
        for begin, size in chunks:
            stored[begin : begin + size] = True
        byte = int(rng.choice(np.flatnonzero(~stored)))
        content[byte] ^= 1 << int(rng.integers(8))
        file.write_bytes(content)
        return Damage(kind, f"byte {byte}", fields, False)
    file.write_bytes(_CONTENT[kind](bytes(content), rng))
    return Damage(kind, "the file", fields, False)


def _reached(path: Path, fields: frozenset[Place]) -> frozenset[Place]:
    """Return the fields that a file, or a path in HDF5, may show in."""
    parts = path.parts
    if len(parts) < 2 or not parts[1].isdigit():
        return fields
    well = f"{parts[0]}{int(parts[1]):02d}"
    site = int(parts[2]) + 1 if len(parts) > 2 and parts[2].isdigit() else None
    return frozenset(at for at in fields if at[0] == well and site in (None, at[1]))


def _damage_file(path: Path, kind: str, rng: np.random.Generator) -> None:
    if kind == "delete":
        path.unlink()
    elif kind == "directory":
        path.unlink()
        path.mkdir()
    elif kind in _JSON:
        content = json.loads(path.read_bytes())
        every = list(_slots(content))
        slots = [slot for slot in every if kind not in _WHAT or _WHAT[kind](*slot)] or every
        holder, key = slots[rng.integers(len(slots))]
        _JSON[kind](holder, key, rng)
        path.write_text(json.dumps(content).replace(json.dumps(_DEEP), "[" * 9999 + "]" * 9999))
    else:
        path.write_bytes(_CONTENT[kind](path.read_bytes(), rng))


def _flip(content: bytes, rng: np.random.Generator, count: int = 1) -> bytes:
    hit = bytearray(content)
    for bit in rng.choice(8 * len(hit), min(count, 8 * len(hit)), replace=False):
        hit[bit // 8] ^= 1 << (bit % 8)
    return bytes(hit)


def _blank(content: bytes, rng: np.random.Generator) -> bytes:
    """Lose a sector."""
    begin = int(rng.integers(len(content)))
    lost = len(content[begin : begin + 512])
    return content[:begin] + bytes(lost) + content[begin + lost :]


_CONTENT: Final[dict[str, Callable[[bytes, np.random.Generator], bytes]]] = {
    "flip": _flip,
    "flips": lambda content, rng: _flip(content, rng, int(rng.integers(2, 20))),
    "zeros": lambda content, rng: bytes(len(content)),
    "hole": _blank,
    "truncate": lambda content, rng: content[: rng.integers(len(content))],
    "empty": lambda content, rng: b"",
    "behead": lambda content, rng: content[rng.integers(1, len(content)) :],
    "extend": lambda content, rng: content + rng.bytes(int(rng.integers(1, 999))),
    "noise": lambda content, rng: rng.bytes(int(rng.integers(1, 9999))),
}


def _slots(content: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place in some JSON that a value is at."""
    if isinstance(content, (dict, list)):
        for key in list(content) if isinstance(content, dict) else range(len(content)):
            yield content, key
            yield from _slots(content[key])


def _lose(holder: Any, key: Any, rng: np.random.Generator) -> None:
    del holder[key]


def _another(things: tuple[Any, ...]) -> Callable[[Any, Any, np.random.Generator], None]:
    def put(holder: Any, key: Any, rng: np.random.Generator) -> None:
        holder[key] = things[rng.integers(len(things))]

    return put


def _deepen(holder: Any, key: Any, rng: np.random.Generator) -> None:
    holder[key] = _DEEP


_JSON: Final = {
    "lose": _lose,
    "value": _another(_THINGS),
    "number": _another(_NUMBERS),
    "type": _another(_TYPES),
    "word": _another(_WORDS),
    "depth": _deepen,
}
_WHAT: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "number": lambda holder, key: type(holder[key]) is int,
    "type": lambda holder, key: key in ("dtype", "data_type"),
    "word": lambda holder, key: type(holder[key]) is str,
}


def _unlink(file: Any, chosen: list[Any], rng: np.random.Generator) -> list[str]:
    path = chosen[0].name[1:]
    path = path if rng.random() < 0.5 else path.rpartition("/")[0]
    del file[path]
    return [path]


def _swap(file: Any, chosen: list[Any], rng: np.random.Generator) -> list[str]:
    one, other = (dataset.name[1:] for dataset in chosen)
    file.move(one, "aside")
    file.move(other, one)
    file.move("aside", other)
    return [one, other]


def _attribute(file: Any, chosen: list[Any], rng: np.random.Generator) -> list[str]:
    holders = [file, chosen[0].parent, chosen[0]]
    holder = holders[rng.integers(len(holders))]
    name = sorted(holder.attrs)[rng.integers(len(holder.attrs))]
    things = (-1, 0.5, "", "nonsense", "../..", [], ["nonsense"], [[1, 2], [3, 4]], None)
    thing = things[rng.integers(len(things))]
    del holder.attrs[name]
    if thing is not None:
        holder.attrs[name] = thing
    return [holder.name[1:]]


def _rewrite(file: Any, chosen: list[Any], rng: np.random.Generator) -> list[str]:
    path, pixels = chosen[0].name[1:], chosen[0][...]
    del file[path]
    others = (pixels.astype("f4"), pixels.astype("i2"), pixels[0], pixels[:1], pixels[:, :0])
    file.create_dataset(path, data=others[rng.integers(len(others))]).attrs["axes"] = "cyx"
    return [path]


def _unwritten(file: Any, chosen: list[Any], rng: np.random.Generator) -> list[str]:
    path, shape, chunks = chosen[0].name[1:], chosen[0].shape, chosen[0].chunks
    first = chosen[0][0]
    del file[path]
    dataset = file.create_dataset(path, shape, "<u2", chunks=chunks)
    dataset.attrs["axes"] = "cyx"
    dataset[0] = first
    return [path]


def _datasets(file: Any) -> list[Any]:
    found: list[Any] = []
    file.visititems(lambda _, node: found.append(node) if isinstance(node, h5py.Dataset) else None)
    return found


_OF_CHUNKS: Final = (
    *("flip", "truncate", "flips", "delete", "flip", "extend", "zeros", "swap"),
    *("flip", "directory", "hole", "noise", "flips", "behead", "empty"),
)
_OF_METADATA: Final = tuple(
    f"metadata {kind}"
    for kind in (
        *("flip", "lose", "value", "number", "type", "truncate", "delete", "word", "value"),
        *("flip", "directory", "noise", "number", "empty", "depth"),
    )
)
_EDITS_OF_HDF5: Final = {
    "unlink": _unlink,
    "attribute": _attribute,
    "swap": _swap,
    "rewrite": _rewrite,
    "attribute again": _attribute,
    "unwritten": _unwritten,
}
_OF_HDF5: Final = (
    *("pixel flip", "truncate", "pixel flips", "flip elsewhere", "pixel hole", "extend"),
    *("pixel flip", "hole", "pixel zeros", "flip elsewhere", "behead", "pixel flips", "empty"),
    *("noise", "flips", "flip elsewhere"),
)
