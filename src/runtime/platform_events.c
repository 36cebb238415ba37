// platform_events.c - what the platform does, as events: into the log of functions whose LogFormat
// is JSON (filtered by SystemLogLevel), and to those who subscribed to telemetry.
//
// The records are those of the Telemetry API's event schema (2022-07-01 and later). Subscribers of
// the older Logs API get its own, shorter ones. An event that nobody would hear of is not made.

#include "runtime/runtime_impl.h"
#include "runtime/telemetry.h"

#include "base/json.h"
#include "base/timefmt.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct event {
    const char *type;
    bool log, telemetry;
    struct buf record;
    struct json_writer w;
};

static bool event_begin(struct environment *env, struct event *e, const char *type,
                        enum function_log_level level)
{
    const struct function_config *f = env->function;

    e->type = type;
    e->log = f->log_json && level >= f->system_log_level;
    e->telemetry = telemetry_wants(env, TELEMETRY_PLATFORM);
    if (!e->log && !e->telemetry)
        return false;
    buf_init(&e->record, 16 * 1024);
    e->w = json_writer(&e->record);
    jw_object_begin(&e->w);
    return true;
}

static void log_event(struct environment *env, const struct event *e)
{
    struct json_writer w;
    struct buf text;
    char now[TIMEFMT_BYTES];

    buf_init(&text, 20 * 1024);
    w = json_writer(&text);
    jw_object_begin(&w);
    jw_member_str(&w, "time", timefmt_iso(os_now_ms(), now));
    jw_member_str(&w, "type", str_from(e->type));
    jw_key(&w, STR("record"));
    jw_raw(&w, buf_str(&e->record));
    jw_object_end(&w);
    output_add(env, OUTPUT_PLATFORM, os_now_ms(), buf_str(&text));
    buf_finish(&text);
}

static void event_end(struct environment *env, struct event *e)
{
    jw_object_end(&e->w);
    if (e->log)
        log_event(env, e);
    if (e->telemetry)
        telemetry_event(env, TELEMETRY_PLATFORM, e->type, buf_str(&e->record));
    buf_finish(&e->record);
}

// The Logs API's.
static bool logs_begin(struct environment *env, struct event *e, const char *type)
{
    if (!telemetry_wants(env, TELEMETRY_LOGS_API))
        return false;
    e->type = type;
    buf_init(&e->record, 16 * 1024);
    e->w = json_writer(&e->record);
    jw_object_begin(&e->w);
    return true;
}

static void logs_end(struct environment *env, struct event *e)
{
    jw_object_end(&e->w);
    telemetry_event(env, TELEMETRY_LOGS_API, e->type, buf_str(&e->record));
    buf_finish(&e->record);
}

// ---- members -----------------------------------------------------------------------------------

static void member_ms(struct json_writer *w, const char *key, double ms)
{
    jw_key(w, str_from(key));
    jw_f64(w, round(ms * 1000) / 1000);
}

static void member_metrics(struct json_writer *w, double ms)
{
    jw_key(w, STR("metrics"));
    jw_object_begin(w);
    member_ms(w, "durationMs", ms);
    jw_object_end(w);
}

static void member_outcome(struct json_writer *w, const char *status, struct str error_type)
{
    jw_member_str(w, "status", str_from(status));
    if (strcmp(status, "success") != 0 && error_type.len > 0)
        jw_member_str(w, "errorType", error_type);
}

static void member_tracing(struct json_writer *w, const struct environment *env,
                           const struct invocation *inv)
{
    if (!env->function->tracing_active)
        return;
    jw_key(w, STR("tracing"));
    jw_object_begin(w);
    jw_member_str(w, "type", STR("X-Amzn-Trace-Id"));
    jw_member_str(w, "value", inv->trace_id);
    jw_object_end(w);
}

static void member_init(struct json_writer *w, const struct environment *env)
{
    jw_member_str(w, "initializationType", str_from(environment_init_type(env)));
    jw_member_str(w, "phase", env->retry ? STR("invoke") : STR("init"));
}

static void member_instance(struct json_writer *w, const struct environment *env,
                            const char *version)
{
    const struct function_config *f = env->function;

    jw_member_str(w, "runtimeVersion", str_from(version));
    jw_key(w, STR("runtimeVersionArn"));
    jw_strf(w, "arn:aws:lambda:%.*s::runtime:%s", STR_ARG(f->region), version);
    jw_member_str(w, "functionName", f->name);
    jw_member_str(w, "functionVersion", f->version);
    jw_member_str(w, "instanceId", str_from(env->name));
    jw_member_i64(w, "instanceMaxMemory", (int64_t)f->memory_mb << 20);
}

