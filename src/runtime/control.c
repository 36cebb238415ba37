// control.c - the framed socket: frames in pieces as the kernel gives them, frames out in one
// write.
//
// Small frames are handled where they were read (the home's scratch); the body of a larger one is
// read straight into memory of its size, and a response's memory becomes the invocation's. Bodies
// of streams are passed on as they come. Invariant: after a handler ran, env may have been given
// another invocation or be in SHUTDOWN, but it is not freed: that needs the keeper's event.

#include "base/cleanup.h"
#include "os/fd.h"
#include "runtime/runtime_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_LOG_FRAME (4 << 20)
#define MAX_ERROR_FRAME (8 << 20)

static void on_control(void *ctx, unsigned events);

int control_open(struct environment *env, struct err *err)
{
    return loop_watch_fd(env->home->loop, env->sandbox.control_fd, LOOP_READ, on_control, env,
                         &env->control_watch, err);
}

void control_close(struct environment *env)
{
    loop_watch_stop(&env->control_watch);
    closep(&env->sandbox.control_fd);
    free(env->in_body);
    env->in_body = NULL;
    env->in_have = env->in_head_have = 0;
}

// ---- out ---------------------------------------------------------------------------------------

static void watch_more(struct environment *env)
{
    if (env->control_watch)
        loop_watch_events(env->control_watch,
                          (env->in_paused ? 0U : LOOP_READ) | (env->out.len > 0 ? LOOP_WRITE : 0U));
}

