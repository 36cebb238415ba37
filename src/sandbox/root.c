// root.c - the template root file system, and mounting code into a sandbox. See root.h.
//
// Everything bound from the host is read-only, nosuid and nodev, recursively. mount_setattr only
// ever adds restrictions, so whatever the host has set on a mount stays.
#include "sandbox/root.h"

#include "sandbox/beneath.h"
#include "sandbox/kernel.h"
#include "sandbox/outbound.h"

#include "base/arena.h"
#include "base/cleanup.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/log.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

// ---- building the template ----

struct template
{
    struct root *root;
    struct err *err;
    char path[PATH_MAX + 640];
};

static const char *inside(struct template *t, const char *path)
{
    snprintf(t->path, sizeof(t->path), "%s/root%s", t->root->base, path);
    return t->path;
}

static int make_dir(struct template *t, const char *path)
{
    return mkdir_p(inside(t, path), 0755, t->err);
}

static int make_file(struct template *t, const char *path, const char *text)
{
    _cleanup_close_ int fd = open(inside(t, path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_errno(t->err, errno, "create %s", t->path);
    int r = fd_write_full(fd, text, strlen(text));
    return r < 0 ? err_errno(t->err, -r, "write %s", t->path) : 0;
}

static int make_link(struct template *t, const char *to, const char *path)
{
    if (symlink(to, inside(t, path)) < 0 && errno != EEXIST)
        return err_errno(t->err, errno, "symlink %s", t->path);
    return 0;
}

enum bind { BIND_TREE, BIND_DEVICE, BIND_NO_LINK };

// The host's `from` at the same or another place inside, read-only; a device keeps working; the
// name may be a symbolic link or not.
static int bind_from(struct template *t, const char *from, const char *to, enum bind how)
{
    bool device = how == BIND_DEVICE;
    _cleanup_close_ int tree = kernel_open_tree(
        AT_FDCWD, from,
        KERNEL_OPEN_TREE_CLONE | KERNEL_OPEN_TREE_CLOEXEC | (device ? 0 : AT_RECURSIVE) |
            (how == BIND_NO_LINK ? AT_SYMLINK_NOFOLLOW : 0));
    if (tree < 0)
        return err_errno(t->err, errno, "open_tree %s", from);
    struct kernel_mount_attr a = {
        .attr_set = KERNEL_MOUNT_NOSUID | (device ? 0 : KERNEL_MOUNT_RDONLY | KERNEL_MOUNT_NODEV)};
    if (kernel_mount_setattr(tree, "", AT_EMPTY_PATH | (device ? 0 : AT_RECURSIVE), &a) < 0)
        return err_errno(t->err, errno, "make %s read-only", from);
    if (kernel_move_mount(tree, "", AT_FDCWD, inside(t, to), KERNEL_MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return err_errno(t->err, errno, "mount %s", t->path);
    return 0;
}

static int bind_dir(struct template *t, const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
        return 0; // not on this host
    int r = make_dir(t, path);
    return r < 0 ? r : bind_from(t, path, path, BIND_TREE);
}

static int copy_file(struct template *t, const char *path)
{
    struct arena a;
    struct str text;
    arena_init(&a, (size_t)4 << 20);
    int r = read_file(&a, path, (size_t)2 << 20, &text, NULL);
    if (r == 0) {
        _cleanup_close_ int fd =
            open(inside(t, path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        r = fd < 0 ? -errno : fd_write_full(fd, text.ptr, text.len);
    } else {
        r = 0; // not on this host
    }
    arena_finish(&a);
    return r < 0 ? err_errno(t->err, -r, "copy %s", path) : 0;
}

static int build_system(struct template *t)
{
    static const char *const tops[] = {"/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32"};
    int r = bind_dir(t, "/usr");
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(tops); i++) {
        char to[PATH_MAX];
        ssize_t n = readlink(tops[i], to, sizeof(to) - 1);
        if (n > 0) {
            to[n] = '\0';
            r = make_link(t, to, tops[i]);
        } else {
            r = bind_dir(t, tops[i]);
        }
    }
    return r;
}

static int build_etc(struct template *t)
{
    static const char *const copies[] = {"/etc/ld.so.cache", "/etc/ssl/openssl.cnf",
                                         "/etc/mime.types",  "/etc/protocols",
                                         "/etc/services",    "/etc/ca-certificates.conf"};
    static const char *const dirs[] = {
        "/etc/ssl/certs",    "/etc/pki/tls/certs", "/etc/pki/ca-trust/extracted",
        "/etc/alternatives", "/etc/fonts",         "/etc/crypto-policies"};
    static const struct {
        const char *path, *text;
    } files[] = {
        {"/etc/passwd", ""}, // each sandbox has its own over it
        {"/etc/group", "root:x:0:\nnogroup:x:65534:\nsbx:x:" /* ROOT_USER_INSIDE */ "993:\n"},
        // sandbox.localdomain: where extensions say that telemetry goes
        {"/etc/hosts", "127.0.0.1 localhost\n127.0.0.1 sandbox.localdomain sandbox\n"},
        {"/etc/host.conf", "multi on\n"},
        {"/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"
                               "networks: files\nprotocols: files\nservices: files\n"},
        {"/etc/resolv.conf", "nameserver " OUTBOUND_DNS "\noptions timeout:2 attempts:2\n"},
    };
    int r = make_dir(t, "/etc/ssl");
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(files); i++)
        r = make_file(t, files[i].path, files[i].text);
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(copies); i++)
        r = copy_file(t, copies[i]);
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(dirs); i++)
        r = bind_dir(t, dirs[i]);
    if (r >= 0)
        r = make_link(t, "../usr/lib/os-release", "/etc/os-release");
    if (r >= 0)
        r = make_link(t, "/proc/self/mounts", "/etc/mtab");
    glob_t g = {0};
    if (r >= 0 && glob("/etc/java-*-openjdk", 0, NULL, &g) == 0)
        for (size_t i = 0; r >= 0 && i < g.gl_pathc; i++)
            r = bind_dir(t, g.gl_pathv[i]);
    globfree(&g);
    return r;
}

static int build_dev(struct template *t)
{
    static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random",
                                          "/dev/urandom"};
    int r = make_dir(t, "/dev/shm");
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(devices); i++) {
        r = make_file(t, devices[i], "");
        if (r >= 0)
            r = bind_from(t, devices[i], devices[i], BIND_DEVICE);
    }
    static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"},
                                           {"/proc/self/fd/0", "/dev/stdin"},
                                           {"/proc/self/fd/1", "/dev/stdout"},
                                           {"/proc/self/fd/2", "/dev/stderr"}};
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(links); i++)
        r = make_link(t, links[i][0], links[i][1]);
    return r;
}

