// openapi_export.c - ExportApi: an HTTP API as an OpenAPI 3 document, as it is now or as a stage
// has it deployed, in JSON or YAML.

#include "services/gateway/gateway.h"

#include "services/gateway/kinds.h"
#include "services/gateway/openapi_yaml.h"
#include "wire/gen/apigatewayv2.h"
#include "wire/gen/apigatewayv2_handlers.h"

#include <errno.h>

#define MAX_DOCUMENT_BYTES ((size_t)16 << 20)

#define BAD(...) err_aws(err, &APIGATEWAYV2_BAD_REQUEST_EXCEPTION, __VA_ARGS__)

struct exporting {
    struct call *c;
    struct store_tx *tx;
    const struct json_value *api, *routes, *integrations, *authorizers;
    bool extensions;
    struct json_writer w;
};

static struct str text(const struct json_value *v, const char *key)
{
    return json_get_or(v, key, STR_NULL);
}

static const struct json_value *record_of(const struct json_value *list, const char *key,
                                          struct str id)
{
    json_each(v, list) if (str_eq(text(v, key), id)) return v;
    return NULL;
}

static void copy(struct json_writer *w, const struct json_value *from, const char *name,
                 const char *as)
{
    const struct json_value *v = json_get(from, name);

    if (json_is_null(v))
        return;
    jw_key(w, str_from(as));
    jw_value(w, v);
}

// ---- reading
// -------------------------------------------------------------------------------------

static int add(void *ctx, struct str id, struct str json, struct err *err)
{
    (void)id;
    (void)err;
    jw_raw(ctx, json);
    return 0;
}

static int load_list(struct exporting *e, const struct resource_kind *k, struct str api_id,
                     const struct json_value **out, struct err *err)
{
    struct buf b;

    buf_init(&b, MAX_DOCUMENT_BYTES);
    struct json_writer w = json_writer(&b);
    jw_array_begin(&w);
    int r = resource_each(e->tx, e->c->account, e->c->region, k, api_id, add, &w, err);
    jw_array_end(&w);
    struct str s = r < 0 || b.failed ? STR_NULL : arena_str(e->c->arena, buf_str(&b));
    buf_finish(&b);
    if (r < 0)
        return r;
    return s.ptr ? json_parse(e->c->arena, s, out, err)
                 : err_set(err, -EFBIG, "the API is too big");
}

// What the stage serves: what is there now, or what its deployment froze.
static int load_stage(struct exporting *e, struct str api_id, struct str name, struct err *err)
{
    const struct json_value *stage, *frozen = NULL;

    int r = resource_load(e->c, e->tx, &kind_stage, api_id, name, &stage, err);
    if (r == 0)
        return err_aws(err, &APIGATEWAYV2_NOT_FOUND_EXCEPTION,
                       "Invalid stage identifier specified %.*s", STR_ARG(name));
    if (r < 0 || json_get_bool_or(stage, "autoDeploy", false))
        return r < 0 ? r : 0;
    r = resource_load(e->c, e->tx, &kind_frozen, api_id, text(stage, "deploymentId"), &frozen, err);
    if (r <= 0)
        return r < 0 ? r : BAD("Nothing is deployed to the stage %.*s", STR_ARG(name));
    e->routes = json_get(frozen, "routes");
    e->integrations = json_get(frozen, "integrations");
    e->authorizers = json_get(frozen, "authorizers");
    return 0;
}

static int load(struct exporting *e, struct str api_id, struct str stage, struct err *err)
{
    int r = resource_load(e->c, e->tx, &kind_api, STR(""), api_id, &e->api, err);

    if (r == 0)
        return err_aws(err, &APIGATEWAYV2_NOT_FOUND_EXCEPTION,
                       "Invalid API identifier specified %.*s", STR_ARG(api_id));
    if (r > 0 && !str_eq(text(e->api, "protocolType"), STR("HTTP")))
        return BAD("Only HTTP APIs can be exported");
    if (r > 0)
        r = load_list(e, &kind_route, api_id, &e->routes, err);
    if (r == 0)
        r = load_list(e, &kind_integration, api_id, &e->integrations, err);
    if (r == 0)
        r = load_list(e, &kind_authorizer, api_id, &e->authorizers, err);
    return r == 0 && stage.len > 0 ? load_stage(e, api_id, stage, err) : r;
}

// ---- writing
// -------------------------------------------------------------------------------------

static void write_integration(struct exporting *e, const struct json_value *v)
{
    struct json_writer *w = &e->w;
    struct str type = text(v, "integrationType");

    jw_key(w, STR("x-amazon-apigateway-integration"));
    jw_object_begin(w);
    jw_member_str(w, "type", str_eq(type, STR("AWS_PROXY")) ? STR("aws_proxy") : STR("http_proxy"));
    copy(w, v, "integrationSubtype", "integrationSubtype");
    copy(w, v, "integrationUri", "uri");
    copy(w, v, "integrationMethod", "httpMethod");
    copy(w, v, "payloadFormatVersion", "payloadFormatVersion");
    copy(w, v, "timeoutInMillis", "timeoutInMillis");
    copy(w, v, "connectionType", "connectionType");
    copy(w, v, "connectionId", "connectionId");
    copy(w, v, "tlsConfig", "tlsConfig");
    copy(w, v, "requestParameters", "requestParameters");
    copy(w, v, "responseParameters", "responseParameters");
    copy(w, v, "credentialsArn", "credentials");
    copy(w, v, "description", "description");
    jw_object_end(w);
}

