// server_impl.h - what the files of the HTTP server share.
//
// A connection moves through these phases (the function behind every edge in brackets):
//
//   IDLE -> HEAD         first byte of a request              [http1_feed]
//   HEAD -> BODY         headers complete, body to come       [http1_feed]
//   HEAD, BODY -> ANSWER request complete, the handler's      [http1_feed]
//   BODY, ANSWER -> FLUSH answer complete                     [http_conn_answered]
//   FLUSH -> IDLE        the kernel has all of it             [http_conn_flushed]
//   FLUSH -> LINGER      the same, but input was left unread  [http_conn_flushed]
//   ANSWER -> UPGRADED   WebSocket; IDLE -> UPGRADED: HTTP/2  [http_conn_upgrade]
//   any -> closed                                             [http_conn_close]
//
// Invariants: a connection has at most one HTTP/1 request (c->req) at a time, so answers keep the
// order of the requests; what arrives behind it waits in c->in, which never exceeds
// HTTP_INPUT_BYTES, then in the kernel. A closed connection is freed in a later turn of the loop:
// code that has called out checks c->closed. A connection that breaks while it is written to is
// closed in a later turn too (http_conn_break), so that no answering function calls `gone`.
#ifndef LAMBKIN_HTTP_SERVER_IMPL_H
#define LAMBKIN_HTTP_SERVER_IMPL_H

#include "http/server.h"

#include <llhttp.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <sys/uio.h>

#define HTTP_INPUT_BYTES ((size_t)64 * 1024)
#define HTTP_OUTPUT_BYTES ((size_t)64 << 20) // a producer that ignores back-pressure ends here
#define HTTP_TRAILER_BYTES ((size_t)16 * 1024)
#define HTTP_MAX_TRAILERS 64

// How a protocol answers (server.h's functions of the same names).
struct http_transport {
    void (*respond)(struct http_request *req, const struct http_response *response);
    void (*respond_file)(struct http_request *req, const struct http_response *response, int fd,
                         uint64_t offset, uint64_t length);
    void (*begin)(struct http_request *req, int status, const struct http_header *headers,
                  unsigned n_headers, int64_t length);
    int (*write)(struct http_request *req, struct str data,
                 void (*taken)(struct http_request *req, void *ctx), void *ctx);
    int (*flush)(struct http_request *req);
    void (*end)(struct http_request *req, const struct http_header *trailers, unsigned n);
    void (*drop)(struct http_request *req);
    void (*interim)(struct http_request *req, int status, const struct http_header *headers,
                    unsigned n_headers);
    void (*body_resume)(struct http_request *req);
};

extern const struct http_transport http1_transport;

union http_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

// Names and values as they are collected: offsets in `bytes`, which may still move.
struct http_fields {
    struct buf bytes;
    struct http_header *at; // while collecting, ptr holds an offset
    unsigned n, cap;
    bool in_name;
};

// A request with what the server knows of it. `pub` is first.
struct http_req {
    struct http_request pub;
    struct http_req *prev, *next; // all of its loop, or the free list
    struct http_fields head, trail;
    size_t target_len;
    struct buf body; // in memory
    uint64_t body_received;
    union http_address peer;
    bool with_handler;     // the handler has it and must give it back
    bool paused;           // http_body_pause
    bool begun, head_sent; // a streamed answer
    bool chunked, no_body; // of the answer
    bool is_head, keep_alive, expect_continue;
    bool body_done;       // the request's body has ended
    int64_t answer_left;  // bytes until content-length, or HTTP_LENGTH_UNKNOWN
    struct buf held_head; // a streamed answer's head, until the first write
    void (*taken)(struct http_request *req, void *ctx);
    void *taken_ctx;
    void *stream; // HTTP/2's
};

enum conn_phase {
    CONN_IDLE,
    CONN_HEAD,
    CONN_BODY,
    CONN_ANSWER,
    CONN_FLUSH,
    CONN_LINGER,
    CONN_UPGRADED,
};

struct http_conn;

// What took an upgraded connection over.
struct http_protocol {
    void (*input)(struct http_conn *c, const char *data, size_t n);
    void (*flushed)(struct http_conn *c); // all output has been taken
    void (*timeout)(struct http_conn *c); // the deadline has passed
    void (*closed)(struct http_conn *c);  // the connection is about to go; frees its data
    void (*drain)(struct http_conn *c);   // finish and close
};

// Checks the lines of a head or of chunk framing: CR and LF only as a pair, no line that begins
// with white space (obsolete folding).
struct line_scan {
    bool after_cr, line_start, any_line;
    size_t seen, first_line; // bytes; of the first line with its end, once it is complete
};

struct http_conn {
    struct loop *loop;
    struct http_loop *home;
    struct http_listener *listener;
    struct http_conn *prev, *next; // all of the loop
    struct loop_watch *watch;
    SSL *ssl;
    struct http_req *req;
    struct buf in;  // read, not parsed
    struct buf out; // not taken by the kernel: from out_at on
    size_t out_at;
    struct loop_timer timer;
    int64_t deadline_ms; // INT64_MAX: none
    const struct http_protocol *protocol;
    void *protocol_data;
    void *late; // freed with the connection
    struct loop_task read_task, end_task;
    union http_address peer;
    int fd;
    int file_fd; // a file behind `out`, or -1
    uint64_t file_offset, file_left;
    size_t head_bytes;    // raw bytes of this head so far
    uint64_t frame_bytes; // chunk framing and trailers so far
    const char *gap;      // where framing began in what is being fed
    int fail_status;      // set inside parser callbacks
    llhttp_t parser;
    struct line_scan scan;
    uint8_t phase;
    bool closed, ending;      // ending: a task that closes and frees it is posted
    bool close_after, unread; // after the answer; and there is input that nobody will read
    bool peer_done;           // the client has closed its sending side
    bool watching_task;       // read_task is posted
    bool parsing;             // http1_feed is on the stack
    bool parser_paused;       // resume before feeding
    bool headers_done, message_done;
    bool ssl_wants_write, ssl_checked;
};

