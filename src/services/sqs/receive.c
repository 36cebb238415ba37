// receive.c - ReceiveMessage: long polls park until a message comes or becomes visible.
#include "services/sqs/sqs_impl.h"

#include "base/cleanup.h"
#include "engine/park.h"

#include <errno.h>
#include <stdio.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct str sqs_park_key(int64_t queue, char out[static SQS_KEY_BYTES])
{
    int n = snprintf(out, SQS_KEY_BYTES, "sqs:%lld", (long long)queue);
    return (struct str){out, (size_t)n};
}

// --- ReceiveRequestAttemptId: a FIFO receive that is repeated within five minutes, because its
// answer was lost, is given the same messages. In memory: a restart forgets them, and the messages
// then come back when their visibility ends. ---

#define ATTEMPTS 512
#define ATTEMPT_MS (5 * 60 * 1000)

static struct {
    pthread_mutex_t lock;
    struct attempt {
        int64_t queue, at_ms;
        char id[129];
        unsigned n;
        struct sqs_receipt receipts[SQS_MAX_BATCH];
    } slots[ATTEMPTS];
    unsigned next;
} attempts = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool attempt_find(int64_t queue, struct str id, int64_t now_ms, struct attempt *out)
{
    bool found = false;
    pthread_mutex_lock(&attempts.lock);
    for (unsigned i = 0; !found && i < ATTEMPTS; i++) {
        const struct attempt *a = &attempts.slots[i];
        found = a->queue == queue && a->at_ms > now_ms - ATTEMPT_MS && str_eq(str_from(a->id), id);
        if (found)
            *out = *a;
    }
    pthread_mutex_unlock(&attempts.lock);
    return found;
}

static void attempt_keep(struct arena *a, int64_t queue, struct str id, int64_t now_ms,
                         const struct sqs_message_view *messages, unsigned n)
{
    struct attempt x = {.queue = queue, .at_ms = now_ms, .n = n};
    memcpy(x.id, id.ptr, id.len); // at most 128, checked
    for (unsigned i = 0; i < n; i++)
        sqs_receipt_parse(a, messages[i].receipt_handle, &x.receipts[i]);
    pthread_mutex_lock(&attempts.lock);
    attempts.slots[attempts.next++ % ATTEMPTS] = x;
    pthread_mutex_unlock(&attempts.lock);
}

// Makes what the first attempt got visible again, so that it is received once more, unless some of
// it was deleted or hidden anew: then the repetition is a receive like any other.
static int attempt_again(struct store_tx *tx, const struct sqs_queue *q, struct str id,
                         int64_t now_ms, struct err *err)
{
    struct attempt a;
    if (!attempt_find(q->id, id, now_ms, &a))
        return 0;
    for (unsigned i = 0; i < a.n; i++) {
        enum sqs_release what;
        int r = sqs_hide_tx(tx, q, &a.receipts[i], now_ms, now_ms, &what, err);
        if (r < 0)
            return r;
    }
    return 0;
}

// --- answering ---

struct selection {
    bool all;
    const struct str *names;
    size_t n;
};

static bool selected(const struct selection *s, struct str name)
{
    if (s->all)
        return true;
    for (size_t i = 0; i < s->n; i++) {
        struct str x = s->names[i];
        if (str_eq(x, name) || str_eq(x, STR("All")) || str_eq(x, STR(".*")))
            return true;
        if (str_ends(x, STR(".*")) && str_starts(name, str_slice(x, 0, x.len - 1)))
            return true;
    }
    return false;
}

static void system_attribute(struct sqs_message *m, const struct sqs_receive_message_in *in,
                             struct str name, struct str value)
{
    const struct selection old = {false, in->attribute_names.ptr, in->attribute_names.n};
    const struct selection new = {false, in->message_system_attribute_names.ptr,
                                  in->message_system_attribute_names.n};
    if (str_is_null(value) || (!selected(&old, name) && !selected(&new, name)))
        return;
    m->attributes.ptr[m->attributes.n].key = name;
    m->attributes.ptr[m->attributes.n++].value = value;
}

