/* Threshold adjacency statistics with bit-sliced adders: README.md draws them.
 *
 * This file is the algorithm; it is included once by each tas_<word>.c, which first defines the
 * operations that tas_adders.h lists, and
 *
 *   TAS_KERNEL, TAS_NAME       the kernel's variable (declared in tas.h) and its name
 *   at_least_u8(p, cut)        of 64 pixels: bit i is p[i] >= cut
 *   at_least_u16(p, cut)
 *   changes_u32(p)             of 65 labels: bit i is p[i] != p[i + 1]
 *   WORD_SUMS_BYTES            1 where there are also
 *     word_above_u8(p, cut)    a word of pixels, those below the cut zero
 *     word_above_u16(p, cut)
 *     word_byte_sums(a)        in each lane, the sum of its bytes
 *     word_lanes(a)            all lanes equal to a
 *
 * One bit is one pixel; a lane holds 64 neighbouring pixels of a row, the leftmost lowest. A row
 * is followed by at least two bits for what is right of it, and left of the next one; rows follow
 * each other without a gap, so that a word may hold pieces of several.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tas_adders.h"

enum { LANE_BITS = 64, STEP = BLOCK * WORD_LANES };

/* A chunk of rows is about this many lanes, so that all of its bits stay in the fastest cache. */
enum { CHUNK_LANES = 512, CHUNK_ROWS = 8 };

/* ---- counting: from planes of neighbours to tallies ---------------------------------------- */

/* Of the pixels counted (`all`) and of those that are on: how many have v on neighbours, v > 0. */
typedef struct {
    counter all[TAS_VALUES_3D], on[TAS_VALUES_3D], centre;
} tally;

/* As far as an image or a volume uses it: so that an image's stays in registers. */
TAS_INLINE void copy_tally(tally *to, const tally *from, int values)
{
    TAS_UNROLL
    for (int v = 1; v < values; v++) {
        to->all[v] = from->all[v];
        to->on[v] = from->on[v];
    }
    to->centre = from->centre;
}

/* One mask for each value: the pixels with v on neighbours, 0 < v < values. Bits 1 and 2 of v
 * choose among `low`, the others among `high`. */
TAS_INLINE void one_hot(const neighbours *n, word valid, int values, int i,
                        word hot[TAS_VALUES_3D][BLOCK])
{
    word low[4], high[7];
    const word any = word_or(n->n1, n->n2);
    low[1] = word_andnot(n->n1, n->n2);
    low[2] = word_andnot(n->n2, n->n1);
    low[3] = word_and(n->n1, n->n2);
    if (values == TAS_VALUES_2D) { /* 8 sets no other plane */
        high[0] = word_andnot(valid, n->n4);
        high[1] = word_and(valid, n->n4);
        high[2] = word_and(valid, n->n8);
    } else {
        const word few = word_andnot(valid, word_or(n->n8, n->n16));
        const word eight = word_andnot(word_and(valid, n->n8), n->n16);
        const word many = word_and(valid, n->n16);
        high[0] = word_andnot(few, n->n4);
        high[1] = word_and(few, n->n4);
        high[2] = word_andnot(eight, n->n4);
        high[3] = word_and(eight, n->n4);
        high[4] = word_andnot(word_andnot(many, n->n8), n->n4);
        high[5] = word_andnot(word_and(many, n->n4), n->n8);
        high[6] = word_and(many, n->n8); /* 24-26 */
    }
    TAS_UNROLL
    for (int v = 1; v < values; v++)
        hot[v][i] = v % 4 ? word_and(low[v % 4], high[v / 4]) : word_andnot(high[v / 4], any);
}