static int build_runtime(struct template *t)
{
    // ES modules are looked up from the importing file's folder upwards: a function's own
    // /var/task/node_modules, then /var/node_modules (layers), then /node_modules (the SDK).
    static const char *const dirs[] = {"/var/task", "/opt", "/var/runtime", "/tmp",
                                       "/proc",     "/sys", "/run"};
    int r = 0;
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(dirs); i++)
        r = make_dir(t, dirs[i]);
    if (r >= 0)
        r = make_link(t, "/var/runtime/node_modules", "/node_modules");
    if (r >= 0)
        r = make_link(t, "/opt/nodejs/node_modules", "/var/node_modules");
    if (r >= 0)
        r = make_link(t, "/tmp", "/var/tmp");
    if (r >= 0)
        r = mkdir_p(t->root->config->runtime_dir, 0755, t->err);
    return r < 0 ? r : bind_from(t, t->root->config->runtime_dir, "/var/runtime", BIND_NO_LINK);
}

static bool below(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

// The tree that holds <prefix>/bin/<interpreter>, unless /usr has it already.
static int bind_prefix(struct template *t, const char *interpreter)
{
    static const char *const hidden[] = {"/tmp", "/proc", "/dev", "/var/task", "/opt"};
    char prefix[PATH_MAX];
    snprintf(prefix, sizeof(prefix), "%s", interpreter);
    for (int i = 0; i < 2; i++) {
        char *slash = strrchr(prefix, '/');
        if (slash)
            *slash = '\0';
    }
    static const char *const there[] = {"/usr", "/bin", "/sbin", "/lib", "/lib64"};
    for (size_t i = 0; i < ARRAY_LEN(there); i++)
        if (below(interpreter, there[i]))
            return 0;
    for (size_t i = 0; i < ARRAY_LEN(hidden); i++)
        if (below(prefix, hidden[i])) {
            log_warn("interpreter %s cannot be seen inside a sandbox: %s is the sandbox's own",
                     interpreter, hidden[i]);
            return 0;
        }
    if (prefix[0] == '\0' || strchr(prefix + 1, '/') == NULL) {
        log_warn("interpreter %s stands too near the root to be shown inside", interpreter);
        return 0;
    }
    struct stat st;
    if (stat(inside(t, prefix), &st) == 0) { // another interpreter of the same tree, or below one
        char bin[PATH_MAX + 8];
        snprintf(bin, sizeof(bin), "%s/bin", prefix);
        if (stat(inside(t, bin), &st) == 0)
            return 0;
    }
    return bind_dir(t, prefix);
}

static int build_interpreters(struct template *t)
{
    const struct keeper_config *c = t->root->config;
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < c->n_interpreters; i++) {
        char real[PATH_MAX];
        if (access(c->interpreters[i], X_OK) < 0)
            continue;
        r = bind_prefix(t, c->interpreters[i]); // a virtual environment's
        if (r >= 0 && realpath(c->interpreters[i], real) && strcmp(real, c->interpreters[i]) != 0)
            r = bind_prefix(t, real); // and what it points to
    }
    return r;
}

