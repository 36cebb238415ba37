// sink.c - the lines of functions, from the runtime into their log groups.
//
// Called on loop threads: one write() to the page cache and no SQL. A line is there once append
// returns, whatever happens to the process afterwards; the disk has it within a second.
#include "services/logs/logs_impl.h"

#include "base/cleanup.h"
#include "os/log.h"
#include "os/time.h"
#include "runtime/log_sink.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#define ON_STACK 64

static atomic_llong complained_ms;

// A full disk must not fill the disk's log: one line every ten seconds.
static void complain(const struct log_sink_batch *b, const struct err *err)
{
    long long now = os_mono_ms(), last = atomic_load(&complained_ms);
    if (last != 0 && now - last < 10000)
        return;
    if (atomic_compare_exchange_strong(&complained_ms, &last, now))
        log_warn("logs: %zu lines of %.*s are lost: %s", b->n_lines, STR_ARG(b->group),
                 err->message);
}

static void append(void *ctx, const struct log_sink_batch *b)
{
    struct log_append_event on_stack[ON_STACK], *events = on_stack;
    _cleanup_free_ struct log_append_event *on_heap = NULL;
    struct err err = ERR_INIT;
    int r = -ENOENT;
    (void)ctx;
    if (b->n_lines > ON_STACK)
        events = on_heap = calloc(b->n_lines, sizeof(*events));
    if (!events)
        return;
    for (size_t i = 0; i < b->n_lines; i++) {
        events[i].time_ms = b->lines[i].time_ms;
        events[i].message = b->lines[i].text;
    }
    // A group that is deleted in between is made again, as on AWS.
    for (int tries = 0; tries < 3 && r == -ENOENT; tries++) {
        bool made;
        struct log_group *g = log_group_make(b->account, b->region, b->group, os_now_ms(), &made);
        if (!g)
            r = err_set(&err, -ENOMEM, "out of memory");
        else
            r = log_group_append(g, b->stream, true, events, b->n_lines, os_now_ms(), &err);
        log_group_unref(g);
    }
    if (r < 0)
        complain(b, &err);
}

void logs_sink_install(void)
{
    log_sink_set((struct log_sink){append, NULL});
}

void logs_sink_remove(void)
{
    log_sink_set((struct log_sink){NULL, NULL});
}