TAS_INLINE void tally_block(tally *t, const neighbours n[BLOCK], const word centre[BLOCK],
                            const word valid[BLOCK], int values)
{
    word hot[TAS_VALUES_3D][BLOCK], on[BLOCK];
    for (int i = 0; i < BLOCK; i++)
        one_hot(&n[i], valid[i], values, i, hot);
    TAS_UNROLL
    for (int v = 1; v < values; v++) {
        for (int i = 0; i < BLOCK; i++)
            on[i] = word_and(hot[v][i], centre[i]);
        count_bits(&t->all[v], hot[v]);
        count_bits(&t->on[v], on);
    }
    count_bits(&t->centre, centre);
}

/* What has no on neighbour is what is left of the total. */
static void add_tally(const tally *t, uint64_t pixels, int values,
                      uint64_t n[TAS_CENTRES][TAS_VALUES_3D])
{
    uint64_t on = counter_total(&t->centre), off = pixels - on;
    for (int v = 1; v < values; v++) {
        n[TAS_ON][v] = counter_total(&t->on[v]);
        n[TAS_OFF][v] = counter_total(&t->all[v]) - n[TAS_ON][v];
        on -= n[TAS_ON][v];
        off -= n[TAS_OFF][v];
    }
    n[TAS_ON][0] = on;
    n[TAS_OFF][0] = off;
}

/* ---- from pixels to rows of bits ----------------------------------------------------------- */

/* Bits of a chunk and one row above and below it, for each interval; in volumes, three times. */
typedef uint64_t *bit_rows[TAS_INTERVALS];

/* Lower, mean, upper as the pixels of a row are compared with them: whole numbers. */
typedef struct {
    unsigned cut[3];
    uint64_t reached[3]; /* all ones, or zero where no pixel can be >= the cut */
} whole_cuts;

typedef struct {
    const tas_image *image;
    const tas_region *region;
    tas_outside outside;
    int deep;              /* planes beside the one that is counted: 0, or 1 on either side */
    whole_cuts cuts;
    double real_cut[3];    /* lower, mean, upper */
    size_t columns, lanes; /* of the region's box; lanes of a row */
    size_t chunk;          /* rows of a chunk */
    size_t span;           /* lanes of an array of rows, with what may be read beside them */
    bit_rows bits[3];
    uint64_t *inside;      /* the pixels of a row that are the region's */
    uint64_t *valid;       /* those of the chunk that are counted */
    size_t valid_rows;     /* without runs: the rows that `valid` is filled in for */
    uint64_t *sums[3][4];  /* of a plane, one interval: triple 1, 2, sides 1, 2 */
    uint8_t *levels;       /* a row of floats, each compared with the three cuts */
    void *copy;            /* a row of pixels that do not lie side by side */
    const tas_run *next;   /* where the runs of the next row are looked for */
    const char *end;       /* of the image in memory: the byte after its last pixel's */
    void *memory;
} workspace;

/* Sets the bits from begin up to end of a row that is zero. */
static void set_bits(uint64_t *row, size_t begin, size_t end)
{
    for (size_t lane = begin / LANE_BITS; lane * LANE_BITS < end; lane++) {
        const size_t first = lane * LANE_BITS;
        uint64_t bits = ~UINT64_C(0);
        if (first < begin)
            bits &= bits << (begin - first);
        if (end - first < LANE_BITS)
            bits &= (UINT64_C(1) << (end - first)) - 1;
        row[lane] |= bits;
    }
}

/* Lanes of a line of the cache, where arrays begin; and lanes before the first row: the bit to
 * the left of its first pixel is in the last of them. */
enum { CACHE_LANES = 8, FRONT = CACHE_LANES };

