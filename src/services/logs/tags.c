// tags.c - tags of log groups, by both generations of operations.
#include "services/logs/logs_impl.h"

#include "base/cleanup.h"
#include "services/logs/log_store.h"

#include <errno.h>

#define MAX_TAGS 50 // TagResource

static int put_tags(struct call *c, struct log_group *g, const struct logs_tags *tags,
                    struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct log_tag *have;
    size_t n, added = 0;
    int r = log_store_tags(log_groups.store, c->arena, logs_tag_owner(g), &have, &n, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < tags->n; i++) {
        bool known = false;
        for (size_t j = 0; !known && j < n; j++)
            known = str_eq(have[j].key, tags->ptr[i].key);
        added += !known;
    }
    if (n + added > MAX_TAGS)
        return err_aws(err, &LOGS_TOO_MANY_TAGS_EXCEPTION, "The resource has too many tags.");
    r = store_begin(log_groups.store, STORE_WRITE, &tx, err);
    for (size_t i = 0; r == 0 && i < tags->n; i++)
        r = log_store_put_tag(tx, logs_tag_owner(g), tags->ptr[i].key, tags->ptr[i].value, err);
    return r < 0 ? r : store_commit(&tx, err);
}

static int delete_tags(struct log_group *g, const struct str *keys, size_t n, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    int r = store_begin(log_groups.store, STORE_WRITE, &tx, err);
    for (size_t i = 0; r == 0 && i < n; i++)
        r = log_store_delete_tag(tx, logs_tag_owner(g), keys[i], err);
    return r < 0 ? r : store_commit(&tx, err);
}

static int list_tags(struct call *c, struct log_group *g, struct logs_tags *out, struct err *err)
{
    struct log_tag *tags;
    size_t n;
    int r = log_store_tags(log_groups.store, c->arena, logs_tag_owner(g), &tags, &n, err);
    if (r < 0)
        return r;
    out->ptr = n > 0 ? arena_new_array(c->arena, struct logs_tags_entry, n) : WIRE_EMPTY;
    if (!out->ptr)
        return err_set(err, -ENOMEM, "tags: out of memory");
    for (size_t i = 0; i < n; i++) {
        out->ptr[i].key = tags[i].key;
        out->ptr[i].value = tags[i].value;
    }
    out->n = n;
    return 0;
}

int logs_tag_log_group(struct call *c, const struct logs_tag_log_group_in *in,
                       struct logs_tag_log_group_out *out, struct err *err)
{
    _cleanup_(log_group_unrefp) struct log_group *g = NULL;
    int r = logs_find_group(c, in->log_group_name, STR_NULL, &g, err);
    (void)out;
    return r < 0 ? r : put_tags(c, g, &in->tags, err);
}

int logs_tag_resource(struct call *c, const struct logs_tag_resource_in *in,
                      struct logs_tag_resource_out *out, struct err *err)
{
    _cleanup_(log_group_unrefp) struct log_group *g = NULL;
    int r = logs_find_group(c, STR_NULL, in->resource_arn, &g, err);
    (void)out;
    return r < 0 ? r : put_tags(c, g, &in->tags, err);
}

int logs_untag_log_group(struct call *c, const struct logs_untag_log_group_in *in,
                         struct logs_untag_log_group_out *out, struct err *err)
{
    _cleanup_(log_group_unrefp) struct log_group *g = NULL;
    int r = logs_find_group(c, in->log_group_name, STR_NULL, &g, err);
    (void)out;
    return r < 0 ? r : delete_tags(g, in->tags.ptr, in->tags.n, err);
}

int logs_untag_resource(struct call *c, const struct logs_untag_resource_in *in,
                        struct logs_untag_resource_out *out, struct err *err)
{
    _cleanup_(log_group_unrefp) struct log_group *g = NULL;
    int r = logs_find_group(c, STR_NULL, in->resource_arn, &g, err);
    (void)out;
    return r < 0 ? r : delete_tags(g, in->tag_keys.ptr, in->tag_keys.n, err);
}

int logs_list_tags_log_group(struct call *c, const struct logs_list_tags_log_group_in *in,
                             struct logs_list_tags_log_group_out *out, struct err *err)
{
    _cleanup_(log_group_unrefp) struct log_group *g = NULL;
    int r = logs_find_group(c, in->log_group_name, STR_NULL, &g, err);
    return r < 0 ? r : list_tags(c, g, &out->tags, err);
}

int logs_list_tags_for_resource(struct call *c, const struct logs_list_tags_for_resource_in *in,
                                struct logs_list_tags_for_resource_out *out, struct err *err)
{
    _cleanup_(log_group_unrefp) struct log_group *g = NULL;
    int r = logs_find_group(c, STR_NULL, in->resource_arn, &g, err);
    return r < 0 ? r : list_tags(c, g, &out->tags, err);
}
