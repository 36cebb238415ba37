// percent.c - percent-encoding and the pairs of a query string.
#include "percent.h"
#include "hex.h"

#include <errno.h>

static bool unreserved(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static void encode(struct buf *out, struct str s, bool keep_slash)
{
    static const char digits[] = "0123456789ABCDEF";

    if (s.len > SIZE_MAX / 3) {
        out->failed = true;
        return;
    }
    if (s.len == 0 || !buf_reserve(out, s.len))
        return;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (unreserved(c) || (keep_slash && c == '/')) {
            buf_add_char(out, (char)c);
        } else {
            char three[3] = {'%', digits[c >> 4], digits[c & 15]};
            buf_add(out, (struct str){three, 3});
        }
    }
}

void percent_encode(struct buf *out, struct str s)
{
    encode(out, s, false);
}

void percent_encode_path(struct buf *out, struct str s)
{
    encode(out, s, true);
}

int percent_decode(struct arena *a, struct str s, enum percent_mode mode, struct str *out)
{
    char *p, *o;

    if (str_find_char(s, '%') < 0 && (mode == PERCENT_PATH || str_find_char(s, '+') < 0)) {
        *out = s;
        return 0;
    }
    p = o = arena_alloc(a, s.len + 1);
    if (!p)
        return -ENOMEM;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '%') {
            int high = i + 2 < s.len ? hex_digit(s.ptr[i + 1]) : -1;
            int low = i + 2 < s.len ? hex_digit(s.ptr[i + 2]) : -1;
            if (high < 0 || low < 0)
                return -EINVAL;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && mode == PERCENT_FORM) {
            c = ' ';
        }
        *o++ = c;
    }
    *o = '\0';
    *out = (struct str){p, (size_t)(o - p)};
    return 0;
}

bool percent_next_pair(struct str *query, struct str *name, struct str *value)
{
    struct str pair;

    while (str_next(query, '&', &pair)) {
        if (pair.len == 0)
            continue;
        *value = pair;
        str_next(value, '=', name); // leaves what follows the first '=', or the absent string
        return true;
    }
    return false;
}

int percent_query_get(struct arena *a, struct str query, struct str name, struct str *out)
{
    struct str key, value, decoded;
    int r;

    while (percent_next_pair(&query, &key, &value)) {
        r = percent_decode(a, key, PERCENT_FORM, &decoded);
        if (r < 0)
            return r;
        if (!str_eq(decoded, name))
            continue;
        if (str_is_null(value))
            value = STR("");
        r = percent_decode(a, value, PERCENT_FORM, out);
        return r < 0 ? r : 1;
    }
    return 0;
}
