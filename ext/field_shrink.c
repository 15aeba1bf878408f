/* Averages over areas, in exact integers.
 *
 * In units of 1 / num of a pixel, output pixel j covers [j den, (j + 1) den) and pixel i covers
 * [i num, (i + 1) num); a pixel's weight is what the two share. The rows of an output row are
 * added up first, column by column, then the columns.
 */
#include <stdlib.h>
#include <string.h>

#include "field.h"

/* The pixels that an output pixel covers along an axis: the first and the last with weights of
 * their own, those between with all of num. */
typedef struct {
    size_t first, last;
    uint32_t first_weight, last_weight;
} span;

static span span_of(field_scale scale, uint64_t j)
{
    const uint64_t begin = j * scale.den, end = begin + scale.den;
    const uint64_t first = begin / scale.num, last = (end - 1) / scale.num;
    if (first == last) /* only where num == den */
        return (span){(size_t)first, (size_t)last, (uint32_t)scale.den, 0};
    return (span){(size_t)first, (size_t)last, (uint32_t)((first + 1) * scale.num - begin),
                  (uint32_t)(end - last * scale.num)};
}

static void add_rows(const field_loops *loops, const field_plane *plane, size_t a,
                     uint32_t a_weight, size_t b, uint32_t b_weight, uint32_t *sums)
{
    const size_t n = plane->columns;
    const char *at_a = plane->pixels + (ptrdiff_t)a * plane->stride;
    const char *at_b = plane->pixels + (ptrdiff_t)b * plane->stride;
    if (plane->bytes == 1)
        loops->add_two_u8((const void *)at_a, a_weight, (const void *)at_b, b_weight, n, sums);
    else
        loops->add_two_u16((const void *)at_a, a_weight, (const void *)at_b, b_weight, n, sums);
}

/* From the sums of columns to a row of averages. */
static void average(const uint32_t *sums, const span *spans, size_t n, field_scale scale,
                    float *out)
{
    const double area = (double)(scale.den * scale.den);
    for (size_t j = 0; j < n; j++) {
        const span x = spans[j];
        uint64_t between = 0;
        size_t i = x.first + 1;
        for (; i + 1 < x.last; i += 2) /* most areas are too narrow for vectors to pay */
            between += (uint64_t)sums[i] + sums[i + 1];
        if (i < x.last)
            between += sums[i];
        const uint64_t total = between * scale.num + (uint64_t)sums[x.first] * x.first_weight
                               + (uint64_t)sums[x.last] * x.last_weight;
        out[j] = (float)((double)(int64_t)total / area);
    }
}

int field_shrink(const field_loops *loops, const field_plane *plane, field_scale scale, float *out)
{
    const size_t rows = (size_t)(plane->rows * scale.num / scale.den);
    const size_t columns = (size_t)(plane->columns * scale.num / scale.den);
    const uint32_t num = (uint32_t)scale.num;
    uint32_t *sums = malloc((plane->columns + 1) * sizeof *sums);
    span *spans = malloc((columns + 1) * sizeof *spans);
    const int is_there = sums != NULL && spans != NULL;
    for (size_t j = 0; is_there && j < columns; j++)
        spans[j] = span_of(scale, j);
    for (size_t j = 0; is_there && j < rows; j++) {
        const span y = span_of(scale, j);
        memset(sums, 0, plane->columns * sizeof *sums);
        add_rows(loops, plane, y.first, y.first_weight, y.last, y.last_weight, sums);
        for (size_t row = y.first + 1; row < y.last; row += 2) {
            const int is_pair = row + 1 < y.last;
            add_rows(loops, plane, row, num, row + (size_t)is_pair, is_pair ? num : 0, sums);
        }
        average(sums, spans, columns, scale, out + j * columns);
    }
    free(sums);
    free(spans);
    return is_there ? 0 : -1;
}
