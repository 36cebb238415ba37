// test_encodings.c - base64, hexadecimal, percent-encoding, UTF-8, UUIDs.
#include "base/base64.h"
#include "base/hex.h"
#include "base/percent.h"
#include "base/utf8.h"
#include "base/uuid.h"

#include <errno.h>
#include <setjmp.h>

#include <cmocka.h>

static struct arena arena;
static struct buf buf;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 16 << 20);
    buf_init(&buf, 16 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_finish(&arena);
    buf_finish(&buf);
    return 0;
}

static void base64_as_the_rfc_shows_it(void **state)
{
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"},
                                           {"\xff\xfe\xfd", "//79"},
                                           {"\xfb\xff", "+/8="}};
    struct str s;

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        buf_reset(&buf);
        base64_encode(&buf, str_from(pairs[i][0]));
        assert_true(str_eq(buf_str(&buf), str_from(pairs[i][1])));
        assert_true(str_eq(base64_arena(&arena, str_from(pairs[i][0])), str_from(pairs[i][1])));
        assert_int_equal(base64_decode(&arena, str_from(pairs[i][1]), &s), 0);
        assert_true(str_eq(s, str_from(pairs[i][0])));
    }
    base64_encode(&buf, STR_NULL);
    assert_int_equal(base64_decode(&arena, STR_NULL, &s), 0);
}

static void base64_is_strict(void **state)
{
    static const char *const bad[] = {
        "Z",      "Zg",    "Zg=",   "Zg==Zg==", "Zg===",    "====", "Z===",       "Zh==", "Zm9=",
        "Zm9v\n", " Zm9v", "Zm9v=", "Zm-_",     "Zm9v====", "Z=g=", "Zm\xc3\xa9", "=Zg=", "Zg= "};
    struct str s = STR("untouched");

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(base64_decode(&arena, str_from(bad[i]), &s), -EINVAL);
    assert_true(str_eq(s, STR("untouched")));
}

static void base64_for_urls(void **state)
{
    struct str s;

    (void)state;
    base64url_encode(&buf, STR("\xfb\xff"));
    assert_true(str_eq(buf_str(&buf), STR("-_8")));
    assert_int_equal(base64url_decode(&arena, STR("-_8"), &s), 0);
    assert_true(str_eq(s, STR("\xfb\xff")));
    assert_int_equal(base64url_decode(&arena, STR("-_8="), &s), 0);
    assert_int_equal(base64url_decode(&arena, STR("+/8"), &s), -EINVAL);
    assert_int_equal(base64url_decode(&arena, STR("-_8=="), &s), -EINVAL);
    assert_int_equal(base64url_decode(&arena, STR("-"), &s), -EINVAL);
}

static void base64_there_and_back(void **state)
{
    char data[300];
    struct str s;

    (void)state;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)(i * 167);
    for (size_t n = 0; n <= sizeof(data); n++) {
        buf_reset(&buf);
        base64_encode(&buf, (struct str){data, n});
        assert_int_equal(base64_decode(&arena, buf_str(&buf), &s), 0);
        assert_true(str_eq(s, (struct str){data, n}));
        buf_reset(&buf);
        base64url_encode(&buf, (struct str){data, n});
        assert_int_equal(base64url_decode(&arena, buf_str(&buf), &s), 0);
        assert_true(str_eq(s, (struct str){data, n}));
    }
}

static void hexadecimal(void **state)
{
    char out[9];
    unsigned char back[4];

    (void)state;
    hex_encode("\x00\xff\x1a\xe5", 4, out);
    assert_string_equal(out, "00ff1ae5");
    assert_true(hex_decode(STR("00FF1aE5"), back, 4));
    assert_memory_equal(back, "\x00\xff\x1a\xe5", 4);
    assert_false(hex_decode(STR("00FF1aE"), back, 4));
    assert_false(hex_decode(STR("00FF1aE5"), back, 3));
    assert_false(hex_decode(STR("00FF1aG5"), back, 4));
    assert_true(hex_decode(STR(""), back, 0));
    assert_int_equal(hex_digit('/'), -1);
    assert_true(str_eq(hex_arena(&arena, STR("az")), STR("617a")));
}

