// websocket_api.c - WebSocket APIs: connecting, messages, the end.
//
//   handshake ─▶ authorize.c ─▶ $connect's function ─▶ connection_add ◀─▶ message: its route's
//   function
//                                                            │ (each runs by itself; not ordered)
//                                                            ▼
//                                               closed: connection_remove, $disconnect's function
//
// Until the handshake is answered, everything lives in the request's arena; afterwards a
// connection and each of its messages have memory of their own, and a message knows its connection
// by id only: the client may leave while the function runs.

#include "services/gateway/websocket_api.h"

#include "base/uuid.h"
#include "engine/engine.h"
#include "os/log.h"
#include "os/random.h"
#include "os/time.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_EVENT_BYTES ((size_t)1 << 20)
#define MAX_ARENA_BYTES ((size_t)8 << 20)
#define GOING_AWAY 1001

struct message {
    struct invocation invocation;
    struct lambda_target target;
    struct buf event;
    char connection[CONNECTION_ID_CHARS + 1];
    char request_id[UUID_CHARS + 1];
    bool two_way, quiet; // quiet: nobody is there to be told
};

static void new_request_id(char out[static UUID_CHARS + 1])
{
    uint8_t random[16];

    os_random(random, sizeof(random));
    uuid_format(random, out);
}

// ---- messages
// ------------------------------------------------------------------------------------

static void send_error(struct connection *c, struct str request_id, const char *text)
{
    struct buf b;

    buf_init(&b, 4096);
    struct json_writer w = json_writer(&b);
    jw_object_begin(&w);
    jw_member_str(&w, "message", str_from(text));
    jw_member_str(&w, "connectionId", str_from(c->id));
    jw_member_str(&w, "requestId", request_id);
    jw_object_end(&w);
    if (!b.failed)
        http_websocket_send(c->ws, true, buf_str(&b));
    buf_finish(&b);
}

static void send_answer(struct connection *c, struct message *m)
{
    struct http_result result;
    struct err err = ERR_INIT;
    struct arena a;

    arena_init(&a, MAX_ARENA_BYTES);
    if (http_result_parse(&a, m->invocation.response, 1, &result, &err) < 0)
        send_error(c, str_from(m->request_id), "Internal server error");
    else if (result.body.len > 0 &&
             http_websocket_queued(c->ws) + result.body.len <= CONNECTION_MAX_QUEUED)
        http_websocket_send(c->ws, true, result.body);
    arena_finish(&a);
}

static void message_free(struct message *m)
{
    buf_finish(&m->event);
    if (m->target.config)
        function_config_unref(m->target.config);
    free(m);
}

static void message_done(struct invocation *inv)
{
    struct message *m = inv->user;
    struct connection *c = m->quiet ? NULL : connection_find(str_from(m->connection));

    if (c) {
        c->in_flight--;
        if (inv->status != INVOCATION_OK)
            send_error(c, str_from(m->request_id), "Internal server error");
        else if (m->two_way)
            send_answer(c, m);
        c->active_ms = os_now_ms();
    }
    invocation_finish(inv);
    message_free(m);
}

// Calls the route's function with the event. 0, or negative: nothing was started.
static int invoke(struct connection *c, const struct api_route *route, struct websocket_message *w,
                  bool quiet)
{
    const struct function_reference *f = &route->integration->function;
    struct message *m = calloc(1, sizeof(*m));
    struct err err = ERR_INIT;
    struct arena a;

    if (!m)
        return -ENOMEM;
    new_request_id(m->request_id);
    w->route_key = route->key;
    w->request_id = str_from(m->request_id);
    if (strcmp(w->type, "MESSAGE") == 0)
        w->message_id = w->request_id;
    memcpy(m->connection, c->id, sizeof(m->connection));
    m->two_way = route->two_way;
    m->quiet = quiet;
    arena_init(&a, MAX_ARENA_BYTES);
    buf_init(&m->event, MAX_EVENT_BYTES);
    struct json_writer out = json_writer(&m->event);
    jw_object_begin(&out);
    websocket_event_members(&out, &a, c, w);
    jw_object_end(&out);
    arena_finish(&a);
    int r = m->event.failed ? -ENOMEM
                            : lambda_resolve(c->engine, f->account, f->region, f->name,
                                             f->qualifier, &m->target, &err);
    if (r < 0) {
        message_free(m);
        return r;
    }
    m->invocation = (struct invocation){
        .loop = c->loop,
        .function = m->target.config,
        .payload = buf_str(&m->event),
        .invoked_arn = str_from(m->target.arn),
        .done = message_done,
        .user = m,
    };
    invocation_submit(&m->invocation);
    return 0;
}

// "$request.body.a.b" of a message that is a JSON object: its route's key. Absent: $default.
static struct str selected(struct arena *a, struct str expression, struct str body)
{
    const struct json_value *v;
    struct str key, value;

