// websocket_integration.c - see websocket_integration.h.

#include "services/gateway/websocket_integration.h"

#include "base/cleanup.h"
#include "base/base64.h"
#include "base/json_select.h"
#include "base/percent.h"
#include "base/utf8.h"
#include "http/client.h"
#include "os/random.h"
#include "os/time.h"
#include "services/gateway/json_schema.h"
#include "services/gateway/mapping_template.h"
#include "services/gateway/parameter_mapping.h"
#include "services/gateway/text_pattern.h"
#include "services/gateway/variable_text.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_EVENT_BYTES ((size_t)1 << 20)
#define MAX_ARENA_BYTES ((size_t)32 << 20)
#define MAX_HEADERS 64
#define FAILED "Internal server error"

// ---- selection expressions
// ------------------------------------------------------------------------

struct str websocket_selected(struct arena *a, struct str expression, struct str body)
{
    const struct json_value *v;

    if (str_starts(expression, STR("${")) && str_ends(expression, STR("}")))
        expression = str_slice(expression, 2, expression.len - 1);
    else if (str_starts(expression, STR("$")))
        expression = str_slice(expression, 1, expression.len);
    if (!str_starts(expression, STR("request.body.")) || json_parse(a, body, &v, NULL) < 0)
        return STR_NULL;
    v = json_select(v, str_slice(expression, strlen("request.body."), expression.len));
    return !v || v->type >= JSON_ARRAY ? STR_NULL : json_text(v);
}

bool websocket_message_fits(const struct api_stage *s, const struct api_route *r, struct str body)
{
    const struct json_value *schema, *document;
    struct str name = STR_NULL, text;
    bool fits = false;
    struct arena a;

    if (r->model_selection.len == 0)
        return true;
    arena_init(&a, MAX_ARENA_BYTES);
    struct str key = websocket_selected(&a, r->model_selection, body);
    if (!key.ptr || !json_str(json_get_str(r->request_models, key), &name))
        name = json_get_or(r->request_models, "$default", STR_NULL);
    json_each(m, s->models)
    {
        if (str_eq(json_get_or(m, "name", STR_NULL), name) &&
            json_str(json_get(m, "schema"), &text))
            fits = json_parse(&a, text, &schema, NULL) == 0 &&
                   json_parse(&a, body, &document, NULL) == 0 && json_schema_fits(schema, document);
    }
    arena_finish(&a);
    return fits;
}

// ---- variables
// -----------------------------------------------------------------------------------

static const struct json_value *context_of(struct websocket_run *run)
{
    if (!run->context && json_parse(&run->arena, buf_str(&run->event), &run->context, NULL) < 0)
        run->context = NULL;
    return run->context;
}

static struct str number(struct websocket_run *run, int64_t n)
{
    return arena_printf(&run->arena, "%lld", (long long)n);
}

// What the log knows and the function is not told.
static struct str log_value(struct websocket_run *run, struct str name)
{
    if (str_eq(name, STR("status")))
        return number(run, run->failed ? 500 : run->status);
    if (str_eq(name, STR("integrationStatus")) || str_eq(name, STR("integration.status")))
        return run->status ? number(run, run->status) : STR_NULL;
    if (str_eq(name, STR("integrationLatency")) || str_eq(name, STR("integration.latency")) ||
        str_eq(name, STR("responseLatency")))
        return number(run, (os_mono_ns() - run->began_ns) / 1000000);
    if (str_eq(name, STR("responseLength")))
        return number(run, (int64_t)run->body.len);
    if (str_eq(name, STR("error.message")) || str_eq(name, STR("error.messageString")))
        return run->failed ? str_from(run->failed) : STR_NULL;
    if (str_eq(name, STR("integrationErrorMessage")) || str_eq(name, STR("integration.error")))
        return run->problem;
    return STR_NULL;
}

// "context.x", "stageVariables.x", "params.x".
static struct str lookup(void *ctx, struct str name)
{
    struct websocket_run *run = ctx;
    const struct json_value *event = context_of(run);

    if (str_starts(name, STR("context."))) {
        struct str rest = str_slice(name, strlen("context."), name.len);
        struct str found = json_text(json_select(json_get(event, "requestContext"), rest));
        return found.ptr ? found : log_value(run, rest);
    }
    if (str_starts(name, STR("stageVariables.")))
        return json_text(json_get_str(json_get(event, "stageVariables"),
                                      str_slice(name, strlen("stageVariables."), name.len)));
    if (str_starts(name, STR("params."))) {
        struct str rest = str_slice(name, strlen("params."), name.len);
        struct str found = json_text(json_get_str(json_get(event, "queryStringParameters"), rest));
        return found.ptr ? found : json_text(json_get_str(json_get(event, "headers"), rest));
    }
    return STR_NULL;
}

