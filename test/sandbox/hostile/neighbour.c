// neighbour.c - attempts to reach another function on the same host: what "neighbour" puts out.
#include "attempts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PORT 7741
#define KEY 0x6c6b6e62
#define NAME "lambkin-neighbour"

static struct sockaddr_in place(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static struct sockaddr_un abstract(socklen_t *len)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    memcpy(a.sun_path + 1, NAME, strlen(NAME));
    *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(NAME));
    return a;
}

static void touch(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0666);
    if (fd >= 0)
        fchmod(fd, 0666);
    close(fd);
}

// The victim: everything a function could leave lying about. Where nothing keeps it to itself the
// test takes it away again by "tidy".
static void neighbour(void)
{
    int one = 1, inet = socket(AF_INET, SOCK_STREAM, 0), local = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_in a = place();
    struct mq_attr small = {.mq_maxmsg = 4, .mq_msgsize = 64};
    socklen_t len;
    struct sockaddr_un u = abstract(&len);
    setsockopt(inet, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(inet, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(inet, 64) < 0 ||
        bind(local, (struct sockaddr *)&u, len) < 0 || listen(local, 64) < 0 ||
        shmget(KEY, 4096, IPC_CREAT | 0666) < 0)
        outcome(-1);
    touch("/tmp/" NAME);
    touch("/dev/shm/" NAME);
    mq_open("/" NAME, O_CREAT | O_RDWR, 0666, &small); // Landlock refuses that inside
    printf("ready\n");
    fflush(stdout);
    for (;;)
        pause();
}

static void tidy(void)
{
    shmctl(shmget(KEY, 0, 0), IPC_RMID, NULL);
    mq_unlink("/" NAME);
    unlink("/tmp/" NAME);
    unlink("/dev/shm/" NAME);
    failed("tidy");
}

static void reach_neighbour(void)
{
    struct sockaddr_in a = place();
    outcome(connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&a, sizeof(a)));
}

static void reach_neighbours_socket(void)
{
    socklen_t len;
    struct sockaddr_un u = abstract(&len);
    outcome(connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&u, len));
}

static void attach_neighbours_memory(void)
{
    outcome(shmget(KEY, 0, 0));
}

static void open_neighbours_queue(void)
{
    outcome(mq_open("/" NAME, O_RDWR));
}

static void open_neighbours_file(void)
{
    outcome(open("/tmp/" NAME, O_RDWR));
}

static void open_neighbours_shm(void)
{
    outcome(open("/dev/shm/" NAME, O_RDWR));
}

const struct attempt neighbour_attempts[] = {
    {"neighbour", neighbour},
    {"tidy", tidy},
    {"reach_neighbour", reach_neighbour},
    {"reach_neighbours_socket", reach_neighbours_socket},
    {"attach_neighbours_memory", attach_neighbours_memory},
    {"open_neighbours_queue", open_neighbours_queue},
    {"open_neighbours_file", open_neighbours_file},
    {"open_neighbours_shm", open_neighbours_shm},
    {0},
};
