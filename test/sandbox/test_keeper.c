// test_keeper.c - what the server relies on: starting, injecting, executing, signalling, freezing,
// killing, running out of memory, refusing, and dying. With a real keeper: test_keeper GROUP DIR.
#include "keeper_test.h"

#include "base/cleanup.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/message.h"
#include "os/time.h"
#include "sandbox/host_facts.h"
#include "sandbox/protocol.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct stage *stage;
struct stage_options options;

// ---- tests ----

static void program_runs(void **state)
{
    (void)state;
    struct sandbox_spec spec = spec_of("hello", NULL);
    struct stage_run r = {0};
    run(&r, &spec);
    assert_output(&r, "x\n");
    assert_int_equal(r.program.reason, SANDBOX_EXITED);
    assert_int_equal(r.program.status, 0);
    assert_int_equal(r.sandbox.reason, SANDBOX_EXITED);
    if (stage->status.cgroup_memory)
        assert_true(r.program.peak_memory_bytes > 0);
    stage_run_finish(&r);
}

static void status_is_told(void **state)
{
    (void)state;
    struct sandbox_spec spec = spec_of("exit", "7");
    struct stage_run r = {0};
    run(&r, &spec);
    assert_int_equal(r.program.reason, SANDBOX_EXITED);
    assert_int_equal(r.program.status, 7);
    stage_run_finish(&r);

    spec = spec_of("raise", "11");
    r = (struct stage_run){0};
    run(&r, &spec);
    assert_int_equal(r.program.reason, SANDBOX_SIGNALLED);
    assert_int_equal(r.program.status, SIGSEGV);
    stage_run_finish(&r);
}

static void missing_program_is_told(void **state)
{
    (void)state;
    struct sandbox_spec spec = spec_of("hello", NULL);
    spec.program.argv[0] = "/var/task/bootstrap";
    struct stage_run r = {0};
    run(&r, &spec);
    assert_int_equal(r.program.reason, SANDBOX_FAILED);
    assert_int_equal(r.program.status, ENOENT);
    assert_non_null(strstr(r.program.what, "bootstrap"));
    stage_run_finish(&r);
}

static void environment_and_folder(void **state)
{
    (void)state;
    struct sandbox_spec spec = spec_of("env", "COLOUR");
    spec.program.env[spec.program.n_env++] = "COLOUR=green";
    struct stage_run r = {0};
    run(&r, &spec);
    assert_output(&r, "green\n");
    stage_run_finish(&r);

    spec = spec_of("env", "KEEPER_SECRET");
    r = (struct stage_run){0};
    run(&r, &spec);
    assert_output(&r, "(not set)\n");
    stage_run_finish(&r);

    spec = spec_of("cwd", NULL);
    r = (struct stage_run){0};
    run(&r, &spec);
    assert_true(str_starts(buf_str(&r.output), STR("/var/task ")));
    stage_run_finish(&r);
}

static void control_socket(void **state)
{
    (void)state;
    char answer[512];
    struct sandbox_spec spec = spec_of("echo", NULL);
    spec.want_control = true;
    struct stage_run r = {.spec = &spec};
    stage_begin(stage, &r);
    assert_int_equal(r.error, 0);
    assert_true(r.s.control_fd >= 0);
    assert_string_equal(r.s.task_root, "/var/task");
    ask(r.s.control_fd, "one\n", answer, sizeof(answer), 60000);
    assert_string_equal(answer, "echo one\n");
    closep(&r.s.control_fd); // its end is seen inside
    assert_true(stage_until(stage, stage_run_gone, &r, 60000));
    assert_int_equal(r.program.reason, SANDBOX_EXITED);
    stage_run_finish(&r);
}

