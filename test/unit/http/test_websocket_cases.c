// test_websocket_cases.c - the cases by which WebSocket servers are usually measured: framing,
// pings, reserved bits and opcodes, fragments, UTF-8 as it comes, closing, limits.
//
// A case is what the client sends and what it must hear. Each is run with everything in one write
// and byte by byte. Numbers in the names are the sections of RFC 6455 where they are not obvious.
#include "fixture.h"

#include "http/websocket.h"
#include "os/fd.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define UPGRADE                                                                                    \
    "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                 \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

enum {
    CONT = 0x00,
    TEXT = 0x01,
    BIN = 0x02,
    FIN = 0x80,
    CLOSE = 0x88,
    PING = 0x89,
    PONG = 0x8a,
    FTEXT = FIN | TEXT,
    FBIN = FIN | BIN,
    FCONT = FIN,
};
#define MAX_FRAMES 12

struct wire_frame {
    unsigned first; // FIN, reserved bits, opcode; 0 with no data and no fill ends a list
    struct str data;
    unsigned fill; // instead of data: so many bytes 'x'
};

struct wire_case {
    const char *what;
    struct wire_frame sent[MAX_FRAMES];
    struct wire_frame heard[MAX_FRAMES];
    int code; // the server closes with it; 0: it goes on
};

#define D(text) STR_INIT(text)
#define CODE(hex) STR_INIT(hex)

static atomic_uint n_closed;

static void on_message(struct http_websocket *ws, bool text, struct str data)
{
    http_websocket_send(ws, text, data);
}

static void on_closed(struct http_websocket *ws, int code, struct str reason)
{
    (void)ws;
    (void)code;
    (void)reason;
    atomic_fetch_add(&n_closed, 1);
}

static void handle(void *ctx, struct http_request *req)
{
    static const struct http_websocket_callbacks callbacks = {.message = on_message,
                                                              .closed = on_closed};
    (void)ctx;
    http_websocket_accept(req, &callbacks, NULL, NULL, 0);
}

static void with_websockets(struct http_listener_config *config)
{
    config->handle = handle;
    config->on_headers = NULL;
}

static int start(void **state)
{
    (void)state;
    return fixture_start(1, with_websockets);
}

static int stop(void **state)
{
    (void)state;
    return fixture_stop();
}

// ---- the client ----

static void add_frame(struct buf *b, unsigned first, struct str data)
{
    static const char key[4] = {0x37, (char)0xfa, 0x21, 0x3d};

    buf_add_char(b, (char)first);
    if (data.len < 126) {
        buf_add_char(b, (char)(data.len | 0x80));
    } else if (data.len < 65536) {
        buf_add_char(b, (char)(126 | 0x80));
        buf_add_char(b, (char)(data.len >> 8));
        buf_add_char(b, (char)data.len);
    } else {
        buf_add_char(b, (char)(127 | 0x80));
        for (int i = 0; i < 8; i++)
            buf_add_char(b, (char)((uint64_t)data.len >> (56 - 8 * i)));
    }
    buf_add(b, (struct str){key, 4});
    for (size_t i = 0; i < data.len; i++)
        buf_add_char(b, (char)(data.ptr[i] ^ key[i % 4]));
}

static int open_websocket(void)
{
    int fd = client_open(), on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    client_sendz(fd, UPGRADE "\r\n");
    assert_int_equal(client_read(fd, false).status, 101);
    return fd;
}

// One frame of the server's: its first byte, or -1 at the end.
static int read_frame(int fd, struct str *data)
{
    unsigned char head[10];

    if (fd_read_full(fd, head, 2) != 2)
        return -1;
    size_t n = head[1]; // never masked
    if (n == 126) {
        assert_int_equal(fd_read_full(fd, head + 2, 2), 2);
        n = (size_t)head[2] << 8 | head[3];
    } else if (n == 127) {
        assert_int_equal(fd_read_full(fd, head + 2, 8), 8);
        n = 0;
        for (int i = 0; i < 8; i++)
            n = n << 8 | head[2 + i];
    }
    assert_true(n <= WEBSOCKET_MAX_MESSAGE_BYTES);
    char *p = arena_alloc(&fx.arena, n + 1);
    assert_int_equal(fd_read_full(fd, p, n), n);
    *data = (struct str){p, n};
    return head[0];
}

