// client.h - the server's side of the keeper: asks for sandboxes on a loop, never blocks.
//
// A client belongs to one loop: calls and callbacks happen on that loop's thread. One client per
// loop is usual (keeper_client_open_more). Sandboxes are named by the id that the caller chose,
// never by pointer. When the keeper dies, every live sandbox of the client gets its `exited`
// callback (reason SANDBOX_LOST), outstanding requests fail with -EPIPE, and requests fail with
// -ENOTCONN until keeper_client_replace().
#ifndef LAMBKIN_SANDBOX_CLIENT_H
#define LAMBKIN_SANDBOX_CLIENT_H

#include "sandbox/spec.h"

struct loop;
struct keeper_client;

// What START gave. The descriptors belong to the receiver of the callback (sandbox_started_finish
// closes those that were not taken: take by setting the field to -1). All are close-on-exec, all
// sockets and the output pipe non-blocking. -1: not asked for, or not to be had on this host.
struct sandbox_started {
    uint64_t id;
    int control_fd;     // our end of the framed Unix stream socket (spec.want_control)
    int output_fd;      // read end of the pipe that is stdout and stderr of every program inside
    int runtime_api_fd; // listening TCP socket at 127.0.0.1:runtime_api_port inside
    int endpoint_fd;    // listening TCP socket at 127.0.0.1:endpoint_port inside
    int memory_fd;      // peak memory: sandbox_memory_peak()
    int freezer_fd;     // sandbox_freeze(), sandbox_thaw() without the keeper
    int tmp_fd;         // sandbox_tmp_used(): an unseen file at /tmp
    int32_t pid;        // pid 1 of the sandbox as the host sees it
    // 9001 and 4566 wherever the sandbox has its own network; else what was free.
    uint16_t runtime_api_port, endpoint_port;
    // Where code, layers and bootstraps are, as the program sees it: /var/task, /opt and
    // /var/runtime; real paths without mount namespaces (isolation none or a bare container).
    char task_root[SANDBOX_MAX_PATH], layer_root[SANDBOX_MAX_PATH], runtime_root[SANDBOX_MAX_PATH];
};
// Holds nothing: what a receiver starts with, and leaves behind when it has taken all.
#define SANDBOX_STARTED_NOTHING                                                                    \
    ((struct sandbox_started){.control_fd = -1,                                                    \
                              .output_fd = -1,                                                     \
                              .runtime_api_fd = -1,                                                \
                              .endpoint_fd = -1,                                                   \
                              .memory_fd = -1,                                                     \
                              .freezer_fd = -1,                                                    \
                              .tmp_fd = -1})
void sandbox_started_finish(struct sandbox_started *s);

enum sandbox_exit_reason {
    SANDBOX_EXITED,    // the program ended by itself: status
    SANDBOX_SIGNALLED, // by a signal: status is its number
    SANDBOX_OOM,       // the memory limit; status as for SIGNALLED (9)
    SANDBOX_KILLED,    // keeper_kill()
    SANDBOX_LOST,      // the keeper went away
    SANDBOX_FAILED,    // set-up or exec failed: status is the errno, `what` says which step
};

struct sandbox_exit {
    uint64_t id;
    uint32_t program; // 0: the sandbox itself is gone (sent once, last); 1: its main program;
                      // else what keeper_exec() answered
    enum sandbox_exit_reason reason;
    int status;
    uint64_t peak_memory_bytes; // 0: not known
    uint32_t oom_kills;         // processes of this sandbox that the memory limit has killed
    char what[64];              // SANDBOX_FAILED: "exec /var/task/bootstrap"
};

struct keeper_events {
    // A program ended, or (program 0) the sandbox is gone and its id is free again.
    void (*exited)(void *ctx, const struct sandbox_exit *e);
    // The keeper went away; keeper_client_replace() is expected. May be NULL.
    void (*lost)(void *ctx);
    void *ctx;
};

// fd: our end of a connection that main attached; owned by the client from now on, also on failure.
int keeper_client_open(struct loop *loop, int fd, const struct keeper_events *events,
                       struct keeper_client **out, struct err *err);
// A further client for another loop, over a connection of its own. `first` may be used from any
// thread here. Call it before `loop` needs it; the client belongs to `loop`.
int keeper_client_open_more(struct keeper_client *first, struct loop *loop,
                            const struct keeper_events *events, struct keeper_client **out,
                            struct err *err);
