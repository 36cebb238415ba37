// keeper_shares.c - that memory, disks and processors are shared out as asked; and test_keeper's
// words.
#include "keeper_test.h"

#include "base/cleanup.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/time.h"
#include "sandbox/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

// ---- small tools ----

void put_file(const char *name, const char *text)
{
    char path[256], dir[256];
    snprintf(path, sizeof(path), "%s/%s", stage->dir, name);
    snprintf(dir, sizeof(dir), "%s", path);
    *strrchr(dir, '/') = '\0';
    mkdir_p(dir, 0755, NULL);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    chmod(path, 0644);
}

struct sandbox_spec spec_of(const char *verb, const char *argument)
{
    struct sandbox_spec spec;
    sandbox_spec_init(&spec);
    spec.binding.code_dir = "task";
    spec.program.argv[spec.program.n_argv++] = "/var/task/guest";
    spec.program.argv[spec.program.n_argv++] = verb;
    if (argument)
        spec.program.argv[spec.program.n_argv++] = argument;
    return spec;
}

void assert_output(const struct stage_run *r, const char *text)
{
    assert_int_equal(r->error, 0);
    assert_string_equal(r->output.len ? r->output.ptr : "", text);
}

void finish_output(struct stage_run *r)
{
    buf_add_char(&r->output, '\0');
    r->output.len--;
}

void run(struct stage_run *r, const struct sandbox_spec *spec)
{
    r->spec = spec;
    r->deadline_ms = 60000;
    stage_run(stage, r);
    finish_output(r);
    assert_false(r->timed_out);
}

bool said_something(void *ctx)
{
    struct stage_run *r = ctx;
    stage_run_gone(r);
    return r->output.len > 0;
}

void end(struct stage_run *r)
{
    keeper_kill(stage->client, r->s.id);
    assert_true(stage_until(stage, stage_run_gone, r, 60000));
    finish_output(r);
}

void ask(int fd, const char *line, char *answer, size_t room, int wait_ms)
{
    struct pollfd p = {fd, POLLIN, 0};
    answer[0] = '\0';
    assert_int_equal(write(fd, line, strlen(line)), strlen(line));
    if (poll(&p, 1, wait_ms) <= 0)
        return;
    ssize_t n = read(fd, answer, room - 1);
    answer[n > 0 ? n : 0] = '\0';
}

bool keeper_test_lost(void *ctx)
{
    (void)ctx;
    return stage->lost;
}

void restart_keeper(void)
{
    kill(stage->keeper, SIGKILL);
    stage_until(stage, keeper_test_lost, NULL, 60000);
    assert_int_equal(stage_restart(stage, &options), 0);
}

// ---- tests ----

void memory_runs_out_alone(void **state)
{
    (void)state;
    NEEDS(stage->status.cgroup_memory);
    char answer[512];
    uint64_t peak = 0;
    struct sandbox_spec calm = spec_of("echo", NULL), greedy = spec_of("hold", "300");
    calm.want_control = true;
    struct stage_run a = {.spec = &calm}, b = {0};
    stage_begin(stage, &a);
    run(&b, &greedy);
    assert_int_equal(b.program.reason, SANDBOX_OOM);
    assert_true(b.program.oom_kills >= 1);
    stage_run_finish(&b);
    ask(a.s.control_fd, "still here\n", answer, sizeof(answer), 60000);
    assert_string_equal(answer, "echo still here\n");
    assert_int_equal(sandbox_memory_peak(a.s.memory_fd, &peak), 0);
    assert_true(peak > 4096 && peak < (uint64_t)128 << 20);
    end(&a);
    stage_run_finish(&a);

    greedy = spec_of("eat", "100");
    greedy.binding.memory_mb = 256;
    b = (struct stage_run){0};
    run(&b, &greedy);
    assert_int_equal(b.program.reason, SANDBOX_EXITED);
    assert_true(b.program.peak_memory_bytes > (uint64_t)100 << 20);
    stage_run_finish(&b);
}

