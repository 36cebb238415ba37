// test_http2_violations.c - HTTP/2 clients that break the rules of RFC 9113 and RFC 7541, flood,
// or stop: what the server says, and that it still answers others.
//
// h2spec covers much of the same from outside (test/sdk/test_http2.py) where it is installed.
#include "http2_client.h"

#include <poll.h>
#include <stdio.h>

// GET https://x/
#define GET_X "\x82\x84\x87\x41\x01x"
#define POST_X "\x83\x84\x87\x41\x01x"
#define HOLD_X "\x82\x44\x05/hold\x87\x41\x01x"

enum {
    NO_ERROR,
    PROTOCOL,
    INTERNAL,
    FLOW,
    TIMEOUT,
    CLOSED,
    SIZE,
    REFUSED,
    CANCEL,
    COMPRESSION,
    _C,
    CALM
};
enum kind { GOES = 'G', RESETS = 'R', EITHER = 'E', ANSWERS = 'A' };

struct piece {
    unsigned char type, flags;
    unsigned id;
    struct str data;
};

struct violation {
    const char *what;
    struct piece frames[4];
    enum kind kind; // GOAWAY, RST_STREAM, one of them, or an answer with the status
    unsigned code;
};

#define F(type, flags, id, text)                                                                   \
    {                                                                                              \
        type, flags, id, STR_INIT(text)                                                            \
    }
#define S F(SETTINGS, 0, 0, "")
#define END 0x1
#define ENDH 0x4
#define BOTH 0x5
#define PADDED 0x8
#define WEIGHED 0x20

