// inside.c - opening paths of a tree that a stranger made, as if the tree's top were "/".
//
// openat2() with RESOLVE_IN_ROOT does it in the kernel. Without it the path is resolved here, part
// by part; what has been resolved holds no symbolic link, so ".." cuts a part off.
#include "images/images_impl.h"

#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct walk {
    int root;
    char done[PATH_MAX], todo[2 * PATH_MAX];
    size_t done_len;
    unsigned links;
};

static int push(struct walk *w, struct str part)
{
    if (part.len > NAME_MAX)
        return -ENAMETOOLONG;
    if (w->done_len + part.len + 2 > sizeof(w->done))
        return -ENAMETOOLONG;
    if (w->done_len)
        w->done[w->done_len++] = '/';
    memcpy(w->done + w->done_len, part.ptr, part.len);
    w->done_len += part.len;
    w->done[w->done_len] = '\0';
    return 0;
}

static void pop(struct walk *w)
{
    while (w->done_len && w->done[w->done_len - 1] != '/')
        w->done_len--;
    if (w->done_len)
        w->done_len--;
    w->done[w->done_len] = '\0';
}

// What was just pushed may be a link: its target then comes before the rest of the way.
static int follow(struct walk *w, const char *rest)
{
    char target[PATH_MAX], way[2 * PATH_MAX];
    ssize_t n = readlinkat(w->root, w->done, target, sizeof(target) - 1);

    if (n < 0)
        return errno == EINVAL ? 0 : -errno; // no link; or nothing
    if (n == 0 || (size_t)n >= sizeof(target) - 1 || ++w->links > IMAGE_MAX_SYMLINKS)
        return -ELOOP;
    target[n] = '\0';
    if (snprintf(way, sizeof(way), "%s/%s", target, rest) >= (int)sizeof(way))
        return -ENAMETOOLONG;
    memcpy(w->todo, way, strlen(way) + 1);
    if (target[0] == '/') {
        w->done_len = 0;
        w->done[0] = '\0';
    } else {
        pop(w);
    }
    return 1;
}

static bool only_slashes(const char *s)
{
    return s[strspn(s, "/")] == '\0';
}

int image_open_inside_by_parts(int root, const char *path, int flags)
{
    struct walk w = {.root = root};
    const char *at = w.todo;

    if (strlen(path) >= PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(w.todo, path, strlen(path) + 1);
    for (;;) {
        at += strspn(at, "/");
        size_t len = strcspn(at, "/");
        if (len == 0)
            break;
        struct str part = {at, len};
        at += len;
        if (str_eq(part, STR(".")))
            continue;
        if (str_eq(part, STR(".."))) {
            pop(&w);
            continue;
        }
        int r = push(&w, part);
        if (r == 0 && !(only_slashes(at) && (flags & O_NOFOLLOW)))
            r = follow(&w, at);
        if (r == -ENOENT && only_slashes(at))
            break; // open() below says so
        if (r < 0)
            return r;
        if (r > 0)
            at = w.todo;
    }
    int fd = openat(root, w.done_len ? w.done : ".", flags | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int image_open_inside(int root, const char *path, int flags)
{
    const struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
                                 .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    long fd;

    do
        fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
    while (fd < 0 && (errno == EAGAIN || errno == EINTR));
    if (fd >= 0)
        return (int)fd;
    if (errno == ENOSYS || errno == EPERM)
        return image_open_inside_by_parts(root, path, flags);
    return -errno;
}
