// call.c - one call on its way: loop to worker, decode, handler, encode, and back to the loop.
//
// Invariants: a call belongs to exactly one thread at a time: the request's loop, or the worker
// that runs it, or (parked) the parking table. Only the loop answers, and the request, with the
// call in its arena, is given back exactly there and last.
#include "engine/engine_impl.h"
#include "engine/inside.h"

#include "base/cleanup.h"
#include "base/uuid.h"
#include "os/log.h"
#include "os/random.h"
#include "os/time.h"
#include "wire/sigv4.h"

#include <errno.h>
#include <stdio.h>

#define MAX_ANSWER_BYTES ((size_t)64 << 20)
#define MAX_ANSWER_HEADERS 64

typedef int (*handler_fn)(struct call *c, const void *in, void *out, struct err *err);

static void run_deferred(struct call *c)
{
    while (c->deferred) {
        struct call_deferred *d = c->deferred;
        c->deferred = d->next;
        d->fn(d->p);
    }
}

bool call_defer(struct call *c, void (*fn)(void *p), void *p)
{
    struct call_deferred *d = arena_new(c->arena, struct call_deferred);

    if (!d) {
        fn(p);
        return false;
    }
    *d = (struct call_deferred){fn, p, c->deferred};
    c->deferred = d;
    return true;
}

void call_header(struct call *c, const char *name, struct str value)
{
    if (c->n_headers < CALL_MAX_HEADERS)
        c->headers[c->n_headers++] = (struct call_header){name, value};
}

struct str call_arn(struct call *c, const char *service, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    struct str rest = arena_vprintf(c->arena, format, args);
    va_end(args);
    return arena_printf(c->arena, "arn:aws:%s:%.*s:%.*s:%.*s", service, STR_ARG(c->region),
                        STR_ARG(c->account), STR_ARG(rest));
}

static void client_gone(struct http_request *req)
{
    park_client_gone(req->user);
}

struct call *engine_call_new(struct engine *e, struct http_request *req)
{
    struct call_run *r = arena_new(&req->arena, struct call_run);
    struct host_name host = {0};
    uint8_t random[16];

    if (!r)
        return NULL;
    struct call *c = &r->call;
    struct str host_header = http_header_get(req, STR("host"));
    c->engine = e;
    c->arena = &req->arena;
    c->http = req;
    c->now_ms = c->arrived_ms = os_now_ms();
    os_random(random, sizeof(random));
    c->request_id = uuid_arena(c->arena, random);
    host_name_parse(host_header, &host);
    c->region = str_is_null(host.region) ? str_from(e->config.region) : host.region;
    c->account = str_from(e->config.account);
    c->principal = (struct principal){.kind = PRINCIPAL_NOBODY, .account = c->account};
    if (host_header.len > 0)
        c->base_url =
            arena_printf(c->arena, "%s://%.*s", req->tls ? "https" : "http", STR_ARG(host_header));
    else
        c->base_url = arena_printf(c->arena, "%s://127.0.0.1:%d", req->tls ? "https" : "http",
                                   e->config.port);
    return c;
}

bool call_http_in(struct call_run *r)
{
    struct http_request *req = r->call.http;

    if (r->http_in_ready)
        return true;
    struct wire_header *headers =
        arena_new_array(r->call.arena, struct wire_header, req->n_headers ? req->n_headers : 1);
    if (!headers)
        return false;
    for (unsigned i = 0; i < req->n_headers; i++)
        headers[i] = (struct wire_header){req->headers[i].name, req->headers[i].value};
    r->http_in = (struct wire_http_in){
        .method = req->method,
        .path = req->path,
        .query = req->query,
        .headers = headers,
        .n_headers = req->n_headers,
        .body = req->body.fd < 0 ? req->body.memory : STR_NULL,
    };
    r->http_in_ready = true;
    return true;
}

void call_begin(struct call_run *r)
{
    atomic_fetch_add(&r->call.engine->busy, 1);
    r->counted = true;
    r->call.http->user = r;
    r->call.http->gone = client_gone;
}

static void count(struct call_run *r, int status)
{
    if (!r->slot)
        return;
    unsigned n = r->slot->service->wire->n_operations;
    struct op_counters *o = &r->slot->counters[r->call.op ? r->call.op->index : n];
    atomic_fetch_add_explicit(&o->calls, 1, memory_order_relaxed);
    if (status >= 500)
        atomic_fetch_add_explicit(&o->server_errors, 1, memory_order_relaxed);
    else if (status >= 400)
        atomic_fetch_add_explicit(&o->client_errors, 1, memory_order_relaxed);
}

