// folder_watch.h - a folder and all folders below it, watched for changes (inotify).
//
// One thread reads. Walking may block on the disk for as long as the tree is large, and may be done
// by another thread meanwhile. What changes in a new folder before it has been walked is not seen:
// who must not miss it takes the end of a walk for a change.
#ifndef LAMBKIN_OS_FOLDER_WATCH_H
#define LAMBKIN_OS_FOLDER_WATCH_H

#include "base/err.h"

#include <stdatomic.h>
#include <stdbool.h>

struct folder_watch {
    int fd;          // readable when something changed
    const char *dir; // borrowed
    bool (*left_out)(const char *name);
    atomic_int root; // inotify's number of `dir` itself; -1 when it is not there
    // Which folder that is. One that is removed while somebody holds it, as a mount does, makes no
    // event until it is let go; by then another may have its name.
    atomic_uint_fast64_t identity;
};

struct folder_event {
    const char *name; // of the file or folder, without its place; "" when events were lost
    bool complete;    // the end of a change: written and closed, renamed, deleted
};

enum {
    FOLDER_CHANGED = 1, // something that counts
    FOLDER_WALK = 2,    // folders may have come: folder_watch_walk()
};

// Opens, without a look at the folder yet. `left_out` names files and folders that do not count.
int folder_watch_open(struct folder_watch *w, const char *dir, bool (*left_out)(const char *name),
                      struct err *err);
// Watches every folder of the tree that is not watched yet. -ENOENT or -ENOTDIR when the folder
// itself is not there (any more), -EACCES, -ENOSPC with what to do about it.
int folder_watch_walk(struct folder_watch *w, struct err *err);
// Takes what has happened since, without waiting: the flags above, 0 for nothing, -errno. `note`
// may be NULL.
int folder_watch_read(struct folder_watch *w, void (*note)(void *ctx, const struct folder_event *e),
                      void *ctx);
void folder_watch_close(struct folder_watch *w);

#endif
