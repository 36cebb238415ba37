// sqs_source.c - queues as event sources.
//
// A source has pollers, each of which goes round on worker threads:
//
//   poller_collect ──nothing there──▶ gone (poller_end)
//        │  ▲
//        │  └── window not over: sleeps (poller_sleep)
//        ▼ batch full, or the window is over
//   poller_deliver ──▶ the function ──▶ poller_delivered ──▶ poller_collect
//        ▲                                   │ throttled: again with back-off
//        └───────────────────────────────────┘
//
// Nothing polls while the queue is empty: the queue says when there is something (available()),
// and the source's timer waits for the moment at which a hidden message becomes visible again.
// A poller that finds a full hand brings in another one, up to the mapping's limit.
//
// Messages that failed are left alone: they come back when their visibility timeout is over, and
// the queue's own redrive policy moves them away after enough receives, as on AWS.

#include "triggers/event_source.h"

#include "base/base64.h"
#include "base/list.h"
#include "os/log.h"
#include "os/time.h"
#include "services/sqs/sqs.h"
#include "triggers/delivery.h"
#include "triggers/recursion.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define DEFAULT_POLLERS 16         // without MaximumConcurrency
#define MAX_BATCH_BYTES (4u << 20) // of bodies: the event stays below 6 MB with its quoting
#define MAX_POLLER_BYTES ((size_t)256 << 20)
#define MAX_EVENT_BYTES ((size_t)64 << 20)
#define WINDOW_STEP_MS 250 // how often a poller with a window looks for more
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 5000
#define FAR_MS (60 * 1000) // the wall clock may be set: look again after a minute

struct source {
    struct list link; // in sqs.sources
    struct mapping *mapping;
    pthread_mutex_t lock;
    unsigned pollers, collecting, max_pollers;
    bool news; // something became available while a poller was looking
    atomic_bool closed, paused;
    int64_t next_ms; // when to look again; INT64_MAX: when told
    struct loop_timer timer;
    struct loop_task arm;
    bool arm_posted;
    unsigned refs; // pollers, the posted task, the mapping
};

struct poller {
    struct source *source;
    struct arena arena;
    struct sqs_message_view *messages; // batch_size of them
    unsigned n;
    size_t bytes;
    int64_t window_ends_ms, received_ms;
    unsigned throttled;
    bool full_hand; // the last receive brought as many as asked for
    struct buf event;
    struct delivery delivery;
    struct work work;
    struct loop_timer timer;
    struct loop_task task;
    int64_t sleep_ms;
    void (*after_sleep)(struct work *w);
};

static struct {
    pthread_mutex_t lock;
    struct list sources;
} sqs = {.lock = PTHREAD_MUTEX_INITIALIZER, .sources = LIST_INIT(sqs.sources)};

static void poller_collect(struct work *w);

// ---- the source: when to look
// --------------------------------------------------------------------

static void source_unref(struct source *s)
{
    pthread_mutex_lock(&s->lock);
    bool last = --s->refs == 0;
    pthread_mutex_unlock(&s->lock);
    if (!last)
        return;
    struct mapping *m = s->mapping;
    pthread_mutex_destroy(&s->lock);
    free(s);
    mapping_closed(m);
}

// Under the lock. False when there is no memory or no room for another.
static bool poller_start(struct source *s)
{
    if (s->closed || s->paused || s->pollers >= s->max_pollers)
        return false;
    struct poller *p = calloc(1, sizeof(*p));
    if (!p)
        return false;
    arena_init(&p->arena, MAX_POLLER_BYTES);
    buf_init(&p->event, MAX_EVENT_BYTES);
    p->source = s;
    s->pollers++;
    s->collecting++;
    s->refs++;
    mapping_batch_begins();
    p->work = (struct work){.run = poller_collect};
    work_submit(&p->work);
    return true;
}

static void timer_fired(struct loop_timer *t)
{
    struct source *s = (struct source *)((char *)t - offsetof(struct source, timer));

    pthread_mutex_lock(&s->lock);
    s->next_ms = INT64_MAX;
    if (s->collecting > 0)
        s->news = true;
    else
        poller_start(s);
    pthread_mutex_unlock(&s->lock);
}

