// queue_attributes.c - the attributes of queues: which there are, what they may be, how they look
// in answers. One table drives setting, comparing and getting.
#include "services/sqs/sqs_impl.h"

#include "base/cleanup.h"
#include "base/json.h"

#include <errno.h>

enum kind { SECONDS, FLAG, TEXT, POLICY, REDRIVE, REDRIVE_ALLOW, SCOPE, LIMIT, FIFO_QUEUE };

static const struct attribute {
    struct str name;
    enum kind kind;
    size_t offset;    // of the member, by its kind
    int64_t min, max; // SECONDS
    bool fifo_only;
} attributes[] = {
    {STR_INIT("VisibilityTimeout"), SECONDS, offsetof(struct sqs_queue, visibility_s), 0,
     SQS_MAX_VISIBILITY_S, false},
    {STR_INIT("DelaySeconds"), SECONDS, offsetof(struct sqs_queue, delay_s), 0, SQS_MAX_DELAY_S,
     false},
    {STR_INIT("MessageRetentionPeriod"), SECONDS, offsetof(struct sqs_queue, retention_s), 60,
     1209600, false},
    {STR_INIT("MaximumMessageSize"), SECONDS, offsetof(struct sqs_queue, max_bytes), 1024,
     SQS_MAX_MESSAGE_BYTES, false},
    {STR_INIT("ReceiveMessageWaitTimeSeconds"), SECONDS, offsetof(struct sqs_queue, wait_s), 0,
     SQS_MAX_WAIT_S, false},
    {STR_INIT("KmsDataKeyReusePeriodSeconds"), SECONDS, offsetof(struct sqs_queue, kms_reuse_s), 60,
     86400, false},
    {STR_INIT("KmsMasterKeyId"), TEXT, offsetof(struct sqs_queue, kms_key), 0, 0, false},
    {STR_INIT("SqsManagedSseEnabled"), FLAG, offsetof(struct sqs_queue, managed_sse), 0, 0, false},
    {STR_INIT("Policy"), POLICY, offsetof(struct sqs_queue, policy), 0, 0, false},
    {STR_INIT("RedrivePolicy"), REDRIVE, offsetof(struct sqs_queue, redrive), 0, 0, false},
    {STR_INIT("RedriveAllowPolicy"), REDRIVE_ALLOW, offsetof(struct sqs_queue, redrive_allow), 0, 0,
     false},
    {STR_INIT("FifoQueue"), FIFO_QUEUE, offsetof(struct sqs_queue, fifo), 0, 0, false},
    {STR_INIT("ContentBasedDeduplication"), FLAG, offsetof(struct sqs_queue, content_deduplication),
     0, 0, true},
    {STR_INIT("DeduplicationScope"), SCOPE, offsetof(struct sqs_queue, deduplication_scope), 0, 0,
     true},
    {STR_INIT("FifoThroughputLimit"), LIMIT, offsetof(struct sqs_queue, throughput_limit), 0, 0,
     true},
};

#define MEMBER(q, a, type) ((type *)(void *)((char *)(q) + (a)->offset))
#define CONST_MEMBER(q, a, type) ((const type *)(const void *)((const char *)(q) + (a)->offset))

static const struct attribute *find(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(attributes); i++) {
        if (str_eq(attributes[i].name, name))
            return &attributes[i];
    }
    return NULL;
}

static int wrong_value(const struct attribute *a, struct err *err)
{
    return err_aws(err, &SQS_INVALID_ATTRIBUTE_VALUE, "Invalid value for the parameter %.*s.",
                   STR_ARG(a->name));
}

static int parse_flag(struct str s, const struct attribute *a, bool *out, struct err *err)
{
    if (str_eq_nocase(s, STR("true")))
        *out = true;
    else if (str_eq_nocase(s, STR("false")))
        *out = false;
    else
        return wrong_value(a, err);
    return 0;
}

// {"deadLetterTargetArn": …, "maxReceiveCount": 1..1000 (a number or a string)}
static int apply_redrive(struct arena *arena, struct sqs_queue *q, struct str text,
                         const struct attribute *a, struct err *err)
{
    const struct json_value *v, *count;
    struct str arn, number;
    int64_t n = 0;
    if (text.len == 0) {
        q->redrive = q->dead_letter = STR_NULL;
        q->max_receives = 0;
        return 0;
    }
    if (json_parse(arena, text, &v, NULL) < 0 || !json_is(v, JSON_OBJECT))
        return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                       "Value %.*s for parameter %.*s is invalid. Reason: Redrive policy is not a "
                       "valid JSON map.",
                       STR_ARG(text), STR_ARG(a->name));
    if (!json_str(json_get(v, "deadLetterTargetArn"), &arn))
        return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                       "Value %.*s for parameter RedrivePolicy is invalid. Reason: Redrive policy "
                       "does not contain mandatory attribute: deadLetterTargetArn.",
                       STR_ARG(text));
    count = json_get(v, "maxReceiveCount");
    if (!count)
        return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                       "Value %.*s for parameter RedrivePolicy is invalid. Reason: Redrive policy "
                       "does not contain mandatory attribute: maxReceiveCount.",
                       STR_ARG(text));
    if (!(json_i64(count, &n) || (json_str(count, &number) && str_to_i64(number, &n) == 0)) ||
        n < 1 || n > 1000)
        return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                       "Value %.*s for parameter RedrivePolicy is invalid. Reason: Invalid value "
                       "for maxReceiveCount: %.*s, valid values are from 1 to 1000 both inclusive.",
                       STR_ARG(text), STR_ARG(count->raw));
    q->redrive = text;
    q->dead_letter = arn;
    q->max_receives = n;
    return 0;
}

