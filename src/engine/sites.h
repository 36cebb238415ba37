// sites.h - what answers by host or path and is no AWS operation: function URLs, HTTP APIs, the
// console, the @connections of WebSocket APIs.
//
// Sites are asked before AWS routing, in the order they were added, on the loop, with the request
// complete. A site that answers true has taken the request and responds by http/server.h itself,
// at any later time, on the request's loop.
#ifndef LAMBKIN_ENGINE_SITES_H
#define LAMBKIN_ENGINE_SITES_H

#include "engine/call.h"

// A host name taken apart: "<label>.<service>.<region>.localhost[:port]", the region optional;
// also "<service>.<region>.localhost", "<label>.<service>.<region>.amazonaws.com" and
// "<region>.<service>.…". Unknown parts are absent. All point into the host.
struct host_name {
    struct str label;   // "abc" of abc.lambda-url.us-east-1.localhost; "bucket" of bucket.s3.…
    struct str service; // "lambda-url", "execute-api", "sqs", "s3", …
    struct str region;
};

// False when the host says nothing (an address, plain localhost, a name of somebody else).
bool host_name_parse(struct str host, struct host_name *out);

struct engine_site {
    // `host` is zeroed when the host name says nothing.
    bool (*take)(void *ctx, struct engine *e, struct http_request *req,
                 const struct host_name *host);
    void *ctx;
};

// At most ENGINE_MAX_SITES; only while services start.
#define ENGINE_MAX_SITES 8
int engine_add_site(struct engine *e, struct engine_site site, struct err *err);

// A call for a site or an interceptor: in the request's arena, with request id, times, base URL
// and region (the host's or the default), account the default, principal PRINCIPAL_NOBODY.
struct call *engine_call_new(struct engine *e, struct http_request *req);

#endif
