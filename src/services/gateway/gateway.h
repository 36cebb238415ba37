// gateway.h - API Gateway: HTTP APIs, and function URLs beside them.
#ifndef LAMBKIN_SERVICES_GATEWAY_GATEWAY_H
#define LAMBKIN_SERVICES_GATEWAY_GATEWAY_H

#include "engine/engine.h"

extern const struct engine_service gateway_service;

// "http://<id>.execute-api.<region>.localhost:4566", in the call's arena.
struct str gateway_endpoint(struct call *c, struct str api_id, bool websocket);

// The same for any host: as the call's client reaches us.
struct str gateway_address(struct call *c, struct str host, bool websocket);

// Compiles an API anew after its records changed, and serves the result. On a worker.
void gateway_reload(struct str account, struct str region, struct str api_id);

#endif
