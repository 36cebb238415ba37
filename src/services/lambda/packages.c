// packages.c - the content-addressed store of unpacked packages.
//
// A package is unpacked into .tmp-XXXXXX beside its final place, synced, and renamed: whoever finds
// the name finds all of it. Two uploads of the same bytes may race; the second rename fails and
// finds the work done. The zip is written before the tree, so that a tree never lacks it.
#include "services/lambda/packages.h"

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/hex.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/log.h"
#include "os/random.h"
#include "services/lambda/unpack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

// Up to so many files each is synced by itself, which waits for nobody else's data; past that, one
// syncfs() is cheaper.
#define SYNC_EACH_MAX 64

void package_digests(struct str zip, struct package *p)
{
    uint8_t sha[SHA256_BYTES];
    struct buf b;

    hash_sha256(zip, sha);
    hex_encode(sha, sizeof(sha), p->sha256);
    buf_init(&b, 128);
    base64_encode(&b, (struct str){(const char *)sha, sizeof(sha)});
    snprintf(p->sha256_base64, sizeof(p->sha256_base64), "%.*s", STR_ARG(buf_str(&b)));
    buf_finish(&b);
    p->zip_bytes = zip.len;
}

bool package_name(struct str sha256_base64, char out[static SHA256_HEX_BYTES])
{
    _cleanup_(arena_finish) struct arena a = {0};
    struct str raw;

    arena_init(&a, 4096);
    if (base64_decode(&a, sha256_base64, &raw) < 0 || raw.len != SHA256_BYTES)
        return false;
    hex_encode(raw.ptr, raw.len, out);
    return true;
}

static void dir_closep(DIR **d)
{
    if (*d)
        closedir(*d);
}

