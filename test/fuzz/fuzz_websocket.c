// fuzz_websocket.c - WebSocket frames: the same bytes in one piece and in small pieces make the
// same messages, text is UTF-8, nothing is longer than allowed.
#include "fuzz.h"

#include "base/utf8.h"
#include "http/server_impl.h"
#include "http/websocket.h"

#include <sys/socket.h>
#include <unistd.h>

static const char upgrade[] = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                              "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

struct seen {
    unsigned messages, closed;
    uint64_t sum;
    int code;
};

static struct loop *loop;
static struct http_listener *listener;
static struct seen *seeing;

static void on_message(struct http_websocket *ws, bool text, struct str data)
{
    FUZZ_CHECK(data.len <= WEBSOCKET_MAX_MESSAGE_BYTES);
    FUZZ_CHECK(!text || utf8_valid(data));
    seeing->messages++;
    seeing->sum = seeing->sum * 31 + text;
    for (size_t i = 0; i < data.len; i++)
        seeing->sum = seeing->sum * 31 + (unsigned char)data.ptr[i];
    http_websocket_send(ws, text, data);
    if (data.len == 3)
        http_websocket_close(ws, 1000, data);
}

static void on_closed(struct http_websocket *ws, int code, struct str reason)
{
    (void)ws;
    FUZZ_CHECK(reason.len <= 123 && utf8_valid(reason));
    seeing->closed++;
    seeing->code = code;
}

static void handle(void *ctx, struct http_request *req)
{
    static const struct http_websocket_callbacks callbacks = {.message = on_message,
                                                              .closed = on_closed};

    FUZZ_CHECK(http_websocket_accept(req, &callbacks, ctx, NULL, 0));
}

static void set_up(void)
{
    const struct http_listener_config config = {.handle = handle, .limits = HTTP_LIMITS_DEFAULT};
    struct err err = ERR_INIT;

    FUZZ_CHECK(loop_create(&loop, &err) == 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    FUZZ_CHECK(http_listener_from_fd(loop, fd, &config, &listener, &err) == 0);
}

static void run(struct str in, size_t piece, struct seen *seen)
{
    const union http_address peer = {.any.sa_family = AF_UNIX};
    int fds[2];

    *seen = (struct seen){0};
    seeing = seen;
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
    struct http_conn *c = http_conn_new(listener, loop, fds[0], &peer);
    FUZZ_CHECK(c);
    c->watching_task = true; // the loop does not run: no task is to be posted
    c->ending = false;
    c->parsing = true;
    FUZZ_CHECK(http1_feed(c, upgrade, sizeof upgrade - 1) == sizeof upgrade - 1);
    c->parsing = false;
    FUZZ_CHECK(c->phase == CONN_UPGRADED);
    while (in.len > 0 && !c->closed && !http_conn_sending(c)) {
        struct str part = str_slice(in, 0, piece);
        // The end is posted by http_conn_close and http_conn_break; the memory stays.
        c->protocol->input(c, part.ptr, part.len);
        in = str_slice(in, part.len, in.len);
        if (http_conn_over(c))
            break;
    }
    c->ending = true;
    http_conn_destroy(c);
    FUZZ_CHECK(seen->closed == 1);
    close(fds[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = fuzz_input(data, size > 16384 ? 16384 : size);
    struct seen whole, pieces;

    if (!loop)
        set_up();
    run(in, SIZE_MAX, &whole);
    run(in, 1 + size % 5, &pieces);
    FUZZ_CHECK(whole.messages == pieces.messages);
    FUZZ_CHECK(whole.sum == pieces.sum);
    FUZZ_CHECK(whole.code == pieces.code);
    return 0;
}
