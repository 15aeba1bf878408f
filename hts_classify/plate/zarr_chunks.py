"""Which files an array's metadata promise: zarr reads a missing chunk as the fill value.

Keys: https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html and
https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html; shards:
https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/index.html
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..errors import FieldError

__all__ = ["Grid", "Shard", "absent_inner", "read_grid"]

_ABSENT: Final = np.uint64(2**64 - 1)
_CRC: Final = 4  # bytes of the checksum after a shard's index


@dataclass(frozen=True, slots=True)
class Shard:
    """How the chunks inside each shard are indexed."""

    chunks: tuple[int, ...]
    at_end: bool
    checksum: bool


@dataclass(frozen=True, slots=True)
class Grid:
    """How an array is cut into files."""

    lengths: tuple[int, ...]
    """Length of each axis of the array."""
    chunks: tuple[int, ...]
    """Shape of one file's part of it: a chunk or a shard."""
    prefix: str
    separator: str
    shard: Shard | None

    def files(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield each file's path under the array, and where it begins in the array."""
        counts = (-(-n // chunk) for n, chunk in zip(self.lengths, self.chunks, strict=True))
        for index in itertools.product(*map(range, counts)):
            start = tuple(i * chunk for i, chunk in zip(index, self.chunks, strict=True))
            yield self.prefix + self.separator.join(map(str, index)), start


def read_grid(metadata: Mapping[str, Any]) -> Grid:
    """Read the grid of an array from its `.zarray` or `zarr.json`.

    Raises
    ------
    FieldError
        When the grid is of a kind that is not in the specification's core.

    Examples
    --------
    >>> grid = read_grid({"zarr_format": 2, "shape": [2, 5], "chunks": [1, 4]})
    >>> [key for key, start in grid.files()]
    ['0.0', '0.1', '1.0', '1.1']
    """
    lengths = tuple(metadata["shape"])
    if metadata["zarr_format"] == 2:
        separator = metadata.get("dimension_separator", ".")
        return Grid(lengths, tuple(metadata["chunks"]), "", separator, None)
    grid, encoding = _named(metadata["chunk_grid"]), _named(metadata["chunk_key_encoding"])
    if grid["name"] != "regular":
        raise FieldError(f"chunk grid {grid['name']!r}", remedy="rewrite it with a regular one")
    default = encoding["name"] == "default"
    separator = encoding.get("configuration", {}).get("separator", "/" if default else ".")
    chunks = tuple(grid["configuration"]["chunk_shape"])
    prefix = f"c{separator}" if default else ""
    return Grid(lengths, chunks, prefix, separator, _read_shard(metadata["codecs"]))


def absent_inner(path: Path, grid: Grid, start: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield where each chunk that a shard's index calls empty begins in the array.

    A shard that is too short for its index yields nothing: it does not decode, which says more.
    """
    if grid.shard is None:
        return
    inner = grid.shard.chunks
    counts = tuple(n // chunk for n, chunk in zip(grid.chunks, inner, strict=True))
    size = 16 * prod(counts)
    with path.open("rb") as file:
        if grid.shard.at_end:
            tail = size + (_CRC if grid.shard.checksum else 0)
            file.seek(max(path.stat().st_size - tail, 0))
        raw = file.read(size)
    if len(raw) < size:
        return
    index = np.frombuffer(raw, "<u8").reshape(*counts, 2)
    for chunk in np.argwhere((index == _ABSENT).all(axis=-1)):
        begin = tuple(s + int(i) * n for s, i, n in zip(start, chunk, inner, strict=True))
        if all(b < length for b, length in zip(begin, grid.lengths, strict=True)):
            yield begin


def _named(extension: str | Mapping[str, Any]) -> Mapping[str, Any]:
    """Write out what v3 lets a writer shorten to a name, where there is nothing to configure."""
    return {"name": extension} if isinstance(extension, str) else extension


def _read_shard(codecs: list[str | Mapping[str, Any]]) -> Shard | None:
    """Describe a shard's index; None without shards, or where the index itself is encoded."""
    outer = [_named(codec) for codec in codecs]
    if [codec["name"] for codec in outer] != ["sharding_indexed"]:
        return None
    settings = outer[0]["configuration"]
    inner = [_named(codec) for codec in settings["index_codecs"]]
    index = [codec["name"] for codec in inner]
    little = inner[0].get("configuration", {}).get("endian", "little") == "little"
    if index not in (["bytes"], ["bytes", "crc32c"]) or not little:
        return None
    at_end = settings.get("index_location", "end") == "end"
    return Shard(tuple(settings["chunk_shape"]), at_end, "crc32c" in index)
