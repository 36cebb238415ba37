// processes.c - main's loop: signals, the server's socket, and time.
//
//   STARTING ──both ready────▶ RUNNING ──SIGTERM──▶ DRAINING ──server ended──▶ ENDING ──▶ done
//      │ a child ends: give up    │ a child ends: start_child() after a pause
//
// Invariants: the keeper is started before a server is, since the server inherits a connection to
// it. A child that ends in RUNNING is started again at once; when that goes on, after a pause that
// grows to a fifth of a second, or to five seconds if it does not even get ready. In ENDING the
// keeper's socket is closed, which tells it to kill every sandbox; only then is it waited for.
// Single-threaded.
#include "cli/processes.h"

#include "base/cleanup.h"
#include "cli/link.h"
#include "os/fd.h"
#include "os/log.h"
#include "os/message.h"
#include "os/spawn.h"
#include "os/time.h"
#include "sandbox/keeper.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAUSE_FIRST_MS 50
#define PAUSE_MAX_MS 5000
#define PAUSE_MAX_READY_MS 200 // of a child that had become ready
#define QUIET_MS 2000          // after so long, an end is an event of its own
#define SAME_SIGNAL_MS 300
#define KEEPER_END_MS 15000      // to kill all sandboxes and take down what it made
#define SERVER_OVERTIME_MS 10000 // beyond the drain limit, for stores and descriptors

enum phase { STARTING, RUNNING, DRAINING, ENDING };

struct child {
    const char *role;                // argv[1]
    pid_t pid;                       // 0: not running
    int fd;                          // our end of its socket, -1 without
    int64_t started_ms, start_at_ms; // monotonic; start_at_ms: when to start it (again)
    unsigned pause_ms;
    bool up; // it has said that it is ready
};

struct processes {
    const struct processes_config *config;
    struct child keeper, server;
    enum phase phase;
    int64_t asked_ms;    // when the first signal to stop came
    int64_t deadline_ms; // of DRAINING and ENDING
    bool keeper_deaf, said_ready, gave_up, killed;
    struct err reason;
};

static int start_child(struct child *c, const struct processes_config *config, int keeper_fd,
                       struct err *err)
{
    _cleanup_close_ int ours = -1, theirs = -1, settings = -1;
    char *argv[] = {(char *)"lambkin", (char *)c->role, NULL};
    struct spawn_fd fds[8];
    unsigned n = 0;
    int pair[2], r;

    r = message_pair(pair, err);
    if (r < 0)
        return r;
    ours = pair[0];
    theirs = pair[1];
    settings = fd_memfd("settings", config->settings, err);
    if (settings < 0)
        return settings;
    fds[n++] = (struct spawn_fd){settings, LINK_FD_SETTINGS};
    fds[n++] = (struct spawn_fd){theirs, LINK_FD_MAIN};
    fds[n++] = (struct spawn_fd){config->lock_fd, LINK_FD_LOCK};
    if (keeper_fd >= 0) {
        fds[n++] = (struct spawn_fd){keeper_fd, LINK_FD_KEEPER};
        fds[n++] = (struct spawn_fd){config->listener_fd, LINK_FD_LISTENER};
        if (config->tls_fd >= 0)
            fds[n++] = (struct spawn_fd){config->tls_fd, LINK_FD_TLS};
    }
    const struct spawn s = {
        .path = "/proc/self/exe", .argv = argv, .fds = fds, .n_fds = n, .new_group = true};
    r = spawn_start(&s, &c->pid, err);
    if (r < 0)
        return err_wrap(err, "start the %s", c->role);
    closep(&c->fd);
    c->fd = TAKE_FD(ours);
    fd_set_nonblock(c->fd, true);
    c->started_ms = os_mono_ms();
    c->start_at_ms = 0;
    c->up = false;
    return 0;
}

// A connection to the keeper: our copy of the near end, which the server gets.
static int connect_keeper(struct processes *p, int *out, struct err *err)
{
    _cleanup_close_ int near = -1, far = -1;
    int pair[2], r;

    r = message_pair(pair, err);
    if (r < 0)
        return r;
    near = pair[0];
    far = pair[1];
    r = keeper_attach(p->keeper.fd, far, err);
    if (r < 0)
        return r;
    *out = TAKE_FD(near);
    return 0;
}

static int start_server(struct processes *p, struct err *err)
{
    _cleanup_close_ int connection = -1;
    int r = connect_keeper(p, &connection, err);

    return r < 0 ? r : start_child(&p->server, p->config, connection, err);
}

