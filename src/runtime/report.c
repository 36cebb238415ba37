// report.c - the platform's lines: INIT_START, START, END, REPORT, and their JSON forms.
//
// Text as AWS writes it; with LogFormat JSON the platform events of the Telemetry API, filtered by
// SystemLogLevel.

#include "runtime/runtime_impl.h"

#include "base/json.h"
#include "base/timefmt.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static double ms_of(const struct invocation *inv)
{
    if (inv->sent_ns == 0 || inv->answered_ns <= inv->sent_ns)
        return 0;
    return (double)(inv->answered_ns - inv->sent_ns) / 1e6;
}

// ---- JSON --------------------------------------------------------------------------------------

struct event {
    struct buf text;
    struct json_writer w;
};

static bool event_begin(struct environment *env, struct event *e, const char *type,
                        enum function_log_level level)
{
    char now[TIMEFMT_BYTES];

    if (level < env->function->system_log_level)
        return false;
    buf_init(&e->text, 16 * 1024);
    e->w = json_writer(&e->text);
    jw_object_begin(&e->w);
    jw_member_str(&e->w, "time", timefmt_iso(os_now_ms(), now));
    jw_member_str(&e->w, "type", str_from(type));
    jw_key(&e->w, STR("record"));
    jw_object_begin(&e->w);
    return true;
}

static void event_end(struct environment *env, struct event *e)
{
    jw_object_end(&e->w);
    jw_object_end(&e->w);
    output_add(env, os_now_ms(), buf_str(&e->text));
    buf_finish(&e->text);
}

static void member_ms(struct json_writer *w, const char *key, double ms)
{
    jw_key(w, str_from(key));
    jw_f64(w, round(ms * 1000) / 1000);
}

static const char *init_type(const struct environment *env)
{
    return env->provisioned ? "provisioned-concurrency" : "on-demand";
}

// ---- INIT --------------------------------------------------------------------------------------

// "python:3.11.7"; "provided:al2023"
static void say_version(const struct environment *env, char to[static 96])
{
    const struct interpreter *in = runtime_interpreter(env->function->runtime);
    struct str name = env->function->runtime;

    if (in)
        snprintf(to, 96, "%s:%s", interpreter_name(in->kind), in->version);
    else if (str_starts(name, STR("provided.")))
        snprintf(to, 96, "provided:%.*s", STR_ARG(str_slice(name, 9, name.len)));
    else
        snprintf(to, 96, "%.*s", STR_ARG(name));
}

static void say_when_not_exact(struct environment *env)
{
    const struct interpreter *in = runtime_interpreter(env->function->runtime);
    struct interpreter_wish wish = interpreter_wish(env->function->runtime);

    if (!in || interpreter_is(in, &wish))
        return;
    output_addf(env, "NOTICE This host has no %.*s: the function runs on %s %s.",
                STR_ARG(env->function->runtime), interpreter_title(in->kind), in->version);
}

void report_init_start(struct environment *env)
{
    const struct function_config *f = env->function;
    char version[96];
    struct event e;

    say_version(env, version);
    if (!f->log_json) {
        output_addf(env,
                    "INIT_START Runtime Version: %s\tRuntime Version ARN: "
                    "arn:aws:lambda:%.*s::runtime:%s",
                    version, STR_ARG(f->region), version);
        say_when_not_exact(env);
        return;
    }
    if (event_begin(env, &e, "platform.initStart", FUNCTION_LOG_INFO)) {
        jw_member_str(&e.w, "initializationType", str_from(init_type(env)));
        jw_member_str(&e.w, "phase", env->retry ? STR("invoke") : STR("init"));
        jw_member_str(&e.w, "runtimeVersion", str_from(version));
        jw_member_str(&e.w, "functionName", f->name);
        jw_member_str(&e.w, "functionVersion", f->version);
        jw_member_str(&e.w, "instanceId", str_from(env->name));
        jw_member_i64(&e.w, "instanceMaxMemory", (int64_t)f->memory_mb << 20);
        event_end(env, &e);
    }
    say_when_not_exact(env);
}

