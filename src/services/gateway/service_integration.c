// service_integration.c - see service_integration.h.
//
// The operation runs in the engine as if a client had called it (engine/inside.h); its answer goes
// to the client as the service's query protocol has it, which is what API Gateway speaks to SQS.

#include "services/gateway/service_integration.h"

#include "base/cleanup.h"

#include "engine/inside.h"
#include "services/gateway/http_result.h"
#include "wire/gen/apigatewayv2.h"

#include <errno.h>

#define MAX_INPUT_BYTES ((size_t)12 << 20)
#define BAD(...) err_aws(err, &APIGATEWAYV2_BAD_REQUEST_EXCEPTION, __VA_ARGS__)

enum parameter_kind {
    PARAMETER_TEXT,
    PARAMETER_NUMBER,
    PARAMETER_JSON, // an object, as JSON
    PARAMETER_LIST, // a JSON list, or one text
};

struct service_parameter {
    const char *name; // NULL: the end
    enum parameter_kind kind;
    bool required;
};

struct service_action {
    const char *name;
    const char *service; // in the credential scope; NULL: not here
    const char *target;  // X-Amz-Target
    struct service_parameter parameters[12];
};

static const struct service_action actions[] = {
    {"SQS-SendMessage",
     "sqs",
     "AmazonSQS.SendMessage",
     {{"QueueUrl", PARAMETER_TEXT, true},
      {"MessageBody", PARAMETER_TEXT, true},
      {"DelaySeconds", PARAMETER_NUMBER, false},
      {"MessageAttributes", PARAMETER_JSON, false},
      {"MessageDeduplicationId", PARAMETER_TEXT, false},
      {"MessageGroupId", PARAMETER_TEXT, false},
      {"MessageSystemAttributes", PARAMETER_JSON, false}}},
    {"SQS-ReceiveMessage",
     "sqs",
     "AmazonSQS.ReceiveMessage",
     {{"QueueUrl", PARAMETER_TEXT, true},
      {"AttributeNames", PARAMETER_LIST, false},
      {"MaxNumberOfMessages", PARAMETER_NUMBER, false},
      {"MessageAttributeNames", PARAMETER_LIST, false},
      {"ReceiveRequestAttemptId", PARAMETER_TEXT, false},
      {"VisibilityTimeout", PARAMETER_NUMBER, false},
      {"WaitTimeSeconds", PARAMETER_NUMBER, false}}},
    {"SQS-DeleteMessage",
     "sqs",
     "AmazonSQS.DeleteMessage",
     {{"QueueUrl", PARAMETER_TEXT, true}, {"ReceiptHandle", PARAMETER_TEXT, true}}},
    {"SQS-PurgeQueue", "sqs", "AmazonSQS.PurgeQueue", {{"QueueUrl", PARAMETER_TEXT, true}}},
    {"EventBridge-PutEvents",
     NULL,
     NULL,
     {{"Detail", PARAMETER_TEXT, true},
      {"DetailType", PARAMETER_TEXT, true},
      {"Source", PARAMETER_TEXT, true},
      {"Time", PARAMETER_TEXT, false},
      {"EventBusName", PARAMETER_TEXT, false},
      {"Resources", PARAMETER_LIST, false},
      {"TraceHeader", PARAMETER_TEXT, false}}},
    {"Kinesis-PutRecord",
     NULL,
     NULL,
     {{"StreamName", PARAMETER_TEXT, true},
      {"Data", PARAMETER_TEXT, true},
      {"PartitionKey", PARAMETER_TEXT, true},
      {"SequenceNumberForOrdering", PARAMETER_TEXT, false},
      {"ExplicitHashKey", PARAMETER_TEXT, false}}},
    {"AppConfig-GetConfiguration",
     NULL,
     NULL,
     {{"Application", PARAMETER_TEXT, true},
      {"Environment", PARAMETER_TEXT, true},
      {"Configuration", PARAMETER_TEXT, true},
      {"ClientId", PARAMETER_TEXT, true},
      {"ClientConfigurationVersion", PARAMETER_TEXT, false}}},
    {"StepFunctions-StartExecution",
     NULL,
     NULL,
     {{"StateMachineArn", PARAMETER_TEXT, true},
      {"Name", PARAMETER_TEXT, false},
      {"Input", PARAMETER_TEXT, false}}},
    {"StepFunctions-StartSyncExecution",
     NULL,
     NULL,
     {{"StateMachineArn", PARAMETER_TEXT, true},
      {"Name", PARAMETER_TEXT, false},
      {"Input", PARAMETER_TEXT, false},
      {"TraceHeader", PARAMETER_TEXT, false}}},
    {"StepFunctions-StopExecution",
     NULL,
     NULL,
     {{"ExecutionArn", PARAMETER_TEXT, true},
      {"Cause", PARAMETER_TEXT, false},
      {"Error", PARAMETER_TEXT, false}}},
};

const struct service_action *service_action_named(struct str subtype)
{
    for (size_t i = 0; i < ARRAY_LEN(actions); i++)
        if (str_eq(subtype, str_from(actions[i].name)))
            return &actions[i];
    return NULL;
}

const char *service_action_name(const struct service_action *a)
{
    return a->name;
}

static const struct service_parameter *parameter_named(const struct service_action *a,
                                                       struct str name)
{
    static const struct service_parameter region = {"Region", PARAMETER_TEXT, false};

