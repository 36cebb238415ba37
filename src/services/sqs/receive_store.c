// receive_store.c - taking messages out of sight for a receiver, in one transaction.
//
// Invariant: a message that was received max_receives times already is not given out again but goes
// to the dead-letter queue, and one past the retention is dropped; both in the same transaction.
#include "services/sqs/sqs_impl.h"

#include "base/cleanup.h"

#include <errno.h>

#define ROUNDS 16 // of looking for messages while those found go to the dead-letter queue

struct candidate {
    int64_t seq, received, moved_at, sent_ms, first_ms;
    struct str id, sender, group_id, deduplication_id, trace, source, body, attributes;
};

#define COLUMNS                                                                                    \
    "seq, received, moved_at, sent_ms, first_ms, id, sender, group_id, deduplication_id, trace,"   \
    " source, body, attributes"

static void read_row(struct store_stmt *s, struct arena *a, struct candidate *c)
{
    c->seq = store_col_i64(s, 0);
    c->received = store_col_i64(s, 1);
    c->moved_at = store_col_i64(s, 2);
    c->sent_ms = store_col_i64(s, 3);
    c->first_ms = store_col_i64(s, 4);
    c->id = store_take_str(s, 5, a);
    c->sender = store_take_str(s, 6, a);
    c->group_id = store_take_str(s, 7, a);
    c->deduplication_id = store_take_str(s, 8, a);
    c->trace = store_take_str(s, 9, a);
    c->source = store_take_str(s, 10, a);
    c->body = store_take_str(s, 11, a);
    c->attributes = store_take_str(s, 12, a);
}

struct receive {
    struct store_tx *tx;
    struct arena *arena;
    const struct sqs_queue *q;
    int64_t now_ms, visible_ms;
    struct sqs_message_view *out;
    unsigned n, max;
    struct sqs_receive_notes *notes;
    struct sqs_queue dead_letter;
    bool dead_letter_known, dead_letter_there;
    struct err *err;
};

static int read_candidates(struct receive *r, struct store_stmt *s, struct candidate *out,
                           unsigned max, unsigned *n)
{
    int x = 0;
    *n = 0;
    while (*n < max && (x = store_step(s, r->err)) > 0)
        read_row(s, r->arena, &out[(*n)++]);
    return x < 0 ? x : 0;
}

static int find_standard(struct receive *r, struct candidate *out, unsigned max, unsigned *n)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    int x = store_select(r->tx, &s, r->err,
                         "SELECT " COLUMNS " FROM message WHERE queue = ? AND visible_ms <= ?"
                         " ORDER BY visible_ms LIMIT ?",
                         SQL_I64(r->q->id), SQL_I64(r->now_ms), SQL_I64(max));
    return x < 0 ? x : read_candidates(r, s, out, max, n);
}

static int load_body(struct receive *r, struct candidate *c)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    if (!str_is_null(c->body))
        return 0;
    int x =
        store_select(r->tx, &s, r->err, "SELECT body, attributes FROM message_body WHERE seq = ?",
                     SQL_I64(c->seq));
    if (x == 0)
        x = store_step(s, r->err);
    if (x < 0)
        return x;
    if (x == 0)
        return err_set(r->err, -EUCLEAN, "message %lld has no body", (long long)c->seq);
    c->body = store_take_str(s, 0, r->arena);
    c->attributes = store_take_str(s, 1, r->arena);
    return str_is_null(c->body) ? err_set(r->err, -ENOMEM, "message: out of memory") : 0;
}

static int find_dead_letter(struct receive *r)
{
    struct err ignored = ERR_INIT;
    if (r->dead_letter_known)
        return 0;
    int x = sqs_queue_of_arn(r->tx, r->arena, r->q->dead_letter, &r->dead_letter, &ignored);
    if (x < 0 && x != -ENOENT)
        return err_set(r->err, x, "%s", ignored.message);
    r->dead_letter_known = true;
    r->dead_letter_there = x == 0;
    return 0;
}

// 1: the message is not for the receiver (it went elsewhere).
static int divert(struct receive *r, const struct candidate *c)
{
    int x;
    if (c->sent_ms + r->q->retention_s * 1000 <= r->now_ms) {
        x = sqs_message_remove(r->tx, r->q->id, c->seq, r->err);
        if (x == 0 && r->q->fifo)
            x = sqs_group_refresh(r->tx, r->q->id, c->group_id, r->err);
        r->notes->changed = true;
        return x < 0 ? x : 1;
    }
    if (r->q->max_receives == 0 || c->received - c->moved_at < r->q->max_receives)
        return 0;
    x = find_dead_letter(r);
    if (x < 0 || !r->dead_letter_there)
        return x; // without its dead-letter queue it is delivered on and on
    x = sqs_message_move(r->tx, c->seq, c->group_id, r->q->id, &r->dead_letter,
                         sqs_queue_arn(r->arena, r->q), r->now_ms, r->err);
    r->notes->dead_letter_id = r->dead_letter.id;
    r->notes->dead_letter_arn = r->q->dead_letter;
    r->notes->changed = true;
    return x < 0 ? x : 1;
}

