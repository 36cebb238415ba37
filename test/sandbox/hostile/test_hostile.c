// test_hostile.c - runs every attempt in a sandbox of its own and checks that it failed, and how:
// test_hostile root | rootless | denied | bare | none. Prints TAP.
//
// root: strict. rootless: as an ordinary user with user namespaces. denied: clone3 and openat2
// answer errors, as in some containers. bare: no namespaces at all. none: the control; with
// isolation off, attempts must succeed, so that the tests are known to bite. A group that this
// host cannot run is skipped with the reason.
#include "stage.h"

#include "base/cleanup.h"
#include "sandbox/host_facts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    CONTROL = 1,  // succeeds with isolation off (as root)
    PIDS = 2,     // needs the process limit
    MEMORY = 4,   // needs the memory limit
    KILLED = 8,   // does not end by itself: the test kills it
    BARE = 16,    // must fail without namespaces as well
    OOM = 32,     // ends by the memory limit
    ANY_HOW = 64, // ends in more than one way, all of them good
};

static const struct expectation {
    const char *name, *how; // how: alternatives separated by '|'
    unsigned flags;
} table[] = {
    // what it sees
    {"read_shadow", "ENOENT|EACCES", CONTROL | BARE},
    {"read_root_home", "ENOENT|EACCES", CONTROL | BARE},
    {"read_home", "ENOENT|EACCES", CONTROL | BARE},
    {"read_marker", "ENOENT", CONTROL},
    {"read_data_dir", "ENOENT|EACCES", CONTROL},
    {"read_by_dots", "ENOENT|EACCES", CONTROL | BARE},
    {"read_var_lib", "ENOENT|EACCES", CONTROL | BARE},
    {"write_usr", "EROFS|EACCES", CONTROL | BARE},
    {"write_task", "EROFS|EACCES", CONTROL},
    {"write_etc", "EROFS|EACCES", CONTROL | BARE},
    {"write_root", "EROFS|EACCES", CONTROL | BARE},
    {"write_dev", "EROFS|EACCES", CONTROL | BARE},
    {"write_opt", "EROFS|EACCES", CONTROL | BARE},
    {"write_passwd", "EROFS|EACCES", CONTROL | BARE},
    {"make_device", "EPERM|EACCES", CONTROL | BARE},
    {"open_disk", "ENOENT", 0},
    {"open_kernel_log", "ENOENT|EPERM|EACCES", BARE},
    {"open_kernel_memory", "ENOENT|EPERM|EACCES", BARE},
    {"see_processes", "alone", CONTROL},
    {"read_init_environment", "ENOENT|EACCES|EPERM", BARE},
    {"open_init_memory", "ENOENT|EACCES|EPERM", BARE},
    {"open_init_root", "ENOENT|EACCES|EPERM", BARE},
    {"write_core_pattern", "ENOENT|EACCES|EROFS", CONTROL | BARE},
    {"read_boot_id", "ENOENT", CONTROL},
    {"trigger_sysrq", "ENOENT|EACCES|masked", BARE},
    {"read_kernel_core", "ENOENT|EACCES|EPERM|masked", BARE},
    {"read_boot_options", "ENOENT|masked", CONTROL},
    {"read_kernel_symbols", "ENOENT|masked", 0},
    {"see_sys", "nothing", CONTROL},
    {"set_release_agent", "ENOENT|EACCES|EROFS", BARE},
    {"learn_host_name", "localhost", 0},
    {"learn_machine_id", "ENOENT|EACCES", BARE},
    {"learn_environment", "not there", BARE},
    {"use_inherited", "none", BARE},
    // whom it reaches
    {"reach_host_loopback", "ECONNREFUSED", CONTROL},
    {"reach_metadata", "ENETUNREACH", 0},
    {"reach_internet", "ENETUNREACH", 0},
    {"reach_internet_v6", "ENETUNREACH|EADDRNOTAVAIL|EAFNOSUPPORT", 0},
    {"reach_abstract", "ECONNREFUSED", CONTROL},
    {"reach_host_socket", "ENOENT|EACCES", CONTROL},
    {"reach_neighbour", "ECONNREFUSED", CONTROL},
    {"reach_neighbours_socket", "ECONNREFUSED", CONTROL},
    {"attach_neighbours_memory", "ENOENT", CONTROL},
    {"open_neighbours_queue", "ENOENT|EACCES", CONTROL},
    {"open_neighbours_file", "ENOENT", CONTROL},
    {"open_neighbours_shm", "ENOENT", CONTROL},
    {"bind_low_port", "EACCES", CONTROL | BARE},
    {"bind_runtime_api", "EADDRINUSE", 0},
    {"make_interface", "EPERM", BARE},
    {"sniff_packets", "EAFNOSUPPORT", CONTROL | BARE},
    {"raw_socket", "EPERM", CONTROL | BARE},
    {"vsock_socket", "EAFNOSUPPORT", BARE},
    {"audit_socket", "EPROTONOSUPPORT", CONTROL | BARE},
    {"crypto_socket", "EAFNOSUPPORT", BARE},
    // what it may do
    {"become_root", "EPERM|EINVAL", CONTROL | BARE},
    {"become_root_group", "EPERM|EINVAL", CONTROL | BARE},
    {"run_setuid_file", "EPERM|ENOENT", CONTROL | BARE},
    {"have_capabilities", "none", CONTROL},
    {"gain_by_exec", "EPERM", CONTROL | BARE},
    {"unshare_users", "EPERM", CONTROL | BARE},
    {"unshare_mounts", "EPERM", CONTROL | BARE},
    {"unshare_network", "EPERM", CONTROL | BARE},
    {"clone_users", "EPERM", CONTROL | BARE},
    {"clone3_users", "ENOSYS", CONTROL | BARE},
    {"enter_namespace", "EPERM", CONTROL | BARE},
    {"mount_tmpfs", "EPERM", CONTROL | BARE},
    {"remount_writable", "EPERM", CONTROL | BARE},
    {"share_mounts", "EPERM", CONTROL | BARE},
    {"unmount_proc", "EPERM", CONTROL | BARE},
    {"mount_cgroup", "EPERM", CONTROL | BARE},
    {"share_to_host", "EPERM", CONTROL | BARE},
    {"open_filesystem", "EPERM", CONTROL | BARE},
    {"copy_mounts", "EPERM", CONTROL | BARE},
    {"change_root", "EPERM", CONTROL | BARE},
    {"pivot", "EPERM", BARE},
    {"trace_init", "EPERM|ENOENT", BARE},
    {"trace_child", "EPERM", CONTROL | BARE},
    {"read_process_memory", "EPERM", CONTROL | BARE},
    {"steal_descriptor", "EPERM", CONTROL | BARE},
    {"use_keyring", "EPERM", CONTROL | BARE},
    {"add_key", "EPERM", CONTROL | BARE},
    {"load_bpf", "EPERM", BARE},
    {"use_io_uring", "EPERM", BARE},
    {"use_userfaultfd", "EPERM", BARE},
    {"use_perf", "EPERM", BARE},
    {"load_kernel", "EPERM", BARE},
    {"load_module", "EPERM", BARE},
    {"remove_module", "EPERM", BARE},
    {"set_clock", "EPERM", BARE},
    {"set_time_of_day", "EPERM", BARE},
    {"set_host_name", "EPERM", BARE},
    {"reboot_host", "EPERM", BARE},
    {"swap_on", "EPERM", BARE},
    {"account", "EPERM", BARE},
    {"set_quota", "EPERM", BARE},
    {"read_kernel_log", "EPERM", BARE},
    {"port_access", "EPERM", BARE},
    {"open_by_handle", "EPERM", BARE},
    {"no_randomisation", "ENOSYS", CONTROL | BARE},
    {"type_into_terminal", "EPERM", BARE},
    {"execute_at", "EPERM", BARE},
    {"execute_memory", "EPERM", CONTROL | BARE},
    {"other_architecture", "SIGSYS|SIGSEGV|ENOSYS", BARE},
    {"kill_init", "EPERM|ignored", 0},
    {"kill_everybody", "only ourselves", 0},
    {"dump_core", "EPERM", CONTROL | BARE},
    {"more_descriptors", "EPERM", BARE},
    {"higher_priority", "EACCES|EPERM", CONTROL | BARE},
    {"realtime", "EPERM", BARE},
    {"lift_filter", "EPERM", CONTROL | BARE},
    // how much it takes
    {"fork_bomb", "EAGAIN within 64", PIDS},
    {"fork_flood", "bounded", PIDS | ANY_HOW},
    {"thread_bomb", "EAGAIN within 64", PIDS},
    {"eat_memory", "", MEMORY | OOM},
    {"fill_tmp", "ENOSPC", 0},
    {"fill_shm", "ENOSPC", 0},
    {"fill_inodes", "ENOSPC", 0},
    {"fill_descriptors", "EMFILE within 1024", BARE},
    {"grow_pipe", "EPERM", BARE},
    {"fill_pipes", "EPERM|EMFILE", CONTROL | BARE},
    {"eat_by_memfd", "", MEMORY | OOM},
    {"leave_core", "no core", BARE},
    {"fill_inotify", "EMFILE", BARE},
    {"fill_timers", "EAGAIN", BARE},
    {"fill_signals", "EAGAIN", BARE},
    {"fill_queues", "EMFILE|ENOSPC", BARE},
    {"lock_memory", "ENOMEM|EPERM", CONTROL | BARE},
    {"flood_log", "", ANY_HOW | BARE},
    {"outlive", "left behind", BARE},
    {"stop_everything", "stopped", KILLED | BARE},
    {"ignore_signals", "killed", KILLED | BARE},
    {"spin", "killed", KILLED | BARE},
    // in Python
    {"py_follow_proc_root", "ENOENT|EACCES", CONTROL | BARE},
    {"py_follow_cwd", "ENOENT|EACCES", CONTROL | BARE},
    {"py_symlink_out", "ENOENT|EACCES", CONTROL | BARE},
    {"py_hardlink_system_file", "EXDEV|EPERM|EACCES", BARE},
    {"py_chown_to_root", "EPERM|EINVAL", CONTROL | BARE},
    {"py_set_groups", "EPERM", CONTROL | BARE},
    {"py_file_capability", "EPERM|EINVAL", BARE},
    {"py_mount_by_ctypes", "EPERM", BARE},
    {"py_write_elsewhere", "nowhere", CONTROL},
    {"py_writable_mounts", "none", CONTROL},
    {"py_setuid_mounts", "none", CONTROL},
    {"py_device_mounts", "none", CONTROL},
    {"py_odd_devices", "none", CONTROL},
    {"py_setuid_in_tmp", "ourselves", CONTROL | BARE},
    {"py_spare_from_oom", "EACCES|EPERM", BARE},
    {"py_resolve_name", "gaierror", 0},
    {"py_scan_loopback", "closed", CONTROL},
    {"py_other_interfaces", "only lo", 0},
    {"py_cgroup_files", "none", CONTROL},
    {"py_read_others_memory", "none", CONTROL},
    {"py_signal_others", "nobody", CONTROL},
    {"py_knobs", "none", CONTROL},
    {"py_host_name_in_files", "nowhere", 0},
    {"py_sticky_tmp", "private", CONTROL},
};

