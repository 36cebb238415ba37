// queue_store.c - the tables of db/sqs.db, and the SQL of queues.
#include "services/sqs/sqs_impl.h"

#include "base/cleanup.h"

#include <errno.h>

static const struct store_migration migrations[] = {
    {"queues and messages",
     "CREATE TABLE queue (id {id}, account TEXT NOT NULL, region TEXT NOT NULL,"
     " name TEXT NOT NULL, fifo BIGINT NOT NULL, created_ms BIGINT NOT NULL,"
     " modified_ms BIGINT NOT NULL, visibility_s BIGINT NOT NULL, delay_s BIGINT NOT NULL,"
     " retention_s BIGINT NOT NULL, max_bytes BIGINT NOT NULL, wait_s BIGINT NOT NULL,"
     " policy TEXT, redrive TEXT, dead_letter TEXT, max_receives BIGINT NOT NULL,"
     " redrive_allow TEXT, content_deduplication BIGINT NOT NULL, deduplication_scope TEXT,"
     " throughput_limit TEXT, kms_key TEXT, kms_reuse_s BIGINT NOT NULL,"
     " managed_sse BIGINT NOT NULL, purged_ms BIGINT NOT NULL, messages BIGINT NOT NULL,"
     " UNIQUE (account, region, name));"
     "CREATE INDEX queue_dead_letter ON queue (dead_letter);"
     "CREATE TABLE queue_tag (queue BIGINT NOT NULL, tag TEXT NOT NULL, value TEXT NOT NULL,"
     " PRIMARY KEY (queue, tag)) {clustered};"
     "CREATE TABLE deleted_queue (account TEXT NOT NULL, region TEXT NOT NULL,"
     " name TEXT NOT NULL, deleted_ms BIGINT NOT NULL, PRIMARY KEY (account, region, name))"
     " {clustered};"
     "CREATE TABLE message (seq {id}, queue BIGINT NOT NULL, visible_ms BIGINT NOT NULL,"
     " received BIGINT NOT NULL, moved_at BIGINT NOT NULL, id TEXT NOT NULL,"
     " sent_ms BIGINT NOT NULL, first_ms BIGINT NOT NULL, sender TEXT NOT NULL, group_id TEXT,"
     " deduplication_id TEXT, trace TEXT, source TEXT, body TEXT, attributes BLOB);"
     "CREATE INDEX message_visible ON message (queue, visible_ms, received);"
     "CREATE INDEX message_in_group ON message (queue, group_id, seq)"
     " WHERE deduplication_id IS NOT NULL;"
     "CREATE TABLE message_body (seq {id}, body TEXT NOT NULL, attributes BLOB);"
     "CREATE TABLE message_group (queue BIGINT NOT NULL, group_id TEXT NOT NULL,"
     " ready_ms BIGINT NOT NULL, PRIMARY KEY (queue, group_id)) {clustered};"
     "CREATE INDEX message_group_ready ON message_group (queue, ready_ms);"
     "CREATE TABLE deduplication (queue BIGINT NOT NULL, scope TEXT NOT NULL, id TEXT NOT NULL,"
     " until_ms BIGINT NOT NULL, message_id TEXT NOT NULL, seq BIGINT NOT NULL,"
     " PRIMARY KEY (queue, scope, id)) {clustered};"
     "CREATE INDEX deduplication_until ON deduplication (until_ms);"
     "CREATE TABLE move_task (id {id}, account TEXT NOT NULL, region TEXT NOT NULL,"
     " source BIGINT NOT NULL, source_arn TEXT NOT NULL, destination_arn TEXT,"
     " per_second BIGINT NOT NULL, status TEXT NOT NULL, moved BIGINT NOT NULL,"
     " to_move BIGINT NOT NULL, last_seq BIGINT NOT NULL, started_ms BIGINT NOT NULL,"
     " failure TEXT);"
     "CREATE INDEX move_task_source ON move_task (source_arn, started_ms);"},
};

int sqs_store_open(const char *path, struct store **out, struct err *err)
{
    return store_open(path, migrations, ARRAY_LEN(migrations), out, err);
}

#define COLUMNS                                                                                    \
    "id, account, region, name, fifo, created_ms, modified_ms, visibility_s, delay_s,"             \
    " retention_s, max_bytes, wait_s, policy, redrive, dead_letter, max_receives, redrive_allow,"  \
    " content_deduplication, deduplication_scope, throughput_limit, kms_key, kms_reuse_s,"         \
    " managed_sse, purged_ms, messages"

