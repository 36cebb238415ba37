// outbound_filter.h - what may leave a sandbox's network namespace, enforced packet by packet.
//
// Routes alone cannot: a socket that is bound to a device, or a datagram that names one, is taken
// for on-link where no route is found, and goes out to any address. So the namespace gets an
// nf_tables table of its own, which the function has no right to change: an output chain that drops
// what it does not know.
#ifndef LAMBKIN_SANDBOX_OUTBOUND_FILTER_H
#define LAMBKIN_SANDBOX_OUTBOUND_FILTER_H

#include "sandbox/outbound.h"

// In the network namespace of the caller. An address that is granted by itself may be reached, then
// denied ones may not, then networks that are granted may. -errno; -EOPNOTSUPP where the kernel has
// no nf_tables.
int outbound_filter_install(const struct outbound_network *denied, unsigned n_denied,
                            const struct outbound_network *granted, unsigned n_granted);

#endif
