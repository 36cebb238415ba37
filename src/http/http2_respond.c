// http2_respond.c - answers in HTTP/2.
//
// Invariant: a request is given back by taking it off its stream (leave); what is left of the
// answer then belongs to the stream.
#include "http/http2_impl.h"

#include "os/fd.h"

#include <errno.h>
#include <stdio.h>

#define MAX_FIELDS 256

static bool bodiless(int status)
{
    return status == 204 || status == 304 || (status >= 100 && status < 200);
}

static struct http2_stream *stream_of(struct http_req *r)
{
    struct http2_stream *s = r->pub.conn ? r->stream : NULL;

    return s && !s->gone && !http_conn_over(r->pub.conn) ? s : NULL;
}

// The handler has given the request back.
static void leave(struct http_req *r)
{
    struct http2_stream *s = r->stream;

    if (s)
        s->req = NULL;
    r->with_handler = false;
    http_req_free(r);
}

static void reset(struct http_req *r, uint32_t code)
{
    struct http2_stream *s = stream_of(r);

    if (s) {
        struct http2 *h = s->h;
        int32_t id = s->id;
        leave(r);
        nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id, code);
        http2_wake(h);
    } else {
        leave(r);
    }
}

// The answer is complete, as far as the handler is concerned.
static void finished(struct http_req *r)
{
    struct http2_stream *s = stream_of(r);
    struct http2 *h = s->h;

    s->answer_ended = true;
    s->sent_ms = loop_now_ms(h->conn->loop);
    leave(r);
    if (s->deferred) {
        s->deferred = false;
        nghttp2_session_resume_data(h->session, s->id);
    }
    http2_pump(h);
    http2_wake(h);
}

static ssize_t take_file(struct http2_stream *s, uint8_t *to, size_t room)
{
    size_t n = s->file_left < room ? (size_t)s->file_left : room;
    ssize_t got = fd_pread_full(s->file_fd, to, n, s->file_offset);

    if (got <= 0)
        return -EIO;
    s->file_offset += (uint64_t)got;
    s->file_left -= (uint64_t)got;
    if (s->file_left == 0)
        closep(&s->file_fd);
    return got;
}

static ssize_t give_data(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    struct http2_stream *s = source->ptr;
    size_t n = s->out.len - s->out_at;
    (void)ctx;

    s->sent_ms = loop_now_ms(s->h->conn->loop);
    if (n > 0) {
        n = n < room ? n : room;
        memcpy(to, s->out.ptr + s->out_at, n);
        s->out_at += n;
        if (s->out_at == s->out.len) {
            s->out_at = 0;
            buf_reset(&s->out);
        }
    } else if (s->file_fd >= 0) {
        ssize_t got = take_file(s, to, room);
        if (got < 0)
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; // the stream is reset
        n = (size_t)got;
    }
    if (!http2_stream_drained(s))
        return (ssize_t)n;
    if (!s->answer_ended) {
        if (n > 0)
            return (ssize_t)n;
        s->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (s->n_trailers > 0) {
        nghttp2_nv nv[HTTP_MAX_TRAILERS];
        for (unsigned i = 0; i < s->n_trailers; i++)
            nv[i] = (nghttp2_nv){(uint8_t *)(uintptr_t)s->trailers[i].name.ptr,
                                 (uint8_t *)(uintptr_t)s->trailers[i].value.ptr,
                                 s->trailers[i].name.len, s->trailers[i].value.len, 0};
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        nghttp2_submit_trailer(session, id, nv, s->n_trailers);
    } else if (!s->peer_ended) { // nobody reads the rest of the request
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
    }
    return (ssize_t)n;
}

// Lower-case name and a value without control characters, in the arena. False: left out.
static bool clean_field(struct arena *a, const struct http_header *from, struct http_header *to)
{
    if (http_head_owned(from->name) || !http_field_name_valid(from->name))
        return false;
    to->name = arena_str(a, from->name);
    to->value = arena_str(a, from->value.ptr ? str_trim(from->value) : STR(""));
    if (!to->name.ptr || !to->value.ptr)
        return false;
    char *name = (char *)(uintptr_t)to->name.ptr, *value = (char *)(uintptr_t)to->value.ptr;
    for (size_t i = 0; i < to->name.len; i++)
        name[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + 32) : name[i];
    for (size_t i = 0; i < to->value.len; i++) {
        unsigned char c = (unsigned char)value[i];
        value[i] = (c < 0x20 && c != '\t') || c == 0x7f ? ' ' : (char)c;
    }
    return true;
}

static nghttp2_nv field(struct str name, struct str value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name.ptr, (uint8_t *)(uintptr_t)value.ptr, name.len,
                        value.len, 0};
}

