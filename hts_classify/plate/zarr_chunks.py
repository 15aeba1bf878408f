"""What the metadata of a zarr array promise: its pixels, and the files that hold them.

zarr reads a file that is missing as the fill value; here it is a gap. Specifications:
https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html,
https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html and, for shards,
https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/index.html
"""

from __future__ import annotations

import itertools
import json
import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, Final

import numpy as np

from ..errors import FieldError
from .zarr_codecs import Chain, read_chain

__all__ = ["MOST_BYTES", "Array", "Shard", "load_json", "read_array", "read_shape"]

MOST_BYTES: Final = 1 << 31
"""Bytes of pixels that are read in one go: of a field, or of a channel of planes."""
_MOST_FILES: Final = 1 << 17
_MOST_INNER: Final = 1 << 20
_MOST_AXES: Final = 16
_V2_TYPE: Final = re.compile(r"[<>|][uif][1248]|\|b1")
_V3_TYPE: Final = re.compile("u?int(8|16|32|64)|float(32|64)|bool")
_CRC: Final = 4  # bytes of the checksum after a shard's index


@dataclass(frozen=True, slots=True)
class Shard:
    """How the chunks inside each shard are indexed."""

    counts: tuple[int, ...]
    """Chunks of a shard along each axis."""
    at_end: bool
    checksum: bool

    @property
    def size(self) -> int:
        """Bytes of the index."""
        return 16 * prod(self.counts) + (_CRC if self.checksum else 0)


@dataclass(frozen=True, slots=True)
class Array:
    """An array, and how it is cut into files and encoded."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    """As stored, with the byte order."""
    chunks: tuple[int, ...]
    """Shape of what is encoded as one: a chunk, of shards an inner one."""
    axes: tuple[int, ...]
    """The array's axes in the order in which a chunk has them."""
    chain: Chain
    shard: Shard | None
    files: tuple[str, ...]
    """Path of each file below the array, the last axis the fastest."""

    @property
    def parts(self) -> tuple[int, ...]:
        """Shape of the part of the array that a file holds."""
        counts = self.shard.counts if self.shard else (1,) * len(self.chunks)
        return tuple(n * count for n, count in zip(self.chunks, counts, strict=True))

    @property
    def starts(self) -> tuple[tuple[int, ...], ...]:
        """Where each file begins in the array, in the order of `files`."""
        return _starts(self.shape, self.parts)

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk's pixels."""
        return prod(self.chunks) * self.dtype.itemsize

    @property
    def native(self) -> bool:
        """A chunk's pixels are in memory as they are stored."""
        return self.dtype.isnative and self.axes == tuple(range(len(self.axes)))

    @property
    def most_stored(self) -> int:
        """Bytes that a file can have."""
        most = self.chain.most(self.chunk_bytes)
        return most if self.shard is None else most * prod(self.shard.counts) + self.shard.size


def load_json(raw: bytes) -> dict[str, Any]:
    """Decode a JSON object; FieldError where it is none, or one that nobody could print."""
    try:
        content = json.loads(raw)
        if b"\\u" in raw:
            json.dumps(content, ensure_ascii=False).encode()  # halves of characters
    except (ValueError, RecursionError) as error:
        raise FieldError(f"no readable JSON ({str(error)[:200]})") from None
    if not isinstance(content, dict):
        raise FieldError("no JSON object")
    return content


def read_shape(raw: bytes) -> tuple[tuple[int, ...], str]:
    """Read an array's shape and its type by NumPy's name, without the byte order.

    Raises
    ------
    FieldError
        When this describes no array. A type that nobody knows is returned as it stands.

    Examples
    --------
    >>> read_shape(b'{"zarr_format": 2, "shape": [2, 5], "dtype": ">u2"}')
    ((2, 5), 'uint16')
    """
    return _shape(raw)


@lru_cache(maxsize=256)
def _shape(raw: bytes) -> tuple[tuple[int, ...], str]:
    metadata = load_json(raw)
    dtype = metadata.get("dtype" if metadata.get("zarr_format") == 2 else "data_type")
    if dtype is None:
        raise FieldError("described by no array's metadata")
    shape = _numbers(metadata.get("shape"), "shape", least=None)
    try:
        return shape, _dtype(metadata).name
    except FieldError:
        return shape, reprlib.repr(dtype).strip("'")


