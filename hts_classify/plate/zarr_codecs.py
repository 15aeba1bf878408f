"""Chunks of zarr back into bytes: as many as the metadata promise, or an error.

The codecs are those of numcodecs, which zarr itself decodes with. What is done here and not
there is to look before memory is taken, for a chunk of a few kilobytes may say that it holds
terabytes, and to notice when one holds too little. Codecs are known by name: numcodecs would
run whatever a `pickle` in the metadata says.
"""

from __future__ import annotations

import bz2
import lzma
import re
import reprlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import FieldError

__all__ = ["Chain", "check_crc32c", "read_chain"]

_Bytes = NDArray[np.uint8]
_CHECKSUMS: Final = {"crc32c": 4, "crc32": 4, "adler32": 4, "fletcher32": 4}
"""Bytes that each adds."""
_COMPRESSORS: Final = ("blosc", "zstd", "lz4", "gzip", "zlib", "bz2", "lzma")
_FILTERS: Final = ("shuffle", "delta", "fixedscaleoffset")
_LZMA_MEMORY: Final = 1 << 28
_NUMBERS: Final = re.compile("[<>|]?[uif][1248]")
_ZSTD: Final = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True, slots=True)
class Chain:
    """How the bytes of a chunk were encoded, in that order."""

    filters: tuple[Any, ...] = ()
    """Codecs of numcodecs that change values, applied to all of a chunk's pixels."""
    inner: tuple[Any, ...] = ()
    """Checksums of what is compressed."""
    compressor: str = ""
    outer: tuple[Any, ...] = ()
    """Checksums of what is stored."""

    def most(self, size: int) -> int:
        """Return how large a chunk of `size` bytes of pixels can be where it is stored."""
        return 2 * size + 65536 if self.compressor or self.filters else self._framed(size)

    def decode(self, stored: memoryview, size: int, into: _Bytes | None = None) -> _Bytes:
        """Decode a chunk.

        Parameters
        ----------
        stored : memoryview
            What is in the file.
        size : int
            Bytes of pixels that the metadata promise.
        into : ndarray of uint8, shape (size,), optional
            Memory for the pixels; used where that saves a copy.

        Returns
        -------
        ndarray of uint8, shape (size,)
            `into`, or other memory, which may be that of `stored`.

        Raises
        ------
        ValueError, RuntimeError
            When the chunk does not decode, or to another number of bytes.
        """
        held: Any = np.frombuffer(stored, np.uint8)
        for check in reversed(self.outer):
            held = check(held)
        exact = not self.filters  # they may have made pixels of other types, up to 8 times as large
        if self.compressor:
            framed = self._inner_size(size) * (1 if exact else 8)
            target = into if exact and not self.inner else None
            held = _decompress(self.compressor, held, framed, target, exact=exact)
            if target is not None and held is target:
                return target
        for check in reversed(self.inner):
            held = check(held)
        for codec in reversed(self.filters):
            held = codec.decode(held)
        pixels = np.frombuffer(held, np.uint8) if not isinstance(held, np.ndarray) else held
        pixels = pixels.reshape(-1).view(np.uint8)
        if len(pixels) != size:
            raise ValueError(f"holds {len(pixels)} bytes of pixels, not {size}")
        return pixels

    def _inner_size(self, size: int) -> int:
        return size + sum(4 for _ in self.inner)

    def _framed(self, size: int) -> int:
        return self._inner_size(size) + sum(4 for _ in self.outer)


def read_chain(codecs: Sequence[Mapping[str, Any]]) -> Chain:
    """Read a chunk's codecs from bytes to bytes, as numcodecs describes them (`{"id": …}`).

    Raises
    ------
    FieldError
        When a codec is not one of those that are decoded here, or there are two compressors.

    Examples
    --------
    >>> read_chain([{"id": "zstd", "level": 1}]).compressor
    'zstd'
    >>> read_chain([{"id": "pickle"}])
    Traceback (most recent call last):
      ...
    hts_classify.errors.FieldError: codec 'pickle'; rewrite the plate with blosc, zstd or gzip
    """
    filters: list[Any] = []
    checks: tuple[list[Any], list[Any]] = ([], [])
    compressor = ""
    for codec in codecs:
        name = codec.get("id")
        if name in _CHECKSUMS:
            checks[bool(compressor)].append(_checksum(codec))
        elif name in _COMPRESSORS and not compressor:
            compressor = str(name)
        elif name in _FILTERS and not compressor and not checks[0]:
            filters.append(_numcodec(codec))
        else:
            raise FieldError(
                f"codec {str(name)[:40]!r}", remedy="rewrite the plate with blosc, zstd or gzip"
            )
    return Chain(tuple(filters), tuple(checks[0]), compressor, tuple(checks[1]))


