// destinations.c - see destinations.h.

#include "triggers/destinations.h"

#include "base/json.h"
#include "base/timefmt.h"
#include "os/time.h"
#include "services/lambda/names.h"
#include "services/sqs/sqs.h"
#include "triggers/async.h"

#include <errno.h>

#define MAX_RECORD_BYTES ((size_t)16 << 20)
#define MAX_ERROR_MESSAGE_BYTES 1024 // AWS: ErrorMessage holds the first 1 KB

// A payload is JSON in a record; one that is not (it cannot come through Invoke) goes as text.
static void payload_member(struct json_writer *w, const char *key, struct str payload)
{
    jw_key(w, str_from(key));
    if (json_valid(payload))
        jw_raw(w, payload);
    else if (payload.len == 0)
        jw_null(w);
    else
        jw_str(w, payload);
}

void destination_record(const struct async_outcome *o, struct buf *out)
{
    struct json_writer w = json_writer(out);
    char time[TIMEFMT_BYTES];

    jw_object_begin(&w);
    jw_member_str(&w, "version", STR("1.0"));
    jw_member_str(&w, "timestamp", timefmt_iso(o->now_ms, time));
    jw_key(&w, STR("requestContext"));
    jw_object_begin(&w);
    jw_member_str(&w, "requestId", o->event->request_id);
    jw_member_str(&w, "functionArn", o->arn);
    jw_member_str(&w, "condition", str_from(o->condition));
    jw_member_i64(&w, "approximateInvokeCount", o->event->tries);
    jw_object_end(&w);
    payload_member(&w, "requestPayload", o->event->payload);
    if (o->answered) {
        jw_key(&w, STR("responseContext"));
        jw_object_begin(&w);
        jw_member_i64(&w, "statusCode", 200);
        jw_member_str(&w, "executedVersion", o->executed_version);
        if (o->function_error)
            jw_member_str(&w, "functionError", str_from(o->function_error));
        jw_object_end(&w);
        payload_member(&w, "responsePayload", o->response);
    }
    jw_object_end(&w);
}

// The service of "arn:aws:<service>:…", absent when it is no ARN.
static struct str arn_service(struct str arn)
{
    struct str part = STR_NULL;

    for (int i = 0; i < 3; i++)
        if (!str_next(&arn, ':', &part))
            return STR_NULL;
    return part;
}

static int send_to_queue(struct str arn, struct str body, const struct sqs_attribute *attributes,
                         size_t n, struct str trace_id, struct err *err)
{
    struct arena a;
    const struct sqs_internal_message m = {
        .body = body,
        .attributes = attributes,
        .n_attributes = n,
        .trace_header = trace_id,
        .group_id = str_ends(arn, STR(".fifo")) ? STR("lambda") : STR_NULL,
    };

    arena_init(&a, 1 << 20);
    int r = sqs_internal_send(arn, &m, &a, NULL, err);
    arena_finish(&a);
    return r;
}

int destination_send(struct engine *e, struct str arn, struct str body, struct str trace_id,
                     struct err *err)
{
    struct str service = arn_service(arn);
    struct lambda_name name;

    if (str_eq(service, STR("sqs")))
        return send_to_queue(arn, body, NULL, 0, trace_id, err);
    if (!str_eq(service, STR("lambda")) || !lambda_name_parse(arn, &name))
        return err_set(err, -ENOTSUP, "destinations of this kind are not supported: %.*s",
                       STR_ARG(arn));
    return async_accept_for(e, &name, arn, body, trace_id, err);
}

int dead_letter_send(struct engine *e, struct str arn, const struct async_outcome *o,
                     struct err *err)
{
    struct str message = STR("Unhandled");
    const struct json_value *v;
    struct arena a;

    (void)e;
    if (!str_eq(arn_service(arn), STR("sqs")))
        return err_set(err, -ENOTSUP, "dead-letter targets of this kind are not supported: %.*s",
                       STR_ARG(arn));
    arena_init(&a, MAX_RECORD_BYTES);
    if (o->answered && json_parse(&a, o->response, &v, NULL) == 0)
        message = json_get_or(v, "errorMessage", message);
    else if (!o->answered)
        message = str_from(o->condition);
    if (message.len == 0) // an attribute may not be empty
        message = STR("Unhandled");
    const struct sqs_attribute attributes[] = {
        {STR("RequestID"), STR("String"), o->event->request_id},
        {STR("ErrorCode"), STR("Number"), STR("200")},
        {STR("ErrorMessage"), STR("String"), str_slice(message, 0, MAX_ERROR_MESSAGE_BYTES)},
    };
    int r = send_to_queue(arn, o->event->payload, attributes, ARRAY_LEN(attributes),
                          o->event->trace_id, err);
    arena_finish(&a);
    return r;
}
