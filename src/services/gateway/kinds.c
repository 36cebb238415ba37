// kinds.c - see kinds.h.

#include "services/gateway/kinds.h"

#include "services/gateway/mapping_template.h"
#include "services/gateway/parameter_mapping.h"
#include "services/gateway/route_table.h"
#include "services/gateway/service_integration.h"
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
    struct str key = text(r, "routeKey");
    bool websocket;

    int rc = is_websocket(r, &websocket, err);
    if (rc < 0)
        return rc;
    if (json_get_bool_or(r->after, "apiKeyRequired", false))
        return BAD("ApiKeyRequired is not supported: API keys belong to REST APIs, which are not "
                   "here");
    if (websocket ? key.len == 0 : !route_key_valid(key))
        return BAD("The provided route key is not formatted properly for HTTP protocol. Format "
                   "should be \"<HTTP METHOD> /<RESOURCE PATH>\" or \"$default\"");
    rc = check_target(r, err);
    return rc == 0 ? check_authorization(r, err) : rc;
}

// ---- integrations
// --------------------------------------------------------------------------------

static bool is_url(struct str uri)
{
    return str_starts(uri, STR("http://")) || str_starts(uri, STR("https://")) ||
           str_starts(uri, STR("${stageVariables."));
}

// Behind a VPC link stands a listener of a load balancer or a service of Cloud Map.
static int check_link(const struct resource_change *r, struct err *err)
{
    struct str id = text(r, "connectionId"), uri = text(r, "integrationUri");
    const struct json_value *ignored;

    if (!str_starts(text(r, "integrationType"), STR("HTTP")))
        return BAD("VPC_LINK connections are for HTTP integrations");
    if (id.len == 0)
        return BAD("ConnectionId is required for VPC_LINK connections");
    if (!is_url(uri) && !str_starts(uri, STR("arn:")))
        return BAD("Invalid integration URI specified: a listener's ARN or a URL is expected");
    int rc = resource_load(r->c, r->tx, &kind_vpc_link, STR(""), id, &ignored, err);
    return rc == 0 ? BAD("VpcLink %.*s does not exist", STR_ARG(id)) : rc < 0 ? rc : 0;
}

static int check_http_integration(const struct resource_change *r, struct err *err)
{
    if (text(r, "integrationMethod").len == 0)
        return BAD("HTTP proxy integrations must specify an integration method");
    if (str_eq(text(r, "connectionType"), STR("VPC_LINK")))
        return check_link(r, err);
    return is_url(text(r, "integrationUri")) ? 0
                                             : BAD("HttpUri must start with http:// or https://");
}

static int check_subtype(const struct resource_change *r, struct err *err)
{
    struct str subtype = text(r, "integrationSubtype");
    const struct service_action *action = service_action_named(subtype);

    if (!action)
        return BAD("Invalid integration subtype specified: %.*s", STR_ARG(subtype));
    if (text(r, "credentialsArn").len == 0)
        return BAD("CredentialsArn is required for integrations with a subtype");
    if (!str_eq(text(r, "payloadFormatVersion"), STR("1.0")))
        return BAD("PayloadFormatVersion must be 1.0 for integrations with a subtype");
    int rc = service_action_check(action, json_get(r->after, "requestParameters"), err);
    return rc < 0 ? rc : map_response_check(json_get(r->after, "responseParameters"), err);
}

static int check_of_http_api(const struct resource_change *r, struct err *err)
{
    struct str type = text(r, "integrationType"), format = text(r, "payloadFormatVersion");
    bool lambda = str_eq(type, STR("AWS_PROXY"));

    if (!lambda && !str_eq(type, STR("HTTP_PROXY")))
        return BAD("Invalid integration type specified: %.*s", STR_ARG(type));
    if (!str_eq(format, STR("1.0")) && !str_eq(format, STR("2.0")))
        return BAD("PayloadFormatVersion is a required parameter for AWS_PROXY integration "
                   "types, must be one of [1.0, 2.0]");
    if (lambda && text(r, "integrationSubtype").ptr)
        return check_subtype(r, err);
    if (lambda && str_find(text(r, "integrationUri"), STR(":lambda:")) < 0)
        return BAD("Invalid integration URI specified: a function's ARN is expected");
    int rc = lambda ? 0 : check_http_integration(r, err);
    if (rc == 0)
        rc = map_request_check(json_get(r->after, "requestParameters"), err);
    return rc == 0 ? map_response_check(json_get(r->after, "responseParameters"), err) : rc;
}

static int check_templates(const struct json_value *templates, struct err *err)
{
    struct err why = ERR_INIT;
    struct str template;

    json_each(t, templates)
    {
        if (json_str(t, &template) && mapping_template_check(template, &why) < 0)
            return BAD("Invalid template %.*s: %s", STR_ARG(t->key), why.message);
    }
    return 0;
}

