// files.c - the bootstraps that the binary carries (tools/embed.py), and writing them to the
// runtime folder. Java's is carried as source, for the verb that installs it to compile.

#include "runtime/files.h"

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "os/file.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>

extern const unsigned char runtime_python_bootstrap[], runtime_node_bootstrap[],
    runtime_ruby_bootstrap[], runtime_python_snapshots[], runtime_node_script[],
    runtime_node_cache[], runtime_node_module[];
extern const size_t runtime_python_bootstrap_len, runtime_node_bootstrap_len,
    runtime_ruby_bootstrap_len, runtime_python_snapshots_len, runtime_node_script_len,
    runtime_node_cache_len, runtime_node_module_len;

static int write_one(const char *dir, const char *name, struct str content, struct err *err)
{
    struct arena arena;
    struct str old = STR_NULL;
    char path[PATH_MAX];
    bool same;

    if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
        return err_set(err, -ENAMETOOLONG, "the data directory's path is too long");
    arena_init(&arena, 4 << 20);
    same = read_file(&arena, path, 1 << 20, &old, NULL) == 0 && str_eq(old, content);
    arena_finish(&arena);
    return same ? 0 : write_file_again(path, content, 0644, err);
}

int runtime_files_write(const char *dir, struct err *err)
{
    const struct {
        const char *name;
        struct str content;
    } files[] = {
        {RUNTIME_PYTHON_BOOTSTRAP,
         {(const char *)runtime_python_bootstrap, runtime_python_bootstrap_len}},
        {RUNTIME_NODE_BOOTSTRAP,
         {(const char *)runtime_node_bootstrap, runtime_node_bootstrap_len}},
        {RUNTIME_NODE_CODE_CACHE, {(const char *)runtime_node_cache, runtime_node_cache_len}},
        {RUNTIME_NODE_REHEARSAL_SCRIPT,
         {(const char *)runtime_node_script, runtime_node_script_len}},
        {RUNTIME_NODE_REHEARSAL_MODULE,
         {(const char *)runtime_node_module, runtime_node_module_len}},
        {RUNTIME_RUBY_BOOTSTRAP,
         {(const char *)runtime_ruby_bootstrap, runtime_ruby_bootstrap_len}},
        {RUNTIME_PYTHON_FOLDER "/snapshot_restore_py.py",
         {(const char *)runtime_python_snapshots, runtime_python_snapshots_len}},
    };
    char folder[PATH_MAX];
    int r = mkdir_p(dir, 0755, err);

    if (r == 0 &&
        snprintf(folder, sizeof(folder), "%s/" RUNTIME_PYTHON_FOLDER, dir) >= (int)sizeof(folder))
        r = err_set(err, -ENAMETOOLONG, "the data directory's path is too long");
    if (r == 0)
        r = mkdir_p(folder, 0755, err);
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(files); i++)
        r = write_one(dir, files[i].name, files[i].content, err);
    return r;
}

void runtime_java_name(char name[static RUNTIME_JAVA_NAME_BYTES])
{
    static atomic_uint_fast64_t known; // the checksum and a bit above it
    uint64_t sum = atomic_load(&known);

    if (sum == 0) {
        uint32_t crc = 0;
        for (const struct embedded_file *f = runtime_java_files; f->name; f++)
            crc = hash_crc32(crc, (struct str){(const char *)f->data, f->len});
        sum = 1ull << 32 | crc;
        atomic_store(&known, sum);
    }
    snprintf(name, RUNTIME_JAVA_NAME_BYTES, "bootstrap-%08x.jar", (unsigned)(uint32_t)sum);
}
