// http2.c - HTTP/2 (RFC 9113) over TLS, by nghttp2, on the same requests as HTTP/1.
//
// Floods: streams that are reset as fast as they are opened (from either side), settings, pings,
// priorities, empty frames beyond any honest client's number within COUNT_MS end the connection
// with ENHANCE_YOUR_CALM. Continuations are bounded by the size of a head, acknowledgements by
// nghttp2. What a paused request has received is bounded by the stream's window.
//
// Stalls: each stream has time limits of its own, so that neither a body that does not go on nor a
// window that is never opened holds memory for longer than HTTP/1 would let it, whatever else moves
// on the connection.
#include "http/http2_impl.h"

#include "os/fd.h"
#include "os/log.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_STREAMS 128
#define WINDOW_BYTES (256 * 1024)
#define COUNT_MS 10000
#define MAX_RESETS 300
#define MAX_OTHERS 2000
#define MAX_QUEUED_ACKS 128

static const struct http_protocol protocol;

// ---- streams ----

static struct http2_stream *stream_new(struct http2 *h, int32_t id)
{
    const struct http_limits *limits = &h->conn->listener->config.limits;
    struct http2_stream *s = calloc(1, sizeof *s);
    struct http_req *r = s ? http_req_new(h->conn->home) : NULL;

    if (!r) {
        free(s);
        return NULL;
    }
    s->h = h;
    s->id = id;
    s->req = r;
    s->file_fd = -1;
    s->received_ms = s->sent_ms = loop_now_ms(h->conn->loop);
    buf_init(&s->out, HTTP_OUTPUT_BYTES);
    buf_init(&s->held, WINDOW_BYTES);
    arena_init(&s->arena, (size_t)1 << 20);
    s->next = h->streams;
    if (h->streams)
        h->streams->prev = s;
    h->streams = s;
    r->stream = s;
    r->pub.conn = h->conn;
    r->pub.listener = h->conn->listener;
    r->pub.transport = &http2_transport;
    r->pub.tls = true;
    r->pub.major = 2;
    r->pub.max_body_bytes = limits->body_bytes;
    r->pub.spool_bytes = limits->spool_bytes;
    r->peer = h->conn->peer;
    r->head.bytes.max_bytes = limits->header_bytes;
    r->trail.bytes.max_bytes = HTTP_TRAILER_BYTES;
    return s;
}

static void stream_free(struct http2_stream *s)
{
    struct http2 *h = s->h;
    struct http_req *r = s->req;

    if (s->prev)
        s->prev->next = s->next;
    else
        h->streams = s->next;
    if (s->next)
        s->next->prev = s->prev;
    s->req = NULL;
    closep(&s->file_fd);
    buf_finish(&s->out);
    buf_finish(&s->held);
    arena_finish(&s->arena);
    free(s);
    if (r) {
        r->stream = NULL;
        http_req_orphan(r);
    }
}

static struct http2_stream *stream_of(struct http2 *h, int32_t id)
{
    return nghttp2_session_get_stream_user_data(h->session, id);
}

bool http2_stream_drained(const struct http2_stream *s)
{
    return s->out.len == s->out_at && s->file_fd < 0;
}

// ---- floods ----

static int count(struct http2 *h, unsigned *counter, unsigned most)
{
    int64_t now = loop_now_ms(h->conn->loop);

    if (now - h->counted_ms > COUNT_MS) {
        h->counted_ms = now;
        h->resets = h->others = 0;
    }
    if (++*counter <= most)
        return 0;
    if (*counter == most + 1) {
        log_warn("an HTTP/2 client floods: its connection is closed");
        nghttp2_session_terminate_session(h->session, NGHTTP2_ENHANCE_YOUR_CALM);
    }
    h->draining = true;
    return 0;
}

// ---- requests ----

static void consumed(struct http2_stream *s, size_t n)
{
    nghttp2_session_consume(s->h->session, s->id, n);
}

static void dispatch(struct http2_stream *s)
{
    s->peer_ended = true;
    if (s->req && !(s->req->pub.on_body && s->req->paused))
        http_req_dispatch(s->req, s->h->conn->listener);
}

// RFC 9113 section 8.2.3: cookies may come in pieces.
static void join_cookies(struct http_req *r)
{
    struct http_request *req = &r->pub;
    struct http_header *first = NULL;
    unsigned kept = 0;

    for (unsigned i = 0; i < req->n_headers; i++) {
        struct http_header *h = &req->headers[i];
        if (!str_eq(h->name, STR("cookie"))) {
            req->headers[kept++] = *h;
        } else if (!first) {
            first = &req->headers[kept];
            req->headers[kept++] = *h;
        } else {
            struct str both =
                arena_printf(&req->arena, "%.*s; %.*s", STR_ARG(first->value), STR_ARG(h->value));
            first->value = both.ptr ? both : first->value;
        }
    }
    req->n_headers = kept;
}

