// scratch.h - a directory for one test, removed with everything in it.
#ifndef LAMBKIN_TEST_UNIT_STORE_SCRATCH_H
#define LAMBKIN_TEST_UNIT_STORE_SCRATCH_H

#include <stddef.h>

#define SCRATCH_BYTES 256

void scratch_make(char dir[static SCRATCH_BYTES]);
void scratch_remove(const char *dir);
// A path in it; the result is overwritten by the fourth call after this one.
const char *scratch_path(const char *dir, const char *name);

#endif