static int view(struct receive *r, struct candidate *c, struct sqs_message_view *v)
{
    const struct sqs_receipt receipt = {r->q->id, c->seq, (uint32_t)(c->received + 1)};
    *v = (struct sqs_message_view){
        .message_id = c->id,
        .receipt_handle = sqs_receipt_make(r->arena, &receipt),
        .body = c->body,
        .md5_of_body = sqs_md5(r->arena, c->body),
        .sent_ms = c->sent_ms,
        .first_received_ms = c->first_ms > 0 ? c->first_ms : r->now_ms,
        .receive_count = c->received + 1,
        .sender_id = c->sender,
        .group_id = c->group_id,
        .deduplication_id = c->deduplication_id,
        .trace_header = c->trace,
        .dead_letter_source_arn = c->source,
    };
    if (r->q->fifo)
        v->sequence_number = arena_printf(r->arena, "%020lld", (long long)c->seq);
    if (!str_is_null(c->attributes)) {
        v->md5_of_attributes = sqs_md5(r->arena, c->attributes);
        if (sqs_attributes_decode(r->arena, c->attributes, &v->attributes, &v->n_attributes) < 0)
            return err_set(r->err, -EUCLEAN, "message %lld has broken attributes",
                           (long long)c->seq);
    }
    return str_is_null(v->receipt_handle) || str_is_null(v->md5_of_body)
               ? err_set(r->err, -ENOMEM, "message: out of memory")
               : 0;
}

static int take(struct receive *r, struct candidate *c)
{
    int x = load_body(r, c);
    if (x == 0)
        x = view(r, c, &r->out[r->n]);
    if (x < 0)
        return x;
    int64_t n =
        store_exec(r->tx, r->err,
                   "UPDATE message SET visible_ms = ?, received = ?, first_ms = ? WHERE seq = ?",
                   SQL_I64(r->visible_ms), SQL_I64(c->received + 1),
                   SQL_I64(c->first_ms > 0 ? c->first_ms : r->now_ms), SQL_I64(c->seq));
    if (n < 0)
        return (int)n;
    r->n++;
    r->notes->changed = true;
    return 0;
}

// --- standard ---

static int receive_standard(struct receive *r)
{
    for (int round = 0; round < ROUNDS && r->n < r->max; round++) {
        struct candidate found[SQS_MAX_BATCH];
        unsigned n, diverted = 0, want = r->max - r->n;
        int x = find_standard(r, found, want, &n);
        for (unsigned i = 0; x >= 0 && i < n; i++) {
            x = divert(r, &found[i]);
            if (x == 0)
                x = take(r, &found[i]);
            else if (x > 0)
                diverted++;
        }
        if (x < 0)
            return x;
        if (diverted == 0) // with visibility 0 the same ones would be found again
            break;
    }
    return 0;
}

// --- FIFO ---

static int find_groups(struct receive *r, struct str *out, unsigned max, unsigned *n)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    int x = store_select(r->tx, &s, r->err,
                         "SELECT group_id FROM message_group WHERE queue = ? AND ready_ms <= ?"
                         " ORDER BY ready_ms LIMIT ?",
                         SQL_I64(r->q->id), SQL_I64(r->now_ms), SQL_I64(max));
    *n = 0;
    if (x < 0)
        return x;
    while ((x = store_step(s, r->err)) > 0)
        out[(*n)++] = store_take_str(s, 0, r->arena);
    return x;
}

static int find_in_group(struct receive *r, struct str group, struct candidate *out, unsigned max,
                         unsigned *n)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    int x = store_select(r->tx, &s, r->err,
                         "SELECT " COLUMNS " FROM message WHERE queue = ? AND group_id = ?"
                         " AND deduplication_id IS NOT NULL AND visible_ms <= ?"
                         " ORDER BY seq LIMIT ?",
                         SQL_I64(r->q->id), SQL_STR(group), SQL_I64(r->now_ms), SQL_I64(max));
    return x < 0 ? x : read_candidates(r, s, out, max, n);
}

static int receive_group(struct receive *r, struct str group)
{
    struct candidate found[SQS_MAX_BATCH];
    unsigned n, before = r->n;
    int x = find_in_group(r, group, found, r->max - r->n, &n);
    for (unsigned i = 0; x >= 0 && i < n; i++) {
        x = divert(r, &found[i]);
        if (x == 0)
            x = take(r, &found[i]);
    }
    if (x >= 0 && r->n > before)
        x = sqs_group_refresh(r->tx, r->q->id, group, r->err);
    return x < 0 ? x : 0;
}

static int receive_fifo(struct receive *r)
{
    for (int round = 0; round < ROUNDS && r->n < r->max; round++) {
        struct str groups[SQS_MAX_BATCH];
        unsigned n, before = r->n;
        int x = find_groups(r, groups, SQS_MAX_BATCH, &n);
        if (x < 0 || n == 0)
            return x;
        for (unsigned i = 0; i < n && r->n < r->max; i++) {
            x = receive_group(r, groups[i]);
            if (x < 0)
                return x;
        }
        if (r->n > before && r->visible_ms <= r->now_ms)
            break;
    }
    return 0;
}

int sqs_receive_tx(struct store_tx *tx, struct arena *a, const struct sqs_queue *q, unsigned max,
                   int64_t visibility_ms, int64_t now_ms, struct sqs_message_view *out, unsigned *n,
                   struct sqs_receive_notes *notes, struct err *err)
{
    struct receive r = {
        .tx = tx,
        .arena = a,
        .q = q,
        .now_ms = now_ms,
        .visible_ms = now_ms + visibility_ms,
        .out = out,
        .max = max < SQS_MAX_BATCH ? max : SQS_MAX_BATCH,
        .notes = notes,
        .err = err,
    };
    *notes = (struct sqs_receive_notes){0};
    int x = q->fifo ? receive_fifo(&r) : receive_standard(&r);
    *n = r.n;
    return x;
}