static const struct violation framing[] = {
    {"no settings first", {F(HEADERS, BOTH, 1, GET_X)}, GOES, PROTOCOL},
    {"data on stream 0", {S, F(DATA, END, 0, "x")}, GOES, PROTOCOL},
    {"data on an idle stream", {S, F(DATA, END, 1, "x")}, GOES, PROTOCOL},
    {"data after the end", {S, F(HEADERS, BOTH, 1, HOLD_X), F(DATA, END, 1, "x")}, EITHER, CLOSED},
    {"padding as long as data",
     {S, F(HEADERS, ENDH, 1, POST_X), F(DATA, PADDED | END, 1, "\x05xxxx")},
     GOES,
     PROTOCOL},
    {"headers on stream 0", {S, F(HEADERS, BOTH, 0, GET_X)}, GOES, PROTOCOL},
    {"headers on an even stream", {S, F(HEADERS, BOTH, 2, GET_X)}, GOES, PROTOCOL},
    {"a smaller number",
     {S, F(HEADERS, BOTH, 5, HOLD_X), F(HEADERS, BOTH, 3, GET_X)},
     GOES,
     PROTOCOL},
    {"headers after the end",
     {S, F(HEADERS, BOTH, 1, HOLD_X), F(HEADERS, BOTH, 1, GET_X)},
     EITHER,
     CLOSED},
    {"padding as long as headers", {S, F(HEADERS, BOTH | PADDED, 1, "\x09" GET_X)}, GOES, PROTOCOL},
    {"headers that need themselves",
     {S, F(HEADERS, BOTH | WEIGHED, 1, "\0\0\0\x01\x10" GET_X)},
     EITHER,
     PROTOCOL},
    {"priority on stream 0", {S, F(PRIORITY, 0, 0, "\0\0\0\x03\x10")}, GOES, PROTOCOL},
    {"priority of itself", {S, F(PRIORITY, 0, 1, "\0\0\0\x01\x10")}, EITHER, PROTOCOL},
    {"a short priority", {S, F(PRIORITY, 0, 1, "\0\0\0\x03")}, EITHER, SIZE},
    {"reset of stream 0", {S, F(RST, 0, 0, "\0\0\0\x08")}, GOES, PROTOCOL},
    {"reset of an idle stream", {S, F(RST, 0, 1, "\0\0\0\x08")}, GOES, PROTOCOL},
    {"a short reset", {S, F(HEADERS, BOTH, 1, HOLD_X), F(RST, 0, 1, "\0\0\x08")}, GOES, SIZE},
    {"settings on a stream", {F(SETTINGS, 0, 1, "")}, GOES, PROTOCOL},
    {"settings cut", {F(SETTINGS, 0, 0, "\0\x03\0\0")}, GOES, SIZE},
    {"acknowledged with something", {S, F(SETTINGS, 1, 0, "\0\x03\0\0\0\x01")}, GOES, SIZE},
    {"push of 2", {F(SETTINGS, 0, 0, "\0\x02\0\0\0\x02")}, GOES, PROTOCOL},
    {"a window of 2^31", {F(SETTINGS, 0, 0, "\0\x04\x80\0\0\0")}, GOES, FLOW},
    {"frames of 100", {F(SETTINGS, 0, 0, "\0\x05\0\0\0\x64")}, GOES, PROTOCOL},
    {"frames of 2^24", {F(SETTINGS, 0, 0, "\0\x05\x01\0\0\0")}, GOES, PROTOCOL},
    {"a promise from a client", {S, F(PUSH, ENDH, 1, "\0\0\0\x02" GET_X)}, GOES, PROTOCOL},
    {"ping on a stream", {S, F(PING, 0, 1, "12345678")}, GOES, PROTOCOL},
    {"a short ping", {S, F(PING, 0, 0, "123456")}, GOES, SIZE},
    {"goaway on a stream", {S, F(GOAWAY, 0, 1, "\0\0\0\0\0\0\0\0")}, GOES, PROTOCOL},
    {"window + 0", {S, F(WINDOW, 0, 0, "\0\0\0\0")}, GOES, PROTOCOL},
    {"stream's window + 0",
     {S, F(HEADERS, BOTH, 1, HOLD_X), F(WINDOW, 0, 1, "\0\0\0\0")},
     EITHER,
     PROTOCOL},
    {"a short window", {S, F(WINDOW, 0, 0, "\0\0\x01")}, GOES, SIZE},
    {"too large a window", {S, F(WINDOW, 0, 0, "\x7f\xff\xff\xff")}, GOES, FLOW},
    {"too large a stream's window",
     {S, F(HEADERS, BOTH, 1, HOLD_X), F(WINDOW, 0, 1, "\x7f\xff\xff\xff")},
     EITHER,
     FLOW},
    {"window of an idle stream", {S, F(WINDOW, 0, 1, "\0\0\0\x01")}, GOES, PROTOCOL},
    {"settings that make the window too large",
     {F(SETTINGS, 0, 0, "\0\x04\0\0\xff\xff"), F(HEADERS, BOTH, 1, HOLD_X),
      F(WINDOW, 0, 1, "\x7f\xff\0\0"), F(SETTINGS, 0, 0, "\0\x04\x7f\xff\xff\xff")},
     EITHER,
     FLOW},
    {"a continuation of nothing", {S, F(CONT, ENDH, 1, GET_X)}, GOES, PROTOCOL},
    {"a continuation of what is complete",
     {S, F(HEADERS, BOTH, 1, HOLD_X), F(CONT, ENDH, 1, "\x40\x01y\x01z")},
     GOES,
     PROTOCOL},
    {"ping between continuations",
     {S, F(HEADERS, END, 1, GET_X), F(PING, 0, 0, "12345678")},
     GOES,
     PROTOCOL},
    {"unknown frame between continuations",
     {S, F(HEADERS, END, 1, GET_X), F(0x77, 0, 1, "?")},
     GOES,
     PROTOCOL},
    {"a continuation of another stream",
     {S, F(HEADERS, END, 1, GET_X), F(CONT, ENDH, 3, "\x40\x01y\x01z")},
     GOES,
     PROTOCOL},
    {"index 0", {S, F(HEADERS, BOTH, 1, GET_X "\x80")}, GOES, COMPRESSION},
    {"index 70 of nothing", {S, F(HEADERS, BOTH, 1, GET_X "\xc6")}, GOES, COMPRESSION},
    {"index without end",
     {S, F(HEADERS, BOTH, 1, GET_X "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")},
     GOES,
     COMPRESSION},
    {"a string cut off", {S, F(HEADERS, BOTH, 1, GET_X "\x40\x7fyy")}, GOES, COMPRESSION},
    {"a string of 2^32",
     {S, F(HEADERS, BOTH, 1, GET_X "\x40\x7f\xff\xff\xff\xff\xff\x0fyy")},
     GOES,
     COMPRESSION},
    {"too large a table", {S, F(HEADERS, BOTH, 1, "\x3f\xff\xff\x7f" GET_X)}, GOES, COMPRESSION},
    {"table's size at the end", {S, F(HEADERS, BOTH, 1, GET_X "\x20")}, GOES, COMPRESSION},
    {"Huffman's end of string",
     {S, F(HEADERS, BOTH, 1, GET_X "\x40\x84\xff\xff\xff\xff\x01z")},
     GOES,
     COMPRESSION},
    {"Huffman padded with zeros",
     {S, F(HEADERS, BOTH, 1, GET_X "\x40\x81\x18\x01z")},
     GOES,
     COMPRESSION},
};

