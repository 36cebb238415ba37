// moves.c - message move tasks: from a dead-letter queue back to where the messages came from, or
// to a queue that was named.
//
// A task is a row; the upkeep thread moves its messages in small transactions, so a task goes on
// after a restart. RUNNING -> COMPLETED | FAILED (moves_run), RUNNING -> CANCELLED (Cancel…).
#include "services/sqs/sqs_impl.h"

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/uuid.h"
#include "os/random.h"

#include <errno.h>

#define CHUNK 100          // messages per transaction
#define MAX_PER_SECOND 500 // StartMessageMoveTask

struct task {
    int64_t id, source, per_second, last_seq, moved, started_ms;
    struct str source_arn, destination_arn;
};

// --- the operations ---

static int no_resource(struct err *err)
{
    err_aws(err, &SQS_RESOURCE_NOT_FOUND_EXCEPTION,
            "The resource that you specified for the SourceArn parameter doesn't exist.");
    return -ENOENT;
}

static int find_source(struct store_tx *tx, struct call *c, struct str arn, struct sqs_queue *q,
                       struct err *err)
{
    int r = sqs_queue_of_arn(tx, c->arena, arn, q, err);
    return r == -ENOENT || (r == 0 && !str_eq(q->account, c->account)) ? no_resource(err) : r;
}

static int exists(struct store_tx *tx, const char *sql, struct str arg, bool *out, struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    int r = store_select(tx, &s, err, sql, SQL_STR(arg));
    if (r == 0)
        r = store_step(s, err);
    *out = r > 0;
    return r < 0 ? r : 0;
}

static struct str make_handle(struct call *c, int64_t id, struct str source_arn)
{
    struct str text = arena_printf(c->arena, "{\"taskId\":\"%lld\",\"sourceArn\":\"%.*s\"}",
                                   (long long)id, STR_ARG(source_arn));
    return base64_arena(c->arena, text);
}

static bool parse_handle(struct call *c, struct str handle, int64_t *id)
{
    struct str text, digits;
    if (base64_decode(c->arena, handle, &text) < 0 || !str_starts(text, STR("{\"taskId\":\"")))
        return false;
    text = str_slice(text, 11, text.len);
    return str_next(&text, '"', &digits) && str_to_i64(digits, id) == 0;
}

static int check_start(struct store_tx *tx, struct call *c,
                       const struct sqs_start_message_move_task_in *in, struct sqs_queue *source,
                       struct err *err)
{
    struct sqs_queue destination;
    bool found = false;
    int r = find_source(tx, c, in->source_arn, source, err);
    if (r == 0)
        r = exists(tx, "SELECT 1 FROM queue WHERE dead_letter = ? LIMIT 1", in->source_arn, &found,
                   err);
    if (r < 0)
        return r;
    if (!found)
        return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                       "Source queue must be configured as a Dead Letter Queue.");
    if (!str_is_null(in->destination_arn)) {
        r = sqs_queue_of_arn(tx, c->arena, in->destination_arn, &destination, err);
        if (r == -ENOENT)
            return no_resource(err);
        if (r < 0)
            return r;
        if (destination.id == source->id)
            return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                           "Source queue and destination queue must not be the same.");
        if (destination.fifo != source->fifo)
            return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                           "Source queue and destination queue must be of the same type.");
    }
    if (in->has_max_number_of_messages_per_second &&
        (in->max_number_of_messages_per_second < 1 ||
         in->max_number_of_messages_per_second > MAX_PER_SECOND))
        return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                       "Value for parameter MaxNumberOfMessagesPerSecond is invalid. Reason: You "
                       "must enter a value that is greater than or equal to 1 and less than or "
                       "equal to 500.");
    r = exists(tx, "SELECT 1 FROM move_task WHERE source_arn = ? AND status = 'RUNNING' LIMIT 1",
               in->source_arn, &found, err);
    if (r == 0 && found)
        r = err_aws(err, &SQS_UNSUPPORTED_OPERATION,
                    "There is already a task running. Only one active task is allowed for a source "
                    "queue arn at a given time.");
    return r;
}

