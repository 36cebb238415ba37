// test_damage.c - damaged files, missing directories, other processes, a full disk.
#include "scratch.h"
#include "store/store.h"
#include "store/store_objects.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include <cmocka.h>

static const struct store_migration schema[] = {
    {"items", "CREATE TABLE item (id BIGINT NOT NULL PRIMARY KEY, body BLOB);"},
};

static char dir[SCRATCH_BYTES];

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

static int insert(struct store *s, int64_t id, struct str body, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    int64_t n;
    int r;

    r = store_begin(s, STORE_WRITE, &tx, err);
    if (r < 0)
        return r;
    n = store_exec(tx, err, "INSERT INTO item VALUES (?, ?)", SQL_I64(id), SQL_BLOB(body));
    if (n < 0)
        return (int)n;
    return store_commit(&tx, err);
}

static int64_t count(struct store *s)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    _cleanup_(store_resetp) struct store_stmt *stmt = NULL;
    struct err err = ERR_INIT;

    if (store_begin(s, STORE_READ, &tx, &err) < 0 ||
        store_select(tx, &stmt, &err, "SELECT count(*) FROM item") < 0 ||
        store_step(stmt, &err) != 1)
        fail_msg("%s", err.message);
    return store_col_i64(stmt, 0);
}

static void the_file_is_private(void **state)
{
    struct store *s = NULL;
    struct err err = ERR_INIT;
    struct stat st;

    (void)state;
    assert_int_equal(store_open(scratch_path(dir, "a.db"), schema, 1, &s, &err), 0);
    assert_int_equal(insert(s, 1, STR("x"), &err), 0);
    assert_int_equal(stat(scratch_path(dir, "a.db"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(scratch_path(dir, "a.db-wal"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    store_close(s);
}

// Somebody was stopped while making the file.
static void a_half_made_file_is_made_anew(void **state)
{
    static const struct store_migration broken[] = {{"bad", "CREATE TABLE item (id BIGINT); no"}};
    struct store *s = NULL;
    struct err err = ERR_INIT;
    FILE *f = fopen(scratch_path(dir, "a.db.new"), "w");

    (void)state;
    assert_non_null(f);
    fputs("half a database", f);
    fclose(f);
    assert_int_equal(store_open(scratch_path(dir, "a.db"), broken, 1, &s, &err), -EINVAL);
    assert_int_equal(access(scratch_path(dir, "a.db"), F_OK), -1);
    assert_int_equal(store_open(scratch_path(dir, "a.db"), schema, 1, &s, &err), 0);
    assert_int_equal(access(scratch_path(dir, "a.db.new"), F_OK), -1);
    assert_int_equal(insert(s, 1, STR("x"), &err), 0);
    store_close(s);
}

static void no_directory(void **state)
{
    struct store *s = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(store_open(scratch_path(dir, "no/a.db"), schema, 1, &s, &err), -ENOENT);
    assert_null(s);
    assert_non_null(strstr(err.message, "no/a.db"));
}

static void garbage_is_no_database(void **state)
{
    const char *path = scratch_path(dir, "a.db");
    struct store *s = NULL;
    struct err err = ERR_INIT;
    FILE *f = fopen(path, "w");

    (void)state;
    assert_non_null(f);
    for (int i = 0; i < 1000; i++)
        fputs("this is not a database. ", f);
    fclose(f);
    assert_int_equal(store_open(path, schema, 1, &s, &err), -EUCLEAN);
    assert_null(s);
}

static void a_damaged_page_is_noticed(void **state)
{
    const char *path = scratch_path(dir, "a.db");
    struct store *s = NULL;
    struct store_tx *tx;
    struct store_stmt *stmt;
    struct err err = ERR_INIT;
    char body[300] = {0};
    int fd, r;

    (void)state;
    assert_int_equal(store_open(path, schema, 1, &s, &err), 0);
    for (int64_t i = 0; i < 500; i++)
        assert_int_equal(insert(s, i, (struct str){body, sizeof(body)}, &err), 0);
    store_close(s); // everything is in the file now
    s = NULL;
    fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    memset(body, 0xa5, sizeof(body));
    for (int page = 2; page < 30; page++)
        assert_int_equal(pwrite(fd, body, sizeof(body), page * 4096), sizeof(body));
    close(fd);
    assert_int_equal(store_open(path, schema, 1, &s, &err), 0);
    assert_int_equal(store_begin(s, STORE_READ, &tx, &err), 0);
    assert_int_equal(store_select(tx, &stmt, &err, "SELECT sum(length(body)) FROM item"), 0);
    r = store_step(stmt, &err);
    assert_int_equal(r, -EUCLEAN);
    store_reset(stmt);
    store_abort(tx);
    store_close(s);
}

// Somebody has the file open in sqlite3(1), in the middle of a transaction: the store waits, and
// goes on when it ends.
static void *commit_later(void *arg)
{
    struct store_stats stats;

    // Whether the writer is still on its way or already waiting makes no difference to it.
    for (int i = 0; i < 1000; i++) {
        store_get_stats(*(struct store **)((void **)arg)[1], &stats);
        sched_yield();
    }
    sqlite3_exec(((void **)arg)[0], "COMMIT", NULL, NULL, NULL);
    return NULL;
}

static void another_process_writes(void **state)
{
    const char *path = scratch_path(dir, "a.db");
    struct store *s = NULL;
    struct err err = ERR_INIT;
    sqlite3 *other;
    pthread_t thread;
    void *arg[2];

    (void)state;
    assert_int_equal(store_open(path, schema, 1, &s, &err), 0);
    assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(other, "BEGIN IMMEDIATE; INSERT INTO item VALUES (1, NULL)", NULL, NULL, NULL),
        SQLITE_OK);
    assert_int_equal(count(s), 0); // reading goes on
    arg[0] = other;
    arg[1] = &s;
    assert_int_equal(pthread_create(&thread, NULL, commit_later, arg), 0);
    assert_int_equal(insert(s, 2, STR("x"), &err), 0);
    pthread_join(thread, NULL);
    sqlite3_close(other);
    assert_int_equal(count(s), 2);
    store_close(s);
}

// --- a full disk ---

#define WRITERS 6
#define MAX_IDS 10000

static struct store *full;
static atomic_bool told[MAX_IDS];
static atomic_int next_id, wrong;

static void *fill(void *arg)
{
    char body[2000] = {0};

    (void)arg;
    for (;;) {
        struct err err = ERR_INIT;
        int id = atomic_fetch_add(&next_id, 1), r;
        if (id >= MAX_IDS)
            return NULL;
        r = insert(full, id, (struct str){body, sizeof(body)}, &err);
        if (r == 0) {
            atomic_store(&told[id], true);
            continue;
        }
        if (r != -ENOSPC || err.code != r || err.message[0] == '\0') {
            fprintf(stderr, "insert: %d, %d, %s\n", r, err.code, err.message);
            atomic_fetch_add(&wrong, 1);
        }
        return NULL;
    }
}

static void what_was_told_is_there(void)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    struct err err = ERR_INIT;
    size_t found = 0, want = 0;

    for (size_t i = 0; i < MAX_IDS; i++)
        want += atomic_load(&told[i]);
    assert_int_equal(store_begin(full, STORE_READ, &tx, &err), 0);
    assert_int_equal(store_select(tx, &s, &err, "SELECT id FROM item"), 0);
    while (store_step(s, &err) == 1) {
        assert_true(atomic_load(&told[store_col_i64(s, 0)]));
        found++;
    }
    assert_int_equal(err.code, 0);
    assert_int_equal(found, want);
    assert_true(want > 0);
}

static void a_full_disk(void **state)
{
    char path[SCRATCH_BYTES + 64], filler[SCRATCH_BYTES + 64], name[STORE_OBJECT_NAME_BYTES];
    struct store_objects *objects;
    struct err err = ERR_INIT;
    pthread_t threads[WRITERS];
    char block[4096] = {0};
    int fd;

    (void)state;
    // A mount name space of our own, so that nothing is left behind whatever happens.
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", dir, "tmpfs", 0, "size=2m,mode=0700") < 0) {
        print_message("SKIPPED: a small file system cannot be mounted here: %s\n", strerror(errno));
        skip();
    }
    snprintf(path, sizeof(path), "%s/a.db", dir);
    snprintf(filler, sizeof(filler), "%s/filler", dir);
    fd = open(filler, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    for (int i = 0; i < 128; i++)
        assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
    close(fd);
    assert_int_equal(store_open(path, schema, 1, &full, &err), 0);
    assert_int_equal(store_objects_open(scratch_path(dir, "objects"), false, &objects, &err), 0);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, fill, NULL), 0);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&wrong), 0);
    assert_true(atomic_load(&next_id) < MAX_IDS);
    what_was_told_is_there(); // reading goes on

    // Fill the last bytes; an object is refused whole.
    fd = open(scratch_path(dir, "rest"), O_CREAT | O_WRONLY, 0600);
    while (fd >= 0 && write(fd, block, sizeof(block)) > 0)
        ;
    if (fd >= 0)
        close(fd);
    assert_int_equal(store_object_put(objects, (struct str){block, sizeof(block)}, name, &err),
                     -ENOSPC);
    assert_false(store_object_exists(objects, name));

    // Space again, and everything works again, without being opened anew.
    unlink(filler);
    unlink(scratch_path(dir, "rest"));
    assert_int_equal(insert(full, MAX_IDS - 1, STR("x"), &err), 0);
    atomic_store(&told[MAX_IDS - 1], true);
    what_was_told_is_there();
    store_close(full);
    assert_int_equal(store_open(path, schema, 1, &full, &err), 0);
    what_was_told_is_there();
    store_close(full);
    store_objects_close(objects);
    umount2(dir, MNT_DETACH);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_file_is_private),
        CASE(no_directory),
        CASE(a_half_made_file_is_made_anew),
        CASE(garbage_is_no_database),
        CASE(a_damaged_page_is_noticed),
        CASE(another_process_writes),
        CASE(a_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
