// triggers.h - what moves events to functions: asynchronous invocation and event source mappings.
//
// One of each per process. Everything here stands on services' C doors (services/lambda/lambda.h,
// services/sqs/sqs.h) and on the runtime's invocation_submit(); nothing here speaks HTTP but for
// the operator's pages.
#ifndef LAMBKIN_TRIGGERS_TRIGGERS_H
#define LAMBKIN_TRIGGERS_TRIGGERS_H

#include "base/err.h"

struct engine;

// After engine_create() and before engine_start(): registers with the Lambda service, the queues
// and the operator's site.
int triggers_register(struct engine *e, struct err *err);
// After engine_start() and runtime_start(): opens db/triggers.db, takes up events that were
// accepted by an earlier process, starts the mappings.
int triggers_start(struct engine *e, struct err *err);
// Nothing new is started; what runs goes on. triggers_busy() counts what still runs. Any thread.
void triggers_drain(void);
unsigned triggers_busy(void);
// When nothing is busy and the loops' work is done: closes the store.
void triggers_stop(void);

#endif
