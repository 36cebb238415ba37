// str.h - a borrowed run of bytes: pointer and length, not terminated, never owned.
//
// Pure C, no system calls. A `struct str` lives as long as what it points into (an arena, a
// buffer, a constant). {NULL, 0} is the absent string; {"", 0} the empty one.
#ifndef LAMBKIN_BASE_STR_H
#define LAMBKIN_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *ptr;
    size_t len;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
// For static initialisers.
#define STR_INIT(literal)                                                                          \
    {                                                                                              \
        "" literal, sizeof(literal) - 1                                                            \
    }
#define STR_NULL ((struct str){NULL, 0})
// For printf: "%.*s", STR_ARG(s). Strings longer than INT_MAX are cut.
#define STR_ARG(s) (int)((s).len > 0x7fffffff ? 0x7fffffff : (s).len), (s).ptr ? (s).ptr : ""

static inline struct str str_from(const char *c)
{
    return (struct str){c, c ? strlen(c) : 0};
}

static inline struct str str_slice(struct str s, size_t from, size_t to)
{
    if (to > s.len)
        to = s.len;
    if (from > to)
        from = to;
    return (struct str){s.ptr ? s.ptr + from : NULL, to - from};
}

static inline bool str_is_null(struct str s)
{
    return s.ptr == NULL;
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool str_starts(struct str s, struct str prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

static inline bool str_ends(struct str s, struct str suffix)
{
    return s.len >= suffix.len &&
           (suffix.len == 0 || memcmp(s.ptr + s.len - suffix.len, suffix.ptr, suffix.len) == 0);
}

// ASCII case only.
bool str_eq_nocase(struct str a, struct str b);
int str_cmp(struct str a, struct str b);
// Offset of the first `c` or of `needle`, or -1.
ptrdiff_t str_find_char(struct str s, char c);
ptrdiff_t str_find(struct str s, struct str needle);
// Without ASCII white space at both ends.
struct str str_trim(struct str s);
// Cuts *rest at the first `sep`: answers what stood before it and leaves what stood after it.
// Without `sep` answers everything and leaves the absent string. False when *rest is absent.
bool str_next(struct str *rest, char sep, struct str *out);
// A whole decimal number, optional sign; -EINVAL for anything else, -ERANGE on overflow.
int str_to_i64(struct str s, int64_t *out);
int str_to_u64(struct str s, uint64_t *out);
// Equal in time that depends on the lengths only.
bool str_eq_secret(struct str a, struct str b);

#endif
