// operator.c - see operator.h.

#include "triggers/operator.h"

#include "base/json.h"
#include "base/timefmt.h"
#include "engine/engine.h"
#include "http/server.h"
#include "services/sqs/sqs.h"
#include "triggers/async.h"
#include "triggers/async_impl.h"

#include <errno.h>

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

static int write_events(struct call *c, struct json_writer *w, struct err *err)
{
    uint64_t limit = DEFAULT_LIMIT;

    str_to_u64(query_value(c->http->query, STR("limit")), &limit);
    jw_key(w, STR("functions"));
    jw_array_begin(w);
    async_describe(w);
    jw_array_end(w);
    jw_key(w, STR("failed"));
    jw_array_begin(w);
    int r = event_store_failed(async_store(), limit < MAX_LIMIT ? (unsigned)limit : MAX_LIMIT,
                               failed_event, w, err);
    jw_array_end(w);
    return r;
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

static int write_queues(struct call *c, struct json_writer *w, struct err *err)
{
    (void)c;
    jw_key(w, STR("queues"));
    jw_array_begin(w);
    int r = sqs_internal_list(one_queue, w, err);
    jw_array_end(w);
    return r;
}

static const struct aws_error not_found = {"ResourceNotFoundException", NULL, 404, true};
static const struct aws_error bad_request = {"InvalidParameterValueException", NULL, 400, true};

static int replay(struct call *c, struct json_writer *w, struct err *err)
{
    int64_t id;

    if (str_to_i64(query_value(c->http->query, STR("id")), &id) < 0)
        return err_aws(err, &bad_request, "id must be the number of a failed event");
    int r = async_replay(id, err);
    if (r == -ENOENT)
        return err_aws(err, &not_found, "There is no failed event %lld.", (long long)id);
    if (r == 0)
        jw_member_bool(w, "replayed", true);
    return r;
}

int operator_register(struct engine *e, struct err *err)
{
    static const struct engine_operator_page pages[] = {
        {"GET", "/_lambkin/events", write_events},
        {"GET", "/_lambkin/queues", write_queues},
        {"POST", "/_lambkin/replay", replay},
    };
    int r = 0;

    for (size_t i = 0; r == 0 && i < ARRAY_LEN(pages); i++)
        r = engine_add_operator_page(e, &pages[i], err);
    return r;
}
