// instance_profiles.c - instance profiles: a name around at most one role.
#include "services/iam/iam_impl.h"

#include "base/cleanup.h"

#include <errno.h>

static int read_roles(struct store_tx *tx, struct call *c, struct str profile,
                      struct iam_role_list_type *out, struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    int r = store_select(tx, &s, err,
                         "SELECT " IAM_COLUMNS " FROM member m JOIN entity e ON e.id = m.entity"
                         " WHERE m.owner = ? LIMIT 1",
                         SQL_STR(profile));
    out->ptr = arena_new_array(c->arena, struct iam_role, 1);
    if (!out->ptr)
        return -ENOMEM;
    if (r == 0 && (r = store_step(s, err)) > 0) {
        struct iam_entity e;
        iam_read_entity(s, 0, c->arena, &e);
        r = iam_show_role(NULL, c, &e, &out->ptr[out->n++], err);
    }
    return r < 0 ? r : 0;
}

static int show(struct store_tx *tx, struct call *c, const struct iam_entity *e,
                struct iam_instance_profile *out, struct err *err)
{
    out->path = e->path;
    out->instance_profile_name = e->name;
    out->instance_profile_id = e->id;
    out->arn = iam_arn(c->arena, e);
    WIRE_SET(out, create_date, e->created_ms);
    int r = read_roles(tx, c, e->id, &out->roles, err);
    return r < 0 ? r : iam_tags_read(tx, c->arena, e->id, &out->tags, err);
}

static int create(struct store_tx *tx, struct call *c, const void *input, void *output,
                  struct err *err)
{
    const struct iam_create_instance_profile_in *in = input;
    struct iam_create_instance_profile_out *out = output;
    struct iam_entity e = {
        .kind = IAM_PROFILE, .name = in->instance_profile_name, .path = in->path};
    int r = iam_insert(tx, c, &e, &in->tags, err);
    if (r < 0)
        return r;
    out->instance_profile = arena_new(c->arena, struct iam_instance_profile);
    return out->instance_profile ? show(tx, c, &e, out->instance_profile, err) : -ENOMEM;
}

int iam_create_instance_profile(struct call *c, const struct iam_create_instance_profile_in *in,
                                struct iam_create_instance_profile_out *out, struct err *err)
{
    return iam_change(c, create, in, out, err);
}

static int get(struct store_tx *tx, struct call *c, const void *input, void *output,
               struct err *err)
{
    const struct iam_get_instance_profile_in *in = input;
    struct iam_get_instance_profile_out *out = output;
    struct iam_entity e;
    int r = iam_find(tx, c->arena, c->account, IAM_PROFILE, in->instance_profile_name, &e, err);
    if (r < 0)
        return r;
    out->instance_profile = arena_new(c->arena, struct iam_instance_profile);
    return out->instance_profile ? show(tx, c, &e, out->instance_profile, err) : -ENOMEM;
}

int iam_get_instance_profile(struct call *c, const struct iam_get_instance_profile_in *in,
                             struct iam_get_instance_profile_out *out, struct err *err)
{
    return iam_look(c, get, in, out, err);
}

static int list(struct store_tx *tx, struct call *c, const void *input, void *output,
                struct err *err)
{
    const struct iam_list_instance_profiles_in *in = input;
    struct iam_list_instance_profiles_out *out = output;
    struct iam_entities page;
    int r = IAM_LIST(tx, c, IAM_PROFILE, in, &page, err);
    if (r < 0)
        return r;
    out->instance_profiles.ptr = arena_new_array(c->arena, struct iam_instance_profile, page.n + 1);
    for (size_t i = 0; r == 0 && out->instance_profiles.ptr && i < page.n; i++)
        r = show(tx, c, &page.list[i], &out->instance_profiles.ptr[out->instance_profiles.n++],
                 err);
    IAM_PAGE_END(c, out, page.more, page.last);
    return r;
}

int iam_list_instance_profiles(struct call *c, const struct iam_list_instance_profiles_in *in,
                               struct iam_list_instance_profiles_out *out, struct err *err)
{
    return iam_look(c, list, in, out, err);
}

