// stage.h - a real keeper for tests and benches, in a temporary data directory, and one sandbox at
// a time in it: start, wait, read what it wrote.
//
// The keeper runs in a child process, as any user and with any system calls denied. Everything
// here blocks, with deadlines.
#ifndef LAMBKIN_TEST_SANDBOX_STAGE_H
#define LAMBKIN_TEST_SANDBOX_STAGE_H

#include "base/buf.h"
#include "os/loop.h"
#include "sandbox/client.h"
#include "sandbox/keeper.h"

#include <sys/types.h>

struct stage_options {
    enum sandbox_degree degree;
    unsigned uid;                // the keeper's user; 0: ours
    bool deny_calls;             // clone3 and openat2 answer ENOSYS and EPERM
    bool deny_namespaces;        // as in an unprivileged container
    const char *interpreters[8]; // further ones than found in PATH
    unsigned spare_slots;
};

struct stage {
    char dir[64]; // the data directory; files for /var/task lie in dir/code/task
    pid_t keeper;
    int main_fd;
    struct loop *loop;
    struct keeper_client *client;
    struct keeper_status status;
    struct keeper_config config;
    char python[512], node[512], java[512]; // "" where there is none
    // The sandbox that is watched.
    uint64_t next_id;
    bool lost;
};

// One program's life in a sandbox.
struct stage_run {
    const char *argv[8];
    const char *env[8];
    uint32_t memory_mb, tmp_mb, pids;
    const struct sandbox_spec *spec; // instead of all the above; its id is set here
    int deadline_ms;                 // 0: 10 s; then it is killed
    // results
    struct buf output;
    bool started, timed_out, gone;
    struct sandbox_started s;
    struct sandbox_exit program, sandbox; // events of program 1 and 0
    struct sandbox_exit other;            // of any other program, the last
    struct err err;
    int error;
};

// NULL on failure, with the reason on stderr. `status` is known when it answers.
struct stage *stage_open(const struct stage_options *o);
// Ends the keeper in good order; its exit status.
int stage_close(struct stage *s);
// Copies a file of the build into dir/code/task under that name, executable.
int stage_add(struct stage *s, const char *path, const char *name);
// Starts, waits until the sandbox is gone, reads the output.
void stage_run(struct stage *s, struct stage_run *r);
void stage_run_finish(struct stage_run *r);
// In steps: begin answers when it has started (or failed); the loop then turns until `done` says
// so or the deadline passes: whether it was done.
void stage_begin(struct stage *s, struct stage_run *r);
bool stage_until(struct stage *s, bool (*done)(void *ctx), void *ctx, int deadline_ms);
bool stage_run_gone(void *run);
// Answers of the keeper, waited for: 0 or -errno, `program` its number.
int stage_inject(struct stage *s, struct stage_run *r, const struct sandbox_binding *b,
                 const struct sandbox_program *p, struct err *err);
int stage_exec(struct stage *s, struct stage_run *r, const struct sandbox_program *p,
               uint32_t *program, struct err *err);
// A connection to that port of the sandbox's own loopback, once connect() is done: its descriptor,
// or -errno.
int stage_connect(struct stage *s, uint64_t id, uint16_t port, struct err *err);
// A further keeper on the same data directory, after the first one has died.
int stage_restart(struct stage *s, const struct stage_options *o);

// What could leak, counted.
struct stage_count {
    unsigned processes, mounts, cgroups, descriptors;
};
void stage_count(struct stage *s, struct stage_count *out);

#endif