static void write_security(struct exporting *e, const struct json_value *route)
{
    const struct json_value *auth =
        record_of(e->authorizers, "authorizerId", text(route, "authorizerId"));
    const struct json_value *scopes = json_get(route, "authorizationScopes");
    struct json_writer *w = &e->w;

    if (auth && e->extensions) { // without, the document has no schemes
        jw_key(w, STR("security"));
        jw_array_begin(w);
        jw_object_begin(w);
        jw_key(w, text(auth, "name"));
        if (scopes)
            jw_value(w, scopes);
        else
            jw_raw(w, STR("[]"));
        jw_object_end(w);
        jw_array_end(w);
    } else if (e->extensions && str_eq(text(route, "authorizationType"), STR("AWS_IAM"))) {
        jw_key(w, STR("x-amazon-apigateway-auth"));
        jw_raw(w, STR("{\"type\":\"AWS_IAM\"}"));
    }
}

static void write_parameters(struct json_writer *w, struct str path)
{
    bool any = false;

    for (size_t i = 0; i < path.len; i++) {
        if (path.ptr[i] != '{')
            continue;
        ptrdiff_t end = str_find_char(str_slice(path, i, path.len), '}');
        struct str name = str_slice(path, i + 1, i + (end < 0 ? path.len : (size_t)end));
        if (str_ends(name, STR("+")))
            name.len--;
        if (!any) {
            jw_key(w, STR("parameters"));
            jw_array_begin(w);
        }
        any = true;
        jw_object_begin(w);
        jw_member_str(w, "name", name);
        jw_member_str(w, "in", STR("path"));
        jw_member_bool(w, "required", true);
        jw_key(w, STR("schema"));
        jw_raw(w, STR("{\"type\":\"string\"}"));
        jw_object_end(w);
    }
    if (any)
        jw_array_end(w);
}

static void write_operation(struct exporting *e, const struct json_value *route, struct str method,
                            struct str path)
{
    struct str target = text(route, "target"), key = text(route, "routeKey");
    struct json_writer *w = &e->w;
    char name[16];
    size_t n = 0;

    for (; n < method.len && n < sizeof(name) - 1; n++)
        name[n] = (char)(method.ptr[n] >= 'A' && method.ptr[n] <= 'Z' ? method.ptr[n] + 32
                                                                      : method.ptr[n]);
    bool any = str_eq(method, STR("ANY")) || str_eq(key, STR("$default"));
    jw_key(w, any ? STR("x-amazon-apigateway-any-method") : (struct str){name, n});
    jw_object_begin(w);
    if (str_eq(key, STR("$default")))
        jw_member_bool(w, "isDefaultRoute", true);
    copy(w, route, "operationName", "operationId");
    write_parameters(w, path);
    write_security(e, route);
    jw_key(w, STR("responses"));
    jw_object_begin(w);
    jw_key(w, STR("default"));
    jw_object_begin(w);
    jw_key(w, STR("description"));
    jw_strf(w, "Default response for %.*s", STR_ARG(key));
    jw_object_end(w);
    jw_object_end(w);
    const struct json_value *integration =
        str_starts(target, STR("integrations/"))
            ? record_of(e->integrations, "integrationId",
                        str_slice(target, strlen("integrations/"), target.len))
            : NULL;
    if (integration && e->extensions)
        write_integration(e, integration);
    jw_object_end(w);
}

// "GET /a" taken apart; $default stands below the path "/$default".
static struct str path_of(const struct json_value *route, struct str *method)
{
    struct str rest = text(route, "routeKey");

    str_next(&rest, ' ', method);
    return rest.ptr ? rest : STR("/$default");
}

static void write_paths(struct exporting *e)
{
    struct json_writer *w = &e->w;
    struct str method;

    jw_key(w, STR("paths"));
    jw_object_begin(w);
    json_each(first, e->routes)
    {
        struct str path = path_of(first, &method);
        bool written = false;
        for (const struct json_value *r = json_first(e->routes); r != first; r = r->next)
            written = written || str_eq(path_of(r, &method), path);
        if (written)
            continue;
        jw_key(w, path);
        jw_object_begin(w);
        for (const struct json_value *r = first; r; r = r->next) {
            if (!str_eq(path_of(r, &method), path))
                continue;
            bool any = str_eq(method, STR("ANY")) || str_eq(method, STR("$default"));
            if (!any || e->extensions)
                write_operation(e, r, method, path);
        }
        jw_object_end(w);
    }
    jw_object_end(w);
}

