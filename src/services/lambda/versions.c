// versions.c - published versions: immutable copies of $LATEST under a number of their own.
#include "services/lambda/lambda_impl.h"

#include <errno.h>

struct version_parts version_parts_of(const struct fn *f, uint64_t number, const char *sha256,
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

int layers_merge(struct lambda *l, struct config_layers *layers, struct err *err)
{
    return layer_tree_make(l->code_dir, (const char(*)[SHA256_HEX_BYTES])layers->sha256, layers->n,
                           layers->tree, err);
}

void version_layers(const struct fn_version *v, struct config_layers *out)
{
    *out = (struct config_layers){.n = v->n_layers};
    memcpy(out->sha256, v->layer_sha256, sizeof(out->sha256));
    memcpy(out->tree, v->layer_tree, sizeof(out->tree));
}

void version_say_pending(struct lambda_function_configuration *out)
{
    out->state = STR("Pending");
    out->state_reason = STR("The function is being created.");
    out->state_reason_code = STR("Creating");
    out->last_update_status = STR_NULL;
}

// The published twin of a configuration: its own version, ARN and revision.
void version_as_published(struct call *c, const struct fn *f, uint64_t number,
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
        version_say_pending(config); // until INIT was run: snapstart.c
        config->last_update_status = STR("Successful");
    }
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
    version_layers(v, &layers);
    *out = *v->config;
    if (!str_is_null(in->description))
        out->description = in->description;
    version_as_published(c, f, f->next_version, out);
    struct version_parts parts = version_parts_of(f, f->next_version, v->sha256, &layers);
    parts.image_uri = v->image_uri;
    parts.hot_folder = v->hot_folder;
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
    snapstart_begin(published);
    fn_put_version(l, f, TAKE_PTR(published));
    version_say_pending(out);
    out->last_update_status = STR("Successful");
    return 0;
}

// --- deleting one ---

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

int version_delete(struct lambda *l, const struct fn_target *t, struct err *err)
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

// --- ListVersionsByFunction ---

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
