// concurrency.c - reserved and provisioned concurrency: kept here, enforced by the runtime.
//
// A provisioned record belongs to a version or an alias; the runtime knows versions only, so an
// alias's number is added to that of the version it points to.
#include "services/lambda/lambda_impl.h"

#include "os/log.h"

#include <errno.h>

// --- reserved ---

static int64_t reserved_of(const struct fn *f)
{
    struct fn_record *r = fn_record_of(f, RECORD_CONCURRENCY, STR(""));

    return r ? ((const struct lambda_concurrency *)r->value)->reserved_concurrent_executions : -1;
}

// What all functions but `except` have reserved. The limit is the account's in each region.
static int64_t reserved_sum(struct lambda *l, struct str account, struct str region,
                            const struct fn *except)
{
    const struct map_entry *e;
    int64_t sum = 0;
    size_t at = 0;

    while ((e = map_next(&l->functions, &at)) != NULL) {
        const struct fn *f = e->value;
        if (f != except && str_eq(f->account, account) && str_eq(f->region, region) &&
            reserved_of(f) > 0)
            sum += reserved_of(f);
    }
    return sum;
}

int64_t concurrency_unreserved(struct lambda *l, struct str account, struct str region)
{
    return (int64_t)runtime_account_limit() - reserved_sum(l, account, region, NULL);
}

static int64_t provisioned_sum(const struct fn *f, struct str except)
{
    int64_t sum = 0;

    for (unsigned i = 0; i < f->n_records; i++) {
        if (f->records[i]->kind != RECORD_PROVISIONED || str_eq(f->records[i]->qualifier, except))
            continue;
        const struct lambda_get_provisioned_concurrency_config_out *p = f->records[i]->value;
        sum += p->requested_provisioned_concurrent_executions;
    }
    return sum;
}

int lambda_put_function_concurrency(struct call *c,
                                    const struct lambda_put_function_concurrency_in *in,
                                    struct lambda_put_function_concurrency_out *out,
                                    struct err *err)
{
    _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
    struct fn_target t;
    struct fn_record *record;
    int64_t wanted = WIRE_GET(in, reserved_concurrent_executions, 0);
    int r = fn_find(l, c, in->function_name, STR_NULL, &t, err);

    if (r < 0)
        return r;
    if (!str_is_null(t.qualifier))
        return lambda_invalid(err, "This operation is permitted on Lambda functions only. Aliases "
                                   "and versions do not support this operation. Please specify "
                                   "either a function name or an unqualified function ARN.");
    int64_t left =
        (int64_t)runtime_account_limit() - reserved_sum(l, c->account, c->region, t.fn) - wanted;
    if (left < RUNTIME_UNRESERVED_MIN)
        return lambda_invalid(err,
                              "Specified ReservedConcurrentExecutions for function decreases "
                              "account's UnreservedConcurrentExecution below its minimum value of "
                              "[%d].",
                              RUNTIME_UNRESERVED_MIN);
    if (provisioned_sum(t.fn, STR_NULL) > wanted)
        return lambda_invalid(err,
                              "ReservedConcurrentExecutions  %lld should not be lower than "
                              "function's total provisioned concurrency [%lld].",
                              (long long)wanted, (long long)provisioned_sum(t.fn, STR_NULL));
    WIRE_SET(out, reserved_concurrent_executions, wanted);
    r = fn_record_new(RECORD_CONCURRENCY, STR(""), out, &record, err);
    if (r == 0)
        r = fn_save_record(l, t.fn, record, err);
    if (r == 0)
        r = runtime_reserve(t.fn->account, t.fn->region, t.fn->name, (int)wanted, err);
    return r;
}

int lambda_get_function_concurrency(struct call *c,
                                    const struct lambda_get_function_concurrency_in *in,
                                    struct lambda_get_function_concurrency_out *out,
                                    struct err *err)
{
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look(c);
    struct fn_target t;
    int r = fn_find(l, c, in->function_name, STR_NULL, &t, err);

    if (r < 0)
        return r;
    if (reserved_of(t.fn) >= 0)
        WIRE_SET(out, reserved_concurrent_executions, reserved_of(t.fn));
    return 0;
}

int lambda_delete_function_concurrency(struct call *c,
                                       const struct lambda_delete_function_concurrency_in *in,
                                       struct lambda_delete_function_concurrency_out *out,
                                       struct err *err)
{
    _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
    struct fn_target t;
    int r = fn_find(l, c, in->function_name, STR_NULL, &t, err);

    (void)out;
    if (r == 0)
        r = fn_drop_record(l, t.fn, RECORD_CONCURRENCY, STR(""), err);
    if (r == 0)
        r = runtime_reserve(t.fn->account, t.fn->region, t.fn->name, -1, err);
    return r;
}

