// http_proxy.c - the HTTP_PROXY integration: the request goes on to another server.
//
// The request that is sent is built anew: of the client's headers only those that belong to the
// message travel on, framing is the client library's own. So nothing can be smuggled through.

#include "services/gateway/api_request.h"

#include "base/percent.h"
#include "http/client.h"

#include <errno.h>

#define MAX_BODY ((size_t)10 << 20) // API Gateway's payload limit
#define MAX_URL 16384

static bool travels(struct str name)
{
    static const char *const stay[] = {"connection",
                                       "host",
                                       "content-length",
                                       "transfer-encoding",
                                       "keep-alive",
                                       "te",
                                       "trailer",
                                       "upgrade",
                                       "proxy-connection",
                                       "expect",
                                       "proxy-authorization"};
    for (size_t i = 0; i < sizeof(stay) / sizeof(stay[0]); i++)
        if (str_eq_nocase(name, str_from(stay[i])))
            return false;
    return true;
}

// Headers that "Connection" names belong to that connection (RFC 9110 section 7.6.1).
static bool named_by_connection(const struct http_header *headers, unsigned n, struct str name)
{
    for (unsigned i = 0; i < n; i++) {
        struct str rest = headers[i].value, one;
        if (!str_eq_nocase(headers[i].name, STR("connection")))
            continue;
        while (str_next(&rest, ',', &one))
            if (str_eq_nocase(str_trim(one), name))
                return true;
    }
    return false;
}

struct outgoing {
    struct http_header *headers;
    unsigned n_headers, room;
    struct str path, query;
};

static void set_header(struct outgoing *o, struct str verb, struct str name, struct str value)
{
    if (!str_eq(verb, STR("append"))) {
        unsigned kept = 0;
        for (unsigned i = 0; i < o->n_headers; i++)
            if (!str_eq_nocase(o->headers[i].name, name))
                o->headers[kept++] = o->headers[i];
        o->n_headers = kept;
    }
    if (!str_eq(verb, STR("remove")) && travels(name) && http_header_valid(name, value) &&
        o->n_headers < o->room)
        o->headers[o->n_headers++] = (struct http_header){name, value};
}

static void set_query(struct arena *a, struct outgoing *o, struct str verb, struct str name,
                      struct str value)
{
    struct str rest = o->query, key, old;
    struct buf b;

    buf_init(&b, MAX_URL);
    while (percent_next_pair(&rest, &key, &old)) {
        if (!str_eq(verb, STR("append")) && str_eq(key, name))
            continue;
        buf_addf(&b, "%s%.*s=%.*s", b.len ? "&" : "", STR_ARG(key), STR_ARG(old));
    }
    if (!str_eq(verb, STR("remove"))) {
        buf_addf(&b, "%s%.*s=", b.len ? "&" : "", STR_ARG(name));
        percent_encode(&b, value);
    }
    o->query = b.failed ? o->query : arena_str(a, buf_str(&b));
    buf_finish(&b);
}

// {"append:header.x": "$request.…", "overwrite:path": …, "remove:querystring.y": ""}
static void map_parameters(struct api_request *r, struct outgoing *o)
{
    json_each(m, r->route->integration->request_parameters)
    {
        struct str rest = m->key, verb, value;
        if (!str_next(&rest, ':', &verb) || !json_str(m, &value))
            continue;
        value = api_mapped(r, value);
        if (!value.ptr && !str_eq(verb, STR("remove")))
            continue;
        if (str_starts(rest, STR("header.")))
            set_header(o, verb, str_slice(rest, 7, rest.len), value);
        else if (str_starts(rest, STR("querystring.")))
            set_query(r->c->arena, o, verb, str_slice(rest, 12, rest.len), value);
        else if (str_eq(rest, STR("path")) && str_eq(verb, STR("overwrite")))
            o->path = value;
    }
}

static bool has_dot_segment(struct str path)
{
    struct str one;

    while (str_next(&path, '/', &one))
        if (str_eq(one, STR(".")) || str_eq(one, STR("..")))
            return true;
    return false;
}

// A path that somebody wrote: what is percent-encoded stays so, what may not stand in a URL is
// encoded.
static void add_path(struct buf *b, struct str path)
{
    for (size_t i = 0; i < path.len; i++) {
        unsigned char c = (unsigned char)path.ptr[i];
        if (c <= ' ' || c >= 127 || strchr("\"<>\\^`{|}?#", c))
            buf_addf(b, "%%%02X", c);
        else
            buf_add_char(b, (char)c);
    }
}

// The integration's URI with its {parameters} filled in; absent when that cannot be done.
static struct str target_url(struct api_request *r, const struct outgoing *o)
{
    struct str uri = r->route->integration->uri;
    struct buf b;

