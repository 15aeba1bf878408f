# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True
"""The compiled core: buffers are checked here, the C below it trusts them.

Nothing here knows NumPy; any buffer of unsigned bytes or shorts, floats or doubles will do,
read-only ones too. All of it is done without the GIL, but for opening buffers and rounding sums
of floats.
"""

from libc.math cimport NAN, fabs, isnan, rint
from libc.stdint cimport UINT32_MAX, int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, getenv, malloc
from libc.string cimport memset

include "_buffers.pxi"

cdef extern from "tas.h" nogil:
    enum:
        TAS_VALUES_2D
        TAS_VALUES_3D
        TAS_EXACT_POWERS
        TAS_EXACT_SPLIT

    ctypedef enum tas_pixel_type:
        TAS_U8
        TAS_U16
        TAS_F32
        TAS_F64

    ctypedef struct tas_image:
        const char *pixels
        tas_pixel_type type
        int is_volume
        size_t size[3]
        ptrdiff_t stride[3]

    ctypedef struct tas_run:
        pass

    ctypedef struct tas_region:
        uint32_t label
        uint64_t pixels
        size_t low[3]
        size_t high[3]
        const tas_run *runs

    ctypedef enum tas_outside:
        TAS_OUTSIDE_OFF
        TAS_OUTSIDE_REFLECTS

    ctypedef struct tas_cuts:
        double lower, mean, upper

    ctypedef struct tas_counts:
        uint64_t n[3][2][27]

    ctypedef struct tas_sums:
        uint64_t pixels, total

    ctypedef struct tas_kernel:
        const char *name

    const tas_kernel *tas_kernel_at(size_t index)
    const tas_kernel *tas_find_kernel(const char *name)
    int tas_count(const tas_kernel *, const tas_image *, const tas_region *, const tas_cuts *,
                  tas_outside, tas_counts *)

    int tas_all_finite(const tas_image *, const tas_region *, void *copy)

    ctypedef struct tas_labels:
        const char *labels
        size_t bytes
        int is_signed, is_mask
        size_t size[3]
        ptrdiff_t stride[3]

    ctypedef struct tas_objects:
        size_t count
        tas_region *regions

    ctypedef enum tas_status:
        TAS_DONE
        TAS_NO_MEMORY

    tas_status tas_find_objects(const tas_kernel *, const tas_labels *, tas_objects *)
    void tas_free_objects(tas_objects *)

    ctypedef struct tas_histogram:
        size_t used
        uint32_t *level
        uint64_t *count

    int tas_open_histogram(tas_histogram *)
    void tas_close_histogram(tas_histogram *)
    void tas_take_histogram(const tas_image *, const tas_region *, void *copy, tas_histogram *)
    uint32_t tas_otsu(const tas_histogram *)
    uint32_t tas_otsu_mahotas(const tas_histogram *)
    tas_sums tas_above(const tas_histogram *, double threshold, double *deviation)
    tas_sums tas_region_above(const tas_kernel *, const tas_image *, const tas_region *,
                              double threshold, void *copy)

    ctypedef struct tas_figures:
        double minimum, maximum, mean, std, median, mad, p01, p99, saturated

    tas_figures tas_figures_of(const tas_histogram *, uint32_t full_scale)

    ctypedef struct tas_exact_sum:
        uint64_t pixels
        int64_t low[2047]
        int64_t high[2047]

    void tas_region_exactly(const tas_image *, const tas_region *, double threshold,
                            tas_exact_sum *, void *copy)


# ---- kernels -------------------------------------------------------------------------------


def kernels():
    """Name the kernels that run here, from the slowest to the fastest."""
    names = []
    while tas_kernel_at(len(names)) != NULL:
        names.append(tas_kernel_at(len(names)).name.decode())
    return tuple(names)


