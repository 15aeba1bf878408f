"""What `export` writes of a list, beside what CellProfiler writes of it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pipelines import Run

from hts_classify import PassSettings, export, extract, open_plate
from hts_classify.synthetic import Recipe, write_plate

pytestmark = pytest.mark.cellprofiler

ELSEWHERE = "Elsewhere...|"

MYSQL = """
class Error(Exception):
    pass


OperationalError = Error


def escape_string(text):
    return text.replace("'", "''").encode()
"""


class Exported(NamedTuple):
    """The folders that both have written."""

    ours: Path
    theirs: Path

    def per_image(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        files = self.ours / "analyst.db", self.theirs / "analyst.db"
        ours, theirs = (
            pd.read_sql("SELECT * FROM Per_Image ORDER BY ImageNumber", sqlite3.connect(file))
            for file in files
        )
        return ours, theirs


@pytest.fixture(scope="module")
def exported(run_pipeline: Run, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("alike")
    recipe = Recipe(setting="texture", shape=(64, 64), fields=2, compounds=1, replicates=1)
    plate = open_plate(write_plate(folder / "p.zarr", recipe))
    rows = []
    for field in plate.fields:
        row = {"Metadata_Plate": "p", "Metadata_Well": field.well, "Metadata_Site": field.site}
        for channel, pixels in zip(plate.channels, plate.read(field), strict=True):
            name = f"{field.well} {field.site} {channel}.tif"
            Image.fromarray(pixels).save(folder / name)
            row |= {f"Image_FileName_{channel}": name, f"Image_PathName_{channel}": str(folder)}
        rows.append(row)
    table = folder / "load_data.csv"
    pd.DataFrame(rows).to_csv(table, index=False)
    modules = [
        (
            "LoadData",
            {"Input data file location": f"{ELSEWHERE}{folder}", "Name of the file": table.name},
        ),
        ("MeasureThresholdAdjacency", {"Select images to measure": "DNA, GFP"}),
        (
            "ExportToDatabase",
            {
                "Database type": "SQLite",
                "Name the SQLite database file": "analyst.db",
                "Add a prefix to table names?": "No",
                "Create a CellProfiler Analyst properties file?": "Yes",
                "Select the plate type": "96",
                "Select the plate metadata": "Plate",
                "Select the well metadata": "Well",
                "Select the classification type": "Image",
                "Export measurements for all objects to the database?": "None",
                "Overwrite without warning?": "Data and schema",
            },
        ),
        ("ExportToSpreadsheet", {"Add a prefix to file names?": "No"}),
    ]
    # ExportToDatabase imports sqlite3 after MySQLdb alone, of which it then needs next to nothing.
    (folder / "MySQLdb").mkdir()
    (folder / "MySQLdb" / "__init__.py").write_text(MYSQL)
    (folder / "MySQLdb" / "cursors.py").write_text("SSCursor = object\n")
    process = run_pipeline(folder, modules)
    assert not process.returncode, process.stderr[-3000:]
    extract(open_plate(table), folder / "pass", PassSettings(tile_sizes=(32,)))
    export(folder / "pass")
    return Exported(folder / "pass" / "export", folder / "out")


def alike(ours: pd.DataFrame, theirs: pd.DataFrame) -> set[str]:
    """Compare the columns that both have; return their names."""
    both = set(ours) & set(theirs)
    for name in both:
        if "URL_" in name:  # file:///x, and file:/x, which is the same
            places = [[urlsplit(url).path for url in table[name]] for table in (ours, theirs)]
            assert places[0] == places[1]
        elif ours[name].dtype.kind == "f":
            np.testing.assert_allclose(ours[name], theirs[name], rtol=0, atol=1e-9)
        else:
            assert ours[name].tolist() == theirs[name].tolist(), name
    return both


def expected(prefix: str) -> set[str]:
    places = {"Metadata_Plate", "Metadata_Well", "Metadata_Site"}
    for channel in ("DNA", "GFP"):
        places |= {f"FileName_{channel}", f"PathName_{channel}", f"URL_{channel}"}
    return {"ImageNumber", *(f"{prefix}{name}" for name in places)}


def test_image_csv_is_alike(exported: Exported) -> None:
    ours, theirs = (pd.read_csv(folder / "Image.csv") for folder in exported)
    both = alike(ours, theirs)
    assert expected("") <= both
    assert len([name for name in both if name.startswith("PFTAS_")]) == 108


def test_per_image_is_alike(exported: Exported) -> None:
    both = alike(*exported.per_image())
    assert expected("Image_") <= both
    assert len([name for name in both if name.startswith("Image_PFTAS_")]) == 108


def test_properties_say_the_same_of_the_same_keys(exported: Exported) -> None:
    def read(file: Path) -> dict[str, list[str]]:
        lines = file.read_text(encoding="utf-8").splitlines()
        pairs = [line.partition("=") for line in lines if line.strip() and line[0] != "#"]
        return {key.strip(): value.replace(" ", "").split(",") for key, _, value in pairs}

    ours, theirs = (
        read(exported.ours / "analyst.properties"),
        read(exported.theirs / "analyst.properties"),
    )
    for key in (
        *("db_type", "image_table", "image_id", "plate_id", "well_id", "plate_type"),
        *("image_path_cols", "image_file_cols", "image_names", "image_channel_colors"),
        *("channels_per_image", "classification_type", "check_tables"),
    ):
        assert ours[key] == theirs[key], key
