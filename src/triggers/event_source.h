// event_source.h - what a kind of event source (queues, streams, …) is to the mapping runner.
//
// A source is a file that implements `struct event_source_ops` and is listed in mapping_runner.c.
// It reads records, asks mapping_wants() which of them the mapping's filters let through, makes
// the event's JSON, and runs the function with delivery.h. It reports how it went.
#ifndef LAMBKIN_TRIGGERS_EVENT_SOURCE_H
#define LAMBKIN_TRIGGERS_EVENT_SOURCE_H

#include "base/event_pattern.h"
#include "base/json.h"
#include "services/lambda/lambda.h"

#include <stdatomic.h>

#define MAPPING_MAX_FILTERS 10 // AWS: five, ten on request

struct mapping;

struct event_source_ops {
    const char *service; // of the source's ARN: "sqs"
    // Starts reading; on a worker. The mapping stays as it is until close() has said it is done.
    int (*open)(struct mapping *m, void **source, struct err *err);
    // No new batches; when the last one is done the source calls mapping_closed(), at any later
    // time, on any thread, but not before close() returns.
    void (*close)(void *source);
    // New batches stop, running ones go on (the daemon is being shut down).
    void (*pause)(void *source);
};

// The settings of a mapping that runs; constant while it does. Strings live in its arena.
struct mapping {
    struct arena arena;
    struct str uuid, account, region;
    struct str source_arn;
    struct str function_arn;                             // with its qualifier
    unsigned batch_size, window_ms, maximum_concurrency; // 0: not set
    bool report_item_failures;
    const struct event_pattern *filters[MAPPING_MAX_FILTERS];
    struct str filter_text[MAPPING_MAX_FILTERS];
    unsigned n_filters;

    // The runner's.
    const struct event_source_ops *ops;
    void *source;
    struct str fingerprint; // of the settings: a change means closing and opening again
    bool closing;
    atomic_int last_result;
};

enum mapping_result { MAPPING_NOTHING_YET, MAPPING_OK, MAPPING_FUNCTION_FAILED, MAPPING_PROBLEM };

// True when the mapping has no filters or one matches.
bool mapping_wants(const struct mapping *m, const struct json_value *record);
// LastProcessingResult; costs something only when it changes. On a worker.
void mapping_report(struct mapping *m, enum mapping_result result, const char *problem);
// See close().
void mapping_closed(struct mapping *m);
// Counts batches that run, for the daemon's drain.
void mapping_batch_begins(void);
void mapping_batch_ended(void);

struct engine *mapping_engine(void);

extern const struct event_source_ops sqs_source;
// Once, before any mapping runs.
void sqs_source_register(void);

#endif
