// users.c - users and groups, and who is in which.
#include "services/iam/iam_impl.h"

#include "base/cleanup.h"

#include <errno.h>

void iam_show_user(struct call *c, const struct iam_entity *e, struct iam_user *out)
{
    out->path = e->path;
    out->user_name = e->name;
    out->user_id = e->id;
    out->arn = iam_arn(c->arena, e);
    WIRE_SET(out, create_date, e->created_ms);
    out->permissions_boundary = iam_show_boundary(c, e->boundary);
}

void iam_show_group(struct call *c, const struct iam_entity *e, struct iam_group *out)
{
    out->path = e->path;
    out->group_name = e->name;
    out->group_id = e->id;
    out->arn = iam_arn(c->arena, e);
    WIRE_SET(out, create_date, e->created_ms);
}

// --- users ---

static int create_user(struct store_tx *tx, struct call *c, const void *input, void *output,
                       struct err *err)
{
    const struct iam_create_user_in *in = input;
    struct iam_create_user_out *out = output;
    struct iam_entity e = {
        .kind = IAM_USER,
        .name = in->user_name,
        .path = in->path,
        .boundary = in->permissions_boundary,
    };
    int r = iam_insert(tx, c, &e, &in->tags, err);
    if (r < 0)
        return r;
    out->user = arena_new(c->arena, struct iam_user);
    if (!out->user)
        return -ENOMEM;
    iam_show_user(c, &e, out->user);
    return iam_tags_read(tx, c->arena, e.id, &out->user->tags, err);
}

int iam_create_user(struct call *c, const struct iam_create_user_in *in,
                    struct iam_create_user_out *out, struct err *err)
{
    return iam_change(c, create_user, in, out, err);
}

static int get_user(struct store_tx *tx, struct call *c, const void *input, void *output,
                    struct err *err)
{
    const struct iam_get_user_in *in = input;
    struct iam_get_user_out *out = output;
    struct iam_entity e;
    int r;
    out->user = arena_new(c->arena, struct iam_user);
    if (!out->user)
        return -ENOMEM;
    if (str_is_null(in->user_name) && c->principal.kind == PRINCIPAL_ROOT) {
        out->user->user_id = c->account;
        out->user->arn = c->principal.arn;
        WIRE_SET(out->user, create_date, 1577836800000); // the account is as old as we say
        return 0;
    }
    r = str_is_null(in->user_name)
            ? iam_find_by_id(tx, c->arena, c->principal.user_id, &e, err)
            : iam_find(tx, c->arena, c->account, IAM_USER, in->user_name, &e, err);
    if (r == -ENOENT && str_is_null(in->user_name))
        return err_aws(err, &WIRE_VALIDATION_ERROR,
                       "Must specify userName when calling with non-User credentials");
    if (r < 0)
        return r;
    iam_show_user(c, &e, out->user);
    return iam_tags_read(tx, c->arena, e.id, &out->user->tags, err);
}

int iam_get_user(struct call *c, const struct iam_get_user_in *in, struct iam_get_user_out *out,
                 struct err *err)
{
    return iam_look(c, get_user, in, out, err);
}

static int list_users(struct store_tx *tx, struct call *c, const void *input, void *output,
                      struct err *err)
{
    const struct iam_list_users_in *in = input;
    struct iam_list_users_out *out = output;
    struct iam_entities page;
    int r = IAM_LIST(tx, c, IAM_USER, in, &page, err);
    if (r < 0)
        return r;
    out->users.ptr = arena_new_array(c->arena, struct iam_user, page.n + 1);
    for (size_t i = 0; out->users.ptr && i < page.n; i++)
        iam_show_user(c, &page.list[i], &out->users.ptr[out->users.n++]);
    IAM_PAGE_END(c, out, page.more, page.last);
    return 0;
}

int iam_list_users(struct call *c, const struct iam_list_users_in *in,
                   struct iam_list_users_out *out, struct err *err)
{
    return iam_look(c, list_users, in, out, err);
}

