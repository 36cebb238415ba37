// conn.c - one connection: reading, writing, time limits, its end.
//
// Invariants: see server_impl.h. Reading stops (and the kernel holds the client back) while c->in
// is full. The timer is lazy: `deadline_ms` moves freely, and the timer, when it fires too early,
// is started again.
#include "http/server_impl.h"

#include "os/fd.h"
#include "os/log.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINGER_MS 5000
#define READS_PER_TURN 4
#define KEEP_OUT_BYTES ((size_t)16384)

static void on_timer(struct loop_timer *t);

void http_conn_deadline(struct http_conn *c, int64_t after_ms)
{
    if (after_ms == INT64_MAX) {
        c->deadline_ms = INT64_MAX;
        return;
    }
    c->deadline_ms = loop_now_ms(c->loop) + after_ms;
    if (!loop_timer_active(&c->timer) || c->timer.due_ms > c->deadline_ms)
        loop_timer_start(c->loop, &c->timer, after_ms, on_timer);
}

bool http_conn_sending(const struct http_conn *c)
{
    return c->out.len > c->out_at || c->file_fd >= 0;
}

// What the phase allows for, when nothing waits to be sent.
static void phase_deadline(struct http_conn *c)
{
    const struct http_limits *limits = &c->listener->config.limits;

    switch ((enum conn_phase)c->phase) {
    case CONN_IDLE:
        http_conn_deadline(c, limits->idle_ms);
        break;
    case CONN_BODY:
        http_conn_deadline(c, c->req && c->req->paused ? INT64_MAX : limits->body_ms);
        break;
    case CONN_ANSWER:
    case CONN_FLUSH:
        http_conn_deadline(c, INT64_MAX);
        break;
    case CONN_HEAD:     // set when the head began
    case CONN_LINGER:   // set when it began
    case CONN_UPGRADED: // the protocol's
        break;
    }
}

void http_conn_watch(struct http_conn *c)
{
    unsigned events = 0;

    if (http_conn_over(c))
        return;
    if (!c->peer_done)
        events = c->in.len < HTTP_INPUT_BYTES ? LOOP_READ : LOOP_HANGUP;
    if (http_conn_sending(c) || c->ssl_wants_write)
        events |= LOOP_WRITE;
    loop_watch_events(c->watch, events);
}

// ---- the end ----

void http_conn_destroy(struct http_conn *c)
{
    if (!c->closed)
        http_conn_close(c);
    if (c->prev)
        c->prev->next = c->next;
    else
        c->home->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    free(c->late);
    free(c);
}

static void end_task(struct loop_task *t)
{
    http_conn_destroy(
        (struct http_conn *)(void *)((char *)t - offsetof(struct http_conn, end_task)));
}

static void post_end(struct http_conn *c)
{
    if (c->ending)
        return;
    c->ending = true;
    c->end_task.run = end_task;
    loop_post(c->loop, &c->end_task);
}

void http_conn_break(struct http_conn *c)
{
    if (http_conn_over(c))
        return;
    loop_watch_events(c->watch, 0);
    post_end(c);
}

void http_conn_close(struct http_conn *c)
{
    struct http_listener *l = c->listener;
    struct http_req *r = c->req;

    if (c->closed)
        return;
    c->closed = true;
    c->req = NULL;
    loop_watch_stop(&c->watch);
    loop_timer_stop(c->loop, &c->timer);
    closep(&c->file_fd);
    if (c->ssl) {
        ERR_clear_error();
        SSL_shutdown(c->ssl); // one try
        SSL_free(c->ssl);
        c->ssl = NULL;
    }
    closep(&c->fd);
    buf_finish(&c->out);
    if (l->config.gather)
        atomic_fetch_sub_explicit(&c->home->n_gathered, 1, memory_order_relaxed);
    atomic_fetch_sub(&l->connections, 1);
    if (c->protocol)
        c->protocol->closed(c);
    if (r)
        http_req_orphan(r);
    if (!c->parsing)
        buf_finish(&c->in);
    post_end(c);
    http_listener_unref(l);
}

