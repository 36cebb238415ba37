// environment_spec.c - what an environment is started with: program, variables, limits, INIT frame.
//
// Paths are those inside (/var/task, /opt, /var/runtime), ports the usual ones; where a sandbox
// cannot have them the keeper puts the real ones in, and says them in sandbox_started for INIT.
// Nothing of the host's own environment gets in. The variables follow AWS's list; the function's
// own override the defaults but for the identity, which the service does not let it set.

#include "runtime/runtime_impl.h"

#include "base/arena.h"
#include "base/json.h"
#include "os/log.h"
#include "runtime/files.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_VARIABLES SANDBOX_MAX_ENV
#define JAVA_FIRST_WITH_ARCHIVES 13 // JEP 350
#define JAVA_MAPS_WHERE_TOLD 17     // its archives, with an option for it
#define JAVA_SERIAL_MAPS_HEAP 21    // archived objects are for other collectors than G1, too
#define DEBUGGER_MB 512

struct variables {
    struct arena *arena;
    struct function_variable list[MAX_VARIABLES];
    unsigned n;
};

static void put(struct variables *v, const char *name, struct str value)
{
    struct str n = str_from(name);

    if (str_is_null(value))
        return;
    for (unsigned i = 0; i < v->n; i++) {
        if (str_eq(v->list[i].name, n)) {
            v->list[i].value = value;
            return;
        }
    }
    if (v->n < MAX_VARIABLES)
        v->list[v->n++] = (struct function_variable){n, value};
}

