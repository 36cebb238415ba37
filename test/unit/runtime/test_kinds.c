// test_kinds.c - which spares a function can use: by interpreter, and of Java by memory size.
#include "runtime/runtime_impl.h"

#include "base/cleanup.h"
#include "os/file.h"
#include "runtime/files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct function_config *function(const char *name, unsigned memory_mb)
{
    struct function_config *f = function_config_new();

    assert_non_null(f);
    f->runtime = function_config_str(f, str_from(name));
    f->memory_mb = memory_mb;
    return f;
}

static unsigned kind_of(const char *name, unsigned memory_mb)
{
    struct function_config *f = function(name, memory_mb);
    unsigned kind = runtime_kind(f);

    function_config_unref(f);
    return kind;
}

static void put(const char *dir, const char *name)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/runtime/java/%s", dir, name);
    assert_int_equal(write_file_atomic(path, STR("x"), 0644, NULL), 0);
}

static void test_kinds(void **state)
{
    static const struct interpreter list[] = {
        {INTERPRETER_PYTHON, 3, 11, "3.11", "/python"},
        {INTERPRETER_JAVA, 17, 0, "17.0.15", "/java17"},
        {INTERPRETER_JAVA, 25, 0, "25.0.3", "/java25"},
        {INTERPRETER_RUBY, 3, 1, "3.1.2", "/ruby"},
        {INTERPRETER_DOTNET, 8, 0, "8.0.11", "/dotnet"},
    };
    char dir[256], name[RUNTIME_JAVA_NAME_BYTES], path[300];
    const char *tmp = getenv("TMPDIR");
    unsigned first, kind;

    (void)state;
    snprintf(dir, sizeof(dir), "%s/lambkin-kinds-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/runtime/java", dir);
    assert_int_equal(mkdir_p(path, 0755, NULL), 0);
    runtime.data_dir = dir;
    memcpy(runtime.interpreters.list, list, sizeof(list));
    runtime.interpreters.n = ARRAY_LEN(list);

    assert_int_equal(kind_of("python3.11", 128), 0);
    assert_int_equal(kind_of("python3.11", 512), 0); // whatever its memory
    assert_int_equal(kind_of("ruby3.2", 128), 3);
    assert_true(kind_has_spares(0) && !kind_warms_up(0));
    assert_int_equal(kind_of("provided.al2023", 128), RUNTIME_CUSTOM_KIND);
    assert_int_equal(kind_of("dotnet8", 128), RUNTIME_CUSTOM_KIND); // a client of the Runtime API
    assert_int_equal(kind_of("dotnet10", 128), RUNTIME_NO_KIND);
    assert_null(kind_interpreter(RUNTIME_CUSTOM_KIND));

    // Java without our bootstrap, or with another version's: AWS's client.
    assert_int_equal(kind_of("java17", 512), RUNTIME_CUSTOM_KIND);
    put(dir, RUNTIME_JAVA_CLIENT);
    put(dir, "bootstrap-00000000.jar");
    assert_int_equal(kind_of("java17", 512), RUNTIME_CUSTOM_KIND);
    runtime_java_name(name);
    put(dir, name);
    first = kind_of("java17", 512);
    assert_true(first > RUNTIME_CUSTOM_KIND && first < RUNTIME_SPARE_KINDS);
    assert_string_equal(kind_interpreter(first)->path, "/java17");
    assert_int_equal(kind_memory_mb(first), 512);
    assert_true(kind_has_spares(first) && kind_warms_up(first));
    assert_int_equal(kind_of("java17", 512), first);

    // Another version, another size: kinds of their own, until there are no more.
    kind = kind_of("java21", 512);
    assert_int_not_equal(kind, first);
    assert_string_equal(kind_interpreter(kind)->path, "/java25");
    for (unsigned i = 2; i < RUNTIME_SIZED_KINDS; i++)
        assert_int_equal(kind_of("java17", 512 + i), first + i);
    kind = kind_of("java17", 4096);
    assert_int_equal(kind, 1); // the interpreter, without spares
    assert_string_equal(kind_interpreter(kind)->path, "/java17");
    assert_false(kind_has_spares(kind) || kind_warms_up(kind));
    assert_int_equal(kind_of("java17", 513), 1); // 513 came too late, too
    assert_int_equal(kind_of("java17", 512), first);
    assert_false(kind_has_spares(RUNTIME_NO_KIND));
    runtime.data_dir = NULL;
    assert_int_equal(rm_rf(dir, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
