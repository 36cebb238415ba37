// request_trace.h - where the time of a request to a function URL or an API went.
//
// The newest REQUEST_TRACES requests are kept in memory for GET /_lambkin/traces (`lambkin trace`).
// A client that sends X-Lambkin-Timing also gets its request's times in Server-Timing, which
// browsers show beside the request.
#ifndef LAMBKIN_SERVICES_GATEWAY_REQUEST_TRACE_H
#define LAMBKIN_SERVICES_GATEWAY_REQUEST_TRACE_H

#include "http/server.h"
#include "services/gateway/lambda_proxy.h"

#define REQUEST_TRACES 1024

struct engine;

// Times in microseconds; 0: that part did not happen. What is neither the authorizer's nor the
// integration's is the gateway's own.
struct request_trace {
    int64_t at_ms; // when it came
    char id[40], method[12], where[160], route[96], function[64];
    int status;
    uint32_t total_us, authorizer_us, integration_us;
    uint32_t function_us, init_us; // inside of the integration
    uint8_t start;                 // enum invocation_start, when there was a function
};

// Text is cut to what fits.
void request_trace_text(char *to, size_t room, struct str s);
// The function's part of a proxied request.
void request_trace_function(struct request_trace *t, const struct lambda_proxy *p);
void request_trace_add(const struct request_trace *t);
// Adds Server-Timing when the client wants it; one header at most.
void request_trace_header(const struct http_request *r, const struct request_trace *t,
                          struct arena *a, struct http_header *headers, unsigned *n);

// While services start: adds the page. Signed, any service.
int request_trace_register(struct engine *e, struct err *err);

#endif
