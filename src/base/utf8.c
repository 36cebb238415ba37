// utf8.c - the table of RFC 3629 section 4, byte by byte.
#include "utf8.h"

unsigned utf8_next(struct str s, uint32_t *code_point)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    unsigned n;
    uint32_t c;

    if (s.len == 0)
        return 0;
    if (p[0] < 0x80) {
        *code_point = p[0];
        return 1;
    }
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (s.len < n)
        return 0;
    c = p[0] & (0xffu >> (n + 1));
    for (unsigned i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    if ((n == 3 && (c < 0x800 || (c >= 0xd800 && c <= 0xdfff))) ||
        (n == 4 && (c < 0x10000 || c > 0x10ffff)))
        return 0;
    *code_point = c;
    return n;
}

// Can these one to three bytes become a character?
static bool begins_character(struct str s)
{
    static const struct {
        unsigned char first, last, low, high; // of the first byte, and of the second one
    } forms[] = {{0xc2, 0xdf, 0x80, 0xbf}, {0xe0, 0xe0, 0xa0, 0xbf}, {0xe1, 0xec, 0x80, 0xbf},
                 {0xed, 0xed, 0x80, 0x9f}, {0xee, 0xef, 0x80, 0xbf}, {0xf0, 0xf0, 0x90, 0xbf},
                 {0xf1, 0xf3, 0x80, 0xbf}, {0xf4, 0xf4, 0x80, 0x8f}};
    const unsigned char *p = (const unsigned char *)s.ptr;
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
        if (p[0] >= forms[i].first && p[0] <= forms[i].last)
            return s.len < n && (s.len < 2 || (p[1] >= forms[i].low && p[1] <= forms[i].high)) &&
                   (s.len < 3 || (p[2] & 0xc0) == 0x80);
    return false;
}

bool utf8_valid_so_far(struct str s, size_t *complete)
{
    const char *start = s.ptr;
    uint32_t c;

    while (s.len > 0) {
        unsigned n;
        uint64_t eight;

        // Eight ASCII bytes at a time: most of what comes by.
        if (s.len >= 8) {
            memcpy(&eight, s.ptr, 8);
            if ((eight & 0x8080808080808080ULL) == 0) {
                s = (struct str){s.ptr + 8, s.len - 8};
                continue;
            }
        }
        n = utf8_next(s, &c);
        if (n == 0)
            break;
        s = (struct str){s.ptr + n, s.len - n};
    }
    *complete = (size_t)(s.ptr - start);
    return s.len == 0 || begins_character(s);
}

bool utf8_valid(struct str s)
{
    size_t complete;

    return utf8_valid_so_far(s, &complete) && complete == s.len;
}

unsigned utf8_put(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        if (c >= 0xd800 && c <= 0xdfff)
            return 0;
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    if (c > 0x10ffff)
        return 0;
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

size_t utf8_count(struct str s)
{
    size_t count = 0;
    uint32_t c;

    while (s.len > 0) {
        unsigned n = utf8_next(s, &c);
        if (n == 0)
            n = 1;
        s = (struct str){s.ptr + n, s.len - n};
        count++;
    }
    return count;
}

struct str utf8_cut(struct str s, size_t max_bytes)
{
    size_t end = max_bytes;

    if (s.len <= max_bytes)
        return s;
    // Back over continuation bytes, three at most; what is not UTF-8 is cut where it is.
    for (unsigned i = 0; i < 3 && end > 0 && ((unsigned char)s.ptr[end] & 0xc0) == 0x80; i++)
        end--;
    if (((unsigned char)s.ptr[end] & 0xc0) == 0x80)
        end = max_bytes;
    return (struct str){s.ptr, end};
}
