// test_server.c - requests, bodies, answers, connections, as a client sees them.
#include "fixture.h"

#include "os/fd.h"
#include "os/time.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOST "Host: x\r\n"

static bool has(struct str s, const char *part)
{
    return str_find(s, str_from(part)) >= 0;
}

static void test_an_answer(void **state)
{
    (void)state;
    struct answer a = ask("POST /a%20b/c?x=1&y HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello");

    assert_int_equal(a.status, 200);
    assert_true(has(a.head, "\r\nX-Method: POST\r\n"));
    assert_true(has(a.head, "\r\nX-Path: /a%20b/c\r\n"));
    assert_true(has(a.head, "\r\nX-Query: x=1&y\r\n"));
    assert_true(has(a.head, "\r\nX-Body: memory\r\n"));
    assert_true(has(a.head, "\r\nX-Injected: a  X-Evil: 1\r\n"));
    assert_true(has(a.head, "\r\ncontent-length: 5\r\n"));
    assert_true(has(a.head, "\r\nX-Remote: 127.0.0.1:"));
    assert_true(has(a.head, " GMT\r\n"));
    assert_false(has(a.head, "Bad Name"));
    assert_false(has(a.head, "Content-Length: 3"));
    assert_false(has(a.head, "connection"));
    assert_true(str_eq(a.body, STR("hello")));
}

static void test_pipelined_requests_are_answered_in_order(void **state)
{
    _cleanup_close_ int fd = client_open();
    _cleanup_(buf_finishp) struct buf b = {0};
    (void)state;

    buf_init(&b, 8 << 20);
    for (int i = 0; i < 1000; i++) {
        if (i % 7 == 0)
            buf_addf(&b, "GET /later HTTP/1.1\r\n" HOST "\r\n");
        else
            buf_addf(&b, "POST /%d HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\n%04d", i, i);
    }
    client_send(fd, buf_str(&b));
    for (int i = 0; i < 1000; i++) {
        struct answer a = client_read(fd, false);
        char wanted[16];
        snprintf(wanted, sizeof wanted, "%04d", i);
        assert_int_equal(a.status, 200);
        assert_true(str_eq(a.body, i % 7 == 0 ? STR("later") : str_from(wanted)));
    }
}

