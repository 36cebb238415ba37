// host_facts.h - what this host offers for isolation, found by trying, for `lambkin doctor`.
//
// Blocking and forking: call it from a process without threads (the keeper, or the CLI).
#ifndef LAMBKIN_SANDBOX_HOST_FACTS_H
#define LAMBKIN_SANDBOX_HOST_FACTS_H

#include "sandbox/spec.h"

#define HOST_FACTS_MAX 32

struct host_fact {
    const char *name; // constant: "user namespaces"
    bool ok;          // there and usable by this user
    bool needed;      // strict isolation cannot do without it
    char detail[160]; // "v1: memory cpu pids freezer"
    char mend[192];   // the command or setting that mends it, "" when ok
};

struct host_facts {
    struct host_fact facts[HOST_FACTS_MAX];
    unsigned n;
    bool root;
    bool strict_possible;
    // For programs; the same as in `facts`.
    bool clone3, openat2, mount_api, user_ns, mount_ns, pid_ns, net_ns, seccomp, landlock;
    int landlock_abi; // 0: none
    int cgroup;       // 0 none, 1, 2
    bool cgroup_memory, cgroup_swap, cgroup_cpu, cgroup_pids, cgroup_freezer;
    bool pasta;
};

void host_facts_probe(struct host_facts *out);

#endif
