// spec.c - the bounds of a sandbox spec: the same check runs in the server and in the keeper.
#include "sandbox/spec.h"

#include "base/cleanup.h"

#include <errno.h>

static const char *const degree_names[] = {
    [SANDBOX_STRICT] = "strict",
    [SANDBOX_BEST_EFFORT] = "best-effort",
    [SANDBOX_NONE] = "none",
};

const char *sandbox_degree_name(enum sandbox_degree d)
{
    return d <= SANDBOX_NONE ? degree_names[d] : "?";
}

int sandbox_degree_parse(struct str s, enum sandbox_degree *out)
{
    for (size_t i = 0; i < ARRAY_LEN(degree_names); i++)
        if (str_eq(s, str_from(degree_names[i]))) {
            *out = (enum sandbox_degree)i;
            return 0;
        }
    return -EINVAL;
}

void sandbox_spec_init(struct sandbox_spec *s)
{
    *s = (struct sandbox_spec){.binding = {.memory_mb = SANDBOX_MIN_MEMORY_MB,
                                           .tmp_mb = SANDBOX_MIN_TMP_MB,
                                           .pids = 1024}};
}

// A name below code/: relative, no empty, "." or ".." part. Absolute only for hot code.
static bool code_name_ok(const char *name, bool absolute)
{
    size_t len = strlen(name);
    if (len == 0 || len >= SANDBOX_MAX_PATH)
        return false;
    if (absolute != (name[0] == '/'))
        return false;
    struct str rest = {name + (absolute ? 1 : 0), len - (absolute ? 1 : 0)}, part;
    while (str_next(&rest, '/', &part))
        if (part.len == 0 || str_eq(part, STR(".")) || str_eq(part, STR("..")))
            return false;
    return true;
}

static int binding_check(const struct sandbox_binding *b, struct err *err)
{
    if (b->n_outbound > SANDBOX_MAX_OUTBOUND)
        return err_set(err, -EINVAL, "more than %d outbound destinations", SANDBOX_MAX_OUTBOUND);
    if (b->code_dir && b->code_dir[0] && !code_name_ok(b->code_dir, b->hot))
        return err_set(err, -EINVAL, "code directory '%.80s' is not a plain %s path", b->code_dir,
                       b->hot ? "absolute" : "relative");
    if (b->image_dir && b->image_dir[0]) {
        if (!code_name_ok(b->image_dir, false))
            return err_set(err, -EINVAL, "image '%.80s' is not a plain relative path",
                           b->image_dir);
        if ((b->code_dir && b->code_dir[0]) || (b->layer_dir && b->layer_dir[0]))
            return err_set(err, -EINVAL, "an image comes without code and layers");
    }
    if (b->layer_dir && b->layer_dir[0] && !code_name_ok(b->layer_dir, false))
        return err_set(err, -EINVAL, "layers '%.80s' are not a plain relative path", b->layer_dir);
    // 0 stands for the default; below AWS's least is allowed for tests of running out.
    if (b->memory_mb > SANDBOX_MAX_MEMORY_MB)
        return err_set(err, -EINVAL, "memory of %u MB is over %d", b->memory_mb,
                       SANDBOX_MAX_MEMORY_MB);
    if (b->tmp_mb > SANDBOX_MAX_TMP_MB)
        return err_set(err, -EINVAL, "/tmp of %u MB is over %d", b->tmp_mb, SANDBOX_MAX_TMP_MB);
    if (b->pids > 32768)
        return err_set(err, -EINVAL, "%u processes are too many", b->pids);
    for (unsigned i = 0; i < b->n_outbound; i++)
        if (!b->outbound[i] || strlen(b->outbound[i]) >= 128)
            return err_set(err, -EINVAL, "outbound destination %u is too long", i);
    return 0;
}

static int program_check(const struct sandbox_program *p, struct err *err)
{
    if (p->n_argv > SANDBOX_MAX_ARGS || p->n_env > SANDBOX_MAX_ENV)
        return err_set(err, -EINVAL, "too many arguments or variables");
    size_t bytes = 0;
    for (unsigned i = 0; i < p->n_argv; i++)
        bytes += p->argv[i] ? strlen(p->argv[i]) : (size_t)1 << 30;
    for (unsigned i = 0; i < p->n_env; i++) {
        bytes += p->env[i] ? strlen(p->env[i]) : (size_t)1 << 30;
        if (p->env[i] && !strchr(p->env[i], '='))
            return err_set(err, -EINVAL, "variable %u has no '='", i);
    }
    if (bytes > 96 * 1024)
        return err_set(err, -EINVAL, "arguments and variables are over 96 KiB");
    if (p->n_argv && (p->argv[0][0] != '/' || strlen(p->argv[0]) >= SANDBOX_MAX_PATH))
        return err_set(err, -EINVAL, "program '%.80s' is not an absolute path", p->argv[0]);
    if (p->cwd && p->cwd[0] && (p->cwd[0] != '/' || strlen(p->cwd) >= SANDBOX_MAX_PATH))
        return err_set(err, -EINVAL, "working directory is not an absolute path");
    return 0;
}

int sandbox_binding_check(const struct sandbox_binding *b, const struct sandbox_program *p,
                          struct err *err)
{
    int r = binding_check(b, err);
    return r < 0 ? r : program_check(p, err);
}

int sandbox_spec_check(const struct sandbox_spec *s, struct err *err)
{
    if (s->id == 0)
        return err_set(err, -EINVAL, "a sandbox needs an id");
    return sandbox_binding_check(&s->binding, &s->program, err);
}
