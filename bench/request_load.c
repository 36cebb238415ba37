// request_load.c - the same HTTP/1.1 request on many connections at once, for coldstart.py and
// compare.py; and whole runs of a program, which cold starts are compared with.
//
//   request_load burst PORT FILE CONNS         all connections send at the same moment, once
//   request_load keep PORT FILE CONNS SECONDS  each connection sends again when it is answered
//   request_load run N PROGRAM ARG…            microseconds from exec to the end of the program
//
// burst prints "STATUS MICROSECONDS" for each connection, status 0 for one without an answer.
// keep prints requests a second answered 200, other answers, lost ones, then the median and the
// 99th percentile of those answered 200 in microseconds. Connections are made before the clock
// starts; one that the server closes is made anew. Nothing here waits for more than LIMIT_S.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_S 90
#define LEAVE_MS 2000
#define MAX_CONNECTIONS 2048
#define MAX_REQUEST ((size_t)1 << 16)
#define ANSWER_BYTES ((size_t)1 << 14)
#define MAX_TIMES 4000000

extern char **environ;

struct connection {
    int fd; // -1: none
    bool asked;
    double since_us;
    int status; // of the last answer
    double took_us;
    size_t have;
    char in[ANSWER_BYTES];
};

static struct connection connections[MAX_CONNECTIONS];
static struct sockaddr_in server = {.sin_family = AF_INET};
static char request[MAX_REQUEST];
static size_t request_len;
static int poller;
static float *times;
static long answered, others, lost;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

// ---- one connection ----------------------------------------------------------------------------

static void drop(struct connection *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->asked = false;
}

static bool connect_one(struct connection *c)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    const struct timeval limit = {.tv_sec = 5}; // a server that broke must not hold us
    int on = 1;

    c->have = 0;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd >= 0) {
        setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    }
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&server, sizeof(server)) < 0 ||
        epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &e) < 0) {
        drop(c);
        return false;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return true;
}

static bool ask(struct connection *c)
{
    c->have = 0;
    c->asked = true;
    c->since_us = now_us();
    if (send(c->fd, request, request_len, MSG_NOSIGNAL) == (ssize_t)request_len)
        return true;
    drop(c);
    return false;
}

// The whole answer's length, 0 while it is not complete, -1 when it ends with the connection.
static ssize_t answer_length(const struct connection *c)
{
    const char *end = strstr(c->in, "\r\n\r\n"), *length, *chunked;
    size_t want;

    if (!end)
        return 0;
    length = strcasestr(c->in, "\r\ncontent-length:");
    chunked = strcasestr(c->in, "\r\ntransfer-encoding: chunked");
    if (length && length < end) {
        want = (size_t)(end - c->in) + 4 + strtoul(length + 17, NULL, 10);
        return c->have >= want ? (ssize_t)want : 0;
    }
    if (chunked && chunked < end)
        return c->have >= 5 && memcmp(c->in + c->have - 5, "0\r\n\r\n", 5) == 0 ? (ssize_t)c->have
                                                                                : 0;
    return -1;
}

static void finish(struct connection *c)
{
    c->took_us = now_us() - c->since_us;
    c->status = c->have > 12 ? (int)strtol(c->in + 9, NULL, 10) : 0;
    c->asked = false;
    if (c->status != 200)
        others++;
    else if (answered < MAX_TIMES)
        times[answered++] = (float)c->took_us;
}

// Reads what is there. True once the answer is complete or the connection is gone.
static bool read_some(struct connection *c)
{
    ssize_t got = read(c->fd, c->in + c->have, sizeof(c->in) - 1 - c->have), length;

    if (got < 0 && errno == EINTR)
        return false;
    if (got > 0) {
        c->have += (size_t)got;
        c->in[c->have] = '\0';
        length = answer_length(c);
        if (c->asked && length > 0) {
            const char *close_it = strcasestr(c->in, "\r\nconnection: close");
            finish(c);
            if (close_it)
                drop(c);
            return true;
        }
        if (c->have < sizeof(c->in) - 1)
            return false;
    } else if (c->asked && answer_length(c) < 0) {
        finish(c); // a body that ends with its connection
        drop(c);
        return true;
    }
    if (c->asked)
        lost++;
    drop(c);
    return true;
}

