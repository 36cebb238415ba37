// async.c - the queue of asynchronous invocations.
//
// accept ──commit──▶ waiting (by due time, per function) ──dispatch──▶ running ──▶ outcome ─▶ gone
//                       ▲                                                             │
//                       └──────────────────── try again later ────────────────────────┘
//
// Invariants:
// - An event is in the store from before its acceptance is answered until its outcome is done.
// - Of each function at most LOADED_MAX waiting events are in memory. When there are more, `more`
//   is set, further acceptances stay in the store only, and a worker reads the next ones when
//   memory has run empty. An event in memory is never read again: refills skip ids in `loaded`.
// - A function runs at most `window` events at a time. The window halves when the function is
//   throttled and grows by one when an event gets through, so a low limit is found, not hammered.
// - Everything here is behind `lock`, which is never held across the store or the runtime.

#include "triggers/async.h"
#include "triggers/async_impl.h"

#include "base/json.h"
#include "base/list.h"
#include "os/log.h"
#include "os/random.h"
#include "os/time.h"
#include "base/uuid.h"
#include "services/lambda/names.h"
#include "triggers/recursion.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#define LOADED_MAX 1000 // waiting events of one function in memory
#define WINDOW_MAX 64   // events of one function that run at a time
#define START_BATCH 64  // started by one dispatch before it looks at the queue again
#define MAX_EVENT_BYTES ((size_t)4 << 20) // payload of 1 MB, its context, its record

static struct {
    pthread_mutex_t lock;
    struct engine *engine;
    struct store *store;
    struct map functions; // key -> struct async_function
    struct map loaded;    // decimal id -> event: waiting or running
    struct heap turns;    // functions by the due time of their next event
    struct loop_timer timer;
    struct loop_task arm;
    bool arm_posted, draining, started;
    unsigned running; // events that were dispatched, and refills
} async = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct store *async_store(void)
{
    return async.store;
}

struct engine *async_engine(void)
{
    return async.engine;
}

// ---- events and functions in memory; under the lock ---------------------------------------------

#define ID_CHARS 24

static struct str id_key(int64_t id, char text[static ID_CHARS])
{
    return (struct str){text, (size_t)snprintf(text, ID_CHARS, "%lld", (long long)id)};
}

static struct async_function *function_get(struct str account, struct str region, struct str name)
{
    char key[256];
    int n = snprintf(key, sizeof(key), "%.*s/%.*s/%.*s", STR_ARG(account), STR_ARG(region),
                     STR_ARG(name));
    if (n < 0 || (size_t)n >= sizeof(key))
        return NULL;
    struct async_function *f = map_get(&async.functions, (struct str){key, (size_t)n});
    if (f)
        return f;
    f = calloc(1, sizeof(*f) + (size_t)n);
    if (!f)
        return NULL;
    char *text = (char *)(f + 1);
    memcpy(text, key, (size_t)n);
    f->key = (struct str){text, (size_t)n};
    f->account = (struct str){text, account.len};
    f->region = (struct str){text + account.len + 1, region.len};
    f->name = (struct str){text + account.len + 1 + region.len + 1, name.len};
    f->window = WINDOW_MAX;
    if (map_set(&async.functions, f->key, f, NULL) < 0) {
        free(f);
        return NULL;
    }
    return f;
}

static struct async_event *event_new(const struct stored_event *s)
{
    struct async_event *e = calloc(1, sizeof(*e));

    if (!e)
        return NULL;
    arena_init(&e->arena, MAX_EVENT_BYTES);
    e->stored = *s;
    struct str *strings[] = {&e->stored.account,        &e->stored.region,   &e->stored.function,
                             &e->stored.qualifier,      &e->stored.arn,      &e->stored.payload,
                             &e->stored.client_context, &e->stored.trace_id, &e->stored.request_id,
                             &e->stored.source};
    for (size_t i = 0; i < ARRAY_LEN(strings); i++) {
        struct str from = *strings[i];
        *strings[i] = arena_str(&e->arena, from);
        if (from.ptr && !strings[i]->ptr) {
            arena_finish(&e->arena);
            free(e);
            return NULL;
        }
    }
    return e;
}

static void event_free(struct async_event *e)
{
    arena_finish(&e->arena);
    free(e);
}

