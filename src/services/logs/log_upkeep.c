// log_upkeep.c - the thread behind the log groups: syncs every second, saves what changed to SQL,
// ends files that are a day old, and drops those that the retention lets go.
#include "services/logs/log_group.h"

#include "base/cleanup.h"
#include "os/log.h"
#include "os/time.h"
#include "services/logs/log_store.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define TICK_S 1
#define RETENTION_TICKS 60
#define ACTIVE_MAX_MS ((int64_t)24 * 3600 * 1000) // a file is sealed when it is a day old
#define DAY_MS ((int64_t)24 * 3600 * 1000)

// What one round of upkeep writes; copies, so that no lock is held while SQL runs.
struct round {
    struct log_segment *save, *drop;
    size_t n_save, n_drop;
    struct log_stream *streams; // names are borrowed: streams live as long as their group
    size_t n_streams;
    bool group;
};

static void round_finish(struct round *r)
{
    free(r->save);
    free(r->drop);
    free(r->streams);
}

static int plan(struct log_group *g, int64_t now_ms, struct round *out)
{
    int64_t cutoff = g->retention_days > 0 ? now_ms - g->retention_days * DAY_MS : INT64_MIN;
    const struct map_entry *e;
    size_t at = 0;
    if (g->deleted)
        return 0;
    if (g->active_fd >= 0 && now_ms - g->active_since_ms > ACTIVE_MAX_MS)
        log_group_seal(g);
    out->group = !g->saved;
    out->save = calloc(g->n_segments + 1, sizeof(*out->save));
    out->drop = calloc(g->n_segments + 1, sizeof(*out->drop));
    out->streams = calloc(g->streams.n + 1, sizeof(*out->streams));
    if (!out->save || !out->drop || !out->streams)
        return -ENOMEM;
    for (size_t i = 0; i < g->n_segments; i++) {
        const struct log_segment *s = &g->segments[i];
        if (!s->sealed || !s->scanned)
            continue;
        if (s->min_ms <= s->max_ms && s->max_ms < cutoff)
            out->drop[out->n_drop++] = *s;
        else if (!s->saved)
            out->save[out->n_save++] = *s;
    }
    // Streams are written together with the segments whose events their times speak of.
    while (out->n_save + out->n_drop > 0 && (e = map_next(&g->streams, &at))) {
        struct log_stream *s = e->value;
        if (s->unsaved)
            out->streams[out->n_streams++] = *s;
    }
    return 0;
}

static int write_round(struct log_group *g, const struct round *round, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    int r = store_begin(log_groups.store, STORE_WRITE, &tx, err);
    if (r == 0 && round->group)
        r = log_store_put_group(tx, g, err);
    for (size_t i = 0; r == 0 && i < round->n_save; i++)
        r = log_store_put_segment(tx, g->dir, &round->save[i], err);
    for (size_t i = 0; r == 0 && i < round->n_drop; i++)
        r = log_store_delete_segment(tx, g->dir, round->drop[i].number, err);
    for (size_t i = 0; r == 0 && i < round->n_streams; i++)
        r = log_store_put_stream(tx, g->dir, &round->streams[i], err);
    return r < 0 ? r : store_commit(&tx, err);
}

static void apply(struct log_group *g, const struct round *round)
{
    size_t kept = 0;
    if (round->group)
        g->saved = true;
    for (size_t i = 0; i < g->n_segments; i++) {
        struct log_segment *s = &g->segments[i];
        bool drop = false;
        for (size_t j = 0; j < round->n_save; j++)
            s->saved = s->saved || round->save[j].number == s->number;
        for (size_t j = 0; j < round->n_drop; j++)
            drop = drop || round->drop[j].number == s->number;
        if (drop) {
            char name[SEGMENT_NAME_BYTES];
            segment_name(s->number, name);
            unlinkat(g->dir_fd, name, 0);
        } else {
            g->segments[kept++] = *s;
        }
    }
    g->n_segments = kept;
    for (size_t i = 0; i < round->n_streams; i++) {
        struct log_stream *s = map_get(&g->streams, round->streams[i].name);
        const struct log_stream *was = &round->streams[i];
        if (s && s->last_ms == was->last_ms && s->ingested_ms == was->ingested_ms &&
            s->first_ms == was->first_ms && s->dropped == was->dropped && s->since == was->since)
            s->unsaved = false;
    }
}

