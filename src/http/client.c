// client.c - outbound HTTP(S), over libcurl: blocking (easy) and on a loop (multi).
//
// Thread ownership: a loop has one multi handle; calls on it belong to its thread. The blocking
// form uses a handle of its own per call and touches nothing shared.
//
// Invariants: done is called at most once, from a timer or descriptor event of the loop, never
// from inside http_client_send or http_client_cancel.
#include "http/client.h"

#include "base/cleanup.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define DEFAULT_TIMEOUT_MS 30000
#define DEFAULT_CONNECT_TIMEOUT_MS 10000
#define DEFAULT_MAX_BYTES ((size_t)16 << 20)
#define MAX_HEADERS 256
#define MAX_HEADER_BYTES ((size_t)64 * 1024)

struct exchange {
    struct http_client_request request; // of http_client_send: pointers into `arena`
    struct arena arena;
    CURL *easy;
    struct curl_slist *headers, *connect_to;
    struct http_client_response response;
    struct http_header fields[MAX_HEADERS];
    unsigned n_fields;
    size_t field_bytes;
    struct buf body;
    size_t max_bytes;
    bool head_ended, head_given, too_long, canceled;
    struct str length;  // content-length, of this head
    const char *broken; // what is wrong with the answer that curl does not mind
    char message[CURL_ERROR_SIZE];
};

struct http_client_call {
    struct exchange x;
    struct multi *multi;
    struct http_client_call *next, **back; // of its multi
    void (*done)(void *ctx, int result, struct http_client_response *response, const char *message);
    void *ctx;
    bool in_done;
};

// A loop's.
struct multi {
    struct loop *loop;
    CURLM *handle;
    struct loop_timer timer;
    struct http_client_call *calls;
};

// A descriptor that curl wants to have watched.
struct sock {
    struct multi *multi;
    struct loop_watch *watch;
    int fd;
};

static unsigned slot;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void multi_destroy(void *value);

static void init_once(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    slot = loop_slot_new(multi_destroy);
}

// ---- one exchange ----

// A final answer begins again after an interim one.
static void new_head(struct exchange *x)
{
    x->n_fields = 0;
    x->head_ended = false;
    x->length = STR_NULL;
}

static bool give_head(struct exchange *x)
{
    long status = 0;

    if (x->head_given)
        return true;
    x->head_given = true;
    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    x->response.status = (int)status;
    x->response.headers = x->fields;
    x->response.n_headers = x->n_fields;
    if (!x->request.on_head)
        return true;
    x->canceled = !x->request.on_head(x->request.ctx, (int)status, x->fields, x->n_fields);
    return !x->canceled;
}

static size_t on_header(char *p, size_t one, size_t n, void *ctx)
{
    struct exchange *x = ctx;
    struct str line = {p, one * n}, name;

    if (str_starts(line, STR("HTTP/"))) {
        new_head(x);
        return line.len;
    }
    line = str_trim(line);
    x->head_ended = x->head_ended || line.len == 0;
    if (line.len == 0 || x->head_given) // the end, or trailers
        return one * n;
    struct str value = line;
    str_next(&value, ':', &name);
    x->field_bytes += line.len;
    if (str_is_null(value) || x->n_fields == MAX_HEADERS || x->field_bytes > MAX_HEADER_BYTES) {
        x->too_long = !str_is_null(value);
        return str_is_null(value) ? one * n : 0;
    }
    struct http_header *h = &x->fields[x->n_fields];
    h->name = arena_str(&x->response.arena, name);
    h->value = arena_str(&x->response.arena, str_trim(value));
    if (!h->name.ptr)
        return 0;
    for (size_t i = 0; i < name.len; i++) {
        char *c = (char *)(uintptr_t)h->name.ptr + i;
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
    }
    x->n_fields++;
    if (str_eq(h->name, STR("content-length"))) {
        if (x->length.ptr && !str_eq(x->length, h->value)) {
            x->broken = "the answer has two lengths";
            return 0;
        }
        x->length = h->value;
    }
    return one * n;
}

static size_t on_data(char *p, size_t one, size_t n, void *ctx)
{
    struct exchange *x = ctx;
    struct str piece = {p, one * n};

    if (!give_head(x))
        return 0;
    if (x->request.on_data) {
        x->canceled = !x->request.on_data(x->request.ctx, piece);
        return x->canceled ? 0 : piece.len;
    }
    buf_add(&x->body, piece);
    x->too_long = x->body.failed;
    return x->body.failed ? 0 : piece.len;
}