static int workspace_open(workspace *w, const tas_image *image, const tas_region *region)
{
    const size_t rows = region->high[1] - region->low[1];
    const int planes = image->is_volume ? 3 : 1;
    w->image = image;
    w->region = region;
    w->deep = image->is_volume;
    w->valid_rows = 0;
    w->next = region->runs;
    w->columns = region->high[2] - region->low[2];
    w->lanes = (w->columns + 2 + LANE_BITS - 1) / LANE_BITS;
    w->chunk = CHUNK_LANES / w->lanes < CHUNK_ROWS ? CHUNK_ROWS : CHUNK_LANES / w->lanes;
    w->chunk = rows < w->chunk ? rows : w->chunk;
    w->span = FRONT + (w->chunk + 2) * w->lanes + STEP + WORD_LANES;
    w->span += CACHE_LANES - w->span % CACHE_LANES;

    const int arrays = planes * (TAS_INTERVALS + 4) + 1;
    const size_t row = w->lanes * LANE_BITS / sizeof(uint64_t); /* of one byte a pixel */
    const size_t lanes = (size_t)arrays * w->span + w->lanes + 9 * row;
    w->memory = malloc((lanes + CACHE_LANES) * sizeof(uint64_t));
    if (w->memory == NULL)
        return -1;
    uint64_t *at = w->memory;
    while ((uintptr_t)at % (CACHE_LANES * sizeof *at) != 0)
        at++;
    memset(at, 0, lanes * sizeof *at);
    w->valid = at + FRONT;
    at += w->span;
    for (int p = 0; p < planes; p++) {
        for (int k = 0; k < TAS_INTERVALS; k++, at += w->span)
            w->bits[p][k] = at + FRONT;
        for (int s = 0; s < 4; s++, at += w->span)
            w->sums[p][s] = at + FRONT;
    }
    w->inside = at;
    if (region->runs == NULL)
        set_bits(w->inside, 0, w->columns);
    w->levels = (uint8_t *)(at + w->lanes);
    w->copy = at + w->lanes + row;
    w->end = image->pixels + tas_pixel_bytes[image->type];
    for (int axis = 0; axis < 3; axis++)
        if (image->stride[axis] > 0)
            w->end += (ptrdiff_t)(image->size[axis] - 1) * image->stride[axis];
    return 0;
}

/* Cuts of integers as integers. Floats are first ranked among the cuts: a pixel's level is how
 * many of them it reaches, and it reaches a cut where its level is the cut's own rank or more. */
static void workspace_cut(workspace *w, const tas_cuts *cuts)
{
    const double real[3] = {cuts->lower, cuts->mean, cuts->upper};
    const double top = w->image->type == TAS_U8 ? UINT8_MAX : UINT16_MAX;
    for (int i = 0; i < 3; i++) {
        w->real_cut[i] = real[i];
        if (w->image->type == TAS_U8 || w->image->type == TAS_U16) {
            w->cuts.reached[i] = real[i] <= top ? ~UINT64_C(0) : 0;
            w->cuts.cut[i] = real[i] > 0 && real[i] <= top ? (unsigned)ceil(real[i]) : 0;
        } else {
            w->cuts.reached[i] = ~UINT64_C(0);
            w->cuts.cut[i] = 0;
            for (int j = 0; j < 3; j++)
                w->cuts.cut[i] += real[j] <= real[i];
        }
    }
}

#define DEFINE_LEVELS(name, real)                                                              \
    static void name(const real *restrict x, size_t n, const double cut[3],                   \
                     uint8_t *restrict level)                                                  \
    {                                                                                          \
        for (size_t i = 0; i < n; i++)                                                         \
            level[i] = (uint8_t)((x[i] >= cut[0]) + (x[i] >= cut[1]) + (x[i] >= cut[2]));      \
    }
DEFINE_LEVELS(levels_of_floats, float)
DEFINE_LEVELS(levels_of_doubles, double)
#undef DEFINE_LEVELS

/* Writes the bits of the row's pixels that are inside. Memory may be read up to `end`, beyond the
 * row: that saves copying its last pixels. */
