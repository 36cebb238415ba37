// environment.c - the life of an execution environment.
//
//            environment_start                     environment_bind
//   (none) ───────────────────▶ STARTING ──▶ SPARE ───────────────▶ BINDING
//                                  │  on_started                       │ on_bound
//                                  ▼                                   ▼
//                                INIT ◀───────── begin_init ───────────┘
//                                  │ environment_initialised
//            environment_assign    ▼    environment_next
//        ┌────────────────────── IDLE ◀────────────────────┐
//        ▼      (thaws)          │  ▲                       │
//      BUSY ─────────────────────┼──┼───────────────────────┘
//        ▲ environment_restored  │  │
//        └── RESTORING ◀─────────┼──┘ environment_restore: with SnapStart, before the first BUSY
//        │                       ▼  │ environment_assign
//        │ timeout, exit       FROZEN       (on_idle freezes)
//        ▼                       │ on_frozen_long
//     SHUTDOWN ◀─────────────────┘ environment_end, environment_kill; from any state
//        │ environment_exited (program 0)
//        ▼
//     (freed)
//
// Invariants: an environment lives on one loop. It holds at most one invocation (env->inv), and
// whoever takes that away completes it. It is freed only after the keeper said that its sandbox is
// gone (or never was), and not while a task of it is posted (incoming, retire_posted: then `dead`
// is set and the task frees it). The keeper's callbacks name environments by id.

#include "runtime/runtime_impl.h"

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/timefmt.h"
#include "os/fd.h"
#include "os/log.h"
#include "os/random.h"
#include "runtime/telemetry.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PEAK_EVERY_NS 100000000 // memory is looked at this often at most, and at the end

#define WARM_UP_MS 60000 // for a spare that says itself when it is ready

static void begin_init(struct environment *env);

// ---- the table of a loop -----------------------------------------------------------------------

struct environment *home_find(struct home *h, uint64_t id)
{
    unsigned slot = (unsigned)(id & 0xffff);

    if (slot >= h->n_slots || !h->slots[slot] || h->slots[slot]->id != id)
        return NULL;
    return h->slots[slot];
}

static bool take_slot(struct home *h, struct environment *env)
{
    struct environment **more;
    unsigned n;

    for (unsigned i = 0; i < h->n_slots; i++) {
        unsigned at = (h->free_hint + i) % h->n_slots;
        if (!h->slots[at]) {
            h->free_hint = at + 1;
            h->slots[at] = env;
            env->id = (++h->next_id << 20) | (h->index << 16) | at;
            return true;
        }
    }
    n = h->n_slots == 0 ? 16 : h->n_slots * 2;
    if (n > 0x10000)
        return false;
    more = realloc(h->slots, n * sizeof(struct environment *));
    if (!more)
        return false;
    memset(more + h->n_slots, 0, (n - h->n_slots) * sizeof(struct environment *));
    h->slots = more;
    h->free_hint = h->n_slots;
    h->n_slots = n;
    return take_slot(h, env);
}

void environment_count_memory(struct environment *env, int mb)
{
    atomic_fetch_add(&runtime.memory_mb, mb - env->counted_mb);
    env->counted_mb = mb;
}

// The sandbox is gone, or there never was one.
void environment_free(struct environment *env)
{
    struct home *h = env->home;

    if (env->incoming || atomic_load(&env->retire_posted)) {
        env->dead = true; // the task that is on its way frees it
        return;
    }
    snapshot_failed(env, STR_NULL, STR_NULL); // killed before its INIT was over
    if (env->frozen && !env->unrestored)
        pool_set_frozen(env->pool, false);
    loop_timer_stop(h->loop, &env->timer);
    debugger_close(env);
    telemetry_free(env);
    output_close(env);
    control_close(env);
    runtime_api_close(env);
    extensions_free(env);
    output_forget(env);
    closep(&env->sandbox.control_fd);
    closep(&env->sandbox.output_fd);
    closep(&env->sandbox.runtime_api_fd);
    closep(&env->sandbox.endpoint_fd);
    closep(&env->sandbox.memory_fd);
    closep(&env->sandbox.freezer_fd);
    closep(&env->sandbox.tmp_fd);
    if (env->credentials && runtime.credentials.release)
        runtime.credentials.release(runtime.credentials.ctx, str_from(env->name));
    free(env->credentials);
    environment_count_memory(env, 0);
    h->slots[env->id & 0xffff] = NULL;
    h->n_environments--;
    atomic_fetch_sub(&runtime.environments, 1);
    buf_finish(&env->out);
    buf_finish(&env->tail);
    buf_finish(&env->init_error);
    free(env->in_body);
    function_config_unref(env->function);
    free(env);
}

