// park.h - calls that wait: long polls and whatever else has nothing to answer yet.
//
// A parked call holds no thread. Its handler is run again from the top when somebody wakes its
// key, and when its deadline passes; it is freed when its client leaves. No wake is lost: one that
// comes between the handler's look at the data and its call_park() makes the handler run again at
// once. That holds if whoever changes the data wakes after the commit.
#ifndef LAMBKIN_ENGINE_PARK_H
#define LAMBKIN_ENGINE_PARK_H

#include "engine/call.h"

#define PARK_MAX_KEYS 4

// Answers CALL_PARKED, for `return call_park(c, key, deadline)`. The key is copied: anything that
// names what is waited for ("sqs:<account>:<region>:<queue>"). The deadline is in ms since the
// epoch: at it, the handler runs again and should answer (it compares c->now_ms with the deadline
// that it computes from c->arrived_ms); a handler that waits for something earlier, like the next
// message becoming visible, passes the earlier time.
int call_park(struct call *c, struct str key, int64_t deadline_ms);
// The same for several keys (at most PARK_MAX_KEYS): woken by any.
int call_park_many(struct call *c, const struct str *keys, unsigned n_keys, int64_t deadline_ms);

// Runs every call parked on `key` again. From any thread; cheap when nobody waits.
void engine_wake(struct engine *e, struct str key);
static inline void call_wake(struct call *c, struct str key)
{
    engine_wake(c->engine, key);
}

// How many calls are parked now (health, tests).
unsigned engine_parked(struct engine *e);

#endif
