// lambda_proxy.c - see lambda_proxy.h.
//
//   start ─▶ body in memory? ─no─▶ a worker reads its file ─┐
//              │ yes                                        │
//              ▼                                            ▼
//           submit: event made, function resolved, invoked ◀┘
//              │ buffered                      │ streamed
//              ▼                               ▼
//           done: result parsed, answered   sink: prelude, pieces as they come; done: end
//
// Everything but the reading of a spooled body happens on the request's loop. The proxy lives in
// the request's arena: answering the request is the last thing that is done with it. What the
// runtime holds on to (struct proxied) has memory of its own, for a function goes on after its
// time at the gateway has passed and the request was answered.

#include "services/gateway/lambda_proxy.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_PRELUDE_BYTES (1u << 20)
#define PRELUDE_TYPE STR("application/vnd.awslambda.http-integration-response")
#define PRELUDE_END_BYTES 8 // NULs after the prelude

struct proxied {
    struct invocation invocation;
    struct lambda_target target;
    struct buf payload;
    struct lambda_proxy *proxy; // NULL: nobody waits any more
    char trace[256];
    struct str trace_id; // in it
};

static void proxied_free(struct proxied *run)
{
    invocation_finish(&run->invocation);
    buf_finish(&run->payload);
    if (run->target.config)
        function_config_unref(run->target.config);
    free(run);
}

// The proxy lets go of what it runs; whoever calls this frees that.
static void release(struct lambda_proxy *p)
{
    buf_finish(&p->prelude);
    loop_timer_stop(p->event.http->loop, &p->timer);
    if (p->running)
        p->running->proxy = NULL;
    p->running = NULL;
}

static void fail(struct lambda_proxy *p, enum proxy_failure why, const char *detail)
{
    release(p);
    p->fail(p, why, detail);
}

// ---- buffered
// ------------------------------------------------------------------------------------

// The function's answer goes out. `p` is gone afterwards.
static void answer(struct lambda_proxy *p, struct http_result *r)
{
    struct http_request *req = p->event.http;

    if (p->decorate)
        p->decorate(p, r);
    if (p->finished)
        p->finished(p, r->status, r->body.len);
    const struct http_response response = {
        .status = r->status,
        .headers = r->headers,
        .n_headers = r->n_headers,
        .body = r->body,
    };
    release(p);
    http_respond(req, &response);
}

static void answer_buffered(struct lambda_proxy *p, const struct invocation *inv)
{
    struct http_result result;
    struct err err = ERR_INIT;

    p->times = inv->times;
    p->start = inv->start;
    switch (inv->status) {
    case INVOCATION_OK:
        if (http_result_parse(&p->event.http->arena, inv->response, p->format, &result, &err) < 0)
            fail(p, PROXY_MALFORMED, err.message);
        else
            answer(p, &result);
        break;
    case INVOCATION_FUNCTION_ERROR:
        fail(p, PROXY_FUNCTION_ERROR, "");
        break;
    case INVOCATION_THROTTLED:
        fail(p, PROXY_THROTTLED, inv->err.message);
        break;
    case INVOCATION_FAILED:
        fail(p, PROXY_OUR_FAULT, inv->err.message);
        break;
    }
}

static void done_buffered(struct invocation *inv)
{
    struct proxied *run = inv->user;

    if (run->proxy)
        answer_buffered(run->proxy, inv);
    proxied_free(run);
}

static void timed_out(struct loop_timer *t)
{
    struct lambda_proxy *p =
        (struct lambda_proxy *)((char *)t - offsetof(struct lambda_proxy, timer));

    fail(p, PROXY_TIMED_OUT, "the integration took too long");
}

// Of a stream: these always have their proxy.
static struct lambda_proxy *proxy_of(const struct invocation *inv)
{
    const struct proxied *run = inv->user;

    return run->proxy;
}

// ---- streamed
// ------------------------------------------------------------------------------------

static void begin(struct lambda_proxy *p, struct http_result *r)
{
    if (p->decorate)
        p->decorate(p, r);
    p->status = r->status;
    p->begun = true;
    http_respond_begin(p->event.http, r->status, r->headers, r->n_headers, HTTP_LENGTH_UNKNOWN);
    http_respond_flush(p->event.http);
}

static void sink_begin(struct invocation *inv, struct str content_type)
{
    struct lambda_proxy *p = proxy_of(inv);
    struct http_result r = {.status = 200};

    p->in_prelude = str_starts(content_type, PRELUDE_TYPE);
    if (p->in_prelude)
        return;
    r.headers =
        arena_new_array(&p->event.http->arena, struct http_header, 1 + LAMBDA_PROXY_DECORATIONS);
    if (!r.headers)
        return;
    r.headers[r.n_headers++] =
        (struct http_header){STR("content-type"), arena_str(&p->event.http->arena, content_type)};
    begin(p, &r);
}

static void taken(struct http_request *req, void *ctx)
{
    (void)req;
    struct lambda_proxy *p = ctx;

    if (p->running)
        invocation_resume(&p->running->invocation);
}

// Takes the prelude off the front. 1: it is complete and *rest is what follows; 0: more to come.
static int take_prelude(struct lambda_proxy *p, struct str bytes, struct str *rest)
{
    static const char end[PRELUDE_END_BYTES];
    struct http_result result;
    struct err err = ERR_INIT;
    size_t before = p->prelude.len;

    buf_add(&p->prelude, bytes);
    if (p->prelude.failed)
        return -EFBIG;
    ptrdiff_t at = str_find(buf_str(&p->prelude), (struct str){end, sizeof(end)});
    if (at < 0)
        return 0;
    struct str json =
        arena_str(&p->event.http->arena, str_slice(buf_str(&p->prelude), 0, (size_t)at));
    if (http_result_prelude(&p->event.http->arena, json, &result, &err) < 0)
        return -EINVAL;
    p->in_prelude = false;
    *rest = str_slice(bytes, (size_t)at + sizeof(end) - before, bytes.len);
    begin(p, &result);
    return 1;
}

