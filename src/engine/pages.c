// pages.c - what operators and their tools look at: health and metrics.
//
// Written on a worker, because what they show is behind locks that requests hold as well.
#include "engine/engine_impl.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "os/time.h"
#include "runtime/runtime.h"
#include "sandbox/client.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_PAGE_BYTES ((size_t)8 << 20)

struct page {
    struct engine *engine;
    struct http_request *req;
    void (*write)(struct page *p);
    struct str content_type;
    struct buf out;
    struct work work;
};

static void write_isolation(struct json_writer *w)
{
    struct keeper_client *keeper = runtime_keeper();
    struct keeper_status s = {0};

    jw_key(w, STR("isolation"));
    jw_object_begin(w);
    if (keeper)
        keeper_degree(keeper, &s);
    jw_member_bool(w, "connected", s.connected);
    if (s.connected) {
        jw_member_str(w, "asked", str_from(sandbox_degree_name(s.asked)));
        jw_member_bool(w, "complete", s.complete);
        jw_member_str(w, "cgroup", str_from(s.cgroup));
        jw_member_bool(w, "mounts", s.mounts);
        jw_member_bool(w, "pids", s.pids);
        jw_member_bool(w, "network", s.net);
        jw_member_bool(w, "users", s.users);
        jw_member_bool(w, "seccomp", s.seccomp);
        jw_member_bool(w, "landlock", s.landlock);
        jw_member_bool(w, "memory", s.cgroup_memory);
        jw_member_bool(w, "cpu", s.cgroup_cpu);
        jw_member_bool(w, "processes", s.cgroup_pids);
        jw_member_bool(w, "io", s.cgroup_io);
        jw_member_bool(w, "freezer", s.freezer);
        jw_member_str(w, "missing", str_from(s.missing));
    }
    jw_object_end(w);
}

static void write_services(struct engine *e, struct json_writer *w)
{
    jw_key(w, STR("services"));
    jw_object_begin(w);
    for (unsigned i = 0; i < e->n_slots; i++)
        jw_member_str(w, e->slots[i].service->wire->name, STR("running"));
    jw_object_end(w);
}

static void write_health(struct page *p)
{
    struct engine *e = p->engine;
    struct json_writer w = json_writer(&p->out);
    struct runtime_summary s = runtime_summary();

    jw_object_begin(&w);
    jw_member_str(&w, "status",
                  atomic_load(&e->draining) ? STR("draining")
                  : s.keeper_up             ? STR("running")
                                            : STR("degraded"));
    jw_member_str(&w, "version", str_from(e->config.version));
    jw_member_i64(&w, "uptime_ms", os_now_ms() - e->started_ms);
    jw_member_str(&w, "region", str_from(e->config.region));
    jw_member_str(&w, "account", str_from(e->config.account));
    jw_member_bool(&w, "auth", !e->config.no_auth);
    write_services(e, &w);
    write_isolation(&w);
    jw_key(&w, STR("environments"));
    jw_object_begin(&w);
    jw_member_i64(&w, "total", s.environments);
    jw_member_i64(&w, "spares", s.spares);
    jw_member_i64(&w, "snapshots", s.snapshots);
    jw_member_i64(&w, "running", s.running);
    jw_member_i64(&w, "waiting", s.waiting);
    jw_object_end(&w);
    jw_member_i64(&w, "calls", engine_busy(e));
    jw_member_i64(&w, "parked", engine_parked(e));
    for (unsigned i = 0; i < e->n_health; i++)
        e->health[i].health(e->health[i].ctx, &w);
    jw_object_end(&w);
    buf_add_char(&p->out, '\n');
}

// The shape that tools made for LocalStack look for.
static void write_localstack_health(struct page *p)
{
    struct json_writer w = json_writer(&p->out);

    jw_object_begin(&w);
    write_services(p->engine, &w);
    jw_member_str(&w, "edition", STR("lambkin"));
    jw_member_str(&w, "version", str_from(p->engine->config.version));
    jw_object_end(&w);
    buf_add_char(&p->out, '\n');
}