// A managed runtime's spare: up and running before there is code.
static void code_is_injected_into_a_live_program(void **state)
{
    (void)state;
    NEEDS(stage->status.inject);
    char answer[512];
    struct err err = ERR_INIT;
    struct sandbox_spec spec = spec_of("echo", NULL);
    spec.binding.code_dir = NULL;
    spec.program.argv[0] = "/var/runtime/guest";
    spec.want_control = true;
    struct stage_run r = {.spec = &spec};
    stage_begin(stage, &r);
    assert_int_equal(r.error, 0);
    ask(r.s.control_fd, "cat /var/task/hello.txt\n", answer, sizeof(answer), 60000);
    assert_string_equal(answer, "ENOENT\n");
    struct sandbox_binding b = {
        .code_dir = "task", .layer_dir = "layers/a", .memory_mb = 256, .tmp_mb = 600};
    assert_int_equal(stage_inject(stage, &r, &b, NULL, &err), 0);
    ask(r.s.control_fd, "cat /var/task/hello.txt\n", answer, sizeof(answer), 60000);
    assert_string_equal(answer, "hello from code\n");
    ask(r.s.control_fd, "cat /opt/only-a\n", answer, sizeof(answer), 60000);
    assert_string_equal(answer, "a\n");
    assert_int_equal(stage_inject(stage, &r, &b, NULL, &err), -EBUSY);
    end(&r);
    assert_int_equal(r.sandbox.reason, SANDBOX_KILLED);
    stage_run_finish(&r);
}

// A custom runtime's spare: nothing runs but pid 1.
static void program_is_injected_into_a_waiting_sandbox(void **state)
{
    (void)state;
    NEEDS(stage->status.inject);
    struct err err = ERR_INIT;
    struct sandbox_spec spec;
    sandbox_spec_init(&spec);
    struct stage_run r = {.spec = &spec};
    stage_begin(stage, &r);
    assert_int_equal(r.error, 0);
    struct sandbox_spec with = spec_of("size", "/tmp");
    with.binding.tmp_mb = 700;
    assert_int_equal(stage_inject(stage, &r, &with.binding, &with.program, &err), 0);
    assert_true(stage_until(stage, stage_run_gone, &r, 60000));
    finish_output(&r);
    assert_output(&r, "700\n");
    assert_int_equal(r.program.reason, SANDBOX_EXITED);
    stage_run_finish(&r);
}

static void further_programs(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct sandbox_spec spec = spec_of("wait", NULL), extension = spec_of("exit", "3");
    struct stage_run r = {.spec = &spec};
    uint32_t number = 0;
    spec.keep_on_exit = true;
    stage_begin(stage, &r);
    assert_true(stage_until(stage, said_something, &r, 60000));
    assert_int_equal(stage_exec(stage, &r, &extension.program, &number, &err), 0);
    assert_int_equal(number, 2);
    int64_t until = os_mono_ms() + 60000;
    while (r.other.program != 2 && os_mono_ms() < until)
        stage_until(stage, stage_run_gone, &r, 5);
    assert_int_equal(r.other.program, 2);
    assert_int_equal(r.other.status, 3);
    assert_false(r.gone);
    // The main program ends, the sandbox stays.
    keeper_signal(stage->client, r.s.id, 1, SIGTERM);
    until = os_mono_ms() + 60000;
    while (r.program.program != 1 && os_mono_ms() < until)
        stage_until(stage, stage_run_gone, &r, 5);
    assert_int_equal(r.program.reason, SANDBOX_EXITED);
    assert_false(r.gone);
    end(&r);
    assert_output(&r, "waiting\nterminated\n");
    stage_run_finish(&r);
}

static void frozen_is_silent(void **state)
{
    (void)state;
    char answer[512];
    struct sandbox_spec spec = spec_of("echo", NULL);
    spec.want_control = true;
    struct stage_run r = {.spec = &spec};
    stage_begin(stage, &r);
    ask(r.s.control_fd, "one\n", answer, sizeof(answer), 60000);
    assert_string_equal(answer, "echo one\n");
    for (int direct = 0; direct < 2; direct++) {
        if (direct && r.s.freezer_fd < 0)
            break;
        if (direct) {
            assert_int_equal(sandbox_freeze(r.s.freezer_fd), 0);
        } else {
            keeper_freeze(stage->client, r.s.id);
            usleep(100000); // no answer to wait for
        }
        ask(r.s.control_fd, "two\n", answer, sizeof(answer), 200);
        assert_string_equal(answer, "");
        if (direct)
            assert_int_equal(sandbox_thaw(r.s.freezer_fd), 0);
        else
            keeper_thaw(stage->client, r.s.id);
        ask(r.s.control_fd, "", answer, sizeof(answer), 60000);
        assert_string_equal(answer, "echo two\n");
    }
    keeper_freeze(stage->client, r.s.id); // and dies frozen
    end(&r);
    stage_run_finish(&r);
}

