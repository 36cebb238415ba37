// stage.c - see stage.h.
#include "stage.h"

#include "base/cleanup.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/log.h"
#include "os/loop.h"
#include "os/message.h"
#include "os/time.h"
#include "runtime/files.h"
#include "sandbox/interpreters.h"
#include "sandbox/keeper.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 60000

static char dir[64], code_dir[96], runtime_dir[96];
static struct interpreters found;
static pid_t keeper;
static int main_fd = -1;
static unsigned made;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct buf logged;

static void must(int r, const struct err *err, const char *what)
{
    if (r >= 0)
        return;
    fprintf(stderr, "%s: %s\n", what, err->message);
    abort();
}

const char *stage_dir(void)
{
    return dir;
}

static int start_keeper(void)
{
    struct keeper_config config = {.data_dir = dir,
                                   .runtime_dir = runtime_dir,
                                   .degree = SANDBOX_BEST_EFFORT,
                                   .spare_slots = 2};
    struct err err = ERR_INIT;
    int pair[2], ours[2];

    for (unsigned i = 0; i < found.n && i < KEEPER_MAX_INTERPRETERS; i++)
        config.interpreters[config.n_interpreters++] = found.list[i].path;
    must(message_pair(pair, &err), &err, "pair");
    must(message_pair(ours, &err), &err, "pair");
    fflush(NULL);
    keeper = fork();
    if (keeper == 0) {
        log_init("keeper", LOG_LEVEL_WARN);
        close(pair[0]);
        close(ours[0]);
        close(ours[1]);
        _exit(keeper_main(&config, pair[1]));
    }
    close(pair[1]);
    main_fd = pair[0];
    must(keeper_attach(main_fd, ours[1], &err), &err, "attach");
    close(ours[1]);
    return ours[0];
}

static void append(void *ctx, const struct log_sink_batch *batch)
{
    (void)ctx;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < batch->n_lines; i++) {
        buf_add(&logged, batch->lines[i].text);
        buf_add_char(&logged, '\n');
    }
    pthread_mutex_unlock(&lock);
}

void stage_open(const struct runtime_config *config)
{
    struct runtime_config c = *config;
    struct err err = ERR_INIT;
    char path[128];

    log_init("test", LOG_LEVEL_WARN);
    signal(SIGPIPE, SIG_IGN);
    umask(022); // as the daemon: sandboxes' users read what we make here
    buf_init(&logged, 64 << 20);
    snprintf(dir, sizeof(dir), "/tmp/lambkin-runtime-XXXXXX");
    if (!mkdtemp(dir))
        abort();
    chmod(dir, 0755);
    snprintf(code_dir, sizeof(code_dir), "%s/code", dir);
    snprintf(runtime_dir, sizeof(runtime_dir), "%s/runtime", dir);
    must(mkdir_p(code_dir, 0755, &err), &err, "code");
    snprintf(path, sizeof(path), "%s/run", dir);
    must(mkdir_p(path, 0755, &err), &err, "run");
    must(runtime_files_write(runtime_dir, &err), &err, "files");
    interpreters_find(&found);
    snprintf(path, sizeof(path), "%s/run/interpreters", dir);
    must(interpreters_save(&found, path, &err), &err, "interpreters");
    c.data_dir = dir;
    c.keeper_fd = start_keeper();
    must(loops_start(2, &err), &err, "loops");
    log_sink_set((struct log_sink){append, NULL});
    must(runtime_start(&c, &err), &err, "runtime");
}

void stage_close(void)
{
    struct err err = ERR_INIT;
    int status;

    runtime_stop(20000);
    loops_stop();
    close(main_fd);
    waitpid(keeper, &status, 0);
    rm_rf(dir, &err);
    buf_finish(&logged);
}

void stage_restart_keeper(void)
{
    struct err err = ERR_INIT;
    int status;

    kill(keeper, SIGKILL);
    waitpid(keeper, &status, 0);
    close(main_fd);
    must(runtime_keeper_replace(start_keeper(), &err), &err, "replace");
}

bool stage_has(enum stage_language kind)
{
    for (unsigned i = 0; i < found.n; i++)
        if ((found.list[i].kind == INTERPRETER_NODE) == (kind == STAGE_NODE))
            return true;
    return false;
}

static void copy_file(const char *from, const char *to)
{
    struct arena a;
    struct str content;
    struct err err = ERR_INIT;

    arena_init(&a, 64 << 20);
    must(read_file(&a, from, 32 << 20, &content, &err), &err, from);
    must(write_file_atomic(to, content, 0755, &err), &err, to);
    arena_finish(&a);
}

struct function_config *stage_make(const struct stage_function *f)
{
    struct function_config *c = function_config_new();
    struct err err = ERR_INIT;
    char path[256], file[512];

