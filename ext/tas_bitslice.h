/* Threshold adjacency statistics with bit-sliced adders: README.md draws them.
 *
 * This file is the algorithm; it is included once by each tas_<word>.c, which first defines
 *
 *   TAS_KERNEL           the name of the kernel (declared in tas.h)
 *   word                 a type of WORD_LANES lanes of 64 bits
 *   word_load(p)         WORD_LANES lanes from memory that need not be aligned
 *   word_store(p, a)     and back
 *   word_and, word_or, word_xor, word_andnot(a, b) = a & ~b
 *   word_shl(a, n), word_shr(a, n)      within each lane
 *   word_popcount(a)     the number of set bits, uint64_t
 *   bits_of(codes, k)    bit k of each of 64 code bytes, the first byte in the lowest bit
 *
 * One bit is one pixel; a lane holds 64 neighbouring pixels of a row, the leftmost lowest.
 */
#include <stdlib.h>
#include <string.h>

#include "tas.h"

enum { LANE_BITS = 64, BLOCK = 8 };

/* What is kept of a row of bits: the sums of each pixel's neighbours left and right (0-2),
 * and with the pixel itself (0-3), as planes of weight 1 and 2; and the pixel. */
enum { SIDES_1, SIDES_2, TRIPLE_1, TRIPLE_2, CENTRE, ROW_PLANES };

/* ---- the adders ------------------------------------------------------------------------ */

static inline word half_add(word a, word b, word *carry)
{
    *carry = word_and(a, b);
    return word_xor(a, b);
}

static inline word full_add(word a, word b, word c, word *carry)
{
    const word a_xor_b = word_xor(a, b);
    *carry = word_or(word_and(a, b), word_and(a_xor_b, c));
    return word_xor(a_xor_b, c);
}

/* ---- counting: eight masks go in, one popcount comes out ------------------------------- */

/* A running count of set bits: ones + 2 twos + 4 fours (bit by bit) + 8 eights. */
typedef struct {
    word ones, twos, fours;
    uint64_t eights;
} tally;

/* Neighbour counts of BLOCK words of pixels: four planes of weight 1, 2, 4, 8, and the
 * pixels that are on and off (both clear beyond the right edge). */
typedef struct {
    word n1[BLOCK], n2[BLOCK], n4[BLOCK], n8[BLOCK];
    word centre[TAS_CENTRES][BLOCK];
    int filled;
} block;

typedef struct {
    tally n[TAS_CENTRES][TAS_VALUES];
    block block;
} interval_state;

/* Adds the set bits of hot[i] & centre[i] for the eight words of a block. */
static inline void tally_add(tally *t, const word hot[BLOCK], const word centre[BLOCK])
{
    word m[BLOCK], two_a, two_b, four_a, four_b, eight;
    for (int i = 0; i < BLOCK; i++)
        m[i] = word_and(hot[i], centre[i]);
    t->ones = full_add(t->ones, m[0], m[1], &two_a);
    t->ones = full_add(t->ones, m[2], m[3], &two_b);
    t->twos = full_add(t->twos, two_a, two_b, &four_a);
    t->ones = full_add(t->ones, m[4], m[5], &two_a);
    t->ones = full_add(t->ones, m[6], m[7], &two_b);
    t->twos = full_add(t->twos, two_a, two_b, &four_b);
    t->fours = full_add(t->fours, four_a, four_b, &eight);
    t->eights += word_popcount(eight);
}

static uint64_t tally_total(const tally *t)
{
    return word_popcount(t->ones) + 2 * word_popcount(t->twos) + 4 * word_popcount(t->fours)
           + 8 * t->eights;
}

/* From the planes of weight 1, 2, 4 and 8 to one mask for each value 0-8. */
static inline void one_hot(const block *b, int i, word hot[TAS_VALUES][BLOCK])
{
    const word n1 = b->n1[i], n2 = b->n2[i], n4 = b->n4[i], n8 = b->n8[i];
    const word one = word_andnot(n1, n2), two = word_andnot(n2, n1), three = word_and(n1, n2);
    const word any = word_or(n1, n2);
    const word is_pixel = word_or(b->centre[TAS_ON][i], b->centre[TAS_OFF][i]);

    hot[0][i] = word_andnot(word_andnot(is_pixel, word_or(any, n4)), n8);
    hot[1][i] = word_andnot(one, n4);
    hot[2][i] = word_andnot(two, n4);
    hot[3][i] = word_andnot(three, n4);
    hot[4][i] = word_andnot(n4, any);
    hot[5][i] = word_and(one, n4);
    hot[6][i] = word_and(two, n4);
    hot[7][i] = word_and(three, n4);
    hot[8][i] = n8; /* 8 sets no other plane */
}

static void tally_block(interval_state *state)
{
    word hot[TAS_VALUES][BLOCK];
    for (int i = 0; i < BLOCK; i++)
        one_hot(&state->block, i, hot);
    for (int v = 0; v < TAS_VALUES; v++)
        for (int c = 0; c < TAS_CENTRES; c++)
            tally_add(&state->n[c][v], hot[v], state->block.centre[c]);
    state->block.filled = 0;
}

