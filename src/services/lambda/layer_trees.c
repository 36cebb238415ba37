// layer_trees.c - a function's layers as one tree, merged once and not at every start.
//
// Several layers together are a tree of their own in the store of packages, named by the digests
// of the layers in their order. Files are hard links to the layers' own, so that a merged tree
// costs folders and no content, and outlives the layers it was made from. It is made aside, synced
// and renamed like a package: a name that exists is complete. It goes when no version uses its
// name.
//
// A later layer's entry hides an earlier one's of the same name; only two folders are united.
#include "services/lambda/packages.h"

#include "base/cleanup.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/random.h"
#include "services/lambda/unpack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct merge {
    unsigned depth, entries;
    struct err *err;
};

static void dir_closep(DIR **d)
{
    if (*d)
        closedir(*d);
}

static int failed(struct merge *m, int error, const char *what, const char *name)
{
    return err_errno(m->err, error, "%s %.100s while merging layers", what, name);
}

static int copy_file(struct merge *m, int from, int to, const char *name, mode_t mode)
{
    char block[65536];
    ssize_t n;
    _cleanup_close_ int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    _cleanup_close_ int out =
        in < 0 ? -1 : openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (out < 0)
        return failed(m, errno, "open", name);
    while ((n = fd_read_full(in, block, sizeof(block))) > 0) {
        int r = fd_write_full(out, block, (size_t)n);
        if (r < 0)
            return failed(m, -r, "write", name);
    }
    if (n < 0)
        return failed(m, (int)-n, "read", name);
    return fchmod(out, mode & 0777) < 0 ? failed(m, errno, "chmod", name) : 0;
}

static int add_file(struct merge *m, int from, int to, const struct stat *st, const char *name)
{
    if (linkat(from, name, to, name, 0) == 0)
        return 0;
    // A file system without hard links, or too many of this one.
    if (errno == EPERM || errno == EMLINK || errno == EOPNOTSUPP || errno == ENOSYS)
        return copy_file(m, from, to, name, st->st_mode);
    return failed(m, errno, "link", name);
}

static int add_symlink(struct merge *m, int from, int to, const char *name)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(from, name, target, sizeof(target) - 1);

    if (n < 0)
        return failed(m, errno, "read", name);
    target[n] = '\0';
    return symlinkat(target, to, name) < 0 ? failed(m, errno, "symlink", name) : 0;
}

// Makes room for an entry: what has its name goes, unless both are folders.
static int hide(struct merge *m, int to, bool folder, const char *name)
{
    struct stat st;

    if (fstatat(to, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : failed(m, errno, "look at", name);
    return folder && S_ISDIR(st.st_mode) ? 0 : rm_rf_at(to, name, m->err);
}

static int add_tree(struct merge *m, int from, int to, bool cache);

static int add_folder(struct merge *m, int from, int to, const char *name)
{
    if (m->depth == PACKAGE_MAX_DEPTH)
        return failed(m, ELOOP, "enter", name);
    if (mkdirat(to, name, 0755) < 0 && errno != EEXIST)
        return failed(m, errno, "mkdir", name);
    int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (in < 0)
        return failed(m, errno, "open", name);
    _cleanup_close_ int out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (out < 0 || fchmod(out, 0755) < 0) {
        int error = errno;
        close(in);
        return failed(m, error, "open", name);
    }
    m->depth++;
    int r = add_tree(m, in, out, strcmp(name, "__pycache__") == 0);
    m->depth--;
    return r;
}

// Takes `from`. In a folder of bytecode the files stay behind: what was compiled from one layer's
// source must not stand beside another's, and the merged tree is compiled by itself.
static int add_tree(struct merge *m, int from, int to, bool cache)
{
    _cleanup_(dir_closep) DIR *d = fdopendir(from);
    const struct dirent *e;
    int r = 0;

    if (!d) {
        int error = errno;
        close(from);
        return failed(m, error, "read", "a folder");
    }
    while (r == 0 && (e = readdir(d)) != NULL) {
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            (cache && str_ends(str_from(e->d_name), STR(".pyc"))))
            continue;
        if (fstatat(from, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return failed(m, errno, "look at", e->d_name);
        r = hide(m, to, S_ISDIR(st.st_mode), e->d_name);
        if (r < 0)
            break;
        m->entries++;
        if (S_ISDIR(st.st_mode))
            r = add_folder(m, from, to, e->d_name);
        else if (S_ISLNK(st.st_mode))
            r = add_symlink(m, from, to, e->d_name);
        else if (S_ISREG(st.st_mode))
            r = add_file(m, from, to, &st, e->d_name);
    }
    return r;
}

static int merge_aside(int code_fd, const char *aside, const char (*layers)[SHA256_HEX_BYTES],
                       unsigned n, struct err *err)
{
    struct merge m = {.err = err};

    if (mkdirat(code_fd, aside, 0700) < 0)
        return err_errno(err, errno, "mkdir in code");
    _cleanup_close_ int to = openat(code_fd, aside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (to < 0)
        return err_errno(err, errno, "open folder in code");
    for (unsigned i = 0; i < n; i++) {
        int from = openat(code_fd, layers[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (from < 0)
            return err_errno(err, errno, "open layer %s", layers[i]);
        int r = add_tree(&m, from, to, false);
        if (r < 0)
            return r;
    }
    if (fchmod(to, 0755) < 0)
        return err_errno(err, errno, "chmod folder in code");
    return package_sync_tree(to, m.entries, err);
}

int layer_tree_make(const char *code_dir, const char (*layers)[SHA256_HEX_BYTES], unsigned n,
                    char tree[static SHA256_HEX_BYTES], struct err *err)
{
    _cleanup_(buf_finishp) struct buf names = {0};
    char aside[32];

    tree[0] = '\0';
    if (n <= 1) {
        if (n == 1)
            memcpy(tree, layers[0], SHA256_HEX_BYTES);
        return 0;
    }
    buf_init(&names, 1024);
    for (unsigned i = 0; i < n; i++)
        buf_addf(&names, "layer %s\n", layers[i]);
    if (names.failed)
        return err_set(err, -ENOMEM, "out of memory");
    hash_sha256_hex(buf_str(&names), tree);

    _cleanup_close_ int code_fd = open(code_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (code_fd < 0)
        return err_errno(err, errno, "open %s", code_dir);
    if (tree_found(code_fd, tree))
        return 0;
    snprintf(aside, sizeof(aside), ".tmp-%016llx", (unsigned long long)os_random_u64());
    int r = merge_aside(code_fd, aside, layers, n, err);
    if (r >= 0 && renameat(code_fd, aside, code_fd, tree) < 0 && errno != ENOTEMPTY &&
        errno != EEXIST)
        r = err_errno(err, errno, "rename the merged layers");
    if (r >= 0 && fsync(code_fd) < 0)
        r = err_errno(err, errno, "sync %s", code_dir);
    rm_rf_at(code_fd, aside, NULL); // nothing there after the rename
    return r < 0 ? r : 0;
}
