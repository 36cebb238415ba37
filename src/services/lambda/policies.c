// policies.c - resource-based policies: who else may invoke a function. Kept and given back as
// AWS's JSON documents, one per qualifier.
#include "services/lambda/lambda_impl.h"

#include "base/json.h"
#include "services/lambda/policies.h"

#include <errno.h>

#define MAX_POLICY_BYTES 20480 // AWS's quota

static bool is_account(struct str s)
{
    if (s.len != 12)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
    return true;
}

static void write_principal(struct json_writer *w, struct str principal)
{
    jw_key(w, STR("Principal"));
    if (str_eq(principal, STR("*"))) {
        jw_str(w, principal);
        return;
    }
    jw_object_begin(w);
    if (is_account(principal)) {
        jw_key(w, STR("AWS"));
        jw_strf(w, "arn:aws:iam::%.*s:root", STR_ARG(principal));
    } else if (str_starts(principal, STR("arn:"))) {
        jw_member_str(w, "AWS", principal);
    } else {
        jw_member_str(w, "Service", principal);
    }
    jw_object_end(w);
}

static void write_condition(struct json_writer *w, const char *operator, const char * key,
                            struct str value)
{
    jw_key(w, str_from(operator));
    jw_object_begin(w);
    jw_member_str(w, key, value);
    jw_object_end(w);
}

void policy_statement(struct buf *out, const struct policy_grant *g)
{
    struct json_writer w = json_writer(out);

    jw_object_begin(&w);
    jw_member_str(&w, "Sid", g->sid);
    jw_member_str(&w, "Effect", STR("Allow"));
    write_principal(&w, g->principal);
    jw_member_str(&w, "Action", g->action);
    jw_member_str(&w, "Resource", g->resource);
    if (g->source_arn.len || g->source_account.len || g->token.len || g->organization.len ||
        g->url_auth.len || g->via_url) {
        jw_key(&w, STR("Condition"));
        jw_object_begin(&w);
        if (g->via_url)
            write_condition(&w, "Bool", "lambda:InvokedViaFunctionUrl", STR("true"));
        if (g->source_account.len || g->token.len || g->organization.len || g->url_auth.len) {
            jw_key(&w, STR("StringEquals"));
            jw_object_begin(&w);
            if (g->source_account.len)
                jw_member_str(&w, "AWS:SourceAccount", g->source_account);
            if (g->token.len)
                jw_member_str(&w, "lambda:EventSourceToken", g->token);
            if (g->organization.len)
                jw_member_str(&w, "aws:PrincipalOrgID", g->organization);
            if (g->url_auth.len)
                jw_member_str(&w, "lambda:FunctionUrlAuthType", g->url_auth);
            jw_object_end(&w);
        }
        if (g->source_arn.len)
            write_condition(&w, "ArnLike", "AWS:SourceArn", g->source_arn);
        jw_object_end(&w);
    }
    jw_object_end(&w);
}

// Copies the statements of `policy` without `drop`; answers whether that one was there.
static bool copy_statements(struct arena *a, struct str policy, struct str drop,
                            struct json_writer *w, size_t *left)
{
    const struct json_value *doc;
    bool found = false;

    *left = 0;
    if (policy.len == 0 || json_parse(a, policy, &doc, NULL) < 0)
        return false;
    json_each(s, json_get(doc, "Statement"))
    {
        if (str_eq(json_get_or(s, "Sid", STR("")), drop)) {
            found = true;
            continue;
        }
        jw_raw(w, s->raw);
        (*left)++;
    }
    return found;
}

int policy_add(struct call *c, struct str policy, struct str sid, struct str statement,
               struct str *out, struct err *err)
{
    _cleanup_(buf_finishp) struct buf b = {0};
    size_t left;

    buf_init(&b, (size_t)1 << 20);
    struct json_writer w = json_writer(&b);
    jw_object_begin(&w);
    jw_member_str(&w, "Version", STR("2012-10-17"));
    jw_member_str(&w, "Id", STR("default"));
    jw_key(&w, STR("Statement"));
    jw_array_begin(&w);
    if (copy_statements(c->arena, policy, sid, &w, &left)) {
        err_field(err, "Type", "User");
        return err_aws(err, &LAMBDA_RESOURCE_CONFLICT_EXCEPTION,
                       "The statement id (%.*s) provided already exists. Please provide a new "
                       "statement id, or remove the existing statement.",
                       STR_ARG(sid));
    }
    jw_raw(&w, statement);
    jw_array_end(&w);
    jw_object_end(&w);
    if (b.failed)
        return err_set(err, -ENOMEM, "out of memory");
    if (b.len > MAX_POLICY_BYTES)
        return err_aws(err, &LAMBDA_POLICY_LENGTH_EXCEEDED_EXCEPTION,
                       "The final policy size (%zu) is bigger than the limit (%d).", b.len,
                       MAX_POLICY_BYTES);
    *out = arena_str(c->arena, buf_str(&b));
    return 0;
}

int policy_remove(struct call *c, struct str policy, struct str sid, struct str *out,
                  struct err *err)
{
    _cleanup_(buf_finishp) struct buf b = {0};
    size_t left;

