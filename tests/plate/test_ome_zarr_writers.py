"""Plates that another library writes while the test runs: ngff-zarr, which encodes by zarrs."""

from __future__ import annotations

from pathlib import Path

import ngff_zarr
import numpy as np
import pytest
from stores import noise

from hts_classify.plate import View, open_plate


def write(path: Path, version: str) -> None:
    """Write A01 and B02 with two fields of 2 channels and 3 planes in two levels."""
    plate = ngff_zarr.Plate(
        columns=[ngff_zarr.PlateColumn(name=name) for name in "12"],
        rows=[ngff_zarr.PlateRow(name=name) for name in "AB"],
        wells=[
            ngff_zarr.PlateWell(path="A/1", rowIndex=0, columnIndex=0),
            ngff_zarr.PlateWell(path="B/2", rowIndex=1, columnIndex=1),
        ],
        name="BR00117",
        field_count=2,
        acquisitions=[ngff_zarr.PlateAcquisition(id=0)],
        version=version,
    )
    ngff_zarr.to_hcs_zarr(ngff_zarr.HCSPlate(store=str(path), plate_metadata=plate), str(path))
    sharding = {"chunks_per_shard": {"c": 1, "z": 1, "y": 2, "x": 2}} if version == "0.5" else {}
    places = [(row, column, field) for row, column in ("A1", "B2") for field in (0, 1)]
    for seed, (row, column, field) in enumerate(places):
        image = ngff_zarr.to_ngff_image(
            noise(2, 3, 70, 90, seed=seed),
            dims=("c", "z", "y", "x"),
            scale={"c": 1.0, "z": 2.0, "y": 650.0, "x": 325.0},
            axes_units=dict.fromkeys("zyx", "nanometer"),
        )
        chunks = {"c": 1, "z": 1, "y": 64, "x": 64}
        scales = ngff_zarr.to_multiscales(image, scale_factors=[2], chunks=chunks)
        ngff_zarr.write_hcs_well_image(
            str(path), scales, plate, row, column, field_index=field, version=version, **sharding
        )


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_plate_of_ngff_zarr_is_read(tmp_path: Path, version: str) -> None:
    path = tmp_path / "plate.ome.zarr"
    write(path, version)
    plate = open_plate(path, channels=("DNA", "GFP"))
    info = plate.info()
    assert (info.name, info.format, info.wells) == ("BR00117", f"OME-Zarr {version}", 2)
    assert (info.planes, info.levels, info.missing, info.uneven) == (3, 2, (), ())
    assert info.pixel_size == pytest.approx((0.65, 0.325))
    for seed, field in enumerate(plate.fields):
        pixels = noise(2, 3, 70, 90, seed=seed)
        np.testing.assert_array_equal(plate.read(field), pixels.max(axis=1))
    volumes = open_plate(path, view=View(z="all"))
    np.testing.assert_array_equal(volumes.read(volumes.fields[2]), noise(2, 3, 70, 90, seed=2))
    half = open_plate(path, view=View(level=1))
    assert half.field_shape == (35, 45)
