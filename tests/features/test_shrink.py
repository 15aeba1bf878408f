"""Smaller images, each pixel the average of its area."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hts_classify.errors import ImageError, UsageError
from hts_classify.features import _field, reference, shrink

LAYOUTS = {
    "C": lambda x: x,
    "every second column": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "every third row": lambda x: np.repeat(x, 3, axis=0)[::3],
    "rows backwards": lambda x: x[::-1].copy()[::-1],
    "columns backwards": lambda x: x[:, ::-1].copy()[:, ::-1],
    "Fortran": np.asfortranarray,
    "crop": lambda x: np.pad(x, 3, constant_values=77)[3:-3, 3:-3],
    "read-only": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
    "foreign": lambda x: x.astype(x.dtype.newbyteorder(">")),
}


@st.composite
def scales(draw: st.DrawFn) -> tuple[int, int]:
    den = draw(st.integers(1, 300) | st.sampled_from([1080, 4095, 65535, 65536]))
    return draw(st.integers(max(1, den // 40), den)), den


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    scales(),
    st.tuples(st.integers(0, 70), st.integers(0, 90)),
    st.sampled_from([np.uint8, np.uint16]),
    st.sampled_from(sorted(LAYOUTS)),
    st.integers(0, 2**32 - 1),
)
def test_every_pixel_is_the_exact_average_of_its_area(scale, more, dtype, layout, seed):
    num, den = scale
    shape = [-(-den // num) + beyond for beyond in more]
    rng = np.random.default_rng(seed)
    image = rng.choice(np.array([0, 1, 200, np.iinfo(dtype).max], dtype), shape)
    expected = reference.shrink(image, num, den)
    found = shrink(LAYOUTS[layout](image), scale)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("instructions", _field.loops())
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("width", [1, 2, 31, 63, 64, 65, 129, 1000])
def test_all_instruction_sets_give_the_same(instructions, dtype, width):
    rng = np.random.default_rng(width)
    image = rng.integers(0, np.iinfo(dtype).max, (23, width), dtype, endpoint=True)
    for num, den in ((1, 1), (2, 3), (28, 135), (1, 9)):
        out = np.empty((23 * num // den, width * num // den), np.float32)
        _field.shrink(image, out, num, den, instructions=instructions)
        np.testing.assert_array_equal(out, reference.shrink(image, num, den))


@pytest.mark.parametrize("scale", [(65535, 65536), (1, 2), (3, 7), (1, 1)])
def test_white_stays_white_at_the_largest_sums(scale):
    white = np.full((9, 9), 65535, np.uint16)
    assert np.unique(shrink(white, scale)).tolist() == [65535]


def test_the_scale_of_nothing_is_a_cast():
    image = np.arange(12, dtype=np.uint16).reshape(3, 4)
    np.testing.assert_array_equal(shrink(image, (5, 5)), image.astype(np.float32))


def test_a_whole_factor_averages_blocks():
    image = np.random.default_rng(0).integers(0, 60000, (30, 41), np.uint16)
    blocks = image[:, :39].reshape(10, 3, 13, 3)
    means = blocks.mean(axis=(1, 3), dtype=float).astype(np.float32)
    np.testing.assert_array_equal(shrink(image, (1, 3)), means)


def test_a_wide_row_and_a_tall_column():
    row = np.random.default_rng(0).integers(0, 60000, 200_001, np.uint16)
    wide = np.broadcast_to(row, (3, row.size))
    means = row.reshape(-1, 3).mean(axis=1).astype(np.float32)
    np.testing.assert_array_equal(shrink(wide, (1, 3))[0], means)
    np.testing.assert_array_equal(shrink(wide.T, (1, 3))[:, 0], means)


def test_real_pixels_become_a_tile(shared_data: Path) -> None:
    with Image.open(sorted((shared_data / "jump_16bit").glob("*.tiff"))[0]) as file:
        image = np.asarray(file).astype(np.uint16)
    tile = shrink(image, (224, 1080))
    assert tile.shape == (224, 224)
    np.testing.assert_array_equal(tile, reference.shrink(image, 224, 1080))
    assert tile.mean(dtype=float) == pytest.approx(image.mean(), rel=1e-6)


def test_results_are_written_where_asked() -> None:
    image = np.random.default_rng(0).integers(0, 255, (8, 8), np.uint8)
    tiles = np.full((3, 4, 4), -1, np.float32)
    assert shrink(image, (1, 2), out=tiles[1]).base is tiles
    np.testing.assert_array_equal(tiles[1], shrink(image, (1, 2)))
    assert (tiles[[0, 2]] == -1).all()


IMAGE = np.zeros((8, 8), np.uint16)


@pytest.mark.parametrize(
    "out",
    [
        np.empty((4, 4)),
        np.empty((4, 5), np.float32),
        np.empty((4, 8), np.float32)[:, ::2],
        np.empty(16, np.float32),
        [[0.0] * 4] * 4,
    ],
    ids=["float64", "shape", "strides", "axes", "list"],
)
def test_what_cannot_be_written_to_is_refused(out) -> None:
    with pytest.raises(UsageError, match="pass a"):
        shrink(IMAGE, (1, 2), out=out)


def test_an_image_is_not_overwritten() -> None:
    memory = np.zeros((8, 4), np.float32)
    with pytest.raises(UsageError, match="shares memory"):
        shrink(memory.view(np.uint16), (1, 2), out=memory[:4])


@pytest.mark.parametrize(
    "scale",
    [(0, 1), (2, 1), (-1, 2), (1, 0), (1, 65537), (1.0, 2), (True, 2), [1, 2], (1, 2, 3), 0.5],
)
def test_what_is_no_scale_is_refused(scale) -> None:
    with pytest.raises(UsageError, match="scale="):
        shrink(IMAGE, scale)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (IMAGE.astype(np.float32), "dtype float32"),
        (IMAGE.astype(np.int32), "dtype int32"),
        (IMAGE[None], "pass one channel|say what it is"),
        (IMAGE[:0], "no pixels"),
        (IMAGE[:1], "not one pixel would be left"),
    ],
)
def test_what_is_no_image_is_refused(image, says) -> None:
    with pytest.raises(ImageError, match=says):
        shrink(image, (1, 2))
