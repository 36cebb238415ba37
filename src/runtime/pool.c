// pool.c - the environments of one function version and who waits for them.
//
// Invariants: an environment is in an idle list exactly while nobody uses it (env->linked); n_busy
// counts those that were taken out; every waiting invocation is covered by an environment that is
// starting, by a busy one with the deferred look behind it, or has been failed.

#include "base/cleanup.h"
#include "os/log.h"
#include "runtime/runtime_impl.h"

#include <errno.h>
#include <stdio.h>

#define SLOW_START_NS 500000000
#define LOOK_AGAIN_MS 2
#define CROWD_PER_CORE 4
#define CROWD_WAIT_US 3000.0

static const struct aws_error not_found = {"ResourceNotFoundException", NULL, 404, true};

// ---- the table ---------------------------------------------------------------------------------

static struct pool *pool_create(const char *key, struct function_config *f)
{
    struct pool *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->key = strdup(key);
    p->account = strndup(f->account.ptr, f->account.len);
    p->region = strndup(f->region.ptr, f->region.len);
    p->name = strndup(f->name.ptr, f->name.len);
    p->version = strndup(f->version.ptr, f->version.len);
    p->limit = limit_of(f->account, f->region, f->name);
    if (!p->key || !p->account || !p->region || !p->name || !p->version || !p->limit) {
        free(p->key);
        free(p->account);
        free(p->region);
        free(p->name);
        free(p->version);
        free(p);
        return NULL;
    }
    pthread_mutex_init(&p->lock, NULL);
    for (unsigned i = 0; i < LOOPS_MAX; i++) {
        list_init(&p->idle[i]);
        list_init(&p->kept[i]);
    }
    list_init(&p->making);
    p->function = function_config_ref(f);
    p->last_end = INVOCATION_WHY_FIRST;
    return p;
}

void pool_key(char key[static 768], struct str account, struct str region, struct str name,
              struct str version)
{
    snprintf(key, 768, "%.*s/%.*s/%.*s/%.*s", STR_ARG(account), STR_ARG(region), STR_ARG(name),
             STR_ARG(version));
}

struct pool *pool_of(struct function_config *f)
{
    struct pool *p = atomic_load_explicit(&f->pool, memory_order_acquire), *made;
    char key[768];

    if (p)
        return p;
    pool_key(key, f->account, f->region, f->name, f->version);
    pthread_mutex_lock(&runtime.pools_lock);
    p = map_get(&runtime.pools, str_from(key));
    pthread_mutex_unlock(&runtime.pools_lock);
    if (!p) {
        made = pool_create(key, f); // takes pools_lock for its limit
        if (!made)
            return NULL;
        pthread_mutex_lock(&runtime.pools_lock);
        p = map_get(&runtime.pools, str_from(key));
        if (!p && map_set(&runtime.pools, str_from(made->key), made, NULL) == 0)
            p = made;
        pthread_mutex_unlock(&runtime.pools_lock);
        if (p != made) { // somebody was quicker, or there was no memory
            function_config_unref(made->function);
            pthread_mutex_destroy(&made->lock);
            free(made->key);
            free(made->account);
            free(made->region);
            free(made->name);
            free(made->version);
            free(made);
        }
    }
    if (p)
        atomic_store_explicit(&f->pool, p, memory_order_release);
    return p;
}

void pools_each(void (*fn)(struct pool *p, void *ctx), void *ctx)
{
    _cleanup_free_ struct pool **all = NULL;
    const struct map_entry *e;
    size_t at = 0, n = 0;

    pthread_mutex_lock(&runtime.pools_lock);
    all = calloc(runtime.pools.n + 1, sizeof(struct pool *));
    while (all && (e = map_next(&runtime.pools, &at)))
        all[n++] = e->value;
    pthread_mutex_unlock(&runtime.pools_lock);
    for (size_t i = 0; i < n; i++)
        fn(all[i], ctx);
}

// ---- under the lock ----------------------------------------------------------------------------

static void idle_remove(struct pool *p, struct environment *env)
{
    env->linked = false;
    if (env->unrestored) {
        snapshot_unkeep(p, env);
        return;
    }
    list_remove(&env->link);
    p->n_idle--;
    provision_idle(p, env, -1);
}

