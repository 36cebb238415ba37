// park.c - calls that wait for a key to be woken, for their deadline, or for their client to leave.
//
//            park_settle()            park_arm()
//   NONE ───────────────▶ ARMING ───────────────▶ WAITING
//    ▲                      │ engine_wake()          │ engine_wake(): loop task park_resume()
//    │      park_arm()      ▼                        ▼
//    └──────────────────  WOKEN ◀────────────────────┘
//    ▲                                               │
//    └── timer fires (park_expire), client leaves ───┘
//
// Everything about the state and the table is under parking.lock; timers and requests are touched
// on the request's loop only. A call in ARMING or WOKEN always has a loop task on its way, so it
// is freed only there; one in WAITING has none.
#include "engine/engine_impl.h"

#include "base/cleanup.h"
#include "base/hash.h"
#include "os/time.h"

#include <errno.h>
#include <stdlib.h>

struct park_key {
    struct list waiting; // struct park_link
    struct str text;
    char bytes[];
};

static size_t bucket_of(struct str key)
{
    return (size_t)(hash_table(key) % ARRAY_LEN(((struct parking *)0)->buckets));
}

void parking_init(struct parking *p)
{
    pthread_mutex_init(&p->lock, NULL);
    map_init(&p->keys);
}

void parking_finish(struct parking *p)
{
    map_finish(&p->keys);
    pthread_mutex_destroy(&p->lock);
}

int call_park_many(struct call *c, const struct str *keys, unsigned n_keys, int64_t deadline_ms)
{
    struct call_run *r = run_of(c);

    r->n_park_keys = 0;
    for (unsigned i = 0; i < n_keys && i < PARK_MAX_KEYS; i++)
        r->park_keys[r->n_park_keys++] = keys[i];
    r->park_until_ms = deadline_ms;
    return CALL_PARKED;
}

int call_park(struct call *c, struct str key, int64_t deadline_ms)
{
    return call_park_many(c, &key, 1, deadline_ms);
}

static struct park_key *key_get(struct parking *p, struct str text)
{
    struct park_key *k = map_get(&p->keys, text);

    if (k)
        return k;
    k = malloc(sizeof(*k) + text.len);
    if (!k)
        return NULL;
    list_init(&k->waiting);
    if (text.len > 0)
        memcpy(k->bytes, text.ptr, text.len);
    k->text = (struct str){k->bytes, text.len};
    if (map_set(&p->keys, k->text, k, NULL) < 0) {
        free(k);
        return NULL;
    }
    return k;
}

// Takes the call out of the table. Under the lock.
static void unlink_all(struct parking *p, struct call_run *r)
{
    for (unsigned i = 0; i < r->n_park_links; i++) {
        struct park_key *k = r->park_links[i].key;
        list_remove(&r->park_links[i].link);
        if (list_empty(&k->waiting)) {
            map_remove(&p->keys, k->text);
            free(k);
        }
    }
    if (r->n_park_links > 0)
        p->parked--;
    r->n_park_links = 0;
}

static void park_expire(struct loop_timer *t)
{
    struct call_run *r = LIST_ENTRY(t, struct call_run, timer);
    struct parking *p = &r->call.engine->parking;
    bool mine;

    pthread_mutex_lock(&p->lock);
    mine = r->park_state == PARK_WAITING;
    if (mine) {
        unlink_all(p, r);
        r->park_state = PARK_NONE;
    }
    pthread_mutex_unlock(&p->lock);
    if (mine)
        call_dispatch(r);
}

static void drop(struct call_run *r)
{
    if (r->inside) {
        inside_gone(r);
        return;
    }
    call_done(&r->call, 499);
    http_request_drop(r->call.http);
}

// Runs the call again, or ends it when nobody waits for it any more. On the loop, out of the table.
static void run_again(struct call_run *r)
{
    if (r->call.http->client_gone) {
        drop(r);
    } else if (atomic_load(&r->call.engine->draining)) {
        static const struct aws_error unavailable = {"ServiceUnavailable", NULL, 503, false};
        err_aws(&r->err, &unavailable, "The service is shutting down.");
        call_error_now(r);
    } else {
        call_dispatch(r);
    }
}

