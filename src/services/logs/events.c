// events.c - putting, getting and filtering log events.
#include "services/logs/logs_impl.h"

#include "base/cleanup.h"
#include "base/hash.h"
#include "services/logs/log_read.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

// PutLogEvents: a batch has at most so many bytes (26 more per event), spans at most a day, and
// takes events from 14 days ago to two hours ahead.
#define BATCH_MAX_BYTES ((size_t)1048576)
#define HOUR_MS ((int64_t)3600 * 1000)
#define DAY_MS (24 * HOUR_MS)
#define TOO_OLD_MS (14 * DAY_MS)
#define TOO_NEW_MS (2 * HOUR_MS)

static int check_batch(const struct logs_input_log_events *in, struct err *err)
{
    size_t bytes = 0;
    for (size_t i = 0; i < in->n; i++) {
        if (i > 0 && in->ptr[i].timestamp < in->ptr[i - 1].timestamp)
            return err_aws(err, &LOGS_INVALID_PARAMETER_EXCEPTION,
                           "Log events in a single PutLogEvents request must be in chronological "
                           "order.");
        size_t size = in->ptr[i].message.len + LOG_EVENT_OVERHEAD_BYTES;
        if (size > BATCH_MAX_BYTES)
            return err_aws(err, &LOGS_INVALID_PARAMETER_EXCEPTION,
                           "Log event too large: %zu bytes exceeds limit of %zu", size,
                           BATCH_MAX_BYTES);
        bytes += size;
    }
    if (bytes > BATCH_MAX_BYTES)
        return err_aws(err, &LOGS_INVALID_PARAMETER_EXCEPTION,
                       "Upload too large: %zu bytes exceeds limit of %zu", bytes, BATCH_MAX_BYTES);
    if (in->n > 0 && in->ptr[in->n - 1].timestamp - in->ptr[0].timestamp > DAY_MS)
        return err_aws(err, &LOGS_INVALID_PARAMETER_EXCEPTION,
                       "The batch of log events in a single PutLogEvents request cannot span more "
                       "than 24 hours.");
    return 0;
}

// Events before it are past the retention.
static int64_t retention_start(struct log_group *g, int64_t now_ms)
{
    pthread_mutex_lock(&g->lock);
    int64_t days = g->retention_days;
    pthread_mutex_unlock(&g->lock);
    return days > 0 ? now_ms - days * DAY_MS : 0;
}

// What of the batch is taken: [*from, *to); the rest is told in rejectedLogEventsInfo.
static int choose(struct call *c, struct log_group *g, const struct logs_input_log_events *in,
                  struct logs_put_log_events_out *out, size_t *from, size_t *to, struct err *err)
{
    int64_t oldest = c->now_ms - TOO_OLD_MS, newest = c->now_ms + TOO_NEW_MS;
    int64_t expired = retention_start(g, c->now_ms);
    struct logs_rejected_log_events_info info = {0};
    size_t old = 0, gone = 0, end = in->n;
    while (old < in->n && in->ptr[old].timestamp < oldest)
        old++;
    while (gone < in->n && in->ptr[gone].timestamp < expired)
        gone++;
    while (end > 0 && in->ptr[end - 1].timestamp > newest)
        end--;
    if (old > 0)
        WIRE_SET(&info, too_old_log_event_end_index, (int64_t)old);
    if (gone > 0)
        WIRE_SET(&info, expired_log_event_end_index, (int64_t)gone);
    if (end < in->n)
        WIRE_SET(&info, too_new_log_event_start_index, (int64_t)end);
    if (old > 0 || gone > 0 || end < in->n) {
        out->rejected_log_events_info = arena_new(c->arena, struct logs_rejected_log_events_info);
        if (!out->rejected_log_events_info)
            return err_set(err, -ENOMEM, "log events: out of memory");
        *out->rejected_log_events_info = info;
    }
    *from = old > gone ? old : gone;
    *to = end > *from ? end : *from;
    return 0;
}

