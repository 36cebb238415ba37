// keeper.c - the keeper's connections and its loop. See keeper.h.
//
// Whatever comes over a connection is checked whole before anything is done; the first thing wrong
// ends the connection and its sandboxes. A connection names only its own sandboxes.
#include "sandbox/keeper_impl.h"

#include "base/cleanup.h"
#include "os/fd.h"
#include "os/log.h"
#include "os/message.h"
#include "os/time.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <fcntl.h>
#include <unistd.h>

#define REFILL_QUIET_MS 3 // spares are made when nothing has been asked for that long
#define SWEEP_MS 2
#define SEND_PATIENCE_MS 2000

int keeper_watch(struct keeper *k, int fd, uint64_t tag)
{
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = tag};
    return epoll_ctl(k->epoll, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

void keeper_unwatch(struct keeper *k, int *fd)
{
    if (*fd >= 0)
        epoll_ctl(k->epoll, EPOLL_CTL_DEL, *fd, NULL);
    closep(fd);
}

// ---- connections ----

static void drop_connection(struct keeper *k, int c)
{
    keeper_unwatch(k, &k->connections[c].fd);
    for (unsigned i = 0; i < k->n_slots; i++) {
        struct slot *s = &k->slots[i];
        if (s->connection == c && s->state != SLOT_FREE) {
            s->connection = -1;
            slot_kill(k, s);
        }
    }
    if (k->connections[c].main)
        k->stopping = true;
    bool server = false;
    for (int i = 0; i < KEEPER_MAX_CONNECTIONS; i++)
        server = server || (k->connections[i].fd >= 0 && !k->connections[i].main);
    if (!server)
        image_slots_forget(k);
}

// The peer reads slowly at times; one that does not read at all is given up.
static void send_to(struct keeper *k, int c, ssize_t len, const int *fds, unsigned n)
{
    if (c < 0 || k->connections[c].fd < 0 || len <= 0)
        return;
    int fd = k->connections[c].fd;
    int r = message_send(fd, k->out, (size_t)len, fds, n, NULL);
    for (int tries = 0; r == -EAGAIN && tries < SEND_PATIENCE_MS / 10; tries++) {
        struct pollfd p = {fd, POLLOUT, 0};
        poll(&p, 1, 10);
        r = message_send(fd, k->out, (size_t)len, fds, n, NULL);
    }
    if (r < 0)
        shutdown(fd, SHUT_RDWR); // the loop sees the end and cleans up
}

static int add_connection(struct keeper *k, int fd, bool main)
{
    for (int c = 0; c < KEEPER_MAX_CONNECTIONS; c++) {
        if (k->connections[c].fd >= 0)
            continue;
        int r = keeper_watch(k, fd, event_tag(EVENT_CONNECTION, 0, (unsigned)c));
        if (r < 0)
            return r;
        fd_set_nonblock(fd, true);
        k->connections[c] = (struct connection){.fd = fd, .main = main};
        send_to(k, c, protocol_write_status(k->out, &k->status), NULL, 0);
        return 0;
    }
    return -EMFILE;
}

// ---- answers ----

void keeper_reply_started(struct keeper *k, struct slot *s, uint32_t serial, int control)
{
    struct cgroup_tree *t = &k->cgroups;
    _cleanup_close_ int memory = t->ops ? t->ops->open_peak(t, s->group) : -1;
    _cleanup_close_ int freezer =
        t->ops && t->has[CGROUP_FREEZER] ? t->ops->open_freezer(t, s->group) : -1;
    const struct {
        int fd;
        uint32_t bit;
    } all[] = {{s->output, STARTED_OUTPUT},
               {control, STARTED_CONTROL},
               {s->net.runtime_api, STARTED_RUNTIME_API},
               {s->net.endpoint, STARTED_ENDPOINT},
               {memory, STARTED_MEMORY},
               {freezer, STARTED_FREEZER},
               {s->memory.tmp, STARTED_TMP}};
    int fds[ARRAY_LEN(all)];
    unsigned n = 0;
    uint32_t which = 0;
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (all[i].fd >= 0) {
            fds[n++] = all[i].fd;
            which |= all[i].bit;
        }
    struct protocol_writer w;
    protocol_begin(&w, k->out, PROTOCOL_STARTED, s->id, serial);
    protocol_put_u32(&w, which);
    protocol_put_u32(&w, (uint32_t)s->pid);
    protocol_put_u32(&w, s->net.runtime_api_port);
    protocol_put_u32(&w, s->net.endpoint_port);
    protocol_put_text(&w, k->spaces ? "/var/task" : s->task_root);
    protocol_put_text(&w, k->spaces ? "/opt" : s->layer_root);
    protocol_put_text(&w, k->spaces ? "/var/runtime" : k->config.runtime_dir);
    send_to(k, s->connection, protocol_end(&w), fds, n);
    closep(&s->output);
    network_close_listeners(&s->net);
}

static ssize_t write_done(struct keeper *k, uint64_t id, uint32_t serial, int r, uint32_t program,
                          const char *reason)
{
    struct protocol_writer w;
    protocol_begin(&w, k->out, PROTOCOL_DONE, id, serial);
    protocol_put_u32(&w, (uint32_t)-r);
    protocol_put_u32(&w, program);
    protocol_put_text(&w, reason);
    return protocol_end(&w);
}

void keeper_reply_done(struct keeper *k, int connection, uint64_t id, uint32_t serial, int r,
                       uint32_t program, const struct err *err)
{
    send_to(k, connection, write_done(k, id, serial, r, program, r < 0 ? err->message : ""), NULL,
            0);
}

void keeper_reply_given(struct keeper *k, int connection, uint64_t id, uint32_t serial,
                        uint32_t program, int fd)
{
    send_to(k, connection, write_done(k, id, serial, 0, program, ""), &fd, 1);
}

void keeper_tell_exit(struct keeper *k, const struct slot *s, const struct sandbox_exit *e)
{
    if (s->connection >= 0)
        send_to(k, s->connection, protocol_write_exit(k->out, e), NULL, 0);
}

// ---- requests ----

struct request {
    int connection;
    struct protocol_header h;
    struct protocol_reader r;
    size_t len;
    const int *fds;
    unsigned n_fds;
};

static int on_attach(struct keeper *k, struct request *q)
{
    if (protocol_close(&q->r) < 0 || q->n_fds != 1)
        return -EPROTO;
    int fd = fcntl(q->fds[0], F_DUPFD_CLOEXEC, 3), type = 0;
    socklen_t len = sizeof(type);
    if (fd < 0)
        return 0;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET) {
        close(fd);
        return -EPROTO;
    }
    if (add_connection(k, fd, false) < 0)
        close(fd);
    return 0;
}

