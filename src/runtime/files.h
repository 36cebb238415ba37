// files.h - the bootstraps of the managed runtimes, carried in the binary.
#ifndef LAMBKIN_RUNTIME_FILES_H
#define LAMBKIN_RUNTIME_FILES_H

#include "base/err.h"

#define RUNTIME_PYTHON_BOOTSTRAP "bootstrap.py"
#define RUNTIME_NODE_BOOTSTRAP "bootstrap.cjs"

// Writes them into `dir` (made when missing), readable by everybody; the keeper shows `dir` to
// sandboxes as /var/runtime. Called by main before the keeper starts. Leaves equal files alone.
int runtime_files_write(const char *dir, struct err *err);

#endif
