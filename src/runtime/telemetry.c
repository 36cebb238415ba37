// telemetry.c - events become batches of those who subscribed.
//
// Invariants: a subscriber holds at most one batch that is gathered (as large as it asked for), and
// TELEMETRY_QUEUE_BYTES that wait for delivery; what does not fit is dropped and counted, and the
// count is its next event (platform.logsDropped). Nothing here waits, so nobody's invocation does.
// Subscribers live as long as their environment; a new subscription of the same extension replaces
// what it had asked for.
//
// What happens in INIT before an extension subscribed is kept for it (AWS delivers it as well), up
// to TELEMETRY_EARLY_BYTES.

#include "runtime/telemetry_impl.h"

#include "base/hash.h"
#include "base/json.h"
#include "base/timefmt.h"
#include "http/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_REQUEST_BYTES (64 << 10)
#define DROPPED_REASON                                                                             \
    "Some logs were dropped because the downstream consumer is slower than the logs production "   \
    "rate"

struct event {
    unsigned audience;
    bool line; // text is a line of output, else a record in JSON
    const char *type;
    int64_t time_ms;
    struct str text;
};

// ---- batches -----------------------------------------------------------------------------------

static void batch_free(struct telemetry_batch *b)
{
    if (!b)
        return;
    buf_finish(&b->body);
    free(b);
}

static void on_gathered(struct loop_timer *t);

static bool begin_batch(struct subscriber *s)
{
    struct telemetry_batch *b;

    if (s->gathering)
        return true;
    b = calloc(1, sizeof(*b));
    if (!b)
        return false;
    buf_init(&b->body, (size_t)8 << 20); // a line is bounded, its escapes may be six times as long
    s->gathering = b;
    if (!s->env->telemetry->ending)
        loop_timer_start(s->env->home->loop, &s->gather_timer, s->config.timeout_ms, on_gathered);
    return true;
}

// What was gathered goes to those that wait for delivery.
static void end_batch(struct subscriber *s)
{
    struct telemetry_batch *b = s->gathering;

    loop_timer_stop(s->env->home->loop, &s->gather_timer);
    if (!b)
        return;
    s->gathering = NULL;
    s->due = false;
    if (b->items == 0 || b->body.failed) {
        s->dropped_records += b->items;
        s->dropped_bytes += b->body.len;
        batch_free(b);
        return;
    }
    *s->queue_end = b;
    s->queue_end = &b->next;
    s->queued_bytes += b->body.len;
    delivery_pump(s);
}

static bool has_room(const struct subscriber *s)
{
    return s->queued_bytes < TELEMETRY_QUEUE_BYTES;
}

static void on_gathered(struct loop_timer *t)
{
    struct subscriber *s =
        (struct subscriber *)(void *)((char *)t - offsetof(struct subscriber, gather_timer));

    s->due = true;
    if (has_room(s))
        end_batch(s);
}

// ---- one event ---------------------------------------------------------------------------------

static bool is_object(struct str text)
{
    text = str_trim(text);
    return text.len > 1 && text.ptr[0] == '{' && json_valid(text);
}

static void write_event(const struct subscriber *s, struct buf *out, const struct event *e)
{
    struct json_writer w = json_writer(out);
    char now[TIMEFMT_BYTES];

    jw_object_begin(&w);
    jw_member_str(&w, "time", timefmt_iso(e->time_ms, now));
    jw_member_str(&w, "type", str_from(e->type));
    jw_key(&w, STR("record"));
    if (!e->line ||
        (s->config.schema == SCHEMA_LATER && s->env->function->log_json && is_object(e->text)))
        jw_raw(&w, str_trim(e->text));
    else
        jw_str(&w, e->text);
    jw_object_end(&w);
}

static void put_event(struct subscriber *s, const struct event *e)
{
    struct buf *body = &s->gathering->body;

    if (!s->config.tcp)
        buf_add_char(body, s->gathering->items == 0 ? '[' : ',');
    write_event(s, body, e);
    if (s->config.tcp)
        buf_add_char(body, '\n');
    s->gathering->items++;
}

static bool is_full(const struct subscriber *s)
{
    return s->gathering->items >= s->config.max_items ||
           s->gathering->body.len >= s->config.max_bytes;
}

static void tell_dropped(struct subscriber *s)
{
    char record[256];

    if (s->dropped_records == 0 || !begin_batch(s))
        return;
    snprintf(record, sizeof(record),
             "{\"droppedBytes\":%llu,\"droppedRecords\":%llu,\"reason\":\"" DROPPED_REASON "\"}",
             (unsigned long long)s->dropped_bytes, (unsigned long long)s->dropped_records);
    const struct event e = {
        .type = "platform.logsDropped", .time_ms = os_now_ms(), .text = str_from(record)};
    s->dropped_records = s->dropped_bytes = 0;
    put_event(s, &e);
}