static bool add_header(struct exchange *x, const struct http_header *h)
{
    _cleanup_(buf_finishp) struct buf b = {0};

    buf_init(&b, (size_t)1 << 20);
    buf_add(&b, h->name);
    // "Name;" is how curl is told of an empty value, "Name:" would remove it.
    buf_add(&b, h->value.len > 0 ? STR(": ") : STR(";"));
    buf_add(&b, h->value);
    buf_add_char(&b, 0);
    if (b.failed || memchr(b.ptr, '\n', b.len) || memchr(b.ptr, '\r', b.len) ||
        strlen(b.ptr) + 1 != b.len)
        return false;
    struct curl_slist *longer = curl_slist_append(x->headers, b.ptr);
    if (longer)
        x->headers = longer;
    return longer != NULL;
}

static void set_body(struct exchange *x, const char *method)
{
    const struct http_client_request *r = &x->request;

    if (r->body.ptr) {
        curl_easy_setopt(x->easy, CURLOPT_POST, 1L);
        curl_easy_setopt(x->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.len);
        curl_easy_setopt(x->easy, CURLOPT_POSTFIELDS, r->body.ptr);
    } else if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(x->easy, CURLOPT_NOBODY, 1L);
    } else if (strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
               strcmp(method, "PATCH") == 0) {
        curl_easy_setopt(x->easy, CURLOPT_POST, 1L);
        curl_easy_setopt(x->easy, CURLOPT_POSTFIELDSIZE, 0L);
        curl_easy_setopt(x->easy, CURLOPT_POSTFIELDS, "");
    }
    curl_easy_setopt(x->easy, CURLOPT_CUSTOMREQUEST, method);
}

static int set_up(struct exchange *x, struct err *err)
{
    const struct http_client_request *r = &x->request;
    const char *method = r->method ? r->method : "GET";

    pthread_once(&once, init_once);
    x->easy = curl_easy_init();
    if (!x->easy)
        return err_set(err, -ENOMEM, "out of memory");
    CURL *e = x->easy;
    arena_init(&x->response.arena, ARENA_DEFAULT_MAX_BYTES);
    x->max_bytes = r->max_response_bytes ? r->max_response_bytes : DEFAULT_MAX_BYTES;
    buf_init(&x->body, x->max_bytes);
    curl_easy_setopt(e, CURLOPT_URL, r->url);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, x->message);
    curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS,
                     (long)(r->timeout_ms ? r->timeout_ms : DEFAULT_TIMEOUT_MS));
    curl_easy_setopt(
        e, CURLOPT_CONNECTTIMEOUT_MS,
        (long)(r->connect_timeout_ms ? r->connect_timeout_ms : DEFAULT_CONNECT_TIMEOUT_MS));
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION,
                     r->http1_only ? CURL_HTTP_VERSION_1_1 : CURL_HTTP_VERSION_2TLS);
    if (!r->use_proxy_environment)
        curl_easy_setopt(e, CURLOPT_PROXY, "");
    if (r->ca_file)
        curl_easy_setopt(e, CURLOPT_CAINFO, r->ca_file);
    if (r->insecure) {
        curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (r->unix_socket)
        curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, r->unix_socket);
    for (const char *const *s = r->connect_to; s && *s; s++)
        x->connect_to = curl_slist_append(x->connect_to, *s);
    if (x->connect_to)
        curl_easy_setopt(e, CURLOPT_CONNECT_TO, x->connect_to);
    set_body(x, method);
    bool typed = false;
    for (unsigned i = 0; i < r->n_headers; i++) {
        typed = typed || str_eq_nocase(r->headers[i].name, STR("content-type"));
        if (!add_header(x, &r->headers[i]))
            return err_set(err, -EINVAL, "a header that cannot be sent");
    }
    // What curl would add by itself.
    struct curl_slist *longer = curl_slist_append(x->headers, "Expect:");
    x->headers = longer ? longer : x->headers;
    if (!typed) {
        longer = curl_slist_append(x->headers, "Content-Type:");
        x->headers = longer ? longer : x->headers;
    }
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, x->headers);
    return 0;
}

static int result_of(struct exchange *x, CURLcode code)
{
    if (x->too_long)
        return -EFBIG;
    if (x->canceled)
        return -ECANCELED;
    if (x->broken)
        return -EPROTO;
    switch (code) {
    case CURLE_OK:
        return 0;
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_COULDNT_CONNECT:
        return -ECONNREFUSED;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return -EHOSTUNREACH;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return -EINVAL;
    case CURLE_OUT_OF_MEMORY:
        return -ENOMEM;
    default:
        return -EPROTO;
    }
}

static const char *message_of(struct exchange *x, int result, CURLcode code)
{
    if (result == -EFBIG)
        return "the answer is too long";
    if (result == -ECANCELED)
        return "canceled";
    if (x->broken)
        return x->broken;
    return x->message[0] ? x->message : curl_easy_strerror(code);
}

