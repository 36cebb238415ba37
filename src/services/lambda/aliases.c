// aliases.c - names for versions, with weights between two of them.
#include "services/lambda/lambda_impl.h"

#include <errno.h>
#include <stdlib.h>

static int alias_not_found(struct err *err, const struct fn_target *t, struct str name)
{
    err_field(err, "Type", "User");
    return err_aws(err, &LAMBDA_RESOURCE_NOT_FOUND_EXCEPTION, "Cannot find alias arn: %.*s:%.*s",
                   STR_ARG(t->fn->arn), STR_ARG(name));
}

static int find_alias(struct lambda *l, struct call *c, struct str function, struct str name,
                      struct fn_target *t, struct fn_record **out, struct err *err)
{
    int r = fn_find(l, c, function, STR_NULL, t, err);

    if (r < 0)
        return r;
    *out = fn_record_of(t->fn, RECORD_ALIAS, name);
    return *out ? 0 : alias_not_found(err, t, name);
}

static int check_version(const struct fn *f, struct str version, struct err *err)
{
    if (str_eq(version, STR(LAMBDA_LATEST)))
        return 0;
    uint64_t number = lambda_version_number(version);
    if (number > 0 && fn_version_number(f, number))
        return 0;
    err_field(err, "Type", "User");
    return err_aws(err, &LAMBDA_RESOURCE_NOT_FOUND_EXCEPTION, "Function not found: %.*s:%.*s",
                   STR_ARG(f->arn), STR_ARG(version));
}

static int check_weights(const struct fn *f, const struct lambda_alias_configuration *a,
                         struct err *err)
{
    if (!a->routing_config || a->routing_config->additional_version_weights.n == 0)
        return 0;
    if (a->routing_config->additional_version_weights.n > 1)
        return lambda_invalid(err, "Number of items in AdditionalVersionWeights cannot be greater "
                                   "than 1");
    if (str_eq(a->function_version, STR(LAMBDA_LATEST)))
        return lambda_invalid(err, "$LATEST is not supported for an alias pointing to more than 1 "
                                   "version");
    const struct lambda_additional_version_weights_entry *w =
        &a->routing_config->additional_version_weights.ptr[0];
    if (str_eq(w->key, a->function_version))
        return lambda_invalid(err,
                              "Invalid function version %.*s. Function version %.*s is "
                              "already included in routing configuration.",
                              STR_ARG(w->key), STR_ARG(w->key));
    if (lambda_version_number(w->key) == 0)
        return lambda_invalid(err, "$LATEST is not supported for an alias pointing to more than 1 "
                                   "version");
    if (!(w->value >= 0.0 && w->value <= 1.0))
        return lambda_invalid(err, "The weight of version %.*s must be between 0.0 and 1.0.",
                              STR_ARG(w->key));
    return check_version(f, w->key, err);
}

static int save_alias(struct lambda *l, struct call *c, struct fn *f,
                      struct lambda_alias_configuration *a, struct err *err)
{
    struct fn_record *record;
    int r = check_version(f, a->function_version, err);

    if (r == 0)
        r = check_weights(f, a, err);
    if (r < 0)
        return r;
    a->revision_id = lambda_uuid(c->arena);
    r = fn_record_new(RECORD_ALIAS, a->name, a, &record, err);
    return r < 0 ? r : fn_save_record(l, f, record, err);
}

int lambda_create_alias(struct call *c, const struct lambda_create_alias_in *in,
                        struct lambda_create_alias_out *out, struct err *err)
{
    _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
    struct fn_target t;
    int r = fn_find(l, c, in->function_name, STR_NULL, &t, err);

    if (r < 0)
        return r;
    if (!lambda_alias_valid(in->name))
        return err_aws(err, wire_lambda.validation,
                       "1 validation error detected: Value '%.*s' at 'name' failed to satisfy "
                       "constraint: Member must satisfy regular expression pattern: "
                       "(?!^[0-9]+$)([a-zA-Z0-9-_]+)",
                       STR_ARG(in->name));
    if (fn_record_of(t.fn, RECORD_ALIAS, in->name)) {
        err_field(err, "Type", "User");
        return err_aws(err, &LAMBDA_RESOURCE_CONFLICT_EXCEPTION, "Alias already exists: %.*s:%.*s",
                       STR_ARG(t.fn->arn), STR_ARG(in->name));
    }
    out->name = in->name;
    out->alias_arn = arena_printf(c->arena, "%.*s:%.*s", STR_ARG(t.fn->arn), STR_ARG(in->name));
    out->function_version = in->function_version;
    out->description = str_is_null(in->description) ? STR("") : in->description;
    if (in->routing_config && in->routing_config->additional_version_weights.n > 0)
        out->routing_config = in->routing_config;
    return save_alias(l, c, t.fn, out, err);
}

int lambda_update_alias(struct call *c, const struct lambda_update_alias_in *in,
                        struct lambda_update_alias_out *out, struct err *err)
{
    _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
    struct fn_target t;
    struct fn_record *record;
    int r = find_alias(l, c, in->function_name, in->name, &t, &record, err);

