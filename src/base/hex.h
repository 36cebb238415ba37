// hex.h - bytes as hexadecimal digits.
#ifndef LAMBKIN_BASE_HEX_H
#define LAMBKIN_BASE_HEX_H

#include "arena.h"

// Writes 2n lower-case digits and a NUL.
void hex_encode(const void *data, size_t n, char *out);
struct str hex_arena(struct arena *a, struct str data); // absent when out of memory
// Exactly n bytes from exactly 2n digits of either case; false otherwise.
bool hex_decode(struct str text, void *out, size_t n);
// 0 to 15, or -1.
int hex_digit(char c);

#endif