// ---- starting ----------------------------------------------------------------------------------

static void name_it(struct environment *env)
{
    uint8_t random[16];
    char date[TIMEFMT_BYTES];

    os_random(random, sizeof(random));
    for (unsigned i = 0; i < 16; i++)
        snprintf(env->name + 2 * i, 3, "%02x", random[i]);
    if (env->function)
        snprintf(env->stream, sizeof(env->stream), "%.*s/[%.*s]%s",
                 STR_ARG(timefmt_ymd(os_now_ms(), date)), STR_ARG(env->function->version),
                 env->name);
}

// Nothing runs yet, or what runs is of no use: whoever waited for it learns why.
void environment_start_failed(struct environment *env, const struct err *err)
{
    struct err out = ERR_INIT;

    log_warn("an environment did not start: %s", err->message);
    snapshot_failed(env, STR_NULL, STR_NULL);
    err_aws(&out, &runtime_service_exception, "The execution environment could not be started.");
    if (!env->pool) {
        spare_failed(env);
    } else if (env->retry && env->inv) {
        struct invocation *inv = env->inv;
        env->inv = NULL;
        pool_lost_busy(env->pool);
        invocation_fail(inv, &out);
    } else {
        pool_start_failed(env->pool, env->provisioned, &out);
    }
}

static void on_started(void *ctx, uint64_t id, int r, struct sandbox_started *started,
                       const struct err *err);
static void on_bound(void *ctx, uint64_t id, int r, uint32_t program, const struct err *err);

// A spare that cannot become the function's is no reason to fail: its place in the pool goes to a
// sandbox that is started for the purpose.
void environment_start_instead(struct environment *env, const struct err *err)
{
    struct home *h = env->home;

    if (err->code == -ESTALE)
        spares_outdated(h, env->kind);
    log_info("a spare is not used, a sandbox is started instead: %s", err->message);
    environment_kill(env);
    environment_start(h, env->pool, env->function, env->kind, NULL, ENV_FOR_CALLS);
}

void environment_start(struct home *h, struct pool *p, struct function_config *f, unsigned kind,
                       struct invocation *retry, enum environment_purpose purpose)
{
    struct environment *env = calloc(1, sizeof(*env));
    struct sandbox_spec spec;
    struct arena arena;
    struct err err = ERR_INIT, out = ERR_INIT;
    int r;

    if (!env || !take_slot(h, env)) {
        free(env);
        err_aws(&out, &runtime_service_exception, "Too many execution environments.");
        if (retry) {
            pool_lost_busy(p);
            invocation_fail(retry, &out);
        } else if (p) {
            pool_start_failed(p, purpose == ENV_FOR_PROVISIONED, &out);
        }
        return;
    }
    env->home = h;
    env->kind = kind;
    env->output.fd = -1;
    env->interpreter = kind_interpreter(kind);
    env->pool = p;
    env->function = f ? function_config_ref(f) : NULL;
    env->generic = p == NULL;
    env->retry = retry != NULL;
    env->inv = retry;
    env->provisioned = purpose == ENV_FOR_PROVISIONED;
    env->why = p ? pool_why(p) : INVOCATION_WHY_NONE;
    env->sandbox = SANDBOX_STARTED_NOTHING;
    env->begun_ns = os_mono_ns();
    buf_init(&env->out, 64 << 20);
    buf_init(&env->tail, 4 * INVOCATION_TAIL_BYTES);
    buf_init(&env->init_error, 1 << 20);
    h->n_environments++;
    atomic_fetch_add(&runtime.environments, 1);
    environment_count_memory(env, ENVIRONMENT_GUESS_MB);
    name_it(env);
    if (purpose == ENV_FOR_PREWARM)
        prewarm_begun(env);
    if (purpose == ENV_FOR_SNAPSHOT)
        snapshot_begun(env);

    arena_init(&arena, 8 << 20);
    r = environment_spec_start(env, &arena, &spec, &err);
    if (r == 0 && (!h->keeper || !h->keeper_up))
        r = err_set(&err, -ENOTCONN, "the keeper is not there");
    if (r == 0)
        r = keeper_start(h->keeper, &spec, on_started, h, &err);
    arena_finish(&arena);
    if (r < 0) {
        environment_start_failed(env, &err);
        environment_free(env);
    }
}

