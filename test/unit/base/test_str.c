// test_str.c - borrowed strings.
#include "base/str.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void slices_stay_inside(void **state)
{
    struct str s = STR("abcdef");

    (void)state;
    assert_true(str_eq(str_slice(s, 1, 3), STR("bc")));
    assert_true(str_eq(str_slice(s, 4, 100), STR("ef")));
    assert_int_equal(str_slice(s, 9, 2).len, 0);
    assert_int_equal(str_slice(STR_NULL, 0, 5).len, 0);
    assert_true(str_is_null(str_slice(STR_NULL, 0, 5)));
    assert_true(str_is_null(str_from(NULL)));
    assert_false(str_is_null(str_from("")));
}

static void comparing(void **state)
{
    (void)state;
    assert_true(str_eq(STR_NULL, STR("")));
    assert_true(str_eq_nocase(STR("Content-Type"), STR("cONTENT-tYPE")));
    assert_false(str_eq_nocase(STR("a"), STR("ab")));
    assert_false(str_eq_nocase(STR("@"), STR("`"))); // 0x20 apart, but no letters
    assert_false(str_eq_nocase(STR("\xc3\x84"), STR("\xc3\xa4")));
    assert_int_equal(str_cmp(STR("a"), STR("b")), -1);
    assert_int_equal(str_cmp(STR("b"), STR("a")), 1);
    assert_int_equal(str_cmp(STR("ab"), STR("a")), 1);
    assert_int_equal(str_cmp(STR("a"), STR("ab")), -1);
    assert_int_equal(str_cmp(STR("a"), STR("a")), 0);
    assert_int_equal(str_cmp(STR("\x80"), STR("a")), 1); // bytes are unsigned
    assert_true(str_starts(STR("abc"), STR("ab")));
    assert_true(str_starts(STR("abc"), STR("")));
    assert_false(str_starts(STR("a"), STR("ab")));
    assert_true(str_ends(STR("abc"), STR("bc")));
    assert_false(str_ends(STR("c"), STR("bc")));
    assert_true(str_eq_secret(STR("same"), STR("same")));
    assert_false(str_eq_secret(STR("same"), STR("sama")));
    assert_false(str_eq_secret(STR("same"), STR("sam")));
    assert_true(str_eq_secret(STR_NULL, STR("")));
}

static void searching(void **state)
{
    (void)state;
    assert_int_equal(str_find_char(STR("a.b.c"), '.'), 1);
    assert_int_equal(str_find_char(STR("abc"), '.'), -1);
    assert_int_equal(str_find_char(STR_NULL, '.'), -1);
    assert_int_equal(str_find(STR("needle in hay"), STR("in")), 7);
    assert_int_equal(str_find(STR("hay"), STR("needle")), -1);
    assert_int_equal(str_find(STR("hay"), STR("")), 0);
    assert_int_equal(str_find(STR_NULL, STR("x")), -1);
}

static void trimming(void **state)
{
    (void)state;
    assert_true(str_eq(str_trim(STR(" \t\r\n x y \v\f")), STR("x y")));
    assert_int_equal(str_trim(STR("   ")).len, 0);
    assert_int_equal(str_trim(STR_NULL).len, 0);
}

static void splitting(void **state)
{
    struct str rest = STR("a,,b,"), part;

    (void)state;
    assert_true(str_next(&rest, ',', &part) && str_eq(part, STR("a")));
    assert_true(str_next(&rest, ',', &part) && part.len == 0);
    assert_true(str_next(&rest, ',', &part) && str_eq(part, STR("b")));
    assert_true(str_next(&rest, ',', &part) && part.len == 0 && !str_is_null(part));
    assert_false(str_next(&rest, ',', &part));
    rest = STR("");
    assert_true(str_next(&rest, ',', &part) && part.len == 0);
    assert_false(str_next(&rest, ',', &part));
}

static void numbers(void **state)
{
    int64_t i = 42;
    uint64_t u = 42;

    (void)state;
    assert_int_equal(str_to_i64(STR("-9223372036854775808"), &i), 0);
    assert_true(i == INT64_MIN);
    assert_int_equal(str_to_i64(STR("9223372036854775807"), &i), 0);
    assert_true(i == INT64_MAX);
    assert_int_equal(str_to_i64(STR("+7"), &i), 0);
    assert_int_equal(i, 7);
    assert_int_equal(str_to_i64(STR("-0"), &i), 0);
    assert_int_equal(i, 0);
    i = 42;
    assert_int_equal(str_to_i64(STR("9223372036854775808"), &i), -ERANGE);
    assert_int_equal(str_to_i64(STR("-9223372036854775809"), &i), -ERANGE);
    assert_int_equal(str_to_i64(STR("99999999999999999999999"), &i), -ERANGE);
    assert_int_equal(str_to_i64(STR(""), &i), -EINVAL);
    assert_int_equal(str_to_i64(STR("-"), &i), -EINVAL);
    assert_int_equal(str_to_i64(STR("--1"), &i), -EINVAL);
    assert_int_equal(str_to_i64(STR(" 1"), &i), -EINVAL);
    assert_int_equal(str_to_i64(STR("1 "), &i), -EINVAL);
    assert_int_equal(str_to_i64(STR("1e3"), &i), -EINVAL);
    assert_int_equal(str_to_i64(STR("0x10"), &i), -EINVAL);
    assert_int_equal(i, 42);
    assert_int_equal(str_to_u64(STR("18446744073709551615"), &u), 0);
    assert_true(u == UINT64_MAX);
    assert_int_equal(str_to_u64(STR("18446744073709551616"), &u), -ERANGE);
    assert_int_equal(str_to_u64(STR("-1"), &u), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_stay_inside), cmocka_unit_test(comparing),
        cmocka_unit_test(searching),          cmocka_unit_test(trimming),
        cmocka_unit_test(splitting),          cmocka_unit_test(numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
