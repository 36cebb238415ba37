// client.h - outbound HTTP(S), over libcurl.
//
// Two forms: asynchronous on a loop, and blocking for workers and the command line. Proxies from
// the environment are not used unless asked for. Redirects are not followed.
#ifndef LAMBKIN_HTTP_CLIENT_H
#define LAMBKIN_HTTP_CLIENT_H

#include "http/server.h"

struct http_client_request {
    const char *method; // "GET"; NULL: GET
    const char *url;
    const struct http_header *headers;
    unsigned n_headers;
    struct str body;            // absent: none
    int64_t timeout_ms;         // of the whole exchange; 0: 30 s
    int64_t connect_timeout_ms; // 0: 10 s
    size_t max_response_bytes;  // 0: 16 MiB; more is -EFBIG
    const char *ca_file;        // NULL: the system's
    const char *unix_socket;    // connect here instead of the URL's host
    // "name:port:host:port": what is asked of the first is asked there; NULL at the end; or NULL.
    const char *const *connect_to;
    bool insecure; // do not check the certificate
    bool use_proxy_environment;
    bool http1_only;
    // Streaming: body pieces as they come, instead of collecting them; false breaks off
    // (-ECANCELED). Status and headers are there by then.
    bool (*on_data)(void *ctx, struct str piece);
    // Called before the first piece. May be NULL.
    bool (*on_head)(void *ctx, int status, const struct http_header *headers, unsigned n_headers);
    void *ctx;
};

struct http_client_response {
    struct arena arena; // owns all of it
    int status;
    struct http_header *headers; // names in lower case
    unsigned n_headers;
    struct str body;
};

void http_client_response_finish(struct http_client_response *r); // accepts a zeroed one
struct str http_client_header(const struct http_client_response *r, struct str name);

// Blocks; any thread but a loop's. 0 whatever the status, or: -ETIMEDOUT, -ECONNREFUSED,
// -EHOSTUNREACH, -EFBIG, -ECANCELED, -EPROTO (also TLS).
int http_client_perform(const struct http_client_request *request,
                        struct http_client_response *response, struct err *err);

struct http_client_call; // one in flight

// Starts on the loop (its thread); everything in `request` is copied. Then done(ctx, result,
// response, message): result 0 or as above, response borrowed for the call. done is never called
// from inside http_client_send. After http_client_cancel, it is not called at all.
int http_client_send(struct loop *loop, const struct http_client_request *request,
                     void (*done)(void *ctx, int result, struct http_client_response *response,
                                  const char *message),
                     void *ctx, struct http_client_call **call, struct err *err);
void http_client_cancel(struct http_client_call *call);

#endif
