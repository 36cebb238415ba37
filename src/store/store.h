// store.h - transactions over an SQL database: group commit, cached statements, migrations.
//
// One store is one database file. Any thread may use it; a transaction belongs to the thread that
// began it until it is committed or aborted. Reads see one snapshot and never wait for writers.
// Writers run one at a time, in the order in which they asked; store_commit() answers once the
// change is on the disk, together with those of everybody who was queued at that moment. So
// between store_begin(STORE_WRITE) and store_commit() nothing may block: no network, no second
// write transaction.
//
// SQL is the subset that SQLite and PostgreSQL share: `?` parameters in order, ON CONFLICT,
// RETURNING, types BIGINT, TEXT, BLOB, DOUBLE PRECISION. In migrations {id} stands for an
// ever-increasing primary key and {clustered}, after a table's closing parenthesis, asks for rows
// to be kept in the order of its primary key.
//
// Errors: -ENOSPC the disk is full, -EIO reading or writing failed, -EUCLEAN the file is damaged,
// -EEXIST a uniqueness or -ERANGE another constraint failed, -EBUSY another process holds the
// file, -EDEADLK a second write transaction in one thread, -EROFS writing in a reading one,
// -EINVAL a mistake in the SQL.
#ifndef LAMBKIN_STORE_STORE_H
#define LAMBKIN_STORE_STORE_H

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/err.h"

struct store;
struct store_tx;
struct store_stmt;

enum store_mode { STORE_READ, STORE_WRITE };

// Number n (from 1) is applied once, in a transaction of its own. Never change one that was
// released; add another.
struct store_migration {
    const char *name; // for messages
    const char *sql;  // one or more statements
};

struct store_options {
    const char *path; // of the database file; its directory must exist
    const struct store_migration *migrations;
    unsigned n_migrations;
    bool ephemeral;     // nothing needs to survive: no waiting for the disk
    unsigned max_group; // writers per commit; 0: the default (64)
};

// A database that is newer than the migrations known here is refused (-ENOTSUP).
int store_open(const char *path, const struct store_migration *migrations, unsigned n,
               struct store **out, struct err *err);
int store_open_with(const struct store_options *options, struct store **out, struct err *err);
// No transaction may be open. Accepts NULL.
void store_close(struct store *s);
void store_closep(struct store **s);

// Waits for its turn when writing.
int store_begin(struct store *s, enum store_mode mode, struct store_tx **out, struct err *err);
// Consumes *tx whatever the answer. For a writer 0 means durable; anything else means that nothing
// of this transaction happened; only after -EIO, when the disk refused the sync, can it turn out
// after a restart that it did.
int store_commit(struct store_tx **tx, struct err *err);
void store_abort(struct store_tx *tx); // accepts NULL
void store_abortp(struct store_tx **tx);
enum store_mode store_tx_mode(const struct store_tx *tx);

// --- statements ---
//
// store_prepare answers a statement of the connection's cache, ready for binding. Whoever prepares
// gives it back with store_reset, before or after the end of the transaction (after it, only
// store_reset makes sense). Parameters count from 1, columns from 0. Bound strings are borrowed
// until store_reset. What store_col_str answers is valid until the next store_step or store_reset
// on that statement: copy into an arena what is to stay (store_take_str). A failed bind is
// reported by store_step. In a write transaction the first failure is final, also a constraint's:
// ON CONFLICT says what to do instead; commit then answers that failure.

