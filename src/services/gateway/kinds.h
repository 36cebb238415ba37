// kinds.h - the kinds of records that HTTP and WebSocket APIs are made of, and their rules.
#ifndef LAMBKIN_SERVICES_GATEWAY_KINDS_H
#define LAMBKIN_SERVICES_GATEWAY_KINDS_H

#include "services/gateway/resources.h"

extern const struct resource_kind kind_api, kind_route, kind_integration, kind_stage,
    kind_deployment, kind_authorizer, kind_domain_name, kind_api_mapping;
// What a deployment froze: one record per deployment, {"routes": […], "integrations": […], …}.
extern const struct resource_kind kind_frozen;

#endif