// What the attempts are told to reach for.
struct bait {
    char marker[64], host[96], port[32], abstract[64], socket[128], data[96], names[5][192];
    int listeners[3];
};

static struct stage *stage;
static struct bait bait;
static unsigned number, failures;

static void report(bool ok, const char *name, const char *detail, const char *skip)
{
    printf("%s %u - %s", ok ? "ok" : "not ok", ++number, name);
    if (skip)
        printf(" # SKIP %s", skip);
    else if (detail[0])
        printf(": %s", detail);
    printf("\n");
    fflush(stdout);
    failures += !ok;
}

// ---- bait ----

static void set_bait(void)
{
    char name[80] = "";
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    snprintf(bait.marker, sizeof(bait.marker), "/tmp/lambkin-marker-XXXXXX");
    int fd = mkstemp(bait.marker);
    if (fd >= 0)
        close(fd);
    chmod(bait.marker, 0644);
    gethostname(name, sizeof(name) - 1);

    bait.listeners[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bind(bait.listeners[0], (struct sockaddr *)&in, sizeof(in));
    listen(bait.listeners[0], 16);
    getsockname(bait.listeners[0], (struct sockaddr *)&in, &len);

    char abstract[48];
    snprintf(abstract, sizeof(abstract), "lambkin-hostile-%d", getpid());
    snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1, "%s", abstract);
    bait.listeners[1] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bind(bait.listeners[1], (struct sockaddr *)&un,
         (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(abstract)));
    listen(bait.listeners[1], 16);

    snprintf(un.sun_path, sizeof(un.sun_path), "%s/bait.sock", stage->dir);
    bait.listeners[2] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bind(bait.listeners[2], (struct sockaddr *)&un, sizeof(un));
    chmod(un.sun_path, 0666);
    listen(bait.listeners[2], 16);

    snprintf(bait.names[0], sizeof(bait.names[0]), "MARKER=%s", bait.marker);
    snprintf(bait.names[1], sizeof(bait.names[1]), "DATA_DIR=%s", stage->dir);
    snprintf(bait.names[2], sizeof(bait.names[2]), "HOST_NAME=%s", name);
    snprintf(bait.names[3], sizeof(bait.names[3]), "PORT=%u", ntohs(in.sin_port));
    snprintf(bait.names[4], sizeof(bait.names[4]), "ABSTRACT=%s", abstract);
    snprintf(bait.socket, sizeof(bait.socket), "SOCKET=%s", un.sun_path);
}

