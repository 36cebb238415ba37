// test_openapi_yaml.c - YAML documents as JSON, what is refused, and the way back.
#include "services/gateway/openapi_yaml.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct {
    const char *yaml, *json; // json NULL: malformed or not supported
} cases[] = {
    {"a: 1", "{\"a\":1}"},
    {"{a: [1, 2, {b: c}]}", "{\"a\":[1,2,{\"b\":\"c\"}]}"},
    {"- a\n- [b]\n- c: d\n  e: f\n", "[\"a\",[\"b\"],{\"c\":\"d\",\"e\":\"f\"}]"},
    {"--- text\n...\n", "\"text\""},
    {"\xef\xbb\xbf# a byte order mark\na: \xc3\xa4\n", "{\"a\":\"\xc3\xa4\"}"},
    {"a: |\n  two\n  lines\nb: >-\n  one\n  line\n",
     "{\"a\":\"two\\nlines\\n\",\"b\":\"one line\"}"},
    {"a: \"\\u00e4\\t\"\nb: 'it''s'\n", "{\"a\":\"\xc3\xa4\\t\",\"b\":\"it's\"}"},
    // The core schema.
    {"[null, ~, NULL, '', , \"null\"]", NULL},
    {"[null, ~, NULL, '', \"null\"]", "[null,null,null,\"\",\"null\"]"},
    {"a:\nb: ~\n", "{\"a\":null,\"b\":null}"},
    {"[true, True, FALSE, yes, No, on, OFF, 'true']",
     "[true,true,false,\"yes\",\"No\",\"on\",\"OFF\",\"true\"]"},
    {"[0, 007, +12, -3, 0o17, 0x1F, -0, 1_000, 0b1, 0o8, 0xg, 0x-1]",
     "[0,7,12,-3,15,31,-0,\"1_000\",\"0b1\",\"0o8\",\"0xg\",\"0x-1\"]"},
    {"[0x7fffffffffffffff, 0xffffffffffffffff]", "[9223372036854775807,\"0xffffffffffffffff\"]"},
    {"[1.0, .5, 5., -.5e3, +1E-2, 1e, e1, 1.2.3, '.', +, .inf, .nan, 12:30]",
     "[1.0,0.5,5.0,-0.5e3,1E-2,\"1e\",\"e1\",\"1.2.3\",\".\",\"+\",\".inf\",\".nan\","
     "\"12:30\"]"},
    {"[2026-11-21, 3.0.1]", "[\"2026-11-21\",\"3.0.1\"]"},
    {"200: a\ntrue: b\nnull: c\n1.0: d\n", "{\"200\":\"a\",\"true\":\"b\",\"null\":\"c\","
                                           "\"1.0\":\"d\"}"},
    // Tags.
    {"[!!str 1, ! 2, !!int \"3\", !!str, !!float 1]", "[\"1\",\"2\",3,\"\",1]"},
    {"!!map {a: !!seq [b]}", "{\"a\":[\"b\"]}"},
    {"!Ref x", NULL},
    {"!!binary aGk=", NULL},
    {"!!python/object:os.system {}", NULL},
    {"!<tag:yaml.org,2002:str> 1", "\"1\""},
    // Anchors and aliases.
    {"a: &x {b: 1}\nc: *x\nd: [*x, *x]\n", "{\"a\":{\"b\":1},\"c\":{\"b\":1},\"d\":[{\"b\":1},"
                                           "{\"b\":1}]}"},
    {"[&x 1, *x, &x 2, *x]", "[1,1,2,2]"},
    {"[0, &x [1], *x]", "[0,[1],[1]]"},
    {"{a: &x , b: *x}", "{\"a\":null,\"b\":null}"},
    {"a: *x", NULL},
    {"&x [1, *x]", NULL},
    {"a: &x\n  b: *x\n", NULL},
    {"{&x a: 1}", NULL},
    {"{*x : 1}", NULL},
    {"a: &x {b: 1}\nc:\n  <<: *x\n", NULL},
    {"'<<': 1", "{\"<<\":1}"},
    // What must be escaped on the way back.
    {"\"\\x7f\\x85\\xa0\\u2028\\ufeff\\uffff\\U0001F411\\0/\"",
     "\"\x7f\xc2\x85\xc2\xa0\xe2\x80\xa8\xef\xbb\xbf\xef\xbf\xbf\xf0\x9f\x90\x91\\u0000/\""},
    // What is none.
    {"", NULL},
    {"# nothing\n", NULL},
    {"a: 1\n--- \nb: 2\n", NULL},
    {"{[a]: 1}", NULL},
    {"? {a: b}\n: c\n", NULL},
    {"? a\n: c\n", "{\"a\":\"c\"}"},
    {"a: [", NULL},
    {"a: b: c", NULL},
    {"a: \"x", NULL},
    {"\ta: b", NULL},
    {"a: \xff\xfe", NULL},
    {"%YAML 3.0\n--- a\n", NULL},
    {"a: 1\na: 2\n", "{\"a\":2}"},
};

