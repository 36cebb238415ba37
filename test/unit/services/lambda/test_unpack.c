// test_unpack.c - packages from hostile hands: nothing leaves the tree, nothing gets too big.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "os/fd.h"
#include "os/file.h"
#include "services/lambda/packages.h"
#include "services/lambda/unpack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_ZIP ((size_t)64 << 20)

// --- a writer of zips that no decent tool would write ---

struct zip {
    struct buf out, directory;
    unsigned entries;
};

static void zip_begin(struct zip *z)
{
    buf_init(&z->out, MAX_ZIP);
    buf_init(&z->directory, MAX_ZIP);
    z->entries = 0;
}

static void le16(struct buf *b, unsigned v)
{
    buf_add_char(b, (char)(v & 255));
    buf_add_char(b, (char)(v >> 8 & 255));
}

static void le32(struct buf *b, uint32_t v)
{
    le16(b, v & 0xffff);
    le16(b, v >> 16);
}

// Stored, with this Unix mode (0: none) and general purpose flags.
static void zip_add(struct zip *z, struct str name, uint32_t mode, struct str content,
                    unsigned flags)
{
    uint32_t crc = hash_crc32(0, content), at = (uint32_t)z->out.len;

    le32(&z->out, 0x04034b50);
    le16(&z->out, 20);
    le16(&z->out, flags);
    le16(&z->out, 0);
    le32(&z->out, 0x5c210000); // 2026-01-01
    le32(&z->out, crc);
    le32(&z->out, (uint32_t)content.len);
    le32(&z->out, (uint32_t)content.len);
    le16(&z->out, (unsigned)name.len);
    le16(&z->out, 0);
    buf_add(&z->out, name);
    buf_add(&z->out, content);

    le32(&z->directory, 0x02014b50);
    le16(&z->directory, mode ? 3 << 8 | 20 : 20);
    le16(&z->directory, 20);
    le16(&z->directory, flags);
    le16(&z->directory, 0);
    le32(&z->directory, 0x5c210000);
    le32(&z->directory, crc);
    le32(&z->directory, (uint32_t)content.len);
    le32(&z->directory, (uint32_t)content.len);
    le16(&z->directory, (unsigned)name.len);
    le16(&z->directory, 0);
    le16(&z->directory, 0);
    le16(&z->directory, 0);
    le16(&z->directory, 0);
    le32(&z->directory, mode << 16);
    le32(&z->directory, at);
    buf_add(&z->directory, name);
    z->entries++;
}

static struct str zip_end(struct zip *z)
{
    size_t at = z->out.len, bytes = z->directory.len;

    buf_add(&z->out, buf_str(&z->directory));
    le32(&z->out, 0x06054b50);
    le32(&z->out, 0);
    le16(&z->out, z->entries);
    le16(&z->out, z->entries);
    le32(&z->out, (uint32_t)bytes);
    le32(&z->out, (uint32_t)at);
    le16(&z->out, 0);
    assert_false(z->out.failed);
    return buf_str(&z->out);
}

static void zip_free(struct zip *z)
{
    buf_finish(&z->out);
    buf_finish(&z->directory);
}

// --- a tree to unpack into ---

static struct arena arena;
static char *scratch; // holds "tree" and, beside it, nothing that may change

