// test_crash.c - a process that writes is killed at any moment; what it acknowledged is there.
//
// The child tells by a pipe what was acknowledged; the parent kills it after a number of messages
// that differs from round to round, and looks at what it left. (Losing power is another matter: a
// killed process does not lose what the kernel holds.)
#include "scratch.h"
#include "store/store.h"
#include "store/store_objects.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUNDS 40
#define WRITERS 4

static const struct store_migration schema[] = {
    {"items", "CREATE TABLE item (id BIGINT NOT NULL PRIMARY KEY, object TEXT);"},
};

static char dir[SCRATCH_BYTES];

// --- the child ---

static struct store *store;
static struct store_objects *objects;
static int told; // the pipe
static atomic_llong next_id;

// An object for every tenth item: written first, then referred to.
static int write_item(int64_t id, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    char name[STORE_OBJECT_NAME_BYTES], content[64];
    struct str object = STR_NULL;
    int64_t n;
    int r;

    if (id % 10 == 0) {
        snprintf(content, sizeof(content), "content of %lld", (long long)id);
        r = store_object_put(objects, str_from(content), name, err);
        if (r < 0)
            return r;
        object = str_from(name);
    }
    r = store_begin(store, STORE_WRITE, &tx, err);
    if (r < 0)
        return r;
    n = store_exec(tx, err, "INSERT INTO item VALUES (?, ?)", SQL_I64(id), SQL_STR(object));
    return n < 0 ? (int)n : store_commit(&tx, err);
}

static void *write_items(void *arg)
{
    (void)arg;
    for (;;) {
        struct err err = ERR_INIT;
        int64_t id = atomic_fetch_add(&next_id, 1);
        if (write_item(id, &err) < 0) {
            fprintf(stderr, "%s\n", err.message);
            _exit(1);
        }
        if (write(told, &id, sizeof(id)) != sizeof(id))
            _exit(1);
    }
}

static void open_both(void)
{
    struct err err = ERR_INIT;

    if (store_open(scratch_path(dir, "crash.db"), schema, 1, &store, &err) < 0 ||
        store_objects_open(scratch_path(dir, "objects"), false, &objects, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        _exit(1);
    }
}

static void child(int64_t first)
{
    pthread_t thread;

    open_both();
    atomic_store(&next_id, first);
    for (int i = 1; i < WRITERS; i++)
        pthread_create(&thread, NULL, write_items, NULL);
    write_items(NULL);
}

// --- the parent ---

#define MAX_ITEMS 100000
static bool acknowledged[MAX_ITEMS];

static void check_object(int64_t id, struct str name)
{
    char cname[STORE_OBJECT_NAME_BYTES], want[64], got[64] = "";
    struct err err = ERR_INIT;
    int64_t bytes;
    int fd;

    snprintf(cname, sizeof(cname), "%.*s", STR_ARG(name));
    snprintf(want, sizeof(want), "content of %lld", (long long)id);
    if (store_object_open(objects, cname, &fd, &bytes, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(read(fd, got, sizeof(got) - 1), bytes);
    assert_string_equal(got, want);
    close(fd);
}

// Answers one more than the largest id.
static int64_t check(void)
{
    static bool there[MAX_ITEMS];
    struct store_stmt *s;
    struct store_tx *tx;
    struct err err = ERR_INIT;
    int64_t next = 0;

    memset(there, 0, sizeof(there));
    open_both();
    assert_int_equal(store_begin(store, STORE_READ, &tx, &err), 0);
    assert_int_equal(store_select(tx, &s, &err, "SELECT id, object FROM item ORDER BY id"), 0);
    while (store_step(s, &err) == 1) {
        int64_t id = store_col_i64(s, 0);
        assert_true(id < MAX_ITEMS);
        there[id] = true;
        next = id + 1;
        if (!store_col_is_null(s, 1))
            check_object(id, store_col_str(s, 1));
        else
            assert_true(id % 10 != 0);
    }
    assert_int_equal(err.code, 0);
    store_reset(s);
    store_abort(tx);
    for (size_t i = 0; i < MAX_ITEMS; i++) {
        if (acknowledged[i] && !there[i])
            fail_msg("%zu was acknowledged and is not there", i);
    }
    store_close(store);
    store_objects_close(objects);
    return next;
}

static void killed_at_any_moment(void **state)
{
    int64_t first = 0, total = 0;

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        int fds[2], status;
        int64_t id, left = 1 + round * 37 % 101;
        pid_t pid;
        assert_int_equal(pipe(fds), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            close(fds[0]);
            told = fds[1];
            child(first);
            _exit(0);
        }
        close(fds[1]);
        while (read(fds[0], &id, sizeof(id)) == sizeof(id)) {
            assert_true(id < MAX_ITEMS);
            acknowledged[id] = true;
            total++;
            if (--left == 0)
                kill(pid, SIGKILL); // and read what it still said
        }
        close(fds[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        first = check() + WRITERS; // beyond what may have been under way
    }
    assert_true(total >= ROUNDS);
}

static int setup(void **state)
{
    (void)state;
    scratch_make(dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scratch_remove(dir);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(killed_at_any_moment, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
