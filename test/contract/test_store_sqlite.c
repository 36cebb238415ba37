// test_store_sqlite.c - the store's contract, kept by SQLite in a temporary directory.
#include "store_contract.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int make_place(char *place, size_t size)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(place, size, "%s/lambkin-store-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(place))
        return -errno;
    strncat(place, "/test.db", size - strlen(place) - 1);
    return 0;
}

static void remove_place(const char *place)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    char path[600];

    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s%s", place, suffixes[i]);
        unlink(path);
    }
    snprintf(path, sizeof(path), "%.*s", (int)(strrchr(place, '/') - place), place);
    rmdir(path);
}

int main(void)
{
    static const struct store_contract sqlite = {"store: SQLite", make_place, remove_place};

    return store_contract_run(&sqlite);
}
