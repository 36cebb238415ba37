// package.c - zips a folder, and finds runtime and handler in it.
//
// Detection looks at the files at the top only, as Lambda's handlers usually are: `bootstrap` makes
// a custom runtime, an .mjs/.js/.cjs file with an exported handler Node.js, a .py file that
// defines one Python. Well-known names are preferred over others.
#include "cli/package.h"

#include "base/cleanup.h"
#include "os/fd.h"
#include "os/file.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_SOURCE_BYTES ((size_t)1 << 20)
#define FIXED_TIME 1577836800 // 2020-01-01, within what zip can say

static const char *const left_out[] = {".git", ".venv", "__pycache__", ".DS_Store", ".gitignore"};

bool package_leaves_out(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(left_out); i++)
        if (strcmp(name, left_out[i]) == 0)
            return true;
    return str_ends(str_from(name), STR(".pyc"));
}

// ---- zipping
// -------------------------------------------------------------------------------------

static la_ssize_t add_to_buf(struct archive *a, void *ctx, const void *bytes, size_t n)
{
    struct buf *out = ctx;

    buf_add(out, (struct str){bytes, n});
    if (out->failed) {
        archive_set_error(a, ENOSPC, "the package is too large");
        return -1;
    }
    return (la_ssize_t)n;
}

static int compare_names(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int add_content(struct archive *a, const char *path, struct err *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    char block[65536];
    ssize_t n;

    if (fd < 0)
        return err_errno(err, errno, "open %s", path);
    while ((n = read(fd, block, sizeof(block))) > 0)
        if (archive_write_data(a, block, (size_t)n) < 0)
            return err_set(err, -EIO, "zip %s: %s", path, archive_error_string(a));
    return n < 0 ? err_errno(err, errno, "read %s", path) : 0;
}

static int add_file(struct archive *a, const char *path, const char *name, const struct stat *st,
                    struct err *err)
{
    struct archive_entry *e = archive_entry_new();
    int r = 0;

    if (!e)
        return err_set(err, -ENOMEM, "out of memory");
    archive_entry_set_pathname(e, name);
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_perm(e, st->st_mode & 0111 ? 0755 : 0644);
    archive_entry_set_size(e, st->st_size);
    archive_entry_set_mtime(e, FIXED_TIME, 0);
    if (archive_write_header(a, e) != ARCHIVE_OK)
        r = err_set(err, -EIO, "zip %s: %s", name, archive_error_string(a));
    archive_entry_free(e);
    return r < 0 ? r : add_content(a, path, err);
}

static int add_tree(struct archive *a, const char *dir, struct package_counts *counts,
                    struct err *err)
{
    char *const roots[] = {(char *)dir, NULL};
    size_t skip = strlen(dir);
    FTS *tree = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, compare_names);
    FTSENT *e;
    int r = 0;

    if (!tree)
        return err_errno(err, errno, "read %s", dir);
    while (r == 0 && (e = fts_read(tree))) {
        if (e->fts_level > 0 && package_leaves_out(e->fts_name)) {
            fts_set(tree, e, FTS_SKIP);
            continue;
        }
        if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR || e->fts_info == FTS_NS)
            r = err_errno(err, e->fts_errno, "read %s", e->fts_path);
        if (e->fts_info != FTS_F)
            continue;
        const char *name = e->fts_path + skip;
        while (*name == '/')
            name++;
        counts->files++;
        counts->bytes += (size_t)e->fts_statp->st_size;
        if (counts->files > PACKAGE_MAX_FILES || counts->bytes > PACKAGE_MAX_BYTES)
            r = err_set(err, -EFBIG, "%s holds more than a function may: %d files, %zu MB", dir,
                        PACKAGE_MAX_FILES, PACKAGE_MAX_BYTES >> 20);
        else
            r = add_file(a, e->fts_accpath, name, e->fts_statp, err);
    }
    fts_close(tree);
    if (r == 0 && counts->files == 0)
        return err_set(err, -ENOENT, "%s holds no files", dir);
    return r;
}

int package_zip(const char *dir, struct buf *out, struct package_counts *counts, struct err *err)
{
    struct archive *a = archive_write_new();
    int r;

    *counts = (struct package_counts){0};
    if (!a)
        return err_set(err, -ENOMEM, "out of memory");
    archive_write_set_format_zip(a);
    archive_write_set_bytes_per_block(a, 0);
    if (archive_write_open(a, out, NULL, add_to_buf, NULL) != ARCHIVE_OK)
        r = err_set(err, -EIO, "zip: %s", archive_error_string(a));
    else
        r = add_tree(a, dir, counts, err);
    if (archive_write_close(a) != ARCHIVE_OK && r == 0)
        r = err_set(err, -EIO, "zip: %s", archive_error_string(a));
    archive_write_free(a);
    return r;
}

// ---- what it is
// ----------------------------------------------------------------------------------

struct finding {
    struct arena *arena;
    int rank; // of the best so far, larger is better; 0: none
    struct package_kind kind;
};

