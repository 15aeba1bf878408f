from __future__ import annotations

import warnings

import numpy as np
import pytest

from hts_classify import vocabulary
from hts_classify.errors import ImageError, UsageError
from hts_classify.features import measure, pftas, reference, tas

SHAPES = [(1, 1), (1, 2), (1, 65), (70, 1), (2, 2), (3, 63), (5, 64), (17, 130)]


def images():
    """Seeded images of many kinds, by name."""
    rng = np.random.default_rng(20)
    for shape in SHAPES:
        for dtype in (np.uint8, np.uint16):
            top = np.iinfo(dtype).max
            kinds = {
                "black": np.zeros(shape),
                "white": np.full(shape, top),
                "constant": np.full(shape, 77),
                "dim": rng.integers(0, 29, shape),
                "noise": rng.integers(0, top, shape, endpoint=True),
                "two levels": np.where(rng.random(shape) < 0.3, 200, 10),
                "two levels, one of them 0": np.where(rng.random(shape) < 0.5, 31, 0),
                "bits": rng.integers(0, 2, shape),
                "one pixel": np.eye(1, shape[0] * shape[1]).reshape(shape) * 90,
                "cells": rng.poisson(20, shape) + 150 * (rng.random(shape) < 0.1),
                "ramp": np.arange(shape[0] * shape[1]).reshape(shape) % (top + 1),
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
    for found, right in zip(
        (tas(image, definition="mahotas"), pftas(image, definition="mahotas")),
        expected,
        strict=True,
    ):
        assert found.dtype == right.dtype == np.float64
        assert found.tobytes() == right.tobytes()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_definition_mahotas_equals_mahotas_on_a_full_field(dtype, theirs):
    """Large enough for NumPy to sum the pixels in blocks."""
    rng = np.random.default_rng(1)
    image = (rng.gamma(2.0, 0.06, (300, 417)).clip(0, 1) * np.iinfo(dtype).max).astype(dtype)
    for view in (image, image[::-1, ::2], np.asfortranarray(image)):
        assert pftas(view, definition="mahotas").tobytes() == theirs.pftas(view).tobytes()
        assert tas(view, definition="mahotas").tobytes() == theirs.tas(view).tobytes()


def test_definition_mahotas_rounds_its_margin_as_numpy_does():
    """One unit in the last place moves a pixel over a bound once in a long while: look at m."""
    differ = 0
    for seed in range(20):
        image = np.random.default_rng(seed).integers(0, 65535, (40, 50), dtype=np.uint16)
        found = measure(image, definition="mahotas")
        assert found.margin == image[image > found.threshold].std()
        differ += found.margin != measure(image, threshold=found.threshold).margin
    assert differ  # else this test shows nothing


def test_definition_mahotas_equals_mahotas_at_a_given_threshold(theirs):
    image = IMAGES["noise (17, 130) uint8"]
    for threshold in (0, 100, 254, 255):
        found = pftas(image, definition="mahotas", threshold=threshold)
        assert found.tobytes() == theirs.pftas(image, T=threshold).tobytes()


@pytest.mark.parametrize("name", IMAGES)
def test_definition_standard_equals_the_reference(name):
    image = IMAGES[name]
    T = 30 if image.dtype == np.uint8 else 7710
    np.testing.assert_array_equal(tas(image), reference.tas(image, threshold=T, margin=T))
    np.testing.assert_array_equal(pftas(image), reference.pftas(image))


def test_a_field_of_a_real_plate_equals_mahotas(shared_data, theirs):
    from PIL import Image

    paths = sorted((shared_data / "jump_16bit").glob("*.tif*"))
    assert paths
    with Image.open(paths[0]) as opened:
        image = np.array(opened)[:400]  # a copy: mahotas refuses read-only pixels
    assert image.dtype == np.uint16
    assert pftas(image, definition="mahotas").tobytes() == theirs.pftas(image).tobytes()
    assert tas(image, definition="mahotas").tobytes() == theirs.tas(image).tobytes()


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
    result = measure(image, "tas", full_scale=4095)
    assert (result.threshold, result.margin) == (482, 482)
    np.testing.assert_array_equal(result.values, tas(image, threshold=482, margin=482))
    assert measure(image, "tas").threshold == 7710
    assert measure(image, "tas", definition="mahotas").threshold == 30


def test_scaling_an_image_by_257_scales_its_thresholds_and_keeps_its_statistics():
    image = IMAGES["cells (17, 130) uint8"]
    wide = image.astype(np.uint16) * 257
    np.testing.assert_array_equal(tas(image), tas(wide))
    np.testing.assert_array_equal(pftas(image), pftas(wide))


def test_an_image_with_nothing_above_the_threshold_is_flagged():
    dim = np.full((4, 4), 30, dtype=np.uint8)
    result = measure(dim, "tas")
    assert (result.empty, result.mu) == (True, 0.0)
    bright = measure(dim + np.uint8(1), "tas")
    assert (bright.empty, bright.mu) == (False, 31.0)


def test_foreign_byte_order_and_unaligned_pixels_give_the_same():
    image = IMAGES["noise (17, 130) uint16"]
    expected = pftas(image)
    np.testing.assert_array_equal(pftas(image.astype(">u2")), expected)
    buffer = np.zeros(image.nbytes + 1, dtype=np.uint8)
    unaligned = buffer[1:].view(np.uint16).reshape(image.shape)
    unaligned[...] = image
    assert not unaligned.flags.aligned
    np.testing.assert_array_equal(pftas(unaligned), expected)


def test_the_image_is_left_as_it_was():
    image = IMAGES["noise (5, 64) uint16"].astype(">u2")
    before = image.tobytes()
    tas(image)
    pftas(image, definition="mahotas")
    assert image.tobytes() == before


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (
            np.zeros((4, 4), dtype=bool),
            r"dtype bool and shape \(4, 4\); convert .* uint8 or uint16",
        ),
        (np.zeros((4, 4), dtype=np.int16), "dtype int16"),
        (np.zeros((4, 4), dtype=np.uint32), "dtype uint32"),
        (np.zeros((4, 4)), "dtype float64"),
        (np.zeros((2, 4, 4), dtype=np.uint8), r"shape \(2, 4, 4\); pass one channel"),
        (np.zeros(4, dtype=np.uint8), r"shape \(4,\)"),
        (np.zeros((0, 4), dtype=np.uint8), r"shape \(0, 4\); leave it out"),
        (np.ma.zeros((4, 4), dtype=np.uint8), "masked image"),
        ([[1, 2], [3, 4]], "dtype int64"),
    ],
)
def test_other_images_are_refused_with_a_remedy(image, message):
    for function in (tas, pftas, measure):
        with pytest.raises(ImageError, match=message):
            function(image)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"definition": "hamilton"}, "'hamilton' is no definition; use one of standard, mahotas"),
        ({"kind": "haralick"}, "'haralick' is no kind"),
        ({"threshold": float("nan")}, "threshold=nan"),
        ({"margin": -1}, "margin=-1"),
        ({"margin": float("inf")}, "margin=inf"),
        ({"full_scale": 0}, "full_scale=0; .* from 1 to 255"),
        ({"full_scale": 4095}, "full_scale=4095; .* from 1 to 255"),
        ({"full_scale": 99.5}, "full_scale=99.5; .* a whole number"),
        ({"full_scale": 255, "definition": "mahotas"}, "leave it out"),
        ({"full_scale": 255, "kind": "pftas"}, "leave it out"),
    ],
)
def test_parameters_without_meaning_are_refused(parameters, message):
    image = np.zeros((4, 4), dtype=np.uint8)
    with pytest.raises(UsageError, match=message):
        measure(image, **{"kind": "tas", **parameters})