cdef const tas_kernel *_kernel(str name) except NULL:
    """Find a kernel: the one named, else the environment's, else the fastest."""
    cdef const char *wanted = NULL
    cdef const tas_kernel *found = NULL
    cdef size_t index = 0
    encoded = None
    if name is not None:
        encoded = name.encode()
        wanted = encoded
    else:
        wanted = getenv("HTS_CLASSIFY_KERNEL")
    if wanted != NULL and wanted[0] != 0:
        found = tas_find_kernel(wanted)
        if found == NULL:
            raise LookupError(wanted.decode(errors="replace"))
        return found
    while tas_kernel_at(index + 1) != NULL:
        index += 1
    return tas_kernel_at(index)


def chosen_kernel(str name=None):
    """Name the kernel that is used where `name`, or none, is asked for; LookupError if absent."""
    return _kernel(name).name.decode()


# ---- buffers -------------------------------------------------------------------------------


cdef int _open_image(object array, bint is_volume, Py_buffer *view, tas_image *image) except -1:
    """Fill in `image`; the caller releases `view`."""
    cdef int axis, spare
    cdef char kind
    PyObject_GetBuffer(array, view, PyBUF_STRIDED_RO | PyBUF_FORMAT)
    spare = 3 - view.ndim
    image.is_volume = is_volume
    if spare != (0 if is_volume else 1):
        PyBuffer_Release(view)
        raise ValueError(f"{view.ndim} axes")
    kind = _kind(view)
    if kind == c"B":
        image.type = TAS_U8
    elif kind == c"H":
        image.type = TAS_U16
    elif kind == c"f":
        image.type = TAS_F32
    elif kind == c"d":
        image.type = TAS_F64
    else:
        kind = 0
    if kind == 0 or not _is_aligned(view):
        PyBuffer_Release(view)
        raise ValueError("pixels of no type that is read here")
    image.pixels = <const char *> view.buf
    image.size[0], image.stride[0] = 1, 0
    for axis in range(view.ndim):
        image.size[spare + axis] = view.shape[axis]
        image.stride[spare + axis] = view.strides[axis]
        if view.shape[axis] == 0:
            PyBuffer_Release(view)
            raise ValueError("no pixels")
    return 0


cdef double *_open_doubles(object array, Py_buffer *view, size_t count) except NULL:
    """Open an array that doubles are written to; the caller releases `view`."""
    PyObject_GetBuffer(array, view, PyBUF_STRIDES | PyBUF_FORMAT | PyBUF_WRITABLE)
    cdef size_t items = 1
    cdef int axis
    for axis in range(view.ndim):
        items *= view.shape[axis]
    if _kind(view) != c"d" or not _is_one_block(view) or items != count:
        PyBuffer_Release(view)
        raise ValueError(f"not {count} doubles side by side")
    return <double *> view.buf


def all_finite(image):
    """Say whether no pixel of an image, a volume or a stack is infinite or NaN."""
    cdef Py_buffer view
    cdef tas_image c_image
    cdef void *row
    cdef tas_region whole
    cdef bint answer = True
    _open_image(image, image.ndim == 3, &view, &c_image)
    whole = _whole(&c_image)
    row = malloc(c_image.size[2] * sizeof(double))
    if row != NULL and _is_float(&c_image):
        with nogil:
            answer = tas_all_finite(&c_image, &whole, row)
    free(row)
    PyBuffer_Release(&view)
    if row == NULL:
        raise MemoryError("no memory for a row of pixels")
    return answer


# ---- objects -------------------------------------------------------------------------------


cdef class Objects:
    """The regions of a label image, by ascending label, or the one region of a mask."""

    cdef tas_objects found
    cdef size_t size[3]

    def __dealloc__(self):
        tas_free_objects(&self.found)

    def __len__(self):
        return self.found.count

    def labels(self):
        """List the labels."""
        return [self.found.regions[i].label for i in range(self.found.count)]

    def pixels(self):
        """List how many pixels each object has."""
        return [self.found.regions[i].pixels for i in range(self.found.count)]


class BadLabelError(Exception):
    """A label is negative, or 2^32 or more."""


