// service.c - IAM's operations, the account's own, and start and end.
#include "services/iam/iam_impl.h"

#include "base/cleanup.h"
#include "os/file.h"

#include <errno.h>

// --- the account ---

static int create_alias(struct store_tx *tx, struct call *c, const void *input, void *output,
                        struct err *err)
{
    const struct iam_create_account_alias_in *in = input;
    int64_t n = 0;
    int r = iam_count(tx, "SELECT COUNT(*) FROM account_alias WHERE alias = ?", in->account_alias,
                      &n, err);
    (void)output;
    if (r == 0 && n > 0)
        return err_aws(err, &IAM_ENTITY_ALREADY_EXISTS_EXCEPTION,
                       "The account alias %.*s already exists.", STR_ARG(in->account_alias));
    if (r < 0)
        return r;
    n = store_exec(tx, err,
                   "INSERT INTO account_alias (account, alias) VALUES (?, ?) ON CONFLICT (account)"
                   " DO UPDATE SET alias = excluded.alias",
                   SQL_STR(c->account), SQL_STR(in->account_alias));
    return n < 0 ? (int)n : 0;
}

int iam_create_account_alias(struct call *c, const struct iam_create_account_alias_in *in,
                             struct iam_create_account_alias_out *out, struct err *err)
{
    return iam_change(c, create_alias, in, out, err);
}

static int list_aliases(struct store_tx *tx, struct call *c, const void *input, void *output,
                        struct err *err)
{
    struct iam_list_account_aliases_out *out = output;
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    int r = store_select(tx, &s, err, "SELECT alias FROM account_alias WHERE account = ?",
                         SQL_STR(c->account));
    (void)input;
    out->account_aliases.ptr = arena_new_array(c->arena, struct str, 1);
    WIRE_SET(out, is_truncated, false);
    if (r == 0 && out->account_aliases.ptr && (r = store_step(s, err)) > 0)
        out->account_aliases.ptr[out->account_aliases.n++] = store_take_str(s, 0, c->arena);
    return r < 0 ? r : 0;
}

int iam_list_account_aliases(struct call *c, const struct iam_list_account_aliases_in *in,
                             struct iam_list_account_aliases_out *out, struct err *err)
{
    return iam_look(c, list_aliases, in, out, err);
}

static int delete_alias(struct store_tx *tx, struct call *c, const void *input, void *output,
                        struct err *err)
{
    const struct iam_delete_account_alias_in *in = input;
    int64_t n = store_exec(tx, err, "DELETE FROM account_alias WHERE account = ? AND alias = ?",
                           SQL_STR(c->account), SQL_STR(in->account_alias));
    (void)output;
    if (n == 0)
        return err_aws(err, &IAM_NO_SUCH_ENTITY_EXCEPTION,
                       "The account alias %.*s cannot be found.", STR_ARG(in->account_alias));
    return n < 0 ? (int)n : 0;
}

int iam_delete_account_alias(struct call *c, const struct iam_delete_account_alias_in *in,
                             struct iam_delete_account_alias_out *out, struct err *err)
{
    return iam_change(c, delete_alias, in, out, err);
}

static int summary(struct store_tx *tx, struct call *c, const void *input, void *output,
                   struct err *err)
{
    static const struct {
        struct str name;
        const char *sql;
    } counts[] = {
        {STR_INIT("Users"), "SELECT COUNT(*) FROM entity WHERE account = ? AND kind = 1"},
        {STR_INIT("Groups"), "SELECT COUNT(*) FROM entity WHERE account = ? AND kind = 2"},
        {STR_INIT("Roles"), "SELECT COUNT(*) FROM entity WHERE account = ? AND kind = 0"},
        {STR_INIT("Policies"), "SELECT COUNT(*) FROM entity WHERE account = ? AND kind = 3"},
        {STR_INIT("InstanceProfiles"),
         "SELECT COUNT(*) FROM entity WHERE account = ? AND kind = 4"},
    };
    struct iam_get_account_summary_out *out = output;
    (void)input;
    out->summary_map.ptr =
        arena_new_array(c->arena, struct iam_summary_map_type_entry, ARRAY_LEN(counts) + 2);
    if (!out->summary_map.ptr)
        return -ENOMEM;
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        struct iam_summary_map_type_entry *e = &out->summary_map.ptr[out->summary_map.n++];
        int r = iam_count(tx, counts[i].sql, c->account, &e->value, err);
        if (r < 0)
            return r;
        e->key = counts[i].name;
    }
    out->summary_map.ptr[out->summary_map.n].key = STR("AccessKeysPerUserQuota");
    out->summary_map.ptr[out->summary_map.n++].value = IAM_MAX_ACCESS_KEYS;
    out->summary_map.ptr[out->summary_map.n].key = STR("VersionsPerPolicyQuota");
    out->summary_map.ptr[out->summary_map.n++].value = IAM_MAX_POLICY_VERSIONS;
    return 0;
}

