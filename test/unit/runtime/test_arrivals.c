// test_arrivals.c - which rhythms are seen, and what is expected of them.
#include "runtime/arrivals.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static void add(struct arrivals *a, int64_t ms, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        arrivals_add(a, ms);
}

static void test_too_few(void **state)
{
    struct arrivals a = {0};
    int64_t from, to;

    (void)state;
    assert_false(arrivals_expect(&a, &from, &to));
    add(&a, 60000, ARRIVALS_FEWEST - 1);
    assert_false(arrivals_expect(&a, &from, &to));
    add(&a, 60000, 1);
    assert_true(arrivals_expect(&a, &from, &to));
}

static void test_every_period(void **state)
{
    static const int64_t periods[] = {11, 50, 1000, 60000, 600000, 86400000, 2000000000};
    int64_t from, to;

    (void)state;
    for (size_t i = 0; i < sizeof(periods) / sizeof(periods[0]); i++) {
        struct arrivals a = {0};
        add(&a, periods[i], 10);
        assert_true(arrivals_expect(&a, &from, &to));
        assert_true(from <= periods[i] && periods[i] <= to);
        assert_true(to <= from * 3 / 2); // one bin, rounded
    }
}

static void test_no_rhythm(void **state)
{
    struct arrivals a = {0};
    int64_t from, to;

    (void)state;
    for (int64_t ms = 10; ms < 10000000; ms *= 3)
        add(&a, ms, 2);
    assert_false(arrivals_expect(&a, &from, &to));
}

static void test_one_out_of_the_order(void **state)
{
    struct arrivals a = {0};
    int64_t from, to;

    (void)state;
    add(&a, 600000, 10);
    add(&a, 20, 1);
    assert_true(arrivals_expect(&a, &from, &to));
    assert_true(from > 500000 && to < 720000);
}

static void test_a_new_rhythm_is_learnt(void **state)
{
    struct arrivals a = {0};
    int64_t from, to;

    (void)state;
    add(&a, 1000, 1000);
    add(&a, 60000, 1000);
    assert_true(arrivals_expect(&a, &from, &to));
    assert_true(from > 40000 && to < 90000);
    assert_true(a.n <= ARRIVALS_MOST);
}

static void test_extremes(void **state)
{
    struct arrivals a = {0};
    int64_t from, to;

    (void)state;
    add(&a, 0, 5);
    assert_true(arrivals_expect(&a, &from, &to));
    add(&a, -5, 5);
    add(&a, INT64_MAX, 50);
    assert_false(arrivals_expect(&a, &from, &to));
    add(&a, INT64_MAX, 5000);
    assert_true(arrivals_expect(&a, &from, &to));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_too_few),
        cmocka_unit_test(test_every_period),
        cmocka_unit_test(test_no_rhythm),
        cmocka_unit_test(test_one_out_of_the_order),
        cmocka_unit_test(test_a_new_rhythm_is_learnt),
        cmocka_unit_test(test_extremes),
    };

    return cmocka_run_group_tests_name("arrivals", tests, NULL, NULL);
}
