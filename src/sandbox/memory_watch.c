// memory_watch.c - see memory_watch.h.
//
// Invariants: `watched` of the keeper counts the slots in LOOKED_AT; only a slot in LIVE is in any
// state but OFF.
#include "sandbox/keeper_impl.h"

#include "base/cleanup.h"
#include "os/fd.h"
#include "os/message.h"
#include "os/time.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define LOOK_MS 20
#define LOOK_QUIET_MS 250
#define QUIET_LOOKS 50    // so many without a change: look less often
#define PATIENCE_LOOKS 25 // for pid 1 to kill the programs; then the whole sandbox goes
// v2: how far /tmp may grow between two looks before the sandbox is slowed down.
#define TMP_STEP_BYTES ((uint64_t)64 << 20)

static void set_state(struct keeper *k, struct slot *s, enum memory_watch_state to)
{
    k->watched -= s->memory.state == MEMORY_WATCH_LOOKED_AT;
    s->memory.state = to;
    k->watched += to == MEMORY_WATCH_LOOKED_AT;
    if (to != MEMORY_WATCH_LOOKED_AT)
        return;
    s->memory.quiet = 0;
    int64_t due = os_mono_ms() + LOOK_MS;
    if (k->watched == 1 || due < k->look_due_ms)
        k->look_due_ms = due;
}

bool memory_watch_possible(const struct keeper *k, const struct slot *s)
{
    return s->memory.tmp >= 0 && k->cgroups.ops && k->cgroups.has[CGROUP_MEMORY];
}

// ---- having the kernel say ----

static void ask_pid1(struct slot *s, struct keeper *k)
{
    struct memory_watch *m = &s->memory;
    struct protocol_writer w;
    int files[2];
    m->asked = true;
    unsigned n = cgroup_open_watch(&k->cgroups, s->group, files);
    if (n == 2 && m->event < 0) {
        m->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        const int fds[3] = {files[0], files[1], m->event};
        protocol_begin(&w, k->out, PID1_WATCH, 0, 0);
        protocol_put_u64(&w, m->memory_bytes);
        if (m->event >= 0 &&
            keeper_watch(k, m->event, event_tag(EVENT_MEMORY, s->generation, s->number)) >= 0)
            message_send(s->channel, k->out, (size_t)protocol_end(&w), fds, 3, NULL);
    }
    while (n)
        close(files[--n]);
}

static void arm_v2(struct keeper *k, struct slot *s)
{
    struct memory_watch *m = &s->memory;
    int files[2];
    if (m->event < 0 && cgroup_open_watch(&k->cgroups, s->group, files) == 1)
        m->event = files[0];
    struct epoll_event e = {.events = EPOLLPRI,
                            .data.u64 = event_tag(EVENT_MEMORY, s->generation, s->number)};
    m->armed =
        m->event >= 0 && (epoll_ctl(k->epoll, EPOLL_CTL_ADD, m->event, &e) == 0 || errno == EEXIST);
}

void memory_watch_begin(struct keeper *k, struct slot *s, uint64_t memory_bytes)
{
    struct memory_watch *m = &s->memory;
    if (!memory_watch_possible(k, s))
        return;
    m->memory_bytes = memory_bytes;
    if (k->cgroups.ops->version == 2)
        arm_v2(k, s);
    // Looked at for a start: on v1 the kernel says nothing before pid 1 has registered.
    set_state(k, s, MEMORY_WATCH_LOOKED_AT);
}

void memory_watch_armed(struct keeper *k, struct slot *s, int error)
{
    (void)k;
    s->memory.armed = error == 0; // where it cannot be had, looking goes on
}

void memory_watch_end(struct keeper *k, struct slot *s)
{
    set_state(k, s, MEMORY_WATCH_OFF);
    keeper_unwatch(k, &s->memory.event);
    closep(&s->memory.tmp);
}

// ---- looking ----

// A program may have time to end by itself; what is left is the whole sandbox's end.
static void end_it(struct keeper *k, struct slot *s)
{
    struct memory_watch *m = &s->memory;
    if (!m->over) {
        m->over = true;
        slot_signal(k, s, 0, SIGKILL);
    } else if (++m->looks == PATIENCE_LOOKS) {
        slot_kill(k, s);
    }
}

static void look_at(struct keeper *k, struct slot *s)
{
    struct memory_watch *m = &s->memory;
    const struct cgroup_ops *ops = k->cgroups.ops;
    uint64_t tmp = 0, used = ops->memory_used(&k->cgroups, s->group);
    m->quiet = used == m->last_used ? m->quiet + 1 : 0;
    m->last_used = used;
    if (sandbox_tmp_used(m->tmp, &tmp) < 0)
        tmp = 0;
    bool above = used > m->memory_bytes;
    if (above && used > m->memory_bytes + tmp &&
        ops->memory_held(&k->cgroups, s->group, tmp) > m->memory_bytes) {
        end_it(k, s);
        return;
    }
    if (ops->version == 2) {
        // Only while there is something to explain: what is told of a file that is being removed
        // may be older than what is told of the memory.
        above = above && tmp > TMP_STEP_BYTES / 64;
        ops->slow_from(&k->cgroups, s->group,
                       m->memory_bytes + (above ? tmp + TMP_STEP_BYTES : m->memory_bytes / 16));
    } else if (!m->asked) {
        ask_pid1(s, k);
    }
    // v1 compares only now and then: after a short dip below the threshold it would say nothing of
    // the next crossing. What is well below it has been noticed.
    if (!above && m->armed && used < m->memory_bytes - m->memory_bytes / 16)
        set_state(k, s, MEMORY_WATCH_ARMED);
}

void memory_watch_event(struct keeper *k, struct slot *s)
{
    char text[512];
    if (s->memory.event < 0 || s->memory.state == MEMORY_WATCH_OFF)
        return;
    if (pread(s->memory.event, text, sizeof(text), 0) < 0 &&
        read(s->memory.event, text, sizeof(text)) < 0)
        return; // an eventfd knows no pread; the reading is what makes it quiet again
    set_state(k, s, MEMORY_WATCH_LOOKED_AT);
    look_at(k, s);
}

int memory_watch_due_ms(const struct keeper *k)
{
    if (!k->watched)
        return -1;
    int64_t left = k->look_due_ms - os_mono_ms();
    return left < 0 ? 0 : left > LOOK_QUIET_MS ? LOOK_QUIET_MS : (int)left;
}

void memory_watch_look(struct keeper *k)
{
    int64_t now = os_mono_ms();
    bool all = now >= k->look_all_ms, busy = false;
    if (!k->watched || now < k->look_due_ms)
        return;
    if (all)
        k->look_all_ms = now + LOOK_QUIET_MS;
    for (unsigned i = 0; i < k->n_slots; i++) {
        struct slot *s = &k->slots[i];
        if (s->memory.state != MEMORY_WATCH_LOOKED_AT)
            continue;
        if (all || s->memory.quiet < QUIET_LOOKS)
            look_at(k, s);
        busy = busy || (s->memory.state == MEMORY_WATCH_LOOKED_AT && s->memory.quiet < QUIET_LOOKS);
    }
    k->look_due_ms = now + (busy ? LOOK_MS : LOOK_QUIET_MS);
}
