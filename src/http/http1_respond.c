// http1_respond.c - answers in HTTP/1.0 and 1.1.
//
// Invariants: the head of a complete answer and its body leave in one writev; a streamed answer's
// head waits in held_head for the first write. Exactly one of content-length, chunked framing or
// the end of the connection tells where a body ends (RFC 9112 section 6.3).
#include "http/server_impl.h"

#include "os/fd.h"

#include <errno.h>
#include <stdio.h>

static bool bodiless(int status)
{
    return status == 204 || status == 304 || (status >= 100 && status < 200);
}

static size_t put_u64(char *to, uint64_t v)
{
    char digits[20];
    size_t n = 0;

    do
        digits[n++] = (char)('0' + v % 10);
    while ((v /= 10) > 0);
    for (size_t i = 0; i < n; i++)
        to[i] = digits[n - 1 - i];
    return n;
}

static void add_status(struct buf *b, int status)
{
    char line[16] = "HTTP/1.1 ";
    const char *text = http_status_text(status);

    if (status < 100 || status > 999) // what a function answered is checked by its service
        status = 500;
    line[9] = (char)('0' + status / 100);
    line[10] = (char)('0' + status / 10 % 10);
    line[11] = (char)('0' + status % 10);
    line[12] = ' ';
    buf_add(b, (struct str){line, 13});
    buf_add(b, str_from(text));
    buf_add(b, STR("\r\n"));
}

// Status line and all fields but the framing's; `length_given` when a HEAD's answer brings its own
// content-length.
static void add_head(struct http_req *r, struct buf *b, int status,
                     const struct http_header *headers, unsigned n, bool *length_given)
{
    bool dated = false;

    *length_given = false;
    add_status(b, status);
    for (unsigned i = 0; i < n; i++) {
        struct str name = headers[i].name;
        if (name.len == 4 && str_eq_nocase(name, STR("date")))
            dated = true;
        if (r->no_body && name.len == 14 && str_eq_nocase(name, STR("content-length"))) {
            uint64_t length;
            if (*length_given || bodiless(status) || str_to_u64(headers[i].value, &length) < 0)
                continue;
            *length_given = true;
            buf_addf(b, "content-length: %llu\r\n", (unsigned long long)length);
            continue;
        }
        http_head_field(b, name, headers[i].value);
    }
    if (!dated)
        http_head_date(r->pub.conn->home, b);
}

static void add_connection(struct http_req *r, struct buf *b)
{
    struct http_conn *c = r->pub.conn;

    if (!r->keep_alive || c->close_after || !r->body_done) {
        c->close_after = true;
        buf_add(b, STR("connection: close\r\n"));
    } else if (r->pub.minor == 0) {
        buf_add(b, STR("connection: keep-alive\r\n"));
    }
}

static void add_length(struct buf *b, uint64_t length)
{
    char line[48] = "content-length: ";
    size_t n = 16 + put_u64(line + 16, length);

    line[n++] = '\r';
    line[n++] = '\n';
    buf_add(b, (struct str){line, n});
}

// The answer cannot be sent as it should: the connection goes.
static void give_up(struct http_req *r)
{
    struct http_conn *c = r->pub.conn;

    r->with_handler = false;
    if (c)
        http_conn_close(c); // frees the request
    else
        http_req_free(r);
}

static void finished(struct http_req *r)
{
    struct http_conn *c = r->pub.conn;

    r->with_handler = false;
    http_conn_answered(c);
}

// Builds the head of an answer with a known length.
static struct buf *complete_head(struct http_req *r, const struct http_response *response,
                                 uint64_t length)
{
    struct buf *b = &r->pub.conn->home->head;
    bool length_given;

    r->no_body = r->is_head || bodiless(response->status);
    if (response->close)
        r->pub.conn->close_after = true;
    buf_reset(b);
    add_head(r, b, response->status, response->headers, response->n_headers, &length_given);
    if (!bodiless(response->status) && !length_given)
        add_length(b, length);
    add_connection(r, b);
    buf_add(b, STR("\r\n"));
    return b;
}

static void respond(struct http_request *req, const struct http_response *response)
{
    struct http_req *r = http_req_of(req);

    if (!req->conn || r->begun) {
        give_up(r);
        return;
    }
    struct buf *b = complete_head(r, response, response->body.len);
    if (b->failed) {
        give_up(r);
        return;
    }
    struct iovec iov[2] = {
        {.iov_base = b->ptr, .iov_len = b->len},
        {.iov_base = (void *)(uintptr_t)response->body.ptr, .iov_len = response->body.len}};
    r->with_handler = false; // a connection that breaks frees the request when it is closed
    if (http_conn_send(req->conn, iov, r->no_body || response->body.len == 0 ? 1 : 2) < 0)
        return;
    finished(r);
}

static void respond_file(struct http_request *req, const struct http_response *response, int fd,
                         uint64_t offset, uint64_t length)
{
    struct http_req *r = http_req_of(req);

    if (!req->conn || r->begun) {
        closep(&fd);
        give_up(r);
        return;
    }
    struct buf *b = complete_head(r, response, length);
    if (b->failed) {
        closep(&fd);
        give_up(r);
        return;
    }
    struct iovec iov = {.iov_base = b->ptr, .iov_len = b->len};
    r->with_handler = false;
    if (http_conn_send(req->conn, &iov, 1) < 0) {
        closep(&fd);
        return;
    }
    if (r->no_body)
        closep(&fd);
    else if (http_conn_send_file(req->conn, fd, offset, length) < 0)
        return;
    finished(r);
}

