// remove.c - removing a tree that a stranger may have filled.
//
// Invariants: every step goes through a descriptor of the folder it is in, opened with O_NOFOLLOW,
// so that nothing outside the tree is ever touched. A tree may be deeper than there are
// descriptors or stack: folders below MAX_DEPTH are first moved up to the top of the tree.
#include "os/file.h"

#include "os/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_DEPTH 64

struct removal {
    int top_fd;       // the tree itself
    unsigned counter; // for names of folders that were moved up
    bool moved;       // one was moved in this pass
};

static void closedirp(DIR **d)
{
    if (*d)
        closedir(*d);
}

// Opens a folder, lending it permissions first when it has none for us.
static int open_dir(int parent, const char *name)
{
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
    int fd = openat(parent, name, flags);

    if (fd >= 0 || errno != EACCES)
        return fd < 0 ? -errno : fd;
    _cleanup_close_ int path_fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (path_fd < 0 || fstat(path_fd, &st) < 0)
        return -errno;
    if (!S_ISDIR(st.st_mode))
        return -ENOTDIR;
    char proc[64];
    snprintf(proc, sizeof proc, "/proc/self/fd/%d", path_fd);
    if (chmod(proc, 0700) < 0)
        return -errno;
    fd = openat(parent, name, flags);
    return fd < 0 ? -errno : fd;
}

static int remove_content(struct removal *rm, int fd, unsigned depth);

static int move_up(struct removal *rm, int dir, const char *name)
{
    for (int tries = 0; tries < 10000; tries++) {
        char to[32];
        snprintf(to, sizeof to, ".removed-%u", rm->counter++);
        if (renameat(dir, name, rm->top_fd, to) == 0) {
            rm->moved = true;
            return 0;
        }
        if (errno != ENOTEMPTY && errno != EEXIST && errno != ENOTDIR)
            return errno == ENOENT ? 0 : -errno;
    }
    return -EEXIST;
}

static int remove_entry(struct removal *rm, int dir, const char *name, unsigned depth)
{
    int r;

    if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno == EACCES) { // our own folder without write permission
        if (fchmod(dir, 0700) == 0 && (unlinkat(dir, name, 0) == 0 || errno == ENOENT))
            return 0;
    }
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    if (depth >= MAX_DEPTH)
        return move_up(rm, dir, name);
    _cleanup_close_ int fd = open_dir(dir, name);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    r = remove_content(rm, TAKE_FD(fd), depth + 1);
    if (r < 0)
        return r;
    if (unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    return -errno;
}

// Takes fd. Goes on after an error; answers the first.
static int remove_content(struct removal *rm, int fd, unsigned depth)
{
    _cleanup_(closedirp) DIR *d = fdopendir(fd);
    int first = 0;

    if (!d) {
        int saved = errno;
        close(fd);
        return -saved;
    }
    for (;;) {
        errno = 0;
        struct dirent *e = readdir(d);
        if (!e)
            return first ? first : -errno;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        int r = remove_entry(rm, dirfd(d), e->d_name, depth);
        if (r < 0 && !first)
            first = r;
    }
}

int rm_rf_at(int dir_fd, const char *name, struct err *err)
{
    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return err_errno(err, errno, "remove %s", name);

    _cleanup_close_ int top = open_dir(dir_fd, name);
    if (top == -ENOENT)
        return 0;
    if (top < 0)
        return err_errno(err, -top, "open %s", name);
    // A pass may leave folders that were moved up or appeared meanwhile; each is shallower then.
    for (int pass = 0; pass < 100000; pass++) {
        struct removal rm = {.top_fd = top};
        int fd = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            return err_errno(err, errno, "open %s", name);
        int r = remove_content(&rm, fd, 0);
        if (unlinkat(dir_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
            return 0;
        if (r < 0 && !rm.moved && r != -ENOTEMPTY)
            return err_errno(err, -r, "remove %s", name);
        if (!rm.moved && pass > 10)
            return err_errno(err, errno, "remove %s", name);
    }
    return err_errno(err, ELOOP, "remove %s", name);
}

int rm_rf(const char *path, struct err *err)
{
    return rm_rf_at(AT_FDCWD, path, err);
}