/* ---- from pixels to rows of bits -------------------------------------------------------- */

/* Memory for one image: rows of `lanes` lanes, in one allocation. */
typedef struct {
    size_t columns, lanes;   /* lanes is a multiple of WORD_LANES */
    uint16_t *gathered;      /* a row of pixels whose columns are not side by side */
    uint8_t *codes;          /* a byte for each pixel: bit k is interval k */
    uint64_t *bits;          /* a row of bits between two lanes of what is outside it */
    uint64_t *valid;         /* the bits that are pixels */
    uint64_t *planes;        /* [4 rows][interval][plane][lane]; the last row stays zero */
    void *memory;
} workspace;

static int workspace_open(workspace *w, size_t columns)
{
    const size_t words = (columns + LANE_BITS * WORD_LANES - 1) / (LANE_BITS * WORD_LANES);
    const size_t lanes = words * WORD_LANES, planes = 4 * TAS_INTERVALS * ROW_PLANES * lanes;
    const size_t pixels = lanes * LANE_BITS;
    uint64_t *at = calloc(planes + lanes + (lanes + 2) + pixels / 8 + pixels / 4, sizeof *at);
    if (at == NULL)
        return -1;
    w->columns = columns;
    w->lanes = lanes;
    w->memory = w->planes = at;
    w->valid = at += planes;
    w->bits = at += lanes;
    w->codes = (uint8_t *)(at += lanes + 2);
    w->gathered = (uint16_t *)(at + pixels / 8);
    for (size_t x = 0; x < columns; x++)
        w->valid[x / LANE_BITS] |= UINT64_C(1) << x % LANE_BITS;
    return 0;
}

static inline uint64_t *planes_of(const workspace *w, size_t slot, int interval)
{
    return w->planes + (slot * TAS_INTERVALS + (size_t)interval) * ROW_PLANES * w->lanes;
}

/* low <= x <= high is x - low <= high - low where the subtraction wraps: one comparison. An
 * empty interval has no such span, so its bit of the codes is masked out. */
#define DEFINE_CODES(name, pixel)                                                              \
    static void name(const pixel *restrict x, size_t n, const tas_interval in[TAS_INTERVALS], \
                     uint8_t *restrict codes)                                                  \
    {                                                                                          \
        pixel low[TAS_INTERVALS], span[TAS_INTERVALS];                                         \
        uint8_t filled = 0;                                                                    \
        for (int k = 0; k < TAS_INTERVALS; k++) {                                              \
            low[k] = (pixel)in[k].low;                                                         \
            span[k] = (pixel)(in[k].high - in[k].low);                                         \
            filled |= (uint8_t)((in[k].low <= in[k].high) << k);                               \
        }                                                                                      \
        for (size_t i = 0; i < n; i++) {                                                       \
            const uint8_t a = (pixel)(x[i] - low[0]) <= span[0] ? 1 : 0;                       \
            const uint8_t b = (pixel)(x[i] - low[1]) <= span[1] ? 2 : 0;                       \
            const uint8_t c = (pixel)(x[i] - low[2]) <= span[2] ? 4 : 0;                       \
            codes[i] = (uint8_t)((a | b | c) & filled);                                        \
        }                                                                                      \
    }
DEFINE_CODES(codes_of_bytes, uint8_t)
DEFINE_CODES(codes_of_shorts, uint16_t)
#undef DEFINE_CODES

/* Writes the codes of one row of pixels, whatever its stride. */
static void row_to_codes(const workspace *w, const tas_image *image, size_t row,
                         const tas_interval intervals[TAS_INTERVALS])
{
    const void *pixels = image->pixels + (ptrdiff_t)row * image->row_stride;
    if (image->column_stride != (ptrdiff_t)image->pixel_bytes) {
        for (size_t x = 0; x < w->columns; x++)
            w->gathered[x] = (uint16_t)tas_pixel(image, row, x);
        codes_of_shorts(w->gathered, w->columns, intervals, w->codes);
    } else if (image->pixel_bytes == 1) {
        codes_of_bytes(pixels, w->columns, intervals, w->codes);
    } else {
        codes_of_shorts(pixels, w->columns, intervals, w->codes);
    }
}

/* Writes one interval's bits, and beside them what is left and right of the image. */
static void codes_to_bits(const workspace *w, int interval, tas_outside outside)
{
    uint64_t *bits = w->bits + 1;
    for (size_t lane = 0; lane < w->lanes; lane++)
        bits[lane] = bits_of(w->codes + lane * LANE_BITS, interval);
    bits[-1] = bits[w->lanes] = 0;
    if (outside == TAS_OUTSIDE_REFLECTS) {
        const size_t last = w->columns - 1;
        const uint64_t edge = bits[last / LANE_BITS] >> last % LANE_BITS & 1;
        bits[-1] = bits[0] << (LANE_BITS - 1);
        bits[w->columns / LANE_BITS] |= edge << w->columns % LANE_BITS;
    }
}

