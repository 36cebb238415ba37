// snapstart.c - published versions with SnapStart: Pending until their INIT was run, then Active or
// Failed.
//
// The runtime runs INIT and says how it went (on a loop); the version's new state is stored by a
// worker under `change`, like every change. A version keeps its `struct function_config` through
// that: a new one would end the very environments that INIT made. State is durable: what was
// Pending when the daemon ended is begun again, what was Active stays so and is made ready again
// off the path.
#include "services/lambda/lambda_impl.h"

#include "base/json.h"
#include "os/log.h"
#include "os/worker.h"

#include <errno.h>
#include <stdlib.h>

static bool is_pending(const struct fn_version *v)
{
    return v->snapshot->snap_start && str_eq(v->config->state, STR("Pending"));
}

int snapstart_refuse(const struct fn_version *v, struct err *err)
{
    err_field(err, "Type", "User");
    return err_aws(err, &LAMBDA_RESOURCE_CONFLICT_EXCEPTION,
                   "The operation cannot be performed at this time. The function is currently in "
                   "the following state: %.*s",
                   STR_ARG(v->config->state));
}

int snapstart_excludes_provisioned(const struct fn_version *v, struct err *err)
{
    if (!v->snapshot->snap_start)
        return 0;
    return lambda_invalid(err, "Provisioned Concurrency is not supported for SnapStart enabled "
                               "functions.");
}

// --- how INIT went ---

// State reasons as AWS's model has them.
static struct str reason_code(struct str error_type)
{
    static const struct {
        const char *type, *code;
    } codes[] = {
        {"Sandbox.Timedout", "FunctionError.InitTimeout"},
        {"Runtime.OutOfMemory", "FunctionError.InitResourceExhausted"},
        {"Runtime.InvalidEntrypoint", "FunctionError.InvalidEntryPoint"},
        {RUNTIME_SNAPSHOT_INTERNAL, "InternalError"},
    };

    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (str_eq(error_type, str_from(codes[i].type)))
            return str_from(codes[i].code);
    if (str_starts(error_type, STR("Extension.")))
        return STR("FunctionError.ExtensionInitError");
    return STR("FunctionError.RuntimeInitError");
}

#define MAX_REASON_BYTES 512

static struct str reason_text(struct arena *a, struct str error_type, struct str error)
{
    const struct json_value *v = NULL;
    struct err err = ERR_INIT;
    struct str type = error_type, message = STR("");

    if (str_eq(error_type, STR("Sandbox.Timedout")))
        return STR("The function's initialization took longer than its time limit.");
    if (str_eq(error_type, STR(RUNTIME_SNAPSHOT_INTERNAL)))
        return STR("The execution environment of the function could not be started.");
    if (error.len > 0 && json_parse(a, error, &v, &err) == 0) {
        struct str given = json_get_or(v, "errorType", STR(""));
        message = json_get_or(v, "errorMessage", STR(""));
        type = given.len > 0 ? given : type;
    }
    // Without an invocation there is no request id.
    if (str_starts(message, STR("RequestId: %s Error: ")))
        message = str_slice(message, 21, message.len);
    if (message.len > MAX_REASON_BYTES)
        message.len = MAX_REASON_BYTES;
    return arena_printf(a, "The function's initialization failed: %.*s%s%.*s", STR_ARG(type),
                        message.len > 0 ? ": " : "", STR_ARG(message));
}

struct outcome {
    struct work work;
    struct function_config *function; // a reference
    char *error_type, *error;         // NULL: INIT succeeded
};

static void outcome_free(struct outcome *o)
{
    function_config_unref(o->function);
    free(o->error_type);
    free(o->error);
    free(o);
}

// The version's successor: the same but for its state.
static int with_state(struct lambda *l, const struct fn *f, struct fn_version *v,
                      const struct lambda_function_configuration *config, struct fn_version **out,
                      struct err *err)
{
    struct config_layers layers;
    struct version_parts parts;

