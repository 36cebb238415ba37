// pid1.c - see pid1.h. Set-up makes only async-signal-safe calls: it follows clone directly.
//
// Order matters: join cgroups (paths of the host), namespaces and root (needs power), descriptors,
// limits, then drop power, then Landlock and seccomp (need no_new_privs), then programs.
#include "sandbox/pid1.h"

#include "sandbox/kernel.h"
#include "sandbox/landlock.h"
#include "sandbox/protocol.h"

#include "base/cleanup.h"
#include "os/fd.h"
#include "os/message.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define CHANNEL_FD 3 // where the channel lies once set up
#define PROGRAMS 32  // known programs at a time: the runtime, ten extensions, room

static char room[PROTOCOL_MAX_BYTES]; // a message in, decoded in place
static char answer[1024];

static struct program {
    pid_t pid;
    uint32_t number; // 0: free
} programs[PROGRAMS];

// ---- answers ----

static void say(enum protocol_kind kind, uint32_t a, uint32_t b, const char *text)
{
    struct protocol_writer w;
    protocol_begin(&w, answer, kind, 0, 0);
    protocol_put_u32(&w, a);
    protocol_put_u32(&w, b);
    protocol_put_text(&w, text);
    ssize_t n = protocol_end(&w);
    while (n > 0 && send(CHANNEL_FD, answer, (size_t)n, MSG_NOSIGNAL) < 0 && errno == EINTR)
        ;
}

static _Noreturn void fail(int channel, const char *step, int r)
{
    if (channel != CHANNEL_FD)
        dup2(channel, CHANNEL_FD);
    say(PID1_FAILED, (uint32_t)-r, 0, step);
    _exit(1);
}

// ---- set-up ----

static int join_cgroups(const struct pid1_setup *s)
{
    for (unsigned i = 0; i < s->n_procs; i++)
        if (write(s->procs[i], "0", 1) < 0)
            return -errno;
    return 0;
}

static int limit(int what, rlim_t value)
{
    struct rlimit now;
    if (getrlimit((__rlimit_resource_t)what, &now) < 0)
        return -errno;
    if (now.rlim_max != RLIM_INFINITY && value > now.rlim_max)
        value = now.rlim_max;
    struct rlimit l = {value, value};
    return setrlimit((__rlimit_resource_t)what, &l) < 0 ? -errno : 0;
}

static int set_limits(const struct pid1_setup *s)
{
    static const struct {
        int what;
        rlim_t value;
    } limits[] = {
        {RLIMIT_CORE, 0},         {RLIMIT_NOFILE, 1024},      {RLIMIT_RTPRIO, 0},
        {RLIMIT_MSGQUEUE, 65536}, {RLIMIT_MEMLOCK, 64 << 10}, {RLIMIT_SIGPENDING, 1024},
    };
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        int r = limit(limits[i].what, limits[i].value);
        if (r < 0)
            return r;
    }
    // Counted per user across sandboxes, so only where no cgroup counts per sandbox.
    return s->memory_counted ? 0 : limit(RLIMIT_NPROC, 4096);
}

// A program that gets its event wakes up on the core of the server that has just written it. With
// the default policy it would take the core at once, in the middle of the server's work, and give
// it back a moment later: one and a half changes of process for each invocation under load, a fifth
// of the throughput. Batch programs wait until the server sleeps; their share of the time is the
// same.
static void yield_to_server(void)
{
    const struct sched_param none = {0};
    sched_setscheduler(0, SCHED_BATCH, &none); // where it is refused it is only slower
}

