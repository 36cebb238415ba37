// policies.c - managed policies and their versions.
//
// Policies of AWS's own (arn:aws:iam::aws:policy/…) are taken to exist, whatever their name: there
// are over a thousand, none is evaluated, and refusing one would stop somebody's deployment. What
// Get answers for them is made up from the name.
#include "services/iam/iam_impl.h"

#include "base/cleanup.h"
#include "services/iam/policies.h"

#include <errno.h>

#define AWS_PREFIX STR("arn:aws:iam::aws:policy/")
#define AWS_CREATED_MS 1423785600000

bool iam_policy_is_aws(struct str arn)
{
    return str_starts(arn, AWS_PREFIX) && arn.len > AWS_PREFIX.len;
}

struct str iam_policy_name_of_arn(struct str arn)
{
    size_t from = 0;
    for (size_t i = 0; i < arn.len; i++) {
        if (arn.ptr[i] == '/')
            from = i + 1;
    }
    return str_slice(arn, from, arn.len);
}

static struct str version_name(struct call *c, int64_t n)
{
    return arena_printf(c->arena, "v%lld", (long long)n);
}

static int64_t version_number(struct str name)
{
    int64_t n;
    return str_starts(name, STR("v")) && str_to_i64(str_slice(name, 1, name.len), &n) == 0 ? n : 0;
}

static int show(struct store_tx *tx, struct call *c, const struct iam_entity *e, bool with_tags,
                struct iam_policy *out, struct err *err)
{
    int64_t attached = 0, bounding = 0;
    int r;
    out->arn = iam_arn(c->arena, e);
    r = iam_count(tx, "SELECT COUNT(*) FROM attachment WHERE arn = ?", out->arn, &attached, err);
    if (r == 0)
        r = iam_count(tx, "SELECT COUNT(*) FROM entity WHERE boundary = ?", out->arn, &bounding,
                      err);
    out->policy_name = e->name;
    out->policy_id = e->id;
    out->path = e->path;
    out->default_version_id = version_name(c, e->default_version);
    out->description = with_tags ? e->description : STR_NULL; // lists leave it out
    WIRE_SET(out, attachment_count, attached);
    WIRE_SET(out, permissions_boundary_usage_count, bounding);
    WIRE_SET(out, is_attachable, true);
    WIRE_SET(out, create_date, e->created_ms);
    WIRE_SET(out, update_date, e->updated_ms);
    return r == 0 && with_tags ? iam_tags_read(tx, c->arena, e->id, &out->tags, err) : r;
}

static int put_version(struct store_tx *tx, struct call *c, const struct iam_entity *e,
                       int64_t number, struct str document, struct err *err)
{
    int64_t n = store_exec(tx, err,
                           "INSERT INTO policy_version (policy, number, document, created_ms)"
                           " VALUES (?, ?, ?, ?)",
                           SQL_STR(e->id), SQL_I64(number), SQL_STR(document),
                           SQL_I64(c->now_ms / 1000 * 1000));
    return n < 0 ? (int)n : 0;
}

static int create_policy(struct store_tx *tx, struct call *c, const void *input, void *output,
                         struct err *err)
{
    const struct iam_create_policy_in *in = input;
    struct iam_create_policy_out *out = output;
    struct iam_entity e = {
        .kind = IAM_POLICY,
        .name = in->policy_name,
        .path = in->path,
        .description = in->description,
        .default_version = 1,
        .latest_version = 1,
    };
    int r = iam_check_document(c, in->policy_document, err);
    if (r == 0)
        r = iam_insert(tx, c, &e, &in->tags, err);
    if (r == 0)
        r = put_version(tx, c, &e, 1, in->policy_document, err);
    if (r < 0)
        return r;
    out->policy = arena_new(c->arena, struct iam_policy);
    return out->policy ? show(tx, c, &e, true, out->policy, err) : -ENOMEM;
}

int iam_create_policy(struct call *c, const struct iam_create_policy_in *in,
                      struct iam_create_policy_out *out, struct err *err)
{
    return iam_change(c, create_policy, in, out, err);
}

