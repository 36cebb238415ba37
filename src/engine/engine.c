// engine.c - services, sites and providers of this process, and the first look at a request.
//
// Everything here is fixed once engine_start() has returned, so that the loops read it unlocked.
#include "engine/engine_impl.h"

#include "base/cleanup.h"
#include "os/log.h"
#include "os/time.h"
#include "runtime/runtime.h"
#include "wire/sigv4.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static struct engine *current;

struct engine *engine_current(void)
{
    return current;
}

const struct engine_config *engine_config(struct engine *e)
{
    return &e->config;
}

char *engine_path(struct engine *e, const char *format, ...)
{
    char *rest = NULL, *path = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&rest, format, args) < 0)
        rest = NULL;
    va_end(args);
    if (rest && asprintf(&path, "%s/%s", e->config.data_dir, rest) < 0)
        path = NULL;
    free(rest);
    return path;
}

static struct engine_slot *slot_of(struct engine *e, const struct engine_service *s)
{
    for (unsigned i = 0; i < e->n_slots; i++)
        if (e->slots[i].service == s)
            return &e->slots[i];
    return NULL;
}

void engine_set_state(struct engine *e, const struct engine_service *s, void *state)
{
    struct engine_slot *slot = slot_of(e, s);

    if (slot)
        slot->state = state;
}

void *engine_state(struct engine *e, const struct engine_service *s)
{
    struct engine_slot *slot = slot_of(e, s);

    return slot ? slot->state : NULL;
}

int64_t engine_scaled_ms(struct engine *e, int64_t ms)
{
    double scaled = (double)ms * e->config.time_scale;

    return ms > 0 && scaled < 1 ? 1 : (int64_t)scaled;
}

int engine_add_site(struct engine *e, struct engine_site site, struct err *err)
{
    int r = 0;

    pthread_mutex_lock(&e->adding);
    if (e->n_sites < ENGINE_MAX_SITES)
        e->sites[e->n_sites++] = site;
    else
        r = err_set(err, -ENOSPC, "too many sites");
    pthread_mutex_unlock(&e->adding);
    return r;
}

int engine_add_metrics(struct engine *e, void (*fn)(void *ctx, struct buf *out), void *ctx,
                       struct err *err)
{
    int r = 0;

    pthread_mutex_lock(&e->adding);
    if (e->n_metrics < ENGINE_MAX_REPORTERS)
        e->metrics[e->n_metrics++] = (struct reporter){.metrics = fn, .ctx = ctx};
    else
        r = err_set(err, -ENOSPC, "too many metrics");
    pthread_mutex_unlock(&e->adding);
    return r;
}

int engine_add_health(struct engine *e, void (*fn)(void *ctx, struct json_writer *w), void *ctx,
                      struct err *err)
{
    int r = 0;

    pthread_mutex_lock(&e->adding);
    if (e->n_health < ENGINE_MAX_REPORTERS)
        e->health[e->n_health++] = (struct reporter){.health = fn, .ctx = ctx};
    else
        r = err_set(err, -ENOSPC, "too many health reporters");
    pthread_mutex_unlock(&e->adding);
    return r;
}

// --- life ---

// Finds each handler's operation in the model; a handler without one is our mistake.
static int add_service(struct engine *e, const struct engine_service *s, struct err *err)
{
    struct engine_slot *slot = &e->slots[e->n_slots];
    unsigned n = s->wire->n_operations;

    *slot = (struct engine_slot){
        .service = s,
        .ops = calloc(n, sizeof(struct engine_op *)),
        .counters = calloc(n + 1, sizeof(struct op_counters)),
    };
    e->n_slots++;
    if (!slot->ops || !slot->counters)
        return err_set(err, -ENOMEM, "out of memory");
    for (unsigned i = 0; i < s->n_ops; i++) {
        const struct wire_operation *op = wire_operation_named(s->wire, str_from(s->ops[i].name));
        if (!op)
            return err_set(err, -EINVAL, "%s has no operation %s", s->wire->name, s->ops[i].name);
        slot->ops[op->index] = &s->ops[i];
    }
    return 0;
}

static void engine_free(struct engine *e)
{
    for (unsigned i = 0; i < e->n_slots; i++) {
        free(e->slots[i].ops);
        free(e->slots[i].counters);
    }
    parking_finish(&e->parking);
    pthread_mutex_destroy(&e->adding);
    free((char *)e->config.data_dir);
    free((char *)e->config.region);
    free((char *)e->config.account);
    free((char *)e->config.root_access_key);
    free((char *)e->config.root_secret);
    free((char *)e->config.version);
    free(e);
}

static const char *copy(const char *s, const char *otherwise)
{
    return strdup(s && *s ? s : otherwise);
}

int engine_create(const struct engine_config *config, struct engine **out, struct err *err)
{
    struct engine *e = calloc(1, sizeof(*e));

    if (!e)
        return err_set(err, -ENOMEM, "out of memory");
    e->config = *config;
    e->config.data_dir = copy(config->data_dir, ".");
    e->config.region = copy(config->region, "us-east-1");
    e->config.account = copy(config->account, "000000000000");
    e->config.root_access_key = copy(config->root_access_key, "test");
    e->config.root_secret = copy(config->root_secret, "test");
    e->config.version = copy(config->version, "0");
    if (e->config.time_scale <= 0)
        e->config.time_scale = 1.0;
    e->started_ms = os_now_ms();
    parking_init(&e->parking);
    pthread_mutex_init(&e->adding, NULL);
    if (!e->config.data_dir || !e->config.region || !e->config.account ||
        !e->config.root_access_key || !e->config.root_secret || !e->config.version) {
        engine_free(e);
        return err_set(err, -ENOMEM, "out of memory");
    }
    for (unsigned i = 0; i < config->n_services; i++) {
        int r = i < ENGINE_MAX_SERVICES ? add_service(e, config->services[i], err)
                                        : err_set(err, -ENOSPC, "too many services");
        if (r < 0) {
            engine_free(e);
            return r;
        }
    }
    current = e;
    *out = e;
    return 0;
}

