// request_variables.c - "$request.…", "$context.…" and "$stageVariables.…" of an API's request.

#include "services/gateway/api_request.h"

#include "base/cleanup.h"
#include "base/json_select.h"
#include "base/percent.h"
#include "base/timefmt.h"
#include "os/time.h"
#include "services/gateway/variable_text.h"

static struct str number(struct api_request *r, int64_t n)
{
    return arena_printf(r->c->arena, "%lld", (long long)n);
}

static struct str source_ip(struct api_request *r)
{
    return http_event_source_ip(r->http);
}

static struct str authorizer_value(struct api_request *r, struct str rest)
{
    const struct json_value *v;
    struct str key, value;

    if (r->authorized == HTTP_AUTHORIZER_NONE ||
        json_parse(r->c->arena, r->authorizer, &v, NULL) < 0)
        return STR_NULL;
    while (v && str_next(&rest, '.', &key))
        v = json_get_str(v, key);
    if (!v)
        return STR_NULL;
    return json_str(v, &value) ? value : v->raw;
}

static struct str get_status(struct api_request *r)
{
    return number(r, r->status);
}
static struct str get_length(struct api_request *r)
{
    return number(r, (int64_t)r->answer_bytes);
}
static struct str get_integration_status(struct api_request *r)
{
    return r->integration_status ? number(r, r->integration_status) : STR_NULL;
}
static struct str get_data_processed(struct api_request *r)
{
    return number(r, (int64_t)(r->answer_bytes + r->http->body.size_bytes));
}
static struct str get_base_path(struct api_request *r)
{
    return r->base_path;
}
static struct str get_caller_account(struct api_request *r)
{
    return r->principal_arn.ptr ? r->c->principal.account : STR_NULL;
}
static struct str get_caller(struct api_request *r)
{
    return r->principal_arn.ptr ? r->c->principal.user_id : STR_NULL;
}
static struct str get_connection(struct api_request *r)
{
    return r->connection_id;
}
static struct str get_event_type(struct api_request *r)
{
    return r->connection_id.ptr ? STR("CONNECT") : STR_NULL;
}
// What kind of answer of the gateway's own it is.
static struct str get_response_type(struct api_request *r)
{
    static const struct {
        int status;
        const char *type;
    } types[] = {{400, "BAD_REQUEST_PARAMETERS"}, {401, "UNAUTHORIZED"},
                 {403, "ACCESS_DENIED"},          {404, "RESOURCE_NOT_FOUND"},
                 {413, "REQUEST_TOO_LARGE"},      {429, "THROTTLED"},
                 {500, "INTEGRATION_FAILURE"},    {502, "INTEGRATION_FAILURE"},
                 {503, "INTEGRATION_FAILURE"},    {504, "INTEGRATION_TIMEOUT"}};

    for (size_t i = 0; r->error && i < ARRAY_LEN(types); i++)
        if (types[i].status == r->status)
            return str_from(types[i].type);
    return STR_NULL;
}

struct variable {
    const char *name;
    struct str (*get)(struct api_request *r);
};

static struct str get_request_id(struct api_request *r)
{
    return r->c->request_id;
}
static struct str get_api_id(struct api_request *r)
{
    return r->api->id;
}
static struct str get_account(struct api_request *r)
{
    return r->api->account;
}
static struct str get_stage(struct api_request *r)
{
    return r->stage->name;
}
static struct str get_method(struct api_request *r)
{
    return r->http->method;
}
static struct str get_path(struct api_request *r)
{
    return r->raw_path;
}
static struct str get_protocol(struct api_request *r)
{
    return r->http->major >= 2 ? STR("HTTP/2.0") : STR("HTTP/1.1");
}
static struct str get_route_key(struct api_request *r)
{
    return r->route ? r->route->key : STR_NULL;
}
static struct str get_domain(struct api_request *r)
{
    return r->domain_name;
}
static struct str get_prefix(struct api_request *r)
{
    return r->domain_prefix;
}
static struct str get_user_agent(struct api_request *r)
{
    return http_header_get(r->http, STR("user-agent"));
}
static struct str get_user_arn(struct api_request *r)
{
    return r->principal_arn;
}
static struct str get_error(struct api_request *r)
{
    return str_from(r->error);
}
static struct str get_integration_error(struct api_request *r)
{
    return r->integration_error;
}
static struct str get_time(struct api_request *r)
{
    char text[TIMEFMT_BYTES];