static void span(struct json_writer *w, const char *name, uint64_t from_ns, uint64_t to_ns)
{
    int64_t ago_ms = (os_mono_ns() - (int64_t)from_ns) / 1000000;
    char start[TIMEFMT_BYTES];

    jw_object_begin(w);
    jw_member_str(w, "name", str_from(name));
    jw_member_str(w, "start", timefmt_iso(os_now_ms() - ago_ms, start));
    member_ms(w, "durationMs", to_ns > from_ns ? (double)(to_ns - from_ns) / 1e6 : 0);
    jw_object_end(w);
}

static void member_spans(struct json_writer *w, const struct environment *env,
                         const struct invocation *inv)
{
    uint64_t first = env->first_byte_ns ? env->first_byte_ns : inv->answered_ns;

    if (inv->sent_ns == 0)
        return;
    jw_key(w, STR("spans"));
    jw_array_begin(w);
    span(w, "responseLatency", inv->sent_ns, first);
    span(w, "responseDuration", first, inv->answered_ns);
    jw_array_end(w);
}

// ---- INIT and RESTORE --------------------------------------------------------------------------

void platform_init_start(struct environment *env, const char *version)
{
    struct event e;

    if (!event_begin(env, &e, "platform.initStart", FUNCTION_LOG_INFO))
        return;
    member_init(&e.w, env);
    member_instance(&e.w, env, version);
    event_end(env, &e);
}

void platform_init_done(struct environment *env, const char *status, const char *error_type)
{
    struct str type = error_type ? str_from(error_type) : STR_NULL;
    bool fine = !error_type;
    struct event e;

    if (event_begin(env, &e, "platform.initRuntimeDone",
                    fine ? FUNCTION_LOG_DEBUG : FUNCTION_LOG_WARN)) {
        member_init(&e.w, env);
        member_outcome(&e.w, status, type);
        event_end(env, &e);
    }
    if (event_begin(env, &e, "platform.initReport", fine ? FUNCTION_LOG_INFO : FUNCTION_LOG_WARN)) {
        member_init(&e.w, env);
        member_outcome(&e.w, status, type);
        member_metrics(&e.w, env->init_us / 1000.0);
        event_end(env, &e);
    }
}

void platform_restore_start(struct environment *env, const char *version)
{
    struct event e;

    if (!event_begin(env, &e, "platform.restoreStart", FUNCTION_LOG_INFO))
        return;
    member_instance(&e.w, env, version);
    event_end(env, &e);
}

void platform_restore_done(struct environment *env, const char *status, const char *error_type,
                           double ms)
{
    struct str type = error_type ? str_from(error_type) : STR_NULL;
    bool fine = !error_type;
    struct event e;

    if (event_begin(env, &e, "platform.restoreRuntimeDone",
                    fine ? FUNCTION_LOG_DEBUG : FUNCTION_LOG_WARN)) {
        member_outcome(&e.w, status, type);
        event_end(env, &e);
    }
    if (event_begin(env, &e, "platform.restoreReport",
                    fine ? FUNCTION_LOG_INFO : FUNCTION_LOG_WARN)) {
        member_outcome(&e.w, status, type);
        member_metrics(&e.w, ms);
        event_end(env, &e);
    }
}

// ---- INVOKE ------------------------------------------------------------------------------------

void platform_start(struct environment *env, const struct invocation *inv)
{
    struct event e;

    if (event_begin(env, &e, "platform.start", FUNCTION_LOG_INFO)) {
        jw_member_str(&e.w, "requestId", inv->request_id);
        jw_member_str(&e.w, "functionArn", inv->invoked_arn);
        jw_member_str(&e.w, "version", env->function->version);
        member_tracing(&e.w, env, inv);
        event_end(env, &e);
    }
    if (logs_begin(env, &e, "platform.start")) {
        jw_member_str(&e.w, "requestId", inv->request_id);
        jw_member_str(&e.w, "version", env->function->version);
        logs_end(env, &e);
    }
}

static void member_report_metrics(struct json_writer *w, const struct environment *env,
                                  const struct invocation *inv, double ms,
                                  struct report_before before)
{
    jw_key(w, STR("metrics"));
    jw_object_begin(w);
    member_ms(w, "durationMs", ms);
    jw_member_i64(w, "billedDurationMs", (int64_t)inv->billed_ms);
    jw_member_i64(w, "memorySizeMB", env->function->memory_mb);
    jw_member_i64(w, "maxMemoryUsedMB", inv->memory_peak_mb);
    if (before.init_ms > 0)
        member_ms(w, "initDurationMs", before.init_ms);
    if (before.restore_ms > 0) {
        member_ms(w, "restoreDurationMs", before.restore_ms);
        jw_member_i64(w, "billedRestoreDurationMs", (int64_t)before.restore_billed_ms);
    }
    jw_object_end(w);
}

