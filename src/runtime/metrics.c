// metrics.c - numbers per function version, for /_lambkin/metrics and the provisioned figures.

#include "runtime/runtime_impl.h"

uint64_t runtime_histogram_bound_us(unsigned bucket)
{
    if (bucket + 1 >= RUNTIME_HISTOGRAM_BUCKETS)
        return UINT64_MAX;
    return (uint64_t)50 << bucket;
}

void histogram_add(struct runtime_histogram *h, uint64_t us)
{
    unsigned bucket = 0;

    while (us > runtime_histogram_bound_us(bucket))
        bucket++;
    h->counts[bucket]++;
    h->count++;
    h->sum_us += us;
}

void pool_count(struct pool *p, const struct invocation *inv)
{
    bool ran = inv->sent_ns != 0;
    double us = inv->times.handler_us;

    pthread_mutex_lock(&p->lock);
    if (inv->status == INVOCATION_THROTTLED)
        p->throttles++;
    else
        p->invocations++;
    if (inv->status == INVOCATION_FUNCTION_ERROR || inv->status == INVOCATION_FAILED)
        p->errors++;
    if (str_eq(inv->error_type, STR("Sandbox.Timedout")))
        p->timeouts++;
    if (ran) {
        p->starts[inv->start]++;
        if (inv->why != INVOCATION_WHY_NONE)
            p->whys[inv->why]++;
        if (p->provision.wanted > 0) {
            p->in_provisioned += inv->provisioned;
            p->spilled += !inv->provisioned;
        }
        p->handler_us = p->handler_us > 0 ? p->handler_us * 0.8 + us * 0.2 : us;
        histogram_add(&p->total, inv->times.total_us);
        histogram_add(&p->queue, inv->times.queue_us);
        histogram_add(&p->handler, inv->times.handler_us);
        histogram_add(&p->response, inv->times.response_us);
        if (inv->start >= INVOCATION_RESTORED) {
            histogram_add(&p->environment, inv->times.environment_us);
            histogram_add(&p->code, inv->times.code_us);
            histogram_add(&p->init, inv->times.init_us);
        }
        if (inv->memory_peak_mb > p->memory_peak_mb)
            p->memory_peak_mb = inv->memory_peak_mb;
    }
    pthread_mutex_unlock(&p->lock);
}

struct each {
    void (*fn)(void *ctx, const struct runtime_function_metrics *m);
    void *ctx;
};

static void tell_one(struct pool *p, void *ctx)
{
    const struct each *each = ctx;
    struct runtime_function_metrics m = {
        .account = str_from(p->account),
        .region = str_from(p->region),
        .name = str_from(p->name),
        .version = str_from(p->version),
    };

    pthread_mutex_lock(&p->lock);
    m.invocations = p->invocations;
    m.errors = p->errors;
    m.throttles = p->throttles;
    m.timeouts = p->timeouts;
    for (unsigned i = 0; i <= INVOCATION_COLD; i++)
        m.starts[i] = p->starts[i];
    for (unsigned i = 0; i < INVOCATION_WHYS; i++)
        m.whys[i] = p->whys[i];
    m.in_provisioned = p->in_provisioned;
    m.spilled = p->spilled;
    m.prewarm_starts = p->prewarm.starts;
    m.prewarm_hits = p->prewarm.hits;
    m.prewarm_wasted = p->prewarm.wasted;
    m.init_failures = p->init_failures;
    m.frozen = p->n_frozen;
    m.idle = p->n_idle - (p->n_frozen < p->n_idle ? p->n_frozen : p->n_idle);
    m.busy = p->n_busy;
    m.starting = p->n_starting;
    m.waiting = p->n_waiting;
    m.provisioned = p->provision.wanted;
    m.memory_peak_mb = p->memory_peak_mb;
    m.total = p->total;
    m.queue = p->queue;
    m.environment = p->environment;
    m.code = p->code;
    m.init = p->init;
    m.handler = p->handler;
    m.response = p->response;
    pthread_mutex_unlock(&p->lock);
    if (m.invocations > 0 || m.throttles > 0 || m.idle + m.busy + m.starting + m.frozen > 0)
        each->fn(each->ctx, &m);
}

void runtime_metrics(void (*each)(void *ctx, const struct runtime_function_metrics *m), void *ctx)
{
    struct each e = {each, ctx};

    pools_each(tell_one, &e);
}

static void add_waiting(struct pool *p, void *ctx)
{
    pthread_mutex_lock(&p->lock);
    *(unsigned *)ctx += p->n_waiting;
    pthread_mutex_unlock(&p->lock);
}

struct runtime_summary runtime_summary(void)
{
    struct runtime_summary s = {
        .environments = atomic_load(&runtime.environments),
        .spares = atomic_load(&runtime.spares),
        .snapshots = atomic_load(&runtime.kept),
        .running = atomic_load(&runtime.invocations),
        .keeper_up = atomic_load(&runtime.keeper_up),
    };

    pools_each(add_waiting, &s.waiting);
    return s;
}
