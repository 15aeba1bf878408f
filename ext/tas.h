/* Threshold adjacency statistics: the contract between the C core and everything else.
 *
 * Cuts go in, integer counts come out. What the cuts mean, and what is divided by what, is
 * decided in hts_classify/features; tas_thresholds.c does the arithmetic on whole histograms.
 */
#ifndef TAS_H
#define TAS_H

#include <stddef.h>
#include <stdint.h>

/* Where the kernels of an instruction set are built. MinGW does not align what AVX spills. */
#if defined(__GNUC__) && defined(__x86_64__) && !defined(__MINGW32__)
#define TAS_X86 1
#elif defined(__GNUC__) && defined(__aarch64__) && !defined(__AARCH64EB__)
#define TAS_ARM 1
#endif

enum { TAS_INTERVALS = 3, TAS_CENTRES = 2 };
enum { TAS_BAND = 0, TAS_LOWER = 1, TAS_MEAN = 2 };
enum { TAS_ON = 0, TAS_OFF = 1 };
enum { TAS_VALUES_2D = 9, TAS_VALUES_3D = 27 }; /* on neighbours: 0-8, 0-26 */
enum { TAS_LEVELS_U16 = 65536 };

/* Pixels are in native order and aligned; strides are in bytes, of any sign. Axes are z, y, x;
 * an image has one plane and eight neighbours a pixel, a volume any number of planes and 26.
 * Memory from the lowest to the highest pixel may be read, also between the pixels. */
typedef enum { TAS_U8, TAS_U16, TAS_F32, TAS_F64 } tas_pixel_type;

typedef struct {
    const char *pixels;
    tas_pixel_type type;
    int is_volume;
    size_t size[3];
    ptrdiff_t stride[3];
} tas_image;

/* A piece of a row, from `begin` up to, not including, `end`. */
typedef struct {
    uint32_t plane, row, begin, end;
} tas_run;

/* The pixels that are counted: all within a box (from low up to, not including, high) or, where
 * there are runs, those of the runs, which lie in the box and are sorted by plane, row, begin.
 * Another pixel of the image is an off neighbour. */
typedef struct {
    uint32_t label;
    uint64_t pixels;
    size_t low[3], high[3];
    const tas_run *runs; /* NULL: the whole box */
    size_t run_count;
} tas_region;

/* What lies outside the image: off pixels, or the image's own edge pixels once more
 * (reflection; one pixel deep, that is the nearest edge pixel). */
typedef enum { TAS_OUTSIDE_OFF = 0, TAS_OUTSIDE_REFLECTS = 1 } tas_outside;

/* A pixel x is on in Lower when x > lower, in Mean when x > mean, in Band when
 * lower < x < upper. Cuts need not be whole, nor within what the type of the pixels holds; with
 * one that is not a number none is on. */
typedef struct {
    double lower, mean, upper;
} tas_cuts;

/* For each interval: of the on and of the off pixels, how many have n on neighbours. */
typedef struct {
    uint64_t n[TAS_INTERVALS][TAS_CENTRES][TAS_VALUES_3D];
} tas_counts;

/* The pixels above a threshold: their number and their sum. */
typedef struct {
    uint64_t pixels, total;
} tas_sums;

/* A kernel touches nothing but its arguments, so any number may run at once. All return the same.
 *   count      fills in `counts`; -1 when memory ran out
 *   add_above  adds those of n pixels in a row that are >= cut, which the type can hold
 *   find_ends  sets a bit, of n / 64 + 1 lanes, for each of n labels that is the last of its run */
typedef struct {
    const char *name;
    int (*count)(const tas_image *, const tas_region *, const tas_cuts *, tas_outside,
                 tas_counts *counts);
    void (*add_above_u8)(const uint8_t *x, size_t n, unsigned cut, tas_sums *sums);
    void (*add_above_u16)(const uint16_t *x, size_t n, unsigned cut, tas_sums *sums);
    void (*find_ends)(const uint32_t *labels, size_t n, uint64_t *ends);
} tas_kernel;

extern const tas_kernel tas_scalar, tas_u64, tas_avx2, tas_avx512, tas_neon;

/* The kernels that this build has and this CPU can run, from the slowest to the fastest: number
 * `index`, or NULL after the last. */
const tas_kernel *tas_kernel_at(size_t index);

/* The kernel of that name, or NULL where this build or this CPU does not have it. */
const tas_kernel *tas_find_kernel(const char *name);

/* Counts a region with a kernel; with the scalar one where its pixels are so thinly spread over
 * its box that looking at each is cheaper than at all the box's bits. */
int tas_count(const tas_kernel *kernel, const tas_image *image, const tas_region *region,
              const tas_cuts *cuts, tas_outside outside, tas_counts *counts);

/* ---- tas_rows.c: pixels in a row ---------------------------------------------------------- */

static const size_t tas_pixel_bytes[] = {1, 2, 4, 8};