static void read_row(struct store_stmt *s, struct arena *a, struct sqs_queue *q)
{
    q->id = store_col_i64(s, 0);
    q->account = store_take_str(s, 1, a);
    q->region = store_take_str(s, 2, a);
    q->name = store_take_str(s, 3, a);
    q->fifo = store_col_i64(s, 4) != 0;
    q->created_ms = store_col_i64(s, 5);
    q->modified_ms = store_col_i64(s, 6);
    q->visibility_s = store_col_i64(s, 7);
    q->delay_s = store_col_i64(s, 8);
    q->retention_s = store_col_i64(s, 9);
    q->max_bytes = store_col_i64(s, 10);
    q->wait_s = store_col_i64(s, 11);
    q->policy = store_take_str(s, 12, a);
    q->redrive = store_take_str(s, 13, a);
    q->dead_letter = store_take_str(s, 14, a);
    q->max_receives = store_col_i64(s, 15);
    q->redrive_allow = store_take_str(s, 16, a);
    q->content_deduplication = store_col_i64(s, 17) != 0;
    q->deduplication_scope = store_take_str(s, 18, a);
    q->throughput_limit = store_take_str(s, 19, a);
    q->kms_key = store_take_str(s, 20, a);
    q->kms_reuse_s = store_col_i64(s, 21);
    q->managed_sse = store_col_i64(s, 22) != 0;
    q->purged_ms = store_col_i64(s, 23);
    q->messages = store_col_i64(s, 24);
}

int sqs_no_queue(struct err *err)
{
    err_aws(err, &SQS_QUEUE_DOES_NOT_EXIST, "The specified queue does not exist.");
    return -ENOENT;
}

static int read_one(struct store_stmt *s, struct arena *a, struct sqs_queue *out, struct err *err)
{
    int r = store_step(s, err);
    if (r == 0)
        return sqs_no_queue(err);
    if (r < 0)
        return r;
    read_row(s, a, out);
    return str_is_null(out->name) ? err_set(err, -ENOMEM, "queue: out of memory") : 0;
}

int sqs_queue_load(struct store_tx *tx, struct arena *a, struct str account, struct str region,
                   struct str name, struct sqs_queue *out, struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    int r = store_select(
        tx, &s, err, "SELECT " COLUMNS " FROM queue WHERE account = ? AND region = ? AND name = ?",
        SQL_STR(account), SQL_STR(region), SQL_STR(name));
    return r < 0 ? r : read_one(s, a, out, err);
}

int sqs_queue_by_id(struct store_tx *tx, struct arena *a, int64_t id, struct sqs_queue *out,
                    struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    int r = store_select(tx, &s, err, "SELECT " COLUMNS " FROM queue WHERE id = ?", SQL_I64(id));
    return r < 0 ? r : read_one(s, a, out, err);
}

// A queue URL ends in /<account>/<name>, whatever its host and what stands before; a bare name is
// taken as well (the old SDKs and tools for local stacks send it).
int sqs_queue_of_url(struct store_tx *tx, struct call *c, struct str url, struct sqs_queue *out,
                     struct err *err)
{
    struct str name = url, account = c->account;
    ptrdiff_t slash = -1;
    for (size_t i = 0; i < url.len; i++) {
        if (url.ptr[i] == '/')
            slash = (ptrdiff_t)i;
    }
    if (slash >= 0) {
        struct str before = str_slice(url, 0, (size_t)slash);
        name = str_slice(url, (size_t)slash + 1, url.len);
        if (before.len >= 12 && str_eq(str_slice(before, before.len - 12, before.len), account))
            account = c->account;
        else if (before.len >= 13 && before.ptr[before.len - 13] == '/')
            return sqs_no_queue(err); // another account's
    }
    if (name.len == 0)
        return err_aws(err, &SQS_INVALID_ADDRESS,
                       "The address %.*s is not valid for this endpoint.", STR_ARG(url));
    return sqs_queue_load(tx, c->arena, account, c->region, name, out, err);
}

int sqs_queue_of_arn(struct store_tx *tx, struct arena *a, struct str arn, struct sqs_queue *out,
                     struct err *err)
{
    struct str part[6], rest = arn;
    for (int i = 0; i < 6; i++) {
        if (!str_next(&rest, ':', &part[i]))
            return sqs_no_queue(err);
    }
    if (!str_is_null(rest) || !str_eq(part[2], STR("sqs")))
        return sqs_no_queue(err);
    return sqs_queue_load(tx, a, part[4], part[3], part[5], out, err);
}

static int done(int64_t changes)
{
    return changes < 0 ? (int)changes : 0;
}

