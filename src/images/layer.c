// layer.c - one layer of an image into the tree, as the OCI specification's "layer" says it.
//
// Every path is cleaned as text (no ".."), its folder is opened as if the tree were the root
// (image_open_inside), and the last part is only ever used with calls that do not follow links. So
// nothing outside of the tree is read, made, changed or removed, whatever links a layer plants.
//
// Files become 0644 or 0755 and folders 0755, the daemon's own: the function runs as a user that
// the image does not know, and must read them. Devices, pipes and sockets are left out, set-user-id
// bits, owners and extended attributes too: nothing of that has a meaning in a sandbox.
#include "images/images_impl.h"
#include "images/stream.h"

#include "base/cleanup.h"
#include "os/fd.h"
#include "os/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define WHITEOUT ".wh."
#define OPAQUE ".wh..wh..opq"
#define WHITEOUT_OTHERS ".wh..wh." // of aufs: hard link stores and the like

enum pass { PASS_DELETE, PASS_ADD, PASS_ARCHIVE };

// A path as text: parts joined by one slash, without ".", split into folder and last part.
struct place {
    char folder[IMAGE_MAX_NAME_BYTES + 1];
    char leaf[NAME_MAX + 1]; // "": the tree itself
};

static int bad_entry(struct err *err, const char *path, const char *why)
{
    return image_invalid(err, "A layer of the image cannot be unpacked: '%.150s' %s.",
                         path ? path : "", why);
}

static int place_of(const char *path, struct place *out, struct err *err)
{
    struct str rest = str_from(path), part;
    unsigned depth = 0;
    size_t len = 0;

    out->folder[0] = out->leaf[0] = '\0';
    if (rest.len > IMAGE_MAX_NAME_BYTES)
        return bad_entry(err, path, "has too long a name");
    while (str_next(&rest, '/', &part)) {
        if (part.len == 0 || str_eq(part, STR(".")))
            continue;
        if (str_eq(part, STR("..")))
            return bad_entry(err, path, "leads out of the image");
        if (part.len > NAME_MAX || ++depth > IMAGE_MAX_DEPTH)
            return bad_entry(err, path, "has too long a name");
        if (out->leaf[0]) // never longer than the path it comes from
            len += (size_t)snprintf(out->folder + len, sizeof(out->folder) - len, "%s%s",
                                    len ? "/" : "", out->leaf);
        memcpy(out->leaf, part.ptr, part.len);
        out->leaf[part.len] = '\0';
    }
    return 0;
}

static int open_inside(const struct unpacking *u, const char *path, int flags)
{
    if (!path[0])
        path = ".";
    return u->by_parts ? image_open_inside_by_parts(u->root, path, flags)
                       : image_open_inside(u->root, path, flags);
}

// mkdir whatever our umask is.
static int make_folder(int at, const char *name)
{
    if (mkdirat(at, name, 0755) < 0)
        return -errno;
    return fchmodat(at, name, 0755, 0) < 0 ? -errno : 0;
}