// Descriptors 0 to 3, and nothing else: /dev/null, the output twice, the channel.
static int arrange_descriptors(const struct pid1_setup *s)
{
    // Out of the way first: any of them may lie on a number that is wanted.
    int channel = fcntl(s->channel, F_DUPFD, 10), output = fcntl(s->output, F_DUPFD, 10);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (channel < 0 || output < 0 || null < 0)
        return -errno;
    if (dup2(null, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0 ||
        dup3(channel, CHANNEL_FD, O_CLOEXEC) < 0)
        return -errno;
    if (syscall(SYS_close_range, 4, ~0U, 0) < 0)
        for (int fd = 4; fd < 65536; fd++)
            close(fd);
    return 0;
}

// Nothing is left but changing to the programs' user and killing them.
static int drop_power(const struct pid1_setup *s)
{
    for (int c = 0; c < 64; c++) // EPERM: nothing to drop without privilege
        if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0 && errno != EINVAL && errno != EPERM)
            return -errno;
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct d[2] = {{0}, {0}};
    if (s->uid) {
        struct __user_cap_data_struct now[2];
        if (syscall(SYS_capget, &h, now) < 0)
            return -errno;
        d[0].effective = d[0].permitted =
            now[0].permitted & ((1u << CAP_SETUID) | (1u << CAP_SETGID) | (1u << CAP_KILL));
    }
    return syscall(SYS_capset, &h, d) < 0 ? -errno : 0;
}

static int confine(const struct pid1_setup *s, const char **step)
{
    static const char *const anything[] = {"/", NULL};
    static const char *const writable[] = {"/tmp", "/dev", "/proc", NULL};
    int r;
    *step = "drop capabilities";
    r = drop_power(s);
    if (r < 0)
        return r;
    *step = "set no_new_privs";
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    *step = "confine by Landlock";
    if (s->landlock_abi > 0) {
        r = landlock_confine(s->landlock_abi, s->readable ? s->readable : anything,
                             s->writable ? s->writable : writable);
        if (r < 0)
            return r;
    }
    *step = "install the system call filter";
    if (s->filter) {
        r = seccomp_filter_install(s->filter);
        if (r < 0)
            return r;
    }
    // Unreachable through /proc for its own children, which may share its user.
    *step = "become undumpable";
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
}

// A file that nobody sees, in the sandbox's /tmp: it can be asked how full that is, and nothing
// else.
static int open_gauge(void)
{
    char path[40];
    _cleanup_close_ int fd = open("/tmp", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, O_PATH | O_CLOEXEC);
}

// The keeper will mount code here later, and may not look this namespace up in /proc by then.
static int hand_over_mounts(int channel)
{
    struct protocol_writer w;
    _cleanup_close_ int mounts = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    _cleanup_close_ int gauge = open_gauge();
    const int fds[] = {mounts, gauge};
    if (mounts < 0)
        return -errno;
    protocol_begin(&w, answer, PID1_MOUNTS, 0, 0);
    protocol_put_u32(&w, 0);
    protocol_put_u32(&w, 0);
    protocol_put_text(&w, "");
    return message_send(channel, answer, (size_t)protocol_end(&w), fds, gauge < 0 ? 1 : 2, NULL);
}

// Until it comes nothing of the keeper's may be held open by us.
static int await_image(const struct pid1_setup *s)
{
    int fd = -1;
    unsigned n_fds = 1;
    int r = arrange_descriptors(s);
    if (r < 0)
        return r;
    ssize_t n = message_receive(CHANNEL_FD, room, sizeof(room), &fd, &n_fds, NULL);
    return n > 0 && n_fds == 1 ? fd : -EPIPE;
}

static int set_up(const struct pid1_setup *s, const char **step)
{
    int channel = s->channel, image = s->image;
    char go;
    int r;
    *step = "wait for the user map";
    if (s->await_users && read(s->channel, &go, 1) != 1)
        return -EPIPE;
    *step = "join the cgroups";
    r = join_cgroups(s);
    if (r < 0)
        return r;
    if (s->cgroup_space)
        unshare(CLONE_NEWCGROUP); // without it the sandbox can read its own group's name
    if (s->spaces) {
        *step = "set the host name";
        if (sethostname("localhost", 9) < 0 || setdomainname("", 0) < 0)
            return -errno;
    } else {
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); // pid 1's part without being it
    }
    if (s->await_image) {
        *step = "wait for the image";
        image = await_image(s);
        if (image < 0)
            return image;
        channel = CHANNEL_FD;
    }
    if (s->root) {
        r = root_enter(s->root, s->slot, image, step);
        if (r < 0)
            return r;
        *step = "hand over the mount namespace";
        r = hand_over_mounts(channel);
        if (r < 0)
            return r;
    }
    *step = "arrange descriptors";
    if (s->await_image)
        close(image);
    else
        r = arrange_descriptors(s);
    if (r < 0)
        return r;
    umask(022);
    setsid();
    yield_to_server();
    if (!s->confine)
        return 0;
    *step = "set limits";
    r = set_limits(s);
    return r < 0 ? r : confine(s, step);
}

