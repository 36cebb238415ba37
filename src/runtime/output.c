// output.c - what functions print: lines from the pipe, batched per turn of the loop for the sink.
//
// Invariant: lines of one environment reach the sink in order, and before the invocation that they
// belong to is answered. A batch holds lines of one environment; another one's lines flush it.

#include "runtime/runtime_impl.h"

#include "os/fd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_BATCH_BYTES (1 << 20)
#define MAX_READS 32 // per look: a flood does not keep the loop to itself

static void on_output(void *ctx, unsigned events);

int output_open(struct environment *env, struct err *err)
{
    if (env->sandbox.output_fd < 0)
        return 0;
    return loop_watch_fd(env->home->loop, env->sandbox.output_fd, LOOP_READ, on_output, env,
                         &env->output_watch, err);
}

void output_close(struct environment *env)
{
    loop_watch_stop(&env->output_watch);
    closep(&env->sandbox.output_fd);
}

// ---- the batch ---------------------------------------------------------------------------------

static void run_flush(struct loop_task *t)
{
    struct home *h = (struct home *)(void *)((char *)t - offsetof(struct home, lines) -
                                             offsetof(struct line_batch, flush));

    h->lines.flush_posted = false;
    output_flush(h);
}

void output_flush(struct home *h)
{
    struct line_batch *b = &h->lines;
    struct environment *env = b->env;
    const struct function_config *f;

    if (!env || b->n == 0)
        return;
    f = env->function;
    for (size_t i = 0; i < b->n; i++) {
        b->out[i].time_ms = b->lines[i].time_ms;
        b->out[i].text = (struct str){b->text.ptr + b->lines[i].at, b->lines[i].len};
    }
    const struct log_sink_batch batch = {
        .account = f->account,
        .region = f->region,
        .group = f->log_group,
        .stream = str_from(env->stream),
        .lines = b->out,
        .n_lines = b->n,
    };
    log_sink_append(&batch);
    b->n = 0;
    b->env = NULL;
    buf_reset(&b->text);
}

void output_forget(struct environment *env)
{
    if (env->home->lines.env == env)
        output_flush(env->home);
}

static bool make_room(struct line_batch *b)
{
    size_t cap = b->cap ? b->cap * 2 : 64;
    void *lines, *out;

    if (b->n < b->cap)
        return true;
    lines = realloc(b->lines, cap * sizeof(*b->lines));
    if (lines)
        b->lines = lines;
    out = realloc(b->out, cap * sizeof(*b->out));
    if (out)
        b->out = out;
    if (!lines || !out)
        return false;
    b->cap = cap;
    return true;
}

static void add_piece(struct environment *env, int64_t time_ms, struct str line)
{
    struct home *h = env->home;
    struct line_batch *b = &h->lines;

    if (b->env != env || b->text.len + line.len > MAX_BATCH_BYTES)
        output_flush(h);
    if (b->text.max_bytes == 0)
        buf_init(&b->text, 2 * MAX_BATCH_BYTES);
    if (!make_room(b))
        return;
    b->lines[b->n].time_ms = time_ms;
    b->lines[b->n].at = b->text.len;
    b->lines[b->n].len = line.len;
    buf_add(&b->text, line.ptr ? line : STR(""));
    if (b->text.failed) {
        buf_finish(&b->text);
        buf_init(&b->text, 2 * MAX_BATCH_BYTES);
        b->n = 0;
        return;
    }
    b->n++;
    b->env = env;
    if (!b->flush_posted) {
        b->flush_posted = true;
        b->flush.run = run_flush;
        loop_post(h->loop, &b->flush);
    }
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

void output_add(struct environment *env, int64_t time_ms, struct str line)
{
    if (!env->function)
        return; // a spare has nothing to say, and nobody to say it to
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
    output_add(env, os_now_ms(), (struct str){text, (size_t)n});
}

// ---- the pipe ----------------------------------------------------------------------------------

static void take(struct environment *env, struct str data)
{
    int64_t now = os_now_ms();
    struct buf *partial = &env->partial_line;

    while (data.len > 0) {
        ptrdiff_t end = str_find_char(data, '\n');
        struct str line = str_slice(data, 0, end < 0 ? data.len : (size_t)end);

        data = str_slice(data, end < 0 ? data.len : (size_t)end + 1, data.len);
        if (end >= 0 && partial->len == 0) {
            output_add(env, now, line);
            continue;
        }
        while (partial->len + line.len >= LOG_SINK_MAX_LINE_BYTES) {
            size_t fits = LOG_SINK_MAX_LINE_BYTES - partial->len;
            buf_add(partial, str_slice(line, 0, fits));
            output_add(env, now, buf_str(partial));
            buf_reset(partial);
            line = str_slice(line, fits, line.len);
        }
        buf_add(partial, line);
        if (end >= 0 && partial->len > 0)
            output_end_line(env);
    }
}

void output_end_line(struct environment *env)
{
    struct buf *partial = &env->partial_line;

    if (partial->len == 0)
        return;
    output_add(env, os_now_ms(), buf_str(partial));
    buf_reset(partial);
    if (partial->cap > 4096 || partial->failed) {
        buf_finish(partial);
        buf_init(partial, LOG_SINK_MAX_LINE_BYTES);
    }
}

void output_drain(struct environment *env)
{
    struct home *h = env->home;
    ssize_t n;

    for (unsigned i = 0; i < MAX_READS && env->sandbox.output_fd >= 0; i++) {
        n = read(env->sandbox.output_fd, h->output_scratch, sizeof(h->output_scratch));
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            loop_watch_stop(&env->output_watch);
        if (n <= 0)
            return;
        take(env, (struct str){h->output_scratch, (size_t)n});
        if ((size_t)n < sizeof(h->output_scratch))
            return; // the pipe is empty, or will wake us again
    }
}

static void on_output(void *ctx, unsigned events)
{
    (void)events;
    output_drain(ctx);
}
