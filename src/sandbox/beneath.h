// beneath.h - opening what lies below a folder, and nothing else, whatever the name says.
#ifndef LAMBKIN_SANDBOX_BENEATH_H
#define LAMBKIN_SANDBOX_BENEATH_H

#include "base/err.h"

// A descriptor (O_PATH) of the folder `name` below dir; symbolic links, "..", other file types are
// refused. openat2 where it is to be had, else part by part. -errno with the reason.
int open_beneath(int dir, const char *name, struct err *err);
// The fallback by itself, for the tests.
int open_beneath_by_parts(int dir, const char *name, struct err *err);

#endif
