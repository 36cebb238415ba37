// roles.c - roles, and permissions boundaries of roles and users.
#include "services/iam/iam_impl.h"

#include "base/cleanup.h"

#include <errno.h>

struct iam_attached_permissions_boundary *iam_show_boundary(struct call *c, struct str arn)
{
    struct iam_attached_permissions_boundary *b =
        str_is_null(arn) ? NULL : arena_new(c->arena, struct iam_attached_permissions_boundary);
    if (b) {
        b->permissions_boundary_type = STR("Policy");
        b->permissions_boundary_arn = arn;
    }
    return b;
}

int iam_show_role(struct store_tx *tx, struct call *c, const struct iam_entity *e,
                  struct iam_role *out, struct err *err)
{
    out->path = e->path;
    out->role_name = e->name;
    out->role_id = e->id;
    out->arn = iam_arn(c->arena, e);
    WIRE_SET(out, create_date, e->created_ms);
    out->assume_role_policy_document = iam_document(c, e->document);
    out->description = e->description;
    WIRE_SET(out, max_session_duration, e->max_session_s);
    out->permissions_boundary = iam_show_boundary(c, e->boundary);
    return tx ? iam_tags_read(tx, c->arena, e->id, &out->tags, err) : 0;
}

static int check_session(int64_t seconds, struct err *err)
{
    if (seconds >= 3600 && seconds <= 43200)
        return 0;
    return err_aws(err, &WIRE_VALIDATION_ERROR,
                   "The MaxSessionDuration must be between 3600 and 43200 seconds.");
}

static int create_role(struct store_tx *tx, struct call *c, const void *input, void *output,
                       struct err *err)
{
    const struct iam_create_role_in *in = input;
    struct iam_create_role_out *out = output;
    struct iam_entity e = {
        .kind = IAM_ROLE,
        .name = in->role_name,
        .path = in->path,
        .description = in->description,
        .document = in->assume_role_policy_document,
        .max_session_s = WIRE_GET(in, max_session_duration, 3600),
        .boundary = in->permissions_boundary,
    };
    int r = check_session(e.max_session_s, err);
    if (r == 0)
        r = iam_check_document(c, e.document, err);
    if (r == 0)
        r = iam_insert(tx, c, &e, &in->tags, err);
    if (r < 0)
        return r;
    out->role = arena_new(c->arena, struct iam_role);
    return out->role ? iam_show_role(tx, c, &e, out->role, err) : -ENOMEM;
}

int iam_create_role(struct call *c, const struct iam_create_role_in *in,
                    struct iam_create_role_out *out, struct err *err)
{
    return iam_change(c, create_role, in, out, err);
}

static int get_role(struct store_tx *tx, struct call *c, const void *input, void *output,
                    struct err *err)
{
    const struct iam_get_role_in *in = input;
    struct iam_get_role_out *out = output;
    struct iam_entity e;
    int r = iam_find(tx, c->arena, c->account, IAM_ROLE, in->role_name, &e, err);
    if (r < 0)
        return r;
    out->role = arena_new(c->arena, struct iam_role);
    if (!out->role)
        return -ENOMEM;
    out->role->role_last_used = arena_new(c->arena, struct iam_role_last_used);
    return iam_show_role(tx, c, &e, out->role, err);
}

int iam_get_role(struct call *c, const struct iam_get_role_in *in, struct iam_get_role_out *out,
                 struct err *err)
{
    return iam_look(c, get_role, in, out, err);
}

static int list_roles(struct store_tx *tx, struct call *c, const void *input, void *output,
                      struct err *err)
{
    const struct iam_list_roles_in *in = input;
    struct iam_list_roles_out *out = output;
    struct iam_entities page;
    int r = IAM_LIST(tx, c, IAM_ROLE, in, &page, err);
    if (r < 0)
        return r;
    out->roles.ptr = arena_new_array(c->arena, struct iam_role, page.n + 1);
    for (size_t i = 0; out->roles.ptr && i < page.n; i++)
        iam_show_role(NULL, c, &page.list[i], &out->roles.ptr[out->roles.n++], err);
    IAM_PAGE_END(c, out, page.more, page.last);
    return 0;
}

int iam_list_roles(struct call *c, const struct iam_list_roles_in *in,
                   struct iam_list_roles_out *out, struct err *err)
{
    return iam_look(c, list_roles, in, out, err);
}

