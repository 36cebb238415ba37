// slot.c - one sandbox from its making to its end. The diagram is in keeper_impl.h.
//
// Invariants: a slot that is not FREE has its cgroup made; a slot in MAKING, SPARE, BLANK or LIVE
// has a pidfd and a channel; `spares`, `making` and `blanks` count the states of their names.
#include "sandbox/keeper_impl.h"

#include "sandbox/kernel.h"
#include "sandbox/pid1.h"
#include "sandbox/plain.h"

#include "base/cleanup.h"
#include "os/fd.h"
#include "os/log.h"
#include "os/message.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

void slot_set_state(struct keeper *k, struct slot *s, enum slot_state to)
{
    k->spares -= s->state == SLOT_SPARE;
    k->making -= s->state == SLOT_MAKING;
    k->blanks -= s->state == SLOT_BLANK;
    s->state = to;
    k->spares += to == SLOT_SPARE;
    k->making += to == SLOT_MAKING;
    k->blanks += to == SLOT_BLANK;
}

static struct slot *take_free(struct keeper *k)
{
    for (unsigned i = 0; i < k->n_slots; i++)
        if (k->slots[i].state == SLOT_FREE)
            return &k->slots[i];
    return k->n_slots < k->config.max_sandboxes ? &k->slots[k->n_slots++] : NULL;
}

// ---- making ----

struct making {
    int channel[2], output[2], procs[CGROUP_CONTROLLERS], group, image;
    unsigned n_procs;
};

static void making_finish(struct making *m)
{
    for (int i = 0; i < 2; i++) {
        closep(&m->channel[i]);
        closep(&m->output[i]);
    }
    for (unsigned i = 0; i < m->n_procs; i++)
        closep(&m->procs[i]);
    closep(&m->group);
    closep(&m->image);
}

static int prepare(struct keeper *k, struct slot *s, const struct sandbox_binding *b,
                   struct making *m, struct err *err)
{
    *m = (struct making){.channel = {-1, -1}, .output = {-1, -1}, .group = -1, .image = -1};
    int r = cgroup_make(&k->cgroups, s->group, err);
    if (r < 0)
        return r;
    r = network_make(&s->net, k->spaces ? k->own_net : -1, err);
    if (r < 0)
        return r;
    r = message_pair(m->channel, err);
    if (r < 0)
        return r;
    if (pipe2(m->output, O_CLOEXEC) < 0)
        return err_errno(err, errno, "pipe");
    fd_set_nonblock(m->output[0], true);
    fd_set_nonblock(m->channel[0], true);
    if (k->spaces) {
        r = root_user(&k->root, s->number,
                      k->root_ids ? k->config.first_uid + s->number : ROOT_USER_INSIDE, err);
        if (r < 0)
            return r;
    }
    if (s->image) {
        if (!k->spaces)
            return err_set(err, -EOPNOTSUPP,
                           "container images need mount namespaces, which this "
                           "host or its isolation setting does not give");
        m->image = root_image(&k->root, b->image_dir, err);
        if (m->image < 0)
            return m->image;
    }
    if (k->cgroups.has[CGROUP_IO]) {
        r = k->cgroups.ops->limit_io(&k->cgroups, s->group, k->config.io_bytes,
                                     k->config.io_operations, err);
        if (r < 0)
            return r;
    }
    m->group = k->facts.clone3 ? cgroup_open_dir(&k->cgroups, s->group) : -1;
    if (m->group < 0)
        m->n_procs = cgroup_open_procs(&k->cgroups, s->group, m->procs);
    return 0;
}

// The child's side of clone: never returns.
static _Noreturn void child(struct keeper *k, const struct slot *s, const struct making *m,
                            bool blank, const struct plain_paths *paths)
{
    bool confine = k->config.degree != SANDBOX_NONE;
    const struct pid1_setup setup = {
        .slot = s->number,
        .channel = m->channel[1],
        .output = m->output[1],
        .root = k->spaces ? &k->root : NULL,
        .image = m->image,
        .await_image = blank,
        .spaces = k->spaces,
        .await_users = k->nested,
        .cgroup_space = k->spaces,
        .confine = confine,
        .memory_counted = k->cgroups.has[CGROUP_PIDS],
        .uid = k->root_ids ? k->config.first_uid + s->number : 0,
        .procs = m->procs,
        .n_procs = m->n_procs,
        .filter = !confine || !k->facts.seccomp ? NULL
                  : s->tracing                  ? &k->tracing_filter
                                                : &k->filter,
        .landlock_abi = confine ? k->facts.landlock_abi : 0,
        .readable = paths ? paths->readable : NULL,
        .writable = paths ? paths->writable : NULL,
    };
    pid1_main(&setup);
}