// Our side is closed; what the client still sends is read, so that the kernel does not answer it
// with a reset, which would take our last answer from the client.
static void linger(struct http_conn *c)
{
    c->phase = CONN_LINGER;
    if (!c->parsing) // it is being fed from
        buf_finish(&c->in);
    if (c->ssl) {
        ERR_clear_error();
        SSL_shutdown(c->ssl);
    }
    shutdown(c->fd, SHUT_WR);
    http_conn_deadline(c, LINGER_MS);
    http_conn_watch(c);
}

// ---- writing ----

static ssize_t send_some(struct http_conn *c, struct iovec *iov, int n)
{
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)n};
    ssize_t sent;

    do
        sent = sendmsg(c->fd, &msg, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
    return sent;
}

// One piece of c->out; 0 when the kernel takes no more, or -EPIPE.
static ssize_t send_out(struct http_conn *c)
{
    struct iovec iov = {c->out.ptr + c->out_at, c->out.len - c->out_at};

    if (!c->ssl)
        return send_some(c, &iov, 1);
    ERR_clear_error();
    int n = SSL_write(c->ssl, iov.iov_base, iov.iov_len > 1 << 30 ? 1 << 30 : (int)iov.iov_len);
    if (n > 0)
        return n;
    int e = SSL_get_error(c->ssl, n);
    return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? 0 : -EPIPE;
}

// Some of the file, through c->out when it has to be encrypted.
static ssize_t send_file(struct http_conn *c)
{
    if (c->ssl) {
        size_t room = c->file_left < 65536 ? (size_t)c->file_left : 65536;
        if (!buf_reserve(&c->out, room))
            return -ENOMEM;
        ssize_t n = fd_pread_full(c->file_fd, c->out.ptr + c->out.len, room, c->file_offset);
        if (n <= 0)
            return -EIO;
        c->out.len += (size_t)n;
        return n;
    }
    off_t at = (off_t)c->file_offset;
    size_t most = c->file_left < 1 << 20 ? (size_t)c->file_left : 1 << 20;
    ssize_t n = sendfile(c->fd, c->file_fd, &at, most);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    return n <= 0 ? -EIO : n; // 0: the file is shorter than was said
}

// Sends what waits: 0 when all is taken, 1 when some waits, -EPIPE.
static int drain_out(struct http_conn *c)
{
    bool moved = false;

    for (;;) {
        ssize_t n;
        if (c->out.len > c->out_at) {
            n = send_out(c);
            if (n > 0)
                c->out_at += (size_t)n;
            if (c->out_at == c->out.len) {
                c->out_at = 0;
                if (c->out.cap > KEEP_OUT_BYTES)
                    buf_finish(&c->out);
                else
                    buf_reset(&c->out);
            }
        } else if (c->file_fd >= 0) {
            n = send_file(c);
            if (n > 0) {
                c->file_offset += (uint64_t)n;
                c->file_left -= (uint64_t)n;
            }
            if (c->file_left == 0)
                closep(&c->file_fd);
        } else {
            return 0;
        }
        if (n < 0)
            return -EPIPE;
        if (n == 0) {
            if (moved)
                http_conn_deadline(c, c->listener->config.limits.write_ms);
            return 1;
        }
        moved = true;
    }
}

// After output was queued or a flush was tried.
static int settle(struct http_conn *c, int r)
{
    if (r < 0) {
        http_conn_break(c);
        return -EPIPE;
    }
    http_conn_watch(c);
    return r;
}

