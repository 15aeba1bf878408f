from __future__ import annotations

import warnings

import numpy as np
import pytest

from hts_classify import vocabulary
from hts_classify.features import Rule, measure, pftas, reference, tas

PLANES = [(1, 1), (1, 2), (1, 65), (70, 1), (2, 2), (3, 63), (5, 64), (17, 130)]
VOLUMES = [(1, 1, 1), (1, 2, 3), (2, 2, 2), (3, 1, 65), (4, 9, 70)]
AXES = {2: "yx", 3: "zyx"}


def images():
    """Seeded images of many kinds, by name."""
    rng = np.random.default_rng(20)
    for shape in PLANES + VOLUMES:
        for dtype in (np.uint8, np.uint16):
            top = np.iinfo(dtype).max
            kinds = {
                "black": np.zeros(shape),
                "white": np.full(shape, top),
                "constant": np.full(shape, 77),
                "dim": rng.integers(0, 29, shape),
                "noise": rng.integers(0, top, shape, endpoint=True),
                "half and half": np.where(np.indices(shape).sum(axis=0) % 2, 180, 60),
                "two levels": np.where(rng.random(shape) < 0.3, 200, 10),
                "two levels, one of them 0": np.where(rng.random(shape) < 0.5, 31, 0),
                "bits": rng.integers(0, 2, shape),
                "one pixel": np.eye(1, np.prod(shape)).reshape(shape) * 90,
                "cells": rng.poisson(20, shape) + 150 * (rng.random(shape) < 0.1),
                "ramp": np.arange(np.prod(shape)).reshape(shape) % (top + 1),
            }
            for name, pixels in kinds.items():
                yield f"{name} {shape} {dtype.__name__}", pixels.astype(dtype)


IMAGES = dict(images())


@pytest.fixture(scope="module")
def theirs():
    return pytest.importorskip("mahotas.features")


@pytest.mark.parametrize("name", IMAGES)
def test_definition_mahotas_equals_mahotas_to_the_last_bit(name, theirs):
    image = IMAGES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs, on odd inputs, are not the subject
        expected = theirs.tas(image), theirs.pftas(image)
    for function, right in zip((tas, pftas), expected, strict=True):
        found = function(image, definition="mahotas", axes=AXES[image.ndim])
        assert found.dtype == right.dtype == np.float64
        assert found.tobytes() == right.tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_definition_mahotas_equals_mahotas_on_floats(dtype, theirs):
    """Which it can threshold only when told how: tas at 30, pftas at a given T."""
    rng = np.random.default_rng(9)
    for T in (0.1, np.float64(0.1)):  # NumPy compares float32 with the first as float32
        v = np.float32(0.1)
        image = np.array([[0, v, 0.3], [v, 0.5, 0.2]], dtype=dtype)
        found = pftas(image, definition="mahotas", threshold=T)
        assert found.tobytes() == theirs.pftas(image, T=T).tobytes()
    for shape in [*PLANES, *VOLUMES, (150, 211)]:
        image = rng.gamma(2.0, 30.0, shape).astype(dtype)
        for pixels in (image, image.round(), np.full(shape, 31.5, dtype)):
            axes = AXES[pixels.ndim]
            found = tas(pixels, definition="mahotas", axes=axes)
            assert found.tobytes() == theirs.tas(pixels).tobytes()
            for T in (10, 40.25):
                found = pftas(pixels, definition="mahotas", axes=axes, threshold=T)
                assert found.tobytes() == theirs.pftas(pixels, T=T).tobytes()


def test_definition_mahotas_rounds_floats_in_their_own_type(theirs):
    """Pixels on the mean as float32 sums have it, which float64 sums put beside it."""
    differ = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        pair = rng.uniform(40, 4000, 2).astype(np.float32)
        middle = np.float32((pair * np.ones(2, np.float32)).sum() / 2)
        image = np.zeros((3, 30), dtype=np.float32)
        image[1, 2::3] = rng.permutation(np.repeat(np.append(pair, middle), [3, 3, 4])[:10])
        for found, right in (
            (pftas(image, definition="mahotas", threshold=30), theirs.pftas(image, T=30)),
            (tas(image, definition="mahotas"), theirs.tas(image)),
        ):
            assert found.tobytes() == right.tobytes()
        wide = image.astype(np.float64)
        differ += not np.array_equal(theirs.pftas(image, T=30), theirs.pftas(wide, T=30))
    assert differ  # else this test shows nothing


