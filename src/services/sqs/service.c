// service.c - the table of the queue service's operations, its start and its end.
#include "services/sqs/sqs_impl.h"

#include "base/cleanup.h"
#include "os/file.h"

#include <errno.h>
#include <stdlib.h>

struct sqs_service sqs;

static const struct engine_op ops[] = {
    ENGINE_OP("AddPermission", sqs_add_permission),
    ENGINE_OP("CancelMessageMoveTask", sqs_cancel_message_move_task),
    ENGINE_OP("ChangeMessageVisibility", sqs_change_message_visibility),
    ENGINE_OP("ChangeMessageVisibilityBatch", sqs_change_message_visibility_batch),
    ENGINE_OP("CreateQueue", sqs_create_queue),
    ENGINE_OP("DeleteMessage", sqs_delete_message),
    ENGINE_OP("DeleteMessageBatch", sqs_delete_message_batch),
    ENGINE_OP("DeleteQueue", sqs_delete_queue),
    ENGINE_OP("GetQueueAttributes", sqs_get_queue_attributes),
    ENGINE_OP("GetQueueUrl", sqs_get_queue_url),
    ENGINE_OP("ListDeadLetterSourceQueues", sqs_list_dead_letter_source_queues),
    ENGINE_OP("ListMessageMoveTasks", sqs_list_message_move_tasks),
    ENGINE_OP("ListQueueTags", sqs_list_queue_tags),
    ENGINE_OP("ListQueues", sqs_list_queues),
    ENGINE_OP("PurgeQueue", sqs_purge_queue),
    ENGINE_OP("ReceiveMessage", sqs_receive_message),
    ENGINE_OP("RemovePermission", sqs_remove_permission),
    ENGINE_OP("SendMessage", sqs_send_message),
    ENGINE_OP("SendMessageBatch", sqs_send_message_batch),
    ENGINE_OP("SetQueueAttributes", sqs_set_queue_attributes),
    ENGINE_OP("StartMessageMoveTask", sqs_start_message_move_task),
    ENGINE_OP("TagQueue", sqs_tag_queue),
    ENGINE_OP("UntagQueue", sqs_untag_queue),
};

// A clock that was set back since must not hide what was sent before.
static int read_clock(struct err *err)
{
    _cleanup_(store_abortp) struct store_tx *tx = NULL;
    _cleanup_(store_resetp) struct store_stmt *s = NULL;
    int r = store_begin(sqs.store, STORE_READ, &tx, err);
    if (r == 0)
        r = store_select(tx, &s, err, "SELECT sent_ms FROM message ORDER BY seq DESC LIMIT 1");
    if (r == 0)
        r = store_step(s, err);
    if (r > 0)
        sqs_clock_at_least(store_col_i64(s, 0));
    return r < 0 ? r : 0;
}

static int start(struct engine *e, struct err *err)
{
    _cleanup_free_ char *dir = engine_path(e, "db");
    _cleanup_free_ char *path = engine_path(e, "db/sqs.db");
    int r;
    if (!dir || !path)
        return err_set(err, -ENOMEM, "sqs: out of memory");
    r = mkdir_p(dir, 0700, err);
    if (r == 0)
        r = sqs_store_open(path, &sqs.store, err);
    if (r < 0)
        return r;
    sqs.engine = e;
    r = read_clock(err);
    return r < 0 ? r : sqs_upkeep_start(err);
}

static void stop(struct engine *e)
{
    (void)e;
    sqs_upkeep_stop();
    store_close(sqs.store);
    sqs.store = NULL;
}

const struct engine_service sqs_service = {
    .wire = &wire_sqs,
    .ops = ops,
    .n_ops = ARRAY_LEN(ops),
    .start = start,
    .stop = stop,
};
