// fd.h - file descriptors: who closes them, and reading and writing in full.
//
// Every descriptor this program opens is close-on-exec. All functions restart on EINTR.
#ifndef LAMBKIN_OS_FD_H
#define LAMBKIN_OS_FD_H

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/err.h"

#include <sys/types.h>

// Closes *fd when it is not negative and sets it to -1. Keeps errno.
void closep(int *fd);
#define _cleanup_close_ _cleanup_(closep)
// Gives a descriptor away: TAKE_FD(fd) answers it and leaves -1.
#define TAKE_FD(fd)                                                                                \
    ({                                                                                             \
        int *_fdp = &(fd);                                                                         \
        int _fdv = *_fdp;                                                                          \
        *_fdp = -1;                                                                                \
        _fdv;                                                                                      \
    })

// 0 or -errno.
int fd_set_cloexec(int fd, bool on);
int fd_set_nonblock(int fd, bool on);

// A sealed, read-only memory file with this content, at offset 0; the descriptor or -errno.
int fd_memfd(const char *name, struct str content, struct err *err);

// Reads until `bytes` are there or the file ends: how many, or -errno.
ssize_t fd_read_full(int fd, void *to, size_t bytes);
ssize_t fd_pread_full(int fd, void *to, size_t bytes, uint64_t offset);
// Writes everything: 0 or -errno. Not for non-blocking descriptors (-EAGAIN half-way).
int fd_write_full(int fd, const void *from, size_t bytes);
int fd_pwrite_full(int fd, const void *from, size_t bytes, uint64_t offset);
// Appends what is left of the file to b; -EFBIG when that is more than b's maximum.
int fd_read_all(int fd, struct buf *b);

#endif
