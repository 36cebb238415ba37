// upkeep.c - the thread behind the queues: drops what is past its retention, forgets deduplication
// ids and names of deleted queues, removes the messages of deleted queues, runs move tasks.
//
// Every piece of work is a short transaction, so that nobody waits long behind it.
#include "services/sqs/sqs_impl.h"

#include "base/cleanup.h"
#include "os/log.h"
#include "os/time.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#define TICK_MS 10000    // between two rounds of sweeping
#define MOVE_TICK_MS 100 // while a move task runs
#define CHUNK 1000
#define DAY_MS ((int64_t)24 * 3600 * 1000)

static struct {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool running, stop, kicked;
} upkeep = {.lock = PTHREAD_MUTEX_INITIALIZER};

// The next id after `after` of a queue that has messages; 0 at the end.
static int next_queue(int64_t after, int64_t *out, bool *known, struct sqs_queue *q,
                      struct arena *a, int64_t *oldest_ms, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    struct err missing = ERR_INIT;
    *out = 0;
    int r = store_begin(sqs.store, STORE_READ, &tx, err);
    if (r == 0)
        r = store_select(tx, &s, err,
                         "SELECT queue, sent_ms FROM message WHERE queue > ?"
                         " ORDER BY queue, visible_ms LIMIT 1",
                         SQL_I64(after));
    if (r == 0)
        r = store_step(s, err);
    if (r <= 0)
        return r;
    *out = store_col_i64(s, 0);
    *oldest_ms = store_col_i64(s, 1);
    r = sqs_queue_by_id(tx, a, *out, q, &missing);
    *known = r == 0;
    return r == 0 || r == -ENOENT ? 0 : err_set(err, r, "%s", missing.message);
}

static int remove_before(const struct sqs_queue *q, int64_t before_ms, unsigned *n, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    int r = store_begin(sqs.store, STORE_WRITE, &tx, err);
    if (r == 0)
        r = sqs_expire_tx(tx, q, before_ms, CHUNK, n, err);
    return r < 0 ? r : store_commit(&tx, err);
}

static bool stopping(void)
{
    pthread_mutex_lock(&upkeep.lock);
    bool stop = upkeep.stop;
    pthread_mutex_unlock(&upkeep.lock);
    return stop;
}

static int sweep_messages(int64_t now_ms, struct err *err)
{
    int64_t at = 0, oldest_ms = 0;
    int r = 0;
    while (r == 0 && !stopping()) {
        struct arena arena = {0};
        struct sqs_queue q = {0};
        bool known;
        arena_init(&arena, 1 << 20);
        r = next_queue(at, &at, &known, &q, &arena, &oldest_ms, err);
        if (r == 0 && at != 0) {
            int64_t before = known ? now_ms - q.retention_s * 1000 : INT64_MAX;
            unsigned n = CHUNK;
            q.id = at;
            // The front of a queue is about its oldest; what it hides goes a round later.
            while (r == 0 && n == CHUNK && oldest_ms < before && !stopping())
                r = remove_before(&q, before, &n, err);
        }
        arena_finish(&arena);
        if (at == 0)
            break;
    }
    return r;
}

static int sweep_rows(int64_t now_ms, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    int64_t n;
    int r = store_begin(sqs.store, STORE_WRITE, &tx, err);
    if (r < 0)
        return r;
    n = store_exec(tx, err, "DELETE FROM deduplication WHERE until_ms <= ?", SQL_I64(now_ms));
    if (n >= 0)
        n = store_exec(tx, err, "DELETE FROM deleted_queue WHERE deleted_ms <= ?",
                       SQL_I64(os_now_ms() - engine_scaled_ms(sqs.engine, SQS_DELETED_MS)));
    if (n >= 0)
        n = store_exec(tx, err,
                       "DELETE FROM move_task WHERE status <> 'RUNNING' AND started_ms < ?",
                       SQL_I64(os_now_ms() - DAY_MS));
    return n < 0 ? (int)n : store_commit(&tx, err);
}

