// function_urls.c - see function_urls.h.

#include "services/gateway/function_urls.h"

#include "engine/auth.h"
#include "engine/engine.h"
#include "engine/sites.h"
#include "os/time.h"
#include "services/gateway/cors.h"
#include "services/gateway/lambda_proxy.h"
#include "services/gateway/request_trace.h"

#include <errno.h>

#define PATH_STYLE "/_url/"

struct url_call {
    struct lambda_proxy proxy;
    struct lambda_url url;
    struct cors cors;
    bool has_cors;
    int64_t began_ns, function_ns; // when it came, when the function was asked
};

// ---- traces
// --------------------------------------------------------------------------------------

static uint32_t us_since(int64_t from_ns)
{
    int64_t us = from_ns > 0 ? (os_mono_ns() - from_ns) / 1000 : 0;

    return us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

static void fill_trace(const struct lambda_proxy *p, int status, struct request_trace *t)
{
    const struct url_call *u = p->user;

    *t = (struct request_trace){
        .at_ms = p->event.now_ms,
        .status = status,
        .total_us = us_since(u->began_ns),
        .integration_us = us_since(u->function_ns),
    };
    request_trace_text(t->id, sizeof(t->id), p->event.request_id);
    request_trace_text(t->method, sizeof(t->method), p->event.http->method);
    request_trace_text(t->where, sizeof(t->where),
                       arena_printf(&p->event.http->arena, "%.*s%.*s",
                                    STR_ARG(p->event.domain_name), STR_ARG(p->event.raw_path)));
    request_trace_function(t, p);
}

static void finished(struct lambda_proxy *p, int status, size_t body_bytes)
{
    struct request_trace t;
    (void)body_bytes;

    fill_trace(p, status, &t);
    request_trace_add(&t);
}

// ---- answers
// -------------------------------------------------------------------------------------

static void respond_message(struct http_request *req, int status, const char *message)
{
    struct str body = arena_printf(&req->arena, "{\"Message\":\"%s\"}", message);

    http_respond_text(req, status, STR("application/json"), body);
}

static void fail(struct lambda_proxy *p, enum proxy_failure why, const char *detail)
{
    static const struct {
        int status;
        const char *message;
    } answers[] = {
        [PROXY_TOO_LARGE] = {413, "Request must be smaller than 6291456 bytes for the "
                                  "InvokeFunction operation"},
        [PROXY_NO_FUNCTION] = {404, "Function not found"},
        [PROXY_THROTTLED] = {429, "Rate Exceeded."},
        [PROXY_FUNCTION_ERROR] = {502, "Internal Server Error"},
        [PROXY_MALFORMED] = {502, "Internal Server Error"},
        [PROXY_TIMED_OUT] = {504, "Gateway Timeout"}, // not asked for here
        [PROXY_OUR_FAULT] = {500, "Internal Server Error"},
    };
    struct http_request *req = p->event.http;

    (void)detail;
    finished(p, answers[why].status, 0);
    if (why == PROXY_FUNCTION_ERROR || why == PROXY_MALFORMED) {
        http_respond_text(req, answers[why].status, STR("application/json"),
                          STR("Internal Server Error"));
        return;
    }
    respond_message(req, answers[why].status, answers[why].message);
}

static void decorate(struct lambda_proxy *p, struct http_result *r)
{
    struct url_call *u = p->user;
    struct http_request *req = p->event.http;

    if (u->has_cors) {
        unsigned kept = 0;
        for (unsigned i = 0; i < r->n_headers; i++)
            if (!cors_decides(r->headers[i].name))
                r->headers[kept++] = r->headers[i];
        r->n_headers = kept;
        struct http_header *all =
            arena_new_array(&req->arena, struct http_header, kept + CORS_MAX_HEADERS + 1);
        if (all) {
            for (unsigned i = 0; i < kept; i++)
                all[i] = r->headers[i];
            r->headers = all;
            cors_headers(&req->arena, &u->cors, req, false, all, &r->n_headers);
        }
    }
    struct http_header *more = arena_new_array(&req->arena, struct http_header, r->n_headers + 2);
    if (!more)
        return;
    for (unsigned i = 0; i < r->n_headers; i++)
        more[i] = r->headers[i];
    more[r->n_headers++] = (struct http_header){STR("x-amzn-requestid"), p->event.request_id};
    struct request_trace t;
    fill_trace(p, r->status, &t);
    request_trace_header(req, &t, &req->arena, more, &r->n_headers);
    r->headers = more;
}

static void preflight(struct url_call *u, struct http_request *req)
{
    struct http_header headers[CORS_MAX_HEADERS];
    struct http_response response = {.status = 200, .headers = headers};

    cors_headers(&req->arena, &u->cors, req, true, headers, &response.n_headers);
    http_respond(req, &response);
}

static void serve(struct url_call *u, struct call *c, struct str raw_path)
{
    struct http_request *req = c->http;
    struct err err = ERR_INIT;

    u->began_ns = os_mono_ns();
    u->has_cors = cors_read(c->arena, u->url.cors_json, &u->cors);
    if (u->has_cors && cors_is_preflight(req)) {
        preflight(u, req);
        return;
    }
    if (u->url.auth_iam && engine_authenticate(c, "lambda", &err) < 0) {
        respond_message(req, 403, "Forbidden");
        return;
    }
    struct str host = http_header_get(req, STR("host")), domain = STR("");
    str_next(&host, ':', &domain);
    u->proxy = (struct lambda_proxy){
        .engine = c->engine,
        .event =
            {
                .http = req,
                .account_id = u->url.auth_iam ? c->principal.account : STR("anonymous"),
                .api_id = str_from(u->url.id),
                .domain_name = domain,
                .domain_prefix = str_from(u->url.id),
                .request_id = c->request_id,
                .stage = STR("$default"),
                .route_key = STR("$default"),
                .raw_path = raw_path,
                .function_url = true,
                .now_ms = c->now_ms,
                .authorized = u->url.auth_iam ? HTTP_AUTHORIZER_IAM : HTTP_AUTHORIZER_NONE,
                .authorizer =
                    u->url.auth_iam ? http_event_caller(c->arena, &c->principal) : STR_NULL,
            },
        .format = 2,
        .stream = u->url.stream,
        .account = str_from(u->url.account),
        .region = str_from(u->url.region),
        .function = str_from(u->url.function),
        .qualifier = u->url.qualifier[0] ? str_from(u->url.qualifier) : STR_NULL,
        .trace_id = http_header_get(req, STR("x-amzn-trace-id")),
        .fail = fail,
        .decorate = decorate,
        .finished = finished,
        .user = u,
    };
    u->function_ns = os_mono_ns();
    lambda_proxy_start(&u->proxy);
}

// Whose URL this request is for, and the path that the function sees.
static bool addressed(const struct http_request *req, const struct host_name *host, struct str *id,
                      struct str *raw_path)
{
    *raw_path = req->path;
    if (str_eq(host->service, STR("lambda-url"))) {
        *id = host->label;
        return true;
    }
    if (!str_starts(req->path, STR(PATH_STYLE)))
        return false;
    struct str rest = str_slice(req->path, strlen(PATH_STYLE), req->path.len);
    ptrdiff_t slash = str_find_char(rest, '/');
    *id = slash < 0 ? rest : str_slice(rest, 0, (size_t)slash);
    *raw_path = slash < 0 ? STR("/") : str_slice(rest, (size_t)slash, rest.len);
    return true;
}

static bool take(void *ctx, struct engine *e, struct http_request *req,
                 const struct host_name *host)
{
    struct str id, raw_path;

    (void)ctx;
    if (!addressed(req, host, &id, &raw_path))
        return false;
    struct call *c = engine_call_new(e, req);
    struct url_call *u = c ? arena_new(c->arena, struct url_call) : NULL;
    if (!u)
        http_request_drop(req);
    else if (lambda_url_find(e, c->arena, id, &u->url) < 0)
        respond_message(req, 403, "Forbidden");
    else
        serve(u, c, raw_path);
    return true;
}

int function_urls_register(struct engine *e, struct err *err)
{
    return engine_add_site(e, (struct engine_site){.take = take}, err);
}
