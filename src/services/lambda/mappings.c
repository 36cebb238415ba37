// mappings.c - event source mappings as records; src/triggers runs them and reports their state.
//
//   Creating ─▶ Enabled ─▶ Updating ─▶ Enabled        the arrows into Enabled and Disabled, and the
//   Creating ─▶ Disabled   Disabling ─▶ Disabled      end of Deleting, are lambda_mapping_report();
//   Enabled ─▶ Deleting ─▶ (gone)                     the others are the operations below.
#include "services/lambda/lambda_impl.h"

#include "base/event_pattern.h"
#include "services/sqs/sqs.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_FILTERS 5 // AWS's default quota

// --- in memory ---

static void mapping_unref(struct mapping *m)
{
    if (!m || atomic_fetch_sub(&m->refs, 1) != 1)
        return;
    arena_finish(&m->arena);
    free(m);
}

static void mapping_unrefp(struct mapping **m)
{
    mapping_unref(*m);
}

static void release(void *p)
{
    mapping_unref(p);
}

void mapping_hold(struct call *c, struct mapping *m)
{
    atomic_fetch_add(&m->refs, 1);
    call_defer(c, release, m);
}

static int mapping_new(struct str account, struct str region, struct str doc, struct str tags,
                       struct mapping **out, struct err *err)
{
    _cleanup_(mapping_unrefp) struct mapping *m = calloc(1, sizeof(*m));

    if (!m)
        return err_set(err, -ENOMEM, "out of memory");
    atomic_init(&m->refs, 1);
    arena_init(&m->arena, 4 * LAMBDA_MAX_DOC_BYTES);
    struct lambda_event_source_mapping_configuration *value =
        arena_new(&m->arena, struct lambda_event_source_mapping_configuration);
    if (!value)
        return err_set(err, -ENOMEM, "out of memory");
    int r = wire_shape_from_json(&wire_lambda, LAMBDA_SHAPE_EVENT_SOURCE_MAPPING_CONFIGURATION,
                                 arena_str(&m->arena, doc), &m->arena, value, err);
    struct lambda_list_tags_out tagged = {0};
    if (r == 0 && tags.len > 0)
        r = wire_shape_from_json(&wire_lambda, LAMBDA_SHAPE_LIST_TAGS_RESPONSE,
                                 arena_str(&m->arena, tags), &m->arena, &tagged, err);
    if (r < 0)
        return r;
    m->tags = tagged.tags;
    m->account = arena_str(&m->arena, account);
    m->region = arena_str(&m->arena, region);
    m->uuid = value->uuid;
    m->value = value;
    *out = TAKE_PTR(m);
    return 0;
}

void mappings_finish(struct lambda *l)
{
    const struct map_entry *e;
    size_t at = 0;

    while ((e = map_next(&l->mappings, &at)) != NULL)
        mapping_unref(e->value);
    map_finish(&l->mappings);
}

int mappings_store_load(struct lambda *l, struct store_tx *tx, struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    int r = store_select(tx, &s, err, "SELECT account, region, doc, tags FROM mappings");

    if (r < 0)
        return r;
    while ((r = store_step(s, err)) > 0) {
        struct mapping *m = NULL;
        r = mapping_new(store_col_str(s, 0), store_col_str(s, 1), store_col_str(s, 2),
                        store_col_str(s, 3), &m, err);
        if (r < 0)
            return r;
        if (map_set(&l->mappings, m->uuid, m, NULL) < 0) {
            mapping_unref(m);
            return err_set(err, -ENOMEM, "out of memory");
        }
    }
    return r;
}

// --- changing, under `change` ---

static int save(struct lambda *l, struct str account, struct str region,
                const struct lambda_event_source_mapping_configuration *value,
                struct lambda_tags tags, struct err *err)
{
    const struct lambda_list_tags_out tagged = {.tags = tags};
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    _cleanup_(mapping_unrefp) struct mapping *m = NULL;
    _cleanup_(buf_finishp) struct buf doc = {0}, tags_doc = {0};
    void *old = NULL;

