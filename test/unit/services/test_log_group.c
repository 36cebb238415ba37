// test_log_group.c - log groups on disk: pages in order, streams dropped and made again, a life
// that ends without closing anything, retention.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "os/file.h"
#include "services/logs/log_read.h"

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define ACCOUNT STR("000000000000")
#define REGION STR("us-east-1")
#define GROUP STR("/aws/lambda/f")

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/lambkin-logs-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    return rm_rf(dir, NULL);
}

static void put(struct str stream, int64_t from_ms, int64_t step, int n)
{
    bool made;
    struct log_group *g = log_group_make(ACCOUNT, REGION, GROUP, 5, &made);
    assert_non_null(g);
    for (int i = 0; i < n; i++) {
        char text[64];
        snprintf(text, sizeof(text), "%.*s line %d", STR_ARG(stream), i);
        struct log_append_event e = {from_ms + i * step, str_from(text)};
        assert_int_equal(log_group_append(g, stream, true, &e, 1, 1000000, NULL), 0);
    }
    assert_int_equal(log_group_sync(g, NULL), 0);
    log_group_unref(g);
}

// Runs fn in a process that then dies without closing anything.
static void in_a_life(void (*fn)(void))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct err err = ERR_INIT;
        if (log_groups_open(dir, false, &err) < 0)
            _exit(3);
        fn();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void page_is(struct log_read q, const char *expected, bool expect_more)
{
    struct arena a = {0};
    struct log_event *events;
    struct err err = ERR_INIT;
    char text[2048] = "";
    size_t n, at = 0;
    bool more;
    arena_init(&a, 64 << 20);
    struct log_group *g = log_group_get(ACCOUNT, REGION, GROUP);
    assert_non_null(g);
    if (q.end_ms == 0)
        q.end_ms = INT64_MAX;
    if (log_read_page(g, &q, &a, &events, &n, &more, &err) < 0)
        fail_msg("%s", err.message);
    for (size_t i = 0; i < n && at < sizeof(text); i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%.*s@%lld", i ? "," : "",
                               STR_ARG(events[i].message), (long long)events[i].at.time_ms);
    assert_string_equal(text, expected);
    assert_int_equal(more, expect_more);
    log_group_unref(g);
    arena_finish(&a);
}

static void write_two(void)
{
    put(STR("a"), 100, 10, 3);
    put(STR("b"), 105, 10, 3);
}

static void drop_a(void)
{
    struct log_group *g = log_group_get(ACCOUNT, REGION, GROUP);
    if (!g || log_group_load(g, NULL) < 0 || log_stream_drop(g, STR("a"), NULL) < 0 ||
        log_group_sync(g, NULL) < 0)
        _exit(4);
}

static void write_a_again(void)
{
    put(STR("a"), 300, 1, 1);
}

static void test_lives(void **state)
{
    (void)state;
    const struct str only_a = STR("a");
    in_a_life(write_two);
    assert_int_equal(log_groups_open(dir, false, NULL), 0);
    page_is((struct log_read){.limit = 100},
            "a line 0@100,b line 0@105,a line 1@110,b line 1@115,a line 2@120,b line 2@125", false);
    page_is((struct log_read){.limit = 2}, "a line 0@100,b line 0@105", true);
    page_is((struct log_read){.limit = 2, .backward = true}, "a line 2@120,b line 2@125", true);
    page_is((struct log_read){.limit = 2, .streams = &only_a, .n_streams = 1, .start_ms = 101},
            "a line 1@110,a line 2@120", false);
    page_is((struct log_read){.limit = 9, .start_ms = 105, .end_ms = 115},
            "b line 0@105,a line 1@110", false);
    page_is((struct log_read){.limit = 9, .stream_prefix = STR("b"), .start_ms = 115},
            "b line 1@115,b line 2@125", false);
    log_groups_close();

    // After a clean close the rows tell; a deleted stream is gone in the next life as well.
    in_a_life(drop_a);
    assert_int_equal(log_groups_open(dir, false, NULL), 0);
    page_is((struct log_read){.limit = 9}, "b line 0@105,b line 1@115,b line 2@125", false);
    log_groups_close();
    in_a_life(write_a_again);
    assert_int_equal(log_groups_open(dir, false, NULL), 0);
    page_is((struct log_read){.limit = 9, .streams = &only_a, .n_streams = 1}, "a line 0@300",
            false);
    struct log_group *g = log_group_get(ACCOUNT, REGION, GROUP);
    pthread_mutex_lock(&g->lock);
    const struct log_stream *a = log_stream_find(g, only_a), *b = log_stream_find(g, STR("b"));
    assert_non_null(a);
    assert_non_null(b);
    assert_int_equal(a->first_ms, 300);
    assert_int_equal(b->first_ms, 105);
    assert_int_equal(b->last_ms, 125);
    pthread_mutex_unlock(&g->lock);
    log_group_unref(g);
    log_groups_close();
}

