// sqlite.c - SQLite's connections, statements and error codes.
//
// Invariants: a connection and its statements are used by one thread at a time, so SQLite's own
// mutexes are off; every statement in use is in its transaction's list, and no statement is in
// use when a transaction ends.
#include "store_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static int errno_of(int code, int system_errno)
{
    if (system_errno == ENOSPC || system_errno == EDQUOT) {
        if ((code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN)
            return ENOSPC;
    }
    switch (code) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
        return EEXIST;
    }
    switch (code & 0xff) {
    case SQLITE_FULL:
        return ENOSPC;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return EUCLEAN;
    case SQLITE_CONSTRAINT:
        return ERANGE;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return EBUSY;
    case SQLITE_NOMEM:
        return ENOMEM;
    case SQLITE_READONLY:
        return EROFS;
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return EACCES;
    case SQLITE_TOOBIG:
        return E2BIG;
    case SQLITE_ERROR:
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
    case SQLITE_SCHEMA:
    case SQLITE_MISMATCH:
        return EINVAL;
    default:
        return EIO;
    }
}

int conn_error(const struct store_conn *c, int code, struct err *err)
{
    const char *path = c->tx.store ? c->tx.store->path : "";
    int system_errno = c->db ? sqlite3_system_errno(c->db) : 0;

    return err_set(err, -errno_of(code, system_errno), "database %s: %s", path,
                   c->db && sqlite3_errcode(c->db) != SQLITE_OK ? sqlite3_errmsg(c->db)
                                                                : sqlite3_errstr(code));
}

bool conn_lost_transaction(const struct store_conn *c)
{
    return sqlite3_get_autocommit(c->db) != 0;
}

// --- connections ---

static void configure_sqlite(void)
{
    // Before its first use in the process; without effect (and harmless) afterwards.
    sqlite3_config(SQLITE_CONFIG_MULTITHREAD);
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    sqlite3_initialize();
}

static int set_pragmas(const struct store *s, struct store_conn *c, enum conn_purpose purpose,
                       struct err *err)
{
    bool writer = purpose == CONN_WRITER;
    char sql[512];

    if (purpose == CONN_MAKER)
        return conn_script(c,
                           "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;"
                           "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;",
                           err);
    snprintf(sql, sizeof(sql),
             "PRAGMA journal_mode = WAL;"
             "PRAGMA synchronous = %s;"
             "PRAGMA foreign_keys = ON;"
             "PRAGMA trusted_schema = OFF;"
             "PRAGMA temp_store = MEMORY;"
             "PRAGMA cache_size = -%d;"
             "PRAGMA journal_size_limit = %d;"
             "PRAGMA wal_autocheckpoint = %d;"
             "PRAGMA query_only = %s;",
             s->ephemeral ? "OFF" : "FULL", writer ? 8192 : 1024, STORE_KEPT_WAL_BYTES,
             STORE_CHECKPOINT_PAGES, writer ? "OFF" : "ON");
    return conn_script(c, sql, err);
}

static int prepare_commands(struct store_conn *c, bool writer, struct err *err)
{
    static const char *const texts[CONN_COMMANDS] = {
        [CONN_BEGIN_READ] = "BEGIN",           [CONN_COMMIT] = "COMMIT",
        [CONN_ROLLBACK] = "ROLLBACK",          [CONN_BEGIN_WRITE] = "BEGIN IMMEDIATE",
        [CONN_SAVEPOINT] = "SAVEPOINT writer", [CONN_RELEASE] = "RELEASE writer",
        [CONN_UNDO] = "ROLLBACK TO writer",
    };

    for (size_t i = 0; i < (writer ? CONN_COMMANDS : CONN_BEGIN_WRITE); i++) {
        int code = sqlite3_prepare_v3(c->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                      &c->commands[i], NULL);
        if (code != SQLITE_OK)
            return conn_error(c, code, err);
    }
    return 0;
}

int conn_run(struct store_conn *c, enum conn_command command, struct err *err)
{
    int code = sqlite3_step(c->commands[command]);
    int r = code == SQLITE_DONE ? 0 : conn_error(c, code, err);

    sqlite3_reset(c->commands[command]);
    return r;
}

int conn_open(const struct store *s, const char *path, struct store_conn *c,
              enum conn_purpose purpose, struct err *err)
{
    static pthread_once_t configured = PTHREAD_ONCE_INIT;
    int code, r;

