// fuzz_framed.c - whatever a function writes to its control socket, in pieces of any size.
#include "runtime/control.c"

#include "fuzz.h"

static struct invocation inv;
static struct function_config function;
static uint64_t frames;

static void begin(struct environment *env)
{
    buf_finish(&inv.response_buf);
    inv = (struct invocation){.function = &function};
    buf_init(&inv.response_buf, FUNCTION_MAX_RESPONSE_BYTES + 1);
    env->inv = &inv;
    env->sequence++;
}

// What environment.c and its neighbours would do, as far as control.c can tell.
void environment_initialised(struct environment *env)
{
    env->state = ENV_BUSY;
    frames++;
}

void environment_init_failed(struct environment *env, struct str type, struct str body)
{
    FUZZ_CHECK(type.len + body.len <= MAX_ERROR_FRAME);
    env->state = ENV_SHUTDOWN;
    control_close(env);
}

void environment_answered(struct environment *env)
{
    FUZZ_CHECK(inv.response_buf.len <= MAX_ERROR_FRAME);
    FUZZ_CHECK(inv.status != INVOCATION_OK || inv.response_buf.len <= FUNCTION_MAX_RESPONSE_BYTES);
    FUZZ_CHECK(inv.error_type.len < sizeof(inv.error_type_text));
    frames++;
    begin(env);
}

void environment_next(struct environment *env)
{
    (void)env;
    frames++;
}

void environment_broken(struct environment *env, const char *why)
{
    (void)why;
    env->state = ENV_SHUTDOWN;
    control_close(env);
}

void output_drain(struct environment *env)
{
    (void)env;
}

void environment_restored(struct environment *env)
{
    (void)env;
    frames++;
}

void environment_restore_failed(struct environment *env, struct str type, struct str body)
{
    (void)env;
    FUZZ_CHECK(type.len + body.len <= MAX_ERROR_FRAME);
    frames++;
}

void output_end_line(struct environment *env)
{
    (void)env;
}

void output_add(struct environment *env, enum output_origin origin, int64_t time_ms,
                struct str line)
{
    (void)origin;
    (void)env;
    (void)time_ms;
    FUZZ_CHECK(line.len <= MAX_LOG_FRAME);
    frames++;
}

void environment_warm(struct environment *env)
{
    FUZZ_CHECK(env->state != ENV_SPARE);
    frames++;
}

void stream_begin(struct environment *env, struct str content_type)
{
    (void)content_type;
    env->streaming = true;
}

bool stream_write(struct environment *env, struct str bytes)
{
    (void)env;
    FUZZ_CHECK(bytes.len > 0);
    return bytes.len % 2 == 0;
}

void stream_failed(struct environment *env, struct str type, struct str body)
{
    (void)type;
    (void)body;
    env->inv->status = INVOCATION_FUNCTION_ERROR;
}

void invocation_set_error(struct invocation *i, const char *type, const char *format, ...)
{
    (void)type;
    (void)format;
    i->status = INVOCATION_FUNCTION_ERROR;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct environment env = {.state = ENV_INIT, .function = &function};
    size_t piece;

    if (size < 2)
        return 0;
    piece = 1 + data[0] % 64;
    env.state = data[1] % 2 ? ENV_INIT : ENV_BUSY;
    env.sandbox.control_fd = 1 << 30; // looks open; closing it does nothing
    begin(&env);
    for (size_t at = 2; at < size && env.sandbox.control_fd >= 0; at += piece) {
        size_t n = size - at < piece ? size - at : piece;
        char *copy = malloc(n); // its bounds are seen by the address sanitizer
        if (!copy)
            break;
        memcpy(copy, data + at, n);
        feed_all(&env, copy, n);
        free(copy);
        env.in_paused = false;
    }
    control_close(&env);
    buf_finish(&inv.response_buf);
    return 0;
}
