// test_wildcard.c - which texts patterns with * and ? fit.
#include "base/wildcard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct wanted {
    const char *pattern, *text;
    unsigned flags;
    bool fits;
};

static const struct wanted cases[] = {
    {"", "", 0, true},
    {"", "a", 0, false},
    {"*", "", 0, true},
    {"*", "abc", 0, true},
    {"a*c", "abbbc", 0, true},
    {"a*c", "abcd", 0, false},
    {"a*b*c", "axbxbxc", 0, true},
    {"*abc", "ababc", 0, true},
    {"**a**", "a", 0, true},
    {"a?c", "a?c", 0, true},
    {"a?c", "abc", 0, false},
    {"a?c", "abc", WILDCARD_ONE, true},
    {"a?", "a", WILDCARD_ONE, false},
    {"?*", "", WILDCARD_ONE, false},
    {"\\*", "*", WILDCARD_ESCAPE, true},
    {"\\*", "x", WILDCARD_ESCAPE, false},
    {"\\*", "\\x", 0, true},
    {"a\\\\*", "a\\b", WILDCARD_ESCAPE, true},
    {"\\?", "x", WILDCARD_ESCAPE | WILDCARD_ONE, false},
    {"arn:aws:execute-api:*:*:abc/*/GET/pets*", "arn:aws:execute-api:r:1:abc/s/GET/pets/1",
     WILDCARD_ONE, true},
};

static void fitting(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (wildcard_match(str_from(cases[i].pattern), str_from(cases[i].text), cases[i].flags) !=
            cases[i].fits)
            fail_msg("%s and %s", cases[i].pattern, cases[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fitting)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