static void park_resume(struct loop_task *t)
{
    struct call_run *r = LIST_ENTRY(t, struct call_run, task);

    loop_timer_stop(r->call.http->loop, &r->timer);
    r->park_state = PARK_NONE;
    run_again(r);
}

static void park_arm(struct loop_task *t)
{
    struct call_run *r = LIST_ENTRY(t, struct call_run, task);
    struct engine *e = r->call.engine;
    struct parking *p = &e->parking;
    bool waits;

    pthread_mutex_lock(&p->lock);
    waits =
        r->park_state == PARK_ARMING && !r->call.http->client_gone && !atomic_load(&e->draining);
    if (waits) {
        r->park_state = PARK_WAITING;
    } else {
        unlink_all(p, r);
        r->park_state = PARK_NONE;
    }
    pthread_mutex_unlock(&p->lock);
    if (!waits) {
        run_again(r);
        return;
    }
    // Between here and the unlock above only a task may have been posted: it runs after us.
    int64_t wait_ms = r->park_until_ms - os_now_ms();
    loop_timer_start(r->call.http->loop, &r->timer, wait_ms > 0 ? wait_ms : 0, park_expire);
}

bool park_settle(struct call_run *r)
{
    struct parking *p = &r->call.engine->parking;
    bool parked = true;

    pthread_mutex_lock(&p->lock);
    for (unsigned i = 0; i < r->n_park_keys && parked; i++)
        if (p->buckets[bucket_of(r->park_keys[i])] > r->call.wake_clock)
            parked = false;
    if (parked) {
        for (unsigned i = 0; i < r->n_park_keys; i++) {
            struct park_key *k = key_get(p, r->park_keys[i]);
            if (!k)
                continue; // out of memory: the deadline runs it again
            struct park_link *l = &r->park_links[r->n_park_links++];
            *l = (struct park_link){.key = k, .run = r};
            list_append(&k->waiting, &l->link);
        }
        if (r->n_park_links > 0)
            p->parked++;
        r->park_state = PARK_ARMING;
    }
    pthread_mutex_unlock(&p->lock);
    if (!parked)
        return false;
    r->task.run = park_arm;
    loop_post(r->call.http->loop, &r->task);
    return true;
}

// Under the lock.
static void wake_one(struct parking *p, struct call_run *r)
{
    bool waiting = r->park_state == PARK_WAITING;

    unlink_all(p, r);
    r->park_state = PARK_WOKEN;
    if (waiting) { // in ARMING, park_arm() is on its way and sees it
        r->task.run = park_resume;
        loop_post(r->call.http->loop, &r->task);
    }
}

void engine_wake(struct engine *e, struct str key)
{
    struct parking *p = &e->parking;
    struct park_key *k;

    pthread_mutex_lock(&p->lock);
    p->buckets[bucket_of(key)] = ++p->clock;
    atomic_store(&p->now_clock, p->clock);
    // The key itself goes with its last waiter.
    while ((k = map_get(&p->keys, key)) != NULL)
        wake_one(p, LIST_ENTRY(k->waiting.next, struct park_link, link)->run);
    pthread_mutex_unlock(&p->lock);
}

void park_client_gone(struct call_run *r)
{
    struct parking *p = &r->call.engine->parking;
    bool mine;

    pthread_mutex_lock(&p->lock);
    mine = r->park_state == PARK_WAITING;
    if (mine) {
        unlink_all(p, r);
        r->park_state = PARK_NONE;
    }
    pthread_mutex_unlock(&p->lock);
    if (mine) {
        loop_timer_stop(r->call.http->loop, &r->timer);
        drop(r);
    }
}

void park_drain(struct engine *e)
{
    struct parking *p = &e->parking;
    const struct map_entry *entry;

    pthread_mutex_lock(&p->lock);
    for (;;) {
        size_t at = 0;
        entry = map_next(&p->keys, &at);
        if (!entry)
            break;
        struct park_key *k = entry->value;
        wake_one(p, LIST_ENTRY(k->waiting.next, struct park_link, link)->run);
    }
    pthread_mutex_unlock(&p->lock);
}

unsigned engine_parked(struct engine *e)
{
    pthread_mutex_lock(&e->parking.lock);
    unsigned n = e->parking.parked;
    pthread_mutex_unlock(&e->parking.lock);
    return n;
}