    pthread_once(&configured, configure_sqlite);
    *c = (struct store_conn){.tx = {.store = (struct store *)s}};
    map_init(&c->statements);
    code = sqlite3_open_v2(
        path, &c->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (code != SQLITE_OK) {
        r = conn_error(c, code, err);
        conn_close(c);
        return r;
    }
    sqlite3_busy_timeout(c->db, STORE_BUSY_TIMEOUT_MS);
    r = set_pragmas(s, c, purpose, err);
    if (r == 0)
        r = prepare_commands(c, purpose == CONN_WRITER, err);
    if (r < 0)
        conn_close(c);
    return r;
}

static void entry_destroy(struct cached_statement *e)
{
    sqlite3_finalize(e->handle);
    free(e);
}

// Only those that nobody uses.
static void forget_statements(struct store_conn *c)
{
    const struct map_entry *e;
    struct map kept;
    size_t at = 0;

    map_init(&kept);
    while ((e = map_next(&c->statements, &at))) {
        struct cached_statement *s = e->value;
        if (!s->in_use)
            entry_destroy(s);
        else if (map_set(&kept, e->key, s, NULL) < 0)
            s->known = false;
    }
    map_finish(&c->statements);
    c->statements = kept;
}

void conn_close(struct store_conn *c)
{
    if (!c->db)
        return;
    forget_statements(c);
    map_finish(&c->statements);
    for (size_t i = 0; i < CONN_COMMANDS; i++) {
        sqlite3_finalize(c->commands[i]);
        c->commands[i] = NULL;
    }
    sqlite3_close(c->db);
    c->db = NULL;
}

int conn_script(struct store_conn *c, const char *sql, struct err *err)
{
    int code = sqlite3_exec(c->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? 0 : conn_error(c, code, err);
}

// --- statements ---

// The cached statement of this text, if nobody is using it, or a new one.
static int take_entry(struct store_conn *c, const char *sql, struct cached_statement **out,
                      struct err *err)
{
    struct cached_statement *e = map_get(&c->statements, str_from(sql));
    bool known = e != NULL;
    int code;

    if (e && !e->in_use) {
        e->in_use = true;
        *out = e;
        return 0;
    }
    e = calloc(1, sizeof(*e));
    if (!e)
        return err_set(err, -ENOMEM, "no memory for a statement");
    code = sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &e->handle, NULL);
    if (code == SQLITE_OK && !e->handle)
        code = SQLITE_MISUSE; // nothing but white space
    if (code != SQLITE_OK) {
        int r = conn_error(c, code, err);
        entry_destroy(e);
        return r;
    }
    e->in_use = true;
    if (!known) {
        if (c->statements.n >= STORE_MAX_STATEMENTS)
            forget_statements(c);
        // The key is SQLite's own copy of the text, which lives as long as the statement.
        e->known = map_set(&c->statements, str_from(sqlite3_sql(e->handle)), e, NULL) == 0;
    }
    *out = e;
    return 0;
}

static void give_entry_back(struct cached_statement *e)
{
    if (!e)
        return;
    if (!e->known) {
        entry_destroy(e);
        return;
    }
    sqlite3_reset(e->handle);
    sqlite3_clear_bindings(e->handle);
    e->in_use = false;
}

// A writer that failed once cannot commit; the first failure is the one to tell of.
static int tx_fail(struct store_tx *tx, struct err *err, int r, const struct err *why)
{
    if (tx->mode == STORE_WRITE && tx->failed.code == 0)
        tx->failed = *why;
    if (err)
        *err = *why;
    return r;
}

int store_prepare(struct store_tx *tx, const char *sql, struct store_stmt **out, struct err *err)
{
    struct err why = ERR_INIT;
    struct cached_statement *e = NULL;
    struct store_stmt *s;
    int r;

    r = store_fault(STORE_OP_PREPARE, &why);
    if (r == 0)
        r = take_entry(tx->conn, sql, &e, &why);
    if (r < 0)
        return tx_fail(tx, err, r, &why);
    s = malloc(sizeof(*s));
    if (!s) {
        give_entry_back(e);
        r = err_set(&why, -ENOMEM, "no memory for a statement");
        return tx_fail(tx, err, r, &why);
    }
    *s = (struct store_stmt){.entry = e, .handle = e->handle, .tx = tx};
    list_append(&tx->open, &s->link);
    *out = s;
    return 0;
}

static void note_bind(struct store_stmt *s, int code)
{
    if (code != SQLITE_OK && s->bind_code == SQLITE_OK)
        s->bind_code = code;
}

void store_bind_str(struct store_stmt *s, int at, struct str text)
{
    if (str_is_null(text))
        note_bind(s, sqlite3_bind_null(s->handle, at));
    else
        note_bind(
            s, sqlite3_bind_text64(s->handle, at, text.ptr, text.len, SQLITE_STATIC, SQLITE_UTF8));
}

void store_bind_blob(struct store_stmt *s, int at, struct str bytes)
{
    if (str_is_null(bytes))
        note_bind(s, sqlite3_bind_null(s->handle, at));
    else
        note_bind(s, sqlite3_bind_blob64(s->handle, at, bytes.ptr, bytes.len, SQLITE_STATIC));
}

void store_bind_i64(struct store_stmt *s, int at, int64_t n)
{
    note_bind(s, sqlite3_bind_int64(s->handle, at, n));
}

void store_bind_f64(struct store_stmt *s, int at, double n)
{
    note_bind(s, sqlite3_bind_double(s->handle, at, n));
}

void store_bind_null(struct store_stmt *s, int at)
{
    note_bind(s, sqlite3_bind_null(s->handle, at));
}

int store_step(struct store_stmt *s, struct err *err)
{
    struct err why = ERR_INIT;
    struct store_tx *tx = s->tx;
    int code, r;

    if (!tx)
        return err_set(err, -EINVAL, "the transaction of this statement has ended");
    if (tx->failed.code != 0) {
        why = tx->failed;
        return tx_fail(tx, err, why.code, &why);
    }
    if (s->done)
        return 0; // SQLite would run it again
    r = store_fault(STORE_OP_STEP, &why);
    if (r < 0)
        return tx_fail(tx, err, r, &why);
    if (tx->mode == STORE_WRITE && conn_lost_transaction(tx->conn)) {
        // Otherwise the statement would run, and be durable, outside of any transaction.
        r = err_set(&why, -EIO, "the transaction on %s was lost", tx->store->path);
        return tx_fail(tx, err, r, &why);
    }
    code = s->bind_code == SQLITE_OK ? sqlite3_step(s->handle) : s->bind_code;
    if (code == SQLITE_ROW)
        return 1;
    if (code == SQLITE_DONE) {
        s->done = true;
        return 0;
    }
    r = conn_error(tx->conn, code, &why);
    return tx_fail(tx, err, r, &why);
}

struct str store_col_blob(struct store_stmt *s, int column)
{
    const void *p;

