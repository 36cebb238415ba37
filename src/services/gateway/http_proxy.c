// http_proxy.c - the HTTP_PROXY integration: the request goes on to another server.
//
// The request that is sent is built anew: of the client's headers only those that belong to the
// message travel on, framing is the client library's own. So nothing can be smuggled through.

#include "services/gateway/parameter_mapping.h"

#include "base/percent.h"
#include "http/client.h"

#include <errno.h>

#define MAX_URL MAPPED_MAX_QUERY

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
static struct str target_url(struct api_request *r, const struct mapped_request *o)
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
    r->integration_status = response->status;
    struct http_header *headers =
        arena_new_array(r->c->arena, struct http_header,
                        response->n_headers + HTTP_RESULT_MAX_HEADERS + API_ANSWER_HEADERS);
    struct http_response answer = {
        .status = response->status, .headers = headers, .body = response->body};
    for (unsigned i = 0; headers && i < response->n_headers; i++)
        if (header_travels(response->headers, response->n_headers, response->headers[i].name))
            headers[answer.n_headers++] = response->headers[i];
    if (headers)
        api_decorate(r, &answer.status, headers, &answer.n_headers, response->body);
    api_answered(r, answer.status, answer.body.len);
    http_respond(http, &answer);
}

// A private server is reached by the integration's URI and shows the certificate of another name:
// the URL says that name, and the client is told where to connect to.
static struct str renamed_url(struct arena *a, struct str url, struct str name,
                              const char *const **connect_to)
{
    const char **list = arena_alloc(a, 2 * sizeof(*list));
    ptrdiff_t at = str_find(url, STR("://"));
    struct str rest = str_slice(url, (size_t)at + 3, url.len), host, port = STR("443");
    ptrdiff_t slash = str_find_char(rest, '/');

    host = slash < 0 ? rest : str_slice(rest, 0, (size_t)slash);
    rest = slash < 0 ? STR("/") : str_slice(rest, (size_t)slash, rest.len);
    ptrdiff_t bracket = str_find_char(host, ']'); // "[::1]:443"
    size_t from = bracket < 0 ? 0 : (size_t)bracket;
    ptrdiff_t colon = str_find_char(str_slice(host, from, host.len), ':');
    if (colon >= 0) {
        port = str_slice(host, from + (size_t)colon + 1, host.len);
        host = str_slice(host, 0, from + (size_t)colon);
    }
    if (!list)
        return STR_NULL;
    list[0] = arena_printf(a, "%.*s:%.*s:%.*s:%.*s", STR_ARG(name), STR_ARG(port), STR_ARG(host),
                           STR_ARG(port))
                  .ptr;
    list[1] = NULL;
    *connect_to = list[0] ? list : NULL;
    return arena_printf(a, "https://%.*s:%.*s%.*s", STR_ARG(name), STR_ARG(port), STR_ARG(rest));
}

void http_proxy_start(struct api_request *r)
{
    const struct api_integration *i = r->route->integration;
    struct http_request *http = r->http;
    const char *const *connect_to = NULL;
    struct err err = ERR_INIT;
    struct mapped_request o;

    if (!map_request(r, &o)) {
        api_refuse(r, 500, "Internal Server Error");
        return;
    }
    o.headers[o.n_headers++] = (struct http_header){
        STR("forwarded"), arena_printf(r->c->arena, "for=%.*s;host=%.*s;proto=%s",
                                       STR_ARG(api_variable(r, STR("$context.identity.sourceIp"))),
                                       STR_ARG(r->domain_name), http->tls ? "https" : "http")};
    struct str url = target_url(r, &o);
    if (url.ptr && i->server_name.len > 0 && str_starts(url, STR("https://")))
        url = renamed_url(r->c->arena, url, i->server_name, &connect_to);
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
        .body = r->body.len > 0 ? r->body : STR_NULL,
        .timeout_ms = i->timeout_ms,
        .connect_timeout_ms = i->timeout_ms,
        .max_response_bytes = API_MAX_BODY,
        .connect_to = connect_to,
    };
    if (!request.method ||
        http_client_send(http->loop, &request, upstream_done, r, &r->upstream, &err) < 0)
        api_refuse(r, 500, "Internal Server Error");
}