static const struct violation messages[] = {
    {"capital name", {S, F(HEADERS, BOTH, 1, GET_X "\x40\x01Y\x01z")}, RESETS, PROTOCOL},
    {"connection header",
     {S, F(HEADERS, BOTH, 1,
           GET_X "\x40\x0a"
                 "connection\x01z")},
     RESETS,
     PROTOCOL},
    {"transfer-encoding",
     {S, F(HEADERS, BOTH, 1,
           GET_X "\x40\x11transfer-encoding\x07"
                 "chunked")},
     RESETS,
     PROTOCOL},
    {"te", {S, F(HEADERS, BOTH, 1, GET_X "\x40\x02te\x04gzip")}, RESETS, PROTOCOL},
    {"no path", {S, F(HEADERS, BOTH, 1, "\x82\x87\x41\x01x")}, RESETS, PROTOCOL},
    {"no method", {S, F(HEADERS, BOTH, 1, "\x84\x87\x41\x01x")}, RESETS, PROTOCOL},
    {"no scheme", {S, F(HEADERS, BOTH, 1, "\x82\x84\x41\x01x")}, RESETS, PROTOCOL},
    {"an empty path", {S, F(HEADERS, BOTH, 1, "\x82\x44\0\x87\x41\x01x")}, RESETS, PROTOCOL},
    {"two methods", {S, F(HEADERS, BOTH, 1, "\x82\x83\x84\x87\x41\x01x")}, RESETS, PROTOCOL},
    {"two paths", {S, F(HEADERS, BOTH, 1, "\x82\x84\x85\x87\x41\x01x")}, RESETS, PROTOCOL},
    {"a status", {S, F(HEADERS, BOTH, 1, "\x88" GET_X)}, RESETS, PROTOCOL},
    {"an unknown pseudo header",
     {S, F(HEADERS, BOTH, 1, "\x40\x02:x\x01z" GET_X)},
     RESETS,
     PROTOCOL},
    {"pseudo after others",
     {S, F(HEADERS, BOTH, 1, "\x82\x87\x41\x01x\x40\x01y\x01z\x84")},
     RESETS,
     PROTOCOL},
    {"line break in a value",
     {S, F(HEADERS, BOTH, 1,
           GET_X "\x40\x01y\x03"
                 "a\nb")},
     RESETS,
     PROTOCOL},
    {"NUL in a value",
     {S, F(HEADERS, BOTH, 1,
           GET_X "\x40\x01y\x03"
                 "a\0b")},
     RESETS,
     PROTOCOL},
    {"two hosts that differ",
     {S, F(HEADERS, BOTH, 1, GET_X "\x66\x01y\x66\x01z")},
     RESETS,
     PROTOCOL},
    {"bad authority", {S, F(HEADERS, BOTH, 1, "\x82\x84\x87\x41\x03x/y")}, RESETS, PROTOCOL},
    {"bad path", {S, F(HEADERS, BOTH, 1, "\x82\x44\x03/#a\x87\x41\x01x")}, ANSWERS, 400},
    {"connect",
     {S, F(HEADERS, ENDH, 1,
           "\x42\x07"
           "CONNECT\x41\x03x:1")},
     ANSWERS,
     400},
    {"a shorter body than it says",
     {S,
      F(HEADERS, ENDH, 1,
        POST_X "\x5c\x01"
               "5"),
      F(DATA, END, 1, "four")},
     RESETS,
     PROTOCOL},
    {"a longer body than it says",
     {S,
      F(HEADERS, ENDH, 1,
        POST_X "\x5c\x01"
               "3"),
      F(DATA, END, 1, "four")},
     RESETS,
     PROTOCOL},
    {"a length that is no number",
     {S,
      F(HEADERS, ENDH, 1,
        POST_X "\x5c\x02"
               "+3"),
      F(DATA, END, 1, "123")},
     RESETS,
     PROTOCOL},
    {"two lengths",
     {S,
      F(HEADERS, ENDH, 1,
        POST_X "\x5c\x01"
               "3\x5c\x01"
               "4"),
      F(DATA, END, 1, "123")},
     RESETS,
     PROTOCOL},
    {"trailers without an end",
     {S, F(HEADERS, ENDH, 1, POST_X), F(HEADERS, ENDH, 1, "\x40\x01y\x01z")},
     EITHER,
     PROTOCOL},
    {"a pseudo header in trailers",
     {S, F(HEADERS, ENDH, 1, POST_X), F(HEADERS, BOTH, 1, "\x82")},
     RESETS,
     PROTOCOL},
    // What must not disturb.
    {"unknown frames and settings",
     {F(SETTINGS, 0, 0, "\xfe\xfe\0\0\0\x01"), F(0x77, 0xff, 0, "?"), F(HEADERS, BOTH, 1, GET_X)},
     ANSWERS,
     200},
    {"unknown flags, a reserved bit",
     {S, F(HEADERS, BOTH | 0x40, 0x80000001, GET_X)},
     ANSWERS,
     200},
    {"gaps between streams", {S, F(HEADERS, BOTH, 77, GET_X)}, ANSWERS, 200},
    {"priority of an idle stream",
     {S, F(PRIORITY, 0, 9, "\0\0\0\x07\x10"), F(HEADERS, BOTH, 1, GET_X)},
     ANSWERS,
     200},
};

