// openapi_import.c - ImportApi and ReimportApi: an HTTP API from an OpenAPI 3 document.
//
// The document is JSON or YAML (openapi_yaml.h). Of it we read what API Gateway does: info, tags,
// servers (for basepath), paths, securitySchemes, and the x-amazon-apigateway-* extensions cors,
// endpoint-configuration, integration (also by reference to components), any-method, authorizer,
// auth and importexport-version. Everything is written in one transaction: an API is imported whole
// or not.
//
// Bounds: MAX_DOCUMENT_BYTES, MAX_ROUTES, MAX_REFERENCES, references of references MAX_HOPS deep;
// a reference that leads nowhere, out of the document or in circles is refused.

#include "services/gateway/gateway.h"

#include "base/map.h"
#include "base/timefmt.h"
#include "services/gateway/kinds.h"
#include "services/gateway/route_table.h"
#include "services/gateway/openapi_yaml.h"
#include "wire/gen/apigatewayv2.h"
#include "wire/gen/apigatewayv2_handlers.h"
#include "wire/wire.h"

#include <errno.h>

#define MAX_DOCUMENT_BYTES ((size_t)4 << 20)
#define MAX_ROUTES 5000
#define MAX_REFERENCES 5000
#define MAX_HOPS 16
#define MAX_RECORD_BYTES ((size_t)1 << 20)

#define BAD(...) err_aws(err, &APIGATEWAYV2_BAD_REQUEST_EXCEPTION, __VA_ARGS__)

struct import {
    struct call *c;
    struct store_tx *tx;
    struct str api_id, prefix;
    const struct json_value *document;
    struct map authorizers;  // name of the security scheme -> struct scheme
    struct map integrations; // reference -> its integration's id, a C string
    struct map keys;         // routes' keys that were seen
    unsigned n_routes, n_references;
    struct json_writer warnings;
    struct buf warnings_text;
};

struct scheme {
    const char *type; // "JWT", "CUSTOM", "AWS_IAM"
    struct str id;    // of the authorizer; absent for AWS_IAM
};

static void warn(struct import *i, struct str where, const char *what)
{
    jw_strf(&i->warnings, "%.*s: %s", STR_ARG(where), what);
}

// ---- references
// ----------------------------------------------------------------------------------

// A step of a JSON pointer (RFC 6901 section 4), unescaped.
static struct str step(struct arena *a, struct str token)
{
    char *to = arena_alloc(a, token.len + 1);
    size_t n = 0;

    for (size_t i = 0; to && i < token.len; i++) {
        bool escape = token.ptr[i] == '~' && i + 1 < token.len;
        to[n++] = !escape ? token.ptr[i] : token.ptr[i + 1] == '1' ? '/' : '~';
        i += escape;
    }
    return (struct str){to, n};
}

// Follows "$ref"; *v becomes what it means.
static int resolve(struct import *i, const struct json_value **v, struct err *err)
{
    struct str ref, token;

    for (int hop = 0; json_str(json_get(*v, "$ref"), &ref); hop++) {
        const struct json_value *at = i->document;
        struct str rest = ref;
        if (hop == MAX_HOPS)
            return BAD("Circular reference: %.*s", STR_ARG(ref));
        if (!str_starts(ref, STR("#/")))
            return BAD("Only references into the document are allowed: %.*s", STR_ARG(ref));
        rest = str_slice(rest, 2, rest.len);
        while (at && str_next(&rest, '/', &token))
            at = json_get_str(at, step(i->c->arena, token));
        if (!at)
            return BAD("Invalid reference: %.*s does not exist", STR_ARG(ref));
        *v = at;
    }
    return 0;
}

static int check_references(struct import *i, const struct json_value *v, struct err *err)
{
    struct str ignored;
    int r = 0;

    if (json_is(v, JSON_OBJECT) && json_str(json_get(v, "$ref"), &ignored)) {
        const struct json_value *to = v;
        if (++i->n_references > MAX_REFERENCES)
            return BAD("The document has more than %d references", MAX_REFERENCES);
        r = resolve(i, &to, err);
    }
    for (const struct json_value *m = json_first(v); r == 0 && m; m = m->next)
        if (m->type >= JSON_ARRAY)
            r = check_references(i, m, err);
    return r;
}