    return arena_str(r->c->arena, timefmt_access(r->c->now_ms, text));
}
static struct str get_epoch(struct api_request *r)
{
    return number(r, r->c->now_ms);
}
static struct str get_latency(struct api_request *r)
{
    return number(r, (os_mono_ns() - r->began_ns) / 1000000);
}
static struct str get_integration_latency(struct api_request *r)
{
    return r->integration_ns ? number(r, (os_mono_ns() - r->integration_ns) / 1000000) : STR_NULL;
}

static struct str get_authorizer_latency(struct api_request *r)
{
    int64_t until = r->integration_ns ? r->integration_ns : os_mono_ns();

    return r->authorizer_ns ? number(r, (until - r->authorizer_ns) / 1000000) : STR_NULL;
}
static struct str get_authorizer_status(struct api_request *r)
{
    return r->authorizer_ns ? number(r, r->integration_ns ? 200 : r->status) : STR_NULL;
}
static struct str get_authorizer_error(struct api_request *r)
{
    return r->authorizer_ns && !r->integration_ns ? str_from(r->error) : STR_NULL;
}
static struct str get_function_latency(struct api_request *r)
{
    return r->proxy.times.handler_us ? number(r, r->proxy.times.handler_us / 1000) : STR_NULL;
}
static struct str get_init_latency(struct api_request *r)
{
    return r->proxy.times.init_us ? number(r, r->proxy.times.init_us / 1000) : STR_NULL;
}

static const struct variable context_variables[] = {
    {"requestId", get_request_id},
    {"extendedRequestId", get_request_id},
    {"awsEndpointRequestId", get_request_id},
    {"integration.requestId", get_request_id},
    {"apiId", get_api_id},
    {"accountId", get_account},
    {"stage", get_stage},
    {"httpMethod", get_method},
    {"path", get_path},
    {"protocol", get_protocol},
    {"routeKey", get_route_key},
    {"domainName", get_domain},
    {"domainPrefix", get_prefix},
    {"identity.sourceIp", source_ip},
    {"identity.userAgent", get_user_agent},
    {"identity.userArn", get_user_arn},
    {"identity.accountId", get_caller_account},
    {"identity.caller", get_caller},
    {"identity.user", get_caller},
    {"error.message", get_error},
    {"error.messageString", get_error},
    {"error.responseType", get_response_type},
    {"status", get_status},
    {"responseLength", get_length},
    {"dataProcessed", get_data_processed},
    {"integration.status", get_integration_status},
    {"integration.integrationStatus", get_integration_status},
    {"integrationStatus", get_integration_status},
    {"customDomain.basePathMatched", get_base_path},
    {"connectionId", get_connection},
    {"eventType", get_event_type},
    {"integrationErrorMessage", get_integration_error},
    {"integration.error", get_integration_error},
    {"requestTime", get_time},
    {"requestTimeEpoch", get_epoch},
    {"responseLatency", get_latency},
    {"integrationLatency", get_integration_latency},
    {"integration.latency", get_integration_latency},
    {"authorizer.latency", get_authorizer_latency},
    {"authorizer.status", get_authorizer_status},
    {"authorizer.error", get_authorizer_error},
    // Ours: what of the integration's latency was the function's own.
    {"lambkin.functionLatency", get_function_latency},
    {"lambkin.initLatency", get_init_latency},
};

static struct str context_value(struct api_request *r, struct str name)
{
    for (size_t i = 0; i < sizeof(context_variables) / sizeof(context_variables[0]); i++)
        if (str_eq(name, str_from(context_variables[i].name)))
            return context_variables[i].get(r);
    if (str_starts(name, STR("authorizer.")))
        return authorizer_value(r, str_slice(name, strlen("authorizer."), name.len));
    return STR_NULL;
}

static struct str pair_value(const struct http_event_pair *p, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(p[i].name, name))
            return p[i].value;
    return STR_NULL;
}

// All values of a name, joined by commas; absent when there is none.
static struct str joined(struct arena *a, struct str all, struct str one)
{
    return all.ptr ? arena_printf(a, "%.*s,%.*s", STR_ARG(all), STR_ARG(one)) : one;
}

