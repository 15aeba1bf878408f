"""`Metadata_` columns of image lists: what a plate says of its fields, and a list as plate map."""

from __future__ import annotations

import pickle
from pathlib import Path

import pandas as pd
import pytest
from lists import save, table
from stores import noise

from hts_classify.errors import PlatemapError
from hts_classify.plate import (
    Columns,
    View,
    contradictions,
    find_platemap,
    listed_wells,
    open_plate,
    open_plates,
    read_platemap,
)

HEAD = "Metadata_Plate,Metadata_Well,Metadata_Site,Metadata_moa,Metadata_broad_sample,Metadata_X,"
ROWS = (
    "P1,a1,1,DMSO,BRD-1,0.5,x.tif",
    "P1,A01,2,DMSO,BRD-1,0.7,x.tif",
    "P1,A2,1,taxol,,0.9,x.tif",
    "P2,A1,1,other,BRD-9,0.1,x.tif",
)


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    save(tmp_path / "x.tif", noise(16, 20))
    return table(tmp_path, *ROWS, head=HEAD + "FileName_DNA")


def test_every_other_column_is_said_of_its_field(listed: Path) -> None:
    plate = pickle.loads(pickle.dumps(open_plate(f"{listed}#P1")))
    assert [plate.metadata[field.path] for field in plate.fields] == [
        {"Metadata_moa": "DMSO", "Metadata_broad_sample": "BRD-1", "Metadata_X": "0.5"},
        {"Metadata_moa": "DMSO", "Metadata_broad_sample": "BRD-1", "Metadata_X": "0.7"},
        {"Metadata_moa": "taxol", "Metadata_broad_sample": "", "Metadata_X": "0.9"},
    ]


def test_columns_in_which_planes_of_a_field_differ_are_left_out_and_said(tmp_path: Path) -> None:
    save(tmp_path / "x.tif", noise(16, 20))
    head = "Metadata_Well,Metadata_Site,Metadata_Z,Metadata_PosZ,Image_Metadata_moa,FileName_DNA"
    rows = ["A1,1,1,0.5,m,x.tif", "A1,1,2,0.7,m,x.tif"]
    plate = open_plate(table(tmp_path, *rows, head=head))
    assert plate.metadata[plate.fields[0].path] == {"Metadata_moa": "m"}
    assert plate.notes == (
        "left out, for rows of one field differ in them: Metadata_PosZ",
        "2 planes: their maximum projection",
    )


def test_a_list_with_treatments_is_its_own_plate_map(listed: Path) -> None:
    plate = open_plate(f"{listed}#P1")
    assert find_platemap(plate.path) == listed
    wells = read_platemap(listed, plate, target="moa")
    assert wells.where(wells.notna(), None).to_dict("list") == {
        "Metadata_Plate": ["P1", "P1"],
        "Metadata_Well": ["A01", "A02"],
        "Metadata_Compound": ["BRD-1", None],
        "Metadata_moa": ["DMSO", "taxol"],
    }  # and not what differs from field to field
    pd.testing.assert_frame_equal(listed_wells(plate), wells)


def test_plates_of_one_name_have_what_their_own_lists_say(listed: Path) -> None:
    other = listed.with_name("other.csv")
    other.write_text(listed.read_text().replace("DMSO", "nocodazole"))
    plates = open_plates([f"{listed}#P1", f"{other}#P1", f"{listed}#P2"])
    assert [plate.name for plate in plates] == ["load_data.csv#P1", "other.csv#P1", "P2"]
    said = [read_platemap(str(plate.path).partition("#")[0], plate) for plate in plates]
    assert [list(wells["Metadata_moa"]) for wells in said] == [
        ["DMSO", "taxol"],
        ["nocodazole", "taxol"],
        ["other"],
    ]


def test_a_list_of_another_plate_is_no_map(listed: Path) -> None:
    other = listed.with_name("other.csv")
    other.write_text("\n".join([HEAD + "FileName_DNA", ROWS[3]]))
    with pytest.raises(PlatemapError, match="no row is of plate P1, only of P2"):
        read_platemap(other, open_plate(f"{listed}#P1"))


@pytest.mark.parametrize(
    "name",
    ["load_data.csv.platemap.csv", "load_data.platemap.csv", "load_data.csv#P1.platemap.csv"],
)
def test_a_map_beside_it_comes_first(listed: Path, name: str) -> None:
    beside = listed.with_name(name)
    beside.write_text("well,moa\nA1,DMSO\nA2,vinblastine\n")
    assert find_platemap(f"{listed}#P1") == beside
    plate = open_plate(f"{listed}#P1")
    assert contradictions(read_platemap(beside, plate), plate) == [
        "P1: Metadata_moa is the plate map's; the image list says otherwise of 1 well"
    ]


def test_a_map_that_agrees_is_not_spoken_of(listed: Path) -> None:
    plate = open_plate(f"{listed}#P1")
    own = listed.with_name("map.csv")
    own.write_text("well,moa,dose\nA1,DMSO,1\nA2,taxol,2\n")
    assert contradictions(read_platemap(own, plate), plate) == []


def test_places_alone_are_no_plate_map(tmp_path: Path) -> None:
    save(tmp_path / "x.tif", noise(16, 20))
    head = "Metadata_Barcode,Metadata_Well,Metadata_Row,Metadata_Col,Metadata_Site,FileName_DNA"
    path = table(tmp_path, "P,A1,1,1,1,x.tif", head=head)
    assert find_platemap(path) is None
    assert listed_wells(open_plate(path)) is None


def test_a_class_that_differs_within_a_well_is_refused(listed: Path) -> None:
    listed.write_text(listed.read_text().replace("A01,2,DMSO", "A01,2,taxol"))
    plate = open_plate(f"{listed}#P1")
    with pytest.raises(
        PlatemapError, match="well A01 comes 2 times, with Metadata_moa 'DMSO' and 'taxol'"
    ):
        read_platemap(listed, plate, target="moa")
    assert "Metadata_moa" not in read_platemap(listed, plate)


def test_columns_of_a_list_can_be_named(listed: Path) -> None:
    plate = open_plate(f"{listed}#P1", view=View())
    wells = read_platemap(listed, plate, columns=Columns(compound="Metadata_moa"))
    assert wells["Metadata_Compound"].tolist() == ["DMSO", "taxol"]