    if (sqlite3_column_type(s->handle, column) == SQLITE_NULL)
        return STR_NULL;
    p = sqlite3_column_blob(s->handle, column);
    // An empty blob has no pointer.
    return (struct str){p ? p : "", (size_t)sqlite3_column_bytes(s->handle, column)};
}

struct str store_col_str(struct store_stmt *s, int column)
{
    const unsigned char *p = sqlite3_column_text(s->handle, column);

    return p ? (struct str){(const char *)p, (size_t)sqlite3_column_bytes(s->handle, column)}
             : STR_NULL;
}

int64_t store_col_i64(struct store_stmt *s, int column)
{
    return sqlite3_column_int64(s->handle, column);
}

double store_col_f64(struct store_stmt *s, int column)
{
    return sqlite3_column_double(s->handle, column);
}

bool store_col_is_null(struct store_stmt *s, int column)
{
    return sqlite3_column_type(s->handle, column) == SQLITE_NULL;
}

struct str store_take_str(struct store_stmt *s, int column, struct arena *a)
{
    return arena_str(a, sqlite3_column_type(s->handle, column) == SQLITE_BLOB
                            ? store_col_blob(s, column)
                            : store_col_str(s, column));
}

static void detach(struct store_stmt *s)
{
    list_remove(&s->link);
    give_entry_back(s->entry);
    s->entry = NULL;
    s->handle = NULL; // for which SQLite answers NULL columns
    s->tx = NULL;
}

void tx_detach_statements(struct store_tx *tx)
{
    while (!list_empty(&tx->open))
        detach(LIST_ENTRY(tx->open.next, struct store_stmt, link));
}

void store_reset(struct store_stmt *s)
{
    if (!s)
        return;
    if (s->tx)
        detach(s);
    free(s);
}

void store_resetp(struct store_stmt **s)
{
    store_reset(*s);
    *s = NULL;
}

int64_t store_changes(const struct store_tx *tx)
{
    return sqlite3_changes64(tx->conn->db);
}