static struct str log_variable(void *ctx, struct str expression)
{
    bool braced = str_starts(expression, STR("${"));
    size_t end = expression.len - (braced && str_ends(expression, STR("}")));

    return lookup(ctx, str_slice(expression, braced ? 2 : 1, end));
}

// A template selection expression: "200", "\\$default", "${request.body.a}",
// "${integration.response.statuscode}".
static struct str template_key(struct websocket_run *run, struct str expression)
{
    struct str name = expression;
    const struct json_value *v = NULL;

    if (str_starts(name, STR("\\$")) || str_eq(name, STR("$default")))
        return str_slice(name, name.ptr[0] == '\\', name.len);
    if (!str_starts(name, STR("$")))
        return name;
    bool braced = str_starts(name, STR("${")) && str_ends(name, STR("}"));
    name = str_slice(name, braced ? 2 : 1, name.len - braced);
    if (str_starts(name, STR("request.body.")))
        return websocket_selected(&run->arena, expression, run->message);
    if (str_eq(name, STR("integration.response.statuscode")))
        return number(run, run->status);
    if (str_starts(name, STR("integration.response.body."))) {
        if (json_parse(&run->arena, run->backend, &v, NULL) < 0)
            return STR_NULL;
        name = str_slice(name, strlen("integration.response.body."), name.len);
        return json_text(json_select(v, name));
    }
    return lookup(run, name);
}

// 1 and *out, or 0: there is no template for it, or -EINVAL.
static int rendered(struct websocket_run *run, const struct json_value *templates,
                    struct str expression, struct str body, struct str *out)
{
    const struct template_source from = {body, lookup, run};
    struct err err = ERR_INIT;
    struct str key = expression.len > 0 ? template_key(run, expression) : STR("$default");
    struct str text;

    if (!(key.ptr && json_str(json_get_str(templates, key), &text)) &&
        !json_str(json_get(templates, "$default"), &text))
        return 0;
    int r = mapping_template_render(&run->arena, text, &from, out, &err);
    if (r < 0)
        run->problem = arena_str(&run->arena, str_from(err.message));
    return r < 0 ? r : 1;
}

// ---- the end of a run
// ----------------------------------------------------------------------------

static void finish(struct websocket_run *run)
{
    const struct variable_source from = {log_variable, run};

    if (strcmp(run->type, "CONNECT") != 0) // the handshake has a line already
        access_log_add(run->api, run->stage, &run->arena, &from);
    run->done(run);
    buf_finish(&run->event);
    if (run->target.config)
        function_config_unref(run->target.config);
    api_unref(run->api);
    arena_finish(&run->arena);
    free(run);
}

static void fail(struct websocket_run *run, struct str problem)
{
    run->failed = FAILED;
    if (run->status < 400)
        run->status = 500;
    run->problem = run->problem.ptr ? run->problem : problem;
    finish(run);
}

// The integration response for run->selection: a pattern that fits it, or $default.
static const struct json_value *response_of(const struct websocket_run *run)
{
    const struct api_integration *i = run->route->integration;
    const struct json_value *otherwise = NULL;

    for (unsigned k = 0; k < i->n_responses; k++) {
        struct str key = json_get_or(i->responses[k], "integrationResponseKey", STR(""));
        if (str_eq(key, STR("$default")))
            otherwise = i->responses[k];
        else if (key.len > 2 &&
                 text_pattern_matches(str_slice(key, 1, key.len - 1), run->selection, false))
            return i->responses[k];
    }
    return otherwise;
}

