// test_loop.c - tasks, timers, watches, workers, on loops of their own threads.
#include "base/cleanup.h"
#include "os/fd.h"
#include "os/loop.h"
#include "os/time.h"
#include "os/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define TASKS 2000

struct counted {
    struct loop_task task;
    unsigned number;
};

static struct {
    unsigned seen[4];
    atomic_uint total;
    bool in_order;
    struct loop *loop;
} posted;

static void count_task(struct loop_task *t)
{
    struct counted *c = (struct counted *)t;
    unsigned who = c->number / TASKS, nth = c->number % TASKS;

    if (posted.seen[who] != nth)
        posted.in_order = false;
    posted.seen[who]++;
    assert_ptr_equal(loop_self(), posted.loop);
    free(c);
    if (atomic_fetch_add(&posted.total, 1) + 1 == 4 * TASKS)
        loop_stop(posted.loop);
}

static void *poster(void *arg)
{
    unsigned who = (unsigned)(uintptr_t)arg;

    for (unsigned i = 0; i < TASKS; i++) {
        struct counted *c = calloc(1, sizeof *c);
        c->task.run = count_task;
        c->number = who * TASKS + i;
        loop_post(posted.loop, &c->task);
    }
    return NULL;
}

static void test_posts_of_each_thread_run_in_order(void **state)
{
    struct err err = ERR_INIT;
    pthread_t threads[4];
    (void)state;

    memset(&posted, 0, sizeof posted);
    posted.in_order = true;
    assert_int_equal(loop_create(&posted.loop, &err), 0);
    for (uintptr_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, poster, (void *)i), 0);
    loop_run(posted.loop);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(posted.total, 4 * TASKS);
    assert_true(posted.in_order);
    loop_destroy(posted.loop);
}

// A task that posts itself a hundred times and then stops.
static unsigned again;
static void post_again(struct loop_task *t)
{
    if (++again == 100)
        loop_stop(loop_self());
    else
        loop_post(loop_self(), t);
}

static void test_a_task_may_post_itself(void **state)
{
    struct err err = ERR_INIT;
    struct loop *l;
    struct loop_task t = {.run = post_again};
    (void)state;

    again = 0;
    assert_int_equal(loop_create(&l, &err), 0);
    loop_post(l, &t);
    loop_run(l);
    assert_int_equal(again, 100);
    loop_destroy(l);
}

struct alarm {
    struct loop_timer timer;
    int after_ms;
    struct alarm *stops;
};

static int fired[300];
static unsigned n_fired;

static void on_alarm(struct loop_timer *t)
{
    struct alarm *a = (struct alarm *)t;

    fired[n_fired++] = a->after_ms;
    if (a->stops)
        loop_timer_stop(loop_self(), &a->stops->timer);
    if (a->after_ms == 40)
        loop_stop(loop_self());
}

static void test_timers_fire_in_order_and_can_be_stopped(void **state)
{
    struct err err = ERR_INIT;
    struct loop *l;
    struct alarm many[200] = {0};
    struct alarm last = {.after_ms = 40}, never = {.after_ms = 30};
    (void)state;

    n_fired = 0;
    int64_t start = os_mono_ms(); // a loop's clock stands still until it runs
    assert_int_equal(loop_create(&l, &err), 0);
    for (int i = 0; i < 200; i++) {
        many[i].after_ms = (i * 7919) % 20;
        loop_timer_start(l, &many[i].timer, many[i].after_ms, on_alarm);
    }
    many[3].stops = &never;
    loop_timer_start(l, &never.timer, never.after_ms, on_alarm);
    loop_timer_start(l, &last.timer, last.after_ms, on_alarm);
    for (int i = 0; i < 200; i += 2)
        loop_timer_stop(l, &many[i].timer);
    loop_timer_stop(l, &many[0].timer); // stopping twice is nothing
    // Moved to the end, then back.
    loop_timer_start(l, &many[1].timer, 5000, on_alarm);
    loop_timer_start(l, &many[1].timer, many[1].after_ms, on_alarm);
    loop_run(l);
    assert_true(os_mono_ms() - start >= 39);
    assert_int_equal(n_fired, 101);
    for (unsigned i = 1; i < n_fired; i++)
        assert_true(fired[i - 1] <= fired[i]);
    assert_false(loop_timer_active(&many[1].timer));
    loop_destroy(l);
}

static struct loop_watch *watch;
static int pipe_ends[2];
static unsigned reads;