static struct str data_of(const struct wire_frame *f)
{
    if (f->fill == 0)
        return f->data.ptr ? f->data : STR("");
    char *p = arena_alloc(&fx.arena, f->fill);
    memset(p, 'x', f->fill);
    return (struct str){p, f->fill};
}

static bool is_end(const struct wire_frame *f)
{
    return !f->data.ptr && f->fill == 0;
}

static void run_case(const struct wire_case *k, size_t piece)
{
    _cleanup_(buf_finishp) struct buf b = {0};
    struct str data = STR("");
    unsigned before = n_closed;
    int fd = open_websocket(), first;

    buf_init(&b, 1 << 20);
    for (unsigned i = 0; i < MAX_FRAMES && !is_end(&k->sent[i]); i++)
        add_frame(&b, k->sent[i].first, data_of(&k->sent[i]));
    for (size_t at = 0; at < b.len; at += piece) {
        size_t n = b.len - at < piece ? b.len - at : piece;
        if (send(fd, b.ptr + at, n, MSG_NOSIGNAL) != (ssize_t)n)
            break; // it has closed already
    }
    for (unsigned i = 0; i < MAX_FRAMES && !is_end(&k->heard[i]); i++) {
        first = read_frame(fd, &data);
        struct str wanted = data_of(&k->heard[i]);
        if (first != (int)k->heard[i].first || !str_eq(data, wanted))
            fail_msg("%s (by %zu): frame %u is %x of %zu bytes", k->what, piece, i, first,
                     data.len);
    }
    if (k->code == 0) { // it is still there, and in step
        data = STR("");
        _cleanup_(buf_finishp) struct buf ping = {0};
        buf_init(&ping, 64);
        add_frame(&ping, PING, STR("still?"));
        client_send(fd, buf_str(&ping));
        if (read_frame(fd, &data) != PONG || !str_eq(data, STR("still?")))
            fail_msg("%s (by %zu): it does not go on", k->what, piece);
        close(fd);
        wait_for(&n_closed, before + 1);
        return;
    }
    first = read_frame(fd, &data);
    int code = data.len < 2 ? 1005 : (unsigned char)data.ptr[0] << 8 | (unsigned char)data.ptr[1];
    if (first != CLOSE || code != k->code)
        fail_msg("%s (by %zu): %x %d", k->what, piece, first, code);
    // What was sent behind it may be answered by a reset: an error is an end too.
    char rest;
    if (recv(fd, &rest, 1, 0) > 0)
        fail_msg("%s (by %zu): it goes on after the close frame", k->what, piece);
    close(fd);
    wait_for(&n_closed, before + 1);
}

static void run_cases(const struct wire_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t bytes = 0;
        for (unsigned f = 0; f < MAX_FRAMES; f++)
            bytes += cases[i].sent[f].fill;
        run_case(&cases[i], SIZE_MAX / 2);
        run_case(&cases[i], bytes > 5000 ? 997 : 1);
    }
}

// ---- the cases ----

static void test_framing(void **state)
{
    static const struct wire_case cases[] = {
        {"empty text", {{FTEXT, D(""), 0}}, {{FTEXT, D(""), 0}}, 0},
        {"125 of text", {{FTEXT, .fill = 125}}, {{FTEXT, .fill = 125}}, 0},
        {"126 of text", {{FTEXT, .fill = 126}}, {{FTEXT, .fill = 126}}, 0},
        {"127 of text", {{FTEXT, .fill = 127}}, {{FTEXT, .fill = 127}}, 0},
        {"128 of text", {{FTEXT, .fill = 128}}, {{FTEXT, .fill = 128}}, 0},
        {"32,768 of text", {{FTEXT, .fill = 32768}}, {{FTEXT, .fill = 32768}}, 0},
        {"32,769 of text", {{FTEXT, .fill = 32769}}, {{0}}, 1009},
        {"65,536 of text", {{FTEXT, .fill = 65536}}, {{0}}, 1009},
        {"empty binary", {{FBIN, D(""), 0}}, {{FBIN, D(""), 0}}, 0},
        {"125 of binary", {{FBIN, .fill = 125}}, {{FBIN, .fill = 125}}, 0},
        {"126 of binary", {{FBIN, .fill = 126}}, {{FBIN, .fill = 126}}, 0},
        {"128 of binary", {{FBIN, .fill = 128}}, {{FBIN, .fill = 128}}, 0},
        {"32,768 of binary", {{FBIN, .fill = 32768}}, {{FBIN, .fill = 32768}}, 0},
        {"three messages",
         {{FTEXT, D("a"), 0}, {FBIN, D("b"), 0}, {FTEXT, D("c"), 0}},
         {{FTEXT, D("a"), 0}, {FBIN, D("b"), 0}, {FTEXT, D("c"), 0}},
         0},
    };
    (void)state;
    run_cases(cases, ARRAY_LEN(cases));
}