static void write_schemes(struct exporting *e)
{
    struct json_writer *w = &e->w;

    if (!e->extensions || json_count(e->authorizers) == 0)
        return;
    jw_key(w, STR("components"));
    jw_object_begin(w);
    jw_key(w, STR("securitySchemes"));
    jw_object_begin(w);
    json_each(a, e->authorizers)
    {
        bool jwt = str_eq(text(a, "authorizerType"), STR("JWT"));
        jw_key(w, text(a, "name"));
        jw_object_begin(w);
        jw_member_str(w, "type", jwt ? STR("oauth2") : STR("apiKey"));
        if (jwt) {
            jw_key(w, STR("flows"));
            jw_raw(w, STR("{}"));
        } else {
            jw_member_str(w, "name", STR("Unused"));
            jw_member_str(w, "in", STR("header"));
        }
        jw_key(w, STR("x-amazon-apigateway-authorizer"));
        jw_object_begin(w);
        jw_member_str(w, "type", jwt ? STR("jwt") : STR("request"));
        copy(w, a, "identitySource", "identitySource");
        copy(w, a, "jwtConfiguration", "jwtConfiguration");
        copy(w, a, "authorizerUri", "authorizerUri");
        copy(w, a, "authorizerCredentialsArn", "authorizerCredentials");
        copy(w, a, "authorizerPayloadFormatVersion", "authorizerPayloadFormatVersion");
        copy(w, a, "authorizerResultTtlInSeconds", "authorizerResultTtlInSeconds");
        copy(w, a, "enableSimpleResponses", "enableSimpleResponses");
        jw_object_end(w);
        jw_object_end(w);
    }
    jw_object_end(w);
    jw_object_end(w);
}

static void write_document(struct exporting *e, struct str stage)
{
    const struct json_value *tags = json_get(e->api, "tags");
    struct json_writer *w = &e->w;

    jw_object_begin(w);
    jw_member_str(w, "openapi", STR("3.0.1"));
    jw_key(w, STR("info"));
    jw_object_begin(w);
    jw_member_str(w, "title", text(e->api, "name"));
    copy(w, e->api, "description", "description");
    jw_member_str(w, "version", json_get_or(e->api, "version", STR("1.0")));
    jw_object_end(w);
    jw_key(w, STR("servers"));
    jw_array_begin(w);
    jw_object_begin(w);
    jw_key(w, STR("url"));
    if (stage.len > 0 && !str_eq(stage, STR("$default")))
        jw_strf(w, "%.*s/%.*s", STR_ARG(text(e->api, "apiEndpoint")), STR_ARG(stage));
    else
        jw_str(w, text(e->api, "apiEndpoint"));
    jw_object_end(w);
    jw_array_end(w);
    if (json_count(tags) > 0) {
        jw_key(w, STR("tags"));
        jw_array_begin(w);
        json_each(t, tags)
        {
            jw_object_begin(w);
            jw_member_str(w, "name", t->key);
            if (e->extensions) {
                jw_key(w, STR("x-amazon-apigateway-tag-value"));
                jw_value(w, t);
            }
            jw_object_end(w);
        }
        jw_array_end(w);
    }
    write_paths(e);
    write_schemes(e);
    if (e->extensions) {
        copy(w, e->api, "corsConfiguration", "x-amazon-apigateway-cors");
        if (json_get_bool_or(e->api, "disableExecuteApiEndpoint", false)) {
            jw_key(w, STR("x-amazon-apigateway-endpoint-configuration"));
            jw_raw(w, STR("{\"disableExecuteApiEndpoint\":true}"));
        }
        jw_member_str(w, "x-amazon-apigateway-importexport-version", STR("1.0"));
    }
    jw_object_end(w);
}

int apigatewayv2_export_api(struct call *c, const struct apigatewayv2_export_api_in *in,
                            struct apigatewayv2_export_api_out *out, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct exporting e = {.c = c,
                          .extensions = !in->has_include_extensions || in->include_extensions};
    struct buf b;

    if (!str_eq(in->specification, STR("OAS30")))
        return BAD("Invalid specification: OAS30 is the only one");
    if (!str_eq(in->output_type, STR("JSON")) && !str_eq(in->output_type, STR("YAML")))
        return BAD("Invalid output type: must be JSON or YAML");
    if (in->export_version.len > 0 && !str_eq(in->export_version, STR("1.0")))
        return BAD("Invalid export version: 1.0 is the only one");
    int r = store_begin(resources_store(), STORE_READ, &tx, err);
    e.tx = tx;
    if (r == 0)
        r = load(&e, in->api_id, in->stage_name, err);
    if (r < 0)
        return r;
    buf_init(&b, MAX_DOCUMENT_BYTES);
    e.w = json_writer(&b);
    write_document(&e, in->stage_name);
    out->body = b.failed ? STR_NULL : arena_str(c->arena, buf_str(&b));
    if (out->body.ptr && str_eq(in->output_type, STR("YAML"))) {
        const struct json_value *document;
        r = json_parse(c->arena, out->body, &document, err);
        buf_reset(&b);
        if (r == 0)
            openapi_yaml_write(&b, document);
        out->body = r < 0 || b.failed ? STR_NULL : arena_str(c->arena, buf_str(&b));
    }
    buf_finish(&b);
    if (r < 0)
        return r;
    return out->body.ptr ? 0 : err_set(err, -ENOMEM, "out of memory");
}
