// extensions_api.c - the Extensions API (2020-01-01): programs beside the runtime.
//
// External extensions are the executables in /opt/extensions; they are started before the runtime
// gets its INIT. Internal ones register from within the runtime's process. INIT is over when the
// runtime and all of them wait for an event; so is an invocation. Subscriptions to the Telemetry
// and Logs APIs go to telemetry.c.

#include "runtime/runtime_impl.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/uuid.h"
#include "http/server.h"
#include "os/fd.h"
#include "os/random.h"
#include "runtime/telemetry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "/2020-01-01/extension/"
#define GRACE_EXTERNAL_MS 2000 // AWS: SHUTDOWN with external extensions
#define GRACE_INTERNAL_MS 500  // AWS: with internal ones only
#define MAX_BODY_BYTES (1 << 20)

struct extension {
    char name[128];
    char id[UUID_CHARS + 1];
    uint32_t program; // the keeper's number; 0: internal, or not known yet
    bool external, registered, exited;
    bool wants_invoke, wants_shutdown;
    bool ready; // asked for an event and has none
    bool told;  // that it is ready
    struct http_request *next;
    struct output_pipe output; // external ones'
};

struct extensions {
    struct extension list[FUNCTION_MAX_EXTENSIONS];
    unsigned n;
};

static void refuse(struct http_request *req, int status, const char *type, const char *message)
{
    struct str body =
        arena_printf(&req->arena, "{\"errorMessage\":\"%s\",\"errorType\":\"%s\"}", message, type);

    http_respond_text(req, status, STR("application/json"), body);
}

// ---- start -------------------------------------------------------------------------------------

static void on_executed(void *ctx, uint64_t id, uint32_t tag, int r, uint32_t program, int fd,
                        const struct err *err)
{
    struct environment *env = home_find(ctx, id);
    struct err why = ERR_INIT;

    (void)err;
    if (!env || !env->extensions || tag >= env->extensions->n || r < 0) {
        closep(&fd);
        return; // a failed exec is told as its exit, or INIT runs into its limit
    }
    struct extension *e = &env->extensions->list[tag];
    e->program = program;
    output_pipe_open(&e->output, env, fd, OUTPUT_EXTENSION, &why);
}

int extensions_start(struct environment *env, struct err *err)
{
    const struct function_config *f = env->function;
    struct sandbox_program *program;
    struct arena arena;
    int r = 0;

    if (f->n_extensions == 0)
        return 0;
    env->extensions = calloc(1, sizeof(*env->extensions));
    if (!env->extensions)
        return err_set(err, -ENOMEM, "out of memory");
    arena_init(&arena, 8 << 20);
    program = arena_new(&arena, struct sandbox_program);
    for (unsigned i = 0; program && r == 0 && i < f->n_extensions; i++) {
        struct extension *e = &env->extensions->list[env->extensions->n++];
        e->external = true;
        snprintf(e->name, sizeof(e->name), "%.*s", STR_ARG(f->extensions[i]));
        r = environment_spec_extension(env, &arena, f->extensions[i], program, err);
        if (r == 0)
            r = keeper_exec_apart(env->home->keeper, env->id, program, on_executed, i, env->home,
                                  err);
    }
    arena_finish(&arena);
    return r;
}

void extensions_free(struct environment *env)
{
    if (!env->extensions)
        return;
    for (unsigned i = 0; i < env->extensions->n; i++) {
        struct http_request *next = env->extensions->list[i].next;
        output_pipe_close(&env->extensions->list[i].output);
        if (next) {
            next->gone = NULL;
            http_request_drop(next);
        }
    }
    free(env->extensions);
    env->extensions = NULL;
}

// ---- what the environment asks -----------------------------------------------------------------

bool extensions_registered(const struct environment *env)
{
    for (unsigned i = 0; env->extensions && i < env->extensions->n; i++)
        if (!env->extensions->list[i].registered)
            return false;
    return true;
}

