// request_trace.c - see request_trace.h.

#include "services/gateway/request_trace.h"

#include "base/cleanup.h"
#include "base/percent.h"
#include "engine/engine.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct request_trace ring[REQUEST_TRACES];
static uint64_t n_added;

void request_trace_text(char *to, size_t room, struct str s)
{
    size_t n = s.len < room - 1 ? s.len : room - 1;

    if (n > 0)
        memcpy(to, s.ptr, n);
    to[n] = 0;
}

void request_trace_function(struct request_trace *t, const struct lambda_proxy *p)
{
    request_trace_text(t->function, sizeof(t->function), p->function);
    t->function_us = p->times.handler_us;
    t->init_us = p->times.init_us;
    t->start = (uint8_t)p->start;
}

void request_trace_add(const struct request_trace *t)
{
    pthread_mutex_lock(&lock);
    ring[n_added++ % REQUEST_TRACES] = *t;
    pthread_mutex_unlock(&lock);
}

static uint32_t gateway_us(const struct request_trace *t)
{
    uint32_t others = t->authorizer_us + t->integration_us;

    return t->total_us > others ? t->total_us - others : 0;
}

// ---- Server-Timing
// -------------------------------------------------------------------------------

static struct str timing(struct arena *a, struct str before, const char *name, uint32_t us)
{
    if (us == 0)
        return before;
    return arena_printf(a, "%.*s%s%s;dur=%u.%03u", STR_ARG(before), before.len > 0 ? ", " : "",
                        name, us / 1000, us % 1000);
}

void request_trace_header(const struct http_request *r, const struct request_trace *t,
                          struct arena *a, struct http_header *headers, unsigned *n)
{
    if (!http_header_get(r, STR("x-lambkin-timing")).ptr)
        return;
    struct str all = timing(a, STR(""), "gateway", gateway_us(t));
    all = timing(a, all, "authorizer", t->authorizer_us);
    all = timing(a, all, "integration", t->integration_us);
    all = timing(a, all, "function", t->function_us);
    all = timing(a, all, "init", t->init_us);
    headers[(*n)++] = (struct http_header){STR("server-timing"), all};
}

// ---- the page
// ----------------------------------------------------------------------------------------

static void write_trace(struct json_writer *w, const struct request_trace *t)
{
    static const char *const starts[] = {"warm", "thawed", "waited", "restored", "spare", "cold"};

    jw_object_begin(w);
    jw_member_str(w, "requestId", str_from(t->id));
    jw_key(w, STR("time"));
    jw_epoch_ms(w, t->at_ms);
    jw_member_str(w, "method", str_from(t->method));
    jw_member_str(w, "where", str_from(t->where));
    if (t->route[0])
        jw_member_str(w, "route", str_from(t->route));
    jw_member_i64(w, "status", t->status);
    jw_member_i64(w, "totalUs", t->total_us);
    jw_member_i64(w, "gatewayUs", gateway_us(t));
    if (t->authorizer_us > 0)
        jw_member_i64(w, "authorizerUs", t->authorizer_us);
    if (t->integration_us > 0)
        jw_member_i64(w, "integrationUs", t->integration_us);
    if (t->function[0])
        jw_member_str(w, "function", str_from(t->function));
    if (t->function_us > 0) {
        jw_member_i64(w, "functionUs", t->function_us);
        jw_member_str(w, "start", str_from(starts[t->start % ARRAY_LEN(starts)]));
    }
    if (t->init_us > 0)
        jw_member_i64(w, "initUs", t->init_us);
    jw_object_end(w);
}

// The newest first; those of one request id when ?id= says so.
static int write_traces(struct call *c, struct json_writer *w, struct err *err)
{
    struct str id = STR_NULL;

    if (percent_query_get(c->arena, c->http->query, STR("id"), &id) <= 0)
        id = STR_NULL;
    // A copy: writing JSON under the lock would hold requests up.
    struct request_trace *copy = malloc(sizeof(ring));
    pthread_mutex_lock(&lock);
    uint64_t n = n_added;
    if (copy)
        memcpy(copy, ring, sizeof(ring));
    pthread_mutex_unlock(&lock);
    if (!copy)
        return err_set(err, -ENOMEM, "out of memory");
    jw_key(w, STR("requests"));
    jw_array_begin(w);
    for (uint64_t i = n; i > 0 && n - i < REQUEST_TRACES; i--) {
        const struct request_trace *t = &copy[(i - 1) % REQUEST_TRACES];
        if (!id.ptr || str_eq(id, str_from(t->id)))
            write_trace(w, t);
    }
    jw_array_end(w);
    free(copy);
    return 0;
}

int request_trace_register(struct engine *e, struct err *err)
{
    static const struct engine_operator_page page = {"GET", "/_lambkin/traces", write_traces};

    return engine_add_operator_page(e, &page, err);
}