static void on_started(void *ctx, uint64_t id, int r, struct sandbox_started *started,
                       const struct err *err)
{
    struct home *h = ctx;
    struct environment *env = home_find(h, id);
    struct err why = ERR_INIT;

    if (!env) {
        if (r == 0) {
            sandbox_started_finish(started);
            keeper_kill(h->keeper, id);
        }
        return;
    }
    if (r < 0) {
        if (env->state != ENV_SHUTDOWN)
            environment_start_failed(env, err);
        environment_free(env);
        return;
    }
    env->sandbox = *started;
    *started = SANDBOX_STARTED_NOTHING;
    env->started = true;
    env->sandbox_ns = os_mono_ns();
    env->environment_us = (unsigned)((env->sandbox_ns - env->begun_ns) / 1000);
    if (env->state == ENV_SHUTDOWN) {
        keeper_kill(h->keeper, id);
        return;
    }
    if (output_open(env, &why) < 0 || runtime_api_open(env, &why) < 0 ||
        (env->sandbox.control_fd >= 0 && control_open(env, &why) < 0)) {
        environment_start_failed(env, &why);
        environment_kill(env);
        return;
    }
    if (env->generic) {
        env->state = ENV_SPARE;
        if (kind_warms_up(env->kind))
            environment_timer_start(env, WARM_UP_MS); // its frame WARM ends that
        else
            spare_ready(env);
        return;
    }
    if (extensions_start(env, &why) < 0) {
        environment_start_failed(env, &why);
        environment_kill(env);
        return;
    }
    begin_init(env);
}

void environment_bind(struct environment *env, struct pool *p, struct function_config *f)
{
    struct home *h = env->home;
    struct sandbox_program program;
    struct sandbox_binding binding;
    struct arena arena;
    struct err err = ERR_INIT;
    int r;

    env->pool = p;
    env->why = pool_why(p);
    env->function = function_config_ref(f);
    env->begun_ns = os_mono_ns();
    env->state = ENV_BINDING;
    name_it(env);
    arena_init(&arena, 8 << 20);
    r = environment_spec_bind(env, &arena, &binding, &program, &err);
    if (r == 0)
        r = keeper_inject(h->keeper, env->id, &binding, &program, on_bound, h, &err);
    arena_finish(&arena);
    if (r < 0)
        environment_start_instead(env, &err);
}

static void on_bound(void *ctx, uint64_t id, int r, uint32_t program, const struct err *err)
{
    struct environment *env = home_find(ctx, id);

    (void)program;
    if (!env || env->state != ENV_BINDING)
        return;
    if (r < 0) {
        environment_start_instead(env, err);
        return;
    }
    env->bound_ns = os_mono_ns();
    // The program of a custom runtime was started in the same step: all of it counts as INIT.
    if (env->interpreter)
        env->code_us = (unsigned)((env->bound_ns - env->begun_ns) / 1000);
    begin_init(env);
}

void environment_warm(struct environment *env)
{
    if (env->state != ENV_SPARE || list_linked(&env->link))
        return;
    loop_timer_stop(env->home->loop, &env->timer);
    spare_ready(env);
}

// ---- INIT --------------------------------------------------------------------------------------

static void send_init(struct environment *env)
{
    struct err err = ERR_INIT;
    struct buf frame;

    env->init_sent = true;
    buf_init(&frame, 1 << 20);
    if (environment_init_frame(env, &frame, &err) < 0)
        environment_broken(env, err.message);
    else
        control_send(env, buf_str(&frame));
    buf_finish(&frame);
}

// An extension registered, asked for its next event, or ended.
void environment_extensions_moved(struct environment *env)
{
    if (env->state == ENV_INIT) {
        if (env->interpreter && !env->init_sent && extensions_registered(env))
            send_init(env);
        else if (env->runtime_ready)
            environment_initialised(env);
    } else if (env->state == ENV_BUSY && env->runtime_ready) {
        environment_next(env);
    }
}

