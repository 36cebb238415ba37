// power.c - attempts to gain privileges, leave the namespaces, or call what must not be called.
#include "attempts.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// A system call by number with up to five arguments.
#define TRY(...)                                                                                   \
    do {                                                                                           \
        outcome(syscall(__VA_ARGS__));                                                             \
    } while (0)

static void become_root(void)
{
    TRY(SYS_setuid, 0);
}

static void become_root_group(void)
{
    TRY(SYS_setresgid, 0, 0, 0);
}

// Executed again by a file with the set-user-id bit: who are we then?
static void run_setuid_file(void)
{
    if (getenv("AGAIN"))
        outcome_was(geteuid() == 0 ? 0 : -1, EPERM);
    setenv("AGAIN", "1", 1);
    char path[512];
    snprintf(path, sizeof(path), "%s/setuid", setting("LAMBDA_TASK_ROOT"));
    execl(path, "setuid", "run_setuid_file", NULL);
    outcome(-1);
}

static void have_capabilities(void)
{
    char line[256];
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof(line), f))
        if (strncmp(line, "Cap", 3) == 0 && strtoull(line + 8, NULL, 16) != 0)
            succeeded("%.6s", line);
    failed("none");
}

static void gain_by_exec(void)
{
    outcome_was(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? -1 : 0, EPERM);
}

static void unshare_users(void)
{
    TRY(SYS_unshare, CLONE_NEWUSER);
}

static void unshare_mounts(void)
{
    TRY(SYS_unshare, CLONE_NEWNS);
}

static void unshare_network(void)
{
    TRY(SYS_unshare, CLONE_NEWNET);
}

static void clone_users(void)
{
    long r = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (r == 0)
        _exit(0);
    outcome(r);
}

static void clone3_users(void)
{
    uint64_t args[8] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD, 0, 0, 0};
    long r = syscall(SYS_clone3, args, sizeof(args));
    if (r == 0)
        _exit(0);
    outcome(r);
}

static void enter_namespace(void)
{
    int fd = open("/proc/self/ns/uts", O_RDONLY);
    TRY(SYS_setns, fd, 0);
}

static void mount_tmpfs(void)
{
    unshare(CLONE_NEWNS); // where that works, the host keeps its mounts
    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    outcome(mount("tmpfs", "/tmp", "tmpfs", 0, NULL));
}

static void remount_writable(void)
{
    unshare(CLONE_NEWNS);
    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    outcome(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL));
}

static void share_mounts(void)
{
    unshare(CLONE_NEWNS);
    outcome(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL));
}

static void unmount_proc(void)
{
    unshare(CLONE_NEWNS);
    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    outcome(umount2("/proc", MNT_DETACH));
}

// The way to release agents and limits, for who may mount.
static void mount_cgroup(void)
{
    unshare(CLONE_NEWNS);
    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    outcome(mount("cgroup2", "/tmp", "cgroup2", 0, NULL));
}

// What is mounted later must not show up on the host.
static void share_to_host(void)
{
    unshare(CLONE_NEWNS);
    outcome(mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL));
}

static void open_filesystem(void)
{
    TRY(SYS_fsopen, "tmpfs", 0);
}

static void copy_mounts(void)
{
    TRY(SYS_open_tree, AT_FDCWD, "/", 1 | 0x8000);
}

static void change_root(void)
{
    TRY(SYS_chroot, "/");
}

static void pivot(void)
{
    // Never works on the host either without preparation: EINVAL there, EPERM inside.
    TRY(SYS_pivot_root, "/", "/");
}

static void trace_init(void)
{
    outcome(ptrace(PTRACE_ATTACH, 1, 0, 0));
}

static void trace_child(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    long r = ptrace(PTRACE_ATTACH, pid, 0, 0);
    int e = errno;
    kill(pid, SIGKILL);
    outcome_was(r, e);
}

static void read_process_memory(void)
{
    char from = 1, to = 0;
    struct iovec l = {&to, 1}, r = {&from, 1};
    TRY(SYS_process_vm_readv, getpid(), &l, 1, &r, 1, 0);
}

static void steal_descriptor(void)
{
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    TRY(SYS_pidfd_getfd, fd, 0, 0);
}

