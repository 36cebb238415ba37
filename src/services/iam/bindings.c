// bindings.c - policies of roles, users and groups: inline ones, and managed ones attached.
//
// The three kinds have the same operations under different names; each is a thin wrapper around
// one function here.
#include "services/iam/iam_impl.h"

#include "base/cleanup.h"
#include "services/iam/policies.h"

#include <errno.h>

struct binding {
    enum iam_kind kind;
    struct str owner;
    struct str policy; // name of an inline policy, ARN of a managed one
    struct str document;
    // For listings.
    struct str marker, path_prefix;
    bool has_max;
    int64_t max;
};

static int find_owner(struct store_tx *tx, struct call *c, const struct binding *b,
                      struct iam_entity *e, struct err *err)
{
    return iam_find(tx, c->arena, c->account, b->kind, b->owner, e, err);
}

// --- inline ---

static int put_inline(struct store_tx *tx, struct call *c, const void *input, void *output,
                      struct err *err)
{
    const struct binding *b = input;
    struct iam_entity e;
    int r = find_owner(tx, c, b, &e, err);
    (void)output;
    if (r == 0)
        r = iam_check_document(c, b->document, err);
    if (r < 0)
        return r;
    int64_t n = store_exec(tx, err,
                           "INSERT INTO inline_policy (entity, name, document) VALUES (?, ?, ?)"
                           " ON CONFLICT (entity, name) DO UPDATE SET document ="
                           " excluded.document",
                           SQL_STR(e.id), SQL_STR(b->policy), SQL_STR(b->document));
    return n < 0 ? (int)n : 0;
}

static int no_inline(const struct binding *b, struct err *err)
{
    return err_aws(err, &IAM_NO_SUCH_ENTITY_EXCEPTION,
                   "The %.*s policy with name %.*s cannot be found.",
                   STR_ARG(iam_kind_word(b->kind)), STR_ARG(b->policy));
}

static int get_inline(struct store_tx *tx, struct call *c, const void *input, void *output,
                      struct err *err)
{
    const struct binding *b = input;
    struct str *document = output;
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    struct iam_entity e;
    int r = find_owner(tx, c, b, &e, err);
    if (r == 0)
        r = store_select(tx, &s, err,
                         "SELECT document FROM inline_policy WHERE entity = ? AND name = ?",
                         SQL_STR(e.id), SQL_STR(b->policy));
    if (r == 0)
        r = store_step(s, err);
    if (r == 0)
        return no_inline(b, err);
    if (r > 0)
        *document = iam_document(c, store_take_str(s, 0, c->arena));
    return r < 0 ? r : 0;
}

static int delete_inline(struct store_tx *tx, struct call *c, const void *input, void *output,
                         struct err *err)
{
    const struct binding *b = input;
    struct iam_entity e;
    int r = find_owner(tx, c, b, &e, err);
    (void)output;
    if (r < 0)
        return r;
    int64_t n = store_exec(tx, err, "DELETE FROM inline_policy WHERE entity = ? AND name = ?",
                           SQL_STR(e.id), SQL_STR(b->policy));
    return n < 0 ? (int)n : n == 0 ? no_inline(b, err) : 0;
}

struct names {
    struct iam_policy_name_list_type list;
    bool more;
    struct str last;
};

// A page of one column of strings: of inline policies' names or of attached ARNs.
static int list_strings(struct store_tx *tx, struct call *c, const struct binding *b,
                        const char *sql, struct names *out, struct err *err)
{
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    struct iam_entity e;
    struct iam_page page;
    int r = iam_page_begin(c, b->marker, b->has_max, b->max, &page, err);
    if (r == 0)
        r = find_owner(tx, c, b, &e, err);
    if (r == 0)
        r = store_select(tx, &s, err, sql, SQL_STR(e.id), SQL_STR(page.after),
                         SQL_I64(page.max + 1));
    if (r < 0)
        return r;
    out->list.ptr = arena_new_array(c->arena, struct str, (size_t)page.max);
    while (out->list.ptr && (r = store_step(s, err)) > 0) {
        out->more = out->list.n == (size_t)page.max;
        if (out->more)
            return 0;
        out->last = store_take_str(s, 0, c->arena);
        out->list.ptr[out->list.n++] = out->last;
    }
    return r;
}

static int list_inline(struct store_tx *tx, struct call *c, const void *input, void *output,
                       struct err *err)
{
    return list_strings(tx, c, input,
                        "SELECT name FROM inline_policy WHERE entity = ? AND name > ?"
                        " ORDER BY name LIMIT ?",
                        output, err);
}

// --- attached ---

