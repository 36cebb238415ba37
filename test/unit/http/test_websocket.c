// test_websocket.c - the upgrade, frames good and bad, closing.
#include "fixture.h"

#include "http/websocket.h"
#include "os/fd.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define UPGRADE                                                                                    \
    "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"     \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static struct {
    atomic_uint messages, closed, drained;
    int code;
    struct http_websocket *last;
} seen;

static void on_message(struct http_websocket *ws, bool text, struct str data)
{
    assert_ptr_equal(http_websocket_ctx(ws), &seen);
    atomic_fetch_add(&seen.messages, 1);
    if (str_eq(data, STR("close me"))) {
        http_websocket_close(ws, 4001, STR("as asked"));
        assert_int_equal(http_websocket_send(ws, true, STR("x")), -EPIPE);
        return;
    }
    if (str_eq(data, STR("ping me"))) {
        http_websocket_ping(ws, STR("p"));
        return;
    }
    if (str_eq(data, STR("flood me"))) {
        static const char big[100000] = {'f'};
        while (http_websocket_send(ws, false, (struct str){big, sizeof big}) >= 0)
            ;
        return;
    }
    http_websocket_send(ws, text, data);
}

static void on_closed(struct http_websocket *ws, int code, struct str reason)
{
    (void)ws;
    (void)reason;
    seen.code = code;
    atomic_fetch_add(&seen.closed, 1);
}

static void on_drained(struct http_websocket *ws)
{
    (void)ws;
    atomic_fetch_add(&seen.drained, 1);
}

static void handle(void *ctx, struct http_request *req)
{
    static const struct http_websocket_callbacks callbacks = {
        .message = on_message, .closed = on_closed, .drained = on_drained};
    static const struct http_header protocol = {STR_INIT("Sec-WebSocket-Protocol"), STR_INIT("a")};
    (void)ctx;

    seen.last = http_websocket_accept(req, &callbacks, &seen, &protocol, 1);
}

static void with_websockets(struct http_listener_config *config)
{
    config->handle = handle;
    config->on_headers = NULL;
}

static int start(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof seen);
    return fixture_start(1, with_websockets);
}

static int stop(void **state)
{
    (void)state;
    return fixture_stop();
}

// ---- a client that frames as it likes ----

static void frame(struct buf *b, unsigned first, struct str data, bool masked)
{
    static const char key[4] = {1, 2, 3, 4};

    buf_add_char(b, (char)first);
    if (data.len < 126) {
        buf_add_char(b, (char)(data.len | (masked ? 0x80 : 0)));
    } else if (data.len < 65536) {
        buf_add_char(b, (char)(126 | (masked ? 0x80 : 0)));
        buf_add_char(b, (char)(data.len >> 8));
        buf_add_char(b, (char)data.len);
    } else {
        buf_add_char(b, (char)(127 | (masked ? 0x80 : 0)));
        for (int i = 0; i < 8; i++)
            buf_add_char(b, (char)((uint64_t)data.len >> (56 - 8 * i)));
    }
    if (masked)
        buf_add(b, (struct str){key, 4});
    for (size_t i = 0; i < data.len; i++)
        buf_add_char(b, (char)(masked ? data.ptr[i] ^ key[i % 4] : data.ptr[i]));
}

static void send_frame(int fd, unsigned first, struct str data)
{
    _cleanup_(buf_finishp) struct buf b = {0};

    buf_init(&b, 1 << 20);
    frame(&b, first, data, true);
    client_send(fd, buf_str(&b));
}

static int open_websocket(void)
{
    int fd = client_open();

    client_sendz(fd, UPGRADE "\r\n");
    struct answer a = client_read(fd, false);
    assert_int_equal(a.status, 101);
    assert_true(str_find(a.head, STR("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n")) >
                0);
    assert_true(str_find(a.head, STR("Sec-WebSocket-Protocol: a\r\n")) > 0);
    return fd;
}

// One frame of the server's: its first byte, or -1 at the end.
static int read_frame(int fd, struct str *data)
{
    unsigned char head[10];

    if (fd_read_full(fd, head, 2) != 2)
        return -1;
    size_t n = head[1];
    if (n == 126) {
        assert_int_equal(fd_read_full(fd, head + 2, 2), 2);
        n = (size_t)head[2] << 8 | head[3];
    } else if (n == 127) {
        assert_int_equal(fd_read_full(fd, head + 2, 8), 8);
        n = 0;
        for (int i = 0; i < 8; i++)
            n = n << 8 | head[2 + i];
    }
    char *p = arena_alloc(&fx.arena, n + 1);
    assert_int_equal(fd_read_full(fd, p, n), n);
    *data = (struct str){p, n};
    return head[0];
}