def find_objects(labels, *, bint mask=False, str kernel=None):
    """Find every object of a label image of integers, in one pass; 0 is background.

    With `mask`, all that is not zero is one object. Raises BadLabelError for labels that
    are negative, or 2^32 or more, OverflowError for more than 2^32 - 1 pixels along an axis.
    """
    cdef Objects objects = Objects()
    cdef const tas_kernel *run = _kernel(kernel)
    cdef Py_buffer view
    cdef tas_labels c_labels
    cdef tas_status status
    cdef int axis, spare
    PyObject_GetBuffer(labels, &view, PyBUF_STRIDED_RO | PyBUF_FORMAT)
    try:
        spare = 3 - view.ndim
        if spare not in (0, 1):
            raise ValueError(f"{view.ndim} axes")
        if _kind(&view) not in (b"?B" if mask else b"?bBhHiIlLqQ") or not _is_aligned(&view):
            raise TypeError("labels, or a mask, of no type that is read here")
        c_labels.labels = <const char *> view.buf
        c_labels.bytes = view.itemsize
        c_labels.is_signed = _kind(&view) in b"bhilq"
        c_labels.is_mask = mask
        c_labels.size[0], c_labels.stride[0] = 1, 0
        for axis in range(view.ndim):
            if not 0 < view.shape[axis] <= UINT32_MAX:
                raise OverflowError(f"{view.shape[axis]} pixels along an axis")
            c_labels.size[spare + axis] = view.shape[axis]
            c_labels.stride[spare + axis] = view.strides[axis]
        with nogil:
            status = tas_find_objects(run, &c_labels, &objects.found)
    finally:
        PyBuffer_Release(&view)
    if status == TAS_NO_MEMORY:
        raise MemoryError("no memory for the runs of a label image")
    if status != TAS_DONE:
        raise BadLabelError("a label that is negative, or 2^32 or more")
    for axis in range(3):
        objects.size[axis] = c_labels.size[axis]
    return objects


# ---- histograms ----------------------------------------------------------------------------


cdef class Histogram:
    """How often each level occurs in an image or a volume of unsigned bytes or shorts."""

    cdef tas_histogram held
    cdef size_t size[3]

    def __cinit__(self, image):
        cdef Py_buffer view
        cdef tas_image c_image
        cdef tas_region whole
        cdef void *row = NULL
        cdef bint is_there
        cdef int axis
        _open_image(image, image.ndim == 3, &view, &c_image)
        try:
            if _is_float(&c_image):
                raise ValueError("a histogram of floats")
            whole = _whole(&c_image)
            for axis in range(3):
                self.size[axis] = c_image.size[axis]
            row = malloc(c_image.size[2] * 2)
            is_there = row != NULL and tas_open_histogram(&self.held) == 0
            if not is_there:
                raise MemoryError("no memory for a row of pixels, or a histogram")
            with nogil:
                tas_take_histogram(&c_image, &whole, row, &self.held)
        finally:
            free(row)
            PyBuffer_Release(&view)

    def __dealloc__(self):
        tas_close_histogram(&self.held)

    def figures(self, uint32_t full_scale):
        """Return what `tas_figures` has, by name; saturated are the pixels >= full_scale."""
        return tas_figures_of(&self.held, full_scale)


# ---- thresholds ----------------------------------------------------------------------------


cdef struct rule:
    double threshold  # NaN: Otsu's
    double margin     # NaN: the standard deviation
    double mu         # NaN: the mean
    bint as_mahotas


cdef struct level:
    double threshold
    double margin
    double mu
    double above      # the pixels > threshold; NaN where mu was given
    bint is_certain   # that mahotas's margin, rounded otherwise, would cut between the same pixels


cdef class _Scratch:
    """A row of pixels and, where they are needed, a histogram or an exact sum."""

    cdef void *row
    cdef tas_histogram histogram
    cdef tas_exact_sum *exact

    def __dealloc__(self):
        free(self.row)
        free(self.exact)
        tas_close_histogram(&self.histogram)


cdef bint _is_float(const tas_image *image) noexcept nogil:
    return image.type == TAS_F32 or image.type == TAS_F64