@lru_cache(maxsize=256)
def read_array(raw: bytes) -> Array:
    """Read how an array is stored from its `.zarray` or `zarr.json`.

    Raises
    ------
    FieldError
        When that is not in the specification, is of a kind that is not decoded here, or of an
        absurd size.

    Examples
    --------
    >>> raw = b'{"zarr_format": 2, "shape": [2, 5], "chunks": [1, 4], "dtype": "|u1"}'
    >>> array = read_array(raw)
    >>> array.files, array.starts
    (('0.0', '0.1', '1.0', '1.1'), ((0, 0), (0, 4), (1, 0), (1, 4)))
    """
    metadata = load_json(raw)
    try:
        return _array_v2(metadata) if metadata.get("zarr_format") == 2 else _array_v3(metadata)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, FieldError):
            raise
        raise FieldError(f"{type(error).__name__}: {error}") from error


def _array_v2(metadata: Mapping[str, Any]) -> Array:
    shape = _numbers(metadata["shape"], "shape")
    codecs = [*(metadata.get("filters") or ()), *([c] if (c := metadata.get("compressor")) else ())]
    separator = metadata.get("dimension_separator", ".")
    if separator not in (".", "/"):
        raise FieldError(f"dimension_separator {reprlib.repr(separator)}")
    order = metadata.get("order", "C")
    if order not in ("C", "F"):
        raise FieldError(f"order {reprlib.repr(order)}")
    axes = tuple(range(len(shape)))
    return _array(
        metadata,
        shape,
        _numbers(metadata["chunks"], "chunks"),
        axes=axes if order == "C" else axes[::-1],
        chain=read_chain(codecs),
        prefix="",
        separator=separator,
    )


def _array_v3(metadata: Mapping[str, Any]) -> Array:
    shape = _numbers(metadata["shape"], "shape")
    grid = _named(metadata["chunk_grid"])
    if grid["name"] != "regular":
        raise FieldError(
            f"chunk grid {reprlib.repr(grid['name'])}", remedy="rewrite it with a regular one"
        )
    encoding = _named(metadata["chunk_key_encoding"])
    if encoding["name"] not in ("default", "v2"):
        raise FieldError(f"chunk key encoding {reprlib.repr(encoding['name'])}")
    default = encoding["name"] == "default"
    separator = encoding.get("configuration", {}).get("separator", "/" if default else ".")
    if separator not in (".", "/"):
        raise FieldError(f"separator {reprlib.repr(separator)}")
    chunks = _numbers(grid["configuration"]["chunk_shape"], "chunk_shape")
    codecs, shard = [_named(codec) for codec in metadata["codecs"]], None
    if [codec["name"] for codec in codecs] == ["sharding_indexed"]:
        settings = codecs[0]["configuration"]
        codecs = [_named(codec) for codec in settings["codecs"]]
        inner = _numbers(settings["chunk_shape"], "chunk_shape")
        shard, chunks = _shard(settings, chunks, inner), inner
    axes, dtype, chain = _read_codecs(codecs, _dtype(metadata), len(shape))
    return _array(
        metadata,
        shape,
        chunks,
        axes=axes,
        chain=chain,
        prefix=f"c{separator}" if default else "",
        separator=separator,
        shard=shard,
        dtype=dtype,
    )


