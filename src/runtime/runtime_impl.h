// runtime_impl.h - what the files of this room share. See environment.c for the state machine.
//
// Threads: a `home` is one loop's part of the runtime; it and its environments are touched on that
// loop only, but for what says otherwise. A `pool` is shared behind its mutex. Lock order: a pool's
// mutex, then nothing (the concurrency counters are atomics, the table of pools has its own mutex
// that is never held together with a pool's).
#ifndef LAMBKIN_RUNTIME_RUNTIME_IMPL_H
#define LAMBKIN_RUNTIME_RUNTIME_IMPL_H

#include "base/list.h"
#include "base/map.h"
#include "os/loop.h"
#include "os/time.h"
#include "runtime/arrivals.h"
#include "runtime/framed.h"
#include "runtime/runtime.h"
#include "sandbox/client.h"
#include "sandbox/interpreters.h"

#include <pthread.h>

struct http_listener;
struct debugger;
struct environment;
struct extensions;
struct home;
struct telemetry;
struct pool;

#define RUNTIME_SCRATCH_BYTES (64 * 1024)
#define RUNTIME_SIZED_KINDS 8 // Java for one memory size each
// Interpreters in their order, then custom, then the sized ones; see kinds.c.
#define RUNTIME_SPARE_KINDS (INTERPRETERS_MAX + 1 + RUNTIME_SIZED_KINDS)
#define RUNTIME_CUSTOM_KIND INTERPRETERS_MAX
#define RUNTIME_NO_KIND UINT32_MAX

// ---- the whole ---------------------------------------------------------------------------------

struct runtime {
    struct runtime_config config; // defaults filled in
    char *data_dir, *endpoint_url;
    char *outbound_text; // cut into what `outbound` points at
    const char *outbound[SANDBOX_MAX_OUTBOUND];
    unsigned n_outbound;
    char code_prefix[SANDBOX_MAX_PATH]; // "<data_dir>/code/"
    char spool_dir[SANDBOX_MAX_PATH];   // "<data_dir>/run"
    size_t code_prefix_len;
    struct interpreters interpreters;
    struct home *homes[LOOPS_MAX];
    unsigned n_homes;
    struct runtime_credentials_provider credentials;
    void (*platform)(void *ctx, struct http_request *req);
    void *platform_ctx;
    _Atomic bool draining, stopping, keeper_up;
    atomic_uint invocations, environments, spares;
    unsigned starts_at_once; // of one pool
    atomic_int memory_mb;    // what environments use, as measured or as guessed
    atomic_int kept_mb;      // of it, what those use that wait to be restored
    atomic_uint kept;        // how many these are
    void (*snapshot_made)(void *ctx, struct function_config *f, struct str error_type,
                          struct str error);
    void *snapshot_ctx;
    atomic_uint next_home;
    pthread_mutex_t pools_lock; // the table below and `limits`
    struct map pools;           // key → struct pool, immortal until the process ends
    struct map limits;          // key → struct limit
};
extern struct runtime runtime;

// ---- one loop's part ---------------------------------------------------------------------------

// Log lines of one environment that are not handed to the sink yet.
struct line_batch {
    struct buf text;
    struct log_sink_line *lines; // text.ptr NULL until flushed: offsets move with the buffer
    size_t *at;
    size_t n, cap;
    struct list link; // in home's dirty list while n > 0
};

// What is ready of one kind on one loop, and how much of it was asked for lately.
struct spare_kind {
    struct list ready; // environments in ENV_SPARE
    unsigned n;        // of these and of those that are starting
    _Atomic bool wanted;
    unsigned asked; // in the second that began at home's spares_second_ms
    double peak;    // asked for in the busiest recent second; fades
};

struct deferred {
    struct pool *pool;
    int64_t due_ms; // os_mono_ms()
};

struct home {
    struct loop *loop;
    unsigned index;
    struct keeper_client *keeper;
    bool keeper_up;
    struct environment **slots; // by the low 16 bits of an environment's id
    unsigned n_slots, free_hint;
    uint64_t next_id;
    unsigned n_environments;
    struct list dirty; // environments with lines that wait
    struct loop_timer flush;
    struct spare_kind spares[RUNTIME_SPARE_KINDS];
    int64_t spares_second_ms;
    unsigned spares_starting;
    struct loop_task refill_task;
    _Atomic bool refill_posted;
    unsigned spare_failures;
    struct loop_timer refill;
    struct loop_timer prewarm;  // the first loop's only
    struct loop_timer keeping;  // snapshots.c: makes what versions with SnapStart lack
    unsigned n_making;          // environments in INIT for that, here
    struct loop_timer deferred; // looks again at pools whose callers chose to wait
    struct deferred *deferred_pools;
    unsigned n_deferred, cap_deferred;
    int64_t deferred_due_ms;
    char scratch[RUNTIME_SCRATCH_BYTES];        // control.c's
    char output_scratch[RUNTIME_SCRATCH_BYTES]; // output.c's, used while control.c's holds a frame
};
// The home of the calling thread's loop, or NULL off the loops.
struct home *home_here(void);
struct environment *home_find(struct home *h, uint64_t id);

