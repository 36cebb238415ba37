// test_json.c - what JSON is, what it is not, and what is written.
#include "base/json.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 64 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_finish(&arena);
    return 0;
}

static const struct json_value *parse(struct str text)
{
    const struct json_value *v = NULL;
    struct err err = ERR_INIT;

    if (json_parse(&arena, text, &v, &err) < 0)
        fail_msg("%.*s: %s", STR_ARG(text), err.message);
    assert_true(json_valid(text));
    return v;
}

static void refused(struct str text, int code)
{
    const struct json_value *v = NULL;
    struct err err = ERR_INIT;

    if (json_parse(&arena, text, &v, &err) != code)
        fail_msg("%.*s was not refused with %d (%s)", STR_ARG(text), code, err.message);
    assert_null(v);
    assert_true(err.message[0] != '\0');
    assert_false(json_valid(text));
}

static void values(void **state)
{
    const struct json_value *v =
        parse(STR(" {\"a\" : [1, -2.5e3, true, false, null, \"x\"],\n\t\"b\":{}, \"c\":[]}\r\n"));
    const struct json_value *a = json_get(v, "a");
    struct str s = STR("untouched");
    int64_t i = 0;
    double d = 0;
    bool b = false;

    (void)state;
    assert_int_equal(json_count(v), 3);
    assert_int_equal(json_count(a), 6);
    assert_true(json_i64(a->children.first, &i) && i == 1);
    assert_true(json_f64(a->children.first->next, &d) && d == -2500);
    assert_true(json_i64(a->children.first->next, &i) && i == -2500);
    assert_true(json_bool(a->children.first->next->next, &b) && b);
    assert_false(json_str(a, &s));
    assert_true(str_eq(s, STR("untouched")));
    assert_true(str_eq(json_get(v, "b")->raw, STR("{}")));
    assert_true(str_eq(a->raw, STR("[1, -2.5e3, true, false, null, \"x\"]")));
    assert_null(json_get(v, "d"));
    assert_null(json_get(a, "a"));
    assert_null(json_get(NULL, "a"));
    assert_true(json_is_null(NULL));
    assert_int_equal(json_count(NULL), 0);
    assert_null(json_path(v, "b", "x", "y", NULL));
    assert_ptr_equal(json_path(v, "a", NULL), a);
    assert_int_equal(json_get_i64_or(v, "zz", 9), 9);
    assert_true(str_eq(json_get_or(v, "zz", STR("y")), STR("y")));
    assert_true(json_get_bool_or(v, "zz", true));
    assert_string_equal(json_type_name(a->type), "array");
}

static void strings(void **state)
{
    static const struct {
        struct str text, want;
    } good[] = {
        {STR_INIT("\"\""), STR_INIT("")},
        {STR_INIT("\"plain\""), STR_INIT("plain")},
        {STR_INIT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), STR_INIT("\"\\/\b\f\n\r\t")},
        {STR_INIT("\"\\u0041\\u00e9\\u20AC\""), STR_INIT("A\xc3\xa9\xe2\x82\xac")},
        {STR_INIT("\"\\ud83d\\uDC11 x\""), STR_INIT("\xf0\x9f\x90\x91 x")},
        {STR_INIT("\"a\\u0000b\""), STR_INIT("a\0b")},
        {STR_INIT("\"\xf0\x9f\x90\x91\\n\""), STR_INIT("\xf0\x9f\x90\x91\n")},
        {STR_INIT("\"\x7f\""), STR_INIT("\x7f")},
    };
    static const struct str bad[] = {
        STR_INIT("\""),
        STR_INIT("\"a"),
        STR_INIT("\"\\"),
        STR_INIT("\"\\\""),
        STR_INIT("\"\\x\""),
        STR_INIT("\"\\u12\""),
        STR_INIT("\"\\u12g4\""),
        STR_INIT("\"\\ud800\""),
        STR_INIT("\"\\ud800x\""),
        STR_INIT("\"\\ud800\\n\""),
        STR_INIT("\"\\ud800\\ud800\""),
        STR_INIT("\"\\ud800\\u0041\""),
        STR_INIT("\"\\udc00\""),
        STR_INIT("\"\\ud83d\\u"),
        STR_INIT("\"\n\""),
        STR_INIT("\"\0\""),
        STR_INIT("\"\\n\n\""),
        STR_INIT("\"\x80\""),
        STR_INIT("\"\xc0\xaf\""),
        STR_INIT("\"\xed\xa0\x80\""),
        STR_INIT("\"\\n\xff\""),
        STR_INIT("\"\xe2\x82\""),
        STR_INIT("'a'"),
    };
    struct str s;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(json_str(parse(good[i].text), &s));
        assert_true(str_eq(s, good[i].want));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        refused(bad[i], -EINVAL);
}