static void idle_add(struct pool *p, struct environment *env)
{
    env->idle_since_ns = os_mono_ns();
    env->linked = true;
    if (env->unrestored) {
        snapshot_keep(p, env);
        return;
    }
    list_push(&p->idle[env->home->index], &env->link);
    p->n_idle++;
    provision_idle(p, env, 1);
}

static struct invocation *take_waiting(struct pool *p)
{
    struct invocation *inv = p->first;

    if (!inv)
        return NULL;
    p->first = inv->next;
    if (!p->first)
        p->last = NULL;
    inv->next = NULL;
    p->n_waiting--;
    inv->waited = true;
    inv->assigned_ns = (uint64_t)os_mono_ns();
    return inv;
}

static void add_waiting(struct pool *p, struct invocation *inv, bool in_front)
{
    inv->next = in_front ? p->first : NULL;
    if (in_front) {
        p->first = inv;
        if (!p->last)
            p->last = inv;
    } else {
        if (p->last)
            p->last->next = inv;
        else
            p->first = inv;
        p->last = inv;
    }
    p->n_waiting++;
}

static bool is_current(const struct pool *p, const struct environment *env)
{
    return env->function->generation == p->function->generation && !env->function->debug_port &&
           !p->forgotten && !atomic_load(&runtime.stopping);
}

static void retire_old(struct pool *p)
{
    snapshots_retire_old(p);
    for (unsigned i = 0; i < LOOPS_MAX; i++) {
        list_each_safe(link, &p->idle[i])
        {
            struct environment *env = LIST_ENTRY(link, struct environment, link);
            if (!is_current(p, env))
                environment_retire(env);
        }
    }
}

void pool_adopt(struct pool *p, struct function_config *f)
{
    if (f->generation <= p->function->generation)
        return;
    function_config_unref(p->function);
    p->function = function_config_ref(f);
    p->forgotten = false;
    p->start_us = 0;
    if (p->last_end != INVOCATION_WHY_FIRST || p->n_idle + p->n_busy + p->n_starting > 0)
        p->last_end = INVOCATION_WHY_UPDATED;
    retire_old(p);
}

// The last used on this loop, else on another; current ones only.
static struct environment *find_idle_of(struct pool *p, unsigned here, bool provisioned)
{
    for (unsigned n = 0; n < runtime.n_homes; n++) {
        unsigned i = (here + n) % runtime.n_homes;
        list_each(link, &p->idle[i])
        {
            struct environment *env = LIST_ENTRY(link, struct environment, link);
            if (is_current(p, env) && (!provisioned || env->provisioned_up))
                return env;
        }
    }
    return NULL;
}

// Provisioned ones first; one to be restored when there is no other.
static struct environment *find_idle(struct pool *p, unsigned here)
{
    struct environment *env = p->provision.idle > 0 ? find_idle_of(p, here, true) : NULL;

    if (!env && p->n_idle > 0)
        env = find_idle_of(p, here, false);
    return env ? env : snapshot_find(p, here);
}

// ---- the budget --------------------------------------------------------------------------------

bool pool_over_budget(void)
{
    return atomic_load(&runtime.environments) >= runtime.config.max_environments ||
           atomic_load(&runtime.memory_mb) >= (int)runtime.config.memory_budget_mb;
}

struct oldest {
    struct pool *pool;
    int64_t since_ns;
};

// The longest idle of a pool that may end; NULL: none. Under its lock.
static struct environment *oldest_of(struct pool *p)
{
    struct environment *found = NULL;

    for (unsigned i = 0; i < runtime.n_homes; i++) {
        for (struct list *link = p->idle[i].prev; link != &p->idle[i]; link = link->prev) {
            struct environment *env = LIST_ENTRY(link, struct environment, link);
            if (provision_keeps(p, env) || atomic_load(&env->retire_posted))
                continue;
            if (!found || env->idle_since_ns < found->idle_since_ns)
                found = env;
            break;
        }
    }
    return found;
}