def test_definition_mahotas_equals_mahotas_where_rounding_of_its_margin_decides(theirs):
    """Mean and deviation of a bright pair are whole numbers: its bounds lie on pixels."""
    rng = np.random.default_rng(3)
    for seed in range(200):
        low, high = np.sort(rng.integers(1, 4000, 2)) * 2
        few = rng.integers(1, 60)
        bright = np.array([low + 9000, high + 9000] * few + [0] * 50, dtype=np.uint16)
        image = np.random.default_rng(seed).permutation(bright)[None]
        assert pftas(image, definition="mahotas").tobytes() == theirs.pftas(image).tobytes()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_definition_mahotas_equals_mahotas_on_a_full_field(dtype, theirs):
    """Large enough for NumPy to sum the pixels in blocks."""
    rng = np.random.default_rng(1)
    image = (rng.gamma(2.0, 0.06, (300, 417)).clip(0, 1) * np.iinfo(dtype).max).astype(dtype)
    for view in (image, image[::-1, ::2], np.asfortranarray(image)):
        assert pftas(view, definition="mahotas").tobytes() == theirs.pftas(view).tobytes()
        assert tas(view, definition="mahotas").tobytes() == theirs.tas(view).tobytes()


def test_definition_mahotas_equals_mahotas_at_a_given_threshold(theirs):
    image = IMAGES["noise (17, 130) uint8"]
    for threshold in (0, 100, 254, 255):
        found = pftas(image, definition="mahotas", threshold=threshold)
        assert found.tobytes() == theirs.pftas(image, T=threshold).tobytes()


@pytest.mark.parametrize("name", IMAGES)
def test_definition_standard_equals_the_reference(name):
    image = IMAGES[name]
    T = 30 if image.dtype == np.uint8 else 7710
    for border in ("constant", "reflect"):
        how = {"axes": AXES[image.ndim], "border": border}
        reflect = border == "reflect"
        expected = reference.tas(image, threshold=T, margin=T, reflect=reflect)
        np.testing.assert_array_equal(tas(image, **how), expected)
        np.testing.assert_array_equal(pftas(image, **how), reference.pftas(image, reflect=reflect))


def real_images(shared_data):
    """Every image of the real plates, but of one of them the controls alone."""
    from PIL import Image

    from hts_classify import open_plate

    paths = sorted((shared_data / "jump_16bit").glob("*.tif*"))
    paths += sorted((shared_data / "bbbc013").rglob("*.tif*"))
    assert len(paths) > 40
    for path in paths:
        with Image.open(path) as opened:
            image = np.array(opened)  # a copy: mahotas refuses read-only pixels
        yield image if image.ndim == 2 else image[..., 0].copy()
    plate = open_plate(shared_data / "ome2024_hcs" / "hcs.zarr")
    for field in plate.fields:
        yield from plate.read(field)


def test_every_real_image_equals_mahotas(shared_data, theirs):
    dtypes = set()
    for image in real_images(shared_data):
        dtypes.add(image.dtype)
        assert pftas(image, definition="mahotas").tobytes() == theirs.pftas(image).tobytes()
        assert tas(image, definition="mahotas").tobytes() == theirs.tas(image).tobytes()
    assert dtypes == {np.dtype(np.uint8), np.dtype(np.uint16)}


def test_real_cells_equal_mahotas_one_by_one_and_as_a_volume(shared_data, theirs):
    cells = np.load(shared_data / "jurkat" / "tiles_40px.npz")
    tiles = next(cells[name] for name in cells.files if cells[name].ndim == 4)[::60]
    channel = tiles[..., 1] if tiles.shape[-1] <= 4 else tiles[:, 1]
    stack = np.ascontiguousarray(channel)
    found = pftas(stack, definition="mahotas", axes="nyx")
    assert found.tobytes() == np.array([theirs.pftas(cell) for cell in stack]).tobytes()
    volume = stack[:9]
    found = pftas(volume, definition="mahotas", axes="zyx")
    assert found.tobytes() == theirs.pftas(volume).tobytes()