    if (str_starts(expression, STR("${")) && str_ends(expression, STR("}")))
        expression = str_slice(expression, 2, expression.len - 1);
    else if (str_starts(expression, STR("$")))
        expression = str_slice(expression, 1, expression.len);
    if (!str_starts(expression, STR("request.body.")) || json_parse(a, body, &v, NULL) < 0)
        return STR_NULL;
    expression = str_slice(expression, strlen("request.body."), expression.len);
    while (v && str_next(&expression, '.', &key))
        v = json_get_str(v, key);
    if (!v || v->type >= JSON_ARRAY)
        return STR_NULL;
    return json_str(v, &value) ? value : v->raw;
}

static const struct api_route *route_of(const struct api *api, const struct api_stage *s,
                                        struct str body)
{
    const struct api_route *route = NULL;
    struct arena a;

    arena_init(&a, MAX_ARENA_BYTES);
    struct str key = selected(&a, api->selection, body);
    if (key.len > 0 && !str_eq(key, STR("$connect")) && !str_eq(key, STR("$disconnect")))
        route = api_websocket_route(s, key);
    arena_finish(&a);
    return route ? route : api_websocket_route(s, STR("$default"));
}

// What is wrong with the message, or NULL.
static const char *dispatch(struct connection *c, const struct api *api, const struct api_stage *s,
                            bool text, struct str data)
{
    const struct api_route *route = route_of(api, s, data);
    struct websocket_message w = {.type = "MESSAGE", .stage = s, .body = data, .has_body = true};

    if (!route)
        return "Forbidden";
    if (c->in_flight >= CONNECTION_MAX_IN_FLIGHT ||
        !token_bucket_take((struct token_bucket *)&s->bucket) ||
        (route->bucket && !token_bucket_take(route->bucket)))
        return "Too Many Requests";
    if (route->integration && route->integration->mock)
        return NULL;
    w.binary = !text;
    if (!route->integration || invoke(c, route, &w, false) < 0)
        return "Internal server error";
    c->in_flight++;
    return NULL;
}

static void on_message(struct http_websocket *ws, bool text, struct str data)
{
    struct connection *c = http_websocket_ctx(ws);
    char request_id[UUID_CHARS + 1];
    struct api *api = api_get(c->api);
    const struct api_stage *s = api ? api_stage_get(api, c->stage) : NULL;

    c->ws = ws;
    c->active_ms = os_now_ms();
    if (!s) {
        http_websocket_close(ws, GOING_AWAY, STR("Going away"));
    } else {
        const char *wrong = dispatch(c, api, s, text, data);
        new_request_id(request_id);
        if (wrong)
            send_error(c, str_from(request_id), wrong);
    }
    api_unref(api);
}

// ---- the end
// -------------------------------------------------------------------------------------

static void on_closed(struct http_websocket *ws, int code, struct str reason)
{
    struct connection *c = http_websocket_ctx(ws);
    struct api *api = api_get(c->api);
    const struct api_stage *s = api ? api_stage_get(api, c->stage) : NULL;
    const struct api_route *route = s ? api_websocket_route(s, STR("$disconnect")) : NULL;
    struct websocket_message w = {
        .type = "DISCONNECT",
        .stage = s,
        .disconnect_code = code,
        .disconnect_reason = reason,
    };

    connection_remove(c);
    loop_timer_stop(c->loop, &c->timer);
    if (route && route->integration && route->integration->lambda && invoke(c, route, &w, true) < 0)
        log_warn("API %.*s: $disconnect could not be invoked", STR_ARG(c->api));
    api_unref(api);
    connection_free(c);
}

static const struct http_websocket_callbacks callbacks = {
    .message = on_message,
    .closed = on_closed,
};

// Looks when the connection would have been idle, or alive, for too long.
static void look_at_clock(struct loop_timer *t)
{
    struct connection *c = (struct connection *)((char *)t - offsetof(struct connection, timer));
    int64_t now = os_now_ms(), idle = http_websocket_idle_ms(c->ws);
    int64_t max_idle = engine_scaled_ms(c->engine, CONNECTION_IDLE_MS);
    int64_t left = engine_scaled_ms(c->engine, CONNECTION_LIFE_MS) - (now - c->connected_ms);

    if (now - c->active_ms < idle)
        idle = now - c->active_ms;
    if (left <= 0 || idle >= max_idle) {
        http_websocket_close(c->ws, GOING_AWAY, STR("Going away"));
        return;
    }
    if (max_idle - idle < left)
        left = max_idle - idle;
    loop_timer_start(c->loop, &c->timer, left, look_at_clock);
}

// ---- connecting
// ----------------------------------------------------------------------------------

static void accept_connection(struct api_request *r, struct str protocol)
{
    struct http_header header = {STR("sec-websocket-protocol"), protocol};
    struct http_request *http = r->http;

    r->websocket->connection.authorizer = r->authorizer;
    struct connection *c = connection_new(&r->websocket->connection);
    if (!c || connection_add(c) < 0) {
        if (c)
            connection_free(c);
        api_refuse(r, 500, "Internal Server Error");
        return;
    }
    api_answered(r, 101, 0);
    struct http_websocket *ws =
        http_websocket_accept(http, &callbacks, c, &header, protocol.len > 0 ? 1 : 0);
    if (!ws) {
        connection_remove(c);
        connection_free(c);
        return;
    }
    c->ws = ws;
    loop_timer_start(c->loop, &c->timer, engine_scaled_ms(c->engine, CONNECTION_IDLE_MS),
                     look_at_clock);
}