// The exchange has ended well as far as curl is concerned: fills in the response.
static void complete(struct exchange *x)
{
    if (!x->head_ended) // curl takes the end of the connection for the end of the head
        x->broken = "the answer ends in its head";
    else if (give_head(x) && (x->response.status < 200 || x->response.status > 599))
        x->broken = "the answer has no valid status";
    if (x->broken || !x->head_given || x->canceled)
        return;
    struct http_client_response *r = &x->response;
    r->headers = arena_new_array(&r->arena, struct http_header, x->n_fields + 1);
    if (r->headers)
        memcpy(r->headers, x->fields, x->n_fields * sizeof *x->fields);
    r->n_headers = r->headers ? x->n_fields : 0;
    r->body = arena_str(&r->arena, buf_str(&x->body));
}

static void tear_down(struct exchange *x)
{
    if (x->easy)
        curl_easy_cleanup(x->easy);
    curl_slist_free_all(x->headers);
    curl_slist_free_all(x->connect_to);
    buf_finish(&x->body);
    arena_finish(&x->arena);
}

void http_client_response_finish(struct http_client_response *r)
{
    arena_finish(&r->arena);
    *r = (struct http_client_response){0};
}

struct str http_client_header(const struct http_client_response *r, struct str name)
{
    for (unsigned i = 0; i < r->n_headers; i++) {
        if (str_eq(r->headers[i].name, name))
            return r->headers[i].value;
    }
    return STR_NULL;
}