static int start_keeper(struct processes *p, struct err *err)
{
    _cleanup_close_ int connection = -1;
    const struct link_message m = {.kind = LINK_KEEPER};
    int r;

    r = start_child(&p->keeper, p->config, -1, err);
    p->keeper_deaf = false;
    if (r < 0 || p->server.pid == 0)
        return r;
    // The server that lives on needs a connection to the new one.
    r = connect_keeper(p, &connection, err);
    if (r < 0)
        return r;
    return message_send(p->server.fd, &m, sizeof(m), &connection, 1, err);
}

static void give_up(struct processes *p, struct err *reason)
{
    if (!p->gave_up)
        p->reason = *reason;
    p->gave_up = true;
}

static void begin_ending(struct processes *p)
{
    p->phase = ENDING;
    p->deadline_ms = os_mono_ms() + KEEPER_END_MS;
    closep(&p->keeper.fd); // the keeper kills every sandbox and ends
}

static void begin_draining(struct processes *p)
{
    const struct link_message m = {.kind = LINK_STOP, .limit_ms = p->config->drain_ms};
    struct err err = ERR_INIT;

    if (p->server.pid == 0) {
        begin_ending(p);
        return;
    }
    p->phase = DRAINING;
    p->deadline_ms = os_mono_ms() + p->config->drain_ms + SERVER_OVERTIME_MS;
    if (message_send(p->server.fd, &m, sizeof(m), NULL, 0, &err) < 0)
        kill(p->server.pid, SIGKILL);
}

static void describe(int status, char *to, size_t room)
{
    if (WIFSIGNALED(status))
        snprintf(to, room, "killed by signal %d", WTERMSIG(status));
    else
        snprintf(to, room, "exit status %d", WEXITSTATUS(status));
}

static void child_ended(struct processes *p, struct child *c, int status)
{
    char how[64];
    int64_t lived_ms = os_mono_ms() - c->started_ms;
    struct err err = ERR_INIT;

    describe(status, how, sizeof(how));
    c->pid = 0;
    closep(&c->fd);
    if (p->phase == DRAINING || p->phase == ENDING) {
        if (status != 0 && !p->gave_up)
            log_warn("the %s ended while stopping: %s", c->role, how);
        if (c == &p->server && p->phase == DRAINING)
            begin_ending(p);
        return;
    }
    if (p->phase == STARTING) {
        err_set(&err, -ECHILD, "the %s could not start (%s)", c->role, how);
        give_up(p, &err);
        return;
    }
    if (lived_ms > QUIET_MS)
        c->pause_ms = 0;
    c->start_at_ms = os_mono_ms() + c->pause_ms;
    log_error("the %s ended (%s); starting it again in %u ms", c->role, how, c->pause_ms);
    c->pause_ms = c->pause_ms ? c->pause_ms * 2 : PAUSE_FIRST_MS;
    unsigned most_ms = c->up ? PAUSE_MAX_READY_MS : PAUSE_MAX_MS;
    if (c->pause_ms > most_ms)
        c->pause_ms = most_ms;
}

static void reap(struct processes *p)
{
    struct child *const children[] = {&p->keeper, &p->server};
    int status;

    for (size_t i = 0; i < ARRAY_LEN(children); i++)
        if (children[i]->pid && waitpid(children[i]->pid, &status, WNOHANG) == children[i]->pid)
            child_ended(p, children[i], status);
}

static void take_signals(struct processes *p, int signal_fd)
{
    struct signalfd_siginfo info;

    while (read(signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGCHLD)
            continue;
        if (p->phase == DRAINING || p->phase == ENDING) {
            // Some send the same signal to us and to our group.
            if (os_mono_ms() - p->asked_ms < SAME_SIGNAL_MS)
                continue;
            log_warn("stopping at once");
            p->deadline_ms = os_mono_ms();
            continue;
        }
        p->asked_ms = os_mono_ms();
        log_info("stopping: running invocations have %u ms to finish", p->config->drain_ms);
        begin_draining(p);
    }
    reap(p);
}

static void take_message(struct processes *p)
{
    struct link_message m;
    struct err err = ERR_INIT;
    unsigned n_fds = 0;
    ssize_t n = message_receive(p->server.fd, &m, sizeof(m), NULL, &n_fds, &err);

    if (n == -EAGAIN)
        return;
    if (n != (ssize_t)sizeof(m) || m.kind != LINK_READY) {
        // It is ending, or out of its mind: either way its end is what we wait for.
        if (n != 0)
            log_error("the server sent a malformed message");
        closep(&p->server.fd);
        if (p->server.pid && n != 0)
            kill(p->server.pid, SIGKILL);
        return;
    }
    p->server.up = true;
    if (p->said_ready)
        log_info("the server is ready again");
}