// ---- programs ----

struct launch {
    char *const *argv, *const *envp;
    const char *cwd;
    int control; // or -1
    int output;  // of its own, or -1: the sandbox's
    unsigned uid;
};

// When memory runs out it is a program that goes, and not pid 1, nor anything of the host's. Where
// pid 1 may not write that any more (rootless), the kernel chooses by size alone.
static void prefer_to_kill(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = write(fd, "1000", 4);
    (void)n;
    close(fd);
}

// In the child of vfork: only system calls, and nothing of the parent's memory is changed but err.
static void become(const struct launch *l, volatile int *error)
{
    sigset_t none;
    sigemptyset(&none);
    for (int sig = 1; sig < NSIG; sig++)
        if (sig != SIGKILL && sig != SIGSTOP)
            signal(sig, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    if (l->control >= 0 && dup2(l->control, SANDBOX_CONTROL_FD) < 0) {
        *error = errno;
        return;
    }
    if (l->output >= 0 && (dup2(l->output, 1) < 0 || dup2(l->output, 2) < 0)) {
        *error = errno;
        return;
    }
    prefer_to_kill();
    if (l->uid) {
        // Raw calls: the C library's wrappers would talk to the threads of the parent.
        unsigned id = l->uid;
        if (syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, id, id, id) < 0 ||
            syscall(SYS_setresuid, id, id, id) < 0) {
            *error = errno;
            return;
        }
    }
    if (chdir(l->cwd) < 0 && chdir("/") < 0) {
        *error = errno;
        return;
    }
    execve(l->argv[0], l->argv, l->envp);
    *error = errno;
}

static pid_t launch(const struct launch *l, volatile int *error)
{
    *error = 0;
    pid_t pid = vfork();
    if (pid == 0) {
        become(l, error);
        _exit(127);
    }
    return pid;
}

static void execute(const struct pid1_setup *s, struct protocol_reader *r, int fd)
{
    static struct sandbox_program p;
    static const char *argv[SANDBOX_MAX_ARGS + 1], *env[SANDBOX_MAX_ENV + 1];
    uint32_t number = protocol_get_u32(r), gift = protocol_get_u32(r);
    protocol_get_program(r, &p);
    if (protocol_close(r) < 0 || p.n_argv == 0)
        _exit(2);
    memcpy(argv, p.argv, p.n_argv * sizeof(argv[0]));
    memcpy(env, p.env, p.n_env * sizeof(env[0]));
    argv[p.n_argv] = env[p.n_env] = NULL;
    struct program *free_one = NULL;
    for (size_t i = 0; i < PROGRAMS && !free_one; i++)
        if (!programs[i].number)
            free_one = &programs[i];
    if (!free_one) {
        say(PID1_EXEC_FAILED, number, EAGAIN, argv[0]);
        return;
    }
    const struct launch l = {.argv = (char *const *)argv,
                             .envp = (char *const *)env,
                             .cwd = p.cwd && p.cwd[0] ? p.cwd : "/",
                             .control = gift == PID1_GIFT_CONTROL ? fd : -1,
                             .output = gift == PID1_GIFT_OUTPUT ? fd : -1,
                             .uid = s->uid};
    volatile int error;
    pid_t pid = launch(&l, &error);
    if (pid > 0 && error == 0) {
        *free_one = (struct program){pid, number};
        return;
    }
    int why = pid < 0 ? errno : error;
    if (pid > 0)
        waitpid(pid, NULL, 0);
    say(PID1_EXEC_FAILED, number, (uint32_t)why, argv[0]);
}

