// prewarm.c - an environment that is there just before it is needed, for functions that are called
// in a rhythm (setting `prewarm`, off by default).
//
// When a version comes to rest and its own idle times say that the next invocation comes after its
// environments have ended (idle-after), one is started shortly before that and kept until shortly
// after; then the usual rules hold. Where there is no pattern, or the usual keep-alive covers it,
// nothing is done. The idea is the hybrid histogram policy of Shahrad et al., "Serverless in the
// Wild", USENIX ATC 2020.
//
// Invariant: pool's prewarm.due_ns is under its lock; the first loop's timer fires at the earliest
// of them, or earlier.

#include "runtime/runtime_impl.h"

#define NS_PER_MS 1000000
#define EARLY 0.9 // of the expected time: margins on both sides
#define LATE 1.1
#define ENDED_MS 10 // what the environment's timer may be late

static void look(struct loop_timer *t);

// ---- under the pool's lock ---------------------------------------------------------------------

void prewarm_arrival(struct pool *p)
{
    struct prewarm *w = &p->prewarm;

    if (!runtime.config.prewarm)
        return;
    w->due_ns = 0;
    if (p->n_busy + p->n_waiting == 0 && w->rest_ns != 0)
        arrivals_add(&w->arrivals, (os_mono_ns() - w->rest_ns) / NS_PER_MS);
}

bool prewarm_rest(struct pool *p)
{
    struct prewarm *w = &p->prewarm;
    int64_t from_ms, to_ms, start_ms = (int64_t)(p->start_us / 1000);

    if (!runtime.config.prewarm || p->n_busy + p->n_waiting > 0)
        return false;
    w->rest_ns = os_mono_ns();
    w->due_ns = 0;
    if (p->forgotten || !arrivals_expect(&w->arrivals, &from_ms, &to_ms))
        return false;
    if ((double)to_ms * LATE <= runtime.config.idle_after_ms)
        return false;
    from_ms = (int64_t)((double)from_ms * EARLY) - start_ms;
    if (from_ms < runtime.config.idle_after_ms + ENDED_MS) // the present ones are there until then
        from_ms = runtime.config.idle_after_ms + ENDED_MS;
    w->due_ns = w->rest_ns + from_ms * NS_PER_MS;
    w->until_ns = w->rest_ns + (int64_t)((double)to_ms * LATE) * NS_PER_MS;
    return true;
}

// ---- the environments --------------------------------------------------------------------------

int64_t prewarm_idle_ms(const struct environment *env)
{
    int64_t left_ms = (env->prewarm_until_ns - os_mono_ns()) / NS_PER_MS;

    if (env->prewarm_until_ns == 0)
        return runtime.config.idle_after_ms;
    return left_ms > 0 ? left_ms : 1;
}

void prewarm_begun(struct environment *env)
{
    pthread_mutex_lock(&env->pool->lock);
    env->prewarm_until_ns = env->pool->prewarm.until_ns;
    env->pool->prewarm.starts++;
    pthread_mutex_unlock(&env->pool->lock);
}

void prewarm_over(struct environment *env, bool used)
{
    if (env->prewarm_until_ns == 0)
        return;
    env->prewarm_until_ns = 0;
    pthread_mutex_lock(&env->pool->lock);
    env->pool->prewarm.hits += used;
    env->pool->prewarm.wasted += !used;
    pthread_mutex_unlock(&env->pool->lock);
}

// ---- the first loop's timer --------------------------------------------------------------------

struct due {
    int64_t now_ns, next_ns;
};

static void start_if_due(struct pool *p, void *ctx)
{
    struct due *d = ctx;
    struct prewarm *w = &p->prewarm;
    bool start = false;

    pthread_mutex_lock(&p->lock);
    if (w->due_ns != 0 && w->due_ns <= d->now_ns) {
        w->due_ns = 0;
        start = p->n_idle + p->n_busy + p->n_starting + p->n_kept == 0 && !p->forgotten &&
                w->until_ns > d->now_ns && runtime_kind(p->function) != RUNTIME_NO_KIND;
    } else if (w->due_ns != 0 && (d->next_ns == 0 || w->due_ns < d->next_ns)) {
        d->next_ns = w->due_ns;
    }
    pthread_mutex_unlock(&p->lock);
    if (start && !pool_over_budget())
        pool_start(p, ENV_FOR_PREWARM);
}

static void look(struct loop_timer *t)
{
    struct home *h = runtime.homes[0];
    struct due d = {.now_ns = os_mono_ns()};
    int64_t ms;

    if (atomic_load(&runtime.draining))
        return;
    pools_each(start_if_due, &d);
    if (d.next_ns == 0)
        return;
    ms = (d.next_ns - d.now_ns + NS_PER_MS - 1) / NS_PER_MS;
    loop_timer_start(h->loop, t, ms, look);
}

static atomic_bool posted;

static void run_look(struct loop_task *t)
{
    (void)t;
    atomic_store(&posted, false);
    look(&runtime.homes[0]->prewarm);
}

void prewarm_changed(void)
{
    static struct loop_task task = {.run = run_look};

    if (!atomic_exchange(&posted, true))
        loop_post(runtime.homes[0]->loop, &task);
}