static void add(struct subscriber *s, const struct event *e)
{
    bool room = has_room(s); // for a batch, whatever its length

    if (s->gathering &&
        (is_full(s) || s->gathering->body.len + e->text.len > s->config.max_bytes)) {
        if (!room) {
            s->dropped_records++;
            s->dropped_bytes += e->text.len;
            return;
        }
        end_batch(s);
    }
    tell_dropped(s);
    if (!begin_batch(s)) {
        s->dropped_records++;
        s->dropped_bytes += e->text.len;
        return;
    }
    put_event(s, e);
    if ((is_full(s) || s->env->telemetry->ending) && room)
        end_batch(s);
}

void telemetry_delivered(struct subscriber *s, bool lost)
{
    struct telemetry_batch *b = s->queue;
    struct environment *env = s->env;

    s->queue = b->next;
    if (!s->queue)
        s->queue_end = &s->queue;
    s->queued_bytes -= b->body.len;
    if (lost) {
        s->dropped_records += b->items;
        s->dropped_bytes += b->body.len;
    }
    batch_free(b);
    if (!lost)
        tell_dropped(s);
    if (s->gathering && has_room(s) && (is_full(s) || s->due || env->telemetry->ending))
        end_batch(s);
    delivery_pump(s);
    if (env->telemetry->ending && !telemetry_busy(env))
        environment_told(env);
}

// ---- events of the environment -----------------------------------------------------------------

static bool keep_early(struct telemetry *t, const struct event *e)
{
    struct early_event *k = NULL;

    if (t->early_bytes + e->text.len <= TELEMETRY_EARLY_BYTES)
        k = malloc(sizeof(*k) + e->text.len);
    if (!k)
        return false;
    *k = (struct early_event){.audience = e->audience,
                              .line = e->line,
                              .type = e->type,
                              .time_ms = e->time_ms,
                              .len = e->text.len};
    memcpy(k->text, e->text.ptr ? e->text.ptr : "", e->text.len);
    *t->early_end = k;
    t->early_end = &k->next;
    t->early_bytes += sizeof(*k) + e->text.len;
    return true;
}

static void tell(struct environment *env, const struct event *e)
{
    struct telemetry *t = env->telemetry;

    for (unsigned i = 0; i < FUNCTION_MAX_EXTENSIONS; i++)
        if (t->list[i] && t->list[i]->config.audience & e->audience)
            add(t->list[i], e);
    if (t->open && !keep_early(t, e)) {
        t->early_dropped++;
        t->early_dropped_bytes += e->text.len;
    }
}

bool telemetry_wants(const struct environment *env, unsigned audience)
{
    const struct telemetry *t = env->telemetry;

    return t && (t->open || (t->wanted & audience));
}

void telemetry_event(struct environment *env, unsigned audience, const char *type,
                     struct str record)
{
    if (!telemetry_wants(env, audience))
        return;
    const struct event e = {
        .audience = audience, .type = type, .time_ms = os_now_ms(), .text = record};
    tell(env, &e);
}

void telemetry_line(struct environment *env, unsigned audience, int64_t time_ms, struct str line)
{
    if (!telemetry_wants(env, audience))
        return;
    const struct event e = {.audience = audience,
                            .line = true,
                            .type = audience == TELEMETRY_FUNCTION ? "function" : "extension",
                            .time_ms = time_ms,
                            .text = line};
    tell(env, &e);
}

// ---- life --------------------------------------------------------------------------------------

static bool make(struct environment *env)
{
    if (env->telemetry)
        return true;
    env->telemetry = calloc(1, sizeof(*env->telemetry));
    if (!env->telemetry)
        return false;
    env->telemetry->early_end = &env->telemetry->early;
    return true;
}

void telemetry_begin(struct environment *env)
{
    // Without an external extension there may be an internal one; it gets what comes after it.
    if (env->function->n_extensions > 0 && make(env))
        env->telemetry->open = true;
}

static void forget_early(struct telemetry *t)
{
    while (t->early) {
        struct early_event *k = t->early;
        t->early = k->next;
        free(k);
    }
    t->early_end = &t->early;
    t->early_bytes = 0;
}

void telemetry_close(struct environment *env)
{
    if (!env->telemetry)
        return;
    env->telemetry->open = false;
    forget_early(env->telemetry);
}

void telemetry_flush(struct environment *env)
{
    struct telemetry *t = env->telemetry;

    if (!t)
        return;
    telemetry_close(env);
    t->ending = true;
    for (unsigned i = 0; i < FUNCTION_MAX_EXTENSIONS; i++)
        if (t->list[i])
            end_batch(t->list[i]);
}

bool telemetry_busy(const struct environment *env)
{
    const struct telemetry *t = env->telemetry;

    for (unsigned i = 0; t && i < FUNCTION_MAX_EXTENSIONS; i++)
        if (t->list[i] && delivery_busy(t->list[i]))
            return true;
    return false;
}

