// test_http2.c - HTTP/2 over TLS: the same requests through libcurl, and frames as one likes.
#include "http2_client.h"

#include "http/client.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static struct http_client_request request(const char *method, const char *path)
{
    return (struct http_client_request){
        .method = method,
        .url = arena_printf(&fx.arena, "https://localhost:%u%s", fx.port, path).ptr,
        .ca_file = http2_ca_file(),
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

static void test_streams_at_the_same_time(void **state)
{
    _cleanup_(buf_finishp) struct buf b = {0};
    struct str data;
    int fd;
    unsigned ended = 0;
    (void)state;

    SSL *ssl = http2_open(&fd);
    buf_init(&b, 8 << 20);
    http2_put(&b, SETTINGS, 0, 0, STR(""));
    // Two that are held and whose client leaves, and a hundred that are answered.
    http2_put(&b, HEADERS, 0x5, 1, STR("\x82\x44\x05/hold\x87\x41\x01x"));
    for (unsigned id = 3; id < 203; id += 2)
        http2_put(&b, HEADERS, 0x5, id, STR("\x82\x44\x06/later\x87\x41\x01x"));
    assert_int_equal(SSL_write(ssl, b.ptr, (int)b.len), b.len);
    while (ended < 100 && http2_next(ssl, DATA, &data))
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
        cmocka_unit_test_setup_teardown(test_the_same_requests, http2_setup, http2_teardown),
        cmocka_unit_test_setup_teardown(test_streams_at_the_same_time, http2_setup, http2_teardown),
    };
    signal(SIGPIPE, SIG_IGN); // the client's SSL_write
    return cmocka_run_group_tests(tests, NULL, NULL);
}
