"""Pixels of zarr arrays: the chunks that a part of an array meets, fetched and decoded.

zarr's own way there takes half as long again or twice as long for a field, with or without the
`zarrs` pipeline, makes zeros of what is missing, and lets a chunk say how much memory it gets.
Chunks are decoded one after the other into the array that is returned; threads are for many fields.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import FieldError
from .storage import Part, Storage
from .zarr_chunks import MOST_BYTES, Array
from .zarr_codecs import check_crc32c

__all__ = ["absent_inner", "read_pixels"]

_ABSENT: Final = np.uint64(2**64 - 1)

Span = tuple[int, int]
"""Begin and end along an axis."""


def read_pixels(
    storage: Storage, path: str, array: Array, index: tuple[int | slice, ...]
) -> NDArray[Any]:
    """Read a part of an array.

    Parameters
    ----------
    index : tuple of int and slice
        One an axis, from 0, without steps.

    Returns
    -------
    ndarray
        In native byte order; the axes that an int chose are gone.

    Raises
    ------
    FieldError
        When the part is too large for one read.
    FileNotFoundError, ValueError, RuntimeError
        When a chunk is missing or does not decode to what the metadata promise.
    """
    spans = [_span(part, n) for part, n in zip(index, array.shape, strict=True)]
    shape = tuple(end - begin for begin, end in spans)
    size = prod(shape) * array.dtype.itemsize
    if size > MOST_BYTES:
        raise FieldError(
            f"{path} has {size} bytes of pixels to read at once, more than {MOST_BYTES}",
            remedy="choose a smaller level, fewer planes or fewer channels",
        )
    out = np.empty(shape, array.dtype.newbyteorder("="))
    found = _files(path, array, spans)
    chunks = found if array.shard is None else _inner(storage, array, spans, found)
    most = array.chain.most(array.chunk_bytes)
    stored = storage.fetch([part for part, _ in chunks], most=most)
    for content, (part, start) in zip(stored, chunks, strict=True):
        if part.size is not None and len(content) < part.size:
            raise ValueError(f"{part.path} ends before its chunk at {start}")
        _place(content, start, array, spans, out)
    return out[tuple(0 if isinstance(part, int) else slice(None) for part in index)]


def absent_inner(
    storage: Storage, path: str, array: Array, files: Sequence[tuple[str, tuple[int, ...]]]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the shard of each chunk that shards leave out, and where it begins in the array.

    Parameters
    ----------
    files : sequence of (str, tuple of int)
        Paths of shards below the array, and where they begin in it.

    Raises
    ------
    FieldError
        When the index of a shard is damaged.
    """
    paths = [f"{path}/{name}" for name, _ in files]
    for (name, start), table in zip(files, _indices(storage, array, paths), strict=True):
        for chunk in np.argwhere((table == _ABSENT).all(axis=-1)):
            begin = tuple(
                s + int(i) * n for s, i, n in zip(start, chunk, array.chunks, strict=True)
            )
            if all(b < length for b, length in zip(begin, array.shape, strict=True)):
                yield name, begin


def _span(part: int | slice, length: int) -> Span:
    if isinstance(part, slice):
        begin, end, _ = part.indices(length)
        return begin, end
    if not 0 <= part < length:
        raise IndexError(f"{part} of an axis of {length}")
    return part, part + 1


def _met(spans: Sequence[Span], start: Sequence[int], size: Sequence[int]) -> bool:
    return all(
        begin < at + length and at < end
        for (begin, end), at, length in zip(spans, start, size, strict=True)
    )


def _files(path: str, array: Array, spans: Sequence[Span]) -> list[tuple[Part, tuple[int, ...]]]:
    """Find the files that hold something of a part of the array."""
    return [
        (Part(f"{path}/{name}"), start)
        for name, start in zip(array.files, array.starts, strict=True)
        if _met(spans, start, array.parts)
    ]


def _inner(
    storage: Storage,
    array: Array,
    spans: Sequence[Span],
    files: Sequence[tuple[Part, tuple[int, ...]]],
) -> list[tuple[Part, tuple[int, ...]]]:
    """Find the chunks inside shards that hold something of a part of the array."""
    found = []
    tables = _indices(storage, array, [part.path for part, _ in files])
    for (part, start), table in zip(files, tables, strict=True):
        ranges = [
            range(max((begin - at) // n, 0), min(-((at - end) // n), count))
            for (begin, end), at, n, count in zip(
                spans, start, array.chunks, table.shape[:-1], strict=True
            )
        ]
        for inner in itertools.product(*ranges):
            at = tuple(s + i * n for s, i, n in zip(start, inner, array.chunks, strict=True))
            offset, size = (int(n) for n in table[inner])
            if offset == size == int(_ABSENT):
                raise FileNotFoundError(f"{part.path} leaves out its chunk at {at}")
            found.append((Part(part.path, offset, size), at))
    return found


def _indices(storage: Storage, array: Array, paths: Sequence[str]) -> Iterator[NDArray[np.uint64]]:
    """Read the indices of shards: offset and size of each chunk."""
    shard = array.shard
    if shard is None:
        return
    start = -shard.size if shard.at_end else 0
    parts = [Part(path, start, shard.size) for path in paths]
    for path, content in zip(paths, storage.fetch(parts, most=shard.size), strict=True):
        try:
            if len(content) < shard.size:
                raise ValueError("the file is too short for it")
            raw = np.frombuffer(content, np.uint8)
            raw = check_crc32c(raw) if shard.checksum else raw
        except ValueError as error:
            raise FieldError(f"the index of shard {path} is damaged: {error}") from error
        table = np.frombuffer(raw.tobytes(), "<u8").reshape(*shard.counts, 2)
        yield table.astype(np.uint64, copy=False)


def _place(
    content: memoryview,
    start: tuple[int, ...],
    array: Array,
    spans: Sequence[Span],
    out: NDArray[Any],
) -> None:
    """Decode a chunk into its place."""
    here, there = [], []
    for (begin, end), at, n in zip(spans, start, array.chunks, strict=True):
        low, high = max(begin, at), min(end, at + n)
        here.append(slice(low - begin, high - begin))
        there.append(slice(low - at, high - at))
    target = out[tuple(here)]
    straight = array.native and target.shape == array.chunks and target.flags.c_contiguous
    into = target.reshape(-1).view(np.uint8) if straight else None
    pixels = array.chain.decode(content, array.chunk_bytes, into)
    if pixels is into:
        return
    stored = pixels.view(array.dtype).reshape([array.chunks[axis] for axis in array.axes])
    target[...] = stored.transpose(np.argsort(array.axes))[tuple(there)]
