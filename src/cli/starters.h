// starters.h - the functions that `lambkin init` can write.
#ifndef LAMBKIN_CLI_STARTERS_H
#define LAMBKIN_CLI_STARTERS_H

struct starter_file {
    const char *path; // below the new folder
    unsigned mode;
    const char *text;
};

struct starter {
    const char *name;    // "python"
    const char *runtime; // how names of its runtimes begin; NULL: it has none of its own
    const struct starter_file *files;
    unsigned n_files;
};

extern const struct starter starters[];
extern const unsigned n_starters;

#endif