    buf_init(&b, (size_t)1 << 20);
    struct json_writer w = json_writer(&b);
    jw_object_begin(&w);
    jw_member_str(&w, "Version", STR("2012-10-17"));
    jw_member_str(&w, "Id", STR("default"));
    jw_key(&w, STR("Statement"));
    jw_array_begin(&w);
    if (!copy_statements(c->arena, policy, sid, &w, &left)) {
        err_field(err, "Type", "User");
        return err_aws(err, &LAMBDA_RESOURCE_NOT_FOUND_EXCEPTION,
                       "Statement %.*s is not found in resource policy.", STR_ARG(sid));
    }
    jw_array_end(&w);
    jw_object_end(&w);
    *out = left > 0 ? arena_str(c->arena, buf_str(&b)) : STR_NULL;
    return 0;
}

// --- functions ---

// $LATEST's policy is the function's own.
static struct str policy_qualifier(const struct fn_target *t)
{
    return str_is_null(t->qualifier) ? STR("") : t->qualifier;
}

static int find_for_policy(struct lambda *l, struct call *c, struct str name, struct str qualifier,
                           struct fn_target *t, struct fn_record **record, struct err *err)
{
    int r = fn_find(l, c, name, qualifier, t, err);

    if (r < 0)
        return r;
    if (str_eq(t->qualifier, STR(LAMBDA_LATEST)))
        return lambda_invalid(err, "We currently do not support adding policies for $LATEST.");
    if (!fn_qualifier_exists(t->fn, t->qualifier))
        return fn_not_found(err, t->arn);
    *record = fn_record_of(t->fn, RECORD_POLICY, policy_qualifier(t));
    return 0;
}

static int save_policy(struct lambda *l, struct call *c, const struct fn_target *t,
                       struct str policy, struct err *err)
{
    const struct lambda_get_policy_out value = {policy, lambda_uuid(c->arena)};
    struct fn_record *record = NULL;
    int r = fn_record_new(RECORD_POLICY, policy_qualifier(t), &value, &record, err);

    return r < 0 ? r : fn_save_record(l, t->fn, record, err);
}

static struct str policy_of(const struct fn_record *r)
{
    return r ? ((const struct lambda_get_policy_out *)r->value)->policy : STR_NULL;
}

static struct str policy_revision(const struct fn_record *r)
{
    return r ? ((const struct lambda_get_policy_out *)r->value)->revision_id : STR_NULL;
}

int lambda_add_permission(struct call *c, const struct lambda_add_permission_in *in,
                          struct lambda_add_permission_out *out, struct err *err)
{
    _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
    _cleanup_(buf_finishp) struct buf statement = {0};
    struct fn_target t;
    struct fn_record *record = NULL;
    struct str policy;
    int r = find_for_policy(l, c, in->function_name, in->qualifier, &t, &record, err);

    if (r == 0 && record)
        r = revision_check(in->revision_id, policy_revision(record), err);
    if (r < 0)
        return r;
    const struct policy_grant grant = {
        .sid = in->statement_id,
        .principal = in->principal,
        .action = in->action,
        .resource = t.arn,
        .source_arn = in->source_arn,
        .source_account = in->source_account,
        .token = in->event_source_token,
        .organization = in->principal_org_id,
        .url_auth = in->function_url_auth_type,
        .via_url = WIRE_GET(in, invoked_via_function_url, false),
    };
    buf_init(&statement, MAX_POLICY_BYTES * 8);
    policy_statement(&statement, &grant);
    if (statement.failed)
        return err_set(err, -ENOMEM, "out of memory");
    r = policy_add(c, policy_of(record), in->statement_id, buf_str(&statement), &policy, err);
    if (r == 0)
        r = save_policy(l, c, &t, policy, err);
    if (r < 0)
        return r;
    out->statement = arena_str(c->arena, buf_str(&statement));
    return 0;
}

int lambda_remove_permission(struct call *c, const struct lambda_remove_permission_in *in,
                             struct lambda_remove_permission_out *out, struct err *err)
{
    _cleanup_(lambda_change_end) struct lambda *l = lambda_change(c);
    struct fn_target t;
    struct fn_record *record = NULL;
    struct str policy;
    int r = find_for_policy(l, c, in->function_name, in->qualifier, &t, &record, err);

    (void)out;
    if (r == 0 && !record)
        return err_aws(err, &LAMBDA_RESOURCE_NOT_FOUND_EXCEPTION,
                       "No policy is associated with the given resource.");
    if (r == 0)
        r = revision_check(in->revision_id, policy_revision(record), err);
    if (r == 0)
        r = policy_remove(c, policy_of(record), in->statement_id, &policy, err);
    if (r < 0)
        return r;
    if (str_is_null(policy))
        return fn_drop_record(l, t.fn, RECORD_POLICY, policy_qualifier(&t), err);
    return save_policy(l, c, &t, policy, err);
}

int lambda_get_policy(struct call *c, const struct lambda_get_policy_in *in,
                      struct lambda_get_policy_out *out, struct err *err)
{
    _cleanup_(lambda_look_end) struct lambda *l = lambda_look(c);
    struct fn_target t;
    struct fn_record *record = NULL;
    int r = find_for_policy(l, c, in->function_name, in->qualifier, &t, &record, err);

    if (r < 0)
        return r;
    if (!record) {
        err_field(err, "Type", "User");
        return err_aws(err, &LAMBDA_RESOURCE_NOT_FOUND_EXCEPTION,
                       "The resource you requested does not exist.");
    }
    fn_record_hold(c, record);
    *out = *(const struct lambda_get_policy_out *)record->value;
    return 0;
}
