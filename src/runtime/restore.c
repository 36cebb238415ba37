// restore.c - SnapStart's last step: an environment whose INIT is done is given its first
// invocation.
//
// The runtime is told (frame RESTORE, or the answer to its GET restore/next), seeds its random
// numbers anew and runs the hooks that the function registered for it, within ten seconds. A
// runtime that asked for an invocation right after INIT has no hooks, and nothing to wait for.
// What goes wrong here is the caller's answer, as an error of Invoke; the environment ends.

#include "runtime/runtime_impl.h"

#include "base/arena.h"
#include "base/json.h"

#include <stdio.h>

static const struct aws_error snap_start = {"SnapStartException", NULL, 400, true};
static const struct aws_error snap_start_timeout = {"SnapStartTimeoutException", NULL, 408, true};

void environment_restore(struct environment *env, struct invocation *inv)
{
    env->restore_ns = os_mono_ns();
    environment_thaw(env);
    env->unrestored = false;
    env->state = ENV_RESTORING;
    env->inv = inv;
    report_restore_start(env);
    loop_timer_start(env->home->loop, &env->timer, runtime.config.init_timeout_ms,
                     environment_on_timer);
    env->restore_sent_ns = os_mono_ns();
    if (env->interpreter) {
        const struct frame_header restore = {.type = FRAME_RESTORE};
        control_send(env, (struct str){(const char *)&restore, sizeof(restore)});
        loop_expect(env->home->loop, ENVIRONMENT_EXPECT_US);
    } else if (env->restore_waits) {
        runtime_api_send_restore(env);
    } else {
        environment_restored(env);
    }
}

static void take_times(struct environment *env)
{
    int64_t now = os_mono_ns();

    env->restore_us = (unsigned)((now - env->restore_ns) / 1000);
    env->restore_billed_us = (unsigned)((now - env->restore_sent_ns) / 1000);
}

void environment_restored(struct environment *env)
{
    struct invocation *inv = env->inv;

    if (env->state != ENV_RESTORING)
        return;
    env->inv = NULL;
    take_times(env);
    loop_timer_stop(env->home->loop, &env->timer);
    output_drain(env);
    report_restore_done(env, "success", NULL, env->restore_us);
    inv->times.environment_us += env->restore_us;
    environment_hand_over(env, inv);
}

// "RuntimeError: boom" of the runtime's JSON; absent when it said nothing of use.
static struct str describe(struct arena *a, struct str body)
{
    const struct json_value *v = NULL;
    struct err err = ERR_INIT;

    if (body.len == 0 || json_parse(a, body, &v, &err) < 0)
        return STR_NULL;
    struct str type = json_get_or(v, "errorType", STR(""));
    struct str message = json_get_or(v, "errorMessage", STR(""));
    if (type.len + message.len == 0)
        return STR_NULL;
    return arena_printf(a, "%.*s%s%.*s", STR_ARG(type), type.len > 0 && message.len > 0 ? ": " : "",
                        STR_ARG(message));
}

void environment_restore_failed(struct environment *env, struct str type, struct str body)
{
    struct invocation *inv = env->inv;
    bool timed_out = str_eq(type, STR("Sandbox.Timedout"));
    struct err err = ERR_INIT;
    struct arena arena;

    if (env->state != ENV_RESTORING)
        return;
    env->inv = NULL;
    take_times(env);
    arena_init(&arena, 1 << 20);
    struct str said = describe(&arena, body);
    err_field(&err, "Type", "User");
    if (timed_out)
        err_aws(&err, &snap_start_timeout,
                "Lambda couldn't restore the snapshot within the timeout limit.");
    else if (str_is_null(said))
        err_aws(&err, &snap_start, "An after-restore hook failed (%.*s).", STR_ARG(type));
    else
        err_aws(&err, &snap_start, "An after-restore hook failed: %.*s",
                (int)(said.len > 300 ? 300 : said.len), said.ptr);
    arena_finish(&arena);
    output_drain(env);
    output_end_line(env);
    snprintf(env->init_error_type, sizeof(env->init_error_type), "%.*s", STR_ARG(type));
    report_restore_done(env, timed_out ? "timeout" : "error", env->init_error_type,
                        env->restore_us);
    output_flush(env);
    environment_shutdown(env, timed_out ? "timeout" : "failure");
    pool_lost_busy(env->pool);
    invocation_fail(inv, &err);
}
