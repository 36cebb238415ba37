// store.c - opening a store, its transactions, and its pool of reading connections.
//
// Invariants: a reading connection is either idle (in the pool) or belongs to one transaction;
// the transaction objects live in the connections, so beginning one allocates nothing.
#include "store_impl.h"

#include <errno.h>
#include <stdlib.h>

static store_fault_fn fault_fn;
static void *fault_ctx;

void store_set_fault(store_fault_fn fn, void *ctx)
{
    fault_ctx = ctx;
    fault_fn = fn;
}

int store_fault(enum store_op op, struct err *err)
{
    static const char *const names[] = {"begin", "prepare", "step", "commit"};
    int r = fault_fn ? fault_fn(fault_ctx, op) : 0;

    return r < 0 ? err_errno(err, -r, "database: %s", names[op]) : 0;
}

// --- opening and closing ---

int store_open_with(const struct store_options *o, struct store **out, struct err *err)
{
    struct store *s;
    int r;

    s = calloc(1, sizeof(*s));
    if (!s || !(s->path = strdup(o->path))) {
        free(s);
        return err_set(err, -ENOMEM, "no memory to open %s", o->path);
    }
    s->ephemeral = o->ephemeral;
    s->max_group = o->max_group > 0 ? o->max_group : STORE_MAX_GROUP;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->reader_cond, NULL);
    list_init(&s->waiting);
    r = creation_ensure(s, o->migrations, o->n_migrations, err);
    if (r == 0)
        r = conn_open(s, s->path, &s->writer, CONN_WRITER, err);
    if (r == 0)
        r = migrations_apply(&s->writer, o->migrations, o->n_migrations, err);
    if (r < 0) {
        store_close(s);
        return r;
    }
    *out = s;
    return 0;
}

int store_open(const char *path, const struct store_migration *migrations, unsigned n,
               struct store **out, struct err *err)
{
    const struct store_options o = {.path = path, .migrations = migrations, .n_migrations = n};

    return store_open_with(&o, out, err);
}

void store_close(struct store *s)
{
    if (!s)
        return;
    while (s->idle_readers) {
        struct store_conn *c = s->idle_readers;
        s->idle_readers = c->next;
        conn_close(c);
        free(c);
    }
    conn_close(&s->writer); // last: it copies the write-ahead log back
    pthread_cond_destroy(&s->reader_cond);
    pthread_mutex_destroy(&s->lock);
    free(s->path);
    free(s);
}

void store_closep(struct store **s)
{
    store_close(*s);
    *s = NULL;
}

void store_get_stats(struct store *s, struct store_stats *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->stats;
    pthread_mutex_unlock(&s->lock);
}

// --- readers ---

static void give_back(struct store *s, struct store_conn *c)
{
    bool keep;

    pthread_mutex_lock(&s->lock);
    keep = c->db && s->n_idle < STORE_KEPT_READERS;
    if (keep) {
        c->next = s->idle_readers;
        s->idle_readers = c;
        s->n_idle++;
    } else {
        s->readers--;
    }
    pthread_cond_signal(&s->reader_cond);
    pthread_mutex_unlock(&s->lock);
    if (!keep) {
        conn_close(c);
        free(c);
    }
}

static int take_reader(struct store *s, struct store_conn **out, struct err *err)
{
    struct store_conn *c;
    int r;

    pthread_mutex_lock(&s->lock);
    while (!s->idle_readers && s->readers >= STORE_MAX_READERS)
        pthread_cond_wait(&s->reader_cond, &s->lock);
    c = s->idle_readers;
    if (c) {
        s->idle_readers = c->next;
        s->n_idle--;
    } else {
        s->readers++;
    }
    s->stats.reads++;
    pthread_mutex_unlock(&s->lock);
    if (c) {
        *out = c;
        return 0;
    }

    c = calloc(1, sizeof(*c));
    r = c ? conn_open(s, s->path, c, CONN_READER, err)
          : err_set(err, -ENOMEM, "no memory for a connection");
    if (r < 0) {
        pthread_mutex_lock(&s->lock);
        s->readers--;
        pthread_cond_signal(&s->reader_cond);
        pthread_mutex_unlock(&s->lock);
        free(c);
        return r;
    }
    *out = c;
    return 0;
}

