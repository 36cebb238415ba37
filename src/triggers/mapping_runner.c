// mapping_runner.c - which mappings run, and what the Lambda service is told of them.
//
//            create, enable                    disable, delete, change
//   stored ────────────────▶ running (open) ─────────────────────────────▶ closing
//      ▲                                                                      │ mapping_closed()
//      └── reported Disabled / absent (deleted) / opened again (changed) ◀────┘
//
// The stored records are the truth: every change makes the runner look at them again and open or
// close until what runs is what they say. reconcile() does that, on one worker at a time.

#include "triggers/mapping_runner.h"

#include "base/map.h"
#include "os/log.h"
#include "os/worker.h"
#include "store/store.h"
#include "triggers/event_source.h"
#include "wire/gen/lambda.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#define MAX_MAPPINGS_BYTES ((size_t)256 << 20)
#define MAX_MAPPING_BYTES ((size_t)8 << 20)

static const struct event_source_ops *const sources[] = {&sqs_source};

static struct {
    pthread_mutex_t lock;
    struct engine *engine;
    struct map running; // uuid -> struct mapping, closing ones included
    bool reconciling, again, draining, started;
    struct work work;
    atomic_uint busy;
} runner = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct engine *mapping_engine(void)
{
    return runner.engine;
}

void mapping_batch_begins(void)
{
    atomic_fetch_add(&runner.busy, 1);
}

void mapping_batch_ended(void)
{
    atomic_fetch_sub(&runner.busy, 1);
}

// ---- settings
// ------------------------------------------------------------------------------------

static const struct event_source_ops *source_for(struct str arn)
{
    struct str service = STR_NULL;

    for (int i = 0; i < 3; i++)
        if (!str_next(&arn, ':', &service))
            return NULL;
    for (size_t i = 0; i < ARRAY_LEN(sources); i++)
        if (str_eq(service, str_from(sources[i]->service)))
            return sources[i];
    return NULL;
}

typedef const struct lambda_event_source_mapping_configuration mapping_config;

static struct str fingerprint(struct arena *a, mapping_config *c)
{
    struct buf b;

    buf_init(&b, MAX_MAPPING_BYTES);
    buf_addf(&b, "%.*s|%.*s|%lld|%lld|%lld|", STR_ARG(c->event_source_arn),
             STR_ARG(c->function_arn), (long long)c->batch_size,
             (long long)c->maximum_batching_window_in_seconds,
             (long long)(c->scaling_config ? c->scaling_config->maximum_concurrency : 0));
    for (size_t i = 0; i < c->function_response_types.n; i++)
        buf_addf(&b, "%.*s|", STR_ARG(c->function_response_types.ptr[i]));
    for (size_t i = 0; c->filter_criteria && i < c->filter_criteria->filters.n; i++)
        buf_addf(&b, "%.*s|", STR_ARG(c->filter_criteria->filters.ptr[i].pattern));
    struct str s = arena_str(a, buf_str(&b));
    buf_finish(&b);
    return s;
}

static int compile_filters(struct mapping *m, mapping_config *c, struct err *err)
{
    for (size_t i = 0; c->filter_criteria && i < c->filter_criteria->filters.n; i++) {
        struct str text = arena_str(&m->arena, c->filter_criteria->filters.ptr[i].pattern);
        if (m->n_filters == MAPPING_MAX_FILTERS)
            return err_set(err, -E2BIG, "more than %d filters", MAPPING_MAX_FILTERS);
        int r = event_pattern_compile(&m->arena, text, &m->filters[m->n_filters], err);
        if (r < 0)
            return r;
        m->filter_text[m->n_filters++] = text;
    }
    return 0;
}

static void mapping_free(struct mapping *m)
{
    arena_finish(&m->arena);
    free(m);
}

