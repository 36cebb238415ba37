// filter_pattern.h - the filter pattern language of CloudWatch Logs.
//
// Three kinds of pattern: terms (`ERROR "a phrase" -debug ?any %regex%`), JSON (`{ $.a = 1 && … }`)
// and space-delimited columns (`[ip, user, status = 4*, ...]`). Compiled once into an arena,
// matched against any number of messages. Pure; a compiled pattern may be shared by threads.
#ifndef LAMBKIN_LOGS_FILTER_PATTERN_H
#define LAMBKIN_LOGS_FILTER_PATTERN_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

#include <regex.h>

#define FILTER_MAX_PATTERN_BYTES 1024 // FilterLogEvents, filterPattern
#define FILTER_MAX_REGEXES 2          // AWS's own limit for one pattern
#define FILTER_MAX_COLUMNS 128
#define FILTER_MAX_DEPTH 32 // nested parentheses

enum filter_kind { FILTER_EVERYTHING, FILTER_TERMS, FILTER_JSON, FILTER_COLUMNS };

enum filter_term_kind { TERM_MUST, TERM_MUST_NOT, TERM_ANY };

struct filter_regex {
    regex_t compiled;
};

struct filter_term {
    struct filter_term *next;
    enum filter_term_kind kind;
    struct str text;            // what must be in the message
    struct filter_regex *regex; // or this
};

enum filter_compare { CMP_EQ, CMP_NE, CMP_LT, CMP_LE, CMP_GT, CMP_GE };

// One step of a JSON selector: .name, [index] or [*].
struct filter_step {
    struct filter_step *next;
    struct str name; // absent: an index
    int64_t index;   // -1: every element
};

enum filter_node_kind {
    NODE_AND,
    NODE_OR,
    NODE_COMPARE,
    NODE_IS_NULL,
    NODE_IS_TRUE,
    NODE_IS_FALSE,
    NODE_EXISTS,
    NODE_NOT_EXISTS,
};

struct filter_node {
    enum filter_node_kind kind;
    struct filter_node *left, *right; // NODE_AND, NODE_OR
    struct filter_step *path;         // JSON
    struct str column_name;           // columns; resolved to
    unsigned column;                  // its position
    enum filter_compare compare;
    struct str text; // the value: may hold wildcards
    bool quoted;     // never a number
    bool is_number;  // number is the value
    double number;
    struct filter_regex *regex; // or this
};

struct filter_pattern {
    enum filter_kind kind;
    struct filter_term *terms;
    bool only_any; // every term is `?term`
    struct filter_node *root;
    // Columns: those before and after the ellipsis; ellipsis = -1: exactly n_columns.
    struct str columns[FILTER_MAX_COLUMNS];
    struct filter_node *conditions[FILTER_MAX_COLUMNS];
    unsigned n_columns;
    int ellipsis;
    struct filter_regex *regexes[FILTER_MAX_REGEXES];
    unsigned n_regexes;
};

// -EINVAL for a pattern that is not one (err says what), -ENOMEM. Everything but the compiled
// regular expressions lives in the arena: finish the pattern before it.
int filter_pattern_compile(struct arena *arena, struct str text, struct filter_pattern **out,
                           struct err *err);
void filter_pattern_finish(struct filter_pattern *p); // accepts NULL
void filter_pattern_finishp(struct filter_pattern **p);

// `scratch` is used for parsed JSON and for copies, and reset.
bool filter_pattern_match(const struct filter_pattern *p, struct str message,
                          struct arena *scratch);

// A whole decimal number with optional fraction and exponent.
bool filter_number(struct str s, double *out);

#endif