static void test_pings(void **state)
{
    static const struct wire_case cases[] = {
        {"empty ping", {{PING, D(""), 0}}, {{PONG, D(""), 0}}, 0},
        {"ping", {{PING, D("Hello, world!"), 0}}, {{PONG, D("Hello, world!"), 0}}, 0},
        {"binary ping", {{PING, D("\0\xff\xfe\xfd"), 0}}, {{PONG, D("\0\xff\xfe\xfd"), 0}}, 0},
        {"ping of 125", {{PING, .fill = 125}}, {{PONG, .fill = 125}}, 0},
        {"ping of 126", {{PING, .fill = 126}}, {{0}}, 1002},
        {"empty pong", {{PONG, D(""), 0}}, {{0}}, 0},
        {"pong that nobody asked for", {{PONG, D("unasked"), 0}}, {{0}}, 0},
        {"pong of 126", {{PONG, .fill = 126}}, {{0}}, 1002},
        {"pong, then ping",
         {{PONG, D("unasked"), 0}, {PING, D("ping"), 0}},
         {{PONG, D("ping"), 0}},
         0},
        {"ten pings",
         {{PING, D("0"), 0},
          {PING, D("1"), 0},
          {PING, D("2"), 0},
          {PING, D("3"), 0},
          {PING, D("4"), 0},
          {PING, D("5"), 0},
          {PING, D("6"), 0},
          {PING, D("7"), 0},
          {PING, D("8"), 0},
          {PING, D("9"), 0}},
         {{PONG, D("0"), 0},
          {PONG, D("1"), 0},
          {PONG, D("2"), 0},
          {PONG, D("3"), 0},
          {PONG, D("4"), 0},
          {PONG, D("5"), 0},
          {PONG, D("6"), 0},
          {PONG, D("7"), 0},
          {PONG, D("8"), 0},
          {PONG, D("9"), 0}},
         0},
    };
    (void)state;
    run_cases(cases, ARRAY_LEN(cases));
}

static void test_reserved_bits_and_opcodes(void **state)
{
    static const unsigned char opcodes[] = {3, 4, 5, 6, 7, 11, 12, 13, 14, 15};
    struct wire_case k = {.code = 1002};
    char what[64];
    (void)state;

    k.what = what;
    for (unsigned bits = 1; bits < 8; bits++) {
        static const unsigned char behind[] = {FTEXT, FBIN, PING, PONG, CLOSE, TEXT};
        for (unsigned i = 0; i < ARRAY_LEN(behind); i++) {
            snprintf(what, sizeof what, "reserved bits %u of %x", bits, behind[i]);
            k.sent[0] = (struct wire_frame){FTEXT, STR("good"), 0};
            k.sent[1] = (struct wire_frame){behind[i] | bits << 4, STR("\x03\xe8"), 0};
            k.sent[2] = (struct wire_frame){PING, STR(""), 0};
            k.heard[0] = k.sent[0];
            run_case(&k, SIZE_MAX / 2);
            run_case(&k, 1);
        }
    }
    for (unsigned i = 0; i < ARRAY_LEN(opcodes); i++) {
        for (unsigned fin = 0; fin <= 0x80; fin += 0x80) {
            for (unsigned n = 0; n < 2; n++) {
                snprintf(what, sizeof what, "opcode %u", opcodes[i]);
                k.sent[1] = (struct wire_frame){fin | opcodes[i], n ? STR("x") : STR(""), 0};
                run_case(&k, SIZE_MAX / 2);
                run_case(&k, 1);
            }
        }
    }
}

