// output.c - what functions print: lines from the pipe, in batches for the sink.
//
// An invocation's lines, START to REPORT, go to the sink in one batch, unless they are many or the
// function runs on for a while. Invariant: lines of one environment reach the sink in order, and
// before the invocation that they belong to is answered.

#include "runtime/runtime_impl.h"

#include "os/fd.h"
#include "runtime/telemetry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_BATCH_BYTES (1 << 20)
#define FLUSH_BYTES (16 * 1024)
#define FLUSH_AFTER_MS 20 // how long a line of a function that still runs stays here
#define KEEP_BYTES 4096   // memory that an environment keeps between invocations
#define MAX_READS 32      // per look: a flood does not keep the loop to itself

static void on_output(void *ctx, unsigned events);

static void buf_init_when_new(struct buf *b)
{
    if (b->max_bytes == 0)
        buf_init(b, 2 * MAX_BATCH_BYTES);
}

int output_pipe_open(struct output_pipe *p, struct environment *env, int fd,
                     enum output_origin origin, struct err *err)
{
    *p = (struct output_pipe){.env = env, .origin = origin, .fd = fd};
    buf_init(&p->partial, LOG_SINK_MAX_LINE_BYTES);
    if (fd < 0)
        return 0;
    return loop_watch_fd(env->home->loop, fd, LOOP_READ, on_output, p, &p->watch, err);
}

static void end_line(struct output_pipe *p);

void output_pipe_close(struct output_pipe *p)
{
    if (!p->env)
        return;
    output_pipe_drain(p);
    end_line(p);
    loop_watch_stop(&p->watch);
    closep(&p->fd);
    buf_finish(&p->partial);
    p->env = NULL;
}

int output_open(struct environment *env, struct err *err)
{
    return output_pipe_open(&env->output, env, TAKE_FD(env->sandbox.output_fd), OUTPUT_FUNCTION,
                            err);
}

void output_close(struct environment *env)
{
    output_pipe_close(&env->output);
}

// ---- the batch ---------------------------------------------------------------------------------

void output_flush(struct environment *env)
{
    struct line_batch *b = &env->lines;
    const struct function_config *f = env->function;

    if (b->n == 0)
        return;
    for (size_t i = 0; i < b->n; i++)
        b->lines[i].text.ptr = b->text.ptr ? b->text.ptr + b->at[i] : "";
    const struct log_sink_batch batch = {
        .account = f->account,
        .region = f->region,
        .group = f->log_group,
        .stream = str_from(env->stream),
        .lines = b->lines,
        .n_lines = b->n,
    };
    log_sink_append(&batch);
    b->n = 0;
    list_remove(&b->link);
    if (b->text.cap > KEEP_BYTES)
        buf_finish(&b->text);
    buf_reset(&b->text);
}

void output_flush_all(struct home *h)
{
    list_each_safe(link, &h->dirty)
    {
        struct line_batch *b = LIST_ENTRY(link, struct line_batch, link);
        output_flush(LIST_ENTRY(b, struct environment, lines));
    }
}

static void on_flush(struct loop_timer *t)
{
    output_flush_all((struct home *)(void *)((char *)t - offsetof(struct home, flush)));
}

void output_forget(struct environment *env)
{
    output_flush(env);
    buf_finish(&env->lines.text);
    free(env->lines.lines);
    free(env->lines.at);
}

static bool make_room(struct line_batch *b)
{
    size_t cap = b->cap ? b->cap * 2 : 8;
    void *lines, *at;

    if (b->n < b->cap)
        return true;
    lines = realloc(b->lines, cap * sizeof(*b->lines));
    if (lines)
        b->lines = lines;
    at = realloc(b->at, cap * sizeof(*b->at));
    if (at)
        b->at = at;
    if (!lines || !at)
        return false;
    b->cap = cap;
    return true;
}

static void add_piece(struct environment *env, int64_t time_ms, struct str line)
{
    struct home *h = env->home;
    struct line_batch *b = &env->lines;

    if (b->text.len + line.len > MAX_BATCH_BYTES)
        output_flush(env);
    if (!make_room(b))
        return;
    buf_init_when_new(&b->text);
    b->lines[b->n] = (struct log_sink_line){time_ms, {NULL, line.len}};
    b->at[b->n] = b->text.len;
    buf_add(&b->text, line.ptr ? line : STR(""));
    if (b->text.failed) { // out of memory: what waited is lost
        buf_finish(&b->text);
        b->n = 0;
        list_remove(&b->link);
        return;
    }
    if (b->n++ == 0) {
        list_append(&h->dirty, &b->link);
        if (!loop_timer_active(&h->flush))
            loop_timer_start(h->loop, &h->flush, FLUSH_AFTER_MS, on_flush);
    }
    if (b->text.len > FLUSH_BYTES)
        output_flush(env);
}