struct fields {
    nghttp2_nv at[MAX_FIELDS + 4];
    unsigned n;
    char status[4], length[24];
};

static void make_fields(struct http_req *r, struct fields *f, int status,
                        const struct http_header *headers, unsigned n, int64_t length)
{
    bool dated = false, length_given = false;
    size_t date_len;

    if (status < 100 || status > 999)
        status = 500;
    snprintf(f->status, sizeof f->status, "%d", status);
    f->at[f->n++] = field(STR(":status"), (struct str){f->status, 3});
    for (unsigned i = 0; i < n && f->n < MAX_FIELDS; i++) {
        struct http_header clean;
        if (r->is_head && str_eq_nocase(headers[i].name, STR("content-length"))) {
            length_given = true;
            f->at[f->n++] = field(STR("content-length"), headers[i].value);
            continue;
        }
        if (!clean_field(&r->pub.arena, &headers[i], &clean))
            continue;
        dated = dated || str_eq(clean.name, STR("date"));
        f->at[f->n++] = field(clean.name, clean.value);
    }
    if (!dated && status >= 200) {
        const char *date = http_date_value(r->pub.conn->home, &date_len);
        f->at[f->n++] = field(STR("date"), (struct str){date, date_len});
    }
    if (length >= 0 && !length_given && !bodiless(status)) {
        int len = snprintf(f->length, sizeof f->length, "%lld", (long long)length);
        f->at[f->n++] = field(STR("content-length"), (struct str){f->length, (size_t)len});
    }
}

// Sends the head; with a body to come from the stream unless it has none.
static int submit(struct http_req *r, int status, const struct http_header *headers, unsigned n,
                  int64_t length)
{
    struct http2_stream *s = stream_of(r);
    struct fields f = {.n = 0};
    nghttp2_data_provider data = {.source.ptr = s, .read_callback = give_data};

    r->no_body = r->is_head || bodiless(status);
    make_fields(r, &f, status, headers, n, length);
    int e = nghttp2_submit_response(s->h->session, s->id, f.at, f.n, r->no_body ? NULL : &data);
    return e == 0 ? 0 : -EPIPE;
}

static void respond(struct http_request *req, const struct http_response *response)
{
    struct http_req *r = http_req_of(req);
    struct http2_stream *s = stream_of(r);

    if (!s || r->begun) {
        reset(r, NGHTTP2_INTERNAL_ERROR);
        return;
    }
    if (!r->is_head && !bodiless(response->status))
        buf_add(&s->out, response->body);
    if (s->out.failed || submit(r, response->status, response->headers, response->n_headers,
                                (int64_t)response->body.len) < 0) {
        reset(r, NGHTTP2_INTERNAL_ERROR);
        return;
    }
    if (response->close)
        nghttp2_submit_goaway(s->h->session, NGHTTP2_FLAG_NONE,
                              nghttp2_session_get_last_proc_stream_id(s->h->session),
                              NGHTTP2_NO_ERROR, NULL, 0);
    finished(r);
}

