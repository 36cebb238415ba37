// parameter_mapping.c - see parameter_mapping.h.

#include "services/gateway/parameter_mapping.h"

#include "base/cleanup.h"
#include "base/percent.h"
#include "services/gateway/http_result.h"
#include "wire/gen/apigatewayv2.h"

#define BAD(...) err_aws(err, &APIGATEWAYV2_BAD_REQUEST_EXCEPTION, __VA_ARGS__)

// ---- headers
// -------------------------------------------------------------------------------------

// RFC 9110 section 7.6.1, and what the client library or the server writes itself.
static bool is_framing(struct str name)
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
    for (size_t i = 0; i < ARRAY_LEN(stay); i++)
        if (str_eq_nocase(name, str_from(stay[i])))
            return true;
    return false;
}

// Headers that "Connection" names belong to that connection.
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

bool header_travels(const struct http_header *headers, unsigned n, struct str name)
{
    return !is_framing(name) && !named_by_connection(headers, n, name);
}

// append, overwrite or remove.
static void change_header(struct http_header *headers, unsigned *n, unsigned room, struct str verb,
                          struct str name, struct str value)
{
    if (!str_eq(verb, STR("append"))) {
        unsigned kept = 0;
        for (unsigned i = 0; i < *n; i++)
            if (!str_eq_nocase(headers[i].name, name))
                headers[kept++] = headers[i];
        *n = kept;
    }
    if (!str_eq(verb, STR("remove")) && !is_framing(name) && http_header_valid(name, value) &&
        *n < room)
        headers[(*n)++] = (struct http_header){name, value};
}

static struct str lower_case(struct arena *a, struct str s)
{
    char *copy = arena_cstr(a, s);

    for (size_t i = 0; copy && i < s.len; i++)
        if (copy[i] >= 'A' && copy[i] <= 'Z')
            copy[i] = (char)(copy[i] + 32);
    return (struct str){copy, copy ? s.len : 0};
}

// ---- requests
// ------------------------------------------------------------------------------------

static void change_query(struct arena *a, struct mapped_request *o, struct str verb,
                         struct str name, struct str value)
{
    struct str rest = o->query, key, old;
    struct buf b;

    buf_init(&b, MAPPED_MAX_QUERY);
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

static void change_request(struct api_request *r, struct mapped_request *o)
{
    struct arena *a = r->c->arena;

    json_each(m, r->route->integration->request_parameters)
    {
        struct str rest = m->key, verb, value;
        if (!str_next(&rest, ':', &verb) || !json_str(m, &value))
            continue;
        value = api_mapped(r, value);
        if (!value.ptr && !str_eq(verb, STR("remove")))
            continue;
        if (str_starts(rest, STR("header.")))
            change_header(o->headers, &o->n_headers, o->room, verb,
                          lower_case(a, str_slice(rest, 7, rest.len)), value);
        else if (str_starts(rest, STR("querystring.")))
            change_query(a, o, verb, str_slice(rest, 12, rest.len), value);
        else if (str_eq(rest, STR("path")) && str_eq(verb, STR("overwrite")))
            o->path = value;
    }
}

bool map_request(struct api_request *r, struct mapped_request *out)
{
    const struct http_request *http = r->http;

    *out = (struct mapped_request){.room = http->n_headers + 64, .query = http->query};
    out->headers = arena_new_array(r->c->arena, struct http_header, out->room + 1);
    if (!out->headers)
        return false;
    for (unsigned i = 0; i < http->n_headers; i++)
        if (header_travels(http->headers, http->n_headers, http->headers[i].name))
            out->headers[out->n_headers++] = http->headers[i];
    change_request(r, out);
    return true;
}

// ---- answers
// -------------------------------------------------------------------------------------

void map_response(struct api_request *r, int *status, struct http_header *headers, unsigned *n,
                  struct str body)
{
    const struct json_value *all = r->route->integration->response_parameters;
    struct str code = all ? arena_printf(r->c->arena, "%d", *status) : STR_NULL;
    unsigned room = *n + HTTP_RESULT_MAX_HEADERS;
    struct http_header *before; // what expressions see
    int64_t number;

    if (!json_get_str(all, code))
        return;
    before = arena_new_array(r->c->arena, struct http_header, *n + 1);
    for (unsigned i = 0; before && i < *n; i++)
        before[i] = headers[i];
    r->answer_headers = before;
    r->n_answer_headers = before ? *n : 0;
    r->answer_body = body;
    json_each(m, json_get_str(all, code))
    {
        struct str rest = m->key, verb, value = STR_NULL;
        if (!str_next(&rest, ':', &verb) || !json_str(m, &value))
            continue;
        value = api_mapped(r, value);
        if (!value.ptr && !str_eq(verb, STR("remove")))
            continue;
        if (str_eq(rest, STR("statuscode"))) {
            if (str_to_i64(value, &number) == 0 && number >= 100 && number <= 599)
                *status = (int)number;
        } else if (str_starts(rest, STR("header."))) {
            change_header(headers, n, room, verb, str_slice(rest, 7, rest.len), value);
        }
    }
    r->answer_headers = NULL;
}

// ---- what may be asked for
// -----------------------------------------------------------------------

// Headers that are the gateway's own.
static bool reserved(struct str name)
{
    static const char *const names[] = {
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-location",
        "forwarded",
        "keep-alive",
        "origin",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "via",
    };
    static const char *const prefixes[] = {"access-control-", "apigw-", "x-amz-", "x-amzn-"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq_nocase(name, str_from(names[i])))
            return true;
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
        struct str p = str_from(prefixes[i]);
        if (str_eq_nocase(str_slice(name, 0, p.len), p))
            return true;
    }
    return false;
}

static int check_one(struct str key, bool answer, struct err *err)
{
    struct str rest = key, verb = STR_NULL;
    bool known = str_next(&rest, ':', &verb) && rest.ptr &&
                 (str_eq(verb, STR("append")) || str_eq(verb, STR("overwrite")) ||
                  str_eq(verb, STR("remove")));
    bool header = str_starts(rest, STR("header.")) && rest.len > 7;
    bool query = !answer && str_starts(rest, STR("querystring.")) && rest.len > 12;
    bool whole = str_eq(rest, answer ? STR("statuscode") : STR("path"));

    if (!known || !(header || query || (whole && str_eq(verb, STR("overwrite")))))
        return BAD("Invalid mapping expression specified: %.*s", STR_ARG(key));
    if (header && reserved(str_slice(rest, 7, rest.len)))
        return BAD("Invalid mapping expression specified: Validation Result: warnings : [], errors "
                   ": [Operations on header %.*s are restricted]",
                   STR_ARG(str_slice(rest, 7, rest.len)));
    return 0;
}

int map_request_check(const struct json_value *parameters, struct err *err)
{
    int r = 0;

    for (const struct json_value *m = json_first(parameters); m && r == 0; m = m->next)
        r = check_one(m->key, false, err);
    return r;
}

int map_response_check(const struct json_value *by_status, struct err *err)
{
    int64_t status;

    json_each(s, by_status)
    {
        if (str_to_i64(s->key, &status) < 0 || status < 200 || status > 599)
            return BAD("Response parameters are given for status codes from 200 to 599, not %.*s",
                       STR_ARG(s->key));
        json_each(m, s)
        {
            int r = check_one(m->key, true, err);
            if (r < 0)
                return r;
        }
    }
    return 0;
}
