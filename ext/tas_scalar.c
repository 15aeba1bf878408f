/* The readable definition: one pixel, one neighbour at a time. Every other kernel equals it. */
#include "tas.h"

/* What all functions here look at. */
typedef struct {
    const tas_image *image;
    const tas_region *region;
    const tas_cuts *cuts;
    tas_outside outside;
} scene;

static double pixel_at(const tas_image *image, const size_t at[3])
{
    const char *pixel = tas_row(image, at[0], at[1], at[2]);
    switch (image->type) {
    case TAS_U8: return *(const uint8_t *)pixel;
    case TAS_U16: return *(const uint16_t *)pixel;
    case TAS_F32: return *(const float *)pixel;
    default: return *(const double *)pixel;
    }
}

static int is_inside(const tas_region *region, const size_t at[3])
{
    for (int axis = 0; axis < 3; axis++)
        if (at[axis] < region->low[axis] || at[axis] >= region->high[axis])
            return 0;
    if (region->runs == NULL)
        return 1;
    const tas_run *run = tas_first_run(region, at[0], at[1]);
    const tas_run *const end = region->runs + region->run_count;
    for (; run < end && run->plane == at[0] && run->row == at[1]; run++)
        if (run->begin <= at[2] && at[2] < run->end)
            return 1;
    return 0;
}

/* Bit k says whether the pixel is on in interval k. */
static unsigned on_bits(const scene *s, const size_t at[3])
{
    if (!is_inside(s->region, at))
        return 0;
    const double x = pixel_at(s->image, at);
    const unsigned lower = x > s->cuts->lower, mean = x > s->cuts->mean;
    const unsigned band = lower && x < s->cuts->upper;
    return band << TAS_BAND | lower << TAS_LOWER | mean << TAS_MEAN;
}

/* Moves one step along an axis. Returns 0 where that leaves the image and outside is off. */
static int step(size_t *position, int by, size_t length, tas_outside outside)
{
    const int leaves = by < 0 ? *position == 0 : by > 0 && *position == length - 1;
    if (leaves)
        return outside == TAS_OUTSIDE_REFLECTS; /* the edge pixel itself, once more */
    *position += (size_t)by;                    /* by = -1 wraps round to one less */
    return 1;
}

static void add_pixel(const scene *s, const size_t at[3], tas_counts *counts)
{
    const size_t *size = s->image->size;
    const int deep = s->image->is_volume;
    unsigned neighbours[TAS_INTERVALS] = {0};
    for (int dz = -deep; dz <= deep; dz++)
        for (int dy = -1; dy <= 1; dy++)
            for (int dx = -1; dx <= 1; dx++) {
                size_t to[3] = {at[0], at[1], at[2]};
                if ((dz == 0 && dy == 0 && dx == 0) || !step(&to[0], dz, size[0], s->outside)
                    || !step(&to[1], dy, size[1], s->outside)
                    || !step(&to[2], dx, size[2], s->outside))
                    continue;
                const unsigned on = on_bits(s, to);
                for (int k = 0; k < TAS_INTERVALS; k++)
                    neighbours[k] += on >> k & 1;
            }
    const unsigned centre = on_bits(s, at);
    for (int k = 0; k < TAS_INTERVALS; k++)
        counts->n[k][centre >> k & 1 ? TAS_ON : TAS_OFF][neighbours[k]]++;
}

static int count(const tas_image *image, const tas_region *region, const tas_cuts *cuts,
                 tas_outside outside, tas_counts *counts)
{
    const scene s = {image, region, cuts, outside};
    size_t at[3];
    *counts = (tas_counts){0};
    if (region->runs != NULL) {
        for (size_t i = 0; i < region->run_count; i++) {
            const tas_run run = region->runs[i];
            for (size_t x = run.begin; x < run.end; x++)
                add_pixel(&s, (size_t[3]){run.plane, run.row, x}, counts);
        }
        return 0;
    }
    for (at[0] = region->low[0]; at[0] < region->high[0]; at[0]++)
        for (at[1] = region->low[1]; at[1] < region->high[1]; at[1]++)
            for (at[2] = region->low[2]; at[2] < region->high[2]; at[2]++)
                add_pixel(&s, at, counts);
    return 0;
}

static void add_above_u8(const uint8_t *x, size_t n, unsigned cut, tas_sums *sums)
{
    for (size_t i = 0; i < n; i++)
        if (x[i] >= cut) {
            sums->pixels++;
            sums->total += x[i];
        }
}

static void add_above_u16(const uint16_t *x, size_t n, unsigned cut, tas_sums *sums)
{
    for (size_t i = 0; i < n; i++)
        if (x[i] >= cut) {
            sums->pixels++;
            sums->total += x[i];
        }
}

static void find_ends(const uint32_t *labels, size_t n, uint64_t *ends)
{
    for (size_t lane = 0; lane < n / 64 + 1; lane++)
        ends[lane] = 0;
    for (size_t i = 0; i < n; i++)
        if (i + 1 == n || labels[i] != labels[i + 1])
            ends[i / 64] |= UINT64_C(1) << i % 64;
}

const tas_kernel tas_scalar = {"scalar", count, add_above_u8, add_above_u16, find_ends};
