// str.c - comparing, searching and reading borrowed strings.
//
// Nothing here allocates or looks at the locale: white space, case and digits are ASCII's.
#include "str.h"

#include <errno.h>

static unsigned char lower(char c)
{
    unsigned char u = (unsigned char)c;
    return u >= 'A' && u <= 'Z' ? (unsigned char)(u + ('a' - 'A')) : u;
}

bool str_eq_nocase(struct str a, struct str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    }
    return true;
}

int str_cmp(struct str a, struct str b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int r = n > 0 ? memcmp(a.ptr, b.ptr, n) : 0;

    if (r != 0)
        return r < 0 ? -1 : 1;
    return a.len < b.len ? -1 : a.len > b.len;
}

ptrdiff_t str_find_char(struct str s, char c)
{
    const char *p = s.len > 0 ? memchr(s.ptr, c, s.len) : NULL;
    return p ? p - s.ptr : -1;
}

ptrdiff_t str_find(struct str s, struct str needle)
{
    const char *p;

    if (needle.len == 0)
        return 0;
    if (needle.len > s.len)
        return -1;
    p = memmem(s.ptr, s.len, needle.ptr, needle.len);
    return p ? p - s.ptr : -1;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct str str_trim(struct str s)
{
    while (s.len > 0 && is_space(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && is_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

bool str_next(struct str *rest, char sep, struct str *out)
{
    ptrdiff_t at;

    if (str_is_null(*rest))
        return false;
    at = str_find_char(*rest, sep);
    if (at < 0) {
        *out = *rest;
        *rest = STR_NULL;
    } else {
        *out = (struct str){rest->ptr, (size_t)at};
        *rest = (struct str){rest->ptr + at + 1, rest->len - (size_t)at - 1};
    }
    return true;
}

// Digits only, at least one.
static int digits_to_u64(struct str s, uint64_t *out)
{
    uint64_t v = 0;
    bool over = false;

    if (s.len == 0)
        return -EINVAL;
    for (size_t i = 0; i < s.len; i++) {
        unsigned d = (unsigned)(unsigned char)s.ptr[i] - '0';
        if (d > 9)
            return -EINVAL;
        over = over || __builtin_mul_overflow(v, (uint64_t)10, &v) ||
               __builtin_add_overflow(v, (uint64_t)d, &v);
    }
    if (over)
        return -ERANGE;
    *out = v;
    return 0;
}

int str_to_u64(struct str s, uint64_t *out)
{
    if (s.len > 0 && s.ptr[0] == '+')
        s = str_slice(s, 1, s.len);
    return digits_to_u64(s, out);
}

int str_to_i64(struct str s, int64_t *out)
{
    bool negative = s.len > 0 && s.ptr[0] == '-';
    uint64_t v, limit = (uint64_t)INT64_MAX + negative;
    int r;

    if (s.len > 0 && (s.ptr[0] == '-' || s.ptr[0] == '+'))
        s = str_slice(s, 1, s.len);
    r = digits_to_u64(s, &v);
    if (r < 0)
        return r;
    if (v > limit)
        return -ERANGE;
    *out = negative ? (int64_t)(0 - v) : (int64_t)v;
    return 0;
}

bool str_eq_secret(struct str a, struct str b)
{
    volatile unsigned char difference = a.len != b.len;

    // The length is no secret; the content is.
    for (size_t i = 0; i < a.len && i < b.len; i++)
        difference = (unsigned char)(difference | (a.ptr[i] ^ b.ptr[i]));
    return difference == 0;
}
