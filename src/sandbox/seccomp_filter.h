// seccomp_filter.h - which system calls a function may make: compiled once, installed by pid 1.
#ifndef LAMBKIN_SANDBOX_SECCOMP_FILTER_H
#define LAMBKIN_SANDBOX_SECCOMP_FILTER_H

#include "base/err.h"

struct seccomp_filter {
    void *program; // BPF instructions, malloc'd
    unsigned short n;
};

// `tracing`: programs inside may ptrace each other (a debugger). -errno with the reason.
int seccomp_filter_build(struct seccomp_filter *f, bool tracing, struct err *err);
void seccomp_filter_finish(struct seccomp_filter *f);
// Binds the calling process and its children for good; no_new_privs must be set. Async-signal-safe.
int seccomp_filter_install(const struct seccomp_filter *f);

#endif
