# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True
"""Figures of a field: buffers are checked here, the C below it (field.h) trusts them."""

from libc.stdint cimport uint64_t

include "_buffers.pxi"

cdef extern from "field.h" nogil:
    enum:
        FIELD_LARGEST_DEN

    ctypedef struct field_plane:
        const char *pixels
        size_t bytes, rows, columns
        ptrdiff_t stride

    ctypedef struct field_scale:
        uint64_t num, den

    ctypedef struct field_loops:
        const char *name

    const field_loops *field_loops_at(size_t index)
    int field_shrink(const field_loops *, const field_plane *, field_scale, float *out)
    double field_focus(const field_loops *, const field_plane *)


LARGEST_DEN = FIELD_LARGEST_DEN


def loops():
    """Name the instruction sets whose loops run here, from the slowest to the fastest."""
    names = []
    while field_loops_at(len(names)) != NULL:
        names.append(field_loops_at(len(names)).name.decode())
    return tuple(names)


cdef const field_loops *_loops(str name) except NULL:
    """Find the loops: those named, else the fastest."""
    here = loops()
    return field_loops_at(len(here) - 1 if name is None else here.index(name))


cdef int _open_plane(object array, Py_buffer *view, field_plane *plane) except -1:
    """Fill in `plane`; the caller releases `view`."""
    PyObject_GetBuffer(array, view, PyBUF_STRIDED_RO | PyBUF_FORMAT)
    if (
        view.ndim != 2 or _kind(view) not in b"BH" or not _is_aligned(view)
        or (view.shape[1] > 1 and view.strides[1] != view.itemsize)
    ):
        PyBuffer_Release(view)
        raise ValueError("no plane of pixels that is read here")
    plane.pixels, plane.bytes = <const char *> view.buf, view.itemsize
    plane.rows, plane.columns = view.shape[0], view.shape[1]
    plane.stride = view.strides[0]
    return 0


def shrink(image, out, uint64_t num, uint64_t den, *, str instructions=None):
    """Write averages over areas of den / num pixels a side to `out`, an array of floats.

    num / den is in lowest terms, num <= den <= LARGEST_DEN; rows of pixels lie side by side.
    """
    cdef Py_buffer view, out_view
    cdef field_plane plane
    cdef const field_loops *run = _loops(instructions)
    cdef field_scale scale = field_scale(num, den)
    cdef int status
    if not 0 < num <= den <= FIELD_LARGEST_DEN:
        raise ValueError(f"a scale of {num} / {den}")
    _open_plane(image, &view, &plane)
    try:
        PyObject_GetBuffer(out, &out_view, PyBUF_STRIDES | PyBUF_FORMAT | PyBUF_WRITABLE)
        try:
            if (
                out_view.ndim != 2 or _kind(&out_view) != c"f" or not _is_one_block(&out_view)
                or <uint64_t> out_view.shape[0] != plane.rows * num // den
                or <uint64_t> out_view.shape[1] != plane.columns * num // den
            ):
                raise ValueError("not as many floats, side by side, as the plane has areas")
            with nogil:
                status = field_shrink(run, &plane, scale, <float *> out_view.buf)
        finally:
            PyBuffer_Release(&out_view)
    finally:
        PyBuffer_Release(&view)
    if status != 0:
        raise MemoryError("no memory for the sums of a row")


def focus(image, *, str instructions=None):
    """Return the variance of a plane's Laplacian; NaN where no pixel has four neighbours."""
    cdef Py_buffer view
    cdef field_plane plane
    cdef const field_loops *run = _loops(instructions)
    cdef double variance
    _open_plane(image, &view, &plane)
    with nogil:
        variance = field_focus(run, &plane)
    PyBuffer_Release(&view)
    return variance
