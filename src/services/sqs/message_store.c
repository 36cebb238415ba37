// message_store.c - the SQL of messages: inserting, hiding, deleting, counting, FIFO groups.
//
// Invariants: `queue.messages` is the number of a queue's rows in `message`. A FIFO group has a row
// in message_group exactly while it has messages; its ready_ms is when its first message can be
// received: no message of the group is in flight then.
#include "services/sqs/sqs_impl.h"

#include "base/cleanup.h"
#include "base/uuid.h"
#include "os/random.h"
#include "os/time.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#define FIFO_IN_FLIGHT_MAX 10 // messages of one group in flight: those of one receive

static int done(int64_t changes)
{
    return changes < 0 ? (int)changes : 0;
}

// --- the clock ---

static atomic_llong clock_offset_ms; // what has to be added to the monotonic clock; only grows

void sqs_clock_at_least(int64_t ms)
{
    long long want = ms - os_mono_ms(), have = atomic_load(&clock_offset_ms);
    while (want > have && !atomic_compare_exchange_weak(&clock_offset_ms, &have, want))
        ;
}

int64_t sqs_now(void)
{
    sqs_clock_at_least(os_now_ms());
    return os_mono_ms() + atomic_load(&clock_offset_ms);
}

// --- FIFO groups ---

// Messages of a group are received from its front and nobody receives more of it until all of them
// are done with, so those in flight are among the first ten.
int sqs_group_refresh(struct store_tx *tx, int64_t queue, struct str group, struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    int64_t ready = INT64_MIN;
    bool first = true;
    int r = store_select(tx, &s, err,
                         "SELECT visible_ms, received FROM message WHERE queue = ? AND"
                         " group_id = ? AND deduplication_id IS NOT NULL ORDER BY seq LIMIT ?",
                         SQL_I64(queue), SQL_STR(group), SQL_I64(FIFO_IN_FLIGHT_MAX));
    if (r < 0)
        return r;
    while ((r = store_step(s, err)) > 0) {
        if ((first || store_col_i64(s, 1) > 0) && store_col_i64(s, 0) > ready)
            ready = store_col_i64(s, 0);
        first = false;
    }
    if (r < 0)
        return r;
    if (first)
        return done(store_exec(tx, err,
                               "DELETE FROM message_group WHERE queue = ? AND group_id = ?",
                               SQL_I64(queue), SQL_STR(group)));
    return done(store_exec(tx, err,
                           "INSERT INTO message_group (queue, group_id, ready_ms) VALUES (?, ?, ?)"
                           " ON CONFLICT (queue, group_id) DO UPDATE SET ready_ms ="
                           " excluded.ready_ms",
                           SQL_I64(queue), SQL_STR(group), SQL_I64(ready)));
}

// --- sending ---

static int64_t last_seq; // under the store's write lock: only write transactions touch it

// Ever growing, also over restarts: time above, a counter below.
static int next_seq(struct store_tx *tx, int64_t now_ms, int64_t *out, struct err *err)
{
    if (last_seq == 0) {
        _cleanup_(store_resetp) struct store_stmt *s = NULL;
        int r = store_select(tx, &s, err, "SELECT seq FROM message ORDER BY seq DESC LIMIT 1");
        if (r == 0)
            r = store_step(s, err);
        if (r < 0)
            return r;
        last_seq = r > 0 ? store_col_i64(s, 0) : 0;
    }
    int64_t base = now_ms << 20;
    last_seq = base > last_seq ? base : last_seq + 1;
    *out = last_seq;
    return 0;
}

// The message that had this deduplication id within the last minutes: then the entry is answered
// as that one was, and nothing is sent.
static int find_duplicate(struct store_tx *tx, struct arena *a, const struct sqs_queue *q,
                          struct str scope, struct sqs_entry *e, int64_t now_ms, struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    int r =
        store_select(tx, &s, err,
                     "SELECT message_id, seq FROM deduplication WHERE queue = ? AND scope = ?"
                     " AND id = ? AND until_ms > ?",
                     SQL_I64(q->id), SQL_STR(scope), SQL_STR(e->deduplication_id), SQL_I64(now_ms));
    if (r == 0)
        r = store_step(s, err);
    if (r <= 0)
        return r;
    e->duplicate = true;
    e->message_id = store_take_str(s, 0, a);
    e->seq = store_col_i64(s, 1);
    return 0;
}

