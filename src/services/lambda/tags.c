// tags.c - tags of functions and of event source mappings.
#include "services/lambda/lambda_impl.h"

#include <errno.h>

#define MAX_TAGS 50

// What carries tags: a function (by its unqualified ARN), or a mapping.
struct tagged {
    struct fn *fn;
    struct mapping *mapping;
    struct lambda_tags tags;
};

int lambda_check_tags(size_t n, struct err *err)
{
    return n > MAX_TAGS ? lambda_invalid(err, "A resource can have at most %d tags.", MAX_TAGS) : 0;
}

// Tags stay valid until the call is answered.
static int find_function(struct lambda *l, struct call *c, struct str arn, struct tagged *t,
                         struct err *err)
{
    struct fn_target target;
    int r = fn_find(l, c, arn, STR_NULL, &target, err);

    if (r < 0)
        return r;
    if (!str_is_null(target.qualifier))
        return lambda_invalid(err, "Tags on function aliases and versions are not supported. "
                                   "Please specify a function ARN.");
    struct fn_record *record = fn_record_of(target.fn, RECORD_TAGS, STR(""));
    if (record) {
        fn_record_hold(c, record);
        t->tags = ((const struct lambda_list_tags_out *)record->value)->tags;
    }
    t->fn = target.fn;
    return 0;
}

static int find_tagged(struct lambda *l, struct call *c, struct str resource, struct tagged *t,
                       struct err *err)
{
    struct str mappings = call_arn(c, "lambda", "event-source-mapping:");

    *t = (struct tagged){0};
    if (!str_starts(resource, STR("arn:")))
        return lambda_invalid(err, "The resource '%.*s' is not an ARN.",
                              (int)(resource.len > 100 ? 100 : resource.len), resource.ptr);
    if (!str_starts(resource, mappings))
        return find_function(l, c, resource, t, err);
    int r = mapping_find(l, c, str_slice(resource, mappings.len, resource.len), &t->mapping, err);
    if (r < 0)
        return r;
    mapping_hold(c, t->mapping);
    t->tags = t->mapping->tags;
    return 0;
}

static int save_tags(struct lambda *l, const struct tagged *t, struct lambda_tags tags,
                     struct err *err)
{
    const struct lambda_list_tags_out value = {.tags = tags};
    struct fn_record *record;
    int r = lambda_check_tags(tags.n, err);

    if (r < 0)
        return r;
    if (t->mapping)
        return mapping_set_tags(l, t->mapping, tags, err);
    if (tags.n == 0)
        return fn_drop_record(l, t->fn, RECORD_TAGS, STR(""), err);
    r = fn_record_new(RECORD_TAGS, STR(""), &value, &record, err);
    return r < 0 ? r : fn_save_record(l, t->fn, record, err);
}

int lambda_tag_resource(struct call *c, const struct lambda_tag_resource_in *in,
                        struct lambda_tag_resource_out *out, struct err *err)
{
    _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
    struct tagged t;
    int r = find_tagged(l, c, in->resource, &t, err);

    (void)out;
    if (r < 0)
        return r;
    struct lambda_tags all = {
        .ptr = arena_new_array(c->arena, struct lambda_tags_entry, t.tags.n + in->tags.n + 1)};
    if (!all.ptr)
        return err_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < t.tags.n; i++)
        all.ptr[all.n++] = t.tags.ptr[i];
    for (size_t i = 0; i < in->tags.n; i++) {
        size_t k = 0;
        while (k < all.n && !str_eq(all.ptr[k].key, in->tags.ptr[i].key))
            k++;
        all.ptr[k] = in->tags.ptr[i];
        if (k == all.n)
            all.n++;
    }
    return save_tags(l, &t, all, err);
}

int lambda_untag_resource(struct call *c, const struct lambda_untag_resource_in *in,
                          struct lambda_untag_resource_out *out, struct err *err)
{
    _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
    struct tagged t;
    int r = find_tagged(l, c, in->resource, &t, err);

    (void)out;
    if (r < 0)
        return r;
    struct lambda_tags left = {
        .ptr = arena_new_array(c->arena, struct lambda_tags_entry, t.tags.n + 1)};
    if (!left.ptr)
        return err_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < t.tags.n; i++) {
        bool drop = false;
        for (size_t k = 0; k < in->tag_keys.n && !drop; k++)
            drop = str_eq(t.tags.ptr[i].key, in->tag_keys.ptr[k]);
        if (!drop)
            left.ptr[left.n++] = t.tags.ptr[i];
    }
    return save_tags(l, &t, left, err);
}

int lambda_list_tags(struct call *c, const struct lambda_list_tags_in *in,
                     struct lambda_list_tags_out *out, struct err *err)
{
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look(c);
    struct tagged t;
    int r = find_tagged(l, c, in->resource, &t, err);

    if (r < 0)
        return r;
    out->tags = t.tags;
    if (t.tags.n == 0)
        out->tags.ptr = WIRE_EMPTY;
    return 0;
}