// Per loop.
struct http_loop {
    struct loop *loop;
    struct http_conn *conns;
    struct http_listener *listeners;
    struct http_req *live; // every request that is not in the free list
    struct http_req *unused;
    unsigned n_unused;
    atomic_uint n_gathered; // connections that count for gathering
    struct buf head;        // an answer's head while it is built
    int64_t date_second;
    char date[64]; // "date: Sat, 21 Nov 2026 13:40:01 GMT\r\n"
    char input[HTTP_INPUT_BYTES];
};

struct http_listener {
    struct http_listener_config config;
    struct loop *loop;
    struct http_listener *prev, *next;
    struct loop_watch *watch;
    int fd;
    atomic_uint refs; // connections, tasks under way, and one until it is closed
    atomic_uint connections;
    atomic_bool closing, draining, drained;
    struct loop_timer timer; // until accepting again, or the drain's limit
    struct loop_task over;
    void (*done)(void *ctx);
    void *done_ctx;
};

// ---- request.c ----
struct http_loop *http_loop_of(struct loop *l); // made when missing; NULL when out of memory
struct http_loop *http_loop_seen(const struct loop *l); // any thread; NULL when there is none yet
struct http_req *http_req_new(struct http_loop *h);
void http_req_free(struct http_req *r);
// Collecting fields. False: too many, too long, or out of memory (`limit`: which of them).
bool http_fields_name(struct http_fields *f, const char *p, size_t n, unsigned max);
void http_fields_name_end(struct http_fields *f);
bool http_fields_value(struct http_fields *f, const char *p, size_t n);
// Turns offsets into pointers.
void http_fields_resolve(struct http_fields *f, struct http_header **out, unsigned *n);
// 0, or the status to fail with: 413, 500, 507.
int http_req_body_add(struct http_req *r, const struct http_listener_config *config, const char *p,
                      size_t n);
void http_req_body_end(struct http_req *r);
// Hands a complete request to the handler.
void http_req_dispatch(struct http_req *r, struct http_listener *l);
// The client is gone: the handler hears of it, or the request is freed when no handler has it.
void http_req_orphan(struct http_req *r);
void http_set_target(struct http_req *r, struct str target);
bool http_host_valid(struct str host);
bool http_target_valid(struct str target, bool options);
static inline struct http_req *http_req_of(struct http_request *req)
{
    return (struct http_req *)req;
}

// ---- head.c ----
// Appends one header unless the server sets it itself or its name is invalid; line breaks in the
// value become spaces.
void http_head_field(struct buf *b, struct str name, struct str value);
bool http_head_owned(struct str name); // content-length, connection, transfer-encoding, …
bool http_field_name_valid(struct str name);
void http_head_date(struct http_loop *h, struct buf *b);
const char *http_date_value(struct http_loop *h, size_t *len);

// ---- conn.c ----
// Takes fd, also when it fails.
struct http_conn *http_conn_new(struct http_listener *l, struct loop *loop, int fd,
                                const union http_address *peer);
void http_conn_close(struct http_conn *c);
void http_conn_break(struct http_conn *c);
void http_conn_destroy(struct http_conn *c); // its loop ends
static inline bool http_conn_over(const struct http_conn *c)
{
    return c->closed || c->ending;
}
// Sends what is in iov behind what waits. 0: the kernel has all; 1: some waits; -EPIPE.
int http_conn_send(struct http_conn *c, struct iovec *iov, int n);
// A stretch of a file behind what waits. Takes fd.
int http_conn_send_file(struct http_conn *c, int fd, uint64_t offset, uint64_t length);
void http_conn_answered(struct http_conn *c);
void http_conn_deadline(struct http_conn *c, int64_t after_ms); // INT64_MAX: none
void http_conn_watch(struct http_conn *c);
// Goes on with input that waits (from outside of the parser).
void http_conn_resume(struct http_conn *c);
// Hands the connection to another protocol; what waits in c->in is given to it.
void http_conn_upgrade(struct http_conn *c, const struct http_protocol *p, void *data);
void http_conn_drain(struct http_conn *c);
bool http_conn_sending(const struct http_conn *c); // some output waits

// ---- http1_parse.c ----
void http1_start(struct http_conn *c);
// Answers how many bytes were used; stops when a request is complete or held up.
size_t http1_feed(struct http_conn *c, const char *data, size_t n);
// Answers with a plain error and closes.
void http1_fail(struct http_conn *c, int status);

// ---- http2.c ----
void http2_start(struct http_conn *c);

// ---- listener.c ----
void http_listener_unref(struct http_listener *l);
void http_listener_forget(struct http_listener *l); // its loop ends

// ---- tls.c ----
SSL *http_tls_accept(struct http_tls *t, int fd);

#endif
