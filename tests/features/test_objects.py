"""Parts of an image: the pixels of a mask, and every object of a label image."""

from __future__ import annotations

import mmap
import sys
from pathlib import Path

import numpy as np
import pytest

import hts_classify.features as features
from hts_classify.errors import ImageError, KernelError, UsageError
from hts_classify.features import Rule, measure, measure_objects, pftas, reference, tas

KERNELS = features.kernels()
AXES = {2: "yx", 3: "zyx"}
INTEGERS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64]


def noise(seed, shape, dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype)


def discs(shape, centres, radius):
    """A label image: discs, or balls, numbered from 1."""
    grid = np.indices(shape)
    labels = np.zeros(shape, dtype=np.int32)
    for number, centre in enumerate(centres, start=1):
        away = sum((axis - at) ** 2 for axis, at in zip(grid, centre, strict=True))
        labels[away <= radius**2] = number
    return labels


def assert_objects_equal_the_reference(image, labels, kernel=None):
    """In both borders, at fixed thresholds and at each object's own."""
    numbers = np.unique(labels[labels > 0])
    T = 30 if image.dtype == np.uint8 else 7710
    for border in ("constant", "reflect"):
        reflect = border == "reflect"
        how = {"axes": AXES[image.ndim], "border": border, "kernel": kernel}
        fixed, found = tas(image, labels=labels, **how), pftas(image, labels=labels, **how)
        assert len(fixed) == len(found) == len(numbers) > 0
        for i, number in enumerate(numbers):
            inside = labels == number
            expected = reference.tas(image, threshold=T, margin=T, reflect=reflect, inside=inside)
            np.testing.assert_array_equal(fixed[i], expected)
            expected = reference.pftas(image, reflect=reflect, inside=inside)
            np.testing.assert_array_equal(found[i], expected)
            np.testing.assert_array_equal(pftas(image, mask=inside, **how), expected)


# ---- what an object sees --------------------------------------------------------------------


def test_touching_objects_do_not_see_each_other():
    image = np.full((2, 4), 200, dtype=np.uint8)
    labels = np.array([[1, 1, 2, 2], [1, 1, 2, 2]])
    together = tas(image)[9 * 2 : 9 * 3]  # Lower, on
    assert together.tolist() == [0, 0, 0, 0.5, 0, 0.5, 0, 0, 0]  # corners see 3, the others 5
    for row in tas(image, labels=labels):
        assert row[9 * 2 : 9 * 3].tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0]  # each is a 2 × 2 block


def test_pixels_beside_an_object_are_off_but_not_counted():
    """All is bright; only the middle column is the object."""
    image = np.full((3, 3), 200, dtype=np.uint8)
    inside = np.array([[0, 1, 0]] * 3, dtype=bool)
    lower = tas(image, mask=inside).reshape(3, 2, 9)[1]
    assert lower[0].tolist() == [0, 2 / 3, 1 / 3, 0, 0, 0, 0, 0, 0]  # ends see 1, the middle 2
    assert not lower[1].any()  # no pixel of the object is off


def test_an_object_that_is_not_connected_is_one_object():
    image = np.array([[90, 0, 90, 90, 0, 60]], dtype=np.uint8)
    labels = np.array([[5, 0, 5, 5, 0, 5]])
    found = measure_objects(image, labels, Rule("tas"))
    assert (found.labels.tolist(), found.pixels.tolist()) == ([5], [4])
    assert found.mu.tolist() == [82.5]  # of all its pieces
    lower = found.values[0].reshape(3, 2, 9)[1]
    assert lower[0, :3].tolist() == [0.5, 0.5, 0]  # two are alone, two have each other
    far = np.zeros((50, 200), dtype=np.uint8)
    far[:3, :3] = far[40:, 190:] = far[20, 60:70] = 1
    assert_objects_equal_the_reference(noise(1, far.shape), far)


def test_one_pixel_is_an_object():
    image = np.array([[0, 77, 0]], dtype=np.uint8)
    found = measure_objects(image, np.array([[0, 1, 0]]))
    assert (found.threshold.item(), found.margin.item(), found.empty.item()) == (0, 0, False)
    assert found.values[0].reshape(3, 2, 9)[:, :, 0].tolist() == [[0, 1], [0, 1], [0, 1]]