#define DEFINE_BITS(name, pixel, at_least)                                                     \
    TAS_INLINE void name##_lane(const whole_cuts *c, const pixel *p, uint64_t inside,          \
                                uint64_t *band, uint64_t *lower, uint64_t *mean)               \
    {                                                                                          \
        const uint64_t reaches_lower = at_least(p, (pixel)c->cut[0]) & c->reached[0] & inside; \
        const uint64_t reaches_upper = at_least(p, (pixel)c->cut[2]) & c->reached[2];          \
        *band = reaches_lower & ~reaches_upper;                                                \
        *lower = reaches_lower;                                                                \
        *mean = at_least(p, (pixel)c->cut[1]) & c->reached[1] & inside;                        \
    }                                                                                          \
    static void name(const workspace *w, const pixel *x, const char *end, size_t to,           \
                     bit_rows bits)                                                            \
    {                                                                                          \
        const whole_cuts c = w->cuts; /* a copy, which no store below can change */            \
        const uint64_t *inside = w->inside;                                                    \
        uint64_t *restrict band = bits[TAS_BAND] + to, *restrict lower = bits[TAS_LOWER] + to, \
                           *restrict mean = bits[TAS_MEAN] + to;                               \
        const size_t full = w->columns / LANE_BITS, lanes = w->lanes;                          \
        for (size_t i = 0; i < full; i++)                                                      \
            name##_lane(&c, x + i * LANE_BITS, inside[i], band + i, lower + i, mean + i);      \
        pixel copy[LANE_BITS];                                                                 \
        const pixel *rest = x + full * LANE_BITS;                                              \
        if (end - (const char *)rest < (ptrdiff_t)sizeof copy) {                               \
            memset(copy, 0, sizeof copy);                                                      \
            rest = memcpy(copy, rest, w->columns % LANE_BITS * sizeof *rest);                  \
        }                                                                                      \
        for (size_t i = full; i < lanes; i++) /* the last ones may hold no pixel at all */     \
            name##_lane(&c, rest, inside[i], band + i, lower + i, mean + i);                   \
    }
DEFINE_BITS(bits_of_bytes, uint8_t, at_least_u8)
DEFINE_BITS(bits_of_shorts, uint16_t, at_least_u16)
#undef DEFINE_BITS

static void pixels_to_bits(const workspace *w, size_t plane, size_t row, size_t to, bit_rows bits)
{
    const size_t *low = w->region->low, *high = w->region->high;
    const void *x = tas_row_pixels(w->image, plane, row, low[2], high[2], w->copy);
    const size_t room = w->lanes * LANE_BITS; /* pixels that `levels` and `copy` hold */
    if (w->image->type == TAS_U16) {
        bits_of_shorts(w, x, x == w->copy ? (char *)w->copy + 2 * room : w->end, to, bits);
        return;
    }
    if (w->image->type == TAS_U8) {
        bits_of_bytes(w, x, x == w->copy ? (char *)w->copy + room : w->end, to, bits);
        return;
    }
    if (w->image->type == TAS_F32)
        levels_of_floats(x, w->columns, w->real_cut, w->levels);
    else
        levels_of_doubles(x, w->columns, w->real_cut, w->levels);
    bits_of_bytes(w, w->levels, (char *)w->levels + room, to, bits);
}

/* Marks the pixels of one row that the region has. Rows come in order, mostly, so that a row's
 * runs follow those of the row before. */
static void mark_runs(workspace *w, size_t plane, size_t row)
{
    const tas_region *region = w->region;
    const tas_run *const end = region->runs + region->run_count;
    const tas_run *run = w->next;
    memset(w->inside, 0, w->lanes * sizeof *w->inside);
    if (run == end || run->plane != plane || run->row != row)
        run = tas_first_run(region, plane, row);
    for (; run < end && run->plane == plane && run->row == row; run++)
        set_bits(w->inside, run->begin - region->low[2], run->end - region->low[2]);
    w->next = run;
}

/* Where the box reaches the image's edge, puts the edge pixel once more beside it. */
static void reflect_columns(const workspace *w, uint64_t *row)
{
    const size_t last = w->columns - 1, right = w->columns;
    if (w->region->high[2] == w->image->size[2])
        row[right / LANE_BITS] |= (row[last / LANE_BITS] >> last % LANE_BITS & 1)
                                  << right % LANE_BITS;
    if (w->region->low[2] == 0)
        row[-1] |= (row[0] & 1) << (LANE_BITS - 1);
}

