// logs.h - following a function's log, for `logs` and for `dev`.
#ifndef LAMBKIN_CLI_LOGS_H
#define LAMBKIN_CLI_LOGS_H

#include "base/map.h"
#include "cli/client.h"

// The ids of events that were shown: those of one stretch of time.
struct logs_shown {
    struct arena arena;
    struct map ids;
};

struct logs {
    struct client client;
    const char *since, *filter, *function;
    bool follow;                // there will be further looks
    int64_t begin_ms;           // nothing before is asked for
    int64_t newest_ms;          // of all events that were shown
    int64_t turned_ms;          // when newest_ms was that, shown[0] became shown[1]
    struct logs_shown shown[2]; // now, and the stretch before
};

void logs_init(struct logs *l);
void logs_finish(struct logs *l);
// Prints everything from l->begin_ms on that no look before has printed. A line may be up to a
// second late (an environment hands its lines over in batches, others are quicker). -ENOENT when
// there is no log yet. The client's arena is emptied.
int logs_look(struct logs *l, struct err *err);

#endif
