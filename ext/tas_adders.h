/* Adders over words of bits, and counters of set bits: README.md draws them.
 *
 * Included by tas_bitslice.h for each word type, which defines
 *
 *   word                 a type of WORD_LANES lanes of 64 bits
 *   WORD_POPCOUNTS       1 where counting the bits of a lane is one instruction, else 0
 *   word_load(p)         WORD_LANES lanes from memory that need not be aligned
 *   word_store(p, a)     and back
 *   word_zero()
 *   word_and, word_or, word_xor, word_andnot(a, b) = a & ~b
 *   word_xor3(a, b, c), word_majority(a, b, c)
 *   word_shl(a, n), word_shr(a, n)      within each lane
 *   word_popcounts(a)    in each lane, the number of its set bits
 *   word_add(a, b)       lane by lane, as integers
 *   word_sum(a)          of the lanes, as integers: uint64_t
 */
#ifndef TAS_ADDERS_H
#define TAS_ADDERS_H

#include "tas.h"

/* Words that are counted together: eight where that saves popcounts. */
enum { BLOCK = WORD_POPCOUNTS ? 1 : 8 };

#if defined(__GNUC__)
#define TAS_INLINE static inline __attribute__((always_inline))
#else
#define TAS_INLINE static inline
#endif

/* Clang passes over GCC's pragma without a word. */
#if defined(__clang__)
#define TAS_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define TAS_UNROLL _Pragma("GCC unroll 32")
#else
#define TAS_UNROLL
#endif

TAS_INLINE word half_add(word a, word b, word *carry)
{
    *carry = word_and(a, b);
    return word_xor(a, b);
}

TAS_INLINE word full_add(word a, word b, word c, word *carry)
{
    *carry = word_majority(a, b, c);
    return word_xor3(a, b, c);
}

/* A running count of set bits, lane by lane: ones + 2 twos + 4 fours (bit by bit) + 8 eights
 * (as integers); or, where popcounts are to be had, ones alone, as integers. */
#if WORD_POPCOUNTS
typedef struct {
    word ones;
} counter;

TAS_INLINE void count_bits(counter *c, const word m[BLOCK])
{
    c->ones = word_add(c->ones, word_popcounts(m[0]));
}

TAS_INLINE uint64_t counter_total(const counter *c) { return word_sum(c->ones); }
#else
typedef struct {
    word ones, twos, fours, eights;
} counter;

/* Eight words go in, one popcount comes out. */
TAS_INLINE void count_bits(counter *c, const word m[BLOCK])
{
    word two_a, two_b, four_a, four_b, eight;
    c->ones = full_add(c->ones, m[0], m[1], &two_a);
    c->ones = full_add(c->ones, m[2], m[3], &two_b);
    c->twos = full_add(c->twos, two_a, two_b, &four_a);
    c->ones = full_add(c->ones, m[4], m[5], &two_a);
    c->ones = full_add(c->ones, m[6], m[7], &two_b);
    c->twos = full_add(c->twos, two_a, two_b, &four_b);
    c->fours = full_add(c->fours, four_a, four_b, &eight);
    c->eights = word_add(c->eights, word_popcounts(eight));
}

TAS_INLINE uint64_t counter_total(const counter *c)
{
    return word_sum(word_popcounts(c->ones)) + 2 * word_sum(word_popcounts(c->twos))
           + 4 * word_sum(word_popcounts(c->fours)) + 8 * word_sum(c->eights);
}
#endif

/* On neighbours of each pixel, as planes of weight 1, 2, 4, 8 and (volumes) 16. */
typedef struct {
    word n1, n2, n4, n8, n16;
} neighbours;

/* The sums of three pixels in a row (0-3) and of the two outer ones (0-2), in two planes. */
typedef struct {
    word one, two;
} pair;

/* 3 + 2 + 3: eight neighbours in a plane. Or 3 + 3 + 3, all nine pixels, which four planes hold. */
TAS_INLINE neighbours add_three_rows(pair above, pair sides, pair below)
{
    neighbours n;
    word carry_2, carry_4a, carry_4b;
    n.n1 = full_add(above.one, sides.one, below.one, &carry_2);
    const word twos = full_add(above.two, sides.two, below.two, &carry_4a);
    n.n2 = half_add(twos, carry_2, &carry_4b);
    n.n4 = half_add(carry_4a, carry_4b, &n.n8);
    n.n16 = word_zero();
    return n;
}

/* Three planes of a volume: 9 + 8 + 9. */
TAS_INLINE neighbours add_three_planes(neighbours a, neighbours b, neighbours c)
{
    neighbours n;
    word c2, c4, c8, c16, d4, d8, d16;
    n.n1 = full_add(a.n1, b.n1, c.n1, &c2);
    const word twos = full_add(a.n2, b.n2, c.n2, &c4);
    const word fours = full_add(a.n4, b.n4, c.n4, &c8);
    const word eights = full_add(a.n8, b.n8, c.n8, &c16);
    n.n2 = half_add(twos, c2, &d4);
    n.n4 = full_add(fours, c4, d4, &d8);
    n.n8 = full_add(eights, c8, d8, &d16);
    n.n16 = word_or(c16, d16); /* at most 26, so never both */
    return n;
}

#endif