/* Moves a position that is one step outside the image back to its edge, or to the box; returns 0
 * where nothing is on. Positions count from 1, so that 0 is one step before the image. */
static int settle(size_t *position, size_t length, size_t low, size_t high, tas_outside outside)
{
    if (*position == 0 || *position > length) {
        if (outside == TAS_OUTSIDE_OFF)
            return 0;
        *position = *position == 0 ? 1 : length;
    }
    *position -= 1;
    return low <= *position && *position < high;
}

/* Fetches a chunk's rows of one plane, and the row above and below them. Plane and row count
 * from 1. The plane that is counted says also which of its pixels are. */
static void fetch_rows(workspace *w, size_t plane, size_t row, size_t rows, bit_rows bits,
                       int is_counted)
{
    const tas_region *r = w->region;
    const size_t *size = w->image->size;
    const int has_plane = settle(&plane, size[0], r->low[0], r->high[0], w->outside);
    for (size_t i = 0; i < rows + 2; i++) {
        const size_t to = i * w->lanes;
        size_t y = row + i - 1;
        const int is_there = has_plane && settle(&y, size[1], r->low[1], r->high[1], w->outside);
        const int is_halo = i == 0 || i == rows + 1;
        if (!is_there) {
            for (int k = 0; k < TAS_INTERVALS; k++)
                memset(bits[k] + to, 0, w->lanes * sizeof **bits);
            continue;
        }
        if (r->runs != NULL)
            mark_runs(w, plane, y);
        pixels_to_bits(w, plane, y, to, bits);
        if (r->runs != NULL && is_counted && !is_halo)
            memcpy(w->valid + to - w->lanes, w->inside, w->lanes * sizeof *w->inside);
    }
    if (w->outside == TAS_OUTSIDE_REFLECTS)
        for (int k = 0; k < TAS_INTERVALS; k++) {
            bits[k][-1] = 0;
            for (size_t i = 0; i < rows + 2; i++)
                reflect_columns(w, bits[k] + i * w->lanes);
        }
}

/* ---- sums along the row, then across rows and planes --------------------------------------- */

/* Of `lanes` lanes, for one interval of one plane. */
static void sum_along_rows(const uint64_t *bits, size_t lanes, uint64_t *const sums[4])
{
    uint64_t *const triple_1 = sums[0], *const triple_2 = sums[1];
    uint64_t *const sides_1 = sums[2], *const sides_2 = sums[3];
    for (size_t i = 0; i < lanes; i += WORD_LANES) {
        const word centre = word_load(bits + i);
        const word left = word_or(word_shl(centre, 1), word_shr(word_load(bits + i - 1), 63));
        const word right = word_or(word_shr(centre, 1), word_shl(word_load(bits + i + 1), 63));
        word carry;
        word_store(triple_1 + i, full_add(left, centre, right, &carry));
        word_store(triple_2 + i, carry);
        word_store(sides_1 + i, word_xor(left, right));
        word_store(sides_2 + i, word_and(left, right));
    }
}

TAS_INLINE pair load_pair(uint64_t *const sums[2], size_t at)
{
    return (pair){word_load(sums[0] + at), word_load(sums[1] + at)};
}

TAS_INLINE neighbours in_plane(uint64_t *const sums[4], size_t i, size_t lanes)
{
    return add_three_rows(load_pair(sums, i), load_pair(sums + 2, i + lanes),
                          load_pair(sums, i + 2 * lanes));
}

TAS_INLINE neighbours whole_plane(uint64_t *const sums[4], size_t i, size_t lanes)
{
    return add_three_triples(load_pair(sums, i), load_pair(sums, i + lanes),
                             load_pair(sums, i + 2 * lanes));
}