cdef _Scratch _scratch(const tas_image *image, const rule *r, bint has_histogram):
    cdef _Scratch scratch = _Scratch()
    cdef bint is_there
    scratch.row = malloc(image.size[2] * 8)
    is_there = scratch.row != NULL
    if isnan(r.mu) and _is_float(image):
        scratch.exact = <tas_exact_sum *> malloc(sizeof(tas_exact_sum))
        is_there = is_there and scratch.exact != NULL
    elif not has_histogram and (isnan(r.threshold) or isnan(r.margin)):
        is_there = is_there and tas_open_histogram(&scratch.histogram) == 0
    if not is_there:
        raise MemoryError("no memory for a row of pixels, or a histogram")
    return scratch


cdef level _level_of_integers(
    const tas_kernel *kernel, const tas_image *image, const tas_region *region, const rule *r,
    void *row, tas_histogram *histogram, bint is_taken,
) noexcept nogil:
    cdef level at
    cdef tas_sums sums
    at.threshold, at.margin = r.threshold, r.margin
    if is_taken or isnan(r.threshold) or isnan(r.margin):
        if not is_taken:
            tas_take_histogram(image, region, row, histogram)
        if isnan(r.threshold):
            at.threshold = tas_otsu_mahotas(histogram) if r.as_mahotas else tas_otsu(histogram)
        sums = tas_above(histogram, at.threshold, &at.margin)
        if not isnan(r.margin):
            at.margin = r.margin
    else:
        sums = tas_region_above(kernel, image, region, at.threshold, row)
    at.above = <double> sums.pixels
    if r.as_mahotas:
        # The 1e-8 keeps mahotas from dividing by zero. On a constant image it also puts the mean
        # below every pixel, so that all of them are in the interval Mean.
        at.mu = <double> sums.total / (<double> sums.pixels + 1e-8)
    else:
        at.mu = <double> sums.total / <double> sums.pixels if sums.pixels else 0.0
    at.is_certain = not (r.as_mahotas and isnan(r.margin) and sums.pixels) or (
        _is_off_the_pixels(at.mu - at.margin) and _is_off_the_pixels(at.mu + at.margin)
    )
    return at


cdef bint _is_off_the_pixels(double bound) noexcept nogil:
    """Say whether a bound stays between the same two integers when its last digits change."""
    return fabs(bound - rint(bound)) > 1e-6


cdef int _level_of_floats(
    const tas_image *image, const tas_region *region, const rule *r, _Scratch scratch, level *at
) except -1:
    """Sum up exactly, in Python's integers, so that the mean does not depend on any order."""
    cdef tas_exact_sum *exact = scratch.exact
    cdef int power
    at.threshold, at.margin, at.is_certain = r.threshold, r.margin, True
    with nogil:
        tas_region_exactly(image, region, r.threshold, exact, scratch.row)
    if exact.low[TAS_EXACT_POWERS - 1] or exact.high[TAS_EXACT_POWERS - 1]:
        raise ValueError("a pixel that is infinite, or not a number")
    total = 0
    for power in range(TAS_EXACT_POWERS - 1):
        if exact.low[power] or exact.high[power]:
            low, high = exact.low[power], exact.high[power]  # Python's, which do not overflow
            total += low + (high << TAS_EXACT_SPLIT) << power
    pixels = exact.pixels
    at.above = <double> exact.pixels
    at.mu = total / (pixels << 1074) if pixels else 0.0
    return 0


# ---- the whole of it -----------------------------------------------------------------------


cdef int _count(
    const tas_kernel *kernel, const tas_image *image, const tas_region *region, const level *at,
    bint reflect, tas_counts *counts,
) noexcept nogil:
    cdef tas_cuts cuts
    cuts.lower, cuts.mean, cuts.upper = at.mu - at.margin, at.mu, at.mu + at.margin
    return tas_count(
        kernel, image, region, &cuts, TAS_OUTSIDE_REFLECTS if reflect else TAS_OUTSIDE_OFF, counts
    )


