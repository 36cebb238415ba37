// stage.c - see stage.h.
#include "stage.h"

#include "base/cleanup.h"
#include "base/hash.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/log.h"
#include "os/message.h"
#include "os/time.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

// ---- the keeper's side ----

static void deny(scmp_filter_ctx c, const char *name, int error)
{
    seccomp_rule_add(c, SCMP_ACT_ERRNO((uint16_t)error), seccomp_syscall_resolve_name(name), 0);
}

static void deny_calls(const struct stage_options *o)
{
    scmp_filter_ctx c = seccomp_init(SCMP_ACT_ALLOW);
    if (o->deny_calls) {
        deny(c, "clone3", ENOSYS);
        deny(c, "openat2", EPERM);
    }
    if (o->deny_namespaces) {
        static const char *const names[] = {"unshare",   "setns",      "mount",
                                            "open_tree", "pivot_root", "clone3"};
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
            deny(c, names[i], EPERM);
        for (unsigned bit = 17; bit < 31; bit++)
            if (0x7e020000u >> bit & 1)
                seccomp_rule_add(c, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                                 SCMP_A0(SCMP_CMP_MASKED_EQ, 1u << bit, 1u << bit));
    }
    if (seccomp_load(c) < 0)
        _exit(99);
    seccomp_release(c);
}

static _Noreturn void keeper_child(struct stage *s, const struct stage_options *o, int fd)
{
    log_init("keeper", LOG_LEVEL_WARN);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (o->uid && (setgroups(0, NULL) < 0 || setresgid(o->uid, o->uid, o->uid) < 0 ||
                   setresuid(o->uid, o->uid, o->uid) < 0))
        _exit(98);
    if (o->uid) // as a login would have it; setresuid cleared it
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    if (o->deny_calls || o->deny_namespaces)
        deny_calls(o);
    _exit(keeper_main(&s->config, fd));
}

// ---- finding interpreters ----

static void find_interpreter(struct stage *s, const char *name, char *out, size_t room)
{
    // The system's own first: one below somebody's home would have to be shown inside.
    char all[8192];
    snprintf(all, sizeof(all), "/usr/bin:/usr/local/bin:%s", getenv("PATH") ? getenv("PATH") : "");
    struct str rest = str_from(all), dir;
    while (str_next(&rest, ':', &dir)) {
        char path[PATH_MAX], real[PATH_MAX];
        snprintf(path, sizeof(path), "%.*s/%s", STR_ARG(dir), name);
        // A pyenv shim is a script that needs its home; what it starts is found by asking it.
        if (strstr(path, "/shims/") || access(path, X_OK) < 0 || !realpath(path, real) ||
            strlen(real) >= room)
            continue;
        snprintf(out, room, "%.*s", (int)room - 1, real);
        s->config.interpreters[s->config.n_interpreters++] = out;
        return;
    }
    out[0] = '\0';
}

// ---- opening ----

static void on_exited(void *ctx, const struct sandbox_exit *e);
static struct stage_run *runs[4096];

static void on_lost(void *ctx)
{
    ((struct stage *)ctx)->lost = true;
}

static bool greeted(void *ctx)
{
    struct stage *s = ctx;
    keeper_degree(s->client, &s->status);
    return s->status.connected || s->lost;
}

static int connect_stage(struct stage *s, const struct stage_options *o)
{
    struct err err = ERR_INIT;
    const struct keeper_events events = {on_exited, on_lost, s};
    int pair[2], client_end[2];
    if (message_pair(pair, &err) < 0)
        return -1;
    fflush(NULL);
    s->keeper = fork();
    if (s->keeper == 0) {
        close(pair[0]);
        keeper_child(s, o, pair[1]);
    }
    close(pair[1]);
    s->main_fd = pair[0];
    int r = message_pair(client_end, &err);
    if (r >= 0)
        r = keeper_attach(s->main_fd, client_end[1], &err);
    if (r >= 0)
        r = keeper_client_open(s->loop, client_end[0], &events, &s->client, &err);
    if (r < 0) {
        fprintf(stderr, "stage: %s\n", err.message);
        return r;
    }
    close(client_end[1]);
    if (!stage_until(s, greeted, s, 60000) || s->lost) {
        fprintf(stderr, "stage: the keeper does not answer\n");
        return -1;
    }
    return 0;
}

