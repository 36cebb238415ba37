// snapshots.c - SnapStart: which published versions have environments whose INIT is done, and how
// many.
//
// What INIT and the hooks before the snapshot made is kept as it is: an environment in its own
// sandbox, idle and then frozen, that no invocation has seen (`unrestored`). It stands in its
// pool's list `kept`; the first invocation it is given restores it (restore.c). Those that were
// taken are made again off the path, one at a time on a loop. A version has one, and more when
// invocations came that found none; all of them together may use a share of the memory budget, and
// the versions used last go before the others.
//
// Invariants, under the pool's lock: `making` holds the environments that were started for `kept`
// and have not got there, n_making counts them, and each of them is one of n_starting.

#include "runtime/runtime_impl.h"

#include "base/cleanup.h"
#include "os/log.h"

#include <errno.h>
#include <stdlib.h>

#define KEPT_MAX 8   // of one version
#define KEPT_SHARE 4 // a fourth of the memory budget
// Credentials are issued with the environment and last three times as long.
#define KEPT_MAX_AGE_NS ((int64_t)12 * 3600 * 1000000000)
#define LOOK_MS 20
#define LOOK_FAILED_MS 2000
#define FAILURES_MAX 3     // of the function in a row, before an invocation asks for it again
#define OWN_FAILURES_MAX 5 // of ours, before a new version is given up

static void look(struct loop_timer *t);

// ---- one environment ---------------------------------------------------------------------------

void snapshot_begun(struct environment *env)
{
    struct pool *p = env->pool;

    pthread_mutex_lock(&p->lock);
    env->making = true;
    list_append(&p->making, &env->making_link);
    p->n_making++;
    pthread_mutex_unlock(&p->lock);
    env->home->n_making++;
}

static void made_or_not(struct pool *p, struct environment *env)
{
    if (!env->making)
        return;
    env->making = false;
    list_remove(&env->making_link);
    p->n_making--;
    env->home->n_making--;
}

void snapshot_keep(struct pool *p, struct environment *env)
{
    list_push(&p->kept[env->home->index], &env->link);
    p->n_kept++;
    p->kept_failures = 0;
    p->kept_size_mb = env->kept_mb = env->counted_mb;
    atomic_fetch_add(&runtime.kept_mb, env->kept_mb);
    atomic_fetch_add(&runtime.kept, 1);
}

void snapshot_unkeep(struct pool *p, struct environment *env)
{
    list_remove(&env->link);
    p->n_kept--;
    atomic_fetch_sub(&runtime.kept_mb, env->kept_mb);
    atomic_fetch_sub(&runtime.kept, 1);
    env->kept_mb = 0;
}

void snapshot_settled(struct pool *p, struct environment *env)
{
    made_or_not(p, env);
}

static void tell(struct function_config *f, struct str error_type, struct str error)
{
    if (runtime.snapshot_made && !atomic_load(&runtime.stopping))
        runtime.snapshot_made(runtime.snapshot_ctx, f, error_type, error);
}

void snapshot_taken(struct environment *env)
{
    struct pool *p = env->pool;
    bool asked;

    env->unrestored = true;
    environment_measure(env);
    pthread_mutex_lock(&p->lock);
    asked =
        p->snapshot_asked && !p->forgotten && p->function->generation == env->function->generation;
    if (asked)
        p->snapshot_asked = false;
    pthread_mutex_unlock(&p->lock);
    if (asked)
        tell(env->function, STR_NULL, STR_NULL);
    snapshots_soon(env->home);
}

void snapshot_failed(struct environment *env, struct str error_type, struct str error)
{
    struct pool *p = env->pool;
    bool give_up, asked;

    if (!env->making)
        return;
    pthread_mutex_lock(&p->lock);
    made_or_not(p, env);
    p->kept_failures++;
    asked = p->snapshot_asked && !p->forgotten;
    give_up = str_is_null(error_type) ? asked && p->kept_failures >= OWN_FAILURES_MAX
                                      : asked || p->kept_failures >= FAILURES_MAX;
    if (give_up) {
        p->snapshot_asked = false;
        p->kept_wanted = 0;
    }
    pthread_mutex_unlock(&p->lock);
    if (give_up && asked && str_is_null(error_type))
        tell(env->function, STR(RUNTIME_SNAPSHOT_INTERNAL), STR(""));
    else if (give_up && asked)
        tell(env->function, error_type, error);
    if (!atomic_load(&runtime.stopping))
        loop_timer_start(env->home->loop, &env->home->keeping, give_up ? LOOK_MS : LOOK_FAILED_MS,
                         look);
}

