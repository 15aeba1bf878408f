/* From pixels to rows of bits: a chunk of them at a time, and the rows above and below it.
 *
 * Included by tas_bitslice.h for each word type: README.md draws what is made here.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tas_adders.h"

enum { LANE_BITS = 64, STEP = BLOCK * WORD_LANES };

/* A chunk of rows is about this many lanes, so that its bits stay in the fastest cache; and this
 * many rows at the least. */
enum { CHUNK_LANES = 512, CHUNK_ROWS = 8, PREFETCH_ROWS = 6 };

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

/* How many of the three cuts a float has reached that reaches this one: a closed bound is reached
 * before an open one. */
static unsigned rank_of(const double cut[3], const int is_open[3], int i)
{
    unsigned rank = 0;
    for (int j = 0; j < 3; j++)
        rank += cut[j] < cut[i] || (cut[j] == cut[i] && is_open[j] <= is_open[i]);
    return rank;
}

/* Cuts as whole numbers that pixels are at least: x > lower, x > mean, and the end of Band,
 * x >= upper. Floats are first ranked: a pixel's level is how many of the three it reaches, and it
 * reaches one where its level is that one's rank or more. */
static void workspace_cut(workspace *w, const tas_cuts *cuts)
{
    const double cut[3] = {cuts->lower, cuts->mean, cuts->upper};
    const int is_open[3] = {1, 1, 0};
    const double top = w->image->type == TAS_U8 ? UINT8_MAX : UINT16_MAX;
    const int is_float = w->image->type == TAS_F32 || w->image->type == TAS_F64;
    for (int i = 0; i < 3; i++) {
        const int is_reached = is_open[i] ? cut[i] < top : cut[i] <= top;
        const double first = is_open[i] ? floor(cut[i]) + 1 : ceil(cut[i]);
        w->real_cut[i] = cut[i];
        w->cuts.reached[i] = is_float || is_reached ? ~UINT64_C(0) : 0;
        w->cuts.cut[i] = is_reached && first > 0 ? (unsigned)first : 0;
        if (is_float)
            w->cuts.cut[i] = rank_of(cut, is_open, i);
        if (isnan(cut[i])) { /* nothing is above it, and nothing below: all is beyond Band's end */
            w->cuts.reached[i] = is_open[i] ? 0 : ~UINT64_C(0);
            w->cuts.cut[i] = 0;
        }
    }
}

#define DEFINE_LEVELS(name, real)                                                              \
    static void name(const real *restrict x, size_t n, const double cut[3],                   \
                     uint8_t *restrict level)                                                  \
    {                                                                                          \
        for (size_t i = 0; i < n; i++)                                                         \
            level[i] = (uint8_t)((x[i] > cut[0]) + (x[i] > cut[1]) + (x[i] >= cut[2]));        \
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
    const size_t copied = room * tas_pixel_bytes[w->image->type];
    const char *end = x == w->copy ? (const char *)x + copied : w->end;
    switch (w->image->type) {
    case TAS_U8: bits_of_bytes(w, x, end, to, bits); return;
    case TAS_U16: bits_of_shorts(w, x, end, to, bits); return;
    case TAS_F32: levels_of_floats(x, w->columns, w->real_cut, w->levels); break;
    default: levels_of_doubles(x, w->columns, w->real_cut, w->levels);
    }
    bits_of_bytes(w, w->levels, (const char *)w->levels + room, to, bits);
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

/* An object's rows lie far apart in memory, where no hardware looks for the next one. */
static inline void prefetch_row(const workspace *w, size_t plane, size_t row)
{
#if defined(__GNUC__)
    if (row < w->region->high[1]) {
        __builtin_prefetch(tas_row(w->image, plane, row, w->region->low[2]));
        __builtin_prefetch(tas_row(w->image, plane, row, w->region->high[2] - 1));
    }
#endif
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
        if (r->runs != NULL) {
            prefetch_row(w, plane, y + PREFETCH_ROWS);
            mark_runs(w, plane, y);
        }
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
