"""OME-Zarr plates: from any writer, whole or damaged."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from PIL import Image
from stores import edit, noise

from hts_classify.errors import FieldError, HTSWarning, PlateError, UsageError
from hts_classify.plate import Field, Plate, open_plate

Make = Callable[..., Path]


def field_of(plate: Plate, well: str, site: int = 1) -> Field:
    return next(field for field in plate.fields if (field.well, field.site) == (well, site))


# Real plates ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "version", "wells", "fields", "shape", "channels"),
    [
        ("bbbc013/plate_v04.ome.zarr", "0.4", 96, 96, (640, 640), ("Channel0", "Channel1")),
        ("bbbc013/controls_v05.ome.zarr", "0.5", 24, 24, (640, 640), ("Channel0", "Channel1")),
        ("ome2024_hcs/hcs.zarr", "0.4", 4, 8, (64, 64), ("Name", "Channel 1", "Channel 2")),
    ],
)
def test_real_plates_open_whole(
    shared_data: Path,
    name: str,
    version: str,
    wells: int,
    fields: int,
    shape: tuple[int, int],
    channels: tuple[str, ...],
) -> None:
    plate = open_plate(shared_data / name)
    info = plate.info()
    assert (info.format, info.wells, info.fields) == (f"OME-Zarr {version}", wells, fields)
    assert (info.field_shape, info.dtype, info.channels) == (shape, "uint8", channels)
    assert info.missing == ()
    level = "s0" if "bbbc013" in name else "0"
    files = (p for p in (shared_data / name).glob(f"*/*/*/{level}/**/*") if p.is_file())
    stored = sum(
        p.stat().st_size for p in files if p.name not in (".zarray", ".zattrs", "zarr.json")
    )
    assert info.bytes_on_disk == stored
    for field in (plate.fields[0], plate.fields[-1]):
        assert plate.read(field).shape == (len(channels), *shape)


@pytest.mark.parametrize("name", ["plate_v04.ome.zarr", "controls_v05.ome.zarr"])
def test_pixels_are_those_of_the_original_tiffs(shared_data: Path, name: str) -> None:
    plate = open_plate(shared_data / "bbbc013" / name, channels=("GFP", "DNA"))
    pixels = plate.read(field_of(plate, "B12"))
    for channel in (0, 1):
        tiff = shared_data / f"bbbc013/tiff/Channel{channel + 1}-24-B-12.tif"
        with Image.open(tiff) as image:
            np.testing.assert_array_equal(pixels[channel], np.asarray(image))


# Shapes and spellings ---------------------------------------------------------------------


def test_wells_come_in_plate_order_and_fields_by_site(make: Make) -> None:
    plate = open_plate(make())
    assert plate.wells == ("A03", "B02", "B10")
    assert [(f.well, f.site) for f in plate.fields] == [
        ("A03", 1),
        ("B02", 1),
        ("B02", 2),
        ("B10", 1),
    ]
    assert plate.info().fields_per_well == (1, 2)
    assert plate.name == "plate"
    np.testing.assert_array_equal(plate.read(field_of(plate, "B02", 2)), noise(2, 16, 20, seed=2))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["yx", "cyx", "zyx", "tcyx", "czyx", "tczyx", "tyx", "zcyx"])
def test_every_order_of_axes_is_read_as_channel_y_x(make: Make, axes: str, version: str) -> None:
    channels = 3 if "c" in axes else 1
    length = {"c": channels, "y": 6, "x": 8, "t": 1, "z": 1}
    pixels = noise(*(length[axis] for axis in axes))
    plate = open_plate(make({"A/01": [pixels]}, axes=axes, version=version, level="s0"))
    read = plate.read(plate.fields[0])
    assert plate.wells == ("A01",)
    np.testing.assert_array_equal(read, pixels.reshape(channels, 6, 8))


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "u1"])
def test_pixels_come_in_native_byte_order(make: Make, dtype: str) -> None:
    pixels = noise(1, 8, 8, dtype=dtype)
    plate = open_plate(make({"A/1": [pixels]}))
    read = plate.read(plate.fields[0])
    assert read.dtype.isnative
    assert plate.dtype == read.dtype.name
    np.testing.assert_array_equal(read, pixels)


def test_chunks_of_any_shape_and_shards_are_joined(make: Make) -> None:
    pixels = noise(2, 17, 20)
    plain = open_plate(make({"A/1": [pixels]}, chunks=(2, 5, 7)))
    np.testing.assert_array_equal(plain.read(plain.fields[0]), pixels)
    sharded = open_plate(
        make({"A/1": [pixels]}, version="0.5", chunks=(1, 8, 8), shards=(2, 16, 16))
    )
    np.testing.assert_array_equal(sharded.read(sharded.fields[0]), pixels)
    assert sharded.info().missing == ()


def test_a_big_plate_names_every_field_in_order(tmp_path: Path, make: Make) -> None:
    one = make({"A/1": [noise(2, 8, 8)] * 9})
    attributes = json.loads((one / ".zattrs").read_text())
    places = [(row, column) for row in range(16) for column in range(24)]
    attributes["plate"] = {
        "rows": [{"name": chr(65 + row)} for row in range(16)],
        "columns": [{"name": str(column + 1)} for column in range(24)],
        "wells": [
            {"path": f"{chr(65 + row)}/{column + 1}", "rowIndex": row, "columnIndex": column}
            for row, column in places
        ],
    }
    (one / ".zattrs").write_text(json.dumps(attributes))
    well = tmp_path / "well"
    shutil.copytree(one / "A" / "1", well)
    for row, column in places[1:]:
        shutil.copytree(well, one / chr(65 + row) / str(column + 1))
    plate = open_plate(one)
    assert len(plate.fields) == 3456
    assert (plate.wells[0], plate.wells[1], plate.wells[-1]) == ("A01", "A02", "P24")
    assert [field.site for field in plate.fields[:9]] == list(range(1, 10))


def test_plate_is_pickled_and_read_from_many_threads(make: Make) -> None:
    plate = open_plate(make(version="0.5"))
    expected = [plate.read(field) for field in plate.fields]
    again = pickle.loads(pickle.dumps(plate))
    with ThreadPoolExecutor(8) as threads:
        read = list(threads.map(again.read, list(again.fields) * 10))
    for index, pixels in enumerate(read):
        np.testing.assert_array_equal(pixels, expected[index % len(expected)])


# Channels ---------------------------------------------------------------------------------


def test_channels_are_named_by_the_store_or_the_user(make: Make) -> None:
    path = make(labels=["DNA", "GFP"])
    assert open_plate(path).channels == ("DNA", "GFP")
    assert open_plate(path, channels=["Hoechst", "Tubulin"]).channels == ("Hoechst", "Tubulin")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [(["DNA", "dna"], ("DNA", "dna_2")), (["DNA", "GFP", "x"], ("Channel0", "Channel1"))],
)
def test_labels_that_do_not_serve_are_replaced_aloud(
    make: Make, labels: list[str], expected: tuple[str, ...]
) -> None:
    with pytest.warns(HTSWarning, match="channels="):
        assert open_plate(make(labels=labels)).channels == expected


def test_a_label_without_letters_gets_a_word(make: Make) -> None:
    assert open_plate(make(labels=["DNA", "—"])).channels == ("DNA", "Channel1")


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        (("GFP",), r"1 channel names \(GFP\) for 2 channels"),
        (("GFP", "g-f-p"), "comes twice"),
        (("GFP", "—"), "no letter"),
        ("GFP", "tuple"),
    ],
)
def test_names_that_do_not_fit_are_refused(make: Make, channels: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_plate(make(), channels=channels)


def test_a_field_with_channels_in_another_order_is_refused(make: Make) -> None:
    path = make(labels=["DNA", "GFP"])
    attributes = path / "B" / "10" / "0" / ".zattrs"
    content = attributes.read_text().replace("DNA", "?").replace("GFP", "DNA").replace("?", "GFP")
    attributes.write_text(content)
    plate = open_plate(path)
    with pytest.raises(FieldError, match="well B10 field 1: channels GFP, DNA"):
        plate.read(field_of(plate, "B10"))
    named = open_plate(path, channels=("a", "b"))
    assert named.read(field_of(named, "B10")).shape == (2, 16, 20)


# What is no plate -------------------------------------------------------------------------


def _not_json(path: Path) -> Path:
    (path / ".zattrs").write_text("{")
    return path


def _no_wells(path: Path) -> Path:
    attributes = json.loads((path / ".zattrs").read_text())
    attributes["plate"]["wells"] = []
    (path / ".zattrs").write_text(json.dumps(attributes))
    return path


def _version(path: Path) -> Path:
    attributes = json.loads((path / ".zattrs").read_text())
    attributes["plate"]["version"] = "0.2"
    (path / ".zattrs").write_text(json.dumps(attributes))
    return path


def _twice(path: Path) -> Path:
    attributes = json.loads((path / ".zattrs").read_text())
    attributes["plate"]["wells"].append({"path": "A/03", "rowIndex": 0, "columnIndex": 0})
    (path / ".zattrs").write_text(json.dumps(attributes))
    return path


def _empty_folder(path: Path) -> Path:
    shutil.rmtree(path)
    path.mkdir()
    return path


def _text_file(path: Path) -> Path:
    shutil.rmtree(path)
    path.write_text("A1,DMSO\n")
    return path


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path / "absent", "does not exist"),
        (lambda path: path / "A" / "3" / "0", "single image"),
        (lambda path: path / "A" / "3", "one well"),
        (lambda path: path / "A" / "3" / "0" / "0", "without OME-NGFF plate"),
        (lambda path: path.parent, r"plate\.ome\.zarr"),
        (_not_json, "no readable JSON"),
        (_no_wells, "lists no wells"),
        (_version, r"version '0\.2'"),
        (_twice, "A03 is listed as A/3 and A/03"),
        (_empty_folder, "without zarr metadata"),
        (_text_file, "neither HDF5 nor an image list"),
    ],
)
def test_what_is_no_plate_is_refused(
    make: Make, spoil: Callable[[Path], Path], message: str
) -> None:
    with pytest.raises(PlateError, match=message):
        open_plate(spoil(make()))


@pytest.mark.parametrize(
    ("pixels", "axes", "message"),
    [
        (noise(2, 3, 8, 8), "cayx", "axis a has 3 planes; write"),
        (noise(2, 8, 8, dtype="int32"), "cyx", "pixels are int32; write"),
        (noise(2, 8, 8, dtype="float32"), "cyx", "float32"),
        (noise(8, 8), "cyx", r"axes cyx for an array of shape \(8, 8\)"),
        (noise(8, 8), "ab", "without y and x"),
    ],
)
def test_pixels_that_are_no_stack_of_channels_are_refused(
    make: Make, pixels: np.ndarray, axes: str, message: str
) -> None:
    with pytest.raises(PlateError, match=message):
        open_plate(make({"A/1": [pixels]}, axes=axes))


def test_metadata_off_the_specification_are_read_with_a_warning(make: Make) -> None:
    path = make()
    attributes = json.loads((path / ".zattrs").read_text())
    for well in attributes["plate"]["wells"]:
        del well["rowIndex"]
    (path / ".zattrs").write_text(json.dumps(attributes))
    with pytest.warns(HTSWarning, match="rowIndex"):
        assert len(open_plate(path).wells) == 3


# Damage -----------------------------------------------------------------------------------


def test_a_promised_well_that_is_absent_is_reported(make: Make) -> None:
    path = make()
    shutil.rmtree(path / "B" / "2")
    plate = open_plate(path)
    assert plate.wells == ("A03", "B10")
    assert [(m.well, m.site) for m in plate.missing] == [("B02", None)]
    assert plate.info().missing == plate.missing


def test_a_promised_field_that_is_absent_fails_alone(make: Make) -> None:
    path = make()
    shutil.rmtree(path / "B" / "2" / "1")
    plate = open_plate(path)
    with pytest.raises(FieldError, match=r"well B02 field 2: .*B/2/1/\.zattrs is missing"):
        plate.read(field_of(plate, "B02", 2))
    assert plate.read(field_of(plate, "B02", 1)).any()
    assert [(m.well, m.site) for m in plate.info().missing] == [("B02", 2)]


@pytest.mark.parametrize(("version", "chunk"), [("0.4", "0/1/0/0"), ("0.5", "0/c/1/0/0")])
def test_a_missing_chunk_is_an_error_and_not_zeros(make: Make, version: str, chunk: str) -> None:
    path = make(version=version, labels=["DNA", "GFP"])
    (path / "A" / "3" / "0" / chunk).unlink()
    plate = open_plate(path)
    with pytest.raises(FieldError, match=rf"well A03 field 1 channel GFP: chunk A/3/0/{chunk} is"):
        plate.read(field_of(plate, "A03"))
    assert [(m.well, m.site) for m in plate.info().missing] == [("A03", 1)]
    assert chunk in plate.info().missing[0].reason


def test_a_chunk_missing_inside_a_shard_is_an_error(make: Make) -> None:
    path = make(version="0.5", chunks=(1, 8, 8), shards=(2, 16, 24))
    array = zarr.open_array(path / "A" / "3" / "0" / "0", mode="r+")
    array = array.with_config({"write_empty_chunks": False})
    array[1, :8, 8:16] = 0  # zarr takes a chunk of zeros out of its shard
    plate = open_plate(path)
    with pytest.raises(FieldError, match=r"channel Channel1: .* at \(1, 0, 8\) is missing"):
        plate.read(field_of(plate, "A03"))
    assert len(plate.info().missing) == 1


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_corrupt_chunk_names_its_channel(make: Make, version: str, content: bytes | None) -> None:
    path = make(version=version, labels=["DNA", "GFP"])
    chunk = path / "A" / "3" / "0" / ("0/0/0/0" if version == "0.4" else "0/c/0/0/0")
    chunk.write_bytes(chunk.read_bytes()[:-20] if content is None else content)
    plate = open_plate(path)
    with pytest.raises(FieldError, match="well A03 field 1 channel DNA: A/3/0/0 does not decode"):
        plate.read(field_of(plate, "A03"))
    assert plate.read(field_of(plate, "B10")).any()


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (noise(3, 16, 20), "3 channels, the plate has 2"),
        (noise(2, 16, 20, dtype="uint8"), "pixels are uint8, the plate's are uint16"),
        (noise(2, 16, 20, dtype="float32"), "pixels are float32"),
    ],
)
def test_a_field_unlike_the_rest_is_refused(make: Make, odd: np.ndarray, message: str) -> None:
    usual = noise(2, 16, 20)
    plate = open_plate(make({"A/1": [odd], "A/2": [usual], "A/3": [usual]}))
    assert (plate.field_shape, plate.dtype) == ((16, 20), "uint16")
    with pytest.raises(FieldError, match=f"well A01 field 1: {message}"):
        plate.read(field_of(plate, "A01"))
    assert [m.well for m in plate.info().missing] == ["A01"]


def test_a_field_of_another_plate_is_refused(make: Make) -> None:
    with pytest.raises(UsageError, match="well H12 field 1 is not on plate"):
        open_plate(make()).read(Field("H12", 1, "H/12/0"))


# Nonsense ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "changes"),
    [
        ("0.4", {"chunks": ...}),
        ("0.4", {"chunks": [1, 16]}),
        ("0.4", {"chunks": [0, 0, 0]}),
        ("0.4", {"chunks": None}),
        ("0.4", {"dimension_separator": None}),
        ("0.5", {"chunk_grid": None}),
        ("0.5", {"chunk_grid": "regular"}),
        ("0.5", {"chunk_key_encoding": ...}),
        ("0.5", {"codecs": [{}]}),
        ("0.5", {"codecs": [{"name": "sharding_indexed"}]}),
    ],
)
def test_an_array_whose_chunks_make_no_sense_fails_alone(
    make: Make, version: str, changes: dict[str, Any]
) -> None:
    path = make(version=version)
    whole = open_plate(path)
    stamp = whole.stamp(field_of(whole, "A03"))
    edit(path / "A/3/0/0" / (".zarray" if version == "0.4" else "zarr.json"), **changes)
    plate = open_plate(path)
    with pytest.raises(FieldError, match=r"^well A03 field 1: the chunks of A/3/0/0 make no sense"):
        plate.read(field_of(plate, "A03"))
    assert [(m.well, m.site) for m in plate.info().missing] == [("A03", 1)]
    assert plate.stamp(field_of(plate, "A03")) not in ("", stamp)
    assert plate.read(field_of(plate, "B10")).any()


def test_a_field_that_goes_after_the_plate_was_opened_fails_alone(make: Make) -> None:
    path = make()
    plate = open_plate(path)
    before = plate.stamp(field_of(plate, "A03"))
    shutil.rmtree(path / "A/3/0")
    with pytest.raises(FieldError, match=r"well A03 field 1 .*: 2 chunks are missing, A/3/0/0/0"):
        plate.read(field_of(plate, "A03"))
    assert plate.stamp(field_of(plate, "A03")) != before


def _no_attributes(image: Path) -> None:
    edit(image / "zarr.json", attributes=None)


def _axes(value: Any) -> Callable[[Path], None]:
    def spoil(image: Path) -> None:
        attributes = json.loads((image / "zarr.json").read_text())["attributes"]
        attributes["ome"]["multiscales"][0]["axes"] = value
        edit(image / "zarr.json", attributes=attributes)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_no_attributes, "holds no multiscales"),
        (_axes(3), "its axes are 3"),
        (_axes({"c": 1}), "its axes are"),
        (_axes([{}, 3, None]), r"axes 3 for an array"),
        (lambda image: edit(image / "0" / "zarr.json", shape=[2, -16, 20]), "no pixels"),
        (lambda image: edit(image / "0" / "zarr.json", data_type={"names": 3}), "pixels are"),
    ],
)
def test_an_image_whose_metadata_make_no_sense_fails_alone(
    make: Make, spoil: Callable[[Path], None], message: str
) -> None:
    path = make(version="0.5")
    spoil(path / "A/3/0")
    plate = open_plate(path)
    with pytest.raises(FieldError, match=f"well A03 field 1: .*{message}"):
        plate.read(field_of(plate, "A03"))
    assert plate.stamp(field_of(plate, "A03"))
    assert [m.well for m in plate.info().missing] == ["A03"]


def test_memory_that_runs_out_is_no_fault_of_the_field(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    plate = open_plate(make())

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("hts_classify.plate.zarr_store.read_array", fail)
    for ask in (plate.read, plate.stamp):
        with pytest.raises(MemoryError):
            ask(plate.fields[0])


# Spellings of zarr v3 ---------------------------------------------------------------------


def test_v3_with_the_chunk_keys_of_v2(make: Make) -> None:
    path = make(version="0.5", keys="v2")
    plate = open_plate(path)
    assert plate.info().missing == ()
    np.testing.assert_array_equal(plate.read(plate.fields[0]), noise(2, 16, 20, seed=3))
    (path / "A/3/0/0/1.0.0").unlink()
    with pytest.raises(FieldError, match=r"chunk A/3/0/0/1\.0\.0 is missing"):
        plate.read(plate.fields[0])


def test_v3_with_names_for_extensions(make: Make) -> None:
    """zarr 3.1 does not read these yet, but our own look at the chunks has nothing against them."""
    path = make(version="0.5")
    edit(path / "A/3/0/0/zarr.json", chunk_key_encoding="default", codecs=["bytes"])
    assert open_plate(path).info().missing == ()
    (path / "A/3/0/0/c/1/0/0").unlink()
    plate = open_plate(path)
    with pytest.raises(FieldError, match="chunk A/3/0/0/c/1/0/0 is missing"):
        plate.read(plate.fields[0])


@pytest.mark.parametrize("location", ["start", "end"])
@pytest.mark.parametrize("checksum", [True, False])
def test_a_shard_index_is_found_in_each_place(make: Make, location: str, checksum: bool) -> None:
    pixels = noise(2, 16, 16)
    pixels[1, :8, 8:] = 0
    path = make({"A/1": [noise(2, 16, 16)]}, version="0.5")
    shutil.rmtree(path / "A/1/0/0")
    index: list[Any] = [zarr.codecs.BytesCodec(), zarr.codecs.Crc32cCodec()]
    codec = zarr.codecs.ShardingCodec(
        chunk_shape=(1, 8, 8),
        index_codecs=index[: 1 + checksum],
        index_location=location,  # type: ignore[arg-type]
    )
    array = zarr.create(
        pixels.shape,
        store=path / "A/1/0/0",
        dtype="uint16",
        chunks=pixels.shape,
        codecs=[codec],
        zarr_format=3,
    )
    array[:] = pixels  # zarr leaves a chunk of zeros out
    plate = open_plate(path)
    with pytest.raises(FieldError, match=r"channel Channel1: chunk .* at \(1, 0, 8\) is missing"):
        plate.read(plate.fields[0])
    array[1, :8, 8:] = 1
    assert plate.read(plate.fields[0]).all()
