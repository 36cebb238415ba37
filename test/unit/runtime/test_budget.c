// test_budget.c - more functions than environments are allowed: all answer, idle ones make room.
#include "stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static const char *native;

static void test_many_functions_in_a_small_budget(void **state)
{
    enum { N = 12 };
    struct function_config *f[N];
    struct stage_answer *a[N];
    char name[16];

    (void)state;
    for (int i = 0; i < N; i++) {
        struct stage_function spec = {
            .runtime = "provided.al2023", .copy = native, .timeout_ms = 30000};
        snprintf(name, sizeof(name), "b%d", i);
        spec.name = name;
        f[i] = stage_make(&spec);
    }
    for (int round = 0; round < 2; round++) { // one after the other, then all at once
        for (int i = 0; i < N; i++) {
            a[i] = stage_begin(f[i], "1", false);
            if (round == 0)
                stage_wait(a[i]);
        }
        for (int i = 0; i < N; i++) {
            stage_wait(a[i]);
            assert_int_equal(a[i]->inv.status, INVOCATION_OK);
            stage_answer_free(a[i]);
        }
    }
    for (int i = 0; i < N; i++)
        function_config_unref(f[i]);
}

static unsigned environments_wanted;

static bool are_few(void)
{
    return runtime_environments() <= environments_wanted;
}

static void test_idle_ones_end(void **state)
{
    (void)state;
    environments_wanted = 0;
    assert_true(stage_until(are_few)); // idle_after_ms
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_functions_in_a_small_budget),
        cmocka_unit_test(test_idle_ones_end),
    };
    const struct runtime_config config = {.max_environments = 4,
                                          .spares = UINT32_MAX,
                                          .freeze_after_ms = 100,
                                          .idle_after_ms = 500,
                                          .keeper_fd = -1};
    int failed;

    native = argc > 1 ? argv[1] : "native";
    stage_open(&config);
    failed = cmocka_run_group_tests_name("budget", tests, NULL, NULL);
    stage_close();
    return failed;
}
