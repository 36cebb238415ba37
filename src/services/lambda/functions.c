// functions.c - create, read, update, delete and list functions.
//
// Code is stored and prepared before `change` is taken: unpacking takes long and needs no lock.
// A function is Active once its creation was answered: the answer itself says Pending, as AWS's
// does, and whoever asks afterwards finds it ready.
#include "services/lambda/lambda_impl.h"

#include "engine/auth.h"
#include "os/log.h"
#include "services/lambda/unpack.h"

#include <errno.h>

static struct version_parts parts_of(const struct fn *f, uint64_t number, const char *sha256,
                                     const struct config_layers *layers)
{
    return (struct version_parts){
        .account = f->account,
        .region = f->region,
        .name = f->name,
        .number = number,
        .sha256 = sha256,
        .layer_sha256 = (const char(*)[SHA256_HEX_BYTES])layers->sha256,
        .n_layers = layers->n,
    };
}

static void layers_of(const struct fn_version *v, struct config_layers *out)
{
    *out = (struct config_layers){.n = v->n_layers};
    memcpy(out->sha256, v->layer_sha256, sizeof(out->sha256));
}

static uint64_t layer_bytes(struct lambda *l, const struct config_layers *layers)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < layers->n; i++)
        bytes += package_unpacked_bytes(l->code_dir, layers->sha256[i]);
    return bytes;
}

static void set_code(struct call *c, const struct package *p,
                     struct lambda_function_configuration *out)
{
    out->code_sha256 = arena_str(c->arena, str_from(p->sha256_base64));
    WIRE_SET(out, code_size, (int64_t)p->zip_bytes);
}

// The members that every change renews.
static void touch(struct call *c, struct lambda_function_configuration *out)
{
    out->last_modified = lambda_time(c->arena, c->now_ms);
    out->revision_id = lambda_uuid(c->arena);
    out->state = STR("Active");
    out->last_update_status = STR("Successful");
    out->state_reason = out->state_reason_code = STR_NULL;
    out->last_update_status_reason = out->last_update_status_reason_code = STR_NULL;
}

static void say_pending(struct lambda_function_configuration *out)
{
    out->state = STR("Pending");
    out->state_reason = STR("The function is being created.");
    out->state_reason_code = STR("Creating");
    out->last_update_status = STR_NULL;
}

static void say_updating(struct lambda_function_configuration *out)
{
    out->last_update_status = STR("InProgress");
    out->last_update_status_reason = STR("The function is being created.");
    out->last_update_status_reason_code = STR("Creating");
}

// --- CreateFunction ---

static int name_of_new(struct call *c, struct str given, struct str *name, struct err *err)
{
    struct lambda_name n;

    if (!lambda_name_parse(given, &n) || !str_is_null(n.qualifier))
        return err_aws(err, wire_lambda.validation,
                       "1 validation error detected: Value '%.*s' at 'functionName' failed to "
                       "satisfy constraint: Member must satisfy regular expression pattern: "
                       "[a-zA-Z0-9-_]+",
                       (int)(given.len > 140 ? 140 : given.len), given.ptr);
    if ((!str_is_null(n.account) && !str_eq(n.account, c->account)) ||
        (!str_is_null(n.region) && !str_eq(n.region, c->region)))
        return lambda_invalid(err, "The function's ARN names another account or region.");
    *name = n.name;
    return 0;
}

static int refuse_existing(struct lambda *l, struct call *c, struct str name, struct err *err)
{
    if (!fn_get(l, c->account, c->region, name))
        return 0;
    err_field(err, "Type", "User");
    return err_aws(err, &LAMBDA_RESOURCE_CONFLICT_EXCEPTION, "Function already exist: %.*s",
                   STR_ARG(name));
}

static int check_existing(struct call *c, struct str name, struct err *err)
{
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look(c);

    return refuse_existing(l, c, name, err);
}

static void fn_freep(struct fn **f)
{
    fn_free(*f);
}