int logs_put_log_events(struct call *c, const struct logs_put_log_events_in *in,
                        struct logs_put_log_events_out *out, struct err *err)
{
    _cleanup_(log_group_unrefp) struct log_group *g = NULL;
    size_t from = 0, to = 0;
    int r = check_batch(&in->log_events, err);
    if (r == 0)
        r = logs_find_group(c, in->log_group_name, STR_NULL, &g, err);
    if (r == 0)
        r = log_group_load(g, err);
    if (r == 0)
        r = choose(c, g, &in->log_events, out, &from, &to, err);
    if (r < 0)
        return r;
    struct log_append_event *events =
        arena_new_array(c->arena, struct log_append_event, to - from + 1);
    if (!events)
        return err_set(err, -ENOMEM, "log events: out of memory");
    for (size_t i = from; i < to; i++) {
        events[i - from].time_ms = in->log_events.ptr[i].timestamp;
        events[i - from].message = in->log_events.ptr[i].message;
    }
    r = log_group_append(g, in->log_stream_name, false, events, to - from, c->now_ms, err);
    if (r == -ENOENT) {
        pthread_mutex_lock(&g->lock);
        bool deleted = g->deleted;
        pthread_mutex_unlock(&g->lock);
        return deleted ? logs_no_group(err) : logs_no_stream(err);
    }
    if (r == 0)
        r = log_group_sync(g, err);
    if (r < 0)
        return r;
    out->next_sequence_token = arena_printf(c->arena, "49%054" PRIu64, (uint64_t)(c->now_ms + 1));
    return 0;
}

// --- positions in tokens: 20 digits of time, 20 of sequence, as AWS's tokens are 56 digits ---

static struct str position_text(struct call *c, const struct log_position *p)
{
    return arena_printf(c->arena, "%028" PRId64 "%028" PRIu64, p->time_ms, p->seq);
}

static bool position_parse(struct str s, struct log_position *out)
{
    return s.len == 56 && str_to_i64(str_slice(s, 0, 28), &out->time_ms) == 0 &&
           str_to_u64(str_slice(s, 28, 56), &out->seq) == 0;
}

static int bad_token(struct err *err)
{
    return err_aws(err, &LOGS_INVALID_PARAMETER_EXCEPTION, "The specified nextToken is invalid.");
}

// "f/<position>/s": forward from behind it; "b/<position>/s": backward from before it.
static int read_get_token(struct str token, struct log_read *q, struct err *err)
{
    if (token.len != 60 || !str_ends(token, STR("/s")))
        return bad_token(err);
    if (str_starts(token, STR("f/")))
        q->backward = false;
    else if (str_starts(token, STR("b/")))
        q->backward = true;
    else
        return bad_token(err);
    q->has_position = true;
    return position_parse(str_slice(token, 2, 58), &q->position) ? 0 : bad_token(err);
}

static void answer_tokens(struct call *c, const struct log_read *q, const struct log_event *events,
                          size_t n, struct logs_get_log_events_out *out)
{
    struct log_position first, last;
    if (n > 0) {
        first = events[0].at;
        last = events[n - 1].at;
    } else if (q->has_position) {
        first = last = q->position; // the end: the same token comes back
    } else {
        first = last = (struct log_position){q->start_ms, 0};
    }
    out->next_forward_token = arena_printf(c->arena, "f/%.*s/s", STR_ARG(position_text(c, &last)));
    out->next_backward_token =
        arena_printf(c->arena, "b/%.*s/s", STR_ARG(position_text(c, &first)));
}

