// fuzz_http_result.c - answers of functions: '1' or '2' for the format, 'p' for a prelude, then
// JSON.
#include "fuzz.h"
#include "services/gateway/http_result.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = fuzz_input(data, size);
    struct http_result r;
    struct err err = ERR_INIT;
    struct arena a;
    int rc;

    if (in.len == 0)
        return 0;
    arena_init(&a, 4 << 20);
    struct str json = str_slice(in, 1, in.len);
    rc = in.ptr[0] == 'p' ? http_result_prelude(&a, json, &r, &err)
                          : http_result_parse(&a, json, in.ptr[0] == '1' ? 1 : 2, &r, &err);
    if (rc == 0) {
        FUZZ_CHECK(r.status >= 100 && r.status <= 599);
        FUZZ_CHECK(r.n_headers <= HTTP_RESULT_MAX_HEADERS + 1);
        for (unsigned i = 0; i < r.n_headers; i++) {
            FUZZ_CHECK(http_header_valid(r.headers[i].name, r.headers[i].value));
            FUZZ_CHECK(!str_eq_nocase(r.headers[i].name, STR("content-length")));
            FUZZ_CHECK(!str_eq_nocase(r.headers[i].name, STR("transfer-encoding")));
        }
    }
    arena_finish(&a);
    return 0;
}