// The status of a block of headers that the server has made: indexed, or literal with the name's
// index.
static unsigned status_in(struct str block)
{
    static const unsigned indexed[] = {200, 204, 206, 304, 400, 404, 500};
    unsigned char first = block.len > 0 ? (unsigned char)block.ptr[0] : 0;

    if (first >= 0x88 && first <= 0x8e)
        return indexed[first - 0x88];
    return 0;
}

// What the server says to it: kind and code of the first telling frame.
static unsigned reaction(SSL *ssl, enum kind *kind)
{
    struct str data;
    unsigned id;
    int type;

    while ((type = http2_read(ssl, &id, &data)) >= 0) {
        if (type == GOAWAY && data.len >= 8)
            return *kind = GOES, (unsigned char)data.ptr[7];
        if (type == RST && data.len == 4)
            return *kind = RESETS, (unsigned char)data.ptr[3];
        if (type == HEADERS)
            return *kind = ANSWERS, status_in(data);
    }
    return *kind = 0, 0;
}

static void violate(const struct violation *v)
{
    _cleanup_(buf_finishp) struct buf b = {0};
    unsigned handled = fx.handled;
    enum kind kind = 0;
    int fd;

    buf_init(&b, 1 << 20);
    for (unsigned i = 0; i < 4 && v->frames[i].data.ptr; i++)
        http2_put(&b, v->frames[i].type, v->frames[i].flags, v->frames[i].id, v->frames[i].data);
    SSL *ssl = http2_open(&fd);
    assert_int_equal(SSL_write(ssl, b.ptr, (int)b.len), b.len);
    unsigned code = reaction(ssl, &kind);
    bool fits = kind == v->kind || (v->kind == EITHER && (kind == GOES || kind == RESETS));
    if (!fits || code != v->code)
        fail_msg("%s: %c %u", v->what, kind ? kind : '-', code);
    if (v->kind != ANSWERS && kind == RESETS && fx.handled != handled &&
        !str_eq(v->frames[1].data, STR(HOLD_X)))
        fail_msg("%s: was handled", v->what);
    http2_close(ssl, fd);
}

static void still_answers(void)
{
    static const struct violation plain = {
        "a plain request", {S, F(HEADERS, BOTH, 1, GET_X)}, ANSWERS, 200};

    violate(&plain);
}

static void test_framing_violations(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(framing); i++)
        violate(&framing[i]);
    still_answers();
}

static void test_message_violations(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(messages); i++)
        violate(&messages[i]);
}

static void test_not_http2_at_all(void **state)
{
    struct str data;
    int fd;
    (void)state;

    SSL *ssl = http2_open(&fd);
    assert_true(SSL_write(ssl, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27) > 0);
    while (http2_next(ssl, 99, &data))
        ;
    http2_close(ssl, fd);
}