static int mount_tmpfs(struct template *t, const char *path, const char *options)
{
    if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
        return err_errno(t->err, errno, "mount tmpfs at %s", path);
    return 0;
}

// Where the template is mounted: a folder of the system that nothing here needs, hidden in our own
// namespace only. Not in the data directory: that is the server's, who could put something else
// under the name.
static int choose_base(struct root *root, struct err *err)
{
    static const char *const places[] = {"/mnt", "/media", "/srv", "/boot", "/home", "/opt"};
    const struct keeper_config *c = root->config;
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        struct stat st;
        bool free_of = !below(c->data_dir, places[i]) && !below(c->runtime_dir, places[i]);
        for (unsigned k = 0; k < c->n_interpreters; k++) {
            char real[PATH_MAX];
            free_of = free_of && !below(c->interpreters[k], places[i]) &&
                      !(realpath(c->interpreters[k], real) && below(real, places[i]));
        }
        for (unsigned k = 0; k < c->n_hot_dirs; k++)
            free_of = free_of && !below(c->hot_dirs[k], places[i]);
        if (free_of && lstat(places[i], &st) == 0 && S_ISDIR(st.st_mode)) {
            snprintf(root->base, sizeof(root->base), "%s", places[i]);
            return 0;
        }
    }
    return err_set(err, -ENOENT,
                   "none of /mnt, /media, /srv, /boot, /home and /opt is free to "
                   "mount the sandboxes' root over (in the keeper's own view)");
}

