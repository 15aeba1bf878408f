"""Which codec and chunks a plate of 16-bit fields is read fastest from: what `convert` writes.

Writes the same fields in every way, reads them whole with one thread out of a warm page cache,
and prints the best of some rounds in MB/s of pixels. Every chunk carries a crc32c.

    python benchmarks/codecs.py [FIELD.tiff …] [--pipeline zarrs|zarr] [--fields 6] [--rounds 5]

Without TIFFs the pixels are those of `pass_pixels.py`; TIFFs are the channels of one field.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["RAYON_NUM_THREADS"] = os.environ["BLOSC_NTHREADS"] = "1"

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ZstdCodec
from zarr.storage import LocalStore

PIPELINES = {
    "zarrs": "zarrs.ZarrsCodecPipeline",
    "zarr": "zarr.core.codec_pipeline.BatchedCodecPipeline",
}
CODECS: dict[str, Callable[[], list[Any]]] = {
    "none": list,
    "blosc lz4 bitshuffle": lambda: [BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle")],
    "blosc lz4 shuffle": lambda: [BloscCodec(cname="lz4", clevel=5, shuffle="shuffle")],
    "blosc zstd 1 bitshuffle": lambda: [BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle")],
    "blosc zstd 1 shuffle": lambda: [BloscCodec(cname="zstd", clevel=1, shuffle="shuffle")],
    "zstd 1": lambda: [ZstdCodec(level=1)],
    "zstd 3": lambda: [ZstdCodec(level=3)],
    "gzip 1": lambda: [GzipCodec(level=1)],
}
CHUNKS: dict[str, Callable[[int, int, int], tuple[int, int, int]]] = {
    "channel": lambda c, y, x: (1, y, x),
    "field": lambda c, y, x: (c, y, x),
    "quarter": lambda c, y, x: (1, -(-y // 2), -(-x // 2)),
}


def simulated(count: int) -> list[NDArray[Any]]:
    from pass_pixels import fields

    return list(fields(count, 1080))


def measured(paths: list[Path], count: int) -> list[NDArray[Any]]:
    """Return one real field, rolled so that no two are the same."""
    from PIL import Image

    field = np.stack([np.asarray(Image.open(path)) for path in paths])
    return [np.ascontiguousarray(np.roll(field, 97 * k, axis=(1, 2))) for k in range(count)]


def best(rounds: int, call: Callable[[], None]) -> float:
    """Return the seconds of the fastest round: what others do on the machine only adds."""
    seconds = []
    for _ in range(rounds):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def trial(
    folder: Path, fields: list[NDArray[Any]], codec: str, chunk: str, sharded: bool, rounds: int
) -> tuple[float, float, float]:
    """Return seconds of reading and of writing all fields, and the ratio of compression."""
    shape = fields[0].shape
    inner = CHUNKS[chunk](*shape)
    # A shard is made of whole chunks: that of an odd field of quarters is a little larger.
    shard = tuple(-(-n // size) * size for n, size in zip(shape, inner, strict=True))
    arrays = [
        zarr.create_array(
            LocalStore(folder / str(index)),
            shape=shape,
            chunks=inner,
            shards=shard if sharded else None,
            dtype=field.dtype,
            compressors=[*CODECS[codec](), Crc32cCodec()],
            overwrite=True,
        )
        for index, field in enumerate(fields)
    ]

    def write() -> None:
        for array, field in zip(arrays, fields, strict=True):
            array[:] = field

    def read() -> None:
        for array in arrays:
            array[:]

    writing = best(2, write)
    for array, field in zip(arrays, fields, strict=True):
        if not np.array_equal(np.asarray(array[:]), field):
            raise SystemExit(f"{codec}, a chunk a {chunk}: other pixels come back")
    stored = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    raw = sum(field.nbytes for field in fields)
    return best(rounds, read), writing, raw / stored


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tiffs", type=Path, nargs="*", metavar="FIELD.tiff")
    parser.add_argument("--pipeline", choices=PIPELINES, default="zarrs")
    parser.add_argument("--fields", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    zarr.config.set(
        {
            "codec_pipeline.path": PIPELINES[options.pipeline],
            "threading.max_workers": 1,
            "async.concurrency": 1,
        }
    )
    fields = measured(options.tiffs, options.fields) if options.tiffs else simulated(options.fields)
    megabytes = sum(field.nbytes for field in fields) / 1e6
    shape = " × ".join(map(str, fields[0].shape))
    print(f"{len(fields)} fields of {shape} {fields[0].dtype}, {options.pipeline}, one thread\n")
    print("| codec | a chunk a | stored as | reads MB/s | writes MB/s | ratio |")
    print("|---|---|---|---|---|---|")
    for codec in CODECS:
        for chunk in CHUNKS:
            for sharded in (False, True):
                with tempfile.TemporaryDirectory() as folder:
                    reading, writing, ratio = trial(
                        Path(folder), fields, codec, chunk, sharded, options.rounds
                    )
                stored = "one shard" if sharded else "files"
                speeds = f"{megabytes / reading:.0f} | {megabytes / writing:.0f}"
                print(f"| {codec} | {chunk} | {stored} | {speeds} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
