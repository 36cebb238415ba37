// handlers.c - the operations of API Gateway v2 on its records.
//
// Nearly all of them are the five verbs of resources.h over a kind; what is special stands below
// them: quick create, deployments (which freeze what is there), the parts that can be taken away.

#include "services/gateway/gateway.h"

#include "base/hash.h"
#include "base/timefmt.h"
#include "services/gateway/json_schema.h"
#include "services/gateway/kinds.h"

#include "wire/gen/apigatewayv2.h"
#include "wire/gen/apigatewayv2_handlers.h"
#include "wire/wire.h"

#include <errno.h>

#define MAX_FROZEN_BYTES ((size_t)16 << 20)

#define CREATE(noun, kind, parent, extra)                                                          \
    int apigatewayv2_create_##noun(struct call *c,                                                 \
                                   const struct apigatewayv2_create_##noun##_in *in,               \
                                   struct apigatewayv2_create_##noun##_out *out, struct err *err)  \
    {                                                                                              \
        c->status = 201;                                                                           \
        return resource_create(c, &(kind), (parent), in, (extra), out, err);                       \
    }
#define GET(noun, kind, parent, id)                                                                \
    int apigatewayv2_get_##noun(struct call *c, const struct apigatewayv2_get_##noun##_in *in,     \
                                struct apigatewayv2_get_##noun##_out *out, struct err *err)        \
    {                                                                                              \
        return resource_get(c, &(kind), (parent), (id), out, err);                                 \
    }
#define UPDATE(noun, kind, parent, id, extra)                                                      \
    int apigatewayv2_update_##noun(struct call *c,                                                 \
                                   const struct apigatewayv2_update_##noun##_in *in,               \
                                   struct apigatewayv2_update_##noun##_out *out, struct err *err)  \
    {                                                                                              \
        return resource_update(c, &(kind), (parent), (id), in, (extra), out, err);                 \
    }
#define DELETE(noun, kind, parent, id)                                                             \
    int apigatewayv2_delete_##noun(struct call *c,                                                 \
                                   const struct apigatewayv2_delete_##noun##_in *in,               \
                                   struct apigatewayv2_delete_##noun##_out *out, struct err *err)  \
    {                                                                                              \
        (void)out;                                                                                 \
        c->status = 204;                                                                           \
        return resource_delete(c, &(kind), (parent), (id), err);                                   \
    }
#define LIST(nouns, kind, parent)                                                                  \
    int apigatewayv2_get_##nouns(struct call *c, const struct apigatewayv2_get_##nouns##_in *in,   \
                                 struct apigatewayv2_get_##nouns##_out *out, struct err *err)      \
    {                                                                                              \
        return resource_list(c, &(kind), (parent), in->max_results, in->next_token, out, err);     \
    }

// {"createdDate": …} and whatever else is given, as an object.
static struct str created(struct call *c, const char *more)
{
    char iso[TIMEFMT_BYTES];

    timefmt_iso_sec(c->now_ms, iso);
    return arena_printf(c->arena, "{\"createdDate\":\"%s\"%s}", iso, more);
}

static struct str updated(struct call *c)
{
    char iso[TIMEFMT_BYTES];

    timefmt_iso_sec(c->now_ms, iso);
    return arena_printf(c->arena, "{\"lastUpdatedDate\":\"%s\"}", iso);
}

CREATE(route, kind_route, in->api_id, STR_NULL)
GET(route, kind_route, in->api_id, in->route_id)
UPDATE(route, kind_route, in->api_id, in->route_id, STR_NULL)
DELETE(route, kind_route, in->api_id, in->route_id)
LIST(routes, kind_route, in->api_id)

GET(integration, kind_integration, in->api_id, in->integration_id)
UPDATE(integration, kind_integration, in->api_id, in->integration_id, STR_NULL)
DELETE(integration, kind_integration, in->api_id, in->integration_id)
LIST(integrations, kind_integration, in->api_id)

