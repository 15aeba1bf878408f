"""Compressed and damaged HDF5: what is read is what was written, or an error."""

from __future__ import annotations

import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from stores import noise

from hts_classify.errors import FieldError, PlateError
from hts_classify.plate.hdf5 import open_hdf5
from hts_classify.plate.layout import View
from hts_classify.plate.stored import StoredPlate


def write(path: Path, pixels: np.ndarray, **how: Any) -> Path:
    """Write one field, texts of fixed length, chunks with what is asked for."""
    with h5py.File(path, "w") as file:
        file.attrs["hts_classify_layout"] = 1
        file.attrs["wells"] = np.array(["A/1"], "S")
        file.attrs["channels"] = np.array(["DNA", "GFP"], "S")
        group = file.create_group("A/1")
        group.attrs["images"] = np.array(["0", "1"], "S")
        for name in "01":
            group.create_dataset(name, data=pixels, **{"compression": "gzip", **how})
    return path


def open_plate(path: Path) -> StoredPlate:
    return open_hdf5(path, name="p", view=View())


@pytest.mark.parametrize("dtype", ["uint8", "<u2", ">u2"])
@pytest.mark.parametrize("how", ["gzip", "shuffle", "fletcher32"])
@pytest.mark.parametrize("chunks", [(1, 16, 20), (2, 5, 7), (1, 1, 20)])
def test_compressed_chunks_hold_what_hdf5_wrote(
    tmp_path: Path, how: str, chunks: tuple[int, ...], dtype: str
) -> None:
    pixels = (noise(2, 16, 20) * 257).astype(dtype)
    extra = {how: True} if how != "gzip" else {}
    plate = open_plate(write(tmp_path / "p.h5", pixels, chunks=chunks, **extra))
    np.testing.assert_array_equal(plate.read(plate.fields[0]), pixels)
    np.testing.assert_array_equal(plate.read(plate.fields[0], ["GFP"]), pixels[1:])


@pytest.mark.parametrize(
    ("size", "message"), [(1 << 25, "holds more, not 64000"), (4, "holds 4 bytes, not")]
)
def test_a_chunk_that_inflates_to_another_size_is_refused(
    tmp_path: Path, size: int, message: str
) -> None:
    path = write(tmp_path / "p.h5", noise(2, 160, 200), chunks=(1, 160, 200))
    with h5py.File(path, "a") as file:
        file["A/1/0"].id.write_direct_chunk((1, 0, 0), zlib.compress(b"\0" * size, 9))
    plate = open_plate(path)
    tracemalloc.start()
    with pytest.raises(FieldError, match=f"channel GFP: .*{message}"):
        plate.read(plate.fields[0])
    assert tracemalloc.get_traced_memory()[1] < 1 << 22
    tracemalloc.stop()
    assert plate.read(plate.fields[1]).any()


def test_a_chunk_of_more_bytes_than_it_can_need_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "p.h5", noise(2, 16, 20), chunks=(1, 16, 20))
    with h5py.File(path, "a") as file:
        file["A/1/0"].id.write_direct_chunk((1, 0, 0), b"\0" * 100_000)
    plate = open_plate(path)
    with pytest.raises(FieldError, match=r"channel GFP: .*takes 100000 bytes, for 640 of pixels"):
        plate.read(plate.fields[0])


@pytest.mark.parametrize("seed", range(50))
def test_damage_is_seen_wherever_it_is(tmp_path: Path, seed: int) -> None:
    """With texts of fixed length and checksums, what is read is what was written."""
    rng = np.random.default_rng(seed)
    pixels = noise(2, 16, 20)
    path = write(tmp_path / "p.h5", pixels, chunks=(1, 16, 20), fletcher32=True)
    content = bytearray(path.read_bytes())
    place = rng.integers(len(content))
    if seed % 4 == 0:
        del content[place:]
    elif seed % 4 == 1:
        content[place : place + 64] = bytes(len(content[place : place + 64]))
    else:
        content[place] ^= 1 << rng.integers(8)
    path.write_bytes(content)
    try:
        plate = open_plate(path)
    except PlateError:
        return
    plate.info()
    for field in plate.fields:
        try:
            read = plate.read(field)
        except FieldError:
            continue
        np.testing.assert_array_equal(read, pixels)