bool extensions_ready(const struct environment *env)
{
    for (unsigned i = 0; env->extensions && i < env->extensions->n; i++)
        if (!env->extensions->list[i].ready)
            return false;
    return true;
}

bool extensions_exited(struct environment *env, uint32_t program, char name[static 128])
{
    for (unsigned i = 0; env->extensions && i < env->extensions->n; i++) {
        struct extension *e = &env->extensions->list[i];
        if (e->external && e->program == program) {
            e->exited = true;
            memcpy(name, e->name, sizeof(e->name));
            return true;
        }
    }
    return false;
}

bool extensions_all_exited(const struct environment *env)
{
    for (unsigned i = 0; env->extensions && i < env->extensions->n; i++)
        if (env->extensions->list[i].external && !env->extensions->list[i].exited)
            return false;
    return true;
}

void extensions_drain(struct environment *env)
{
    for (unsigned i = 0; env->extensions && i < env->extensions->n; i++)
        if (env->extensions->list[i].output.env)
            output_pipe_drain(&env->extensions->list[i].output);
}

// ---- events ------------------------------------------------------------------------------------

static void send_event(struct extension *e, struct str body)
{
    struct http_request *req = e->next;
    char id[UUID_CHARS + 1];
    uint8_t random[16];

    e->ready = false;
    e->next = NULL;
    if (!req)
        return;
    os_random(random, sizeof(random));
    uuid_format(random, id);
    const struct http_header headers[] = {
        {STR("Content-Type"), STR("application/json")},
        {STR("Lambda-Extension-Event-Identifier"), {id, UUID_CHARS}},
    };
    const struct http_response response = {
        .status = 200, .headers = headers, .n_headers = 2, .body = body};
    http_respond(req, &response);
}

void extensions_invoke(struct environment *env, const struct invocation *inv, int64_t deadline_ms)
{
    struct buf body;
    struct json_writer w;

    buf_init(&body, 64 * 1024);
    w = json_writer(&body);
    jw_object_begin(&w);
    jw_member_str(&w, "eventType", STR("INVOKE"));
    jw_member_i64(&w, "deadlineMs", deadline_ms);
    jw_member_str(&w, "requestId", inv->request_id);
    jw_member_str(&w, "invokedFunctionArn", inv->invoked_arn);
    jw_key(&w, STR("tracing"));
    jw_object_begin(&w);
    jw_member_str(&w, "type", STR("X-Amzn-Trace-Id"));
    jw_member_str(&w, "value", inv->trace_id);
    jw_object_end(&w);
    jw_object_end(&w);
    for (unsigned i = 0; i < env->extensions->n; i++)
        if (env->extensions->list[i].wants_invoke)
            send_event(&env->extensions->list[i], buf_str(&body));
    buf_finish(&body);
}

unsigned extensions_shutdown(struct environment *env, const char *reason)
{
    unsigned grace_ms = 0;
    char body[128];

    for (unsigned i = 0; i < env->extensions->n; i++) {
        struct extension *e = &env->extensions->list[i];
        unsigned own = e->external ? GRACE_EXTERNAL_MS : GRACE_INTERNAL_MS;
        if (e->exited)
            continue;
        if (grace_ms < own)
            grace_ms = own;
    }
    snprintf(body, sizeof(body),
             "{\"eventType\":\"SHUTDOWN\",\"shutdownReason\":\"%s\",\"deadlineMs\":%lld}", reason,
             (long long)(os_now_ms() + grace_ms));
    for (unsigned i = 0; i < env->extensions->n; i++)
        if (env->extensions->list[i].wants_shutdown)
            send_event(&env->extensions->list[i], str_from(body));
    return grace_ms;
}

// ---- requests ----------------------------------------------------------------------------------

static struct extension *by_name(struct environment *env, struct str name)
{
    for (unsigned i = 0; env->extensions && i < env->extensions->n; i++)
        if (str_eq(str_from(env->extensions->list[i].name), name))
            return &env->extensions->list[i];
    return NULL;
}

static struct extension *internal_new(struct environment *env, struct str name)
{
    struct extension *e;