static void on_readable(void *ctx, unsigned events)
{
    char c;
    (void)ctx;

    assert_true(events & (LOOP_READ | LOOP_HANGUP));
    ssize_t n = read(pipe_ends[0], &c, 1);
    if (n == 1) {
        reads++;
        return;
    }
    assert_int_equal(n, 0);
    loop_watch_stop(&watch);
    close(pipe_ends[0]);
    loop_stop(loop_self());
}

static void *write_three(void *arg)
{
    (void)arg;
    assert_int_equal(write(pipe_ends[1], "abc", 3), 3);
    close(pipe_ends[1]);
    return NULL;
}

static void test_watch_reads_and_sees_the_end(void **state)
{
    struct err err = ERR_INIT;
    struct loop *l;
    pthread_t t;
    (void)state;

    reads = 0;
    assert_int_equal(loop_create(&l, &err), 0);
    assert_int_equal(pipe(pipe_ends), 0);
    assert_int_equal(loop_watch_fd(l, pipe_ends[0], LOOP_READ, on_readable, NULL, &watch, &err), 0);
    loop_watch_events(watch, 0);
    loop_watch_events(watch, LOOP_READ);
    pthread_create(&t, NULL, write_three, NULL);
    loop_expect(l, 2000);
    loop_run(l);
    pthread_join(t, NULL);
    assert_int_equal(reads, 3);
    assert_null(watch);
    assert_int_equal(loop_watch_fd(l, 9999, LOOP_READ, on_readable, NULL, &watch, &err), -EBADF);
    loop_destroy(l);
}

static void test_a_watch_left_behind_is_freed_with_the_loop(void **state)
{
    struct err err = ERR_INIT;
    struct loop *l;
    int ends[2];
    struct loop_watch *w;
    (void)state;

    assert_int_equal(loop_create(&l, &err), 0);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(loop_watch_fd(l, ends[0], LOOP_READ, on_readable, NULL, &w, &err), 0);
    loop_destroy(l);
    close(ends[0]);
    close(ends[1]);
}

static atomic_uint worked, answered;

static void do_work(struct work *w)
{
    (void)w;
    assert_null(loop_self());
    atomic_fetch_add(&worked, 1);
}

static void work_done(struct work *w)
{
    assert_ptr_equal(loop_self(), w->loop);
    atomic_fetch_add(&answered, 1);
}

static void work_freed(struct work *w)
{
    atomic_fetch_add(&worked, 1);
    free(w);
}

static unsigned called_on;
static void note_once(void *ctx)
{
    (void)ctx;
    called_on |= 1U << loop_index(loop_self());
}

static void destroy_slot(void *value)
{
    free(value);
    atomic_fetch_add(&worked, 1000);
}

static unsigned the_slot;
static void set_slot(void *ctx)
{
    (void)ctx;
    loop_slot_set(loop_self(), the_slot, malloc(8));
}

static void test_loops_and_workers_together(void **state)
{
    struct err err = ERR_INIT;
    static struct work many[500];
    (void)state;

    worked = answered = 0;
    called_on = 0;
    the_slot = loop_slot_new(destroy_slot);
    assert_int_equal(loops_start(3, &err), 0);
    assert_int_equal(loops_count(), 3);
    assert_null(loop_at(3));
    assert_int_equal(workers_start(4, &err), 0);
    for (unsigned i = 0; i < 3; i++) {
        loop_call(loop_at(i), note_once, NULL);
        loop_call(loop_at(i), set_slot, NULL);
    }
    assert_int_equal(called_on, 7);
    for (unsigned i = 0; i < 500; i++) {
        many[i] = (struct work){.run = do_work, .done = work_done, .loop = loop_at(i % 3)};
        work_submit(&many[i]);
        struct work *w = calloc(1, sizeof *w);
        w->run = work_freed;
        work_submit(w);
    }
    workers_stop();
    assert_int_equal(worked, 1000);
    assert_int_equal(workers_waiting(), 0);
    for (unsigned i = 0; i < 3; i++)
        loop_call(loop_at(i), note_once, NULL); // all posted before has run
    assert_int_equal(answered, 500);
    loops_stop();
    assert_int_equal(worked, 4000);
    assert_int_equal(loops_count(), 0);
    // And once more: a process may do this again.
    assert_int_equal(loops_start(1, &err), 0);
    assert_non_null(loop_at(0));
    loops_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_posts_of_each_thread_run_in_order),
        cmocka_unit_test(test_a_task_may_post_itself),
        cmocka_unit_test(test_timers_fire_in_order_and_can_be_stopped),
        cmocka_unit_test(test_watch_reads_and_sees_the_end),
        cmocka_unit_test(test_a_watch_left_behind_is_freed_with_the_loop),
        cmocka_unit_test(test_loops_and_workers_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
