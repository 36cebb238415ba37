// hot_folders.h - the setting hot-reload: folders of the host whose code functions may be.
#ifndef LAMBKIN_CLI_HOT_FOLDERS_H
#define LAMBKIN_CLI_HOT_FOLDERS_H

#include "base/buf.h"
#include "base/err.h"

// "folder:folder" as it was given to the same with absolute names without symbolic links, and a
// NUL. Refused: what is no folder, the root, and what has to do with the data directory, whose
// secrets no function may see. `out` is empty when nothing was given.
int hot_folders_settle(const char *given, const char *data_dir, struct buf *out, struct err *err);
// Takes "path:path:…" apart in place; how many, at most `max`.
unsigned paths_split(char *paths, const char **out, unsigned max);

#endif