// False: nobody can listen there, and INIT has failed.
static bool debug(struct environment *env)
{
    struct err err = ERR_INIT;
    char body[ERR_MESSAGE_BYTES + 128];

    if (debugger_open(env, &env->debug_inside, &err) == 0)
        return true;
    snprintf(
        body, sizeof(body),
        "{\"errorType\":\"Debugger.PortNotFree\",\"errorMessage\":\"RequestId: %%s Error: cannot "
        "%s\"}",
        err.message);
    environment_init_failed(env, STR("Debugger.PortNotFree"), str_from(body));
    return false;
}

static void begin_init(struct environment *env)
{
    int64_t limit_ms = runtime.config.init_timeout_ms;

    env->state = ENV_INIT;
    // AWS: 130 seconds, or the function's timeout if that is longer.
    if (env->function->snap_start) {
        limit_ms *= 13;
        if (limit_ms < env->function->timeout_ms)
            limit_ms = env->function->timeout_ms;
    }
    // The program of a custom spare runs since INJECT was asked for.
    env->ready_ns = env->generic && !env->interpreter ? env->begun_ns : os_mono_ns();
    telemetry_begin(env);
    report_init_start(env);
    if (env->retry) {
        limit_ms = env->function->timeout_ms;
        report_start(env, env->inv);
        env->inv->deadline_ms = os_now_ms() + limit_ms;
    }
    if (env->function->debug_port) {
        if (!debug(env))
            return;
    } else {
        environment_timer_start(env, limit_ms);
    }
    if (env->function->bootstrap_missing) {
        environment_init_failed(
            env, STR("Runtime.InvalidEntrypoint"),
            STR("{\"errorType\":\"Runtime.InvalidEntrypoint\",\"errorMessage\":\"RequestId: %s "
                "Error: Couldn't find valid bootstrap(s): [/var/task/bootstrap "
                "/opt/bootstrap]\"}"));
        return;
    }
    if (env->interpreter && extensions_registered(env))
        send_init(env);
    // A custom runtime says by its first `next` that it is ready; a spare's may have come before we
    // heard that its program runs.
    else if (!env->interpreter && env->next_req)
        environment_initialised(env);
}

void environment_initialised(struct environment *env)
{
    struct invocation *inv = env->inv;

    if (env->state != ENV_INIT)
        return;
    env->runtime_ready = true;
    if (!extensions_ready(env))
        return;
    env->init_us = (unsigned)((os_mono_ns() - env->ready_ns) / 1000);
    loop_timer_stop(env->home->loop, &env->timer);
    keeper_settle(env->home->keeper, env->id);
    report_init_done(env, "success", NULL);
    telemetry_close(env);
    if (env->function->snap_start)
        snapshot_taken(env);
    if (env->retry) {
        env->inv = NULL;
        env->retry = false;
        environment_invoke(env, inv);
        return;
    }
    inv = pool_ready(env->pool, env);
    if (inv)
        environment_invoke(env, inv);
    else
        environment_go_idle(env);
}

void environment_init_failed(struct environment *env, struct str type, struct str body)
{
    struct invocation *inv;
    struct home *h = env->home;
    bool timed_out = str_eq(type, STR("Sandbox.Timedout"));

    if (env->state != ENV_INIT)
        return;
    env->init_us = (unsigned)((os_mono_ns() - env->ready_ns) / 1000);
    snprintf(env->init_error_type, sizeof(env->init_error_type), "%.*s", STR_ARG(type));
    report_init_done(env, timed_out ? "timeout" : "error", env->init_error_type);
    snapshot_failed(env, type, body);
    if (!env->retry) {
        inv = pool_init_failed(env->pool, env);
        environment_kill(env);
        // AWS's second chance: INIT again, inside the first invocation and under its time limit.
        if (inv)
            environment_start(h, env->pool, env->function, runtime_kind(env->function), inv,
                              ENV_FOR_CALLS);
        if (env->provisioned)
            pool_provision_more(env->pool);
        return;
    }
    inv = env->inv;
    env->inv = NULL;
    inv->sent_ns = (uint64_t)env->ready_ns;
    inv->answered_ns = (uint64_t)os_mono_ns();
    inv->start = INVOCATION_COLD;
    inv->why = env->why;
    inv->times.init_us = env->init_us;
    inv->times.environment_us = env->environment_us;
    invocation_set_error(inv, env->init_error_type, "RequestId: %.*s Error: Initialization failed.",
                         STR_ARG(inv->request_id));
    if (timed_out) {
        invocation_set_error(inv, "Sandbox.Timedout",
                             "RequestId: %.*s Error: Task timed out after %.2f seconds",
                             STR_ARG(inv->request_id), env->function->timeout_ms / 1000.0);
    } else if (body.len > 0) {
        ptrdiff_t id = str_find(body, STR("RequestId: %s"));
        buf_reset(&inv->response_buf);
        if (id >= 0) { // our own text, with the place for the request id
            buf_add(&inv->response_buf, str_slice(body, 0, (size_t)id + 11));
            buf_add(&inv->response_buf, inv->request_id);
            buf_add(&inv->response_buf, str_slice(body, (size_t)id + 13, body.len));
        } else {
            buf_finish(&inv->response_buf);
            buf_init(&inv->response_buf, FUNCTION_MAX_RESPONSE_BYTES);
            buf_add(&inv->response_buf, body);
        }
        inv->response = buf_str(&inv->response_buf);
    }
    report_end(env, inv, timed_out ? "timeout" : "error");
    output_flush(env);
    environment_kill(env);
    pool_lost_busy(env->pool);
    invocation_complete(inv);
}