static void listener_is_identity(void **state)
{
    (void)state;
    struct sandbox_spec spec = spec_of("dial", "9001");
    struct stage_run a = {.spec = &spec}, b = {.spec = &spec};
    stage_begin(stage, &a);
    stage_begin(stage, &b);
    assert_int_equal(a.s.runtime_api_port, SANDBOX_RUNTIME_API_PORT);
    for (int i = 0; i < 2; i++) {
        struct stage_run *r = i ? &a : &b;
        struct pollfd p = {r->s.runtime_api_fd, POLLIN, 0};
        assert_int_equal(poll(&p, 1, 60000), 1);
        _cleanup_close_ int fd = accept4(r->s.runtime_api_fd, NULL, NULL, SOCK_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, i ? "A" : "B", 1), 1);
    }
    assert_true(stage_until(stage, stage_run_gone, &a, 60000));
    assert_true(stage_until(stage, stage_run_gone, &b, 60000));
    finish_output(&a);
    finish_output(&b);
    assert_output(&a, "got A\n");
    assert_output(&b, "got B\n");
    stage_run_finish(&a);
    stage_run_finish(&b);
}

static int listen_on_host(uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&a, len) == 0 && listen(fd, 4) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    *port = ntohs(a.sin_port);
    return fd;
}

static void connections_stay_inside(void **state)
{
    (void)state;
    struct sandbox_spec serving = spec_of("serve", "7777"), other = spec_of("wait", NULL);
    struct stage_run a = {.spec = &serving}, b = {.spec = &other};
    struct err err = ERR_INIT;
    uint16_t host_port;
    char text[64];
    _cleanup_close_ int host = listen_on_host(&host_port);
    assert_true(host >= 0);
    stage_begin(stage, &a);
    stage_begin(stage, &b);
    assert_true(stage_until(stage, said_something, &a, 60000));
    assert_true(stage_until(stage, said_something, &b, 60000));
    for (int i = 0; i < 3; i++) {
        _cleanup_close_ int fd = stage_connect(stage, a.s.id, 7777, &err);
        assert_true(fd >= 0);
        char device[16] = ""; // nothing but the loopback, whatever else the sandbox may reach
        socklen_t len = sizeof(device);
        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, &len), 0);
        assert_string_equal(device, "lo");
        assert_int_equal(write(fd, "you\n", 4), 4);
        struct pollfd p = {fd, POLLIN, 0};
        assert_int_equal(poll(&p, 1, 60000), 1);
        ssize_t n = read(fd, text, sizeof(text));
        assert_int_equal(n, 10);
        assert_memory_equal(text, "heard you\n", 10);
    }
    // Nobody listens there in the other one; what listens on the host is nowhere to be seen.
    assert_int_equal(stage_connect(stage, b.s.id, 7777, &err), -ECONNREFUSED);
    assert_int_equal(stage_connect(stage, a.s.id, host_port, &err), -ECONNREFUSED);
    assert_int_equal(stage_connect(stage, 4711, 7777, &err), -ESRCH);
    assert_int_equal(stage_connect(stage, a.s.id, 0, &err), -EINVAL);
    end(&a);
    assert_int_equal(stage_connect(stage, a.s.id, 7777, &err), -ESRCH);
    end(&b);
    stage_run_finish(&a);
    stage_run_finish(&b);
}