struct stage *stage_open(const struct stage_options *o)
{
    struct err err = ERR_INIT;
    struct stage *s = calloc(1, sizeof(*s));
    char path[256];
    umask(022); // other users have to read what is put there
    if (!s || loop_create(&s->loop, &err) < 0)
        return NULL;
    s->next_id = 1;
    snprintf(s->dir, sizeof(s->dir), "/tmp/lambkin-sandbox-XXXXXX");
    if (!mkdtemp(s->dir))
        return NULL;
    chmod(s->dir, 0755);
    snprintf(path, sizeof(path), "%s/code/task", s->dir);
    if (mkdir_p(path, 0755, &err) < 0)
        return NULL;
    snprintf(path, sizeof(path), "%s/run", s->dir);
    mkdir(path, 0755);
    if (o->uid) {
        static const char *const dirs[] = {"", "/code", "/code/task", "/run"};
        for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
            snprintf(path, sizeof(path), "%s%s", s->dir, dirs[i]);
            if (chown(path, o->uid, o->uid) < 0)
                return NULL;
        }
    }
    s->config = (struct keeper_config){.data_dir = s->dir,
                                       .degree = o->degree,
                                       .spare_slots = o->spare_slots ? o->spare_slots : 2};
    find_interpreter(s, "python3", s->python, sizeof(s->python));
    find_interpreter(s, "node", s->node, sizeof(s->node));
    find_interpreter(s, "java", s->java, sizeof(s->java));
    for (size_t i = 0; i < ARRAY_LEN(o->interpreters) && o->interpreters[i]; i++)
        s->config.interpreters[s->config.n_interpreters++] = o->interpreters[i];
    if (connect_stage(s, o) < 0) {
        stage_close(s);
        return NULL;
    }
    return s;
}

int stage_restart(struct stage *s, const struct stage_options *o)
{
    keeper_client_close(s->client);
    s->client = NULL;
    close(s->main_fd);
    waitpid(s->keeper, NULL, 0);
    s->lost = false;
    return connect_stage(s, o);
}

int stage_close(struct stage *s)
{
    int status = 0;
    keeper_client_close(s->client);
    loop_destroy(s->loop);
    close(s->main_fd); // the keeper ends with its main connection
    int64_t until = os_mono_ms() + 30000;
    while (waitpid(s->keeper, &status, WNOHANG) == 0) {
        if (os_mono_ms() > until)
            kill(s->keeper, SIGKILL);
        usleep(1000);
    }
    rm_rf(s->dir, NULL);
    free(s);
    return status;
}

int stage_add(struct stage *s, const char *path, const char *name)
{
    char to[PATH_MAX], chunk[65536];
    snprintf(to, sizeof(to), "%s/code/task/%s", s->dir, name);
    _cleanup_close_ int in = open(path, O_RDONLY | O_CLOEXEC);
    _cleanup_close_ int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    if (in < 0 || out < 0)
        return -errno;
    ssize_t n;
    while ((n = read(in, chunk, sizeof(chunk))) > 0)
        if (fd_write_full(out, chunk, (size_t)n) < 0)
            return -EIO;
    return 0;
}

// ---- running ----

struct turn {
    struct loop_timer timer; // first: the timer's address is the turn's
    struct stage *stage;
    bool (*done)(void *ctx);
    void *ctx;
    int64_t until_ms;
    bool was_done;
};

static struct turn *current;

// After a callback: what is waited for may be there.
static void check(void)
{
    if (current && current->done(current->ctx)) {
        current->was_done = true;
        loop_stop(current->stage->loop);
    }
}

static void drain(struct stage_run *r)
{
    char chunk[16384];
    ssize_t n;
    while (r->s.output_fd >= 0 && (n = read(r->s.output_fd, chunk, sizeof(chunk))) > 0)
        if (r->output.len < 65536)
            buf_add(&r->output, (struct str){chunk, (size_t)n});
}

static void on_started(void *ctx, uint64_t id, int r, struct sandbox_started *started,
                       const struct err *err)
{
    struct stage_run *run = ctx;
    (void)id;
    run->started = true;
    run->error = r;
    if (r < 0) {
        run->err = *err;
        run->gone = true;
        check();
        return;
    }
    run->s = *started;
    *started = SANDBOX_STARTED_NOTHING;
    check();
}

