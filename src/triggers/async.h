// async.h - asynchronous invocation: accepted durably, tried again, never lost.
#ifndef LAMBKIN_TRIGGERS_ASYNC_H
#define LAMBKIN_TRIGGERS_ASYNC_H

#include "base/buf.h"
#include "services/lambda/lambda.h"

struct json_writer;
struct lambda_name;
struct store;

int async_register(struct engine *e);
// The store is the triggers' own; borrowed until async_stop().
int async_start(struct engine *e, struct store *s, struct err *err);
void async_drain(void);
unsigned async_busy(void);
void async_stop(void);

// Accepts an event that the platform itself made (a destination). Durable on return; on a worker.
int async_accept_for(struct engine *e, const struct lambda_name *name, struct str arn,
                     struct str payload, struct str trace_id, struct err *err);
// Sends a failed event again. -ENOENT. On a worker.
int async_replay(int64_t failed_id, struct err *err);
// What waits and runs, by function, as elements of an array. Any thread.
void async_describe(struct json_writer *w);

#endif