static int insert_function(struct lambda *l, struct fn *f, struct fn_version *latest,
                           struct fn_version *published, struct fn_record *tags, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    int r = store_begin(l->store, STORE_WRITE, &tx, err);

    if (r == 0)
        r = fn_store_put(tx, f, published ? 2 : 1, err);
    if (r == 0)
        r = fn_store_version(tx, l, f, latest, err);
    if (r == 0 && published)
        r = fn_store_version(tx, l, f, published, err);
    if (r == 0 && tags)
        r = fn_store_record(tx, f, tags, err);
    if (r == 0)
        r = store_commit(&tx, err);
    return r;
}

// The published twin of a configuration: its own version, ARN and revision.
static void as_published(struct call *c, const struct fn *f, uint64_t number,
                         struct lambda_function_configuration *config)
{
    config->version = arena_printf(c->arena, "%llu", (unsigned long long)number);
    config->function_arn =
        arena_printf(c->arena, "%.*s:%.*s", STR_ARG(f->arn), STR_ARG(config->version));
    config->revision_id = lambda_uuid(c->arena);
    if (config->snap_start && str_eq(config->snap_start->apply_on, STR("PublishedVersions"))) {
        struct lambda_snap_start_response *s =
            arena_new(c->arena, struct lambda_snap_start_response);
        if (s) {
            *s = *config->snap_start;
            s->optimization_status = STR("On");
            config->snap_start = s;
        }
    }
}

int lambda_create_function(struct call *c, const struct lambda_create_function_in *in,
                           struct lambda_create_function_out *out, struct err *err)
{
    struct lambda *l = lambda_of(c);
    struct lambda_function_configuration config = {0};
    struct config_layers layers = {0};
    struct package package;
    struct str name;
    int r;

    r = name_of_new(c, in->function_name, &name, err);
    if (r == 0)
        r = check_existing(c, name, err);
    if (r < 0)
        return r;
    config.function_name = name;
    r = fn_config_create(l, c, in, &config, &layers, err);
    if (r < 0)
        return r;
    const struct code_source code = {in->code ? in->code->zip_file : STR_NULL,
                                     in->code ? in->code->s3_bucket : STR_NULL,
                                     in->code ? in->code->s3_key : STR_NULL,
                                     in->code ? in->code->s3_object_version : STR_NULL, STR_NULL};
    r = code_store(l, c, &code, PACKAGE_MAX_UNPACKED_BYTES - layers.unpacked_bytes, false, &package,
                   err);
    if (r < 0)
        return r;
    code_prepare(l, &config, package.sha256);

    _cleanup_(lambda_change_end) struct lambda *locked = lambda_change(c);
    _cleanup_(fn_freep) struct fn *f = fn_new(c->account, c->region, name);
    _cleanup_(fn_version_unrefp) struct fn_version *latest = NULL, *published = NULL;
    _cleanup_(fn_record_unrefp) struct fn_record *tags = NULL;
    r = refuse_existing(locked, c, name, err);
    if (r < 0)
        return r;
    if (!f || fn_reserve(l, f) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    set_code(c, &package, &config);
    config.function_arn = arena_str(c->arena, f->arn);
    config.version = STR(LAMBDA_LATEST);
    touch(c, &config);
    struct version_parts parts = parts_of(f, 0, package.sha256, &layers);
    r = fn_version_new(l, &parts, &config, &latest, err);
    *out = config;
    if (r == 0 && WIRE_GET(in, publish, false)) {
        as_published(c, f, 1, out);
        parts.number = 1;
        r = fn_version_new(l, &parts, out, &published, err);
    }
    if (r == 0 && in->tags.n > 0) {
        const struct lambda_list_tags_out record = {.tags = in->tags};
        r = fn_record_new(RECORD_TAGS, STR(""), &record, &tags, err);
    }
    if (r == 0)
        r = insert_function(l, f, latest, published, tags, err);
    if (r < 0)
        return r;
    fn_put_version(l, f, TAKE_PTR(latest));
    if (published)
        fn_put_version(l, f, TAKE_PTR(published));
    if (tags)
        fn_put_record(l, f, TAKE_PTR(tags));
    fn_put(l, TAKE_PTR(f));
    say_pending(out);
    return 0;
}

// --- GetFunction, GetFunctionConfiguration ---

int lambda_get_function_configuration(struct call *c,
                                      const struct lambda_get_function_configuration_in *in,
                                      struct lambda_get_function_configuration_out *out,
                                      struct err *err)
{
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look(c);
    struct fn_target t;
    struct fn_version *v;
    int r = fn_find(l, c, in->function_name, in->qualifier, &t, err);