// ---- concurrency -------------------------------------------------------------------------------

// Of an account and region, or of a function (all versions). Counters are atomics; immortal.
struct limit {
    char *key;
    struct limit *account;     // NULL in an account's own
    atomic_int reserved;       // function: -1 none; account: the sum of all reservations
    atomic_int in_flight;      // function: all; account: those of functions without a reservation
    _Atomic int64_t scaled_ns; // the time that its starts have used up, see limit_scale()
};
struct limit *limit_of(struct str account, struct str region, struct str name);
// 0 and *held says what to give back; -EBUSY with err the throttle.
enum limit_hold { LIMIT_NONE, LIMIT_FUNCTION, LIMIT_BOTH };
int limit_take(struct limit *l, enum limit_hold *held, struct err *err);
void limit_give(struct limit *l, enum limit_hold held);
// Whether the function may start one more environment now (the scaling rate); counts it.
bool limit_scale(struct limit *l);
// err: the throttle of an invocation that needed one.
void limit_scaling_throttle(const struct limit *l, struct err *err);

// What an environment is started for.
enum environment_purpose {
    ENV_FOR_CALLS, // somebody waits; or a spare
    ENV_FOR_PROVISIONED,
    ENV_FOR_SNAPSHOT, // to be kept once INIT is done
    ENV_FOR_PREWARM,  // an invocation is expected
};

// ---- pools -------------------------------------------------------------------------------------

struct pool {
    char *key, *account, *region, *name, *version;
    struct limit *limit;
    pthread_mutex_t lock;             // everything below
    struct function_config *function; // the newest snapshot
    bool forgotten;
    struct list idle[LOOPS_MAX]; // environments, last used first
    unsigned n_idle, n_busy, n_starting, n_frozen;
    unsigned n_slow_starts; // of n_starting, see starts_enough()
    int64_t starts_since_ns;
    struct invocation *first, *last; // waiting
    unsigned n_waiting;
    bool deferred[LOOPS_MAX];
    double handler_us, start_us;  // moving averages; 0: not known
    enum invocation_why last_end; // of an environment; FIRST: there was none
    struct provision {            // provisioned.c's
        unsigned wanted;
        unsigned starting, up, idle; // idle is part of up
        unsigned failures;           // in a row
        char error[256];
    } provision;
    uint64_t in_provisioned, spilled;
    struct prewarm { // prewarm.c's
        struct arrivals arrivals;
        int64_t rest_ns;          // when the last invocation ended; 0: none has
        int64_t due_ns, until_ns; // one is to be started, 0: none; and kept so long
        uint64_t starts, hits, wasted;
    } prewarm;
    // SnapStart, see snapshots.c
    struct list kept[LOOPS_MAX]; // environments that did INIT and were not restored, newest first
    struct list making;          // environments that will be among them
    unsigned n_kept, n_making;
    unsigned kept_wanted, kept_failures;
    int kept_size_mb; // of the last one; 0: not known
    int64_t kept_used_ns;
    bool snapshot_asked; // the service waits to hear how INIT went
    uint64_t invocations, errors, throttles, timeouts, init_failures;
    uint64_t starts[INVOCATION_COLD + 1], whys[INVOCATION_WHYS];
    unsigned memory_peak_mb;
    struct runtime_histogram total, queue, environment, code, init, handler, response;
};

struct pool *pool_of(struct function_config *f); // NULL: out of memory
void pool_key(char key[static 768], struct str account, struct str region, struct str name,
              struct str version);
