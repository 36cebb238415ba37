// api_request.h - a request to an HTTP API on its way: found, authorised, integrated, answered.
//
//   http_api.c      take ─▶ stage and route ─▶ CORS, throttling ─▶ authorize ─▶ integrate ─▶ answer
//   authorize.c     nothing, AWS_IAM, JWT (on a worker), a Lambda authorizer (an invocation)
//   lambda_proxy.c  AWS_PROXY;  service_integration.c  AWS_PROXY with a subtype
//   http_proxy.c    HTTP_PROXY;  parameter_mapping.c   what changes on the way there and back
//
// It lives in the request's arena and holds a reference to its API's model until api_answered().
// Everything happens on the request's loop but the checking of tokens.
#ifndef LAMBKIN_SERVICES_GATEWAY_API_REQUEST_H
#define LAMBKIN_SERVICES_GATEWAY_API_REQUEST_H

#include "engine/call.h"
#include "services/gateway/api_model.h"
#include "services/gateway/lambda_proxy.h"

struct http_client_call;
struct variable_source;

struct api_request {
    struct call *c;
    struct http_request *http;
    struct api *api;
    const struct api_stage *stage;
    const struct api_route *route;
    struct str path;     // below the stage: what routes see
    struct str raw_path; // as the function sees it
    struct str domain_name, domain_prefix;
    struct http_event_pair *parameters; // of the path, decoded
    size_t n_parameters;
    enum http_authorizer authorized;
    struct str authorizer; // as struct http_event has it
    struct str principal_arn;
    // For logs and traces: when it came, when its authorizer and its integration were asked.
    int64_t began_ns, authorizer_ns, integration_ns;
    const char *error; // "Unauthorized", for logs
    struct str integration_error;
    int integration_status;   // what the integration answered, before it was mapped
    struct str base_path;     // of the custom domain's mapping
    struct str connection_id; // of a WebSocket API's handshake
    int status;               // of the answer, for logs: at the end
    size_t answer_bytes;

    struct str body;                    // once api_read_body() has gone on
    const struct json_value *body_json; // the same, parsed when it is first asked for
    bool body_parsed;
    // The integration's answer, while response parameters are mapped.
    const struct http_header *answer_headers;
    unsigned n_answer_headers;
    struct str answer_body;

    struct lambda_proxy proxy;
    struct buf authorizer_event;
    struct str identities[8]; // what the authorizer's identity sources say
    struct str identity;      // all of them: key of the cache
    struct http_client_call *upstream;
    void (*body_read)(struct api_request *r);
    struct work work;
    struct loop_task task;
    struct websocket_call *websocket; // of a WebSocket API's: what connecting needs
    int verdict;                      // of the token's check: 0, or the HTTP status
};

// Ends in api_authorized() or api_refuse().
void api_authorize(struct api_request *r);
void api_authorized(struct api_request *r);
// The gateway's own answer: {"message": "…"}.
void api_refuse(struct api_request *r, int status, const char *message);
// Fills in what a proxied function or an authorizer is told.
void api_event(const struct api_request *r, struct http_event *e);

// Has the body in memory, then goes on; or answers 413 or 500.
#define API_MAX_BODY ((size_t)10 << 20) // API Gateway's payload limit
void api_read_body(struct api_request *r, void (*then)(struct api_request *r));
void http_proxy_start(struct api_request *r); // its body has been read

// Adds CORS and mapped headers to an answer. headers has room for HTTP_RESULT_MAX_HEADERS and
// API_ANSWER_HEADERS more.
#define API_ANSWER_HEADERS 64
void api_decorate(struct api_request *r, int *status, struct http_header *headers, unsigned *n,
                  struct str body);
// The answer is complete: access log, metrics; gives the model back. Before the request is
// answered.
void api_answered(struct api_request *r, int status, size_t body_bytes);

// "$request.header.x", "$request.querystring.x", "$request.path.x", "$request.body.x" (when it has
// been read), "$request.method", "$request.path", "$request.body", "$context.…",
// "$stageVariables.x", with or without "${…}", and "$response.header.x" and "$response.body.x"
// while an answer is mapped; anything else is itself. Absent when there is no such thing.
struct str api_variable(struct api_request *r, struct str expression);
// Replaces them inside of a mapped parameter: absent when it is one variable that there is not;
// inside of a text, what there is not is nothing.
struct str api_mapped(struct api_request *r, struct str text);

void access_log_write(struct api_request *r, int status, size_t body_bytes);
// A line for the stage, with values from elsewhere. Nothing when the stage has no access log.
void access_log_add(const struct api *api, const struct api_stage *stage, struct arena *a,
                    const struct variable_source *from);

#endif
