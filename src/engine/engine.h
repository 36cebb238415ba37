// engine.h - from an HTTP request to a handler of an AWS operation and back.
//
// One engine a server process. engine_handle() is the HTTP handler of every listener: sites first,
// then route (which service), authenticate, intercept (Lambda's Invoke stays on the loop), decode
// and validate, run the handler on a worker, encode, respond on the request's loop. Only the
// engine logs the errors of calls. Services, providers and sites are fixed once engine_start()
// has returned; everything after that may be called from any thread unless it says otherwise.
#ifndef LAMBKIN_ENGINE_ENGINE_H
#define LAMBKIN_ENGINE_ENGINE_H

#include "base/buf.h"
#include "engine/call.h"

struct json_writer;
struct wire_service;

typedef void (*engine_fn)(void);

// An operation and its handler, `int f(struct call *, const struct x_in *, struct x_out *,
// struct err *)`. ENGINE_OP("CreateFunction", lambda_create_function)
struct engine_op {
    const char *name; // AWS's own
    engine_fn handler;
    bool no_auth; // may be called unsigned (sts AssumeRoleWithWebIdentity)
};
#define ENGINE_OP(name, handler)                                                                   \
    {                                                                                              \
        name, (engine_fn)(handler), false                                                          \
    }
#define ENGINE_OP_NO_AUTH(name, handler)                                                           \
    {                                                                                              \
        name, (engine_fn)(handler), true                                                           \
    }

struct engine_service {
    const struct wire_service *wire;
    const struct engine_op *ops;
    unsigned n_ops;
    // Opens the service's store and loads its tables; before any request. Services start at the
    // same time, each on a thread of its own: nothing of another service is there yet.
    int (*start)(struct engine *e, struct err *err);
    // Optional. After every handler has returned.
    void (*stop)(struct engine *e);
    // Optional. On the loop, routed to this service and authenticated, not decoded, c->op NULL
    // (it may set it, for the metrics). True when it took the call: it answers by call_respond(),
    // call_fail() or call_finish(), or calls call_done() and answers by http/server.h itself.
    bool (*intercept)(struct call *c);
};

struct engine_config {
    const char *data_dir; // exists; absolute
    const char *region;   // "us-east-1"
    const char *account;  // "000000000000"
    const char *root_access_key, *root_secret;
    const char *version;
    int port;          // for URLs when a client sent no Host
    bool no_auth;      // accept any or no signature
    double time_scale; // 1.0; 0.01 makes the platform's minutes pass in 0.6 s (tests)
    const struct engine_service *const *services;
    unsigned n_services;
};

// The configuration's strings are copied. *out is untouched on failure.
int engine_create(const struct engine_config *config, struct engine **out, struct err *err);
// Starts the services, all at the same time; when one fails, the others are stopped again.
int engine_start(struct engine *e, struct err *err);
// What a handler reads of a body at most, and what listeners should take at most: CreateFunction's
// 50 MB as base64, and some.
#define ENGINE_MAX_BODY_BYTES ((size_t)96 << 20)
// An http handler: ctx is the engine. On the request's loop.
void engine_handle(void *ctx, struct http_request *req);
// New calls and parked ones get 503. Then wait for engine_busy() to become 0.
void engine_drain(struct engine *e);
unsigned engine_busy(struct engine *e); // calls that run or wait now
// Stops the services and frees. No loop or worker may be in the engine any more.
void engine_destroy(struct engine *e);

// The engine of this process, for code that has no call at hand; NULL before engine_create().
struct engine *engine_current(void);

const struct engine_config *engine_config(struct engine *e);
// "<data_dir>/<format…>", to free().
char *engine_path(struct engine *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
void engine_set_state(struct engine *e, const struct engine_service *s, void *state);
void *engine_state(struct engine *e, const struct engine_service *s);
// A time of the platform (a retry after one minute, 60 s between purges) under time_scale.
int64_t engine_scaled_ms(struct engine *e, int64_t ms);

// --- for interceptors and sites: on the request's loop ---

// Answers with AWS's shape of the error in the service's protocol, and logs it.
void call_fail(struct call *c, struct err *err);
// Answers with a body as it is; x-amzn-requestid and c->headers are added. `body` must live until
// the response is sent (the arena does).
void call_respond(struct call *c, int status, struct str content_type, struct str body);
// Runs fn(c) on a worker, where it may block; in the end somebody calls call_finish(), once.
void call_work(struct call *c, void (*fn)(struct call *c));
// Responds from any thread: hops to the request's loop. err NULL or without code: `status` and
// `body`; else the error.
void call_finish(struct call *c, int status, struct str content_type, struct str body,
                 const struct err *err);

// An interceptor that answers by http/server.h itself calls this first: deferred functions run and
// the call is counted. `status` is for the metrics. The call stays valid as long as its request.
void call_done(struct call *c, int status);

// --- what operators see ---

// Appends Prometheus text at /_lambkin/metrics; on a worker. While services start.
#define ENGINE_MAX_REPORTERS 16
int engine_add_metrics(struct engine *e, void (*fn)(void *ctx, struct buf *out), void *ctx,
                       struct err *err);
// Writes members ("key": value) into /_lambkin/health's object; on a worker. While services start.
int engine_add_health(struct engine *e, void (*fn)(void *ctx, struct json_writer *w), void *ctx,
                      struct err *err);

// A page that wants a signature: write() writes the members of one JSON object, on a worker, or
// fails. While services start; the page stays where it is.
#define ENGINE_MAX_OPERATOR_PAGES 16
struct engine_operator_page {
    const char *method, *path; // "GET", "/_lambkin/routes"
    int (*write)(struct call *c, struct json_writer *w, struct err *err);
};
int engine_add_operator_page(struct engine *e, const struct engine_operator_page *page,
                             struct err *err);

#endif
