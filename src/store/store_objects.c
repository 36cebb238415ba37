// store_objects.c - content goes to a temporary file, to the disk, and only then under its name.
//
// Invariant: in the directory a name that begins with ".tmp-" is being written by this process or
// was left by one that died; any other is complete. The directory is synced after every rename,
// before anybody is told.
#include "store_objects.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/hex.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMPORARY ".tmp-"

struct store_objects {
    char *path;
    int dir;
    bool ephemeral;
    atomic_ullong next_temporary;
};

struct store_object_writer {
    struct store_objects *o;
    struct hash *hash;
    int fd;
    int64_t bytes;
    int failed; // negative errno of a write: commit then refuses
    char temporary[48];
};

static bool name_ok(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len > STORE_OBJECT_NAME_MAX || name[0] == '.')
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-'))
            return false;
    }
    return true;
}

static int bad_name(struct err *err)
{
    return err_set(err, -EINVAL, "not a name of an object");
}

// --- opening ---

static void remove_leftovers(struct store_objects *o, DIR *d)
{
    struct dirent *e;

    while ((e = readdir(d))) {
        if (strncmp(e->d_name, TEMPORARY, sizeof(TEMPORARY) - 1) == 0)
            unlinkat(o->dir, e->d_name, 0);
    }
}

// A fresh stream over the directory; its position is its own.
static DIR *open_stream(struct store_objects *o)
{
    int fd = openat(o->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);

    if (fd >= 0 && !d)
        close(fd);
    return d;
}

int store_objects_open(const char *dir, bool ephemeral, struct store_objects **out, struct err *err)
{
    struct store_objects *o = calloc(1, sizeof(*o));
    DIR *d;
    int r;

    if (!o || !(o->path = strdup(dir))) {
        free(o);
        return err_set(err, -ENOMEM, "no memory to open %s", dir);
    }
    o->ephemeral = ephemeral;
    o->dir = -1;
    if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
        r = err_errno(err, errno, "directory %s", dir);
        goto fail;
    }
    o->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    d = o->dir < 0 ? NULL : open_stream(o);
    if (!d) {
        r = err_errno(err, errno, "directory %s", dir);
        goto fail;
    }
    remove_leftovers(o, d);
    closedir(d);
    *out = o;
    return 0;
fail:
    store_objects_close(o);
    return r;
}

void store_objects_close(struct store_objects *o)
{
    if (!o)
        return;
    if (o->dir >= 0)
        close(o->dir);
    free(o->path);
    free(o);
}

// --- writing ---