int logs_get_log_events(struct call *c, const struct logs_get_log_events_in *in,
                        struct logs_get_log_events_out *out, struct err *err)
{
    _cleanup_(log_group_unrefp) struct log_group *g = NULL;
    struct log_read q = {
        .streams = &in->log_stream_name,
        .n_streams = 1,
        .start_ms = WIRE_GET(in, start_time, 0),
        .end_ms = WIRE_GET(in, end_time, INT64_MAX),
        .backward = !in->start_from_head,
        .limit = (size_t)WIRE_GET(in, limit, LOG_READ_MAX_EVENTS),
    };
    struct log_event *events = NULL;
    size_t n = 0;
    bool more;
    int r = logs_find_group(c, in->log_group_name, in->log_group_identifier, &g, err);
    if (r == 0)
        r = log_group_load(g, err);
    if (r == 0 && !str_is_null(in->next_token))
        r = read_get_token(in->next_token, &q, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&g->lock);
    bool there = log_stream_find(g, in->log_stream_name) != NULL;
    pthread_mutex_unlock(&g->lock);
    if (!there)
        return logs_no_stream(err);
    int64_t oldest = retention_start(g, c->now_ms);
    if (q.start_ms < oldest)
        q.start_ms = oldest;
    r = log_read_page(g, &q, c->arena, &events, &n, &more, err);
    if (r < 0)
        return r;
    out->events.ptr = arena_new_array(c->arena, struct logs_output_log_event, n + 1);
    if (!out->events.ptr)
        return err_set(err, -ENOMEM, "log events: out of memory");
    for (size_t i = 0; i < n; i++) {
        struct logs_output_log_event *e = &out->events.ptr[out->events.n++];
        WIRE_SET(e, timestamp, events[i].at.time_ms);
        WIRE_SET(e, ingestion_time, events[i].ingested_ms);
        e->message = events[i].message;
    }
    answer_tokens(c, &q, events, n, out);
    return 0;
}

// --- filtering ---

// A token is good for the same question only.
static uint32_t question_sum(const struct logs_filter_log_events_in *in)
{
    uint32_t sum = hash_crc32(0, in->filter_pattern);
    sum = hash_crc32(sum, in->log_stream_name_prefix);
    for (size_t i = 0; i < in->log_stream_names.n; i++)
        sum = hash_crc32(sum, in->log_stream_names.ptr[i]);
    return sum;
}

static int read_filter_token(const struct logs_filter_log_events_in *in, struct log_read *q,
                             struct err *err)
{
    char sum[16];
    struct str token = in->next_token;
    snprintf(sum, sizeof(sum), "%08" PRIx32, question_sum(in));
    if (token.len != 64 || !str_ends(token, str_from(sum)) ||
        !position_parse(str_slice(token, 0, 56), &q->position))
        return bad_token(err);
    q->has_position = true;
    return 0;
}

static int check_filter(struct call *c, struct log_group *g,
                        const struct logs_filter_log_events_in *in, struct err *err)
{
    (void)c;
    if (in->log_stream_names.n > 0 && !str_is_null(in->log_stream_name_prefix))
        return err_aws(err, &LOGS_INVALID_PARAMETER_EXCEPTION,
                       "logStreamNames and logStreamNamePrefix are mutually exclusive parameters.");
    for (size_t i = 0; i < in->log_stream_names.n; i++) {
        pthread_mutex_lock(&g->lock);
        bool there = log_stream_find(g, in->log_stream_names.ptr[i]) != NULL;
        pthread_mutex_unlock(&g->lock);
        if (!there)
            return logs_no_stream(err);
    }
    if (in->has_start_time && in->has_end_time && in->end_time < in->start_time)
        return err_aws(err, &LOGS_INVALID_PARAMETER_EXCEPTION,
                       "End time must not be before start time.");
    return 0;
}

static int answer_filtered(struct call *c, const struct log_event *events, size_t n,
                           struct logs_filter_log_events_out *out, struct err *err)
{
    out->events.ptr = arena_new_array(c->arena, struct logs_filtered_log_event, n + 1);
    if (!out->events.ptr)
        return err_set(err, -ENOMEM, "log events: out of memory");
    for (size_t i = 0; i < n; i++) {
        struct logs_filtered_log_event *e = &out->events.ptr[out->events.n++];
        e->log_stream_name = events[i].stream;
        e->message = events[i].message;
        WIRE_SET(e, timestamp, events[i].at.time_ms);
        WIRE_SET(e, ingestion_time, events[i].ingested_ms);
        e->event_id = position_text(c, &events[i].at);
    }
    out->searched_log_streams.ptr = WIRE_EMPTY; // AWS has left it empty since 2019
    return 0;
}

