// cgroup_versions.c - what differs between cgroup v1 and v2: file names, units and killing.
//
// CPU: a weight in proportion, which decides under contention, and a quota in per cent of one
// processor, which caps. Memory: the limit includes swap, so that there is no swapping out of it,
// and /tmp, which is told apart by memory_watch.c.
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

static unsigned weight_of(unsigned cpu_weight)
{
    return cpu_weight < 1 ? 1 : cpu_weight > 10000 ? 10000 : cpu_weight;
}

static uint64_t quota_of(unsigned percent)
{
    uint64_t q = (uint64_t)PERIOD_US * percent / 100;
    return q < 1000 ? 1000 : q; // the kernel's least
}

// What a function did not use of the last period it may use in the next: of a part of a processor
// only, so that a short invocation after a pause is not cut in two.
static uint64_t burst_of(unsigned percent)
{
    return percent < 100 ? quota_of(percent) : 0;
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

static int v1_cpu(struct cgroup_tree *t, const char *group, const struct cgroup_limits *l)
{
    int dir = t->dirs[CGROUP_CPU], r = 0;
    if (l->cpu_weight)
        cgroup_write_u64(dir, group, "cpu.shares", 1024ull * weight_of(l->cpu_weight) / 100);
    if (!l->cpu_quota)
        return 0;
    cgroup_write_u64(dir, group, "cpu.cfs_burst_us", 0); // a burst is at most a quota
    cgroup_write_u64(dir, group, "cpu.cfs_period_us", PERIOD_US);
    r = cgroup_write_u64(dir, group, "cpu.cfs_quota_us", quota_of(l->cpu_quota));
    if (r == 0 && burst_of(l->cpu_quota)) // from Linux 5.14 on
        cgroup_write_u64(dir, group, "cpu.cfs_burst_us", burst_of(l->cpu_quota));
    return r == -ENOENT ? 0 : r; // a kernel without bandwidth control still has the weight
}

static void v1_io_weight(struct cgroup_tree *t, const char *group, unsigned cpu_weight)
{
    if (!t->has[CGROUP_IO])
        return;
    unsigned w = cpu_weight > 1000 ? 1000 : weight_of(cpu_weight);
    cgroup_write_u64(t->dirs[CGROUP_IO], group, "blkio.bfq.weight", w); // where that scheduler is
}

static int v1_limit(struct cgroup_tree *t, const char *group, const struct cgroup_limits *l,
                    struct err *err)
{
    int r = 0;
    if (l->memory_bytes && t->has[CGROUP_MEMORY])
        r = limited(v1_memory(t, group, l->memory_bytes + l->tmp_bytes), "memory", err);
    if (r == 0 && t->has[CGROUP_CPU])
        r = limited(v1_cpu(t, group, l), "CPU", err);
    if (r == 0 && l->cpu_weight)
        v1_io_weight(t, group, l->cpu_weight);
    if (r == 0 && l->pids && t->has[CGROUP_PIDS])
        r = limited(cgroup_write_u64(t->dirs[CGROUP_PIDS], group, "pids.max", l->pids), "process",
                    err);
    return r;
}

static int v1_limit_io(struct cgroup_tree *t, const char *group, uint64_t bytes,
                       uint64_t operations, struct err *err)
{
    const struct {
        const char *file;
        uint64_t value;
    } all[] = {{"blkio.throttle.read_bps_device", bytes},
               {"blkio.throttle.write_bps_device", bytes},
               {"blkio.throttle.read_iops_device", operations},
               {"blkio.throttle.write_iops_device", operations}};
    int r = 0;
    for (unsigned d = 0; r == 0 && d < t->n_disks; d++)
        for (size_t i = 0; r == 0 && i < ARRAY_LEN(all); i++) {
            char text[64];
            snprintf(text, sizeof(text), "%s %llu", t->disks[d], (unsigned long long)all[i].value);
            if (all[i].value)
                r = cgroup_write(t->dirs[CGROUP_IO], group, all[i].file, text);
        }
    return limited(r, "I/O", err);
}

static int v1_slow_from(struct cgroup_tree *t, const char *group, uint64_t bytes)
{
    (void)t, (void)group, (void)bytes;
    return -EOPNOTSUPP;
}

static uint64_t number_in(int dir, const char *group, const char *file)
{
    char text[32];
    uint64_t v = 0;
    if (cgroup_read(dir, group, file, text, sizeof(text)) < 0 ||
        str_to_u64(str_trim(str_from(text)), &v) < 0)
        return 0;
    return v;
}

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static uint64_t v1_memory_used(struct cgroup_tree *t, const char *group)
{
    return number_in(t->dirs[CGROUP_MEMORY], group, "memory.usage_in_bytes");
}

// The kernel's own memory is left out: v1 does not tell which of it could be reclaimed.
static uint64_t v1_memory_held(struct cgroup_tree *t, const char *group, uint64_t tmp_bytes)
{
    char text[4096];
    if (cgroup_read(t->dirs[CGROUP_MEMORY], group, "memory.stat", text, sizeof(text)) < 0)
        return 0;
    return cgroup_number(text, "rss") +
           less(cgroup_number(text, "shmem") + cgroup_number(text, "swap"), tmp_bytes);
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
    .limit_io = v1_limit_io,
    .slow_from = v1_slow_from,
    .memory_used = v1_memory_used,
    .memory_held = v1_memory_held,
    .freeze = v1_freeze,
    .kill = v1_kill,
    .open_freezer = v1_open_freezer,
    .open_peak = v1_open_peak,
    .oom_kills = v1_oom_kills,
};

// ---- v2 ----

static int v2_cpu(int dir, const char *group, const struct cgroup_limits *l)
{
    char text[64];
    if (l->cpu_weight)
        cgroup_write_u64(dir, group, "cpu.weight", weight_of(l->cpu_weight));
    if (!l->cpu_quota)
        return 0;
    cgroup_write_u64(dir, group, "cpu.max.burst", 0);
    snprintf(text, sizeof(text), "%llu %u", (unsigned long long)quota_of(l->cpu_quota), PERIOD_US);
    int r = cgroup_write(dir, group, "cpu.max", text);
    if (r == 0 && burst_of(l->cpu_quota))
        cgroup_write_u64(dir, group, "cpu.max.burst", burst_of(l->cpu_quota));
    return r == -ENOENT ? 0 : r;
}

static int v2_memory(int dir, const char *group, const struct cgroup_limits *l)
{
    // High first: at no moment may more be taken unseen. Somewhat above the limit: a sandbox that
    // is slowed down right at it would never get to where one can tell that it holds too much.
    cgroup_write_u64(dir, group, "memory.high", l->memory_bytes + l->memory_bytes / 16);
    int r = cgroup_write_u64(dir, group, "memory.max", l->memory_bytes + l->tmp_bytes);
    if (r == 0 && !l->tmp_bytes) // exactly the limit: nothing to slow down for
        cgroup_write(dir, group, "memory.high", "max");
    cgroup_write(dir, group, "memory.swap.max", "0"); // absent without swap accounting
    return r;
}

static int v2_limit(struct cgroup_tree *t, const char *group, const struct cgroup_limits *l,
                    struct err *err)
{
    int r = 0, dir = t->dirs[CGROUP_FREEZER];
    if (l->memory_bytes && t->has[CGROUP_MEMORY])
        r = limited(v2_memory(dir, group, l), "memory", err);
    if (r == 0 && t->has[CGROUP_CPU])
        r = limited(v2_cpu(dir, group, l), "CPU", err);
    if (r == 0 && l->cpu_weight && t->has[CGROUP_IO])
        cgroup_write_u64(dir, group, "io.weight", weight_of(l->cpu_weight)); // where it is built in
    if (r == 0 && l->pids && t->has[CGROUP_PIDS])
        r = limited(cgroup_write_u64(dir, group, "pids.max", l->pids), "process", err);
    return r;
}

static int v2_limit_io(struct cgroup_tree *t, const char *group, uint64_t bytes,
                       uint64_t operations, struct err *err)
{
    const struct {
        const char *name;
        uint64_t value;
    } all[] = {{"rbps", bytes}, {"wbps", bytes}, {"riops", operations}, {"wiops", operations}};
    int r = 0;
    for (unsigned d = 0; r == 0 && d < t->n_disks; d++) {
        char text[160];
        size_t at = (size_t)snprintf(text, sizeof(text), "%s", t->disks[d]);
        for (size_t i = 0; i < ARRAY_LEN(all); i++)
            if (all[i].value)
                at += (size_t)snprintf(text + at, sizeof(text) - at, " %s=%llu", all[i].name,
                                       (unsigned long long)all[i].value);
        r = cgroup_write(t->dirs[CGROUP_IO], group, "io.max", text);
    }
    return limited(r, "I/O", err);
}

static int v2_slow_from(struct cgroup_tree *t, const char *group, uint64_t bytes)
{
    return cgroup_write_u64(t->dirs[CGROUP_MEMORY], group, "memory.high", bytes);
}

static uint64_t v2_memory_used(struct cgroup_tree *t, const char *group)
{
    return number_in(t->dirs[CGROUP_MEMORY], group, "memory.current");
}

// With the kernel's own memory, as the kernel's limit has it.
static uint64_t v2_memory_held(struct cgroup_tree *t, const char *group, uint64_t tmp_bytes)
{
    static const char *const reclaimable[] = {"active_file", "inactive_file", "slab_reclaimable"};
    char text[8192];
    uint64_t held = v2_memory_used(t, group);
    if (cgroup_read(t->dirs[CGROUP_MEMORY], group, "memory.stat", text, sizeof(text)) < 0)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(reclaimable); i++)
        held = less(held, cgroup_number(text, reclaimable[i]));
    uint64_t shmem = cgroup_number(text, "shmem");
    return less(held, tmp_bytes < shmem ? tmp_bytes : shmem);
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
    .limit_io = v2_limit_io,
    .slow_from = v2_slow_from,
    .memory_used = v2_memory_used,
    .memory_held = v2_memory_held,
    .freeze = v2_freeze,
    .kill = v2_kill,
    .open_freezer = v2_open_freezer,
    .open_peak = v2_open_peak,
    .oom_kills = v2_oom_kills,
};
