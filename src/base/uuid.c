// uuid.c - formatting and recognising UUIDs.
#include "uuid.h"
#include "hex.h"

void uuid_format(const uint8_t random[static 16], char out[static UUID_CHARS + 1])
{
    static const unsigned ends[] = {4, 6, 8, 10, 16}; // of the groups, in bytes
    uint8_t b[16];
    size_t from = 0;

    memcpy(b, random, 16);
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); // version 4
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80); // RFC 9562 variant
    for (size_t g = 0; g < 5; g++) {
        hex_encode(b + from, ends[g] - from, out);
        out += (ends[g] - from) * 2;
        from = ends[g];
        *out++ = g < 4 ? '-' : '\0';
    }
}

struct str uuid_arena(struct arena *a, const uint8_t random[static 16])
{
    char *p = arena_alloc(a, UUID_CHARS + 1);

    if (!p)
        return STR_NULL;
    uuid_format(random, p);
    return (struct str){p, UUID_CHARS};
}

bool uuid_valid(struct str s)
{
    if (s.len != UUID_CHARS)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? s.ptr[i] != '-' : hex_digit(s.ptr[i]) < 0)
            return false;
    }
    return true;
}
