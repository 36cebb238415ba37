// kinds.c - see kinds.h.

#include "services/gateway/kinds.h"

#include "services/gateway/route_table.h"
#include "wire/gen/apigatewayv2.h"

#define BAD(...) err_aws(err, &APIGATEWAYV2_BAD_REQUEST_EXCEPTION, __VA_ARGS__)

static struct str text(const struct resource_change *r, const char *key)
{
    return json_get_or(r->after, key, STR_NULL);
}

static int is_websocket(const struct resource_change *r, bool *out, struct err *err)
{
    const struct json_value *api;
    int rc = resource_load(r->c, r->tx, &kind_api, STR(""), r->parent, &api, err);

    *out = rc > 0 && str_eq(json_get_or(api, "protocolType", STR("HTTP")), STR("WEBSOCKET"));
    return rc < 0 ? rc : 0;
}

// ---- APIs
// ----------------------------------------------------------------------------------------

static int check_api(const struct resource_change *r, struct err *err)
{
    struct str protocol = text(r, "protocolType");

    if (!str_eq(protocol, STR("HTTP")) && !str_eq(protocol, STR("WEBSOCKET")))
        return BAD("Invalid protocol specified. Must be one of [HTTP, WEBSOCKET]");
    if (str_eq(protocol, STR("WEBSOCKET")) && text(r, "routeSelectionExpression").len == 0)
        return BAD("Route selection expression is required for WEBSOCKET APIs");
    if (str_eq(protocol, STR("WEBSOCKET")) && json_get(r->after, "corsConfiguration"))
        return BAD("CORS configuration is only supported for HTTP APIs");
    return 0;
}

// ---- routes
// --------------------------------------------------------------------------------------

struct same_key {
    struct str key, id;
    struct arena *arena;
};

static int find_same_key(void *ctx, struct str id, struct str json, struct err *err)
{
    const struct same_key *s = ctx;
    const struct json_value *v;

    (void)err;
    if (str_eq(id, s->id) || json_parse(s->arena, json, &v, NULL) < 0)
        return 0;
    return str_eq(json_get_or(v, "routeKey", STR_NULL), s->key) ? 1 : 0;
}

static int check_target(const struct resource_change *r, struct err *err)
{
    struct str target = text(r, "target");
    const struct json_value *ignored;

    if (target.len == 0)
        return 0;
    if (!str_starts(target, STR("integrations/")))
        return BAD("Invalid target: %.*s", STR_ARG(target));
    struct str id = str_slice(target, strlen("integrations/"), target.len);
    int rc = resource_load(r->c, r->tx, &kind_integration, r->parent, id, &ignored, err);
    return rc == 0  ? err_aws(err, &APIGATEWAYV2_NOT_FOUND_EXCEPTION,
                              "Invalid Integration identifier specified %.*s", STR_ARG(id))
           : rc < 0 ? rc
                    : 0;
}

static int check_authorization(const struct resource_change *r, struct err *err)
{
    struct str type = text(r, "authorizationType"), id = text(r, "authorizerId");
    const struct json_value *authorizer;

    if (str_eq(type, STR("NONE")) || str_eq(type, STR("AWS_IAM")))
        return 0;
    if (!str_eq(type, STR("JWT")) && !str_eq(type, STR("CUSTOM")))
        return BAD("Invalid authorization type: %.*s", STR_ARG(type));
    int rc = resource_load(r->c, r->tx, &kind_authorizer, r->parent, id, &authorizer, err);
    if (rc == 0)
        return BAD("Authorizer %.*s does not exist", STR_ARG(id));
    bool jwt = rc > 0 && str_eq(json_get_or(authorizer, "authorizerType", STR("")), STR("JWT"));
    if (rc > 0 && jwt != str_eq(type, STR("JWT")))
        return BAD("The authorizer is not of the route's authorization type");
    return rc < 0 ? rc : 0;
}

static int check_route(const struct resource_change *r, struct err *err)
{
    struct same_key same = {.key = text(r, "routeKey"), .id = r->id, .arena = r->c->arena};
    bool websocket;

    int rc = is_websocket(r, &websocket, err);
    if (rc < 0)
        return rc;
    if (websocket ? same.key.len == 0 : !route_key_valid(same.key))
        return BAD("The provided route key is not formatted properly for HTTP protocol. Format "
                   "should be \"<HTTP METHOD> /<RESOURCE PATH>\" or \"$default\"");
    rc = resource_each(r->tx, r->c->account, r->c->region, &kind_route, r->parent, find_same_key,
                       &same, err);
    if (rc > 0)
        return err_aws(err, &APIGATEWAYV2_CONFLICT_EXCEPTION,
                       "Route with key %.*s already exists for this API", STR_ARG(same.key));
    if (rc == 0)
        rc = check_target(r, err);
    return rc == 0 ? check_authorization(r, err) : rc;
}