static void test_positions(void **state)
{
    (void)state;
    assert_int_equal(log_groups_open(dir, false, NULL), 0);
    put(STR("s"), 50, 0, 5); // all at the same time
    struct arena a = {0};
    struct log_event *events;
    size_t n;
    bool more;
    arena_init(&a, 1 << 20);
    struct log_group *g = log_group_get(ACCOUNT, REGION, GROUP);
    struct log_read q = {.limit = 2, .end_ms = INT64_MAX};
    assert_int_equal(log_read_page(g, &q, &a, &events, &n, &more, NULL), 0);
    q.has_position = true;
    q.position = events[1].at;
    page_is(q, "s line 2@50,s line 3@50", true);
    q.backward = true;
    page_is(q, "s line 0@50", false);
    log_group_unref(g);
    arena_finish(&a);
    log_groups_close();
}

static void test_many_segments(void **state)
{
    (void)state;
    assert_int_equal(log_groups_open(dir, false, NULL), 0);
    static char big[1 << 20];
    bool made;
    memset(big, 'x', sizeof(big));
    struct log_group *g = log_group_make(ACCOUNT, REGION, GROUP, 5, &made);
    for (int i = 0; i < 30; i++) {
        struct log_append_event e = {1000 + i, {big, sizeof(big) - 30}};
        assert_int_equal(log_group_append(g, STR("s"), true, &e, 1, 1000, NULL), 0);
    }
    assert_true(g->n_segments >= 3);
    // A page holds a megabyte; the first and the last event are found.
    struct arena a = {0};
    struct log_event *events;
    size_t n;
    bool more;
    for (int backward = 0; backward < 2; backward++) {
        arena_init(&a, 16 << 20);
        struct log_read q = {.limit = 100, .end_ms = INT64_MAX, .backward = backward != 0};
        assert_int_equal(log_read_page(g, &q, &a, &events, &n, &more, NULL), 0);
        assert_int_equal(n, 1);
        assert_true(more);
        assert_int_equal(events[0].at.time_ms, backward ? 1029 : 1000);
        arena_finish(&a);
    }
    // What is older than the retention goes with its files; the one being written stays.
    size_t before = g->n_segments;
    g->retention_days = 1;
    assert_int_equal(log_group_upkeep(g, 1020 + 86400000, NULL), 0);
    assert_true(g->n_segments < before);
    log_group_unref(g);
    log_groups_close();
}

static void test_removed(void **state)
{
    (void)state;
    assert_int_equal(log_groups_open(dir, false, NULL), 0);
    put(STR("s"), 1, 1, 3);
    struct log_group *g = log_group_get(ACCOUNT, REGION, GROUP);
    struct log_append_event e = {1, STR("late")};
    assert_int_equal(log_group_remove(g, NULL), 0);
    assert_int_equal(log_group_remove(g, NULL), -ENOENT);
    assert_int_equal(log_group_append(g, STR("s"), true, &e, 1, 1, NULL), -ENOENT);
    log_group_unref(g);
    assert_null(log_group_get(ACCOUNT, REGION, GROUP));
    put(STR("s"), 7, 1, 1);
    page_is((struct log_read){.limit = 9}, "s line 0@7", false);
    log_groups_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lives, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_positions, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_many_segments, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_removed, make_dir, remove_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
