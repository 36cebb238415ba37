// utf8.h - reading and writing UTF-8 (RFC 3629: no surrogates, no overlong forms, up to U+10FFFF).
#ifndef LAMBKIN_BASE_UTF8_H
#define LAMBKIN_BASE_UTF8_H

#include "str.h"

bool utf8_valid(struct str s);
// Is s the beginning of something valid? *complete: where its last whole character ends, at most
// three bytes before its end. For text that comes in pieces.
bool utf8_valid_so_far(struct str s, size_t *complete);
// Length in bytes of the valid character at the front of s, which is not empty; 0 when malformed.
unsigned utf8_next(struct str s, uint32_t *code_point);
// 1 to 4 bytes; 0 for what is no character. `out` holds 4.
unsigned utf8_put(char *out, uint32_t code_point);
// The number of characters; malformed bytes count as one each.
size_t utf8_count(struct str s);
// The longest front part of at most max_bytes that does not split a character.
struct str utf8_cut(struct str s, size_t max_bytes);

#endif