int store_object_begin(struct store_objects *o, struct store_object_writer **out, struct err *err)
{
    struct store_object_writer *w = calloc(1, sizeof(*w));

    if (!w || !(w->hash = hash_create(HASH_SHA256))) {
        free(w);
        return err_set(err, -ENOMEM, "no memory to write an object");
    }
    w->o = o;
    snprintf(w->temporary, sizeof(w->temporary), TEMPORARY "%d-%llu", (int)getpid(),
             atomic_fetch_add(&o->next_temporary, 1));
    w->fd = openat(o->dir, w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (w->fd < 0) {
        int r = err_errno(err, errno, "%s/%s", o->path, w->temporary);
        hash_destroy(w->hash);
        free(w);
        return r;
    }
    *out = w;
    return 0;
}

int store_object_write(struct store_object_writer *w, struct str data, struct err *err)
{
    size_t done = 0;

    while (w->failed == 0 && done < data.len) {
        ssize_t n = write(w->fd, data.ptr + done, data.len - done);
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            w->failed = n == 0 ? -EIO : -errno;
    }
    if (w->failed < 0)
        return err_errno(err, -w->failed, "writing to %s", w->o->path);
    hash_add(w->hash, data);
    w->bytes += (int64_t)data.len;
    return 0;
}

int64_t store_object_written(const struct store_object_writer *w)
{
    return w->bytes;
}

void store_object_abort(struct store_object_writer *w)
{
    if (!w)
        return;
    if (w->fd >= 0)
        close(w->fd);
    if (w->temporary[0] != '\0')
        unlinkat(w->o->dir, w->temporary, 0);
    hash_destroy(w->hash);
    free(w);
}

void store_object_abortp(struct store_object_writer **w)
{
    store_object_abort(*w);
    *w = NULL;
}

static int publish(struct store_object_writer *w, const char *name, struct err *err)
{
    struct store_objects *o = w->o;
    int fd;

    if (w->failed < 0)
        return err_errno(err, -w->failed, "writing to %s", o->path);
    if (!o->ephemeral && fdatasync(w->fd) < 0)
        return err_errno(err, errno, "syncing %s/%s", o->path, w->temporary);
    fd = w->fd;
    w->fd = -1;
    // Some file systems report a full disk or quota only here.
    if (close(fd) < 0 && errno != EINTR)
        return err_errno(err, errno, "closing %s/%s", o->path, w->temporary);
    if (renameat(o->dir, w->temporary, o->dir, name) < 0)
        return err_errno(err, errno, "naming %s/%s", o->path, name);
    w->temporary[0] = '\0';
    if (!o->ephemeral && fsync(o->dir) < 0)
        return err_errno(err, errno, "syncing %s", o->path);
    return 0;
}

int store_object_commit_as(struct store_object_writer **w_p, const char *name, struct err *err)
{
    _cleanup_(store_object_abortp) struct store_object_writer *w = TAKE_PTR(*w_p);

    return name_ok(name) ? publish(w, name, err) : bad_name(err);
}

int store_object_commit(struct store_object_writer **w_p, char name[static STORE_OBJECT_NAME_BYTES],
                        struct err *err)
{
    _cleanup_(store_object_abortp) struct store_object_writer *w = TAKE_PTR(*w_p);
    uint8_t digest[HASH_MAX_BYTES];

    hash_result(w->hash, digest);
    hex_encode(digest, SHA256_BYTES, name);
    // Written anew even when it exists: the file's time then shows that somebody wants it, and
    // store_objects_collect leaves it alone.
    return publish(w, name, err);
}

int store_object_put(struct store_objects *o, struct str data,
                     char name[static STORE_OBJECT_NAME_BYTES], struct err *err)
{
    _cleanup_(store_object_abortp) struct store_object_writer *w = NULL;
    int r;

    r = store_object_begin(o, &w, err);
    if (r == 0)
        r = store_object_write(w, data, err);
    return r < 0 ? r : store_object_commit(&w, name, err);
}

// --- reading and removing ---

int store_object_open(struct store_objects *o, const char *name, int *fd, int64_t *bytes,
                      struct err *err)
{
    struct stat st;
    int f;

    if (!name_ok(name))
        return bad_name(err);
    f = openat(o->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (f < 0)
        return err_errno(err, errno, "object %s/%s", o->path, name);
    if (fstat(f, &st) < 0) {
        int code = errno;
        close(f);
        return err_errno(err, code, "object %s/%s", o->path, name);
    }
    *fd = f;
    *bytes = st.st_size;
    return 0;
}

bool store_object_exists(struct store_objects *o, const char *name)
{
    return name_ok(name) && faccessat(o->dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int store_object_remove(struct store_objects *o, const char *name, struct err *err)
{
    if (!name_ok(name))
        return bad_name(err);
    if (unlinkat(o->dir, name, 0) < 0 && errno != ENOENT)
        return err_errno(err, errno, "removing %s/%s", o->path, name);
    return 0;
}

bool store_object_path(struct store_objects *o, const char *name, char *out, size_t size)
{
    int n;

    if (!name_ok(name))
        return false;
    n = snprintf(out, size, "%s/%s", o->path, name);
    return n > 0 && (size_t)n < size;
}

int store_objects_each(struct store_objects *o, store_object_visit_fn visit, void *ctx,
                       struct err *err)
{
    DIR *d = open_stream(o);
    struct dirent *e;
    int r = 0;

    if (!d)
        return err_errno(err, errno, "directory %s", o->path);
    while (r == 0) {
        struct store_object_info info;
        struct stat st;
        errno = 0;
        e = readdir(d);
        if (!e) {
            if (errno != 0)
                r = err_errno(err, errno, "directory %s", o->path);
            break;
        }
        if (!name_ok(e->d_name) || fstatat(o->dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            !S_ISREG(st.st_mode))
            continue;
        info.name = e->d_name;
        info.bytes = st.st_size;
        info.modified_ms = st.st_mtim.tv_sec * INT64_C(1000) + st.st_mtim.tv_nsec / 1000000;
        r = visit(ctx, &info);
    }
    closedir(d);
    return r;
}

struct collection {
    struct store_objects *o;
    int64_t before_ms, removed;
    store_object_used_fn used;
    void *ctx;
};

static int collect_one(void *ctx, const struct store_object_info *info)
{
    struct collection *c = ctx;

    if (info->modified_ms < c->before_ms && !c->used(c->ctx, info->name) &&
        unlinkat(c->o->dir, info->name, 0) == 0)
        c->removed++;
    return 0;
}

int64_t store_objects_collect(struct store_objects *o, int64_t before_ms, store_object_used_fn used,
                              void *ctx, struct err *err)
{
    struct collection c = {o, before_ms, 0, used, ctx};
    int r = store_objects_each(o, collect_one, &c, err);

    return r < 0 ? r : c.removed;
}