static void subscriber_free(struct subscriber *s)
{
    if (!s)
        return;
    delivery_stop(s);
    loop_timer_stop(s->env->home->loop, &s->gather_timer);
    batch_free(s->gathering);
    while (s->queue) {
        struct telemetry_batch *b = s->queue;
        s->queue = b->next;
        batch_free(b);
    }
    free(s);
}

void telemetry_free(struct environment *env)
{
    struct telemetry *t = env->telemetry;

    if (!t)
        return;
    env->telemetry = NULL;
    for (unsigned i = 0; i < FUNCTION_MAX_EXTENSIONS; i++)
        subscriber_free(t->list[i]);
    forget_early(t);
    free(t);
}

// ---- subscribing -------------------------------------------------------------------------------

static void refuse(struct http_request *req, int status, const char *api, const char *type,
                   struct str message)
{
    struct buf body;
    struct json_writer w;
    char full[96];

    snprintf(full, sizeof(full), "%s.%s", api, type);
    buf_init(&body, 8192);
    w = json_writer(&body);
    jw_object_begin(&w);
    jw_member_str(&w, "errorMessage", message);
    jw_member_str(&w, "errorType", str_from(full));
    jw_object_end(&w);
    http_respond_text(req, status, STR("application/json"), buf_str(&body));
    buf_finish(&body);
}

static void replay(struct telemetry *t, struct subscriber *s)
{
    s->dropped_records += t->early_dropped;
    s->dropped_bytes += t->early_dropped_bytes;
    for (const struct early_event *k = t->early; k; k = k->next) {
        const struct event e = {k->audience, k->line, k->type, k->time_ms, {k->text, k->len}};
        if (s->config.audience & e.audience)
            add(s, &e);
    }
}

static struct subscriber *subscriber_of(struct environment *env, unsigned number)
{
    struct subscriber **at = &env->telemetry->list[number];

    if (*at)
        return *at;
    *at = calloc(1, sizeof(**at));
    if (!*at)
        return NULL;
    (*at)->env = env;
    (*at)->number = number;
    (*at)->fd = -1;
    (*at)->queue_end = &(*at)->queue;
    return *at;
}

// A destination that is replaced: what waits goes to the new one, unless it is in the other form.
static void drop_queue(struct subscriber *s, bool other_form)
{
    delivery_stop(s);
    while (other_form && s->queue)
        telemetry_delivered(s, true);
}

static void count_wanted(struct telemetry *t)
{
    t->wanted = 0;
    for (unsigned i = 0; i < FUNCTION_MAX_EXTENSIONS; i++)
        if (t->list[i])
            t->wanted |= t->list[i]->config.audience;
}

void telemetry_subscribe(struct environment *env, unsigned extension, const char *name,
                         struct http_request *req, bool logs_api)
{
    const char *api = logs_api ? "Logs" : "Telemetry", *type;
    struct telemetry_config config = {0};
    struct subscriber *s;
    struct str body, message = STR_NULL;
    int status;

    if (env->state != ENV_INIT) {
        refuse(req, 403, api, "SubscriptionClosed",
               arena_printf(&req->arena, "%s API subscription is closed already", api));
        return;
    }
    if (http_body_read(req, MAX_REQUEST_BYTES, &body, NULL) < 0) {
        refuse(req, 400, api, "DeserializationError", STR("the body is too long"));
        return;
    }
    status = telemetry_config_read(&req->arena, body, logs_api, &config, &type, &message);
    if (status) {
        refuse(req, status, api, type, message);
        return;
    }
    s = make(env) ? subscriber_of(env, extension) : NULL;
    if (!s) {
        refuse(req, 500, api, "InternalError", STR("out of memory"));
        return;
    }
    bool other_api = s->used && (s->config.schema <= SCHEMA_2021_03_18) != logs_api;
    if (other_api) {
        refuse(req, 400, api, "AccessDenied",
               arena_printf(&req->arena,
                            "The extension %s is already subscribed to the %s API. You must either "
                            "subscribe to the Logs API or the Telemetry API",
                            name, logs_api ? "Telemetry" : "Logs"));
        return;
    }
    uint64_t hash = hash_table(body);
    bool again = s->used && s->request_bytes == body.len && s->request_hash == hash;
    bool first = !s->used;
    if (!again) {
        end_batch(s); // as it was asked for until now
        if (s->used)
            drop_queue(s, config.tcp != s->config.tcp);
        s->config = config;
        s->used = true;
        s->request_bytes = body.len;
        s->request_hash = hash;
        count_wanted(env->telemetry);
    }
    if (first)
        replay(env->telemetry, s);
    http_respond_text(req, 200, STR("application/json"),
                      again ? STR("\"AlreadySubscribed\"") : STR("\"OK\""));
    report_subscription(env, name, config.audience, logs_api, again);
}
