// parameter_mapping.h - what an HTTP API changes on requests and answers on their way.
//
// {"append:header.x": "$request.…", "overwrite:path": "/…", "remove:querystring.y": ""} for
// requests; the same for headers and "overwrite:statuscode" by status for answers.
#ifndef LAMBKIN_SERVICES_GATEWAY_PARAMETER_MAPPING_H
#define LAMBKIN_SERVICES_GATEWAY_PARAMETER_MAPPING_H

#include "services/gateway/api_request.h"

#define MAPPED_MAX_QUERY 16384

struct mapped_request {
    struct http_header *headers; // names in lower case
    unsigned n_headers, room;
    struct str path;  // absent: not overwritten
    struct str query; // encoded
};

// Headers that belong to a message and not to its connection or its framing.
bool header_travels(const struct http_header *headers, unsigned n, struct str name);

// The request as its integration is to see it, in the request's arena, with only headers that
// travel and room for one more of them. False: out of memory.
bool map_request(struct api_request *r, struct mapped_request *out);
// Changes an answer's status and headers. headers has room for HTTP_RESULT_MAX_HEADERS more.
void map_response(struct api_request *r, int *status, struct http_header *headers, unsigned *n,
                  struct str body);

// May an integration have these? A client's error or 0.
int map_request_check(const struct json_value *parameters, struct err *err);
int map_response_check(const struct json_value *by_status, struct err *err);

#endif
