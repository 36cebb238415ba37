// gateway_load.c - what gateway.py needs of a client and Python would be too slow for.
//
//   gateway_load first PORT FILE N              the request in FILE, N times: microseconds from the
//                                               time that the stream's first bytes tell to arrival
//   gateway_load drain PORT FILE                the request in FILE, read until the server closes:
//                                               bytes, seconds
//   gateway_load sockets PORT FILE N PATH ROUNDS
//                                               N WebSockets by the handshake in FILE; then for
//                                               each line of input: asks for their ids and sends to
//                                               all of them by signed POSTs to PATH/<id>, ROUNDS
//                                               times: seconds, one a line
//   gateway_load match N LOOKUPS                nanoseconds of a look-up in a table of N routes
//
// Signatures are made before the clock starts: an API's back end may sign on another machine.
#include "base/arena.h"
#include "base/buf.h"
#include "base/percent.h"
#include "services/gateway/route_table.h"
#include "wire/sigv4.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define IN_BYTES ((size_t)1 << 20)
#define POSTERS 32
#define PER_ADDRESS 20000 // connections from one loopback address: there are 28,000 ports
#define ID_BYTES 64
#define BATCH 64

static int port;
static char request[64 * 1024];
static size_t request_len;
static char in[IN_BYTES + 1];

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

static long number(const char *s)
{
    return strtol(s, NULL, 10);
}

static void load_request(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, request, sizeof(request));

    if (n <= 0)
        die(path);
    close(fd);
    request_len = (size_t)n;
}

// The n-th connection comes from an address that has ports left.
static int connect_from(long n)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in from = {.sin_family = AF_INET};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(n / PER_ADDRESS));
    if (fd < 0)
        die("socket");
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0 ||
        connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
        die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

static void write_full(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t put = write(fd, p, n);
        if (put < 0)
            die("write");
        p += put;
        n -= (size_t)put;
    }
}

// Reads until `end` is there; how many bytes there are.
static size_t read_until(int fd, const char *end)
{
    size_t have = 0;

    do {
        ssize_t got = have < IN_BYTES ? read(fd, in + have, IN_BYTES - have) : 0;
        if (got <= 0)
            die("the connection ended");
        have += (size_t)got;
        in[have] = '\0';
    } while (!strstr(in, end));
    return have;
}

// ---- streams -----------------------------------------------------------------------------------

static int first(long n)
{
    int fd = connect_from(0);

    for (long i = -n / 10; i < n; i++) {
        size_t have = 0;
        double seen = 0, at = 0;

        write_full(fd, request, request_len);
        in[0] = '\0';
        while (seen == 0 || !strstr(in, "\r\n0\r\n\r\n")) {
            ssize_t got = read(fd, in + have, IN_BYTES - have);
            const char *stamp;
            if (got <= 0)
                die("the connection ended");
            have += (size_t)got;
            in[have] = '\0';
            if (seen == 0 && (stamp = strstr(in, "at=")) && strchr(stamp, ';')) {
                seen = now_us();
                at = (double)strtoll(stamp + 3, NULL, 10) / 1e3;
            }
            if (seen == 0 && strstr(in, "\r\n\r\n") && !strstr(in, " 200 ")) {
                fprintf(stderr, "%s\n", in);
                return 1;
            }
        }
        if (i >= 0)
            printf("%.1f\n", seen - at);
    }
    close(fd);
    return 0;
}

static int drain(void)
{
    int fd = connect_from(0);
    double start = now_us();
    long long bytes = 0;
    ssize_t got;

    write_full(fd, request, request_len);
    while ((got = read(fd, in, IN_BYTES)) > 0)
        bytes += got;
    if (got < 0)
        die("read");
    printf("%lld\n%.6f\n", bytes, (now_us() - start) / 1e6);
    close(fd);
    return 0;
}

// ---- WebSockets --------------------------------------------------------------------------------

struct socket {
    int fd;
    bool had; // this round's message
    char id[ID_BYTES];
    char *post; // the signed request
    size_t post_len;
};

static struct socket *sockets;
static long n_sockets;

