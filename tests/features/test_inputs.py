"""What is refused, and with which words; what is read without being converted."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from hts_classify.errors import ImageError, KernelError, UsageError
from hts_classify.features import Rule, _tas, measure, pftas, tas

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
        (np.zeros((2, 4, 5), dtype=np.uint8), r"shape \(2, 4, 5\); .*axes='zyx' .*='nyx'.*images$"),
        (np.zeros((4, 4, 3), dtype=np.uint8), r"shape \(4, 4, 3\); .*image\[..., 0\]$"),
        (np.zeros((2, 2, 4, 5), dtype=np.uint8), r"shape \(2, 2, 4, 5\); pass one channel"),
        ("plate.tif", "pass an array of pixels"),
        ([[1, 2], [3]], "image of type list: .*; pass an array"),
        (np.zeros(4, dtype=np.uint8), r"shape \(4,\)"),
        (np.zeros((), dtype=np.uint8), r"shape \(\)"),
        (np.zeros((0, 4), dtype=np.uint8), r"shape \(0, 4\); leave it out"),
        (np.ma.zeros((4, 4), dtype=np.uint8), "image in a masked array.*mask=~image.mask"),
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
        ((4, 4), "zyx", ImageError, r"shape \(4, 4\); pass an array of 3 axes with axes='zyx'"),
        ((4, 4), "nyx", ImageError, r"shape \(4, 4\); pass an array of 3 axes"),
        ((2, 4, 4), "yx", ImageError, r"shape \(2, 4, 4\); pass an array of 2 axes"),
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
    lacking = " and a ".join(name for name in ("threshold", "margin") if name not in given)
    with pytest.raises(ImageError, match=f"without a {lacking}; use tas.*both in the image's"):
        tas(np.ones((2, 2), dtype=np.float32), **given)
    with pytest.raises(ImageError, match="without a threshold and a margin"):
        pftas(np.ones((2, 2)), definition="mahotas")


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.empty(53), r"out is float64 \(53,\); .* shape \(54,\)"),
        (np.empty((1, 54)), r"out is float64 \(1, 54\)"),
        (np.empty(54, dtype=np.float32), "out is float32"),
        (np.empty(108)[::2], "not C-contiguous; "),
        (np.broadcast_to(0.0, 54), "read-only; "),
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
        ({"full_scale": 255, "threshold": 3, "margin": 3}, "threshold=3, margin=3; leave it out"),
        ({"full_scale": "12bit"}, "full_scale='12bit'; give a number"),
        ({"full_scale": True}, "full_scale=True; give a number"),
        ({"threshold": "otsu"}, "threshold='otsu'; give a number"),
        ({"threshold": True}, "threshold=True; give a number"),
        ({"threshold": np.array(30.0)}, r"threshold=array\(30.\); give a number"),
        ({"margin": [3]}, r"margin=\[3\]; give a number"),
        ({"margin": 10**400}, "margin=1000.*; give a finite number"),
        ({"kind": ["tas"]}, r"\['tas'\] is no kind"),
    ],
)
def test_rules_without_meaning_are_refused(parameters, message):
    with pytest.raises(UsageError, match=message):
        Rule(**{"kind": "tas", **parameters})


def test_parameters_of_other_types_are_refused():
    with pytest.raises(UsageError, match=r"threshold=\[30\]; give a number"):
        tas(SQUARE, threshold=[30])
    with pytest.raises(UsageError, match=r"threshold='otsu'"):
        pftas(SQUARE, threshold="otsu")
    with pytest.raises(UsageError, match=r"rule 'pftas'; pass a Rule"):
        measure(SQUARE, "pftas")
    with pytest.raises(UsageError, match=r"axes=array"):
        tas(SQUARE, axes=np.array(["yx", "zyx"]))
    with pytest.raises(UsageError, match="scope='image' without a mask or labels"):
        tas(SQUARE, scope="image")
    for kernel in (5, b"u64", ["u64"]):
        with pytest.raises(UsageError, match="kernel="):
            tas(SQUARE, kernel=kernel)
        with pytest.raises(UsageError, match="kernel="):
            tas(SQUARE, labels=SQUARE, kernel=kernel)
    for kernel in ("", "\ud800", "u64\0x", "U64"):
        with pytest.raises(KernelError, match="no TAS kernel"):
            pftas(SQUARE, labels=SQUARE, kernel=kernel)
    assert tas(SQUARE, kernel=np.str_("u64")).shape == (54,)
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


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8"])
def test_native_order_that_is_spelled_out_is_read_in_place(dtype):
    """As zarr returns it, and readers of big-endian TIFFs: `<` where NumPy itself writes `=`."""
    image = np.random.default_rng(0).integers(0, 255, (17, 70)).astype(dtype)
    spelled = image.view(image.dtype.newbyteorder("<" if sys.byteorder == "little" else ">"))
    labels = (image % 3).astype(np.int32)
    named = labels.view(labels.dtype.newbyteorder("<" if sys.byteorder == "little" else ">"))
    how = {"threshold": 30, "margin": 20}
    np.testing.assert_array_equal(tas(spelled, **how), tas(image, **how))
    np.testing.assert_array_equal(
        tas(spelled, labels=named, **how), tas(image, labels=labels, **how)
    )
    out = np.empty(54)
    view = out.view(out.dtype.newbyteorder("<" if sys.byteorder == "little" else ">"))
    np.testing.assert_array_equal(tas(spelled, out=view, **how), tas(image, **how))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("wrong", [np.inf, -np.inf, np.nan])
def test_the_core_itself_survives_pixels_that_are_not_finite(dtype, wrong):
    """Another thread may write them after they were looked for."""
    image = np.full((64, 64), wrong, dtype=dtype)
    out, levels = np.empty(54), np.empty(4)
    if wrong > 0:
        with pytest.raises(ValueError, match="infinite"):
            _tas.measure(image, None, out, levels, 0.1, 0.1)
    else:
        _tas.measure(image, None, out, levels, 0.1, 0.1)
        assert levels[3] == 0


def test_what_the_type_cannot_sum_up_is_refused_in_mahotas_definition_alone():
    image = np.array([[3e38, 3e38, 1, 2]], dtype=np.float32)
    with pytest.raises(ImageError, match="whose sum is beyond that type; scale it down"):
        pftas(image, threshold=0, definition="mahotas")
    assert measure(image, Rule("tas", threshold=2, margin=1)).mu == np.float32(3e38)


def test_a_pixel_above_the_cameras_full_scale_is_refused():
    image = np.full((3, 4), 4095, dtype=np.uint16)
    assert tas(image, full_scale=4095).shape == (54,)
    image[1, 2] = 4096
    with pytest.raises(ImageError, match=r"pixel 4096 at \(1, 2\) above full_scale=4095"):
        tas(image, full_scale=4095)


def test_results_are_not_equal_for_having_the_same_thresholds():
    left, right = np.array([[1, 1, 9, 9]], np.uint8), np.array([[1, 9, 1, 9]], np.uint8)
    assert measure(left).threshold == measure(right).threshold
    assert measure(left) != measure(right)


def test_the_inputs_are_left_as_they_were():
    image = np.random.default_rng(0).integers(0, 65535, (5, 64), dtype=np.uint16)
    labels = (image % 3).astype(np.int32)
    mask = labels == 1
    before = image.tobytes(), labels.tobytes(), mask.tobytes()
    tas(image, labels=labels)
    pftas(image, definition="mahotas")
    pftas(image, mask=mask, border="reflect")
    assert (image.tobytes(), labels.tobytes(), mask.tobytes()) == before
