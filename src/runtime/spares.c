// spares.c - sandboxes that are ready before anybody needs them, by interpreter and for custom
// ones.
//
// A spare belongs to a loop and serves that loop's cold starts. Of each kind that functions were
// made or invoked for, the setting `spares` says how many are kept at least; when more cold starts
// came in one second lately, so many are kept that a second like that would find them, and that
// fades again. What was taken is made anew off the path: once no start has been under way for a
// moment.
//
// The budget: spares are at most half of it, and beyond the least number only what is left of it.
// Environments that run are not ended for their sake.

#include "runtime/runtime_impl.h"

#include "os/log.h"

#define REFILL_AFTER_MS 20
#define REFILL_BUSY_MS 50
#define REFILL_FAILED_MS 5000
#define SECOND_MS 1000
#define FADE 0.85     // of the peak is left after a second: half of it after four
#define MOST_READY 32 // of a kind on a loop, whatever was asked for

static void on_refill(struct loop_timer *t);

static bool off(void)
{
    return runtime.config.spares == 0 || atomic_load(&runtime.draining);
}

// ---- how many ----------------------------------------------------------------------------------

static void count_seconds(struct home *h)
{
    int64_t now = os_mono_ms(), seconds = (now - h->spares_second_ms) / SECOND_MS;

    if (seconds < 1)
        return;
    h->spares_second_ms = now;
    for (unsigned i = 0; i < RUNTIME_SPARE_KINDS; i++) {
        struct spare_kind *k = &h->spares[i];
        for (int64_t n = 0; n < seconds && k->peak > 0; n++)
            k->peak = k->peak < 0.5 ? 0 : k->peak * FADE;
        if (k->asked > k->peak)
            k->peak = k->asked;
        k->asked = 0;
    }
}

// A JVM that waits takes the memory of three other interpreters, and each memory size has its own.
static unsigned least(unsigned kind)
{
    return kind_memory_mb(kind) > 0 && runtime.config.spares > 1 ? 1 : runtime.config.spares;
}

static unsigned target(const struct spare_kind *k, unsigned kind)
{
    double lately = k->asked > k->peak ? k->asked : k->peak;
    unsigned n = lately < MOST_READY ? (unsigned)(lately + 0.5) : MOST_READY;

    if (!atomic_load(&k->wanted))
        return 0;
    return n > least(kind) ? n : least(kind);
}

static bool within_budget(const struct spare_kind *k, unsigned kind)
{
    unsigned all = atomic_load(&runtime.spares) + 1;

    if (all * ENVIRONMENT_GUESS_MB > runtime.config.memory_budget_mb / 2 ||
        all > runtime.config.max_environments / 2)
        return false;
    return k->n < least(kind) ||
           (atomic_load(&runtime.memory_mb) + ENVIRONMENT_GUESS_MB <=
                (int)runtime.config.memory_budget_mb &&
            atomic_load(&runtime.environments) < runtime.config.max_environments);
}

// ---- making and ending -------------------------------------------------------------------------

static struct environment *pop(struct home *h, unsigned kind)
{
    struct list *link = list_pop(&h->spares[kind].ready);

    h->spares[kind].n--;
    atomic_fetch_sub(&runtime.spares, 1);
    return LIST_ENTRY(link, struct environment, link);
}

static void refill(struct home *h)
{
    bool later = false;

    count_seconds(h);
    for (unsigned kind = 0; kind < RUNTIME_SPARE_KINDS; kind++) {
        struct spare_kind *k = &h->spares[kind];
        unsigned wanted = target(k, kind);

        while (k->n > wanted && !list_empty(&k->ready))
            environment_kill(pop(h, kind));
        later = later || k->peak > 0 || k->asked > 0 || k->n < wanted;
        if (k->n >= wanted || !within_budget(k, kind))
            continue;
        // One at a time: each is ready before the next begins.
        if (h->spares_starting > 0) {
            loop_timer_start(h->loop, &h->refill, REFILL_BUSY_MS, on_refill);
            return;
        }
        k->n++;
        h->spares_starting++;
        environment_start(h, NULL, NULL, kind, NULL, ENV_FOR_CALLS);
    }
    if (later && !loop_timer_active(&h->refill)) // to see the peaks fade, and the budget free again
        loop_timer_start(h->loop, &h->refill, SECOND_MS, on_refill);
}

