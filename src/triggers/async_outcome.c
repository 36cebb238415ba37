// async_outcome.c - what becomes of a try of an asynchronous invocation.
//
//   answered                  → destination on success, done
//   function error            → again after 1, then 2 minutes; then given up (RetriesExhausted)
//   throttled, our own error  → again with back-off from 1 s to 5 min; until too old
//   older than its maximum    → given up (EventAgeExceeded)
//   a loop of functions       → given up (RecursiveInvocationException)
//   function deleted          → dropped, as on AWS
// Given up: destination on failure, dead-letter queue, and kept for the operator.

#include "triggers/async_impl.h"

#include "os/log.h"
#include "os/random.h"
#include "os/time.h"
#include "triggers/destinations.h"
#include "triggers/recursion.h"

#include <errno.h>
#include <stdio.h>

#define DEFAULT_MAX_AGE_S 21600
#define DEFAULT_MAX_RETRIES 2
#define RETRY_AFTER_MS 60000 // times the number of errors so far: after 1, after 2 minutes
#define BACKOFF_FIRST_MS 1000
#define BACKOFF_MAX_MS 300000
#define MAX_RECORD_BYTES ((size_t)16 << 20)

struct verdict {
    bool done, give_up;
    const char *condition;
    int64_t after_ms;
};

static int64_t backoff_ms(unsigned throttles)
{
    int64_t ms = BACKOFF_FIRST_MS;

    for (unsigned i = 1; i < throttles && ms < BACKOFF_MAX_MS; i++)
        ms *= 2;
    if (ms > BACKOFF_MAX_MS)
        ms = BACKOFF_MAX_MS;
    return ms / 2 + (int64_t)os_random_below((uint64_t)(ms / 2) + 1); // half of it is jitter
}

static struct verdict judge(struct async_event *e, const struct lambda_async_settings *set)
{
    struct stored_event *s = &e->stored;
    int32_t retries = set->max_retries >= 0 ? set->max_retries : DEFAULT_MAX_RETRIES;
    int64_t max_age_ms = 1000LL * (set->max_age_s > 0 ? set->max_age_s : DEFAULT_MAX_AGE_S);
    struct verdict v = {0};

    if (e->reached > RECURSION_LIMIT)
        return (struct verdict){.give_up = true, .condition = "RecursiveInvocationException"};
    if (e->resolved && e->invocation.status == INVOCATION_OK)
        return (struct verdict){.done = true, .condition = "Success"};
    if (e->resolved && e->invocation.status == INVOCATION_FUNCTION_ERROR) {
        s->errors++;
        s->throttles = 0;
        if (s->errors > (unsigned)retries)
            return (struct verdict){.give_up = true, .condition = "RetriesExhausted"};
        v.after_ms = (int64_t)RETRY_AFTER_MS * s->errors;
    } else {
        s->throttles++;
        v.after_ms = backoff_ms(s->throttles);
    }
    v.after_ms = engine_scaled_ms(async_engine(), v.after_ms);
    if (os_now_ms() + v.after_ms - s->accepted_ms > engine_scaled_ms(async_engine(), max_age_ms))
        return (struct verdict){.give_up = true, .condition = "EventAgeExceeded"};
    return v;
}

static void deliver(struct async_event *e, const struct async_outcome *o, struct str arn,
                    bool dead_letter)
{
    struct err err = ERR_INIT;
    struct buf record;
    int r;

    if (arn.len == 0)
        return;
    if (dead_letter) {
        r = dead_letter_send(async_engine(), arn, o, &err);
    } else {
        buf_init(&record, MAX_RECORD_BYTES);
        destination_record(o, &record);
        r = record.failed ? err_set(&err, -ENOMEM, "the record is too big")
                          : destination_send(async_engine(), arn, buf_str(&record),
                                             e->invocation.trace_id, &err);
        buf_finish(&record);
    }
    if (r < 0)
        log_warn("event %.*s of %.*s: its outcome could not be sent to %.*s: %s",
                 STR_ARG(o->event->request_id), STR_ARG(o->event->function), STR_ARG(arn),
                 err.message);
}

