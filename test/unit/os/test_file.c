// test_file.c - files and trees, in a temporary folder of its own.
#include "base/cleanup.h"
#include "os/fd.h"
#include "os/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static struct arena arena;
static struct str dir;

static const char *path(const char *name)
{
    return arena_printf(&arena, "%s/%s", dir.ptr, name).ptr;
}

static int setup(void **state)
{
    struct err err = ERR_INIT;
    (void)state;

    arena_init(&arena, 16 << 20);
    return make_temp_dir(&arena, "lambkin-test-", &dir, &err);
}

static int teardown(void **state)
{
    struct err err = ERR_INIT;
    (void)state;

    int r = rm_rf(dir.ptr, &err);
    arena_finish(&arena);
    return r;
}

static void test_written_files_read_back(void **state)
{
    struct err err = ERR_INIT;
    struct str s;
    struct stat st;
    (void)state;

    assert_int_equal(write_file_atomic(path("a"), STR("first"), 0600, &err), 0);
    assert_int_equal(write_file_atomic(path("a"), STR("second\0x"), 0640, &err), 0);
    assert_int_equal(read_file(&arena, path("a"), 100, &s, &err), 0);
    assert_int_equal(s.len, 8);
    assert_memory_equal(s.ptr, "second\0x", 9);
    assert_int_equal(stat(path("a"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(read_file(&arena, path("a"), 8, &s, &err), 0);
    assert_int_equal(read_file(&arena, path("a"), 7, &s, &err), -EFBIG);
    assert_int_equal(read_file(&arena, path("none"), 7, &s, &err), -ENOENT);
    assert_int_equal(read_file(&arena, dir.ptr, 7, &s, &err), -EISDIR);
    assert_int_equal(write_file_atomic(path("none/x"), STR("x"), 0600, &err), -ENOENT);
    assert_int_equal(read_file(&arena, "/proc/self/status", 1 << 20, &s, &err), 0);
    assert_true(s.len > 10);
    // Nothing temporary stays.
    assert_int_equal(write_file_atomic(path("empty"), STR(""), 0600, &err), 0);
    assert_int_equal(read_file(&arena, path("empty"), 0, &s, &err), 0);
    assert_int_equal(s.len, 0);
}

static void test_mkdir_p(void **state)
{
    struct err err = ERR_INIT;
    (void)state;

    assert_int_equal(mkdir_p(path("p/q//r/"), 0755, &err), 0);
    assert_int_equal(mkdir_p(path("p/q/r"), 0755, &err), 0);
    assert_int_equal(access(path("p/q/r"), F_OK), 0);
    assert_int_equal(write_file_atomic(path("file"), STR("x"), 0600, &err), 0);
    assert_int_equal(mkdir_p(path("file/x"), 0755, &err), -ENOTDIR);
    assert_int_equal(mkdir_p("", 0755, &err), -ENOENT);
}

static void test_rm_rf_takes_all_and_follows_nothing(void **state)
{
    struct err err = ERR_INIT;
    (void)state;

    assert_int_equal(mkdir_p(path("keep"), 0755, &err), 0);
    assert_int_equal(write_file_atomic(path("keep/me"), STR("x"), 0600, &err), 0);
    assert_int_equal(mkdir_p(path("tree/a/b"), 0755, &err), 0);
    assert_int_equal(symlink(path("keep"), path("tree/link")), 0);
    assert_int_equal(symlink("../../keep", path("tree/a/link")), 0);
    assert_int_equal(mkfifo(path("tree/a/fifo"), 0600), 0);
    assert_int_equal(write_file_atomic(path("tree/a/b/f"), STR("x"), 0600, &err), 0);
    assert_int_equal(chmod(path("tree/a/b"), 0), 0);
    assert_int_equal(chmod(path("tree/a"), 0500), 0);
    assert_int_equal(rm_rf(path("tree"), &err), 0);
    assert_int_equal(access(path("tree"), F_OK), -1);
    assert_int_equal(access(path("keep/me"), F_OK), 0);
    assert_int_equal(rm_rf(path("tree"), &err), 0);
    assert_int_equal(symlink(path("keep"), path("link")), 0);
    assert_int_equal(rm_rf(path("link"), &err), 0);
    assert_int_equal(access(path("keep/me"), F_OK), 0);
    assert_int_equal(rm_rf(path("keep/me"), &err), 0);
}

static void test_rm_rf_of_a_very_deep_tree(void **state)
{
    struct err err = ERR_INIT;
    _cleanup_close_ int at = open(dir.ptr, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    (void)state;

    assert_int_equal(mkdirat(at, "deep", 0700), 0);
    int fd = openat(at, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 500; i++) { // deeper than descriptors are spent, longer than PATH_MAX
        assert_int_equal(mkdirat(fd, "abcdefgh", 0700), 0);
        assert_int_equal(mkdirat(fd, "side", 0700), 0);
        int next = openat(fd, "abcdefgh", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        close(fd);
        fd = next;
    }
    close(fd);
    assert_int_equal(rm_rf(path("deep"), &err), 0);
    assert_int_equal(faccessat(at, "deep", F_OK, 0), -1);
}

static void test_locks(void **state)
{
    struct err err = ERR_INIT;
    (void)state;

    int first = lock_file(path("lock"), &err);
    assert_true(first >= 0);
    assert_int_equal(lock_file(path("lock"), &err), -EWOULDBLOCK);
    assert_non_null(strstr(err.message, "another process"));
    close(first);
    _cleanup_close_ int second = lock_file(path("lock"), &err);
    assert_true(second >= 0);
}

static void test_descriptors(void **state)
{
    struct err err = ERR_INIT;
    _cleanup_(buf_finishp) struct buf b = {0};
    char two[3] = {0};
    (void)state;

    _cleanup_close_ int fd = fd_memfd("test", STR("0123456789"), &err);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), -1);
    assert_int_equal(fd_pread_full(fd, two, 2, 8), 2);
    assert_string_equal(two, "89");
    assert_int_equal(fd_pread_full(fd, two, 2, 9), 1);
    buf_init(&b, 9);
    assert_int_equal(fd_read_all(fd, &b), -EFBIG);
    buf_finish(&b);
    buf_init(&b, 10);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(fd_read_all(fd, &b), 0);
    assert_int_equal(b.len, 10);
    _cleanup_close_ int temp = open_unlinked(dir.ptr, &err);
    assert_true(temp >= 0);
    assert_int_equal(fd_pwrite_full(temp, "abc", 3, 5), 0);
    assert_int_equal(fd_pread_full(temp, two, 2, 6), 2);
    assert_string_equal(two, "bc");
    assert_int_equal(open_unlinked(path("nowhere"), &err), -ENOENT);
    int gone = dup(temp);
    int kept = TAKE_FD(gone);
    assert_int_equal(gone, -1);
    closep(&kept);
    closep(&kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written_files_read_back),
        cmocka_unit_test(test_mkdir_p),
        cmocka_unit_test(test_rm_rf_takes_all_and_follows_nothing),
        cmocka_unit_test(test_rm_rf_of_a_very_deep_tree),
        cmocka_unit_test(test_locks),
        cmocka_unit_test(test_descriptors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
