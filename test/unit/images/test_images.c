// test_images.c - URIs, paths of a stranger's tree, and layers that were built to do harm. Layers
// are applied twice: with the kernel's way of staying inside, and with ours.
#include "images/images_impl.h"

#include "base/cleanup.h"
#include "os/fd.h"
#include "os/file.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

// ---- URIs ----

static void test_references(void **state)
{
    static const struct {
        const char *uri;
        int r;
        enum image_place place;
        const char *path, *tag;
    } cases[] = {
        {"oci:/a/b", 0, IMAGE_OCI_LAYOUT, "/a/b", NULL},
        {"oci:/a/b:v1", 0, IMAGE_OCI_LAYOUT, "/a/b", "v1"},
        {"oci-archive:/a.tar:v1", 0, IMAGE_OCI_ARCHIVE, "/a.tar", "v1"},
        {"docker-archive:/a.tar:repo/name:tag", 0, IMAGE_DOCKER_ARCHIVE, "/a.tar", "repo/name:tag"},
        {"/a.tar", 0, IMAGE_ANY_PATH, "/a.tar", NULL},
        {"000000000000.dkr.ecr.us-east-1.amazonaws.com/r:t", 0, IMAGE_REGISTRY,
         "000000000000.dkr.ecr.us-east-1.amazonaws.com/r:t", NULL},
        {"docker://busybox@sha256:00", 0, IMAGE_REGISTRY, "busybox@sha256:00", NULL},
        {"", -EBADMSG, 0, NULL, NULL},
        {"oci:", -EBADMSG, 0, NULL, NULL},
        {"oci:relative", -EBADMSG, 0, NULL, NULL},
        {"oci:/a:", -EBADMSG, 0, NULL, NULL},
        {"oci:/a@sha256:12", -EBADMSG, 0, NULL, NULL},
        {"--policy=x", -EBADMSG, 0, NULL, NULL},
        {"docker://-x", -EBADMSG, 0, NULL, NULL},
        {"busy\nbox", -EBADMSG, 0, NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct image_reference ref = {0};
        struct err err = ERR_INIT;
        int r = image_reference_parse(str_from(cases[i].uri), &ref, &err);
        if (r != cases[i].r)
            fail_msg("%s: %d", cases[i].uri, r);
        if (r < 0) {
            assert_non_null(err.aws);
            continue;
        }
        assert_int_equal(ref.place, cases[i].place);
        assert_true(str_eq(ref.path, str_from(cases[i].path)));
        assert_int_equal(str_is_null(ref.tag), cases[i].tag == NULL);
        assert_true(str_eq(ref.tag, str_from(cases[i].tag)));
    }
}

static void test_digests(void **state)
{
    char hex[SHA256_HEX_BYTES];
    const char good[] = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    char bad[sizeof(good)];

    (void)state;
    assert_true(image_digest_parse(str_from(good), hex));
    assert_string_equal(hex, good + 7);
    for (size_t i = 0; i < sizeof(good) - 1; i++) {
        memcpy(bad, good, sizeof(bad));
        bad[i] = '/';
        assert_false(image_digest_parse(str_from(bad), hex));
        bad[i] = 'A';
        assert_false(image_digest_parse(str_from(bad), hex));
        assert_false(image_digest_parse((struct str){good, i}, hex));
    }
}

// ---- a place to work in ----

struct scene {
    struct arena arena;
    char *path; // holds `tree`, and `outside`, which must stay as it is
    int tree;
};

static char *below(struct scene *s, const char *name)
{
    return arena_cstr(&s->arena, arena_printf(&s->arena, "%s/%s", s->path, name));
}

static void scene_make(struct scene *s)
{
    struct str path;

    arena_init(&s->arena, 1 << 20);
    assert_int_equal(make_temp_dir(&s->arena, "lambkin-images-", &path, NULL), 0);
    s->path = arena_cstr(&s->arena, path);
    assert_int_equal(mkdir(below(s, "tree"), 0755), 0);
    assert_int_equal(mkdir(below(s, "outside"), 0755), 0);
    assert_int_equal(write_file_atomic(below(s, "outside/kept"), STR("kept"), 0644, NULL), 0);
    s->tree = open(below(s, "tree"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(s->tree >= 0);
}

static void scene_end(struct scene *s)
{
    struct str text;

    assert_int_equal(read_file(&s->arena, below(s, "outside/kept"), 100, &text, NULL), 0);
    assert_true(str_eq(text, STR("kept")));
    struct stat st;
    assert_int_equal(stat(below(s, "outside"), &st), 0);
    assert_int_equal(st.st_nlink, 2);
    assert_int_equal(stat(below(s, "outside/kept"), &st), 0);
    assert_int_equal(st.st_nlink, 1);
    close(s->tree);
    assert_int_equal(rm_rf(s->path, NULL), 0);
    arena_finish(&s->arena);
}

static void put_text(int at, const char *name, const char *text)
{
    _cleanup_close_ int fd = openat(at, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_full(fd, text, strlen(text)), 0);
}

static void test_inside(void **state)
{
    static const struct {
        const char *path, *text; // NULL: not to be had
    } cases[] = {
        {"file", "inside"},
        {"/file", "inside"},
        {"../../file", "inside"},
        {"a/b/deep", "deep"},
        {"a//b/./../b/deep", "deep"},
        {"absolute", "inside"},
        {"up", "inside"},
        {"a/link/deep", "deep"},
        {"a/b/back/file", "inside"},
        {"chain", "deep"},
        {"missing", NULL},
        {"missing/file", NULL},
        {"file/x", NULL},
        {"loop", NULL},
        {"loop/x", NULL},
        {"out", NULL},
        {"out/kept", NULL},
        {"", NULL},
    };
    struct scene s;

    (void)state;
    scene_make(&s);
    assert_int_equal(mkdirat(s.tree, "a", 0755), 0);
    assert_int_equal(mkdirat(s.tree, "a/b", 0755), 0);
    put_text(s.tree, "file", "inside");
    put_text(s.tree, "a/b/deep", "deep");
    const char *const links[][2] = {{"/file", "absolute"},    {"../../../file", "up"},
                                    {"/a/b", "a/link"},       {"../../.", "a/b/back"},
                                    {"a/link/deep", "chain"}, {"loop", "loop"}};
    for (size_t i = 0; i < ARRAY_LEN(links); i++)
        assert_int_equal(symlinkat(links[i][0], s.tree, links[i][1]), 0);
    assert_int_equal(symlinkat(below(&s, "outside"), s.tree, "out"), 0);
    for (size_t i = 0; i < 2 * ARRAY_LEN(cases); i++) {
        const char *path = cases[i / 2].path, *text = cases[i / 2].text;
        char got[32] = "";
        _cleanup_close_ int fd = i % 2 ? image_open_inside_by_parts(s.tree, path, O_RDONLY)
                                       : image_open_inside(s.tree, path, O_RDONLY);
        bool read = fd >= 0 && fd_read_full(fd, got, sizeof(got) - 1) > 0;
        if (read != (text != NULL) || (text && strcmp(got, text) != 0))
            fail_msg("%s (%zu): %d '%s'", path, i % 2, fd, got);
    }
    assert_int_equal(image_open_inside_by_parts(s.tree, "absolute", O_RDONLY | O_NOFOLLOW), -ELOOP);
    assert_int_equal(image_open_inside(s.tree, "absolute", O_RDONLY | O_NOFOLLOW), -ELOOP);
    scene_end(&s);
}

// ---- layers ----

struct entry {
    char kind; // f file, d folder, l link, h hard link, c device, p pipe, s socket
    const char *name, *value;
};

// A tar file without a name. "@" at the beginning of a value is the scene's folder.
static int layer_of(struct scene *s, const struct entry *entries)
{
    static const struct {
        char kind;
        unsigned type;
    } types[] = {{'f', AE_IFREG}, {'d', AE_IFDIR}, {'l', AE_IFLNK},
                 {'h', AE_IFREG}, {'c', AE_IFCHR}, {'p', AE_IFIFO}};
    int fd = open_unlinked(s->path, NULL);
    struct archive *a = archive_write_new();

    assert_true(fd >= 0);
    archive_write_set_format_gnutar(a);
    assert_int_equal(archive_write_open_fd(a, fd), ARCHIVE_OK);
    for (; entries->name; entries++) {
        struct archive_entry *e = archive_entry_new();
        const char *value = entries->value ? entries->value : "";
        if (value[0] == '@')
            value = arena_printf(&s->arena, "%s%s", s->path, value + 1).ptr;
        archive_entry_set_pathname(e, entries->name);
        for (size_t i = 0; i < ARRAY_LEN(types); i++)
            if (types[i].kind == entries->kind)
                archive_entry_set_filetype(e, types[i].type);
        archive_entry_set_perm(e, 06755);
        if (entries->kind == 'l')
            archive_entry_set_symlink(e, value);
        if (entries->kind == 'h')
            archive_entry_set_hardlink(e, value);
        if (entries->kind == 'f')
            archive_entry_set_size(e, (la_int64_t)strlen(value));
        assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
        if (entries->kind == 'f')
            archive_write_data(a, value, strlen(value));
        archive_entry_free(e);
    }
    archive_write_close(a);
    archive_write_free(a);
    return fd;
}

static int apply(struct scene *s, const struct entry *entries, bool by_parts, uint64_t left,
                 struct err *err)
{
    struct unpacking u = {.root = s->tree, .left = left, .by_parts = by_parts};
    _cleanup_close_ int fd = layer_of(s, entries);

    return image_layer_apply(&u, fd, NULL, NULL, err);
}

#define MANY ((uint64_t)1 << 30)

struct layers_case {
    const char *name;
    struct entry lower[8], upper[8];
    int r;                   // of the upper
    const char *path, *text; // in the tree afterwards; text NULL: it is not there
};

static const struct layers_case layer_cases[] = {
    {"replaced", {{'f', "a", "1"}}, {{'f', "a", "2"}}, 0, "a", "2"},
    {"folder by file", {{'f', "a/b/c", "1"}}, {{'f', "a", "2"}}, 0, "a", "2"},
    {"file by folder", {{'f', "a", "1"}}, {{'d', "a", NULL}, {'f', "a/b", "2"}}, 0, "a/b", "2"},
    {"link by file", {{'l', "a", "@/outside/kept"}}, {{'f', "a", "2"}}, 0, "a", "2"},
    {"deleted", {{'f', "a/b", "1"}}, {{'f', "a/.wh.b", ""}}, 0, "a/b", NULL},
    {"deleted folder", {{'f', "a/b/c", "1"}}, {{'f', ".wh.a", ""}}, 0, "a/b/c", NULL},
    {"deleted, not what it links to",
     {{'f', "b", "1"}, {'l', "a", "b"}},
     {{'f', ".wh.a", ""}},
     0,
     "b",
     "1"},
    {"deleted before it was added",
     {{'f', "a", "1"}},
     {{'f', "a", "2"}, {'f', ".wh.a", ""}},
     0,
     "a",
     "2"},
    {"opaque",
     {{'f', "a/b", "1"}},
     {{'f', "a/c", "2"}, {'f', "a/.wh..wh..opq", ""}},
     0,
     "a/b",
     NULL},
    {"opaque keeps its own",
     {{'f', "a/b", "1"}},
     {{'f', "a/c", "2"}, {'f', "a/.wh..wh..opq", ""}},
     0,
     "a/c",
     "2"},
    {"opaque through a link",
     {{'l', "a", "@/outside"}},
     {{'f', "a/.wh..wh..opq", ""}},
     0,
     "x",
     NULL},
    {"whiteout through a link", {{'l', "a", "@/outside"}}, {{'f', "a/.wh.kept", ""}}, 0, "x", NULL},
    {"whiteout of dots", {{'f', "a/b", "1"}}, {{'f', "a/.wh...", ""}}, -EBADMSG, "a/b", "1"},
    {"whiteout without a name", {{'f', "a/b", "1"}}, {{'f', "a/.wh.", ""}}, -EBADMSG, "a/b", "1"},
    {"through a link inside",
     {{'d', "usr", NULL}, {'l', "lib", "/usr"}},
     {{'f', "lib/x", "1"}},
     0,
     "usr/x",
     "1"},
    {"through a link up",
     {{'d', "usr", NULL}, {'l', "lib", "../../usr"}},
     {{'f', "lib/x", "1"}},
     0,
     "usr/x",
     "1"},
    {"through a link out",
     {{'l', "a", "@/outside"}},
     {{'f', "a/kept", "stolen"}},
     -EBADMSG,
     "x",
     NULL},
    {"through a loop",
     {{'l', "a", "b"}, {'l', "b", "a"}},
     {{'f', "a/x", "1"}},
     -EBADMSG,
     "x",
     NULL},
    {"below a file", {{'f', "a", "1"}}, {{'f', "a/b", "2"}}, -EBADMSG, "a", "1"},
    {"dots", {{0}}, {{'f', "../outside/kept", "2"}}, -EBADMSG, "x", NULL},
    {"dots within", {{'f', "a/b", "1"}}, {{'f', "a/../b", "2"}}, -EBADMSG, "a/b", "1"},
    {"absolute names", {{0}}, {{'f', "/etc/x", "2"}}, 0, "etc/x", "2"},
    {"hard link", {{'f', "a", "1"}}, {{'h', "b", "a"}}, 0, "b", "1"},
    {"hard link, absolute", {{'f', "a", "1"}}, {{'h', "b", "/a"}}, 0, "b", "1"},
    {"hard link to itself", {{'f', "a", "1"}}, {{'h', "a", "a"}}, 0, "a", "1"},
    {"hard link out", {{0}}, {{'h', "b", "../outside/kept"}}, -EBADMSG, "b", NULL},
    {"hard link through a link",
     {{'l', "o", "@/outside"}},
     {{'h', "b", "o/kept"}},
     -EBADMSG,
     "b",
     NULL},
    {"hard link to a link", {{'l', "o", "@/outside/kept"}}, {{'h', "b", "o"}}, 0, "x", NULL},
    {"hard link to a folder", {{'d', "a", NULL}}, {{'h', "b", "a"}}, -EBADMSG, "b", NULL},
    {"hard link onto its folder", {{'f', "a/b", "1"}}, {{'h', "a", "a/b"}}, -EBADMSG, "x", NULL},
    {"device", {{0}}, {{'c', "dev", NULL}, {'p', "pipe", NULL}, {'f', "a", "1"}}, 0, "dev", NULL},
    {"the tree itself", {{0}}, {{'d', "./", NULL}, {'f', "./a", "1"}}, 0, "a", "1"},
};

static void check_layers(const struct layers_case *c, bool by_parts)
{
    struct err err = ERR_INIT;
    struct scene s;
    char got[32] = "";

    scene_make(&s);
    assert_int_equal(apply(&s, c->lower, by_parts, MANY, &err), 0);
    int r = apply(&s, c->upper, by_parts, MANY, &err);
    if (r != c->r)
        fail_msg("%s: %d %s", c->name, r, err.message);
    _cleanup_close_ int fd = openat(s.tree, c->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if ((fd >= 0) != (c->text != NULL))
        fail_msg("%s: %s is %s there", c->name, c->path, fd >= 0 ? "" : "not");
    if (fd >= 0) {
        struct stat st;
        assert_true(fd_read_full(fd, got, sizeof(got) - 1) >= 0);
        assert_string_equal(got, c->text);
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0755); // no set-user-id, whatever the umask
    }
    assert_int_equal(image_finish_root(s.tree, &err), 0);
    struct stat st;
    assert_int_equal(fstatat(s.tree, "etc/hosts", &st, AT_SYMLINK_NOFOLLOW), 0);
    assert_true(S_ISREG(st.st_mode));
    scene_end(&s);
}

static void test_layers(void **state)
{
    (void)state;
    umask(0077);
    for (size_t i = 0; i < ARRAY_LEN(layer_cases); i++) {
        check_layers(&layer_cases[i], false);
        check_layers(&layer_cases[i], true);
    }
}

static void test_too_large(void **state)
{
    static const struct entry entries[] = {{'f', "a", "1"}, {'f', "b", "2"}, {0}};
    struct err err = ERR_INIT;
    struct scene s;

    (void)state;
    scene_make(&s);
    assert_int_equal(apply(&s, entries, false, 700, &err), -EBADMSG);
    assert_non_null(strstr(err.message, "10 GB"));
    scene_end(&s);
}

static void test_mount_points(void **state)
{
    static const struct entry entries[] = {{'l', "proc", "@/outside"},
                                           {'f', "dev", "x"},
                                           {'l', "tmp", "nowhere"},
                                           {'d', "etc", NULL},
                                           {'l', "etc/hosts", "@/outside/kept"},
                                           {'d', "etc/resolv.conf", NULL},
                                           {0}};
    struct err err = ERR_INIT;
    struct scene s;
    struct stat st;

    (void)state;
    scene_make(&s);
    assert_int_equal(apply(&s, entries, false, MANY, &err), 0);
    assert_int_equal(image_finish_root(s.tree, &err), 0);
    const char *const folders[] = {"proc", "dev", "tmp", "sys", "etc"};
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        assert_int_equal(fstatat(s.tree, folders[i], &st, AT_SYMLINK_NOFOLLOW), 0);
        assert_true(S_ISDIR(st.st_mode));
    }
    const char *const files[] = {"etc/hosts", "etc/resolv.conf"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        assert_int_equal(fstatat(s.tree, files[i], &st, AT_SYMLINK_NOFOLLOW), 0);
        assert_true(S_ISREG(st.st_mode));
    }
    scene_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_references), cmocka_unit_test(test_digests),
        cmocka_unit_test(test_inside),     cmocka_unit_test(test_layers),
        cmocka_unit_test(test_too_large),  cmocka_unit_test(test_mount_points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
