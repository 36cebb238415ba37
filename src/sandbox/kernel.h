// kernel.h - system calls that the C library does not wrap yet, and their constants.
//
// Each answers what the system call does: -1 with errno. Nothing here keeps state.
#ifndef LAMBKIN_SANDBOX_KERNEL_H
#define LAMBKIN_SANDBOX_KERNEL_H

#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

// The structure of clone3 of Linux 5.7, by our own name: <linux/sched.h> and <sched.h> do not mix.
struct kernel_clone_args {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
        set_tid_size, cgroup;
};
#define KERNEL_CLONE_INTO_CGROUP 0x200000000ULL
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

struct kernel_mount_attr {
    uint64_t attr_set, attr_clr, propagation, userns_fd;
};
#define KERNEL_MOUNT_RDONLY 0x01
#define KERNEL_MOUNT_NOSUID 0x02
#define KERNEL_MOUNT_NODEV 0x04
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif
#define KERNEL_OPEN_TREE_CLONE 1
#define KERNEL_OPEN_TREE_CLOEXEC O_CLOEXEC
#define KERNEL_MOVE_MOUNT_F_EMPTY_PATH 0x04
#define KERNEL_MOVE_MOUNT_T_EMPTY_PATH 0x40

static inline pid_t kernel_clone3(struct kernel_clone_args *a)
{
    return (pid_t)syscall(SYS_clone3, a, sizeof(*a));
}

// Like fork, with namespaces: the stack is the parent's, copied.
static inline pid_t kernel_clone(uint64_t flags, int *pidfd)
{
#if defined(__s390x__)
    return (pid_t)syscall(SYS_clone, 0, flags, pidfd, 0, 0);
#else
    return (pid_t)syscall(SYS_clone, flags, 0, pidfd, 0, 0);
#endif
}

static inline int kernel_openat2(int dir, const char *path, struct open_how *how)
{
    return (int)syscall(SYS_openat2, dir, path, how, sizeof(*how));
}

static inline int kernel_open_tree(int dir, const char *path, unsigned flags)
{
    return (int)syscall(SYS_open_tree, dir, path, flags);
}

static inline int kernel_move_mount(int from_dir, const char *from, int to_dir, const char *to,
                                    unsigned flags)
{
    return (int)syscall(SYS_move_mount, from_dir, from, to_dir, to, flags);
}

static inline int kernel_mount_setattr(int dir, const char *path, unsigned flags,
                                       struct kernel_mount_attr *a)
{
    return (int)syscall(SYS_mount_setattr, dir, path, flags, a, sizeof(*a));
}

static inline int kernel_pivot_root(const char *new_root, const char *put_old)
{
    return (int)syscall(SYS_pivot_root, new_root, put_old);
}

static inline int kernel_pidfd_send_signal(int pidfd, int signal)
{
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

static inline int kernel_pidfd_open(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

#endif
