// log.c - our own log: one line per event to standard error.
#include "os/log.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 4096 // longer text is cut: a pipe takes this much in one piece (PIPE_BUF)

static const char *const level_names[] = {"debug", "info", "warn", "error"};

static const char *log_process = "lambkin";
static atomic_int log_least = LOG_LEVEL_INFO;
static atomic_int log_fd = STDERR_FILENO;

void log_init(const char *process, enum log_level least)
{
    log_process = process;
    log_set_level(least);
}

void log_set_level(enum log_level least)
{
    atomic_store_explicit(&log_least, (int)least, memory_order_relaxed);
}

int log_level_parse(struct str s, enum log_level *out)
{
    for (unsigned i = 0; i < ARRAY_LEN(level_names); i++) {
        if (str_eq(s, str_from(level_names[i]))) {
            *out = (enum log_level)i;
            return 0;
        }
    }
    return -EINVAL;
}

void log_set_fd(int fd)
{
    atomic_store(&log_fd, fd);
}

// Copies `text` with control characters as \xNN; answers how much of `room` was used.
static size_t escape(char *to, size_t room, const char *text)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;

    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c >= 0x20 && *c != 0x7f) {
            if (n + 1 > room)
                break;
            to[n++] = (char)*c;
        } else if (*c == '\t') {
            if (n + 1 > room)
                break;
            to[n++] = ' ';
        } else {
            if (n + 4 > room)
                break;
            to[n++] = '\\';
            to[n++] = 'x';
            to[n++] = hex[*c >> 4];
            to[n++] = hex[*c & 15];
        }
    }
    return n;
}

void log_line(enum log_level level, const char *format, ...)
{
    char text[LINE_BYTES - 128];
    char line[LINE_BYTES];
    struct timespec now;
    struct tm tm;
    va_list args;
    int saved = errno;

    if ((int)level < atomic_load_explicit(&log_least, memory_order_relaxed))
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    int head = snprintf(line, 128, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ %s %s: ", tm.tm_year + 1900,
                        tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                        (int)(now.tv_nsec / 1000000), level_names[level], log_process);
    size_t at = head < 0 ? 0 : head > 127 ? 127 : (size_t)head;
    at += escape(line + at, sizeof line - at - 1, text);
    line[at++] = '\n';
    // A log that cannot be written has nobody to tell.
    ssize_t ignored = write(atomic_load(&log_fd), line, at);
    (void)ignored;
    errno = saved;
}
