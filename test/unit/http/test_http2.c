// test_http2.c - HTTP/2 over TLS: the same requests through libcurl, and frames as one likes.
#include "fixture.h"

#include "http/client.h"
#include "os/fd.h"
#include "os/file.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static struct http_tls *tls;
static struct str tls_dir;
static struct arena tls_arena;

static void with_tls(struct http_listener_config *config)
{
    config->tls = tls;
    config->limits.body_bytes = 16 << 20;
}

static int start(void **state)
{
    struct err err = ERR_INIT;
    (void)state;

    arena_init(&tls_arena, 1 << 20);
    if (make_temp_dir(&tls_arena, "lambkin-tls-", &tls_dir, &err) < 0 ||
        http_tls_self_made(tls_dir.ptr, &tls, &err) < 0) {
        print_error("%s\n", err.message);
        return -1;
    }
    return fixture_start(2, with_tls);
}

static int stop(void **state)
{
    struct err err = ERR_INIT;
    (void)state;

    int r = fixture_stop();
    http_tls_destroy(tls);
    rm_rf(tls_dir.ptr, &err);
    arena_finish(&tls_arena);
    return r;
}

static struct http_client_request request(const char *method, const char *path)
{
    return (struct http_client_request){
        .method = method,
        .url = arena_printf(&fx.arena, "https://localhost:%u%s", fx.port, path).ptr,
        .ca_file = arena_printf(&fx.arena, "%s/tls-cert.pem", tls_dir.ptr).ptr,
    };
}

static struct http_client_response r;

static void perform(const struct http_client_request *q, int result)
{
    struct err err = ERR_INIT;

    http_client_response_finish(&r);
    int got = http_client_perform(q, &r, &err);
    if (got != result)
        fail_msg("%s: %d %s", q->url, got, err.message);
}

static void test_the_same_requests(void **state)
{
    static const size_t sizes[] = {0, 5, 100000, 1 << 20, 3000000};
    (void)state;

    struct http_client_request q = request("POST", "/a%20b?c=d");
    const struct http_header headers[] = {{STR("X-A"), STR("b")}, {STR("Cookie"), STR("a=1; b=2")}};
    q.headers = headers;
    q.n_headers = 2;
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        char *body = arena_zalloc(&fx.arena, sizes[i] + 1);
        memset(body, 'z', sizes[i]);
        q.body = (struct str){body, sizes[i]};
        perform(&q, 0);
        assert_int_equal(r.status, 200);
        assert_true(str_eq(r.body, q.body));
        assert_true(str_eq(http_client_header(&r, STR("x-version")), STR("2")));
        assert_true(str_eq(http_client_header(&r, STR("x-method")), STR("POST")));
        assert_true(str_eq(http_client_header(&r, STR("x-path")), STR("/a%20b")));
        assert_true(str_eq(http_client_header(&r, STR("x-query")), STR("c=d")));
        assert_true(str_eq(http_client_header(&r, STR("x-cookie")), STR("a=1; b=2")));
        assert_true(str_eq(http_client_header(&r, STR("x-injected")), STR("a  X-Evil: 1")));
        assert_true(str_starts(http_client_header(&r, STR("x-host")), STR("localhost:")));
        assert_true(str_ends(http_client_header(&r, STR("date")), STR(" GMT")));
    }
    static const struct {
        const char *path;
        int status;
        size_t bytes;
    } gets[] = {{"/stream", 200, 200 * 65536},
                {"/big", 200, 8 << 20},
                {"/file", 206, 899991},
                {"/exact", 200, 10},
                {"/later", 200, 5},
                {"/none", 204, 0},
                {"/close", 200, 3}};
    for (unsigned i = 0; i < ARRAY_LEN(gets); i++) {
        q = request("GET", gets[i].path);
        perform(&q, 0);
        assert_int_equal(r.status, gets[i].status);
        assert_int_equal(r.body.len, gets[i].bytes);
    }
    q = request("HEAD", "/file");
    perform(&q, 0);
    assert_true(str_eq(http_client_header(&r, STR("content-length")), STR("899991")));
    q = request("GET", "/short");
    perform(&q, -EPROTO);
    q = request("GET", "/aborted");
    perform(&q, -EPROTO);
    q = request("GET", "/drop");
    perform(&q, -EPROTO);
    static const char *const uploads[] = {"/upload", "/upload-slow"};
    for (unsigned i = 0; i < 2; i++) {
        q = request("POST", uploads[i]);
        q.body = (struct str){arena_zalloc(&fx.arena, 700000), 700000};
        perform(&q, 0);
        assert_true(str_eq(r.body, STR("700000 ")));
    }
    q = request("POST", "/upload-early");
    q.body = (struct str){arena_zalloc(&fx.arena, 700000), 700000};
    perform(&q, 0);
    assert_int_equal(r.status, 409);
    unsigned gone = fx.gone;
    q = request("GET", "/hold");
    q.timeout_ms = 1500;
    perform(&q, -ETIMEDOUT);
    wait_for(&fx.gone, gone + 1);
    http_client_response_finish(&r);
}

