// loop.c - event loops: one libuv loop per thread, with tasks and descriptor watches.
//
// Invariants: `inbox` is pushed to by any thread and emptied only by the loop's own; everything
// else of a loop is touched by its own thread only. A watch's memory is freed by libuv's close
// callback, never earlier.
#include "os/loop_impl.h"

#include "base/cleanup.h"
#include "os/log.h"
#include "os/time.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct loop_watch {
    uv_poll_t poll; // first: h->data == h tells our handles from others'
    void (*fn)(void *ctx, unsigned events);
    void *ctx;
    unsigned events;
};

static _Thread_local struct loop *self;

static struct {
    struct loop *at[LOOPS_MAX];
    unsigned n;
} loops;

static struct {
    void (*destroy[LOOP_SLOTS])(void *value);
    atomic_uint n;
} slots;

struct loop *loop_self(void)
{
    return self;
}

struct uv_loop_s *loop_uv(struct loop *l)
{
    return &l->uv;
}

unsigned loop_index(const struct loop *l)
{
    return l->index;
}

int64_t loop_now_ms(const struct loop *l)
{
    return (int64_t)uv_now(&l->uv);
}

// ---- tasks ----

static void collect_inbox(struct loop *l)
{
    struct loop_task *t = atomic_exchange_explicit(&l->inbox, NULL, memory_order_acquire);
    struct loop_task *in_order = NULL;

    while (t) {
        struct loop_task *next = t->next;
        t->next = in_order;
        in_order = t;
        t = next;
    }
    if (!in_order)
        return;
    *l->last = in_order;
    while (*l->last)
        l->last = &(*l->last)->next;
}

// Runs what is there now; what these tasks post waits for the next turn.
static void run_tasks(struct loop *l)
{
    if (l->in_tasks)
        return;
    collect_inbox(l);
    struct loop_task *t = l->first;
    l->first = NULL;
    l->last = &l->first;
    l->in_tasks = true;
    while (t) {
        struct loop_task *next = t->next;
        t->run(t);
        t = next;
    }
    l->in_tasks = false;
    if (!l->first)
        uv_idle_stop(&l->busy);
}

static void on_busy(uv_idle_t *h)
{
    run_tasks(h->data);
}

static void on_wake(uv_async_t *h)
{
    struct loop *l = h->data;

    if (atomic_load(&l->stop_wanted))
        uv_stop(&l->uv);
    run_tasks(l);
}

void loop_post(struct loop *l, struct loop_task *t)
{
    if (l == self) {
        t->next = NULL;
        *l->last = t;
        l->last = &t->next;
        uv_idle_start(&l->busy, on_busy); // does nothing when started
        return;
    }
    struct loop_task *old = atomic_load_explicit(&l->inbox, memory_order_relaxed);
    do
        t->next = old;
    while (!atomic_compare_exchange_weak_explicit(&l->inbox, &old, t, memory_order_acq_rel,
                                                  memory_order_relaxed));
    if (!old) // otherwise whoever found it empty has woken the loop
        uv_async_send(&l->wake);
}

struct call {
    struct loop_task task;
    void (*fn)(void *ctx);
    void *ctx;
    pthread_mutex_t lock;
    pthread_cond_t over;
    bool done;
};

static void run_call(struct loop_task *t)
{
    struct call *c = (struct call *)(void *)((char *)t - offsetof(struct call, task));

    c->fn(c->ctx);
    pthread_mutex_lock(&c->lock);
    c->done = true;
    pthread_cond_signal(&c->over);
    pthread_mutex_unlock(&c->lock);
}

void loop_call(struct loop *l, void (*fn)(void *ctx), void *ctx)
{
    struct call c = {.task.run = run_call, .fn = fn, .ctx = ctx};

    if (l == self) {
        fn(ctx);
        return;
    }
    pthread_mutex_init(&c.lock, NULL);
    pthread_cond_init(&c.over, NULL);
    loop_post(l, &c.task);
    pthread_mutex_lock(&c.lock);
    while (!c.done)
        pthread_cond_wait(&c.over, &c.lock);
    pthread_mutex_unlock(&c.lock);
    pthread_cond_destroy(&c.over);
    pthread_mutex_destroy(&c.lock);
}

