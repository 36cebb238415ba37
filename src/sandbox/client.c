// client.c - see client.h. Requests go out as they come and are queued only when the socket is
// full; answers find their request by serial.
//
// Invariants: everything but `status` and `fd` belongs to the loop's thread; those two have the
// mutex. A serial is in `pending` exactly until its callback is called.
#include "sandbox/client.h"

#include "sandbox/protocol.h"

#include "base/cleanup.h"
#include "os/fd.h"
#include "os/log.h"
#include "os/loop.h"
#include "os/message.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct pending {
    struct pending *next;
    uint32_t serial;
    uint64_t id;
    keeper_started_fn *started; // one of the three
    keeper_done_fn *done;
    keeper_given_fn *given;
    uint32_t tag; // given's
    void *ctx;
};

struct outgoing {
    struct outgoing *next;
    size_t len;
    char bytes[];
};

struct keeper_client {
    struct loop *loop;
    struct loop_watch *watch;
    struct keeper_events events;
    pthread_mutex_t mutex;
    int fd;                      // -1: not connected
    struct keeper_status status; // as the keeper greeted
    uint32_t serial;
    struct pending *pending;             // newest first
    struct outgoing *queue, **queue_end; // in order
    uint64_t *live;                      // sandboxes that have not ended
    size_t n_live, room_live;
    char in[PROTOCOL_MAX_BYTES], out[PROTOCOL_MAX_BYTES];
};

void sandbox_started_finish(struct sandbox_started *s)
{
    closep(&s->control_fd);
    closep(&s->output_fd);
    closep(&s->runtime_api_fd);
    closep(&s->endpoint_fd);
    closep(&s->memory_fd);
    closep(&s->freezer_fd);
    closep(&s->tmp_fd);
}

// ---- live sandboxes ----

static bool live_reserve(struct keeper_client *c)
{
    if (c->n_live < c->room_live)
        return true;
    size_t room = c->room_live ? c->room_live * 2 : 64;
    uint64_t *more = realloc(c->live, room * sizeof(*more));
    if (!more)
        return false;
    c->live = more;
    c->room_live = room;
    return true;
}

static void live_remove(struct keeper_client *c, uint64_t id)
{
    for (size_t i = 0; i < c->n_live; i++)
        if (c->live[i] == id) {
            c->live[i] = c->live[--c->n_live];
            return;
        }
}

// ---- pending requests ----

static struct pending *take_pending(struct keeper_client *c, uint32_t serial)
{
    for (struct pending **p = &c->pending; *p; p = &(*p)->next)
        if ((*p)->serial == serial) {
            struct pending *found = *p;
            *p = found->next;
            return found;
        }
    return NULL;
}

static void answer(struct pending *p, int r, uint32_t program, struct sandbox_started *s,
                   const struct err *err)
{
    if (p->started)
        p->started(p->ctx, p->id, r, s, err);
    else if (p->done)
        p->done(p->ctx, p->id, r, program, err);
    else if (p->given)
        p->given(p->ctx, p->id, p->tag, r, program, -1, err);
    free(p);
}

static void answer_given(struct pending *p, uint32_t program, int fd)
{
    p->given(p->ctx, p->id, p->tag, 0, program, fd, NULL);
    free(p);
}

// ---- the connection's end ----

static void set_fd(struct keeper_client *c, int fd)
{
    pthread_mutex_lock(&c->mutex);
    c->fd = fd;
    c->status.connected = false;
    pthread_mutex_unlock(&c->mutex);
}

static void drop_queue(struct keeper_client *c)
{
    while (c->queue) {
        struct outgoing *o = c->queue;
        c->queue = o->next;
        free(o);
    }
    c->queue_end = &c->queue;
}

static void lose(struct keeper_client *c)
{
    struct err err = ERR_INIT;
    int fd = c->fd;
    loop_watch_stop(&c->watch);
    set_fd(c, -1);
    closep(&fd);
    drop_queue(c);
    err_set(&err, -EPIPE, "the keeper has gone away");
    struct pending *p = c->pending;
    c->pending = NULL;
    while (p) {
        struct pending *next = p->next;
        if (p->started)
            live_remove(c, p->id);
        answer(p, -EPIPE, 0, NULL, &err);
        p = next;
    }
    while (c->n_live) {
        const struct sandbox_exit e = {.id = c->live[--c->n_live], .reason = SANDBOX_LOST};
        c->events.exited(c->events.ctx, &e);
    }
    if (c->events.lost)
        c->events.lost(c->events.ctx);
}

// ---- what the keeper says ----

static int on_hello(struct keeper_client *c, struct protocol_reader *r)
{
    struct keeper_status s;
    if (protocol_read_status(r, &s) < 0)
        return -EPROTO;
    pthread_mutex_lock(&c->mutex);
    c->status = s;
    pthread_mutex_unlock(&c->mutex);
    return 0;
}

