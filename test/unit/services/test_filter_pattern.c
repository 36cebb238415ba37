// test_filter_pattern.c - CloudWatch filter patterns: a table of pattern, message, verdict.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>

#include "base/cleanup.h"
#include "services/logs/filter_pattern.h"

#define JSON_LINE                                                                                  \
    "{\"eventType\": \"UpdateTrail\", \"sourceIPAddress\": \"111.111.111.111\", \"n\": 12.5, "     \
    "\"status\": 404, \"ok\": true, \"bad\": false, \"none\": null, \"a.b\": {\"c d\": 1}, "       \
    "\"arr\": [\"x\", {\"k\": \"v\"}, 7], \"text\": \"say \\\"hi\\\" 50%\", \"num\": \"17\"}"
#define APACHE                                                                                     \
    "127.0.0.1 Prod frank [10/Oct/2000:13:25:15 -0700] \"GET /index.html HTTP/1.0\" 404 1534"

static const struct {
    const char *pattern, *message;
    bool match;
} cases[] = {
    {"", "anything", true},
    {"   ", "", true},
    {"ERROR", "an ERROR here", true},
    {"ERROR", "an error here", false},
    {"ERROR here", "an ERROR here", true},
    {"ERROR there", "an ERROR here", false},
    {"\"an ERROR\"", "an ERROR here", true},
    {"\"ERROR an\"", "an ERROR here", false},
    {"ERROR -here", "an ERROR here", false},
    {"ERROR -\"not there\"", "an ERROR here", true},
    {"-ERROR", "fine", true},
    {"?ERROR ?WARN", "a WARN", true},
    {"?ERROR ?WARN", "a note", false},
    {"?\"two words\" ?x", "has two words in it", true},
    {"?ERROR ?WARN note", "a note", true},
    {"\"say \\\"hi\\\"\"", "I say \"hi\"", true},
    {"%AUTHORIZED%", "UNAUTHORIZED 401", true},
    {"%^ERR[0-9]+%", "ERR12 x", true},
    {"%^ERR\\d{3}%", "ERR12 x", false},
    {"%\\w+\\s-\\sdone%", "job - done", true},
    {"{ $.eventType = \"UpdateTrail\" }", JSON_LINE, true},
    {"{ $.eventType = UpdateTrail }", JSON_LINE, true},
    {"{ $.eventType = \"Update*\" }", JSON_LINE, true},
    {"{ $.eventType = *Trail }", JSON_LINE, true},
    {"{ $.eventType = \"updatetrail\" }", JSON_LINE, false},
    {"{ $.eventType != \"UpdateTrail\" }", JSON_LINE, false},
    {"{ $.sourceIPAddress != 123.123.* }", JSON_LINE, true},
    {"{ $.sourceIPAddress = %^111\\.% }", JSON_LINE, true},
    {"{ $.n = 12.5 }", JSON_LINE, true},
    {"{ $.n > 12 }", JSON_LINE, true},
    {"{ $.n >= 1.25e1 }", JSON_LINE, true},
    {"{ $.n < 12.5 }", JSON_LINE, false},
    {"{ $.n<=12.5 }", JSON_LINE, true},
    {"{ $.status = 4* }", JSON_LINE, true},
    {"{ $.status != 404 }", JSON_LINE, false},
    {"{ $.num > 16 }", JSON_LINE, true},
    {"{ $.ok IS TRUE }", JSON_LINE, true},
    {"{ $.bad is false }", JSON_LINE, true},
    {"{ $.ok IS FALSE }", JSON_LINE, false},
    {"{ $.none IS NULL }", JSON_LINE, true},
    {"{ $.missing IS NULL }", JSON_LINE, false},
    {"{ $.missing NOT EXISTS }", JSON_LINE, true},
    {"{ $.none NOT EXISTS }", JSON_LINE, false},
    {"{ $.ok EXISTS }", JSON_LINE, true},
    {"{ $.missing = 1 }", JSON_LINE, false},
    {"{ $.missing != 1 }", JSON_LINE, false},
    {"{ $.['a.b'].['c d'] = 1 }", JSON_LINE, true},
    {"{ $[\"a.b\"][\"c d\"] = 1 }", JSON_LINE, true},
    {"{ $.arr[0] = \"x\" }", JSON_LINE, true},
    {"{ $.arr[1].k = v }", JSON_LINE, true},
    {"{ $.arr[2] > 6 }", JSON_LINE, true},
    {"{ $.arr[3] = x }", JSON_LINE, false},
    {"{ $.arr[*] = 7 }", JSON_LINE, true},
    {"{ $.ok IS TRUE && $.n > 100 }", JSON_LINE, false},
    {"{ $.ok IS TRUE || $.n > 100 }", JSON_LINE, true},
    {"{ $.n > 100 && $.ok IS TRUE || $.status = 404 }", JSON_LINE, true},
    {"{ $.n > 100 && ($.ok IS TRUE || $.status = 404) }", JSON_LINE, false},
    {"{($.n>1)&&($.status=404)}", JSON_LINE, true},
    {"{ $.text = \"say \\\"hi\\\"*\" }", JSON_LINE, true},
    {"{ $.a = 1 }", "not json", false},
    {"{ $.a = 1 }", "{\"a\": 1} trailing", false},
    {"{ $.a = 1 }", "  {\"a\": 1}\n", true},
    {"[]", "", true},
    {"[a, b]", "one two", true},
    {"[a, b]", "one two three", false},
    {"[a, b]", "one", false},
    {"[a, b, ...]", "one two three", true},
    {"[..., last]", "one two three", true},
    {"[..., last = three]", "one two three", true},
    {"[..., last = two]", "one two three", false},
    {"[first = one, ..., last = three]", "one two two three", true},
    {"[ip, id, user, time, request, status, bytes]", APACHE, true},
    {"[ip, id, user, time, request, status = 404, bytes]", APACHE, true},
    {"[ip, id, user, time, request, status = 4*, bytes > 1000]", APACHE, true},
    {"[ip, id, user, time, request, status = 4*, bytes > 2000]", APACHE, false},
    {"[ip, id, user, time, request =*.html*, status, bytes]", APACHE, true},
    {"[ip, id, user, time, request = \"GET /index.html*\", status, bytes]", APACHE, true},
    {"[..., status_code = 4*, bytes]", APACHE, true},
    {"[ip, id, user, time, request, status = 404 || status = 410, bytes]", APACHE, true},
    {"[ip, id, user, time, request, status = 500 || status = 410, bytes]", APACHE, false},
    {"[ip = %127\\.0\\.0\\.[1-9]%, ...]", APACHE, true},
    {"[ip != 127*, ...]", APACHE, false},
    {"[w1=ERROR,w2!=%x%]", "ERROR yes", true},
    {"[(w1=ERROR && w2=yes), w2]", "ERROR yes", true},
};

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena a = {0}, scratch = {0};
        struct filter_pattern *p = NULL;
        struct err err = ERR_INIT;
        arena_init(&a, 1 << 20);
        arena_init(&scratch, 1 << 20);
        if (filter_pattern_compile(&a, str_from(cases[i].pattern), &p, &err) < 0)
            fail_msg("%s: %s", cases[i].pattern, err.message);
        if (filter_pattern_match(p, str_from(cases[i].message), &scratch) != cases[i].match)
            fail_msg("%s on %s should be %d", cases[i].pattern, cases[i].message, cases[i].match);
        filter_pattern_finish(p);
        arena_finish(&a);
        arena_finish(&scratch);
    }
}

