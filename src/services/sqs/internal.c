// internal.c - the queue service for the rest of the daemon, and who is told of new messages.
#include "services/sqs/sqs_impl.h"

#include "base/cleanup.h"
#include "base/hash.h"
#include "engine/park.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

// --- telling ---

#define MAX_LISTENERS 8

static struct {
    sqs_available_fn *fn;
    void *ctx;
} available[MAX_LISTENERS];
static struct {
    sqs_deleted_fn *fn;
    void *ctx;
} deleted[MAX_LISTENERS];
static unsigned n_available, n_deleted; // set while services start

void sqs_on_available(sqs_available_fn *fn, void *ctx)
{
    if (n_available == MAX_LISTENERS)
        abort();
    available[n_available].fn = fn;
    available[n_available++].ctx = ctx;
}

void sqs_on_deleted(sqs_deleted_fn *fn, void *ctx)
{
    if (n_deleted == MAX_LISTENERS)
        abort();
    deleted[n_deleted].fn = fn;
    deleted[n_deleted++].ctx = ctx;
}

void sqs_notify_arn(int64_t queue, struct str arn, int64_t at_ms)
{
    char key[SQS_KEY_BYTES];
    engine_wake(sqs.engine, sqs_park_key(queue, key));
    for (unsigned i = 0; i < n_available; i++)
        available[i].fn(available[i].ctx, arn, at_ms);
}

static struct str arn_in(const struct sqs_queue *q, char *out, size_t bytes)
{
    int n = snprintf(out, bytes, "arn:aws:sqs:%.*s:%.*s:%.*s", STR_ARG(q->region),
                     STR_ARG(q->account), STR_ARG(q->name));
    return (struct str){out, n < 0 ? 0 : (size_t)n < bytes ? (size_t)n : bytes - 1};
}

void sqs_notify(const struct sqs_queue *q, int64_t at_ms)
{
    char arn[256];
    sqs_notify_arn(q->id, arn_in(q, arn, sizeof(arn)), at_ms);
}

void sqs_notify_deleted(const struct sqs_queue *q)
{
    char arn[256];
    struct str s = arn_in(q, arn, sizeof(arn));
    for (unsigned i = 0; i < n_deleted; i++)
        deleted[i].fn(deleted[i].ctx, s);
}

// --- asking ---

static int describe(struct store_tx *tx, struct arena *a, const struct sqs_queue *q,
                    struct sqs_queue_info *out, struct err *err)
{
    struct sqs_counts counts;
    int r = sqs_count_messages(tx, q, sqs_now(), &counts, err);
    if (r < 0)
        return r;
    *out = (struct sqs_queue_info){
        .arn = sqs_queue_arn(a, q),
        .url_path = arena_printf(a, "/%.*s/%.*s", STR_ARG(q->account), STR_ARG(q->name)),
        .fifo = q->fifo,
        .visibility_timeout_ms = q->visibility_s * 1000,
        .visible = counts.visible,
        .in_flight = counts.in_flight,
        .delayed = counts.delayed,
        .oldest_sent_ms = counts.oldest_sent_ms,
    };
    return str_is_null(out->arn) || str_is_null(out->url_path)
               ? err_set(err, -ENOMEM, "queue: out of memory")
               : 0;
}

int sqs_internal_info(struct str queue_arn, struct arena *arena, struct sqs_queue_info *out,
                      struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct sqs_queue q;
    int r = store_begin(sqs.store, STORE_READ, &tx, err);
    if (r == 0)
        r = sqs_queue_of_arn(tx, arena, queue_arn, &q, err);
    return r < 0 ? r : describe(tx, arena, &q, out, err);
}

int sqs_internal_list(void (*each)(void *ctx, const struct sqs_queue_info *q), void *ctx,
                      struct err *err)
{
    int64_t at = 0;
    for (;;) {
        _cleanup_(store_abortp) struct store_tx *tx = NULL;
        struct arena arena = {0};
        struct sqs_queue_info info;
        struct sqs_queue q;
        bool found = false;
        arena_init(&arena, 1 << 20);
        int r = store_begin(sqs.store, STORE_READ, &tx, err);
        if (r == 0) {
            _cleanup_(store_resetp) struct store_stmt *s = NULL;
            r = store_select(tx, &s, err, "SELECT id FROM queue WHERE id > ? ORDER BY id LIMIT 1",
                             SQL_I64(at));
            if (r == 0)
                r = store_step(s, err);
            found = r > 0;
            if (found)
                at = store_col_i64(s, 0);
        }
        if (r >= 0 && found)
            r = sqs_queue_by_id(tx, &arena, at, &q, err);
        if (r >= 0 && found)
            r = describe(tx, &arena, &q, &info, err);
        if (r >= 0 && found)
            each(ctx, &info);
        arena_finish(&arena);
        if (r < 0 || !found)
            return r;
    }
}

// --- sending ---

