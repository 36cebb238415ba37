// buf.c - growing by doubling up to a maximum.
//
// Invariant: len <= cap <= max_bytes + 1; the byte beyond the maximum is there because vsnprintf
// insists on writing its NUL.
#include "buf.h"

#include <stdio.h>
#include <stdlib.h>

#define BUF_FIRST_BYTES ((size_t)256)

void buf_init(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){.max_bytes = max_bytes};
}

void buf_finish(struct buf *b)
{
    free(b->ptr);
    *b = (struct buf){.max_bytes = b->max_bytes};
}

void buf_finishp(struct buf *b)
{
    buf_finish(b);
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->failed = false;
}

// One byte more than the maximum may be asked for by `spare`.
static bool grow(struct buf *b, size_t n, size_t spare)
{
    size_t need, cap;
    char *p;

    if (b->failed)
        return false;
    if (n > b->max_bytes || b->len > b->max_bytes - n)
        goto fail;
    need = b->len + n + spare;
    if (need <= b->cap)
        return true;
    cap = b->cap < BUF_FIRST_BYTES ? BUF_FIRST_BYTES : b->cap;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    if (cap > b->max_bytes)
        cap = need > b->max_bytes ? need : b->max_bytes;
    p = realloc(b->ptr, cap);
    if (!p)
        goto fail;
    b->ptr = p;
    b->cap = cap;
    return true;
fail:
    b->failed = true;
    return false;
}

bool buf_reserve(struct buf *b, size_t n)
{
    return grow(b, n, 0);
}

void buf_add(struct buf *b, struct str s)
{
    if (s.len == 0 || !grow(b, s.len, 0))
        return;
    memcpy(b->ptr + b->len, s.ptr, s.len);
    b->len += s.len;
}

void buf_add_char(struct buf *b, char c)
{
    if (!grow(b, 1, 0))
        return;
    b->ptr[b->len++] = c;
}

void buf_add_u64(struct buf *b, uint64_t value)
{
    buf_add_decimal(b, value, 0);
}

void buf_add_decimal(struct buf *b, uint64_t value, unsigned digits)
{
    char text[24];
    size_t at = sizeof(text);

    for (unsigned i = 0; i < digits; i++) {
        text[--at] = (char)('0' + value % 10);
        value /= 10;
    }
    if (digits > 0)
        text[--at] = '.';
    do {
        text[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0 && at > 0);
    buf_add(b, (struct str){text + at, sizeof(text) - at});
}

void buf_vaddf(struct buf *b, const char *format, va_list args)
{
    size_t room = b->cap - b->len;
    va_list again;
    int n;

    if (b->failed)
        return;
    va_copy(again, args);
    n = vsnprintf(room > 0 ? b->ptr + b->len : NULL, room, format, args);
    if (n < 0) {
        b->failed = true;
    } else if ((size_t)n < room && (size_t)n <= b->max_bytes - b->len) {
        b->len += (size_t)n;
    } else if (grow(b, (size_t)n, 1)) {
        vsnprintf(b->ptr + b->len, (size_t)n + 1, format, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

void buf_addf(struct buf *b, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    buf_vaddf(b, format, args);
    va_end(args);
}

void buf_drop(struct buf *b, size_t n)
{
    if (n >= b->len) {
        b->len = 0;
        return;
    }
    if (n == 0)
        return;
    memmove(b->ptr, b->ptr + n, b->len - n);
    b->len -= n;
}

char *buf_take(struct buf *b, size_t *len)
{
    char *p = b->ptr;

    if (len)
        *len = b->len;
    *b = (struct buf){.max_bytes = b->max_bytes};
    return p;
}
