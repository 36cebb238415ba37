// cgroup.c - finding the hierarchies, the tree of ours in them, and what v1 and v2 share.
#include "sandbox/cgroup_impl.h"

#include "base/cleanup.h"
#include "os/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

const char *const cgroup_controller_names[CGROUP_CONTROLLERS] = {"memory", "cpu", "pids", "io",
                                                                 "freezer"};

static const char *name_in_v1(int c)
{
    return c == CGROUP_IO ? "blkio" : cgroup_controller_names[c];
}

// ---- reading and writing the small files ----

int cgroup_write(int dir, const char *group, const char *file, const char *value)
{
    char path[300];
    if (dir < 0)
        return -EOPNOTSUPP;
    snprintf(path, sizeof(path), "%s/%s", group, file);
    _cleanup_close_ int fd = openat(dir, path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return write(fd, value, strlen(value)) < 0 ? -errno : 0;
}

int cgroup_write_u64(int dir, const char *group, const char *file, uint64_t value)
{
    char text[32];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    return cgroup_write(dir, group, file, text);
}

int cgroup_read(int dir, const char *group, const char *file, char *to, size_t room)
{
    char path[300];
    if (dir < 0)
        return -EOPNOTSUPP;
    snprintf(path, sizeof(path), "%s/%s", group, file);
    _cleanup_close_ int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = fd_read_full(fd, to, room - 1);
    if (n < 0)
        return (int)n;
    to[n] = '\0';
    return 0;
}

int cgroup_open_file(int dir, const char *group, const char *file, int flags)
{
    char path[300];
    if (dir < 0)
        return -EOPNOTSUPP;
    snprintf(path, sizeof(path), "%s/%s", group, file);
    int fd = openat(dir, path, flags | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

// "oom_kill 3" among lines of "name number".
uint64_t cgroup_number(const char *text, const char *name)
{
    struct str rest = str_from(text), line, key;
    while (str_next(&rest, '\n', &line)) {
        uint64_t v;
        if (str_next(&line, ' ', &key) && str_eq(key, str_from(name)) &&
            str_to_u64(str_trim(line), &v) == 0)
            return v;
    }
    return 0;
}

uint32_t cgroup_counter(const char *text, const char *name)
{
    uint64_t v = cgroup_number(text, name);
    return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

// ---- where the hierarchies are ----

static char *read_proc(const char *path, size_t max)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text = fd < 0 ? NULL : malloc(max);
    if (!text)
        return NULL;
    ssize_t n = fd_read_full(fd, text, max - 1);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static bool list_has(struct str list, const char *word)
{
    struct str one;
    while (str_next(&list, ',', &one))
        if (str_eq(one, str_from(word)))
            return true;
    return false;
}

// Our own path in the hierarchy of `controller` ("" for the unified one), from /proc/self/cgroup.
static bool own_path(const char *self, const char *controller, char *out, size_t room)
{
    struct str rest = str_from(self), line;
    while (str_next(&rest, '\n', &line)) {
        struct str number, list;
        if (!str_next(&line, ':', &number) || !str_next(&line, ':', &list))
            continue;
        if (controller[0] ? list_has(list, controller)
                          : (list.len == 0 && str_eq(number, STR("0")))) {
            snprintf(out, room, "%.*s", STR_ARG(line));
            return true;
        }
    }
    return false;
}

// Where that hierarchy is mounted and which part of it, from /proc/self/mountinfo:
// "ID PARENT MAJ:MIN ROOT POINT OPTIONS … - TYPE SOURCE SUPER_OPTIONS".
static bool mount_point(const char *mounts, const char *controller, char *root, char *point,
                        size_t room)
{
    struct str rest = str_from(mounts), line, word;
    while (str_next(&rest, '\n', &line)) {
        ptrdiff_t dash = str_find(line, STR(" - "));
        if (dash < 0)
            continue;
        struct str tail = str_slice(line, (size_t)dash + 3, line.len), type, source;
        if (!str_next(&tail, ' ', &type) || !str_next(&tail, ' ', &source))
            continue;
        if (controller[0] ? !(str_eq(type, STR("cgroup")) && list_has(tail, controller))
                          : !str_eq(type, STR("cgroup2")))
            continue;
        struct str front = str_slice(line, 0, (size_t)dash);
        for (int i = 0; i < 5 && str_next(&front, ' ', &word); i++) {
            if (i == 3)
                snprintf(root, room, "%.*s", STR_ARG(word));
            if (i == 4)
                snprintf(point, room, "%.*s", STR_ARG(word));
        }
        return true;
    }
    return false;
}

// The folder of our own cgroup for `controller`, if it can be written.
static bool own_folder(const char *self, const char *mounts, const char *controller, char *out,
                       size_t room)
{
    char path[400] = "", root[400] = "", point[400] = "";
    if (!own_path(self, controller, path, sizeof(path)) ||
        !mount_point(mounts, controller, root, point, sizeof(point)))
        return false;
    // In a container the mount shows only a part of the hierarchy.
    const char *below = path;
    size_t len = strlen(root);
    if (len > 1 && strncmp(path, root, len) == 0)
        below = path + len;
    if (strstr(below, "..")) // outside our cgroup namespace
        below = "";
    int n = snprintf(out, room, "%s%s", point, strcmp(below, "/") == 0 ? "" : below);
    if (n < 0 || (size_t)n >= room)
        return false;
    return access(out, W_OK | X_OK) == 0;
}

static void probe_v2(struct cgroup_tree *t, const char *folder)
{
    char text[512] = "";
    _cleanup_close_ int dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cgroup_read(dir, ".", "cgroup.controllers", text, sizeof(text));
    for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
        char spaced[600];
        snprintf(spaced, sizeof(spaced), " %s ", text);
        for (char *p = spaced; *p; p++)
            if (*p == '\n')
                *p = ' ';
        char want[32];
        snprintf(want, sizeof(want), " %s ", cgroup_controller_names[c]);
        // Freezing needs no controller there, but a kernel from 5.2 on; always so here.
        t->has[c] = c == CGROUP_FREEZER || strstr(spaced, want) != NULL;
        snprintf(t->paths[c], sizeof(t->paths[c]), "%s", folder);
    }
    t->swap = t->has[CGROUP_MEMORY];
    t->ops = &cgroup_v2;
}

void cgroup_probe(struct cgroup_tree *t)
{
    *t = (struct cgroup_tree){.dirs = {-1, -1, -1, -1, -1}};
    _cleanup_free_ char *self = read_proc("/proc/self/cgroup", 16384);
    _cleanup_free_ char *mounts = read_proc("/proc/self/mountinfo", (size_t)1 << 20);
    if (!self || !mounts) {
        snprintf(t->why, sizeof(t->why), "/proc/self/cgroup cannot be read");
        return;
    }
    // The controllers are in v1 hierarchies, or all in the unified one; a hybrid host has an
    // empty unified hierarchy beside v1.
    for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
        t->has[c] = own_folder(self, mounts, name_in_v1(c), t->paths[c], sizeof(t->paths[c]));
        if (t->has[c])
            t->ops = &cgroup_v1;
    }
    if (t->ops) {
        char path[600];
        snprintf(path, sizeof(path), "%s/memory.memsw.limit_in_bytes", t->paths[CGROUP_MEMORY]);
        t->swap = t->has[CGROUP_MEMORY] && access(path, F_OK) == 0;
    } else {
        char folder[500];
        if (own_folder(self, mounts, "", folder, sizeof(folder)))
            probe_v2(t, folder);
    }
    size_t at = 0;
    for (int c = 0; c < CGROUP_CONTROLLERS && at < sizeof(t->why); c++)
        if (!t->has[c])
            at += (size_t)snprintf(t->why + at, sizeof(t->why) - at, "%s%s", at ? " " : "",
                                   cgroup_controller_names[c]);
}

// ---- the tree ----

// Removes every folder below `path`, deepest first; processes left in one are killed.
static void remove_below(const char *path, int depth)
{
    DIR *d = depth < 4 ? opendir(path) : NULL;
    struct dirent *e;
    while (d && (e = readdir(d))) {
        char sub[1024];
        if (e->d_type != DT_DIR || e->d_name[0] == '.')
            continue;
        int n = snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name);
        if (n < 0 || (size_t)n >= sizeof(sub))
            continue;
        remove_below(sub, depth + 1);
        for (int tries = 0; rmdir(sub) < 0 && errno == EBUSY && tries < 50; tries++) {
            cgroup_kill_listed(sub);
            usleep(2000);
        }
    }
    if (d)
        closedir(d);
}

// In v2 a group with processes of its own cannot give controllers to groups below it: step aside.
static int enable_v2(struct cgroup_tree *t, const char *own)
{
    char want[64] = "";
    size_t at = 0;
    for (int c = 0; c < CGROUP_FREEZER; c++)
        if (t->has[c])
            at += (size_t)snprintf(want + at, sizeof(want) - at, "%s+%s", at ? " " : "",
                                   cgroup_controller_names[c]);
    if (!at)
        return 0;
    _cleanup_close_ int dir = open(own, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r = cgroup_write(dir, ".", "cgroup.subtree_control", want);
    if (r != -EBUSY)
        return r;
    if (mkdirat(dir, "lambkin-daemon", 0755) < 0 && errno != EEXIST)
        return -errno;
    char pids[8192];
    r = cgroup_read(dir, ".", "cgroup.procs", pids, sizeof(pids));
    if (r < 0)
        return r;
    struct str rest = str_from(pids), line;
    while (str_next(&rest, '\n', &line)) {
        char one[32];
        snprintf(one, sizeof(one), "%.*s", STR_ARG(line));
        if (one[0])
            cgroup_write(dir, "lambkin-daemon", "cgroup.procs", one);
    }
    return cgroup_write(dir, ".", "cgroup.subtree_control", want);
}

// Kills what is in the folders below `path`; v1: thawed where this is the freezer's hierarchy.
static void kill_below(const char *path, int depth)
{
    DIR *d = depth < 4 ? opendir(path) : NULL;
    struct dirent *e;
    while (d && (e = readdir(d))) {
        char sub[1024];
        if (e->d_type != DT_DIR || e->d_name[0] == '.')
            continue;
        int n = snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name);
        if (n < 0 || (size_t)n >= sizeof(sub))
            continue;
        kill_below(sub, depth + 1);
        cgroup_kill_listed(sub);
    }
    if (d)
        closedir(d);
}

// A keeper that lives holds a lock on its folder; what nobody holds was left by one that was
// killed, for a data directory that may never be used again. `only_kill`: in the freezer's
// hierarchy, before the folders of any are removed, because frozen processes do not die.
static void remove_orphans(const char *own, bool only_kill)
{
    DIR *d = opendir(own);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        char path[1024];
        if (e->d_type != DT_DIR || strncmp(e->d_name, "lambkin-", 8) != 0 ||
            strcmp(e->d_name, "lambkin-daemon") == 0)
            continue;
        int n = snprintf(path, sizeof(path), "%s/%s", own, e->d_name);
        if (n < 0 || (size_t)n >= sizeof(path))
            continue;
        _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) {
            if (only_kill) {
                kill_below(path, 0);
                continue;
            }
            remove_below(path, 0);
            rmdir(path);
        }
    }
    if (d)
        closedir(d);
}

