// snapshots.c - versions and records as immutable objects, and as the documents the store keeps.
//
// A document is the JSON that the wire layer would send to a client: what can be shown can be kept.
// The environment variables are taken out of it and kept encrypted.
#include "services/lambda/lambda_impl.h"

#include "base/timefmt.h"
#include "base/uuid.h"
#include "images/image.h"
#include "os/log.h"
#include "os/random.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

// --- small things ---

struct str lambda_uuid(struct arena *a)
{
    uint8_t random[16];

    os_random(random, sizeof(random));
    return uuid_arena(a, random);
}

struct str lambda_time(struct arena *a, int64_t ms)
{
    char text[TIMEFMT_BYTES];

    return arena_str(a, timefmt_lambda(ms, text));
}

int lambda_invalid(struct err *err, const char *format, ...)
{
    char message[ERR_MESSAGE_BYTES];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    err_field(err, "Type", "User");
    return err_aws(err, &LAMBDA_INVALID_PARAMETER_VALUE_EXCEPTION, "%s", message);
}

int revision_check(struct str given, struct str current, struct err *err)
{
    if (given.len == 0 || str_eq(given, current))
        return 0;
    err_field(err, "Type", "User");
    return err_aws(err, &LAMBDA_PRECONDITION_FAILED_EXCEPTION,
                   "The RevisionId provided does not match the latest RevisionId. Call the "
                   "GetFunction/GetAlias API to retrieve the latest RevisionId");
}

static int shape_doc(unsigned shape, const void *value, struct arena *a, struct str *out,
                     struct err *err)
{
    _cleanup_(buf_finishp) struct buf b = {0};

    buf_init(&b, LAMBDA_MAX_DOC_BYTES);
    int r = wire_shape_to_json(&wire_lambda, shape, value, &b);
    if (r < 0 || b.failed)
        return err_set(err, r < 0 ? r : -ENOMEM, "cannot write shape %u as JSON", shape);
    *out = arena_str(a, buf_str(&b));
    return str_is_null(*out) ? err_set(err, -ENOMEM, "out of memory") : 0;
}

// --- versions: what environments see ---

static enum function_log_level log_level_of(struct str s)
{
    static const struct {
        const char *name;
        enum function_log_level level;
    } levels[] = {{"TRACE", FUNCTION_LOG_TRACE}, {"DEBUG", FUNCTION_LOG_DEBUG},
                  {"INFO", FUNCTION_LOG_INFO},   {"WARN", FUNCTION_LOG_WARN},
                  {"ERROR", FUNCTION_LOG_ERROR}, {"FATAL", FUNCTION_LOG_FATAL}};

    for (size_t i = 0; i < ARRAY_LEN(levels); i++)
        if (str_eq_nocase(s, str_from(levels[i].name)))
            return levels[i].level;
    return FUNCTION_LOG_INFO;
}

static int snapshot_variables(struct function_config *f,
                              const struct lambda_function_configuration *config)
{
    if (!config->environment || config->environment->variables.n == 0)
        return 0;
    size_t n = config->environment->variables.n;
    f->variables = arena_new_array(&f->arena, struct function_variable, n);
    if (!f->variables)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const struct lambda_environment_variables_entry *e = &config->environment->variables.ptr[i];
        f->variables[i].name = function_config_str(f, e->key);
        f->variables[i].value = function_config_str(f, e->value);
    }
    f->n_variables = n;
    return 0;
}

static struct str code_path(struct function_config *f, const char *code_dir, const char *sha256)
{
    return arena_printf(&f->arena, "%s/%s", code_dir, sha256);
}

static int copy_words(struct function_config *f, const struct str *from, size_t n, struct str **to,
                      size_t *n_to)
{
    *to = arena_new_array(&f->arena, struct str, n + 1);
    if (!*to)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        (*to)[i] = from[i].len > 0 ? function_config_str(f, from[i]) : STR("");
    *n_to = n;
    return 0;
}

static int image_variables(struct function_config *f, const struct image *image)
{
    f->image_variables = arena_new_array(&f->arena, struct function_variable, image->n_env + 1);
    if (!f->image_variables)
        return -ENOMEM;
    for (size_t i = 0; i < image->n_env; i++) {
        struct str rest = image->env[i], name;
        if (!str_next(&rest, '=', &name) || str_is_null(rest) || name.len == 0)
            continue;
        f->image_variables[f->n_image_variables++] = (struct function_variable){
            function_config_str(f, name), rest.len > 0 ? function_config_str(f, rest) : STR("")};
    }
    return 0;
}

