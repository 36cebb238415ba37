// sqs.h - the queue service: its operations for clients, and a C door for the trigger rooms.
//
// The internal functions block (they run a store transaction): call them on a worker, never on a
// loop. They act on behalf of the platform, so no queue policy is consulted. Strings in results
// live in the caller's arena.
#ifndef LAMBKIN_SERVICES_SQS_H
#define LAMBKIN_SERVICES_SQS_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct engine_service;
extern const struct engine_service sqs_service;

#define SQS_MAX_BATCH 10 // entries in one batch request, messages in one receive

struct sqs_attribute {
    struct str name;
    struct str type;  // "String", "Number.int", "Binary", …
    struct str value; // decoded bytes for Binary
};

// One message as a receiver sees it.
struct sqs_message_view {
    struct str message_id, receipt_handle;
    struct str body;
    struct str md5_of_body, md5_of_attributes; // hex; attributes: absent without any
    struct sqs_attribute *attributes;
    size_t n_attributes;
    int64_t sent_ms, first_received_ms;
    int64_t receive_count;
    struct str sender_id;
    struct str group_id, deduplication_id, sequence_number; // FIFO only, else absent
    struct str trace_header;                                // absent without one
    struct str dead_letter_source_arn; // absent unless moved from a source queue
};

struct sqs_internal_message {
    struct str body;
    const struct sqs_attribute *attributes;
    size_t n_attributes;
    struct str group_id;         // FIFO: needed
    struct str deduplication_id; // FIFO: absent = SHA-256 of the body
    struct str trace_header;     // may be absent
    int64_t delay_ms;            // standard queues only
};

// What a queue is to a trigger. -ENOENT: no such queue (err says QueueDoesNotExist).
struct sqs_queue_info {
    struct str arn, url_path; // "/000000000000/name"
    bool fifo;
    int64_t visibility_timeout_ms;
    int64_t visible, in_flight, delayed; // now
    int64_t oldest_sent_ms;              // of those in the queue; 0 when it is empty
};
int sqs_internal_info(struct str queue_arn, struct arena *arena, struct sqs_queue_info *out,
                      struct err *err);

// Every queue of every account and region; strings are valid during the call.
int sqs_internal_list(void (*each)(void *ctx, const struct sqs_queue_info *q), void *ctx,
                      struct err *err);

// Sends one message; durable on return. Answers the message id in *id (may be NULL).
int sqs_internal_send(struct str queue_arn, const struct sqs_internal_message *message,
                      struct arena *arena, struct str *id, struct err *err);

// Takes up to max (≤ 10) messages, invisible for visibility_ms (-1: the queue's own). Never waits.
// *n = 0 and *next_ms = when the earliest hidden message becomes visible (INT64_MAX: none).
int sqs_internal_receive(struct str queue_arn, unsigned max, int64_t visibility_ms,
                         struct arena *arena, struct sqs_message_view *out, unsigned *n,
                         int64_t *next_ms, struct err *err);

// Removes messages / makes them visible again after visibility_ms. A handle whose message is gone
// is no error. All of them in one transaction.
int sqs_internal_delete(struct str queue_arn, const struct str *receipts, unsigned n,
                        struct err *err);
int sqs_internal_change_visibility(struct str queue_arn, const struct str *receipts, unsigned n,
                                   int64_t visibility_ms, struct err *err);

// Called after a commit that put messages into a queue or made some visible, on the committing
// thread: be quick and do not call back into this room. at_ms is when the first of them can be
// received (now or earlier: at once). Up to 8 listeners, never removed; add them before serving.
typedef void sqs_available_fn(void *ctx, struct str queue_arn, int64_t at_ms);
void sqs_on_available(sqs_available_fn *fn, void *ctx);
// Called when a queue was deleted.
typedef void sqs_deleted_fn(void *ctx, struct str queue_arn);
void sqs_on_deleted(sqs_deleted_fn *fn, void *ctx);

#endif
