// loop_impl.h - what loop.c and timers.c share.
#ifndef LAMBKIN_OS_LOOP_IMPL_H
#define LAMBKIN_OS_LOOP_IMPL_H

#include "os/loop.h"

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#define LOOP_SLOTS 16

struct loop {
    uv_loop_t uv;
    uv_async_t wake;
    uv_idle_t busy;    // active while tasks of our own wait: the loop then does not sleep
    uv_timer_t clock;  // one for all our timers
    uv_prepare_t look; // active while something is expected
    int64_t look_until_ns;

    _Atomic(struct loop_task *) inbox; // from other threads, newest first
    struct loop_task *first, **last;   // to be run, oldest first; our thread's
    bool in_tasks;

    struct loop_timer **heap; // heap[0] is unused, so that place 0 means "not started"
    size_t heap_len, heap_cap;
    int64_t clock_due_ms; // when `clock` fires; INT64_MAX when it is not started

    atomic_bool stop_wanted;
    unsigned index;
    pthread_t thread;
    _Atomic(void *) slots[LOOP_SLOTS];
};

void loop_timers_fire(uv_timer_t *clock);

#endif