static int check_head(struct http2_stream *s)
{
    struct http_req *r = s->req;
    bool options = str_eq(r->pub.method, STR("OPTIONS"));

    if (s->fail_status)
        return s->fail_status;
    if (str_eq(r->pub.method, STR("CONNECT")) || !http_target_valid(r->pub.target, options) ||
        http_header_count(&r->pub, STR("host")) != 1 ||
        !http_host_valid(http_header_get(&r->pub, STR("host"))))
        return 400;
    struct str expect = http_header_get(&r->pub, STR("expect"));
    r->expect_continue = expect.ptr != NULL;
    return !expect.ptr || str_eq_nocase(expect, STR("100-continue")) ? 0 : 417;
}

static void headers_complete(struct http2_stream *s, bool ended)
{
    const struct http_listener_config *config = &s->h->conn->listener->config;
    struct http_req *r = s->req;
    struct http_request *req = &r->pub;

    s->headers_done = true;
    r->body_done = s->peer_ended = ended;
    if (!s->has_host && s->authority.ptr) {
        http_fields_name(&r->head, "host", 4, UINT32_MAX);
        http_fields_name_end(&r->head);
        http_fields_value(&r->head, s->authority.ptr, s->authority.len);
    }
    http_fields_resolve(&r->head, &req->headers, &req->n_headers);
    join_cookies(r);
    r->is_head = str_eq(req->method, STR("HEAD"));
    int status = check_head(s);
    if (status) {
        http2_fail(s, status);
        return;
    }
    if (config->on_headers) {
        r->with_handler = true;
        config->on_headers(config->ctx, req);
        if (s->req != r)
            return; // answered
        r->with_handler = req->on_body != NULL || r->begun;
    }
    if (ended) {
        dispatch(s);
        return;
    }
    uint64_t length;
    struct str given = http_header_get(req, STR("content-length"));
    if (given.ptr && (str_to_u64(given, &length) < 0 || length > req->max_body_bytes))
        http2_fail(s, 413);
    else if (r->expect_continue)
        http_respond_interim(req, 100, NULL, 0);
}

static void body_piece(struct http2_stream *s, const char *data, size_t n)
{
    struct http_req *r = s->req;
    int status = 0;

    s->received_ms = loop_now_ms(s->h->conn->loop);
    if (!r) {
        consumed(s, n);
        return;
    }
    if (!r->pub.on_body) {
        status = http_req_body_add(r, &s->h->conn->listener->config, data, n);
    } else if (n > r->pub.max_body_bytes - r->body_received) {
        status = 413;
    } else if (r->paused) {
        buf_add(&s->held, (struct str){data, n}); // consumed when it is resumed
        status = s->held.failed ? 500 : 0;
        if (status == 0)
            return;
    } else {
        r->body_received += n;
        r->pub.on_body(&r->pub, (struct str){data, n}, false);
    }
    consumed(s, n);
    if (status)
        http2_fail(s, status);
}

// ---- nghttp2's callbacks ----

// RFC 9113 section 5.1.1: opening a stream closes all below it that were never opened. nghttp2
// ignores HEADERS of a stream that it does not know, for they may be the trailers of one that it
// has reset; the numbers that the client itself has left out last can only be a violation.
static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *ctx)
{
    struct http2 *h = ctx;

    if (hd->type != NGHTTP2_HEADERS || hd->stream_id % 2 == 0)
        return 0;
    if (hd->stream_id > h->last_id) {
        if (hd->stream_id > h->last_id + 2) {
            h->skipped_above = h->last_id;
            h->skipped_below = hd->stream_id;
        }
        h->last_id = hd->stream_id;
    } else if (hd->stream_id > h->skipped_above && hd->stream_id < h->skipped_below) {
        nghttp2_session_terminate_session(session, NGHTTP2_PROTOCOL_ERROR);
    }
    return 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct http2 *h = ctx;

    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct http2_stream *s = stream_new(h, frame->hd.stream_id);
    if (!s)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, s);
    return 0;
}

