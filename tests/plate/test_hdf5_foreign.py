"""Other people's HDF5, by a pattern."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from stores import noise

from hts_classify.errors import FieldError, PlateError, UsageError
from hts_classify.plate.hdf5 import open_hdf5
from hts_classify.plate.layout import View
from hts_classify.plate.stored import StoredPlate


def write(path: Path, **datasets: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        for name, pixels in datasets.items():
            file[name] = pixels
    return path


def open_by(path: Path, pattern: str, **how: Any) -> StoredPlate:
    return open_hdf5(path, name="p", view=View(hdf5_path=pattern, **how))


@pytest.fixture
def wells(tmp_path: Path) -> Path:
    """Fields `/A01/9`, `/A01/10` and `/b3/1`, and something that is none."""
    fields = {name: noise(2, 16, 20, seed=n) for n, name in enumerate(["A01/9", "A01/10", "b3/1"])}
    return write(tmp_path / "p.h5", **fields, **{"readme/text": noise(3)})


def test_fields_are_found_and_keep_their_numbers(wells: Path) -> None:
    plate = open_by(wells, "/{well}/{field}")
    assert [str(field) for field in plate.fields] == [
        "well A01 field 9",
        "well A01 field 10",
        "well B03 field 1",
    ]
    np.testing.assert_array_equal(plate.read(plate.fields[1]), noise(2, 16, 20, seed=1))
    assert (plate.name, plate.channels) == ("p", ("Channel0", "Channel1"))
    assert "fields are at /{well}/{field}" in plate.notes


def test_a_dataset_a_channel(tmp_path: Path) -> None:
    stacks = {c: noise(3, 16, 20, seed=n) for n, c in enumerate(["DNA", "GFP"])}
    named = {f"img/{r}/7/field0/{c}": p for r in "1B" for c, p in stacks.items()}
    path = write(tmp_path / "p.h5", **named)
    plate = open_by(path, "/img/{row}/{column}/field{field}/{channel}:zyx")
    assert (plate.wells, plate.channels) == (("A07", "B07"), ("DNA", "GFP"))
    field = plate.fields[0]
    np.testing.assert_array_equal(plate.read(field, ["GFP"]), stacks["GFP"].max(axis=0)[None])
    np.testing.assert_array_equal(
        open_by(path, plate.view.hdf5_path, z="all").read(field), np.stack([*stacks.values()])
    )


def test_a_channel_that_a_field_lacks_is_named(tmp_path: Path) -> None:
    path = write(
        tmp_path / "p.h5",
        **{f"A1/{c}": noise(16, 20) for c in ("DNA", "GFP")},
        **{"A2/DNA": noise(16, 20)},
    )
    plate = open_by(path, "/{well}/{channel}")
    assert plate.read(plate.fields[0]).shape == (2, 16, 20)
    with pytest.raises(FieldError, match="well A02 field 1: channel GFP is missing"):
        plate.read(plate.fields[1])


def test_one_of_several_plates_is_chosen(tmp_path: Path) -> None:
    path = write(tmp_path / "p.h5", **{f"{p}/A1": noise(16, 20) for p in ("P1", "P2")})
    with pytest.raises(PlateError, match=r"holds 2 plates: P1, P2; choose one, as .*p.h5#P1"):
        open_by(path, "/{plate}/{well}")
    plate = open_by(Path(f"{path}#P2"), "/{plate}/{well}")
    assert (plate.name, plate.path) == ("P2", f"{path}#P2")


@pytest.mark.parametrize("pattern", ["/{field}", "/{well}/{site}", "/{well}:cqx", "/{well}/{well}"])
def test_a_pattern_that_says_nothing_is_refused(wells: Path, pattern: str) -> None:
    with pytest.raises(UsageError, match=r"use \{well\}, or \{row\} and \{column\}"):
        open_by(wells, pattern)


def test_a_pattern_that_does_not_fit_tells_what_there_is(wells: Path) -> None:
    with pytest.raises(PlateError, match=r"/ holds A01, b3, readme; try .* '/\{well\}/\{field\}'"):
        open_by(wells, "/images/{well}/{field}")
    with pytest.raises(PlateError, match="A01 holds 9, 10"):
        open_by(wells, "/{well}/field{field}")
    with pytest.raises(PlateError, match="A01 is a group of 9, 10"):
        open_by(
            write(wells.with_name("q.h5"), **{"A01/9": noise(2), "A01/10": noise(2)}), "/{well}"
        )


def test_axes_are_guessed_only_where_they_can_be(tmp_path: Path) -> None:
    path = write(tmp_path / "p.h5", A1=noise(12, 16, 20), A2=noise(2, 16, 20))
    plate = open_by(path, "/{well}")
    with pytest.raises(FieldError, match=r"\(12, 16, 20\) can be read in several ways; .*':zyx'"):
        plate.read(plate.fields[0])
    assert open_by(path, "/{well}:zyx").read(plate.fields[0]).shape == (1, 16, 20)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("A01/1", "/{well}/{field}"),
        ("data/C/12/f1/DNA", "/data/{row}/{column}/{field}/{channel}"),
        ("x/A01", "/x/{well}"),
    ],
)
def test_a_file_without_a_pattern_suggests_one_that_works(
    tmp_path: Path, name: str, pattern: str
) -> None:
    path = write(tmp_path / "p.h5", **{name: noise(16, 20)})
    with pytest.raises(PlateError, match="--hdf5-path") as refused:
        open_hdf5(path, name="p", view=View())
    assert f"'{pattern}'" in str(refused.value)
    assert len(open_by(path, pattern).fields) == 1


def test_a_file_without_wells_suggests_none(tmp_path: Path) -> None:
    path = write(tmp_path / "p.h5", table=noise(3))
    with pytest.raises(PlateError, match="write it in the layout"):
        open_hdf5(path, name="p", view=View())
