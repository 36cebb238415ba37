// websocket_api.h - ws://<id>.execute-api.<region>.localhost:4566/<stage>
#ifndef LAMBKIN_SERVICES_GATEWAY_WEBSOCKET_API_H
#define LAMBKIN_SERVICES_GATEWAY_WEBSOCKET_API_H

#include "services/gateway/api_request.h"
#include "services/gateway/connections.h"

// What connecting needs beside the request; in its arena.
struct websocket_call {
    struct connection connection; // as it will be
};

// A request to a WebSocket API whose stage has been found: the handshake, or @connections.
void websocket_take(struct api_request *r);
// Goes on after authorize.c: $connect's integration, then the connection.
void websocket_authorized(struct api_request *r);
// Writes the event of a REQUEST authorizer into r->authorizer_event.
int websocket_authorizer_event(struct api_request *r, struct str route_arn, struct err *err);

// ---- websocket_event.c: what functions are told

struct websocket_message {
    const char *type; // "CONNECT", "MESSAGE", "DISCONNECT"
    struct str route_key, request_id, message_id;
    struct str body;
    bool has_body, binary;
    struct http_request *http; // CONNECT only
    const struct api_stage *stage;
    int disconnect_code; // DISCONNECT only
    struct str disconnect_reason;
};

// Members of the event object, without its braces.
void websocket_event_members(struct json_writer *w, struct arena *a, const struct connection *c,
                             const struct websocket_message *m);

#endif
