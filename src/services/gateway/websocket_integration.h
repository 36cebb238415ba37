// websocket_integration.h - a WebSocket API's route calls what is behind it.
//
//   message ─▶ request template ─▶ function | HTTP server | mock ─▶ integration response ─▶ done
//             (not of proxies)                                     (not of proxies)
//
// A run has memory of its own and goes on when its client leaves. It happens on one loop, done()
// included, which is called exactly once, and may be called before websocket_run_start() returns.
#ifndef LAMBKIN_SERVICES_GATEWAY_WEBSOCKET_INTEGRATION_H
#define LAMBKIN_SERVICES_GATEWAY_WEBSOCKET_INTEGRATION_H

#include "base/uuid.h"
#include "services/gateway/websocket_api.h"

struct websocket_run {
    // --- the outcome, for done(); texts live as long as the run ---
    int status;         // the integration's: of connecting, the handshake's
    const char *failed; // what the client is told instead of an answer; NULL: it worked
    struct str body;
    bool binary;         // the body is a binary message
    struct str protocol; // the sub-protocol that $connect's function chose
    char request_id[UUID_CHARS + 1];
    char connection[CONNECTION_ID_CHARS + 1];
    bool two_way;
    void *user;

    // --- the run's ---
    void (*done)(struct websocket_run *run); // the run is freed afterwards
    struct api *api;
    const struct api_stage *stage;
    const struct api_route *route;
    struct engine *engine;
    struct loop *loop;
    struct arena arena;
    struct buf event;
    const struct json_value *context; // the event, parsed when a template or a log asks for it
    struct str message;               // what the client sent
    bool message_binary;
    const char *type;     // "MESSAGE", …
    struct str selection; // which integration response: a status or an error's text
    struct str problem;   // for the access log
    struct str backend;   // what the integration answered
    int64_t began_ns;
    struct invocation invocation;
    struct lambda_target target;
};

// Calls the integration of `route`, which is there. `w` says what functions are told; its route
// key and ids are filled in. 0; or -ENOMEM, and nothing was started.
int websocket_run_start(const struct connection *c, struct api *api, const struct api_stage *s,
                        const struct api_route *route, struct websocket_message *w,
                        void (*done)(struct websocket_run *run), void *user);

// "$request.body.action", "${request.body.a.b}": of a message that is JSON. Absent: there is no
// such value.
struct str websocket_selected(struct arena *a, struct str expression, struct str body);
// Does a message fit the model that its route asks for?
bool websocket_message_fits(const struct api_stage *s, const struct api_route *r, struct str body);

#endif