cdef void _proportions(
    const tas_counts *counts, int values, bint as_mahotas, double *out
) noexcept nogil:
    """Divide each half by its pixels. Mahotas's order is the off halves of the three intervals,
    then those of the negated images: the on pixels by their *off* neighbours, so backwards."""
    cdef int interval, centre, value, half, place
    cdef uint64_t total
    for interval in range(3):
        for centre in range(2):
            total = 0
            for value in range(values):
                total += counts.n[interval][centre][value]
            half = 3 * (1 - centre) + interval if as_mahotas else 2 * interval + centre
            for value in range(values):
                place = values - 1 - value if as_mahotas and centre == 0 else value
                out[half * values + place] = (
                    <double> counts.n[interval][centre][value] / <double> total if total else 0.0
                )


cdef tas_region _whole(const tas_image *image) noexcept:
    cdef tas_region region
    cdef int axis
    memset(&region, 0, sizeof(region))
    region.pixels = 1
    for axis in range(3):
        region.high[axis] = image.size[axis]
        region.pixels *= image.size[axis]
    return region


cdef tas_region *_regions(
    Objects objects, const tas_image *image, tas_region *whole, size_t *count
) except NULL:
    """Return the regions to measure: those of the objects, or the whole image."""
    cdef int axis
    count[0] = 1
    if objects is None:
        return whole
    for axis in range(3):
        if objects.size[axis] != image.size[axis]:
            raise ValueError("objects of an image of another size")
    count[0] = objects.found.count
    return objects.found.regions if count[0] else whole


cdef int _check_histogram(
    Histogram histogram, Objects objects, const tas_image *image
) except -1:
    """Refuse a histogram beside objects, and one of an image of another size."""
    cdef int axis
    if histogram is None:
        return 0
    for axis in range(3):
        if histogram.size[axis] != image.size[axis] or objects is not None:
            raise ValueError("a histogram of other pixels")
    return 0


def measure(
    image,
    Objects objects,
    out,
    levels,
    double threshold=NAN,
    double margin=NAN,
    double mu=NAN,
    bint is_volume=False,
    bint as_mahotas=False,
    bint reflect=False,
    str kernel=None,
    exact_margin=None,
    Histogram histogram=None,
):
    """Compute the statistics of an image, or of each of its objects.

    Without `objects`, `out` (54 or 162 doubles, or None) is written for the whole image and
    `levels` (4 doubles, or None) says threshold, margin, mu and the pixels above the threshold;
    with them, both hold that for each. A rule that is NaN is found from the pixels; mu may be
    given where the other two are. `exact_margin(threshold)` is asked for mahotas's margin
    where its rounding decides. `histogram`, of the whole image, is taken unless given. Raises
    LookupError where there is no such kernel.
    """
    cdef Py_buffer image_view, out_view, levels_view
    cdef tas_image c_image
    cdef const tas_kernel *run = _kernel(kernel)
    cdef rule r = rule(threshold, margin, mu, as_mahotas)
    cdef level at
    cdef tas_counts counts
    cdef tas_region whole
    cdef tas_region *regions
    cdef double *values_out = NULL
    cdef double *levels_out = NULL
    cdef _Scratch scratch
    cdef tas_histogram *taken
    cdef bint is_taken = histogram is not None
    cdef size_t i, count = 0
    cdef int values = TAS_VALUES_3D if is_volume else TAS_VALUES_2D, status = 0
    cdef bint is_float

    memset(&out_view, 0, sizeof(Py_buffer))  # so that it may be released unopened
    memset(&levels_view, 0, sizeof(Py_buffer))
    _open_image(image, is_volume, &image_view, &c_image)
    try:
        whole = _whole(&c_image)
        regions = _regions(objects, &c_image, &whole, &count)
        is_float = _is_float(&c_image)
        if is_float and (isnan(threshold) or isnan(margin)):
            raise ValueError("floats without a threshold and a margin")
        if out is not None:
            values_out = _open_doubles(out, &out_view, count * 6 * values)
        if levels is not None:
            levels_out = _open_doubles(levels, &levels_view, count * 4)
        _check_histogram(histogram, objects, &c_image)
        scratch = _scratch(&c_image, &r, is_taken)
        taken = &histogram.held if is_taken else &scratch.histogram
        with nogil:
            for i in range(count):
                if not isnan(mu):
                    at = level(threshold, margin, mu, NAN, True)
                elif is_float:
                    with gil:
                        _level_of_floats(&c_image, &regions[i], &r, scratch, &at)
                else:
                    at = _level_of_integers(
                        run, &c_image, &regions[i], &r, scratch.row, taken, is_taken
                    )
                if not at.is_certain:
                    with gil:
                        at.margin = exact_margin(at.threshold)
                if levels_out != NULL:
                    levels_out[4 * i], levels_out[4 * i + 1] = at.threshold, at.margin
                    levels_out[4 * i + 2], levels_out[4 * i + 3] = at.mu, at.above
                if values_out != NULL:
                    status = _count(run, &c_image, &regions[i], &at, reflect, &counts)
                    if status != 0:
                        break
                    _proportions(&counts, values, as_mahotas, values_out + 6 * values * i)
        if status != 0:
            raise MemoryError("no memory for the bits of a chunk of rows")
    finally:
        PyBuffer_Release(&image_view)
        PyBuffer_Release(&out_view)
        PyBuffer_Release(&levels_view)


