// invocation.c - the caller's side: submit, complete, finish.
//
// Invariant: every submitted invocation is completed exactly once, whoever failed on the way.

#include "runtime/runtime_impl.h"

#include "base/timefmt.h"
#include "base/uuid.h"
#include "os/random.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

const struct aws_error runtime_too_many_requests = {"TooManyRequestsException", NULL, 429, true};
const struct aws_error runtime_service_exception = {"ServiceException", NULL, 500, false};
static const struct aws_error invalid_runtime = {"InvalidRuntimeException", NULL, 502, false};

const char *invocation_why_name(enum invocation_why why)
{
    static const char *const names[] = {"", "first", "busy", "updated", "idle", "budget", "failed"};

    return names[why];
}

#define LIST_TASK_INV(t)                                                                           \
    ((struct invocation *)(void *)((char *)(t)-offsetof(struct invocation, task)))

// The last step, on inv->loop. What was not streamed reaches a sink here.
static void deliver(struct invocation *inv)
{
    if (inv->sink && inv->status == INVOCATION_OK && !inv->sink_begun) {
        inv->sink_begun = true;
        inv->sink->begin(inv, inv->content_type);
        if (inv->response.len > 0)
            inv->sink->write(inv, inv->response);
    }
    inv->done(inv);
}

static void run_done(struct loop_task *t)
{
    deliver(LIST_TASK_INV(t));
}

static void give_back(struct invocation *inv)
{
    if (inv->held_limit)
        limit_give(inv->held_limit, (enum limit_hold)inv->held);
    inv->held_limit = NULL;
    atomic_fetch_sub(&runtime.invocations, 1);
}

static uint32_t us_between(uint64_t from_ns, uint64_t to_ns)
{
    if (from_ns == 0 || to_ns <= from_ns)
        return 0;
    return (uint32_t)((to_ns - from_ns) / 1000);
}

void invocation_complete(struct invocation *inv)
{
    uint64_t now = (uint64_t)os_mono_ns();
    struct pool *p = inv->function ? atomic_load(&inv->function->pool) : NULL;

    if (inv->answered_ns == 0)
        inv->answered_ns = now;
    inv->times.handler_us = us_between(inv->sent_ns, inv->answered_ns);
    inv->times.response_us = us_between(inv->answered_ns, now);
    inv->times.total_us = us_between(inv->submitted_ns, now);
    inv->executed_version = inv->function->version;
    if (str_is_null(inv->content_type))
        inv->content_type = STR("application/json");
    if (str_is_null(inv->response))
        inv->response = buf_str(&inv->response_buf);
    if (p)
        pool_count(p, inv);
    give_back(inv);
    inv->task.run = run_done;
    if (inv->loop == loop_self() && inv->sent_ns)
        deliver(inv);
    else
        loop_post(inv->loop, &inv->task);
}

void invocation_fail(struct invocation *inv, const struct err *err)
{
    inv->status = err->aws == &runtime_too_many_requests ? INVOCATION_THROTTLED : INVOCATION_FAILED;
    inv->err = *err;
    inv->sent_ns = 0; // done is posted: we may be inside submit
    invocation_complete(inv);
}

void invocation_set_error(struct invocation *inv, const char *type, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    inv->status = INVOCATION_FUNCTION_ERROR;
    inv->function_error = "Unhandled";
    snprintf(inv->error_type_text, sizeof(inv->error_type_text), "%s", type);
    inv->error_type = str_from(inv->error_type_text);
    buf_finish(&inv->response_buf);
    buf_init(&inv->response_buf, 4096);
    buf_addf(&inv->response_buf, "{\"errorType\":\"%s\",\"errorMessage\":\"%s\"}", type, text);
    inv->response = buf_str(&inv->response_buf);
    inv->content_type = STR("application/json");
}

void invocation_trace(char text[INVOCATION_TRACE_BYTES], bool sampled)
{
    uint64_t r[3];

    os_random(r, sizeof(r));
    snprintf(text, INVOCATION_TRACE_BYTES, "Root=1-%08x-%08x%016llx;Parent=%016llx;Sampled=%d",
             (unsigned)(os_now_ms() / 1000), (unsigned)r[2], (unsigned long long)r[0],
             (unsigned long long)r[1], sampled);
}

static void fill_trace(struct invocation *inv)
{
    if (inv->trace_id.len > 0)
        return;
    invocation_trace(inv->trace_text, inv->function->tracing_active);
    inv->trace_id = str_from(inv->trace_text);
}

static void submit_here(struct home *h, struct invocation *inv)
{
    struct err err = ERR_INIT;
    enum limit_hold held;
    struct pool *p;
    int r = 0;

    p = pool_of(inv->function);
    if (!p) {
        err_set(&err, -ENOMEM, "out of memory");
        invocation_fail(inv, &err);
        return;
    }
    if (atomic_load(&runtime.draining)) {
        err_aws(&err, &runtime_service_exception, "Lambkin is shutting down.");
        invocation_fail(inv, &err);
        return;
    }
    if (runtime_kind(inv->function) == RUNTIME_NO_KIND) {
        err_aws(&err, &invalid_runtime, "This host cannot run the runtime %.*s.",
                STR_ARG(inv->function->runtime));
        invocation_fail(inv, &err);
        return;
    }
    r = limit_take(p->limit, &held, &err);
    if (r < 0) {
        invocation_fail(inv, &err);
        return;
    }
    inv->held_limit = p->limit;
    inv->held = (unsigned)held;
    if (inv->debug_port)
        debugger_submit(h, p, inv);
    else
        pool_submit(h, p, inv);
}

static void run_submit(struct loop_task *t)
{
    struct invocation *inv = LIST_TASK_INV(t);

    submit_here(runtime.homes[loop_index(inv->loop)], inv);
}

void invocation_submit(struct invocation *inv)
{
    struct home *h = home_here();
    uint8_t random[16];

    inv->submitted_ns = (uint64_t)os_mono_ns();
    inv->started_ms = os_now_ms();
    function_config_ref(inv->function);
    atomic_fetch_add(&runtime.invocations, 1);
    buf_init(&inv->response_buf, FUNCTION_MAX_RESPONSE_BYTES + 1);
    if (str_is_null(inv->request_id)) {
        os_random(random, sizeof(random));
        uuid_format(random, inv->id_text);
        inv->request_id = (struct str){inv->id_text, UUID_CHARS};
    }
    if (str_is_null(inv->payload))
        inv->payload = STR("");
    fill_trace(inv);
    if (!inv->loop)
        inv->loop = h ? h->loop : loop_at(atomic_fetch_add(&runtime.next_home, 1) % loops_count());
    if (h && inv->loop == h->loop) {
        submit_here(h, inv);
        return;
    }
    inv->task.run = run_submit;
    loop_post(inv->loop, &inv->task);
}

void invocation_finish(struct invocation *inv)
{
    buf_finish(&inv->response_buf);
    free(inv->tail_mem);
    inv->tail_mem = NULL;
    function_config_unref(inv->function);
    inv->function = NULL;
}
