"""What a pass leaves besides features: objects, crops, quality; of volumes, times, many plates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hts_classify import PassSettings, View, extract, open_plate, pftas
from hts_classify.errors import PlateError, UsageError
from hts_classify.features import examine, measure_objects
from hts_classify.plate import Field, Plate, open_plates
from hts_classify.shards import feature_matrix
from hts_classify.tiles import CropStore, TileStore, downscale, tile_scale
from hts_classify.vocabulary import feature_columns, figure_columns
from hts_classify.writers import Outline, open_writer

SMALL = PassSettings(tile_sizes=(32,))


def written(
    path: Path, images: Mapping[Field, np.ndarray], *, labels: np.ndarray | None = None
) -> Plate:
    """Write a plate of single time points, or of as many as images have in front."""
    outline = Outline(
        name=path.stem, rows=("A", "B"), columns=tuple("123456789"), channels=("DNA", "GFP")
    )
    with open_writer(path, outline, levels=1) as writer:
        for field, pixels in images.items():
            times = len(pixels) if pixels.ndim == 5 else None
            frames = pixels if pixels.ndim == 5 else [pixels]
            named = {} if labels is None else {"cells": [labels]}
            writer.write(field, frames, times=times, labels=named)
        writer.finish(list(images))
    return open_plate(path)


def blobs(*shape: int, seed: int = 0) -> np.ndarray:
    """Draw bright squares on noise."""
    rng = np.random.default_rng(seed)
    pixels = rng.poisson(100, shape).astype(np.uint16)
    for y, x in rng.integers(0, min(shape[-2:]) - 8, (6, 2)):
        pixels[..., y : y + 8, x : x + 8] += 900
    return pixels


def three_cells() -> np.ndarray:
    labels = np.zeros((64, 64), np.uint16)
    labels[5:20, 5:20], labels[30:50, 8:30], labels[40:60, 40:62] = 1, 2, 7
    return labels


def test_every_object_has_a_row_of_its_own(tmp_path: Path) -> None:
    images = {Field("A01", 1, ""): blobs(2, 64, 64), Field("B02", 1, ""): blobs(2, 64, 64, seed=1)}
    plate = written(tmp_path / "plate.zarr", images, labels=three_cells())
    asked = PassSettings(tile_sizes=(32,), labels="cells", objects="Nuclei")
    extract(plate, tmp_path / "out", asked)
    table = pd.read_parquet(tmp_path / "out" / "objects.parquet")
    assert table["ObjectNumber"].tolist() == [1, 2, 7] * 2
    assert table["Nuclei_AreaShape_Area"].tolist() == [225, 440, 440] * 2
    for channel, image in zip(("DNA", "GFP"), images[Field("A01", 1, "")], strict=True):
        names = feature_columns("pftas", channel, objects="Nuclei")
        expected = measure_objects(image, three_cells()).values
        np.testing.assert_array_equal(table[names].to_numpy()[:3], expected)


def test_a_field_without_the_label_image_is_left_out_by_name(tmp_path: Path) -> None:
    plate = written(tmp_path / "plate.zarr", {Field("A01", 1, ""): blobs(2, 64, 64)})
    with pytest.raises(PlateError, match=r"none of 1 fields can be used .*label image 'cells'"):
        extract(plate, tmp_path / "out", PassSettings(tile_sizes=(32,), labels="cells"))


def test_crops_of_objects_and_of_a_grid(tmp_path: Path) -> None:
    field = Field("A01", 1, "")
    pixels = blobs(2, 64, 64)
    plate = written(tmp_path / "plate.zarr", {field: pixels}, labels=three_cells())
    objects = PassSettings(
        tile_sizes=(32,), labels="cells", crops="objects", crop_size=16, crops_per_field=2
    )
    grid = PassSettings(tile_sizes=(32,), crops="grid", crop_size=16, crops_per_field=4)
    for asked, count in ((objects, 2), (grid, 4)):
        out = tmp_path / asked.crops
        extract(plate, out, asked)
        table = pd.read_parquet(out / "crops.parquet")
        crops = CropStore(out / "crops.zarr").read("plate", "A01")
        assert table["Metadata_Crop"].tolist() == list(range(count))
        for (y, x), crop in zip(
            table[["Metadata_CropY", "Metadata_CropX"]].to_numpy(), crops, strict=True
        ):
            np.testing.assert_array_equal(crop, pixels[:, y : y + 16, x : x + 16])
    assert pd.read_parquet(tmp_path / "objects" / "crops.parquet")["ObjectNumber"].notna().all()


def test_several_tile_sizes_in_one_pass(tiny_plate: Path, tmp_path: Path) -> None:
    plate = open_plate(tiny_plate)
    extract(plate, tmp_path, PassSettings(tile_sizes=(32, 24, 64)))
    pixels = plate.read(plate.fields[9])
    for size in (32, 24, 64):
        tile = TileStore(tmp_path / "tiles.zarr", size).read(np.array([9]))[0]
        np.testing.assert_array_equal(tile, np.rint(downscale(pixels, tile_scale((64, 64), size))))


def test_quality_is_that_of_the_pixels(tiny_plate: Path, tmp_path: Path) -> None:
    plate = open_plate(tiny_plate)
    quality = extract(plate, tmp_path, SMALL).quality
    figures = examine(plate.read(plate.fields[7])[1])[1]
    values = quality.iloc[7][figure_columns("GFP")].to_numpy(float)
    np.testing.assert_array_equal(values, figures.values)
    assert (quality["Metadata_Flags"] == "").all()


def test_bad_fields_are_flagged_and_left_out_on_request(tmp_path: Path) -> None:
    fields = [Field(f"{row}{column:02d}", 1, "") for row in "AB" for column in range(1, 9)]
    images = {field: blobs(2, 64, 64, seed=k) for k, field in enumerate(fields)}
    blurred, bright, dark = fields[3], fields[6], fields[9]
    y, x = np.mgrid[:64, :64]
    images[blurred][0] = 500 + 300 * np.sin(y / 15) * np.sin(x / 15)  # smooth all over
    images[bright][1, :10] = 65535
    images[dark][1] = 0
    plate = written(tmp_path / "plate.zarr", images)
    flagged = extract(plate, tmp_path / "out", SMALL)
    said = dict(
        zip(flagged.quality["Metadata_Well"], flagged.quality["Metadata_Flags"], strict=True)
    )
    assert {well: flag for well, flag in said.items() if flag} == {
        blurred.well: "out of focus (DNA)",
        bright.well: "saturated (GFP)",
        dark.well: "out of focus (GFP); without foreground (GFP)",
    }
    assert len(flagged.features) == 16
    left = extract(plate, tmp_path / "out", PassSettings(tile_sizes=(32,), exclude_flagged=True))
    assert left.costs == {}  # nothing is read again
    assert len(left.features) == 13
    assert left.failures["Reason"].tolist()[0] == "flagged: out of focus (DNA)"
    assert set(left.failures["Metadata_Well"]) == {blurred.well, bright.well, dark.well}


def test_volumes_have_26_neighbours_and_tiles_of_their_projection(tmp_path: Path) -> None:
    pixels = blobs(2, 4, 64, 64)
    written(tmp_path / "plate.zarr", {Field("A01", 1, ""): pixels})
    plate = open_plate(tmp_path / "plate.zarr", view=View(z="all"))
    result = extract(plate, tmp_path / "out", PassSettings(tile_sizes=(64,)))
    names = feature_columns("pftas", "GFP", neighbours=26)
    np.testing.assert_array_equal(
        result.features[names].to_numpy()[0], pftas(pixels[1], axes="zyx")
    )
    np.testing.assert_array_equal(result.tiles.read(np.array([0]))[0], pixels.max(axis=1))


def test_every_time_point_is_a_field(tmp_path: Path) -> None:
    pixels = np.stack([blobs(2, 1, 64, 64, seed=k) for k in range(3)])
    written(tmp_path / "plate.zarr", {Field("A01", 1, ""): pixels})
    plate = open_plate(tmp_path / "plate.zarr", view=View(time="all"))
    table = extract(plate, tmp_path / "out", SMALL).features
    assert table["Metadata_Timepoint"].tolist() == [0, 1, 2]
    for time, values in enumerate(table[feature_columns("pftas", "DNA")].to_numpy()):
        np.testing.assert_array_equal(values, pftas(pixels[time, 0, 0]))


def test_fields_of_another_size_keep_their_scale(tmp_path: Path) -> None:
    images = {
        Field("A01", 1, ""): blobs(2, 64, 64),
        Field("A02", 1, ""): blobs(2, 64, 64, seed=1),
        Field("A03", 1, ""): blobs(2, 80, 96, seed=2),
    }
    plate = written(tmp_path / "plate.zarr", images)
    result = extract(plate, tmp_path / "out", PassSettings(tile_sizes=(32,)))
    assert result.failures.empty
    np.testing.assert_array_equal(
        result.features.iloc[2][feature_columns("pftas", "DNA")].to_numpy(float),
        pftas(images[Field("A03", 1, "")][0]),
    )
    middle = images[Field("A03", 1, "")][:, 8:72, 16:80]
    middle_tile = np.rint(downscale(middle, (1, 2)))
    np.testing.assert_array_equal(result.tiles.read(np.array([2]))[0], middle_tile)


def test_plates_go_into_one_pass_and_more_are_added(tmp_path: Path) -> None:
    plates = [
        written(tmp_path / f"p{k}.zarr", {Field("A01", 1, ""): blobs(2, 64, 64, seed=k)})
        for k in range(3)
    ]
    first = extract(plates[:2], tmp_path / "out", SMALL)
    assert first.features["Metadata_Plate"].tolist() == ["p0", "p1"]
    more = extract(plates, tmp_path / "out", SMALL)
    assert list(more.costs) == ["p2/A01"]
    together = extract(plates, tmp_path / "fresh", SMALL)
    np.testing.assert_array_equal(feature_matrix(more.features), feature_matrix(together.features))
    np.testing.assert_array_equal(more.tiles.read(np.arange(3)), together.tiles.read(np.arange(3)))


def test_plates_that_do_not_go_together_are_refused(tmp_path: Path, tiny_plate: Path) -> None:
    one = written(tmp_path / "one.zarr", {Field("A01", 1, ""): blobs(2, 64, 64)})
    eight = written(
        tmp_path / "eight.zarr", {Field("A01", 1, ""): (blobs(2, 64, 64) // 8).astype(np.uint8)}
    )
    for plates, what in (
        ([one, one], "two plates are called one"),
        ([one, eight], "dtype uint8; one has uint16"),
        ([], "no plates"),
    ):
        with pytest.raises(UsageError, match=what):
            extract(plates, tmp_path / "out", SMALL)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({"tile_sizes": ()}, "tile sizes none"),
        ({"tile_sizes": (64, 64)}, "tile sizes 64, 64"),
        ({"crops": "objects"}, "without a label image"),
        ({"crops": "cells"}, "crops 'cells'"),
        ({"crops": "grid", "crops_per_field": 5}, "a square number"),
        ({"crops": "grid", "crop_size": 2}, "of at least 8 pixels"),
    ],
)
def test_settings_that_make_no_sense_are_refused(asked: dict[str, object], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        PassSettings(**asked)  # type: ignore[arg-type]


def test_lost_objects_and_crops_are_made_again(tmp_path: Path) -> None:
    fields = [Field("A01", 1, ""), Field("A02", 1, "")]
    images = {field: blobs(2, 64, 64, seed=k) for k, field in enumerate(fields)}
    plate = written(tmp_path / "plate.zarr", images, labels=three_cells())
    asked = PassSettings(tile_sizes=(32,), labels="cells", crops="objects", crop_size=16)
    extract(plate, tmp_path / "out", asked)
    before = (tmp_path / "out" / "objects.parquet").read_bytes()
    for kind in ("objects", "crops"):
        (tmp_path / "out" / kind / "plate" / "A02.parquet").unlink()
        assert list(extract(plate, tmp_path / "out", asked).costs) == ["plate/A02"]
        assert (tmp_path / "out" / "objects.parquet").read_bytes() == before


def test_plates_of_one_name_are_called_after_their_paths(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        written(tmp_path / name / "same.zarr", {Field("A01", 1, ""): blobs(2, 64, 64)})
        (tmp_path / name / "same.zarr").rename(tmp_path / f"{name}.zarr")
    plates = open_plates([tmp_path / "one.zarr", tmp_path / "two.zarr"])
    assert [plate.name for plate in plates] == ["one", "two"]
    table = extract(plates, tmp_path / "out", SMALL).features
    assert table["Metadata_Plate"].tolist() == ["one", "two"]