static void connect_done(struct invocation *inv)
{
    struct api_request *r = inv->user;
    struct http_result result = {.status = 502};
    struct err err = ERR_INIT;
    struct str protocol = STR_NULL;

    if (inv->status == INVOCATION_OK &&
        http_result_parse(r->c->arena, arena_str(r->c->arena, inv->response), 1, &result, &err) < 0)
        result.status = 502;
    for (unsigned i = 0; i < result.n_headers; i++)
        if (str_eq_nocase(result.headers[i].name, STR("sec-websocket-protocol")))
            protocol = result.headers[i].value;
    invocation_finish(inv);
    function_config_unref(r->websocket->target.config);
    buf_finish(&r->websocket->event);
    if (result.status >= 200 && result.status < 300)
        accept_connection(r, protocol);
    else
        api_refuse(r, result.status < 400 ? 502 : result.status,
                   result.status == 502 ? "Internal server error"
                                        : http_status_text(result.status));
}

void websocket_authorized(struct api_request *r)
{
    const struct api_integration *i = r->route->integration;
    struct websocket_call *w = r->websocket;
    const struct websocket_message message = {
        .type = "CONNECT",
        .route_key = r->route->key,
        .request_id = r->c->request_id,
        .http = r->http,
        .stage = r->stage,
    };
    struct err err = ERR_INIT;

    if (!i || !i->lambda) {
        accept_connection(r, STR_NULL);
        return;
    }
    w->connection.authorizer = r->authorizer;
    buf_init(&w->event, MAX_EVENT_BYTES);
    struct json_writer out = json_writer(&w->event);
    jw_object_begin(&out);
    websocket_event_members(&out, r->c->arena, &w->connection, &message);
    jw_object_end(&out);
    if (w->event.failed ||
        lambda_resolve(r->c->engine, i->function.account, i->function.region, i->function.name,
                       i->function.qualifier, &w->target, &err) < 0) {
        buf_finish(&w->event);
        api_refuse(r, 500, "Internal server error");
        return;
    }
    w->invocation = (struct invocation){
        .loop = r->http->loop,
        .function = w->target.config,
        .payload = buf_str(&w->event),
        .invoked_arn = str_from(w->target.arn),
        .done = connect_done,
        .user = r,
    };
    invocation_submit(&w->invocation);
}

int websocket_authorizer_event(struct api_request *r, struct str route_arn, struct err *err)
{
    const struct websocket_message message = {
        .type = "CONNECT",
        .route_key = r->route->key,
        .request_id = r->c->request_id,
        .http = r->http,
        .stage = r->stage,
    };
    struct json_writer w = json_writer(&r->authorizer_event);

    jw_object_begin(&w);
    jw_member_str(&w, "type", STR("REQUEST"));
    jw_member_str(&w, "methodArn", route_arn);
    websocket_event_members(&w, r->c->arena, &r->websocket->connection, &message);
    jw_object_end(&w);
    return r->authorizer_event.failed ? err_set(err, -ENOMEM, "out of memory") : 0;
}

static bool prepare(struct api_request *r)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    struct websocket_call *w = arena_new(r->c->arena, struct websocket_call);

    if (!w)
        return false;
    w->connection = (struct connection){
        .engine = r->c->engine,
        .loop = r->http->loop,
        .connected_ms = os_now_ms(),
        .active_ms = os_now_ms(),
        .account = r->api->account,
        .region = r->api->region,
        .api = r->api->id,
        .stage = r->stage->name,
        .domain = r->domain_name,
        .source_ip = api_variable(r, STR("$context.identity.sourceIp")),
        .user_agent = str_slice(http_header_get(r->http, STR("user-agent")), 0, 1024),
    };
    for (unsigned i = 0; i < CONNECTION_ID_CHARS; i++)
        w->connection.id[i] = alphabet[os_random_below(sizeof(alphabet) - 1)];
    r->websocket = w;
    return true;
}

void websocket_take(struct api_request *r)
{
    if (str_starts(r->path, STR(CONNECTIONS_PATH))) {
        struct call *c = r->c;
        struct str id = str_slice(r->path, strlen(CONNECTIONS_PATH), r->path.len);
        api_unref(r->api);
        connections_manage(c, id);
        return;
    }
    if (!http_websocket_wanted(r->http)) {
        api_refuse(r, 426, "Upgrade Required");
        return;
    }
    if (!token_bucket_take((struct token_bucket *)&r->stage->bucket)) {
        api_refuse(r, 429, "Too Many Requests");
        return;
    }
    r->route = api_websocket_route(r->stage, STR("$connect"));
    if (!prepare(r))
        api_refuse(r, 500, "Internal Server Error");
    else if (r->route)
        api_authorize(r);
    else
        accept_connection(r, STR_NULL);
}