// ---- waiting attentively ----

static void on_look(uv_prepare_t *h)
{
    struct loop *l = h->data;
    struct pollfd p = {.fd = uv_backend_fd(&l->uv), .events = POLLIN};

    uv_prepare_stop(h);
    // Tasks of our own, and timers that are due, do not wait for it.
    if (l->first)
        return;
    while (os_mono_ns() < l->look_until_ns) {
        if (poll(&p, 1, 0) != 0)
            break;
        if (atomic_load_explicit(&l->inbox, memory_order_relaxed))
            break;
        sched_yield(); // whom we wait for may be waiting for this CPU
    }
    uv_update_time(&l->uv);
}

void loop_expect(struct loop *l, unsigned within_us)
{
    l->look_until_ns = os_mono_ns() + (int64_t)within_us * 1000;
    uv_prepare_start(&l->look, on_look);
}

// ---- descriptors ----

static int to_uv(unsigned events)
{
    return (events & LOOP_READ ? UV_READABLE : 0) | (events & LOOP_WRITE ? UV_WRITABLE : 0) |
           (events & LOOP_HANGUP ? UV_DISCONNECT : 0);
}

static void on_poll(uv_poll_t *h, int status, int happened)
{
    struct loop_watch *w = h->data;
    unsigned events = 0;

    if (status < 0) {
        // libuv has stopped it; whoever reads or writes now learns what is wrong.
        events = w->events;
        w->events = 0;
    } else {
        events = (happened & UV_READABLE ? LOOP_READ : 0U) |
                 (happened & UV_WRITABLE ? LOOP_WRITE : 0U) |
                 (happened & UV_DISCONNECT ? LOOP_HANGUP : 0U);
    }
    w->fn(w->ctx, events);
}

static void free_watch(uv_handle_t *h)
{
    free(h);
}

int loop_watch_fd(struct loop *l, int fd, unsigned events, void (*fn)(void *ctx, unsigned events),
                  void *ctx, struct loop_watch **out, struct err *err)
{
    struct loop_watch *w = calloc(1, sizeof *w);
    int r;

    if (!w)
        return err_set(err, -ENOMEM, "out of memory");
    r = uv_poll_init(&l->uv, &w->poll, fd);
    if (r < 0) {
        free(w);
        return err_errno(err, -r, "watch descriptor %d", fd);
    }
    w->poll.data = w;
    w->fn = fn;
    w->ctx = ctx;
    loop_watch_events(w, events);
    *out = w;
    return 0;
}

void loop_watch_events(struct loop_watch *w, unsigned events)
{
    if (events == w->events)
        return;
    w->events = events;
    if (events)
        uv_poll_start(&w->poll, to_uv(events), on_poll);
    else
        uv_poll_stop(&w->poll);
}

void loop_watch_stop(struct loop_watch **w)
{
    if (!*w)
        return;
    uv_close((uv_handle_t *)&(*w)->poll, free_watch);
    *w = NULL;
}

// ---- slots ----

unsigned loop_slot_new(void (*destroy)(void *value))
{
    unsigned slot = atomic_fetch_add(&slots.n, 1);

    if (slot >= LOOP_SLOTS) {
        log_error("more than %d loop slots", LOOP_SLOTS);
        abort();
    }
    slots.destroy[slot] = destroy;
    return slot;
}

void *loop_slot(const struct loop *l, unsigned slot)
{
    return atomic_load_explicit(&l->slots[slot], memory_order_acquire);
}

void loop_slot_set(struct loop *l, unsigned slot, void *value)
{
    atomic_store_explicit(&l->slots[slot], value, memory_order_release);
}

// ---- life ----