    buf_init(&b, MAX_URL);
    for (size_t i = 0; i < uri.len;) {
        ptrdiff_t end = uri.ptr[i] == '{' ? str_find_char(str_slice(uri, i, uri.len), '}') : -1;
        if (end < 0) {
            buf_add_char(&b, uri.ptr[i++]);
            continue;
        }
        struct str name = str_slice(uri, i + 1, i + (size_t)end);
        if (str_ends(name, STR("+")))
            name.len--;
        for (size_t k = 0; k < r->n_parameters; k++) {
            if (!str_eq(r->parameters[k].name, name))
                continue;
            if (has_dot_segment(r->parameters[k].value))
                b.failed = true; // would leave the place that the URI names
            percent_encode_path(&b, r->parameters[k].value);
        }
        i += (size_t)end + 1;
    }
    if (o->path.ptr) {
        struct str so_far = buf_str(&b);
        ptrdiff_t host = str_find(so_far, STR("://"));
        ptrdiff_t slash =
            host < 0 ? -1 : str_find_char(str_slice(so_far, (size_t)host + 3, so_far.len), '/');
        if (slash >= 0)
            b.len = (size_t)(host + 3 + slash);
        if (!str_starts(o->path, STR("/")))
            buf_add_char(&b, '/');
        add_path(&b, o->path);
    }
    if (o->query.len > 0)
        buf_addf(&b, "%c%.*s", str_find_char(buf_str(&b), '?') < 0 ? '?' : '&', STR_ARG(o->query));
    struct str url = b.failed ? STR_NULL : arena_str(r->c->arena, buf_str(&b));
    buf_finish(&b);
    return url;
}

static void upstream_done(void *ctx, int result, struct http_client_response *response,
                          const char *message)
{
    struct api_request *r = ctx;
    struct http_request *http = r->http;

    if (result < 0) {
        r->integration_error = arena_str(r->c->arena, str_from(message));
        api_refuse(r, result == -ETIMEDOUT ? 504 : 502,
                   result == -ETIMEDOUT ? "Gateway Timeout" : "Bad Gateway");
        return;
    }
    struct http_header *headers =
        arena_new_array(r->c->arena, struct http_header,
                        response->n_headers + HTTP_RESULT_MAX_HEADERS + API_ANSWER_HEADERS);
    struct http_response answer = {
        .status = response->status, .headers = headers, .body = response->body};
    for (unsigned i = 0; headers && i < response->n_headers; i++)
        if (travels(response->headers[i].name) &&
            !named_by_connection(response->headers, response->n_headers, response->headers[i].name))
            headers[answer.n_headers++] = response->headers[i];
    if (headers)
        api_decorate(r, &answer.status, headers, &answer.n_headers);
    api_answered(r, answer.status, answer.body.len);
    http_respond(http, &answer);
}

static void send_on(struct api_request *r, struct str body)
{
    const struct api_integration *i = r->route->integration;
    struct http_request *http = r->http;
    struct err err = ERR_INIT;
    struct outgoing o = {.room = http->n_headers + 64, .query = http->query};

    o.headers = arena_new_array(r->c->arena, struct http_header, o.room + 2);
    for (unsigned k = 0; o.headers && k < http->n_headers; k++)
        if (travels(http->headers[k].name) &&
            !named_by_connection(http->headers, http->n_headers, http->headers[k].name))
            o.headers[o.n_headers++] = http->headers[k];
    if (!o.headers) {
        api_refuse(r, 500, "Internal Server Error");
        return;
    }
    map_parameters(r, &o);
    o.headers[o.n_headers++] = (struct http_header){
        STR("forwarded"), arena_printf(r->c->arena, "for=%.*s;host=%.*s;proto=%s",
                                       STR_ARG(api_variable(r, STR("$context.identity.sourceIp"))),
                                       STR_ARG(r->domain_name), http->tls ? "https" : "http")};
    struct str url = target_url(r, &o);
    if (!url.ptr) {
        api_refuse(r, 400, "Bad Request");
        return;
    }
    bool any = i->method.len == 0 || str_eq(i->method, STR("ANY"));
    const struct http_client_request request = {
        .method = arena_cstr(r->c->arena, any ? http->method : i->method),
        .url = url.ptr,
        .headers = o.headers,
        .n_headers = o.n_headers,
        .body = body.len > 0 ? body : STR_NULL,
        .timeout_ms = i->timeout_ms,
        .connect_timeout_ms = i->timeout_ms,
        .max_response_bytes = MAX_BODY,
    };
    if (!request.method || !url.ptr ||
        http_client_send(http->loop, &request, upstream_done, r, &r->upstream, &err) < 0)
        api_refuse(r, 500, "Internal Server Error");
}

static void body_was_read(struct loop_task *t)
{
    struct api_request *r = (struct api_request *)((char *)t - offsetof(struct api_request, task));

    if (r->verdict < 0)
        api_refuse(r, 500, "Internal Server Error");
    else
        send_on(r, r->proxy.event.body);
}

static void read_body(struct work *w)
{
    struct api_request *r = (struct api_request *)((char *)w - offsetof(struct api_request, work));
    struct err err = ERR_INIT;

    r->verdict = http_body_read(r->http, MAX_BODY, &r->proxy.event.body, &err);
    r->task = (struct loop_task){.run = body_was_read};
    loop_post(r->http->loop, &r->task);
}

void http_proxy_start(struct api_request *r)
{
    const struct http_body *body = &r->http->body;

    if (body->size_bytes > MAX_BODY) {
        api_refuse(r, 413, "Request Entity Too Large");
    } else if (body->fd >= 0) {
        r->work = (struct work){.run = read_body};
        work_submit(&r->work);
    } else {
        send_on(r, body->memory);
    }
}