// Puts the function where its next event says.
static void function_turn(struct async_function *f)
{
    struct heap_node *first = heap_first(&f->waiting);

    heap_remove(&async.turns, &f->turn);
    if (first && f->in_flight < f->window && !async.draining)
        heap_add(&async.turns, &f->turn, first->key);
}

static bool event_wait(struct async_function *f, struct async_event *e)
{
    e->function = f;
    if (heap_add(&f->waiting, &e->due, e->stored.next_ms) < 0)
        return false;
    function_turn(f);
    return true;
}

// False: not in memory (the store has it, `more` says so).
static bool event_load(struct async_function *f, const struct stored_event *s)
{
    struct async_event *e = event_new(s);
    char id[ID_CHARS];

    if (!e)
        return false;
    struct str key = arena_str(&e->arena, id_key(s->id, id));
    if (!key.ptr || map_set(&async.loaded, key, e, NULL) < 0) {
        event_free(e);
        return false;
    }
    if (event_wait(f, e))
        return true;
    map_remove(&async.loaded, key);
    event_free(e);
    return false;
}

static void event_unload(struct async_event *e)
{
    char id[ID_CHARS];

    map_remove(&async.loaded, id_key(e->stored.id, id));
}

// ---- dispatch
// ------------------------------------------------------------------------------------

static void invocation_done(struct invocation *inv)
{
    struct async_event *e = inv->user;

    work_submit(&e->work);
}

static void outcome_work(struct work *w)
{
    async_outcome_run((struct async_event *)((char *)w - offsetof(struct async_event, work)));
}

static void event_start(struct async_event *e)
{
    struct stored_event *s = &e->stored;
    struct invocation *inv = &e->invocation;

    s->tries++;
    e->work = (struct work){.run = outcome_work};
    memset(&e->unresolved, 0, sizeof(e->unresolved));
    e->resolved = lambda_resolve(async.engine, s->account, s->region, s->function, s->qualifier,
                                 &e->target, &e->unresolved) == 0;
    if (!e->resolved) {
        work_submit(&e->work);
        return;
    }
    struct str trace = recursion_step(&e->arena, s->trace_id, e->target.config->arn, &e->reached);
    if (e->reached > RECURSION_LIMIT) {
        work_submit(&e->work);
        return;
    }
    *inv = (struct invocation){
        .function = e->target.config,
        .payload = s->payload,
        .request_id = s->request_id,
        .invoked_arn = str_from(e->target.arn),
        .client_context = s->client_context,
        .trace_id = trace,
        .done = invocation_done,
        .user = e,
    };
    invocation_submit(inv);
}

static void timer_fired(struct loop_timer *t);

static void arm_run(struct loop_task *t)
{
    (void)t;
    pthread_mutex_lock(&async.lock);
    async.arm_posted = false;
    struct heap_node *first = heap_first(&async.turns);
    int64_t wait = first ? first->key - os_now_ms() : -1;
    pthread_mutex_unlock(&async.lock);
    if (!first) {
        loop_timer_stop(loop_at(0), &async.timer);
        return;
    }
    // Not longer than a minute at a time: the wall clock may be set.
    loop_timer_start(loop_at(0), &async.timer,
                     wait < 0       ? 0
                     : wait > 60000 ? 60000
                                    : wait,
                     timer_fired);
}

static void refill_work(struct work *w);

// Starts what is due. On any thread, without the lock.
static void dispatch(void)
{
    struct async_event *start[START_BATCH];
    unsigned n;

    do {
        n = 0;
        pthread_mutex_lock(&async.lock);
        int64_t now = os_now_ms();
        for (struct heap_node *first; n < START_BATCH && !async.draining &&
                                      (first = heap_first(&async.turns)) && first->key <= now;) {
            struct async_function *f = LIST_ENTRY(first, struct async_function, turn);
            struct heap_node *due = heap_first(&f->waiting);
            heap_remove(&f->waiting, due);
            start[n++] = LIST_ENTRY(due, struct async_event, due);
            f->in_flight++;
            async.running++;
            function_turn(f);
            if (f->more && !f->refilling && f->waiting.n == 0) {
                f->refilling = true;
                async.running++;
                f->refill = (struct work){.run = refill_work};
                work_submit(&f->refill);
            }
        }
        bool post = !async.arm_posted && heap_first(&async.turns) && n < START_BATCH;
        if (post)
            async.arm_posted = true;
        pthread_mutex_unlock(&async.lock);
        if (post)
            loop_post(loop_at(0), &async.arm);
        for (unsigned i = 0; i < n; i++)
            event_start(start[i]);
    } while (n == START_BATCH);
}