static bool has_word_before(struct str text, struct str word, struct str before)
{
    ptrdiff_t at;

    while ((at = str_find(text, word)) >= 0) {
        struct str head = str_slice(text, 0, (size_t)at);
        if (str_ends(str_trim(head), before))
            return true;
        text = str_slice(text, (size_t)at + word.len, text.len);
    }
    return false;
}

// The name of the handler that a Python or Ruby source defines, or the absent string.
static struct str def_handler(struct str source)
{
    static const char *const names[] = {"lambda_handler", "handler", "main"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (has_word_before(source, str_from(names[i]), STR("def")))
            return str_from(names[i]);
    return STR_NULL;
}

static struct str node_handler(struct str source)
{
    static const char *const names[] = {"handler", "lambdaHandler"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct str name = str_from(names[i]);
        if (has_word_before(source, name, STR("exports.")) ||
            has_word_before(source, name, STR("const")) ||
            has_word_before(source, name, STR("function")) ||
            has_word_before(source, name, STR("as")) || has_word_before(source, name, STR("let")) ||
            has_word_before(source, name, STR("var")))
            return name;
    }
    // A bundler's way: { handler: () => handler }
    return str_find(source, STR("handler:")) >= 0 ? STR("handler") : STR_NULL;
}

static int name_rank(struct str stem)
{
    static const char *const liked[] = {"main", "app", "handler", "index", "lambda_function"};

    for (size_t i = 0; i < ARRAY_LEN(liked); i++)
        if (str_eq(stem, str_from(liked[i])))
            return 2 + (int)i;
    return 1;
}

static void consider(struct finding *f, struct str name, struct str source)
{
    static const struct {
        struct str suffix, runtime;
        struct str (*handler)(struct str source);
    } languages[] = {
        {STR_INIT(".py"), STR_INIT("python3.12"), def_handler},
        {STR_INIT(".rb"), STR_INIT("ruby3.4"), def_handler},
        {STR_INIT(".mjs"), STR_INIT("nodejs22.x"), node_handler},
        {STR_INIT(".cjs"), STR_INIT("nodejs22.x"), node_handler},
        {STR_INIT(".js"), STR_INIT("nodejs22.x"), node_handler},
    };

    if (str_eq(name, STR("bootstrap"))) {
        f->rank = 100;
        f->kind = (struct package_kind){STR("provided.al2023"), STR("bootstrap")};
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(languages); i++) {
        if (!str_ends(name, languages[i].suffix))
            continue;
        struct str stem = str_slice(name, 0, name.len - languages[i].suffix.len);
        struct str handler = languages[i].handler(source);
        if (str_is_null(handler) || name_rank(stem) <= f->rank)
            return;
        f->rank = name_rank(stem);
        f->kind.runtime = languages[i].runtime;
        f->kind.handler = arena_printf(f->arena, "%.*s.%.*s", STR_ARG(stem), STR_ARG(handler));
        return;
    }
}

int package_kind_of_dir(struct arena *a, const char *dir, struct package_kind *out, struct err *err)
{
    char *const roots[] = {(char *)dir, NULL};
    struct finding f = {.arena = a};
    FTS *tree = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, compare_names);
    FTSENT *e;

    if (!tree)
        return err_errno(err, errno, "read %s", dir);
    while ((e = fts_read(tree))) {
        struct err ignored = ERR_INIT;
        struct str source = STR("");

        if (e->fts_level > 0 && e->fts_info == FTS_D)
            fts_set(tree, e, FTS_SKIP);
        if (e->fts_info != FTS_F || e->fts_level != 1)
            continue;
        if (e->fts_statp->st_size <= (off_t)MAX_SOURCE_BYTES)
            read_file(a, e->fts_accpath, MAX_SOURCE_BYTES, &source, &ignored);
        consider(&f, str_from(e->fts_name), source);
    }
    fts_close(tree);
    *out = f.kind;
    return 0;
}

int package_kind_of_zip(struct arena *a, struct str zip, struct package_kind *out, struct err *err)
{
    struct archive *z = archive_read_new();
    struct archive_entry *e;
    struct finding f = {.arena = a};
    int r = 0;

    if (!z)
        return err_set(err, -ENOMEM, "out of memory");
    archive_read_support_format_zip(z);
    if (archive_read_open_memory(z, zip.ptr, zip.len) != ARCHIVE_OK)
        r = err_set(err, -EINVAL, "not a zip: %s", archive_error_string(z));
    while (r == 0 && archive_read_next_header(z, &e) == ARCHIVE_OK) {
        const char *name = archive_entry_pathname(e);
        int64_t size = archive_entry_size(e);
        struct str source = STR("");

        if (!name || strchr(name, '/') || archive_entry_filetype(e) != AE_IFREG)
            continue;
        if (size > 0 && size <= (int64_t)MAX_SOURCE_BYTES) {
            char *text = arena_alloc(a, (size_t)size);
            la_ssize_t n = text ? archive_read_data(z, text, (size_t)size) : -1;
            if (n > 0)
                source = (struct str){text, (size_t)n};
        }
        consider(&f, arena_str(a, str_from(name)), source);
    }
    archive_read_free(z);
    *out = f.kind;
    return r;
}
