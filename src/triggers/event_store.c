// event_store.c - see event_store.h.

#include "triggers/event_store.h"

#include <errno.h>

static const struct store_migration migrations[] = {
    {"asynchronous events", "CREATE TABLE event ("
                            " id {id},"
                            " account TEXT NOT NULL,"
                            " region TEXT NOT NULL,"
                            " function TEXT NOT NULL,"
                            " qualifier TEXT,"
                            " arn TEXT NOT NULL,"
                            " payload BLOB NOT NULL,"
                            " client_context TEXT,"
                            " trace_id TEXT,"
                            " request_id TEXT NOT NULL,"
                            " source TEXT NOT NULL,"
                            " accepted_ms BIGINT NOT NULL,"
                            " next_ms BIGINT NOT NULL,"
                            " tries BIGINT NOT NULL,"
                            " errors BIGINT NOT NULL,"
                            " throttles BIGINT NOT NULL);"
                            "CREATE INDEX event_due ON event (account, region, function, next_ms);"
                            "CREATE TABLE failed ("
                            " id {id},"
                            " account TEXT NOT NULL,"
                            " region TEXT NOT NULL,"
                            " function TEXT NOT NULL,"
                            " qualifier TEXT,"
                            " arn TEXT NOT NULL,"
                            " payload BLOB NOT NULL,"
                            " client_context TEXT,"
                            " trace_id TEXT,"
                            " request_id TEXT NOT NULL,"
                            " source TEXT NOT NULL,"
                            " accepted_ms BIGINT NOT NULL,"
                            " tries BIGINT NOT NULL,"
                            " failure TEXT NOT NULL,"
                            " error_type TEXT,"
                            " response BLOB,"
                            " failed_ms BIGINT NOT NULL);"
                            "CREATE INDEX failed_age ON failed (failed_ms);"},
};

int event_store_open(const char *path, struct store **out, struct err *err)
{
    return store_open(path, migrations, ARRAY_LEN(migrations), out, err);
}

int event_store_add(struct store *s, const struct stored_event *e, int64_t *id, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    _cleanup_(store_resetp) struct store_stmt *st = NULL;
    int r;

    r = store_begin(s, STORE_WRITE, &tx, err);
    if (r < 0)
        return r;
    r = store_select(tx, &st, err,
                     "INSERT INTO event (account, region, function, qualifier, arn, payload,"
                     " client_context, trace_id, request_id, source, accepted_ms, next_ms, tries,"
                     " errors, throttles) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0)"
                     " RETURNING id",
                     SQL_STR(e->account), SQL_STR(e->region), SQL_STR(e->function),
                     SQL_STR(e->qualifier), SQL_STR(e->arn), SQL_BLOB(e->payload),
                     SQL_STR(e->client_context), SQL_STR(e->trace_id), SQL_STR(e->request_id),
                     SQL_STR(e->source), SQL_I64(e->accepted_ms), SQL_I64(e->next_ms));
    if (r < 0)
        return r;
    r = store_step(st, err);
    if (r < 0)
        return r;
    *id = store_col_i64(st, 0);
    while (r > 0)
        r = store_step(st, err);
    store_reset(TAKE_PTR(st));
    return r < 0 ? r : store_commit(&tx, err);
}

int event_store_retry(struct store *s, const struct stored_event *e, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    int64_t r;

    r = store_begin(s, STORE_WRITE, &tx, err);
    if (r == 0)
        r = store_exec(tx, err,
                       "UPDATE event SET next_ms = ?, tries = ?, errors = ?, throttles = ?"
                       " WHERE id = ?",
                       SQL_I64(e->next_ms), SQL_I64(e->tries), SQL_I64(e->errors),
                       SQL_I64(e->throttles), SQL_I64(e->id));
    return r < 0 ? (int)r : store_commit(&tx, err);
}

int event_store_done(struct store *s, int64_t id, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    int64_t r;

    r = store_begin(s, STORE_WRITE, &tx, err);
    if (r == 0)
        r = store_exec(tx, err, "DELETE FROM event WHERE id = ?", SQL_I64(id));
    return r < 0 ? (int)r : store_commit(&tx, err);
}

