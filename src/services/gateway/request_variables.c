// request_variables.c - "$request.…", "$context.…" and "$stageVariables.…" of an API's request.

#include "services/gateway/api_request.h"

#include "base/percent.h"
#include "base/timefmt.h"
#include "os/time.h"

static struct str lower_case(struct arena *a, struct str s)
{
    char *copy = arena_cstr(a, s);

    for (size_t i = 0; copy && i < s.len; i++)
        if (copy[i] >= 'A' && copy[i] <= 'Z')
            copy[i] = (char)(copy[i] + 32);
    return (struct str){copy, s.len};
}

static struct str number(struct api_request *r, int64_t n)
{
    return arena_printf(r->c->arena, "%lld", (long long)n);
}

static struct str source_ip(struct api_request *r)
{
    struct str address = http_remote_address(r->http);
    size_t end = address.len;

    while (end > 0 && address.ptr[end - 1] != ':')
        end--;
    return end > 1 ? str_slice(address, 0, end - 1) : address;
}

static struct str authorizer_value(struct api_request *r, struct str rest)
{
    const struct json_value *v;
    struct str key, value;

    if (r->authorizer.len == 0 || json_parse(r->c->arena, r->authorizer, &v, NULL) < 0)
        return STR_NULL;
    while (v && str_next(&rest, '.', &key))
        v = json_get_str(v, key);
    if (!v)
        return STR_NULL;
    return json_str(v, &value) ? value : v->raw;
}

struct variable {
    const char *name;
    struct str (*get)(struct api_request *r);
};

static struct str get_request_id(struct api_request *r)
{
    return r->c->request_id;
}
static struct str get_api_id(struct api_request *r)
{
    return r->api->id;
}
static struct str get_account(struct api_request *r)
{
    return r->api->account;
}
static struct str get_stage(struct api_request *r)
{
    return r->stage->name;
}
static struct str get_method(struct api_request *r)
{
    return r->http->method;
}
static struct str get_path(struct api_request *r)
{
    return r->raw_path;
}
static struct str get_protocol(struct api_request *r)
{
    return r->http->major >= 2 ? STR("HTTP/2.0") : STR("HTTP/1.1");
}
static struct str get_route_key(struct api_request *r)
{
    return r->route ? r->route->key : STR_NULL;
}
static struct str get_domain(struct api_request *r)
{
    return r->domain_name;
}
static struct str get_prefix(struct api_request *r)
{
    return r->domain_prefix;
}
static struct str get_user_agent(struct api_request *r)
{
    return http_header_get(r->http, STR("user-agent"));
}
static struct str get_user_arn(struct api_request *r)
{
    return r->principal_arn;
}
static struct str get_error(struct api_request *r)
{
    return str_from(r->error);
}
static struct str get_integration_error(struct api_request *r)
{
    return r->integration_error;
}
static struct str get_time(struct api_request *r)
{
    char text[TIMEFMT_BYTES];

    return arena_str(r->c->arena, timefmt_access(r->c->now_ms, text));
}
static struct str get_epoch(struct api_request *r)
{
    return number(r, r->c->now_ms);
}
static struct str get_latency(struct api_request *r)
{
    return number(r, (os_mono_ns() - r->began_ns) / 1000000);
}
static struct str get_integration_latency(struct api_request *r)
{
    return r->integration_ns ? number(r, (os_mono_ns() - r->integration_ns) / 1000000) : STR_NULL;
}

static const struct variable context_variables[] = {
    {"requestId", get_request_id},
    {"extendedRequestId", get_request_id},
    {"apiId", get_api_id},
    {"accountId", get_account},
    {"stage", get_stage},
    {"httpMethod", get_method},
    {"path", get_path},
    {"protocol", get_protocol},
    {"routeKey", get_route_key},
    {"domainName", get_domain},
    {"domainPrefix", get_prefix},
    {"identity.sourceIp", source_ip},
    {"identity.userAgent", get_user_agent},
    {"identity.userArn", get_user_arn},
    {"error.message", get_error},
    {"error.messageString", get_error},
    {"integrationErrorMessage", get_integration_error},
    {"integration.error", get_integration_error},
    {"requestTime", get_time},
    {"requestTimeEpoch", get_epoch},
    {"responseLatency", get_latency},
    {"integrationLatency", get_integration_latency},
    {"integration.latency", get_integration_latency},
};

