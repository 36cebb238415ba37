// plain.h - sandboxes without namespaces: isolation none, or a bare container's best effort.
//
// Code stays where it is on the host, so the fixed places (/var/task, /opt, /var/runtime, the two
// ports) are replaced by the real ones in a program's arguments and variables.
#ifndef LAMBKIN_SANDBOX_PLAIN_H
#define LAMBKIN_SANDBOX_PLAIN_H

#include "sandbox/keeper_impl.h"

struct plain_paths { // for Landlock; NULL-terminated
    const char *readable[KEEPER_MAX_INTERPRETERS + 32];
    const char *writable[8];
    char prefixes[KEEPER_MAX_INTERPRETERS][512];
};

// b NULL: no code is known yet.
void plain_paths_init(struct keeper *k, struct slot *s, const struct sandbox_binding *b,
                      struct plain_paths *out);
int plain_bind(struct keeper *k, struct slot *s, const struct sandbox_binding *b, struct err *err);
// Rewrites in place; the new strings live until the next call. -E2BIG.
int plain_program(const struct keeper *k, const struct slot *s, struct sandbox_program *p);

#endif
