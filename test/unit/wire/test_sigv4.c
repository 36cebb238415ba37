// test_sigv4.c - the public Signature Version 4 vectors, what is refused, chunks, our own signing.
#include "wire/sigv4.h"

#include "base/hash.h"
#include "base/json.h"
#include "base/timefmt.h"
#include "read_file.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#define VECTORS TESTDATA "/sigv4/v4"

struct request {
    struct wire_http_in in;
    struct wire_header headers[32];
};

static struct arena arena;

static int begin(void **state)
{
    (void)state;
    arena_init(&arena, (size_t)64 << 20);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_finish(&arena);
    return 0;
}

static struct str lower(struct str s)
{
    char *out = arena_cstr(&arena, s);

    for (size_t i = 0; i < s.len; i++)
        out[i] = (char)(out[i] >= 'A' && out[i] <= 'Z' ? out[i] + 32 : out[i]);
    return (struct str){out, s.len};
}

// Reads a request the way the vectors write it; folded lines become one value.
static void parse_request(struct str text, struct request *r)
{
    struct str rest = text, line, head;
    ptrdiff_t mark;

    *r = (struct request){0};
    r->in.headers = r->headers;
    assert_true(str_next(&rest, '\n', &head));
    mark = str_find_char(head, ' ');
    r->in.method = str_slice(head, 0, (size_t)mark);
    head = str_slice(head, (size_t)mark + 1, head.len - (sizeof(" HTTP/1.1") - 1));
    mark = str_find_char(head, '?');
    r->in.path = mark < 0 ? head : str_slice(head, 0, (size_t)mark);
    r->in.query = mark < 0 ? STR_NULL : str_slice(head, (size_t)mark + 1, head.len);
    while (str_next(&rest, '\n', &line) && line.len) {
        struct wire_header *h = &r->headers[r->in.n_headers];
        struct str value = line, name;

        if (line.ptr[0] == ' ') {
            h[-1].value = arena_printf(&arena, "%.*s %.*s", STR_ARG(h[-1].value), STR_ARG(line));
            continue;
        }
        assert_true(str_next(&value, ':', &name));
        h->name = lower(name);
        h->value = value;
        r->in.n_headers++;
    }
    r->in.body = str_is_null(rest) ? STR("") : rest;
}

static struct str vector_file(const char *name, const char *file)
{
    char path[1024];

    snprintf(path, sizeof(path), VECTORS "/%s/%s", name, file);
    return read_file(&arena, path);
}

struct context {
    struct sigv4_secret secret;
    struct str access_key, region, service;
    int64_t now_ms;
    bool normalise, sign_body, omit_token;
};

static void read_context(const char *name, struct context *c)
{
    const struct json_value *v;
    struct str text;

    *c = (struct context){0};
    assert_int_equal(json_parse(&arena, vector_file(name, "context.json"), &v, NULL), 0);
    assert_true(
        json_str(json_path(v, "credentials", "secret_access_key", NULL), &c->secret.secret_key));
    json_str(json_path(v, "credentials", "token", NULL), &c->secret.session_token);
    assert_true(json_str(json_path(v, "credentials", "access_key_id", NULL), &c->access_key));
    assert_true(json_str(json_get(v, "region"), &c->region));
    assert_true(json_str(json_get(v, "service"), &c->service));
    assert_true(json_str(json_get(v, "timestamp"), &text));
    assert_true(timefmt_parse_iso(text, &c->now_ms));
    c->normalise = json_get_bool_or(v, "normalize", true);
    c->sign_body = json_get_bool_or(v, "sign_body", false);
    c->omit_token = json_get_bool_or(v, "omit_session_token", false);
}

static void check_verify(const char *name, const char *file, const struct context *c)
{
    struct sigv4_claim claim;
    struct request r;
    struct err err = ERR_INIT;
    char wrong[65];

    parse_request(vector_file(name, file), &r);
    assert_int_equal(sigv4_parse(&r.in, &arena, &claim, &err), 0);
    assert_int_not_equal(claim.kind, SIGV4_NONE);
    assert_true(str_eq(claim.access_key, c->access_key));
    if (sigv4_verify(&claim, &c->secret, &r.in, STR_NULL, c->now_ms, &arena, &err) != 0)
        fail_msg("%s/%s: %s", name, file, err.message);
    // The same with one digit of the signature changed.
    memcpy(wrong, claim.signature.ptr, 64);
    wrong[63] = wrong[63] == '0' ? '1' : '0';
    claim.signature = (struct str){wrong, 64};
    assert_int_equal(sigv4_verify(&claim, &c->secret, &r.in, STR_NULL, c->now_ms, &arena, &err),
                     -EBADMSG);
    assert_ptr_equal(err.aws, &SIGV4_INVALID_SIGNATURE);
}

