// scratch.c - temporary directories of tests. Flat ones: one level is removed, and one below.
#include "scratch.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void scratch_make(char dir[static SCRATCH_BYTES])
{
    const char *tmp = getenv("TMPDIR");

    snprintf(dir, SCRATCH_BYTES, "%s/lambkin-test-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) {
        perror(dir);
        exit(2);
    }
}

static void remove_in(const char *dir, int depth)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    char path[1024];

    while (d && (e = readdir(d))) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        if (unlink(path) < 0 && depth > 0)
            remove_in(path, depth - 1);
    }
    if (d)
        closedir(d);
    rmdir(dir);
}

void scratch_remove(const char *dir)
{
    remove_in(dir, 1);
}

const char *scratch_path(const char *dir, const char *name)
{
    static char paths[4][SCRATCH_BYTES + 64];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
    return path;
}
