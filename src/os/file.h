// file.h - files and folders by path: read whole, replace atomically, make and remove trees.
#ifndef LAMBKIN_OS_FILE_H
#define LAMBKIN_OS_FILE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#include <sys/types.h>

// The whole file, followed by a NUL that is not counted, into the arena. -EFBIG over max_bytes.
int read_file(struct arena *a, const char *path, size_t max_bytes, struct str *out,
              struct err *err);
// As seen by everybody, the file has either its old or its new content, also after a crash:
// temporary file beside it, fsync, rename, fsync of the folder.
int write_file_atomic(const char *path, struct str content, mode_t mode, struct err *err);
// The same for what is compared and written again at every start: readers see the old content or
// the new, but after a power cut there may be either, or nothing.
int write_file_again(const char *path, struct str content, mode_t mode, struct err *err);
// Makes the folder and those above it; one that exists already is fine and keeps its mode.
int mkdir_p(const char *path, mode_t mode, struct err *err);
// Removes a tree, never following a symbolic link, never leaving its file system's folder by a
// rename race (openat with O_NOFOLLOW all the way). A path that is not there is success. Folders
// without permissions are made readable first.
int rm_rf(const char *path, struct err *err);
int rm_rf_at(int dir_fd, const char *name, struct err *err);
// A new empty folder, mode 0700, named prefix + six random characters, below $TMPDIR or /tmp.
int make_temp_dir(struct arena *a, const char *prefix, struct str *path, struct err *err);
// An open file without a name in `dir`, readable and writable; the descriptor or -errno.
int open_unlinked(const char *dir, struct err *err);
// Takes an exclusive lock on the file (made when missing); the descriptor holds it. -EWOULDBLOCK
// when somebody else does.
int lock_file(const char *path, struct err *err);
// Whether there is such a folder in a store of trees that are named by their content, touching it:
// one that was found a moment ago is not collected as unused.
bool tree_found(int dir_fd, const char *name);
// fsync of a folder, so that names in it survive a crash.
int sync_dir(const char *path, struct err *err);

#endif
