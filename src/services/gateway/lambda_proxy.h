// lambda_proxy.h - a function answers an HTTP request: the Lambda proxy integration.
//
// Function URLs and HTTP APIs share it. The owner allocates the proxy in the request's arena,
// fills in what it wants, and calls lambda_proxy_start() on the request's loop; the proxy then
// answers the request, through the owner's hooks where the gateways differ.
#ifndef LAMBKIN_SERVICES_GATEWAY_LAMBDA_PROXY_H
#define LAMBKIN_SERVICES_GATEWAY_LAMBDA_PROXY_H

#include "os/worker.h"
#include "runtime/invocation.h"
#include "services/gateway/http_event.h"
#include "services/gateway/http_result.h"
#include "services/lambda/lambda.h"

enum proxy_failure {
    PROXY_TOO_LARGE, // the request's body
    PROXY_NO_FUNCTION,
    PROXY_THROTTLED,
    PROXY_FUNCTION_ERROR,
    PROXY_MALFORMED, // the function's answer
    PROXY_TIMED_OUT, // timeout_ms passed; the function goes on
    PROXY_OUR_FAULT,
};

struct lambda_proxy {
    // --- the owner fills in ---
    struct engine *engine;
    struct http_event event; // body is the proxy's
    unsigned format;         // 1 or 2
    bool stream;
    struct str account, region, function, qualifier; // of the function
    struct str trace_id;
    int64_t timeout_ms; // 0: the function's own; not for streams
    // The gateway's own answer instead of the function's; must answer the request.
    void (*fail)(struct lambda_proxy *p, enum proxy_failure why, const char *detail);
    // May add headers to the function's answer (room for 16 is there). Or NULL.
    void (*decorate)(struct lambda_proxy *p, struct http_result *r);
    // The answer is about to be complete (access logs, throttling). Or NULL.
    void (*finished)(struct lambda_proxy *p, int status, size_t body_bytes);
    void *user;

    // --- the proxy's ---
    struct proxied *running; // NULL: not yet, or not any more
    struct loop_timer timer;
    struct buf prelude;
    bool in_prelude, begun;
    int status;
    size_t sent_bytes;
    // What the function's invocation said, once it was done.
    struct invocation_times times;
    enum invocation_start start;
    struct work work;
    struct loop_task task;
    struct err err;
};

#define LAMBDA_PROXY_DECORATIONS 16

void lambda_proxy_start(struct lambda_proxy *p);

#endif
