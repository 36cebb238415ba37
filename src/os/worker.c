// worker.c - the pool of threads on which operation handlers run and may block.
//
// Invariants: `queue` is a list under `lock`; work on it has not been touched by a thread; after
// `stopping` is set the threads leave once it is empty.
#include "os/worker.h"

#include "base/cleanup.h"
#include "os/log.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

static struct {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct work *first, *last;
    unsigned idle;
    bool stopping;
    unsigned n_threads;
    pthread_t threads[WORKERS_MAX];
    atomic_uint waiting;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};

static void run_done(struct loop_task *t)
{
    struct work *w = (struct work *)(void *)((char *)t - offsetof(struct work, task));

    w->done(w);
}

static void *worker(void *unused)
{
    (void)unused;
    pthread_setname_np(pthread_self(), "worker");
    pthread_mutex_lock(&pool.lock);
    for (;;) {
        struct work *w = pool.first;
        if (!w) {
            if (pool.stopping)
                break;
            pool.idle++;
            pthread_cond_wait(&pool.more, &pool.lock);
            pool.idle--;
            continue;
        }
        pool.first = w->next;
        if (!pool.first)
            pool.last = NULL;
        pthread_mutex_unlock(&pool.lock);
        atomic_fetch_sub_explicit(&pool.waiting, 1, memory_order_relaxed);

        bool answers = w->done != NULL; // run may free it otherwise
        w->run(w);
        if (answers) {
            w->task.run = run_done;
            loop_post(w->loop, &w->task);
        }
        pthread_mutex_lock(&pool.lock);
    }
    pthread_mutex_unlock(&pool.lock);
    return NULL;
}

int workers_start(unsigned n, struct err *err)
{
    sigset_t all, before;
    int r = 0;

    if (n == 0)
        n = WORKERS_DEFAULT;
    if (n > WORKERS_MAX)
        n = WORKERS_MAX;
    pool.stopping = false;
    pool.n_threads = 0;
    // Signals are for the threads that handle them.
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 0; i < n && r == 0; i++) {
        r = pthread_create(&pool.threads[i], NULL, worker, NULL);
        if (r == 0)
            pool.n_threads++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r != 0) {
        workers_stop();
        return err_errno(err, r, "start a worker thread");
    }
    return 0;
}

void workers_stop(void)
{
    pthread_mutex_lock(&pool.lock);
    pool.stopping = true;
    pthread_cond_broadcast(&pool.more);
    pthread_mutex_unlock(&pool.lock);
    for (unsigned i = 0; i < pool.n_threads; i++)
        pthread_join(pool.threads[i], NULL);
    pool.n_threads = 0;
}

void work_submit(struct work *w)
{
    bool wake;

    w->next = NULL;
    atomic_fetch_add_explicit(&pool.waiting, 1, memory_order_relaxed);
    pthread_mutex_lock(&pool.lock);
    if (pool.last)
        pool.last->next = w;
    else
        pool.first = w;
    pool.last = w;
    wake = pool.idle > 0;
    pthread_mutex_unlock(&pool.lock);
    if (wake)
        pthread_cond_signal(&pool.more);
}

unsigned workers_waiting(void)
{
    return atomic_load_explicit(&pool.waiting, memory_order_relaxed);
}