// After a keeper was restarted: continue over a new connection.
int keeper_client_replace(struct keeper_client *c, int fd, struct err *err);
void keeper_client_close(struct keeper_client *c); // kills its sandboxes; no callback any more

// r: 0 or a negative errno, err the reason; started is NULL then. The callback is called exactly
// once, never before keeper_start() has returned. A START counts as done when the set-up is
// complete and the program (if any) has been handed to exec: a failing exec is an `exited` event.
typedef void keeper_started_fn(void *ctx, uint64_t id, int r, struct sandbox_started *started,
                               const struct err *err);
typedef void keeper_done_fn(void *ctx, uint64_t id, int r, uint32_t program, const struct err *err);

// Immediate errors (bounds, not connected, memory) answer < 0 and no callback follows.
int keeper_start(struct keeper_client *c, const struct sandbox_spec *spec, keeper_started_fn *fn,
                 void *ctx, struct err *err);
// Binds code and limits into a sandbox that was started without code_dir, and, where `program` has
// an argv, executes it as the main program. Done when the mounts are there. -ESTALE: the program
// that waits in it was started from a file that has been replaced since.
int keeper_inject(struct keeper_client *c, uint64_t id, const struct sandbox_binding *binding,
                  const struct sandbox_program *program, keeper_done_fn *fn, void *ctx,
                  struct err *err);
// A further program in a live sandbox (extensions). `program` of the answer names it in events.
int keeper_exec(struct keeper_client *c, uint64_t id, const struct sandbox_program *program,
                keeper_done_fn *fn, void *ctx, struct err *err);

// Answers that bring a descriptor: the receiver's with r 0, else -1. `tag` is the request's own.
typedef void keeper_given_fn(void *ctx, uint64_t id, uint32_t tag, int r, uint32_t program, int fd,
                             const struct err *err);
// As keeper_exec, and what the program prints goes into a pipe of its own: fd is its read end,
// non-blocking.
int keeper_exec_apart(struct keeper_client *c, uint64_t id, const struct sandbox_program *program,
                      keeper_given_fn *fn, uint32_t tag, void *ctx, struct err *err);
// A TCP connection to 127.0.0.1:port inside, to that and nothing else: fd is non-blocking and
// close-on-exec, and its connect() may still be under way (writable, then SO_ERROR). Where the
// sandbox has no network of its own (spec's `net` in keeper_status), its loopback is the host's.
int keeper_connect(struct keeper_client *c, uint64_t id, uint16_t port, keeper_given_fn *fn,
                   uint32_t tag, void *ctx, struct err *err);
// Signals every program inside (SIGTERM at SHUTDOWN), or the one given.
int keeper_signal(struct keeper_client *c, uint64_t id, uint32_t program, int signal);
// Freezing through the keeper works on every host (SIGSTOP where there is no freezer).
int keeper_freeze(struct keeper_client *c, uint64_t id);
int keeper_thaw(struct keeper_client *c, uint64_t id);
// INIT is over: under cpu = proportional the sandbox gets its share from here on.
int keeper_settle(struct keeper_client *c, uint64_t id);
// Kills everything inside, frozen or not; `exited` with program 0 follows once nothing is left.
int keeper_kill(struct keeper_client *c, uint64_t id);

// How the keeper isolates: the degree that is in force and what is missing, "" when nothing is.
// Known once the first message has come (the keeper greets); callable from any thread.
struct keeper_status {
    bool connected;
    enum sandbox_degree asked;
    bool complete; // nothing is missing
    bool mounts, pids, net, users, seccomp, landlock, cgroup_memory, cgroup_cpu, cgroup_pids,
        cgroup_io, freezer, inject, cpu_proportional;
    char cgroup[16]; // "v1", "v2", "none"
    char missing[256];
};
void keeper_degree(struct keeper_client *c, struct keeper_status *out);

// Straight to the kernel, without the keeper: microseconds, any thread. -EOPNOTSUPP when the host
// has no freezer (use keeper_freeze), -ENODATA when the peak is not to be had.
int sandbox_freeze(int freezer_fd);
int sandbox_thaw(int freezer_fd);
int sandbox_memory_peak(int memory_fd, uint64_t *bytes);
// What the files at /tmp take, which are charged as memory: -ENODATA when it cannot be told.
int sandbox_tmp_used(int tmp_fd, uint64_t *bytes);
void sandbox_memory_peak_reset(int memory_fd); // the next peak counts from here, where supported

#endif