// The integration has answered run->status and run->backend.
static void answered(struct websocket_run *run)
{
    run->body = run->backend;
    run->binary = !utf8_valid(run->body);
    if (run->route->integration->proxy || !run->two_way) {
        finish(run);
        return;
    }
    const struct json_value *response = response_of(run);
    if (!response) {
        fail(run, STR("No match for output mapping and no default output mapping configured"));
        return;
    }
    int r = rendered(run, json_get(response, "responseTemplates"),
                     json_get_or(response, "templateSelectionExpression", STR("")), run->backend,
                     &run->body);
    struct str handling = json_get_or(response, "contentHandlingStrategy", STR(""));
    if (r < 0) {
        fail(run, STR(""));
        return;
    }
    if (str_eq(handling, STR("CONVERT_TO_BINARY")))
        run->binary = base64_decode(&run->arena, run->body, &run->body) == 0;
    else if (str_eq(handling, STR("CONVERT_TO_TEXT")) && run->binary)
        run->body = base64_arena(&run->arena, run->body), run->binary = false;
    finish(run);
}

// ---- what the integration is sent
// -----------------------------------------------------------------

// False, and the run is at its end: there is no template and it may not pass as it is.
static bool request_body(struct websocket_run *run, struct str *out)
{
    const struct api_integration *i = run->route->integration;
    bool none = json_count(i->request_templates) == 0;

    *out = run->message.ptr ? run->message : STR("");
    if (i->proxy)
        return true;
    int r = none ? 0 : rendered(run, i->request_templates, i->template_selection, *out, out);
    if (r < 0) {
        fail(run, STR(""));
        return false;
    }
    if (r == 0 && (str_eq(i->passthrough, STR("NEVER")) ||
                   (!none && str_eq(i->passthrough, STR("WHEN_NO_TEMPLATES"))))) {
        run->status = 415;
        run->failed = "Unsupported Media Type";
        run->problem = STR("No request template fits and the message may not pass through");
        finish(run);
        return false;
    }
    if (r == 0 && run->message_binary && str_eq(i->content_handling, STR("CONVERT_TO_TEXT")))
        *out = base64_arena(&run->arena, *out);
    return true;
}

static void mock(struct websocket_run *run)
{
    const struct json_value *v;
    int64_t status = 200;
    struct str body;

    if (!request_body(run, &body))
        return;
    // The template says the status; what has none is answered as it came.
    if (json_count(run->route->integration->request_templates) > 0 &&
        (json_parse(&run->arena, body, &v, NULL) < 0 ||
         !json_i64(json_get(v, "statusCode"), &status) || status < 100 || status > 599)) {
        fail(run, STR("The request template of a mock must make {\"statusCode\": number}"));
        return;
    }
    run->status = (int)status;
    run->selection = number(run, status);
    run->backend = STR("");
    answered(run);
}

// ---- functions
// -----------------------------------------------------------------------------------

static void proxied(struct websocket_run *run)
{
    struct http_result result;
    struct err err = ERR_INIT;

    if (http_result_parse(&run->arena, run->backend, 1, &result, &err) < 0) {
        if (!run->two_way && strcmp(run->type, "CONNECT") != 0)
            finish(run); // nobody looks at it
        else
            run->status = 502, fail(run, arena_str(&run->arena, str_from(err.message)));
        return;
    }
    run->status = result.status;
    run->backend = result.body;
    for (unsigned i = 0; i < result.n_headers; i++)
        if (str_eq_nocase(result.headers[i].name, STR("sec-websocket-protocol")))
            run->protocol = result.headers[i].value;
    run->body = run->backend;
    run->binary = !utf8_valid(run->body);
    finish(run);
}

static void function_done(struct invocation *inv)
{
    struct websocket_run *run = inv->user;
    enum invocation_status status = inv->status;
    const struct json_value *v;

    run->backend = arena_str(&run->arena, inv->response);
    run->status = status == INVOCATION_OK ? 200 : 502;
    run->selection = STR("200");
    if (status != INVOCATION_OK)
        run->problem = arena_str(&run->arena, str_from(inv->err.message));
    invocation_finish(inv);
    if (status == INVOCATION_OK && run->route->integration->proxy) {
        proxied(run);
        return;
    }
    // Without a proxy an error's text is matched by the integration responses.
    if (status == INVOCATION_FUNCTION_ERROR && !run->route->integration->proxy &&
        json_parse(&run->arena, run->backend, &v, NULL) == 0) {
        run->selection = json_get_or(v, "errorMessage", STR(""));
        answered(run);
        return;
    }
    if (status == INVOCATION_OK)
        answered(run);
    else
        fail(run, STR(""));
}

