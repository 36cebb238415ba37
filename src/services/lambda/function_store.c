// function_store.c - functions, versions and records in db/lambda.db.
//
// Invariant: a row that refers to code is written only after that code is on the disk.
#include "services/lambda/lambda_impl.h"

#include "base/cleanup.h"
#include "os/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const struct store_migration migrations[] = {
    {"functions, versions, records",
     "CREATE TABLE functions (account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,"
     " next_version BIGINT NOT NULL, PRIMARY KEY (account, region, name)) {clustered};"
     "CREATE TABLE versions (account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,"
     " number BIGINT NOT NULL, sha256 TEXT NOT NULL, layers TEXT NOT NULL, doc TEXT NOT NULL,"
     " environment BLOB, PRIMARY KEY (account, region, name, number)) {clustered};"
     "CREATE TABLE records (account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,"
     " kind TEXT NOT NULL, qualifier TEXT NOT NULL, doc TEXT NOT NULL,"
     " PRIMARY KEY (account, region, name, kind, qualifier)) {clustered};"},
    {"layers and event source mappings",
     "CREATE TABLE layers (account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,"
     " number BIGINT NOT NULL, sha256 TEXT NOT NULL, unpacked BIGINT NOT NULL,"
     " deleted BIGINT NOT NULL, doc TEXT NOT NULL, policy TEXT, policy_revision TEXT,"
     " PRIMARY KEY (account, region, name, number)) {clustered};"
     "CREATE TABLE mappings (uuid TEXT NOT NULL PRIMARY KEY, account TEXT NOT NULL,"
     " region TEXT NOT NULL, doc TEXT NOT NULL) {clustered};"},
    {"container images", "ALTER TABLE versions ADD COLUMN image_uri TEXT;"},
    {"tags of event source mappings", "ALTER TABLE mappings ADD COLUMN tags TEXT;"},
    {"hot reloading", "ALTER TABLE versions ADD COLUMN hot_folder TEXT;"},
};

int lambda_store_open(struct lambda *l, struct err *err)
{
    _cleanup_free_ char *path = engine_path(l->engine, "db/lambda.db");

    if (!path)
        return err_set(err, -ENOMEM, "out of memory");
    return store_open(path, migrations, ARRAY_LEN(migrations), &l->store, err);
}

// What binds an encrypted environment to its row.
static struct str environment_context(struct arena *a, struct str account, struct str region,
                                      struct str name, uint64_t number)
{
    return arena_printf(a, "%.*s/%.*s/%.*s/%llu", STR_ARG(account), STR_ARG(region), STR_ARG(name),
                        (unsigned long long)number);
}

// --- writing ---

int fn_store_put(struct store_tx *tx, const struct fn *f, uint64_t next_version, struct err *err)
{
    int64_t r = store_exec(tx, err,
                           "INSERT INTO functions (account, region, name, next_version)"
                           " VALUES (?, ?, ?, ?) ON CONFLICT (account, region, name)"
                           " DO UPDATE SET next_version = excluded.next_version",
                           SQL_STR(f->account), SQL_STR(f->region), SQL_STR(f->name),
                           SQL_I64((int64_t)next_version));
    return r < 0 ? (int)r : 0;
}

int fn_store_delete(struct store_tx *tx, const struct fn *f, struct err *err)
{
    static const char *const statements[] = {
        "DELETE FROM functions WHERE account = ? AND region = ? AND name = ?",
        "DELETE FROM versions WHERE account = ? AND region = ? AND name = ?",
        "DELETE FROM records WHERE account = ? AND region = ? AND name = ?",
    };

    for (size_t i = 0; i < ARRAY_LEN(statements); i++) {
        int64_t r = store_exec(tx, err, statements[i], SQL_STR(f->account), SQL_STR(f->region),
                               SQL_STR(f->name));
        if (r < 0)
            return (int)r;
    }
    return 0;
}