static int mapping_new(const struct lambda_mapping *from, struct mapping **out, struct err *err)
{
    mapping_config *c = from->config;
    struct mapping *m = calloc(1, sizeof(*m));

    if (!m)
        return err_set(err, -ENOMEM, "out of memory");
    arena_init(&m->arena, MAX_MAPPING_BYTES);
    m->uuid = arena_str(&m->arena, from->uuid);
    m->account = arena_str(&m->arena, from->account);
    m->region = arena_str(&m->arena, from->region);
    m->source_arn = arena_str(&m->arena, c->event_source_arn);
    m->function_arn = arena_str(&m->arena, c->function_arn);
    m->batch_size = c->has_batch_size && c->batch_size > 0 ? (unsigned)c->batch_size : 10;
    m->window_ms = (unsigned)c->maximum_batching_window_in_seconds * 1000;
    if (c->scaling_config && c->scaling_config->has_maximum_concurrency)
        m->maximum_concurrency = (unsigned)c->scaling_config->maximum_concurrency;
    for (size_t i = 0; i < c->function_response_types.n; i++)
        if (str_eq(c->function_response_types.ptr[i], STR("ReportBatchItemFailures")))
            m->report_item_failures = true;
    m->fingerprint = fingerprint(&m->arena, c);
    m->ops = source_for(m->source_arn);
    int r = m->ops ? compile_filters(m, c, err)
                   : err_set(err, -ENOTSUP, "no such event source: %.*s", STR_ARG(m->source_arn));
    if (r < 0) {
        mapping_free(m);
        return r;
    }
    *out = m;
    return 0;
}

bool mapping_wants(const struct mapping *m, const struct json_value *record)
{
    for (unsigned i = 0; i < m->n_filters; i++)
        if (event_pattern_match(m->filters[i], record))
            return true;
    return m->n_filters == 0;
}

void mapping_report(struct mapping *m, enum mapping_result result, const char *problem)
{
    static const char *const texts[] = {
        [MAPPING_NOTHING_YET] = "No records processed",
        [MAPPING_OK] = "OK",
        [MAPPING_FUNCTION_FAILED] = "PROBLEM: Function call failed",
        [MAPPING_PROBLEM] = "PROBLEM",
    };
    struct err err = ERR_INIT;
    char text[300];

    pthread_mutex_lock(&runner.lock);
    bool closing = m->closing;
    pthread_mutex_unlock(&runner.lock);
    if (closing || atomic_exchange(&m->last_result, (int)result) == (int)result)
        return;
    if (problem)
        snprintf(text, sizeof(text), "PROBLEM: %s", problem);
    if (lambda_mapping_report(runner.engine, m->uuid, STR("Enabled"),
                              str_from(problem ? text : texts[result]), &err) < 0)
        log_warn("mapping %.*s: %s", STR_ARG(m->uuid), err.message);
}

// ---- what runs is what is stored
// ------------------------------------------------------------------

static bool is(struct str state, const char *name)
{
    return str_eq(state, str_from(name));
}

static void report_state(struct str uuid, struct str state)
{
    struct err err = ERR_INIT;

    if (lambda_mapping_report(runner.engine, uuid, state, STR_NULL, &err) < 0)
        log_warn("mapping %.*s: %s", STR_ARG(uuid), err.message);
}

static void open_mapping(const struct lambda_mapping *stored)
{
    struct err err = ERR_INIT;
    struct mapping *m = NULL;

    int r = mapping_new(stored, &m, &err);
    if (r == 0) {
        r = m->ops->open(m, &m->source, &err);
        if (r < 0)
            mapping_free(m);
    }
    if (r < 0) {
        log_warn("mapping %.*s does not run: %s", STR_ARG(stored->uuid), err.message);
        return;
    }
    pthread_mutex_lock(&runner.lock);
    if (map_set(&runner.running, m->uuid, m, NULL) < 0)
        m->closing = true;
    pthread_mutex_unlock(&runner.lock);
    if (m->closing)
        m->ops->close(m->source);
    else if (!is(stored->config->state, "Enabled"))
        report_state(stored->uuid, STR("Enabled"));
}

static void close_mapping(struct mapping *m)
{
    bool close;

    pthread_mutex_lock(&runner.lock);
    close = !m->closing;
    m->closing = true;
    pthread_mutex_unlock(&runner.lock);
    if (close)
        m->ops->close(m->source);
}

