// network.h - a network namespace with nothing but its own loopback, the listeners in it, and
// connections to what listens there.
#ifndef LAMBKIN_SANDBOX_NETWORK_H
#define LAMBKIN_SANDBOX_NETWORK_H

#include "base/err.h"

#include <stdint.h>

struct network {
    int ns; // kept for network_connect(); -1: the host's
    int runtime_api, endpoint;
    uint16_t runtime_api_port, endpoint_port;
};

// Makes a namespace with lo up and the two listeners inside (about 0.6 ms: do it ahead of time);
// the caller is back in own_ns afterwards. own_ns -1: no namespace, free ports of the host's
// loopback.
int network_make(struct network *n, int own_ns, struct err *err);
// A non-blocking connection to 127.0.0.1:port in there: the descriptor, whose connect() may still
// be under way, or -errno (-ECONNREFUSED: nobody listens). It is bound to that namespace's loopback
// interface, so that whoever gets it cannot turn it towards an outbound network. own_ns as above.
int network_connect(const struct network *n, int own_ns, uint16_t port, struct err *err);
// Ours; the ports stay known.
void network_close_listeners(struct network *n);
void network_finish(struct network *n);

#endif
