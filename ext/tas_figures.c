/* What a histogram says of an image: its levels' mean, spread, ranks. */
#include "tas.h"

/* The level of the pixel that `rank` pixels stand before, in ascending order. */
static uint32_t level_at(const tas_histogram *h, uint64_t rank)
{
    size_t i = 0;
    for (uint64_t below = h->count[0]; below <= rank; below += h->count[i])
        i++;
    return h->level[i];
}

/* The smallest level that `percent` of n pixels, or more, do not exceed. */
static uint32_t percentile(const tas_histogram *h, uint64_t n, unsigned percent)
{
    const uint64_t whole = n / 100, rest = n % 100;
    return level_at(h, whole * percent + (rest * percent + 99) / 100 - 1);
}

/* The median of the distances from the middle, of `twice` grey levels: from there outwards, the
 * nearer of the levels on both sides first. Distances are doubled, so that they are whole. */
static double deviation_from(const tas_histogram *h, uint64_t n, uint32_t twice)
{
    size_t above = 0;
    while (2 * h->level[above] < twice)
        above++;
    size_t below = above; /* levels before it are left of the middle */
    uint64_t passed = 0, distance = 0, lower = 0;
    for (int has_lower = 0; passed <= n / 2;) {
        const uint64_t left = below > 0 ? twice - 2 * (uint64_t)h->level[below - 1] : UINT64_MAX;
        const uint64_t right =
            above < h->used ? 2 * (uint64_t)h->level[above] - twice : UINT64_MAX;
        distance = left < right ? left : right;
        passed += left < right ? h->count[--below] : h->count[above++];
        if (!has_lower && passed > (n - 1) / 2) {
            lower = distance;
            has_lower = 1;
        }
    }
    return (double)(lower + distance) / 4;
}

tas_figures tas_figures_of(const tas_histogram *h, uint32_t full_scale)
{
    tas_figures figures;
    const tas_sums all = tas_above(h, -1, &figures.std);
    const uint64_t n = all.pixels;
    const uint32_t twice = level_at(h, (n - 1) / 2) + level_at(h, n / 2);
    uint64_t full = 0;
    for (size_t i = h->used; i > 0 && h->level[i - 1] >= full_scale; i--)
        full += h->count[i - 1];
    figures.minimum = h->level[0];
    figures.maximum = h->level[h->used - 1];
    figures.mean = (double)all.total / (double)n;
    figures.median = (double)twice / 2;
    figures.mad = deviation_from(h, n, twice);
    figures.p01 = percentile(h, n, 1);
    figures.p99 = percentile(h, n, 99);
    figures.saturated = (double)full / (double)n;
    return figures;
}
