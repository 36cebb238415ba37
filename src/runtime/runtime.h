// runtime.h - execution environments and who gets one: the face of the runtime.
//
// Threads: an environment belongs to the loop that started it, all its sockets and timers live
// there. Pools (which environments of a version are idle, who waits) are shared by the loops behind
// one mutex each, held for a few instructions. The functions below say where they may be called.
#ifndef LAMBKIN_RUNTIME_RUNTIME_H
#define LAMBKIN_RUNTIME_RUNTIME_H

#include "base/err.h"
#include "base/str.h"
#include "runtime/function.h"
#include "runtime/invocation.h"
#include "runtime/log_sink.h"

struct http_request;
struct keeper_client;

// ---- life ------------------------------------------------------------------------------------

struct runtime_config {
    const char *data_dir; // absolute, copied; <data_dir>/code and <data_dir>/runtime are ours
    int keeper_fd;        // a connection to the keeper; taken, also on failure. -1: none yet
    unsigned account_concurrency; // 0: 1,000
    unsigned freeze_after_ms;     // 0: 2,000; UINT_MAX: never
    unsigned idle_after_ms;       // an environment ends after this long idle; 0: 300,000
    unsigned init_timeout_ms;     // 0: 10,000
    unsigned spares;              // ready sandboxes per interpreter in use; UINT_MAX: none
    unsigned memory_budget_mb;    // of all environments as measured; 0: 3/4 of the machine's
    unsigned max_environments;    // 0: 2,000
    // Environments that a function may start in ten seconds for invocations that need them; more
    // are throttled. 0: 1,000, as on AWS.
    unsigned scaling_rate;
    // Start environments shortly before functions that are called in a rhythm are called again.
    bool prewarm;
    // Networks that functions with VpcConfig subnets may reach, "10.0.0.0/8,192.0.2.7"; NULL or "":
    // none, and then no function has a network but its own loopback.
    const char *outbound;
    const char *endpoint_url; // AWS_ENDPOINT_URL inside; NULL: http://127.0.0.1:4566 (listener in
                              // the sandbox, answered by the platform handler)
};

// After loops_start(), on none of the loops. Reads <data_dir>/run/interpreters (interpreters_save),
// or looks for interpreters itself when that is not there. The bootstraps are already in
// <data_dir>/runtime: runtime_files_write().
int runtime_start(const struct runtime_config *config, struct err *err);
// A new keeper was started: fd is a connection to it, taken also on failure. Not on a loop.
int runtime_keeper_replace(int fd, struct err *err);
// The first loop's connection, for keeper_degree(); NULL before runtime_start().
struct keeper_client *runtime_keeper(void);
// New invocations fail with ServiceException; waiting ones too; running ones go on. Any thread.
void runtime_drain(void);
// Invocations that are not done yet; environments that exist. For the drain's end. Any thread.
unsigned runtime_invocations(void);
unsigned runtime_environments(void);
// Ends every environment and waits until the keeper said so, at most timeout_ms. Not on a loop.
void runtime_stop(unsigned timeout_ms);

// ---- what runtimes this host can run ----------------------------------------------------------

struct runtime_choice {
    bool known;            // the name is one of AWS's (python3.12, nodejs22.x, provided.al2023 …)
    bool available;        // something here can run it
    bool exact;            // the interpreter is the very version asked for
    char interpreter[256]; // path; "" for provided.*
    char version[32];      // "3.11.7"
    const char *mend;      // what would make it available; NULL when nothing here can
};

// Never fails: says what is known. Any thread; the host was looked at in runtime_start().
struct runtime_choice runtime_choose(struct str runtime_name);

// ---- identity ----------------------------------------------------------------------------------

struct runtime_credentials {
    char access_key[64], secret[128], token[1024];
    int64_t expires_ms;
};

// Temporary credentials of one environment, made when it starts and released when it ends. On a
// loop: must not block. Without a provider environments get no credentials.
struct runtime_credentials_provider {
    int (*issue)(void *ctx, const struct function_config *f, struct str environment_id,
                 struct runtime_credentials *out, struct err *err);
    void (*release)(void *ctx, struct str environment_id);
    void *ctx;
};
void runtime_set_credentials_provider(struct runtime_credentials_provider p);

// Requests that functions send to AWS_ENDPOINT_URL arrive here, on the environment's loop.
void runtime_set_platform_handler(void (*handler)(void *ctx, struct http_request *req), void *ctx);

// ---- concurrency -------------------------------------------------------------------------------

