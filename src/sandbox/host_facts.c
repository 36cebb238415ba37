// host_facts.c - trying out, in child processes, what a sandbox needs. See host_facts.h.
#include "sandbox/host_facts.h"

#include "sandbox/cgroup.h"
#include "sandbox/kernel.h"
#include "sandbox/landlock.h"

#include "base/cleanup.h"
#include "os/fd.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct host_fact *add(struct host_facts *h, const char *name, bool ok, bool needed)
{
    if (h->n >= HOST_FACTS_MAX)
        abort();
    struct host_fact *f = &h->facts[h->n++];
    *f = (struct host_fact){.name = name, .ok = ok, .needed = needed};
    if (needed && !ok)
        h->strict_possible = false;
    return f;
}

// Runs `try` in a child: its errno, 0 when it worked.
static int in_child(int (*try)(void))
{
    pid_t pid = fork();
    if (pid < 0)
        return errno;
    if (pid == 0)
        _exit(try() < 0 ? (errno ? errno : 1) & 0xff : 0);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EFAULT;
}

static int write_text(const char *path, const char *text)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 || write(fd, text, strlen(text)) < 0 ? -1 : 0;
}

// What every other namespace needs: root, or root of a user namespace.
static int gain_root(void)
{
    char map[64];
    unsigned uid = geteuid(), gid = getegid();
    if (uid == 0)
        return 0;
    if (unshare(CLONE_NEWUSER) < 0)
        return -1;
    snprintf(map, sizeof(map), "0 %u 1", uid);
    if (write_text("/proc/self/setgroups", "deny") < 0 || write_text("/proc/self/uid_map", map) < 0)
        return -1;
    snprintf(map, sizeof(map), "0 %u 1", gid);
    return write_text("/proc/self/gid_map", map);
}

static int try_user(void)
{
    return unshare(CLONE_NEWUSER);
}

static int try_mount(void)
{
    return gain_root() < 0 || unshare(CLONE_NEWNS) < 0 ||
                   mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
                   mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "size=1m") < 0
               ? -1
               : 0;
}

static int try_mount_api(void)
{
    struct kernel_mount_attr a = {.attr_set = KERNEL_MOUNT_RDONLY | KERNEL_MOUNT_NOSUID};
    if (gain_root() < 0 || unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -1;
    int tree = kernel_open_tree(AT_FDCWD, "/usr", KERNEL_OPEN_TREE_CLONE | AT_RECURSIVE);
    if (tree < 0 || kernel_mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &a) < 0)
        return -1;
    return kernel_move_mount(tree, "", AT_FDCWD, "/tmp", KERNEL_MOVE_MOUNT_F_EMPTY_PATH);
}

static int try_net(void)
{
    return gain_root() < 0 || unshare(CLONE_NEWNET) < 0 ? -1 : 0;
}

// A new /proc in a new pid namespace is refused where the one there has parts covered.
static int try_pid(void)
{
    if (gain_root() < 0 || unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
        return -1;
    pid_t pid = fork();
    if (pid < 0)
        return -1;
    if (pid == 0)
        _exit(mount("proc", "/proc", "proc", 0, NULL) < 0 ? errno & 0xff : 0);
    int status = 0;
    if (waitpid(pid, &status, 0) < 0)
        return -1;
    errno = WIFEXITED(status) ? WEXITSTATUS(status) : EFAULT;
    return errno ? -1 : 0;
}

static void say(struct host_fact *f, int error, const char *mend)
{
    if (f->ok)
        return;
    snprintf(f->detail, sizeof(f->detail), "%s", strerror(error));
    snprintf(f->mend, sizeof(f->mend), "%s", mend);
}

static void probe_calls(struct host_facts *h)
{
    struct kernel_clone_args none = {0};
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH};
    syscall(SYS_clone3, &none, 0); // too small: EINVAL where it exists
    h->clone3 = errno == EINVAL;
    int fd = kernel_openat2(AT_FDCWD, "proc", &how);
    h->openat2 = fd >= 0 || (errno != ENOSYS && errno != EPERM);
    closep(&fd);
    uint32_t action = SECCOMP_RET_ERRNO;
    h->seccomp = syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0 ||
                 prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0;
    h->landlock_abi = landlock_abi();
    h->landlock = h->landlock_abi > 0;
}

