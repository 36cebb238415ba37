// destinations.h - where an asynchronous invocation's outcome goes: destinations and the older
// dead-letter queue. Also what a mapping sends when it gives a batch up.
#ifndef LAMBKIN_TRIGGERS_DESTINATIONS_H
#define LAMBKIN_TRIGGERS_DESTINATIONS_H

#include "base/buf.h"
#include "triggers/event_store.h"

struct engine;

// The outcome of an asynchronous invocation, for its record.
struct async_outcome {
    const struct stored_event *event;
    const char *condition; // "Success", "RetriesExhausted", "EventAgeExceeded", …
    struct str arn;        // with the version or alias that was invoked
    struct str executed_version;
    bool answered;              // the function answered: responseContext and responsePayload follow
    const char *function_error; // "Unhandled", or NULL
    struct str response;
    int64_t now_ms;
};

// The record of AWS's "Asynchronous invocation destinations": version, timestamp, requestContext,
// requestPayload, responseContext, responsePayload.
void destination_record(const struct async_outcome *o, struct buf *out);

// Sends `body` to the queue or function that the ARN names; durable on return. On a worker.
// -ENOTSUP for services that are not here, -ENOENT when there is no such queue or function.
int destination_send(struct engine *e, struct str arn, struct str body, struct str trace_id,
                     struct err *err);

// The event as it came, with the attributes RequestID, ErrorCode and ErrorMessage. As above.
int dead_letter_send(struct engine *e, struct str arn, const struct async_outcome *o,
                     struct err *err);

#endif