static void numbers(void **state)
{
    static const char *const bad[] = {"01",  "-",   "+1",  ".5",  "1.",  "1.e3", "1e",       "1e+",
                                      "--1", "-01", "0x1", "NaN", "1_0", "1 2",  "Infinity", "-a"};
    const struct json_value *v;
    int64_t i = 0;
    double d;

    (void)state;
    for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++)
        refused(str_from(bad[k]), -EINVAL);
    assert_true(json_i64(parse(STR("-9223372036854775808")), &i) && i == INT64_MIN);
    assert_true(json_i64(parse(STR("9223372036854775807")), &i) && i == INT64_MAX);
    assert_true(json_i64(parse(STR("1e3")), &i) && i == 1000);
    assert_true(json_i64(parse(STR("2.0")), &i) && i == 2);
    assert_true(json_i64(parse(STR("-0")), &i) && i == 0);
    v = parse(STR("9223372036854775808"));
    assert_false(json_i64(v, &i));
    assert_true(json_f64(v, &d) && d == 0x1p63);
    assert_false(json_i64(parse(STR("9223372036854775808.0")), &i));
    assert_false(json_i64(parse(STR("1.5")), &i));
    assert_false(json_i64(parse(STR("1e400")), &i));
    assert_true(json_f64(parse(STR("0.1")), &d) && d == 0.1);
    assert_true(json_f64(parse(STR("0.1000000000000000055511151231257827021181583404541015625000"
                                   "00000000000000000000000000000000000")),
                         &d) &&
                d == 0.1);
}

static void structure(void **state)
{
    static const char *const bad[] = {
        "",         " ",       "{",          "}",       "[",
        "]",        "[1,]",    "[,1]",       "[1 2]",   "{\"a\"}",
        "{\"a\":}", "{a:1}",   "{\"a\":1,}", "{,}",     "{\"a\":1 \"b\":2}",
        "[1}",      "nul",     "tru",        "truex",   "1 1",
        "[] []",    "{}x",     "//x",        "[1]//x",  "\xef\xbb\xbf{}",
        "{1:2}",    "[\"a\",", "{\"a\"",     "{\"a\":1"};
    char deep[2 * JSON_MAX_DEPTH + 3];

    (void)state;
    for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++)
        refused(str_from(bad[k]), -EINVAL);
    refused(STR_NULL, -EINVAL);
    refused(STR("\0"), -EINVAL);
    memset(deep, '[', JSON_MAX_DEPTH);
    memset(deep + JSON_MAX_DEPTH, ']', JSON_MAX_DEPTH);
    parse((struct str){deep, 2 * JSON_MAX_DEPTH});
    memset(deep, '[', JSON_MAX_DEPTH + 1);
    memset(deep + JSON_MAX_DEPTH + 1, ']', JSON_MAX_DEPTH + 1);
    refused((struct str){deep, 2 * JSON_MAX_DEPTH + 2}, -E2BIG);
    // Depth is counted back: many shallow ones side by side are fine.
    parse(STR("[[[1]],[[2]],{\"a\":{}},{\"a\":{}}]"));
}

static void of_repeated_keys_the_last_stays(void **state)
{
    struct buf b;
    const struct json_value *v = parse(STR("{\"a\":1,\"b\":2,\"\\u0061\":3,\"a\":4}"));
    int64_t i = 0;

    (void)state;
    assert_int_equal(json_count(v), 2);
    assert_true(json_i64(json_get(v, "a"), &i) && i == 4);
    assert_true(str_eq(json_first(v)->key, STR("b")));

    buf_init(&b, 1 << 20);
    buf_add_char(&b, '{');
    for (int k = 0; k < 1000; k++)
        buf_addf(&b, "%s\"k%d\":%d", k ? "," : "", k % 100, k);
    buf_add_char(&b, '}');
    v = parse(buf_str(&b));
    assert_int_equal(json_count(v), 100);
    i = 900;
    json_each(c, v)
    {
        int64_t n = 0;
        assert_true(json_i64(c, &n) && n == i);
        i++;
    }
    buf_finish(&b);
}