// ---- integrations
// --------------------------------------------------------------------------------

static int check_integration(const struct resource_change *r, struct err *err)
{
    struct str type = text(r, "integrationType"), uri = text(r, "integrationUri");
    struct str format = text(r, "payloadFormatVersion");
    int64_t timeout = json_get_i64_or(r->after, "timeoutInMillis", 30000);
    bool websocket;

    int rc = is_websocket(r, &websocket, err);
    if (rc < 0)
        return rc;
    if (str_eq(type, STR("MOCK")) && websocket)
        return 0;
    if (websocket && !str_eq(type, STR("AWS_PROXY")))
        return BAD("Integrations of WEBSOCKET APIs must be of type AWS_PROXY or MOCK here");
    if (!str_eq(type, STR("AWS_PROXY")) && !str_eq(type, STR("HTTP_PROXY")))
        return BAD("Invalid integration type specified: %.*s", STR_ARG(type));
    if (json_get(r->after, "integrationSubtype"))
        return BAD("Integration subtypes are not supported");
    if (str_eq(type, STR("AWS_PROXY")) && str_find(uri, STR(":lambda:")) < 0)
        return BAD("Invalid integration URI specified: a function's ARN is expected");
    if (str_eq(type, STR("HTTP_PROXY")) && !str_starts(uri, STR("http://")) &&
        !str_starts(uri, STR("https://")))
        return BAD("HttpUri must start with http:// or https://");
    if (str_eq(type, STR("HTTP_PROXY")) && text(r, "integrationMethod").len == 0)
        return BAD("HTTP proxy integrations must specify an integration method");
    if (!str_eq(format, STR("1.0")) && !str_eq(format, STR("2.0")))
        return BAD("PayloadFormatVersion is a required parameter for AWS_PROXY integration "
                   "types, must be one of [1.0, 2.0]");
    if (timeout < 50 || timeout > 30000)
        return BAD("Timeout should be between 50 ms and 30000 ms");
    return 0;
}

// ---- stages, authorizers, mappings
// ---------------------------------------------------------------

