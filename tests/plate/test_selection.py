"""Some of a plate's channels."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from stores import noise

from hts_classify.errors import FieldError, UsageError
from hts_classify.plate.hdf5 import open_hdf5
from hts_classify.plate.layout import View
from hts_classify.plate.selection import select_channels
from hts_classify.plate.stored import StoredPlate


@pytest.fixture
def plate(tmp_path: Path) -> StoredPlate:
    """One field whose GFP was never written."""
    with h5py.File(tmp_path / "p.h5", "w") as file:
        pixels = file.create_dataset("A1", (3, 16, 20), "uint16", chunks=(1, 16, 20))
        pixels[0], pixels[2] = noise(16, 20), noise(16, 20, seed=2)
    view = View(hdf5_path="/{well}", channels=("DNA", "GFP", "ER"))
    return open_hdf5(tmp_path / "p.h5", name="p", view=view)


def test_channels_that_are_not_shown_are_not_read(plate: StoredPlate) -> None:
    field = plate.fields[0]
    shown = select_channels(plate, ["ER", "DNA"])
    np.testing.assert_array_equal(shown.read(field), [noise(16, 20, seed=2), noise(16, 20)])
    np.testing.assert_array_equal(shown.read(field, ["DNA"]), noise(1, 16, 20))
    assert (shown.channels, shown.view.use) == (("ER", "DNA"), ("ER", "DNA"))
    assert shown.stamp(field) == plate.stamp(field)
    with pytest.raises(FieldError, match="channel GFP"):
        plate.read(field)


def test_all_channels_are_the_plate_itself(plate: StoredPlate) -> None:
    assert select_channels(plate, plate.channels) is plate


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["RNA"], "no channel 'RNA'; the plate has DNA, GFP, ER"),
        (["ER", "ER"], "name each channel"),
    ],
)
def test_channels_that_are_not_there_are_refused(
    plate: StoredPlate, names: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        select_channels(plate, names)