static int on_started(struct keeper_client *c, const struct protocol_header *h,
                      struct protocol_reader *r, int *fds, unsigned n_fds)
{
    static const struct {
        uint32_t bit;
        size_t at;
    } places[] = {
        {STARTED_OUTPUT, offsetof(struct sandbox_started, output_fd)},
        {STARTED_CONTROL, offsetof(struct sandbox_started, control_fd)},
        {STARTED_RUNTIME_API, offsetof(struct sandbox_started, runtime_api_fd)},
        {STARTED_ENDPOINT, offsetof(struct sandbox_started, endpoint_fd)},
        {STARTED_MEMORY, offsetof(struct sandbox_started, memory_fd)},
        {STARTED_FREEZER, offsetof(struct sandbox_started, freezer_fd)},
        {STARTED_TMP, offsetof(struct sandbox_started, tmp_fd)},
    };
    struct sandbox_started s = SANDBOX_STARTED_NOTHING;
    s.id = h->id;
    uint32_t which = protocol_get_u32(r);
    s.pid = (int32_t)protocol_get_u32(r);
    s.runtime_api_port = (uint16_t)protocol_get_u32(r);
    s.endpoint_port = (uint16_t)protocol_get_u32(r);
    snprintf(s.task_root, sizeof(s.task_root), "%s", protocol_get_text(r, SANDBOX_MAX_PATH - 1));
    snprintf(s.layer_root, sizeof(s.layer_root), "%s", protocol_get_text(r, SANDBOX_MAX_PATH - 1));
    snprintf(s.runtime_root, sizeof(s.runtime_root), "%s",
             protocol_get_text(r, SANDBOX_MAX_PATH - 1));
    if (protocol_close(r) < 0 || (unsigned)__builtin_popcount(which) != n_fds)
        return -EPROTO;
    unsigned next = 0;
    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        if (which & places[i].bit) {
            memcpy((char *)&s + places[i].at, &fds[next], sizeof(int));
            fds[next++] = -1;
        }
    struct pending *p = take_pending(c, h->serial);
    if (p)
        answer(p, 0, 0, &s, NULL);
    sandbox_started_finish(&s);
    return 0;
}

static int on_done(struct keeper_client *c, const struct protocol_header *h,
                   struct protocol_reader *r, int *fds, unsigned n_fds)
{
    struct err err = ERR_INIT;
    int result = -(int)protocol_get_u32(r);
    uint32_t program = protocol_get_u32(r);
    const char *why = protocol_get_text(r, ERR_MESSAGE_BYTES - 1);
    if (protocol_close(r) < 0)
        return -EPROTO;
    struct pending *p = take_pending(c, h->serial);
    if (!p)
        return 0;
    if (p->given && result == 0) {
        int fd = n_fds == 1 ? TAKE_FD(fds[0]) : -1;
        if (fd >= 0) {
            answer_given(p, program, fd);
            return 0;
        }
        result = -EPROTO;
        why = "the keeper gave no descriptor";
    }
    if (result < 0)
        err_set(&err, result, "%s", why);
    if (p->started)
        live_remove(c, p->id);
    answer(p, result, program, NULL, result < 0 ? &err : NULL);
    return 0;
}

static int on_message(struct keeper_client *c, size_t len, int *fds, unsigned n_fds)
{
    struct protocol_header h;
    struct protocol_reader r;
    struct sandbox_exit e;
    if (protocol_open(&r, c->in, len, &h) < 0)
        return -EPROTO;
    switch (h.kind) {
    case PROTOCOL_HELLO:
        return on_hello(c, &r);
    case PROTOCOL_STARTED:
        return on_started(c, &h, &r, fds, n_fds);
    case PROTOCOL_DONE:
        return on_done(c, &h, &r, fds, n_fds);
    case PROTOCOL_EXITED:
        if (protocol_read_exit(&r, h.id, &e) < 0)
            return -EPROTO;
        if (e.program == 0)
            live_remove(c, h.id);
        c->events.exited(c->events.ctx, &e);
        return 0;
    default:
        return -EPROTO;
    }
}

static void flush(struct keeper_client *c)
{
    while (c->queue) {
        struct outgoing *o = c->queue;
        if (message_send(c->fd, o->bytes, o->len, NULL, 0, NULL) == -EAGAIN)
            return;
        c->queue = o->next; // a broken connection is seen when reading
        if (!c->queue)
            c->queue_end = &c->queue;
        free(o);
    }
    loop_watch_events(c->watch, LOOP_READ);
}