def test_objects_in_an_objects_hole_are_not_part_of_it():
    labels = discs((30, 90), [(15, 40)], 14)
    labels[discs((30, 90), [(15, 40)], 5) > 0] = 0
    labels[discs((30, 90), [(15, 40)], 3) > 0] = 2
    assert_objects_equal_the_reference(noise(2, labels.shape), labels)


# ---- against the reference ------------------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_objects_at_every_edge_and_corner_equal_the_reference(dtype, kernel):
    edges = [(0, 0), (0, 66), (0, 131), (20, 131), (39, 131), (39, 64), (39, 0), (20, 0), (20, 64)]
    labels = discs((40, 132), edges, 6)
    assert_objects_equal_the_reference(noise(3, labels.shape, dtype), labels, kernel)


@pytest.mark.parametrize("kernel", KERNELS)
def test_an_object_of_the_whole_image_has_the_images_border(kernel):
    image = noise(4, (7, 65))
    assert_objects_equal_the_reference(image, np.ones(image.shape, dtype=int), kernel)


@pytest.mark.parametrize("kernel", KERNELS)
def test_objects_in_volumes_have_26_neighbours(kernel):
    labels = discs((6, 9, 70), [(0, 0, 0), (3, 5, 64), (5, 8, 69), (2, 4, 30)], 3)
    image = noise(5, labels.shape)
    assert tas(image, labels=labels, axes="zyx", kernel=kernel).shape == (4, 162)
    assert_objects_equal_the_reference(image, labels, kernel)


