// fuzz_json.c - whatever is read as JSON is written as JSON that means the same.
#include "base/json.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = fuzz_input(data, size);
    const struct json_value *v, *again;
    struct err err = ERR_INIT;
    struct json_writer w;
    struct buf one, two;
    struct arena a;
    int r;

    arena_init(&a, 64 << 20);
    buf_init(&one, 16 << 20);
    buf_init(&two, 16 << 20);
    r = json_parse(&a, text, &v, &err);
    FUZZ_CHECK((r == 0) == json_valid(text));
    FUZZ_CHECK(r == err.code);
    if (r == 0) {
        w = json_writer(&one);
        jw_value(&w, v);
        FUZZ_CHECK(json_parse(&a, buf_str(&one), &again, &err) == 0);
        w = json_writer(&two);
        jw_value(&w, again);
        FUZZ_CHECK(str_eq(buf_str(&one), buf_str(&two)));
    }
    // Any bytes at all make a JSON string.
    buf_reset(&one);
    json_quote(&one, text);
    FUZZ_CHECK(json_valid(buf_str(&one)));
    buf_finish(&one);
    buf_finish(&two);
    arena_finish(&a);
    return 0;
}