CREATE(model, kind_model, in->api_id, STR_NULL)
GET(model, kind_model, in->api_id, in->model_id)
UPDATE(model, kind_model, in->api_id, in->model_id, STR_NULL)
DELETE(model, kind_model, in->api_id, in->model_id)
LIST(models, kind_model, in->api_id)

CREATE(vpc_link, kind_vpc_link, STR(""), created(c, ""))
GET(vpc_link, kind_vpc_link, STR(""), in->vpc_link_id)
UPDATE(vpc_link, kind_vpc_link, STR(""), in->vpc_link_id, STR_NULL)
LIST(vpc_links, kind_vpc_link, STR(""))

CREATE(authorizer, kind_authorizer, in->api_id, STR_NULL)
GET(authorizer, kind_authorizer, in->api_id, in->authorizer_id)
UPDATE(authorizer, kind_authorizer, in->api_id, in->authorizer_id, STR_NULL)
DELETE(authorizer, kind_authorizer, in->api_id, in->authorizer_id)
LIST(authorizers, kind_authorizer, in->api_id)

CREATE(stage, kind_stage, in->api_id, created(c, ""))
GET(stage, kind_stage, in->api_id, in->stage_name)
UPDATE(stage, kind_stage, in->api_id, in->stage_name, updated(c))
DELETE(stage, kind_stage, in->api_id, in->stage_name)
LIST(stages, kind_stage, in->api_id)

// A record that must be there.
static int load_there(struct call *c, const struct resource_kind *k, struct str parent,
                      struct str id, const struct json_value **record, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;

    int r = store_begin(resources_store(), STORE_READ, &tx, err);
    if (r == 0)
        r = resource_load(c, tx, k, parent, id, record, err);
    return r < 0   ? r
           : r > 0 ? 0
                   : err_aws(err, &APIGATEWAYV2_NOT_FOUND_EXCEPTION,
                             "Invalid %s identifier specified %.*s", k->noun, STR_ARG(id));
}

int apigatewayv2_create_integration(struct call *c,
                                    const struct apigatewayv2_create_integration_in *in,
                                    struct apigatewayv2_create_integration_out *out,
                                    struct err *err)
{
    struct resource_kind kind = kind_integration;
    const struct json_value *api;

    int r = load_there(c, &kind_api, STR(""), in->api_id, &api, err);
    if (r < 0)
        return r;
    if (str_eq(json_get_or(api, "protocolType", STR_NULL), STR("WEBSOCKET")))
        kind.defaults = kind_integration_websocket_defaults;
    c->status = 201;
    return resource_create(c, &kind, in->api_id, in, STR_NULL, out, err);
}

int apigatewayv2_delete_vpc_link(struct call *c, const struct apigatewayv2_delete_vpc_link_in *in,
                                 struct apigatewayv2_delete_vpc_link_out *out, struct err *err)
{
    (void)out;
    c->status = 202;
    return resource_delete(c, &kind_vpc_link, STR(""), in->vpc_link_id, err);
}

// A template that makes an empty document of the model's shape: its members, each empty.
int apigatewayv2_get_model_template(struct call *c,
                                    const struct apigatewayv2_get_model_template_in *in,
                                    struct apigatewayv2_get_model_template_out *out,
                                    struct err *err)
{
    const struct json_value *model, *schema;

    int r = load_there(c, &kind_model, in->api_id, in->model_id, &model, err);
    if (r == 0)
        r = json_parse(c->arena, json_get_or(model, "schema", STR("{}")), &schema, err);
    if (r == 0)
        out->value = model_template(c->arena, schema);
    return r < 0 ? r : out->value.ptr ? 0 : err_set(err, -ENOMEM, "out of memory");
}