static void send_parts(struct environment *env, struct iovec *parts, int n)
{
    const struct msghdr m = {.msg_iov = parts, .msg_iovlen = (size_t)n};
    ssize_t sent = 0;

    if (env->sandbox.control_fd < 0)
        return;
    if (env->out.len == 0) {
        do
            sent = sendmsg(env->sandbox.control_fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
        while (sent < 0 && errno == EINTR);
        if (sent < 0 && errno != EAGAIN)
            return; // it has gone: its exit will be told
        if (sent < 0)
            sent = 0;
    }
    for (int i = 0; i < n; i++) {
        size_t skip = (size_t)sent < parts[i].iov_len ? (size_t)sent : parts[i].iov_len;
        sent -= (ssize_t)skip;
        if (skip < parts[i].iov_len)
            buf_add(&env->out,
                    (struct str){(char *)parts[i].iov_base + skip, parts[i].iov_len - skip});
    }
    if (env->out.len > 0)
        watch_more(env);
}

void control_send(struct environment *env, struct str bytes)
{
    struct iovec one = {(void *)bytes.ptr, bytes.len};

    send_parts(env, &one, 1);
}

void control_send_invoke(struct environment *env, struct invocation *inv, int64_t deadline_ms)
{
    const struct str fields[] = {inv->request_id,     inv->invoked_arn,      inv->trace_id,
                                 inv->client_context, inv->cognito_identity, inv->tenant_id};
    struct frame_invoke head = {.header = {.type = FRAME_INVOKE, .sequence = env->sequence},
                                .deadline_ms = (uint64_t)deadline_ms};
    struct iovec parts[8];
    size_t total = sizeof(head) - sizeof(head.header) + inv->payload.len;

    for (unsigned i = 0; i < 6; i++) {
        head.lengths[i] = (uint32_t)fields[i].len;
        parts[1 + i] = (struct iovec){(void *)fields[i].ptr, fields[i].len};
        total += fields[i].len;
    }
    head.header.length = (uint32_t)total;
    parts[0] = (struct iovec){&head, sizeof(head)};
    parts[7] = (struct iovec){(void *)inv->payload.ptr, inv->payload.len};
    send_parts(env, parts, 8);
}

static void flush_out(struct environment *env)
{
    ssize_t n;

    if (env->out.len == 0)
        return;
    n = send(env->sandbox.control_fd, env->out.ptr, env->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0)
        buf_drop(&env->out, (size_t)n);
    else if (n < 0 && errno != EAGAIN && errno != EINTR)
        buf_reset(&env->out);
    if (env->out.len == 0) {
        size_t max = env->out.max_bytes;
        buf_finish(&env->out); // it may have held a large payload
        buf_init(&env->out, max);
    }
    watch_more(env);
}

// ---- in ----------------------------------------------------------------------------------------

static bool is_stale(const struct environment *env)
{
    return env->state != ENV_BUSY || !env->inv || env->in_head.sequence != env->sequence;
}

// Takes an error's body apart: u32 length, type, JSON.
static bool split_error(struct str body, struct str *type, struct str *json)
{
    uint32_t n;

    if (body.len < 4)
        return false;
    memcpy(&n, body.ptr, 4);
    if (n > body.len - 4)
        return false;
    *type = str_slice(body, 4, 4 + n);
    *json = str_slice(body, 4 + n, body.len);
    return true;
}

static void set_function_error(struct invocation *inv, struct str type, struct str json)
{
    inv->status = INVOCATION_FUNCTION_ERROR;
    inv->function_error = "Unhandled";
    if (type.len >= sizeof(inv->error_type_text))
        type.len = sizeof(inv->error_type_text) - 1;
    memcpy(inv->error_type_text, type.ptr, type.len);
    inv->error_type = (struct str){inv->error_type_text, type.len};
    buf_finish(&inv->response_buf);
    buf_init(&inv->response_buf, json.len + 1);
    buf_add(&inv->response_buf, json);
    inv->response = buf_str(&inv->response_buf);
    inv->content_type = STR("application/json");
}

static void too_large(struct invocation *inv)
{
    invocation_set_error(inv, "Function.ResponseSizeTooLarge",
                         "Response payload size exceeded maximum allowed payload size "
                         "(%d bytes).",
                         FUNCTION_MAX_RESPONSE_BYTES);
}

static void on_response(struct environment *env, struct str body, char *owned)
{
    struct invocation *inv = env->inv;

    if (env->in_skip) {
        too_large(inv);
    } else if (owned) {
        buf_finish(&inv->response_buf);
        inv->response_buf = (struct buf){owned, body.len, body.len + 1, body.len + 1, false};
        env->in_body = NULL;
    } else {
        buf_add(&inv->response_buf, body);
    }
    inv->response = buf_str(&inv->response_buf);
    environment_answered(env);
}

static void on_log(struct environment *env, struct str text)
{
    output_drain(env); // what was printed before it comes before it
    output_end_line(env);
    if (str_ends(text, STR("\n")))
        text.len--;
    output_add(env, OUTPUT_FUNCTION, (int64_t)env->in_head.sequence, text);
}

// A whole frame. `owned`: body's memory, which a handler may take by clearing env->in_body.
static void on_frame(struct environment *env, struct str body, char *owned)
{
    struct str type, json;

    switch ((enum frame_type)env->in_head.type) {
    case FRAME_READY:
        environment_initialised(env);
        return;
    case FRAME_INIT_ERROR:
        output_drain(env);
        output_end_line(env);
        if (split_error(body, &type, &json))
            environment_init_failed(env, type, json);
        return;
    case FRAME_RESTORED:
        environment_restored(env);
        return;
    case FRAME_RESTORE_ERROR:
        output_drain(env);
        output_end_line(env);
        if (split_error(body, &type, &json))
            environment_restore_failed(env, type, json);
        return;
    case FRAME_RESPONSE:
        if (!is_stale(env))
            on_response(env, body, owned);
        return;
    case FRAME_ERROR:
        if (is_stale(env) || !split_error(body, &type, &json))
            return;
        set_function_error(env->inv, type, json);
        env->leaving = env->in_head.flags & FRAME_FLAG_LEAVING;
        environment_answered(env);
        return;
    case FRAME_STREAM_BEGIN:
        if (!is_stale(env))
            stream_begin(env, body);
        return;
    case FRAME_STREAM_END:
        if (!is_stale(env))
            environment_answered(env);
        return;
    case FRAME_STREAM_ERROR:
        if (is_stale(env) || !split_error(body, &type, &json))
            return;
        env->streaming = true;
        env->leaving = env->in_head.flags & FRAME_FLAG_LEAVING;
        stream_failed(env, type, json);
        environment_answered(env);
        return;
    case FRAME_LOG:
        if (env->function)
            on_log(env, body);
        return;
    case FRAME_NEXT:
        if (env->in_head.sequence == env->sequence)
            environment_next(env);
        return;
    case FRAME_WARM:
        environment_warm(env);
        return;
    case FRAME_STREAM_CHUNK: // passed on in pieces
    case FRAME_INIT:
    case FRAME_INVOKE:
    case FRAME_RESTORE:
    case FRAME_BESIDE:
        break;
    }
    environment_broken(env, "the runtime sent a frame of an unknown kind");
}

// Whether the body of the frame that begins may be taken; decides how.
static bool admit(struct environment *env)
{
    uint32_t length = env->in_head.length;

    env->in_skip = false;
    switch (env->in_head.type) {
    case FRAME_STREAM_CHUNK:
        return true;
    case FRAME_RESPONSE:
        env->in_skip = length > FUNCTION_MAX_RESPONSE_BYTES;
        return true;
    case FRAME_LOG:
        env->in_skip = length > MAX_LOG_FRAME;
        return true;
    default:
        return length <= MAX_ERROR_FRAME;
    }
}

// Takes from the front of data; how much it took. Stops early when a stream must wait.
static size_t feed(struct environment *env, const char *data, size_t n)
{
    size_t want, got, used = 0;
    struct str body;

    if (env->in_head_have < FRAME_HEADER_BYTES) {
        got = FRAME_HEADER_BYTES - env->in_head_have;
        if (got > n)
            got = n;
        memcpy((char *)&env->in_head + env->in_head_have, data, got);
        env->in_head_have += (unsigned)got;
        used = got;
        if (env->in_head_have < FRAME_HEADER_BYTES)
            return used;
        env->in_have = 0;
        if (!admit(env)) {
            environment_broken(env, "the runtime sent a frame that is too long");
            return n;
        }
    }
    data += used;
    n -= used;
    want = env->in_head.length - env->in_have;
    got = want < n ? want : n;
    if (env->in_head.type == FRAME_STREAM_CHUNK) {
        env->in_have += got;
        if (env->in_have == env->in_head.length)
            env->in_head_have = 0;
        if (got > 0 && !is_stale(env) && !stream_write(env, (struct str){data, got}))
            env->in_paused = true;
        return used + got;
    }
    if (env->in_skip) {
        env->in_have += got;
        body = STR("");
    } else if (env->in_have == 0 && got == want) {
        env->in_have = got;
        body = (struct str){data, got}; // whole, where it was read
    } else {
        if (!env->in_body)
            env->in_body = malloc((size_t)env->in_head.length + 1);
        if (!env->in_body) {
            environment_broken(env, "out of memory for a frame");
            return used + n;
        }
        memcpy(env->in_body + env->in_have, data, got);
        env->in_have += got;
        body = (struct str){env->in_body, env->in_have};
    }
    if (env->in_have == env->in_head.length) {
        env->in_head_have = 0;
        on_frame(env, body, env->in_body);
        free(env->in_body);
        env->in_body = NULL;
    }
    return used + got;
}

static void feed_all(struct environment *env, const char *data, size_t n)
{
    while (n > 0 && env->sandbox.control_fd >= 0) {
        size_t used = feed(env, data, n);
        data += used;
        n -= used;
    }
}

// Reads what is there. False: nothing more now, or the other side has gone.
static bool read_some(struct environment *env)
{
    struct home *h = env->home;
    char *to = h->scratch;
    size_t room = sizeof(h->scratch);
    ssize_t n;

    if (env->sandbox.control_fd < 0 || env->in_paused)
        return false;
    if (env->in_body) { // the rest of a large body goes where it belongs
        to = env->in_body + env->in_have;
        room = env->in_head.length - env->in_have;
    }
    do
        n = recv(env->sandbox.control_fd, to, room, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0) { // its exit will be told
        loop_watch_stop(&env->control_watch);
        return false;
    }
    if (!env->in_body) {
        // on_frame may read the next output into the same scratch: it is not the control data's
        feed_all(env, to, (size_t)n);
        return (size_t)n == room;
    }
    env->in_have += (size_t)n;
    if (env->in_have == env->in_head.length) {
        char *whole = env->in_body;
        env->in_head_have = 0;
        on_frame(env, (struct str){whole, env->in_have}, whole);
        free(env->in_body);
        env->in_body = NULL;
    }
    return true;
}

static void on_control(void *ctx, unsigned events)
{
    struct environment *env = ctx;

    if (events & LOOP_WRITE)
        flush_out(env);
    if (events & LOOP_READ)
        read_some(env);
    if (env->in_paused)
        watch_more(env);
}

void control_resume(struct environment *env)
{
    env->in_paused = false;
    while (read_some(env)) {
    }
    watch_more(env);
}
