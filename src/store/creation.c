// creation.c - making a database file.
//
// Invariant: a file under the store's name has its whole schema and is on the disk. It is made
// under another name without a log and without waiting, synced once, and then named; so a daemon
// that starts for the first time waits for the disk twice per store and not at every statement.
#include "store_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int sync_path(const char *path, int flags, struct err *err)
{
    int fd = open(path, flags | O_CLOEXEC);
    int code;

    if (fd < 0)
        return err_errno(err, errno, "%s", path);
    code = fsync(fd) < 0 ? errno : 0;
    close(fd);
    return code != 0 ? err_errno(err, code, "syncing %s", path) : 0;
}

static int sync_directory_of(const char *path, struct err *err)
{
    char dir[STORE_MAX_PATH];
    const char *slash = strrchr(path, '/');

    if (!slash)
        snprintf(dir, sizeof(dir), ".");
    else
        snprintf(dir, sizeof(dir), "%.*s", slash == path ? 1 : (int)(slash - path), path);
    return sync_path(dir, O_RDONLY | O_DIRECTORY, err);
}

// Everything in the file at `path`, which is empty and private.
static int fill(const struct store *s, const char *path, const struct store_migration *m,
                unsigned n, struct err *err)
{
    struct store_conn c;
    int r;

    r = conn_open(s, path, &c, CONN_MAKER, err);
    if (r < 0)
        return r;
    r = migrations_apply(&c, m, n, err);
    if (r == 0)
        r = conn_script(&c, "PRAGMA journal_mode = WAL", err); // kept in the file's header
    conn_close(&c);
    return r;
}

int creation_ensure(const struct store *s, const struct store_migration *m, unsigned n,
                    struct err *err)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    char made[STORE_MAX_PATH];
    int fd, r;

    if (access(s->path, F_OK) == 0)
        return 0;
    if (errno != ENOENT)
        return err_errno(err, errno, "database %s", s->path);
    if ((size_t)snprintf(made, sizeof(made), "%s.new", s->path) >= sizeof(made) - 10)
        return err_set(err, -ENAMETOOLONG, "database %s: the path is too long", s->path);
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        char left[STORE_MAX_PATH + 10];
        snprintf(left, sizeof(left), "%s%s", made, suffixes[i]);
        unlink(left);
    }
    fd = open(made, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(err, errno, "database %s", s->path);
    close(fd);
    r = fill(s, made, m, n, err);
    if (r == 0 && !s->ephemeral)
        r = sync_path(made, O_RDWR, err);
    if (r == 0 && rename(made, s->path) < 0)
        r = err_errno(err, errno, "database %s", s->path);
    if (r < 0) {
        unlink(made);
        return r;
    }
    return s->ephemeral ? 0 : sync_directory_of(s->path, err);
}
