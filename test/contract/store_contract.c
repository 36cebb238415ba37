// store_contract.c - the contract of store.h, case by case, whoever implements it.
//
// Every case begins with a database that does not exist and has one table:
// item(id BIGINT PRIMARY KEY, name TEXT UNIQUE, body BLOB, size DOUBLE PRECISION).
#include "store_contract.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct store_contract *implementation;

static const struct store_migration schema[] = {
    {"items", "CREATE TABLE item (id BIGINT NOT NULL PRIMARY KEY, name TEXT UNIQUE,"
              " body BLOB, size DOUBLE PRECISION);"},
    {"serial", "CREATE TABLE serial (id {id}, note TEXT);"
               "CREATE TABLE pair (a TEXT NOT NULL, b BIGINT NOT NULL, PRIMARY KEY (a, b))"
               " {clustered};"},
    {"checked", "CREATE TABLE checked (n BIGINT NOT NULL CHECK (n > 0));"},
};

struct place {
    char path[512];
    struct store *store;
};

static void open_place(struct place *p)
{
    struct err err = ERR_INIT;

    if (store_open(p->path, schema, ARRAY_LEN(schema), &p->store, &err) < 0)
        fail_msg("open: %s", err.message);
}

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof(*p));

    assert_non_null(p);
    assert_int_equal(implementation->make_place(p->path, sizeof(p->path)), 0);
    open_place(p);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;

    store_set_fault(NULL, NULL);
    store_close(p->store);
    implementation->remove_place(p->path);
    free(p);
    return 0;
}

// --- shorthand ---

static struct store_tx *begin(struct store *s, enum store_mode mode)
{
    struct store_tx *tx = NULL;
    struct err err = ERR_INIT;

    if (store_begin(s, mode, &tx, &err) < 0)
        fail_msg("begin: %s", err.message);
    return tx;
}

static void commit(struct store_tx *tx)
{
    struct err err = ERR_INIT;

    if (store_commit(&tx, &err) < 0)
        fail_msg("commit: %s", err.message);
    assert_null(tx);
}

static int64_t insert(struct store_tx *tx, int64_t id, struct err *err)
{
    return store_exec(tx, err, "INSERT INTO item (id) VALUES (?)", SQL_I64(id));
}

static void insert_one(struct store *s, int64_t id)
{
    struct err err = ERR_INIT;
    struct store_tx *tx = begin(s, STORE_WRITE);

    assert_int_equal(insert(tx, id, &err), 1);
    commit(tx);
}

static int64_t number(struct store_tx *tx, const char *sql)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    struct err err = ERR_INIT;

    if (store_select(tx, &s, &err, sql) < 0 || store_step(s, &err) != 1)
        fail_msg("%s: %s", sql, err.message);
    return store_col_i64(s, 0);
}

static int64_t count(struct store *s)
{
    struct store_tx *tx = begin(s, STORE_READ);
    int64_t n = number(tx, "SELECT count(*) FROM item");

    commit(tx);
    return n;
}

// --- one thread ---