    buf_init(&doc, LAMBDA_MAX_DOC_BYTES);
    buf_init(&tags_doc, LAMBDA_MAX_DOC_BYTES);
    int r = wire_shape_to_json(&wire_lambda, LAMBDA_SHAPE_EVENT_SOURCE_MAPPING_CONFIGURATION, value,
                               &doc);
    if (r == 0 && tags.n > 0)
        r = wire_shape_to_json(&wire_lambda, LAMBDA_SHAPE_LIST_TAGS_RESPONSE, &tagged, &tags_doc);
    if (r < 0 || doc.failed || tags_doc.failed)
        return err_set(err, -ENOMEM, "out of memory");
    r = mapping_new(account, region, buf_str(&doc), buf_str(&tags_doc), &m, err);
    if (r == 0)
        r = store_begin(l->store, STORE_WRITE, &tx, err);
    if (r == 0) {
        int64_t n = store_exec(tx, err,
                               "INSERT INTO mappings (uuid, account, region, doc, tags)"
                               " VALUES (?, ?, ?, ?, ?) ON CONFLICT (uuid) DO UPDATE SET"
                               " doc = excluded.doc, tags = excluded.tags",
                               SQL_STR(m->uuid), SQL_STR(account), SQL_STR(region),
                               SQL_STR(buf_str(&doc)), SQL_STR(buf_str(&tags_doc)));
        r = n < 0 ? (int)n : 0;
    }
    if (r == 0)
        r = store_commit(&tx, err);
    if (r < 0)
        return r;
    pthread_rwlock_wrlock(&l->table);
    r = map_set(&l->mappings, m->uuid, m, &old);
    pthread_rwlock_unlock(&l->table);
    if (r < 0)
        return err_set(err, -ENOMEM, "out of memory");
    TAKE_PTR(m);
    mapping_unref(old);
    return 0;
}

static int forget(struct lambda *l, struct str uuid, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    int r = store_begin(l->store, STORE_WRITE, &tx, err);

    if (r == 0) {
        int64_t n = store_exec(tx, err, "DELETE FROM mappings WHERE uuid = ?", SQL_STR(uuid));
        r = n < 0 ? (int)n : 0;
    }
    if (r == 0)
        r = store_commit(&tx, err);
    if (r < 0)
        return r;
    pthread_rwlock_wrlock(&l->table);
    struct mapping *m = map_remove(&l->mappings, uuid);
    pthread_rwlock_unlock(&l->table);
    mapping_unref(m);
    return 0;
}

static void changed(struct lambda *l, struct str uuid)
{
    if (l->mappings_changed)
        l->mappings_changed(l->mappings_ctx, uuid);
}

// --- checks ---

static bool is_fifo(struct str arn)
{
    return str_ends(arn, STR(".fifo"));
}

static int check_source(struct str arn, struct err *err)
{
    if (str_starts(arn, STR("arn:aws:sqs:")))
        return 0;
    if (arn.len == 0)
        return lambda_invalid(err, "Unsupported source arn : null. Lambkin's event sources are SQS "
                                   "queues, named by EventSourceArn.");
    return lambda_invalid(err,
                          "Unrecognized event source. Unsupported source arn : %.*s. Lambkin's "
                          "event sources are SQS queues.",
                          (int)(arn.len > 200 ? 200 : arn.len), arn.ptr);
}

static int check_queue(struct call *c, struct str arn, struct err *err)
{
    struct sqs_queue_info info;
    struct err why = ERR_INIT;

    if (sqs_internal_info(arn, c->arena, &info, &why) == 0)
        return 0;
    return lambda_invalid(err, "Error occurred while ReceiveMessage. SQS Error Code: "
                               "AWS.SimpleQueueService.NonExistentQueue. SQS Error Message: The "
                               "specified queue does not exist.");
}

static int check_filters(struct call *c, const struct lambda_filter_criteria *f, struct err *err)
{
    const struct event_pattern *compiled;

    if (!f)
        return 0;
    if (f->filters.n > MAX_FILTERS)
        return lambda_invalid(err, "The number of filters exceeds the limit of %d.", MAX_FILTERS);
    for (size_t i = 0; i < f->filters.n; i++)
        if (event_pattern_compile(c->arena, f->filters.ptr[i].pattern, &compiled, NULL) < 0)
            return lambda_invalid(err, "Invalid filter pattern definition.");
    return 0;
}

static int check_batch(const struct lambda_event_source_mapping_configuration *m, struct err *err)
{
    int64_t batch = m->batch_size, window = m->maximum_batching_window_in_seconds;

    if (is_fifo(m->event_source_arn) && batch > 10)
        return lambda_invalid(err, "Maximum batch size for FIFO queues is 10.");
    if (is_fifo(m->event_source_arn) && window > 0)
        return lambda_invalid(err, "Batching window is not supported for FIFO queues.");
    if (batch > 10 && window < 1)
        return lambda_invalid(err, "Maximum batch window in seconds must be greater than 0 if "
                                   "maximum batch size is greater than 10");
    return 0;
}

