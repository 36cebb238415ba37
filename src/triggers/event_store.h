// event_store.h - the SQL of asynchronous events: accepted ones and those that were given up.
//
// An event is in `event` from before its acceptance is answered until its outcome (destination
// included) is done, so that a crash in between delivers again rather than never. One that was
// given up is kept in `failed` for FAILED_KEPT_MS, for the operator to look at and to replay.
#ifndef LAMBKIN_TRIGGERS_EVENT_STORE_H
#define LAMBKIN_TRIGGERS_EVENT_STORE_H

#include "base/arena.h"
#include "base/err.h"
#include "store/store.h"

#define FAILED_KEPT_MS (14LL * 24 * 3600 * 1000) // as long as SQS keeps a dead letter at most
#define FAILED_KEPT 10000                        // and no more than this many

// Strings live in the arena of whoever loaded it.
struct stored_event {
    int64_t id;
    struct str account, region, function, qualifier, arn;
    struct str payload, client_context, trace_id, request_id, source;
    int64_t accepted_ms, next_ms;
    unsigned tries;     // how often it was handed to the function
    unsigned errors;    // how often the function failed
    unsigned throttles; // how often in a row it did not get through
};

struct failed_event {
    struct stored_event event;
    struct str condition; // RetriesExhausted | EventAgeExceeded | RecursiveLoop
    struct str error_type, response;
    int64_t failed_ms;
};

int event_store_open(const char *path, struct store **out, struct err *err);
// Durable on return; answers the id.
int event_store_add(struct store *s, const struct stored_event *e, int64_t *id, struct err *err);
// The outcome of a try that is to be repeated: next_ms, tries, errors, throttles.
int event_store_retry(struct store *s, const struct stored_event *e, struct err *err);
int event_store_done(struct store *s, int64_t id, struct err *err);
int event_store_fail(struct store *s, const struct failed_event *f, struct err *err);
// All functions that have events: calls each() with account, region, function.
int event_store_functions(struct store *s,
                          void (*each)(void *ctx, struct str account, struct str region,
                                       struct str function, int64_t n),
                          void *ctx, struct err *err);
// The `limit` events of a function that are due first. Calls each() in order; its strings are
// valid during the call.
int event_store_load(struct store *s, struct str account, struct str region, struct str function,
                     unsigned limit, void (*each)(void *ctx, const struct stored_event *e),
                     void *ctx, struct err *err);
// The newest first. each() as above.
int event_store_failed(struct store *s, unsigned limit,
                       void (*each)(void *ctx, const struct failed_event *f), void *ctx,
                       struct err *err);
// Moves a failed event back among the accepted, due now, its counts at zero. -ENOENT.
int event_store_replay(struct store *s, int64_t failed_id, int64_t now_ms, struct arena *a,
                       struct stored_event *out, struct err *err);
// Forgets what was given up long ago.
int event_store_sweep(struct store *s, int64_t now_ms, struct err *err);

#endif
