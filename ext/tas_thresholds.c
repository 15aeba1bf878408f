/* From pixels to thresholds: a histogram, Otsu's threshold, the mean and the deviation above it.
 *
 * Compiled without fused multiply-adds, which would round once where mahotas rounds twice; on
 * ties the last bit decides.
 */
#include <stdlib.h>
#include <string.h>

#include "tas.h"
#include "tas_wide.h"

/* ---- the histogram ------------------------------------------------------------------------- */

/* A page of the table is as much as a line of the cache. */
enum { PAGE_LEVELS = 8, PAGES = TAS_LEVELS_U16 / PAGE_LEVELS };
enum { FEW_PIXELS = 1 << 14 }; /* regions of fewer only touch the pages that they use */

#define TABLE_HOLDS ((size_t)1 << 31) /* pixels that no counter overflows for */

/* Two counters a level, by turns: equal neighbours do not wait for each other's increment. */
struct tas_table {
    uint32_t count[TAS_LEVELS_U16][2]; /* of pages in use */
    uint8_t in_use[PAGES];
    uint64_t total[TAS_LEVELS_U16]; /* where there are more pixels than TABLE_HOLDS */
};

int tas_open_histogram(tas_histogram *h)
{
    h->used = 0;
    h->level = malloc((TAS_LEVELS_U16 + 1) * sizeof *h->level);
    h->count = malloc((TAS_LEVELS_U16 + 1) * sizeof *h->count);
    h->table = malloc(sizeof *h->table);
    if (h->level != NULL && h->count != NULL && h->table != NULL) {
        memset(h->table->in_use, 0, PAGES);
        return 0;
    }
    tas_close_histogram(h);
    return -1;
}

void tas_close_histogram(tas_histogram *h)
{
    free(h->level);
    free(h->count);
    free(h->table);
    *h = (tas_histogram){0}; /* closing it once more does nothing */
}

#define DEFINE_ADD(pixel, suffix)                                                              \
    static void note_pages_##suffix(struct tas_table *table, const pixel *x, size_t n)         \
    {                                                                                          \
        for (size_t i = 0; i < n; i++)                                                         \
            table->in_use[x[i] / PAGE_LEVELS] = 1;                                             \
    }                                                                                          \
    static void add_##suffix(struct tas_table *table, const pixel *x, size_t n)                \
    {                                                                                          \
        size_t i = 0;                                                                          \
        for (; i + 1 < n; i += 2) {                                                            \
            table->count[x[i]][0]++;                                                           \
            table->count[x[i + 1]][1]++;                                                       \
        }                                                                                      \
        if (i < n)                                                                             \
            table->count[x[i]][0]++;                                                           \
    }
DEFINE_ADD(uint8_t, u8)
DEFINE_ADD(uint16_t, u16)
#undef DEFINE_ADD

/* Of many bytes, most are equal to one a few pixels before: they are counted at four places by
 * turns, BYTE_LEVELS apart. */
enum { BYTE_LEVELS = 256, BYTE_PLACES = 4 };

static void add_many_u8(struct tas_table *table, const uint8_t *x, size_t n)
{
    enum { TURN = 2 * BYTE_PLACES };
    for (; n >= TURN; x += TURN, n -= TURN)
        for (size_t i = 0; i < TURN; i++)
            table->count[x[i] + i / 2 * BYTE_LEVELS][i % 2]++;
    add_u8(table, x, n);
}

static void join_places(struct tas_table *table)
{
    for (size_t level = BYTE_LEVELS; level < BYTE_PLACES * BYTE_LEVELS; level++)
        for (int i = 0; i < 2; i++) {
            table->count[level % BYTE_LEVELS][i] += table->count[level][i];
            table->count[level][i] = 0;
        }
}

/* The next page in use, from `page` on; eight at a time are passed over. */
static inline size_t next_page(const struct tas_table *table, size_t page)
{
    uint64_t eight;
    while (page < PAGES && !table->in_use[page])
        if (page % 8 == 0 && (memcpy(&eight, table->in_use + page, 8), eight == 0))
            page += 8;
        else
            page++;
    return page;
}

