// run_corpus.c - drives a fuzz target without a fuzzer: the corpus, then mutations of it.
//
// Usage: fuzz_x CORPUS_DIR [ROUNDS]. Every file is run as it is; then ROUNDS inputs (default
// 100,000) are made from them by a generator with a fixed seed, so that a failure comes back at
// every run. On a crash the number and the bytes of the input at work are printed
// (in hexadecimal). With clang and -Dlibfuzzer=true libFuzzer takes this file's place.
#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INPUT_MAX_BYTES ((size_t)64 << 10)
#define MAX_FILES 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    uint8_t *bytes;
    size_t len;
};

static struct input inputs[MAX_FILES];
static size_t n_inputs;
static uint64_t seed = 0x6c616d626b696eULL;

static uint8_t current[INPUT_MAX_BYTES];
static size_t current_len;
static const char *current_name = "";
static unsigned long current_round;

// Async-signal-safe as far as it must be: the process is about to die.
static void on_crash(int signal_number)
{
    static const char digits[] = "0123456789abcdef";
    char line[256];
    int n = snprintf(line, sizeof(line), "\nfuzz: signal %d at %s, round %lu, %zu bytes:\n",
                     signal_number, current_name, current_round, current_len);

    if (write(2, line, (size_t)n) < 0)
        _exit(99);
    for (size_t i = 0; i < current_len && i < 4096; i++) {
        char two[2] = {digits[current[i] >> 4], digits[current[i] & 15]};
        if (write(2, two, 2) < 0)
            break;
    }
    if (write(2, "\n", 1) < 0)
        _exit(99);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static uint32_t next_random(void)
{
    seed ^= seed << 13; // xorshift64
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 32);
}

static size_t below(size_t n)
{
    return n == 0 ? 0 : next_random() % n;
}

// --- one mutation of `current` ---

static void flip_bit(void)
{
    if (current_len > 0)
        current[below(current_len)] ^= (uint8_t)(1u << below(8));
}

static void set_byte(void)
{
    static const uint8_t telling[] = {0,   1,   0x7f, 0x80, 0xff, '"', '\\', '{', '}',
                                      '[', ']', '<',  '>',  '&',  '%', '=',  '-', '0',
                                      '9', '.', 'e',  ':',  ',',  ' ', '\n', '*', 0xc3};
    if (current_len > 0)
        current[below(current_len)] =
            next_random() % 3 ? telling[below(sizeof(telling))] : (uint8_t)next_random();
}

static void cut(void)
{
    size_t at = below(current_len), n = below(current_len - at + 1);

    if (current_len == 0)
        return;
    memmove(current + at, current + at + n, current_len - at - n);
    current_len -= n;
}

static void repeat(void)
{
    size_t at = below(current_len), n = below(current_len - at + 1) % 64;

    if (current_len == 0 || current_len + n > INPUT_MAX_BYTES)
        return;
    memmove(current + at + n, current + at, current_len - at);
    current_len += n;
}

static void paste(void)
{
    const struct input *from = &inputs[below(n_inputs)];
    size_t start = below(from->len), n = below(from->len - start + 1) % 256;
    size_t at = below(current_len + 1);

    if (current_len + n > INPUT_MAX_BYTES)
        return;
    memmove(current + at + n, current + at, current_len - at);
    memcpy(current + at, from->bytes + start, n);
    current_len += n;
}

static void truncate_end(void)
{
    current_len = below(current_len + 1);
}

static void (*const mutations[])(void) = {flip_bit, set_byte, set_byte,    cut,
                                          repeat,   paste,    truncate_end};

// --- corpus ---

static void read_file(const char *dir, const char *name)
{
    char path[4096];
    struct input in = {malloc(INPUT_MAX_BYTES), 0};
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "rb");
    if (!f || !in.bytes) {
        perror(path);
        exit(2);
    }
    in.len = fread(in.bytes, 1, INPUT_MAX_BYTES, f);
    fclose(f);
    inputs[n_inputs++] = in;
    // The copy has exactly the input's size, so that reading past its end is seen by ASan.
    current_name = path;
    memcpy(current, in.bytes, in.len);
    current_len = in.len;
    in.bytes = malloc(in.len > 0 ? in.len : 1);
    if (!in.bytes)
        exit(2);
    memcpy(in.bytes, current, in.len);
    LLVMFuzzerTestOneInput(in.bytes, in.len);
    free(in.bytes);
}

static int visible(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

int main(int argc, char **argv)
{
    unsigned long rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 100000;
    struct dirent **names;
    int n;

    if (argc < 2) {
        fprintf(stderr, "usage: %s CORPUS_DIR [ROUNDS]\n", argv[0]);
        return 2;
    }
    signal(SIGSEGV, on_crash);
    signal(SIGBUS, on_crash);
    signal(SIGFPE, on_crash);
    signal(SIGABRT, on_crash);
    // In a fixed order: the mutations depend on it.
    n = scandir(argv[1], &names, visible, alphasort);
    if (n <= 0 || n > MAX_FILES) {
        fprintf(stderr, "%s: no corpus\n", argv[1]);
        return 2;
    }
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    for (int i = 0; i < n; i++) {
        read_file(argv[1], names[i]->d_name);
        free(names[i]);
    }
    free(names);

    current_name = "mutation";
    for (current_round = 0; current_round < rounds; current_round++) {
        const struct input *from = &inputs[below(n_inputs)];
        uint8_t *exact;
        memcpy(current, from->bytes, from->len);
        current_len = from->len;
        for (size_t m = 1 + below(6); m > 0; m--)
            mutations[below(sizeof(mutations) / sizeof(mutations[0]))]();
        exact = malloc(current_len > 0 ? current_len : 1);
        if (!exact)
            return 2;
        memcpy(exact, current, current_len);
        LLVMFuzzerTestOneInput(exact, current_len);
        free(exact);
    }
    printf("fuzz: %zu files, %lu mutations\n", n_inputs, rounds);
    for (size_t i = 0; i < n_inputs; i++)
        free(inputs[i].bytes);
    return 0;
}
