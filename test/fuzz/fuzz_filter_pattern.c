// fuzz_filter_pattern.c - CloudWatch filter patterns: the first line is the pattern, the rest a
// message.
#include "fuzz.h"

#include "services/logs/filter_pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = fuzz_input(data, size), pattern_text;
    struct arena a = {0}, scratch = {0};
    struct filter_pattern *p = NULL;
    if (!str_next(&rest, '\n', &pattern_text))
        pattern_text = STR("");
    arena_init(&a, 1 << 20);
    arena_init(&scratch, 1 << 20);
    if (filter_pattern_compile(&a, pattern_text, &p, NULL) == 0) {
        bool first = filter_pattern_match(p, rest, &scratch);
        FUZZ_CHECK(first == filter_pattern_match(p, rest, &scratch));
        filter_pattern_finish(p);
    } else {
        FUZZ_CHECK(p == NULL);
    }
    arena_finish(&a);
    arena_finish(&scratch);
    return 0;
}