static void values_come_back_as_they_went(void **state)
{
    struct place *p = *state;
    struct err err = ERR_INIT;
    struct arena a;
    struct store_tx *tx;
    struct store_stmt *s;

    arena_init(&a, 1 << 20);
    tx = begin(p->store, STORE_WRITE);
    assert_int_equal(store_exec(tx, &err, "INSERT INTO item VALUES (?, ?, ?, ?)",
                                SQL_I64(INT64_MIN), SQL_STR(STR("gr\xc3\xbc\xc3\x9f")),
                                SQL_BLOB(STR("\0\1\xff")), SQL_F64(0.1)),
                     1);
    assert_int_equal(store_exec(tx, &err, "INSERT INTO item VALUES (?, ?, ?, ?)",
                                SQL_I64(INT64_MAX), SQL_STR(STR_NULL), SQL_BLOB(STR("")), SQL_NULL),
                     1);
    assert_int_equal(store_exec(tx, &err, "INSERT INTO item VALUES (?, ?, ?, ?)", SQL_I64(0),
                                SQL_CSTR(""), SQL_BLOB(STR_NULL), SQL_F64(-1e300)),
                     1);
    commit(tx);

    tx = begin(p->store, STORE_READ);
    assert_int_equal(store_tx_mode(tx), STORE_READ);
    assert_int_equal(
        store_select(tx, &s, &err, "SELECT id, name, body, size FROM item ORDER BY id"), 0);
    assert_int_equal(store_step(s, &err), 1);
    assert_true(store_col_i64(s, 0) == INT64_MIN);
    assert_true(str_eq(store_col_str(s, 1), STR("gr\xc3\xbc\xc3\x9f")));
    assert_true(str_eq(store_take_str(s, 2, &a), STR("\0\1\xff")));
    assert_true(store_col_f64(s, 3) == 0.1);
    assert_int_equal(store_step(s, &err), 1);
    assert_int_equal(store_col_i64(s, 0), 0);
    assert_false(store_col_is_null(s, 1)); // empty is not NULL
    assert_true(store_col_str(s, 1).ptr != NULL && store_col_str(s, 1).len == 0);
    assert_true(store_col_is_null(s, 2));
    assert_true(str_is_null(store_col_blob(s, 2)));
    assert_int_equal(store_step(s, &err), 1);
    assert_true(store_col_i64(s, 0) == INT64_MAX);
    assert_true(store_col_is_null(s, 1));
    assert_true(str_is_null(store_take_str(s, 1, &a)));
    assert_true(store_col_blob(s, 2).ptr != NULL && store_col_blob(s, 2).len == 0);
    assert_true(store_col_is_null(s, 3));
    assert_int_equal(store_step(s, &err), 0);
    assert_int_equal(store_step(s, &err), 0); // stays done, does not run again
    store_reset(s);
    commit(tx);
    arena_finish(&a);
}

static void abort_undoes(void **state)
{
    struct place *p = *state;
    struct err err = ERR_INIT;
    struct store_tx *tx = begin(p->store, STORE_WRITE);

    assert_int_equal(insert(tx, 1, &err), 1);
    store_abort(tx);
    assert_int_equal(count(p->store), 0);
    {
        _cleanup_(store_abortp) struct store_tx *scoped = begin(p->store, STORE_WRITE);
        assert_int_equal(insert(scoped, 2, &err), 1);
    }
    assert_int_equal(count(p->store), 0);
    store_abort(NULL);
    insert_one(p->store, 3);
    assert_int_equal(count(p->store), 1);
}

static void commit_survives_reopening(void **state)
{
    struct place *p = *state;

    insert_one(p->store, 1);
    insert_one(p->store, 2);
    store_close(p->store);
    open_place(p);
    assert_int_equal(count(p->store), 2);
}

static void a_writer_sees_its_own_work_and_readers_do_not(void **state)
{
    struct place *p = *state;
    struct err err = ERR_INIT;
    struct store_tx *w = begin(p->store, STORE_WRITE), *r;

    assert_int_equal(insert(w, 1, &err), 1);
    assert_int_equal(number(w, "SELECT count(*) FROM item"), 1);
    assert_int_equal(count(p->store), 0);
    r = begin(p->store, STORE_READ);
    assert_int_equal(number(r, "SELECT count(*) FROM item"), 0);
    commit(w);
    assert_int_equal(number(r, "SELECT count(*) FROM item"), 0); // one snapshot
    commit(r);
    assert_int_equal(count(p->store), 1);
}

static void many_readers_at_once(void **state)
{
    struct place *p = *state;
    struct store_tx *readers[20];

    insert_one(p->store, 1);
    for (size_t i = 0; i < ARRAY_LEN(readers); i++)
        readers[i] = begin(p->store, STORE_READ);
    for (size_t i = 0; i < ARRAY_LEN(readers); i++)
        assert_int_equal(number(readers[i], "SELECT count(*) FROM item"), 1);
    for (size_t i = 0; i < ARRAY_LEN(readers); i++)
        store_abort(readers[i]);
    assert_int_equal(count(p->store), 1);
}

