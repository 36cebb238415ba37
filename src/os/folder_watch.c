// folder_watch.c - see folder_watch.h.
#include "os/folder_watch.h"

#include "os/fd.h"

#include <errno.h>
#include <fts.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define WATCHED                                                                                    \
    (IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE |            \
     IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF)
#define GONE (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)

int folder_watch_open(struct folder_watch *w, const char *dir, bool (*left_out)(const char *name),
                      struct err *err)
{
    *w = (struct folder_watch){.dir = dir, .left_out = left_out};
    atomic_init(&w->root, -1);
    w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (w->fd >= 0)
        return 0;
    if (errno == EMFILE)
        return err_set(err, -EMFILE,
                       "too many folders are watched at the same time; raise "
                       "/proc/sys/fs/inotify/max_user_instances");
    return err_errno(err, errno, "inotify");
}

void folder_watch_close(struct folder_watch *w)
{
    closep(&w->fd);
}

static uint64_t identity(const struct stat *st)
{
    return (uint64_t)st->st_ino * 31 + st->st_dev;
}

static int add(struct folder_watch *w, const FTSENT *e, struct err *err)
{
    int number = inotify_add_watch(w->fd, e->fts_accpath, WATCHED | IN_ONLYDIR);

    if (number >= 0) {
        if (e->fts_level == 0) {
            atomic_store(&w->identity, identity(e->fts_statp));
            atomic_store(&w->root, number);
        }
        return 0;
    }
    if (errno == ENOSPC)
        return err_set(err, -ENOSPC,
                       "%s has more folders than may be watched; raise "
                       "/proc/sys/fs/inotify/max_user_watches",
                       w->dir);
    if (e->fts_level > 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0; // gone already: its parent's event says so
    return err_errno(err, errno, "watch %s", e->fts_path);
}

int folder_watch_walk(struct folder_watch *w, struct err *err)
{
    char *const roots[] = {(char *)w->dir, NULL};
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, NULL);
    FTSENT *e;
    int r = 0;

    if (!tree)
        return err_errno(err, errno, "read %s", w->dir);
    while (r == 0 && (e = fts_read(tree))) {
        if (e->fts_level > 0 && w->left_out(e->fts_name))
            fts_set(tree, e, FTS_SKIP);
        else if (e->fts_info == FTS_D)
            r = add(w, e, err);
        else if (e->fts_level == 0 && e->fts_info != FTS_DP)
            r = err_errno(err, e->fts_errno ? e->fts_errno : ENOTDIR, "read %s", w->dir);
        else if (e->fts_info == FTS_DNR && e->fts_errno != ENOENT)
            r = err_errno(err, e->fts_errno, "read %s", e->fts_path);
    }
    fts_close(tree);
    return r;
}

static int look_at(struct folder_watch *w, const struct inotify_event *e,
                   void (*note)(void *ctx, const struct folder_event *e), void *ctx)
{
    const char *name = e->len ? e->name : "";
    bool lost = (e->mask & IN_Q_OVERFLOW) != 0, folder = (e->mask & IN_ISDIR) != 0;
    bool gone = (e->mask & GONE) != 0 && e->wd == atomic_load(&w->root);

    // Of a folder itself its parent tells the same, but for the one that has none here.
    if (!lost && !gone && (name[0] == '\0' || w->left_out(name)))
        return 0;
    if (gone && (e->mask & IN_MOVE_SELF))
        inotify_rm_watch(w->fd, e->wd); // what lies there from now on is not ours
    if (note) {
        const struct folder_event event = {
            .name = name,
            .complete = !(e->mask & (IN_MODIFY | IN_CREATE)) || folder,
        };
        note(ctx, &event);
    }
    return FOLDER_CHANGED | (lost || gone || folder ? FOLDER_WALK : 0);
}

// Whether the folder is another one now, or none; said once.
static bool replaced(struct folder_watch *w)
{
    int root = atomic_load(&w->root);
    struct stat st;

    if (root < 0 || (stat(w->dir, &st) == 0 && identity(&st) == atomic_load(&w->identity)))
        return false;
    return atomic_compare_exchange_strong(&w->root, &root, -1);
}

int folder_watch_read(struct folder_watch *w, void (*note)(void *ctx, const struct folder_event *e),
                      void *ctx)
{
    _Alignas(struct inotify_event) char events[16384];
    int found = 0;
    ssize_t n;

    while ((n = read(w->fd, events, sizeof(events))) > 0)
        for (const char *at = events; at < events + n;) {
            const struct inotify_event *e = (const struct inotify_event *)at;
            found |= look_at(w, e, note, ctx);
            at += sizeof(*e) + e->len;
        }
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        return -errno;
    if (replaced(w)) {
        found |= FOLDER_CHANGED | FOLDER_WALK;
        if (note)
            note(ctx, &(struct folder_event){.name = "", .complete = true});
    }
    return found;
}
