// keeper_setup.c - finding out what this host can do, refusing or reporting what it cannot, and
// leaving nothing behind.
#include "sandbox/keeper_impl.h"

#include "sandbox/kernel.h"
#include "sandbox/landlock.h"

#include "base/cleanup.h"
#include "base/hash.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/log.h"
#include "os/time.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

// An unprivileged keeper makes itself root of a user namespace, where it may mount.
static int become_root_of_own(struct err *err)
{
    char map[64];
    unsigned uid = geteuid(), gid = getegid();
    // A network as well: the way back from a sandbox's leads only to one that we own.
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return err_errno(err, errno, "a user namespace of our own");
    struct {
        const char *file;
        unsigned id;
    } maps[] = {
        {"/proc/self/setgroups", 0}, {"/proc/self/uid_map", uid}, {"/proc/self/gid_map", gid}};
    for (size_t i = 0; i < ARRAY_LEN(maps); i++) {
        _cleanup_close_ int fd = open(maps[i].file, O_WRONLY | O_CLOEXEC);
        snprintf(map, sizeof(map), i == 0 ? "deny" : "0 %u 1", maps[i].id);
        if (fd < 0 || write(fd, map, strlen(map)) < 0)
            return err_errno(err, errno, "write %s", maps[i].file);
    }
    return 0;
}

// The status from what the probes found; strict isolation needs each of these.
static void judge(struct keeper *k)
{
    struct keeper_status *s = &k->status;
    const struct {
        bool there;
        const char *name;
    } needs[] = {
        {s->mounts, "mount namespaces"},
        {s->pids, "pid namespaces"},
        {s->net, "network namespaces"},
        {s->users, "separate users"},
        {s->seccomp, "seccomp"},
        {s->cgroup_memory, "memory limit (cgroup)"},
        {s->cgroup_cpu, "CPU share (cgroup)"},
        {s->cgroup_pids, "process limit (cgroup)"},
        {s->cgroup_io || !(k->config.io_bytes || k->config.io_operations), "I/O limit (cgroup)"}};
    size_t at = 0;
    s->missing[0] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(needs) && at < sizeof(s->missing); i++)
        if (!needs[i].there)
            at += (size_t)snprintf(s->missing + at, sizeof(s->missing) - at, "%s%s", at ? ", " : "",
                                   needs[i].name);
    s->complete = s->missing[0] == '\0';
}

static int set_up_filter(struct keeper *k, struct err *err)
{
    if (!k->facts.seccomp)
        return 0;
    int r = seccomp_filter_build(&k->filter, false, err);
    return r < 0 ? r : seccomp_filter_build(&k->tracing_filter, true, err);
}

// Those that a function can read from. A layered or network file system has none to limit.
static void find_disks(struct keeper *k)
{
    const struct keeper_config *c = &k->config;
    const char *const paths[] = {c->data_dir, c->runtime_dir, "/usr"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        cgroup_add_disk(&k->cgroups, paths[i]);
    for (unsigned i = 0; i < c->n_interpreters; i++)
        cgroup_add_disk(&k->cgroups, c->interpreters[i]);
    if (k->cgroups.n_disks)
        return;
    log_warn("I/O cannot be limited: there is no disk behind %s and /usr", c->data_dir);
    k->cgroups.has[CGROUP_IO] = false;
}

// Cgroups are named by the data directory, so that a restarted keeper finds its predecessor's.
static int set_up_cgroups(struct keeper *k, struct err *err)
{
    char hex[MD5_HEX_BYTES];
    hash_md5_hex(str_from(k->config.data_dir), hex);
    hex[12] = '\0';
    bool io = k->config.io_bytes || k->config.io_operations;
    int r = cgroup_tree_open(&k->cgroups, hex, io, err);
    if (io && k->cgroups.has[CGROUP_IO])
        find_disks(k);
    k->status.cgroup_io = k->cgroups.has[CGROUP_IO];
    k->status.cgroup_memory = k->cgroups.has[CGROUP_MEMORY];
    k->status.cgroup_cpu = k->cgroups.has[CGROUP_CPU];
    k->status.cgroup_pids = k->cgroups.has[CGROUP_PIDS];
    k->status.freezer = k->cgroups.has[CGROUP_FREEZER];
    snprintf(k->status.cgroup, sizeof(k->status.cgroup), "%s",
             !k->cgroups.ops                ? "none"
             : k->cgroups.ops->version == 2 ? "v2"
                                            : "v1");
    return r;
}

static int set_up_spaces(struct keeper *k, struct err *err)
{
    k->spaces = k->config.degree != SANDBOX_NONE && k->facts.mount_ns && k->facts.pid_ns &&
                k->facts.net_ns && k->facts.mount_api;
    k->nested = k->spaces && !k->facts.root;
    k->root_ids = k->config.degree != SANDBOX_NONE && geteuid() == 0;
    int r = 0;
    if (k->nested)
        r = become_root_of_own(err);
    if (r >= 0 && k->spaces)
        r = root_prepare(&k->root, &k->config, k->nested, err);
    if (r < 0)
        return r;
    struct keeper_status *s = &k->status;
    s->mounts = s->pids = s->net = s->inject = k->spaces;
    s->users = k->nested || k->root_ids;
    k->own_net = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (k->own_net < 0 && k->spaces)
        return err_errno(err, errno, "/proc/self/ns/net");
    return 0;
}

// These lie in the server's folder: they must be folders themselves, not links to other places.
static int set_up_folders(struct keeper *k, struct err *err)
{
    const struct {
        const char *name;
        mode_t mode;
        int *fd;
    } folders[] = {{"code", 0755, &k->root.code_dir}, {"images", 0711, &k->root.images_dir}};
    int r = mkdir_p(k->config.data_dir, 0755, err);
    if (r < 0)
        return r;
    _cleanup_close_ int data = open(k->config.data_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (data < 0)
        return err_errno(err, errno, "open %s", k->config.data_dir);
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        const char *name = folders[i].name;
        if (mkdirat(data, name, folders[i].mode) < 0 && errno != EEXIST)
            return err_errno(err, errno, "make %s/%s", k->config.data_dir, name);
        int fd = openat(data, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return err_errno(err, errno, "open %s/%s", k->config.data_dir, name);
        closep(folders[i].fd);
        *folders[i].fd = fd;
    }
    return 0;
}

static void raise_descriptor_limit(void)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
        l.rlim_cur = l.rlim_max;
        setrlimit(RLIMIT_NOFILE, &l);
    }
}

