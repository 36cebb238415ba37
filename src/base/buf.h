// buf.h - a growing run of bytes with a maximum, for building output.
//
// Failure is sticky: after an append that failed (memory or maximum), `failed` is set, later
// appends do nothing, and the caller checks once at the end. Owned memory is from malloc.
#ifndef LAMBKIN_BASE_BUF_H
#define LAMBKIN_BASE_BUF_H

#include "str.h"

#include <stdarg.h>

struct buf {
    char *ptr;
    size_t len, cap, max_bytes;
    bool failed;
};

void buf_init(struct buf *b, size_t max_bytes);
void buf_finish(struct buf *b);  // accepts a zeroed buf; can be used again after buf_init
void buf_finishp(struct buf *b); // for _cleanup_
void buf_reset(struct buf *b);   // empties, keeps the memory
void buf_add(struct buf *b, struct str s);
void buf_add_char(struct buf *b, char c);
// A number in decimal digits, and value / 10^digits with that many digits (0 to 6) after the point:
// what printf's %llu and %.Nf write, at a tenth of its cost.
void buf_add_u64(struct buf *b, uint64_t value);
void buf_add_decimal(struct buf *b, uint64_t value, unsigned digits);
void buf_addf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vaddf(struct buf *b, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
// Room for n more bytes at ptr + len; false when it failed. The caller then raises len.
bool buf_reserve(struct buf *b, size_t n);
// Removes n bytes from the front.
void buf_drop(struct buf *b, size_t n);
static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->ptr ? b->ptr : "", b->len};
}
// Gives the memory away (free() it); the buf is empty afterwards.
char *buf_take(struct buf *b, size_t *len);

#endif