// Finds or starts an environment for it. On h's loop.
void pool_submit(struct home *h, struct pool *p, struct invocation *inv);
// A started environment is ready: the invocation it takes, or NULL when it went idle.
struct invocation *pool_ready(struct pool *p, struct environment *env);
// An environment finished an invocation: the next, or NULL when it went idle; *end: it is of an old
// generation or not needed, and is out of the pool.
struct invocation *pool_release(struct pool *p, struct environment *env, bool *end);
// INIT failed and its environment goes: an invocation that waits, for another try, or NULL. The
// environment to come then counts as busy.
struct invocation *pool_init_failed(struct pool *p, struct environment *env);
// No environment could be started: waiting invocations that nobody else will serve fail with err.
void pool_start_failed(struct pool *p, bool provisioned, const struct err *err);
// Its environment ends, whatever it did.
void pool_left(struct pool *p, struct environment *env);
// Why an environment is started now; and why the last one ended.
enum invocation_why pool_why(struct pool *p);
void pool_ended(struct pool *p, enum invocation_why why);
// A busy environment has gone (crash, timeout, shutdown).
void pool_lost_busy(struct pool *p);
// Takes an idle environment out; false when somebody was quicker (it is being given work).
bool pool_take_idle(struct pool *p, struct environment *env);
// Whether an idle environment may end now: not while it is provisioned.
bool pool_may_end(struct pool *p, struct environment *env);
// One that was starting was given up: whoever counted on it gets another.
void pool_start_given_up(struct pool *p, struct environment *env);
void pool_set_frozen(struct pool *p, bool frozen);
// Puts back an invocation whose environment vanished before it got there.
void pool_resubmit(struct home *h, struct pool *p, struct invocation *inv);
bool pool_over_budget(void);
// Starts an environment on some loop. Any thread, without the lock.
void pool_start(struct pool *p, enum environment_purpose purpose);
// Takes the newest snapshot; under the lock.
void pool_adopt(struct pool *p, struct function_config *f);
// provisioned.c. Starts what provisioned concurrency lacks.
void pool_provision_more(struct pool *p);
// Under the lock: the environment is initialised, was taken or became idle, has gone; may go.
void provision_up(struct pool *p, struct environment *env);
void provision_idle(struct pool *p, const struct environment *env, int more);
void provision_gone(struct pool *p, struct environment *env);
bool provision_keeps(const struct pool *p, const struct environment *env);
bool provision_surplus(const struct pool *p, const struct environment *env);
void pool_fail_waiting(struct pool *p, const struct err *err);
void pool_retire(struct pool *p); // ends idle environments of older generations
void pool_count(struct pool *p, const struct invocation *inv);
void pools_each(void (*fn)(struct pool *p, void *ctx), void *ctx);

// ---- environments ------------------------------------------------------------------------------

enum environment_state {
    ENV_STARTING, // the keeper makes the sandbox
    ENV_SPARE,    // ready for any function of its kind
    ENV_BINDING,  // the keeper gives it the function's code
    ENV_INIT,
    ENV_RESTORING, // SnapStart: the hooks run that follow INIT in each environment
    ENV_IDLE,
    ENV_BUSY,
    ENV_FROZEN,   // idle, and not running
    ENV_SHUTDOWN, // told to end; freed when the keeper says it is gone
};

// Whose words a line is.
enum output_origin { OUTPUT_PLATFORM, OUTPUT_FUNCTION, OUTPUT_EXTENSION };

// A pipe that programs inside print into.
struct output_pipe {
    struct environment *env;
    enum output_origin origin;
    int fd; // -1: none
    struct loop_watch *watch;
    struct buf partial; // a line that has no end yet
};

struct environment {
    uint64_t id; // also the sandbox's
    struct home *home;
    enum environment_state state;
    unsigned kind;                         // of spare it is or could have been
    const struct interpreter *interpreter; // of a framed runtime; NULL: Runtime API
    struct pool *pool;                     // NULL: a spare
    struct function_config *function;
    struct list link; // pool's idle list (under its lock) or home's spares
    struct list making_link;
    struct sandbox_started sandbox;
    bool started; // the keeper has given the sandbox
    bool generic; // began as a spare
    bool retry;   // INIT's second try, for inv
    bool provisioned;
    bool making;              // started to be kept: in the pool's list `making` (its lock)
    bool unrestored;          // SnapStart: INIT is done, no invocation was seen
    bool restore_waits;       // next_req is a restore/next
    int64_t prewarm_until_ns; // started for an invocation to come, which has not; else 0
    bool provisioned_up;      // counted in pool's provision.up
    enum invocation_why why;
    bool linked;                   // in the pool's idle list (under its lock)
    struct extensions *extensions; // NULL: none
    struct telemetry *telemetry;   // NULL: nobody subscribed, nor may
    const char *shutdown_reason;   // not told to the extensions yet
    struct debugger *debugger;     // NULL: none
    uint16_t debug_inside;         // where its bootstrap waits for a debugger; 0: nowhere
    bool runtime_ready; // the runtime is done with its part; extensions are not, or were not
    bool init_sent;
    bool graceful;  // SHUTDOWN, and its programs were given time
    bool leaving;   // answered, and its process ends
    bool streaming; // the answer is a stream
    bool answered;  // inv has been answered; the runtime has not asked for the next one
    bool dead;      // gone while an invocation is on its way to it
    bool incoming;  // an invocation is on its way to it (assign)
    struct runtime_credentials *credentials; // issued; released with the environment
    bool frozen;
    bool oom;
    char name[33]; // 32 hex digits: of the log stream, for credentials
    char stream[96];

