// function.c - snapshots of function versions: made once, then only read and counted.

#include "runtime/function.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static atomic_uint_fast64_t last_generation;

struct function_config *function_config_new(void)
{
    struct function_config *f = calloc(1, sizeof(*f));

    if (!f)
        return NULL;
    arena_init(&f->arena, 4 << 20);
    atomic_store(&f->refs, 1);
    f->memory_mb = 128;
    f->tmp_mb = 512;
    f->timeout_ms = 3000;
    f->app_log_level = f->system_log_level = FUNCTION_LOG_INFO;
    return f;
}

struct str function_config_str(struct function_config *f, struct str s)
{
    return arena_str(&f->arena, s);
}

static bool exists_below(struct str dir, const char *name)
{
    char path[PATH_MAX];
    struct stat st;

    if (snprintf(path, sizeof(path), "%.*s/%s", STR_ARG(dir), name) >= (int)sizeof(path))
        return false;
    return stat(path, &st) == 0;
}

// What the process must be given when it starts: the dynamic linker's and the interpreter's own
// settings are read once, then it is too late.
static bool read_at_start(struct str name, bool java)
{
    static const struct str prefixes[] = {
        STR_INIT("LD_"),     STR_INIT("PYTHON"), STR_INIT("NODE_"),
        STR_INIT("MALLOC_"), STR_INIT("LC_"),    STR_INIT("GLIBC_"),
        STR_INIT("UV_"),     STR_INIT("RUBY"),   STR_INIT("GEM_"),
    };
    static const struct str names[] = {STR_INIT("LANG"), STR_INIT("AWS_LAMBDA_EXEC_WRAPPER")};
    static const struct str of_java[] = {STR_INIT("JAVA_TOOL_OPTIONS"),
                                         STR_INIT("JDK_JAVA_OPTIONS"), STR_INIT("_JAVA_OPTIONS"),
                                         STR_INIT("TZ")};

    if (str_eq(name, STR("PYTHONPATH"))) // the bootstrap's own work
        return false;
    for (size_t k = 0; k < ARRAY_LEN(prefixes); k++)
        if (str_starts(name, prefixes[k]))
            return true;
    for (size_t k = 0; k < ARRAY_LEN(names); k++)
        if (str_eq(name, names[k]))
            return true;
    for (size_t k = 0; java && k < ARRAY_LEN(of_java); k++)
        if (str_eq(name, of_java[k]))
            return true;
    return false;
}

static bool needs_own_start(const struct function_config *f)
{
    bool java = str_starts(f->runtime, STR("java"));

    for (size_t i = 0; i < f->n_variables; i++)
        if (read_at_start(f->variables[i].name, java))
            return true;
    // Libraries: the dynamic linker looks at once which of its folders there are. Java's own asks
    // again, and most of its packages have a lib folder.
    if (!java && (exists_below(f->code_dir, "lib") ||
                  (f->layer_dir.len > 0 && exists_below(f->layer_dir, "lib"))))
        return true;
    if (f->layer_dir.len > 0 && exists_below(f->layer_dir, "extensions"))
        return true;
    return f->n_entrypoint > 0 || f->n_command > 0;
}

static void find_extensions(struct function_config *f, struct str layer)
{
    char path[PATH_MAX];
    const struct dirent *e;
    struct stat st;
    DIR *d;

    if (snprintf(path, sizeof(path), "%.*s/extensions", STR_ARG(layer)) >= (int)sizeof(path))
        return;
    d = opendir(path);
    if (!d)
        return;
    while ((e = readdir(d)) && f->n_extensions < FUNCTION_MAX_EXTENSIONS) {
        struct str name = str_from(e->d_name);
        if (e->d_name[0] != '.' && fstatat(dirfd(d), e->d_name, &st, 0) == 0 &&
            S_ISREG(st.st_mode) && (st.st_mode & 0111))
            f->extensions[f->n_extensions++] = arena_str(&f->arena, name);
    }
    closedir(d);
}

void function_config_seal(struct function_config *f)
{
    if (f->image_dir.len > 0) { // a root file system of its own: nothing waiting can become it
        f->own_start = true;
        f->bootstrap_missing = f->n_entrypoint + f->n_command == 0;
        function_config_renew(f);
        return;
    }
    if (f->layer_dir.len > 0)
        find_extensions(f, f->layer_dir);
    f->own_start = needs_own_start(f);
    if (str_starts(f->runtime, STR("provided"))) {
        f->bootstrap_missing = !exists_below(f->code_dir, "bootstrap");
        if (f->bootstrap_missing && f->layer_dir.len > 0 &&
            exists_below(f->layer_dir, "bootstrap")) {
            f->bootstrap_in_layer = true;
            f->bootstrap_missing = false;
        }
    }
    function_config_renew(f);
}

// Everything but the references and the pool; strings are shared.
static struct function_config *copy_of(struct function_config *f)
{
    size_t from = offsetof(struct function_config, generation);
    struct function_config *copy = function_config_new();

    if (!copy)
        return NULL;
    memcpy((char *)copy + from, (const char *)f + from,
           offsetof(struct function_config, pool) - from);
    copy->shared = function_config_ref(f->shared ? f->shared : f);
    return copy;
}

struct function_config *function_config_again(struct function_config *f)
{
    struct function_config *again = copy_of(f);

    if (!again)
        return NULL;
    again->own_start = again->bootstrap_in_layer = again->bootstrap_missing = false;
    again->n_extensions = 0;
    function_config_seal(again);
    return again;
}

void function_config_renew(struct function_config *f)
{
    f->generation = atomic_fetch_add(&last_generation, 1) + 1;
}

struct function_config *function_config_ref(struct function_config *f)
{
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

struct function_config *function_config_debugged(struct function_config *f, uint16_t port)
{
    // What is sealed into f's own arena lives as long as f.
    struct function_config *copy = copy_of(f);

    if (!copy)
        return NULL;
    function_config_unref(copy->shared);
    copy->shared = function_config_ref(f);
    copy->own_start = true;
    copy->debug_port = port;
    return copy;
}

void function_config_unref(struct function_config *f)
{
    if (!f || atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
        return;
    arena_finish(&f->arena);
    function_config_unref(f->shared);
    free(f);
}

void function_config_unrefp(struct function_config **f)
{
    function_config_unref(*f);
}
