// runtime.c - the runtime as a whole: start, the keepers' connections, drain, stop.

#include "runtime/runtime_impl.h"

#include "base/cleanup.h"
#include "os/fd.h"
#include "os/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct runtime runtime = {.pools_lock = PTHREAD_MUTEX_INITIALIZER};

struct home *home_here(void)
{
    struct loop *l = loop_self();

    return l && loop_index(l) < runtime.n_homes && runtime.homes[loop_index(l)]->loop == l
               ? runtime.homes[loop_index(l)]
               : NULL;
}

// ---- configuration -----------------------------------------------------------------------------

static unsigned memory_of_machine_mb(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGE_SIZE);

    return pages > 0 && size > 0 ? (unsigned)((uint64_t)pages * (uint64_t)size >> 20) : 1024;
}

static void fill_defaults(struct runtime_config *c)
{
    if (c->account_concurrency == 0)
        c->account_concurrency = 1000;
    if (c->freeze_after_ms == 0)
        c->freeze_after_ms = 2000;
    if (c->idle_after_ms == 0)
        c->idle_after_ms = 300000;
    if (c->init_timeout_ms == 0)
        c->init_timeout_ms = 10000;
    if (c->spares == UINT32_MAX)
        c->spares = 0;
    if (c->memory_budget_mb == 0)
        c->memory_budget_mb = memory_of_machine_mb() / 4 * 3;
    if (c->max_environments == 0)
        c->max_environments = 2000;
    if (c->scaling_rate == 0)
        c->scaling_rate = 1000;
    // What an environment needs at least: 8 MB of its own.
    if (c->max_environments > c->memory_budget_mb / 8 + 1)
        c->max_environments = c->memory_budget_mb / 8 + 1;
}

// "a,b, c" into its parts.
static int take_outbound(const char *text, struct err *err)
{
    char *at = runtime.outbound_text = strdup(text ? text : ""), *part;

    if (!at)
        return err_set(err, -ENOMEM, "out of memory");
    while ((part = strsep(&at, ", "))) {
        if (!*part)
            continue;
        if (runtime.n_outbound == SANDBOX_MAX_OUTBOUND)
            return err_set(err, -E2BIG, "more than %d outbound networks", SANDBOX_MAX_OUTBOUND);
        runtime.outbound[runtime.n_outbound++] = part;
    }
    return 0;
}

static int load_interpreters(struct err *err)
{
    char path[SANDBOX_MAX_PATH];

    snprintf(path, sizeof(path), "%s/run/interpreters", runtime.data_dir);
    if (interpreters_load(&runtime.interpreters, path, err) == 0)
        return 0;
    interpreters_find(&runtime.interpreters);
    *err = (struct err)ERR_INIT;
    return 0;
}

// ---- the keeper --------------------------------------------------------------------------------

struct connect_call {
    struct home *home;
    int fd, r;
    struct err err;
};

// The old connection was given up before it told us that its sandboxes have gone.
static void lose_all_here(struct home *h)
{
    for (unsigned i = 0; i < h->n_slots; i++) {
        struct sandbox_exit e = {.program = 0, .reason = SANDBOX_LOST};
        if (!h->slots[i])
            continue;
        e.id = h->slots[i]->id;
        environment_exited(h, &e);
    }
}

static void connect_here(void *ctx)
{
    struct connect_call *c = ctx;
    struct home *h = c->home;
    const struct keeper_events events = {environment_exited, environment_keeper_lost, h};

    if (h->index == 0 && h->keeper)
        c->r = keeper_client_replace(h->keeper, TAKE_FD(c->fd), &c->err);
    else if (h->index == 0)
        c->r = keeper_client_open(h->loop, TAKE_FD(c->fd), &events, &h->keeper, &c->err);
    else {
        if (h->keeper) {
            keeper_client_close(h->keeper);
            h->keeper = NULL;
            h->keeper_up = false;
            lose_all_here(h);
        }
        c->r = keeper_client_open_more(runtime.homes[0]->keeper, h->loop, &events, &h->keeper,
                                       &c->err);
    }
    h->keeper_up = c->r == 0;
    if (c->r == 0) {
        spares_refill_soon(h);
        snapshots_soon(h);
    }
}

static void provision_again(struct pool *p, void *ctx)
{
    (void)ctx;
    pthread_mutex_lock(&p->lock);
    p->provision.failures = 0;
    pthread_mutex_unlock(&p->lock);
    pool_provision_more(p);
}

static int connect_all(int fd, struct err *err)
{
    for (unsigned i = 0; i < runtime.n_homes; i++) {
        struct connect_call c = {.home = runtime.homes[i], .fd = i == 0 ? fd : -1};
        loop_call(c.home->loop, connect_here, &c);
        if (c.r < 0) {
            *err = c.err;
            return c.r;
        }
    }
    atomic_store(&runtime.keeper_up, true);
    pools_each(provision_again, NULL);
    return 0;
}