int http_conn_send(struct http_conn *c, struct iovec *iov, int n)
{
    if (http_conn_over(c))
        return -EPIPE;
    if (!http_conn_sending(c) && !c->ssl) {
        ssize_t sent = send_some(c, iov, n);
        if (sent < 0)
            return settle(c, -EPIPE);
        while (n > 0 && (size_t)sent >= iov->iov_len) {
            sent -= (ssize_t)iov->iov_len;
            iov++;
            n--;
        }
        if (n == 0)
            return 0;
        iov->iov_base = (char *)iov->iov_base + sent;
        iov->iov_len -= (size_t)sent;
    }
    if (c->out_at > 0 && c->out_at >= c->out.len / 2) { // what was sent does not count
        buf_drop(&c->out, c->out_at);
        c->out_at = 0;
    }
    bool waits = http_conn_sending(c);
    for (int i = 0; i < n; i++)
        buf_add(&c->out, (struct str){iov[i].iov_base, iov[i].iov_len});
    if (c->out.failed) {
        log_warn("a client that does not read is cut off");
        return settle(c, -EPIPE);
    }
    int r = c->ssl ? drain_out(c) : 1;
    if (r == 1 && !waits)
        http_conn_deadline(c, c->listener->config.limits.write_ms);
    return settle(c, r);
}

int http_conn_send_file(struct http_conn *c, int fd, uint64_t offset, uint64_t length)
{
    if (http_conn_over(c) || length == 0) {
        closep(&fd);
        return length == 0 ? 0 : -EPIPE;
    }
    c->file_fd = fd;
    c->file_offset = offset;
    c->file_left = length;
    int r = drain_out(c);
    if (r == 1)
        http_conn_deadline(c, c->listener->config.limits.write_ms);
    return settle(c, r);
}

// ---- answers ----

static void http_conn_flushed(struct http_conn *c)
{
    struct http_req *r = c->req;

    if (c->phase == CONN_FLUSH) {
        if (c->close_after || (c->peer_done && c->in.len == 0)) {
            if (c->unread || c->in.len > 0)
                linger(c);
            else
                http_conn_close(c);
            return;
        }
        c->phase = CONN_IDLE;
        if (!c->parsing)
            http_conn_resume(c);
        else
            phase_deadline(c);
        return;
    }
    phase_deadline(c);
    if (c->phase == CONN_UPGRADED) {
        c->protocol->flushed(c);
    } else if (r && r->taken) {
        void (*taken)(struct http_request *, void *) = r->taken;
        r->taken = NULL;
        taken(&r->pub, r->taken_ctx);
    }
}

void http_conn_answered(struct http_conn *c)
{
    struct http_req *r = c->req;

    if (http_conn_over(c))
        return; // the close that is under way frees the request
    c->req = NULL;
    c->unread = !r->body_done;
    if (c->unread || !r->keep_alive || c->listener->config.limits.idle_ms == 0)
        c->close_after = true;
    http_req_free(r);
    c->phase = CONN_FLUSH;
    if (http_conn_sending(c))
        return;
    http_conn_flushed(c);
}

void http_conn_drain(struct http_conn *c)
{
    if (http_conn_over(c))
        return;
    if (c->phase == CONN_UPGRADED)
        c->protocol->drain(c);
    else if (c->phase == CONN_IDLE)
        http_conn_close(c);
    else
        c->close_after = true;
}

// ---- reading ----

static bool feedable(const struct http_conn *c)
{
    return !http_conn_over(c) && (c->phase == CONN_IDLE || c->phase == CONN_HEAD ||
                                  (c->phase == CONN_BODY && !(c->req && c->req->paused)));
}

// Input that waits in c->in.
static void feed_waiting(struct http_conn *c)
{
    while ((c->in.len > 0 || c->phase == CONN_BODY) && feedable(c)) {
        c->parsing = true;
        size_t used = http1_feed(c, c->in.len > 0 ? c->in.ptr : "", c->in.len);
        c->parsing = false;
        if (c->closed) {
            buf_finish(&c->in);
            return;
        }
        if (used == 0)
            break;
        buf_drop(&c->in, used);
    }
    if (c->in.len == 0 || c->phase == CONN_LINGER || c->closed)
        buf_finish(&c->in);
}

// What had been read when the connection was upgraded.
static void give_waiting(struct http_conn *c)
{
    struct buf in = c->in;

    if (in.len == 0)
        return;
    buf_init(&c->in, HTTP_INPUT_BYTES);
    c->protocol->input(c, in.ptr, in.len);
    buf_finish(&in);
}

