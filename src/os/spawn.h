// spawn.h - starting programs that are not sandboxed: our own processes, tools.
//
// Made with posix_spawn (CLONE_VM|CLONE_VFORK in glibc): the cost does not grow with our size.
// Sandboxes are the keeper's business (src/sandbox).
#ifndef LAMBKIN_OS_SPAWN_H
#define LAMBKIN_OS_SPAWN_H

#include "base/buf.h"
#include "base/err.h"

#include <sys/types.h>

struct spawn_fd {
    int from; // ours; -1 gives /dev/null
    int to;   // the child's number
};

struct spawn {
    const char *path;  // looked up in PATH when it holds no slash
    char *const *argv; // NULL at the end
    char *const *envp; // NULL: ours
    const char *cwd;   // NULL: ours
    const struct spawn_fd *fds;
    unsigned n_fds; // everything above 2 that is not listed is closed; 0–2 are inherited
    bool new_group; // its own process group
};

int spawn_start(const struct spawn *s, pid_t *pid, struct err *err);
// Waits up to timeout_ms (-1: for ever) for that child: 0 and the wait status, -ETIMEDOUT, -errno.
int spawn_wait(pid_t pid, int timeout_ms, int *status);
// Runs to the end with stdin from /dev/null, and output (stdout and stderr together) in `output`,
// which keeps its first max_bytes. Killed with its group at the time limit: -ETIMEDOUT.
int spawn_run(const struct spawn *s, int timeout_ms, struct buf *output, int *status,
              struct err *err);

#endif