// ---- INVOKE ------------------------------------------------------------------------------------

static void run_assign(struct loop_task *t)
{
    struct environment *env =
        (struct environment *)(void *)((char *)t - offsetof(struct environment, assign));
    struct invocation *inv = env->assigned;

    env->incoming = false;
    env->assigned = NULL;
    if (env->dead || (env->state != ENV_IDLE && env->state != ENV_FROZEN)) {
        struct pool *p = env->pool;
        struct home *h = env->home;
        if (env->dead)
            environment_free(env);
        pool_resubmit(h, p, inv);
        return;
    }
    environment_invoke(env, inv);
}

void environment_assign(struct environment *env, struct invocation *inv)
{
    if (env->home->loop == loop_self() && (env->state == ENV_IDLE || env->state == ENV_FROZEN)) {
        environment_invoke(env, inv);
        return;
    }
    env->assigned = inv;
    env->incoming = true;
    env->assign.run = run_assign;
    loop_post(env->home->loop, &env->assign);
}

static void classify(struct environment *env, struct invocation *inv)
{
    int64_t now = os_mono_ns();

    inv->environment_id = env->id;
    inv->provisioned = env->provisioned_up;
    if (env->served == 0 && !env->provisioned && (int64_t)inv->submitted_ns < env->ready_ns) {
        inv->start = env->generic ? INVOCATION_SPARE : INVOCATION_COLD;
        inv->why = env->why;
        inv->times.environment_us = env->generic ? 0 : env->environment_us;
        inv->times.code_us = env->code_us;
        inv->times.init_us = env->init_us;
        if ((int64_t)inv->submitted_ns < env->begun_ns)
            inv->times.queue_us =
                (uint32_t)((uint64_t)(env->begun_ns - (int64_t)inv->submitted_ns) / 1000);
        return;
    }
    inv->start = env->unrestored            ? INVOCATION_RESTORED
                 : env->state == ENV_FROZEN ? INVOCATION_THAWED
                                            : INVOCATION_WARM;
    inv->times.queue_us = (uint32_t)((uint64_t)(now - (int64_t)inv->submitted_ns) / 1000);
    if (inv->waited && !env->unrestored)
        inv->start = INVOCATION_WAITED;
}

void environment_invoke(struct environment *env, struct invocation *inv)
{
    classify(env, inv);
    if (env->unrestored) {
        environment_restore(env, inv);
        return;
    }
    if (env->frozen) {
        int64_t before = os_mono_ns();
        environment_thaw(env);
        inv->times.environment_us = (uint32_t)((os_mono_ns() - before) / 1000);
    }
    environment_hand_over(env, inv);
}

void environment_hand_over(struct environment *env, struct invocation *inv)
{
    int64_t deadline_ms;

    env->state = ENV_BUSY;
    env->inv = inv;
    env->answered = env->streaming = env->runtime_ready = false;
    env->sequence++;
    env->served++;
    env->streamed_bytes = env->first_byte_ns = 0;
    buf_reset(&env->tail);
    prewarm_over(env, env->served == 1 && inv->start < INVOCATION_RESTORED);
    if (inv->deadline_ms == 0) { // else its INIT ran inside it and START is written
        inv->deadline_ms = os_now_ms() + env->function->timeout_ms;
        report_start(env, inv);
    }
    deadline_ms = inv->deadline_ms;
    if (env->function->debug_port)
        deadline_ms = os_now_ms() + 24 * 3600 * 1000;
    else
        environment_timer_start(env, env->function->timeout_ms);
    inv->sent_ns = (uint64_t)os_mono_ns();
    if (env->extensions)
        extensions_invoke(env, inv, deadline_ms);
    if (env->interpreter)
        control_send_invoke(env, inv, deadline_ms);
    else
        runtime_api_send_invoke(env, inv, deadline_ms);
    loop_expect(env->home->loop, ENVIRONMENT_EXPECT_US);
}

