// invoke.c - Invoke, from the client's request to the function and back, without leaving the loop.
//
// The payload is not decoded: it is checked to be JSON and handed on as it came. Long payloads are
// read and checked on a worker first. The invocation lives in the request's arena; the runtime has
// it from invocation_submit() until done().
#include "services/lambda/lambda_impl.h"

#include "base/base64.h"
#include "base/json.h"
#include "base/percent.h"
#include "http/server.h"
#include "os/random.h"
#include "services/lambda/invoke_impl.h"

#include <errno.h>
#include <stdio.h>

#define MAX_SYNC_BYTES ((size_t)6291456)  // AWS: 6 MB
#define MAX_ASYNC_BYTES ((size_t)1048576) // AWS: 1 MB
#define MAX_CONTEXT_BYTES 3583
// A payload up to this long is checked on the loop.
#define LOOP_CHECK_BYTES ((size_t)128 << 10)

static const struct aws_error access_denied = {"AccessDeniedException", NULL, 403, true};

// --- which function ---

static int pick_version(const struct fn_target *t, struct str *version, bool *fixed)
{
    struct fn_record *record = fn_record_of(t->fn, RECORD_ALIAS, t->qualifier);

    *fixed = true;
    *version = t->qualifier;
    if (!record)
        return 0;
    const struct lambda_alias_configuration *a = record->value;
    *version = a->function_version;
    if (!a->routing_config || a->routing_config->additional_version_weights.n == 0)
        return 0;
    *fixed = false;
    double drawn = (double)(os_random_u64() >> 11) / 9007199254740992.0; // 2^53
    for (size_t i = 0; i < a->routing_config->additional_version_weights.n; i++) {
        const struct lambda_additional_version_weights_entry *w =
            &a->routing_config->additional_version_weights.ptr[i];
        if (drawn < w->value) {
            *version = w->key;
            return 0;
        }
        drawn -= w->value;
    }
    return 0;
}

// Under `table`. *config is a reference.
static int resolve(struct lambda *l, struct call *c, struct str name, struct str qualifier,
                   struct fn_target *t, struct function_config **config, bool *fixed,
                   struct err *err)
{
    struct fn_version *v;
    int r = fn_find(l, c, name, qualifier, t, err);

    if (r < 0)
        return r;
    struct fn_target drawn = *t;
    pick_version(t, &drawn.qualifier, fixed);
    r = fn_version_of(&drawn, &v, err);
    if (r < 0)
        return r;
    if (v->config->environment && v->config->environment->error)
        return err_aws(err, &LAMBDA_KMS_ACCESS_DENIED_EXCEPTION, "%.*s",
                       STR_ARG(v->config->environment->error->message));
    if (v->snapshot->snap_start && !str_eq(v->config->state, STR("Active")))
        return snapstart_refuse(v, err);
    *config = fn_version_snapshot(v);
    return 0;
}

int lambda_resolve(struct engine *e, struct str account, struct str region, struct str name,
                   struct str qualifier, struct lambda_target *out, struct err *err)
{
    _cleanup_(arena_finish) struct arena a = {0};
    struct lambda *l = engine_state(e, &lambda_service);
    struct call c = {.engine = e, .state = l, .arena = &a, .account = account, .region = region};
    struct fn_target t;
    struct function_config *config = NULL;
    bool fixed;

    arena_init(&a, 64 * 1024);
    _cleanup_(lambda_look_end) struct lambda *look = lambda_look(&c);
    int r = resolve(look, &c, name, qualifier, &t, &config, &fixed, err);
    if (r < 0)
        return r;
    *out = (struct lambda_target){.config = config, .fixed = fixed};
    snprintf(out->version, sizeof(out->version), "%.*s", STR_ARG(config->version));
    snprintf(out->arn, sizeof(out->arn), "%.*s", STR_ARG(t.arn));
    return 0;
}

// --- the request ---

static int bad_value(struct err *err, struct str value, const char *member, const char *set)
{
    return err_aws(err, wire_lambda.validation,
                   "1 validation error detected: Value '%.*s' at '%s' failed to satisfy "
                   "constraint: Member must satisfy enum value set: [%s]",
                   (int)(value.len > 64 ? 64 : value.len), value.ptr ? value.ptr : "", member, set);
}

