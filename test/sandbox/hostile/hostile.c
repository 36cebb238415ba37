// hostile.c - many small programs that mean harm, in one static binary: hostile NAME.
//
// Each attempt prints one line and ends: "failed: HOW" with status 0 when it was stopped, and
// "SUCCEEDED: WHAT" with status 10 when it was not. The table of what is expected is in
// test_hostile.c. Arguments come in the environment: MARKER, DATA_DIR, HOST_NAME, PORT, ….
#include "attempts.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Noreturn void failed(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("failed: ");
    vprintf(format, args);
    printf("\n");
    fflush(stdout);
    va_end(args);
    _exit(0);
}

_Noreturn void succeeded(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("SUCCEEDED: ");
    vprintf(format, args);
    printf("\n");
    fflush(stdout);
    va_end(args);
    _exit(10);
}

_Noreturn void outcome(long r)
{
    outcome_was(r, errno);
}

_Noreturn void outcome_was(long r, int error)
{
    if (r < 0)
        failed("%s", strerrorname_np(error) ? strerrorname_np(error) : "?");
    succeeded("%ld", r);
}

const char *setting(const char *name)
{
    const char *v = getenv(name);
    return v ? v : "";
}

int main(int argc, char **argv)
{
    const struct attempt *const tables[] = {view_attempts, power_attempts, share_attempts,
                                            neighbour_attempts};
    if (argc < 2)
        return 2;
    for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
        for (const struct attempt *a = tables[t]; a->name; a++)
            if (strcmp(a->name, argv[1]) == 0) {
                a->run();
                printf("%s came back\n", a->name);
                return 3;
            }
    printf("no attempt named %s\n", argv[1]);
    return 2;
}