// --- provisioned ---

static struct fn_version *version_behind(struct fn *f, struct str qualifier)
{
    struct fn_target t = {.fn = f, .qualifier = qualifier, .arn = f->arn};
    struct fn_version *v;

    return fn_version_of(&t, &v, NULL) == 0 ? v : NULL;
}

void concurrency_apply_function(struct lambda *l, struct fn *f)
{
    (void)l;
    for (unsigned i = 0; i < f->n_versions; i++) {
        struct fn_version *v = f->versions[i];
        struct err err = ERR_INIT;
        int64_t wanted = 0;
        if (v->number == 0)
            continue;
        for (unsigned k = 0; k < f->n_records; k++) {
            if (f->records[k]->kind != RECORD_PROVISIONED ||
                version_behind(f, f->records[k]->qualifier) != v)
                continue;
            const struct lambda_get_provisioned_concurrency_config_out *p = f->records[k]->value;
            wanted += p->requested_provisioned_concurrent_executions;
        }
        if (wanted == 0 && runtime_provisioned_get(v->snapshot).status == RUNTIME_PROVISION_NONE)
            continue;
        if (runtime_provision(v->snapshot, (unsigned)wanted, &err) < 0)
            log_warn("provisioned concurrency of %.*s: %s", STR_ARG(f->key), err.message);
    }
}

void concurrency_apply(struct lambda *l)
{
    const struct map_entry *e;
    size_t at = 0;

    while ((e = map_next(&l->functions, &at)) != NULL) {
        struct fn *f = e->value;
        if (reserved_of(f) >= 0)
            runtime_reserve(f->account, f->region, f->name, (int)reserved_of(f), NULL);
        if (f->n_versions > 0) // older versions are invoked less, and mostly of the same kind
            runtime_expect(f->versions[0]->snapshot);
        concurrency_apply_function(l, f);
    }
}

static int find_for_provisioned(struct lambda *l, struct call *c, struct str name,
                                struct str qualifier, struct fn_target *t, struct fn_version **v,
                                struct err *err)
{
    int r = fn_find(l, c, name, qualifier, t, err);

    if (r < 0)
        return r;
    if (str_is_null(t->qualifier) || str_eq(t->qualifier, STR(LAMBDA_LATEST)))
        return lambda_invalid(err, "Provisioned Concurrency Configs cannot be applied to "
                                   "unpublished function versions.");
    return fn_version_of(t, v, err);
}

struct numbers {
    int64_t requested, available, allocated;
    struct str status, reason, modified;
};

// The runtime's numbers are the version's; a record never shows more than it asked for.
static struct numbers numbers_of(struct call *c, const struct fn_record *record,
                                 const struct fn_version *v)
{
    static const char *const names[] = {
        [RUNTIME_PROVISION_NONE] = "IN_PROGRESS",
        [RUNTIME_PROVISION_IN_PROGRESS] = "IN_PROGRESS",
        [RUNTIME_PROVISION_READY] = "READY",
        [RUNTIME_PROVISION_FAILED] = "FAILED",
    };
    const struct lambda_get_provisioned_concurrency_config_out *kept = record->value;
    struct runtime_provisioned now = runtime_provisioned_get(v->snapshot);
    int64_t requested = kept->requested_provisioned_concurrent_executions;

    return (struct numbers){
        .requested = requested,
        .available = now.available < requested ? now.available : requested,
        .allocated = now.allocated < requested ? now.allocated : requested,
        .status = str_from(names[now.status]),
        .reason = now.status == RUNTIME_PROVISION_FAILED ? arena_str(c->arena, str_from(now.reason))
                                                         : STR_NULL,
        .modified = arena_str(c->arena, kept->last_modified),
    };
}

#define FILL_NUMBERS(out, n)                                                                       \
    do {                                                                                           \
        WIRE_SET((out), requested_provisioned_concurrent_executions, (n).requested);               \
        WIRE_SET((out), available_provisioned_concurrent_executions, (n).available);               \
        WIRE_SET((out), allocated_provisioned_concurrent_executions, (n).allocated);               \
        (out)->status = (n).status;                                                                \
        (out)->status_reason = (n).reason;                                                         \
        (out)->last_modified = (n).modified;                                                       \
    } while (0)

int lambda_put_provisioned_concurrency_config(
    struct call *c, const struct lambda_put_provisioned_concurrency_config_in *in,
    struct lambda_put_provisioned_concurrency_config_out *out, struct err *err)
{
    _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
    struct lambda_get_provisioned_concurrency_config_out kept = {0};
    int64_t wanted = WIRE_GET(in, provisioned_concurrent_executions, 1);
    struct fn_target t;
    struct fn_version *v;
    struct fn_record *record;
    int r = find_for_provisioned(l, c, in->function_name, in->qualifier, &t, &v, err);

