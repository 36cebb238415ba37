// fixture.c - a server on loops of this process, and a client that writes what it likes.
#include "fixture.h"

#include "os/fd.h"
#include "os/file.h"
#include "os/time.h"
#include "os/worker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define BIG_BYTES ((size_t)8 << 20)

struct fixture fx;

// ---- the handlers ----

struct later {
    struct work work;
    struct http_request *req;
};

static void run_later(struct work *w)
{
    (void)w;
}

static void later_done(struct work *w)
{
    struct later *l = (struct later *)w;

    http_respond_text(l->req, 200, STR("text/plain"), STR("later"));
}

static void echo(struct http_request *req)
{
    struct err err = ERR_INIT;
    struct str body;
    struct http_header headers[] = {
        {STR("X-Method"), req->method},
        {STR("X-Path"), req->path},
        {STR("X-Query"), req->query},
        {STR("X-Body"), req->body.fd >= 0 ? STR("file") : STR("memory")},
        {STR("X-Injected"), STR("a\r\nX-Evil: 1")},
        {STR("Bad Name"), STR("x")},
        {STR("Content-Length"), STR("3")},
        {STR("X-Trailer"), http_trailer_get(req, STR("x-sum"))},
        {STR("X-Remote"), http_remote_address(req)},
        {STR("X-Version"), req->major == 2 ? STR("2") : STR("1")},
        {STR("X-Host"), http_header_get(req, STR("host"))},
        {STR("X-Cookie"), http_header_get(req, STR("cookie"))},
    };

    assert_int_equal(http_body_read(req, 64 << 20, &body, &err), 0);
    assert_int_equal(body.ptr[body.len], 0);
    http_respond(
        req, &(struct http_response){
                 .status = 200, .headers = headers, .n_headers = ARRAY_LEN(headers), .body = body});
}

static char big_pattern(size_t i)
{
    return (char)('a' + i % 23);
}

static void on_taken(struct http_request *req, void *ctx);

static void stream_on(struct http_request *req)
{
    static const char piece[65536] = {'s'};
    uintptr_t n = (uintptr_t)req->user;

    while (n > 0) {
        int r = http_respond_write(req, (struct str){piece, sizeof piece}, on_taken, NULL);
        req->user = (void *)--n;
        if (r < 0) {
            http_request_drop(req);
            return;
        }
        if (r == 1)
            return;
    }
    struct http_header trailer = {STR("x-after"), STR("yes")};
    http_respond_end(req, &trailer, 1);
}

static void on_taken(struct http_request *req, void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&fx.taken, 1);
    stream_on(req);
}

static void on_gone(struct http_request *req)
{
    assert_true(req->client_gone);
    fx.held = NULL;
    http_request_drop(req);
    atomic_fetch_add(&fx.gone, 1);
}

static void handle(void *ctx, struct http_request *req)
{
    assert_ptr_equal(ctx, &fx);
    assert_ptr_equal(req->loop, loop_self());
    atomic_fetch_or(&fx.loops_seen, 1U << loop_index(loop_self()));
    // Counted before it is answered, but when it is held only once it is.
    bool hold = str_eq(req->path, STR("/hold"));
    if (!hold)
        atomic_fetch_add(&fx.handled, 1);
    if (str_eq(req->path, STR("/later"))) {
        struct later *l = arena_new(&req->arena, struct later);
        l->req = req;
        l->work = (struct work){.run = run_later, .done = later_done, .loop = req->loop};
        work_submit(&l->work);
    } else if (str_eq(req->path, STR("/stream"))) {
        req->user = (void *)(uintptr_t)200;
        http_respond_begin(req, 200, NULL, 0, HTTP_LENGTH_UNKNOWN);
        stream_on(req);
    } else if (str_eq(req->path, STR("/exact"))) {
        http_respond_begin(req, 200, NULL, 0, 10);
        http_respond_write(req, STR("01234"), NULL, NULL);
        http_respond_write(req, STR("56789too much"), NULL, NULL);
        http_respond_end(req, NULL, 0);
    } else if (str_eq(req->path, STR("/short"))) {
        http_respond_begin(req, 200, NULL, 0, 10);
        http_respond_write(req, STR("01234"), NULL, NULL);
        http_respond_end(req, NULL, 0);
    } else if (str_eq(req->path, STR("/aborted"))) {
        http_respond_begin(req, 200, NULL, 0, HTTP_LENGTH_UNKNOWN);
        http_respond_write(req, STR("half"), NULL, NULL);
        http_request_drop(req);
    } else if (str_eq(req->path, STR("/big"))) {
        char *p = arena_alloc(&req->arena, BIG_BYTES);
        for (size_t i = 0; i < BIG_BYTES; i++)
            p[i] = big_pattern(i);
        http_respond(req, &(struct http_response){.status = 200, .body = {p, BIG_BYTES}});
    } else if (str_eq(req->path, STR("/file"))) {
        struct err err = ERR_INIT;
        int fd = open_unlinked(fx.dir.ptr, &err);
        for (int i = 0; i < 100000; i++)
            dprintf(fd, "%08d\n", i);
        http_respond_file(req, &(struct http_response){.status = 206}, fd, 9, 899991);
    } else if (hold) {
        req->gone = on_gone;
        fx.held = req;
        atomic_fetch_add(&fx.handled, 1);
    } else if (str_eq(req->path, STR("/none"))) {
        http_respond(req, &(struct http_response){.status = 204, .body = STR("ignored")});
    } else if (str_eq(req->path, STR("/close"))) {
        http_respond(req,
                     &(struct http_response){.status = 200, .body = STR("bye"), .close = true});
    } else if (str_eq(req->path, STR("/drop"))) {
        http_request_drop(req);
    } else {
        echo(req);
    }
}

