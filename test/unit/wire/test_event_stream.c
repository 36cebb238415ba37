// test_event_stream.c - frames there and back, and what is refused.
#include "wire/event_stream.h"

#include "base/hash.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static void round_trip(void **state)
{
    struct event_stream_message m;
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 20);
    assert_int_equal(
        event_stream_event(&b, STR("PayloadChunk"), STR("application/octet-stream"), STR("hello")),
        0);
    assert_int_equal(event_stream_event(&b, STR("InvokeComplete"), STR_NULL, STR("{}")), 0);
    for (size_t cut = 0; cut < 100; cut++)
        assert_true(event_stream_read(str_slice(buf_str(&b), 0, cut), &m, NULL) >= 0);
    ptrdiff_t n = event_stream_read(buf_str(&b), &m, NULL);

    assert_true(n > 0);
    assert_int_equal(m.n_headers, 3);
    assert_true(str_eq(m.headers[0].name, STR(":message-type")));
    assert_true(str_eq(m.headers[1].value, STR("PayloadChunk")));
    assert_true(str_eq(m.payload, STR("hello")));
    buf_drop(&b, (size_t)n);
    assert_int_equal(event_stream_read(buf_str(&b), &m, NULL), (ptrdiff_t)b.len);
    assert_int_equal(m.n_headers, 2);
    buf_finish(&b);
}

// From the description of the encoding: no headers and the payload {'foo':'bar'}.
static void known_bytes(void **state)
{
    static const unsigned char want[] = {0x00, 0x00, 0x00, 0x1d, 0x00, 0x00, 0x00, 0x00, 0xfd, 0x52,
                                         0x8c, 0x5a, 0x7b, 0x27, 0x66, 0x6f, 0x6f, 0x27, 0x3a, 0x27,
                                         0x62, 0x61, 0x72, 0x27, 0x7d, 0xc3, 0x65, 0x39, 0x36};
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 20);
    assert_int_equal(event_stream_frame(&b, NULL, 0, STR("{'foo':'bar'}")), 0);
    assert_int_equal(b.len, sizeof(want));
    assert_memory_equal(b.ptr, want, sizeof(want));
    buf_finish(&b);
}

static void every_bit_counts(void **state)
{
    struct event_stream_message m;
    struct err err = ERR_INIT;
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 20);
    assert_int_equal(event_stream_error(&b, STR("Function.ResponseSizeTooLarge"), STR("too large")),
                     0);
    for (size_t i = 0; i < b.len; i++) {
        b.ptr[i] ^= 0x10;
        // A longer length that says it needs more bytes is caught by the prelude's checksum.
        assert_int_equal(event_stream_read(buf_str(&b), &m, &err), -EBADMSG);
        b.ptr[i] ^= 0x10;
    }
    buf_finish(&b);
}

static void limits(void **state)
{
    static char large[40000];
    struct wire_header h = {STR("x"), {large, sizeof(large)}};
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    assert_int_equal(event_stream_frame(&b, &h, 1, STR("")), -EFBIG);
    assert_int_equal(event_stream_frame(&b, NULL, 0, (struct str){large, sizeof(large)}), -ENOMEM);
    buf_finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(known_bytes),
        cmocka_unit_test(every_bit_counts),
        cmocka_unit_test(limits),
    };

    return cmocka_run_group_tests_name("event_stream", tests, NULL, NULL);
}