static void changes_are_counted(void **state)
{
    struct place *p = *state;
    struct err err = ERR_INIT;
    struct store_tx *tx = begin(p->store, STORE_WRITE);

    for (int64_t i = 0; i < 5; i++)
        assert_int_equal(insert(tx, i, &err), 1);
    assert_int_equal(store_exec(tx, &err, "UPDATE item SET name = NULL WHERE id >= ?", SQL_I64(2)),
                     3);
    assert_int_equal(store_changes(tx), 3);
    assert_int_equal(store_exec(tx, &err, "DELETE FROM item WHERE id = ?", SQL_I64(77)), 0);
    commit(tx);
}

static void the_same_statement_twice_at_once(void **state)
{
    struct place *p = *state;
    struct err err = ERR_INIT;
    struct store_stmt *a, *b;
    struct store_tx *tx;

    insert_one(p->store, 1);
    insert_one(p->store, 2);
    tx = begin(p->store, STORE_READ);
    assert_int_equal(store_select(tx, &a, &err, "SELECT id FROM item ORDER BY id"), 0);
    assert_int_equal(store_step(a, &err), 1);
    assert_int_equal(store_select(tx, &b, &err, "SELECT id FROM item ORDER BY id"), 0);
    assert_int_equal(store_step(b, &err), 1);
    assert_int_equal(store_col_i64(b, 0), 1);
    assert_int_equal(store_step(a, &err), 1);
    assert_int_equal(store_col_i64(a, 0), 2);
    store_reset(a);
    store_reset(b);
    commit(tx);
}

static void a_statement_may_outlive_its_transaction(void **state)
{
    struct place *p = *state;
    struct err err = ERR_INIT;
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    struct store_tx *tx = begin(p->store, STORE_WRITE);

    assert_int_equal(store_select(tx, &s, &err, "SELECT 1"), 0);
    assert_int_equal(store_step(s, &err), 1);
    commit(tx);
    assert_int_equal(store_step(s, &err), -EINVAL);
    assert_true(store_col_is_null(s, 0));
    // Somebody else gets the cached one meanwhile.
    tx = begin(p->store, STORE_WRITE);
    assert_int_equal(number(tx, "SELECT 1"), 1);
    commit(tx);
}

static void many_different_statements(void **state)
{
    struct place *p = *state;
    struct store_tx *tx = begin(p->store, STORE_READ);

    for (int i = 0; i < 1000; i++) {
        char sql[64];
        snprintf(sql, sizeof(sql), "SELECT %d", i);
        assert_int_equal(number(tx, sql), i);
    }
    commit(tx);
}

static void common_sql(void **state)
{
    struct place *p = *state;
    struct err err = ERR_INIT;
    struct store_tx *tx = begin(p->store, STORE_WRITE);
    struct store_stmt *s;
    const char *upsert = "INSERT INTO pair (a, b) VALUES (?, ?) ON CONFLICT DO NOTHING";

    assert_int_equal(store_exec(tx, &err, upsert, SQL_CSTR("x"), SQL_I64(1)), 1);
    store_exec(tx, &err, upsert, SQL_CSTR("x"), SQL_I64(1));
    assert_int_equal(number(tx, "SELECT count(*) FROM pair"), 1);
    assert_int_equal(store_exec(tx, &err,
                                "INSERT INTO item (id, name) VALUES (?, ?) ON CONFLICT (id) DO"
                                " UPDATE SET name = excluded.name",
                                SQL_I64(1), SQL_CSTR("one")),
                     1);
    assert_int_equal(store_select(tx, &s, &err, "INSERT INTO serial (note) VALUES (?) RETURNING id",
                                  SQL_CSTR("first")),
                     0);
    assert_int_equal(store_step(s, &err), 1);
    assert_int_equal(store_col_i64(s, 0), 1);
    assert_int_equal(store_step(s, &err), 0);
    store_reset(s);
    // Serial numbers are not used again.
    assert_int_equal(store_exec(tx, &err, "DELETE FROM serial"), 1);
    assert_int_equal(store_exec(tx, &err, "INSERT INTO serial (note) VALUES ('second')"), 1);
    assert_int_equal(number(tx, "SELECT id FROM serial"), 2);
    commit(tx);
}

