// fuzz_http1.c - HTTP/1 framing: the same bytes in one piece and in small pieces make the same
// requests, no body is longer than it was sent, and nothing that follows a refusal is read.
#include "fuzz.h"

#include "http/server_impl.h"
#include "os/fd.h"
#include "os/loop.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#define MAX_SEEN 64

// What a handler saw, folded into a few numbers per request.
struct seen {
    unsigned n;
    struct {
        size_t target, headers, body, trailers;
        uint64_t sum;
    } at[MAX_SEEN];
    size_t body_bytes;
};

static struct loop *loop;
static struct http_listener *listener;
static struct seen *seeing;

static uint64_t add(uint64_t sum, struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        sum = sum * 31 + (unsigned char)s.ptr[i] + 1;
    return sum * 31;
}

static void handle(void *ctx, struct http_request *req)
{
    struct err err = ERR_INIT;
    struct str body;
    uint64_t sum = 0;
    (void)ctx;

    FUZZ_CHECK(http_body_read(req, (size_t)1 << 20, &body, &err) == 0);
    FUZZ_CHECK(body.len == req->body.size_bytes);
    FUZZ_CHECK(req->target.len > 0 && (req->target.ptr[0] == '/' || req->target.ptr[0] == '*'));
    FUZZ_CHECK(!memchr(req->target.ptr, ' ', req->target.len));
    sum = add(add(add(sum, req->method), req->target), body);
    for (unsigned i = 0; i < req->n_headers; i++) {
        FUZZ_CHECK(http_field_name_valid(req->headers[i].name));
        FUZZ_CHECK(!memchr(req->headers[i].value.ptr, '\n', req->headers[i].value.len));
        FUZZ_CHECK(!memchr(req->headers[i].value.ptr, '\r', req->headers[i].value.len));
        FUZZ_CHECK(!memchr(req->headers[i].value.ptr, 0, req->headers[i].value.len));
        sum = add(add(sum, req->headers[i].name), req->headers[i].value);
    }
    FUZZ_CHECK(!(http_header_get(req, STR("content-length")).ptr &&
                 http_header_get(req, STR("transfer-encoding")).ptr));
    if (seeing->n < MAX_SEEN) {
        seeing->at[seeing->n].target = req->target.len;
        seeing->at[seeing->n].headers = req->n_headers;
        seeing->at[seeing->n].body = body.len;
        seeing->at[seeing->n].trailers = req->n_trailers;
        seeing->at[seeing->n].sum = sum;
        seeing->n++;
    }
    seeing->body_bytes += body.len;
    http_respond(req, &(struct http_response){.status = 200});
}

static void set_up(void)
{
    static const struct http_limits limits = {.header_bytes = 2048,
                                              .headers = 32,
                                              .body_bytes = 65536,
                                              .spool_bytes = 65536,
                                              .header_ms = 60000,
                                              .body_ms = 60000,
                                              .idle_ms = 60000,
                                              .write_ms = 60000,
                                              .connections = 100};
    const struct http_listener_config config = {.handle = handle, .limits = limits};
    struct err err = ERR_INIT;
    int fd;

    FUZZ_CHECK(loop_create(&loop, &err) == 0);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
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
    c->parsing = true;
    while (in.len > 0 && !http_conn_over(c) && c->phase <= CONN_BODY) {
        struct str part = str_slice(in, 0, piece);
        size_t used = http1_feed(c, part.ptr, part.len);
        FUZZ_CHECK(used <= part.len);
        if (used == 0)
            break; // an answer that the socket does not take
        in = str_slice(in, used, in.len);
    }
    c->parsing = false;
    c->ending = true; // the loop does not run: no task is to end it
    http_conn_destroy(c);
    close(fds[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = fuzz_input(data, size > 8192 ? 8192 : size);
    struct seen whole, pieces;

    if (!loop)
        set_up();
    run(in, SIZE_MAX, &whole);
    run(in, 1 + size % 7, &pieces);
    FUZZ_CHECK(whole.n == pieces.n);
    FUZZ_CHECK(memcmp(whole.at, pieces.at, sizeof whole.at) == 0);
    FUZZ_CHECK(whole.body_bytes <= in.len);
    return 0;
}
