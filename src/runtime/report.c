// report.c - the platform's lines: INIT_START, START, END, REPORT, as AWS writes them.
//
// The same as events, for LogFormat JSON and for telemetry, are platform_events.c's.

#include "runtime/runtime_impl.h"
#include "runtime/telemetry.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static double ms_of(const struct invocation *inv)
{
    if (inv->sent_ns == 0 || inv->answered_ns <= inv->sent_ns)
        return 0;
    return (double)(inv->answered_ns - inv->sent_ns) / 1e6;
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

    say_version(env, version);
    if (!f->log_json)
        output_addf(env,
                    "INIT_START Runtime Version: %s\tRuntime Version ARN: "
                    "arn:aws:lambda:%.*s::runtime:%s",
                    version, STR_ARG(f->region), version);
    platform_init_start(env, version);
    say_when_not_exact(env);
}

void report_init_done(struct environment *env, const char *status, const char *error_type)
{
    bool error = strcmp(status, "error") == 0;

    if (!env->function->log_json && !error_type && env->function->snap_start)
        output_addf(env, "INIT_REPORT Init Duration: %.2f ms",
                    env->init_us / 1000.0); // no REPORT will
    if (!env->function->log_json && error_type)
        output_addf(env, "INIT_REPORT Init Duration: %.2f ms\tPhase: %s\tStatus: %s%s%s",
                    env->init_us / 1000.0, env->retry ? "invoke" : "init", status,
                    error ? "\tError Type: " : "", error ? error_type : "");
    platform_init_done(env, status, error_type);
}

void report_restore_start(struct environment *env)
{
    const struct function_config *f = env->function;
    char version[96];

    say_version(env, version);
    if (!f->log_json)
        output_addf(env,
                    "RESTORE_START Runtime Version: %s\tRuntime Version ARN: "
                    "arn:aws:lambda:%.*s::runtime:%s",
                    version, STR_ARG(f->region), version);
    platform_restore_start(env, version);
}

void report_restore_done(struct environment *env, const char *status, const char *error_type,
                         unsigned restore_us)
{
    double ms = restore_us / 1000.0;

    if (!env->function->log_json && !error_type)
        output_addf(env, "RESTORE_REPORT Restore Duration: %.2f ms", ms);
    else if (!env->function->log_json)
        output_addf(env, "RESTORE_REPORT Restore Duration: %.2f ms\tStatus: %s\tError Type: %s", ms,
                    status, error_type);
    platform_restore_done(env, status, error_type, ms);
}

// ---- extensions --------------------------------------------------------------------------------

void report_extension(struct environment *env, const char *name, const char *state, bool invoke,
                      bool shutdown, const char *error_type)
{
    if (!env->function->log_json)
        output_addf(env, "EXTENSION\tName: %s\tState: %s\tEvents: [%s%s%s]%s%s", name, state,
                    invoke ? "INVOKE" : "", invoke && shutdown ? "," : "",
                    shutdown ? "SHUTDOWN" : "", error_type ? "\tError Type: " : "",
                    error_type ? error_type : "");
    platform_extension(env, name, state, invoke, shutdown, error_type);
}

void report_subscription(struct environment *env, const char *name, unsigned audience,
                         bool logs_api, bool again)
{
    bool platform = audience & (TELEMETRY_PLATFORM | TELEMETRY_LOGS_API);
    bool function = audience & TELEMETRY_FUNCTION, extension = audience & TELEMETRY_EXTENSION;

    if (!env->function->log_json)
        output_addf(env, "%s\tName: %s\tState: %s\tTypes: [%s%s%s%s%s]",
                    logs_api ? "LOGS" : "TELEMETRY", name,
                    again ? "Already subscribed" : "Subscribed", platform ? "Platform" : "",
                    platform && (function || extension) ? ", " : "", function ? "Function" : "",
                    function && extension ? ", " : "", extension ? "Extension" : "");
    platform_subscription(env, name, audience, logs_api, again);
}

void report_fault(struct environment *env, const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    platform_fault(env, str_from(text));
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
    output_add(env, OUTPUT_PLATFORM, os_now_ms(), buf_str(line));
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

    if (!f->log_json) {
        struct buf line;
        line_begin(&line);
        buf_add(&line, STR("START RequestId: "));
        buf_add(&line, inv->request_id);
        buf_add(&line, STR(" Version: "));
        buf_add(&line, f->version);
        line_end(env, &line);
    }
    if (f->log_json || env->telemetry)
        platform_start(env, inv);
}

static struct str trace_root(struct str trace)
{
    struct str part;

    while (str_next(&trace, ';', &part))
        if (str_starts(part, STR("Root=")))
            return str_slice(part, 5, part.len);
    return STR_NULL;
}

static struct report_before before_handler(struct environment *env)
{
    struct report_before b = {0};

    // INIT is told once, by the first invocation, unless nobody waited for it.
    if (!env->init_told && !env->provisioned && !env->function->snap_start && env->init_us > 0 &&
        !env->retry)
        b.init_ms = env->init_us / 1000.0;
    if (!env->init_told && env->restore_us > 0) {
        b.restore_ms = env->restore_us / 1000.0;
        b.restore_billed_ms = (uint64_t)ceil(env->restore_billed_us / 1000.0);
    }
    env->init_told = true;
    return b;
}

static void text_report(struct environment *env, const struct invocation *inv, const char *status,
                        double ms, struct report_before before)
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
    if (before.init_ms > 0)
        line_ms(&line, "Init Duration: ", before.init_ms);
    if (before.restore_ms > 0) {
        line_ms(&line, "Restore Duration: ", before.restore_ms);
        line_number(&line, "Billed Restore Duration: ", before.restore_billed_ms, " ms\t");
    }
    if (strcmp(status, "timeout") == 0)
        buf_add(&line, STR("Status: timeout\t"));
    else if (strcmp(status, "error") == 0 && str_starts(inv->error_type, STR("Runtime.")))
        buf_addf(&line, "Status: error\tError Type: %.*s\t", STR_ARG(inv->error_type));
    if (f->tracing_active)
        buf_addf(&line, "XRAY TraceId: %.*s\tSampled: true\t", STR_ARG(trace_root(inv->trace_id)));
    line_end(env, &line);
}

void report_end(struct environment *env, struct invocation *inv, const char *status)
{
    double ms = ms_of(inv);
    struct report_before before = before_handler(env);

    inv->billed_ms = (uint64_t)ceil(ms + before.init_ms) + before.restore_billed_ms;
    if (inv->billed_ms == 0)
        inv->billed_ms = 1;
    if (!env->function->log_json)
        text_report(env, inv, status, ms, before);
    if (env->function->log_json || env->telemetry)
        platform_report(env, inv, status, ms, before);
}