    if (!env->extensions)
        env->extensions = calloc(1, sizeof(*env->extensions));
    if (!env->extensions || env->extensions->n == FUNCTION_MAX_EXTENSIONS)
        return NULL;
    e = &env->extensions->list[env->extensions->n++];
    snprintf(e->name, sizeof(e->name), "%.*s", STR_ARG(name));
    return e;
}

static bool read_events(struct http_request *req, struct extension *e, bool internal)
{
    const struct json_value *v = NULL;
    struct str body, event;

    if (http_body_read(req, MAX_BODY_BYTES, &body, NULL) < 0 ||
        json_parse(&req->arena, body, &v, NULL) < 0)
        return false;
    e->wants_invoke = e->wants_shutdown = false;
    json_each(item, json_get(v, "events"))
    {
        if (!json_str(item, &event))
            return false;
        if (str_eq(event, STR("INVOKE")))
            e->wants_invoke = true;
        else if (str_eq(event, STR("SHUTDOWN")) && !internal)
            e->wants_shutdown = true;
        else
            return false;
    }
    return true;
}

// What an internal extension does goes on between invocations. Node.js otherwise sleeps there with
// its loop, and the extension's own `next` would not even be sent.
static void say_beside(struct environment *env)
{
    const struct frame_header beside = {.type = FRAME_BESIDE};

    if (env->interpreter && env->interpreter->kind == INTERPRETER_NODE)
        control_send(env, (struct str){(const char *)&beside, sizeof(beside)});
}

static void on_register(struct environment *env, struct http_request *req)
{
    const struct function_config *f = env->function;
    struct str name = http_header_get(req, STR("lambda-extension-name"));
    struct extension wanted = {0}, *e = by_name(env, name);
    struct buf body;
    struct json_writer w;
    uint8_t random[16];

    if (name.len == 0 || name.len >= sizeof(wanted.name)) {
        refuse(req, 400, "Extension.InvalidExtensionName", "Invalid extension name");
        return;
    }
    if (env->state != ENV_INIT || (env->runtime_ready && !e)) {
        refuse(req, 403, "Extension.RegistrationClosed", "Extension registration closed already");
        return;
    }
    if (e && e->registered) {
        refuse(req, 403, "Extension.AlreadyRegistered", "Extension with this name is registered");
        return;
    }
    if (!read_events(req, &wanted, !e)) {
        refuse(req, 400, "Extension.InvalidEventType", "Invalid event types");
        return;
    }
    if (!e) {
        e = internal_new(env, name);
        if (e)
            say_beside(env);
    }
    if (!e) {
        refuse(req, 403, "Extension.TooManyExtensions", "Extension limit (10) reached");
        return;
    }
    e->registered = true;
    e->wants_invoke = wanted.wants_invoke;
    e->wants_shutdown = wanted.wants_shutdown;
    os_random(random, sizeof(random));
    uuid_format(random, e->id);

    buf_init(&body, 4096);
    w = json_writer(&body);
    jw_object_begin(&w);
    jw_member_str(&w, "functionName", f->name);
    jw_member_str(&w, "functionVersion", f->version);
    jw_member_str(&w, "handler", f->handler);
    if (str_find(http_header_get(req, STR("lambda-extension-accept-feature")), STR("accountId")) >=
        0)
        jw_member_str(&w, "accountId", f->account);
    jw_object_end(&w);
    const struct http_header headers[] = {
        {STR("Content-Type"), STR("application/json")},
        {STR("Lambda-Extension-Identifier"), {e->id, UUID_CHARS}},
    };
    const struct http_response response = {
        .status = 200, .headers = headers, .n_headers = 2, .body = buf_str(&body)};
    http_respond(req, &response);
    buf_finish(&body);
    environment_extensions_moved(env);
}

static struct extension *who(struct environment *env, struct http_request *req)
{
    struct str id = http_header_get(req, STR("lambda-extension-identifier"));

