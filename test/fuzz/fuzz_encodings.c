// fuzz_encodings.c - base64, hexadecimal and percent-encoding: there and back, and strictly.
#include "base/base64.h"
#include "base/hex.h"
#include "base/percent.h"
#include "base/utf8.h"
#include "fuzz.h"

static void percent_pairs(struct arena *a, struct str query)
{
    struct str name, value, out;
    size_t pairs = 0;

    while (percent_next_pair(&query, &name, &value)) {
        percent_query_get(a, query, name, &out);
        FUZZ_CHECK(++pairs < 1 << 20);
        if (pairs > 64)
            return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = fuzz_input(data, size), out;
    struct arena a;
    struct buf b;

    arena_init(&a, 64 << 20);
    buf_init(&b, 16 << 20);
    if (base64_decode(&a, in, &out) == 0) {
        base64_encode(&b, out);
        FUZZ_CHECK(str_eq(buf_str(&b), in)); // strict: one text for one meaning
    }
    buf_reset(&b);
    base64_encode(&b, in);
    FUZZ_CHECK(base64_decode(&a, buf_str(&b), &out) == 0 && str_eq(out, in));
    buf_reset(&b);
    base64url_encode(&b, in);
    FUZZ_CHECK(base64url_decode(&a, buf_str(&b), &out) == 0 && str_eq(out, in));
    base64url_decode(&a, in, &out);

    buf_reset(&b);
    percent_encode(&b, in);
    FUZZ_CHECK(percent_decode(&a, buf_str(&b), PERCENT_FORM, &out) == 0 && str_eq(out, in));
    buf_reset(&b);
    percent_encode_path(&b, in);
    FUZZ_CHECK(percent_decode(&a, buf_str(&b), PERCENT_PATH, &out) == 0 && str_eq(out, in));
    percent_decode(&a, in, PERCENT_FORM, &out);
    percent_pairs(&a, in);

    out = hex_arena(&a, in);
    FUZZ_CHECK(out.len == 2 * in.len);
    FUZZ_CHECK(utf8_valid(in) ? utf8_valid(utf8_cut(in, in.len / 2)) : true);
    buf_finish(&b);
    arena_finish(&a);
    return 0;
}