// Signs the vector's plain request and expects the vector's signature.
static void check_sign(const char *name, const struct context *c)
{
    struct sigv4_signer signer = {
        c->access_key, c->secret.secret_key, c->omit_token ? STR_NULL : c->secret.session_token,
        c->region,     c->service,           c->now_ms,
        false};
    struct str want = str_trim(vector_file(name, "header-signature.txt"));
    struct wire_header out[4];
    struct request r;
    int n;

    parse_request(vector_file(name, "request.txt"), &r);
    n = sigv4_sign(&signer, &r.in, &arena, out, NULL);
    assert_true(n > 0);
    if (!str_ends(out[n - 1].value, want))
        fail_msg("%s: signed %.*s", name, STR_ARG(out[n - 1].value));
}

static void vectors(void **state)
{
    DIR *dir = opendir(VECTORS);
    struct dirent *entry;
    unsigned n = 0;

    (void)state;
    if (!dir) {
        print_message("skipped: no vectors in %s\n", VECTORS);
        skip();
    }
    while ((entry = readdir(dir))) {
        struct context c;

        if (entry->d_name[0] == '.')
            continue;
        read_context(entry->d_name, &c);
        check_verify(entry->d_name, "header-signed-request.txt", &c);
        check_verify(entry->d_name, "query-signed-request.txt", &c);
        if (c.normalise && !c.sign_body)
            check_sign(entry->d_name, &c);
        n++;
    }
    closedir(dir);
    assert_true(n >= 38);
}

static const struct sigv4_signer tester = {
    .access_key = STR_INIT("test"),
    .secret_key = STR_INIT("test"),
    .region = STR_INIT("us-east-1"),
    .service = STR_INIT("lambda"),
    .now_ms = 1767323045000, // 2026-01-02T03:04:05Z
};
static const struct sigv4_secret secret = {.secret_key = STR_INIT("test")};

// A request signed by us; answers its claim.
static void signed_request(struct request *r, const struct sigv4_signer *signer, struct str body,
                           struct sigv4_claim *claim)
{
    struct wire_header more[4];
    int n;

    r->headers[0] = (struct wire_header){STR("host"), STR("127.0.0.1:4566")};
    r->in = (struct wire_http_in){.method = STR("POST"),
                                  .path = STR("/2015-03-31/functions/a%3Ab/invocations"),
                                  .query = STR("Qualifier=1&a"),
                                  .headers = r->headers,
                                  .n_headers = 1,
                                  .body = body};
    n = sigv4_sign(signer, &r->in, &arena, more, NULL);
    assert_true(n >= 2);
    for (int i = 0; i < n; i++)
        r->headers[r->in.n_headers++] = (struct wire_header){lower(more[i].name), more[i].value};
    assert_int_equal(sigv4_parse(&r->in, &arena, claim, NULL), 0);
    assert_int_equal(claim->kind, SIGV4_HEADER);
}

static void refuses(void **state)
{
    struct sigv4_claim claim;
    struct request r;
    struct err err = ERR_INIT;
    const int64_t now = tester.now_ms;

    (void)state;
    signed_request(&r, &tester, STR("{}"), &claim);
    assert_int_equal(sigv4_verify(&claim, &secret, &r.in, STR_NULL, now, &arena, &err), 0);
    assert_int_equal(
        sigv4_verify(&claim, &secret, &r.in, STR_NULL, now + SIGV4_MAX_SKEW_MS, &arena, &err), 0);
    assert_int_equal(
        sigv4_verify(&claim, &secret, &r.in, STR_NULL, now + SIGV4_MAX_SKEW_MS + 1, &arena, &err),
        -EBADMSG);
    assert_string_equal(err.message, "Signature expired: 20260102T030405Z is now earlier than "
                                     "20260102T030405Z (20260102T031905Z - 15 min.)");
    assert_int_equal(
        sigv4_verify(&claim, &secret, &r.in, STR_NULL, now - SIGV4_MAX_SKEW_MS - 1, &arena, &err),
        -EBADMSG);
    assert_non_null(strstr(err.message, "Signature not yet current"));
    // Another secret, body, path, method.
    assert_int_equal(sigv4_verify(&claim, &(struct sigv4_secret){.secret_key = STR("tesu")}, &r.in,
                                  STR_NULL, now, &arena, &err),
                     -EBADMSG);
    assert_non_null(strstr(err.message, "The request signature we calculated does not match"));
    r.in.body = STR("{} ");
    assert_int_equal(sigv4_verify(&claim, &secret, &r.in, STR_NULL, now, &arena, &err), -EBADMSG);
    r.in.body = STR("{}");
    r.in.method = STR("PUT");
    assert_int_equal(sigv4_verify(&claim, &secret, &r.in, STR_NULL, now, &arena, &err), -EBADMSG);
    r.in.method = STR("POST");
    r.in.query = STR("Qualifier=2&a");
    assert_int_equal(sigv4_verify(&claim, &secret, &r.in, STR_NULL, now, &arena, &err), -EBADMSG);
    // A token where none belongs.
    r.in.query = STR("Qualifier=1&a");
    claim.session_token = STR("x");
    assert_int_equal(sigv4_verify(&claim, &secret, &r.in, STR_NULL, now, &arena, &err), -EBADMSG);
    assert_ptr_equal(err.aws, &SIGV4_UNRECOGNIZED_CLIENT);
}

