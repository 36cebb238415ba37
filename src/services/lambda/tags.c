// tags.c - tags of functions and event source mappings. Mappings keep none yet.
#include "services/lambda/lambda_impl.h"

#include <errno.h>

#define MAX_TAGS 50

// Tags belong to the function: its ARN must be unqualified.
static int find_tagged(struct lambda *l, struct call *c, struct str resource, struct fn_target *t,
                       struct err *err)
{
    if (!str_starts(resource, STR("arn:")))
        return lambda_invalid(err, "The resource '%.*s' is not an ARN.",
                              (int)(resource.len > 100 ? 100 : resource.len), resource.ptr);
    int r = fn_find(l, c, resource, STR_NULL, t, err);
    if (r == 0 && !str_is_null(t->qualifier))
        return lambda_invalid(err, "Tags on function aliases and versions are not supported. "
                                   "Please specify a function ARN.");
    return r;
}

static const struct lambda_tags *tags_of(const struct fn *f)
{
    static const struct lambda_tags none;
    struct fn_record *r = fn_record_of(f, RECORD_TAGS, STR(""));

    return r ? &((const struct lambda_list_tags_out *)r->value)->tags : &none;
}

static int save_tags(struct lambda *l, struct fn *f, struct lambda_tags tags, struct err *err)
{
    const struct lambda_list_tags_out value = {.tags = tags};
    struct fn_record *record;

    if (tags.n > MAX_TAGS)
        return lambda_invalid(err, "A function can have at most %d tags.", MAX_TAGS);
    if (tags.n == 0)
        return fn_drop_record(l, f, RECORD_TAGS, STR(""), err);
    int r = fn_record_new(RECORD_TAGS, STR(""), &value, &record, err);
    return r < 0 ? r : fn_save_record(l, f, record, err);
}

int lambda_tag_resource(struct call *c, const struct lambda_tag_resource_in *in,
                        struct lambda_tag_resource_out *out, struct err *err)
{
    _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
    struct fn_target t;
    int r = find_tagged(l, c, in->resource, &t, err);

    (void)out;
    if (r < 0)
        return r;
    const struct lambda_tags *have = tags_of(t.fn);
    struct lambda_tags all = {
        .ptr = arena_new_array(c->arena, struct lambda_tags_entry, have->n + in->tags.n + 1)};
    if (!all.ptr)
        return err_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < have->n; i++)
        all.ptr[all.n++] = have->ptr[i];
    for (size_t i = 0; i < in->tags.n; i++) {
        size_t k = 0;
        while (k < all.n && !str_eq(all.ptr[k].key, in->tags.ptr[i].key))
            k++;
        all.ptr[k] = in->tags.ptr[i];
        if (k == all.n)
            all.n++;
    }
    return save_tags(l, t.fn, all, err);
}

int lambda_untag_resource(struct call *c, const struct lambda_untag_resource_in *in,
                          struct lambda_untag_resource_out *out, struct err *err)
{
    _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
    struct fn_target t;
    int r = find_tagged(l, c, in->resource, &t, err);

    (void)out;
    if (r < 0)
        return r;
    const struct lambda_tags *have = tags_of(t.fn);
    struct lambda_tags left = {
        .ptr = arena_new_array(c->arena, struct lambda_tags_entry, have->n + 1)};
    if (!left.ptr)
        return err_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < have->n; i++) {
        bool drop = false;
        for (size_t k = 0; k < in->tag_keys.n && !drop; k++)
            drop = str_eq(have->ptr[i].key, in->tag_keys.ptr[k]);
        if (!drop)
            left.ptr[left.n++] = have->ptr[i];
    }
    return save_tags(l, t.fn, left, err);
}

int lambda_list_tags(struct call *c, const struct lambda_list_tags_in *in,
                     struct lambda_list_tags_out *out, struct err *err)
{
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look(c);
    struct fn_target t;
    int r = find_tagged(l, c, in->resource, &t, err);

    if (r < 0)
        return r;
    struct fn_record *record = fn_record_of(t.fn, RECORD_TAGS, STR(""));
    if (record) {
        fn_record_hold(c, record);
        out->tags = *tags_of(t.fn);
    } else {
        out->tags.ptr = WIRE_EMPTY;
    }
    return 0;
}
