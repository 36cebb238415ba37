// inside.h - an operation that is called from inside of the process, as a client would.
//
// The gateway's service integrations use it: the request goes through decoding, validation, the
// handler and encoding like any other, parking included; only its signature is not looked at, for
// whoever calls says in whose name.
#ifndef LAMBKIN_ENGINE_INSIDE_H
#define LAMBKIN_ENGINE_INSIDE_H

#include "engine/call.h"
#include "wire/wire.h"

struct engine_inside {
    struct http_request *http;   // on whose behalf; stays with the caller, must not be answered yet
    const char *service;         // its name in the credential scope: "sqs"
    struct str account, region;  // whose resources
    struct wire_http_in request; // as it would come; the body is in memory and not absent
    enum wire_protocol answer_in; // the answer's protocol; WIRE_PROTOCOLS: the request's own
    // On the request's loop, once. The answer's body and headers are valid during the call.
    // Status 499: the client has gone and there is no answer.
    void (*done)(struct engine_inside *i, int status, const struct wire_header *headers,
                 size_t n_headers, struct str body);
    void *user;
};

// On the request's loop; `i` stays valid until done(), which is never called from here. -ENOENT:
// there is no such service here. -ENOMEM.
int engine_inside_call(struct engine *e, struct engine_inside *i, struct err *err);

#endif
