// telemetry_send.c - one batch after the other on its way to a subscriber inside the sandbox.
//
// The keeper gives the connection (CONNECT: only the sandbox's own loopback). HTTP: one request a
// connection, and its answer's status counts. TCP: one connection for all, and what the kernel has
// taken counts as delivered. Invariants: a subscriber has one delivery at a time, of its queue's
// first batch, which stays in the queue until it was delivered or given up; telemetry_delivered()
// is never called from within delivery_pump(). The states are drawn in telemetry_impl.h.
//
// A frozen environment answers nothing: time does not count then.

#include "runtime/telemetry_impl.h"

#include "base/cleanup.h"
#include "os/fd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define ANSWER_MS 10000 // a subscriber that takes longer for a batch has failed
#define AGAIN_MS 100    // between attempts
#define MAX_REFUSALS 30 // nobody listens (yet)
#define MAX_ATTEMPTS 3  // somebody does, and it does not work

static void on_ready(void *ctx, unsigned events);
static void on_timer(struct loop_timer *t);

static void disconnect(struct subscriber *s)
{
    loop_watch_stop(&s->watch);
    closep(&s->fd);
}

static void timer(struct subscriber *s, int64_t ms)
{
    loop_timer_start(s->env->home->loop, &s->timer, ms, on_timer);
}

void delivery_stop(struct subscriber *s)
{
    disconnect(s);
    loop_timer_stop(s->env->home->loop, &s->timer);
    s->state = DELIVERY_IDLE;
    s->attempts = 0;
    s->tag++; // an answer of the keeper that is on its way is nobody's
}

bool delivery_busy(const struct subscriber *s)
{
    return s->queue != NULL;
}

static void finished(struct subscriber *s, bool lost)
{
    if (!s->config.tcp || lost)
        disconnect(s);
    if (s->watch)
        loop_watch_events(s->watch, LOOP_READ);
    loop_timer_stop(s->env->home->loop, &s->timer);
    s->state = DELIVERY_IDLE;
    s->attempts = 0;
    telemetry_delivered(s, lost);
}

static void attempt_failed(struct subscriber *s, bool refused)
{
    disconnect(s);
    s->attempts++;
    s->state = DELIVERY_WAITING; // also to be given up: on_timer is never inside somebody's pump
    timer(s, s->attempts >= (refused ? MAX_REFUSALS : MAX_ATTEMPTS) ? 0 : AGAIN_MS);
    if (!refused && s->attempts >= MAX_ATTEMPTS)
        s->attempts = MAX_REFUSALS;
}

// ---- connecting --------------------------------------------------------------------------------

static void begin(struct subscriber *s)
{
    size_t n = s->queue->body.len + 1; // the closing bracket

    s->sent = s->answer_len = 0;
    s->answer_body = 0;
    s->head_len = 0;
    if (!s->config.tcp)
        s->head_len =
            (size_t)snprintf(s->head, sizeof(s->head),
                             "%s %s HTTP/1.1\r\nHost: sandbox.localdomain:%u\r\n"
                             "Content-Type: application/json\r\nContent-Length: %zu\r\n"
                             "Connection: close\r\n\r\n",
                             s->config.put ? "PUT" : "POST", s->config.path, s->config.port, n);
    s->state = DELIVERY_WRITING;
    loop_watch_events(s->watch, LOOP_READ | LOOP_WRITE);
    timer(s, ANSWER_MS);
}

static void on_connected(void *ctx, uint64_t id, uint32_t tag, int r, uint32_t program, int fd,
                         const struct err *err)
{
    struct environment *env = home_find(ctx, id);
    struct subscriber *s = NULL;
    unsigned number = tag & 0xff;
    struct err why = ERR_INIT;

    (void)program, (void)err;
    if (env && env->telemetry && number < FUNCTION_MAX_EXTENSIONS)
        s = env->telemetry->list[number];
    if (!s || s->state != DELIVERY_ASKED || (s->tag << 8 | number) != tag) {
        closep(&fd);
        return;
    }
    if (r < 0) {
        attempt_failed(s, r == -ECONNREFUSED);
        return;
    }
    s->fd = fd;
    s->state = DELIVERY_CONNECTING;
    if (loop_watch_fd(env->home->loop, fd, LOOP_WRITE, on_ready, s, &s->watch, &why) < 0)
        attempt_failed(s, false);
    else
        timer(s, ANSWER_MS);
}

static void ask(struct subscriber *s)
{
    struct environment *env = s->env;
    struct home *h = env->home;

    s->state = DELIVERY_ASKED;
    s->tag++;
    if (keeper_connect(h->keeper, env->id, s->config.port, on_connected, s->tag << 8 | s->number, h,
                       NULL) < 0)
        attempt_failed(s, false);
}

void delivery_pump(struct subscriber *s)
{
    if (s->state != DELIVERY_IDLE || !s->queue)
        return;
    if (s->fd >= 0) // TCP, from the batch before
        begin(s);
    else
        ask(s);
}