static void putf(struct variables *v, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void putf(struct variables *v, const char *name, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    put(v, name, arena_vprintf(v->arena, format, args));
    va_end(args);
}

static const char *task_root(const struct environment *env)
{
    return env->sandbox.task_root[0] ? env->sandbox.task_root : "/var/task";
}

static const char *layer_root(const struct environment *env)
{
    return env->sandbox.layer_root[0] ? env->sandbox.layer_root : "/opt";
}

static const char *runtime_root(const struct environment *env)
{
    return env->sandbox.runtime_root[0] ? env->sandbox.runtime_root : "/var/runtime";
}

// What its program is run with: NULL when that is an executable of the function's own.
static const struct interpreter *program_of(const struct environment *env)
{
    if (env->interpreter || !env->function || env->function->image_dir.len > 0)
        return env->interpreter;
    return runtime_interpreter(env->function->runtime);
}

static void put_library_path(struct variables *v, const struct environment *env)
{
    const char *task = task_root(env), *opt = layer_root(env), *run = runtime_root(env);

    putf(v, "LD_LIBRARY_PATH", "/lib64:/usr/lib64:%s:%s/lib:%s:%s/lib:%s/lib", run, run, task, task,
         opt);
}

// What a process of this kind is started with, whoever's it becomes.
static void put_base(struct variables *v, const struct environment *env)
{
    const char *task = task_root(env), *opt = layer_root(env), *run = runtime_root(env);
    const struct interpreter *in = program_of(env);
    const char *slash = in ? strrchr(in->path, '/') : NULL;

    put(v, "LANG", STR("en_US.UTF-8"));
    put(v, "TZ", STR(":UTC"));
    if (slash && strncmp(in->path, "/usr/bin/", 9) != 0)
        putf(v, "PATH", "%.*s:/usr/local/bin:/usr/bin:/bin:%s/bin", (int)(slash - in->path),
             in->path, opt);
    else
        putf(v, "PATH", "/usr/local/bin:/usr/bin:/bin:%s/bin", opt);
    if (in && in->kind == INTERPRETER_NODE)
        putf(v, "NODE_PATH",
             "%s/nodejs/node%u/node_modules:%s/nodejs/node_modules:"
             "%s/node_modules:%s:%s",
             opt, in->major, opt, run, run, task);
    if (in && in->kind == INTERPRETER_JAVA)
        put_library_path(v, env); // most packages have a lib folder: a spare knows of it beforehand
    if (in && in->kind == INTERPRETER_DOTNET) {
        put(v, "DOTNET_ROLL_FORWARD", STR("Major")); // onto a newer one, where only that is here
        put(v, "DOTNET_CLI_TELEMETRY_OPTOUT", STR("1"));
        if (env->function) // its own share of a container's memory; no cgroup is seen inside
            putf(v, "DOTNET_GCHeapHardLimit", "0x%llx",
                 (unsigned long long)env->function->memory_mb * 3 / 4 << 20);
    }
    if (in && in->kind == INTERPRETER_RUBY) {
        putf(v, "GEM_PATH", "%s/vendor/bundle/ruby/%u.%u.0:%s/ruby/gems/%u.%u.0", task, in->major,
             in->minor, opt, in->major, in->minor);
        putf(v, "RUBYLIB", "%s:%s/ruby/lib", task, opt);
    }
}

static struct str level_name(enum function_log_level level)
{
    static const struct str names[] = {
        STR_INIT("TRACE"), STR_INIT("DEBUG"), STR_INIT("INFO"),
        STR_INIT("WARN"),  STR_INIT("ERROR"), STR_INIT("FATAL"),
    };

    return names[level];
}

const char *environment_init_type(const struct environment *env)
{
    if (env->function->snap_start)
        return "snap-start";
    return env->provisioned ? "provisioned-concurrency" : "on-demand";
}

static int put_identity(struct variables *v, struct environment *env, struct err *err)
{
    const struct function_config *f = env->function;
    struct runtime_credentials *c = env->credentials;
    int r;

    put(v, "AWS_REGION", f->region);
    put(v, "AWS_DEFAULT_REGION", f->region);
    putf(v, "AWS_LAMBDA_FUNCTION_NAME", "%.*s", STR_ARG(f->name));
    putf(v, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "%u", f->memory_mb);
    put(v, "AWS_LAMBDA_FUNCTION_VERSION", f->version);
    put(v, "AWS_LAMBDA_INITIALIZATION_TYPE", str_from(environment_init_type(env)));
    put(v, "AWS_LAMBDA_LOG_GROUP_NAME", f->log_group);
    put(v, "AWS_LAMBDA_LOG_STREAM_NAME", str_from(env->stream));
    putf(v, "AWS_LAMBDA_RUNTIME_API", "127.0.0.1:%u",
         env->sandbox.runtime_api_port ? env->sandbox.runtime_api_port : SANDBOX_RUNTIME_API_PORT);
    if (f->image_dir.len > 0) {
        if (f->n_command > 0)
            put(v, "_HANDLER", f->command[0]);
    } else {
        put(v, "LAMBDA_TASK_ROOT", str_from(task_root(env)));
        put(v, "LAMBDA_RUNTIME_DIR", str_from(runtime_root(env)));
        put(v, "_HANDLER", f->handler);
    }
    if (program_of(env))
        putf(v, "AWS_EXECUTION_ENV", "AWS_Lambda_%.*s", STR_ARG(f->runtime));
    if (f->log_json) {
        put(v, "AWS_LAMBDA_LOG_FORMAT", STR("JSON"));
        put(v, "AWS_LAMBDA_LOG_LEVEL", level_name(f->app_log_level));
    }
    if (!c && runtime.credentials.issue) {
        c = calloc(1, sizeof(*c));
        if (!c)
            return err_set(err, -ENOMEM, "out of memory");
        r = runtime.credentials.issue(runtime.credentials.ctx, f, str_from(env->name), c, err);
        if (r < 0) {
            free(c);
            return r;
        }
        env->credentials = c;
    }
    if (c) {
        putf(v, "AWS_ACCESS_KEY_ID", "%s", c->access_key);
        putf(v, "AWS_SECRET_ACCESS_KEY", "%s", c->secret);
        putf(v, "AWS_SESSION_TOKEN", "%s", c->token);
    }
    return 0;
}

static int put_list(struct variables *v, const struct function_variable *list, size_t n,
                    struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        const char *name = arena_cstr(v->arena, list[i].name);
        if (!name)
            return err_set(err, -ENOMEM, "out of memory");
        put(v, name, list[i].value.ptr ? list[i].value : STR(""));
    }
    return 0;
}