/* The first pixel of a row, from column `begin` on. */
static inline const char *tas_row(const tas_image *image, size_t plane, size_t row, size_t begin)
{
    return image->pixels + (ptrdiff_t)plane * image->stride[0] + (ptrdiff_t)row * image->stride[1]
           + (ptrdiff_t)begin * image->stride[2];
}

/* The pixels of a row from `begin` to `end`, side by side: where they lie, or copied to `copy`. */
const void *tas_row_pixels(const tas_image *image, size_t plane, size_t row, size_t begin,
                           size_t end, void *copy);

/* The first run of a region at or after the start of a row; the row's runs follow it. */
const tas_run *tas_first_run(const tas_region *region, size_t plane, size_t row);

/* A walk along a region's pixels, a piece of a row at a time; `copy` has room for a row. Rows of
 * an image that follow each other without a gap are one piece. */
typedef struct {
    const tas_image *image;
    const tas_region *region;
    void *copy;
    size_t plane, row, run;
} tas_walk;

tas_walk tas_walk_along(const tas_image *image, const tas_region *region, void *copy);

/* The pixels of the next piece, side by side, and how many; NULL after the last. */
const void *tas_next_pixels(tas_walk *walk, size_t *n);

/* Whether all pixels of a region of a float image are finite. */
int tas_all_finite(const tas_image *image, const tas_region *region, void *copy);

/* ---- tas_objects.c: the regions of a label image or a mask -------------------------------- */

/* Integers of 1 to 8 bytes, in native order, aligned. */
typedef struct {
    const char *labels;
    size_t bytes;
    int is_signed, is_mask; /* a mask has one byte a pixel; what is not 0 is 1 */
    size_t size[3];
    ptrdiff_t stride[3];
} tas_labels;

typedef struct {
    size_t count;
    tas_region *regions; /* by ascending label; 0 is background */
    tas_run *runs;
} tas_objects;

typedef enum {
    TAS_DONE = 0,
    TAS_NO_MEMORY = -1,
    TAS_BAD_LABEL = -2, /* negative, or 2^32 or more */
} tas_status;

/* Fills in `objects`, which tas_free_objects frees; after an error there is nothing to free. */
tas_status tas_find_objects(const tas_kernel *kernel, const tas_labels *labels,
                            tas_objects *objects);
void tas_free_objects(tas_objects *objects);

/* ---- tas_thresholds.c: from pixels to thresholds ------------------------------------------ */

/* The levels that occur, in ascending order, and how often each does. */
typedef struct {
    size_t used;
    uint32_t *level;
    uint64_t *count;
    struct tas_table *table;
} tas_histogram;

int tas_open_histogram(tas_histogram *histogram);
void tas_close_histogram(tas_histogram *histogram);

/* Takes the histogram of a region: of 1 or 2 bytes a pixel. `copy` has room for a row. */
void tas_take_histogram(const tas_image *image, const tas_region *region, void *copy,
                        tas_histogram *histogram);

/* Otsu's threshold: the smallest of equally good ones, ties decided exactly; and the one that
 * mahotas 1.4.19 finds, rounding included. */
uint32_t tas_otsu(const tas_histogram *histogram);
uint32_t tas_otsu_mahotas(const tas_histogram *histogram);

/* The levels above a threshold: their sums, and their standard deviation (n as divisor), which is
 * the root of the variance rounded once. */
tas_sums tas_above(const tas_histogram *histogram, double threshold, double *deviation);

/* The pixels of a region above a threshold, of 1 or 2 bytes a pixel, without a histogram. */
tas_sums tas_region_above(const tas_kernel *kernel, const tas_image *image,
                          const tas_region *region, double threshold, void *copy);

/* An exact sum of floats: of (low[p] + 2^TAS_EXACT_SPLIT high[p]) 2^(p - 1074) for all p. */
enum { TAS_EXACT_POWERS = 2047, TAS_EXACT_SPLIT = 26 }; /* the last for what is not finite */

typedef struct {
    uint64_t pixels;
    int64_t low[TAS_EXACT_POWERS], high[TAS_EXACT_POWERS];
} tas_exact_sum;

/* The pixels of a region above a threshold, of floats. */
void tas_region_exactly(const tas_image *image, const tas_region *region, double threshold,
                       tas_exact_sum *sum, void *copy);

/* ---- tas_figures.c: what a histogram says of an image ------------------------------------- */

/* In grey levels: the deviations (the standard one with n as divisor, and the median distance from
 * the median), the smallest levels that 1% and 99% of the pixels do not exceed. Then the share of
 * the pixels that are >= full_scale. Medians of an even number of pixels are the mean of two. */
typedef struct {
    double minimum, maximum, mean, std, median, mad, p01, p99, saturated;
} tas_figures;

/* Of a histogram that is not empty. */
tas_figures tas_figures_of(const tas_histogram *histogram, uint32_t full_scale);

#endif