void call_done(struct call *c, int status)
{
    struct call_run *r = run_of(c);

    if (r->finished)
        return;
    r->finished = true;
    run_deferred(c);
    count(r, status);
    c->http->gone = NULL;
    if (r->counted)
        atomic_fetch_sub(&c->engine->busy, 1);
}

// --- answering, on the loop ---

static void log_error_of(const struct call_run *r)
{
    const struct call *c = &r->call;
    const char *service = r->slot ? r->slot->service->wire->name : "engine";
    const char *op = c->op ? c->op->name : "-";

    if (r->err.aws && r->err.aws->status < 500)
        log_debug("%s %s %.*s: %s: %s", service, op, STR_ARG(c->request_id), r->err.aws->code,
                  r->err.message);
    else
        log_error("%s %s %.*s: %s: %s (%d)", service, op, STR_ARG(c->request_id),
                  r->err.aws ? r->err.aws->code : "internal failure", r->err.message, r->err.code);
}

static void send_answer(struct call_run *r)
{
    struct call *c = &r->call;
    struct http_header headers[MAX_ANSWER_HEADERS];
    unsigned n = 0;

    for (size_t i = 0; i < r->answer.n_headers && n < MAX_ANSWER_HEADERS - CALL_MAX_HEADERS; i++)
        headers[n++] = (struct http_header){r->answer.headers[i].name, r->answer.headers[i].value};
    for (unsigned i = 0; i < c->n_headers; i++)
        headers[n++] = (struct http_header){str_from(c->headers[i].name), c->headers[i].value};
    int status = c->status ? c->status : r->answer.status;
    if (r->inside) {
        inside_answer(r, status);
        return;
    }
    const struct http_response response = {
        .status = status,
        .headers = headers,
        .n_headers = n,
        .body = buf_str(&r->answer.body),
    };
    call_done(c, status);
    // The answer's memory is not the arena's, so it outlives the request.
    struct wire_http_out answer = r->answer;
    http_respond(c->http, &response);
    wire_http_out_finish(&answer);
}

static enum wire_protocol answer_protocol(const struct call_run *r)
{
    return r->inside && r->inside->answer_in != WIRE_PROTOCOLS ? r->inside->answer_in : r->protocol;
}

static void encode_error(struct call_run *r)
{
    struct call *c = &r->call;
    enum wire_protocol p = answer_protocol(r);

    if (r->answered)
        wire_http_out_finish(&r->answer);
    log_error_of(r);
    c->status = 0;
    c->n_headers = 0;
    wire_http_out_init(&r->answer, c->arena, MAX_ANSWER_BYTES);
    r->answered = true;
    wire_encode_error(r->slot->service->wire, c->op, p, &r->err, c->request_id, &r->answer);
}

void call_error_now(struct call_run *r)
{
    if (!r->slot) {
        route_refuse(r);
        return;
    }
    encode_error(r);
    send_answer(r);
}

void call_fail(struct call *c, struct err *err)
{
    struct call_run *r = run_of(c);

    r->err = *err;
    call_error_now(r);
}

void call_respond(struct call *c, int status, struct str content_type, struct str body)
{
    struct http_header headers[CALL_MAX_HEADERS + 2];
    unsigned n = 0;

    if (!str_is_null(content_type))
        headers[n++] = (struct http_header){STR("Content-Type"), content_type};
    headers[n++] = (struct http_header){STR("x-amzn-RequestId"), c->request_id};
    for (unsigned i = 0; i < c->n_headers; i++)
        headers[n++] = (struct http_header){str_from(c->headers[i].name), c->headers[i].value};
    const struct http_response response = {
        .status = status, .headers = headers, .n_headers = n, .body = body};
    call_done(c, status);
    http_respond(c->http, &response);
}

static void finish_on_loop(struct loop_task *t)
{
    struct call_run *r = LIST_ENTRY(t, struct call_run, task);

    if (r->err.code)
        call_error_now(r);
    else
        call_respond(&r->call, r->finish_status, r->finish_type, r->finish_body);
}

void call_finish(struct call *c, int status, struct str content_type, struct str body,
                 const struct err *err)
{
    struct call_run *r = run_of(c);

    r->err = err ? *err : (struct err)ERR_INIT;
    r->finish_status = status;
    r->finish_type = content_type;
    r->finish_body = body;
    r->task.run = finish_on_loop;
    loop_post(c->http->loop, &r->task);
}

static void work_own(struct work *w)
{
    struct call_run *r = LIST_ENTRY(w, struct call_run, work);

    r->work_fn(&r->call);
}

void call_work(struct call *c, void (*fn)(struct call *c))
{
    struct call_run *r = run_of(c);

    r->work_fn = fn;
    r->work = (struct work){.run = work_own};
    work_submit(&r->work);
}

// --- the worker's part ---