static int on_stop(struct keeper *k, struct request *q)
{
    if (protocol_close(&q->r) < 0 || !k->connections[q->connection].main)
        return -EPROTO;
    k->stopping = true;
    return 0;
}

static int on_start(struct keeper *k, struct request *q)
{
    static struct sandbox_spec spec;
    struct err err = ERR_INIT;
    if (protocol_read_start(&q->r, q->h.id, &spec) < 0 || sandbox_spec_check(&spec, NULL) < 0)
        return -EPROTO;
    if (slot_find(k, q->connection, spec.id))
        return -EPROTO; // ids are the client's business, and unique
    bool image = spec.binding.image_dir && spec.binding.image_dir[0];
    bool prepared = k->spaces && !spec.ptrace_allowed;
    struct slot *s = !prepared ? NULL
                     : image   ? image_slot_dressed(k, spec.binding.image_dir)
                               : slot_spare(k);
    if (s) {
        s->connection = q->connection;
        s->id = spec.id;
        slot_start(k, s, &spec, q->h.serial);
        return 0;
    }
    if (image && prepared)
        s = image_slot_dress(k, spec.binding.image_dir);
    int r = s ? 0 : slot_make(k, spec.ptrace_allowed, &spec.binding, &s, &err);
    if (r >= 0) {
        s->connection = q->connection;
        s->id = spec.id;
        s->waiting = malloc(q->len);
        s->waiting_len = q->len;
        s->waiting_serial = q->h.serial;
        if (s->waiting)
            memcpy(s->waiting, k->in, q->len);
        else
            r = err_set(&err, -ENOMEM, "out of memory");
    }
    if (r < 0) {
        keeper_reply_done(k, q->connection, spec.id, q->h.serial, r, 0, &err);
        if (s) {
            s->connection = -1;
            slot_kill(k, s);
        }
    }
    return 0;
}

static int on_inject(struct keeper *k, struct request *q)
{
    static struct sandbox_binding b;
    static struct sandbox_program p;
    struct err err = ERR_INIT;
    int r;
    protocol_get_binding(&q->r, &b);
    protocol_get_program(&q->r, &p);
    if (protocol_close(&q->r) < 0 || sandbox_binding_check(&b, &p, NULL) < 0)
        return -EPROTO;
    struct slot *s = slot_find(k, q->connection, q->h.id);
    if (!s || s->state != SLOT_LIVE)
        r = err_set(&err, -ESRCH, "no such sandbox");
    else if (s->has_code)
        r = err_set(&err, -EBUSY, "the sandbox has its code already");
    else if (slot_outdated(s))
        r = err_set(&err, -ESTALE, "the interpreter '%s' is another one now", s->waits.path);
    else if (!k->spaces || (b.image_dir && b.image_dir[0]))
        r = err_set(&err, -EOPNOTSUPP, "code cannot be mounted on this host");
    else
        r = slot_bind(k, s, &b, &err);
    if (r >= 0 && p.n_argv)
        r = slot_execute(k, s, &p, PID1_GIFT_NONE, -1, &err);
    keeper_reply_done(k, q->connection, q->h.id, q->h.serial, r < 0 ? r : 0,
                      r > 0 ? (uint32_t)r : 0, &err);
    return 0;
}