    if (id.len == 0) {
        refuse(req, 403, "Extension.MissingExtensionIdentifier",
               "Missing Lambda-Extension-Identifier header");
        return NULL;
    }
    if (!uuid_valid(id)) {
        refuse(req, 403, "Extension.InvalidExtensionIdentifier",
               "Invalid Lambda-Extension-Identifier");
        return NULL;
    }
    for (unsigned i = 0; env->extensions && i < env->extensions->n; i++)
        if (str_eq(str_from(env->extensions->list[i].id), id))
            return &env->extensions->list[i];
    refuse(req, 403, "Extension.UnknownExtensionIdentifier", "Unknown extension");
    return NULL;
}

static void next_gone(struct http_request *req)
{
    struct environment *env = home_find(home_here(), (uint64_t)(uintptr_t)req->user);

    for (unsigned i = 0; env && env->extensions && i < env->extensions->n; i++)
        if (env->extensions->list[i].next == req)
            env->extensions->list[i].next = NULL;
    http_request_drop(req);
}

static void on_next(struct environment *env, struct http_request *req)
{
    struct extension *e = who(env, req);

    if (!e)
        return;
    if (e->next) {
        e->next->gone = NULL;
        http_request_drop(e->next);
    }
    if (env->state == ENV_INIT && !e->told) {
        e->told = true;
        report_extension(env, e->name, "Ready", e->wants_invoke, e->wants_shutdown, NULL);
    }
    e->next = req;
    e->ready = true;
    req->user = (void *)(uintptr_t)env->id;
    req->gone = next_gone;
    environment_extensions_moved(env);
}

static void on_error(struct environment *env, struct http_request *req, bool in_init)
{
    struct extension *e = who(env, req);
    struct str type = http_header_get(req, STR("lambda-extension-function-error-type"));
    char name[128], text[512];

    if (!e)
        return;
    if (type.len == 0) {
        refuse(req, 403, "Extension.MissingHeader",
               "Missing Lambda-Extension-Function-Error-Type header");
        return;
    }
    memcpy(name, e->name, sizeof(name));
    http_respond_text(req, 202, STR("application/json"), STR("{\"status\":\"OK\"}\n"));
    snprintf(text, sizeof(text),
             "{\"errorType\":\"%s\",\"errorMessage\":\"RequestId: %%s Error: extension %s\"}",
             in_init ? "Extension.InitError" : "Extension.ExitError", name);
    environment_init_failed(env, in_init ? STR("Extension.InitError") : STR("Extension.ExitError"),
                            str_from(text));
}

// "/2022-07-01/telemetry" and "/2020-08-15/logs", with or without a slash at the end.
static bool telemetry_request(struct environment *env, struct http_request *req)
{
    struct str path = req->path;
    bool logs;

    if (str_ends(path, STR("/")))
        path.len--;
    logs = str_eq(path, STR("/2020-08-15/logs"));
    if (!logs && !str_eq(path, STR("/2022-07-01/telemetry")))
        return false;
    if (!str_eq(req->method, STR("PUT"))) {
        refuse(req, 405, "MethodNotAllowed", "The method is not allowed here");
        return true;
    }
    struct extension *e = who(env, req);
    if (e)
        telemetry_subscribe(env, (unsigned)(e - env->extensions->list), e->name, req, logs);
    return true;
}

bool extensions_request(struct environment *env, struct http_request *req)
{
    struct str path = req->path;
    bool get = str_eq(req->method, STR("GET")), post = str_eq(req->method, STR("POST"));

    if (telemetry_request(env, req))
        return true;
    if (!str_starts(path, STR(PREFIX)))
        return false;
    path = str_slice(path, sizeof(PREFIX) - 1, path.len);
    if (post && str_eq(path, STR("register")))
        on_register(env, req);
    else if (get && str_eq(path, STR("event/next")))
        on_next(env, req);
    else if (post && str_eq(path, STR("init/error")))
        on_error(env, req, true);
    else if (post && str_eq(path, STR("exit/error")))
        on_error(env, req, false);
    else
        refuse(req, 404, "InvalidRequestURI", "There is no such path");
    return true;
}
