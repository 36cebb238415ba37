// cgroup_impl.h - what cgroup.c shares with the two versions; never leaves this folder.
#ifndef LAMBKIN_SANDBOX_CGROUP_IMPL_H
#define LAMBKIN_SANDBOX_CGROUP_IMPL_H

#include "sandbox/cgroup.h"

extern const struct cgroup_ops cgroup_v1, cgroup_v2;

// Files of a group, by the tree's folder and the group's name: 0 or -errno.
int cgroup_write(int dir, const char *group, const char *file, const char *value);
int cgroup_write_u64(int dir, const char *group, const char *file, uint64_t value);
int cgroup_read(int dir, const char *group, const char *file, char *to, size_t room);
int cgroup_open_file(int dir, const char *group, const char *file, int flags);
uint64_t cgroup_number(const char *text, const char *name);
uint32_t cgroup_counter(const char *text, const char *name); // the same, clipped
// SIGKILL to every process that the group's cgroup.procs lists.
void cgroup_kill_listed(const char *path);

#endif