// ---- loads -------------------------------------------------------------------------------------

static void prepare(const char *port, const char *path, long n)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, request, sizeof(request));

    if (got <= 0)
        die(path);
    close(fd);
    request_len = (size_t)got;
    server.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
    inet_pton(AF_INET, "127.0.0.1", &server.sin_addr);
    poller = epoll_create1(EPOLL_CLOEXEC);
    times = malloc(MAX_TIMES * sizeof(*times));
    if (poller < 0 || !times || n < 1 || n > MAX_CONNECTIONS)
        die("request_load");
    for (long i = 0; i < n; i++)
        if (!connect_one(&connections[i]))
            die("connect");
}

static int burst(long n)
{
    struct epoll_event events[64];
    double end = now_us() + LIMIT_S * 1e6;
    long left = 0;

    for (long i = 0; i < n; i++)
        left += ask(&connections[i]);
    while (left > 0 && now_us() < end) {
        int ready = epoll_wait(poller, events, 64, 1000);
        for (int i = 0; i < ready; i++)
            left -= read_some(events[i].data.ptr);
    }
    for (long i = 0; i < n; i++)
        printf("%d %.1f\n", connections[i].status, connections[i].took_us);
    return 0;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

static int keep(long n, double seconds)
{
    struct epoll_event events[64];
    double start = now_us(), now = start, end = start + seconds * 1e6;

    for (long i = 0; i < n; i++)
        ask(&connections[i]);
    while ((now = now_us()) < end) {
        int ready = epoll_wait(poller, events, 64, 100);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            if (read_some(c) && (c->fd >= 0 || connect_one(c)))
                ask(c);
        }
        for (long i = 0; ready == 0 && i < n; i++) // a refused one tries again
            if (connections[i].fd < 0 && connect_one(&connections[i]))
                ask(&connections[i]);
    }
    qsort(times, (size_t)answered, sizeof(*times), by_value);
    printf("%.1f %ld %ld %.1f %.1f\n", (double)answered / ((now - start) / 1e6), others, lost,
           answered ? (double)times[answered / 2] : 0,
           answered ? (double)times[answered * 99 / 100] : 0);
    // What is under way is still taken: some servers do not live through a client that leaves.
    end = now_us() + LEAVE_MS * 1e3;
    for (long i = 0; i < n; i++) {
        struct pollfd p = {connections[i].fd, POLLIN, 0};
        while (connections[i].asked && now_us() < end && poll(&p, 1, LEAVE_MS) == 1)
            read_some(&connections[i]);
    }
    return 0;
}

static int run(long n, char **argv)
{
    for (long i = -n / 10; i < n; i++) {
        double start = now_us();
        pid_t pid;
        int status, r = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);

        if (r != 0) {
            errno = r;
            die(argv[0]);
        }
        if (waitpid(pid, &status, 0) != pid || status != 0)
            die("the program failed");
        if (i >= 0)
            printf("%.1f\n", now_us() - start);
    }
    return 0;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    alarm(LIMIT_S + 30);
    if (argc == 5 && strcmp(argv[1], "burst") == 0) {
        prepare(argv[2], argv[3], strtol(argv[4], NULL, 10));
        return burst(strtol(argv[4], NULL, 10));
    }
    if (argc == 6 && strcmp(argv[1], "keep") == 0) {
        prepare(argv[2], argv[3], strtol(argv[4], NULL, 10));
        return keep(strtol(argv[4], NULL, 10), strtod(argv[5], NULL));
    }
    if (argc >= 4 && strcmp(argv[1], "run") == 0)
        return run(strtol(argv[2], NULL, 10), argv + 3);
    fprintf(stderr, "usage: request_load burst PORT FILE CONNS | keep PORT FILE CONNS SECONDS | "
                    "run N PROGRAM ARG…\n");
    return 2;
}
