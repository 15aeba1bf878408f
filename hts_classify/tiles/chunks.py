"""Zarr arrays of raw pixels as plain files: metadata, and chunks that end in their checksum.

Little-endian pixels and their CRC32C are what Zarr's codecs `bytes` and `crc32c` write, so that
any Zarr library reads them; nothing is compressed, because averaged pixels hardly get smaller.
Written without a Zarr library, a tile costs little more than its file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import google_crc32c
import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import DataError
from ..files import read_json

__all__ = [
    "CHECKSUM",
    "CODECS",
    "METADATA",
    "array_metadata",
    "chunk_key",
    "fill",
    "group_metadata",
    "metadata_of",
    "plain",
    "seal",
    "shape_of",
]

METADATA: Final = "zarr.json"
CHECKSUM: Final = 4
"""Bytes of a CRC32C."""
CODECS: Final[list[dict[str, Any]]] = [
    {"name": "bytes", "configuration": {"endian": "little"}},
    {"name": "crc32c"},
]
_SEPARATOR = "."  # no folders to make for a chunk


def array_metadata(
    shape: Sequence[int],
    chunk: Sequence[int],
    dtype: DTypeLike,
    *,
    dimensions: Sequence[str],
    codecs: Sequence[Mapping[str, Any]] = CODECS,
) -> dict[str, Any]:
    """Return the content of an array's `zarr.json` (Zarr version 3)."""
    kind = np.dtype(dtype)
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": kind.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunk)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": _SEPARATOR}},
        # A tile that nobody wrote must not look like a black one.
        "fill_value": "NaN" if kind.kind == "f" else int(np.iinfo(kind).max),
        "codecs": [dict(codec) for codec in codecs],
        "dimension_names": list(dimensions),
        "attributes": {},
    }


def group_metadata(attributes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the content of a group's `zarr.json`."""
    return {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes or {})}


def metadata_of(folder: Path, what: str) -> dict[str, Any]:
    """Read a folder's `zarr.json`; `DataError` when there is none that can be read."""
    remedy = "delete the run's folder and run again"
    try:
        content = read_json(folder / METADATA)
    except DataError as error:
        raise DataError(f"no {what} ({error.what})", where=str(folder), remedy=remedy) from None
    if not isinstance(content, dict):
        raise DataError(f"no {what} ({METADATA} is no object)", where=str(folder), remedy=remedy)
    return content


def shape_of(metadata: Mapping[str, Any]) -> tuple[int, int, int, int] | None:
    """Return the lengths of an array's four axes; None where the metadata name no such thing."""
    shape = metadata.get("shape")
    if not isinstance(shape, list) or any(type(n) is not int or n < 0 for n in shape):
        return None
    return (shape[0], shape[1], shape[2], shape[3]) if len(shape) == 4 else None


def chunk_key(index: Sequence[int]) -> str:
    """Name a chunk's file.

    Examples
    --------
    >>> chunk_key((3, 0, 0, 0))
    'c.3.0.0.0'
    """
    return _SEPARATOR.join(["c", *map(str, index)])


def plain(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array's pixels as they lie in a file: C order, little-endian."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<"))


def seal(pixels: NDArray[Any]) -> bytes:
    """Return the checksum of plain pixels.

    Examples
    --------
    >>> seal(np.frombuffer(b"123456789", np.uint8)).hex()
    '839206e3'
    """
    return int(google_crc32c.value(pixels)).to_bytes(CHECKSUM, "little")


def fill(file: BinaryIO, pixels: NDArray[Any]) -> None:
    """Read plain pixels and the checksum after them; `ValueError` if they are not what was sealed.

    Examples
    --------
    >>> from io import BytesIO
    >>> pixels = np.zeros(2, np.uint8)
    >>> fill(BytesIO(b"ab" + seal(np.frombuffer(b"ab", np.uint8))), pixels)
    >>> pixels.tobytes()
    b'ab'
    """
    if file.readinto(pixels.reshape(-1).view(np.uint8)) != pixels.nbytes:  # type: ignore[attr-defined]
        raise ValueError("its file ends too early")
    if file.read(CHECKSUM) != seal(pixels):
        raise ValueError("its checksum is another")
