// time.h - the two clocks.
#ifndef LAMBKIN_OS_TIME_H
#define LAMBKIN_OS_TIME_H

#include <stdint.h>

// Milliseconds since the epoch (CLOCK_REALTIME): for what users see. May jump.
int64_t os_now_ms(void);
// Nanoseconds of CLOCK_MONOTONIC: for durations and deadlines.
int64_t os_mono_ns(void);
static inline int64_t os_mono_ms(void)
{
    return os_mono_ns() / 1000000;
}

#endif