static void begin(struct http_request *req, int status, const struct http_header *headers,
                  unsigned n_headers, int64_t length)
{
    struct http_req *r = http_req_of(req);
    struct buf *b = &r->held_head;
    bool length_given;

    if (!req->conn || r->begun)
        return;
    r->begun = true;
    r->no_body = r->is_head || bodiless(status);
    r->answer_left = length < 0 ? HTTP_LENGTH_UNKNOWN : length;
    r->chunked = length < 0 && req->minor >= 1 && !r->no_body;
    if (length < 0 && !r->chunked && !r->no_body)
        req->conn->close_after = true; // HTTP/1.0: the end of the connection is the end
    buf_reset(b);
    add_head(r, b, status, headers, n_headers, &length_given);
    if (r->chunked)
        buf_add(b, STR("transfer-encoding: chunked\r\n"));
    else if (length >= 0 && !length_given && !bodiless(status))
        add_length(b, (uint64_t)length);
    add_connection(r, b);
    buf_add(b, STR("\r\n"));
}

static int hold(struct http_req *r, int sent, void (*taken)(struct http_request *req, void *ctx),
                void *ctx)
{
    if (sent == 1 && taken) {
        r->taken = taken;
        r->taken_ctx = ctx;
    }
    return sent < 0 ? -EPIPE : sent;
}

static int write_piece(struct http_request *req, struct str data,
                       void (*taken)(struct http_request *req, void *ctx), void *ctx)
{
    struct http_req *r = http_req_of(req);
    struct iovec iov[4];
    char size[20];
    int n = 0;

    if (!req->conn || !r->begun)
        return -EPIPE;
    if (r->answer_left >= 0 && (uint64_t)data.len > (uint64_t)r->answer_left)
        data.len = (size_t)r->answer_left; // what is over would be read as the next answer
    if (!r->head_sent) {
        r->head_sent = true;
        if (r->held_head.failed) {
            http_conn_break(req->conn);
            return -EPIPE;
        }
        iov[n++] = (struct iovec){r->held_head.ptr, r->held_head.len};
    }
    if (data.len > 0 && !r->no_body) {
        if (r->chunked) {
            int len = snprintf(size, sizeof size, "%zx\r\n", data.len);
            iov[n++] = (struct iovec){size, (size_t)len};
        }
        iov[n++] = (struct iovec){(void *)(uintptr_t)data.ptr, data.len};
        if (r->chunked)
            iov[n++] = (struct iovec){(void *)(uintptr_t) "\r\n", 2};
        if (r->answer_left >= 0)
            r->answer_left -= (int64_t)data.len;
    }
    if (n == 0)
        return 0;
    return hold(r, http_conn_send(req->conn, iov, n), taken, ctx);
}

static int flush(struct http_request *req)
{
    return write_piece(req, STR(""), NULL, NULL);
}

static void end(struct http_request *req, const struct http_header *trailers, unsigned n)
{
    struct http_req *r = http_req_of(req);

    if (!req->conn || !r->begun || (r->answer_left > 0 && !r->no_body)) {
        give_up(r); // shorter than was promised: the client must see that
        return;
    }
    r->taken = NULL;
    r->with_handler = false;
    struct buf *b = &req->conn->home->head;
    buf_reset(b);
    if (!r->head_sent)
        buf_add(b, buf_str(&r->held_head));
    r->head_sent = true;
    if (r->chunked) {
        buf_add(b, STR("0\r\n"));
        for (unsigned i = 0; i < n; i++)
            http_head_field(b, trailers[i].name, trailers[i].value);
        buf_add(b, STR("\r\n"));
    }
    struct iovec iov = {b->ptr, b->len};
    if (b->failed || r->held_head.failed) {
        give_up(r);
        return;
    }
    if (b->len > 0 && http_conn_send(req->conn, &iov, 1) < 0)
        return;
    finished(r);
}

static void interim(struct http_request *req, int status, const struct http_header *headers,
                    unsigned n_headers)
{
    struct http_req *r = http_req_of(req);

    if (!req->conn || r->begun || req->minor == 0)
        return;
    struct buf *b = &req->conn->home->head;
    buf_reset(b);
    add_status(b, status);
    for (unsigned i = 0; i < n_headers; i++)
        http_head_field(b, headers[i].name, headers[i].value);
    buf_add(b, STR("\r\n"));
    if (status == 100)
        r->expect_continue = false;
    struct iovec iov = {b->ptr, b->len};
    http_conn_send(req->conn, &iov, 1);
}

static void drop(struct http_request *req)
{
    give_up(http_req_of(req));
}

static void body_resume(struct http_request *req)
{
    http_conn_resume(req->conn);
}

const struct http_transport http1_transport = {
    .respond = respond,
    .respond_file = respond_file,
    .begin = begin,
    .write = write_piece,
    .flush = flush,
    .end = end,
    .drop = drop,
    .interim = interim,
    .body_resume = body_resume,
};