    if (r < 0)
        return r;
    r = snapstart_excludes_provisioned(v, err);
    if (r < 0)
        return r;
    int64_t reserved = reserved_of(t.fn);
    int64_t all = provisioned_sum(t.fn, t.qualifier) + wanted;
    if (reserved >= 0 && all > reserved)
        return lambda_invalid(err, "Requested Provisioned Concurrency should not be greater than "
                                   "the reservedConcurrentExecution for function");
    if (reserved < 0 &&
        all > concurrency_unreserved(l, c->account, c->region) - RUNTIME_UNRESERVED_MIN)
        return lambda_invalid(err,
                              "Specified ConcurrentExecutions for function is greater than "
                              "account's unreserved concurrency [%lld].",
                              (long long)concurrency_unreserved(l, c->account, c->region));
    WIRE_SET(&kept, requested_provisioned_concurrent_executions, wanted);
    kept.last_modified = lambda_time(c->arena, c->now_ms);
    r = fn_record_new(RECORD_PROVISIONED, t.qualifier, &kept, &record, err);
    if (r == 0)
        r = fn_save_record(l, t.fn, record, err);
    if (r < 0)
        return r;
    concurrency_apply_function(l, t.fn);
    const struct numbers n = {
        .requested = wanted, .status = STR("IN_PROGRESS"), .modified = kept.last_modified};
    FILL_NUMBERS(out, n);
    c->status = 202;
    return 0;
}

static int provisioned_not_found(struct err *err)
{
    err_field(err, "Type", "User");
    return err_aws(err, &LAMBDA_PROVISIONED_CONCURRENCY_CONFIG_NOT_FOUND_EXCEPTION,
                   "No Provisioned Concurrency Config found for this function");
}

int lambda_get_provisioned_concurrency_config(
    struct call *c, const struct lambda_get_provisioned_concurrency_config_in *in,
    struct lambda_get_provisioned_concurrency_config_out *out, struct err *err)
{
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look(c);
    struct fn_target t;
    struct fn_version *v;
    int r = find_for_provisioned(l, c, in->function_name, in->qualifier, &t, &v, err);

    if (r < 0)
        return r;
    struct fn_record *record = fn_record_of(t.fn, RECORD_PROVISIONED, t.qualifier);
    if (!record)
        return provisioned_not_found(err);
    const struct numbers n = numbers_of(c, record, v);
    FILL_NUMBERS(out, n);
    return 0;
}

int lambda_delete_provisioned_concurrency_config(
    struct call *c, const struct lambda_delete_provisioned_concurrency_config_in *in,
    struct lambda_delete_provisioned_concurrency_config_out *out, struct err *err)
{
    _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
    struct fn_target t;
    struct fn_version *v;
    int r = find_for_provisioned(l, c, in->function_name, in->qualifier, &t, &v, err);

    (void)out;
    if (r < 0)
        return r;
    if (!fn_record_of(t.fn, RECORD_PROVISIONED, t.qualifier))
        return provisioned_not_found(err);
    r = fn_drop_record(l, t.fn, RECORD_PROVISIONED, t.qualifier, err);
    if (r == 0)
        concurrency_apply_function(l, t.fn);
    return r;
}

static bool leads_to_version(void *ctx, const struct fn_record *r)
{
    return version_behind(ctx, r->qualifier) != NULL;
}

int lambda_list_provisioned_concurrency_configs(
    struct call *c, const struct lambda_list_provisioned_concurrency_configs_in *in,
    struct lambda_list_provisioned_concurrency_configs_out *out, struct err *err)
{
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look(c);
    struct fn_page page;
    struct fn_target t;
    int r = fn_find(l, c, in->function_name, STR_NULL, &t, err);

    if (r < 0)
        return r;
    const struct fn_page_request asked = {FN_PAGE_ASKED(in), leads_to_version, t.fn};
    r = fn_records_page(c, t.fn, RECORD_PROVISIONED, &asked, &page, err);
    if (r < 0)
        return r;
    struct lambda_provisioned_concurrency_config_list_item *items = arena_new_array(
        c->arena, struct lambda_provisioned_concurrency_config_list_item, page.n + 1);
    if (!items)
        return err_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < page.n; i++) {
        struct str qualifier = page.list[i]->qualifier;
        const struct numbers numbers = numbers_of(c, page.list[i], version_behind(t.fn, qualifier));
        FILL_NUMBERS(&items[i], numbers);
        items[i].function_arn =
            arena_printf(c->arena, "%.*s:%.*s", STR_ARG(t.fn->arn), STR_ARG(qualifier));
    }
    out->provisioned_concurrency_configs.ptr = items;
    out->provisioned_concurrency_configs.n = page.n;
    out->next_marker = page.next_marker;
    return 0;
}