static void take_input(struct http_conn *c, const char *data, size_t n)
{
    if (c->ssl && !c->ssl_checked) {
        const unsigned char *name;
        unsigned len;
        c->ssl_checked = true;
        SSL_get0_alpn_selected(c->ssl, &name, &len);
        if (len == 2 && memcmp(name, "h2", 2) == 0)
            http2_start(c);
        if (http_conn_over(c))
            return;
    }
    if (c->phase == CONN_UPGRADED) {
        give_waiting(c);
        if (!http_conn_over(c))
            c->protocol->input(c, data, n);
        return;
    }
    if (c->in.len > 0) {
        buf_add(&c->in, (struct str){data, n});
        feed_waiting(c);
    } else {
        size_t used = 0;
        if (feedable(c)) {
            c->parsing = true;
            used = http1_feed(c, data, n);
            c->parsing = false;
        }
        if (http_conn_over(c))
            return;
        if (used < n && c->phase != CONN_LINGER)
            buf_add(&c->in, (struct str){data + used, n - used});
    }
    if (http_conn_over(c))
        return;
    if (c->in.failed) {
        http_conn_close(c);
        return;
    }
    if (!http_conn_sending(c))
        phase_deadline(c);
    http_conn_watch(c);
}

// -EAGAIN, 0 at the end, -errno, or how many.
static ssize_t read_some(struct http_conn *c, char *to, size_t room)
{
    ssize_t n;

    if (!c->ssl) {
        do
            n = recv(c->fd, to, room, 0);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : n;
    }
    ERR_clear_error();
    n = SSL_read(c->ssl, to, (int)room);
    if (n > 0)
        return n;
    c->ssl_wants_write = false;
    switch (SSL_get_error(c->ssl, (int)n)) {
    case SSL_ERROR_WANT_WRITE:
        c->ssl_wants_write = true;
        return -EAGAIN;
    case SSL_ERROR_WANT_READ:
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        return -ECONNRESET;
    }
}

static void input_ended(struct http_conn *c, ssize_t n)
{
    bool answering = c->phase == CONN_ANSWER || c->phase == CONN_FLUSH ||
                     (c->phase == CONN_BODY && c->req && c->req->paused);

    if (n < 0 || !answering || (c->req && c->req->pub.gone)) {
        http_conn_close(c);
        return;
    }
    // It may have closed its sending side only, and still wants its answer.
    c->peer_done = true;
    http_conn_watch(c);
}

static void on_readable(struct http_conn *c)
{
    for (int i = 0; i < READS_PER_TURN; i++) {
        size_t room = HTTP_INPUT_BYTES - c->in.len;
        if (room == 0) {
            http_conn_watch(c);
            return;
        }
        ssize_t n = read_some(c, c->home->input, room);
        if (n == -EAGAIN) {
            if (c->ssl)
                http_conn_watch(c);
            return;
        }
        if (n <= 0) {
            input_ended(c, n);
            return;
        }
        if (c->phase == CONN_LINGER)
            continue;
        take_input(c, c->home->input, (size_t)n);
        if (http_conn_over(c) || ((size_t)n < room && !c->ssl))
            return;
    }
    // TLS may hold more than the descriptor tells of.
    if (c->ssl && SSL_has_pending(c->ssl) && c->in.len < HTTP_INPUT_BYTES)
        http_conn_resume(c);
}

static void read_task(struct loop_task *t)
{
    struct http_conn *c =
        (struct http_conn *)(void *)((char *)t - offsetof(struct http_conn, read_task));

    c->watching_task = false;
    if (!http_conn_over(c) && c->phase == CONN_UPGRADED)
        give_waiting(c);
    if (!http_conn_over(c))
        on_readable(c);
}

// Not right here: the loop's read buffer may be in use further up the stack.
static void post_read(struct http_conn *c)
{
    if (c->watching_task)
        return;
    c->watching_task = true;
    c->read_task.run = read_task;
    loop_post(c->loop, &c->read_task);
}