static int update_role(struct store_tx *tx, struct call *c, const void *input, void *output,
                       struct err *err)
{
    const struct iam_update_role_in *in = input;
    struct iam_entity e;
    int r = iam_find(tx, c->arena, c->account, IAM_ROLE, in->role_name, &e, err);
    (void)output;
    if (r == 0 && in->has_max_session_duration)
        r = check_session(in->max_session_duration, err);
    if (r < 0)
        return r;
    if (!str_is_null(in->description))
        e.description = in->description.len > 0 ? in->description : STR_NULL;
    e.max_session_s = WIRE_GET(in, max_session_duration, e.max_session_s);
    return iam_update(tx, &e, err);
}

int iam_update_role(struct call *c, const struct iam_update_role_in *in,
                    struct iam_update_role_out *out, struct err *err)
{
    return iam_change(c, update_role, in, out, err);
}

static int update_role_description(struct store_tx *tx, struct call *c, const void *input,
                                   void *output, struct err *err)
{
    const struct iam_update_role_description_in *in = input;
    struct iam_update_role_description_out *out = output;
    struct iam_entity e;
    int r = iam_find(tx, c->arena, c->account, IAM_ROLE, in->role_name, &e, err);
    if (r < 0)
        return r;
    e.description = in->description.len > 0 ? in->description : STR_NULL;
    out->role = arena_new(c->arena, struct iam_role);
    r = iam_update(tx, &e, err);
    return r == 0 && out->role ? iam_show_role(tx, c, &e, out->role, err) : r;
}

int iam_update_role_description(struct call *c, const struct iam_update_role_description_in *in,
                                struct iam_update_role_description_out *out, struct err *err)
{
    return iam_change(c, update_role_description, in, out, err);
}

static int update_assume_role_policy(struct store_tx *tx, struct call *c, const void *input,
                                     void *output, struct err *err)
{
    const struct iam_update_assume_role_policy_in *in = input;
    struct iam_entity e;
    int r = iam_find(tx, c->arena, c->account, IAM_ROLE, in->role_name, &e, err);
    (void)output;
    if (r == 0)
        r = iam_check_document(c, in->policy_document, err);
    e.document = in->policy_document;
    return r < 0 ? r : iam_update(tx, &e, err);
}

int iam_update_assume_role_policy(struct call *c, const struct iam_update_assume_role_policy_in *in,
                                  struct iam_update_assume_role_policy_out *out, struct err *err)
{
    return iam_change(c, update_assume_role_policy, in, out, err);
}

static int delete_role_by_name(struct store_tx *tx, struct call *c, struct str name,
                               struct err *err)
{
    static const struct {
        const char *sql, *message;
    } holds[] = {
        {"SELECT COUNT(*) FROM attachment WHERE entity = ?",
         "Cannot delete entity, must detach all policies first."},
        {"SELECT COUNT(*) FROM inline_policy WHERE entity = ?",
         "Cannot delete entity, must delete policies first."},
        {"SELECT COUNT(*) FROM member WHERE entity = ?",
         "Cannot delete entity, must remove roles from instance profile first."},
    };
    struct iam_entity e;
    int r = iam_find(tx, c->arena, c->account, IAM_ROLE, name, &e, err);
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(holds); i++) {
        int64_t n;
        r = iam_count(tx, holds[i].sql, e.id, &n, err);
        if (r == 0 && n > 0)
            r = err_aws(err, &IAM_DELETE_CONFLICT_EXCEPTION, "%s", holds[i].message);
    }
    return r < 0 ? r : iam_delete(tx, &e, err);
}

static int delete_role(struct store_tx *tx, struct call *c, const void *input, void *output,
                       struct err *err)
{
    (void)output;
    return delete_role_by_name(tx, c, ((const struct iam_delete_role_in *)input)->role_name, err);
}

int iam_delete_role(struct call *c, const struct iam_delete_role_in *in,
                    struct iam_delete_role_out *out, struct err *err)
{
    return iam_change(c, delete_role, in, out, err);
}

// --- service-linked roles: roles with a name and a path that the service's name gives ---

static struct str linked_name(struct call *c, const struct iam_create_service_linked_role_in *in)
{
    struct str service = in->aws_service_name;
    ptrdiff_t dot = str_find_char(service, '.');
    char first;
    if (dot > 0)
        service.len = (size_t)dot;
    first = (char)(service.len > 0 && service.ptr[0] >= 'a' && service.ptr[0] <= 'z'
                       ? service.ptr[0] - 32
                   : service.len > 0 ? service.ptr[0]
                                     : 'X');
    return arena_printf(c->arena, "AWSServiceRoleFor%c%.*s%s%.*s", first,
                        STR_ARG(str_slice(service, 1, service.len)),
                        in->custom_suffix.len > 0 ? "_" : "", STR_ARG(in->custom_suffix));
}