    if (r == 0)
        r = fn_version_of(&t, &v, err);
    if (r < 0)
        return r;
    fn_version_hold(c, v);
    *out = *v->config;
    out->function_arn = t.arn;
    return 0;
}

int lambda_get_function(struct call *c, const struct lambda_get_function_in *in,
                        struct lambda_get_function_out *out, struct err *err)
{
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look(c);
    struct fn_target t;
    struct fn_version *v;
    int r = fn_find(l, c, in->function_name, in->qualifier, &t, err);

    if (r == 0)
        r = fn_version_of(&t, &v, err);
    if (r < 0)
        return r;
    out->configuration = arena_new(c->arena, struct lambda_function_configuration);
    out->code = arena_new(c->arena, struct lambda_function_code_location);
    if (!out->configuration || !out->code)
        return err_set(err, -ENOMEM, "out of memory");
    fn_version_hold(c, v);
    *out->configuration = *v->config;
    out->configuration->function_arn = t.arn;
    out->code->repository_type = STR("S3");
    r = code_location(l, c, v->sha256, &out->code->location, err);
    if (r < 0)
        return r;
    struct fn_record *tags = fn_record_of(t.fn, RECORD_TAGS, STR(""));
    if (tags) {
        fn_record_hold(c, tags);
        out->tags = ((const struct lambda_list_tags_out *)tags->value)->tags;
    }
    struct fn_record *concurrency = fn_record_of(t.fn, RECORD_CONCURRENCY, STR(""));
    if (concurrency) {
        out->concurrency = arena_new(c->arena, struct lambda_concurrency);
        if (!out->concurrency)
            return err_set(err, -ENOMEM, "out of memory");
        *out->concurrency = *(const struct lambda_concurrency *)concurrency->value;
    }
    return 0;
}

// --- updates ---

static int replace_latest(struct lambda *l, struct fn *f, struct fn_version *latest,
                          struct fn_version *published, struct err *err)
{
    _cleanup_(fn_version_unrefp) struct fn_version *v = latest, *p = published;
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    int r;

    if (fn_reserve(l, f) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    r = store_begin(l->store, STORE_WRITE, &tx, err);
    if (r == 0)
        r = fn_store_version(tx, l, f, v, err);
    if (r == 0 && p)
        r = fn_store_version(tx, l, f, p, err);
    if (r == 0 && p)
        r = fn_store_put(tx, f, p->number + 1, err);
    if (r == 0)
        r = store_commit(&tx, err);
    if (r < 0)
        return r;
    struct function_config *snapshot = function_config_ref(v->snapshot);
    fn_put_version(l, f, TAKE_PTR(v));
    if (p)
        fn_put_version(l, f, TAKE_PTR(p));
    runtime_update(snapshot);
    function_config_unref(snapshot);
    return 0;
}

int lambda_update_function_code(struct call *c, const struct lambda_update_function_code_in *in,
                                struct lambda_update_function_code_out *out, struct err *err)
{
    struct lambda *l = lambda_of(c);
    const struct code_source code = {in->zip_file, in->s3_bucket, in->s3_key, in->s3_object_version,
                                     in->image_uri};
    bool dry_run = WIRE_GET(in, dry_run, false);
    struct config_layers layers = {0};
    struct package package;
    struct str runtime;
    int r;

