"""Plates as a table of image files."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo
from stores import noise

from hts_classify.errors import FieldError, PlateError
from hts_classify.plate.image_list import open_image_list
from hts_classify.plate.layout import View
from hts_classify.plate.list_table import is_image_list, plate_names
from hts_classify.plate.stored import StoredPlate

PLAIN = "Metadata_Well,Metadata_Site,FileName_DNA,FileName_GFP"


def table(folder: Path, *rows: str, head: str = PLAIN) -> Path:
    path = folder / "load_data.csv"
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def open_list(path: Path | str, **how: Any) -> StoredPlate:
    return open_image_list(path, name="p", view=View(**how))


def save(path: Path, *pages: np.ndarray, **how: Any) -> np.ndarray:
    first, *rest = map(Pillow.fromarray, pages)
    more = {"save_all": True, "append_images": rest} if rest else {}
    first.save(path, **more, **how)
    return np.stack(pages)


def test_a_real_plate_has_the_pixels_of_its_ome_zarr(shared_data: Path) -> None:
    zarr = pytest.importorskip("zarr")
    folder = shared_data / "bbbc013"
    plate = pickle.loads(pickle.dumps(open_list(folder / "load_data.csv")))
    assert (plate.name, plate.channels, len(plate.fields)) == ("BBBC013", ("GFP", "DNA"), 24)
    group = zarr.open_group(folder / "controls_v05.ome.zarr", mode="r")
    for field in plate.fields:
        image = group[f"{field.well[0]}/{int(field.well[1:])}/0"]
        level = image.attrs["ome"]["multiscales"][0]["datasets"][0]["path"]
        np.testing.assert_array_equal(plate.read(field), np.squeeze(image[level][:]))
    assert plate.info().missing == ()


def test_real_pixels_of_16_bits_are_read_as_numbers(shared_data: Path, tmp_path: Path) -> None:
    files = sorted((shared_data / "jump_16bit").glob("*.tiff"))
    head = "Metadata_Row,Metadata_Col," + ",".join(f"Image_URL_{n}" for n in range(len(files)))
    plate = open_list(table(tmp_path, "1,1," + ",".join(f.as_uri() for f in files), head=head))
    pixels = plate.read(plate.fields[0])
    assert (plate.wells, pixels.dtype, pixels.shape) == (("A01",), "uint16", (3, 1080, 1080))
    assert (pixels.max(axis=(1, 2)) > 255).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("how", ["png", "tif", "lzw", "deflate", "big"])
def test_files_of_every_kind_are_read(tmp_path: Path, how: str, dtype: str) -> None:
    pixels = noise(16, 20, dtype=dtype)
    if dtype == "uint16":
        pixels *= 200
    (tmp_path / "img").mkdir()
    name = tmp_path / "img" / ("x.png" if how == "png" else "x.tif")
    kinds = {"lzw": {"compression": "tiff_lzw"}, "deflate": {"compression": "tiff_adobe_deflate"}}
    save(name, pixels, **({"big_tiff": True} if how == "big" else kinds.get(how, {})))
    head = "Image_Metadata_Well,Image_PathName_DNA,Image_FileName_DNA"
    for folder in ("img", str(tmp_path / "img"), ".\\\\img"):
        plate = open_list(table(tmp_path, f"b3,{folder},{name.name}", head=head))
        read = plate.read(plate.fields[0])
        assert read.dtype == dtype
        np.testing.assert_array_equal(read[0], pixels)


def test_pages_are_planes(tmp_path: Path) -> None:
    dna = save(tmp_path / "d.tif", *noise(3, 16, 20))
    gfp = save(tmp_path / "g.tif", *noise(3, 16, 20, seed=1))
    plate = open_list(table(tmp_path, "A1,1,d.tif,g.tif"))
    assert plate.notes == ("3 planes: their maximum projection",)
    np.testing.assert_array_equal(plate.read(plate.fields[0]), [dna.max(axis=0), gfp.max(axis=0)])
    second = open_list(plate.path, z=1)
    np.testing.assert_array_equal(second.read(second.fields[0], ["GFP"]), gfp[1:2])
    volumes = open_list(plate.path, z="all")
    np.testing.assert_array_equal(volumes.read(volumes.fields[0]), [dna, gfp])


def test_frames_choose_pages(tmp_path: Path) -> None:
    pages = save(tmp_path / "d.tif", *noise(3, 16, 20))
    head = "Metadata_Well,FileName_DNA,Frame_DNA,FileName_GFP,Frame_GFP"
    plate = open_list(table(tmp_path, "A1,d.tif,2,d.tif,0", "A2,d.tif,3,d.tif,0", head=head))
    np.testing.assert_array_equal(plate.read(plate.fields[0]), pages[[2, 0]])
    with pytest.raises(FieldError, match=r"A02.*channel DNA: .*d.tif has no page 3: it has 3"):
        plate.read(plate.fields[1])


def test_rows_may_count_times_and_planes(tmp_path: Path) -> None:
    pixels = {(t, z): noise(16, 20, seed=10 * t + z) for t in (1, 2) for z in (1, 2, 10)}
    for (t, z), plane in pixels.items():
        save(tmp_path / f"t{t}z{z}.tif", plane)
    rows = [f"A1,1,{t},{z},t{t}z{z}.tif" for t, z in sorted(pixels, reverse=True)]
    head = "Metadata_Well,Metadata_Site,Metadata_T,metadata_z,FileName_DNA"
    plate = open_list(table(tmp_path, *rows, head=head), time="all", z="all")
    assert [field.timepoint for field in plate.fields] == [0, 1]
    np.testing.assert_array_equal(
        plate.read(plate.fields[1])[0], [pixels[2, z] for z in (1, 2, 10)]
    )
    plate = open_list(table(tmp_path, *rows[1:], head=head), time="all", z="all")
    assert plate.read(plate.fields[0]).shape == (1, 3, 16, 20)
    with pytest.raises(FieldError, match=r"A01 field 1 timepoint 1 channel DNA.*without a row"):
        plate.read(plate.fields[1])


@pytest.mark.parametrize(
    ("description", "planes", "times"),
    [
        ("ImageJ=1.54f\nimages=6\nslices=3\nframes=2\n", 3, 2),
        ('<OME><Pixels DimensionOrder="XYTZC" SizeC="1" SizeT="3" SizeZ="2"/></OME>', 2, 3),
    ],
)
def test_pages_are_what_the_file_says(
    tmp_path: Path, description: str, planes: int, times: int
) -> None:
    pages = save(tmp_path / "d.tif", *noise(6, 16, 20), tiffinfo={270: description})
    plate = open_list(
        table(tmp_path, "A1,d.tif", head="Metadata_Well,FileName_DNA"), time="all", z="all"
    )
    order = pages.reshape(2, 3, 16, 20)
    order = order if planes == 3 else order.swapaxes(0, 1)
    assert len(plate.fields) == times
    np.testing.assert_array_equal(plate.read(plate.fields[1])[0], order[1])


def test_channels_in_one_file_want_frames(tmp_path: Path) -> None:
    said = "ImageJ=1.54f\nimages=2\nchannels=2\n"
    save(tmp_path / "d.tif", *noise(2, 16, 20), tiffinfo={270: said})
    with pytest.raises(PlateError, match=r"2 pages: 2 channels.*a column Frame_<channel>"):
        open_list(table(tmp_path, "A1,1,d.tif,d.tif"))


def test_a_missing_file_is_missed_in_its_channel_alone(tmp_path: Path) -> None:
    pixels = save(tmp_path / "x.tif", noise(16, 20))
    plate = open_list(table(tmp_path, "A1,1,x.tif,x.tif", "A1,2,x.tif,y.tif", "A2,1,y.tif,y.tif"))
    half, none = plate.fields[1:]
    with pytest.raises(FieldError, match=r"field 2 channel GFP: line 3: file .*y.tif is missing"):
        plate.read(half)
    np.testing.assert_array_equal(plate.read(half, ["DNA"]), pixels)
    with pytest.raises(
        FieldError, match=r"well A02 field 1: line 4: channel DNA: .*y.tif is missing"
    ):
        plate.read(none)
    assert [(m.well, m.site) for m in plate.info().missing] == [("A01", 2), ("A02", 1)]


def _rgb(path: Path) -> None:
    save(path, noise(16, 20, 3, dtype="uint8"))


def _floats(path: Path) -> None:
    save(path, noise(16, 20).astype(np.float32))


def _truncated(path: Path) -> None:
    save(path, noise(160, 200))
    path.write_bytes(path.read_bytes()[:2000])


def _text(path: Path) -> None:
    path.write_text("no image")


def _other(path: Path) -> None:
    save(path, noise(16, 24))


def _white(path: Path) -> None:
    save(path, noise(16, 20, dtype="uint8"), tiffinfo={262: 0})


def _colours(path: Path) -> None:
    image = Pillow.fromarray(noise(16, 20, dtype="uint8"))
    image.putpalette([(17 * n) % 256 for n in range(768)])
    image.save(path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_rgb, "is RGB, not 8 or 16 bits of grey"),
        (_floats, "is F, not 8 or 16 bits of grey"),
        (_text, "is no TIFF or PNG"),
        (_other, "has 16×24 uint16, others of the field 16×20 uint16"),
        (_white, "stores white as 0"),
        (_colours, "palette of colours"),
        (_truncated, "GFP.*truncated|GFP.*does not decode|GFP.*damaged"),
    ],
)
def test_a_file_that_is_no_field_fails_alone(tmp_path: Path, spoil: Any, message: str) -> None:
    save(tmp_path / "x.tif", noise(16, 20))
    if spoil is _truncated:
        save(tmp_path / "x.tif", noise(160, 200))
    spoil(tmp_path / "bad.tif")
    plate = open_list(table(tmp_path, "A1,1,x.tif,bad.tif", "A2,1,x.tif,x.tif"))
    with pytest.raises(FieldError, match=f"well A01 field 1.*channel GFP.*{message}"):
        plate.read(plate.fields[0])
    assert plate.read(plate.fields[1]).any()


def test_an_image_that_inflates_too_far_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "x.png", noise(16, 20))
    bomb = Pillow.new("L", (20_000, 20_000))
    bomb.save(tmp_path / "bomb.png", pnginfo=PngInfo())
    head = "Metadata_Well,FileName_DNA"
    plate = open_list(table(tmp_path, "A1,bomb.png", "A2,x.png", head=head))
    with pytest.raises(FieldError, match=r"bomb.png .*decompression bomb"):
        plate.read(plate.fields[0])


def test_a_stamp_follows_its_own_files(tmp_path: Path) -> None:
    for name in "xyz":
        save(tmp_path / f"{name}.tif", noise(16, 20))
    plate = open_list(table(tmp_path, "A1,1,x.tif,y.tif", "A2,1,z.tif,z.tif", "A3,1,x.tif,q.tif"))
    before = [plate.stamp(field) for field in plate.fields]
    assert len(set(before)) == 3
    save(tmp_path / "y.tif", noise(16, 20, seed=1), compression="tiff_lzw")
    save(tmp_path / "q.tif", noise(16, 20))
    after = [plate.stamp(field) for field in plate.fields]
    assert [a == b for a, b in zip(after, before, strict=True)] == [False, True, False]


def test_one_of_several_plates_is_chosen(tmp_path: Path) -> None:
    save(tmp_path / "x.tif", noise(16, 20))
    head = "Metadata_Plate,Metadata_Well,FileName_DNA"
    path = table(tmp_path, "P2,A1,x.tif", "P10,A2,x.tif", head=head)
    assert plate_names(path) == ("P2", "P10")
    with pytest.raises(PlateError, match=r"holds 2 plates: P2, P10; choose one, as .*csv#P2"):
        open_list(path)
    with pytest.raises(PlateError, match="no plate 'P3'"):
        open_list(f"{path}#P3")
    plate = open_list(f"{path}#P10")
    assert (plate.name, plate.wells, plate.path) == ("P10", ("A02",), f"{path}#P10")


@pytest.mark.parametrize(
    ("head", "rows", "message"),
    [
        ("Well,Compound", ["A1,DMSO"], "names no image files"),
        (PLAIN, [], "names no image files"),
        ("Metadata_Site,FileName_DNA", ["1,x.tif"], "no column of wells among Metadata_Site"),
        (PLAIN, ["A1,1,x.tif,x.tif", "A1,1,x.tif,x.tif"], "line 3: a second row for well A01"),
        (PLAIN, ["A1,1,x.tif,x.tif", "foo,1,x.tif,x.tif"], "line 3: 'foo' is no well"),
        ("Well,FileName_DNA,Frame_DNA", ["A1,x.tif,-1"], "line 2: Frame_DNA '-1'"),
        ("Well,FileName_DNA,Series_DNA", ["A1,x.lif,3"], "line 2: Series_DNA 3"),
        ("Well,FileName_DNA", ["A1,gone.tif"], "none of its fields can be opened"),
    ],
)
def test_a_table_that_is_no_plate_is_refused(
    tmp_path: Path, head: str, rows: list[str], message: str
) -> None:
    save(tmp_path / "x.tif", noise(16, 20))
    with pytest.raises(PlateError, match=message):
        open_list(table(tmp_path, *rows, head=head))


def test_an_image_list_is_told_from_a_plate_map(tmp_path: Path, shared_data: Path) -> None:
    assert is_image_list(shared_data / "bbbc013" / "load_data.csv")
    assert not is_image_list(shared_data / "bbbc013" / "platemap.csv")
    binary = tmp_path / "x.csv"
    binary.write_bytes(b"\xff\xfe\x00\x81")
    assert not is_image_list(binary)