int logs_filter_log_events(struct call *c, const struct logs_filter_log_events_in *in,
                           struct logs_filter_log_events_out *out, struct err *err)
{
    _cleanup_(log_group_unrefp) struct log_group *g = NULL;
    _cleanup_(filter_pattern_finishp) struct filter_pattern *pattern = NULL;
    struct log_read q = {
        .streams = in->log_stream_names.ptr,
        .n_streams = in->log_stream_names.n,
        .stream_prefix = in->log_stream_name_prefix,
        .start_ms = WIRE_GET(in, start_time, 0),
        .end_ms = WIRE_GET(in, end_time, INT64_MAX),
        .limit = (size_t)WIRE_GET(in, limit, LOG_READ_MAX_EVENTS),
    };
    struct log_event *events = NULL;
    size_t n = 0;
    bool more;
    int r = logs_find_group(c, in->log_group_name, in->log_group_identifier, &g, err);
    if (r == 0)
        r = log_group_load(g, err);
    if (r == 0)
        r = check_filter(c, g, in, err);
    if (r == 0 && !str_is_null(in->next_token))
        r = read_filter_token(in, &q, err);
    if (r < 0)
        return r;
    r = filter_pattern_compile(c->arena, in->filter_pattern, &pattern, err);
    if (r == -EINVAL)
        return err_aws(err, &LOGS_INVALID_PARAMETER_EXCEPTION, "Invalid filter pattern");
    if (r < 0)
        return r;
    q.pattern = pattern->kind == FILTER_EVERYTHING ? NULL : pattern;
    if (q.end_ms < INT64_MAX)
        q.end_ms++; // inclusive here, exclusive in GetLogEvents
    int64_t oldest = retention_start(g, c->now_ms);
    if (q.start_ms < oldest)
        q.start_ms = oldest;
    r = log_read_page(g, &q, c->arena, &events, &n, &more, err);
    if (r == 0)
        r = answer_filtered(c, events, n, out, err);
    if (r == 0 && more && n > 0)
        out->next_token =
            arena_printf(c->arena, "%.*s%08" PRIx32, STR_ARG(position_text(c, &events[n - 1].at)),
                         question_sum(in));
    return r;
}

int logs_test_metric_filter(struct call *c, const struct logs_test_metric_filter_in *in,
                            struct logs_test_metric_filter_out *out, struct err *err)
{
    _cleanup_(filter_pattern_finishp) struct filter_pattern *pattern = NULL;
    struct arena scratch = {0};
    int r = filter_pattern_compile(c->arena, in->filter_pattern, &pattern, err);
    if (r == -EINVAL)
        return err_aws(err, &LOGS_INVALID_PARAMETER_EXCEPTION, "Invalid filter pattern");
    if (r < 0)
        return r;
    out->matches.ptr = arena_new_array(c->arena, struct logs_metric_filter_match_record,
                                       in->log_event_messages.n + 1);
    if (!out->matches.ptr)
        return err_set(err, -ENOMEM, "matches: out of memory");
    arena_init(&scratch, (size_t)16 << 20);
    for (size_t i = 0; i < in->log_event_messages.n; i++) {
        if (!filter_pattern_match(pattern, in->log_event_messages.ptr[i], &scratch))
            continue;
        struct logs_metric_filter_match_record *m = &out->matches.ptr[out->matches.n++];
        WIRE_SET(m, event_number, (int64_t)i + 1);
        m->event_message = in->log_event_messages.ptr[i];
        m->extracted_values.ptr = WIRE_EMPTY;
    }
    arena_finish(&scratch);
    return 0;
}