    struct loop_watch *control_watch;
    struct output_pipe output;   // of the runtime; each extension has its own
    struct frame_header in_head; // the frame that is being read
    unsigned in_head_have;
    char *in_body;
    size_t in_have;
    bool in_skip;   // body is thrown away
    bool in_paused; // a streaming caller is full
    struct buf out; // what the socket did not take
    struct line_batch lines;

    struct http_listener *api, *endpoint;
    struct http_request *next_req; // the runtime waits for an invocation
    struct http_request *stream_req;

    struct invocation *inv;
    struct invocation *assigned; // on its way, see incoming
    struct loop_task assign;
    struct loop_task retire; // posted by pools; pending while retire_posted
    _Atomic bool retire_posted;
    uint64_t sequence;
    uint64_t streamed_bytes;
    uint64_t first_byte_ns; // of a streamed answer
    struct buf tail;
    struct loop_timer timer;
    int64_t begun_ns, sandbox_ns, bound_ns, ready_ns;
    unsigned environment_us, code_us, init_us;
    bool init_told;                         // a REPORT told what came before the handler
    int64_t restore_ns, restore_sent_ns;    // began to be restored; its runtime was told
    unsigned restore_us, restore_billed_us; // 0: not restored
    int kept_mb;                            // its share of runtime.kept_mb
    struct buf init_error;
    char init_error_type[96];
    int64_t idle_since_ns;          // under the pool's lock
    int counted_mb;                 // its share of runtime.memory_mb
    uint64_t peak_bytes, tmp_bytes; // of all memory; of files at /tmp in it
    int64_t peak_looked_ns;
    unsigned served;
};

// Starts a sandbox: for the pool's function (f; inv for the second try of an INIT), or a spare
// (pool NULL). On h's loop. Never fails synchronously: failures reach the pool later.
void environment_start(struct home *h, struct pool *p, struct function_config *f, unsigned kind,
                       struct invocation *retry, enum environment_purpose purpose);
// A spare becomes the function's.
void environment_bind(struct environment *env, struct pool *p, struct function_config *f);
void environment_invoke(struct environment *env, struct invocation *inv);
void environment_hand_over(struct environment *env, struct invocation *inv); // its last part
// Posted from another loop or called on this one: give it inv.
void environment_assign(struct environment *env, struct invocation *inv);
void environment_end(struct environment *env); // idle or spare; out of its list already
void environment_kill(struct environment *env);
// As kill, but extensions hear of it first and get AWS's two seconds. `reason`: "spindown",
// "timeout", "failure".
void environment_shutdown(struct environment *env, const char *reason);
// Asks it to end if it is idle; from any thread, under the pool's lock.
void environment_retire(struct environment *env);

void environment_warm(struct environment *env); // a spare is ready, see kind_warms_up()

// What the runtime says, by either protocol.
void environment_initialised(struct environment *env);
void environment_init_failed(struct environment *env, struct str type, struct str body);
void environment_answered(struct environment *env);                // inv's output is filled in
void environment_next(struct environment *env);                    // ready for another one
void environment_broken(struct environment *env, const char *why); // protocol violation
// keeper's events.
void environment_exited(void *ctx, const struct sandbox_exit *e);
void environment_keeper_lost(void *ctx);

// environment.c's, for environment_end.c
#define ENVIRONMENT_STUCK_MS 10000 // a sandbox that was killed should be gone by then
void environment_free(struct environment *env);
void environment_start_failed(struct environment *env, const struct err *err);
void environment_start_instead(struct environment *env, const struct err *err);
void environment_close_books(struct environment *env, struct invocation *inv, const char *status);
void environment_on_timer(struct loop_timer *t); // environment_timer.c's, as the next three
void environment_timer_start(struct environment *env, int64_t ms);
void environment_go_idle(struct environment *env);
void environment_thaw(struct environment *env);
#define ENVIRONMENT_GUESS_MB 16   // of memory, before it was measured
#define ENVIRONMENT_EXPECT_US 100 // the loop looks that long before it sleeps: see loop_expect
void environment_count_memory(struct environment *env, int mb);
void environment_measure(struct environment *env); // what memory it uses, into the budget