static void find_oldest(struct pool *p, void *ctx)
{
    struct oldest *o = ctx;
    const struct environment *env;

    pthread_mutex_lock(&p->lock);
    env = oldest_of(p);
    if (env && (!o->pool || env->idle_since_ns < o->since_ns)) {
        o->pool = p;
        o->since_ns = env->idle_since_ns;
    }
    pthread_mutex_unlock(&p->lock);
}

// Ends the environment that has been idle for longest, whoever's it is.
static void evict_one(void)
{
    struct oldest o = {NULL, 0};
    struct environment *env;

    if (snapshot_evict_one(INT64_MAX)) // they are there in case
        return;
    pools_each(find_oldest, &o);
    if (!o.pool)
        return;
    pthread_mutex_lock(&o.pool->lock);
    env = oldest_of(o.pool);
    if (env && env->idle_since_ns == o.since_ns) {
        o.pool->last_end = INVOCATION_WHY_BUDGET;
        environment_retire(env);
    }
    pthread_mutex_unlock(&o.pool->lock);
}

// A burst starts a few at a time: they would only take the processor from each other until none
// is ready within INIT's limit, and the first that are ready serve many. Those that take long are
// presumably waiting for something else, and no longer count.
static bool starts_enough(struct pool *p)
{
    int64_t now = os_mono_ns();

    if (p->n_slow_starts > p->n_starting)
        p->n_slow_starts = p->n_starting;
    if (p->n_starting - p->n_slow_starts < runtime.starts_at_once) {
        if (p->n_starting == p->n_slow_starts)
            p->starts_since_ns = now;
        return false;
    }
    if (now - p->starts_since_ns < SLOW_START_NS)
        return true;
    p->n_slow_starts = p->n_starting;
    p->starts_since_ns = now;
    return false;
}

// How long those who wait will wait for a busy one, at the recent pace; 0: not known.
static double expected_us(const struct pool *p)
{
    if (p->n_busy == 0 || p->handler_us <= 0 || p->start_us <= 0)
        return 0;
    return p->handler_us * (p->n_waiting - p->n_starting) / p->n_busy;
}

// Beyond a few environments for each core, functions that compute only take the cores from each
// other: a shorter wait would be bought with slower functions. Those that wait for something else
// soon make their callers wait for longer than this.
static bool is_crowded(const struct pool *p)
{
    return p->n_busy >= CROWD_PER_CORE * runtime.n_homes;
}

// From which expected wait on one more environment pays.
static double worth_starting_us(const struct pool *p)
{
    double us = p->start_us / 2;

    return is_crowded(p) && us < CROWD_WAIT_US ? CROWD_WAIT_US : us;
}

// When to look again at those who wait: when they have waited twice as long as was expected.
static int64_t patience_ms(const struct pool *p)
{
    double ms = pool_over_budget() ? 0 : expected_us(p) * 2 / 1000;
    double least = is_crowded(p) ? CROWD_WAIT_US * 4 / 1000 : LOOK_AGAIN_MS;

    return (int64_t)(ms < least ? least : ms);
}

// Whether the first of those who wait has had to wait longer than that.
static bool waits_too_long(const struct pool *p)
{
    return p->first && os_mono_ns() - (int64_t)p->first->submitted_ns >= patience_ms(p) * 1000000;
}

// Whether one more environment should be started for those who wait. Waiting for a busy one is
// better when, at the recent pace, it will be free well before a new one could be ready.
static bool should_start(struct pool *p, bool waited_enough)
{
    double expect_us;

    if (p->n_waiting <= p->n_starting)
        return false;
    if (pool_over_budget())
        return p->n_busy + p->n_starting == 0; // nobody is left without
    if (starts_enough(p))
        return false;
    expect_us = expected_us(p);
    return (waited_enough && waits_too_long(p)) || expect_us <= 0 ||
           expect_us > worth_starting_us(p);
}

// ---- deferred looks ----------------------------------------------------------------------------

static void look_again(struct loop_timer *t);

