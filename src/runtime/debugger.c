// debugger.c - `lambkin invoke --debug`: an environment for one invocation, which a debugger may
// attach to.
//
// The bootstrap (Python, Node.js) opens a debugger's port on the sandbox's own loopback and waits
// for a client before it loads the function. Here a listener on 127.0.0.1 of the host takes
// connections and passes them on by way of the keeper (CONNECT); it is there from INIT until the
// invocation has its answer. No time limit runs meanwhile, but when the caller leaves, the
// environment ends. Everything happens on the environment's loop.

#include "runtime/runtime_impl.h"

#include "base/cleanup.h"
#include "os/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_RELAYS 8
#define AGAIN_MS 50 // the bootstrap does not listen yet
#define LOOK_MS 500 // whether the caller is still there
#define RELAY_BYTES (64 * 1024)
#define WAITING_BYTES (256 * 1024) // in one direction, before the other side is read no further

struct end {
    struct relay *relay;
    int fd;
    struct loop_watch *watch;
    struct buf out; // for this end
    bool done;      // it sends no more
};

// One connection of a debugger: ends[0] is the debugger, ends[1] the runtime inside.
struct relay {
    struct debugger *debugger;
    bool used, open;
    uint32_t tag;
    struct end ends[2];
    struct loop_timer timer;
};

struct debugger {
    struct environment *env;
    uint16_t inside;
    int fd;
    struct loop_watch *watch;
    struct loop_timer look;
    struct relay relays[MAX_RELAYS];
};

static const struct aws_error invalid_parameter = {"InvalidParameterValueException", NULL, 400,
                                                   true};

// ---- the invocation ----------------------------------------------------------------------------

static uint16_t usual_port(const struct interpreter *in)
{
    return in->kind == INTERPRETER_NODE ? 9229 : 5678;
}

void debugger_submit(struct home *h, struct pool *p, struct invocation *inv)
{
    const struct interpreter *in = runtime_interpreter(inv->function->runtime);
    struct function_config *f;
    struct err err = ERR_INIT;

    if (inv->function->image_dir.len > 0 || !in ||
        (in->kind != INTERPRETER_PYTHON && in->kind != INTERPRETER_NODE)) {
        err_aws(&err, &invalid_parameter,
                "Only functions with a managed Python or Node.js runtime can be debugged.");
        invocation_fail(inv, &err);
        return;
    }
    f = function_config_debugged(inv->function, inv->debug_port);
    if (!f) {
        err_set(&err, -ENOMEM, "out of memory");
        invocation_fail(inv, &err);
        return;
    }
    pthread_mutex_lock(&p->lock);
    p->n_busy++; // as for INIT's second try: the environment is this invocation's from the start
    pthread_mutex_unlock(&p->lock);
    environment_start(h, p, f, runtime_kind(f), inv, ENV_FOR_CALLS);
    function_config_unref(f);
}

// ---- passing on --------------------------------------------------------------------------------

static void relay_close(struct relay *r)
{
    for (unsigned i = 0; i < 2; i++) {
        loop_watch_stop(&r->ends[i].watch);
        closep(&r->ends[i].fd);
        buf_finish(&r->ends[i].out);
    }
    loop_timer_stop(r->debugger->env->home->loop, &r->timer);
    r->used = r->open = false;
    r->tag += MAX_RELAYS; // an answer of the keeper that is on its way is nobody's
}

static struct end *other(struct end *e)
{
    return &e->relay->ends[e == &e->relay->ends[0] ? 1 : 0];
}

static void watch_again(struct end *e)
{
    loop_watch_events(e->watch, (e->done || other(e)->out.len > WAITING_BYTES ? 0U : LOOP_READ) |
                                    (e->out.len > 0 ? LOOP_WRITE : 0U));
}

