// streams.c - operations on log streams: create, delete, describe.
#include "services/logs/logs_impl.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>

#define DESCRIBE_MAX 50 // DescribeLogStreams, limit

int logs_create_log_stream(struct call *c, const struct logs_create_log_stream_in *in,
                           struct logs_create_log_stream_out *out, struct err *err)
{
    _cleanup_(log_group_unrefp) struct log_group *g = NULL;
    int r = logs_find_group(c, in->log_group_name, STR_NULL, &g, err);
    (void)out;
    if (r == 0)
        r = log_group_load(g, err);
    if (r < 0)
        return r;
    r = log_stream_create(g, in->log_stream_name, c->now_ms, err);
    if (r == -EEXIST)
        return err_aws(err, &LOGS_RESOURCE_ALREADY_EXISTS_EXCEPTION,
                       "The specified log stream already exists");
    if (r == -ENOENT)
        return logs_no_group(err);
    return r < 0 ? r : log_group_sync(g, err);
}

int logs_delete_log_stream(struct call *c, const struct logs_delete_log_stream_in *in,
                           struct logs_delete_log_stream_out *out, struct err *err)
{
    _cleanup_(log_group_unrefp) struct log_group *g = NULL;
    int r = logs_find_group(c, in->log_group_name, STR_NULL, &g, err);
    (void)out;
    if (r == 0)
        r = log_group_load(g, err);
    if (r < 0)
        return r;
    r = log_stream_drop(g, in->log_stream_name, err);
    if (r == -ENOENT)
        return logs_no_stream(err);
    return r < 0 ? r : log_group_sync(g, err);
}

// --- describing ---

struct order {
    bool by_time, descending;
};

static int compare(const struct log_stream *a, const struct log_stream *b, struct order o)
{
    int c = 0;
    if (o.by_time && a->last_ms != b->last_ms)
        c = a->last_ms < b->last_ms ? -1 : 1;
    else
        c = str_cmp(a->name, b->name);
    return o.descending ? -c : c;
}

static int compare_for_sort(const void *a, const void *b, void *order)
{
    return compare(a, b, *(const struct order *)order);
}

// Copies of the streams that the page may show: those after `after` in the order asked for.
static int collect(struct log_group *g, struct str prefix, const struct log_stream *after,
                   struct order o, struct log_stream **out, size_t *n)
{
    const struct map_entry *e;
    size_t at = 0, found = 0;
    pthread_mutex_lock(&g->lock);
    struct log_stream *list = calloc(g->streams.n + 1, sizeof(*list));
    while (list && (e = map_next(&g->streams, &at))) {
        const struct log_stream *s = e->value;
        if (s->dropped || !str_starts(s->name, prefix) || (after && compare(s, after, o) <= 0))
            continue;
        list[found++] = *s; // names live as long as the group
    }
    pthread_mutex_unlock(&g->lock);
    if (!list)
        return -ENOMEM;
    qsort_r(list, found, sizeof(*list), compare_for_sort, &o);
    *out = list;
    *n = found;
    return 0;
}

// "<last time>:<name>" of the last stream of the page before.
static int read_token(struct call *c, struct str token, struct log_stream *after, struct err *err)
{
    struct str text, time;
    int r = logs_page_token_read(c, token, &text, err);
    if (r < 0)
        return r;
    if (!str_next(&text, ':', &time) || str_to_i64(time, &after->last_ms) < 0 || str_is_null(text))
        return err_aws(err, &LOGS_INVALID_PARAMETER_EXCEPTION,
                       "The specified nextToken is invalid.");
    after->name = text;
    return 0;
}

static void describe(struct call *c, struct str group_arn, const struct log_stream *s,
                     struct logs_log_stream *out)
{
    out->log_stream_name = arena_str(c->arena, s->name);
    out->arn = arena_printf(c->arena, "%.*s:log-stream:%.*s", STR_ARG(group_arn), STR_ARG(s->name));
    WIRE_SET(out, creation_time, s->created_ms);
    if (s->first_ms <= s->last_ms) {
        WIRE_SET(out, first_event_timestamp, s->first_ms);
        WIRE_SET(out, last_event_timestamp, s->last_ms);
        WIRE_SET(out, last_ingestion_time, s->ingested_ms);
    }
    out->upload_sequence_token =
        arena_printf(c->arena, "49%054llu", (unsigned long long)(s->ingested_ms + 1));
    WIRE_SET(out, stored_bytes, 0); // AWS has answered 0 since 2019
}

int logs_describe_log_streams(struct call *c, const struct logs_describe_log_streams_in *in,
                              struct logs_describe_log_streams_out *out, struct err *err)
{
    _cleanup_(log_group_unrefp) struct log_group *g = NULL;
    _cleanup_free_ struct log_stream *list = NULL;
    struct order o = {str_eq(in->order_by, STR("LastEventTime")), in->descending};
    struct log_stream after = {0};
    size_t n = 0, limit = (size_t)WIRE_GET(in, limit, DESCRIBE_MAX);
    int r;
    if (o.by_time && !str_is_null(in->log_stream_name_prefix))
        return err_aws(err, &LOGS_INVALID_PARAMETER_EXCEPTION,
                       "Cannot order by LastEventTime with a logStreamNamePrefix.");
    r = logs_find_group(c, in->log_group_name, in->log_group_identifier, &g, err);
    if (r == 0)
        r = log_group_load(g, err);
    if (r == 0 && !str_is_null(in->next_token))
        r = read_token(c, in->next_token, &after, err);
    if (r < 0)
        return r;
    if (collect(g, in->log_stream_name_prefix, str_is_null(in->next_token) ? NULL : &after, o,
                &list, &n) < 0)
        return err_set(err, -ENOMEM, "log streams: out of memory");
    size_t shown = n < limit ? n : limit;
    out->log_streams.ptr = arena_new_array(c->arena, struct logs_log_stream, shown + 1);
    if (!out->log_streams.ptr)
        return err_set(err, -ENOMEM, "log streams: out of memory");
    struct str arn = logs_group_arn(c, g);
    for (size_t i = 0; i < shown; i++)
        describe(c, arn, &list[i], &out->log_streams.ptr[out->log_streams.n++]);
    if (n > shown && shown > 0)
        out->next_token = logs_page_token(c, arena_printf(c->arena, "%lld:%.*s",
                                                          (long long)list[shown - 1].last_ms,
                                                          STR_ARG(list[shown - 1].name)));
    return 0;
}