int root_prepare(struct root *root, const struct keeper_config *config, bool nested,
                 struct err *err)
{
    char path[600];
    *root = (struct root){
        .config = config, .nested = nested, .own_mounts = -1, .code_dir = -1, .images_dir = -1};
    struct template t = {.root = root, .err = err};
    if (unshare(CLONE_NEWNS) < 0)
        return err_errno(err, errno, "a mount namespace of our own");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return err_errno(err, errno, "make mounts private");
    int r = choose_base(root, err);
    if (r >= 0)
        r = mount_tmpfs(&t, root->base, "size=16m,nr_inodes=16k,mode=0755");
    snprintf(path, sizeof(path), "%s/id", root->base);
    if (r >= 0 && mkdir(path, 0755) < 0)
        r = err_errno(err, errno, "mkdir %s", path);
    snprintf(path, sizeof(path), "%s/root", root->base);
    if (r >= 0 && mkdir(path, 0755) < 0)
        r = err_errno(err, errno, "mkdir %s", path);
    if (r >= 0)
        r = mount_tmpfs(&t, path, "size=8m,nr_inodes=4k,mode=0755");
    static int (*const parts[])(struct template *) = {build_system, build_etc, build_dev,
                                                      build_runtime, build_interpreters};
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(parts); i++)
        r = parts[i](&t);
    if (r < 0)
        return r;
    snprintf(path, sizeof(path), "%s/root", root->base);
    if (mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
        return err_errno(err, errno, "make the root read-only");
    root->own_mounts = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    if (root->own_mounts < 0)
        return err_errno(err, errno, "/proc/self/ns/mnt");
    return 0;
}

void root_finish(struct root *root)
{
    if (root->base[0]) { // our namespace dies with us; this is for keepers that live in one process
        umount2(root->base, MNT_DETACH);
        root->base[0] = '\0';
    }
    closep(&root->own_mounts);
    closep(&root->code_dir);
    closep(&root->images_dir);
}

int root_user(struct root *root, unsigned slot, unsigned uid, struct err *err)
{
    char path[600], text[160];
    snprintf(path, sizeof(path), "%s/id/%u", root->base, root->nested ? 0 : slot);
    if (access(path, F_OK) == 0)
        return 0;
    int n = snprintf(text, sizeof(text),
                     "root:x:0:0::/:/sbin/nologin\nsbx_user1051:x:%u:%u::/tmp:/sbin/nologin\n", uid,
                     uid);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_errno(err, errno, "create %s", path);
    int r = fd_write_full(fd, text, (size_t)n);
    return r < 0 ? err_errno(err, -r, "write %s", path) : 0;
}

// ---- in the new sandbox ----

// Files of /proc that tell about the host or turn its knobs. Folders get the empty /sys.
static const char *const masked_files[] = {
    "proc/cmdline",     "proc/kcore",     "proc/kallsyms",      "proc/keys",
    "proc/key-users",   "proc/kmsg",      "proc/modules",       "proc/sysrq-trigger",
    "proc/timer_list",  "proc/diskstats", "proc/partitions",    "proc/interrupts",
    "proc/sched_debug", "proc/iomem",     "proc/ioports",       "proc/slabinfo",
    "proc/vmallocinfo", "proc/swaps",     "proc/latency_stats", "proc/config.gz",
};
static const char *const masked_dirs[] = {"proc/sys", "proc/acpi", "proc/scsi",   "proc/bus",
                                          "proc/fs",  "proc/irq",  "proc/driver", "proc/tty"};

static int enter_private_mounts(void)
{
    const unsigned long flags = MS_NOSUID | MS_NODEV;
    // hidepid as a word is from Linux 5.8 on; as a number it is older.
    if (mount("proc", "proc", "proc", flags | MS_NOEXEC, "hidepid=2") < 0)
        return -errno;
    for (size_t i = 0; i < ARRAY_LEN(masked_files); i++)
        if (mount("dev/null", masked_files[i], NULL, MS_BIND, NULL) < 0 && errno != ENOENT)
            return -errno;
    for (size_t i = 0; i < ARRAY_LEN(masked_dirs); i++)
        if (mount("sys", masked_dirs[i], NULL, MS_BIND, NULL) < 0 && errno != ENOENT)
            return -errno;
    if (mount("tmpfs", "tmp", "tmpfs", flags, "size=512m,nr_inodes=64k,mode=1777") < 0 ||
        mount("tmpfs", "dev/shm", "tmpfs", flags | MS_NOEXEC, "size=64m,nr_inodes=1k,mode=1777") <
            0)
        return -errno;
    return 0;
}

