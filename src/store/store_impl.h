// store_impl.h - what the files of src/store share.
//
// Division: sqlite.c knows SQLite (connections, statements, error codes); commit_queue.c knows who
// may write and who commits for whom; creation.c makes a file, migrations.c brings one up to date;
// store.c is the face.
#ifndef LAMBKIN_STORE_STORE_IMPL_H
#define LAMBKIN_STORE_STORE_IMPL_H

#include "base/list.h"
#include "base/map.h"
#include "store.h"

#include <pthread.h>
#include <sqlite3.h>

#define STORE_MAX_GROUP 64
#define STORE_MAX_PATH 4096
#define STORE_MAX_READERS 32       // connections; a further reader waits for one
#define STORE_KEPT_READERS 4       // idle ones that stay open
#define STORE_MAX_STATEMENTS 256   // cached in one connection
#define STORE_BUSY_TIMEOUT_MS 5000 // for other processes: sqlite3(1), a back-up
// Pages in the write-ahead log before a commit also copies them back (4 KiB each).
#define STORE_CHECKPOINT_PAGES 2000
#define STORE_KEPT_WAL_BYTES (64 << 20)

// A prepared statement in a connection's cache.
struct cached_statement {
    sqlite3_stmt *handle;
    bool in_use;
    bool known; // in the cache; else it goes when it is given back
};

// One use of it, from store_prepare to store_reset. Its transaction may end before that; it is
// then detached: entry, handle and tx are NULL.
struct store_stmt {
    struct list link; // in tx->open
    struct cached_statement *entry;
    sqlite3_stmt *handle;
    struct store_tx *tx;
    bool done;
    int bind_code; // SQLite's, of the first bind that failed
};

struct store_tx {
    struct store *store;
    struct store_conn *conn;
    enum store_mode mode;
    struct list open;  // statements in use
    struct err failed; // of a writer: the first failure, after which it cannot commit
};

// What the store itself says to a connection; prepared when it is opened, so that undoing something
// never needs memory for its text.
enum conn_command {
    CONN_BEGIN_READ,
    CONN_COMMIT,
    CONN_ROLLBACK,
    CONN_BEGIN_WRITE,
    CONN_SAVEPOINT,
    CONN_RELEASE,
    CONN_UNDO,
    CONN_COMMANDS,
};

// One at a time uses a connection: its transaction, or the queue on behalf of a group.
struct store_conn {
    sqlite3 *db;
    sqlite3_stmt *commands[CONN_COMMANDS];
    struct map statements; // SQL text to struct cached_statement
    struct store_tx tx;
    struct store_conn *next; // in the store's list of idle readers
};

// The writers whose work is in the open transaction of the writing connection and who wait for
// its commit. Freed by the last of them to leave.
struct commit_group {
    pthread_cond_t done_cond;
    unsigned members;
    bool done;
    struct err result; // code 0: durable
};

// A writer that waits for the writing connection; lives on its stack.
struct turn {
    struct list link;
    pthread_cond_t mine_cond;
    bool mine;
};

struct store {
    char *path;
    bool ephemeral;
    unsigned max_group;

    pthread_mutex_t lock; // guards everything below but what `writer` points to
    // writing: somebody owns `writer` (and `began`, `group` with it, though these change under the
    // lock). Ownership goes from hand to hand in the order of `waiting`.
    bool writing;
    pthread_t owner;
    struct list waiting; // struct turn
    bool began;          // the connection is inside BEGIN … COMMIT
    struct commit_group *group;
    struct store_conn writer;

    struct store_conn *idle_readers;
    unsigned readers, n_idle;
    pthread_cond_t reader_cond;
    struct store_stats stats;
};

// store.c
int store_fault(enum store_op op, struct err *err);

enum conn_purpose {
    CONN_READER,
    CONN_WRITER,
    CONN_MAKER, // of a file that nobody knows yet: nothing is synced, no log is kept
};

// sqlite.c
int conn_open(const struct store *s, const char *path, struct store_conn *c,
              enum conn_purpose purpose, struct err *err);
void conn_close(struct store_conn *c); // accepts a zeroed one
int conn_run(struct store_conn *c, enum conn_command command, struct err *err);
// Any number of statements, not cached.
int conn_script(struct store_conn *c, const char *sql, struct err *err);
// The transaction that was begun has been undone by SQLite itself (full disk, I/O error).
bool conn_lost_transaction(const struct store_conn *c);
int conn_error(const struct store_conn *c, int code, struct err *err);
// Takes its statements away from a transaction that ends.
void tx_detach_statements(struct store_tx *tx);

// commit_queue.c
// Waits for the writing connection and opens a savepoint in it.
int queue_enter(struct store *s, struct err *err);
// Both end the savepoint and pass the connection on. queue_commit answers when the group is
// durable. queue_abort is told what failed (code 0: nothing, the caller changed its mind).
int queue_commit(struct store *s, struct err *err);
void queue_abort(struct store *s, const struct err *why);

// creation.c
// Makes the database file, with all migrations, unless it is there.
int creation_ensure(const struct store *s, const struct store_migration *m, unsigned n,
                    struct err *err);

// migrations.c
int migrations_apply(struct store_conn *c, const struct store_migration *m, unsigned n,
                     struct err *err);

#endif
