// arena.c - blocks chained newest first, handed out from the front.
//
// Invariants: at..end lies in the newest block and `at` is aligned to 16 bytes; used_bytes counts
// the bytes of every block, headers included, and never exceeds max_bytes. A piece too large for
// a usual block gets one of its own, put behind the newest so that what is free there is kept.
#include "arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define ARENA_ALIGN ((size_t)16)
#define ARENA_FIRST_BYTES ((size_t)4096)
#define ARENA_BLOCK_BYTES ((size_t)256 << 10) // blocks double from the first up to this

struct arena_block {
    struct arena_block *older;
    size_t bytes; // with this header
} __attribute__((aligned(16)));

void arena_init(struct arena *a, size_t max_bytes)
{
    *a = (struct arena){.max_bytes = max_bytes};
}

void arena_finish(struct arena *a)
{
    struct arena_block *b = a->blocks;

    while (b) {
        struct arena_block *older = b->older;
        free(b);
        b = older;
    }
    arena_init(a, a->max_bytes);
}

void arena_reset(struct arena *a)
{
    struct arena_block *keep = NULL, *b = a->blocks;

    // The largest block of the usual sizes is the one worth keeping.
    for (struct arena_block *i = b; i; i = i->older) {
        if (i->bytes <= ARENA_BLOCK_BYTES && (!keep || i->bytes > keep->bytes))
            keep = i;
    }
    while (b) {
        struct arena_block *older = b->older;
        if (b != keep)
            free(b);
        b = older;
    }
    arena_init(a, a->max_bytes);
    if (keep) {
        keep->older = NULL;
        a->blocks = keep;
        a->at = (char *)(keep + 1);
        a->end = (char *)keep + keep->bytes;
        a->used_bytes = keep->bytes;
    }
}

static struct arena_block *new_block(struct arena *a, size_t bytes)
{
    struct arena_block *b;

    if (a->used_bytes > a->max_bytes || bytes > a->max_bytes - a->used_bytes)
        return NULL;
    b = malloc(bytes);
    if (!b)
        return NULL;
    b->bytes = bytes;
    b->older = NULL;
    a->used_bytes += bytes;
    return b;
}

static void *alloc_own_block(struct arena *a, size_t bytes)
{
    struct arena_block *b = new_block(a, bytes + sizeof(*b));

    if (!b)
        return NULL;
    if (a->blocks) {
        b->older = a->blocks->older;
        a->blocks->older = b;
    } else {
        a->blocks = b;
        a->at = a->end = (char *)b + b->bytes;
    }
    return b + 1;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    struct arena_block *b;
    size_t want;
    void *p;

    if (bytes > a->max_bytes || bytes > SIZE_MAX - 2 * ARENA_ALIGN)
        return NULL;
    bytes = bytes == 0 ? ARENA_ALIGN : (bytes + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);
    if (bytes <= (size_t)(a->end - a->at)) {
        p = a->at;
        a->at += bytes;
        return p;
    }

    want = a->blocks ? a->blocks->bytes * 2 : ARENA_FIRST_BYTES;
    if (want > ARENA_BLOCK_BYTES)
        want = ARENA_BLOCK_BYTES;
    if (want < ARENA_FIRST_BYTES)
        want = ARENA_FIRST_BYTES;
    // A quarter bounds what is left unused at the end of a block.
    if (bytes > (want - sizeof(*b)) / 4 && bytes > ARENA_FIRST_BYTES / 4)
        return alloc_own_block(a, bytes);
    b = new_block(a, want);
    if (!b)
        return alloc_own_block(a, bytes); // close to the maximum: exactly what is asked for
    b->older = a->blocks;
    a->blocks = b;
    a->at = (char *)(b + 1);
    a->end = (char *)b + b->bytes;
    p = a->at;
    a->at += bytes;
    return p;
}

void *arena_zalloc(struct arena *a, size_t bytes)
{
    void *p = arena_alloc(a, bytes);

    if (p && bytes > 0)
        memset(p, 0, bytes);
    return p;
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(n, size, &bytes))
        return NULL;
    return arena_zalloc(a, bytes);
}

char *arena_cstr(struct arena *a, struct str s)
{
    char *p;

    if (str_is_null(s) || s.len == SIZE_MAX)
        return NULL;
    p = arena_alloc(a, s.len + 1);
    if (!p)
        return NULL;
    if (s.len > 0)
        memcpy(p, s.ptr, s.len);
    p[s.len] = '\0';
    return p;
}

struct str arena_str(struct arena *a, struct str s)
{
    char *p = arena_cstr(a, s);
    return p ? (struct str){p, s.len} : STR_NULL;
}

struct str arena_vprintf(struct arena *a, const char *format, va_list args)
{
    va_list again;
    char *p;
    int n;

    va_copy(again, args);
    n = vsnprintf(NULL, 0, format, args);
    p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
    if (p)
        vsnprintf(p, (size_t)n + 1, format, again);
    va_end(again);
    return p ? (struct str){p, (size_t)n} : STR_NULL;
}

struct str arena_printf(struct arena *a, const char *format, ...)
{
    va_list args;
    struct str s;

    va_start(args, format);
    s = arena_vprintf(a, format, args);
    va_end(args);
    return s;
}
