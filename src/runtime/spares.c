// spares.c - sandboxes that are ready before anybody needs them, by interpreter and for custom
// ones.
//
// A spare belongs to a loop and serves that loop's cold starts. Kinds that functions were made or
// invoked for are kept at `spares` each; what was taken is made again off the path: once no start
// has been under way for a moment.

#include "runtime/runtime_impl.h"

#include "os/log.h"

#define REFILL_AFTER_MS 20
#define REFILL_BUSY_MS 50
#define REFILL_FAILED_MS 5000

static void on_refill(struct loop_timer *t)
{
    struct home *h = (struct home *)(void *)((char *)t - offsetof(struct home, refill));
    struct keeper_status status = {0};

    if (atomic_load(&runtime.draining) || !h->keeper_up || !h->keeper)
        return;
    keeper_degree(h->keeper, &status);
    if (!status.inject || !status.connected)
        return;
    for (unsigned kind = 0; kind < RUNTIME_SPARE_KINDS; kind++) {
        if (!atomic_load(&h->spares_wanted[kind]) || h->n_spares[kind] >= runtime.config.spares)
            continue;
        // One at a time: each is ready before the next begins.
        if (h->spares_starting > 0) {
            loop_timer_start(h->loop, &h->refill, REFILL_BUSY_MS, on_refill);
            return;
        }
        h->n_spares[kind]++;
        h->spares_starting++;
        environment_start(h, NULL, NULL, kind, NULL, ENV_FOR_CALLS);
    }
}

static void run_refill(struct loop_task *t)
{
    struct home *h = (struct home *)(void *)((char *)t - offsetof(struct home, refill_task));

    atomic_store(&h->refill_posted, false);
    spares_refill_soon(h);
}

void spares_refill_soon(struct home *h)
{
    if (runtime.config.spares > 0 && !atomic_load(&runtime.draining))
        loop_timer_start(h->loop, &h->refill,
                         h->spare_failures > 2 ? REFILL_FAILED_MS : REFILL_AFTER_MS, on_refill);
}

void spare_want(struct home *h, unsigned kind)
{
    if (!kind_has_spares(kind) || runtime.config.spares == 0)
        return;
    if (atomic_exchange(&h->spares_wanted[kind], true))
        return;
    if (home_here() == h) {
        spares_refill_soon(h);
    } else if (!atomic_exchange(&h->refill_posted, true)) {
        h->refill_task.run = run_refill;
        loop_post(h->loop, &h->refill_task);
    }
}

struct environment *spare_take(struct home *h, unsigned kind)
{
    struct list *link;

    if (!kind_has_spares(kind) || runtime.config.spares == 0)
        return NULL;
    spare_want(h, kind);
    if (list_empty(&h->spares[kind])) {
        spares_refill_soon(h);
        return NULL;
    }
    link = list_pop(&h->spares[kind]);
    h->n_spares[kind]--;
    atomic_fetch_sub(&runtime.spares, 1);
    spares_refill_soon(h);
    return LIST_ENTRY(link, struct environment, link);
}

void spare_ready(struct environment *env)
{
    struct home *h = env->home;

    h->spare_failures = 0;
    h->spares_starting--;
    if (atomic_load(&runtime.draining)) {
        h->n_spares[env->kind]--;
        environment_kill(env);
        return;
    }
    list_append(&h->spares[env->kind], &env->link);
    atomic_fetch_add(&runtime.spares, 1);
    spares_refill_soon(h);
}

// It did not start, or it ended while it waited.
void spare_failed(struct environment *env)
{
    struct home *h = env->home;

    h->n_spares[env->kind]--;
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