int event_store_fail(struct store *s, const struct failed_event *f, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    const struct stored_event *e = &f->event;
    int64_t r;

    r = store_begin(s, STORE_WRITE, &tx, err);
    if (r < 0)
        return (int)r;
    r = store_exec(tx, err, "DELETE FROM event WHERE id = ?", SQL_I64(e->id));
    if (r < 0)
        return (int)r;
    r = store_exec(tx, err,
                   "INSERT INTO failed (account, region, function, qualifier, arn, payload,"
                   " client_context, trace_id, request_id, source, accepted_ms, tries, failure,"
                   " error_type, response, failed_ms)"
                   " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                   SQL_STR(e->account), SQL_STR(e->region), SQL_STR(e->function),
                   SQL_STR(e->qualifier), SQL_STR(e->arn), SQL_BLOB(e->payload),
                   SQL_STR(e->client_context), SQL_STR(e->trace_id), SQL_STR(e->request_id),
                   SQL_STR(e->source), SQL_I64(e->accepted_ms), SQL_I64(e->tries),
                   SQL_STR(f->condition), SQL_STR(f->error_type), SQL_BLOB(f->response),
                   SQL_I64(f->failed_ms));
    return r < 0 ? (int)r : store_commit(&tx, err);
}

int event_store_functions(struct store *s,
                          void (*each)(void *ctx, struct str account, struct str region,
                                       struct str function, int64_t n),
                          void *ctx, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    _cleanup_(store_resetp) struct store_stmt *st = NULL;
    int r;

    r = store_begin(s, STORE_READ, &tx, err);
    if (r == 0)
        r = store_select(tx, &st, err,
                         "SELECT account, region, function, COUNT(*) FROM event"
                         " GROUP BY account, region, function");
    if (r < 0)
        return r;
    while ((r = store_step(st, err)) > 0)
        each(ctx, store_col_str(st, 0), store_col_str(st, 1), store_col_str(st, 2),
             store_col_i64(st, 3));
    return r;
}

// Columns from 0: account … source, accepted_ms, tries; the same in both tables.
#define EVENT_COLUMNS                                                                              \
    "account, region, function, qualifier, arn, payload, client_context, trace_id, request_id,"    \
    " source, accepted_ms, tries, id"
#define N_EVENT_COLUMNS 13

static void read_event(struct store_stmt *st, struct stored_event *e)
{
    *e = (struct stored_event){
        .account = store_col_str(st, 0),
        .region = store_col_str(st, 1),
        .function = store_col_str(st, 2),
        .qualifier = store_col_str(st, 3),
        .arn = store_col_str(st, 4),
        .payload = store_col_blob(st, 5),
        .client_context = store_col_str(st, 6),
        .trace_id = store_col_str(st, 7),
        .request_id = store_col_str(st, 8),
        .source = store_col_str(st, 9),
        .accepted_ms = store_col_i64(st, 10),
        .tries = (unsigned)store_col_i64(st, 11),
        .id = store_col_i64(st, 12),
    };
}

int event_store_load(struct store *s, struct str account, struct str region, struct str function,
                     unsigned limit, void (*each)(void *ctx, const struct stored_event *e),
                     void *ctx, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    _cleanup_(store_resetp) struct store_stmt *st = NULL;
    int r;

    r = store_begin(s, STORE_READ, &tx, err);
    if (r == 0)
        r = store_select(tx, &st, err,
                         "SELECT " EVENT_COLUMNS ", next_ms, errors, throttles FROM event"
                         " WHERE account = ? AND region = ? AND function = ?"
                         " ORDER BY next_ms, id LIMIT ?",
                         SQL_STR(account), SQL_STR(region), SQL_STR(function), SQL_I64(limit));
    if (r < 0)
        return r;
    while ((r = store_step(st, err)) > 0) {
        struct stored_event e;
        read_event(st, &e);
        e.next_ms = store_col_i64(st, N_EVENT_COLUMNS);
        e.errors = (unsigned)store_col_i64(st, N_EVENT_COLUMNS + 1);
        e.throttles = (unsigned)store_col_i64(st, N_EVENT_COLUMNS + 2);
        each(ctx, &e);
    }
    return r;
}

