// delivery.h - one batch of records on its way to a function, and what came of it.
#ifndef LAMBKIN_TRIGGERS_DELIVERY_H
#define LAMBKIN_TRIGGERS_DELIVERY_H

#include "os/worker.h"
#include "runtime/invocation.h"
#include "triggers/event_source.h"

enum delivery_outcome {
    DELIVERY_OK,       // the function took the batch (see delivery_failed_items)
    DELIVERY_FAILED,   // the function failed
    DELIVERY_NOT_MADE, // it did not get to the function: throttled, deleted, our own failure
};

struct delivery {
    struct mapping *mapping;
    struct str payload, trace_id;     // the caller's, until done
    void (*done)(struct delivery *d); // on a worker
    enum delivery_outcome outcome;
    struct str response; // valid until delivery_finish()
    char problem[256];   // DELIVERY_NOT_MADE: why

    struct invocation invocation;
    struct lambda_target target;
    bool resolved;
    struct work work;
};

// Runs the mapping's function with the payload. done() follows, never before this returns.
void delivery_start(struct delivery *d);
void delivery_finish(struct delivery *d); // after done()

// ReportBatchItemFailures: which of the n items failed? Marks them in failed[]. False when the
// answer makes the whole batch fail: no JSON object, a list with an empty or unknown identifier.
bool delivery_failed_items(struct arena *a, struct str response, const struct str *ids, size_t n,
                           bool *failed);

#endif