// Makes and locks the folder; one that somebody swept away in between is made again.
static int make_locked(const char *path, struct err *err)
{
    for (int tries = 0; tries < 500; tries++) { // 10 s: another keeper may be sweeping it
        struct stat named, opened;
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
            return err_errno(err, errno, "mkdir %s", path);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
            usleep(20000); // a sweeper's, or our predecessor's that is about to end
            continue;
        }
        if (stat(path, &named) == 0 && fstat(fd, &opened) == 0 && named.st_ino == opened.st_ino)
            return TAKE_FD(fd);
    }
    return err_set(err, -EBUSY, "%s belongs to somebody else", path);
}

static int open_controller(struct cgroup_tree *t, int c, const char *tag, const char *enable,
                           struct err *err)
{
    char own[512];
    snprintf(own, sizeof(own), "%s", t->paths[c]);
    int n = snprintf(t->paths[c], sizeof(t->paths[c]), "%s/lambkin-%s", own, tag);
    if (n < 0 || (size_t)n >= sizeof(t->paths[c]))
        return err_set(err, -ENAMETOOLONG, "cgroup path is too long");
    remove_orphans(own, false);
    t->dirs[c] = make_locked(t->paths[c], err);
    if (t->dirs[c] < 0)
        return t->dirs[c];
    if (enable)
        cgroup_write(t->dirs[c], ".", "cgroup.subtree_control", enable);
    return 0;
}