// environment_spec.c
int environment_spec_start(struct environment *env, struct arena *a, struct sandbox_spec *spec,
                           struct err *err);
int environment_spec_bind(struct environment *env, struct arena *a, struct sandbox_binding *b,
                          struct sandbox_program *program, struct err *err);
int environment_spec_extension(struct environment *env, struct arena *a, struct str name,
                               struct sandbox_program *program, struct err *err);
int environment_init_frame(struct environment *env, struct buf *out, struct err *err);
void function_run_as(const struct environment *env, char version[static 64]);

// kinds.c; any thread
unsigned runtime_kind(const struct function_config *f); // RUNTIME_NO_KIND: cannot run here
// What a managed runtime's functions are run with; NULL: custom, or nothing here can.
const struct interpreter *runtime_interpreter(struct str runtime_name);
const struct interpreter *kind_interpreter(unsigned kind); // of a framed runtime; NULL: custom
unsigned kind_memory_mb(unsigned kind);                    // it was made for; 0: for any
bool kind_has_spares(unsigned kind);
bool kind_warms_up(unsigned kind); // its spares say by a frame when they are ready
bool kind_java_client(void);       // whether AWS's runtime interface client is installed

// control.c: the framed socket
int control_open(struct environment *env, struct err *err);
void control_close(struct environment *env);
void control_send(struct environment *env, struct str bytes);
void control_send_invoke(struct environment *env, struct invocation *inv, int64_t deadline_ms);
void control_resume(struct environment *env);

// runtime_api.c: HTTP
int runtime_api_open(struct environment *env, struct err *err);
void runtime_api_close(struct environment *env);
void runtime_api_send_invoke(struct environment *env, struct invocation *inv, int64_t deadline_ms);
void runtime_api_resume(struct environment *env);
void runtime_api_send_restore(struct environment *env); // answers its restore/next

// extensions_api.c: extensions beside the runtime; all harmless without any
int extensions_start(struct environment *env, struct err *err); // executes the external ones
bool extensions_registered(const struct environment *env);      // all external ones
bool extensions_ready(const struct environment *env);           // all wait for an event
void extensions_invoke(struct environment *env, const struct invocation *inv, int64_t deadline_ms);
// Tells them; how long they may take, 0: nobody wants to know.
unsigned extensions_shutdown(struct environment *env, const char *reason);
bool extensions_exited(struct environment *env, uint32_t program, char name[static 128]);
bool extensions_all_exited(const struct environment *env);
bool extensions_request(struct environment *env, struct http_request *req); // true: its own
void extensions_drain(struct environment *env); // reads what they printed
void extensions_free(struct environment *env);
// The environment goes on where it waited for its extensions.
void environment_extensions_moved(struct environment *env);
// The same in SHUTDOWN, when the telemetry is delivered.
void environment_told(struct environment *env);

// stream.c: a streamed answer on its way to inv->loop
void stream_begin(struct environment *env, struct str content_type);
// False: pause until control_resume / runtime_api_resume.
bool stream_write(struct environment *env, struct str bytes);
void stream_failed(struct environment *env, struct str type, struct str body);

// output.c: stdout and stderr, and the batches
int output_open(struct environment *env, struct err *err);
void output_close(struct environment *env);
// Takes fd, also on failure.
int output_pipe_open(struct output_pipe *p, struct environment *env, int fd,
                     enum output_origin origin, struct err *err);
void output_pipe_close(struct output_pipe *p); // what is in it is read first
void output_pipe_drain(struct output_pipe *p);
void output_drain(struct environment *env);    // reads what is there now
void output_end_line(struct environment *env); // a line without its newline is one, too
void output_add(struct environment *env, enum output_origin origin, int64_t time_ms,
                struct str line);
