// worker.h - the pool of threads on which operation handlers run and may block.
//
// One pool per process. Work is taken first come, first served. `run` is called on a worker; then,
// when `done` is set, done is called on `loop`. Without `done`, nobody touches the work after run
// has been entered, so run may free it.
#ifndef LAMBKIN_OS_WORKER_H
#define LAMBKIN_OS_WORKER_H

#include "os/loop.h"

#define WORKERS_DEFAULT 8
#define WORKERS_MAX 256

struct work {
    void (*run)(struct work *w);
    void (*done)(struct work *w); // may be NULL
    struct loop *loop;            // where done runs
    struct work *next;            // the pool's
    struct loop_task task;        // the pool's
};

int workers_start(unsigned n, struct err *err); // 0: WORKERS_DEFAULT
// Everything submitted before runs to its end; then the threads are joined.
void workers_stop(void);
// Any thread. The work must stay where it is until it has been run.
void work_submit(struct work *w);
// How many wait for a thread (for metrics; already old when read).
unsigned workers_waiting(void);

#endif
