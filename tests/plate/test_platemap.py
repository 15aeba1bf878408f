"""Plate maps: what is understood, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from stores import Written, noise, write

from hts_classify.errors import HTSError, HTSWarning, PlatemapError, UsageError
from hts_classify.plate import (
    Columns,
    Plate,
    find_platemap,
    open_plate,
    read_platemap,
    resolve_column,
)


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Plate:
    """A plate called `screen` with wells A01, A02 and B01."""
    folder = tmp_path_factory.mktemp("plate")
    field = [noise(1, 8, 8)]
    wells = {"A/2": field, "B/1": field, "A/1": field}
    return open_plate(write(folder / "screen.zarr", wells, Written()))


def read(plate: Plate, folder: Path, text: str, **settings: object) -> pd.DataFrame:
    path = folder / "map.csv"
    path.write_text(text, encoding="utf-8")
    return read_platemap(path, plate, **settings)  # type: ignore[arg-type]


VALID = {
    "any spelling of a well": "well,moa\na1,x\n A02 ,y\nB001,z\n",
    "any order of rows": "well,moa\nB1,z\nA2,y\nA1,x\n",
    "tabs": "well\tmoa\nA1\tx\nA2\ty\nB1\tz\n",
    "semicolons": "well;moa\nA1;x\nA2;y\nB1;z\n",
    "a byte order mark": "\ufeffwell,moa\nA1,x\nA2,y\nB1,z\n",
    "empty lines": "well,moa\n\nA1,x\n,\nA2,y\nB1,z\n\n",
    "rows that say the same twice": "well,moa\nA1,x\nA1,x\nA2,y\nB1,z\n",
    "JUMP's names": "well_position,MOA\nA01,x\nA02,y\nB01,z\n",
    "Cytomining's names": "Metadata_Well,Metadata_moa\nA01,x\nA02,y\nB01,z\n",
    "quotes and commas": '"well","moa"\nA01,"x"\nA02,y\nB01,z\n',
    "rows of other plates": "plate,well,moa\nscreen,A1,x\nscreen,A2,y\nscreen,B1,z\nnext,A1,q\n",
}


@pytest.mark.parametrize("text", VALID.values(), ids=VALID)
def test_a_map_is_understood(plate: Plate, tmp_path: Path, text: str) -> None:
    frame = read(plate, tmp_path, text, target="moa")
    assert list(frame["Metadata_Well"]) == ["A01", "A02", "B01"]
    assert list(frame["Metadata_Plate"]) == ["screen"] * 3
    assert list(frame[resolve_column(frame, "moa")]) == ["x", "y", "z"]
    assert list(frame.index) == [0, 1, 2]


INVALID = {
    "no wells": ("plate,moa\nscreen,x\n", PlatemapError, "no column of wells among plate, moa"),
    "empty": ("", PlatemapError, "cannot be read"),
    "ragged": ("well,moa\nA1,x,q\n", PlatemapError, "cannot be read"),
    "no well": ("well,moa\nA1,x\nA,y\n", PlatemapError, "line 3: 'A' is no well"),
    "a row without well": ("well,moa\nA1,x\n,y\n", PlatemapError, "line 3: no well"),
    "contradiction": (
        "well,moa,note\nA1,x,1\na01,y,2\n",
        PlatemapError,
        "well A01 comes 2 times, with moa 'x' and 'y'",
    ),
    "two columns alike": ("well,moa,moa\nA1,x,y\n", PlatemapError, "two columns are called 'moa'"),
    "another plate's wells": ("well,moa\nH1,x\nH2,y\n", PlatemapError, r"none of its wells \(H01"),
    "another plate": ("plate,well,moa\nq,A1,x\n", PlatemapError, "plate screen, only of q"),
    "no number": (
        "well,moa,dose\nA1,x,1\nA2,y,3 µM\n",
        PlatemapError,
        "well A02: dose '3 µM' is no number",
    ),
    "two columns of one name": (
        "moa,Metadata_moa,well\nx,y,A1\n",
        PlatemapError,
        "columns 'moa' and 'Metadata_moa' are both Metadata_moa; rename one of them",
    ),
    "two columns of wells": (
        "well,Metadata_Well,moa\nA1,A2,x\n",
        PlatemapError,
        "columns 'well' and 'Metadata_Well' are both Metadata_Well; choose one with --well-column",
    ),
    "two columns of plates": (
        "plate,Metadata_Plate,well,moa\nscreen,p,A1,x\n",
        PlatemapError,
        "columns 'plate' and 'Metadata_Plate' are both Metadata_Plate; rename one of them",
    ),
    "a merged cell of plates": (
        "barcode,well,moa\nscreen,A1,x\n,A2,y\n",
        PlatemapError,
        "line 3: no barcode for well A2; fill the column in every row",
    ),
    "a note below the table": (
        "plate,well,moa\nscreen,A1,x\n,,seen by me\n",
        PlatemapError,
        "line 3: no plate; fill",
    ),
    "no rows": ("well,moa\n", PlatemapError, r"map\.csv: has no rows; write a row for each well"),
    "only empty rows": ("well,moa\n,\n\n", PlatemapError, "has no rows"),
    "no target": ("well,drug\nA1,x\n", UsageError, "'moa' is not there; choose one of"),
    "empty target": ("well,moa\nA1,\nA2,NA\n", PlatemapError, "no well of plate screen has"),
}


@pytest.mark.parametrize(("text", "kind", "message"), INVALID.values(), ids=INVALID)
def test_a_map_is_refused(
    plate: Plate, tmp_path: Path, text: str, kind: type[HTSError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        read(plate, tmp_path, text, target="moa")


def test_columns_get_the_names_of_every_table(plate: Plate, tmp_path: Path) -> None:
    text = "Well,Drug,Dose,batch_id,control,Hill note\nA1,DMSO,0,b1,negcon,\nA2,q,1e-1,b2,,n\n"
    frame = read(plate, tmp_path, text, target="drug")
    assert list(frame.columns) == [
        "Metadata_Plate",
        "Metadata_Well",
        "Metadata_Compound",
        "Metadata_Concentration",
        "Metadata_Batch",
        "Metadata_ControlType",
        "Metadata_Hill note",
    ]
    assert frame["Metadata_Concentration"].tolist()[:2] == [0.0, 0.1]
    assert resolve_column(frame, "drug") == "Metadata_Compound"
    assert resolve_column(frame, "hill_note") == "Metadata_Hill note"


def test_wells_that_the_map_leaves_out_have_missing_values(plate: Plate, tmp_path: Path) -> None:
    frame = read(plate, tmp_path, "well,moa,dose\nB1,x,3\nA2,,\n", target="moa")
    assert list(frame["Metadata_Well"]) == ["A01", "A02", "B01"]
    assert list(frame["Metadata_moa"].isna()) == [True, True, False]
    assert frame["Metadata_Concentration"].dtype == "float64"


def test_wells_that_the_plate_lacks_are_told(plate: Plate, tmp_path: Path) -> None:
    with pytest.warns(HTSWarning, match="2 wells are not on plate screen: C01, C02"):
        frame = read(plate, tmp_path, "well,moa\nA1,x\nC1,y\nC2,y\n")
    assert len(frame) == 3


def test_the_user_names_columns(plate: Plate, tmp_path: Path) -> None:
    text = "position,well,treatment,compound,moa\nA1,q,a,1,x\nB1,r,b,2,y\n"
    columns = Columns(well="position", compound="treatment")
    frame = read(plate, tmp_path, text, columns=columns, target="treatment")
    assert list(frame["Metadata_Compound"].dropna()) == ["a", "b"]
    assert list(frame[resolve_column(frame, "treatment")].dropna()) == ["a", "b"]
    assert "Metadata_well" in frame
    with pytest.raises(UsageError, match=r"'dosis' is not there; choose one of: position, well"):
        read(plate, tmp_path, text, columns=Columns(concentration="dosis"))


def test_a_column_that_the_user_names_displaces_the_one_of_that_name(
    plate: Plate, tmp_path: Path
) -> None:
    text = "well,treatment,Compound,moa\nA1,a 1 µM,a,x\nB1,b 1 µM,b,y\n"
    columns = Columns(compound="treatment")
    frame = read(plate, tmp_path, text, columns=columns)
    assert list(frame.columns) == [f"Metadata_{n}" for n in ("Plate", "Well", "Compound", "moa")]
    assert list(frame["Metadata_Compound"].dropna()) == ["a 1 µM", "b 1 µM"]


@pytest.mark.parametrize("target", ["Compound", "compound"])
def test_a_displaced_column_can_still_be_the_target(
    plate: Plate, tmp_path: Path, target: str
) -> None:
    text = "well,treatment,Compound\nA1,a 1 µM,a\nB1,b 1 µM,b\n"
    frame = read(plate, tmp_path, text, columns=Columns(compound="treatment"), target=target)
    assert list(frame[resolve_column(frame, target)].dropna()) == ["a", "b"]
    assert list(frame["Metadata_Compound"].dropna()) == ["a 1 µM", "b 1 µM"]


def test_the_target_may_go_by_the_name_that_every_table_has(plate: Plate, tmp_path: Path) -> None:
    text = "well,treatment\nA1,a\nB1,b\n"
    frame = read(plate, tmp_path, text, columns=Columns(compound="treatment"), target="Compound")
    assert list(frame[resolve_column(frame, "Compound")].dropna()) == ["a", "b"]


def test_one_column_cannot_be_two(plate: Plate, tmp_path: Path) -> None:
    columns = Columns(well="well", batch="well")
    with pytest.raises(UsageError, match="'well' cannot be both --well-column and --batch-column"):
        read(plate, tmp_path, "well,moa\nA1,x\n", columns=columns)


def test_a_map_that_is_not_there_or_may_not_be_read(
    plate: Plate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PlatemapError, match=r"mpa\.csv: no such file; check the path"):
        read_platemap(tmp_path / "mpa.csv", plate)

    def refuse(*_args: object, **_settings: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "map.csv").write_text("well\nA1\n")
    monkeypatch.setattr(Path, "open", refuse)  # root may read everything
    with pytest.raises(PlatemapError, match="may not be read; change its permissions"):
        read_platemap(tmp_path / "map.csv", plate)


def test_a_column_is_found_in_any_case_but_never_guessed() -> None:
    frame = pd.DataFrame(columns=["Metadata_MoA", "Metadata_moa", "Metadata_Well"])
    assert resolve_column(frame, "MoA") == "Metadata_MoA"
    assert resolve_column(frame, "WELL") == "Metadata_Well"
    with pytest.raises(UsageError, match="'MOA' could be Metadata_MoA or Metadata_moa"):
        resolve_column(frame, "MOA")


@pytest.mark.parametrize(
    "name", ["s.ome.zarr.platemap.csv", "s.platemap.csv", "s.ome.zarr/platemap.csv"]
)
def test_a_map_is_found_beside_or_inside_its_plate(tmp_path: Path, name: str) -> None:
    (tmp_path / "s.ome.zarr").mkdir()
    assert find_platemap(tmp_path / "s.ome.zarr") is None
    (tmp_path / name).write_text("well\n")
    assert find_platemap(tmp_path / "s.ome.zarr") == tmp_path / name


def test_the_map_of_a_real_plate(shared_data: Path) -> None:
    plate = open_plate(shared_data / "bbbc013" / "plate_v04.ome.zarr", channels=("GFP", "DNA"))
    frame = read_platemap(shared_data / "bbbc013" / "platemap.csv", plate, target="phenotype")
    counts = frame["Metadata_phenotype"].value_counts(dropna=False).to_dict()
    assert counts.pop("cytoplasmic") == 16
    assert counts.pop("nuclear") == 8
    assert list(counts.values()) == [72]
    assert set(frame["Metadata_Compound"]) == {"wortmannin", "LY294002"}
