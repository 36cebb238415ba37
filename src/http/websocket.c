// websocket.c - WebSocket (RFC 6455): the upgrade, messages from frames, the closing handshake.
//
// Frames are read by wslay's frame layer, which holds 4 KiB per connection; its event layer would
// hold twice that, and ten thousand idle connections are to stay below 8 KiB each. What belongs to
// messages (fragments, UTF-8, control frames between them, close codes) is here.
//
// Invariants: `closed` is called exactly once, from the connection's end, never from inside a
// function of websocket.h. After a close frame was sent nothing more is sent (section 5.5.1).
// Messages and what waits to be sent are bounded.
#include "http/websocket.h"

#include "base/base64.h"
#include "base/hash.h"
#include "base/utf8.h"
#include "http/server_impl.h"
#include "os/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <wslay/wslay.h>

#define CLOSING_MS 5000
#define MAX_QUEUED_BYTES ((size_t)4 << 20) // of a client that does not read: it is cut off

enum {
    CLOSE_NORMAL = 1000,
    CLOSE_GOING_AWAY = 1001,
    CLOSE_PROTOCOL = 1002,
    CLOSE_NO_CODE = 1005,
    CLOSE_ABNORMAL = 1006,
    CLOSE_NOT_UTF8 = 1007,
    CLOSE_TOO_BIG = 1009,
};

struct http_websocket {
    struct http_conn *conn;
    struct http_websocket_callbacks callbacks;
    void *ctx;
    wslay_frame_context_ptr frames;
    const char *in; // what is being read from
    size_t in_len;
    struct buf message; // of the fragments so far
    size_t text_ok;     // bytes of it that are known to be UTF-8
    int64_t last_ms;    // when something came in
    uint64_t frame_left;
    int code;     // for `closed`
    uint8_t kind; // of the message that is under way: WSLAY_TEXT_FRAME, WSLAY_BINARY_FRAME, or 0
    uint8_t opcode;
    bool in_frame, fin;
    bool close_sent, finished; // finished: closed once all is sent
    uint8_t control_len, reason_len;
    char control[125], reason[123];
};

static const struct http_protocol protocol;

// ---- sending ----

static size_t frame_head(unsigned char head[10], unsigned opcode, size_t n)
{
    head[0] = (unsigned char)(0x80 | opcode);
    if (n < 126) {
        head[1] = (unsigned char)n;
        return 2;
    }
    if (n < 65536) {
        head[1] = 126;
        head[2] = (unsigned char)(n >> 8);
        head[3] = (unsigned char)n;
        return 4;
    }
    head[1] = 127;
    for (int i = 0; i < 8; i++)
        head[2 + i] = (unsigned char)((uint64_t)n >> (56 - 8 * i));
    return 10;
}

static int send_frame(struct http_websocket *ws, unsigned opcode, struct str data)
{
    unsigned char head[10];
    struct iovec iov[2] = {{head, frame_head(head, opcode, data.len)},
                           {(void *)(uintptr_t)data.ptr, data.len}};

    if (http_websocket_queued(ws) + data.len > MAX_QUEUED_BYTES) {
        http_conn_break(ws->conn);
        return -EPIPE;
    }
    return http_conn_send(ws->conn, iov, data.len > 0 ? 2 : 1);
}

static void send_close(struct http_websocket *ws, int code, struct str reason)
{
    char data[125];

    if (ws->close_sent)
        return;
    ws->close_sent = true;
    if (code == CLOSE_NO_CODE) {
        send_frame(ws, WSLAY_CONNECTION_CLOSE, STR(""));
    } else {
        reason = utf8_cut(reason, sizeof data - 2);
        data[0] = (char)(code >> 8);
        data[1] = (char)code;
        if (reason.len > 0)
            memcpy(data + 2, reason.ptr, reason.len);
        send_frame(ws, WSLAY_CONNECTION_CLOSE, (struct str){data, reason.len + 2});
    }
    http_conn_deadline(ws->conn, CLOSING_MS);
}

// Closes with this code and does not wait for the other side's word.
static void fail(struct http_websocket *ws, int code, const char *reason)
{
    ws->code = code;
    ws->reason_len = (uint8_t)strlen(reason);
    memcpy(ws->reason, reason, ws->reason_len);
    send_close(ws, code, str_from(reason));
    ws->finished = true;
}