static int read_headers(struct invoke *i, struct err *err)
{
    struct http_request *req = i->call->http;
    struct str type = http_header_get(req, STR("x-amz-invocation-type"));
    struct str log = http_header_get(req, STR("x-amz-log-type"));
    struct str context = http_header_get(req, STR("x-amz-client-context"));
    struct str content = http_header_get(req, STR("content-type"));

    if (type.len == 0 || str_eq(type, STR("RequestResponse")))
        i->type = INVOKE_SYNC;
    else if (str_eq(type, STR("DryRun")))
        i->type = INVOKE_DRY_RUN;
    else if (str_eq(type, STR("Event")) && !i->streaming)
        i->type = INVOKE_EVENT;
    else
        return bad_value(err, type, "invocationType",
                         i->streaming ? "RequestResponse, DryRun"
                                      : "Event, RequestResponse, DryRun");
    if (str_eq(log, STR("Tail")))
        i->inv.want_tail = i->type == INVOKE_SYNC;
    else if (log.len > 0 && !str_eq(log, STR("None")))
        return bad_value(err, log, "logType", "None, Tail");
    if (str_starts(content, STR("multipart/")) || str_starts(content, STR("image/")) ||
        str_starts(content, STR("text/xml")) || str_starts(content, STR("application/xml")))
        return err_aws(err, &LAMBDA_UNSUPPORTED_MEDIA_TYPE_EXCEPTION,
                       "Unsupported Media Type: %.*s", (int)(content.len > 64 ? 64 : content.len),
                       content.ptr);
    if (context.len > 0) {
        struct str json;
        if (context.len > MAX_CONTEXT_BYTES)
            return err_aws(err, &LAMBDA_INVALID_REQUEST_CONTENT_EXCEPTION,
                           "Client context must be no more than %d bytes.", MAX_CONTEXT_BYTES);
        if (base64_decode(i->call->arena, context, &json) < 0 || !json_valid(json) ||
            str_trim(json).ptr[0] != '{')
            return err_aws(err, &LAMBDA_INVALID_REQUEST_CONTENT_EXCEPTION,
                           "Client context must be a valid Base64-encoded JSON object.");
        i->inv.client_context = json;
    }
    i->inv.trace_id = http_header_get(req, STR("x-amzn-trace-id"));
    i->inv.tenant_id = http_header_get(req, STR("x-amz-tenant-id"));
    return 0;
}

// `lambkin invoke --debug`: a port of this host's loopback becomes a way into the function, so only
// its owner may ask for it, and never from inside of a function.
static int read_debug(struct invoke *i, const struct function_config *f, struct err *err)
{
    const struct call *c = i->call;
    struct str port = http_header_get(c->http, STR("x-lambkin-debug"));
    bool owner = c->principal.kind == PRINCIPAL_ROOT || c->principal.kind == PRINCIPAL_USER ||
                 c->principal.kind == PRINCIPAL_ROLE;
    int64_t n;

    if (str_is_null(port))
        return 0;
    if (!owner || !str_is_null(c->http->origin) || !str_eq(c->principal.account, f->account))
        return err_aws(err, &access_denied, "Only the account that owns a function may debug it.");
    if (i->type != INVOKE_SYNC || i->streaming)
        return err_aws(err, &LAMBDA_INVALID_PARAMETER_VALUE_EXCEPTION,
                       "Only a synchronous invocation can be debugged.");
    if (str_to_i64(port, &n) < 0 || n < 1 || n > UINT16_MAX)
        return err_aws(err, &LAMBDA_INVALID_PARAMETER_VALUE_EXCEPTION,
                       "X-Lambkin-Debug is a port from 1 to 65535.");
    i->inv.debug_port = (uint16_t)n;
    i->inv.client_gone = &c->http->client_gone;
    return 0;
}

static int check_payload(struct invoke *i, struct err *err)
{
    size_t max = i->type == INVOKE_EVENT ? MAX_ASYNC_BYTES : MAX_SYNC_BYTES;

    if (i->inv.payload.len > max) {
        err_field(err, "Type", "User");
        return err_aws(err, &LAMBDA_REQUEST_TOO_LARGE_EXCEPTION,
                       "Request must be smaller than %zu bytes for the InvokeFunction operation",
                       max);
    }
    if (i->inv.payload.len == 0)
        i->inv.payload = STR("{}");
    else if (!json_valid(i->inv.payload))
        return err_aws(err, &LAMBDA_INVALID_REQUEST_CONTENT_EXCEPTION,
                       "Could not parse request body into json: Could not parse payload into "
                       "json");
    return 0;
}

// --- the answer ---

static struct str server_timing(struct arena *a, const struct invocation *inv)
{
    static const char *const starts[] = {"warm", "thawed", "waited", "restored", "spare", "cold"};
    const struct invocation_times *t = &inv->times;
    const char *why = invocation_why_name(inv->why);

    const struct {
        const char *name;
        uint32_t us;
    } parts[] = {{"queue", t->queue_us},     {"environment", t->environment_us},
                 {"code", t->code_us},       {"init", t->init_us},
                 {"handler", t->handler_us}, {"response", t->response_us},
                 {"total", t->total_us}};
    struct buf text;

