// unpack.c - a zip archive from a stranger into a directory.
//
// Every name is checked as text first, then walked with openat() and O_NOFOLLOW component by
// component below dir_fd: a symbolic link that the archive itself planted is never followed.
// Sizes are counted as they are written, so that a header that lies costs at most the limit.
#include "services/lambda/unpack.h"

#include "base/cleanup.h"
#include "os/fd.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

const struct aws_error PACKAGE_INVALID = {"InvalidParameterValueException", NULL, 400, true};

struct unpack {
    int dir_fd;
    uint64_t left; // bytes that files may still have
    struct unpacked done;
};

static int not_a_zip(struct err *err)
{
    return err_aws(err, &PACKAGE_INVALID,
                   "Could not unzip uploaded file. Please check your file, then try to upload "
                   "again.");
}

static int bad_entry(struct err *err, struct str name, const char *why)
{
    return err_aws(err, &PACKAGE_INVALID,
                   "Could not unzip uploaded file. The entry '%.*s' %s. Please check your file, "
                   "then try to upload again.",
                   (int)(name.len > 200 ? 200 : name.len), name.ptr, why);
}

// Readable by the sandbox's user whatever our umask is. As mkdirat().
static int make_folder(int at, const char *name)
{
    if (mkdirat(at, name, 0755) < 0)
        return -1;
    return fchmodat(at, name, 0755, 0);
}

static void archive_freep(struct archive **a)
{
    if (*a)
        archive_read_free(*a);
}

bool unpack_link_stays(struct str path, struct str target)
{
    struct str part, rest = path;
    long depth = -1; // the link's own name does not count

    if (target.len == 0 || target.ptr[0] == '/')
        return false;
    while (str_next(&rest, '/', &part))
        if (part.len > 0 && !str_eq(part, STR(".")))
            depth++;
    rest = target;
    while (str_next(&rest, '/', &part)) {
        if (part.len == 0 || str_eq(part, STR(".")))
            continue;
        if (str_eq(part, STR("..")))
            depth--;
        else
            depth++;
        if (depth < 0)
            return false;
    }
    return true;
}

// Opens the folder that `name` lies in, making what is missing, and leaves the last component in
// *leaf (empty for the tree itself). The answer is a descriptor of its own.
static int open_parent(struct unpack *u, struct str name, char leaf[static 256], int *out,
                       struct err *err)
{
    struct str rest = name, part;
    _cleanup_close_ int at = fcntl(u->dir_fd, F_DUPFD_CLOEXEC, 0);
    unsigned depth = 0;

    leaf[0] = 0;
    if (at < 0)
        return err_errno(err, errno, "dup");
    while (str_next(&rest, '/', &part)) {
        if (part.len == 0 || str_eq(part, STR(".")))
            continue;
        if (str_eq(part, STR("..")))
            return bad_entry(err, name, "leaves the package");
        if (part.len > 255 || ++depth > PACKAGE_MAX_DEPTH)
            return bad_entry(err, name, "has too long a name");
        if (leaf[0]) {
            if (make_folder(at, leaf) < 0 && errno != EEXIST)
                return err_errno(err, errno, "mkdir in package");
            int next = openat(at, leaf, O_DIRECTORY | O_NOFOLLOW | O_RDONLY | O_CLOEXEC);
            if (next < 0)
                return bad_entry(err, name, "lies in something that is no folder");
            close(at);
            at = next;
        }
        memcpy(leaf, part.ptr, part.len);
        leaf[part.len] = 0;
    }
    *out = at;
    at = -1;
    return 0;
}

static int write_data(struct unpack *u, struct archive *a, int fd, struct str name, struct err *err)
{
    for (;;) {
        const void *block;
        size_t n;
        la_int64_t offset;
        int r = archive_read_data_block(a, &block, &n, &offset);

        if (r == ARCHIVE_EOF)
            return 0;
        if (r != ARCHIVE_OK)
            return bad_entry(err, name, "is damaged or encrypted");
        if (n > u->left)
            return err_aws(err, &PACKAGE_INVALID, "Unzipped size must be smaller than %llu bytes",
                           (unsigned long long)PACKAGE_MAX_UNPACKED_BYTES);
        u->left -= n;
        u->done.bytes += n;
        while (n > 0) {
            ssize_t w = pwrite(fd, block, n, offset);
            if (w < 0 && errno == EINTR)
                continue;
            if (w < 0)
                return err_errno(err, errno, "write package file");
            block = (const char *)block + w;
            offset += w;
            n -= (size_t)w;
        }
    }
}