int http_websocket_send(struct http_websocket *ws, bool text, struct str data)
{
    if (ws->close_sent || http_conn_over(ws->conn))
        return -EPIPE;
    if (data.len > WEBSOCKET_MAX_MESSAGE_BYTES)
        return -EMSGSIZE;
    return send_frame(ws, text ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME, data);
}

int http_websocket_ping(struct http_websocket *ws, struct str data)
{
    if (ws->close_sent || http_conn_over(ws->conn))
        return -EPIPE;
    if (data.len > 125)
        return -EMSGSIZE;
    return send_frame(ws, WSLAY_PING, data);
}

void http_websocket_close(struct http_websocket *ws, int code, struct str reason)
{
    if (http_conn_over(ws->conn))
        return;
    if (!ws->close_sent)
        ws->code = code;
    send_close(ws, code, reason);
}

size_t http_websocket_queued(const struct http_websocket *ws)
{
    return ws->conn->out.len - ws->conn->out_at;
}

void *http_websocket_ctx(const struct http_websocket *ws)
{
    return ws->ctx;
}

int64_t http_websocket_idle_ms(const struct http_websocket *ws)
{
    return loop_now_ms(ws->conn->loop) - ws->last_ms;
}

struct str http_websocket_remote_address(const struct http_websocket *ws)
{
    static _Thread_local char text[INET6_ADDRSTRLEN];
    const union http_address *peer = &ws->conn->peer;

    if (peer->any.sa_family == AF_INET)
        inet_ntop(AF_INET, &peer->v4.sin_addr, text, sizeof text);
    else if (peer->any.sa_family == AF_INET6)
        inet_ntop(AF_INET6, &peer->v6.sin6_addr, text, sizeof text);
    else
        return STR("unix");
    return str_from(text);
}

// ---- receiving ----

static ssize_t give_input(uint8_t *to, size_t room, int flags, void *ctx)
{
    struct http_websocket *ws = ctx;
    size_t n = ws->in_len < room ? ws->in_len : room;
    (void)flags;

    if (n == 0)
        return -1;
    memcpy(to, ws->in, n);
    ws->in += n;
    ws->in_len -= n;
    return (ssize_t)n;
}