static bool allows_source(struct arena *arena, const struct sqs_queue *dead_letter,
                          struct str source_arn)
{
    const struct json_value *v;
    struct str permission;
    if (str_is_null(dead_letter->redrive_allow) ||
        json_parse(arena, dead_letter->redrive_allow, &v, NULL) < 0 ||
        !json_str(json_get(v, "redrivePermission"), &permission))
        return true;
    if (str_eq(permission, STR("byQueue"))) {
        json_each(arn, json_get(v, "sourceQueueArns"))
        {
            struct str s;
            if (json_str(arn, &s) && str_eq(s, source_arn))
                return true;
        }
        return false;
    }
    return !str_eq(permission, STR("denyAll"));
}

// The dead-letter queue must be there, of the same account, region and kind, and let us.
static int check_dead_letter(struct store_tx *tx, struct arena *arena, const struct sqs_queue *q,
                             struct err *err)
{
    struct sqs_queue target;
    struct err ignored = ERR_INIT;
    struct str own = sqs_queue_arn(arena, q);
    const char *why = NULL;
    int r = sqs_queue_of_arn(tx, arena, q->dead_letter, &target, &ignored);
    if (r == -ENOENT)
        why = "Dead letter target does not exist.";
    else if (r < 0)
        return err_set(err, r, "%s", ignored.message);
    else if (!str_eq(target.account, q->account) || !str_eq(target.region, q->region))
        why = "Dead letter target must be in the same account and region.";
    else if (target.fifo != q->fifo)
        why = q->fifo ? "Dead-letter queue must be same type of queue as the source: FIFO."
                      : "Dead-letter queue must be same type of queue as the source: standard.";
    else if (str_eq(own, q->dead_letter))
        why = "A queue cannot be its own dead letter target.";
    else if (!allows_source(arena, &target, own))
        why = "Dead-letter queue does not allow this source queue.";
    if (!why)
        return 0;
    return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                   "Value %.*s for parameter RedrivePolicy is invalid. Reason: %s",
                   STR_ARG(q->redrive), why);
}

static int apply_redrive_allow(struct arena *arena, struct str text, const struct attribute *a,
                               struct str *out, struct err *err)
{
    const struct json_value *v;
    struct str permission;
    if (text.len == 0) {
        *out = STR_NULL;
        return 0;
    }
    if (json_parse(arena, text, &v, NULL) < 0 ||
        !json_str(json_get(v, "redrivePermission"), &permission))
        return wrong_value(a, err);
    size_t n = json_count(json_get(v, "sourceQueueArns"));
    bool by_queue = str_eq(permission, STR("byQueue"));
    if (!by_queue && !str_eq(permission, STR("allowAll")) && !str_eq(permission, STR("denyAll")))
        return wrong_value(a, err);
    if (by_queue ? n < 1 || n > 10 : n > 0)
        return wrong_value(a, err);
    *out = text;
    return 0;
}

static int apply_one(struct arena *arena, struct sqs_queue *q, const struct attribute *a,
                     struct str value, struct err *err)
{
    const struct json_value *v;
    int64_t n;
    switch (a->kind) {
    case SECONDS:
        if (str_to_i64(value, &n) < 0 || n < a->min || n > a->max)
            return wrong_value(a, err);
        *MEMBER(q, a, int64_t) = n;
        return 0;
    case FLAG:
        return parse_flag(value, a, MEMBER(q, a, bool), err);
    case TEXT:
        *MEMBER(q, a, struct str) = value.len > 0 ? value : STR_NULL;
        return 0;
    case POLICY:
        if (value.len > 0 && (json_parse(arena, value, &v, NULL) < 0 || !json_is(v, JSON_OBJECT)))
            return wrong_value(a, err);
        *MEMBER(q, a, struct str) = value.len > 0 ? value : STR_NULL;
        return 0;
    case REDRIVE:
        return apply_redrive(arena, q, value, a, err);
    case REDRIVE_ALLOW:
        return apply_redrive_allow(arena, value, a, MEMBER(q, a, struct str), err);
    case SCOPE:
        if (!str_eq(value, STR("messageGroup")) && !str_eq(value, STR("queue")))
            return wrong_value(a, err);
        *MEMBER(q, a, struct str) = value;
        return 0;
    case LIMIT:
        if (!str_eq(value, STR("perMessageGroupId")) && !str_eq(value, STR("perQueue")))
            return wrong_value(a, err);
        *MEMBER(q, a, struct str) = value;
        return 0;
    case FIFO_QUEUE: {
        bool fifo = false;
        int r = parse_flag(value, a, &fifo, err);
        if (r < 0)
            return r;
        return fifo == q->fifo
                   ? 0
                   : err_aws(err, &SQS_INVALID_ATTRIBUTE_NAME, "Unknown Attribute FifoQueue.");
    }
    }
    return 0;
}