static void write_operations(struct engine *e, struct buf *out)
{
    buf_add(out, STR("# HELP lambkin_calls_total Calls of AWS operations.\n"
                     "# TYPE lambkin_calls_total counter\n"));
    for (unsigned i = 0; i < e->n_slots; i++) {
        const struct wire_service *w = e->slots[i].service->wire;
        for (unsigned k = 0; k <= w->n_operations; k++) {
            struct op_counters *o = &e->slots[i].counters[k];
            unsigned long long calls = atomic_load(&o->calls);
            unsigned long long bad = atomic_load(&o->client_errors);
            unsigned long long failed = atomic_load(&o->server_errors);
            const char *op = k < w->n_operations ? w->operations[k].name : "";
            if (calls == 0)
                continue;
            unsigned long long good = calls > bad + failed ? calls - bad - failed : 0;
            const unsigned long long values[] = {good, bad, failed};
            static const char *const results[] = {"ok", "client_error", "server_error"};
            for (int v = 0; v < 3; v++)
                if (values[v] > 0)
                    buf_addf(out,
                             "lambkin_calls_total{service=\"%s\",operation=\"%s\",result=\"%s\"} "
                             "%llu\n",
                             w->name, op, results[v], values[v]);
        }
    }
}

// Function names and versions hold nothing that Prometheus would have to escape.
static void add_labels(struct buf *out, const struct runtime_function_metrics *m)
{
    buf_addf(out, "account=\"%.*s\",region=\"%.*s\",function=\"%.*s\",version=\"%.*s\"",
             STR_ARG(m->account), STR_ARG(m->region), STR_ARG(m->name), STR_ARG(m->version));
}

static void add_counter(struct buf *out, const char *name, const char *label,
                        const struct runtime_function_metrics *m, uint64_t value)
{
    buf_addf(out, "lambkin_function_%s{", name);
    add_labels(out, m);
    buf_addf(out, "%s} %llu\n", label, (unsigned long long)value);
}

static void add_histogram(struct buf *out, const char *part,
                          const struct runtime_function_metrics *m,
                          const struct runtime_histogram *h)
{
    uint64_t sum = 0;

    if (h->count == 0)
        return;
    for (unsigned b = 0; b < RUNTIME_HISTOGRAM_BUCKETS; b++) {
        uint64_t bound = runtime_histogram_bound_us(b);
        sum += h->counts[b];
        buf_addf(out, "lambkin_function_seconds_bucket{part=\"%s\",", part);
        add_labels(out, m);
        if (bound == UINT64_MAX)
            buf_addf(out, ",le=\"+Inf\"} %llu\n", (unsigned long long)sum);
        else
            buf_addf(out, ",le=\"%g\"} %llu\n", (double)bound / 1e6, (unsigned long long)sum);
    }
    buf_addf(out, "lambkin_function_seconds_sum{part=\"%s\",", part);
    add_labels(out, m);
    buf_addf(out, "} %.6f\n", (double)h->sum_us / 1e6);
    buf_addf(out, "lambkin_function_seconds_count{part=\"%s\",", part);
    add_labels(out, m);
    buf_addf(out, "} %llu\n", (unsigned long long)h->count);
}