static int unpack_file(struct unpack *u, struct archive *a, struct archive_entry *e, int parent,
                       const char *leaf, struct str name, struct err *err)
{
    mode_t mode = archive_entry_perm(e) & 0111 ? 0755 : 0644;

    // A second entry of the same name replaces the first, as unzip does.
    if (unlinkat(parent, leaf, 0) < 0 && errno != ENOENT)
        return bad_entry(err, name, "is a file and a folder at once");
    _cleanup_close_ int fd =
        openat(parent, leaf, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return err_errno(err, errno, "create package file");
    if (fchmod(fd, mode) < 0)
        return err_errno(err, errno, "chmod package file");
    int r = write_data(u, a, fd, name, err);
    if (r < 0)
        return r;
    // Compilers and caches compare the time of a source with what they wrote down.
    if (archive_entry_mtime_is_set(e)) {
        struct timespec times[2] = {{archive_entry_mtime(e), 0}, {archive_entry_mtime(e), 0}};
        if (futimens(fd, times) < 0)
            return err_errno(err, errno, "set time of package file");
    }
    return 0;
}

static int unpack_link(struct archive_entry *e, int parent, const char *leaf, struct str name,
                       struct err *err)
{
    const char *target = archive_entry_symlink_utf8(e);

    if (!target)
        target = archive_entry_symlink(e);
    if (!target || !unpack_link_stays(name, str_from(target)))
        return bad_entry(err, name, "is a link out of the package");
    if (unlinkat(parent, leaf, 0) < 0 && errno != ENOENT)
        return bad_entry(err, name, "is a link and a folder at once");
    if (symlinkat(target, parent, leaf) < 0)
        return err_errno(err, errno, "symlink in package");
    return 0;
}

static int unpack_entry(struct unpack *u, struct archive *a, struct archive_entry *e,
                        struct err *err)
{
    const char *path = archive_entry_pathname_utf8(e);
    char leaf[256];
    int parent_fd = -1, r;

    if (!path)
        path = archive_entry_pathname(e);
    struct str name = str_from(path);
    if (name.len == 0 || name.len > PACKAGE_MAX_NAME_BYTES)
        return not_a_zip(err);
    if (name.ptr[0] == '/')
        return bad_entry(err, name, "has an absolute name");
    if (archive_entry_is_encrypted(e))
        return bad_entry(err, name, "is encrypted");
    if (archive_entry_hardlink(e))
        return bad_entry(err, name, "is a hard link");

    r = open_parent(u, name, leaf, &parent_fd, err);
    if (r < 0)
        return r;
    _cleanup_close_ int parent = parent_fd;
    bool slash = name.ptr[name.len - 1] == '/';
    mode_t type = slash ? AE_IFDIR : archive_entry_filetype(e);
    if (!leaf[0])
        return type == AE_IFDIR ? 0 : not_a_zip(err);
    switch (type) {
    case AE_IFDIR:
        if (make_folder(parent, leaf) < 0) {
            struct stat st;
            if (errno != EEXIST)
                return err_errno(err, errno, "mkdir in package");
            if (fstatat(parent, leaf, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
                return bad_entry(err, name, "is a file and a folder at once");
        }
        return 0;
    case AE_IFLNK:
        return unpack_link(e, parent, leaf, name, err);
    case 0: // archives made without Unix attributes
    case AE_IFREG:
        return unpack_file(u, a, e, parent, leaf, name, err);
    default:
        return bad_entry(err, name, "is neither a file nor a folder");
    }
}

static int unpack_all(struct unpack *u, struct str zip, struct err *err)
{
    _cleanup_(archive_freep) struct archive *a = archive_read_new();
    struct archive_entry *e;
    int r;

    if (!a)
        return err_set(err, -ENOMEM, "out of memory");
    archive_read_support_format_zip_seekable(a);
    if (archive_read_open_memory(a, zip.ptr, zip.len) != ARCHIVE_OK)
        return not_a_zip(err);
    while ((r = archive_read_next_header(a, &e)) != ARCHIVE_EOF) {
        if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
            return not_a_zip(err);
        if (++u->done.entries > PACKAGE_MAX_ENTRIES)
            return err_aws(err, &PACKAGE_INVALID, "The package has more than %d entries.",
                           PACKAGE_MAX_ENTRIES);
        r = unpack_entry(u, a, e, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static locale_t utf8_locale;

static void make_locale(void)
{
    utf8_locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

int unpack_zip(int dir_fd, struct str zip, uint64_t max_bytes, struct unpacked *out,
               struct err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct unpack u = {.dir_fd = dir_fd, .left = max_bytes};
    locale_t before = (locale_t)0;
    int r;

    if (zip.len == 0)
        return err_aws(err, &PACKAGE_INVALID, "Uploaded file must be a non-empty zip");
    if (!str_starts(zip, STR("PK")))
        return not_a_zip(err);
    if (str_starts(zip, STR("PK\005\006"))) // nothing but the end of a directory
        return err_aws(err, &PACKAGE_INVALID, "Uploaded file must be a non-empty zip");
    // libarchive converts names by the thread's locale; in "C" all but ASCII would be lost.
    pthread_once(&once, make_locale);
    if (utf8_locale)
        before = uselocale(utf8_locale);
    r = unpack_all(&u, zip, err);
    if (before)
        uselocale(before);
    if (r < 0)
        return r;
    if (u.done.entries == 0)
        return err_aws(err, &PACKAGE_INVALID, "Uploaded file must be a non-empty zip");
    *out = u.done;
    return 0;
}
