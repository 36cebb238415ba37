// arrivals.h - how long a function rests between two invocations, and what that says of the next.
//
// A histogram of idle times in bins that grow by a factor, so that seconds and days are told with
// the same care. Pure: no clock, no lock.
#ifndef LAMBKIN_RUNTIME_ARRIVALS_H
#define LAMBKIN_RUNTIME_ARRIVALS_H

#include <stdbool.h>
#include <stdint.h>

#define ARRIVALS_BINS 112   // four to a doubling, from 10 ms to 31 days
#define ARRIVALS_FEWEST 4   // before anything is said
#define ARRIVALS_MOST 128   // then what is old counts half
#define ARRIVALS_SPREAD 4.0 // the tail at most so many times the head: else there is no pattern

struct arrivals {
    uint16_t bins[ARRIVALS_BINS];
    unsigned n;
};

void arrivals_add(struct arrivals *a, int64_t idle_ms);
// Whether the next one can be expected between *from_ms and *to_ms after the function came to rest.
bool arrivals_expect(const struct arrivals *a, int64_t *from_ms, int64_t *to_ms);

#endif