int iam_get_account_summary(struct call *c, const struct iam_get_account_summary_in *in,
                            struct iam_get_account_summary_out *out, struct err *err)
{
    return iam_look(c, summary, in, out, err);
}

// --- for STS ---

int iam_role_find(struct arena *arena, struct str account, struct str role_name,
                  struct str *role_id, struct str *role_arn, int64_t *max_session_s,
                  struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct iam_entity e;
    int r = store_begin(iam_store, STORE_READ, &tx, err);
    if (r == 0)
        r = iam_find(tx, arena, account, IAM_ROLE, role_name, &e, err);
    if (r < 0)
        return r;
    *role_id = e.id;
    *role_arn = iam_arn(arena, &e);
    *max_session_s = e.max_session_s;
    return 0;
}

// --- the table ---

static const struct engine_op ops[] = {
    ENGINE_OP("CreateRole", iam_create_role),
    ENGINE_OP("GetRole", iam_get_role),
    ENGINE_OP("ListRoles", iam_list_roles),
    ENGINE_OP("UpdateRole", iam_update_role),
    ENGINE_OP("UpdateRoleDescription", iam_update_role_description),
    ENGINE_OP("UpdateAssumeRolePolicy", iam_update_assume_role_policy),
    ENGINE_OP("DeleteRole", iam_delete_role),
    ENGINE_OP("PutRolePermissionsBoundary", iam_put_role_permissions_boundary),
    ENGINE_OP("DeleteRolePermissionsBoundary", iam_delete_role_permissions_boundary),
    ENGINE_OP("CreateServiceLinkedRole", iam_create_service_linked_role),
    ENGINE_OP("DeleteServiceLinkedRole", iam_delete_service_linked_role),
    ENGINE_OP("GetServiceLinkedRoleDeletionStatus", iam_get_service_linked_role_deletion_status),
    ENGINE_OP("PutRolePolicy", iam_put_role_policy),
    ENGINE_OP("GetRolePolicy", iam_get_role_policy),
    ENGINE_OP("DeleteRolePolicy", iam_delete_role_policy),
    ENGINE_OP("ListRolePolicies", iam_list_role_policies),
    ENGINE_OP("AttachRolePolicy", iam_attach_role_policy),
    ENGINE_OP("DetachRolePolicy", iam_detach_role_policy),
    ENGINE_OP("ListAttachedRolePolicies", iam_list_attached_role_policies),
    ENGINE_OP("CreateUser", iam_create_user),
    ENGINE_OP("GetUser", iam_get_user),
    ENGINE_OP("ListUsers", iam_list_users),
    ENGINE_OP("UpdateUser", iam_update_user),
    ENGINE_OP("DeleteUser", iam_delete_user),
    ENGINE_OP("PutUserPermissionsBoundary", iam_put_user_permissions_boundary),
    ENGINE_OP("DeleteUserPermissionsBoundary", iam_delete_user_permissions_boundary),
    ENGINE_OP("PutUserPolicy", iam_put_user_policy),
    ENGINE_OP("GetUserPolicy", iam_get_user_policy),
    ENGINE_OP("DeleteUserPolicy", iam_delete_user_policy),
    ENGINE_OP("ListUserPolicies", iam_list_user_policies),
    ENGINE_OP("AttachUserPolicy", iam_attach_user_policy),
    ENGINE_OP("DetachUserPolicy", iam_detach_user_policy),
    ENGINE_OP("ListAttachedUserPolicies", iam_list_attached_user_policies),
    ENGINE_OP("CreateAccessKey", iam_create_access_key),
    ENGINE_OP("ListAccessKeys", iam_list_access_keys),
    ENGINE_OP("UpdateAccessKey", iam_update_access_key),
    ENGINE_OP("DeleteAccessKey", iam_delete_access_key),
    ENGINE_OP("GetAccessKeyLastUsed", iam_get_access_key_last_used),
    ENGINE_OP("CreateGroup", iam_create_group),
    ENGINE_OP("GetGroup", iam_get_group),
    ENGINE_OP("ListGroups", iam_list_groups),
    ENGINE_OP("UpdateGroup", iam_update_group),
    ENGINE_OP("DeleteGroup", iam_delete_group),
    ENGINE_OP("AddUserToGroup", iam_add_user_to_group),
    ENGINE_OP("RemoveUserFromGroup", iam_remove_user_from_group),
    ENGINE_OP("ListGroupsForUser", iam_list_groups_for_user),
    ENGINE_OP("PutGroupPolicy", iam_put_group_policy),
    ENGINE_OP("GetGroupPolicy", iam_get_group_policy),
    ENGINE_OP("DeleteGroupPolicy", iam_delete_group_policy),
    ENGINE_OP("ListGroupPolicies", iam_list_group_policies),
    ENGINE_OP("AttachGroupPolicy", iam_attach_group_policy),
    ENGINE_OP("DetachGroupPolicy", iam_detach_group_policy),
    ENGINE_OP("ListAttachedGroupPolicies", iam_list_attached_group_policies),
    ENGINE_OP("CreatePolicy", iam_create_policy),
    ENGINE_OP("GetPolicy", iam_get_policy),
    ENGINE_OP("ListPolicies", iam_list_policies),
    ENGINE_OP("DeletePolicy", iam_delete_policy),
    ENGINE_OP("CreatePolicyVersion", iam_create_policy_version),
    ENGINE_OP("GetPolicyVersion", iam_get_policy_version),
    ENGINE_OP("ListPolicyVersions", iam_list_policy_versions),
    ENGINE_OP("DeletePolicyVersion", iam_delete_policy_version),
    ENGINE_OP("SetDefaultPolicyVersion", iam_set_default_policy_version),
    ENGINE_OP("ListEntitiesForPolicy", iam_list_entities_for_policy),
    ENGINE_OP("CreateInstanceProfile", iam_create_instance_profile),
    ENGINE_OP("GetInstanceProfile", iam_get_instance_profile),
    ENGINE_OP("ListInstanceProfiles", iam_list_instance_profiles),
    ENGINE_OP("ListInstanceProfilesForRole", iam_list_instance_profiles_for_role),
    ENGINE_OP("DeleteInstanceProfile", iam_delete_instance_profile),
    ENGINE_OP("AddRoleToInstanceProfile", iam_add_role_to_instance_profile),
    ENGINE_OP("RemoveRoleFromInstanceProfile", iam_remove_role_from_instance_profile),
    ENGINE_OP("TagRole", iam_tag_role),
    ENGINE_OP("UntagRole", iam_untag_role),
    ENGINE_OP("ListRoleTags", iam_list_role_tags),
    ENGINE_OP("TagUser", iam_tag_user),
    ENGINE_OP("UntagUser", iam_untag_user),
    ENGINE_OP("ListUserTags", iam_list_user_tags),
    ENGINE_OP("TagPolicy", iam_tag_policy),
    ENGINE_OP("UntagPolicy", iam_untag_policy),
    ENGINE_OP("ListPolicyTags", iam_list_policy_tags),
    ENGINE_OP("TagInstanceProfile", iam_tag_instance_profile),
    ENGINE_OP("UntagInstanceProfile", iam_untag_instance_profile),
    ENGINE_OP("ListInstanceProfileTags", iam_list_instance_profile_tags),
    ENGINE_OP("CreateAccountAlias", iam_create_account_alias),
    ENGINE_OP("ListAccountAliases", iam_list_account_aliases),
    ENGINE_OP("DeleteAccountAlias", iam_delete_account_alias),
    ENGINE_OP("GetAccountSummary", iam_get_account_summary),
};

static int start(struct engine *e, struct err *err)
{
    _cleanup_free_ char *dir = engine_path(e, "db");
    _cleanup_free_ char *path = engine_path(e, "db/iam.db");
    int r;
    if (!dir || !path)
        return err_set(err, -ENOMEM, "iam: out of memory");
    r = mkdir_p(dir, 0700, err);
    if (r == 0)
        r = iam_store_open(path, &iam_store, err);
    if (r == 0)
        r = iam_keys_load(err);
    return r < 0 ? r : iam_keys_register(e, err);
}

static void stop(struct engine *e)
{
    (void)e;
    iam_keys_forget();
    store_close(iam_store);
    iam_store = NULL;
}

const struct engine_service iam_service = {
    .wire = &wire_iam,
    .ops = ops,
    .n_ops = ARRAY_LEN(ops),
    .start = start,
    .stop = stop,
};