static void timer_fired(struct loop_timer *t)
{
    (void)t;
    dispatch();
}

// ---- what the outcome says
// -----------------------------------------------------------------------

static void function_freed(struct async_function *f, bool got_through)
{
    f->in_flight--;
    async.running--;
    if (got_through && f->window < WINDOW_MAX)
        f->window++;
    if (!got_through && f->window > 1)
        f->window = f->window / 2;
    function_turn(f);
}

void async_try_again(struct async_event *e)
{
    bool through = e->stored.throttles == 0;

    pthread_mutex_lock(&async.lock);
    struct async_function *f = e->function;
    function_freed(f, through);
    if (!event_wait(f, e)) { // no memory: the store still has it
        f->more = true;
        f->skipped++;
        event_unload(e);
        event_free(e);
    }
    pthread_mutex_unlock(&async.lock);
    dispatch();
}

void async_finished(struct async_event *e, bool got_through)
{
    pthread_mutex_lock(&async.lock);
    struct async_function *f = e->function;
    function_freed(f, got_through);
    event_unload(e);
    pthread_mutex_unlock(&async.lock);
    event_free(e);
    dispatch();
}

// ---- more in the store than in memory
// ------------------------------------------------------------

struct refill {
    struct async_function *function;
    unsigned seen, added;
};

static void refill_each(void *ctx, const struct stored_event *s)
{
    struct refill *r = ctx;
    char id[ID_CHARS];

    r->seen++;
    pthread_mutex_lock(&async.lock);
    if (!map_get(&async.loaded, id_key(s->id, id)) && event_load(r->function, s))
        r->added++;
    pthread_mutex_unlock(&async.lock);
}

// Events that are done with in the moment between the query and here are read once more and run
// twice: allowed (at least once), and kept rare by the small batch.
static void refill_work(struct work *w)
{
    struct async_function *f =
        (struct async_function *)((char *)w - offsetof(struct async_function, refill));
    struct refill r = {.function = f};
    struct err err = ERR_INIT;

    pthread_mutex_lock(&async.lock);
    uint64_t skipped = f->skipped;
    unsigned limit = LOADED_MAX + f->in_flight;
    pthread_mutex_unlock(&async.lock);
    int rc =
        event_store_load(async.store, f->account, f->region, f->name, limit, refill_each, &r, &err);
    if (rc < 0)
        log_error("asynchronous events of %.*s: %s", STR_ARG(f->name), err.message);
    pthread_mutex_lock(&async.lock);
    f->refilling = false;
    if (rc == 0 && r.seen < limit && f->skipped == skipped)
        f->more = false;
    async.running--;
    function_turn(f);
    pthread_mutex_unlock(&async.lock);
    dispatch();
}

// ---- acceptance
// ----------------------------------------------------------------------------------

static int accept_event(struct stored_event *s, struct err *err)
{
    if (!async.started)
        return err_set(err, -EAGAIN, "the queue of asynchronous invocations is not open yet");
    s->accepted_ms = s->next_ms = os_now_ms();
    int r = event_store_add(async.store, s, &s->id, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&async.lock);
    struct async_function *f = function_get(s->account, s->region, s->function);
    if (f && (f->more || f->waiting.n >= LOADED_MAX || !event_load(f, s))) {
        f->more = true;
        f->skipped++;
    }
    pthread_mutex_unlock(&async.lock);
    dispatch();
    return 0;
}

static int accept_invoke(void *ctx, const struct lambda_async_event *e, struct err *err)
{
    (void)ctx;
    struct stored_event s = {
        .account = e->account,
        .region = e->region,
        .function = e->function,
        .qualifier = e->qualifier,
        .arn = e->arn,
        .payload = e->payload.ptr ? e->payload : STR(""),
        .client_context = e->client_context,
        .trace_id = e->trace_id,
        .request_id = e->request_id,
        .source = e->source.ptr ? e->source : STR("invoke"),
    };
    return accept_event(&s, err);
}