static void on_exited(void *ctx, const struct sandbox_exit *e)
{
    (void)ctx;
    struct stage_run *r = runs[e->id % ARRAY_LEN(runs)];
    if (!r)
        return;
    if (e->program == 1)
        r->program = *e;
    if (e->program > 1)
        r->other = *e;
    if (e->program == 0) {
        r->sandbox = *e;
        r->gone = true;
    }
    check();
}

static void look(struct loop_timer *timer)
{
    struct turn *t = (struct turn *)timer;
    t->was_done = t->was_done || t->done(t->ctx);
    if (t->was_done || os_mono_ms() >= t->until_ms || t->stage->lost)
        loop_stop(t->stage->loop);
    else
        loop_timer_start(t->stage->loop, timer, 1, look);
}

bool stage_until(struct stage *s, bool (*done)(void *ctx), void *ctx, int deadline_ms)
{
    struct turn t = {.stage = s, .done = done, .ctx = ctx, .until_ms = os_mono_ms() + deadline_ms};
    loop_timer_start(s->loop, &t.timer, 0, look);
    current = &t;
    loop_run(s->loop);
    current = NULL;
    loop_timer_stop(s->loop, &t.timer);
    return t.was_done;
}

static bool run_started(void *ctx)
{
    return ((struct stage_run *)ctx)->started;
}

bool stage_run_gone(void *ctx)
{
    struct stage_run *r = ctx;
    drain(r);
    return r->gone;
}

static void describe(const struct stage_run *r, struct sandbox_spec *to)
{
    struct sandbox_spec spec = *to;
    spec.binding.code_dir = "task";
    if (r->memory_mb)
        spec.binding.memory_mb = r->memory_mb;
    if (r->tmp_mb)
        spec.binding.tmp_mb = r->tmp_mb;
    if (r->pids)
        spec.binding.pids = r->pids;
    while (spec.program.n_argv < ARRAY_LEN(r->argv) && r->argv[spec.program.n_argv]) {
        spec.program.argv[spec.program.n_argv] = r->argv[spec.program.n_argv];
        spec.program.n_argv++;
    }
    spec.program.env[spec.program.n_env++] = "PATH=/usr/local/bin:/usr/bin:/bin:/opt/bin";
    spec.program.env[spec.program.n_env++] = "LAMBDA_TASK_ROOT=/var/task";
    spec.program.env[spec.program.n_env++] = "AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001";
    for (size_t i = 0; i < ARRAY_LEN(r->env) && r->env[i]; i++)
        spec.program.env[spec.program.n_env++] = r->env[i];
    *to = spec;
}

void stage_begin(struct stage *s, struct stage_run *r)
{
    struct sandbox_spec spec;
    sandbox_spec_init(&spec);
    if (r->spec)
        spec = *r->spec;
    buf_init(&r->output, (size_t)1 << 20);
    r->s = SANDBOX_STARTED_NOTHING;
    spec.id = s->next_id++;
    if (!r->spec)
        describe(r, &spec);
    runs[spec.id % ARRAY_LEN(runs)] = r;
    r->error = keeper_start(s->client, &spec, on_started, r, &r->err);
    if (r->error < 0) {
        r->gone = true;
        return;
    }
    r->s.id = spec.id;
    if (!stage_until(s, run_started, r, 60000))
        r->timed_out = true;
}

void stage_run(struct stage *s, struct stage_run *r)
{
    stage_begin(s, r);
    if (!r->gone && !stage_until(s, stage_run_gone, r, r->deadline_ms ? r->deadline_ms : 10000)) {
        r->timed_out = true;
        keeper_kill(s->client, r->s.id);
        stage_until(s, stage_run_gone, r, 30000);
    }
    drain(r);
    sandbox_started_finish(&r->s);
}

void stage_run_finish(struct stage_run *r)
{
    runs[r->s.id % ARRAY_LEN(runs)] = NULL;
    sandbox_started_finish(&r->s);
    buf_finish(&r->output);
}

// ---- answers ----

struct reply {
    bool done;
    int r;
    uint32_t program;
    struct err *err;
};

static void on_done(void *ctx, uint64_t id, int r, uint32_t program, const struct err *err)
{
    struct reply *a = ctx;
    (void)id;
    a->done = true;
    a->r = r;
    a->program = program;
    if (r < 0 && a->err)
        *a->err = *err;
    check();
}

