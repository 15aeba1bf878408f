# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The compiled core: buffers are checked here, the C below it trusts them.

Nothing here knows NumPy; any buffer of unsigned bytes or shorts will do, read-only ones too.
"""

from libc.stddef cimport ptrdiff_t, size_t
from libc.stdint cimport uint8_t, uint16_t, uint64_t

cdef extern from "tas.h" nogil:
    ctypedef enum tas_outside:
        TAS_OUTSIDE_OFF
        TAS_OUTSIDE_REFLECTS

    ctypedef struct tas_interval:
        uint16_t low
        uint16_t high

    ctypedef struct tas_image:
        const char *pixels
        size_t pixel_bytes
        size_t rows
        size_t columns
        ptrdiff_t row_stride
        ptrdiff_t column_stride

    ctypedef struct tas_counts:
        uint64_t n[3][2][9]

    ctypedef int tas_kernel(const tas_image *, const tas_interval *, tas_outside, tas_counts *)

    const char *tas_kernel_name(size_t index)
    tas_kernel *tas_find_kernel(const char *name)
    void tas_histogram(const tas_image *, uint64_t *histogram)
    size_t tas_otsu_mahotas(const uint64_t *histogram, size_t levels)

ctypedef fused pixel:
    uint8_t
    uint16_t


cdef tas_image _image(const pixel[:, :] pixels):
    cdef tas_image image
    if pixels.shape[0] == 0 or pixels.shape[1] == 0:
        raise ValueError(f"no pixels: {pixels.shape[0]} x {pixels.shape[1]}")
    image.pixels = <const char *> &pixels[0, 0]
    image.pixel_bytes = sizeof(pixel)
    image.rows, image.columns = pixels.shape[0], pixels.shape[1]
    image.row_stride, image.column_stride = pixels.strides[0], pixels.strides[1]
    return image


def kernels():
    """Name the kernels that run here, from the slowest to the fastest."""
    names = []
    while tas_kernel_name(len(names)) != NULL:
        names.append(tas_kernel_name(len(names)).decode())
    return tuple(names)


def histogram(const pixel[:, :] image, uint64_t[::1] out):
    """Add every pixel to `out[value]`; `out` has 256 entries for bytes, 65536 for shorts."""
    cdef tas_image c_image = _image[pixel](image)
    cdef size_t levels = 1 << 8 * sizeof(pixel)
    if <size_t> out.shape[0] != levels:
        raise ValueError(f"a histogram of {out.shape[0]} levels, not {levels}")
    with nogil:
        tas_histogram(&c_image, &out[0])


def otsu_mahotas(const uint64_t[::1] histogram):
    """Return Otsu's threshold as mahotas 1.4.19 finds it, rounding included."""
    if histogram.shape[0] == 0:
        raise ValueError("a histogram of no levels")
    return tas_otsu_mahotas(&histogram[0], histogram.shape[0])


def count(
    const pixel[:, :] image,
    const uint16_t[:, ::1] intervals,
    uint64_t[:, :, ::1] out,
    *,
    bint reflect,
    str kernel not None,
):
    """Write how many on and off pixels of each interval have 0 to 8 on neighbours.

    `intervals` holds three rows of lowest and highest pixel, both included; `out` has the shape
    (3 intervals, on and off, 9). The GIL is released.
    """
    cdef tas_image c_image = _image[pixel](image)
    cdef tas_kernel *run = tas_find_kernel(kernel.encode())
    cdef tas_outside outside = TAS_OUTSIDE_REFLECTS if reflect else TAS_OUTSIDE_OFF
    cdef int status
    if run == NULL:
        raise LookupError(f"no kernel {kernel!r} here")
    if intervals.shape[0] != 3 or intervals.shape[1] != 2:
        raise ValueError("intervals must have the shape (3, 2)")
    if out.shape[0] != 3 or out.shape[1] != 2 or out.shape[2] != 9:
        raise ValueError("out must have the shape (3, 2, 9)")
    with nogil:
        status = run(
            &c_image, <const tas_interval *> &intervals[0, 0], outside, <tas_counts *> &out[0, 0, 0]
        )
    if status != 0:
        raise MemoryError(f"no memory to count an image of {image.shape[0]} x {image.shape[1]}")