static int rename_entity(struct store_tx *tx, struct call *c, enum iam_kind kind, struct str name,
                         struct str new_name, struct str new_path, struct err *err)
{
    struct err ignored = ERR_INIT;
    struct iam_entity e, other;
    int r = iam_find(tx, c->arena, c->account, kind, name, &e, err);
    if (r < 0)
        return r;
    if (new_name.len > 0 && !str_eq_nocase(new_name, e.name) &&
        iam_find(tx, c->arena, c->account, kind, new_name, &other, &ignored) == 0)
        return err_aws(err, &IAM_ENTITY_ALREADY_EXISTS_EXCEPTION,
                       "%s with name %.*s already exists.", kind == IAM_USER ? "User" : "Group",
                       STR_ARG(new_name));
    if (new_name.len > 0)
        e.name = new_name;
    if (new_path.len > 0)
        e.path = new_path;
    return iam_update(tx, &e, err);
}

static int update_user(struct store_tx *tx, struct call *c, const void *input, void *output,
                       struct err *err)
{
    const struct iam_update_user_in *in = input;
    (void)output;
    return rename_entity(tx, c, IAM_USER, in->user_name, in->new_user_name, in->new_path, err);
}

int iam_update_user(struct call *c, const struct iam_update_user_in *in,
                    struct iam_update_user_out *out, struct err *err)
{
    int r = iam_change(c, update_user, in, out, err);
    return r < 0 ? r : iam_keys_load(err); // the keys' ARNs are another's now
}

// Refuses while one of the counts is not zero.
struct hold {
    const char *sql, *message;
};

static int delete_unless(struct store_tx *tx, struct call *c, enum iam_kind kind, struct str name,
                         const struct hold *holds, size_t n, struct err *err)
{
    struct iam_entity e;
    int r = iam_find(tx, c->arena, c->account, kind, name, &e, err);
    for (size_t i = 0; r == 0 && i < n; i++) {
        int64_t count;
        r = iam_count(tx, holds[i].sql, e.id, &count, err);
        if (r == 0 && count > 0)
            r = err_aws(err, &IAM_DELETE_CONFLICT_EXCEPTION, "%s", holds[i].message);
    }
    return r < 0 ? r : iam_delete(tx, &e, err);
}

static int delete_user(struct store_tx *tx, struct call *c, const void *input, void *output,
                       struct err *err)
{
    static const struct hold holds[] = {
        {"SELECT COUNT(*) FROM attachment WHERE entity = ?",
         "Cannot delete entity, must detach all policies first."},
        {"SELECT COUNT(*) FROM inline_policy WHERE entity = ?",
         "Cannot delete entity, must delete policies first."},
        {"SELECT COUNT(*) FROM access_key WHERE entity = ?",
         "Cannot delete entity, must delete access keys first."},
        {"SELECT COUNT(*) FROM member WHERE entity = ?",
         "Cannot delete entity, must remove users from group first."},
    };
    (void)output;
    return delete_unless(tx, c, IAM_USER, ((const struct iam_delete_user_in *)input)->user_name,
                         holds, ARRAY_LEN(holds), err);
}

int iam_delete_user(struct call *c, const struct iam_delete_user_in *in,
                    struct iam_delete_user_out *out, struct err *err)
{
    return iam_change(c, delete_user, in, out, err);
}

// --- groups ---

static int create_group(struct store_tx *tx, struct call *c, const void *input, void *output,
                        struct err *err)
{
    const struct iam_create_group_in *in = input;
    struct iam_create_group_out *out = output;
    struct iam_entity e = {.kind = IAM_GROUP, .name = in->group_name, .path = in->path};
    int r = iam_insert(tx, c, &e, NULL, err);
    if (r < 0)
        return r;
    out->group = arena_new(c->arena, struct iam_group);
    if (!out->group)
        return -ENOMEM;
    iam_show_group(c, &e, out->group);
    return 0;
}

int iam_create_group(struct call *c, const struct iam_create_group_in *in,
                     struct iam_create_group_out *out, struct err *err)
{
    return iam_change(c, create_group, in, out, err);
}

