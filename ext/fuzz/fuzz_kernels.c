/* From any bytes an image, cuts and labels; then every kernel against the scalar one, and what
 * is found in it (objects, histogram, thresholds, sums) against the naive way to find that.
 *
 * Pixels lie in a block that ends with the last of them, so that the sanitizer sees a byte read
 * beyond. The first disagreement is printed and aborts. `.ci/fuzz` runs this under libFuzzer;
 * replay.c runs it without.
 */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tas.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

__extension__ typedef unsigned __int128 u128;

#define CHECK(holds, ...)                                                                      \
    do {                                                                                       \
        if (!(holds)) {                                                                        \
            fprintf(stderr, "%s: not %s: ", __func__, #holds);                                 \
            fprintf(stderr, __VA_ARGS__);                                                      \
            fputc('\n', stderr);                                                               \
            abort();                                                                           \
        }                                                                                      \
    } while (0)

/* ---- choices from bytes ------------------------------------------------------------------ */

/* The input; after its end, bytes that follow from all before, so that short ones do a lot. */
typedef struct {
    const uint8_t *at, *end;
    uint64_t state;
} source;

static uint8_t next_byte(source *s)
{
    const int is_left = s->at < s->end;
    s->state += is_left ? *s->at : 0;
    s->state = s->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return is_left ? *s->at++ : (uint8_t)(s->state >> 56);
}

static uint64_t next_bits(source *s, size_t bytes)
{
    uint64_t bits = 0;
    while (bytes-- > 0)
        bits = bits << 8 | next_byte(s);
    return bits;
}

/* 0 to n - 1, of n <= 65536. */
static unsigned below(source *s, unsigned n)
{
    return (unsigned)(next_bits(s, n <= 256 ? 1 : 2) % n);
}

static void *memory(size_t bytes)
{
    void *block = malloc(bytes);
    CHECK(block != NULL, "%zu bytes", bytes);
    return block;
}

/* Lanes end after 64 pixels; a row has two bits more than pixels. */
static size_t next_columns(source *s)
{
    switch (below(s, 4)) {
    case 0: return 1 + below(s, 5);
    case 1: return 60 + below(s, 8);
    case 2: return 124 + below(s, 8);
    default: return 1 + below(s, 300);
    }
}

static void choose_size(source *s, int is_volume, size_t size[3])
{
    const unsigned kind = below(s, 128);
    size[0] = is_volume ? 1 + below(s, 4) : 1;
    size[1] = 1 + below(s, is_volume ? 5 : 12);
    size[2] = next_columns(s);
    if (kind < 4 && size[2] < 6) /* a chunk of rows is 512 lanes: here more than one chunk */
        size[1] = 508 + below(s, 8);
    else if (kind == 4 && !is_volume) { /* and here, where a chunk is eight rows */
        size[1] = 7 + below(s, 12);
        size[2] = 4030 + below(s, 4);
    } else if (is_volume && size[0] * size[1] > 4) /* the scalar kernel looks 27 times */
        size[2] %= 140;
    size[2] += size[2] == 0;
}

/* Any order of axes in memory, with gaps, backwards, or over the same pixels again. Returns how
 * many items there are from the lowest to the highest, and where the first pixel is. */
static size_t lay_out(source *s, size_t bytes, const size_t size[3], ptrdiff_t stride[3],
                      size_t *first)
{
    static const int orders[][3] = {{2, 1, 0}, {2, 1, 0}, {1, 2, 0}, {0, 2, 1}};
    const int *order = orders[below(s, 4)];
    const unsigned is_plain = below(s, 3);
    size_t reach = 1;
    *first = 0;
    for (int i = 0; i < 3; i++) {
        const size_t steps = size[order[i]] - 1;
        const unsigned how = is_plain ? 0 : below(s, 32);
        const size_t step = how == 31 ? 0 : reach + how % 4;
        const int is_backwards = how & 8;
        stride[order[i]] = (ptrdiff_t)(step * bytes) * (is_backwards ? -1 : 1);
        *first += is_backwards ? steps * step : 0;
        reach += steps * step;
    }
    return reach;
}

/* ---- images ------------------------------------------------------------------------------ */

enum { FEW = 8 };

/* A few values that many pixels have, so that there are on neighbours, and cuts at them. */
typedef struct {
    unsigned count; /* 0: each pixel has a value of its own */
    double value[FEW];
} palette;

static double next_float(source *s, tas_pixel_type type)
{
    const int sign = below(s, 2) ? -1 : 1;
    const uint64_t bits = next_bits(s, 8);
    double any;
    float narrow;
    switch (below(s, 96)) {
    case 94: return sign * INFINITY;
    case 95: return NAN;
    default: break;
    }
    switch (bits % 6) {
    case 0: return sign * 0.0;
    case 1: return sign * (double)(bits >> 56);
    case 2: return sign * (double)(bits >> 54) / 4;
    case 3: return sign * (type == TAS_F32 ? (double)FLT_MAX : DBL_MAX);
    case 4: return sign * (type == TAS_F32 ? ldexp(1, -149) : ldexp(1, -1074));
    default: break;
    }
    memcpy(&any, &bits, sizeof any);
    if (type == TAS_F32) {
        const uint32_t half = (uint32_t)bits;
        memcpy(&narrow, &half, sizeof narrow);
        any = narrow;
    }
    return any;
}

static double next_value(source *s, tas_pixel_type type)
{
    if (type == TAS_F32 || type == TAS_F64)
        return next_float(s, type);
    if (type == TAS_U8)
        return next_byte(s);
    switch (below(s, 8)) {
    case 0: return next_byte(s);
    case 1: return UINT16_MAX - next_byte(s);
    default: return (double)next_bits(s, 2);
    }
}

/* At a value, beside it, or beyond all. */
static double next_cut(source *s, tas_pixel_type type, const palette *few)
{
    const double value = few->count ? few->value[below(s, few->count)] : next_value(s, type);
    switch (below(s, 16)) {
    case 0: return -INFINITY;
    case 1: return INFINITY;
    case 2: return NAN;
    case 3: return 65536 + value;
    case 4: return -1 - value;
    case 5: case 6: return value + 0.5;
    case 7: case 8: return value - 0.5;
    case 9: return nextafter(value, INFINITY);
    case 10: return nextafter(value, -INFINITY);
    default: return value;
    }
}

/* In any order, often the same. */
static tas_cuts next_cuts(source *s, tas_pixel_type type, const palette *few)
{
    double cut[3];
    for (int i = 0; i < 3; i++)
        cut[i] = i > 0 && below(s, 4) == 0 ? cut[i - 1] : next_cut(s, type, few);
    return (tas_cuts){.lower = cut[0], .mean = cut[1], .upper = cut[2]};
}

static void put_pixel(void *block, size_t i, tas_pixel_type type, double value)
{
    switch (type) {
    case TAS_U8: ((uint8_t *)block)[i] = (uint8_t)value; break;
    case TAS_U16: ((uint16_t *)block)[i] = (uint16_t)value; break;
    case TAS_F32: ((float *)block)[i] = (float)value; break;
    default: ((double *)block)[i] = value;
    }
}

/* Fills in an image and returns the block that it lies in; and the palette of its pixels. */
static void *next_image(source *s, tas_image *image, size_t *items, palette *few)
{
    image->type = (tas_pixel_type)below(s, 4);
    image->is_volume = below(s, 3) == 0;
    few->count = below(s, 3) ? 1 + below(s, FEW) : 0;
    for (unsigned i = 0; i < few->count; i++)
        few->value[i] = next_value(s, image->type);
    choose_size(s, image->is_volume, image->size);

    const size_t bytes = tas_pixel_bytes[image->type];
    size_t first;
    *items = lay_out(s, bytes, image->size, image->stride, &first);
    char *block = memory(*items * bytes);
    const unsigned longest = 1 + below(s, 4) * below(s, 16); /* stretches of one value */
    for (size_t i = 0, left = 0; i < *items; i++) {
        static double value;
        if (left-- == 0) {
            value = few->count ? few->value[below(s, few->count)] : next_value(s, image->type);
            left = below(s, longest);
        }
        put_pixel(block, i, image->type, value);
    }
    image->pixels = block + first * bytes;
    return block;
}

/* Without any function of the core. */
static double pixel_at(const tas_image *image, size_t z, size_t y, size_t x)
{
    const char *pixel = image->pixels + (ptrdiff_t)z * image->stride[0]
                        + (ptrdiff_t)y * image->stride[1] + (ptrdiff_t)x * image->stride[2];
    switch (image->type) {
    case TAS_U8: return *(const uint8_t *)pixel;
    case TAS_U16: return *(const uint16_t *)pixel;
    case TAS_F32: return *(const float *)pixel;
    default: return *(const double *)pixel;
    }
}

/* The values of a region's pixels, and as many as it says that it has. */
static double *pixels_of(const tas_image *image, const tas_region *region)
{
    double *values = memory((region->pixels + 1) * sizeof *values);
    size_t n = 0;
    for (size_t i = 0; i < region->run_count; i++)
        for (size_t x = region->runs[i].begin; x < region->runs[i].end; x++)
            values[n++] = pixel_at(image, region->runs[i].plane, region->runs[i].row, x);
    for (size_t z = region->low[0]; region->runs == NULL && z < region->high[0]; z++)
        for (size_t y = region->low[1]; y < region->high[1]; y++)
            for (size_t x = region->low[2]; x < region->high[2]; x++)
                values[n++] = pixel_at(image, z, y, x);
    CHECK(n == region->pixels, "%zu", n);
    return values;
}

/* ---- counts ------------------------------------------------------------------------------ */

static void check_totals(const tas_region *region, const tas_counts *counts, int values)
{
    for (int k = 0; k < TAS_INTERVALS; k++) {
        uint64_t total = 0;
        for (int v = 0; v < values; v++)
            total += counts->n[k][TAS_ON][v] + counts->n[k][TAS_OFF][v];
        CHECK(total == region->pixels, "interval %d", k);
    }
}

static void check_equal(const tas_counts *found, const tas_counts *expected, int values,
                        const char *name)
{
    for (int k = 0; k < TAS_INTERVALS; k++)
        for (int c = 0; c < TAS_CENTRES; c++)
            for (int v = 0; v < values; v++)
                CHECK(found->n[k][c][v] == expected->n[k][c][v],
                      "%s, interval %d, centre %d, %d on: %llu, not %llu", name, k, c, v,
                      (unsigned long long)found->n[k][c][v],
                      (unsigned long long)expected->n[k][c][v]);
}

static void check_counts(const tas_image *image, const tas_region *region, const tas_cuts *cuts,
                         tas_outside outside)
{
    const int values = image->is_volume ? TAS_VALUES_3D : TAS_VALUES_2D;
    const tas_kernel *kernel, *last = NULL;
    tas_counts expected, found;
    CHECK(tas_scalar.count(image, region, cuts, outside, &expected) == 0, "memory");
    check_totals(region, &expected, values);
    for (size_t i = 1; (kernel = tas_kernel_at(i)) != NULL; i++) { /* 0 is the scalar one */
        memset(&found, 7, sizeof found);
        CHECK(kernel->count(image, region, cuts, outside, &found) == 0, "memory");
        check_equal(&found, &expected, values, kernel->name);
        last = kernel;
    }
    memset(&found, 7, sizeof found);
    CHECK(tas_count(last, image, region, cuts, outside, &found) == 0, "memory");
    check_equal(&found, &expected, values, "tas_count");
}

/* ---- thresholds -------------------------------------------------------------------------- */

/* Whether a / b > c / d, by their continued fractions: nothing is multiplied or overflows. */
static int is_more(u128 a, u128 b, u128 c, u128 d)
{
    while (a / b == c / d) {
        const u128 left = a % b, right = c % d;
        if (left == 0 || right == 0)
            return left > right;
        a = d, c = b, b = right, d = left; /* the larger's inverse is the smaller one */
    }
    return a / b > c / d;
}

/* With a variance of (N s - b S)^2 / (b (N - b)) between the classes: the first largest. */
static uint32_t naive_otsu(const tas_histogram *h)
{
    u128 N = 0, S = 0, b = 0, s = 0, most = 0, per = 1;
    uint32_t threshold = 0;
    for (size_t i = 0; i < h->used; i++) {
        N += h->count[i];
        S += (u128)h->count[i] * h->level[i];
    }
    for (size_t i = 0; i + 1 < h->used; i++) {
        b += h->count[i];
        s += (u128)h->count[i] * h->level[i];
        const u128 root = N * s > b * S ? N * s - b * S : b * S - N * s;
        CHECK(root <= UINT64_MAX, "the harness's own numbers are too large");
        if (is_more(root * root, b * (N - b), most, per)) {
            most = root * root;
            per = b * (N - b);
            threshold = h->level[i];
        }
    }
    return threshold;
}

/* Mahotas's own loop, over all levels. */
static uint32_t naive_otsu_mahotas(const tas_histogram *h)
{
    static double n[TAS_LEVELS_U16]; /* zero between calls */
    double pixels = 0, above = 0, below = 0, mean_below = 0, mean_above = 0, best = 0;
    uint32_t threshold = 0, top = 0;
    for (size_t i = 0; i < h->used; i++) {
        top = h->level[i];
        n[top] = (double)h->count[i];
        pixels += n[top];
        mean_above += top * n[top];
    }
    above = pixels - n[0];
    below = n[0];
    if (above > 0) {
        mean_above /= above;
        best = below * above * (mean_below - mean_above) * (mean_below - mean_above);
    }
    for (uint32_t t = 1; t <= top && above > 0; t++) {
        const double below_before = below, above_before = above;
        below += n[t];
        above = pixels - below;
        if (below == 0)
            continue;
        if (above == 0)
            break;
        mean_below = (mean_below * below_before + t * n[t]) / below;
        mean_above = (mean_above * above_before - t * n[t]) / above;
        const double between =
            below * above * (mean_below - mean_above) * (mean_below - mean_above);
        if (between > best) {
            best = between;
            threshold = t;
        }
    }
    for (size_t i = 0; i < h->used; i++)
        n[h->level[i]] = 0;
    return threshold;
}

/* a / b, rounded once: a quotient of more than 54 digits; the last says if more follow. */
static double ratio(u128 a, u128 b)
{
    int shift = 0;
    for (; a > 0 && a >> 126 == 0; shift++)
        a <<= 1;
    return ldexp((double)(a / b | (a % b > 0)), -shift);
}

/* Returns the sums that it finds. */
static tas_sums check_above(const tas_histogram *h, double threshold)
{
    tas_sums expected = {0, 0};
    u128 squares = 0;
    double deviation;
    const tas_sums found = tas_above(h, threshold, &deviation);
    for (size_t i = 0; i < h->used; i++)
        if (h->level[i] > threshold) {
            expected.pixels += h->count[i];
            expected.total += h->count[i] * h->level[i];
            squares += (u128)h->count[i] * h->level[i] * h->level[i];
        }
    const u128 n = expected.pixels, total = expected.total;
    const double variance = n > 0 ? ratio(n * squares - total * total, n * n) : 0;
    CHECK(found.pixels == expected.pixels, "above %a", threshold);
    CHECK(found.total == expected.total, "above %a", threshold);
    CHECK(deviation == sqrt(variance), "%a, not %a", deviation, sqrt(variance));
    return found;
}

/* Levels and counts without an image: counts that no image here has, and ties. Those of small
 * counts are ties of all of them times a factor too, which no longer fit a double. */
static void check_any_histogram(source *s)
{
    uint32_t level[16], next = below(s, 8) ? below(s, 3) : below(s, 50000);
    uint64_t count[16];
    tas_histogram h = {0, level, count, NULL};
    const unsigned used = below(s, 16), gap = below(s, 8) ? 3 : 4000;
    const unsigned ties = below(s, 2), times = below(s, 2) ? 1 + below(s, 65536) * 8 : 1;
    for (; h.used < used && next < TAS_LEVELS_U16; h.used++) {
        level[h.used] = next;
        count[h.used] = ties ? (1 + below(s, 4)) * times : 1 + next_bits(s, 1 + h.used % 3) / 8;
        next += 1 + below(s, gap);
    }
    CHECK(tas_otsu(&h) == naive_otsu(&h), "%u, not %u", tas_otsu(&h), naive_otsu(&h));
    CHECK(tas_otsu_mahotas(&h) == naive_otsu_mahotas(&h), "%u, not %u", tas_otsu_mahotas(&h),
          naive_otsu_mahotas(&h));
    check_above(&h, tas_otsu(&h));
    check_above(&h, (double)below(s, TAS_LEVELS_U16) + (below(s, 4) - 1.0) / 4);
}

/* The pixels of a region in a histogram, which is the same one for all. */
static void check_histogram(const tas_image *image, const tas_region *region, double threshold)
{
    static uint64_t n[TAS_LEVELS_U16]; /* zero between calls */
    static tas_histogram h;
    const tas_kernel *kernel;
    double *values = pixels_of(image, region);
    void *row = memory(image->size[2] * tas_pixel_bytes[image->type]);
    if (h.table == NULL)
        CHECK(tas_open_histogram(&h) == 0, "memory");
    for (uint64_t i = 0; i < region->pixels; i++)
        n[(size_t)values[i]]++;
    tas_take_histogram(image, region, row, &h);
    uint64_t pixels = 0;
    for (size_t i = 0; i < h.used; i++) {
        CHECK(i == 0 || h.level[i - 1] < h.level[i], "levels %zu", i);
        CHECK(h.count[i] > 0 && h.count[i] == n[h.level[i]], "level %u", h.level[i]);
        pixels += h.count[i];
        n[h.level[i]] = 0;
    }
    CHECK(pixels == region->pixels, "%llu", (unsigned long long)pixels);
    CHECK(tas_otsu(&h) == naive_otsu(&h), "%u, not %u", tas_otsu(&h), naive_otsu(&h));
    const double thresholds[] = {threshold, tas_otsu(&h)};
    for (int t = 0; t < 2; t++) {
        const tas_sums expected = check_above(&h, thresholds[t]);
        for (size_t i = 0; (kernel = tas_kernel_at(i)) != NULL; i++) {
            const tas_sums found = tas_region_above(kernel, image, region, thresholds[t], row);
            CHECK(found.pixels == expected.pixels && found.total == expected.total, "%s",
                  kernel->name);
        }
    }
    free(row);
    free(values);
}

/* Floats: their sums by powers of two, with the library's way to take a double apart. */
static void check_exact_sum(const tas_image *image, const tas_region *region, double threshold)
{
    static tas_exact_sum found;
    static int64_t n[TAS_EXACT_POWERS][2]; /* zero between calls */
    double *values = pixels_of(image, region);
    void *row = memory(image->size[2] * tas_pixel_bytes[image->type]);
    uint64_t pixels = 0;
    tas_region_exactly(image, region, threshold, &found, row);
    for (uint64_t i = 0; i < region->pixels; i++)
        if (values[i] > threshold) {
            int exponent;
            frexp(values[i], &exponent);
            int power = values[i] == 0 || exponent < -1021 ? 0 : exponent + 1021;
            int64_t whole = (INT64_C(1) << 52); /* of the infinite */
            if (isinf(values[i]))
                power = TAS_EXACT_POWERS - 1;
            else
                whole = (int64_t)ldexp(values[i], 1074 - power);
            n[power][0] += whole % (1 << TAS_EXACT_SPLIT);
            n[power][1] += whole / (1 << TAS_EXACT_SPLIT);
            pixels++;
        }
    CHECK(found.pixels == pixels, "%llu", (unsigned long long)pixels);
    for (int p = 0; p < TAS_EXACT_POWERS; p++)
        CHECK(found.low[p] == n[p][0] && found.high[p] == n[p][1], "power %d", p);
    memset(n, 0, sizeof n);
    free(row);
    free(values);
}

/* Puts something into the block, where it may be a pixel, that may be infinite. */
static void check_all_finite(source *s, const tas_image *image, void *block, size_t items)
{
    static const double any[] = {0, INFINITY, -INFINITY, NAN};
    const tas_region all = {.pixels = image->size[0] * image->size[1] * image->size[2],
                            .high = {image->size[0], image->size[1], image->size[2]}};
    void *row = memory(image->size[2] * tas_pixel_bytes[image->type]);
    int is_finite = 1;
    put_pixel(block, below(s, 65536) % items, image->type, any[below(s, 4)]);
    for (size_t z = 0; z < image->size[0]; z++)
        for (size_t y = 0; y < image->size[1]; y++)
            for (size_t x = 0; x < image->size[2]; x++)
                is_finite &= isfinite(pixel_at(image, z, y, x)) != 0;
    CHECK(tas_all_finite(image, &all, row) == is_finite, "not %d", is_finite);
    free(row);
}

/* ---- objects ----------------------------------------------------------------------------- */

/* Without any function of the core. */
static int64_t label_at(const tas_labels *labels, const size_t at[3])
{
    const char *label = labels->labels;
    int64_t value;
    for (int axis = 0; axis < 3; axis++)
        label += (ptrdiff_t)at[axis] * labels->stride[axis];
    switch ((int)labels->bytes * (labels->is_signed ? -1 : 1)) {
    case 1: value = *(const uint8_t *)label; break;
    case 2: value = *(const uint16_t *)label; break;
    case 4: value = *(const uint32_t *)label; break;
    case -1: value = *(const int8_t *)label; break;
    case -2: value = *(const int16_t *)label; break;
    case -4: value = *(const int32_t *)label; break;
    case -8: value = *(const int64_t *)label; break;
    default:
        value = *(const uint64_t *)label > INT64_MAX ? INT64_MAX : *(const int64_t *)label;
    }
    return labels->is_mask ? value != 0 : value;
}

static int next_position(const size_t size[3], size_t at[3])
{
    for (int axis = 2; axis >= 0; axis--) {
        if (++at[axis] < size[axis])
            return 1;
        at[axis] = 0;
    }
    return 0;
}

/* Fills in a label image and returns its block. Few labels, so that objects have many pixels;
 * seldom one that is refused. */
static void *next_labels(source *s, const size_t size[3], tas_labels *labels)
{
    int64_t few[FEW];
    size_t first;
    labels->bytes = (size_t)1 << below(s, 4);
    labels->is_signed = below(s, 2);
    labels->is_mask = labels->bytes == 1 && !labels->is_signed && below(s, 2); /* of bools */
    memcpy(labels->size, size, sizeof labels->size);
    const size_t items = lay_out(s, labels->bytes, size, labels->stride, &first);
    const unsigned bits = 8 * (unsigned)labels->bytes - (unsigned)labels->is_signed;
    const int64_t top = bits < 32 ? (INT64_C(1) << bits) - 1 : UINT32_MAX;
    const unsigned count = below(s, 4) ? 1 + below(s, FEW) : 0, longest = 1 + below(s, 40);
    for (unsigned i = 0; i < count; i++)
        switch (below(s, 8)) {
        case 0: few[i] = below(s, 2) ? top : top - 1; break;
        case 1: few[i] = (int64_t)next_bits(s, 8) & top; break;
        case 2: few[i] = below(s, 8) ? 0 : (int64_t)next_bits(s, 8); break; /* or refused */
        default: few[i] = below(s, 6);
        }
    char *block = memory(items * labels->bytes);
    for (size_t i = 0, left = 0; i < items; i++) {
        static int64_t label;
        if (left-- == 0) {
            label = count ? few[below(s, count)] : (int64_t)next_bits(s, 2) & top & 1023;
            left = below(s, longest);
        }
        switch (labels->bytes) {
        case 1: ((uint8_t *)block)[i] = (uint8_t)label; break;
        case 2: ((uint16_t *)block)[i] = (uint16_t)label; break;
        case 4: ((uint32_t *)block)[i] = (uint32_t)label; break;
        default: ((uint64_t *)block)[i] = (uint64_t)label;
        }
    }
    labels->labels = block + first * labels->bytes;
    return block;
}

/* In order, as long as can be, and of that label. */
static void check_runs(const tas_labels *labels, const tas_region *region)
{
    uint64_t pixels = 0;
    for (size_t i = 0; i < region->run_count; i++) {
        const tas_run run = region->runs[i], before = region->runs[i > 0 ? i - 1 : 0];
        CHECK(run.begin < run.end, "run %zu", i);
        CHECK(run.end <= labels->size[2], "run %zu", i);
        if (i > 0 && run.plane == before.plane && run.row == before.row)
            CHECK(before.end < run.begin, "run %zu", i);
        else if (i > 0)
            CHECK(before.plane < run.plane
                      || (before.plane == run.plane && before.row < run.row),
                  "run %zu", i);
        for (size_t x = run.begin; x < run.end; x++)
            CHECK(label_at(labels, (size_t[3]){run.plane, run.row, x}) == region->label,
                  "run %zu, column %zu", i, x);
        pixels += run.end - run.begin;
    }
    CHECK(pixels == region->pixels, "label %u", region->label);
}

static void check_objects(const tas_labels *labels, const tas_objects *objects)
{
    tas_region *naive = calloc(objects->count + 1, sizeof *naive);
    size_t at[3] = {0};
    CHECK(naive != NULL, "memory");
    do {
        const int64_t label = label_at(labels, at);
        size_t i = 0;
        while (label != 0 && i < objects->count && objects->regions[i].label != label)
            i++;
        if (label == 0)
            continue;
        CHECK(i < objects->count, "label %lld", (long long)label);
        for (int axis = 0; axis < 3; axis++) {
            if (naive[i].pixels == 0 || at[axis] < naive[i].low[axis])
                naive[i].low[axis] = at[axis];
            if (at[axis] >= naive[i].high[axis])
                naive[i].high[axis] = at[axis] + 1;
        }
        naive[i].pixels++;
    } while (next_position(labels->size, at));
    for (size_t i = 0; i < objects->count; i++) {
        const tas_region *region = &objects->regions[i];
        CHECK(i == 0 || objects->regions[i - 1].label < region->label, "object %zu", i);
        CHECK(region->pixels == naive[i].pixels && region->pixels > 0, "object %zu", i);
        CHECK(memcmp(region->low, naive[i].low, sizeof region->low) == 0, "object %zu", i);
        CHECK(memcmp(region->high, naive[i].high, sizeof region->high) == 0, "object %zu", i);
        check_runs(labels, region);
    }
    free(naive);
}

static void check_status(const tas_labels *labels, tas_status status)
{
    int is_bad = 0;
    size_t at[3] = {0};
    do
        is_bad |= label_at(labels, at) < 0 || label_at(labels, at) > UINT32_MAX;
    while (next_position(labels->size, at));
    CHECK(status == (is_bad ? TAS_BAD_LABEL : TAS_DONE), "status %d", (int)status);
}

/* ---- one input --------------------------------------------------------------------------- */

/* Arrays of any length, as kernels are given them. */
static void check_rows(source *s, const tas_image *image, const void *block, size_t items)
{
    const tas_kernel *kernel;
    const unsigned cut = below(s, image->type == TAS_U8 ? 256 : 65536);
    const unsigned values = 1 + below(s, 3);
    const size_t n = below(s, 300), lanes = n / 64 + 1;
    uint32_t *labels = memory(n * sizeof *labels + 1); /* so that NULL is no memory */
    uint64_t *ends = memory(lanes * sizeof *ends), *expected = memory(lanes * sizeof *ends);
    for (size_t i = 0; i < n; i++)
        labels[i] = below(s, values) << 31 | below(s, values);
    tas_scalar.find_ends(labels, n, expected);
    for (size_t i = 0; (kernel = tas_kernel_at(i)) != NULL; i++) {
        tas_sums sums[2] = {{1, 2}, {1, 2}};
        memset(ends, 7, lanes * sizeof *ends);
        kernel->find_ends(labels, n, ends);
        CHECK(memcmp(ends, expected, lanes * sizeof *ends) == 0, "%s", kernel->name);
        if (image->type == TAS_U8) {
            tas_scalar.add_above_u8(block, items, cut, &sums[0]);
            kernel->add_above_u8(block, items, cut, &sums[1]);
        } else if (image->type == TAS_U16) {
            tas_scalar.add_above_u16(block, items, cut, &sums[0]);
            kernel->add_above_u16(block, items, cut, &sums[1]);
        }
        CHECK(memcmp(&sums[0], &sums[1], sizeof *sums) == 0, "%s", kernel->name);
    }
    free(expected);
    free(ends);
    free(labels);
}

/* All of an image, or a box in it. */
static tas_region next_box(source *s, const tas_image *image)
{
    const int is_whole = below(s, 2);
    tas_region region = {.pixels = 1};
    for (int axis = 0; axis < 3; axis++) {
        const size_t n = image->size[axis];
        region.low[axis] = is_whole ? 0 : below(s, (unsigned)n);
        region.high[axis] = is_whole ? n : n - below(s, (unsigned)(n - region.low[axis]));
        region.pixels *= region.high[axis] - region.low[axis];
    }
    return region;
}

static void check_region(source *s, const tas_image *image, const palette *few,
                         const tas_region *region, tas_outside outside)
{
    const tas_cuts cuts = next_cuts(s, image->type, few);
    double threshold = next_cut(s, image->type, few);
    threshold = isnan(threshold) ? 0 : threshold; /* a cut may be that, a threshold is none */
    check_counts(image, region, &cuts, outside);
    if (image->type == TAS_U8 || image->type == TAS_U16)
        check_histogram(image, region, threshold);
    else
        check_exact_sum(image, region, threshold);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { ENOUGH = 6 };     /* objects: the first few are like the others */
    enum { HISTOGRAMS = 8 }; /* cheap, and ties of unlike halves are rare */
    source here = {data, data + size, 1}, *s = &here;
    const tas_kernel *kernel;
    const tas_outside outside = below(s, 2) ? TAS_OUTSIDE_REFLECTS : TAS_OUTSIDE_OFF;
    const int has_labels = below(s, 2);
    tas_image image;
    palette few;
    size_t items;
    void *block = next_image(s, &image, &items, &few);
    const tas_region box = next_box(s, &image);
    check_region(s, &image, &few, &box, outside);
    check_rows(s, &image, block, items);
    for (int i = 0; i < HISTOGRAMS; i++)
        check_any_histogram(s);
    if (has_labels) {
        tas_labels labels;
        tas_objects objects;
        void *label_block = next_labels(s, image.size, &labels);
        for (size_t i = 0; (kernel = tas_kernel_at(i)) != NULL; i++) {
            const tas_status status = tas_find_objects(kernel, &labels, &objects);
            check_status(&labels, status);
            if (status != TAS_DONE)
                continue;
            check_objects(&labels, &objects);
            for (size_t o = 0; i == 0 && o < objects.count && o < ENOUGH; o++)
                check_region(s, &image, &few, &objects.regions[o], outside);
            tas_free_objects(&objects);
        }
        free(label_block);
    }
    if (image.type == TAS_F32 || image.type == TAS_F64)
        check_all_finite(s, &image, block, items);
    free(block);
    return 0;
}
