// memory_watch.h - a function's files at /tmp are not its memory.
//
// /tmp is a tmpfs, and the kernel charges its pages to whoever writes them: a 128 MB function could
// not fill its 512 MB. So the kernel's own limit of a sandbox with code is its memory and its /tmp
// together, which nothing inside gets past; and what it holds *without* /tmp is compared with its
// memory here, whenever the kernel says that the sum has passed it. Who holds more is killed, and
// that is told as running out of memory.
//
//   OFF --begin--> LOOKED_AT --armed, and the sum is below the memory--> ARMED
//                     ^-------------- the kernel's word ------------------'
//
// LOOKED_AT: every 20 ms while anything changes, else four times a second. ARMED costs nothing.
// How the kernel gives its word: v1 by an eventfd for a crossing of the threshold, which a child of
// pid 1 registers (that waits for RCU, which the keeper must not); v2 by memory.events, and its
// memory.high slows the sandbox down until we have looked.
#ifndef LAMBKIN_SANDBOX_MEMORY_WATCH_H
#define LAMBKIN_SANDBOX_MEMORY_WATCH_H

#include <stdbool.h>
#include <stdint.h>

struct keeper;
struct slot;

enum memory_watch_state { MEMORY_WATCH_OFF, MEMORY_WATCH_LOOKED_AT, MEMORY_WATCH_ARMED };

struct memory_watch {
    enum memory_watch_state state;
    int tmp;               // a file in the sandbox's /tmp, only to be asked how full that is; or -1
    int event;             // eventfd (v1) or memory.events (v2); or -1
    uint64_t memory_bytes; // the function's own
    bool asked, armed;     // v1: pid 1 was asked to register; the kernel will tell
    bool over;             // found out, and killed
    uint64_t last_used;    // at the last look
    unsigned quiet;        // looks without a change
    unsigned looks;        // since it was over
};

// Whether files at /tmp can be told apart here: if not, they count as memory, as they did.
bool memory_watch_possible(const struct keeper *k, const struct slot *s);
// After the limits are set, for a sandbox whose code has been bound.
void memory_watch_begin(struct keeper *k, struct slot *s, uint64_t memory_bytes);
// The kernel's word has come.
void memory_watch_event(struct keeper *k, struct slot *s);
// pid 1 has registered, or could not (error).
void memory_watch_armed(struct keeper *k, struct slot *s, int error);
void memory_watch_end(struct keeper *k, struct slot *s);
// Milliseconds until memory_watch_look() is due; -1: not at all.
int memory_watch_due_ms(const struct keeper *k);
void memory_watch_look(struct keeper *k);

#endif