static void test_too_long_a_frame(void **state)
{
    _cleanup_(buf_finishp) struct buf b = {0};
    enum kind kind;
    int fd;
    (void)state;

    buf_init(&b, 1 << 20);
    http2_put(&b, SETTINGS, 0, 0, STR(""));
    http2_put(&b, HEADERS, ENDH, 1, STR(POST_X));
    http2_put(&b, DATA, END, 1, (struct str){arena_zalloc(&fx.arena, 16385), 16385});
    SSL *ssl = http2_open(&fd);
    assert_int_equal(SSL_write(ssl, b.ptr, (int)b.len), b.len);
    assert_int_equal(reaction(ssl, &kind), SIZE);
    http2_close(ssl, fd);
}

// ---- floods ----

static void flood_of_resets(struct buf *b, unsigned i)
{
    http2_put(b, HEADERS, BOTH, 2 * i + 1, STR(GET_X));
    http2_put(b, RST, 0, 2 * i + 1, STR("\0\0\0\x08"));
}

// The server is made to reset what the client opens.
static void flood_of_bad_requests(struct buf *b, unsigned i)
{
    http2_put(b, HEADERS, BOTH, 2 * i + 1, STR(GET_X "\x40\x01Y\x01z"));
}

static void flood_of_pings(struct buf *b, unsigned i)
{
    (void)i;
    http2_put(b, PING, 0, 0, STR("12345678"));
}

static void flood_of_settings(struct buf *b, unsigned i)
{
    (void)i;
    http2_put(b, SETTINGS, 0, 0, STR(""));
}

static void flood_of_table_sizes(struct buf *b, unsigned i)
{
    http2_put(b, SETTINGS, 0, 0, i % 2 ? STR("\0\x01\0\0\x10\0") : STR("\0\x01\0\0\0\0"));
}

static void flood_of_empty_data(struct buf *b, unsigned i)
{
    if (i == 0)
        http2_put(b, HEADERS, ENDH, 1, STR(POST_X));
    http2_put(b, DATA, 0, 1, STR(""));
}

static void flood_of_continuations(struct buf *b, unsigned i)
{
    if (i == 0)
        http2_put(b, HEADERS, 0, 1, STR(GET_X));
    http2_put(b, CONT, 0, 1, STR("\x40\x01y\x01z"));
}

static void flood_of_empty_continuations(struct buf *b, unsigned i)
{
    if (i == 0)
        http2_put(b, HEADERS, 0, 1, STR(GET_X));
    http2_put(b, CONT, 0, 1, STR(""));
}

// A and B are made to need one another, again and again.
static void flood_of_priorities(struct buf *b, unsigned i)
{
    http2_put(b, PRIORITY, 0, i % 2 ? 3 : 1, i % 2 ? STR("\0\0\0\x01\xff") : STR("\0\0\0\x03\xff"));
}

static const struct {
    const char *what;
    void (*add)(struct buf *b, unsigned i);
    unsigned code;
} floods[] = {
    {"resets", flood_of_resets, CALM},
    {"bad requests", flood_of_bad_requests, CALM},
    {"pings", flood_of_pings, CALM},
    {"settings", flood_of_settings, CALM},
    {"table sizes", flood_of_table_sizes, CALM},
    {"empty data", flood_of_empty_data, CALM},
    {"priorities", flood_of_priorities, CALM},
    {"continuations", flood_of_continuations, PROTOCOL},
    {"empty continuations", flood_of_empty_continuations, PROTOCOL},
};

static void test_floods_are_cut_off(void **state)
{
    (void)state;
    for (unsigned k = 0; k < ARRAY_LEN(floods); k++) {
        _cleanup_(buf_finishp) struct buf b = {0};
        unsigned handled = fx.handled;
        struct str data;
        int fd;
        buf_init(&b, 8 << 20);
        http2_put(&b, SETTINGS, 0, 0, STR(""));
        for (unsigned i = 0; i < 6000; i++)
            floods[k].add(&b, i);
        SSL *ssl = http2_open(&fd);
        for (size_t at = 0; at < b.len;) { // the server may close before it has read all
            size_t n = b.len - at < 4096 ? b.len - at : 4096;
            if (SSL_write(ssl, b.ptr + at, (int)n) <= 0)
                break;
            at += n;
        }
        // A reset may take the last words away.
        if (http2_next(ssl, GOAWAY, &data) && (unsigned char)data.ptr[7] != floods[k].code)
            fail_msg("%s: code %d", floods[k].what, data.ptr[7]);
        while (http2_next(ssl, 99, &data))
            ;
        http2_close(ssl, fd);
        assert_true(fx.handled - handled < 1000);
    }
    still_answers();
}