// The platform's own.
void output_addf(struct environment *env, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void output_flush(struct environment *env);
void output_flush_all(struct home *h);
void output_forget(struct environment *env);

// report.c: what the platform writes into the log
// What came before the handler, in the first REPORT of an environment; 0: not to be told.
struct report_before {
    double init_ms, restore_ms;
    uint64_t restore_billed_ms;
};
const char *environment_init_type(const struct environment *env); // "on-demand", …
void report_init_start(struct environment *env);
void report_init_done(struct environment *env, const char *status, const char *error_type);
void report_start(struct environment *env, const struct invocation *inv);
void report_end(struct environment *env, struct invocation *inv, const char *status);
// A snapshot becomes an environment. status: "success", "error", "timeout".
void report_restore_start(struct environment *env);
void report_restore_done(struct environment *env, const char *status, const char *error_type,
                         unsigned restore_us);
// error_type NULL: none.
void report_extension(struct environment *env, const char *name, const char *state, bool invoke,
                      bool shutdown, const char *error_type);
void report_subscription(struct environment *env, const char *name, unsigned audience,
                         bool logs_api, bool again);
void report_fault(struct environment *env, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// debugger.c: an environment of its own for an invocation under a debugger
void debugger_submit(struct home *h, struct pool *p, struct invocation *inv);
// Listens for debuggers; *inside: the port of the sandbox's loopback to pass them on to.
int debugger_open(struct environment *env, uint16_t *inside, struct err *err);
void debugger_close(struct environment *env);

// platform_events.c: the same as events
void platform_init_start(struct environment *env, const char *version);
void platform_init_done(struct environment *env, const char *status, const char *error_type);
void platform_restore_start(struct environment *env, const char *version);
void platform_restore_done(struct environment *env, const char *status, const char *error_type,
                           double ms);
void platform_start(struct environment *env, const struct invocation *inv);
void platform_report(struct environment *env, const struct invocation *inv, const char *status,
                     double ms, struct report_before before);
void platform_extension(struct environment *env, const char *name, const char *state, bool invoke,
                        bool shutdown, const char *error_type);
void platform_subscription(struct environment *env, const char *name, unsigned audience,
                           bool logs_api, bool again);
void platform_fault(struct environment *env, struct str text);

// invocation.c
void invocation_fail(struct invocation *inv, const struct err *err); // no environment had it
// The function's failure in AWS's shape: {"errorType", "errorMessage"}.
void invocation_set_error(struct invocation *inv, const char *type, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void invocation_complete(struct invocation *inv); // output is filled in; calls done on its loop

// spares.c
struct environment *spare_take(struct home *h, unsigned kind);
void spare_want(struct home *h, unsigned kind); // any thread
void spare_ready(struct environment *env);
void spare_failed(struct environment *env);
// The interpreter on the disk is another one than this kind's spares run: they end. On h's loop.
void spares_outdated(struct home *h, unsigned kind);
void spares_refill_soon(struct home *h);

// snapshots.c: SnapStart
void snapshot_begun(struct environment *env); // started for it: joins `making`
// Its INIT is done, or it is not to be: error_type absent when that is not the function's fault.
void snapshot_taken(struct environment *env);
// Without effect unless it is being made.
void snapshot_failed(struct environment *env, struct str error_type, struct str error);
void snapshot_abandon(struct environment *env); // nobody wants it any more: it ends
// An invocation came: without `found` there was nothing for it.
void snapshot_used(struct home *h, struct pool *p, bool found);
void snapshots_soon(struct home *h); // looks what is lacking; on h's loop
// Under the pool's lock.
void snapshot_settled(struct pool *p, struct environment *env); // no longer in `making`
void snapshot_keep(struct pool *p, struct environment *env);
void snapshot_unkeep(struct pool *p, struct environment *env);
struct environment *snapshot_find(struct pool *p, unsigned here);
void snapshots_retire_old(struct pool *p);
bool snapshot_may_end(struct pool *p, const struct environment *env);
// Without any pool's lock: ends one of the version that was not used for longest.
bool snapshot_evict_one(int64_t used_before_ns);

// prewarm.c. Under the pool's lock: an invocation came; one ended: true calls for
// prewarm_changed().
void prewarm_arrival(struct pool *p);
bool prewarm_rest(struct pool *p);
void prewarm_changed(void); // any thread, without a lock
void prewarm_begun(struct environment *env);
void prewarm_over(struct environment *env, bool used);
int64_t prewarm_idle_ms(const struct environment *env); // how long it may be idle

// restore.c: for the invocation that waits
void environment_restore(struct environment *env, struct invocation *inv);
void environment_restored(struct environment *env);
void environment_restore_failed(struct environment *env, struct str type, struct str body);

// metrics.c
void histogram_add(struct runtime_histogram *h, uint64_t us);

extern const struct aws_error runtime_too_many_requests, runtime_service_exception;

#endif