static pid_t clone_child(struct keeper *k, struct slot *s, const struct making *m)
{
    uint64_t flags = CLONE_PIDFD;
    if (k->spaces)
        flags |= CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;
    if (k->nested)
        flags |= CLONE_NEWUSER;
    s->pidfd = -1;
    if (k->facts.clone3) {
        struct kernel_clone_args a = {
            .flags = flags, .pidfd = (uint64_t)(uintptr_t)&s->pidfd, .exit_signal = SIGCHLD};
        if (m->group >= 0) {
            a.flags |= KERNEL_CLONE_INTO_CGROUP;
            a.cgroup = (uint64_t)m->group;
        }
        pid_t pid = kernel_clone3(&a);
        if (pid >= 0 || (errno != ENOSYS && errno != EPERM))
            return pid;
    }
    return kernel_clone(flags | SIGCHLD, &s->pidfd);
}

// The one user of the sandbox is the keeper's own, under another number.
static int map_users(const struct slot *s, struct err *err)
{
    static const struct {
        const char *file, *text;
    } maps[] = {{"setgroups", "deny"}, {"uid_map", "993 0 1"}, {"gid_map", "993 0 1"}};
    for (size_t i = 0; i < ARRAY_LEN(maps); i++) {
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/%s", s->pid, maps[i].file);
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, maps[i].text, strlen(maps[i].text)) < 0)
            return err_errno(err, errno, "write %s", path);
    }
    if (send(s->channel, "g", 1, MSG_NOSIGNAL) < 0)
        return err_errno(err, errno, "send to pid 1");
    return 0;
}

static void release(struct keeper *k, struct slot *s)
{
    keeper_unwatch(k, &s->pidfd);
    keeper_unwatch(k, &s->channel);
    closep(&s->output);
    closep(&s->mounts);
    memory_watch_end(k, s);
    network_finish(&s->net);
    outbound_stop(&s->outbound);
    free(s->waiting);
    s->waiting = NULL;
    slot_set_state(k, s, SLOT_DYING);
    slot_sweep(k);
}

static int make(struct keeper *k, bool tracing, bool blank, const struct sandbox_binding *b,
                struct slot **out, struct err *err)
{
    struct making m;
    struct slot *s = take_free(k);
    if (!s)
        return err_set(err, -EAGAIN, "there are %u sandboxes already", k->config.max_sandboxes);
    unsigned number = (unsigned)(s - k->slots);
    *s = (struct slot){.number = number,
                       .generation = (uint16_t)(s->generation + 1),
                       .pidfd = -1,
                       .channel = -1,
                       .output = -1,
                       .mounts = -1,
                       .connection = -1,
                       .tracing = tracing,
                       .memory = {.tmp = -1, .event = -1},
                       .image = b && b->image_dir && b->image_dir[0],
                       .net = {-1, -1, -1, 0, 0}};
    if (s->image && strlen(b->image_dir) < sizeof(s->image_name))
        snprintf(s->image_name, sizeof(s->image_name), "%s", b->image_dir);
    snprintf(s->group, sizeof(s->group), "s%u", number);
    struct plain_paths paths;
    if (!k->spaces)
        plain_paths_init(k, s, b, &paths);
    int r = prepare(k, s, b, &m, err);
    if (r >= 0) {
        if (k->spaces && setns(s->net.ns, CLONE_NEWNET) < 0)
            abort(); // a namespace just made cannot be entered: nothing below would be safe
        s->pid = clone_child(k, s, &m);
        if (s->pid == 0)
            child(k, s, &m, blank, k->spaces ? NULL : &paths);
        int e = errno;
        if (k->spaces && setns(k->own_net, CLONE_NEWNET) < 0)
            abort();
        if (s->pid < 0)
            r = err_errno(err, e, "clone");
    }
    s->channel = TAKE_FD(m.channel[0]);
    s->output = TAKE_FD(m.output[0]);
    making_finish(&m);
    if (r >= 0 && k->nested)
        r = map_users(s, err);
    if (r >= 0)
        r = keeper_watch(k, s->channel, event_tag(EVENT_CHANNEL, s->generation, number));
    if (r >= 0)
        r = keeper_watch(k, s->pidfd, event_tag(EVENT_PIDFD, s->generation, number));
    if (r < 0) {
        if (s->pid > 0) {
            kernel_pidfd_send_signal(s->pidfd, SIGKILL);
            waitpid(s->pid, NULL, 0);
        }
        release(k, s);
        return r;
    }
    slot_set_state(k, s, blank ? SLOT_BLANK : SLOT_MAKING);
    *out = s;
    return 0;
}