static int check_of_websocket_api(const struct resource_change *r, struct err *err)
{
    struct str type = text(r, "integrationType"), uri = text(r, "integrationUri");
    struct str passthrough = json_get_or(r->after, "passthroughBehavior", STR("NEVER"));
    int rc = 0;

    if (text(r, "integrationSubtype").ptr)
        return BAD("Integration subtypes are for HTTP APIs");
    if (!str_eq(passthrough, STR("NEVER")) && !str_eq(passthrough, STR("WHEN_NO_MATCH")) &&
        !str_eq(passthrough, STR("WHEN_NO_TEMPLATES")))
        return BAD("Invalid passthrough behavior specified: %.*s", STR_ARG(passthrough));
    if (str_starts(type, STR("HTTP")))
        rc = check_http_integration(r, err);
    else if (str_eq(type, STR("AWS_PROXY")) && str_find(uri, STR(":lambda:")) < 0)
        rc = BAD("Invalid integration URI specified: a function's ARN is expected");
    else if (str_eq(type, STR("AWS")) && str_find(uri, STR(":lambda:")) < 0)
        rc = BAD("AWS integrations of WEBSOCKET APIs with other services than Lambda are not "
                 "supported");
    return rc == 0 ? check_templates(json_get(r->after, "requestTemplates"), err) : rc;
}

static int check_integration(const struct resource_change *r, struct err *err)
{
    int64_t timeout = json_get_i64_or(r->after, "timeoutInMillis", 30000);
    bool websocket;

    int rc = is_websocket(r, &websocket, err);
    if (rc < 0)
        return rc;
    if (timeout < 50 || timeout > 30000)
        return BAD("Timeout should be between 50 ms and 30000 ms");
    return websocket ? check_of_websocket_api(r, err) : check_of_http_api(r, err);
}

// "$default", or a pattern between slashes.
static int check_integration_response(const struct resource_change *r, struct err *err)
{
    struct str key = text(r, "integrationResponseKey");
    bool pattern = key.len > 2 && key.ptr[0] == '/' && key.ptr[key.len - 1] == '/';

    if (!pattern && !str_eq(key, STR("$default")))
        return BAD("Invalid integration response key specified: %.*s", STR_ARG(key));
    return check_templates(json_get(r->after, "responseTemplates"), err);
}

static int check_route_response(const struct resource_change *r, struct err *err)
{
    struct str key = text(r, "routeResponseKey");

    return str_eq(key, STR("$default"))
               ? 0
               : BAD("Invalid route response key specified: only $default is supported");
}

// ---- models, VPC links
// ---------------------------------------------------------------------------

static int check_model(const struct resource_change *r, struct err *err)
{
    struct str name = text(r, "name"), schema = text(r, "schema");
    const struct json_value *v;

    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')))
            return BAD("Model name must be alphanumeric: %.*s", STR_ARG(name));
    }
    if (schema.len == 0)
        return BAD("Schema is required");
    if (json_parse(r->c->arena, schema, &v, NULL) < 0 || !json_is(v, JSON_OBJECT))
        return BAD("Invalid model specified: the schema is not a JSON object");
    return 0;
}

static int check_vpc_link(const struct resource_change *r, struct err *err)
{
    if (json_count(json_get(r->after, "subnetIds")) == 0)
        return BAD("At least one subnet is required for a VPC link");
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

static int check_domain_name(const struct resource_change *r, struct err *err)
{
    // To take it and let everybody in would be worse.
    if (json_get(r->after, "mutualTlsAuthentication"))
        return BAD(
            "Mutual TLS is not supported: the listener does not ask clients for certificates");
    if (!str_eq(json_get_or(r->after, "routingMode", STR("API_MAPPING_ONLY")),
                STR("API_MAPPING_ONLY")))
        return BAD("Routing rules are not supported: the routing mode must be API_MAPPING_ONLY");
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
    .unique_key = "routeKey",
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

const char kind_integration_websocket_defaults[] =
    "{\"connectionType\":\"INTERNET\",\"payloadFormatVersion\":\"1.0\",\"timeoutInMillis\":29000,"
    "\"passthroughBehavior\":\"WHEN_NO_MATCH\","
    "\"integrationResponseSelectionExpression\":\"${integration.response.statuscode}\"}";

const struct resource_kind kind_model = {
    .name = "model",
    .noun = "Model",
    .id_key = "modelId",
    .id_chars = 6,
    .defaults = "{\"contentType\":\"application/json\"}",
    .below_api = true,
    .unique_key = "name",
    .check = check_model,
};

const struct resource_kind kind_vpc_link = {
    .name = "vpc-link",
    .noun = "VpcLink",
    .id_key = "vpcLinkId",
    .id_chars = 6,
    .defaults = "{\"securityGroupIds\":[],\"tags\":{},\"vpcLinkStatus\":\"AVAILABLE\","
                "\"vpcLinkStatusMessage\":\"VPC link is ready to route traffic\","
                "\"vpcLinkVersion\":\"V2\"}",
    .check = check_vpc_link,
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
    .defaults = "{\"apiMappingSelectionExpression\":\"$request.basepath\",\"tags\":{},"
                "\"routingMode\":\"API_MAPPING_ONLY\"}",
    .check = check_domain_name,
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
    .check = check_route_response,
};

const struct resource_kind kind_integration_response = {
    .name = "integration-response",
    .noun = "integration response",
    .id_key = "integrationResponseId",
    .id_chars = 7,
    .below_api = true,
    .check = check_integration_response,
};

struct resource_kind kind_below(struct arena *a, const struct resource_kind *k, struct str id)
{
    struct resource_kind below = *k;

    below.name = arena_printf(a, "%s/%.*s", k->name, STR_ARG(id)).ptr;
    if (!below.name)
        below.name = k->name;
    return below;
}
