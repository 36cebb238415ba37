// delivery.c - see delivery.h.

#include "triggers/delivery.h"

#include "services/lambda/names.h"

#include <stdio.h>

static void done_work(struct work *w)
{
    struct delivery *d = (struct delivery *)((char *)w - offsetof(struct delivery, work));

    d->done(d);
}

static void invocation_done(struct invocation *inv)
{
    struct delivery *d = inv->user;

    switch (inv->status) {
    case INVOCATION_OK:
        d->outcome = DELIVERY_OK;
        d->response = inv->response;
        break;
    case INVOCATION_FUNCTION_ERROR:
        d->outcome = DELIVERY_FAILED;
        d->response = inv->response;
        break;
    case INVOCATION_THROTTLED:
    case INVOCATION_FAILED:
        d->outcome = DELIVERY_NOT_MADE;
        snprintf(d->problem, sizeof(d->problem), "%.255s", inv->err.message);
        break;
    }
    work_submit(&d->work);
}

void delivery_start(struct delivery *d)
{
    struct mapping *m = d->mapping;
    struct err err = ERR_INIT;
    struct lambda_name name;

    d->work = (struct work){.run = done_work};
    d->resolved = lambda_name_parse(m->function_arn, &name) &&
                  lambda_resolve(mapping_engine(), m->account, m->region, name.name, name.qualifier,
                                 &d->target, &err) == 0;
    if (!d->resolved) {
        d->outcome = DELIVERY_NOT_MADE;
        snprintf(d->problem, sizeof(d->problem), "%.255s",
                 err.message[0] ? err.message : "The function's name is not valid.");
        work_submit(&d->work);
        return;
    }
    d->invocation = (struct invocation){
        .function = d->target.config,
        .payload = d->payload,
        .invoked_arn = str_from(d->target.arn),
        .trace_id = d->trace_id,
        .done = invocation_done,
        .user = d,
    };
    invocation_submit(&d->invocation);
}

void delivery_finish(struct delivery *d)
{
    if (!d->resolved)
        return;
    invocation_finish(&d->invocation);
    function_config_unref(d->target.config);
    d->resolved = false;
}

static bool mark_failed(struct str id, const struct str *ids, size_t n, bool *failed)
{
    for (size_t i = 0; i < n; i++) {
        if (str_eq(ids[i], id)) {
            failed[i] = true;
            return true;
        }
    }
    return false;
}

bool delivery_failed_items(struct arena *a, struct str response, const struct str *ids, size_t n,
                           bool *failed)
{
    const struct json_value *v;

    memset(failed, 0, n * sizeof(*failed));
    if (json_parse(a, response, &v, NULL) < 0)
        return response.len == 0;
    if (json_is_null(v))
        return true;
    const struct json_value *list = json_get(v, "batchItemFailures");
    if (json_is(v, JSON_OBJECT) && json_is_null(list))
        return true;
    if (!json_is(list, JSON_ARRAY))
        return false;
    json_each(item, list)
    {
        struct str id = STR_NULL;
        if (!json_str(json_get(item, "itemIdentifier"), &id) || id.len == 0 ||
            !mark_failed(id, ids, n, failed))
            return false;
    }
    return true;
}
