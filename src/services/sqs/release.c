// release.c - DeleteMessage, ChangeMessageVisibility and their batches.
#include "services/sqs/sqs_impl.h"

#include "base/cleanup.h"

#include <errno.h>

static int bad_handle(struct str handle, struct err *err)
{
    return err_aws(err, &SQS_RECEIPT_HANDLE_IS_INVALID,
                   "The input receipt handle \"%.*s\" is not a valid receipt handle.",
                   STR_ARG(handle));
}

static int parse(struct call *c, const struct sqs_queue *q, struct str handle,
                 struct sqs_receipt *out, struct err *err)
{
    if (!sqs_receipt_parse(c->arena, handle, out) || out->queue != q->id)
        return bad_handle(handle, err);
    return 0;
}

// Deleting what is gone is fine; so is, for standard queues, deleting with an old handle (nothing
// happens then). A FIFO queue says that the handle has expired.
static int delete_one(struct store_tx *tx, struct call *c, const struct sqs_queue *q,
                      struct str handle, int64_t now_ms, struct err *err)
{
    struct sqs_receipt receipt;
    enum sqs_release what;
    int r = parse(c, q, handle, &receipt, err);
    if (r == 0)
        r = sqs_delete_tx(tx, q, &receipt, now_ms, &what, err);
    if (r < 0)
        return r;
    if (q->fifo && (what == SQS_STALE || what == SQS_NOT_IN_FLIGHT))
        return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                       "Value %.*s for parameter ReceiptHandle is invalid. Reason: The receipt "
                       "handle has expired.",
                       STR_ARG(handle));
    return 0;
}

static int change_one(struct store_tx *tx, struct call *c, const struct sqs_queue *q,
                      struct str handle, int64_t timeout_s, int64_t now_ms, struct err *err)
{
    struct sqs_receipt receipt;
    enum sqs_release what;
    int r;
    if (timeout_s < 0 || timeout_s > SQS_MAX_VISIBILITY_S)
        return err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                       "Value %lld for parameter VisibilityTimeout is invalid. Reason: "
                       "VisibilityTimeout must be an integer between 0 and 43200.",
                       (long long)timeout_s);
    r = parse(c, q, handle, &receipt, err);
    if (r == 0)
        r = sqs_hide_tx(tx, q, &receipt, now_ms, now_ms + timeout_s * 1000, &what, err);
    if (r < 0)
        return r;
    if (what == SQS_GONE)
        return err_aws(
            err, &SQS_INVALID_PARAMETER_VALUE,
            "Value %.*s for parameter ReceiptHandle is invalid. Reason: Message does not "
            "exist or is not available for visibility timeout change.",
            STR_ARG(handle));
    if (what != SQS_RELEASED)
        return q->fifo ? err_aws(err, &SQS_INVALID_PARAMETER_VALUE,
                                 "Value %.*s for parameter ReceiptHandle is invalid. Reason: The "
                                 "receipt handle has expired.",
                                 STR_ARG(handle))
                       : err_aws(err, &SQS_MESSAGE_NOT_INFLIGHT,
                                 "The message referred to isn't in flight.");
    return 0;
}

static int begin(struct call *c, struct str url, struct store_tx **tx, struct sqs_queue *q,
                 struct err *err)
{
    int r = store_begin(sqs.store, STORE_WRITE, tx, err);
    return r < 0 ? r : sqs_queue_of_url(*tx, c, url, q, err);
}

// Something became visible, or a FIFO group became free.
static int commit(struct store_tx **tx, const struct sqs_queue *q, bool released, int64_t at_ms,
                  struct err *err)
{
    int r = store_commit(tx, err);
    if (r == 0 && released)
        sqs_notify(q, at_ms);
    return r;
}

int sqs_delete_message(struct call *c, const struct sqs_delete_message_in *in,
                       struct sqs_delete_message_out *out, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct sqs_queue q;
    int r = begin(c, in->queue_url, &tx, &q, err);
    (void)out;
    if (r == 0)
        r = delete_one(tx, c, &q, in->receipt_handle, sqs_now(), err);
    return r < 0 ? r : commit(&tx, &q, q.fifo, sqs_now(), err);
}