// A place of the image, never through a link of it.
static int open_place(const char *folder, const char *name, bool file)
{
    char path[32];
    struct stat st;
    snprintf(path, sizeof(path), "run/%s", folder);
    int fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || !name)
        return fd;
    int leaf = openat(fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    close(fd);
    if (leaf >= 0 && file && (fstat(leaf, &st) < 0 || !S_ISREG(st.st_mode))) {
        close(leaf);
        errno = ENOTSUP;
        return -1;
    }
    return leaf;
}

// The image lies at /run of the template's copy, and gets what is private to the sandbox from it.
// Then it takes the template's place.
static int enter_image(int image)
{
    static const struct {
        const char *from, *folder, *name;
    } places[] = {
        {"proc", "proc", NULL},        {"sys", "sys", NULL},
        {"dev", "dev", NULL},          {"tmp", "tmp", NULL},
        {"etc/hosts", "etc", "hosts"}, {"etc/resolv.conf", "etc", "resolv.conf"},
    };
    if (kernel_move_mount(image, "", AT_FDCWD, "run", KERNEL_MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return -errno;
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        int tree =
            kernel_open_tree(AT_FDCWD, places[i].from,
                             KERNEL_OPEN_TREE_CLONE | KERNEL_OPEN_TREE_CLOEXEC | AT_RECURSIVE);
        int to = open_place(places[i].folder, places[i].name, places[i].name != NULL);
        if (tree < 0 || to < 0 ||
            kernel_move_mount(tree, "", to, "",
                              KERNEL_MOVE_MOUNT_F_EMPTY_PATH | KERNEL_MOVE_MOUNT_T_EMPTY_PATH) < 0)
            return -errno;
        close(tree);
        close(to);
    }
    return chdir("run") < 0 ? -errno : 0;
}

int root_enter(const struct root *root, unsigned slot, int image, const char **step)
{
    char path[600], id[600];
    *step = "enter the root folder";
    snprintf(path, sizeof(path), "%s/root", root->base);
    // Mounts that came from a more privileged namespace are locked: pivot to a copy of ours.
    if (root->nested && mount(path, path, NULL, MS_BIND | MS_REC, NULL) < 0)
        return -errno;
    if (chdir(path) < 0)
        return -errno;
    *step = "mount the user's name";
    snprintf(id, sizeof(id), "%s/id/%u", root->base, root->nested ? 0 : slot);
    if (mount(id, "etc/passwd", NULL, MS_BIND, NULL) < 0 ||
        mount(NULL, "etc/passwd", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV,
              NULL) < 0)
        return -errno;
    *step = "mount /proc, /tmp and /dev/shm";
    int r = enter_private_mounts();
    if (r < 0)
        return r;
    *step = "enter the image";
    if (image >= 0 && (r = enter_image(image)) < 0)
        return r;
    *step = "pivot_root";
    if (kernel_pivot_root(".", ".") < 0)
        return -errno;
    // The old root now lies over the new one at "/": drop it, and with it every other mount.
    *step = "drop the old root";
    if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return -errno;
    return 0;
}

// ---- code and layers ----

int root_open_code(struct root *root, const char *name, bool hot, struct err *err)
{
    if (!hot)
        return open_beneath(root->code_dir, name, err);
    // The data directory holds secrets, and lies in none of them: looked at again, because the
    // operator's list may be wrong.
    bool data = below(name, root->config->data_dir) || below(root->config->data_dir, name);
    for (unsigned i = 0; !data && i < root->config->n_hot_dirs; i++) {
        const char *folder = root->config->hot_dirs[i];
        if (!below(name, folder))
            continue;
        _cleanup_close_ int fd = open(folder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return err_errno(err, errno, "open %.100s", folder);
        const char *rest = name + strlen(folder);
        return *rest == '\0' ? TAKE_FD(fd) : open_beneath(fd, rest + 1, err);
    }
    return err_set(err, -EACCES, "'%.100s' is not among the folders for hot code", name);
}

static int restrict_tree(int tree, struct err *err)
{
    struct kernel_mount_attr a = {.attr_set = KERNEL_MOUNT_RDONLY | KERNEL_MOUNT_NOSUID |
                                              KERNEL_MOUNT_NODEV};
    if (kernel_mount_setattr(tree, "", AT_EMPTY_PATH, &a) < 0)
        return err_errno(err, errno, "make code read-only");
    return 0;
}

// A detached, read-only mount of one folder.
static int detached(struct root *root, const char *name, bool hot, struct err *err)
{
    _cleanup_close_ int dir = root_open_code(root, name, hot, err);
    if (dir < 0)
        return dir;
    _cleanup_close_ int tree = kernel_open_tree(
        dir, "", AT_EMPTY_PATH | KERNEL_OPEN_TREE_CLONE | KERNEL_OPEN_TREE_CLOEXEC);
    if (tree < 0)
        return err_errno(err, errno, "open_tree %.100s", name);
    int r = restrict_tree(tree, err);
    return r < 0 ? r : TAKE_FD(tree);
}

int root_image(struct root *root, const char *name, struct err *err)
{
    _cleanup_close_ int dir = open_beneath(root->images_dir, name, err);
    if (dir < 0)
        return dir;
    _cleanup_close_ int tree = kernel_open_tree(
        dir, "", AT_EMPTY_PATH | KERNEL_OPEN_TREE_CLONE | KERNEL_OPEN_TREE_CLOEXEC);
    if (tree < 0)
        return err_errno(err, errno, "open_tree %.100s", name);
    int r = restrict_tree(tree, err);
    return r < 0 ? r : TAKE_FD(tree);
}

int root_bind(struct root *root, int mounts, const struct sandbox_binding *b, struct err *err)
{
    _cleanup_close_ int code = -1;
    _cleanup_close_ int layers = -1;
    if (b->code_dir && b->code_dir[0] && (code = detached(root, b->code_dir, b->hot, err)) < 0)
        return code;
    if (b->layer_dir && b->layer_dir[0] && (layers = detached(root, b->layer_dir, false, err)) < 0)
        return layers;
    bool resize = b->tmp_mb && b->tmp_mb != SANDBOX_MIN_TMP_MB;
    if (code < 0 && layers < 0 && !resize)
        return 0;
    if (setns(mounts, CLONE_NEWNS) < 0)
        return err_errno(err, errno, "enter the sandbox's mount namespace");
    int r = 0;
    if (code >= 0 &&
        kernel_move_mount(code, "", AT_FDCWD, "/var/task", KERNEL_MOVE_MOUNT_F_EMPTY_PATH) < 0)
        r = err_errno(err, errno, "mount the code");
    if (r == 0 && layers >= 0 &&
        kernel_move_mount(layers, "", AT_FDCWD, "/opt", KERNEL_MOVE_MOUNT_F_EMPTY_PATH) < 0)
        r = err_errno(err, errno, "mount the layers");
    if (r == 0 && resize) {
        char options[80];
        snprintf(options, sizeof(options), "size=%um,nr_inodes=%u,mode=1777", b->tmp_mb,
                 b->tmp_mb * 128);
        if (mount(NULL, "/tmp", NULL, MS_REMOUNT | MS_NOSUID | MS_NODEV, options) < 0)
            r = err_errno(err, errno, "resize /tmp");
    }
    if (setns(root->own_mounts, CLONE_NEWNS) < 0)
        abort(); // never go on with a stranger's view of the file system
    return r;
}