static int on_exec(struct keeper *k, struct request *q)
{
    static struct sandbox_program p;
    _cleanup_close_ int ours = -1, theirs = -1;
    struct err err = ERR_INIT;
    struct sandbox_binding none = {0};
    int r = 0, pair[2];
    bool own_output;
    if (protocol_read_exec(&q->r, &p, &own_output) < 0 ||
        sandbox_binding_check(&none, &p, NULL) < 0 || p.n_argv == 0)
        return -EPROTO;
    struct slot *s = slot_find(k, q->connection, q->h.id);
    if (!s || s->state != SLOT_LIVE)
        r = err_set(&err, -ESRCH, "no such sandbox");
    if (r >= 0 && own_output) {
        if (pipe2(pair, O_CLOEXEC) < 0) {
            r = err_errno(&err, errno, "pipe");
        } else {
            ours = pair[0];
            theirs = pair[1];
            fd_set_nonblock(ours, true);
        }
    }
    if (r >= 0) {
        if (s->programs == 0) // 1 is the main program's number
            s->programs = 1;
        r = slot_execute(k, s, &p, own_output ? PID1_GIFT_OUTPUT : PID1_GIFT_NONE, theirs, &err);
    }
    if (r > 0 && own_output)
        keeper_reply_given(k, q->connection, q->h.id, q->h.serial, (uint32_t)r, ours);
    else
        keeper_reply_done(k, q->connection, q->h.id, q->h.serial, r < 0 ? r : 0,
                          r > 0 ? (uint32_t)r : 0, &err);
    return 0;
}

static int on_connect(struct keeper *k, struct request *q)
{
    _cleanup_close_ int fd = -1;
    struct err err = ERR_INIT;
    uint16_t port;
    if (protocol_read_connect(&q->r, &port) < 0)
        return -EPROTO;
    const struct slot *s = slot_find(k, q->connection, q->h.id);
    if (!s || s->state != SLOT_LIVE)
        fd = err_set(&err, -ESRCH, "no such sandbox");
    else
        fd = network_connect(&s->net, k->spaces ? k->own_net : -1, port, &err);
    if (fd < 0)
        keeper_reply_done(k, q->connection, q->h.id, q->h.serial, fd, 0, &err);
    else
        keeper_reply_given(k, q->connection, q->h.id, q->h.serial, 0, fd);
    return 0;
}

static int on_signal(struct keeper *k, struct request *q)
{
    uint32_t program = protocol_get_u32(&q->r), sig = protocol_get_u32(&q->r);
    if (protocol_close(&q->r) < 0 || sig == 0 || sig >= NSIG)
        return -EPROTO;
    struct slot *s = slot_find(k, q->connection, q->h.id);
    if (s && s->state == SLOT_LIVE)
        slot_signal(k, s, program, (int)sig);
    return 0;
}

static int on_simple(struct keeper *k, struct request *q)
{
    if (protocol_close(&q->r) < 0)
        return -EPROTO;
    struct slot *s = slot_find(k, q->connection, q->h.id);
    if (!s) // it has just ended: the event is on its way
        return 0;
    if (q->h.kind == PROTOCOL_KILL)
        slot_kill(k, s);
    else if (q->h.kind == PROTOCOL_SETTLE)
        slot_settle(k, s);
    else if (s->state == SLOT_LIVE)
        slot_freeze(k, s, q->h.kind == PROTOCOL_FREEZE);
    return 0;
}

static int (*const handlers[PROTOCOL_LAST_REQUEST + 1])(struct keeper *, struct request *) = {
    [PROTOCOL_ATTACH] = on_attach,   [PROTOCOL_STOP] = on_stop,     [PROTOCOL_START] = on_start,
    [PROTOCOL_INJECT] = on_inject,   [PROTOCOL_EXEC] = on_exec,     [PROTOCOL_SIGNAL] = on_signal,
    [PROTOCOL_FREEZE] = on_simple,   [PROTOCOL_THAW] = on_simple,   [PROTOCOL_KILL] = on_simple,
    [PROTOCOL_CONNECT] = on_connect, [PROTOCOL_SETTLE] = on_simple,
};

