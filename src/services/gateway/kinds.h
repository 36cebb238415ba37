// kinds.h - the kinds of records that HTTP and WebSocket APIs are made of, and their rules.
#ifndef LAMBKIN_SERVICES_GATEWAY_KINDS_H
#define LAMBKIN_SERVICES_GATEWAY_KINDS_H

#include "services/gateway/resources.h"

extern const struct resource_kind kind_api, kind_route, kind_integration, kind_stage,
    kind_deployment, kind_authorizer, kind_domain_name, kind_api_mapping, kind_model, kind_vpc_link;
// kind_integration's defaults in a WebSocket API.
extern const char kind_integration_websocket_defaults[];
// Below a route or an integration; kind_below() makes the kind of one of them.
extern const struct resource_kind kind_route_response, kind_integration_response;
struct resource_kind kind_below(struct arena *a, const struct resource_kind *k, struct str id);
// What a deployment froze: one record per deployment, {"routes": […], "integrations": […], …}.
extern const struct resource_kind kind_frozen;

#endif