// OpenSSL writes with write(), and CURLOPT_NOSIGNAL leaves SIGPIPE to us: it is held back for as
// long, and thrown away.
static CURLcode perform_without_sigpipe(CURL *easy)
{
    sigset_t pipe_signal, before;

    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    CURLcode code = curl_easy_perform(easy);
    if (!sigismember(&before, SIGPIPE)) {
        while (sigtimedwait(&pipe_signal, NULL, &(struct timespec){0}) == SIGPIPE)
            ;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

int http_client_perform(const struct http_client_request *request,
                        struct http_client_response *response, struct err *err)
{
    struct exchange *x = calloc(1, sizeof *x);
    int r;

    if (!x)
        return err_set(err, -ENOMEM, "out of memory");
    x->request = *request;
    r = set_up(x, err);
    if (r == 0) {
        CURLcode code = perform_without_sigpipe(x->easy);
        if (code == CURLE_OK)
            complete(x);
        r = result_of(x, code);
        if (r < 0)
            err_set(err, r, "%s %s: %s", request->method ? request->method : "GET", request->url,
                    message_of(x, r, code));
    }
    if (r == 0)
        *response = x->response;
    else
        arena_finish(&x->response.arena);
    tear_down(x);
    free(x);
    return r;
}

// ---- on a loop ----

static void unlink_call(struct http_client_call *call)
{
    *call->back = call->next;
    if (call->next)
        call->next->back = call->back;
}

static void free_call(struct http_client_call *call)
{
    curl_multi_remove_handle(call->multi->handle, call->x.easy);
    unlink_call(call);
    arena_finish(&call->x.response.arena);
    tear_down(&call->x);
    free(call);
}

static void finish_ended(struct multi *m)
{
    CURLMsg *msg;
    int left;

    while ((msg = curl_multi_info_read(m->handle, &left))) {
        struct http_client_call *call;
        if (msg->msg != CURLMSG_DONE)
            continue;
        CURLcode code = msg->data.result;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        if (code == CURLE_OK)
            complete(&call->x);
        int result = result_of(&call->x, code);
        call->in_done = true; // a cancel from inside is nothing
        call->done(call->ctx, result, &call->x.response,
                   result < 0 ? message_of(&call->x, result, code) : "");
        free_call(call);
    }
}

static void on_sock(void *ctx, unsigned events)
{
    struct sock *s = ctx;
    struct multi *m = s->multi;
    int running, flags = (events & (LOOP_READ | LOOP_HANGUP) ? CURL_CSELECT_IN : 0) |
                         (events & LOOP_WRITE ? CURL_CSELECT_OUT : 0);

    curl_multi_socket_action(m->handle, s->fd, flags, &running); // may free s
    finish_ended(m);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *sockp)
{
    struct multi *m = ctx;
    struct sock *s = sockp;
    unsigned events =
        (what & CURL_POLL_IN ? LOOP_READ : 0U) | (what & CURL_POLL_OUT ? LOOP_WRITE : 0U);
    (void)easy;

    if (what == CURL_POLL_REMOVE) {
        if (s) {
            loop_watch_stop(&s->watch);
            free(s);
        }
        return 0;
    }
    if (!s) {
        s = calloc(1, sizeof *s);
        if (!s)
            return -1;
        s->multi = m;
        s->fd = fd;
        if (loop_watch_fd(m->loop, fd, events, on_sock, s, &s->watch, NULL) < 0) {
            free(s);
            return -1;
        }
        curl_multi_assign(m->handle, fd, s);
        return 0;
    }
    loop_watch_events(s->watch, events);
    return 0;
}

static void on_timeout(struct loop_timer *t)
{
    struct multi *m = (struct multi *)(void *)((char *)t - offsetof(struct multi, timer));
    int running;

    curl_multi_socket_action(m->handle, CURL_SOCKET_TIMEOUT, 0, &running);
    finish_ended(m);
}

static int on_timer(CURLM *handle, long ms, void *ctx)
{
    struct multi *m = ctx;
    (void)handle;

    if (ms < 0)
        loop_timer_stop(m->loop, &m->timer);
    else
        loop_timer_start(m->loop, &m->timer, ms, on_timeout);
    return 0;
}

static struct multi *multi_of(struct loop *l)
{
    struct multi *m = loop_slot(l, slot);

    if (m)
        return m;
    m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->loop = l;
    m->handle = curl_multi_init();
    if (!m->handle) {
        free(m);
        return NULL;
    }
    curl_multi_setopt(m->handle, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(m->handle, CURLMOPT_SOCKETDATA, m);
    curl_multi_setopt(m->handle, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(m->handle, CURLMOPT_TIMERDATA, m);
    loop_slot_set(l, slot, m);
    return m;
}

static void multi_destroy(void *value)
{
    struct multi *m = value;

    while (m->calls)
        free_call(m->calls);
    curl_multi_cleanup(m->handle);
    loop_timer_stop(m->loop, &m->timer);
    free(m);
}

static const char *copy_cstr(struct arena *a, const char *s, bool *failed)
{
    if (!s)
        return NULL;
    const char *copy = arena_cstr(a, str_from(s));
    *failed = *failed || !copy;
    return copy;
}

static struct str copy_str(struct arena *a, struct str s, bool *failed)
{
    if (!s.ptr)
        return s;
    struct str copy = arena_str(a, s);
    *failed = *failed || !copy.ptr;
    return copy;
}

static bool copy_request(struct exchange *x, const struct http_client_request *from)
{
    struct http_client_request *to = &x->request;
    struct arena *a = &x->arena;
    bool failed = false;
    unsigned n = 0;

    *to = *from;
    to->method = copy_cstr(a, from->method, &failed);
    to->url = copy_cstr(a, from->url, &failed);
    to->ca_file = copy_cstr(a, from->ca_file, &failed);
    to->unix_socket = copy_cstr(a, from->unix_socket, &failed);
    to->body = copy_str(a, from->body, &failed);
    struct http_header *headers = arena_new_array(a, struct http_header, from->n_headers + 1);
    for (unsigned i = 0; headers && i < from->n_headers; i++) {
        headers[i].name = copy_str(a, from->headers[i].name, &failed);
        headers[i].value = copy_str(a, from->headers[i].value, &failed);
    }
    to->headers = headers;
    while (from->connect_to && from->connect_to[n])
        n++;
    const char **connect_to = arena_new_array(a, const char *, n + 1);
    for (unsigned i = 0; connect_to && i < n; i++)
        connect_to[i] = copy_cstr(a, from->connect_to[i], &failed);
    to->connect_to = connect_to;
    return !failed && headers && connect_to;
}

int http_client_send(struct loop *loop, const struct http_client_request *request,
                     void (*done)(void *ctx, int result, struct http_client_response *response,
                                  const char *message),
                     void *ctx, struct http_client_call **out, struct err *err)
{
    struct http_client_call *call;
    int r;

    pthread_once(&once, init_once);
    struct multi *m = multi_of(loop);
    call = m ? calloc(1, sizeof *call) : NULL;
    if (!call)
        return err_set(err, -ENOMEM, "out of memory");
    call->multi = m;
    call->done = done;
    call->ctx = ctx;
    arena_init(&call->x.arena, ARENA_DEFAULT_MAX_BYTES);
    r = copy_request(&call->x, request) ? set_up(&call->x, err)
                                        : err_set(err, -ENOMEM, "out of memory");
    if (r == 0) {
        curl_easy_setopt(call->x.easy, CURLOPT_PRIVATE, (char *)call);
        // Starts a timer of 0 ms: everything happens in later turns of the loop.
        if (curl_multi_add_handle(m->handle, call->x.easy) != CURLM_OK)
            r = err_set(err, -ENOMEM, "libcurl does not take the request");
    }
    if (r < 0) {
        arena_finish(&call->x.response.arena);
        tear_down(&call->x);
        free(call);
        return r;
    }
    call->next = m->calls;
    call->back = &m->calls;
    if (m->calls)
        m->calls->back = &call->next;
    m->calls = call;
    if (out)
        *out = call;
    return 0;
}

void http_client_cancel(struct http_client_call *call)
{
    if (!call || call->in_done)
        return;
    free_call(call);
}
