// args.h - flags of the client verbs: --name value, --name=value, in any order with the words.
#ifndef LAMBKIN_CLI_ARGS_H
#define LAMBKIN_CLI_ARGS_H

#include "base/err.h"

#include <stdbool.h>

#define ARGS_MAX_WORDS 256
#define ARGS_MAX_VALUES 64

struct arg_values {
    const char *values[ARGS_MAX_VALUES];
    unsigned n;
};

struct arg {
    const char *name;  // "--follow"
    const char *brief; // "-f" or NULL
    bool *flag;        // one of these three is set; flag and value: a number may follow
    const char **value;
    struct arg_values *values; // may be given again
};

struct arg_words {
    const char *words[ARGS_MAX_WORDS];
    unsigned n;
};

// argv[0] is skipped. "--" ends the flags; "-" alone is a word.
int args_parse(int argc, char **argv, const struct arg *table, unsigned n_table,
               struct arg_words *words, struct err *err);

#endif
