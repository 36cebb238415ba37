// percent.h - percent-encoding (RFC 3986 section 2.1) and query strings.
#ifndef LAMBKIN_BASE_PERCENT_H
#define LAMBKIN_BASE_PERCENT_H

#include "arena.h"
#include "buf.h"

// Everything but unreserved characters (RFC 3986 section 2.3), upper-case digits, as SigV4 wants.
void percent_encode(struct buf *out, struct str s);
// The same with '/' left alone: for paths.
void percent_encode_path(struct buf *out, struct str s);

enum percent_mode {
    PERCENT_PATH, // '+' is a plus
    PERCENT_FORM, // '+' is a space: query strings and form bodies
};
// Borrows from s when there is nothing to decode. -EINVAL for a '%' without two digits, -ENOMEM.
int percent_decode(struct arena *a, struct str s, enum percent_mode mode, struct str *out);

// Takes the next name=value pair off a query string (still encoded); empty pairs are skipped.
// The value is the absent string when there is no '='. False at the end.
bool percent_next_pair(struct str *query, struct str *name, struct str *value);
// Looks up one parameter, decoded as a form. 1 found, 0 not there, negative as percent_decode.
int percent_query_get(struct arena *a, struct str query, struct str name, struct str *out);

#endif
