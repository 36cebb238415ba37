// listener.c - listening sockets: accepting, spreading connections over the loops, draining.
//
// Invariants: a listener's descriptor, watch and timer belong to its loop. Its connections may be
// on other loops (gather); each holds a reference, and so does every task that is under way to
// another loop. The listener is freed with its last reference; config never changes.
//
// Gathering: connections stay on the loop that accepts them until it has GATHER_MARGIN more than
// the emptiest. A lone client and the environments that serve it then meet on one loop, with no
// hand-over between threads in the path of an invocation (docs/decisions/0002).
#include "http/server_impl.h"

#include "os/fd.h"
#include "os/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_PER_TURN 64
#define GATHER_MARGIN 8
#define PAUSE_MS 50 // when there are too many connections or descriptors

// A connection on its way to another loop.
struct passed {
    struct loop_task task;
    struct http_listener *listener;
    struct loop *loop;
    union http_address peer;
    int fd;
};

// Something every loop does with its connections of a listener.
struct sweep {
    struct loop_task task;
    struct http_listener *listener;
    struct loop *loop;
    bool cut;
};

static void on_acceptable(void *ctx, unsigned events);

int http_listen_tcp(const char *host, uint16_t port, struct err *err)
{
    union http_address a = {0};
    socklen_t len;
    int one = 1;

    if (inet_pton(AF_INET, host, &a.v4.sin_addr) == 1) {
        a.v4.sin_family = AF_INET;
        a.v4.sin_port = htons(port);
        len = sizeof a.v4;
    } else if (inet_pton(AF_INET6, host, &a.v6.sin6_addr) == 1) {
        a.v6.sin6_family = AF_INET6;
        a.v6.sin6_port = htons(port);
        len = sizeof a.v6;
    } else {
        return err_set(err, -EINVAL, "\"%s\" is not an IP address to listen on", host);
    }
    _cleanup_close_ int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_errno(err, errno, "socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (a.any.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    if (bind(fd, &a.any, len) < 0 || listen(fd, HTTP_BACKLOG) < 0)
        return err_errno(err, errno, "listen on %s port %u", host, port);
    return TAKE_FD(fd);
}

uint16_t http_socket_port(int fd)
{
    union http_address a;
    socklen_t len = sizeof a;

    if (getsockname(fd, &a.any, &len) < 0)
        return 0;
    return ntohs(a.any.sa_family == AF_INET    ? a.v4.sin_port
                 : a.any.sa_family == AF_INET6 ? a.v6.sin6_port
                                               : 0);
}

// ---- references ----

static void run_over(struct loop_task *t)
{
    struct http_listener *l =
        (struct http_listener *)(void *)((char *)t - offsetof(struct http_listener, over));

    loop_timer_stop(l->loop, &l->timer);
    if (l->done)
        l->done(l->done_ctx);
    http_listener_unref(l);
}

// Once: the last connection of a listener that drains has gone.
static void maybe_over(struct http_listener *l)
{
    if (!atomic_load(&l->draining) || atomic_load(&l->connections) > 0 ||
        atomic_exchange(&l->drained, true))
        return;
    l->over.run = run_over;
    loop_post(l->loop, &l->over);
}

void http_listener_unref(struct http_listener *l)
{
    maybe_over(l);
    if (atomic_fetch_sub(&l->refs, 1) == 1)
        free(l);
}

// ---- accepting ----

static void serve(struct http_listener *l, struct loop *loop, int fd,
                  const union http_address *peer)
{
    struct http_conn *c;
    int one = 1;

    if (atomic_load_explicit(&l->closing, memory_order_relaxed)) {
        closep(&fd);
        return;
    }
    if (peer->any.sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c = http_conn_new(l, loop, fd, peer);
    if (c && atomic_load_explicit(&l->draining, memory_order_relaxed))
        c->close_after = true;
}

static void run_passed(struct loop_task *t)
{
    struct passed *p = (struct passed *)t;

    serve(p->listener, p->loop, p->fd, &p->peer);
    http_listener_unref(p->listener);
    free(p);
}

// The loop that a new connection goes to.
static struct loop *pick(struct http_listener *l)
{
    struct loop *best = l->loop;
    unsigned here, fewest;

    if (!l->config.gather || loops_count() < 2)
        return l->loop;
    here = fewest = atomic_load_explicit(&http_loop_of(l->loop)->n_gathered, memory_order_relaxed);
    for (unsigned i = 0; i < loops_count(); i++) {
        struct http_loop *h = http_loop_seen(loop_at(i));
        unsigned n = h ? atomic_load_explicit(&h->n_gathered, memory_order_relaxed) : 0;
        if (n < fewest) {
            fewest = n;
            best = loop_at(i);
        }
    }
    return here >= fewest + GATHER_MARGIN ? best : l->loop;
}

static void accepted(struct http_listener *l, int fd, const union http_address *peer)
{
    struct loop *to = pick(l);

    if (to == l->loop) {
        serve(l, to, fd, peer);
        return;
    }
    struct passed *p = malloc(sizeof *p);
    if (!p) {
        closep(&fd);
        return;
    }
    *p =
        (struct passed){.task.run = run_passed, .listener = l, .loop = to, .peer = *peer, .fd = fd};
    atomic_fetch_add(&l->refs, 1);
    loop_post(to, &p->task);
}

static void on_pause_over(struct loop_timer *t)
{
    struct http_listener *l =
        (struct http_listener *)(void *)((char *)t - offsetof(struct http_listener, timer));

    if (l->watch)
        loop_watch_events(l->watch, LOOP_READ);
}

static void pause_accepting(struct http_listener *l)
{
    loop_watch_events(l->watch, 0);
    loop_timer_start(l->loop, &l->timer, PAUSE_MS, on_pause_over);
}

static void on_acceptable(void *ctx, unsigned events)
{
    struct http_listener *l = ctx;
    (void)events;

    for (int i = 0; i < ACCEPTS_PER_TURN && l->watch; i++) {
        union http_address peer = {0};
        socklen_t len = sizeof peer;
        if (atomic_load_explicit(&l->connections, memory_order_relaxed) >=
            l->config.limits.connections) {
            pause_accepting(l);
            return;
        }
        int fd = accept4(l->fd, &peer.any, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
                log_warn("accept: %s", strerror(errno));
                pause_accepting(l);
            }
            if (errno == EAGAIN || errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
                errno == ENOBUFS || errno == EINVAL || errno == EBADF)
                return;
            continue; // this one has left already
        }
        accepted(l, fd, &peer);
    }
}

void http_listener_serve(struct http_listener *l, struct loop *loop, int fd)
{
    union http_address peer = {0};
    socklen_t len = sizeof peer;

    fd_set_nonblock(fd, true);
    getpeername(fd, &peer.any, &len);
    serve(l, loop, fd, &peer);
}

// ---- life ----

int http_listener_from_fd(struct loop *loop, int fd, const struct http_listener_config *config,
                          struct http_listener **out, struct err *err)
{
    _cleanup_close_ int mine = fd;
    struct http_loop *h = http_loop_of(loop);
    struct http_listener *l = h ? calloc(1, sizeof *l) : NULL;
    int r;

    if (!l)
        return err_set(err, -ENOMEM, "out of memory");
    l->config = *config;
    l->loop = loop;
    l->refs = 1;
    r = loop_watch_fd(loop, fd, LOOP_READ, on_acceptable, l, &l->watch, err);
    if (r < 0) {
        free(l);
        return r;
    }
    l->fd = TAKE_FD(mine);
    l->next = h->listeners;
    if (h->listeners)
        h->listeners->prev = l;
    h->listeners = l;
    *out = l;
    return 0;
}

struct open_call {
    int fd;
    const struct http_listener_config *config;
    struct http_listener **out;
    struct err *err;
    int r;
};

static void run_open(void *ctx)
{
    struct open_call *o = ctx;

    o->r = http_listener_from_fd(loop_self(), o->fd, o->config, o->out, o->err);
}

int http_listener_open(const char *host, uint16_t port, const struct http_listener_config *config,
                       struct http_listener **out, struct err *err)
{
    struct open_call o = {.config = config, .out = out, .err = err};

    if (loops_count() == 0)
        return err_set(err, -EINVAL, "no loop runs");
    o.fd = http_listen_tcp(host, port, err);
    if (o.fd < 0)
        return o.fd;
    loop_call(loop_at(0), run_open, &o);
    return o.r;
}

uint16_t http_listener_port(const struct http_listener *l)
{
    return http_socket_port(l->fd);
}

void *http_listener_ctx(const struct http_listener *l)
{
    return l->config.ctx;
}

unsigned http_listener_connections(const struct http_listener *l)
{
    return atomic_load(&l->connections);
}

static void stop_accepting(struct http_listener *l)
{
    if (!l->watch)
        return;
    loop_watch_stop(&l->watch);
    loop_timer_stop(l->loop, &l->timer);
    closep(&l->fd);
    if (l->prev)
        l->prev->next = l->next;
    else
        http_loop_of(l->loop)->listeners = l->next;
    if (l->next)
        l->next->prev = l->prev;
}

// A connection that is closed may have others closed by its handler: begin again after each.
static void sweep_loop(struct http_listener *l, struct loop *loop, bool cut)
{
    struct http_loop *h = http_loop_seen(loop);
    struct http_conn *c = h ? h->conns : NULL;

    while (c) {
        struct http_conn *next = c->next; // freed in a later turn at the earliest
        if (c->listener == l && !c->closed) {
            if (cut)
                http_conn_close(c);
            else
                http_conn_drain(c);
        }
        c = next;
    }
}

static void run_sweep(struct loop_task *t)
{
    struct sweep *s = (struct sweep *)t;

    sweep_loop(s->listener, s->loop, s->cut);
    http_listener_unref(s->listener);
    free(s);
}

static void sweep_all(struct http_listener *l, bool cut)
{
    atomic_fetch_add(&l->refs, 1); // through the sweep of our own loop
    for (unsigned i = 0; l->config.gather && i < loops_count(); i++) {
        struct sweep *s = loop_at(i) == l->loop ? NULL : malloc(sizeof *s);
        if (!s)
            continue; // its connections end by their time limits
        *s = (struct sweep){.task.run = run_sweep, .listener = l, .loop = loop_at(i), .cut = cut};
        atomic_fetch_add(&l->refs, 1);
        loop_post(s->loop, &s->task);
    }
    sweep_loop(l, l->loop, cut);
    http_listener_unref(l);
}

void http_listener_close(struct http_listener *l)
{
    atomic_store(&l->closing, true);
    stop_accepting(l);
    sweep_all(l, true);
    http_listener_unref(l);
}

static void on_drain_limit(struct loop_timer *t)
{
    struct http_listener *l =
        (struct http_listener *)(void *)((char *)t - offsetof(struct http_listener, timer));

    atomic_store(&l->closing, true);
    sweep_all(l, true);
}

void http_listener_drain(struct http_listener *l, int64_t limit_ms, void (*done)(void *ctx),
                         void *ctx)
{
    stop_accepting(l);
    l->done = done;
    l->done_ctx = ctx;
    loop_timer_start(l->loop, &l->timer, limit_ms, on_drain_limit);
    atomic_fetch_add(&l->refs, 1);
    atomic_store(&l->draining, true);
    sweep_all(l, false);
    http_listener_unref(l); // may be over already
}

// The loop is destroyed: nothing runs any more.
void http_listener_forget(struct http_listener *l)
{
    stop_accepting(l);
    http_listener_unref(l);
}