static void open_sockets(void)
{
    struct rlimit files;

    getrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_max < (rlim_t)n_sockets + 100)
        files.rlim_max = (rlim_t)n_sockets + 100; // works for root
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0)
        die("too few open files are allowed");
    sockets = calloc((size_t)n_sockets, sizeof(*sockets));
    if (!sockets)
        die("calloc");
    for (long i = 0; i < n_sockets; i++) {
        sockets[i].fd = connect_from(i);
        write_full(sockets[i].fd, request, request_len);
        read_until(sockets[i].fd, "\r\n\r\n");
        if (strncmp(in, "HTTP/1.1 101", 12) != 0) {
            fprintf(stderr, "%s\n", in);
            exit(1);
        }
    }
}

// Each asks its function who it is: a short text frame, its mask is zero.
static void ask_ids(void)
{
    static const char question[] = {(char)0x81, (char)0x82, 0, 0, 0, 0, 'i', 'd'};

    for (long i = 0; i < n_sockets; i++) {
        struct socket *s = &sockets[i];
        size_t have = 0, len;

        write_full(s->fd, question, sizeof(question));
        do {
            ssize_t got = read(s->fd, in + have, 1024 - have);
            if (got <= 0)
                die("a WebSocket ended");
            have += (size_t)got;
            len = have < 2 ? 126 : (size_t)(in[1] & 0x7f);
        } while (have < 2 + len);
        if (len >= ID_BYTES) {
            fprintf(stderr, "not an id: %.*s\n", (int)len, in + 2);
            exit(1);
        }
        memcpy(s->id, in + 2, len);
    }
}

static void sign_posts(const char *path)
{
    struct arena a = {0};

    arena_init(&a, (size_t)8 << 20);
    for (long i = 0; i < n_sockets; i++) {
        struct buf b, id;
        struct wire_header header, added[4];
        struct timespec t;

        arena_reset(&a);
        buf_init(&id, 4096);
        percent_encode(&id, str_from(sockets[i].id));
        struct str full = arena_printf(&a, "%s/%.*s", path, STR_ARG(buf_str(&id)));
        struct str host = arena_printf(&a, "127.0.0.1:%d", port);
        clock_gettime(CLOCK_REALTIME, &t);
        header = (struct wire_header){STR("host"), host};
        const struct wire_http_in http = {.method = STR("POST"),
                                          .path = full,
                                          .headers = &header,
                                          .n_headers = 1,
                                          .body = STR("news for everybody")};
        const struct sigv4_signer signer = {.access_key = STR("test"),
                                            .secret_key = STR("test"),
                                            .region = STR("us-east-1"),
                                            .service = STR("execute-api"),
                                            .now_ms = (int64_t)t.tv_sec * 1000};
        int n = sigv4_sign(&signer, &http, &a, added, NULL);
        if (n < 0)
            die("sign");
        buf_init(&b, 16384);
        buf_addf(&b, "POST %.*s HTTP/1.1\r\nhost: %.*s\r\n", STR_ARG(full), STR_ARG(host));
        for (int k = 0; k < n; k++)
            buf_addf(&b, "%.*s: %.*s\r\n", STR_ARG(added[k].name), STR_ARG(added[k].value));
        buf_addf(&b, "content-length: %zu\r\n\r\n", http.body.len);
        buf_add(&b, http.body);
        free(sockets[i].post);
        sockets[i].post = malloc(b.len);
        if (!sockets[i].post)
            die("malloc");
        memcpy(sockets[i].post, b.ptr, b.len);
        sockets[i].post_len = b.len;
        buf_finish(&b);
        buf_finish(&id);
    }
    arena_finish(&a);
}

static void check_posted(int fd)
{
    ssize_t got = read(fd, in, IN_BYTES);

    in[got > 0 ? got : 0] = '\0';
    if (strncmp(in, "HTTP/1.1 200", 12) != 0) {
        fprintf(stderr, "POST: %s\n", in);
        exit(1);
    }
}

