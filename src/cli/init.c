// init.c - `lambkin init LANGUAGE [DIR]`: a function to start from.
//
// It writes into an empty folder only, and overwrites nothing even if somebody else writes there.
#include "base/cleanup.h"
#include "base/str.h"
#include "cli/args.h"
#include "cli/starters.h"
#include "cli/verb.h"
#include "os/fd.h"
#include "os/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct starter *find(const char *word)
{
    for (unsigned i = 0; i < n_starters; i++)
        if (strcmp(starters[i].name, word) == 0)
            return &starters[i];
    for (unsigned i = 0; i < n_starters; i++)
        if (starters[i].runtime && str_starts(str_from(word), str_from(starters[i].runtime)))
            return &starters[i];
    return NULL;
}

static int check_empty(const char *dir, struct err *err)
{
    DIR *d = opendir(dir);
    const struct dirent *e;
    int r = 0;

    if (!d)
        return err_errno(err, errno, "open %s", dir);
    while (r == 0 && (e = readdir(d)))
        // A repository that was only just made is as good as empty.
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            strcmp(e->d_name, ".git") != 0)
            r = err_set(err, -ENOTEMPTY, "%s is not empty: it holds %s", dir, e->d_name);
    closedir(d);
    return r;
}

static int write_one(const char *dir, const struct starter_file *f, struct err *err)
{
    char path[PATH_MAX];
    int r;

    snprintf(path, sizeof(path), "%s/%s", dir, f->path);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    r = mkdir_p(path, 0777, err);
    *slash = '/';
    if (r < 0)
        return r;
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, f->mode);
    if (fd < 0)
        return err_errno(err, errno, "%s", path);
    r = fd_write_full(fd, f->text, strlen(f->text));
    return r < 0 ? err_errno(err, -r, "write %s", path) : 0;
}

static int init(const struct starter *s, const char *dir, struct err *err)
{
    int r = strlen(dir) < PATH_MAX - 64 ? mkdir_p(dir, 0777, err)
                                        : err_set(err, -ENAMETOOLONG, "the path is too long");

    if (r == 0)
        r = check_empty(dir, err);
    for (unsigned i = 0; r == 0 && i < s->n_files; i++) {
        r = write_one(dir, &s->files[i], err);
        if (r == 0)
            printf("%s/%s\n", dir, s->files[i].path);
    }
    if (r == 0)
        fprintf(stderr, "README.md says how to run it\n");
    return r;
}

int init_main(int argc, char **argv)
{
    struct arg_words words;
    struct err err = ERR_INIT;
    const struct starter *s;

    if (args_parse(argc, argv, NULL, 0, &words, &err) < 0) {
        cli_fail(&err);
        return EXIT_USAGE;
    }
    if (words.n < 1 || words.n > 2)
        return cli_verb_usage("init", EXIT_USAGE);
    s = find(words.words[0]);
    if (!s) {
        fprintf(stderr, "lambkin: there is no starter for \"%s\"\n", words.words[0]);
        return cli_verb_usage("init", EXIT_USAGE);
    }
    return init(s, words.n > 1 ? words.words[1] : ".", &err) < 0 ? cli_fail(&err) : EXIT_FINE;
}