static int set_up_config(struct keeper *k, const struct keeper_config *config, struct err *err)
{
    k->config = *config;
    struct keeper_config *c = &k->config;
    if (!c->data_dir || c->data_dir[0] != '/')
        return err_set(err, -EINVAL, "the data directory must be an absolute path");
    if (!c->runtime_dir) {
        snprintf(k->runtime_dir, sizeof(k->runtime_dir), "%s/runtime", c->data_dir);
        c->runtime_dir = k->runtime_dir;
    }
    if (c->max_sandboxes == 0 || c->max_sandboxes > KEEPER_MAX_SANDBOXES)
        c->max_sandboxes = KEEPER_MAX_SANDBOXES;
    if (c->spare_slots == 0)
        c->spare_slots = 8;
    else if (c->spare_slots == KEEPER_NO_SPARES)
        c->spare_slots = 0;
    if (c->first_uid == 0)
        c->first_uid = 200000;
    k->slots = calloc(c->max_sandboxes, sizeof(*k->slots));
    if (!k->slots)
        return err_set(err, -ENOMEM, "out of memory");
    return 0;
}

int keeper_set_up(struct keeper *k, const struct keeper_config *config, struct err *err)
{
    k->epoll = k->own_net = -1;
    k->root = (struct root){.own_mounts = -1, .code_dir = -1, .images_dir = -1};
    for (int c = 0; c < CGROUP_CONTROLLERS; c++)
        k->cgroups.dirs[c] = -1;
    int r = set_up_config(k, config, err);
    if (r < 0)
        return r;
    raise_descriptor_limit();
    umask(022); // what it makes in the template is for others to read
    host_facts_probe(&k->facts);
    k->status.asked = k->config.degree;
    k->status.connected = true;
    k->status.cpu_proportional = k->config.cpu_proportional;
    k->status.seccomp = k->facts.seccomp && k->config.degree != SANDBOX_NONE;
    k->status.landlock = k->facts.landlock && k->config.degree != SANDBOX_NONE;
    k->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (k->epoll < 0)
        return err_errno(err, errno, "epoll");
    r = set_up_spaces(k, err);
    if (r >= 0)
        r = set_up_folders(k, err);
    k->root.config = &k->config;
    if (r >= 0)
        r = set_up_filter(k, err);
    if (r >= 0 && k->config.degree != SANDBOX_NONE)
        r = set_up_cgroups(k, err);
    if (r < 0)
        return r;
    judge(k);
    if (k->config.degree == SANDBOX_STRICT && !k->status.complete)
        return err_set(err, -EOPNOTSUPP,
                       "strict isolation is not possible here; missing: %s. `lambkin doctor` says "
                       "how to mend it; isolation = best-effort goes on without",
                       k->status.missing);
    if (k->config.degree == SANDBOX_NONE)
        log_warn("isolation is off: functions run as plain processes with this user's rights");
    else if (!k->status.complete)
        log_warn("isolation is incomplete; missing: %s", k->status.missing);
    return 0;
}

// Everything ends: first all at once, then wait for each, then their cgroups.
void keeper_tear_down(struct keeper *k)
{
    for (unsigned i = 0; i < k->n_slots; i++) {
        k->slots[i].connection = -1;
        slot_kill(k, &k->slots[i]);
    }
    int64_t until_ms = os_mono_ms() + 10000;
    for (unsigned i = 0; i < k->n_slots; i++) {
        struct slot *s = &k->slots[i];
        while (s->pidfd >= 0 && os_mono_ms() < until_ms) {
            struct pollfd p = {s->pidfd, POLLIN, 0};
            if (poll(&p, 1, 100) > 0)
                slot_ended(k, s);
        }
    }
    while (k->want_sweep && os_mono_ms() < until_ms) {
        slot_sweep(k);
        usleep(1000);
    }
    cgroup_tree_close(&k->cgroups);
    seccomp_filter_finish(&k->filter);
    seccomp_filter_finish(&k->tracing_filter);
    root_finish(&k->root);
    closep(&k->own_net);
    closep(&k->epoll);
    free(k->slots);
    k->slots = NULL;
}