static void test_http10_and_close(void **state)
{
    (void)state;
    struct answer a = ask("GET /stream HTTP/1.0\r\n\r\n");
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body.len, 200 * 65536);
    assert_true(a.closed);
    assert_true(has(a.head, "connection: close"));

    _cleanup_close_ int fd = client_open();
    client_sendz(fd, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    a = client_read(fd, false);
    assert_true(has(a.head, "connection: keep-alive"));
    client_sendz(fd, "GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    a = client_read(fd, false);
    assert_int_equal(a.status, 200);
    assert_true(has(a.head, "connection: close"));
    assert_int_equal(client_read_all(fd).len, 0);
    a = ask("GET /close HTTP/1.1\r\n" HOST "\r\n");
    assert_true(has(a.head, "connection: close"));
}

static void test_bodiless_answers(void **state)
{
    _cleanup_close_ int fd = client_open();
    (void)state;

    client_sendz(fd, "HEAD /x HTTP/1.1\r\n" HOST "\r\n");
    struct answer a = client_read(fd, true);
    assert_int_equal(a.status, 200);
    assert_true(has(a.head, "content-length: 3\r\n")); // its own, for HEAD
    client_sendz(fd, "HEAD /stream HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(client_read(fd, true).status, 200);
    client_sendz(fd, "HEAD /file HTTP/1.1\r\n" HOST "\r\n");
    a = client_read(fd, true);
    assert_true(has(a.head, "content-length: 899991\r\n"));
    client_sendz(fd, "GET /none HTTP/1.1\r\n" HOST "\r\n");
    a = client_read(fd, false);
    assert_int_equal(a.status, 204);
    assert_false(has(a.head, "content-length"));
    client_sendz(fd, "GET /after HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(client_read(fd, false).status, 200);
}

static void test_expect_continue(void **state)
{
    _cleanup_close_ int fd = client_open();
    (void)state;

    client_sendz(fd,
                 "POST / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_int_equal(client_read(fd, false).status, 100);
    client_sendz(fd, "hi");
    struct answer a = client_read(fd, false);
    assert_int_equal(a.status, 200);
    assert_true(str_eq(a.body, STR("hi")));
    // Not when the body is there already, nor before a refusal.
    client_sendz(fd,
                 "POST / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nho");
    assert_int_equal(client_read(fd, false).status, 200);
    client_sendz(fd, "POST / HTTP/1.1\r\n" HOST
                     "Expect: 100-continue\r\nContent-Length: 999999999999\r\n\r\n");
    assert_int_equal(client_read(fd, false).status, 413);
}

static void send_body(int fd, size_t bytes, bool chunked)
{
    _cleanup_free_ char *p = malloc(65536);
    char size[32];

    for (size_t at = 0; at < bytes; at += 65536) {
        size_t n = bytes - at < 65536 ? bytes - at : 65536;
        for (size_t i = 0; i < n; i++)
            p[i] = (char)('a' + (at + i) % 19);
        if (chunked) {
            int len = snprintf(size, sizeof size, "%zx\r\n", n);
            client_send(fd, (struct str){size, (size_t)len});
        }
        client_send(fd, (struct str){p, n});
        if (chunked)
            client_sendz(fd, "\r\n");
    }
    if (chunked)
        client_sendz(fd, "0\r\nX-Sum: 77\r\n\r\n");
}

static void check_body(struct str s, size_t bytes)
{
    assert_int_equal(s.len, bytes);
    for (size_t i = 0; i < bytes; i++) {
        if (s.ptr[i] != (char)('a' + i % 19))
            fail_msg("byte %zu is wrong", i);
    }
}

static void test_long_bodies_go_to_a_file(void **state)
{
    static const size_t sizes[] = {1, 65536, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5000000};
    (void)state;

    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        _cleanup_close_ int fd = client_open();
        char head[128];
        snprintf(head, sizeof head, "PUT / HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n",
                 sizes[i]);
        client_sendz(fd, head);
        send_body(fd, sizes[i], false);
        struct answer a = client_read(fd, false);
        assert_int_equal(a.status, 200);
        assert_true(has(a.head, sizes[i] > 1 << 20 ? "X-Body: file" : "X-Body: memory"));
        check_body(a.body, sizes[i]);
        client_sendz(fd, "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
        send_body(fd, sizes[i], true);
        a = client_read(fd, false);
        assert_int_equal(a.status, 200);
        assert_true(has(a.head, "X-Trailer: 77"));
        check_body(a.body, sizes[i]);
    }
}

static void test_big_and_file_answers(void **state)
{
    _cleanup_close_ int fd = client_open();
    (void)state;

    for (int i = 0; i < 2; i++) {
        client_sendz(fd, "GET /big HTTP/1.1\r\n" HOST "\r\nGET /file HTTP/1.1\r\n" HOST "\r\n");
        struct answer a = client_read(fd, false);
        assert_int_equal(a.body.len, 8 << 20);
        for (size_t k = 0; k < a.body.len; k++)
            assert_true(a.body.ptr[k] == (char)('a' + k % 23));
        a = client_read(fd, false);
        assert_int_equal(a.status, 206);
        assert_int_equal(a.body.len, 899991);
        assert_true(str_starts(a.body, STR("00000001\n00000002\n")));
        assert_true(str_ends(a.body, STR("00099999\n")));
    }
}

static void test_streamed_answers(void **state)
{
    _cleanup_close_ int fd = client_open();
    (void)state;

    client_sendz(fd, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
    struct answer a = client_read(fd, false);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body.len, 200 * 65536);
    assert_true(str_eq(a.trailers, STR("x-after: yes\r\n\r\n")));
    client_sendz(fd, "GET /exact HTTP/1.1\r\n" HOST "\r\n");
    a = client_read(fd, false);
    assert_true(str_eq(a.body, STR("0123456789")));
    client_sendz(fd, "GET /short HTTP/1.1\r\n" HOST "\r\n");
    a = client_read(fd, false);
    assert_true(a.closed);
    a = ask("GET /aborted HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(a.status, 200);
    assert_true(str_eq(a.body, STR("half")));
    assert_true(a.closed);
    a = ask("GET /drop HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(a.status, 0);
}

static void test_a_slow_reader_holds_the_producer_back(void **state)
{
    _cleanup_close_ int fd = client_open();
    (void)state;

    unsigned before = fx.taken;
    client_sendz(fd, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
    struct answer a = client_read(fd, false);
    assert_int_equal(a.body.len, 200 * 65536);
    assert_true(fx.taken > before); // the kernel's buffers are smaller than 13 MB
}

static void test_streamed_requests(void **state)
{
    static const char *const paths[] = {"/upload", "/upload-slow"};
    (void)state;

    for (unsigned i = 0; i < 2; i++) {
        _cleanup_close_ int fd = client_open();
        char head[128];
        snprintf(head, sizeof head,
                 "POST %s HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", paths[i]);
        client_sendz(fd, head);
        send_body(fd, 3000000, true);
        struct answer a = client_read(fd, false);
        assert_true(str_eq(a.body, STR("3000000 77")));
        snprintf(head, sizeof head, "POST %s HTTP/1.1\r\n" HOST "Content-Length: 300000\r\n\r\n",
                 paths[i]);
        client_sendz(fd, head);
        send_body(fd, 300000, false);
        a = client_read(fd, false);
        assert_true(str_eq(a.body, STR("300000 ")));
        client_sendz(fd, "POST /upload HTTP/1.1\r\n" HOST "\r\n");
        assert_true(str_eq(client_read(fd, false).body, STR("0 ")));
    }
    // Answered in the middle.
    _cleanup_close_ int fd = client_open();
    client_sendz(fd, "POST /upload-early HTTP/1.1\r\n" HOST "Content-Length: 300000\r\n\r\n");
    send_body(fd, 150000, false);
    struct answer a = client_read(fd, false);
    assert_int_equal(a.status, 409);
    assert_true(has(a.head, "connection: close"));
    // Broken in the middle, by leaving and by bad framing.
    unsigned gone = fx.gone;
    int leaving = client_open();
    client_sendz(leaving, "POST /upload HTTP/1.1\r\n" HOST "Content-Length: 300000\r\n\r\nabc");
    wait_for(&fx.streamed, 1);
    close(leaving);
    wait_for(&fx.gone, gone + 1);
    _cleanup_close_ int bad = client_open();
    client_sendz(bad, "POST /upload HTTP/1.1\r\n" HOST
                      "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzzz\r\n");
    wait_for(&fx.gone, gone + 2);
    assert_int_equal(client_read_all(bad).len, 0);
}

static void test_refused_by_its_headers(void **state)
{
    (void)state;
    fx.hold_on_headers = 403;
    struct answer a =
        ask("POST / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 10\r\n\r\n");
    assert_int_equal(a.status, 403);
    assert_true(has(a.head, "connection: close"));
    _cleanup_close_ int fd = client_open();
    client_sendz(fd, "GET / HTTP/1.1\r\n" HOST "\r\nGET / HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(client_read(fd, false).status, 403);
    assert_int_equal(client_read(fd, false).status, 403);
    fx.hold_on_headers = 0;
}

static void answer_held(void *unused)
{
    (void)unused;
    struct http_request *req = fx.held;
    fx.held = NULL;
    if (req)
        http_respond_text(req, 200, STR("text/plain"), STR("at last"));
}

static void find_loop_and_answer(void)
{
    loop_call(fx.held->loop, answer_held, NULL);
}

static void test_a_vanished_client_frees_a_parked_request(void **state)
{
    (void)state;
    unsigned gone = fx.gone, handled = fx.handled;

    int fd = client_open();
    client_sendz(fd, "GET /hold HTTP/1.1\r\n" HOST "\r\n");
    wait_for(&fx.handled, handled + 1);
    close(fd);
    wait_for(&fx.gone, gone + 1);

    // With pipelined input behind it, more than is kept.
    fd = client_open();
    client_sendz(fd, "GET /hold HTTP/1.1\r\n" HOST "\r\n");
    wait_for(&fx.handled, handled + 2);
    send_body(fd, 80000, false); // 64 KiB are kept, the rest and the end wait in the kernel
    close(fd);
    wait_for(&fx.gone, gone + 2);

    // And one that stays gets its answer.
    fd = client_open();
    client_sendz(fd, "GET /hold HTTP/1.1\r\n" HOST "\r\n");
    wait_for(&fx.handled, handled + 3);
    find_loop_and_answer();
    assert_true(str_eq(client_read(fd, false).body, STR("at last")));
    close(fd);
}

static void test_half_closed_clients_get_their_answer(void **state)
{
    _cleanup_close_ int fd = client_open();
    (void)state;

    client_sendz(fd, "GET /later HTTP/1.1\r\n" HOST "\r\nGET /later HTTP/1.1\r\n" HOST "\r\n");
    shutdown(fd, SHUT_WR);
    assert_true(str_eq(client_read(fd, false).body, STR("later")));
    assert_true(str_eq(client_read(fd, false).body, STR("later")));
    assert_int_equal(client_read_all(fd).len, 0);
}

static void test_connections_gather_and_spread(void **state)
{
    int fds[40];
    (void)state;

    fx.loops_seen = 0;
    struct answer a = ask("GET / HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(a.status, 200);
    assert_int_equal(fx.loops_seen, 1); // a lone client is served by the first loop
    for (int i = 0; i < 40; i++) {
        fds[i] = client_open();
        client_sendz(fds[i], "GET / HTTP/1.1\r\n" HOST "\r\n");
        assert_int_equal(client_read(fds[i], false).status, 200);
    }
    assert_int_equal(fx.loops_seen, 3);
    for (int i = 0; i < 40; i++)
        close(fds[i]);
}

static int start(void **state)
{
    (void)state;
    return fixture_start(2, NULL);
}

static int stop(void **state)
{
    (void)state;
    return fixture_stop();
}

// ---- time limits: a server of their own ----

static void short_limits(struct http_listener_config *config)
{
    config->limits.header_ms = 300;
    config->limits.body_ms = 300;
    config->limits.idle_ms = 300;
}

static void few_connections(struct http_listener_config *config)
{
    config->limits.connections = 3;
}

static int start_few(void **state)
{
    (void)state;
    return fixture_start(1, few_connections);
}

static int start_short(void **state)
{
    (void)state;
    return fixture_start(1, short_limits);
}

static void test_time_limits(void **state)
{
    (void)state;
    _cleanup_close_ int nothing = client_open();
    assert_int_equal(client_read_all(nothing).len, 0);

    struct answer a = ask("GET / HTTP/1.1\r\nHost:");
    assert_int_equal(a.status, 408);
    a = ask("POST / HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nabc");
    assert_int_equal(a.status, 408);
    _cleanup_close_ int idle = client_open();
    client_sendz(idle, "GET / HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(client_read(idle, false).status, 200);
    assert_int_equal(client_read_all(idle).len, 0);
    // A handler may take its time.
    unsigned handled = fx.handled;
    _cleanup_close_ int held = client_open();
    client_sendz(held, "GET /hold HTTP/1.1\r\n" HOST "\r\n");
    wait_for(&fx.handled, handled + 1);
    usleep(700000);
    find_loop_and_answer();
    assert_true(str_eq(client_read(held, false).body, STR("at last")));
}

static void test_connections_over_the_limit_wait(void **state)
{
    int fds[8];
    (void)state;

    for (int i = 0; i < 8; i++) {
        fds[i] = client_open();
        client_sendz(fds[i], "GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    }
    for (int i = 0; i < 8; i++) {
        assert_int_equal(client_read(fds[i], false).status, 200);
        close(fds[i]);
    }
}

static atomic_uint drained;

static void on_drained(void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&drained, 1);
}

static void start_drain(void *ctx)
{
    http_listener_drain(fx.listener, *(int64_t *)ctx, on_drained, NULL);
    fx.listener = NULL;
}

static void test_drain_lets_requests_finish(void **state)
{
    int64_t limit = 20000;
    (void)state;

    drained = 0;
    unsigned handled = fx.handled;
    _cleanup_close_ int idle = client_open();
    client_sendz(idle, "GET / HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(client_read(idle, false).status, 200);
    _cleanup_close_ int held = client_open();
    client_sendz(held, "GET /hold HTTP/1.1\r\n" HOST "\r\n");
    wait_for(&fx.handled, handled + 2);
    loop_call(loop_at(0), start_drain, &limit);
    assert_int_equal(client_read_all(idle).len, 0);
    assert_int_equal(drained, 0);
    find_loop_and_answer();
    struct answer a = client_read(held, false);
    assert_true(str_eq(a.body, STR("at last")));
    assert_true(has(a.head, "connection: close"));
    wait_for(&drained, 1);
}

static void test_drain_cuts_at_its_limit(void **state)
{
    int64_t limit = 20;
    (void)state;

    drained = 0;
    unsigned handled = fx.handled, gone = fx.gone;
    _cleanup_close_ int held = client_open();
    client_sendz(held, "GET /hold HTTP/1.1\r\n" HOST "\r\n");
    wait_for(&fx.handled, handled + 1);
    loop_call(loop_at(0), start_drain, &limit);
    wait_for(&drained, 1);
    assert_int_equal(fx.gone, gone + 1);
    assert_int_equal(client_read_all(held).len, 0);
}

static void test_stopping_with_everything_under_way(void **state)
{
    (void)state;
    // Left to fixture_stop: held, half a head, half a body, idle.
    static const char *const halves[] = {"GET /hold HTTP/1.1\r\n" HOST "\r\n", "GET / HT",
                                         "POST /upload HTTP/1.1\r\n" HOST
                                         "Content-Length: 10\r\n\r\nabc",
                                         "", "GET /stream HTTP/1.1\r\n" HOST "\r\n"};
    static int fds[5];
    unsigned handled = fx.handled;

    for (int i = 0; i < 5; i++) {
        fds[i] = client_open();
        client_sendz(fds[i], halves[i]);
    }
    wait_for(&fx.handled, handled + 2);
    assert_int_equal(fixture_stop(), 0);
    for (int i = 0; i < 5; i++)
        close(fds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer),
        cmocka_unit_test(test_pipelined_requests_are_answered_in_order),
        cmocka_unit_test(test_http10_and_close),
        cmocka_unit_test(test_bodiless_answers),
        cmocka_unit_test(test_expect_continue),
        cmocka_unit_test(test_long_bodies_go_to_a_file),
        cmocka_unit_test(test_big_and_file_answers),
        cmocka_unit_test(test_streamed_answers),
        cmocka_unit_test(test_a_slow_reader_holds_the_producer_back),
        cmocka_unit_test(test_streamed_requests),
        cmocka_unit_test(test_refused_by_its_headers),
        cmocka_unit_test(test_a_vanished_client_frees_a_parked_request),
        cmocka_unit_test(test_half_closed_clients_get_their_answer),
        cmocka_unit_test(test_connections_gather_and_spread),
    };
    const struct CMUnitTest timed[] = {
        cmocka_unit_test_setup_teardown(test_time_limits, start_short, stop),
        cmocka_unit_test_setup_teardown(test_connections_over_the_limit_wait, start_few, stop),
        cmocka_unit_test_setup_teardown(test_drain_lets_requests_finish, start, stop),
        cmocka_unit_test_setup_teardown(test_drain_cuts_at_its_limit, start, stop),
        cmocka_unit_test_setup(test_stopping_with_everything_under_way, start),
    };
    int failed = cmocka_run_group_tests(tests, start, stop);

    return failed + cmocka_run_group_tests(timed, NULL, NULL);
}