int slot_make(struct keeper *k, bool tracing, const struct sandbox_binding *b, struct slot **out,
              struct err *err)
{
    return make(k, tracing, false, b, out, err);
}

int slot_make_blank(struct keeper *k, struct err *err)
{
    struct slot *s;
    return make(k, false, true, NULL, &s, err);
}

struct slot *slot_spare(struct keeper *k)
{
    for (unsigned i = 0; k->spares && i < k->n_slots; i++)
        if (k->slots[i].state == SLOT_SPARE)
            return &k->slots[i];
    return NULL;
}

struct slot *slot_find(struct keeper *k, int connection, uint64_t id)
{
    for (unsigned i = 0; i < k->n_slots; i++) {
        struct slot *s = &k->slots[i];
        if ((s->state == SLOT_LIVE || s->state == SLOT_MAKING) && s->connection == connection &&
            s->id == id)
            return s;
    }
    return NULL;
}

// ---- binding and programs ----

// CPU in per cent of one processor: AWS gives memory / 1769 of one.
static unsigned cpu_percent(uint32_t memory_mb)
{
    unsigned p = memory_mb * 100 / SANDBOX_VCPU_MEMORY_MB;
    return p < 1 ? 1 : p;
}

// The cap of a sandbox in INIT, and of one that may use what nobody else wants: a whole processor
// at least. 7 % of one, for 128 MB, would make a laptop's tests wait for nothing.
static unsigned cpu_percent_at_least_one(uint32_t memory_mb)
{
    unsigned p = cpu_percent(memory_mb);
    return p < 100 ? 100 : p;
}

static int set_limits(struct keeper *k, struct slot *s, const struct sandbox_binding *b,
                      struct err *err)
{
    uint32_t memory_mb = b->memory_mb ? b->memory_mb : SANDBOX_MIN_MEMORY_MB;
    uint32_t tmp_mb = b->tmp_mb ? b->tmp_mb : SANDBOX_MIN_TMP_MB;
    bool bound = s->image || (b->code_dir && b->code_dir[0]);
    struct cgroup_limits l = {.memory_bytes = (uint64_t)memory_mb << 20,
                              .cpu_weight = memory_mb * 100 / SANDBOX_MIN_MEMORY_MB,
                              .cpu_quota = cpu_percent_at_least_one(memory_mb),
                              .pids = b->pids ? b->pids : 1024};
    s->cpu_quota = cpu_percent(memory_mb);
    // One that waits for its code has its function's limits set later, and nothing at /tmp.
    if (bound && memory_watch_possible(k, s))
        l.tmp_bytes = (uint64_t)tmp_mb << 20;
    if (!k->cgroups.ops)
        return 0;
    int r = k->cgroups.ops->limit(&k->cgroups, s->group, &l, err);
    if (r >= 0 && l.tmp_bytes)
        memory_watch_begin(k, s, l.memory_bytes);
    return r;
}

int slot_bind(struct keeper *k, struct slot *s, const struct sandbox_binding *b, struct err *err)
{
    int r = 0;
    if (b->n_outbound && k->config.degree != SANDBOX_NONE) {
        if (!k->spaces || k->nested)
            return err_set(err, -EOPNOTSUPP,
                           "outbound network can only be granted by a daemon that runs as root");
        r = outbound_start(&s->outbound, k->root.base, s->number, s->pid, k->own_net, b, err);
        if (r < 0)
            return r;
    }
    r = set_limits(k, s, b, err);
    if (r < 0)
        return r;
    r = k->spaces ? root_bind(&k->root, s->mounts, b, err) : plain_bind(k, s, b, err);
    if (r >= 0 && (s->image || (b->code_dir && b->code_dir[0]))) {
        s->has_code = true;
        closep(&s->mounts);
    }
    return r;
}