// The function's ARN with the qualifier that the client named.
static int function_arn(struct lambda *l, struct call *c, struct str name, struct str *arn,
                        struct err *err)
{
    struct fn_target t;
    struct fn_version *v;
    int r = fn_find(l, c, name, STR_NULL, &t, err);

    if (r == 0)
        r = fn_version_of(&t, &v, err);
    if (r < 0)
        return r;
    *arn = t.arn;
    return 0;
}

static int refuse_duplicate(struct lambda *l,
                            const struct lambda_event_source_mapping_configuration *m,
                            struct err *err)
{
    const struct map_entry *e;
    size_t at = 0;

    while ((e = map_next(&l->mappings, &at)) != NULL) {
        const struct mapping *o = e->value;
        if (str_eq(o->value->event_source_arn, m->event_source_arn) &&
            str_eq(o->value->function_arn, m->function_arn) && !str_eq(o->uuid, m->uuid)) {
            err_field(err, "Type", "User");
            return err_aws(err, &LAMBDA_RESOURCE_CONFLICT_EXCEPTION,
                           "An event source mapping with SQS arn (\" %.*s \") and function (\" "
                           "%.*s \") already exists. Please update or delete the existing mapping "
                           "with UUID %.*s",
                           STR_ARG(m->event_source_arn), STR_ARG(m->function_arn),
                           STR_ARG(o->uuid));
        }
    }
    return 0;
}

int mapping_find(struct lambda *l, struct call *c, struct str uuid, struct mapping **out,
                 struct err *err)
{
    struct mapping *m = map_get(&l->mappings, uuid);

    if (!m || !str_eq(m->account, c->account) || !str_eq(m->region, c->region)) {
        err_field(err, "Type", "User");
        return err_aws(err, &LAMBDA_RESOURCE_NOT_FOUND_EXCEPTION,
                       "The resource you requested does not exist.");
    }
    *out = m;
    return 0;
}

int mapping_set_tags(struct lambda *l, const struct mapping *m, struct lambda_tags tags,
                     struct err *err)
{
    return save(l, m->account, m->region, m->value, tags, err);
}

// --- operations ---

int lambda_create_event_source_mapping(struct call *c,
                                       const struct lambda_create_event_source_mapping_in *in,
                                       struct lambda_create_event_source_mapping_out *out,
                                       struct err *err)
{
    int r = check_source(in->event_source_arn, err);

    if (r == 0)
        r = lambda_check_tags(in->tags.n, err);
    if (r == 0)
        r = check_filters(c, in->filter_criteria, err);
    if (r < 0)
        return r;
    {
        _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
        out->uuid = lambda_uuid(c->arena);
        out->event_source_arn = in->event_source_arn;
        out->event_source_mapping_arn =
            call_arn(c, "lambda", "event-source-mapping:%.*s", STR_ARG(out->uuid));
        WIRE_SET(out, batch_size, WIRE_GET(in, batch_size, 10));
        WIRE_SET(out, maximum_batching_window_in_seconds,
                 WIRE_GET(in, maximum_batching_window_in_seconds, 0));
        out->filter_criteria = in->filter_criteria;
        out->scaling_config = in->scaling_config;
        out->function_response_types = in->function_response_types;
        out->kms_key_arn = in->kms_key_arn;
        out->metrics_config = in->metrics_config;
        WIRE_SET(out, last_modified, c->now_ms);
        out->state_transition_reason = STR("USER_INITIATED");
        out->state = WIRE_GET(in, enabled, true) ? STR("Creating") : STR("Disabling");
        r = function_arn(l, c, in->function_name, &out->function_arn, err);
        if (r == 0)
            r = check_batch(out, err);
        if (r == 0)
            r = check_queue(c, out->event_source_arn, err);
        if (r == 0)
            r = refuse_duplicate(l, out, err);
        if (r == 0)
            r = save(l, c->account, c->region, out, in->tags, err);
        if (r < 0)
            return r;
    }
    out->state = STR("Creating");
    c->status = 202;
    changed(lambda_of(c), out->uuid);
    return 0;
}