static int give_up(struct async_event *e, const struct async_outcome *o,
                   const struct lambda_async_settings *set, struct err *err)
{
    const struct failed_event f = {
        .event = e->stored,
        .condition = str_from(o->condition),
        .error_type = e->resolved ? e->invocation.error_type : STR_NULL,
        .response = o->response,
        .failed_ms = o->now_ms,
    };

    deliver(e, o, set->on_failure, false);
    deliver(e, o, set->dead_letter, true);
    return event_store_fail(async_store(), &f, err);
}

static int settle(struct async_event *e, const struct verdict *v,
                  const struct lambda_async_settings *set, struct err *err)
{
    struct invocation *inv = &e->invocation;
    bool answered = e->resolved && e->reached <= RECURSION_LIMIT &&
                    (inv->status == INVOCATION_OK || inv->status == INVOCATION_FUNCTION_ERROR);
    char arn[400];
    const struct async_outcome o = {
        .event = &e->stored,
        .condition = v->condition,
        .arn = {arn, 0},
        .executed_version = answered ? inv->executed_version : STR_NULL,
        .answered = answered,
        .function_error = answered ? inv->function_error : NULL,
        .response = answered ? inv->response : STR_NULL,
        .now_ms = os_now_ms(),
    };
    struct async_outcome with_arn = o;
    struct str full = e->resolved ? str_from(e->target.arn) : e->stored.arn;
    bool unqualified = e->resolved && str_eq(full, e->target.config->arn);

    int n = snprintf(arn, sizeof(arn), "%.*s%s", STR_ARG(full), unqualified ? ":$LATEST" : "");
    with_arn.arn.len = n > 0 && (size_t)n < sizeof(arn) ? (size_t)n : 0;
    if (v->give_up)
        return give_up(e, &with_arn, set, err);
    deliver(e, &with_arn, set->on_success, false);
    return event_store_done(async_store(), e->stored.id, err);
}

static void release_invocation(struct async_event *e)
{
    if (!e->resolved)
        return;
    if (e->reached <= RECURSION_LIMIT)
        invocation_finish(&e->invocation);
    function_config_unref(e->target.config);
    e->resolved = false;
}

void async_outcome_run(struct async_event *e)
{
    struct stored_event *s = &e->stored;
    struct lambda_async_settings set = {.max_age_s = -1, .max_retries = -1};
    struct err err = ERR_INIT, ignored = ERR_INIT;
    int r = 0;

    if (!e->resolved && e->unresolved.aws && e->unresolved.aws->status == 404) {
        log_info("event %.*s: its function %.*s is gone", STR_ARG(s->request_id),
                 STR_ARG(s->function));
        event_store_done(async_store(), s->id, &err);
        async_finished(e, true);
        return;
    }
    lambda_async_settings(async_engine(), &e->arena, s->account, s->region, s->function,
                          s->qualifier, &set, &ignored);
    struct verdict v = judge(e, &set);
    if (v.done || v.give_up) {
        bool got_through = e->resolved && e->invocation.status <= INVOCATION_FUNCTION_ERROR;
        r = settle(e, &v, &set, &err);
        if (r == 0) {
            release_invocation(e);
            async_finished(e, got_through);
            return;
        }
        // The store could not be written: the event is still there, so try it all again later.
        log_error("event %.*s: %s", STR_ARG(s->request_id), err.message);
        v.after_ms = BACKOFF_FIRST_MS;
    }
    s->next_ms = os_now_ms() + v.after_ms;
    release_invocation(e);
    if (r == 0 && event_store_retry(async_store(), s, &err) < 0)
        log_error("event %.*s: %s", STR_ARG(s->request_id), err.message);
    async_try_again(e);
}