// --- what goes wrong ---

static void a_failed_writer_cannot_commit(void **state)
{
    struct place *p = *state;
    struct err err = ERR_INIT;
    struct store_tx *tx;

    insert_one(p->store, 1);
    tx = begin(p->store, STORE_WRITE);
    assert_int_equal(insert(tx, 2, &err), 1);
    assert_int_equal(insert(tx, 1, &err), -EEXIST);
    assert_int_equal(err.code, -EEXIST);
    assert_int_equal(insert(tx, 3, &err), -EEXIST); // the first failure is final
    err = (struct err)ERR_INIT;
    assert_int_equal(store_commit(&tx, &err), -EEXIST);
    assert_int_equal(err.code, -EEXIST);
    assert_true(err.message[0] != '\0');
    assert_null(tx);
    assert_int_equal(count(p->store), 1);
    insert_one(p->store, 2);
}

static void errors_have_their_codes(void **state)
{
    struct place *p = *state;
    struct err err = ERR_INIT;
    struct store_tx *tx = begin(p->store, STORE_WRITE);
    struct store_stmt *s = NULL;

    assert_int_equal(store_exec(tx, &err, "INSERT INTO checked VALUES (?)", SQL_I64(-1)), -ERANGE);
    store_abort(tx);
    tx = begin(p->store, STORE_WRITE);
    assert_int_equal(store_prepare(tx, "SELEC 1", &s, &err), -EINVAL);
    assert_null(s);
    store_abort(tx);
    tx = begin(p->store, STORE_READ);
    assert_int_equal(store_prepare(tx, "SELECT * FROM nothing", &s, &err), -EINVAL);
    assert_int_equal(store_prepare(tx, "  ", &s, &err), -EINVAL);
    // A bind that fails is told by the step.
    assert_int_equal(store_select(tx, &s, &err, "SELECT 1", SQL_I64(5)), 0);
    assert_int_equal(store_step(s, &err), -EINVAL);
    store_reset(s);
    commit(tx);
}

static void a_second_write_in_one_thread_is_refused(void **state)
{
    struct place *p = *state;
    struct err err = ERR_INIT;
    struct store_tx *tx = begin(p->store, STORE_WRITE), *second = NULL;

    assert_int_equal(store_begin(p->store, STORE_WRITE, &second, &err), -EDEADLK);
    assert_null(second);
    commit(tx);
    insert_one(p->store, 1);
}

static void a_reader_cannot_write(void **state)
{
    struct place *p = *state;
    struct err err = ERR_INIT;
    struct store_tx *tx = begin(p->store, STORE_READ);

    assert_int_equal(insert(tx, 1, &err), -EROFS);
    commit(tx);
    assert_int_equal(count(p->store), 0);
}

static int fail_commits(void *ctx, enum store_op op)
{
    int *code = ctx;

    return op == STORE_OP_COMMIT ? *code : 0;
}

static void a_failed_commit_leaves_nothing(void **state)
{
    struct place *p = *state;
    struct err err = ERR_INIT;
    struct store_tx *tx = begin(p->store, STORE_WRITE);
    int code = -ENOSPC;

    store_set_fault(fail_commits, &code);
    assert_int_equal(insert(tx, 1, &err), 1);
    assert_int_equal(store_commit(&tx, &err), -ENOSPC);
    assert_int_equal(err.code, -ENOSPC);
    assert_null(tx);
    store_set_fault(NULL, NULL);
    assert_int_equal(count(p->store), 0);
    insert_one(p->store, 1);
}

struct nth {
    int left;
    bool hit;
};

static int fail_nth(void *ctx, enum store_op op)
{
    struct nth *n = ctx;

    (void)op;
    if (n->left-- != 0)
        return 0;
    n->hit = true;
    return -EIO;
}