static void test_fragments(void **state)
{
    static const struct wire_case cases[] = {
        {"ping in two", {{0x09, D("a"), 0}, {FCONT, D("b"), 0}}, {{0}}, 1002},
        {"pong in two", {{0x0a, D("a"), 0}, {FCONT, D("b"), 0}}, {{0}}, 1002},
        {"close in two", {{0x08, D("\x03\xe8"), 0}, {FCONT, D("b"), 0}}, {{0}}, 1002},
        {"text in two", {{TEXT, D("one"), 0}, {FCONT, D("two"), 0}}, {{FTEXT, D("onetwo"), 0}}, 0},
        {"text in empty parts",
         {{TEXT, D(""), 0}, {CONT, D(""), 0}, {FCONT, D(""), 0}},
         {{FTEXT, D(""), 0}},
         0},
        {"text in three, the middle empty",
         {{TEXT, D("a"), 0}, {CONT, D(""), 0}, {FCONT, D("b"), 0}},
         {{FTEXT, D("ab"), 0}},
         0},
        {"text with a ping inside",
         {{TEXT, D("one"), 0}, {PING, D("p"), 0}, {FCONT, D("two"), 0}},
         {{PONG, D("p"), 0}, {FTEXT, D("onetwo"), 0}},
         0},
        {"text with pongs inside",
         {{TEXT, D("one"), 0}, {PONG, D("p"), 0}, {PONG, D("p"), 0}, {FCONT, D("two"), 0}},
         {{FTEXT, D("onetwo"), 0}},
         0},
        {"five parts with two pings",
         {{TEXT, D("1"), 0},
          {CONT, D("2"), 0},
          {PING, D("p1"), 0},
          {CONT, D("3"), 0},
          {CONT, D("4"), 0},
          {PING, D("p2"), 0},
          {FCONT, D("5"), 0}},
         {{PONG, D("p1"), 0}, {PONG, D("p2"), 0}, {FTEXT, D("12345"), 0}},
         0},
        {"a continuation first", {{FCONT, D("x"), 0}, {FTEXT, D("y"), 0}}, {{0}}, 1002},
        {"an open continuation first", {{CONT, D("x"), 0}, {FTEXT, D("y"), 0}}, {{0}}, 1002},
        {"a continuation after a message",
         {{FTEXT, D("x"), 0}, {FCONT, D("y"), 0}},
         {{FTEXT, D("x"), 0}},
         1002},
        {"text inside of text", {{TEXT, D("x"), 0}, {FTEXT, D("y"), 0}}, {{0}}, 1002},
        {"binary inside of text", {{TEXT, D("x"), 0}, {FBIN, D("y"), 0}}, {{0}}, 1002},
        {"open text inside of text", {{TEXT, D("x"), 0}, {TEXT, D("y"), 0}}, {{0}}, 1002},
        {"close inside of text",
         {{TEXT, D("x"), 0}, {CLOSE, CODE("\x03\xe8"), 0}, {FCONT, D("y"), 0}},
         {{0}},
         1000},
        {"binary in two",
         {{BIN, D("\xff"), 0}, {FCONT, D("\xfe"), 0}},
         {{FBIN, D("\xff\xfe"), 0}},
         0},
    };
    (void)state;
    run_cases(cases, ARRAY_LEN(cases));
}