static void arm_run(struct loop_task *t)
{
    struct source *s = (struct source *)((char *)t - offsetof(struct source, arm));

    pthread_mutex_lock(&s->lock);
    s->arm_posted = false;
    bool idle = s->next_ms == INT64_MAX || s->closed || s->paused;
    int64_t wait = s->next_ms - os_now_ms();
    pthread_mutex_unlock(&s->lock);
    if (idle)
        loop_timer_stop(loop_at(0), &s->timer);
    else
        loop_timer_start(loop_at(0), &s->timer,
                         wait < 0        ? 0
                         : wait > FAR_MS ? FAR_MS
                                         : wait,
                         timer_fired);
    source_unref(s);
}

// Under the lock.
static void source_look_at(struct source *s, int64_t at_ms)
{
    if (at_ms < s->next_ms)
        s->next_ms = at_ms;
    if (s->arm_posted)
        return;
    s->arm_posted = true;
    s->refs++;
    loop_post(loop_at(0), &s->arm);
}

static void source_available(struct source *s, int64_t at_ms)
{
    pthread_mutex_lock(&s->lock);
    if (at_ms > os_now_ms())
        source_look_at(s, at_ms);
    else if (s->collecting > 0)
        s->news = true;
    else
        poller_start(s);
    pthread_mutex_unlock(&s->lock);
}

static void available(void *ctx, struct str queue_arn, int64_t at_ms)
{
    (void)ctx;
    pthread_mutex_lock(&sqs.lock);
    list_each(l, &sqs.sources)
    {
        struct source *s = LIST_ENTRY(l, struct source, link);
        if (str_eq(s->mapping->source_arn, queue_arn))
            source_available(s, at_ms);
    }
    pthread_mutex_unlock(&sqs.lock);
}

void sqs_source_register(void)
{
    sqs_on_available(available, NULL);
}

static int source_open(struct mapping *m, void **out, struct err *err)
{
    struct source *s = calloc(1, sizeof(*s));

    if (!s)
        return err_set(err, -ENOMEM, "out of memory");
    pthread_mutex_init(&s->lock, NULL);
    s->mapping = m;
    s->refs = 1;
    s->next_ms = INT64_MAX;
    s->arm = (struct loop_task){.run = arm_run};
    s->max_pollers = m->maximum_concurrency > 0 ? m->maximum_concurrency : DEFAULT_POLLERS;
    *out = s;
    pthread_mutex_lock(&sqs.lock);
    list_append(&sqs.sources, &s->link);
    pthread_mutex_unlock(&sqs.lock);
    source_available(s, 0); // what was there before
    return 0;
}

static void source_pause(void *source)
{
    struct source *s = source;

    pthread_mutex_lock(&s->lock);
    s->paused = true;
    pthread_mutex_unlock(&s->lock);
}

static void source_close(void *source)
{
    struct source *s = source;

    pthread_mutex_lock(&sqs.lock);
    list_remove(&s->link);
    pthread_mutex_unlock(&sqs.lock);
    pthread_mutex_lock(&s->lock);
    s->closed = true;
    source_look_at(s, INT64_MAX); // stops the timer
    pthread_mutex_unlock(&s->lock);
    source_unref(s);
}

const struct event_source_ops sqs_source = {
    .service = "sqs",
    .open = source_open,
    .close = source_close,
    .pause = source_pause,
};

// ---- the event
// -----------------------------------------------------------------------------------

static void attributes_member(struct json_writer *w, const struct sqs_message_view *m)
{
    jw_key(w, STR("attributes"));
    jw_object_begin(w);
    jw_key(w, STR("ApproximateReceiveCount"));
    jw_strf(w, "%lld", (long long)m->receive_count);
    if (m->trace_header.ptr)
        jw_member_str(w, "AWSTraceHeader", m->trace_header);
    jw_key(w, STR("SentTimestamp"));
    jw_strf(w, "%lld", (long long)m->sent_ms);
    if (m->sequence_number.ptr)
        jw_member_str(w, "SequenceNumber", m->sequence_number);
    if (m->group_id.ptr)
        jw_member_str(w, "MessageGroupId", m->group_id);
    jw_member_str(w, "SenderId", m->sender_id);
    if (m->deduplication_id.ptr)
        jw_member_str(w, "MessageDeduplicationId", m->deduplication_id);
    jw_key(w, STR("ApproximateFirstReceiveTimestamp"));
    jw_strf(w, "%lld", (long long)m->first_received_ms);
    if (m->dead_letter_source_arn.ptr)
        jw_member_str(w, "DeadLetterQueueSourceArn", m->dead_letter_source_arn);
    jw_object_end(w);
}

