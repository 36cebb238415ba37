// landlock.h - a second lock on the file system, from the kernel's Landlock, where there is one.
#ifndef LAMBKIN_SANDBOX_LANDLOCK_H
#define LAMBKIN_SANDBOX_LANDLOCK_H

#include "base/err.h"

// The ABI version, 0 where the kernel has none or it is switched off.
int landlock_abi(void);
// In a sandbox with its own root: everything may be read and executed, and only `writable` paths
// written; signals and abstract sockets do not leave the sandbox. no_new_privs must be set.
// Async-signal-safe. 0, or -errno; paths that are missing are skipped.
int landlock_confine(int abi, const char *const *readable, const char *const *writable);

#endif
