// wildcard.h - "*" for any text, and "?" for one byte where that is wanted.
#ifndef LAMBKIN_BASE_WILDCARD_H
#define LAMBKIN_BASE_WILDCARD_H

#include "base/str.h"

#define WILDCARD_ONE 0x1    // "?" stands for one byte
#define WILDCARD_ESCAPE 0x2 // a backslash makes the next character itself

// Does the pattern fit the whole text? Time is at most the product of their lengths.
bool wildcard_match(struct str pattern, struct str text, unsigned flags);

#endif