int sqs_start_message_move_task(struct call *c, const struct sqs_start_message_move_task_in *in,
                                struct sqs_start_message_move_task_out *out, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct sqs_queue source;
    int64_t id = 0;
    int r = store_begin(sqs.store, STORE_WRITE, &tx, err);
    if (r == 0)
        r = check_start(tx, c, in, &source, err);
    if (r < 0)
        return r;
    {
        _cleanup_(store_resetp) struct store_stmt *s = NULL;
        r = store_select(tx, &s, err,
                         "INSERT INTO move_task (account, region, source, source_arn,"
                         " destination_arn, per_second, status, moved, to_move, last_seq,"
                         " started_ms) VALUES (?, ?, ?, ?, ?, ?, 'RUNNING', 0, ?, 0, ?)"
                         " RETURNING id",
                         SQL_STR(c->account), SQL_STR(c->region), SQL_I64(source.id),
                         SQL_STR(in->source_arn), SQL_STR(in->destination_arn),
                         SQL_I64(WIRE_GET(in, max_number_of_messages_per_second, 0)),
                         SQL_I64(source.messages), SQL_I64(c->now_ms));
        if (r == 0)
            r = store_step(s, err);
        if (r > 0)
            id = store_col_i64(s, 0);
    }
    if (r >= 0)
        r = store_commit(&tx, err);
    if (r < 0)
        return r;
    sqs_upkeep_kick();
    out->task_handle = make_handle(c, id, in->source_arn);
    return str_is_null(out->task_handle) ? err_set(err, -ENOMEM, "task: out of memory") : 0;
}

int sqs_cancel_message_move_task(struct call *c, const struct sqs_cancel_message_move_task_in *in,
                                 struct sqs_cancel_message_move_task_out *out, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    int64_t id = 0;
    int r;
    if (!parse_handle(c, in->task_handle, &id))
        return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                       "Value for parameter TaskHandle is invalid.");
    r = store_begin(sqs.store, STORE_WRITE, &tx, err);
    if (r < 0)
        return r;
    {
        _cleanup_(store_resetp) struct store_stmt *s = NULL;
        r = store_select(tx, &s, err,
                         "UPDATE move_task SET status = 'CANCELLED' WHERE id = ? AND account = ?"
                         " AND status = 'RUNNING' RETURNING moved",
                         SQL_I64(id), SQL_STR(c->account));
        if (r == 0)
            r = store_step(s, err);
        if (r > 0)
            WIRE_SET(out, approximate_number_of_messages_moved, store_col_i64(s, 0));
        if (r == 0)
            return err_aws(err, &SQS_RESOURCE_NOT_FOUND_EXCEPTION,
                           "The resource that you specified for the TaskHandle parameter doesn't "
                           "exist, or the task is not running.");
        while (r > 0)
            r = store_step(s, err);
    }
    return r < 0 ? r : store_commit(&tx, err);
}