static void memory_is_bounded(void **state)
{
    struct arena small;
    const struct json_value *v;
    struct err err = ERR_INIT;
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 20);
    buf_add_char(&b, '[');
    for (int i = 0; i < 10000; i++)
        buf_add(&b, STR("\"\\n\","));
    buf_add(&b, STR("0]"));
    for (size_t max = 0; max < 800000; max += 4000) {
        arena_init(&small, max);
        assert_int_equal(json_parse(&small, buf_str(&b), &v, &err), -ENOMEM);
        arena_finish(&small);
    }
    parse(buf_str(&b));
    buf_finish(&b);
}

static void writing(void **state)
{
    struct buf b;
    struct json_writer w;

    (void)state;
    buf_init(&b, 1 << 16);
    w = json_writer(&b);
    jw_object_begin(&w);
    jw_member_str(&w, "s", STR("a\"\\\n\r\t\b\f\x01\x7f\xc3\xa9\xff/"));
    jw_member_i64(&w, "min", INT64_MIN);
    jw_member_bool(&w, "yes", true);
    jw_key(&w, STR("list"));
    jw_array_begin(&w);
    jw_u64(&w, UINT64_MAX);
    jw_null(&w);
    jw_array_begin(&w);
    jw_array_end(&w);
    jw_object_begin(&w);
    jw_object_end(&w);
    jw_strf(&w, "%d%%", 5);
    jw_raw(&w, STR("{\"raw\":1}"));
    jw_str(&w, STR_NULL);
    jw_array_end(&w);
    jw_key(&w, STR("t"));
    jw_epoch_ms(&w, 1767323045670);
    jw_object_end(&w);
    assert_false(b.failed);
    assert_true(str_eq(
        buf_str(&b),
        STR("{\"s\":\"a\\\"\\\\\\n\\r\\t\\b\\f\\u0001\x7f\xc3\xa9\xef\xbf\xbd/\","
            "\"min\":-9223372036854775808,\"yes\":true,\"list\":[18446744073709551615,null,[],{},"
            "\"5%\",{\"raw\":1},\"\"],\"t\":1767323045.67}")));
    parse(buf_str(&b));
    buf_finish(&b);
}

static void writing_doubles(void **state)
{
    static const struct {
        double n;
        const char *text;
    } cases[] = {{0, "0"},
                 {1, "1"},
                 {-1.5, "-1.5"},
                 {0.1, "0.1"},
                 {1e21, "1e+21"},
                 {1.0 / 3, "0.3333333333333333"},
                 {5e-324, "4.94065645841247e-324"},
                 {NAN, "\"NaN\""},
                 {INFINITY, "\"Infinity\""},
                 {-INFINITY, "\"-Infinity\""}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf b;
        struct json_writer w;
        buf_init(&b, 100);
        w = json_writer(&b);
        jw_f64(&w, cases[i].n);
        buf_add_char(&b, '\0');
        assert_string_equal(b.ptr, cases[i].text);
        buf_finish(&b);
    }
}

static void a_tree_is_written_as_it_was_read(void **state)
{
    struct str text = STR("{\"a\":[1,2.50,true,null,\"\xc3\xa9\"],\"b\":{\"c\":{}}}");
    struct buf b;
    struct json_writer w;

    (void)state;
    buf_init(&b, 1000);
    w = json_writer(&b);
    jw_value(&w, parse(text));
    assert_true(str_eq(buf_str(&b), text));
    buf_reset(&b);
    w = json_writer(&b);
    jw_value(&w, NULL);
    assert_true(str_eq(buf_str(&b), STR("null")));
    buf_finish(&b);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(values),
        CASE(strings),
        CASE(numbers),
        CASE(structure),
        CASE(of_repeated_keys_the_last_stays),
        CASE(memory_is_bounded),
        CASE(writing),
        CASE(writing_doubles),
        CASE(a_tree_is_written_as_it_was_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
