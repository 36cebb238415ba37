// fuzz_http2.c - HTTP/2 frames behind the preface: the same bytes in one piece and in small pieces
// make the same requests, and only well-formed ones reach a handler.
#include "fuzz.h"

#include "http/server_impl.h"

#include <sys/socket.h>
#include <unistd.h>

static struct loop *loop;
static struct http_listener *listener;

static struct seen {
    unsigned requests, pieces;
    uint64_t sum;
} * seeing;

static void add(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        seeing->sum = seeing->sum * 31 + (unsigned char)s.ptr[i] + 1;
    seeing->sum *= 31;
}

static void check(struct http_request *req)
{
    FUZZ_CHECK(req->target.len > 0 && (req->target.ptr[0] == '/' || req->target.ptr[0] == '*'));
    FUZZ_CHECK(http_header_count(req, STR("host")) == 1);
    seeing->requests++;
    add(req->method);
    add(req->target);
    for (unsigned i = 0; i < req->n_headers; i++) {
        FUZZ_CHECK(req->headers[i].value.len == 0 ||
                   !memchr(req->headers[i].value.ptr, '\n', req->headers[i].value.len));
        add(req->headers[i].name);
        add(req->headers[i].value);
    }
}

static void handle(void *ctx, struct http_request *req)
{
    (void)ctx;
    check(req);
    add(req->body.memory);
    if (req->n_trailers > 0)
        http_request_drop(req);
    else
        http_respond(req, &(struct http_response){.status = 200, .body = req->body.memory});
}

static void on_piece(struct http_request *req, struct str piece, bool last)
{
    add(piece);
    if (last)
        http_respond_end(req, NULL, 0);
    else
        http_respond_write(req, piece, NULL, NULL);
}

static void on_gone(struct http_request *req)
{
    http_request_drop(req);
}

static void on_headers(void *ctx, struct http_request *req)
{
    (void)ctx;
    if (!str_eq(req->method, STR("PUT")))
        return;
    check(req);
    req->on_body = on_piece;
    req->gone = on_gone;
    http_respond_begin(req, 200, NULL, 0, HTTP_LENGTH_UNKNOWN);
}

static void set_up(void)
{
    struct http_listener_config config = {
        .handle = handle, .on_headers = on_headers, .limits = HTTP_LIMITS_DEFAULT};
    struct err err = ERR_INIT;

    config.limits.body_bytes = config.limits.spool_bytes = 65536;
    FUZZ_CHECK(loop_create(&loop, &err) == 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    FUZZ_CHECK(http_listener_from_fd(loop, fd, &config, &listener, &err) == 0);
}

static void run(struct str in, size_t piece, struct seen *seen)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const union http_address peer = {.any.sa_family = AF_UNIX};
    int fds[2];

    *seen = (struct seen){0};
    seeing = seen;
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
    struct http_conn *c = http_conn_new(listener, loop, fds[0], &peer);
    FUZZ_CHECK(c);
    c->watching_task = true; // the loop does not run: its tasks are never done
    http2_start(c);
    c->protocol->input(c, preface, sizeof preface - 1);
    while (in.len > 0 && !http_conn_over(c)) {
        struct str part = str_slice(in, 0, piece);
        c->protocol->input(c, part.ptr, part.len);
        in = str_slice(in, part.len, in.len);
    }
    const struct http_loop *home = c->home;
    c->ending = true;
    http_conn_destroy(c);
    FUZZ_CHECK(!home->live); // every request was given back
    close(fds[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = fuzz_input(data, size > 16384 ? 16384 : size);
    struct seen whole, pieces;

    if (!loop)
        set_up();
    run(in, SIZE_MAX, &whole);
    run(in, 1 + size % 9, &pieces);
    // nghttp2 counts the pieces in which continuations (type 9) come against their limit.
    if (in.len > 0 && memchr(in.ptr, 9, in.len))
        return 0;
    FUZZ_CHECK(whole.requests == pieces.requests);
    FUZZ_CHECK(whole.sum == pieces.sum);
    return 0;
}
