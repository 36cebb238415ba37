// logs.h - following a function's log, for `logs` and for `dev`.
#ifndef LAMBKIN_CLI_LOGS_H
#define LAMBKIN_CLI_LOGS_H

#include "cli/client.h"

#define LOGS_MAX_SEEN 4096 // ids within one millisecond

struct logs {
    struct client client;
    const char *since, *filter, *function;
    bool follow;
    int64_t from_ms;
    struct arena ids; // of the newest millisecond
    struct str seen[LOGS_MAX_SEEN];
    unsigned n_seen;
};

// Prints everything from l->from_ms on that no look before has printed, and remembers how far it
// came. -ENOENT when there is no log yet. The client's arena is emptied.
int logs_look(struct logs *l, struct err *err);

#endif