// What was said before the end, and how the program ended.
static void hoards(const char *verb, const char *files, const char *mb,
                   enum sandbox_exit_reason reason, const char *said)
{
    struct sandbox_spec spec = spec_of(verb, files);
    struct stage_run r = {0};
    if (mb)
        spec.program.argv[spec.program.n_argv++] = mb;
    run(&r, &spec);
    assert_int_equal(r.error, 0);
    if (said)
        assert_output(&r, said);
    assert_int_equal(r.program.reason, reason);
    if (reason == SANDBOX_OOM)
        assert_true(r.program.oom_kills >= 1);
    stage_run_finish(&r);
}

void files_are_not_memory(void **state)
{
    (void)state;
    NEEDS(stage->status.cgroup_memory);
    char answer[512];
    uint64_t used = 1;
    struct sandbox_spec calm = spec_of("echo", NULL);
    calm.want_control = true;
    struct stage_run a = {.spec = &calm};
    stage_begin(stage, &a);
    hoards("fill", "500", NULL, SANDBOX_EXITED, "filled 500\n"); // with 128 MB of memory
    hoards("fill", "600", NULL, SANDBOX_EXITED, "ENOSPC after 512 MB\n");
    hoards("hoard", "500", "200", SANDBOX_OOM, NULL);
    hoards("swap", "500", "200", SANDBOX_OOM, NULL);  // emptied again: no room is left behind
    hoards("hoard", "400", "900", SANDBOX_OOM, NULL); // by the kernel, at the latest
    assert_int_equal(sandbox_tmp_used(a.s.tmp_fd, &used), 0);
    assert_true(used < 1 << 20);
    ask(a.s.control_fd, "still here\n", answer, sizeof(answer), 60000);
    assert_string_equal(answer, "echo still here\n");
    end(&a);
    stage_run_finish(&a);
}

void disks_are_shared(void **state)
{
    (void)state;
    char path[256];
    struct cgroup_tree t;
    cgroup_probe(&t);
    NEEDS(stage->status.cgroup_memory && t.has[CGROUP_IO]);
    NEEDS(cgroup_add_disk(&t, stage->dir) == 0); // a disk, and not memory
    snprintf(path, sizeof(path), "%s/code/task/block", stage->dir);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    static char chunk[1 << 20];
    for (int i = 0; i < 4; i++)
        assert_int_equal(write(fd, chunk, sizeof(chunk)), sizeof(chunk));
    assert_int_equal(fsync(fd), 0);
    stage->config.io_bytes = (uint64_t)2 << 20;
    restart_keeper();
    assert_true(stage->status.cgroup_io);
    struct sandbox_spec spec = spec_of("read", "/var/task/block");
    struct stage_run r = {0};
    int64_t begun_ms = os_mono_ms();
    run(&r, &spec);
    assert_output(&r, "read 4194304\n");
    assert_true(os_mono_ms() - begun_ms >= 1200); // two seconds, but for what a slice lends
    stage_run_finish(&r);
    stage->config.io_bytes = 0;
    restart_keeper();
    assert_false(stage->status.cgroup_io); // not asked for: not joined
    unlink(path);
}

// 128 MB are 7 % of a processor, from the end of INIT on.
void cpu_follows_memory(void **state)
{
    (void)state;
    NEEDS(stage->status.cgroup_cpu);
    char answer[512];
    stage->config.cpu_proportional = true;
    restart_keeper();
    struct sandbox_spec spec = spec_of("echo", NULL);
    spec.want_control = true;
    struct stage_run r = {.spec = &spec};
    stage_begin(stage, &r);
    ask(r.s.control_fd, "burn 100\n", answer, sizeof(answer), 60000);
    assert_string_equal(answer, "burnt\n");
    assert_int_equal(keeper_settle(stage->client, r.s.id), 0);
    keeper_thaw(stage->client, r.s.id); // served after it
    stage_until(stage, stage_run_gone, &r, 200);
    int64_t begun_ms = os_mono_ms();
    ask(r.s.control_fd, "burn 100\n", answer, sizeof(answer), 60000);
    assert_string_equal(answer, "burnt\n");
    assert_true(os_mono_ms() - begun_ms >= 700); // 1.4 seconds, but for bursts
    end(&r);
    stage_run_finish(&r);
    stage->config.cpu_proportional = false;
    restart_keeper();
}
