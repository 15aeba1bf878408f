/* The bit-sliced kernel on plain 64-bit integers: runs everywhere. */
#include <stdint.h>

#define TAS_KERNEL tas_u64
#define TAS_NAME "u64"
#define WORD_LANES 1
#define WORD_POPCOUNTS 0
#define WORD_SUMS_BYTES 0

typedef uint64_t word;

static inline word word_load(const uint64_t *p) { return *p; }
static inline void word_store(uint64_t *p, word a) { *p = a; }
static inline word word_zero(void) { return 0; }
static inline word word_and(word a, word b) { return a & b; }
static inline word word_or(word a, word b) { return a | b; }
static inline word word_xor(word a, word b) { return a ^ b; }
static inline word word_andnot(word a, word b) { return a & ~b; }
static inline word word_xor3(word a, word b, word c) { return a ^ b ^ c; }
static inline word word_majority(word a, word b, word c) { return (a & b) | ((a ^ b) & c); }
static inline word word_shl(word a, int n) { return a << n; }
static inline word word_shr(word a, int n) { return a >> n; }
static inline word word_add(word a, word b) { return a + b; }
static inline uint64_t word_sum(word a) { return a; }

/* No builtin: on a plain x86-64 it is a function that looks up each byte in a table. */
static inline word word_popcounts(word a)
{
    a -= a >> 1 & UINT64_C(0x5555555555555555);
    a = (a & UINT64_C(0x3333333333333333)) + (a >> 2 & UINT64_C(0x3333333333333333));
    a = (a + (a >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return a * UINT64_C(0x0101010101010101) >> 56;
}

/* Eight bytes of 0 or 1 to eight bits. Byte i is bit 8i of `bytes`, and the multiplier has bits
 * 7, 14, ..., 56; 8i + 7(8 - i) = 56 + i, so byte i lands on bit i of the top byte, and no two
 * products of bits share a place, so that nothing carries into it. */
static inline uint64_t gather(const uint8_t flags[8])
{
    uint64_t bytes = 0; /* compilers make this a single load */
    for (int i = 0; i < 8; i++)
        bytes |= (uint64_t)flags[i] << 8 * i;
    return bytes * UINT64_C(0x0102040810204080) >> 56;
}

static inline uint64_t gather_all(const uint8_t flags[64])
{
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++)
        bits |= gather(flags + 8 * i) << 8 * i;
    return bits;
}

static inline uint64_t at_least_u8(const uint8_t *p, uint8_t cut)
{
    uint8_t flags[64];
    for (int i = 0; i < 64; i++)
        flags[i] = p[i] >= cut;
    return gather_all(flags);
}

static inline uint64_t at_least_u16(const uint16_t *p, uint16_t cut)
{
    uint8_t flags[64];
    for (int i = 0; i < 64; i++)
        flags[i] = p[i] >= cut;
    return gather_all(flags);
}

static inline uint64_t changes_u32(const uint32_t *p)
{
    uint8_t flags[64];
    for (int i = 0; i < 64; i++)
        flags[i] = p[i] != p[i + 1];
    return gather_all(flags);
}

#include "tas_bitslice.h"