/* ---- sums along the row, then across three rows ----------------------------------------- */

static void bits_to_planes(const workspace *w, uint64_t *planes)
{
    const size_t lanes = w->lanes;
    for (size_t lane = 0; lane < lanes; lane += WORD_LANES) {
        const uint64_t *at = w->bits + 1 + lane;
        const word centre = word_load(at);
        const word left = word_or(word_shl(centre, 1), word_shr(word_load(at - 1), 63));
        const word right = word_or(word_shr(centre, 1), word_shl(word_load(at + 1), 63));
        word sides_2, carry;
        const word sides_1 = half_add(left, right, &sides_2);
        const word triple_1 = half_add(sides_1, centre, &carry);
        word_store(planes + SIDES_1 * lanes + lane, sides_1);
        word_store(planes + SIDES_2 * lanes + lane, sides_2);
        word_store(planes + TRIPLE_1 * lanes + lane, triple_1);
        word_store(planes + TRIPLE_2 * lanes + lane, word_or(sides_2, carry));
        word_store(planes + CENTRE * lanes + lane, centre);
    }
}

static void read_row(const workspace *w, const tas_image *image, size_t row,
                     const tas_interval intervals[TAS_INTERVALS], tas_outside outside)
{
    row_to_codes(w, image, row, intervals);
    for (int k = 0; k < TAS_INTERVALS; k++) {
        codes_to_bits(w, k, outside);
        bits_to_planes(w, planes_of(w, row % 3, k));
    }
}

/* Adds up three rows of planes; every pixel's count goes to the interval's block. */
static void add_rows(const workspace *w, const uint64_t *above, const uint64_t *here,
                     const uint64_t *below, interval_state *state)
{
    const size_t lanes = w->lanes;
    block *b = &state->block;
    for (size_t lane = 0; lane < lanes; lane += WORD_LANES) {
        const word valid = word_load(w->valid + lane);
        const word centre = word_load(here + CENTRE * lanes + lane);
        const int i = b->filled;
        word carry_2, carry_4a, carry_4b;
        b->n1[i] = full_add(word_load(above + TRIPLE_1 * lanes + lane),
                            word_load(here + SIDES_1 * lanes + lane),
                            word_load(below + TRIPLE_1 * lanes + lane), &carry_2);
        const word twos = full_add(word_load(above + TRIPLE_2 * lanes + lane),
                                   word_load(here + SIDES_2 * lanes + lane),
                                   word_load(below + TRIPLE_2 * lanes + lane), &carry_4a);
        b->n2[i] = half_add(twos, carry_2, &carry_4b);
        b->n4[i] = half_add(carry_4a, carry_4b, &b->n8[i]);
        b->centre[TAS_ON][i] = word_and(centre, valid);
        b->centre[TAS_OFF][i] = word_andnot(valid, centre);
        if (++b->filled == BLOCK)
            tally_block(state);
    }
}

/* ---- the kernel ------------------------------------------------------------------------- */

/* Empties the last, partly filled block and adds up the tallies. */
static void totals(interval_state *state, uint64_t n[TAS_CENTRES][TAS_VALUES])
{
    for (int i = state->block.filled; i < BLOCK; i++)
        state->block.centre[TAS_ON][i] = state->block.centre[TAS_OFF][i] = (word){0};
    tally_block(state);
    for (int c = 0; c < TAS_CENTRES; c++)
        for (int v = 0; v < TAS_VALUES; v++)
            n[c][v] = tally_total(&state->n[c][v]);
}

int TAS_KERNEL(const tas_image *image, const tas_interval intervals[TAS_INTERVALS],
               tas_outside outside, tas_counts *counts)
{
    enum { NOTHING = 3 }; /* the row of planes that stays zero */
    interval_state states[TAS_INTERVALS];
    workspace w;

    if (workspace_open(&w, image->columns) != 0)
        return -1;
    memset(states, 0, sizeof states);
    read_row(&w, image, 0, intervals, outside);
    for (size_t y = 0; y < image->rows; y++) {
        const size_t off_edge = outside == TAS_OUTSIDE_REFLECTS ? y % 3 : NOTHING;
        const size_t above = y > 0 ? (y - 1) % 3 : off_edge;
        const size_t below = y + 1 < image->rows ? (y + 1) % 3 : off_edge;
        if (below != off_edge)
            read_row(&w, image, y + 1, intervals, outside);
        for (int k = 0; k < TAS_INTERVALS; k++)
            add_rows(&w, planes_of(&w, above, k), planes_of(&w, y % 3, k),
                     planes_of(&w, below, k), &states[k]);
    }
    for (int k = 0; k < TAS_INTERVALS; k++)
        totals(&states[k], counts->n[k]);
    free(w.memory);
    return 0;
}
