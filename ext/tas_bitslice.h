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
#include "tas_bit_rows.h"
#include "tas_byte_sums.h"

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

/* Adds a plane's three rows: of the middle one the sides, or, beside the plane, the triples. */
TAS_INLINE neighbours add_plane(uint64_t *const sums[4], uint64_t *const middle[2], size_t i,
                                size_t lanes)
{
    return add_three_rows(load_pair(sums, i), load_pair(middle, i + lanes),
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
            n[b] = add_plane(w->sums[0], w->sums[0] + 2, at, lanes);
            if (values == TAS_VALUES_3D)
                n[b] = add_three_planes(n[b], add_plane(w->sums[1], w->sums[1], at, lanes),
                                        add_plane(w->sums[2], w->sums[2], at, lanes));
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

/* ---- runs of labels ------------------------------------------------------------------------ */

static void find_ends(const uint32_t *labels, size_t n, uint64_t *ends)
{
    size_t lane = 0;
    for (; lane * LANE_BITS + LANE_BITS < n; lane++)
        ends[lane] = changes_u32(labels + lane * LANE_BITS);
    tas_scalar.find_ends(labels + lane * LANE_BITS, n - lane * LANE_BITS, ends + lane);
}

const tas_kernel TAS_KERNEL = {TAS_NAME, count, add_above_u8, add_above_u16, find_ends};
