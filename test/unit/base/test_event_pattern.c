// test_event_pattern.c - the event pattern language: what matches, what does not, what is refused.
#include "base/event_pattern.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct match_case {
    const char *pattern, *event;
    bool matches;
};

static const struct match_case match_cases[] = {
    {"{\"a\":[\"x\"]}", "{\"a\":\"x\"}", true},
    {"{\"a\":[\"x\"]}", "{\"a\":\"y\"}", false},
    {"{\"a\":[\"x\"]}", "{}", false},
    {"{\"a\":[\"x\",\"y\"]}", "{\"a\":\"y\",\"b\":1}", true},
    {"{\"a\":[\"x\"],\"b\":[1]}", "{\"a\":\"x\",\"b\":1}", true},
    {"{\"a\":[\"x\"],\"b\":[1]}", "{\"a\":\"x\",\"b\":2}", false},
    {"{\"a\":[1]}", "{\"a\":1.0}", true},
    {"{\"a\":[1]}", "{\"a\":\"1\"}", false},
    {"{\"a\":[true]}", "{\"a\":true}", true},
    {"{\"a\":[true]}", "{\"a\":false}", false},
    {"{\"a\":[null]}", "{\"a\":null}", true},
    {"{\"a\":[null]}", "{}", false},
    {"{\"a\":[\"\"]}", "{\"a\":\"\"}", true},
    // below
    {"{\"a\":{\"b\":[\"x\"]}}", "{\"a\":{\"b\":\"x\"}}", true},
    {"{\"a\":{\"b\":[\"x\"]}}", "{\"a\":\"x\"}", false},
    {"{\"a\":{\"b\":[\"x\"]}}", "{}", false},
    // arrays
    {"{\"a\":[\"x\"]}", "{\"a\":[\"y\",\"x\"]}", true},
    {"{\"a\":[\"x\"]}", "{\"a\":[]}", false},
    {"{\"a\":{\"b\":[1],\"c\":[2]}}", "{\"a\":[{\"b\":1,\"c\":2}]}", true},
    {"{\"a\":{\"b\":[1],\"c\":[2]}}", "{\"a\":[{\"b\":1,\"c\":3},{\"b\":0,\"c\":2}]}", false},
    // operators
    {"{\"a\":[{\"prefix\":\"ab\"}]}", "{\"a\":\"abc\"}", true},
    {"{\"a\":[{\"prefix\":\"ab\"}]}", "{\"a\":\"a\"}", false},
    {"{\"a\":[{\"prefix\":{\"equals-ignore-case\":\"AB\"}}]}", "{\"a\":\"abc\"}", true},
    {"{\"a\":[{\"suffix\":\".png\"}]}", "{\"a\":\"x.png\"}", true},
    {"{\"a\":[{\"suffix\":\".png\"}]}", "{\"a\":\"png\"}", false},
    {"{\"a\":[{\"suffix\":{\"equals-ignore-case\":\".PNG\"}}]}", "{\"a\":\"x.png\"}", true},
    {"{\"a\":[{\"equals-ignore-case\":\"ALICE\"}]}", "{\"a\":\"alice\"}", true},
    {"{\"a\":[{\"anything-but\":\"x\"}]}", "{\"a\":\"y\"}", true},
    {"{\"a\":[{\"anything-but\":\"x\"}]}", "{\"a\":\"x\"}", false},
    {"{\"a\":[{\"anything-but\":\"x\"}]}", "{}", false},
    {"{\"a\":[{\"anything-but\":[1,2]}]}", "{\"a\":3}", true},
    {"{\"a\":[{\"anything-but\":[1,2]}]}", "{\"a\":2}", false},
    {"{\"a\":[{\"anything-but\":{\"prefix\":\"in\"}}]}", "{\"a\":\"out\"}", true},
    {"{\"a\":[{\"anything-but\":{\"prefix\":\"in\"}}]}", "{\"a\":\"init\"}", false},
    {"{\"a\":[{\"anything-but\":{\"suffix\":[\"a\",\"b\"]}}]}", "{\"a\":\"xb\"}", false},
    {"{\"a\":[{\"anything-but\":{\"wildcard\":\"*/lib/*\"}}]}", "{\"a\":\"x/bin/y\"}", true},
    {"{\"a\":[{\"anything-but\":{\"equals-ignore-case\":[\"A\"]}}]}", "{\"a\":\"a\"}", false},
    {"{\"a\":[{\"numeric\":[\">\",0,\"<=\",5]}]}", "{\"a\":5}", true},
    {"{\"a\":[{\"numeric\":[\">\",0,\"<=\",5]}]}", "{\"a\":0}", false},
    {"{\"a\":[{\"numeric\":[\"=\",3.018e2]}]}", "{\"a\":301.8}", true},
    {"{\"a\":[{\"numeric\":[\"<\",10]}]}", "{\"a\":\"5\"}", false},
    {"{\"a\":[{\"exists\":true}]}", "{\"a\":0}", true},
    {"{\"a\":[{\"exists\":true}]}", "{\"a\":null}", true},
    {"{\"a\":[{\"exists\":true}]}", "{}", false},
    {"{\"a\":[{\"exists\":true}]}", "{\"a\":{\"b\":1}}", false},
    {"{\"a\":[{\"exists\":false}]}", "{}", true},
    {"{\"a\":[{\"exists\":false}]}", "{\"a\":1}", false},
    {"{\"a\":{\"b\":[{\"exists\":false}]}}", "{}", true},
    {"{\"a\":[{\"exists\":false},\"x\"]}", "{\"a\":\"x\"}", true},
    {"{\"a\":[{\"cidr\":\"10.0.0.0/24\"}]}", "{\"a\":\"10.0.0.255\"}", true},
    {"{\"a\":[{\"cidr\":\"10.0.0.0/24\"}]}", "{\"a\":\"10.0.1.0\"}", false},
    {"{\"a\":[{\"cidr\":\"0.0.0.0/0\"}]}", "{\"a\":\"1.2.3.4\"}", true},
    {"{\"a\":[{\"cidr\":\"2001:db8::/33\"}]}", "{\"a\":\"2001:db8:7fff::1\"}", true},
    {"{\"a\":[{\"cidr\":\"2001:db8::/33\"}]}", "{\"a\":\"2001:db8:8000::1\"}", false},
    {"{\"a\":[{\"wildcard\":\"a*c\"}]}", "{\"a\":\"abbbc\"}", true},
    {"{\"a\":[{\"wildcard\":\"a*c\"}]}", "{\"a\":\"abbb\"}", false},
    {"{\"a\":[{\"wildcard\":\"a\\\\*c\"}]}", "{\"a\":\"a*c\"}", true},
    {"{\"a\":[{\"wildcard\":\"a\\\\*c\"}]}", "{\"a\":\"abc\"}", false},
    {"{\"a\":[{\"wildcard\":\"*\"}]}", "{\"a\":\"\"}", true},
    {"{\"a\":[{\"wildcard\":\"*ab*ab\"}]}", "{\"a\":\"ababab\"}", true},
    // $or
    {"{\"$or\":[{\"a\":[1]},{\"b\":[2]}]}", "{\"b\":2}", true},
    {"{\"$or\":[{\"a\":[1]},{\"b\":[2]}]}", "{\"a\":2,\"b\":1}", false},
    {"{\"c\":[3],\"$or\":[{\"a\":[1]},{\"b\":[2]}]}", "{\"a\":1}", false},
    {"{\"d\":{\"$or\":[{\"a\":[1]},{\"b\":[2]}]}}", "{\"d\":{\"a\":1}}", true},
    // a field that only looks like the operator
    {"{\"$or\":[1,2]}", "{\"$or\":2}", true},
    {"{\"a\":[\"x\"]}", "[]", false},
};