static int fresh_tree(void)
{
    char *path = arena_cstr(&arena, arena_printf(&arena, "%s/tree", scratch));

    assert_int_equal(rm_rf(path, NULL), 0);
    assert_int_equal(mkdir(path, 0755), 0);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static unsigned beside_the_tree(void)
{
    DIR *d = opendir(scratch);
    unsigned n = 0;

    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 3; // ".", "..", "tree"
}

static int unpack(struct str zip, struct err *err)
{
    struct unpacked done;
    int fd = fresh_tree();
    int r = unpack_zip(fd, zip, 1 << 20, &done, err);

    close(fd);
    assert_int_equal(beside_the_tree(), 0);
    return r;
}

static int unpack_one(struct str name, uint32_t mode, struct str content, unsigned flags)
{
    struct err err = ERR_INIT;
    struct zip z;

    zip_begin(&z);
    zip_add(&z, STR("app.py"), 0100644, STR("x = 1\n"), 0);
    zip_add(&z, name, mode, content, flags);
    int r = unpack(zip_end(&z), &err);
    if (r < 0 && (!err.aws || strcmp(err.aws->code, "InvalidParameterValueException") != 0))
        fail_msg("%.*s: %s", STR_ARG(name), err.message);
    zip_free(&z);
    return r;
}

static mode_t mode_of(const char *name)
{
    struct stat st;

    if (lstat(arena_cstr(&arena, arena_printf(&arena, "%s/tree/%s", scratch, name)), &st) < 0)
        return 0;
    return st.st_mode;
}

// --- tests ---

static void decent(void **state)
{
    struct err err = ERR_INIT;
    struct zip z;

    (void)state;
    zip_begin(&z);
    zip_add(&z, STR("lib/"), 040700, STR(""), 0);
    zip_add(&z, STR("lib/deep/er/a.txt"), 0100600, STR("a"), 0);
    zip_add(&z, STR("./dotted"), 0100644, STR("b"), 0);
    zip_add(&z, STR("bootstrap"), 0100700, STR("#!/bin/sh\n"), 0);
    zip_add(&z, STR("no-mode"), 0, STR("c"), 0);
    zip_add(&z, STR("twice"), 0100644, STR("old"), 0);
    zip_add(&z, STR("twice"), 0100644, STR("new"), 0);
    zip_add(&z, STR("lib/link"), 0120777, STR("deep/er/a.txt"), 0);
    zip_add(&z, STR("lib/up"), 0120777, STR("../twice"), 0);
    zip_add(&z, STR("gr\xc3\xbc\xc3\x9f.txt"), 0100644, STR("d"), 0x800);
    assert_int_equal(unpack(zip_end(&z), &err), 0);
    assert_int_equal(mode_of("lib"), 040755);
    assert_int_equal(mode_of("lib/deep"), 040755);
    assert_int_equal(mode_of("lib/deep/er/a.txt"), 0100644);
    assert_int_equal(mode_of("bootstrap"), 0100755);
    assert_int_equal(mode_of("no-mode"), 0100644);
    assert_int_equal(mode_of("dotted"), 0100644);
    assert_true(S_ISLNK(mode_of("lib/link")));
    assert_int_equal(mode_of("gr\xc3\xbc\xc3\x9f.txt"), 0100644);
    struct str content;
    char *path = arena_cstr(&arena, arena_printf(&arena, "%s/tree/twice", scratch));
    assert_int_equal(read_file(&arena, path, 100, &content, NULL), 0);
    assert_true(str_eq(content, STR("new")));
    zip_free(&z);
}

static void slips(void **state)
{
    static const struct {
        const char *name;
        uint32_t mode;
        const char *content;
        unsigned flags;
    } bad[] = {
        {"../evil", 0100644, "x", 0},
        {"a/../../evil", 0100644, "x", 0},
        {"a/..", 0100644, "x", 0},
        {"..", 040755, "", 0},
        {"/tmp/lambkin-evil", 0100644, "x", 0},
        {"//evil", 0100644, "x", 0},
        {"dev", 0020666, "", 0},    // character device
        {"disk", 0060666, "", 0},   // block device
        {"socket", 0140666, "", 0}, // socket
        {"out", 0120777, "/etc/passwd", 0},
        {"out", 0120777, "../tree-evil", 0},
        {"a/out", 0120777, "../../x", 0},
        {"a/out", 0120777, "b/../../../x", 0},
        {"app.py/x", 0100644, "x", 0},             // a file as a folder
        {"secret", 0100644, "123456789012345", 1}, // encrypted
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (unpack_one(str_from(bad[i].name), bad[i].mode, str_from(bad[i].content),
                       bad[i].flags) == 0)
            fail_msg("%s %o %s: taken", bad[i].name, bad[i].mode, bad[i].content);
}

// libarchive takes a FIFO in a zip for a file: then that is what it becomes.
static void no_fifo(void **state)
{
    (void)state;
    if (unpack_one(STR("pipe"), 0010666, STR(""), 0) == 0)
        assert_true(S_ISREG(mode_of("pipe")));
}

// The archive makes a link and then writes through it.
static void through_a_link(void **state)
{
    struct err err = ERR_INIT;
    struct zip z;

    (void)state;
    zip_begin(&z);
    zip_add(&z, STR("lib/"), 040755, STR(""), 0);
    zip_add(&z, STR("here"), 0120777, STR("lib"), 0);
    zip_add(&z, STR("here/file"), 0100644, STR("x"), 0);
    assert_true(unpack(zip_end(&z), &err) < 0);
    zip_free(&z);

    // A file over a link replaces the link; what it points to stays.
    zip_begin(&z);
    zip_add(&z, STR("target"), 0100644, STR("precious"), 0);
    zip_add(&z, STR("link"), 0120777, STR("target"), 0);
    zip_add(&z, STR("link"), 0100644, STR("x"), 0);
    assert_int_equal(unpack(zip_end(&z), &err), 0);
    struct str content;
    char *path = arena_cstr(&arena, arena_printf(&arena, "%s/tree/target", scratch));
    assert_int_equal(read_file(&arena, path, 100, &content, NULL), 0);
    assert_true(str_eq(content, STR("precious")));
    zip_free(&z);
}

static void too_much(void **state)
{
    struct err err = ERR_INIT;
    struct zip z;
    char *big = arena_zalloc(&arena, (1 << 20) + 1);

    (void)state;
    zip_begin(&z);
    zip_add(&z, STR("big"), 0100644, (struct str){big, (1 << 20) + 1}, 0);
    assert_true(unpack(zip_end(&z), &err) < 0);
    assert_non_null(strstr(err.message, "Unzipped size must be smaller than 262144000 bytes"));
    zip_free(&z);

    // Many small ones that are too much together.
    zip_begin(&z);
    for (int i = 0; i < 20; i++)
        zip_add(&z, arena_printf(&arena, "f%d", i), 0100644, (struct str){big, 60000}, 0);
    assert_true(unpack(zip_end(&z), &err) < 0);
    zip_free(&z);

    // Names: too long, too deep.
    char name[PACKAGE_MAX_NAME_BYTES + 2];
    memset(name, 'a', sizeof(name));
    assert_true(unpack_one((struct str){name, 256}, 0100644, STR("x"), 0) < 0);
    for (size_t i = 1; i < sizeof(name); i += 2)
        name[i] = '/';
    assert_true(unpack_one((struct str){name, 2 * PACKAGE_MAX_DEPTH + 9}, 0100644, STR("x"), 0) <
                0);
    assert_true(unpack_one((struct str){name, sizeof(name)}, 0100644, STR("x"), 0) < 0);
}

static void no_zip(void **state)
{
    static const char *const texts[] = {"", "hello", "PK", "PK\3\4", "\x1f\x8b\x08", "PK\5\6aaaa"};
    struct err err;
    struct zip z;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        err = (struct err)ERR_INIT;
        assert_true(unpack(str_from(texts[i]), &err) < 0);
        assert_ptr_equal(err.aws, &PACKAGE_INVALID);
    }
    // An empty archive.
    zip_begin(&z);
    assert_true(unpack(zip_end(&z), &err) < 0);
    zip_free(&z);
    // Each truncation and each flipped byte of a good one: an answer, never harm.
    zip_begin(&z);
    zip_add(&z, STR("app.py"), 0100644, STR("x = 1\n"), 0);
    zip_add(&z, STR("lib/"), 040755, STR(""), 0);
    zip_add(&z, STR("lib/link"), 0120777, STR("../app.py"), 0);
    struct str whole = zip_end(&z);
    for (size_t n = 0; n < whole.len; n++)
        unpack(str_slice(whole, 0, n), &err);
    for (size_t i = 0; i < whole.len; i++) {
        char *copy = arena_cstr(&arena, whole);
        copy[i] = (char)~copy[i];
        unpack((struct str){copy, whole.len}, &err);
    }
    zip_free(&z);
}

static void links(void **state)
{
    (void)state;
    assert_true(unpack_link_stays(STR("a"), STR("b")));
    assert_true(unpack_link_stays(STR("a/b"), STR("../c")));
    assert_true(unpack_link_stays(STR("a/b/c"), STR("../../d")));
    assert_true(unpack_link_stays(STR("a/b"), STR("./../a/./c")));
    assert_false(unpack_link_stays(STR("a"), STR("..")));
    assert_false(unpack_link_stays(STR("a"), STR("../b")));
    assert_false(unpack_link_stays(STR("a/b"), STR("../../c")));
    assert_false(unpack_link_stays(STR("a/b"), STR("x/../../../a")));
    assert_false(unpack_link_stays(STR("a"), STR("/etc")));
    assert_false(unpack_link_stays(STR("a"), STR("")));
}

// The store of packages: by content, once, complete, and gone when unused.
static void stored(void **state)
{
    char *code = arena_cstr(&arena, arena_printf(&arena, "%s/tree", scratch));
    struct package first, second;
    struct err err = ERR_INIT;
    struct map used = {0};
    struct zip z;
    uint64_t bytes;

    (void)state;
    close(fresh_tree());
    zip_begin(&z);
    zip_add(&z, STR("app.py"), 0100644, STR("x = 1\n"), 0);
    struct str zip = zip_end(&z);
    assert_int_equal(package_store(code, zip, 1 << 20, &first, &err), 0);
    assert_int_equal(first.unpacked_bytes, 6);
    assert_int_equal(first.zip_bytes, zip.len);
    assert_int_equal(package_store(code, zip, 1 << 20, &second, &err), 0);
    assert_memory_equal(&first, &second, sizeof(first));
    assert_true(package_store(code, zip, 5, &second, &err) < 0);
    int fd = package_open_zip(code, str_from(first.sha256), &bytes, &err);
    assert_true(fd >= 0 && bytes == zip.len);
    close(fd);
    assert_true(package_open_zip(code, STR("../../etc/passwd"), &bytes, &err) < 0);
    char name[SHA256_HEX_BYTES];
    assert_true(package_name(str_from(first.sha256_base64), name));
    assert_string_equal(name, first.sha256);
    assert_false(package_name(STR("nonsense"), name));

    // What is used stays, what is not goes, together with leftovers.
    assert_int_equal(mkdir(arena_cstr(&arena, arena_printf(&arena, "%s/.tmp-x", code)), 0700), 0);
    assert_int_equal(map_set(&used, str_from(first.sha256), &first, NULL), 0);
    package_collect(code, &used);
    assert_int_equal(package_unpacked_bytes(code, first.sha256), 6);
    assert_int_equal(mode_of(".tmp-x"), 0);
    map_clear(&used);
    package_collect(code, &used);
    assert_int_equal(mode_of(first.sha256), 0);
    assert_true(package_open_zip(code, str_from(first.sha256), &bytes, &err) < 0);
    map_finish(&used);

    // A bad one leaves nothing.
    assert_true(package_store(code, STR("PK nonsense"), 1 << 20, &second, &err) < 0);
    assert_int_equal(package_check(code, zip, 1 << 20, &second, &err), 0);
    DIR *d = opendir(code);
    unsigned n = 0;
    while (readdir(d))
        n++;
    closedir(d);
    assert_int_equal(n, 2);
    zip_free(&z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decent),         cmocka_unit_test(slips),    cmocka_unit_test(no_fifo),
        cmocka_unit_test(through_a_link), cmocka_unit_test(too_much), cmocka_unit_test(no_zip),
        cmocka_unit_test(links),          cmocka_unit_test(stored),
    };
    struct str dir;

    arena_init(&arena, (size_t)256 << 20);
    if (make_temp_dir(&arena, "lambkin-unpack-", &dir, NULL) < 0)
        return 1;
    scratch = arena_cstr(&arena, dir);
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    rm_rf(scratch, NULL);
    arena_finish(&arena);
    return r;
}
