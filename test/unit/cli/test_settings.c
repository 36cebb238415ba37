// test_settings.c - the table of settings: what main decided arrives in its children unchanged.
#include "base/cleanup.h"
#include "cli/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static int load(struct config **c, char **argv, struct err *err)
{
    int argc = 0;

    while (argv[argc])
        argc++;
    return settings_load(argc, argv, c, err);
}

static void test_text_form_keeps_every_value(void **state)
{
    _cleanup_(config_destroyp) struct config *c = NULL, *again = NULL;
    struct err err = ERR_INIT;
    struct buf text;
    char *argv[] = {(char *)"--secret-key",      (char *)"a # b = c",
                    (char *)"--data-dir=/x y/z", (char *)"--no-auth",
                    (char *)"--drain",           (char *)"2m",
                    (char *)"--port=0",          NULL};

    (void)state;
    assert_int_equal(load(&c, argv, &err), 0);
    buf_init(&text, 1 << 20);
    settings_dump(c, &text);
    settings_dump_one(&text, "port", "4711");
    assert_int_equal(settings_load_text(buf_str(&text), &again, &err), 0);
    assert_string_equal(config_cstr(again, "secret-key"), "a # b = c");
    assert_string_equal(config_cstr(again, "data-dir"), "/x y/z");
    assert_false(config_bool(again, "auth"));
    assert_int_equal(config_i64(again, "drain"), 120000);
    assert_int_equal(config_i64(again, "port"), 4711); // the later line counts
    assert_string_equal(config_cstr(again, "region"), "us-east-1");
    buf_finish(&text);
}

static void test_mistakes(void **state)
{
    static const char *const wrong[] = {"--port=70000", "--isolation=some", "--nonsense=1", "stray",
                                        "--drain=soon"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        _cleanup_(config_destroyp) struct config *c = NULL;
        struct err err = ERR_INIT;
        char *argv[] = {(char *)wrong[i], NULL};

        assert_true(load(&c, argv, &err) < 0);
        assert_null(c);
        assert_true(err.message[0] != '\0');
    }
}

static void test_help_names_what_people_may_set(void **state)
{
    struct buf help, table;

    (void)state;
    buf_init(&help, 1 << 20);
    buf_init(&table, 1 << 20);
    settings_help(&help);
    settings_markdown(&table);
    assert_true(str_find(buf_str(&help), STR("--no-auth")) >= 0);
    assert_true(str_find(buf_str(&help), STR("run-uid")) < 0);
    assert_true(str_find(buf_str(&table), STR("`LAMBKIN_DATA_DIR`")) >= 0);
    assert_true(str_find(buf_str(&table), STR("run-uid")) < 0);
    buf_finish(&help);
    buf_finish(&table);
}

static int without_environment(void **state)
{
    (void)state;
    unsetenv("LAMBKIN_CONFIG");
    unsetenv("LAMBKIN_DATA_DIR");
    return setenv("HOME", "/home/somebody", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_form_keeps_every_value),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_help_names_what_people_may_set),
    };

    return cmocka_run_group_tests(tests, without_environment, NULL);
}
