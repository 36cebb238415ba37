// http_event.c - see http_event.h.

#include "services/gateway/http_event.h"

#include "base/base64.h"
#include "base/json.h"
#include "base/map.h"
#include "base/percent.h"
#include "base/timefmt.h"
#include "base/utf8.h"

#include <errno.h>

// ---- headers
// -------------------------------------------------------------------------------------

// What concerns the connection between the client and us, and what the gateways say of it
// themselves, whatever the client said.
static bool is_gateways(struct str name)
{
    static const struct str names[] = {
        STR_INIT("connection"),       STR_INIT("keep-alive"),        STR_INIT("proxy-connection"),
        STR_INIT("upgrade"),          STR_INIT("transfer-encoding"), STR_INIT("x-forwarded-for"),
        STR_INIT("x-forwarded-port"), STR_INIT("x-forwarded-proto"),
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (str_eq(name, names[i]))
            return true;
    return false;
}

// Names are in lower case; format 1.0 writes those that every request has as AWS does.
static struct str shown_name(struct str name, bool capitals)
{
    static const struct {
        struct str lower, shown;
    } names[] = {
        {STR_INIT("host"), STR_INIT("Host")},
        {STR_INIT("user-agent"), STR_INIT("User-Agent")},
        {STR_INIT("content-length"), STR_INIT("Content-Length")},
        {STR_INIT("x-amzn-trace-id"), STR_INIT("X-Amzn-Trace-Id")},
        {STR_INIT("x-forwarded-for"), STR_INIT("X-Forwarded-For")},
        {STR_INIT("x-forwarded-port"), STR_INIT("X-Forwarded-Port")},
        {STR_INIT("x-forwarded-proto"), STR_INIT("X-Forwarded-Proto")},
    };

    for (size_t i = 0; capitals && i < sizeof(names) / sizeof(names[0]); i++)
        if (str_eq(name, names[i].lower))
            return names[i].shown;
    return name;
}

static bool first_of_name(const struct http_request *r, unsigned at)
{
    for (unsigned i = 0; i < at; i++)
        if (str_eq(r->headers[i].name, r->headers[at].name))
            return false;
    return true;
}

// Values of one name, joined by commas.
static struct str joined_values(struct arena *a, const struct http_request *r, unsigned at)
{
    struct str all = r->headers[at].value;

    for (unsigned i = at + 1; i < r->n_headers; i++)
        if (str_eq(r->headers[i].name, r->headers[at].name))
            all = arena_printf(a, "%.*s,%.*s", STR_ARG(all), STR_ARG(r->headers[i].value));
    return all;
}

struct str http_event_source_ip(struct http_request *r)
{
    struct str address = http_remote_address(r);

    if (str_starts(address, STR("["))) {
        ptrdiff_t end = str_find_char(address, ']');
        return str_slice(address, 1, end > 0 ? (size_t)end : address.len);
    }
    ptrdiff_t colon = str_find_char(address, ':');
    return colon < 0 ? STR("127.0.0.1") : str_slice(address, 0, (size_t)colon);
}

// Behind whom the client already stood, and the client.
static struct str forwarded_for(struct arena *a, struct http_request *r)
{
    struct str ip = http_event_source_ip(r);

    for (unsigned i = 0; i < r->n_headers; i++)
        if (str_eq(r->headers[i].name, STR("x-forwarded-for")))
            return arena_printf(a, "%.*s, %.*s", STR_ARG(joined_values(a, r, i)), STR_ARG(ip));
    return ip;
}

static struct str forwarded_port(const struct http_request *r)
{
    struct str rest = http_header_get(r, STR("host"));
    ptrdiff_t bracket = str_find_char(rest, ']');

    if (bracket >= 0)
        rest = str_slice(rest, (size_t)bracket, rest.len);
    ptrdiff_t colon = str_find_char(rest, ':');
    if (colon >= 0 && (size_t)colon + 1 < rest.len)
        return str_slice(rest, (size_t)colon + 1, rest.len);
    return r->tls ? STR("443") : STR("80");
}

struct headers_as {
    bool capitals, lists, without_cookies;
};

static void header_member(struct json_writer *w, struct str name, struct str value,
                          struct headers_as as)
{
    jw_key(w, shown_name(name, as.capitals));
    if (as.lists)
        jw_array_begin(w);
    jw_str(w, value);
    if (as.lists)
        jw_array_end(w);
}

static void header_list(struct json_writer *w, const struct http_request *r, unsigned at,
                        struct headers_as as)
{
    jw_key(w, shown_name(r->headers[at].name, as.capitals));
    jw_array_begin(w);
    for (unsigned i = at; i < r->n_headers; i++)
        if (str_eq(r->headers[i].name, r->headers[at].name))
            jw_str(w, r->headers[i].value);
    jw_array_end(w);
}

static void headers_object(struct json_writer *w, struct arena *a, struct http_request *r,
                           struct str trace_id, struct headers_as as)
{
    bool traced = false;

    jw_object_begin(w);
    for (unsigned i = 0; i < r->n_headers; i++) {
        struct str name = r->headers[i].name;
        if (is_gateways(name) || (as.without_cookies && str_eq(name, STR("cookie"))) ||
            !first_of_name(r, i))
            continue;
        traced = traced || str_eq(name, STR("x-amzn-trace-id"));
        if (as.lists)
            header_list(w, r, i, as);
        else
            header_member(w, name, joined_values(a, r, i), as);
    }
    if (!traced && trace_id.len > 0)
        header_member(w, STR("x-amzn-trace-id"), trace_id, as);
    header_member(w, STR("x-forwarded-for"), forwarded_for(a, r), as);
    header_member(w, STR("x-forwarded-port"), forwarded_port(r), as);
    header_member(w, STR("x-forwarded-proto"), r->tls ? STR("https") : STR("http"), as);
    jw_object_end(w);
}

// ---- query
// ---------------------------------------------------------------------------------------

#define FEW_PAIRS 16 // among so many a name is found by looking at each

// The pairs of a query, decoded; those of one name are chained.
struct query {
    size_t n;
    struct http_event_pair *pairs;
    uint32_t *next; // with the same name; 0: none
    bool *first;    // of its name
};

// A part of a query, decoded; as it stands when it is malformed.
static struct str decoded(struct arena *a, struct str s)
{
    struct str out;

    if (s.len == 0)
        return STR("");
    return percent_decode(a, s, PERCENT_FORM, &out) < 0 ? s : out;
}

// The last pair before `at` with its name, counted from 1; 0: there is none.
static size_t earlier(const struct query *q, struct map *seen, size_t at)
{
    void *old = NULL;

    if (q->n > FEW_PAIRS)
        return map_set(seen, q->pairs[at].name, (void *)(uintptr_t)(at + 1), &old) < 0
                   ? 0
                   : (size_t)(uintptr_t)old;
    for (size_t i = at; i > 0; i--)
        if (str_eq(q->pairs[i - 1].name, q->pairs[at].name))
            return i;
    return 0;
}

static void read_query(struct arena *a, struct str query, struct query *q)
{
    struct str rest = query, name, value;
    struct map seen = {0};
    size_t n = 0;

    *q = (struct query){0};
    while (percent_next_pair(&rest, &name, &value))
        n++;
    q->pairs = arena_new_array(a, struct http_event_pair, n);
    q->next = arena_new_array(a, uint32_t, n);
    q->first = arena_new_array(a, bool, n);
    if (!q->pairs || !q->next || !q->first)
        return;
    q->n = n;
    rest = query;
    for (size_t i = 0; i < n && percent_next_pair(&rest, &name, &value); i++) {
        q->pairs[i] = (struct http_event_pair){decoded(a, name), decoded(a, value)};
        size_t before = earlier(q, &seen, i);
        q->next[i] = 0;
        q->first[i] = before == 0;
        if (before > 0)
            q->next[before - 1] = (uint32_t)i;
    }
    map_finish(&seen);
}

enum joined { JOIN_COMMA, JOIN_LAST, JOIN_LIST };

static struct str joined_pairs(struct arena *a, const struct query *q, size_t at)
{
    size_t total = 0, n = 0;

    for (size_t i = at;; i = q->next[i]) {
        total += q->pairs[i].value.len + 1;
        if (q->next[i] == 0)
            break;
    }
    char *all = arena_alloc(a, total);
    for (size_t i = at; all; i = q->next[i]) {
        memcpy(all + n, q->pairs[i].value.ptr, q->pairs[i].value.len);
        n += q->pairs[i].value.len;
        if (q->next[i] == 0)
            break;
        all[n++] = ',';
    }
    return (struct str){all, n};
}

static void query_member(struct json_writer *w, struct arena *a, const struct query *q, size_t at,
                         enum joined how)
{
    size_t last = at;

    jw_key(w, q->pairs[at].name);
    if (how == JOIN_COMMA) {
        jw_str(w, q->next[at] ? joined_pairs(a, q, at) : q->pairs[at].value);
        return;
    }
    if (how == JOIN_LIST)
        jw_array_begin(w);
    for (;; last = q->next[last]) {
        if (how == JOIN_LIST)
            jw_str(w, q->pairs[last].value);
        if (q->next[last] == 0)
            break;
    }
    if (how == JOIN_LIST)
        jw_array_end(w);
    else
        jw_str(w, q->pairs[last].value);
}

static void query_object(struct json_writer *w, struct arena *a, const struct query *q,
                         enum joined how)
{
    jw_object_begin(w);
    for (size_t i = 0; i < q->n; i++)
        if (q->first[i])
            query_member(w, a, q, i, how);
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

// The path as API Gateway gives it: decoded, as it stands when it is malformed.
static struct str decoded_path(struct arena *a, struct str path)
{
    struct str out;

    return percent_decode(a, path, PERCENT_PATH, &out) < 0 ? path : out;
}

struct str http_event_caller(struct arena *a, const struct principal *p)
{
    struct buf b;

    buf_init(&b, 8192);
    struct json_writer w = json_writer(&b);
    jw_object_begin(&w);
    jw_member_str(&w, "accessKey", p->access_key);
    jw_member_str(&w, "accountId", p->account);
    jw_member_str(&w, "callerId", p->user_id);
    jw_key(&w, STR("cognitoIdentity"));
    jw_null(&w);
    jw_key(&w, STR("principalOrgId"));
    jw_null(&w);
    jw_member_str(&w, "userArn", p->arn);
    jw_member_str(&w, "userId", p->user_id);
    jw_object_end(&w);
    struct str s = b.failed ? STR_NULL : arena_str(a, buf_str(&b));
    buf_finish(&b);
    return s;
}

// A function's context without the principal, which only format 1.0 shows.
static void lambda_context(struct json_writer *w, struct arena *a, struct str authorizer)
{
    const struct json_value *v;

    jw_object_begin(w);
    if (json_parse(a, authorizer, &v, NULL) == 0) {
        json_each(m, v)
        {
            if (str_eq(m->key, STR("principalId")))
                continue;
            jw_key(w, m->key);
            jw_raw(w, m->raw);
        }
    }
    jw_object_end(w);
}

// requestContext.authorizer in format 2.0: {"jwt": …}, {"lambda": …}, {"iam": …}.
static void authorizer_member_v2(struct json_writer *w, struct arena *a, const struct http_event *e)
{
    static const char *const names[] = {"", "jwt", "lambda", "iam"};

    if (e->authorized == HTTP_AUTHORIZER_NONE || !e->authorizer.ptr)
        return;
    jw_key(w, STR("authorizer"));
    jw_object_begin(w);
    jw_key(w, str_from(names[e->authorized]));
    if (e->authorized == HTTP_AUTHORIZER_LAMBDA)
        lambda_context(w, a, e->authorizer);
    else
        jw_raw(w, e->authorizer);
    jw_object_end(w);
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

static void context_v2(struct json_writer *w, struct arena *a, const struct http_event *e)
{
    struct http_request *r = e->http;
    char time[TIMEFMT_BYTES];

    jw_key(w, STR("requestContext"));
    jw_object_begin(w);
    jw_member_str(w, "accountId", e->account_id);
    jw_member_str(w, "apiId", e->api_id);
    authorizer_member_v2(w, a, e);
    jw_member_str(w, "domainName", e->domain_name);
    jw_member_str(w, "domainPrefix", e->domain_prefix);
    jw_key(w, STR("http"));
    jw_object_begin(w);
    jw_member_str(w, "method", r->method);
    jw_member_str(w, "path", decoded_path(a, e->raw_path));
    jw_member_str(w, "protocol", protocol(r));
    jw_member_str(w, "sourceIp", http_event_source_ip(r));
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
    struct query query;

    read_query(a, r->query, &query);
    jw_object_begin(&w);
    jw_member_str(&w, "version", STR("2.0"));
    jw_member_str(&w, "routeKey", e->route_key);
    jw_member_str(&w, "rawPath", e->function_url ? e->raw_path : decoded_path(a, e->raw_path));
    jw_member_str(&w, "rawQueryString", r->query);
    cookies_member(&w, r);
    jw_key(&w, STR("headers"));
    headers_object(&w, a, r, e->trace_id, (struct headers_as){.without_cookies = !e->function_url});
    if (query.n > 0) {
        jw_key(&w, STR("queryStringParameters"));
        query_object(&w, a, &query, JOIN_COMMA);
    }
    context_v2(&w, a, e);
    pairs_member(&w, "pathParameters", e->path_parameters, e->n_path_parameters, false);
    pairs_member(&w, "stageVariables", e->stage_variables, e->n_stage_variables, false);
    body_members(&w, a, e, false);
    jw_object_end(&w);
    return out->failed ? err_set(err, -ENOMEM, "the event is too big") : 0;
}

// ---- format 1.0
// ----------------------------------------------------------------------------------

// Members of requestContext.identity, by what http_event_caller() calls them (NULL: never known).
static void identity_v1(struct json_writer *w, struct arena *a, const struct http_event *e)
{
    static const char *const members[][2] = {{"accessKey", "accessKey"},
                                             {"accountId", "accountId"},
                                             {"caller", "callerId"},
                                             {"cognitoAuthenticationProvider", NULL},
                                             {"cognitoAuthenticationType", NULL},
                                             {"cognitoIdentityId", NULL},
                                             {"cognitoIdentityPoolId", NULL},
                                             {"principalOrgId", NULL},
                                             {"user", "userId"},
                                             {"userArn", "userArn"}};
    const struct json_value *caller = NULL;
    struct str known;

    if (e->authorized == HTTP_AUTHORIZER_IAM && json_parse(a, e->authorizer, &caller, NULL) < 0)
        caller = NULL;
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        jw_key(w, str_from(members[i][0]));
        if (caller && members[i][1] && json_str(json_get(caller, members[i][1]), &known))
            jw_str(w, known);
        else
            jw_null(w);
    }
}

static void context_v1(struct json_writer *w, struct arena *a, const struct http_event *e)
{
    struct http_request *r = e->http;
    char time[TIMEFMT_BYTES];

    jw_key(w, STR("requestContext"));
    jw_object_begin(w);
    jw_member_str(w, "accountId", e->account_id);
    jw_member_str(w, "apiId", e->api_id);
    bool shown = e->authorized == HTTP_AUTHORIZER_JWT || e->authorized == HTTP_AUTHORIZER_LAMBDA;
    if (shown && e->authorizer.ptr) {
        jw_key(w, STR("authorizer"));
        jw_raw(w, e->authorizer);
    }
    jw_member_str(w, "domainName", e->domain_name);
    jw_member_str(w, "domainPrefix", e->domain_prefix);
    jw_member_str(w, "extendedRequestId", e->request_id);
    jw_member_str(w, "httpMethod", r->method);
    jw_key(w, STR("identity"));
    jw_object_begin(w);
    identity_v1(w, a, e);
    jw_member_str(w, "sourceIp", http_event_source_ip(r));
    jw_member_str(w, "userAgent", http_header_get(r, STR("user-agent")));
    jw_object_end(w);
    jw_member_str(w, "path", decoded_path(a, e->raw_path));
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
    struct query q;

    read_query(a, query, &q);
    jw_key(w, STR("queryStringParameters"));
    if (q.n > 0)
        query_object(w, a, &q, JOIN_LAST);
    else
        jw_null(w);
    jw_key(w, STR("multiValueQueryStringParameters"));
    if (q.n > 0)
        query_object(w, a, &q, JOIN_LIST);
    else
        jw_null(w);
}

void http_event_request_members(struct json_writer *w, struct arena *a, struct http_request *r,
                                struct str trace_id)
{
    jw_key(w, STR("headers"));
    headers_object(w, a, r, trace_id, (struct headers_as){.capitals = true});
    jw_key(w, STR("multiValueHeaders"));
    headers_object(w, a, r, trace_id, (struct headers_as){.capitals = true, .lists = true});
    query_members_v1(w, a, r->query);
}

int http_event_v1(const struct http_event *e, struct arena *a, struct buf *out, struct err *err)
{
    struct json_writer w = json_writer(out);
    struct http_request *r = e->http;

    jw_object_begin(&w);
    jw_member_str(&w, "version", STR("1.0"));
    jw_member_str(&w, "resource", e->resource);
    jw_member_str(&w, "path", decoded_path(a, e->raw_path));
    jw_member_str(&w, "httpMethod", r->method);
    http_event_request_members(&w, a, r, e->trace_id);
    context_v1(&w, a, e);
    pairs_member(&w, "pathParameters", e->path_parameters, e->n_path_parameters, true);
    pairs_member(&w, "stageVariables", e->stage_variables, e->n_stage_variables, true);
    body_members(&w, a, e, true);
    jw_object_end(&w);
    return out->failed ? err_set(err, -ENOMEM, "the event is too big") : 0;
}