// The keeper greets once it is set up; what it may say later is for the server.
static void take_greeting(struct processes *p)
{
    char greeting[4096];
    struct err err = ERR_INIT;
    unsigned n_fds = 0;
    ssize_t n = message_receive(p->keeper.fd, greeting, sizeof(greeting), NULL, &n_fds, &err);

    if (n > 0)
        p->keeper.up = true;
    else if (n != -EAGAIN)
        p->keeper_deaf = true; // it is ending; SIGCHLD follows
}

// Starts what is due and ends what is overdue.
static void keep_time(struct processes *p)
{
    int64_t now = os_mono_ms();
    struct err err = ERR_INIT;

    if (p->phase == RUNNING) {
        if (p->keeper.pid == 0 && now >= p->keeper.start_at_ms && start_keeper(p, &err) < 0) {
            log_error("%s", err.message);
            p->keeper.start_at_ms = now + PAUSE_MAX_READY_MS;
        }
        if (p->server.pid == 0 && p->keeper.pid != 0 && now >= p->server.start_at_ms &&
            start_server(p, &err) < 0) {
            log_error("%s", err.message);
            p->server.start_at_ms = now + PAUSE_MAX_READY_MS;
        }
        return;
    }
    if (p->phase == DRAINING && now >= p->deadline_ms && p->server.pid)
        kill(p->server.pid, SIGKILL);
    if (p->phase == ENDING && now >= p->deadline_ms) {
        if (p->keeper.pid)
            kill(p->keeper.pid, SIGKILL);
        if (p->server.pid)
            kill(p->server.pid, SIGKILL);
        if (!p->killed)
            log_warn("the keeper did not end in time and was killed");
        p->killed = true;
    }
}

static int until_next(const struct processes *p)
{
    int64_t next = INT64_MAX, now = os_mono_ms();

    if (p->phase == RUNNING) {
        if (p->keeper.pid == 0)
            next = p->keeper.start_at_ms;
        else if (p->server.pid == 0)
            next = p->server.start_at_ms;
    } else if (p->phase == DRAINING || p->phase == ENDING) {
        next = p->deadline_ms > now ? p->deadline_ms : now + 50;
    }
    if (next == INT64_MAX)
        return -1;
    return next <= now ? 0 : (int)(next - now > 60000 ? 60000 : next - now);
}

static void run(struct processes *p, int signal_fd)
{
    while (p->phase != ENDING || p->keeper.pid || p->server.pid) {
        struct pollfd fds[3] = {{.fd = signal_fd, .events = POLLIN},
                                {.fd = p->server.fd, .events = POLLIN},
                                {.fd = p->keeper_deaf ? -1 : p->keeper.fd, .events = POLLIN}};

        if (poll(fds, 3, until_next(p)) < 0 && errno != EINTR)
            log_error("poll: errno %d", errno);
        if (fds[1].revents)
            take_message(p);
        if (fds[2].revents)
            take_greeting(p);
        if (p->phase == STARTING && p->keeper.up && p->server.up) {
            p->phase = RUNNING;
            p->said_ready = true;
            p->config->ready(p->config->ctx);
        }
        if (fds[0].revents)
            take_signals(p, signal_fd);
        if (p->gave_up && p->phase != ENDING) {
            if (p->server.pid)
                kill(p->server.pid, SIGKILL);
            begin_ending(p);
        }
        keep_time(p);
    }
}

int processes_run(const struct processes_config *config, struct err *err)
{
    struct processes p = {
        .config = config,
        .keeper = {.role = "keeper", .fd = -1},
        .server = {.role = "server", .fd = -1},
    };
    _cleanup_close_ int signal_fd = -1;
    struct err reason = ERR_INIT;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signal_fd < 0)
        return err_errno(err, errno, "signalfd");
    if (start_keeper(&p, &reason) < 0 || start_server(&p, &reason) < 0)
        give_up(&p, &reason);
    if (p.gave_up)
        begin_ending(&p);
    run(&p, signal_fd);
    closep(&p.server.fd);
    if (p.gave_up) {
        *err = p.reason;
        return err->code;
    }
    return 0;
}