static struct str number(struct call *c, int64_t n)
{
    return arena_printf(c->arena, "%lld", (long long)n);
}

static int user_attributes(struct call *c, const struct sqs_receive_message_in *in,
                           const struct sqs_message_view *v, struct sqs_message *m)
{
    const struct selection s = {false, in->message_attribute_names.ptr,
                                in->message_attribute_names.n};
    struct sqs_attribute kept[SQS_MAX_ATTRIBUTES];
    size_t n = 0;
    struct str encoded;
    for (size_t i = 0; i < v->n_attributes; i++) {
        if (selected(&s, v->attributes[i].name))
            kept[n++] = v->attributes[i];
    }
    if (n == 0)
        return 0;
    m->message_attributes.ptr =
        arena_new_array(c->arena, struct sqs_message_body_attribute_map_entry, n);
    if (!m->message_attributes.ptr || sqs_attributes_encode(c->arena, kept, n, &encoded) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        struct sqs_message_body_attribute_map_entry *e = &m->message_attributes.ptr[i];
        e->key = kept[i].name;
        e->value.data_type = kept[i].type;
        if (str_starts(kept[i].type, STR("Binary")))
            e->value.binary_value = kept[i].value;
        else
            e->value.string_value = kept[i].value;
    }
    m->message_attributes.n = n;
    m->md5_of_message_attributes = sqs_md5(c->arena, encoded); // of those that are given
    return 0;
}

static int answer(struct call *c, const struct sqs_receive_message_in *in,
                  const struct sqs_message_view *views, unsigned n,
                  struct sqs_receive_message_out *out, struct err *err)
{
    if (n == 0)
        return 0; // AWS leaves "Messages" out
    out->messages.ptr = arena_new_array(c->arena, struct sqs_message, n);
    for (unsigned i = 0; out->messages.ptr && i < n; i++) {
        const struct sqs_message_view *v = &views[i];
        struct sqs_message *m = &out->messages.ptr[i];
        m->message_id = v->message_id;
        m->receipt_handle = v->receipt_handle;
        m->body = v->body;
        m->md5_of_body = v->md5_of_body;
        m->attributes.ptr =
            arena_new_array(c->arena, struct sqs_message_system_attribute_map_entry, 10);
        if (!m->attributes.ptr || user_attributes(c, in, v, m) < 0)
            return err_set(err, -ENOMEM, "messages: out of memory");
        system_attribute(m, in, STR("SenderId"), v->sender_id);
        system_attribute(m, in, STR("ApproximateFirstReceiveTimestamp"),
                         number(c, v->first_received_ms));
        system_attribute(m, in, STR("ApproximateReceiveCount"), number(c, v->receive_count));
        system_attribute(m, in, STR("SentTimestamp"), number(c, v->sent_ms));
        system_attribute(m, in, STR("SequenceNumber"), v->sequence_number);
        system_attribute(m, in, STR("MessageDeduplicationId"), v->deduplication_id);
        system_attribute(m, in, STR("MessageGroupId"), v->group_id);
        system_attribute(m, in, STR("AWSTraceHeader"), v->trace_header);
        system_attribute(m, in, STR("DeadLetterQueueSourceArn"), v->dead_letter_source_arn);
        if (m->attributes.n == 0)
            m->attributes.ptr = NULL;
    }
    out->messages.n = n;
    return out->messages.ptr ? 0 : err_set(err, -ENOMEM, "messages: out of memory");
}

// --- the operation ---

