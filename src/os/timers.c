// timers.c - the timers of a loop: a binary heap driven by one libuv timer.
//
// Invariants: heap[i]->place == i for 1 <= i <= heap_len; heap[1] is due first; `clock` fires no
// later than heap[1] is due (it may fire earlier: stopping a timer does not move it).
#include "os/loop_impl.h"

#include "os/log.h"

#include <stdlib.h>

static void put(struct loop *l, size_t at, struct loop_timer *t)
{
    l->heap[at] = t;
    t->place = at;
}

static void sift_up(struct loop *l, size_t at, struct loop_timer *t)
{
    while (at > 1 && l->heap[at / 2]->due_ms > t->due_ms) {
        put(l, at, l->heap[at / 2]);
        at /= 2;
    }
    put(l, at, t);
}

static void sift_down(struct loop *l, size_t at, struct loop_timer *t)
{
    for (;;) {
        size_t child = at * 2;
        if (child > l->heap_len)
            break;
        if (child < l->heap_len && l->heap[child + 1]->due_ms < l->heap[child]->due_ms)
            child++;
        if (l->heap[child]->due_ms >= t->due_ms)
            break;
        put(l, at, l->heap[child]);
        at = child;
    }
    put(l, at, t);
}

static void set_clock(struct loop *l)
{
    if (l->heap_len == 0 || l->heap[1]->due_ms >= l->clock_due_ms)
        return;
    int64_t after = l->heap[1]->due_ms - loop_now_ms(l);
    l->clock_due_ms = l->heap[1]->due_ms;
    uv_timer_start(&l->clock, loop_timers_fire, after > 0 ? (uint64_t)after : 0, 0);
}

void loop_timer_start(struct loop *l, struct loop_timer *t, int64_t after_ms,
                      void (*fire)(struct loop_timer *t))
{
    if (t->place)
        loop_timer_stop(l, t);
    if (l->heap_len + 2 > l->heap_cap) {
        size_t cap = l->heap_cap ? l->heap_cap * 2 : 64;
        struct loop_timer **heap = reallocarray(l->heap, cap, sizeof *heap);
        if (!heap) {
            log_error("out of memory for %zu timers", cap);
            abort();
        }
        l->heap = heap;
        l->heap_cap = cap;
    }
    t->fire = fire;
    t->due_ms = loop_now_ms(l) + (after_ms > 0 ? after_ms : 0);
    sift_up(l, ++l->heap_len, t);
    set_clock(l);
}

void loop_timer_stop(struct loop *l, struct loop_timer *t)
{
    size_t at = t->place;

    if (at == 0)
        return;
    t->place = 0;
    struct loop_timer *moved = l->heap[l->heap_len--];
    if (moved == t)
        return;
    if (at > 1 && l->heap[at / 2]->due_ms > moved->due_ms)
        sift_up(l, at, moved);
    else
        sift_down(l, at, moved);
}

void loop_timers_fire(uv_timer_t *clock)
{
    struct loop *l = clock->data;
    int64_t now = loop_now_ms(l);
    // Those that are started by the callbacks wait for the next turn.
    size_t most = l->heap_len;

    l->clock_due_ms = INT64_MAX;
    while (most-- > 0 && l->heap_len > 0 && l->heap[1]->due_ms <= now) {
        struct loop_timer *t = l->heap[1];
        loop_timer_stop(l, t);
        t->fire(t);
    }
    set_clock(l);
}
