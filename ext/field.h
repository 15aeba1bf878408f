/* What a field looks like beside its statistics: a smaller image of it, and how sharp it is.
 *
 * Integers go in and are added up exactly; one division rounds. The loops over the pixels of a row
 * are built for several instruction sets (field_loops.h), and give the same everywhere.
 */
#ifndef FIELD_H
#define FIELD_H

#include <stddef.h>
#include <stdint.h>

/* One plane of uint8 or uint16, in native order and aligned: a row's pixels lie side by side, rows
 * are `stride` bytes apart, of any sign. */
typedef struct {
    const char *pixels;
    size_t bytes; /* 1 or 2 */
    size_t rows, columns;
    ptrdiff_t stride;
} field_plane;

/* The scale num / den, num <= den, in lowest terms: an output pixel is den / num pixels a side.
 * Up to here, den times the largest pixel fits 32 bits. */
enum { FIELD_LARGEST_DEN = 1 << 16 };

typedef struct {
    uint64_t num, den;
} field_scale;

/* What a row adds to the sum of the Laplacian and to that of its squares. */
typedef struct {
    int64_t total;
    uint64_t squares;
} field_sums;

/* As many columns as those sums may be taken of in one call. */
enum { FIELD_BLOCK = 4096 };

/* The loops over one row.
 *   add_two    sums[i] += a_weight a[i] + b_weight b[i]
 *   laplacian  of 4 here[i] - here[i - 1] - here[i + 1] - above[i] - below[i], of n pixels */
typedef struct {
    const char *name;
    void (*add_two_u8)(const uint8_t *a, uint32_t a_weight, const uint8_t *b, uint32_t b_weight,
                       size_t n, uint32_t *sums);
    void (*add_two_u16)(const uint16_t *a, uint32_t a_weight, const uint16_t *b,
                        uint32_t b_weight, size_t n, uint32_t *sums);
    field_sums (*laplacian_u8)(const uint8_t *above, const uint8_t *here, const uint8_t *below,
                               size_t n);
    field_sums (*laplacian_u16)(const uint16_t *above, const uint16_t *here,
                                const uint16_t *below, size_t n);
} field_loops;

extern const field_loops field_any, field_avx2, field_avx512;

/* Those that this build has and this CPU can run, from the slowest to the fastest: number `index`,
 * or NULL after the last. */
const field_loops *field_loops_at(size_t index);

/* Averages the plane over areas; writes rows num / den of columns num / den pixels (rounded down).
 * Returns -1 when memory ran out. */
int field_shrink(const field_loops *loops, const field_plane *plane, field_scale scale, float *out);

/* The variance of the Laplacian over the pixels that have four neighbours, rounded once; not a
 * number where no pixel has. */
double field_focus(const field_loops *loops, const field_plane *plane);

#endif