    buf_init(&text, 1024);
    buf_reserve(&text, 320);
    buf_add(&text, STR("start;desc=\""));
    buf_add(&text, str_from(starts[inv->start]));
    buf_add_char(&text, '"');
    if (*why) {
        buf_add(&text, STR(", why;desc=\""));
        buf_add(&text, str_from(why));
        buf_add_char(&text, '"');
    }
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        buf_add(&text, STR(", "));
        buf_add(&text, str_from(parts[i].name));
        buf_add(&text, STR(";dur="));
        buf_add_decimal(&text, parts[i].us, 3);
    }
    struct str value = arena_str(a, buf_str(&text));
    buf_finish(&text);
    return value;
}

void invoke_result_headers(struct invoke *i)
{
    struct call *c = i->call;
    const struct invocation *inv = &i->inv;

    // A copy: the version may go with the invocation's reference.
    call_header(c, "X-Amz-Executed-Version", arena_str(c->arena, inv->executed_version));
    if (inv->function_error)
        call_header(c, "X-Amz-Function-Error", str_from(inv->function_error));
    if (inv->want_tail)
        call_header(c, "X-Amz-Log-Result", base64_arena(c->arena, inv->log_tail));
    if (inv->trace_text[0])
        call_header(c, "X-Amzn-Trace-Id", str_from(inv->trace_text));
    call_header(c, "Server-Timing", server_timing(c->arena, inv));
}

static void buffered_done(struct invocation *inv)
{
    struct invoke *i = inv->user;
    struct call *c = i->call;

    switch (inv->status) {
    case INVOCATION_OK:
    case INVOCATION_FUNCTION_ERROR: {
        invoke_result_headers(i);
        // The request and its arena, this invocation in it, are gone after the answer.
        struct buf response = inv->response_buf;
        struct str body = inv->response;
        inv->response_buf = (struct buf){0};
        invocation_finish(inv);
        call_respond(c, 200, STR("application/json"), body);
        buf_finish(&response);
        return;
    }
    case INVOCATION_THROTTLED:
    case INVOCATION_FAILED: {
        struct err err = inv->err;
        invocation_finish(inv);
        call_fail(c, &err);
        return;
    }
    }
}

static void submit(struct invoke *i)
{
    struct function_config *config = i->inv.function;

    if (i->streaming)
        invoke_stream_prepare(i);
    else
        i->inv.done = buffered_done;
    i->inv.loop = i->call->http->loop;
    i->inv.user = i;
    i->inv.request_id = i->call->request_id;
    invocation_submit(&i->inv); // took its own reference
    function_config_unref(config);
}

static void refuse(struct invoke *i, struct err *err)
{
    function_config_unref(i->inv.function);
    i->inv.function = NULL;
    call_finish(i->call, 0, STR_NULL, STR_NULL, err);
}

// --- on a worker: long payloads and events ---

static int no_async(struct err *err)
{
    return err_aws(err, &LAMBDA_SERVICE_EXCEPTION,
                   "The InvocationType Event is not available in this version of Lambkin.");
}

static void accept_event(struct invoke *i)
{
    struct lambda *l = lambda_of(i->call);
    struct call *c = i->call;
    struct err err = ERR_INIT;

    if (!l->async_accept) {
        no_async(&err);
        refuse(i, &err);
        return;
    }
    const struct lambda_async_event event = {
        .account = c->account,
        .region = c->region,
        .function = i->inv.function->name,
        .qualifier = i->qualifier,
        .arn = i->inv.invoked_arn,
        .payload = i->inv.payload,
        .client_context = i->inv.client_context,
        .trace_id = i->inv.trace_id,
        .request_id = c->request_id,
        .source = STR("invoke"),
    };
    int r = l->async_accept(l->async_ctx, &event, &err);
    if (r < 0) {
        refuse(i, &err);
        return;
    }
    function_config_unref(i->inv.function);
    call_finish(c, 202, STR_NULL, STR(""), NULL);
}

static void work_invoke(struct call *c)
{
    struct invoke *i = c->interceptor;
    struct err err = ERR_INIT;
    int r = http_body_read(c->http, MAX_SYNC_BYTES + 1, &i->inv.payload, &err);

    if (r == -EFBIG) {
        err = (struct err)ERR_INIT;
        i->inv.payload = (struct str){"", MAX_SYNC_BYTES + 1};
        r = 0;
    }
    if (r == 0)
        r = check_payload(i, &err);
    if (r < 0)
        refuse(i, &err);
    else if (i->type == INVOKE_EVENT)
        accept_event(i);
    else
        submit(i);
}

// --- on the loop ---