static struct str context_value(struct api_request *r, struct str name)
{
    for (size_t i = 0; i < sizeof(context_variables) / sizeof(context_variables[0]); i++)
        if (str_eq(name, str_from(context_variables[i].name)))
            return context_variables[i].get(r);
    if (str_starts(name, STR("authorizer.")))
        return authorizer_value(r, str_slice(name, strlen("authorizer."), name.len));
    return STR_NULL;
}

static struct str pair_value(const struct http_event_pair *p, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(p[i].name, name))
            return p[i].value;
    return STR_NULL;
}

static struct str request_value(struct api_request *r, struct str what)
{
    struct str kind, value = STR_NULL;

    if (!str_next(&what, '.', &kind))
        return STR_NULL;
    if (str_eq(kind, STR("method")))
        return r->http->method;
    if (str_eq(kind, STR("path")) && !what.ptr)
        return r->raw_path;
    if (str_eq(kind, STR("path")))
        return pair_value(r->parameters, r->n_parameters, what);
    if (str_eq(kind, STR("header")))
        return http_header_get(r->http, lower_case(r->c->arena, what));
    if (str_eq(kind, STR("querystring")) &&
        percent_query_get(r->c->arena, r->http->query, what, &value) > 0)
        return value;
    return STR_NULL;
}

struct str api_variable(struct api_request *r, struct str e)
{
    if (str_starts(e, STR("route.request."))) // as WebSocket APIs have it
        return request_value(r, str_slice(e, strlen("route.request."), e.len));
    if (e.len == 0 || e.ptr[0] != '$')
        return e;
    if (str_starts(e, STR("${")) && str_ends(e, STR("}")))
        e = str_slice(e, 2, e.len - 1);
    else
        e = str_slice(e, 1, e.len);
    if (str_starts(e, STR("request.")))
        return request_value(r, str_slice(e, strlen("request."), e.len));
    if (str_starts(e, STR("context.")))
        return context_value(r, str_slice(e, strlen("context."), e.len));
    if (str_starts(e, STR("stageVariables.")))
        return pair_value(r->stage->variables, r->stage->n_variables,
                          str_slice(e, strlen("stageVariables."), e.len));
    return STR_NULL;
}

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

struct str api_mapped(struct api_request *r, struct str text)
{
    bool braced =
        str_starts(text, STR("${")) && str_find_char(text, '}') == (ptrdiff_t)text.len - 1;
    bool plain = text.len > 1 && text.ptr[0] == '$' && text.ptr[1] != '{';

    for (size_t i = 1; plain && i < text.len; i++)
        plain = name_char(text.ptr[i]);
    return braced || plain ? api_variable(r, text) : api_expand(r, text, false);
}

static void add_escaped(struct buf *b, struct str value)
{
    size_t from = b->len;

    json_quote(b, value);
    if (b->failed)
        return;
    b->len--; // the quotes are there already
    memmove(b->ptr + from, b->ptr + from + 1, b->len - from - 1);
    b->len--;
}

struct str api_expand(struct api_request *r, struct str text, bool quoted)
{
    struct buf b;

    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < text.len;) {
        size_t end = i + 1;
        if (text.ptr[i] == '$' && end < text.len && text.ptr[end] == '{') {
            while (end < text.len && text.ptr[end] != '}')
                end++;
            end += end < text.len;
        } else if (text.ptr[i] == '$') {
            while (end < text.len && name_char(text.ptr[end]))
                end++;
        }
        struct str part = str_slice(text, i, end);
        struct str value = text.ptr[i] == '$' && part.len > 1 ? api_variable(r, part) : part;
        value = value.ptr ? value : STR("-");
        if (quoted && text.ptr[i] == '$')
            add_escaped(&b, value);
        else
            buf_add(&b, value);
        i = end;
    }
    struct str out = b.failed ? STR_NULL : arena_str(r->c->arena, buf_str(&b));
    buf_finish(&b);
    return out;
}
