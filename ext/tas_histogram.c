/* The histogram, from which every threshold follows, and mahotas's Otsu. */
#include <string.h>

#include "tas.h"

/* Four tables by turns, so that equal neighbours do not wait for each other's increment. */
static void histogram_of_bytes(const tas_image *image, uint64_t histogram[256])
{
    uint64_t part[4][256] = {{0}};
    for (size_t y = 0; y < image->rows; y++) {
        const char *row = image->pixels + (ptrdiff_t)y * image->row_stride;
        for (size_t x = 0; x < image->columns; x++)
            part[x % 4][*(const uint8_t *)(row + (ptrdiff_t)x * image->column_stride)]++;
    }
    for (int level = 0; level < 256; level++)
        histogram[level] += part[0][level] + part[1][level] + part[2][level] + part[3][level];
}

static void histogram_of_shorts(const tas_image *image, uint64_t histogram[65536])
{
    for (size_t y = 0; y < image->rows; y++) {
        const char *row = image->pixels + (ptrdiff_t)y * image->row_stride;
        for (size_t x = 0; x < image->columns; x++)
            histogram[*(const uint16_t *)(row + (ptrdiff_t)x * image->column_stride)]++;
    }
}

void tas_histogram(const tas_image *image, uint64_t *histogram)
{
    if (image->pixel_bytes == 1)
        histogram_of_bytes(image, histogram);
    else
        histogram_of_shorts(image, histogram);
}

/* The two means are updated level by level as mahotas does, rounding included: on a tie the
 * last bit decides, which is also why this file is compiled without fused multiply-adds. */
size_t tas_otsu_mahotas(const uint64_t *histogram, size_t levels)
{
    double above = 0, weighted = 0; /* of the levels > 0: pixels, and their sum; both exact */
    for (size_t level = 1; level < levels; level++) {
        above += (double)histogram[level];
        weighted += (double)level * (double)histogram[level];
    }
    if (above == 0)
        return 0;

    const double pixels = (double)histogram[0] + above;
    double below = (double)histogram[0];
    double mean_below = 0, mean_above = weighted / above;
    double best = below * above * (mean_below - mean_above) * (mean_below - mean_above);
    size_t threshold = 0;
    for (size_t level = 1; level < levels; level++) {
        const double here = (double)histogram[level], moved = (double)level * here;
        const double below_before = below, above_before = above;
        below += here;
        above = pixels - below;
        if (below == 0)
            continue;
        if (above == 0)
            break;
        mean_below = (mean_below * below_before + moved) / below;
        mean_above = (mean_above * above_before - moved) / above;
        const double between =
            below * above * (mean_below - mean_above) * (mean_below - mean_above);
        if (between > best) {
            best = between;
            threshold = level;
        }
    }
    return threshold;
}
