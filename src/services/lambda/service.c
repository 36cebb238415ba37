// service.c - the Lambda service: its operations, its start and its end.
#include "services/lambda/lambda_impl.h"

#include "images/image.h"
#include "os/file.h"
#include "os/log.h"

#include <errno.h>
#include <stdlib.h>

// One engine a process, one Lambda service an engine. Static, because triggers may hook into it
// before it has started.
struct lambda lambda_service_state = {
    .change = PTHREAD_MUTEX_INITIALIZER,
    .table = PTHREAD_RWLOCK_INITIALIZER,
};

void lambda_set_async_accept(lambda_async_accept accept, void *ctx)
{
    lambda_service_state.async_accept = accept;
    lambda_service_state.async_ctx = ctx;
}

static int lambda_start(struct engine *e, struct err *err)
{
    struct lambda *l = &lambda_service_state;
    _cleanup_free_ char *db = engine_path(e, "db");
    _cleanup_free_ char *key = engine_path(e, "secret.key");
    int r;

    l->engine = e;
    l->code_dir = engine_path(e, "code");
    l->images_dir = engine_path(e, "images");
    if (!l->code_dir || !l->images_dir || !db || !key)
        return err_set(err, -ENOMEM, "out of memory");
    r = mkdir_p(db, 0700, err);
    if (r == 0)
        r = mkdir_p(l->code_dir, 0755, err);
    if (r == 0)
        r = mkdir_p(l->images_dir, 0711, err);
    if (r == 0)
        r = secret_key_open(key, &l->key, err);
    if (r == 0)
        r = lambda_store_open(l, err);
    if (r == 0)
        r = lambda_store_load(l, err);
    if (r == 0)
        r = lambda_credentials_open(e, err);
    if (r == 0)
        r = code_site_open(e, l, err);
    if (r < 0)
        return r;
    engine_set_state(e, &lambda_service, l);
    collect_at_start(l);
    collect_open(l);
    concurrency_apply(l);
    snapstart_open(l);
    return 0;
}

static void lambda_stop(struct engine *e)
{
    struct lambda *l = &lambda_service_state;
    const struct map_entry *entry;
    size_t at = 0;

    (void)e;
    collect_close();
    urls_finish(l);
    while ((entry = map_next(&l->functions, &at)) != NULL)
        fn_free(entry->value);
    map_finish(&l->functions);
    layers_finish(l);
    mappings_finish(l);
    store_close(l->store);
    l->store = NULL;
    free(l->code_dir);
    free(l->images_dir);
    l->code_dir = l->images_dir = NULL;
}