int event_store_failed(struct store *s, unsigned limit,
                       void (*each)(void *ctx, const struct failed_event *f), void *ctx,
                       struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    _cleanup_(store_resetp) struct store_stmt *st = NULL;
    int r;

    r = store_begin(s, STORE_READ, &tx, err);
    if (r == 0)
        r = store_select(tx, &st, err,
                         "SELECT " EVENT_COLUMNS ", failure, error_type, response, failed_ms"
                         " FROM failed ORDER BY id DESC LIMIT ?",
                         SQL_I64(limit));
    if (r < 0)
        return r;
    while ((r = store_step(st, err)) > 0) {
        struct failed_event f;
        read_event(st, &f.event);
        f.condition = store_col_str(st, N_EVENT_COLUMNS);
        f.error_type = store_col_str(st, N_EVENT_COLUMNS + 1);
        f.response = store_col_blob(st, N_EVENT_COLUMNS + 2);
        f.failed_ms = store_col_i64(st, N_EVENT_COLUMNS + 3);
        each(ctx, &f);
    }
    return r;
}

static void copy_event(struct arena *a, struct stored_event *e)
{
    struct str *strings[] = {&e->account,    &e->region,  &e->function,       &e->qualifier,
                             &e->arn,        &e->payload, &e->client_context, &e->trace_id,
                             &e->request_id, &e->source};
    for (size_t i = 0; i < ARRAY_LEN(strings); i++)
        *strings[i] = arena_str(a, *strings[i]);
}

int event_store_replay(struct store *s, int64_t failed_id, int64_t now_ms, struct arena *a,
                       struct stored_event *out, struct err *err)
{
    struct stored_event e;
    int64_t n;
    int r;

    {
        _cleanup_(store_abortp) struct store_tx *tx = NULL;
        _cleanup_(store_resetp) struct store_stmt *st = NULL;

        r = store_begin(s, STORE_WRITE, &tx, err);
        if (r == 0)
            r = store_select(tx, &st, err, "SELECT " EVENT_COLUMNS " FROM failed WHERE id = ?",
                             SQL_I64(failed_id));
        if (r == 0)
            r = store_step(st, err);
        if (r < 0)
            return r;
        if (r == 0)
            return err_set(err, -ENOENT, "there is no failed event %lld", (long long)failed_id);
        read_event(st, &e);
        copy_event(a, &e);
        store_reset(TAKE_PTR(st));
        n = store_exec(tx, err, "DELETE FROM failed WHERE id = ?", SQL_I64(failed_id));
        if (n < 0)
            return (int)n;
        r = store_select(tx, &st, err,
                         "INSERT INTO event (account, region, function, qualifier, arn, payload,"
                         " client_context, trace_id, request_id, source, accepted_ms, next_ms,"
                         " tries, errors, throttles)"
                         " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0) RETURNING id",
                         SQL_STR(e.account), SQL_STR(e.region), SQL_STR(e.function),
                         SQL_STR(e.qualifier), SQL_STR(e.arn), SQL_BLOB(e.payload),
                         SQL_STR(e.client_context), SQL_STR(e.trace_id), SQL_STR(e.request_id),
                         SQL_STR(e.source), SQL_I64(now_ms), SQL_I64(now_ms));
        if (r == 0)
            r = store_step(st, err);
        if (r < 0)
            return r;
        e.id = store_col_i64(st, 0);
        while (r > 0)
            r = store_step(st, err);
        store_reset(TAKE_PTR(st));
        if (r < 0)
            return r;
        r = store_commit(&tx, err);
        if (r < 0)
            return r;
    }
    e.accepted_ms = e.next_ms = now_ms;
    e.tries = e.errors = e.throttles = 0;
    *out = e;
    return 0;
}

int event_store_sweep(struct store *s, int64_t now_ms, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    int64_t r;

    r = store_begin(s, STORE_WRITE, &tx, err);
    if (r == 0)
        r = store_exec(tx, err,
                       "DELETE FROM failed WHERE failed_ms < ? OR id <="
                       " (SELECT COALESCE(MAX(id), 0) - ? FROM failed)",
                       SQL_I64(now_ms - FAILED_KEPT_MS), SQL_I64(FAILED_KEPT));
    return r < 0 ? (int)r : store_commit(&tx, err);
}
