// cgroup.h - shares of memory, CPU and processes: one small group per sandbox, v1 or v2.
//
// The tree is a folder "lambkin-<tag>" below the keeper's own cgroup (of each v1 controller, or of
// the unified hierarchy). Everything below it is ours: leftovers of killed keepers (nobody holds
// their lock) are removed when the tree is opened, and all of it when it is closed. Groups are
// named by number, and paths resolve from descriptors of the tree, so no group holds a descriptor.
#ifndef LAMBKIN_SANDBOX_CGROUP_H
#define LAMBKIN_SANDBOX_CGROUP_H

#include "base/err.h"

#define CGROUP_CONTROLLERS 4
enum cgroup_controller { CGROUP_MEMORY, CGROUP_CPU, CGROUP_PIDS, CGROUP_FREEZER };
extern const char *const cgroup_controller_names[CGROUP_CONTROLLERS];

struct cgroup_tree;

struct cgroup_ops {
    int version;
    // Sets what of the limits the host can; 0 leaves one alone.
    int (*limit)(struct cgroup_tree *t, const char *group, uint64_t memory_bytes,
                 unsigned cpu_percent, unsigned pids, struct err *err);
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
    bool swap;                    // swap can be limited
    int dirs[CGROUP_CONTROLLERS]; // the tree's folder per controller (v2: the same for all); or -1
    char paths[CGROUP_CONTROLLERS][512]; // of those folders, for removing
    char why[160];                       // what is missing and why
};

// What could be used here, without making anything: fills `has`, `swap`, `ops`, `why`.
void cgroup_probe(struct cgroup_tree *t);
// Probes, makes the tree, removes leftovers. Missing controllers are no error.
int cgroup_tree_open(struct cgroup_tree *t, const char *tag, struct err *err);
// Removes the tree; groups that still hold processes stay.
void cgroup_tree_close(struct cgroup_tree *t);

int cgroup_make(struct cgroup_tree *t, const char *group, struct err *err);
// -EBUSY while processes are in it; 0 when it is gone.
int cgroup_remove(struct cgroup_tree *t, const char *group);
// Descriptors of the cgroup.procs files: whoever writes "0" to each joins. How many.
unsigned cgroup_open_procs(struct cgroup_tree *t, const char *group, int fds[CGROUP_CONTROLLERS]);
// v2: the group's folder for CLONE_INTO_CGROUP; -EOPNOTSUPP on v1.
int cgroup_open_dir(struct cgroup_tree *t, const char *group);
// Peak memory in bytes, 0 when not known.
uint64_t cgroup_peak(struct cgroup_tree *t, const char *group);

// For the tests: a tree of version 1 or 2 in ordinary folders.
void cgroup_tree_fake(struct cgroup_tree *t, int version, const char *folder);

#endif
