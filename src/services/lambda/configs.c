// configs.c - from what a client asks for to a configuration that is complete and checked.
//
// What the model can say (lengths, ranges, patterns) was checked by the wire layer. Here are the
// rules that span members, the defaults as AWS shows them, and what this host cannot do.
#include "services/lambda/lambda_impl.h"

#include "base/json.h"
#include "os/log.h"
#include "services/lambda/unpack.h"

#include <errno.h>
#include <sys/utsname.h>

#define MAX_ENVIRONMENT_BYTES 4096

static const char *const reserved_variables[] = {
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "LAMBDA_TASK_ROOT",
    "LAMBDA_RUNTIME_DIR",
};

static bool is_reserved(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(reserved_variables); i++)
        if (str_eq(name, str_from(reserved_variables[i])))
            return true;
    return false;
}

static int set_environment(struct call *c, const struct lambda_environment *in,
                           struct lambda_function_configuration *out, struct err *err)
{
    _cleanup_(buf_finishp) struct buf reserved = {0}, measured = {0};

    buf_init(&reserved, 2048);
    buf_init(&measured, (size_t)32 << 20);
    struct json_writer w = json_writer(&measured);
    jw_object_begin(&w);
    for (size_t i = 0; i < in->variables.n; i++) {
        const struct lambda_environment_variables_entry *e = &in->variables.ptr[i];
        if (is_reserved(e->key))
            buf_addf(&reserved, "%s%.*s", reserved.len ? ", " : "", STR_ARG(e->key));
        if (memchr(e->value.ptr ? e->value.ptr : "", 0, e->value.len))
            return lambda_invalid(err, "The value of the environment variable %.*s contains NUL.",
                                  STR_ARG(e->key));
        jw_key(&w, e->key);
        jw_str(&w, e->value);
    }
    jw_object_end(&w);
    if (reserved.len > 0)
        return lambda_invalid(
            err,
            "Lambda was unable to configure your environment variables because the environment "
            "variables you have provided contains reserved keys that are currently not supported "
            "for modification. Reserved keys used in this request: %.*s",
            STR_ARG(buf_str(&reserved)));
    if (measured.failed || measured.len > MAX_ENVIRONMENT_BYTES)
        return lambda_invalid(
            err, "Lambda was unable to configure your environment variables because the "
                 "environment variables you have provided exceeded the 4KB limit.");
    out->environment = NULL;
    if (in->variables.n == 0)
        return 0;
    struct lambda_environment_response *e = arena_new(c->arena, struct lambda_environment_response);
    if (!e)
        return err_set(err, -ENOMEM, "out of memory");
    e->variables = in->variables;
    out->environment = e;
    return 0;
}

static const char *host_architecture(void)
{
    struct utsname u;

    if (uname(&u) == 0 && (strcmp(u.machine, "aarch64") == 0 || strcmp(u.machine, "arm64") == 0))
        return "arm64";
    return "x86_64";
}

const char *image_architecture(void)
{
    return strcmp(host_architecture(), "arm64") == 0 ? "arm64" : "amd64";
}

int fn_config_architectures(struct call *c, const struct lambda_architectures_list *in,
                            struct lambda_function_configuration *out, struct err *err)
{
    const char *host = host_architecture();

    if (in->n > 1)
        return lambda_invalid(err, "Architectures must have exactly one member.");
    if (in->n == 1 && !str_eq(in->ptr[0], str_from(host)))
        return lambda_invalid(err,
                              "The architecture %.*s cannot run here: this host's is %s. Build the "
                              "package for %s.",
                              STR_ARG(in->ptr[0]), host, host);
    struct str *one = arena_new(c->arena, struct str);
    if (!one)
        return err_set(err, -ENOMEM, "out of memory");
    *one = str_from(host);
    out->architectures.ptr = one;
    out->architectures.n = 1;
    return 0;
}

static int set_runtime(struct call *c, struct str runtime,
                       struct lambda_function_configuration *out, struct err *err)
{
    struct runtime_choice choice = runtime_choose(runtime);
    struct lambda_runtime_version_config *v;