static bool stage_name_valid(struct str s)
{
    if (str_eq(s, STR("$default")))
        return true;
    for (size_t i = 0; i < s.len; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", s.ptr[i]))
            return false;
    return s.len > 0 && s.len <= 128;
}

static int check_stage(const struct resource_change *r, struct err *err)
{
    struct str deployment = text(r, "deploymentId");
    const struct json_value *ignored;

    if (!stage_name_valid(r->id))
        return BAD("Stage name only allows a-zA-Z0-9-_ and $default");
    if (deployment.len == 0)
        return 0;
    int rc = resource_load(r->c, r->tx, &kind_deployment, r->parent, deployment, &ignored, err);
    return rc == 0  ? BAD("Deployment id does not exist: %.*s", STR_ARG(deployment))
           : rc < 0 ? rc
                    : 0;
}

static int check_authorizer(const struct resource_change *r, struct err *err)
{
    struct str type = text(r, "authorizerType");
    const struct json_value *jwt = json_get(r->after, "jwtConfiguration");
    bool websocket;

    int rc = is_websocket(r, &websocket, err);
    if (rc < 0)
        return rc;
    if (text(r, "name").len == 0)
        return BAD("Name is required");
    if (str_eq(type, STR("JWT"))) {
        if (websocket)
            return BAD("JWT authorizers are only supported for HTTP APIs");
        struct str issuer = json_get_or(jwt, "issuer", STR(""));
        if (!str_starts(issuer, STR("http://")) && !str_starts(issuer, STR("https://")))
            return BAD("Invalid issuer: %.*s. Issuer must have a valid url", STR_ARG(issuer));
        if (json_count(json_get(jwt, "audience")) == 0)
            return BAD("Audience is required for JWT authorizers");
        if (json_count(json_get(r->after, "identitySource")) != 1)
            return BAD("JWT Authorizer requires exactly one identity source");
        return 0;
    }
    if (!str_eq(type, STR("REQUEST")))
        return BAD("Invalid authorizer type specified: %.*s", STR_ARG(type));
    if (str_find(text(r, "authorizerUri"), STR(":lambda:")) < 0)
        return BAD("Invalid authorizer URI: %.*s", STR_ARG(text(r, "authorizerUri")));
    struct str format = text(r, "authorizerPayloadFormatVersion");
    if (!websocket && !str_eq(format, STR("1.0")) && !str_eq(format, STR("2.0")))
        return BAD("AuthorizerPayloadFormatVersion is a required parameter for REQUEST "
                   "authorizers of HTTP APIs");
    return 0;
}

static int check_mapping(const struct resource_change *r, struct err *err)
{
    const struct json_value *ignored;
    struct str api = text(r, "apiId"), stage = text(r, "stage");

    int rc = resource_load(r->c, r->tx, &kind_domain_name, STR(""), r->parent, &ignored, err);
    if (rc == 0)
        return err_aws(err, &APIGATEWAYV2_NOT_FOUND_EXCEPTION,
                       "Invalid domain name identifier specified");
    if (rc > 0)
        rc = resource_load(r->c, r->tx, &kind_api, STR(""), api, &ignored, err);
    if (rc == 0)
        return BAD("Invalid API identifier specified %.*s", STR_ARG(api));
    if (rc > 0)
        rc = resource_load(r->c, r->tx, &kind_stage, api, stage, &ignored, err);
    if (rc == 0)
        return BAD("Invalid stage identifier specified");
    return rc < 0 ? rc : 0;
}

const struct resource_kind kind_api = {
    .name = "api",
    .noun = "API",
    .id_key = "apiId",
    .id_chars = RESOURCE_ID_CHARS,
    // HTTP APIs have only one routeSelectionExpression: see create_api.
    .defaults = "{\"apiKeySelectionExpression\":\"$request.header.x-api-key\","
                "\"disableExecuteApiEndpoint\":false,\"ipAddressType\":\"ipv4\",\"tags\":{}}",
    .check = check_api,
};

const struct resource_kind kind_route = {
    .name = "route",
    .noun = "Route",
    .id_key = "routeId",
    .id_chars = 7,
    .defaults = "{\"authorizationType\":\"NONE\",\"apiKeyRequired\":false}",
    .below_api = true,
    .check = check_route,
};

const struct resource_kind kind_integration = {
    .name = "integration",
    .noun = "Integration",
    .id_key = "integrationId",
    .id_chars = 7,
    .defaults = "{\"connectionType\":\"INTERNET\",\"payloadFormatVersion\":\"1.0\","
                "\"timeoutInMillis\":30000}",
    .below_api = true,
    .check = check_integration,
};

const struct resource_kind kind_stage = {
    .name = "stage",
    .noun = "stage",
    .id_key = "stageName",
    .name_key = "stageName",
    .defaults = "{\"defaultRouteSettings\":{\"detailedMetricsEnabled\":false},"
                "\"routeSettings\":{},\"stageVariables\":{},\"tags\":{},\"autoDeploy\":false}",
    .below_api = true,
    .check = check_stage,
};

const struct resource_kind kind_deployment = {
    .name = "deployment",
    .noun = "deployment",
    .id_key = "deploymentId",
    .id_chars = 6,
    .defaults = "{\"autoDeployed\":false,\"deploymentStatus\":\"DEPLOYED\"}",
    .below_api = true,
};

const struct resource_kind kind_frozen = {
    .name = "frozen",
    .noun = "deployment",
    .id_key = "deploymentId",
    .below_api = true,
};

const struct resource_kind kind_authorizer = {
    .name = "authorizer",
    .noun = "authorizer",
    .id_key = "authorizerId",
    .id_chars = 6,
    .below_api = true,
    .check = check_authorizer,
};

const struct resource_kind kind_domain_name = {
    .name = "domain",
    .noun = "domain name",
    .id_key = "domainName",
    .name_key = "domainName",
    .defaults = "{\"apiMappingSelectionExpression\":\"$request.basepath\",\"tags\":{}}",
};

const struct resource_kind kind_api_mapping = {
    .name = "mapping",
    .noun = "API mapping",
    .id_key = "apiMappingId",
    .id_chars = 6,
    .check = check_mapping,
};

const struct resource_kind kind_route_response = {
    .name = "route-response",
    .noun = "route response",
    .id_key = "routeResponseId",
    .id_chars = 7,
    .below_api = true,
};

const struct resource_kind kind_integration_response = {
    .name = "integration-response",
    .noun = "integration response",
    .id_key = "integrationResponseId",
    .id_chars = 7,
    .below_api = true,
};

struct resource_kind kind_below(struct arena *a, const struct resource_kind *k, struct str id)
{
    struct resource_kind below = *k;

    below.name = arena_printf(a, "%s/%.*s", k->name, STR_ARG(id)).ptr;
    if (!below.name)
        below.name = k->name;
    return below;
}
