/* The loops by instruction set, and whether this CPU can run them. */
#include "field.h"
#include "tas.h"

const field_loops *field_loops_at(size_t index)
{
    const field_loops *runs_here[3] = {&field_any};
    size_t n = 1;
#if defined(TAS_X86)
    if (__builtin_cpu_supports("avx2"))
        runs_here[n++] = &field_avx2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        runs_here[n++] = &field_avx512;
#endif
    return index < n ? runs_here[index] : NULL;
}
