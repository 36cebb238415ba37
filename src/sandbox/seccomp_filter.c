// seccomp_filter.c - the allow-list of system calls, tried with Python, Node.js, Java and Go.
//
// What is in no list answers ENOSYS, so that a runtime falls back as on an older kernel; what a
// program might take for granted but must not have answers EPERM. clone3 is ENOSYS because its
// flags are behind a pointer, where no filter can see them: libraries then use clone. Another
// architecture's calls (32-bit, x32) kill the process: they would pass by the numbers of this one.
#include "sandbox/seccomp_filter.h"

#include "sandbox/kernel.h"

#include "base/cleanup.h"
#include "os/fd.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>

static const char *const allowed[] = {
    // files
    "access",
    "chdir",
    "chmod",
    "chown",
    "chown32",
    "close",
    "close_range",
    "copy_file_range",
    "creat",
    "dup",
    "dup2",
    "dup3",
    "faccessat",
    "faccessat2",
    "fadvise64",
    "fadvise64_64",
    "fallocate",
    "fchdir",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "fchown",
    "fchownat",
    "fcntl",
    "fcntl64",
    "fdatasync",
    "fgetxattr",
    "flistxattr",
    "flock",
    "fremovexattr",
    "fsetxattr",
    "fstat",
    "fstat64",
    "fstatat64",
    "fstatfs",
    "fstatfs64",
    "fsync",
    "ftruncate",
    "futimesat",
    "getcwd",
    "getdents",
    "getdents64",
    "getxattr",
    "ioctl",
    "lgetxattr",
    "link",
    "linkat",
    "listxattr",
    "llistxattr",
    "lremovexattr",
    "lseek",
    "lsetxattr",
    "lstat",
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "newfstatat",
    "open",
    "openat",
    "openat2",
    "pread64",
    "preadv",
    "preadv2",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "read",
    "readahead",
    "readlink",
    "readlinkat",
    "readv",
    "removexattr",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "sendfile",
    "sendfile64",
    "setxattr",
    "splice",
    "stat",
    "stat64",
    "statfs",
    "statfs64",
    "statx",
    "symlink",
    "symlinkat",
    "sync_file_range",
    "syncfs",
    "sync",
    "tee",
    "truncate",
    "umask",
    "unlink",
    "unlinkat",
    "utime",
    "utimensat",
    "utimes",
    "write",
    "writev",
    "_llseek",
    // waiting
    "epoll_create",
    "epoll_create1",
    "epoll_ctl",
    "epoll_ctl_old",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "eventfd",
    "eventfd2",
    "inotify_add_watch",
    "inotify_init",
    "inotify_init1",
    "inotify_rm_watch",
    "pipe",
    "pipe2",
    "poll",
    "ppoll",
    "pselect6",
    "select",
    "signalfd",
    "signalfd4",
    "timerfd_create",
    "timerfd_gettime",
    "timerfd_settime",
    // memory
    "brk",
    "get_mempolicy",
    "madvise",
    "mbind",
    "membarrier",
    "memfd_create",
    "mincore",
    "mlock",
    "mlock2",
    "mlockall",
    "mmap",
    "mmap2",
    "mprotect",
    "mremap",
    "mseal",
    "msync",
    "munlock",
    "munlockall",
    "munmap",
    "pkey_alloc",
    "pkey_free",
    "pkey_mprotect",
    "remap_file_pages",
    "set_mempolicy",
    // processes and threads
    "capget",
    "capset",
    "execve",
    "exit",
    "exit_group",
    "fork",
    "futex",
    "futex_requeue",
    "futex_wait",
    "futex_waitv",
    "futex_wake",
    "get_robust_list",
    "get_thread_area",
    "getcpu",
    "getegid",
    "geteuid",
    "getgid",
    "getgroups",
    "getpgid",
    "getpgrp",
    "getpid",
    "getppid",
    "getpriority",
    "getresgid",
    "getresuid",
    "getrlimit",
    "getrusage",
    "getsid",
    "gettid",
    "getuid",
    "ioprio_get",
    "ioprio_set",
    "kill",
    "pidfd_open",
    "pidfd_send_signal",
    "prctl",
    "arch_prctl",
    "prlimit64",
    "restart_syscall",
    "rseq",
    "sched_get_priority_max",
    "sched_get_priority_min",
    "sched_getaffinity",
    "sched_getattr",
    "sched_getparam",
    "sched_getscheduler",
    "sched_rr_get_interval",
    "sched_setaffinity",
    "sched_setattr",
    "sched_setparam",
    "sched_setscheduler",
    "sched_yield",
    "seccomp",
    "set_robust_list",
    "set_thread_area",
    "set_tid_address",
    "setfsgid",
    "setfsuid",
    "setgid",
    "setgroups",
    "setpgid",
    "setpriority",
    "setregid",
    "setresgid",
    "setresuid",
    "setreuid",
    "setrlimit",
    "setsid",
    "setuid",
    "tgkill",
    "times",
    "tkill",
    "vfork",
    "wait4",
    "waitid",
    "waitpid",
    // signals and time
    "alarm",
    "clock_getres",
    "clock_gettime",
    "clock_nanosleep",
    "getitimer",
    "gettimeofday",
    "nanosleep",
    "pause",
    "rt_sigaction",
    "rt_sigpending",
    "rt_sigprocmask",
    "rt_sigqueueinfo",
    "rt_sigreturn",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "rt_tgsigqueueinfo",
    "setitimer",
    "sigaltstack",
    "sigreturn",
    "time",
    "timer_create",
    "timer_delete",
    "timer_getoverrun",
    "timer_gettime",
    "timer_settime",
    // sockets; which families: below
    "accept",
    "accept4",
    "bind",
    "connect",
    "getpeername",
    "getsockname",
    "getsockopt",
    "listen",
    "recv",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "send",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setsockopt",
    "shutdown",
    // System V and POSIX interprocess communication, within the sandbox's own namespace
    "mq_getsetattr",
    "mq_notify",
    "mq_open",
    "mq_timedreceive",
    "mq_timedsend",
    "mq_unlink",
    "msgctl",
    "msgget",
    "msgrcv",
    "msgsnd",
    "semctl",
    "semget",
    "semop",
    "semtimedop",
    "shmat",
    "shmctl",
    "shmdt",
    "shmget",
    // the rest
    "getrandom",
    "landlock_add_rule",
    "landlock_create_ruleset",
    "landlock_restrict_self",
    "sysinfo",
    "uname",
    "riscv_flush_icache",
    "cacheflush",
};