// Registering waits for a grace period of the kernel's RCU: a child does it, since the keeper must
// not wait, and our programs' signals and ends must not either.
static void watch_memory(struct protocol_reader *r, const int *fds, unsigned n)
{
    char text[64];
    uint64_t bytes = protocol_get_u64(r);
    if (protocol_close(r) < 0 || n != 3)
        _exit(2);
    int len = snprintf(text, sizeof(text), "%d %d %llu", fds[2], fds[0], (unsigned long long)bytes);
    pid_t pid = fork();
    if (pid > 0)
        return;
    int e = pid < 0 || write(fds[1], text, (size_t)len) < 0 ? errno : 0;
    say(PID1_WATCHING, (uint32_t)e, 0, "");
    if (pid == 0)
        _exit(0);
}

static void signal_programs(uint32_t number, int sig)
{
    for (size_t i = 0; i < PROGRAMS; i++)
        if (programs[i].number && (number == 0 || programs[i].number == number))
            kill(programs[i].pid, sig);
}

// Without a pid namespace: whatever descends from us, until nothing is left.
static void kill_descendants(void)
{
    for (int round = 0; round < 1000; round++) {
        char text[4096];
        _cleanup_close_ int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : fd_read_full(fd, text, sizeof(text) - 1);
        if (n <= 0)
            return;
        text[n] = '\0';
        struct str rest = {text, (size_t)n}, word;
        while (str_next(&rest, ' ', &word)) {
            int64_t pid;
            if (str_to_i64(word, &pid) == 0)
                kill((pid_t)pid, SIGKILL);
        }
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        usleep(1000);
    }
}

static _Noreturn void end(const struct pid1_setup *s)
{
    if (!s->spaces)
        kill_descendants();
    _exit(0);
}

static void reap(void)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (size_t i = 0; i < PROGRAMS; i++)
            if (programs[i].number && programs[i].pid == pid) {
                uint32_t number = programs[i].number;
                programs[i].number = 0;
                say(PID1_EXITED, number, (uint32_t)status, "");
            }
}

// ---- the loop ----

static void order(const struct pid1_setup *s)
{
    int fds[3];
    unsigned n_fds = 3;
    ssize_t n = message_receive(CHANNEL_FD, room, sizeof(room), fds, &n_fds, NULL);
    if (n == -EAGAIN || n == -EINTR)
        return;
    if (n <= 0)
        end(s); // the keeper has gone
    struct protocol_header h;
    struct protocol_reader r;
    if (protocol_open(&r, room, (size_t)n, &h) < 0)
        end(s);
    if (h.kind == PID1_EXEC) {
        execute(s, &r, n_fds ? fds[0] : -1);
    } else if (h.kind == PID1_SIGNAL) {
        uint32_t number = protocol_get_u32(&r);
        int sig = (int)protocol_get_u32(&r);
        if (protocol_close(&r) == 0 && sig > 0 && sig < NSIG)
            signal_programs(number, sig);
    } else if (h.kind == PID1_WATCH) {
        watch_memory(&r, fds, n_fds);
    }
    while (n_fds)
        close(fds[--n_fds]);
}

_Noreturn void pid1_main(const struct pid1_setup *s)
{
    const char *step = "";
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    prctl(PR_SET_NAME, "init", 0, 0, 0);
    int r = set_up(s, &step);
    if (r < 0)
        fail(s->channel, step, r);
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_SETMASK, &child, NULL);
    signal(SIGCHLD, SIG_DFL);
    int children = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    if (children < 0)
        fail(CHANNEL_FD, "signalfd", -errno);
    say(PID1_READY, 0, 0, "");
    for (;;) {
        struct pollfd p[2] = {{CHANNEL_FD, POLLIN, 0}, {children, POLLIN, 0}};
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            end(s);
        if (p[1].revents) {
            struct signalfd_siginfo info;
            while (read(children, &info, sizeof(info)) > 0)
                ;
            reap();
        }
        if (p[0].revents)
            order(s);
    }
}
