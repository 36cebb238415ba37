// outbound.c - see outbound.h.
#include "sandbox/outbound.h"

#include "os/fd.h"

#include <errno.h>

int outbound_possible(struct err *err)
{
    return err_set(err, -EOPNOTSUPP, "outbound network is not available");
}

int outbound_start(struct outbound *o, const struct network *n, pid_t sandbox,
                   const struct sandbox_binding *b, struct err *err)
{
    (void)n, (void)sandbox, (void)b;
    *o = (struct outbound){0, -1};
    return outbound_possible(err);
}

void outbound_stop(struct outbound *o)
{
    closep(&o->pidfd);
    o->pid = 0;
}