static void percent_encoding(void **state)
{
    struct str s;

    (void)state;
    percent_encode(&buf, STR("AZaz09-._~ /+%\xc3\xa9"));
    assert_true(str_eq(buf_str(&buf), STR("AZaz09-._~%20%2F%2B%25%C3%A9")));
    buf_reset(&buf);
    percent_encode_path(&buf, STR("/a b/"));
    assert_true(str_eq(buf_str(&buf), STR("/a%20b/")));
    assert_int_equal(percent_decode(&arena, STR("a%20b+c%2f%2F"), PERCENT_PATH, &s), 0);
    assert_true(str_eq(s, STR("a b+c//")));
    assert_int_equal(percent_decode(&arena, STR("a%20b+c"), PERCENT_FORM, &s), 0);
    assert_true(str_eq(s, STR("a b c")));
    assert_int_equal(percent_decode(&arena, STR("%00"), PERCENT_PATH, &s), 0);
    assert_int_equal(s.len, 1);
    assert_int_equal(percent_decode(&arena, STR("%"), PERCENT_PATH, &s), -EINVAL);
    assert_int_equal(percent_decode(&arena, STR("%2"), PERCENT_PATH, &s), -EINVAL);
    assert_int_equal(percent_decode(&arena, STR("%zz"), PERCENT_PATH, &s), -EINVAL);
    assert_int_equal(percent_decode(&arena, STR("a%%20"), PERCENT_PATH, &s), -EINVAL);
}

static void query_strings(void **state)
{
    struct str q = STR("&a=1&&b&c=&d=x=y&=e"), name, value, out;

    (void)state;
    assert_true(percent_next_pair(&q, &name, &value));
    assert_true(str_eq(name, STR("a")) && str_eq(value, STR("1")));
    assert_true(percent_next_pair(&q, &name, &value));
    assert_true(str_eq(name, STR("b")) && str_is_null(value));
    assert_true(percent_next_pair(&q, &name, &value));
    assert_true(str_eq(name, STR("c")) && value.len == 0 && !str_is_null(value));
    assert_true(percent_next_pair(&q, &name, &value));
    assert_true(str_eq(name, STR("d")) && str_eq(value, STR("x=y")));
    assert_true(percent_next_pair(&q, &name, &value));
    assert_true(name.len == 0 && str_eq(value, STR("e")));
    assert_false(percent_next_pair(&q, &name, &value));
    assert_int_equal(percent_query_get(&arena, STR("x=1&%61b=c+d%21"), STR("ab"), &out), 1);
    assert_true(str_eq(out, STR("c d!")));
    assert_int_equal(percent_query_get(&arena, STR("flag&x=1"), STR("flag"), &out), 1);
    assert_int_equal(out.len, 0);
    assert_int_equal(percent_query_get(&arena, STR("x=1"), STR("y"), &out), 0);
    assert_int_equal(percent_query_get(&arena, STR_NULL, STR("y"), &out), 0);
    assert_int_equal(percent_query_get(&arena, STR("y=%z"), STR("y"), &out), -EINVAL);
}

