// bootstrap.c - a Lambda function in C against nothing but the Runtime API.
//
// It asks for the next invocation, answers it, and goes on for ever, over one kept-alive HTTP/1.1
// connection to $AWS_LAMBDA_RUNTIME_API. An event that is JSON is echoed; the text "fail" in it is
// answered as a function error, to show both ways.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_HEAD ((size_t)16 * 1024)
#define MAX_EVENT ((size_t)7 * 1024 * 1024)

struct answer {
    char head[MAX_HEAD];
    char *body; // within `space`
    size_t body_len;
};

static char *space; // head and body as they come
static size_t filled;
static int api = -1;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void connect_api(void)
{
    char name[256], *port;
    struct sockaddr_in to = {.sin_family = AF_INET};
    const char *where = getenv("AWS_LAMBDA_RUNTIME_API");
    int on = 1;

    snprintf(name, sizeof(name), "%s", where ? where : "127.0.0.1:9001");
    port = strrchr(name, ':');
    if (port)
        *port++ = '\0';
    to.sin_port = htons((uint16_t)strtoul(port ? port : "80", NULL, 10));
    // An address, here and on AWS: no resolver in a static program.
    if (inet_pton(AF_INET, name, &to.sin_addr) != 1)
        die("AWS_LAMBDA_RUNTIME_API");
    api = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (api < 0 || connect(api, (struct sockaddr *)&to, sizeof(to)) < 0)
        die("connect to the Runtime API");
    setsockopt(api, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

// The value of a header, in place, or NULL. `head` ends with an empty line.
static const char *header(const char *head, const char *name, size_t *len)
{
    size_t n = strlen(name);

    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, n) == 0 && line[n] == ':') {
            line += n + 1;
            line += strspn(line, " ");
            *len = strcspn(line, "\r\n");
            return line;
        }
    }
    return NULL;
}

static size_t read_more(void)
{
    ssize_t n = read(api, space + filled, MAX_HEAD + MAX_EVENT - filled);

    if (n <= 0)
        exit(n < 0); // the environment ends
    filled += (size_t)n;
    return (size_t)n;
}

// One answer with Content-Length, which is what the Runtime API sends.
static void read_answer(struct answer *a)
{
    char *end;
    size_t head_len, len;
    const char *value;

    filled = 0;
    do {
        read_more();
        end = memmem(space, filled, "\r\n\r\n", 4);
    } while (!end);
    head_len = (size_t)(end - space) + 4;
    if (head_len >= MAX_HEAD)
        exit(1);
    memcpy(a->head, space, head_len);
    a->head[head_len] = '\0';
    value = header(a->head, "Content-Length", &len);
    a->body_len = value ? strtoul(value, NULL, 10) : 0;
    if (a->body_len > MAX_EVENT)
        exit(1);
    while (filled < head_len + a->body_len)
        read_more();
    a->body = space + head_len;
}

static void send_all(struct iovec *v, int n)
{
    while (n > 0) {
        ssize_t sent = writev(api, v, n);
        if (sent < 0)
            die("write");
        while (n > 0 && (size_t)sent >= v->iov_len) {
            sent -= (ssize_t)v->iov_len;
            v++;
            n--;
        }
        if (n > 0) {
            v->iov_base = (char *)v->iov_base + sent;
            v->iov_len -= (size_t)sent;
        }
    }
}

static void post(const char *id, size_t id_len, const char *what, const char *body, size_t len)
{
    char head[512];
    int n = snprintf(head, sizeof(head),
                     "POST /2018-06-01/runtime/invocation/%.*s/%s HTTP/1.1\r\nHost: api\r\n"
                     "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                     (int)id_len, id, what, len);
    struct iovec v[] = {{head, (size_t)n}, {(void *)body, len}};

    send_all(v, 2);
}

int main(void)
{
    static const char next[] =
        "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: api\r\n\r\n";
    static const char failure[] =
        "{\"errorType\":\"Example.Asked\",\"errorMessage\":\"the event asked "
        "for a failure\"}";
    static struct answer a;
    static char id[128];
    unsigned calls = 0;

    space = malloc(MAX_HEAD + MAX_EVENT);
    if (!space)
        die("malloc");
    connect_api();
    for (;;) {
        struct iovec ask = {(void *)next, sizeof(next) - 1};
        size_t id_len;
        const char *value;
        char *reply;
        int n;

        send_all(&ask, 1);
        read_answer(&a);
        value = header(a.head, "Lambda-Runtime-Aws-Request-Id", &id_len);
        if (!value || id_len >= sizeof(id))
            exit(1);
        memcpy(id, value, id_len);
        if (memmem(a.body, a.body_len, "\"fail\"", 6)) {
            post(id, id_len, "error", failure, sizeof(failure) - 1);
        } else {
            n = asprintf(&reply, "{\"runtime\":\"C\",\"calls\":%u,\"event\":%.*s}", ++calls,
                         (int)a.body_len, a.body);
            if (n < 0)
                die("asprintf");
            post(id, id_len, "response", reply, (size_t)n);
            free(reply);
        }
        read_answer(&a);
    }
}