static void reads(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct json_value *v = NULL;
        struct err err = ERR_INIT;
        struct arena a;
        struct buf b;

        arena_init(&a, 16 << 20);
        int r = openapi_yaml_read(&a, str_from(cases[i].yaml), &v, &err);
        if ((r == 0) != (cases[i].json != NULL))
            fail_msg("%s: %d %s", cases[i].yaml, r, err.message);
        if (r == 0) {
            buf_init(&b, 1 << 20);
            struct json_writer w = json_writer(&b);
            jw_value(&w, v);
            if (!str_eq(buf_str(&b), str_from(cases[i].json)))
                fail_msg("%s: %.*s", cases[i].yaml, STR_ARG(buf_str(&b)));
            // And there and back.
            const struct json_value *again = NULL;
            struct buf yaml, json;
            buf_init(&yaml, 1 << 20);
            openapi_yaml_write(&yaml, v);
            if (openapi_yaml_read(&a, buf_str(&yaml), &again, &err) < 0)
                fail_msg("%.*s: %s", STR_ARG(buf_str(&yaml)), err.message);
            buf_init(&json, 1 << 20);
            w = json_writer(&json);
            jw_value(&w, again);
            if (!str_eq(buf_str(&json), buf_str(&b)))
                fail_msg("%.*s became %.*s", STR_ARG(buf_str(&yaml)), STR_ARG(buf_str(&json)));
            buf_finish(&json);
            buf_finish(&yaml);
            buf_finish(&b);
        } else {
            assert_true(r == -EINVAL && err.message[0]);
        }
        arena_finish(&a);
    }
}

static void writes(void **state)
{
    static const char json[] =
        "{\"openapi\":\"3.0.1\",\"info\":{\"title\":\"a \\\"b\\\"\",\"v\":1.50},\"paths\":"
        "{\"/a/{b+}\":{\"get\":{\"tags\":[\"x\",{\"k\":[],\"l\":{}},[1,[2]]]}},\"/$default\":{}},"
        "\"200\":true,\"null\":null,\"\":\"\",\"a b\":\"line\\n\",\"y\":[]}";
    static const char yaml[] = "---\n"
                               "openapi: \"3.0.1\"\n"
                               "info:\n"
                               "  title: \"a \\\"b\\\"\"\n"
                               "  v: 1.50\n"
                               "paths:\n"
                               "  /a/{b+}:\n"
                               "    get:\n"
                               "      tags:\n"
                               "      - \"x\"\n"
                               "      - k: []\n"
                               "        l: {}\n"
                               "      - - 1\n"
                               "        - - 2\n"
                               "  /$default: {}\n"
                               "\"200\": true\n"
                               "\"null\": null\n"
                               "\"\": \"\"\n"
                               "\"a b\": \"line\\n\"\n"
                               "\"y\": []\n";
    const struct json_value *v = NULL;
    struct err err = ERR_INIT;
    struct arena a;
    struct buf b;
    (void)state;

    arena_init(&a, 1 << 20);
    buf_init(&b, 1 << 20);
    assert_int_equal(json_parse(&a, str_from(json), &v, &err), 0);
    openapi_yaml_write(&b, v);
    if (!str_eq(buf_str(&b), str_from(yaml)))
        fail_msg("%.*s", STR_ARG(buf_str(&b)));
    buf_finish(&b);
    arena_finish(&a);
}

static int read_text(struct str text, struct err *err)
{
    const struct json_value *v;
    struct arena a;

    arena_init(&a, (size_t)64 << 20);
    int r = openapi_yaml_read(&a, text, &v, err);
    arena_finish(&a);
    return r;
}

static void bounds(void **state)
{
    struct err err = ERR_INIT;
    struct buf b;
    (void)state;

    // Nine times nine times nine …: "billion laughs".
    buf_init(&b, 8 << 20);
    buf_add(&b, STR("a0: &a0 [lol,lol,lol,lol,lol,lol,lol,lol,lol]\n"));
    for (int i = 1; i < 10; i++) {
        buf_addf(&b, "a%d: &a%d [", i, i);
        for (int k = 0; k < 9; k++)
            buf_addf(&b, "%s*a%d", k ? "," : "", i - 1);
        buf_add(&b, STR("]\n"));
    }
    assert_int_equal(read_text(buf_str(&b), &err), -E2BIG);
    // One long text, again and again.
    buf_reset(&b);
    buf_add(&b, STR("- &a "));
    for (int i = 0; i < 1000000; i++)
        buf_add_char(&b, 'x');
    for (int i = 0; i < 10; i++)
        buf_add(&b, STR("\n- *a"));
    assert_int_equal(read_text(buf_str(&b), &err), -E2BIG);
    // Deep, both ways; many values; many anchors.
    for (int kind = 0; kind < 4; kind++) {
        buf_reset(&b);
        for (int i = 0; i < (kind < 2 ? 300 : 500000); i++)
            buf_add(&b, kind == 0   ? STR("[")
                        : kind == 1 ? STR("- ")
                        : kind == 2 ? STR("- 1\n")
                                    : STR("- &a 1\n"));
        buf_add(&b, STR("x"));
        int r = read_text(buf_str(&b), &err);
        if (r != -E2BIG)
            fail_msg("%d: %d %s", kind, r, err.message);
    }
    buf_finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),
        cmocka_unit_test(writes),
        cmocka_unit_test(bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
