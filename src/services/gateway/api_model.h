// api_model.h - an API as requests see it: compiled from its records, immutable, counted.
//
// A change of a record makes a new model; requests in flight keep theirs. What does change inside
// (token buckets, caches of authorizers) has locks of its own and starts empty in a new model.
#ifndef LAMBKIN_SERVICES_GATEWAY_API_MODEL_H
#define LAMBKIN_SERVICES_GATEWAY_API_MODEL_H

#include "base/json.h"
#include "base/map.h"
#include "services/gateway/cors.h"
#include "services/gateway/http_event.h"
#include "services/gateway/route_table.h"

#include <pthread.h>
#include <stdatomic.h>

struct engine;

struct function_reference {
    struct str account, region, name, qualifier;
};

struct token_bucket {
    double rate, burst; // per second; rate 0: no limit
    double tokens;
    int64_t at_ns;
    pthread_mutex_t lock;
};

struct api_authorizer {
    struct str id, name;
    bool jwt;
    struct str sources[8]; // "$request.header.Authorization"
    unsigned n_sources;
    int64_t ttl_s;
    struct str issuer;
    const struct json_value *audience; // list
    struct function_reference function;
    bool simple;
    unsigned format;
    struct authorizer_cache *cache;
    struct api_authorizer *next; // in api.authorizers
};

struct api_integration {
    struct str id;
    bool lambda, mock; // else HTTP_PROXY
    struct function_reference function;
    struct str uri, method;
    unsigned format;
    int64_t timeout_ms;
    const struct json_value *request_parameters;  // {"overwrite:header.x": "$request…"}, or NULL
    const struct json_value *response_parameters; // {"200": {…}}, or NULL
};

enum api_authorization { AUTHORIZATION_NONE, AUTHORIZATION_IAM, AUTHORIZATION_AUTHORIZER };

struct api_route {
    struct str key, resource; // "GET /users/{id}", "/users/{id}"
    struct str operation_name;
    enum api_authorization authorization;
    struct api_authorizer *authorizer;
    const struct json_value *scopes;
    const struct api_integration *integration; // NULL: none is attached
    struct token_bucket *bucket;               // NULL: the stage's only
    bool two_way;           // WebSocket: the function's answer goes back to the client
    struct api_route *next; // in api_stage.list
};

struct api_stage {
    struct str name;
    const struct route_table *routes; // NULL: nothing was deployed
    struct api_route *list;           // all of them, the oldest last
    struct http_event_pair *variables;
    size_t n_variables;
    struct token_bucket bucket;
    struct str log_group, log_format; // access logs; absent: none
    struct api_stage *next;
};

struct api {
    atomic_uint refs;
    struct arena arena;
    struct str id, account, region, name;
    bool websocket, disabled;
    struct str selection; // route selection expression
    struct cors cors;
    bool has_cors;
    struct api_stage *stages;
    struct api_authorizer *authorizers; // all of them: their caches end with the model
};

struct api_domain_target {
    struct str api_id, stage, key; // key: the base path, may be empty
};

// By its id. NULL when there is none. A reference for the caller.
struct api *api_get(struct str id);
void api_unref(struct api *a); // accepts NULL
const struct api_stage *api_stage_get(const struct api *a, struct str name);

// A WebSocket API's route by its key. NULL when there is none.
const struct api_route *api_websocket_route(const struct api_stage *s, struct str key);

// Custom domain: which API and stage serve this host and path. Copies into the arena. False: none.
// *prefix: the length of the base path that was used up, slash included.
bool api_domain_find(struct arena *a, struct str host, struct str path,
                     struct api_domain_target *out, size_t *prefix);

// Whether any custom domain has mappings; cheap.
bool api_domains_exist(void);

// True when there is a token.
bool token_bucket_take(struct token_bucket *b);

// Loads everything; while services start.
int api_models_load(struct err *err);
void api_models_free(void);
// See gateway_reload() and resources_on_change().
void api_models_changed(struct str account, struct str region, struct str parent, bool below_api);

// Calls each() for every API, under the lock: be quick. For `lambkin routes` and health.
void api_models_each(void (*each)(void *ctx, const struct api *a), void *ctx);

#endif
