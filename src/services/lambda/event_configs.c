// event_configs.c - how asynchronous invocations of a function are retried and where they end.
#include "services/lambda/lambda_impl.h"

#include <errno.h>

static int find_for_config(struct lambda *l, struct call *c, struct str name, struct str qualifier,
                           struct fn_target *t, struct fn_record **record, struct err *err)
{
    int r = fn_find(l, c, name, qualifier, t, err);

    if (r < 0)
        return r;
    if (!fn_qualifier_exists(t->fn, t->qualifier))
        return fn_not_found(err, t->arn);
    if (str_is_null(t->qualifier) || str_eq(t->qualifier, STR(LAMBDA_LATEST)))
        t->qualifier = STR("");
    *record = fn_record_of(t->fn, RECORD_ASYNC, t->qualifier);
    return 0;
}

static int config_not_found(struct err *err, const struct fn_target *t)
{
    err_field(err, "Type", "User");
    return err_aws(err, &LAMBDA_RESOURCE_NOT_FOUND_EXCEPTION,
                   "The function %.*s:%.*s doesn't have an EventInvokeConfig", STR_ARG(t->fn->arn),
                   STR_ARG(t->qualifier.len > 0 ? t->qualifier : STR(LAMBDA_LATEST)));
}

static int check_destination(struct err *err, struct str arn)
{
    static const char *const services[] = {"sqs", "sns", "lambda", "events", "s3"};

    if (arn.len == 0)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(services); i++) {
        char prefix[32] = "arn:aws:";
        strncat(prefix, services[i], 10);
        strncat(prefix, ":", 2);
        if (str_starts(arn, str_from(prefix)))
            return 0;
    }
    return lambda_invalid(err, "The provided destination config DestinationConfig(onSuccess=, "
                               "onFailure=) is invalid.");
}

static int save_config(struct lambda *l, struct call *c, const struct fn_target *t,
                       struct lambda_function_event_invoke_config *config, struct err *err)
{
    struct fn_record *record = NULL;
    int r = 0;

    if (config->destination_config) {
        if (config->destination_config->on_success)
            r = check_destination(err, config->destination_config->on_success->destination);
        if (r == 0 && config->destination_config->on_failure)
            r = check_destination(err, config->destination_config->on_failure->destination);
        if (r < 0)
            return r;
    }
    config->function_arn =
        arena_printf(c->arena, "%.*s:%.*s", STR_ARG(t->fn->arn),
                     STR_ARG(t->qualifier.len > 0 ? t->qualifier : STR(LAMBDA_LATEST)));
    WIRE_SET(config, last_modified, c->now_ms);
    r = fn_record_new(RECORD_ASYNC, t->qualifier, config, &record, err);
    return r < 0 ? r : fn_save_record(l, t->fn, record, err);
}

// AWS shows both sides of a destination, empty ones too.
static int whole_destinations(struct call *c, struct lambda_destination_config *given,
                              struct lambda_destination_config **out, struct err *err)
{
    struct lambda_destination_config *d = arena_new(c->arena, struct lambda_destination_config);

    if (!d)
        return err_set(err, -ENOMEM, "out of memory");
    if (given)
        *d = *given;
    if (!d->on_success)
        d->on_success = arena_new(c->arena, struct lambda_on_success);
    if (!d->on_failure)
        d->on_failure = arena_new(c->arena, struct lambda_on_failure);
    if (!d->on_success || !d->on_failure)
        return err_set(err, -ENOMEM, "out of memory");
    *out = d;
    return 0;
}

int lambda_put_function_event_invoke_config(
    struct call *c, const struct lambda_put_function_event_invoke_config_in *in,
    struct lambda_put_function_event_invoke_config_out *out, struct err *err)
{
    _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
    struct fn_target t;
    struct fn_record *record = NULL;
    int r = find_for_config(l, c, in->function_name, in->qualifier, &t, &record, err);

    if (r < 0)
        return r;
    if (in->has_maximum_retry_attempts)
        WIRE_SET(out, maximum_retry_attempts, in->maximum_retry_attempts);
    if (in->has_maximum_event_age_in_seconds)
        WIRE_SET(out, maximum_event_age_in_seconds, in->maximum_event_age_in_seconds);
    r = whole_destinations(c, in->destination_config, &out->destination_config, err);
    return r < 0 ? r : save_config(l, c, &t, out, err);
}

int lambda_update_function_event_invoke_config(
    struct call *c, const struct lambda_update_function_event_invoke_config_in *in,
    struct lambda_update_function_event_invoke_config_out *out, struct err *err)
{
    _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
    struct fn_target t;
    struct fn_record *record = NULL;
    int r = find_for_config(l, c, in->function_name, in->qualifier, &t, &record, err);

