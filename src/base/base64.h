// base64.h - RFC 4648 base64, standard and URL alphabets, decoded strictly.
#ifndef LAMBKIN_BASE_BASE64_H
#define LAMBKIN_BASE_BASE64_H

#include "arena.h"
#include "buf.h"

// With padding.
#define BASE64_ENCODED_LEN(n) (((n) + 2) / 3 * 4)
void base64_encode(struct buf *out, struct str data);
struct str base64_arena(struct arena *a, struct str data); // absent when out of memory
// URL alphabet, without padding.
void base64url_encode(struct buf *out, struct str data);

// Padding required, nothing but the alphabet, unused bits zero. The result is in the arena.
// -EINVAL malformed, -ENOMEM.
int base64_decode(struct arena *a, struct str text, struct str *out);
// URL alphabet, padding optional.
int base64url_decode(struct arena *a, struct str text, struct str *out);

#endif
