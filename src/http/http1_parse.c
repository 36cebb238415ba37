// http1_parse.c - requests in HTTP/1.0 and 1.1: llhttp, and what it lets through.
//
// Invariants: a head is fed to llhttp only up to its end as seen by scan_lines, so both agree where
// the head ends. Everything that is not body (heads, chunk sizes, trailers) has passed scan_lines
// before any of it is acted upon. What two parsers could read differently is refused (RFC 9112
// sections 2.2, 3.2, 5.1, 5.2, 6.1, 6.3, 11.2), never repaired, and the connection is closed.
#include "http/server_impl.h"

#include "base/cleanup.h"

#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>

#define FRAME_BYTES ((uint64_t)64 * 1024) // chunk framing beyond 16 times the data

// Stops after the empty line that ends a head (in_head), otherwise goes through all. Answers how
// many bytes were looked at, or -1 for a bare CR or LF or a folded line.
static ptrdiff_t scan_lines(struct line_scan *s, const char *p, size_t n, bool in_head, bool *ended)
{
    size_t i = 0;

    while (i < n) {
        if (!s->after_cr && !s->line_start) {
            while (i < n && (unsigned char)p[i] > '\r')
                i++;
            if (i == n)
                break;
        }
        char c = p[i++];
        if (s->after_cr) {
            if (c != '\n')
                return -1;
            s->after_cr = false;
            if (s->first_line == 0)
                s->first_line = s->seen + i;
            if (s->line_start && s->any_line && in_head) { // an empty line
                *ended = true;
                return (ptrdiff_t)i;
            }
            s->line_start = true;
        } else if (c == '\r') {
            s->after_cr = true;
        } else if (c == '\n') {
            return -1;
        } else if (s->line_start) {
            if (c == ' ' || c == '\t')
                return -1;
            s->line_start = false;
            s->any_line = true;
        }
    }
    s->seen += n;
    return (ptrdiff_t)n;
}

// ---- llhttp's callbacks ----

static struct http_conn *conn_of(llhttp_t *p)
{
    return p->data;
}

static int refuse(struct http_conn *c, int status)
{
    if (c->fail_status == 0)
        c->fail_status = status;
    return HPE_USER;
}

static int on_url(llhttp_t *p, const char *at, size_t n)
{
    struct http_req *r = conn_of(p)->req;

    buf_add(&r->head.bytes, (struct str){at, n});
    r->target_len += n;
    return r->head.bytes.failed ? refuse(conn_of(p), 431) : 0;
}

static int on_field(llhttp_t *p, const char *at, size_t n)
{
    struct http_conn *c = conn_of(p);
    bool ok = c->headers_done
                  ? http_fields_name(&c->req->trail, at, n, HTTP_MAX_TRAILERS)
                  : http_fields_name(&c->req->head, at, n, c->listener->config.limits.headers);

    return ok ? 0 : refuse(c, 431);
}

static int on_field_complete(llhttp_t *p)
{
    struct http_conn *c = conn_of(p);
    struct http_fields *f = c->headers_done ? &c->req->trail : &c->req->head;

    if (!f->in_name || f->at[f->n - 1].name.len == 0) // ": value"
        return refuse(c, 400);
    http_fields_name_end(f);
    return 0;
}

static int on_value(llhttp_t *p, const char *at, size_t n)
{
    struct http_conn *c = conn_of(p);

    return http_fields_value(c->headers_done ? &c->req->trail : &c->req->head, at, n)
               ? 0
               : refuse(c, 431);
}

// What the head says about itself; 0 or the status to fail with.
static int check_head(struct http_conn *c)
{
    struct http_req *r = c->req;
    struct http_request *req = &r->pub;
    unsigned hosts = 0, lengths = 0, encodings = 0;

    req->major = c->parser.http_major;
    req->minor = c->parser.http_minor;
    if (req->major != 1 || req->minor > 1) {
        req->minor = 1; // for the answer
        return 505;
    }
    // llhttp allows for more than one space in the request line.
    if (c->scan.first_line != req->method.len + req->target.len + sizeof "  HTTP/1.1\r\n" - 1)
        return 400;
    for (unsigned i = 0; i < req->n_headers; i++) {
        const struct http_header *h = &req->headers[i];
        switch (h->name.len) {
        case 4:
            if (str_eq(h->name, STR("host"))) {
                hosts++;
                if (!http_host_valid(h->value))
                    return 400;
            }
            break;
        case 6:
            if (str_eq(h->name, STR("expect"))) {
                if (!str_eq_nocase(h->value, STR("100-continue")))
                    return 417;
                r->expect_continue = req->minor == 1;
            }
            break;
        case 14:
            if (str_eq(h->name, STR("content-length"))) {
                uint64_t value;
                lengths++;
                if (h->value.len == 0 || h->value.ptr[0] < '0' || h->value.ptr[0] > '9' ||
                    str_to_u64(h->value, &value) < 0 || value > INT64_MAX)
                    return 400;
            }
            break;
        case 17:
            if (str_eq(h->name, STR("transfer-encoding"))) {
                encodings++;
                if (!str_eq_nocase(h->value, STR("chunked")) || req->minor == 0)
                    return 400;
            }
            break;
        default:
            break;
        }
    }
    if (lengths > 1 || encodings > 1 || (lengths && encodings) || hosts > 1 ||
        (hosts == 0 && req->minor == 1))
        return 400;
    if (c->parser.method == HTTP_CONNECT)
        return 400;
    return http_target_valid(req->target, c->parser.method == HTTP_OPTIONS) ? 0 : 400;
}