    if (!choice.known)
        return lambda_invalid(
            err,
            "Value %.*s at 'runtime' failed to satisfy constraint: Member must satisfy enum value "
            "set: [python3.9 to python3.14, nodejs18.x to nodejs24.x, java17, java21, java25, "
            "dotnet8, dotnet10, ruby3.2 to ruby3.4, provided.al2, provided.al2023] or be a valid "
            "ARN",
            (int)(runtime.len > 64 ? 64 : runtime.len), runtime.ptr);
    if (!choice.available)
        return lambda_invalid(err, "The runtime %.*s cannot run here: %s", STR_ARG(runtime),
                              choice.mend ? choice.mend
                                          : "no interpreter for it was found. `lambkin doctor` "
                                            "says what is missing.");
    if (!choice.exact && choice.interpreter[0])
        log_info("runtime %.*s is run by the nearest interpreter, %s (%s)", STR_ARG(runtime),
                 choice.interpreter, choice.version);
    out->runtime = runtime;
    v = arena_new(c->arena, struct lambda_runtime_version_config);
    if (!v)
        return err_set(err, -ENOMEM, "out of memory");
    char sha[SHA256_HEX_BYTES];
    hash_sha256_hex(arena_printf(c->arena, "%.*s %s", STR_ARG(runtime), choice.version), sha);
    v->runtime_version_arn =
        arena_printf(c->arena, "arn:aws:lambda:%.*s::runtime:%s", STR_ARG(c->region), sha);
    out->runtime_version_config = v;
    return 0;
}

int fn_config_layers(struct call *c, const struct lambda_layer_list *in,
                     struct lambda_function_configuration *out, struct config_layers *layers,
                     struct err *err)
{
    layers->n = 0;
    layers->unpacked_bytes = 0;
    out->layers.ptr = NULL;
    out->layers.n = 0;
    if (in->n == 0)
        return 0;
    _cleanup_(lambda_look_end) struct lambda *look = lambda_look(c);
    if (in->n > LAMBDA_MAX_LAYERS)
        return lambda_invalid(err, "Cannot reference more than %d layers.", LAMBDA_MAX_LAYERS);
    struct lambda_layer *list = arena_new_array(c->arena, struct lambda_layer, in->n);
    if (!list)
        return err_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < in->n; i++) {
        struct layer_version *v;
        int r = layer_find(look, c, in->ptr[i], &v, err);
        if (r < 0)
            return r;
        for (size_t k = 0; k < i; k++) {
            struct layer_name a, b;
            if (layer_name_parse(in->ptr[i], &a) && layer_name_parse(in->ptr[k], &b) &&
                str_eq(a.name, b.name) && str_eq(a.account, b.account))
                return lambda_invalid(err, "Two different versions of the same layer are not "
                                           "allowed to be referenced in the same function.");
        }
        list[i].arn = arena_str(c->arena, in->ptr[i]);
        if (v->value->content)
            WIRE_SET(&list[i], code_size, v->value->content->code_size);
        memcpy(layers->sha256[i], v->sha256, SHA256_HEX_BYTES);
        layers->unpacked_bytes += v->unpacked_bytes;
    }
    if (layers->unpacked_bytes > PACKAGE_MAX_UNPACKED_BYTES)
        return lambda_invalid(err, "Layers consume more than the available size of %llu bytes",
                              (unsigned long long)PACKAGE_MAX_UNPACKED_BYTES);
    layers->n = (unsigned)in->n;
    out->layers.ptr = list;
    out->layers.n = in->n;
    return 0;
}

static int set_vpc(struct call *c, const struct lambda_vpc_config *in,
                   struct lambda_function_configuration *out, struct err *err)
{
    struct lambda_vpc_config_response *v = arena_new(c->arena, struct lambda_vpc_config_response);

    if (!v)
        return err_set(err, -ENOMEM, "out of memory");
    v->subnet_ids = in->subnet_ids;
    v->security_group_ids = in->security_group_ids;
    if (!v->subnet_ids.ptr)
        v->subnet_ids.ptr = WIRE_EMPTY;
    if (!v->security_group_ids.ptr)
        v->security_group_ids.ptr = WIRE_EMPTY;
    v->vpc_id = in->subnet_ids.n > 0 ? STR("vpc-lambkin") : STR("");
    WIRE_SET(v, ipv6_allowed_for_dual_stack, WIRE_GET(in, ipv6_allowed_for_dual_stack, false));
    out->vpc_config = v;
    return 0;
}