int fn_store_version(struct store_tx *tx, struct lambda *l, const struct fn *f,
                     const struct fn_version *v, struct err *err)
{
    _cleanup_(arena_finish) struct arena a = {0};
    _cleanup_(buf_finishp) struct buf layers = {0};
    struct str doc, environment, box = STR_NULL;
    int r;

    arena_init(&a, 8 * LAMBDA_MAX_DOC_BYTES);
    buf_init(&layers, 4096);
    r = fn_version_docs(v, &a, &doc, &environment, err);
    if (r < 0)
        return r;
    if (!str_is_null(environment)) {
        r = secret_seal(&l->key, environment_context(&a, f->account, f->region, f->name, v->number),
                        environment, &a, &box, err);
        if (r < 0)
            return r;
    }
    for (unsigned i = 0; i < v->n_layers; i++)
        buf_addf(&layers, "%s%s", i ? " " : "", v->layer_sha256[i]);
    int64_t n = store_exec(
        tx, err,
        "INSERT INTO versions (account, region, name, number, sha256, layers, doc, environment,"
        " image_uri, hot_folder) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (account, region, name, number) DO UPDATE SET"
        " sha256 = excluded.sha256, layers = excluded.layers, doc = excluded.doc,"
        " environment = excluded.environment, image_uri = excluded.image_uri,"
        " hot_folder = excluded.hot_folder",
        SQL_STR(f->account), SQL_STR(f->region), SQL_STR(f->name), SQL_I64((int64_t)v->number),
        SQL_CSTR(v->sha256), SQL_STR(buf_str(&layers)), SQL_STR(doc), SQL_BLOB(box),
        SQL_STR(v->image_uri), SQL_STR(v->hot_folder));
    return n < 0 ? (int)n : 0;
}

int fn_store_delete_version(struct store_tx *tx, const struct fn *f, uint64_t number,
                            struct err *err)
{
    int64_t r = store_exec(
        tx, err,
        "DELETE FROM versions WHERE account = ? AND region = ? AND name = ? AND number = ?",
        SQL_STR(f->account), SQL_STR(f->region), SQL_STR(f->name), SQL_I64((int64_t)number));
    return r < 0 ? (int)r : 0;
}

int fn_store_record(struct store_tx *tx, const struct fn *f, const struct fn_record *r,
                    struct err *err)
{
    int64_t n =
        store_exec(tx, err,
                   "INSERT INTO records (account, region, name, kind, qualifier, doc)"
                   " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (account, region, name, kind, qualifier)"
                   " DO UPDATE SET doc = excluded.doc",
                   SQL_STR(f->account), SQL_STR(f->region), SQL_STR(f->name),
                   SQL_CSTR(record_kind_name(r->kind)), SQL_STR(r->qualifier), SQL_STR(r->doc));
    return n < 0 ? (int)n : 0;
}

int fn_store_delete_record(struct store_tx *tx, const struct fn *f, enum record_kind kind,
                           struct str qualifier, struct err *err)
{
    int64_t n = store_exec(tx, err,
                           "DELETE FROM records WHERE account = ? AND region = ? AND name = ?"
                           " AND kind = ? AND qualifier = ?",
                           SQL_STR(f->account), SQL_STR(f->region), SQL_STR(f->name),
                           SQL_CSTR(record_kind_name(kind)), SQL_STR(qualifier));
    return n < 0 ? (int)n : 0;
}

