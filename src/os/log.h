// log.h - our own log: one line per event to standard error.
//
// A line is "2026-11-21T13:40:01.123Z info server: text". Control characters of the text are
// escaped, so that a line is always one line. Threads may log at the same time; a line is one
// write(). Secrets never go here.
#ifndef LAMBKIN_OS_LOG_H
#define LAMBKIN_OS_LOG_H

#include "base/err.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

// `process` is a constant ("main", "keeper", "server", "cli").
void log_init(const char *process, enum log_level least);
void log_set_level(enum log_level least);
// "debug", "info", "warn", "error"; -EINVAL for anything else.
int log_level_parse(struct str s, enum log_level *out);
// Lines go to this descriptor instead of standard error (tests); not closed.
void log_set_fd(int fd);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...) log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)

#endif