static void add_function(void *ctx, const struct runtime_function_metrics *m)
{
    static const char *const starts[] = {",start=\"warm\"",   ",start=\"thawed\"",
                                         ",start=\"waited\"", ",start=\"restored\"",
                                         ",start=\"spare\"",  ",start=\"cold\""};
    struct buf *out = ctx;

    add_counter(out, "invocations_total", "", m, m->invocations);
    add_counter(out, "errors_total", "", m, m->errors);
    add_counter(out, "throttles_total", "", m, m->throttles);
    add_counter(out, "timeouts_total", "", m, m->timeouts);
    add_counter(out, "init_failures_total", "", m, m->init_failures);
    for (size_t i = 0; i < ARRAY_LEN(starts); i++)
        add_counter(out, "starts_total", starts[i], m, m->starts[i]);
    for (unsigned i = INVOCATION_WHY_FIRST; i < INVOCATION_WHYS; i++) {
        char label[32];
        if (m->whys[i] == 0)
            continue;
        snprintf(label, sizeof(label), ",why=\"%s\"", invocation_why_name((enum invocation_why)i));
        add_counter(out, "cold_starts_total", label, m, m->whys[i]);
    }
    if (m->prewarm_starts > 0) {
        add_counter(out, "prewarm_starts_total", "", m, m->prewarm_starts);
        add_counter(out, "prewarm_hits_total", "", m, m->prewarm_hits);
        add_counter(out, "prewarm_wasted_total", "", m, m->prewarm_wasted);
    }
    if (m->provisioned > 0 || m->in_provisioned > 0) {
        add_counter(out, "provisioned", "", m, m->provisioned);
        add_counter(out, "provisioned_invocations_total", "", m, m->in_provisioned);
        add_counter(out, "provisioned_spillover_total", "", m, m->spilled);
    }
    add_counter(out, "environments", ",state=\"idle\"", m, m->idle);
    add_counter(out, "environments", ",state=\"busy\"", m, m->busy);
    add_counter(out, "environments", ",state=\"frozen\"", m, m->frozen);
    add_counter(out, "environments", ",state=\"starting\"", m, m->starting);
    add_counter(out, "waiting", "", m, m->waiting);
    add_histogram(out, "total", m, &m->total);
    add_histogram(out, "queue", m, &m->queue);
    add_histogram(out, "environment", m, &m->environment);
    add_histogram(out, "code", m, &m->code);
    add_histogram(out, "init", m, &m->init);
    add_histogram(out, "handler", m, &m->handler);
    add_histogram(out, "response", m, &m->response);
}

static void write_metrics(struct page *p)
{
    struct engine *e = p->engine;
    struct runtime_summary s = runtime_summary();

    write_operations(e, &p->out);
    buf_addf(&p->out,
             "lambkin_environments %u\nlambkin_spares %u\nlambkin_snapshots %u\n"
             "lambkin_invocations_running %u\n"
             "lambkin_invocations_waiting %u\nlambkin_calls_parked %u\n"
             "lambkin_workers_waiting %u\n",
             s.environments, s.spares, s.snapshots, s.running, s.waiting, engine_parked(e),
             workers_waiting());
    runtime_metrics(add_function, &p->out);
    for (unsigned i = 0; i < e->n_metrics; i++)
        e->metrics[i].metrics(e->metrics[i].ctx, &p->out);
}

static void page_run(struct work *w)
{
    struct page *p = (struct page *)(void *)((char *)w - offsetof(struct page, work));

    p->write(p);
}

static void page_done(struct work *w)
{
    struct page *p = (struct page *)(void *)((char *)w - offsetof(struct page, work));
    struct buf out = p->out;

    if (out.failed)
        http_respond_text(p->req, 500, STR("text/plain"), STR("the page is too long\n"));
    else
        http_respond_text(p->req, 200, p->content_type, buf_str(&out));
    buf_finish(&out);
}

bool pages_take(struct engine *e, struct http_request *req)
{
    static const struct {
        const char *path;
        void (*write)(struct page *p);
        const char *content_type;
    } pages[] = {
        {"/_lambkin/health", write_health, "application/json"},
        {"/_localstack/health", write_localstack_health, "application/json"},
        {"/_lambkin/metrics", write_metrics, "text/plain; version=0.0.4"},
    };

    if (req->path.len < 3 || req->path.ptr[1] != '_')
        return false;
    for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
        if (!str_eq(req->path, str_from(pages[i].path)))
            continue;
        if (!str_eq(req->method, STR("GET")) && !str_eq(req->method, STR("HEAD"))) {
            http_respond_text(req, 405, STR("text/plain"), STR("GET only\n"));
            return true;
        }
        struct page *p = arena_new(&req->arena, struct page);
        if (!p) {
            http_respond_text(req, 500, STR("text/plain"), STR("out of memory\n"));
            return true;
        }
        p->engine = e;
        p->req = req;
        p->write = pages[i].write;
        p->content_type = str_from(pages[i].content_type);
        buf_init(&p->out, MAX_PAGE_BYTES);
        p->work = (struct work){.run = page_run, .done = page_done, .loop = req->loop};
        work_submit(&p->work);
        return true;
    }
    return false;
}
