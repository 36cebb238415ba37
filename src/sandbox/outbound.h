// outbound.h - the explicit grant of network beyond the sandbox's own loopback.
#ifndef LAMBKIN_SANDBOX_OUTBOUND_H
#define LAMBKIN_SANDBOX_OUTBOUND_H

#include "sandbox/network.h"
#include "sandbox/spec.h"

#include <sys/types.h>

struct outbound {
    pid_t pid; // of the user-mode stack; 0: none
    int pidfd;
};

// Whether the grant can be given on this host; the reason in err when not.
int outbound_possible(struct err *err);
// Attaches a user-mode network stack to the sandbox's network, with an allow-list of destinations.
int outbound_start(struct outbound *o, const struct network *n, pid_t sandbox,
                   const struct sandbox_binding *b, struct err *err);
void outbound_stop(struct outbound *o);

#endif
