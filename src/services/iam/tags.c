// tags.c - tags of roles, users, instance profiles and policies: one function for each verb.
#include "services/iam/iam_impl.h"

#include "base/cleanup.h"

#include <errno.h>

struct tagging {
    enum iam_kind kind;
    struct str owner; // a name; of policies the ARN
    const struct iam_tag_list_type *tags;
    const struct iam_tag_key_list_type *keys;
    struct str marker;
    bool has_max;
    int64_t max;
};

static int find_owner(struct store_tx *tx, struct call *c, const struct tagging *t,
                      struct iam_entity *e, struct err *err)
{
    if (t->kind == IAM_POLICY)
        return iam_find_policy(tx, c->arena, c->account, t->owner, e, err);
    return iam_find(tx, c->arena, c->account, t->kind, t->owner, e, err);
}

static int put(struct store_tx *tx, struct call *c, const void *input, void *output,
               struct err *err)
{
    const struct tagging *t = input;
    struct iam_entity e;
    int r = find_owner(tx, c, t, &e, err);
    (void)output;
    return r < 0 ? r : iam_tags_put(tx, e.id, t->tags, err);
}

static int remove_keys(struct store_tx *tx, struct call *c, const void *input, void *output,
                       struct err *err)
{
    const struct tagging *t = input;
    struct iam_entity e;
    int64_t n = 0;
    int r = find_owner(tx, c, t, &e, err);
    (void)output;
    for (size_t i = 0; r == 0 && n >= 0 && i < t->keys->n; i++)
        n = store_exec(tx, err, "DELETE FROM tag WHERE entity = ? AND tag = ?", SQL_STR(e.id),
                       SQL_STR(t->keys->ptr[i]));
    return r < 0 ? r : n < 0 ? (int)n : 0;
}

struct found {
    struct iam_tag_list_type tags;
    bool more;
    struct str last;
};

static int list(struct store_tx *tx, struct call *c, const void *input, void *output,
                struct err *err)
{
    const struct tagging *t = input;
    struct found *out = output;
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    struct iam_entity e;
    struct iam_page page;
    int r = iam_page_begin(c, t->marker, t->has_max, t->max, &page, err);
    if (r == 0)
        r = find_owner(tx, c, t, &e, err);
    if (r == 0)
        r = store_select(tx, &s, err,
                         "SELECT tag, value FROM tag WHERE entity = ? AND tag > ? ORDER BY tag"
                         " LIMIT ?",
                         SQL_STR(e.id), SQL_STR(page.after), SQL_I64(page.max + 1));
    if (r < 0)
        return r;
    out->tags.ptr = arena_new_array(c->arena, struct iam_tag, (size_t)page.max);
    while (out->tags.ptr && (r = store_step(s, err)) > 0) {
        out->more = out->tags.n == (size_t)page.max;
        if (out->more)
            return 0;
        struct iam_tag *tag = &out->tags.ptr[out->tags.n++];
        tag->key = out->last = store_take_str(s, 0, c->arena);
        tag->value = store_take_str(s, 1, c->arena);
    }
    return r;
}

#define TAG_OPS(noun, KIND, owner_member)                                                          \
    int iam_tag_##noun(struct call *c, const struct iam_tag_##noun##_in *in,                       \
                       struct iam_tag_##noun##_out *out, struct err *err)                          \
    {                                                                                              \
        const struct tagging t = {.kind = KIND, .owner = in->owner_member, .tags = &in->tags};     \
        return iam_change(c, put, &t, out, err);                                                   \
    }                                                                                              \
    int iam_untag_##noun(struct call *c, const struct iam_untag_##noun##_in *in,                   \
                         struct iam_untag_##noun##_out *out, struct err *err)                      \
    {                                                                                              \
        const struct tagging t = {.kind = KIND, .owner = in->owner_member, .keys = &in->tag_keys}; \
        return iam_change(c, remove_keys, &t, out, err);                                           \
    }                                                                                              \
    int iam_list_##noun##_tags(struct call *c, const struct iam_list_##noun##_tags_in *in,         \
                               struct iam_list_##noun##_tags_out *out, struct err *err)            \
    {                                                                                              \
        const struct tagging t = {.kind = KIND,                                                    \
                                  .owner = in->owner_member,                                       \
                                  .marker = in->marker,                                            \
                                  .has_max = in->has_max_items,                                    \
                                  .max = in->max_items};                                           \
        struct found f = {0};                                                                      \
        int r = iam_look(c, list, &t, &f, err);                                                    \
        out->tags = f.tags;                                                                        \
        IAM_PAGE_END(c, out, f.more, f.last);                                                      \
        return r;                                                                                  \
    }

TAG_OPS(role, IAM_ROLE, role_name)
TAG_OPS(user, IAM_USER, user_name)
TAG_OPS(policy, IAM_POLICY, policy_arn)
TAG_OPS(instance_profile, IAM_PROFILE, instance_profile_name)