static void call_function(struct websocket_run *run)
{
    const struct api_integration *i = run->route->integration;
    struct str payload = buf_str(&run->event);
    struct err err = ERR_INIT;

    if (!i->proxy && !request_body(run, &payload))
        return;
    if (lambda_resolve(run->engine, i->function.account, i->function.region, i->function.name,
                       i->function.qualifier, &run->target, &err) < 0) {
        run->target.config = NULL;
        fail(run, arena_str(&run->arena, str_from(err.message)));
        return;
    }
    run->invocation = (struct invocation){
        .loop = run->loop,
        .function = run->target.config,
        .payload = payload,
        .invoked_arn = str_from(run->target.arn),
        .done = function_done,
        .user = run,
    };
    invocation_submit(&run->invocation);
}

// ---- HTTP servers
// --------------------------------------------------------------------------------

// "'static'", "context.x", "stageVariables.x", "route.request.body", "route.request.body.x",
// "route.request.header.x", "route.request.querystring.x".
static struct str parameter(struct websocket_run *run, struct str source)
{
    static const char *const places[] = {"route.request.header.", "route.request.querystring."};

    if (source.len > 1 && source.ptr[0] == '\'' && source.ptr[source.len - 1] == '\'')
        return str_slice(source, 1, source.len - 1);
    if (str_eq(source, STR("route.request.body")))
        return run->message;
    if (str_starts(source, STR("route.request.body.")))
        return websocket_selected(&run->arena, str_slice(source, strlen("route."), source.len),
                                  run->message);
    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        if (str_starts(source, str_from(places[i])))
            return lookup(run,
                          arena_printf(&run->arena, "params.%.*s",
                                       STR_ARG(str_slice(source, strlen(places[i]), source.len))));
    return lookup(run, source);
}

// The URI with "{x}" replaced by what is mapped to integration.request.path.x; absent: too long.
static struct str url_of(struct websocket_run *run, struct str query)
{
    const struct api_integration *i = run->route->integration;
    struct str uri = i->uri, source;
    struct buf b;

    buf_init(&b, MAPPED_MAX_QUERY);
    for (size_t k = 0; k < uri.len;) {
        ptrdiff_t end = uri.ptr[k] == '{' ? str_find_char(str_slice(uri, k, uri.len), '}') : -1;
        if (end < 0) {
            buf_add_char(&b, uri.ptr[k++]);
            continue;
        }
        struct str name = str_slice(uri, k + 1, k + (size_t)end);
        struct str key = arena_printf(&run->arena, "integration.request.path.%.*s", STR_ARG(name));
        if (json_str(json_get_str(i->request_parameters, key), &source)) {
            struct str value = parameter(run, source);
            if (str_eq(value, STR(".")) || str_eq(value, STR("..")))
                b.failed = true; // would leave the place that the URI names
            percent_encode(&b, value.ptr ? value : STR("")); // a slash as well
        }
        k += (size_t)end + 1;
    }
    if (query.len > 0)
        buf_addf(&b, "%c%.*s", str_find_char(buf_str(&b), '?') < 0 ? '?' : '&', STR_ARG(query));
    struct str url = b.failed ? STR_NULL : arena_str(&run->arena, buf_str(&b));
    buf_finish(&b);
    return url;
}

static void server_answered(void *ctx, int result, struct http_client_response *response,
                            const char *message)
{
    struct websocket_run *run = ctx;

    if (result < 0) {
        run->status = result == -ETIMEDOUT ? 504 : 502;
        fail(run, arena_str(&run->arena, str_from(message)));
        return;
    }
    run->status = response->status;
    run->selection = number(run, response->status);
    run->backend = arena_str(&run->arena, response->body);
    answered(run);
}

// Fills headers and the query by the request parameters. Answers how many headers there are.
static unsigned map_parameters(struct websocket_run *run, struct http_header *headers, unsigned n,
                               struct str *query)
{
    struct buf b;

    buf_init(&b, MAPPED_MAX_QUERY);
    json_each(m, run->route->integration->request_parameters)
    {
        struct str source, value, name;
        if (!json_str(m, &source) || !(value = parameter(run, source)).ptr)
            continue;
        if (str_starts(m->key, STR("integration.request.header."))) {
            name = str_slice(m->key, strlen("integration.request.header."), m->key.len);
            unsigned kept = 0;
            for (unsigned i = 0; i < n; i++)
                if (!str_eq_nocase(headers[i].name, name))
                    headers[kept++] = headers[i];
            n = kept;
            if (n < MAX_HEADERS && http_header_valid(name, value) && header_travels(NULL, 0, name))
                headers[n++] = (struct http_header){name, value};
        } else if (str_starts(m->key, STR("integration.request.querystring."))) {
            name = str_slice(m->key, strlen("integration.request.querystring."), m->key.len);
            buf_addf(&b, "%s", b.len ? "&" : "");
            percent_encode(&b, name);
            buf_add_char(&b, '=');
            percent_encode(&b, value);
        }
    }
    *query = b.failed ? STR_NULL : arena_str(&run->arena, buf_str(&b));
    buf_finish(&b);
    return n;
}