static void add_to_tail(struct environment *env, struct str line)
{
    if (!env->inv || !env->inv->want_tail)
        return;
    if (line.len > INVOCATION_TAIL_BYTES)
        line = str_slice(line, line.len - INVOCATION_TAIL_BYTES, line.len);
    if (env->tail.len + line.len + 1 > 2 * INVOCATION_TAIL_BYTES)
        buf_drop(&env->tail,
                 env->tail.len > INVOCATION_TAIL_BYTES ? env->tail.len - INVOCATION_TAIL_BYTES : 0);
    buf_add(&env->tail, line);
    buf_add_char(&env->tail, '\n');
}

void output_add(struct environment *env, enum output_origin origin, int64_t time_ms,
                struct str line)
{
    if (!env->function)
        return; // a spare has nothing to say, and nobody to say it to
    if (env->telemetry && origin != OUTPUT_PLATFORM)
        telemetry_line(env, origin == OUTPUT_FUNCTION ? TELEMETRY_FUNCTION : TELEMETRY_EXTENSION,
                       time_ms, line);
    add_to_tail(env, line);
    do {
        struct str piece = str_slice(line, 0, LOG_SINK_MAX_LINE_BYTES);
        add_piece(env, time_ms, piece);
        line = str_slice(line, piece.len, line.len);
    } while (line.len > 0);
}

void output_addf(struct environment *env, const char *format, ...)
{
    char text[2048];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (n >= (int)sizeof(text))
        n = (int)sizeof(text) - 1;
    output_add(env, OUTPUT_PLATFORM, os_now_ms(), (struct str){text, (size_t)n});
}

// ---- the pipe ----------------------------------------------------------------------------------

static void take(struct output_pipe *p, struct str data)
{
    struct environment *env = p->env;
    int64_t now = os_now_ms();
    struct buf *partial = &p->partial;

    while (data.len > 0) {
        ptrdiff_t end = str_find_char(data, '\n');
        struct str line = str_slice(data, 0, end < 0 ? data.len : (size_t)end);

        data = str_slice(data, end < 0 ? data.len : (size_t)end + 1, data.len);
        if (end >= 0 && partial->len == 0) {
            output_add(env, p->origin, now, line);
            continue;
        }
        while (partial->len + line.len >= LOG_SINK_MAX_LINE_BYTES) {
            size_t fits = LOG_SINK_MAX_LINE_BYTES - partial->len;
            buf_add(partial, str_slice(line, 0, fits));
            output_add(env, p->origin, now, buf_str(partial));
            buf_reset(partial);
            line = str_slice(line, fits, line.len);
        }
        buf_add(partial, line);
        if (end >= 0 && partial->len > 0)
            end_line(p);
    }
}

static void end_line(struct output_pipe *p)
{
    struct buf *partial = &p->partial;

    if (partial->len == 0)
        return;
    output_add(p->env, p->origin, os_now_ms(), buf_str(partial));
    buf_reset(partial);
    if (partial->cap > 4096 || partial->failed) {
        buf_finish(partial);
        buf_init(partial, LOG_SINK_MAX_LINE_BYTES);
    }
}

void output_end_line(struct environment *env)
{
    end_line(&env->output);
}

void output_pipe_drain(struct output_pipe *p)
{
    ssize_t n;

    for (unsigned i = 0; i < MAX_READS && p->fd >= 0; i++) {
        struct home *h = p->env->home;
        n = read(p->fd, h->output_scratch, sizeof(h->output_scratch));
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            loop_watch_stop(&p->watch);
        if (n <= 0)
            return;
        take(p, (struct str){h->output_scratch, (size_t)n});
        if ((size_t)n < sizeof(h->output_scratch))
            return; // the pipe is empty, or will wake us again
    }
}

void output_drain(struct environment *env)
{
    output_pipe_drain(&env->output);
    if (env->extensions)
        extensions_drain(env);
}

static void on_output(void *ctx, unsigned events)
{
    (void)events;
    output_pipe_drain(ctx);
}