    if (r == 0 && !record)
        r = config_not_found(err, &t);
    if (r < 0)
        return r;
    fn_record_hold(c, record);
    *out = *(const struct lambda_function_event_invoke_config *)record->value;
    if (in->has_maximum_retry_attempts)
        WIRE_SET(out, maximum_retry_attempts, in->maximum_retry_attempts);
    if (in->has_maximum_event_age_in_seconds)
        WIRE_SET(out, maximum_event_age_in_seconds, in->maximum_event_age_in_seconds);
    if (in->destination_config) {
        struct lambda_destination_config merged = *in->destination_config;
        if (out->destination_config && !merged.on_success)
            merged.on_success = out->destination_config->on_success;
        if (out->destination_config && !merged.on_failure)
            merged.on_failure = out->destination_config->on_failure;
        r = whole_destinations(c, &merged, &out->destination_config, err);
        if (r < 0)
            return r;
    }
    return save_config(l, c, &t, out, err);
}

int lambda_get_function_event_invoke_config(
    struct call *c, const struct lambda_get_function_event_invoke_config_in *in,
    struct lambda_get_function_event_invoke_config_out *out, struct err *err)
{
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look(c);
    struct fn_target t;
    struct fn_record *record = NULL;
    int r = find_for_config(l, c, in->function_name, in->qualifier, &t, &record, err);

    if (r == 0 && !record)
        r = config_not_found(err, &t);
    if (r < 0)
        return r;
    fn_record_hold(c, record);
    *out = *(const struct lambda_function_event_invoke_config *)record->value;
    return 0;
}

int lambda_delete_function_event_invoke_config(
    struct call *c, const struct lambda_delete_function_event_invoke_config_in *in,
    struct lambda_delete_function_event_invoke_config_out *out, struct err *err)
{
    _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
    struct fn_target t;
    struct fn_record *record = NULL;
    int r = find_for_config(l, c, in->function_name, in->qualifier, &t, &record, err);

    (void)out;
    if (r == 0 && !record)
        r = config_not_found(err, &t);
    return r < 0 ? r : fn_drop_record(l, t.fn, RECORD_ASYNC, t.qualifier, err);
}

int lambda_list_function_event_invoke_configs(
    struct call *c, const struct lambda_list_function_event_invoke_configs_in *in,
    struct lambda_list_function_event_invoke_configs_out *out, struct err *err)
{
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look(c);
    const struct fn_page_request asked = {FN_PAGE_ASKED(in), NULL, NULL};
    struct fn_page page;
    struct fn_target t;
    int r = fn_find(l, c, in->function_name, STR_NULL, &t, err);

    if (r == 0)
        r = fn_records_page(c, t.fn, RECORD_ASYNC, &asked, &page, err);
    if (r < 0)
        return r;
    struct lambda_function_event_invoke_config *configs =
        arena_new_array(c->arena, struct lambda_function_event_invoke_config, page.n + 1);
    if (!configs)
        return err_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < page.n; i++) {
        fn_record_hold(c, page.list[i]);
        configs[i] = *(const struct lambda_function_event_invoke_config *)page.list[i]->value;
    }
    out->function_event_invoke_configs.ptr = configs;
    out->function_event_invoke_configs.n = page.n;
    out->next_marker = page.next_marker;
    return 0;
}

// --- for the triggers ---

int lambda_async_settings(struct engine *e, struct arena *a, struct str account, struct str region,
                          struct str function, struct str qualifier,
                          struct lambda_async_settings *out, struct err *err)
{
    const struct call c = {.engine = e, .state = engine_state(e, &lambda_service)};
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look((struct call *)&c);
    struct fn *f = fn_get(l, account, region, function);

    *out = (struct lambda_async_settings){.max_age_s = -1, .max_retries = -1};
    if (!f)
        return fn_not_found(err, function);
    struct fn_target t = {.fn = f, .qualifier = qualifier, .arn = f->arn};
    struct fn_version *v;
    int r = fn_version_of(&t, &v, err);
    if (r < 0)
        return r;
    if (v->config->dead_letter_config)
        out->dead_letter = arena_str(a, v->config->dead_letter_config->target_arn);
    if (str_is_null(qualifier) || str_eq(qualifier, STR(LAMBDA_LATEST)))
        qualifier = STR("");
    struct fn_record *record = fn_record_of(f, RECORD_ASYNC, qualifier);
    if (!record)
        return 0;
    const struct lambda_function_event_invoke_config *config = record->value;
    out->max_age_s = (int32_t)WIRE_GET(config, maximum_event_age_in_seconds, -1);
    out->max_retries = (int32_t)WIRE_GET(config, maximum_retry_attempts, -1);
    const struct lambda_destination_config *d = config->destination_config;
    if (d && d->on_success && d->on_success->destination.len > 0)
        out->on_success = arena_str(a, d->on_success->destination);
    if (d && d->on_failure && d->on_failure->destination.len > 0)
        out->on_failure = arena_str(a, d->on_failure->destination);
    return 0;
}