static int close_code(struct str data)
{
    return data.len < 2 ? 0 : (unsigned char)data.ptr[0] << 8 | (unsigned char)data.ptr[1];
}

static void test_messages_come_back(void **state)
{
    static const size_t sizes[] = {0, 1, 125, 126, 4096, 32768};
    _cleanup_close_ int fd = open_websocket();
    struct str data;
    (void)state;

    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        char *p = arena_alloc(&fx.arena, sizes[i] + 1);
        memset(p, 'm', sizes[i]);
        send_frame(fd, i % 2 ? 0x81 : 0x82, (struct str){p, sizes[i]});
        assert_int_equal(read_frame(fd, &data), i % 2 ? 0x81 : 0x82);
        assert_true(str_eq(data, (struct str){p, sizes[i]}));
    }
    // Fragments with a ping between them, all in one write, byte by byte too.
    for (int by_byte = 0; by_byte < 2; by_byte++) {
        _cleanup_(buf_finishp) struct buf b = {0};
        buf_init(&b, 1 << 20);
        frame(&b, 0x01, STR("h\xc3"), true);
        frame(&b, 0x89, STR("between"), true);
        frame(&b, 0x00, STR("\xa4l"), true);
        frame(&b, 0x80, STR("lo"), true);
        frame(&b, 0x8a, STR("unasked pong"), true);
        for (size_t i = 0; by_byte && i < b.len; i++)
            client_send(fd, (struct str){b.ptr + i, 1});
        if (!by_byte)
            client_send(fd, buf_str(&b));
        assert_int_equal(read_frame(fd, &data), 0x8a);
        assert_true(str_eq(data, STR("between")));
        assert_int_equal(read_frame(fd, &data), 0x81);
        assert_true(str_eq(data, STR("h\xc3\xa4llo")));
    }
    // The longest message, in four frames.
    char *p = arena_zalloc(&fx.arena, 32768);
    for (unsigned i = 0; i < 4; i++)
        send_frame(fd, i == 0 ? 0x02 : i == 3 ? 0x80 : 0x00, (struct str){p, 32768});
    assert_int_equal(read_frame(fd, &data), 0x82);
    assert_int_equal(data.len, WEBSOCKET_MAX_MESSAGE_BYTES);
    send_frame(fd, 0x81, STR("ping me"));
    assert_int_equal(read_frame(fd, &data), 0x89);
    // Closed by the client.
    send_frame(fd, 0x88,
               STR("\x03\xe8"
                   "bye"));
    assert_int_equal(read_frame(fd, &data), 0x88);
    assert_true(str_eq(data, STR("\x03\xe8"
                                 "bye")));
    assert_int_equal(read_frame(fd, &data), -1);
    wait_for(&seen.closed, 1);
    assert_int_equal(seen.code, 1000);
}

static void test_closing(void **state)
{
    struct str data;
    (void)state;

    int fd = open_websocket();
    send_frame(fd, 0x81, STR("close me"));
    assert_int_equal(read_frame(fd, &data), 0x88);
    assert_int_equal(close_code(data), 4001);
    send_frame(fd, 0x81, STR("ignored"));
    send_frame(fd, 0x88, STR("\x0f\xa1"));
    assert_int_equal(read_frame(fd, &data), -1);
    wait_for(&seen.closed, 1);
    assert_int_equal(seen.code, 4001);
    close(fd);

    fd = open_websocket(); // without a word
    close(fd);
    wait_for(&seen.closed, 2);
    assert_int_equal(seen.code, 1006);

    fd = open_websocket();
    send_frame(fd, 0x88, STR(""));
    assert_int_equal(read_frame(fd, &data), 0x88);
    assert_int_equal(data.len, 0);
    wait_for(&seen.closed, 3);
    assert_int_equal(seen.code, 1005);
    close(fd);

    fd = open_websocket(); // never reads
    send_frame(fd, 0x81, STR("flood me"));
    wait_for(&seen.closed, 4);
    close(fd);
}

