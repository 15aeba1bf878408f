/* Pixels in a row, and the runs of a region in a row. */
#include "tas.h"

#define GATHER(type)                                                                           \
    for (size_t x = 0; x < n; x++)                                                             \
        ((type *)copy)[x] = *(const type *)(from + (ptrdiff_t)x * image->stride[2])

const void *tas_row_pixels(const tas_image *image, size_t plane, size_t row, size_t begin,
                           size_t end, void *copy)
{
    const char *from = tas_row(image, plane, row, begin);
    const size_t n = end - begin;
    if (image->stride[2] == (ptrdiff_t)tas_pixel_bytes[image->type])
        return from;
    switch (image->type) {
    case TAS_U8: GATHER(uint8_t); break;
    case TAS_U16: GATHER(uint16_t); break;
    case TAS_F32: GATHER(float); break;
    default: GATHER(double);
    }
    return copy;
}

const tas_run *tas_first_run(const tas_region *region, size_t plane, size_t row)
{
    size_t first = 0, last = region->run_count; /* the answer is in first..last */
    while (first < last) {
        const size_t middle = first + (last - first) / 2;
        const tas_run *run = &region->runs[middle];
        if (run->plane < plane || (run->plane == plane && run->row < row))
            first = middle + 1;
        else
            last = middle;
    }
    return region->runs + first;
}

tas_walk tas_walk_along(const tas_image *image, const tas_region *region, void *copy)
{
    return (tas_walk){image, region, copy, region->low[0], region->low[1], 0};
}

/* Whether the region is all of an image whose pixels follow each other. */
static int is_one_piece(const tas_image *image, const tas_region *region)
{
    ptrdiff_t stride = (ptrdiff_t)tas_pixel_bytes[image->type];
    for (int axis = 2; axis >= 0; axis--) {
        if (region->high[axis] - region->low[axis] != image->size[axis])
            return 0;
        if (image->size[axis] > 1 && image->stride[axis] != stride)
            return 0;
        stride *= (ptrdiff_t)image->size[axis];
    }
    return 1;
}

const void *tas_next_pixels(tas_walk *walk, size_t *n)
{
    const tas_region *region = walk->region;
    if (region->runs != NULL) {
        if (walk->run == region->run_count)
            return NULL;
        const tas_run *run = &region->runs[walk->run++];
        *n = run->end - run->begin;
        return tas_row_pixels(walk->image, run->plane, run->row, run->begin, run->end, walk->copy);
    }
    if (walk->plane == region->high[0])
        return NULL;
    const size_t plane = walk->plane, row = walk->row;
    if (plane == 0 && row == 0 && is_one_piece(walk->image, region)) {
        walk->plane = region->high[0];
        *n = region->pixels;
        return walk->image->pixels;
    }
    if (++walk->row == region->high[1]) {
        walk->row = region->low[1];
        walk->plane++;
    }
    *n = region->high[2] - region->low[2];
    return tas_row_pixels(walk->image, plane, row, region->low[2], region->high[2], walk->copy);
}

/* x - x is 0 but for what is infinite or not a number. */
#define COUNT_FINITE(type)                                                                     \
    for (size_t i = 0; i < n; i++)                                                             \
        finite += ((const type *)x)[i] - ((const type *)x)[i] == 0

int tas_all_finite(const tas_image *image, const tas_region *region, void *copy)
{
    tas_walk walk = tas_walk_along(image, region, copy);
    const void *x;
    for (size_t n; (x = tas_next_pixels(&walk, &n)) != NULL;) {
        size_t finite = 0;
        if (image->type == TAS_F32)
            COUNT_FINITE(float);
        else
            COUNT_FINITE(double);
        if (finite < n)
            return 0;
    }
    return 1;
}