void report_init_done(struct environment *env, const char *status, const char *error_type)
{
    double ms = env->init_us / 1000.0;
    bool fine = !error_type;
    struct event e;

    if (!env->function->log_json) {
        if (!fine)
            output_addf(env, "INIT_REPORT Init Duration: %.2f ms\tPhase: %s\tStatus: %s%s%s", ms,
                        env->retry ? "invoke" : "init", status,
                        strcmp(status, "error") == 0 ? "\tError Type: " : "",
                        strcmp(status, "error") == 0 ? error_type : "");
        return;
    }
    if (event_begin(env, &e, "platform.initRuntimeDone",
                    fine ? FUNCTION_LOG_DEBUG : FUNCTION_LOG_WARN)) {
        jw_member_str(&e.w, "initializationType", str_from(init_type(env)));
        jw_member_str(&e.w, "phase", env->retry ? STR("invoke") : STR("init"));
        jw_member_str(&e.w, "status", str_from(status));
        if (error_type)
            jw_member_str(&e.w, "errorType", str_from(error_type));
        event_end(env, &e);
    }
    if (event_begin(env, &e, "platform.initReport", fine ? FUNCTION_LOG_INFO : FUNCTION_LOG_WARN)) {
        jw_member_str(&e.w, "initializationType", str_from(init_type(env)));
        jw_member_str(&e.w, "phase", env->retry ? STR("invoke") : STR("init"));
        jw_member_str(&e.w, "status", str_from(status));
        jw_key(&e.w, STR("metrics"));
        jw_object_begin(&e.w);
        member_ms(&e.w, "durationMs", ms);
        jw_object_end(&e.w);
        event_end(env, &e);
    }
}

// ---- INVOKE ------------------------------------------------------------------------------------

// Three lines for each invocation: written piece by piece, since printf would be a tenth of what a
// warm invocation costs the server.
static void line_begin(struct buf *line)
{
    buf_init(line, 2048);
    buf_reserve(line, 320);
}

static void line_end(struct environment *env, struct buf *line)
{
    output_add(env, os_now_ms(), buf_str(line));
    buf_finish(line);
}

static void line_ms(struct buf *line, const char *name, double ms)
{
    buf_add(line, str_from(name));
    buf_add_decimal(line, (uint64_t)llround(ms * 100), 2);
    buf_add(line, STR(" ms\t"));
}

static void line_number(struct buf *line, const char *name, uint64_t value, const char *unit)
{
    buf_add(line, str_from(name));
    buf_add_u64(line, value);
    buf_add(line, str_from(unit));
}

void report_start(struct environment *env, const struct invocation *inv)
{
    const struct function_config *f = env->function;
    struct event e;

    if (!f->log_json) {
        struct buf line;
        line_begin(&line);
        buf_add(&line, STR("START RequestId: "));
        buf_add(&line, inv->request_id);
        buf_add(&line, STR(" Version: "));
        buf_add(&line, f->version);
        line_end(env, &line);
        return;
    }
    if (event_begin(env, &e, "platform.start", FUNCTION_LOG_INFO)) {
        jw_member_str(&e.w, "requestId", inv->request_id);
        jw_member_str(&e.w, "functionArn", inv->invoked_arn);
        jw_member_str(&e.w, "version", f->version);
        event_end(env, &e);
    }
}

static struct str trace_root(struct str trace)
{
    struct str part;

    while (str_next(&trace, ';', &part))
        if (str_starts(part, STR("Root=")))
            return str_slice(part, 5, part.len);
    return STR_NULL;
}

