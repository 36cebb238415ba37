// cors.h - cross-origin resource sharing as function URLs and HTTP APIs are configured for it
// (Fetch standard, section 3.2).
#ifndef LAMBKIN_SERVICES_GATEWAY_CORS_H
#define LAMBKIN_SERVICES_GATEWAY_CORS_H

#include "base/json.h"
#include "http/server.h"

struct cors {
    const struct json_value *origins, *methods, *headers, *expose; // lists, or NULL
    bool credentials;
    int64_t max_age_s; // 0: not said
};

// From the JSON of the Cors structure: AllowOrigins, AllowMethods, AllowHeaders, ExposeHeaders,
// AllowCredentials, MaxAge (keys in either case). False without a configuration.
bool cors_read(struct arena *a, struct str json, struct cors *out);

// A preflight request: OPTIONS with Origin and Access-Control-Request-Method.
bool cors_is_preflight(const struct http_request *r);

// The headers for an answer (preflight or not) to this request, appended to headers[*n], at most
// CORS_MAX_HEADERS. None when the origin is not allowed.
#define CORS_MAX_HEADERS 7
void cors_headers(struct arena *a, const struct cors *c, const struct http_request *r,
                  bool preflight, struct http_header *headers, unsigned *n);

// Takes the headers that CORS decides off a function's own answer.
bool cors_decides(struct str header_name);

#endif
