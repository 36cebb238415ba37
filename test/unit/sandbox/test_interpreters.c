// test_interpreters.c - what runtimes' names ask for, who is nearest, and what is found where.
#include "sandbox/interpreters.h"

#include "base/cleanup.h"
#include "os/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

static void test_wishes(void **state)
{
    static const struct {
        const char *name;
        bool known, custom, managed;
        enum interpreter_kind kind;
        unsigned major, minor;
    } cases[] = {
        {"python3.12", true, false, true, INTERPRETER_PYTHON, 3, 12},
        {"nodejs22.x", true, false, true, INTERPRETER_NODE, 22, 0},
        {"java17", true, false, true, INTERPRETER_JAVA, 17, 0},
        {"java8.al2", true, false, true, INTERPRETER_JAVA, 8, 0},
        {"ruby3.4", true, false, true, INTERPRETER_RUBY, 3, 4},
        {"provided.al2023", true, true, false, 0, 0, 0},
        {"dotnet8", true, false, true, INTERPRETER_DOTNET, 8, 0},
        {"dotnetcore3.1", true, false, false, 0, 0, 0},
        {"go1.x", true, false, false, 0, 0, 0},
        {"python3", false, false, false, 0, 0, 0},
        {"python3.12x", false, false, false, 0, 0, 0},
        {"nodejs22", false, false, false, 0, 0, 0},
        {"nodejs22.x.y", false, false, false, 0, 0, 0},
        {"cobol85", false, false, false, 0, 0, 0},
        {"", false, false, false, 0, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct interpreter_wish w = interpreter_wish(str_from(cases[i].name));
        assert_int_equal(w.known, cases[i].known);
        assert_int_equal(w.custom, cases[i].custom);
        assert_int_equal(w.managed, cases[i].managed);
        if (!w.managed)
            continue;
        assert_int_equal(w.kind, cases[i].kind);
        assert_int_equal(w.major, cases[i].major);
        assert_int_equal(w.minor, cases[i].minor);
    }
}

static const char *chosen(const struct interpreters *l, const char *runtime, bool *exact)
{
    struct interpreter_wish w = interpreter_wish(str_from(runtime));
    const struct interpreter *p = interpreters_choose(l, &w, exact);

    if (p)
        assert_int_equal(interpreter_is(p, &w), *exact);
    return p ? p->path : NULL;
}

static void test_choice(void **state)
{
    static const struct interpreters l = {.n = 8,
                                          .list = {
                                              {INTERPRETER_PYTHON, 3, 9, "3.9", "/python9"},
                                              {INTERPRETER_PYTHON, 3, 11, "3.11", "/python11"},
                                              {INTERPRETER_NODE, 20, 11, "20.11.1", "/node20"},
                                              {INTERPRETER_JAVA, 17, 0, "17.0.15", "/java17"},
                                              {INTERPRETER_JAVA, 25, 0, "25.0.3", "/java25"},
                                              {INTERPRETER_RUBY, 3, 1, "3.1.2", "/ruby31"},
                                              {INTERPRETER_DOTNET, 6, 0, "6.0.36", "/net6"},
                                              {INTERPRETER_DOTNET, 9, 0, "9.0.1", "/net9"},
                                          }};
    bool exact;

    (void)state;
    assert_string_equal(chosen(&l, "python3.11", &exact), "/python11");
    assert_true(exact);
    assert_string_equal(chosen(&l, "python3.10", &exact), "/python11"); // of two the newer
    assert_false(exact);
    assert_string_equal(chosen(&l, "nodejs20.x", &exact), "/node20");
    assert_true(exact); // whatever its minor version
    assert_string_equal(chosen(&l, "java21", &exact), "/java25");
    assert_false(exact);
    assert_string_equal(chosen(&l, "java11", &exact), "/java17");
    assert_string_equal(chosen(&l, "ruby3.4", &exact), "/ruby31");
    assert_false(exact);
    assert_string_equal(chosen(&l, "dotnet6", &exact), "/net6");
    assert_true(exact);
    assert_string_equal(chosen(&l, "dotnet8", &exact), "/net9"); // 6 is as near, but older
    assert_false(exact);
    assert_null(chosen(&l, "dotnet10", &exact));
    assert_null(chosen(&l, "go1.x", &exact));
    assert_null(chosen(&l, "provided.al2", &exact));
}

static void put(const char *dir, const char *name, const char *text, mode_t mode)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    assert_int_equal(write_file_atomic(path, str_from(text), mode, NULL), 0);
}