static int insert(struct store_tx *tx, const struct sqs_queue *q, const struct sqs_entry *e,
                  struct str sender, int64_t now_ms, struct err *err)
{
    bool big = e->body.len + e->attributes.len > SQS_INLINE_BYTES;
    int64_t n = store_exec(
        tx, err,
        "INSERT INTO message (seq, queue, visible_ms, received, moved_at, id, sent_ms, first_ms,"
        " sender, group_id, deduplication_id, trace, source, body, attributes)"
        " VALUES (?, ?, ?, 0, 0, ?, ?, 0, ?, ?, ?, ?, NULL, ?, ?)",
        SQL_I64(e->seq), SQL_I64(q->id), SQL_I64(e->visible_ms), SQL_STR(e->message_id),
        SQL_I64(now_ms), SQL_STR(sender), SQL_STR(e->group_id), SQL_STR(e->deduplication_id),
        SQL_STR(e->trace), SQL_STR(big ? STR_NULL : e->body),
        SQL_BLOB(big ? STR_NULL : e->attributes));
    if (n >= 0 && big)
        n = store_exec(tx, err, "INSERT INTO message_body (seq, body, attributes) VALUES (?, ?, ?)",
                       SQL_I64(e->seq), SQL_STR(e->body), SQL_BLOB(e->attributes));
    return done(n);
}

static int send_fifo(struct store_tx *tx, struct arena *a, const struct sqs_queue *q,
                     struct sqs_entry *e, struct str sender, int64_t now_ms, struct err *err)
{
    struct str scope = str_eq(q->deduplication_scope, STR("messageGroup")) ? e->group_id : STR("");
    int64_t window = engine_scaled_ms(sqs.engine, SQS_DEDUPLICATION_MS);
    int r = find_duplicate(tx, a, q, scope, e, now_ms, err);
    if (r < 0 || e->duplicate)
        return r;
    r = insert(tx, q, e, sender, now_ms, err);
    if (r < 0)
        return r;
    int64_t n = store_exec(
        tx, err,
        "INSERT INTO deduplication (queue, scope, id, until_ms, message_id, seq) VALUES (?, ?, ?,"
        " ?, ?, ?) ON CONFLICT (queue, scope, id) DO UPDATE SET until_ms = excluded.until_ms,"
        " message_id = excluded.message_id, seq = excluded.seq",
        SQL_I64(q->id), SQL_STR(scope), SQL_STR(e->deduplication_id), SQL_I64(now_ms + window),
        SQL_STR(e->message_id), SQL_I64(e->seq));
    // A group that is there already keeps its time: the new message is behind others.
    if (n >= 0)
        n = store_exec(tx, err,
                       "INSERT INTO message_group (queue, group_id, ready_ms) VALUES (?, ?, ?)"
                       " ON CONFLICT (queue, group_id) DO NOTHING",
                       SQL_I64(q->id), SQL_STR(e->group_id), SQL_I64(e->visible_ms));
    return done(n);
}

int sqs_send_tx(struct store_tx *tx, struct arena *a, const struct sqs_queue *q,
                struct sqs_entry *entries, size_t n, struct str sender, int64_t *first_ms,
                struct err *err)
{
    int64_t now_ms = sqs_now(), sent = 0;
    *first_ms = INT64_MAX;
    for (size_t i = 0; i < n; i++) {
        struct sqs_entry *e = &entries[i];
        uint8_t random[16];
        os_random(random, sizeof(random));
        e->message_id = uuid_arena(a, random);
        e->visible_ms = now_ms + e->delay_ms;
        if (str_is_null(e->message_id))
            return err_set(err, -ENOMEM, "message: out of memory");
        int r = next_seq(tx, now_ms, &e->seq, err);
        if (r == 0)
            r = q->fifo ? send_fifo(tx, a, q, e, sender, now_ms, err)
                        : insert(tx, q, e, sender, now_ms, err);
        if (r < 0)
            return r;
        sent += !e->duplicate;
        if (e->visible_ms < *first_ms)
            *first_ms = e->visible_ms;
    }
    return sent > 0 ? sqs_queue_count(tx, q->id, sent, err) : 0;
}

