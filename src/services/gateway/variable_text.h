// variable_text.h - texts with variables in them: "$context.status", "${request.path}".
#ifndef LAMBKIN_SERVICES_GATEWAY_VARIABLE_TEXT_H
#define LAMBKIN_SERVICES_GATEWAY_VARIABLE_TEXT_H

#include "base/arena.h"
#include "base/str.h"

struct variable_source {
    // "$context.status" or "${context.status}", as it stands; absent: there is none.
    struct str (*value)(void *ctx, struct str expression);
    void *ctx;
};

// Puts values in place of variables, `missing` for those that there are not; with `quoted`, values
// are escaped as inside of a JSON string. Absent: out of memory.
struct str variable_text_expand(struct arena *a, struct str text,
                                const struct variable_source *from, struct str missing,
                                bool quoted);
// Is the text one variable and nothing else?
bool variable_text_is_one(struct str text);

#endif