int sqs_attributes_apply(struct store_tx *tx, struct arena *arena, struct sqs_queue *q,
                         bool creating, const struct sqs_queue_attribute_map *in, struct err *err)
{
    bool redrive = false;
    for (size_t i = 0; i < in->n; i++) {
        const struct attribute *a = find(in->ptr[i].key);
        if (!a || (a->fifo_only && !q->fifo))
            return err_aws(err, &SQS_INVALID_ATTRIBUTE_NAME, "Unknown Attribute %.*s.",
                           STR_ARG(in->ptr[i].key));
        int r = apply_one(arena, q, a, in->ptr[i].value, err);
        if (r < 0)
            return r;
        redrive = redrive || a->kind == REDRIVE;
        // A key of one's own takes the place of the managed encryption.
        if (str_eq(a->name, STR("KmsMasterKeyId")) && !str_is_null(q->kms_key))
            q->managed_sse = false;
    }
    (void)creating;
    if (q->fifo && str_eq(q->throughput_limit, STR("perMessageGroupId")) &&
        !str_eq(q->deduplication_scope, STR("messageGroup")))
        return err_aws(err, &SQS_INVALID_ATTRIBUTE_VALUE,
                       "Invalid value for the parameter FifoThroughputLimit. Reason: The "
                       "perMessageGroupId value is allowed only when DeduplicationScope is "
                       "messageGroup.");
    return redrive && !str_is_null(q->dead_letter) ? check_dead_letter(tx, arena, q, err) : 0;
}

static bool same(const struct attribute *a, const struct sqs_queue *x, const struct sqs_queue *y)
{
    switch (a->kind) {
    case SECONDS:
        return *CONST_MEMBER(x, a, int64_t) == *CONST_MEMBER(y, a, int64_t);
    case FLAG:
    case FIFO_QUEUE:
        return *CONST_MEMBER(x, a, bool) == *CONST_MEMBER(y, a, bool);
    case REDRIVE:
        return str_eq(x->dead_letter, y->dead_letter) && x->max_receives == y->max_receives;
    case TEXT:
    case POLICY:
    case REDRIVE_ALLOW:
    case SCOPE:
    case LIMIT:
        return str_eq(*CONST_MEMBER(x, a, struct str), *CONST_MEMBER(y, a, struct str));
    }
    return false;
}

bool sqs_attributes_agree(const struct sqs_queue *have, const struct sqs_queue *want,
                          const struct sqs_queue_attribute_map *given)
{
    for (size_t i = 0; i < given->n; i++) {
        const struct attribute *a = find(given->ptr[i].key);
        if (!a || !same(a, have, want))
            return false;
    }
    return true;
}

// --- getting ---

struct getter {
    struct call *c;
    const struct sqs_queue *q;
    const struct sqs_counts *counts;
    const struct sqs_attribute_name_list *names;
    struct sqs_queue_attribute_map *out;
    bool all;
};

static bool wanted(const struct getter *g, struct str name)
{
    for (size_t i = 0; !g->all && i < g->names->n; i++) {
        if (str_eq(g->names->ptr[i], name))
            return true;
    }
    return g->all;
}

static void give(struct getter *g, struct str name, struct str value)
{
    if (!wanted(g, name) || str_is_null(value))
        return;
    g->out->ptr[g->out->n].key = name;
    g->out->ptr[g->out->n++].value = value;
}

static void give_i64(struct getter *g, struct str name, int64_t n)
{
    if (wanted(g, name))
        give(g, name, arena_printf(g->c->arena, "%lld", (long long)n));
}