struct upload {
    size_t bytes;
    struct loop_timer timer;
    struct http_request *req;
};

static void on_upload_timer(struct loop_timer *t)
{
    struct upload *u = (struct upload *)(void *)((char *)t - offsetof(struct upload, timer));

    http_body_resume(u->req);
}

static void on_piece(struct http_request *req, struct str piece, bool last)
{
    struct upload *u = req->user;
    char text[64];

    u->bytes += piece.len;
    atomic_fetch_add(&fx.streamed, 1);
    if (!last) {
        if (str_eq(req->path, STR("/upload-early")) && u->bytes > 100) {
            loop_timer_stop(req->loop, &u->timer);
            http_respond_text(req, 409, STR("text/plain"), STR("enough"));
            return;
        }
        if (str_eq(req->path, STR("/upload-slow"))) {
            http_body_pause(req);
            loop_timer_start(req->loop, &u->timer, 1, on_upload_timer);
        }
        return;
    }
    atomic_fetch_add(&fx.last_pieces, 1);
    loop_timer_stop(req->loop, &u->timer);
    struct str trailer = http_trailer_get(req, STR("x-sum"));
    int n = snprintf(text, sizeof text, "%zu %.*s", u->bytes, STR_ARG(trailer));
    http_respond_text(req, 200, STR("text/plain"), (struct str){text, (size_t)n});
}

static void upload_gone(struct http_request *req)
{
    struct upload *u = req->user;

    loop_timer_stop(req->loop, &u->timer);
    http_request_drop(req);
    atomic_fetch_add(&fx.gone, 1);
}

static void on_headers(void *ctx, struct http_request *req)
{
    (void)ctx;
    if (fx.hold_on_headers) {
        http_respond_text(req, fx.hold_on_headers, STR("text/plain"), STR("refused"));
        return;
    }
    if (!str_starts(req->path, STR("/upload")))
        return;
    struct upload *u = arena_new(&req->arena, struct upload);
    u->req = req;
    req->user = u;
    req->on_body = on_piece;
    req->gone = upload_gone;
}

// ---- life ----

int fixture_start(unsigned loops, void (*change)(struct http_listener_config *config))
{
    struct err err = ERR_INIT;

    memset(&fx, 0, sizeof fx);
    arena_init(&fx.arena, 256 << 20);
    if (make_temp_dir(&fx.arena, "lambkin-http-", &fx.dir, &err) < 0)
        return -1;
    struct http_listener_config config = {
        .handle = handle,
        .on_headers = on_headers,
        .ctx = &fx,
        .limits = HTTP_LIMITS_DEFAULT,
        .spool_dir = fx.dir.ptr,
        .gather = true,
    };
    if (change)
        change(&config);
    if (loops_start(loops, &err) < 0 || workers_start(2, &err) < 0 ||
        http_listener_open("127.0.0.1", 0, &config, &fx.listener, &err) < 0) {
        print_error("%s\n", err.message);
        return -1;
    }
    fx.port = http_listener_port(fx.listener);
    return 0;
}

static void close_listener(void *unused)
{
    (void)unused;
    if (fx.listener)
        http_listener_close(fx.listener);
}

int fixture_stop(void)
{
    struct err err = ERR_INIT;

    loop_call(loop_at(0), close_listener, NULL);
    workers_stop();
    loops_stop();
    int r = rm_rf(fx.dir.ptr, &err);
    arena_finish(&fx.arena);
    return r;
}

// ---- the client ----

