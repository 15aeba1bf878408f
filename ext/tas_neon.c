/* The bit-sliced kernel on 128 bits: NEON, which every 64-bit ARM has. */
#include "tas.h"

#if defined(TAS_ARM)
#include <arm_neon.h>

#define TAS_KERNEL tas_neon
#define TAS_NAME "neon"
#define WORD_LANES 2
#define WORD_POPCOUNTS 0
#define WORD_SUMS_BYTES 1

typedef uint64x2_t word;

static inline word word_load(const uint64_t *p) { return vld1q_u64(p); }
static inline void word_store(uint64_t *p, word a) { vst1q_u64(p, a); }
static inline word word_zero(void) { return vdupq_n_u64(0); }
static inline word word_and(word a, word b) { return vandq_u64(a, b); }
static inline word word_or(word a, word b) { return vorrq_u64(a, b); }
static inline word word_xor(word a, word b) { return veorq_u64(a, b); }
static inline word word_andnot(word a, word b) { return vbicq_u64(a, b); }
static inline word word_xor3(word a, word b, word c) { return veorq_u64(veorq_u64(a, b), c); }
static inline word word_shl(word a, int n) { return vshlq_u64(a, vdupq_n_s64(n)); }
static inline word word_shr(word a, int n) { return vshlq_u64(a, vdupq_n_s64(-n)); }
static inline word word_add(word a, word b) { return vaddq_u64(a, b); }
static inline uint64_t word_sum(word a) { return vaddvq_u64(a); }

static inline word word_lanes(uint64_t a) { return vdupq_n_u64(a); }

/* Where a and b differ c decides, elsewhere they agree. */
static inline word word_majority(word a, word b, word c)
{
    return vbslq_u64(veorq_u64(a, b), c, a);
}

static inline word word_byte_sums(word a)
{
    return vpaddlq_u32(vpaddlq_u16(vpaddlq_u8(vreinterpretq_u8_u64(a))));
}

static inline word word_popcounts(word a)
{
    return word_byte_sums(vreinterpretq_u64_u8(vcntq_u8(vreinterpretq_u8_u64(a))));
}

/* Four times 16 bytes of all ones or zeros to 64 bits: each keeps the bit of its place, and three
 * rounds of adding neighbours join eight bytes into one. */
static inline uint64_t gather(uint8x16_t a, uint8x16_t b, uint8x16_t c, uint8x16_t d)
{
    const uint8x16_t place = vreinterpretq_u8_u64(vdupq_n_u64(UINT64_C(0x8040201008040201)));
    const uint8x16_t ab = vpaddq_u8(vandq_u8(a, place), vandq_u8(b, place));
    const uint8x16_t cd = vpaddq_u8(vandq_u8(c, place), vandq_u8(d, place));
    const uint8x16_t abcd = vpaddq_u8(ab, cd);
    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(abcd, abcd)), 0);
}

static inline uint64_t at_least_u8(const uint8_t *p, uint8_t cut)
{
    const uint8x16_t cuts = vdupq_n_u8(cut);
    return gather(vcgeq_u8(vld1q_u8(p), cuts), vcgeq_u8(vld1q_u8(p + 16), cuts),
                  vcgeq_u8(vld1q_u8(p + 32), cuts), vcgeq_u8(vld1q_u8(p + 48), cuts));
}

static inline uint8x16_t at_least_16_u16(const uint16_t *p, uint16x8_t cuts)
{
    return vcombine_u8(vmovn_u16(vcgeq_u16(vld1q_u16(p), cuts)),
                       vmovn_u16(vcgeq_u16(vld1q_u16(p + 8), cuts)));
}

static inline uint64_t at_least_u16(const uint16_t *p, uint16_t cut)
{
    const uint16x8_t cuts = vdupq_n_u16(cut);
    return gather(at_least_16_u16(p, cuts), at_least_16_u16(p + 16, cuts),
                  at_least_16_u16(p + 32, cuts), at_least_16_u16(p + 48, cuts));
}

static inline word word_above_u8(const uint8_t *p, uint8_t cut)
{
    const uint8x16_t x = vld1q_u8(p);
    return vreinterpretq_u64_u8(vandq_u8(x, vcgeq_u8(x, vdupq_n_u8(cut))));
}

static inline word word_above_u16(const uint16_t *p, uint16_t cut)
{
    const uint16x8_t x = vld1q_u16(p);
    return vreinterpretq_u64_u16(vandq_u16(x, vcgeq_u16(x, vdupq_n_u16(cut))));
}

static inline uint16x4_t same_4(const uint32_t *p)
{
    return vmovn_u32(vceqq_u32(vld1q_u32(p), vld1q_u32(p + 1)));
}

static inline uint8x16_t same_16(const uint32_t *p)
{
    return vcombine_u8(vmovn_u16(vcombine_u16(same_4(p), same_4(p + 4))),
                       vmovn_u16(vcombine_u16(same_4(p + 8), same_4(p + 12))));
}

static inline uint64_t changes_u32(const uint32_t *p)
{
    return ~gather(same_16(p), same_16(p + 16), same_16(p + 32), same_16(p + 48));
}

#include "tas_bitslice.h"
#else
typedef int tas_no_neon; /* a translation unit may not be empty */
#endif