// PATH as the program will have it: the function's, the image's, the usual.
static struct str image_path(const struct function_config *f)
{
    for (size_t i = 0; i < f->n_variables; i++)
        if (str_eq(f->variables[i].name, STR("PATH")))
            return f->variables[i].value;
    for (size_t i = 0; i < f->n_image_variables; i++)
        if (str_eq(f->image_variables[i].name, STR("PATH")))
            return f->image_variables[i].value;
    return STR("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
}

// The image's configuration with ImageConfig over it. An entrypoint given there replaces the
// image's command too, as everywhere with containers.
static int snapshot_image(struct lambda *l, struct fn_version *v, struct function_config *f,
                          struct err *err)
{
    static const struct lambda_image_config none;
    const struct lambda_image_config_response *given = v->config->image_config_response;
    const struct lambda_image_config *over =
        given && given->image_config ? given->image_config : &none;
    _cleanup_(arena_finish) struct arena a = {0};
    struct image image;
    struct err why = ERR_INIT;
    int r;

    f->image_dir = arena_printf(&f->arena, "%s/root", v->sha256);
    arena_init(&a, (size_t)64 << 20);
    if (image_load(l->images_dir, v->sha256, &a, &image, &why) < 0) {
        log_error("the image of %.*s: %s", STR_ARG(f->arn), why.message);
        return 0; // its invocations say that it has no program
    }
    bool own_entry = over->entry_point.n > 0, own_command = over->command.n > 0;
    r = copy_words(f, own_entry ? over->entry_point.ptr : image.entrypoint,
                   own_entry ? over->entry_point.n : image.n_entrypoint, &f->entrypoint,
                   &f->n_entrypoint);
    if (r == 0)
        r = copy_words(f, own_command ? over->command.ptr : image.command,
                       own_command ? over->command.n
                       : own_entry ? 0
                                   : image.n_command,
                       &f->command, &f->n_command);
    if (r == 0)
        r = image_variables(f, &image);
    if (r < 0)
        return err_set(err, -ENOMEM, "out of memory");
    struct str cwd = over->working_directory.len > 0 ? over->working_directory : image.working_dir;
    if (cwd.len > 0)
        f->working_dir =
            arena_printf(&f->arena, "%s%.*s", cwd.ptr[0] == '/' ? "" : "/", STR_ARG(cwd));
    struct str *first = f->n_entrypoint ? f->entrypoint : f->n_command ? f->command : NULL;
    if (!first)
        return 0;
    struct str program;
    if (!image_program(l->images_dir, v->sha256, *first, f->working_dir, image_path(f), &f->arena,
                       &program))
        program = arena_printf(&f->arena, "%s%.*s", str_starts(*first, STR("/")) ? "" : "/",
                               STR_ARG(*first)); // starting it will say that it is not there
    *first = program;
    return str_is_null(program) ? err_set(err, -ENOMEM, "out of memory") : 0;
}

static int snapshot_make(struct lambda *l, struct fn_version *v, const struct version_parts *p,
                         struct err *err)
{
    const struct lambda_function_configuration *c = v->config;
    struct function_config *f = function_config_new();