static int list_for_role(struct store_tx *tx, struct call *c, const void *input, void *output,
                         struct err *err)
{
    const struct iam_list_instance_profiles_for_role_in *in = input;
    struct iam_list_instance_profiles_for_role_out *out = output;
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    struct iam_page page;
    struct iam_entity role;
    struct str last = STR_NULL;
    bool more = false;
    int r = iam_page_begin(c, in->marker, in->has_max_items, in->max_items, &page, err);
    if (r == 0)
        r = iam_find(tx, c->arena, c->account, IAM_ROLE, in->role_name, &role, err);
    if (r == 0)
        r = store_select(tx, &s, err,
                         "SELECT " IAM_COLUMNS " FROM member m JOIN entity e ON e.id = m.owner"
                         " WHERE m.entity = ? AND m.owner > ? ORDER BY m.owner LIMIT ?",
                         SQL_STR(role.id), SQL_STR(page.after), SQL_I64(page.max + 1));
    if (r < 0)
        return r;
    out->instance_profiles.ptr =
        arena_new_array(c->arena, struct iam_instance_profile, (size_t)page.max);
    while (out->instance_profiles.ptr && (r = store_step(s, err)) > 0) {
        struct iam_entity e;
        more = out->instance_profiles.n == (size_t)page.max;
        if (more)
            break;
        iam_read_entity(s, 0, c->arena, &e);
        last = e.id;
        r = show(tx, c, &e, &out->instance_profiles.ptr[out->instance_profiles.n++], err);
        if (r < 0)
            return r;
    }
    IAM_PAGE_END(c, out, more, last);
    return r < 0 ? r : 0;
}

int iam_list_instance_profiles_for_role(struct call *c,
                                        const struct iam_list_instance_profiles_for_role_in *in,
                                        struct iam_list_instance_profiles_for_role_out *out,
                                        struct err *err)
{
    return iam_look(c, list_for_role, in, out, err);
}

static int delete (struct store_tx *tx, struct call *c, const void *input, void *output,
                   struct err *err)
{
    const struct iam_delete_instance_profile_in *in = input;
    struct iam_entity e;
    int64_t n = 0;
    int r = iam_find(tx, c->arena, c->account, IAM_PROFILE, in->instance_profile_name, &e, err);
    (void)output;
    if (r == 0)
        r = iam_count(tx, "SELECT COUNT(*) FROM member WHERE owner = ?", e.id, &n, err);
    if (r == 0 && n > 0)
        return err_aws(err, &IAM_DELETE_CONFLICT_EXCEPTION,
                       "Cannot delete entity, must remove roles from instance profile first.");
    return r < 0 ? r : iam_delete(tx, &e, err);
}

int iam_delete_instance_profile(struct call *c, const struct iam_delete_instance_profile_in *in,
                                struct iam_delete_instance_profile_out *out, struct err *err)
{
    return iam_change(c, delete, in, out, err);
}

static int find_both(struct store_tx *tx, struct call *c, struct str profile, struct str role,
                     struct iam_entity *p, struct iam_entity *e, struct err *err)
{
    int r = iam_find(tx, c->arena, c->account, IAM_PROFILE, profile, p, err);
    return r < 0 ? r : iam_find(tx, c->arena, c->account, IAM_ROLE, role, e, err);
}

static int add_role(struct store_tx *tx, struct call *c, const void *input, void *output,
                    struct err *err)
{
    const struct iam_add_role_to_instance_profile_in *in = input;
    struct iam_entity p, e;
    int64_t n = 0;
    int r = find_both(tx, c, in->instance_profile_name, in->role_name, &p, &e, err);
    (void)output;
    if (r == 0)
        r = iam_count(tx, "SELECT COUNT(*) FROM member WHERE owner = ?", p.id, &n, err);
    if (r == 0 && n > 0)
        return err_aws(err, &IAM_LIMIT_EXCEEDED_EXCEPTION,
                       "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1");
    if (r < 0)
        return r;
    n = store_exec(tx, err, "INSERT INTO member (owner, entity) VALUES (?, ?)", SQL_STR(p.id),
                   SQL_STR(e.id));
    return n < 0 ? (int)n : 0;
}

int iam_add_role_to_instance_profile(struct call *c,
                                     const struct iam_add_role_to_instance_profile_in *in,
                                     struct iam_add_role_to_instance_profile_out *out,
                                     struct err *err)
{
    return iam_change(c, add_role, in, out, err);
}

static int remove_role(struct store_tx *tx, struct call *c, const void *input, void *output,
                       struct err *err)
{
    const struct iam_remove_role_from_instance_profile_in *in = input;
    struct iam_entity p, e;
    int64_t n;
    int r = find_both(tx, c, in->instance_profile_name, in->role_name, &p, &e, err);
    (void)output;
    if (r < 0)
        return r;
    n = store_exec(tx, err, "DELETE FROM member WHERE owner = ? AND entity = ?", SQL_STR(p.id),
                   SQL_STR(e.id));
    if (n == 0)
        return err_aws(err, &IAM_NO_SUCH_ENTITY_EXCEPTION,
                       "Role %.*s in Instance Profile %.*s cannot be found.", STR_ARG(e.name),
                       STR_ARG(p.name));
    return n < 0 ? (int)n : 0;
}

int iam_remove_role_from_instance_profile(struct call *c,
                                          const struct iam_remove_role_from_instance_profile_in *in,
                                          struct iam_remove_role_from_instance_profile_out *out,
                                          struct err *err)
{
    return iam_change(c, remove_role, in, out, err);
}
