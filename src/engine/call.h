// call.h - one call of an AWS operation, as its handler sees it.
//
// A handler runs on a worker thread and may block. It reads its decoded and validated input,
// fills its output (zeroed before each run), and answers 0, CALL_PARKED or a negative errno with
// `err` filled in (err_aws() for what the client did wrong). Everything it allocates for the
// answer comes from c->arena, which lives until the response has been sent; strings of the input
// live as long. A handler that parked is run again from the top with the same input.
#ifndef LAMBKIN_ENGINE_CALL_H
#define LAMBKIN_ENGINE_CALL_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct engine;
struct engine_service;
struct http_request;
struct wire_operation;

#define CALL_PARKED 1
#define CALL_MAX_HEADERS 16

enum principal_kind {
    PRINCIPAL_ROOT,     // arn:aws:iam::<account>:root
    PRINCIPAL_USER,     // arn:aws:iam::<account>:user/<name>
    PRINCIPAL_ROLE,     // arn:aws:sts::<account>:assumed-role/<role>/<session>
    PRINCIPAL_FUNCTION, // the same, the credentials of an execution environment
    PRINCIPAL_NOBODY,   // unsigned (a function URL of AuthType NONE, an STS web identity)
};

// Who signed the request. Strings live in the call's arena.
struct principal {
    enum principal_kind kind;
    struct str account; // 12 digits
    struct str arn;
    struct str user_id;      // "AIDA…", "AROA…:session", the account for root
    struct str access_key;   // absent for PRINCIPAL_NOBODY
    struct str function_arn; // PRINCIPAL_FUNCTION only: whose environment signed
};

struct call_header {
    const char *name; // constant
    struct str value;
};

struct call {
    struct engine *engine;
    const struct engine_service *service;
    const struct wire_operation *op; // NULL in intercept() and in sites
    void *interceptor;               // free for intercept() and call_work()
    void *state;                     // what engine_set_state() was given for this service
    struct arena *arena;
    struct http_request *http;
    struct principal principal;
    struct str account;    // whose resources: principal.account
    struct str region;     // from the credential scope, the host or the default
    struct str request_id; // UUID in text
    struct str base_url;   // "http://host:port" as the client addressed us, for URLs in answers
    int64_t now_ms;        // since the epoch, taken at the beginning of this run
    int64_t arrived_ms;    // when the request was complete: base of a long poll's deadline
    unsigned run;          // 0 in the first run, then how often the handler was run before
    int status;            // 0: the operation's own; a handler may set another (202, 204)
    struct call_header headers[CALL_MAX_HEADERS]; // further headers of the answer
    unsigned n_headers;
    uint64_t wake_clock;            // the engine's: see park.h
    struct call_deferred *deferred; // the engine's
};

// Adds a header to the answer; `name` must be a constant, `value` live in the arena.
void call_header(struct call *c, const char *name, struct str value);

// Runs fn(p) once the answer has been encoded (or the call freed otherwise): gives references back
// that the output points into. False when out of memory: fn was then called at once.
bool call_defer(struct call *c, void (*fn)(void *p), void *p);

// "arn:aws:<service>:<region>:<account>:<rest>" in the arena.
struct str call_arn(struct call *c, const char *service, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