    version_layers(v, &layers);
    parts = version_parts_of(f, v->number, v->sha256, &layers);
    parts.image_uri = v->image_uri;
    int r = fn_version_new(l, &parts, config, out, err);
    if (r == 0) {
        function_config_unref((*out)->snapshot);
        (*out)->snapshot = function_config_ref(v->snapshot);
    }
    return r;
}

static int store_outcome(struct lambda *l, const struct outcome *o, struct err *err)
{
    _cleanup_(arena_finish) struct arena a = {0};
    _cleanup_(fn_version_unrefp) struct fn_version *next = NULL;
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct fn *f = fn_get(l, o->function->account, o->function->region, o->function->name);
    struct fn_version *v =
        f ? fn_version_number(f, lambda_version_number(o->function->version)) : NULL;
    int r;

    if (!v || v->snapshot != o->function || !is_pending(v))
        return 0; // deleted meanwhile
    arena_init(&a, 64 * 1024);
    struct lambda_function_configuration config = *v->config;
    config.state = o->error_type ? STR("Failed") : STR("Active");
    config.state_reason = config.state_reason_code = STR_NULL;
    if (o->error_type) {
        config.state_reason_code = reason_code(str_from(o->error_type));
        config.state_reason = reason_text(&a, str_from(o->error_type), str_from(o->error));
    }
    r = with_state(l, f, v, &config, &next, err);
    if (r == 0)
        r = store_begin(l->store, STORE_WRITE, &tx, err);
    if (r == 0)
        r = fn_store_version(tx, l, f, next, err);
    if (r == 0)
        r = store_commit(&tx, err);
    if (r == 0)
        fn_put_version(l, f, TAKE_PTR(next));
    return r;
}

static void work_outcome(struct work *w)
{
    struct outcome *o = (struct outcome *)(void *)w;
    struct lambda *l = &lambda_service_state;
    struct err err = ERR_INIT;

    pthread_mutex_lock(&l->change);
    if (store_outcome(l, o, &err) < 0)
        log_error("the state of %.*s:%.*s: %s", STR_ARG(o->function->arn),
                  STR_ARG(o->function->version), err.message);
    pthread_mutex_unlock(&l->change);
    outcome_free(o);
}

// The runtime's word, on a loop.
static void made(void *ctx, struct function_config *f, struct str error_type, struct str error)
{
    struct outcome *o = calloc(1, sizeof(*o));

    (void)ctx;
    if (!o)
        return; // Pending until the next start
    o->work = (struct work){.run = work_outcome};
    o->function = function_config_ref(f);
    if (!str_is_null(error_type)) {
        o->error_type = strndup(error_type.ptr, error_type.len);
        o->error = strndup(error.ptr ? error.ptr : "", error.len);
        if (!o->error_type || !o->error) {
            outcome_free(o);
            return;
        }
    }
    work_submit(&o->work);
}

// --- beginning ---

void snapstart_begin(struct fn_version *v)
{
    struct err err = ERR_INIT;

    if (is_pending(v) && runtime_snapshot_make(v->snapshot, &err) < 0)
        log_error("the snapshot of %.*s:%.*s: %s", STR_ARG(v->snapshot->arn),
                  STR_ARG(v->snapshot->version), err.message);
}

void snapstart_open(struct lambda *l)
{
    const struct map_entry *e;
    size_t at = 0;

    runtime_set_snapshot_handler(made, l);
    while ((e = map_next(&l->functions, &at)) != NULL) {
        const struct fn *f = e->value;
        for (unsigned i = 0; i < f->n_versions; i++) {
            struct fn_version *v = f->versions[i];
            if (is_pending(v))
                snapstart_begin(v);
            else if (v->snapshot->snap_start && str_eq(v->config->state, STR("Active")))
                runtime_snapshot_keep(v->snapshot);
        }
    }
}
