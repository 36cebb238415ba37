// http_event.c - see http_event.h.

#include "services/gateway/http_event.h"

#include "base/base64.h"
#include "base/json.h"
#include "base/percent.h"
#include "base/timefmt.h"
#include "base/utf8.h"

#include <errno.h>

// ---- headers
// -------------------------------------------------------------------------------------

static bool first_of_name(const struct http_request *r, unsigned at)
{
    for (unsigned i = 0; i < at; i++)
        if (str_eq(r->headers[i].name, r->headers[at].name))
            return false;
    return true;
}

// Values of one name, joined by commas.
static void joined_header(struct json_writer *w, struct arena *a, const struct http_request *r,
                          unsigned at)
{
    struct str all = r->headers[at].value;

    for (unsigned i = at + 1; i < r->n_headers; i++)
        if (str_eq(r->headers[i].name, r->headers[at].name))
            all = arena_printf(a, "%.*s,%.*s", STR_ARG(all), STR_ARG(r->headers[i].value));
    jw_key(w, r->headers[at].name);
    jw_str(w, all);
}

static void header_list(struct json_writer *w, const struct http_request *r, unsigned at)
{
    jw_key(w, r->headers[at].name);
    jw_array_begin(w);
    for (unsigned i = at; i < r->n_headers; i++)
        if (str_eq(r->headers[i].name, r->headers[at].name))
            jw_str(w, r->headers[i].value);
    jw_array_end(w);
}

// ---- query
// ---------------------------------------------------------------------------------------

// A part of a query, decoded; as it stands when it is malformed.
static struct str decoded(struct arena *a, struct str s)
{
    struct str out;

    if (s.len == 0)
        return STR("");
    return percent_decode(a, s, PERCENT_FORM, &out) < 0 ? s : out;
}

static size_t read_query(struct arena *a, struct str query, struct http_event_pair **out)
{
    struct str rest = query, name, value;
    size_t n = 0;

    while (percent_next_pair(&rest, &name, &value))
        n++;
    *out = arena_new_array(a, struct http_event_pair, n);
    if (!*out)
        return 0;
    rest = query;
    for (size_t i = 0; i < n && percent_next_pair(&rest, &name, &value); i++)
        (*out)[i] = (struct http_event_pair){decoded(a, name), decoded(a, value)};
    return n;
}

enum joined { JOIN_COMMA, JOIN_LAST, JOIN_LIST };

static void query_member(struct json_writer *w, struct arena *a, const struct http_event_pair *q,
                         size_t n, size_t at, enum joined how)
{
    struct str all = q[at].value;

    jw_key(w, q[at].name);
    if (how == JOIN_LIST)
        jw_array_begin(w);
    for (size_t i = how == JOIN_LIST ? at : at + 1; i < n; i++) {
        if (!str_eq(q[i].name, q[at].name))
            continue;
        if (how == JOIN_LIST)
            jw_str(w, q[i].value);
        else if (how == JOIN_LAST)
            all = q[i].value;
        else
            all = arena_printf(a, "%.*s,%.*s", STR_ARG(all), STR_ARG(q[i].value));
    }
    if (how == JOIN_LIST)
        jw_array_end(w);
    else
        jw_str(w, all);
}

static void query_object(struct json_writer *w, struct arena *a, const struct http_event_pair *q,
                         size_t n, enum joined how)
{
    jw_object_begin(w);
    for (size_t i = 0; i < n; i++) {
        size_t first = 0;
        while (!str_eq(q[first].name, q[i].name))
            first++;
        if (first == i)
            query_member(w, a, q, n, i, how);
    }
    jw_object_end(w);
}

// ---- parts that both formats have
// ----------------------------------------------------------------

static void pairs_member(struct json_writer *w, const char *key, const struct http_event_pair *p,
                         size_t n, bool null_when_empty)
{
    if (n == 0 && !null_when_empty)
        return;
    jw_key(w, str_from(key));
    if (n == 0) {
        jw_null(w);
        return;
    }
    jw_object_begin(w);
    for (size_t i = 0; i < n; i++) {
        jw_key(w, p[i].name);
        jw_str(w, p[i].value);
    }
    jw_object_end(w);
}