static void defer(struct home *h, struct pool *p, int64_t in_ms)
{
    struct deferred *more;
    int64_t due_ms = os_mono_ms() + in_ms;

    if (h->n_deferred == h->cap_deferred) {
        more = realloc(h->deferred_pools, (h->cap_deferred * 2 + 8) * sizeof(*more));
        if (!more)
            return;
        h->deferred_pools = more;
        h->cap_deferred = h->cap_deferred * 2 + 8;
    }
    h->deferred_pools[h->n_deferred++] = (struct deferred){p, due_ms};
    if (!loop_timer_active(&h->deferred) || due_ms < h->deferred_due_ms) {
        h->deferred_due_ms = due_ms;
        loop_timer_start(h->loop, &h->deferred, in_ms, look_again);
    }
}

// Starts what the pool needs; called without its lock.
static void start_needed(struct home *h, struct pool *p, bool waited_enough)
{
    for (;;) {
        _cleanup_(function_config_unrefp) struct function_config *f = NULL;
        struct invocation *throttle = NULL;
        int64_t patience = LOOK_AGAIN_MS;
        bool start, wait = false;

        pthread_mutex_lock(&p->lock);
        start = should_start(p, waited_enough);
        if (start && !limit_scale(p->limit)) {
            start = false;
            throttle = take_waiting(p);
        }
        if (start) {
            p->n_starting++;
            f = function_config_ref(p->function);
        } else if (!throttle && p->n_waiting > p->n_starting && !p->deferred[h->index]) {
            wait = p->deferred[h->index] = true;
            patience = patience_ms(p);
        }
        pthread_mutex_unlock(&p->lock);
        if (throttle) {
            struct err err = ERR_INIT;
            limit_scaling_throttle(p->limit, &err);
            invocation_fail(throttle, &err);
            continue;
        }
        if (pool_over_budget() && (start || wait))
            evict_one();
        if (wait)
            defer(h, p, patience);
        if (!start)
            return;
        struct environment *spare = f->own_start ? NULL : spare_take(h, runtime_kind(f));
        if (spare)
            environment_bind(spare, p, f);
        else
            environment_start(h, p, f, runtime_kind(f), NULL, ENV_FOR_CALLS);
    }
}

static void look_again(struct loop_timer *t)
{
    struct home *h = (struct home *)(void *)((char *)t - offsetof(struct home, deferred));
    unsigned n = h->n_deferred;
    _cleanup_free_ struct deferred *list = h->deferred_pools;
    int64_t now = os_mono_ms();

    h->deferred_pools = NULL;
    h->n_deferred = h->cap_deferred = 0;
    for (unsigned i = 0; i < n; i++) {
        struct pool *p = list[i].pool;
        if (list[i].due_ms > now) {
            defer(h, p, list[i].due_ms - now);
            continue;
        }
        pthread_mutex_lock(&p->lock);
        p->deferred[h->index] = false;
        pthread_mutex_unlock(&p->lock);
        start_needed(h, p, true);
    }
}

// ---- started elsewhere -------------------------------------------------------------------------

struct start_task {
    struct loop_task task;
    struct home *home;
    struct pool *pool;
    struct function_config *function;
    enum environment_purpose purpose;
};

static void run_start(struct loop_task *t)
{
    struct start_task *s = (struct start_task *)(void *)t;

    environment_start(s->home, s->pool, s->function, runtime_kind(s->function), NULL, s->purpose);
    function_config_unref(s->function);
    free(s);
}

void pool_start(struct pool *p, enum environment_purpose purpose)
{
    struct start_task *s = calloc(1, sizeof(*s));
    struct err err = ERR_INIT;

    pthread_mutex_lock(&p->lock);
    p->n_starting++;
    if (s)
        *s = (struct start_task){.task.run = run_start,
                                 .pool = p,
                                 .function = function_config_ref(p->function),
                                 .purpose = purpose};
    pthread_mutex_unlock(&p->lock);
    if (!s) {
        err_set(&err, -ENOMEM, "out of memory");
        pool_start_failed(p, purpose == ENV_FOR_PROVISIONED, &err);
        return;
    }
    s->home = runtime.homes[atomic_fetch_add(&runtime.next_home, 1) % runtime.n_homes];
    loop_post(s->home->loop, &s->task);
}

// ---- who gets what -----------------------------------------------------------------------------

