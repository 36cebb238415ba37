// loop.h - event loops: one libuv loop per thread, with tasks, timers and descriptor watches.
//
// Thread ownership: a loop belongs to the thread that runs it. Only loop_post, loop_call and
// loop_stop may be called from another one; everything else only on the loop's own thread, or
// before it runs. Callbacks never block.
#ifndef LAMBKIN_OS_LOOP_H
#define LAMBKIN_OS_LOOP_H

#include "base/err.h"

#define LOOPS_MAX 8

struct loop;
struct uv_loop_s;

// ---- the loops of this process ----

// Starts n threads with a loop each (0: one per core), at most LOOPS_MAX.
int loops_start(unsigned n, struct err *err);
// Stops and joins them, and destroys the loops.
void loops_stop(void);
unsigned loops_count(void);
struct loop *loop_at(unsigned i);

// ---- one loop ----

int loop_create(struct loop **out, struct err *err);
// Runs on the calling thread until loop_stop.
void loop_run(struct loop *l);
void loop_stop(struct loop *l); // any thread
// Closes every handle and frees the loop; it must not be running. Tasks that were posted and not
// run are dropped.
void loop_destroy(struct loop *l);
// The loop that this thread runs, or NULL.
struct loop *loop_self(void);
struct uv_loop_s *loop_uv(struct loop *l);
unsigned loop_index(const struct loop *l); // among loop_at(); 0 for one by loop_create
// Monotonic milliseconds of this turn of the loop; cheap.
int64_t loop_now_ms(const struct loop *l);

// ---- tasks ----

struct loop_task {
    void (*run)(struct loop_task *t); // may free the task, or post it again
    struct loop_task *next;           // the loop's
};

// Any thread. Runs t->run on the loop soon, in the order posted by one thread. The task must stay
// where it is until it runs.
void loop_post(struct loop *l, struct loop_task *t);
// Runs fn(ctx) on the loop and waits until it has returned; on the loop's own thread, right away.
void loop_call(struct loop *l, void (*fn)(void *ctx), void *ctx);

// ---- timers ----

// Lives inside its owner; zeroed is "not started". Freeing the owner after loop_timer_stop, or
// inside fire, is fine.
struct loop_timer {
    void (*fire)(struct loop_timer *t);
    int64_t due_ms; // on loop_now_ms's clock
    size_t place;   // in the loop's heap; 0: not started
};

// Fires once; starting again moves it.
void loop_timer_start(struct loop *l, struct loop_timer *t, int64_t after_ms,
                      void (*fire)(struct loop_timer *t));
void loop_timer_stop(struct loop *l, struct loop_timer *t);
static inline bool loop_timer_active(const struct loop_timer *t)
{
    return t->place != 0;
}

// ---- descriptors ----

enum { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_HANGUP = 4 };

struct loop_watch;

// Calls fn(ctx, events) while fd is ready (level-triggered). The descriptor becomes non-blocking
// and stays the caller's. Errors of the descriptor are reported as all the events asked for.
int loop_watch_fd(struct loop *l, int fd, unsigned events, void (*fn)(void *ctx, unsigned events),
                  void *ctx, struct loop_watch **out, struct err *err);
// 0 pauses it. Asking for what is watched already costs nothing.
void loop_watch_events(struct loop_watch *w, unsigned events);
// fn is never called again; the descriptor may be closed right away. Sets *w to NULL; accepts NULL.
void loop_watch_stop(struct loop_watch **w);

// ---- waiting attentively ----

// An event is expected within that time (an answer of a warm function): instead of sleeping, the
// loop looks for up to within_us in its next turn. A sleeping virtual CPU takes longer to wake
// than such a function takes to answer.
void loop_expect(struct loop *l, unsigned within_us);

// ---- a room's own data per loop ----

// Reserves a slot in all loops (at start, before loops run); `destroy` is called for a non-NULL
// value when its loop is destroyed, on the destroying thread.
// loop_slot may be called on any thread.
unsigned loop_slot_new(void (*destroy)(void *value));
void *loop_slot(const struct loop *l, unsigned slot);
void loop_slot_set(struct loop *l, unsigned slot, void *value);

#endif
