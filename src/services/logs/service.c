// service.c - the table of the log service's operations, its start and its end.
#include "services/logs/logs.h"
#include "services/logs/logs_impl.h"

#include "base/cleanup.h"

static const struct engine_op ops[] = {
    ENGINE_OP("CreateLogGroup", logs_create_log_group),
    ENGINE_OP("DeleteLogGroup", logs_delete_log_group),
    ENGINE_OP("DescribeLogGroups", logs_describe_log_groups),
    ENGINE_OP("ListLogGroups", logs_list_log_groups),
    ENGINE_OP("PutRetentionPolicy", logs_put_retention_policy),
    ENGINE_OP("DeleteRetentionPolicy", logs_delete_retention_policy),
    ENGINE_OP("PutLogGroupDeletionProtection", logs_put_log_group_deletion_protection),
    ENGINE_OP("TagLogGroup", logs_tag_log_group),
    ENGINE_OP("UntagLogGroup", logs_untag_log_group),
    ENGINE_OP("ListTagsLogGroup", logs_list_tags_log_group),
    ENGINE_OP("TagResource", logs_tag_resource),
    ENGINE_OP("UntagResource", logs_untag_resource),
    ENGINE_OP("ListTagsForResource", logs_list_tags_for_resource),
    ENGINE_OP("CreateLogStream", logs_create_log_stream),
    ENGINE_OP("DeleteLogStream", logs_delete_log_stream),
    ENGINE_OP("DescribeLogStreams", logs_describe_log_streams),
    ENGINE_OP("PutLogEvents", logs_put_log_events),
    ENGINE_OP("GetLogEvents", logs_get_log_events),
    ENGINE_OP("FilterLogEvents", logs_filter_log_events),
    ENGINE_OP("TestMetricFilter", logs_test_metric_filter),
};

static int start(struct engine *e, struct err *err)
{
    int r = log_groups_open(engine_config(e)->data_dir, false, err);
    if (r == 0)
        r = log_upkeep_start(err);
    if (r == 0)
        logs_sink_install();
    return r;
}

static void stop(struct engine *e)
{
    (void)e;
    logs_sink_remove();
    log_upkeep_stop();
    log_groups_close();
}

const struct engine_service logs_service = {
    .wire = &wire_logs,
    .ops = ops,
    .n_ops = ARRAY_LEN(ops),
    .start = start,
    .stop = stop,
};