static void pseudo_header(struct http2_stream *s, struct str name, struct str value)
{
    struct http_req *r = s->req;
    struct str copy = arena_str(&r->pub.arena, value);

    if (str_eq(name, STR(":method")))
        r->pub.method = copy;
    else if (str_eq(name, STR(":path")))
        http_set_target(r, copy);
    else if (str_eq(name, STR(":authority")))
        s->authority = copy;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *ctx)
{
    struct http2_stream *s = stream_of(ctx, frame->hd.stream_id);
    struct str n = {(const char *)name, name_len}, v = {(const char *)value, value_len};
    (void)session;
    (void)flags;

    if (!s || !s->req || s->fail_status)
        return 0;
    struct http_fields *f = s->headers_done ? &s->req->trail : &s->req->head;
    unsigned most =
        s->headers_done ? HTTP_MAX_TRAILERS : s->h->conn->listener->config.limits.headers;
    if (v.len > f->bytes.max_bytes) {
        s->fail_status = 431;
    } else if (n.len > 0 && n.ptr[0] == ':') {
        pseudo_header(s, n, v);
    } else {
        s->has_host = s->has_host || str_eq(n, STR("host"));
        if (!http_fields_name(f, n.ptr, n.len, most) || (http_fields_name_end(f), false) ||
            !http_fields_value(f, v.ptr, v.len))
            s->fail_status = 431;
    }
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct http2 *h = ctx;
    bool ended = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    struct http2_stream *s;
    (void)session;

    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        s = stream_of(h, frame->hd.stream_id);
        if (!s || !s->req)
            return 0;
        if (!s->headers_done)
            headers_complete(s, ended);
        else if (s->fail_status)
            http2_fail(s, s->fail_status);
        else if (ended)
            dispatch(s);
        return 0;
    case NGHTTP2_DATA:
        s = stream_of(h, frame->hd.stream_id);
        if (frame->hd.length == 0 && !ended)
            return count(h, &h->others, MAX_OTHERS);
        if (s && ended)
            dispatch(s);
        return 0;
    case NGHTTP2_RST_STREAM:
        return count(h, &h->resets, MAX_RESETS);
    case NGHTTP2_PING:
    case NGHTTP2_SETTINGS:
    case NGHTTP2_PRIORITY:
        return count(h, &h->others, MAX_OTHERS);
    default:
        return 0;
    }
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct http2 *h = ctx;
    (void)session;

    // Resets that the client makes us send count like its own.
    if (frame->hd.type == NGHTTP2_RST_STREAM && frame->rst_stream.error_code != NGHTTP2_NO_ERROR)
        return count(h, &h->resets, MAX_RESETS);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t n, void *ctx)
{
    struct http2_stream *s = stream_of(ctx, id);
    (void)flags;

    if (s && !s->gone)
        body_piece(s, (const char *)data, n);
    else
        nghttp2_session_consume_connection(session, n);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *ctx)
{
    struct http2_stream *s = stream_of(ctx, id);
    (void)code;

    if (!s)
        return 0;
    nghttp2_session_set_stream_user_data(session, id, NULL);
    s->gone = true;
    if (!s->h->in_input)
        http2_wake(s->h);
    return 0;
}

// ---- the connection ----

void http2_pump(struct http2 *h)
{
    struct http_conn *c = h->conn;

    if (h->receiving)
        return;
    h->receiving = true; // its callbacks must not come back here
    while (!http_conn_over(c) && !http_conn_sending(c)) {
        const uint8_t *data;
        ssize_t n = nghttp2_session_mem_send(h->session, &data);
        if (n < 0)
            http_conn_break(c);
        if (n <= 0)
            break;
        struct iovec iov = {(void *)(uintptr_t)data, (size_t)n};
        http_conn_send(c, &iov, 1);
    }
    h->receiving = false;
}

static bool over(struct http2 *h)
{
    return (!nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session)) ||
           (h->draining && !h->streams);
}

// When the client must have done something about this stream.
static int64_t deadline_of(const struct http2_stream *s)
{
    const struct http_limits *limits = &s->h->conn->listener->config.limits;
    int64_t due = INT64_MAX;

    if (s->gone)
        return due;
    if (s->req && !s->peer_ended && !s->req->paused)
        due = s->received_ms + limits->body_ms;
    if ((s->answer_ended || !http2_stream_drained(s)) && s->sent_ms + limits->write_ms < due)
        due = s->sent_ms + limits->write_ms;
    return due;
}

static void set_deadline(struct http2 *h)
{
    int64_t due = INT64_MAX, now = loop_now_ms(h->conn->loop);

    if (!h->streams)
        due = now + h->conn->listener->config.limits.idle_ms;
    for (struct http2_stream *s = h->streams; s; s = s->next)
        due = deadline_of(s) < due ? deadline_of(s) : due;
    http_conn_deadline(h->conn, due == INT64_MAX ? due : due > now ? due - now : 0);
}