// Walks a tree: adds up its files, or syncs what is in it. Takes fd.
static int walk(int fd, bool sync, uint64_t *bytes)
{
    _cleanup_(dir_closep) DIR *d = fdopendir(fd);
    struct dirent *entry;

    if (!d) {
        close(fd);
        return -errno;
    }
    while ((entry = readdir(d)) != NULL) {
        struct stat st;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return -errno;
        if (S_ISDIR(st.st_mode)) {
            int child =
                openat(dirfd(d), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            int r = child < 0 ? -errno : walk(child, sync, bytes);
            if (r < 0)
                return r;
        } else if (S_ISREG(st.st_mode)) {
            *bytes += (uint64_t)st.st_size;
            if (sync) {
                _cleanup_close_ int file =
                    openat(dirfd(d), entry->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
                if (file < 0 || fsync(file) < 0)
                    return -errno;
            }
        }
    }
    return sync && fsync(dirfd(d)) < 0 ? -errno : 0;
}

int package_sync_tree(int fd, unsigned entries, struct err *err)
{
    uint64_t bytes = 0;
    int r;

    if (entries > SYNC_EACH_MAX)
        r = syncfs(fd) < 0 ? -errno : 0;
    else
        r = walk(dup(fd), true, &bytes);
    return r < 0 ? err_errno(err, -r, "sync package") : 0;
}

uint64_t package_unpacked_bytes(const char *code_dir, const char *sha256)
{
    _cleanup_free_ char *path = NULL;
    uint64_t bytes = 0;

    if (asprintf(&path, "%s/%s", code_dir, sha256) < 0)
        return 0;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return 0;
    walk(fd, false, &bytes);
    return bytes;
}

// Unpacks into a fresh folder of code_dir; answers its name, which the caller renames or removes.
static int unpack_aside(int code_fd, struct str zip, uint64_t max_bytes, bool keep,
                        struct package *p, char name[static 32], struct err *err)
{
    struct unpacked done = {0};
    int r;

    snprintf(name, 32, ".tmp-%016llx", (unsigned long long)os_random_u64());
    if (mkdirat(code_fd, name, 0700) < 0)
        return err_errno(err, errno, "mkdir in code");
    _cleanup_close_ int fd = openat(code_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, errno, "open folder in code");
    r = unpack_zip(fd, zip, max_bytes, &done, err);
    if (r < 0)
        return r;
    p->unpacked_bytes = done.bytes;
    if (!keep)
        return 0;
    if (fchmod(fd, 0755) < 0)
        return err_errno(err, errno, "chmod folder in code");
    return package_sync_tree(fd, done.entries, err);
}

int package_store(const char *code_dir, struct str zip, uint64_t max_bytes, struct package *out,
                  struct err *err)
{
    _cleanup_free_ char *zip_path = NULL;
    struct package p = {0};
    char aside[32];
    int r;

    package_digests(zip, &p);
    _cleanup_close_ int code_fd = open(code_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (code_fd < 0)
        return err_errno(err, errno, "open %s", code_dir);
    if (tree_found(code_fd, p.sha256)) {
        p.unpacked_bytes = package_unpacked_bytes(code_dir, p.sha256);
        if (p.unpacked_bytes > max_bytes)
            return err_aws(err, &PACKAGE_INVALID, "Unzipped size must be smaller than %llu bytes",
                           (unsigned long long)PACKAGE_MAX_UNPACKED_BYTES);
        *out = p;
        return 0;
    }
    r = unpack_aside(code_fd, zip, max_bytes, true, &p, aside, err);
    if (r >= 0 && asprintf(&zip_path, "%s/%s.zip", code_dir, p.sha256) < 0) {
        zip_path = NULL;
        r = err_set(err, -ENOMEM, "out of memory");
    }
    if (r >= 0)
        r = write_file_atomic(zip_path, zip, 0600, err);
    if (r >= 0 && renameat(code_fd, aside, code_fd, p.sha256) < 0 && errno != ENOTEMPTY &&
        errno != EEXIST)
        r = err_errno(err, errno, "rename package");
    if (r >= 0 && fsync(code_fd) < 0)
        r = err_errno(err, errno, "sync %s", code_dir);
    rm_rf_at(code_fd, aside, NULL); // nothing there after the rename
    if (r < 0)
        return r;
    *out = p;
    return 0;
}

int package_check(const char *code_dir, struct str zip, uint64_t max_bytes, struct package *out,
                  struct err *err)
{
    struct package p = {0};
    char aside[32];

    package_digests(zip, &p);
    _cleanup_close_ int code_fd = open(code_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (code_fd < 0)
        return err_errno(err, errno, "open %s", code_dir);
    int r = unpack_aside(code_fd, zip, max_bytes, false, &p, aside, err);
    rm_rf_at(code_fd, aside, NULL);
    if (r < 0)
        return r;
    *out = p;
    return 0;
}

int package_open_zip(const char *code_dir, struct str sha256, uint64_t *bytes, struct err *err)
{
    _cleanup_free_ char *path = NULL;
    uint8_t check[SHA256_BYTES];
    struct stat st;

    // Nothing but a digest becomes part of a path.
    if (!hex_decode(sha256, check, sizeof(check)))
        return err_set(err, -ENOENT, "no such package");
    if (asprintf(&path, "%s/%.*s.zip", code_dir, STR_ARG(sha256)) < 0) {
        path = NULL;
        return err_set(err, -ENOMEM, "out of memory");
    }
    _cleanup_close_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(err, errno, "open package");
    *bytes = (uint64_t)st.st_size;
    return TAKE_FD(fd);
}

void package_collect(const char *code_dir, const struct map *used)
{
    _cleanup_(dir_closep) DIR *d = opendir(code_dir);
    struct dirent *entry;
    unsigned gone = 0;

    if (!d)
        return;
    while ((entry = readdir(d)) != NULL) {
        struct str name = str_from(entry->d_name);
        if (str_eq(name, STR(".")) || str_eq(name, STR("..")))
            continue;
        struct str sha = name;
        if (str_ends(name, STR(".zip")))
            sha.len -= 4;
        bool ours = str_starts(name, STR(".tmp-")) || sha.len == SHA256_HEX_BYTES - 1;
        if (!ours || map_get(used, sha))
            continue;
        if (rm_rf_at(dirfd(d), entry->d_name, NULL) == 0)
            gone++;
    }
    if (gone > 0)
        log_info("removed %u unused package files", gone);
}
