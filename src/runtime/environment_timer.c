// environment_timer.c - what happens to an environment when nothing happens: it goes idle, is
// frozen, ends after a while; or a time limit passes.
//
// The states are environment.c's. One timer serves them all: what its end means depends on the
// state.

#include "runtime/runtime_impl.h"

#include "base/timefmt.h"
#include "os/log.h"

#include <errno.h>

void environment_timer_start(struct environment *env, int64_t ms)
{
    loop_timer_start(env->home->loop, &env->timer, ms, environment_on_timer);
}

// ---- idle --------------------------------------------------------------------------------------

void environment_go_idle(struct environment *env)
{
    env->state = ENV_IDLE;
    environment_timer_start(env, runtime.config.freeze_after_ms == UINT32_MAX
                                     ? prewarm_idle_ms(env)
                                     : runtime.config.freeze_after_ms);
}

// Those that wait to be restored are not among the pool's idle ones.
static void count_frozen(struct environment *env, bool frozen)
{
    if (!env->unrestored)
        pool_set_frozen(env->pool, frozen);
}

void environment_thaw(struct environment *env)
{
    if (!env->frozen)
        return;
    int r = env->sandbox.freezer_fd >= 0 ? sandbox_thaw(env->sandbox.freezer_fd) : -EOPNOTSUPP;

    if (r < 0)
        keeper_thaw(env->home->keeper, env->id);
    env->frozen = false;
    count_frozen(env, false);
}

static void freeze(struct environment *env)
{
    int r = env->sandbox.freezer_fd >= 0 ? sandbox_freeze(env->sandbox.freezer_fd) : -EOPNOTSUPP;

    if (r < 0)
        keeper_freeze(env->home->keeper, env->id);
    env->frozen = true;
    env->state = ENV_FROZEN;
    count_frozen(env, true);
}

// How much longer it may be idle.
static int64_t after_freezing_ms(const struct environment *env)
{
    int64_t idle_ms = prewarm_idle_ms(env);

    if (env->prewarm_until_ns == 0)
        idle_ms -= runtime.config.freeze_after_ms;
    return idle_ms > 0 ? idle_ms : 1;
}

static void idle_too_long(struct environment *env)
{
    if (!pool_may_end(env->pool, env)) {
        environment_timer_start(env, runtime.config.idle_after_ms);
        return;
    }
    if (pool_take_idle(env->pool, env)) {
        pool_ended(env->pool, INVOCATION_WHY_IDLE);
        environment_end(env);
    }
}

static void timed_out(struct environment *env)
{
    struct invocation *inv = env->inv;
    char now[TIMEFMT_BYTES];
    double seconds = env->function->timeout_ms / 1000.0;

    if (!inv) { // answered, and never asked for the next one
        pool_lost_busy(env->pool);
        environment_shutdown(env, "timeout");
        return;
    }
    output_drain(env);
    output_end_line(env);
    output_addf(env, "%.*s %.*s Task timed out after %.2f seconds",
                STR_ARG(timefmt_iso(os_now_ms(), now)), STR_ARG(inv->request_id), seconds);
    report_fault(env, "RequestId: %.*s Error: Task timed out after %.2f seconds",
                 STR_ARG(inv->request_id), seconds);
    invocation_set_error(inv, "Sandbox.Timedout",
                         "RequestId: %.*s Error: Task timed out after %.2f seconds",
                         STR_ARG(inv->request_id), seconds);
    environment_close_books(env, inv, "timeout");
    env->inv = NULL;
    pool_ended(env->pool, INVOCATION_WHY_FAILED);
    environment_shutdown(env, "timeout");
    pool_lost_busy(env->pool);
    invocation_complete(inv);
}

void environment_on_timer(struct loop_timer *t)
{
    struct environment *env =
        (struct environment *)(void *)((char *)t - offsetof(struct environment, timer));

    switch (env->state) {
    case ENV_INIT:
        environment_init_failed(env, STR("Sandbox.Timedout"), STR(""));
        break;
    case ENV_BUSY:
        timed_out(env);
        break;
    case ENV_RESTORING:
        environment_restore_failed(env, STR("Sandbox.Timedout"), STR(""));
        break;
    case ENV_IDLE:
        if (env->incoming)
            break;
        if (runtime.config.freeze_after_ms == UINT32_MAX) {
            idle_too_long(env);
            break;
        }
        freeze(env);
        environment_timer_start(env, after_freezing_ms(env));
        break;
    case ENV_FROZEN:
        if (!env->incoming)
            idle_too_long(env);
        break;
    case ENV_SHUTDOWN:
        if (env->shutdown_reason) {
            environment_told(env);
            break;
        }
        if (env->graceful) {
            env->graceful = false;
            env->state = ENV_IDLE; // for kill to act on
            environment_kill(env);
            break;
        }
        log_warn("sandbox %llx does not end", (unsigned long long)env->id);
        keeper_kill(env->home->keeper, env->id);
        environment_timer_start(env, ENVIRONMENT_STUCK_MS);
        break;
    case ENV_STARTING:
    case ENV_BINDING:
        break;
    case ENV_SPARE:
        if (!list_linked(&env->link)) { // it does not get warm
            spare_failed(env);
            environment_kill(env);
        }
        break;
    }
}
