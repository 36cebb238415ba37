// beneath.c - see beneath.h.
#include "sandbox/beneath.h"

#include "sandbox/kernel.h"

#include "os/fd.h"

#include <errno.h>
#include <stdio.h>

int open_beneath_by_parts(int dir, const char *name, struct err *err)
{
    _cleanup_close_ int at = fcntl(dir, F_DUPFD_CLOEXEC, 3);
    if (at < 0)
        return err_errno(err, errno, "dup");
    struct str rest = str_from(name), part;
    while (str_next(&rest, '/', &part)) {
        char one[256];
        if (part.len == 0 || part.len >= sizeof(one) || str_eq(part, STR(".")) ||
            str_eq(part, STR("..")))
            return err_set(err, -EXDEV, "'%.100s' does not stay below its folder", name);
        snprintf(one, sizeof(one), "%.*s", STR_ARG(part));
        int next = openat(at, one, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0)
            return err_errno(err, errno, "open %.100s", name);
        close(at);
        at = next;
    }
    return TAKE_FD(at);
}

int open_beneath(int dir, const char *name, struct err *err)
{
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                           .resolve =
                               RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    int fd;
    do
        fd = kernel_openat2(dir, name, &how);
    while (fd < 0 && errno == EAGAIN); // a rename raced
    if (fd >= 0)
        return fd;
    // An older kernel, or a container's filter.
    if (errno == ENOSYS || errno == EPERM)
        return open_beneath_by_parts(dir, name, err);
    return err_errno(err, errno, "open %.100s", name);
}
