// connections.c - see connections.h.

#include "services/gateway/connections.h"

#include "base/json.h"
#include "base/map.h"
#include "base/percent.h"
#include "base/timefmt.h"
#include "base/utf8.h"
#include "engine/auth.h"
#include "engine/engine.h"
#include "os/time.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct map registry; // id -> struct connection

// ---- the registry
// --------------------------------------------------------------------------------

static struct str moved(char **at, struct str s)
{
    struct str to = {s.ptr ? *at : NULL, s.len};

    if (s.len > 0)
        memcpy(*at, s.ptr, s.len);
    *at += s.len;
    return to;
}

struct connection *connection_new(const struct connection *from)
{
    size_t text = from->account.len + from->region.len + from->api.len + from->stage.len +
                  from->domain.len + from->source_ip.len + from->user_agent.len +
                  from->authorizer.len;
    struct connection *c = malloc(sizeof(*c) + text);
    char *at = (char *)(c + 1);

    if (!c)
        return NULL;
    *c = *from;
    c->account = moved(&at, from->account);
    c->region = moved(&at, from->region);
    c->api = moved(&at, from->api);
    c->stage = moved(&at, from->stage);
    c->domain = moved(&at, from->domain);
    c->source_ip = moved(&at, from->source_ip);
    c->user_agent = moved(&at, from->user_agent);
    c->authorizer = moved(&at, from->authorizer);
    return c;
}

void connection_free(struct connection *c)
{
    free(c);
}

int connection_add(struct connection *c)
{
    pthread_mutex_lock(&lock);
    int r = map_set(&registry, str_from(c->id), c, NULL);
    pthread_mutex_unlock(&lock);
    return r;
}

void connection_remove(struct connection *c)
{
    pthread_mutex_lock(&lock);
    map_remove(&registry, str_from(c->id));
    if (registry.n == 0)
        map_finish(&registry); // an empty one keeps no memory
    pthread_mutex_unlock(&lock);
}

struct connection *connection_find(struct str id)
{
    pthread_mutex_lock(&lock);
    struct connection *c = map_get(&registry, id);
    if (c && c->loop != loop_self())
        c = NULL;
    pthread_mutex_unlock(&lock);
    return c;
}

static struct loop *loop_of(struct str id)
{
    pthread_mutex_lock(&lock);
    const struct connection *c = map_get(&registry, id);
    struct loop *loop = c ? c->loop : NULL;
    pthread_mutex_unlock(&lock);
    return loop;
}

unsigned connections_count(void)
{
    pthread_mutex_lock(&lock);
    unsigned n = (unsigned)registry.n;
    pthread_mutex_unlock(&lock);
    return n;
}

// ---- @connections
// --------------------------------------------------------------------------------
//
// The request waits on its own loop; a task goes to the connection's loop, does there what is
// asked, and comes back with the status. It lives in the request's arena.

struct errand {
    struct loop_task task;
    struct call *c;
    struct http_request *http;
    struct loop *home;
    struct str id;
    int status;
    struct str body;
};

static void answer(struct call *c, int status, struct str body)
{
    static const struct {
        int status;
        const char *type;
    } errors[] = {{400, "BadRequestException"},    {403, "ForbiddenException"},
                  {410, "GoneException"},          {413, "PayloadTooLargeException"},
                  {429, "LimitExceededException"}, {405, "MethodNotAllowedException"}};
    struct http_header headers[3] = {
        {STR("content-type"), STR("application/json")},
        {STR("x-amzn-requestid"), c->request_id},
    };
    struct http_response response = {.status = status, .headers = headers, .n_headers = 2};
    struct http_request *http = c->http;

    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        if (errors[i].status != status)
            continue;
        headers[response.n_headers++] =
            (struct http_header){STR("x-amzn-errortype"), str_from(errors[i].type)};
        body =
            arena_printf(c->arena, "{\"message\":\"%s\"}", status == 410 ? "Gone" : errors[i].type);
    }
    response.body = body;
    call_done(c, status);
    http_respond(http, &response);
}

static void came_home(struct loop_task *t)
{
    struct errand *e = (struct errand *)t;

    answer(e->c, e->status, e->body);
}

static struct str described(struct arena *a, const struct connection *c)
{
    char connected[TIMEFMT_BYTES], active[TIMEFMT_BYTES];
    struct buf b;

    timefmt_iso(c->connected_ms, connected);
    timefmt_iso(c->active_ms, active);
    buf_init(&b, 64 * 1024);
    struct json_writer w = json_writer(&b);
    jw_object_begin(&w);
    jw_member_str(&w, "connectedAt", str_from(connected));
    jw_member_str(&w, "lastActiveAt", str_from(active));
    jw_key(&w, STR("identity"));
    jw_object_begin(&w);
    jw_member_str(&w, "sourceIp", c->source_ip);
    jw_member_str(&w, "userAgent", c->user_agent);
    jw_object_end(&w);
    jw_object_end(&w);
    struct str s = b.failed ? STR_NULL : arena_str(a, buf_str(&b));
    buf_finish(&b);
    return s;
}

static int post_to(struct connection *c, struct str data)
{
    if (http_websocket_queued(c->ws) + data.len > CONNECTION_MAX_QUEUED)
        return 429; // a client that does not read
    int r = http_websocket_send(c->ws, utf8_valid(data), data);
    if (r >= 0)
        c->active_ms = os_now_ms();
    return r == -EMSGSIZE ? 413 : r < 0 ? 410 : 200;
}

static void on_site(struct loop_task *t)
{
    struct errand *e = (struct errand *)t;
    struct connection *c = connection_find(e->id);

    e->status = 410;
    if (c && str_eq(e->http->method, STR("POST"))) {
        e->status = post_to(c, e->http->body.memory);
    } else if (c && str_eq(e->http->method, STR("GET"))) {
        e->status = 200;
        e->body = described(e->c->arena, c);
    } else if (c) {
        e->status = 204;
        http_websocket_close(c->ws, 1000, STR("Connection Closed Normally"));
    }
    e->task.run = came_home;
    loop_post(e->home, &e->task);
}

void connections_manage(struct call *c, struct str id)
{
    struct http_request *http = c->http;
    struct err err = ERR_INIT;
    struct loop *loop;

    if (engine_authenticate(c, "execute-api", &err) < 0) {
        answer(c, 403, STR_NULL);
        return;
    }
    if (!str_eq(http->method, STR("POST")) && !str_eq(http->method, STR("GET")) &&
        !str_eq(http->method, STR("DELETE"))) {
        answer(c, 405, STR_NULL);
        return;
    }
    if (http->body.fd >= 0 || http->body.size_bytes > WEBSOCKET_MAX_MESSAGE_BYTES) {
        answer(c, 413, STR_NULL);
        return;
    }
    struct errand *e = arena_new(c->arena, struct errand);
    if (!e || percent_decode(c->arena, id, PERCENT_PATH, &id) < 0) {
        answer(c, 400, STR_NULL);
        return;
    }
    *e = (struct errand){
        .task = {.run = on_site}, .c = c, .http = http, .home = http->loop, .id = id};
    loop = loop_of(id);
    if (loop)
        loop_post(loop, &e->task);
    else
        answer(c, 410, STR_NULL);
}