int loop_create(struct loop **out, struct err *err)
{
    struct loop *l = calloc(1, sizeof *l);
    int r;

    if (!l)
        return err_set(err, -ENOMEM, "out of memory");
    r = uv_loop_init(&l->uv);
    if (r < 0) {
        free(l);
        return err_errno(err, -r, "make an event loop");
    }
    l->last = &l->first;
    l->clock_due_ms = INT64_MAX;
    l->wake.data = l->busy.data = l->clock.data = l->look.data = l;
    uv_idle_init(&l->uv, &l->busy);
    uv_timer_init(&l->uv, &l->clock);
    uv_prepare_init(&l->uv, &l->look);
    r = uv_async_init(&l->uv, &l->wake, on_wake);
    if (r < 0) {
        uv_run(&l->uv, UV_RUN_NOWAIT);
        uv_loop_close(&l->uv);
        free(l);
        return err_errno(err, -r, "make an event loop");
    }
    *out = l;
    return 0;
}

void loop_run(struct loop *l)
{
    struct loop *outer = self;
    sigset_t pipe_signal, before;

    // OpenSSL writes to sockets that may be closed with write().
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    self = l;
    while (!atomic_load(&l->stop_wanted))
        uv_run(&l->uv, UV_RUN_DEFAULT);
    atomic_store(&l->stop_wanted, false);
    self = outer;
    // What is pending now would be delivered.
    while (sigtimedwait(&pipe_signal, NULL, &(struct timespec){0}) == SIGPIPE)
        ;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void loop_stop(struct loop *l)
{
    atomic_store(&l->stop_wanted, true);
    uv_async_send(&l->wake);
}

static void close_handle(uv_handle_t *h, void *unused)
{
    (void)unused;
    if (!uv_is_closing(h))
        uv_close(h, h->type == UV_POLL && h->data == h ? free_watch : NULL);
}

void loop_destroy(struct loop *l)
{
    struct loop *outer = self;
    unsigned n = atomic_load(&slots.n);

    self = l;
    for (unsigned i = n; i-- > 0;) {
        void *value = l->slots[i];
        l->slots[i] = NULL;
        if (value && slots.destroy[i])
            slots.destroy[i](value);
    }
    uv_walk(&l->uv, close_handle, NULL);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    uv_loop_close(&l->uv);
    self = outer;
    free(l->heap);
    free(l);
}

static void *loop_thread(void *arg)
{
    struct loop *l = arg;
    char name[16] = "loop-0";

    name[5] = (char)('0' + l->index);
    pthread_setname_np(pthread_self(), name);
    loop_run(l);
    return NULL;
}

int loops_start(unsigned n, struct err *err)
{
    sigset_t all, before;
    int r = 0;

    if (n == 0) {
        cpu_set_t cpus; // what we may run on, not what the machine has
        n = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? (unsigned)CPU_COUNT(&cpus) : 1;
    }
    if (n > LOOPS_MAX)
        n = LOOPS_MAX;
    for (unsigned i = 0; i < n; i++) {
        r = loop_create(&loops.at[i], err);
        if (r < 0) {
            while (i-- > 0)
                loop_destroy(loops.at[i]);
            return r;
        }
        loops.at[i]->index = i;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (; loops.n < n && r == 0;) {
        r = pthread_create(&loops.at[loops.n]->thread, NULL, loop_thread, loops.at[loops.n]);
        if (r == 0)
            loops.n++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r != 0) {
        for (unsigned i = loops.n; i < n; i++)
            loop_destroy(loops.at[i]);
        loops_stop();
        return err_errno(err, r, "start a loop thread");
    }
    return 0;
}

void loops_stop(void)
{
    for (unsigned i = 0; i < loops.n; i++)
        loop_stop(loops.at[i]);
    for (unsigned i = 0; i < loops.n; i++)
        pthread_join(loops.at[i]->thread, NULL);
    for (unsigned i = 0; i < loops.n; i++)
        loop_destroy(loops.at[i]);
    loops.n = 0;
}

unsigned loops_count(void)
{
    return loops.n;
}

struct loop *loop_at(unsigned i)
{
    return i < loops.n ? loops.at[i] : NULL;
}