static int set_logging(struct call *c, const struct lambda_logging_config *in,
                       struct lambda_function_configuration *out, struct err *err)
{
    struct lambda_logging_config *log = arena_new(c->arena, struct lambda_logging_config);

    if (!log)
        return err_set(err, -ENOMEM, "out of memory");
    if (out->logging_config)
        *log = *out->logging_config;
    if (in) {
        if (in->log_format.len > 0)
            log->log_format = in->log_format;
        if (in->log_group.len > 0)
            log->log_group = in->log_group;
        if (in->application_log_level.len > 0)
            log->application_log_level = in->application_log_level;
        if (in->system_log_level.len > 0)
            log->system_log_level = in->system_log_level;
    }
    if (log->log_format.len == 0)
        log->log_format = STR("Text");
    if (log->log_group.len == 0)
        log->log_group = arena_printf(c->arena, "/aws/lambda/%.*s", STR_ARG(out->function_name));
    if (str_eq(log->log_format, STR("JSON"))) {
        if (log->application_log_level.len == 0)
            log->application_log_level = STR("INFO");
        if (log->system_log_level.len == 0)
            log->system_log_level = STR("INFO");
    } else {
        if (in && (in->application_log_level.len > 0 || in->system_log_level.len > 0))
            return lambda_invalid(err, "To set ApplicationLogLevel or SystemLogLevel, the "
                                       "LogFormat must be JSON.");
        log->application_log_level = log->system_log_level = STR_NULL;
    }
    out->logging_config = log;
    return 0;
}

static int set_snap_start(struct call *c, const struct lambda_snap_start *in,
                          struct lambda_function_configuration *out, struct err *err)
{
    struct lambda_snap_start_response *s = arena_new(c->arena, struct lambda_snap_start_response);

    if (!s)
        return err_set(err, -ENOMEM, "out of memory");
    s->apply_on = in && in->apply_on.len > 0 ? in->apply_on : STR("None");
    s->optimization_status = STR("Off");
    out->snap_start = s;
    return 0;
}

// What SnapStart excludes. AWS takes it with every managed runtime, hooks or no hooks.
static int check_snap_start(const struct lambda_function_configuration *config, struct err *err)
{
    if (!config->snap_start || !str_eq(config->snap_start->apply_on, STR("PublishedVersions")))
        return 0;
    if (fn_config_is_image(config))
        return lambda_invalid(err, "ContainerImage is not supported for SnapStart enabled "
                                   "functions.");
    if (config->ephemeral_storage && config->ephemeral_storage->size > 512)
        return lambda_invalid(err, "Ephemeral storage of more than 512 MB is not supported for "
                                   "SnapStart enabled functions.");
    return 0;
}

static int set_tracing(struct call *c, const struct lambda_tracing_config *in,
                       struct lambda_function_configuration *out, struct err *err)
{
    struct lambda_tracing_config_response *t =
        arena_new(c->arena, struct lambda_tracing_config_response);

    if (!t)
        return err_set(err, -ENOMEM, "out of memory");
    t->mode = in && in->mode.len > 0 ? in->mode : STR("PassThrough");
    out->tracing_config = t;
    return 0;
}

static int set_storage(struct call *c, const struct lambda_ephemeral_storage *in,
                       struct lambda_function_configuration *out, struct err *err)
{
    struct lambda_ephemeral_storage *s = arena_new(c->arena, struct lambda_ephemeral_storage);

    if (!s)
        return err_set(err, -ENOMEM, "out of memory");
    WIRE_SET(s, size, in ? in->size : 512);
    out->ephemeral_storage = s;
    return 0;
}

static void set_dead_letter(struct lambda_dead_letter_config *in,
                            struct lambda_function_configuration *out)
{
    out->dead_letter_config = in && in->target_arn.len > 0 ? in : NULL;
}