static void message_attributes_member(struct json_writer *w, struct arena *a,
                                      const struct sqs_message_view *m)
{
    jw_key(w, STR("messageAttributes"));
    jw_object_begin(w);
    for (size_t i = 0; i < m->n_attributes; i++) {
        const struct sqs_attribute *at = &m->attributes[i];
        bool binary = str_starts(at->type, STR("Binary"));
        jw_key(w, at->name);
        jw_object_begin(w);
        jw_member_str(w, binary ? "binaryValue" : "stringValue",
                      binary ? base64_arena(a, at->value) : at->value);
        jw_key(w, STR("stringListValues"));
        jw_array_begin(w);
        jw_array_end(w);
        jw_key(w, STR("binaryListValues"));
        jw_array_begin(w);
        jw_array_end(w);
        jw_member_str(w, "dataType", at->type);
        jw_object_end(w);
    }
    jw_object_end(w);
}

// One record; `parsed` puts the body in as JSON, for the filters only.
static void write_record(struct json_writer *w, struct arena *a, const struct mapping *mapping,
                         const struct sqs_message_view *m, bool parsed)
{
    jw_object_begin(w);
    jw_member_str(w, "messageId", m->message_id);
    jw_member_str(w, "receiptHandle", m->receipt_handle);
    jw_key(w, STR("body"));
    if (parsed)
        jw_raw(w, m->body);
    else
        jw_str(w, m->body);
    attributes_member(w, m);
    message_attributes_member(w, a, m);
    jw_member_str(w, "md5OfBody", m->md5_of_body);
    if (m->md5_of_attributes.ptr)
        jw_member_str(w, "md5OfMessageAttributes", m->md5_of_attributes);
    jw_member_str(w, "eventSource", STR("aws:sqs"));
    jw_member_str(w, "eventSourceARN", mapping->source_arn);
    jw_member_str(w, "awsRegion", mapping->region);
    jw_object_end(w);
}

// A body that is a JSON object is matched as one, any other as text. (AWS drops a message whose
// body is of the other kind than the filter's; a pattern on a field of a text never matches.)
static bool message_wanted(const struct mapping *mapping, const struct sqs_message_view *m)
{
    const struct json_value *body, *record;
    bool wanted = false;
    struct arena a;
    struct buf b;

    if (mapping->n_filters == 0)
        return true;
    arena_init(&a, MAX_EVENT_BYTES);
    buf_init(&b, MAX_EVENT_BYTES);
    bool object = json_parse(&a, m->body, &body, NULL) == 0 && json_is(body, JSON_OBJECT);
    struct json_writer w = json_writer(&b);
    write_record(&w, &a, mapping, m, object);
    if (!b.failed && json_parse(&a, buf_str(&b), &record, NULL) == 0)
        wanted = mapping_wants(mapping, record);
    buf_finish(&b);
    arena_finish(&a);
    return wanted;
}

// ---- collecting
// ----------------------------------------------------------------------------------

static void poller_end(struct poller *p, int64_t next_ms)
{
    struct source *s = p->source;

    arena_finish(&p->arena);
    buf_finish(&p->event);
    free(p);
    pthread_mutex_lock(&s->lock);
    s->pollers--;
    s->collecting--;
    bool start = s->news && s->collecting == 0;
    s->news = s->news && !start;
    if (start)
        poller_start(s);
    else if (next_ms != INT64_MAX)
        source_look_at(s, next_ms);
    pthread_mutex_unlock(&s->lock);
    mapping_batch_ended();
    source_unref(s);
}

static void delete_messages(struct poller *p, const struct str *receipts, unsigned n)
{
    struct err err = ERR_INIT;

    for (unsigned at = 0; at < n; at += SQS_MAX_BATCH) {
        unsigned k = n - at < SQS_MAX_BATCH ? n - at : SQS_MAX_BATCH;
        if (sqs_internal_delete(p->source->mapping->source_arn, receipts + at, k, &err) < 0)
            log_warn("mapping %.*s: %s", STR_ARG(p->source->mapping->uuid), err.message);
    }
}