#define BELOW(kind, id) ((struct resource_kind[]){kind_below(c->arena, &(kind), (id))}[0])
#define RESPONSES(noun, nouns, kind, owner_kind, owner_id, response_id)                            \
    int apigatewayv2_create_##noun(struct call *c,                                                 \
                                   const struct apigatewayv2_create_##noun##_in *in,               \
                                   struct apigatewayv2_create_##noun##_out *out, struct err *err)  \
    {                                                                                              \
        const struct json_value *owner;                                                            \
        int r = load_there(c, &(owner_kind), in->api_id, in->owner_id, &owner, err);               \
        struct str above = r < 0 ? STR_NULL                                                        \
                                 : arena_printf(c->arena, "{\"%s\":\"%.*s\"}",                     \
                                                (owner_kind).id_key, STR_ARG(in->owner_id));       \
        c->status = 201;                                                                           \
        return r < 0 ? r                                                                           \
                     : resource_create(c, &BELOW(kind, in->owner_id), in->api_id, in, above, out,  \
                                       err);                                                       \
    }                                                                                              \
    GET(noun, BELOW(kind, in->owner_id), in->api_id, in->response_id)                              \
    UPDATE(noun, BELOW(kind, in->owner_id), in->api_id, in->response_id, STR_NULL)                 \
    DELETE(noun, BELOW(kind, in->owner_id), in->api_id, in->response_id)                           \
    LIST(nouns, BELOW(kind, in->owner_id), in->api_id)

RESPONSES(route_response, route_responses, kind_route_response, kind_route, route_id,
          route_response_id)
RESPONSES(integration_response, integration_responses, kind_integration_response, kind_integration,
          integration_id, integration_response_id)

// What the gateway itself says of a custom domain name: it is there, and where DNS would point to.
static struct str domain_settled(struct call *c, struct str name,
                                 const struct apigatewayv2_domain_name_configurations *asked)
{
    char hex[SHA256_HEX_BYTES];
    struct buf b, one;

    hash_sha256_hex(name, hex);
    buf_init(&b, 1 << 20);
    struct json_writer w = json_writer(&b);
    jw_object_begin(&w);
    jw_member_str(&w, "domainNameArn",
                  arena_printf(c->arena, "arn:aws:apigateway:%.*s::/domainnames/%.*s",
                               STR_ARG(c->region), STR_ARG(name)));
    jw_key(&w, STR("domainNameConfigurations"));
    jw_array_begin(&w);
    for (size_t i = 0; i < asked->n; i++) {
        const struct json_value *said = NULL, *over = NULL;
        struct str settled = arena_printf(
            c->arena,
            "{\"apiGatewayDomainName\":\"d-%.10s.execute-api.%.*s.localhost\",\"hostedZoneId\":"
            "\"Z000000000000\",\"domainNameStatus\":\"AVAILABLE\",\"ipAddressType\":\"ipv4\"}",
            hex, STR_ARG(c->region));
        buf_init(&one, 1 << 16);
        if (wire_shape_to_json(&wire_apigatewayv2, APIGATEWAYV2_SHAPE_DOMAIN_NAME_CONFIGURATION,
                               &asked->ptr[i], &one) == 0 &&
            json_parse(c->arena, arena_str(c->arena, buf_str(&one)), &said, NULL) == 0 &&
            json_parse(c->arena, settled, &over, NULL) == 0)
            jw_raw(&w, resource_overlay(c->arena, said, over));
        buf_finish(&one);
    }
    jw_array_end(&w);
    jw_object_end(&w);
    struct str s = b.failed ? STR_NULL : arena_str(c->arena, buf_str(&b));
    buf_finish(&b);
    return s;
}

GET(deployment, kind_deployment, in->api_id, in->deployment_id)
UPDATE(deployment, kind_deployment, in->api_id, in->deployment_id, STR_NULL)
DELETE(deployment, kind_deployment, in->api_id, in->deployment_id)
LIST(deployments, kind_deployment, in->api_id)

CREATE(domain_name, kind_domain_name, STR(""),
       domain_settled(c, in->domain_name, &in->domain_name_configurations))