    {
        // Before the package is unpacked: is there such a function at all?
        _cleanup_(lambda_look_end) struct lambda *look = lambda_look(c);
        struct fn_target t;
        struct fn_version *v;
        r = fn_find(look, c, in->function_name, STR_NULL, &t, err);
        if (r == 0)
            r = fn_version_of(&t, &v, err);
        if (r == 0)
            r = revision_check(in->revision_id, v->config->revision_id, err);
        if (r < 0)
            return r;
        layers_of(v, &layers);
        runtime = arena_str(c->arena, v->config->runtime);
    }
    r = code_store(l, c, &code, PACKAGE_MAX_UNPACKED_BYTES - layer_bytes(l, &layers), dry_run,
                   &package, err);
    if (r < 0)
        return r;
    if (!dry_run) {
        const struct lambda_function_configuration wanted = {.runtime = runtime};
        code_prepare(l, &wanted, package.sha256);
    }

    _cleanup_(lambda_change_end) struct lambda *locked = lambda_change(c);
    struct fn_target t;
    struct fn_version *v, *latest = NULL, *published = NULL;
    r = fn_find(locked, c, in->function_name, STR_NULL, &t, err);
    if (r == 0)
        r = fn_version_of(&t, &v, err);
    if (r == 0)
        r = revision_check(in->revision_id, v->config->revision_id, err);
    if (r < 0)
        return r;
    fn_version_hold(c, v);
    struct lambda_function_configuration config = *v->config;
    layers_of(v, &layers);
    if (in->architectures.ptr) {
        r = fn_config_architectures(c, &in->architectures, &config, err);
        if (r < 0)
            return r;
    }
    set_code(c, &package, &config);
    touch(c, &config);
    *out = config;
    if (dry_run)
        return 0;
    struct version_parts parts = parts_of(t.fn, 0, package.sha256, &layers);
    r = fn_version_new(l, &parts, &config, &latest, err);
    if (r == 0 && WIRE_GET(in, publish, false)) {
        parts.number = t.fn->next_version;
        as_published(c, t.fn, parts.number, out);
        r = fn_version_new(l, &parts, out, &published, err);
        if (r < 0)
            fn_version_unref(latest);
    }
    if (r == 0)
        r = replace_latest(l, t.fn, latest, published, err);
    if (r < 0)
        return r;
    say_updating(out);
    return 0;
}

int lambda_update_function_configuration(struct call *c,
                                         const struct lambda_update_function_configuration_in *in,
                                         struct lambda_update_function_configuration_out *out,
                                         struct err *err)
{
    _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
    struct config_layers layers;
    struct fn_target t;
    struct fn_version *v, *latest = NULL;
    int r = fn_find(l, c, in->function_name, STR_NULL, &t, err);

    if (r == 0)
        r = fn_version_of(&t, &v, err);
    if (r == 0)
        r = revision_check(in->revision_id, v->config->revision_id, err);
    if (r < 0)
        return r;
    fn_version_hold(c, v);
    layers_of(v, &layers);
    *out = *v->config;
    r = fn_config_update(l, c, in, out, &layers, err);
    if (r < 0)
        return r;
    if (package_unpacked_bytes(l->code_dir, v->sha256) + layer_bytes(l, &layers) >
        PACKAGE_MAX_UNPACKED_BYTES)
        return lambda_invalid(err,
                              "Function code combined with layers exceeds the maximum allowed size "
                              "of %llu bytes.",
                              (unsigned long long)PACKAGE_MAX_UNPACKED_BYTES);
    if (in->runtime.len > 0)
        code_prepare(l, out, v->sha256);
    touch(c, out);
    const struct version_parts parts = parts_of(t.fn, 0, v->sha256, &layers);
    r = fn_version_new(l, &parts, out, &latest, err);
    if (r == 0)
        r = replace_latest(l, t.fn, latest, NULL, err);
    if (r < 0)
        return r;
    say_updating(out);
    return 0;
}

// --- PublishVersion ---

int lambda_publish_version(struct call *c, const struct lambda_publish_version_in *in,
                           struct lambda_publish_version_out *out, struct err *err)
{
    _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
    _cleanup_(fn_version_unrefp) struct fn_version *published = NULL;
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct config_layers layers;
    struct fn_target t;
    struct fn_version *v;
    int r = fn_find(l, c, in->function_name, STR_NULL, &t, err);