static const char *interpreter(const struct keeper *k, const char *path)
{
    for (unsigned i = 0; i < k->config.n_interpreters; i++)
        if (strcmp(path, k->config.interpreters[i]) == 0)
            return k->config.interpreters[i];
    return NULL;
}

static bool runnable(const struct keeper *k, const char *path)
{
    static const char *const inside[] = {"/var/task/", "/opt/", "/var/runtime/"};
    for (size_t i = 0; i < ARRAY_LEN(inside); i++)
        if (strncmp(path, inside[i], strlen(inside[i])) == 0)
            return true;
    return interpreter(k, path) != NULL;
}

static void look_at_program(struct keeper *k, struct slot *s, const char *path)
{
    struct stat st;
    const char *known = interpreter(k, path);
    if (known && stat(known, &st) == 0)
        s->waits = (struct program_file){known, st.st_dev, st.st_ino, st.st_ctim};
}

bool slot_outdated(const struct slot *s)
{
    const struct program_file *f = &s->waits;
    struct stat st;
    return f->path &&
           (stat(f->path, &st) < 0 || st.st_dev != f->device || st.st_ino != f->inode ||
            st.st_ctim.tv_sec != f->changed.tv_sec || st.st_ctim.tv_nsec != f->changed.tv_nsec);
}

int slot_execute(struct keeper *k, struct slot *s, const struct sandbox_program *p,
                 enum pid1_gift gift, int fd, struct err *err)
{
    static struct sandbox_program changed;
    struct protocol_writer w;
    if (!s->image && !runnable(k, p->argv[0]))
        return err_set(err, -EACCES,
                       "'%.100s' is not an interpreter of this daemon, and not "
                       "below /var/task, /opt or /var/runtime",
                       p->argv[0]);
    changed = *p;
    if (!changed.cwd || !changed.cwd[0])
        changed.cwd = s->has_code && !s->image ? "/var/task" : "/";
    if (!k->spaces && plain_program(k, s, &changed) < 0)
        return err_set(err, -E2BIG, "arguments and variables are too long");
    protocol_begin(&w, k->out, PID1_EXEC, 0, 0);
    protocol_put_u32(&w, s->programs + 1);
    protocol_put_u32(&w, (uint32_t)gift);
    protocol_put_program(&w, &changed);
    ssize_t n = protocol_end(&w);
    if (n < 0)
        return err_set(err, (int)n, "arguments and variables are too long");
    int r = message_send(s->channel, k->out, (size_t)n, &fd, fd >= 0 ? 1 : 0, err);
    return r < 0 ? r : (int)++s->programs;
}

