// test_http_result.c - what functions answer, as HTTP.
#include "services/gateway/http_result.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct wanted {
    unsigned format;
    const char *json;
    int status; // 0: malformed
    const char *headers, *body;
};

static const struct wanted cases[] = {
    {2, "{\"statusCode\":201,\"headers\":{\"X-A\":\"b\"},\"body\":\"hi\"}", 201,
     "X-A=b;content-type=application/json;", "hi"},
    {2, "{\"statusCode\":\"204\"}", 204, "content-type=application/json;", ""},
    {2, "{\"a\":1}", 200, "content-type=application/json;", "{\"a\":1}"},
    {2, "\"text\"", 200, "content-type=application/json;", "text"},
    {2, "[1]", 200, "content-type=application/json;", "[1]"},
    {2, "{\"statusCode\":200,\"cookies\":[\"a=1\",\"b=2\"],\"headers\":{\"n\":1,\"t\":true}}", 200,
     "n=1;t=true;set-cookie=a=1;set-cookie=b=2;content-type=application/json;", ""},
    {2, "{\"statusCode\":200,\"body\":\"aGk=\",\"isBase64Encoded\":true}", 200,
     "content-type=application/json;", "hi"},
    {1,
     "{\"statusCode\":200,\"headers\":{\"x\":\"0\"},\"multiValueHeaders\":{\"X\":[\"1\",\"2\"]}}",
     200, "X=1;X=2;content-type=text/plain;", ""},
    {2,
     "{\"statusCode\":200,\"headers\":{\"Content-Length\":\"9\",\"Connection\":\"close\","
     "\"Transfer-Encoding\":\"chunked\"}}",
     200, "content-type=application/json;", ""},
    {1, "{\"a\":1}", 0, "", ""},
    {1, "\"text\"", 0, "", ""},
    {1, "{", 0, "", ""},
    {2, "{\"statusCode\":99}", 0, "", ""},
    {2, "{\"statusCode\":600}", 0, "", ""},
    {2, "{\"statusCode\":\"x\"}", 0, "", ""},
    {2, "{\"statusCode\":200,\"headers\":[]}", 0, "", ""},
    {2, "{\"statusCode\":200,\"headers\":{\"a\":[]}}", 0, "", ""},
    {2, "{\"statusCode\":200,\"headers\":{\"a b\":\"\"}}", 0, "", ""},
    {2, "{\"statusCode\":200,\"headers\":{\"\":\"\"}}", 0, "", ""},
    {2, "{\"statusCode\":200,\"headers\":{\"a\":\"b\\r\\nc: d\"}}", 0, "", ""},
    {2, "{\"statusCode\":200,\"cookies\":[\"a\\nb\"]}", 0, "", ""},
    {2, "{\"statusCode\":200,\"cookies\":\"a\"}", 0, "", ""},
    {2, "{\"statusCode\":200,\"body\":{}}", 0, "", ""},
    {2, "{\"statusCode\":200,\"body\":\"?\",\"isBase64Encoded\":true}", 0, "", ""},
};

static void answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct wanted *w = &cases[i];
        char seen[512] = "";
        struct http_result r;
        struct err err = ERR_INIT;
        struct arena a;

        arena_init(&a, 1 << 20);
        int rc = http_result_parse(&a, str_from(w->json), w->format, &r, &err);
        if ((rc == 0) != (w->status != 0))
            fail_msg("%s: %d", w->json, rc);
        for (unsigned k = 0; rc == 0 && k < r.n_headers; k++) {
            size_t len = strlen(seen);
            snprintf(seen + len, sizeof(seen) - len, "%.*s=%.*s;", STR_ARG(r.headers[k].name),
                     STR_ARG(r.headers[k].value));
        }
        assert_string_equal(seen, w->headers);
        if (rc == 0) {
            assert_int_equal(r.status, w->status);
            assert_true(str_eq(r.body, str_from(w->body)));
        }
        arena_finish(&a);
    }
}

static void too_many_headers(void **state)
{
    struct http_result r;
    struct err err = ERR_INIT;
    struct arena a;
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 20);
    buf_add(&b, STR("{\"statusCode\":200,\"headers\":{"));
    for (int i = 0; i < HTTP_RESULT_MAX_HEADERS + 1; i++)
        buf_addf(&b, "%s\"h%d\":\"\"", i ? "," : "", i);
    buf_add(&b, STR("}}"));
    arena_init(&a, 1 << 20);
    assert_true(http_result_parse(&a, buf_str(&b), 2, &r, &err) < 0);
    arena_finish(&a);
    buf_finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(too_many_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
