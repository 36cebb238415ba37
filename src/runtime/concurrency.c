// concurrency.c - reserved concurrency and the account's limit.
//
// Invariant: what limit_take() counted, limit_give() with the same hold takes back, whatever was
// reserved or freed meanwhile. Counters may overshoot for an instant; nobody is let in by that.

#include "base/arena.h"
#include "runtime/runtime_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static struct limit *find_or_make(const char *key)
{
    struct limit *l = map_get(&runtime.limits, str_from(key));

    if (l)
        return l;
    l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    l->key = strdup(key);
    if (!l->key || map_set(&runtime.limits, str_from(l->key), l, NULL) < 0) {
        free(l->key);
        free(l);
        return NULL;
    }
    return l;
}

struct limit *limit_of(struct str account, struct str region, struct str name)
{
    char key[512];
    struct limit *of_account, *l = NULL;

    if (account.len + region.len + name.len + 3 > sizeof(key))
        return NULL;
    pthread_mutex_lock(&runtime.pools_lock);
    snprintf(key, sizeof(key), "%.*s/%.*s", STR_ARG(account), STR_ARG(region));
    of_account = find_or_make(key);
    if (of_account) {
        snprintf(key, sizeof(key), "%.*s/%.*s/%.*s", STR_ARG(account), STR_ARG(region),
                 STR_ARG(name));
        l = find_or_make(key);
        if (l && !l->account) {
            atomic_store(&l->reserved, -1);
            l->account = of_account;
        }
    }
    pthread_mutex_unlock(&runtime.pools_lock);
    return l;
}

static int throttled(const char *reason, struct err *err)
{
    err_aws(err, &runtime_too_many_requests, "Rate Exceeded.");
    err_field(err, "Reason", "%s", reason);
    return -EBUSY;
}

int limit_take(struct limit *l, enum limit_hold *held, struct err *err)
{
    int reserved = atomic_load(&l->reserved), room;

    *held = LIMIT_NONE;
    if (reserved >= 0) {
        if (atomic_fetch_add(&l->in_flight, 1) >= reserved) {
            atomic_fetch_sub(&l->in_flight, 1);
            return throttled(RUNTIME_REASON_RESERVED, err);
        }
        *held = LIMIT_FUNCTION;
        return 0;
    }
    room = (int)runtime.config.account_concurrency - atomic_load(&l->account->reserved);
    if (atomic_fetch_add(&l->account->in_flight, 1) >= room) {
        atomic_fetch_sub(&l->account->in_flight, 1);
        return throttled(RUNTIME_REASON_ACCOUNT, err);
    }
    atomic_fetch_add(&l->in_flight, 1);
    *held = LIMIT_BOTH;
    return 0;
}

void limit_give(struct limit *l, enum limit_hold held)
{
    if (held != LIMIT_NONE)
        atomic_fetch_sub(&l->in_flight, 1);
    if (held == LIMIT_BOTH)
        atomic_fetch_sub(&l->account->in_flight, 1);
}

#define SCALING_NS (10 * 1000000000LL) // AWS: so many environments in ten seconds

// A bucket that holds the rate and fills up in ten seconds, kept as the moment when it is full.
bool limit_scale(struct limit *l)
{
    int64_t each = SCALING_NS / runtime.config.scaling_rate, now = os_mono_ns();
    int64_t used = atomic_load(&l->scaled_ns), next;

    do {
        next = (used > now ? used : now) + each;
        if (next - now > SCALING_NS)
            return false;
    } while (!atomic_compare_exchange_weak(&l->scaled_ns, &used, next));
    return true;
}

void limit_scaling_throttle(const struct limit *l, struct err *err)
{
    throttled(atomic_load(&l->reserved) >= 0 ? RUNTIME_REASON_RESERVED_SCALING
                                             : RUNTIME_REASON_SCALING,
              err);
}

int runtime_reserve(struct str account, struct str region, struct str name, int reserved,
                    struct err *err)
{
    struct limit *l = limit_of(account, region, name);
    int before;

    if (!l)
        return err_set(err, -ENOMEM, "out of memory");
    before = atomic_exchange(&l->reserved, reserved < 0 ? -1 : reserved);
    atomic_fetch_add(&l->account->reserved,
                     (reserved < 0 ? 0 : reserved) - (before < 0 ? 0 : before));
    return 0;
}

unsigned runtime_account_limit(void)
{
    return runtime.config.account_concurrency;
}