static void lose(struct cgroup_tree *t, int c, const char *why)
{
    size_t at = strlen(t->why);
    t->has[c] = false;
    t->dirs[c] = -1;
    snprintf(t->why + at, sizeof(t->why) - at, "%s%s (%s)", at ? " " : "",
             cgroup_controller_names[c], why);
}

int cgroup_tree_open(struct cgroup_tree *t, const char *tag, bool io, struct err *err)
{
    (void)err;
    cgroup_probe(t);
    if (!t->ops)
        return 0;
    t->has[CGROUP_IO] = t->has[CGROUP_IO] && io;
    if (t->ops->version == 2) {
        char own[512], enable[64] = "";
        struct err e = ERR_INIT;
        snprintf(own, sizeof(own), "%s", t->paths[0]);
        int r = enable_v2(t, own);
        size_t at = 0;
        for (int c = 0; c < CGROUP_FREEZER; c++) {
            if (r < 0 && t->has[c])
                lose(t, c, "not delegated");
            else if (t->has[c])
                at += (size_t)snprintf(enable + at, sizeof(enable) - at, "%s+%s", at ? " " : "",
                                       cgroup_controller_names[c]);
        }
        t->swap = t->has[CGROUP_MEMORY];
        if (open_controller(t, CGROUP_FREEZER, tag, at ? enable : NULL, &e) < 0) {
            for (int c = 0; c < CGROUP_CONTROLLERS; c++)
                if (t->has[c])
                    lose(t, c, "not writable");
            t->ops = NULL;
            return 0;
        }
        for (int c = 0; c < CGROUP_FREEZER; c++)
            t->dirs[c] = t->has[c] ? t->dirs[CGROUP_FREEZER] : -1;
        return 0;
    }
    bool any = false;
    if (t->has[CGROUP_FREEZER])
        remove_orphans(t->paths[CGROUP_FREEZER], true);
    for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
        struct err e = ERR_INIT;
        if (t->has[c] && open_controller(t, c, tag, NULL, &e) < 0)
            lose(t, c, "not writable");
        any = any || t->has[c];
    }
    if (!any)
        t->ops = NULL;
    return 0;
}