static int attach(struct store_tx *tx, struct call *c, const void *input, void *output,
                  struct err *err)
{
    const struct binding *b = input;
    struct iam_entity e, policy;
    int64_t n;
    int r = find_owner(tx, c, b, &e, err);
    (void)output;
    if (r == 0 && !iam_policy_is_aws(b->policy)) {
        r = iam_find_policy(tx, c->arena, c->account, b->policy, &policy, err);
        if (r == -ENOENT)
            return err_aws(err, &IAM_NO_SUCH_ENTITY_EXCEPTION,
                           "Policy %.*s does not exist or is not attachable.", STR_ARG(b->policy));
    }
    if (r < 0)
        return r;
    n = store_exec(tx, err,
                   "INSERT INTO attachment (entity, arn) VALUES (?, ?) ON CONFLICT (entity, arn)"
                   " DO NOTHING",
                   SQL_STR(e.id), SQL_STR(b->policy));
    if (n < 0)
        return (int)n;
    r = iam_count(tx, "SELECT COUNT(*) FROM attachment WHERE entity = ?", e.id, &n, err);
    if (r == 0 && n > IAM_MAX_ATTACHED)
        return err_aws(err, &IAM_LIMIT_EXCEEDED_EXCEPTION,
                       "Cannot exceed quota for PoliciesPer%s: %d",
                       b->kind == IAM_ROLE   ? "Role"
                       : b->kind == IAM_USER ? "User"
                                             : "Group",
                       IAM_MAX_ATTACHED);
    return r;
}

static int detach(struct store_tx *tx, struct call *c, const void *input, void *output,
                  struct err *err)
{
    const struct binding *b = input;
    struct iam_entity e;
    int r = find_owner(tx, c, b, &e, err);
    (void)output;
    if (r < 0)
        return r;
    int64_t n = store_exec(tx, err, "DELETE FROM attachment WHERE entity = ? AND arn = ?",
                           SQL_STR(e.id), SQL_STR(b->policy));
    if (n == 0)
        return err_aws(err, &IAM_NO_SUCH_ENTITY_EXCEPTION, "Policy %.*s was not found.",
                       STR_ARG(b->policy));
    return n < 0 ? (int)n : 0;
}

struct attached {
    struct iam_attached_policies_list_type list;
    bool more;
    struct str last;
};

static bool under_path(struct str arn, struct str prefix)
{
    ptrdiff_t at = str_find(arn, STR(":policy/"));
    return prefix.len == 0 ||
           (at >= 0 && str_starts(str_slice(arn, (size_t)at + 7, arn.len), prefix));
}

static int list_attached(struct store_tx *tx, struct call *c, const void *input, void *output,
                         struct err *err)
{
    const struct binding *b = input;
    struct attached *out = output;
    struct names arns = {0};
    int r = list_strings(tx, c, b,
                         "SELECT arn FROM attachment WHERE entity = ? AND arn > ? ORDER BY arn"
                         " LIMIT ?",
                         &arns, err);
    if (r < 0)
        return r;
    out->list.ptr = arena_new_array(c->arena, struct iam_attached_policy, arns.list.n + 1);
    for (size_t i = 0; out->list.ptr && i < arns.list.n; i++) {
        if (!under_path(arns.list.ptr[i], b->path_prefix))
            continue;
        out->list.ptr[out->list.n].policy_arn = arns.list.ptr[i];
        out->list.ptr[out->list.n++].policy_name = iam_policy_name_of_arn(arns.list.ptr[i]);
    }
    out->more = arns.more;
    out->last = arns.last;
    return 0;
}

// --- the operations ---

