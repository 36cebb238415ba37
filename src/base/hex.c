// hex.c - hexadecimal digits.
#include "hex.h"

void hex_encode(const void *data, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = data;

    for (size_t i = 0; i < n; i++) {
        *out++ = digits[p[i] >> 4];
        *out++ = digits[p[i] & 15];
    }
    *out = '\0';
}

struct str hex_arena(struct arena *a, struct str data)
{
    char *p = data.len < SIZE_MAX / 2 ? arena_alloc(a, data.len * 2 + 1) : NULL;

    if (!p)
        return STR_NULL;
    hex_encode(data.ptr, data.len, p);
    return (struct str){p, data.len * 2};
}

int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool hex_decode(struct str text, void *out, size_t n)
{
    unsigned char *p = out;

    if (text.len / 2 != n || text.len % 2 != 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        int high = hex_digit(text.ptr[2 * i]), low = hex_digit(text.ptr[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        p[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}
