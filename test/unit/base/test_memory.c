// test_memory.c - arenas and buffers: alignment, growth, their maximum.
#include "base/arena.h"
#include "base/buf.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void pieces_are_aligned_and_apart(void **state)
{
    struct arena a;
    unsigned char *pieces[500];

    (void)state;
    arena_init(&a, ARENA_DEFAULT_MAX_BYTES);
    for (size_t i = 0; i < 500; i++) {
        size_t n = i * 37 % 3000;
        pieces[i] = arena_alloc(&a, n);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], (int)i & 255, n);
    }
    for (size_t i = 0; i < 500; i++) {
        for (size_t k = 0; k < i * 37 % 3000; k++)
            assert_int_equal(pieces[i][k], i & 255);
    }
    arena_finish(&a);
    assert_int_equal(a.used_bytes, 0);
    arena_finish(&a); // twice does no harm
}

static void cleared_memory_is_cleared(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, 1 << 20);
    for (int round = 0; round < 3; round++) {
        for (size_t n = 1; n < 9000; n = n * 3 + 1) {
            unsigned char *p = arena_zalloc(&a, n);
            for (size_t i = 0; i < n; i++)
                assert_int_equal(p[i], 0);
            memset(p, 0xff, n);
        }
        arena_reset(&a); // keeps a dirty block
    }
    assert_true(a.used_bytes > 0);
    arena_finish(&a);
}

static void the_maximum_holds(void **state)
{
    struct arena a;
    size_t got = 0;

    (void)state;
    arena_init(&a, 100000);
    assert_null(arena_alloc(&a, 100001));
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_array(&a, SIZE_MAX / 2, 3));
    while (arena_alloc(&a, 100))
        got += 100;
    assert_true(got > 50000 && got <= 100000);
    assert_true(a.used_bytes <= 100000);
    arena_reset(&a);
    assert_non_null(arena_alloc(&a, 50000)); // close to the maximum, exactly
    arena_finish(&a);

    arena_init(&a, 0);
    assert_null(arena_alloc(&a, 1));
    assert_true(str_is_null(arena_str(&a, STR("x"))));
    assert_true(str_is_null(arena_printf(&a, "%d", 1)));
    arena_finish(&a);
}

static void strings_in_arenas(void **state)
{
    struct arena a;
    struct str s;

    (void)state;
    arena_init(&a, 1 << 20);
    s = arena_str(&a, STR("a\0b"));
    assert_int_equal(s.len, 3);
    assert_memory_equal(s.ptr, "a\0b", 4);
    assert_true(str_is_null(arena_str(&a, STR_NULL)));
    assert_string_equal(arena_cstr(&a, STR("")), "");
    s = arena_printf(&a, "%s-%d", "x", 5);
    assert_string_equal(s.ptr, "x-5");
    assert_int_equal(s.len, 3);
    s = arena_printf(&a, "%*d", 9000, 1);
    assert_int_equal(s.len, 9000);
    arena_finish(&a);
}

static void buffers_grow(void **state)
{
    struct buf b;
    char *taken;
    size_t len;

    (void)state;
    buf_init(&b, 1 << 20);
    assert_int_equal(buf_str(&b).len, 0);
    assert_non_null(buf_str(&b).ptr);
    for (int i = 0; i < 10000; i++)
        buf_addf(&b, "%04d", i);
    assert_false(b.failed);
    assert_int_equal(b.len, 40000);
    assert_memory_equal(b.ptr + 4 * 1234, "1234", 4);
    buf_drop(&b, 4 * 9999);
    assert_true(str_eq(buf_str(&b), STR("9999")));
    buf_drop(&b, 100);
    assert_int_equal(b.len, 0);
    buf_add(&b, STR("x"));
    buf_add(&b, STR_NULL);
    buf_add_char(&b, 'y');
    taken = buf_take(&b, &len);
    assert_int_equal(len, 2);
    assert_memory_equal(taken, "xy", 2);
    free(taken);
    assert_int_equal(b.cap, 0);
    buf_finish(&b);
}

static void buffers_stop_at_their_maximum(void **state)
{
    (void)state;
    for (size_t max = 0; max < 40; max++) {
        struct buf b;
        buf_init(&b, max);
        for (size_t i = 0; i < max; i++)
            buf_add_char(&b, 'x');
        assert_false(b.failed);
        assert_int_equal(b.len, max);
        buf_add(&b, STR(""));
        assert_false(b.failed);
        buf_add_char(&b, 'x');
        assert_true(b.failed);
        assert_int_equal(b.len, max);
        buf_reset(&b);
        assert_false(b.failed);
        buf_addf(&b, "%*s", (int)max, "");
        assert_false(b.failed);
        assert_int_equal(b.len, max);
        buf_reset(&b);
        buf_addf(&b, "%*s", (int)max + 1, "");
        assert_true(b.failed);
        assert_false(buf_reserve(&b, 1)); // failure is sticky
        buf_reset(&b);
        assert_false(buf_reserve(&b, SIZE_MAX));
        buf_finish(&b);
    }
}

static void numbers_are_printed_like_printf(void **state)
{
    const uint64_t values[] = {0, 1, 9, 10, 99, 100, 101, 999999, 1000000, UINT64_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char expected[64];
        struct buf b;
        buf_init(&b, 64);
        buf_add_u64(&b, values[i]);
        snprintf(expected, sizeof(expected), "%llu", (unsigned long long)values[i]);
        assert_true(str_eq(buf_str(&b), str_from(expected)));
        for (unsigned digits = 1; digits <= 6; digits++) {
            unsigned long long one = 1;
            for (unsigned d = 0; d < digits; d++)
                one *= 10;
            buf_reset(&b);
            buf_add_decimal(&b, values[i], digits);
            snprintf(expected, sizeof(expected), "%llu.%0*llu", (unsigned long long)values[i] / one,
                     (int)digits, (unsigned long long)values[i] % one);
            assert_true(str_eq(buf_str(&b), str_from(expected)));
        }
        buf_finish(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_aligned_and_apart),
        cmocka_unit_test(cleared_memory_is_cleared),
        cmocka_unit_test(the_maximum_holds),
        cmocka_unit_test(strings_in_arenas),
        cmocka_unit_test(buffers_grow),
        cmocka_unit_test(buffers_stop_at_their_maximum),
        cmocka_unit_test(numbers_are_printed_like_printf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
