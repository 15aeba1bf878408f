"""The database and its properties, asked as CellProfiler Analyst 3.0.5 asks them."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from exported import CENTRES, image_list, labelled, measured_objects, read_properties

from hts_classify import PassSettings, export, extract, open_plate
from hts_classify.errors import DataError
from hts_classify.exports.analyst import plate_type, write_analyst
from hts_classify.synthetic import Recipe

SMALL = PassSettings(tile_sizes=(32,))


class Asked:
    """A database behind its properties."""

    def __init__(self, file: Path) -> None:
        self.said = read_properties(file)
        # relative to the properties, as Analyst takes it: the folder can be moved
        self.connection = sqlite3.connect(file.parent / str(self.said["db_sqlite_file"]))

    def __getattr__(self, key: str) -> Any:
        return self.said[key]

    def __call__(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query).fetchall()

    def types(self, table: str) -> dict[str, str]:
        return {name: kind for _, name, kind, *_ in self(f"PRAGMA table_info({table})")}


@pytest.fixture
def of_run(tiny_run: Path, tmp_path: Path) -> Asked:
    files = export(tiny_run, tmp_path / "x", kinds=["sqlite"])
    assert [file.name for file in files] == ["analyst.db", "analyst.properties"]
    (tmp_path / "x").rename(tmp_path / "moved")
    return Asked(tmp_path / "moved" / "analyst.properties")


@pytest.fixture
def of_objects(tmp_path: Path) -> Asked:
    return Asked(export(measured_objects(tmp_path), kinds=["sqlite"])[-1])


def test_what_the_properties_name_is_there(of_run: Asked, of_objects: Asked) -> None:
    for asked in (of_run, of_objects):
        columns = asked.types(asked.image_table)
        named = [asked.image_id, asked.plate_id, asked.well_id]
        assert set(named + asked.image_path_cols + asked.image_file_cols) <= set(columns)
        lists = ("image_path_cols", "image_file_cols", "image_channel_colors", "channels_per_image")
        assert {len(asked.said[key]) for key in lists} == {len(asked.image_names)} == {2}
        assert len(asked.object_name) == 2
        assert set(columns.values()) <= {"INTEGER", "FLOAT", "TEXT"}
        for key, query in asked.said.items():
            if key.startswith("group_SQL_"):
                assert len(asked(query)) == len(asked(f"SELECT 1 FROM {asked.image_table}"))
    columns = of_objects.types(of_objects.object_table)
    named = [of_objects.image_id, of_objects.object_id, of_objects.cell_x_loc]
    assert {*named, of_objects.cell_y_loc} <= set(columns)


def test_names_are_those_of_exporttodatabase(of_run: Asked, of_objects: Asked) -> None:
    columns = of_run.types("Per_Image")
    assert next(iter(columns)) == "ImageNumber"
    assert {
        *("Image_Metadata_Plate", "Image_FileName_DNA", "Image_PathName_GFP", "Image_URL_GFP"),
        *("Image_ImageQuality_MeanIntensity_DNA", "Image_PFTAS_DNA_Band_On_0"),
        *("Image_HTS_Class_tas_svm", "Image_HTS_Score_cnn_fine", "Image_Metadata_Compound"),
    } <= set(columns)
    assert columns["Image_Metadata_Site"] == columns["Image_Metadata_Fold"] == "INTEGER"
    assert columns["Image_Metadata_Well"] == "TEXT"
    assert columns["Image_PFTAS_DNA_Band_On_0"] == "FLOAT"
    objects = of_objects.types("Per_Object")
    assert list(objects)[:2] == ["ImageNumber", "ObjectNumber"]
    assert {"Cells_Location_Center_X", "Cells_AreaShape_Area"} <= set(objects)
    assert of_objects.types("Per_Image")["Image_Count_Cells"] == "INTEGER"


def test_analyst_s_queries_of_images(of_run: Asked, tiny_run: Path) -> None:
    features = pd.read_parquet(tiny_run / "features.parquet")
    # the wells of the plate viewer, which quotes names by the marks of names
    found = of_run(
        "SELECT Image_Metadata_Plate, Image_Metadata_Well, COUNT(*) FROM Per_Image WHERE"
        ' Image_Metadata_Well != "" AND Image_Metadata_Well IS NOT NULL'
        " GROUP BY Image_Metadata_Plate, Image_Metadata_Well"
    )
    counts = Counter(zip(features["Metadata_Plate"], features["Metadata_Well"], strict=True))
    assert {(plate, well): count for plate, well, count in found} == counts
    assert of_run.plate_type == "96"
    # an image's channels
    ((folder, file),) = of_run(
        "SELECT Image_PathName_DNA, Image_FileName_DNA FROM Per_Image WHERE ImageNumber IN (5)"
    )
    assert (Path(folder) / file / "zarr.json").is_file()
    # images are what it classifies: numbers that are neither places nor others' calls
    assert of_run.classification_type == "image"
    assert "object_table" not in of_run.said
    assert of_run.image_tile_size == of_run.image_width == "64"
    learned = learnable(of_run, "Per_Image")
    assert len(learned) == 108 + 22
    assert all("_PFTAS_" in name or "_ImageQuality_" in name for name in learned)


def learnable(asked: Asked, table: str) -> list[str]:
    """Return the columns that a classifier learns from, as Analyst chooses them."""
    import re

    ignored = asked.classifier_ignore_columns
    return [
        name
        for name, kind in asked.types(table).items()
        if kind != "TEXT" and not any(re.match(f"^{one}$", name) for one in ignored)
    ]


def test_analyst_s_queries_of_objects(of_objects: Asked) -> None:
    asked = of_objects
    assert asked.classification_type == "object"
    per_image = asked(
        "SELECT Per_Object.ImageNumber, COUNT(Per_Object.ObjectNumber) FROM Per_Object"
        " GROUP BY Per_Object.ImageNumber"
    )
    assert per_image == asked("SELECT ImageNumber, Image_Count_Cells FROM Per_Image")
    joined = asked(
        "SELECT Image_Metadata_Well, COUNT(*) FROM Per_Image, Per_Object"
        " WHERE Per_Image.ImageNumber = Per_Object.ImageNumber GROUP BY Image_Metadata_Well"
    )
    assert joined == [(well, 6) for well in ("A01", "A02", "B01", "B02")]
    coordinates = asked(
        f"SELECT {asked.cell_x_loc}, {asked.cell_y_loc} FROM Per_Object"
        " WHERE ImageNumber IN (4) ORDER BY ObjectNumber"
    )
    assert coordinates == list(CENTRES.values())
    near = asked(
        "SELECT ImageNumber, ObjectNumber FROM Per_Object WHERE ImageNumber IN (4) ORDER BY"
        f" ({asked.cell_x_loc} - 50)*({asked.cell_x_loc} - 50)"
        f" + ({asked.cell_y_loc} - 40)*({asked.cell_y_loc} - 40) LIMIT 1"
    )
    assert near == [(4, 7)]
    assert len(learnable(asked, "Per_Object")) == 108 + 1
    # the middle of three areas (225, 440, 440) as a disc, and a half more
    assert asked.image_tile_size == str(int(np.ceil(1.5 * 2 * np.sqrt(440 / np.pi))))


def test_a_list_s_images_are_files_that_open(tmp_path: Path) -> None:
    table, platemap = image_list(tmp_path, Recipe(setting="texture", shape=(64, 64), fields=1))
    extract(open_plate(table), tmp_path / "out", SMALL)
    asked = Asked(export(tmp_path / "out", kinds=["sqlite"], platemap=platemap)[-1])
    for folder, file in asked("SELECT Image_PathName_DNA, Image_FileName_DNA FROM Per_Image"):
        assert Path(folder, file).is_file()
    assert "group_SQL_Treatment" in asked.said
    compounds = asked("SELECT DISTINCT Image_Metadata_Compound FROM Per_Image ORDER BY 1")
    expected = sorted(pd.read_csv(platemap)["compound"].unique())
    assert [name for (name,) in compounds] == expected


def test_names_of_a_map_are_made_fit_for_sql(tmp_path: Path) -> None:
    labelled(tmp_path / "plate.zarr")
    extract(open_plate(tmp_path / "plate.zarr"), tmp_path / "out", SMALL)
    platemap = tmp_path / "map.csv"
    platemap.write_text("well,dose (µM),DOSE (mM),empty\nA01,1,a,\nB02,2,b,\n", encoding="utf-8")
    asked = Asked(export(tmp_path / "out", kinds=["sqlite"], platemap=platemap)[-1])
    found = asked("SELECT Image_Metadata_dose___M_, Image_Metadata_DOSE__mM_ FROM Per_Image")
    assert found == [("1", "a")] * 2 + [(None, None)] * 4 + [("2", "b")] * 2


def test_bytes_follow_from_the_folder_alone(tiny_run: Path, tmp_path: Path) -> None:
    kinds = ["csv", "sqlite", "profiles", "anndata"]
    first = export(tiny_run, tmp_path / "a", kinds=kinds)
    again = export(tiny_run, tmp_path / "b", kinds=kinds)
    over = export(tiny_run, tmp_path / "a", kinds=kinds)
    assert len(first) == 6
    for one, two, three in zip(first, again, over, strict=True):
        assert one.read_bytes() == two.read_bytes() == three.read_bytes(), one.name


def test_rows_of_two_letters_are_numbered(tmp_path: Path) -> None:
    """Analyst takes numbered wells apart by the plate's columns, and no well of two letters."""
    plate = labelled(tmp_path / "p.zarr", wells=("A01", "B02"), more=("Z48", "AA01", "AF48"))
    extract(plate, tmp_path / "out", SMALL)
    asked = Asked(export(tmp_path / "out", kinds=["sqlite"])[-1])
    assert (asked.plate_type, asked.well_format) == ("1536", "123")
    found = asked(f"SELECT DISTINCT Image_Metadata_Well, {asked.well_id} FROM Per_Image")
    places = {well: divmod(number - 1, 48) for well, number in found}
    expected = {"A01": (0, 0), "B02": (1, 1), "Z48": (25, 47), "AA01": (26, 0), "AF48": (31, 47)}
    assert places == expected


