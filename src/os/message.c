// message.c - bounded messages with file descriptors over a seqpacket socket pair.
#include "os/message.h"

#include "os/fd.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

int message_pair(int fds[2], struct err *err)
{
    int room = (int)MESSAGE_MAX_BYTES;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
        return err_errno(err, errno, "socketpair");
    for (int i = 0; i < 2; i++) {
        // The kernel doubles this. Where net.core.wmem_max is lower, long messages are refused.
        if (setsockopt(fds[i], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room) < 0)
            setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    }
    return 0;
}

int message_send(int fd, const void *bytes, size_t len, const int *fds, unsigned n_fds,
                 struct err *err)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(MESSAGE_MAX_FDS * sizeof(int))];
    } control = {0};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    if (len == 0 || len > MESSAGE_MAX_BYTES || n_fds > MESSAGE_MAX_FDS)
        return err_set(err, -EMSGSIZE, "a message of %zu bytes and %u descriptors", len, n_fds);
    if (n_fds > 0) {
        msg.msg_control = control.room;
        msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
    }
    do
        n = sendmsg(fd, &msg, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == ECONNRESET || errno == ENOTCONN))
        errno = EPIPE;
    if (n < 0)
        return err_errno(err, errno, "send a message");
    return 0;
}

ssize_t message_receive(int fd, void *to, size_t room, int *fds, unsigned *n_fds, struct err *err)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(MESSAGE_MAX_FDS * sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = to, .iov_len = room};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.room,
                         .msg_controllen = sizeof control.room};
    unsigned wanted = n_fds ? *n_fds : 0, got = 0;
    int received[MESSAGE_MAX_FDS];
    bool too_many = false;
    ssize_t n;

    if (n_fds)
        *n_fds = 0;
    do
        n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == ECONNRESET)
        return 0;
    if (n < 0)
        return err_errno(err, errno, "receive a message");

    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int one;
            memcpy(&one, CMSG_DATA(c) + i * sizeof(int), sizeof one);
            if (got < wanted && got < MESSAGE_MAX_FDS) {
                received[got++] = one;
            } else {
                close(one);
                too_many = true;
            }
        }
    }
    if (too_many || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        for (unsigned i = 0; i < got; i++)
            close(received[i]);
        return err_set(err, -EMSGSIZE, "a message that is too long or has too many descriptors");
    }
    if (got > 0) {
        memcpy(fds, received, got * sizeof(int));
        *n_fds = got;
    }
    return n;
}
