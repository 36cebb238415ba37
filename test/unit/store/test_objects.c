// test_objects.c - large objects: complete under their names, or not there.
#include "base/cleanup.h"
#include "scratch.h"
#include "store/store_objects.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[SCRATCH_BYTES];
static struct store_objects *objects;

static void open_objects(void)
{
    struct err err = ERR_INIT;

    if (store_objects_open(scratch_path(dir, "objects"), false, &objects, &err) < 0)
        fail_msg("%s", err.message);
}

static int setup(void **state)
{
    (void)state;
    scratch_make(dir);
    open_objects();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    store_objects_close(objects);
    scratch_remove(dir);
    return 0;
}

static int add_one(void *ctx, const struct store_object_info *info)
{
    struct store_object_info *sum = ctx;

    sum->bytes += info->bytes;
    sum->modified_ms++; // counts
    return 0;
}

static int64_t count(void)
{
    struct store_object_info sum = {NULL, 0, 0};
    struct err err = ERR_INIT;

    assert_int_equal(store_objects_each(objects, add_one, &sum, &err), 0);
    return sum.modified_ms;
}

static void expect_content(const char *name, struct str want)
{
    struct err err = ERR_INIT;
    char got[256];
    int64_t bytes;
    int fd;

    if (store_object_open(objects, name, &fd, &bytes, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(bytes, want.len);
    assert_int_equal(read(fd, got, sizeof(got)), want.len);
    assert_memory_equal(got, want.ptr, want.len);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    close(fd);
}

static void by_content(void **state)
{
    char name[STORE_OBJECT_NAME_BYTES], again[STORE_OBJECT_NAME_BYTES];
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(store_object_put(objects, STR("abc"), name, &err), 0);
    assert_string_equal(name, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect_content(name, STR("abc"));
    assert_int_equal(store_object_put(objects, STR("abc"), again, &err), 0);
    assert_string_equal(name, again);
    assert_int_equal(count(), 1);
    assert_int_equal(store_object_put(objects, STR(""), again, &err), 0);
    expect_content(again, STR(""));
    assert_int_equal(count(), 2);
    assert_true(store_object_exists(objects, name));
    assert_int_equal(store_object_remove(objects, name, &err), 0);
    assert_int_equal(store_object_remove(objects, name, &err), 0);
    assert_false(store_object_exists(objects, name));
}

static void by_name_in_pieces(void **state)
{
    struct store_object_writer *w = NULL;
    struct err err = ERR_INIT;
    int64_t bytes;
    int fd;

    (void)state;
    assert_int_equal(store_object_begin(objects, &w, &err), 0);
    assert_int_equal(store_object_write(w, STR("one "), &err), 0);
    assert_int_equal(store_object_write(w, STR_NULL, &err), 0);
    assert_int_equal(store_object_write(w, STR("two"), &err), 0);
    assert_int_equal(store_object_written(w), 7);
    assert_int_equal(count(), 0); // not before it is complete
    assert_int_equal(store_object_open(objects, "bucket-1.zip", &fd, &bytes, &err), -ENOENT);
    assert_int_equal(store_object_commit_as(&w, "bucket-1.zip", &err), 0);
    assert_null(w);
    expect_content("bucket-1.zip", STR("one two"));
    assert_int_equal(store_object_begin(objects, &w, &err), 0);
    assert_int_equal(store_object_write(w, STR("new"), &err), 0);
    assert_int_equal(store_object_commit_as(&w, "bucket-1.zip", &err), 0);
    expect_content("bucket-1.zip", STR("new"));
    assert_int_equal(count(), 1);
}

static void an_aborted_object_leaves_nothing(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    {
        _cleanup_(store_object_abortp) struct store_object_writer *w = NULL;
        assert_int_equal(store_object_begin(objects, &w, &err), 0);
        assert_int_equal(store_object_write(w, STR("x"), &err), 0);
    }
    store_object_abort(NULL);
    assert_int_equal(count(), 0);
    store_objects_close(objects);
    objects = NULL;
    assert_int_equal(rmdir(scratch_path(dir, "objects")), 0); // not even a hidden one
    open_objects();
}

static void bad_names_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        ".",
        "..",
        ".tmp-1",
        "a/b",
        "../x",
        "/etc/passwd",
        "a b",
        "a\nb",
        "a\x80",
        "0123456789012345678901234567890123456789"
        "0123456789012345678901234567890123456789012345678901234567890"
        "0123456789012345678901234567890"};
    struct err err = ERR_INIT;
    char path[300];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct store_object_writer *w = NULL;
        int64_t bytes;
        int fd;
        assert_int_equal(store_object_open(objects, bad[i], &fd, &bytes, &err), -EINVAL);
        assert_int_equal(store_object_remove(objects, bad[i], &err), -EINVAL);
        assert_false(store_object_exists(objects, bad[i]));
        assert_false(store_object_path(objects, bad[i], path, sizeof(path)));
        assert_int_equal(store_object_begin(objects, &w, &err), 0);
        assert_int_equal(store_object_commit_as(&w, bad[i], &err), -EINVAL);
    }
    assert_true(store_object_path(objects, "good", path, sizeof(path)));
    assert_string_equal(path + strlen(path) - 13, "/objects/good");
    assert_false(store_object_path(objects, "good", path, 10));
    assert_int_equal(count(), 0);
}

