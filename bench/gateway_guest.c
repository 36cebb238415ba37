// gateway_guest.c - the native function that gateway.py measures with, against nothing but the
// Runtime API.
//
//   …/first         streams the time at which it writes, and ends two milliseconds later
//   …/bytes/N       streams N bytes in pieces of 64 KiB
//   a connection    answers a WebSocket message with the connection's id
//   anything else   answers "ok"
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PIECE ((size_t)64 * 1024)
#define MAX_HEAD ((size_t)16 * 1024)
#define MAX_EVENT ((size_t)1 << 20)

static char in[MAX_HEAD + MAX_EVENT + 1], id[64];
static int api;

static void send_all(const char *p, size_t n)
{
    while (n > 0) {
        ssize_t put = write(api, p, n);
        if (put < 0)
            exit(1);
        p += put;
        n -= (size_t)put;
    }
}

// One answer with Content-Length; its body, or NULL when it has none.
static char *read_answer(void)
{
    size_t have = 0, want = 0;
    char *end = NULL;

    while (!end || have < want) {
        ssize_t got = have < sizeof(in) - 1 ? read(api, in + have, sizeof(in) - 1 - have) : 0;
        if (got <= 0)
            exit(got < 0);
        have += (size_t)got;
        in[have] = '\0';
        if (!end && (end = strstr(in, "\r\n\r\n"))) {
            char *length = strcasestr(in, "\r\ncontent-length:");
            want = (size_t)(end - in) + 4 +
                   (length && length < end ? strtoul(length + 17, NULL, 10) : 0);
        }
    }
    return end + 4;
}

static void begin_stream(void)
{
    char head[512];
    int n = snprintf(head, sizeof(head),
                     "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: api\r\n"
                     "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
                     "Content-Type: application/octet-stream\r\n"
                     "Transfer-Encoding: chunked\r\n\r\n",
                     id);

    send_all(head, (size_t)n);
}

static void stream_time(void)
{
    struct timespec t;
    char piece[64];

    begin_stream();
    clock_gettime(CLOCK_MONOTONIC, &t);
    int n = snprintf(piece, sizeof(piece), "18\r\nat=%020lld;\r\n",
                     (long long)t.tv_sec * 1000000000 + t.tv_nsec);
    send_all(piece, (size_t)n);
    usleep(2000);
    send_all("0\r\n\r\n", 5);
}

static void stream_bytes(size_t left)
{
    static char piece[PIECE + 16];

    begin_stream();
    while (left > 0) {
        size_t n = left < PIECE ? left : PIECE;
        size_t head = (size_t)snprintf(piece, 16, "%zx\r\n", n);
        memset(piece + head, 'x', n);
        memcpy(piece + head + n, "\r\n", 2);
        send_all(piece, head + n + 2);
        left -= n;
    }
    send_all("0\r\n\r\n", 5);
}

static void answer(const char *body)
{
    char text[512], whole[1024];
    int n = snprintf(text, sizeof(text), "{\"statusCode\":200,\"body\":\"%s\"}", body);
    int all = snprintf(whole, sizeof(whole),
                       "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: api\r\n"
                       "Content-Length: %d\r\n\r\n%s",
                       id, n, text);

    send_all(whole, (size_t)all);
}

static void handle(const char *event)
{
    static const char connection[] = "\"connectionId\":\"", bytes[] = "\"rawPath\":\"/bytes/";
    const char *at;
    char value[64];

    if (strstr(event, "\"rawPath\":\"/first\"")) {
        stream_time();
    } else if ((at = strstr(event, bytes))) {
        stream_bytes(strtoul(at + strlen(bytes), NULL, 10));
    } else if ((at = strstr(event, connection))) {
        at += strlen(connection);
        snprintf(value, sizeof(value), "%.*s", (int)strcspn(at, "\""), at);
        answer(value);
    } else {
        answer("ok");
    }
}

int main(void)
{
    static const char next[] =
        "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: api\r\n\r\n";
    static const char id_header[] = "\r\nlambda-runtime-aws-request-id: ";
    const char *where = getenv("AWS_LAMBDA_RUNTIME_API");
    struct sockaddr_in to = {.sin_family = AF_INET};
    char name[256], *port;
    int on = 1;

    snprintf(name, sizeof(name), "%s", where ? where : "127.0.0.1:9001");
    port = strrchr(name, ':');
    if (port)
        *port++ = '\0';
    to.sin_port = htons((uint16_t)strtoul(port ? port : "80", NULL, 10));
    inet_pton(AF_INET, name, &to.sin_addr);
    api = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (api < 0 || connect(api, (struct sockaddr *)&to, sizeof(to)) < 0)
        return 1;
    setsockopt(api, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    for (;;) {
        send_all(next, sizeof(next) - 1);
        const char *event = read_answer();
        const char *at = strcasestr(in, id_header);
        if (!at)
            return 1;
        snprintf(id, sizeof(id), "%.36s", at + sizeof(id_header) - 1);
        handle(event);
        read_answer();
    }
}