// An image brings its own variables; these are for when it does not.
static int put_image(struct variables *v, const struct function_config *f, struct err *err)
{
    put(v, "PATH", STR("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
    put(v, "TZ", STR(":UTC"));
    put(v, "LAMBDA_TASK_ROOT", STR("/var/task"));
    put(v, "LAMBDA_RUNTIME_DIR", STR("/var/runtime"));
    return put_list(v, f->image_variables, f->n_image_variables, err);
}

static int collect(struct variables *v, struct environment *env, struct err *err)
{
    const struct function_config *f = env->function;
    int r;

    if (f->image_dir.len > 0) {
        r = put_image(v, f, err);
        if (r < 0)
            return r;
    } else {
        put_base(v, env);
        put_library_path(v, env);
    }
    put(v, "AWS_XRAY_CONTEXT_MISSING", STR("LOG_ERROR"));
    put(v, "AWS_XRAY_DAEMON_ADDRESS", STR("127.0.0.1:2000"));
    put(v, "_AWS_XRAY_DAEMON_ADDRESS", STR("127.0.0.1"));
    put(v, "_AWS_XRAY_DAEMON_PORT", STR("2000"));
    if (runtime.endpoint_url)
        put(v, "AWS_ENDPOINT_URL", str_from(runtime.endpoint_url));
    else
        putf(v, "AWS_ENDPOINT_URL", "http://127.0.0.1:%u",
             env->sandbox.endpoint_port ? env->sandbox.endpoint_port : SANDBOX_ENDPOINT_PORT);
    r = put_list(v, f->variables, f->n_variables, err);
    return r < 0 ? r : put_identity(v, env, err);
}

static int to_program(const struct variables *v, struct sandbox_program *p, struct err *err)
{
    p->n_env = 0;
    for (unsigned i = 0; i < v->n; i++) {
        struct str one = arena_printf(v->arena, "%.*s=%.*s", STR_ARG(v->list[i].name),
                                      STR_ARG(v->list[i].value));
        if (!one.ptr)
            return err_set(err, -ENOMEM, "out of memory");
        p->env[p->n_env++] = one.ptr;
    }
    return 0;
}

static void add_arg(struct sandbox_program *p, struct arena *a, const char *text)
{
    char *copy = arena_cstr(a, str_from(text));

    if (copy && p->n_argv < SANDBOX_MAX_ARGS)
        p->argv[p->n_argv++] = copy;
}

static void add_argp(struct sandbox_program *p, struct arena *a, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void add_argp(struct sandbox_program *p, struct arena *a, const char *format, ...)
{
    va_list args;
    struct str s;

    va_start(args, format);
    s = arena_vprintf(a, format, args);
    va_end(args);
    if (s.ptr && p->n_argv < SANDBOX_MAX_ARGS)
        p->argv[p->n_argv++] = s.ptr;
}

// AWS's own options: most of the memory for the heap, and a start that is quick rather than the
// last word in speed. The archive of the classes is made when the client is installed. What a JVM
// is started with it keeps, so a spare is made for one memory size.
static void java_options(const struct environment *env, struct arena *a, struct sandbox_program *p,
                         const struct interpreter *in)
{
    unsigned mb = env->function ? env->function->memory_mb : kind_memory_mb(env->kind);
    const char *dir = runtime_root(env);
    char jar[RUNTIME_JAVA_NAME_BYTES];

    add_argp(p, a, "-XX:MaxHeapSize=%uk", mb * 1024 / 100 * 85);
    if (env->generic || in->major < JAVA_FIRST_WITH_ARCHIVES ||
        in->major >= JAVA_SERIAL_MAPS_HEAP) {
        add_arg(p, a, "-XX:+UseSerialGC");
    } else { // the other collector starts in 4/5 of the time, from the JDK's own archive of objects
        add_arg(p, a, "-XX:+UseG1GC");
        add_arg(p, a, "-XX:InitialHeapSize=32m");
    }
    add_arg(p, a, "-XX:TieredStopAtLevel=1");
    add_arg(p, a, "-XX:-UsePerfData");
    add_arg(p, a, "-Xshare:auto");
    add_argp(p, a, "-XX:SharedArchiveFile=%s/" RUNTIME_JAVA_FOLDER "/%u.jsa", dir, in->major);
    if (in->major >=
        JAVA_MAPS_WHERE_TOLD) { // else it moves them, and has no page in common with others
        add_arg(p, a, "-XX:+UnlockDiagnosticVMOptions");
        add_arg(p, a, "-XX:ArchiveRelocationMode=0");
    }
    add_arg(p, a, "-Xlog:disable"); // an archive that does not fit is not the function's concern
    add_arg(p, a, "-Xlog:all=error,cds*=off:stderr");
    add_arg(p, a,
            "-Dfile.encoding=UTF-8"); // what AWS's LANG makes of it; few hosts have that locale
    // Where org.crac, which functions register SnapStart's hooks with, finds AWS's end of it.
    add_arg(p, a, "-Dorg.crac.Core.Compat=com.amazonaws.services.lambda.crac");
    if (in->major >= 24) // native parts; JEP 472 warns otherwise
        add_arg(p, a, "--enable-native-access=ALL-UNNAMED");
    add_arg(p, a, "-cp");
    if (env->interpreter) {
        runtime_java_name(jar);
        add_argp(p, a, "%s/" RUNTIME_JAVA_FOLDER "/%s:" RUNTIME_JAVA_CLASS_PATH("%s"), dir, jar,
                 dir, dir, dir);
        add_arg(p, a, RUNTIME_JAVA_BOOTSTRAP_MAIN);
    } else {
        add_argp(p, a, RUNTIME_JAVA_CLASS_PATH("%s"), dir, dir, dir);
        add_arg(p, a, RUNTIME_JAVA_MAIN);
        add_arg(p, a, arena_cstr(a, env->function->handler));
    }
}

static void command_line(const struct environment *env, struct arena *a, struct sandbox_program *p)
{
    static const char *const python_flags[] = {"-S", "-E", "-s", "-B", "-X", "utf8"};
    const struct function_config *f = env->function;
    const struct interpreter *in = program_of(env);

    p->n_argv = 0;
    if (f && f->image_dir.len > 0) {
        for (size_t i = 0; i < f->n_entrypoint; i++)
            add_arg(p, a, arena_cstr(a, f->entrypoint[i]));
        for (size_t i = 0; i < f->n_command; i++)
            add_arg(p, a, arena_cstr(a, f->command[i]));
        return;
    }
    if (!in) {
        add_argp(p, a, "%s/%s", f->bootstrap_in_layer ? layer_root(env) : task_root(env),
                 "bootstrap");
        return;
    }
    for (size_t i = 0; f && i < f->n_variables; i++)
        if (str_eq(f->variables[i].name, STR("AWS_LAMBDA_EXEC_WRAPPER")) &&
            f->variables[i].value.len > 0)
            add_arg(p, a, arena_cstr(a, f->variables[i].value));
    add_arg(p, a, in->path);
    switch (in->kind) {
    case INTERPRETER_PYTHON:
        for (size_t i = 0; i < sizeof(python_flags) / sizeof(python_flags[0]); i++)
            add_arg(p, a, python_flags[i]);
        add_argp(p, a, "%s/%s", runtime_root(env), RUNTIME_PYTHON_BOOTSTRAP);
        break;
    case INTERPRETER_NODE:
        add_arg(p, a, "--max-http-header-size=81920");
        add_argp(p, a, "%s/%s", runtime_root(env), RUNTIME_NODE_BOOTSTRAP);
        break;
    case INTERPRETER_JAVA:
        java_options(env, a, p, in);
        break;
    case INTERPRETER_RUBY:
        add_argp(p, a, "%s/%s", runtime_root(env), RUNTIME_RUBY_BOOTSTRAP);
        break;
    case INTERPRETER_DOTNET: // an assembly with a Main of its own, which brings the runtime client
        add_argp(p, a, "%s/%.*s.dll", task_root(env), STR_ARG(f->handler));
        break;
    }
    if (env->generic && env->interpreter)
        add_arg(p, a, "--spare");
}

// Once is enough: it is true of all of them.
static void say_no_network(const struct function_config *f)
{
    static atomic_flag said = ATOMIC_FLAG_INIT;

    if (f->network && runtime.n_outbound == 0 && !atomic_flag_test_and_set(&said))
        log_warn("%.*s has VpcConfig subnets, but the setting outbound-networks is empty: such "
                 "functions have no network",
                 STR_ARG(f->arn));
}

static int fill_binding(const struct environment *env, struct arena *a, struct sandbox_binding *b,
                        struct err *err)
{
    const struct function_config *f = env->function;
    struct str prefix = {runtime.code_prefix, runtime.code_prefix_len};

    *b = (struct sandbox_binding){.memory_mb = f->memory_mb, .tmp_mb = f->tmp_mb};
    if (f->debug_port) // what a debugger needs inside is not the function's
        b->memory_mb = f->memory_mb + DEBUGGER_MB < SANDBOX_MAX_MEMORY_MB
                           ? f->memory_mb + DEBUGGER_MB
                           : SANDBOX_MAX_MEMORY_MB;
    say_no_network(f);
    for (unsigned i = 0; f->network && i < runtime.n_outbound; i++)
        b->outbound[b->n_outbound++] = runtime.outbound[i];
    if (f->image_dir.len > 0) {
        b->image_dir = arena_cstr(a, f->image_dir);
        return b->image_dir ? 0 : err_set(err, -ENOMEM, "out of memory");
    }
    b->hot = !str_starts(f->code_dir, prefix);
    b->code_dir =
        arena_cstr(a, b->hot ? f->code_dir : str_slice(f->code_dir, prefix.len, f->code_dir.len));
    if (f->layer_dir.len > 0) {
        if (!str_starts(f->layer_dir, prefix))
            return err_set(err, -EINVAL, "the layers lie outside of the data directory");
        b->layer_dir = arena_cstr(a, str_slice(f->layer_dir, prefix.len, f->layer_dir.len));
    }
    return 0;
}

static int fill_program(struct environment *env, struct arena *a, struct sandbox_program *p,
                        struct err *err)
{
    struct variables *v = arena_new(a, struct variables);
    int r;

    if (!v)
        return err_set(err, -ENOMEM, "out of memory");
    v->arena = a;
    *p = (struct sandbox_program){0};
    if (env->function) {
        r = collect(v, env, err);
        if (r < 0)
            return r;
        p->cwd = env->sandbox.task_root[0] ? env->sandbox.task_root : NULL;
        if (env->function->image_dir.len > 0)
            p->cwd = env->function->working_dir.len > 0 ? arena_cstr(a, env->function->working_dir)
                                                        : "/";
    } else {
        put_base(v, env);
        // Java reads its directory when it starts; the function's code will be there.
        p->cwd = env->interpreter->kind == INTERPRETER_JAVA ? "/var/task" : "/";
    }
    command_line(env, a, p);
    return to_program(v, p, err);
}

int environment_spec_extension(struct environment *env, struct arena *a, struct str name,
                               struct sandbox_program *program, struct err *err)
{
    int r = fill_program(env, a, program, err);
    struct str path = arena_printf(a, "/opt/extensions/%.*s", STR_ARG(name));

    if (r < 0 || !path.ptr)
        return r < 0 ? r : err_set(err, -ENOMEM, "out of memory");
    program->argv[0] = path.ptr;
    program->n_argv = 1;
    return 0;
}

int environment_spec_start(struct environment *env, struct arena *a, struct sandbox_spec *spec,
                           struct err *err)
{
    int r;

    sandbox_spec_init(spec);
    spec->id = env->id;
    spec->want_control = env->interpreter != NULL;
    if (!env->function) { // a spare
        return env->interpreter ? fill_program(env, a, &spec->program, err) : 0;
    }
    spec->keep_on_exit = env->function->n_extensions > 0;
    spec->ptrace_allowed = env->function->debug_port != 0;
    r = fill_binding(env, a, &spec->binding, err);
    if (r < 0 || env->function->bootstrap_missing)
        return r;
    return fill_program(env, a, &spec->program, err);
}

int environment_spec_bind(struct environment *env, struct arena *a, struct sandbox_binding *b,
                          struct sandbox_program *program, struct err *err)
{
    int r = fill_binding(env, a, b, err);

    *program = (struct sandbox_program){0};
    if (r == 0 && (!env->generic || !env->interpreter) && !env->function->bootstrap_missing)
        r = fill_program(env, a, program, err);
    return r;
}

int environment_init_frame(struct environment *env, struct buf *out, struct err *err)
{
    struct frame_header head = {.type = FRAME_INIT};
    struct json_writer w = json_writer(out);
    struct variables *v;
    struct arena arena;
    int r;

    arena_init(&arena, 1 << 20);
    v = arena_new(&arena, struct variables);
    if (!v) {
        arena_finish(&arena);
        return err_set(err, -ENOMEM, "out of memory");
    }
    v->arena = &arena;
    r = collect(v, env, err);
    buf_add(out, (struct str){(const char *)&head, sizeof(head)});
    jw_object_begin(&w);
    jw_member_str(&w, "handler", env->function->handler);
    jw_member_str(&w, "task_root", str_from(task_root(env)));
    jw_member_str(&w, "layer_root", str_from(layer_root(env)));
    jw_member_str(&w, "runtime_root", str_from(runtime_root(env)));
    if (env->function->n_extensions > 0)
        jw_member_bool(&w, "extensions", true);
    if (env->debug_inside)
        jw_member_i64(&w, "debug_port", env->debug_inside);
    jw_key(&w, STR("env"));
    jw_object_begin(&w);
    for (unsigned i = 0; i < v->n; i++) {
        jw_key(&w, v->list[i].name);
        jw_str(&w, v->list[i].value);
    }
    jw_object_end(&w);
    jw_object_end(&w);
    arena_finish(&arena);
    if (r < 0)
        return r;
    if (out->failed)
        return err_set(err, -ENOMEM, "the INIT frame is too long");
    head.length = (uint32_t)(out->len - sizeof(head));
    memcpy(out->ptr, &head, sizeof(head));
    return 0;
}
