// server.h - the HTTP server: listeners, requests, responses.
//
// Thread ownership: a request belongs to the loop it came in on (req->loop); every function here
// that takes a request is called on that loop. Handlers that block go to a worker and come back
// with loop_post.
//
// Life of a request: it is handed to the handler once, and stays valid until the handler has
// answered it: http_respond, http_respond_file, http_respond_end, or http_request_drop. Each of
// these gives it back; it must not be touched afterwards. A client that leaves earlier does not
// free it: `gone` is called (when set), and whatever is answered afterwards goes nowhere.
#ifndef LAMBKIN_HTTP_SERVER_H
#define LAMBKIN_HTTP_SERVER_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "os/loop.h"

#include <sys/socket.h>

struct http_conn;
struct http_listener;
struct http_tls;
struct http_request;
struct http_transport;

struct http_header {
    struct str name;  // lower case in requests; as to be sent in responses
    struct str value; // without white space at both ends
};

// A body that has been received: in memory, or past the threshold in an unlinked file.
struct http_body {
    struct str memory; // when fd < 0; a NUL follows
    int fd;            // owned by the request, or -1
    uint64_t size_bytes;
};

struct http_request {
    struct arena arena; // lives as long as the request; free for the handler's use
    struct loop *loop;
    struct http_listener *listener; // NULL once the client has gone
    struct str method;              // "GET"
    struct str target;              // as sent: "/a%20b?x=1"
    struct str path;                // up to '?', still percent-encoded
    struct str query;               // after '?', absent without one
    struct http_header *headers;
    unsigned n_headers;
    struct http_header *trailers; // there once the body is complete
    unsigned n_trailers;
    struct http_body body;
    uint8_t major, minor; // 1.0, 1.1, 2.0
    bool tls;
    bool client_gone;
    int64_t arrived_ns; // os_mono_ns() when its first byte was read
    void *user;         // the handler's
    // Set by the handler of a sandbox's own listener: whose it is. Absent: from outside.
    struct str origin;

    // The client has left while the handler still holds the request: a connection that was closed
    // or broke, or, when this is set, whose client has closed its sending side. The handler may
    // answer or drop the request right here or later. Called at most once.
    void (*gone)(struct http_request *req);

    // Streaming: set by the on_headers hook, and the body is not collected but given piece by piece
    // (borrowed for the call; an empty piece with `last` ends it, trailers are then there). When
    // the client leaves in the middle, gone is called instead. The request is with the handler from
    // then on; the listener's `handle` is not called for it.
    void (*on_body)(struct http_request *req, struct str piece, bool last);
    // May be lowered or raised in on_headers, for this request.
    uint64_t max_body_bytes;
    size_t spool_bytes;

    const struct http_transport *transport; // the server's
    struct http_conn *conn;                 // the server's; NULL once the client has gone
    void *internal;                         // the server's
};

// The value of the first header of that name (lower case), or the absent string.
struct str http_header_get(const struct http_request *req, struct str name);
struct str http_trailer_get(const struct http_request *req, struct str name);
// How many there are of that name.
unsigned http_header_count(const struct http_request *req, struct str name);
// The whole body in memory: as it is, or read from its file into the request's arena. -EFBIG over
// max_bytes. May be called on a worker that holds the request.
int http_body_read(struct http_request *req, size_t max_bytes, struct str *out, struct err *err);
// The other end: "127.0.0.1:50312", "[::1]:50312", "unix", in the request's arena.
struct str http_remote_address(struct http_request *req);

// ---- answering ----

struct http_response {
    int status;
    const struct http_header *headers; // content-length, date, connection are the server's
    unsigned n_headers;
    struct str body;
    bool close; // the connection, afterwards
};

// Sends a complete answer. Everything is borrowed for the call only: what the kernel does not take
// at once is copied. Gives the request back. Bodies of HEAD, 204 and 304 are left out.
void http_respond(struct http_request *req, const struct http_response *response);
// The short form: content-type and body.
void http_respond_text(struct http_request *req, int status, struct str content_type,
                       struct str body);
// A stretch of a file as body; response->body is ignored. Takes fd and closes it. Gives back.
void http_respond_file(struct http_request *req, const struct http_response *response, int fd,
                       uint64_t offset, uint64_t length);

#define HTTP_LENGTH_UNKNOWN (-1)
// A streamed answer: status and headers now, length or HTTP_LENGTH_UNKNOWN (chunked). The head
// goes out with the first write, or with http_respond_flush.
void http_respond_begin(struct http_request *req, int status, const struct http_header *headers,
                        unsigned n_headers, int64_t length);