void http2_fail(struct http2_stream *s, int status)
{
    struct http_req *r = s->req;
    char text[96];

    if (r->with_handler || r->begun) { // it cannot be told: the handler hears of it
        nghttp2_submit_rst_stream(s->h->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
        return;
    }
    int n = snprintf(text, sizeof text, "%d %s\n", status, http_status_text(status));
    http_respond_text(&r->pub, status, STR("text/plain"), (struct str){text, (size_t)n});
}

static void respond_file(struct http_request *req, const struct http_response *response, int fd,
                         uint64_t offset, uint64_t length)
{
    struct http_req *r = http_req_of(req);
    struct http2_stream *s = stream_of(r);

    if (!s || r->begun ||
        submit(r, response->status, response->headers, response->n_headers, (int64_t)length) < 0) {
        closep(&fd);
        reset(r, NGHTTP2_INTERNAL_ERROR);
        return;
    }
    if (r->no_body || length == 0) {
        closep(&fd);
    } else {
        s->file_fd = fd;
        s->file_offset = offset;
        s->file_left = length;
    }
    finished(r);
}

static void begin(struct http_request *req, int status, const struct http_header *headers,
                  unsigned n_headers, int64_t length)
{
    struct http_req *r = http_req_of(req);

    if (!stream_of(r) || r->begun)
        return;
    r->begun = true;
    r->answer_left = length < 0 ? HTTP_LENGTH_UNKNOWN : length;
    // A head that cannot be sent is found by the first write.
    r->head_sent = submit(r, status, headers, n_headers, length) == 0;
}

static int write_piece(struct http_request *req, struct str data,
                       void (*taken)(struct http_request *req, void *ctx), void *ctx)
{
    struct http_req *r = http_req_of(req);
    struct http2_stream *s = stream_of(r);

    if (!s || !r->begun || !r->head_sent)
        return -EPIPE;
    if (r->answer_left >= 0 && data.len > (uint64_t)r->answer_left)
        data.len = (size_t)r->answer_left;
    if (r->answer_left >= 0)
        r->answer_left -= (int64_t)data.len;
    if (r->no_body)
        data.len = 0;
    if (http2_stream_drained(s))
        s->sent_ms = loop_now_ms(s->h->conn->loop);
    if (s->out_at > 0 && s->out_at >= s->out.len / 2) {
        buf_drop(&s->out, s->out_at);
        s->out_at = 0;
    }
    buf_add(&s->out, data);
    if (s->out.failed) {
        nghttp2_submit_rst_stream(s->h->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
        http2_wake(s->h);
        return -EPIPE;
    }
    if (s->deferred && data.len > 0) {
        s->deferred = false;
        nghttp2_session_resume_data(s->h->session, s->id);
    }
    struct http2 *h = s->h;
    http2_pump(h);
    if (s->gone || http_conn_over(h->conn))
        return -EPIPE;
    if (http2_stream_drained(s))
        return 0;
    if (taken) {
        r->taken = taken;
        r->taken_ctx = ctx;
        if (!http_conn_sending(h->conn))
            http2_wake(h);
    }
    return 1;
}

static int flush(struct http_request *req)
{
    return write_piece(req, STR(""), NULL, NULL);
}

static void end(struct http_request *req, const struct http_header *trailers, unsigned n)
{
    struct http_req *r = http_req_of(req);
    struct http2_stream *s = stream_of(r);

    if (!s || !r->begun || !r->head_sent || (r->answer_left > 0 && !r->no_body)) {
        reset(r, NGHTTP2_INTERNAL_ERROR);
        return;
    }
    r->taken = NULL;
    s->trailers = arena_new_array(&s->arena, struct http_header, HTTP_MAX_TRAILERS);
    for (unsigned i = 0; s->trailers && i < n && s->n_trailers < HTTP_MAX_TRAILERS; i++) {
        if (clean_field(&s->arena, &trailers[i], &s->trailers[s->n_trailers]))
            s->n_trailers++;
    }
    finished(r);
}

static void drop(struct http_request *req)
{
    reset(http_req_of(req), NGHTTP2_INTERNAL_ERROR);
}

static void interim(struct http_request *req, int status, const struct http_header *headers,
                    unsigned n_headers)
{
    struct http_req *r = http_req_of(req);
    struct http2_stream *s = stream_of(r);
    struct fields f = {.n = 0};

    if (!s || r->begun || status == 101)
        return;
    make_fields(r, &f, status, headers, n_headers, HTTP_LENGTH_UNKNOWN);
    nghttp2_submit_headers(s->h->session, NGHTTP2_FLAG_NONE, s->id, NULL, f.at, f.n, NULL);
    http2_wake(s->h);
}

static void body_resume(struct http_request *req)
{
    struct http_req *r = http_req_of(req);
    struct http2_stream *s = stream_of(r);

    if (!s)
        return;
    s->received_ms = loop_now_ms(s->h->conn->loop);
    struct buf held = s->held;
    if (held.len > 0) {
        buf_init(&s->held, held.max_bytes);
        nghttp2_session_consume(s->h->session, s->id, held.len);
        http2_wake(s->h);
        r->body_received += held.len;
        req->on_body(req, buf_str(&held), false);
        buf_finish(&held);
        if (s->req != r || r->paused)
            return;
    }
    if (s->peer_ended)
        http_req_dispatch(r, s->h->conn->listener);
}

const struct http_transport http2_transport = {
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