static void apply_update(const struct lambda_update_event_source_mapping_in *in,
                         struct lambda_event_source_mapping_configuration *out)
{
    if (in->has_batch_size)
        WIRE_SET(out, batch_size, in->batch_size);
    if (in->has_maximum_batching_window_in_seconds)
        WIRE_SET(out, maximum_batching_window_in_seconds, in->maximum_batching_window_in_seconds);
    if (in->filter_criteria)
        out->filter_criteria = in->filter_criteria->filters.n > 0 ? in->filter_criteria : NULL;
    if (in->scaling_config)
        out->scaling_config =
            in->scaling_config->has_maximum_concurrency ? in->scaling_config : NULL;
    if (in->function_response_types.ptr)
        out->function_response_types = in->function_response_types;
    if (!str_is_null(in->kms_key_arn))
        out->kms_key_arn = in->kms_key_arn;
    if (in->metrics_config)
        out->metrics_config = in->metrics_config;
    bool disabled = str_eq(out->state, STR("Disabled")) || str_eq(out->state, STR("Disabling"));
    if (in->has_enabled && !in->enabled)
        out->state = STR("Disabling");
    else if (disabled && !WIRE_GET(in, enabled, false))
        out->state = STR("Disabling"); // stays off
    else
        out->state = disabled ? STR("Enabling") : STR("Updating");
}

int lambda_update_event_source_mapping(struct call *c,
                                       const struct lambda_update_event_source_mapping_in *in,
                                       struct lambda_update_event_source_mapping_out *out,
                                       struct err *err)
{
    int r = check_filters(c, in->filter_criteria, err);

    if (r < 0)
        return r;
    {
        _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
        struct mapping *m = NULL;
        r = mapping_find(l, c, in->uuid, &m, err);
        if (r < 0)
            return r;
        mapping_hold(c, m);
        *out = *m->value;
        if (str_eq(out->state, STR("Deleting")))
            return err_aws(err, &LAMBDA_RESOURCE_IN_USE_EXCEPTION,
                           "Cannot update the event source mapping because it is in use.");
        apply_update(in, out);
        if (in->function_name.len > 0)
            r = function_arn(l, c, in->function_name, &out->function_arn, err);
        WIRE_SET(out, last_modified, c->now_ms);
        out->state_transition_reason = STR("USER_INITIATED");
        if (r == 0)
            r = check_batch(out, err);
        if (r == 0)
            r = refuse_duplicate(l, out, err);
        if (r == 0)
            r = save(l, m->account, m->region, out, m->tags, err);
        if (r < 0)
            return r;
    }
    c->status = 202;
    changed(lambda_of(c), out->uuid);
    return 0;
}

int lambda_delete_event_source_mapping(struct call *c,
                                       const struct lambda_delete_event_source_mapping_in *in,
                                       struct lambda_delete_event_source_mapping_out *out,
                                       struct err *err)
{
    struct lambda *l = lambda_of(c);
    int r;

    {
        _cleanup_(lambda_change_end) struct lambda *locked = lambda_change(c);
        struct mapping *m = NULL;
        r = mapping_find(locked, c, in->uuid, &m, err);
        if (r < 0)
            return r;
        mapping_hold(c, m);
        *out = *m->value;
        out->state = STR("Deleting");
        // Without a runner nobody would end the deletion.
        r = l->mappings_changed ? save(locked, m->account, m->region, out, m->tags, err)
                                : forget(locked, m->uuid, err);
        if (r < 0)
            return r;
    }
    c->status = 202;
    changed(l, out->uuid);
    return 0;
}

int lambda_get_event_source_mapping(struct call *c,
                                    const struct lambda_get_event_source_mapping_in *in,
                                    struct lambda_get_event_source_mapping_out *out,
                                    struct err *err)
{
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look(c);
    struct mapping *m = NULL;
    int r = mapping_find(l, c, in->uuid, &m, err);

    if (r < 0)
        return r;
    mapping_hold(c, m);
    *out = *m->value;
    return 0;
}

static int by_uuid(const void *a, const void *b)
{
    const struct mapping *x = *(struct mapping *const *)a, *y = *(struct mapping *const *)b;

    return str_cmp(x->uuid, y->uuid);
}

static int sorted(struct lambda *l, struct arena *a, struct mapping ***out, size_t *n)
{
    struct mapping **list = arena_new_array(a, struct mapping *, l->mappings.n + 1);
    const struct map_entry *e;
    size_t at = 0;

    if (!list)
        return -ENOMEM;
    *n = 0;
    while ((e = map_next(&l->mappings, &at)) != NULL)
        list[(*n)++] = e->value;
    qsort(list, *n, sizeof(*list), by_uuid);
    *out = list;
    return 0;
}

