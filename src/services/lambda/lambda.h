// lambda.h - the Lambda service, as the rest of the daemon sees it.
//
// Functions, versions, aliases, layers and event source mappings are records of db/lambda.db and
// are held in memory in full: an invocation does no SQL. A change is visible to invocations after
// its commit, never before.
#ifndef LAMBKIN_SERVICES_LAMBDA_LAMBDA_H
#define LAMBKIN_SERVICES_LAMBDA_LAMBDA_H

#include "engine/engine.h"

struct function_config; // runtime/runtime.h

extern const struct engine_service lambda_service;

// --- invoking from inside: function URLs, gateways, triggers ---

// Which function `name` means (a name, a partial or full ARN, with or without a qualifier) and the
// version that answers now: an alias with weights draws one. *out is a reference that the caller
// gives back with function_config_unref(). Errors are AWS's own (ResourceNotFoundException, …).
// From any thread; does not block.
struct lambda_target {
    struct function_config *config;
    char version[24]; // executed version: "$LATEST" or a number
    char arn[256];    // the ARN as it was invoked, with the alias
    bool fixed;       // false: the alias has weights and drew
};
int lambda_resolve(struct engine *e, struct str account, struct str region, struct str name,
                   struct str qualifier, struct lambda_target *out, struct err *err);

// --- asynchronous invocation (src/triggers) ---

struct lambda_async_event {
    struct str account, region;
    struct str function;  // name only
    struct str qualifier; // as invoked; absent: $LATEST
    struct str arn;       // as invoked
    struct str payload, client_context, trace_id, request_id;
    struct str source; // "invoke", or the service principal that sent it
};

// Accepts the event durably before it returns 0; on a worker, may block.
typedef int (*lambda_async_accept)(void *ctx, const struct lambda_async_event *event,
                                   struct err *err);
// While services start. Without it InvocationType Event answers an error.
void lambda_set_async_accept(lambda_async_accept accept, void *ctx);

// What PutFunctionEventInvokeConfig and DeadLetterConfig say, in the arena; -1 and absent strings
// where nothing was set.
struct lambda_async_settings {
    int32_t max_age_s, max_retries;
    struct str on_success, on_failure, dead_letter;
};
int lambda_async_settings(struct engine *e, struct arena *a, struct str account, struct str region,
                          struct str function, struct str qualifier,
                          struct lambda_async_settings *out, struct err *err);

// RecursiveLoop is Allow for this function.
bool lambda_recursion_allowed(struct engine *e, struct str account, struct str region,
                              struct str function);

// --- event source mappings (src/triggers runs them) ---

struct lambda_event_source_mapping_configuration; // generated
struct lambda_mapping {
    struct str account, region, uuid;
    const struct lambda_event_source_mapping_configuration *config; // in the arena
};
// Every mapping, in the arena.
int lambda_mappings(struct engine *e, struct arena *a, struct lambda_mapping **out, size_t *n,
                    struct err *err);
// Called (on a worker) after a mapping was created, changed or deleted.
void lambda_set_mappings_changed(void (*fn)(void *ctx, struct str uuid), void *ctx);
// The runner says how it stands: State ("Enabled", "Disabled", …) and LastProcessingResult.
// Deleting ends with State absent: the record goes.
int lambda_mapping_report(struct engine *e, struct str uuid, struct str state,
                          struct str last_result, struct err *err);

// The folders, "/a:/b", whose code may be run from where it lies (hot.c); absolute, without
// symbolic links. NULL or "": none. Before the engine starts.
void lambda_set_hot_folders(const char *list);

// --- function URLs (the HTTP edge answers them) ---

struct lambda_url {
    char id[64];
    char account[16], region[32], function[72], qualifier[136];
    bool auth_iam, stream;
    struct str cors_json; // in the arena: the Cors member as JSON, absent without
};
// By its id, or (path style) by a function's name[:qualifier] in the default account and region.
// -ENOENT when there is no such URL.
int lambda_url_find(struct engine *e, struct arena *a, struct str id, struct lambda_url *out);

#endif