/* Clears the pages that the pixels of a region will be counted in: all of them, or few. */
static void clear_pages(const tas_image *image, const tas_region *region, void *copy,
                        struct tas_table *table)
{
    const int is_u8 = image->type == TAS_U8;
    if (region->pixels >= FEW_PIXELS) {
        memset(table->in_use, 1, (is_u8 ? BYTE_LEVELS : TAS_LEVELS_U16) / PAGE_LEVELS);
        memset(table->count, 0,
               (is_u8 ? BYTE_PLACES * BYTE_LEVELS : TAS_LEVELS_U16) * sizeof *table->count);
        return;
    }
    tas_walk walk = tas_walk_along(image, region, copy);
    const void *x;
    for (size_t n; (x = tas_next_pixels(&walk, &n)) != NULL;)
        if (is_u8)
            note_pages_u8(table, x, n);
        else
            note_pages_u16(table, x, n);
    for (size_t page = 0; (page = next_page(table, page)) < PAGES; page++)
        memset(table->count[page * PAGE_LEVELS], 0, PAGE_LEVELS * sizeof *table->count);
}

/* Moves what the table has counted to the list of levels; a page at a time, without a branch
 * for each level, as nobody can foresee which of them occur. */
static void collect(tas_histogram *h)
{
    struct tas_table *table = h->table;
    uint32_t *const levels = h->level;
    uint64_t *const counts = h->count;
    size_t used = 0;
    for (size_t page = 0; (page = next_page(table, page)) < PAGES; page++) {
        table->in_use[page] = 0;
        for (size_t level = page * PAGE_LEVELS; level < (page + 1) * PAGE_LEVELS; level++) {
            const uint64_t count = (uint64_t)table->count[level][0] + table->count[level][1];
            levels[used] = (uint32_t)level;
            counts[used] = count;
            used += count > 0;
        }
    }
    h->used = used;
}

/* Empties the counters into the totals, long before they overflow. */
static void spill(struct tas_table *table)
{
    for (size_t level = 0; level < TAS_LEVELS_U16; level++)
        table->total[level] += (uint64_t)table->count[level][0] + table->count[level][1];
    memset(table->count, 0, sizeof table->count);
}

static void collect_totals(tas_histogram *h)
{
    for (size_t level = 0; level < TAS_LEVELS_U16; level++)
        if (h->table->total[level] > 0) {
            h->level[h->used] = (uint32_t)level;
            h->count[h->used++] = h->table->total[level];
        }
    memset(h->table->in_use, 0, PAGES);
}

void tas_take_histogram(const tas_image *image, const tas_region *region, void *copy,
                        tas_histogram *h)
{
    const int is_huge = region->pixels >= TABLE_HOLDS;
    const int has_places = image->type == TAS_U8 && region->pixels >= FEW_PIXELS;
    const size_t pixel_bytes = tas_pixel_bytes[image->type];
    tas_walk walk = tas_walk_along(image, region, copy);
    size_t room = TABLE_HOLDS;
    const char *x;
    h->used = 0;
    if (is_huge) {
        memset(h->table->count, 0, sizeof h->table->count);
        memset(h->table->total, 0, sizeof h->table->total);
    } else {
        clear_pages(image, region, copy, h->table);
    }
    for (size_t left; (x = tas_next_pixels(&walk, &left)) != NULL;)
        while (left > 0) {
            const size_t n = left < room ? left : room;
            if (has_places)
                add_many_u8(h->table, (const void *)x, n);
            else if (image->type == TAS_U8)
                add_u8(h->table, (const void *)x, n);
            else
                add_u16(h->table, (const void *)x, n);
            x += n * pixel_bytes;
            left -= n;
            room -= n;
            if (room == 0) {
                if (has_places)
                    join_places(h->table);
                spill(h->table);
                room = TABLE_HOLDS;
            }
        }
    if (has_places)
        join_places(h->table);
    if (!is_huge) {
        collect(h);
        return;
    }
    spill(h->table);
    collect_totals(h);
}

/* ---- Otsu's threshold ---------------------------------------------------------------------- */

/* Pixels up to a level are one of two classes. The variance between the classes is
 * (N s - b S)^2 / (b (N - b)) / N^2 for b of N pixels with the sum s of S. */
static wide numerator(tas_sums all, tas_sums b)
{
    const wide Ns = wide_times(wide_of(all.pixels), wide_of(b.total));
    const wide bS = wide_times(wide_of(b.pixels), wide_of(all.total));
    const wide root = wide_compare(Ns, bS) > 0 ? wide_minus(Ns, bS) : wide_minus(bS, Ns);
    return wide_times(root, root);
}

