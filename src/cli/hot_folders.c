// hot_folders.c - see hot_folders.h.
#include "cli/hot_folders.h"

#include "base/cleanup.h"
#include "sandbox/keeper.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static bool below(const char *path, const char *folder)
{
    size_t n = strlen(folder);

    return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

static int settle_one(const char *given, const char *data_dir, struct buf *out, struct err *err)
{
    _cleanup_free_ char *data = realpath(data_dir, NULL);
    _cleanup_free_ char *real = realpath(given, NULL);
    struct stat st;

    if (!real || stat(real, &st) < 0)
        return err_errno(err, errno, "hot-reload: %s", given);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, -ENOTDIR, "hot-reload: %s is no folder", given);
    if (strcmp(real, "/") == 0)
        return err_set(err, -EINVAL,
                       "hot-reload: not the root; name the folders of your functions");
    if (data && (below(real, data) || below(data, real)))
        return err_set(err, -EINVAL,
                       "hot-reload: %s and the data directory must not lie in each other", given);
    buf_addf(out, "%s%s", out->len ? ":" : "", real);
    return 0;
}

int hot_folders_settle(const char *given, const char *data_dir, struct buf *out, struct err *err)
{
    _cleanup_free_ char *copy = strdup(given ? given : "");
    const char *list[KEEPER_MAX_HOT_DIRS + 1];
    int r = 0;

    if (!copy)
        return err_set(err, -ENOMEM, "out of memory");
    unsigned n = paths_split(copy, list, ARRAY_LEN(list));
    if (n > KEEPER_MAX_HOT_DIRS)
        return err_set(err, -E2BIG, "hot-reload: more than %d folders", KEEPER_MAX_HOT_DIRS);
    for (unsigned i = 0; r == 0 && i < n; i++)
        r = settle_one(list[i], data_dir, out, err);
    if (r == 0 && n > 0)
        buf_add_char(out, '\0');
    if (r == 0 && out->failed)
        r = err_set(err, -ENOMEM, "hot-reload: the names are too long");
    return r;
}

unsigned paths_split(char *paths, const char **out, unsigned max)
{
    char *save = NULL;
    unsigned n = 0;

    for (char *p = strtok_r(paths, ":", &save); p && n < max; p = strtok_r(NULL, ":", &save))
        out[n++] = p;
    return n;
}