static void test_violations(void **state)
{
    static const struct {
        const char *what;
        struct str bytes;
        int code;
    } cases[] = {
        {"not masked",
         STR_INIT("\x81\x01"
                  "a"),
         1002},
        {"reserved bit", STR_INIT("\xc1\x81\0\0\0\0a"), 1002},
        {"unknown opcode", STR_INIT("\x83\x81\0\0\0\0a"), 1002},
        {"unknown control", STR_INIT("\x8b\x81\0\0\0\0a"), 1002},
        {"fragmented ping", STR_INIT("\x09\x81\0\0\0\0a"), 1002},
        {"long ping", STR_INIT("\x89\xfe\0\x7e\0\0\0\0aaaaaaaa"), 1002},
        {"nothing to continue", STR_INIT("\x80\x81\0\0\0\0a"), 1002},
        {"message in message", STR_INIT("\x01\x81\0\0\0\0a\x81\x81\0\0\0\0a"), 1002},
        {"length not minimal", STR_INIT("\x81\xfe\0\x01\0\0\0\0a"), 1002},
        {"length over 63 bits", STR_INIT("\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0a"),
         1002},
        {"frame too long", STR_INIT("\x81\xfe\x80\x01\0\0\0\0a"), 1009},
        {"not utf-8", STR_INIT("\x81\x82\0\0\0\0\xc3\x28"), 1007},
        {"close of one byte", STR_INIT("\x88\x81\0\0\0\0a"), 1002},
        {"close code 999", STR_INIT("\x88\x82\0\0\0\0\x03\xe7"), 1002},
        {"close code 1006", STR_INIT("\x88\x82\0\0\0\0\x03\xee"), 1002},
        {"close reason not utf-8", STR_INIT("\x88\x83\0\0\0\0\x03\xe8\xff"), 1007},
    };
    (void)state;

    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct str data = STR("");
        _cleanup_close_ int fd = open_websocket();
        unsigned messages = seen.messages;
        client_send(fd, cases[i].bytes);
        int first = read_frame(fd, &data);
        if (first != 0x88 || close_code(data) != cases[i].code)
            fail_msg("%s: %x %d", cases[i].what, first, close_code(data));
        assert_int_equal(read_frame(fd, &data), -1);
        assert_int_equal(seen.messages, messages);
        wait_for(&seen.closed, i + 1);
    }
    // A message that is too long in sum.
    _cleanup_close_ int fd = open_websocket();
    struct str data;
    char *p = arena_zalloc(&fx.arena, 32768);
    for (unsigned i = 0; i < 5; i++)
        send_frame(fd, i == 0 ? 0x02 : 0x00, (struct str){p, 32768});
    assert_int_equal(read_frame(fd, &data), 0x88);
    assert_int_equal(close_code(data), 1009);
}

static void test_refused_upgrades(void **state)
{
    static const struct {
        const char *request;
        int status;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"POST /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
         400},
        {"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
         426},
        {"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2hvcnQ=\r\n\r\n",
         400},
    };
    (void)state;

    for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(ask(cases[i].request).status, cases[i].status);
}

static void test_frames_right_behind_the_upgrade(void **state)
{
    _cleanup_(buf_finishp) struct buf b = {0};
    struct str data;
    (void)state;

    buf_init(&b, 1 << 20);
    buf_add(&b, STR(UPGRADE "\r\n"));
    frame(&b, 0x81, STR("early"), true);
    _cleanup_close_ int fd = client_open();
    client_send(fd, buf_str(&b));
    assert_int_equal(client_read(fd, false).status, 101);
    assert_int_equal(read_frame(fd, &data), 0x81);
    assert_true(str_eq(data, STR("early")));
}

static atomic_uint drained;
static void on_listener_drained(void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&drained, 1);
}

static void drain(void *unused)
{
    (void)unused;
    http_listener_drain(fx.listener, 20000, on_listener_drained, NULL);
    fx.listener = NULL;
}

static void test_drain_says_goodbye(void **state)
{
    struct str data;
    (void)state;

    _cleanup_close_ int fd = open_websocket();
    loop_call(loop_at(0), drain, NULL);
    assert_int_equal(read_frame(fd, &data), 0x88);
    assert_int_equal(close_code(data), 1001);
    send_frame(fd, 0x88, STR("\x03\xe9"));
    wait_for(&drained, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_messages_come_back, start, stop),
        cmocka_unit_test_setup_teardown(test_closing, start, stop),
        cmocka_unit_test_setup_teardown(test_violations, start, stop),
        cmocka_unit_test_setup_teardown(test_refused_upgrades, start, stop),
        cmocka_unit_test_setup_teardown(test_frames_right_behind_the_upgrade, start, stop),
        cmocka_unit_test_setup_teardown(test_drain_says_goodbye, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
