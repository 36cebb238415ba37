// message.h - bounded messages with file descriptors over a seqpacket socket pair.
//
// A message arrives whole or not at all. Descriptors arrive close-on-exec. What is too long, or
// carries more descriptors than asked for, is refused and its descriptors closed.
#ifndef LAMBKIN_OS_MESSAGE_H
#define LAMBKIN_OS_MESSAGE_H

#include "base/err.h"

#include <sys/types.h>

#define MESSAGE_MAX_BYTES ((size_t)256 * 1024) // a sandbox spec with 4 KiB of variables fits often
#define MESSAGE_MAX_FDS 16

// Two connected ends, both close-on-exec, with room for a longest message.
int message_pair(int fds[2], struct err *err);
// -EAGAIN when the other side does not read and the descriptor is non-blocking; -EPIPE when it has
// gone (never SIGPIPE); -EMSGSIZE when too long.
int message_send(int fd, const void *bytes, size_t len, const int *fds, unsigned n_fds,
                 struct err *err);
// The length, or 0 when the other side has closed. *n_fds: room in fds on the way in, how many
// came on the way out. -EAGAIN, -EMSGSIZE, -errno. Empty messages cannot be sent.
ssize_t message_receive(int fd, void *to, size_t room, int *fds, unsigned *n_fds, struct err *err);

#endif