def test_values_follow_the_columns_of_the_vocabulary():
    names = vocabulary.feature_columns("tas", "DNA")
    block = np.zeros((7, 7), dtype=np.uint8)
    block[2:5, 2:5] = 100
    block[3, 3] = 140
    values = dict(zip(names, tas(block), strict=True))
    assert values["Image_TAS_DNA_Band_On_8"] == 0  # 140 is mean + 35.6: out of the band
    assert values["Image_TAS_DNA_Band_Off_8"] == pytest.approx(1 / 41)
    assert values["Image_TAS_DNA_Lower_On_8"] == pytest.approx(1 / 9)
    assert values["Image_TAS_DNA_Mean_On_0"] == 1
    assert values["Image_TAS_DNA_Mean_Off_1"] == pytest.approx(8 / 48)


def test_sixteen_bits_scale_hamiltons_threshold_to_the_camera():
    image = IMAGES["noise (17, 130) uint16"] % 4096
    result = measure(image, Rule("tas", full_scale=4095))
    assert (result.threshold, result.margin) == (482, 482)
    np.testing.assert_array_equal(result.values, tas(image, threshold=482, margin=482))
    assert measure(image, Rule("tas")).threshold == 7710
    assert measure(image, Rule("tas", "mahotas")).threshold == 30


def test_scaling_an_image_by_257_scales_its_thresholds_and_keeps_its_statistics():
    image = IMAGES["cells (17, 130) uint8"]
    wide = image.astype(np.uint16) * 257
    np.testing.assert_array_equal(tas(image), tas(wide))
    np.testing.assert_array_equal(pftas(image), pftas(wide))


def test_an_image_with_nothing_above_the_threshold_is_flagged():
    dim = np.full((4, 4), 30, dtype=np.uint8)
    result = measure(dim, Rule("tas"))
    assert (result.empty, result.mu) == (True, 0.0)
    bright = measure(dim + np.uint8(1), Rule("tas"))
    assert (bright.empty, bright.mu) == (False, 31.0)


def test_a_volume_has_26_neighbours_and_162_values():
    block = np.zeros((5, 5, 5), dtype=np.uint8)
    block[1:4, 1:4, 1:4] = 100
    values = tas(block, axes="zyx")
    assert values.shape == (162,)
    on = values[:27] * 27  # Band: 8 corners, 12 edges, 6 faces and the middle
    assert {n: round(c) for n, c in enumerate(on) if c} == {7: 8, 11: 12, 17: 6, 26: 1}
    off = values[27:54]
    assert off.sum() == pytest.approx(1)
    assert off[9] == pytest.approx(6 / 98)  # opposite the middle of a face


def test_a_plane_of_a_volume_sees_its_neighbours_and_one_of_a_stack_does_not():
    images = np.zeros((2, 3, 3), dtype=np.uint8)
    images[:, 1, 1] = 200
    assert tas(images, axes="zyx")[1] == 1  # each of the two has one neighbour
    assert tas(images, axes="nyx")[:, 0].tolist() == [1, 1]  # each has none


def test_a_stack_is_measured_into_an_array_of_the_callers():
    stack = np.random.default_rng(6).integers(0, 255, (5, 30, 41), dtype=np.uint8)
    out = np.full((5, 54), 7.0)
    assert pftas(stack, axes="nyx", out=out) is out
    np.testing.assert_array_equal(out, [pftas(image) for image in stack])
    row = np.full(54, 7.0)
    assert tas(stack[2], out=row) is row
    np.testing.assert_array_equal(row, tas(stack[2], axes="yx"))


def test_the_border_is_off_unless_it_reflects():
    image = np.full((3, 3), 200, dtype=np.uint8)
    assert tas(image)[3] == pytest.approx(4 / 9)  # corners see three
    assert tas(image, border="reflect")[8] == 1  # all see eight
    assert measure(image, Rule("tas", border="reflect")).values[8] == 1