static int list_groups(struct store_tx *tx, struct call *c, const void *input, void *output,
                       struct err *err)
{
    const struct iam_list_groups_in *in = input;
    struct iam_list_groups_out *out = output;
    struct iam_entities page;
    int r = IAM_LIST(tx, c, IAM_GROUP, in, &page, err);
    if (r < 0)
        return r;
    out->groups.ptr = arena_new_array(c->arena, struct iam_group, page.n + 1);
    for (size_t i = 0; out->groups.ptr && i < page.n; i++)
        iam_show_group(c, &page.list[i], &out->groups.ptr[out->groups.n++]);
    IAM_PAGE_END(c, out, page.more, page.last);
    return 0;
}

int iam_list_groups(struct call *c, const struct iam_list_groups_in *in,
                    struct iam_list_groups_out *out, struct err *err)
{
    return iam_look(c, list_groups, in, out, err);
}

static int update_group(struct store_tx *tx, struct call *c, const void *input, void *output,
                        struct err *err)
{
    const struct iam_update_group_in *in = input;
    (void)output;
    return rename_entity(tx, c, IAM_GROUP, in->group_name, in->new_group_name, in->new_path, err);
}

int iam_update_group(struct call *c, const struct iam_update_group_in *in,
                     struct iam_update_group_out *out, struct err *err)
{
    return iam_change(c, update_group, in, out, err);
}

static int delete_group(struct store_tx *tx, struct call *c, const void *input, void *output,
                        struct err *err)
{
    static const struct hold holds[] = {
        {"SELECT COUNT(*) FROM attachment WHERE entity = ?",
         "Cannot delete entity, must detach all policies first."},
        {"SELECT COUNT(*) FROM inline_policy WHERE entity = ?",
         "Cannot delete entity, must delete policies first."},
        {"SELECT COUNT(*) FROM member WHERE owner = ?",
         "Cannot delete entity, must remove users from group first."},
    };
    (void)output;
    return delete_unless(tx, c, IAM_GROUP, ((const struct iam_delete_group_in *)input)->group_name,
                         holds, ARRAY_LEN(holds), err);
}

int iam_delete_group(struct call *c, const struct iam_delete_group_in *in,
                     struct iam_delete_group_out *out, struct err *err)
{
    return iam_change(c, delete_group, in, out, err);
}

// --- membership ---

static int get_group(struct store_tx *tx, struct call *c, const void *input, void *output,
                     struct err *err)
{
    const struct iam_get_group_in *in = input;
    struct iam_get_group_out *out = output;
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    struct iam_entity e;
    struct iam_page page;
    struct str last = STR_NULL;
    bool more = false;
    int r = iam_page_begin(c, in->marker, in->has_max_items, in->max_items, &page, err);
    if (r == 0)
        r = iam_find(tx, c->arena, c->account, IAM_GROUP, in->group_name, &e, err);
    if (r == 0)
        r = store_select(tx, &s, err,
                         "SELECT " IAM_COLUMNS " FROM member m JOIN entity e ON e.id = m.entity"
                         " WHERE m.owner = ? AND m.entity > ? ORDER BY m.entity LIMIT ?",
                         SQL_STR(e.id), SQL_STR(page.after), SQL_I64(page.max + 1));
    if (r < 0)
        return r;
    out->group = arena_new(c->arena, struct iam_group);
    out->users.ptr = arena_new_array(c->arena, struct iam_user, (size_t)page.max);
    if (!out->group || !out->users.ptr)
        return -ENOMEM;
    iam_show_group(c, &e, out->group);
    while ((r = store_step(s, err)) > 0) {
        struct iam_entity user;
        more = out->users.n == (size_t)page.max;
        if (more)
            break;
        iam_read_entity(s, 0, c->arena, &user);
        last = user.id;
        iam_show_user(c, &user, &out->users.ptr[out->users.n++]);
    }
    IAM_PAGE_END(c, out, more, last);
    return r < 0 ? r : 0;
}

