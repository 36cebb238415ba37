// http_event.h - an HTTP request as the event that a function behind a URL or an API receives.
//
// Payload formats 1.0 and 2.0 of API Gateway's Lambda proxy integration; function URLs use 2.0.
// Where AWS's documentation is silent, what AWS was seen to send counts: HTTP APIs decode rawPath,
// function URLs do not, and both add the X-Forwarded headers and a trace id.
#ifndef LAMBKIN_SERVICES_GATEWAY_HTTP_EVENT_H
#define LAMBKIN_SERVICES_GATEWAY_HTTP_EVENT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "engine/call.h"
#include "http/server.h"

#define HTTP_EVENT_MAX_BODY ((size_t)6 << 20) // Lambda's synchronous payload; 10 MB at the gateway

struct http_event_pair {
    struct str name, value;
};

// Who let a request pass, and what it is known by. Format 2.0 shows it under the authorizer's kind,
// format 1.0 as it is, but for IAM: there it is part of the identity.
enum http_authorizer {
    HTTP_AUTHORIZER_NONE,
    HTTP_AUTHORIZER_JWT,    // {"claims": {…}, "scopes": […] or null}
    HTTP_AUTHORIZER_LAMBDA, // {"principalId": …} and the members of the function's context
    HTTP_AUTHORIZER_IAM,    // http_event_caller()
};

// What the gateway knows of a request beside the request itself. Absent strings are left out or
// null, as the format has it. Everything is borrowed.
struct http_event {
    struct http_request *http;
    struct str body;       // in memory
    struct str account_id; // "anonymous" for an unsigned function URL
    struct str api_id, domain_name, domain_prefix;
    struct str request_id;
    struct str stage;     // "$default"
    struct str route_key; // "GET /users/{id}"
    struct str resource;  // format 1.0: the route's path, "/users/{id}"
    struct str raw_path;  // as sent, with the stage's prefix when there is one
    struct str trace_id;  // of the header, when the client has sent none
    bool function_url;    // the path stays as it was sent, and cookies are a header too
    int64_t now_ms;
    const struct http_event_pair *path_parameters, *stage_variables;
    size_t n_path_parameters, n_stage_variables;
    enum http_authorizer authorized;
    struct str authorizer; // what it found out, a JSON object: see http_authorizer
};

// Appends the event's JSON. -EINVAL: the query is malformed (a bad percent escape is kept as it
// is, so this does not happen today); -ENOMEM.
int http_event_v2(const struct http_event *e, struct arena *a, struct buf *out, struct err *err);
int http_event_v1(const struct http_event *e, struct arena *a, struct buf *out, struct err *err);

// The members headers, multiValueHeaders and the two of the query, as format 1.0 has them.
void http_event_request_members(struct json_writer *w, struct arena *a, struct http_request *r,
                                struct str trace_id);

// Who signed a request, as HTTP_AUTHORIZER_IAM has it. Absent: out of memory.
struct str http_event_caller(struct arena *a, const struct principal *p);
// The client's address without its port or brackets.
struct str http_event_source_ip(struct http_request *r);

// Is a body of this content type text in an event? Everything else is base64.
bool http_event_is_text(struct str content_type, struct str body);

#endif