static void names_stay_below(void **state)
{
    (void)state;
    static const char *const bad[] = {"link", "link/x", "not-there", "task/guest"};
    char path[256];
    snprintf(path, sizeof(path), "%s/code/link", stage->dir);
    assert_int_equal(symlink("/etc", path), 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct sandbox_spec spec = spec_of("hello", NULL);
        struct stage_run r = {0};
        spec.binding.code_dir = bad[i];
        run(&r, &spec);
        assert_true(r.error < 0);
        stage_run_finish(&r);
    }
    // Refused before they are sent, and by the keeper (malformed_is_fatal) as well.
    static const char *const never[] = {"..", "a/../b", "/etc", "a//b", "./a"};
    for (size_t i = 0; i < ARRAY_LEN(never); i++) {
        struct sandbox_spec spec = spec_of("hello", NULL);
        spec.id = 77;
        spec.binding.code_dir = never[i];
        assert_int_equal(sandbox_spec_check(&spec, NULL), -EINVAL);
    }
    struct sandbox_spec spec = spec_of("hello", NULL);
    struct stage_run r = {0};
    spec.binding.hot = true;
    spec.binding.code_dir = "/etc";
    run(&r, &spec);
    assert_int_equal(r.error, -EACCES);
    stage_run_finish(&r);
}

static void programs_are_listed(void **state)
{
    (void)state;
    struct sandbox_spec spec = spec_of("hello", NULL);
    struct stage_run r = {0};
    spec.program.argv[0] = "/usr/bin/env";
    run(&r, &spec);
    assert_int_equal(r.error, -EACCES);
    stage_run_finish(&r);
}

// Over a connection of its own: what is sent ends that connection, and nothing else.
static void malformed_is_fatal(void **state)
{
    (void)state;
    char room[1024];
    struct sandbox_spec spec = spec_of("wait", NULL);
    struct stage_run r = {.spec = &spec};
    stage_begin(stage, &r);
    for (int kind = 0; kind < 9; kind++) {
        int pair[2];
        assert_int_equal(message_pair(pair, NULL), 0);
        assert_int_equal(keeper_attach(stage->main_fd, pair[1], NULL), 0);
        close(pair[1]);
        struct protocol_writer w;
        protocol_begin(&w, room, PROTOCOL_START, 1, 1);
        if (kind == 1)
            protocol_put_u32(&w, 0xffffffff);
        if (kind == 2 || kind == 3) { // a name that climbs out
            struct sandbox_spec s = spec_of("hello", NULL);
            s.binding.code_dir = kind == 2 ? "../../etc" : "/etc";
            protocol_put_binding(&w, &s.binding);
            protocol_put_program(&w, &s.program);
            for (int i = 0; i < 3; i++)
                protocol_put_u32(&w, 0);
        }
        if (kind == 4) // only main may
            protocol_begin(&w, room, PROTOCOL_STOP, 0, 0);
        if (kind == 6 || kind == 7) { // no such ports
            protocol_begin(&w, room, PROTOCOL_CONNECT, 1, 1);
            protocol_put_u32(&w, kind == 6 ? 0 : 65536);
        }
        if (kind == 8) // bytes left over
            protocol_begin(&w, room, PROTOCOL_CONNECT, 1, 1);
        if (kind == 8)
            protocol_put_u64(&w, 80);
        ssize_t n = protocol_end(&w);
        if (kind == 5)
            room[0] = 'x';
        assert_int_equal(message_send(pair[0], room, (size_t)n, NULL, 0, NULL), 0);
        for (;;) { // the greeting, then the end
            struct pollfd p = {pair[0], POLLIN, 0};
            unsigned no_fds = 0;
            assert_int_equal(poll(&p, 1, 60000), 1);
            static char in[PROTOCOL_MAX_BYTES];
            if (message_receive(pair[0], in, sizeof(in), NULL, &no_fds, NULL) <= 0)
                break;
        }
        close(pair[0]);
    }
    assert_true(stage_until(stage, said_something, &r, 60000));
    assert_false(r.gone);
    end(&r);
    stage_run_finish(&r);
}

