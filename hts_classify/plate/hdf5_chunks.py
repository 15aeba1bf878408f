"""Chunks of HDF5 that are compressed by deflate or not at all, decoded here and not by HDF5.

HDF5 inflates whatever a chunk holds, to any size, and holds its lock meanwhile, so that threads
wait for each other; what a chunk that is not compressed lacks, it takes from memory that held
something else. Here a chunk has its own size or is refused, and threads inflate at the same time.
Knows the filters that come with HDF5: shuffle, deflate, Fletcher-32.
"""

from __future__ import annotations

import itertools
import math
import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import FieldError

__all__ = ["read_chunks", "reads_chunks"]

_DEFLATE: Final = 1
_SHUFFLE: Final = 2
_FLETCHER: Final = 3
_SUM: Final = 4
"""Bytes of a checksum."""
_LARGE: Final = 1 << 25
"""Bytes of a chunk beyond which the checksum's sums would not fit into 64 bits."""


def reads_chunks(dataset: Any) -> bool:
    """Tell whether a dataset is in chunks, with no filter that is not known here."""
    if dataset.chunks is None or dataset.dtype.kind not in "ui":
        return False
    filters = _filters(dataset)
    known = set(filters) <= {_DEFLATE, _SHUFFLE, _FLETCHER}
    size = math.prod(dataset.chunks) * dataset.dtype.itemsize
    return known and filters.count(_DEFLATE) <= 1 and size <= _LARGE


def read_chunks(dataset: Any, index: tuple[Any, ...]) -> NDArray[Any]:
    """Decode a part of a dataset that `reads_chunks`.

    Parameters
    ----------
    index : tuple of int or slice
        One an axis; slices without a step.

    Raises
    ------
    FieldError
        When a chunk is longer than it should be, or its checksum is wrong.
    zlib.error
        When it does not inflate.
    """
    filters, shape, chunks = _filters(dataset), dataset.shape, dataset.chunks
    spans = [
        range(*part.indices(length)) if isinstance(part, slice) else range(part, part + 1)
        for part, length in zip(index, shape, strict=True)
    ]
    out = np.empty([len(span) for span in spans], dataset.dtype)
    starts = (
        range(span.start - span.start % size, span.stop, size)
        for span, size in zip(spans, chunks, strict=True)
    )
    for start in itertools.product(*starts):
        chunk = _chunk(dataset, start, filters)
        into, taken = [], []
        for begin, size, span in zip(start, chunks, spans, strict=True):
            low, high = max(begin, span.start), min(begin + size, span.stop)
            into.append(slice(low - span.start, high - span.start))
            taken.append(slice(low - begin, high - begin))
        out[tuple(into)] = chunk[tuple(taken)]
    return out[tuple(slice(None) if isinstance(part, slice) else 0 for part in index)]


def _filters(dataset: Any) -> list[int]:
    made = dataset.id.get_create_plist()
    return [made.get_filter(number)[0] for number in range(made.get_nfilters())]


def _chunk(dataset: Any, start: tuple[int, ...], filters: list[int]) -> NDArray[Any]:
    """Read a chunk as it is in the file, and undo its filters, the last one first."""
    itemsize = dataset.dtype.itemsize
    whole = math.prod(dataset.chunks) * itemsize
    stored = dataset.id.get_chunk_info_by_coord(start).size
    if stored > 2 * whole + 1024:
        raise FieldError(f"the chunk at {start} takes {stored} bytes, for {whole} of pixels")
    skipped, content = dataset.id.read_direct_chunk(start)
    for number, kind in reversed(list(enumerate(filters))):
        if skipped >> number & 1:
            continue
        if kind == _FLETCHER:
            content = _checked(content, start)
        elif kind == _DEFLATE:
            room = whole + _SUM * filters[:number].count(_FLETCHER)
            content = zlib.decompressobj().decompress(content, room + 1)
        else:
            content = _interleaved(content, itemsize)
    if len(content) != whole:
        size = "more" if len(content) > whole else f"{len(content)} bytes"
        raise FieldError(f"the chunk at {start} holds {size}, not {whole} bytes")
    return np.frombuffer(content, dataset.dtype).reshape(dataset.chunks)


def _interleaved(content: bytes, itemsize: int) -> bytes:
    """Undo shuffle, which puts the first bytes of all values before the second ones."""
    planes = np.frombuffer(content, np.uint8).reshape(itemsize, -1)
    values = np.empty(planes.shape[::-1], np.uint8)
    for byte, plane in enumerate(planes):
        values[:, byte] = plane
    return values.tobytes()


def _checked(content: bytes, start: tuple[int, ...]) -> bytes:
    """Check and take off a Fletcher-32 checksum, of big-endian words of 16 bits."""
    body = content[:-_SUM]
    words = np.frombuffer(body + b"\0" * (len(body) % 2), ">u2").astype(np.uint64)
    weights = np.arange(len(words), 0, -1, dtype=np.uint64)
    sums = int(words.sum()), int(np.dot(words, weights))
    low, high = (total % 65535 or (65535 if total else 0) for total in sums)
    if (high << 16 | low) != int.from_bytes(content[-_SUM:], "little"):
        raise FieldError(f"the checksum of the chunk at {start} is wrong")
    return body
