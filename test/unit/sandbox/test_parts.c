// test_parts.c - the keeper's parts that need no privilege: names below a folder, cgroup files in
// both versions, the system call filter.
#include "sandbox/beneath.h"
#include "sandbox/cgroup.h"
#include "sandbox/client.h"
#include "sandbox/outbound.h"
#include "sandbox/seccomp_filter.h"

#include "base/arena.h"
#include "base/cleanup.h"
#include "os/fd.h"
#include "os/file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[256];

static int make_dir(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof(dir), "%s/lambkin-parts-XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    return rm_rf(dir, NULL);
}

static void put(const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    assert_int_equal(write_file_atomic(path, str_from(text), 0644, NULL), 0);
}

static void assert_file(const char *name, const char *text)
{
    char path[512], got[256] = "";
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(read(fd, got, sizeof(got) - 1) >= 0);
    assert_string_equal(got, text);
}

static void make(const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    assert_int_equal(mkdir_p(path, 0755, NULL), 0);
}

static void only_what_is_below(void **state)
{
    (void)state;
    char path[512];
    make("code/a/b");
    make("secret");
    put("code/a/file", "x");
    snprintf(path, sizeof(path), "%s/code/out", dir);
    assert_int_equal(symlink("../secret", path), 0);
    snprintf(path, sizeof(path), "%s/code/in", dir);
    assert_int_equal(symlink("a", path), 0);
    snprintf(path, sizeof(path), "%s/code", dir);
    _cleanup_close_ int code = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    static const struct {
        const char *name;
        bool ok;
    } cases[] = {{"a", true},     {"a/b", true}, {"..", false},     {"a/../../secret", false},
                 {"out", false},  {"in", false}, {"in/b", false},   {"a/file", false},
                 {"/etc", false}, {"c", false},  {"../code", false}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int one = open_beneath(code, cases[i].name, NULL);
        int two = open_beneath_by_parts(code, cases[i].name, NULL);
        if ((one >= 0) != cases[i].ok || (two >= 0) != cases[i].ok)
            fail_msg("'%s': %d, %d", cases[i].name, one, two);
        closep(&one);
        closep(&two);
    }
}