static void session_tokens(void **state)
{
    struct sigv4_signer signer = tester;
    struct sigv4_secret s = {STR("test"), STR("token"), tester.now_ms + 1000};
    struct sigv4_claim claim;
    struct request r;
    struct err err = ERR_INIT;

    (void)state;
    signer.session_token = STR("token");
    signed_request(&r, &signer, STR(""), &claim);
    assert_int_equal(sigv4_verify(&claim, &s, &r.in, STR_NULL, tester.now_ms, &arena, &err), 0);
    assert_int_equal(sigv4_verify(&claim, &s, &r.in, STR_NULL, tester.now_ms + 1000, &arena, &err),
                     -EBADMSG);
    assert_ptr_equal(err.aws, &SIGV4_EXPIRED_TOKEN);
    s.session_token = STR("other");
    assert_int_equal(sigv4_verify(&claim, &s, &r.in, STR_NULL, tester.now_ms, &arena, &err),
                     -EBADMSG);
    assert_ptr_equal(err.aws, &SIGV4_UNRECOGNIZED_CLIENT);
}

static void malformed_claims(void **state)
{
    static const struct {
        const char *authorization, *date, *message;
    } cases[] = {
        {"AWS4-HMAC-SHA256 SignedHeaders=host, Signature=1", "20260102T030405Z",
         "requires 'Credential' parameter"},
        {"AWS4-HMAC-SHA256 Credential=test/20260102/us-east-1/lambda/aws4_request, Signature=1",
         "20260102T030405Z", "requires 'SignedHeaders' parameter"},
        {"AWS4-HMAC-SHA256 Credential=test, SignedHeaders=host, Signature=1", "20260102T030405Z",
         "exactly 5 slash-delimited"},
        {"AWS4-HMAC-SHA256 Credential=test/20260102/us-east-1/lambda/aws5, SignedHeaders=host, "
         "Signature=1",
         "20260102T030405Z", "valid terminator"},
        {"AWS4-HMAC-SHA256 Credential=test/20260103/us-east-1/lambda/aws4_request, "
         "SignedHeaders=host, Signature=1",
         "20260102T030405Z", "Date in Credential scope does not match"},
        {"AWS4-HMAC-SHA256 Credential=test/20260102/us-east-1/lambda/aws4_request, "
         "SignedHeaders=host, Signature=1",
         "yesterday", "basic format"},
        {"AWS4-ECDSA-P256-SHA256 Credential=x", "20260102T030405Z", "Unsupported AWS"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct wire_header headers[] = {
            {STR("authorization"), str_from(cases[i].authorization)},
            {STR("x-amz-date"), str_from(cases[i].date)}};
        struct wire_http_in in = {
            .method = STR("GET"), .path = STR("/"), .headers = headers, .n_headers = 2};
        struct sigv4_claim claim;
        struct err err = ERR_INIT;

        assert_int_equal(sigv4_parse(&in, &arena, &claim, &err), -EBADMSG);
        if (!strstr(err.message, cases[i].message))
            fail_msg("case %zu: %s", i, err.message);
    }
}

static void presigned(void **state)
{
    struct wire_header host = {STR("host"), STR("localhost:4566")};
    struct wire_http_in in = {.method = STR("GET"),
                              .path = STR("/_lambkin/code/x y"),
                              .query = STR("v=1"),
                              .headers = &host,
                              .n_headers = 1};
    struct sigv4_claim claim;
    struct err err = ERR_INIT;
    struct str query;

    (void)state;
    assert_int_equal(sigv4_presign(&tester, &in, 600, true, &arena, &query, &err), 0);
    in.query = query;
    in.body = STR("whatever");
    assert_int_equal(sigv4_parse(&in, &arena, &claim, &err), 0);
    assert_int_equal(claim.kind, SIGV4_QUERY);
    assert_int_equal(claim.payload, SIGV4_PAYLOAD_UNSIGNED);
    assert_int_equal(
        sigv4_verify(&claim, &secret, &in, STR_NULL, tester.now_ms + 600000, &arena, &err), 0);
    assert_int_equal(
        sigv4_verify(&claim, &secret, &in, STR_NULL, tester.now_ms + 600001, &arena, &err),
        -EBADMSG);
    in.path = STR("/_lambkin/code/z");
    assert_int_equal(sigv4_verify(&claim, &secret, &in, STR_NULL, tester.now_ms, &arena, &err),
                     -EBADMSG);
    in.query =
        STR("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=test%2F20260102%2Fus-east-1%2Fs3%"
            "2Faws4_request&X-Amz-Date=20260102T030405Z&X-Amz-SignedHeaders=host&X-Amz-Signature="
            "0&X-Amz-Expires=604801");
    assert_int_equal(sigv4_parse(&in, &arena, &claim, &err), -EBADMSG);
}

// AWS's documented example of a chunked upload (S3 API reference, "Signature Calculations for the
// Authorization Header: Transferring Payload in Multiple Chunks").
static void chunks(void **state)
{
    static const char *const signatures[] = {
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    };
    struct sigv4_claim claim = {
        .kind = SIGV4_HEADER,
        .payload = SIGV4_PAYLOAD_CHUNKS,
        .date = STR("20130524"),
        .region = STR("us-east-1"),
        .service = STR("s3"),
        .timestamp = STR("20130524T000000Z"),
        .signature = STR("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"),
    };
    char *text = arena_alloc(&arena, 70000);
    size_t n = 0;

    (void)state;
    n += (size_t)snprintf(text + n, 70000 - n, "10000;chunk-signature=%s\r\n", signatures[0]);
    memset(text + n, 'a', 65536);
    n += 65536;
    n += (size_t)snprintf(text + n, 70000 - n, "\r\n400;chunk-signature=%s\r\n", signatures[1]);
    memset(text + n, 'a', 1024);
    n += 1024;
    n += (size_t)snprintf(text + n, 70000 - n, "\r\n0;chunk-signature=%s\r\n\r\n", signatures[2]);
    // In pieces of several sizes, and once with a byte changed.
    for (size_t piece = 1; piece <= 70000; piece = piece * 7 + 1) {
        for (int broken = 0; broken < 2; broken++) {
            struct sigv4_chunks c;
            struct err err = ERR_INIT;
            size_t got = 0;
            int r = 0;

            text[200] = broken ? 'b' : 'a';
            assert_int_equal(sigv4_chunks_init(
                                 &c, &claim, STR("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), &err),
                             0);
            for (size_t at = 0; at < n && r == 0; at += piece) {
                struct str in = {text + at, at + piece < n ? piece : n - at}, data;

                while (r == 0 && in.len) {
                    r = sigv4_chunks_feed(&c, &in, &data, &err);
                    got += r >= 0 ? data.len : 0;
                }
            }
            sigv4_chunks_finish(&c);
            assert_int_equal(r, broken ? -EBADMSG : 1);
            if (!broken)
                assert_int_equal(got, 66560);
        }
    }
}

static void plain_trailers(void **state)
{
    struct sigv4_claim claim = {
        .payload = SIGV4_PAYLOAD_PLAIN_TRAILER,
        .signature = STR("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"),
    };
    struct str in = STR("5\r\nhello\r\n0\r\nX-Amz-Checksum-Crc32: NhCmhg==\r\n\r\n"), data;
    struct sigv4_chunks c;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(sigv4_chunks_init(&c, &claim, STR(""), &err), 0);
    assert_int_equal(sigv4_chunks_feed(&c, &in, &data, &err), 0);
    assert_true(str_eq(data, STR("hello")));
    assert_int_equal(sigv4_chunks_feed(&c, &in, &data, &err), 1);
    assert_true(str_eq(sigv4_chunks_trailers(&c), STR("x-amz-checksum-crc32:NhCmhg==\n")));
    sigv4_chunks_finish(&c);
    in = STR("zz\r\n");
    assert_int_equal(sigv4_chunks_init(&c, &claim, STR(""), &err), 0);
    assert_int_equal(sigv4_chunks_feed(&c, &in, &data, &err), -EBADMSG);
    sigv4_chunks_finish(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(vectors, begin, end),
        cmocka_unit_test_setup_teardown(refuses, begin, end),
        cmocka_unit_test_setup_teardown(session_tokens, begin, end),
        cmocka_unit_test_setup_teardown(malformed_claims, begin, end),
        cmocka_unit_test_setup_teardown(presigned, begin, end),
        cmocka_unit_test_setup_teardown(chunks, begin, end),
        cmocka_unit_test_setup_teardown(plain_trailers, begin, end),
    };

    return cmocka_run_group_tests_name("sigv4", tests, NULL, NULL);
}