static int transfer(struct store *s, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    int64_t n;
    int r;

    r = store_begin(s, STORE_WRITE, &tx, err);
    if (r < 0)
        return r;
    n = store_exec(tx, err, "UPDATE item SET size = size - 1 WHERE id = 1");
    if (n < 0)
        return (int)n;
    n = store_exec(tx, err, "UPDATE item SET size = size + 1 WHERE id = 2");
    if (n < 0)
        return (int)n;
    return store_commit(&tx, err);
}

// Every operation of a transaction fails in turn; the sum stays what it was.
static void every_nth_operation_fails(void **state)
{
    struct place *p = *state;
    struct err err = ERR_INIT;
    struct store_tx *tx = begin(p->store, STORE_WRITE);
    bool hit = true;
    int64_t moved = 0;

    assert_int_equal(store_exec(tx, &err, "INSERT INTO item (id, size) VALUES (1, 0), (2, 0)"), 2);
    commit(tx);
    for (int n = 0; hit; n++) {
        struct nth nth = {n, false};
        int r;
        store_set_fault(fail_nth, &nth);
        r = transfer(p->store, &err);
        store_set_fault(NULL, NULL);
        hit = nth.hit;
        assert_int_equal(r, hit ? -EIO : 0);
        moved += r == 0;
        tx = begin(p->store, STORE_READ);
        assert_int_equal(number(tx, "SELECT size FROM item WHERE id = 2"), moved);
        assert_int_equal(number(tx, "SELECT size FROM item WHERE id = 1"), -moved);
        commit(tx);
        assert_true(n < 100);
    }
}

static void migrations_go_on_from_where_they_were(void **state)
{
    static const struct store_migration more[] = {
        {"items", "this is not run again"},
        {"serial", "nor this"},
        {"checked", "nor this"},
        {"later", "CREATE TABLE later (x BIGINT); INSERT INTO later VALUES (7);"},
    };
    static const struct store_migration broken[] = {
        {"", ""}, {"", ""}, {"", ""}, {"", ""}, {"bad", "CREATE TABLE half (x BIGINT); nonsense;"},
    };
    struct place *p = *state;
    struct err err = ERR_INIT;
    struct store_tx *tx;

    insert_one(p->store, 1);
    store_close(p->store);
    p->store = NULL;
    assert_int_equal(store_open(p->path, more, ARRAY_LEN(more), &p->store, &err), 0);
    tx = begin(p->store, STORE_READ);
    assert_int_equal(number(tx, "SELECT x FROM later"), 7);
    commit(tx);
    store_close(p->store);
    p->store = NULL;
    // One that fails leaves the file as it was.
    assert_int_equal(store_open(p->path, broken, ARRAY_LEN(broken), &p->store, &err), -EINVAL);
    assert_null(p->store);
    assert_non_null(strstr(err.message, "bad"));
    // An older program refuses a newer file.
    assert_int_equal(store_open(p->path, schema, ARRAY_LEN(schema), &p->store, &err), -ENOTSUP);
    assert_null(p->store);
    assert_int_equal(store_open(p->path, more, ARRAY_LEN(more), &p->store, &err), 0);
    assert_int_equal(count(p->store), 1);
}

// --- many threads ---

#define THREADS 8
#define ROUNDS 60

struct worker {
    struct store *store;
    pthread_barrier_t *barrier;
    int number;
    int committed, failed;
};

static void *write_items(void *arg)
{
    struct worker *w = arg;

    pthread_barrier_wait(w->barrier);
    for (int i = 0; i < ROUNDS; i++) {
        struct err err = ERR_INIT;
        struct store_tx *tx = NULL;
        int64_t id = w->number * 1000 + i;
        if (store_begin(w->store, STORE_WRITE, &tx, &err) < 0) {
            w->failed++;
        } else if (i % 7 == 6) { // some change their mind
            insert(tx, id, &err);
            store_abort(tx);
        } else if (i % 11 == 10) { // some trip
            insert(tx, id, &err);
            insert(tx, id, &err);
            if (store_commit(&tx, &err) != -EEXIST)
                abort();
        } else if (insert(tx, id, &err) != 1) {
            w->failed++;
            store_abort(tx);
        } else if (store_commit(&tx, &err) < 0) {
            w->failed++;
        } else {
            w->committed++;
        }
    }
    return NULL;
}

