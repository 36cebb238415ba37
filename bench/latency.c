// latency.c - times single operations from outside, one after the other, for bench.py.
//
//   latency pair N BYTES            round trips of BYTES over a Unix socket pair to another process
//   latency http PORT FILE N        the request in FILE to 127.0.0.1:PORT, on one connection
//   latency exec N PROGRAM ARG…     from exec to the first byte that the program writes
//
// Prints the times in microseconds, one a line, in the order they were measured. A tenth of N more
// is done first and not counted.
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_REQUEST ((size_t)1 << 20)

extern char **environ;

static char memory[MAX_REQUEST];

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

static void read_full(int fd, char *to, size_t n)
{
    while (n > 0) {
        ssize_t got = read(fd, to, n);
        if (got <= 0)
            die("read");
        to += got;
        n -= (size_t)got;
    }
}

static void write_full(int fd, const char *from, size_t n)
{
    while (n > 0) {
        ssize_t put = write(fd, from, n);
        if (put < 0)
            die("write");
        from += put;
        n -= (size_t)put;
    }
}

// The other process answers with as many bytes as it got: the bare handler.
static int pair(long n, size_t bytes)
{
    int fds[2];
    pid_t child;

    if (bytes == 0 || bytes > MAX_REQUEST || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
        die("socketpair");
    child = fork();
    if (child < 0)
        die("fork");
    if (child == 0) {
        close(fds[0]);
        for (;;) {
            size_t have = 0;
            while (have < bytes) {
                ssize_t got = read(fds[1], memory + have, bytes - have);
                if (got <= 0)
                    _exit(0);
                have += (size_t)got;
            }
            write_full(fds[1], memory, bytes);
        }
    }
    close(fds[1]);
    for (long i = -n / 10; i < n; i++) {
        double start = now_us();
        write_full(fds[0], memory, bytes);
        read_full(fds[0], memory, bytes);
        if (i >= 0)
            printf("%.2f\n", now_us() - start);
    }
    close(fds[0]);
    waitpid(child, NULL, 0);
    return 0;
}

// Reads one response with Content-Length; answers its status.
static int read_response(int fd)
{
    static char in[MAX_REQUEST];
    size_t have = 0, want = 0;
    char *end = NULL, *length;

    for (;;) {
        ssize_t got = read(fd, in + have, sizeof(in) - 1 - have);
        if (got <= 0)
            die("the connection ended");
        have += (size_t)got;
        in[have] = '\0';
        if (!end && (end = strstr(in, "\r\n\r\n"))) {
            length = strcasestr(in, "content-length:");
            want = (size_t)(end - in) + 4 + (length ? strtoul(length + 15, NULL, 10) : 0);
        }
        if (end && have >= want)
            return (int)strtol(in + 9, NULL, 10);
    }
}

static int http(long port, const char *path, long n)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int on = 1, fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t bytes = fd < 0 ? -1 : read(fd, memory, sizeof(memory));

    if (bytes <= 0)
        die(path);
    close(fd);
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
        die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    for (long i = -n / 10; i < n; i++) {
        double start = now_us();
        int status;

        write_full(fd, memory, (size_t)bytes);
        status = read_response(fd);
        if (status != 200) {
            fprintf(stderr, "status %d\n", status);
            return 1;
        }
        if (i >= 0)
            printf("%.2f\n", now_us() - start);
    }
    close(fd);
    return 0;
}

static int exec_first_byte(long n, char **argv)
{
    for (long i = -n / 10; i < n; i++) {
        posix_spawn_file_actions_t actions;
        int fds[2], r;
        double start;
        pid_t pid;

        if (pipe2(fds, O_CLOEXEC) < 0)
            die("pipe");
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
        start = now_us();
        r = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
        if (r != 0) {
            errno = r;
            die(argv[0]);
        }
        close(fds[1]);
        read_full(fds[0], memory, 1);
        if (i >= 0)
            printf("%.2f\n", now_us() - start);
        close(fds[0]);
        waitpid(pid, NULL, 0);
        posix_spawn_file_actions_destroy(&actions);
    }
    return 0;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc == 4 && strcmp(argv[1], "pair") == 0)
        return pair(strtol(argv[2], NULL, 10), strtoul(argv[3], NULL, 10));
    if (argc == 5 && strcmp(argv[1], "http") == 0)
        return http(strtol(argv[2], NULL, 10), argv[3], strtol(argv[4], NULL, 10));
    if (argc >= 4 && strcmp(argv[1], "exec") == 0)
        return exec_first_byte(strtol(argv[2], NULL, 10), argv + 3);
    fprintf(stderr, "usage: latency pair N BYTES | http PORT FILE N | exec N PROGRAM ARG…\n");
    return 2;
}