int store_prepare(struct store_tx *tx, const char *sql, struct store_stmt **out, struct err *err);
void store_bind_str(struct store_stmt *s, int at, struct str text); // absent: NULL
void store_bind_blob(struct store_stmt *s, int at, struct str bytes);
void store_bind_i64(struct store_stmt *s, int at, int64_t n);
void store_bind_f64(struct store_stmt *s, int at, double n);
void store_bind_null(struct store_stmt *s, int at);
// 1: there is a row; 0: done; negative: failed.
int store_step(struct store_stmt *s, struct err *err);
struct str store_col_str(struct store_stmt *s, int column); // NULL: the absent string
struct str store_col_blob(struct store_stmt *s, int column);
int64_t store_col_i64(struct store_stmt *s, int column); // NULL: 0
double store_col_f64(struct store_stmt *s, int column);
bool store_col_is_null(struct store_stmt *s, int column);
// A copy in the arena. SQL NULL gives the absent string; so does lack of memory.
struct str store_take_str(struct store_stmt *s, int column, struct arena *a);
void store_reset(struct store_stmt *s); // accepts NULL; binds are forgotten
void store_resetp(struct store_stmt **s);
// Rows that the latest INSERT, UPDATE or DELETE touched.
int64_t store_changes(const struct store_tx *tx);

// --- the same in one line ---
//
//   r = store_exec(tx, err, "DELETE FROM queue WHERE name = ?", SQL_STR(name));
//   r = store_select(tx, &s, err, "SELECT url FROM queue WHERE id = ?", SQL_I64(id));

enum store_arg_type { STORE_ARG_NULL, STORE_ARG_STR, STORE_ARG_BLOB, STORE_ARG_I64, STORE_ARG_F64 };

struct store_arg {
    enum store_arg_type type;
    union {
        struct str str;
        int64_t i64;
        double f64;
    };
};

#define SQL_STR(s) ((struct store_arg){.type = STORE_ARG_STR, .str = (s)})
#define SQL_CSTR(s) ((struct store_arg){.type = STORE_ARG_STR, .str = str_from(s)})
#define SQL_BLOB(s) ((struct store_arg){.type = STORE_ARG_BLOB, .str = (s)})
#define SQL_I64(n) ((struct store_arg){.type = STORE_ARG_I64, .i64 = (n)})
#define SQL_F64(n) ((struct store_arg){.type = STORE_ARG_F64, .f64 = (n)})
#define SQL_NULL ((struct store_arg){.type = STORE_ARG_NULL})

// Runs to the end and resets. Answers the number of rows touched, or negative.
int64_t store_exec_args(struct store_tx *tx, struct err *err, const char *sql,
                        const struct store_arg *args, unsigned n);
#define store_exec(tx, err, sql, ...)                                                              \
    store_exec_args((tx), (err), (sql), (const struct store_arg[]){SQL_NULL, ##__VA_ARGS__} + 1,   \
                    STORE_ARG_COUNT(__VA_ARGS__))
// Prepares and binds; step and reset are the caller's.
int store_select_args(struct store_tx *tx, struct store_stmt **out, struct err *err,
                      const char *sql, const struct store_arg *args, unsigned n);
#define store_select(tx, out, err, sql, ...)                                                       \
    store_select_args((tx), (out), (err), (sql),                                                   \
                      (const struct store_arg[]){SQL_NULL, ##__VA_ARGS__} + 1,                     \
                      STORE_ARG_COUNT(__VA_ARGS__))
#define STORE_ARG_COUNT(...)                                                                       \
    ((unsigned)(sizeof((struct store_arg[]){SQL_NULL, ##__VA_ARGS__}) /                            \
                sizeof(struct store_arg)) -                                                        \
     1U)

// --- numbers, for metrics and tests ---

struct store_stats {
    uint64_t writers; // write transactions that were committed
    uint64_t commits; // commits that made them durable: fewer when they came in groups
    uint64_t aborted; // write transactions that were rolled back
    uint64_t reads;
    uint64_t largest_group;
    uint64_t queued; // writers that wait for their turn at this moment
};
void store_get_stats(struct store *s, struct store_stats *out);

// --- failing on purpose, for tests ---

enum store_op { STORE_OP_BEGIN, STORE_OP_PREPARE, STORE_OP_STEP, STORE_OP_COMMIT };
// Asked before every operation of every store of the process; a negative errno makes it fail as
// if the database had. NULL ends it. Not to be changed while transactions run.
typedef int (*store_fault_fn)(void *ctx, enum store_op op);
void store_set_fault(store_fault_fn fn, void *ctx);

#endif
