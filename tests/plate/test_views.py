"""Which part of an OME-Zarr plate is looked at: acquisitions, levels, planes, times, labels."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stores import add_label, add_level, edit_ome, noise

from hts_classify.errors import FieldError, PlateError, UsageError
from hts_classify.plate import View, open_plate

Make = Callable[..., Path]
VERSIONS = pytest.mark.parametrize("version", ["0.4", "0.5"])


def scale(*steps: Any) -> dict[str, Any]:
    return {"coordinateTransformations": [{"type": "scale", "scale": list(steps)}]}


def axes(names: str, unit: str | None = "micrometer") -> list[dict[str, Any]]:
    return [{"name": n, **({"unit": unit} if unit and n in "zyx" else {})} for n in names]


# Acquisitions -----------------------------------------------------------------------------


@pytest.fixture
def days(make: Make) -> Path:
    """One well imaged on two days, and one on the second day alone."""
    path = make({"A/1": [noise(2, 8, 8, seed=s) for s in range(4)], "A/2": [noise(2, 8, 8)]})
    plate = {
        "rows": [{"name": "A"}],
        "columns": [{"name": "1"}, {"name": "2"}],
        "acquisitions": [{"id": 7, "name": "day 1"}, {"id": 2}],
        "wells": [{"path": f"A/{c}", "rowIndex": 0, "columnIndex": c - 1} for c in (1, 2)],
    }
    edit_ome(path, plate=plate)
    ids = [2, 7, 2, 7]
    images = [{"path": str(n), "acquisition": one} for n, one in enumerate(ids)]
    edit_ome(path / "A/1", well={"images": images})
    edit_ome(path / "A/2", well={"images": [{"path": "0", "acquisition": 2}]})
    return path


def test_the_first_acquisition_is_shown_and_said(days: Path) -> None:
    plate = open_plate(days)
    assert [str(field) for field in plate.fields] == ["well A01 field 1", "well A01 field 2"]
    np.testing.assert_array_equal(plate.read(plate.fields[1]), noise(2, 8, 8, seed=3))
    assert plate.notes == ("acquisitions 7 (day 1), 2: the first",)
    assert [(m.well, m.reason) for m in plate.missing] == [("A02", "no images of acquisition 7")]


@pytest.mark.parametrize(("asked", "seeds"), [("day 1", (1, 3)), ("7", (1, 3)), ("2", (0, 2))])
def test_an_acquisition_is_chosen_by_id_or_name(
    days: Path, asked: str, seeds: tuple[int, ...]
) -> None:
    plate = open_plate(days, view=View(acquisition=asked))
    assert plate.notes == ()
    for field, seed in zip(plate.fields, seeds, strict=False):
        np.testing.assert_array_equal(plate.read(field), noise(2, 8, 8, seed=seed))


def test_an_acquisition_that_is_not_there_is_refused(days: Path) -> None:
    with pytest.raises(UsageError, match=r"no acquisition 'x'; the plate has 7 \(day 1\), 2"):
        open_plate(days, view=View(acquisition="x"))


def test_acquisitions_that_only_the_wells_name_are_known(days: Path) -> None:
    plate = {"wells": [{"path": "A/1"}, {"path": "A/2"}]}
    edit_ome(days, plate=plate)
    with pytest.warns(match="not valid"):
        opened = open_plate(days)
    assert opened.notes == ("acquisitions 2, 7: the first",)


# Levels and pixel sizes -------------------------------------------------------------------


@VERSIONS
def test_a_level_of_the_pyramid_is_shown(make: Make, version: str) -> None:
    path = make({"A/1": [noise(2, 16, 16)] * 2}, version=version)
    for field in "01":
        image = path / "A/1" / field
        add_level(image, "half", noise(2, 8, 8, seed=int(field)))
        datasets = [{"path": "0", **scale(1, 0.5, 0.25)}, {"path": "half", **scale(1, 1, 0.5)}]
        scales = {"axes": axes("cyx", "nanometer"), "datasets": datasets, **scale(1, 1300, 1300)}
        edit_ome(image, multiscales=[scales])
    whole, half = open_plate(path), open_plate(path, view=View(level=1))
    assert (whole.field_shape, half.field_shape) == ((16, 16), (8, 8))
    np.testing.assert_array_equal(half.read(half.fields[1]), noise(2, 8, 8, seed=1))
    assert whole.info().levels == half.info().levels == 2
    assert whole.info().pixel_size == pytest.approx((0.65, 0.325))
    assert half.info().pixel_size == pytest.approx((1.3, 0.65))
    assert whole.stamp(whole.fields[0]) != half.stamp(half.fields[0])
    with pytest.raises(PlateError, match="no level 2: it has 2, counted from 0"):
        open_plate(path, view=View(level=2))


@pytest.mark.parametrize(
    ("multiscale", "size"),
    [
        ({"axes": axes("cyx"), **scale(1, 0.5, 0.25)}, (0.5, 0.25)),
        ({"axes": axes("cyx", "meter"), **scale(1, 5e-7, 5e-7)}, (0.5, 0.5)),
        ({"axes": axes("cyx", None), **scale(1, 0.5, 0.25)}, ()),
        ({"axes": axes("cyx", "parsec"), **scale(1, 0.5, 0.25)}, ()),
        ({"axes": axes("cyx")}, ()),
        ({"axes": axes("cyx"), **scale(0.5, 0.25)}, ()),
        ({"axes": axes("cyx"), **scale(1, 0, 0.25)}, ()),
        ({"axes": axes("cyx"), **scale(1, float("nan"), 0.25)}, ()),
        ({"axes": axes("cyx"), **scale(1, "0.5", 0.25)}, ()),
        ({"axes": axes("cyx"), **scale(1, 10**400, 0.25)}, ()),
        ({"axes": axes("cyx"), "coordinateTransformations": {"scale": 3}}, ()),
        ({"axes": ["c", "y", "x"], **scale(1, 0.5, 0.25)}, ()),
    ],
)
def test_pixel_sizes_are_micrometres_or_unknown(
    make: Make, multiscale: dict[str, Any], size: tuple[float, ...]
) -> None:
    path = make({"A/1": [noise(2, 8, 8)]})
    edit_ome(path / "A/1/0", multiscales=[{"datasets": [{"path": "0"}], **multiscale}])
    assert open_plate(path).info().pixel_size == pytest.approx(size)


# Planes and time points -------------------------------------------------------------------


@VERSIONS
@pytest.mark.parametrize(
    "order", ["tczyx", "czyx", "zcyx", "zyx", "tzyx", "tcyx", "tyx", "cyx", "yx"]
)
def test_every_order_of_axes_with_planes_and_times(make: Make, order: str, version: str) -> None:
    length = {"t": 3, "c": 2, "z": 4, "y": 6, "x": 8}
    pixels = noise(*(length[axis] for axis in order))
    path = make({"A/1": [pixels]}, axes=order, version=version)
    full = pixels.reshape([length[a] if a in order else 1 for a in order])
    for axis in "xyzct"[::-1]:
        if axis not in order:
            full = full[np.newaxis]
    named = [axis for axis in "tczyx" if axis not in order][::-1] + list(order)
    full = full.transpose([named.index(axis) for axis in "tczyx"])

    for time in (0, "all"):
        plate = open_plate(path, view=View(time=time))  # type: ignore[arg-type]
        assert len(plate.fields) == (len(full) if time == "all" else 1)
        for field in plate.fields:
            expected = full[field.timepoint].max(axis=1)
            np.testing.assert_array_equal(plate.read(field), expected)
    if "z" in order:
        last = open_plate(path, view=View(z=3))
        np.testing.assert_array_equal(last.read(last.fields[0]), full[0][:, 3])
        volumes = open_plate(path, view=View(z="all"))
        assert volumes.volumes
        np.testing.assert_array_equal(volumes.read(volumes.fields[0]), full[0])


def test_planes_and_times_that_nobody_asked_for_are_said(make: Make) -> None:
    path = make({"A/1": [noise(3, 1, 4, 6, 8)]}, axes="tczyx")
    plate = open_plate(path)
    assert plate.notes == ("4 planes: their maximum projection", "3 time points: the first")
    info = plate.info()
    assert (info.planes, info.timepoints) == (4, 3)
    with pytest.raises(UsageError, match="no plane 4; its fields have 4, counted from 0"):
        open_plate(path, view=View(z=4))
    with pytest.raises(UsageError, match="no time point 3"):
        open_plate(path, view=View(time=3))


def test_a_chunk_missing_from_another_time_or_plane_does_not_matter(make: Make) -> None:
    path = make({"A/1": [noise(2, 2, 2, 6, 8)]}, axes="tczyx")
    (path / "A/1/0/0/1/1/1/0/0").unlink()
    first, second = open_plate(path, view=View(time="all")).fields
    plate = open_plate(path, view=View(time="all"))
    assert plate.read(first).any()
    with pytest.raises(FieldError, match="timepoint 1 channel Channel1: chunk A/1/0/0/1/1/1/0/0"):
        plate.read(second)
    upper = open_plate(path, view=View(time=1, z=0))
    assert upper.read(upper.fields[0]).any()
    assert [m.reason for m in plate.info().missing] == [
        "chunk A/1/0/0/1/1/1/0/0 is missing (channel Channel1)"
    ]


# Fields that differ -----------------------------------------------------------------------


def test_wells_with_other_numbers_and_sizes_of_fields(make: Make) -> None:
    usual = noise(2, 16, 20)
    path = make({"A/01": [usual] * 3, "B/1": [noise(2, 9, 7)], "C/12": [usual]})
    plate = open_plate(path)
    info = plate.info()
    assert (info.fields_per_well, info.field_shape) == ((1, 3), (16, 20))
    assert (info.other_shapes, info.missing) == (((9, 7),), ())
    assert [(m.well, m.reason) for m in info.uneven] == [("B01", "9×7 pixels")]
    np.testing.assert_array_equal(plate.read(plate.fields[3]), noise(2, 9, 7))


def test_rows_and_columns_without_wells_are_named(make: Make) -> None:
    path = make({"B/2": [noise(2, 8, 8)]})
    rows, columns = ([{"name": n} for n in names] for names in ("ABCDEFGH", "123"))
    wells = [{"path": "B/2", "rowIndex": 1, "columnIndex": 1}]
    edit_ome(path, plate={"rows": rows, "columns": columns, "wells": wells})
    info = open_plate(path).info()
    assert (len(info.rows), info.columns, info.wells) == (8, ("1", "2", "3"), 1)


# Label images -----------------------------------------------------------------------------


@VERSIONS
def test_label_images_are_read_at_the_level_of_the_field(make: Make, version: str) -> None:
    path = make({"A/1": [noise(2, 16, 16)] * 2}, version=version)
    image = path / "A/1/0"
    nuclei = np.arange(256, dtype="int64").reshape(16, 16)
    add_label(image, "nuclei", [nuclei, nuclei[::2, ::2]])
    add_label(image, "cells", [np.ones((1, 16, 16), "uint16")], axes="cyx")
    plate = open_plate(path)
    with_labels, without = plate.fields
    assert plate.label_names(with_labels) == ("cells", "nuclei")
    assert plate.label_names(without) == ()
    np.testing.assert_array_equal(plate.read_label(with_labels, "nuclei"), nuclei)
    assert plate.read_label(with_labels, "cells").shape == (16, 16)
    assert plate.info().label_names == ("cells", "nuclei")
    assert [m.site for m in plate.info().uneven] == [2]
    with pytest.raises(FieldError, match=r"label image 'golgi'.*it has cells, nuclei"):
        plate.read_label(with_labels, "golgi")
    with pytest.raises(FieldError, match=r"label image 'nuclei'.*it has no label images"):
        plate.read_label(without, "nuclei")

    add_level(image, "half", noise(2, 8, 8))
    edit_ome(
        image, multiscales=[{"axes": axes("cyx"), "datasets": [{"path": "0"}, {"path": "half"}]}]
    )
    half = open_plate(path, view=View(level=1))
    np.testing.assert_array_equal(half.read_label(half.fields[0], "nuclei"), nuclei[::2, ::2])
    with pytest.raises(FieldError, match=r"label image 'cells'.*no level 1: it has 1"):
        half.read_label(half.fields[0], "cells")


@pytest.mark.parametrize(
    ("name", "pixels", "message"),
    [
        ("small", np.ones((8, 8), "int32"), "has 8×8 pixels, the field 16×16"),
        ("floats", np.ones((16, 16), "float32"), "holds float32, not whole numbers"),
    ],
)
def test_a_label_image_that_does_not_fit_is_refused(
    make: Make, name: str, pixels: np.ndarray, message: str
) -> None:
    path = make({"A/1": [noise(2, 16, 16)]})
    add_label(path / "A/1/0", name, [pixels])
    plate = open_plate(path)
    with pytest.raises(FieldError, match=f"well A01 field 1: label image '{name}': {message}"):
        plate.read_label(plate.fields[0], name)


def test_a_label_image_whose_chunk_is_missing_is_refused(make: Make) -> None:
    path = make({"A/1": [noise(2, 16, 16)]})
    add_label(path / "A/1/0", "nuclei", [np.ones((16, 16), "uint8")])
    (path / "A/1/0/labels/nuclei/s0/0.0").unlink()
    plate = open_plate(path)
    with pytest.raises(FieldError, match=r"label image 'nuclei': chunk .*s0/0\.0 is missing"):
        plate.read_label(plate.fields[0], "nuclei")


# Together ---------------------------------------------------------------------------------


def test_a_view_chooses_channels_and_corrects_them(make: Make, tmp_path: Path) -> None:
    function = tmp_path / "dna.npy"
    np.save(function, np.full((16, 20), 2.0))
    path = make(labels=["DNA", "GFP"])
    view = View(use=("GFP", "DNA"), illumination=(("DNA", str(function)),))
    plate = pickle.loads(pickle.dumps(open_plate(path, view=view)))
    raw = open_plate(path)
    assert (plate.channels, plate.view) == (("GFP", "DNA"), view)
    halved = np.rint(raw.read(raw.fields[0])[0] / 2)
    np.testing.assert_array_equal(plate.read(plate.fields[0])[1], halved)


# Real plates ------------------------------------------------------------------------------


def test_levels_of_a_real_plate(shared_data: Path) -> None:
    path = shared_data / "bbbc013/controls_v05.ome.zarr"
    shapes = [open_plate(path, view=View(level=n)).field_shape for n in range(5)]
    assert shapes == [(640, 640), (320, 320), (160, 160), (80, 80), (40, 40)]
    whole, half = open_plate(path), open_plate(path, view=View(level=1))
    fine, coarse = whole.read(whole.fields[0]), half.read(half.fields[0])
    mean = fine.reshape(2, 320, 2, 320, 2).mean(axis=(2, 4))
    assert abs(mean - coarse).mean() < 4  # the same picture, however it was made smaller
    with pytest.raises(PlateError, match="no level 5: it has 5"):
        open_plate(path, view=View(level=5))


def test_a_real_plate_of_bioformats(shared_data: Path) -> None:
    path = shared_data / "ome2024_hcs/hcs.zarr"
    plate = open_plate(path, view=View(acquisition="0", z=0, time="all", use=("Channel 2",)))
    assert plate.read(plate.fields[-1]).shape == (1, 64, 64)
    whole = open_plate(path)
    np.testing.assert_array_equal(plate.read(plate.fields[-1])[0], whole.read(whole.fields[-1])[2])
    assert plate.info().missing == ()
