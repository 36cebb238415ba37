// runtime_api.c - the HTTP Runtime API (2018-06-01) on the sandbox's own loopback, and the platform
// endpoint beside it.
//
// Which listener a request came through says whose it is. `next` is held until there is work; the
// body of a response is taken piece by piece, so that a streamed one reaches the caller as it comes
// and one that is too large costs no memory. Requests may outlive their environment: they keep its
// id, never a pointer.

#include "runtime/runtime_impl.h"

#include "base/base64.h"
#include "base/json.h"
#include "http/server.h"
#include "os/fd.h"

#include <stdio.h>
#include <string.h>

#define PREFIX "/2018-06-01/runtime/"
#define MAX_ERROR_BYTES (1 << 20)

enum post_kind { POST_RESPONSE, POST_ERROR, POST_INIT_ERROR, POST_RESTORE_ERROR, POST_REFUSED };

// A POST whose body is coming in.
struct post {
    uint64_t environment_id;
    uint64_t sequence;
    enum post_kind kind;
    bool streaming;
    int refused_status;
    const char *refused_type, *refused_message; // constants
    struct str error_type;
    struct buf body;
};

static void respond(struct http_request *req, int status, struct str body)
{
    http_respond_text(req, status, STR("application/json"), body);
}

static void refuse(struct http_request *req, int status, const char *type, const char *message)
{
    struct str body =
        arena_printf(&req->arena, "{\"errorMessage\":\"%s\",\"errorType\":\"%s\"}", message, type);

    respond(req, status, body);
}

static void respond_ok(struct http_request *req)
{
    respond(req, 202, STR("{\"status\":\"OK\"}\n"));
}

// ---- GET next ----------------------------------------------------------------------------------

static void next_gone(struct http_request *req)
{
    struct environment *env = home_find(home_here(), (uint64_t)(uintptr_t)req->user);

    if (env && env->next_req == req)
        env->next_req = NULL;
    http_request_drop(req);
}

static void hold(struct environment *env, struct http_request *req)
{
    if (env->next_req) // a connection that the runtime gave up without our having noticed
        http_request_drop(env->next_req);
    env->next_req = req;
    req->user = (void *)(uintptr_t)env->id;
    req->gone = next_gone;
}

static void on_next(struct environment *env, struct http_request *req)
{
    if (env->state == ENV_BUSY && !env->answered) {
        refuse(req, 403, "InvalidStateTransition",
               "State transition from Running to Ready failed for runtime. "
               "Error: State transition is not allowed");
        return;
    }
    hold(env, req);
    environment_next(env);
}

// SnapStart: the runtime is done with INIT and its hooks, and is held here until it is restored.
static void on_restore_next(struct environment *env, struct http_request *req)
{
    bool early = env->state == ENV_STARTING || env->state == ENV_BINDING;

    if (!env->function || !env->function->snap_start || (env->state != ENV_INIT && !early)) {
        refuse(req, 403, "InvalidStateTransition",
               "State transition to Restoring failed for runtime. "
               "Error: State transition is not allowed");
        return;
    }
    hold(env, req);
    env->restore_waits = true;
    environment_next(env);
}

void runtime_api_send_restore(struct environment *env)
{
    struct http_request *req = env->next_req;

    env->restore_waits = false;
    env->next_req = NULL;
    if (req) // else its connection broke, and the time limit ends it
        respond(req, 200, STR(""));
}

