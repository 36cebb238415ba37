// operator.h - the pages behind `lambkin events`, `lambkin queues` and `lambkin replay`.
//
//   GET  /_lambkin/events[?limit=N]   what waits and runs by function; failed events, newest first
//   GET  /_lambkin/queues             queues with depth, age of the oldest, in flight
//   POST /_lambkin/replay?id=N        a failed event is invoked again
//
// Requests must be signed by credentials of the platform's account (any service name).
#ifndef LAMBKIN_TRIGGERS_OPERATOR_H
#define LAMBKIN_TRIGGERS_OPERATOR_H

#include "base/err.h"

struct engine;
int operator_register(struct engine *e, struct err *err);

#endif
