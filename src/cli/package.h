// package.h - from a folder to a deployable zip, and what kind of function it holds.
#ifndef LAMBKIN_CLI_PACKAGE_H
#define LAMBKIN_CLI_PACKAGE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#define PACKAGE_MAX_FILES 100000
#define PACKAGE_MAX_BYTES ((size_t)250 << 20) // AWS: unzipped

// What a package says about itself; absent where nothing could be found.
struct package_kind {
    struct str runtime; // "python3.12", "nodejs22.x", "provided.al2023"
    struct str handler; // "app.handler"
};

struct package_counts {
    unsigned files;
    size_t bytes; // before compression
};

// Zips the folder: names sorted, times fixed, so that the same files give the same zip. Left out:
// .git, .venv, __pycache__, *.pyc, .DS_Store. Symbolic links are followed when they stay inside.
int package_zip(const char *dir, struct buf *out, struct package_counts *counts, struct err *err);
// Whether a file or folder of this name, at any depth, is among what is left out.
bool package_leaves_out(const char *name);

// Looks at the names and at the source of likely entry files.
int package_kind_of_dir(struct arena *a, const char *dir, struct package_kind *out,
                        struct err *err);
int package_kind_of_zip(struct arena *a, struct str zip, struct package_kind *out, struct err *err);

#endif
