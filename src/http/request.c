// request.c - requests: recycled memory, headers, bodies, hand-over to the handler.
//
// Invariants: a request is in its loop's `live` list from http_req_new to http_req_free; the
// pointers of pub.headers are set once, when the head is complete, and the bytes behind them do
// not move again. A recycled request keeps small buffers only.
#include "http/server_impl.h"

#include "os/fd.h"
#include "os/file.h"
#include "os/log.h"
#include "os/time.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define MAX_UNUSED 128 // requests kept per loop; more are given back to malloc
#define KEEP_HEAD_BYTES ((size_t)8192)
#define KEEP_BODY_BYTES ((size_t)16384)
#define KEEP_ARENA_BYTES ((size_t)65536)
#define REQUEST_ARENA_BYTES ARENA_DEFAULT_MAX_BYTES

static unsigned slot;

static void req_destroy(struct http_req *r)
{
    closep(&r->pub.body.fd);
    arena_finish(&r->pub.arena);
    buf_finish(&r->head.bytes);
    buf_finish(&r->trail.bytes);
    buf_finish(&r->body);
    buf_finish(&r->held_head);
    free(r->head.at);
    free(r->trail.at);
    free(r);
}

static void loop_ends(void *value)
{
    struct http_loop *h = value;

    while (h->conns)
        http_conn_destroy(h->conns);
    while (h->listeners)
        http_listener_forget(h->listeners);
    while (h->live) { // of handlers that will not run again
        struct http_req *r = h->live;
        h->live = r->next;
        req_destroy(r);
    }
    while (h->unused) {
        struct http_req *r = h->unused;
        h->unused = r->next;
        req_destroy(r);
    }
    buf_finish(&h->head);
    free(h);
}

