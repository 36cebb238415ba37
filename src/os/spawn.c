// spawn.c - starting programs that are not sandboxed.
#include "os/spawn.h"

#include "os/fd.h"
#include "os/time.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_FDS 64

extern char **environ;

// A child's number may be another entry's `from`: everything is first copied above the highest.
struct copies {
    int fd[MAX_FDS];
    unsigned n;
};

static void copies_close(struct copies *c)
{
    for (unsigned i = 0; i < c->n; i++)
        close(c->fd[i]);
}

static int plan_fds(const struct spawn *s, struct copies *c, posix_spawn_file_actions_t *actions)
{
    uint64_t listed[1024 / 64] = {0};
    int highest = 2;
    int r = 0;

    if (s->n_fds > MAX_FDS)
        return -EINVAL;
    for (unsigned i = 0; i < s->n_fds; i++) {
        if (s->fds[i].to < 0 || s->fds[i].to >= 1024)
            return -EINVAL;
        listed[s->fds[i].to / 64] |= (uint64_t)1 << (s->fds[i].to % 64);
        if (s->fds[i].to > highest)
            highest = s->fds[i].to;
    }
    for (unsigned i = 0; i < s->n_fds; i++) {
        int copy;
        if (s->fds[i].from < 0) {
            _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
            copy = null < 0 ? -1 : fcntl(null, F_DUPFD_CLOEXEC, highest + 1);
        } else {
            copy = fcntl(s->fds[i].from, F_DUPFD_CLOEXEC, highest + 1);
        }
        if (copy < 0)
            return -errno;
        c->fd[c->n++] = copy;
        r = posix_spawn_file_actions_adddup2(actions, copy, s->fds[i].to);
        if (r != 0)
            return -r;
    }
    for (int fd = 3; fd <= highest && r == 0; fd++) {
        if (!(listed[fd / 64] & (uint64_t)1 << (fd % 64)))
            r = posix_spawn_file_actions_addclose(actions, fd); // one that is not open is fine
    }
    if (r == 0)
        r = posix_spawn_file_actions_addclosefrom_np(actions, highest + 1);
    return -r;
}

int spawn_start(const struct spawn *s, pid_t *pid, struct err *err)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    struct copies copies = {.n = 0};
    sigset_t none, all;
    short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    pid_t child;
    int r;

    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    if (s->new_group) {
        flags |= POSIX_SPAWN_SETPGROUP;
        posix_spawnattr_setpgroup(&attr, 0);
    }
    posix_spawnattr_setflags(&attr, flags);

    r = plan_fds(s, &copies, &actions);
    if (r == 0 && s->cwd)
        r = -posix_spawn_file_actions_addchdir_np(&actions, s->cwd);
    if (r == 0)
        r = -posix_spawnp(&child, s->path, &actions, &attr, s->argv, s->envp ? s->envp : environ);
    copies_close(&copies);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    if (r < 0)
        return err_errno(err, -r, "start %s", s->path);
    *pid = child;
    return 0;
}

static int64_t left_ms(int64_t deadline_ms)
{
    int64_t left = deadline_ms - os_mono_ms();

    return left < 0 ? 0 : left > 1000000 ? 1000000 : left;
}

int spawn_wait(pid_t pid, int timeout_ms, int *status)
{
    int64_t deadline = os_mono_ms() + timeout_ms;
    _cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

    for (;;) {
        pid_t got = waitpid(pid, status, timeout_ms < 0 ? 0 : WNOHANG);
        if (got == pid)
            return 0;
        if (got < 0 && errno != EINTR)
            return -errno;
        if (timeout_ms < 0)
            continue;
        if (left_ms(deadline) == 0)
            return -ETIMEDOUT;
        if (pidfd >= 0) {
            struct pollfd p = {.fd = pidfd, .events = POLLIN};
            poll(&p, 1, (int)left_ms(deadline));
        } else { // a kernel without pidfd_open
            nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        }
    }
}

static void read_some(int fd, struct buf *output, bool *open)
{
    char piece[4096];
    ssize_t n = read(fd, piece, sizeof piece);

    if (n > 0) {
        size_t room = output->max_bytes - output->len;
        buf_add(output, (struct str){piece, (size_t)n < room ? (size_t)n : room});
    } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
        *open = false;
    }
}

int spawn_run(const struct spawn *s, int timeout_ms, struct buf *output, int *status,
              struct err *err)
{
    int64_t deadline = os_mono_ms() + timeout_ms;
    int ends[2];
    pid_t pid;
    int r;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_errno(err, errno, "pipe");
    _cleanup_close_ int from = ends[0];
    _cleanup_close_ int to = ends[1];
    struct spawn child = *s;
    const struct spawn_fd fds[] = {{-1, 0}, {to, 1}, {to, 2}};
    child.fds = fds;
    child.n_fds = 3;
    child.new_group = true;
    r = spawn_start(&child, &pid, err);
    if (r < 0)
        return r;
    closep(&to);
    fd_set_nonblock(from, true);

    // Over when the child has gone, even if something that it started still holds the pipe.
    _cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    bool open = true, over = false;
    while (!over && left_ms(deadline) > 0) {
        struct pollfd p[] = {{.fd = open ? from : -1, .events = POLLIN},
                             {.fd = pidfd, .events = POLLIN}};
        poll(p, 2, pidfd < 0 ? 5 : (int)left_ms(deadline));
        if (p[0].revents)
            read_some(from, output, &open);
        r = spawn_wait(pid, 0, status);
        over = r == 0;
        if (r < 0 && r != -ETIMEDOUT)
            return err_errno(err, -r, "wait for %s", s->path);
    }
    if (!over) {
        kill(-pid, SIGKILL);
        spawn_wait(pid, -1, status);
        return err_set(err, -ETIMEDOUT, "%s did not end within %d ms", s->path, timeout_ms);
    }
    while (open) { // what is in the pipe
        struct pollfd p = {.fd = from, .events = POLLIN};
        if (poll(&p, 1, 0) <= 0)
            break;
        read_some(from, output, &open);
    }
    return 0;
}
