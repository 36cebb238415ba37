// base64.c - three bytes to four characters and back.
//
// Decoding is strict (RFC 4648 section 3.5): a text has exactly one meaning and a meaning exactly
// one text, so signatures and hashes over either agree.
#include "base64.h"

#include <errno.h>

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

// Answers the number of characters written.
static size_t encode(char *out, struct str data, const char *alphabet, bool pad)
{
    const unsigned char *p = (const unsigned char *)data.ptr;
    size_t n = data.len;
    char *o = out;

    for (; n >= 3; n -= 3, p += 3) {
        uint32_t v = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        *o++ = alphabet[v >> 18];
        *o++ = alphabet[v >> 12 & 63];
        *o++ = alphabet[v >> 6 & 63];
        *o++ = alphabet[v & 63];
    }
    if (n > 0) {
        uint32_t v = (uint32_t)p[0] << 16 | (n == 2 ? (uint32_t)p[1] << 8 : 0);
        *o++ = alphabet[v >> 18];
        *o++ = alphabet[v >> 12 & 63];
        if (n == 2)
            *o++ = alphabet[v >> 6 & 63];
        else if (pad)
            *o++ = '=';
        if (pad)
            *o++ = '=';
    }
    return (size_t)(o - out);
}

void base64_encode(struct buf *out, struct str data)
{
    if (data.len > SIZE_MAX / 2)
        out->failed = true;
    else if (buf_reserve(out, BASE64_ENCODED_LEN(data.len)))
        out->len += data.len > 0 ? encode(out->ptr + out->len, data, standard, true) : 0;
}

void base64url_encode(struct buf *out, struct str data)
{
    if (data.len > SIZE_MAX / 2)
        out->failed = true;
    else if (buf_reserve(out, BASE64_ENCODED_LEN(data.len)))
        out->len += data.len > 0 ? encode(out->ptr + out->len, data, url, false) : 0;
}

struct str base64_arena(struct arena *a, struct str data)
{
    size_t len;
    char *p;

    if (data.len > SIZE_MAX / 2)
        return STR_NULL;
    p = arena_alloc(a, BASE64_ENCODED_LEN(data.len) + 1);
    if (!p)
        return STR_NULL;
    len = encode(p, data, standard, true);
    p[len] = '\0';
    return (struct str){p, len};
}

// -1 for what is not in the alphabet. 62 and 63 are the two that differ.
static int value_of(char c, char c62, char c63)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == c62 ? 62 : c == c63 ? 63 : -1;
}

// Text without padding.
static int decode(struct arena *a, struct str text, char c62, char c63, struct str *out)
{
    int8_t values[256];
    size_t tail = text.len % 4, i = 0;
    unsigned char *p, *o;
    uint32_t v;

    if (tail == 1)
        return -EINVAL;
    for (int c = 0; c < 256; c++)
        values[c] = (int8_t)value_of((char)c, c62, c63);
    p = o = arena_alloc(a, text.len / 4 * 3 + 4);
    if (!p)
        return -ENOMEM;
    for (; i + 4 <= text.len; i += 4) {
        const unsigned char *t = (const unsigned char *)text.ptr + i;
        int w = values[t[0]], x = values[t[1]], y = values[t[2]], z = values[t[3]];
        if ((w | x | y | z) < 0)
            return -EINVAL;
        v = (uint32_t)w << 18 | (uint32_t)x << 12 | (uint32_t)y << 6 | (uint32_t)z;
        *o++ = (unsigned char)(v >> 16);
        *o++ = (unsigned char)(v >> 8);
        *o++ = (unsigned char)v;
    }
    if (tail > 0) {
        const unsigned char *t = (const unsigned char *)text.ptr + i;
        int w = values[t[0]], x = values[t[1]], y = tail == 3 ? values[t[2]] : 0;
        if ((w | x | y) < 0 || (tail == 2 ? (x & 15) : (y & 3)) != 0)
            return -EINVAL;
        v = (uint32_t)w << 18 | (uint32_t)x << 12 | (uint32_t)y << 6;
        *o++ = (unsigned char)(v >> 16);
        if (tail == 3)
            *o++ = (unsigned char)(v >> 8);
    }
    *o = '\0';
    *out = (struct str){(char *)p, (size_t)(o - p)};
    return 0;
}

static struct str without_padding(struct str text)
{
    size_t len = text.len;

    while (len > 0 && text.len - len < 2 && text.ptr[len - 1] == '=')
        len--;
    return (struct str){text.ptr, len};
}

int base64_decode(struct arena *a, struct str text, struct str *out)
{
    if (text.len % 4 != 0)
        return -EINVAL;
    return decode(a, without_padding(text), '+', '/', out);
}

int base64url_decode(struct arena *a, struct str text, struct str *out)
{
    struct str bare = without_padding(text);

    if (bare.len != text.len && text.len % 4 != 0)
        return -EINVAL;
    return decode(a, bare, '-', '_', out);
}
