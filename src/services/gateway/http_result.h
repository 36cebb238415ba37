// http_result.h - what a function behind a URL or an API answered, as an HTTP response.
#ifndef LAMBKIN_SERVICES_GATEWAY_HTTP_RESULT_H
#define LAMBKIN_SERVICES_GATEWAY_HTTP_RESULT_H

#include "base/arena.h"
#include "base/err.h"
#include "http/server.h"

#define HTTP_RESULT_MAX_HEADERS 512

// May this go out as a header? A name is a token; a value has no control characters: with a line
// break in it, whoever wrote it would write the rest of the message as well.
bool http_header_valid(struct str name, struct str value);

struct http_result {
    int status;
    struct http_header *headers; // in the arena; none of those that are the server's
    unsigned n_headers;
    struct str body; // decoded; points into the response or the arena
};

// Format 2.0: an object with a statusCode is taken apart; any other JSON is the body of a 200 (a
// string without its quotes). Format 1.0 knows the object only, with multiValueHeaders.
// -EINVAL: malformed, which is the gateway's own 502 or 500.
int http_result_parse(struct arena *a, struct str response, unsigned format,
                      struct http_result *out, struct err *err);

// The prelude of a streamed answer: {"statusCode", "headers", "cookies"}.
int http_result_prelude(struct arena *a, struct str json, struct http_result *out, struct err *err);

#endif