    if (!f)
        return err_set(err, -ENOMEM, "out of memory");
    v->snapshot = f;
    f->account = function_config_str(f, p->account);
    f->region = function_config_str(f, p->region);
    f->name = function_config_str(f, p->name);
    f->version = function_config_str(f, c->version);
    f->arn = arena_printf(&f->arena, "arn:aws:lambda:%.*s:%.*s:function:%.*s", STR_ARG(p->region),
                          STR_ARG(p->account), STR_ARG(p->name));
    f->role_arn = function_config_str(f, c->role);
    f->runtime = function_config_str(f, c->runtime);
    f->handler = function_config_str(f, c->handler);
    f->architecture =
        c->architectures.n > 0 ? function_config_str(f, c->architectures.ptr[0]) : STR("x86_64");
    f->memory_mb = (unsigned)WIRE_GET(c, memory_size, 128);
    f->tmp_mb = c->ephemeral_storage ? (unsigned)c->ephemeral_storage->size : 512;
    f->timeout_ms = (unsigned)WIRE_GET(c, timeout, 3) * 1000;
    bool is_image = fn_config_is_image(c);
    if (!is_image)
        f->code_dir = str_is_null(p->hot_folder) ? code_path(f, l->code_dir, v->sha256)
                                                 : function_config_str(f, p->hot_folder);
    if (v->layer_tree[0])
        f->layer_dir = code_path(f, l->code_dir, v->layer_tree);
    if (c->logging_config) {
        const struct lambda_logging_config *log = c->logging_config;
        f->log_group = function_config_str(f, log->log_group);
        f->log_json = str_eq(log->log_format, STR("JSON"));
        f->app_log_level = log_level_of(log->application_log_level);
        f->system_log_level = log_level_of(log->system_log_level);
    } else {
        f->log_group = arena_printf(&f->arena, "/aws/lambda/%.*s", STR_ARG(p->name));
        f->app_log_level = f->system_log_level = FUNCTION_LOG_INFO;
    }
    f->tracing_active = c->tracing_config && str_eq(c->tracing_config->mode, STR("Active"));
    f->snap_start =
        v->number > 0 && c->snap_start && str_eq(c->snap_start->apply_on, STR("PublishedVersions"));
    f->network = c->vpc_config && c->vpc_config->subnet_ids.n > 0;
    if (snapshot_variables(f, c) < 0 || str_is_null(f->arn) ||
        (!is_image && str_is_null(f->code_dir)) || (v->layer_tree[0] && !f->layer_dir.len))
        return err_set(err, -ENOMEM, "out of memory");
    int r = is_image ? snapshot_image(l, v, f, err) : 0;
    if (r < 0)
        return r;
    function_config_seal(f);
    return 0;
}

// --- versions: documents ---

int fn_version_docs(const struct fn_version *v, struct arena *a, struct str *doc,
                    struct str *environment, struct err *err)
{
    struct lambda_function_configuration plain = *v->config;
    int r;

    *environment = STR_NULL;
    if (plain.environment) {
        r = shape_doc(LAMBDA_SHAPE_ENVIRONMENT_RESPONSE, plain.environment, a, environment, err);
        if (r < 0)
            return r;
    }
    plain.environment = NULL;
    return shape_doc(LAMBDA_SHAPE_FUNCTION_CONFIGURATION, &plain, a, doc, err);
}

int fn_version_from_docs(struct lambda *l, const struct version_parts *p, struct str doc,
                         struct str environment, bool environment_lost, struct fn_version **out,
                         struct err *err)
{
    _cleanup_(fn_version_unrefp) struct fn_version *v = calloc(1, sizeof(*v));
    int r;

    if (!v)
        return err_set(err, -ENOMEM, "out of memory");
    atomic_init(&v->refs, 1);
    arena_init(&v->arena, 8 * LAMBDA_MAX_DOC_BYTES);
    v->number = p->number;
    v->n_layers = p->n_layers;
    snprintf(v->sha256, sizeof(v->sha256), "%s", p->sha256);
    v->image_uri = str_is_null(p->image_uri) ? STR_NULL : arena_str(&v->arena, p->image_uri);
    for (unsigned i = 0; i < p->n_layers; i++)
        snprintf(v->layer_sha256[i], sizeof(v->layer_sha256[i]), "%s", p->layer_sha256[i]);
    // Whoever makes a new version has merged its layers. Reading an old one, this finds the tree,
    // or makes it for a data directory that has none yet; without it the version's starts fail.
    struct err why = ERR_INIT;
    if (layer_tree_make(l->code_dir, (const char(*)[SHA256_HEX_BYTES])v->layer_sha256, v->n_layers,
                        v->layer_tree, &why) < 0)
        log_error("the layers of %.*s: %s", STR_ARG(p->name), why.message);

    struct lambda_function_configuration *config =
        arena_new(&v->arena, struct lambda_function_configuration);
    if (!config)
        return err_set(err, -ENOMEM, "out of memory");
    r = wire_shape_from_json(&wire_lambda, LAMBDA_SHAPE_FUNCTION_CONFIGURATION,
                             arena_str(&v->arena, doc), &v->arena, config, err);
    if (r < 0)
        return r;
    if (!str_is_null(environment) || environment_lost) {
        struct lambda_environment_response *e =
            arena_new(&v->arena, struct lambda_environment_response);
        if (!e)
            return err_set(err, -ENOMEM, "out of memory");
        if (environment_lost) {
            e->error = arena_new(&v->arena, struct lambda_environment_error);
            if (!e->error)
                return err_set(err, -ENOMEM, "out of memory");
            e->error->error_code = STR("KMSAccessDeniedException");
            e->error->message = STR("Lambda was unable to decrypt your environment variables: the "
                                    "key in the data directory is another one.");
        } else {
            r = wire_shape_from_json(&wire_lambda, LAMBDA_SHAPE_ENVIRONMENT_RESPONSE,
                                     arena_str(&v->arena, environment), &v->arena, e, err);
            if (r < 0)
                return r;
        }
        config->environment = e;
    }
    v->config = config;
    if (!str_is_null(p->hot_folder)) {
        const char *folder = arena_cstr(&v->arena, p->hot_folder);
        r = folder ? hot_folder_open(folder, &v->hot, err) : -ENOMEM;
        if (r < 0)
            return r;
        v->hot_folder = str_from(folder);
    }
    r = snapshot_make(l, v, p, err);
    if (r < 0)
        return r;
    *out = TAKE_PTR(v);
    return 0;
}

int fn_version_new(struct lambda *l, const struct version_parts *p,
                   const struct lambda_function_configuration *config, struct fn_version **out,
                   struct err *err)
{
    struct lambda_function_configuration plain = *config;
    _cleanup_(arena_finish) struct arena a = {0};
    struct str doc, environment = STR_NULL;
    int r = 0;