void snapshot_abandon(struct environment *env)
{
    struct pool *p = env->pool;

    pthread_mutex_lock(&p->lock);
    made_or_not(p, env);
    pthread_mutex_unlock(&p->lock);
    environment_kill(env);
    pool_start_given_up(p, env);
    snapshots_soon(env->home);
}

// ---- the pool's, under its lock ----------------------------------------------------------------

struct environment *snapshot_find(struct pool *p, unsigned here)
{
    for (unsigned n = 0; p->n_kept > 0 && n < runtime.n_homes; n++) {
        unsigned i = (here + n) % runtime.n_homes;
        list_each(link, &p->kept[i])
        {
            struct environment *env = LIST_ENTRY(link, struct environment, link);
            if (env->function->generation == p->function->generation &&
                !atomic_load(&env->retire_posted))
                return env;
        }
    }
    return NULL;
}

void snapshots_retire_old(struct pool *p)
{
    bool none = p->forgotten || atomic_load(&runtime.stopping);

    for (unsigned i = 0; i < LOOPS_MAX; i++) {
        list_each_safe(link, &p->kept[i])
        {
            struct environment *env = LIST_ENTRY(link, struct environment, link);
            if (none || env->function->generation != p->function->generation)
                environment_retire(env);
        }
    }
    list_each_safe(link, &p->making)
    {
        struct environment *env = LIST_ENTRY(link, struct environment, making_link);
        if (none || env->function->generation != p->function->generation)
            environment_retire(env);
    }
}

bool snapshot_may_end(struct pool *p, const struct environment *env)
{
    if (p->n_kept == p->kept_wanted && p->kept_wanted > 1)
        p->kept_wanted--; // nobody needed it for as long as environments may be idle
    return p->n_kept > p->kept_wanted || os_mono_ns() - env->begun_ns > KEPT_MAX_AGE_NS;
}

// ---- who is to have one ------------------------------------------------------------------------

struct unused {
    struct pool *pool;
    int64_t used_ns;
};

static void find_unused(struct pool *p, void *ctx)
{
    struct unused *u = ctx;

    pthread_mutex_lock(&p->lock);
    if (p->n_kept > 0 && p->kept_used_ns < u->used_ns) {
        u->pool = p;
        u->used_ns = p->kept_used_ns;
    }
    pthread_mutex_unlock(&p->lock);
}

bool snapshot_evict_one(int64_t used_before_ns)
{
    struct unused u = {NULL, used_before_ns};
    bool done = false;

    pools_each(find_unused, &u);
    if (!u.pool)
        return false;
    pthread_mutex_lock(&u.pool->lock);
    for (unsigned i = 0; i < runtime.n_homes && !done; i++) {
        list_each(link, &u.pool->kept[i])
        {
            struct environment *env = LIST_ENTRY(link, struct environment, link);
            if (atomic_load(&env->retire_posted))
                continue;
            environment_retire(env);
            done = true;
            break;
        }
    }
    pthread_mutex_unlock(&u.pool->lock);
    return done;
}

struct lacking {
    struct pool *pool;
    struct function_config *function; // a reference
    int64_t used_ns;
    int size_mb;
    bool asked;
};

// The new versions first, then those that were used last.
static void find_lacking(struct pool *p, void *ctx)
{
    struct lacking *l = ctx;

    pthread_mutex_lock(&p->lock);
    if (p->function->snap_start && !p->forgotten && p->n_waiting == 0 &&
        p->n_kept + p->n_making < p->kept_wanted && runtime_kind(p->function) != RUNTIME_NO_KIND &&
        (!l->pool || p->snapshot_asked > l->asked ||
         (p->snapshot_asked == l->asked && p->kept_used_ns > l->used_ns))) {
        function_config_unref(l->function);
        *l = (struct lacking){p, function_config_ref(p->function), p->kept_used_ns,
                              p->kept_size_mb > 0 ? p->kept_size_mb : ENVIRONMENT_GUESS_MB,
                              p->snapshot_asked};
    }
    pthread_mutex_unlock(&p->lock);
}

