// wildcard.c - see wildcard.h.

#include "base/wildcard.h"

bool wildcard_match(struct str pattern, struct str text, unsigned flags)
{
    size_t p = 0, t = 0, star = SIZE_MAX, resume = 0;

    while (t < text.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star = ++p;
            resume = t;
            continue;
        }
        bool escaped = (flags & WILDCARD_ESCAPE) && p < pattern.len && pattern.ptr[p] == '\\';
        size_t at = p + escaped;
        bool one = (flags & WILDCARD_ONE) && !escaped && at < pattern.len && pattern.ptr[at] == '?';
        if (at < pattern.len && (one || pattern.ptr[at] == text.ptr[t])) {
            p = at + 1;
            t++;
        } else if (star != SIZE_MAX) { // the latest star takes one more
            p = star;
            t = ++resume;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*')
        p++;
    return p == pattern.len;
}