static int make_entry(struct arena *a, const struct sqs_queue *q,
                      const struct sqs_internal_message *m, struct sqs_entry *e, struct err *err)
{
    size_t bytes = m->body.len;
    for (size_t i = 0; i < m->n_attributes; i++)
        bytes += m->attributes[i].name.len + m->attributes[i].type.len + m->attributes[i].value.len;
    if (bytes > (size_t)q->max_bytes)
        return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                       "One or more parameters are invalid. Reason: Message must be shorter than "
                       "%lld bytes.",
                       (long long)q->max_bytes);
    if (q->fifo && str_is_null(m->group_id))
        return err_aws(err, &SQS_MISSING_PARAMETER,
                       "The request must contain the parameter MessageGroupId.");
    *e = (struct sqs_entry){
        .body = m->body,
        .group_id = m->group_id,
        .deduplication_id = q->fifo ? m->deduplication_id : STR_NULL,
        .trace = m->trace_header,
        .delay_ms = q->fifo || m->delay_ms == 0 ? q->delay_s * 1000 : m->delay_ms,
    };
    if (q->fifo && str_is_null(e->deduplication_id)) {
        char hex[SHA256_HEX_BYTES];
        hash_sha256_hex(m->body, hex);
        e->deduplication_id = arena_str(a, str_from(hex));
    }
    return sqs_attributes_encode(a, m->attributes, m->n_attributes, &e->attributes) < 0
               ? err_set(err, -ENOMEM, "message: out of memory")
               : 0;
}

int sqs_internal_send(struct str queue_arn, const struct sqs_internal_message *message,
                      struct arena *arena, struct str *id, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct sqs_entry e;
    struct sqs_queue q;
    int64_t first_ms;
    int r = store_begin(sqs.store, STORE_WRITE, &tx, err);
    if (r == 0)
        r = sqs_queue_of_arn(tx, arena, queue_arn, &q, err);
    if (r == 0)
        r = make_entry(arena, &q, message, &e, err);
    if (r == 0)
        r = sqs_send_tx(tx, arena, &q, &e, 1, q.account, &first_ms, err);
    if (r == 0)
        r = store_commit(&tx, err);
    if (r < 0)
        return r;
    sqs_notify(&q, first_ms);
    if (id)
        *id = e.message_id;
    return 0;
}

// --- receiving and letting go ---

int sqs_internal_receive(struct str queue_arn, unsigned max, int64_t visibility_ms,
                         struct arena *arena, struct sqs_message_view *out, unsigned *n,
                         int64_t *next_ms, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct sqs_receive_notes notes;
    struct sqs_queue q;
    bool ready = false;
    *n = 0;
    {
        _cleanup_(store_abortp) struct store_tx *look = NULL;
        int r = store_begin(sqs.store, STORE_READ, &look, err);
        if (r == 0)
            r = sqs_queue_of_arn(look, arena, queue_arn, &q, err);
        if (r == 0)
            r = sqs_peek(look, &q, sqs_now(), &ready, next_ms, err);
        if (r < 0 || !ready)
            return r;
    }
    int r = store_begin(sqs.store, STORE_WRITE, &tx, err);
    if (r == 0)
        r = sqs_queue_by_id(tx, arena, q.id, &q, err);
    int64_t now_ms = sqs_now();
    if (r == 0)
        r = sqs_receive_tx(tx, arena, &q, max,
                           visibility_ms < 0 ? q.visibility_s * 1000 : visibility_ms, now_ms, out,
                           n, &notes, err);
    if (r == 0 && *n == 0)
        r = sqs_peek(tx, &q, now_ms, &ready, next_ms, err);
    if (r == 0 && notes.changed)
        r = store_commit(&tx, err);
    if (r == 0 && notes.dead_letter_id != 0)
        sqs_notify_arn(notes.dead_letter_id, notes.dead_letter_arn, now_ms);
    if (r < 0)
        *n = 0;
    return r;
}

// visible_ms -1: delete.
static int release(struct str queue_arn, const struct str *receipts, unsigned n,
                   int64_t visibility_ms, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct arena arena = {0};
    struct sqs_queue q;
    int64_t now_ms = sqs_now();
    arena_init(&arena, (size_t)1 << 20);
    int r = store_begin(sqs.store, STORE_WRITE, &tx, err);
    if (r == 0)
        r = sqs_queue_of_arn(tx, &arena, queue_arn, &q, err);
    for (unsigned i = 0; r == 0 && i < n; i++) {
        struct sqs_receipt receipt;
        enum sqs_release what;
        if (!sqs_receipt_parse(&arena, receipts[i], &receipt) || receipt.queue != q.id)
            r = err_aws(err, &SQS_RECEIPT_HANDLE_IS_INVALID, "The receipt handle is not valid.");
        else if (visibility_ms < 0)
            r = sqs_delete_tx(tx, &q, &receipt, now_ms, &what, err);
        else
            r = sqs_hide_tx(tx, &q, &receipt, now_ms, now_ms + visibility_ms, &what, err);
    }
    if (r == 0)
        r = store_commit(&tx, err);
    if (r == 0 && (visibility_ms >= 0 || q.fifo))
        sqs_notify(&q, visibility_ms > 0 ? now_ms + visibility_ms : now_ms);
    store_abortp(&tx);
    tx = NULL;
    arena_finish(&arena);
    return r;
}

int sqs_internal_delete(struct str queue_arn, const struct str *receipts, unsigned n,
                        struct err *err)
{
    return release(queue_arn, receipts, n, -1, err);
}

int sqs_internal_change_visibility(struct str queue_arn, const struct str *receipts, unsigned n,
                                   int64_t visibility_ms, struct err *err)
{
    return release(queue_arn, receipts, n, visibility_ms < 0 ? 0 : visibility_ms, err);
}