void runtime_api_send_invoke(struct environment *env, struct invocation *inv, int64_t deadline_ms)
{
    struct http_request *req = env->next_req;
    char deadline[24], invocation_id[24];
    struct http_header headers[10];
    unsigned n = 0;

    if (!req)
        return; // its connection broke: it will ask again, or time out
    env->next_req = NULL;
    snprintf(deadline, sizeof(deadline), "%lld", (long long)deadline_ms);
    snprintf(invocation_id, sizeof(invocation_id), "%llx", (unsigned long long)env->sequence);
    headers[n++] = (struct http_header){STR("Content-Type"), STR("application/json")};
    headers[n++] = (struct http_header){STR("Lambda-Runtime-Aws-Request-Id"), inv->request_id};
    headers[n++] = (struct http_header){STR("Lambda-Runtime-Deadline-Ms"), str_from(deadline)};
    headers[n++] =
        (struct http_header){STR("Lambda-Runtime-Invoked-Function-Arn"), inv->invoked_arn};
    headers[n++] = (struct http_header){STR("Lambda-Runtime-Trace-Id"), inv->trace_id};
    headers[n++] =
        (struct http_header){STR("Lambda-Runtime-Invocation-Id"), str_from(invocation_id)};
    if (inv->client_context.len > 0)
        headers[n++] =
            (struct http_header){STR("Lambda-Runtime-Client-Context"), inv->client_context};
    if (inv->cognito_identity.len > 0)
        headers[n++] =
            (struct http_header){STR("Lambda-Runtime-Cognito-Identity"), inv->cognito_identity};
    if (inv->tenant_id.len > 0)
        headers[n++] = (struct http_header){STR("Lambda-Runtime-Aws-Tenant-Id"), inv->tenant_id};
    const struct http_response response = {
        .status = 200, .headers = headers, .n_headers = n, .body = inv->payload};
    http_respond(req, &response);
}

// ---- POST response, error, init/error ----------------------------------------------------------

static struct environment *whose(const struct post *p)
{
    struct environment *env = home_find(home_here(), p->environment_id);

    if (!env || env->state == ENV_SHUTDOWN)
        return NULL;
    return env;
}

static bool is_current(const struct environment *env, const struct post *p)
{
    return env && env->state == ENV_BUSY && env->inv && env->sequence == p->sequence;
}

// The caller's error: the runtime's body when it is JSON, else one of our own making.
static void set_error(struct invocation *inv, struct str type, struct str body)
{
    char text[96];

    snprintf(text, sizeof(text), "%.*s", STR_ARG(type.len > 0 ? type : STR("Runtime.Unknown")));
    for (char *c = text; *c; c++)
        if (*c < 0x20 || *c == '"' || *c == '\\')
            *c = '_';
    invocation_set_error(inv, text, "Unknown Error");
    if (body.len > 0 && json_valid(body)) {
        buf_finish(&inv->response_buf);
        buf_init(&inv->response_buf, body.len + 1);
        buf_add(&inv->response_buf, body);
        inv->response = buf_str(&inv->response_buf);
    }
}

static void finish_response(struct environment *env, struct http_request *req, struct post *p)
{
    struct invocation *inv = env->inv;
    struct str type = http_trailer_get(req, STR("lambda-runtime-function-error-type"));
    struct str body = http_trailer_get(req, STR("lambda-runtime-function-error-body"));
    struct str decoded = STR_NULL;

    env->stream_req = NULL;
    if (p->streaming && !str_is_null(type)) {
        if (base64_decode(&req->arena, body, &decoded) < 0)
            decoded = STR_NULL;
        set_error(inv, type, decoded);
    }
    bool too_large = !p->streaming && inv->status == INVOCATION_FUNCTION_ERROR;
    if (inv->status == INVOCATION_OK && !inv->sink)
        inv->response = buf_str(&inv->response_buf);
    environment_answered(env);
    if (too_large)
        refuse(req, 413, "RequestEntityTooLarge",
               "Exceeded maximum allowed payload size (6291556 bytes).");
    else
        respond_ok(req);
}

static void finish_post(struct http_request *req, struct post *p)
{
    struct environment *env = whose(p);

    switch (p->kind) {
    case POST_REFUSED:
        refuse(req, p->refused_status, p->refused_type, p->refused_message);
        break;
    case POST_RESPONSE:
        if (is_current(env, p))
            finish_response(env, req, p);
        else
            refuse(req, 400, "InvalidRequestID", "Invalid request ID");
        break;
    case POST_ERROR:
        if (is_current(env, p)) {
            set_error(env->inv, p->error_type, buf_str(&p->body));
            environment_answered(env);
            respond_ok(req);
        } else {
            refuse(req, 400, "InvalidRequestID", "Invalid request ID");
        }
        break;
    case POST_INIT_ERROR:
        respond_ok(req);
        if (env)
            environment_init_failed(env,
                                    p->error_type.len > 0 ? p->error_type : STR("Runtime.Unknown"),
                                    json_valid(buf_str(&p->body)) ? buf_str(&p->body) : STR(""));
        break;
    case POST_RESTORE_ERROR:
        respond_ok(req);
        if (env)
            environment_restore_failed(
                env, p->error_type.len > 0 ? p->error_type : STR("Runtime.AfterRestoreError"),
                json_valid(buf_str(&p->body)) ? buf_str(&p->body) : STR(""));
        break;
    }
    buf_finish(&p->body);
}

