// fuzz_event_pattern.c - a pattern and an event, separated by a line feed of their own.
#include "base/event_pattern.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = fuzz_input(data, size), pattern;
    const struct event_pattern *p;
    const struct json_value *event;
    struct err err = ERR_INIT;
    struct arena a;

    arena_init(&a, 64 << 20);
    if (str_next(&rest, '\n', &pattern) && event_pattern_compile(&a, pattern, &p, &err) == 0 &&
        json_parse(&a, rest, &event, &err) == 0)
        FUZZ_CHECK(event_pattern_match(p, event) == event_pattern_match(p, event));
    arena_finish(&a);
    return 0;
}
