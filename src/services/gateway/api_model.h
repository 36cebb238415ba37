// api_model.h - an API as requests see it: compiled from its records (api_compile.h), counted.
//
// A change of a record makes a new model; requests in flight keep theirs. Only a change of a route
// of an HTTP API goes into the model that is there, for APIs have thousands of them and they are
// made one by one: api.routes_lock keeps look-ups and such changes apart, and what a request has
// found lives as long as the model. What else changes inside (token buckets, caches of
// authorizers) has locks of its own and starts empty in a new model.
#ifndef LAMBKIN_SERVICES_GATEWAY_API_MODEL_H
#define LAMBKIN_SERVICES_GATEWAY_API_MODEL_H

#include "base/json.h"
#include "base/map.h"
#include "services/gateway/cors.h"
#include "services/gateway/http_event.h"
#include "services/gateway/route_table.h"
#include "services/gateway/token_bucket.h"

#include <pthread.h>
#include <stdatomic.h>

struct engine;
struct resource_event;
struct service_action;

struct function_reference {
    struct str account, region, name, qualifier;
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

enum integration_kind {
    INTEGRATION_LAMBDA,  // AWS_PROXY with a function, or WebSocket's AWS with one
    INTEGRATION_HTTP,    // HTTP_PROXY, or WebSocket's HTTP
    INTEGRATION_SERVICE, // another service: AWS_PROXY with a subtype, or WebSocket's AWS
    INTEGRATION_MOCK,
};

struct api_integration {
    struct str id;
    enum integration_kind kind;
    bool proxy; // the backend's answer is the answer; else integration responses make it
    struct function_reference function;
    const struct service_action *action; // INTEGRATION_SERVICE of an HTTP API
    struct str uri, method;              // stage variables are filled in
    struct str server_name;              // for TLS, when it is not the URI's host; absent: it is
    struct str problem;                  // why it cannot be called; absent: it can
    unsigned format;
    int64_t timeout_ms;
    const struct json_value *request_parameters;  // {"overwrite:header.x": "$request…"}, or NULL
    const struct json_value *response_parameters; // {"200": {…}}, or NULL
    // WebSocket APIs
    struct str passthrough, template_selection, content_handling;
    const struct json_value *request_templates;
    const struct json_value **responses; // integration responses
    unsigned n_responses;
};

enum api_authorization { AUTHORIZATION_NONE, AUTHORIZATION_IAM, AUTHORIZATION_AUTHORIZER };

struct api_route {
    struct str id;
    struct str key, resource; // "GET /users/{id}", "/users/{id}"
    struct str operation_name;
    enum api_authorization authorization;
    struct api_authorizer *authorizer;
    const struct json_value *scopes;
    const struct api_integration *integration; // NULL: none is attached
    struct token_bucket *bucket;               // NULL: the stage's
    bool two_way; // WebSocket: the integration's answer goes back to the client
    // WebSocket: which model a message must fit.
    struct str model_selection;
    const struct json_value *request_models; // {key: model's name}
    const struct json_value *parameters;     // {"route.request.header.x": {"required": true}}
    struct api_route *next;                  // in api_stage.list
};

struct api_stage {
    struct str name;
    const struct route_table *routes; // NULL: nothing was deployed
    struct api_route *list;           // all of them, the oldest last
    struct http_event_pair *variables;
    size_t n_variables;
    struct token_bucket bucket;
    struct str log_group, log_format; // access logs; absent: none
    const struct json_value *models;  // list of model records
    struct api_stage *next;
    struct stage_parts *parts; // api_compile.c's, for changes; NULL: none can be made
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
    pthread_rwlock_t routes_lock;       // route tables and lists of stages
    unsigned n_routes, n_changes;       // since it was compiled
};

struct api_domain_target {
    struct str api_id, stage, key; // key: the base path, may be empty
};

// By its id. NULL when there is none. A reference for the caller.
struct api *api_get(struct str id);
struct api *api_ref(struct api *a); // another one
void api_unref(struct api *a);      // accepts NULL
const struct api_stage *api_stage_get(const struct api *a, struct str name);

// An HTTP API's route: see route_table_match().
bool api_route_match(const struct api *a, const struct api_stage *s, struct str method,
                     struct str path, struct route_match *out);
// A WebSocket API's route by its key. NULL when there is none.
const struct api_route *api_websocket_route(const struct api_stage *s, struct str key);
// May a request take this route now?
bool api_route_admits(const struct api_stage *s, const struct api_route *r);

// Custom domain: which API and stage serve this host and path. Copies into the arena. False: none.
// *prefix: the length of the base path that was used up, slash included.
bool api_domain_find(struct arena *a, struct str host, struct str path,
                     struct api_domain_target *out, size_t *prefix);

// Whether any custom domain has mappings; cheap.
bool api_domains_exist(void);

// Calls each() for every mapping of every custom domain, under the lock: be quick.
void api_domains_each(void (*each)(void *ctx, struct str domain, const struct api_domain_target *t),
                      void *ctx);

// Loads everything; while services start.
int api_models_load(struct err *err);
void api_models_free(void);
// See resources_on_change().
void api_models_changed(const struct resource_event *e);
// Compiles an API anew. On a worker.
void api_models_reload(struct str account, struct str region, struct str api_id);

// Calls each() for every API, under the lock: be quick. For `lambkin routes` and health.
void api_models_each(void (*each)(void *ctx, const struct api *a), void *ctx);

#endif