static int not_here(struct err *err, const char *what)
{
    return lambda_invalid(err, "%s is not available in this version of Lambkin.", what);
}

// Entrypoint and command together are one program's arguments.
#define MAX_IMAGE_WORDS 31

static int set_image_config(struct call *c, const struct lambda_image_config *in,
                            struct lambda_function_configuration *out, struct err *err)
{
    struct lambda_image_config_response *r =
        arena_new(c->arena, struct lambda_image_config_response);
    struct lambda_image_config *copy = arena_new(c->arena, struct lambda_image_config);

    if (!r || !copy)
        return err_set(err, -ENOMEM, "out of memory");
    out->image_config_response = NULL;
    if (!in || (in->entry_point.n == 0 && in->command.n == 0 && in->working_directory.len == 0))
        return 0;
    if (in->entry_point.n + in->command.n > MAX_IMAGE_WORDS)
        return lambda_invalid(err, "EntryPoint and Command of ImageConfig have more than %d words.",
                              MAX_IMAGE_WORDS);
    if (in->working_directory.len > 0 && in->working_directory.ptr[0] != '/')
        return lambda_invalid(err, "WorkingDirectory of ImageConfig must be an absolute path.");
    *copy = *in;
    if (copy->entry_point.n == 0)
        copy->entry_point.ptr = NULL;
    if (copy->command.n == 0)
        copy->command.ptr = NULL;
    if (copy->working_directory.len == 0)
        copy->working_directory = STR_NULL;
    r->image_config = copy;
    out->image_config_response = r;
    return 0;
}

// A handler of .NET is either an assembly with a Main, or Assembly::Type::Method for Amazon's
// runtime support to call, which the managed runtime has beside it there, and nobody has here.
static int check_handler(const struct lambda_function_configuration *out, struct err *err)
{
    if (str_starts(out->runtime, STR("dotnet")) && str_find(out->handler, STR("::")) >= 0)
        return lambda_invalid(err,
                              "The handler %.*s cannot run here: class library handlers need "
                              "Amazon.Lambda.RuntimeSupport in the runtime. Build an executable "
                              "assembly that references it, and name the assembly as the handler.",
                              (int)(out->handler.len > 128 ? 128 : out->handler.len),
                              out->handler.ptr);
    return 0;
}

static int check_package_type(const struct lambda_create_function_in *in, struct err *err)
{
    bool has_uri = in->code && in->code->image_uri.len > 0;

    if (str_eq(in->package_type, STR("Image"))) {
        if (in->runtime.len > 0 || in->handler.len > 0 || in->layers.n > 0)
            return lambda_invalid(err, "Please don't provide Handler or Runtime or Layer when the "
                                       "intended function PackageType is Image.");
        if (!has_uri || !str_is_null(in->code->zip_file) || in->code->s3_bucket.len > 0)
            return lambda_invalid(err, "Please provide ImageUri, and nothing else, as the code of "
                                       "a function with PackageType Image.");
        return 0;
    }
    if (in->image_config || has_uri)
        return lambda_invalid(err, "Please don't provide ImageConfig or ImageUri when the "
                                   "intended function PackageType is Zip.");
    if (in->runtime.len == 0 || in->handler.len == 0)
        return lambda_invalid(err, "Runtime and Handler are mandatory parameters for functions "
                                   "created with deployment packages.");
    return 0;
}

int fn_config_create(struct call *c, const struct lambda_create_function_in *in,
                     struct lambda_function_configuration *out, struct config_layers *layers,
                     struct err *err)
{
    bool image = str_eq(in->package_type, STR("Image"));
    int r = check_package_type(in, err);

    if (r < 0)
        return r;
    if (in->file_system_configs.n > 0)
        return not_here(err, "FileSystemConfigs");
    if (in->capacity_provider_config)
        return not_here(err, "CapacityProviderConfig");
    if (in->durable_config)
        return not_here(err, "DurableConfig");
    if (in->tenancy_config)
        return not_here(err, "TenancyConfig");
    if (in->code_signing_config_arn.len > 0)
        return err_aws(err, &LAMBDA_CODE_SIGNING_CONFIG_NOT_FOUND_EXCEPTION,
                       "The code signing configuration cannot be found. Check that the provided "
                       "configuration is not deleted: %.*s.",
                       STR_ARG(in->code_signing_config_arn));