static void logs_report(struct environment *env, const struct invocation *inv, const char *status,
                        double ms, struct report_before before)
{
    struct event e;

    if (!logs_begin(env, &e, "platform.runtimeDone"))
        return;
    jw_member_str(&e.w, "requestId", inv->request_id);
    jw_member_str(&e.w, "status", strcmp(status, "error") == 0 ? STR("failure") : str_from(status));
    logs_end(env, &e);
    logs_begin(env, &e, "platform.end");
    jw_member_str(&e.w, "requestId", inv->request_id);
    logs_end(env, &e);
    logs_begin(env, &e, "platform.report");
    jw_member_str(&e.w, "requestId", inv->request_id);
    member_report_metrics(&e.w, env, inv, ms, before);
    member_tracing(&e.w, env, inv);
    logs_end(env, &e);
}

void platform_report(struct environment *env, const struct invocation *inv, const char *status,
                     double ms, struct report_before before)
{
    bool fine = strcmp(status, "success") == 0;
    struct event e;

    if (event_begin(env, &e, "platform.runtimeDone",
                    fine ? FUNCTION_LOG_DEBUG : FUNCTION_LOG_WARN)) {
        jw_member_str(&e.w, "requestId", inv->request_id);
        member_outcome(&e.w, status, inv->error_type);
        jw_key(&e.w, STR("metrics"));
        jw_object_begin(&e.w);
        member_ms(&e.w, "durationMs", ms);
        jw_member_i64(&e.w, "producedBytes",
                      (int64_t)(env->streaming ? env->streamed_bytes : inv->response.len));
        jw_object_end(&e.w);
        member_spans(&e.w, env, inv);
        member_tracing(&e.w, env, inv);
        event_end(env, &e);
    }
    if (event_begin(env, &e, "platform.report", fine ? FUNCTION_LOG_INFO : FUNCTION_LOG_WARN)) {
        jw_member_str(&e.w, "requestId", inv->request_id);
        member_report_metrics(&e.w, env, inv, ms, before);
        member_tracing(&e.w, env, inv);
        member_outcome(&e.w, status, inv->error_type);
        event_end(env, &e);
    }
    logs_report(env, inv, status, ms, before);
}

// ---- extensions --------------------------------------------------------------------------------

static void extension_members(struct json_writer *w, const char *name, const char *state,
                              bool invoke, bool shutdown, const char *error_type)
{
    jw_member_str(w, "name", str_from(name));
    jw_member_str(w, "state", str_from(state));
    jw_key(w, STR("events"));
    jw_array_begin(w);
    if (invoke)
        jw_str(w, STR("INVOKE"));
    if (shutdown)
        jw_str(w, STR("SHUTDOWN"));
    jw_array_end(w);
    if (error_type)
        jw_member_str(w, "errorType", str_from(error_type));
}

void platform_extension(struct environment *env, const char *name, const char *state, bool invoke,
                        bool shutdown, const char *error_type)
{
    struct event e;

    if (event_begin(env, &e, "platform.extension",
                    error_type ? FUNCTION_LOG_WARN : FUNCTION_LOG_INFO)) {
        extension_members(&e.w, name, state, invoke, shutdown, error_type);
        event_end(env, &e);
    }
    if (logs_begin(env, &e, "platform.extension")) {
        extension_members(&e.w, name, state, invoke, shutdown, error_type);
        logs_end(env, &e);
    }
}

static void subscription_members(struct json_writer *w, const char *name, unsigned audience,
                                 bool again)
{
    jw_member_str(w, "name", str_from(name));
    jw_member_str(w, "state", again ? STR("Already subscribed") : STR("Subscribed"));
    jw_key(w, STR("types"));
    jw_array_begin(w);
    if (audience & (TELEMETRY_PLATFORM | TELEMETRY_LOGS_API))
        jw_str(w, STR("platform"));
    if (audience & TELEMETRY_FUNCTION)
        jw_str(w, STR("function"));
    if (audience & TELEMETRY_EXTENSION)
        jw_str(w, STR("extension"));
    jw_array_end(w);
}

void platform_subscription(struct environment *env, const char *name, unsigned audience,
                           bool logs_api, bool again)
{
    struct event e;

    if (logs_api && logs_begin(env, &e, "platform.logsSubscription")) {
        subscription_members(&e.w, name, audience, again);
        logs_end(env, &e);
    } else if (!logs_api &&
               event_begin(env, &e, "platform.telemetrySubscription", FUNCTION_LOG_INFO)) {
        subscription_members(&e.w, name, audience, again);
        event_end(env, &e);
    }
}

// The Telemetry API has no such event: there, a runtimeDone says it.
void platform_fault(struct environment *env, struct str text)
{
    struct buf record;
    struct json_writer w;

    if (!telemetry_wants(env, TELEMETRY_LOGS_API))
        return;
    buf_init(&record, 8192);
    w = json_writer(&record);
    jw_str(&w, text);
    telemetry_event(env, TELEMETRY_LOGS_API, "platform.fault", buf_str(&record));
    buf_finish(&record);
}
