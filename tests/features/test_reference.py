"""The specification, held to figures worked out by hand and to other people's code."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from hts_classify.features import reference

BLOCK = np.zeros((5, 5), dtype=np.uint8)
BLOCK[1:4, 1:4] = 100


def test_a_block_of_nine_by_hand():
    """3 x 3 pixels on, 16 off: corners have 3 neighbours on, edges 5, the middle 8."""
    values = reference.tas(BLOCK, threshold=30, margin=30)
    on, off = values[:9], values[9:18]
    np.testing.assert_allclose(on, np.array([0, 0, 0, 4, 0, 4, 0, 0, 1]) / 9)
    # Around it: 4 corners see one, 8 beside the block's corners two, 4 in the middle three.
    np.testing.assert_allclose(off, np.array([0, 4, 8, 4, 0, 0, 0, 0, 0]) / 16)
    np.testing.assert_array_equal(values[18:36], values[:18])  # Lower: no pixel is above Band
    np.testing.assert_array_equal(values[36:45], 0)  # Mean: none is above the mean
    np.testing.assert_array_equal(values[45:], [1, 0, 0, 0, 0, 0, 0, 0, 0])


@pytest.mark.parametrize("reflect", [False, True])
def test_neighbours_are_a_convolution(reflect):
    ring = np.ones((3, 3), dtype=int)
    ring[1, 1] = 0
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (1, 7), (6, 1), (2, 2), (9, 14)):
        on = rng.random(shape) < 0.5
        mode = "reflect" if reflect else "constant"
        expected = ndimage.convolve(on.astype(int), ring, mode=mode)
        np.testing.assert_array_equal(reference.neighbours(on, reflect=reflect), expected)


def test_every_half_sums_to_one_or_has_no_pixels():
    image = np.random.default_rng(4).integers(0, 255, (20, 20), dtype=np.uint8)
    sums = reference.pftas(image).reshape(6, 9).sum(axis=1)
    np.testing.assert_allclose(sums, 1)


def test_bounds_are_strict():
    image = np.array([[70, 71, 100, 129, 130]], dtype=np.uint8)
    found = reference.counts(image, mu=100.0, margin=30.0)
    assert found[:, 0].sum(axis=1).tolist() == [3, 4, 2]


def test_otsu_between_two_clouds():
    image = np.array([[1, 2, 3, 2], [50, 51, 52, 51]], dtype=np.uint8)
    assert reference.otsu(image) == 3
