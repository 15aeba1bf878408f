# What the modules of the core ask of a buffer.

from cpython.buffer cimport (
    PyBUF_FORMAT, PyBUF_STRIDED_RO, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release,
    PyObject_GetBuffer,
)
from libc.stddef cimport ptrdiff_t, size_t


cdef char _kind(const Py_buffer *view) noexcept:
    """Return the letter of a buffer's items; 0 for structures and for foreign byte order."""
    cdef const char *format = view.format
    cdef int one = 1
    cdef char native = c"<" if (<char *> &one)[0] else c">"
    if format == NULL:
        return c"B"
    if format[0] == native or format[0] == c"=" or format[0] == c"@":
        format += 1
    return format[0] if format[0] != 0 and format[1] == 0 else 0


cdef bint _is_aligned(const Py_buffer *view) noexcept:
    """Say whether all items lie at multiples of their size."""
    cdef int axis
    cdef bint answer = <size_t> view.buf % <size_t> view.itemsize == 0
    for axis in range(view.ndim):
        answer = answer and view.strides[axis] % view.itemsize == 0
    return answer


cdef bint _is_one_block(const Py_buffer *view) noexcept:
    """Say whether all items lie side by side, in the order of the axes."""
    cdef ptrdiff_t expected = view.itemsize
    cdef bint answer = True
    cdef int axis
    for axis in reversed(range(view.ndim)):
        answer = answer and (view.shape[axis] == 1 or view.strides[axis] == expected)
        expected *= view.shape[axis]
    return answer
