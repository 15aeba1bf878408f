"""Pixels of zarr arrays in every way that writers store them, against zarr's own reading."""

from __future__ import annotations

import bz2
import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import tensorstore
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stores import noise
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, ZstdCodec

from hts_classify.errors import FieldError
from hts_classify.plate.storage import Folder
from hts_classify.plate.zarr_chunks import read_array
from hts_classify.plate.zarr_pixels import read_pixels

ALL = (slice(None),) * 3
SHAPE = (3, 37, 41)


def read(path: Path, index: tuple[Any, ...] = ALL) -> np.ndarray:
    """Read an array through the code that reads fields."""
    name = "zarr.json" if (path / "zarr.json").is_file() else ".zarray"
    array = read_array((path / name).read_bytes())
    return read_pixels(Folder(str(path.parent)), path.name, array, index)


V2 = {
    "blosc lz4": numcodecs.Blosc("lz4", shuffle=1),
    "blosc zstd bits": numcodecs.Blosc("zstd", shuffle=2),
    "blosc blosclz": numcodecs.Blosc("blosclz", shuffle=0),
    "zstd": numcodecs.Zstd(3),
    "zstd checked": numcodecs.Zstd(3, checksum=True),
    "lz4": numcodecs.LZ4(),
    "gzip": numcodecs.GZip(1),
    "zlib": numcodecs.Zlib(1),
    "bz2": numcodecs.BZ2(1),
    "lzma": numcodecs.LZMA(),
    "none": None,
}