static int begin(struct invoke *i, struct str name, struct err *err)
{
    struct call *c = i->call;
    struct str decoded, qualifier = STR_NULL;
    struct fn_target t;
    bool fixed;
    int r = percent_decode(c->arena, name, PERCENT_PATH, &decoded);

    if (r == 0)
        r = percent_query_get(c->arena, c->http->query, STR("Qualifier"), &qualifier);
    if (r < 0)
        return err_aws(err, &LAMBDA_INVALID_REQUEST_CONTENT_EXCEPTION, "The URL is malformed.");
    r = read_headers(i, err);
    if (r < 0)
        return r;
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look(c);
    r = resolve(l, c, decoded, qualifier, &t, &i->inv.function, &fixed, err);
    if (r < 0)
        return r;
    r = read_debug(i, i->inv.function, err);
    if (r < 0) {
        function_config_unref(i->inv.function);
        return r;
    }
    i->inv.invoked_arn = t.arn;
    i->qualifier = str_is_null(t.qualifier) ? STR_NULL : arena_str(c->arena, t.qualifier);
    return 0;
}

// "/2015-03-31/functions/<name>/invocations" and its streaming sister.
static bool invoke_path(struct str path, struct str *name, bool *streaming)
{
    static const struct {
        struct str prefix, suffix;
        bool streaming;
    } forms[] = {
        {STR_INIT("/2015-03-31/functions/"), STR_INIT("/invocations"), false},
        {STR_INIT("/2021-11-15/functions/"), STR_INIT("/response-streaming-invocations"), true},
    };

    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        if (!str_starts(path, forms[i].prefix) || !str_ends(path, forms[i].suffix) ||
            path.len <= forms[i].prefix.len + forms[i].suffix.len)
            continue;
        *name = str_slice(path, forms[i].prefix.len, path.len - forms[i].suffix.len);
        *streaming = forms[i].streaming;
        return str_find_char(*name, '/') < 0;
    }
    return false;
}

bool lambda_intercept(struct call *c)
{
    struct http_request *req = c->http;
    struct err err = ERR_INIT;
    struct str name;
    bool streaming;

    if (!str_eq(req->method, STR("POST")) || !invoke_path(req->path, &name, &streaming))
        return false;
    c->op = &wire_lambda
                 .operations[streaming ? LAMBDA_OP_INVOKE_WITH_RESPONSE_STREAM : LAMBDA_OP_INVOKE];
    struct invoke *i = arena_new(c->arena, struct invoke);
    if (!i) {
        err_set(&err, -ENOMEM, "out of memory");
        call_fail(c, &err);
        return true;
    }
    i->call = c;
    i->streaming = streaming;
    if (begin(i, name, &err) < 0) {
        call_fail(c, &err);
        return true;
    }
    if (i->type == INVOKE_DRY_RUN) {
        function_config_unref(i->inv.function);
        call_respond(c, 204, STR_NULL, STR(""));
        return true;
    }
    if (i->type == INVOKE_EVENT || req->body.fd >= 0 || req->body.size_bytes > LOOP_CHECK_BYTES) {
        c->interceptor = i;
        call_work(c, work_invoke);
        return true;
    }
    i->inv.payload = req->body.memory;
    if (check_payload(i, &err) < 0) {
        function_config_unref(i->inv.function);
        call_fail(c, &err);
        return true;
    }
    submit(i);
    return true;
}

// --- the old way ---

int lambda_invoke_async(struct call *c, const struct lambda_invoke_async_in *in,
                        struct lambda_invoke_async_out *out, struct err *err)
{
    struct lambda *l = lambda_of(c);
    struct function_config *config = NULL;
    struct fn_target t;
    bool fixed;
    int r;

    if (in->invoke_args.len > MAX_ASYNC_BYTES)
        return err_aws(err, &LAMBDA_REQUEST_TOO_LARGE_EXCEPTION,
                       "Request must be smaller than %zu bytes for the InvokeAsync operation",
                       MAX_ASYNC_BYTES);
    if (in->invoke_args.len > 0 && !json_valid(in->invoke_args))
        return err_aws(err, &LAMBDA_INVALID_REQUEST_CONTENT_EXCEPTION,
                       "Could not parse request body into json");
    {
        _cleanup_(lambda_look_end) struct lambda *look = lambda_look(c);
        r = resolve(look, c, in->function_name, STR_NULL, &t, &config, &fixed, err);
        if (r < 0)
            return r;
        if (!str_is_null(t.qualifier))
            t.qualifier = arena_str(c->arena, t.qualifier);
    }
    _cleanup_(function_config_unrefp) struct function_config *held = config;
    if (!l->async_accept)
        return no_async(err);
    const struct lambda_async_event event = {
        .account = c->account,
        .region = c->region,
        .function = held->name,
        .qualifier = t.qualifier,
        .arn = t.arn,
        .payload = in->invoke_args.len > 0 ? in->invoke_args : STR("{}"),
        .request_id = c->request_id,
        .source = STR("invoke"),
    };
    r = l->async_accept(l->async_ctx, &event, err);
    if (r < 0)
        return r;
    WIRE_SET(out, status, 202);
    return 0;
}