void slot_start(struct keeper *k, struct slot *s, const struct sandbox_spec *spec, uint32_t serial)
{
    struct err err = ERR_INIT;
    int pair[2] = {-1, -1};
    slot_set_state(k, s, SLOT_LIVE);
    s->keep_on_exit = spec->keep_on_exit;
    int r = slot_bind(k, s, &spec->binding, &err);
    if (r >= 0 && spec->want_control &&
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        r = err_errno(&err, errno, "socketpair");
    if (r >= 0 && spec->want_control)
        fd_set_nonblock(pair[0], true);
    if (r >= 0 && spec->program.n_argv && !s->has_code)
        look_at_program(k, s, spec->program.argv[0]); // before it is executed, not after
    if (r >= 0 && spec->program.n_argv)
        r = slot_execute(k, s, &spec->program,
                         spec->want_control ? PID1_GIFT_CONTROL : PID1_GIFT_NONE, pair[1], &err);
    if (r >= 0) {
        keeper_reply_started(k, s, serial, pair[0]);
        image_slot_used(k, s);
    } else {
        keeper_reply_done(k, s->connection, s->id, serial, r, 0, &err);
        s->connection = -1;
        slot_kill(k, s);
    }
    closep(&pair[0]);
    closep(&pair[1]);
}

void slot_signal(struct keeper *k, struct slot *s, uint32_t program, int sig)
{
    struct protocol_writer w;
    protocol_begin(&w, k->out, PID1_SIGNAL, 0, 0);
    protocol_put_u32(&w, program);
    protocol_put_u32(&w, (uint32_t)sig);
    ssize_t n = protocol_end(&w);
    if (n > 0)
        message_send(s->channel, k->out, (size_t)n, NULL, 0, NULL);
}

void slot_freeze(struct keeper *k, struct slot *s, bool frozen)
{
    s->frozen = frozen;
    if (k->cgroups.ops && k->cgroups.has[CGROUP_FREEZER] &&
        k->cgroups.ops->freeze(&k->cgroups, s->group, frozen) == 0)
        return;
    slot_signal(k, s, 0, frozen ? SIGSTOP : SIGCONT);
}

// Under cpu = proportional INIT has a whole processor, as on AWS, and what follows its share.
void slot_settle(struct keeper *k, struct slot *s)
{
    const struct cgroup_limits l = {.cpu_quota = s->cpu_quota};
    struct err err = ERR_INIT;
    if (k->config.cpu_proportional && k->cgroups.ops && s->cpu_quota &&
        k->cgroups.ops->limit(&k->cgroups, s->group, &l, &err) < 0)
        log_warn("%s", err.message);
}

// SIGKILL to pid 1 takes its namespace along; a frozen group (v1) has to thaw to die.
void slot_kill(struct keeper *k, struct slot *s)
{
    s->killed = true;
    if (s->state == SLOT_FREE || s->state == SLOT_DYING)
        return;
    if (!k->spaces) { // pid 1 kills what descends from it
        slot_freeze(k, s, false);
        shutdown(s->channel, SHUT_WR);
        return;
    }
    kernel_pidfd_send_signal(s->pidfd, SIGKILL);
    if (k->cgroups.ops) {
        k->cgroups.ops->kill(&k->cgroups, s->group);
        // The function's end of the freezer may have been used by the server directly.
        if (k->cgroups.has[CGROUP_FREEZER])
            k->cgroups.ops->freeze(&k->cgroups, s->group, false);
    }
}

// ---- what pid 1 says ----

static uint32_t oom_kills(struct keeper *k, const struct slot *s)
{
    uint32_t kernels = k->cgroups.ops ? k->cgroups.ops->oom_kills(&k->cgroups, s->group) : 0;
    return kernels + s->memory.over;
}

static void program_ended(struct keeper *k, struct slot *s, struct sandbox_exit *e)
{
    uint32_t kills = oom_kills(k, s);
    if (e->reason == SANDBOX_SIGNALLED && e->status == SIGKILL && kills > s->oom_seen)
        e->reason = SANDBOX_OOM;
    s->oom_seen = kills;
    e->id = s->id;
    e->oom_kills = kills;
    e->peak_memory_bytes = cgroup_peak(&k->cgroups, s->group);
    if (e->program == 1)
        s->last = *e;
    keeper_tell_exit(k, s, e);
    if (e->program == 1 && !s->keep_on_exit) {
        bool asked = s->killed;
        slot_kill(k, s);
        s->killed = asked; // its end is the program's, not a kill
    }
}

static void ready(struct keeper *k, struct slot *s)
{
    if (s->state != SLOT_MAKING)
        return;
    if (!s->waiting) {
        slot_set_state(k, s, s->image ? SLOT_DRESSED : SLOT_SPARE);
        return;
    }
    struct protocol_header h;
    struct protocol_reader r;
    static struct sandbox_spec spec;
    if (protocol_open(&r, s->waiting, s->waiting_len, &h) == 0 &&
        protocol_read_start(&r, h.id, &spec) == 0) // it was read before: cannot fail now
        slot_start(k, s, &spec, s->waiting_serial);
    free(s->waiting);
    s->waiting = NULL;
}

static void failed(struct keeper *k, struct slot *s, int error, const char *step)
{
    struct err err = ERR_INIT;
    err_errno(&err, error, "set up a sandbox: %s", step);
    if (s->connection >= 0 && s->waiting)
        keeper_reply_done(k, s->connection, s->id, s->waiting_serial, -error, 0, &err);
    else
        log_error("%s", err.message);
    s->connection = -1;
    image_slot_failed(k, s);
    slot_kill(k, s);
}

// One message of pid 1: 1; 0 when there is none, negative when the channel has ended.
static int hear(struct keeper *k, struct slot *s)
{
    struct protocol_header h;
    struct protocol_reader r;
    unsigned n_fds = 2;
    int fds[2] = {-1, -1};
    if (s->channel < 0)
        return -EPIPE;
    ssize_t n = message_receive(s->channel, k->in, sizeof(k->in), fds, &n_fds, NULL);
    if (n <= 0)
        return n == -EAGAIN ? 0 : -EPIPE;
    _cleanup_close_ int fd = n_fds > 0 ? fds[0] : -1;
    _cleanup_close_ int gauge = n_fds > 1 ? fds[1] : -1;
    if (protocol_open(&r, k->in, (size_t)n, &h) < 0)
        return -EPROTO;
    uint32_t a = protocol_get_u32(&r), b = protocol_get_u32(&r);
    const char *text = protocol_get_text(&r, 512);
    if (protocol_close(&r) < 0)
        return -EPROTO;
    struct sandbox_exit e = {.program = a};
    switch (h.kind) {
    case PID1_MOUNTS:
        if (s->state == SLOT_MAKING && s->mounts < 0)
            s->mounts = TAKE_FD(fd);
        if (s->state == SLOT_MAKING && s->memory.tmp < 0)
            s->memory.tmp = TAKE_FD(gauge);
        break;
    case PID1_WATCHING:
        memory_watch_armed(k, s, (int)a);
        break;
    case PID1_READY:
        ready(k, s);
        break;
    case PID1_FAILED:
        failed(k, s, (int)a, text);
        break;
    case PID1_EXITED:
        e.reason = WIFSIGNALED((int)b) ? SANDBOX_SIGNALLED : SANDBOX_EXITED;
        e.status = WIFSIGNALED((int)b) ? WTERMSIG((int)b) : WEXITSTATUS((int)b);
        program_ended(k, s, &e);
        break;
    case PID1_EXEC_FAILED:
        e.reason = SANDBOX_FAILED;
        e.status = (int)b;
        snprintf(e.what, sizeof(e.what), "exec %.50s", text);
        program_ended(k, s, &e);
        break;
    default:
        break;
    }
    return 1;
}

void slot_channel_event(struct keeper *k, struct slot *s)
{
    if (hear(k, s) < 0 && s->channel >= 0)
        epoll_ctl(k->epoll, EPOLL_CTL_DEL, s->channel, NULL); // its end comes by the pidfd
}

// ---- the end ----

void slot_ended(struct keeper *k, struct slot *s)
{
    siginfo_t info = {0};
    while (hear(k, s) > 0) // what it said last
        ;
    waitid((idtype_t)P_PIDFD, (id_t)s->pidfd, &info, WEXITED | WNOHANG);
    if (info.si_pid == 0)
        waitpid(s->pid, NULL, WNOHANG);
    // Memory that no process has mapped may cost pid 1 its life, being the largest: the main
    // program went with it.
    if (s->last.program == 0 && s->programs && !s->killed && oom_kills(k, s) > s->oom_seen) {
        struct sandbox_exit main = {.program = 1, .reason = SANDBOX_SIGNALLED, .status = SIGKILL};
        program_ended(k, s, &main);
    }
    struct sandbox_exit e = s->last;
    if (s->last.program == 0) // no main program ever ended
        e = (struct sandbox_exit){.reason = SANDBOX_FAILED, .what = "pid 1"};
    if (s->killed)
        e.reason = s->memory.over && s->last.program == 0 ? SANDBOX_OOM : SANDBOX_KILLED;
    e.program = 0;
    e.id = s->id;
    e.oom_kills = oom_kills(k, s);
    e.peak_memory_bytes = cgroup_peak(&k->cgroups, s->group);
    if (s->connection >= 0 && s->state == SLOT_MAKING && s->waiting) {
        struct err err = ERR_INIT;
        err_set(&err, -EIO, "the sandbox ended while it was set up");
        keeper_reply_done(k, s->connection, s->id, s->waiting_serial, -EIO, 0, &err);
    } else if (s->connection >= 0) {
        keeper_tell_exit(k, s, &e);
    }
    release(k, s);
}

void slot_sweep(struct keeper *k)
{
    k->want_sweep = false;
    for (unsigned i = 0; i < k->n_slots; i++) {
        struct slot *s = &k->slots[i];
        if (s->state != SLOT_DYING)
            continue;
        if (cgroup_remove(&k->cgroups, s->group) == 0)
            slot_set_state(k, s, SLOT_FREE);
        else
            k->want_sweep = true;
    }
}