// Section 7.4: those that may stand in a close frame.
static bool valid_code(int code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

static void take_close(struct http_websocket *ws)
{
    int code = CLOSE_NO_CODE;
    struct str reason = STR("");

    if (ws->control_len >= 2) {
        code = (unsigned char)ws->control[0] << 8 | (unsigned char)ws->control[1];
        reason = (struct str){ws->control + 2, ws->control_len - 2U};
        if (!valid_code(code)) {
            fail(ws, CLOSE_PROTOCOL, "invalid close code");
            return;
        }
        if (!utf8_valid(reason)) {
            fail(ws, CLOSE_NOT_UTF8, "invalid close reason");
            return;
        }
    } else if (ws->control_len == 1) {
        fail(ws, CLOSE_PROTOCOL, "invalid close frame");
        return;
    }
    ws->code = code;
    ws->reason_len = (uint8_t)reason.len;
    memcpy(ws->reason, reason.ptr, reason.len);
    send_close(ws, code, reason);
    ws->finished = true;
}

static void take_control(struct http_websocket *ws)
{
    switch (ws->opcode) {
    case WSLAY_CONNECTION_CLOSE:
        take_close(ws);
        break;
    case WSLAY_PING:
        if (!ws->close_sent)
            send_frame(ws, WSLAY_PONG, (struct str){ws->control, ws->control_len});
        break;
    default:
        break; // a pong: last_ms is all
    }
}

// Section 8.1, and as soon as it can be seen: what cannot become UTF-8 any more is not waited for.
static bool text_so_far(struct http_websocket *ws)
{
    struct str fresh = str_slice(buf_str(&ws->message), ws->text_ok, ws->message.len);
    size_t complete;

    if (!utf8_valid_so_far(fresh, &complete))
        return false;
    ws->text_ok += complete;
    return true;
}

static void take_message(struct http_websocket *ws)
{
    struct buf message = ws->message;
    bool text = ws->kind == WSLAY_TEXT_FRAME;

    bool whole = !text || ws->text_ok == message.len;
    buf_init(&ws->message, WEBSOCKET_MAX_MESSAGE_BYTES);
    ws->kind = 0;
    ws->text_ok = 0;
    if (!whole)
        fail(ws, CLOSE_NOT_UTF8, "text is not UTF-8");
    else if (!ws->close_sent)
        ws->callbacks.message(ws, text, buf_str(&message));
    buf_finish(&message);
}

// The first piece of a frame. False when it breaks the rules.
static bool open_frame(struct http_websocket *ws, const struct wslay_frame_iocb *f)
{
    ws->in_frame = true;
    ws->frame_left = f->payload_length;
    ws->opcode = f->opcode;
    ws->fin = f->fin;
    if (!f->mask || f->rsv != 0) {
        fail(ws, CLOSE_PROTOCOL, f->mask ? "reserved bits" : "frames must be masked");
        return false;
    }
    switch (f->opcode) {
    case WSLAY_CONNECTION_CLOSE:
    case WSLAY_PING:
    case WSLAY_PONG:
        if (!f->fin || f->payload_length > 125) {
            fail(ws, CLOSE_PROTOCOL, "invalid control frame");
            return false;
        }
        ws->control_len = 0;
        return true;
    case WSLAY_TEXT_FRAME:
    case WSLAY_BINARY_FRAME:
        if (ws->kind) {
            fail(ws, CLOSE_PROTOCOL, "a message inside a message");
            return false;
        }
        ws->kind = f->opcode;
        break;
    case WSLAY_CONTINUATION_FRAME:
        if (!ws->kind) {
            fail(ws, CLOSE_PROTOCOL, "nothing to continue");
            return false;
        }
        break;
    default:
        fail(ws, CLOSE_PROTOCOL, "unknown opcode");
        return false;
    }
    if (f->payload_length > WEBSOCKET_MAX_FRAME_BYTES ||
        ws->message.len + f->payload_length > WEBSOCKET_MAX_MESSAGE_BYTES) {
        fail(ws, CLOSE_TOO_BIG, "too long");
        return false;
    }
    return true;
}

// A piece of a frame, or all of it. False when nothing more is read.
static bool take_piece(struct http_websocket *ws, const struct wslay_frame_iocb *f)
{
    if (!ws->in_frame && !open_frame(ws, f))
        return false;
    ws->frame_left -= f->data_length;
    if (wslay_is_ctrl_frame(ws->opcode)) {
        memcpy(ws->control + ws->control_len, f->data, f->data_length);
        ws->control_len = (uint8_t)(ws->control_len + f->data_length);
    } else {
        buf_add(&ws->message, (struct str){(const char *)f->data, f->data_length});
        if (ws->message.failed) {
            fail(ws, CLOSE_TOO_BIG, "too long");
            return false;
        }
        if (ws->kind == WSLAY_TEXT_FRAME && !text_so_far(ws)) {
            fail(ws, CLOSE_NOT_UTF8, "text is not UTF-8");
            return false;
        }
    }
    if (ws->frame_left > 0)
        return true;
    ws->in_frame = false;
    if (wslay_is_ctrl_frame(ws->opcode))
        take_control(ws);
    else if (ws->fin)
        take_message(ws);
    return !ws->finished;
}

static void finish_if_sent(struct http_websocket *ws)
{
    if (ws->finished && !http_conn_over(ws->conn) && !http_conn_sending(ws->conn))
        http_conn_close(ws->conn);
}

static void input(struct http_conn *c, const char *data, size_t n)
{
    struct http_websocket *ws = c->protocol_data;

    ws->last_ms = loop_now_ms(c->loop);
    ws->in = data;
    ws->in_len = n;
    while (!ws->finished && !http_conn_over(c)) {
        struct wslay_frame_iocb f = {0};
        ssize_t got = wslay_frame_recv(ws->frames, &f);
        if (got == WSLAY_ERR_WANT_READ)
            break;
        if (got < 0) {
            fail(ws, CLOSE_PROTOCOL, "invalid frame");
            break;
        }
        if (!take_piece(ws, &f))
            break;
    }
    ws->in_len = 0;
    finish_if_sent(ws);
}

// ---- the connection ----

static void flushed(struct http_conn *c)
{
    struct http_websocket *ws = c->protocol_data;

    http_conn_deadline(c, ws->close_sent ? CLOSING_MS : INT64_MAX);
    if (ws->finished)
        http_conn_close(c);
    else if (ws->callbacks.drained && !ws->close_sent)
        ws->callbacks.drained(ws);
}

static void timeout(struct http_conn *c)
{
    struct http_websocket *ws = c->protocol_data;

    if (ws->close_sent)
        http_conn_close(c);
}

static void closed(struct http_conn *c)
{
    struct http_websocket *ws = c->protocol_data;
    struct str reason = {ws->reason, ws->reason_len};

    ws->callbacks.closed(ws, ws->finished ? ws->code : CLOSE_ABNORMAL, reason);
    wslay_frame_context_free(ws->frames);
    buf_finish(&ws->message);
    free(ws);
}

static void drain(struct http_conn *c)
{
    http_websocket_close(c->protocol_data, CLOSE_GOING_AWAY, STR(""));
}

static const struct http_protocol protocol = {
    .input = input, .flushed = flushed, .timeout = timeout, .closed = closed, .drain = drain};

// ---- the upgrade: section 4.2 ----

static bool has_token(struct str list, struct str token)
{
    struct str one;

    while (str_next(&list, ',', &one)) {
        if (str_eq_nocase(str_trim(one), token))
            return true;
    }
    return false;
}

static bool valid_key(struct str key)
{
    struct arena a;
    struct str bytes;

    arena_init(&a, 4096);
    bool ok = key.len == 24 && base64_decode(&a, key, &bytes) == 0 && bytes.len == 16;
    arena_finish(&a);
    return ok;
}

bool http_websocket_wanted(const struct http_request *req)
{
    return str_eq(req->method, STR("GET")) && req->major == 1 && req->minor == 1 &&
           has_token(http_header_get(req, STR("upgrade")), STR("websocket")) &&
           has_token(http_header_get(req, STR("connection")), STR("upgrade")) &&
           str_eq(http_header_get(req, STR("sec-websocket-version")), STR("13")) &&
           http_header_count(req, STR("sec-websocket-key")) == 1 &&
           valid_key(http_header_get(req, STR("sec-websocket-key")));
}

static void add_accept(struct buf *b, struct str key)
{
    uint8_t digest[SHA1_BYTES];
    char both[24 + 36];

    memcpy(both, key.ptr, 24);
    memcpy(both + 24, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
    hash_sha1((struct str){both, sizeof both}, digest);
    buf_add(b, STR("sec-websocket-accept: "));
    base64_encode(b, (struct str){(const char *)digest, sizeof digest});
    buf_add(b, STR("\r\n"));
}

static void refuse(struct http_request *req)
{
    static const struct http_header version = {STR_INIT("sec-websocket-version"), STR_INIT("13")};
    struct str asked = http_header_get(req, STR("sec-websocket-version"));
    bool other = asked.ptr && !str_eq(asked, STR("13"));

    http_respond(req, &(struct http_response){.status = other ? 426 : 400,
                                              .headers = &version,
                                              .n_headers = other ? 1 : 0,
                                              .close = true});
}

struct http_websocket *http_websocket_accept(struct http_request *req,
                                             const struct http_websocket_callbacks *callbacks,
                                             void *ctx, const struct http_header *headers,
                                             unsigned n_headers)
{
    static const struct wslay_frame_callbacks reading = {.recv_callback = give_input};
    struct http_conn *c = req->conn;
    struct http_websocket *ws;

    if (!c || http_conn_over(c) || !http_websocket_wanted(req)) {
        refuse(req);
        return NULL;
    }
    ws = calloc(1, sizeof *ws);
    if (!ws || wslay_frame_context_init(&ws->frames, &reading, ws) != 0) {
        free(ws);
        http_respond(req, &(struct http_response){.status = 503, .close = true});
        return NULL;
    }
    ws->conn = c;
    ws->callbacks = *callbacks;
    ws->ctx = ctx;
    ws->last_ms = loop_now_ms(c->loop);
    ws->code = CLOSE_ABNORMAL;
    buf_init(&ws->message, WEBSOCKET_MAX_MESSAGE_BYTES);

    struct buf *b = &c->home->head;
    buf_reset(b);
    buf_add(b, STR("HTTP/1.1 101 Switching Protocols\r\n"
                   "upgrade: websocket\r\nconnection: Upgrade\r\n"));
    add_accept(b, http_header_get(req, STR("sec-websocket-key")));
    for (unsigned i = 0; i < n_headers; i++)
        http_head_field(b, headers[i].name, headers[i].value);
    http_head_date(c->home, b);
    buf_add(b, STR("\r\n"));

    struct http_req *r = http_req_of(req);
    r->with_handler = false;
    c->req = NULL;
    http_req_free(r);
    http_conn_upgrade(c, &protocol, ws);
    struct iovec iov = {b->ptr, b->len};
    http_conn_send(c, &iov, 1); // one that breaks here is closed in a later turn
    return ws;
}
