/* How sharp a plane is: the variance of its Laplacian. */
#include <math.h>

#include "field.h"
#include "tas_wide.h"

/* A row at a time in blocks; squares are added up in 128 bits. */
typedef struct {
    int64_t total; /* the Laplacian's sum is that of the edges: all between cancels out */
    uint64_t low, high;
} plane_sums;

static void add_row(const field_loops *loops, const field_plane *plane, size_t row,
                    plane_sums *sums)
{
    const char *here = plane->pixels + (ptrdiff_t)row * plane->stride + plane->bytes;
    for (size_t left = plane->columns - 2; left > 0;) {
        const size_t n = left < FIELD_BLOCK ? left : FIELD_BLOCK;
        const void *at = here, *above = here - plane->stride, *below = here + plane->stride;
        const field_sums found = plane->bytes == 1 ? loops->laplacian_u8(above, at, below, n)
                                                   : loops->laplacian_u16(above, at, below, n);
        sums->total += found.total;
        sums->low += found.squares;
        sums->high += sums->low < found.squares;
        here += n * plane->bytes;
        left -= n;
    }
}

double field_focus(const field_loops *loops, const field_plane *plane)
{
    plane_sums sums = {0, 0, 0};
    if (plane->rows < 3 || plane->columns < 3)
        return NAN;
    for (size_t row = 1; row + 1 < plane->rows; row++)
        add_row(loops, plane, row, &sums);
    const wide n = wide_of((uint64_t)(plane->rows - 2) * (plane->columns - 2));
    const wide total = wide_of((uint64_t)(sums.total < 0 ? -sums.total : sums.total));
    const wide squares = wide_plus(wide_of(sums.low), wide_shl(wide_of(sums.high), 64));
    const wide spread = wide_minus(wide_times(n, squares), wide_times(total, total));
    return wide_bits(spread) == 0 ? 0 : wide_ratio(spread, wide_times(n, n));
}
