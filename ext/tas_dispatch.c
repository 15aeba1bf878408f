/* The kernels by name, and whether this CPU can run them. */
#include <string.h>

#include "tas.h"

static int any_cpu(void) { return 1; }

#if defined(TAS_X86)
/* The builtin asks the CPU, and the system whether it saves the registers. */
static int has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi")
           && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
}

static int has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
           && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")
           && __builtin_cpu_supports("avx512vpopcntdq");
}
#endif

/* From the slowest to the fastest; the last that the CPU can run is the default. */
static const struct {
    const tas_kernel *kernel;
    int (*runs_here)(void);
} table[] = {
    {&tas_scalar, any_cpu},
    {&tas_u64, any_cpu},
#if defined(TAS_X86)
    {&tas_avx2, has_avx2},
    {&tas_avx512, has_avx512},
#elif defined(TAS_ARM)
    {&tas_neon, any_cpu},
#endif
};

enum { KERNELS = sizeof table / sizeof table[0] };

const tas_kernel *tas_kernel_at(size_t index)
{
    for (size_t i = 0; i < KERNELS; i++)
        if (table[i].runs_here() && index-- == 0)
            return table[i].kernel;
    return NULL;
}

const tas_kernel *tas_find_kernel(const char *name)
{
    for (size_t i = 0; i < KERNELS; i++)
        if (table[i].runs_here() && strcmp(table[i].kernel->name, name) == 0)
            return table[i].kernel;
    return NULL;
}

int tas_count(const tas_kernel *kernel, const tas_image *image, const tas_region *region,
              const tas_cuts *cuts, tas_outside outside, tas_counts *counts)
{
    const double thin = 500; /* a pixel costs the scalar kernel that many times a bit, or more */
    const double box = (double)(region->high[0] - region->low[0])
                       * (double)(region->high[1] - region->low[1])
                       * (double)(region->high[2] - region->low[2]);
    if (box > thin * (double)region->pixels)
        kernel = &tas_scalar;
    return kernel->count(image, region, cuts, outside, counts);
}
