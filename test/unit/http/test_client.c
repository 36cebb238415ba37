// test_client.c - the client, and TLS, against our own server.
#include "fixture.h"

#include "http/client.h"
#include "os/fd.h"
#include "os/file.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

static const char *url(const char *path)
{
    return arena_printf(&fx.arena, "http://127.0.0.1:%u%s", fx.port, path).ptr;
}

static void test_blocking_calls(void **state)
{
    struct err err = ERR_INIT;
    struct http_client_response r = {0};
    struct http_header headers[] = {{STR("X-Empty"), STR("")}, {STR("Content-Type"), STR("a/b")}};
    (void)state;

    struct http_client_request q = {.method = "POST",
                                    .url = url("/a?b=c"),
                                    .headers = headers,
                                    .n_headers = 2,
                                    .body = STR("hello")};
    assert_int_equal(http_client_perform(&q, &r, &err), 0);
    assert_int_equal(r.status, 200);
    assert_true(str_eq(http_client_header(&r, STR("x-method")), STR("POST")));
    assert_true(str_eq(http_client_header(&r, STR("x-query")), STR("b=c")));
    assert_true(str_is_null(http_client_header(&r, STR("x-none"))));
    assert_true(str_eq(r.body, STR("hello")));
    http_client_response_finish(&r);
    http_client_response_finish(&r);

    q = (struct http_client_request){.url = url("/stream")};
    assert_int_equal(http_client_perform(&q, &r, &err), 0);
    assert_int_equal(r.body.len, 200 * 65536);
    http_client_response_finish(&r);
    q.max_response_bytes = 1000;
    assert_int_equal(http_client_perform(&q, &r, &err), -EFBIG);
    q = (struct http_client_request){.method = "HEAD", .url = url("/file")};
    assert_int_equal(http_client_perform(&q, &r, &err), 0);
    assert_int_equal(r.status, 206);
    http_client_response_finish(&r);
    q = (struct http_client_request){.url = url("/hold"), .timeout_ms = 1000};
    assert_int_equal(http_client_perform(&q, &r, &err), -ETIMEDOUT);
    wait_for(&fx.gone, 1);
    q = (struct http_client_request){.url = url("/drop")};
    assert_int_equal(http_client_perform(&q, &r, &err), -EPROTO);
    q = (struct http_client_request){.url = "file:///etc/passwd"};
    assert_int_equal(http_client_perform(&q, &r, &err), -EINVAL);
    headers[0].value = STR("a\r\nb: c");
    q = (struct http_client_request){.url = url("/"), .headers = headers, .n_headers = 1};
    assert_int_equal(http_client_perform(&q, &r, &err), -EINVAL);
    // A port nobody listens on: one that was just free.
    int fd = http_listen_tcp("127.0.0.1", 0, &err);
    uint16_t port = http_socket_port(fd);
    closep(&fd);
    q = (struct http_client_request){.url =
                                         arena_printf(&fx.arena, "http://127.0.0.1:%u/", port).ptr};
    assert_int_equal(http_client_perform(&q, &r, &err), -ECONNREFUSED);
}

static struct {
    atomic_uint done;
    int result, status;
    size_t bytes;
    bool head_first;
    struct http_client_call *call;
    struct http_client_request q;
    int stop_after;
} got;

static void on_done(void *ctx, int result, struct http_client_response *r, const char *message)
{
    (void)ctx;
    (void)message;
    got.result = result;
    got.status = r->status;
    got.bytes += r->body.len;
    http_client_cancel(got.call); // nothing
    atomic_fetch_add(&got.done, 1);
}

static bool on_head(void *ctx, int status, const struct http_header *headers, unsigned n)
{
    (void)ctx;
    (void)headers;
    got.head_first = got.bytes == 0 && status == 200 && n > 0;
    return true;
}

static bool on_piece(void *ctx, struct str piece)
{
    (void)ctx;
    got.bytes += piece.len;
    return got.stop_after == 0 || got.bytes < (size_t)got.stop_after;
}

static void start_call(void *unused)
{
    struct err err = ERR_INIT;
    (void)unused;

    assert_int_equal(http_client_send(loop_self(), &got.q, on_done, NULL, &got.call, &err), 0);
    assert_int_equal(got.done, 0);
}

static void run(struct http_client_request q)
{
    memset(&got, 0, sizeof got);
    got.q = q;
    loop_call(loop_at(1), start_call, NULL);
    wait_for(&got.done, 1);
}

static void cancel_call(void *unused)
{
    (void)unused;
    http_client_cancel(got.call);
}