// 0: the kernel took it all. 1: some of it waits; `taken(req, ctx)` is called once all of it has
// been taken, or the client has left (req->client_gone; when `gone` is set, that is called
// instead). Before that, more may be written, but
// a producer should wait. -EPIPE: the client has gone, nothing is called. Data is borrowed.
int http_respond_write(struct http_request *req, struct str data,
                       void (*taken)(struct http_request *req, void *ctx), void *ctx);
int http_respond_flush(struct http_request *req);
// Ends it, with trailers in a chunked answer. Gives the request back.
void http_respond_end(struct http_request *req, const struct http_header *trailers, unsigned n);
// Breaks a streamed answer off so that the client can tell (connection closed, stream reset).
// Gives the request back. Before an answer was begun: the connection is closed without one.
void http_request_drop(struct http_request *req);
// An interim answer (103), or 100 ahead of its time.
void http_respond_interim(struct http_request *req, int status, const struct http_header *headers,
                          unsigned n_headers);

// Streaming request bodies: while paused, on_body is not called and the client is held back.
void http_body_pause(struct http_request *req);
void http_body_resume(struct http_request *req);

const char *http_status_text(int status);

// ---- listeners ----

typedef void (*http_handler)(void *ctx, struct http_request *req);

struct http_limits {
    size_t header_bytes;  // request line and headers together: 431 over it
    unsigned headers;     // how many: 431
    uint64_t body_bytes;  // 413
    size_t spool_bytes;   // bodies longer than this go to a file
    int64_t header_ms;    // from the first byte to the end of the headers: 408
    int64_t body_ms;      // no byte of the body for so long: 408
    int64_t idle_ms;      // between requests: closed
    int64_t write_ms;     // no byte taken by the client for so long: closed
    unsigned connections; // at the same time on this listener; more wait in the backlog
};

#define HTTP_LIMITS_DEFAULT                                                                        \
    {                                                                                              \
        .header_bytes = 64 * 1024, .headers = 256, .body_bytes = (uint64_t)128 << 20,              \
        .spool_bytes = 1 << 20, .header_ms = 15000, .body_ms = 60000, .idle_ms = 75000,            \
        .write_ms = 60000, .connections = 65536                                                    \
    }

struct http_listener_config {
    http_handler handle;     // the body is complete
    http_handler on_headers; // or NULL: headers are complete, the body is not. May answer the
                             // request at once (the body is then skipped), or set req->on_body
    void *ctx;
    struct http_limits limits;
    const char *spool_dir; // must outlive the listener; NULL: no spooling, 413 past spool_bytes
    struct http_tls *tls;  // must outlive the listener; NULL: plain
    bool gather;           // accepts on one loop and spreads over all when that one gets full
};

#define HTTP_BACKLOG 1024

// Opens a listening TCP socket (host: "127.0.0.1", "::1", "0.0.0.0"; port 0: any free one);
// close-on-exec. The descriptor, or -errno.
int http_listen_tcp(const char *host, uint16_t port, struct err *err);
uint16_t http_socket_port(int fd);
// Serves a listening socket (TCP or Unix) on `loop`; takes fd. `config` is copied. On the loop's
// thread, or before the loop runs.
int http_listener_from_fd(struct loop *loop, int fd, const struct http_listener_config *config,
                          struct http_listener **out, struct err *err);
// http_listen_tcp + http_listener_from_fd on loop_at(0), from any thread.
int http_listener_open(const char *host, uint16_t port, const struct http_listener_config *config,
                       struct http_listener **out, struct err *err);
uint16_t http_listener_port(const struct http_listener *l);
void *http_listener_ctx(const struct http_listener *l);
unsigned http_listener_connections(const struct http_listener *l);
// Serves one connected socket as if the listener had accepted it; takes fd. On `loop`.
void http_listener_serve(struct http_listener *l, struct loop *loop, int fd);
// Stops accepting and cuts all its connections. Requests that handlers hold stay valid until they
// are answered. On the listener's loop. The listener is freed when its last connection is.
void http_listener_close(struct http_listener *l);
// Stops accepting, closes idle connections, lets requests finish (their connections close after
// the answer) for up to limit_ms, then cuts what is left. Then done(ctx), on the listener's loop;
// the listener is then freed.
void http_listener_drain(struct http_listener *l, int64_t limit_ms, void (*done)(void *ctx),
                         void *ctx);

// ---- TLS ----

// From PEM files.
int http_tls_load(const char *cert_path, const char *key_path, struct http_tls **out,
                  struct err *err);
// From tls-cert.pem and tls-key.pem in `dir`, made first when they are missing: self-signed, for
// localhost, *.localhost, 127.0.0.1 and ::1, ten years, the key with mode 0600.
int http_tls_self_made(const char *dir, struct http_tls **out, struct err *err);
void http_tls_destroy(struct http_tls *t);

#endif