def check_crc32c(stored: _Bytes) -> _Bytes:
    """Return bytes without the checksum that ends them; ValueError when it is another one."""
    import google_crc32c

    if len(stored) < _CHECKSUMS["crc32c"]:
        raise ValueError("too short for its checksum")
    content, checksum = stored[:-4], stored[-4:]
    if google_crc32c.value(content) != int.from_bytes(checksum.tobytes(), "little"):
        raise ValueError("its checksum (crc32c) does not match")
    return content


def _checksum(codec: Mapping[str, Any]) -> Callable[[_Bytes], _Bytes]:
    if codec.get("id") == "crc32c" and codec.get("location", "end") == "end":
        return check_crc32c
    decode: Callable[[_Bytes], _Bytes] = _numcodec(codec).decode
    return decode


def _numcodec(codec: Mapping[str, Any]) -> Any:
    import numcodecs  # type: ignore[import-untyped]

    for key in ("dtype", "astype"):
        if not _NUMBERS.fullmatch(str(codec.get(key) or "|u1")):
            raise FieldError(f"codec {codec['id']!r} for {reprlib.repr(codec[key])}")
    return numcodecs.get_codec(dict(codec))


def _decompress(name: str, held: _Bytes, size: int, into: _Bytes | None, *, exact: bool) -> Any:
    """Decompress to `size` bytes exactly, or to that many at most."""
    if name in _OWN_SIZE:
        own = _OWN_SIZE[name](held)
        if own is not None and (own > size or (exact and own != size)):
            raise ValueError(f"{name} holds {own} bytes of pixels, not {size}")
        into = np.empty(own if own is not None else size, np.uint8) if into is None else into
        _decoder(name)(held, into)
        return into
    return _stream(_STREAMS[name], held, size)


def _decoder(name: str) -> Callable[[_Bytes, _Bytes], Any]:
    import numcodecs

    decoders = {
        "blosc": numcodecs.blosc.decompress,
        "zstd": numcodecs.zstd.decompress,
        "lz4": numcodecs.lz4.decompress,
    }
    found: Callable[[_Bytes, _Bytes], Any] = decoders[name]
    return found


def _blosc_size(held: _Bytes) -> int:
    """Read how much a blosc buffer holds, and refuse one that is not as long as it says."""
    if len(held) < 16:
        raise ValueError("blosc: too short for its header")
    own, _, stored = (int(n) for n in np.frombuffer(held[4:16].tobytes(), "<u4"))
    if stored != len(held):
        raise ValueError(f"blosc: {len(held)} bytes are stored, of {stored}")
    return own


def _lz4_size(held: _Bytes) -> int:
    if len(held) < 4:
        raise ValueError("lz4: too short for its header")
    return int.from_bytes(held[:4].tobytes(), "little")


def _zstd_size(held: _Bytes) -> int | None:
    """Read how much a zstd frame holds (RFC 8878, 3.1.1.1); None where it does not say."""
    head = held[:18].tobytes()
    if len(head) < 5 or head[:4] != _ZSTD:
        raise ValueError("zstd: this is no frame of it")
    flag, single = head[4] >> 6, head[4] >> 5 & 1
    length = (single, 2, 4, 8)[flag]
    start = 5 + (1 - single) + (0, 1, 2, 4)[head[4] & 3]
    if not length:
        return None
    return int.from_bytes(head[start : start + length], "little") + (256 if length == 2 else 0)


def _stream(make: Callable[[], Any], held: _Bytes, size: int) -> bytes:
    """Decompress one stream after the other, and stop when there is more than there may be."""
    content, out = held.tobytes(), bytearray()
    while content:
        decoder = make()
        try:
            out += decoder.decompress(content, size - len(out) + 1)
        except (zlib.error, lzma.LZMAError, OSError) as error:
            raise ValueError(str(error)) from error
        if len(out) > size:
            raise ValueError(f"holds more than {size} bytes of pixels")
        if not decoder.eof:
            raise ValueError("ends in the middle of its compressed stream")
        content = decoder.unused_data
    return bytes(out)


_OWN_SIZE: Final[dict[str, Callable[[_Bytes], int | None]]] = {
    "blosc": _blosc_size,
    "lz4": _lz4_size,
    "zstd": _zstd_size,
}
_STREAMS: Final[dict[str, Callable[[], Any]]] = {
    "gzip": lambda: zlib.decompressobj(wbits=31),
    "zlib": lambda: zlib.decompressobj(),
    "bz2": bz2.BZ2Decompressor,
    "lzma": lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY),
}
