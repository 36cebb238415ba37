// connections.h - the open connections of WebSocket APIs, by their ids, and the @connections API.
//
// Thread ownership: a connection belongs to its loop; it is added, used and freed there only. The
// registry itself may be asked from any thread, and tells others no more than the loop to go to.
#ifndef LAMBKIN_SERVICES_GATEWAY_CONNECTIONS_H
#define LAMBKIN_SERVICES_GATEWAY_CONNECTIONS_H

#include "engine/call.h"
#include "http/websocket.h"
#include "os/loop.h"

#define CONNECTIONS_PATH "/@connections/"
#define CONNECTION_ID_CHARS 16
#define CONNECTION_MAX_IN_FLIGHT 64             // messages whose functions run
#define CONNECTION_MAX_QUEUED ((size_t)1 << 20) // bytes that a client has not read
#define CONNECTION_IDLE_MS (10 * 60 * 1000)     // API Gateway's quotas
#define CONNECTION_LIFE_MS (2 * 60 * 60 * 1000)

struct connection {
    char id[CONNECTION_ID_CHARS + 1];
    struct engine *engine;
    struct loop *loop;
    struct http_websocket *ws;
    struct loop_timer timer;
    int64_t connected_ms, active_ms; // since the epoch
    unsigned in_flight;
    // All in the same memory as the connection:
    struct str account, region, api, stage, domain, source_ip, user_agent, authorizer;
};

// A copy of what `from` says, not yet known to anybody. NULL when out of memory.
struct connection *connection_new(const struct connection *from);
void connection_free(struct connection *c); // one that was never added, or was removed; not NULL
int connection_add(struct connection *c);   // -ENOMEM
void connection_remove(struct connection *c);
// On the connection's loop. NULL when there is none (here).
struct connection *connection_find(struct str id);
unsigned connections_count(void);

// Answers POST, GET and DELETE of @connections/<id> (id percent-encoded), signed for execute-api.
void connections_manage(struct call *c, struct str id);

#endif
