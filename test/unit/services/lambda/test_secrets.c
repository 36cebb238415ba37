// test_secrets.c - encrypted environment variables: back again, and not with anything altered.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "os/file.h"
#include "services/lambda/secrets.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

static struct arena arena;

static void round_trip(void **state)
{
    struct secret_key key = {{1, 2, 3}};
    struct str box, again, plain;

    (void)state;
    assert_int_equal(secret_seal(&key, STR("a/b/1"), STR("{\"K\":\"v\"}"), &arena, &box, NULL), 0);
    assert_true(str_find(box, STR("K")) < 0 || box.len > 9);
    assert_int_equal(secret_open(&key, STR("a/b/1"), box, &arena, &plain, NULL), 0);
    assert_true(str_eq(plain, STR("{\"K\":\"v\"}")));
    // Another nonce each time.
    assert_int_equal(secret_seal(&key, STR("a/b/1"), STR("{\"K\":\"v\"}"), &arena, &again, NULL),
                     0);
    assert_false(str_eq(box, again));
    assert_int_equal(secret_seal(&key, STR("c"), STR(""), &arena, &box, NULL), 0);
    assert_int_equal(secret_open(&key, STR("c"), box, &arena, &plain, NULL), 0);
    assert_int_equal(plain.len, 0);
}

static void altered(void **state)
{
    struct secret_key key = {{1}}, other = {{2}};
    struct str box, plain;

    (void)state;
    assert_int_equal(secret_seal(&key, STR("row 1"), STR("secret"), &arena, &box, NULL), 0);
    assert_int_equal(secret_open(&other, STR("row 1"), box, &arena, &plain, NULL), -EBADMSG);
    assert_int_equal(secret_open(&key, STR("row 2"), box, &arena, &plain, NULL), -EBADMSG);
    for (size_t i = 0; i < box.len; i++) {
        char *bytes = arena_cstr(&arena, box);
        bytes[i] ^= 1;
        const struct str bad = {bytes, box.len};
        assert_int_equal(secret_open(&key, STR("row 1"), bad, &arena, &plain, NULL), -EBADMSG);
    }
    for (size_t n = 0; n < box.len; n++)
        assert_int_equal(
            secret_open(&key, STR("row 1"), str_slice(box, 0, n), &arena, &plain, NULL), -EBADMSG);
}

static void key_file(void **state)
{
    struct secret_key first, second;
    struct str dir;
    struct stat st;

    (void)state;
    assert_int_equal(make_temp_dir(&arena, "lambkin-secrets-", &dir, NULL), 0);
    char *path = arena_cstr(&arena, arena_printf(&arena, "%.*s/secret.key", STR_ARG(dir)));
    assert_int_equal(secret_key_open(path, &first, NULL), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(secret_key_open(path, &second, NULL), 0);
    assert_memory_equal(first.bytes, second.bytes, SECRET_KEY_BYTES);
    assert_int_equal(write_file_atomic(path, STR("short"), 0600, NULL), 0);
    assert_int_equal(secret_key_open(path, &second, NULL), -EINVAL);
    assert_int_equal(rm_rf(arena_cstr(&arena, dir), NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(altered),
        cmocka_unit_test(key_file),
    };

    arena_init(&arena, (size_t)64 << 20);
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    arena_finish(&arena);
    return r;
}
