/* The regions of a label image: one pass over it finds the runs of equal labels in its rows, a
 * hash table the object that each belongs to, and a counting sort puts every object's together.
 */
#include <stdlib.h>
#include <string.h>

#include "tas.h"

typedef struct {
    tas_run run;
    uint32_t object; /* its number in order of appearance */
} found_run;

/* An object as far as the pass has come; small, as all of them are at hand all the time. */
typedef struct {
    uint32_t label;
    uint32_t low[3], high[3];
    uint64_t pixels, runs;
} found_object;

/* What the pass has found. The hash table holds numbers of objects + 1, by their labels. */
typedef struct {
    found_run *runs;
    size_t run_count, run_room;
    found_object *objects;
    size_t object_count, object_room;
    uint32_t *slots;
    size_t slot_mask;
    size_t last; /* the object of the run before */
} finder;

/* Room for `more` items, twice as much as before at least; NULL when memory ran out. */
static void *grown(void *array, size_t count, size_t more, size_t *room, size_t item)
{
    if (count + more <= *room)
        return array;
    *room = 2 * *room + more;
    return realloc(array, *room * item);
}

/* The slot where a label is, or would be. */
static uint32_t *slot_of(const finder *f, uint32_t label)
{
    size_t at = (size_t)(label * UINT64_C(0x9e3779b97f4a7c15) >> 32) & f->slot_mask;
    while (f->slots[at] != 0 && f->objects[f->slots[at] - 1].label != label)
        at = (at + 1) & f->slot_mask;
    return &f->slots[at];
}

static int enlarge_slots(finder *f)
{
    const size_t count = f->slots == NULL ? 256 : 2 * (f->slot_mask + 1);
    free(f->slots);
    f->slots = calloc(count, sizeof *f->slots);
    if (f->slots == NULL)
        return 0;
    f->slot_mask = count - 1;
    for (size_t i = 0; i < f->object_count; i++)
        *slot_of(f, f->objects[i].label) = (uint32_t)i + 1;
    return 1;
}

/* Makes `last` the object of that label. */
static int find_object(finder *f, uint32_t label)
{
    if (f->object_count > 0 && f->objects[f->last].label == label)
        return 1;
    if (2 * f->object_count >= f->slot_mask && !enlarge_slots(f))
        return 0;
    uint32_t *slot = slot_of(f, label);
    if (*slot == 0) {
        void *room = grown(f->objects, f->object_count, 1, &f->object_room, sizeof *f->objects);
        if (room == NULL)
            return 0;
        f->objects = room;
        f->objects[f->object_count++] =
            (found_object){.label = label, .low = {UINT32_MAX, UINT32_MAX, UINT32_MAX}};
        *slot = (uint32_t)f->object_count;
    }
    f->last = *slot - 1;
    return 1;
}

static inline void stretch(found_object *object, int axis, uint32_t low, uint32_t high)
{
    object->low[axis] = low < object->low[axis] ? low : object->low[axis];
    object->high[axis] = high > object->high[axis] ? high : object->high[axis];
}

/* There is room for the run. */
static inline int add_run(finder *f, uint32_t label, tas_run run)
{
    if (!find_object(f, label))
        return 0;
    f->runs[f->run_count++] = (found_run){run, (uint32_t)f->last};
    found_object *object = &f->objects[f->last];
    object->pixels += run.end - run.begin;
    object->runs++;
    stretch(object, 0, run.plane, run.plane + 1);
    stretch(object, 1, run.row, run.row + 1);
    stretch(object, 2, run.begin, run.end);
    return 1;
}

/* A label that is negative, or 2^32 or more, shows in what all labels have in common as a high
 * bit. */
#define COPY_LABELS(type)                                                                      \
    do {                                                                                       \
        type all = 0;                                                                          \
        for (size_t x = 0; x < n; x++) {                                                       \
            const type label = *(const type *)(from + (ptrdiff_t)x * stride);                  \
            all |= label;                                                                      \
            row[x] = (uint32_t)label;                                                          \
        }                                                                                      \
        bits = (uint64_t)(int64_t)all;                                                         \
    } while (0)

/* Copies a row of labels of whatever type. */
static tas_status copy_row(const tas_labels *labels, const char *from, uint32_t *row)
{
    const size_t n = labels->size[2];
    const ptrdiff_t stride = labels->stride[2];
    uint64_t bits = 0;
    switch ((int)labels->bytes * (labels->is_signed ? -1 : 1)) {
    case 1: COPY_LABELS(uint8_t); break;
    case 2: COPY_LABELS(uint16_t); break;
    case 4: COPY_LABELS(uint32_t); break;
    case 8: COPY_LABELS(uint64_t); break;
    case -1: COPY_LABELS(int8_t); break;
    case -2: COPY_LABELS(int16_t); break;
    case -4: COPY_LABELS(int32_t); break;
    default: COPY_LABELS(int64_t);
    }
    for (size_t x = 0; labels->is_mask && x < n; x++)
        row[x] = row[x] != 0;
    return bits > UINT32_MAX ? TAS_BAD_LABEL : TAS_DONE;
}