int lambda_list_event_source_mappings(struct call *c,
                                      const struct lambda_list_event_source_mappings_in *in,
                                      struct lambda_list_event_source_mappings_out *out,
                                      struct err *err)
{
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look(c);
    size_t max = (size_t)WIRE_GET(in, max_items, 100), n, count = 0;
    struct str wanted = STR_NULL;
    struct mapping **list;

    if (in->function_name.len > 0) {
        struct fn_target t;
        int r = fn_find(l, c, in->function_name, STR_NULL, &t, err);
        if (r < 0)
            return r;
        wanted = t.arn;
    }
    if (sorted(l, c->arena, &list, &n) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    out->event_source_mappings.ptr =
        arena_new_array(c->arena, struct lambda_event_source_mapping_configuration, n + 1);
    if (!out->event_source_mappings.ptr)
        return err_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        struct mapping *m = list[i];
        if (!str_eq(m->account, c->account) || !str_eq(m->region, c->region) ||
            page_skips(in->marker, m->uuid) ||
            (wanted.len > 0 && !str_eq(wanted, m->value->function_arn)) ||
            (in->event_source_arn.len > 0 &&
             !str_eq(in->event_source_arn, m->value->event_source_arn)))
            continue;
        if (count == max) {
            out->next_marker = arena_str(c->arena, out->event_source_mappings.ptr[count - 1].uuid);
            break;
        }
        mapping_hold(c, m);
        out->event_source_mappings.ptr[count++] = *m->value;
    }
    out->event_source_mappings.n = count;
    return 0;
}

// --- for the runner ---

int lambda_mappings(struct engine *e, struct arena *a, struct lambda_mapping **out, size_t *n,
                    struct err *err)
{
    const struct call c = {.engine = e, .state = engine_state(e, &lambda_service)};
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look((struct call *)&c);
    struct mapping **list;

    if (sorted(l, a, &list, n) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    struct lambda_mapping *copies = arena_new_array(a, struct lambda_mapping, *n + 1);
    if (!copies)
        return err_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < *n; i++) {
        _cleanup_(buf_finishp) struct buf doc = {0};
        struct lambda_event_source_mapping_configuration *value =
            arena_new(a, struct lambda_event_source_mapping_configuration);
        buf_init(&doc, LAMBDA_MAX_DOC_BYTES);
        if (!value ||
            wire_shape_to_json(&wire_lambda, LAMBDA_SHAPE_EVENT_SOURCE_MAPPING_CONFIGURATION,
                               list[i]->value, &doc) < 0)
            return err_set(err, -ENOMEM, "out of memory");
        int r = wire_shape_from_json(&wire_lambda, LAMBDA_SHAPE_EVENT_SOURCE_MAPPING_CONFIGURATION,
                                     arena_str(a, buf_str(&doc)), a, value, err);
        if (r < 0)
            return r;
        copies[i] = (struct lambda_mapping){.account = arena_str(a, list[i]->account),
                                            .region = arena_str(a, list[i]->region),
                                            .uuid = value->uuid,
                                            .config = value};
    }
    *out = copies;
    return 0;
}

static bool settled(struct str state)
{
    return str_eq(state, STR("Deleting")) || str_eq(state, STR("Disabling")) ||
           str_eq(state, STR("Disabled"));
}

int lambda_mapping_report(struct engine *e, struct str uuid, struct str state,
                          struct str last_result, struct err *err)
{
    struct call c = {.engine = e, .state = engine_state(e, &lambda_service)};
    _cleanup_(lambda_change_end) struct lambda *l = lambda_change(&c);
    struct mapping *m = map_get(&l->mappings, uuid);

    if (!m)
        return 0;
    bool deleting = str_eq(m->value->state, STR("Deleting"));
    if (str_is_null(state))
        return deleting ? forget(l, uuid, err) : 0;
    struct lambda_event_source_mapping_configuration value = *m->value;
    // What the user asked for meanwhile stands: only Disabling ends in Disabled.
    if (!settled(value.state) ||
        (str_eq(value.state, STR("Disabling")) && str_eq(state, STR("Disabled"))))
        value.state = state;
    if (!str_is_null(last_result))
        value.last_processing_result = last_result;
    return save(l, m->account, m->region, &value, m->tags, err);
}

void lambda_set_mappings_changed(void (*fn)(void *ctx, struct str uuid), void *ctx)
{
    lambda_service_state.mappings_changed = fn;
    lambda_service_state.mappings_ctx = ctx;
}