static void remove_bait(void)
{
    unlink(bait.marker);
    for (size_t i = 0; i < ARRAY_LEN(bait.listeners); i++)
        close(bait.listeners[i]);
}

// ---- one attempt ----

static bool how_matches(const char *alternatives, struct str said)
{
    struct str rest = str_from(alternatives), one;
    while (str_next(&rest, '|', &one))
        if (str_eq(one, said))
            return true;
    return false;
}

static void judge(const struct expectation *x, const struct stage_run *r, bool control)
{
    char detail[1024];
    struct str text = str_trim(buf_str(&r->output));
    struct str line = text;
    if (text.len > 200)
        line = str_slice(text, 0, 200);
    snprintf(detail, sizeof(detail), "%.*s (%d/%d%s%s%s)", STR_ARG(line), (int)r->program.reason,
             r->program.status, r->timed_out ? ", killed" : "", r->error ? ", " : "",
             r->error ? r->err.message : "");
    for (char *p = detail; *p; p++)
        if (*p == '\n' || *p == '#')
            *p = ' ';
    bool ok;
    if (r->error < 0 || !r->gone)
        ok = false;
    else if (control)
        ok = str_starts(text, STR("SUCCEEDED"));
    else if (str_find(text, STR("SUCCEEDED")) >= 0)
        ok = false;
    else if (x->flags & OOM)
        ok = r->program.reason == SANDBOX_OOM && r->program.oom_kills > 0;
    else if (x->flags & ANY_HOW)
        ok = !r->timed_out;
    else
        ok = str_starts(text, STR("failed: ")) && r->timed_out == !!(x->flags & KILLED) &&
             how_matches(x->how, str_slice(text, strlen("failed: "), text.len));
    report(ok, x->name, detail, NULL);
}