static int show_aws_policy(struct store_tx *tx, struct call *c, struct str arn,
                           struct iam_policy *out, struct err *err)
{
    struct str name = iam_policy_name_of_arn(arn);
    int64_t attached;
    int r = iam_count(tx, "SELECT COUNT(*) FROM attachment WHERE arn = ?", arn, &attached, err);
    out->policy_name = name;
    out->policy_id = arena_printf(c->arena, "ANPAAWS%.*s", STR_ARG(str_slice(name, 0, 14)));
    out->arn = arn;
    out->path = str_slice(arn, AWS_PREFIX.len - 1, arn.len - name.len);
    out->default_version_id = STR("v1");
    WIRE_SET(out, attachment_count, attached);
    WIRE_SET(out, permissions_boundary_usage_count, 0);
    WIRE_SET(out, is_attachable, true);
    WIRE_SET(out, create_date, AWS_CREATED_MS);
    WIRE_SET(out, update_date, AWS_CREATED_MS);
    return r;
}

static int get_policy(struct store_tx *tx, struct call *c, const void *input, void *output,
                      struct err *err)
{
    const struct iam_get_policy_in *in = input;
    struct iam_get_policy_out *out = output;
    struct iam_entity e;
    out->policy = arena_new(c->arena, struct iam_policy);
    if (!out->policy)
        return -ENOMEM;
    if (iam_policy_is_aws(in->policy_arn))
        return show_aws_policy(tx, c, in->policy_arn, out->policy, err);
    int r = iam_find_policy(tx, c->arena, c->account, in->policy_arn, &e, err);
    return r < 0 ? r : show(tx, c, &e, true, out->policy, err);
}

int iam_get_policy(struct call *c, const struct iam_get_policy_in *in,
                   struct iam_get_policy_out *out, struct err *err)
{
    return iam_look(c, get_policy, in, out, err);
}

static int list_policies(struct store_tx *tx, struct call *c, const void *input, void *output,
                         struct err *err)
{
    const struct iam_list_policies_in *in = input;
    struct iam_list_policies_out *out = output;
    struct iam_entities page = {0};
    int r = str_eq(in->scope, STR("AWS")) ? 0 : IAM_LIST(tx, c, IAM_POLICY, in, &page, err);
    if (r < 0)
        return r;
    out->policies.ptr = arena_new_array(c->arena, struct iam_policy, page.n + 1);
    for (size_t i = 0; out->policies.ptr && i < page.n; i++) {
        struct iam_policy *p = &out->policies.ptr[out->policies.n];
        r = show(tx, c, &page.list[i], false, p, err);
        if (r < 0)
            return r;
        if (!in->only_attached || p->attachment_count > 0)
            out->policies.n++;
    }
    IAM_PAGE_END(c, out, page.more, page.last);
    return 0;
}

int iam_list_policies(struct call *c, const struct iam_list_policies_in *in,
                      struct iam_list_policies_out *out, struct err *err)
{
    return iam_look(c, list_policies, in, out, err);
}

static int delete_policy(struct store_tx *tx, struct call *c, const void *input, void *output,
                         struct err *err)
{
    const struct iam_delete_policy_in *in = input;
    struct iam_entity e;
    int64_t n = 0;
    int r = iam_find_policy(tx, c->arena, c->account, in->policy_arn, &e, err);
    (void)output;
    if (r == 0)
        r = iam_count(tx, "SELECT COUNT(*) FROM attachment WHERE arn = ?", in->policy_arn, &n, err);
    if (r == 0 && n > 0)
        return err_aws(err, &IAM_DELETE_CONFLICT_EXCEPTION,
                       "Cannot delete a policy attached to entities.");
    if (r == 0)
        r = iam_count(tx, "SELECT COUNT(*) FROM policy_version WHERE policy = ?", e.id, &n, err);
    if (r == 0 && n > 1)
        return err_aws(err, &IAM_DELETE_CONFLICT_EXCEPTION,
                       "This policy has more than one version. Before you delete a policy, you "
                       "must delete the policy's versions. The default version is deleted with the "
                       "policy.");
    if (r == 0)
        n = store_exec(tx, err, "DELETE FROM policy_version WHERE policy = ?", SQL_STR(e.id));
    return r < 0 ? r : n < 0 ? (int)n : iam_delete(tx, &e, err);
}

