// test_recursion.c - the lineage in trace headers counts how often a function was reached.
#include "triggers/recursion.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct str F = STR_INIT("arn:aws:lambda:us-east-1:000000000000:function:f");
static const struct str G = STR_INIT("arn:aws:lambda:us-east-1:000000000000:function:g");

static void counts_and_keeps_the_rest(void **state)
{
    struct str trace = STR("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8");
    struct arena a;
    unsigned count;

    (void)state;
    arena_init(&a, 1 << 20);
    for (unsigned i = 1; i <= RECURSION_LIMIT + 1; i++) {
        trace = recursion_step(&a, trace, F, &count);
        assert_int_equal(count, i);
        assert_true(str_starts(trace, STR("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=")));
    }
    trace = recursion_step(&a, trace, G, &count);
    assert_int_equal(count, 1);
    recursion_step(&a, trace, F, &count);
    assert_int_equal(count, RECURSION_LIMIT + 2);
    arena_finish(&a);
}

static void bounded(void **state)
{
    struct str trace = STR_NULL;
    struct arena a;
    unsigned count;

    (void)state;
    arena_init(&a, 1 << 20);
    for (int i = 0; i < 50; i++) {
        char arn[32];
        int n = snprintf(arn, sizeof(arn), "function:%d", i);
        trace = recursion_step(&a, trace, (struct str){arn, (size_t)n}, &count);
        assert_int_equal(count, 1);
        assert_true(trace.len < 200);
    }
    arena_finish(&a);
}

static void nonsense(void **state)
{
    static const char *const headers[] = {"",
                                          ";;;;",
                                          "Lineage=",
                                          "Lineage=||||",
                                          "Lineage=zz:1",
                                          "Lineage=01234567:99999999999999999999",
                                          "Lineage=01234567:-5",
                                          "Lineage=01234567",
                                          "=;=;=Lineage="};
    char huge[4096];
    struct arena a;
    unsigned count;

    (void)state;
    arena_init(&a, 1 << 20);
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        recursion_step(&a, str_from(headers[i]), F, &count);
        assert_int_equal(count, 1);
    }
    memset(huge, 'x', sizeof(huge));
    recursion_step(&a, (struct str){huge, sizeof(huge)}, F, &count);
    assert_int_equal(count, 1);
    arena_finish(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_and_keeps_the_rest),
        cmocka_unit_test(bounded),
        cmocka_unit_test(nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