static void on_ready(void *ctx, unsigned events)
{
    struct keeper_client *c = ctx;
    if (events & LOOP_WRITE)
        flush(c);
    // A callback may replace the connection; some messages at a time leave room for others.
    for (int i = 0; i < 16 && c->fd >= 0; i++) {
        int fds[PROTOCOL_MAX_FDS];
        unsigned n_fds = PROTOCOL_MAX_FDS;
        ssize_t n = message_receive(c->fd, c->in, sizeof(c->in), fds, &n_fds, NULL);
        if (n == -EAGAIN)
            return;
        int r = n > 0 ? on_message(c, (size_t)n, fds, n_fds) : -EPIPE;
        for (unsigned f = 0; n > 0 && f < n_fds; f++)
            closep(&fds[f]);
        if (r < 0) {
            if (r == -EPROTO)
                log_error("the keeper sent a malformed message");
            lose(c);
            return;
        }
    }
}

// ---- opening and closing ----

int keeper_client_open(struct loop *loop, int fd, const struct keeper_events *events,
                       struct keeper_client **out, struct err *err)
{
    struct keeper_client *c = calloc(1, sizeof(*c));
    if (!c) {
        close(fd);
        return err_set(err, -ENOMEM, "out of memory");
    }
    pthread_mutex_init(&c->mutex, NULL);
    c->loop = loop;
    c->events = *events;
    c->fd = -1;
    c->queue_end = &c->queue;
    int r = keeper_client_replace(c, fd, err);
    if (r < 0) {
        keeper_client_close(c);
        return r;
    }
    *out = c;
    return 0;
}

int keeper_client_open_more(struct keeper_client *first, struct loop *loop,
                            const struct keeper_events *events, struct keeper_client **out,
                            struct err *err)
{
    char room[64];
    int pair[2];
    struct protocol_writer w;
    int r = message_pair(pair, err);
    if (r < 0)
        return r;
    protocol_begin(&w, room, PROTOCOL_ATTACH, 0, 0);
    size_t len = (size_t)protocol_end(&w);
    for (int tries = 0; tries < 500; tries++) {
        pthread_mutex_lock(&first->mutex);
        int to = first->fd;
        r = to < 0 ? err_set(err, -ENOTCONN, "the keeper is not connected")
                   : message_send(to, room, len, &pair[1], 1, err);
        pthread_mutex_unlock(&first->mutex);
        if (r != -EAGAIN)
            break;
        usleep(10000);
    }
    close(pair[1]);
    if (r < 0) {
        close(pair[0]);
        return r;
    }
    return keeper_client_open(loop, pair[0], events, out, err);
}

int keeper_client_replace(struct keeper_client *c, int fd, struct err *err)
{
    if (c->fd >= 0)
        lose(c);
    int r = loop_watch_fd(c->loop, fd, LOOP_READ, on_ready, c, &c->watch, err);
    if (r < 0) {
        close(fd);
        return r;
    }
    set_fd(c, fd);
    return 0;
}

void keeper_client_close(struct keeper_client *c)
{
    if (!c)
        return;
    loop_watch_stop(&c->watch);
    closep(&c->fd);
    drop_queue(c);
    while (c->pending) {
        struct pending *p = c->pending;
        c->pending = p->next;
        free(p);
    }
    free(c->live);
    pthread_mutex_destroy(&c->mutex);
    free(c);
}

void keeper_degree(struct keeper_client *c, struct keeper_status *out)
{
    pthread_mutex_lock(&c->mutex);
    *out = c->status;
    pthread_mutex_unlock(&c->mutex);
}

// ---- requests ----

static int transmit(struct keeper_client *c, ssize_t len, struct err *err)
{
    if (len < 0)
        return err_set(err, (int)len, "the request is too long");
    if (c->fd < 0)
        return err_set(err, -ENOTCONN, "the keeper is not connected");
    int r = c->queue ? -EAGAIN : message_send(c->fd, c->out, (size_t)len, NULL, 0, err);
    if (r != -EAGAIN)
        return r;
    struct outgoing *o = malloc(sizeof(*o) + (size_t)len);
    if (!o)
        return err_set(err, -ENOMEM, "out of memory");
    o->next = NULL;
    o->len = (size_t)len;
    memcpy(o->bytes, c->out, (size_t)len);
    *c->queue_end = o;
    c->queue_end = &o->next;
    loop_watch_events(c->watch, LOOP_READ | LOOP_WRITE);
    return 0;
}

static struct pending *new_pending(struct keeper_client *c, uint64_t id, void *ctx)
{
    struct pending *p = calloc(1, sizeof(*p));
    if (p)
        *p = (struct pending){.serial = ++c->serial, .id = id, .ctx = ctx};
    return p;
}

static int send_pending(struct keeper_client *c, struct pending *p, ssize_t len, struct err *err)
{
    int r = transmit(c, len, err);
    if (r < 0) {
        free(p);
        return r;
    }
    p->next = c->pending;
    c->pending = p;
    return 0;
}