// The answers to POSTs are small: one read takes all of one.
static double broadcast(int poller, const int posters[POSTERS])
{
    struct epoll_event events[256];
    long posted = 0, left = n_sockets;
    double start = now_us();

    for (long i = 0; i < n_sockets; i++)
        sockets[i].had = false;
    for (; posted < POSTERS && posted < n_sockets; posted++)
        write_full(posters[posted], sockets[posted].post, sockets[posted].post_len);
    long answers = n_sockets;
    while (left > 0 || answers > 0) {
        int n = epoll_wait(poller, events, 256, 10000);
        if (n <= 0) {
            fprintf(stderr, "%ld messages and %ld answers did not come\n", left, answers);
            exit(1);
        }
        for (int i = 0; i < n; i++) {
            long which = (long)events[i].data.u64;
            if (which < 0) {
                int fd = posters[-which - 1];
                check_posted(fd);
                answers--;
                if (posted < n_sockets) {
                    write_full(fd, sockets[posted].post, sockets[posted].post_len);
                    posted++;
                }
            } else {
                if (read(sockets[which].fd, in, IN_BYTES) <= 0)
                    die("a WebSocket ended");
                left -= !sockets[which].had;
                sockets[which].had = true;
            }
        }
    }
    return (now_us() - start) / 1e6;
}

static int run_sockets(const char *path, long rounds)
{
    int posters[POSTERS], poller = epoll_create1(EPOLL_CLOEXEC);
    char line[16];

    open_sockets();
    puts("open");
    fflush(stdout);
    if (poller < 0 || !fgets(line, sizeof(line), stdin))
        return 1;
    ask_ids();
    for (long i = 0; i < n_sockets; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.u64 = (uint64_t)i};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, sockets[i].fd, &e) < 0)
            die("epoll_ctl");
    }
    for (int i = 0; i < POSTERS; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.u64 = (uint64_t)(-i - 1)};
        posters[i] = connect_from(0);
        if (epoll_ctl(poller, EPOLL_CTL_ADD, posters[i], &e) < 0)
            die("epoll_ctl");
    }
    for (long i = 0; i < rounds; i++) {
        sign_posts(path);
        printf("%.3f\n", broadcast(poller, posters));
    }
    return 0;
}

// ---- the route table ---------------------------------------------------------------------------

static int match(long n, long lookups)
{
    struct arena a = {0};
    struct route_table *t;
    struct str *paths = calloc((size_t)n, sizeof(*paths));
    struct route_match m;
    struct err err = ERR_INIT;
    uint32_t random = 1;
    double spent_us = 0;
    long found = 0;

    arena_init(&a, (size_t)64 << 20);
    t = route_table_new(&a);
    if (!paths || !t)
        die("memory");
    for (long i = 0; i < n; i++) {
        struct str key = arena_printf(&a, "GET /area-%ld/things-%ld/{id}", i / 50, i);
        if (route_table_add(t, key, &paths[i], &err) < 0)
            die("route_table_add");
        paths[i] = arena_printf(&a, "/area-%ld/things-%ld/some-id", i / 50, i);
    }
    // In batches, whose paths are put where a request's would be: in memory that was just written.
    for (long done = 0; done < lookups; done += BATCH) {
        static char space[BATCH][64];
        struct str batch[BATCH];
        for (int i = 0; i < BATCH; i++) {
            random = random * 1664525 + 1013904223;
            struct str path = paths[(random >> 8) % (uint32_t)n];
            memcpy(space[i], path.ptr, path.len);
            batch[i] = (struct str){space[i], path.len};
        }
        double start = now_us();
        for (int i = 0; i < BATCH; i++)
            found += route_table_match(t, STR("GET"), batch[i], &m);
        spent_us += now_us() - start;
    }
    printf("%.1f\n", spent_us * 1e3 / (double)found);
    free(paths);
    arena_finish(&a);
    return found < lookups;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (strcmp(what, "match") == 0 && argc == 4)
        return match(number(argv[2]), number(argv[3]));
    if (argc < 4)
        return 2;
    port = (int)number(argv[2]);
    load_request(argv[3]);
    if (strcmp(what, "first") == 0 && argc == 5)
        return first(number(argv[4]));
    if (strcmp(what, "drain") == 0 && argc == 4)
        return drain();
    if (strcmp(what, "sockets") == 0 && argc == 7) {
        n_sockets = number(argv[4]);
        return run_sockets(argv[5], number(argv[6]));
    }
    return 2;
}
