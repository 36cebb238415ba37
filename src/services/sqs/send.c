// send.c - SendMessage and SendMessageBatch: check the entries, insert them in one transaction.
//
// Invariant: receivers are told after the commit.
#include "services/sqs/sqs_impl.h"

#include "base/cleanup.h"
#include "base/hash.h"
#include "http/server.h"

#include <errno.h>

#define FIFO_ID_MAX 128

static int too_long(struct err *err)
{
    return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                   "One or more parameters are invalid. Reason: Message must be shorter than "
                   "1048576 bytes.");
}

// Deduplication and group ids: alphanumeric and ASCII punctuation.
static int check_id(struct str id, const char *name, struct err *err)
{
    bool ok = id.len >= 1 && id.len <= FIFO_ID_MAX;
    for (size_t i = 0; ok && i < id.len; i++)
        ok = id.ptr[i] > 0x20 && id.ptr[i] < 0x7f;
    if (ok)
        return 0;
    return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                   "Value %.*s for parameter %s is invalid. Reason: %s can only include "
                   "alphanumeric and punctuation characters. 1 to 128 in length.",
                   STR_ARG(id), name, name);
}

static int check_fifo(struct arena *a, const struct sqs_queue *q, struct sqs_entry *e,
                      bool has_delay, struct err *err)
{
    int r;
    if (str_is_null(e->group_id))
        return err_aws(err, &SQS_MISSING_PARAMETER,
                       "The request must contain the parameter MessageGroupId.");
    if (has_delay && e->delay_ms != 0)
        return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                       "Value %lld for parameter DelaySeconds is invalid. Reason: The request "
                       "include parameter that is not valid for this queue type.",
                       (long long)(e->delay_ms / 1000));
    r = check_id(e->group_id, "MessageGroupId", err);
    if (r < 0)
        return r;
    if (!str_is_null(e->deduplication_id))
        return check_id(e->deduplication_id, "MessageDeduplicationId", err);
    if (!q->content_deduplication)
        return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                       "The queue should either have ContentBasedDeduplication enabled or "
                       "MessageDeduplicationId provided explicitly");
    char hex[SHA256_HEX_BYTES];
    hash_sha256_hex(e->body, hex);
    e->deduplication_id = arena_str(a, str_from(hex));
    return str_is_null(e->deduplication_id) ? err_set(err, -ENOMEM, "message: out of memory") : 0;
}

static int check_standard(struct sqs_entry *e, struct err *err)
{
    if (!str_is_null(e->deduplication_id))
        return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                       "Value %.*s for parameter MessageDeduplicationId is invalid. Reason: The "
                       "request includes a parameter that is not valid for this queue type.",
                       STR_ARG(e->deduplication_id));
    return str_is_null(e->group_id) ? 0 : check_id(e->group_id, "MessageGroupId", err);
}

// What a client gave for one message, from either operation.
struct given {
    struct str body, group_id, deduplication_id;
    int64_t delay_s;
    bool has_delay;
    const struct sqs_message_body_attribute_map *attributes;
    const struct sqs_message_body_system_attribute_map *system;
};

// An SDK inside a function sends its trace with every request; the message takes it along.
static struct str trace_of_request(struct call *c)
{
    return c->http ? http_header_get(c->http, STR("x-amzn-trace-id")) : STR_NULL;
}

static int make_entry(struct call *c, const struct sqs_queue *q, const struct given *g,
                      struct sqs_entry *e, size_t *bytes, struct err *err)
{
    size_t attribute_bytes;
    int64_t delay_s = g->has_delay ? g->delay_s : q->delay_s;
    int r;
    if (g->body.len == 0)
        return err_aws(err, &SQS_MISSING_PARAMETER,
                       "The request must contain the parameter MessageBody.");
    if (!sqs_text_allowed(g->body))
        return err_aws(err, &SQS_INVALID_MESSAGE_CONTENTS,
                       "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | "
                       "#x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF.");
    if (delay_s < 0 || delay_s > SQS_MAX_DELAY_S)
        return err_aws(
            err, &SQS_INVALID_PARAMETER_VALUE,
            "Value %lld for parameter DelaySeconds is invalid. Reason: DelaySeconds must "
            "be >= 0 and <= 900.",
            (long long)delay_s);
    *e = (struct sqs_entry){
        .body = g->body,
        .group_id = g->group_id,
        .deduplication_id = g->deduplication_id,
        .delay_ms = delay_s * 1000,
    };
    r = sqs_message_attributes_encode(c->arena, g->attributes, &e->attributes, &attribute_bytes,
                                      err);
    if (r == 0)
        r = sqs_system_attributes_read(c->arena, g->system, &e->trace, &e->md5_system, err);
    if (r < 0)
        return r;
    if (str_is_null(e->trace))
        e->trace = trace_of_request(c);
    *bytes = g->body.len + attribute_bytes;
    if (*bytes > (size_t)q->max_bytes)
        return q->max_bytes == SQS_MAX_MESSAGE_BYTES
                   ? too_long(err)
                   : err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                             "One or more parameters are invalid. Reason: Message must be shorter "
                             "than %lld bytes.",
                             (long long)q->max_bytes);
    e->md5_body = sqs_md5(c->arena, e->body);
    if (!str_is_null(e->attributes))
        e->md5_attributes = sqs_md5(c->arena, e->attributes);
    return q->fifo ? check_fifo(c->arena, q, e, g->has_delay, err) : check_standard(e, err);
}

static struct str sequence_number(struct call *c, const struct sqs_queue *q,
                                  const struct sqs_entry *e)
{
    return q->fifo ? arena_printf(c->arena, "%020lld", (long long)e->seq) : STR_NULL;
}

