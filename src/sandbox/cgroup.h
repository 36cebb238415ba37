// cgroup.h - shares of memory, CPU, processes and disk: one small group per sandbox, v1 or v2.
//
// The tree is a folder "lambkin-<tag>" below the keeper's own cgroup (of each v1 controller, or of
// the unified hierarchy). Everything below it is ours: leftovers of killed keepers (nobody holds
// their lock) are removed when the tree is opened, and all of it when it is closed. Groups are
// named by number, and paths resolve from descriptors of the tree, so no group holds a descriptor.
#ifndef LAMBKIN_SANDBOX_CGROUP_H
#define LAMBKIN_SANDBOX_CGROUP_H

#include "base/err.h"

#define CGROUP_CONTROLLERS 5
enum cgroup_controller { CGROUP_MEMORY, CGROUP_CPU, CGROUP_PIDS, CGROUP_IO, CGROUP_FREEZER };
extern const char *const cgroup_controller_names[CGROUP_CONTROLLERS]; // "io" is blkio in v1
#define CGROUP_MAX_DISKS 8

struct cgroup_tree;

// 0 leaves a limit as it is.
struct cgroup_limits {
    uint64_t memory_bytes; // of the function itself
    uint64_t tmp_bytes;    // what its files at /tmp may take on top (memory_watch.h)
    unsigned cpu_weight;   // its share under contention: 100 is a group's whose limits are not set
    unsigned cpu_quota;    // per cent of one processor: its cap
    unsigned pids;
};

struct cgroup_ops {
    int version;
    // Sets what of the limits the host can.
    int (*limit)(struct cgroup_tree *t, const char *group, const struct cgroup_limits *l,
                 struct err *err);
    // Bytes and operations per second on each of the tree's disks, in each direction; 0: no limit.
    int (*limit_io)(struct cgroup_tree *t, const char *group, uint64_t bytes, uint64_t operations,
                    struct err *err);
    // v2: from how much memory on its tasks are slowed down and reported; -EOPNOTSUPP on v1.
    int (*slow_from)(struct cgroup_tree *t, const char *group, uint64_t bytes);
    // What is charged to it by now, reclaimable or not, in bytes; 0 when it cannot be told.
    uint64_t (*memory_used)(struct cgroup_tree *t, const char *group);
    // Of that what could not be reclaimed, without `tmp_bytes` of it that are files at /tmp.
    uint64_t (*memory_held)(struct cgroup_tree *t, const char *group, uint64_t tmp_bytes);
    int (*freeze)(struct cgroup_tree *t, const char *group, bool frozen);
    // Kills everything in it at once where the kernel can: 0, or -EOPNOTSUPP.
    int (*kill)(struct cgroup_tree *t, const char *group);
    int (*open_freezer)(struct cgroup_tree *t, const char *group);
    int (*open_peak)(struct cgroup_tree *t, const char *group);
    uint32_t (*oom_kills)(struct cgroup_tree *t, const char *group);
};

struct cgroup_tree {
    const struct cgroup_ops *ops; // NULL: no cgroups at all
    bool has[CGROUP_CONTROLLERS];
    bool swap;                        // swap can be limited
    char disks[CGROUP_MAX_DISKS][16]; // "254:0": those that limit_io is about
    unsigned n_disks;
    int dirs[CGROUP_CONTROLLERS]; // the tree's folder per controller (v2: the same for all); or -1
    char paths[CGROUP_CONTROLLERS][512]; // of those folders, for removing
    char why[160];                       // what is missing and why
};

// What could be used here, without making anything: fills `has`, `swap`, `ops`, `why`.
void cgroup_probe(struct cgroup_tree *t);
// Probes, makes the tree, removes leftovers. Missing controllers are no error. `io`: whether the
// controller of disks is wanted as well: on v1 joining one more hierarchy has its price.
int cgroup_tree_open(struct cgroup_tree *t, const char *tag, bool io, struct err *err);
// The disk that holds `path` becomes one of limit_io's, once. -ENODEV where no disk can be found
// behind it (tmpfs, network and some layered file systems).
int cgroup_add_disk(struct cgroup_tree *t, const char *path);
// Removes the tree; groups that still hold processes stay.
void cgroup_tree_close(struct cgroup_tree *t);

int cgroup_make(struct cgroup_tree *t, const char *group, struct err *err);
// -EBUSY while processes are in it; 0 when it is gone.
int cgroup_remove(struct cgroup_tree *t, const char *group);
// Descriptors of the cgroup.procs files: whoever writes "0" to each joins. How many.
unsigned cgroup_open_procs(struct cgroup_tree *t, const char *group, int fds[CGROUP_CONTROLLERS]);
// v2: the group's folder for CLONE_INTO_CGROUP; -EOPNOTSUPP on v1.
int cgroup_open_dir(struct cgroup_tree *t, const char *group);
// v1: what registering for a crossing of memory takes: memory.usage_in_bytes and
// cgroup.event_control. v2: memory.events, to be polled for EPOLLPRI. How many, 0 when there is
// none.
unsigned cgroup_open_watch(struct cgroup_tree *t, const char *group, int fds[2]);
// Peak memory in bytes, 0 when not known.
uint64_t cgroup_peak(struct cgroup_tree *t, const char *group);

// For the tests: a tree of version 1 or 2 in ordinary folders.
void cgroup_tree_fake(struct cgroup_tree *t, int version, const char *folder);

#endif
