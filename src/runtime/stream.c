// stream.c - a streamed answer on its way from the environment's loop to the caller's.
//
// On one loop a piece goes straight into the caller's sink. Between loops it travels as a copy, one
// at a time: the environment is not read from until the piece was taken. A caller that does not
// stream gets the whole as one response. The sink is called on inv->loop only.

#include "runtime/runtime_impl.h"

#include <stdlib.h>

struct piece {
    struct loop_task task;
    struct invocation *inv;
    size_t len;
    char bytes[];
};

struct resume {
    struct loop_task task;
    uint64_t environment_id;
};

static struct home *home_of(uint64_t environment_id)
{
    return runtime.homes[(environment_id >> 16) & 0xf];
}

static void resume_here(uint64_t environment_id)
{
    struct environment *env = home_find(home_of(environment_id), environment_id);

    if (!env || env->state == ENV_SHUTDOWN)
        return;
    if (env->interpreter)
        control_resume(env);
    else
        runtime_api_resume(env);
}

static void run_resume(struct loop_task *t)
{
    struct resume *r = (struct resume *)(void *)t;

    resume_here(r->environment_id);
    free(r);
}

static void resume_from_afar(uint64_t environment_id)
{
    struct resume *r = calloc(1, sizeof(*r));

    if (!r)
        return; // the environment's timeout ends it
    r->task.run = run_resume;
    r->environment_id = environment_id;
    loop_post(home_of(environment_id)->loop, &r->task);
}

void invocation_resume(struct invocation *inv)
{
    // Always by way of a task: the sink may be in the middle of what this would call.
    if (inv->environment_id)
        resume_from_afar(inv->environment_id);
}

static int to_sink(struct invocation *inv, struct str bytes)
{
    if (inv->sink_gone)
        return INVOCATION_SINK_GO;
    if (!inv->sink_begun) {
        inv->sink_begun = true;
        inv->sink->begin(inv, inv->content_type);
    }
    int r = inv->sink->write(inv, bytes);
    if (r == INVOCATION_SINK_GONE)
        inv->sink_gone = true;
    return r;
}

void stream_begin(struct environment *env, struct str content_type)
{
    struct invocation *inv = env->inv;

    env->streaming = true;
    env->first_byte_ns = (uint64_t)os_mono_ns();
    if (content_type.len >= sizeof(inv->content_type_text))
        content_type.len = sizeof(inv->content_type_text) - 1;
    memcpy(inv->content_type_text, content_type.ptr, content_type.len);
    inv->content_type = (struct str){inv->content_type_text, content_type.len};
}

static void run_piece(struct loop_task *t)
{
    struct piece *p = (struct piece *)(void *)t;
    uint64_t id = p->inv->environment_id;

    if (to_sink(p->inv, (struct str){p->bytes, p->len}) != INVOCATION_SINK_WAIT)
        resume_from_afar(id);
    free(p);
}

bool stream_write(struct environment *env, struct str bytes)
{
    struct invocation *inv = env->inv;
    struct piece *p;

    env->streaming = true;
    if (inv->status == INVOCATION_FUNCTION_ERROR)
        return true; // too large already: the rest is thrown away
    env->streamed_bytes += bytes.len;
    if (env->streamed_bytes >
        (inv->sink ? INVOCATION_MAX_STREAM_BYTES : (uint64_t)FUNCTION_MAX_RESPONSE_BYTES)) {
        invocation_set_error(inv, "Function.ResponseSizeTooLarge",
                             "Response payload size exceeded maximum allowed payload size "
                             "(%llu bytes).",
                             (unsigned long long)(inv->sink ? INVOCATION_MAX_STREAM_BYTES
                                                            : FUNCTION_MAX_RESPONSE_BYTES));
        return true;
    }
    if (!inv->sink) {
        buf_add(&inv->response_buf, bytes);
        return true;
    }
    if (inv->loop == env->home->loop)
        return to_sink(inv, bytes) != INVOCATION_SINK_WAIT;
    p = malloc(sizeof(*p) + bytes.len);
    if (!p) {
        invocation_set_error(inv, "Runtime.Unknown", "out of memory");
        return true;
    }
    p->task.run = run_piece;
    p->inv = inv;
    p->len = bytes.len;
    memcpy(p->bytes, bytes.ptr, bytes.len);
    loop_post(inv->loop, &p->task);
    return false;
}

void stream_failed(struct environment *env, struct str type, struct str body)
{
    struct invocation *inv = env->inv;

    if (inv->status == INVOCATION_FUNCTION_ERROR)
        return;
    inv->status = INVOCATION_FUNCTION_ERROR;
    inv->function_error = "Unhandled";
    if (type.len >= sizeof(inv->error_type_text))
        type.len = sizeof(inv->error_type_text) - 1;
    memcpy(inv->error_type_text, type.ptr, type.len);
    inv->error_type = (struct str){inv->error_type_text, type.len};
    buf_finish(&inv->response_buf);
    buf_init(&inv->response_buf, body.len + 1);
    buf_add(&inv->response_buf, body);
    inv->response = buf_str(&inv->response_buf);
}