// Resets the streams whose time is over.
static void reset_stalled(struct http2 *h)
{
    int64_t now = loop_now_ms(h->conn->loop);

    for (struct http2_stream *s = h->streams; s; s = s->next) {
        if (deadline_of(s) > now)
            continue;
        nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
        s->received_ms = s->sent_ms = now; // not again before it has closed
    }
}

// Handlers may answer, write, or drop any stream meanwhile: begin again after each.
static void settle(struct http2 *h)
{
    struct http_conn *c = h->conn;

again:
    if (http_conn_over(c))
        return;
    for (struct http2_stream *s = h->streams; s; s = s->next) {
        if (s->gone) {
            stream_free(s);
            goto again;
        }
    }
    http2_pump(h);
    for (struct http2_stream *s = h->streams; s; s = s->next) {
        struct http_req *r = s->req;
        if (r && !s->gone && r->taken && http2_stream_drained(s)) {
            void (*taken)(struct http_request *, void *) = r->taken;
            r->taken = NULL;
            taken(&r->pub, r->taken_ctx);
            goto again;
        }
    }
    if (http_conn_over(c) || http_conn_sending(c))
        return;
    if (over(h))
        http_conn_close(c);
    else
        set_deadline(h);
}

static void run_wake(struct loop_task *t)
{
    struct http2 *h = (struct http2 *)(void *)((char *)t - offsetof(struct http2, wake_task));

    h->waking = false;
    if (!h->dead)
        settle(h);
}

void http2_wake(struct http2 *h)
{
    if (h->waking || http_conn_over(h->conn)) // over: its end is on its way
        return;
    h->waking = true;
    h->wake_task.run = run_wake;
    loop_post(h->conn->loop, &h->wake_task);
}

static void input(struct http_conn *c, const char *data, size_t n)
{
    struct http2 *h = c->protocol_data;

    h->receiving = h->in_input = true;
    ssize_t used = nghttp2_session_mem_recv(h->session, (const uint8_t *)data, n);
    h->receiving = h->in_input = false;
    if (used < 0) { // nghttp2 has said goodbye by itself where it could
        http2_pump(h);
        http_conn_close(c);
        return;
    }
    settle(h);
}

static void flushed(struct http_conn *c)
{
    settle(c->protocol_data);
}

static void timeout(struct http_conn *c)
{
    struct http2 *h = c->protocol_data;

    if (c->deadline_ms > loop_now_ms(c->loop))
        return;
    if (h->streams) {
        reset_stalled(h);
        settle(h);
        return;
    }
    nghttp2_session_terminate_session(h->session, NGHTTP2_NO_ERROR);
    http2_pump(h);
    http_conn_close(c);
}

static void closed(struct http_conn *c)
{
    struct http2 *h = c->protocol_data;

    while (h->streams) {
        nghttp2_session_set_stream_user_data(h->session, h->streams->id, NULL);
        stream_free(h->streams);
    }
    nghttp2_session_del(h->session);
    h->session = NULL;
    h->dead = true; // freed with the connection: wake_task may be posted
}

static void drain(struct http_conn *c)
{
    struct http2 *h = c->protocol_data;

    h->draining = true;
    nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(h->session), NGHTTP2_NO_ERROR,
                          NULL, 0);
    http2_wake(h);
}

static const struct http_protocol protocol = {
    .input = input, .flushed = flushed, .timeout = timeout, .closed = closed, .drain = drain};

static nghttp2_session *make_session(struct http2 *h)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    nghttp2_session *session = NULL;

    if (nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&option) == 0) {
        nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
        nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
        nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
        nghttp2_option_set_no_auto_window_update(option, 1);
        nghttp2_option_set_max_outbound_ack(option, MAX_QUEUED_ACKS);
        nghttp2_session_server_new2(&session, callbacks, h, option);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return session;
}

void http2_start(struct http_conn *c)
{
    struct http2 *h = calloc(1, sizeof *h);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, MAX_STREAMS},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_BYTES},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)c->listener->config.limits.header_bytes},
    };

    if (h)
        h->session = make_session(h);
    if (!h || !h->session ||
        nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, 3) != 0) {
        if (h)
            nghttp2_session_del(h->session);
        free(h);
        http_conn_close(c);
        return;
    }
    h->conn = c;
    c->late = h;
    h->counted_ms = loop_now_ms(c->loop);
    // The connection's window: as much as a few streams.
    nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0, 4 * WINDOW_BYTES);
    http_conn_upgrade(c, &protocol, h);
}
