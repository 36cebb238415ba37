// share.c - attempts to take more than a share: memory, processes, descriptors, disk, time.
#include "attempts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mqueue.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// Children that stay; the end of this program ends them with the sandbox.
static void fork_bomb(void)
{
    int n = 0;
    for (; n < 20000; n++) {
        pid_t pid = fork();
        if (pid < 0)
            failed("%s%s", strerrorname_np(errno), n <= 64 ? " within 64" : "");
        if (pid == 0) {
            pause();
            _exit(0);
        }
    }
    succeeded("%d processes", n);
}

// Children that fork as well, all the time.
static void fork_flood(void)
{
    for (int i = 0; i < 32; i++)
        if (fork() == 0)
            for (;;)
                if (fork() == 0)
                    continue;
    usleep(200000);
    failed("bounded");
}

static void eat_memory(void)
{
    for (size_t mb = 0; mb < 400; mb++) {
        char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            failed("%s", strerrorname_np(errno));
        memset(p, 1, 1 << 20);
    }
    succeeded("400 MB");
}

// Memory as files, which no process owns.
static _Noreturn void fill_file(const char *path, size_t max_mb)
{
    static char mb[1 << 20];
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    if (fd < 0)
        outcome(-1);
    memset(mb, 1, sizeof(mb));
    for (size_t i = 0; i < max_mb; i++)
        if (write(fd, mb, sizeof(mb)) != (ssize_t)sizeof(mb)) {
            int e = errno;
            unlink(path);
            failed("%s", i == 0 || e == 0 ? "ENOSPC" : strerrorname_np(e));
        }
    unlink(path);
    succeeded("%zu MB", max_mb);
}

static void fill_tmp(void)
{
    fill_file("/tmp/hostile-file", 48); // the test asks for 16 MB
}

static void fill_shm(void)
{
    fill_file("/dev/shm/hostile-file", 96);
}

static void fill_inodes(void)
{
    char path[64];
    int e = 0, n = 0;
    for (; n < 5000 && e == 0; n++) {
        snprintf(path, sizeof(path), "/tmp/hostile-%d-%d", getpid(), n);
        int fd = open(path, O_WRONLY | O_CREAT, 0600);
        e = fd < 0 ? errno : 0;
        close(fd);
    }
    while (n-- > 0) {
        snprintf(path, sizeof(path), "/tmp/hostile-%d-%d", getpid(), n);
        unlink(path);
    }
    if (e)
        failed("%s", strerrorname_np(e));
    succeeded("5000 files");
}

static void fill_descriptors(void)
{
    for (int i = 0; i < 100000; i++)
        if (dup(1) < 0)
            failed("%s%s", strerrorname_np(errno), i <= 1024 ? " within 1024" : "");
    succeeded("100000 descriptors");
}

static void grow_pipe(void)
{
    int p[2];
    if (pipe(p) < 0)
        outcome(-1);
    outcome(fcntl(p[1], F_SETPIPE_SZ, 8 << 20));
}

// A user's pipes together have a limit of pages.
static void fill_pipes(void)
{
    int most = 0;
    for (int i = 0; i < 200; i++) {
        int p[2];
        if (pipe(p) < 0 || (most = fcntl(p[1], F_SETPIPE_SZ, 1 << 20)) < 0)
            failed("%s", strerrorname_np(errno));
    }
    succeeded("200 pipes of %d bytes", most);
}

// Memory that no process has mapped.
static void eat_by_memfd(void)
{
    static char mb[1 << 20];
    int fd = memfd_create("hostile", 0);
    memset(mb, 1, sizeof(mb));
    for (int i = 0; i < 400; i++)
        if (write(fd, mb, sizeof(mb)) != (ssize_t)sizeof(mb))
            failed("%s", strerrorname_np(errno));
    succeeded("400 MB");
}

static void fill_inotify(void)
{
    for (int i = 0; i < 1000; i++)
        if (inotify_init1(0) < 0)
            failed("%s", strerrorname_np(errno));
    succeeded("1000 instances");
}

