// environment_end.c - how environments end: told to, by themselves, or with the keeper.
//
// The states are environment.c's. Whatever an environment held when it ended is passed on: its
// invocation is answered with AWS's error for that kind of end, its place in the pool is given up.

#include "runtime/runtime_impl.h"

#include "os/log.h"
#include "runtime/telemetry.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define TELL_FIRST_MS 300 // how long SHUTDOWN waits for telemetry to be taken

void environment_kill(struct environment *env)
{
    if (env->state == ENV_SHUTDOWN)
        return;
    env->state = ENV_SHUTDOWN;
    env->shutdown_reason = NULL;
    telemetry_free(env);
    if (env->pool) {
        pool_left(env->pool, env);
        prewarm_over(env, false);
    }
    debugger_close(env);
    control_close(env);
    if (env->started && env->home->keeper_up)
        keeper_kill(env->home->keeper, env->id);
    loop_timer_start(env->home->loop, &env->timer, ENVIRONMENT_STUCK_MS, environment_on_timer);
}

// Out of time, or nobody is left who needs it.
static void end_grace(struct environment *env)
{
    env->graceful = false;
    env->shutdown_reason = NULL;
    env->state = ENV_IDLE; // for kill to act on
    environment_kill(env);
}

// Those who get telemetry have what was gathered, or had their time for it: now they hear of the
// end, and may go.
void environment_told(struct environment *env)
{
    const char *reason = env->shutdown_reason;
    unsigned grace_ms;

    if (env->state != ENV_SHUTDOWN || !reason)
        return;
    env->shutdown_reason = NULL;
    grace_ms = extensions_shutdown(env, reason);
    if (grace_ms == 0) {
        end_grace(env);
        return;
    }
    keeper_signal(env->home->keeper, env->id, 1, SIGTERM);
    loop_timer_start(env->home->loop, &env->timer, grace_ms, environment_on_timer);
}

void environment_shutdown(struct environment *env, const char *reason)
{
    if (env->state == ENV_SHUTDOWN)
        return;
    if (!env->extensions || !env->home->keeper_up || atomic_load(&runtime.stopping)) {
        environment_kill(env);
        return;
    }
    environment_thaw(env);
    env->state = ENV_SHUTDOWN;
    env->graceful = true;
    env->shutdown_reason = reason;
    pool_left(env->pool, env);
    prewarm_over(env, false);
    // The runtime's socket stays open: at its end it would be gone before it hears SIGTERM.
    telemetry_flush(env);
    if (telemetry_busy(env))
        loop_timer_start(env->home->loop, &env->timer, TELL_FIRST_MS, environment_on_timer);
    else
        environment_told(env);
}

void environment_end(struct environment *env)
{
    environment_shutdown(env, "spindown");
}

static void ended_by_itself(struct environment *env, const struct sandbox_exit *e);

static void run_retire(struct loop_task *t)
{
    struct environment *env =
        (struct environment *)(void *)((char *)t - offsetof(struct environment, retire));

    atomic_store(&env->retire_posted, false);
    if (env->dead) {
        environment_free(env);
        return;
    }
    if (env->state == ENV_SPARE)
        return;
    if (env->making) {
        snapshot_abandon(env);
        return;
    }
    if ((env->state == ENV_IDLE || env->state == ENV_FROZEN) && pool_take_idle(env->pool, env))
        environment_end(env);
}

void environment_retire(struct environment *env)
{
    if (atomic_exchange(&env->retire_posted, true))
        return;
    env->retire.run = run_retire;
    loop_post(env->home->loop, &env->retire);
}

void environment_broken(struct environment *env, const char *why)
{
    struct sandbox_exit e = {.id = env->id, .program = 1, .reason = SANDBOX_EXITED, .status = 1};

    log_warn("%.*s: %s", STR_ARG(env->function ? env->function->arn : STR("a spare")), why);
    ended_by_itself(env, &e);
}