static int sink_write(struct invocation *inv, struct str bytes)
{
    struct lambda_proxy *p = proxy_of(inv);

    if (p->in_prelude) {
        int r = take_prelude(p, bytes, &bytes);
        if (r < 0)
            return INVOCATION_SINK_GONE;
        if (r == 0)
            return INVOCATION_SINK_GO;
    }
    if (!p->begun)
        return INVOCATION_SINK_GONE;
    if (bytes.len == 0)
        return INVOCATION_SINK_GO;
    p->sent_bytes += bytes.len;
    int r = http_respond_write(p->event.http, bytes, taken, p);
    return r < 0 ? INVOCATION_SINK_GONE : r == 1 ? INVOCATION_SINK_WAIT : INVOCATION_SINK_GO;
}

static const struct invocation_sink sink = {.begin = sink_begin, .write = sink_write};

static void done_streamed(struct invocation *inv)
{
    struct proxied *run = inv->user;
    struct lambda_proxy *p = run->proxy;
    struct http_request *req = p->event.http;

    if (!p->begun) {
        if (inv->status == INVOCATION_OK && !p->in_prelude) // nothing was written
            inv->response = STR("");
        else if (inv->status == INVOCATION_OK)
            inv->status = INVOCATION_FUNCTION_ERROR; // a prelude without an end
        done_buffered(inv);
        return;
    }
    p->times = inv->times;
    p->start = inv->start;
    if (p->finished)
        p->finished(p, p->status, p->sent_bytes);
    release(p);
    if (inv->status == INVOCATION_OK)
        http_respond_end(req, NULL, 0);
    else
        http_request_drop(req);
    proxied_free(run);
}

// ---- start
// ---------------------------------------------------------------------------------------

// The client's trace id, or a new one, of which the event's header has the root.
static void trace(struct lambda_proxy *p, struct proxied *run)
{
    struct str given = str_slice(p->trace_id, 0, sizeof(run->trace));

    if (given.len > 0) {
        memcpy(run->trace, given.ptr, given.len);
        run->trace_id = (struct str){run->trace, given.len};
        return;
    }
    invocation_trace(run->trace, run->target.config->tracing_active);
    run->trace_id = str_from(run->trace);
    struct str rest = run->trace_id;
    str_next(&rest, ';', &p->event.trace_id);
}

// The function and the event. On failure fails and answers NULL.
static struct proxied *prepare(struct lambda_proxy *p)
{
    struct proxied *run = calloc(1, sizeof(*run));
    struct arena *a = &p->event.http->arena;
    struct err err = ERR_INIT;
    int r;

    if (!run) {
        fail(p, PROXY_OUR_FAULT, "out of memory");
        return NULL;
    }
    r = lambda_resolve(p->engine, p->account, p->region, p->function, p->qualifier, &run->target,
                       &err);
    if (r < 0) {
        proxied_free(run);
        fail(p, PROXY_NO_FUNCTION, err.message);
        return NULL;
    }
    trace(p, run);
    buf_init(&run->payload, 4 * HTTP_EVENT_MAX_BODY);
    r = p->format == 1 ? http_event_v1(&p->event, a, &run->payload, &err)
                       : http_event_v2(&p->event, a, &run->payload, &err);
    if (r < 0) {
        proxied_free(run);
        fail(p, PROXY_OUR_FAULT, err.message);
        return NULL;
    }
    return run;
}

static void submit(struct lambda_proxy *p)
{
    struct http_request *req = p->event.http;
    struct proxied *run = prepare(p);

    if (!run)
        return;
    buf_init(&p->prelude, MAX_PRELUDE_BYTES);
    run->proxy = p;
    p->running = run;
    run->invocation = (struct invocation){
        .loop = req->loop,
        .function = run->target.config,
        .payload = buf_str(&run->payload),
        .invoked_arn = str_from(run->target.arn),
        .trace_id = run->trace_id,
        .sink = p->stream ? &sink : NULL,
        .done = p->stream ? done_streamed : done_buffered,
        .user = run,
    };
    if (p->timeout_ms > 0 && !p->stream)
        loop_timer_start(req->loop, &p->timer, p->timeout_ms, timed_out);
    invocation_submit(&run->invocation);
}

static void body_was_read(struct loop_task *t)
{
    struct lambda_proxy *p =
        (struct lambda_proxy *)((char *)t - offsetof(struct lambda_proxy, task));

    if (p->err.code == -EFBIG)
        fail(p, PROXY_TOO_LARGE, p->err.message);
    else if (p->err.code < 0)
        fail(p, PROXY_OUR_FAULT, p->err.message);
    else
        submit(p);
}

static void read_body(struct work *w)
{
    struct lambda_proxy *p =
        (struct lambda_proxy *)((char *)w - offsetof(struct lambda_proxy, work));

    http_body_read(p->event.http, HTTP_EVENT_MAX_BODY, &p->event.body, &p->err);
    p->task = (struct loop_task){.run = body_was_read};
    loop_post(p->event.http->loop, &p->task);
}

void lambda_proxy_start(struct lambda_proxy *p)
{
    const struct http_body *body = &p->event.http->body;

    if (body->size_bytes > HTTP_EVENT_MAX_BODY) {
        p->fail(p, PROXY_TOO_LARGE, "");
        return;
    }
    if (body->fd >= 0) {
        p->work = (struct work){.run = read_body};
        work_submit(&p->work);
        return;
    }
    p->event.body = body->memory;
    submit(p);
}