int fn_save_record(struct lambda *l, struct fn *f, struct fn_record *record, struct err *err)
{
    _cleanup_(fn_record_unrefp) struct fn_record *held = record;
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    int r;

    if (fn_reserve(l, f) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    r = store_begin(l->store, STORE_WRITE, &tx, err);
    if (r == 0)
        r = fn_store_record(tx, f, record, err);
    if (r == 0)
        r = store_commit(&tx, err);
    if (r < 0)
        return r;
    fn_put_record(l, f, TAKE_PTR(held));
    return 0;
}

int fn_drop_record(struct lambda *l, struct fn *f, enum record_kind kind, struct str qualifier,
                   struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    int r = store_begin(l->store, STORE_WRITE, &tx, err);

    if (r == 0)
        r = fn_store_delete_record(tx, f, kind, qualifier, err);
    if (r == 0)
        r = store_commit(&tx, err);
    if (r < 0)
        return r;
    fn_remove_record(l, f, kind, qualifier);
    return 0;
}

// --- reading everything, at start ---

static int load_functions(struct lambda *l, struct store_tx *tx, struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    int r = store_select(tx, &s, err, "SELECT account, region, name, next_version FROM functions");

    if (r < 0)
        return r;
    while ((r = store_step(s, err)) > 0) {
        struct fn *f = fn_new(store_col_str(s, 0), store_col_str(s, 1), store_col_str(s, 2));
        if (!f)
            return err_set(err, -ENOMEM, "out of memory");
        f->next_version = (uint64_t)store_col_i64(s, 3);
        if (map_set(&l->functions, f->key, f, NULL) < 0) {
            fn_free(f);
            return err_set(err, -ENOMEM, "out of memory");
        }
    }
    return r;
}

static unsigned parse_layers(struct str text, char out[][SHA256_HEX_BYTES])
{
    struct str part;
    unsigned n = 0;

    while (n < LAMBDA_MAX_LAYERS && str_next(&text, ' ', &part))
        if (part.len == SHA256_HEX_BYTES - 1)
            snprintf(out[n++], SHA256_HEX_BYTES, "%.*s", STR_ARG(part));
    return n;
}

static int load_version(struct lambda *l, struct store_stmt *s, struct err *err)
{
    _cleanup_(arena_finish) struct arena a = {0};
    char layers[LAMBDA_MAX_LAYERS][SHA256_HEX_BYTES] = {{0}};
    struct fn *f = fn_get(l, store_col_str(s, 0), store_col_str(s, 1), store_col_str(s, 2));
    struct fn_version *v = NULL;
    struct str environment = STR_NULL;
    bool lost = false;

    arena_init(&a, 8 * LAMBDA_MAX_DOC_BYTES);
    if (!f)
        return err_set(err, -EUCLEAN, "a version without its function in lambda.db");
    if (fn_reserve(l, f) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    uint64_t number = (uint64_t)store_col_i64(s, 3);
    const struct version_parts parts = {
        .account = f->account,
        .region = f->region,
        .name = f->name,
        .number = number,
        .sha256 = arena_cstr(&a, store_col_str(s, 4)),
        .image_uri = store_col_is_null(s, 8) ? STR_NULL : store_col_str(s, 8),
        .hot_folder = store_col_is_null(s, 9) ? STR_NULL : store_col_str(s, 9),
        .layer_sha256 = layers,
        .n_layers = parse_layers(store_col_str(s, 5), layers),
    };
    if (!parts.sha256)
        return err_set(err, -ENOMEM, "out of memory");
    if (!store_col_is_null(s, 7)) {
        struct err why = ERR_INIT;
        lost = secret_open(&l->key, environment_context(&a, f->account, f->region, f->name, number),
                           store_col_blob(s, 7), &a, &environment, &why) < 0;
        if (lost)
            log_error("environment variables of %.*s: %s", STR_ARG(f->key), why.message);
    }
    int r = fn_version_from_docs(l, &parts, store_col_str(s, 6), environment, lost, &v, err);
    if (r < 0)
        return err_wrap(err, "version %llu of %.*s", (unsigned long long)number, STR_ARG(f->key));
    fn_put_version(l, f, v);
    return 0;
}

static int load_versions(struct lambda *l, struct store_tx *tx, struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    int r = store_select(tx, &s, err,
                         "SELECT account, region, name, number, sha256, layers, doc, environment,"
                         " image_uri, hot_folder FROM versions");

    if (r < 0)
        return r;
    while ((r = store_step(s, err)) > 0) {
        r = load_version(l, s, err);
        if (r < 0)
            return r;
    }
    return r;
}

static int load_records(struct lambda *l, struct store_tx *tx, struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    int r = store_select(tx, &s, err,
                         "SELECT account, region, name, kind, qualifier, doc FROM records");

    if (r < 0)
        return r;
    while ((r = store_step(s, err)) > 0) {
        struct fn *f = fn_get(l, store_col_str(s, 0), store_col_str(s, 1), store_col_str(s, 2));
        struct fn_record *record = NULL;
        int kind = 0;
        while (kind < RECORD_KINDS &&
               !str_eq(store_col_str(s, 3), str_from(record_kind_name((enum record_kind)kind))))
            kind++;
        if (!f || kind == RECORD_KINDS)
            return err_set(err, -EUCLEAN, "a record without its function or kind in lambda.db");
        if (fn_reserve(l, f) < 0)
            return err_set(err, -ENOMEM, "out of memory");
        r = fn_record_from_doc((enum record_kind)kind, store_col_str(s, 4), store_col_str(s, 5),
                               &record, err);
        if (r < 0)
            return err_wrap(err, "a record of %.*s", STR_ARG(f->key));
        fn_put_record(l, f, record);
    }
    return r;
}

int lambda_store_load(struct lambda *l, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    int r = store_begin(l->store, STORE_READ, &tx, err);

    if (r == 0)
        r = load_functions(l, tx, err);
    if (r == 0)
        r = load_versions(l, tx, err);
    if (r == 0)
        r = load_records(l, tx, err);
    if (r == 0)
        r = layers_store_load(l, tx, err);
    if (r == 0)
        r = mappings_store_load(l, tx, err);
    return r;
}