int sqs_list_message_move_tasks(struct call *c, const struct sqs_list_message_move_tasks_in *in,
                                struct sqs_list_message_move_tasks_out *out, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    struct sqs_queue source;
    int64_t max = WIRE_GET(in, max_results, 1);
    if (max < 1 || max > 10)
        return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                       "Value %lld for parameter MaxResults is invalid. Reason: Must be between 1 "
                       "and 10, if provided.",
                       (long long)max);
    int r = store_begin(sqs.store, STORE_READ, &tx, err);
    if (r == 0)
        r = find_source(tx, c, in->source_arn, &source, err);
    if (r == 0)
        r = store_select(tx, &s, err,
                         "SELECT id, status, destination_arn, per_second, moved, to_move,"
                         " started_ms, failure FROM move_task WHERE source_arn = ?"
                         " ORDER BY started_ms DESC, id DESC LIMIT ?",
                         SQL_STR(in->source_arn), SQL_I64(max));
    if (r < 0)
        return r;
    out->results.ptr =
        arena_new_array(c->arena, struct sqs_list_message_move_tasks_result_entry, 10);
    if (!out->results.ptr)
        return err_set(err, -ENOMEM, "tasks: out of memory");
    while ((r = store_step(s, err)) > 0) {
        struct sqs_list_message_move_tasks_result_entry *t = &out->results.ptr[out->results.n++];
        t->status = store_take_str(s, 1, c->arena);
        t->source_arn = in->source_arn;
        t->destination_arn = store_take_str(s, 2, c->arena);
        if (store_col_i64(s, 3) > 0)
            WIRE_SET(t, max_number_of_messages_per_second, store_col_i64(s, 3));
        WIRE_SET(t, approximate_number_of_messages_moved, store_col_i64(s, 4));
        WIRE_SET(t, approximate_number_of_messages_to_move, store_col_i64(s, 5));
        WIRE_SET(t, started_timestamp, store_col_i64(s, 6));
        t->failure_reason = store_take_str(s, 7, c->arena);
        if (str_eq(t->status, STR("RUNNING")))
            t->task_handle = make_handle(c, store_col_i64(s, 0), in->source_arn);
    }
    return r;
}

// --- moving ---

static int read_tasks(struct store_tx *tx, struct arena *a, struct task *out, unsigned max,
                      unsigned *n, struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    int r = store_select(tx, &s, err,
                         "SELECT id, source, per_second, last_seq, moved, started_ms, source_arn,"
                         " destination_arn FROM move_task WHERE status = 'RUNNING' LIMIT ?",
                         SQL_I64(max));
    *n = 0;
    if (r < 0)
        return r;
    while ((r = store_step(s, err)) > 0) {
        struct task *t = &out[(*n)++];
        t->id = store_col_i64(s, 0);
        t->source = store_col_i64(s, 1);
        t->per_second = store_col_i64(s, 2);
        t->last_seq = store_col_i64(s, 3);
        t->moved = store_col_i64(s, 4);
        t->started_ms = store_col_i64(s, 5);
        t->source_arn = store_take_str(s, 6, a);
        t->destination_arn = store_take_str(s, 7, a);
    }
    return r;
}

static int end_task(struct store_tx *tx, const struct task *t, const char *status,
                    const char *failure, struct err *err)
{
    int64_t n = store_exec(tx, err,
                           "UPDATE move_task SET status = ?, failure = ? WHERE id = ?"
                           " AND status = 'RUNNING'",
                           SQL_CSTR(status), SQL_STR(failure ? str_from(failure) : STR_NULL),
                           SQL_I64(t->id));
    return n < 0 ? (int)n : 0;
}

struct moving {
    int64_t seq;
    struct str group, source;
};

static int read_messages(struct store_tx *tx, struct arena *a, const struct task *t, unsigned max,
                         int64_t now_ms, struct moving *out, unsigned *n, struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    int r = store_select(tx, &s, err,
                         "SELECT seq, group_id, source FROM message WHERE queue = ? AND"
                         " visible_ms <= ? ORDER BY visible_ms LIMIT ?",
                         SQL_I64(t->source), SQL_I64(now_ms), SQL_I64(max));
    *n = 0;
    if (r < 0)
        return r;
    while ((r = store_step(s, err)) > 0) {
        struct moving *m = &out[(*n)++];
        m->seq = store_col_i64(s, 0);
        m->group = store_take_str(s, 1, a);
        m->source = store_take_str(s, 2, a);
    }
    return r;
}