// ---- frames by hand ----

static SSL_CTX *client_ctx;

static SSL *open_http2(int *fd)
{
    if (!client_ctx)
        client_ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(client_ctx);
    *fd = client_open();
    SSL_set_fd(ssl, *fd);
    SSL_set_alpn_protos(ssl, (const unsigned char *)"\x02h2", 3);
    assert_int_equal(SSL_connect(ssl), 1);
    assert_int_equal(SSL_write(ssl, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24), 24);
    return ssl;
}

static void put_frame(struct buf *b, unsigned type, unsigned flags, unsigned id, struct str data)
{
    const char head[9] = {
        (char)(data.len >> 16), (char)(data.len >> 8), (char)data.len,  (char)type, (char)flags,
        (char)(id >> 24),       (char)(id >> 16),      (char)(id >> 8), (char)id};

    buf_add(b, (struct str){head, 9});
    buf_add(b, data);
}

// What comes next that is of this type; its payload. False at the end.
static bool next_frame(SSL *ssl, unsigned type, struct str *data)
{
    for (;;) {
        unsigned char head[9];
        for (int at = 0; at < 9;) {
            int n = SSL_read(ssl, head + at, 9 - at);
            if (n <= 0)
                return false;
            at += n;
        }
        size_t len = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
        char *p = arena_zalloc(&fx.arena, len + 1);
        for (size_t at = 0; at < len;) {
            int n = SSL_read(ssl, p + at, (int)(len - at));
            if (n <= 0)
                return false;
            at += (size_t)n;
        }
        *data = (struct str){p, len};
        if (head[3] == type)
            return true;
    }
}

enum { DATA = 0, HEADERS = 1, PRIORITY = 2, RST = 3, SETTINGS = 4, PING = 6, GOAWAY = 7, CONT = 9 };

// GET https://x/
static const struct str get = STR_INIT("\x82\x84\x87\x41\x01x");

static unsigned goaway_code(struct str data)
{
    return data.len < 8 ? 9999 : (unsigned)(unsigned char)data.ptr[7];
}

static void expect_goaway(SSL *ssl, struct buf *b, unsigned code)
{
    struct str data;

    for (size_t at = 0; at < b->len;) { // the server may close before it has read all
        size_t n = b->len - at < 4096 ? b->len - at : 4096;
        if (SSL_write(ssl, b->ptr + at, (int)n) <= 0)
            break;
        at += n;
    }
    if (!next_frame(ssl, GOAWAY, &data))
        return; // a reset may take the last words away
    if (goaway_code(data) != code)
        fail_msg("code %u, not %u", goaway_code(data), code);
    while (next_frame(ssl, 99, &data))
        ;
}

static void test_floods_are_cut_off(void **state)
{
    (void)state;
    for (int kind = 0; kind < 5; kind++) {
        _cleanup_(buf_finishp) struct buf b = {0};
        int fd;
        unsigned n = 6000, id = 1;
        unsigned handled = fx.handled;
        buf_init(&b, 8 << 20);
        put_frame(&b, SETTINGS, 0, 0, STR(""));
        for (unsigned i = 0; i < n; i++, id += 2) {
            if (kind == 0) { // rapid reset
                put_frame(&b, HEADERS, 0x5, id, get);
                put_frame(&b, RST, 0, id, STR("\0\0\0\x08"));
            } else if (kind == 1) {
                put_frame(&b, PING, 0, 0, STR("12345678"));
            } else if (kind == 2) {
                put_frame(&b, SETTINGS, 0, 0, STR(""));
            } else if (kind == 3) { // empty data without end
                if (i == 0)
                    put_frame(&b, HEADERS, 0x4, 1, STR("\x83\x84\x87\x41\x01x"));
                put_frame(&b, DATA, 0, 1, STR(""));
            } else { // continuations without end
                if (i == 0)
                    put_frame(&b, HEADERS, 0, 1, get);
                put_frame(&b, CONT, 0, 1, STR("\x40\x01y\x01z"));
            }
        }
        SSL *ssl = open_http2(&fd);
        expect_goaway(ssl, &b, kind == 4 ? 1 : 11);
        SSL_free(ssl);
        close(fd);
        assert_true(fx.handled - handled < 1000);
    }
    // And the server still answers.
    struct http_client_request q = request("GET", "/");
    perform(&q, 0);
    assert_int_equal(r.status, 200);
    http_client_response_finish(&r);
}

