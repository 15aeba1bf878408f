/* The kernels by name, and whether this CPU can run them. */
#include <string.h>

#include "tas.h"

static int any_cpu(void) { return 1; }

/* From the slowest to the fastest; the last that the CPU can run is the default. */
static const struct {
    const char *name;
    tas_kernel *kernel;
    int (*runs_here)(void);
} table[] = {
    {"scalar", tas_scalar, any_cpu},
    {"u64", tas_u64, any_cpu},
};

enum { KERNELS = sizeof table / sizeof table[0] };

const char *tas_kernel_name(size_t index)
{
    for (size_t i = 0; i < KERNELS; i++)
        if (table[i].runs_here() && index-- == 0)
            return table[i].name;
    return NULL;
}

tas_kernel *tas_find_kernel(const char *name)
{
    for (size_t i = 0; i < KERNELS; i++)
        if (table[i].runs_here() && strcmp(table[i].name, name) == 0)
            return table[i].kernel;
    return NULL;
}
