"""Every kernel equals the NumPy reference, count for count, whatever the image looks like."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import hts_classify.features as features
from hts_classify.errors import KernelError
from hts_classify.features import _tas, reference

KERNELS = features.kernels()
WIDTHS = [1, 2, 3, 7, 8, 9, *range(61, 68), *range(126, 131), 191, 192, 193, 513]


def counts(image, mu, margin, *, reflect=False, kernel):
    out = np.full((1, 3, 2, 3**image.ndim), 7, dtype=np.uint64)
    is_volume = image.ndim == 3
    _tas.count(
        image, None, out, mu=mu, margin=margin, is_volume=is_volume, reflect=reflect, kernel=kernel
    )
    return out[0]


def noise(seed, shape, dtype=np.uint8, top=None):
    top = np.iinfo(dtype).max if top is None else top
    return np.random.default_rng(seed).integers(0, top, shape, dtype=dtype, endpoint=True)


def assert_equals_reference(image, *, mu, margin, kernel):
    for reflect in (False, True):
        found = counts(image, mu, margin, reflect=reflect, kernel=kernel)
        expected = reference.counts(image, mu=mu, margin=margin, reflect=reflect)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("columns", WIDTHS)
def test_every_width_and_height_equals_the_reference(columns, dtype, kernel):
    for rows in (1, 2, 3, 9):
        image = noise(100 * columns + rows, (rows, columns), dtype)
        top = float(np.iinfo(dtype).max)
        assert_equals_reference(image, mu=0.5 * top, margin=0.21 * top, kernel=kernel)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_sparse_dense_and_blobby_images_equal_the_reference(dtype, kernel):
    """Uniform noise hardly ever has 0 or 8 neighbours; these have."""
    rng = np.random.default_rng(5)
    for density in (0.01, 0.1, 0.5, 0.9, 0.99):
        speckles = (rng.random((40, 131)) < density).astype(dtype) * 200
        blobs = np.kron(rng.random((8, 27)) < density, np.ones((5, 5))).astype(dtype) * 200
        for image in (speckles, blobs):
            assert_equals_reference(image, mu=100.5, margin=110.0, kernel=kernel)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("mu", "margin"),
    [(0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (255.0, 0.0), (255.0, 300.0), (9.999, 1e-3), (10, 0.5)],
)
def test_bounds_on_and_beyond_the_pixels_equal_the_reference(mu, margin, kernel):
    assert_equals_reference(noise(3, (12, 70), top=20), mu=mu, margin=margin, kernel=kernel)
    assert_equals_reference(noise(4, (12, 70)), mu=mu, margin=margin, kernel=kernel)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_strides_of_any_kind_are_read_in_place(dtype, kernel):
    big = noise(11, (40, 300), dtype)
    frozen = big.copy()
    frozen.flags.writeable = False
    views = {
        "every third column": big[:, ::3],
        "backwards": big[::-1, ::-1],
        "transposed": big.T,
        "Fortran": np.asfortranarray(big),
        "broadcast": np.broadcast_to(big[:1], (9, 300)),
        "odd crop": big[3:20, 5:136],
        "read-only": frozen,
    }
    for name, view in views.items():
        found = counts(view, 0.5 * big.max(), 0.2 * big.max(), kernel=kernel)
        expected = counts(view.copy(order="C"), 0.5 * big.max(), 0.2 * big.max(), kernel=kernel)
        np.testing.assert_array_equal(found, expected, err_msg=name)


def test_halves_of_an_interval_add_up_to_the_pixels():
    image = noise(8, (1080, 1080), np.uint16)
    for kernel in KERNELS:
        found = counts(image, 30000.0, 9000.0, kernel=kernel)
        assert found.sum(axis=(1, 2)).tolist() == [1080 * 1080] * 3
        below = (image > 21000) & (image < 39000)
        assert found[0, 0].sum() == below.sum()


@pytest.mark.parametrize("kernel", KERNELS)
def test_volumes_of_every_depth_equal_the_reference(kernel):
    for shape in ((1, 1, 1), (1, 5, 70), (2, 1, 66), (3, 4, 1), (4, 9, 130), (9, 3, 64)):
        for dtype in (np.uint8, np.uint16):
            top = float(np.iinfo(dtype).max)
            image = noise(sum(shape), shape, dtype)
            assert_equals_reference(image, mu=0.4 * top, margin=0.3 * top, kernel=kernel)
            dense = np.where(noise(1, shape) < 245, 200, 0).astype(dtype)  # up to 26 neighbours
            assert_equals_reference(dense, mu=100.0, margin=150.0, kernel=kernel)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_are_compared_with_the_bounds_as_they_are(dtype, kernel):
    """No pixel is rounded: those one step beside a bound are on its right side."""
    mu, margin = 0.7, 0.1
    bounds = [mu - margin, mu, mu + margin]
    beside = [np.nextafter(dtype(b), dtype(to)) for b in bounds for to in (-9, 9)]
    pixels = np.array([*map(dtype, bounds), *beside, -3.0, 0.0, 5e-324, 1e30], dtype=dtype)
    image = np.random.default_rng(4).choice(pixels, (23, 90))
    assert_equals_reference(image, mu=mu, margin=margin, kernel=kernel)


@pytest.mark.parametrize("kernel", KERNELS)
def test_images_of_more_than_a_chunk_of_rows_equal_the_reference(kernel):
    """Rows are fetched a chunk at a time; wide ones in chunks of few."""
    for shape in ((1100, 3), (70, 1000), (21, 40000)):
        image = np.where(noise(6, shape) < 128, 200, 10).astype(np.uint8)
        assert_equals_reference(image, mu=100.0, margin=150.0, kernel=kernel)


def test_more_pixels_than_32_bits_count_are_counted_right():
    """One row again and again: 66,000 × 66,000 pixels, of which a few kilobytes exist."""
    row = np.where(np.arange(66_000) % 3 == 0, np.uint8(200), np.uint8(10))
    image = np.broadcast_to(row, (66_000, 66_000))
    found = counts(image, 100.0, 150.0, kernel=KERNELS[-1])
    assert found.sum(axis=(1, 2)).tolist() == [66_000**2] * 3
    columns = 22_000  # each is on from top to bottom
    assert found[2, 0].tolist() == [0, 2 * columns, columns * 65_998, 0, 0, 0, 0, 0, 0]


def test_more_pixels_than_32_bits_count_have_their_thresholds():
    row = np.where(np.arange(70_000) % 10 == 0, np.uint8(200), np.uint8(10))
    at = features.measure(np.broadcast_to(row, (70_000, 70_000)))
    assert (at.threshold, at.margin, at.mu) == (10, 0, 200)


def test_the_core_refuses_buffers_it_would_overrun():
    image = noise(1, (4, 4))
    out = np.zeros((1, 3, 2, 9), dtype=np.uint64)
    with pytest.raises(ValueError, match="no pixels"):
        _tas.count(image[:0], None, out, mu=1.0, margin=1.0)
    with pytest.raises(ValueError, match="out must"):
        _tas.count(image, None, out[:, :2], mu=1.0, margin=1.0)
    with pytest.raises(ValueError, match="2 axes"):
        _tas.count(image, None, np.zeros((1, 3, 2, 27), np.uint64), mu=1, margin=1, is_volume=True)
    with pytest.raises(ValueError, match="not 54 doubles"):
        _tas.measure(image, None, np.empty(53), None)
    with pytest.raises(ValueError, match="not 54 doubles"):
        _tas.measure(image, None, np.empty(108)[::2], None)
    with pytest.raises(ValueError, match="no type"):
        _tas.measure(image.astype(">u2"), None, np.empty(54), None)
    unaligned = np.zeros(33, dtype=np.uint8)[1:].view(np.uint16).reshape(4, 4)
    with pytest.raises(ValueError, match="no type"):
        _tas.measure(unaligned, None, np.empty(54), None)
    with pytest.raises(TypeError, match="no type"):
        _tas.find_objects(unaligned)
    with pytest.raises(ValueError, match="another size"):
        _tas.measure(image, _tas.find_objects(np.ones((4, 5), int)), np.empty(54), None)
    with pytest.raises(ValueError, match="levels"):
        _tas.from_histogram(np.zeros(65537, dtype=np.uint64))


def test_the_fastest_kernel_is_the_last_and_the_readable_one_always_there():
    assert KERNELS[0] == "scalar"
    assert "u64" in KERNELS[1:]


def test_an_absent_kernel_is_an_error_that_names_the_present_ones(monkeypatch):
    image = noise(1, (4, 4))
    with pytest.raises(KernelError, match=r"'avx1024'.*use one of scalar, u64"):
        features.tas(image, kernel="avx1024")
    monkeypatch.setenv("HTS_CLASSIFY_KERNEL", "vector")
    with pytest.raises(KernelError, match=r"^HTS_CLASSIFY_KERNEL: no TAS kernel 'vector'"):
        features.pftas(image)
    assert features.pftas(image, kernel="scalar").shape == (54,)  # what is passed comes first


def test_the_environment_chooses_the_kernel(monkeypatch):
    for name in KERNELS:
        monkeypatch.setenv("HTS_CLASSIFY_KERNEL", name)
        assert _tas.chosen_kernel() == name
        assert _tas.chosen_kernel("u64") == "u64"  # what is passed comes first
    monkeypatch.setenv("HTS_CLASSIFY_KERNEL", "")
    assert _tas.chosen_kernel() == KERNELS[-1]
    monkeypatch.delenv("HTS_CLASSIFY_KERNEL")
    assert _tas.chosen_kernel() == KERNELS[-1]


def test_threads_change_nothing():
    images = [noise(seed, (200, 333), np.uint16) for seed in range(16)]
    alone = [features.pftas(image) for image in images]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(features.pftas, images))
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("call", ["tas", "pftas", "labels"])
def test_the_gil_is_released_while_pixels_are_counted(call):
    image = noise(1, (1500, 1500))
    began, order = threading.Event(), []
    calls = {
        "tas": lambda: features.tas(image, kernel="scalar"),
        "pftas": lambda: features.pftas(image, kernel="scalar"),
        "labels": lambda: features.pftas(image[:200], labels=image[:200] // 64, kernel="scalar"),
    }

    def work():
        began.set()
        calls[call]()
        order.append("counted")

    interval = sys.getswitchinterval()
    worker = threading.Thread(target=work)
    sys.setswitchinterval(1000.0)  # nobody is made to give the GIL up: it has to be released
    try:
        worker.start()
        began.wait()
        order.append("waited")
        worker.join()
    finally:
        sys.setswitchinterval(interval)
    assert order == ["waited", "counted"]


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_dark_field_is_dark_where_others_have_denormals_flushed_to_zero(kernel):
    """As PyTorch can be told to, and libraries built for speed do to the whole thread."""
    torch = pytest.importorskip("torch")
    image = noise(3, (40, 70), top=29)
    expected = features.tas(image, kernel=kernel)
    if not torch.set_flush_denormal(True):
        pytest.skip("this CPU does not flush denormals")
    try:
        found = features.tas(image, kernel=kernel)
    finally:
        torch.set_flush_denormal(False)
    np.testing.assert_array_equal(found, expected)
    assert found[18] == 0  # Lower, on: none has no neighbour, as nearly all are on
    assert found[36:45].sum() == 1


def test_threads_may_share_an_image_and_its_labels():
    image, labels = noise(1, (200, 333), np.uint16), noise(2, (200, 333), top=40)
    calls = [
        lambda: features.pftas(image, labels=labels),
        lambda: features.tas(image, labels=labels, scope="image"),
        lambda: features.pftas(image.astype(float), definition="mahotas", threshold=900),
        lambda: features.tas(image, mask=labels > 3),
    ]
    alone = [call() for call in calls]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda call: call(), calls * 8))
    for found, expected in zip(together, alone * 8, strict=True):
        np.testing.assert_array_equal(found, expected)