// The folder, made where it is missing, its own folders first.
static int open_folder(const struct unpacking *u, const char *folder)
{
    char above[IMAGE_MAX_NAME_BYTES + 1];
    int fd = open_inside(u, folder, O_PATH | O_DIRECTORY);

    if (fd != -ENOENT || !folder[0])
        return fd;
    snprintf(above, sizeof(above), "%s", folder);
    char *slash = strrchr(above, '/');
    const char *leaf = slash ? slash + 1 : above;
    if (slash)
        *slash = '\0';
    _cleanup_close_ int parent = slash ? open_folder(u, above) : open_inside(u, "", O_PATH);
    if (parent < 0)
        return parent;
    int r = make_folder(parent, leaf);
    if (r < 0)
        return r; // -EEXIST: a link that leads nowhere
    fd = openat(parent, leaf, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static bool is_folder(int at, const char *name)
{
    struct stat st;

    return fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

// What is there makes way: a file, a link, or a folder with all that is in it.
static int clear(int at, const char *name, struct err *err)
{
    if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
        return 0;
    return rm_rf_at(at, name, err);
}

// ---- deleting ----

static void dir_closep(DIR **d)
{
    if (*d)
        closedir(*d);
}

static int clear_folder(const struct unpacking *u, const char *folder, struct err *err)
{
    int fd = open_inside(u, folder, O_RDONLY | O_DIRECTORY);

    if (fd < 0)
        return 0; // nothing there to hide
    _cleanup_(dir_closep) DIR *d = fdopendir(fd);
    if (!d) {
        close(fd);
        return err_set(err, -ENOMEM, "out of memory");
    }
    const struct dirent *e;
    while ((e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        int r = rm_rf_at(dirfd(d), e->d_name, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int apply_whiteout(const struct unpacking *u, const struct place *p, struct err *err)
{
    const char *name = p->leaf + sizeof(WHITEOUT) - 1;

    if (strcmp(p->leaf, OPAQUE) == 0)
        return clear_folder(u, p->folder, err);
    if (strncmp(p->leaf, WHITEOUT_OTHERS, sizeof(WHITEOUT_OTHERS) - 1) == 0)
        return 0;
    if (!name[0] || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return bad_entry(err, p->leaf, "is no whiteout");
    _cleanup_close_ int at = open_inside(u, p->folder, O_PATH | O_DIRECTORY);
    return at < 0 ? 0 : rm_rf_at(at, name, err);
}

// ---- adding ----

static int write_data(struct archive *a, int fd, const char *path, struct err *err)
{
    for (;;) {
        const void *block;
        size_t n;
        la_int64_t offset;
        int r = archive_read_data_block(a, &block, &n, &offset);

        if (r == ARCHIVE_EOF)
            return 0;
        if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
            return bad_entry(err, path, "is damaged");
        if (offset < 0 || (uint64_t)offset > IMAGE_MAX_UNPACKED_BYTES)
            return bad_entry(err, path, "is too large");
        r = fd_pwrite_full(fd, block, n, (uint64_t)offset);
        if (r < 0)
            return err_errno(err, -r, "write a file of an image");
    }
}

static int add_file(struct archive *a, struct archive_entry *e, int at, const char *leaf,
                    struct err *err)
{
    const mode_t mode = archive_entry_perm(e) & 0111 ? 0755 : 0644;
    int r = clear(at, leaf, err);

    if (r < 0)
        return r;
    _cleanup_close_ int fd =
        openat(at, leaf, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0 || fchmod(fd, mode) < 0)
        return err_errno(err, errno, "create a file of an image");
    r = write_data(a, fd, leaf, err);
    if (r < 0)
        return r;
    const struct timespec times[2] = {{archive_entry_mtime(e), 0}, {archive_entry_mtime(e), 0}};
    if (archive_entry_mtime_is_set(e) && futimens(fd, times) < 0 && errno != EINVAL)
        return err_errno(err, errno, "set the time of a file of an image");
    return 0;
}

static int add_folder(int at, const char *leaf, struct err *err)
{
    if (is_folder(at, leaf))
        return 0;
    int r = clear(at, leaf, err);
    if (r == 0)
        r = make_folder(at, leaf);
    return r < 0 ? err_errno(err, -r, "make a folder of an image") : 0;
}

static int add_symlink(const char *target, int at, const char *leaf, const char *path,
                       struct err *err)
{
    if (!target || !target[0] || strlen(target) > IMAGE_MAX_NAME_BYTES)
        return bad_entry(err, path, "is a link without a target");
    int r = clear(at, leaf, err);
    if (r < 0)
        return r;
    // As it stands: it means a path of the sandbox, where this tree is the root.
    return symlinkat(target, at, leaf) < 0 ? err_errno(err, errno, "make a link of an image") : 0;
}

static int add_hard_link(const struct unpacking *u, const char *target, int at,
                         const struct place *to, const char *path, struct err *err)
{
    struct place from;
    struct stat a, b;
    int r = place_of(target, &from, err);

    if (r < 0)
        return r;
    _cleanup_close_ int folder = open_inside(u, from.folder, O_PATH | O_DIRECTORY);
    if (folder < 0 || !from.leaf[0] || fstatat(folder, from.leaf, &a, AT_SYMLINK_NOFOLLOW) < 0)
        return bad_entry(err, path, "is a hard link to nothing in the image");
    if (S_ISDIR(a.st_mode))
        return bad_entry(err, path, "is a hard link to a folder");
    if (fstatat(at, to->leaf, &b, AT_SYMLINK_NOFOLLOW) == 0 && a.st_dev == b.st_dev &&
        a.st_ino == b.st_ino)
        return 0; // to itself, or twice
    r = clear(at, to->leaf, err);
    if (r == 0 && linkat(folder, from.leaf, at, to->leaf, 0) < 0)
        r = errno == ENOENT ? bad_entry(err, path, "is a hard link to what it replaces")
                            : err_errno(err, errno, "make a hard link of an image");
    return r;
}

static int add_entry(struct unpacking *u, struct archive *a, struct archive_entry *e,
                     const struct place *p, const char *path, struct err *err)
{
    const char *target = archive_entry_hardlink(e);

    if (!p->leaf[0])
        return 0; // the tree itself
    const mode_t type = archive_entry_filetype(e);
    if (!target && type != AE_IFREG && type != AE_IFDIR && type != AE_IFLNK) {
        u->dropped++;
        return 0;
    }
    _cleanup_close_ int at = open_folder(u, p->folder);
    if (at < 0)
        return at == -ENOTDIR || at == -ELOOP || at == -EEXIST || at == -ENAMETOOLONG
                   ? bad_entry(err, path, "lies in something that is no folder")
                   : err_errno(err, -at, "open a folder of an image");
    if (target)
        return add_hard_link(u, target, at, p, path, err);
    if (type == AE_IFDIR)
        return add_folder(at, p->leaf, err);
    if (type == AE_IFLNK)
        return add_symlink(archive_entry_symlink(e), at, p->leaf, path, err);
    return add_file(a, e, at, p->leaf, err);
}

// ---- passes ----

static int entry(struct unpacking *u, struct archive *a, struct archive_entry *e, enum pass pass,
                 struct err *err)
{
    const char *path = archive_entry_pathname(e);
    struct place p;

    if (!path || !path[0])
        return bad_entry(err, path, "has no name that can be read");
    if (pass != PASS_DELETE && ++u->entries > IMAGE_MAX_ENTRIES)
        return image_invalid(err, "The image has more than %d files.", IMAGE_MAX_ENTRIES);
    int r = place_of(path, &p, err);
    if (r < 0)
        return r;
    bool whiteout = pass != PASS_ARCHIVE && strncmp(p.leaf, WHITEOUT, sizeof(WHITEOUT) - 1) == 0;
    if (pass == PASS_DELETE)
        return whiteout ? apply_whiteout(u, &p, err) : 0;
    return whiteout ? 0 : add_entry(u, a, e, &p, path, err);
}

static int run_pass(struct unpacking *u, int fd, enum pass pass, uint64_t *left,
                    const char *blob_hex, const char *diff_hex, struct err *err)
{
    _cleanup_(stream_closep) struct stream *s = NULL;
    struct archive_entry *e;
    int r = stream_open(fd, left, &s, err);

    if (r < 0)
        return r;
    struct archive *tar = stream_tar(s);
    while ((r = archive_read_next_header(tar, &e)) != ARCHIVE_EOF) {
        if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
            return image_invalid(err, "A layer of the image %s.",
                                 stream_why(s, "is not a whole tar archive"));
        r = entry(u, tar, e, pass, err);
        if (r < 0)
            return r;
    }
    return stream_check(s, blob_hex, diff_hex, err);
}

static locale_t utf8_locale;

static void make_locale(void)
{
    utf8_locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

// libarchive converts names by the thread's locale; in "C" all but ASCII would be lost.
static locale_t enter_locale(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, make_locale);
    return utf8_locale ? uselocale(utf8_locale) : (locale_t)0;
}

int image_layer_apply(struct unpacking *u, int fd, const char *blob_hex, const char *diff_hex,
                      struct err *err)
{
    uint64_t again = u->left;
    locale_t before = enter_locale();
    int r = run_pass(u, fd, PASS_DELETE, &again, blob_hex, diff_hex, err);

    if (r == 0) // the file may have changed meanwhile
        r = run_pass(u, fd, PASS_ADD, &u->left, blob_hex, diff_hex, err);
    if (before)
        uselocale(before);
    return r;
}

int image_archive_unpack(struct unpacking *u, int fd, struct err *err)
{
    locale_t before = enter_locale();
    int r = run_pass(u, fd, PASS_ARCHIVE, &u->left, NULL, NULL, err);

    if (before)
        uselocale(before);
    return r;
}

// ---- the end ----

static int ensure_file(int at, const char *name, struct err *err)
{
    struct stat st;

    if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
        return 0;
    int r = clear(at, name, err);
    if (r < 0)
        return r;
    _cleanup_close_ int fd = openat(at, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 || fchmod(fd, 0644) < 0)
        return err_errno(err, errno, "make /etc/%s of an image", name);
    return 0;
}

int image_finish_root(int root, struct err *err)
{
    static const char *const folders[] = {"dev", "etc", "proc", "sys", "tmp"};
    static const char *const files[] = {"hosts", "resolv.conf"};
    int r = 0;

    for (size_t i = 0; r == 0 && i < ARRAY_LEN(folders); i++)
        r = add_folder(root, folders[i], err);
    if (r < 0)
        return r;
    _cleanup_close_ int etc = openat(root, "etc", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (etc < 0)
        return err_errno(err, errno, "open /etc of an image");
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(files); i++)
        r = ensure_file(etc, files[i], err);
    return r;
}
