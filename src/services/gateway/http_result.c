// http_result.c - see http_result.h.

#include "services/gateway/http_result.h"

#include "base/base64.h"
#include "base/json.h"

#include <errno.h>

// The server's own: what a function says of them would break the framing.
static bool is_servers(struct str name)
{
    static const char *const names[] = {"connection",        "content-length",  "keep-alive",
                                        "transfer-encoding", "upgrade",         "te",
                                        "trailer",           "proxy-connection"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (str_eq_nocase(name, str_from(names[i])))
            return true;
    return false;
}

static bool is_token(struct str s)
{
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c <= ' ' || c >= 127 || strchr("()<>@,;:\\\"/[]?={}", c))
            return false;
    }
    return true;
}

static bool is_value(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if ((c < ' ' && c != '\t') || c == 127)
            return false;
    }
    return true;
}

bool http_header_valid(struct str name, struct str value)
{
    return is_token(name) && is_value(value);
}

static int add_header(struct http_result *r, struct str name, struct str value, struct err *err)
{
    if (!http_header_valid(name, value))
        return err_set(err, -EINVAL, "a header's name or value is not valid");
    if (is_servers(name))
        return 0;
    if (r->n_headers == HTTP_RESULT_MAX_HEADERS)
        return err_set(err, -EINVAL, "too many headers");
    r->headers[r->n_headers++] = (struct http_header){name, value};
    return 0;
}

// Strings, numbers and booleans are values; null is the empty one.
static bool scalar(const struct json_value *v, struct str *out)
{
    if (json_str(v, out))
        return true;
    if (v->type >= JSON_ARRAY)
        return false;
    *out = v->type == JSON_NULL ? STR("") : v->raw;
    return true;
}

static int headers_of(struct http_result *r, const struct json_value *object, struct err *err)
{
    if (!json_is_null(object) && !json_is(object, JSON_OBJECT))
        return err_set(err, -EINVAL, "headers is not an object");
    json_each(m, object)
    {
        struct str value;
        if (!scalar(m, &value))
            return err_set(err, -EINVAL, "a header's value is not a string");
        int rc = add_header(r, m->key, value, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int multi_headers_of(struct http_result *r, const struct json_value *object, struct err *err)
{
    if (!json_is_null(object) && !json_is(object, JSON_OBJECT))
        return err_set(err, -EINVAL, "multiValueHeaders is not an object");
    json_each(m, object)
    {
        if (!json_is(m, JSON_ARRAY))
            return err_set(err, -EINVAL, "a multi-value header is not a list");
        // The list replaces what `headers` said under that name.
        unsigned kept = 0;
        for (unsigned i = 0; i < r->n_headers; i++)
            if (!str_eq_nocase(r->headers[i].name, m->key))
                r->headers[kept++] = r->headers[i];
        r->n_headers = kept;
        json_each(v, m)
        {
            struct str value;
            if (!scalar(v, &value))
                return err_set(err, -EINVAL, "a header's value is not a string");
            int rc = add_header(r, m->key, value, err);
            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

static int cookies_of(struct http_result *r, const struct json_value *list, struct err *err)
{
    if (!json_is_null(list) && !json_is(list, JSON_ARRAY))
        return err_set(err, -EINVAL, "cookies is not a list");
    json_each(v, list)
    {
        struct str value;
        if (!json_str(v, &value))
            return err_set(err, -EINVAL, "a cookie is not a string");
        int rc = add_header(r, STR("set-cookie"), value, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int status_of(const struct json_value *v, int *out, struct err *err)
{
    struct str text;
    int64_t n;

    if (!json_i64(v, &n) && !(json_str(v, &text) && str_to_i64(text, &n) == 0))
        return err_set(err, -EINVAL, "statusCode is not a number");
    if (n < 100 || n > 599)
        return err_set(err, -EINVAL, "statusCode is not an HTTP status");
    *out = (int)n;
    return 0;
}

static int body_of(struct arena *a, const struct json_value *object, struct http_result *r,
                   struct err *err)
{
    const struct json_value *body = json_get(object, "body");

    r->body = STR("");
    if (json_is_null(body))
        return 0;
    if (!scalar(body, &r->body))
        return err_set(err, -EINVAL, "body is not a string");
    if (!json_get_bool_or(object, "isBase64Encoded", false))
        return 0;
    return base64_decode(a, r->body, &r->body) < 0
               ? err_set(err, -EINVAL, "body is not base64, though isBase64Encoded says so")
               : 0;
}

static bool has_header(const struct http_result *r, struct str name)
{
    for (unsigned i = 0; i < r->n_headers; i++)
        if (str_eq_nocase(r->headers[i].name, name))
            return true;
    return false;
}

static int parse_object(struct arena *a, const struct json_value *v, unsigned format,
                        struct http_result *out, struct err *err)
{
    int r = status_of(json_get(v, "statusCode"), &out->status, err);

    if (r == 0)
        r = headers_of(out, json_get(v, "headers"), err);
    if (r == 0 && format == 1)
        r = multi_headers_of(out, json_get(v, "multiValueHeaders"), err);
    if (r == 0 && format == 2)
        r = cookies_of(out, json_get(v, "cookies"), err);
    return r < 0 ? r : body_of(a, v, out, err);
}

static int room(struct arena *a, struct http_result *out, struct err *err)
{
    *out = (struct http_result){.status = 200, .body = STR("")};
    out->headers = arena_new_array(a, struct http_header, HTTP_RESULT_MAX_HEADERS + 1);
    return out->headers ? 0 : err_set(err, -ENOMEM, "out of memory");
}

int http_result_parse(struct arena *a, struct str response, unsigned format,
                      struct http_result *out, struct err *err)
{
    const struct json_value *v = NULL;
    int r = room(a, out, err);

    if (r < 0)
        return r;
    if (json_parse(a, response, &v, NULL) < 0 && format == 1)
        return err_set(err, -EINVAL, "the function's answer is not JSON");
    if (v && json_is(v, JSON_OBJECT) && json_get(v, "statusCode")) {
        r = parse_object(a, v, format, out, err);
    } else if (format == 1) {
        return err_set(err, -EINVAL, "the function's answer has no statusCode");
    } else {
        struct str text;
        out->body = v && json_str(v, &text) ? text : response;
    }
    if (r == 0 && !has_header(out, STR("content-type")))
        out->headers[out->n_headers++] = (struct http_header){
            STR("content-type"), format == 1 ? STR("text/plain") : STR("application/json")};
    return r;
}

int http_result_prelude(struct arena *a, struct str json, struct http_result *out, struct err *err)
{
    const struct json_value *v;
    int r = room(a, out, err);

    if (r < 0)
        return r;
    r = json_parse(a, json, &v, err);
    if (r < 0)
        return r;
    if (!json_is(v, JSON_OBJECT))
        return err_set(err, -EINVAL, "the prelude is not an object");
    if (json_get(v, "statusCode"))
        r = status_of(json_get(v, "statusCode"), &out->status, err);
    if (r == 0)
        r = headers_of(out, json_get(v, "headers"), err);
    if (r == 0)
        r = cookies_of(out, json_get(v, "cookies"), err);
    if (r == 0 && !has_header(out, STR("content-type")))
        out->headers[out->n_headers++] =
            (struct http_header){STR("content-type"), STR("application/octet-stream")};
    return r;
}