bool http_event_is_text(struct str content_type, struct str body)
{
    static const char *const text[] = {"application/json", "application/javascript",
                                       "application/xml"};
    struct str type = STR_NULL; // none is said: taken for text

    str_next(&content_type, ';', &type);
    type = str_trim(type);
    bool is_text =
        type.len == 0 || (type.len > 5 && str_eq_nocase(str_slice(type, 0, 5), STR("text/")));
    for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++)
        is_text = is_text || str_eq_nocase(type, str_from(text[i]));
    is_text = is_text || str_ends(type, STR("+json")) || str_ends(type, STR("+xml"));
    return is_text && utf8_valid(body);
}

static void body_members(struct json_writer *w, struct arena *a, const struct http_event *e,
                         bool null_when_empty)
{
    bool text = http_event_is_text(http_header_get(e->http, STR("content-type")), e->body);

    if (e->body.len > 0) {
        jw_member_str(w, "body", text ? e->body : base64_arena(a, e->body));
    } else if (null_when_empty) {
        jw_key(w, STR("body"));
        jw_null(w);
    }
    jw_member_bool(w, "isBase64Encoded", e->body.len > 0 && !text);
}

static struct str source_ip(struct http_request *r)
{
    struct str address = http_remote_address(r);

    if (str_starts(address, STR("["))) {
        ptrdiff_t end = str_find_char(address, ']');
        return str_slice(address, 1, end > 0 ? (size_t)end : address.len);
    }
    ptrdiff_t colon = str_find_char(address, ':');
    return colon < 0 ? STR("127.0.0.1") : str_slice(address, 0, (size_t)colon);
}

static void authorizer_member(struct json_writer *w, const struct http_event *e)
{
    if (!e->authorizer.ptr)
        return;
    jw_key(w, STR("authorizer"));
    jw_raw(w, e->authorizer);
}

static struct str protocol(const struct http_request *r)
{
    return r->major >= 2 ? STR("HTTP/2.0") : r->minor == 0 ? STR("HTTP/1.0") : STR("HTTP/1.1");
}

// ---- format 2.0
// ----------------------------------------------------------------------------------

static void cookies_member(struct json_writer *w, const struct http_request *r)
{
    bool any = false;

    for (unsigned i = 0; i < r->n_headers; i++) {
        struct str rest = r->headers[i].value, one;
        if (!str_eq(r->headers[i].name, STR("cookie")))
            continue;
        while (str_next(&rest, ';', &one)) {
            one = str_trim(one);
            if (one.len == 0)
                continue;
            if (!any) {
                jw_key(w, STR("cookies"));
                jw_array_begin(w);
            }
            any = true;
            jw_str(w, one);
        }
    }
    if (any)
        jw_array_end(w);
}

static void context_v2(struct json_writer *w, const struct http_event *e)
{
    struct http_request *r = e->http;
    char time[TIMEFMT_BYTES];

    jw_key(w, STR("requestContext"));
    jw_object_begin(w);
    jw_member_str(w, "accountId", e->account_id);
    jw_member_str(w, "apiId", e->api_id);
    authorizer_member(w, e);
    jw_member_str(w, "domainName", e->domain_name);
    jw_member_str(w, "domainPrefix", e->domain_prefix);
    jw_key(w, STR("http"));
    jw_object_begin(w);
    jw_member_str(w, "method", r->method);
    jw_member_str(w, "path", e->raw_path);
    jw_member_str(w, "protocol", protocol(r));
    jw_member_str(w, "sourceIp", source_ip(r));
    jw_member_str(w, "userAgent", http_header_get(r, STR("user-agent")));
    jw_object_end(w);
    jw_member_str(w, "requestId", e->request_id);
    jw_member_str(w, "routeKey", e->route_key);
    jw_member_str(w, "stage", e->stage);
    jw_member_str(w, "time", timefmt_access(e->now_ms, time));
    jw_member_i64(w, "timeEpoch", e->now_ms);
    jw_object_end(w);
}

int http_event_v2(const struct http_event *e, struct arena *a, struct buf *out, struct err *err)
{
    struct json_writer w = json_writer(out);
    struct http_request *r = e->http;
    struct http_event_pair *query;
    size_t n = read_query(a, r->query, &query);

    jw_object_begin(&w);
    jw_member_str(&w, "version", STR("2.0"));
    jw_member_str(&w, "routeKey", e->route_key);
    jw_member_str(&w, "rawPath", e->raw_path);
    jw_member_str(&w, "rawQueryString", r->query);
    cookies_member(&w, r);
    jw_key(&w, STR("headers"));
    jw_object_begin(&w);
    for (unsigned i = 0; i < r->n_headers; i++)
        if (!str_eq(r->headers[i].name, STR("cookie")) && first_of_name(r, i))
            joined_header(&w, a, r, i);
    jw_object_end(&w);
    if (n > 0) {
        jw_key(&w, STR("queryStringParameters"));
        query_object(&w, a, query, n, JOIN_COMMA);
    }
    context_v2(&w, e);
    pairs_member(&w, "pathParameters", e->path_parameters, e->n_path_parameters, false);
    pairs_member(&w, "stageVariables", e->stage_variables, e->n_stage_variables, false);
    body_members(&w, a, e, false);
    jw_object_end(&w);
    return out->failed ? err_set(err, -ENOMEM, "the event is too big") : 0;
}