static void what_a_dead_process_left_is_removed(void **state)
{
    char name[STORE_OBJECT_NAME_BYTES];
    struct err err = ERR_INIT;
    int fd = open(scratch_path(dir, "objects/.tmp-999-1"), O_CREAT | O_WRONLY, 0600);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(store_object_put(objects, STR("kept"), name, &err), 0);
    store_objects_close(objects);
    open_objects();
    assert_int_equal(access(scratch_path(dir, "objects/.tmp-999-1"), F_OK), -1);
    expect_content(name, STR("kept"));
}

static bool used(void *ctx, const char *name)
{
    return strcmp(name, ctx) == 0;
}

static int stop_at_once(void *ctx, const struct store_object_info *info)
{
    (void)info;
    return *(int *)ctx;
}

static void garbage_is_collected(void **state)
{
    char kept[STORE_OBJECT_NAME_BYTES], gone[STORE_OBJECT_NAME_BYTES];
    struct err err = ERR_INIT;
    int answer = 7;

    (void)state;
    assert_int_equal(store_object_put(objects, STR("kept"), kept, &err), 0);
    assert_int_equal(store_object_put(objects, STR("gone"), gone, &err), 0);
    assert_int_equal(store_objects_collect(objects, 0, used, kept, &err), 0); // too young
    assert_int_equal(count(), 2);
    assert_int_equal(store_objects_each(objects, stop_at_once, &answer, &err), 7);
    assert_int_equal(store_objects_collect(objects, INT64_MAX, used, kept, &err), 1);
    assert_true(store_object_exists(objects, kept));
    assert_false(store_object_exists(objects, gone));
}

static void a_write_that_fails_is_final(void **state)
{
    struct rlimit old, small;
    struct store_object_writer *w = NULL;
    struct err err = ERR_INIT;
    char block[4096] = {0};
    int r = 0;

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){10000, old.rlim_max};
    assert_int_equal(store_object_begin(objects, &w, &err), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (int i = 0; i < 10 && r == 0; i++)
        r = store_object_write(w, (struct str){block, sizeof(block)}, &err);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(r, -EFBIG);
    assert_int_equal(store_object_write(w, STR("x"), &err), -EFBIG);
    assert_int_equal(store_object_commit_as(&w, "half", &err), -EFBIG);
    assert_null(w);
    assert_int_equal(count(), 0);
}

static void a_directory_that_cannot_be(void **state)
{
    struct store_objects *o = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(store_objects_open(scratch_path(dir, "no/where"), false, &o, &err), -ENOENT);
    assert_null(o);
    assert_non_null(strstr(err.message, "no/where"));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(by_content),
        CASE(by_name_in_pieces),
        CASE(an_aborted_object_leaves_nothing),
        CASE(bad_names_are_refused),
        CASE(what_a_dead_process_left_is_removed),
        CASE(garbage_is_collected),
        CASE(a_write_that_fails_is_final),
        CASE(a_directory_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