static void attempt(const struct expectation *x, bool control)
{
    bool python = strncmp(x->name, "py_", 3) == 0;
    struct stage_run r = {
        .memory_mb = 128, .tmp_mb = 16, .pids = x->flags & PIDS ? 64 : 256, .deadline_ms = 60000};
    unsigned n = 0;
    if (x->flags & KILLED)
        r.deadline_ms = 300;
    if (python) {
        r.argv[n++] = stage->python;
        r.argv[n++] = "-SEs";
        r.argv[n++] = "/var/task/hostile.py";
    } else {
        r.argv[n++] = "/var/task/hostile";
    }
    r.argv[n] = x->name;
    for (n = 0; n < ARRAY_LEN(bait.names); n++)
        r.env[n] = bait.names[n];
    r.env[n] = bait.socket;
    stage_run(stage, &r);
    judge(x, &r, control);
    stage_run_finish(&r);
}

static const char *skip_reason(const struct expectation *x)
{
    if ((x->flags & PIDS) && !stage->status.cgroup_pids)
        return "no cgroup bounds processes here";
    if ((x->flags & MEMORY) && !stage->status.cgroup_memory)
        return "no cgroup bounds memory here";
    if (strncmp(x->name, "py_", 3) == 0 && !stage->python[0])
        return "python3 was not found";
    return NULL;
}