// A moved message counts as sent anew: a new id, a new time, no receives.
static int renew(struct store_tx *tx, struct arena *a, int64_t seq, int64_t now_ms, struct err *err)
{
    uint8_t random[16];
    os_random(random, sizeof(random));
    int64_t n = store_exec(tx, err,
                           "UPDATE message SET id = ?, sent_ms = ?, received = 0, moved_at = 0,"
                           " first_ms = 0, source = NULL WHERE seq = ?",
                           SQL_STR(uuid_arena(a, random)), SQL_I64(now_ms), SQL_I64(seq));
    return n < 0 ? (int)n : 0;
}

// How many may be moved now, at the task's speed.
static unsigned allowance(const struct task *t, int64_t now_ms)
{
    int64_t rate = t->per_second > 0 ? t->per_second : MAX_PER_SECOND;
    int64_t due = (now_ms - t->started_ms) * rate / 1000 + rate / 10 + 1 - t->moved;
    return due <= 0 ? 0 : due > CHUNK ? CHUNK : (unsigned)due;
}

struct outcome {
    struct sqs_queue destination;
    unsigned moved;
    bool ended;
};

static int move_chunk(struct store_tx *tx, struct arena *a, const struct task *t, int64_t now_ms,
                      struct outcome *o, struct err *err)
{
    struct moving found[CHUNK];
    unsigned n, max = allowance(t, now_ms);
    int r = max == 0 ? 0 : read_messages(tx, a, t, max, now_ms, found, &n, err);
    if (r < 0 || max == 0)
        return r;
    if (n == 0) {
        o->ended = true;
        return end_task(tx, t, "COMPLETED", NULL, err);
    }
    for (unsigned i = 0; i < n; i++) {
        struct str to = str_is_null(t->destination_arn) ? found[i].source : t->destination_arn;
        struct err why = ERR_INIT;
        r = str_is_null(to) ? -ENOENT : sqs_queue_of_arn(tx, a, to, &o->destination, &why);
        if (r == -ENOENT) {
            o->ended = true;
            return end_task(tx, t, "FAILED",
                            str_is_null(to) ? "CouldNotDetermineMessageSource"
                                            : "AWS.SimpleQueueService.NonExistentQueue",
                            err);
        }
        if (r == 0)
            r = sqs_message_move(tx, found[i].seq, found[i].group, t->source, &o->destination,
                                 STR_NULL, now_ms, err);
        if (r == 0)
            r = renew(tx, a, found[i].seq, now_ms, err);
        if (r == 0 && o->destination.fifo) // its first message may be this one, received anew
            r = sqs_group_refresh(tx, o->destination.id, found[i].group, err);
        if (r < 0)
            return r;
        o->moved++;
    }
    int64_t x = store_exec(tx, err, "UPDATE move_task SET moved = moved + ? WHERE id = ?",
                           SQL_I64(o->moved), SQL_I64(t->id));
    return x < 0 ? (int)x : 0;
}

static int run_task(struct arena *a, const struct task *t, int64_t now_ms, struct outcome *o,
                    struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    int r = store_begin(sqs.store, STORE_WRITE, &tx, err);
    if (r == 0)
        r = move_chunk(tx, a, t, now_ms, o, err);
    if (r == 0)
        r = store_commit(&tx, err);
    if (r == 0 && o->moved > 0)
        sqs_notify(&o->destination, now_ms);
    return r;
}

int sqs_moves_run(int64_t now_ms, bool *more, struct err *err)
{
    struct task tasks[16];
    struct arena arena = {0};
    unsigned n = 0;
    int r;
    *more = false;
    arena_init(&arena, (size_t)4 << 20);
    {
        _cleanup_(store_abortp) struct store_tx *tx = NULL;
        r = store_begin(sqs.store, STORE_READ, &tx, err);
        if (r == 0)
            r = read_tasks(tx, &arena, tasks, ARRAY_LEN(tasks), &n, err);
    }
    for (unsigned i = 0; r == 0 && i < n; i++) {
        struct outcome o = {0};
        r = run_task(&arena, &tasks[i], now_ms, &o, err);
        *more = *more || !o.ended;
    }
    arena_finish(&arena);
    return r;
}