#define BINDING_OPS(noun, KIND, owner_member)                                                      \
    int iam_put_##noun##_policy(struct call *c, const struct iam_put_##noun##_policy_in *in,       \
                                struct iam_put_##noun##_policy_out *out, struct err *err)          \
    {                                                                                              \
        const struct binding b = {.kind = KIND,                                                    \
                                  .owner = in->owner_member,                                       \
                                  .policy = in->policy_name,                                       \
                                  .document = in->policy_document};                                \
        return iam_change(c, put_inline, &b, out, err);                                            \
    }                                                                                              \
    int iam_get_##noun##_policy(struct call *c, const struct iam_get_##noun##_policy_in *in,       \
                                struct iam_get_##noun##_policy_out *out, struct err *err)          \
    {                                                                                              \
        const struct binding b = {                                                                 \
            .kind = KIND, .owner = in->owner_member, .policy = in->policy_name};                   \
        out->owner_member = in->owner_member;                                                      \
        out->policy_name = in->policy_name;                                                        \
        return iam_look(c, get_inline, &b, &out->policy_document, err);                            \
    }                                                                                              \
    int iam_delete_##noun##_policy(struct call *c, const struct iam_delete_##noun##_policy_in *in, \
                                   struct iam_delete_##noun##_policy_out *out, struct err *err)    \
    {                                                                                              \
        const struct binding b = {                                                                 \
            .kind = KIND, .owner = in->owner_member, .policy = in->policy_name};                   \
        return iam_change(c, delete_inline, &b, out, err);                                         \
    }                                                                                              \
    int iam_list_##noun##_policies(struct call *c, const struct iam_list_##noun##_policies_in *in, \
                                   struct iam_list_##noun##_policies_out *out, struct err *err)    \
    {                                                                                              \
        const struct binding b = {.kind = KIND,                                                    \
                                  .owner = in->owner_member,                                       \
                                  .marker = in->marker,                                            \
                                  .has_max = in->has_max_items,                                    \
                                  .max = in->max_items};                                           \
        struct names names = {0};                                                                  \
        int r = iam_look(c, list_inline, &b, &names, err);                                         \
        out->policy_names = names.list;                                                            \
        IAM_PAGE_END(c, out, names.more, names.last);                                              \
        return r;                                                                                  \
    }                                                                                              \
    int iam_attach_##noun##_policy(struct call *c, const struct iam_attach_##noun##_policy_in *in, \
                                   struct iam_attach_##noun##_policy_out *out, struct err *err)    \
    {                                                                                              \
        const struct binding b = {                                                                 \
            .kind = KIND, .owner = in->owner_member, .policy = in->policy_arn};                    \
        return iam_change(c, attach, &b, out, err);                                                \
    }                                                                                              \
    int iam_detach_##noun##_policy(struct call *c, const struct iam_detach_##noun##_policy_in *in, \
                                   struct iam_detach_##noun##_policy_out *out, struct err *err)    \
    {                                                                                              \
        const struct binding b = {                                                                 \
            .kind = KIND, .owner = in->owner_member, .policy = in->policy_arn};                    \
        return iam_change(c, detach, &b, out, err);                                                \
    }                                                                                              \
    int iam_list_attached_##noun##_policies(                                                       \
        struct call *c, const struct iam_list_attached_##noun##_policies_in *in,                   \
        struct iam_list_attached_##noun##_policies_out *out, struct err *err)                      \
    {                                                                                              \
        const struct binding b = {.kind = KIND,                                                    \
                                  .owner = in->owner_member,                                       \
                                  .marker = in->marker,                                            \
                                  .path_prefix = in->path_prefix,                                  \
                                  .has_max = in->has_max_items,                                    \
                                  .max = in->max_items};                                           \
        struct attached a = {0};                                                                   \
        int r = iam_look(c, list_attached, &b, &a, err);                                           \
        out->attached_policies = a.list;                                                           \
        IAM_PAGE_END(c, out, a.more, a.last);                                                      \
        return r;                                                                                  \
    }

BINDING_OPS(role, IAM_ROLE, role_name)
BINDING_OPS(user, IAM_USER, user_name)
BINDING_OPS(group, IAM_GROUP, group_name)

// --- who has a policy ---

static int list_entities(struct store_tx *tx, struct call *c, const void *input, void *output,
                         struct err *err)
{
    const struct iam_list_entities_for_policy_in *in = input;
    struct iam_list_entities_for_policy_out *out = output;
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    struct iam_entity policy;
    struct iam_page page;
    struct str last = STR_NULL;
    int64_t n = 0;
    bool more = false;
    int r = iam_page_begin(c, in->marker, in->has_max_items, in->max_items, &page, err);
    if (r == 0 && !iam_policy_is_aws(in->policy_arn))
        r = iam_find_policy(tx, c->arena, c->account, in->policy_arn, &policy, err);
    if (r == 0)
        r = store_select(tx, &s, err,
                         "SELECT " IAM_COLUMNS " FROM attachment a JOIN entity e ON e.id = a.entity"
                         " WHERE a.arn = ? AND a.entity > ? AND e.account = ? ORDER BY a.entity"
                         " LIMIT ?",
                         SQL_STR(in->policy_arn), SQL_STR(page.after), SQL_STR(c->account),
                         SQL_I64(page.max + 1));
    if (r < 0)
        return r;
    out->policy_groups.ptr = arena_new_array(c->arena, struct iam_policy_group, (size_t)page.max);
    out->policy_users.ptr = arena_new_array(c->arena, struct iam_policy_user, (size_t)page.max);
    out->policy_roles.ptr = arena_new_array(c->arena, struct iam_policy_role, (size_t)page.max);
    if (!out->policy_groups.ptr || !out->policy_users.ptr || !out->policy_roles.ptr)
        return -ENOMEM;
    while ((r = store_step(s, err)) > 0) {
        struct iam_entity e;
        more = n++ == page.max;
        if (more)
            break;
        iam_read_entity(s, 0, c->arena, &e);
        last = e.id;
        struct str filter = in->entity_filter;
        if (e.kind == IAM_ROLE && (filter.len == 0 || str_eq(filter, STR("Role"))))
            out->policy_roles.ptr[out->policy_roles.n++] = (struct iam_policy_role){e.name, e.id};
        else if (e.kind == IAM_USER && (filter.len == 0 || str_eq(filter, STR("User"))))
            out->policy_users.ptr[out->policy_users.n++] = (struct iam_policy_user){e.name, e.id};
        else if (e.kind == IAM_GROUP && (filter.len == 0 || str_eq(filter, STR("Group"))))
            out->policy_groups.ptr[out->policy_groups.n++] =
                (struct iam_policy_group){e.name, e.id};
    }
    IAM_PAGE_END(c, out, more, last);
    return r < 0 ? r : 0;
}

int iam_list_entities_for_policy(struct call *c, const struct iam_list_entities_for_policy_in *in,
                                 struct iam_list_entities_for_policy_out *out, struct err *err)
{
    return iam_look(c, list_entities, in, out, err);
}