    arena_init(&a, 8 * LAMBDA_MAX_DOC_BYTES);
    plain.environment = NULL;
    if (config->environment)
        r = shape_doc(LAMBDA_SHAPE_ENVIRONMENT_RESPONSE, config->environment, &a, &environment,
                      err);
    if (r == 0)
        r = shape_doc(LAMBDA_SHAPE_FUNCTION_CONFIGURATION, &plain, &a, &doc, err);
    if (r < 0)
        return r;
    return fn_version_from_docs(l, p, doc, environment, false, out, err);
}

// --- records ---

static const struct {
    const char *name; // in the database
    unsigned shape;
} kinds[RECORD_KINDS] = {
    [RECORD_ALIAS] = {"alias", LAMBDA_SHAPE_ALIAS_CONFIGURATION},
    [RECORD_POLICY] = {"policy", LAMBDA_SHAPE_GET_POLICY_RESPONSE},
    [RECORD_TAGS] = {"tags", LAMBDA_SHAPE_LIST_TAGS_RESPONSE},
    [RECORD_CONCURRENCY] = {"concurrency", LAMBDA_SHAPE_CONCURRENCY},
    [RECORD_PROVISIONED] = {"provisioned",
                            LAMBDA_SHAPE_GET_PROVISIONED_CONCURRENCY_CONFIG_RESPONSE},
    [RECORD_URL] = {"url", LAMBDA_SHAPE_FUNCTION_URL_CONFIG},
    [RECORD_ASYNC] = {"async", LAMBDA_SHAPE_FUNCTION_EVENT_INVOKE_CONFIG},
    [RECORD_RECURSION] = {"recursion", LAMBDA_SHAPE_GET_FUNCTION_RECURSION_CONFIG_RESPONSE},
    [RECORD_MANAGEMENT] = {"management", LAMBDA_SHAPE_GET_RUNTIME_MANAGEMENT_CONFIG_RESPONSE},
};

unsigned record_shape(enum record_kind kind)
{
    return kinds[kind].shape;
}

const char *record_kind_name(enum record_kind kind)
{
    return kinds[kind].name;
}

int fn_record_from_doc(enum record_kind kind, struct str qualifier, struct str doc,
                       struct fn_record **out, struct err *err)
{
    _cleanup_(fn_record_unrefp) struct fn_record *r = calloc(1, sizeof(*r));

    if (!r)
        return err_set(err, -ENOMEM, "out of memory");
    atomic_init(&r->refs, 1);
    arena_init(&r->arena, 4 * LAMBDA_MAX_DOC_BYTES);
    r->kind = kind;
    r->qualifier = arena_str(&r->arena, qualifier);
    r->doc = arena_str(&r->arena, doc);
    void *value =
        arena_zalloc(&r->arena, wire_lambda.shapes[kinds[kind].shape].size + sizeof(void *));
    if (!value || str_is_null(r->doc))
        return err_set(err, -ENOMEM, "out of memory");
    int rc = wire_shape_from_json(&wire_lambda, kinds[kind].shape, r->doc, &r->arena, value, err);
    if (rc < 0)
        return rc;
    r->value = value;
    *out = TAKE_PTR(r);
    return 0;
}

int fn_record_new(enum record_kind kind, struct str qualifier, const void *value,
                  struct fn_record **out, struct err *err)
{
    _cleanup_(arena_finish) struct arena a = {0};
    struct str doc;

    arena_init(&a, 4 * LAMBDA_MAX_DOC_BYTES);
    int r = shape_doc(kinds[kind].shape, value, &a, &doc, err);
    if (r < 0)
        return r;
    if (str_is_null(qualifier))
        qualifier = STR("");
    return fn_record_from_doc(kind, qualifier, doc, out, err);
}