// Different controllers may be mounted together (cpu,cpuacct), and v2 has one folder for all.
static bool shared_with_earlier(const struct cgroup_tree *t, int c)
{
    for (int i = 0; i < c; i++)
        if (t->has[i] && strcmp(t->paths[i], t->paths[c]) == 0)
            return true;
    return false;
}

// The descriptors of the folders to act on, without repetition.
static unsigned folders(const struct cgroup_tree *t, int out[CGROUP_CONTROLLERS])
{
    unsigned n = 0;
    if (t->ops && t->ops->version == 2) {
        if (t->dirs[CGROUP_FREEZER] >= 0)
            out[n++] = t->dirs[CGROUP_FREEZER];
        return n;
    }
    for (int c = 0; t->ops && c < CGROUP_CONTROLLERS; c++)
        if (t->has[c] && !shared_with_earlier(t, c))
            out[n++] = t->dirs[c];
    return n;
}

void cgroup_tree_close(struct cgroup_tree *t)
{
    for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
        if (t->dirs[c] < 0 || (t->ops && t->ops->version == 2 && c != CGROUP_FREEZER))
            continue;
        remove_below(t->paths[c], 0);
        close(t->dirs[c]);
        t->dirs[c] = -1;
        for (int tries = 0; rmdir(t->paths[c]) < 0 && errno == EBUSY && tries < 50; tries++)
            usleep(2000);
    }
    t->ops = NULL;
}