// A home like a JDK's: found by PATH, its version in the file `release`; and the list as a file.
static void test_java_home_and_file(void **state)
{
    char dir[256], path[512];
    struct interpreters found, loaded = {0};
    struct err err = ERR_INIT;
    const char *tmp = getenv("TMPDIR");
    unsigned mine = INTERPRETERS_MAX;

    (void)state;
    snprintf(dir, sizeof(dir), "%s/lambkin-java-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/bin", dir);
    assert_int_equal(mkdir_p(path, 0755, &err), 0);
    put(dir, "bin/java", "\177ELF not really", 0755);
    put(dir, "release", "IMPLEMENTOR=\"Nobody\"\nJAVA_VERSION=\"99.1.2\"\n", 0644);
    assert_int_equal(setenv("PATH", path, 1), 0);
    interpreters_find(&found);
    for (unsigned i = 0; i < found.n; i++)
        if (found.list[i].kind == INTERPRETER_JAVA && found.list[i].major == 99)
            mine = i;
    assert_int_not_equal(mine, INTERPRETERS_MAX);
    assert_int_equal(found.list[mine].minor, 1);
    assert_string_equal(found.list[mine].version, "99.1.2");

    snprintf(path, sizeof(path), "%s/list", dir);
    assert_int_equal(interpreters_save(&found, path, &err), 0);
    assert_int_equal(interpreters_load(&loaded, path, &err), 0);
    assert_int_equal(loaded.n, found.n);
    assert_memory_equal(loaded.list, found.list, sizeof(found.list[0]) * found.n);
    put(dir, "list", "cobol 85 0 85 /cobol\nruby 3 1 3.1.2 /ruby\nruby 3\n", 0644);
    assert_int_equal(interpreters_load(&loaded, path, &err), 0);
    assert_int_equal(loaded.n, 1);
    assert_int_equal(loaded.list[0].kind, INTERPRETER_RUBY);
    assert_int_equal(rm_rf(dir, NULL), 0);
}

// One program, a folder of runtimes beside it.
static void test_dotnet(void **state)
{
    static const char *const versions[] = {"8.0.2", "8.0.11", "10.0.0", "3.1.32", "notes"};
    char dir[256], path[512];
    struct interpreters found;
    struct err err = ERR_INIT;
    const char *tmp = getenv("TMPDIR"), *exact[] = {"10.0.0", "8.0.11"};
    unsigned n = 0;

    (void)state;
    snprintf(dir, sizeof(dir), "%s/lambkin-dotnet-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(dir));
    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        snprintf(path, sizeof(path), "%s/bin/shared/Microsoft.NETCore.App/%s", dir, versions[i]);
        assert_int_equal(mkdir_p(path, 0755, &err), 0);
    }
    put(dir, "bin/dotnet", "\177ELF not really", 0755);
    snprintf(path, sizeof(path), "%s/bin", dir);
    assert_int_equal(setenv("PATH", path, 1), 0);
    interpreters_find(&found);
    for (unsigned i = 0; i < found.n; i++) {
        if (found.list[i].kind != INTERPRETER_DOTNET ||
            !str_starts(str_from(found.list[i].path), str_from(dir)))
            continue;
        assert_true(n < ARRAY_LEN(exact));
        assert_string_equal(found.list[i].version, exact[n++]); // of each major the newest
    }
    assert_int_equal(n, ARRAY_LEN(exact));
    // Outside of a folder called bin it would bring its neighbours into sandboxes.
    char other[512];
    snprintf(other, sizeof(other), "%s/net", dir);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(setenv("PATH", other, 1), 0);
    interpreters_find(&found);
    for (unsigned i = 0; i < found.n; i++)
        assert_false(str_starts(str_from(found.list[i].path), str_from(dir)));
    assert_int_equal(rm_rf(dir, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dotnet),
        cmocka_unit_test(test_wishes),
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_java_home_and_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