static void use_keyring(void)
{
    TRY(SYS_keyctl, 0 /* GET_KEYRING_ID */, -2 /* process */, 1);
}

static void add_key(void)
{
    TRY(SYS_add_key, "user", "lambkin", "x", 1, -2);
}

static void load_bpf(void)
{
    char attributes[128] = {0};
    attributes[0] = 2;  // array
    attributes[4] = 4;  // key
    attributes[8] = 4;  // value
    attributes[12] = 1; // entries
    TRY(SYS_bpf, 0 /* MAP_CREATE */, attributes, sizeof(attributes));
}

static void use_io_uring(void)
{
    char parameters[256] = {0};
    TRY(SYS_io_uring_setup, 1, parameters);
}

static void use_userfaultfd(void)
{
    TRY(SYS_userfaultfd, O_CLOEXEC);
}

static void use_perf(void)
{
    char attributes[128] = {0};
    attributes[0] = 1;   // software
    attributes[4] = 112; // size
    TRY(SYS_perf_event_open, attributes, 0, -1, -1, 0);
}

static void load_kernel(void)
{
    TRY(SYS_kexec_load, 0, 0, NULL, 0);
}

static void load_module(void)
{
    TRY(SYS_init_module, "x", 1, "");
}

static void remove_module(void)
{
    TRY(SYS_delete_module, "lambkin_not_there", O_NONBLOCK);
}

static void set_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    TRY(SYS_clock_settime, CLOCK_REALTIME, &t);
}

static void set_time_of_day(void)
{
    struct timeval t;
    gettimeofday(&t, NULL);
    TRY(SYS_settimeofday, &t, NULL);
}

static void set_host_name(void)
{
    TRY(SYS_sethostname, "owned", 5);
}

static void reboot_host(void)
{
    TRY(SYS_reboot, 0xfee1dead, 672274793, 0 /* Ctrl-Alt-Del off */, NULL);
}

static void swap_on(void)
{
    TRY(SYS_swapon, "/tmp/nothing", 0);
}

static void account(void)
{
    TRY(SYS_acct, NULL);
}

static void set_quota(void)
{
    TRY(SYS_quotactl, 0, NULL, 0, NULL);
}

static void read_kernel_log(void)
{
    TRY(SYS_syslog, 10 /* SIZE_BUFFER */, NULL, 0);
}

static void port_access(void)
{
#ifdef SYS_ioperm
    TRY(SYS_ioperm, 0x80, 1, 1);
#else
    failed("EPERM");
#endif
}

static void open_by_handle(void)
{
    int mount_id;
    union {
        struct file_handle h;
        char room[256];
    } u = {.h = {.handle_bytes = 128}};
    TRY(SYS_name_to_handle_at, AT_FDCWD, "/", &u, &mount_id, 0);
}

static void no_randomisation(void)
{
    TRY(SYS_personality, 0x0040000);
}

static void type_into_terminal(void)
{
    char c = 'x';
    TRY(SYS_ioctl, 0, TIOCSTI, &c);
}

static void execute_at(void)
{
    char *argv[] = {(char *)(uintptr_t) "x", NULL};
    char *envp[] = {NULL};
    int fd = open("/proc/self/exe", O_RDONLY);
    if (getenv("AGAIN") == NULL)
        setenv("AGAIN", "1", 1);
    TRY(SYS_execveat, fd, "", argv, envp, AT_EMPTY_PATH);
}

// A program in memory with the set-user-id bit.
static void execute_memory(void)
{
    char chunk[65536], path[64];
    if (getenv("AGAIN"))
        outcome_was(geteuid() == 0 ? 0 : -1, EPERM);
    int in = open("/proc/self/exe", O_RDONLY), out = memfd_create("x", 0);
    ssize_t n;
    while ((n = read(in, chunk, sizeof(chunk))) > 0)
        if (write(out, chunk, (size_t)n) != n)
            outcome(-1);
    fchmod(out, 06755);
    close(in);
    setenv("AGAIN", "1", 1);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", out);
    execl(path, "x", "execute_memory", NULL);
    outcome(-1);
}

