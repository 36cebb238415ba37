// cgroup_disks.c - which disk a path lies on, for the limit of I/O.
//
// The kernel limits whole disks, by number, while stat tells the partition's; and a layered or
// network file system has no disk of its own.
#include "sandbox/cgroup.h"

#include "base/cleanup.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int read_line(const char *path, char *to, size_t room)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = fd_read_full(fd, to, room - 1);
    if (n < 0)
        return (int)n;
    to[n] = '\0';
    to[strcspn(to, "\n")] = '\0';
    return 0;
}

int cgroup_add_disk(struct cgroup_tree *t, const char *path)
{
    struct stat st;
    char name[16], file[80];
    if (stat(path, &st) < 0)
        return -errno;
    if (major(st.st_dev) == 0) // not a disk's: tmpfs, overlay, btrfs, network
        return -ENODEV;
    snprintf(name, sizeof(name), "%u:%u", major(st.st_dev), minor(st.st_dev));
    snprintf(file, sizeof(file), "/sys/dev/block/%s/partition", name);
    if (access(file, F_OK) == 0) {
        snprintf(file, sizeof(file), "/sys/dev/block/%s/../dev", name);
        int r = read_line(file, name, sizeof(name));
        if (r < 0)
            return r;
    }
    for (unsigned i = 0; i < t->n_disks; i++)
        if (strcmp(t->disks[i], name) == 0)
            return 0;
    if (t->n_disks == CGROUP_MAX_DISKS)
        return -E2BIG;
    snprintf(t->disks[t->n_disks++], sizeof(t->disks[0]), "%s", name);
    return 0;
}