int async_accept_for(struct engine *e, const struct lambda_name *name, struct str arn,
                     struct str payload, struct str trace_id, struct err *err)
{
    char id[UUID_CHARS + 1];
    struct lambda_target target;
    uint8_t random[16];

    int r =
        lambda_resolve(e, name->account, name->region, name->name, name->qualifier, &target, err);
    if (r < 0)
        return r;
    function_config_unref(target.config);
    os_random(random, sizeof(random));
    uuid_format(random, id);
    struct stored_event s = {
        .account = name->account,
        .region = name->region,
        .function = name->name,
        .qualifier = name->qualifier,
        .arn = arn,
        .payload = payload,
        .trace_id = trace_id,
        .request_id = str_from(id),
        .source = STR("lambda.amazonaws.com"),
    };
    return accept_event(&s, err);
}

int async_replay(int64_t failed_id, struct err *err)
{
    struct stored_event s;
    struct arena a;

    arena_init(&a, MAX_EVENT_BYTES);
    int r = event_store_replay(async.store, failed_id, os_now_ms(), &a, &s, err);
    if (r == 0) {
        pthread_mutex_lock(&async.lock);
        struct async_function *f = function_get(s.account, s.region, s.function);
        if (f && (f->more || !event_load(f, &s))) {
            f->more = true;
            f->skipped++;
        }
        pthread_mutex_unlock(&async.lock);
        dispatch();
    }
    arena_finish(&a);
    return r;
}

// ---- life
// ----------------------------------------------------------------------------------------

int async_register(struct engine *e)
{
    async.engine = e;
    lambda_set_async_accept(accept_invoke, NULL);
    return 0;
}

static void found_function(void *ctx, struct str account, struct str region, struct str function,
                           int64_t n)
{
    (void)ctx;
    (void)n;
    pthread_mutex_lock(&async.lock);
    struct async_function *f = function_get(account, region, function);
    if (f) {
        f->more = f->refilling = true;
        async.running++;
        f->refill = (struct work){.run = refill_work};
        work_submit(&f->refill);
    }
    pthread_mutex_unlock(&async.lock);
}

int async_start(struct engine *e, struct store *s, struct err *err)
{
    async.engine = e;
    async.store = s;
    async.draining = false;
    async.arm = (struct loop_task){.run = arm_run};
    async.started = true;
    return event_store_functions(s, found_function, NULL, err);
}

void async_drain(void)
{
    pthread_mutex_lock(&async.lock);
    async.draining = true;
    pthread_mutex_unlock(&async.lock);
}

unsigned async_busy(void)
{
    pthread_mutex_lock(&async.lock);
    unsigned n = async.running;
    pthread_mutex_unlock(&async.lock);
    return n;
}

void async_stop(void)
{
    const struct map_entry *entry;
    size_t at = 0;

    async.started = false;
    while ((entry = map_next(&async.loaded, &at)))
        event_free(entry->value);
    map_finish(&async.loaded);
    at = 0;
    while ((entry = map_next(&async.functions, &at))) {
        struct async_function *f = entry->value;
        heap_finish(&f->waiting);
        free(f);
    }
    map_finish(&async.functions);
    heap_finish(&async.turns);
    async.store = NULL;
}

void async_describe(struct json_writer *w)
{
    const struct map_entry *entry;
    size_t at = 0;

    pthread_mutex_lock(&async.lock);
    while ((entry = map_next(&async.functions, &at))) {
        const struct async_function *f = entry->value;
        const struct heap_node *first = heap_first(&f->waiting);
        jw_object_begin(w);
        jw_member_str(w, "account", f->account);
        jw_member_str(w, "region", f->region);
        jw_member_str(w, "function", f->name);
        jw_member_i64(w, "running", f->in_flight);
        jw_member_i64(w, "waiting", (int64_t)f->waiting.n);
        jw_member_bool(w, "moreStored", f->more);
        if (first)
            jw_member_i64(w, "nextMs", first->key);
        jw_object_end(w);
    }
    pthread_mutex_unlock(&async.lock);
}
