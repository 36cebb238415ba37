// permissions.c - AddPermission and RemovePermission: statements of a queue's policy by label.
#include "services/sqs/sqs_impl.h"

#include "base/cleanup.h"
#include "base/json.h"

#include <errno.h>

#define POLICY_MAX_BYTES 65536
#define MAX_ACTIONS 7

static bool action_known(struct str action)
{
    static const struct str known[] = {
        STR_INIT("*"),
        STR_INIT("SendMessage"),
        STR_INIT("ReceiveMessage"),
        STR_INIT("DeleteMessage"),
        STR_INIT("ChangeMessageVisibility"),
        STR_INIT("GetQueueAttributes"),
        STR_INIT("GetQueueUrl"),
        STR_INIT("ListDeadLetterSourceQueues"),
        STR_INIT("PurgeQueue"),
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (str_eq(known[i], action))
            return true;
    }
    return false;
}

static bool account_valid(struct str id)
{
    int64_t n;
    return id.len == 12 && str_to_i64(id, &n) == 0 && n >= 0;
}

static bool has_label(const struct json_value *policy, struct str label)
{
    json_each(s, json_get(policy, "Statement"))
    {
        if (str_eq(json_get_or(s, "Sid", STR_NULL), label))
            return true;
    }
    return false;
}

static void write_statement(struct json_writer *w, struct call *c, const struct sqs_queue *q,
                            const struct sqs_add_permission_in *in)
{
    jw_object_begin(w);
    jw_member_str(w, "Sid", in->label);
    jw_member_str(w, "Effect", STR("Allow"));
    jw_key(w, STR("Principal"));
    jw_object_begin(w);
    jw_key(w, STR("AWS"));
    if (in->aws_account_ids.n > 1)
        jw_array_begin(w);
    for (size_t i = 0; i < in->aws_account_ids.n; i++)
        jw_strf(w, "arn:aws:iam::%.*s:root", STR_ARG(in->aws_account_ids.ptr[i]));
    if (in->aws_account_ids.n > 1)
        jw_array_end(w);
    jw_object_end(w);
    jw_key(w, STR("Action"));
    if (in->actions.n > 1)
        jw_array_begin(w);
    for (size_t i = 0; i < in->actions.n; i++)
        jw_strf(w, "SQS:%.*s", STR_ARG(in->actions.ptr[i]));
    if (in->actions.n > 1)
        jw_array_end(w);
    jw_member_str(w, "Resource", sqs_queue_arn(c->arena, q));
    jw_object_end(w);
}

// The policy without the statement `drop` and, when `add` is given, with a new one at its end.
static int rewrite(struct call *c, struct sqs_queue *q, const struct json_value *policy,
                   struct str drop, const struct sqs_add_permission_in *add, struct err *err)
{
    _cleanup_(buf_finishp) struct buf b = {0};
    size_t kept = 0;
    buf_init(&b, POLICY_MAX_BYTES);
    struct json_writer w = json_writer(&b);
    jw_object_begin(&w);
    jw_member_str(&w, "Version", json_get_or(policy, "Version", STR("2012-10-17")));
    jw_member_str(&w, "Id",
                  json_get_or(policy, "Id",
                              arena_printf(c->arena, "%.*s/SQSDefaultPolicy",
                                           STR_ARG(sqs_queue_arn(c->arena, q)))));
    jw_key(&w, STR("Statement"));
    jw_array_begin(&w);
    json_each(s, json_get(policy, "Statement"))
    {
        if (!str_is_null(drop) && str_eq(json_get_or(s, "Sid", STR_NULL), drop))
            continue;
        jw_value(&w, s);
        kept++;
    }
    if (add)
        write_statement(&w, c, q, add);
    jw_array_end(&w);
    jw_object_end(&w);
    if (b.failed)
        return err_aws(err, &SQS_OVER_LIMIT, "The policy is too large.");
    q->policy = kept > 0 || add ? arena_str(c->arena, buf_str(&b)) : STR_NULL;
    return 0;
}

static int begin(struct call *c, struct str url, struct store_tx **tx, struct sqs_queue *q,
                 const struct json_value **policy, struct err *err)
{
    int r = store_begin(sqs.store, STORE_WRITE, tx, err);
    if (r == 0)
        r = sqs_queue_of_url(*tx, c, url, q, err);
    *policy = NULL;
    if (r == 0 && !str_is_null(q->policy))
        r = json_parse(c->arena, q->policy, policy, err);
    return r;
}

static int finish(struct call *c, struct store_tx **tx, struct sqs_queue *q, struct err *err)
{
    q->modified_ms = c->now_ms;
    int r = sqs_queue_update(*tx, q, err);
    return r < 0 ? r : store_commit(tx, err);
}

int sqs_add_permission(struct call *c, const struct sqs_add_permission_in *in,
                       struct sqs_add_permission_out *out, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    const struct json_value *policy;
    struct sqs_queue q;
    (void)out;
    for (size_t i = 0; i < in->actions.n; i++) {
        if (!action_known(in->actions.ptr[i]))
            return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                           "Value SQS:%.*s for parameter ActionName is invalid. Reason: Only the "
                           "queue owner is allowed to invoke this action.",
                           STR_ARG(in->actions.ptr[i]));
    }
    for (size_t i = 0; i < in->aws_account_ids.n; i++) {
        if (!account_valid(in->aws_account_ids.ptr[i]))
            return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                           "Value %.*s for parameter PrincipalId is invalid. Reason: Unable to "
                           "verify.",
                           STR_ARG(in->aws_account_ids.ptr[i]));
    }
    if (in->actions.n > MAX_ACTIONS)
        return err_aws(err, &SQS_OVER_LIMIT, "%zu Actions were found, maximum allowed is %d.",
                       in->actions.n, MAX_ACTIONS);
    if (in->actions.n == 0 || in->aws_account_ids.n == 0)
        return err_aws(err, &SQS_MISSING_PARAMETER, "The request must contain the parameter %s.",
                       in->actions.n == 0 ? "Actions" : "AWSAccountIds");
    int r = begin(c, in->queue_url, &tx, &q, &policy, err);
    if (r < 0)
        return r;
    if (has_label(policy, in->label))
        return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                       "Value %.*s for parameter Label is invalid. Reason: Already exists.",
                       STR_ARG(in->label));
    r = rewrite(c, &q, policy, STR_NULL, in, err);
    return r < 0 ? r : finish(c, &tx, &q, err);
}

int sqs_remove_permission(struct call *c, const struct sqs_remove_permission_in *in,
                          struct sqs_remove_permission_out *out, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    const struct json_value *policy;
    struct sqs_queue q;
    int r = begin(c, in->queue_url, &tx, &q, &policy, err);
    (void)out;
    if (r < 0)
        return r;
    if (!has_label(policy, in->label))
        return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                       "Value %.*s for parameter Label is invalid. Reason: can't find label on "
                       "existing policy.",
                       STR_ARG(in->label));
    r = rewrite(c, &q, policy, in->label, NULL, err);
    return r < 0 ? r : finish(c, &tx, &q, err);
}