    if (r < 0)
        return r;
    fn_record_hold(c, record);
    *out = *(const struct lambda_alias_configuration *)record->value;
    r = revision_check(in->revision_id, out->revision_id, err);
    if (r < 0)
        return r;
    bool provisioned = fn_record_of(t.fn, RECORD_PROVISIONED, in->name) != NULL;
    if (in->function_version.len > 0) {
        const struct fn_version *v =
            fn_version_number(t.fn, lambda_version_number(in->function_version));
        if (provisioned && v)
            r = snapstart_excludes_provisioned(v, err);
        if (r < 0)
            return r;
        out->function_version = in->function_version;
    }
    if (!str_is_null(in->description))
        out->description = in->description;
    if (in->routing_config)
        out->routing_config =
            in->routing_config->additional_version_weights.n > 0 ? in->routing_config : NULL;
    r = save_alias(l, c, t.fn, out, err);
    if (r == 0 && provisioned)
        concurrency_apply_function(l, t.fn);
    return r;
}

int lambda_get_alias(struct call *c, const struct lambda_get_alias_in *in,
                     struct lambda_get_alias_out *out, struct err *err)
{
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look(c);
    struct fn_target t;
    struct fn_record *record;
    int r = find_alias(l, c, in->function_name, in->name, &t, &record, err);

    if (r < 0)
        return r;
    fn_record_hold(c, record);
    *out = *(const struct lambda_alias_configuration *)record->value;
    return 0;
}

int lambda_delete_alias(struct call *c, const struct lambda_delete_alias_in *in,
                        struct lambda_delete_alias_out *out, struct err *err)
{
    static const enum record_kind belongings[] = {RECORD_POLICY, RECORD_PROVISIONED, RECORD_URL,
                                                  RECORD_ASYNC};
    _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
    struct fn_target t;
    int r = fn_find(l, c, in->function_name, STR_NULL, &t, err);

    (void)out;
    if (r < 0)
        return r;
    if (!fn_record_of(t.fn, RECORD_ALIAS, in->name))
        return 0; // AWS answers 204 all the same
    bool provisioned = fn_record_of(t.fn, RECORD_PROVISIONED, in->name) != NULL;
    for (size_t i = 0; i < ARRAY_LEN(belongings) && r == 0; i++)
        if (fn_record_of(t.fn, belongings[i], in->name))
            r = fn_drop_record(l, t.fn, belongings[i], in->name, err);
    if (r == 0)
        r = fn_drop_record(l, t.fn, RECORD_ALIAS, in->name, err);
    if (provisioned)
        concurrency_apply_function(l, t.fn);
    return r;
}

static int by_qualifier(const void *a, const void *b)
{
    const struct fn_record *x = *(struct fn_record *const *)a, *y = *(struct fn_record *const *)b;

    return str_cmp(x->qualifier, y->qualifier);
}

// Of a kind, by qualifier.
static struct fn_record **records_sorted(struct call *c, const struct fn *f, enum record_kind kind,
                                         size_t *n)
{
    struct fn_record **list = arena_new_array(c->arena, struct fn_record *, f->n_records + 1U);
    size_t count = 0;

    if (!list)
        return NULL;
    for (unsigned i = 0; i < f->n_records; i++)
        if (f->records[i]->kind == kind)
            list[count++] = f->records[i];
    qsort(list, count, sizeof(*list), by_qualifier);
    *n = count;
    return list;
}

int fn_records_page(struct call *c, const struct fn *f, enum record_kind kind,
                    const struct fn_page_request *asked, struct fn_page *out, struct err *err)
{
    size_t max = asked->max_items > 0 ? (size_t)asked->max_items : LAMBDA_PAGE_DEFAULT, n = 0;
    struct fn_record **list = records_sorted(c, f, kind, &n);

    *out = (struct fn_page){.list = list};
    if (!list)
        return err_set(err, -ENOMEM, "out of memory");
    struct str last = STR_NULL;
    for (size_t i = 0; i < n; i++) {
        // Not the qualifier alone: it is empty for what is not qualified, and so is no marker.
        struct str key =
            arena_printf(c->arena, "%.*s:%.*s", STR_ARG(f->name), STR_ARG(list[i]->qualifier));
        if (page_skips(asked->marker, key) || (asked->shows && !asked->shows(asked->ctx, list[i])))
            continue;
        if (out->n == max) {
            out->next_marker = last;
            break;
        }
        last = key;
        out->list[out->n++] = list[i]; // never further than what was read
    }
    return 0;
}

static bool of_version(void *ctx, const struct fn_record *r)
{
    const struct lambda_list_aliases_in *in = ctx;
    const struct lambda_alias_configuration *a = r->value;

    return in->function_version.len == 0 || str_eq(in->function_version, a->function_version);
}

int lambda_list_aliases(struct call *c, const struct lambda_list_aliases_in *in,
                        struct lambda_list_aliases_out *out, struct err *err)
{
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look(c);
    const struct fn_page_request asked = {FN_PAGE_ASKED(in), of_version, (void *)in};
    struct fn_page page;
    struct fn_target t;
    int r = fn_find(l, c, in->function_name, STR_NULL, &t, err);

    if (r == 0)
        r = fn_records_page(c, t.fn, RECORD_ALIAS, &asked, &page, err);
    if (r < 0)
        return r;
    out->aliases.ptr = arena_new_array(c->arena, struct lambda_alias_configuration, page.n + 1);
    if (!out->aliases.ptr)
        return err_set(err, -ENOMEM, "out of memory");
    for (; out->aliases.n < page.n; out->aliases.n++) {
        struct fn_record *record = page.list[out->aliases.n];
        fn_record_hold(c, record);
        out->aliases.ptr[out->aliases.n] =
            *(const struct lambda_alias_configuration *)record->value;
    }
    out->next_marker = page.next_marker;
    return 0;
}
