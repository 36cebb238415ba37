// service.c - API Gateway as a service of the engine.

#include "services/gateway/gateway.h"

#include "services/gateway/api_model.h"
#include "services/gateway/function_urls.h"
#include "services/gateway/http_api.h"
#include "services/gateway/jwt.h"
#include "services/gateway/kinds.h"
#include "services/gateway/request_trace.h"
#include "services/gateway/routes_page.h"
#include "wire/gen/apigatewayv2.h"
#include "wire/gen/apigatewayv2_handlers.h"

#include <errno.h>

void gateway_reload(struct str account, struct str region, struct str api_id)
{
    api_models_reload(account, region, api_id);
}

static int start(struct engine *e, struct err *err)
{
    _cleanup_free_ char *path = engine_path(e, "db/gateway.db");

    int r = path ? resources_open(path, err) : err_set(err, -ENOMEM, "out of memory");
    if (r < 0)
        return r;
    resources_on_change(api_models_changed);
    r = api_models_load(err);
    if (r == 0)
        r = function_urls_register(e, err);
    if (r == 0)
        r = http_api_register(e, err);
    if (r == 0)
        r = request_trace_register(e, err);
    return r == 0 ? routes_page_register(e, err) : r;
}

static void stop(struct engine *e)
{
    (void)e;
    api_models_free();
    jwks_forget();
    resources_close();
}

#define CRUD(Noun, Nouns, noun, nouns)                                                             \
    ENGINE_OP("Create" Noun, apigatewayv2_create_##noun),                                          \
        ENGINE_OP("Get" Noun, apigatewayv2_get_##noun),                                            \
        ENGINE_OP("Get" Nouns, apigatewayv2_get_##nouns),                                          \
        ENGINE_OP("Update" Noun, apigatewayv2_update_##noun),                                      \
        ENGINE_OP("Delete" Noun, apigatewayv2_delete_##noun)

static const struct engine_op ops[] = {
    CRUD("Api", "Apis", api, apis),
    CRUD("Route", "Routes", route, routes),
    CRUD("Integration", "Integrations", integration, integrations),
    CRUD("Stage", "Stages", stage, stages),
    CRUD("Deployment", "Deployments", deployment, deployments),
    CRUD("Authorizer", "Authorizers", authorizer, authorizers),
    CRUD("DomainName", "DomainNames", domain_name, domain_names),
    CRUD("ApiMapping", "ApiMappings", api_mapping, api_mappings),
    CRUD("Model", "Models", model, models),
    ENGINE_OP("GetModelTemplate", apigatewayv2_get_model_template),
    CRUD("VpcLink", "VpcLinks", vpc_link, vpc_links),
    ENGINE_OP("DeleteCorsConfiguration", apigatewayv2_delete_cors_configuration),
    ENGINE_OP("DeleteRouteSettings", apigatewayv2_delete_route_settings),
    ENGINE_OP("DeleteAccessLogSettings", apigatewayv2_delete_access_log_settings),
    ENGINE_OP("DeleteRouteRequestParameter", apigatewayv2_delete_route_request_parameter),
    ENGINE_OP("ResetAuthorizersCache", apigatewayv2_reset_authorizers_cache),
    ENGINE_OP("ImportApi", apigatewayv2_import_api),
    ENGINE_OP("ReimportApi", apigatewayv2_reimport_api),
    ENGINE_OP("ExportApi", apigatewayv2_export_api),
    CRUD("RouteResponse", "RouteResponses", route_response, route_responses),
    CRUD("IntegrationResponse", "IntegrationResponses", integration_response,
         integration_responses),
    ENGINE_OP("TagResource", apigatewayv2_tag_resource),
    ENGINE_OP("UntagResource", apigatewayv2_untag_resource),
    ENGINE_OP("GetTags", apigatewayv2_get_tags),
};

const struct engine_service gateway_service = {
    .wire = &wire_apigatewayv2,
    .ops = ops,
    .n_ops = ARRAY_LEN(ops),
    .start = start,
    .stop = stop,
};
