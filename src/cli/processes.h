// processes.h - main's two children: started from our own executable, watched, started again.
#ifndef LAMBKIN_CLI_PROCESSES_H
#define LAMBKIN_CLI_PROCESSES_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct processes_config {
    struct str settings;              // for both children, settings_dump()'s text
    int lock_fd, listener_fd, tls_fd; // stay the caller's; tls_fd may be -1
    uint32_t drain_ms;
    // Once, when the server answers requests for the first time.
    void (*ready)(void *ctx);
    void *ctx;
};

// Starts keeper and server and runs until SIGTERM or SIGINT (0) or until one of them cannot be
// started at all (-errno, err says why). Whatever it started has ended when it returns. SIGTERM,
// SIGINT and SIGCHLD must be blocked by the caller.
int processes_run(const struct processes_config *config, struct err *err);

#endif
