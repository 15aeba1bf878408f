"""CellH5, written here by h5py alone as its paper and CellCognition lay it out."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from stores import noise

from hts_classify.errors import FieldError, PlateError
from hts_classify.plate.hdf5 import open_hdf5
from hts_classify.plate.layout import View

PIXELS = noise(2, 3, 1, 16, 20, dtype="uint8")
"""Channels, times, planes, rows, columns."""
REGIONS = noise(1, 3, 1, 16, 20, seed=1)


def define(file: h5py.File) -> None:
    channel = np.dtype(
        [("channel_name", "S50"), ("is_physical", "?"), ("voxel_size", "<f4", 3), ("color", "S9")]
    )
    region = np.dtype([("region_name", "S50"), ("channel_idx", "<i2")])
    size = (2.0, 0.5, 0.25)
    file["definition/image/channel"] = np.array(
        [("rfp", True, size, "#ff0000"), ("gfp", True, size, "#00ff00")], channel
    )
    file["definition/image/region"] = np.array([("region___primary__primary", 0)], region)


def write(path: Path, *positions: str, plate: str = "0038") -> Path:
    with h5py.File(path, "w") as file:
        define(file)
        for position in positions:
            image = file.create_group(f"sample/0/plate/{plate}/experiment/{position}/image")
            image.create_dataset("channel", data=PIXELS, chunks=(1, 1, 1, 16, 20))
            image["region"] = REGIONS
    return path


def test_channels_times_and_regions_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "s.ch5", "B01/position/02", "A03/position/1", "A03/position/2")
    plate = open_hdf5(path, name="s", view=View(time="all"))
    assert (plate.name, plate.channels) == ("0038", ("rfp", "gfp"))
    assert [str(field) for field in plate.fields[-4:]] == [
        "well A03 field 2 timepoint 2",
        "well B01 field 2",
        "well B01 field 2 timepoint 1",
        "well B01 field 2 timepoint 2",
    ]
    np.testing.assert_array_equal(plate.read(plate.fields[-2]), PIXELS[:, 1, 0])
    np.testing.assert_array_equal(
        plate.read_label(plate.fields[-2], "primary__primary"), REGIONS[0, 1, 0]
    )
    info = plate.info()
    assert (info.format, info.pixel_size, info.timepoints) == ("CellH5", (0.5, 0.25), 3)
    assert (info.label_names, info.missing) == (("primary__primary",), ())


def test_positions_in_files_of_their_own_are_followed(tmp_path: Path) -> None:
    write(tmp_path / "A03_01.ch5", "A03/position/01")
    path = tmp_path / "_all_positions.ch5"
    at = "sample/0/plate/0038/experiment/A03/position/01"
    with h5py.File(path, "w") as file:
        define(file)
        file[at] = h5py.ExternalLink("A03_01.ch5", f"/{at}")
        file[at.replace("A03", "A04")] = h5py.ExternalLink("A04_01.ch5", f"/{at}")
    plate = open_hdf5(path, name="s", view=View())
    np.testing.assert_array_equal(plate.read(plate.fields[0]), PIXELS[:, 0, 0])
    assert plate.read_label(plate.fields[0], "primary__primary").shape == (16, 20)
    with pytest.raises(FieldError, match=r"well A04 field 1.*A04_01.ch5, which is missing"):
        plate.read(plate.fields[1])


def test_experiments_that_are_no_wells_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PlateError, match="experiment '0' is no well"):
        open_hdf5(write(tmp_path / "s.ch5", "0/position/0013"), name="s", view=View())
