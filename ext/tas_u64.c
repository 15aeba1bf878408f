/* The bit-sliced kernel on plain 64-bit integers: runs everywhere. */
#include <stdint.h>

#define TAS_KERNEL tas_u64
#define WORD_LANES 1

typedef uint64_t word;

static inline word word_load(const uint64_t *p) { return *p; }
static inline void word_store(uint64_t *p, word a) { *p = a; }
static inline word word_and(word a, word b) { return a & b; }
static inline word word_or(word a, word b) { return a | b; }
static inline word word_xor(word a, word b) { return a ^ b; }
static inline word word_andnot(word a, word b) { return a & ~b; }
static inline word word_shl(word a, int n) { return a << n; }
static inline word word_shr(word a, int n) { return a >> n; }

/* The builtin only where it is an instruction: on a plain x86-64, GCC calls a function that
 * looks up each byte in a table, which is slower than the sums below. */
static inline uint64_t word_popcount(word a)
{
#if defined(__GNUC__) && (defined(__POPCNT__) || defined(__aarch64__))
    return (uint64_t)__builtin_popcountll(a);
#else
    a -= a >> 1 & UINT64_C(0x5555555555555555);
    a = (a & UINT64_C(0x3333333333333333)) + (a >> 2 & UINT64_C(0x3333333333333333));
    a = (a + (a >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return a * UINT64_C(0x0101010101010101) >> 56;
#endif
}

/* Eight bytes of 0 or 1 to eight bits. Byte i is bit 8i of `bytes`, and the multiplier has bits
 * 7, 14, ..., 56; 8i + 7(8 - i) = 56 + i, so byte i lands on bit i of the top byte, and no two
 * products of bits share a place, so that nothing carries into it. */
static inline uint64_t gather(uint64_t bytes)
{
    return bytes * UINT64_C(0x0102040810204080) >> 56;
}

static inline uint64_t eight_bytes(const uint8_t *p)
{
    uint64_t bytes = 0; /* compilers make this a single load */
    for (int i = 0; i < 8; i++)
        bytes |= (uint64_t)p[i] << 8 * i;
    return bytes;
}

static inline uint64_t bits_of(const uint8_t *codes, int k)
{
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++)
        bits |= gather(eight_bytes(codes + 8 * i) >> k & UINT64_C(0x0101010101010101)) << 8 * i;
    return bits;
}

#include "tas_bitslice.h"
