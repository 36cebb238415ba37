// engine_impl.h - what the files of the engine share. Never included outside this folder.
#ifndef LAMBKIN_ENGINE_ENGINE_IMPL_H
#define LAMBKIN_ENGINE_ENGINE_IMPL_H

#include "base/list.h"
#include "base/map.h"
#include "engine/auth.h"
#include "engine/engine.h"
#include "engine/park.h"
#include "engine/sites.h"
#include "http/server.h"
#include "os/worker.h"
#include "wire/wire.h"

#include <pthread.h>
#include <stdatomic.h>

#define ENGINE_MAX_SERVICES 32
// A body up to this long is hashed on the loop (SigV4); a longer one on a worker.
#define ENGINE_LOOP_HASH_BYTES ((size_t)256 << 10)

struct op_counters {
    atomic_ullong calls, client_errors, server_errors;
};

struct engine_slot { // a service in this engine
    const struct engine_service *service;
    const struct engine_op **ops; // by wire_operation.index, NULL where not implemented
    struct op_counters *counters; // the same; one more at the end for what has no operation
    void *state;
    // while starting, each on its own thread
    struct engine *engine;
    int start_result;
    struct err start_err;
    bool started;
};

struct reporter {
    void (*metrics)(void *ctx, struct buf *out);
    void (*health)(void *ctx, struct json_writer *w);
    void *ctx;
};

struct parking {
    pthread_mutex_t lock;
    struct map keys; // text -> struct park_key
    unsigned parked;
    uint64_t clock;          // counts wakes
    uint64_t buckets[1024];  // the clock of the latest wake of any key with that hash
    atomic_ullong now_clock; // = clock, read without the lock
};

struct engine {
    struct engine_config config; // strings owned
    struct engine_slot slots[ENGINE_MAX_SERVICES];
    unsigned n_slots;
    pthread_mutex_t adding; // while services start: the arrays below
    struct auth_provider providers[ENGINE_MAX_PROVIDERS];
    unsigned n_providers;
    struct engine_site sites[ENGINE_MAX_SITES];
    unsigned n_sites;
    struct reporter metrics[ENGINE_MAX_REPORTERS], health[ENGINE_MAX_REPORTERS];
    unsigned n_metrics, n_health;
    const struct engine_operator_page *operator_pages[ENGINE_MAX_OPERATOR_PAGES];
    unsigned n_operator_pages;
    struct parking parking;
    atomic_uint busy;
    atomic_bool draining;
    int64_t started_ms;
};

enum park_state {
    PARK_NONE,    // running, or on its way
    PARK_ARMING,  // in the table, the loop has not started the timer yet
    PARK_WAITING, // in the table, the timer runs
    PARK_WOKEN,   // taken out of the table by a wake; the loop will run it again
};

struct park_link {
    struct list link; // in park_key.waiting
    struct park_key *key;
    struct call_run *run;
};

struct call_deferred {
    void (*fn)(void *p);
    void *p;
    struct call_deferred *next;
};

// A call and what carries it between loop and worker. In the request's arena.
struct call_run {
    struct call call;
    struct engine_slot *slot; // NULL until routed
    enum wire_protocol protocol;
    struct wire_http_in http_in;
    bool http_in_ready, authenticated, intercepted, counted, finished;
    const struct engine_op *handler; // once decoded
    void *in, *out;
    struct wire_http_out answer;
    bool answered;
    struct err err;
    struct work work;
    struct loop_task task;
    void (*work_fn)(struct call *c); // call_work()
    struct engine_inside *inside;    // called from inside of the process; NULL: by a client
    // call_finish()
    int finish_status;
    struct str finish_type, finish_body;
    // parking
    enum park_state park_state;
    struct park_link park_links[PARK_MAX_KEYS];
    unsigned n_park_links;
    struct str park_keys[PARK_MAX_KEYS];
    unsigned n_park_keys;
    int64_t park_until_ms;
    struct loop_timer timer;
};

static inline struct call_run *run_of(struct call *c)
{
    return (struct call_run *)(void *)((char *)c - offsetof(struct call_run, call));
}

// call.c
void call_begin(struct call_run *r);     // counts it
void call_dispatch(struct call_run *r);  // to a worker: decode, handler, encode
void call_error_now(struct call_run *r); // on the loop: r->err as the answer
// The request as the wire layer reads it, without its body. False: out of memory.
bool call_http_in(struct call_run *r);

// inside.c: hands the answer of a call from inside over, or says that its client has gone.
void inside_answer(struct call_run *r, int status);
void inside_gone(struct call_run *r);

// route.c: which of the services is meant; NULL: none. Pure.
struct engine_slot *route_service(struct engine *e, const struct wire_http_in *in,
                                  const struct host_name *host, struct arena *a);
// Answers a request that is for no service of ours.
void route_refuse(struct call_run *r);

// park.c
void parking_init(struct parking *p);
void parking_finish(struct parking *p);
// After a handler answered CALL_PARKED, on the worker. False: run it again at once.
bool park_settle(struct call_run *r);
// The client of a call has left. On the loop.
void park_client_gone(struct call_run *r);
void park_drain(struct engine *e);

// pages.c: health and metrics. True when it took the request. On the loop.
bool pages_take(struct engine *e, struct http_request *req);
// operator_pages.c: the same for those that want a signature.
bool operator_pages_take(struct engine *e, struct http_request *req);

#endif