int log_group_upkeep(struct log_group *g, int64_t now_ms, struct err *err)
{
    _cleanup_(round_finish) struct round round = {0};
    int r = log_group_load(g, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&log_groups.admin);
    pthread_mutex_lock(&g->lock);
    r = log_group_open_dir(g, err);
    if (r == 0)
        r = plan(g, now_ms, &round);
    pthread_mutex_unlock(&g->lock);
    if (r == 0 && (round.group || round.n_save + round.n_drop > 0)) {
        r = write_round(g, &round, err);
        if (r == 0) {
            pthread_mutex_lock(&g->lock);
            apply(g, &round);
            pthread_mutex_unlock(&g->lock);
        }
    }
    pthread_mutex_unlock(&log_groups.admin);
    return r;
}

// --- the thread ---

static struct {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool running, stop;
} upkeep = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool needs_upkeep(struct log_group *g, bool retention_due)
{
    bool needs;
    pthread_mutex_lock(&g->lock);
    needs = !g->saved || (retention_due && g->retention_days > 0);
    for (size_t i = 0; !needs && i < g->n_segments; i++)
        // Those of earlier lives wait until the group is read; those of this one do not.
        needs = g->segments[i].sealed && g->segments[i].scanned && !g->segments[i].saved;
    needs = (needs || (g->active_fd >= 0 && os_now_ms() - g->active_since_ms > ACTIVE_MAX_MS)) &&
            !g->deleted;
    pthread_mutex_unlock(&g->lock);
    return needs;
}

static void tick(bool retention_due)
{
    struct log_group **list = NULL;
    size_t n = 0;
    if (log_group_list(STR_NULL, STR_NULL, &list, &n) < 0)
        return;
    for (size_t i = 0; i < n; i++) {
        struct err err = ERR_INIT;
        if (log_group_sync(list[i], &err) < 0 || (needs_upkeep(list[i], retention_due) &&
                                                  log_group_upkeep(list[i], os_now_ms(), &err) < 0))
            log_warn("logs: %.*s: %s", STR_ARG(list[i]->name), err.message);
    }
    log_group_list_free(list, n);
}

static void *run(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&upkeep.lock);
    for (unsigned ticks = 1; !upkeep.stop; ticks++) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += TICK_S;
        pthread_cond_timedwait(&upkeep.wake, &upkeep.lock, &until);
        if (upkeep.stop)
            break;
        pthread_mutex_unlock(&upkeep.lock);
        tick(ticks % RETENTION_TICKS == 0);
        pthread_mutex_lock(&upkeep.lock);
    }
    pthread_mutex_unlock(&upkeep.lock);
    return NULL;
}

int log_upkeep_start(struct err *err)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&upkeep.wake, &attr);
    pthread_condattr_destroy(&attr);
    upkeep.stop = false;
    int r = pthread_create(&upkeep.thread, NULL, run, NULL);
    upkeep.running = r == 0;
    return r ? err_errno(err, r, "start the log upkeep thread") : 0;
}

void log_upkeep_stop(void)
{
    if (!upkeep.running)
        return;
    pthread_mutex_lock(&upkeep.lock);
    upkeep.stop = true;
    pthread_cond_signal(&upkeep.wake);
    pthread_mutex_unlock(&upkeep.lock);
    pthread_join(upkeep.thread, NULL);
    pthread_cond_destroy(&upkeep.wake);
    upkeep.running = false;
}
