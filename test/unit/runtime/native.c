// native.c - a custom runtime's `bootstrap` over nothing but sockets, that does what its event
// says.
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static int fd = -1;
static char in[8 << 20];
static size_t have;

static void reconnect(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(9001)};
    const char *api = getenv("AWS_LAMBDA_RUNTIME_API"), *colon = api ? strchr(api, ':') : NULL;

    if (colon)
        a.sin_port = htons((unsigned short)strtol(colon + 1, NULL, 10));
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd >= 0)
        close(fd);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        _exit(90);
    have = 0;
}

static void send_all(const char *p, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, p, n);
        if (done <= 0)
            _exit(91);
        p += done;
        n -= (size_t)done;
    }
}

// Reads one response; its status, with head and body cut out of `in` (body NUL-terminated).
static int answer(char **head, char **body)
{
    char *end;
    size_t length = 0;

    have = 0;
    for (;;) {
        ssize_t n = read(fd, in + have, sizeof(in) - 1 - have);
        if (n <= 0)
            _exit(92);
        have += (size_t)n;
        in[have] = '\0';
        end = strstr(in, "\r\n\r\n");
        if (!end)
            continue;
        char *l = strcasestr(in, "content-length:");
        length = l && l < end ? (size_t)strtol(l + 15, NULL, 10) : 0;
        if (have >= (size_t)(end - in) + 4 + length)
            break;
    }
    *end = '\0';
    *head = in;
    *body = end + 4;
    (*body)[length] = '\0';
    return (int)strtol(in + 9, NULL, 10);
}

static int post(const char *path, const char *headers, const char *body, size_t n)
{
    char head[1024], *h, *b;

    snprintf(head, sizeof(head),
             "POST /2018-06-01/runtime/%s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n%s\r\n",
             path, n, headers);
    send_all(head, strlen(head));
    send_all(body, n);
    return answer(&h, &b);
}

static void stream(const char *id, const char *event)
{
    char head[512], *h, *b;

    snprintf(head, sizeof(head),
             "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: a\r\n"
             "Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n"
             "Trailer: Lambda-Runtime-Function-Error-Type\r\n\r\n",
             id);
    send_all(head, strlen(head));
    for (int i = 0; i < 3; i++)
        send_all("5\r\nchunk\r\n", 10);
    if (strstr(event, "broken"))
        _exit(7);
    if (strstr(event, "error"))
        send_all(
            "0\r\nLambda-Runtime-Function-Error-Type: Function.Mid\r\n"
            "Lambda-Runtime-Function-Error-Body: eyJlcnJvck1lc3NhZ2UiOiJtaWQifQ==\r\n\r\n",
            strlen("0\r\nLambda-Runtime-Function-Error-Type: Function.Mid\r\n"
                   "Lambda-Runtime-Function-Error-Body: eyJlcnJvck1lc3NhZ2UiOiJtaWQifQ==\r\n\r\n"));
    else
        send_all("0\r\n\r\n", 5);
    answer(&h, &b);
}

// An external extension: registers, prints what it hears, and does what the variable EXT says.
static int extension(void)
{
    const char *what = getenv("EXT") ? getenv("EXT") : "";
    char *head, *body, id[64], request[256];

    if (strstr(what, "silent"))
        sleep(600);
    reconnect();
    snprintf(request, sizeof(request),
             "POST /2020-01-01/extension/register HTTP/1.1\r\nHost: a\r\n"
             "Lambda-Extension-Name: ext\r\nContent-Length: 31\r\n\r\n"
             "{\"events\":[\"INVOKE\",\"SHUTDOWN\"]}");
    strstr(request, "31")[1] = '0' + (char)(strlen(strstr(request, "{")) - 30);
    send_all(request, strlen(request));
    if (answer(&head, &body) != 200)
        return 94;
    printf("ext registered %s\n", body);
    char *at = strcasestr(head, "lambda-extension-identifier: ");
    snprintf(id, sizeof(id), "%.36s", at ? at + 29 : "");
    for (;;) {
        snprintf(request, sizeof(request),
                 "GET /2020-01-01/extension/event/next HTTP/1.1\r\nHost: a\r\n"
                 "Lambda-Extension-Identifier: %s\r\n\r\n",
                 id);
        send_all(request, strlen(request));
        if (answer(&head, &body) != 200)
            return 95;
        printf("ext heard %s\n", body);
        if (strstr(body, "SHUTDOWN"))
            return 0;
        if (strstr(what, "crash"))
            return 6;
    }
}

int main(int argc, char **argv)
{
    static char big[7 << 20];
    char *head, *body, id[64], path[128], out[256];

    setvbuf(stdout, NULL, _IONBF, 0);
    signal(SIGTERM, SIG_IGN);
    if (argc > 0 && strstr(argv[0], "/extensions/"))
        return extension();
    if (getenv("FAIL_INIT")) {
        reconnect();
        post("init/error", "Lambda-Runtime-Function-Error-Type: Runtime.Mine\r\n",
             "{\"errorMessage\":\"no\",\"errorType\":\"Runtime.Mine\"}", 48);
        return 1;
    }
    memset(big, 'x', sizeof(big));
    reconnect();
    for (;;) {
        send_all("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: a\r\n\r\n", 61);
        if (answer(&head, &body) != 200)
            return 93;
        char *at = strcasestr(head, "lambda-runtime-aws-request-id: ");
        snprintf(id, sizeof(id), "%.36s", at ? at + 31 : "");
        snprintf(path, sizeof(path), "invocation/%s/response", id);
        if (strstr(body, "exit")) {
            printf("leaving\n");
            return 3;
        } else if (strstr(body, "sleep")) {
            sleep(30);
        } else if (strstr(body, "stream")) {
            stream(id, body);
            continue;
        } else if (strstr(body, "huge")) {
            int status = post(path, "", big, sizeof(big));
            printf("huge %d\n", status);
            continue;
        } else if (strstr(body, "forged")) {
            int status =
                post("invocation/00000000-0000-0000-0000-000000000000/response", "", "1", 1);
            int stale = post(path, "Lambda-Runtime-Invocation-Id: zz\r\n", "1", 1);
            snprintf(out, sizeof(out), "{\"forged\":%d,\"stale\":%d}", status, stale);
        } else if (strstr(body, "twice")) {
            post(path, "", "1", 1);
            printf("twice %d\n", post(path, "", "2", 1));
            continue;
        } else if (strstr(body, "fail")) {
            snprintf(path, sizeof(path), "invocation/%s/error", id);
            post(path, "Lambda-Runtime-Function-Error-Type: Function.Bad\r\n",
                 "{\"errorMessage\":\"bad\",\"errorType\":\"Bad\"}", 40);
            continue;
        } else {
            snprintf(out, sizeof(out), "{\"pid\":%d,\"echo\":%.100s}", getpid(), body);
        }
        post(path, "", out, strlen(out));
    }
}