static void submit(struct home *h, struct pool *p, struct invocation *inv, bool in_front)
{
    struct environment *env;
    struct err err = ERR_INIT;
    bool forgotten, from_snapshot = false;

    pthread_mutex_lock(&p->lock);
    pool_adopt(p, inv->function);
    if (!in_front)
        prewarm_arrival(p);
    forgotten = p->forgotten;
    env = forgotten ? NULL : find_idle(p, h->index);
    if (!forgotten && p->function->snap_start)
        from_snapshot = !env || env->unrestored;
    if (env) {
        idle_remove(p, env);
        p->n_busy++;
        inv->assigned_ns = (uint64_t)os_mono_ns();
    } else if (!forgotten) {
        add_waiting(p, inv, in_front);
    }
    pthread_mutex_unlock(&p->lock);
    if (from_snapshot)
        snapshot_used(h, p, env != NULL);
    if (forgotten) {
        err_aws(&err, &not_found, "Function not found: %.*s", STR_ARG(inv->function->arn));
        invocation_fail(inv, &err);
    } else if (env) {
        environment_assign(env, inv);
    } else {
        start_needed(h, p, false);
    }
}

void pool_submit(struct home *h, struct pool *p, struct invocation *inv)
{
    submit(h, p, inv, false);
}

void pool_resubmit(struct home *h, struct pool *p, struct invocation *inv)
{
    pool_lost_busy(p);
    submit(h, p, inv, true);
}

struct invocation *pool_ready(struct pool *p, struct environment *env)
{
    struct invocation *inv;
    double took_us = (double)(os_mono_ns() - env->begun_ns) / 1000;

    pthread_mutex_lock(&p->lock);
    snapshot_settled(p, env);
    p->n_starting--;
    if (env->provisioned)
        provision_up(p, env);
    if (!env->generic || env->bound_ns)
        p->start_us = p->start_us > 0 ? p->start_us * 0.7 + took_us * 0.3 : took_us;
    inv = is_current(p, env) ? take_waiting(p) : NULL;
    if (inv)
        p->n_busy++;
    else
        idle_add(p, env);
    if (!inv && (!is_current(p, env) || provision_surplus(p, env)))
        environment_retire(env);
    pthread_mutex_unlock(&p->lock);
    if (!inv) // one that became outdated while it started leaves who waited for it uncovered
        start_needed(env->home, p, false);
    return inv;
}

struct invocation *pool_release(struct pool *p, struct environment *env, bool *end)
{
    struct invocation *inv = NULL;
    bool expects;

    pthread_mutex_lock(&p->lock);
    *end = !is_current(p, env) || (provision_surplus(p, env) && p->n_waiting == 0);
    if (!*end)
        inv = take_waiting(p);
    if (!inv)
        p->n_busy--;
    if (!inv && !*end)
        idle_add(p, env);
    expects = !inv && prewarm_rest(p);
    pthread_mutex_unlock(&p->lock);
    if (expects)
        prewarm_changed();
    if (*end)
        start_needed(env->home, p, false);
    return inv;
}

struct invocation *pool_init_failed(struct pool *p, struct environment *env)
{
    struct invocation *inv;

    pthread_mutex_lock(&p->lock);
    p->n_starting--;
    p->init_failures++;
    if (env->provisioned) {
        p->provision.starting--;
        p->provision.failures++;
        snprintf(p->provision.error, sizeof(p->provision.error), "FUNCTION_ERROR_INIT_FAILURE");
    }
    inv = take_waiting(p);
    if (inv)
        p->n_busy++;
    pthread_mutex_unlock(&p->lock);
    return inv;
}

void pool_start_failed(struct pool *p, bool provisioned, const struct err *err)
{
    struct invocation *fail = NULL;
    bool again = provisioned && atomic_load(&runtime.keeper_up); // else when there is a keeper

    pthread_mutex_lock(&p->lock);
    p->n_starting--;
    p->provision.starting -= provisioned;
    if (again) {
        p->provision.failures++;
        snprintf(p->provision.error, sizeof(p->provision.error), "%.200s", err->message);
    }
    if (p->n_waiting > p->n_starting)
        fail = take_waiting(p);
    pthread_mutex_unlock(&p->lock);
    if (fail)
        invocation_fail(fail, err);
    if (again)
        pool_provision_more(p);
}

