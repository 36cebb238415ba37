// guest.c - a small well-behaved program for sandboxes: guest VERB [ARGUMENT].
//
// echo: answers each line on descriptor 3 with "echo " before it; "cat PATH" with that file's
// first line. Without libraries, so that it starts as fast as a program can.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

static void on_term(int sig)
{
    (void)sig;
    static const char text[] = "terminated\n";
    if (write(1, text, sizeof(text) - 1) < 0)
        _exit(2);
    _exit(0);
}

static int first_line(const char *path, char *to, size_t room)
{
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, to, room - 1);
    if (n < 0)
        return snprintf(to, room, "%s", strerrorname_np(errno));
    to[n] = '\0';
    to[strcspn(to, "\n")] = '\0';
    close(fd);
    return (int)strlen(to);
}

// Milliseconds of processor time.
static void burn(long ms)
{
    struct timespec begun, now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begun);
    do
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    while ((now.tv_sec - begun.tv_sec) * 1000 + (now.tv_nsec - begun.tv_nsec) / 1000000 < ms);
}

// From the disk, whatever is in memory already.
static int read_direct(const char *path)
{
    size_t got = 0;
    void *room = NULL;
    int fd = open(path, O_RDONLY | O_DIRECT);
    if (fd < 0 || posix_memalign(&room, 4096, 1 << 18) != 0) {
        printf("%s\n", strerrorname_np(errno));
        return 1;
    }
    for (ssize_t n; (n = read(fd, room, 1 << 18)) > 0;)
        got += (size_t)n;
    printf("read %zu\n", got);
    return 0;
}

static int echo(void)
{
    char line[512], text[400], answer[1024];
    for (;;) {
        ssize_t n = read(3, line, sizeof(line) - 1);
        if (n <= 0)
            return n < 0;
        line[n] = '\0';
        line[strcspn(line, "\n")] = '\0';
        int len;
        if (strncmp(line, "cat ", 4) == 0) {
            first_line(line + 4, text, sizeof(text));
            len = snprintf(answer, sizeof(answer), "%s\n", text);
        } else if (strncmp(line, "burn ", 5) == 0) {
            burn(strtol(line + 5, NULL, 10));
            len = snprintf(answer, sizeof(answer), "burnt\n");
        } else {
            len = snprintf(answer, sizeof(answer), "echo %s\n", line);
        }
        if (write(3, answer, (size_t)len) != len)
            return 1;
    }
}

static int dial(const char *ip, int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    char text[64];
    inet_pton(AF_INET, ip, &a.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
        printf("%s\n", strerrorname_np(errno));
        return 1;
    }
    ssize_t n = read(fd, text, sizeof(text));
    printf("got %.*s\n", (int)(n > 0 ? n : 0), text);
    return 0;
}

// Says when it listens; answers each connection's first line with "heard ".
static int serve(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    char text[64], answer[80];
    inet_pton(AF_INET, "127.0.0.1", &a.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 8) < 0)
        return 1;
    printf("listening\n");
    for (;;) {
        int c = accept(fd, NULL, NULL);
        ssize_t n = read(c, text, sizeof(text));
        int len = snprintf(answer, sizeof(answer), "heard %.*s", (int)(n > 0 ? n : 0), text);
        if (write(c, answer, (size_t)len) != len)
            return 1;
        close(c);
    }
}

static int eat(size_t mb)
{
    char *p = mmap(NULL, mb << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return 1;
    memset(p, 1, mb << 20);
    return 0;
}

static int fill(const char *path, size_t mb)
{
    static char chunk[1 << 20];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    memset(chunk, 1, sizeof(chunk));
    for (size_t i = 0; i < mb; i++)
        if (write(fd, chunk, sizeof(chunk)) != (ssize_t)sizeof(chunk)) {
            printf("%s after %zu MB\n", strerrorname_np(errno), i);
            return 1;
        }
    close(fd);
    printf("filled %zu\n", mb);
    return 0;
}

// Holds it until somebody minds.
static int hold(size_t mb)
{
    int r = eat(mb);
    printf("holds %zu\n", mb);
    for (int i = 0; i < 600 && r == 0; i++)
        usleep(100000);
    return r;
}

// Files at /tmp, and then memory: hoard FILES MB.
static int hoard(size_t files, size_t mb)
{
    return fill("/tmp/hoard", files) || hold(mb);
}

// Files that are gone again leave no room behind.
static int swap_files_for_memory(size_t files, size_t mb)
{
    if (fill("/tmp/hoard", files))
        return 1;
    unlink("/tmp/hoard");
    return hold(mb);
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "", *argument = argc > 2 ? argv[2] : "";
    char text[400];
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (strcmp(verb, "hello") == 0) {
        if (write(1, "x\n", 2) != 2)
            return 1;
        return 0;
    }
    if (strcmp(verb, "echo") == 0)
        return echo();
    if (strcmp(verb, "exit") == 0)
        return (int)strtol(argument, NULL, 10);
    if (strcmp(verb, "raise") == 0)
        return raise((int)strtol(argument, NULL, 10));
    if (strcmp(verb, "dial") == 0)
        return dial(argc > 3 ? argv[3] : "127.0.0.1", (int)strtol(argument, NULL, 10));
    if (strcmp(verb, "serve") == 0)
        return serve((int)strtol(argument, NULL, 10));
    if (strcmp(verb, "eat") == 0)
        return eat((size_t)strtol(argument, NULL, 10));
    size_t first = strtoul(argument, NULL, 10), second = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
    if (strcmp(verb, "read") == 0)
        return read_direct(argument);
    if (strcmp(verb, "hold") == 0)
        return hold(first);
    if (strcmp(verb, "fill") == 0)
        return fill("/tmp/fill", first);
    if (strcmp(verb, "hoard") == 0)
        return hoard(first, second);
    if (strcmp(verb, "swap") == 0)
        return swap_files_for_memory(first, second);
    if (strcmp(verb, "cat") == 0) {
        first_line(argument, text, sizeof(text));
        printf("%s\n", text);
        return 0;
    }
    if (strcmp(verb, "env") == 0) {
        printf("%s\n", getenv(argument) ? getenv(argument) : "(not set)");
        return 0;
    }
    if (strcmp(verb, "cwd") == 0) {
        printf("%s %u\n", getcwd(text, sizeof(text)) ? text : "?", getuid());
        return 0;
    }
    if (strcmp(verb, "size") == 0) {
        struct statvfs v;
        if (statvfs(argument, &v) == 0)
            printf("%lu\n", v.f_blocks * v.f_frsize >> 20);
        return 0;
    }
    if (strcmp(verb, "wait") == 0) {
        signal(SIGTERM, on_term);
        printf("waiting\n");
        for (;;)
            pause();
    }
    printf("no verb %s\n", verb);
    return 2;
}
