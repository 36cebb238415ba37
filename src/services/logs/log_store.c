// log_store.c - the SQL of db/logs.db.
#include "services/logs/log_store.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>

static const struct store_migration migrations[] = {
    {"log groups",
     "CREATE TABLE log_group (account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,"
     " created_ms BIGINT NOT NULL, retention_days BIGINT NOT NULL, class TEXT NOT NULL,"
     " kms_key TEXT, protected BIGINT NOT NULL, PRIMARY KEY (account, region, name)) {clustered};"
     "CREATE TABLE log_segment (dir TEXT NOT NULL, number BIGINT NOT NULL, bytes BIGINT NOT NULL,"
     " min_ms BIGINT NOT NULL, max_ms BIGINT NOT NULL, ingested_ms BIGINT NOT NULL,"
     " message_bytes BIGINT NOT NULL, PRIMARY KEY (dir, number)) {clustered};"
     "CREATE TABLE log_stream (dir TEXT NOT NULL, name TEXT NOT NULL, created_ms BIGINT NOT NULL,"
     " first_ms BIGINT NOT NULL, last_ms BIGINT NOT NULL, ingested_ms BIGINT NOT NULL,"
     " since BIGINT NOT NULL, dropped BIGINT NOT NULL, PRIMARY KEY (dir, name)) {clustered};"
     "CREATE TABLE log_tag (owner TEXT NOT NULL, tag TEXT NOT NULL, value TEXT NOT NULL,"
     " PRIMARY KEY (owner, tag)) {clustered};"},
};

int log_store_open(const char *path, bool ephemeral, struct store **out, struct err *err)
{
    const struct store_options options = {
        .path = path,
        .migrations = migrations,
        .n_migrations = ARRAY_LEN(migrations),
        .ephemeral = ephemeral,
    };
    return store_open_with(&options, out, err);
}

static int keep_group(struct store_stmt *s, struct err *err)
{
    bool made;
    struct str kms = store_col_str(s, 6);
    struct log_group *g = log_group_make(store_col_str(s, 0), store_col_str(s, 1),
                                         store_col_str(s, 2), store_col_i64(s, 3), &made);
    if (!g)
        return err_set(err, -ENOMEM, "log groups: out of memory");
    g->retention_days = store_col_i64(s, 4);
    g->class = str_eq(store_col_str(s, 5), STR("INFREQUENT_ACCESS")) ? STR("INFREQUENT_ACCESS")
               : str_eq(store_col_str(s, 5), STR("DELIVERY"))        ? STR("DELIVERY")
                                                                     : STR("STANDARD");
    if (!str_is_null(kms)) {
        char *copy = strndup(kms.ptr, kms.len);
        g->kms_key = (struct str){copy, copy ? kms.len : 0};
    }
    g->protected = store_col_i64(s, 7) != 0;
    g->saved = true;
    log_group_unref(g);
    return 0;
}

int log_store_read_groups(struct store *s, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    _cleanup_(store_resetp) struct store_stmt *stmt = NULL;
    int r = store_begin(s, STORE_READ, &tx, err);
    if (r < 0)
        return r;
    r = store_select(tx, &stmt, err,
                     "SELECT account, region, name, created_ms, retention_days, class, kms_key,"
                     " protected FROM log_group");
    if (r < 0)
        return r;
    while ((r = store_step(stmt, err)) > 0) {
        r = keep_group(stmt, err);
        if (r < 0)
            return r;
    }
    return r;
}

static void keep_segment(struct log_group *g, struct store_stmt *s)
{
    for (size_t i = 0; i < g->n_segments; i++) {
        struct log_segment *x = &g->segments[i];
        if (x->number != (uint32_t)store_col_i64(s, 0))
            continue;
        if (x->scanned || x->bytes != (size_t)store_col_i64(s, 1))
            return;
        x->min_ms = store_col_i64(s, 2);
        x->max_ms = store_col_i64(s, 3);
        x->ingested_ms = store_col_i64(s, 4);
        x->message_bytes = store_col_i64(s, 5);
        x->scanned = x->saved = true;
        return;
    }
}

int log_store_read_streams(struct store *s, struct log_group *g, struct log_group *streams,
                           struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    _cleanup_(store_resetp) struct store_stmt *stmt = NULL;
    int r = store_begin(s, STORE_READ, &tx, err);
    if (r < 0)
        return r;
    r = store_select(tx, &stmt, err,
                     "SELECT number, bytes, min_ms, max_ms, ingested_ms, message_bytes"
                     " FROM log_segment WHERE dir = ? ORDER BY number",
                     SQL_CSTR(g->dir));
    if (r < 0)
        return r;
    while ((r = store_step(stmt, err)) > 0) {
        pthread_mutex_lock(&g->lock);
        keep_segment(g, stmt);
        pthread_mutex_unlock(&g->lock);
    }
    if (r < 0)
        return r;
    store_resetp(&stmt);
    stmt = NULL;
    r = store_select(tx, &stmt, err,
                     "SELECT name, created_ms, first_ms, last_ms, ingested_ms, since, dropped"
                     " FROM log_stream WHERE dir = ?",
                     SQL_CSTR(g->dir));
    if (r < 0)
        return r;
    while ((r = store_step(stmt, err)) > 0) {
        struct log_stream *x =
            log_stream_add(streams, store_col_str(stmt, 0), store_col_i64(stmt, 1));
        if (!x)
            return err_set(err, -ENOMEM, "log streams: out of memory");
        x->first_ms = store_col_i64(stmt, 2);
        x->last_ms = store_col_i64(stmt, 3);
        x->ingested_ms = store_col_i64(stmt, 4);
        x->since = (uint64_t)store_col_i64(stmt, 5);
        x->dropped = store_col_i64(stmt, 6) != 0;
        x->unsaved = false;
    }
    return r;
}