int client_open(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(fx.port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {.tv_sec = 60};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

void client_send(int fd, struct str s)
{
    while (s.len > 0) {
        ssize_t n = send(fd, s.ptr, s.len, MSG_NOSIGNAL);
        if (n < 0)
            return; // the server may have closed already: reading tells
        s = str_slice(s, (size_t)n, s.len);
    }
}

void client_sendz(int fd, const char *s)
{
    client_send(fd, str_from(s));
}

static ssize_t receive(int fd, struct buf *b)
{
    if (!buf_reserve(b, 65536))
        fail_msg("the answer is too long");
    ssize_t n = recv(fd, b->ptr + b->len, 65536, 0);
    if (n < 0 && errno != ECONNRESET)
        fail_msg("recv: %s", strerror(errno));
    if (n > 0)
        b->len += (size_t)n;
    return n;
}

// What comes behind an answer stays in the socket: heads are read byte by byte.
static bool read_until(int fd, struct buf *b, const char *end)
{
    size_t n = strlen(end);

    while (b->len < n || memcmp(b->ptr + b->len - n, end, n) != 0) {
        char c;
        ssize_t got = recv(fd, &c, 1, 0);
        if (got <= 0)
            return false;
        buf_add_char(b, c);
    }
    return true;
}

static bool read_exactly(int fd, struct buf *b, size_t n)
{
    while (n > 0) {
        if (!buf_reserve(b, n))
            return false;
        ssize_t got = recv(fd, b->ptr + b->len, n, 0);
        if (got <= 0)
            return false;
        b->len += (size_t)got;
        n -= (size_t)got;
    }
    return true;
}

static struct str find_header(struct str head, const char *name)
{
    struct str line, key;

    while (str_next(&head, '\n', &line)) {
        struct str value = line;
        if (str_next(&value, ':', &key) && str_eq_nocase(key, str_from(name)))
            return str_trim(value);
    }
    return STR_NULL;
}

static void read_chunks(int fd, struct answer *a, struct buf *body)
{
    for (;;) {
        _cleanup_(buf_finishp) struct buf line = {0};
        buf_init(&line, 65536);
        if (!read_until(fd, &line, "\r\n")) {
            a->closed = true;
            return;
        }
        size_t size = strtoul(line.ptr, NULL, 16);
        if (size == 0) {
            buf_reset(&line);
            while (read_exactly(fd, &line, 1) && !str_eq(buf_str(&line), STR("\r\n")) &&
                   !str_ends(buf_str(&line), STR("\r\n\r\n")))
                ;
            a->trailers = arena_str(&fx.arena, buf_str(&line));
            return;
        }
        if (!read_exactly(fd, body, size) || !read_exactly(fd, &line, 2)) {
            a->closed = true;
            return;
        }
    }
}

struct answer client_read(int fd, bool of_head)
{
    _cleanup_(buf_finishp) struct buf head = {0};
    _cleanup_(buf_finishp) struct buf body = {0};
    struct answer a = {0};

    buf_init(&head, 1 << 20);
    buf_init(&body, 64 << 20);
    if (!read_until(fd, &head, "\r\n\r\n")) {
        a.closed = true;
        return a;
    }
    a.head = arena_str(&fx.arena, buf_str(&head));
    assert_true(str_starts(a.head, STR("HTTP/1.1 ")));
    a.status = (int)strtol(a.head.ptr + 9, NULL, 10);
    struct str length = find_header(a.head, "content-length");
    struct str coding = find_header(a.head, "transfer-encoding");
    if (of_head || a.status == 204 || a.status == 304 || a.status < 200) {
    } else if (!str_is_null(coding)) {
        assert_true(str_is_null(length));
        read_chunks(fd, &a, &body);
    } else if (!str_is_null(length)) {
        a.closed = !read_exactly(fd, &body, strtoul(length.ptr, NULL, 10));
    } else {
        while (receive(fd, &body) > 0)
            ;
        a.closed = true;
    }
    a.body = arena_str(&fx.arena, buf_str(&body));
    return a;
}

struct str client_read_all(int fd)
{
    _cleanup_(buf_finishp) struct buf b = {0};

    buf_init(&b, 64 << 20);
    while (receive(fd, &b) > 0)
        ;
    return arena_str(&fx.arena, buf_str(&b));
}

struct answer ask(const char *request)
{
    _cleanup_close_ int fd = client_open();

    client_sendz(fd, request);
    return client_read(fd, false);
}

void wait_for(atomic_uint *value, unsigned at_least)
{
    int64_t deadline = os_mono_ms() + 60000;

    while (atomic_load(value) < at_least) {
        if (os_mono_ms() > deadline)
            fail_msg("it did not happen within 60 s");
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}