// Known and refused: EPERM reads better than "not implemented", and tests can tell it was us.
static const char *const refused[] = {
    "acct",
    "add_key",
    "adjtimex",
    "bpf",
    "chroot",
    "clock_adjtime",
    "clock_settime",
    "delete_module",
    "execveat",
    "fanotify_init",
    "fanotify_mark",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "init_module",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "ioperm",
    "iopl",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lookup_dcookie",
    "migrate_pages",
    "modify_ldt",
    "mount",
    "mount_setattr",
    "move_mount",
    "move_pages",
    "name_to_handle_at",
    "nfsservctl",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "pidfd_getfd",
    "pivot_root",
    "process_madvise",
    "process_mrelease",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "quotactl",
    "quotactl_fd",
    "reboot",
    "request_key",
    "setdomainname",
    "sethostname",
    "setns",
    "settimeofday",
    "stime",
    "swapoff",
    "swapon",
    "syslog",
    "umount",
    "umount2",
    "unshare",
    "userfaultfd",
    "vhangup",
    "vmsplice",
};

#define NAMESPACE_FLAGS                                                                            \
    ((uint64_t)CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |       \
     CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWTIME)

static int add(scmp_filter_ctx c, uint32_t action, const char *name, unsigned n,
               const struct scmp_arg_cmp *args)
{
    int number = seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR) // newer than this libseccomp: stays ENOSYS
        return 0;
    int r = seccomp_rule_add_array(c, action, number, n, args);
    return r == -EDOM || r == -EEXIST ? 0 : r; // not on this architecture; said already
}

// Calls whose arguments decide.
static int add_conditional(scmp_filter_ctx c, bool tracing)
{
    static const int families[] = {AF_UNIX, AF_INET, AF_INET6};
    static const unsigned personalities[] = {0x0, 0x0008, 0x20000, 0x20008, 0xffffffff};
    struct scmp_arg_cmp a[3];
    int r = 0;
#if defined(__s390x__)
    const unsigned flags_at = 1;
#else
    const unsigned flags_at = 0;
#endif
    a[0] = SCMP_CMP(flags_at, SCMP_CMP_MASKED_EQ, NAMESPACE_FLAGS, 0);
    r = r ? r : add(c, SCMP_ACT_ALLOW, "clone", 1, a);
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        a[0] = SCMP_A0_32(SCMP_CMP_EQ, (uint32_t)families[i]);
        r = r ? r : add(c, SCMP_ACT_ALLOW, "socket", 1, a);
    }
    a[0] = SCMP_A0_32(SCMP_CMP_EQ, AF_NETLINK); // getaddrinfo and the list of interfaces
    a[1] = SCMP_A2_32(SCMP_CMP_EQ, NETLINK_ROUTE);
    r = r ? r : add(c, SCMP_ACT_ALLOW, "socket", 2, a);
    // The others by name, so that programs read "no such family" and fall back.
    for (int family = 0; family < AF_MAX; family++) {
        if (family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_NETLINK)
            continue;
        a[0] = SCMP_A0_32(SCMP_CMP_EQ, (uint32_t)family);
        r = r ? r : add(c, SCMP_ACT_ERRNO(EAFNOSUPPORT), "socket", 1, a);
    }
    for (uint32_t protocol = NETLINK_ROUTE + 1; protocol < MAX_LINKS; protocol++) {
        a[0] = SCMP_A0_32(SCMP_CMP_EQ, AF_NETLINK);
        a[1] = SCMP_A2_32(SCMP_CMP_EQ, protocol);
        r = r ? r : add(c, SCMP_ACT_ERRNO(EPROTONOSUPPORT), "socket", 2, a);
    }
    a[0] = SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX);
    r = r ? r : add(c, SCMP_ACT_ALLOW, "socketpair", 1, a);
    for (size_t i = 0; i < ARRAY_LEN(personalities); i++) {
        a[0] = SCMP_A0_32(SCMP_CMP_EQ, personalities[i]);
        r = r ? r : add(c, SCMP_ACT_ALLOW, "personality", 1, a);
    }
    for (size_t i = 0; tracing && i < 3; i++) {
        static const char *const names[] = {"ptrace", "process_vm_readv", "process_vm_writev"};
        r = r ? r : add(c, SCMP_ACT_ALLOW, names[i], 0, NULL);
    }
    return r;
}

