// outbound.h - the explicit grant of network beyond the sandbox's own loopback.
//
// A user-mode stack (pasta, Debian package passt) lends the sandbox's network namespace a tap
// device and carries its connections through ordinary sockets of the host. What may be reached is
// decided by the namespace's routes, which the function cannot change: only listed networks have
// one; the host's own addresses and the metadata address are rejected unless listed by themselves.
// IPv4 only. Destinations are networks: ports cannot be told apart by routes, so "10.0.0.0/8:443"
// is refused rather than widened.
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

// One destination: "CIDR", "CIDR:*" or an address. -EINVAL, or -EOPNOTSUPP for a port.
int outbound_parse(const char *text, uint32_t *network, unsigned *bits, struct err *err);
// folder: a place only the keeper sees; sandbox: its pid 1. own_ns: the way back. Blocks for the
// stack's start, some 20 ms.
int outbound_start(struct outbound *o, const char *folder, unsigned number, pid_t sandbox,
                   int own_ns, const struct sandbox_binding *b, struct err *err);
void outbound_stop(struct outbound *o); // accepts a zeroed one

#endif
