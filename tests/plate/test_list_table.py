"""Image lists as tables: what is read of them, and what is refused with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lists import save, table
from stores import noise

from hts_classify.errors import FieldError, HTSError, PlateError, UsageError
from hts_classify.plate import View, open_plate
from hts_classify.plate.list_table import is_image_list, read_list

PLAIN = "Metadata_Well,Metadata_Site,FileName_DNA"


@pytest.mark.parametrize(
    "well", ["B3", "B03", "b3", " b03 ", "B-03", "r02c03", "R2C3"], ids=lambda text: text.strip()
)
def test_a_well_in_any_spelling(tmp_path: Path, well: str) -> None:
    save(tmp_path / "x.tif", noise(16, 20))
    assert open_plate(table(tmp_path, f"{well},1,x.tif", head=PLAIN)).wells == ("B03",)


@pytest.mark.parametrize("place", ["B,3", "b,03", "2,3", "02,3"])
def test_a_well_as_row_and_column(tmp_path: Path, place: str) -> None:
    save(tmp_path / "x.tif", noise(16, 20))
    head = "Metadata_Row,Metadata_Col,FileName_DNA"
    assert open_plate(table(tmp_path, f"{place},x.tif", head=head)).wells == ("B03",)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_as_excel_saves_it(tmp_path: Path, encoding: str, separator: str) -> None:
    pixels = save(tmp_path / "Bilder für A, B" / "x y.tif", noise(16, 20))
    head = separator.join(["Metadata_Well", " PathName_DNA", "FileName_DNA "])
    row = separator.join(["A1", '"Bilder für A, B"', "x y.tif"])
    path = tmp_path / "load_data.csv"
    path.write_text(f"{head}\r\n{row}\r\n{separator * 2}\r\n", encoding=encoding, newline="")
    assert is_image_list(path)
    plate = open_plate(path)
    np.testing.assert_array_equal(plate.read(plate.fields[0])[0], pixels)


def test_relative_paths_begin_where_the_view_says(tmp_path: Path) -> None:
    pixels = save(tmp_path / "images" / "run 1" / "x.tif", noise(16, 20))
    (tmp_path / "tables").mkdir()
    path = table(
        tmp_path / "tables", "A1,run 1,x.tif", head="Metadata_Well,PathName_DNA,FileName_DNA"
    )
    with pytest.raises(PlateError, match=r"line 2: channel DNA: .*tables/run 1/x.tif is missing"):
        open_plate(path)
    plate = open_plate(path, view=View(folder=str(tmp_path / "images")))
    np.testing.assert_array_equal(plate.read(plate.fields[0])[0], pixels)
    assert View.from_json({"folder": "x", "illumination": None}) == View(
        folder="x", illumination=None
    )


@pytest.mark.parametrize(
    ("head", "rows", "message"),
    [
        (f"{PLAIN},PathName_GFP", ["A1,1,x.tif,img"], "PathName_GFP without FileName_GFP"),
        (f"{PLAIN},Frame_GFP", ["A1,1,x.tif,0"], "Frame_GFP without FileName_GFP; add"),
        (f"{PLAIN},FileName_DNA", ["A1,1,x.tif,x.tif"], "two columns are called FileName_DNA"),
        ("Metadata_Site,FileName_DNA", ["1,x.tif"], "no column of wells among Metadata_Site"),
        ("Metadata_Row,FileName_DNA", ["1,x.tif"], "no column of wells among Metadata_Row"),
        (PLAIN, [], "below its header are no rows"),
        (PLAIN, [",,", ",,"], "below its header are no rows"),
        (PLAIN, ["A1,1,x.tif", "A2,1,a,b.tif"], "line 3 has 4 cells, the header 3; put cells"),
        (PLAIN, ["A1,1,x.tif", ",2,x.tif"], "line 3: '' is no well"),
        (PLAIN, ["A1,1,x.tif", "", "A1,1,x.tif"], "line 4: a second row .* line 2 is the first"),
        (PLAIN, ["A1,1,omero:iid=17"], "line 2: channel DNA: omero:iid=17 is in OMERO; export"),
        (PLAIN, ["A1,1,x.tif", "A2,1,http:x.tif"], "line 3: channel DNA: http:x.tif is no URL"),
        (PLAIN, ["A1,1,nosuch://host/x.tif"], "nosuch://host.* is no URL that opens"),
        (PLAIN, ["A1,1,"], "line 2: names no files"),
        pytest.param(
            PLAIN,
            ["A1,1,D:\\data\\x.tif"],
            "line 2: channel DNA: D:.*is a path of Windows",
            marks=pytest.mark.skipif("os.name == 'nt'"),
        ),
    ],
)
def test_a_bad_table_is_refused_with_its_line(
    tmp_path: Path, head: str, rows: list[str], message: str
) -> None:
    save(tmp_path / "x.tif", noise(16, 20))
    path = table(tmp_path, *rows, head=head)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(HTSError, match=message) as raised:
        open_plate(path)
    assert str(path) in str(raised.value)
    assert sorted(tmp_path.iterdir()) == before


def test_a_table_in_another_encoding_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "load_data.csv"
    path.write_bytes(f"{PLAIN}\nA1,1,x.tif\nA2,1,für.tif\n".encode("cp1252"))
    assert is_image_list(path)
    with pytest.raises(PlateError, match=r"line 3 is no text in UTF-8 \(byte 0xfc\); save it as"):
        open_plate(path)


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    rows = ["", '"A\n1",1,x.tif', ",,", "A2,1,x.tif"]
    assert [line for line, _ in read_list(table(tmp_path, *rows, head=PLAIN)).rows] == [4, 6]


def test_an_empty_file_is_no_image_list(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"")
    assert not is_image_list(tmp_path / "x.csv")
    with pytest.raises(PlateError, match="neither HDF5 nor an image list"):
        open_plate(tmp_path / "x.csv")


def test_a_list_has_no_levels(tmp_path: Path) -> None:
    save(tmp_path / "x.tif", noise(16, 20))
    with pytest.raises(UsageError, match="no level 2; images of a list have full resolution"):
        open_plate(table(tmp_path, "A1,1,x.tif", head=PLAIN), view=View(level=2))


def test_a_cell_without_a_file_is_named_with_its_line(tmp_path: Path) -> None:
    save(tmp_path / "x.tif", noise(16, 20))
    rows = ["A1,1,x.tif,x.tif", "A2,1,x.tif,"]
    plate = open_plate(table(tmp_path, *rows, head=f"{PLAIN},FileName_GFP"))
    with pytest.raises(
        FieldError, match="channel GFP: line 3: file that the row should name is missing"
    ):
        plate.read(plate.fields[1])


def test_missing_files_are_named_with_their_lines(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        save(tmp_path / f"x{number}.tif", noise(16, 20))
    rows = ["A1,1,x1.tif,x1.tif", "A1,2,x2.tif,gone.tif", "A2,1,x3.tif,x3.tif"]
    plate = open_plate(table(tmp_path, *rows, head=f"{PLAIN},FileName_GFP"))
    (tmp_path / "x3.tif").unlink()  # after the plate was opened
    reasons = [missing.reason for missing in plate.info().missing]
    assert [reason.replace(str(tmp_path), "") for reason in reasons] == [
        "line 3: file /gone.tif is missing (channel GFP)",
        "line 4: file /x3.tif is missing (channel DNA, GFP)",
    ]


def test_a_table_without_wells_says_so_before_anything_is_written(tmp_path: Path) -> None:
    from hts_classify.commands import main

    path = table(tmp_path, "1,x.tif", head="Metadata_Site,FileName_DNA")
    assert main(["extract", str(path)]) == 1
    assert [held.name for held in tmp_path.iterdir()] == ["load_data.csv"]