# ---- parts of it, for tests and benchmarks -------------------------------------------------


def count(
    image,
    Objects objects,
    uint64_t[:, :, :, ::1] out,
    *,
    double mu,
    double margin,
    bint is_volume=False,
    bint reflect=False,
    str kernel=None,
):
    """Write how many on and off pixels of each interval have 0, 1, … on neighbours.

    `out` has the shape (objects or 1, 3 intervals, on and off, 9 or 27).
    """
    cdef Py_buffer view
    cdef tas_image c_image
    cdef const tas_kernel *run = _kernel(kernel)
    cdef level at = level(NAN, margin, mu, NAN, True)
    cdef tas_counts counts
    cdef tas_region whole
    cdef tas_region *regions
    cdef size_t i, n = 0
    cdef int k, c, v, status = 0, values = TAS_VALUES_3D if is_volume else TAS_VALUES_2D
    _open_image(image, is_volume, &view, &c_image)
    try:
        whole = _whole(&c_image)
        regions = _regions(objects, &c_image, &whole, &n)
        if (out.shape[0], out.shape[1], out.shape[2], out.shape[3]) != (n, 3, 2, values):
            raise ValueError(f"out must have the shape ({n}, 3, 2, {values})")
        with nogil:
            for i in range(n):
                status = _count(run, &c_image, &regions[i], &at, reflect, &counts)
                if status != 0:
                    break
                for k in range(3):
                    for c in range(2):
                        for v in range(values):
                            out[i, k, c, v] = counts.n[k][c][v]
        if status != 0:
            raise MemoryError("no memory for the bits of a chunk of rows")
    finally:
        PyBuffer_Release(&view)


def from_histogram(const uint64_t[::1] counts, *, double threshold=NAN, bint as_mahotas=False):
    """Return Otsu's threshold (or that given), and of the levels above it: the pixels, their sum
    and their standard deviation.

    `counts[x]` is how many pixels have the value x, up to 65535.
    """
    cdef tas_histogram histogram
    cdef tas_sums sums
    cdef double deviation, pixels = 0
    cdef ptrdiff_t x
    if not 0 < counts.shape[0] <= 65536:
        raise ValueError(f"a histogram of {counts.shape[0]} levels")
    if tas_open_histogram(&histogram) != 0:
        raise MemoryError("no memory for a histogram")
    for x in range(counts.shape[0]):
        pixels += <double> counts[x]
        if counts[x]:
            histogram.level[histogram.used] = <uint32_t> x
            histogram.count[histogram.used] = counts[x]
            histogram.used += 1
    if pixels > 2.0**38:  # beyond, products of 256 bits overflow
        tas_close_histogram(&histogram)
        raise ValueError("more than 2^38 pixels")
    if isnan(threshold):
        threshold = tas_otsu_mahotas(&histogram) if as_mahotas else tas_otsu(&histogram)
    sums = tas_above(&histogram, threshold, &deviation)
    tas_close_histogram(&histogram)
    return threshold, sums.pixels, sums.total, deviation