static void utf8(void **state)
{
    static const struct str good[] = {STR_INIT(""),
                                      STR_INIT("plain ascii, longer than eight"),
                                      STR_INIT("\xc2\x80"),
                                      STR_INIT("\xdf\xbf"),
                                      STR_INIT("\xe0\xa0\x80"),
                                      STR_INIT("\xed\x9f\xbf"),
                                      STR_INIT("\xee\x80\x80"),
                                      STR_INIT("\xf0\x90\x80\x80"),
                                      STR_INIT("\xf4\x8f\xbf\xbf"),
                                      STR_INIT("\0")};
    static const struct str bad[] = {STR_INIT("\x80"),
                                     STR_INIT("\xbf"),
                                     STR_INIT("\xc0\x80"),
                                     STR_INIT("\xc1\xbf"),
                                     STR_INIT("\xc2"),
                                     STR_INIT("\xe0\x9f\xbf"),
                                     STR_INIT("\xed\xa0\x80"),
                                     STR_INIT("\xf0\x8f\xbf\xbf"),
                                     STR_INIT("\xf4\x90\x80\x80"),
                                     STR_INIT("\xf5\x80\x80\x80"),
                                     STR_INIT("\xff"),
                                     STR_INIT("\xe2\x82"),
                                     STR_INIT("12345678\xff"),
                                     STR_INIT("\xc3\x28")};
    uint32_t back = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(utf8_valid(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(utf8_valid(bad[i]));
    for (uint32_t c = 0; c <= 0x110000; c++) {
        char out[4];
        unsigned n = utf8_put(out, c);
        if ((c >= 0xd800 && c <= 0xdfff) || c > 0x10ffff)
            assert_int_equal(n, 0);
        else if (utf8_next((struct str){out, n}, &back) != n || back != c)
            fail_msg("U+%04X", c);
    }
    assert_int_equal(utf8_count(STR("a\xc3\xa9\xf0\x9f\x90\x91\xff")), 4);
    assert_true(str_eq(utf8_cut(STR("a\xc3\xa9z"), 2), STR("a")));
    assert_true(str_eq(utf8_cut(STR("a\xc3\xa9z"), 3), STR("a\xc3\xa9")));
    assert_true(str_eq(utf8_cut(STR("abc"), 9), STR("abc")));
    assert_int_equal(utf8_cut(STR("\xf0\x9f\x90\x91"), 3).len, 0);
    assert_int_equal(utf8_cut(STR("\x80\x80\x80\x80\x80"), 4).len, 4);
    assert_int_equal(utf8_cut(STR("\xc3\xa9"), 0).len, 0);
}

// Beginnings of up to three bytes, against all ways in which it could go on.
static void utf8_in_pieces(void **state)
{
    static const unsigned char telling[] = {0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0x7f, 0xff};
    size_t complete = 99;
    (void)state;

    assert_true(utf8_valid_so_far(STR(""), &complete) && complete == 0);
    assert_true(utf8_valid_so_far(STR("12345678abc\xe2\x82"), &complete) && complete == 11);
    assert_false(utf8_valid_so_far(STR("12345678abc\xe2\x28"), &complete));
    for (unsigned bytes = 0; bytes < 256 * 8 * 8; bytes++) {
        const char s[3] = {(char)(bytes / 64), (char)telling[bytes / 8 % 8],
                           (char)telling[bytes % 8]};
        for (size_t n = 1; n <= 3; n++) {
            bool could = utf8_valid((struct str){s, n});
            for (unsigned more = 0; more < 6 * 6 * 6 && !could; more++) {
                const char on[3] = {(char)telling[more % 6], (char)telling[more / 6 % 6],
                                    (char)telling[more / 36]};
                char all[6];
                memcpy(all, s, n);
                memcpy(all + n, on, 3);
                for (size_t k = 1; k <= 3 && !could; k++)
                    could = utf8_valid((struct str){all, n + k});
            }
            if (utf8_valid_so_far((struct str){s, n}, &complete) != could)
                fail_msg("%zu bytes: %02x %02x %02x", n, s[0] & 255, s[1] & 255, s[2] & 255);
        }
    }
}

static void uuids(void **state)
{
    const uint8_t zero[16] = {0}, ones[16] = {255, 255, 255, 255, 255, 255, 255, 255,
                                              255, 255, 255, 255, 255, 255, 255, 255};
    char out[UUID_CHARS + 1];

    (void)state;
    uuid_format(zero, out);
    assert_string_equal(out, "00000000-0000-4000-8000-000000000000");
    uuid_format(ones, out);
    assert_string_equal(out, "ffffffff-ffff-4fff-bfff-ffffffffffff");
    assert_true(uuid_valid(str_from(out)));
    assert_true(uuid_valid(uuid_arena(&arena, ones)));
    assert_true(uuid_valid(STR("FFFFFFFF-ffff-1fff-bfff-ffffffffffff")));
    assert_false(uuid_valid(STR("ffffffff-ffff-4fff-bfff-fffffffffff")));
    assert_false(uuid_valid(STR("ffffffff-ffff-4fff-bfff-fffffffffffg")));
    assert_false(uuid_valid(STR("ffffffffaffff-4fff-bfff-ffffffffffff")));
    assert_false(uuid_valid(STR("")));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(base64_as_the_rfc_shows_it),
        CASE(base64_is_strict),
        CASE(base64_for_urls),
        CASE(base64_there_and_back),
        CASE(hexadecimal),
        CASE(percent_encoding),
        CASE(query_strings),
        CASE(utf8),
        CASE(utf8_in_pieces),
        CASE(uuids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