@pytest.mark.parametrize("dtype", ["|u1", "<u2", ">u2", "<i4"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("codec", V2)
def test_v2_in_every_codec(tmp_path: Path, codec: str, order: Any, dtype: str) -> None:
    pixels = noise(*SHAPE, dtype=dtype)
    zarr.create_array(
        tmp_path / "a",
        data=pixels,
        chunks=(2, 16, 41),
        compressors=V2[codec],
        zarr_format=2,
        order=order,
        config={"write_empty_chunks": True},
    )
    found = read(tmp_path / "a")
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize(
    "filters",
    [
        [numcodecs.Delta("<u2")],
        [numcodecs.Delta("<u2", astype="<i4")],
        [numcodecs.Shuffle(2)],
        [numcodecs.FixedScaleOffset(offset=0, scale=1, dtype="<u2", astype="u1")],
        [numcodecs.CRC32()],
        [numcodecs.Fletcher32()],
        [numcodecs.Delta("<u2"), numcodecs.Shuffle(2)],
    ],
    ids=lambda filters: "+".join(f.codec_id for f in filters),
)
@pytest.mark.parametrize("compressor", [None, numcodecs.Zlib(1), numcodecs.Blosc()])
def test_v2_with_filters(tmp_path: Path, filters: list[Any], compressor: Any) -> None:
    pixels = noise(*SHAPE)
    zarr.create_array(
        tmp_path / "a",
        data=pixels,
        chunks=(1, 37, 20),
        filters=filters,
        compressors=compressor,
        zarr_format=2,
    )
    np.testing.assert_array_equal(read(tmp_path / "a"), pixels)


V3: dict[str, list[Any]] = {
    "blosc": [BloscCodec(cname="lz4", shuffle="shuffle"), Crc32cCodec()],
    "zstd": [ZstdCodec(level=1, checksum=True)],
    "zstd twice checked": [Crc32cCodec(), ZstdCodec(level=1), Crc32cCodec()],
    "gzip": [GzipCodec(level=1), Crc32cCodec()],
    "checked": [Crc32cCodec()],
    "none": [],
}


@pytest.mark.parametrize("endian", ["little", "big"])
@pytest.mark.parametrize("shards", [None, (3, 48, 48), (2, 32, 16)])
@pytest.mark.parametrize("transpose", [None, (2, 0, 1)])
@pytest.mark.parametrize("codec", V3)
def test_v3_in_every_codec(
    tmp_path: Path, codec: str, transpose: Any, shards: Any, endian: Any
) -> None:
    pixels = noise(*SHAPE)
    zarr.create_array(
        tmp_path / "a",
        data=pixels,
        chunks=(1, 16, 16),
        shards=shards,
        filters=[zarr.codecs.TransposeCodec(order=transpose)] if transpose else None,
        serializer=BytesCodec(endian=endian),
        compressors=V3[codec] or None,
        config={"write_empty_chunks": True},
    )
    np.testing.assert_array_equal(read(tmp_path / "a"), pixels)


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pixels in plain chunks and in shards, with none at the edges whole."""
    folder = tmp_path_factory.mktemp("arrays")
    for name, shards in (("plain", None), ("shards", (2, 20, 30))):
        zarr.create_array(
            folder / name,
            data=noise(*SHAPE),
            chunks=(1, 10, 15),
            shards=shards,
            config={"write_empty_chunks": True},
        )
    return folder


def _part(length: int) -> st.SearchStrategy[Any]:
    ends = st.tuples(st.integers(0, length - 1), st.integers(1, length))
    return st.one_of(st.integers(0, length - 1), ends.map(lambda e: slice(min(e), max(e) + 1)))


@pytest.mark.parametrize("name", ["plain", "shards"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(index=st.tuples(*map(_part, SHAPE)))
def test_any_part_is_the_one_that_was_asked_for(arrays: Path, name: str, index: Any) -> None:
    np.testing.assert_array_equal(read(arrays / name, index), noise(*SHAPE)[index])


@pytest.mark.parametrize("driver", ["zarr", "zarr3"])
def test_arrays_of_another_library(tmp_path: Path, driver: str) -> None:
    pixels = noise(*SHAPE)
    how: dict[str, Any] = {"dtype": "<u2", "chunks": [1, 20, 20]}
    if driver == "zarr3":
        sharding = {"chunk_shape": [1, 20, 20], "codecs": [{"name": "bytes"}, {"name": "zstd"}]}
        how = {
            "data_type": "uint16",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [3, 40, 60]}},
            "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        }
    spec = {
        "driver": driver,
        "kvstore": {"driver": "file", "path": str(tmp_path / "a")},
        "metadata": {"shape": list(SHAPE), **how},
    }
    tensorstore.open(spec, create=True).result().write(pixels).result()
    np.testing.assert_array_equal(read(tmp_path / "a"), pixels)


# Damage -----------------------------------------------------------------------------------


def chunk_of(path: Path, compressor: Any, pixels: np.ndarray) -> Path:
    """Write an array of one chunk in zarr v2, and return the chunk."""
    zarr.create_array(path, data=pixels, chunks=pixels.shape, compressors=compressor, zarr_format=2)
    return path / ".".join("0" * pixels.ndim)


@pytest.mark.parametrize(
    ("codec", "spoil"),
    [
        ("none", lambda raw: raw[:-2]),
        ("none", lambda raw: raw + b"\0\0"),
        ("none", lambda raw: b""),
        *((codec, lambda raw: raw[:-5]) for codec in V2),
        *((codec, lambda raw: raw[:3]) for codec in V2),
        *((codec, lambda raw: b"") for codec in V2),
        *((codec, lambda raw: b"\xff" * len(raw)) for codec in V2 if codec != "none"),
        ("gzip", lambda raw: raw + b"junk"),
        ("zstd checked", lambda raw: raw[:-1] + bytes([raw[-1] ^ 1])),
        ("gzip", lambda raw: raw[:-6] + bytes([raw[-6] ^ 1]) + raw[-5:]),
    ],
)
def test_a_chunk_that_is_cut_or_changed_is_noticed(
    tmp_path: Path, codec: str, spoil: Callable[[bytes], bytes]
) -> None:
    chunk = chunk_of(tmp_path / "a", V2[codec], noise(*SHAPE))
    chunk.write_bytes(spoil(chunk.read_bytes()))
    with pytest.raises((ValueError, RuntimeError)):
        read(tmp_path / "a")


@pytest.mark.parametrize("codec", V2)
@pytest.mark.parametrize("size", [0.5, 2])
def test_a_chunk_of_another_size_is_noticed(tmp_path: Path, codec: str, size: float) -> None:
    """It decodes, but to fewer or more pixels than the metadata promise."""
    chunk = chunk_of(tmp_path / "a", V2[codec], noise(1, 32, 32))
    other = chunk_of(tmp_path / "b", V2[codec], noise(1, 32, int(32 * size)))
    chunk.write_bytes(other.read_bytes())
    with pytest.raises((ValueError, RuntimeError), match="bytes"):
        read(tmp_path / "a")


ZEROS = bytes(1 << 26)
BOMBS: dict[str, tuple[Any, Callable[[], bytes]]] = {
    "gzip": (numcodecs.GZip(), lambda: gzip.compress(ZEROS, 6)),
    "zlib": (numcodecs.Zlib(), lambda: zlib.compress(ZEROS, 6)),
    "bz2": (numcodecs.BZ2(), lambda: bz2.compress(ZEROS, 1)),
    "lzma": (numcodecs.LZMA(), lambda: bytes(numcodecs.LZMA(preset=0).encode(ZEROS))),
    "zstd": (numcodecs.Zstd(), lambda: numcodecs.Zstd(1).encode(ZEROS)),
    "lz4": (
        numcodecs.LZ4(),
        lambda: (1 << 30).to_bytes(4, "little") + b"\x1f\0\1\0" + b"\xff" * 99,
    ),
    "blosc": (numcodecs.Blosc(), lambda: numcodecs.Blosc("zstd").encode(ZEROS)),
}


@pytest.mark.parametrize("filters", [[], [{"id": "delta", "dtype": "<u2"}]])
@pytest.mark.parametrize("codec", BOMBS)
def test_a_chunk_that_inflates_far_beyond_its_size_takes_no_memory(
    tmp_path: Path, codec: str, filters: list[Any]
) -> None:
    compressor, bomb = BOMBS[codec]
    chunk = chunk_of(tmp_path / "a", compressor, noise(1, 64, 64))
    chunk.write_bytes(bomb())
    metadata = json.loads((tmp_path / "a" / ".zarray").read_text())
    (tmp_path / "a" / ".zarray").write_text(json.dumps({**metadata, "filters": filters}))
    tracemalloc.start()
    with pytest.raises((ValueError, RuntimeError), match=r"more|holds|bytes"):
        read(tmp_path / "a")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 22


@pytest.mark.parametrize("at", ["start", "middle", "end"])
def test_a_damaged_index_of_a_shard_is_named(tmp_path: Path, at: str) -> None:
    zarr.create_array(tmp_path / "a", data=noise(*SHAPE), chunks=(1, 20, 21), shards=(3, 40, 42))
    shard = tmp_path / "a/c/0/0/0"
    raw = bytearray(shard.read_bytes())
    size = 16 * 12 + 4
    raw[{"start": -size, "middle": -size // 2, "end": -1}[at]] ^= 0xFF
    shard.write_bytes(raw)
    with pytest.raises(FieldError, match="the index of shard a/c/0/0/0 is damaged: its checksum"):
        read(tmp_path / "a")
    shard.write_bytes(raw[-100:])
    with pytest.raises(FieldError, match="too short"):
        read(tmp_path / "a")


def test_a_shard_without_a_checksum_whose_index_leads_elsewhere(tmp_path: Path) -> None:
    codec = zarr.codecs.ShardingCodec(chunk_shape=(1, 37, 41), index_codecs=[BytesCodec()])
    zarr.create(
        SHAPE,
        store=tmp_path / "a",
        dtype="uint16",
        chunks=SHAPE,
        codecs=[codec],
        zarr_format=3,
    )[:] = noise(*SHAPE)
    shard = tmp_path / "a/c/0/0/0"
    raw = shard.read_bytes()
    for offset, size in ((2**63, 10), (0, 2**63), (len(raw), 2**40), (2**64 - 1, 7)):
        index = np.frombuffer(raw[-48:], "<u8").copy()
        index[:2] = offset, size
        shard.write_bytes(raw[:-48] + index.tobytes())
        with pytest.raises((ValueError, RuntimeError, FieldError)):
            read(tmp_path / "a")


def test_a_pickle_among_the_filters_is_not_run(tmp_path: Path) -> None:
    """numcodecs has a codec that runs what it finds in a chunk."""
    chunk_of(tmp_path / "a", None, noise(*SHAPE))
    metadata = json.loads((tmp_path / "a" / ".zarray").read_text())
    for key, codecs in (("filters", [{"id": "pickle"}]), ("compressor", {"id": "pickle"})):
        (tmp_path / "a" / ".zarray").write_text(json.dumps({**metadata, key: codecs}))
        with pytest.raises(FieldError, match="codec 'pickle'; rewrite the plate"):
            read(tmp_path / "a")


@pytest.mark.parametrize("codec", ["blosc lz4", "blosc zstd bits", "zstd", "lz4", "lzma"])
def test_bytes_that_are_flipped_raise_or_change_pixels_and_never_crash(
    tmp_path: Path, codec: str
) -> None:
    chunk = chunk_of(tmp_path / "a", V2[codec], noise(*SHAPE))
    raw = chunk.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        spoilt = bytearray(raw)
        for at in rng.integers(0, len(raw), rng.integers(1, 4)):
            spoilt[at] = rng.integers(0, 256)
        chunk.write_bytes(spoilt)
        try:
            assert read(tmp_path / "a").shape == SHAPE
        except (ValueError, RuntimeError):
            continue