static void look_at_memory(struct environment *env, bool always)
{
    int64_t now = os_mono_ns();
    uint64_t bytes;

    if (env->sandbox.memory_fd < 0 || (!always && now - env->peak_looked_ns < PEAK_EVERY_NS))
        return;
    env->peak_looked_ns = now;
    if (sandbox_memory_peak(env->sandbox.memory_fd, &bytes) == 0 && bytes > env->peak_bytes)
        env->peak_bytes = bytes;
    if (sandbox_tmp_used(env->sandbox.tmp_fd, &bytes) == 0)
        env->tmp_bytes = bytes;
}

// What REPORT tells: without the files at /tmp, which the kernel counts as well. The peak may be of
// a time when there were fewer, so this may be too little, and never more than the limit.
static unsigned reported_memory_mb(const struct environment *env)
{
    uint64_t peak = env->peak_bytes, tmp = env->tmp_bytes < peak ? env->tmp_bytes : peak;
    unsigned mb = (unsigned)((peak - tmp + 1048575) >> 20);

    return mb > env->function->memory_mb ? env->function->memory_mb : mb;
}

void environment_measure(struct environment *env)
{
    look_at_memory(env, true);
    if (env->peak_bytes > 0)
        environment_count_memory(env, (int)((env->peak_bytes + 1048575) >> 20));
}

static void fill_tail(struct environment *env, struct invocation *inv)
{
    struct str tail = buf_str(&env->tail);

    if (!inv->want_tail)
        return;
    if (tail.len > INVOCATION_TAIL_BYTES)
        tail = str_slice(tail, tail.len - INVOCATION_TAIL_BYTES, tail.len);
    inv->tail_mem = malloc(tail.len + 1);
    if (!inv->tail_mem)
        return;
    memcpy(inv->tail_mem, tail.ptr, tail.len);
    inv->log_tail = (struct str){inv->tail_mem, tail.len};
}

// END, REPORT, what the caller sees of it.
void environment_close_books(struct environment *env, struct invocation *inv, const char *status)
{
    output_drain(env);
    output_end_line(env);
    look_at_memory(env, env->served <= 1);
    if (inv->answered_ns == 0)
        inv->answered_ns = (uint64_t)os_mono_ns();
    if (env->peak_bytes > 0)
        environment_count_memory(env, (int)((env->peak_bytes + 1048575) >> 20));
    inv->memory_peak_mb = reported_memory_mb(env);
    report_end(env, inv, status);
    fill_tail(env, inv);
    output_flush(env);
}

void environment_answered(struct environment *env)
{
    struct invocation *inv = env->inv;

    if (!inv || env->answered)
        return;
    inv->answered_ns = (uint64_t)os_mono_ns();
    env->answered = true;
    environment_close_books(env, inv, inv->status == INVOCATION_OK ? "success" : "error");
    env->inv = NULL;
    if (env->leaving) { // it said that its process ends
        environment_kill(env);
        pool_lost_busy(env->pool);
    } else if (env->interpreter && !env->streaming) {
        environment_next(env); // a framed answer says that, too; streams say it themselves
    }
    invocation_complete(inv);
    loop_expect(env->home->loop, ENVIRONMENT_EXPECT_US);
}

void environment_next(struct environment *env)
{
    struct invocation *inv;
    bool end;

    if (env->state == ENV_INIT) {
        environment_initialised(env);
        return;
    }
    if (env->state == ENV_RESTORING) {
        environment_restored(env);
        return;
    }
    if (env->state != ENV_BUSY || !env->answered)
        return;
    env->runtime_ready = true;
    if (!extensions_ready(env))
        return;
    loop_timer_stop(env->home->loop, &env->timer);
    env->state = ENV_IDLE;
    inv = pool_release(env->pool, env, &end);
    if (end)
        environment_end(env);
    else if (inv)
        environment_invoke(env, inv);
    else
        environment_go_idle(env);
}