static void on_refill(struct loop_timer *t)
{
    struct home *h = (struct home *)(void *)((char *)t - offsetof(struct home, refill));
    struct keeper_status status = {0};

    if (off() || !h->keeper_up || !h->keeper)
        return;
    keeper_degree(h->keeper, &status);
    if (!status.connected) // it has not said yet what it can do
        loop_timer_start(h->loop, &h->refill, REFILL_BUSY_MS, on_refill);
    else if (status.inject)
        refill(h);
}

static void run_refill(struct loop_task *t)
{
    struct home *h = (struct home *)(void *)((char *)t - offsetof(struct home, refill_task));

    atomic_store(&h->refill_posted, false);
    spares_refill_soon(h);
}

void spares_refill_soon(struct home *h)
{
    if (!off())
        loop_timer_start(h->loop, &h->refill,
                         h->spare_failures > 2 ? REFILL_FAILED_MS : REFILL_AFTER_MS, on_refill);
}

// ---- who wants and takes them ------------------------------------------------------------------

void spare_want(struct home *h, unsigned kind)
{
    if (!kind_has_spares(kind) || runtime.config.spares == 0)
        return;
    if (atomic_exchange(&h->spares[kind].wanted, true))
        return;
    if (home_here() == h) {
        spares_refill_soon(h);
    } else if (!atomic_exchange(&h->refill_posted, true)) {
        h->refill_task.run = run_refill;
        loop_post(h->loop, &h->refill_task);
    }
}

void runtime_expect(const struct function_config *f)
{
    for (unsigned i = 0; i < runtime.n_homes && !f->own_start; i++)
        spare_want(runtime.homes[i], runtime_kind(f));
}

struct environment *spare_take(struct home *h, unsigned kind)
{
    if (!kind_has_spares(kind) || runtime.config.spares == 0)
        return NULL;
    spare_want(h, kind);
    count_seconds(h);
    h->spares[kind].asked++;
    spares_refill_soon(h);
    return list_empty(&h->spares[kind].ready) ? NULL : pop(h, kind);
}

void spares_outdated(struct home *h, unsigned kind)
{
    while (!list_empty(&h->spares[kind].ready))
        environment_kill(pop(h, kind));
    spares_refill_soon(h);
}

// ---- what becomes of them ----------------------------------------------------------------------

void spare_ready(struct environment *env)
{
    struct home *h = env->home;
    uint64_t bytes;

    h->spare_failures = 0;
    h->spares_starting--;
    if (atomic_load(&runtime.draining)) {
        h->spares[env->kind].n--;
        environment_kill(env);
        return;
    }
    if (env->sandbox.memory_fd >= 0 && sandbox_memory_peak(env->sandbox.memory_fd, &bytes) == 0 &&
        bytes >> 20 > ENVIRONMENT_GUESS_MB)
        environment_count_memory(env, (int)(bytes >> 20));
    list_append(&h->spares[env->kind].ready, &env->link);
    atomic_fetch_add(&runtime.spares, 1);
    spares_refill_soon(h);
}

// It did not start, or it ended while it waited.
void spare_failed(struct environment *env)
{
    struct home *h = env->home;

    h->spares[env->kind].n--;
    if (env->state == ENV_SPARE && list_linked(&env->link)) {
        list_remove(&env->link);
        atomic_fetch_sub(&runtime.spares, 1);
    } else {
        h->spares_starting--;
    }
    if (++h->spare_failures == 3)
        log_warn("spare environments do not stay: cold starts are slower until they do");
    spares_refill_soon(h);
}