// A listener of ours at an address of this host that is not loopback.
static int listen_outside(char *ip, size_t room, char *port, size_t port_room)
{
    struct ifaddrs *all = NULL;
    struct sockaddr_in a = {0};
    socklen_t len = sizeof(a);
    getifaddrs(&all);
    for (struct ifaddrs *i = all; i; i = i->ifa_next)
        if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET && !(i->ifa_flags & IFF_LOOPBACK) &&
            (i->ifa_flags & IFF_UP))
            memcpy(&a, i->ifa_addr, sizeof(a));
    freeifaddrs(all);
    if (a.sin_family != AF_INET)
        return -1;
    a.sin_port = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 4) < 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) < 0)
        return -1;
    inet_ntop(AF_INET, &a.sin_addr, ip, (socklen_t)room);
    snprintf(port, port_room, "%u", ntohs(a.sin_port));
    return fd;
}

static void outbound_is_granted(void **state)
{
    (void)state;
    char ip[64], port[16];
    _cleanup_close_ int listener = listen_outside(ip, sizeof(ip), port, sizeof(port));
    NEEDS(listener >= 0);
    NEEDS(access("/usr/bin/pasta", X_OK) == 0);
    struct sandbox_spec spec = spec_of("dial", port);
    spec.program.argv[spec.program.n_argv++] = ip;
    struct stage_run r = {0};
    run(&r, &spec);
    assert_output(&r, "ENETUNREACH\n"); // no grant
    stage_run_finish(&r);

    spec.binding.n_outbound = 1;
    spec.binding.outbound[0] = "10.0.0.0/8:https";
    r = (struct stage_run){0};
    run(&r, &spec);
    assert_int_equal(r.error, options.uid ? -EOPNOTSUPP : -EINVAL);
    stage_run_finish(&r);

    spec.binding.outbound[0] = "0.0.0.0/0";
    r = (struct stage_run){0};
    run(&r, &spec);
    if (options.uid) { // rootless: refused, not granted half
        assert_int_equal(r.error, -EOPNOTSUPP);
        stage_run_finish(&r);
        return;
    }
    assert_output(&r, "EHOSTUNREACH\n"); // everything but the host itself
    stage_run_finish(&r);

    spec.binding.outbound[0] = ip; // the host, by name
    r = (struct stage_run){.spec = &spec};
    stage_begin(stage, &r);
    assert_int_equal(r.error, 0);
    struct pollfd p = {listener, POLLIN, 0};
    assert_int_equal(poll(&p, 1, 60000), 1);
    _cleanup_close_ int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_int_equal(write(fd, "through", 7), 7);
    assert_true(stage_until(stage, stage_run_gone, &r, 60000));
    finish_output(&r);
    assert_output(&r, "got through\n");
    stage_run_finish(&r);

    spec.program.argv[3] = "169.254.169.254"; // the metadata service, never
    spec.binding.outbound[0] = "0.0.0.0/0";
    r = (struct stage_run){0};
    run(&r, &spec);
    assert_output(&r, "EHOSTUNREACH\n");
    stage_run_finish(&r);
}

#define MANY 60

static bool all_gone(void *ctx)
{
    struct stage_run *r = ctx;
    bool all = true;
    for (int i = 0; i < MANY; i++)
        all = stage_run_gone(&r[i]) && all;
    return all;
}

static void many_at_once(void **state)
{
    (void)state;
    static struct stage_run r[MANY];
    struct sandbox_spec spec = spec_of("hello", NULL);
    for (int i = 0; i < MANY; i++) {
        r[i] = (struct stage_run){.spec = &spec};
        stage_begin(stage, &r[i]);
    }
    assert_true(stage_until(stage, all_gone, r, 60000));
    for (int i = 0; i < MANY; i++) {
        finish_output(&r[i]);
        assert_output(&r[i], "x\n");
        stage_run_finish(&r[i]);
    }
}

