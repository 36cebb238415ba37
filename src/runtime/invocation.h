// invocation.h - one request to a function, from submission to its answer.
//
// The caller allocates it (in its request's arena, zeroed), fills the input, and calls
// invocation_submit(). Then it belongs to the runtime until `done` is called, exactly once, on
// inv->loop; the input must stay valid until then. After done the caller reads the output and
// calls invocation_finish(). A client that leaves does not stop its function (as on AWS): the
// caller sets nothing, waits for done, and throws the answer away; a streaming sink then answers
// INVOCATION_SINK_GONE.
#ifndef LAMBKIN_RUNTIME_INVOCATION_H
#define LAMBKIN_RUNTIME_INVOCATION_H

#include "base/buf.h"
#include "base/err.h"
#include "os/loop.h"
#include "runtime/function.h"

struct environment;
struct invocation;

#define INVOCATION_ID_BYTES 37     // a UUID and its NUL
#define INVOCATION_TRACE_BYTES 80  // a trace id and its NUL
#define INVOCATION_TAIL_BYTES 4096 // X-Amz-Log-Result, before base64
#define INVOCATION_MAX_STREAM_BYTES ((uint64_t)200 << 20)

enum invocation_status {
    INVOCATION_OK,             // 200, response is the payload
    INVOCATION_FUNCTION_ERROR, // 200, X-Amz-Function-Error: function_error; response is JSON
    INVOCATION_THROTTLED,      // 429 TooManyRequestsException; err is filled in, Reason included
    INVOCATION_FAILED,         // err is filled in: err->aws set for what AWS has a name for (502
                               // InvalidRuntimeException…), else our own failure (500)
};

// How the invocation came to its environment.
enum invocation_start {
    INVOCATION_WARM,     // an idle environment
    INVOCATION_THAWED,   // an idle environment that was frozen
    INVOCATION_WAITED,   // waited for one to be free
    INVOCATION_RESTORED, // SnapStart: INIT was done ahead of it
    INVOCATION_SPARE,    // cold: a spare sandbox took the code
    INVOCATION_COLD,     // cold: a sandbox was started
};

// Why there was no environment for a cold start: what became of the one before.
enum invocation_why {
    INVOCATION_WHY_NONE,    // not a cold start
    INVOCATION_WHY_FIRST,   // the first of this version
    INVOCATION_WHY_BUSY,    // all others are in use: one more
    INVOCATION_WHY_UPDATED, // the function was changed
    INVOCATION_WHY_IDLE,    // it was not used for `idle-after`
    INVOCATION_WHY_BUDGET,  // it made room for others
    INVOCATION_WHY_FAILED,  // it crashed, ran into its time limit, or went with the keeper
};
#define INVOCATION_WHYS (INVOCATION_WHY_FAILED + 1)
const char *invocation_why_name(enum invocation_why why); // "" for NONE

// Where the time went; microseconds.
struct invocation_times {
    uint32_t queue_us;       // submission until an environment was chosen or began to start
    uint32_t environment_us; // sandbox started, thawed or restored
    uint32_t code_us;        // code bound into it
    uint32_t init_us;        // INIT of the runtime, when this invocation waited for it
    uint32_t handler_us;     // handed to the runtime until its answer was there
    uint32_t response_us;    // from the answer to done
    uint32_t total_us;
};

enum { INVOCATION_SINK_GO, INVOCATION_SINK_WAIT, INVOCATION_SINK_GONE };

// InvokeWithResponseStream and streaming function URLs; all on inv->loop. A function that answers
// unstreamed arrives as begin, one write, done.
struct invocation_sink {
    // Before the first write. content_type is the runtime's (application/octet-stream when it gave
    // none; application/vnd.awslambda.http-integration-response when a prelude comes first).
    void (*begin)(struct invocation *inv, struct str content_type);
    // `bytes` are valid during the call only. WAIT: the runtime stops reading from the function
    // until invocation_resume(); GONE: what follows is thrown away.
    int (*write)(struct invocation *inv, struct str bytes);
};

struct invocation {
    // --- in ---
    struct loop *loop; // where done and the sink are called; NULL: the loop of the submitting
                       // thread, or one of the runtime's choosing when that is none
    struct function_config *function;   // submit takes its own reference
    struct str payload;                 // not parsed by the runtime
    struct str request_id;              // absent: a new UUID
    struct str invoked_arn;             // qualified as the client did
    struct str client_context;          // JSON, decoded from base64; absent: none
    struct str cognito_identity;        // JSON; absent: none
    struct str trace_id;                // X-Amzn-Trace-Id; absent: a new one
    struct str tenant_id;               // absent: none
    bool want_tail;                     // X-Amz-Log-Type: Tail
    const struct invocation_sink *sink; // NULL: buffered
    uint16_t debug_port;                // of this host's loopback, for a debugger; 0: none
    const bool *client_gone; // with debug_port, on loop: the session ends when it turns true
    void (*done)(struct invocation *inv);
    void *user;

    // --- out, valid in done ---
    enum invocation_status status;
    struct str response;         // points into response_buf or at a constant
    struct buf response_buf;     // owned; freed by invocation_finish()
    const char *function_error;  // "Unhandled" with INVOCATION_FUNCTION_ERROR
    struct str error_type;       // "Runtime.ExitError", "ValueError"…; for metrics and retries
    struct str content_type;     // the runtime's, or application/json
    struct str executed_version; // function->version
    struct str log_tail;         // raw; only with want_tail
    enum invocation_start start;
    enum invocation_why why;
    struct invocation_times times;
    uint64_t billed_ms;
    unsigned memory_peak_mb;
    struct err err;

    // --- the runtime's own ---
    char id_text[INVOCATION_ID_BYTES];
    void *held_limit; // struct limit
    unsigned held;
    char trace_text[INVOCATION_TRACE_BYTES];
    char error_type_text[96];
    char content_type_text[128];
    struct loop_task task;
    struct invocation *next; // pool's queue
    char *tail_mem;
    uint64_t submitted_ns, assigned_ns, sent_ns, answered_ns;
    int64_t started_ms;
    uint64_t environment_id; // where it runs; 0: nowhere
    int64_t deadline_ms;
    bool sink_begun, sink_gone, waited;
    bool provisioned; // ran in a provisioned environment
};

// From any thread. Never calls done before it returns.
void invocation_submit(struct invocation *inv);
// The sink has room again. On inv->loop.
void invocation_resume(struct invocation *inv);
// Frees what the output owns and drops the function's reference. In done or later, once.
void invocation_finish(struct invocation *inv);

// A new trace id: "Root=1-<seconds>-<24 hex>;Parent=<16 hex>;Sampled=0".
void invocation_trace(char text[INVOCATION_TRACE_BYTES], bool sampled);

#endif
