/* Integers of 256 bits, for where 64 do not decide: ties, and variances of many bright pixels. */
#ifndef TAS_WIDE_H
#define TAS_WIDE_H

#include <math.h>
#include <stdint.h>

enum { WIDE_LIMBS = 8, LIMB_BITS = 32 };

typedef struct {
    uint32_t limb[WIDE_LIMBS]; /* the lowest first */
} wide;

static inline wide wide_of(uint64_t a)
{
    return (wide){{(uint32_t)a, (uint32_t)(a >> LIMB_BITS)}};
}

static inline wide wide_times(wide a, wide b)
{
    wide product = {{0}};
    for (int i = 0; i < WIDE_LIMBS; i++) {
        uint64_t carry = 0;
        for (int j = 0; i + j < WIDE_LIMBS; j++) {
            carry += product.limb[i + j] + (uint64_t)a.limb[i] * b.limb[j];
            product.limb[i + j] = (uint32_t)carry;
            carry >>= LIMB_BITS;
        }
    }
    return product;
}

static inline wide wide_plus(wide a, wide b)
{
    uint64_t carry = 0;
    for (int i = 0; i < WIDE_LIMBS; i++) {
        carry += (uint64_t)a.limb[i] + b.limb[i];
        a.limb[i] = (uint32_t)carry;
        carry >>= LIMB_BITS;
    }
    return a;
}

/* a >= b */
static inline wide wide_minus(wide a, wide b)
{
    uint64_t borrow = 0;
    for (int i = 0; i < WIDE_LIMBS; i++) {
        const uint64_t difference = (uint64_t)a.limb[i] - b.limb[i] - borrow;
        a.limb[i] = (uint32_t)difference;
        borrow = difference >> 63;
    }
    return a;
}

/* Below, equal to or above zero, as a is to b. */
static inline int wide_compare(wide a, wide b)
{
    for (int i = WIDE_LIMBS - 1; i >= 0; i--)
        if (a.limb[i] != b.limb[i])
            return a.limb[i] > b.limb[i] ? 1 : -1;
    return 0;
}

static inline int wide_bits(wide a)
{
    for (int bits = WIDE_LIMBS * LIMB_BITS; bits > 0; bits--)
        if (a.limb[(bits - 1) / LIMB_BITS] >> (bits - 1) % LIMB_BITS & 1)
            return bits;
    return 0;
}

static inline wide wide_shl(wide a, int n)
{
    for (; n > 0; n--)
        a = wide_plus(a, a);
    return a;
}

/* a b - c d, rounded twice at most, for products below 2^127. */
static inline double wide_difference(uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
#if defined(__SIZEOF_INT128__)
    __extension__ typedef __int128 int128;
    return (double)((int128)a * b - (int128)c * d);
#else
    const wide left = wide_times(wide_of(a), wide_of(b)), right = wide_times(wide_of(c), wide_of(d));
    const int is_positive = wide_compare(left, right) > 0;
    const wide size = is_positive ? wide_minus(left, right) : wide_minus(right, left);
    double result = 0;
    for (int i = WIDE_LIMBS - 1; i >= 0; i--)
        result = result * 4294967296.0 + size.limb[i];
    return is_positive ? result : -result;
#endif
}

/* a / b, rounded once, for a and b > 0 below 2^192: long division to 56 digits, then a last one
 * that says whether anything is left. */
static inline double wide_ratio(wide a, wide b)
{
    const int exponent = wide_bits(a) - wide_bits(b); /* 2^(e-1) < a / b < 2^(e+1) */
    uint64_t quotient = 0;
    if (exponent > 0)
        b = wide_shl(b, exponent);
    else
        a = wide_shl(a, -exponent);
    for (int i = 0; i < 56; i++) {
        quotient <<= 1;
        if (wide_compare(a, b) >= 0) {
            a = wide_minus(a, b);
            quotient |= 1;
        }
        a = wide_plus(a, a);
    }
    quotient = quotient << 1 | (wide_bits(a) > 0);
    return ldexp((double)quotient, exponent - 56);
}

#endif
