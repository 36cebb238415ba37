// http_api.c - serves HTTP APIs: see api_request.h for the way a request takes.

#include "services/gateway/http_api.h"

#include "base/percent.h"
#include "engine/engine.h"
#include "engine/sites.h"
#include "os/time.h"
#include "services/gateway/connections.h"
#include "services/gateway/parameter_mapping.h"
#include "services/gateway/request_trace.h"
#include "services/gateway/service_integration.h"
#include "services/gateway/websocket_api.h"

#define PATH_STYLE "/_api/"

// ---- answers
// -------------------------------------------------------------------------------------

static uint32_t us_between(int64_t from_ns, int64_t to_ns)
{
    int64_t us = from_ns > 0 && to_ns > from_ns ? (to_ns - from_ns) / 1000 : 0;

    return us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

// As far as the request has come.
static void fill_trace(const struct api_request *r, int status, struct request_trace *t)
{
    int64_t now = os_mono_ns();
    struct arena *a = r->c->arena;

    *t = (struct request_trace){
        .at_ms = r->c->now_ms,
        .status = status,
        .total_us = us_between(r->began_ns, now),
        .authorizer_us = us_between(r->authorizer_ns, r->integration_ns ? r->integration_ns : now),
        .integration_us = us_between(r->integration_ns, now),
    };
    request_trace_text(t->id, sizeof(t->id), r->c->request_id);
    request_trace_text(t->method, sizeof(t->method), r->http->method);
    request_trace_text(t->where, sizeof(t->where),
                       arena_printf(a, "%.*s%.*s", STR_ARG(r->domain_name), STR_ARG(r->raw_path)));
    if (r->route)
        request_trace_text(t->route, sizeof(t->route), r->route->key);
    if (r->proxy.function.ptr)
        request_trace_function(t, &r->proxy);
}

static void add_timing(const struct api_request *r, int status, struct http_header *headers,
                       unsigned *n)
{
    struct request_trace t;

    fill_trace(r, status, &t);
    request_trace_header(r->http, &t, r->c->arena, headers, n);
}

void api_answered(struct api_request *r, int status, size_t body_bytes)
{
    struct request_trace t;

    fill_trace(r, status, &t);
    request_trace_add(&t);
    access_log_write(r, status, body_bytes);
    call_done(r->c, status);
    api_unref(r->api);
    r->api = NULL;
}

void api_decorate(struct api_request *r, int *status, struct http_header *headers, unsigned *n,
                  struct str body)
{
    if (r->route && r->route->integration)
        map_response(r, status, headers, n, body);
    headers[(*n)++] = (struct http_header){STR("apigw-requestid"), r->c->request_id};
    add_timing(r, *status, headers, n);
    if (!r->api->has_cors)
        return;
    unsigned kept = 0;
    for (unsigned i = 0; i < *n; i++)
        if (!cors_decides(headers[i].name))
            headers[kept++] = headers[i];
    *n = kept;
    cors_headers(r->c->arena, &r->api->cors, r->http, false, headers, n);
}

void api_refuse(struct api_request *r, int status, const char *message)
{
    struct http_header headers[CORS_MAX_HEADERS + 4];
    struct http_response response = {.status = status, .headers = headers};
    struct http_request *http = r->http;

    r->error = r->error ? r->error : message;
    headers[response.n_headers++] =
        (struct http_header){STR("content-type"), STR("application/json")};
    headers[response.n_headers++] = (struct http_header){STR("apigw-requestid"), r->c->request_id};
    add_timing(r, status, headers, &response.n_headers);
    if (r->api->has_cors)
        cors_headers(r->c->arena, &r->api->cors, http, false, headers, &response.n_headers);
    response.body = arena_printf(r->c->arena, "{\"message\":\"%s\"}", message);
    api_answered(r, status, response.body.len);
    http_respond(http, &response);
}

// ---- the body
// ----------------------------------------------------------------------------------------

static void body_was_read(struct loop_task *t)
{
    struct api_request *r = (struct api_request *)((char *)t - offsetof(struct api_request, task));

    if (r->verdict < 0)
        api_refuse(r, 500, "Internal Server Error");
    else
        r->body_read(r);
}

static void read_body(struct work *w)
{
    struct api_request *r = (struct api_request *)((char *)w - offsetof(struct api_request, work));
    struct err err = ERR_INIT;

    r->verdict = http_body_read(r->http, API_MAX_BODY, &r->body, &err);
    r->task = (struct loop_task){.run = body_was_read};
    loop_post(r->http->loop, &r->task);
}

void api_read_body(struct api_request *r, void (*then)(struct api_request *r))
{
    const struct http_body *body = &r->http->body;

    if (body->size_bytes > API_MAX_BODY) {
        api_refuse(r, 413, "Request Entity Too Large");
    } else if (body->fd >= 0) {
        r->body_read = then;
        r->work = (struct work){.run = read_body};
        work_submit(&r->work);
    } else {
        r->body = body->memory;
        then(r);
    }
}

// ---- integration: a function
// ---------------------------------------------------------------------

static void proxy_failed(struct lambda_proxy *p, enum proxy_failure why, const char *detail)
{
    struct api_request *r = p->user;
    static const struct {
        int status;
        const char *message;
    } answers[] = {
        [PROXY_TOO_LARGE] = {413, "Request Entity Too Large"},
        [PROXY_NO_FUNCTION] = {500, "Internal Server Error"},
        [PROXY_THROTTLED] = {503, "Service Unavailable"},
        [PROXY_TIMED_OUT] = {503, "Service Unavailable"},
        [PROXY_FUNCTION_ERROR] = {500, "Internal Server Error"},
        [PROXY_MALFORMED] = {500, "Internal Server Error"},
        [PROXY_OUR_FAULT] = {500, "Internal Server Error"},
    };

    r->integration_error = arena_str(r->c->arena, str_from(detail));
    api_refuse(r, answers[why].status, answers[why].message);
}

static void proxy_decorate(struct lambda_proxy *p, struct http_result *result)
{
    struct api_request *r = p->user;
    struct http_header *headers =
        arena_new_array(r->c->arena, struct http_header,
                        result->n_headers + HTTP_RESULT_MAX_HEADERS + API_ANSWER_HEADERS);
    if (!headers)
        return;
    for (unsigned i = 0; i < result->n_headers; i++)
        headers[i] = result->headers[i];
    result->headers = headers;
    r->integration_status = result->status;
    api_decorate(r, &result->status, headers, &result->n_headers, result->body);
}

static void proxy_finished(struct lambda_proxy *p, int status, size_t body_bytes)
{
    api_answered(p->user, status, body_bytes);
}

void api_event(const struct api_request *r, struct http_event *e)
{
    *e = (struct http_event){
        .http = r->http,
        .account_id = r->api->account,
        .api_id = r->api->id,
        .domain_name = r->domain_name,
        .domain_prefix = r->domain_prefix,
        .request_id = r->c->request_id,
        .stage = r->stage->name,
        .route_key = r->route->key,
        .resource = r->route->resource,
        .raw_path = r->raw_path,
        .now_ms = r->c->now_ms,
        .path_parameters = r->parameters,
        .n_path_parameters = r->n_parameters,
        .stage_variables = r->stage->variables,
        .n_stage_variables = r->stage->n_variables,
        .authorized = r->authorized,
        .authorizer = r->authorizer,
    };
}

static void integrate_lambda(struct api_request *r)
{
    const struct api_integration *i = r->route->integration;

    r->proxy = (struct lambda_proxy){
        .engine = r->c->engine,
        .format = i->format,
        .account = i->function.account,
        .region = i->function.region,
        .function = i->function.name,
        .qualifier = i->function.qualifier,
        .trace_id = http_header_get(r->http, STR("x-amzn-trace-id")),
        .timeout_ms = i->timeout_ms,
        .fail = proxy_failed,
        .decorate = proxy_decorate,
        .finished = proxy_finished,
        .user = r,
    };
    api_event(r, &r->proxy.event);
    lambda_proxy_start(&r->proxy);
}

// The function sees the request as it was mapped.
static void map_then_integrate(struct api_request *r)
{
    struct mapped_request mapped;

    if (!map_request(r, &mapped)) {
        api_refuse(r, 500, "Internal Server Error");
        return;
    }
    mapped.headers[mapped.n_headers++] =
        (struct http_header){STR("host"), http_header_get(r->http, STR("host"))};
    r->http->headers = mapped.headers;
    r->http->n_headers = mapped.n_headers;
    r->http->query = mapped.query;
    if (mapped.path.ptr)
        r->raw_path = mapped.path;
    integrate_lambda(r);
}

void api_authorized(struct api_request *r)
{
    const struct api_integration *i = r->route->integration;

    r->integration_ns = os_mono_ns();
    if (r->api->websocket) {
        websocket_authorized(r);
        return;
    }
    if (!i || i->problem.ptr) {
        r->integration_error = i ? i->problem : STR("The route has no integration");
        api_refuse(r, 500, "Internal Server Error");
        return;
    }
    switch (i->kind) {
    case INTEGRATION_LAMBDA:
        if (json_count(i->request_parameters) > 0)
            api_read_body(r, map_then_integrate);
        else
            integrate_lambda(r);
        break;
    case INTEGRATION_HTTP:
        api_read_body(r, http_proxy_start);
        break;
    case INTEGRATION_SERVICE:
        if (i->action)
            api_read_body(r, service_integration_start);
        else
            api_refuse(r, 500, "Internal Server Error");
        break;
    case INTEGRATION_MOCK: // not of HTTP APIs
        api_refuse(r, 500, "Internal Server Error");
        break;
    }
}

// ---- stage and route
// -----------------------------------------------------------------------------

static void preflight(struct api_request *r)
{
    struct http_header headers[CORS_MAX_HEADERS];
    struct http_response response = {.status = 204, .headers = headers};
    struct http_request *http = r->http;

    cors_headers(r->c->arena, &r->api->cors, http, true, headers, &response.n_headers);
    api_answered(r, 204, 0);
    http_respond(http, &response);
}

static bool decode_parameters(struct api_request *r, const struct route_match *m)
{
    r->parameters = arena_new_array(r->c->arena, struct http_event_pair, m->n_parameters);
    if (!r->parameters)
        return false;
    for (unsigned i = 0; i < m->n_parameters; i++) {
        struct str value = m->parameters[i].value;
        if (percent_decode(r->c->arena, value, PERCENT_PATH, &value) < 0)
            return false;
        r->parameters[r->n_parameters++] = (struct http_event_pair){m->parameters[i].name, value};
    }
    return true;
}

static void serve(struct api_request *r)
{
    struct route_match m;

    if (r->api->has_cors && cors_is_preflight(r->http)) {
        preflight(r);
        return;
    }
    if (!api_route_match(r->api, r->stage, r->http->method, r->path, &m)) {
        api_refuse(r, 404, "Not Found");
        return;
    }
    const struct api_route *route = m.route;
    if (!decode_parameters(r, &m)) {
        api_refuse(r, 400, "Bad Request");
        return;
    }
    r->route = route;
    if (!api_route_admits(r->stage, route)) {
        r->route = NULL; // no integration's headers on this answer
        api_refuse(r, 429, "Too Many Requests");
        return;
    }
    api_authorize(r);
}

// The first segment when it names a stage, else $default.
static bool find_stage(struct api_request *r, struct str path)
{
    struct str rest = str_slice(path, 1, path.len), first;

    if (str_next(&rest, '/', &first) && first.len > 0 && !str_eq(first, STR("$default")) &&
        (r->stage = api_stage_get(r->api, first))) {
        r->path = rest.ptr ? str_slice(path, first.len + 1, path.len) : STR("/");
        r->raw_path = path;
        return true;
    }
    r->path = r->raw_path = path;
    return (r->stage = api_stage_get(r->api, STR("$default"))) != NULL;
}

static void respond_message(struct http_request *req, int status, struct str body)
{
    http_respond_text(req, status, STR("application/json"), body);
}

static bool locate(struct api_request *r, const struct host_name *host, struct str *path)
{
    struct api_domain_target target;
    struct str domain = http_header_get(r->http, STR("host"));
    size_t prefix;

    *path = r->http->path;
    if (str_eq(host->service, STR("execute-api"))) {
        r->api = api_get(host->label);
        r->domain_prefix = host->label;
        return true;
    }
    if (str_starts(*path, STR(PATH_STYLE))) {
        struct str rest = str_slice(*path, strlen(PATH_STYLE), path->len), id;
        str_next(&rest, '/', &id);
        r->api = api_get(id);
        r->domain_prefix = id;
        *path = rest.ptr ? str_slice(*path, strlen(PATH_STYLE) + id.len, path->len) : STR("/");
        return true;
    }
    if (path->len == 0 || path->ptr[0] != '/' ||
        !api_domain_find(&r->http->arena, domain, *path, &target, &prefix))
        return false;
    r->api = api_get(target.api_id);
    r->domain_prefix = domain;
    r->base_path = target.key;
    r->stage = r->api ? api_stage_get(r->api, target.stage) : NULL;
    r->raw_path = *path;
    r->path = prefix < path->len ? str_slice(*path, prefix, path->len) : STR("/");
    return true;
}

// A cheap look before anything is allocated: could this request be for an API at all?
static bool may_be_ours(const struct http_request *req, const struct host_name *host)
{
    return str_eq(host->service, STR("execute-api")) || str_starts(req->path, STR(PATH_STYLE)) ||
           str_starts(req->path, STR(CONNECTIONS_PATH)) ||
           (host->service.len == 0 && api_domains_exist());
}

static bool take(void *ctx, struct engine *e, struct http_request *req,
                 const struct host_name *host)
{
    struct str path, rest;

    (void)ctx;
    if (!may_be_ours(req, host))
        return false;
    if (str_starts(req->path, STR(CONNECTIONS_PATH))) {
        struct call *c = engine_call_new(e, req);
        if (c)
            connections_manage(c, str_slice(req->path, strlen(CONNECTIONS_PATH), req->path.len));
        else
            http_request_drop(req);
        return true;
    }
    struct api_request *r = arena_new(&req->arena, struct api_request);
    if (!r)
        return false;
    *r = (struct api_request){.http = req, .began_ns = os_mono_ns()};
    if (!locate(r, host, &path))
        return false;
    r->c = engine_call_new(e, req);
    if (!r->c) {
        api_unref(r->api);
        http_request_drop(req);
        return true;
    }
    if (!r->api || r->api->disabled || path.len == 0 || path.ptr[0] != '/') {
        api_unref(r->api);
        respond_message(req, 404, STR("{\"message\":\"Not Found\"}"));
        return true;
    }
    rest = http_header_get(req, STR("host"));
    str_next(&rest, ':', &r->domain_name);
    if (!r->stage && !find_stage(r, path)) {
        api_unref(r->api);
        respond_message(req, 404, STR("{\"message\":\"Not Found\"}"));
        return true;
    }
    if (r->api->websocket)
        websocket_take(r);
    else
        serve(r);
    return true;
}

int http_api_register(struct engine *e, struct err *err)
{
    return engine_add_site(e, (struct engine_site){.take = take}, err);
}