// ---- records
// -------------------------------------------------------------------------------------

struct renamed {
    const char *from, *to;
    bool text; // a string, whatever it was written as
};

static void copy_members(struct json_writer *w, const struct json_value *from,
                         const struct renamed *names, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        const struct json_value *v = json_get(from, names[k].from);
        if (json_is_null(v))
            continue;
        jw_key(w, str_from(names[k].to));
        if (names[k].text && v->type == JSON_NUMBER)
            jw_str(w, v->raw);
        else
            jw_value(w, v);
    }
}

static struct str upper(struct arena *a, struct str s)
{
    char *to = arena_cstr(a, s);

    for (size_t i = 0; to && i < s.len; i++)
        if (to[i] >= 'a' && to[i] <= 'z')
            to[i] = (char)(to[i] - 32);
    return (struct str){to, to ? s.len : 0};
}

// Stores what is in the buffer, after the shape of its kind was held against it. Empties it.
static int put(struct import *i, const struct resource_kind *k, unsigned shape, struct str id,
               struct buf *b, bool check, struct err *err)
{
    union {
        struct apigatewayv2_integration integration;
        struct apigatewayv2_authorizer authorizer;
        struct apigatewayv2_route route;
    } typed;
    struct str json = b->failed ? STR_NULL : arena_str(i->c->arena, buf_str(b));
    struct err why = ERR_INIT;

    buf_finish(b);
    if (!json.ptr)
        return BAD("A part of the document is too big");
    memset(&typed, 0, sizeof(typed));
    if (wire_shape_from_json(&wire_apigatewayv2, shape, json, i->c->arena, &typed, &why) < 0)
        return BAD("Invalid %s in the document: %s", k->noun, why.message);
    return resource_put(i->c, i->tx, k, i->api_id, id, json, check, err);
}

static int import_integration(struct import *i, const struct json_value *v, struct str *id,
                              struct err *err)
{
    static const struct renamed names[] = {
        {"uri", "integrationUri", false},
        {"payloadFormatVersion", "payloadFormatVersion", true},
        {"timeoutInMillis", "timeoutInMillis", false},
        {"connectionType", "connectionType", false},
        {"connectionId", "connectionId", false},
        {"tlsConfig", "tlsConfig", false},
        {"requestParameters", "requestParameters", false},
        {"responseParameters", "responseParameters", false},
        {"credentials", "credentialsArn", false},
        {"description", "description", false},
        {"integrationSubtype", "integrationSubtype", false},
    };
    struct str type = upper(i->c->arena, json_get_or(v, "type", STR("")));
    struct str method = json_get_or(v, "httpMethod", STR_NULL);
    struct buf b;

    *id = resource_new_id(i->c->arena, kind_integration.id_chars);
    buf_init(&b, MAX_RECORD_BYTES);
    struct json_writer w = json_writer(&b);
    jw_object_begin(&w);
    jw_member_str(&w, "integrationId", *id);
    jw_member_str(&w, "integrationType", type);
    if (str_eq(type, STR("AWS_PROXY")))
        jw_member_str(&w, "integrationMethod", STR("POST"));
    else if (method.len > 0)
        jw_member_str(&w, "integrationMethod", upper(i->c->arena, method));
    copy_members(&w, v, names, sizeof(names) / sizeof(names[0]));
    jw_object_end(&w);
    return put(i, &kind_integration, APIGATEWAYV2_SHAPE_INTEGRATION, *id, &b, true, err);
}

// The integration of an operation: its own, or one that several refer to, which is made once.
static int integration_of(struct import *i, const struct json_value *v, struct str *id,
                          struct err *err)
{
    const struct json_value *to = v;
    struct str ref = json_get_or(v, "$ref", STR_NULL);
    const char *made = ref.len > 0 ? map_get(&i->integrations, ref) : NULL;

    if (made)
        return *id = str_from(made), 0;
    int r = resolve(i, &to, err);
    if (r == 0)
        r = import_integration(i, to, id, err);
    if (r == 0 && ref.len > 0)
        map_set(&i->integrations, ref, (void *)id->ptr, NULL);
    return r;
}

