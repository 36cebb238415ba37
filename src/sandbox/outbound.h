// outbound.h - the explicit grant of network beyond the sandbox's own loopback.
//
// A user-mode stack (pasta, Debian package passt) lends the sandbox's network namespace a tap
// device and carries its connections through ordinary sockets of the host. What may be reached is
// decided inside that namespace, by what the function cannot change: only listed networks have a
// route, which answers at once, and a packet filter drops whatever finds another way
// (outbound_filter.h). The host's own addresses, link-local ones and the metadata services' are
// rejected unless listed by themselves.
#ifndef LAMBKIN_SANDBOX_OUTBOUND_H
#define LAMBKIN_SANDBOX_OUTBOUND_H

#include "sandbox/spec.h"

#include <sys/types.h>

// Where a sandbox with outbound network asks for names; the template's resolv.conf says so.
#define OUTBOUND_DNS "198.18.0.3"

struct outbound {
    pid_t pid;      // of the stack; 0: none
    char file[600]; // the namespace, mounted where the stack finds it
};

struct outbound_network {
    int family; // AF_INET, AF_INET6
    uint8_t address[16];
    unsigned bits;
    uint16_t port; // TCP and UDP; 0: any, and any protocol
};

// One destination: "10.0.0.0/8", "192.0.2.7:443", "2001:db8::/32", "[2001:db8::/32]:443"; a port
// "*" is any. -EINVAL.
int outbound_parse(const char *text, struct outbound_network *out, struct err *err);
// folder: a place only the keeper sees; sandbox: its pid 1. own_ns: the way back. Blocks for the
// stack's start, some 20 ms.
int outbound_start(struct outbound *o, const char *folder, unsigned number, pid_t sandbox,
                   int own_ns, const struct sandbox_binding *b, struct err *err);
void outbound_stop(struct outbound *o); // accepts a zeroed one

#endif