def _array(
    metadata: Mapping[str, Any],
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    *,
    axes: tuple[int, ...],
    chain: Chain,
    prefix: str,
    separator: str,
    shard: Shard | None = None,
    dtype: np.dtype[Any] | None = None,
) -> Array:
    """Count the files, and refuse what no plate has."""
    array = Array(shape, dtype or _dtype(metadata), chunks, axes, chain, shard, ())
    if len(chunks) != len(shape):
        raise FieldError(f"chunks {list(chunks)} of an array of shape {list(shape)}")
    if array.chunk_bytes > MOST_BYTES:
        raise FieldError(f"chunks of {array.chunk_bytes} bytes", remedy="write smaller ones")
    counts = [-(-n // part) for n, part in zip(shape, array.parts, strict=True)]
    if prod(counts) > _MOST_FILES:
        raise FieldError(f"{prod(counts)} chunks in one field", remedy="write fewer, larger ones")
    files = tuple(
        prefix + separator.join(map(str, index)) for index in itertools.product(*map(range, counts))
    )
    return Array(shape, array.dtype, chunks, axes, chain, shard, files)


@lru_cache(maxsize=256)
def _starts(shape: tuple[int, ...], parts: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    steps = (range(0, n, part) for n, part in zip(shape, parts, strict=True))
    return tuple(itertools.product(*steps))


def _numbers(content: Any, what: str, *, least: int | None = 1) -> tuple[int, ...]:
    """Take whole numbers; JSON has no others than those that Python's decoder makes of it."""
    if (
        not isinstance(content, list)
        or not 1 <= len(content) <= _MOST_AXES
        or not all(type(n) is int and abs(n) < 1 << 62 for n in content)
        or (least is not None and min(content) < least)
    ):
        raise FieldError(f"{what} {reprlib.repr(content)}")
    return tuple(content)


def _dtype(metadata: Mapping[str, Any]) -> np.dtype[Any]:
    """Return the type of pixels, of zarr v3 in this machine's byte order."""
    name = metadata["dtype" if metadata.get("zarr_format") == 2 else "data_type"]
    known = _V2_TYPE if metadata.get("zarr_format") == 2 else _V3_TYPE
    if not isinstance(name, str) or not known.fullmatch(name):
        raise FieldError(f"pixels are {reprlib.repr(name)}")
    return np.dtype(name)


def _named(extension: str | Mapping[str, Any]) -> Mapping[str, Any]:
    """Write out what v3 lets a writer shorten to a name, where there is nothing to configure."""
    return {"name": extension} if isinstance(extension, str) else extension


def _shard(settings: Mapping[str, Any], outer: Sequence[int], inner: Sequence[int]) -> Shard:
    if any(n % chunk for n, chunk in zip(outer, inner, strict=True)):
        raise FieldError(f"shards of {list(outer)} with chunks of {list(inner)}")
    counts = tuple(n // chunk for n, chunk in zip(outer, inner, strict=True))
    if prod(counts) > _MOST_INNER:
        raise FieldError(f"{prod(counts)} chunks in one shard", remedy="write fewer, larger ones")
    codecs = [_named(codec) for codec in settings["index_codecs"]]
    names = [codec["name"] for codec in codecs]
    little = codecs[0].get("configuration", {}).get("endian", "little") == "little"
    if names not in (["bytes"], ["bytes", "crc32c"]) or not little:
        raise FieldError(f"index codecs {reprlib.repr(names)}", remedy="write plain shards")
    return Shard(counts, settings.get("index_location", "end") == "end", "crc32c" in names)


def _read_codecs(
    codecs: Sequence[Mapping[str, Any]], dtype: np.dtype[Any], dimensions: int
) -> tuple[tuple[int, ...], np.dtype[Any], Chain]:
    """Read the codecs of v3: transposes, then `bytes`, then those from bytes to bytes."""
    axes = tuple(range(dimensions))
    names = [codec["name"] for codec in codecs]
    if "bytes" not in names:
        raise FieldError(
            f"codecs {reprlib.repr(names)}", remedy="rewrite the plate with blosc, zstd or gzip"
        )
    at = names.index("bytes")
    for codec in codecs[:at]:
        if codec["name"] != "transpose":
            raise FieldError(f"codec {reprlib.repr(codec['name'])}")
        order = codec["configuration"]["order"]
        if sorted(order) != list(range(dimensions)):
            raise FieldError(f"transpose to {reprlib.repr(order)}")
        axes = tuple(axes[n] for n in order)
    endian = (codecs[at].get("configuration") or {}).get("endian", "little")
    if endian not in ("little", "big"):
        raise FieldError(f"endian {reprlib.repr(endian)}")
    chain = [
        {"id": str(codec["name"]).removeprefix("numcodecs."), **(codec.get("configuration") or {})}
        for codec in codecs[at + 1 :]
    ]
    return axes, dtype.newbyteorder("<" if endian == "little" else ">"), read_chain(chain)