static void text_report(struct environment *env, const struct invocation *inv, const char *status,
                        double ms, double init_ms)
{
    const struct function_config *f = env->function;
    struct buf line;

    line_begin(&line);
    buf_add(&line, STR("END RequestId: "));
    buf_add(&line, inv->request_id);
    line_end(env, &line);

    line_begin(&line);
    buf_add(&line, STR("REPORT RequestId: "));
    buf_add(&line, inv->request_id);
    line_ms(&line, "\tDuration: ", ms);
    line_number(&line, "Billed Duration: ", inv->billed_ms, " ms\t");
    line_number(&line, "Memory Size: ", f->memory_mb, " MB\t");
    line_number(&line, "Max Memory Used: ", inv->memory_peak_mb, " MB\t");
    if (init_ms > 0)
        line_ms(&line, "Init Duration: ", init_ms);
    if (strcmp(status, "timeout") == 0)
        buf_add(&line, STR("Status: timeout\t"));
    else if (strcmp(status, "error") == 0 && str_starts(inv->error_type, STR("Runtime.")))
        buf_addf(&line, "Status: error\tError Type: %.*s\t", STR_ARG(inv->error_type));
    if (f->tracing_active)
        buf_addf(&line, "XRAY TraceId: %.*s\tSampled: true\t", STR_ARG(trace_root(inv->trace_id)));
    line_end(env, &line);
}

static void json_report(struct environment *env, const struct invocation *inv, const char *status,
                        double ms, double init_ms)
{
    bool fine = strcmp(status, "success") == 0;
    struct event e;

    if (event_begin(env, &e, "platform.runtimeDone",
                    fine ? FUNCTION_LOG_DEBUG : FUNCTION_LOG_WARN)) {
        jw_member_str(&e.w, "requestId", inv->request_id);
        jw_member_str(&e.w, "status", str_from(status));
        if (!fine && inv->error_type.len > 0)
            jw_member_str(&e.w, "errorType", inv->error_type);
        jw_key(&e.w, STR("metrics"));
        jw_object_begin(&e.w);
        member_ms(&e.w, "durationMs", ms);
        jw_member_i64(&e.w, "producedBytes", (int64_t)inv->response.len);
        jw_object_end(&e.w);
        event_end(env, &e);
    }
    if (!event_begin(env, &e, "platform.report", fine ? FUNCTION_LOG_INFO : FUNCTION_LOG_WARN))
        return;
    jw_member_str(&e.w, "requestId", inv->request_id);
    jw_key(&e.w, STR("metrics"));
    jw_object_begin(&e.w);
    member_ms(&e.w, "durationMs", ms);
    jw_member_i64(&e.w, "billedDurationMs", (int64_t)inv->billed_ms);
    jw_member_i64(&e.w, "memorySizeMB", env->function->memory_mb);
    jw_member_i64(&e.w, "maxMemoryUsedMB", inv->memory_peak_mb);
    if (init_ms > 0)
        member_ms(&e.w, "initDurationMs", init_ms);
    jw_object_end(&e.w);
    if (env->function->tracing_active) {
        jw_key(&e.w, STR("tracing"));
        jw_object_begin(&e.w);
        jw_member_str(&e.w, "type", STR("X-Amzn-Trace-Id"));
        jw_member_str(&e.w, "value", inv->trace_id);
        jw_object_end(&e.w);
    }
    jw_member_str(&e.w, "status", str_from(status));
    if (!fine && inv->error_type.len > 0)
        jw_member_str(&e.w, "errorType", inv->error_type);
    event_end(env, &e);
}

void report_end(struct environment *env, struct invocation *inv, const char *status)
{
    double ms = ms_of(inv), init_ms = 0;

    // INIT is told once, by the first invocation, unless nobody waited for it.
    if (!env->init_told && !env->provisioned && env->init_us > 0 && !env->retry)
        init_ms = env->init_us / 1000.0;
    env->init_told = true;
    inv->billed_ms = (uint64_t)ceil(ms + init_ms);
    if (inv->billed_ms == 0)
        inv->billed_ms = 1;
    if (env->function->log_json)
        json_report(env, inv, status, ms, init_ms);
    else
        text_report(env, inv, status, ms, init_ms);
}