    for (const struct service_parameter *p = a->parameters; p->name; p++)
        if (str_eq(name, str_from(p->name)))
            return p;
    return str_eq(name, str_from(region.name)) ? &region : NULL;
}

int service_action_check(const struct service_action *a, const struct json_value *parameters,
                         struct err *err)
{
    for (const struct service_parameter *p = a->parameters; p->name; p++)
        if (p->required && !json_get(parameters, p->name))
            return BAD("Parameter: %s is required for integration subtype: %s", p->name, a->name);
    json_each(m, parameters)
    {
        if (!parameter_named(a, m->key))
            return BAD("Parameter: %.*s does not fit schema for Operation: %s", STR_ARG(m->key),
                       a->name);
    }
    return 0;
}

// ---- a call
// --------------------------------------------------------------------------------------

static int write_value(struct json_writer *w, struct arena *a, const struct service_parameter *p,
                       struct str value)
{
    const struct json_value *v = NULL;
    int64_t number;

    switch (p->kind) {
    case PARAMETER_TEXT:
        jw_str(w, value);
        return 0;
    case PARAMETER_NUMBER:
        if (str_to_i64(value, &number) < 0)
            return -EINVAL;
        jw_i64(w, number);
        return 0;
    case PARAMETER_JSON:
        if (json_parse(a, value, &v, NULL) < 0 || !json_is(v, JSON_OBJECT))
            return -EINVAL;
        jw_raw(w, v->raw);
        return 0;
    case PARAMETER_LIST:
        if (json_parse(a, value, &v, NULL) == 0 && json_is(v, JSON_ARRAY)) {
            jw_raw(w, v->raw);
            return 0;
        }
        jw_array_begin(w);
        jw_str(w, value);
        jw_array_end(w);
        return 0;
    }
    return -EINVAL;
}

// The operation's input as JSON. Absent: a required parameter has no value, or one has the wrong
// kind; the reason is in r->integration_error.
static struct str input_of(struct api_request *r, struct str *region)
{
    const struct api_integration *i = r->route->integration;
    struct arena *a = r->c->arena;
    struct buf b;

    buf_init(&b, MAX_INPUT_BYTES);
    struct json_writer w = json_writer(&b);
    jw_object_begin(&w);
    json_each(m, i->request_parameters)
    {
        const struct service_parameter *p = parameter_named(i->action, m->key);
        struct str value = STR_NULL;
        if (json_str(m, &value))
            value = api_mapped(r, value);
        if (!p || (!value.ptr && !p->required))
            continue;
        if (str_eq(m->key, STR("Region"))) {
            *region = value;
            continue;
        }
        jw_key(&w, m->key);
        if (!value.ptr || write_value(&w, a, p, value) < 0) {
            r->integration_error =
                arena_printf(a, "The parameter %s has no value of its kind", p->name);
            buf_finish(&b);
            return STR_NULL;
        }
    }
    jw_object_end(&w);
    struct str s = b.failed ? STR_NULL : arena_str(a, buf_str(&b));
    buf_finish(&b);
    return s;
}

static void called(struct engine_inside *call, int status, const struct wire_header *headers,
                   size_t n_headers, struct str body)
{
    struct api_request *r = call->user;
    struct http_request *http = r->http;
    struct http_header *all = arena_new_array(
        r->c->arena, struct http_header, n_headers + HTTP_RESULT_MAX_HEADERS + API_ANSWER_HEADERS);
    struct http_response answer = {.status = status, .headers = all, .body = body};

    if (status == 499 || !all) {
        api_answered(r, status, 0);
        http_request_drop(http);
        return;
    }
    r->integration_status = status;
    for (size_t i = 0; i < n_headers; i++)
        all[answer.n_headers++] = (struct http_header){headers[i].name, headers[i].value};
    api_decorate(r, &answer.status, all, &answer.n_headers, body);
    api_answered(r, answer.status, body.len);
    http_respond(http, &answer);
}

void service_integration_start(struct api_request *r)
{
    static const struct wire_header type = {STR_INIT("content-type"),
                                            STR_INIT("application/x-amz-json-1.0")};
    const struct service_action *action = r->route->integration->action;
    struct arena *a = r->c->arena;
    struct engine_inside *call = arena_new(a, struct engine_inside);
    struct wire_header *headers = arena_new_array(a, struct wire_header, 2);
    struct str region = r->api->region;
    struct err err = ERR_INIT;

    if (!action->service) {
        r->integration_error =
            arena_printf(a, "The service of %s is not implemented by Lambkin", action->name);
        api_refuse(r, 501, arena_cstr(a, r->integration_error));
        return;
    }
    struct str input = input_of(r, &region);
    if (!input.ptr || !call || !headers) {
        bool ours = input.ptr || !r->integration_error.ptr;
        api_refuse(r, ours ? 500 : 400, ours ? "Internal Server Error" : "Bad Request");
        return;
    }
    headers[0] = type;
    headers[1] = (struct wire_header){STR("x-amz-target"), str_from(action->target)};
    *call = (struct engine_inside){
        .http = r->http,
        .service = action->service,
        .account = r->api->account,
        .region = region,
        .request = {.method = STR("POST"),
                    .path = STR("/"),
                    .headers = headers,
                    .n_headers = 2,
                    .body = input},
        .answer_in = WIRE_QUERY,
        .done = called,
        .user = r,
    };
    if (engine_inside_call(r->c->engine, call, &err) < 0) {
        r->integration_error = arena_str(a, str_from(err.message));
        api_refuse(r, 500, "Internal Server Error");
    }
}