static int fill(scmp_filter_ctx c, bool tracing)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(allowed); i++) {
        if (strcmp(allowed[i], "ioctl") != 0) {
            r = add(c, SCMP_ACT_ALLOW, allowed[i], 0, NULL);
            continue;
        }
        // Typing into somebody's terminal.
        struct scmp_arg_cmp bad = SCMP_A1_32(SCMP_CMP_EQ, TIOCSTI);
        struct scmp_arg_cmp good = SCMP_A1_32(SCMP_CMP_NE, TIOCSTI);
        r = add(c, SCMP_ACT_ALLOW, "ioctl", 1, &good);
        r = r ? r : add(c, SCMP_ACT_ERRNO(EPERM), "ioctl", 1, &bad);
    }
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(refused); i++) {
        if (tracing && (strcmp(refused[i], "ptrace") == 0 ||
                        strncmp(refused[i], "process_vm", strlen("process_vm")) == 0))
            continue;
        r = add(c, SCMP_ACT_ERRNO(EPERM), refused[i], 0, NULL);
    }
    // With a namespace flag: refused, and not "no such call".
    struct scmp_arg_cmp any;
    for (unsigned bit = 0; r == 0 && bit < 64; bit++)
        if (NAMESPACE_FLAGS >> bit & 1) {
#if defined(__s390x__)
            any = SCMP_CMP(1, SCMP_CMP_MASKED_EQ, 1ull << bit, 1ull << bit);
#else
            any = SCMP_CMP(0, SCMP_CMP_MASKED_EQ, 1ull << bit, 1ull << bit);
#endif
            r = add(c, SCMP_ACT_ERRNO(EPERM), "clone", 1, &any);
        }
    return r ? r : add_conditional(c, tracing);
}

// Reads the compiled program back: libseccomp writes it to a descriptor only.
static int export(scmp_filter_ctx c, struct seccomp_filter *f, struct err *err)
{
    _cleanup_close_ int fd = memfd_create("filter", MFD_CLOEXEC);
    if (fd < 0)
        return err_errno(err, errno, "memfd_create");
    int r = seccomp_export_bpf(c, fd);
    if (r < 0)
        return err_errno(err, -r, "compile the system call filter");
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_errno(err, errno, "fstat");
    size_t bytes = (size_t)st.st_size, n = bytes / sizeof(struct sock_filter);
    if (n == 0 || n > BPF_MAXINSNS)
        return err_set(err, -E2BIG, "the system call filter has %zu instructions", n);
    f->program = malloc(bytes);
    if (!f->program)
        return err_set(err, -ENOMEM, "out of memory");
    ssize_t got = fd_pread_full(fd, f->program, bytes, 0);
    if (got != (ssize_t)bytes)
        return err_set(err, -EIO, "the system call filter cannot be read back");
    f->n = (unsigned short)n;
    return 0;
}

int seccomp_filter_build(struct seccomp_filter *f, bool tracing, struct err *err)
{
    *f = (struct seccomp_filter){0};
    scmp_filter_ctx c = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    if (!c)
        return err_set(err, -ENOMEM, "out of memory");
    seccomp_attr_set(c, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    seccomp_attr_set(c, SCMP_FLTATR_CTL_OPTIMIZE, 2); // binary tree: the same cost for each call
    int r = fill(c, tracing);
    if (r < 0)
        err_errno(err, -r, "build the system call filter");
    else
        r = export(c, f, err);
    seccomp_release(c);
    if (r < 0)
        seccomp_filter_finish(f);
    return r;
}

void seccomp_filter_finish(struct seccomp_filter *f)
{
    free(f->program);
    *f = (struct seccomp_filter){0};
}

int seccomp_filter_install(const struct seccomp_filter *f)
{
    struct sock_fprog p = {.len = f->n, .filter = f->program};
    // The flag keeps speculation mitigations at the system's default: they cost much, and the
    // processes inside one sandbox have nothing to hide from each other.
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &p) == 0)
        return 0;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p, 0, 0) < 0 ? -errno : 0;
}
