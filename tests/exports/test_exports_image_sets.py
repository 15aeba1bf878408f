"""Image.csv and what names the images."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pandas as pd
import pytest
import zarr
from exported import CENTRES, image_list, labelled, measured_objects
from PIL import Image

from hts_classify import PassSettings, View, export, extract, open_plate
from hts_classify.errors import DataError, PlateError
from hts_classify.plate.locations import locate
from hts_classify.synthetic import Recipe

SMALL = PassSettings(tile_sizes=(32,))


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def test_a_list_is_exported_as_a_list_that_is_the_same_plate(tmp_path: Path) -> None:
    table, _ = image_list(tmp_path, Recipe(setting="texture", shape=(64, 64)))
    first = open_plate(table)
    extract(first, tmp_path / "out", SMALL)
    (file,) = export(tmp_path / "out", kinds=["csv"])
    assert file == tmp_path / "out" / "export" / "Image.csv"
    again = open_plate(file)
    assert (again.name, again.channels) == (first.name, first.channels)
    for old, new in zip(first.fields, again.fields, strict=True):
        assert (old.well, old.site) == (new.well, new.site)
        np.testing.assert_array_equal(again.read(new), first.read(old))
    row = rows_of(file)[3]
    name = f"{row['Metadata_Well']} f{row['Metadata_Site']}_GFP.tif"
    assert (row["FileName_GFP"], row["PathName_GFP"]) == (name, str(tmp_path / "tif"))
    assert unquote(urlsplit(row["URL_GFP"]).path) == str(tmp_path / "tif" / name)
    assert row["Frame_GFP"] == "0"


def test_numbers_are_those_of_the_pass_by_the_names_of_cellprofiler(
    tiny_run: Path, tmp_path: Path
) -> None:
    (file,) = export(tiny_run, tmp_path, kinds=["csv"])
    rows = rows_of(file)
    assert list(rows[0]) == sorted(rows[0])  # as ExportToSpreadsheet has them
    assert [int(row["ImageNumber"]) for row in rows] == list(range(1, len(rows) + 1))
    features = pd.read_parquet(tiny_run / "features.parquet")
    quality = pd.read_parquet(tiny_run / "quality.parquet")
    calls = pd.read_parquet(tiny_run / "predictions.parquet")
    maps = pd.read_csv(
        Path(json.loads((tiny_run / "timings.json").read_text())["plates"][0][1]).with_suffix(
            ".platemap.csv"
        )
    ).set_index("well")
    assert len(rows) == len(features) == 24
    for k, row in enumerate(rows):
        for name in ("PFTAS_DNA_Band_On_3", "PFTAS_GFP_Mean_Off_8"):
            assert float(row[name]) == features[f"Image_{name}"][k]
        name = "ImageQuality_MeanIntensity_GFP"
        assert float(row[name]) == quality[f"Image_{name}"][k]
        place = features["Metadata_Well"][k], features["Metadata_Site"][k]
        assert (row["Metadata_Well"], int(row["Metadata_Site"])) == place
        assert row["Metadata_Compound"] == maps["compound"][place[0]]
        assert row["Metadata_NoForeground_DNA"] == "0"
        own = calls[(calls["Metadata_Well"] == place[0]) & (calls["Metadata_Site"] == place[1])]
        for path in ("tas_svm", "cnn"):
            called = own[own["Path"] == path].iloc[0]
            assert row[f"HTS_Class_{path}"] == called["Class"]
            assert float(row[f"HTS_Score_{path}_coarse"]) == called["Score_coarse"]
            assert int(row["Metadata_Fold"]) == called["Fold"]
    assert not any(name.startswith("Image_") for name in rows[0])


def test_a_field_of_a_store_is_located_by_its_array(tiny_plate: Path) -> None:
    plate = open_plate(tiny_plate)
    for field in plate.fields[:3]:
        found = locate(plate, field)
        for channel, name in enumerate(plate.channels):
            at = found[name]
            assert at.url == Path(at.folder, at.file).as_uri()
            array = zarr.open_array(Path(unquote(urlsplit(at.url).path)), mode="r")
            assert at.frame == channel
            np.testing.assert_array_equal(array[at.frame], plate.read(field)[channel])


def test_chosen_channels_keep_their_places(tiny_plate: Path) -> None:
    plate = open_plate(tiny_plate, view=View(channels=("a", "b"), use=("b",)))
    found = locate(plate, plate.fields[0])
    assert {name: at.frame for name, at in found.items()} == {"b": 1}


def test_a_field_of_an_hdf5_file_is_located_inside_it(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    from hts_classify.synthetic import write_plate

    recipe = Recipe(setting="texture", shape=(64, 64))
    plate = open_plate(write_plate(tmp_path / "p q.h5", recipe, format="hdf5"))
    at = locate(plate, plate.fields[1])["GFP"]
    assert (at.folder, at.file) == (str(tmp_path), "p q.h5")
    where = urlsplit(at.url)
    with h5py.File(unquote(where.path)) as file:
        pixels = file[where.fragment][at.frame]
    np.testing.assert_array_equal(pixels, plate.read(plate.fields[1])[1])


def test_a_projected_list_names_its_first_page_and_no_frame(tmp_path: Path) -> None:
    planes = [Image.fromarray(np.full((16, 16), k, np.uint8)) for k in (1, 2)]
    planes[0].save(tmp_path / "a.tif", save_all=True, append_images=planes[1:])
    table = tmp_path / "load_data.csv"
    table.write_text("Metadata_Well,FileName_DNA\nA01,a.tif\n")
    shown = open_plate(table)
    assert locate(shown, shown.fields[0])["DNA"].frame is None
    one = open_plate(table, view=View(z=1))
    assert locate(one, one.fields[0])["DNA"].frame == 1


def test_objects_are_counted_placed_and_listed(tmp_path: Path) -> None:
    out = measured_objects(tmp_path)
    images, cells = export(out, kinds=["csv"])
    assert cells.name == "Cells.csv"
    assert {row["Count_Cells"] for row in rows_of(images)} == {"3"}
    held = pd.read_parquet(out / "objects.parquet")
    rows = rows_of(cells)
    assert list(rows[0])[:2] == ["ImageNumber", "ObjectNumber"]
    assert len(rows) == len(held) == 24
    for k, row in enumerate(rows):
        assert int(row["ImageNumber"]) == 1 + k // 3
        number = int(row["ObjectNumber"])
        assert number == held["ObjectNumber"][k]
        centre = float(row["Location_Center_X"]), float(row["Location_Center_Y"])
        assert centre == CENTRES[number]
        assert int(row["AreaShape_Area"]) == held["Cells_AreaShape_Area"][k]
        assert float(row["PFTAS_GFP_Band_Off_2"]) == held["Cells_PFTAS_GFP_Band_Off_2"][k]


def test_a_label_image_that_has_changed_is_named(tmp_path: Path) -> None:
    out = measured_objects(tmp_path)
    plate = open_plate(tmp_path / "plate.zarr")
    array = zarr.open_array(
        next((tmp_path / "plate.zarr").glob("A/1/0/labels/cells/*/zarr.json")).parent
    )
    array[:] = np.minimum(array[:], 2)
    with pytest.raises(DataError, match=r"plate well A01 field 1: label image 'cells' holds 2"):
        export(out, kinds=["csv"])
    assert not (out / "export").exists()
    assert plate.name == "plate"


def test_a_plate_that_is_gone_is_named_and_profiles_do_without(tmp_path: Path) -> None:
    labelled(tmp_path / "plate.zarr")
    extract(open_plate(tmp_path / "plate.zarr"), tmp_path / "out", SMALL)
    shutil.move(tmp_path / "plate.zarr", tmp_path / "archive.zarr")
    with pytest.raises(PlateError, match=r"plate\.zarr: does not exist"):
        export(tmp_path / "out")
    assert len(export(tmp_path / "out", kinds=["profiles"])) == 2


def test_a_field_that_has_left_its_plate_is_named(tmp_path: Path) -> None:
    table, _ = image_list(tmp_path, Recipe(setting="texture", shape=(64, 64)))
    extract(open_plate(table), tmp_path / "out", SMALL)
    lines = table.read_text().splitlines()
    well, site = lines[5].split(",")[1:3]
    table.write_text("\n".join(lines[:5] + lines[6:]) + "\n")
    with pytest.raises(DataError, match=rf"field {site} of well {well} .* no longer on the plate"):
        export(tmp_path / "out", kinds=["csv"])
