// server.c - the server process: unprivileged, everything that answers requests.
//
// The thread that enters here opens all rooms from the ground up, tells main that it is ready, and
// then only waits for main's messages; loops and workers do the work. Everything it listens on and
// its connection to the keeper were inherited; after drop_privileges() it could not open them.
#include "base/cleanup.h"
#include "cli/link.h"
#include "cli/services.h"
#include "cli/settings.h"
#include "cli/verb.h"
#include "engine/engine.h"
#include "http/server.h"
#include "os/fd.h"
#include "os/log.h"
#include "os/loop.h"
#include "os/message.h"
#include "os/time.h"
#include "os/worker.h"
#include "runtime/runtime.h"
#include "services/lambda/lambda.h"
#include "triggers/triggers.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RUNTIME_STOP_MS 3000
#define STOP_OVERTIME_S 8 // after the drain limit: then SIGALRM ends us (main would at 10)

struct server {
    struct config *config;
    struct engine *engine;
    struct http_listener *listeners[2];
    unsigned n_listeners;
    struct http_tls *tls;
    char spool_dir[4200];
};

static int drop_privileges(const struct config *c, struct err *err)
{
    uid_t uid = (uid_t)config_i64(c, "run-uid");
    gid_t gid = (gid_t)config_i64(c, "run-gid");

    if (geteuid() == 0 && uid != 0) {
        if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
            return err_errno(err, errno, "become user %u", uid);
        if (setuid(0) == 0)
            return err_set(err, -EPERM, "root was not given up");
        // setuid took our own /proc entries away from us; nobody else has this uid.
        prctl(PR_SET_DUMPABLE, 1);
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_errno(err, errno, "no_new_privs");
    // After setuid, which clears it.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != (pid_t)config_i64(c, "run-main-pid"))
        return err_set(err, -ESRCH, "main has gone");
    return 0;
}

static void prepare_process(void)
{
    struct rlimit files, no_core = {0, 0};
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN); // main's message stops us
    signal(SIGHUP, SIG_IGN);
    umask(022);
    setrlimit(RLIMIT_CORE, &no_core); // memory holds secrets
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    for (int fd = LINK_FD_MAIN; fd <= LINK_FD_TLS; fd++)
        fd_set_cloexec(fd, true);
}

static int start_engine(struct server *s, struct err *err)
{
    const struct config *c = s->config;

    lambda_set_hot_folders(config_cstr(c, "hot-reload"));
    const struct engine_config config = {
        .data_dir = config_cstr(c, "data-dir"),
        .region = config_cstr(c, "region"),
        .account = config_cstr(c, "account"),
        .root_access_key = config_cstr(c, "access-key"),
        .root_secret = config_cstr(c, "secret-key"),
        .version = LAMBKIN_VERSION,
        .port = (int)config_i64(c, "port"),
        .no_auth = !config_bool(c, "auth"),
        .time_scale = strtod(config_cstr(c, "time-scale"), NULL),
        .services = cli_services,
        .n_services = cli_n_services,
    };

    if (!(config.time_scale > 0 && config.time_scale <= 1))
        return err_set(err, -EINVAL, "time-scale: a number above 0, at most 1");
    return engine_create(&config, &s->engine, err);
}

static int start_runtime(struct server *s, struct err *err)
{
    const struct config *c = s->config;
    int64_t freeze_ms = config_i64(c, "freeze-after"), spares = config_i64(c, "spares");
    const struct runtime_config config = {
        .data_dir = config_cstr(c, "data-dir"),
        .keeper_fd = LINK_FD_KEEPER,
        .account_concurrency = (unsigned)config_i64(c, "concurrency"),
        .freeze_after_ms = freeze_ms == 0 ? UINT32_MAX : (unsigned)freeze_ms,
        .idle_after_ms = (unsigned)config_i64(c, "idle-after"),
        .init_timeout_ms = (unsigned)config_i64(c, "init-timeout"),
        .outbound = config_cstr(c, "outbound-networks"),
        .prewarm = config_bool(c, "prewarm"),
        .scaling_rate = (unsigned)config_i64(c, "scaling-rate"),
        .spares = spares == 0 ? UINT32_MAX : (unsigned)spares,
        .memory_budget_mb =
            config_cstr(c, "memory-budget") ? (unsigned)(config_i64(c, "memory-budget") >> 20) : 0,
    };

    return runtime_start(&config, err);
}

struct listen_call {
    int fd, r;
    const struct http_listener_config *config;
    struct http_listener *listener;
    struct err *err;
};

static void listen_on_loop(void *ctx)
{
    struct listen_call *l = ctx;

    l->r = http_listener_from_fd(loop_at(0), l->fd, l->config, &l->listener, l->err);
}

// The loops run already, and a listener is made on its own.
static int listen_on(struct server *s, int fd, struct http_tls *tls, struct err *err)
{
    struct http_listener_config config = {
        .handle = engine_handle,
        .ctx = s->engine,
        .limits = HTTP_LIMITS_DEFAULT,
        .spool_dir = s->spool_dir,
        .tls = tls,
        .gather = true,
    };
    // A body is spooled before its signature can be checked: a stranger must not fill the disk.
    config.limits.body_bytes = ENGINE_MAX_BODY_BYTES;
    struct listen_call call = {.fd = fd, .config = &config, .err = err};

    loop_call(loop_at(0), listen_on_loop, &call);
    if (call.r < 0)
        return call.r;
    s->listeners[s->n_listeners++] = call.listener;
    return 0;
}