static void give_attribute(struct getter *g, const struct attribute *a)
{
    switch (a->kind) {
    case SECONDS:
        if (a->offset != offsetof(struct sqs_queue, kms_reuse_s) || !str_is_null(g->q->kms_key))
            give_i64(g, a->name, *CONST_MEMBER(g->q, a, int64_t));
        return;
    case FLAG:
        give(g, a->name, *CONST_MEMBER(g->q, a, bool) ? STR("true") : STR("false"));
        return;
    case FIFO_QUEUE:
        if (g->q->fifo)
            give(g, a->name, STR("true"));
        return;
    case REDRIVE:
        // The number as a number, however it was given: what Terraform and AWS's console expect.
        if (!str_is_null(g->q->redrive))
            give(g, a->name,
                 arena_printf(g->c->arena,
                              "{\"deadLetterTargetArn\":\"%.*s\",\"maxReceiveCount\":%lld}",
                              STR_ARG(g->q->dead_letter), (long long)g->q->max_receives));
        return;
    case TEXT:
    case POLICY:
    case REDRIVE_ALLOW:
    case SCOPE:
    case LIMIT:
        give(g, a->name, *CONST_MEMBER(g->q, a, struct str));
        return;
    }
}

static bool known_readable(struct str name)
{
    static const struct str others[] = {
        STR_INIT("All"),
        STR_INIT("QueueArn"),
        STR_INIT("CreatedTimestamp"),
        STR_INIT("LastModifiedTimestamp"),
        STR_INIT("ApproximateNumberOfMessages"),
        STR_INIT("ApproximateNumberOfMessagesNotVisible"),
        STR_INIT("ApproximateNumberOfMessagesDelayed"),
    };
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        if (str_eq(others[i], name))
            return true;
    }
    return find(name) != NULL;
}

static int get(struct call *c, const struct sqs_queue *q, const struct sqs_counts *counts,
               const struct sqs_attribute_name_list *names, struct sqs_queue_attribute_map *out,
               struct err *err)
{
    struct getter g = {.c = c, .q = q, .counts = counts, .names = names, .out = out};
    for (size_t i = 0; i < names->n; i++)
        g.all = g.all || str_eq(names->ptr[i], STR("All"));
    out->ptr =
        arena_new_array(c->arena, struct sqs_queue_attribute_map_entry, ARRAY_LEN(attributes) + 8);
    if (!out->ptr)
        return err_set(err, -ENOMEM, "attributes: out of memory");
    give(&g, STR("QueueArn"), sqs_queue_arn(c->arena, q));
    give_i64(&g, STR("CreatedTimestamp"), q->created_ms / 1000);
    give_i64(&g, STR("LastModifiedTimestamp"), q->modified_ms / 1000);
    give_i64(&g, STR("ApproximateNumberOfMessages"), counts->visible);
    give_i64(&g, STR("ApproximateNumberOfMessagesNotVisible"), counts->in_flight);
    give_i64(&g, STR("ApproximateNumberOfMessagesDelayed"), counts->delayed);
    for (size_t i = 0; i < ARRAY_LEN(attributes); i++) {
        if (!attributes[i].fifo_only || q->fifo)
            give_attribute(&g, &attributes[i]);
    }
    return 0;
}

int sqs_get_queue_attributes(struct call *c, const struct sqs_get_queue_attributes_in *in,
                             struct sqs_get_queue_attributes_out *out, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct sqs_counts counts = {0};
    struct sqs_queue q;
    bool count = false;
    for (size_t i = 0; i < in->attribute_names.n; i++) {
        struct str name = in->attribute_names.ptr[i];
        if (!known_readable(name))
            return err_aws(err, &SQS_INVALID_ATTRIBUTE_NAME, "Unknown Attribute %.*s.",
                           STR_ARG(name));
        count = count || str_eq(name, STR("All")) || str_starts(name, STR("Approximate"));
    }
    int r = store_begin(sqs.store, STORE_READ, &tx, err);
    if (r == 0)
        r = sqs_queue_of_url(tx, c, in->queue_url, &q, err);
    if (r == 0 && count)
        r = sqs_count_messages(tx, &q, sqs_now(), &counts, err);
    return r < 0 ? r : get(c, &q, &counts, &in->attribute_names, &out->attributes, err);
}

int sqs_set_queue_attributes(struct call *c, const struct sqs_set_queue_attributes_in *in,
                             struct sqs_set_queue_attributes_out *out, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct sqs_queue q;
    int r = store_begin(sqs.store, STORE_WRITE, &tx, err);
    (void)out;
    if (r == 0)
        r = sqs_queue_of_url(tx, c, in->queue_url, &q, err);
    if (r == 0)
        r = sqs_attributes_apply(tx, c->arena, &q, false, &in->attributes, err);
    if (r < 0)
        return r;
    q.modified_ms = c->now_ms;
    r = sqs_queue_update(tx, &q, err);
    if (r == 0)
        r = store_commit(&tx, err);
    if (r == 0)
        sqs_notify(&q, sqs_now()); // a redrive policy may let a parked receiver see something
    return r;
}
