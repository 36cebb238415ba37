// pid1.h - the first process of a sandbox: sets itself up, then starts and reaps programs.
//
// It runs in a copy of the keeper's memory and never executes anything else. It drops every power
// but changing the user of its children (where the keeper is root), binds itself by Landlock and
// seccomp, and takes orders only from the keeper's end of its channel; when that end closes, it
// ends, and with it everything inside.
#ifndef LAMBKIN_SANDBOX_PID1_H
#define LAMBKIN_SANDBOX_PID1_H

#include "sandbox/cgroup.h"
#include "sandbox/root.h"
#include "sandbox/seccomp_filter.h"

struct pid1_setup {
    unsigned slot;
    int channel;             // seqpacket to the keeper
    int output;              // write end: stdout and stderr of programs
    const struct root *root; // NULL: the host's own file system (no namespaces)
    int image;               // a mount to be the root in place of the template; -1: none
    bool await_image;        // that mount comes over the channel, some time later
    bool spaces;             // pid, ipc, uts and network namespaces are ours
    bool await_users;        // the keeper writes the uid map first, and then one message
    bool cgroup_space;       // unshare the cgroup namespace after joining
    bool confine;            // false: isolation none
    bool memory_counted;     // a cgroup bounds processes; else RLIMIT_NPROC has to
    unsigned uid;            // programs run as this; 0: as the keeper does
    const int *procs;        // cgroup.procs to join, by "0"
    unsigned n_procs;
    const struct seccomp_filter *filter; // NULL: none
    int landlock_abi;
    // Without mount namespaces Landlock is what hides the host: what may be read, then written.
    const char *const *readable, *const *writable;
};

// Never returns. Called in the child right after clone.
_Noreturn void pid1_main(const struct pid1_setup *setup);

#endif