// --- deleting ---

int sqs_message_remove(struct store_tx *tx, int64_t queue, int64_t seq, struct err *err)
{
    int64_t n = store_exec(tx, err, "DELETE FROM message WHERE seq = ?", SQL_I64(seq));
    if (n > 0)
        n = store_exec(tx, err, "DELETE FROM message_body WHERE seq = ?", SQL_I64(seq));
    return n < 0 ? (int)n : sqs_queue_count(tx, queue, -1, err);
}

struct state {
    int64_t visible_ms, received;
    bool has_group;
};

// 1: found; 0: it is gone.
static int find_message(struct store_tx *tx, const struct sqs_queue *q, int64_t seq,
                        struct state *out, char *group, size_t *group_len, struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    int r = store_select(tx, &s, err,
                         "SELECT queue, visible_ms, received, group_id FROM message WHERE seq = ?",
                         SQL_I64(seq));
    if (r == 0)
        r = store_step(s, err);
    if (r <= 0)
        return r;
    if (store_col_i64(s, 0) != q->id)
        return 0; // moved to another queue meanwhile
    struct str g = store_col_str(s, 3);
    out->visible_ms = store_col_i64(s, 1);
    out->received = store_col_i64(s, 2);
    out->has_group = q->fifo && !str_is_null(g) && g.len <= 128;
    *group_len = out->has_group ? g.len : 0;
    if (out->has_group)
        memcpy(group, g.ptr, g.len);
    return 1;
}

int sqs_delete_tx(struct store_tx *tx, const struct sqs_queue *q, const struct sqs_receipt *receipt,
                  int64_t now_ms, enum sqs_release *what, struct err *err)
{
    char group[128];
    size_t group_len;
    struct state m;
    int r = find_message(tx, q, receipt->seq, &m, group, &group_len, err);
    if (r < 0)
        return r;
    *what = r == 0                                     ? SQS_GONE
            : m.received != (int64_t)receipt->received ? SQS_STALE
            : q->fifo && m.visible_ms <= now_ms        ? SQS_NOT_IN_FLIGHT
                                                       : SQS_RELEASED;
    if (*what != SQS_RELEASED)
        return 0;
    r = sqs_message_remove(tx, q->id, receipt->seq, err);
    if (r == 0 && m.has_group)
        r = sqs_group_refresh(tx, q->id, (struct str){group, group_len}, err);
    return r;
}

int sqs_hide_tx(struct store_tx *tx, const struct sqs_queue *q, const struct sqs_receipt *receipt,
                int64_t now_ms, int64_t visible_ms, enum sqs_release *what, struct err *err)
{
    char group[128];
    size_t group_len;
    struct state m;
    int r = find_message(tx, q, receipt->seq, &m, group, &group_len, err);
    if (r < 0)
        return r;
    *what = r == 0                                     ? SQS_GONE
            : m.received != (int64_t)receipt->received ? SQS_STALE
            : m.visible_ms <= now_ms                   ? SQS_NOT_IN_FLIGHT
                                                       : SQS_RELEASED;
    if (*what != SQS_RELEASED)
        return 0;
    int64_t n = store_exec(tx, err, "UPDATE message SET visible_ms = ? WHERE seq = ?",
                           SQL_I64(visible_ms), SQL_I64(receipt->seq));
    if (n < 0)
        return (int)n;
    return m.has_group ? sqs_group_refresh(tx, q->id, (struct str){group, group_len}, err) : 0;
}

// --- looking ---

static int first_visible(struct store_tx *tx, const struct sqs_queue *q, int64_t *out,
                         struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    int r = store_select(tx, &s, err,
                         q->fifo ? "SELECT ready_ms FROM message_group WHERE queue = ?"
                                   " ORDER BY ready_ms LIMIT 1"
                                 : "SELECT visible_ms FROM message WHERE queue = ?"
                                   " ORDER BY visible_ms LIMIT 1",
                         SQL_I64(q->id));
    if (r == 0)
        r = store_step(s, err);
    if (r >= 0)
        *out = r > 0 ? store_col_i64(s, 0) : INT64_MAX;
    return r < 0 ? r : 0;
}

