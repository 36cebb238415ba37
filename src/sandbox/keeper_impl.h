// keeper_impl.h - the keeper's state, shared by its files; never leaves this folder.
#ifndef LAMBKIN_SANDBOX_KEEPER_IMPL_H
#define LAMBKIN_SANDBOX_KEEPER_IMPL_H

#include "sandbox/cgroup.h"
#include "sandbox/host_facts.h"
#include "sandbox/keeper.h"
#include "sandbox/memory_watch.h"
#include "sandbox/network.h"
#include "sandbox/outbound.h"
#include "sandbox/protocol.h"
#include "sandbox/root.h"
#include "sandbox/seccomp_filter.h"

#include <sys/types.h>

#define KEEPER_MAX_CONNECTIONS 64

// The life of a slot; each edge names its function.
//
//   FREE --slot_make--> MAKING --PID1_READY (slot_event)--> SPARE --slot_bind--> LIVE
//     ^                   |                                   |                    |
//     |                   +-----------slot_kill / pid 1 ends--+--------------------+
//     |                                                 v
//     +---- slot_sweep (cgroup gone) ---------------- DYING
//
// For container images, once one was asked for, a few wait as BLANK: everything is made but the
// root, which only the image can be. image_slot_dress() gives it and makes it MAKING, from which
// one that nobody waits for becomes DRESSED: a spare of its image.
//
// A START that finds no spare waits in MAKING, with its message kept. LIVE without code may be
// bound once more (INJECT).
enum slot_state {
    SLOT_FREE,
    SLOT_MAKING,
    SLOT_SPARE,
    SLOT_BLANK,
    SLOT_DRESSED,
    SLOT_LIVE,
    SLOT_DYING
};
#define KEEPER_BLANKS 2
#define KEEPER_RECENT_IMAGES 4
#define KEEPER_IMAGE_NAME 128 // bytes of an image's name below images/ that may wait dressed

struct slot {
    enum slot_state state;
    unsigned number;
    uint16_t generation;
    char group[16]; // cgroup "s12"
    pid_t pid;
    int pidfd, channel, output; // output: the read end, until STARTED hands it over
    int mounts;                 // its mount namespace, until code is bound
    struct network net;
    bool tracing;                       // made with the filter that allows debuggers
    bool has_code;                      // a binding with code has been applied
    bool image;                         // its root is a container image's
    char image_name[KEEPER_IMAGE_NAME]; // which, where it was dressed; "" otherwise
    ino_t image_inode;
    bool keep_on_exit;
    bool killed, frozen;
    struct program_file { // of a program that waits for its code; path NULL: there is none
        const char *path; // one of config.interpreters
        dev_t device;
        ino_t inode;
        struct timespec changed;
    } waits;
    // who asked for it
    int connection; // index, or -1
    uint64_t id;
    char *waiting; // START's message, while MAKING
    size_t waiting_len;
    uint32_t waiting_serial;
    // what happened
    uint32_t programs; // last number given
    uint32_t oom_seen;
    unsigned cpu_quota;       // once settled, in per cent of one processor
    struct sandbox_exit last; // of the main program, or of the set-up
    struct outbound outbound;
    struct memory_watch memory;
    char task_root[SANDBOX_MAX_PATH], layer_root[SANDBOX_MAX_PATH]; // without mounts
};

struct recent_image {
    char name[KEEPER_IMAGE_NAME];
    uint64_t used; // larger is later
    // The slot that waits with it, or waited: its number and generation.
    unsigned slot;
    uint16_t generation;
};

struct connection {
    int fd; // -1: free
    bool main;
};

struct keeper {
    struct keeper_config config;
    char runtime_dir[512];
    struct host_facts facts;
    struct keeper_status status;
    bool spaces;   // namespaces are to be had (and wanted)
    bool nested;   // with a user namespace each
    bool root_ids; // a uid of its own per slot
    struct root root;
    struct cgroup_tree cgroups;
    struct seccomp_filter filter, tracing_filter;
    int own_net;
    int epoll;
    bool stopping;
    struct slot *slots; // config.max_sandboxes
    unsigned n_slots;   // ever used
    unsigned spares, making, blanks;
    bool images; // one was asked for: blanks are kept
    struct recent_image recent_images[KEEPER_RECENT_IMAGES];
    uint64_t images_used;
    struct connection connections[KEEPER_MAX_CONNECTIONS];
    char in[PROTOCOL_MAX_BYTES], out[PROTOCOL_MAX_BYTES];
    bool want_sweep;
    unsigned watched;                 // slots whose memory is looked at (memory_watch.h)
    int64_t look_due_ms, look_all_ms; // monotonic
};

