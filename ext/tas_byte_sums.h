/* Sums of bright pixels: included by tas_bitslice.h for each word type. */
#include "tas_adders.h"

#if WORD_SUMS_BYTES
enum { WORD_BYTES = 8 * WORD_LANES };

typedef struct {
    uint64_t pixels;
    word low, high; /* sums of the pixels' low and high bytes */
} partial_sums;

TAS_INLINE void add_lane_u8(partial_sums *s, const uint8_t *x, unsigned cut, uint64_t keep)
{
    s->pixels += (uint64_t)__builtin_popcountll(at_least_u8(x, (uint8_t)cut) & keep);
    for (int i = 0; i < LANE_BITS; i += WORD_BYTES)
        s->low = word_add(s->low, word_byte_sums(word_above_u8(x + i, (uint8_t)cut)));
}

TAS_INLINE void add_lane_u16(partial_sums *s, const uint16_t *x, unsigned cut, uint64_t keep)
{
    const word low_bytes = word_lanes(UINT64_C(0x00ff00ff00ff00ff));
    s->pixels += (uint64_t)__builtin_popcountll(at_least_u16(x, (uint16_t)cut) & keep);
    for (int i = 0; i < LANE_BITS; i += WORD_BYTES / 2) {
        const word above = word_above_u16(x + i, (uint16_t)cut);
        s->low = word_add(s->low, word_byte_sums(word_and(above, low_bytes)));
        s->high = word_add(s->high, word_byte_sums(word_andnot(above, low_bytes)));
    }
}

#define DEFINE_ADD_ABOVE(name, pixel, add_lane)                                                \
    static void name(const pixel *x, size_t n, unsigned cut, tas_sums *sums)                   \
    {                                                                                          \
        partial_sums s = {0, word_zero(), word_zero()};                                        \
        for (; n >= LANE_BITS; x += LANE_BITS, n -= LANE_BITS)                                 \
            add_lane(&s, x, cut, ~UINT64_C(0));                                                \
        if (n > 0) {                                                                           \
            pixel rest[LANE_BITS] = {0};                                                       \
            memcpy(rest, x, n * sizeof *x);                                                    \
            add_lane(&s, rest, cut, (UINT64_C(1) << n) - 1);                                   \
        }                                                                                      \
        sums->pixels += s.pixels;                                                              \
        sums->total += word_sum(s.low) + 256 * word_sum(s.high);                               \
    }
DEFINE_ADD_ABOVE(add_above_u8, uint8_t, add_lane_u8)
DEFINE_ADD_ABOVE(add_above_u16, uint16_t, add_lane_u16)
#undef DEFINE_ADD_ABOVE
#else
/* In blocks that 32 bits can hold the sum of. */
#define DEFINE_ADD_ABOVE(name, pixel)                                                          \
    static void name(const pixel *x, size_t n, unsigned cut, tas_sums *sums)                   \
    {                                                                                          \
        while (n > 0) {                                                                        \
            const size_t block = n < 4096 ? n : 4096;                                          \
            uint32_t pixels = 0, total = 0;                                                    \
            for (size_t i = 0; i < block; i++) {                                               \
                const uint32_t is_above = x[i] >= (pixel)cut;                                  \
                pixels += is_above;                                                            \
                total += x[i] & -is_above;                                                     \
            }                                                                                  \
            sums->pixels += pixels;                                                            \
            sums->total += total;                                                              \
            x += block;                                                                        \
            n -= block;                                                                        \
        }                                                                                      \
    }
DEFINE_ADD_ABOVE(add_above_u8, uint8_t)
DEFINE_ADD_ABOVE(add_above_u16, uint16_t)
#undef DEFINE_ADD_ABOVE
#endif
