// test_config.c - the order of sources, and what each refuses.
#include "base/cleanup.h"
#include "os/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <errno.h>

static const struct config_setting settings[] = {
    {.name = "port", .kind = CONFIG_INT, .fallback = "4566", .min = 0, .max = 65535},
    {.name = "data-dir", .kind = CONFIG_STRING},
    {.name = "ephemeral", .kind = CONFIG_BOOL, .fallback = "false"},
    {.name = "memory", .kind = CONFIG_BYTES, .fallback = "1g"},
    {.name = "idle", .kind = CONFIG_DURATION, .fallback = "5m"},
    {.name = "isolation",
     .kind = CONFIG_ENUM,
     .fallback = "strict",
     .choices = "strict|best-effort|none"},
};

static void test_later_sources_win(void **state)
{
    struct err err = ERR_INIT;
    _cleanup_(config_destroyp) struct config *c = NULL;
    char *env[] = {(char *)"LAMBKIN_PORT=3", (char *)"LAMBKIN_OTHER=x", (char *)"PORT=9",
                   (char *)"LAMBKIN_DATA_DIR=/env", NULL};
    char *args[] = {(char *)"one",         (char *)"--port=4", (char *)"two",
                    (char *)"--ephemeral", (char *)"--",       (char *)"--port"};
    int rest;
    (void)state;

    assert_int_equal(config_create(settings, ARRAY_LEN(settings), &c, &err), 0);
    assert_int_equal(config_i64(c, "port"), 4566);
    assert_null(config_cstr(c, "data-dir"));
    assert_int_equal(config_i64(c, "memory"), 1 << 30);
    assert_int_equal(config_i64(c, "idle"), 300000);
    assert_int_equal(config_source_of(c, "idle"), CONFIG_DEFAULT);

    assert_int_equal(config_load_args(c, 6, args, &rest, &err), 0);
    assert_int_equal(rest, 3);
    assert_string_equal(args[0], "one");
    assert_string_equal(args[1], "two");
    assert_string_equal(args[2], "--port");
    assert_int_equal(config_load_env(c, env, &err), 0);
    assert_int_equal(
        config_load_text(c, "f",
                         STR("# comment\n\nport = 2\n data_dir = \"/a # b\" \n"
                             "memory=20 k # kibibytes\nidle = 3s\nisolation = none\r\n"),
                         &err),
        0);
    assert_int_equal(config_i64(c, "port"), 4);
    assert_string_equal(config_cstr(c, "data-dir"), "/env");
    assert_true(config_bool(c, "ephemeral"));
    assert_int_equal(config_i64(c, "memory"), 20480);
    assert_int_equal(config_i64(c, "idle"), 3000);
    assert_string_equal(config_cstr(c, "isolation"), "none");
    assert_int_equal(config_source_of(c, "port"), CONFIG_FLAG);
}

static void test_bad_values_are_named(void **state)
{
    static const struct {
        const char *text;
        int code;
        const char *says;
    } cases[] = {
        {"port = 70000", -ERANGE, "f:1"},
        {"\nport = x", -EINVAL, "f:2"},
        {"port = ", -EINVAL, "port"},
        {"port", -EINVAL, "name = value"},
        {"nope = 1", -ENOENT, "nope"},
        {"ephemeral = maybe", -EINVAL, "maybe"},
        {"isolation = some", -EINVAL, "strict|best-effort|none"},
        {"memory = 1t", -EINVAL, "memory"},
        {"memory = 99999999999g", -EINVAL, "memory"},
        {"idle = 3 days", -EINVAL, "idle"},
    };
    (void)state;

    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = ERR_INIT;
        _cleanup_(config_destroyp) struct config *c = NULL;
        assert_int_equal(config_create(settings, ARRAY_LEN(settings), &c, &err), 0);
        int r = config_load_text(c, "f", str_from(cases[i].text), &err);
        if (r != cases[i].code || !strstr(err.message, cases[i].says))
            fail_msg("%s: %d %s", cases[i].text, r, err.message);
    }
}

static void test_bad_flags(void **state)
{
    static const char *const cases[] = {
        "--nope", "--port", "--port=", "--no-port", "--ephemeral=x", "--no-ephemeral=1"};
    (void)state;

    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = ERR_INIT;
        _cleanup_(config_destroyp) struct config *c = NULL;
        char *argv[] = {(char *)(uintptr_t)cases[i]};
        int rest;
        assert_int_equal(config_create(settings, ARRAY_LEN(settings), &c, &err), 0);
        if (config_load_args(c, 1, argv, &rest, &err) >= 0)
            fail_msg("%s was taken", cases[i]);
        assert_true(err.message[0] != 0);
    }
    struct err err = ERR_INIT;
    _cleanup_(config_destroyp) struct config *c = NULL;
    char *argv[] = {(char *)"--ephemeral", (char *)"--no-ephemeral", (char *)"--port", (char *)"7"};
    int rest;
    assert_int_equal(config_create(settings, ARRAY_LEN(settings), &c, &err), 0);
    assert_int_equal(config_load_args(c, 4, argv, &rest, &err), 0);
    assert_false(config_bool(c, "ephemeral"));
    assert_int_equal(config_i64(c, "port"), 7);
    assert_int_equal(rest, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_later_sources_win),
        cmocka_unit_test(test_bad_values_are_named),
        cmocka_unit_test(test_bad_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
