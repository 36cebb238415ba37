// test_torture.c - every nth read, write, sync and allocation fails, once or from then on.
//
// After each failure: nothing crashed or leaked, the store says so or has done what it was asked,
// and what it acknowledged - no more, no less - is there, now and after opening it again.
#include "failing_vfs.h"
#include "scratch.h"
#include "store/store.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

void *__wrap_malloc(size_t n)
{
    return failing_allocation() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return failing_allocation() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return failing_allocation() ? NULL : __real_realloc(p, n);
}

static const struct store_migration schema[] = {
    {"items", "CREATE TABLE item (id BIGINT NOT NULL PRIMARY KEY, body BLOB);"},
    {"index", "CREATE INDEX by_body ON item (body);"},
};

static char dir[SCRATCH_BYTES];
static char path[SCRATCH_BYTES + 64];

static int open_store(struct store **s, struct err *err)
{
    return store_open(path, schema, ARRAY_LEN(schema), s, err);
}

static int insert(struct store *s, int64_t id, size_t bytes, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    static char body[60000];
    int64_t n;
    int r;

    r = store_begin(s, STORE_WRITE, &tx, err);
    if (r < 0)
        return r;
    memset(body, (int)('a' + id % 26), bytes);
    n = store_exec(tx, err, "INSERT INTO item VALUES (?, ?)", SQL_I64(id),
                   SQL_BLOB(((struct str){body, bytes})));
    if (n < 0)
        return (int)n;
    return store_commit(&tx, err);
}

static int sum(struct store *s, int64_t *out, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    _cleanup_(store_resetp) struct store_stmt *stmt = NULL;
    int r;

    r = store_begin(s, STORE_READ, &tx, err);
    if (r < 0)
        return r;
    r = store_select(tx, &stmt, err, "SELECT coalesce(sum(id), 0) FROM item");
    if (r < 0)
        return r;
    r = store_step(stmt, err);
    if (r < 0)
        return r;
    *out = store_col_i64(stmt, 0);
    return 0;
}

// Ten rows with ids that are powers of two: their sum tells which are there. The fourth is
// large. Answers the sum of what was acknowledged.
static int64_t work(struct err *first)
{
    struct store *s = NULL;
    struct err err = ERR_INIT;
    int64_t acknowledged = 0, seen = 0;

    if (open_store(&s, &err) < 0) {
        *first = err;
        return 0;
    }
    for (int i = 0; i < 10; i++) {
        int64_t id = INT64_C(1) << i;
        err = (struct err)ERR_INIT;
        if (insert(s, id, i == 3 ? 60000 : 100, &err) == 0)
            acknowledged |= id;
        else if (first->code == 0)
            *first = err;
        err = (struct err)ERR_INIT;
        if (sum(s, &seen, &err) == 0) {
            if (seen != acknowledged)
                fail_msg("acknowledged %llx, seen %llx", (long long)acknowledged, (long long)seen);
        } else if (first->code == 0) {
            *first = err;
        }
    }
    store_close(s);
    return acknowledged;
}

static void remove_database(void)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};

    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        char name[SCRATCH_BYTES + 80];
        snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
        unlink(name);
    }
}

static void torture(enum failing_kind kind, bool forever)
{
    bool struck = true;
    int n, step = 1;

    for (n = 0; struck; n += step) {
        struct err why = ERR_INIT, err = ERR_INIT;
        struct store *s = NULL;
        int64_t acknowledged, there = 0;
        remove_database();
        failing_arm(kind, n, forever);
        acknowledged = work(&why);
        struck = failing_disarm();
        if (!struck)
            assert_int_equal(acknowledged, 0x3ff);
        if (why.code != 0) {
            assert_true(why.code == -EIO || why.code == -ENOMEM || why.code == -ENOSPC ||
                        why.code == -EBUSY || why.code == -EUCLEAN);
            assert_true(why.message[0] != '\0');
        }
        if (open_store(&s, &err) < 0 || sum(s, &there, &err) < 0)
            fail_msg("after failure %d: %s", n, err.message);
        // The one commit whose sync was the first to fail may have reached a disk that takes
        // nothing any more, not even its undoing.
        if (forever && kind == FAIL_IO && (there & acknowledged) == acknowledged) {
            int64_t more = there & ~acknowledged;
            if ((more & (more - 1)) == 0)
                there = acknowledged;
        }
        if (there != acknowledged)
            fail_msg("failure %d: acknowledged %llx, there %llx (%s)", n, (long long)acknowledged,
                     (long long)there, why.message);
        store_close(s);
        // The first ones thoroughly, then with growing steps.
        step = n < 400 ? 1 : 1 + n / 100;
        assert_true(n < 2000000);
    }
    print_message("%d points of failure\n", n);
}

static void input_and_output_fail_once(void **state)
{
    (void)state;
    torture(FAIL_IO, false);
}

static void input_and_output_fail_for_good(void **state)
{
    (void)state;
    torture(FAIL_IO, true);
}

static void the_disk_is_full_for_a_moment(void **state)
{
    (void)state;
    torture(FAIL_FULL, false);
}

static void the_disk_stays_full(void **state)
{
    (void)state;
    torture(FAIL_FULL, true);
}

static void memory_is_short_for_a_moment(void **state)
{
    (void)state;
    torture(FAIL_MEMORY, false);
}

static void memory_stays_short(void **state)
{
    (void)state;
    torture(FAIL_MEMORY, true);
}

static int group_setup(void **state)
{
    (void)state;
    failing_install();
    // Thousands of databases are made; where nothing is synced, that takes seconds.
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    scratch_make(dir);
    snprintf(path, sizeof(path), "%s/torture.db", dir);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    scratch_remove(dir);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(input_and_output_fail_once),
        cmocka_unit_test(input_and_output_fail_for_good),
        cmocka_unit_test(the_disk_is_full_for_a_moment),
        cmocka_unit_test(the_disk_stays_full),
        cmocka_unit_test(memory_is_short_for_a_moment),
        cmocka_unit_test(memory_stays_short),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