// "exit status 1", "signal: killed"
static void say_exit(const struct sandbox_exit *e, char *to, size_t room)
{
    const char *name;

    switch (e->reason) {
    case SANDBOX_EXITED:
        if (e->status == 0)
            snprintf(to, room, "Runtime exited without providing a reason");
        else
            snprintf(to, room, "Runtime exited with error: exit status %d", e->status);
        return;
    case SANDBOX_SIGNALLED:
        name = strsignal(e->status);
        snprintf(to, room, "Runtime exited with error: signal: %s", name ? name : "unknown");
        for (char *c = to + 30; *c; c++)
            if (*c >= 'A' && *c <= 'Z')
                *c = (char)(*c + 32);
        return;
    case SANDBOX_OOM:
        snprintf(to, room, "Runtime exited with error: signal: killed");
        return;
    case SANDBOX_FAILED:
        snprintf(to, room, "%s: %s", e->what[0] ? e->what : "exec", strerror(e->status));
        return;
    case SANDBOX_KILLED:
    case SANDBOX_LOST:
        break;
    }
    snprintf(to, room, "Runtime exited with error: signal: killed");
}

static const char *exit_type(const struct sandbox_exit *e)
{
    if (e->reason == SANDBOX_OOM || (e->reason == SANDBOX_SIGNALLED && e->oom_kills > 0))
        return "Runtime.OutOfMemory";
    if (e->reason == SANDBOX_FAILED)
        return "Runtime.InvalidEntrypoint";
    return "Runtime.ExitError";
}

static void crashed_in_init(struct environment *env, const struct sandbox_exit *e)
{
    char text[256], body[512];
    const char *type = exit_type(e);

    if (e->reason == SANDBOX_LOST) {
        struct err err = ERR_INIT;
        err_set(&err, -EPIPE, "the keeper has gone");
        environment_start_failed(env, &err);
        environment_kill(env);
        return;
    }
    say_exit(e, text, sizeof(text));
    // %s stays in: the request id is put there, when there is one
    snprintf(body, sizeof(body),
             "{\"errorType\":\"%s\",\"errorMessage\":\"RequestId: %%s Error: %s\"}", type, text);
    environment_init_failed(env, str_from(type), str_from(body));
}

static void crashed_in_restore(struct environment *env, const struct sandbox_exit *e)
{
    char text[256], body[512];

    say_exit(e, text, sizeof(text));
    snprintf(body, sizeof(body), "{\"errorType\":\"%s\",\"errorMessage\":\"%s\"}", exit_type(e),
             text);
    environment_restore_failed(env, str_from(exit_type(e)), str_from(body));
}

static void crashed_busy(struct environment *env, const struct sandbox_exit *e)
{
    struct invocation *inv = env->inv;
    struct err err = ERR_INIT;
    char text[256];

    if (inv && e->reason == SANDBOX_LOST) {
        err_aws(&err, &runtime_service_exception, "The execution environment was lost.");
        inv->status = INVOCATION_FAILED;
        inv->err = err;
        environment_close_books(env, inv, "error");
    } else if (inv) {
        say_exit(e, text, sizeof(text));
        invocation_set_error(inv, exit_type(e), "RequestId: %.*s Error: %s",
                             STR_ARG(inv->request_id), text);
        output_drain(env);
        output_end_line(env);
        report_fault(env, "RequestId: %.*s Error: %s\n%s", STR_ARG(inv->request_id), text,
                     exit_type(e));
        output_addf(env, "RequestId: %.*s Error: %s", STR_ARG(inv->request_id), text);
        output_addf(env, "%s", exit_type(e));
        environment_close_books(env, inv, "error");
    }
    env->inv = NULL;
    pool_ended(env->pool, INVOCATION_WHY_FAILED);
    environment_shutdown(env, "failure");
    pool_lost_busy(env->pool);
    if (inv)
        invocation_complete(inv);
}

