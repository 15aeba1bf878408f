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
from hts_classify.features.thresholds import Thresholds

KERNELS = features.kernels()
WIDTHS = [1, 2, 3, 7, 8, 9, *range(61, 68), *range(126, 131), 191, 192, 193, 513]


def counts(image, mu, margin, *, reflect=False, kernel):
    at = Thresholds(threshold=0, margin=margin, mu=mu, empty=False)
    out = np.full((3, 2, 9), 7, dtype=np.uint64)
    intervals = at.intervals(np.iinfo(image.dtype).max)
    _tas.count(image, intervals, out, reflect=reflect, kernel=kernel)
    return out


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


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_histogram_counts_every_pixel_of_any_view(dtype):
    image = noise(2, (33, 101), dtype)
    for view in (image, image[::-2, ::3], image.T):
        out = np.zeros(np.iinfo(dtype).max + 1, dtype=np.uint64)
        _tas.histogram(view, out)
        np.testing.assert_array_equal(out, np.bincount(view.ravel(), minlength=len(out)))


def test_the_core_refuses_buffers_it_would_overrun():
    image = noise(1, (4, 4))
    intervals = np.zeros((3, 2), dtype=np.uint16)
    out = np.zeros((3, 2, 9), dtype=np.uint64)
    with pytest.raises(ValueError, match="no pixels"):
        _tas.count(image[:0], intervals, out, reflect=False, kernel="u64")
    with pytest.raises(ValueError, match="out must"):
        _tas.count(image, intervals, out[:2], reflect=False, kernel="u64")
    with pytest.raises(ValueError, match="intervals must"):
        _tas.count(image, intervals[:2], out, reflect=False, kernel="u64")
    with pytest.raises(ValueError, match="levels"):
        _tas.histogram(image, np.zeros(255, dtype=np.uint64))


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
    used = []
    count = _tas.count

    def spy(*args, kernel, **rest):
        used.append(kernel)
        count(*args, kernel=kernel, **rest)

    monkeypatch.setattr(_tas, "count", spy)
    image = noise(1, (4, 4))
    for name in ("scalar", "u64"):
        monkeypatch.setenv("HTS_CLASSIFY_KERNEL", name)
        features.tas(image)
    monkeypatch.delenv("HTS_CLASSIFY_KERNEL")
    features.tas(image)
    assert used == ["scalar", "u64", KERNELS[-1]]


def test_threads_change_nothing():
    images = [noise(seed, (200, 333), np.uint16) for seed in range(16)]
    alone = [features.pftas(image) for image in images]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(features.pftas, images))
    np.testing.assert_array_equal(together, alone)


def test_the_gil_is_released_while_pixels_are_counted():
    image = noise(1, (1500, 1500))
    began, order = threading.Event(), []

    def work():
        began.set()
        counts(image, 128.0, 30.0, kernel="scalar")
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