// Which descriptor an epoll event is about: kind, generation, index. The generation tells a slot
// from the one that had its number before: events of both may come in one batch.
enum { EVENT_CONNECTION = 1, EVENT_CHANNEL, EVENT_PIDFD, EVENT_MEMORY };
static inline uint64_t event_tag(int kind, uint16_t generation, unsigned index)
{
    return (uint64_t)kind << 48 | (uint64_t)generation << 32 | index;
}
int keeper_watch(struct keeper *k, int fd, uint64_t tag);
// A child that has not closed its copies yet keeps a closed descriptor in the epoll set: take it
// out by name, then close.
void keeper_unwatch(struct keeper *k, int *fd);

// keeper.c: towards the clients
void keeper_reply_started(struct keeper *k, struct slot *s, uint32_t serial, int control);
void keeper_reply_done(struct keeper *k, int connection, uint64_t id, uint32_t serial, int r,
                       uint32_t program, const struct err *err);
// As done with r 0, and a descriptor, which stays the caller's.
void keeper_reply_given(struct keeper *k, int connection, uint64_t id, uint32_t serial,
                        uint32_t program, int fd);
void keeper_tell_exit(struct keeper *k, const struct slot *s, const struct sandbox_exit *e);

// keeper_setup.c: finds out what can be done, refuses or reports
int keeper_set_up(struct keeper *k, const struct keeper_config *config, struct err *err);
void keeper_tear_down(struct keeper *k);

// slot.c
// b: the binding to come, where it is known (only needed without mounts).
int slot_make(struct keeper *k, bool tracing, const struct sandbox_binding *b, struct slot **out,
              struct err *err);
struct slot *slot_spare(struct keeper *k);
int slot_make_blank(struct keeper *k, struct err *err);
void slot_set_state(struct keeper *k, struct slot *s, enum slot_state to);

// image_slots.c
// A blank slot that becomes this image's; NULL when there is none, or it cannot.
struct slot *image_slot_dress(struct keeper *k, const char *image_dir);
// One that waits with this image; NULL when none does.
struct slot *image_slot_dressed(struct keeper *k, const char *image_dir);
void image_slot_used(struct keeper *k, const struct slot *s);   // one of an image was started
void image_slot_failed(struct keeper *k, const struct slot *s); // or could not be made
void image_slots_forget(struct keeper *k); // the server has gone: images may go before the next
// Whether one should be made ahead of time, and making it.
bool image_slots_wanted(struct keeper *k);
int image_slots_make(struct keeper *k, struct err *err);

// slot.c
struct slot *slot_find(struct keeper *k, int connection, uint64_t id);
// Limits, code, outbound network.
int slot_bind(struct keeper *k, struct slot *s, const struct sandbox_binding *b, struct err *err);
// The program that waits in it is no longer what lies on the disk (an upgraded interpreter).
bool slot_outdated(const struct slot *s);
// Hands a program to pid 1, with the descriptor fd as what `gift` says (-1 with PID1_GIFT_NONE).
// Closes nothing. The number, or -errno.
int slot_execute(struct keeper *k, struct slot *s, const struct sandbox_program *p,
                 enum pid1_gift gift, int fd, struct err *err);
void slot_signal(struct keeper *k, struct slot *s, uint32_t program, int sig);
void slot_freeze(struct keeper *k, struct slot *s, bool frozen);
void slot_settle(struct keeper *k, struct slot *s); // INIT is over
void slot_kill(struct keeper *k, struct slot *s);
void slot_channel_event(struct keeper *k, struct slot *s);
void slot_ended(struct keeper *k, struct slot *s); // pid 1 has ended: reap, report
void slot_sweep(struct keeper *k);                 // DYING slots whose cgroup can go now
// START that may wait for its slot.
void slot_start(struct keeper *k, struct slot *s, const struct sandbox_spec *spec, uint32_t serial);

#endif
