// file.c - files and folders by path: read whole, replace atomically, make and lock.
#include "os/file.h"

#include "os/fd.h"
#include "os/random.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int read_file(struct arena *a, const char *path, size_t max_bytes, struct str *out, struct err *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    _cleanup_(buf_finishp) struct buf b = {0};
    struct stat st;
    int r;

    if (fd < 0)
        return err_errno(err, errno, "open %s", path);
    if (fstat(fd, &st) < 0)
        return err_errno(err, errno, "stat %s", path);
    if (S_ISDIR(st.st_mode))
        return err_errno(err, EISDIR, "read %s", path);
    if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > max_bytes)
        return err_set(err, -EFBIG, "%s is longer than %zu bytes", path, max_bytes);
    buf_init(&b, max_bytes);
    r = fd_read_all(fd, &b); // also files of /proc, which do not tell their size
    if (r == -EFBIG)
        return err_set(err, r, "%s is longer than %zu bytes", path, max_bytes);
    if (r < 0)
        return err_errno(err, -r, "read %s", path);
    struct str copy = arena_str(a, buf_str(&b));
    if (!copy.ptr)
        return err_set(err, -ENOMEM, "read %s: out of memory", path);
    *out = copy;
    return 0;
}

static void random_suffix(char out[7])
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";

    for (int i = 0; i < 6; i++)
        out[i] = alphabet[os_random_below(36)];
    out[6] = 0;
}

// The folder that holds `path`, in `to`.
static int parent_of(const char *path, char to[PATH_MAX])
{
    size_t len = strlen(path);
    const char *slash = strrchr(path, '/');

    if (len >= PATH_MAX)
        return -ENAMETOOLONG;
    if (!slash) {
        memcpy(to, ".", 2);
    } else if (slash == path) {
        memcpy(to, "/", 2);
    } else {
        memcpy(to, path, (size_t)(slash - path));
        to[slash - path] = 0;
    }
    return 0;
}

bool tree_found(int dir_fd, const char *name)
{
    if (utimensat(dir_fd, name, NULL, AT_SYMLINK_NOFOLLOW) == 0)
        return true;
    return errno != ENOENT && faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int sync_dir(const char *path, struct err *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return err_errno(err, errno, "open %s", path);
    if (fsync(fd) < 0 && errno != EINVAL)
        return err_errno(err, errno, "fsync %s", path);
    return 0;
}

static int write_file(const char *path, struct str content, mode_t mode, bool durable,
                      struct err *err)
{
    char parent[PATH_MAX], temp[PATH_MAX], suffix[7];
    int r;

    random_suffix(suffix);
    if (parent_of(path, parent) < 0 ||
        snprintf(temp, sizeof temp, "%s.%s.tmp", path, suffix) >= (int)sizeof temp)
        return err_errno(err, ENAMETOOLONG, "write %s", path);

    _cleanup_close_ int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return err_errno(err, errno, "create %s", temp);
    r = fd_write_full(fd, content.ptr, content.len);
    if (r == 0 && fchmod(fd, mode) < 0)
        r = -errno;
    if (r == 0 && durable && fsync(fd) < 0)
        r = -errno;
    if (r == 0 && rename(temp, path) < 0)
        r = -errno;
    if (r < 0) {
        unlink(temp);
        return err_errno(err, -r, "write %s", path);
    }
    return durable ? sync_dir(parent, err) : 0;
}

int write_file_atomic(const char *path, struct str content, mode_t mode, struct err *err)
{
    return write_file(path, content, mode, true, err);
}

int write_file_again(const char *path, struct str content, mode_t mode, struct err *err)
{
    return write_file(path, content, mode, false, err);
}

int mkdir_p(const char *path, mode_t mode, struct err *err)
{
    char at[PATH_MAX];
    size_t len = strlen(path);
    struct stat st;

    if (len == 0 || len >= sizeof at)
        return err_errno(err, len ? ENAMETOOLONG : ENOENT, "mkdir %s", path);
    memcpy(at, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (at[i] != '/' && at[i] != 0)
            continue;
        if (at[i - 1] == '/')
            continue;
        char kept = at[i];
        at[i] = 0;
        if (mkdir(at, mode) < 0) {
            // EEXIST, but also EROFS or EACCES, for a folder that is there already.
            int saved = errno;
            if (stat(at, &st) < 0)
                return err_errno(err, saved, "mkdir %s", at);
            if (!S_ISDIR(st.st_mode))
                return err_errno(err, ENOTDIR, "mkdir %s", at);
        }
        at[i] = kept;
    }
    return 0;
}

int make_temp_dir(struct arena *a, const char *prefix, struct str *path, struct err *err)
{
    const char *base = getenv("TMPDIR");

    if (!base || base[0] != '/')
        base = "/tmp";
    for (int tries = 0; tries < 100; tries++) {
        char suffix[7];
        random_suffix(suffix);
        struct str p = arena_printf(a, "%s/%s%s", base, prefix, suffix);
        if (!p.ptr)
            return err_set(err, -ENOMEM, "out of memory");
        if (mkdir(p.ptr, 0700) == 0) {
            *path = p;
            return 0;
        }
        if (errno != EEXIST)
            return err_errno(err, errno, "mkdir %s", p.ptr);
    }
    return err_errno(err, EEXIST, "make a temporary folder in %s", base);
}

int open_unlinked(const char *dir, struct err *err)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0)
        return fd;
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
        return err_errno(err, errno, "open a temporary file in %s", dir);
    for (int tries = 0; tries < 100; tries++) {
        char path[PATH_MAX], suffix[7];
        random_suffix(suffix);
        if (snprintf(path, sizeof path, "%s/.%s.tmp", dir, suffix) >= (int)sizeof path)
            return err_errno(err, ENAMETOOLONG, "%s", dir);
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd >= 0) {
            unlink(path);
            return fd;
        }
        if (errno != EEXIST)
            break;
    }
    return err_errno(err, errno, "open a temporary file in %s", dir);
}

int lock_file(const char *path, struct err *err)
{
    _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return err_errno(err, errno, "open %s", path);
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno == EINTR)
            continue;
        if (errno == EWOULDBLOCK)
            return err_set(err, -EWOULDBLOCK, "%s is locked by another process", path);
        return err_errno(err, errno, "lock %s", path);
    }
    return TAKE_FD(fd);
}