static void limits_of_version_2(void **state)
{
    (void)state;
    static const char *const files[] = {
        "memory.max", "memory.high",   "memory.swap.max", "cpu.weight",    "cpu.max",
        "pids.max",   "cgroup.freeze", "cgroup.kill",     "cpu.max.burst", "memory.peak",
        "io.max",     "io.weight",     "memory.current",  "memory.stat"};
    char path[512], name[64];
    struct cgroup_tree t;
    make("v2");
    snprintf(path, sizeof(path), "%s/v2", dir);
    cgroup_tree_fake(&t, 2, path);
    assert_int_equal(cgroup_make(&t, "s1", NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        snprintf(name, sizeof(name), "v2/s1/%s", files[i]);
        put(name, "");
    }
    put("v2/s1/memory.events", "low 0\nhigh 0\nmax 3\noom 2\noom_kill 2\n");
    struct cgroup_limits l = {
        .memory_bytes = 134217728, .cpu_weight = 100, .cpu_quota = 100, .pids = 64};
    assert_int_equal(t.ops->limit(&t, "s1", &l, NULL), 0);
    assert_file("v2/s1/memory.max", "134217728");
    assert_file("v2/s1/memory.swap.max", "0");
    assert_file("v2/s1/cpu.weight", "100");
    assert_file("v2/s1/io.weight", "100");
    assert_file("v2/s1/cpu.max", "50000 50000");
    assert_file("v2/s1/cpu.max.burst", "0");
    assert_file("v2/s1/pids.max", "64");
    put("v2/s1/memory.max", "");
    put("v2/s1/memory.high", ""); // a real one would not keep what was written before
    put("v2/s1/cpu.max", "");
    put("v2/s1/cpu.max.burst", "");
    l = (struct cgroup_limits){.memory_bytes = 134217728, .tmp_bytes = 1 << 20, .cpu_quota = 7};
    assert_int_equal(t.ops->limit(&t, "s1", &l, NULL), 0);
    assert_file("v2/s1/memory.max", "135266304");  // with /tmp
    assert_file("v2/s1/memory.high", "142606336"); // a sixteenth above it
    assert_file("v2/s1/cpu.max", "3500 50000");
    assert_file("v2/s1/cpu.max.burst", "3500");
    snprintf(t.disks[t.n_disks++], sizeof(t.disks[0]), "254:0");
    assert_int_equal(t.ops->limit_io(&t, "s1", 1000, 0, NULL), 0);
    assert_file("v2/s1/io.max", "254:0 rbps=1000 wbps=1000");
    put("v2/s1/io.max", "");
    assert_int_equal(t.ops->limit_io(&t, "s1", 1000, 20, NULL), 0);
    assert_file("v2/s1/io.max", "254:0 rbps=1000 wbps=1000 riops=20 wiops=20");
    put("v2/s1/memory.current", "5000\n");
    put("v2/s1/memory.stat", "anon 1000\nactive_file 2000\nslab_reclaimable 1000\nshmem 700\n");
    assert_int_equal(t.ops->memory_used(&t, "s1"), 5000);
    assert_int_equal(t.ops->memory_held(&t, "s1", 600), 1400);
    assert_int_equal(t.ops->memory_held(&t, "s1", 6000), 1300); // files cannot hide memory
    assert_int_equal(t.ops->freeze(&t, "s1", true), 0);
    assert_file("v2/s1/cgroup.freeze", "1");
    assert_int_equal(t.ops->kill(&t, "s1"), 0);
    assert_file("v2/s1/cgroup.kill", "1");
    assert_int_equal(t.ops->oom_kills(&t, "s1"), 2);
    put("v2/s1/memory.peak", "4096\n");
    assert_int_equal(cgroup_peak(&t, "s1"), 4096);
    int fd = cgroup_open_dir(&t, "s1");
    assert_true(fd >= 0);
    close(fd);
}

static void limits_of_version_1(void **state)
{
    (void)state;
    static const char *const files[] = {"memory/s1/memory.limit_in_bytes",
                                        "memory/s1/memory.memsw.limit_in_bytes",
                                        "memory/s1/memory.max_usage_in_bytes",
                                        "cpu/s1/cpu.shares",
                                        "cpu/s1/cpu.cfs_period_us",
                                        "cpu/s1/cpu.cfs_quota_us",
                                        "cpu/s1/cpu.cfs_burst_us",
                                        "io/s1/blkio.bfq.weight",
                                        "io/s1/blkio.throttle.read_bps_device",
                                        "io/s1/blkio.throttle.write_bps_device",
                                        "io/s1/blkio.throttle.read_iops_device",
                                        "io/s1/blkio.throttle.write_iops_device",
                                        "memory/s1/memory.stat",
                                        "pids/s1/pids.max",
                                        "freezer/s1/freezer.state"};
    char path[512], name[96];
    struct cgroup_tree t;
    make("v1");
    snprintf(path, sizeof(path), "%s/v1", dir);
    cgroup_tree_fake(&t, 1, path);
    assert_int_equal(cgroup_make(&t, "s1", NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        snprintf(name, sizeof(name), "v1/%s", files[i]);
        put(name, "");
    }
    put("v1/memory/s1/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
    const struct cgroup_limits l = {.memory_bytes = 1 << 20,
                                    .tmp_bytes = 1 << 20,
                                    .cpu_weight = 200,
                                    .cpu_quota = 200,
                                    .pids = 5};
    assert_int_equal(t.ops->limit(&t, "s1", &l, NULL), 0);
    assert_file("v1/memory/s1/memory.limit_in_bytes", "2097152");
    assert_file("v1/memory/s1/memory.memsw.limit_in_bytes", "2097152");
    assert_file("v1/cpu/s1/cpu.cfs_quota_us", "100000");
    assert_file("v1/cpu/s1/cpu.cfs_burst_us", "0");
    assert_file("v1/cpu/s1/cpu.shares", "2048");
    assert_file("v1/io/s1/blkio.bfq.weight", "200");
    snprintf(t.disks[t.n_disks++], sizeof(t.disks[0]), "254:0");
    assert_int_equal(t.ops->limit_io(&t, "s1", 1000, 20, NULL), 0);
    assert_file("v1/io/s1/blkio.throttle.read_bps_device", "254:0 1000");
    assert_file("v1/io/s1/blkio.throttle.write_iops_device", "254:0 20");
    put("v1/memory/s1/memory.stat", "cache 9000\nrss 1000\nshmem 700\nswap 50\n");
    assert_int_equal(t.ops->memory_held(&t, "s1", 600), 1150);
    assert_int_equal(t.ops->memory_held(&t, "s1", 6000), 1000);
    assert_file("v1/pids/s1/pids.max", "5");
    assert_int_equal(t.ops->freeze(&t, "s1", true), 0);
    assert_file("v1/freezer/s1/freezer.state", "FROZEN");
    assert_int_equal(t.ops->kill(&t, "s1"), -EOPNOTSUPP);
    assert_int_equal(t.ops->oom_kills(&t, "s1"), 1);
    int procs[CGROUP_CONTROLLERS];
    assert_int_equal(cgroup_open_procs(&t, "s1", procs), 0); // made-up folders have none
}

static void a_limit_that_does_not_hold_is_an_error(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    char path[512];
    struct cgroup_tree t;
    make("v2bad");
    snprintf(path, sizeof(path), "%s/v2bad", dir);
    cgroup_tree_fake(&t, 2, path);
    assert_int_equal(cgroup_make(&t, "s1", NULL), 0); // without the files
    const struct cgroup_limits l = {.memory_bytes = 1 << 20};
    assert_true(t.ops->limit(&t, "s1", &l, &err) < 0);
    assert_non_null(strstr(err.message, "memory"));
}

// In a child: which errno a call answers under the filter.
static int under_filter(bool tracing, long number, long a, long b)
{
    struct seccomp_filter f;
    assert_int_equal(seccomp_filter_build(&f, tracing, NULL), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || seccomp_filter_install(&f) < 0)
            _exit(200);
        _exit(syscall(number, a, b, 0, 0, 0) < 0 ? errno : 0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    seccomp_filter_finish(&f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void filter_answers(void **state)
{
    (void)state;
    assert_int_equal(under_filter(false, SYS_getpid, 0, 0), 0);
    assert_int_equal(under_filter(false, SYS_unshare, 0, 0), EPERM);
    assert_int_equal(under_filter(false, SYS_clone3, 0, 0), ENOSYS);
    assert_int_equal(under_filter(false, SYS_mount, 0, 0), EPERM);
    assert_int_equal(under_filter(false, 999, 0, 0), ENOSYS);
    assert_int_equal(under_filter(false, SYS_ptrace, 0, 0), EPERM);
    assert_int_equal(under_filter(false, SYS_socket, 16 /* netlink */, 3), 0);
    assert_int_equal(under_filter(false, SYS_socket, 17 /* packet */, 3), EAFNOSUPPORT);
}

static void outbound_destinations(void **state)
{
    (void)state;
    static const struct {
        const char *text, *network; // as it is told again
        unsigned port;
    } cases[] = {
        {"0.0.0.0/0", "0.0.0.0/0", 0},
        {"10.1.2.3/8", "10.0.0.0/8", 0},
        {"1.2.3.4", "1.2.3.4/32", 0},
        {"1.2.3.4:*", "1.2.3.4/32", 0},
        {"10.0.0.0/8:443", "10.0.0.0/8", 443},
        {"::1", "::1/128", 0},
        {"::/0", "::/0", 0},
        {"2001:db8:ffff::1/33", "2001:db8:8000::/33", 0},
        {"[2001:db8::/32]:443", "2001:db8::/32", 443},
        {"[2001:db8::1]", "2001:db8::1/128", 0},
        {"[10.0.0.0/8]:80", "10.0.0.0/8", 80},
        {"10.0.0.0/8:0", NULL, 0},
        {"10.0.0.0/8:65536", NULL, 0},
        {"10.0.0.0/8:", NULL, 0},
        {"10.0.0.0/33", NULL, 0},
        {"10.0.0/8", NULL, 0},
        {"2001:db8::/129", NULL, 0},
        {"[2001:db8::/32", NULL, 0},
        {"[2001:db8::/32]443", NULL, 0},
        {"[]:1", NULL, 0},
        {"example.com", NULL, 0},
        {"", NULL, 0},
        {"/8", NULL, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct outbound_network n;
        char address[64] = "", network[80] = "";
        int r = outbound_parse(cases[i].text, &n, NULL);
        if (r == 0) {
            inet_ntop(n.family, n.address, address, sizeof(address));
            snprintf(network, sizeof(network), "%s/%u", address, n.bits);
        }
        if (cases[i].network
                ? r < 0 || strcmp(network, cases[i].network) != 0 || n.port != cases[i].port
                : r != -EINVAL)
            fail_msg("'%s': %d, %s port %u", cases[i].text, r, network, n.port);
    }
}

static void direct_calls_without_descriptors(void **state)
{
    (void)state;
    uint64_t peak;
    assert_int_equal(sandbox_freeze(-1), -EOPNOTSUPP);
    assert_int_equal(sandbox_memory_peak(-1, &peak), -ENODATA);
    sandbox_memory_peak_reset(-1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_below),
        cmocka_unit_test(limits_of_version_2),
        cmocka_unit_test(limits_of_version_1),
        cmocka_unit_test(a_limit_that_does_not_hold_is_an_error),
        cmocka_unit_test(filter_answers),
        cmocka_unit_test(outbound_destinations),
        cmocka_unit_test(direct_calls_without_descriptors),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