// ---- the neighbour ----

// Another function, at the same time: attempts in neighbour.c are on what it puts out.
static struct stage_run victim = {.deadline_ms = 1};

static bool victim_is_ready(void *ctx)
{
    (void)ctx;
    stage_run_gone(&victim); // reads what it said
    return victim.gone || victim.output.len > 0;
}

static void begin_neighbour(void)
{
    victim.argv[0] = "/var/task/hostile";
    victim.argv[1] = "neighbour";
    stage_begin(stage, &victim);
    stage_until(stage, victim_is_ready, NULL, 60000);
    bool ready = str_starts(buf_str(&victim.output), STR("ready"));
    char said[100];
    snprintf(said, sizeof(said), "%.*s", STR_ARG(str_trim(buf_str(&victim.output))));
    report(ready && !victim.gone, "the neighbour is there", said, NULL);
}

static void end_neighbour(void)
{
    struct stage_run tidy = {.argv = {"/var/task/hostile", "tidy"}};
    stage_run(stage, &tidy); // without isolation what it put out is everybody's
    stage_run_finish(&tidy);
    keeper_kill(stage->client, victim.s.id);
    stage_until(stage, stage_run_gone, &victim, 60000);
    stage_run_finish(&victim);
}

// ---- nothing is left ----

static struct stage_count before, after;

static bool settled(void *ctx)
{
    (void)ctx;
    stage_count(stage, &after);
    return after.processes <= before.processes && after.mounts == before.mounts &&
           after.cgroups <= before.cgroups && after.descriptors <= before.descriptors;
}

// Spares are there, and nothing has changed for a while.
static bool is_quiet(void *ctx)
{
    static struct stage_count last;
    static int same;
    struct stage_count now;
    (void)ctx;
    stage_count(stage, &now);
    same = memcmp(&now, &last, sizeof(now)) == 0 ? same + 1 : 0;
    last = now;
    return same > 100 && (now.processes == stage->config.spare_slots || !stage->status.inject);
}

static void count(struct stage_count *out)
{
    stage_until(stage, is_quiet, NULL, 20000);
    stage_count(stage, out);
}

static void nothing_is_left(void)
{
    char detail[200];
    stage_until(stage, settled, NULL, 20000);
    snprintf(detail, sizeof(detail),
             "processes %u/%u, mounts %u/%u, cgroups %u/%u, descriptors %u/%u", after.processes,
             before.processes, after.mounts, before.mounts, after.cgroups, before.cgroups,
             after.descriptors, before.descriptors);
    report(settled(NULL), "nothing is left", detail, NULL);
}