int cgroup_make(struct cgroup_tree *t, const char *group, struct err *err)
{
    int dirs[CGROUP_CONTROLLERS];
    unsigned n = folders(t, dirs);
    for (unsigned i = 0; i < n; i++)
        if (mkdirat(dirs[i], group, 0755) < 0 && errno != EEXIST)
            return err_errno(err, errno, "make cgroup %s", group);
    return 0;
}

int cgroup_remove(struct cgroup_tree *t, const char *group)
{
    int dirs[CGROUP_CONTROLLERS], r = 0;
    unsigned n = folders(t, dirs);
    for (unsigned i = 0; i < n; i++)
        if (unlinkat(dirs[i], group, AT_REMOVEDIR) < 0 && errno != ENOENT)
            r = -errno;
    return r;
}

unsigned cgroup_open_procs(struct cgroup_tree *t, const char *group, int fds[CGROUP_CONTROLLERS])
{
    int dirs[CGROUP_CONTROLLERS];
    unsigned n = folders(t, dirs), got = 0;
    for (unsigned i = 0; i < n; i++) {
        int fd = cgroup_open_file(dirs[i], group, "cgroup.procs", O_WRONLY);
        if (fd >= 0)
            fds[got++] = fd;
    }
    return got;
}

int cgroup_open_dir(struct cgroup_tree *t, const char *group)
{
    if (!t->ops || t->ops->version != 2)
        return -EOPNOTSUPP;
    int fd = openat(t->dirs[CGROUP_FREEZER], group, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

unsigned cgroup_open_watch(struct cgroup_tree *t, const char *group, int fds[2])
{
    static const char *const v1[] = {"memory.usage_in_bytes", "cgroup.event_control"};
    if (!t->ops || !t->has[CGROUP_MEMORY])
        return 0;
    int dir = t->dirs[CGROUP_MEMORY];
    if (t->ops->version == 2) {
        fds[0] = cgroup_open_file(dir, group, "memory.events", O_RDONLY);
        return fds[0] >= 0;
    }
    for (int i = 0; i < 2; i++) {
        fds[i] = cgroup_open_file(dir, group, v1[i], i ? O_WRONLY : O_RDONLY);
        if (fds[i] < 0) {
            if (i)
                close(fds[0]);
            return 0;
        }
    }
    return 2;
}

uint64_t cgroup_peak(struct cgroup_tree *t, const char *group)
{
    _cleanup_close_ int fd = t->ops ? t->ops->open_peak(t, group) : -1;
    char text[32];
    uint64_t v = 0;
    if (fd < 0)
        return 0;
    ssize_t n = pread(fd, text, sizeof(text), 0);
    if (n <= 0 || str_to_u64(str_trim((struct str){text, (size_t)n}), &v) < 0)
        return 0;
    return v;
}

void cgroup_tree_fake(struct cgroup_tree *t, int version, const char *folder)
{
    *t = (struct cgroup_tree){.ops = version == 2 ? &cgroup_v2 : &cgroup_v1, .swap = true};
    for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
        char sub[512];
        if (version == 2)
            snprintf(sub, sizeof(sub), "%s", folder);
        else
            snprintf(sub, sizeof(sub), "%s/%s", folder, cgroup_controller_names[c]);
        t->has[c] = true;
        mkdir(sub, 0755);
        snprintf(t->paths[c], sizeof(t->paths[c]), "%s", sub);
        t->dirs[c] = version == 2 && c > 0 ? t->dirs[0] : open(sub, O_PATH | O_CLOEXEC);
    }
}