/* Adds the pixels of a chunk to an interval's tally. */
TAS_INLINE void tally_chunk(const workspace *w, const uint64_t *bits, size_t rows, tally *state,
                            int values)
{
    const size_t lanes = w->lanes, last = rows * lanes;
    tally t;
    copy_tally(&t, state, values);
    for (size_t i = 0; i < last; i += STEP) {
        neighbours n[BLOCK];
        word centre[BLOCK], valid[BLOCK];
        for (int b = 0; b < BLOCK; b++) {
            const size_t at = i + (size_t)b * WORD_LANES;
            valid[b] = word_load(w->valid + at);
            centre[b] = word_and(valid[b], word_load(bits + at + lanes));
            n[b] = in_plane(w->sums[0], at, lanes);
            if (values == TAS_VALUES_3D)
                n[b] = add_three_planes(n[b], whole_plane(w->sums[1], at, lanes),
                                        whole_plane(w->sums[2], at, lanes));
        }
        tally_block(&t, n, centre, valid, values);
    }
    copy_tally(state, &t, values);
}

static void tally_image(const workspace *w, int k, size_t rows, tally *t)
{
    tally_chunk(w, w->bits[0][k], rows, t, TAS_VALUES_2D);
}

static void tally_volume(const workspace *w, int k, size_t rows, tally *t)
{
    tally_chunk(w, w->bits[0][k], rows, t, TAS_VALUES_3D);
}

/* ---- the kernel ---------------------------------------------------------------------------- */

/* Clears what is counted of a chunk; without runs that is then all of it, as it was before. */
static void mark_chunk(workspace *w, size_t rows)
{
    if (w->region->runs == NULL && w->valid_rows == rows)
        return;
    memset(w->valid, 0, (rows * w->lanes + STEP) * sizeof *w->valid);
    if (w->region->runs == NULL)
        for (size_t i = 0; i < rows; i++)
            set_bits(w->valid + i * w->lanes, 0, w->columns);
    w->valid_rows = rows;
}

static void count_chunk(workspace *w, size_t plane, size_t row, size_t rows,
                        tally tallies[TAS_INTERVALS])
{
    const size_t lanes = rows * w->lanes;
    const size_t beside[3] = {plane, plane - 1, plane + 1};
    mark_chunk(w, rows);
    for (int p = 0; p <= 2 * w->deep; p++)
        fetch_rows(w, beside[p] + 1, row + 1, rows, w->bits[p], p == 0);
    for (int k = 0; k < TAS_INTERVALS; k++) {
        for (int p = 0; p <= 2 * w->deep; p++)
            sum_along_rows(w->bits[p][k], lanes + 2 * w->lanes, w->sums[p]);
        if (w->deep)
            tally_volume(w, k, rows, &tallies[k]);
        else
            tally_image(w, k, rows, &tallies[k]);
    }
}

static int count(const tas_image *image, const tas_region *region, const tas_cuts *cuts,
                 tas_outside outside, tas_counts *counts)
{
    const size_t *low = region->low, *high = region->high;
    const int values = image->is_volume ? TAS_VALUES_3D : TAS_VALUES_2D;
    static const tally nothing;
    tally tallies[TAS_INTERVALS];
    workspace w;
    if (workspace_open(&w, image, region) != 0)
        return -1;
    w.outside = outside;
    workspace_cut(&w, cuts);
    for (int k = 0; k < TAS_INTERVALS; k++)
        copy_tally(&tallies[k], &nothing, values);
    for (size_t z = low[0]; z < high[0]; z++)
        for (size_t y = low[1]; y < high[1]; y += w.chunk)
            count_chunk(&w, z, y, high[1] - y < w.chunk ? high[1] - y : w.chunk, tallies);
    free(w.memory);
    memset(counts, 0, sizeof *counts);
    for (int k = 0; k < TAS_INTERVALS; k++)
        add_tally(&tallies[k], region->pixels, values, counts->n[k]);
    return 0;
}

/* ---- sums of bright pixels ----------------------------------------------------------------- */

#if WORD_SUMS_BYTES
enum { WORD_BYTES = 8 * WORD_LANES };

