// cors.c - see cors.h.

#include "services/gateway/cors.h"

static const struct json_value *member(const struct json_value *v, const char *upper,
                                       const char *lower)
{
    const struct json_value *m = json_get(v, upper);

    return m ? m : json_get(v, lower);
}

bool cors_read(struct arena *a, struct str json, struct cors *out)
{
    const struct json_value *v;

    if (json.len == 0 || json_parse(a, json, &v, NULL) < 0 || json_count(v) == 0)
        return false;
    *out = (struct cors){
        .origins = member(v, "AllowOrigins", "allowOrigins"),
        .methods = member(v, "AllowMethods", "allowMethods"),
        .headers = member(v, "AllowHeaders", "allowHeaders"),
        .expose = member(v, "ExposeHeaders", "exposeHeaders"),
    };
    json_bool(member(v, "AllowCredentials", "allowCredentials"), &out->credentials);
    json_i64(member(v, "MaxAge", "maxAge"), &out->max_age_s);
    return true;
}

bool cors_is_preflight(const struct http_request *r)
{
    return str_eq(r->method, STR("OPTIONS")) && !str_is_null(http_header_get(r, STR("origin"))) &&
           !str_is_null(http_header_get(r, STR("access-control-request-method")));
}

// "https://*.example.com" and "https://*" are allowed forms; "*" is everything.
static bool origin_matches(struct str pattern, struct str origin)
{
    ptrdiff_t star = str_find_char(pattern, '*');

    if (star < 0)
        return str_eq_nocase(pattern, origin);
    struct str head = str_slice(pattern, 0, (size_t)star);
    struct str tail = str_slice(pattern, (size_t)star + 1, pattern.len);
    return origin.len >= head.len + tail.len && str_starts(origin, head) && str_ends(origin, tail);
}

static bool list_has(const struct json_value *list, struct str wanted)
{
    json_each(e, list)
    {
        struct str s;
        if (json_str(e, &s) && str_eq(s, wanted))
            return true;
    }
    return false;
}

static struct str joined(struct arena *a, const struct json_value *list)
{
    struct str all = STR_NULL;

    json_each(e, list)
    {
        struct str s;
        if (json_str(e, &s))
            all = all.ptr ? arena_printf(a, "%.*s,%.*s", STR_ARG(all), STR_ARG(s)) : s;
    }
    return all;
}

static void add(struct http_header *headers, unsigned *n, struct str name, struct str value)
{
    if (value.ptr)
        headers[(*n)++] = (struct http_header){name, value};
}

void cors_headers(struct arena *a, const struct cors *c, const struct http_request *r,
                  bool preflight, struct http_header *headers, unsigned *n)
{
    struct str origin = http_header_get(r, STR("origin"));
    bool any = list_has(c->origins, STR("*")), allowed = any;

    json_each(e, c->origins)
    {
        struct str s;
        allowed = allowed || (json_str(e, &s) && origin_matches(s, origin));
    }
    if (str_is_null(origin) || !allowed)
        return;
    add(headers, n, STR("access-control-allow-origin"), any && !c->credentials ? STR("*") : origin);
    if (!any || c->credentials)
        add(headers, n, STR("vary"), STR("Origin"));
    if (c->credentials)
        add(headers, n, STR("access-control-allow-credentials"), STR("true"));
    if (!preflight) {
        add(headers, n, STR("access-control-expose-headers"), joined(a, c->expose));
        return;
    }
    add(headers, n, STR("access-control-allow-methods"), joined(a, c->methods));
    add(headers, n, STR("access-control-allow-headers"), joined(a, c->headers));
    if (c->max_age_s > 0)
        add(headers, n, STR("access-control-max-age"),
            arena_printf(a, "%lld", (long long)c->max_age_s));
}

bool cors_decides(struct str header_name)
{
    return header_name.len > 15 &&
           str_eq_nocase(str_slice(header_name, 0, 15), STR("access-control-"));
}