static void on_piece(struct http_request *req, struct str piece, bool last)
{
    struct post *p = req->user;
    struct environment *env = whose(p);

    if (p->kind == POST_RESPONSE) {
        if (piece.len > 0 && is_current(env, p)) {
            if (!stream_write(env, piece)) {
                env->stream_req = req;
                http_body_pause(req);
            }
        }
    } else if (p->kind != POST_REFUSED && p->body.len + piece.len <= MAX_ERROR_BYTES) {
        buf_add(&p->body, piece);
    }
    if (last)
        finish_post(req, p);
}

static void post_gone(struct http_request *req)
{
    struct post *p = req->user;
    struct environment *env = whose(p);

    if (p->kind == POST_RESPONSE && is_current(env, p)) {
        env->stream_req = NULL;
        set_error(env->inv, STR("Runtime.TruncatedResponse"), STR_NULL);
        environment_answered(env);
    }
    buf_finish(&p->body);
    http_request_drop(req);
}

void runtime_api_resume(struct environment *env)
{
    struct http_request *req = env->stream_req;

    env->stream_req = NULL;
    if (req)
        http_body_resume(req);
}

static struct post *begin_post(struct environment *env, struct http_request *req,
                               enum post_kind kind)
{
    struct post *p = arena_new(&req->arena, struct post);
    struct str mode = http_header_get(req, STR("lambda-runtime-function-response-mode"));

    if (!p) {
        http_request_drop(req);
        return NULL;
    }
    p->environment_id = env->id;
    p->sequence = env->sequence;
    p->kind = kind;
    p->error_type = http_header_get(req, STR("lambda-runtime-function-error-type"));
    p->streaming = kind == POST_RESPONSE && str_eq_nocase(mode, STR("streaming"));
    buf_init(&p->body, MAX_ERROR_BYTES);
    if (kind == POST_RESPONSE) {
        struct str type = http_header_get(req, STR("content-type"));
        if (p->streaming)
            stream_begin(env, type.len > 0 ? type : STR("application/octet-stream"));
        else
            env->inv->content_type = STR("application/json");
    }
    req->user = p;
    req->gone = post_gone;
    req->max_body_bytes = UINT64_MAX;
    req->on_body = on_piece;
    return p;
}

// Takes the body first: an answer ahead of it would cost the runtime its connection.
static void refuse_post(struct environment *env, struct http_request *req, int status,
                        const char *type, const char *message)
{
    struct post *p = begin_post(env, req, POST_REFUSED);

    if (!p)
        return;
    p->refused_status = status;
    p->refused_type = type;
    p->refused_message = message;
}

// "<id>/response": the id must be the current invocation's.
static void on_invocation_post(struct environment *env, struct http_request *req, struct str rest)
{
    struct str id, echoed = http_header_get(req, STR("lambda-runtime-invocation-id"));
    char current[24];

    str_next(&rest, '/', &id);
    if (env->state == ENV_BUSY && env->answered) {
        refuse_post(env, req, 403, "InvalidStateTransition",
                    "State transition from Ready to ResponseSent failed for runtime. "
                    "Error: State transition is not allowed");
        return;
    }
    snprintf(current, sizeof(current), "%llx", (unsigned long long)env->sequence);
    if (env->state != ENV_BUSY || !env->inv || !str_eq(id, env->inv->request_id)) {
        refuse_post(env, req, 400, "InvalidRequestID", "Invalid request ID");
        return;
    }
    if (!str_is_null(echoed) && !str_eq(echoed, str_from(current))) {
        refuse_post(env, req, 400, "InvalidInvocationID", "Invalid invocation ID");
        return;
    }
    if (str_eq(rest, STR("response")))
        begin_post(env, req, POST_RESPONSE);
    else if (str_eq(rest, STR("error")))
        begin_post(env, req, POST_ERROR);
    else
        refuse_post(env, req, 404, "InvalidRequestURI", "There is no such path");
}

