// images.c - storing, finding and removing images below their folder.
//
// An image is unpacked into .tmp-<random> beside its final place, synced, and renamed: whoever
// finds the name finds all of it. Two requests for the same image may race; the second rename fails
// and finds the work done.
#include "images/images_impl.h"

#include "base/cleanup.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/log.h"
#include "os/random.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

// One call of image_store: where it works, what it has found.
struct storing {
    int images;     // the folder of all images
    char aside[32]; // our folder in it
    int work;       // the same, open
    int layout;     // where the image comes from
    const char *architecture;
    struct image_reference ref;
    struct image_manifest manifest;
    struct image_config config;
    struct str config_text;
    struct arena *arena;
};

// What open() said about a path that a client named.
static int unreadable(struct err *err, int error, struct str path)
{
    return image_invalid(err, "The image %.*s cannot be read: %s.",
                         (int)(path.len > 200 ? 200 : path.len), path.ptr, strerror(error));
}

static int open_blob(struct storing *s, const struct image_blob *b, struct err *err)
{
    struct stat st;
    _cleanup_close_ int fd = image_open_inside(s->layout, b->path.ptr, O_RDONLY | O_NONBLOCK);

    if (fd < 0)
        return image_invalid(err, "The image lacks %.*s: %s.",
                             (int)(b->path.len > 100 ? 100 : b->path.len), b->path.ptr,
                             strerror(-fd));
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return image_invalid(err, "%.100s of the image is no file.", b->path.ptr);
    if (b->bytes >= 0 && st.st_size != b->bytes)
        return image_invalid(err, "%.100s of the image has %lld bytes and not %lld.", b->path.ptr,
                             (long long)st.st_size, (long long)b->bytes);
    return TAKE_FD(fd);
}

// A whole JSON document, its digest checked and left in b->hex.
static int read_document(struct storing *s, struct image_blob *b, struct str *out, struct err *err)
{
    char hex[SHA256_HEX_BYTES];
    struct stat st;
    _cleanup_close_ int fd = open_blob(s, b, err);

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0 || (uint64_t)st.st_size > IMAGE_MAX_JSON_BYTES)
        return image_invalid(err, "%.100s of the image is larger than %llu bytes.", b->path.ptr,
                             (unsigned long long)IMAGE_MAX_JSON_BYTES);
    char *text = arena_alloc(s->arena, (size_t)st.st_size + 1);
    if (!text)
        return err_set(err, -ENOMEM, "out of memory");
    ssize_t n = fd_read_full(fd, text, (size_t)st.st_size);
    if (n < 0)
        return unreadable(err, (int)-n, b->path);
    *out = (struct str){text, (size_t)n};
    hash_sha256_hex(*out, hex);
    if (b->hex[0] && strcmp(b->hex, hex) != 0)
        return image_invalid(err, "%.100s of the image is not what its digest says.", b->path.ptr);
    memcpy(b->hex, hex, sizeof(hex));
    return 0;
}

// ---- where it comes from ----