static int done(int64_t changes)
{
    return changes < 0 ? (int)changes : 0;
}

int log_store_put_group(struct store_tx *tx, const struct log_group *g, struct err *err)
{
    return done(store_exec(
        tx, err,
        "INSERT INTO log_group (account, region, name, created_ms, retention_days, class,"
        " kms_key, protected) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (account, region, name) DO UPDATE SET retention_days ="
        " excluded.retention_days, class = excluded.class, kms_key = excluded.kms_key,"
        " protected = excluded.protected",
        SQL_STR(g->account), SQL_STR(g->region), SQL_STR(g->name), SQL_I64(g->created_ms),
        SQL_I64(g->retention_days), SQL_STR(g->class), SQL_STR(g->kms_key), SQL_I64(g->protected)));
}

int log_store_delete_group(struct store_tx *tx, const struct log_group *g, struct err *err)
{
    int64_t n =
        store_exec(tx, err, "DELETE FROM log_group WHERE account = ? AND region = ? AND name = ?",
                   SQL_STR(g->account), SQL_STR(g->region), SQL_STR(g->name));
    if (n >= 0)
        n = store_exec(tx, err, "DELETE FROM log_segment WHERE dir = ?", SQL_CSTR(g->dir));
    if (n >= 0)
        n = store_exec(tx, err, "DELETE FROM log_stream WHERE dir = ?", SQL_CSTR(g->dir));
    if (n >= 0)
        n = store_exec(tx, err, "DELETE FROM log_tag WHERE owner = ?", SQL_CSTR(g->dir));
    return done(n);
}

int log_store_put_segment(struct store_tx *tx, const char *dir, const struct log_segment *s,
                          struct err *err)
{
    return done(store_exec(
        tx, err,
        "INSERT INTO log_segment (dir, number, bytes, min_ms, max_ms, ingested_ms, message_bytes)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (dir, number) DO UPDATE SET"
        " bytes = excluded.bytes, min_ms = excluded.min_ms, max_ms = excluded.max_ms,"
        " ingested_ms = excluded.ingested_ms, message_bytes = excluded.message_bytes",
        SQL_CSTR(dir), SQL_I64(s->number), SQL_I64((int64_t)s->bytes), SQL_I64(s->min_ms),
        SQL_I64(s->max_ms), SQL_I64(s->ingested_ms), SQL_I64(s->message_bytes)));
}

int log_store_delete_segment(struct store_tx *tx, const char *dir, uint32_t number, struct err *err)
{
    return done(store_exec(tx, err, "DELETE FROM log_segment WHERE dir = ? AND number = ?",
                           SQL_CSTR(dir), SQL_I64(number)));
}

int log_store_put_stream(struct store_tx *tx, const char *dir, const struct log_stream *s,
                         struct err *err)
{
    return done(store_exec(
        tx, err,
        "INSERT INTO log_stream (dir, name, created_ms, first_ms, last_ms, ingested_ms, since,"
        " dropped) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (dir, name) DO UPDATE SET"
        " created_ms = excluded.created_ms, first_ms = excluded.first_ms,"
        " last_ms = excluded.last_ms, ingested_ms = excluded.ingested_ms,"
        " since = excluded.since, dropped = excluded.dropped",
        SQL_CSTR(dir), SQL_STR(s->name), SQL_I64(s->created_ms), SQL_I64(s->first_ms),
        SQL_I64(s->last_ms), SQL_I64(s->ingested_ms), SQL_I64((int64_t)s->since),
        SQL_I64(s->dropped)));
}

int log_store_tags(struct store *s, struct arena *a, struct str owner, struct log_tag **out,
                   size_t *n, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    _cleanup_(store_resetp) struct store_stmt *stmt = NULL;
    struct log_tag *tags = arena_new_array(a, struct log_tag, 51);
    size_t found = 0;
    if (!tags)
        return err_set(err, -ENOMEM, "tags: out of memory");
    int r = store_begin(s, STORE_READ, &tx, err);
    if (r < 0)
        return r;
    r = store_select(tx, &stmt, err,
                     "SELECT tag, value FROM log_tag WHERE owner = ? ORDER BY tag LIMIT 51",
                     SQL_STR(owner));
    if (r < 0)
        return r;
    while ((r = store_step(stmt, err)) > 0) {
        tags[found].key = store_take_str(stmt, 0, a);
        tags[found++].value = store_take_str(stmt, 1, a);
    }
    *out = tags;
    *n = found;
    return r;
}

int log_store_put_tag(struct store_tx *tx, struct str owner, struct str key, struct str value,
                      struct err *err)
{
    return done(store_exec(tx, err,
                           "INSERT INTO log_tag (owner, tag, value) VALUES (?, ?, ?)"
                           " ON CONFLICT (owner, tag) DO UPDATE SET value = excluded.value",
                           SQL_STR(owner), SQL_STR(key), SQL_STR(value)));
}

int log_store_delete_tag(struct store_tx *tx, struct str owner, struct str key, struct err *err)
{
    return done(store_exec(tx, err, "DELETE FROM log_tag WHERE owner = ? AND tag = ?",
                           SQL_STR(owner), SQL_STR(key)));
}