static int on_headers_complete(llhttp_t *p)
{
    struct http_conn *c = conn_of(p);
    struct http_req *r = c->req;

    c->headers_done = true;
    http_fields_resolve(&r->head, &r->pub.headers, &r->pub.n_headers);
    http_set_target(r, (struct str){r->head.bytes.ptr, r->target_len});
    r->pub.method = str_from(llhttp_method_name((llhttp_method_t)p->method));
    r->is_head = p->method == HTTP_HEAD;
    r->keep_alive = llhttp_should_keep_alive(p) != 0;
    p->upgrade = 0; // whether it is one is the handler's decision, framing does not change
    int status = check_head(c);
    return status ? refuse(c, status) : 0;
}

// Framing between two pieces of a chunked body, up to `end`.
static int check_gap(struct http_conn *c, const char *end)
{
    size_t n = (size_t)(end - c->gap);

    c->frame_bytes += n;
    if (scan_lines(&c->scan, c->gap, n, false, NULL) < 0 ||
        c->frame_bytes > FRAME_BYTES + 16 * c->req->body_received)
        return refuse(c, 400);
    return 0;
}

static int on_body(llhttp_t *p, const char *at, size_t n)
{
    struct http_conn *c = conn_of(p);
    struct http_req *r = c->req;
    int status;

    if (p->flags & F_CHUNKED) {
        if (check_gap(c, at) != 0)
            return HPE_USER;
        c->gap = at + n;
    }
    if (!r->pub.on_body) {
        status = http_req_body_add(r, &c->listener->config, at, n);
        return status ? refuse(c, status) : 0;
    }
    if (n > r->pub.max_body_bytes - r->body_received)
        return refuse(c, 413);
    r->body_received += n;
    r->pub.on_body(&r->pub, (struct str){at, n}, false);
    if (http_conn_over(c) || c->phase != CONN_BODY)
        return HPE_USER; // it was answered, or is gone
    return c->req->paused ? HPE_PAUSED : 0;
}

