/* The harness without libFuzzer: `replay N` runs N random inputs, the same ones each time;
 * `replay FILE...` runs those files. Prints the kernels that were compared. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "tas.h"

enum { LONGEST = 512 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* SplitMix64. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void run_random(unsigned long inputs)
{
    uint8_t data[LONGEST];
    for (unsigned long i = 0; i < inputs; i++) {
        uint64_t state = i;
        const size_t size = next_random(&state) % LONGEST;
        for (size_t j = 0; j < size; j++)
            data[j] = (uint8_t)next_random(&state);
        LLVMFuzzerTestOneInput(data, size);
    }
}

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        return 0;
    }
    const long size = ftell(file);
    uint8_t *data = malloc(size > 0 ? (size_t)size : 1);
    rewind(file);
    const int is_read = size >= 0 && data != NULL
                        && fread(data, 1, (size_t)size, file) == (size_t)size;
    if (is_read)
        LLVMFuzzerTestOneInput(data, (size_t)size);
    else
        perror(path);
    free(data);
    fclose(file);
    return is_read;
}

int main(int argc, char **argv)
{
    const tas_kernel *kernel;
    char *end = NULL;
    const unsigned long inputs = argc == 2 ? strtoul(argv[1], &end, 10) : 0;
    const int is_number = end != NULL && end != argv[1] && *end == 0;
    if (argc < 2) {
        fprintf(stderr, "usage: %s NUMBER | FILE...\n", argv[0]);
        return 2;
    }
    if (is_number)
        run_random(inputs);
    for (int i = 1; !is_number && i < argc; i++)
        if (!run_file(argv[i]))
            return 1;
    printf("%lu inputs; kernels:", is_number ? inputs : (unsigned long)argc - 1);
    for (size_t i = 0; (kernel = tas_kernel_at(i)) != NULL; i++)
        printf(" %s", kernel->name);
    putchar('\n');
    return 0;
}