GET(domain_name, kind_domain_name, STR(""), in->domain_name)
UPDATE(domain_name, kind_domain_name, STR(""), in->domain_name,
       in->domain_name_configurations.ptr
           ? domain_settled(c, in->domain_name, &in->domain_name_configurations)
           : STR_NULL)
DELETE(domain_name, kind_domain_name, STR(""), in->domain_name)
LIST(domain_names, kind_domain_name, STR(""))

CREATE(api_mapping, kind_api_mapping, in->domain_name, STR_NULL)
GET(api_mapping, kind_api_mapping, in->domain_name, in->api_mapping_id)
UPDATE(api_mapping, kind_api_mapping, in->domain_name, in->api_mapping_id, STR_NULL)
DELETE(api_mapping, kind_api_mapping, in->domain_name, in->api_mapping_id)
LIST(api_mappings, kind_api_mapping, in->domain_name)

GET(api, kind_api, STR(""), in->api_id)
UPDATE(api, kind_api, STR(""), in->api_id, STR_NULL)
DELETE(api, kind_api, STR(""), in->api_id)
LIST(apis, kind_api, STR(""))

// ---- APIs: the endpoint, quick create
// ------------------------------------------------------------

struct str gateway_address(struct call *c, struct str host, bool websocket)
{
    struct str rest = c->base_url, port = STR("");
    ptrdiff_t at = str_find(rest, STR("://"));
    bool tls = str_starts(rest, STR("https"));

    rest = at < 0 ? rest : str_slice(rest, (size_t)at + 3, rest.len);
    ptrdiff_t colon = str_find_char(rest, ':');
    if (colon >= 0)
        port = str_slice(rest, (size_t)colon, rest.len);
    return arena_printf(c->arena, "%s%s://%.*s%.*s", websocket ? "ws" : "http", tls ? "s" : "",
                        STR_ARG(host), STR_ARG(port));
}

struct str gateway_endpoint(struct call *c, struct str api_id, bool websocket)
{
    return gateway_address(c,
                           arena_printf(c->arena, "%.*s.execute-api.%.*s.localhost",
                                        STR_ARG(api_id), STR_ARG(c->region)),
                           websocket);
}

// The integration, route and stage that CreateApi makes when it is given a target.
static int quick_create(struct call *c, struct str api_id,
                        const struct apigatewayv2_create_api_in *in, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    bool http = str_starts(in->target, STR("http://")) || str_starts(in->target, STR("https://"));
    struct str key = in->route_key.len > 0 ? in->route_key : STR("$default");
    struct str integration = resource_new_id(c->arena, kind_integration.id_chars);
    struct str route = resource_new_id(c->arena, kind_route.id_chars);
    char iso[TIMEFMT_BYTES];
    int r;

    timefmt_iso_sec(c->now_ms, iso);
    const struct {
        const struct resource_kind *kind;
        struct str id, json;
    } records[] = {
        {&kind_integration, integration,
         arena_printf(c->arena,
                      "{\"apiGatewayManaged\":true,\"integrationId\":\"%.*s\","
                      "\"integrationType\":\"%s\",\"integrationUri\":\"%.*s\",%s"
                      "\"connectionType\":\"INTERNET\",\"payloadFormatVersion\":\"%s\","
                      "\"timeoutInMillis\":30000}",
                      STR_ARG(integration), http ? "HTTP_PROXY" : "AWS_PROXY", STR_ARG(in->target),
                      http ? "\"integrationMethod\":\"ANY\"," : "\"integrationMethod\":\"POST\",",
                      http ? "1.0" : "2.0")},
        {&kind_route, route,
         arena_printf(c->arena,
                      "{\"apiGatewayManaged\":true,\"routeId\":\"%.*s\",\"routeKey\":\"%.*s\","
                      "\"target\":\"integrations/%.*s\",\"authorizationType\":\"NONE\","
                      "\"apiKeyRequired\":false}",
                      STR_ARG(route), STR_ARG(key), STR_ARG(integration))},
        {&kind_stage, STR("$default"),
         arena_printf(c->arena,
                      "{\"apiGatewayManaged\":true,\"autoDeploy\":true,\"stageName\":\"$default\","
                      "\"createdDate\":\"%s\",\"defaultRouteSettings\":"
                      "{\"detailedMetricsEnabled\":false},\"routeSettings\":{},"
                      "\"stageVariables\":{},\"tags\":{}}",
                      iso)},
    };
    r = store_begin(resources_store(), STORE_WRITE, &tx, err);
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(records); i++)
        r = resource_store(c, tx, records[i].kind, api_id, records[i].id, records[i].json, err);
    if (r == 0)
        r = store_commit(&tx, err);
    if (r == 0)
        gateway_reload(c->account, c->region, api_id);
    return r;
}