// Markus Kuhn's decoder test has most of these.
static void test_text(void **state)
{
    static const struct str good[] = {STR_INIT("\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"),
                                      STR_INIT("\0"),
                                      STR_INIT("\xc2\x80"),
                                      STR_INIT("\xe0\xa0\x80"),
                                      STR_INIT("\xf0\x90\x80\x80"),
                                      STR_INIT("\x7f"),
                                      STR_INIT("\xdf\xbf"),
                                      STR_INIT("\xef\xbf\xbf"),
                                      STR_INIT("\xf4\x8f\xbf\xbf"),
                                      STR_INIT("\xed\x9f\xbf"),
                                      STR_INIT("\xee\x80\x80"),
                                      STR_INIT("\xef\xbf\xbd"),
                                      STR_INIT("\xef\xbf\xbe"),
                                      STR_INIT("\xef\xbb\xbf")};
    static const struct str bad[] = {STR_INIT("\xf4\x90\x80\x80"),
                                     STR_INIT("\xf8\x88\x80\x80\x80"),
                                     STR_INIT("\xfc\x84\x80\x80\x80\x80"),
                                     STR_INIT("\xf7\xbf\xbf\xbf"),
                                     STR_INIT("\x80"),
                                     STR_INIT("\xbf"),
                                     STR_INIT("\x80\xbf\x80"),
                                     STR_INIT("\xc0 "),
                                     STR_INIT("\xdf "),
                                     STR_INIT("\xe0 "),
                                     STR_INIT("\xef\xbf "),
                                     STR_INIT("\xf0\x90\x80 "),
                                     STR_INIT("\xfe"),
                                     STR_INIT("\xff"),
                                     STR_INIT("\xc0\xaf"),
                                     STR_INIT("\xe0\x80\xaf"),
                                     STR_INIT("\xf0\x80\x80\xaf"),
                                     STR_INIT("\xc1\xbf"),
                                     STR_INIT("\xe0\x9f\xbf"),
                                     STR_INIT("\xf0\x8f\xbf\xbf"),
                                     STR_INIT("\xed\xa0\x80"),
                                     STR_INIT("\xed\xbf\xbf"),
                                     STR_INIT("\xed\xa0\x80\xed\xb0\x80"),
                                     STR_INIT("\xc2")};
    struct wire_case k;
    char what[64];
    (void)state;

    for (unsigned i = 0; i < ARRAY_LEN(good); i++) {
        snprintf(what, sizeof what, "good text %u", i);
        k = (struct wire_case){.what = what};
        k.sent[0] = k.heard[0] = (struct wire_frame){FTEXT, good[i], 0};
        run_case(&k, SIZE_MAX / 2);
        run_case(&k, 1);
        // A frame for each byte.
        memset(k.sent, 0, sizeof k.sent);
        for (size_t n = 0; n < good[i].len && n + 1 < MAX_FRAMES; n++)
            k.sent[n] = (struct wire_frame){
                (n ? CONT : TEXT) | (n + 1 == good[i].len || n + 2 == MAX_FRAMES ? FIN : 0),
                {good[i].ptr + n, 1},
                0};
        if (good[i].len + 1 < MAX_FRAMES)
            run_case(&k, SIZE_MAX / 2);
    }
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        snprintf(what, sizeof what, "bad text %u", i);
        k = (struct wire_case){.what = what, .code = 1007};
        k.sent[0] = (struct wire_frame){FTEXT, bad[i], 0};
        run_case(&k, SIZE_MAX / 2);
        run_case(&k, 1);
        k.sent[0].first = FBIN; // which it may well be
        k.heard[0] = k.sent[0];
        k.code = 0;
        run_case(&k, SIZE_MAX / 2);
    }
}

// What cannot become UTF-8 any more is answered at once, though neither its frame nor its message
// has come to an end.
static void test_text_fails_early(void **state)
{
    static const struct str beginnings[] = {
        // A frame of 100 bytes, masked with zeros, of which only these have come.
        STR_INIT("\x81\xe4\0\0\0\0abc\xff"), STR_INIT("\x01\xe4\0\0\0\0abc\xf4\x90"),
        STR_INIT("\x81\xe4\0\0\0\0\xed\xa0"), STR_INIT("\x81\xe4\0\0\0\0\xe0\x80"),
        // A whole frame of a message that goes on.
        STR_INIT("\x01\x82\0\0\0\0\xc3\x28"), STR_INIT("\x01\x81\0\0\0\0\xf0\x00\x81\0\0\0\0\x8f")};
    struct str data = STR("");
    (void)state;

    for (unsigned i = 0; i < ARRAY_LEN(beginnings); i++) {
        int fd = open_websocket();
        client_send(fd, beginnings[i]);
        assert_int_equal(read_frame(fd, &data), CLOSE);
        assert_int_equal((unsigned char)data.ptr[0] << 8 | (unsigned char)data.ptr[1], 1007);
        close(fd);
    }
}