static void stop_services(struct engine *e)
{
    for (unsigned i = e->n_slots; i > 0; i--) {
        struct engine_slot *slot = &e->slots[i - 1];
        if (slot->started && slot->service->stop)
            slot->service->stop(e);
        slot->started = false;
    }
}

static void *start_one(void *p)
{
    struct engine_slot *slot = p;

    slot->start_result = slot->service->start(slot->engine, &slot->start_err);
    return NULL;
}

// All at once: each opens files and waits for the disk, and none needs another while it starts.
static void start_all(struct engine *e)
{
    pthread_t threads[ENGINE_MAX_SERVICES];
    bool threaded[ENGINE_MAX_SERVICES] = {false};

    for (unsigned i = 0; i < e->n_slots; i++) {
        struct engine_slot *slot = &e->slots[i];
        slot->engine = e;
        if (!slot->service->start)
            continue;
        threaded[i] = i + 1 < e->n_slots && pthread_create(&threads[i], NULL, start_one, slot) == 0;
        if (!threaded[i])
            start_one(slot);
    }
    for (unsigned i = 0; i < e->n_slots; i++)
        if (threaded[i])
            pthread_join(threads[i], NULL);
}

int engine_start(struct engine *e, struct err *err)
{
    int r = 0;

    start_all(e);
    for (unsigned i = 0; i < e->n_slots; i++) {
        struct engine_slot *slot = &e->slots[i];
        slot->started = slot->start_result >= 0;
        if (slot->started || r < 0)
            continue;
        r = slot->start_result;
        if (err)
            *err = slot->start_err;
        err_wrap(err, "start %s", slot->service->wire->name);
    }
    if (r < 0) {
        stop_services(e);
        return r;
    }
    runtime_set_platform_handler(engine_handle, e);
    if (e->config.no_auth)
        log_warn("signatures are not checked (no-auth): whoever reaches the port is root");
    return 0;
}

void engine_drain(struct engine *e)
{
    atomic_store(&e->draining, true);
    park_drain(e);
}

unsigned engine_busy(struct engine *e)
{
    return atomic_load(&e->busy);
}

void engine_destroy(struct engine *e)
{
    if (!e)
        return;
    stop_services(e);
    if (current == e)
        current = NULL;
    engine_free(e);
}

// --- a request ---

// The protocol, so that even a refused signature is told in it.
static void guess_protocol(struct call_run *r)
{
    const struct wire_service *w = r->slot->service->wire;

    if (wire_protocol_of(w, &r->http_in, &r->protocol, NULL) == 0)
        return;
    for (int p = 0; p < WIRE_PROTOCOLS; p++)
        if (w->protocols & (1U << p)) {
            r->protocol = (enum wire_protocol)p;
            return;
        }
}

// Long bodies are hashed on a worker; unsigned calls are for the worker too, which decodes the
// operation to see whether it may be unsigned.
static bool authenticate_here(struct call_run *r)
{
    const struct http_request *req = r->call.http;

    if (req->body.fd >= 0 || req->body.size_bytes > ENGINE_LOOP_HASH_BYTES)
        return false;
    return r->slot->service->intercept != NULL;
}

void engine_handle(void *ctx, struct http_request *req)
{
    struct engine *e = ctx;
    struct host_name host = {0};

    if (pages_take(e, req) || operator_pages_take(e, req))
        return;
    host_name_parse(http_header_get(req, STR("host")), &host);
    for (unsigned i = 0; i < e->n_sites; i++)
        if (e->sites[i].take(e->sites[i].ctx, e, req, &host))
            return;

    struct call *c = engine_call_new(e, req);
    if (!c) {
        http_respond_text(req, 500, STR("text/plain"), STR("out of memory\n"));
        return;
    }
    struct call_run *r = run_of(c);
    call_begin(r);
    if (!call_http_in(r)) {
        err_set(&r->err, -ENOMEM, "out of memory");
        call_error_now(r);
        return;
    }
    r->slot = route_service(e, &r->http_in, &host, c->arena);
    if (!r->slot) {
        route_refuse(r);
        return;
    }
    c->service = r->slot->service;
    c->state = r->slot->state;
    guess_protocol(r);
    if (atomic_load(&e->draining)) {
        static const struct aws_error unavailable = {"ServiceUnavailable", NULL, 503, false};
        err_aws(&r->err, &unavailable, "The service is shutting down.");
        call_error_now(r);
        return;
    }
    if (authenticate_here(r)) {
        int rc = engine_authenticate(c, r->slot->service->wire->signing_name, &r->err);
        if (rc < 0 && r->err.aws != &SIGV4_MISSING_TOKEN) {
            call_error_now(r);
            return;
        }
        r->authenticated = rc == 0;
        r->err = (struct err)ERR_INIT;
        r->intercepted = r->authenticated;
        if (r->authenticated && r->slot->service->intercept(c))
            return;
    }
    call_dispatch(r);
}