int iam_delete_policy(struct call *c, const struct iam_delete_policy_in *in,
                      struct iam_delete_policy_out *out, struct err *err)
{
    return iam_change(c, delete_policy, in, out, err);
}

// --- versions ---

static int create_version(struct store_tx *tx, struct call *c, const void *input, void *output,
                          struct err *err)
{
    const struct iam_create_policy_version_in *in = input;
    struct iam_create_policy_version_out *out = output;
    struct iam_entity e;
    int64_t n;
    int r = iam_find_policy(tx, c->arena, c->account, in->policy_arn, &e, err);
    if (r == 0)
        r = iam_check_document(c, in->policy_document, err);
    if (r == 0)
        r = iam_count(tx, "SELECT COUNT(*) FROM policy_version WHERE policy = ?", e.id, &n, err);
    if (r == 0 && n >= IAM_MAX_POLICY_VERSIONS)
        return err_aws(err, &IAM_LIMIT_EXCEEDED_EXCEPTION,
                       "A managed policy can have up to 5 versions. Before you create a new "
                       "version, you must delete an existing version.");
    if (r < 0)
        return r;
    e.latest_version++;
    e.updated_ms = c->now_ms / 1000 * 1000;
    if (in->set_as_default)
        e.default_version = e.latest_version;
    r = put_version(tx, c, &e, e.latest_version, in->policy_document, err);
    if (r == 0)
        r = iam_update(tx, &e, err);
    out->policy_version = arena_new(c->arena, struct iam_policy_version);
    if (r < 0 || !out->policy_version)
        return r < 0 ? r : -ENOMEM;
    out->policy_version->version_id = version_name(c, e.latest_version);
    WIRE_SET(out->policy_version, is_default_version, in->set_as_default);
    WIRE_SET(out->policy_version, create_date, e.updated_ms);
    return 0;
}

int iam_create_policy_version(struct call *c, const struct iam_create_policy_version_in *in,
                              struct iam_create_policy_version_out *out, struct err *err)
{
    return iam_change(c, create_version, in, out, err);
}

static int no_version(struct str arn, struct str id, struct err *err)
{
    return err_aws(err, &IAM_NO_SUCH_ENTITY_EXCEPTION,
                   "Policy %.*s version %.*s does not exist or is not attachable.", STR_ARG(arn),
                   STR_ARG(id));
}

static int get_version(struct store_tx *tx, struct call *c, const void *input, void *output,
                       struct err *err)
{
    const struct iam_get_policy_version_in *in = input;
    struct iam_get_policy_version_out *out = output;
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    struct iam_policy_version *v = arena_new(c->arena, struct iam_policy_version);
    struct iam_entity e;
    if (!v)
        return -ENOMEM;
    out->policy_version = v;
    v->version_id = in->version_id;
    if (iam_policy_is_aws(in->policy_arn)) {
        if (version_number(in->version_id) != 1)
            return no_version(in->policy_arn, in->version_id, err);
        v->document =
            iam_document(c, STR("{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\","
                                "\"Action\":\"*\",\"Resource\":\"*\"}]}"));
        WIRE_SET(v, is_default_version, true);
        WIRE_SET(v, create_date, AWS_CREATED_MS);
        return 0;
    }
    int r = iam_find_policy(tx, c->arena, c->account, in->policy_arn, &e, err);
    if (r == 0)
        r = store_select(tx, &s, err,
                         "SELECT document, created_ms FROM policy_version WHERE policy = ? AND"
                         " number = ?",
                         SQL_STR(e.id), SQL_I64(version_number(in->version_id)));
    if (r == 0)
        r = store_step(s, err);
    if (r == 0)
        return no_version(in->policy_arn, in->version_id, err);
    if (r < 0)
        return r;
    v->document = iam_document(c, store_take_str(s, 0, c->arena));
    WIRE_SET(v, is_default_version, e.default_version == version_number(in->version_id));
    WIRE_SET(v, create_date, store_col_i64(s, 1));
    return 0;
}