static int begin_read(struct store *s, struct store_conn **out, struct err *err)
{
    struct store_conn *c;
    int r;

    r = store_fault(STORE_OP_BEGIN, err);
    if (r < 0)
        return r;
    r = take_reader(s, &c, err);
    if (r < 0)
        return r;
    r = conn_run(c, CONN_BEGIN_READ, err);
    if (r < 0) {
        conn_close(c); // not one to keep
        give_back(s, c);
        return r;
    }
    *out = c;
    return 0;
}

static void end_read(struct store_tx *tx)
{
    struct err ignored;

    tx_detach_statements(tx);
    if (conn_run(tx->conn, CONN_COMMIT, &ignored) < 0 && !conn_lost_transaction(tx->conn) &&
        conn_run(tx->conn, CONN_ROLLBACK, &ignored) < 0)
        conn_close(tx->conn);
    give_back(tx->store, tx->conn);
}

// --- transactions ---

int store_begin(struct store *s, enum store_mode mode, struct store_tx **out, struct err *err)
{
    struct store_conn *c = &s->writer;
    int r;

    r = mode == STORE_WRITE ? queue_enter(s, err) : begin_read(s, &c, err);
    if (r < 0)
        return r;
    c->tx = (struct store_tx){.store = s, .conn = c, .mode = mode};
    list_init(&c->tx.open);
    *out = &c->tx;
    return 0;
}

int store_commit(struct store_tx **tx_p, struct err *err)
{
    struct store_tx *tx = TAKE_PTR(*tx_p);
    struct err why;

    if (tx->mode == STORE_READ) {
        end_read(tx);
        return 0;
    }
    tx_detach_statements(tx);
    if (tx->failed.code != 0) {
        // A copy: the transaction object is the next writer's as soon as the turn is passed on.
        why = tx->failed;
        queue_abort(tx->store, &why);
        if (err)
            *err = why;
        return why.code;
    }
    return queue_commit(tx->store, err);
}

void store_abort(struct store_tx *tx)
{
    struct err why;

    if (!tx)
        return;
    if (tx->mode == STORE_READ) {
        end_read(tx);
        return;
    }
    tx_detach_statements(tx);
    why = tx->failed;
    queue_abort(tx->store, &why);
}

void store_abortp(struct store_tx **tx)
{
    store_abort(*tx);
    *tx = NULL;
}

enum store_mode store_tx_mode(const struct store_tx *tx)
{
    return tx->mode;
}

// --- in one line ---

int store_select_args(struct store_tx *tx, struct store_stmt **out, struct err *err,
                      const char *sql, const struct store_arg *args, unsigned n)
{
    int r = store_prepare(tx, sql, out, err);

    for (unsigned i = 0; r == 0 && i < n; i++) {
        int at = (int)i + 1;
        switch (args[i].type) {
        case STORE_ARG_NULL:
            store_bind_null(*out, at);
            break;
        case STORE_ARG_STR:
            store_bind_str(*out, at, args[i].str);
            break;
        case STORE_ARG_BLOB:
            store_bind_blob(*out, at, args[i].str);
            break;
        case STORE_ARG_I64:
            store_bind_i64(*out, at, args[i].i64);
            break;
        case STORE_ARG_F64:
            store_bind_f64(*out, at, args[i].f64);
            break;
        }
    }
    return r;
}

int64_t store_exec_args(struct store_tx *tx, struct err *err, const char *sql,
                        const struct store_arg *args, unsigned n)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    int r;

    r = store_select_args(tx, &s, err, sql, args, n);
    if (r < 0)
        return r;
    while ((r = store_step(s, err)) > 0)
        ;
    return r < 0 ? r : store_changes(tx);
}