// ---- the groups ----

struct group {
    const char *name;
    struct stage_options options;
    unsigned only; // flags of which one must be set; 0: all
    bool needs_root;
};

static const struct group groups[] = {
    {"root", {.degree = SANDBOX_STRICT}, 0, true},
    {"rootless", {.degree = SANDBOX_BEST_EFFORT, .uid = 65534}, 0, true},
    {"denied", {.degree = SANDBOX_STRICT, .deny_calls = true}, 0, true},
    {"denied-rootless", {.degree = SANDBOX_BEST_EFFORT, .uid = 65534, .deny_calls = true}, 0, true},
    {"bare", {.degree = SANDBOX_BEST_EFFORT, .uid = 65534, .deny_namespaces = true}, BARE, true},
    {"none", {.degree = SANDBOX_NONE}, CONTROL, true},
};

// The control needs a root that may do what the attempts try.
static bool mighty(void)
{
    char line[256];
    unsigned long long have = 0, want = 0;
    static const int needed[] = {5, 6, 7, 10, 12, 13, 14, 18, 19, 21, 23, 27};
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof(line), f))
        if (strncmp(line, "CapEff:", 7) == 0)
            have = strtoull(line + 7, NULL, 16);
    if (f)
        fclose(f);
    for (size_t i = 0; i < ARRAY_LEN(needed); i++)
        want |= 1ull << needed[i];
    return (have & want) == want;
}

static const char *cannot_run(const struct group *g, const struct host_facts *h)
{
    if (g->needs_root && geteuid() != 0)
        return "needs root";
    if (g->only == CONTROL && !mighty())
        return "needs a root with its capabilities";
    if (g->options.degree == SANDBOX_STRICT && !h->strict_possible)
        return "strict isolation is not possible on this host: see lambkin doctor";
    if (g->options.degree == SANDBOX_BEST_EFFORT && !g->options.deny_namespaces && !h->user_ns)
        return "no user namespaces on this host";
    return NULL;
}

static int run_group(const struct group *g, const char *build_dir, const char *source_dir)
{
    char path[1024];
    static struct host_facts facts;
    host_facts_probe(&facts);
    const char *why = cannot_run(g, &facts);
    if (why) {
        printf("1..0 # SKIP %s\n", why);
        return 0;
    }
    setenv("KEEPER_SECRET", "known to the keeper only", 1);
    stage = stage_open(&g->options);
    if (!stage) {
        printf("Bail out! the keeper did not start\n");
        return 1;
    }
    snprintf(path, sizeof(path), "%s/hostile", build_dir);
    if (stage_add(stage, path, "hostile") < 0 || stage_add(stage, path, "setuid") < 0)
        return 1;
    snprintf(path, sizeof(path), "%s/code/task/setuid", stage->dir);
    chmod(path, 04755);
    snprintf(path, sizeof(path), "%s/hostile.py", source_dir);
    if (stage_add(stage, path, "hostile.py") < 0)
        return 1;
    set_bait();
    count(&before);
    begin_neighbour();
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const struct expectation *x = &table[i];
        if (g->only && !(x->flags & g->only))
            continue;
        const char *skip = skip_reason(x);
        if (skip)
            report(true, x->name, "", skip);
        else
            attempt(x, g->only == CONTROL);
    }
    end_neighbour();
    count(&after);
    nothing_is_left();
    remove_bait();
    int status = stage_close(stage);
    report(status == 0, "the keeper ended well", "", NULL);
    printf("1..%u\n", number);
    return failures ? 1 : 0;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; argc == 4 && i < ARRAY_LEN(groups); i++)
        if (strcmp(groups[i].name, argv[1]) == 0)
            return run_group(&groups[i], argv[2], argv[3]);
    fprintf(stderr, "test_hostile GROUP BUILD_DIR SOURCE_DIR\n");
    return 2;
}
