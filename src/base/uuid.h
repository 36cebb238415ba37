// uuid.h - version 4 UUIDs (RFC 9562 section 5.4) from random bytes that the caller brings.
#ifndef LAMBKIN_BASE_UUID_H
#define LAMBKIN_BASE_UUID_H

#include "arena.h"

#define UUID_CHARS 36

// Lower case, terminated.
void uuid_format(const uint8_t random[static 16], char out[static UUID_CHARS + 1]);
struct str uuid_arena(struct arena *a, const uint8_t random[static 16]); // absent: out of memory
// 8-4-4-4-12 digits of either case, any version.
bool uuid_valid(struct str s);

#endif
