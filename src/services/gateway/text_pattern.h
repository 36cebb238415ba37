// text_pattern.h - regular expressions that an API's owner wrote, matched within limits.
#ifndef LAMBKIN_SERVICES_GATEWAY_TEXT_PATTERN_H
#define LAMBKIN_SERVICES_GATEWAY_TEXT_PATTERN_H

#include "base/str.h"

// Does the pattern fit the whole text (or, with `inside`, a part of it)? A pattern that is none,
// or that takes too long, does not.
bool text_pattern_matches(struct str pattern, struct str text, bool inside);

#endif