static bool quotable(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] == '"' || s.ptr[i] == '\\' || (unsigned char)s.ptr[i] < ' ')
            return false;
    return true;
}

int apigatewayv2_create_api(struct call *c, const struct apigatewayv2_create_api_in *in,
                            struct apigatewayv2_create_api_out *out, struct err *err)
{
    bool websocket = str_eq(in->protocol_type, STR("WEBSOCKET"));
    struct str id = resource_new_id(c->arena, kind_api.id_chars);
    struct str endpoint = gateway_endpoint(c, id, websocket);

    if (in->target.ptr && (websocket || !quotable(in->target) || !quotable(in->route_key)))
        return err_aws(err, &APIGATEWAYV2_BAD_REQUEST_EXCEPTION, "Invalid target");
    const char *selection =
        websocket ? "" : ",\"routeSelectionExpression\":\"$request.method $request.path\"";
    c->status = 201;
    struct resource_kind named = kind_api; // its id is known before: the endpoint has it
    named.name_key = "apiId";
    int r = resource_create(
        c, &named, STR(""), in,
        created(c, arena_cstr(c->arena, arena_printf(c->arena,
                                                     ",\"apiId\":\"%.*s\","
                                                     "\"apiEndpoint\":\"%.*s\"%s",
                                                     STR_ARG(id), STR_ARG(endpoint), selection))),
        out, err);
    return r == 0 && in->target.ptr ? quick_create(c, id, in, err) : r;
}

int apigatewayv2_delete_cors_configuration(
    struct call *c, const struct apigatewayv2_delete_cors_configuration_in *in,
    struct apigatewayv2_delete_cors_configuration_out *out, struct err *err)
{
    (void)out;
    c->status = 204;
    return resource_drop_member(c, &kind_api, STR(""), in->api_id, "corsConfiguration", STR_NULL,
                                err);
}

int apigatewayv2_delete_route_settings(struct call *c,
                                       const struct apigatewayv2_delete_route_settings_in *in,
                                       struct apigatewayv2_delete_route_settings_out *out,
                                       struct err *err)
{
    (void)out;
    c->status = 204;
    return resource_drop_member(c, &kind_stage, in->api_id, in->stage_name, "routeSettings",
                                in->route_key, err);
}

int apigatewayv2_delete_access_log_settings(
    struct call *c, const struct apigatewayv2_delete_access_log_settings_in *in,
    struct apigatewayv2_delete_access_log_settings_out *out, struct err *err)
{
    (void)out;
    c->status = 204;
    return resource_drop_member(c, &kind_stage, in->api_id, in->stage_name, "accessLogSettings",
                                STR_NULL, err);
}

int apigatewayv2_delete_route_request_parameter(
    struct call *c, const struct apigatewayv2_delete_route_request_parameter_in *in,
    struct apigatewayv2_delete_route_request_parameter_out *out, struct err *err)
{
    (void)out;
    c->status = 204;
    return resource_drop_member(c, &kind_route, in->api_id, in->route_id, "requestParameters",
                                in->request_parameter_key, err);
}