static void run_workers(struct store *s, struct worker *w, void *(*fn)(void *))
{
    pthread_t threads[THREADS];
    pthread_barrier_t barrier;

    pthread_barrier_init(&barrier, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) {
        w[i] = (struct worker){.store = s, .barrier = &barrier, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, fn, &w[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&barrier);
}

static void writers_in_many_threads(void **state)
{
    struct place *p = *state;
    struct worker w[THREADS];
    struct store_stats stats;
    int64_t committed = 0;

    run_workers(p->store, w, write_items);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(w[i].failed, 0);
        committed += w[i].committed;
    }
    assert_int_equal(count(p->store), committed);
    store_get_stats(p->store, &stats);
    assert_int_equal(stats.writers, committed);
    assert_true(stats.commits <= stats.writers);
}

// The leader of a group stands still in its commit until everybody else is in the queue, so that
// the next group must hold them all.
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool open, reached;
};

static int hold_first_commit(void *ctx, enum store_op op)
{
    struct gate *g = ctx;

    if (op != STORE_OP_COMMIT)
        return 0;
    pthread_mutex_lock(&g->lock);
    g->reached = true;
    pthread_cond_broadcast(&g->cond);
    while (!g->open)
        pthread_cond_wait(&g->cond, &g->lock);
    pthread_mutex_unlock(&g->lock);
    return 0;
}

static void *write_one(void *arg)
{
    struct worker *w = arg;
    struct err err = ERR_INIT;
    struct store_tx *tx = NULL;

    if (store_begin(w->store, STORE_WRITE, &tx, &err) == 0 && insert(tx, w->number, &err) == 1 &&
        store_commit(&tx, &err) == 0)
        w->committed++;
    return NULL;
}

static void commits_come_in_groups(void **state)
{
    struct place *p = *state;
    struct gate gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false};
    struct worker w[THREADS + 1];
    pthread_t threads[THREADS + 1];
    struct store_stats before, after;

    store_get_stats(p->store, &before);
    store_set_fault(hold_first_commit, &gate);
    for (int i = 0; i <= THREADS; i++) {
        w[i] = (struct worker){.store = p->store, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_one, &w[i]), 0);
        if (i == 0) {
            pthread_mutex_lock(&gate.lock);
            while (!gate.reached)
                pthread_cond_wait(&gate.cond, &gate.lock);
            pthread_mutex_unlock(&gate.lock);
        }
    }
    do {
        sched_yield();
        store_get_stats(p->store, &after);
    } while (after.queued < THREADS);
    pthread_mutex_lock(&gate.lock);
    gate.open = true;
    pthread_cond_broadcast(&gate.cond);
    pthread_mutex_unlock(&gate.lock);
    for (int i = 0; i <= THREADS; i++)
        pthread_join(threads[i], NULL);
    store_set_fault(NULL, NULL);

    store_get_stats(p->store, &after);
    assert_int_equal(after.writers - before.writers, THREADS + 1);
    assert_int_equal(after.commits - before.commits, 2);
    assert_int_equal(after.largest_group, THREADS);
    assert_int_equal(count(p->store), THREADS + 1);
}

// Commits fail now and then; whoever was told "done" is there, whoever was not is not.
static atomic_int commit_number;

static int fail_some_commits(void *ctx, enum store_op op)
{
    (void)ctx;
    return op == STORE_OP_COMMIT && atomic_fetch_add(&commit_number, 1) % 3 == 1 ? -ENOSPC : 0;
}

static atomic_bool told[THREADS * 1000];

