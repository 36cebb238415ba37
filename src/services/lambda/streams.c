// streams.c - InvokeWithResponseStream: what a function writes, as frames of an event stream.
//
// The head of the answer goes out when the function begins to answer, so its error can only be told
// in the InvokeComplete event at the end. When the client is slower than the function, the runtime
// is told to wait (back-pressure); when it leaves, the rest is thrown away.
#include "services/lambda/invoke_impl.h"

#include "base/base64.h"
#include "base/json.h"
#include "http/server.h"
#include "wire/event_stream.h"

#include <errno.h>

// One PayloadChunk; SDKs read a frame as a whole.
#define CHUNK_BYTES ((size_t)64 << 10)
#define MAX_FRAME_BYTES ((size_t)16 << 20)

static void begin_answer(struct invoke *i, struct str content_type)
{
    struct call *c = i->call;
    struct http_header headers[8];
    unsigned n = 0;

    if (i->begun)
        return;
    i->begun = true;
    headers[n++] = (struct http_header){STR("Content-Type"), STR(EVENT_STREAM_CONTENT_TYPE)};
    headers[n++] = (struct http_header){STR("x-amzn-RequestId"), c->request_id};
    headers[n++] = (struct http_header){STR("X-Amz-Executed-Version"), i->inv.function->version};
    if (content_type.len > 0)
        headers[n++] =
            (struct http_header){STR("X-Amzn-Response-Stream-Content-Type"), content_type};
    if (i->inv.trace_text[0])
        headers[n++] = (struct http_header){STR("X-Amzn-Trace-Id"), str_from(i->inv.trace_text)};
    http_respond_begin(c->http, 200, headers, n, HTTP_LENGTH_UNKNOWN);
}

static void sink_begin(struct invocation *inv, struct str content_type)
{
    begin_answer(inv->user, content_type);
}

static void taken(struct http_request *req, void *ctx)
{
    struct invoke *i = ctx;

    (void)req;
    if (i->waiting) {
        i->waiting = false;
        invocation_resume(&i->inv);
    }
}

static int sink_write(struct invocation *inv, struct str bytes)
{
    struct invoke *i = inv->user;

    buf_reset(&i->frame);
    for (size_t at = 0; at < bytes.len; at += CHUNK_BYTES)
        event_stream_event(&i->frame, STR("PayloadChunk"), STR("application/octet-stream"),
                           str_slice(bytes, at, at + CHUNK_BYTES));
    if (i->frame.failed || i->call->http->client_gone)
        return INVOCATION_SINK_GONE;
    int r = http_respond_write(i->call->http, buf_str(&i->frame), taken, i);
    if (r < 0)
        return INVOCATION_SINK_GONE;
    if (r == 0)
        return INVOCATION_SINK_GO;
    i->waiting = true;
    return INVOCATION_SINK_WAIT;
}

static void stream_done(struct invocation *inv)
{
    struct invoke *i = inv->user;
    struct call *c = i->call;
    _cleanup_(buf_finishp) struct buf event = {0};
    struct buf frame = i->frame;

    i->waiting = false;
    if (!i->begun && (inv->status == INVOCATION_THROTTLED || inv->status == INVOCATION_FAILED)) {
        struct err err = inv->err;
        invocation_finish(inv);
        buf_finish(&frame);
        call_fail(c, &err);
        return;
    }
    begin_answer(i, STR_NULL);
    buf_init(&event, (size_t)8 << 20);
    struct json_writer w = json_writer(&event);
    jw_object_begin(&w);
    if (inv->status != INVOCATION_OK) {
        jw_member_str(&w, "ErrorCode",
                      inv->error_type.len > 0 ? inv->error_type : STR("Unhandled"));
        jw_member_str(&w, "ErrorDetails",
                      inv->status == INVOCATION_FUNCTION_ERROR ? inv->response
                                                               : str_from(inv->err.message));
    }
    if (inv->want_tail)
        jw_member_str(&w, "LogResult", base64_arena(c->arena, inv->log_tail));
    jw_object_end(&w);
    buf_reset(&frame);
    frame.max_bytes = (size_t)16 << 20;
    event_stream_event(&frame, STR("InvokeComplete"), STR("application/json"), buf_str(&event));
    http_respond_write(c->http, buf_str(&frame), NULL, NULL);
    invocation_finish(inv);
    struct http_request *req = c->http;
    call_done(c, 200);
    http_respond_end(req, NULL, 0);
    buf_finish(&frame);
}

void invoke_stream_prepare(struct invoke *i)
{
    static const struct invocation_sink sink = {.begin = sink_begin, .write = sink_write};

    buf_init(&i->frame, MAX_FRAME_BYTES);
    i->inv.sink = &sink;
    i->inv.done = stream_done;
}