// Inserts and commits; then receivers are told.
static int send_entries(struct call *c, const struct sqs_queue *q, struct sqs_entry *entries,
                        size_t n, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct sqs_queue now;
    int64_t first_ms;
    int r = store_begin(sqs.store, STORE_WRITE, &tx, err);
    if (r == 0)
        r = sqs_queue_by_id(tx, c->arena, q->id, &now, err); // it may have been deleted meanwhile
    if (r == 0)
        r = sqs_send_tx(tx, c->arena, &now, entries, n, c->principal.user_id, &first_ms, err);
    if (r == 0)
        r = store_commit(&tx, err);
    if (r == 0 && n > 0)
        sqs_notify(q, first_ms);
    return r;
}

static int load(struct call *c, struct str url, struct sqs_queue *q, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    int r = store_begin(sqs.store, STORE_READ, &tx, err);
    return r < 0 ? r : sqs_queue_of_url(tx, c, url, q, err);
}

int sqs_send_message(struct call *c, const struct sqs_send_message_in *in,
                     struct sqs_send_message_out *out, struct err *err)
{
    struct sqs_queue q;
    struct sqs_entry e;
    size_t bytes;
    const struct given g = {
        .body = in->message_body,
        .group_id = in->message_group_id,
        .deduplication_id = in->message_deduplication_id,
        .delay_s = in->delay_seconds,
        .has_delay = in->has_delay_seconds,
        .attributes = &in->message_attributes,
        .system = &in->message_system_attributes,
    };
    int r = load(c, in->queue_url, &q, err);
    if (r == 0)
        r = make_entry(c, &q, &g, &e, &bytes, err);
    if (r == 0)
        r = send_entries(c, &q, &e, 1, err);
    if (r < 0)
        return r;
    out->message_id = e.message_id;
    out->md5_of_message_body = e.md5_body;
    out->md5_of_message_attributes = e.md5_attributes;
    out->md5_of_message_system_attributes = e.md5_system;
    out->sequence_number = sequence_number(c, &q, &e);
    return 0;
}

// --- batches ---

static struct str id_at(const void *entries, size_t i)
{
    return ((const struct sqs_send_message_batch_request_entry *)entries)[i].id;
}

static int check_batch(const struct sqs_send_message_batch_in *in, struct err *err)
{
    size_t bytes = 0;
    int r = sqs_batch_check_size(in->entries.n, "SendMessageBatchRequestEntry", err);
    for (size_t i = 0; r == 0 && i < in->entries.n; i++) {
        const struct sqs_send_message_batch_request_entry *e = &in->entries.ptr[i];
        r = sqs_batch_check_id(e->id, i, id_at, in->entries.ptr, err);
        bytes += e->message_body.len;
        for (size_t j = 0; j < e->message_attributes.n; j++)
            bytes += e->message_attributes.ptr[j].key.len +
                     e->message_attributes.ptr[j].value.data_type.len +
                     e->message_attributes.ptr[j].value.string_value.len +
                     e->message_attributes.ptr[j].value.binary_value.len;
    }
    if (r == 0 && bytes > SQS_MAX_MESSAGE_BYTES)
        return err_aws(err, &SQS_BATCH_REQUEST_TOO_LONG,
                       "Batch requests cannot be longer than 1048576 bytes. You have sent %zu "
                       "bytes.",
                       bytes);
    return r;
}

int sqs_send_message_batch(struct call *c, const struct sqs_send_message_batch_in *in,
                           struct sqs_send_message_batch_out *out, struct err *err)
{
    struct sqs_entry entries[SQS_MAX_BATCH];
    struct sqs_queue q;
    size_t n = 0, of[SQS_MAX_BATCH];
    int r = load(c, in->queue_url, &q, err);
    if (r == 0)
        r = check_batch(in, err);
    if (r < 0)
        return r;
    out->successful.ptr =
        arena_new_array(c->arena, struct sqs_send_message_batch_result_entry, SQS_MAX_BATCH);
    out->failed.ptr = arena_new_array(c->arena, struct sqs_batch_result_error_entry, SQS_MAX_BATCH);
    if (!out->successful.ptr || !out->failed.ptr)
        return err_set(err, -ENOMEM, "batch: out of memory");
    for (size_t i = 0; i < in->entries.n; i++) {
        const struct sqs_send_message_batch_request_entry *x = &in->entries.ptr[i];
        struct err why = ERR_INIT;
        size_t bytes;
        const struct given g = {
            .body = x->message_body,
            .group_id = x->message_group_id,
            .deduplication_id = x->message_deduplication_id,
            .delay_s = x->delay_seconds,
            .has_delay = x->has_delay_seconds,
            .attributes = &x->message_attributes,
            .system = &x->message_system_attributes,
        };
        r = make_entry(c, &q, &g, &entries[n], &bytes, &why);
        if (r == 0)
            of[n++] = i;
        else
            sqs_batch_failed(c, &out->failed, x->id, &why);
    }
    r = send_entries(c, &q, entries, n, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++) {
        struct sqs_send_message_batch_result_entry *o = &out->successful.ptr[out->successful.n++];
        o->id = in->entries.ptr[of[i]].id;
        o->message_id = entries[i].message_id;
        o->md5_of_message_body = entries[i].md5_body;
        o->md5_of_message_attributes = entries[i].md5_attributes;
        o->md5_of_message_system_attributes = entries[i].md5_system;
        o->sequence_number = sequence_number(c, &q, &entries[i]);
    }
    sqs_batch_trim(&out->failed);
    return 0;
}
