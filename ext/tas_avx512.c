/* The bit-sliced kernel on 512 bits: AVX-512 with BW, VPOPCNTDQ. */
#include "tas.h"

#if defined(TAS_X86)
#include <immintrin.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tas_target.h"
TAS_TARGET_BEGIN("avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,bmi,bmi2,popcnt")

#define TAS_KERNEL tas_avx512
#define TAS_NAME "avx512"
#define WORD_LANES 8
#define WORD_POPCOUNTS 1
#define WORD_SUMS_BYTES 1

typedef __m512i word;

static inline word word_load(const uint64_t *p) { return _mm512_loadu_si512(p); }
static inline void word_store(uint64_t *p, word a) { _mm512_storeu_si512(p, a); }
static inline word word_zero(void) { return _mm512_setzero_si512(); }
static inline word word_and(word a, word b) { return _mm512_and_si512(a, b); }
static inline word word_or(word a, word b) { return _mm512_or_si512(a, b); }
static inline word word_xor(word a, word b) { return _mm512_xor_si512(a, b); }
static inline word word_andnot(word a, word b) { return _mm512_andnot_si512(b, a); }
static inline word word_shl(word a, int n) { return _mm512_slli_epi64(a, (unsigned)n); }
static inline word word_shr(word a, int n) { return _mm512_srli_epi64(a, (unsigned)n); }
static inline word word_popcounts(word a) { return _mm512_popcnt_epi64(a); }
static inline word word_add(word a, word b) { return _mm512_add_epi64(a, b); }
static inline uint64_t word_sum(word a) { return (uint64_t)_mm512_reduce_add_epi64(a); }

static inline word word_lanes(uint64_t a) { return _mm512_set1_epi64((long long)a); }
static inline word word_byte_sums(word a) { return _mm512_sad_epu8(a, word_zero()); }

/* Any function of three bits is one instruction, named by its table of truth. */
static inline word word_xor3(word a, word b, word c)
{
    return _mm512_ternarylogic_epi64(a, b, c, 0x96);
}

static inline word word_majority(word a, word b, word c)
{
    return _mm512_ternarylogic_epi64(a, b, c, 0xe8);
}

static inline uint64_t at_least_u8(const uint8_t *p, uint8_t cut)
{
    return _mm512_cmpge_epu8_mask(_mm512_loadu_si512(p), _mm512_set1_epi8((char)cut));
}

static inline uint64_t at_least_u16(const uint16_t *p, uint16_t cut)
{
    const __m512i cuts = _mm512_set1_epi16((short)cut);
    const uint64_t left = _mm512_cmpge_epu16_mask(_mm512_loadu_si512(p), cuts);
    const uint64_t right = _mm512_cmpge_epu16_mask(_mm512_loadu_si512(p + 32), cuts);
    return left | right << 32;
}

static inline word word_above_u8(const uint8_t *p, uint8_t cut)
{
    const __m512i x = _mm512_loadu_si512(p);
    return _mm512_maskz_mov_epi8(_mm512_cmpge_epu8_mask(x, _mm512_set1_epi8((char)cut)), x);
}

static inline word word_above_u16(const uint16_t *p, uint16_t cut)
{
    const __m512i x = _mm512_loadu_si512(p);
    return _mm512_maskz_mov_epi16(_mm512_cmpge_epu16_mask(x, _mm512_set1_epi16((short)cut)), x);
}

static inline uint64_t changes_u32(const uint32_t *p)
{
    uint64_t changes = 0;
    for (int i = 0; i < 64; i += 16)
        changes |= (uint64_t)_mm512_cmpneq_epu32_mask(_mm512_loadu_si512(p + i),
                                                      _mm512_loadu_si512(p + i + 1))
                   << i;
    return changes;
}

#include "tas_bitslice.h"
TAS_TARGET_END
#else
typedef int tas_no_avx512; /* a translation unit may not be empty */
#endif
