/* Threshold adjacency statistics: the contract between the C core and everything else.
 *
 * Integer bounds go in, integer counts come out. What the bounds mean, and what is divided
 * by what, is decided in hts_classify/features; no floating point touches a pixel here.
 */
#ifndef TAS_H
#define TAS_H

#include <stddef.h>
#include <stdint.h>

enum { TAS_INTERVALS = 3, TAS_CENTRES = 2, TAS_VALUES = 9 };
enum { TAS_ON = 0, TAS_OFF = 1 };

/* What lies outside the image: off pixels, or the image's own edge pixels once more
 * (reflection; one pixel deep, that is the nearest edge pixel). */
typedef enum { TAS_OUTSIDE_OFF = 0, TAS_OUTSIDE_REFLECTS = 1 } tas_outside;

/* A pixel x is on when low <= x <= high; low > high is the interval that nothing is in. */
typedef struct {
    uint16_t low, high;
} tas_interval;

/* Pixels of 1 or 2 bytes (unsigned, native order, aligned); strides are in bytes, of any sign. */
typedef struct {
    const char *pixels;
    size_t pixel_bytes;
    size_t rows, columns;
    ptrdiff_t row_stride, column_stride;
} tas_image;

/* For each interval: of the on and of the off pixels, how many have n on neighbours. */
typedef struct {
    uint64_t n[TAS_INTERVALS][TAS_CENTRES][TAS_VALUES];
} tas_counts;

/* Every kernel has this type and returns the same counts: 0, or -1 when memory ran out.
 * A kernel touches nothing but its arguments, so any number may run at once. */
typedef int tas_kernel(const tas_image *image, const tas_interval intervals[TAS_INTERVALS],
                       tas_outside outside, tas_counts *counts);

tas_kernel tas_scalar, tas_u64;

/* The kernels that this build has and this CPU can run, from the slowest to the fastest:
 * the name of number `index`, or NULL after the last. */
const char *tas_kernel_name(size_t index);

/* The kernel of that name, or NULL where this build or this CPU does not have it. */
tas_kernel *tas_find_kernel(const char *name);

/* Adds each pixel to histogram[its value]: 256 or 65536 entries, by pixel_bytes. */
void tas_histogram(const tas_image *image, uint64_t *histogram);

/* Otsu's threshold of a histogram, with the order of operations of mahotas 1.4.19. */
size_t tas_otsu_mahotas(const uint64_t *histogram, size_t levels);

static inline unsigned tas_pixel(const tas_image *image, size_t row, size_t column)
{
    const char *at = image->pixels + (ptrdiff_t)row * image->row_stride
                     + (ptrdiff_t)column * image->column_stride;
    return image->pixel_bytes == 1 ? *(const uint8_t *)at : *(const uint16_t *)at;
}

#endif