int sqs_change_message_visibility(struct call *c, const struct sqs_change_message_visibility_in *in,
                                  struct sqs_change_message_visibility_out *out, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct sqs_queue q;
    int64_t now_ms;
    int r = begin(c, in->queue_url, &tx, &q, err);
    (void)out;
    now_ms = sqs_now();
    if (r == 0)
        r = change_one(tx, c, &q, in->receipt_handle, in->visibility_timeout, now_ms, err);
    return r < 0 ? r : commit(&tx, &q, true, now_ms + in->visibility_timeout * 1000, err);
}

// --- batches: what a client did wrong fails its entry, what we did wrong the whole request ---

static struct str delete_id_at(const void *entries, size_t i)
{
    return ((const struct sqs_delete_message_batch_request_entry *)entries)[i].id;
}

int sqs_delete_message_batch(struct call *c, const struct sqs_delete_message_batch_in *in,
                             struct sqs_delete_message_batch_out *out, struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct sqs_queue q;
    int r = sqs_batch_check_size(in->entries.n, "DeleteMessageBatchRequestEntry", err);
    for (size_t i = 0; r == 0 && i < in->entries.n; i++)
        r = sqs_batch_check_id(in->entries.ptr[i].id, i, delete_id_at, in->entries.ptr, err);
    if (r == 0)
        r = begin(c, in->queue_url, &tx, &q, err);
    if (r < 0)
        return r;
    out->successful.ptr =
        arena_new_array(c->arena, struct sqs_delete_message_batch_result_entry, SQS_MAX_BATCH);
    out->failed.ptr = arena_new_array(c->arena, struct sqs_batch_result_error_entry, SQS_MAX_BATCH);
    if (!out->successful.ptr || !out->failed.ptr)
        return err_set(err, -ENOMEM, "batch: out of memory");
    int64_t now_ms = sqs_now();
    for (size_t i = 0; i < in->entries.n; i++) {
        const struct sqs_delete_message_batch_request_entry *e = &in->entries.ptr[i];
        struct err why = ERR_INIT;
        r = delete_one(tx, c, &q, e->receipt_handle, now_ms, &why);
        if (r < 0 && !why.aws)
            return err_set(err, r, "%s", why.message);
        if (r < 0)
            sqs_batch_failed(c, &out->failed, e->id, &why);
        else
            out->successful.ptr[out->successful.n++].id = e->id;
    }
    sqs_batch_trim(&out->failed);
    return commit(&tx, &q, q.fifo, now_ms, err);
}

static struct str change_id_at(const void *entries, size_t i)
{
    return ((const struct sqs_change_message_visibility_batch_request_entry *)entries)[i].id;
}

int sqs_change_message_visibility_batch(struct call *c,
                                        const struct sqs_change_message_visibility_batch_in *in,
                                        struct sqs_change_message_visibility_batch_out *out,
                                        struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    struct sqs_queue q;
    int r = sqs_batch_check_size(in->entries.n, "ChangeMessageVisibilityBatchRequestEntry", err);
    for (size_t i = 0; r == 0 && i < in->entries.n; i++)
        r = sqs_batch_check_id(in->entries.ptr[i].id, i, change_id_at, in->entries.ptr, err);
    if (r == 0)
        r = begin(c, in->queue_url, &tx, &q, err);
    if (r < 0)
        return r;
    out->successful.ptr = arena_new_array(
        c->arena, struct sqs_change_message_visibility_batch_result_entry, SQS_MAX_BATCH);
    out->failed.ptr = arena_new_array(c->arena, struct sqs_batch_result_error_entry, SQS_MAX_BATCH);
    if (!out->successful.ptr || !out->failed.ptr)
        return err_set(err, -ENOMEM, "batch: out of memory");
    int64_t now_ms = sqs_now(), first_ms = INT64_MAX;
    for (size_t i = 0; i < in->entries.n; i++) {
        const struct sqs_change_message_visibility_batch_request_entry *e = &in->entries.ptr[i];
        struct err why = ERR_INIT;
        r = change_one(tx, c, &q, e->receipt_handle, e->visibility_timeout, now_ms, &why);
        if (r < 0 && !why.aws)
            return err_set(err, r, "%s", why.message);
        if (r < 0) {
            sqs_batch_failed(c, &out->failed, e->id, &why);
            continue;
        }
        out->successful.ptr[out->successful.n++].id = e->id;
        if (now_ms + e->visibility_timeout * 1000 < first_ms)
            first_ms = now_ms + e->visibility_timeout * 1000;
    }
    sqs_batch_trim(&out->failed);
    return commit(&tx, &q, first_ms < INT64_MAX, first_ms, err);
}