int iam_get_group(struct call *c, const struct iam_get_group_in *in, struct iam_get_group_out *out,
                  struct err *err)
{
    return iam_look(c, get_group, in, out, err);
}

static int list_groups_for_user(struct store_tx *tx, struct call *c, const void *input,
                                void *output, struct err *err)
{
    const struct iam_list_groups_for_user_in *in = input;
    struct iam_list_groups_for_user_out *out = output;
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    struct iam_entity e;
    struct iam_page page;
    struct str last = STR_NULL;
    bool more = false;
    int r = iam_page_begin(c, in->marker, in->has_max_items, in->max_items, &page, err);
    if (r == 0)
        r = iam_find(tx, c->arena, c->account, IAM_USER, in->user_name, &e, err);
    if (r == 0)
        r = store_select(tx, &s, err,
                         "SELECT " IAM_COLUMNS " FROM member m JOIN entity e ON e.id = m.owner"
                         " WHERE m.entity = ? AND m.owner > ? ORDER BY m.owner LIMIT ?",
                         SQL_STR(e.id), SQL_STR(page.after), SQL_I64(page.max + 1));
    if (r < 0)
        return r;
    out->groups.ptr = arena_new_array(c->arena, struct iam_group, (size_t)page.max);
    while (out->groups.ptr && (r = store_step(s, err)) > 0) {
        struct iam_entity group;
        more = out->groups.n == (size_t)page.max;
        if (more)
            break;
        iam_read_entity(s, 0, c->arena, &group);
        last = group.id;
        iam_show_group(c, &group, &out->groups.ptr[out->groups.n++]);
    }
    IAM_PAGE_END(c, out, more, last);
    return r < 0 ? r : 0;
}

int iam_list_groups_for_user(struct call *c, const struct iam_list_groups_for_user_in *in,
                             struct iam_list_groups_for_user_out *out, struct err *err)
{
    return iam_look(c, list_groups_for_user, in, out, err);
}

static int find_both(struct store_tx *tx, struct call *c, struct str group, struct str user,
                     struct iam_entity *g, struct iam_entity *u, struct err *err)
{
    int r = iam_find(tx, c->arena, c->account, IAM_GROUP, group, g, err);
    return r < 0 ? r : iam_find(tx, c->arena, c->account, IAM_USER, user, u, err);
}

static int add_user(struct store_tx *tx, struct call *c, const void *input, void *output,
                    struct err *err)
{
    const struct iam_add_user_to_group_in *in = input;
    struct iam_entity g, u;
    int64_t n;
    int r = find_both(tx, c, in->group_name, in->user_name, &g, &u, err);
    (void)output;
    if (r < 0)
        return r;
    n = store_exec(tx, err,
                   "INSERT INTO member (owner, entity) VALUES (?, ?) ON CONFLICT"
                   " (owner, entity) DO NOTHING",
                   SQL_STR(g.id), SQL_STR(u.id));
    return n < 0 ? (int)n : 0;
}

int iam_add_user_to_group(struct call *c, const struct iam_add_user_to_group_in *in,
                          struct iam_add_user_to_group_out *out, struct err *err)
{
    return iam_change(c, add_user, in, out, err);
}

static int remove_user(struct store_tx *tx, struct call *c, const void *input, void *output,
                       struct err *err)
{
    const struct iam_remove_user_from_group_in *in = input;
    struct iam_entity g, u;
    int64_t n;
    int r = find_both(tx, c, in->group_name, in->user_name, &g, &u, err);
    (void)output;
    if (r < 0)
        return r;
    n = store_exec(tx, err, "DELETE FROM member WHERE owner = ? AND entity = ?", SQL_STR(g.id),
                   SQL_STR(u.id));
    return n < 0 ? (int)n : 0;
}

int iam_remove_user_from_group(struct call *c, const struct iam_remove_user_from_group_in *in,
                               struct iam_remove_user_from_group_out *out, struct err *err)
{
    return iam_change(c, remove_user, in, out, err);
}