static int make_layout(struct storing *s, struct err *err)
{
    if (mkdirat(s->work, "layout", 0700) < 0)
        return err_errno(err, errno, "mkdir in images");
    s->layout = openat(s->work, "layout", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return s->layout < 0 ? err_errno(err, errno, "open folder in images") : 0;
}

static int find_layout(struct storing *s, const char *images_dir, struct err *err)
{
    struct stat st;
    int r;

    if (s->ref.place == IMAGE_REGISTRY) {
        char folder[PATH_MAX];
        snprintf(folder, sizeof(folder), "%s/%s/layout/blobs/sha256", images_dir, s->aside);
        r = make_layout(s, err);
        if (r == 0)
            r = mkdir_p(folder, 0700, err);
        return r < 0 ? r : image_fetch(s->ref.path, folder, s->architecture, err);
    }
    const char *path = arena_cstr(s->arena, s->ref.path);
    if (!path)
        return err_set(err, -ENOMEM, "out of memory");
    _cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return unreadable(err, errno, s->ref.path);
    if (S_ISDIR(st.st_mode)) {
        if (s->ref.place == IMAGE_OCI_ARCHIVE || s->ref.place == IMAGE_DOCKER_ARCHIVE)
            return unreadable(err, EISDIR, s->ref.path);
        s->layout = TAKE_FD(fd);
        return 0;
    }
    if (!S_ISREG(st.st_mode) || s->ref.place == IMAGE_OCI_LAYOUT)
        return unreadable(err, ENOTDIR, s->ref.path);
    r = make_layout(s, err);
    if (r < 0)
        return r;
    struct unpacking u = {.root = s->layout, .left = 2 * IMAGE_MAX_UNPACKED_BYTES};
    return image_archive_unpack(&u, fd, err);
}

static bool layout_has(const struct storing *s, const char *name)
{
    return faccessat(s->layout, name, R_OK, 0) == 0;
}

// ---- what it is ----

static int find_oci(struct storing *s, struct err *err)
{
    struct image_blob b = {.path = STR("index.json"), .bytes = -1};
    struct str text;
    int r;

    if (s->ref.place == IMAGE_REGISTRY) {
        b.path = STR("blobs/sha256/" IMAGE_FETCHED_MANIFEST);
    } else if (!str_is_null(s->ref.digest)) {
        b.path = arena_printf(s->arena, "blobs/sha256/%.*s", STR_ARG(s->ref.digest));
        snprintf(b.hex, sizeof(b.hex), "%.*s", STR_ARG(s->ref.digest));
        if (str_is_null(b.path))
            return err_set(err, -ENOMEM, "out of memory");
    }
    for (unsigned depth = 0;; depth++) {
        r = read_document(s, &b, &text, err);
        if (r < 0)
            return r;
        if (depth > 0 || b.path.ptr[0] == 'b') // index.json may be empty, and is one all the same
            if (!image_is_index(s->arena, text))
                break;
        if (depth == IMAGE_MAX_INDEX_DEPTH)
            return image_invalid(err, "The image's index leads from index to index.");
        r = image_index_choose(s->arena, text, &s->ref, s->architecture, &b, err);
        if (r < 0)
            return r;
        s->ref.tag = STR_NULL; // chosen; below it only the platform counts
    }
    r = image_manifest_parse(s->arena, text, &s->manifest, err);
    if (r == 0)
        r = read_document(s, &s->manifest.config, &s->config_text, err);
    memcpy(s->config.image.name, b.hex, sizeof(b.hex));
    return r;
}

static int find_docker(struct storing *s, struct err *err)
{
    struct image_blob b = {.path = STR("manifest.json"), .bytes = -1};
    struct str text;
    int r = read_document(s, &b, &text, err);

    if (r == 0)
        r = image_docker_parse(s->arena, text, &s->ref, &s->manifest, err);
    if (r == 0)
        r = read_document(s, &s->manifest.config, &s->config_text, err);
    return r;
}

static int find_image(struct storing *s, struct err *err)
{
    char name[SHA256_HEX_BYTES];
    bool docker = s->ref.place == IMAGE_DOCKER_ARCHIVE ||
                  (s->ref.place == IMAGE_ANY_PATH && !layout_has(s, "index.json") &&
                   layout_has(s, "manifest.json"));
    int r = docker ? find_docker(s, err) : find_oci(s, err);

    if (r < 0)
        return r;
    if (docker && !str_is_null(s->ref.digest) &&
        !str_eq(s->ref.digest, str_from(s->manifest.config.hex)))
        return image_invalid(err, "The archive holds another image than the URI says.");
    memcpy(name, docker ? s->manifest.config.hex : s->config.image.name, sizeof(name));
    r = image_config_parse(s->arena, s->config_text, &s->config, err);
    if (r < 0)
        return r;
    memcpy(s->config.image.name, name, sizeof(name));
    if (s->config.n_layers != s->manifest.n_layers)
        return image_invalid(err,
                             "The image's configuration speaks of %u layers, its manifest of "
                             "%u.",
                             s->config.n_layers, s->manifest.n_layers);
    if (!str_eq(s->config.image.architecture, str_from(s->architecture)))
        return image_invalid(
            err,
            "The image is made for the architecture '%.*s'; this host's is "
            "%s.",
            (int)(s->config.image.architecture.len > 40 ? 40 : s->config.image.architecture.len),
            s->config.image.architecture.ptr, s->architecture);
    return 0;
}

// ---- unpacking ----

static int unpack(struct storing *s, struct err *err)
{
    struct unpacking u = {.left = IMAGE_MAX_UNPACKED_BYTES};
    int r = 0;

    if (mkdirat(s->work, "root", 0755) < 0)
        return err_errno(err, errno, "mkdir in images");
    _cleanup_close_ int root = openat(s->work, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || fchmod(root, 0755) < 0)
        return err_errno(err, errno, "open folder in images");
    u.root = root;
    for (unsigned i = 0; r == 0 && i < s->manifest.n_layers; i++) {
        const struct image_blob *b = &s->manifest.layers[i];
        _cleanup_close_ int fd = open_blob(s, b, err);
        if (fd < 0)
            return fd;
        r = image_layer_apply(&u, fd, b->hex[0] ? b->hex : NULL, s->config.diff_ids[i], err);
    }
    if (r == 0)
        r = image_finish_root(root, err);
    if (r < 0)
        return r;
    _cleanup_close_ int config =
        openat(s->work, "config.json", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (config < 0)
        return err_errno(err, errno, "create config.json");
    r = fd_write_full(config, s->config_text.ptr, s->config_text.len);
    return r < 0 ? err_errno(err, -r, "write config.json") : 0;
}

static int keep(struct storing *s, struct err *err)
{
    int r = rm_rf_at(s->work, "layout", err);

    if (r < 0)
        return r;
    if (fchmod(s->work, 0755) < 0)
        return err_errno(err, errno, "chmod folder in images");
    if (syncfs(s->work) < 0)
        return err_errno(err, errno, "sync the image");
    if (renameat(s->images, s->aside, s->images, s->config.image.name) < 0 && errno != ENOTEMPTY &&
        errno != EEXIST)
        return err_errno(err, errno, "rename the image");
    return fsync(s->images) < 0 ? err_errno(err, errno, "sync the folder of images") : 0;
}

static int store_it(struct storing *s, const char *images_dir, struct err *err)
{
    int r;

    if (mkdirat(s->images, s->aside, 0700) < 0)
        return err_errno(err, errno, "mkdir in images");
    s->work = openat(s->images, s->aside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->work < 0)
        return err_errno(err, errno, "open folder in images");
    r = find_layout(s, images_dir, err);
    if (r == 0)
        r = find_image(s, err);
    if (r < 0 || tree_found(s->images, s->config.image.name))
        return r;
    r = unpack(s, err);
    return r == 0 ? keep(s, err) : r;
}

int image_store(const char *images_dir, struct str uri, const char *architecture, struct arena *a,
                struct image *out, struct err *err)
{
    struct storing *s = arena_new(a, struct storing);

    if (!s)
        return err_set(err, -ENOMEM, "out of memory");
    *s = (struct storing){.work = -1, .layout = -1, .architecture = architecture, .arena = a};
    snprintf(s->aside, sizeof(s->aside), ".tmp-%016llx", (unsigned long long)os_random_u64());
    int r = image_reference_parse(uri, &s->ref, err);
    if (r < 0)
        return r;
    s->images = open(images_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->images < 0)
        return err_errno(err, errno, "open %s", images_dir);
    r = store_it(s, images_dir, err);
    closep(&s->work);
    closep(&s->layout);
    rm_rf_at(s->images, s->aside, NULL); // nothing there after the rename
    closep(&s->images);
    if (r < 0)
        return r;
    *out = s->config.image;
    return 0;
}

// ---- what is there ----

static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!((s.ptr[i] >= '0' && s.ptr[i] <= '9') || (s.ptr[i] >= 'a' && s.ptr[i] <= 'f')))
            return false;
    return s.len == SHA256_HEX_BYTES - 1;
}