// "a, b" or a list, as a list.
static void identity_sources(struct json_writer *w, const struct json_value *v)
{
    struct str text, one;

    jw_key(w, STR("identitySource"));
    if (json_is(v, JSON_ARRAY)) {
        jw_value(w, v);
        return;
    }
    jw_array_begin(w);
    if (json_str(v, &text))
        while (str_next(&text, ',', &one))
            if (str_trim(one).len > 0)
                jw_str(w, str_trim(one));
    jw_array_end(w);
}

static int import_authorizer(struct import *i, const struct json_value *scheme,
                             const struct json_value *v, struct scheme *out, struct err *err)
{
    static const struct renamed names[] = {
        {"authorizerUri", "authorizerUri", false},
        {"authorizerCredentials", "authorizerCredentialsArn", false},
        {"authorizerPayloadFormatVersion", "authorizerPayloadFormatVersion", true},
        {"authorizerResultTtlInSeconds", "authorizerResultTtlInSeconds", false},
        {"enableSimpleResponses", "enableSimpleResponses", false},
        {"jwtConfiguration", "jwtConfiguration", false},
    };
    bool jwt = str_eq_nocase(json_get_or(v, "type", STR("")), STR("jwt"));
    struct buf b;

    out->type = jwt ? "JWT" : "CUSTOM";
    out->id = resource_new_id(i->c->arena, kind_authorizer.id_chars);
    buf_init(&b, MAX_RECORD_BYTES);
    struct json_writer w = json_writer(&b);
    jw_object_begin(&w);
    jw_member_str(&w, "authorizerId", out->id);
    jw_member_str(&w, "name", scheme->key);
    jw_member_str(&w, "authorizerType", jwt ? STR("JWT") : STR("REQUEST"));
    identity_sources(&w, json_get(v, "identitySource"));
    copy_members(&w, v, names, sizeof(names) / sizeof(names[0]));
    jw_object_end(&w);
    return put(i, &kind_authorizer, APIGATEWAYV2_SHAPE_AUTHORIZER, out->id, &b, true, err);
}

static int import_schemes(struct import *i, struct err *err)
{
    json_each(s, json_path(i->document, "components", "securitySchemes", NULL))
    {
        const struct json_value *scheme = s;
        struct scheme *out = arena_new(i->c->arena, struct scheme);
        int r = resolve(i, &scheme, err);
        if (r < 0)
            return r;
        const struct json_value *v = json_get(scheme, "x-amazon-apigateway-authorizer");
        if (!out)
            return err_set(err, -ENOMEM, "out of memory");
        if (str_eq(json_get_or(scheme, "x-amazon-apigateway-authtype", STR("")), STR("awsSigv4")))
            out->type = "AWS_IAM";
        else if (!v)
            continue;
        else if ((r = import_authorizer(i, s, v, out, err)) < 0)
            return r;
        if (map_set(&i->authorizers, s->key, out, NULL) < 0)
            return err_set(err, -ENOMEM, "out of memory");
    }
    return 0;
}

// ---- routes
// --------------------------------------------------------------------------------------

static void authorization(struct import *i, struct json_writer *w, struct str key,
                          const struct json_value *operation)
{
    const struct json_value *security = json_get(operation, "security");
    const struct json_value *auth = json_get(operation, "x-amazon-apigateway-auth");
    const struct json_value *first;

    if (str_eq_nocase(json_get_or(auth, "type", STR("")), STR("AWS_IAM"))) {
        jw_member_str(w, "authorizationType", STR("AWS_IAM"));
        return;
    }
    first = json_first(json_first(security ? security : json_get(i->document, "security")));
    if (!first) {
        jw_member_str(w, "authorizationType", STR("NONE"));
        return;
    }
    const struct scheme *s = map_get(&i->authorizers, first->key);
    if (!s) {
        warn(i, key, "its security scheme has no authorizer; the route is open");
        jw_member_str(w, "authorizationType", STR("NONE"));
        return;
    }
    jw_member_str(w, "authorizationType", str_from(s->type));
    if (s->id.ptr)
        jw_member_str(w, "authorizerId", s->id);
    if (strcmp(s->type, "JWT") == 0 && json_count(first) > 0) {
        jw_key(w, STR("authorizationScopes"));
        jw_value(w, first);
    }
}