static void test_violations(void **state)
{
    static const struct {
        const char *what;
        struct str block;
        int reset; // the stream's code, or -1: answered with 400
    } cases[] = {
        {"capital name", STR_INIT("\x82\x84\x87\x41\x01x\x40\x01Y\x01z"), 1},
        {"connection header",
         STR_INIT("\x82\x84\x87\x41\x01x\x40\x0a"
                  "connection\x01z"),
         1},
        {"no path", STR_INIT("\x82\x87\x41\x01x"), 1},
        {"two methods", STR_INIT("\x82\x83\x84\x87\x41\x01x"), 1},
        {"pseudo after others", STR_INIT("\x82\x87\x41\x01x\x40\x01y\x01z\x84"), 1},
        {"line break in a value",
         STR_INIT("\x82\x84\x87\x41\x01x\x40\x01y\x03"
                  "a\nb"),
         1},
        {"two hosts that differ", STR_INIT("\x82\x84\x87\x41\x01x\x66\x01y\x66\x01z"), 1},
        {"bad path", STR_INIT("\x82\x44\x03/#a\x87\x41\x01x"), -1},
        {"bad authority", STR_INIT("\x82\x84\x87\x41\x03x/y"), 1},
    };
    (void)state;

    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_(buf_finishp) struct buf b = {0};
        struct str data;
        int fd;
        unsigned handled = fx.handled;
        SSL *ssl = open_http2(&fd);
        buf_init(&b, 8 << 20);
        put_frame(&b, SETTINGS, 0, 0, STR(""));
        put_frame(&b, HEADERS, 0x5, 1, cases[i].block);
        assert_true(SSL_write(ssl, b.ptr, (int)b.len) > 0);
        bool ok = next_frame(ssl, cases[i].reset >= 0 ? RST : HEADERS, &data);
        if (!ok)
            fail_msg("%s: nothing came", cases[i].what);
        if (cases[i].reset >= 0 && data.ptr[3] != cases[i].reset)
            fail_msg("%s: %d", cases[i].what, data.ptr[3]);
        if (fx.handled != handled)
            fail_msg("%s: was handled", cases[i].what);
        SSL_free(ssl);
        close(fd);
    }
    // Not HTTP/2 at all behind the ALPN that says so.
    int fd;
    struct str data;
    SSL *ssl = SSL_new(client_ctx);
    fd = client_open();
    SSL_set_fd(ssl, fd);
    SSL_set_alpn_protos(ssl, (const unsigned char *)"\x02h2", 3);
    assert_int_equal(SSL_connect(ssl), 1);
    assert_true(SSL_write(ssl, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27) > 0);
    while (next_frame(ssl, 99, &data))
        ;
    SSL_free(ssl);
    close(fd);
    SSL_CTX_free(client_ctx);
    client_ctx = NULL;
}

static void test_streams_at_the_same_time(void **state)
{
    _cleanup_(buf_finishp) struct buf b = {0};
    struct str data;
    int fd;
    unsigned ended = 0;
    (void)state;

    SSL *ssl = open_http2(&fd);
    buf_init(&b, 8 << 20);
    put_frame(&b, SETTINGS, 0, 0, STR(""));
    // Two that are held and whose client leaves, and a hundred that are answered.
    put_frame(&b, HEADERS, 0x5, 1, STR("\x82\x44\x05/hold\x87\x41\x01x"));
    for (unsigned id = 3; id < 203; id += 2)
        put_frame(&b, HEADERS, 0x5, id, STR("\x82\x44\x06/later\x87\x41\x01x"));
    assert_int_equal(SSL_write(ssl, b.ptr, (int)b.len), b.len);
    while (ended < 100 && next_frame(ssl, DATA, &data))
        ended += str_eq(data, STR("later"));
    assert_int_equal(ended, 100);
    unsigned gone = fx.gone;
    SSL_free(ssl);
    close(fd);
    wait_for(&fx.gone, gone + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_same_requests, start, stop),
        cmocka_unit_test_setup_teardown(test_streams_at_the_same_time, start, stop),
        cmocka_unit_test_setup_teardown(test_floods_are_cut_off, start, stop),
        cmocka_unit_test_setup_teardown(test_violations, start, stop),
    };
    signal(SIGPIPE, SIG_IGN); // the client's SSL_write
    return cmocka_run_group_tests(tests, NULL, NULL);
}
