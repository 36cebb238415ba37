// names.h - names, qualifiers and ARNs of functions and layers, in every documented form. Pure.
#ifndef LAMBKIN_SERVICES_LAMBDA_NAMES_H
#define LAMBKIN_SERVICES_LAMBDA_NAMES_H

#include "base/str.h"

#define LAMBDA_NAME_MAX 64
#define LAMBDA_QUALIFIER_MAX 128

// A function as a client names it. Parts that it did not say are absent; all point into the input.
struct lambda_name {
    struct str name;
    struct str qualifier;
    struct str account, region;
};

// "name", "name:qualifier", "account:function:name", "function:name",
// "arn:aws:lambda:region:account:function:name[:qualifier]". False for anything else.
bool lambda_name_parse(struct str s, struct lambda_name *out);

// "$LATEST", a version number or an alias name.
bool lambda_qualifier_valid(struct str q);
// Digits only: a published version. Answers it, or 0 (versions begin at 1).
uint64_t lambda_version_number(struct str q);
// An alias may not look like a version.
bool lambda_alias_valid(struct str name);

struct layer_name {
    struct str name;
    struct str account, region; // absent when not said
    uint64_t version;           // 0: not said
};
// "name", "arn:aws:lambda:region:account:layer:name[:version]".
bool layer_name_parse(struct str s, struct layer_name *out);

#endif