static void answer_on_loop(struct loop_task *t)
{
    struct call_run *r = LIST_ENTRY(t, struct call_run, task);

    if (r->answered)
        send_answer(r);
    else
        call_error_now(r);
}

static void intercept_on_loop(struct loop_task *t)
{
    struct call_run *r = LIST_ENTRY(t, struct call_run, task);

    r->intercepted = true;
    if (!r->slot->service->intercept(&r->call))
        call_dispatch(r);
}

static int decode(struct call_run *r, struct err *err)
{
    struct call *c = &r->call;
    const struct wire_service *wire = r->slot->service->wire;
    int rc;

    if (r->in)
        return 0; // a further run of a parked call
    if (str_is_null(r->http_in.body)) {
        rc = http_body_read(c->http, ENGINE_MAX_BODY_BYTES, &r->http_in.body, err);
        if (rc == -EFBIG) {
            static const struct aws_error too_large = {"RequestEntityTooLargeException", NULL, 413,
                                                       true};
            return err_aws(err, &too_large, "Request must be smaller than %zu bytes.",
                           ENGINE_MAX_BODY_BYTES);
        }
        if (rc < 0)
            return rc;
    }
    rc = wire_protocol_of(wire, &r->http_in, &r->protocol, err);
    if (rc < 0)
        return rc;
    const struct wire_operation *op = NULL;
    rc = wire_route(wire, r->protocol, &r->http_in, c->arena, &op, err);
    if (rc < 0)
        return rc;
    c->op = op;
    r->handler = r->slot->ops[op->index];
    if (!r->handler)
        return err_aws(err, &WIRE_NOT_IMPLEMENTED,
                       "The operation %s of %s is not implemented by Lambkin.", op->name,
                       wire->signing_name);
    void *in = arena_zalloc(c->arena, wire_in_bytes(op) + 1);
    r->out = arena_zalloc(c->arena, wire_out_bytes(op) + 1);
    if (!in || !r->out)
        return err_set(err, -ENOMEM, "out of memory");
    rc = wire_decode(op, r->protocol, &r->http_in, c->arena, in, err);
    if (rc < 0)
        return rc;
    rc = wire_validate(op, in, c->arena, err);
    if (rc < 0)
        return rc;
    r->in = in;
    return 0;
}

// One run of the handler. Answers CALL_PARKED, 0 (r->answer is ready) or an error.
static int run_handler(struct call_run *r, struct err *err)
{
    struct call *c = &r->call;
    int rc = decode(r, err);

    if (rc < 0)
        return rc;
    memset(r->out, 0, wire_out_bytes(c->op));
    c->status = 0;
    c->n_headers = 0;
    c->now_ms = os_now_ms();
    c->wake_clock = atomic_load(&c->engine->parking.now_clock);
    rc = ((handler_fn)r->handler->handler)(c, r->in, r->out, err);
    c->run++;
    if (rc != 0)
        return rc;
    wire_http_out_init(&r->answer, c->arena, MAX_ANSWER_BYTES);
    r->answered = true;
    return wire_encode(c->op, answer_protocol(r), r->out, c->request_id, &r->answer, err);
}

static void work_call(struct work *w)
{
    struct call_run *r = LIST_ENTRY(w, struct call_run, work);
    struct call *c = &r->call;
    struct err *err = &r->err;
    int rc = 0;

    *err = (struct err)ERR_INIT;
    if (!r->authenticated) {
        rc = engine_authenticate(c, r->slot->service->wire->signing_name, err);
        r->authenticated = rc == 0;
        if (rc < 0 && err->aws == &SIGV4_MISSING_TOKEN) {
            // Unsigned: right for the few operations that say so.
            struct err decode_err = ERR_INIT;
            if (decode(r, &decode_err) == 0 && r->handler->no_auth) {
                *err = (struct err)ERR_INIT;
                r->authenticated = true;
                rc = 0;
            }
        }
        if (rc == 0 && !r->intercepted && r->slot->service->intercept) {
            r->task.run = intercept_on_loop;
            loop_post(c->http->loop, &r->task);
            return;
        }
    }
    while (rc == 0) {
        rc = run_handler(r, err);
        if (rc != CALL_PARKED)
            break;
        run_deferred(c);
        if (park_settle(r))
            return; // not ours any more
        rc = 0;
    }
    if (rc < 0) {
        if (err->code == 0)
            err_set(err, rc, "the handler failed without a reason");
        run_deferred(c);
        encode_error(r);
    } else {
        run_deferred(c);
    }
    r->task.run = answer_on_loop;
    loop_post(c->http->loop, &r->task);
}

void call_dispatch(struct call_run *r)
{
    r->work = (struct work){.run = work_call};
    work_submit(&r->work);
}
