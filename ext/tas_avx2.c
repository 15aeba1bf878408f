/* The bit-sliced kernel on 256 bits: AVX2. */
#include "tas.h"

#if defined(TAS_X86)
#include <immintrin.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tas_target.h"
TAS_TARGET_BEGIN("avx2,bmi,bmi2,popcnt")

#define TAS_KERNEL tas_avx2
#define TAS_NAME "avx2"
#define WORD_LANES 4
#define WORD_POPCOUNTS 0
#define WORD_SUMS_BYTES 1

typedef __m256i word;

static inline word word_load(const uint64_t *p) { return _mm256_loadu_si256((const word *)p); }
static inline void word_store(uint64_t *p, word a) { _mm256_storeu_si256((word *)p, a); }
static inline word word_zero(void) { return _mm256_setzero_si256(); }
static inline word word_and(word a, word b) { return _mm256_and_si256(a, b); }
static inline word word_or(word a, word b) { return _mm256_or_si256(a, b); }
static inline word word_xor(word a, word b) { return _mm256_xor_si256(a, b); }
static inline word word_andnot(word a, word b) { return _mm256_andnot_si256(b, a); }
static inline word word_shl(word a, int n) { return _mm256_slli_epi64(a, n); }
static inline word word_shr(word a, int n) { return _mm256_srli_epi64(a, n); }
static inline word word_add(word a, word b) { return _mm256_add_epi64(a, b); }
static inline word word_xor3(word a, word b, word c) { return word_xor(word_xor(a, b), c); }

static inline word word_majority(word a, word b, word c)
{
    return word_or(word_and(a, b), word_and(word_xor(a, b), c));
}

static inline word word_lanes(uint64_t a) { return _mm256_set1_epi64x((long long)a); }
static inline word word_byte_sums(word a) { return _mm256_sad_epu8(a, word_zero()); }

static inline uint64_t word_sum(word a)
{
    uint64_t lanes[WORD_LANES];
    word_store(lanes, a);
    return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

/* Half a byte at a time from a table, then the sums of eight bytes each. */
static inline word word_popcounts(word a)
{
    const word table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2,
                                        1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const word half = _mm256_set1_epi8(15);
    const word low = _mm256_shuffle_epi8(table, _mm256_and_si256(a, half));
    const word high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi64(a, 4), half));
    return word_byte_sums(_mm256_add_epi8(low, high));
}

/* x >= cut is max(x, cut) == x: there is no unsigned comparison. */
static inline word reaches_u8(word x, uint8_t cut)
{
    return _mm256_cmpeq_epi8(_mm256_max_epu8(x, _mm256_set1_epi8((char)cut)), x);
}

static inline word reaches_u16(word x, uint16_t cut)
{
    return _mm256_cmpeq_epi16(_mm256_max_epu16(x, _mm256_set1_epi16((short)cut)), x);
}

static inline word load_pixels(const void *p) { return _mm256_loadu_si256(p); }

static inline uint64_t top_bits(word bytes) { return (uint32_t)_mm256_movemask_epi8(bytes); }

static inline uint64_t at_least_u8(const uint8_t *p, uint8_t cut)
{
    return top_bits(reaches_u8(load_pixels(p), cut))
           | top_bits(reaches_u8(load_pixels(p + 32), cut)) << 32;
}

/* Packing works within halves of 128 bits; the permutation puts the quarters back in order. */
static inline uint64_t at_least_32_u16(const uint16_t *p, uint16_t cut)
{
    const word a = reaches_u16(load_pixels(p), cut), b = reaches_u16(load_pixels(p + 16), cut);
    return top_bits(_mm256_permute4x64_epi64(_mm256_packs_epi16(a, b), 0xd8));
}

static inline uint64_t at_least_u16(const uint16_t *p, uint16_t cut)
{
    return at_least_32_u16(p, cut) | at_least_32_u16(p + 32, cut) << 32;
}

static inline word word_above_u8(const uint8_t *p, uint8_t cut)
{
    const word x = load_pixels(p);
    return word_and(x, reaches_u8(x, cut));
}

static inline word word_above_u16(const uint16_t *p, uint16_t cut)
{
    const word x = load_pixels(p);
    return word_and(x, reaches_u16(x, cut));
}

static inline uint64_t changes_u32(const uint32_t *p)
{
    uint64_t same = 0;
    for (int i = 0; i < 64; i += 8) {
        const word equal = _mm256_cmpeq_epi32(load_pixels(p + i), load_pixels(p + i + 1));
        same |= (uint64_t)(unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(equal)) << i;
    }
    return ~same;
}

#include "tas_bitslice.h"
TAS_TARGET_END
#else
typedef int tas_no_avx2; /* a translation unit may not be empty */
#endif