int sqs_peek(struct store_tx *tx, const struct sqs_queue *q, int64_t now_ms, bool *ready,
             int64_t *next_ms, struct err *err)
{
    int r = first_visible(tx, q, next_ms, err);
    *ready = r == 0 && *next_ms <= now_ms;
    return r;
}

int sqs_count_messages(struct store_tx *tx, const struct sqs_queue *q, int64_t now_ms,
                       struct sqs_counts *out, struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL, *oldest = NULL;
    int r = store_select(tx, &s, err,
                         "SELECT COUNT(*), SUM(CASE WHEN received > 0 THEN 1 ELSE 0 END)"
                         " FROM message WHERE queue = ? AND visible_ms > ?",
                         SQL_I64(q->id), SQL_I64(now_ms));
    if (r == 0)
        r = store_step(s, err);
    if (r < 0)
        return r;
    int64_t hidden = store_col_i64(s, 0);
    out->in_flight = store_col_i64(s, 1);
    out->delayed = hidden - out->in_flight;
    out->visible = q->messages > hidden ? q->messages - hidden : 0;
    out->oldest_sent_ms = 0;
    r = store_select(tx, &oldest, err,
                     "SELECT sent_ms FROM message WHERE queue = ? ORDER BY visible_ms LIMIT 1",
                     SQL_I64(q->id));
    if (r == 0)
        r = store_step(oldest, err);
    if (r > 0)
        out->oldest_sent_ms = store_col_i64(oldest, 0);
    return r < 0 ? r : 0;
}

// --- removing many ---

// Rows are read first: deleting under a running statement would upset it.
int sqs_expire_tx(struct store_tx *tx, const struct sqs_queue *q, int64_t before_ms, unsigned limit,
                  unsigned *n, struct err *err)
{
    _cleanup_free_ int64_t *seqs = calloc(limit + 1, sizeof(*seqs));
    unsigned found = 0;
    int r = 0;
    *n = 0;
    if (!seqs)
        return err_set(err, -ENOMEM, "messages: out of memory");
    {
        _cleanup_(store_resetp) struct store_stmt *s = NULL;
        r = store_select(tx, &s, err,
                         "SELECT seq FROM message WHERE queue = ? AND sent_ms < ? LIMIT ?",
                         SQL_I64(q->id), SQL_I64(before_ms), SQL_I64(limit));
        while (r == 0 && (r = store_step(s, err)) > 0) {
            seqs[found++] = store_col_i64(s, 0);
            r = 0;
        }
    }
    for (unsigned i = 0; r == 0 && i < found; i++) {
        int64_t x = store_exec(tx, err, "DELETE FROM message WHERE seq = ?", SQL_I64(seqs[i]));
        if (x >= 0)
            x = store_exec(tx, err, "DELETE FROM message_body WHERE seq = ?", SQL_I64(seqs[i]));
        r = done(x);
    }
    if (r == 0 && found > 0)
        r = sqs_queue_count(tx, q->id, -(int64_t)found, err);
    if (r == 0 && found > 0 && q->fifo) // groups that lost their first or all messages
        r = done(store_exec(
            tx, err,
            "DELETE FROM message_group WHERE queue = ? AND NOT EXISTS (SELECT 1 FROM message"
            " WHERE message.queue = message_group.queue AND message.group_id ="
            " message_group.group_id AND message.deduplication_id IS NOT NULL)",
            SQL_I64(q->id)));
    *n = found;
    return r;
}

int sqs_message_move(struct store_tx *tx, int64_t seq, struct str group, int64_t from,
                     const struct sqs_queue *to, struct str source_arn, int64_t now_ms,
                     struct err *err)
{
    int64_t n = store_exec(tx, err,
                           "UPDATE message SET queue = ?, visible_ms = ?, moved_at = received,"
                           " source = ? WHERE seq = ?",
                           SQL_I64(to->id), SQL_I64(now_ms), SQL_STR(source_arn), SQL_I64(seq));
    int r = done(n);
    if (r == 0)
        r = sqs_queue_count(tx, from, -1, err);
    if (r == 0)
        r = sqs_queue_count(tx, to->id, 1, err);
    if (r == 0 && to->fifo && !str_is_null(group)) {
        r = sqs_group_refresh(tx, from, group, err);
        if (r == 0)
            r = sqs_group_refresh(tx, to->id, group, err);
    }
    return r;
}