static int start_tls(struct server *s, struct err *err)
{
    const char *cert = config_cstr(s->config, "tls-cert");
    char dir[4200];
    int r;

    if (!config_bool(s->config, "run-has-tls"))
        return 0;
    if (cert) {
        r = http_tls_load(cert, config_cstr(s->config, "tls-key"), &s->tls, err);
    } else {
        snprintf(dir, sizeof(dir), "%s/run", config_cstr(s->config, "data-dir"));
        r = http_tls_self_made(dir, &s->tls, err);
    }
    return r < 0 ? r : listen_on(s, LINK_FD_TLS, s->tls, err);
}

// From the ground up: each room may use those before it.
static int start_rooms(struct server *s, struct err *err)
{
    int r;

    snprintf(s->spool_dir, sizeof(s->spool_dir), "%s/spool", config_cstr(s->config, "data-dir"));
    r = workers_start((unsigned)config_i64(s->config, "workers"), err);
    if (r == 0)
        r = loops_start((unsigned)config_i64(s->config, "loops"), err);
    if (r == 0)
        r = start_engine(s, err);
    if (r == 0)
        r = triggers_register(s->engine, err);
    if (r == 0)
        r = start_runtime(s, err);
    if (r == 0)
        r = engine_start(s->engine, err);
    if (r == 0)
        r = triggers_start(s->engine, err);
    if (r == 0)
        r = listen_on(s, LINK_FD_LISTENER, NULL, err);
    if (r == 0)
        r = start_tls(s, err);
    return r;
}

static void close_listeners(void *ctx)
{
    struct server *s = ctx;

    for (unsigned i = 0; i < s->n_listeners; i++)
        http_listener_close(s->listeners[i]);
    s->n_listeners = 0;
}

struct drain_call {
    struct server *server;
    int64_t limit_ms;
};

static void listener_drained(void *ctx)
{
    (void)ctx;
}

static void drain_listeners(void *ctx)
{
    const struct drain_call *d = ctx;
    struct server *s = d->server;

    for (unsigned i = 0; i < s->n_listeners; i++)
        http_listener_drain(s->listeners[i], d->limit_ms, listener_drained, NULL);
    s->n_listeners = 0;
}

static void pause_ms(long ms)
{
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&t, NULL);
}

// What runs may finish within the limit; nothing new begins.
static void stop_rooms(struct server *s, uint32_t limit_ms)
{
    struct drain_call drain = {s, limit_ms};
    int64_t until_ms = os_mono_ms() + limit_ms;

    alarm(limit_ms / 1000 + STOP_OVERTIME_S);
    loop_call(loop_at(0), drain_listeners, &drain);
    triggers_drain();
    engine_drain(s->engine);
    while ((runtime_invocations() > 0 || engine_busy(s->engine) > 0 || triggers_busy() > 0) &&
           os_mono_ms() < until_ms)
        pause_ms(2);
    if (runtime_invocations() > 0)
        log_warn("%u invocations were still running and are cut off", runtime_invocations());
    runtime_drain();
    runtime_stop(RUNTIME_STOP_MS);
    loop_call(loop_at(0), close_listeners, s);
    loops_stop();
    workers_stop();
    triggers_stop();
    engine_destroy(s->engine);
}

// Answers the limit of a LINK_STOP; main's end ends us on the spot.
static uint32_t wait_for_stop(void)
{
    for (;;) {
        struct pollfd p = {.fd = LINK_FD_MAIN, .events = POLLIN};
        struct link_message m;
        struct err err = ERR_INIT;
        int fd = -1;
        unsigned n_fds = 1;
        ssize_t n;

        if (poll(&p, 1, -1) < 0)
            continue;
        n = message_receive(LINK_FD_MAIN, &m, sizeof(m), &fd, &n_fds, &err);
        if (n == -EAGAIN)
            continue;
        if (n != (ssize_t)sizeof(m))
            _exit(EXIT_FAILED);
        if (m.kind == LINK_STOP)
            return m.limit_ms;
        if (m.kind != LINK_KEEPER || n_fds != 1)
            _exit(EXIT_FAILED);
        if (runtime_keeper_replace(fd, &err) < 0)
            log_error("connect to the new keeper: %s", err.message);
        else
            log_info("connected to the new keeper");
    }
}

int server_child_main(int argc, char **argv)
{
    const struct link_message ready = {.kind = LINK_READY};
    struct server s = {0};
    struct buf text;
    struct err err = ERR_INIT;
    enum log_level level = LOG_LEVEL_INFO;
    uint32_t limit_ms;

    (void)argc;
    (void)argv;
    buf_init(&text, 1 << 20);
    if (fd_read_all(LINK_FD_SETTINGS, &text) < 0 ||
        settings_load_text(buf_str(&text), &s.config, &err) < 0) {
        fprintf(stderr, "lambkin: the server is started by `lambkin serve` only %s\n", err.message);
        return EXIT_USAGE;
    }
    close(LINK_FD_SETTINGS);
    buf_finish(&text);
    log_level_parse(config_str(s.config, "log-level"), &level);
    log_init("server", level);
    prepare_process();
    if (drop_privileges(s.config, &err) < 0 || start_rooms(&s, &err) < 0 ||
        message_send(LINK_FD_MAIN, &ready, sizeof(ready), NULL, 0, &err) < 0) {
        log_error("%s", err.message);
        // Threads may run; what they hold ends with the process.
        _exit(EXIT_FAILED);
    }
    limit_ms = wait_for_stop();
    stop_rooms(&s, limit_ms);
    http_tls_destroy(s.tls);
    config_destroy(s.config);
    return EXIT_FINE;
}
