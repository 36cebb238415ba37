// fuzz_openapi_yaml.c - a document in YAML: what is read is written, and read again as the same.
#include "fuzz.h"
#include "services/gateway/openapi_yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct json_value *v, *again;
    struct buf first, yaml, second;
    struct err err = ERR_INIT;
    struct json_writer w;
    struct arena a;

    arena_init(&a, (size_t)256 << 20);
    int r = openapi_yaml_read(&a, fuzz_input(data, size), &v, &err);
    FUZZ_CHECK(r == 0 || (r < 0 && err.message[0]));
    if (r == 0) {
        buf_init(&first, 64 << 20);
        buf_init(&yaml, 64 << 20);
        buf_init(&second, 64 << 20);
        w = json_writer(&first);
        jw_value(&w, v);
        openapi_yaml_write(&yaml, v);
        // What an anchor has multiplied may be too long to be read twice.
        r = openapi_yaml_read(&a, buf_str(&yaml), &again, &err);
        FUZZ_CHECK(r == 0 || r == -7 /* E2BIG */ || r == -12 /* ENOMEM */);
        if (r == 0) {
            w = json_writer(&second);
            jw_value(&w, again);
            FUZZ_CHECK(str_eq(buf_str(&first), buf_str(&second)));
        }
        buf_finish(&first);
        buf_finish(&yaml);
        buf_finish(&second);
    }
    arena_finish(&a);
    return 0;
}