static int create_linked(struct store_tx *tx, struct call *c, const void *input, void *output,
                         struct err *err)
{
    const struct iam_create_service_linked_role_in *in = input;
    struct iam_create_service_linked_role_out *out = output;
    struct iam_entity e = {
        .kind = IAM_ROLE,
        .name = linked_name(c, in),
        .path = arena_printf(c->arena, "/aws-service-role/%.*s/", STR_ARG(in->aws_service_name)),
        .description = in->description,
        .document = arena_printf(
            c->arena,
            "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":"
            "{\"Service\":\"%.*s\"},\"Action\":\"sts:AssumeRole\"}]}",
            STR_ARG(in->aws_service_name)),
        .max_session_s = 3600,
    };
    int r = iam_insert(tx, c, &e, NULL, err);
    if (r < 0)
        return r;
    out->role = arena_new(c->arena, struct iam_role);
    return out->role ? iam_show_role(tx, c, &e, out->role, err) : -ENOMEM;
}

int iam_create_service_linked_role(struct call *c,
                                   const struct iam_create_service_linked_role_in *in,
                                   struct iam_create_service_linked_role_out *out, struct err *err)
{
    return iam_change(c, create_linked, in, out, err);
}

static int delete_linked(struct store_tx *tx, struct call *c, const void *input, void *output,
                         struct err *err)
{
    const struct iam_delete_service_linked_role_in *in = input;
    struct iam_delete_service_linked_role_out *out = output;
    out->deletion_task_id = arena_printf(c->arena, "task/aws-service-role/%.*s/%.*s",
                                         STR_ARG(in->role_name), STR_ARG(c->request_id));
    return delete_role_by_name(tx, c, in->role_name, err);
}

int iam_delete_service_linked_role(struct call *c,
                                   const struct iam_delete_service_linked_role_in *in,
                                   struct iam_delete_service_linked_role_out *out, struct err *err)
{
    return iam_change(c, delete_linked, in, out, err);
}

int iam_get_service_linked_role_deletion_status(
    struct call *c, const struct iam_get_service_linked_role_deletion_status_in *in,
    struct iam_get_service_linked_role_deletion_status_out *out, struct err *err)
{
    (void)c;
    if (!str_starts(in->deletion_task_id, STR("task/")))
        return err_aws(err, &IAM_NO_SUCH_ENTITY_EXCEPTION, "The deletion task was not found.");
    out->status = STR("SUCCEEDED"); // deleting is immediate
    return 0;
}

// --- boundaries ---

struct boundary {
    enum iam_kind kind;
    struct str name, arn;
    bool remove;
};

static int change_boundary(struct store_tx *tx, struct call *c, const void *input, void *output,
                           struct err *err)
{
    const struct boundary *b = input;
    struct iam_entity e;
    int r = iam_find(tx, c->arena, c->account, b->kind, b->name, &e, err);
    (void)output;
    if (r < 0)
        return r;
    if (b->remove && str_is_null(e.boundary))
        return err_aws(err, &IAM_NO_SUCH_ENTITY_EXCEPTION,
                       "The %.*s with name %.*s does not have a permissions boundary.",
                       STR_ARG(iam_kind_word(b->kind)), STR_ARG(b->name));
    e.boundary = b->remove ? STR_NULL : b->arn;
    return iam_update(tx, &e, err);
}

int iam_put_role_permissions_boundary(struct call *c,
                                      const struct iam_put_role_permissions_boundary_in *in,
                                      struct iam_put_role_permissions_boundary_out *out,
                                      struct err *err)
{
    const struct boundary b = {IAM_ROLE, in->role_name, in->permissions_boundary, false};
    return iam_change(c, change_boundary, &b, out, err);
}

int iam_delete_role_permissions_boundary(struct call *c,
                                         const struct iam_delete_role_permissions_boundary_in *in,
                                         struct iam_delete_role_permissions_boundary_out *out,
                                         struct err *err)
{
    const struct boundary b = {IAM_ROLE, in->role_name, STR_NULL, true};
    return iam_change(c, change_boundary, &b, out, err);
}

int iam_put_user_permissions_boundary(struct call *c,
                                      const struct iam_put_user_permissions_boundary_in *in,
                                      struct iam_put_user_permissions_boundary_out *out,
                                      struct err *err)
{
    const struct boundary b = {IAM_USER, in->user_name, in->permissions_boundary, false};
    return iam_change(c, change_boundary, &b, out, err);
}

int iam_delete_user_permissions_boundary(struct call *c,
                                         const struct iam_delete_user_permissions_boundary_in *in,
                                         struct iam_delete_user_permissions_boundary_out *out,
                                         struct err *err)
{
    const struct boundary b = {IAM_USER, in->user_name, STR_NULL, true};
    return iam_change(c, change_boundary, &b, out, err);
}
