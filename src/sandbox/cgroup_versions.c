// cgroup_versions.c - what differs between cgroup v1 and v2: file names, units and killing.
//
// CPU: a weight in proportion, which decides under contention, and a quota in per cent of one
// processor, which caps. Memory: the limit includes swap, so that there is no swapping out of it.
#include "sandbox/cgroup_impl.h"

#include "base/cleanup.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define PERIOD_US 50000u // short, so that a throttled function is not stalled for long

void cgroup_kill_listed(const char *path)
{
    char pids[8192];
    _cleanup_close_ int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cgroup_write(dir, ".", "freezer.state", "THAWED"); // v1: frozen tasks do not die
    if (cgroup_write(dir, ".", "cgroup.kill", "1") == 0)
        return;
    if (cgroup_read(dir, ".", "cgroup.procs", pids, sizeof(pids)) < 0)
        return;
    struct str rest = str_from(pids), line;
    while (str_next(&rest, '\n', &line)) {
        int64_t pid;
        if (str_to_i64(line, &pid) == 0 && pid > 1)
            kill((pid_t)pid, SIGKILL);
    }
}

static unsigned weight_of(unsigned cpu_percent)
{
    unsigned w = cpu_percent;
    return w < 1 ? 1 : w > 10000 ? 10000 : w;
}

static uint64_t quota_of(unsigned cpu_percent)
{
    uint64_t q = (uint64_t)PERIOD_US * cpu_percent / 100;
    return q < 1000 ? 1000 : q; // the kernel's least
}

// A controller that is there must take its limit; one that is not was reported at start.
static int limited(int r, const char *what, struct err *err)
{
    return r < 0 && r != -EOPNOTSUPP ? err_errno(err, -r, "set the %s limit", what) : 0;
}

// ---- v1 ----

static int v1_memory(struct cgroup_tree *t, const char *group, uint64_t bytes)
{
    int dir = t->dirs[CGROUP_MEMORY];
    int r = cgroup_write_u64(dir, group, "memory.limit_in_bytes", bytes);
    if (!t->swap)
        return r;
    int s = cgroup_write_u64(dir, group, "memory.memsw.limit_in_bytes", bytes);
    if (r < 0) // raising: the limit with swap has to go first
        r = cgroup_write_u64(dir, group, "memory.limit_in_bytes", bytes);
    return r < 0 ? r : s;
}

static int v1_limit(struct cgroup_tree *t, const char *group, uint64_t memory_bytes,
                    unsigned cpu_percent, unsigned pids, struct err *err)
{
    int r = 0;
    if (memory_bytes && t->has[CGROUP_MEMORY])
        r = limited(v1_memory(t, group, memory_bytes), "memory", err);
    if (r == 0 && cpu_percent && t->has[CGROUP_CPU]) {
        int dir = t->dirs[CGROUP_CPU];
        cgroup_write_u64(dir, group, "cpu.shares", 1024ull * weight_of(cpu_percent) / 100 + 2);
        cgroup_write_u64(dir, group, "cpu.cfs_period_us", PERIOD_US);
        r = cgroup_write_u64(dir, group, "cpu.cfs_quota_us", quota_of(cpu_percent));
        // A kernel without bandwidth control still has the weight.
        r = r == -ENOENT ? 0 : limited(r, "CPU", err);
    }
    if (r == 0 && pids && t->has[CGROUP_PIDS])
        r = limited(cgroup_write_u64(t->dirs[CGROUP_PIDS], group, "pids.max", pids), "process",
                    err);
    return r;
}

static int v1_freeze(struct cgroup_tree *t, const char *group, bool frozen)
{
    return cgroup_write(t->dirs[CGROUP_FREEZER], group, "freezer.state",
                        frozen ? "FROZEN" : "THAWED");
}

static int v1_kill(struct cgroup_tree *t, const char *group)
{
    (void)t, (void)group;
    return -EOPNOTSUPP;
}