static const char *const bad[] = {
    "",
    "[]",
    "1",
    "{}",
    "{\"a\":",
    "{\"a\":1}",
    "{\"a\":\"x\"}",
    "{\"a\":[]}",
    "{\"a\":{}}",
    "{\"a\":[[1]]}",
    "{\"a\":[{}]}",
    "{\"a\":[{\"prefix\":\"a\",\"suffix\":\"b\"}]}",
    "{\"a\":[{\"prefix\":1}]}",
    "{\"a\":[{\"sufix\":\"a\"}]}",
    "{\"a\":[{\"numeric\":[]}]}",
    "{\"a\":[{\"numeric\":[\">\"]}]}",
    "{\"a\":[{\"numeric\":[\">\",\"1\"]}]}",
    "{\"a\":[{\"numeric\":[\"!\",1]}]}",
    "{\"a\":[{\"numeric\":[\">\",5,\"<\",1]}]}",
    "{\"a\":[{\"numeric\":[\">\",5,\">\",6]}]}",
    "{\"a\":[{\"numeric\":[\"=\",5,\"<\",6]}]}",
    "{\"a\":[{\"numeric\":[\"<\",6000000000]}]}",
    "{\"a\":[{\"exists\":1}]}",
    "{\"a\":[{\"cidr\":\"10.0.0.0\"}]}",
    "{\"a\":[{\"cidr\":\"10.0.0.0/33\"}]}",
    "{\"a\":[{\"cidr\":\"10.0.0/8\"}]}",
    "{\"a\":[{\"wildcard\":\"a**b\"}]}",
    "{\"a\":[{\"wildcard\":\"a\\\\b\"}]}",
    "{\"a\":[{\"anything-but\":[]}]}",
    "{\"a\":[{\"anything-but\":[1,\"a\"]}]}",
    "{\"a\":[{\"anything-but\":{\"numeric\":[\"=\",1]}}]}",
    "{\"a\":[{\"anything-but\":{\"prefix\":\"\"}}]}",
    "{\"$or\":[{\"a\":[1]},{\"b\":2}]}",
};