static struct str header_value(struct arena *a, const struct http_header *headers, unsigned n,
                               struct str name)
{
    struct str all = STR_NULL;

    for (unsigned i = 0; i < n; i++)
        if (str_eq_nocase(headers[i].name, name))
            all = joined(a, all, headers[i].value);
    return all;
}

static struct str query_value(struct arena *a, struct str query, struct str name)
{
    struct str all = STR_NULL, key, value;

    while (percent_next_pair(&query, &key, &value)) {
        if (percent_decode(a, key, PERCENT_FORM, &key) < 0 || !str_eq(key, name) ||
            percent_decode(a, value, PERCENT_FORM, &value) < 0)
            continue;
        all = joined(a, all, value.ptr ? value : STR(""));
    }
    return all;
}

static const struct json_value *parsed_body(struct api_request *r)
{
    if (!r->body_parsed && r->body.len > 0 &&
        json_parse(r->c->arena, r->body, &r->body_json, NULL) < 0)
        r->body_json = NULL;
    r->body_parsed = true;
    return r->body_json;
}

// What follows "$request.".
static struct str request_value(struct api_request *r, struct str what)
{
    const struct http_request *http = r->http;
    struct str whole = what, kind;

    if (str_starts(whole, STR("body[")))
        return json_text(json_select(parsed_body(r), str_slice(whole, 4, whole.len)));
    if (!str_next(&what, '.', &kind))
        return STR_NULL;
    if (str_eq(kind, STR("method")))
        return http->method;
    if (str_eq(kind, STR("path")) && !what.ptr)
        return r->path;
    if (str_eq(kind, STR("path")))
        return pair_value(r->parameters, r->n_parameters, what);
    if (str_eq(kind, STR("header")))
        return header_value(r->c->arena, http->headers, http->n_headers, what);
    if (str_eq(kind, STR("querystring")))
        return query_value(r->c->arena, http->query, what);
    if (str_eq(kind, STR("body")))
        return !what.ptr ? r->body : json_text(json_select(parsed_body(r), what));
    return STR_NULL;
}

// What follows "$response.".
static struct str response_value(struct api_request *r, struct str what)
{
    const struct json_value *v;
    struct str kind;

    if (!r->answer_headers || !str_next(&what, '.', &kind))
        return STR_NULL;
    if (str_eq(kind, STR("header")))
        return header_value(r->c->arena, r->answer_headers, r->n_answer_headers, what);
    if (!str_eq(kind, STR("body")))
        return STR_NULL;
    if (!what.ptr)
        return r->answer_body;
    return json_parse(r->c->arena, r->answer_body, &v, NULL) < 0 ? STR_NULL
                                                                 : json_text(json_select(v, what));
}

struct str api_variable(struct api_request *r, struct str e)
{
    if (str_starts(e, STR("route.request."))) // as WebSocket APIs have it
        return request_value(r, str_slice(e, strlen("route.request."), e.len));
    if (e.len == 0 || e.ptr[0] != '$')
        return e;
    if (str_starts(e, STR("${")) && str_ends(e, STR("}")))
        e = str_slice(e, 2, e.len - 1);
    else
        e = str_slice(e, 1, e.len);
    if (str_starts(e, STR("request.")))
        return request_value(r, str_slice(e, strlen("request."), e.len));
    if (str_eq(e, STR("request.body")))
        return r->body;
    if (str_starts(e, STR("response.")))
        return response_value(r, str_slice(e, strlen("response."), e.len));
    if (str_starts(e, STR("context.")))
        return context_value(r, str_slice(e, strlen("context."), e.len));
    if (str_starts(e, STR("stageVariables.")))
        return pair_value(r->stage->variables, r->stage->n_variables,
                          str_slice(e, strlen("stageVariables."), e.len));
    return STR_NULL;
}

static struct str value_of(void *ctx, struct str expression)
{
    return api_variable(ctx, expression);
}

struct str api_mapped(struct api_request *r, struct str text)
{
    const struct variable_source from = {value_of, r};

    return variable_text_is_one(text)
               ? api_variable(r, text)
               : variable_text_expand(r->c->arena, text, &from, STR(""), false);
}
