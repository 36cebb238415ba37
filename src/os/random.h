// random.h - the kernel's random bytes. Aborts when there are none: nothing safe can follow.
#ifndef LAMBKIN_OS_RANDOM_H
#define LAMBKIN_OS_RANDOM_H

#include <stddef.h>
#include <stdint.h>

// Safe in several threads and after fork. Small requests are served from a per-thread stock of
// getrandom() bytes, which fork() drops.
void os_random(void *to, size_t bytes);
uint64_t os_random_u64(void);
// Evenly spread over [0, below); below > 0.
uint64_t os_random_below(uint64_t below);

#endif