static bool known_name(struct str name)
{
    static const struct str known[] = {
        STR_INIT("All"),
        STR_INIT("SenderId"),
        STR_INIT("SentTimestamp"),
        STR_INIT("ApproximateReceiveCount"),
        STR_INIT("ApproximateFirstReceiveTimestamp"),
        STR_INIT("SequenceNumber"),
        STR_INIT("MessageDeduplicationId"),
        STR_INIT("MessageGroupId"),
        STR_INIT("AWSTraceHeader"),
        STR_INIT("DeadLetterQueueSourceArn"),
        // Of queues, but AWS takes them here as well.
        STR_INIT("Policy"),
        STR_INIT("VisibilityTimeout"),
        STR_INIT("MaximumMessageSize"),
        STR_INIT("MessageRetentionPeriod"),
        STR_INIT("ApproximateNumberOfMessages"),
        STR_INIT("ApproximateNumberOfMessagesNotVisible"),
        STR_INIT("CreatedTimestamp"),
        STR_INIT("LastModifiedTimestamp"),
        STR_INIT("QueueArn"),
        STR_INIT("ApproximateNumberOfMessagesDelayed"),
        STR_INIT("DelaySeconds"),
        STR_INIT("ReceiveMessageWaitTimeSeconds"),
        STR_INIT("RedrivePolicy"),
        STR_INIT("FifoQueue"),
        STR_INIT("ContentBasedDeduplication"),
        STR_INIT("KmsMasterKeyId"),
        STR_INIT("KmsDataKeyReusePeriodSeconds"),
        STR_INIT("DeduplicationScope"),
        STR_INIT("FifoThroughputLimit"),
        STR_INIT("RedriveAllowPolicy"),
        STR_INIT("SqsManagedSseEnabled"),
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (str_eq(known[i], name))
            return true;
    }
    return false;
}

static int check_range(int64_t n, const char *name, int64_t min, int64_t max, struct err *err)
{
    if (n >= min && n <= max)
        return 0;
    return err_aws(
        err, &SQS_INVALID_PARAMETER_VALUE,
        "Value %lld for parameter %s is invalid. Reason: Must be >= %lld and <= %lld, if "
        "provided.",
        (long long)n, name, (long long)min, (long long)max);
}

static int check(const struct sqs_receive_message_in *in, struct err *err)
{
    int r = check_range(WIRE_GET(in, max_number_of_messages, 1), "MaxNumberOfMessages", 1,
                        SQS_MAX_BATCH, err);
    if (r == 0)
        r = check_range(WIRE_GET(in, wait_time_seconds, 0), "WaitTimeSeconds", 0, SQS_MAX_WAIT_S,
                        err);
    if (r == 0)
        r = check_range(WIRE_GET(in, visibility_timeout, 0), "VisibilityTimeout", 0,
                        SQS_MAX_VISIBILITY_S, err);
    for (size_t i = 0; r == 0 && i < in->attribute_names.n; i++) {
        if (!known_name(in->attribute_names.ptr[i]))
            r = err_aws(err, &SQS_INVALID_ATTRIBUTE_NAME, "Unknown Attribute %.*s.",
                        STR_ARG(in->attribute_names.ptr[i]));
    }
    for (size_t i = 0; r == 0 && i < in->message_system_attribute_names.n; i++) {
        if (!known_name(in->message_system_attribute_names.ptr[i]))
            r = err_aws(err, &SQS_INVALID_ATTRIBUTE_NAME, "Unknown Attribute %.*s.",
                        STR_ARG(in->message_system_attribute_names.ptr[i]));
    }
    if (r == 0 && in->receive_request_attempt_id.len > 128)
        r = err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                    "Value for parameter ReceiveRequestAttemptId is invalid. Reason: It can be at "
                    "most 128 characters long.");
    return r;
}

// Counting what is in flight costs its number, so it is done at most once a second for a queue (a
// slot is shared by queues whose ids fall together), and every time while the limit is exceeded.
#define FLIGHT_SLOTS 256
static atomic_llong counted_ms[FLIGHT_SLOTS];