// Whether the connection goes on.
static bool end_write(struct end *e)
{
    while (e->out.len > 0) {
        ssize_t n = send(e->fd, e->out.ptr, e->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        buf_drop(&e->out, (size_t)n);
    }
    if (other(e)->done)
        shutdown(e->fd, SHUT_WR);
    return !(e->done && other(e)->done);
}

static bool end_read(struct end *e)
{
    struct end *to = other(e);

    if (!buf_reserve(&to->out, RELAY_BYTES))
        return false;
    ssize_t n = recv(e->fd, to->out.ptr + to->out.len, RELAY_BYTES, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    to->out.len += (size_t)n;
    e->done = n == 0;
    return end_write(to);
}

static void on_end(void *ctx, unsigned events)
{
    struct end *e = ctx;
    bool fine = true;

    if (events & LOOP_WRITE)
        fine = end_write(e);
    if (fine && (events & LOOP_READ) && !e->done)
        fine = end_read(e);
    if (!fine) {
        relay_close(e->relay);
        return;
    }
    watch_again(e);
    watch_again(other(e));
}

static void ask(struct relay *r);

static void ask_again(struct loop_timer *t)
{
    ask((struct relay *)(void *)((char *)t - offsetof(struct relay, timer)));
}

static void on_inside(void *ctx, unsigned events)
{
    struct end *e = ctx;
    struct relay *r = e->relay;
    struct loop *loop = r->debugger->env->home->loop;
    struct err err = ERR_INIT;
    int failure = 0;
    socklen_t len = sizeof(failure);

    (void)events;
    loop_watch_stop(&e->watch);
    if (getsockopt(e->fd, SOL_SOCKET, SO_ERROR, &failure, &len) < 0 || failure) {
        closep(&e->fd);
        loop_timer_start(loop, &r->timer, AGAIN_MS, ask_again);
        return;
    }
    r->open = true;
    for (unsigned i = 0; i < 2; i++)
        if (loop_watch_fd(loop, r->ends[i].fd, LOOP_READ, on_end, &r->ends[i], &r->ends[i].watch,
                          &err) < 0) {
            relay_close(r);
            return;
        }
}

static void on_connected(void *ctx, uint64_t id, uint32_t tag, int r, uint32_t program, int fd,
                         const struct err *err)
{
    struct environment *env = home_find(ctx, id);
    struct relay *relay = env && env->debugger ? &env->debugger->relays[tag % MAX_RELAYS] : NULL;
    struct err why = ERR_INIT;

    (void)program, (void)err;
    if (!relay || !relay->used || relay->tag != tag) {
        closep(&fd);
        return;
    }
    if (r < 0) {
        loop_timer_start(env->home->loop, &relay->timer, AGAIN_MS, ask_again);
        return;
    }
    relay->ends[1].fd = fd;
    if (loop_watch_fd(env->home->loop, fd, LOOP_WRITE, on_inside, &relay->ends[1],
                      &relay->ends[1].watch, &why) < 0)
        relay_close(relay);
}

static void ask(struct relay *r)
{
    struct environment *env = r->debugger->env;

    if (keeper_connect(env->home->keeper, env->id, r->debugger->inside, on_connected, r->tag,
                       env->home, NULL) < 0)
        relay_close(r);
}

// ---- the listener ------------------------------------------------------------------------------

static void on_accept(void *ctx, unsigned events)
{
    struct debugger *d = ctx;
    struct relay *r = NULL;
    int fd = accept4(d->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), one = 1;

    (void)events;
    if (fd < 0)
        return;
    for (unsigned i = 0; i < MAX_RELAYS && !r; i++)
        if (!d->relays[i].used)
            r = &d->relays[i];
    if (!r) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    r->used = true;
    r->open = false;
    for (unsigned i = 0; i < 2; i++) {
        r->ends[i] = (struct end){.relay = r, .fd = -1};
        buf_init(&r->ends[i].out, WAITING_BYTES + 2 * RELAY_BYTES);
    }
    r->ends[0].fd = fd;
    ask(r);
}

static int listen_at(uint16_t *port)
{
    _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int one = 1;

    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 8) < 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) < 0)
        return -errno;
    *port = ntohs(a.sin_port);
    return TAKE_FD(fd);
}

// The usual one; where the sandbox has no loopback of its own, one that is free now.
static uint16_t inside_port(const struct environment *env)
{
    uint16_t port = 0;

    if (env->sandbox.runtime_api_port == SANDBOX_RUNTIME_API_PORT)
        return usual_port(env->interpreter);
    _cleanup_close_ int fd = listen_at(&port);
    return fd >= 0 ? port : usual_port(env->interpreter);
}

// The caller has left: nobody waits for an answer, and the debugger goes with it.
static void abandoned(struct environment *env)
{
    struct invocation *inv = env->inv;

    if (env->state == ENV_INIT) {
        environment_init_failed(env, STR("Debugger.Abandoned"), STR(""));
    } else if (env->state == ENV_BUSY && inv) {
        invocation_set_error(inv, "Debugger.Abandoned", "RequestId: %.*s Error: The caller left.",
                             STR_ARG(inv->request_id));
        environment_close_books(env, inv, "error");
        env->inv = NULL;
        environment_kill(env);
        pool_lost_busy(env->pool);
        invocation_complete(inv);
    }
}

static void on_look(struct loop_timer *t)
{
    struct debugger *d = (struct debugger *)(void *)((char *)t - offsetof(struct debugger, look));
    struct environment *env = d->env;

    if (env->inv && env->inv->client_gone && *env->inv->client_gone) {
        abandoned(env);
        return;
    }
    loop_timer_start(env->home->loop, &d->look, LOOK_MS, on_look);
}

int debugger_open(struct environment *env, uint16_t *inside, struct err *err)
{
    struct debugger *d = calloc(1, sizeof(*d));
    uint16_t port = env->function->debug_port;
    int r;

    if (!d)
        return err_set(err, -ENOMEM, "out of memory");
    d->env = env;
    for (unsigned i = 0; i < MAX_RELAYS; i++) {
        d->relays[i].debugger = d;
        d->relays[i].tag = i;
        d->relays[i].ends[0].fd = d->relays[i].ends[1].fd = -1;
    }
    d->inside = inside_port(env);
    d->fd = listen_at(&port);
    env->debugger = d;
    if (d->fd < 0)
        return err_errno(err, -d->fd, "listen for a debugger at 127.0.0.1:%u",
                         env->function->debug_port);
    r = loop_watch_fd(env->home->loop, d->fd, LOOP_READ, on_accept, d, &d->watch, err);
    loop_timer_start(env->home->loop, &d->look, LOOK_MS, on_look);
    *inside = d->inside;
    return r;
}

void debugger_close(struct environment *env)
{
    struct debugger *d = env->debugger;

    if (!d)
        return;
    env->debugger = NULL;
    loop_watch_stop(&d->watch);
    closep(&d->fd);
    loop_timer_stop(env->home->loop, &d->look);
    for (unsigned i = 0; i < MAX_RELAYS; i++) {
        if (d->relays[i].open)
            end_read(&d->relays[i].ends[1]); // what the runtime said last
        if (d->relays[i].used)
            relay_close(&d->relays[i]);
    }
    free(d);
}
