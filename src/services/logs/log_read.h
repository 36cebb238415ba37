// log_read.h - pages of a log group's events, ordered by time, then by when they were written.
#ifndef LAMBKIN_LOGS_LOG_READ_H
#define LAMBKIN_LOGS_LOG_READ_H

#include "services/logs/filter_pattern.h"
#include "services/logs/log_group.h"

#define LOG_READ_MAX_EVENTS 10000 // GetLogEvents, FilterLogEvents
#define LOG_READ_MAX_BYTES ((size_t)1 << 20)
#define LOG_EVENT_OVERHEAD_BYTES 26 // AWS counts so many per event

struct log_position {
    int64_t time_ms;
    uint64_t seq;
};

struct log_read {
    const struct str *streams; // these only, when n_streams is not 0
    size_t n_streams;
    struct str stream_prefix; // or those that begin so; absent: all
    int64_t start_ms, end_ms; // start inclusive, end exclusive
    bool backward;            // the latest of the range rather than the earliest
    // Events strictly after it (forward) or before it (backward).
    bool has_position;
    struct log_position position;
    size_t limit;
    const struct filter_pattern *pattern; // NULL: everything
};

struct log_event {
    struct log_position at;
    int64_t ingested_ms;
    struct str stream, message; // in the arena
};

// Fills *out with at most limit events and about LOG_READ_MAX_BYTES, always in ascending order.
// *more: there may be others in the range beyond the page. Loads the group.
int log_read_page(struct log_group *g, const struct log_read *q, struct arena *arena,
                  struct log_event **out, size_t *n, bool *more, struct err *err);

#endif