def test_a_solid_ball_has_pixels_with_all_26_neighbours_on():
    labels = discs((7, 7, 7), [(3, 3, 3)], 2.9)
    image = np.full(labels.shape, 200, dtype=np.uint8)
    lower = tas(image, labels=labels, axes="zyx")[0].reshape(3, 2, 27)[1]
    assert lower[0, 26] > 0
    planes = [tas(image[z], labels=labels[z])[0].reshape(3, 2, 9)[1, 0, 8] for z in (1, 2, 3)]
    assert all(planes)  # where the planes alone have 8


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("is_volume", [False, True])
def test_an_object_spread_thinly_over_a_huge_box_equals_the_reference(is_volume, kernel):
    """More than a thousand pixels of its box for each of its own: counted another way."""
    shape = (4, 100, 150) if is_volume else (200, 300)
    labels = np.zeros(shape, dtype=np.uint16)
    labels.flat[[0, 1, shape[-1], shape[-1] + 1, labels.size // 2, -2, -1]] = 1
    inside = labels > 0
    assert labels.size > 1000 * inside.sum()
    image = noise(6, shape)
    assert_objects_equal_the_reference(image, labels, kernel)
    assert tas(image, mask=inside, axes=AXES[len(shape)])[0] != tas(image, axes=AXES[len(shape)])[0]


@pytest.mark.parametrize("kernel", KERNELS)
def test_thousands_of_objects_equal_the_reference_one_by_one(kernel):
    """Larger than the tables that the core begins with: 64 runs, 256 labels."""
    image = noise(7, (130, 260), np.uint16)
    squares = np.kron(np.arange(1, 65 * 130 + 1).reshape(65, 130), np.ones((2, 2), dtype=int))
    squares[::2, ::3] = 0  # of some only three pixels, or two, are left
    numbers = np.random.default_rng(8).permutation(100_000)[: squares.max() + 1] + 1
    labels = np.where(squares > 0, numbers[squares], 0)
    found = measure_objects(image, labels, Rule("tas"), kernel=kernel)
    assert len(found.labels) == 8450
    np.testing.assert_array_equal(found.labels, np.unique(labels)[1:])
    np.testing.assert_array_equal(found.pixels, np.unique(labels, return_counts=True)[1][1:])
    for i in range(0, 8450, 40):
        ys, xs = np.nonzero(labels == found.labels[i])
        box = slice(ys.min(), ys.max() + 1), slice(xs.min(), xs.max() + 1)
        inside = labels[box] == found.labels[i]
        expected = reference.tas(image[box], threshold=7710, margin=7710, inside=inside)
        np.testing.assert_array_equal(found.values[i], expected)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("shape", [(1100, 70), (40, 5000), (3, 300, 70)])
def test_objects_of_more_than_a_chunk_of_rows_equal_the_reference(shape, kernel):
    """The kernels fetch rows a chunk at a time: narrow ones by the hundred, wide ones by eight."""
    image = noise(23, shape)
    labels = (np.kron(noise(24, (shape[-2] // 5, shape[-1] // 5)), np.ones((5, 5))) > 70) * 1
    labels = np.broadcast_to(labels, shape) * np.where(np.indices(shape)[-1] < shape[-1] // 2, 1, 2)
    rows = tas(image, labels=labels, axes=AXES[len(shape)], kernel=kernel)
    for number, row in enumerate(rows, start=1):
        expected = reference.tas(image, threshold=30, margin=30, inside=labels == number)
        np.testing.assert_array_equal(row, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_objects_of_floats_equal_the_reference(dtype):
    image = np.random.default_rng(9).gamma(2.0, 0.3, (40, 132)).astype(dtype)
    labels = discs(image.shape, [(0, 0), (20, 64), (39, 131)], 9)
    how = {"threshold": 0.4, "margin": 0.25}
    rows = tas(image, labels=labels, **how)
    for number, row in enumerate(rows, start=1):
        inside = labels == number
        np.testing.assert_array_equal(row, reference.tas(image, inside=inside, **how))
        np.testing.assert_array_equal(row, tas(image, mask=inside, **how))


def test_an_image_of_any_strides_and_order_of_bytes_has_the_same_objects():
    image = noise(10, (40, 132), np.uint16)
    labels = discs(image.shape, [(0, 0), (20, 64), (39, 131)], 9)
    expected = pftas(image, labels=labels)
    views = {
        "big-endian": image.astype(">u2"),
        "Fortran": np.asfortranarray(image),
        "every second": np.repeat(image, 2, axis=1)[:, ::2],
        "backwards": image[::-1, ::-1].copy()[::-1, ::-1],
    }
    for name, view in views.items():
        found = pftas(view, labels=labels)
        np.testing.assert_array_equal(found, expected, err_msg=name)
        found = pftas(view, mask=labels == 2)
        np.testing.assert_array_equal(found, expected[1], err_msg=name)


# ---- label images of any kind ---------------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", INTEGERS)
def test_labels_of_any_integers_and_strides_are_read(dtype, kernel):
    image = noise(11, (40, 132))
    labels = discs(image.shape, [(0, 0), (20, 64), (20, 80), (39, 131)], 9).astype(dtype)
    labels[labels == 4] = np.iinfo(dtype).max if np.iinfo(dtype).max < 2**32 else 2**32 - 1
    expected = tas(image, labels=labels.astype(np.int64))
    frozen = labels.copy()
    frozen.flags.writeable = False
    views = {
        "C": labels,
        "big-endian": labels.astype(labels.dtype.newbyteorder(">")),
        "every third": np.repeat(labels, 3, axis=1)[:, ::3],
        "backwards": labels[::-1, ::-1].copy()[::-1, ::-1],
        "Fortran": np.asfortranarray(labels),
        "read-only": frozen,
        "odd crop": np.pad(labels, 3, constant_values=9)[3:-3, 3:-3],
        "not aligned": np.frombuffer(b"x" + labels.tobytes(), dtype, offset=1).reshape(40, 132),
    }
    for name, view in views.items():
        found = tas(image, labels=view, kernel=kernel)
        np.testing.assert_array_equal(found, expected, err_msg=name)


def test_labels_that_are_broadcast_are_read():
    image = noise(12, (9, 130))
    column = np.repeat([1, 0, 2], [40, 10, 80])
    labels = np.broadcast_to(column, image.shape)
    np.testing.assert_array_equal(tas(image, labels=labels), tas(image, labels=labels.copy()))


@pytest.mark.parametrize("is_strided", [False, True])
@pytest.mark.parametrize("dtype", [np.uint32, np.int64, np.uint64])
def test_sparse_and_huge_labels_are_kept_as_they_are(dtype, is_strided):
    image = noise(13, (3, 8))
    labels = np.zeros((3, 8), dtype=dtype)
    labels[:, 0], labels[:, 2:4], labels[1, 5:] = 4_000_000_000, 3, 2**32 - 1
    given = np.repeat(labels, 2, axis=1)[:, ::2] if is_strided else labels
    found = measure_objects(image, given)
    assert found.labels.tolist() == [3, 4_000_000_000, 2**32 - 1]
    assert found.labels.dtype == np.uint32
    assert found.pixels.tolist() == [6, 3, 3]
    np.testing.assert_array_equal(found.values[1], pftas(image, mask=labels == 4_000_000_000))


def test_a_label_image_without_objects_gives_no_rows():
    image, nothing = noise(14, (4, 5)), np.zeros((4, 5), dtype=np.uint8)
    assert tas(image, labels=nothing).shape == (0, 54)
    assert pftas(image, labels=nothing, scope="image").shape == (0, 54)
    assert pftas(image[None], labels=nothing[None], axes="zyx").shape == (0, 162)
    found = measure_objects(image, nothing)
    for column in ("labels", "pixels", "threshold", "margin", "mu", "empty"):
        assert getattr(found, column).shape == (0,)
    out = np.empty((0, 54))
    assert tas(image, labels=nothing, out=out) is out


def test_a_mask_gives_what_the_one_object_gives():
    image = noise(15, (30, 70))
    labels = discs(image.shape, [(10, 40)], 8) * 6
    for scope in ("object", "image"):
        mask = pftas(image, mask=labels == 6, scope=scope)
        np.testing.assert_array_equal(pftas(image, labels=labels, scope=scope), [mask])
        found = measure_objects(image, labels, scope=scope)
        alone = measure(image, mask=labels == 6, scope=scope)
        assert found.threshold.tolist() == [alone.threshold]
        assert found.margin.tolist() == [alone.margin]
        assert found.mu.tolist() == [alone.mu]
        np.testing.assert_array_equal(found.values, [alone.values])


def test_a_mask_is_true_wherever_its_bytes_are_not_zero():
    """As NumPy has it, of a mask of 0 and 255 that is looked at as bool."""
    image = noise(25, (3, 70))
    bytes_ = np.array([0, 1, 2, 255], np.uint8)[noise(26, (3, 70)) % 4]
    expected = pftas(image, mask=bytes_ != 0)
    np.testing.assert_array_equal(pftas(image, mask=bytes_.view(bool)), expected)


# ---- where thresholds come from -------------------------------------------------------------


def test_an_object_has_its_own_thresholds_and_is_listed_by_its_label():
    image = np.array([[10, 20, 60, 0, 100, 200, 100], [10, 20, 80, 0, 0, 0, 0]], dtype=np.uint8)
    labels = np.array([[9, 9, 9, 0, 4, 4, 4], [9, 9, 9, 0, 7, 7, 7]])
    found = measure_objects(image, labels)
    assert found.labels.tolist() == [4, 7, 9]
    assert found.pixels.tolist() == [3, 3, 6]
    assert found.threshold.tolist() == [100, 0, 20]
    assert found.mu.tolist() == [200, 0, 70]
    assert found.margin.tolist() == [0, 0, 10]
    assert found.empty.tolist() == [False, True, False]
    assert found.values.shape == (3, 54)
    np.testing.assert_array_equal(found.values, pftas(image, labels=labels))


def test_fixed_thresholds_are_the_same_for_all_objects_but_not_mu():
    image = noise(16, (40, 132), np.uint16) // 16
    labels = discs(image.shape, [(10, 10), (20, 64)], 9)
    found = measure_objects(image, labels, Rule("tas", full_scale=4095))
    assert found.threshold.tolist() == found.margin.tolist() == [482, 482]
    for number, mu in enumerate(found.mu, start=1):
        bright = image[(labels == number) & (image > 482)]
        assert mu == bright.sum(dtype=object) / bright.size


@pytest.mark.parametrize("rule", [Rule(), Rule("tas"), Rule(threshold=90), Rule(margin=4.5)])
def test_scope_image_measures_every_object_at_the_images_thresholds(rule):
    image = noise(17, (40, 132))
    image[:, :60] //= 4  # the first object is much darker than the image
    labels = discs(image.shape, [(20, 20), (20, 100)], 15)
    whole = measure(image, rule)
    found = measure_objects(image, labels, rule, scope="image")
    assert found.threshold.tolist() == [whole.threshold] * 2
    assert found.margin.tolist() == [whole.margin] * 2
    assert found.mu.tolist() == [whole.mu] * 2
    assert found.empty.tolist() == [False, False]
    for number, row in enumerate(found.values, start=1):
        inside = labels == number
        counts = reference.counts(image, mu=whole.mu, margin=whole.margin, inside=inside)
        halves = [half / max(half.sum(), 1) for interval in counts for half in interval]
        np.testing.assert_array_equal(row, np.concatenate(halves))
    own = measure_objects(image, labels, rule)
    assert own.mu[0] != whole.mu
    assert not np.array_equal(own.values[0], found.values[0])


def test_scope_image_of_floats_takes_the_mean_of_the_whole_image():
    image = np.random.default_rng(18).gamma(2.0, 0.3, (40, 132)).astype(np.float32)
    image[:, :60] *= 0.25
    labels = discs(image.shape, [(20, 20), (20, 100)], 15)
    rule = Rule("tas", threshold=0.1, margin=0.2)
    found = measure_objects(image, labels, rule, scope="image")
    assert found.mu.tolist() == [measure(image, rule).mu] * 2
    assert found.mu[0] != measure_objects(image, labels, rule).mu[0]


def test_empty_says_of_the_object_or_the_image_that_nothing_is_bright():
    image = np.array([[5, 5, 0, 200]], dtype=np.uint8)
    labels = np.array([[1, 1, 0, 2]])
    assert measure_objects(image, labels, Rule("tas")).empty.tolist() == [True, False]
    at_once = measure_objects(image, labels, Rule("tas"), scope="image")
    assert at_once.empty.tolist() == [False, False]
    dark = measure_objects(image // 10, labels, Rule("tas"), scope="image")
    assert dark.empty.tolist() == [True, True]
    assert measure(image, Rule("tas"), mask=labels == 1).empty
    assert not measure(image, Rule("tas"), mask=labels == 1, scope="image").empty


def test_a_stack_has_a_mask_for_every_image():
    stack = noise(19, (5, 20, 70))
    masks = noise(20, stack.shape) > 90
    rows = pftas(stack, mask=masks, axes="nyx")
    for image, mask, row in zip(stack, masks, rows, strict=True):
        np.testing.assert_array_equal(row, reference.pftas(image, inside=mask))
    at_image = pftas(stack, mask=masks, axes="nyx", scope="image")
    for image, mask, row in zip(stack, masks, at_image, strict=True):
        np.testing.assert_array_equal(row, pftas(image, mask=mask, scope="image"))


def test_rows_are_written_where_out_says():
    image, labels = noise(21, (30, 70)), discs((30, 70), [(10, 20), (20, 50)], 8)
    table = np.full((4, 54), np.nan)
    found = pftas(image, labels=labels, out=table[1:3])
    assert found.base is table
    np.testing.assert_array_equal(table[1:3], pftas(image, labels=labels))
    assert np.isnan(table[[0, 3]]).all()
    row = np.empty(54)
    assert pftas(image, mask=labels == 2, out=row) is row
    np.testing.assert_array_equal(row, table[2])


# ---- what it costs --------------------------------------------------------------------------


def resident_kilobytes(address):
    """Say how much of the mapping at an address has been touched."""
    is_here = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, *rest = line.split()
        if "-" in name and not name.endswith(":"):
            first, last = (int(end, 16) for end in name.split("-"))
            is_here = first <= address < last
        elif is_here and name == "Rss:":
            return int(rest[0])
    raise AssertionError("no such mapping")


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux which pages were touched")
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("function", [tas, pftas])
def test_objects_are_measured_without_reading_the_rest_of_the_image(function, kernel):
    """A row is 64 KiB, that count as touched once they are read."""
    columns, rows = 65_536, 512
    memory = mmap.mmap(-1, rows * columns)
    image = np.frombuffer(memory, np.uint8).reshape(rows, columns)
    address = image.ctypes.data
    labels = np.zeros((rows, columns), dtype=np.uint8)
    labels[100:120, 1000:1020], labels[400:420, 60_000:60_020] = 1, 2
    before = resident_kilobytes(address)
    function(image, labels=labels, kernel=kernel)
    touched = resident_kilobytes(address) - before
    assert 40 * 4 <= touched <= 44 * 64  # 40 rows at least in part, of 512
    function(image, kernel=kernel)
    assert resident_kilobytes(address) - before == rows * 64  # as the whole image does
    del image
    memory.close()


# ---- what is refused ------------------------------------------------------------------------


IMAGE = noise(22, (4, 6))
ONES = np.ones((4, 6), dtype=np.int64)
INSIDE = np.ones((4, 6), dtype=bool)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64, ">i4"])
@pytest.mark.parametrize("is_strided", [False, True])
def test_a_negative_label_is_refused_by_its_number(dtype, is_strided):
    labels = ONES.astype(dtype)
    labels[2, 3] = -7
    given = np.repeat(labels, 2, axis=1)[:, ::2] if is_strided else labels
    with pytest.raises(
        ImageError, match=r"label -7 at \(2, 3\); number objects from 1 to 4294967295"
    ):
        tas(IMAGE, labels=given)


@pytest.mark.parametrize("dtype", [np.uint64, np.int64])
@pytest.mark.parametrize("label", [2**32, 2**32 + 1, 2**40, 2**63 - 1])
def test_a_label_of_more_than_32_bits_is_refused_by_its_number(dtype, label):
    labels = ONES.astype(dtype)
    labels[3, 5] = label
    with pytest.raises(ImageError, match=rf"label {label} at \(3, 5\); number objects from 1 to"):
        measure_objects(IMAGE, labels)


def test_a_label_of_64_bits_is_refused_by_its_number():
    labels = ONES.astype(np.uint64)
    labels[0, 0] = 2**64 - 1
    with pytest.raises(ImageError, match=rf"label {2**64 - 1} at \(0, 0\); number objects"):
        tas(IMAGE, labels=labels)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (ONES.astype(float), r"labels of dtype float64; pass integers: labels.astype"),
        (
            ONES.astype(bool),
            r"labels of dtype bool; number the objects: scipy.ndimage.label\(mask\)\[0\]",
        ),
        (ONES.astype(complex), r"labels of dtype complex128; pass integers"),
        ((ONES, 1), r"labels in a tuple; .*scipy.ndimage.label"),
        ([[1, 2], [3]], r"labels of type list: .*; pass an array"),
        (ONES[:3], r"labels of shape \(3, 6\) for an image of shape \(4, 6\); pass one value"),
        (ONES[None], r"labels of shape \(1, 4, 6\) for an image of shape \(4, 6\)"),
        (ONES[0], r"labels of shape \(6,\) for an image of shape \(4, 6\)"),
        (ONES.T, r"labels of shape \(6, 4\) for an image of shape \(4, 6\)"),
    ],
)
def test_labels_that_are_none_are_refused(labels, message):
    for refuse in (tas, pftas, measure_objects):
        with pytest.raises(ImageError, match=message):
            refuse(IMAGE, labels=labels)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (ONES, r"mask of dtype int64; pass one of bool: mask != 0"),
        (ONES.astype(np.uint8), r"mask of dtype uint8; pass one of bool: mask != 0"),
        (INSIDE[:, :5], r"mask of shape \(4, 5\) for an image of shape \(4, 6\); pass one value"),
        (INSIDE[None], r"mask of shape \(1, 4, 6\) for an image of shape \(4, 6\)"),
        (~INSIDE, r"mask without a pixel; leave the image out"),
    ],
)
def test_masks_that_are_none_are_refused(mask, message):
    for refuse in (tas, pftas, measure):
        with pytest.raises(ImageError, match=message):
            refuse(IMAGE, mask=mask)


@pytest.mark.parametrize("function", [tas, pftas])
def test_parameters_without_a_meaning_beside_another_are_refused(function):
    stack = IMAGE[None]
    with pytest.raises(UsageError, match="a mask and labels; pass one"):
        function(IMAGE, mask=INSIDE, labels=ONES)
    with pytest.raises(UsageError, match=r"labels with axes='nyx'; measure one image"):
        function(stack, labels=ONES[None], axes="nyx")
    with pytest.raises(UsageError, match=r"labels with axes='nyx'; measure one image"):
        measure_objects(stack, ONES[None], axes="nyx")
    with pytest.raises(
        ImageError, match=r"mask of shape \(4, 6\) for a stack of shape \(1, 4, 6\)"
    ):
        function(stack, mask=INSIDE, axes="nyx")
    for region in ({"mask": INSIDE}, {"labels": ONES}):
        with pytest.raises(UsageError, match=r"definition='mahotas'; use the standard definition"):
            function(IMAGE, definition="mahotas", **region)
        with pytest.raises(UsageError, match=r"scope='field'; use object or image"):
            function(IMAGE, scope="field", **region)


@pytest.mark.parametrize(
    ("out", "found"),
    [
        (np.empty(54), r"float64 \(54,\)"),
        (np.empty((3, 54)), r"float64 \(3, 54\)"),
        (np.empty((2, 162)), r"float64 \(2, 162\)"),
        (np.empty((2, 54), np.float32), r"float32 \(2, 54\)"),
        (np.empty((2, 108))[:, ::2], r"float64 \(2, 54\), not C-contiguous"),
        (np.empty((54, 2)).T, r"float64 \(2, 54\), not C-contiguous"),
    ],
)
def test_an_out_that_does_not_fit_the_objects_is_refused(out, found):
    labels = np.where(np.arange(6) < 3, ONES, 2)
    message = (
        rf"out is {found}; pass a C-contiguous, writeable array of float64 and shape \(2, 54\)"
    )
    with pytest.raises(UsageError, match=message):
        tas(IMAGE, labels=labels, out=out)


def test_floats_without_thresholds_are_refused_with_labels_too():
    message = r"image of dtype float64 without a margin; use tas"
    for region in ({"mask": INSIDE}, {"labels": ONES}):
        with pytest.raises(ImageError, match=message):
            tas(IMAGE.astype(float), threshold=1.0, **region)


def test_an_empty_mask_in_a_stack_is_refused_by_its_place():
    masks = np.stack([INSIDE, ~INSIDE])
    with pytest.raises(ImageError, match=r"image 1 of the stack.*mask without a pixel"):
        tas(np.stack([IMAGE, IMAGE]), mask=masks, axes="nyx")


def test_masked_arrays_are_refused_as_masks_and_labels():
    """Whether what they mask is in or out is not for us to say."""
    for what, array in (("mask", INSIDE), ("labels", ONES)):
        with pytest.raises(ImageError, match=f"{what}.* masked array"):
            tas(IMAGE, **{what: np.ma.array(array, mask=INSIDE)})


def test_an_absent_kernel_is_refused_and_a_named_one_comes_first_for_objects_too(monkeypatch):
    monkeypatch.setenv("HTS_CLASSIFY_KERNEL", "vector")
    for region in ({"mask": INSIDE}, {"labels": ONES}):
        with pytest.raises(KernelError, match=r"^HTS_CLASSIFY_KERNEL: no TAS kernel 'vector'"):
            tas(IMAGE, **region)
        with pytest.raises(KernelError, match=r"no TAS kernel 'avx1024'.*use one of scalar, u64"):
            tas(IMAGE, kernel="avx1024", **region)
        assert tas(IMAGE, kernel="u64", **region).size == 54


def test_out_may_not_share_memory_with_what_is_still_read():
    """A row would be written before the next object's, or image's, pixels are read."""
    pixels = np.random.default_rng(1).random((8, 54))
    labels = np.repeat([2, 1], 4)[:, None] * np.ones((1, 54), dtype=int)
    how = {"threshold": 0.3, "margin": 0.2}
    with pytest.raises(UsageError, match="out shares memory with the input"):
        tas(pixels, labels=labels, out=pixels[:2], **how)
    stack = np.random.default_rng(2).random((3, 9, 54))
    with pytest.raises(UsageError, match="pass an array of its own"):
        tas(stack, axes="nyx", out=stack[0, :3], **how)
