// sandbox_bench.c - what isolation costs: from clone3 to the first byte of a static binary, in the
// complete sandbox and with bare namespaces, interleaved. sandbox_bench GUEST_DIR [ROUNDS]
//
// Prints one line per case: name, median and 99th percentile in microseconds, and the ratio of its
// median to that of the bare case with the same namespaces and cgroups. Joining a v1 cgroup waits
// for a grace period of the kernel's RCU (some milliseconds) unless somebody just did the same;
// that is why it has its own line. Needs root.
#include "stage.h"

#include "base/cleanup.h"
#include "os/fd.h"
#include "os/time.h"
#include "sandbox/cgroup.h"
#include "sandbox/kernel.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#define MAX_ROUNDS 2000

static double times[6][MAX_ROUNDS];

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double row(const char *name, double *t, int n, double base)
{
    qsort(t, (size_t)n, sizeof(*t), by_value);
    double median = t[n / 2];
    printf("%-44s %8.0f us  p99 %8.0f us", name, median, t[n * 99 / 100]);
    if (base > 0)
        printf("  %5.2f x", median / base);
    printf("\n");
    return median;
}

static struct cgroup_tree cgroups;

// clone3 with these namespaces (and cgroups of its own), exec, first byte.
static double bare(const char *program, uint64_t flags, bool join)
{
    int procs[CGROUP_CONTROLLERS];
    unsigned n_procs = 0;
    if (join) {
        cgroup_make(&cgroups, "s0", NULL);
        n_procs = cgroup_open_procs(&cgroups, "s0", procs);
    }
    int out[2];
    if (pipe2(out, O_CLOEXEC) < 0)
        exit(1);
    int64_t from = os_mono_ns();
    struct kernel_clone_args a = {.flags = flags, .exit_signal = SIGCHLD};
    pid_t pid = kernel_clone3(&a);
    if (pid == 0) {
        char *argv[] = {(char *)(uintptr_t)program, (char *)(uintptr_t) "hello", NULL};
        char *envp[] = {NULL};
        for (unsigned i = 0; i < n_procs; i++)
            if (write(procs[i], "0", 1) < 0)
                _exit(126);
        dup2(out[1], 1);
        execve(program, argv, envp);
        _exit(127);
    }
    close(out[1]);
    char byte;
    if (pid < 0 || read(out[0], &byte, 1) != 1) {
        perror("clone3");
        exit(1);
    }
    double us = (double)(os_mono_ns() - from) / 1e3;
    close(out[0]);
    waitpid(pid, NULL, 0);
    while (n_procs)
        close(procs[--n_procs]);
    while (join && cgroup_remove(&cgroups, "s0") == -EBUSY)
        usleep(500);
    return us;
}

static bool first_byte(void *ctx)
{
    struct stage_run *r = ctx;
    stage_run_gone(r);
    return r->output.len > 0 || r->gone;
}

// The request to the keeper until the first byte: the same program, in the sandbox.
static double sandboxed(struct stage *s)
{
    struct sandbox_spec spec;
    sandbox_spec_init(&spec);
    spec.binding.code_dir = "task";
    spec.program.argv[0] = "/var/task/guest";
    spec.program.argv[1] = "hello";
    spec.program.n_argv = 2;
    struct stage_run r = {.spec = &spec};
    int64_t from = os_mono_ns();
    stage_begin(s, &r);
    if (r.error < 0) {
        fprintf(stderr, "%s\n", r.err.message);
        exit(1);
    }
    struct pollfd p = {r.s.output_fd, POLLIN, 0};
    if (poll(&p, 1, 30000) != 1)
        exit(1);
    double us = (double)(os_mono_ns() - from) / 1e3;
    if (!stage_until(s, first_byte, &r, 30000) || !stage_until(s, stage_run_gone, &r, 30000))
        exit(1);
    stage_run_finish(&r);
    return us;
}

static bool spares_are_there(void *ctx)
{
    struct stage_count c;
    stage_count(ctx, &c);
    return c.processes >= 4;
}

static struct stage *open_stage(unsigned spares, const char *guest)
{
    struct stage_options o = {.degree = SANDBOX_STRICT, .spare_slots = spares};
    struct stage *s = stage_open(&o);
    if (!s || stage_add(s, guest, "guest") < 0)
        exit(1);
    return s;
}

int main(int argc, char **argv)
{
    char guest[512];
    int n = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 200;
    if (argc < 2 || n < 10 || n > MAX_ROUNDS)
        return 2;
    if (geteuid() != 0) {
        printf("skipped: needs root\n");
        return 0;
    }
    snprintf(guest, sizeof(guest), "%s/guest", argv[1]);
    cgroup_tree_open(&cgroups, "bench", false, NULL);
    struct stage *made = open_stage(KEEPER_NO_SPARES, guest), *spare = open_stage(4, guest);
    const uint64_t spaces =
        CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP;
    for (int i = 0; i < n; i++) {
        times[0][i] = bare(guest, 0, false);
        times[1][i] = bare(guest, spaces, false);
        usleep(60000); // each pays for itself: no grace period left over from the one before
        times[2][i] = bare(guest, spaces, true);
        usleep(60000);
        times[3][i] = sandboxed(made);
        stage_until(spare, spares_are_there, spare, 5000);
        usleep(60000);
        times[4][i] = sandboxed(spare);
    }
    row("exec without namespaces", times[0], n, 0);
    double plain = row("bare clone3, the same namespaces", times[1], n, 0);
    double base = row("bare clone3, the same namespaces and cgroups", times[2], n, 0);
    double asked = row("complete sandbox, made when asked for", times[3], n, base);
    double taken = row("complete sandbox, taken from the spares", times[4], n, base);
    printf("of bare clone3 with the namespaces alone: made %.2f x, from the spares %.2f x\n",
           asked / plain, taken / plain);
    cgroup_tree_close(&cgroups);
    return stage_close(made) || stage_close(spare);
}
