// arena.h - memory of one request: allocated piece by piece, freed at once.
//
// Not thread-safe: one owner at a time. An allocation that fails answers NULL; so does one that
// would take the arena over its maximum, which every arena has.
#ifndef LAMBKIN_BASE_ARENA_H
#define LAMBKIN_BASE_ARENA_H

#include "str.h"

#include <stdarg.h>

struct arena_block;

struct arena {
    struct arena_block *blocks; // newest first
    char *at, *end;             // what is free in the newest block
    size_t used_bytes, max_bytes;
};

#define ARENA_DEFAULT_MAX_BYTES ((size_t)256 << 20)

void arena_init(struct arena *a, size_t max_bytes);
// Frees everything; the arena can be used again. Accepts a zeroed arena.
void arena_finish(struct arena *a);
// Forgets everything but keeps one block for the next use.
void arena_reset(struct arena *a);

// Aligned to 16 bytes, not cleared / cleared. NULL when out of memory or over the maximum.
void *arena_alloc(struct arena *a, size_t bytes);
void *arena_zalloc(struct arena *a, size_t bytes);
// n * size with the multiplication checked, cleared.
void *arena_array(struct arena *a, size_t n, size_t size);
#define arena_new(a, type) ((type *)arena_zalloc((a), sizeof(type)))
#define arena_new_array(a, type, n) ((type *)arena_array((a), (n), sizeof(type)))

// Copies; the copy is followed by a NUL. {NULL, 0} when out of memory (or when s is absent).
struct str arena_str(struct arena *a, struct str s);
char *arena_cstr(struct arena *a, struct str s);
struct str arena_printf(struct arena *a, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
struct str arena_vprintf(struct arena *a, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

#endif