static bool strip(struct str *path, struct str prefix)
{
    if (!str_starts(*path, prefix))
        return false;
    *path = str_slice(*path, prefix.len, path->len);
    return true;
}

// Headers are here: POSTs take their bodies in pieces, everything else waits to be complete.
static void on_headers(void *ctx, struct http_request *req)
{
    struct environment *env = ctx;
    struct str path = req->path;

    if (!str_eq(req->method, STR("POST")) || !strip(&path, STR(PREFIX)))
        return;
    if (str_eq(path, STR("init/error"))) {
        if (env->state == ENV_INIT)
            begin_post(env, req, POST_INIT_ERROR);
        else
            refuse_post(env, req, 403, "InvalidStateTransition",
                        "State transition from Ready to InitError failed for runtime. "
                        "Error: State transition is not allowed");
    } else if (str_eq(path, STR("restore/error"))) {
        if (env->state == ENV_RESTORING)
            begin_post(env, req, POST_RESTORE_ERROR);
        else
            refuse_post(env, req, 403, "InvalidStateTransition",
                        "State transition to RestoreError failed for runtime. "
                        "Error: State transition is not allowed");
    } else if (strip(&path, STR("invocation/"))) {
        on_invocation_post(env, req, path);
    }
}

static void on_request(void *ctx, struct http_request *req)
{
    struct environment *env = ctx;
    struct str path = req->path;

    if (extensions_request(env, req))
        return;
    if (!strip(&path, STR(PREFIX)))
        refuse(req, 404, "InvalidRequestURI", "There is no such path");
    else if (!str_eq(path, STR("invocation/next")) && !str_eq(path, STR("restore/next")))
        refuse(req, 404, "InvalidRequestURI", "There is no such path");
    else if (!str_eq(req->method, STR("GET")))
        refuse(req, 405, "MethodNotAllowed", "The method is not allowed here");
    else if (env->interpreter)
        refuse(req, 403, "Forbidden", "The managed runtime takes the invocations");
    else if (str_eq(path, STR("restore/next")))
        on_restore_next(env, req);
    else
        on_next(env, req);
}

// ---- the listeners -----------------------------------------------------------------------------

static void on_platform(void *ctx, struct http_request *req)
{
    const struct environment *env = ctx;

    // The listener is the identity: credentials of another environment are refused here.
    req->origin = arena_str(&req->arena, str_from(env->name));
    if (runtime.platform && !str_is_null(req->origin))
        runtime.platform(runtime.platform_ctx, req);
    else
        http_respond_text(req, 503, STR("text/plain"), STR("The platform is starting.\n"));
}

int runtime_api_open(struct environment *env, struct err *err)
{
    struct http_listener_config config = {
        .handle = on_request, .on_headers = on_headers, .ctx = env, .limits = HTTP_LIMITS_DEFAULT};
    int r = 0;

    // A frozen sandbox keeps its connections for as long as it lives.
    config.limits.idle_ms = config.limits.body_ms = (int64_t)24 * 3600 * 1000;
    if (env->sandbox.runtime_api_fd >= 0)
        r = http_listener_from_fd(env->home->loop, TAKE_FD(env->sandbox.runtime_api_fd), &config,
                                  &env->api, err);
    if (r == 0 && env->sandbox.endpoint_fd >= 0) {
        struct http_listener_config endpoint = {.handle = on_platform,
                                                .ctx = env,
                                                .limits = HTTP_LIMITS_DEFAULT,
                                                .spool_dir = runtime.spool_dir};
        // The function's own requests; their bodies are spooled to the host's disk.
        endpoint.limits.body_bytes = (uint64_t)96 << 20;
        endpoint.limits.connections = 256;
        r = http_listener_from_fd(env->home->loop, TAKE_FD(env->sandbox.endpoint_fd), &endpoint,
                                  &env->endpoint, err);
    }
    return r;
}

void runtime_api_close(struct environment *env)
{
    struct http_request *next = env->next_req;

    env->next_req = NULL;
    if (next) {
        next->gone = NULL;
        http_request_drop(next);
    }
    if (env->api)
        http_listener_close(env->api);
    if (env->endpoint)
        http_listener_close(env->endpoint);
    env->api = env->endpoint = NULL;
}