int iam_get_policy_version(struct call *c, const struct iam_get_policy_version_in *in,
                           struct iam_get_policy_version_out *out, struct err *err)
{
    return iam_look(c, get_version, in, out, err);
}

static int list_versions(struct store_tx *tx, struct call *c, const void *input, void *output,
                         struct err *err)
{
    const struct iam_list_policy_versions_in *in = input;
    struct iam_list_policy_versions_out *out = output;
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    struct iam_entity e;
    int r = 0;
    out->versions.ptr = arena_new_array(c->arena, struct iam_policy_version, 8);
    if (!out->versions.ptr)
        return -ENOMEM;
    WIRE_SET(out, is_truncated, false); // five at most
    if (iam_policy_is_aws(in->policy_arn)) {
        struct iam_policy_version *v = &out->versions.ptr[out->versions.n++];
        v->version_id = STR("v1");
        WIRE_SET(v, is_default_version, true);
        WIRE_SET(v, create_date, AWS_CREATED_MS);
        return 0;
    }
    r = iam_find_policy(tx, c->arena, c->account, in->policy_arn, &e, err);
    if (r == 0)
        r = store_select(tx, &s, err,
                         "SELECT number, created_ms FROM policy_version WHERE policy = ?"
                         " ORDER BY number DESC LIMIT 8",
                         SQL_STR(e.id));
    while (r >= 0 && (r = store_step(s, err)) > 0) {
        struct iam_policy_version *v = &out->versions.ptr[out->versions.n++];
        v->version_id = version_name(c, store_col_i64(s, 0));
        WIRE_SET(v, is_default_version, store_col_i64(s, 0) == e.default_version);
        WIRE_SET(v, create_date, store_col_i64(s, 1));
    }
    return r;
}

int iam_list_policy_versions(struct call *c, const struct iam_list_policy_versions_in *in,
                             struct iam_list_policy_versions_out *out, struct err *err)
{
    return iam_look(c, list_versions, in, out, err);
}

static int delete_version(struct store_tx *tx, struct call *c, const void *input, void *output,
                          struct err *err)
{
    const struct iam_delete_policy_version_in *in = input;
    struct iam_entity e;
    int64_t n;
    int r = iam_find_policy(tx, c->arena, c->account, in->policy_arn, &e, err);
    (void)output;
    if (r < 0)
        return r;
    if (version_number(in->version_id) == e.default_version)
        return err_aws(err, &IAM_DELETE_CONFLICT_EXCEPTION,
                       "Cannot delete the default version of a policy.");
    n = store_exec(tx, err, "DELETE FROM policy_version WHERE policy = ? AND number = ?",
                   SQL_STR(e.id), SQL_I64(version_number(in->version_id)));
    return n < 0 ? (int)n : n == 0 ? no_version(in->policy_arn, in->version_id, err) : 0;
}

int iam_delete_policy_version(struct call *c, const struct iam_delete_policy_version_in *in,
                              struct iam_delete_policy_version_out *out, struct err *err)
{
    return iam_change(c, delete_version, in, out, err);
}

static int set_default(struct store_tx *tx, struct call *c, const void *input, void *output,
                       struct err *err)
{
    const struct iam_set_default_policy_version_in *in = input;
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    struct iam_entity e;
    int r = iam_find_policy(tx, c->arena, c->account, in->policy_arn, &e, err);
    (void)output;
    if (r == 0)
        r = store_select(tx, &s, err,
                         "SELECT 1 FROM policy_version WHERE policy = ? AND number = ?",
                         SQL_STR(e.id), SQL_I64(version_number(in->version_id)));
    if (r == 0)
        r = store_step(s, err);
    if (r == 0)
        return no_version(in->policy_arn, in->version_id, err);
    if (r < 0)
        return r;
    e.default_version = version_number(in->version_id);
    e.updated_ms = c->now_ms / 1000 * 1000;
    return iam_update(tx, &e, err);
}

int iam_set_default_policy_version(struct call *c,
                                   const struct iam_set_default_policy_version_in *in,
                                   struct iam_set_default_policy_version_out *out, struct err *err)
{
    return iam_change(c, set_default, in, out, err);
}