    if (r < 0)
        return r;
    struct fn *f = t.fn;
    v = f->versions[0];
    r = revision_check(in->revision_id, v->config->revision_id, err);
    if (r < 0)
        return r;
    if (in->code_sha256.len > 0 && !str_eq(in->code_sha256, v->config->code_sha256))
        return lambda_invalid(err,
                              "CodeSHA256 (%.*s) is different from current CodeSHA256 in $LATEST "
                              "(%.*s). Please try again with the CodeSHA256 in $LATEST.",
                              (int)(in->code_sha256.len > 64 ? 64 : in->code_sha256.len),
                              in->code_sha256.ptr, STR_ARG(v->config->code_sha256));
    fn_version_hold(c, v);
    // Nothing changed since the newest version: that one is the answer, as on AWS.
    struct fn_version *newest = f->versions[f->n_versions - 1];
    if (newest->number > 0 && str_eq(newest->config->last_modified, v->config->last_modified) &&
        str_eq(newest->config->code_sha256, v->config->code_sha256)) {
        fn_version_hold(c, newest);
        *out = *newest->config;
        return 0;
    }
    layers_of(v, &layers);
    *out = *v->config;
    if (!str_is_null(in->description))
        out->description = in->description;
    as_published(c, f, f->next_version, out);
    const struct version_parts parts = parts_of(f, f->next_version, v->sha256, &layers);
    r = fn_version_new(l, &parts, out, &published, err);
    if (r == 0 && fn_reserve(l, f) < 0)
        r = err_set(err, -ENOMEM, "out of memory");
    if (r == 0)
        r = store_begin(l->store, STORE_WRITE, &tx, err);
    if (r == 0)
        r = fn_store_version(tx, l, f, published, err);
    if (r == 0)
        r = fn_store_put(tx, f, parts.number + 1, err);
    if (r == 0)
        r = store_commit(&tx, err);
    if (r < 0)
        return r;
    fn_put_version(l, f, TAKE_PTR(published));
    say_pending(out);
    out->last_update_status = STR("Successful");
    return 0;
}

// --- DeleteFunction ---

static bool alias_uses(const struct fn *f, struct str version)
{
    for (unsigned i = 0; i < f->n_records; i++) {
        if (f->records[i]->kind != RECORD_ALIAS)
            continue;
        const struct lambda_alias_configuration *a = f->records[i]->value;
        if (str_eq(a->function_version, version))
            return true;
        if (!a->routing_config)
            continue;
        for (size_t k = 0; k < a->routing_config->additional_version_weights.n; k++)
            if (str_eq(a->routing_config->additional_version_weights.ptr[k].key, version))
                return true;
    }
    return false;
}

static int delete_version(struct lambda *l, const struct fn_target *t, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    uint64_t number = lambda_version_number(t->qualifier);
    int r;

    if (str_eq(t->qualifier, STR(LAMBDA_LATEST)))
        return lambda_invalid(err, "$LATEST version cannot be deleted without deleting the "
                                   "function.");
    if (number == 0)
        return lambda_invalid(err, "Deletion of aliases is not currently supported.");
    if (alias_uses(t->fn, t->qualifier)) {
        err_field(err, "Type", "User");
        return err_aws(err, &LAMBDA_RESOURCE_CONFLICT_EXCEPTION,
                       "Version %.*s is used by one or more aliases. Please delete or update the "
                       "aliases first.",
                       STR_ARG(t->qualifier));
    }
    if (!fn_version_number(t->fn, number))
        return 0; // AWS answers 204 for a version that is not there
    r = store_begin(l->store, STORE_WRITE, &tx, err);
    if (r == 0)
        r = fn_store_delete_version(tx, t->fn, number, err);
    if (r == 0)
        r = store_commit(&tx, err);
    if (r < 0)
        return r;
    fn_remove_version(l, t->fn, number);
    runtime_forget(t->fn->account, t->fn->region, t->fn->name, t->qualifier);
    return 0;
}

int lambda_delete_function(struct call *c, const struct lambda_delete_function_in *in,
                           struct lambda_delete_function_out *out, struct err *err)
{
    _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct fn_target t;
    int r = fn_find(l, c, in->function_name, in->qualifier, &t, err);