/* The number of the lowest bit that is set, of a lane that is not 0. */
static inline unsigned lowest_bit(uint64_t lane)
{
#if defined(__GNUC__)
    return (unsigned)__builtin_ctzll(lane);
#else
    unsigned bit = 0;
    while (!(lane >> bit & 1))
        bit++;
    return bit;
#endif
}

/* Where the run of equal labels ends that begins at x: `ends` has a bit for each last label. */
static size_t end_of_run(const uint64_t *ends, size_t x)
{
    size_t lane = x / 64;
    uint64_t left = ends[lane] >> x % 64 << x % 64;
    while (left == 0)
        left = ends[++lane];
    return lane * 64 + lowest_bit(left) + 1;
}

static tas_status add_runs(finder *f, const tas_labels *labels, const uint32_t *row,
                           const uint64_t *ends, uint32_t z, uint32_t y)
{
    const uint32_t top = labels->is_signed && labels->bytes == 4 ? INT32_MAX : UINT32_MAX;
    const size_t n = labels->size[2];
    void *room = grown(f->runs, f->run_count, n, &f->run_room, sizeof *f->runs);
    if (room == NULL)
        return TAS_NO_MEMORY;
    f->runs = room;
    for (size_t x = 0, end; x < n; x = end) {
        end = end_of_run(ends, x);
        if (row[x] == 0)
            continue;
        if (row[x] > top)
            return TAS_BAD_LABEL;
        if (!add_run(f, row[x], (tas_run){z, y, (uint32_t)x, (uint32_t)end}))
            return TAS_NO_MEMORY;
    }
    return TAS_DONE;
}

static tas_status find_runs(const tas_kernel *kernel, const tas_labels *labels, uint32_t *copy,
                            uint64_t *ends, finder *f)
{
    const int in_place = labels->bytes == 4 && labels->stride[2] == 4;
    for (uint32_t z = 0; z < labels->size[0]; z++)
        for (uint32_t y = 0; y < labels->size[1]; y++) {
            const char *from = labels->labels + (ptrdiff_t)z * labels->stride[0]
                               + (ptrdiff_t)y * labels->stride[1];
            const uint32_t *row = in_place ? (const void *)from : copy;
            tas_status status = in_place ? TAS_DONE : copy_row(labels, from, copy);
            if (status == TAS_DONE) {
                kernel->find_ends(row, labels->size[2], ends);
                status = add_runs(f, labels, row, ends, z, y);
            }
            if (status != TAS_DONE)
                return status;
        }
    return TAS_DONE;
}

static int by_label(const void *a, const void *b)
{
    const uint32_t left = ((const tas_region *)a)->label, right = ((const tas_region *)b)->label;
    return (left > right) - (left < right);
}

/* Makes regions of the objects, and gives each its runs, in order. */
static tas_status make_regions(const finder *f, tas_objects *objects)
{
    size_t *next = malloc((f->object_count + 1) * sizeof *next), first = 0;
    objects->count = f->object_count;
    objects->regions = malloc((f->object_count + 1) * sizeof *objects->regions);
    objects->runs = malloc((f->run_count + 1) * sizeof *objects->runs);
    if (next == NULL || objects->regions == NULL || objects->runs == NULL) {
        free(next);
        return TAS_NO_MEMORY;
    }
    for (size_t i = 0; i < f->object_count; i++) {
        const found_object *o = &f->objects[i];
        objects->regions[i] = (tas_region){o->label,
                                           o->pixels,
                                           {o->low[0], o->low[1], o->low[2]},
                                           {o->high[0], o->high[1], o->high[2]},
                                           objects->runs + first,
                                           o->runs};
        next[i] = first;
        first += o->runs;
    }
    for (size_t i = 0; i < f->run_count; i++)
        objects->runs[next[f->runs[i].object]++] = f->runs[i].run;
    qsort(objects->regions, objects->count, sizeof *objects->regions, by_label);
    free(next);
    return TAS_DONE;
}

tas_status tas_find_objects(const tas_kernel *kernel, const tas_labels *labels,
                            tas_objects *objects)
{
    finder f = {0};
    uint32_t *copy = malloc(labels->size[2] * sizeof *copy);
    uint64_t *ends = malloc((labels->size[2] / 64 + 1) * sizeof *ends);
    tas_status status = TAS_NO_MEMORY;
    *objects = (tas_objects){0, NULL, NULL};
    if (copy != NULL && ends != NULL)
        status = find_runs(kernel, labels, copy, ends, &f);
    if (status == TAS_DONE)
        status = make_regions(&f, objects);
    free(copy);
    free(ends);
    free(f.runs);
    free(f.objects);
    free(f.slots);
    if (status != TAS_DONE)
        tas_free_objects(objects);
    return status;
}

void tas_free_objects(tas_objects *objects)
{
    free(objects->regions);
    free(objects->runs);
    *objects = (tas_objects){0, NULL, NULL};
}