static void other_architecture(void)
{
#ifdef __x86_64__
    pid_t pid = fork();
    if (pid == 0) {
        long r;
        __asm__ volatile("int $0x80" : "=a"(r) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
        _exit(r > 0 ? 10 : 1); // getpid by its 32-bit number
    }
    int status;
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status))
        failed("SIG%s", sigabbrev_np(WTERMSIG(status)));
    if (WEXITSTATUS(status) == 10)
        succeeded("getpid");
    failed("ENOSYS");
#else
    failed("SIGSYS");
#endif
}

static void kill_init(void)
{
    int r = kill(1, SIGKILL), e = errno;
    usleep(20000);
    if (r == 0) // the signal was accepted: pid 1 of a namespace does not take it, and we live
        failed("ignored");
    outcome_was(r, e);
}

static void kill_everybody(void)
{
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            pause();
    kill(-1, SIGKILL); // spares the caller
    waitpid(pid, NULL, 0);
    failed("only ourselves");
}

static void dump_core(void)
{
    struct rlimit l = {RLIM_INFINITY, RLIM_INFINITY};
    outcome(setrlimit(RLIMIT_CORE, &l));
}

static void more_descriptors(void)
{
    struct rlimit l = {65536, 65536};
    outcome(setrlimit(RLIMIT_NOFILE, &l));
}

static void higher_priority(void)
{
    outcome(setpriority(PRIO_PROCESS, 0, -10));
}

static void realtime(void)
{
    struct sched_param p = {.sched_priority = 1};
    outcome(sched_setscheduler(0, SCHED_FIFO, &p));
}

static void lift_filter(void)
{
    // Another filter that allows everything does not lift the first one.
    struct {
        uint16_t code;
        uint8_t jt, jf;
        uint32_t k;
    } allow = {0x06, 0, 0, 0x7fff0000};
    struct {
        unsigned short len;
        void *filter;
    } program = {1, &allow};
    prctl(PR_SET_SECCOMP, 2, &program, 0, 0);
    TRY(SYS_unshare, CLONE_NEWUSER);
}

const struct attempt power_attempts[] = {
    {"become_root", become_root},
    {"become_root_group", become_root_group},
    {"run_setuid_file", run_setuid_file},
    {"have_capabilities", have_capabilities},
    {"gain_by_exec", gain_by_exec},
    {"unshare_users", unshare_users},
    {"unshare_mounts", unshare_mounts},
    {"unshare_network", unshare_network},
    {"clone_users", clone_users},
    {"clone3_users", clone3_users},
    {"enter_namespace", enter_namespace},
    {"mount_tmpfs", mount_tmpfs},
    {"remount_writable", remount_writable},
    {"share_mounts", share_mounts},
    {"unmount_proc", unmount_proc},
    {"mount_cgroup", mount_cgroup},
    {"share_to_host", share_to_host},
    {"open_filesystem", open_filesystem},
    {"copy_mounts", copy_mounts},
    {"change_root", change_root},
    {"pivot", pivot},
    {"trace_init", trace_init},
    {"trace_child", trace_child},
    {"read_process_memory", read_process_memory},
    {"steal_descriptor", steal_descriptor},
    {"use_keyring", use_keyring},
    {"add_key", add_key},
    {"load_bpf", load_bpf},
    {"use_io_uring", use_io_uring},
    {"use_userfaultfd", use_userfaultfd},
    {"use_perf", use_perf},
    {"load_kernel", load_kernel},
    {"load_module", load_module},
    {"remove_module", remove_module},
    {"set_clock", set_clock},
    {"set_time_of_day", set_time_of_day},
    {"set_host_name", set_host_name},
    {"reboot_host", reboot_host},
    {"swap_on", swap_on},
    {"account", account},
    {"set_quota", set_quota},
    {"read_kernel_log", read_kernel_log},
    {"port_access", port_access},
    {"open_by_handle", open_by_handle},
    {"no_randomisation", no_randomisation},
    {"type_into_terminal", type_into_terminal},
    {"execute_at", execute_at},
    {"execute_memory", execute_memory},
    {"other_architecture", other_architecture},
    {"kill_init", kill_init},
    {"kill_everybody", kill_everybody},
    {"dump_core", dump_core},
    {"more_descriptors", more_descriptors},
    {"higher_priority", higher_priority},
    {"realtime", realtime},
    {"lift_filter", lift_filter},
    {0},
};