// A few hundred bytes that mean 60 MB of headers: refused, and not kept.
static void test_a_header_bomb(void **state)
{
    _cleanup_(buf_finishp) struct buf b = {0}, block = {0};
    unsigned handled = fx.handled;
    enum kind kind = 0;
    int fd;
    (void)state;

    buf_init(&b, 1 << 20);
    buf_init(&block, 1 << 20);
    buf_add(&block, STR(GET_X "\x40\x01y\x7f\x81\x1e")); // y: a value of 4,000 bytes, remembered
    buf_add(&block, (struct str){arena_zalloc(&fx.arena, 4000), 4000});
    memset(block.ptr + block.len - 4000, 'z', 4000);
    while (block.len < 16000)
        buf_add_char(&block, '\xbe'); // the same again
    http2_put(&b, SETTINGS, 0, 0, STR(""));
    http2_put(&b, HEADERS, BOTH, 1, buf_str(&block));
    SSL *ssl = http2_open(&fd);
    assert_int_equal(SSL_write(ssl, b.ptr, (int)b.len), b.len);
    reaction(ssl, &kind);
    assert_true(kind != 0);
    assert_int_equal(fx.handled, handled);
    http2_close(ssl, fd);
    still_answers();
}

// ---- clients that stop ----

static void impatient(struct http_listener_config *config)
{
    config->limits.body_ms = config->limits.write_ms = 300;
}

static int start_impatient(void **state)
{
    (void)state;
    return http2_setup_with(impatient);
}

// Pings go on coming: the connection lives, the streams that stand still do not.
static void test_streams_that_stand_still(void **state)
{
    static const struct {
        const char *what;
        unsigned flags;
        struct str block, settings;
    } cases[] = {
        {"a window of 0", BOTH, STR_INIT("\x82\x44\x04/big\x87\x41\x01x"),
         STR_INIT("\0\x04\0\0\0\0")},
        {"a window of 0 and a stream", BOTH, STR_INIT("\x82\x44\x07/stream\x87\x41\x01x"),
         STR_INIT("\0\x04\0\0\0\0")},
        {"a window of 0 and a file", BOTH, STR_INIT("\x82\x44\x05/file\x87\x41\x01x"),
         STR_INIT("\0\x04\0\0\0\0")},
        {"a body that does not come", ENDH, STR_INIT(POST_X), STR_INIT("")},
        {"a head without an end", 0, STR_INIT(POST_X), STR_INIT("")},
    };
    (void)state;

    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_(buf_finishp) struct buf b = {0};
        struct str data = STR("");
        unsigned id = 0;
        int fd, type;
        buf_init(&b, 1 << 20);
        http2_put(&b, SETTINGS, 0, 0, cases[i].settings);
        http2_put(&b, HEADERS, cases[i].flags, 1, cases[i].block);
        SSL *ssl = http2_open(&fd);
        assert_int_equal(SSL_write(ssl, b.ptr, (int)b.len), b.len);
        buf_reset(&b);
        http2_put(&b, PING, 0, 0, STR("12345678"));
        do {
            struct pollfd ready = {.fd = fd, .events = POLLIN};
            while (SSL_pending(ssl) == 0 && poll(&ready, 1, 100) == 0)
                if (cases[i].flags) // not inside of a head
                    SSL_write(ssl, b.ptr, (int)b.len);
            type = http2_read(ssl, &id, &data);
        } while (type >= 0 && type != RST);
        if (cases[i].flags && (type != RST || id != 1 || data.ptr[3] != CANCEL))
            fail_msg("%s: %d %u", cases[i].what, type, id);
        http2_close(ssl, fd);
    }
    still_answers();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_framing_violations, http2_setup, http2_teardown),
        cmocka_unit_test_setup_teardown(test_message_violations, http2_setup, http2_teardown),
        cmocka_unit_test_setup_teardown(test_not_http2_at_all, http2_setup, http2_teardown),
        cmocka_unit_test_setup_teardown(test_too_long_a_frame, http2_setup, http2_teardown),
        cmocka_unit_test_setup_teardown(test_floods_are_cut_off, http2_setup, http2_teardown),
        cmocka_unit_test_setup_teardown(test_a_header_bomb, http2_setup, http2_teardown),
        cmocka_unit_test_setup_teardown(test_streams_that_stand_still, start_impatient,
                                        http2_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
