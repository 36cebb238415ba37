// args.c - flags of the client verbs.
#include "cli/args.h"

#include <errno.h>
#include <string.h>

static const struct arg *find(const struct arg *table, unsigned n, const char *word, size_t len)
{
    for (unsigned i = 0; i < n; i++) {
        if (strlen(table[i].name) == len && memcmp(table[i].name, word, len) == 0)
            return &table[i];
        if (table[i].brief && strlen(table[i].brief) == len &&
            memcmp(table[i].brief, word, len) == 0)
            return &table[i];
    }
    return NULL;
}

static int take(const struct arg *a, const char *value, struct err *err)
{
    if (a->value) {
        *a->value = value;
        return 0;
    }
    if (a->values->n == ARGS_MAX_VALUES)
        return err_set(err, -E2BIG, "%s is given too often", a->name);
    a->values->values[a->values->n++] = value;
    return 0;
}

int args_parse(int argc, char **argv, const struct arg *table, unsigned n_table,
               struct arg_words *words, struct err *err)
{
    bool flags = true;

    words->n = 0;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        const char *equals = strchr(word, '=');
        const struct arg *a;
        int r;

        if (flags && strcmp(word, "--") == 0) {
            flags = false;
            continue;
        }
        if (!flags || word[0] != '-' || word[1] == '\0') {
            if (words->n == ARGS_MAX_WORDS)
                return err_set(err, -E2BIG, "too many arguments");
            words->words[words->n++] = word;
            continue;
        }
        a = find(table, n_table, word, equals ? (size_t)(equals - word) : strlen(word));
        if (!a)
            return err_set(err, -EINVAL, "there is no flag %s", word);
        if (a->flag && a->value) {
            *a->flag = true;
            if (equals)
                *a->value = equals + 1;
            else if (i + 1 < argc && argv[i + 1][0] &&
                     strspn(argv[i + 1], "0123456789") == strlen(argv[i + 1]))
                *a->value = argv[++i];
            continue;
        }
        if (a->flag) {
            if (equals)
                return err_set(err, -EINVAL, "%s takes no value", a->name);
            *a->flag = true;
            continue;
        }
        if (!equals && i + 1 == argc)
            return err_set(err, -EINVAL, "%s needs a value", a->name);
        r = take(a, equals ? equals + 1 : argv[++i], err);
        if (r < 0)
            return r;
    }
    return 0;
}