static bool replied(void *ctx)
{
    return ((struct reply *)ctx)->done;
}

int stage_inject(struct stage *s, struct stage_run *r, const struct sandbox_binding *b,
                 const struct sandbox_program *p, struct err *err)
{
    struct reply a = {.err = err};
    int x = keeper_inject(s->client, r->s.id, b, p, on_done, &a, err);
    if (x < 0)
        return x;
    return stage_until(s, replied, &a, 30000) ? a.r : -ETIMEDOUT;
}

int stage_exec(struct stage *s, struct stage_run *r, const struct sandbox_program *p,
               uint32_t *program, struct err *err)
{
    struct reply a = {.err = err};
    int x = keeper_exec(s->client, r->s.id, p, on_done, &a, err);
    if (x < 0)
        return x;
    if (!stage_until(s, replied, &a, 30000))
        return -ETIMEDOUT;
    *program = a.program;
    return a.r;
}

static void on_given(void *ctx, uint64_t id, uint32_t tag, int r, uint32_t program, int fd,
                     const struct err *err)
{
    struct reply *a = ctx;
    (void)id;
    a->r = tag != 7 ? -EPROTO : r < 0 ? r : fd;
    a->program = program;
    a->done = true;
    if (r < 0 && a->err)
        *a->err = *err;
}

int stage_connect(struct stage *s, uint64_t id, uint16_t port, struct err *err)
{
    struct reply a = {.err = err};
    int x = keeper_connect(s->client, id, port, on_given, 7, &a, err), e = 0;
    socklen_t len = sizeof(e);
    if (x < 0)
        return x;
    if (!stage_until(s, replied, &a, 30000))
        return -ETIMEDOUT;
    if (a.r < 0)
        return a.r;
    struct pollfd p = {a.r, POLLOUT, 0};
    if (poll(&p, 1, 30000) != 1)
        e = ETIMEDOUT;
    else if (getsockopt(a.r, SOL_SOCKET, SO_ERROR, &e, &len) < 0)
        e = errno;
    if (e == 0)
        return a.r;
    close(a.r);
    return -e;
}

// ---- counting ----

static unsigned count_dir(const char *path)
{
    unsigned n = 0;
    DIR *d = opendir(path);
    struct dirent *e;
    while (d && (e = readdir(d)))
        n += e->d_name[0] != '.';
    if (d)
        closedir(d);
    return n;
}

static unsigned count_lines(const char *path)
{
    char chunk[65536];
    unsigned n = 0;
    ssize_t got;
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && (got = read(fd, chunk, sizeof(chunk))) > 0)
        for (ssize_t i = 0; i < got; i++)
            n += chunk[i] == '\n';
    return n;
}

// Descendants of the keeper: a sandbox's processes hang below its pid 1.
static unsigned count_children(pid_t pid)
{
    char path[64], text[65536];
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : fd_read_full(fd, text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    unsigned count = 0;
    for (char *p = text; *p;) {
        count += 1 + count_children((pid_t)strtol(p, &p, 10));
        while (*p == ' ')
            p++;
    }
    return count;
}

// The keeper names its folders by the data directory: other daemons' do not count.
static unsigned count_cgroups(const struct stage *s)
{
    static const char *const roots[] = {"/sys/fs/cgroup/pids", "/sys/fs/cgroup/cpu",
                                        "/sys/fs/cgroup/freezer", "/sys/fs/cgroup"};
    unsigned n = 0;
    char hex[MD5_HEX_BYTES];
    hash_md5_hex(str_from(s->dir), hex);
    for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
        char path[256];
        snprintf(path, sizeof(path), "%s/lambkin-%.12s", roots[i], hex);
        DIR *d = opendir(path);
        struct dirent *e;
        while (d && (e = readdir(d)))
            n += e->d_type == DT_DIR && e->d_name[0] == 's';
        if (d)
            closedir(d);
    }
    return n;
}

void stage_count(struct stage *s, struct stage_count *out)
{
    char path[64];
    out->processes = count_children(s->keeper);
    snprintf(path, sizeof(path), "/proc/%d/mounts", s->keeper);
    out->mounts = count_lines(path);
    snprintf(path, sizeof(path), "/proc/%d/fd", s->keeper);
    out->descriptors = count_dir(path);
    out->cgroups = count_cgroups(s);
}