int keeper_start(struct keeper_client *c, const struct sandbox_spec *spec, keeper_started_fn *fn,
                 void *ctx, struct err *err)
{
    int r = sandbox_spec_check(spec, err);
    if (r < 0)
        return r;
    struct pending *p = new_pending(c, spec->id, ctx);
    if (!p || !live_reserve(c)) {
        free(p);
        return err_set(err, -ENOMEM, "out of memory");
    }
    p->started = fn;
    r = send_pending(c, p, protocol_write_start(c->out, p->serial, spec), err);
    if (r == 0)
        c->live[c->n_live++] = spec->id;
    return r;
}

int keeper_inject(struct keeper_client *c, uint64_t id, const struct sandbox_binding *binding,
                  const struct sandbox_program *program, keeper_done_fn *fn, void *ctx,
                  struct err *err)
{
    static const struct sandbox_program nothing;
    struct protocol_writer w;
    program = program ? program : &nothing;
    int r = sandbox_binding_check(binding, program, err);
    if (r < 0)
        return r;
    struct pending *p = new_pending(c, id, ctx);
    if (!p)
        return err_set(err, -ENOMEM, "out of memory");
    p->done = fn;
    protocol_begin(&w, c->out, PROTOCOL_INJECT, id, p->serial);
    protocol_put_binding(&w, binding);
    protocol_put_program(&w, program);
    return send_pending(c, p, protocol_end(&w), err);
}

static int exec(struct keeper_client *c, const struct pending *asked,
                const struct sandbox_program *program, struct err *err)
{
    static const struct sandbox_binding none;
    struct protocol_writer w;
    int r = sandbox_binding_check(&none, program, err);
    if (r < 0)
        return r;
    if (program->n_argv == 0)
        return err_set(err, -EINVAL, "there is nothing to execute");
    struct pending *p = new_pending(c, asked->id, asked->ctx);
    if (!p)
        return err_set(err, -ENOMEM, "out of memory");
    p->done = asked->done;
    p->given = asked->given;
    p->tag = asked->tag;
    protocol_begin(&w, c->out, PROTOCOL_EXEC, p->id, p->serial);
    protocol_put_program(&w, program);
    protocol_put_u32(&w, p->given != NULL);
    return send_pending(c, p, protocol_end(&w), err);
}

int keeper_exec(struct keeper_client *c, uint64_t id, const struct sandbox_program *program,
                keeper_done_fn *fn, void *ctx, struct err *err)
{
    const struct pending asked = {.id = id, .done = fn, .ctx = ctx};
    return exec(c, &asked, program, err);
}

int keeper_exec_apart(struct keeper_client *c, uint64_t id, const struct sandbox_program *program,
                      keeper_given_fn *fn, uint32_t tag, void *ctx, struct err *err)
{
    const struct pending asked = {.id = id, .given = fn, .tag = tag, .ctx = ctx};
    return exec(c, &asked, program, err);
}

int keeper_connect(struct keeper_client *c, uint64_t id, uint16_t port, keeper_given_fn *fn,
                   uint32_t tag, void *ctx, struct err *err)
{
    struct protocol_writer w;
    if (port == 0)
        return err_set(err, -EINVAL, "there is no port 0");
    struct pending *p = new_pending(c, id, ctx);
    if (!p)
        return err_set(err, -ENOMEM, "out of memory");
    p->given = fn;
    p->tag = tag;
    protocol_begin(&w, c->out, PROTOCOL_CONNECT, id, p->serial);
    protocol_put_u32(&w, port);
    return send_pending(c, p, protocol_end(&w), err);
}

int keeper_signal(struct keeper_client *c, uint64_t id, uint32_t program, int signal)
{
    struct protocol_writer w;
    protocol_begin(&w, c->out, PROTOCOL_SIGNAL, id, 0);
    protocol_put_u32(&w, program);
    protocol_put_u32(&w, (uint32_t)signal);
    return transmit(c, protocol_end(&w), NULL);
}

static int simple(struct keeper_client *c, enum protocol_kind kind, uint64_t id)
{
    struct protocol_writer w;
    protocol_begin(&w, c->out, kind, id, 0);
    return transmit(c, protocol_end(&w), NULL);
}

int keeper_freeze(struct keeper_client *c, uint64_t id)
{
    return simple(c, PROTOCOL_FREEZE, id);
}

int keeper_thaw(struct keeper_client *c, uint64_t id)
{
    return simple(c, PROTOCOL_THAW, id);
}

int keeper_settle(struct keeper_client *c, uint64_t id)
{
    pthread_mutex_lock(&c->mutex);
    bool wanted = c->status.cpu_proportional;
    pthread_mutex_unlock(&c->mutex);
    return wanted ? simple(c, PROTOCOL_SETTLE, id) : 0;
}

int keeper_kill(struct keeper_client *c, uint64_t id)
{
    return simple(c, PROTOCOL_KILL, id);
}
