/* The loops over one row, in plain C that compilers turn into vectors: included once for each
 * instruction set, by a file that says which (FIELD_LOOPS, FIELD_NAME). */

/* Squares of bytes' Laplacians fit 32 bits in blocks of up to 4,000 pixels. */
enum { SQUARES_BLOCK_U8 = 2048 };

#define DEFINE_ADD_TWO(pixel, suffix)                                                          \
    static void add_two_##suffix(const pixel *restrict a, uint32_t a_weight,                   \
                                 const pixel *restrict b, uint32_t b_weight, size_t n,         \
                                 uint32_t *restrict sums)                                      \
    {                                                                                          \
        for (size_t i = 0; i < n; i++)                                                         \
            sums[i] += a_weight * a[i] + b_weight * b[i];                                      \
    }
DEFINE_ADD_TWO(uint8_t, u8)
DEFINE_ADD_TWO(uint16_t, u16)
#undef DEFINE_ADD_TWO

static field_sums laplacian_u8(const uint8_t *above, const uint8_t *here, const uint8_t *below,
                               size_t n)
{
    field_sums sums = {0, 0};
    while (n > 0) {
        const size_t block = n < SQUARES_BLOCK_U8 ? n : SQUARES_BLOCK_U8;
        int32_t total = 0, squares = 0;
        for (size_t i = 0; i < block; i++) {
            const int16_t x = (int16_t)(4 * here[i] - here[(ptrdiff_t)i - 1] - here[i + 1]
                                        - above[i] - below[i]);
            total += x;
            squares += x * x;
        }
        sums.total += total;
        sums.squares += (uint64_t)squares;
        above += block;
        here += block;
        below += block;
        n -= block;
    }
    return sums;
}

static field_sums laplacian_u16(const uint16_t *above, const uint16_t *here,
                                const uint16_t *below, size_t n)
{
    int32_t total = 0;
    int64_t squares = 0;
    for (size_t i = 0; i < n; i++) {
        const int32_t x =
            4 * here[i] - here[(ptrdiff_t)i - 1] - here[i + 1] - above[i] - below[i];
        total += x;
        squares += (int64_t)x * x;
    }
    return (field_sums){total, (uint64_t)squares};
}

const field_loops FIELD_LOOPS = {
    FIELD_NAME, add_two_u8, add_two_u16, laplacian_u8, laplacian_u16,
};