static void fill_timers(void)
{
    for (int i = 0; i < 100000; i++) {
        timer_t t;
        if (timer_create(CLOCK_MONOTONIC, NULL, &t) < 0)
            failed("%s", strerrorname_np(errno));
    }
    succeeded("100000 timers");
}

static void fill_signals(void)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    for (int i = 0; i < 100000; i++)
        if (sigqueue(getpid(), SIGRTMIN, (union sigval){0}) < 0)
            failed("%s", strerrorname_np(errno));
    succeeded("100000 signals");
}

static void fill_queues(void)
{
    struct mq_attr a = {.mq_maxmsg = 10, .mq_msgsize = 8192};
    for (int i = 0; i < 64; i++) {
        char name[32];
        snprintf(name, sizeof(name), "/hostile-%d", i);
        mqd_t q = mq_open(name, O_CREAT | O_RDWR, 0600, &a);
        int e = errno;
        if (q != (mqd_t)-1)
            mq_unlink(name);
        else
            failed("%s", strerrorname_np(e));
    }
    succeeded("64 queues");
}

static void lock_memory(void)
{
    void *p = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    outcome(mlock(p, 4 << 20));
}

// Threads count as processes.
static int idle_thread(void *unused)
{
    (void)unused;
    pause();
    return 0;
}

static void thread_bomb(void)
{
    int n = 0;
    for (; n < 20000; n++) {
        char *stack = mmap(NULL, 16384, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
        if (stack == MAP_FAILED ||
            clone(idle_thread, stack + 16384,
                  CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, NULL) < 0)
            failed("%s%s", strerrorname_np(errno), n <= 64 ? " within 64" : "");
    }
    succeeded("%d threads", n);
}

// What dies must not leave its memory on a disk.
static void leave_core(void)
{
    struct rlimit l = {RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_CORE, &l);
    pid_t pid = chdir("/tmp") < 0 ? -1 : fork();
    if (pid == 0)
        abort();
    int status = 0;
    waitpid(pid, &status, 0);
    if (WCOREDUMP(status))
        succeeded("dumped");
    failed("no core");
}

static void flood_log(void)
{
    static char line[4096];
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    for (int i = 0; i < 4096; i++)
        if (write(1, line, sizeof(line)) < 0)
            break;
    failed("drained");
}

// A daemon that means to stay after its sandbox.
static void outlive(void)
{
    if (fork() == 0) {
        setsid();
        signal(SIGTERM, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        if (fork() > 0)
            _exit(0);
        for (;;)
            pause();
    }
    usleep(20000);
    failed("left behind");
}

static void stop_everything(void)
{
    printf("failed: stopped\n");
    fflush(stdout);
    kill(getpid(), SIGSTOP);
    for (;;)
        pause();
}

static void ignore_signals(void)
{
    for (int s = 1; s < 32; s++)
        signal(s, SIG_IGN);
    printf("failed: killed\n");
    fflush(stdout);
    for (;;)
        pause();
}

static void spin(void)
{
    printf("failed: killed\n");
    fflush(stdout);
    for (;;)
        ;
}

const struct attempt share_attempts[] = {
    {"fork_bomb", fork_bomb},
    {"fork_flood", fork_flood},
    {"thread_bomb", thread_bomb},
    {"eat_memory", eat_memory},
    {"fill_tmp", fill_tmp},
    {"fill_shm", fill_shm},
    {"fill_inodes", fill_inodes},
    {"fill_descriptors", fill_descriptors},
    {"grow_pipe", grow_pipe},
    {"fill_pipes", fill_pipes},
    {"eat_by_memfd", eat_by_memfd},
    {"leave_core", leave_core},
    {"fill_inotify", fill_inotify},
    {"fill_timers", fill_timers},
    {"fill_signals", fill_signals},
    {"fill_queues", fill_queues},
    {"lock_memory", lock_memory},
    {"flood_log", flood_log},
    {"outlive", outlive},
    {"stop_everything", stop_everything},
    {"ignore_signals", ignore_signals},
    {"spin", spin},
    {0},
};