static void *write_and_remember(void *arg)
{
    struct worker *w = arg;

    pthread_barrier_wait(w->barrier);
    for (int i = 0; i < ROUNDS; i++) {
        struct err err = ERR_INIT;
        struct store_tx *tx = NULL;
        int id = w->number * 1000 + i;
        if (store_begin(w->store, STORE_WRITE, &tx, &err) < 0)
            abort();
        if (insert(tx, id, &err) != 1)
            abort();
        if (store_commit(&tx, &err) == 0)
            atomic_store(&told[id], true);
        else if (err.code != -ENOSPC)
            abort();
    }
    return NULL;
}

static void a_failed_commit_fails_its_whole_group_and_no_other(void **state)
{
    struct place *p = *state;
    struct err err = ERR_INIT;
    struct worker w[THREADS];
    struct store_stmt *s;
    struct store_tx *tx;
    size_t done = 0, found = 0;

    for (size_t i = 0; i < ARRAY_LEN(told); i++)
        atomic_store(&told[i], false);
    store_set_fault(fail_some_commits, NULL);
    run_workers(p->store, w, write_and_remember);
    store_set_fault(NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(told); i++)
        done += atomic_load(&told[i]);
    tx = begin(p->store, STORE_READ);
    assert_int_equal(store_select(tx, &s, &err, "SELECT id FROM item"), 0);
    while (store_step(s, &err) == 1) {
        assert_true(atomic_load(&told[store_col_i64(s, 0)]));
        found++;
    }
    store_reset(s);
    commit(tx);
    assert_int_equal(found, done);
    assert_true(done > 0 && done < (size_t)THREADS * ROUNDS);
}

static void *read_sums(void *arg)
{
    struct worker *w = arg;

    pthread_barrier_wait(w->barrier);
    for (int i = 0; i < ROUNDS; i++) {
        struct err err = ERR_INIT;
        if (w->number % 2 == 0) {
            if (transfer(w->store, &err) < 0)
                w->failed++;
        } else {
            _cleanup_(store_abortp) struct store_tx *tx = NULL;
            _cleanup_(store_resetp) struct store_stmt *s = NULL;
            if (store_begin(w->store, STORE_READ, &tx, &err) < 0 ||
                store_select(tx, &s, &err, "SELECT sum(size) FROM item") < 0 ||
                store_step(s, &err) != 1 || store_col_f64(s, 0) != 0)
                w->failed++;
        }
    }
    return NULL;
}

static void readers_see_whole_transactions(void **state)
{
    struct place *p = *state;
    struct err err = ERR_INIT;
    struct store_tx *tx = begin(p->store, STORE_WRITE);
    struct worker w[THREADS];

    assert_int_equal(store_exec(tx, &err, "INSERT INTO item (id, size) VALUES (1, 0), (2, 0)"), 2);
    commit(tx);
    run_workers(p->store, w, read_sums);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(w[i].failed, 0);
    tx = begin(p->store, STORE_READ);
    assert_int_equal(number(tx, "SELECT size FROM item WHERE id = 2"), THREADS / 2 * ROUNDS);
    commit(tx);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int store_contract_run(const struct store_contract *which)
{
    const struct CMUnitTest tests[] = {
        CASE(values_come_back_as_they_went),
        CASE(abort_undoes),
        CASE(commit_survives_reopening),
        CASE(a_writer_sees_its_own_work_and_readers_do_not),
        CASE(many_readers_at_once),
        CASE(changes_are_counted),
        CASE(the_same_statement_twice_at_once),
        CASE(a_statement_may_outlive_its_transaction),
        CASE(many_different_statements),
        CASE(common_sql),
        CASE(a_failed_writer_cannot_commit),
        CASE(errors_have_their_codes),
        CASE(a_second_write_in_one_thread_is_refused),
        CASE(a_reader_cannot_write),
        CASE(a_failed_commit_leaves_nothing),
        CASE(every_nth_operation_fails),
        CASE(migrations_go_on_from_where_they_were),
        CASE(writers_in_many_threads),
        CASE(commits_come_in_groups),
        CASE(a_failed_commit_fails_its_whole_group_and_no_other),
        CASE(readers_see_whole_transactions),
    };

    implementation = which;
    return cmocka_run_group_tests_name(which->name, tests, NULL, NULL);
}
