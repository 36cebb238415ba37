// websocket_api.c - WebSocket APIs: connecting, messages, the end.
//
//   handshake ─▶ authorize.c ─▶ $connect ─▶ connection_add ◀─▶ message: its route
//                                                │            (each runs by itself; not ordered)
//                                                ▼
//                                   closed: connection_remove, $disconnect
//
// What a route calls, and how, is websocket_integration.c.
//
// Until the handshake is answered, everything lives in the request's arena; afterwards a
// connection and each of its messages have memory of their own, and a message knows its connection
// by id only: the client may leave while the function runs.

#include "services/gateway/websocket_integration.h"

#include "base/uuid.h"
#include "engine/engine.h"
#include "os/log.h"
#include "os/random.h"
#include "os/time.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_ARENA_BYTES ((size_t)8 << 20)
#define GOING_AWAY 1001

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

static void send_answer(struct connection *c, const struct websocket_run *run)
{
    if (run->body.len == 0 || http_websocket_queued(c->ws) + run->body.len > CONNECTION_MAX_QUEUED)
        return;
    if (http_websocket_send(c->ws, !run->binary, run->body) == -EMSGSIZE)
        send_error(c, str_from(run->request_id), "Internal server error");
}

static void message_done(struct websocket_run *run)
{
    struct connection *c = connection_find(str_from(run->connection));

    if (!c)
        return;
    c->in_flight--;
    if (run->failed)
        send_error(c, str_from(run->request_id), run->failed);
    else if (run->two_way)
        send_answer(c, run);
    c->active_ms = os_now_ms();
}

static void disconnect_done(struct websocket_run *run)
{
    (void)run; // nobody is there to be told
}

static const struct api_route *route_of(const struct api *api, const struct api_stage *s,
                                        struct str body)
{
    const struct api_route *route = NULL;
    struct arena a;

    arena_init(&a, MAX_ARENA_BYTES);
    struct str key = websocket_selected(&a, api->selection, body);
    if (key.len > 0 && !str_eq(key, STR("$connect")) && !str_eq(key, STR("$disconnect")))
        route = api_websocket_route(s, key);
    arena_finish(&a);
    return route ? route : api_websocket_route(s, STR("$default"));
}

// What is wrong with the message, or NULL.
static const char *dispatch(struct connection *c, struct api *api, const struct api_stage *s,
                            bool text, struct str data)
{
    const struct api_route *route = route_of(api, s, data);
    struct websocket_message w = {.type = "MESSAGE", .stage = s, .body = data, .has_body = true};

    if (!route)
        return "Forbidden";
    if (c->in_flight >= CONNECTION_MAX_IN_FLIGHT || !api_route_admits(s, route))
        return "Too Many Requests";
    if (!websocket_message_fits(s, route, data))
        return "Invalid request body";
    w.binary = !text;
    if (!route->integration)
        return "Internal server error";
    c->in_flight++;
    if (websocket_run_start(c, api, s, route, &w, message_done, NULL) < 0) {
        c->in_flight--;
        return "Internal server error";
    }
    return NULL;
}

static void new_request_id(char out[static UUID_CHARS + 1])
{
    uint8_t random[16];

    os_random(random, sizeof(random));
    uuid_format(random, out);
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
    if (route && route->integration &&
        websocket_run_start(c, api, s, route, &w, disconnect_done, NULL) < 0)
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

static void told_by_authorizer(struct api_request *r)
{
    if (r->authorized == HTTP_AUTHORIZER_LAMBDA)
        r->websocket->connection.authorizer = r->authorizer;
}

static void accept_connection(struct api_request *r, struct str protocol)
{
    struct http_header header = {STR("sec-websocket-protocol"), protocol};
    struct http_request *http = r->http;

    told_by_authorizer(r);
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

static void connect_done(struct websocket_run *run)
{
    struct api_request *r = run->user;
    struct str protocol = arena_str(r->c->arena, run->protocol);

    r->integration_status = run->status;
    r->integration_error = arena_str(r->c->arena, run->problem);
    if (!run->failed && run->status >= 200 && run->status < 300)
        accept_connection(r, run->protocol.ptr ? protocol : STR_NULL);
    else if (run->failed)
        api_refuse(r, run->status == 415 ? 500 : 502, "Internal server error");
    else
        api_refuse(r, run->status < 400 ? 502 : run->status, http_status_text(run->status));
}

void websocket_authorized(struct api_request *r)
{
    struct websocket_message message = {
        .type = "CONNECT",
        .request_id = r->c->request_id,
        .http = r->http,
        .stage = r->stage,
    };

    if (!r->route->integration) {
        accept_connection(r, STR_NULL);
        return;
    }
    told_by_authorizer(r);
    if (websocket_run_start(&r->websocket->connection, r->api, r->stage, r->route, &message,
                            connect_done, r) < 0)
        api_refuse(r, 500, "Internal server error");
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
    r->connection_id = str_from(w->connection.id);
    return true;
}

// The names of what the route wants and the handshake does not have; absent: it has all.
static struct str missing_parameters(struct api_request *r)
{
    struct str missing = STR_NULL;

    json_each(p, r->route->parameters)
    {
        ptrdiff_t dot = str_find(p->key, STR("route.request."));
        if (dot != 0 || !json_get_bool_or(p, "required", false) || api_variable(r, p->key).ptr)
            continue;
        struct str name = str_slice(p->key, strlen("route.request."), p->key.len), kind;
        str_next(&name, '.', &kind);
        missing = arena_printf(r->c->arena, "%.*s%s%.*s", STR_ARG(missing), missing.len ? ", " : "",
                               STR_ARG(name));
    }
    return missing;
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
    r->route = api_websocket_route(r->stage, STR("$connect"));
    if (!api_route_admits(r->stage, r->route)) {
        api_refuse(r, 429, "Too Many Requests");
        return;
    }
    struct str missing = r->route ? missing_parameters(r) : STR_NULL;
    if (missing.ptr) {
        api_refuse(r, 400,
                   arena_printf(r->c->arena, "Missing required request parameters: [%.*s]",
                                STR_ARG(missing))
                       .ptr);
        return;
    }
    if (!prepare(r))
        api_refuse(r, 500, "Internal Server Error");
    else if (r->route)
        api_authorize(r);
    else
        accept_connection(r, STR_NULL);
}