// Adds up to `max` messages to the batch. Answers how many were received, or negative.
static int receive(struct poller *p, unsigned max, int64_t *next_ms, struct err *err)
{
    const struct mapping *m = p->source->mapping;
    struct str unwanted[SQS_MAX_BATCH];
    unsigned got = 0, n_unwanted = 0;

    int r = sqs_internal_receive(m->source_arn, max, -1, &p->arena, p->messages + p->n, &got,
                                 next_ms, err);
    if (r < 0)
        return r;
    for (unsigned i = 0, at = p->n; i < got; i++, at++) {
        const struct sqs_message_view *v = &p->messages[at];
        if (message_wanted(m, v)) {
            p->bytes += v->body.len;
            p->messages[p->n++] = *v;
        } else {
            unwanted[n_unwanted++] = v->receipt_handle;
        }
    }
    delete_messages(p, unwanted, n_unwanted);
    p->full_hand = got == max;
    return (int)got;
}

static void poller_woken(struct loop_timer *t)
{
    struct poller *p = (struct poller *)((char *)t - offsetof(struct poller, timer));

    p->work = (struct work){.run = p->after_sleep};
    work_submit(&p->work);
}

static void poller_sleep_task(struct loop_task *t)
{
    struct poller *p = (struct poller *)((char *)t - offsetof(struct poller, task));

    loop_timer_start(loop_at(0), &p->timer, p->sleep_ms, poller_woken);
}

static void poller_sleep(struct poller *p, int64_t ms, void (*then)(struct work *w))
{
    p->sleep_ms = ms;
    p->after_sleep = then;
    p->task = (struct loop_task){.run = poller_sleep_task};
    loop_post(loop_at(0), &p->task);
}

static void poller_deliver(struct work *w);

static void poller_collect(struct work *w)
{
    struct poller *p = (struct poller *)((char *)w - offsetof(struct poller, work));
    struct source *s = p->source;
    const unsigned size = s->mapping->batch_size;
    struct err err = ERR_INIT;
    int64_t next_ms = INT64_MAX;
    int r = 0;

    if (!p->messages) {
        p->messages = arena_new_array(&p->arena, struct sqs_message_view, size + SQS_MAX_BATCH);
        if (!p->messages) {
            poller_end(p, os_now_ms() + BACKOFF_MAX_MS);
            return;
        }
    }
    while (p->n < size && p->bytes < MAX_BATCH_BYTES) {
        unsigned want = size - p->n < SQS_MAX_BATCH ? size - p->n : SQS_MAX_BATCH;
        pthread_mutex_lock(&s->lock);
        s->news = false;
        bool stop = s->closed || s->paused;
        pthread_mutex_unlock(&s->lock);
        r = stop ? 0 : receive(p, want, &next_ms, &err);
        if (r > 0 && p->window_ends_ms == 0) {
            p->received_ms = os_now_ms();
            p->window_ends_ms = p->received_ms + s->mapping->window_ms;
        }
        if (r <= 0 || (unsigned)r < want)
            break;
    }
    if (r < 0) {
        mapping_report(s->mapping, MAPPING_PROBLEM, err.message);
        next_ms = os_now_ms() + BACKOFF_MAX_MS;
    }
    if (p->n == 0 && r <= 0) {
        poller_end(p, next_ms);
        return;
    }
    if (p->n == 0) { // all of them filtered out: look on
        p->work = (struct work){.run = poller_collect};
        work_submit(&p->work);
        return;
    }
    int64_t left = p->window_ends_ms - os_now_ms();
    if (left > 0 && r >= 0 && p->n < size && p->bytes < MAX_BATCH_BYTES && !s->paused) {
        poller_sleep(p, left < WINDOW_STEP_MS ? left : WINDOW_STEP_MS, poller_collect);
        return;
    }
    poller_deliver(w);
}

// ---- delivering
// ----------------------------------------------------------------------------------

static void poller_delivered(struct delivery *d);

// The trace of the chain that reached this function most often: the one to be counted on.
static struct str batch_trace(struct poller *p, unsigned *reached)
{
    struct str trace = STR_NULL;

    *reached = 0;
    for (unsigned i = 0; i < p->n; i++) {
        struct str header = p->messages[i].trace_header;
        unsigned count;
        if (!header.ptr)
            continue;
        struct str function = p->source->mapping->function_arn;
        struct str next = recursion_step(&p->arena, header, function, &count);
        if (count > *reached) {
            *reached = count;
            trace = next;
        }
    }
    return trace;
}

static void drop_loop(struct poller *p)
{
    log_warn("mapping %.*s: a loop of functions was stopped: this chain of messages has run %.*s "
             "%d times",
             STR_ARG(p->source->mapping->uuid), STR_ARG(p->source->mapping->function_arn),
             RECURSION_LIMIT);
    mapping_report(p->source->mapping, MAPPING_PROBLEM, "Recursive loop detected");
}

