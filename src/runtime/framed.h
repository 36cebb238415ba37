// framed.h - the framed protocol between an environment and the bootstrap of a managed runtime.
//
// A Unix stream socket, descriptor 3 inside. Each frame: u32 length of the body, u8 type, u8 flags,
// u16 zero, u64 sequence, then the body; all little-endian. The sequence is chosen by the
// platform and repeated in everything that belongs to that invocation: an answer with another one
// is stale and ignored. After INIT the runtime answers READY or INIT_ERROR; after an INVOKE it
// answers one RESPONSE or ERROR, or STREAM_BEGIN, STREAM_CHUNK…, STREAM_END or STREAM_ERROR and
// then NEXT. LOG frames may come at any time; their sequence is the time in ms since the epoch.
//
// SnapStart (AWS_LAMBDA_INITIALIZATION_TYPE is snap-start in INIT's env): before READY the hooks
// run that the function registered for before the snapshot. Ahead of the first INVOKE comes one
// RESTORE; the runtime runs the other hooks and answers RESTORED or RESTORE_ERROR.
#ifndef LAMBKIN_RUNTIME_FRAMED_H
#define LAMBKIN_RUNTIME_FRAMED_H

#include <stdint.h>

#define FRAME_HEADER_BYTES 16
#define FRAME_FLAG_LEAVING 1 // of ERROR and STREAM_ERROR: the process ends; no invocation any more

enum frame_type {
    // JSON {handler, env: {…}, task_root, layer_root, runtime_root}; where there are any:
    // extensions:
    // true, and debug_port, where it waits for a debugger
    FRAME_INIT = 1,
    FRAME_INVOKE = 2,  // struct frame_invoke, six strings, payload
    FRAME_RESTORE = 3, // no body
    FRAME_BESIDE = 4,  // no body; to Node.js, in INIT: the function has registered an extension
    FRAME_READY = 16,
    FRAME_INIT_ERROR = 17,   // as ERROR
    FRAME_RESPONSE = 18,     // the payload
    FRAME_ERROR = 19,        // u32 length of the type, the type, JSON for the caller
    FRAME_STREAM_BEGIN = 20, // content type
    FRAME_STREAM_CHUNK = 21,
    FRAME_STREAM_END = 22,
    FRAME_STREAM_ERROR = 23,  // as ERROR
    FRAME_LOG = 24,           // one event, may hold newlines
    FRAME_NEXT = 25,          // ready for the next invocation (after a stream)
    FRAME_RESTORED = 26,      // no body
    FRAME_RESTORE_ERROR = 27, // as ERROR
    FRAME_WARM = 28,          // no body; of a spare whose kind says when it is ready (Java's)
};

struct frame_header {
    uint32_t length;
    uint8_t type, flags;
    uint16_t zero;
    uint64_t sequence;
};

// Follows the header of INVOKE; then request id, invoked ARN, trace id, client context, Cognito
// identity, tenant id, and the payload is the rest.
struct frame_invoke {
    struct frame_header header;
    uint64_t deadline_ms; // since the epoch
    uint32_t lengths[6];
};
_Static_assert(sizeof(struct frame_header) == FRAME_HEADER_BYTES, "sent as it lies in memory");
_Static_assert(sizeof(struct frame_invoke) == FRAME_HEADER_BYTES + 32, "likewise");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the protocol's byte order is ours");

#endif
