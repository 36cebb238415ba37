// async_impl.h - what async.c (the queue) and async_outcome.c (what becomes of a try) share.
#ifndef LAMBKIN_TRIGGERS_ASYNC_IMPL_H
#define LAMBKIN_TRIGGERS_ASYNC_IMPL_H

#include "base/heap.h"
#include "base/map.h"
#include "os/worker.h"
#include "runtime/invocation.h"
#include "services/lambda/lambda.h"
#include "triggers/event_store.h"

struct async_function;

// An event in memory. It is in its function's heap while it waits; while it runs it belongs to
// the invocation and then to the worker that deals with the outcome.
struct async_event {
    struct arena arena;
    struct stored_event stored; // strings in the arena
    struct async_function *function;
    struct heap_node due; // in function->waiting, by next_ms
    struct invocation invocation;
    struct lambda_target target;
    bool resolved;         // target.config is a reference of ours
    struct err unresolved; // why not
    unsigned reached;      // how often this chain of events ran this function
    struct work work;
};

// The events of one function (all its qualifiers): its own queue, so that its flood delays nobody
// else. Never removed; there are as many as functions that were ever invoked asynchronously.
struct async_function {
    struct str key; // account/region/function; owned, like what follows, by the allocation
    struct str account, region, name;
    struct heap waiting;
    struct heap_node turn; // in async.turns while something waits and the window has room
    unsigned in_flight, window;
    bool more;        // the store has events that are not in memory
    bool refilling;   // a worker is reading them
    uint64_t skipped; // how many acceptances were left in the store only
    struct work refill;
};

// The outcome's verdict; all by async.c, which takes the event back in either case.
void async_try_again(struct async_event *e); // stored.next_ms and counts are set and stored
void async_finished(struct async_event *e, bool got_through);

struct store *async_store(void);
struct engine *async_engine(void);

// Runs on a worker after a try; ends in one of the two above.
void async_outcome_run(struct async_event *e);

#endif
