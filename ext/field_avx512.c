/* The loops for AVX-512 with BW. */
#include "field.h"
#include "tas.h"

#if defined(TAS_X86)
#include "tas_target.h"
TAS_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl")

#define FIELD_LOOPS field_avx512
#define FIELD_NAME "avx512"
#include "field_loops.h"

TAS_TARGET_END
#else
typedef int field_no_avx512; /* a translation unit may not be empty */
#endif