static void matching(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(match_cases) / sizeof(match_cases[0]); i++) {
        const struct match_case *c = &match_cases[i];
        const struct event_pattern *p;
        const struct json_value *event;
        struct err err = ERR_INIT;
        struct arena a;

        arena_init(&a, 1 << 20);
        if (event_pattern_compile(&a, str_from(c->pattern), &p, &err) < 0)
            fail_msg("%s: %s", c->pattern, err.message);
        assert_int_equal(json_parse(&a, str_from(c->event), &event, &err), 0);
        if (event_pattern_match(p, event) != c->matches)
            fail_msg("%s on %s", c->pattern, c->event);
        arena_finish(&a);
    }
}

static void refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const struct event_pattern *p;
        struct err err = ERR_INIT;
        struct arena a;

        arena_init(&a, 1 << 20);
        if (event_pattern_compile(&a, str_from(bad[i]), &p, &err) != -EINVAL)
            fail_msg("accepted: %s", bad[i]);
        assert_true(err.message[0] != 0);
        arena_finish(&a);
    }
}

// A pattern of stars against a long text must not take exponential time.
static void stars_are_cheap(void **state)
{
    char pattern[4096] = "{\"a\":[{\"wildcard\":\"", text[20000] = "{\"a\":\"";
    const struct event_pattern *p;
    const struct json_value *event;
    struct err err = ERR_INIT;
    struct arena a;

    (void)state;
    size_t n = strlen(pattern), m = strlen(text);
    for (int i = 0; i < 1500; i++)
        pattern[n++] = i % 2 ? '*' : 'a';
    memcpy(pattern + n, "b\"}]}", 6);
    memset(text + m, 'a', 15000);
    memcpy(text + m + 15000, "\"}", 3);
    arena_init(&a, 1 << 20);
    assert_int_equal(event_pattern_compile(&a, str_from(pattern), &p, &err), 0);
    assert_int_equal(json_parse(&a, str_from(text), &event, &err), 0);
    assert_false(event_pattern_match(p, event));
    arena_finish(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matching),
        cmocka_unit_test(refused),
        cmocka_unit_test(stars_are_cheap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