static void probe_spaces(struct host_facts *h)
{
    static const char *const how =
        "sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000 "
        "kernel.apparmor_restrict_unprivileged_userns=0, or run as root";
    int e = in_child(try_user);
    h->user_ns = e == 0;
    say(add(h, "user namespaces", h->user_ns, !h->root), e, how);
    e = in_child(try_mount);
    h->mount_ns = e == 0;
    say(add(h, "mount namespaces", h->mount_ns, true), e, how);
    e = in_child(try_pid);
    h->pid_ns = e == 0;
    say(add(h, "pid, ipc and uts namespaces with a fresh /proc", h->pid_ns, true), e, how);
    e = in_child(try_net);
    h->net_ns = e == 0;
    say(add(h, "network namespaces", h->net_ns, true), e, how);
}

static void probe_cgroups(struct host_facts *h)
{
    static const char *const how =
        "run as root, or in a delegated group: systemd-run --user --scope -p Delegate=yes lambkin "
        "serve";
    static const char *const names[] = {"memory limit (cgroup)", "CPU share (cgroup)",
                                        "process limit (cgroup)", "I/O limit (cgroup)",
                                        "freezer (cgroup)"};
    struct cgroup_tree t;
    cgroup_probe(&t);
    h->cgroup = t.ops ? t.ops->version : 0;
    h->cgroup_memory = t.has[CGROUP_MEMORY];
    h->cgroup_swap = t.swap;
    h->cgroup_cpu = t.has[CGROUP_CPU];
    h->cgroup_pids = t.has[CGROUP_PIDS];
    h->cgroup_freezer = t.has[CGROUP_FREEZER];
    for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
        struct host_fact *f = add(h, names[c], t.has[c], c < CGROUP_IO);
        if (f->ok)
            snprintf(f->detail, sizeof(f->detail), "v%d%s", h->cgroup,
                     c != CGROUP_MEMORY ? ""
                     : t.swap           ? ", with swap"
                                        : ", swap is not counted");
        else
            snprintf(f->mend, sizeof(f->mend), "%s", how);
    }
}

static bool in_path(const char *name)
{
    struct str rest = str_from(getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin"), dir;
    while (str_next(&rest, ':', &dir)) {
        char path[1024];
        snprintf(path, sizeof(path), "%.*s/%s", STR_ARG(dir), name);
        if (access(path, X_OK) == 0)
            return true;
    }
    return false;
}

void host_facts_probe(struct host_facts *h)
{
    *h = (struct host_facts){.strict_possible = true, .root = geteuid() == 0};
    probe_calls(h);
    probe_spaces(h);
    int e = in_child(try_mount_api);
    h->mount_api = e == 0;
    say(add(h, "mount API of Linux 5.12", h->mount_api, true), e,
        "a newer kernel, or a container that allows it");
    struct host_fact *f = add(h, "seccomp", h->seccomp, true);
    if (!f->ok)
        snprintf(f->mend, sizeof(f->mend), "a kernel with CONFIG_SECCOMP_FILTER");
    f = add(h, "Landlock", h->landlock, false);
    if (f->ok)
        snprintf(f->detail, sizeof(f->detail), "ABI %d", h->landlock_abi);
    else
        snprintf(f->mend, sizeof(f->mend), "boot with lsm=landlock,… (optional)");
    probe_cgroups(h);
    f = add(h, "clone3", h->clone3, false);
    if (!f->ok)
        snprintf(f->detail, sizeof(f->detail), "denied; clone is used instead");
    f = add(h, "openat2", h->openat2, false);
    if (!f->ok)
        snprintf(f->detail, sizeof(f->detail), "denied; paths are walked part by part instead");
    h->pasta = in_path("pasta");
    f = add(h, "pasta (outbound network)", h->pasta, false);
    if (!f->ok)
        snprintf(f->mend, sizeof(f->mend), "apt install passt (optional)");
}