void pool_left(struct pool *p, struct environment *env)
{
    bool more;

    pthread_mutex_lock(&p->lock);
    more = env->provisioned_up;
    provision_gone(p, env);
    pthread_mutex_unlock(&p->lock);
    if (more && !atomic_load(&runtime.stopping))
        pool_provision_more(p);
}

enum invocation_why pool_why(struct pool *p)
{
    enum invocation_why why;

    pthread_mutex_lock(&p->lock);
    why = p->n_busy + p->n_starting > 1 ? INVOCATION_WHY_BUSY : p->last_end;
    pthread_mutex_unlock(&p->lock);
    return why;
}

void pool_ended(struct pool *p, enum invocation_why why)
{
    pthread_mutex_lock(&p->lock);
    p->last_end = why;
    pthread_mutex_unlock(&p->lock);
}

void pool_start_given_up(struct pool *p, struct environment *env)
{
    pthread_mutex_lock(&p->lock);
    p->n_starting--;
    pthread_mutex_unlock(&p->lock);
    start_needed(env->home, p, false);
}

void pool_lost_busy(struct pool *p)
{
    struct home *h = home_here();
    bool expects;

    pthread_mutex_lock(&p->lock);
    p->n_busy--;
    expects = prewarm_rest(p);
    pthread_mutex_unlock(&p->lock);
    if (expects)
        prewarm_changed();
    if (h && !atomic_load(&runtime.stopping)) {
        start_needed(h, p, false);
        pool_provision_more(p);
    }
}

bool pool_take_idle(struct pool *p, struct environment *env)
{
    bool taken;

    pthread_mutex_lock(&p->lock);
    taken = env->linked;
    if (taken)
        idle_remove(p, env);
    pthread_mutex_unlock(&p->lock);
    return taken;
}

bool pool_may_end(struct pool *p, struct environment *env)
{
    bool may;

    pthread_mutex_lock(&p->lock);
    may = !is_current(p, env) ||
          (env->unrestored ? snapshot_may_end(p, env) : !provision_keeps(p, env));
    pthread_mutex_unlock(&p->lock);
    return may;
}

void pool_set_frozen(struct pool *p, bool frozen)
{
    pthread_mutex_lock(&p->lock);
    if (frozen)
        p->n_frozen++;
    else if (p->n_frozen > 0)
        p->n_frozen--;
    pthread_mutex_unlock(&p->lock);
}

void pool_fail_waiting(struct pool *p, const struct err *err)
{
    struct invocation *inv;

    do {
        pthread_mutex_lock(&p->lock);
        inv = take_waiting(p);
        pthread_mutex_unlock(&p->lock);
        if (inv)
            invocation_fail(inv, err);
    } while (inv);
}

void pool_retire(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    retire_old(p);
    pthread_mutex_unlock(&p->lock);
}

// ---- what the service says ---------------------------------------------------------------------

struct forget {
    struct str account, region, name, version;
};

static void forget_one(struct pool *p, void *ctx)
{
    const struct forget *f = ctx;
    struct err err = ERR_INIT;

    if (!str_eq(str_from(p->account), f->account) || !str_eq(str_from(p->region), f->region) ||
        !str_eq(str_from(p->name), f->name) ||
        (!str_is_null(f->version) && !str_eq(str_from(p->version), f->version)))
        return;
    pthread_mutex_lock(&p->lock);
    p->forgotten = true;
    p->provision.wanted = 0;
    p->kept_wanted = 0;
    p->snapshot_asked = false;
    retire_old(p);
    pthread_mutex_unlock(&p->lock);
    err_aws(&err, &not_found, "Function not found: %s", p->name);
    pool_fail_waiting(p, &err);
}

void runtime_forget(struct str account, struct str region, struct str name, struct str version)
{
    struct forget f = {account, region, name, version};

    pools_each(forget_one, &f);
}

void runtime_update(struct function_config *f)
{
    struct pool *p = pool_of(f);

    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    pool_adopt(p, f);
    pthread_mutex_unlock(&p->lock);
    pool_provision_more(p);
    runtime_expect(f);
}