static void reserve_slot(void)
{
    slot = loop_slot_new(loop_ends);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

struct http_loop *http_loop_seen(const struct loop *l)
{
    pthread_once(&once, reserve_slot);
    return loop_slot(l, slot);
}

struct http_loop *http_loop_of(struct loop *l)
{
    struct http_loop *h;

    pthread_once(&once, reserve_slot);
    h = loop_slot(l, slot);
    if (h)
        return h;
    h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->loop = l;
    buf_init(&h->head, (size_t)1 << 20);
    loop_slot_set(l, slot, h);
    return h;
}

struct http_req *http_req_new(struct http_loop *h)
{
    struct http_req *r = h->unused;

    if (r) {
        h->unused = r->next;
        h->n_unused--;
    } else {
        r = calloc(1, sizeof *r);
        if (!r)
            return NULL;
        arena_init(&r->pub.arena, REQUEST_ARENA_BYTES);
        buf_init(&r->held_head, (size_t)1 << 20);
    }
    r->pub.body.fd = -1;
    r->pub.loop = h->loop;
    r->pub.arrived_ns = os_mono_ns();
    r->answer_left = HTTP_LENGTH_UNKNOWN;
    r->prev = NULL;
    r->next = h->live;
    if (h->live)
        h->live->prev = r;
    h->live = r;
    return r;
}

static void keep_small(struct buf *b, size_t most)
{
    if (b->cap > most)
        buf_finish(b);
    else
        buf_reset(b);
}

void http_req_free(struct http_req *r)
{
    struct http_loop *h = http_loop_of(r->pub.loop);

    if (r->prev)
        r->prev->next = r->next;
    else
        h->live = r->next;
    if (r->next)
        r->next->prev = r->prev;
    closep(&r->pub.body.fd);
    if (h->n_unused >= MAX_UNUSED) {
        req_destroy(r);
        return;
    }
    if (r->pub.arena.used_bytes > KEEP_ARENA_BYTES)
        arena_finish(&r->pub.arena);
    else if (r->pub.arena.blocks)
        arena_reset(&r->pub.arena);
    keep_small(&r->head.bytes, KEEP_HEAD_BYTES);
    keep_small(&r->trail.bytes, KEEP_HEAD_BYTES);
    keep_small(&r->body, KEEP_BODY_BYTES);
    keep_small(&r->held_head, KEEP_HEAD_BYTES);

    struct http_req kept = *r;
    *r = (struct http_req){
        .pub = {.arena = kept.pub.arena, .body.fd = -1},
        .head = {.bytes = kept.head.bytes, .at = kept.head.at, .cap = kept.head.cap},
        .trail = {.bytes = kept.trail.bytes, .at = kept.trail.at, .cap = kept.trail.cap},
        .body = kept.body,
        .held_head = kept.held_head,
    };
    r->next = h->unused;
    h->unused = r;
    h->n_unused++;
}

// ---- fields ----

bool http_fields_name(struct http_fields *f, const char *p, size_t n, unsigned max)
{
    if (!f->in_name) {
        if (f->n >= max)
            return false;
        if (f->n == f->cap) {
            unsigned cap = f->cap ? f->cap * 2 : 16;
            struct http_header *at = reallocarray(f->at, cap, sizeof *at);
            if (!at)
                return false;
            f->at = at;
            f->cap = cap;
        }
        f->at[f->n++] = (struct http_header){.name = {(char *)(uintptr_t)f->bytes.len, 0}};
        f->in_name = true;
    }
    if (!buf_reserve(&f->bytes, n))
        return false;
    char *to = f->bytes.ptr + f->bytes.len;
    for (size_t i = 0; i < n; i++)
        to[i] = p[i] >= 'A' && p[i] <= 'Z' ? (char)(p[i] + 32) : p[i];
    f->bytes.len += n;
    f->at[f->n - 1].name.len += n;
    return true;
}

void http_fields_name_end(struct http_fields *f)
{
    if (f->n == 0)
        return;
    f->in_name = false;
    f->at[f->n - 1].value = (struct str){(char *)(uintptr_t)f->bytes.len, 0};
}

bool http_fields_value(struct http_fields *f, const char *p, size_t n)
{
    if (f->n == 0 || !buf_reserve(&f->bytes, n))
        return false;
    memcpy(f->bytes.ptr + f->bytes.len, p, n);
    f->bytes.len += n;
    f->at[f->n - 1].value.len += n;
    return true;
}

void http_fields_resolve(struct http_fields *f, struct http_header **out, unsigned *n)
{
    const char *base = f->bytes.ptr;

    for (unsigned i = 0; i < f->n; i++) {
        struct http_header *h = &f->at[i];
        h->name.ptr = base + (uintptr_t)h->name.ptr;
        h->value.ptr = base + (uintptr_t)h->value.ptr;
        h->value = str_trim(h->value);
    }
    *out = f->at;
    *n = f->n;
}

static struct str find_field(const struct http_header *at, unsigned n, struct str name)
{
    for (unsigned i = 0; i < n; i++) {
        if (at[i].name.len == name.len && memcmp(at[i].name.ptr, name.ptr, name.len) == 0)
            return at[i].value;
    }
    return STR_NULL;
}

struct str http_header_get(const struct http_request *req, struct str name)
{
    return find_field(req->headers, req->n_headers, name);
}

struct str http_trailer_get(const struct http_request *req, struct str name)
{
    return find_field(req->trailers, req->n_trailers, name);
}

unsigned http_header_count(const struct http_request *req, struct str name)
{
    unsigned n = 0;

    for (unsigned i = 0; i < req->n_headers; i++)
        n += str_eq(req->headers[i].name, name);
    return n;
}

void http_set_target(struct http_req *r, struct str target)
{
    ptrdiff_t mark = str_find_char(target, '?');

    r->pub.target = target;
    r->pub.path = mark < 0 ? target : str_slice(target, 0, (size_t)mark);
    r->pub.query = mark < 0 ? STR_NULL : str_slice(target, (size_t)mark + 1, target.len);
}

bool http_host_valid(struct str host)
{
    for (size_t i = 0; i < host.len; i++) {
        unsigned char ch = (unsigned char)host.ptr[i];
        if (ch <= ' ' || ch >= 0x7f || ch == '/' || ch == '?' || ch == '#' || ch == '@' ||
            ch == '\\' || ch == ',')
            return false;
    }
    return true;
}

// Only the forms that a server of origin is asked with (RFC 9112 section 3.2).
bool http_target_valid(struct str target, bool options)
{
    if (target.len == 0 || (target.ptr[0] != '/' && !(options && str_eq(target, STR("*")))))
        return false;
    for (size_t i = 0; i < target.len; i++) {
        unsigned char ch = (unsigned char)target.ptr[i];
        if (ch <= ' ' || ch >= 0x7f || ch == '#')
            return false;
    }
    return true;
}

// ---- bodies ----

static int spill(struct http_req *r, const struct http_listener_config *config)
{
    struct err err = ERR_INIT;
    int fd;

    if (!config->spool_dir)
        return 413;
    fd = open_unlinked(config->spool_dir, &err);
    if (fd < 0) {
        log_error("a request's body cannot be kept: %s", err.message);
        return 500;
    }
    r->pub.body.fd = fd;
    int e = fd_write_full(fd, r->body.ptr, r->body.len);
    buf_finish(&r->body);
    return e < 0 ? 507 : 0;
}

int http_req_body_add(struct http_req *r, const struct http_listener_config *config, const char *p,
                      size_t n)
{
    int status;

    if (n > r->pub.max_body_bytes - r->body_received)
        return 413;
    r->body_received += n;
    if (r->pub.body.fd < 0 && r->body_received > r->pub.spool_bytes) {
        status = spill(r, config);
        if (status != 0)
            return status;
    }
    if (r->pub.body.fd >= 0) {
        int e = fd_write_full(r->pub.body.fd, p, n);
        if (e == 0)
            return 0;
        log_error("a request's body cannot be kept: %s", strerror(-e));
        return 507;
    }
    r->body.max_bytes = r->pub.spool_bytes + 1; // room for a NUL
    if (!buf_reserve(&r->body, n + 1))
        return 500;
    memcpy(r->body.ptr + r->body.len, p, n);
    r->body.len += n;
    return 0;
}

void http_req_body_end(struct http_req *r)
{
    struct http_body *b = &r->pub.body;

    r->body_done = true;
    b->size_bytes = r->body_received;
    b->memory = STR("");
    if (b->fd < 0 && r->body.len > 0) {
        r->body.ptr[r->body.len] = 0;
        b->memory = buf_str(&r->body);
    }
}

int http_body_read(struct http_request *req, size_t max_bytes, struct str *out, struct err *err)
{
    struct http_body *b = &req->body;

    if (b->size_bytes > max_bytes)
        return err_set(err, -EFBIG, "the body is longer than %zu bytes", max_bytes);
    if (b->fd < 0) {
        *out = b->memory;
        return 0;
    }
    char *p = arena_alloc(&req->arena, b->size_bytes + 1);
    if (!p)
        return err_set(err, -ENOMEM, "out of memory");
    ssize_t n = fd_pread_full(b->fd, p, b->size_bytes, 0);
    if (n < 0)
        return err_errno(err, (int)-n, "read a request's body");
    if ((uint64_t)n != b->size_bytes)
        return err_set(err, -EIO, "a request's body is shorter than it was");
    p[n] = 0;
    *out = (struct str){p, (size_t)n};
    return 0;
}

struct str http_remote_address(struct http_request *req)
{
    const union http_address *peer = &http_req_of(req)->peer;
    char text[INET6_ADDRSTRLEN];

    switch (peer->any.sa_family) {
    case AF_INET:
        inet_ntop(AF_INET, &peer->v4.sin_addr, text, sizeof text);
        return arena_printf(&req->arena, "%s:%u", text, ntohs(peer->v4.sin_port));
    case AF_INET6:
        inet_ntop(AF_INET6, &peer->v6.sin6_addr, text, sizeof text);
        return arena_printf(&req->arena, "[%s]:%u", text, ntohs(peer->v6.sin6_port));
    default:
        return STR("unix");
    }
}

// ---- hand-over ----

void http_req_dispatch(struct http_req *r, struct http_listener *l)
{
    struct http_request *req = &r->pub;

    http_req_body_end(r);
    http_fields_resolve(&r->trail, &req->trailers, &req->n_trailers);
    r->with_handler = true;
    if (req->on_body)
        req->on_body(req, STR(""), true);
    else
        l->config.handle(l->config.ctx, req);
}

void http_req_orphan(struct http_req *r)
{
    struct http_request *req = &r->pub;

    req->conn = NULL;
    req->listener = NULL;
    req->client_gone = true;
    if (!r->with_handler) {
        http_req_free(r);
        return;
    }
    void (*taken)(struct http_request *, void *) = r->taken;
    void (*gone)(struct http_request *) = req->gone;
    r->taken = NULL;
    req->gone = NULL;
    if (gone)
        gone(req);
    else if (taken)
        taken(req, r->taken_ctx);
}

// ---- server.h's answers: by the request's protocol ----

void http_respond(struct http_request *req, const struct http_response *response)
{
    req->transport->respond(req, response);
}

void http_respond_text(struct http_request *req, int status, struct str content_type,
                       struct str body)
{
    const struct http_header type = {STR("content-type"), content_type};

    http_respond(req, &(struct http_response){
                          .status = status, .headers = &type, .n_headers = 1, .body = body});
}

void http_respond_file(struct http_request *req, const struct http_response *response, int fd,
                       uint64_t offset, uint64_t length)
{
    req->transport->respond_file(req, response, fd, offset, length);
}

void http_respond_begin(struct http_request *req, int status, const struct http_header *headers,
                        unsigned n_headers, int64_t length)
{
    req->transport->begin(req, status, headers, n_headers, length);
}

int http_respond_write(struct http_request *req, struct str data,
                       void (*taken)(struct http_request *req, void *ctx), void *ctx)
{
    return req->transport->write(req, data, taken, ctx);
}

int http_respond_flush(struct http_request *req)
{
    return req->transport->flush(req);
}

void http_respond_end(struct http_request *req, const struct http_header *trailers, unsigned n)
{
    req->transport->end(req, trailers, n);
}

void http_request_drop(struct http_request *req)
{
    req->transport->drop(req);
}

void http_respond_interim(struct http_request *req, int status, const struct http_header *headers,
                          unsigned n_headers)
{
    req->transport->interim(req, status, headers, n_headers);
}

void http_body_pause(struct http_request *req)
{
    http_req_of(req)->paused = true;
}

void http_body_resume(struct http_request *req)
{
    struct http_req *r = http_req_of(req);

    if (!r->paused)
        return;
    r->paused = false;
    if (req->conn)
        req->transport->body_resume(req);
}
