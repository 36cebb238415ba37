// settings.c - what else a function or an account has: account settings, code signing, recursion,
// runtime management.
#include "services/lambda/lambda_impl.h"

#include "services/lambda/unpack.h"

#include <errno.h>

int64_t code_storage_used(struct lambda *l, struct str account, struct str region)
{
    const struct map_entry *e;
    int64_t used = 0;
    size_t at = 0;

    while ((e = map_next(&l->functions, &at)) != NULL) {
        const struct fn *f = e->value;
        if (!str_eq(f->account, account) || !str_eq(f->region, region))
            continue;
        for (unsigned i = 0; i < f->n_versions; i++)
            used += f->versions[i]->config->code_size;
    }
    return used;
}

int lambda_get_account_settings(struct call *c, const struct lambda_get_account_settings_in *in,
                                struct lambda_get_account_settings_out *out, struct err *err)
{
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look(c);
    struct fn **list;
    size_t n;

    (void)in;
    out->account_limit = arena_new(c->arena, struct lambda_account_limit);
    out->account_usage = arena_new(c->arena, struct lambda_account_usage);
    if (!out->account_limit || !out->account_usage ||
        fn_list(l, c->arena, c->account, c->region, &list, &n) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    WIRE_SET(out->account_limit, total_code_size, LAMBDA_MAX_CODE_STORAGE);
    WIRE_SET(out->account_limit, code_size_unzipped, (int64_t)PACKAGE_MAX_UNPACKED_BYTES);
    WIRE_SET(out->account_limit, code_size_zipped, (int64_t)PACKAGE_MAX_ZIP_BYTES);
    WIRE_SET(out->account_limit, concurrent_executions, (int64_t)runtime_account_limit());
    WIRE_SET(out->account_limit, unreserved_concurrent_executions,
             concurrency_unreserved(l, c->account, c->region));
    WIRE_SET(out->account_usage, total_code_size, code_storage_used(l, c->account, c->region));
    WIRE_SET(out->account_usage, function_count, (int64_t)n);
    return 0;
}

int lambda_get_function_code_signing_config(
    struct call *c, const struct lambda_get_function_code_signing_config_in *in,
    struct lambda_get_function_code_signing_config_out *out, struct err *err)
{
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look(c);
    struct fn_target t;
    int r = fn_find(l, c, in->function_name, STR_NULL, &t, err);

    if (r < 0)
        return r;
    // No function has one: the answer is its name alone, as AWS's is.
    out->function_name = arena_str(c->arena, t.fn->name);
    out->code_signing_config_arn = STR("");
    return 0;
}

// --- recursion ---

int lambda_put_function_recursion_config(struct call *c,
                                         const struct lambda_put_function_recursion_config_in *in,
                                         struct lambda_put_function_recursion_config_out *out,
                                         struct err *err)
{
    _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
    const struct lambda_get_function_recursion_config_out value = {in->recursive_loop};
    struct fn_target t;
    struct fn_record *record;
    int r = fn_find(l, c, in->function_name, STR_NULL, &t, err);

    if (r == 0)
        r = fn_record_new(RECORD_RECURSION, STR(""), &value, &record, err);
    if (r == 0)
        r = fn_save_record(l, t.fn, record, err);
    if (r == 0)
        out->recursive_loop = in->recursive_loop;
    return r;
}

int lambda_get_function_recursion_config(struct call *c,
                                         const struct lambda_get_function_recursion_config_in *in,
                                         struct lambda_get_function_recursion_config_out *out,
                                         struct err *err)
{
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look(c);
    struct fn_target t;
    int r = fn_find(l, c, in->function_name, STR_NULL, &t, err);

    if (r < 0)
        return r;
    struct fn_record *record = fn_record_of(t.fn, RECORD_RECURSION, STR(""));
    out->recursive_loop = STR("Terminate");
    if (record)
        out->recursive_loop = arena_str(
            c->arena, ((const struct lambda_get_function_recursion_config_out *)record->value)
                          ->recursive_loop);
    return 0;
}

bool lambda_recursion_allowed(struct engine *e, struct str account, struct str region,
                              struct str function)
{
    const struct call c = {.engine = e, .state = engine_state(e, &lambda_service)};
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look((struct call *)&c);
    struct fn *f = fn_get(l, account, region, function);
    struct fn_record *record = f ? fn_record_of(f, RECORD_RECURSION, STR("")) : NULL;

    return record && str_eq(((const struct lambda_get_function_recursion_config_out *)record->value)
                                ->recursive_loop,
                            STR("Allow"));
}

// --- runtime management ---

static int find_for_management(struct lambda *l, struct call *c, struct str name,
                               struct str qualifier, struct fn_target *t, struct str *arn,
                               struct err *err)
{
    struct fn_version *v;
    int r = fn_find(l, c, name, qualifier, t, err);

    if (r == 0)
        r = fn_version_of(t, &v, err);
    if (r < 0)
        return r;
    if (str_is_null(t->qualifier) || str_eq(t->qualifier, STR(LAMBDA_LATEST))) {
        t->qualifier = STR("");
        *arn = arena_printf(c->arena, "%.*s:" LAMBDA_LATEST, STR_ARG(t->fn->arn));
    } else {
        *arn = t->arn;
    }
    return 0;
}

int lambda_put_runtime_management_config(struct call *c,
                                         const struct lambda_put_runtime_management_config_in *in,
                                         struct lambda_put_runtime_management_config_out *out,
                                         struct err *err)
{
    _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
    struct lambda_get_runtime_management_config_out value = {
        .update_runtime_on = in->update_runtime_on,
        .runtime_version_arn = in->runtime_version_arn,
    };
    struct fn_target t;
    struct fn_record *record;
    int r =
        find_for_management(l, c, in->function_name, in->qualifier, &t, &value.function_arn, err);

    if (r < 0)
        return r;
    if (str_eq(in->update_runtime_on, STR("Manual")) != (in->runtime_version_arn.len > 0))
        return lambda_invalid(err, "RuntimeVersionArn is needed with, and only with, "
                                   "UpdateRuntimeOn Manual.");
    r = fn_record_new(RECORD_MANAGEMENT, t.qualifier, &value, &record, err);
    if (r == 0)
        r = fn_save_record(l, t.fn, record, err);
    if (r < 0)
        return r;
    out->update_runtime_on = value.update_runtime_on;
    out->runtime_version_arn = value.runtime_version_arn;
    out->function_arn = value.function_arn;
    return 0;
}

int lambda_get_runtime_management_config(struct call *c,
                                         const struct lambda_get_runtime_management_config_in *in,
                                         struct lambda_get_runtime_management_config_out *out,
                                         struct err *err)
{
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look(c);
    struct fn_target t;
    struct str arn;
    int r = find_for_management(l, c, in->function_name, in->qualifier, &t, &arn, err);

    if (r < 0)
        return r;
    struct fn_record *record = fn_record_of(t.fn, RECORD_MANAGEMENT, t.qualifier);
    if (record) {
        fn_record_hold(c, record);
        *out = *(const struct lambda_get_runtime_management_config_out *)record->value;
    } else {
        out->update_runtime_on = STR("Auto");
        out->function_arn = arn;
    }
    return 0;
}
