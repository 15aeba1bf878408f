"""What is refused, and with which words; what is read without being converted."""

from __future__ import annotations

import numpy as np
import pytest

from hts_classify.errors import ImageError, UsageError
from hts_classify.features import Rule, measure, pftas, tas

SQUARE = np.arange(16, dtype=np.uint8).reshape(4, 4)
FLOATS = np.array([[0.0, 1.0], [np.nan, np.inf]])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (SQUARE > 3, r"dtype bool and shape \(4, 4\); convert .* uint8 or uint16"),
        (SQUARE > 3, "mask="),
        (SQUARE.astype(np.int16), "dtype int16.* none is negative"),
        (SQUARE.astype(np.uint32), "dtype uint32"),
        (SQUARE.astype(np.float16), "dtype float16.* float32 or float64"),
        (SQUARE.astype(complex), "dtype complex128"),
        (SQUARE.astype(float), r"float64 without a threshold and a margin; .*tas\(image, thr"),
        (np.zeros((2, 4, 4), dtype=np.uint8), r"shape \(2, 4, 4\); .*axes='zyx' .* 'nyx'"),
        (np.zeros(4, dtype=np.uint8), r"shape \(4,\)"),
        (np.zeros((), dtype=np.uint8), r"shape \(\)"),
        (np.zeros((0, 4), dtype=np.uint8), r"shape \(0, 4\); leave it out"),
        (np.ma.zeros((4, 4), dtype=np.uint8), "masked image.*mask=~image.mask"),
        ([[1, 2], [3, 4]], "dtype int64"),
    ],
)
def test_other_images_are_refused_with_a_remedy(image, message):
    for function in (tas, pftas, measure):
        with pytest.raises(ImageError, match=message):
            function(image)


@pytest.mark.parametrize(
    ("shape", "axes", "error", "message"),
    [
        ((4, 4), "zyx", ImageError, r"shape \(4, 4\) for axes='zyx'"),
        ((4, 4), "nyx", ImageError, r"shape \(4, 4\) for axes='nyx'"),
        ((2, 4, 4), "yx", ImageError, r"shape \(2, 4, 4\) for axes='yx'"),
        ((0, 4, 4), "nyx", ImageError, "no pixels"),
        ((2, 4, 4), "czyx", UsageError, "axes='czyx'; use one of yx, zyx"),
        ((2, 4, 4), "xyz", UsageError, "axes='xyz'"),
    ],
)
def test_axes_that_do_not_fit_are_refused(shape, axes, error, message):
    for function in (tas, pftas, measure):
        with pytest.raises(error, match=message):
            function(np.zeros(shape, dtype=np.uint8), axes=axes)


def test_what_is_not_a_number_is_refused_and_found():
    with pytest.raises(ImageError, match=r"nan at \(1, 0\); replace"):
        tas(FLOATS, threshold=0.5, margin=0.1)
    with pytest.raises(ImageError, match=r"inf at \(0, 1, 0\)"):
        tas(np.array([[[0.0], [np.inf]]]), axes="zyx", threshold=0.5, margin=0.1)
    with pytest.raises(ImageError, match="nan at"):
        tas(FLOATS.astype(np.float32), definition="mahotas")


@pytest.mark.parametrize("given", [{}, {"threshold": 1.0}, {"margin": 1.0}])
def test_floats_without_both_threshold_and_margin_are_refused(given):
    with pytest.raises(ImageError, match="give both in its units"):
        tas(np.ones((2, 2), dtype=np.float32), **given)
    with pytest.raises(ImageError, match="give both in its units"):
        pftas(np.ones((2, 2)), definition="mahotas")


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.empty(53), r"out is float64 \(53,\); .* shape \(54,\)"),
        (np.empty((1, 54)), r"out is float64 \(1, 54\)"),
        (np.empty(54, dtype=np.float32), "out is float32"),
        (np.empty(108)[::2], "C-contiguous"),
        (np.broadcast_to(0.0, 54), "writeable"),
        (np.empty(54).astype(">f8"), "out is >f8"),
        ([0.0] * 54, "out is list"),
    ],
)
def test_an_out_that_cannot_be_written_is_refused(out, message):
    with pytest.raises(UsageError, match=message):
        tas(SQUARE, out=out)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"definition": "hamilton"}, "'hamilton' is no definition; use one of standard, mahotas"),
        ({"kind": "haralick"}, "'haralick' is no kind"),
        ({"border": "wrap"}, "'wrap' is no border; use one of constant, reflect"),
        ({"border": "constant", "definition": "mahotas"}, "mahotas reflects"),
        ({"threshold": float("nan")}, "threshold=nan"),
        ({"margin": -1}, "margin=-1"),
        ({"margin": float("inf")}, "margin=inf"),
        ({"full_scale": 0}, "full_scale=0; .* from 1 to 65535"),
        ({"full_scale": 99.5}, "full_scale=99.5; .* a whole number"),
        ({"full_scale": 255, "definition": "mahotas"}, "leave it out"),
        ({"full_scale": 255, "kind": "pftas"}, "leave it out"),
    ],
)
def test_rules_without_meaning_are_refused(parameters, message):
    with pytest.raises(UsageError, match=message):
        Rule(**{"kind": "tas", **parameters})


def test_parameters_of_other_types_are_refused():
    with pytest.raises(UsageError, match="pass names and numbers"):
        tas(SQUARE, threshold=[30])
    with pytest.raises(UsageError, match="full_scale=4095 for pixels up to 255"):
        tas(SQUARE, full_scale=4095)
    with pytest.raises(UsageError, match="scope='cell'; use object or image"):
        tas(SQUARE, mask=SQUARE > 3, scope="cell")
    with pytest.raises(UsageError, match="one image of the stack"):
        measure(SQUARE[None], axes="nyx")


def test_foreign_byte_order_and_unaligned_pixels_give_the_same():
    image = np.random.default_rng(0).integers(0, 65535, (17, 130), dtype=np.uint16)
    expected = pftas(image)
    np.testing.assert_array_equal(pftas(image.astype(">u2")), expected)
    buffer = np.zeros(image.nbytes + 1, dtype=np.uint8)
    unaligned = buffer[1:].view(np.uint16).reshape(image.shape)
    unaligned[...] = image
    assert not unaligned.flags.aligned
    np.testing.assert_array_equal(pftas(unaligned), expected)
    reals = image / 7
    expected = tas(reals, threshold=999.5, margin=70)
    np.testing.assert_array_equal(tas(reals.astype(">f8"), threshold=999.5, margin=70), expected)


def test_the_image_is_left_as_it_was():
    image = np.random.default_rng(0).integers(0, 65535, (5, 64)).astype(">u2")
    labels = (image % 3).astype(np.int64)
    before = image.tobytes(), labels.tobytes()
    tas(image, labels=labels)
    pftas(image, definition="mahotas")
    pftas(image, mask=labels == 1)
    assert (image.tobytes(), labels.tobytes()) == before