// kill -9 of the keeper: what it held dies, and its successor cleans up.
static void keeper_dies(void **state)
{
    (void)state;
    struct sandbox_spec spec = spec_of("wait", NULL);
    struct stage_run r = {.spec = &spec};
    stage_begin(stage, &r);
    assert_true(stage_until(stage, said_something, &r, 60000));
    pid_t inside = r.s.pid;
    kill(stage->keeper, SIGKILL);
    stage_until(stage, keeper_test_lost, NULL, 60000);
    assert_true(stage->lost);
    assert_true(r.gone);
    assert_int_equal(r.sandbox.reason, SANDBOX_LOST);
    int64_t until = os_mono_ms() + 60000;
    while (kill(inside, 0) == 0 && os_mono_ms() < until)
        usleep(1000);
    assert_int_not_equal(kill(inside, 0), 0);
    stage_run_finish(&r);
    assert_int_equal(stage_restart(stage, &options), 0);
    spec = spec_of("hello", NULL);
    r = (struct stage_run){0};
    run(&r, &spec);
    assert_output(&r, "x\n");
    stage_run_finish(&r);
}

// What a taken-over server could prepare for the next keeper.
static void code_must_not_be_a_link(void **state)
{
    (void)state;
    char code[256], kept[256];
    snprintf(code, sizeof(code), "%s/code", stage->dir);
    snprintf(kept, sizeof(kept), "%s/kept", stage->dir);
    kill(stage->keeper, SIGKILL);
    stage_until(stage, keeper_test_lost, NULL, 60000);
    assert_int_equal(rename(code, kept), 0);
    assert_int_equal(symlink("/etc", code), 0);
    assert_true(stage_restart(stage, &options) < 0);
    assert_int_equal(unlink(code), 0);
    assert_int_equal(rename(kept, code), 0);
    assert_int_equal(stage_restart(stage, &options), 0);
}

int main(int argc, char **argv)
{
    static struct host_facts facts;
    char path[512];
    if (argc < 3)
        return 2;
    bool rootless = strcmp(argv[1], "rootless") == 0;
    host_facts_probe(&facts);
    if (geteuid() != 0 || (rootless ? !facts.user_ns : !facts.strict_possible)) {
        printf("1..0 # SKIP needs root, and what strict isolation needs: see lambkin doctor\n");
        return 77;
    }
    signal(SIGPIPE, SIG_IGN);
    setenv("KEEPER_SECRET", "known to the keeper only", 1);
    options = (struct stage_options){.degree = rootless ? SANDBOX_BEST_EFFORT : SANDBOX_STRICT,
                                     .uid = rootless ? 65534 : 0};
    stage = stage_open(&options);
    if (!stage)
        return 1;
    snprintf(path, sizeof(path), "%s/guest", argv[2]);
    if (stage_add(stage, path, "guest") < 0 || stage_add(stage, path, "../../runtime/guest") < 0)
        return 1;
    put_file("code/task/hello.txt", "hello from code\n");
    put_file("code/layers/a/only-a", "a\n");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(program_runs),
        cmocka_unit_test(status_is_told),
        cmocka_unit_test(missing_program_is_told),
        cmocka_unit_test(environment_and_folder),
        cmocka_unit_test(control_socket),
        cmocka_unit_test(code_is_injected_into_a_live_program),
        cmocka_unit_test(program_is_injected_into_a_waiting_sandbox),
        cmocka_unit_test(further_programs),
        cmocka_unit_test(frozen_is_silent),
        cmocka_unit_test(memory_runs_out_alone),
        cmocka_unit_test(files_are_not_memory),
        cmocka_unit_test(listener_is_identity),
        cmocka_unit_test(names_stay_below),
        cmocka_unit_test(connections_stay_inside),
        cmocka_unit_test(programs_are_listed),
        cmocka_unit_test(malformed_is_fatal),
        cmocka_unit_test(outbound_is_granted),
        cmocka_unit_test(many_at_once),
        cmocka_unit_test(keeper_dies),
        cmocka_unit_test(disks_are_shared),
        cmocka_unit_test(cpu_follows_memory),
        cmocka_unit_test(code_must_not_be_a_link),
    };
    if (argc > 3) // one alone, by hand
        cmocka_set_test_filter(argv[3]);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return stage_close(stage) != 0 || failed ? 1 : 0;
}
