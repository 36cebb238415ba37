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

static uint64_t layer_bytes(struct lambda *l, const struct config_layers *layers)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < layers->n; i++)
        bytes += package_unpacked_bytes(l->code_dir, layers->sha256[i]);
    return bytes;
}

// What is compiled of it; nothing of a folder that is not ours.
static const char *package_tree(const struct package *p)
{
    return p->hot_folder.len > 0 ? NULL : p->sha256;
}

static void set_code(struct call *c, const struct package *p,
                     struct lambda_function_configuration *out)
{
    out->code_sha256 =
        arena_str(c->arena, str_from(p->image ? p->sha256 : p->sha256_base64)); // as on AWS
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

// All versions of an account and region together, as GetAccountSettings shows it.
static int check_storage(struct lambda *l, struct call *c, uint64_t more, struct err *err)
{
    int64_t used = code_storage_used(l, c->account, c->region);

    if (used + (int64_t)more <= LAMBDA_MAX_CODE_STORAGE)
        return 0;
    return err_aws(err, &LAMBDA_CODE_STORAGE_EXCEEDED_EXCEPTION, "Code storage limit exceeded.");
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

int lambda_create_function(struct call *c, const struct lambda_create_function_in *in,
                           struct lambda_create_function_out *out, struct err *err)
{
    _cleanup_(deploy_endp) struct lambda *l = deploy_begin(lambda_of(c));
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
    r = fn_config_create(c, in, &config, &layers, err);
    if (r < 0)
        return r;
    const struct code_source code = {in->code ? in->code->zip_file : STR_NULL,
                                     in->code ? in->code->s3_bucket : STR_NULL,
                                     in->code ? in->code->s3_key : STR_NULL,
                                     in->code ? in->code->s3_object_version : STR_NULL, STR_NULL};
    if (fn_config_is_image(&config))
        r = image_code_store(l, c, in->code->image_uri, &package, err);
    else
        r = function_code_store(l, c, &code, &layers, false, &package, err);
    if (r < 0)
        return r;
    r = layers_merge(l, &layers, err);
    if (r < 0)
        return r;
    code_prepare(l, config.runtime, package_tree(&package), layers.tree);

    _cleanup_(lambda_change_end) struct lambda *locked = lambda_change(c);
    _cleanup_(fn_freep) struct fn *f = fn_new(c->account, c->region, name);
    _cleanup_(fn_version_unrefp) struct fn_version *latest = NULL, *published = NULL;
    _cleanup_(fn_record_unrefp) struct fn_record *tags = NULL;
    r = refuse_existing(locked, c, name, err);
    if (r == 0)
        r = hot_check(package.hot_folder, &config, err);
    if (r == 0)
        r = check_storage(locked, c, package.zip_bytes, err);
    if (r < 0)
        return r;
    if (!f || fn_reserve(l, f) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    set_code(c, &package, &config);
    config.function_arn = arena_str(c->arena, f->arn);
    config.version = STR(LAMBDA_LATEST);
    touch(c, &config);
    struct version_parts parts = version_parts_of(f, 0, package.sha256, &layers);
    parts.hot_folder = package.hot_folder;
    if (package.image)
        parts.image_uri = in->code->image_uri;
    r = fn_version_new(l, &parts, &config, &latest, err);
    *out = config;
    if (r == 0 && WIRE_GET(in, publish, false)) {
        version_as_published(c, f, 1, out);
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
    if (published) {
        snapstart_begin(published);
        fn_put_version(l, f, TAKE_PTR(published));
    }
    if (tags)
        fn_put_record(l, f, TAKE_PTR(tags));
    runtime_expect(f->versions[0]->snapshot);
    fn_put(l, TAKE_PTR(f));
    version_say_pending(out);
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
    if (fn_config_is_image(v->config))
        r = image_code_location(c, v, out->code, err);
    else if (v->hot)
        out->code->location = arena_printf(c->arena, "file://%.*s", STR_ARG(v->hot_folder));
    else
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
    hot_version_replaced(fn_version_number(f, v->number), v);
    struct function_config *snapshot = function_config_ref(v->snapshot);
    fn_put_version(l, f, TAKE_PTR(v));
    if (p) {
        snapstart_begin(p);
        fn_put_version(l, f, TAKE_PTR(p));
    }
    runtime_update(snapshot);
    function_config_unref(snapshot);
    return 0;
}

int lambda_update_function_code(struct call *c, const struct lambda_update_function_code_in *in,
                                struct lambda_update_function_code_out *out, struct err *err)
{
    _cleanup_(deploy_endp) struct lambda *l = deploy_begin(lambda_of(c));
    const struct code_source code = {in->zip_file, in->s3_bucket, in->s3_key, in->s3_object_version,
                                     in->image_uri};
    bool dry_run = WIRE_GET(in, dry_run, false);
    struct config_layers layers = {0};
    struct package package;
    struct str runtime;
    bool image;
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
        version_layers(v, &layers);
        layers.unpacked_bytes = layer_bytes(look, &layers);
        runtime = arena_str(c->arena, v->config->runtime);
        image = fn_config_is_image(v->config);
    }
    if (image && (in->image_uri.len == 0 || !str_is_null(in->zip_file) || in->s3_bucket.len > 0))
        return lambda_invalid(err, "Please provide ImageUri when updating a function with "
                                   "packageType Image.");
    if (image)
        r = image_code_store(l, c, in->image_uri, &package, err);
    else
        r = function_code_store(l, c, &code, &layers, dry_run, &package, err);
    if (r < 0)
        return r;
    if (!dry_run)
        code_prepare(l, runtime, package_tree(&package), layers.tree);

    _cleanup_(lambda_change_end) struct lambda *locked = lambda_change(c);
    struct fn_target t;
    struct fn_version *v, *latest = NULL, *published = NULL;
    r = fn_find(locked, c, in->function_name, STR_NULL, &t, err);
    if (r == 0)
        r = fn_version_of(&t, &v, err);
    if (r == 0)
        r = revision_check(in->revision_id, v->config->revision_id, err);
    if (r == 0)
        r = check_storage(locked, c, package.zip_bytes, err);
    if (r == 0)
        r = hot_check(package.hot_folder, v->config, err);
    if (r < 0)
        return r;
    if (fn_config_is_image(v->config) != image) // made anew by somebody else meanwhile
        return err_aws(err, &LAMBDA_RESOURCE_CONFLICT_EXCEPTION,
                       "The function was replaced while "
                       "its code was updated.");
    fn_version_hold(c, v);
    struct lambda_function_configuration config = *v->config;
    version_layers(v, &layers);
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
    struct version_parts parts = version_parts_of(t.fn, 0, package.sha256, &layers);
    parts.hot_folder = package.hot_folder;
    if (image)
        parts.image_uri = in->image_uri;
    r = fn_version_new(l, &parts, &config, &latest, err);
    if (r == 0 && WIRE_GET(in, publish, false)) {
        parts.number = t.fn->next_version;
        version_as_published(c, t.fn, parts.number, out);
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

static int update_configuration(struct call *c,
                                const struct lambda_update_function_configuration_in *in,
                                struct lambda_function_configuration *out,
                                struct config_layers *layers, char sha256[static SHA256_HEX_BYTES],
                                bool *hot, struct err *err)
{
    _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
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
    version_layers(v, layers);
    *out = *v->config;
    r = fn_config_update(c, in, out, layers, err);
    if (r == 0)
        r = layers_merge(l, layers, err);
    if (r == 0)
        r = hot_check(v->hot_folder, out, err);
    if (r < 0)
        return r;
    if (package_unpacked_bytes(l->code_dir, v->sha256) + layer_bytes(l, layers) >
        PACKAGE_MAX_UNPACKED_BYTES)
        return lambda_invalid(err,
                              "Function code combined with layers exceeds the maximum allowed size "
                              "of %llu bytes.",
                              (unsigned long long)PACKAGE_MAX_UNPACKED_BYTES);
    memcpy(sha256, v->sha256, SHA256_HEX_BYTES);
    *hot = v->hot != NULL;
    touch(c, out);
    struct version_parts parts = version_parts_of(t.fn, 0, v->sha256, layers);
    parts.image_uri = v->image_uri;
    parts.hot_folder = v->hot_folder;
    r = fn_version_new(l, &parts, out, &latest, err);
    if (r == 0)
        r = replace_latest(l, t.fn, latest, NULL, err);
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
    _cleanup_(deploy_endp) struct lambda *l = deploy_begin(lambda_of(c));
    char sha256[SHA256_HEX_BYTES];
    struct config_layers layers = {0};
    struct lambda_function_configuration shown = {0};
    struct err ignored = ERR_INIT;

    // Merging takes long, so it is done before the lock is taken, which then finds the tree. What
    // is wrong with the layers is said there.
    if (in->layers.n > 1 && fn_config_layers(c, &in->layers, &shown, &layers, &ignored) == 0)
        layers_merge(l, &layers, &ignored);
    bool hot = false;
    int r = update_configuration(c, in, out, &layers, sha256, &hot, err);

    // Without the lock: compiling takes long, and an environment that starts meanwhile only starts
    // a little later than it could.
    if (r == 0 && (in->runtime.len > 0 || in->layers.n > 0))
        code_prepare(l, out->runtime, hot ? NULL : sha256, layers.tree);
    return r;
}

// --- DeleteFunction ---

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
        return version_delete(l, &t, err);
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

// --- ListFunctions ---

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