static void on_connection(struct keeper *k, int c)
{
    int fds[PROTOCOL_MAX_FDS];
    unsigned n_fds = PROTOCOL_MAX_FDS;
    struct request q = {.connection = c, .fds = fds};
    if (k->connections[c].fd < 0)
        return;
    ssize_t n = message_receive(k->connections[c].fd, k->in, sizeof(k->in), fds, &n_fds, NULL);
    if (n == -EAGAIN)
        return;
    if (n <= 0) {
        if (n < 0)
            log_warn("a connection is dropped: %s", strerror((int)-n));
        drop_connection(k, c);
        return;
    }
    q.len = (size_t)n;
    q.n_fds = n_fds;
    int r = protocol_open(&q.r, k->in, q.len, &q.h);
    if (r >= 0)
        r = q.h.kind <= PROTOCOL_LAST_REQUEST && handlers[q.h.kind] &&
                    (q.n_fds == 0 || q.h.kind == PROTOCOL_ATTACH)
                ? handlers[q.h.kind](k, &q)
                : -EPROTO;
    while (n_fds)
        close(fds[--n_fds]);
    if (r < 0) {
        log_warn("a connection is dropped: malformed message");
        drop_connection(k, c);
    }
}

// ---- the loop ----

static void on_event(struct keeper *k, uint64_t tag)
{
    unsigned index = (unsigned)(tag & 0xffffffff);
    int kind = (int)(tag >> 48);
    if (kind == EVENT_CONNECTION) {
        on_connection(k, (int)index);
        return;
    }
    struct slot *s = &k->slots[index];
    if (s->state == SLOT_FREE || s->generation != (uint16_t)(tag >> 32))
        return; // of a predecessor
    if (kind == EVENT_CHANNEL)
        slot_channel_event(k, s);
    else if (kind == EVENT_MEMORY)
        memory_watch_event(k, s);
    else if (s->pidfd >= 0)
        slot_ended(k, s);
}

static bool wants_spares(const struct keeper *k)
{
    return k->spaces && k->spares + k->making < k->config.spare_slots;
}

static void make_spare(struct keeper *k, int64_t *not_before_ms)
{
    struct err err = ERR_INIT;
    struct slot *s;
    int r = wants_spares(k) ? slot_make(k, false, NULL, &s, &err) : image_slots_make(k, &err);
    if (r < 0) {
        log_warn("cannot prepare a sandbox: %s", err.message);
        *not_before_ms = os_mono_ms() + 1000;
    }
}

static void run(struct keeper *k)
{
    int64_t spares_not_before_ms = 0;
    while (!k->stopping) {
        struct epoll_event events[64];
        bool refill = wants_spares(k) || image_slots_wanted(k);
        int timeout = k->want_sweep ? SWEEP_MS : refill ? REFILL_QUIET_MS : -1;
        if (refill && !k->want_sweep && os_mono_ms() < spares_not_before_ms)
            timeout = 200;
        int look = memory_watch_due_ms(k);
        if (look >= 0 && (timeout < 0 || look < timeout))
            timeout = look;
        int n = epoll_wait(k->epoll, events, ARRAY_LEN(events), timeout);
        for (int i = 0; i < n; i++)
            on_event(k, events[i].data.u64);
        memory_watch_look(k);
        if (n > 0 || (n < 0 && errno == EINTR))
            continue;
        if (n < 0) {
            log_error("epoll_wait: %s", strerror(errno));
            return;
        }
        if (k->want_sweep)
            slot_sweep(k);
        else if (refill && os_mono_ms() >= spares_not_before_ms)
            make_spare(k, &spares_not_before_ms);
    }
}

int keeper_main(const struct keeper_config *config, int main_fd)
{
    struct err err = ERR_INIT;
    struct keeper *k = calloc(1, sizeof(*k));
    if (!k)
        return 1;
    for (int c = 0; c < KEEPER_MAX_CONNECTIONS; c++)
        k->connections[c].fd = -1;
    signal(SIGPIPE, SIG_IGN);
    int r = keeper_set_up(k, config, &err);
    if (r >= 0)
        r = add_connection(k, main_fd, true);
    if (r < 0) {
        log_error("%s", err.message[0] ? err.message : strerror(-r));
    } else {
        run(k);
    }
    for (int c = 0; c < KEEPER_MAX_CONNECTIONS; c++)
        closep(&k->connections[c].fd);
    keeper_tear_down(k);
    free(k);
    return r < 0 ? 1 : 0;
}

int keeper_attach(int main_fd, int client_fd, struct err *err)
{
    char room[64];
    struct protocol_writer w;
    protocol_begin(&w, room, PROTOCOL_ATTACH, 0, 0);
    return message_send(main_fd, room, (size_t)protocol_end(&w), &client_fd, 1, err);
}