// Whether there is room for it; otherwise one that was used longer ago goes, if there is one.
static bool make_room(const struct lacking *l, bool *evicted)
{
    int budget = (int)runtime.config.memory_budget_mb;
    bool fits = atomic_load(&runtime.kept_mb) + l->size_mb <= budget / KEPT_SHARE &&
                atomic_load(&runtime.memory_mb) + l->size_mb < budget &&
                atomic_load(&runtime.environments) + 1 < runtime.config.max_environments;

    if (fits || l->asked)
        return true;
    *evicted = snapshot_evict_one(l->used_ns);
    return false;
}

static void look(struct loop_timer *t)
{
    // One loop chooses at a time, or two would make the same.
    static pthread_mutex_t choosing = PTHREAD_MUTEX_INITIALIZER;
    struct home *h = (struct home *)(void *)((char *)t - offsetof(struct home, keeping));
    struct lacking l = {0};
    bool evicted = false, started = false;

    if (atomic_load(&runtime.draining) || !h->keeper_up || !h->keeper || h->n_making > 0)
        return; // whoever is in the making calls again at its end
    pthread_mutex_lock(&choosing);
    pools_each(find_lacking, &l);
    if (l.pool && make_room(&l, &evicted)) {
        started = true;
        pthread_mutex_lock(&l.pool->lock);
        l.pool->n_starting++;
        pthread_mutex_unlock(&l.pool->lock);
        environment_start(h, l.pool, l.function, runtime_kind(l.function), NULL, ENV_FOR_SNAPSHOT);
    }
    pthread_mutex_unlock(&choosing);
    function_config_unref(l.function);
    if (evicted || (started && h->n_making == 0))
        loop_timer_start(h->loop, t, evicted ? LOOK_MS : LOOK_FAILED_MS, look);
}

void snapshots_soon(struct home *h)
{
    if (!loop_timer_active(&h->keeping) && !atomic_load(&runtime.draining))
        loop_timer_start(h->loop, &h->keeping, LOOK_MS, look);
}

void snapshot_used(struct home *h, struct pool *p, bool found)
{
    pthread_mutex_lock(&p->lock);
    p->kept_used_ns = os_mono_ns();
    if (p->kept_wanted == 0)
        p->kept_failures = 0;
    if (p->kept_wanted == 0 || (!found && p->kept_wanted < KEPT_MAX))
        p->kept_wanted++;
    pthread_mutex_unlock(&p->lock);
    snapshots_soon(h);
}

// ---- the service's -----------------------------------------------------------------------------

struct nudge {
    struct loop_task task;
    struct home *home;
};

static void run_nudge(struct loop_task *t)
{
    struct nudge *n = (struct nudge *)(void *)t;

    loop_timer_start(n->home->loop, &n->home->keeping, 0,
                     look); // also when it rests after a failure
    free(n);
}

static int want(struct function_config *f, bool ask, struct err *err)
{
    struct pool *p = pool_of(f);
    struct nudge *n = calloc(1, sizeof(*n));

    if (!p || !n) {
        free(n);
        return err_set(err, -ENOMEM, "out of memory");
    }
    runtime_update(f);
    pthread_mutex_lock(&p->lock);
    if (p->kept_wanted == 0)
        p->kept_wanted = 1;
    p->kept_failures = 0;
    if (ask) {
        p->snapshot_asked = true;
        p->kept_used_ns = os_mono_ns();
    }
    pthread_mutex_unlock(&p->lock);
    n->task.run = run_nudge;
    n->home = runtime.homes[atomic_fetch_add(&runtime.next_home, 1) % runtime.n_homes];
    loop_post(n->home->loop, &n->task);
    return 0;
}

int runtime_snapshot_make(struct function_config *f, struct err *err)
{
    return want(f, true, err);
}

void runtime_snapshot_keep(struct function_config *f)
{
    struct err err = ERR_INIT;

    if (want(f, false, &err) < 0)
        log_warn("the snapshot of %.*s:%.*s: %s", STR_ARG(f->arn), STR_ARG(f->version),
                 err.message);
}

void runtime_set_snapshot_handler(void (*made)(void *ctx, struct function_config *f,
                                               struct str error_type, struct str error),
                                  void *ctx)
{
    runtime.snapshot_made = made;
    runtime.snapshot_ctx = ctx;
}
