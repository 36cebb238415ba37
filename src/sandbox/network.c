// network.c - see network.h. The calling process is single-threaded, so entering is safe.
#include "sandbox/network.h"

#include "sandbox/kernel.h"
#include "sandbox/spec.h"

#include "os/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static int loopback_up(struct err *err)
{
    _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &r) < 0)
        return err_errno(err, errno, "bring up the loopback");
    return 0;
}

static int listen_at(uint16_t *port, struct err *err)
{
    _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 128) < 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) < 0)
        return err_errno(err, errno, "listen at 127.0.0.1:%u", *port);
    *port = ntohs(a.sin_port);
    return TAKE_FD(fd);
}

static int listen_both(struct network *n, struct err *err)
{
    n->runtime_api = listen_at(&n->runtime_api_port, err);
    if (n->runtime_api < 0)
        return n->runtime_api;
    n->endpoint = listen_at(&n->endpoint_port, err);
    return n->endpoint < 0 ? n->endpoint : 0;
}

int network_make(struct network *n, int own_ns, struct err *err)
{
    *n = (struct network){.ns = -1, .runtime_api = -1, .endpoint = -1};
    if (own_ns < 0)
        return listen_both(n, err);
    n->runtime_api_port = SANDBOX_RUNTIME_API_PORT;
    n->endpoint_port = SANDBOX_ENDPOINT_PORT;
    if (unshare(CLONE_NEWNET) < 0)
        return err_errno(err, errno, "make a network namespace");
    int r = 0;
    n->ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (n->ns < 0)
        r = err_errno(err, errno, "/proc/self/ns/net");
    if (r == 0)
        r = loopback_up(err);
    if (r == 0)
        r = listen_both(n, err);
    if (setns(own_ns, CLONE_NEWNET) < 0)
        abort(); // never go on in a sandbox's network
    if (r < 0)
        network_finish(n);
    return r;
}

static int loopback_socket(bool bound, struct err *err)
{
    _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_errno(err, errno, "make a socket");
    if (bound && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3) < 0)
        return err_errno(err, errno, "bind a socket to the loopback");
    return TAKE_FD(fd);
}

// A socket belongs to the namespace it was made in, wherever its maker is later.
int network_connect(const struct network *n, int own_ns, uint16_t port, struct err *err)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (own_ns >= 0 && n->ns < 0)
        return err_set(err, -ENOTCONN, "the sandbox's network is not known");
    if (own_ns >= 0 && setns(n->ns, CLONE_NEWNET) < 0)
        return err_errno(err, errno, "enter the sandbox's network");
    _cleanup_close_ int fd = loopback_socket(own_ns >= 0, err);
    if (own_ns >= 0 && setns(own_ns, CLONE_NEWNET) < 0)
        abort(); // never go on in a sandbox's network
    if (fd < 0)
        return fd;
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 && errno != EINPROGRESS)
        return err_errno(err, errno, "connect to 127.0.0.1:%u", port);
    return TAKE_FD(fd);
}

void network_close_listeners(struct network *n)
{
    closep(&n->runtime_api);
    closep(&n->endpoint);
}

void network_finish(struct network *n)
{
    closep(&n->ns);
    network_close_listeners(n);
}
