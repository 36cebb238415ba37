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
// the request's arena: answering the request is the last thing that is done with it.

#include "services/gateway/lambda_proxy.h"

#include <errno.h>

#define MAX_PRELUDE_BYTES (1u << 20)
#define PRELUDE_TYPE STR("application/vnd.awslambda.http-integration-response")
#define PRELUDE_END_BYTES 8 // NULs after the prelude

static void release(struct lambda_proxy *p)
{
    buf_finish(&p->payload);
    buf_finish(&p->prelude);
    if (!p->resolved)
        return;
    function_config_unref(p->target.config);
    p->resolved = false;
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

static void done_buffered(struct invocation *inv)
{
    struct lambda_proxy *p = inv->user;
    struct invocation ended = *inv; // outlives the request's arena
    struct http_result result;
    struct err err = ERR_INIT;

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
        fail(p, PROXY_THROTTLED, ended.err.message);
        break;
    case INVOCATION_FAILED:
        fail(p, PROXY_OUR_FAULT, ended.err.message);
        break;
    }
    invocation_finish(&ended);
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
    struct lambda_proxy *p = inv->user;
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

    invocation_resume(&p->invocation);
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
    struct lambda_proxy *p = inv->user;

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
    struct lambda_proxy *p = inv->user;
    struct http_request *req = p->event.http;

    if (!p->begun) {
        if (inv->status == INVOCATION_OK && !p->in_prelude) // nothing was written
            inv->response = STR("");
        else if (inv->status == INVOCATION_OK)
            inv->status = INVOCATION_FUNCTION_ERROR; // a prelude without an end
        done_buffered(inv);
        return;
    }
    struct invocation ended = *inv;
    if (p->finished)
        p->finished(p, p->status, p->sent_bytes);
    release(p);
    if (ended.status == INVOCATION_OK)
        http_respond_end(req, NULL, 0);
    else
        http_request_drop(req);
    invocation_finish(&ended);
}

// ---- start
// ---------------------------------------------------------------------------------------

static void submit(struct lambda_proxy *p)
{
    struct http_request *req = p->event.http;
    struct err err = ERR_INIT;

    buf_init(&p->payload, 4 * HTTP_EVENT_MAX_BODY);
    buf_init(&p->prelude, MAX_PRELUDE_BYTES);
    int r = p->format == 1 ? http_event_v1(&p->event, &req->arena, &p->payload, &err)
                           : http_event_v2(&p->event, &req->arena, &p->payload, &err);
    if (r < 0) {
        fail(p, PROXY_OUR_FAULT, err.message);
        return;
    }
    r = lambda_resolve(p->engine, p->account, p->region, p->function, p->qualifier, &p->target,
                       &err);
    p->resolved = r == 0;
    if (r < 0) {
        fail(p, PROXY_NO_FUNCTION, err.message);
        return;
    }
    p->invocation = (struct invocation){
        .loop = req->loop,
        .function = p->target.config,
        .payload = buf_str(&p->payload),
        .invoked_arn = str_from(p->target.arn),
        .trace_id = p->trace_id,
        .sink = p->stream ? &sink : NULL,
        .done = p->stream ? done_streamed : done_buffered,
        .user = p,
    };
    invocation_submit(&p->invocation);
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
