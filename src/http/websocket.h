// websocket.h - WebSocket (RFC 6455) on a connection of the HTTP server, framed by wslay.
//
// Thread ownership: everything on the loop of the request that was upgraded.
#ifndef LAMBKIN_HTTP_WEBSOCKET_H
#define LAMBKIN_HTTP_WEBSOCKET_H

#include "http/server.h"

#define WEBSOCKET_MAX_MESSAGE_BYTES ((size_t)128 * 1024) // API Gateway's quota
#define WEBSOCKET_MAX_FRAME_BYTES ((size_t)32 * 1024)    // API Gateway's quota

struct http_websocket;

struct http_websocket_callbacks {
    // A whole message, borrowed.
    void (*message)(struct http_websocket *ws, bool text, struct str data);
    // The end, whoever closed; code 1006 without a close frame. ws is freed afterwards.
    void (*closed)(struct http_websocket *ws, int code, struct str reason);
    // All that was queued has been taken by the kernel. May be NULL.
    void (*drained)(struct http_websocket *ws);
};

// Is it a valid upgrade request (GET, HTTP/1.1, Upgrade, Connection, version 13, a 16-byte key)?
bool http_websocket_wanted(const struct http_request *req);
// Answers 101 with these further headers (a subprotocol, for instance) and turns the connection
// into a WebSocket; gives the request back. NULL (and a 400 or 426 was answered) when it was not
// wanted, or the client has gone.
struct http_websocket *http_websocket_accept(struct http_request *req,
                                             const struct http_websocket_callbacks *callbacks,
                                             void *ctx, const struct http_header *headers,
                                             unsigned n_headers);
void *http_websocket_ctx(const struct http_websocket *ws);
// 0, 1 when some of it waits (`drained` follows), -EMSGSIZE over the maximum, -EPIPE when closing.
int http_websocket_send(struct http_websocket *ws, bool text, struct str data);
int http_websocket_ping(struct http_websocket *ws, struct str data);
// Sends a close frame and waits some seconds for the other side's; `closed` follows, never from
// inside this call.
void http_websocket_close(struct http_websocket *ws, int code, struct str reason);
// Bytes that wait to be sent.
size_t http_websocket_queued(const struct http_websocket *ws);
struct str http_websocket_remote_address(const struct http_websocket *ws);
// Milliseconds since the last message or pong came in.
int64_t http_websocket_idle_ms(const struct http_websocket *ws);

#endif