// The main program ended, or the sandbox did without our asking for it.
static void ended_by_itself(struct environment *env, const struct sandbox_exit *e)
{
    struct err err = ERR_INIT;

    switch (env->state) {
    case ENV_SHUTDOWN:
        return;
    case ENV_BINDING:
        err_set(&err, -EIO, "the sandbox ended");
        environment_start_instead(env, &err);
        return;
    case ENV_STARTING:
        err_set(&err, -EIO, "the sandbox ended while it started: %s", e->what);
        environment_start_failed(env, &err);
        environment_kill(env);
        return;
    case ENV_SPARE:
        if (e->reason == SANDBOX_LOST && env->home->spare_failures > 0)
            env->home->spare_failures--; // not its own fault
        spare_failed(env);
        environment_kill(env);
        return;
    case ENV_INIT:
        crashed_in_init(env, e);
        return;
    case ENV_RESTORING:
        crashed_in_restore(env, e);
        return;
    case ENV_BUSY:
        crashed_busy(env, e);
        return;
    case ENV_IDLE:
    case ENV_FROZEN:
        if (pool_take_idle(env->pool, env)) {
            pool_ended(env->pool, INVOCATION_WHY_FAILED);
            environment_kill(env);
            snapshots_soon(env->home);
        } else {
            environment_kill(env); // work is on its way: run_assign passes it on
        }
        return;
    }
}

// An extension's end is the environment's: Extension.Crash for whoever is there.
static void extension_crashed(struct environment *env, const struct sandbox_exit *e,
                              const char *name)
{
    struct invocation *inv = env->inv;
    char text[256], body[640];

    say_exit(e, text, sizeof(text));
    snprintf(body, sizeof(body),
             "{\"errorType\":\"Extension.Crash\",\"errorMessage\":\"RequestId: %%s Error: exit "
             "code of extension %s: %s\"}",
             name, text);
    switch (env->state) {
    case ENV_INIT:
        environment_init_failed(env, STR("Extension.Crash"), str_from(body));
        return;
    case ENV_RESTORING:
        environment_restore_failed(env, STR("Extension.Crash"), str_from(body));
        return;
    case ENV_BUSY:
        if (inv) {
            invocation_set_error(inv, "Extension.Crash", "RequestId: %.*s Error: extension %s: %s",
                                 STR_ARG(inv->request_id), name, text);
            environment_close_books(env, inv, "error");
        }
        env->inv = NULL;
        environment_shutdown(env, "failure");
        pool_lost_busy(env->pool);
        if (inv)
            invocation_complete(inv);
        return;
    case ENV_IDLE:
    case ENV_FROZEN:
        if (pool_take_idle(env->pool, env))
            environment_shutdown(env, "failure");
        else
            environment_kill(env);
        return;
    case ENV_STARTING:
    case ENV_SPARE:
    case ENV_BINDING:
    case ENV_SHUTDOWN:
        return;
    }
}

void environment_exited(void *ctx, const struct sandbox_exit *e)
{
    struct environment *env = home_find(ctx, e->id);
    char name[128] = "";

    if (!env)
        return;
    if (e->peak_memory_bytes > env->peak_bytes)
        env->peak_bytes = e->peak_memory_bytes;
    if (env->state == ENV_SHUTDOWN && env->graceful && e->program != 0) {
        extensions_exited(env, e->program, name);
        if (extensions_all_exited(env))
            environment_on_timer(&env->timer); // nobody is left who needs the time
        return;
    }
    if (e->program > 1) {
        if (extensions_exited(env, e->program, name))
            extension_crashed(env, e, name);
        return;
    }
    if (env->state != ENV_SHUTDOWN && env->started) {
        uint64_t id = env->id;
        control_resume(env); // what it said last
        env = home_find(ctx, id);
        if (!env)
            return;
        output_drain(env);
    }
    ended_by_itself(env, e);
    if (e->program == 0)
        environment_free(env);
}

void environment_keeper_lost(void *ctx)
{
    struct home *h = ctx;

    h->keeper_up = false;
    atomic_store(&runtime.keeper_up, false);
    log_warn("the keeper has gone; its sandboxes have gone with it");
}
