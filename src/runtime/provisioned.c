// provisioned.c - environments that are kept initialised for a version, whether it is invoked or
// not.
//
// Invariants (under the pool's lock): provision.up counts the environments with provisioned_up,
// which were started for this purpose, are initialised and have not ended; provision.idle those of
// them that nobody uses. Others of the version are on-demand ones: they serve what spills over, and
// end when they are idle for long. A provisioned one ends only when more are up than wanted.
//
// One that ends by itself is made again. Three failures in a row are FAILED, until the number is
// set again or another keeper comes.

#include "runtime/runtime_impl.h"

#include <errno.h>
#include <stdio.h>

#define MAX_FAILURES 3

// ---- counting, under the lock ------------------------------------------------------------------

void provision_up(struct pool *p, struct environment *env)
{
    p->provision.starting--;
    p->provision.failures = 0;
    p->provision.up++;
    env->provisioned_up = true;
}

void provision_idle(struct pool *p, const struct environment *env, int more)
{
    if (env->provisioned_up)
        p->provision.idle += (unsigned)more;
}

void provision_gone(struct pool *p, struct environment *env)
{
    if (env->provisioned_up)
        p->provision.up--;
    env->provisioned_up = false;
}

bool provision_keeps(const struct pool *p, const struct environment *env)
{
    return env->provisioned_up && p->provision.up <= p->provision.wanted;
}

bool provision_surplus(const struct pool *p, const struct environment *env)
{
    return env->provisioned_up && p->provision.up > p->provision.wanted;
}

// ---- starting ----------------------------------------------------------------------------------

static bool needs_more(const struct pool *p)
{
    return p->provision.up + p->provision.starting < p->provision.wanted && !p->forgotten &&
           p->provision.failures < MAX_FAILURES && runtime_kind(p->function) != RUNTIME_NO_KIND &&
           !atomic_load(&runtime.stopping);
}

void pool_provision_more(struct pool *p)
{
    bool need;

    do {
        pthread_mutex_lock(&p->lock);
        need = needs_more(p);
        p->provision.starting += need;
        pthread_mutex_unlock(&p->lock);
        if (need)
            pool_start(p, ENV_FOR_PROVISIONED);
    } while (need);
}

// ---- what the service says ---------------------------------------------------------------------

// Idle ones that nobody pays for any more.
static void retire_surplus(struct pool *p)
{
    unsigned surplus =
        p->provision.up > p->provision.wanted ? p->provision.up - p->provision.wanted : 0;

    for (unsigned i = 0; i < runtime.n_homes; i++) {
        list_each_safe(link, &p->idle[i])
        {
            struct environment *env = LIST_ENTRY(link, struct environment, link);
            if (surplus == 0)
                return;
            if (env->provisioned_up) {
                environment_retire(env);
                surplus--;
            }
        }
    }
}

int runtime_provision(struct function_config *f, unsigned n, struct err *err)
{
    struct pool *p = pool_of(f);

    if (!p)
        return err_set(err, -ENOMEM, "out of memory");
    pthread_mutex_lock(&p->lock);
    pool_adopt(p, f);
    p->provision.wanted = n;
    p->provision.failures = 0;
    p->provision.error[0] = '\0';
    retire_surplus(p);
    pthread_mutex_unlock(&p->lock);
    pool_provision_more(p);
    return 0;
}

struct runtime_provisioned runtime_provisioned_get(const struct function_config *f)
{
    struct runtime_provisioned out = {0};
    struct pool *p;
    char key[768];

    pool_key(key, f->account, f->region, f->name, f->version);
    pthread_mutex_lock(&runtime.pools_lock);
    p = map_get(&runtime.pools, str_from(key));
    pthread_mutex_unlock(&runtime.pools_lock);
    if (!p)
        return out;
    pthread_mutex_lock(&p->lock);
    const struct provision *v = &p->provision;
    out.requested = v->wanted;
    out.allocated = v->up < v->wanted ? v->up : v->wanted;
    out.available = v->idle < v->wanted ? v->idle : v->wanted;
    if (v->wanted == 0)
        out.status = RUNTIME_PROVISION_NONE;
    else if (v->up >= v->wanted)
        out.status = RUNTIME_PROVISION_READY;
    else if (v->failures >= MAX_FAILURES)
        out.status = RUNTIME_PROVISION_FAILED;
    else
        out.status = RUNTIME_PROVISION_IN_PROGRESS;
    snprintf(out.reason, sizeof(out.reason), "%s", v->error);
    pthread_mutex_unlock(&p->lock);
    return out;
}
