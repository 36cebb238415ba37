// fixture.h - a server on loops of this process, and a client that writes what it likes.
#ifndef LAMBKIN_TEST_HTTP_FIXTURE_H
#define LAMBKIN_TEST_HTTP_FIXTURE_H

#include "base/arena.h"
#include "base/cleanup.h"
#include "http/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdatomic.h>

struct fixture {
    struct arena arena;
    struct str dir;
    struct http_listener *listener;
    uint16_t port;
    atomic_uint handled, gone, streamed, last_pieces, taken;
    atomic_uint loops_seen; // bit per loop
    struct http_request *held;
    int hold_on_headers; // status to answer from on_headers, or 0
};

extern struct fixture fx;

// Limits and TLS may be changed by `change` before it listens.
int fixture_start(unsigned loops, void (*change)(struct http_listener_config *config));
int fixture_stop(void);

// A blocking connection with a time limit of 60 s on everything.
int client_open(void);
void client_send(int fd, struct str s);
void client_sendz(int fd, const char *s);
// Reads one answer (by its content-length, chunked framing or the end) into the arena: head and
// body as they came, chunked bodies decoded. Status, or 0 when the connection ended before one.
struct answer {
    int status;
    struct str head, body, trailers;
    bool closed; // the connection ended with it
};
struct answer client_read(int fd, bool of_head);
// Everything until the other side closes.
struct str client_read_all(int fd);
// One request on its own connection.
struct answer ask(const char *request);
// Waits up to 60 s.
void wait_for(atomic_uint *value, unsigned at_least);

#endif