void http_conn_resume(struct http_conn *c)
{
    if (http_conn_over(c) || c->parsing)
        return;
    feed_waiting(c);
    if (http_conn_over(c))
        return;
    if (c->peer_done && c->in.len == 0 && feedable(c)) {
        http_conn_close(c);
        return;
    }
    if (c->ssl && SSL_has_pending(c->ssl))
        post_read(c);
    if (!http_conn_sending(c))
        phase_deadline(c);
    http_conn_watch(c);
}

void http_conn_upgrade(struct http_conn *c, const struct http_protocol *p, void *data)
{
    c->protocol = p;
    c->protocol_data = data;
    c->phase = CONN_UPGRADED;
    http_conn_deadline(c, INT64_MAX);
    post_read(c); // for what has been read already
}

// ---- events ----

static void on_timer(struct loop_timer *t)
{
    struct http_conn *c =
        (struct http_conn *)(void *)((char *)t - offsetof(struct http_conn, timer));

    // What has arrived while we were late is not the client's fault.
    if (c->deadline_ms <= loop_now_ms(c->loop) && c->phase <= CONN_BODY && !c->peer_done &&
        c->in.len < HTTP_INPUT_BYTES)
        on_readable(c);
    if (http_conn_over(c) || c->deadline_ms == INT64_MAX)
        return;
    int64_t left = c->deadline_ms - loop_now_ms(c->loop);
    if (left > 0)
        loop_timer_start(c->loop, &c->timer, left, on_timer);
    else if (!http_conn_sending(c) && (c->phase == CONN_HEAD || c->phase == CONN_BODY))
        http1_fail(c, 408);
    else if (c->phase == CONN_UPGRADED && !http_conn_sending(c))
        c->protocol->timeout(c);
    else
        http_conn_close(c);
}

static void on_event(void *ctx, unsigned events)
{
    struct http_conn *c = ctx;

    if (http_conn_over(c))
        return;
    if (events & LOOP_WRITE) {
        if (c->ssl_wants_write) {
            c->ssl_wants_write = false;
            events |= LOOP_READ;
        }
        if (http_conn_sending(c)) {
            int r = drain_out(c);
            if (r < 0) {
                http_conn_close(c);
                return;
            }
            if (r == 0)
                http_conn_flushed(c);
            if (http_conn_over(c))
                return;
        }
        http_conn_watch(c);
    }
    if (events & (LOOP_READ | LOOP_HANGUP)) {
        if (c->in.len < HTTP_INPUT_BYTES)
            on_readable(c);
        else if (events & LOOP_HANGUP)
            input_ended(c, 0);
    }
}

// ---- the beginning ----

struct http_conn *http_conn_new(struct http_listener *l, struct loop *loop, int fd,
                                const union http_address *peer)
{
    struct http_loop *h = http_loop_of(loop);
    struct http_conn *c = h ? calloc(1, sizeof *c) : NULL;
    struct err err = ERR_INIT;

    if (!c) {
        closep(&fd);
        return NULL;
    }
    c->loop = loop;
    c->home = h;
    c->listener = l;
    c->peer = *peer;
    c->fd = fd;
    c->file_fd = -1;
    buf_init(&c->in, HTTP_INPUT_BYTES);
    buf_init(&c->out, HTTP_OUTPUT_BYTES);
    if (l->config.tls)
        c->ssl = http_tls_accept(l->config.tls, fd);
    if ((l->config.tls && !c->ssl) ||
        loop_watch_fd(loop, fd, LOOP_READ, on_event, c, &c->watch, &err) < 0) {
        log_error("a connection cannot be served: %s", err.code ? err.message : "TLS");
        SSL_free(c->ssl);
        closep(&c->fd);
        free(c);
        return NULL;
    }
    c->next = h->conns;
    if (h->conns)
        h->conns->prev = c;
    h->conns = c;
    atomic_fetch_add(&l->refs, 1);
    atomic_fetch_add(&l->connections, 1);
    if (l->config.gather)
        atomic_fetch_add_explicit(&h->n_gathered, 1, memory_order_relaxed);
    http1_start(c);
    // The first request must come in the time of a head, not of an idle connection.
    http_conn_deadline(c, l->config.limits.header_ms);
    return c;
}