static void on_timer(struct loop_timer *t)
{
    struct subscriber *s =
        (struct subscriber *)(void *)((char *)t - offsetof(struct subscriber, timer));

    if (s->env->frozen) {
        timer(s, ANSWER_MS);
        return;
    }
    if (s->state != DELIVERY_WAITING)
        attempt_failed(s, false);
    else if (s->attempts >= MAX_REFUSALS)
        finished(s, true);
    else
        ask(s);
}

// ---- writing -----------------------------------------------------------------------------------

// What is to be written from `at` on: head, body, closing bracket.
static struct str piece_at(const struct subscriber *s, size_t at)
{
    const struct buf *body = &s->queue->body;

    if (at < s->head_len)
        return (struct str){s->head + at, s->head_len - at};
    at -= s->head_len;
    if (at < body->len)
        return (struct str){body->ptr + at, body->len - at};
    return at == body->len && !s->config.tcp ? STR("]") : STR("");
}

static void write_some(struct subscriber *s)
{
    for (;;) {
        struct str piece = piece_at(s, s->sent);
        if (piece.len == 0) {
            if (s->config.tcp) {
                finished(s, false);
            } else {
                s->state = DELIVERY_READING;
                loop_watch_events(s->watch, LOOP_READ);
            }
            return;
        }
        ssize_t n = send(s->fd, piece.ptr, piece.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) {
            attempt_failed(s, false);
            return;
        }
        s->sent += (size_t)n;
    }
}

// ---- the answer --------------------------------------------------------------------------------

static const char *header(const char *head, const char *name)
{
    for (const char *at = strstr(head, "\r\n"); at; at = strstr(at + 2, "\r\n"))
        if (strncasecmp(at + 2, name, strlen(name)) == 0)
            return at + 2 + strlen(name);
    return NULL;
}

// 0: not complete; else its status. `ended`: nothing more comes.
static int status_of(struct subscriber *s, bool ended)
{
    char *end = memmem(s->answer, s->answer_len, "\r\n\r\n", 4);
    const char *length, *chunked;
    bool complete = ended;

    if (s->answer_len < 12 || strncmp(s->answer, "HTTP/1.", 7) != 0)
        return ended ? 599 : 0;
    if (!end)
        return ended ? 599 : 0;
    int status = (int)strtol(s->answer + 9, NULL, 10);
    uint64_t body = s->answer_body + (uint64_t)(s->answer + s->answer_len - (end + 4));
    *end = '\0';
    length = header(s->answer, "content-length:");
    chunked = header(s->answer, "transfer-encoding:");
    if (status == 204 || (length && body >= strtoull(length, NULL, 10)))
        complete = true;
    *end = '\r';
    if (chunked && s->answer_len >= 5 && memcmp(s->answer + s->answer_len - 5, "0\r\n\r\n", 5) == 0)
        complete = true;
    return complete ? status : 0;
}

// Whether the connection goes on.
static bool read_some(struct subscriber *s)
{
    size_t room = sizeof(s->answer) - 1 - s->answer_len;
    ssize_t n = recv(s->fd, s->answer + s->answer_len, room, MSG_DONTWAIT);
    int status;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n > 0) {
        s->answer_len += (size_t)n;
        s->answer[s->answer_len] = '\0';
    }
    if (s->state != DELIVERY_READING && n > 0 && room > (size_t)n)
        return true; // an answer ahead of the request's end
    if (s->state != DELIVERY_READING) {
        attempt_failed(s, false);
        return false;
    }
    status = status_of(s, n <= 0);
    if (status == 0 && (size_t)n == room) { // a long body: only its length matters
        const char *end = memmem(s->answer, s->answer_len, "\r\n\r\n", 4);
        if (!end) {
            status = 599;
        } else {
            size_t keep = (size_t)(end + 4 - s->answer);
            s->answer_body += s->answer_len - keep;
            s->answer_len = keep;
            if (s->answer_len > sizeof(s->answer) / 2)
                status = 599;
        }
    }
    if (status == 0)
        return true;
    if (status >= 200 && status < 300)
        finished(s, false);
    else
        attempt_failed(s, false);
    return false;
}

// TCP says nothing; that it ended is all there is to hear.
static bool still_there(struct subscriber *s)
{
    char rest[512];
    ssize_t n = recv(s->fd, rest, sizeof(rest), MSG_DONTWAIT);

    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
        return true;
    if (s->state == DELIVERY_IDLE)
        disconnect(s);
    else
        attempt_failed(s, false);
    return false;
}

static void on_ready(void *ctx, unsigned events)
{
    struct subscriber *s = ctx;
    int e = 0;
    socklen_t len = sizeof(e);

    if (s->state == DELIVERY_CONNECTING) {
        if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0 || e) {
            attempt_failed(s, e == ECONNREFUSED);
            return;
        }
        begin(s);
    } else if (events & LOOP_READ) {
        if (!(s->config.tcp ? still_there(s) : read_some(s)))
            return;
    }
    if (s->state == DELIVERY_WRITING && (events & LOOP_WRITE))
        write_some(s);
}