static void call_server(struct websocket_run *run)
{
    const struct api_integration *i = run->route->integration;
    struct http_header headers[MAX_HEADERS];
    const struct json_value *v;
    struct http_client_call *call;
    struct err err = ERR_INIT;
    struct str body, query;

    if (!request_body(run, &body))
        return;
    headers[0] = (struct http_header){STR("content-type"),
                                      run->message_binary ? STR("application/octet-stream")
                                      : json_parse(&run->arena, body, &v, NULL) == 0
                                          ? STR("application/json")
                                          : STR("text/plain; charset=utf-8")};
    unsigned n = map_parameters(run, headers, 1, &query);
    struct str url = url_of(run, query);
    const struct http_client_request request = {
        .method = str_eq(i->method, STR("ANY")) ? "POST" : arena_cstr(&run->arena, i->method),
        .url = url.ptr,
        .headers = headers,
        .n_headers = n,
        .body = str_eq(i->method, STR("GET")) || body.len == 0 ? STR_NULL : body,
        .timeout_ms = i->timeout_ms,
        .connect_timeout_ms = i->timeout_ms,
        .max_response_bytes = WEBSOCKET_MAX_MESSAGE_BYTES,
    };
    if (!url.ptr || !request.method ||
        http_client_send(run->loop, &request, server_answered, run, &call, &err) < 0)
        fail(run, arena_str(&run->arena, str_from(err.message)));
}

// ---- start
// ---------------------------------------------------------------------------------------

static void new_request_id(char out[static UUID_CHARS + 1])
{
    uint8_t random[16];

    os_random(random, sizeof(random));
    uuid_format(random, out);
}

static void call_integration(struct websocket_run *run)
{
    const struct api_integration *i = run->route->integration;

    if (i->problem.ptr) {
        fail(run, i->problem);
        return;
    }
    switch (i->kind) {
    case INTEGRATION_LAMBDA:
        call_function(run);
        break;
    case INTEGRATION_HTTP:
        call_server(run);
        break;
    case INTEGRATION_MOCK:
        mock(run);
        break;
    case INTEGRATION_SERVICE: // refused when it is made
        fail(run, STR("The integration's service is not implemented by Lambkin"));
        break;
    }
}

int websocket_run_start(const struct connection *c, struct api *api, const struct api_stage *s,
                        const struct api_route *route, struct websocket_message *w,
                        void (*done)(struct websocket_run *run), void *user)
{
    struct websocket_run *run = calloc(1, sizeof(*run));

    if (!run)
        return -ENOMEM;
    new_request_id(run->request_id);
    w->route_key = route->key;
    if (!w->request_id.ptr)
        w->request_id = str_from(run->request_id);
    if (strcmp(w->type, "MESSAGE") == 0)
        w->message_id = w->request_id;
    memcpy(run->connection, c->id, sizeof(run->connection));
    run->done = done;
    run->user = user;
    run->stage = s;
    run->route = route;
    run->engine = c->engine;
    run->loop = c->loop;
    run->type = w->type;
    run->two_way = route->two_way;
    run->message_binary = w->binary;
    run->began_ns = os_mono_ns();
    arena_init(&run->arena, MAX_ARENA_BYTES);
    buf_init(&run->event, MAX_EVENT_BYTES);
    struct json_writer out = json_writer(&run->event);
    jw_object_begin(&out);
    websocket_event_members(&out, &run->arena, c, w);
    jw_object_end(&out);
    // Functions that are proxied to are told all of it in their event.
    bool keep = !route->integration->proxy || route->integration->kind != INTEGRATION_LAMBDA;
    if (keep && w->body.len > 0)
        run->message = arena_str(&run->arena, w->body);
    if (run->event.failed || (keep && w->body.len > 0 && !run->message.ptr)) {
        buf_finish(&run->event);
        arena_finish(&run->arena);
        free(run);
        return -ENOMEM;
    }
    run->api = api_ref(api);
    call_integration(run);
    return 0;
}
