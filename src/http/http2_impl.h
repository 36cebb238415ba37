// http2_impl.h - what http2.c and http2_respond.c share.
//
// Invariants: nghttp2's sending and receiving functions are never called from inside its
// callbacks (`receiving`): what a handler answers there leaves when receiving is over. A stream
// lives a little longer than nghttp2's; its request may have been given back earlier (req is NULL
// then), or outlive it (the handler still has it, and is told that the client has gone). Answers
// never call handlers: http2_wake does that in a later turn.
#ifndef LAMBKIN_HTTP_HTTP2_IMPL_H
#define LAMBKIN_HTTP_HTTP2_IMPL_H

#include "http/server_impl.h"

#include <nghttp2/nghttp2.h>

struct http2_stream {
    struct http2 *h;
    struct http2_stream *prev, *next;
    struct http_req *req; // NULL once it was given back
    struct buf out;       // of the answer, not framed
    size_t out_at;
    struct buf held; // of the request, while it is paused
    struct str authority;
    struct http_header *trailers; // of the answer, in the arena below
    unsigned n_trailers;
    struct arena arena;
    uint64_t file_offset, file_left;
    int64_t received_ms, sent_ms; // when it last moved in each direction
    int file_fd;
    int32_t id;
    int fail_status; // found while the headers came
    bool headers_done, peer_ended, answer_ended, deferred, has_host;
    bool gone; // nghttp2 has closed it: freed by the next settle()
};

struct http2 {
    struct http_conn *conn;
    nghttp2_session *session;
    struct http2_stream *streams;
    struct loop_task wake_task;
    int64_t counted_ms; // when the counters below began
    unsigned resets, others;
    int32_t last_id, skipped_above, skipped_below; // streams: the newest; the gap left last
    bool receiving;                                // nghttp2 is on the stack
    bool in_input, waking, draining, dead;
};

extern const struct http_transport http2_transport;

// Sends what nghttp2 has, until the kernel takes no more.
void http2_pump(struct http2 *h);
// In a later turn: tells producers that their data has been taken, ends what is over.
void http2_wake(struct http2 *h);
// Answers a request that was refused by the server itself.
void http2_fail(struct http2_stream *s, int status);
bool http2_stream_drained(const struct http2_stream *s);

#endif