    if (r < 0)
        return r;
    WIRE_SET(out, status_code, 204);
    if (!str_is_null(t.qualifier))
        return delete_version(l, &t, err);
    r = store_begin(l->store, STORE_WRITE, &tx, err);
    if (r == 0)
        r = fn_store_delete(tx, t.fn, err);
    if (r == 0)
        r = store_commit(&tx, err);
    if (r < 0)
        return r;
    struct str account = arena_str(c->arena, t.fn->account);
    struct str region = arena_str(c->arena, t.fn->region);
    struct str name = arena_str(c->arena, t.fn->name);
    bool reserved = fn_record_of(t.fn, RECORD_CONCURRENCY, STR("")) != NULL;
    fn_remove(l, t.fn);
    runtime_forget(account, region, name, STR_NULL);
    if (reserved)
        runtime_reserve(account, region, name, -1, NULL);
    return 0;
}

// --- ListFunctions, ListVersionsByFunction ---

int lambda_list_functions(struct call *c, const struct lambda_list_functions_in *in,
                          struct lambda_list_functions_out *out, struct err *err)
{
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look(c);
    size_t max = (size_t)WIRE_GET(in, max_items, LAMBDA_PAGE_DEFAULT), n, count = 0;
    bool all = str_eq(in->function_version, STR("ALL"));
    struct fn **list;

    if (max > LAMBDA_PAGE_DEFAULT)
        max = LAMBDA_PAGE_DEFAULT; // AWS answers at most 50 whatever is asked for
    if (fn_list(l, c->arena, c->account, c->region, &list, &n) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    size_t cap = max;
    if (all)
        for (size_t i = 0; i < n; i++)
            cap += list[i]->n_versions;
    out->functions.ptr = arena_new_array(c->arena, struct lambda_function_configuration, cap + 1);
    if (!out->functions.ptr)
        return err_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        struct fn *f = list[i];
        if (page_skips(in->marker, f->name))
            continue;
        if (count >= max) {
            out->next_marker = arena_str(c->arena, list[i - 1]->name);
            break;
        }
        for (unsigned k = 0; k < (all ? f->n_versions : 1U); k++) {
            fn_version_hold(c, f->versions[k]);
            out->functions.ptr[count] = *f->versions[k]->config;
            if (all)
                out->functions.ptr[count].function_arn =
                    arena_printf(c->arena, "%.*s:%.*s", STR_ARG(f->arn),
                                 STR_ARG(f->versions[k]->config->version));
            count++;
        }
    }
    out->functions.n = count;
    return 0;
}

int lambda_list_versions_by_function(struct call *c,
                                     const struct lambda_list_versions_by_function_in *in,
                                     struct lambda_list_versions_by_function_out *out,
                                     struct err *err)
{
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look(c);
    size_t max = (size_t)WIRE_GET(in, max_items, LAMBDA_PAGE_DEFAULT), count = 0;
    uint64_t after = lambda_version_number(in->marker);
    struct fn_target t;
    int r = fn_find(l, c, in->function_name, STR_NULL, &t, err);

    if (r < 0)
        return r;
    if (max > LAMBDA_PAGE_DEFAULT)
        max = LAMBDA_PAGE_DEFAULT;
    out->versions.ptr = arena_new_array(c->arena, struct lambda_function_configuration, max + 1);
    if (!out->versions.ptr)
        return err_set(err, -ENOMEM, "out of memory");
    for (unsigned i = 0; i < t.fn->n_versions; i++) {
        struct fn_version *v = t.fn->versions[i];
        if (in->marker.len > 0 && v->number <= after)
            continue;
        if (count == max) {
            out->next_marker =
                arena_printf(c->arena, "%llu", (unsigned long long)t.fn->versions[i - 1]->number);
            break;
        }
        fn_version_hold(c, v);
        out->versions.ptr[count] = *v->config;
        out->versions.ptr[count].function_arn =
            arena_printf(c->arena, "%.*s:%.*s", STR_ARG(t.fn->arn), STR_ARG(v->config->version));
        count++;
    }
    out->versions.n = count;
    return 0;
}