static void test_closing(void **state)
{
    static const unsigned short good[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010,
                                          1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999};
    static const unsigned short bad[] = {0,    999,  1004, 1005, 1006, 1015,
                                         1016, 1100, 2000, 2999, 5000, 65535};
    static const struct wire_case cases[] = {
        {"a close without a word", {{CLOSE, D(""), 0}}, {{0}}, 1005},
        {"a close of one byte", {{CLOSE, D("\x03"), 0}}, {{0}}, 1002},
        {"a reason",
         {{CLOSE,
           D("\x03\xe8"
             "fin"),
           0}},
         {{0}},
         1000},
        {"a reason that is not UTF-8", {{CLOSE, D("\x03\xe8\xff"), 0}}, {{0}}, 1007},
        {"a reason cut in a character", {{CLOSE, D("\x03\xe8\xc3"), 0}}, {{0}}, 1007},
        {"a close of 126", {{CLOSE, .fill = 126}}, {{0}}, 1002},
        {"two closes", {{CLOSE, D("\x03\xe8"), 0}, {CLOSE, D("\x03\xe9"), 0}}, {{0}}, 1000},
        {"a ping behind", {{CLOSE, D("\x03\xe8"), 0}, {PING, D("p"), 0}}, {{0}}, 1000},
        {"a message behind", {{CLOSE, D("\x03\xe8"), 0}, {FTEXT, D("x"), 0}}, {{0}}, 1000},
        {"a message before",
         {{FTEXT, D("x"), 0}, {CLOSE, D("\x03\xe8"), 0}},
         {{FTEXT, D("x"), 0}},
         1000},
    };
    struct wire_case k = {.what = "close codes"};
    (void)state;

    run_cases(cases, ARRAY_LEN(cases));
    for (unsigned i = 0; i < ARRAY_LEN(good) + ARRAY_LEN(bad); i++) {
        bool ok = i < ARRAY_LEN(good);
        unsigned code = ok ? good[i] : bad[i - ARRAY_LEN(good)];
        const char bytes[] = {(char)(code >> 8), (char)code, 'r'};
        k.sent[0] = (struct wire_frame){CLOSE, {bytes, 2 + i % 2}, 0};
        k.code = ok ? (int)code : 1002;
        run_case(&k, SIZE_MAX / 2);
        run_case(&k, 1);
    }
    // The longest reason.
    char longest[125] = {0x03, (char)0xe8};
    memset(longest + 2, 'r', 123);
    k.sent[0] = (struct wire_frame){CLOSE, {longest, sizeof longest}, 0};
    k.code = 1000;
    run_case(&k, SIZE_MAX / 2);
}

// 128 KiB in frames of every size; one byte more is too much.
static void test_long_messages(void **state)
{
    static const unsigned sizes[] = {64, 256, 1024, 4096, 16384, 32768};
    char *p = arena_alloc(&fx.arena, 32768);
    struct str data;
    (void)state;

    memset(p, 'x', 32768);
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        for (unsigned more = 0; more < 2; more++) {
            _cleanup_(buf_finishp) struct buf b = {0};
            int fd = open_websocket();
            buf_init(&b, 1 << 20);
            unsigned n = WEBSOCKET_MAX_MESSAGE_BYTES / sizes[i];
            for (unsigned f = 0; f < n; f++)
                add_frame(&b, (f ? CONT : TEXT) | (f + 1 == n && !more ? FIN : 0),
                          (struct str){p, sizes[i]});
            if (more)
                add_frame(&b, FCONT, STR("x"));
            client_send(fd, buf_str(&b));
            int first = read_frame(fd, &data);
            if (more) {
                assert_int_equal(first, CLOSE);
                assert_int_equal((unsigned char)data.ptr[1], 1009 & 0xff);
            } else {
                assert_int_equal(first, FTEXT);
                assert_int_equal(data.len, WEBSOCKET_MAX_MESSAGE_BYTES);
            }
            close(fd);
        }
    }
}

// An extension that is offered and not agreed to is not used (section 9.1), nor is a protocol.
static void test_offers(void **state)
{
    (void)state;
    int fd = client_open();
    client_sendz(fd, UPGRADE "Sec-WebSocket-Extensions: permessage-deflate; "
                             "client_max_window_bits\r\nSec-WebSocket-Protocol: a, b\r\n\r\n");
    struct answer a = client_read(fd, false);
    assert_int_equal(a.status, 101);
    assert_true(str_find(a.head, STR("sec-websocket-extensions")) < 0);
    assert_true(str_find(a.head, STR("sec-websocket-protocol")) < 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_framing, start, stop),
        cmocka_unit_test_setup_teardown(test_pings, start, stop),
        cmocka_unit_test_setup_teardown(test_reserved_bits_and_opcodes, start, stop),
        cmocka_unit_test_setup_teardown(test_fragments, start, stop),
        cmocka_unit_test_setup_teardown(test_text, start, stop),
        cmocka_unit_test_setup_teardown(test_text_fails_early, start, stop),
        cmocka_unit_test_setup_teardown(test_closing, start, stop),
        cmocka_unit_test_setup_teardown(test_long_messages, start, stop),
        cmocka_unit_test_setup_teardown(test_offers, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
