// log_sink.h - where the lines of functions go: implemented by services/logs, called by runtime.
//
// The runtime calls the sink on a loop thread, once per loop turn and stream with all lines of that
// turn. The sink copies what it keeps and returns without blocking (it hands over to its writer).
// Lines of one stream arrive in order. Without a sink lines are dropped.
#ifndef LAMBKIN_RUNTIME_LOG_SINK_H
#define LAMBKIN_RUNTIME_LOG_SINK_H

#include "base/str.h"

#define LOG_SINK_MAX_LINE_BYTES (256 * 1024) // longer lines arrive in pieces, as on AWS

struct log_sink_line {
    int64_t time_ms;
    struct str text; // without the newline; any bytes, usually UTF-8
};

struct log_sink_batch {
    struct str account, region;
    struct str group;  // "/aws/lambda/hello"; created by the sink when it is not there
    struct str stream; // "2026/11/21/[$LATEST]0123…"; created likewise
    const struct log_sink_line *lines;
    size_t n_lines;
};

struct log_sink {
    void (*append)(void *ctx, const struct log_sink_batch *batch);
    void *ctx;
};

// While services start, before the first invocation. {NULL, NULL} takes it away.
void log_sink_set(struct log_sink sink);
// The runtime's own use; a no-op without a sink.
void log_sink_append(const struct log_sink_batch *batch);

#endif