int apigatewayv2_reset_authorizers_cache(struct call *c,
                                         const struct apigatewayv2_reset_authorizers_cache_in *in,
                                         struct apigatewayv2_reset_authorizers_cache_out *out,
                                         struct err *err)
{
    (void)out;
    (void)err;
    c->status = 204;
    gateway_reload(c->account, c->region, in->api_id); // a fresh model has an empty cache
    return 0;
}

// ---- deployments
// ---------------------------------------------------------------------------------

static int add_record(void *ctx, struct str id, struct str json, struct err *err)
{
    (void)id;
    (void)err;
    jw_raw(ctx, json);
    return 0;
}

// What the API is now, as the record of kind_frozen.
static int freeze(struct call *c, struct store_tx *tx, struct str api_id, struct str *out,
                  struct err *err)
{
    static const struct {
        const char *key;
        const struct resource_kind *kind;
        bool below; // of what stands below the API's records
    } parts[] = {{"routes", &kind_route, false},
                 {"integrations", &kind_integration, false},
                 {"authorizers", &kind_authorizer, false},
                 {"models", &kind_model, false},
                 {"responses", &kind_integration_response, true}};
    struct json_writer w;
    struct buf b;
    int r = 0;

    buf_init(&b, MAX_FROZEN_BYTES);
    w = json_writer(&b);
    jw_object_begin(&w);
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(parts); i++) {
        jw_key(&w, str_from(parts[i].key));
        jw_array_begin(&w);
        r = (parts[i].below ? resource_each_below : resource_each)(
            tx, c->account, c->region, parts[i].kind, api_id, add_record, &w, err);
        jw_array_end(&w);
    }
    jw_object_end(&w);
    *out = r < 0 || b.failed ? STR_NULL : arena_str(c->arena, buf_str(&b));
    buf_finish(&b);
    return r < 0 ? r : out->ptr ? 0 : err_set(err, -EFBIG, "the API is too big");
}

// Points a stage at the deployment.
static int deploy_to(struct call *c, struct store_tx *tx, struct str api_id, struct str stage,
                     struct str deployment, struct err *err)
{
    const struct json_value *record, *change;

    int r = resource_load(c, tx, &kind_stage, api_id, stage, &record, err);
    if (r <= 0)
        return r < 0 ? r
                     : err_aws(err, &APIGATEWAYV2_NOT_FOUND_EXCEPTION,
                               "Invalid stage identifier specified %.*s", STR_ARG(stage));
    struct str text = arena_printf(c->arena, "{\"deploymentId\":\"%.*s\"}", STR_ARG(deployment));
    r = json_parse(c->arena, text, &change, err);
    if (r < 0)
        return r;
    struct str merged = resource_overlay(c->arena, record, change);
    return resource_store(c, tx, &kind_stage, api_id, stage, merged, err);
}

int apigatewayv2_create_deployment(struct call *c,
                                   const struct apigatewayv2_create_deployment_in *in,
                                   struct apigatewayv2_create_deployment_out *out, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct str frozen;

    int r = resource_create(c, &kind_deployment, in->api_id, in, created(c, ""), out, err);
    if (r == 0)
        r = store_begin(resources_store(), STORE_WRITE, &tx, err);
    if (r == 0)
        r = freeze(c, tx, in->api_id, &frozen, err);
    if (r == 0)
        r = resource_store(c, tx, &kind_frozen, in->api_id, out->deployment_id, frozen, err);
    if (r == 0 && in->stage_name.len > 0)
        r = deploy_to(c, tx, in->api_id, in->stage_name, out->deployment_id, err);
    if (r == 0)
        r = store_commit(&tx, err);
    if (r < 0)
        return r;
    gateway_reload(c->account, c->region, in->api_id);
    c->status = 201;
    return 0;
}
