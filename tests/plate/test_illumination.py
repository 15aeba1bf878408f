"""Illumination correction, of any store."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from stores import noise

from hts_classify.errors import DataError, FieldError, UsageError
from hts_classify.plate.hdf5 import open_hdf5
from hts_classify.plate.illumination import correct_illumination
from hts_classify.plate.layout import View
from hts_classify.plate.selection import select_channels
from hts_classify.plate.stored import StoredPlate

SHAPE = (100, 20)


def store(folder: Path, *fields: np.ndarray, **how: Any) -> StoredPlate:
    with h5py.File(folder / "p.h5", "w") as file:
        for number, pixels in enumerate(fields, start=1):
            file[f"A{number}"] = pixels
    view = View(hdf5_path="/{well}:" + ("cyx" if fields[0].ndim == 3 else "czyx"), **how)
    return open_hdf5(folder / "p.h5", name="p", view=view)


def function(folder: Path, values: Any, name: str = "illum.npy") -> Path:
    np.save(folder / name, values)
    return folder / name


@pytest.fixture
def gradient(tmp_path: Path) -> Path:
    """A function from 0.5 to 2, as CellProfiler saves it."""
    return function(tmp_path, np.linspace(0.5, 2, 2000, dtype="float32").reshape(SHAPE))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_pixels_are_divided_rounded_and_clipped(tmp_path: Path, gradient: Path, dtype: str) -> None:
    most = np.iinfo(dtype).max
    raw = np.random.default_rng(0).integers(0, most, (3, *SHAPE), dtype, endpoint=True)
    raw[1, 5:20] = most
    plate = store(tmp_path, raw, channels=("DNA", "GFP", "ER"))
    corrected = pickle.loads(pickle.dumps(correct_illumination(plate, {"GFP": gradient})))
    read = corrected.read(corrected.fields[0])
    exact = raw[1] / np.load(gradient).astype("float64")
    expected = np.clip(np.rint(exact), 0, most).astype(dtype)
    expected[raw[1] == most] = most
    assert read.dtype == dtype
    assert (read[1] != raw[1]).any()
    np.testing.assert_array_equal(read[1], expected)
    np.testing.assert_array_equal(read[[0, 2]], raw[[0, 2]])
    np.testing.assert_array_equal(corrected.read(corrected.fields[0], ["ER", "GFP"])[1], expected)
    np.testing.assert_array_equal(
        select_channels(corrected, ["GFP"]).read(corrected.fields[0])[0], expected
    )
    assert corrected.info().notes[-1] == "illumination corrected: GFP"
    assert corrected.view.illumination == (("GFP", str(gradient)),)


def test_halves_go_to_the_even_number(tmp_path: Path) -> None:
    raw = np.full((1, *SHAPE), [1, 3, 5, 7] * 5, "uint8")
    plate = correct_illumination(
        store(tmp_path, raw), {"Channel0": function(tmp_path, np.full(SHAPE, 2.0))}
    )
    assert plate.read(plate.fields[0])[0, 0, :4].tolist() == [0, 2, 2, 4]


def test_a_projection_is_the_projection_of_corrected_planes(tmp_path: Path, gradient: Path) -> None:
    raw = noise(2, 3, *SHAPE, dtype="uint8")
    volumes = correct_illumination(store(tmp_path, raw, z="all"), {"Channel1": gradient})
    flat = correct_illumination(store(tmp_path, raw), {"Channel1": gradient})
    planes = volumes.read(volumes.fields[0])
    assert planes.shape == raw.shape
    np.testing.assert_array_equal(planes.max(axis=1), flat.read(flat.fields[0]))


def test_a_stamp_follows_the_function(tmp_path: Path, gradient: Path) -> None:
    plate = store(tmp_path, noise(1, *SHAPE))
    stamps = {plate.stamp(plate.fields[0])}
    for factor in (1, 1, 2):
        np.save(gradient, np.load(gradient) * factor)
        corrected = correct_illumination(plate, {"Channel0": gradient})
        stamps.add(corrected.stamp(plate.fields[0]))
    assert len(stamps) == 3


def test_a_field_of_another_shape_fails_alone(tmp_path: Path, gradient: Path) -> None:
    plate = store(tmp_path, noise(1, *SHAPE), noise(1, *SHAPE), noise(1, 16, 20))
    corrected = correct_illumination(plate, {"Channel0": gradient})
    assert corrected.read(corrected.fields[0]).any()
    with pytest.raises(FieldError, match=r"A03 field 1 channel Channel0.*\(16, 20\).*\(100, 20\)"):
        corrected.read(corrected.fields[2])


def _zero(values: np.ndarray) -> np.ndarray:
    values[3, 4] = 0
    return values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (_zero(np.ones(SHAPE)), "illum.npy: 1 of its values are not above 0"),
        (np.full(SHAPE, np.nan), "2000 of its values"),
        (np.ones((20, 100)), r"shape \(20, 100\), the plate's fields \(100, 20\)"),
        (np.ones(SHAPE, int), "holds int64, not floats"),
        (np.array([{}]), "is no .npy array"),
    ],
)
def test_a_function_that_cannot_be_divided_by_is_refused(
    tmp_path: Path, values: Any, message: str
) -> None:
    plate = store(tmp_path, noise(1, *SHAPE))
    with pytest.raises(DataError, match=message):
        correct_illumination(plate, {"Channel0": function(tmp_path, values)})


def test_a_call_that_names_nothing_is_refused(tmp_path: Path, gradient: Path) -> None:
    plate = store(tmp_path, noise(1, *SHAPE))
    with pytest.raises(UsageError, match="channel 'DNA'; the plate has Channel0"):
        correct_illumination(plate, {"DNA": gradient})
    with pytest.raises(UsageError, match=r"gone\.npy: does not exist"):
        correct_illumination(plate, {"Channel0": tmp_path / "gone.npy"})
    assert correct_illumination(plate, {}) is plate