static wide denominator(tas_sums all, tas_sums b)
{
    return wide_times(wide_of(b.pixels), wide_of(all.pixels - b.pixels));
}

static int is_better(tas_sums all, tas_sums a, tas_sums b)
{
    return wide_compare(wide_times(numerator(all, a), denominator(all, b)),
                        wide_times(numerator(all, b), denominator(all, a)))
           > 0;
}

/* The same in floating point; N s - b S is exact before it is rounded. */
static double rough_numerator(tas_sums all, tas_sums b)
{
    const double root = wide_difference(all.pixels, b.total, b.pixels, all.total);
    return root * root;
}

static double rough_denominator(tas_sums all, tas_sums b)
{
    return (double)b.pixels * (double)(all.pixels - b.pixels);
}

uint32_t tas_otsu(const tas_histogram *h)
{
    static const double rounding = 1e-14; /* a few roundings, each of 1e-16 */
    if (h->used < 2)
        return 0;
    const uint32_t lowest = h->level[0]; /* levels count from it: that makes no difference */
    tas_sums all = {0, 0};
    for (size_t i = 0; i < h->used; i++) {
        all.pixels += h->count[i];
        all.total += h->count[i] * (h->level[i] - lowest);
    }

    tas_sums at = {h->count[0], 0}, best = at;
    uint32_t threshold = lowest;
    double best_numerator = rough_numerator(all, at);
    double best_denominator = rough_denominator(all, at);
    for (size_t i = 1; i + 1 < h->used; i++) {
        at.pixels += h->count[i];
        at.total += h->count[i] * (h->level[i] - lowest);
        const double numerator = rough_numerator(all, at);
        const double denominator = rough_denominator(all, at);
        /* Multiplied out, as a division takes longer. */
        const double left = numerator * best_denominator, right = best_numerator * denominator;
        if (left < right * (1 - rounding))
            continue;
        if (left > right * (1 + rounding) || is_better(all, at, best)) {
            best = at;
            best_numerator = numerator;
            best_denominator = denominator;
            threshold = h->level[i];
        }
    }
    return threshold;
}

static double mahotas_between(double below, double above, double mean_below, double mean_above)
{
    return below * above * (mean_below - mean_above) * (mean_below - mean_above);
}

/* The two means are updated level by level as mahotas does, rounding included. In a gap between
 * levels in use it multiplies and divides by the same numbers: that is repeated until it changes
 * nothing any more. */
uint32_t tas_otsu_mahotas(const tas_histogram *h)
{
    double above = 0, weighted = 0; /* of the levels > 0: pixels, and their sum; both exact */
    const size_t first = h->used > 0 && h->level[0] == 0; /* of the levels > 0 */
    for (size_t i = first; i < h->used; i++) {
        above += (double)h->count[i];
        weighted += (double)h->level[i] * (double)h->count[i];
    }
    if (above == 0)
        return 0;

    double below = first ? (double)h->count[0] : 0;
    const double pixels = below + above;
    double mean_below = 0, mean_above = weighted / above;
    double best = mahotas_between(below, above, mean_below, mean_above);
    uint32_t threshold = 0, level = 1;
    for (size_t i = first; i < h->used; i++) {
        for (; below > 0 && level < h->level[i]; level++) { /* nobody is at these levels */
            const double same_below = mean_below, same_above = mean_above;
            mean_below = mean_below * below / below;
            mean_above = mean_above * above / above;
            const double between = mahotas_between(below, above, mean_below, mean_above);
            if (between > best) {
                best = between;
                threshold = level;
            }
            if (mean_below == same_below && mean_above == same_above)
                break;
        }
        level = h->level[i] + 1;
        const double here = (double)h->count[i], moved = (double)h->level[i] * here;
        const double below_before = below, above_before = above;
        below += here;
        above = pixels - below;
        if (above == 0)
            break;
        mean_below = (mean_below * below_before + moved) / below;
        mean_above = (mean_above * above_before - moved) / above;
        const double between = mahotas_between(below, above, mean_below, mean_above);
        if (between > best) {
            best = between;
            threshold = h->level[i];
        }
    }
    return threshold;
}