int image_load(const char *images_dir, const char *name, struct arena *a, struct image *out,
               struct err *err)
{
    struct image_config *c = arena_new(a, struct image_config);
    char path[PATH_MAX];
    struct str text;

    if (!c)
        return err_set(err, -ENOMEM, "out of memory");
    if (!is_name(str_from(name)))
        return err_set(err, -ENOENT, "no such image");
    snprintf(path, sizeof(path), "%s/%s/config.json", images_dir, name);
    int r = read_file(a, path, IMAGE_MAX_JSON_BYTES, &text, err);
    if (r == 0)
        r = image_config_parse(a, text, c, err);
    if (r < 0)
        return r;
    memcpy(c->image.name, name, SHA256_HEX_BYTES);
    *out = c->image;
    return 0;
}

static bool runnable(int root, const char *path)
{
    struct stat st;
    _cleanup_close_ int fd = image_open_inside(root, path, O_PATH);

    return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111);
}

bool image_program(const char *images_dir, const char *name, struct str program,
                   struct str working_dir, struct str path, struct arena *a, struct str *out)
{
    char full[PATH_MAX];
    struct str folder;

    snprintf(full, sizeof(full), "%s/%s/root", images_dir, name);
    _cleanup_close_ int root = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || program.len == 0)
        return false;
    if (program.ptr[0] == '/' || str_find_char(program, '/') >= 0) {
        *out = program.ptr[0] == '/'
                   ? arena_str(a, program)
                   : arena_printf(a, "%.*s/%.*s", STR_ARG(working_dir), STR_ARG(program));
        return out->ptr && runnable(root, out->ptr);
    }
    while (str_next(&path, ':', &folder)) {
        *out = arena_printf(a, "%.*s/%.*s", STR_ARG(folder), STR_ARG(program));
        if (out->ptr && out->ptr[0] == '/' && runnable(root, out->ptr))
            return true;
    }
    return false;
}

static void dir_closep(DIR **d)
{
    if (*d)
        closedir(*d);
}

void image_collect(const char *images_dir, const struct map *used)
{
    _cleanup_(dir_closep) DIR *d = opendir(images_dir);
    const struct dirent *e;
    unsigned gone = 0;

    while (d && (e = readdir(d)) != NULL) {
        struct str name = str_from(e->d_name);
        if (!str_starts(name, STR(".tmp-")) && (!is_name(name) || map_get(used, name)))
            continue;
        if (rm_rf_at(dirfd(d), e->d_name, NULL) == 0)
            gone++;
    }
    if (gone > 0)
        log_info("removed %u unused images", gone);
}