def test_too_many_columns_are_refused_before_anything_is_written(
    tiny_plate: Path, tmp_path: Path
) -> None:
    images = pd.DataFrame(np.zeros((1, 2000)), columns=[f"c{k}" for k in range(2000)])
    images.insert(0, "Image_Metadata_Well", "A01")
    with pytest.raises(DataError, match="Per_Image has 2001 columns, SQLite takes 2000"):
        write_analyst(tmp_path / "x.db", images, None, [open_plate(tiny_plate)], name="Cells")
    assert not list(tmp_path.iterdir())


def test_five_channels_of_objects_fit(tmp_path: Path) -> None:
    columns = {f"Cells_{k}": [0.5] for k in range(1998)}
    objects = pd.DataFrame(
        {"ImageNumber": [1], "ObjectNumber": [1], "Cells_AreaShape_Area": [9]} | columns
    ).iloc[:, :2000]
    images = pd.DataFrame({"ImageNumber": [1], "Image_Metadata_Well": ["A01"]})
    plate = labelled(tmp_path / "p.zarr")
    write_analyst(tmp_path / "x.db", images, objects, [plate], name="Cells")
    rows = sqlite3.connect(tmp_path / "x.db").execute("SELECT * FROM Per_Object").fetchall()
    assert rows == [(1, 1, 9, *[0.5] * 1997)]


@pytest.mark.parametrize(
    ("wells", "plate"),
    [
        (["A01", "B03"], "96"),
        (["H12"], "96"),
        (["I01"], "384"),
        (["P24", "A01"], "384"),
        (["A25"], "1536"),
        (["Q01"], "1536"),
        (["AF48"], "1536"),
        (["AG01"], ""),
        (["A49"], ""),
    ],
)
def test_the_plate_is_the_smallest_that_holds_its_wells(wells: list[str], plate: str) -> None:
    assert plate_type(wells) == plate
