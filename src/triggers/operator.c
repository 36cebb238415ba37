// operator.c - see operator.h.

#include "triggers/operator.h"

#include "base/json.h"
#include "base/timefmt.h"
#include "engine/auth.h"
#include "engine/engine.h"
#include "engine/sites.h"
#include "http/server.h"
#include "services/sqs/sqs.h"
#include "triggers/async.h"
#include "triggers/async_impl.h"

#include <errno.h>

#define MAX_PAGE_BYTES ((size_t)64 << 20)
#define DEFAULT_LIMIT 100
#define MAX_LIMIT 1000
#define MAX_SHOWN_PAYLOAD 65536

static struct str query_value(struct str query, struct str name)
{
    struct str pair, key;

    while (str_next(&query, '&', &pair))
        if (str_next(&pair, '=', &key) && str_eq(key, name))
            return pair;
    return STR_NULL;
}

static void payload_member(struct json_writer *w, const char *key, struct str payload)
{
    jw_key(w, str_from(key));
    if (payload.len > MAX_SHOWN_PAYLOAD)
        jw_str(w, str_slice(payload, 0, MAX_SHOWN_PAYLOAD));
    else if (payload.len > 0 && json_valid(payload))
        jw_raw(w, payload);
    else
        jw_str(w, payload);
}

static void failed_event(void *ctx, const struct failed_event *f)
{
    struct json_writer *w = ctx;
    char time[TIMEFMT_BYTES];

    jw_object_begin(w);
    jw_member_i64(w, "id", f->event.id);
    jw_member_str(w, "requestId", f->event.request_id);
    jw_member_str(w, "function", f->event.function);
    jw_member_str(w, "functionArn", f->event.arn);
    jw_member_str(w, "condition", f->condition);
    jw_member_str(w, "errorType", f->error_type);
    jw_member_i64(w, "tries", f->event.tries);
    jw_member_str(w, "accepted", timefmt_iso(f->event.accepted_ms, time));
    jw_member_str(w, "failed", timefmt_iso(f->failed_ms, time));
    payload_member(w, "payload", f->event.payload);
    payload_member(w, "response", f->response);
    jw_object_end(w);
}

static void finish_json(struct call *c, struct buf *b, int r, struct err *err)
{
    if (r == 0 && b->failed)
        r = err_set(err, -ENOMEM, "out of memory");
    struct str body = r == 0 ? arena_str(c->arena, buf_str(b)) : STR_NULL;
    buf_finish(b);
    call_finish(c, 200, STR("application/json"), body, r < 0 ? err : NULL);
}

static void events_page(struct call *c)
{
    uint64_t limit = DEFAULT_LIMIT;
    struct err err = ERR_INIT;
    struct buf b;

    str_to_u64(query_value(c->http->query, STR("limit")), &limit);
    buf_init(&b, MAX_PAGE_BYTES);
    struct json_writer w = json_writer(&b);
    jw_object_begin(&w);
    jw_key(&w, STR("functions"));
    jw_array_begin(&w);
    async_describe(&w);
    jw_array_end(&w);
    jw_key(&w, STR("failed"));
    jw_array_begin(&w);
    int r = event_store_failed(async_store(), limit < MAX_LIMIT ? (unsigned)limit : MAX_LIMIT,
                               failed_event, &w, &err);
    jw_array_end(&w);
    jw_object_end(&w);
    finish_json(c, &b, r, &err);
}

static void one_queue(void *ctx, const struct sqs_queue_info *q)
{
    struct json_writer *w = ctx;

    jw_object_begin(w);
    jw_member_str(w, "arn", q->arn);
    jw_member_bool(w, "fifo", q->fifo);
    jw_member_i64(w, "visible", q->visible);
    jw_member_i64(w, "inFlight", q->in_flight);
    jw_member_i64(w, "delayed", q->delayed);
    jw_member_i64(w, "oldestSentMs", q->oldest_sent_ms);
    jw_object_end(w);
}

static void queues_page(struct call *c)
{
    struct err err = ERR_INIT;
    struct buf b;

    buf_init(&b, MAX_PAGE_BYTES);
    struct json_writer w = json_writer(&b);
    jw_object_begin(&w);
    jw_key(&w, STR("queues"));
    jw_array_begin(&w);
    int r = sqs_internal_list(one_queue, &w, &err);
    jw_array_end(&w);
    jw_object_end(&w);
    finish_json(c, &b, r, &err);
}

static const struct aws_error not_found = {"ResourceNotFoundException", NULL, 404, true};
static const struct aws_error bad_request = {"InvalidParameterValueException", NULL, 400, true};

static void replay_page(struct call *c)
{
    struct err err = ERR_INIT;
    int64_t id;
    int r;

    if (str_to_i64(query_value(c->http->query, STR("id")), &id) < 0) {
        r = err_aws(&err, &bad_request, "id must be the number of a failed event");
    } else {
        r = async_replay(id, &err);
        if (r == -ENOENT)
            err_aws(&err, &not_found, "There is no failed event %lld.", (long long)id);
    }
    call_finish(c, 200, STR("application/json"), STR("{\"replayed\":true}"), r < 0 ? &err : NULL);
}

static const struct {
    struct str method, path;
    void (*page)(struct call *c);
} pages[] = {
    {STR_INIT("GET"), STR_INIT("/_lambkin/events"), events_page},
    {STR_INIT("GET"), STR_INIT("/_lambkin/queues"), queues_page},
    {STR_INIT("POST"), STR_INIT("/_lambkin/replay"), replay_page},
};

static bool take(void *ctx, struct engine *e, struct http_request *req,
                 const struct host_name *host)
{
    struct err err = ERR_INIT;

    (void)ctx;
    (void)host;
    for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
        if (!str_eq(req->path, pages[i].path) || !str_eq(req->method, pages[i].method))
            continue;
        struct call *c = engine_call_new(e, req);
        if (!c)
            http_request_drop(req);
        else if (engine_authenticate(c, NULL, &err) < 0)
            call_fail(c, &err);
        else
            call_work(c, pages[i].page);
        return true;
    }
    return false;
}

int operator_register(struct engine *e, struct err *err)
{
    return engine_add_site(e, (struct engine_site){.take = take}, err);
}