static void test_calls_on_a_loop(void **state)
{
    unsigned gone = fx.gone;
    (void)state;

    run((struct http_client_request){.method = "PUT", .url = url("/x"), .body = STR("12345")});
    assert_int_equal(got.result, 0);
    assert_int_equal(got.status, 200);
    assert_int_equal(got.bytes, 5);
    run((struct http_client_request){
        .url = url("/stream"), .on_data = on_piece, .on_head = on_head});
    assert_int_equal(got.result, 0);
    assert_true(got.head_first);
    assert_int_equal(got.bytes, 200 * 65536);
    run((struct http_client_request){.url = url("/hold"), .timeout_ms = 1000});
    assert_int_equal(got.result, -ETIMEDOUT);
    wait_for(&fx.gone, gone + 1);

    memset(&got, 0, sizeof got);
    unsigned handled = fx.handled;
    got.q = (struct http_client_request){.url = url("/hold")};
    loop_call(loop_at(1), start_call, NULL);
    wait_for(&fx.handled, handled + 1);
    loop_call(loop_at(1), cancel_call, NULL);
    wait_for(&fx.gone, gone + 2);
    assert_int_equal(got.done, 0);

    // One that the end of the loop finds.
    loop_call(loop_at(1), start_call, NULL);
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

// ---- TLS ----

static struct http_tls *tls;
static struct str tls_dir;
static struct arena tls_arena;

static void with_tls(struct http_listener_config *config)
{
    config->tls = tls;
}

static int start_tls(void **state)
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

static int stop_tls(void **state)
{
    struct err err = ERR_INIT;
    (void)state;

    int r = fixture_stop();
    http_tls_destroy(tls);
    rm_rf(tls_dir.ptr, &err);
    arena_finish(&tls_arena);
    return r;
}

static void test_tls(void **state)
{
    struct err err = ERR_INIT;
    struct http_client_response r = {0};
    struct stat st;
    static const size_t sizes[] = {0, 5, 100000, 3000000};
    (void)state;

    struct str cert = arena_printf(&fx.arena, "%s/tls-cert.pem", tls_dir.ptr);
    struct str key = arena_printf(&fx.arena, "%s/tls-key.pem", tls_dir.ptr);
    assert_int_equal(stat(key.ptr, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);

    struct http_client_request q = {
        .method = "POST",
        .url = arena_printf(&fx.arena, "https://localhost:%u/p", fx.port).ptr,
        .ca_file = cert.ptr,
        .http1_only = true,
    };
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        char *body = arena_zalloc(&fx.arena, sizes[i] + 1);
        memset(body, 'z', sizes[i]);
        q.body = (struct str){body, sizes[i]};
        if (http_client_perform(&q, &r, &err) < 0)
            fail_msg("%s", err.message);
        assert_int_equal(r.status, 200);
        assert_true(str_eq(r.body, q.body));
        http_client_response_finish(&r);
    }
    q.body = STR_NULL;
    q.method = "GET";
    static const char *const paths[] = {"stream", "file", "big"};
    static const size_t lengths[] = {200 * 65536, 899991, 8 << 20};
    for (unsigned i = 0; i < 3; i++) {
        q.url = arena_printf(&fx.arena, "https://127.0.0.1:%u/%s", fx.port, paths[i]).ptr;
        if (http_client_perform(&q, &r, &err) < 0)
            fail_msg("%s", err.message);
        assert_int_equal(r.body.len, lengths[i]);
        http_client_response_finish(&r);
    }
    q.url = arena_printf(&fx.arena, "https://127.0.0.1:%u/upload-slow", fx.port).ptr;
    q.method = "POST";
    q.body = (struct str){arena_zalloc(&fx.arena, 700000), 700000};
    assert_int_equal(http_client_perform(&q, &r, &err), 0);
    assert_true(str_eq(r.body, STR("700000 ")));
    http_client_response_finish(&r);
    // Not without the certificate, and not in plain.
    q.ca_file = NULL;
    assert_int_equal(http_client_perform(&q, &r, &err), -EPROTO);
    _cleanup_close_ int fd = client_open();
    client_sendz(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    struct str rest = client_read_all(fd);
    assert_false(str_starts(rest, STR("HTTP")));
    // Made once.
    struct http_tls *again;
    struct stat later;
    assert_int_equal(http_tls_self_made(tls_dir.ptr, &again, &err), 0);
    http_tls_destroy(again);
    assert_int_equal(stat(key.ptr, &later), 0);
    assert_int_equal(later.st_ino, st.st_ino);
    assert_int_equal(http_tls_load(key.ptr, cert.ptr, &again, &err), -EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocking_calls),
        cmocka_unit_test(test_calls_on_a_loop),
    };
    const struct CMUnitTest secure[] = {
        cmocka_unit_test_setup_teardown(test_tls, start_tls, stop_tls),
    };
    int failed = cmocka_run_group_tests(tests, start, stop);

    return failed + cmocka_run_group_tests(secure, NULL, NULL);
}