int sqs_queue_insert(struct store_tx *tx, struct sqs_queue *q, struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    int r = store_select(
        tx, &s, err,
        "INSERT INTO queue (account, region, name, fifo, created_ms, modified_ms, visibility_s,"
        " delay_s, retention_s, max_bytes, wait_s, policy, redrive, dead_letter, max_receives,"
        " redrive_allow, content_deduplication, deduplication_scope, throughput_limit, kms_key,"
        " kms_reuse_s, managed_sse, purged_ms, messages) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
        " ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0) RETURNING id",
        SQL_STR(q->account), SQL_STR(q->region), SQL_STR(q->name), SQL_I64(q->fifo),
        SQL_I64(q->created_ms), SQL_I64(q->modified_ms), SQL_I64(q->visibility_s),
        SQL_I64(q->delay_s), SQL_I64(q->retention_s), SQL_I64(q->max_bytes), SQL_I64(q->wait_s),
        SQL_STR(q->policy), SQL_STR(q->redrive), SQL_STR(q->dead_letter), SQL_I64(q->max_receives),
        SQL_STR(q->redrive_allow), SQL_I64(q->content_deduplication),
        SQL_STR(q->deduplication_scope), SQL_STR(q->throughput_limit), SQL_STR(q->kms_key),
        SQL_I64(q->kms_reuse_s), SQL_I64(q->managed_sse));
    if (r == 0)
        r = store_step(s, err);
    if (r < 0)
        return r;
    q->id = store_col_i64(s, 0);
    return 0;
}

int sqs_queue_update(struct store_tx *tx, const struct sqs_queue *q, struct err *err)
{
    return done(store_exec(
        tx, err,
        "UPDATE queue SET modified_ms = ?, visibility_s = ?, delay_s = ?, retention_s = ?,"
        " max_bytes = ?, wait_s = ?, policy = ?, redrive = ?, dead_letter = ?, max_receives = ?,"
        " redrive_allow = ?, content_deduplication = ?, deduplication_scope = ?,"
        " throughput_limit = ?, kms_key = ?, kms_reuse_s = ?, managed_sse = ?, purged_ms = ?"
        " WHERE id = ?",
        SQL_I64(q->modified_ms), SQL_I64(q->visibility_s), SQL_I64(q->delay_s),
        SQL_I64(q->retention_s), SQL_I64(q->max_bytes), SQL_I64(q->wait_s), SQL_STR(q->policy),
        SQL_STR(q->redrive), SQL_STR(q->dead_letter), SQL_I64(q->max_receives),
        SQL_STR(q->redrive_allow), SQL_I64(q->content_deduplication),
        SQL_STR(q->deduplication_scope), SQL_STR(q->throughput_limit), SQL_STR(q->kms_key),
        SQL_I64(q->kms_reuse_s), SQL_I64(q->managed_sse), SQL_I64(q->purged_ms), SQL_I64(q->id)));
}

int sqs_queue_delete(struct store_tx *tx, const struct sqs_queue *q, int64_t now_ms,
                     struct err *err)
{
    // The messages go with the upkeep, piece by piece: nobody can reach them any more.
    static const char *const statements[] = {
        "DELETE FROM queue WHERE id = ?",
        "DELETE FROM queue_tag WHERE queue = ?",
        "DELETE FROM message_group WHERE queue = ?",
        "DELETE FROM deduplication WHERE queue = ?",
    };
    for (size_t i = 0; i < ARRAY_LEN(statements); i++) {
        int64_t n = store_exec(tx, err, statements[i], SQL_I64(q->id));
        if (n < 0)
            return (int)n;
    }
    return done(store_exec(tx, err,
                           "INSERT INTO deleted_queue (account, region, name, deleted_ms)"
                           " VALUES (?, ?, ?, ?) ON CONFLICT (account, region, name)"
                           " DO UPDATE SET deleted_ms = excluded.deleted_ms",
                           SQL_STR(q->account), SQL_STR(q->region), SQL_STR(q->name),
                           SQL_I64(now_ms)));
}

int sqs_queue_count(struct store_tx *tx, int64_t id, int64_t change, struct err *err)
{
    return done(store_exec(tx, err, "UPDATE queue SET messages = messages + ? WHERE id = ?",
                           SQL_I64(change), SQL_I64(id)));
}

struct str sqs_queue_arn(struct arena *a, const struct sqs_queue *q)
{
    return arena_printf(a, "arn:aws:sqs:%.*s:%.*s:%.*s", STR_ARG(q->region), STR_ARG(q->account),
                        STR_ARG(q->name));
}

struct str sqs_queue_url(struct call *c, const struct sqs_queue *q)
{
    return arena_printf(c->arena, "%.*s/%.*s/%.*s", STR_ARG(c->base_url), STR_ARG(q->account),
                        STR_ARG(q->name));
}
