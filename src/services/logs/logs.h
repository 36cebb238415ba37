// logs.h - CloudWatch Logs: groups and streams in db/logs.db, events in append-only segments.
//
// The service also is where functions' log lines go: at start it installs the runtime's log sink
// (runtime/log_sink.h), whose calls come from loop threads and never touch SQL.
#ifndef LAMBKIN_SERVICES_LOGS_H
#define LAMBKIN_SERVICES_LOGS_H

#include "base/err.h"
#include "base/str.h"

struct engine_service;
extern const struct engine_service logs_service;

#endif