#define RUNTIME_UNRESERVED_MIN 100 // AWS: reservations must leave this much to the others

// Reserved concurrency of a function (all versions together); -1 takes it away; 0 throttles all.
// The service checks sums and keeps it in its store; call again after a start. Any thread.
int runtime_reserve(struct str account, struct str region, struct str name, int reserved,
                    struct err *err);
unsigned runtime_account_limit(void);

// Why an invocation was throttled: err's field "Reason".
#define RUNTIME_REASON_RESERVED "ReservedFunctionConcurrentInvocationLimitExceeded"
#define RUNTIME_REASON_ACCOUNT "ConcurrentInvocationLimitExceeded"
#define RUNTIME_REASON_SCALING "FunctionInvocationRateLimitExceeded"
#define RUNTIME_REASON_RESERVED_SCALING "ReservedFunctionInvocationRateLimitExceeded"

// Provisioned concurrency: keeps n environments of this published version initialised. 0 takes it
// away. An alias's is its version's: the service maps it. Any thread; works in the background.
int runtime_provision(struct function_config *f, unsigned n, struct err *err);

enum runtime_provision_status {
    RUNTIME_PROVISION_NONE,
    RUNTIME_PROVISION_IN_PROGRESS,
    RUNTIME_PROVISION_READY,
    RUNTIME_PROVISION_FAILED,
};
struct runtime_provisioned {
    enum runtime_provision_status status;
    unsigned requested, allocated, available; // allocated: exist; available: exist and are free
    char reason[256];                         // of FAILED
};
struct runtime_provisioned runtime_provisioned_get(const struct function_config *f);

// ---- SnapStart ---------------------------------------------------------------------------------

// f is a published version with snap_start. Its INIT is run once, off anybody's path; when that is
// over the handler below is called, on a loop: error_type is absent, or says what failed, and
// `error` is JSON {errorType, errorMessage} or empty. It is not called when the version was
// forgotten meanwhile, or the runtime stops. What INIT made is kept ready for a first invocation.
int runtime_snapshot_make(struct function_config *f, struct err *err);
// The same after a restart, for a version whose snapshot was made before: nobody is told.
void runtime_snapshot_keep(struct function_config *f);
// Before the first of these calls.
void runtime_set_snapshot_handler(void (*made)(void *ctx, struct function_config *f,
                                               struct str error_type, struct str error),
                                  void *ctx);
// Our own failure to start an environment, not the function's.
#define RUNTIME_SNAPSHOT_INTERNAL "InternalError"

// The version was deleted or the function was: environments end when they are done, waiting
// invocations fail with ResourceNotFoundException. version absent: all versions. Any thread.
void runtime_forget(struct str account, struct str region, struct str name, struct str version);
// Environments of older generations of f's version retire; called after an update was stored, and
// implied by the first invocation with the new snapshot. Any thread.
void runtime_update(struct function_config *f);
// There is such a function and it may be invoked: sandboxes of its kind are kept ready. Any thread.
void runtime_expect(const struct function_config *f);

// ---- numbers -----------------------------------------------------------------------------------

// Upper bounds in microseconds: 50, 100, 200, 400 … doubling; the last is +Inf.
#define RUNTIME_HISTOGRAM_BUCKETS 22
struct runtime_histogram {
    uint64_t counts[RUNTIME_HISTOGRAM_BUCKETS];
    uint64_t count, sum_us;
};
uint64_t runtime_histogram_bound_us(unsigned bucket); // UINT64_MAX for the last

struct runtime_function_metrics {
    struct str account, region, name, version; // valid during the callback
    uint64_t invocations, errors, throttles, timeouts;
    uint64_t starts[INVOCATION_COLD + 1]; // by enum invocation_start
    uint64_t whys[INVOCATION_WHYS];       // cold starts
    uint64_t init_failures;
    uint64_t prewarm_starts, prewarm_hits, prewarm_wasted;
    uint64_t in_provisioned, spilled; // invocations of a version with provisioned concurrency
    unsigned idle, busy, frozen, starting, waiting; // now
    unsigned provisioned;
    unsigned memory_peak_mb;
    struct runtime_histogram total, queue, environment, code, init, handler, response;
};
// Calls each() for every version that was invoked; not on a loop.
void runtime_metrics(void (*each)(void *ctx, const struct runtime_function_metrics *m), void *ctx);

struct runtime_summary {
    unsigned environments, spares, waiting, running;
    unsigned snapshots; // environments that wait to be restored (SnapStart)
    bool keeper_up;
};
struct runtime_summary runtime_summary(void);

#endif
