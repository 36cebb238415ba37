// test_framing.c - what is refused, and what is not: one table of requests, each sent in one piece
// and byte by byte.
#include "fixture.h"

#include "os/fd.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define GET "GET / HTTP/1.1\r\nHost: x\r\n"
#define POST "POST / HTTP/1.1\r\nHost: x\r\n"

// `status` 0: closed without an answer. A refusal closes the connection.
static const struct {
    const char *what;
    struct str request;
    int status;
    const char *body; // of a 200, or NULL
} cases[] = {
    {"plain", STR_INIT(GET "\r\n"), 200, ""},
    {"http/1.0 without host", STR_INIT("GET / HTTP/1.0\r\n\r\n"), 200, ""},
    {"empty lines before", STR_INIT("\r\n\r\n" GET "\r\n"), 200, ""},
    {"length", STR_INIT(POST "Content-Length: 3\r\n\r\nabc"), 200, "abc"},
    {"length 0", STR_INIT(POST "Content-Length: 0\r\n\r\n"), 200, ""},
    {"chunked", STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
     200, "abcde"},
    {"chunked in capitals",
     STR_INIT(POST "TRANSFER-ENCODING: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n"), 200,
     "0123456789"},
    {"chunk extension",
     STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n"), 200, "abc"},
    {"trailers", STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 5\r\n\r\n"),
     200, "a"},
    {"upgrade is ignored",
     STR_INIT(POST "Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nab"), 200,
     "ab"},
    {"options *", STR_INIT("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"), 200, ""},
    {"value in utf-8", STR_INIT(GET "X-A: \xc3\xa4\r\n\r\n"), 200, ""},
    {"empty value", STR_INIT(GET "X-A:\r\nX-B: \r\n\r\n"), 200, ""},

    {"both lengths",
     STR_INIT(POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400, NULL},
    {"both lengths, other order",
     STR_INIT(POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"), 400, NULL},
    {"two lengths", STR_INIT(POST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"), 400, NULL},
    {"the same length twice", STR_INIT(POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
     400, NULL},
    {"length list", STR_INIT(POST "Content-Length: 3, 3\r\n\r\nabc"), 400, NULL},
    {"length +3", STR_INIT(POST "Content-Length: +3\r\n\r\nabc"), 400, NULL},
    {"length -3", STR_INIT(POST "Content-Length: -3\r\n\r\nabc"), 400, NULL},
    {"length 0x3", STR_INIT(POST "Content-Length: 0x3\r\n\r\nabc"), 400, NULL},
    {"length 3 3", STR_INIT(POST "Content-Length: 3 3\r\n\r\nabc"), 400, NULL},
    {"empty length", STR_INIT(POST "Content-Length:\r\n\r\n"), 400, NULL},
    {"length over 64 bits", STR_INIT(POST "Content-Length: 18446744073709551617\r\n\r\na"), 400,
     NULL},
    {"length over 63 bits", STR_INIT(POST "Content-Length: 9223372036854775808\r\n\r\na"), 400,
     NULL},
    {"length over the limit", STR_INIT(POST "Content-Length: 99999999999\r\n\r\na"), 413, NULL},
    {"two encodings",
     STR_INIT(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
     400, NULL},
    {"gzip, chunked", STR_INIT(POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 400,
     NULL},
    {"identity", STR_INIT(POST "Transfer-Encoding: identity\r\n\r\n"), 400, NULL},
    {"chunked, identity", STR_INIT(POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
     400, NULL},
    {"xchunked", STR_INIT(POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), 400, NULL},
    {"chunked with a tab",
     STR_INIT(POST "Transfer-Encoding: \x0b"
                   "chunked\r\n\r\n0\r\n\r\n"),
     400, NULL},
    {"empty encoding", STR_INIT(POST "Transfer-Encoding:\r\n\r\n0\r\n\r\n"), 400, NULL},
    {"chunked in http/1.0",
     STR_INIT("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400, NULL},
    {"space before colon", STR_INIT(GET "X-A : b\r\n\r\n"), 400, NULL},
    {"space before the length's colon", STR_INIT(POST "Content-Length : 3\r\n\r\nabc"), 400, NULL},
    {"tab before colon", STR_INIT(POST "Content-Length\t: 3\r\n\r\nabc"), 400, NULL},
    {"folded value", STR_INIT(GET "X-A: b\r\n c\r\n\r\n"), 400, NULL},
    {"folded with a tab", STR_INIT(GET "X-A: b\r\n\tc\r\n\r\n"), 400, NULL},
    {"folded first line", STR_INIT("GET / HTTP/1.1\r\n Host: x\r\n\r\n"), 400, NULL},
    {"bare LF", STR_INIT("GET / HTTP/1.1\nHost: x\n\n"), 400, NULL},
    {"bare LF in a header", STR_INIT(GET "X-A: b\nX-B: c\r\n\r\n"), 400, NULL},
    {"bare LF at the end", STR_INIT(GET "\n"), 400, NULL},
    {"bare CR in a value", STR_INIT(GET "X-A: b\rc\r\n\r\n"), 400, NULL},
    {"bare CR before a name", STR_INIT(GET "\rX-A: b\r\n\r\n"), 400, NULL},
    {"CR CR LF", STR_INIT(GET "X-A: b\r\r\n\r\n"), 400, NULL},
    {"null in a value", STR_INIT(GET "X-A: b\0c\r\n\r\n"), 400, NULL},
    {"null in a name", STR_INIT(GET "X\0A: b\r\n\r\n"), 400, NULL},
    {"null in the target", STR_INIT("GET /a\0b HTTP/1.1\r\nHost: x\r\n\r\n"), 400, NULL},
    {"control in a value",
     STR_INIT(GET "X-A: b\x01"
                  "c\r\n\r\n"),
     400, NULL},
    {"delete in a value",
     STR_INIT(GET "X-A: b\x7f"
                  "c\r\n\r\n"),
     400, NULL},
    {"no name", STR_INIT(GET ": b\r\n\r\n"), 400, NULL},
    {"no colon", STR_INIT(GET "X-A\r\n\r\n"), 400, NULL},
    {"bracket in a name", STR_INIT(GET "X(A): b\r\n\r\n"), 400, NULL},
    {"no host", STR_INIT("GET / HTTP/1.1\r\n\r\n"), 400, NULL},
    {"two hosts", STR_INIT(GET "Host: y\r\n\r\n"), 400, NULL},
    {"host with a path", STR_INIT("GET / HTTP/1.1\r\nHost: x/y\r\n\r\n"), 400, NULL},
    {"host with credentials", STR_INIT("GET / HTTP/1.1\r\nHost: a@x\r\n\r\n"), 400, NULL},
    {"absolute form", STR_INIT("GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n"), 400, NULL},
    {"authority form", STR_INIT("CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n"), 400, NULL},
    {"connect with a path", STR_INIT("CONNECT / HTTP/1.1\r\nHost: x\r\n\r\n"), 400, NULL},
    {"get *", STR_INIT("GET * HTTP/1.1\r\nHost: x\r\n\r\n"), 400, NULL},
    {"relative target", STR_INIT("GET a HTTP/1.1\r\nHost: x\r\n\r\n"), 400, NULL},
    {"fragment", STR_INIT("GET /#a HTTP/1.1\r\nHost: x\r\n\r\n"), 400, NULL},
    {"8 bits in the target", STR_INIT("GET /\xc3\xa4 HTTP/1.1\r\nHost: x\r\n\r\n"), 400, NULL},
    {"space in the target", STR_INIT("GET /a b HTTP/1.1\r\nHost: x\r\n\r\n"), 400, NULL},
    {"tab in the line", STR_INIT("GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n"), 400, NULL},
    {"two spaces", STR_INIT("GET  / HTTP/1.1\r\nHost: x\r\n\r\n"), 400, NULL},
    {"space after the version", STR_INIT("GET / HTTP/1.1 \r\nHost: x\r\n\r\n"), 505, NULL},
    {"no version", STR_INIT("GET /\r\n\r\n"), 505, NULL},
    {"small letters", STR_INIT("get / HTTP/1.1\r\nHost: x\r\n\r\n"), 400, NULL},
    {"unknown method", STR_INIT("GETT / HTTP/1.1\r\nHost: x\r\n\r\n"), 400, NULL},
    {"other protocol", STR_INIT("GET / HTP/1.1\r\nHost: x\r\n\r\n"), 400, NULL},
    {"tls hello", STR_INIT("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n"), 400, NULL},
    {"version 1.2", STR_INIT("GET / HTTP/1.2\r\nHost: x\r\n\r\n"), 505, NULL},
    {"version 2.0", STR_INIT("GET / HTTP/2.0\r\nHost: x\r\n\r\n"), 505, NULL},
    {"version 0.9", STR_INIT("GET / HTTP/0.9\r\nHost: x\r\n\r\n"), 505, NULL},
    {"version 11.1", STR_INIT("GET / HTTP/11.1\r\nHost: x\r\n\r\n"), 505, NULL},
    {"expectation", STR_INIT(POST "Expect: 200-ok\r\nContent-Length: 1\r\n\r\na"), 417, NULL},
    {"chunk size 0x3", STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n"),
     400, NULL},
    {"chunk size -3", STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n"),
     400, NULL},
    {"chunk size +3", STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n"),
     400, NULL},
    {"chunk size with space before",
     STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n 3\r\nabc\r\n0\r\n\r\n"), 400, NULL},
    {"no chunk size", STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\n"), 400,
     NULL},
    {"chunk size over 64 bits",
     STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n"), 400,
     NULL},
    {"chunk size over the limit",
     STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\nabc"), 0, NULL},
    {"bare LF after the size",
     STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n"), 400, NULL},
    {"bare CR after the size",
     STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n3\rabc\r\n0\r\n\r\n"), 400, NULL},
    {"chunk too long", STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n"),
     400, NULL},
    {"bare LF after the data",
     STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n"), 400, NULL},
    {"bare LF in an extension",
     STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n3;a\nb\r\nabc\r\n0\r\n\r\n"), 400, NULL},
    {"bare CR in an extension",
     STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n3;a\rb\r\nabc\r\n0\r\n\r\n"), 400, NULL},
    {"null in an extension",
     STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n3;a\0b\r\nabc\r\n0\r\n\r\n"), 400, NULL},
    {"bare LF in the trailers", STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n"),
     400, NULL},
    {"folded trailer", STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n z\r\n\r\n"),
     400, NULL},
    {"bare LF at the very end", STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n0\r\n\n"), 400,
     NULL},
};

static struct answer send_case(struct str request, bool by_byte)
{
    _cleanup_close_ int fd = client_open();

    if (!by_byte) {
        client_send(fd, request);
    } else {
        for (size_t i = 0; i < request.len; i++)
            client_send(fd, str_slice(request, i, i + 1));
    }
    shutdown(fd, SHUT_WR); // what waits for more ends
    struct answer a = client_read(fd, false);
    if (a.status >= 400) {
        struct str rest = client_read_all(fd);
        if (rest.len > 0)
            fail_msg("more than one answer: %.*s", STR_ARG(rest));
    }
    return a;
}

static void run_table(bool by_byte)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        unsigned before = fx.handled;
        struct answer a = send_case(cases[i].request, by_byte);
        if (a.status != cases[i].status)
            fail_msg("%s: %d, not %d", cases[i].what, a.status, cases[i].status);
        if (cases[i].body && !str_eq(a.body, str_from(cases[i].body)))
            fail_msg("%s: answered \"%.*s\"", cases[i].what, STR_ARG(a.body));
        if (a.status != 200 && fx.handled != before)
            fail_msg("%s: was handled", cases[i].what);
    }
}

static void test_table(void **state)
{
    (void)state;
    run_table(false);
}

static void test_table_byte_by_byte(void **state)
{
    (void)state;
    run_table(true);
}

static void test_sizes(void **state)
{
    (void)state;
    struct buf b;
    // Header bytes, one header or many, the target, leading empty lines do not count.
    static const struct {
        const char *before, *piece, *after;
        size_t times;
        int status;
    } sizes[] = {
        {GET "X-A: ", "a", "\r\n\r\n", 60000, 200},
        {GET "X-A: ", "a", "\r\n\r\n", 66000, 431},
        {GET "X-A: ", "a", "\r\n\r\n", 2000000, 431},
        {GET, "X: y\r\n", "\r\n", 200, 200},
        {GET, "X: y\r\n", "\r\n", 300, 431},
        {"GET /", "a", " HTTP/1.1\r\nHost: x\r\n\r\n", 60000, 200},
        {"GET /", "a", " HTTP/1.1\r\nHost: x\r\n\r\n", 70000, 431},
        {GET "X-A: ", " ", "a\r\n\r\n", 70000, 431},
        {POST "Transfer-Encoding: chunked\r\n\r\n0\r\n", "X: y\r\n", "\r\n", 60, 200},
        {POST "Transfer-Encoding: chunked\r\n\r\n0\r\n", "X: y\r\n", "\r\n", 70, 431},
        {POST "Transfer-Encoding: chunked\r\n\r\n0\r\nX: ", "y", "\r\n\r\n", 20000, 431},
        {POST "Transfer-Encoding: chunked\r\n\r\n1;", "y", "\r\na\r\n0\r\n\r\n", 1000, 200},
        {POST "Transfer-Encoding: chunked\r\n\r\n1;", "y", "\r\na\r\n0\r\n\r\n", 100000, 400},
        {POST "Transfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n", "0\r\n\r\n", 50000, 200},
    };

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        buf_init(&b, 4 << 20);
        buf_add(&b, str_from(sizes[i].before));
        for (size_t k = 0; k < sizes[i].times; k++)
            buf_add(&b, str_from(sizes[i].piece));
        buf_add(&b, str_from(sizes[i].after));
        _cleanup_close_ int fd = client_open();
        client_send(fd, buf_str(&b));
        struct answer a = client_read(fd, false);
        buf_finish(&b);
        if (a.status != sizes[i].status)
            fail_msg("%zu: %d, not %d", i, a.status, sizes[i].status);
    }
}

// Two requests where a careless reader sees another boundary: the second must never be answered
// when the first is refused, and both must be when it is not.
static void test_nothing_is_smuggled(void **state)
{
    static const char *const firsts[] = {
        POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST "Content-Length: 0\r\nContent-Length: 44\r\n\r\n",
        POST "Transfer-Encoding: chunked\r\n\r\n0\n\n",
        POST "Transfer-Encoding:\x0b"
             "chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\nHost: x\n\n",
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(firsts); i++) {
        unsigned before = fx.handled;
        _cleanup_close_ int fd = client_open();
        client_sendz(fd, firsts[i]);
        client_sendz(fd, "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
        struct answer a = client_read(fd, false);
        assert_int_equal(a.status, 400);
        assert_int_equal(client_read_all(fd).len, 0);
        assert_int_equal(fx.handled, before);
    }
}

static void change_limits(struct http_listener_config *config)
{
    config->limits.body_bytes = 1 << 20;
}

static int start(void **state)
{
    (void)state;
    return fixture_start(1, change_limits);
}

static int stop(void **state)
{
    (void)state;
    return fixture_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_table_byte_by_byte),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_nothing_is_smuggled),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