static int on_message_complete(llhttp_t *p)
{
    conn_of(p)->message_done = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t *settings(void)
{
    static _Thread_local llhttp_settings_t s;
    static _Thread_local bool made;

    if (!made) {
        llhttp_settings_init(&s);
        s.on_url = on_url;
        s.on_header_field = on_field;
        s.on_header_field_complete = on_field_complete;
        s.on_header_value = on_value;
        s.on_headers_complete = on_headers_complete;
        s.on_body = on_body;
        s.on_message_complete = on_message_complete;
        made = true;
    }
    return &s;
}

void http1_start(struct http_conn *c)
{
    llhttp_init(&c->parser, HTTP_REQUEST, settings());
    c->parser.data = c;
}

// ---- feeding ----

void http1_fail(struct http_conn *c, int status)
{
    struct http_req *r = c->req;
    char text[96];

    if (!r || r->with_handler || r->begun) { // it cannot be told any more
        http_conn_close(c);
        return;
    }
    int n = snprintf(text, sizeof text, "%d %s\n", status, http_status_text(status));
    r->keep_alive = false;
    http_respond_text(&r->pub, status, STR("text/plain"), (struct str){text, (size_t)n});
}

static bool begin_head(struct http_conn *c)
{
    const struct http_limits *limits = &c->listener->config.limits;
    struct http_req *r = http_req_new(c->home);

    if (!r) {
        http_conn_close(c);
        return false;
    }
    r->pub.conn = c;
    r->pub.listener = c->listener;
    r->pub.transport = &http1_transport;
    r->pub.tls = c->ssl != NULL;
    r->pub.major = r->pub.minor = 1;
    r->pub.max_body_bytes = limits->body_bytes;
    r->pub.spool_bytes = limits->spool_bytes;
    r->peer = c->peer;
    r->head.bytes.max_bytes = limits->header_bytes;
    r->trail.bytes.max_bytes = HTTP_TRAILER_BYTES;
    c->req = r;
    c->phase = CONN_HEAD;
    c->head_bytes = 0;
    c->frame_bytes = 0;
    c->headers_done = c->message_done = false;
    c->fail_status = 0;
    c->scan = (struct line_scan){.line_start = true};
    http_conn_deadline(c, limits->header_ms);
    return true;
}

// Runs llhttp over it; how many bytes were used, or -1 after failing the request.
static ptrdiff_t run_parser(struct http_conn *c, const char *data, size_t n)
{
    if (c->parser_paused) {
        llhttp_resume(&c->parser);
        c->parser_paused = false;
    }
    llhttp_errno_t e = llhttp_execute(&c->parser, data, n);
    if (http_conn_over(c) || (c->phase != CONN_HEAD && c->phase != CONN_BODY))
        return -1; // ended by a callback
    if (e == HPE_OK)
        return (ptrdiff_t)n;
    if (e == HPE_PAUSED) {
        c->parser_paused = true;
        return llhttp_get_error_pos(&c->parser) - data;
    }
    http1_fail(c, c->fail_status ? c->fail_status : e == HPE_INVALID_VERSION ? 505 : 400);
    return -1;
}

// The head is complete: the hook, the length, 100 Continue. False when the request is over.
static bool open_body(struct http_conn *c, bool more_is_here)
{
    struct http_req *r = c->req;
    const struct http_listener_config *config = &c->listener->config;

    r->body_done = c->message_done;
    c->phase = CONN_BODY;
    if (config->on_headers) {
        r->with_handler = true; // it may answer
        config->on_headers(config->ctx, &r->pub);
        if (http_conn_over(c) || c->phase != CONN_BODY)
            return false;
        r->with_handler = r->pub.on_body != NULL || r->begun;
    }
    if (c->message_done)
        return true;
    if (!(c->parser.flags & F_CHUNKED) && c->parser.content_length > r->pub.max_body_bytes) {
        http1_fail(c, 413);
        return false;
    }
    if (more_is_here)
        return true;
    if (r->expect_continue) {
        http_respond_interim(&r->pub, 100, NULL, 0);
    } else if (c->peer.any.sa_family != AF_UNIX) {
        // A client that sends head and body in two writes without TCP_NODELAY holds the body back
        // until the head is acknowledged, which would be delayed by 40 ms.
        int one = 1;
        setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
    }
    return !http_conn_over(c);
}

static void dispatch(struct http_conn *c)
{
    struct http_req *r = c->req;

    c->phase = CONN_ANSWER;
    if (!http_conn_sending(c))
        http_conn_deadline(c, INT64_MAX);
    http_req_dispatch(r, c->listener);
}

// Some of a head; how many bytes were used, or -1 when the request is over.
static ptrdiff_t feed_head(struct http_conn *c, const char *data, size_t n)
{
    bool ended = false;
    ptrdiff_t len = scan_lines(&c->scan, data, n, true, &ended);

    if (len < 0) {
        http1_fail(c, 400);
        return -1;
    }
    c->head_bytes += (size_t)len;
    if (c->head_bytes > c->listener->config.limits.header_bytes) {
        http1_fail(c, 431);
        return -1;
    }
    ptrdiff_t used = run_parser(c, data, (size_t)len);
    if (used < 0)
        return -1;
    if (c->headers_done != ended || used != len) { // the two do not agree where it ends
        http1_fail(c, 400);
        return -1;
    }
    if (!ended)
        return used;
    c->scan = (struct line_scan){.line_start = true, .any_line = true};
    if (open_body(c, (size_t)used < n) && c->message_done)
        dispatch(c);
    return used;
}

static ptrdiff_t feed_body(struct http_conn *c, const char *data, size_t n)
{
    bool chunked = (c->parser.flags & F_CHUNKED) != 0;

    c->gap = data;
    ptrdiff_t used = run_parser(c, data, n);
    if (used < 0)
        return -1;
    if (chunked && check_gap(c, data + used) != 0) {
        http1_fail(c, c->fail_status);
        return -1;
    }
    if (c->message_done)
        dispatch(c);
    return used;
}

size_t http1_feed(struct http_conn *c, const char *data, size_t n)
{
    size_t at = 0;

    // A parser that was paused behind the last byte of a body goes on without input.
    while (!http_conn_over(c) &&
           (at < n || (c->phase == CONN_BODY && c->parser_paused && !c->req->paused))) {
        ptrdiff_t used;
        if (c->phase == CONN_IDLE) {
            if (data[at] == '\r' || data[at] == '\n') { // RFC 9112 section 2.2: between requests
                at++;
                continue;
            }
            if (!begin_head(c))
                return n;
        }
        if (c->phase == CONN_HEAD)
            used = feed_head(c, data + at, n - at);
        else if (c->phase == CONN_BODY && !c->req->paused)
            used = feed_body(c, data + at, n - at);
        else
            break;
        if (used < 0)
            return n; // nothing that follows can be trusted, or wanted
        at += (size_t)used;
    }
    return at;
}
