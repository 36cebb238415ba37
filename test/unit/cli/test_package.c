// test_package.c - zipping a folder, and what is found in it.
#include "base/cleanup.h"
#include "cli/package.h"
#include "os/file.h"

#include <archive.h>
#include <archive_entry.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

struct folder {
    struct arena arena;
    const char *path;
};

static int make(void **state)
{
    static struct folder f;
    struct err err = ERR_INIT;
    struct str path;

    arena_init(&f.arena, 1 << 20);
    if (make_temp_dir(&f.arena, "test-package-", &path, &err) < 0)
        return -1;
    f.path = arena_cstr(&f.arena, path);
    *state = &f;
    return 0;
}

static int unmake(void **state)
{
    struct folder *f = *state;
    struct err err = ERR_INIT;
    int r = rm_rf(f->path, &err);

    arena_finish(&f->arena);
    return r;
}

static void put(struct folder *f, const char *name, const char *text, mode_t mode)
{
    struct err err = ERR_INIT;
    char path[600];

    snprintf(path, sizeof(path), "%s/%s", f->path, name);
    for (char *p = path + strlen(f->path) + 1; (p = strchr(p, '/')); p++) {
        *p = '\0';
        mkdir(path, 0755);
        *p = '/';
    }
    assert_int_equal(write_file_atomic(path, str_from(text), mode, &err), 0);
}

static void test_zip_is_sorted_and_always_the_same(void **state)
{
    struct folder *f = *state;
    struct package_counts counts;
    struct err err = ERR_INIT;
    struct buf one, two;
    struct archive *a;
    struct archive_entry *e;
    static const struct {
        const char *name;
        mode_t mode;
    } expected[] = {{"bootstrap", 0755}, {"lib/deep/x.txt", 0644}, {"z.txt", 0644}};
    unsigned n = 0;

    put(f, "z.txt", "z", 0600);
    put(f, "bootstrap", "#!/bin/sh\n", 0700);
    put(f, "lib/deep/x.txt", "x", 0644);
    put(f, ".git/config", "no", 0644);
    put(f, "__pycache__/z.pyc", "no", 0644);
    put(f, "lib/old.pyc", "no", 0644);
    buf_init(&one, 1 << 20);
    buf_init(&two, 1 << 20);
    assert_int_equal(package_zip(f->path, &one, &counts, &err), 0);
    assert_int_equal(counts.files, 3);
    assert_int_equal(package_zip(f->path, &two, &counts, &err), 0);
    assert_true(str_eq(buf_str(&one), buf_str(&two)));
    a = archive_read_new();
    archive_read_support_format_zip(a);
    assert_int_equal(archive_read_open_memory(a, one.ptr, one.len), ARCHIVE_OK);
    while (archive_read_next_header(a, &e) == ARCHIVE_OK) {
        assert_true(n < ARRAY_LEN(expected));
        assert_string_equal(archive_entry_pathname(e), expected[n].name);
        assert_int_equal(archive_entry_perm(e) & 0777, expected[n].mode);
        n++;
    }
    assert_int_equal(n, ARRAY_LEN(expected));
    archive_read_free(a);
    buf_finish(&one);
    buf_finish(&two);
}

static void test_an_empty_folder_is_refused(void **state)
{
    struct folder *f = *state;
    struct package_counts counts;
    struct err err = ERR_INIT;
    struct buf b;

    buf_init(&b, 1 << 20);
    assert_true(package_zip(f->path, &b, &counts, &err) < 0);
    assert_true(package_zip("/nonexistent/folder", &b, &counts, &err) < 0);
    buf_finish(&b);
}

static void expect_kind(struct folder *f, const char *runtime, const char *handler)
{
    struct package_counts counts;
    struct package_kind kind = {0}, zipped = {0};
    struct err err = ERR_INIT;
    struct buf b;

    assert_int_equal(package_kind_of_dir(&f->arena, f->path, &kind, &err), 0);
    buf_init(&b, 1 << 20);
    assert_int_equal(package_zip(f->path, &b, &counts, &err), 0);
    assert_int_equal(package_kind_of_zip(&f->arena, buf_str(&b), &zipped, &err), 0);
    buf_finish(&b);
    assert_true(str_starts(kind.runtime, str_from(runtime)));
    assert_true(str_eq(kind.handler, str_from(handler)));
    assert_true(str_eq(kind.runtime, zipped.runtime) && str_eq(kind.handler, zipped.handler));
}

static void test_python_is_found(void **state)
{
    struct folder *f = *state;

    put(f, "util.py", "def handler(): pass\n", 0644);
    expect_kind(f, "python3", "util.handler");
    put(f, "lambda_function.py", "import util\ndef lambda_handler(event, context): pass\n", 0644);
    expect_kind(f, "python3", "lambda_function.lambda_handler");
}

static void test_node_is_found(void **state)
{
    struct folder *f = *state;

    put(f, "index.mjs", "export const handler = async () => 1;\n", 0644);
    put(f, "setup.py", "x = 1\n", 0644);
    expect_kind(f, "nodejs", "index.handler");
}

static void test_bundled_node_is_found(void **state)
{
    struct folder *f = *state;

    put(f, "index.mjs", "var handler = async () => 1;\nexport {\n  handler\n};\n", 0644);
    expect_kind(f, "nodejs", "index.handler");
}

static void test_bootstrap_wins(void **state)
{
    struct folder *f = *state;

    put(f, "app.py", "def handler(e, c): pass\n", 0644);
    put(f, "bootstrap", "#!/bin/sh\n", 0755);
    expect_kind(f, "provided", "bootstrap");
}

static void test_nothing_is_found(void **state)
{
    struct folder *f = *state;

    put(f, "README", "handler", 0644);
    expect_kind(f, "", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_zip_is_sorted_and_always_the_same, make, unmake),
        cmocka_unit_test_setup_teardown(test_an_empty_folder_is_refused, make, unmake),
        cmocka_unit_test_setup_teardown(test_python_is_found, make, unmake),
        cmocka_unit_test_setup_teardown(test_node_is_found, make, unmake),
        cmocka_unit_test_setup_teardown(test_bundled_node_is_found, make, unmake),
        cmocka_unit_test_setup_teardown(test_bootstrap_wins, make, unmake),
        cmocka_unit_test_setup_teardown(test_nothing_is_found, make, unmake),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