static int check_in_flight(struct store_tx *tx, const struct sqs_queue *q, int64_t now_ms,
                           struct err *err)
{
    atomic_llong *slot = &counted_ms[q->id % FLIGHT_SLOTS];
    struct sqs_counts counts;
    if (q->messages < SQS_MAX_IN_FLIGHT || now_ms - atomic_load(slot) < 1000)
        return 0;
    int r = sqs_count_messages(tx, q, now_ms, &counts, err);
    if (r < 0)
        return r;
    atomic_store(slot, counts.in_flight < SQS_MAX_IN_FLIGHT ? now_ms : 0);
    if (counts.in_flight < SQS_MAX_IN_FLIGHT)
        return 0;
    return err_aws(err, &SQS_OVER_LIMIT,
                   "Too many messages in flight: the limit of this queue is %d.",
                   SQS_MAX_IN_FLIGHT);
}

static int look(struct call *c, const struct sqs_receive_message_in *in, struct sqs_queue *q,
                bool *ready, int64_t *next_ms, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    int r = store_begin(sqs.store, STORE_READ, &tx, err);
    if (r == 0)
        r = sqs_queue_of_url(tx, c, in->queue_url, q, err);
    if (r == 0)
        r = sqs_peek(tx, q, sqs_now(), ready, next_ms, err);
    if (r == 0 && *ready)
        r = check_in_flight(tx, q, sqs_now(), err);
    return r;
}

static int take(struct call *c, const struct sqs_receive_message_in *in, struct sqs_queue *q,
                struct sqs_message_view *views, unsigned *n, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct sqs_receive_notes notes;
    struct str attempt = q->fifo ? in->receive_request_attempt_id : STR_NULL;
    int r = store_begin(sqs.store, STORE_WRITE, &tx, err);
    if (r == 0)
        r = sqs_queue_by_id(tx, c->arena, q->id, q, err);
    int64_t now_ms = sqs_now();
    if (r == 0 && attempt.len > 0)
        r = attempt_again(tx, q, attempt, now_ms, err);
    if (r == 0)
        r = sqs_receive_tx(tx, c->arena, q, (unsigned)WIRE_GET(in, max_number_of_messages, 1),
                           WIRE_GET(in, visibility_timeout, q->visibility_s) * 1000, now_ms, views,
                           n, &notes, err);
    if (r == 0 && notes.changed)
        r = store_commit(&tx, err);
    if (r < 0)
        return r;
    if (notes.dead_letter_id != 0)
        sqs_notify_arn(notes.dead_letter_id, notes.dead_letter_arn, now_ms);
    if (attempt.len > 0 && *n > 0)
        attempt_keep(c->arena, q->id, attempt, now_ms, views, *n);
    return 0;
}

int sqs_receive_message(struct call *c, const struct sqs_receive_message_in *in,
                        struct sqs_receive_message_out *out, struct err *err)
{
    struct sqs_message_view views[SQS_MAX_BATCH];
    char key[SQS_KEY_BYTES];
    struct sqs_queue q;
    int64_t next_ms = INT64_MAX;
    unsigned n = 0;
    bool ready = false;
    int r = check(in, err);
    if (r == 0)
        r = look(c, in, &q, &ready, &next_ms, err);
    // A repeated attempt may find its own messages, which nobody else can see.
    if (r == 0 && (ready || (q.fifo && in->receive_request_attempt_id.len > 0)))
        r = take(c, in, &q, views, &n, err);
    if (r < 0)
        return r;
    int64_t deadline = c->arrived_ms + WIRE_GET(in, wait_time_seconds, q.wait_s) * 1000;
    if (n == 0 && c->now_ms < deadline) {
        // Run again when the next hidden message appears, if that is before the deadline. When
        // others were quicker than us just now, at once.
        int64_t in_ms = ready ? 1 : next_ms == INT64_MAX ? INT64_MAX : next_ms - sqs_now();
        if (in_ms < deadline - c->now_ms)
            deadline = c->now_ms + (in_ms > 1 ? in_ms : 1);
        return call_park(c, sqs_park_key(q.id, key), deadline);
    }
    return answer(c, in, views, n, out, err);
}