static void reconcile_one(const struct lambda_mapping *stored)
{
    struct str state = stored->config->state;
    bool wanted = is(state, "Creating") || is(state, "Enabling") || is(state, "Enabled") ||
                  is(state, "Updating");
    struct arena a;

    pthread_mutex_lock(&runner.lock);
    struct mapping *m = map_get(&runner.running, stored->uuid);
    pthread_mutex_unlock(&runner.lock);
    if (!m) {
        if (wanted)
            open_mapping(stored);
        else if (is(state, "Disabling"))
            report_state(stored->uuid, STR("Disabled"));
        else if (is(state, "Deleting"))
            report_state(stored->uuid, STR_NULL);
        return;
    }
    arena_init(&a, MAX_MAPPING_BYTES);
    if (!wanted || !str_eq(m->fingerprint, fingerprint(&a, stored->config)))
        close_mapping(m); // looked at again when it is closed
    else if (!is(state, "Enabled") && !m->closing)
        report_state(stored->uuid, STR("Enabled"));
    arena_finish(&a);
}

static void close_vanished(const struct lambda_mapping *stored, size_t n)
{
    struct mapping *gone[64];
    const struct map_entry *entry;
    unsigned n_gone = 0;
    size_t at = 0;

    pthread_mutex_lock(&runner.lock);
    while (n_gone < ARRAY_LEN(gone) && (entry = map_next(&runner.running, &at))) {
        size_t i = 0;
        while (i < n && !str_eq(stored[i].uuid, entry->key))
            i++;
        if (i == n)
            gone[n_gone++] = entry->value;
    }
    pthread_mutex_unlock(&runner.lock);
    for (unsigned i = 0; i < n_gone; i++)
        close_mapping(gone[i]);
}

static void reconcile_all(void)
{
    struct lambda_mapping *stored;
    struct err err = ERR_INIT;
    struct arena a;
    size_t n = 0;

    arena_init(&a, MAX_MAPPINGS_BYTES);
    if (lambda_mappings(runner.engine, &a, &stored, &n, &err) < 0) {
        log_error("event source mappings: %s", err.message);
    } else {
        for (size_t i = 0; i < n; i++)
            reconcile_one(&stored[i]);
        close_vanished(stored, n);
    }
    arena_finish(&a);
}

static void reconcile_work(struct work *w)
{
    (void)w;
    for (;;) {
        reconcile_all();
        pthread_mutex_lock(&runner.lock);
        bool again = runner.again && !runner.draining;
        runner.again = false;
        runner.reconciling = again;
        pthread_mutex_unlock(&runner.lock);
        if (!again)
            break;
    }
    mapping_batch_ended();
}

static void reconcile(void)
{
    pthread_mutex_lock(&runner.lock);
    bool submit = runner.started && !runner.reconciling && !runner.draining;
    if (submit)
        runner.reconciling = true;
    else
        runner.again = true;
    pthread_mutex_unlock(&runner.lock);
    if (submit) {
        mapping_batch_begins();
        runner.work = (struct work){.run = reconcile_work};
        work_submit(&runner.work);
    }
}

void mapping_closed(struct mapping *m)
{
    pthread_mutex_lock(&runner.lock);
    if (map_get(&runner.running, m->uuid) == m)
        map_remove(&runner.running, m->uuid);
    pthread_mutex_unlock(&runner.lock);
    mapping_free(m);
    reconcile();
}

// ---- life
// ----------------------------------------------------------------------------------------

static void changed(void *ctx, struct str uuid)
{
    (void)ctx;
    (void)uuid;
    reconcile();
}

int mapping_runner_register(struct engine *e)
{
    runner.engine = e;
    lambda_set_mappings_changed(changed, NULL);
    sqs_source_register();
    return 0;
}

int mapping_runner_start(struct engine *e, struct err *err)
{
    (void)err;
    runner.engine = e;
    runner.started = true;
    reconcile();
    return 0;
}

void mapping_runner_drain(void)
{
    const struct map_entry *entry;
    size_t at = 0;

    pthread_mutex_lock(&runner.lock);
    runner.draining = true;
    while ((entry = map_next(&runner.running, &at))) {
        struct mapping *m = entry->value;
        m->ops->pause(m->source);
    }
    pthread_mutex_unlock(&runner.lock);
}

unsigned mapping_runner_busy(void)
{
    return atomic_load(&runner.busy);
}

// What still runs is freed with the process: the drain's time was over.
void mapping_runner_stop(void)
{
    runner.started = false;
}