    snprintf(path, sizeof(path), "%s/f%u", code_dir, made++);
    must(mkdir_p(path, 0755, &err), &err, "code");
    if (f->file) {
        snprintf(file, sizeof(file), "%s/%s", path, f->file);
        must(write_file_atomic(file, str_from(f->content), 0644, &err), &err, file);
    }
    if (f->copy) {
        snprintf(file, sizeof(file), "%s/bootstrap", path);
        copy_file(f->copy, file);
    }
    if (f->extension) {
        snprintf(file, sizeof(file), "%s-layer/extensions", path);
        must(mkdir_p(file, 0755, &err), &err, "layer");
        snprintf(file, sizeof(file), "%s-layer/extensions/ext", path);
        copy_file(f->extension, file);
        c->layer_dir = arena_printf(&c->arena, "%s-layer", path);
    }
    c->account = STR("000000000000");
    c->region = STR("us-east-1");
    c->name = function_config_str(c, str_from(f->name));
    c->version = f->version ? function_config_str(c, str_from(f->version)) : STR("$LATEST");
    c->arn = arena_printf(&c->arena, "arn:aws:lambda:us-east-1:000000000000:function:%s", f->name);
    c->runtime = function_config_str(c, str_from(f->runtime));
    c->handler = function_config_str(c, str_from(f->handler ? f->handler : "app.h"));
    c->code_dir = function_config_str(c, str_from(path));
    c->log_group = arena_printf(&c->arena, "/aws/lambda/%s", f->name);
    c->log_json = f->log_json;
    if (f->timeout_ms)
        c->timeout_ms = f->timeout_ms;
    if (f->memory_mb)
        c->memory_mb = f->memory_mb;
    if (f->variable) {
        c->variables = arena_new_array(&c->arena, struct function_variable, 1);
        c->variables[0].name = function_config_str(c, str_from(f->variable));
        c->variables[0].value = function_config_str(c, str_from(f->value));
        c->n_variables = 1;
    }
    function_config_seal(c);
    return c;
}

static void on_done(struct invocation *inv)
{
    struct stage_answer *a = inv->user;

    pthread_mutex_lock(&lock);
    a->done = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void on_begin(struct invocation *inv, struct str content_type)
{
    (void)content_type;
    ((struct stage_answer *)inv->user)->begins++;
}

static int on_write(struct invocation *inv, struct str bytes)
{
    struct stage_answer *a = inv->user;

    buf_add(&a->streamed, bytes);
    if (++a->writes % 2 == 0)
        return INVOCATION_SINK_GO;
    invocation_resume(inv);
    return INVOCATION_SINK_WAIT;
}

struct stage_answer *stage_begin(struct function_config *f, const char *payload, bool stream)
{
    static const struct invocation_sink sink = {on_begin, on_write};
    struct stage_answer *a = calloc(1, sizeof(*a));

    if (!a)
        abort();
    buf_init(&a->streamed, 256 << 20);
    a->inv.function = f;
    a->inv.payload = str_from(payload);
    a->inv.invoked_arn = f->arn;
    a->inv.want_tail = true;
    a->inv.sink = stream ? &sink : NULL;
    a->inv.done = on_done;
    a->inv.user = a;
    invocation_submit(&a->inv);
    return a;
}

void stage_wait(struct stage_answer *a)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_MS / 1000;
    pthread_mutex_lock(&lock);
    while (!a->done) {
        if (pthread_cond_timedwait(&changed, &lock, &until) == ETIMEDOUT) {
            fprintf(stderr, "an invocation was not answered; the log:\n%.*s\n",
                    STR_ARG(buf_str(&logged)));
            abort();
        }
    }
    pthread_mutex_unlock(&lock);
}

struct stage_answer *stage_invoke(struct function_config *f, const char *payload)
{
    struct stage_answer *a = stage_begin(f, payload, false);

    stage_wait(a);
    return a;
}

void stage_answer_free(struct stage_answer *a)
{
    invocation_finish(&a->inv);
    buf_finish(&a->streamed);
    free(a);
}

struct str stage_response(const struct stage_answer *a)
{
    return a->inv.response;
}

struct str stage_log(void)
{
    return buf_str(&logged);
}

void stage_log_clear(void)
{
    pthread_mutex_lock(&lock);
    buf_reset(&logged);
    pthread_mutex_unlock(&lock);
}

bool stage_logged(const char *text)
{
    bool there;

    pthread_mutex_lock(&lock);
    there = str_find(buf_str(&logged), str_from(text)) >= 0;
    pthread_mutex_unlock(&lock);
    return there;
}

bool stage_until_logged(const char *text)
{
    const struct timespec pause = {0, 2000000};
    int64_t until = os_mono_ms() + WAIT_MS;

    while (!stage_logged(text)) {
        if (os_mono_ms() > until)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

bool stage_until(bool (*fn)(void))
{
    const struct timespec pause = {0, 2000000};
    int64_t until = os_mono_ms() + WAIT_MS;

    while (!fn()) {
        if (os_mono_ms() > until)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}