static void poller_next(struct poller *p)
{
    struct source *s = p->source;

    arena_finish(&p->arena);
    arena_init(&p->arena, MAX_POLLER_BYTES);
    buf_reset(&p->event);
    p->messages = NULL;
    p->n = 0;
    p->bytes = 0;
    p->throttled = 0;
    p->window_ends_ms = 0;
    pthread_mutex_lock(&s->lock);
    s->collecting++;
    pthread_mutex_unlock(&s->lock);
    p->work = (struct work){.run = poller_collect};
    work_submit(&p->work);
}

static void deliver_again(struct work *w)
{
    struct poller *p = (struct poller *)((char *)w - offsetof(struct poller, work));

    delivery_start(&p->delivery);
}

static void poller_deliver(struct work *w)
{
    struct poller *p = (struct poller *)((char *)w - offsetof(struct poller, work));
    struct source *s = p->source;
    struct json_writer jw = json_writer(&p->event);
    unsigned reached;

    pthread_mutex_lock(&s->lock);
    s->collecting--;
    if (s->collecting == 0 && (s->news || p->full_hand)) {
        s->news = false;
        poller_start(s);
    }
    pthread_mutex_unlock(&s->lock);

    jw_object_begin(&jw);
    jw_key(&jw, STR("Records"));
    jw_array_begin(&jw);
    for (unsigned i = 0; i < p->n; i++)
        write_record(&jw, &p->arena, s->mapping, &p->messages[i], false);
    jw_array_end(&jw);
    jw_object_end(&jw);
    struct str trace = batch_trace(p, &reached);
    if (p->event.failed || reached > RECURSION_LIMIT) {
        if (reached > RECURSION_LIMIT)
            drop_loop(p);
        poller_next(p);
        return;
    }
    p->delivery = (struct delivery){
        .mapping = s->mapping,
        .payload = buf_str(&p->event),
        .trace_id = trace,
        .done = poller_delivered,
    };
    delivery_start(&p->delivery);
}

// How long a batch may be kept for a function that is throttled: half of the queue's visibility.
static int64_t keep_ms(struct poller *p)
{
    struct sqs_queue_info info;
    struct err err = ERR_INIT;

    if (sqs_internal_info(p->source->mapping->source_arn, &p->arena, &info, &err) < 0)
        return 0;
    return info.visibility_timeout_ms / 2;
}

static void not_made(struct poller *p)
{
    int64_t wait = BACKOFF_FIRST_MS;

    for (unsigned i = 0; i < p->throttled && wait < BACKOFF_MAX_MS; i++)
        wait *= 2;
    if (wait > BACKOFF_MAX_MS)
        wait = BACKOFF_MAX_MS;
    p->throttled++;
    mapping_report(p->source->mapping, MAPPING_PROBLEM, p->delivery.problem);
    delivery_finish(&p->delivery);
    if (!p->source->closed && !p->source->paused &&
        os_now_ms() + wait - p->received_ms < keep_ms(p))
        poller_sleep(p, wait, deliver_again);
    else
        poller_next(p);
}

static void poller_delivered(struct delivery *d)
{
    struct poller *p = (struct poller *)((char *)d - offsetof(struct poller, delivery));
    struct mapping *m = p->source->mapping;

    if (d->outcome == DELIVERY_NOT_MADE) {
        not_made(p);
        return;
    }
    bool ok = d->outcome == DELIVERY_OK;
    if (ok) {
        struct str *ids = arena_new_array(&p->arena, struct str, p->n);
        struct str *done = arena_new_array(&p->arena, struct str, p->n);
        bool *failed = arena_new_array(&p->arena, bool, p->n);
        unsigned n_done = 0;
        for (unsigned i = 0; ids && i < p->n; i++)
            ids[i] = p->messages[i].message_id;
        if (ids && done && failed && m->report_item_failures)
            ok = delivery_failed_items(&p->arena, d->response, ids, p->n, failed);
        for (unsigned i = 0; ok && done && failed && i < p->n; i++)
            if (!failed[i])
                done[n_done++] = p->messages[i].receipt_handle;
        delete_messages(p, done, n_done);
    }
    mapping_report(m, ok ? MAPPING_OK : MAPPING_FUNCTION_FAILED, NULL);
    delivery_finish(d);
    poller_next(p);
}