int runtime_keeper_replace(int fd, struct err *err)
{
    return connect_all(fd, err);
}

struct keeper_client *runtime_keeper(void)
{
    return runtime.n_homes > 0 ? runtime.homes[0]->keeper : NULL;
}

// ---- start and stop ----------------------------------------------------------------------------

static int make_homes(struct err *err)
{
    for (unsigned i = 0; i < loops_count(); i++) {
        struct home *h = calloc(1, sizeof(*h));
        if (!h)
            return err_set(err, -ENOMEM, "out of memory");
        h->loop = loop_at(i);
        h->index = i;
        list_init(&h->dirty);
        for (unsigned k = 0; k < RUNTIME_SPARE_KINDS; k++)
            list_init(&h->spares[k].ready);
        runtime.homes[i] = h;
    }
    runtime.n_homes = loops_count();
    return 0;
}

int runtime_start(const struct runtime_config *config, struct err *err)
{
    _cleanup_close_ int fd = config->keeper_fd;
    int r;

    runtime.config = *config;
    fill_defaults(&runtime.config);
    runtime.data_dir = strdup(config->data_dir);
    runtime.endpoint_url = config->endpoint_url ? strdup(config->endpoint_url) : NULL;
    if (!runtime.data_dir || (config->endpoint_url && !runtime.endpoint_url))
        return err_set(err, -ENOMEM, "out of memory");
    runtime.config.data_dir = runtime.data_dir;
    runtime.config.endpoint_url = runtime.endpoint_url;
    r = snprintf(runtime.code_prefix, sizeof(runtime.code_prefix), "%s/code/", runtime.data_dir);
    if (r >= (int)sizeof(runtime.code_prefix))
        return err_set(err, -ENAMETOOLONG, "the data directory's path is too long");
    runtime.code_prefix_len = (size_t)r;
    snprintf(runtime.spool_dir, sizeof(runtime.spool_dir), "%s/run", runtime.data_dir);
    atomic_store(&runtime.draining, false);
    atomic_store(&runtime.stopping, false);
    runtime.starts_at_once = 4 + 2 * (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    r = take_outbound(config->outbound, err);
    if (r == 0)
        r = load_interpreters(err);
    if (r == 0)
        r = make_homes(err);
    if (r == 0 && fd >= 0)
        r = connect_all(TAKE_FD(fd), err);
    return r;
}

void runtime_set_credentials_provider(struct runtime_credentials_provider p)
{
    runtime.credentials = p;
}

void runtime_set_platform_handler(void (*handler)(void *ctx, struct http_request *req), void *ctx)
{
    runtime.platform = handler;
    runtime.platform_ctx = ctx;
}

static void fail_waiting(struct pool *p, void *ctx)
{
    pool_fail_waiting(p, ctx);
}

void runtime_drain(void)
{
    struct err err = ERR_INIT;

    atomic_store(&runtime.draining, true);
    err_aws(&err, &runtime_service_exception, "Lambkin is shutting down.");
    pools_each(fail_waiting, &err);
}

unsigned runtime_invocations(void)
{
    return atomic_load(&runtime.invocations);
}

unsigned runtime_environments(void)
{
    return atomic_load(&runtime.environments);
}

// Ends everything of a loop: what runs is answered as lost.
static void end_all_here(void *ctx)
{
    struct home *h = ctx;

    loop_timer_stop(h->loop, &h->refill);
    loop_timer_stop(h->loop, &h->keeping);
    for (unsigned i = 0; i < h->n_slots; i++) {
        struct environment *env = h->slots[i];
        struct sandbox_exit e = {.program = 1, .reason = SANDBOX_LOST};

        if (!env)
            continue;
        e.id = env->id;
        if (env->state == ENV_STARTING)
            environment_kill(env); // on_started finds it so
        else
            environment_exited(h, &e);
    }
    output_flush_all(h);
}

static void close_keeper(void *ctx)
{
    struct home *h = ctx;

    output_flush_all(h);
    if (h->keeper)
        keeper_client_close(h->keeper);
    h->keeper = NULL;
    h->keeper_up = false;
}

void runtime_stop(unsigned timeout_ms)
{
    const struct timespec pause = {0, 1000000};
    int64_t until = os_mono_ms() + timeout_ms;

    runtime_drain();
    atomic_store(&runtime.stopping, true);
    for (unsigned i = 0; i < runtime.n_homes; i++)
        loop_call(runtime.homes[i]->loop, end_all_here, runtime.homes[i]);
    while (atomic_load(&runtime.environments) > 0 && atomic_load(&runtime.keeper_up) &&
           os_mono_ms() < until)
        nanosleep(&pause, NULL);
    if (atomic_load(&runtime.environments) > 0 && atomic_load(&runtime.keeper_up))
        log_warn("%u environments did not end in time: the keeper ends them",
                 atomic_load(&runtime.environments));
    for (unsigned i = 0; i < runtime.n_homes; i++)
        loop_call(runtime.homes[i]->loop, close_keeper, runtime.homes[i]);
}
