"""Illumination functions that an image list names in columns of their own."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lists import save, table
from stores import noise

from hts_classify.errors import DataError, FieldError, PlateError
from hts_classify.plate import View, open_plate

SHAPE = (16, 20)
HEAD = "Metadata_Well,FileName_OrigDNA,FileName_OrigGFP,PathName_IllumDNA,FileName_IllumDNA"


def function(path: Path, factor: float = 1.0) -> np.ndarray:
    values = factor * np.linspace(0.5, 2, SHAPE[0] * SHAPE[1], dtype="float32").reshape(SHAPE)
    path.parent.mkdir(exist_ok=True)
    np.save(path, values)
    return values


def divided(pixels: np.ndarray, function: np.ndarray) -> np.ndarray:
    return np.rint(pixels / function.astype("float64")).astype(pixels.dtype)


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """Wells A1, A2 and A3, the last with a function of its own."""
    for number in (1, 2, 3):
        save(tmp_path / f"d{number}.tif", noise(*SHAPE, seed=number))
        save(tmp_path / f"g{number}.tif", noise(*SHAPE, seed=10 + number))
    function(tmp_path / "illum" / "P1_IllumDNA.npy")
    function(tmp_path / "illum" / "P2_IllumDNA.npy", 2)
    rows = [f"A{n},d{n}.tif,g{n}.tif,illum,P{1 + (n == 3)}_IllumDNA.npy" for n in (1, 2, 3)]
    return table(tmp_path, *rows, head=HEAD)


def test_functions_are_no_channels_and_are_applied(listed: Path) -> None:
    plate = pickle.loads(pickle.dumps(open_plate(listed)))
    assert plate.channels == ("OrigDNA", "OrigGFP")
    for number, field in enumerate(plate.fields, start=1):
        own = np.load(listed.parent / "illum" / f"P{1 + (number == 3)}_IllumDNA.npy")
        dna, gfp = plate.read(field)
        raw = noise(*SHAPE, seed=number)
        assert (dna != raw).any()
        np.testing.assert_array_equal(dna, divided(raw, own))
        np.testing.assert_array_equal(gfp, noise(*SHAPE, seed=10 + number))
        np.testing.assert_array_equal(plate.read(field, ["OrigGFP", "OrigDNA"])[1], dna)


def test_it_says_what_it_applied(listed: Path) -> None:
    plate = open_plate(listed)
    said = "illumination corrected as the image list says: OrigDNA by P1_IllumDNA.npy, "
    assert [note.startswith(said) for note in plate.info().notes] == [True]
    assert plate.view.summary()["illumination"] == ["OrigDNA"]
    again = open_plate(listed, view=plate.view)  # as a pass that goes on opens it
    assert again.view == plate.view
    assert [again.stamp(f) for f in again.fields] == [plate.stamp(f) for f in plate.fields]


def test_none_reads_the_images_as_they_are(listed: Path) -> None:
    plate = open_plate(listed, view=View(illumination=None))
    np.testing.assert_array_equal(plate.read(plate.fields[0])[0], noise(*SHAPE, seed=1))
    assert plate.view.summary()["illumination"] == []
    assert plate.notes == ("the image list's own illumination functions are not applied",)


def test_a_file_that_is_named_takes_their_place(listed: Path) -> None:
    own = function(listed.parent / "own.npy", 3)
    view = View(illumination=(("OrigGFP", str(listed.parent / "own.npy")),))
    plate = open_plate(listed, view=view)
    dna, gfp = plate.read(plate.fields[0])
    np.testing.assert_array_equal(dna, noise(*SHAPE, seed=1))
    np.testing.assert_array_equal(gfp, divided(noise(*SHAPE, seed=11), own))
    assert "own illumination functions are not applied" in plate.notes[0]


def test_functions_of_channels_that_nobody_looks_at_are_left_alone(listed: Path) -> None:
    for file in (listed.parent / "illum").iterdir():
        file.unlink()
    plate = open_plate(listed, view=View(use=("OrigGFP",)))
    np.testing.assert_array_equal(plate.read(plate.fields[0])[0], noise(*SHAPE, seed=11))


def test_a_stamp_follows_the_function_of_its_row(listed: Path) -> None:
    before = [open_plate(listed).stamp(field) for field in open_plate(listed).fields]
    held = open_plate(listed)
    function(listed.parent / "illum" / "P2_IllumDNA.npy", 4)
    plate = open_plate(listed)
    assert [plate.stamp(f) == b for f, b in zip(plate.fields, before, strict=True)] == [
        True,
        True,
        False,
    ]
    with pytest.raises(
        FieldError, match=r"P2_IllumDNA\.npy: has changed since the plate was opened"
    ):
        held.read(held.fields[2])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda file: file.unlink(), "is missing"),
        (lambda file: np.save(file, np.zeros(SHAPE)), "320 of its values are not above 0"),
        (lambda file: np.save(file, np.ones((3, 4))), r"has the shape \(3, 4\)"),
        (lambda file: np.save(file, np.ones(SHAPE, int)), "holds int64, not floats"),
        (lambda file: file.write_bytes(b"not an array"), r"is no \.npy array"),
    ],
)
def test_a_bad_function_loses_the_fields_of_its_rows(
    listed: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(listed.parent / "illum" / "P2_IllumDNA.npy")
    plate = open_plate(listed)
    assert plate.read(plate.fields[1]).any()
    with pytest.raises(
        FieldError,
        match=rf"A03 field 1 channel OrigDNA: line 4: .*P2_IllumDNA.npy {message}.*--illum",
    ):
        plate.read(plate.fields[2])
    assert plate.read(plate.fields[2], ["OrigGFP"]).any()
    (missing,) = plate.info().missing
    assert (missing.well, missing.reason.startswith("line 4: illumination function")) == (
        "A03",
        True,
    )
    assert "(channel OrigDNA)" in missing.reason


def test_a_plate_without_any_function_is_refused_with_the_line(listed: Path) -> None:
    for file in (listed.parent / "illum").iterdir():
        file.unlink()
    with pytest.raises(DataError, match=r"channel OrigDNA, line 2: .*P1_IllumDNA.npy is missing"):
        open_plate(listed)


def test_a_row_without_a_function_is_not_left_uncorrected(listed: Path) -> None:
    lines = listed.read_text().splitlines()
    lines[2] = "A2,d2.tif,g2.tif,,"
    listed.write_text("\n".join(lines))
    plate = open_plate(listed)
    with pytest.raises(FieldError, match=r"A02.*line 3: names no illumination function"):
        plate.read(plate.fields[1])


@pytest.mark.parametrize(
    ("channel", "columns"),
    [
        ("DNA", "FileName_IllumDNA"),
        ("DNA", "Image_URL_IllumDNA"),
        ("OrigDNA", "FileName_IllumOrigDNA"),
        ("DNA", "FileName_DNA_Illum"),
        ("Cycle01_OrigDAPI", "FileName_Cycle01_IllumDAPI"),
        ("dna", "FileName_Illum_DNA"),
    ],
)
def test_functions_are_known_by_their_columns(tmp_path: Path, channel: str, columns: str) -> None:
    save(tmp_path / "x.tif", noise(*SHAPE))
    own = function(tmp_path / "f.npy")
    path = table(tmp_path, "A1,x.tif,f.npy", head=f"Metadata_Well,FileName_{channel},{columns}")
    plate = open_plate(path)
    assert plate.channels == (channel,)
    np.testing.assert_array_equal(plate.read(plate.fields[0])[0], divided(noise(*SHAPE), own))


def test_a_function_without_its_channel_is_said(tmp_path: Path) -> None:
    save(tmp_path / "x.tif", noise(*SHAPE))
    function(tmp_path / "f.npy")
    head = "Metadata_Well,FileName_DNA,FileName_IllumRNA"
    plate = open_plate(table(tmp_path, "A1,x.tif,f.npy", head=head))
    assert plate.channels == ("DNA",)
    assert plate.notes == ("illumination functions without a file or a channel: IllumRNA",)


def test_images_that_are_called_after_illumination_stay_images(tmp_path: Path) -> None:
    pixels = save(tmp_path / "x.tif", noise(*SHAPE))
    plate = open_plate(table(tmp_path, "A1,x.tif", head="Metadata_Well,FileName_IllumDNA"))
    assert plate.channels == ("IllumDNA",)
    np.testing.assert_array_equal(plate.read(plate.fields[0])[0], pixels)


def test_a_function_that_is_no_npy_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "x.tif", noise(*SHAPE))
    head = "Metadata_Well,FileName_OrigDNA,FileName_IllumDNA"
    with pytest.raises(PlateError, match=r"IllumDNA, .* of OrigDNA, lists x.tif, .*numpy\.save"):
        open_plate(table(tmp_path, "A1,x.tif,x.tif", head=head))


def test_a_column_of_functions_without_a_file_is_left_out_and_said(tmp_path: Path) -> None:
    pixels = save(tmp_path / "x.tif", noise(*SHAPE))
    head = "Metadata_Well,FileName_OrigDNA,FileName_IllumDNA"
    plate = open_plate(table(tmp_path, "A1,x.tif,", head=head))
    assert plate.notes == ("illumination functions without a file or a channel: IllumDNA",)
    np.testing.assert_array_equal(plate.read(plate.fields[0])[0], pixels)


def test_functions_behind_a_url(listed: Path, s3: Callable[[Path], str]) -> None:
    local = open_plate(listed)
    url = s3(listed.parent / "illum")
    listed.write_text(listed.read_text().replace(",illum,", f",{url},"))
    plate = open_plate(listed)
    for field in local.fields:
        np.testing.assert_array_equal(plate.read(field), local.read(field))