static int import_route(struct import *i, struct str key, const struct json_value *operation,
                        struct err *err)
{
    const struct json_value *v = json_get(operation, "x-amazon-apigateway-integration");
    struct str id = resource_new_id(i->c->arena, kind_route.id_chars), target = STR_NULL;
    void *old = NULL;
    struct buf b;
    int r = 0;

    if (++i->n_routes > MAX_ROUTES)
        return BAD("The document has more than %d routes", MAX_ROUTES);
    if (!route_key_valid(key))
        return BAD("Invalid route in the document: %.*s", STR_ARG(key));
    if (map_set(&i->keys, key, i, &old) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    if (old)
        return BAD("The document has the route %.*s twice", STR_ARG(key));
    if (v)
        r = integration_of(i, v, &target, err);
    else
        warn(i, key, "it has no integration");
    if (r < 0)
        return r;
    buf_init(&b, MAX_RECORD_BYTES);
    struct json_writer w = json_writer(&b);
    jw_object_begin(&w);
    jw_member_str(&w, "routeId", id);
    jw_member_str(&w, "routeKey", key);
    if (target.ptr)
        jw_member_str(&w, "target",
                      arena_printf(i->c->arena, "integrations/%.*s", STR_ARG(target)));
    if (json_get_or(operation, "operationId", STR("")).len > 0)
        jw_member_str(&w, "operationName",
                      str_slice(json_get_or(operation, "operationId", STR("")), 0, 64));
    authorization(i, &w, key, operation);
    jw_object_end(&w);
    return put(i, &kind_route, APIGATEWAYV2_SHAPE_ROUTE, id, &b, false, err);
}

static int import_path(struct import *i, const struct json_value *path, struct err *err)
{
    static const char *const methods[] = {"get",  "put",   "post",   "delete",
                                          "head", "patch", "options"};
    const struct json_value *item = path, *v;
    struct arena *a = i->c->arena;
    int r = resolve(i, &item, err);

    if (r == 0 && (v = json_get(item, "x-amazon-apigateway-any-method"))) {
        bool all =
            json_get_bool_or(v, "isDefaultRoute", false) || str_eq(path->key, STR("/$default"));
        r = import_route(
            i,
            all ? STR("$default")
                : arena_printf(a, "ANY %.*s%.*s", STR_ARG(i->prefix), STR_ARG(path->key)),
            v, err);
    }
    for (size_t m = 0; r == 0 && m < sizeof(methods) / sizeof(methods[0]); m++) {
        if (!(v = json_get(item, methods[m])))
            continue;
        r = import_route(i,
                         arena_printf(a, "%.*s %.*s%.*s", STR_ARG(upper(a, str_from(methods[m]))),
                                      STR_ARG(i->prefix), STR_ARG(path->key)),
                         v, err);
    }
    return r;
}

// ---- the document
// --------------------------------------------------------------------------------

static int read_document(struct import *i, struct str body, struct err *err)
{
    struct err why = ERR_INIT;

    if (body.len > MAX_DOCUMENT_BYTES)
        return BAD("The document is larger than %zu bytes", MAX_DOCUMENT_BYTES);
    struct str start = str_trim(body);
    if (str_starts(start, STR("{")) || str_starts(start, STR("["))) {
        if (json_parse(i->c->arena, body, &i->document, &why) < 0)
            return BAD("Unable to parse the document as JSON: %s", why.message);
    } else if (openapi_yaml_read(i->c->arena, body, &i->document, &why) < 0) {
        return BAD("Unable to parse the document as YAML: %s", why.message);
    }
    if (!str_starts(json_get_or(i->document, "openapi", STR("")), STR("3.")))
        return BAD("Invalid OpenAPI input: only version 3 is supported");
    if (json_get_or(json_get(i->document, "info"), "title", STR("")).len == 0)
        return BAD("Invalid OpenAPI input: info.title is required");
    if (!json_is(json_get(i->document, "paths"), JSON_OBJECT))
        return BAD("Invalid OpenAPI input: paths is required");
    return check_references(i, i->document, err);
}

// The document's base path: the default of the first server's variable "basePath", else the path of
// its URL.
static struct str base_path(struct import *i)
{
    const struct json_value *server = json_first(json_get(i->document, "servers"));
    const struct json_value *variable = json_path(server, "variables", "basePath", NULL);
    struct str path = json_get_or(server, "url", STR(""));