static const char *const broken[] = {
    "\"open",
    "{",
    "{}",
    "{ $ }",
    "{ $.a }",
    "{ $.a = }",
    "{ $.a = 1",
    "{ $.a = 1 } x",
    "{ a = 1 }",
    "{ $.a > x }",
    "{ $.a[x] = 1 }",
    "{ $.a[0 = 1 }",
    "{ $.a IS MAYBE }",
    "{ $.a NOT THERE }",
    "{ $.a = 1 && }",
    "{ ($.a = 1 }",
    "{ $.a = %[% }",
    "{ $.a = %x }",
    "{ $.a = %x% && $.b = %y% && $.c = %z% }",
    "[a",
    "[a b = ]",
    "[a] x",
    "[a, ..., b, ...]",
    "[a = 1 || b = 2]",
    "%a{1000}%",
    "%\\q%",
    "a{b",
    "-",
    "?",
};

static void test_broken(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        struct arena a = {0};
        struct filter_pattern *p = NULL;
        struct err err = ERR_INIT;
        arena_init(&a, 1 << 20);
        if (filter_pattern_compile(&a, str_from(broken[i]), &p, &err) != -EINVAL)
            fail_msg("accepted: %s", broken[i]);
        assert_null(p);
        arena_finish(&a);
    }
}

static void test_depth(void **state)
{
    (void)state;
    char text[256];
    struct arena a = {0};
    struct filter_pattern *p = NULL;
    memset(text, '(', sizeof(text));
    text[0] = '{';
    text[sizeof(text) - 1] = '\0';
    arena_init(&a, 1 << 20);
    assert_int_equal(filter_pattern_compile(&a, str_from(text), &p, NULL), -EINVAL);
    arena_finish(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_depth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