    out->role = in->role;
    out->handler = in->handler;
    out->description = str_is_null(in->description) ? STR("") : in->description;
    WIRE_SET(out, timeout, WIRE_GET(in, timeout, 3));
    WIRE_SET(out, memory_size, WIRE_GET(in, memory_size, 128));
    out->package_type = image ? STR("Image") : STR("Zip");
    out->kms_key_arn = in->kms_key_arn;
    set_dead_letter(in->dead_letter_config, out);
    r = image ? set_image_config(c, in->image_config, out, err)
              : set_runtime(c, in->runtime, out, err);
    if (r == 0)
        r = check_handler(out, err);
    if (r == 0)
        r = fn_config_architectures(c, &in->architectures, out, err);
    if (r == 0 && in->environment)
        r = set_environment(c, in->environment, out, err);
    if (r == 0)
        r = fn_config_layers(c, &in->layers, out, layers, err);
    if (r == 0 && in->vpc_config)
        r = set_vpc(c, in->vpc_config, out, err);
    if (r == 0)
        r = set_logging(c, in->logging_config, out, err);
    if (r == 0)
        r = set_snap_start(c, in->snap_start, out, err);
    if (r == 0)
        r = set_tracing(c, in->tracing_config, out, err);
    if (r == 0)
        r = set_storage(c, in->ephemeral_storage, out, err);
    return r == 0 ? check_snap_start(out, err) : r;
}

int fn_config_update(struct call *c, const struct lambda_update_function_configuration_in *in,
                     struct lambda_function_configuration *out, struct config_layers *layers,
                     struct err *err)
{
    int r = 0;

    if (in->file_system_configs.n > 0)
        return not_here(err, "FileSystemConfigs");
    if (fn_config_is_image(out)) {
        if (in->runtime.len > 0 || in->handler.len > 0 || in->layers.n > 0)
            return lambda_invalid(err, "Please don't provide Handler or Runtime or Layer when the "
                                       "intended function PackageType is Image.");
        if (in->image_config)
            r = set_image_config(c, in->image_config, out, err);
        if (r < 0)
            return r;
    } else if (in->image_config) {
        return lambda_invalid(err, "Please don't provide ImageConfig when the function's "
                                   "PackageType is Zip.");
    }
    if (in->capacity_provider_config)
        return not_here(err, "CapacityProviderConfig");
    if (in->durable_config)
        return not_here(err, "DurableConfig");
    if (!str_is_null(in->role))
        out->role = in->role;
    if (!str_is_null(in->handler))
        out->handler = in->handler;
    if (!str_is_null(in->description))
        out->description = in->description;
    if (in->has_timeout)
        WIRE_SET(out, timeout, in->timeout);
    if (in->has_memory_size)
        WIRE_SET(out, memory_size, in->memory_size);
    if (!str_is_null(in->kms_key_arn))
        out->kms_key_arn = in->kms_key_arn.len > 0 ? in->kms_key_arn : STR_NULL;
    if (in->dead_letter_config)
        set_dead_letter(in->dead_letter_config, out);
    if (in->runtime.len > 0)
        r = set_runtime(c, in->runtime, out, err);
    if (r == 0)
        r = check_handler(out, err);
    if (r == 0 && in->environment)
        r = set_environment(c, in->environment, out, err);
    if (r == 0 && in->layers.ptr)
        r = fn_config_layers(c, &in->layers, out, layers, err);
    if (r == 0 && in->vpc_config)
        r = set_vpc(c, in->vpc_config, out, err);
    if (r == 0 && in->logging_config)
        r = set_logging(c, in->logging_config, out, err);
    if (r == 0 && in->snap_start)
        r = set_snap_start(c, in->snap_start, out, err);
    if (r == 0 && in->tracing_config)
        r = set_tracing(c, in->tracing_config, out, err);
    if (r == 0 && in->ephemeral_storage)
        r = set_storage(c, in->ephemeral_storage, out, err);
    return r == 0 ? check_snap_start(out, err) : r;
}