    if (variable) {
        path = json_get_or(variable, "default", STR(""));
        if (path.len > 0 && path.ptr[0] != '/')
            path = arena_printf(i->c->arena, "/%.*s", STR_ARG(path));
    } else {
        ptrdiff_t host = str_find(path, STR("://"));
        if (host >= 0) {
            path = str_slice(path, (size_t)host + 3, path.len);
            ptrdiff_t slash = str_find_char(path, '/');
            path = slash < 0 ? STR("") : str_slice(path, (size_t)slash, path.len);
        }
    }
    while (str_ends(path, STR("/")))
        path.len--;
    return path;
}

// What stands before all routes: nothing, the base path, or what of it follows its first segment.
static int read_basepath(struct import *i, struct str mode, struct err *err)
{
    i->prefix = STR("");
    if (mode.len == 0 || str_eq(mode, STR("ignore")))
        return 0;
    if (!str_eq(mode, STR("prepend")) && !str_eq(mode, STR("split")))
        return BAD("Invalid basepath: must be ignore, prepend or split");
    struct str path = base_path(i);
    if (path.len > 0 && path.ptr[0] != '/')
        return BAD("The server's URL has no path that could be prepended");
    if (path.len > 0 && str_eq(mode, STR("split"))) {
        ptrdiff_t second = str_find_char(str_slice(path, 1, path.len), '/');
        path = second < 0 ? STR("") : str_slice(path, (size_t)second + 1, path.len);
    }
    i->prefix = path;
    return 0;
}

static void write_tags(struct json_writer *w, const struct json_value *tags)
{
    struct str value;

    jw_key(w, STR("tags"));
    jw_object_begin(w);
    json_each(t, tags)
    {
        if (!json_str(json_get(t, "x-amazon-apigateway-tag-value"), &value))
            continue;
        jw_key(w, json_get_or(t, "name", STR("")));
        jw_str(w, value);
    }
    jw_object_end(w);
}

// The API's own record. `before` NULL: a new one.
static int import_api(struct import *i, const struct json_value *before, struct err *err)
{
    static const struct renamed info[] = {{"title", "name", false},
                                          {"version", "version", true},
                                          {"description", "description", false}};
    const struct json_value *d = i->document, *cors = json_get(d, "x-amazon-apigateway-cors");
    struct apigatewayv2_api typed = {0};
    const struct json_value *said;
    char iso[TIMEFMT_BYTES];
    struct buf b;

    timefmt_iso_sec(i->c->now_ms, iso);
    buf_init(&b, MAX_RECORD_BYTES);
    struct json_writer w = json_writer(&b);
    jw_object_begin(&w);
    copy_members(&w, json_get(d, "info"), info, sizeof(info) / sizeof(info[0]));
    jw_key(&w, STR("corsConfiguration"));
    if (json_is(cors, JSON_OBJECT))
        jw_value(&w, cors);
    else
        jw_null(&w);
    write_tags(&w, json_get(d, "tags"));
    jw_member_bool(&w, "disableExecuteApiEndpoint",
                   json_get_bool_or(json_get(d, "x-amazon-apigateway-endpoint-configuration"),
                                    "disableExecuteApiEndpoint", false));
    if (!before) {
        jw_member_str(&w, "apiId", i->api_id);
        jw_member_str(&w, "apiEndpoint", gateway_endpoint(i->c, i->api_id, false));
        jw_member_str(&w, "protocolType", STR("HTTP"));
        jw_member_str(&w, "routeSelectionExpression", STR("$request.method $request.path"));
        jw_member_str(&w, "createdDate", str_from(iso));
    }
    jw_object_end(&w);
    struct str text = b.failed ? STR_NULL : arena_str(i->c->arena, buf_str(&b));
    buf_finish(&b);
    if (!text.ptr || json_parse(i->c->arena, text, &said, NULL) < 0)
        return BAD("A part of the document is too big");
    text = resource_overlay(i->c->arena, before, said);
    if (wire_shape_from_json(&wire_apigatewayv2, APIGATEWAYV2_SHAPE_API, text, i->c->arena, &typed,
                             err) < 0)
        return BAD("Invalid info, tags or x-amazon-apigateway-cors in the document");
    return resource_put(i->c, i->tx, &kind_api, STR(""), i->api_id, text, true, err);
}

static int import_all(struct import *i, const struct json_value *before, struct err *err)
{
    int r = 0;

    if (before)
        r = resource_clear(i->c, i->tx, &kind_route, i->api_id, err);
    if (r == 0 && before)
        r = resource_clear(i->c, i->tx, &kind_integration, i->api_id, err);
    if (r == 0 && before)
        r = resource_clear(i->c, i->tx, &kind_authorizer, i->api_id, err);
    if (r == 0)
        r = import_api(i, before, err);
    if (r == 0)
        r = import_schemes(i, err);
    json_each(path, json_get(i->document, "paths"))
    {
        if (r == 0 && str_starts(path->key, STR("/")))
            r = import_path(i, path, err);
    }
    return r;
}

// Everything, in one transaction; *record is the API's.
static int run(struct import *i, struct str mode, bool fail_on_warnings, bool again,
               const struct json_value **record, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    const struct json_value *before = NULL;

    int r = read_basepath(i, mode, err);
    if (r == 0)
        r = store_begin(resources_store(), STORE_WRITE, &tx, err);
    i->tx = tx;
    if (r == 0 && again) {
        r = resource_load(i->c, tx, &kind_api, STR(""), i->api_id, &before, err);
        if (r == 0)
            r = err_aws(err, &APIGATEWAYV2_NOT_FOUND_EXCEPTION,
                        "Invalid API identifier specified %.*s", STR_ARG(i->api_id));
        else if (r > 0 && str_eq(json_get_or(before, "protocolType", STR("")), STR("WEBSOCKET")))
            r = BAD("Only HTTP APIs can be imported");
        r = r > 0 ? 0 : r;
    }
    if (r == 0)
        r = import_all(i, before, err);
    if (r == 0 && fail_on_warnings && i->warnings_text.len > 1)
        r = BAD("The document has warnings: %.*s", STR_ARG(buf_str(&i->warnings_text)));
    if (r == 0)
        r = resource_load(i->c, tx, &kind_api, STR(""), i->api_id, record, err);
    if (r < 0)
        return r;
    r = store_commit(&tx, err);
    if (r == 0)
        gateway_reload(i->c->account, i->c->region, i->api_id);
    return r;
}

static int import(struct call *c, struct str api_id, struct str body, struct str mode,
                  bool fail_on_warnings, bool again, void *out, struct err *err)
{
    struct import i = {.c = c, .api_id = api_id};
    const struct json_value *record = NULL, *extra;

    buf_init(&i.warnings_text, MAX_RECORD_BYTES);
    i.warnings = json_writer(&i.warnings_text);
    jw_array_begin(&i.warnings);
    int r = read_document(&i, body, err);
    if (r == 0)
        r = run(&i, mode, fail_on_warnings, again, &record, err);
    map_finish(&i.authorizers);
    map_finish(&i.integrations);
    map_finish(&i.keys);
    jw_array_end(&i.warnings);
    struct str warnings = i.warnings_text.failed ? STR("{}")
                                                 : arena_printf(c->arena, "{\"warnings\":%.*s}",
                                                                STR_ARG(buf_str(&i.warnings_text)));
    buf_finish(&i.warnings_text);
    if (r == 0)
        r = json_parse(c->arena, warnings, &extra, err);
    if (r < 0)
        return r;
    c->status = 201;
    return wire_shape_from_json(&wire_apigatewayv2, c->op->out,
                                resource_overlay(c->arena, record, extra), c->arena, out, err);
}

int apigatewayv2_import_api(struct call *c, const struct apigatewayv2_import_api_in *in,
                            struct apigatewayv2_import_api_out *out, struct err *err)
{
    return import(c, resource_new_id(c->arena, kind_api.id_chars), in->body, in->basepath,
                  in->fail_on_warnings, false, out, err);
}

int apigatewayv2_reimport_api(struct call *c, const struct apigatewayv2_reimport_api_in *in,
                              struct apigatewayv2_reimport_api_out *out, struct err *err)
{
    return import(c, in->api_id, in->body, in->basepath, in->fail_on_warnings, true, out, err);
}
