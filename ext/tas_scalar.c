/* The readable definition: one pixel, one neighbour at a time. Every other kernel equals it. */
#include "tas.h"

static int is_on(const tas_image *image, tas_interval interval, size_t row, size_t column)
{
    const unsigned x = tas_pixel(image, row, column);
    return interval.low <= x && x <= interval.high;
}

/* Moves one step along an axis. Returns 0 where that leaves the image and outside is off. */
static int step(size_t *position, int by, size_t length, tas_outside outside)
{
    const int leaves = by < 0 ? *position == 0 : by > 0 && *position == length - 1;
    if (leaves)
        return outside == TAS_OUTSIDE_REFLECTS; /* the edge pixel itself, once more */
    *position += (size_t)by;                    /* by = -1 wraps round to one less */
    return 1;
}

static int on_neighbours(const tas_image *image, tas_interval interval, tas_outside outside,
                         size_t row, size_t column)
{
    int n = 0;
    for (int dy = -1; dy <= 1; dy++)
        for (int dx = -1; dx <= 1; dx++) {
            size_t y = row, x = column;
            if (dy == 0 && dx == 0)
                continue;
            if (step(&y, dy, image->rows, outside) && step(&x, dx, image->columns, outside))
                n += is_on(image, interval, y, x);
        }
    return n;
}

int tas_scalar(const tas_image *image, const tas_interval intervals[TAS_INTERVALS],
               tas_outside outside, tas_counts *counts)
{
    *counts = (tas_counts){0};
    for (int k = 0; k < TAS_INTERVALS; k++)
        for (size_t y = 0; y < image->rows; y++)
            for (size_t x = 0; x < image->columns; x++) {
                const int centre = is_on(image, intervals[k], y, x) ? TAS_ON : TAS_OFF;
                counts->n[k][centre][on_neighbours(image, intervals[k], outside, y, x)]++;
            }
    return 0;
}