/* ---- above a threshold --------------------------------------------------------------------- */

/* The root of the variance (n q - s^2) / n^2, for n pixels with the sum s and the squares' q. */
static double deviation_of(uint64_t n, uint64_t sum, wide squares)
{
    const wide spread = wide_minus(wide_times(wide_of(n), squares),
                                   wide_times(wide_of(sum), wide_of(sum)));
    if (wide_bits(spread) == 0)
        return 0;
    return sqrt(wide_ratio(spread, wide_times(wide_of(n), wide_of(n))));
}

/* The same where every step is exact up to the division. */
static double deviation_of_few(uint64_t n, uint64_t sum, uint64_t squares)
{
    return sqrt((double)(n * squares - sum * sum) / (double)(n * n));
}

tas_sums tas_above(const tas_histogram *h, double threshold, double *deviation)
{
    tas_sums sums = {0, 0};
    uint64_t low = 0, high = 0; /* of the squares, in units of 1 and of 2^32 */
    size_t first = 0, last = h->used;
    while (first < last) { /* the first level above the threshold */
        const size_t middle = first + (last - first) / 2;
        if (h->level[middle] <= threshold)
            first = middle + 1;
        else
            last = middle;
    }
    for (size_t i = first; i < h->used; i++) {
        const uint64_t weighted = h->count[i] * h->level[i];
        sums.pixels += h->count[i];
        sums.total += weighted;
        low += (weighted & UINT32_MAX) * h->level[i];
        high += (weighted >> 32) * h->level[i];
    }
    const double exact = 9e15; /* doubles hold every integer up to here */
    if (sums.pixels == 0)
        *deviation = 0;
    else if (high == 0 && sums.pixels < (1 << 26) && (double)sums.pixels * (double)low < exact)
        *deviation = deviation_of_few(sums.pixels, sums.total, low);
    else
        *deviation = deviation_of(sums.pixels, sums.total,
                                  wide_plus(wide_of(low), wide_shl(wide_of(high), 32)));
    return sums;
}

tas_sums tas_region_above(const tas_kernel *kernel, const tas_image *image,
                          const tas_region *region, double threshold, void *copy)
{
    const double top = image->type == TAS_U8 ? UINT8_MAX : UINT16_MAX;
    tas_sums sums = {0, 0};
    if (threshold >= top)
        return sums;
    const unsigned cut = threshold < 0 ? 0 : (unsigned)threshold + 1;
    tas_walk walk = tas_walk_along(image, region, copy);
    const void *x;
    for (size_t n; (x = tas_next_pixels(&walk, &n)) != NULL;)
        if (image->type == TAS_U8)
            kernel->add_above_u8(x, n, cut, &sums);
        else
            kernel->add_above_u16(x, n, cut, &sums);
    return sums;
}

/* A double is an integer of 53 bits times a power of two; those of one power are added up as
 * integers, in two halves that 2^36 of them do not overflow. */
static void add_exactly(tas_exact_sum *sum, double x)
{
    enum { FRACTION_BITS = 52, EXPONENT_MASK = 0x7ff };
    const uint64_t leading = UINT64_C(1) << FRACTION_BITS;
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    const unsigned exponent = bits >> FRACTION_BITS & EXPONENT_MASK;
    const uint64_t size = (bits & (leading - 1)) | (exponent ? leading : 0);
    const int64_t sign = x < 0 ? -1 : 1;
    const unsigned power = exponent ? exponent - 1 : 0; /* of what is not finite, the last */
    sum->pixels++;
    sum->low[power] += sign * (int64_t)(size & ((1 << TAS_EXACT_SPLIT) - 1));
    sum->high[power] += sign * (int64_t)(size >> TAS_EXACT_SPLIT);
}

void tas_region_exactly(const tas_image *image, const tas_region *region, double threshold,
                        tas_exact_sum *sum, void *copy)
{
    tas_walk walk = tas_walk_along(image, region, copy);
    const void *row;
    memset(sum, 0, sizeof *sum);
    for (size_t n; (row = tas_next_pixels(&walk, &n)) != NULL;)
        for (size_t i = 0; i < n; i++) {
            const double x =
                image->type == TAS_F32 ? ((const float *)row)[i] : ((const double *)row)[i];
            if (x > threshold)
                add_exactly(sum, x);
        }
}
