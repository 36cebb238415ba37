// log_sink.c - the one place that knows who takes functions' log lines.

#include "runtime/log_sink.h"

static struct log_sink log_sink;

void log_sink_set(struct log_sink sink)
{
    log_sink = sink;
}

void log_sink_append(const struct log_sink_batch *batch)
{
    if (log_sink.append && batch->n_lines > 0)
        log_sink.append(log_sink.ctx, batch);
}
