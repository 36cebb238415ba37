// recursion.h - finds loops of functions: how often has this chain of events run this function?
//
// AWS's SDKs hand the trace header of the invocation that they run in to every call that they
// make, and queues keep it with their messages. We write into it, as AWS does, how often each
// function was reached: Lineage=<8 hex digits of the function's ARN's hash>:<count>, several
// separated by "|". Pure.
#ifndef LAMBKIN_TRIGGERS_RECURSION_H
#define LAMBKIN_TRIGGERS_RECURSION_H

#include "base/arena.h"

#define RECURSION_LIMIT 16        // AWS: "approximately 16 times"
#define RECURSION_MAX_FUNCTIONS 8 // in one lineage; the oldest is forgotten
#define RECURSION_MAX_HEADER 1024

// The trace header for running `function_arn` (unqualified) in the chain of `trace` (may be
// absent: then absent is answered while there is nothing to say). *count: how often this function
// has now been reached, 1 for the first time.
struct str recursion_step(struct arena *a, struct str trace, struct str function_arn,
                          unsigned *count);

#endif
