/* The loops for AVX2. */
#include "field.h"
#include "tas.h"

#if defined(TAS_X86)
#include "tas_target.h"
TAS_TARGET_BEGIN("avx2")

#define FIELD_LOOPS field_avx2
#define FIELD_NAME "avx2"
#include "field_loops.h"

TAS_TARGET_END
#else
typedef int field_no_avx2; /* a translation unit may not be empty */
#endif