static const struct engine_op ops[] = {
    ENGINE_OP("CreateFunction", lambda_create_function),
    ENGINE_OP("GetFunction", lambda_get_function),
    ENGINE_OP("GetFunctionConfiguration", lambda_get_function_configuration),
    ENGINE_OP("UpdateFunctionCode", lambda_update_function_code),
    ENGINE_OP("UpdateFunctionConfiguration", lambda_update_function_configuration),
    ENGINE_OP("DeleteFunction", lambda_delete_function),
    ENGINE_OP("ListFunctions", lambda_list_functions),
    ENGINE_OP("PublishVersion", lambda_publish_version),
    ENGINE_OP("ListVersionsByFunction", lambda_list_versions_by_function),
    ENGINE_OP("CreateAlias", lambda_create_alias),
    ENGINE_OP("GetAlias", lambda_get_alias),
    ENGINE_OP("UpdateAlias", lambda_update_alias),
    ENGINE_OP("DeleteAlias", lambda_delete_alias),
    ENGINE_OP("ListAliases", lambda_list_aliases),
    ENGINE_OP("TagResource", lambda_tag_resource),
    ENGINE_OP("UntagResource", lambda_untag_resource),
    ENGINE_OP("ListTags", lambda_list_tags),
    ENGINE_OP("AddPermission", lambda_add_permission),
    ENGINE_OP("RemovePermission", lambda_remove_permission),
    ENGINE_OP("GetPolicy", lambda_get_policy),
    ENGINE_OP("GetAccountSettings", lambda_get_account_settings),
    ENGINE_OP("GetFunctionCodeSigningConfig", lambda_get_function_code_signing_config),
    ENGINE_OP("PutFunctionConcurrency", lambda_put_function_concurrency),
    ENGINE_OP("GetFunctionConcurrency", lambda_get_function_concurrency),
    ENGINE_OP("DeleteFunctionConcurrency", lambda_delete_function_concurrency),
    ENGINE_OP("PutProvisionedConcurrencyConfig", lambda_put_provisioned_concurrency_config),
    ENGINE_OP("GetProvisionedConcurrencyConfig", lambda_get_provisioned_concurrency_config),
    ENGINE_OP("DeleteProvisionedConcurrencyConfig", lambda_delete_provisioned_concurrency_config),
    ENGINE_OP("ListProvisionedConcurrencyConfigs", lambda_list_provisioned_concurrency_configs),
    ENGINE_OP("CreateFunctionUrlConfig", lambda_create_function_url_config),
    ENGINE_OP("GetFunctionUrlConfig", lambda_get_function_url_config),
    ENGINE_OP("UpdateFunctionUrlConfig", lambda_update_function_url_config),
    ENGINE_OP("DeleteFunctionUrlConfig", lambda_delete_function_url_config),
    ENGINE_OP("ListFunctionUrlConfigs", lambda_list_function_url_configs),
    ENGINE_OP("PutFunctionEventInvokeConfig", lambda_put_function_event_invoke_config),
    ENGINE_OP("UpdateFunctionEventInvokeConfig", lambda_update_function_event_invoke_config),
    ENGINE_OP("GetFunctionEventInvokeConfig", lambda_get_function_event_invoke_config),
    ENGINE_OP("DeleteFunctionEventInvokeConfig", lambda_delete_function_event_invoke_config),
    ENGINE_OP("ListFunctionEventInvokeConfigs", lambda_list_function_event_invoke_configs),
    ENGINE_OP("PublishLayerVersion", lambda_publish_layer_version),
    ENGINE_OP("GetLayerVersion", lambda_get_layer_version),
    ENGINE_OP("GetLayerVersionByArn", lambda_get_layer_version_by_arn),
    ENGINE_OP("DeleteLayerVersion", lambda_delete_layer_version),
    ENGINE_OP("ListLayers", lambda_list_layers),
    ENGINE_OP("ListLayerVersions", lambda_list_layer_versions),
    ENGINE_OP("AddLayerVersionPermission", lambda_add_layer_version_permission),
    ENGINE_OP("RemoveLayerVersionPermission", lambda_remove_layer_version_permission),
    ENGINE_OP("GetLayerVersionPolicy", lambda_get_layer_version_policy),
    ENGINE_OP("CreateEventSourceMapping", lambda_create_event_source_mapping),
    ENGINE_OP("GetEventSourceMapping", lambda_get_event_source_mapping),
    ENGINE_OP("UpdateEventSourceMapping", lambda_update_event_source_mapping),
    ENGINE_OP("DeleteEventSourceMapping", lambda_delete_event_source_mapping),
    ENGINE_OP("ListEventSourceMappings", lambda_list_event_source_mappings),
    ENGINE_OP("PutFunctionRecursionConfig", lambda_put_function_recursion_config),
    ENGINE_OP("GetFunctionRecursionConfig", lambda_get_function_recursion_config),
    ENGINE_OP("PutRuntimeManagementConfig", lambda_put_runtime_management_config),
    ENGINE_OP("GetRuntimeManagementConfig", lambda_get_runtime_management_config),
    ENGINE_OP("InvokeAsync", lambda_invoke_async),
};

const struct engine_service lambda_service = {
    .wire = &wire_lambda,
    .ops = ops,
    .n_ops = ARRAY_LEN(ops),
    .start = lambda_start,
    .stop = lambda_stop,
    .intercept = lambda_intercept,
};