typedef struct {
    uint64_t pixels;
    word low, high; /* sums of the pixels' low and high bytes */
} partial_sums;

TAS_INLINE void add_lane_u8(partial_sums *s, const uint8_t *x, unsigned cut, uint64_t keep)
{
    s->pixels += (uint64_t)__builtin_popcountll(at_least_u8(x, (uint8_t)cut) & keep);
    for (int i = 0; i < LANE_BITS; i += WORD_BYTES)
        s->low = word_add(s->low, word_byte_sums(word_above_u8(x + i, (uint8_t)cut)));
}

TAS_INLINE void add_lane_u16(partial_sums *s, const uint16_t *x, unsigned cut, uint64_t keep)
{
    const word low_bytes = word_lanes(UINT64_C(0x00ff00ff00ff00ff));
    s->pixels += (uint64_t)__builtin_popcountll(at_least_u16(x, (uint16_t)cut) & keep);
    for (int i = 0; i < LANE_BITS; i += WORD_BYTES / 2) {
        const word above = word_above_u16(x + i, (uint16_t)cut);
        s->low = word_add(s->low, word_byte_sums(word_and(above, low_bytes)));
        s->high = word_add(s->high, word_byte_sums(word_andnot(above, low_bytes)));
    }
}

#define DEFINE_ADD_ABOVE(name, pixel, add_lane)                                                \
    static void name(const pixel *x, size_t n, unsigned cut, tas_sums *sums)                   \
    {                                                                                          \
        partial_sums s = {0, word_zero(), word_zero()};                                        \
        for (; n >= LANE_BITS; x += LANE_BITS, n -= LANE_BITS)                                 \
            add_lane(&s, x, cut, ~UINT64_C(0));                                                \
        if (n > 0) {                                                                           \
            pixel rest[LANE_BITS] = {0};                                                       \
            memcpy(rest, x, n * sizeof *x);                                                    \
            add_lane(&s, rest, cut, (UINT64_C(1) << n) - 1);                                   \
        }                                                                                      \
        sums->pixels += s.pixels;                                                              \
        sums->total += word_sum(s.low) + 256 * word_sum(s.high);                               \
    }
DEFINE_ADD_ABOVE(add_above_u8, uint8_t, add_lane_u8)
DEFINE_ADD_ABOVE(add_above_u16, uint16_t, add_lane_u16)
#undef DEFINE_ADD_ABOVE
#else
/* In blocks that 32 bits can hold the sum of. */
#define DEFINE_ADD_ABOVE(name, pixel)                                                          \
    static void name(const pixel *x, size_t n, unsigned cut, tas_sums *sums)                   \
    {                                                                                          \
        while (n > 0) {                                                                        \
            const size_t block = n < 4096 ? n : 4096;                                          \
            uint32_t pixels = 0, total = 0;                                                    \
            for (size_t i = 0; i < block; i++) {                                               \
                const uint32_t is_above = x[i] >= (pixel)cut;                                  \
                pixels += is_above;                                                            \
                total += x[i] & -is_above;                                                     \
            }                                                                                  \
            sums->pixels += pixels;                                                            \
            sums->total += total;                                                              \
            x += block;                                                                        \
            n -= block;                                                                        \
        }                                                                                      \
    }
DEFINE_ADD_ABOVE(add_above_u8, uint8_t)
DEFINE_ADD_ABOVE(add_above_u16, uint16_t)
#undef DEFINE_ADD_ABOVE
#endif

/* ---- runs of labels ------------------------------------------------------------------------ */

static void find_ends(const uint32_t *labels, size_t n, uint64_t *ends)
{
    size_t lane = 0;
    for (; lane * LANE_BITS + LANE_BITS < n; lane++)
        ends[lane] = changes_u32(labels + lane * LANE_BITS);
    tas_scalar.find_ends(labels + lane * LANE_BITS, n - lane * LANE_BITS, ends + lane);
}

const tas_kernel TAS_KERNEL = {TAS_NAME, count, add_above_u8, add_above_u16, find_ends};