static int v1_open_freezer(struct cgroup_tree *t, const char *group)
{
    return cgroup_open_file(t->dirs[CGROUP_FREEZER], group, "freezer.state", O_RDWR);
}

static int v1_open_peak(struct cgroup_tree *t, const char *group)
{
    return cgroup_open_file(t->dirs[CGROUP_MEMORY], group, "memory.max_usage_in_bytes", O_RDWR);
}

static uint32_t v1_oom_kills(struct cgroup_tree *t, const char *group)
{
    char text[256];
    if (cgroup_read(t->dirs[CGROUP_MEMORY], group, "memory.oom_control", text, sizeof(text)) < 0)
        return 0;
    return cgroup_counter(text, "oom_kill");
}

const struct cgroup_ops cgroup_v1 = {
    .version = 1,
    .limit = v1_limit,
    .freeze = v1_freeze,
    .kill = v1_kill,
    .open_freezer = v1_open_freezer,
    .open_peak = v1_open_peak,
    .oom_kills = v1_oom_kills,
};

// ---- v2 ----

static int v2_limit(struct cgroup_tree *t, const char *group, uint64_t memory_bytes,
                    unsigned cpu_percent, unsigned pids, struct err *err)
{
    int r = 0, dir = t->dirs[CGROUP_FREEZER];
    if (memory_bytes && t->has[CGROUP_MEMORY]) {
        r = limited(cgroup_write_u64(dir, group, "memory.max", memory_bytes), "memory", err);
        cgroup_write(dir, group, "memory.swap.max", "0"); // absent without swap accounting
    }
    if (r == 0 && cpu_percent && t->has[CGROUP_CPU]) {
        char text[64];
        cgroup_write_u64(dir, group, "cpu.weight", weight_of(cpu_percent));
        snprintf(text, sizeof(text), "%llu %u", (unsigned long long)quota_of(cpu_percent),
                 PERIOD_US);
        r = cgroup_write(dir, group, "cpu.max", text);
        r = r == -ENOENT ? 0 : limited(r, "CPU", err);
    }
    if (r == 0 && pids && t->has[CGROUP_PIDS])
        r = limited(cgroup_write_u64(dir, group, "pids.max", pids), "process", err);
    return r;
}

static int v2_freeze(struct cgroup_tree *t, const char *group, bool frozen)
{
    return cgroup_write(t->dirs[CGROUP_FREEZER], group, "cgroup.freeze", frozen ? "1" : "0");
}

static int v2_kill(struct cgroup_tree *t, const char *group)
{
    int r = cgroup_write(t->dirs[CGROUP_FREEZER], group, "cgroup.kill", "1");
    return r == -ENOENT ? -EOPNOTSUPP : r; // before Linux 5.14
}

static int v2_open_freezer(struct cgroup_tree *t, const char *group)
{
    return cgroup_open_file(t->dirs[CGROUP_FREEZER], group, "cgroup.freeze", O_RDWR);
}

static int v2_open_peak(struct cgroup_tree *t, const char *group)
{
    int dir = t->has[CGROUP_MEMORY] ? t->dirs[CGROUP_FREEZER] : -1;
    // Writable from Linux 6.12 on: a write starts a new peak for that descriptor.
    int fd = cgroup_open_file(dir, group, "memory.peak", O_RDWR);
    return fd >= 0 ? fd : cgroup_open_file(dir, group, "memory.peak", O_RDONLY);
}

static uint32_t v2_oom_kills(struct cgroup_tree *t, const char *group)
{
    char text[512];
    int dir = t->has[CGROUP_MEMORY] ? t->dirs[CGROUP_FREEZER] : -1;
    if (cgroup_read(dir, group, "memory.events", text, sizeof(text)) < 0)
        return 0;
    return cgroup_counter(text, "oom_kill");
}

const struct cgroup_ops cgroup_v2 = {
    .version = 2,
    .limit = v2_limit,
    .freeze = v2_freeze,
    .kill = v2_kill,
    .open_freezer = v2_open_freezer,
    .open_peak = v2_open_peak,
    .oom_kills = v2_oom_kills,
};