// Is there a row at all? Without, no write transaction.
static int anything_to_sweep(int64_t now_ms, bool *out, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    int r = store_begin(sqs.store, STORE_READ, &tx, err);
    if (r == 0)
        r = store_select(tx, &s, err,
                         "SELECT EXISTS (SELECT 1 FROM deduplication WHERE until_ms <= ?)"
                         " OR EXISTS (SELECT 1 FROM deleted_queue WHERE deleted_ms <= ?)"
                         " OR EXISTS (SELECT 1 FROM move_task WHERE status <> 'RUNNING'"
                         " AND started_ms < ?)",
                         SQL_I64(now_ms),
                         SQL_I64(os_now_ms() - engine_scaled_ms(sqs.engine, SQS_DELETED_MS)),
                         SQL_I64(os_now_ms() - DAY_MS));
    if (r == 0)
        r = store_step(s, err);
    *out = r > 0 && store_col_i64(s, 0) != 0;
    return r < 0 ? r : 0;
}

static void sweep(void)
{
    struct err err = ERR_INIT;
    bool rows = false;
    int64_t now_ms = sqs_now();
    int r = anything_to_sweep(now_ms, &rows, &err);
    if (r == 0 && rows)
        r = sweep_rows(now_ms, &err);
    if (r == 0)
        r = sweep_messages(now_ms, &err);
    if (r < 0)
        log_warn("sqs: upkeep: %s", err.message);
}

static void *run(void *unused)
{
    int64_t next_sweep_ms = os_mono_ms();
    bool moving = true; // a task may have been running when the daemon ended
    (void)unused;
    pthread_mutex_lock(&upkeep.lock);
    while (!upkeep.stop) {
        bool kicked = upkeep.kicked;
        upkeep.kicked = false;
        pthread_mutex_unlock(&upkeep.lock);
        if (moving || kicked) {
            struct err err = ERR_INIT;
            if (sqs_moves_run(sqs_now(), &moving, &err) < 0) {
                log_warn("sqs: message move task: %s", err.message);
                moving = true;
            }
        }
        if (kicked || os_mono_ms() >= next_sweep_ms) {
            sweep();
            next_sweep_ms = os_mono_ms() + TICK_MS;
        }
        pthread_mutex_lock(&upkeep.lock);
        if (!upkeep.stop && !upkeep.kicked) {
            int64_t wait = moving ? MOVE_TICK_MS : next_sweep_ms - os_mono_ms();
            struct timespec until;
            clock_gettime(CLOCK_MONOTONIC, &until);
            wait = wait < 1 ? 1 : wait;
            until.tv_sec += wait / 1000;
            until.tv_nsec += wait % 1000 * 1000000;
            if (until.tv_nsec >= 1000000000) {
                until.tv_sec++;
                until.tv_nsec -= 1000000000;
            }
            pthread_cond_timedwait(&upkeep.wake, &upkeep.lock, &until);
        }
    }
    pthread_mutex_unlock(&upkeep.lock);
    return NULL;
}

void sqs_upkeep_kick(void)
{
    pthread_mutex_lock(&upkeep.lock);
    upkeep.kicked = true;
    if (upkeep.running)
        pthread_cond_signal(&upkeep.wake);
    pthread_mutex_unlock(&upkeep.lock);
}

int sqs_upkeep_start(struct err *err)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&upkeep.wake, &attr);
    pthread_condattr_destroy(&attr);
    upkeep.stop = upkeep.kicked = false;
    int r = pthread_create(&upkeep.thread, NULL, run, NULL);
    upkeep.running = r == 0;
    return r ? err_errno(err, r, "start the queue upkeep thread") : 0;
}

void sqs_upkeep_stop(void)
{
    if (!upkeep.running)
        return;
    pthread_mutex_lock(&upkeep.lock);
    upkeep.stop = true;
    pthread_cond_signal(&upkeep.wake);
    pthread_mutex_unlock(&upkeep.lock);
    pthread_join(upkeep.thread, NULL);
    pthread_mutex_lock(&upkeep.lock);
    upkeep.running = false;
    pthread_mutex_unlock(&upkeep.lock);
    pthread_cond_destroy(&upkeep.wake);
}