// ---- format 1.0
// ----------------------------------------------------------------------------------

static void context_v1(struct json_writer *w, const struct http_event *e)
{
    static const char *const absent[] = {"accessKey",
                                         "accountId",
                                         "caller",
                                         "cognitoAuthenticationProvider",
                                         "cognitoAuthenticationType",
                                         "cognitoIdentityId",
                                         "cognitoIdentityPoolId",
                                         "principalOrgId",
                                         "user",
                                         "userArn"};
    struct http_request *r = e->http;
    char time[TIMEFMT_BYTES];

    jw_key(w, STR("requestContext"));
    jw_object_begin(w);
    jw_member_str(w, "accountId", e->account_id);
    jw_member_str(w, "apiId", e->api_id);
    authorizer_member(w, e);
    jw_member_str(w, "domainName", e->domain_name);
    jw_member_str(w, "domainPrefix", e->domain_prefix);
    jw_member_str(w, "extendedRequestId", e->request_id);
    jw_member_str(w, "httpMethod", r->method);
    jw_key(w, STR("identity"));
    jw_object_begin(w);
    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
        jw_key(w, str_from(absent[i]));
        jw_null(w);
    }
    jw_member_str(w, "sourceIp", source_ip(r));
    jw_member_str(w, "userAgent", http_header_get(r, STR("user-agent")));
    jw_object_end(w);
    jw_member_str(w, "path", e->raw_path);
    jw_member_str(w, "protocol", protocol(r));
    jw_member_str(w, "requestId", e->request_id);
    jw_member_str(w, "requestTime", timefmt_access(e->now_ms, time));
    jw_member_i64(w, "requestTimeEpoch", e->now_ms);
    jw_key(w, STR("resourceId"));
    jw_null(w);
    jw_member_str(w, "resourcePath", e->resource);
    jw_member_str(w, "stage", e->stage);
    jw_object_end(w);
}

static void query_members_v1(struct json_writer *w, struct arena *a, struct str query)
{
    struct http_event_pair *q;
    size_t n = read_query(a, query, &q);

    jw_key(w, STR("queryStringParameters"));
    if (n > 0)
        query_object(w, a, q, n, JOIN_LAST);
    else
        jw_null(w);
    jw_key(w, STR("multiValueQueryStringParameters"));
    if (n > 0)
        query_object(w, a, q, n, JOIN_LIST);
    else
        jw_null(w);
}

void http_event_request_members(struct json_writer *w, struct arena *a,
                                const struct http_request *r)
{
    jw_key(w, STR("headers"));
    jw_object_begin(w);
    for (unsigned i = 0; i < r->n_headers; i++)
        if (first_of_name(r, i))
            joined_header(w, a, r, i);
    jw_object_end(w);
    jw_key(w, STR("multiValueHeaders"));
    jw_object_begin(w);
    for (unsigned i = 0; i < r->n_headers; i++)
        if (first_of_name(r, i))
            header_list(w, r, i);
    jw_object_end(w);
    query_members_v1(w, a, r->query);
}

int http_event_v1(const struct http_event *e, struct arena *a, struct buf *out, struct err *err)
{
    struct json_writer w = json_writer(out);
    struct http_request *r = e->http;

    jw_object_begin(&w);
    jw_member_str(&w, "version", STR("1.0"));
    jw_member_str(&w, "resource", e->resource);
    jw_member_str(&w, "path", e->raw_path);
    jw_member_str(&w, "httpMethod", r->method);
    http_event_request_members(&w, a, r);
    context_v1(&w, e);
    pairs_member(&w, "pathParameters", e->path_parameters, e->n_path_parameters, true);
    pairs_member(&w, "stageVariables", e->stage_variables, e->n_stage_variables, true);
    body_members(&w, a, e, true);
    jw_object_end(&w);
    return out->failed ? err_set(err, -ENOMEM, "the event is too big") : 0;
}
